//! Forks and merges of whole spaces.
//!
//! A merge compares a child's space with what it was copied from. It is applied as a function of
//! the state alone, so that replay does the same, and costs what has changed, not what there is.

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet, ordmap::DiffItem as Change, ordset::DiffItem as Difference};
use libos_abi::{
    Error, Fault, ObjectId, Pid,
    event::ObjectEvent,
    object::{FailureKind, MergeSpace},
    process::{Adopted, Merged, OnConflict},
};

use crate::{
    core::Memory,
    space::{Base, Kept, Slot, Space},
};

/// How many conflicts an error names.
const NAMED_MAX: usize = 8;

/// What a merge does, by the numbers of objects.
#[derive(Debug, Default)]
struct Merge {
    /// New in the parent's space: the child's number, the parent's.
    adopted: BTreeMap<u64, u64>,
    /// Takes the child's version.
    updated: Vec<u64>,
    /// Removed, as in the child's space.
    removed: Vec<u64>,
    /// Stays as the parent has it.
    kept: Vec<u64>,
    /// What both have changed.
    conflicts: Vec<u64>,
}

impl Merge {
    /// Compares a child's space with what it was copied from and with what became of that.
    fn plan(child: &Space, into: Pid, parent: Option<&Space>, last: u64, how: OnConflict) -> Self {
        let mut merge = Self::default();
        let nothing = OrdMap::new();
        let base = base_of(child, into).map_or(&nothing, |base| &base.objects);
        let now = |number: &u64| parent.and_then(|parent| parent.objects.get(number));
        let mut next = last;
        let mut adopt = |merge: &mut Self, number: u64| {
            next = next.saturating_add(1);
            merge.adopted.insert(number, next);
        };
        for change in base.diff(&child.objects) {
            let (number, was, removed) = match change {
                Change::Add(number, _) => {
                    adopt(&mut merge, *number);
                    continue;
                }
                Change::Update { old: (number, was), .. } => (*number, was, false),
                Change::Remove(number, was) => (*number, was, true),
            };
            let now: Option<&Slot> = now(&number);
            if now.is_none() && removed {
                continue;
            }
            if now != Some(was) {
                merge.conflicts.push(number);
                if how != OnConflict::Child {
                    merge.kept.push(number);
                    continue;
                }
            }
            match (now, removed) {
                (_, true) => merge.removed.push(number),
                (Some(_), false) => merge.updated.push(number),
                (None, false) => adopt(&mut merge, number),
            }
        }
        merge
    }
}

fn base_of(child: &Space, into: Pid) -> Option<&Base> {
    child.base.as_ref().filter(|base| base.of == into)
}

/// Where what is in a child's space is found after a merge.
struct Passage<'m> {
    from: Pid,
    into: Pid,
    base: Option<&'m Base>,
    merge: &'m Merge,
}

impl Passage<'_> {
    fn number(&self, number: u64) -> ObjectId {
        let adopted = self.merge.adopted.get(&number).copied();
        ObjectId { space: self.into, number: adopted.unwrap_or(number) }
    }

    /// An id as the child's space has it. One that was neither copied nor is new stays: it names
    /// what is gone.
    fn id(&self, id: ObjectId) -> ObjectId {
        let copied = || self.base.is_some_and(|base| base.objects.contains_key(&id.number));
        let is_here = id.space == self.from;
        match is_here && (self.merge.adopted.contains_key(&id.number) || copied()) {
            true => self.number(id.number),
            false => id,
        }
    }

    /// The child's object as the parent gets it.
    fn object(&self, number: u64, kept: &Kept, at_ms: u64) -> Kept {
        let mut info = kept.info_in(self.from);
        info.id = self.number(number);
        info.owner = self.into;
        info.updated_at_ms = at_ms;
        if info.parents.iter().any(|parent| self.id(*parent) != *parent) {
            info.parents = info.parents.iter().map(|parent| self.id(*parent)).collect();
        }
        Kept { info, ..kept.clone() }
    }
}

impl Memory {
    /// The event that copies a space.
    pub(crate) fn plan_fork(&self, from: Pid, to: Pid) -> Result<ObjectEvent, Error> {
        match from == to || self.has_space(to) {
            false => Ok(ObjectEvent::SpaceForked { from, to }),
            true => Err(Fault::bad(format!("{to} has a memory already")).into()),
        }
    }

    /// What a merge brings, if it may be made.
    pub(crate) fn plan_merge(&self, call: &MergeSpace) -> Result<Merged, Error> {
        let MergeSpace { from, into, on_conflict } = *call;
        if from == into {
            return Err(Fault::bad("a memory is merged into another one").into());
        }
        let Some(child) = self.space(from) else {
            return Ok(Merged { adopted: Vec::new(), updated: Vec::new(), kept: Vec::new() });
        };
        let merge = self.compare(child, into, on_conflict);
        let here = |number: &u64| ObjectId { space: into, number: *number };
        if on_conflict == OnConflict::Fail && !merge.conflicts.is_empty() {
            let named = merge.conflicts.iter().take(NAMED_MAX);
            let named: Vec<String> = named.map(|number| here(number).to_string()).collect();
            let detail = format!(
                "{from} and {into} have both changed {} objects: {}",
                merge.conflicts.len(),
                named.join(", ")
            );
            return Err(FailureKind::VersionConflict.because(detail));
        }
        let there = |number: &u64| ObjectId { space: from, number: *number };
        let adopted = merge.adopted.iter();
        let mut updated: Vec<ObjectId> =
            merge.updated.iter().chain(&merge.removed).map(here).collect();
        updated.sort_unstable();
        Ok(Merged {
            adopted: adopted.map(|(a, b)| Adopted { from: there(a), to: here(b) }).collect(),
            updated,
            kept: merge.kept.iter().map(here).collect(),
        })
    }

    fn compare(&self, child: &Space, into: Pid, how: OnConflict) -> Merge {
        Merge::plan(child, into, self.space(into), self.last(into), how)
    }

    /// Brings a space into another one. Only what was planned with the same state is applied.
    pub(crate) fn merge(&mut self, from: Pid, into: Pid, on_conflict: OnConflict, at_ms: u64) {
        let far = self.far_links_of(from);
        let Some(child) = self.take_space(from) else {
            return;
        };
        let merge = self.compare(&child, into, on_conflict);
        let base = base_of(&child, into);
        let passage = Passage { from, into, base, merge: &merge };
        for number in &merge.removed {
            self.remove(ObjectId { space: into, number: *number });
        }
        for number in &merge.updated {
            if let Some(kept) = child.objects.get(number) {
                self.replace(passage.object(*number, kept, at_ms));
            }
        }
        for number in merge.adopted.keys() {
            if let Some(kept) = child.objects.get(number) {
                self.put(passage.object(*number, kept, at_ms));
            }
        }
        self.merge_links(&child, &passage);
        for link in far {
            self.connect_existing(passage.id(link.from), link.relation, passage.id(link.to));
        }
    }

    /// Puts an object in the place of an older version: that keeps its name and its age.
    fn replace(&mut self, mut kept: Kept) {
        let Ok(old) = self.info(kept.info.id) else {
            return;
        };
        kept.info.version = old.version + 1;
        kept.info.created_at_ms = old.created_at_ms;
        kept.info.namespace = old.namespace;
        kept.info.name = old.name;
        self.put(kept);
    }

    fn merge_links(&mut self, child: &Space, passage: &Passage<'_>) {
        let nothing = OrdSet::new();
        let base = passage.base.map_or(&nothing, |base| &base.links);
        for change in base.diff(&child.links.out) {
            match change {
                Difference::Add((from, relation, to)) => {
                    let (from, to) = (passage.number(*from), passage.number(*to));
                    self.connect_existing(from, relation.clone(), to);
                }
                // Links go with their objects: here is only what the child took apart itself.
                Difference::Remove((from, relation, to)) => {
                    let both = [from, to].map(|end| child.objects.contains_key(end));
                    let [from, to] = [from, to].map(|number| passage.number(*number));
                    if both == [true, true] && self.is_linked(from, relation, to) {
                        self.disconnect(from, relation, to);
                    }
                }
            }
        }
        // What the parent had removed comes back under another number, with its links.
        let back = passage.merge.adopted.keys().copied();
        let back = back.filter(|number| base_has(passage.base, *number));
        for number in back {
            for (from, relation, to) in child.links.touching(number, |end| end == number) {
                let (from, to) = (passage.number(from), passage.number(to));
                self.connect_existing(from, relation.clone(), to);
            }
        }
    }

    pub(crate) fn connect_existing(&mut self, from: ObjectId, relation: Arc<str>, to: ObjectId) {
        if from != to && self.has(from) && self.has(to) {
            self.connect(from, &relation, to);
        }
    }

    /// Whether there is anything of a process here: a memory, or views.
    pub(crate) fn keeps_anything(&self, of: Pid) -> bool {
        self.has_space(of) || self.views.of(of).next().is_some()
    }
}

fn base_has(base: Option<&Base>, number: u64) -> bool {
    base.is_some_and(|base| base.objects.contains_key(&number))
}
