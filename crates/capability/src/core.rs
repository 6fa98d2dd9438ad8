//! The pure state: every capability, what is set aside and spent, who is bounded by what.
//!
//! [`State`] changes by applying [`CapabilityEvent`]s and in no other way. While a transaction is
//! open it notes how to undo each step, so a mark to come back to costs nothing and neither does
//! what is not changed.
//!
//! Invariants of the fields:
//! - a capability stays as long as one cut from it stays: lineage is never broken;
//! - `cut_off` is set on everything below a revoked capability, at once, so that a decision needs
//!   no walk to see it; expiry is clipped to the parent's when a capability is made, likewise;
//! - approvals are found by the question they answer and nowhere else, so they cannot act alone;
//! - the bounds of a parent are part of those of its child from the moment it is known as one;
//! - everything below the line `derived` in [`Tables`] follows from the rest and is not hashed.

mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use libos_abi::{
    CapId, CapabilityInfo, CheckpointId, Digest, Effect, Manifest, Need, OpId, Pid, Status,
    capability::Charge,
    checkpoint::Revived,
    event::{CapabilityEvent, NewCapability},
};
use libos_port::{Context, mutated};
use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};

use crate::{
    bounds::Bounds,
    cap::{Cap, Fate, Tally, Terms, base},
    kin::{self, Family},
    limits::CAPABILITIES_OF_ONE_SUBJECT_MAX,
    saved::Saved,
    table::{Rows, Shared, Subject},
};

/// The state of the engine. Reading derefs to its tables.
#[derive(Default)]
pub(crate) struct State(Tables);

impl State {
    /// Applies an event and adds it to the transaction: the only way to change state in a call.
    pub(crate) fn change(&mut self, cx: &mut dyn Context, event: CapabilityEvent) {
        self.0.apply(&event);
        cx.emit(event.into());
    }

    /// Applies an event of the journal.
    pub(crate) fn apply(&mut self, event: &CapabilityEvent) {
        self.0.apply(event);
    }

    /// Marks the state to come back to.
    pub(crate) fn begin(&mut self) {
        self.0.undo.get_or_insert_default().clear();
    }

    /// Comes back to the mark.
    pub(crate) fn rollback(&mut self) {
        let steps = self.0.undo.take().unwrap_or_default();
        steps.into_iter().rev().for_each(|step| self.0.undo(step));
    }

    pub(crate) fn digest(&self) -> Digest {
        libos_abi::state_digest(&self.0)
    }
}

impl std::ops::Deref for State {
    type Target = Tables;
    fn deref(&self) -> &Tables {
        &self.0
    }
}

/// What the state consists of.
#[derive(Default)]
pub(crate) struct Tables {
    caps: Rows,
    /// The highest id given so far.
    last: u64,
    /// What operations under way have set aside.
    held: BTreeMap<OpId, Arc<[Charge]>>,
    family: Family,
    /// What bounds each process; the rest of it is derived.
    subjects: FxHashMap<Pid, Subject>,
    /// What processes held at checkpoints.
    saved: BTreeMap<CheckpointId, Arc<Saved>>,

    // derived
    /// Parent, then child.
    by_parent: BTreeSet<(CapId, CapId)>,
    /// The question, the call, then the approval that answers it.
    answers: BTreeSet<(CapId, Digest, CapId)>,
    /// The last id of each process that some checkpoint holds.
    saved_until: FxHashMap<Pid, u64>,
    terms: Shared<Arc<Terms>>,
    patterns: Shared<libos_abi::Pattern>,
    /// How to come back to the mark; `None` before the first one.
    undo: Option<Vec<Undo>>,
}

/// How to undo one step.
enum Undo {
    /// Remove it again.
    Made(CapId),
    /// Put it back.
    Removed(Box<Cap>),
    Fate(CapId, Fate),
    Tally(CapId, Box<Tally>),
    Last(u64),
    Held(OpId, Option<Arc<[Charge]>>),
    Family(kin::Step),
    Bounds(Pid, Option<Arc<Bounds>>),
    Saved(CheckpointId, Option<Arc<Saved>>),
}

impl Tables {
    /// The capability `id`.
    pub(crate) fn get(&self, id: CapId) -> Option<&Cap> {
        self.caps.get(id)
    }

    /// The id the next capability gets.
    pub(crate) fn next_id(&self) -> CapId {
        CapId(self.last.saturating_add(1))
    }

    /// Whether `child` is known as a living child of `parent`.
    pub(crate) fn is_child(&self, parent: Pid, child: Pid) -> bool {
        self.family.is_child(parent, child)
    }

    /// Whether anything is known of `pid`.
    pub(crate) fn knows(&self, pid: Pid) -> bool {
        self.subjects.contains_key(&pid) || self.family.knows(pid)
    }

    /// Who is whose child, and what follows from it.
    pub(crate) fn family(&self) -> &Family {
        &self.family
    }

    /// What bounds `pid`.
    pub(crate) fn bounds(&self, pid: Pid) -> Option<&Arc<Bounds>> {
        self.subjects.get(&pid)?.bounds.as_ref()
    }

    /// What the operation has set aside.
    pub(crate) fn reservation(&self, op: OpId) -> Option<&Arc<[Charge]>> {
        self.held.get(&op)
    }

    /// Every capability, those of kin among them, as its holder and the host see it: those of
    /// `subject`, or all, behind `after`, in the order of ids.
    pub(crate) fn listed(
        &self,
        subject: Option<Pid>,
        after: CapId,
        now_ms: u64,
    ) -> impl Iterator<Item = CapabilityInfo> {
        type Each<'t, T> = Box<dyn Iterator<Item = T> + 't>;
        let (held, kin): (Each<'_, &Cap>, Each<'_, NewCapability>) = match subject {
            Some(subject) => (
                Box::new(self.of(subject).into_iter().filter(move |cap| cap.id > after)),
                Box::new(self.family.held_by(subject, after)),
            ),
            None => (Box::new(self.caps.after(after)), Box::new(self.family.all(after))),
        };
        let held = held.map(move |cap| self.info(cap, now_ms));
        held.chain(kin.map(|kin| self.family.info(kin)))
    }

    /// Every capability of `subject` but those of kin, in the order of ids.
    pub(crate) fn of(&self, subject: Pid) -> Vec<&Cap> {
        self.sorted(self.subjects.get(&subject).into_iter().flat_map(Subject::rows))
    }

    /// Every deny and ask of `subject`, in the order of ids.
    pub(crate) fn restrictions_of(&self, subject: Pid) -> Vec<&Cap> {
        self.sorted(self.subjects.get(&subject).into_iter().flat_map(Subject::restrictions))
    }

    fn sorted(&self, rows: impl Iterator<Item = u32>) -> Vec<&Cap> {
        let mut caps: Vec<&Cap> = rows.filter_map(|row| self.caps.at(row)).collect();
        caps.sort_unstable_by_key(|cap| cap.id);
        caps
    }

    /// What is known of a process that holds something or is bounded.
    pub(crate) fn subject(&self, pid: Pid) -> Option<&Subject> {
        self.subjects.get(&pid)
    }

    /// Whether `subject` may hold `more` capabilities. Spent ones make room.
    pub(crate) fn has_room(&self, subject: Pid, more: usize) -> bool {
        let room = CAPABILITIES_OF_ONE_SUBJECT_MAX.saturating_sub(self.count(subject));
        more <= room || more <= room + self.spent(subject).len()
    }

    fn count(&self, subject: Pid) -> usize {
        self.subjects.get(&subject).map_or(0, Subject::len)
    }

    /// Those of `subject` that can never matter again, oldest first.
    fn spent(&self, subject: Pid) -> Vec<CapId> {
        let is_spent = |cap: &&Cap| {
            let used_up = cap.terms.effect == Effect::Allow && cap.is_exhausted();
            (cap.is_revoked() || used_up) && cap.is_idle() && !self.is_parent(cap.id)
        };
        self.of(subject).into_iter().filter(is_spent).map(|cap| cap.id).collect()
    }

    fn is_parent(&self, id: CapId) -> bool {
        self.by_parent.range(below(id)).next().is_some()
    }

    /// Calls `visit` with every capability of `subject` that speaks of `need`, except approvals.
    pub(crate) fn each_match<'t>(
        &'t self,
        subject: &Subject,
        need: &Need,
        mut visit: impl FnMut(&'t Cap),
    ) {
        subject.each_above(&self.caps, need.right, need.on.as_str(), |cap| {
            if cap.on.matches(&need.on) {
                visit(cap);
            }
        });
    }

    /// Calls `visit` with every capability of `subject` that may cover `grant`, except approvals:
    /// each that does, and maybe others.
    pub(crate) fn each_cover<'t>(
        &'t self,
        subject: Pid,
        grant: &libos_abi::GrantSpec,
        visit: impl FnMut(&'t Cap),
    ) {
        if let Some(subject) = self.subjects.get(&subject)
            && let Some(right) = grant.rights.iter().next()
        {
            subject.each_above(&self.caps, right, base(&grant.on), visit);
        }
    }

    /// The capability itself, then those above it, nearest first: as far as they have a say in a
    /// decision, that is while some ancestor has conditions or limits.
    pub(crate) fn deciding<'t>(&'t self, cap: &'t Cap) -> impl Iterator<Item = &'t Cap> {
        std::iter::successors(Some(cap), |cap| cap.inherits().then(|| self.above(cap)).flatten())
    }

    /// The one `cap` was cut from.
    pub(crate) fn above(&self, cap: &Cap) -> Option<&Cap> {
        self.get(cap.parent()?)
    }

    /// The one at the top of its lineage.
    pub(crate) fn root<'t>(&'t self, cap: &'t Cap) -> &'t Cap {
        std::iter::successors(Some(cap), |cap| self.above(cap)).last().unwrap_or(cap)
    }

    /// How many capabilities stand above it.
    pub(crate) fn depth(&self, cap: &Cap) -> usize {
        std::iter::successors(self.above(cap), |cap| self.above(cap)).count()
    }

    /// Everything cut from `id`, at any depth, in the order of ids: parents before children.
    pub(crate) fn descendants(&self, id: CapId) -> Vec<CapId> {
        let mut found = Vec::new();
        let mut next = vec![id];
        while let Some(parent) = next.pop() {
            for (_, child) in self.by_parent.range(below(parent)) {
                found.push(*child);
                next.push(*child);
            }
        }
        found.sort_unstable();
        found
    }

    /// The approvals that answer the question `ask` for the call of this digest.
    pub(crate) fn answers(&self, ask: CapId, digest: Digest) -> impl Iterator<Item = &Cap> {
        let (from, to) = match mutated("approval_fits_any_call") {
            true => (Digest([0; 32]), Digest([u8::MAX; 32])),
            false => (digest, digest),
        };
        self.answers
            .range((ask, from, CapId(0))..=(ask, to, CapId(u64::MAX)))
            .filter_map(|(_, _, id)| self.get(*id))
    }

    /// Whether it can still be used.
    pub(crate) fn status(&self, cap: &Cap, now_ms: u64) -> Status {
        if cap.is_revoked() {
            Status::Revoked
        } else if cap.fate.ended {
            Status::Ended
        } else if cap.is_expired(now_ms) {
            Status::Expired
        } else if self.deciding(cap).any(Cap::is_exhausted) {
            Status::Exhausted
        } else {
            Status::Active
        }
    }

    /// It as its holder and the host see it.
    pub(crate) fn info(&self, cap: &Cap, now_ms: u64) -> CapabilityInfo {
        let terms = &*cap.terms;
        CapabilityInfo {
            id: cap.id,
            subject: cap.subject,
            effect: terms.effect,
            on: cap.on.clone(),
            rights: terms.rights,
            uses_left: terms.uses.map(|max| max.saturating_sub(cap.uses_taken())),
            expires_at_ms: cap.expires_at_ms(),
            delegable: terms.delegable,
            calls_left: terms.calls_max.map(|max| max.saturating_sub(cap.calls_taken())),
            when: terms.when.clone(),
            parent: cap.parent(),
            origin: cap.origin.clone(),
            binding: cap.binding().cloned(),
            status: self.status(cap, now_ms),
        }
    }
}

/// What events do.
impl Tables {
    fn apply(&mut self, event: &CapabilityEvent) {
        match event {
            CapabilityEvent::Granted(new) => self.grant(new),
            CapabilityEvent::Revoked { capability, .. } if capability.kin_child().is_some() => {
                let step = self.family.set_cut(*capability, true);
                self.note(|_| Undo::Family(step));
            }
            CapabilityEvent::Revoked { capability, .. } => self.revoke(*capability),
            CapabilityEvent::Reserved { op, charges } => self.reserve(*op, charges),
            CapabilityEvent::Settled { op, gave_back } => self.settle(*op, *gave_back),
            CapabilityEvent::SubjectEnded { subject } => self.end(*subject),
            CapabilityEvent::ChildKnown { parent, child } => self.adopt(*parent, *child),
            CapabilityEvent::Bounded { pid, manifest } => self.bound(*pid, manifest),
            CapabilityEvent::Kept { dropped, .. } => {
                dropped.iter().for_each(|id| self.revoke(*id));
            }
            CapabilityEvent::Saved { checkpoint, subjects, at_ms } => {
                let saved = self.holdings(subjects, *at_ms);
                self.set_saved(*checkpoint, Some(Arc::new(saved)));
            }
            CapabilityEvent::Forgotten { checkpoint } => self.forget_saved(*checkpoint),
            CapabilityEvent::Restored { checkpoint, revived, revoked } => {
                revived.iter().for_each(|revived| self.revive(*checkpoint, *revived));
                revoked.iter().for_each(|id| self.revoke(*id));
                if mutated("restore_revives") {
                    let ids: Vec<CapId> = self.caps.after(CapId(0)).map(|cap| cap.id).collect();
                    ids.iter().for_each(|id| self.change_fate(*id, |fate| *fate = Fate::default()));
                }
            }
            CapabilityEvent::BoundsCopied { checkpoint, from, to } => {
                self.copy_bounds(*checkpoint, *from, *to);
            }
        }
    }

    fn grant(&mut self, new: &NewCapability) {
        if self.count(new.subject) >= CAPABILITIES_OF_ONE_SUBJECT_MAX {
            let spent = self.spent(new.subject).first().copied();
            spent.into_iter().for_each(|id| self.forget(id));
        }
        self.note(|tables| Undo::Last(tables.last));
        self.last = self.last.max(new.id.0);
        let grant = &new.grant;
        let on = self.patterns.pattern(&grant.on);
        let terms = self.terms.terms(grant);
        let above = new.parent.and_then(|id| self.get(id));
        let cap = Cap::new(new, on, terms, above);
        self.insert(cap);
    }

    fn revoke(&mut self, id: CapId) {
        self.change_fate(id, |fate| fate.revoked = true);
        for below in self.descendants(id) {
            if mutated("revoke_only_the_top") {
                break;
            }
            self.change_fate(below, |fate| fate.cut_off = true);
        }
    }

    fn reserve(&mut self, op: OpId, charges: &[Charge]) {
        for charge in charges {
            self.change_tally(charge.capability, |tally| tally.set_aside(charge));
        }
        self.set_held(op, Some(charges.into()));
    }

    fn settle(&mut self, op: OpId, gave_back: bool) {
        let Some(charges) = self.held.get(&op).cloned() else {
            return;
        };
        self.set_held(op, None);
        for charge in &*charges {
            let id = charge.capability;
            self.change_tally(id, |tally| tally.settle(charge, gave_back));
            if gave_back && mutated("give_back_revives") {
                self.change_fate(id, |fate| *fate = Fate::default());
            }
            // A spent approval never acts again, and a process may get one a minute for years.
            let over = |cap: &Cap| cap.binding().is_some() && cap.is_exhausted() && cap.is_idle();
            if self.get(id).is_some_and(over) {
                self.forget(id);
            }
        }
    }

    fn end(&mut self, subject: Pid) {
        if self.family.knows(subject) {
            let step = self.family.set_ended(subject, true);
            self.note(|_| Undo::Family(step));
        }
        self.set_bounds(subject, None);
        let ids: Vec<CapId> = self.of(subject).into_iter().map(|cap| cap.id).collect();
        for id in ids {
            self.change_fate(id, |fate| fate.ended = true);
            self.forget_lineage(Some(id));
        }
    }

    fn adopt(&mut self, parent: Pid, child: Pid) {
        let steps =
            [self.family.set_parent(child, Some(parent)), self.family.set_ended(child, false)];
        steps.into_iter().for_each(|step| self.note(|_| Undo::Family(step)));
        let Some(above) = self.bounds(parent).cloned() else {
            return;
        };
        let bounds = match self.bounds(child) {
            Some(own) => Arc::new(own.below(&above)),
            None => above,
        };
        self.set_bounds(child, Some(bounds));
    }

    fn bound(&mut self, pid: Pid, manifest: &Manifest) {
        let above = self.bounds(pid).map(|bounds| &**bounds);
        let bounds = Bounds::tightened(above, Arc::new(manifest.clone()));
        self.set_bounds(pid, Some(Arc::new(bounds)));
    }

    /// Has a process that had ended hold again what it held, as far as nothing took it away.
    fn revive(&mut self, checkpoint: CheckpointId, revived: Revived) {
        let Revived { pid, parent } = revived;
        let ids: Vec<CapId> = self.of(pid).into_iter().map(|cap| cap.id).collect();
        ids.into_iter().for_each(|id| self.change_fate(id, |fate| fate.ended = false));
        let steps = [self.family.set_parent(pid, parent), self.family.set_ended(pid, false)];
        steps.into_iter().for_each(|step| self.note(|_| Undo::Family(step)));
        let bounds = self.saved(checkpoint).and_then(|saved| saved.subjects.get(&pid)?.clone());
        self.set_bounds(pid, bounds);
    }

    fn copy_bounds(&mut self, checkpoint: CheckpointId, from: Pid, to: Pid) {
        let bounds = self.saved(checkpoint).and_then(|saved| saved.subjects.get(&from)?.clone());
        let bounds = match (bounds, self.bounds(to)) {
            (Some(own), Some(above)) => Some(Arc::new(own.below(above))),
            (own, above) => own.or_else(|| above.cloned()),
        };
        self.set_bounds(to, bounds);
    }

    /// What is noted for a checkpoint.
    pub(crate) fn saved(&self, checkpoint: CheckpointId) -> Option<&Saved> {
        self.saved.get(&checkpoint).map(AsRef::as_ref)
    }

    /// Whether a capability of a process that ended is kept for a checkpoint: one that it had, or
    /// what restricts it if it comes back.
    fn is_saved(&self, cap: &Cap) -> bool {
        let is_held = |last: &u64| cap.id.0 <= *last || cap.terms.effect != Effect::Allow;
        self.saved_until.get(&cap.subject).is_some_and(is_held)
    }

    fn forget_saved(&mut self, checkpoint: CheckpointId) {
        let Some(saved) = self.saved.get(&checkpoint).cloned() else {
            return;
        };
        self.set_saved(checkpoint, None);
        for subject in saved.subjects.keys() {
            let ids: Vec<CapId> = self.of(*subject).into_iter().map(|cap| cap.id).collect();
            ids.into_iter().for_each(|id| self.forget_lineage(Some(id)));
        }
    }

    /// Forgets an ended capability that nothing is cut from any more, then the one it was cut
    /// from if the same holds of that, and so on.
    fn forget_lineage(&mut self, mut id: Option<CapId>) {
        while let Some(at) = id {
            match self.get(at) {
                Some(cap) if cap.fate.ended && !self.is_parent(at) && !self.is_saved(cap) => {
                    id = self.remove(at);
                }
                _ => return,
            }
        }
    }

    fn forget(&mut self, id: CapId) {
        let parent = self.remove(id);
        self.forget_lineage(parent);
    }
}

/// The steps, each of which can be undone.
impl Tables {
    fn note(&mut self, step: impl FnOnce(&Self) -> Undo) {
        if self.undo.is_some() {
            let step = step(self);
            self.undo.get_or_insert_default().push(step);
        }
    }

    fn undo(&mut self, step: Undo) {
        match step {
            Undo::Made(id) => drop(self.remove(id)),
            Undo::Removed(cap) => self.insert(*cap),
            Undo::Fate(id, fate) => self.change_fate(id, |now| *now = fate),
            Undo::Tally(id, tally) => self.change_tally(id, |now| *now = *tally),
            Undo::Last(last) => self.last = last,
            Undo::Held(op, charges) => self.set_held(op, charges),
            Undo::Family(step) => self.family.undo(step),
            Undo::Bounds(pid, bounds) => self.set_bounds(pid, bounds),
            Undo::Saved(checkpoint, saved) => self.set_saved(checkpoint, saved),
        }
    }

    fn insert(&mut self, cap: Cap) {
        let (id, subject) = (cap.id, cap.subject);
        self.note(|_| Undo::Made(id));
        if let Some(parent) = cap.parent() {
            self.by_parent.insert((parent, id));
        }
        if let Some(binding) = cap.binding() {
            let answers = binding.answers.iter().map(|ask| (*ask, binding.digest, id));
            self.answers.extend(answers);
        }
        let row = self.caps.insert(cap);
        if let Some(cap) = self.caps.at(row) {
            self.subjects.entry(subject).or_default().insert(cap, row);
        }
    }

    /// Removes a capability and tells which it was cut from.
    fn remove(&mut self, id: CapId) -> Option<CapId> {
        let (row, cap) = self.caps.remove(id)?;
        let parent = cap.parent();
        if let Some(parent) = parent {
            self.by_parent.remove(&(parent, id));
        }
        if let Some(binding) = cap.binding() {
            for ask in &binding.answers {
                self.answers.remove(&(*ask, binding.digest, id));
            }
        }
        self.change_subject(cap.subject, |subject| subject.remove(row));
        self.note(|_| Undo::Removed(Box::new(cap)));
        parent
    }

    fn change_subject(&mut self, pid: Pid, change: impl FnOnce(&mut Subject)) {
        let subject = self.subjects.entry(pid).or_default();
        change(subject);
        if subject.is_empty() {
            self.subjects.remove(&pid);
        }
    }

    fn change_fate(&mut self, id: CapId, change: impl FnOnce(&mut Fate)) {
        if let Some(cap) = self.caps.get_mut(id) {
            let before = cap.fate;
            change(&mut cap.fate);
            self.note(|_| Undo::Fate(id, before));
        }
    }

    fn change_tally(&mut self, id: CapId, change: impl FnOnce(&mut Tally)) {
        if let Some(cap) = self.caps.get_mut(id) {
            let tally = cap.tally_mut();
            let before = tally.clone();
            change(tally);
            self.note(|_| Undo::Tally(id, Box::new(before)));
        }
    }

    fn set_held(&mut self, op: OpId, charges: Option<Arc<[Charge]>>) {
        let before = match charges {
            Some(charges) => self.held.insert(op, charges),
            None => self.held.remove(&op),
        };
        self.note(|_| Undo::Held(op, before));
    }

    fn set_saved(&mut self, checkpoint: CheckpointId, saved: Option<Arc<Saved>>) {
        let now = saved.clone();
        let before = match saved {
            Some(saved) => self.saved.insert(checkpoint, saved),
            None => self.saved.remove(&checkpoint),
        };
        for subject in [&before, &now].into_iter().flatten().flat_map(|it| it.subjects.keys()) {
            let holds = self.saved.values().filter(|saved| saved.subjects.contains_key(subject));
            match holds.map(|saved| saved.last).max() {
                Some(last) => drop(self.saved_until.insert(*subject, last)),
                None => drop(self.saved_until.remove(subject)),
            }
        }
        self.note(|_| Undo::Saved(checkpoint, before));
    }

    fn set_bounds(&mut self, pid: Pid, bounds: Option<Arc<Bounds>>) {
        let mut before = None;
        self.change_subject(pid, |subject| before = std::mem::replace(&mut subject.bounds, bounds));
        self.note(|_| Undo::Bounds(pid, before));
    }
}

impl Serialize for Tables {
    /// What is not derived, in the order of ids.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let bounded = self.subjects.iter().filter_map(|(pid, it)| Some((pid, it.bounds.as_ref()?)));
        let bounded: BTreeMap<_, _> = bounded.collect();
        let caps: Vec<&Cap> = self.caps.after(CapId(0)).collect();
        let held = (&self.held, &self.saved);
        (caps, self.last, held, &self.family, bounded).serialize(s)
    }
}

/// Every pair of a parent with one of its children.
fn below(parent: CapId) -> RangeInclusive<(CapId, CapId)> {
    (parent, CapId(0))..=(parent, CapId(u64::MAX))
}
