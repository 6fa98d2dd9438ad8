//! The pure state: every capability, what is set aside and spent, and the indexes to find them.
//!
//! [`State`] changes by applying [`CapabilityEvent`]s and in no other way. It sits behind one
//! pointer and holds persistent maps only, so marking a state to come back to copies a pointer.
//!
//! Invariants of the fields:
//! - a capability stays as long as one cut from it stays: lineage is never broken;
//! - `cut_off` is set on everything below a revoked capability, at once, so that a decision needs
//!   no walk to see it; expiry is clipped to the parent's when a capability is made, likewise;
//! - approvals are found by the question they answer and nowhere else, so they cannot act alone;
//! - everything below the line `derived` in [`Tables`] follows from the rest and is not hashed.

use std::{collections::BTreeMap, hash::Hasher, ops::RangeInclusive, sync::Arc};

use imbl::{GenericHashMap, OrdMap, OrdSet, shared_ptr::DefaultSharedPtr};
use libos_abi::{
    Binding, CapId, CapabilityInfo, Digest, Effect, Form, GrantSpec, OpId, Pattern, Pid, Resource,
    Right, Rights, Status,
    capability::Charge,
    event::{CapabilityEvent, NewCapability},
    wire,
};
use libos_port::Fold;
use regex::Regex;
use rustc_hash::{FxBuildHasher, FxHasher};
use serde::{Serialize, Serializer};

use crate::{condition, limits::CAPABILITIES_OF_ONE_SUBJECT_MAX};

/// A hash map: where its order could show, it is sorted first.
type Index<K, V> = GenericHashMap<K, V, FxBuildHasher, DefaultSharedPtr>;

/// The state of the engine.
#[derive(Clone, Default, Serialize)]
pub(crate) struct State(Arc<Tables>);

impl Fold for State {
    type Event = CapabilityEvent;

    fn apply(&mut self, event: &CapabilityEvent) {
        let tables = Arc::make_mut(&mut self.0);
        match event {
            CapabilityEvent::Granted(new) => tables.grant(new),
            CapabilityEvent::Revoked { capability, .. } => tables.revoke(*capability),
            CapabilityEvent::Reserved { op, charges } => tables.reserve(*op, charges),
            CapabilityEvent::Settled { op, gave_back } => tables.settle(*op, *gave_back),
            CapabilityEvent::SubjectEnded { subject } => tables.end(*subject),
            CapabilityEvent::ChildKnown { parent, child } => {
                tables.parents.insert(*child, *parent);
            }
        }
    }
}

impl std::ops::Deref for State {
    type Target = Tables;
    fn deref(&self) -> &Tables {
        &self.0
    }
}

/// What the state consists of.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Tables {
    /// Hashed, because every decision looks here; digested in the order of ids.
    #[serde(serialize_with = "in_order")]
    caps: Index<CapId, Cap>,
    /// The highest id given so far.
    last: u64,
    /// What operations under way have set aside.
    held: OrdMap<OpId, Arc<[Charge]>>,
    /// The parent of each process that lives and has one.
    parents: OrdMap<Pid, Pid>,

    // derived
    #[serde(skip)]
    subjects: Index<Pid, Subject>,
    /// By subject and hash of a pattern's base.
    #[serde(skip)]
    patterns: Index<(Pid, u64), Arc<[Entry]>>,
    #[serde(skip)]
    by_subject: OrdSet<(Pid, CapId)>,
    /// Parent, then child.
    #[serde(skip)]
    by_parent: OrdSet<(CapId, CapId)>,
    /// The question, the call, then the approval that answers it.
    #[serde(skip)]
    answers: OrdSet<(CapId, Digest, CapId)>,
}

/// What the index knows of a subject before it looks for patterns.
#[derive(Clone, Copy, Default)]
struct Subject {
    count: u32,
    /// Which lengths, modulo 64, the bases of its patterns have or had: most parts of a
    /// resource's path are ruled out by this without a look-up.
    lengths: u64,
}

impl Subject {
    fn may_have(self, length: usize) -> bool {
        self.lengths & (1 << (length % 64)) != 0
    }
}

/// A place in the index: enough to pass by capabilities of other rights.
#[derive(Clone, Copy)]
struct Entry {
    id: CapId,
    rights: Rights,
}

/// One capability.
#[derive(Clone, Serialize)]
pub(crate) struct Cap {
    pub(crate) made: Arc<Made>,
    /// It was taken back itself.
    pub(crate) revoked: bool,
    /// One that it was cut from was taken back.
    pub(crate) cut_off: bool,
    /// Its subject has ended; it serves as lineage only.
    pub(crate) ended: bool,
    tally: Option<Arc<Tally>>,
}

/// What never changes about a capability.
pub(crate) struct Made {
    pub(crate) new: NewCapability,
    /// When it ends, or the first of its ancestors does.
    pub(crate) expires_at_ms: Option<u64>,
    /// Whether some ancestor has conditions or limits, so that decisions must look at them.
    inherits: bool,
    compiled: Box<[Option<Regex>]>,
}

impl Serialize for Made {
    /// The canonical bytes: through serde two grants could look the same once fields are left out.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&wire::encode(&self.new))
    }
}

/// What a capability's limits have let through.
#[derive(Clone, Default, Serialize)]
struct Tally {
    spent: Amounts,
    held: Amounts,
}

/// Uses, calls and sums. Adding saturates, so a limit once reached stays reached.
#[derive(Clone, Default, Serialize)]
struct Amounts {
    uses: u32,
    calls: u64,
    sums: BTreeMap<String, u64>,
}

impl Amounts {
    fn add(&mut self, charge: &Charge) {
        self.uses = self.uses.saturating_add(charge.uses);
        self.calls = self.calls.saturating_add(charge.calls);
        for sum in &charge.sums {
            let total = self.sums.entry(sum.arg.clone()).or_default();
            *total = total.saturating_add(sum.amount);
        }
    }

    fn take(&mut self, charge: &Charge) {
        self.uses = self.uses.saturating_sub(charge.uses);
        self.calls = self.calls.saturating_sub(charge.calls);
        for sum in &charge.sums {
            if let Some(total) = self.sums.get_mut(&sum.arg) {
                *total = total.saturating_sub(sum.amount);
            }
        }
    }
}

impl Cap {
    /// What was asked for when it was made.
    pub(crate) fn grant(&self) -> &GrantSpec {
        &self.made.new.grant
    }

    /// What ties it to a request, for an approval.
    pub(crate) fn binding(&self) -> Option<&Binding> {
        self.made.new.binding.as_ref()
    }

    /// Whether it or one above it was taken back.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked || self.cut_off
    }

    /// Whether its time, or that of one above it, has passed.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.made.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// Whether it is neither taken back, nor past its time, nor its subject's end.
    pub(crate) fn in_force(&self, now_ms: u64) -> bool {
        !self.is_revoked() && !self.ended && !self.is_expired(now_ms)
    }

    /// Whether its own conditions hold for `call`.
    pub(crate) fn met(&self, call: &libos_abi::Syscall) -> condition::Met {
        condition::met(&self.grant().when, &self.made.compiled, call)
    }

    /// Uses spent and set aside.
    pub(crate) fn uses_taken(&self) -> u32 {
        let tally = self.tally.as_deref();
        tally.map_or(0, |t| t.spent.uses.saturating_add(t.held.uses))
    }

    /// Calls spent and set aside.
    pub(crate) fn calls_taken(&self) -> u64 {
        let tally = self.tally.as_deref();
        tally.map_or(0, |t| t.spent.calls.saturating_add(t.held.calls))
    }

    /// The sum of `arg` spent and set aside.
    pub(crate) fn sum_taken(&self, arg: &str) -> u64 {
        let of = |amounts: &Amounts| amounts.sums.get(arg).copied().unwrap_or(0);
        let tally = self.tally.as_deref();
        tally.map_or(0, |t| of(&t.spent).saturating_add(of(&t.held)))
    }

    /// Whether every use, or every call, is spent for good.
    pub(crate) fn is_exhausted(&self) -> bool {
        let (uses, calls) = self.tally.as_deref().map_or((0, 0), |t| (t.spent.uses, t.spent.calls));
        let grant = self.grant();
        grant.uses.is_some_and(|max| uses >= max) || grant.calls_max.is_some_and(|max| calls >= max)
    }

    fn is_idle(&self) -> bool {
        let tally = self.tally.as_deref();
        tally.is_none_or(|t| t.held.uses == 0 && t.held.calls == 0)
    }
}

impl Tables {
    /// The capability `id`.
    pub(crate) fn get(&self, id: CapId) -> Option<&Cap> {
        self.caps.get(&id)
    }

    /// The id the next capability gets.
    pub(crate) fn next_id(&self) -> CapId {
        CapId(self.last.saturating_add(1))
    }

    /// Whether `child` is known as a living child of `parent`.
    pub(crate) fn is_child(&self, parent: Pid, child: Pid) -> bool {
        self.parents.get(&child) == Some(&parent)
    }

    /// Whether `child` is known as a living child of anyone.
    pub(crate) fn has_parent(&self, child: Pid) -> bool {
        self.parents.contains_key(&child)
    }

    /// What the operation has set aside.
    pub(crate) fn reservation(&self, op: OpId) -> Option<&Arc<[Charge]>> {
        self.held.get(&op)
    }

    /// Every capability, in the order of ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (CapId, &Cap)> {
        sorted(&self.caps).into_iter()
    }

    /// Every capability of `subject`, in the order of ids.
    pub(crate) fn of(&self, subject: Pid) -> impl Iterator<Item = (CapId, &Cap)> {
        self.by_subject
            .range((subject, CapId(0))..=(subject, CapId(u64::MAX)))
            .filter_map(|(_, id)| Some((*id, self.get(*id)?)))
    }

    /// Whether `subject` may hold `more` capabilities. Spent ones make room.
    pub(crate) fn has_room(&self, subject: Pid, more: usize) -> bool {
        let count = self.subjects.get(&subject).map_or(0, |s| s.count as usize);
        count + more <= CAPABILITIES_OF_ONE_SUBJECT_MAX
            || count + more
                <= CAPABILITIES_OF_ONE_SUBJECT_MAX + self.spent(subject).take(more).count()
    }

    /// Those of `subject` that can never matter again, oldest first.
    fn spent(&self, subject: Pid) -> impl Iterator<Item = CapId> {
        self.of(subject)
            .filter(|(id, cap)| {
                let over =
                    cap.is_revoked() || (cap.grant().effect == Effect::Allow && cap.is_exhausted());
                over && cap.is_idle() && !self.is_parent(*id)
            })
            .map(|(id, _)| id)
    }

    fn is_parent(&self, id: CapId) -> bool {
        self.by_parent.range(below(id)).next().is_some()
    }

    /// Calls `visit` with every capability of `subject` that speaks of `right` on `on`, except
    /// approvals. Looks at each part of the resource's path once; allocates nothing.
    pub(crate) fn each_match<'t>(
        &'t self,
        subject: Pid,
        right: Right,
        on: &Resource,
        mut visit: impl FnMut(CapId, &'t Cap),
    ) {
        let Some(known) = self.subjects.get(&subject) else {
            return;
        };
        let text = on.as_str().as_bytes();
        let mut look = |end: usize| {
            let Some(entries) = self.patterns.get(&(subject, hash(&text[..end]))) else {
                return;
            };
            for entry in entries.iter().filter(|entry| entry.rights.contains(right)) {
                if let Some(cap) = self.get(entry.id)
                    && cap.grant().on.matches(on)
                {
                    visit(entry.id, cap);
                }
            }
        };
        for (at, byte) in text.iter().enumerate() {
            if matches!(byte, b'/' | b':') && known.may_have(at) {
                look(at);
            }
        }
        if known.may_have(text.len()) {
            look(text.len());
        }
    }

    /// The capability itself, then those above it, nearest first: as far as they have a say in a
    /// decision, that is while some ancestor has conditions or limits.
    pub(crate) fn deciding<'t>(
        &'t self,
        id: CapId,
        cap: &'t Cap,
    ) -> impl Iterator<Item = (CapId, &'t Cap)> {
        std::iter::successors(Some((id, cap)), |(_, cap)| {
            cap.made.inherits.then(|| self.above(cap)).flatten()
        })
    }

    /// The one `cap` was cut from.
    pub(crate) fn above(&self, cap: &Cap) -> Option<(CapId, &Cap)> {
        let parent = cap.made.new.parent?;
        Some((parent, self.get(parent)?))
    }

    /// Everything cut from `id`, at any depth; parents before children.
    pub(crate) fn descendants(&self, id: CapId) -> Vec<CapId> {
        let mut found = Vec::new();
        let mut next = vec![id];
        while let Some(parent) = next.pop() {
            for (_, child) in self.by_parent.range(below(parent)) {
                found.push(*child);
                next.push(*child);
            }
        }
        found
    }

    /// The approvals that answer the question `ask` for the call of this digest.
    pub(crate) fn answers(
        &self,
        ask: CapId,
        digest: Digest,
    ) -> impl Iterator<Item = (CapId, &Cap)> {
        self.answers
            .range((ask, digest, CapId(0))..=(ask, digest, CapId(u64::MAX)))
            .filter_map(|(_, _, id)| Some((*id, self.get(*id)?)))
    }

    /// Whether it can still be used.
    pub(crate) fn status(&self, id: CapId, cap: &Cap, now_ms: u64) -> Status {
        if cap.is_revoked() {
            Status::Revoked
        } else if cap.ended {
            Status::Ended
        } else if cap.is_expired(now_ms) {
            Status::Expired
        } else if self.deciding(id, cap).any(|(_, cap)| cap.is_exhausted()) {
            Status::Exhausted
        } else {
            Status::Active
        }
    }

    /// It as its holder and the host see it.
    pub(crate) fn info(&self, id: CapId, cap: &Cap, now_ms: u64) -> CapabilityInfo {
        let (new, grant) = (&cap.made.new, cap.grant());
        CapabilityInfo {
            id,
            subject: new.subject,
            effect: grant.effect,
            on: grant.on.clone(),
            rights: grant.rights,
            uses_left: grant.uses.map(|max| max.saturating_sub(cap.uses_taken())),
            expires_at_ms: cap.made.expires_at_ms,
            delegable: grant.delegable,
            calls_left: grant.calls_max.map(|max| max.saturating_sub(cap.calls_taken())),
            when: grant.when.clone(),
            parent: new.parent,
            origin: new.origin.clone(),
            binding: new.binding.clone(),
            status: self.status(id, cap, now_ms),
        }
    }

    fn grant(&mut self, new: &NewCapability) {
        let subject = new.subject;
        let count = self.subjects.get(&subject).map_or(0, |s| s.count as usize);
        if count >= CAPABILITIES_OF_ONE_SUBJECT_MAX {
            let spent = self.spent(subject).next();
            spent.into_iter().for_each(|id| self.forget(id));
        }
        self.last = self.last.max(new.id.0);
        let parent = new.parent.and_then(|id| self.get(id));
        let mut expires_at_ms = new.expires_at_ms;
        let (mut inherits, mut cut_off) = (false, false);
        if let Some(parent) = parent {
            let until = [expires_at_ms, parent.made.expires_at_ms];
            expires_at_ms = until.into_iter().flatten().min();
            cut_off = parent.is_revoked();
            let grant = parent.grant();
            inherits = parent.made.inherits
                || !grant.when.is_empty()
                || grant.calls_max.is_some()
                || grant.uses.is_some();
        }
        let cap = Cap {
            made: Arc::new(Made {
                new: new.clone(),
                expires_at_ms,
                inherits,
                compiled: condition::compile(&new.grant.when),
            }),
            revoked: false,
            cut_off,
            ended: false,
            tally: None,
        };
        self.index(new);
        self.caps.insert(new.id, cap);
    }

    fn index(&mut self, new: &NewCapability) {
        let (subject, id) = (new.subject, new.id);
        self.by_subject.insert((subject, id));
        if let Some(parent) = new.parent {
            self.by_parent.insert((parent, id));
        }
        let known = self.subjects.entry(subject).or_default();
        known.count += 1;
        if let Some(binding) = &new.binding {
            for ask in &binding.answers {
                self.answers.insert((*ask, binding.digest, id));
            }
            return;
        }
        let base = base(&new.grant.on);
        known.lengths |= 1 << (base.len() % 64);
        let key = (subject, hash(base.as_bytes()));
        let entry = Entry { id, rights: new.grant.rights };
        let there = self.patterns.get(&key).map_or(&[][..], |entries| entries);
        let entries = there.iter().copied().chain([entry]).collect();
        self.patterns.insert(key, entries);
    }

    fn revoke(&mut self, id: CapId) {
        let Some(cap) = self.caps.get_mut(&id) else {
            return;
        };
        cap.revoked = true;
        for below in self.descendants(id) {
            if let Some(cap) = self.caps.get_mut(&below) {
                cap.cut_off = true;
            }
        }
    }

    fn reserve(&mut self, op: OpId, charges: &[Charge]) {
        for charge in charges {
            self.change_tally(charge, |tally| tally.held.add(charge));
        }
        self.held.insert(op, charges.into());
    }

    fn settle(&mut self, op: OpId, gave_back: bool) {
        let Some(charges) = self.held.remove(&op) else {
            return;
        };
        for charge in &*charges {
            self.change_tally(charge, |tally| {
                tally.held.take(charge);
                if !gave_back {
                    tally.spent.add(charge);
                }
            });
            // A spent approval never acts again, and a process may get one a minute for years.
            let id = charge.capability;
            let over = |cap: &Cap| cap.binding().is_some() && cap.is_exhausted() && cap.is_idle();
            if self.get(id).is_some_and(over) {
                self.forget(id);
            }
        }
    }

    fn change_tally(&mut self, charge: &Charge, change: impl FnOnce(&mut Tally)) {
        if let Some(cap) = self.caps.get_mut(&charge.capability) {
            change(Arc::make_mut(cap.tally.get_or_insert_default()));
        }
    }

    fn end(&mut self, subject: Pid) {
        self.parents.remove(&subject);
        let ids: Vec<CapId> = self.of(subject).map(|(id, _)| id).collect();
        for id in ids {
            if let Some(cap) = self.caps.get_mut(&id) {
                cap.ended = true;
            }
            self.forget_lineage(Some(id));
        }
    }

    /// Forgets an ended capability that nothing is cut from any more, then the one it was cut
    /// from if the same holds of that, and so on.
    fn forget_lineage(&mut self, mut id: Option<CapId>) {
        while let Some(at) = id {
            match self.get(at) {
                Some(cap) if cap.ended && !self.is_parent(at) => {
                    id = cap.made.new.parent;
                    self.remove(at);
                }
                _ => return,
            }
        }
    }

    fn forget(&mut self, id: CapId) {
        if let Some(cap) = self.remove(id) {
            self.forget_lineage(cap.made.new.parent);
        }
    }

    fn remove(&mut self, id: CapId) -> Option<Cap> {
        let cap = self.caps.remove(&id)?;
        let new = &cap.made.new;
        self.by_subject.remove(&(new.subject, id));
        if let Some(parent) = new.parent {
            self.by_parent.remove(&(parent, id));
        }
        if let Some(known) = self.subjects.get_mut(&new.subject) {
            known.count -= 1;
            if known.count == 0 {
                self.subjects.remove(&new.subject);
            }
        }
        if let Some(binding) = &new.binding {
            for ask in &binding.answers {
                self.answers.remove(&(*ask, binding.digest, id));
            }
            return Some(cap);
        }
        let key = (new.subject, hash(base(&new.grant.on).as_bytes()));
        if let Some(entries) = self.patterns.get(&key) {
            let rest: Arc<[Entry]> = entries.iter().copied().filter(|e| e.id != id).collect();
            match rest.is_empty() {
                true => drop(self.patterns.remove(&key)),
                false => drop(self.patterns.insert(key, rest)),
            }
        }
        Some(cap)
    }
}

fn sorted(caps: &Index<CapId, Cap>) -> Vec<(CapId, &Cap)> {
    let mut all: Vec<(CapId, &Cap)> = caps.iter().map(|(id, cap)| (*id, cap)).collect();
    all.sort_unstable_by_key(|(id, _)| *id);
    all
}

fn in_order<S: Serializer>(caps: &Index<CapId, Cap>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(sorted(caps))
}

/// Every pair of a parent with one of its children.
fn below(parent: CapId) -> RangeInclusive<(CapId, CapId)> {
    (parent, CapId(0))..=(parent, CapId(u64::MAX))
}

/// The text of a pattern without its star: where the index files it.
fn base(pattern: &Pattern) -> &str {
    match pattern.form() {
        Form::Exact(text) | Form::Subtree(text) | Form::Prefix(text) => text,
    }
}

/// Not keyed: a process that makes names collide slows down its own decisions only, and at most
/// to a walk over the capabilities one subject may hold.
fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}
