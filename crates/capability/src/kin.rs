//! Kin: a parent and its child may message each other until the host takes that back.
//!
//! It follows from who is whose child, so nothing is made for it and a million children cost no
//! grant. Each of the two ways has a capability of the kernel with an id of its own
//! ([`NewCapability::kin`]), which is shown, explained and taken back like any other, is never
//! handed on, and counts as nothing that a process holds. A process that has ended holds none; what
//! is left of its kin may still write to it, and is told that it has ended.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{
    CapId, CapabilityInfo, Conditions, Need, Pid, Right, Status,
    event::NewCapability,
    wire::{self, Reader, WireError},
};
use serde::Serialize;

/// Who is whose child.
#[derive(Default, Serialize)]
pub(crate) struct Family {
    /// The parent of each process that has one.
    parents: BTreeMap<Pid, Pid>,
    /// Those that have ended, of all that have a parent or a child.
    ended: BTreeSet<Pid>,
    /// Capabilities of kin that were taken back.
    cut: BTreeSet<CapId>,
    /// Parent, then child. It follows from the rest.
    #[serde(skip)]
    children: BTreeSet<(Pid, Pid)>,
}

/// What takes one change back: what was there before it.
pub(crate) enum Step {
    Parent(Pid, Option<Pid>),
    Ended(Pid, bool),
    Cut(CapId, bool),
}

/// Puts something into a set, or takes it out; whether it was there.
fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, is_in: bool) -> bool {
    match is_in {
        true => !set.insert(item),
        false => set.remove(&item),
    }
}

impl Family {
    /// Whether `child` is known as a living child of `parent`.
    pub(crate) fn is_child(&self, parent: Pid, child: Pid) -> bool {
        self.parents.get(&child) == Some(&parent) && !self.ended.contains(&child)
    }

    /// Whether `pid` lives and has kin.
    pub(crate) fn knows(&self, pid: Pid) -> bool {
        let has_kin =
            self.parents.contains_key(&pid) || self.children(pid, Pid(0)).next().is_some();
        has_kin && !self.ended.contains(&pid)
    }

    /// The children of a process from `first` on.
    fn children(&self, parent: Pid, first: Pid) -> impl Iterator<Item = Pid> {
        self.children.range((parent, first)..=(parent, Pid(u64::MAX))).map(|(_, child)| *child)
    }

    /// The capability of kin by which `subject` may do what is needed.
    pub(crate) fn by(&self, subject: Pid, need: &Need) -> Option<CapId> {
        if need.right != Right::Write || self.ended.contains(&subject) {
            return None;
        }
        let digits = need.on.as_str().strip_prefix("process:p")?;
        let other = Pid(digits.parse().ok().filter(|pid: &u64| pid.to_string() == digits)?);
        if self.parents.get(&subject) == Some(&other) {
            Some(CapId::of_child(subject))
        } else if self.parents.get(&other) == Some(&subject) {
            Some(CapId::of_parent(other))
        } else {
            None
        }
    }

    /// Whether it was taken back.
    pub(crate) fn is_cut(&self, id: CapId) -> bool {
        self.cut.contains(&id)
    }

    /// The capability of kin with this id.
    pub(crate) fn get(&self, id: CapId) -> Option<NewCapability> {
        let child = id.kin_child()?;
        self.of_child(child).into_iter().find(|kin| kin.id == id)
    }

    /// Both that there are because of a child, as far as their subjects live.
    fn of_child(&self, child: Pid) -> Vec<NewCapability> {
        let parent = self.parents.get(&child);
        let both = parent.into_iter().flat_map(|parent| NewCapability::kin(*parent, child));
        both.filter(|kin| !self.ended.contains(&kin.subject)).collect()
    }

    /// Those of `subject` behind `after`, in the order of ids.
    pub(crate) fn held_by(
        &self,
        subject: Pid,
        after: CapId,
    ) -> impl Iterator<Item = NewCapability> {
        let first = after.kin_child().unwrap_or_default();
        // It stands among its children where its own id does.
        let older = self.children(subject, first).take_while(move |child| *child < subject);
        let younger = self.children(subject, first.max(subject));
        let all = older.chain(std::iter::once(subject)).chain(younger);
        let kin = all.flat_map(|child| self.of_child(child));
        kin.filter(move |kin| kin.subject == subject && kin.id > after)
    }

    /// All behind `after`, in the order of ids.
    pub(crate) fn all(&self, after: CapId) -> impl Iterator<Item = NewCapability> {
        let first = after.kin_child().unwrap_or_default();
        let all = self.parents.range(first..).flat_map(|(child, _)| self.of_child(*child));
        all.filter(move |kin| kin.id > after)
    }

    /// It as its holder and the host see it.
    pub(crate) fn info(&self, kin: NewCapability) -> CapabilityInfo {
        let NewCapability { id, subject, grant, origin, .. } = kin;
        CapabilityInfo {
            id,
            subject,
            effect: grant.effect,
            on: grant.on,
            rights: grant.rights,
            uses_left: None,
            expires_at_ms: None,
            delegable: 0,
            calls_left: None,
            when: Conditions::default(),
            parent: None,
            origin,
            binding: None,
            status: if self.is_cut(id) { Status::Revoked } else { Status::Active },
        }
    }

    // ---- bytes -------------------------------------------------------------------------------

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { parents, ended, cut, children: _ } = self;
        wire::encode_each(parents, out);
        wire::encode_each(ended, out);
        wire::encode_each(cut, out);
    }

    pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let parents: BTreeMap<Pid, Pid> = bytes.all()?;
        let children = parents.iter().map(|(child, parent)| (*parent, *child)).collect();
        Ok(Self { parents, ended: bytes.all()?, cut: bytes.all()?, children })
    }

    // ---- changes -----------------------------------------------------------------------------

    pub(crate) fn set_parent(&mut self, child: Pid, parent: Option<Pid>) -> Step {
        let before = match parent {
            Some(parent) => self.parents.insert(child, parent),
            None => self.parents.remove(&child),
        };
        if let Some(before) = before {
            self.children.remove(&(before, child));
        }
        if let Some(parent) = parent {
            self.children.insert((parent, child));
        }
        Step::Parent(child, before)
    }

    pub(crate) fn set_ended(&mut self, pid: Pid, ended: bool) -> Step {
        Step::Ended(pid, put(&mut self.ended, pid, ended))
    }

    pub(crate) fn set_cut(&mut self, id: CapId, cut: bool) -> Step {
        Step::Cut(id, put(&mut self.cut, id, cut))
    }

    /// Takes a change back; those made after it were taken back before.
    pub(crate) fn undo(&mut self, step: Step) {
        match step {
            Step::Parent(child, before) => drop(self.set_parent(child, before)),
            Step::Ended(pid, before) => drop(put(&mut self.ended, pid, before)),
            Step::Cut(id, before) => drop(put(&mut self.cut, id, before)),
        }
    }
}
