//! Checkpoints of memories: what is kept, and how it differs from what is there now.
//!
//! Keeping a memory shares it: costs the same for any size. A comparison costs what has changed.

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, ordmap::DiffItem};
use libos_abi::{
    CheckpointId, ObjectId, Pid,
    checkpoint::{Change, ObjectChange},
    object::{Link, View},
};
use serde::Serialize;

use crate::{
    core::Memory,
    space::{Base, Slot, Space},
};

/// One memory as it was; without a space its process had made no object.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kept {
    pub(crate) space: Option<Arc<Space>>,
    /// The links between it and others.
    pub(crate) far: Vec<Link>,
    pub(crate) views: Vec<View>,
}

impl Kept {
    fn objects(&self) -> OrdMap<u64, Slot> {
        self.space.as_ref().map_or_else(OrdMap::new, |space| space.objects.clone())
    }
}

/// The memories of a checkpoint.
pub(crate) type Saved = Arc<OrdMap<Pid, Kept>>;

impl Memory {
    /// Keeps memories for a checkpoint.
    pub(crate) fn save(&mut self, checkpoint: CheckpointId, spaces: &[Pid]) {
        let keep = |pid: &Pid| {
            let kept = Kept {
                space: self.spaces.get(pid).cloned(),
                far: self.far_links_of(*pid),
                views: self.views.of(*pid).cloned().collect(),
            };
            (*pid, kept)
        };
        let saved = spaces.iter().map(keep).collect();
        self.saved.insert(checkpoint, Arc::new(saved));
    }

    /// How many objects are in memories.
    pub(crate) fn count(&self, spaces: &[Pid]) -> u64 {
        let count = |pid: &Pid| self.space(*pid).map_or(0, |space| space.objects.len() as u64);
        spaces.iter().map(count).sum()
    }

    /// The objects that are not as they were kept; in a memory of which nothing was kept, all.
    pub(crate) fn changes_since(
        &self,
        checkpoint: CheckpointId,
        others: &[Pid],
    ) -> Vec<ObjectChange> {
        let Some(saved) = self.saved.get(&checkpoint) else {
            return Vec::new();
        };
        let pids: BTreeSet<Pid> = saved.keys().chain(others).copied().collect();
        let mut rows = Vec::new();
        for pid in pids {
            let then = saved.get(&pid).map_or_else(OrdMap::new, Kept::objects);
            let now = self.space(pid).map_or_else(OrdMap::new, |space| space.objects.clone());
            rows.extend(then.diff(&now).map(|change| row(pid, &change)));
        }
        rows
    }
}

/// What a memory takes and gives when it comes back.
impl Memory {
    /// Has memories be as they were kept. What was made since goes, names and links included; a
    /// name that another object has now stays with that.
    pub(crate) fn restore(&mut self, checkpoint: CheckpointId, dropped: &[Pid]) {
        let Some(saved) = self.saved.get(&checkpoint).cloned() else {
            return;
        };
        dropped.iter().for_each(|pid| self.drop_space(*pid));
        // A name is free for what comes back once all that goes has given its up.
        for (pid, kept) in &*saved {
            self.unname(*pid, kept);
        }
        for (pid, kept) in &*saved {
            self.rewind(*pid, kept);
        }
        // Both ends of a link are there only once all memories are.
        for link in saved.values().flat_map(|kept| &kept.far) {
            self.connect_existing(link.from, link.relation.clone(), link.to);
        }
    }

    /// Frees the names of objects that are not as they were kept.
    fn unname(&mut self, pid: Pid, kept: &Kept) {
        let now = self.space(pid).map_or_else(OrdMap::new, |space| space.objects.clone());
        for change in now.diff(&kept.objects()) {
            let (DiffItem::Remove(_, was) | DiffItem::Update { old: (_, was), .. }) = change else {
                continue;
            };
            if was.name_in(pid).is_some() {
                self.names.unbind(&was.info);
            }
        }
    }

    fn rewind(&mut self, pid: Pid, kept: &Kept) {
        for link in self.far_links_of(pid) {
            self.disconnect(link.from, &link.relation, link.to);
        }
        self.views.end(pid);
        kept.views.iter().for_each(|view| self.views.insert(view.clone()));
        let now = self.space(pid).map_or_else(OrdMap::new, |space| space.objects.clone());
        let mut nameless = Vec::new();
        for change in now.diff(&kept.objects()) {
            let (DiffItem::Add(number, then) | DiffItem::Update { new: (number, then), .. }) =
                change
            else {
                continue;
            };
            if let Some((namespace, name)) = then.name_in(pid) {
                match self.names.check_free(namespace, name) {
                    Ok(()) => self.names.bind(&then.info),
                    Err(_) => nameless.push(*number),
                }
            }
        }
        self.put_space(pid, kept.space.clone());
        for number in nameless {
            self.edit(ObjectId { space: pid, number }, |kept| {
                kept.info.namespace = None;
                kept.info.name = None;
            });
        }
    }

    /// Copies a memory as it was kept for a process that has none. Where it was a copy itself,
    /// the copy is one of `base`.
    pub(crate) fn copy_saved(
        &mut self,
        checkpoint: CheckpointId,
        from: Pid,
        to: Pid,
        base: Option<Pid>,
    ) {
        let kept = self.saved.get(&checkpoint).and_then(|saved| saved.get(&from));
        let Some(space) = kept.and_then(|kept| kept.space.clone()) else {
            return;
        };
        let mut copy = space.copy_for(to);
        if let (Some(of), Some(before)) = (base, &space.base) {
            copy.base = Some(Base { of, ..before.clone() });
        }
        self.put_space(to, Some(Arc::new(copy)));
    }

    /// Whose memory a memory that was kept is a copy of.
    pub(crate) fn base_of_saved(&self, checkpoint: CheckpointId, of: Pid) -> Option<Pid> {
        let kept = self.saved.get(&checkpoint)?.get(&of)?;
        kept.space.as_ref()?.base.as_ref().map(|base| base.of)
    }
}

fn row(space: Pid, change: &DiffItem<'_, '_, u64, Slot>) -> ObjectChange {
    let (number, what, was, now) = match change {
        DiffItem::Add(number, now) => (**number, Change::Made, None, Some(*now)),
        DiffItem::Update { old: (number, was), new: (_, now) } => {
            (**number, Change::Changed, Some(*was), Some(*now))
        }
        DiffItem::Remove(number, was) => (**number, Change::Gone, Some(*was), None),
    };
    let version = |slot: Option<&Slot>| slot.map_or(0, |slot| slot.info.version);
    let digest = now.or(was).map(|slot| slot.info.digest).unwrap_or_default();
    let id = ObjectId { space, number };
    ObjectChange { id, change: what, was: version(was), now: version(now), digest }
}
