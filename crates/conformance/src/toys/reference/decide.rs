//! The reference model of authority: a list of grants, read from the top for every decision.
//!
//! Plain code for people to check against "Authority" in `docs/architecture.md`. There is no index,
//! and nothing is kept that follows from the rest, so it is slow. It sets no limit to the
//! capabilities of one process. It decides what the engine decides, by capabilities of the same
//! ids.

use libos_abi::{
    ArgView, CapId, Condition, Denial, DenyReason, Effect, Few, Label, Manifest, Need, OpId, Pid,
    Status, Syscall,
    capability::{Charge, Sum},
    checkpoint::Revived,
    event::{CapabilityEvent, NewCapability},
    wire,
};
use libos_port::{BadSnapshot, Decision, Fold, Query, load_version, save_version};
use serde::Serialize;

use super::{
    condition::{Met, amount, met, words},
    hand::names,
    saved::Saved,
};

/// The state: everything that happened, in order.
#[derive(Clone, Default, Serialize)]
pub(super) struct Grants {
    pub(super) all: Vec<Cap>,
    /// What parents and children hold because they are, in the order of ids, also of those that
    /// are gone, and what of it was taken back.
    pub(super) kin: Vec<Cap>,
    pub(super) cut: Vec<CapId>,
    pub(super) gone: Vec<Pid>,
    /// The last id that was given.
    pub(super) last: u64,
    /// What operations under way have set aside.
    pub(super) held: Vec<(OpId, Vec<Charge>)>,
    /// Child and parent, while the child lives.
    pub(super) family: Vec<(Pid, Pid)>,
    /// What bounds each process: its own manifests, and those of everyone above it.
    pub(super) bounds: Vec<(Pid, Manifest)>,
    pub(super) saved: Vec<Saved>,
}

#[derive(Clone, Serialize)]
pub(super) struct Cap {
    pub(super) made: NewCapability,
    pub(super) revoked: bool,
    pub(super) ended: bool,
    /// What was taken for good.
    pub(super) spent: Vec<Charge>,
}

impl Cap {
    fn new(made: NewCapability) -> Self {
        Self { made, revoked: false, ended: false, spent: Vec::new() }
    }

    /// Whether every use, or every call, is taken for good.
    pub(super) fn is_exhausted(&self) -> bool {
        let (grant, (uses, calls)) = (&self.made.grant, totals(&self.spent));
        grant.uses.is_some_and(|max| uses >= max) || grant.calls_max.is_some_and(|max| calls >= max)
    }
}

/// Uses and calls of some charges.
pub(super) fn totals(charges: &[Charge]) -> (u32, u64) {
    charges.iter().fold((0, 0), |(uses, calls), it| (uses + it.uses, calls + it.calls))
}

impl Fold for Grants {
    type Event = CapabilityEvent;

    fn apply(&mut self, event: &CapabilityEvent) {
        match event {
            CapabilityEvent::Granted(made) => {
                self.last = made.id.0;
                self.all.push(Cap::new((**made).clone()));
            }
            CapabilityEvent::Revoked { capability, .. } => self.take_back(&[*capability]),
            CapabilityEvent::Kept { dropped, .. } => self.take_back(dropped),
            CapabilityEvent::Reserved { op, charges } => self.held.push((*op, charges.clone())),
            CapabilityEvent::Settled { op, gave_back } => {
                let settled = self.held.extract_if(.., |(held, _)| held == op);
                for charge in settled.flat_map(|(_, charges)| charges).filter(|_| !gave_back) {
                    let cap = self.all.iter_mut().find(|cap| cap.made.id == charge.capability);
                    cap.into_iter().for_each(|cap| cap.spent.push(charge.clone()));
                }
            }
            CapabilityEvent::SubjectEnded { subject } => {
                self.family.retain(|(child, _)| child != subject);
                self.gone.push(*subject);
                self.bounds.retain(|(pid, _)| pid != subject);
                let theirs = self.all.iter_mut().filter(|cap| cap.made.subject == *subject);
                theirs.for_each(|cap| cap.ended = true);
            }
            CapabilityEvent::ChildKnown { parent, child } => {
                self.family.retain(|(known, _)| known != child);
                self.family.push((*child, *parent));
                self.know_kin(*child, Some(*parent));
                let above: Vec<Manifest> = self.bounding(*parent).cloned().collect();
                self.bounds.extend(above.into_iter().map(|manifest| (*child, manifest)));
            }
            CapabilityEvent::Bounded { pid, manifest } => {
                self.bounds.push((*pid, manifest.clone()));
            }
            CapabilityEvent::Saved { checkpoint, subjects, at_ms } => {
                let is_active = |cap: &&Cap| {
                    let is_here = subjects.contains(&cap.made.subject);
                    is_here && self.info(cap, *at_ms).status == Status::Active
                };
                let in_force = self.all.iter().filter(is_active).map(|cap| cap.made.id).collect();
                let bounds = self.bounds.iter().filter(|(pid, _)| subjects.contains(pid));
                self.saved.push(Saved {
                    checkpoint: *checkpoint,
                    last: self.last,
                    subjects: subjects.clone(),
                    bounds: bounds.cloned().collect(),
                    in_force,
                });
            }
            CapabilityEvent::Forgotten { checkpoint } => {
                self.saved.retain(|saved| saved.checkpoint != *checkpoint);
            }
            CapabilityEvent::Restored { checkpoint, revived, revoked } => {
                let saved = self.saved.iter().find(|saved| saved.checkpoint == *checkpoint);
                let bounds = saved.map(|saved| saved.bounds.clone()).unwrap_or_default();
                for Revived { pid, parent } in revived {
                    let theirs = self.all.iter_mut().filter(|cap| cap.made.subject == *pid);
                    theirs.for_each(|cap| cap.ended = false);
                    self.family.extend(parent.map(|parent| (*pid, parent)));
                    self.know_kin(*pid, *parent);
                    self.bounds.extend(bounds.iter().filter(|(of, _)| of == pid).cloned());
                }
                self.take_back(revoked);
            }
            CapabilityEvent::BoundsCopied { checkpoint, from, to } => {
                let saved = self.saved.iter().find(|saved| saved.checkpoint == *checkpoint);
                let bounds = saved.into_iter().flat_map(|saved| &saved.bounds);
                let bounds = bounds.filter(|(of, _)| of == from);
                self.bounds.extend(bounds.map(|(_, manifest)| (*to, manifest.clone())));
            }
        }
        self.forget();
    }
}

/// When something is decided, and on what.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) now_ms: u64,
    pub(super) call: Call<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Is(&'a Syscall, Label),
    /// None: conditions count as met.
    Fitting,
    /// None: whatever has conditions or limits helps nobody.
    Unknown,
}

/// Why a capability does not help; the most telling has the least rank.
pub(super) type Unfit = (u8, DenyReason);

pub(super) enum Verdict<'g> {
    Allow(&'g Cap),
    Ask(Vec<&'g Cap>),
    Deny(DenyReason),
}

impl Grants {
    /// The whole state as bytes.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let Self { all, last, kin, cut, gone, held, family, bounds, saved } = self;
        save_version(1, out);
        for caps in [all, kin] {
            let caps = caps.iter().map(|cap| (&cap.made, cap.revoked, cap.ended, &cap.spent));
            wire::encode_each(caps, out);
        }
        wire::encode_into(&(last, cut, gone, held, family, bounds), out);
        let saved = saved.iter().map(|saved| {
            let Saved { checkpoint, last, subjects, bounds, in_force } = saved;
            (checkpoint, last, subjects, bounds, in_force)
        });
        wire::encode_each(saved, out);
    }

    /// The state of these bytes.
    pub(super) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut bytes = load_version(1, bytes)?;
        let mut caps = [Vec::new(), Vec::new()];
        for caps in &mut caps {
            bytes.each(|(made, revoked, ended, spent)| {
                caps.push(Cap { made, revoked, ended, spent });
                Ok::<(), BadSnapshot>(())
            })?;
        }
        let [all, kin] = caps;
        let (last, cut, gone, held, family, bounds) = bytes.read()?;
        let mut saved = Vec::new();
        bytes.each(|(checkpoint, last, subjects, bounds, in_force)| {
            saved.push(Saved { checkpoint, last, subjects, bounds, in_force });
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.end()?;
        Ok(Self { all, last, kin, cut, gone, held, family, bounds, saved })
    }

    fn know_kin(&mut self, child: Pid, parent: Option<Pid>) {
        self.gone.retain(|pid| *pid != child);
        self.kin.retain(|cap| cap.made.id.kin_child() != Some(child));
        let both = parent.into_iter().flat_map(|parent| NewCapability::kin(parent, child));
        let kin = both.map(Cap::new);
        let kin = kin.map(|cap| Cap { revoked: self.cut.contains(&cap.made.id), ..cap });
        self.kin.extend(kin);
        self.kin.sort_by_key(|cap| cap.made.id);
    }

    fn take_back(&mut self, ids: &[CapId]) {
        self.cut.extend(ids.iter().filter(|id| id.kin_child().is_some()));
        let every = self.all.iter_mut().chain(&mut self.kin);
        let them = every.filter(|cap| ids.contains(&cap.made.id));
        them.for_each(|cap| cap.revoked = true);
    }

    /// Forgets what can never matter again: approvals that are used up, and what has ended and is
    /// no lineage of anything.
    fn forget(&mut self) {
        loop {
            let is_parent = |id: CapId| self.all.iter().any(|cap| cap.made.parent == Some(id));
            let is_over = |cap: &&Cap| {
                let is_held = self.taken(cap).len() > cap.spent.len();
                let is_used_up = cap.made.binding.is_some() && cap.is_exhausted() && !is_held;
                is_used_up || (cap.ended && !is_parent(cap.made.id) && !self.is_saved(cap))
            };
            let over: Vec<CapId> = self.all.iter().filter(is_over).map(|cap| cap.made.id).collect();
            if over.is_empty() {
                return;
            }
            self.all.retain(|cap| !over.contains(&cap.made.id));
        }
    }

    /// Whether a checkpoint wants a capability of a process that has ended.
    fn is_saved(&self, cap: &Cap) -> bool {
        let made = &cap.made;
        let wants = |saved: &Saved| {
            let was_there = made.id.0 <= saved.last;
            saved.subjects.contains(&made.subject)
                && (was_there || made.grant.effect != Effect::Allow)
        };
        self.saved.iter().any(wants)
    }

    pub(super) fn get(&self, id: CapId) -> Option<&Cap> {
        self.every().find(|cap| cap.made.id == id)
    }

    /// Every capability in the order of ids.
    pub(super) fn every(&self) -> impl Iterator<Item = &Cap> {
        let is_there = |cap: &&Cap| !self.gone.contains(&cap.made.subject);
        self.all.iter().chain(self.kin.iter().filter(is_there))
    }

    pub(super) fn of(&self, subject: Pid) -> impl Iterator<Item = &Cap> {
        self.every().filter(move |cap| cap.made.subject == subject)
    }

    /// The capability, the one it was cut from, and so on: every one of them binds.
    pub(super) fn chain<'g>(&'g self, cap: &'g Cap) -> impl Iterator<Item = &'g Cap> {
        std::iter::successors(Some(cap), |cap| self.get(cap.made.parent?))
    }

    /// Every manifest that bounds a process.
    pub(super) fn bounding(&self, pid: Pid) -> impl Iterator<Item = &Manifest> {
        self.bounds.iter().filter(move |(bounded, _)| *bounded == pid).map(|(_, manifest)| manifest)
    }

    pub(super) fn is_revoked(&self, cap: &Cap) -> bool {
        self.chain(cap).any(|cap| cap.revoked)
    }

    /// When the first of the chain ends.
    pub(super) fn ends(&self, cap: &Cap) -> Option<u64> {
        self.chain(cap).filter_map(|cap| cap.made.expires_at_ms).min()
    }

    pub(super) fn in_force(&self, cap: &Cap, now_ms: u64) -> bool {
        !cap.ended && !self.is_revoked(cap) && self.ends(cap).is_none_or(|ends| ends > now_ms)
    }

    fn met(&self, cap: &Cap, at: At<'_>) -> Met {
        let grants = self.chain(cap).map(|cap| &cap.made.grant);
        match at.call {
            Call::Is(call, label) => {
                let all = grants.flat_map(|grant| &grant.when.0);
                let one = |(name, it): (&String, &Condition)| match words(name, label) {
                    Some(words) => {
                        let each = words.iter().map(|word| met(it, ArgView::Text(word)));
                        each.min().unwrap_or(Met::No)
                    }
                    None => met(it, call.arg(name)),
                };
                all.map(one).max().unwrap_or(Met::Yes)
            }
            Call::Fitting => Met::Yes,
            Call::Unknown => {
                let is_bound = grants
                    .map(|it| !it.when.is_empty() || it.uses.or(it.calls_max.map(|_| 1)).is_some());
                if is_bound.max() == Some(true) { Met::Unknown } else { Met::Yes }
            }
        }
    }

    /// What was taken from a capability: for good, or set aside.
    pub(super) fn taken(&self, cap: &Cap) -> Vec<Charge> {
        let held = self.held.iter().flat_map(|(_, charges)| charges);
        let held = held.filter(|charge| charge.capability == cap.made.id);
        cap.spent.iter().chain(held).cloned().collect()
    }

    /// Which of its own limits a capability would pass by one more charge.
    pub(super) fn passes(&self, cap: &Cap, more: &Charge) -> Option<Unfit> {
        let (id, grant, mut all) = (cap.made.id, &cap.made.grant, self.taken(cap));
        all.push(more.clone());
        let total =
            |of: &dyn Fn(&Charge) -> u64| all.iter().map(|it| u128::from(of(it))).sum::<u128>();
        let exceeds = |max: Option<u64>, of: &dyn Fn(&Charge) -> u64| {
            max.is_some_and(|max| total(of) > u128::from(max))
        };
        let sum_exceeds = |sum: &Sum| {
            let max = grant.when.0.get(&sum.arg).and_then(|condition| condition.sum_max);
            exceeds(max, &|charge| {
                let same = charge.sums.iter().filter(|it| it.arg == sum.arg);
                same.fold(0, |all, it| it.amount.saturating_add(all))
            })
        };
        if exceeds(grant.uses.map(u64::from), &|charge| charge.uses.into()) {
            Some((1, DenyReason::Exhausted(id)))
        } else if exceeds(grant.calls_max, &|charge| charge.calls)
            || more.sums.iter().any(sum_exceeds)
        {
            Some((2, DenyReason::Limit(id)))
        } else {
            None
        }
    }

    /// What one call takes from one capability.
    fn charge(cap: &Cap, at: At<'_>) -> Charge {
        let grant = &cap.made.grant;
        let limited = grant.when.0.iter().filter(|(_, condition)| condition.sum_max.is_some());
        let sum = |(arg, _): (&String, _)| match at.call {
            Call::Is(call, _) => {
                Some(Sum { arg: arg.clone(), amount: amount(call.arg(arg)).unwrap_or(0) })
            }
            Call::Fitting | Call::Unknown => None,
        };
        Charge {
            capability: cap.made.id,
            uses: grant.uses.map_or(0, |_| 1),
            calls: grant.calls_max.map_or(0, |_| 1),
            sums: limited.filter_map(sum).collect(),
        }
    }

    /// Which limit of the chain one more call would pass. The capability itself is named.
    fn short(&self, cap: &Cap, at: At<'_>) -> Option<Unfit> {
        let passed = self.chain(cap).find_map(|cap| self.passes(cap, &Self::charge(cap, at)))?;
        Some(match passed.1 {
            DenyReason::Exhausted(_) => (1, DenyReason::Exhausted(cap.made.id)),
            _ => (2, DenyReason::Limit(cap.made.id)),
        })
    }

    fn unfit(&self, cap: &Cap, at: At<'_>) -> Option<Unfit> {
        let id = cap.made.id;
        if cap.ended {
            Some((5, DenyReason::NoGrant))
        } else if self.is_revoked(cap) {
            Some((4, DenyReason::Revoked(id)))
        } else if !self.in_force(cap, at.now_ms) {
            Some((3, DenyReason::Expired(id)))
        } else if self.met(cap, at) != Met::Yes {
            Some((0, DenyReason::Conditions(id)))
        } else {
            self.short(cap, at)
        }
    }

    /// Deny beats ask beats allow; no match is a denial.
    pub(super) fn verdict(&self, subject: Pid, need: &Need, at: At<'_>) -> Verdict<'_> {
        let speaks = |effect: Effect| {
            self.of(subject).filter(
                move |Cap { made: NewCapability { grant, binding, .. }, .. }| {
                    let matches = grant.on.matches(&need.on) && grant.rights.contains(need.right);
                    matches && grant.effect == effect && binding.is_none()
                },
            )
        };
        let applies = |cap: &&Cap| self.in_force(cap, at.now_ms) && self.met(cap, at) != Met::No;
        if let Some(deny) = speaks(Effect::Deny).find(applies) {
            return Verdict::Deny(DenyReason::DenyRule(deny.made.id));
        }
        let asks: Vec<&Cap> = speaks(Effect::Ask).filter(applies).collect();
        // A question that has run out denies: it uncovers no allow behind it.
        if let Some((_, reason)) = asks.iter().find_map(|ask| self.short(ask, at)) {
            return Verdict::Deny(reason);
        }
        if !asks.is_empty() {
            return Verdict::Ask(asks);
        }
        let helps = speaks(Effect::Allow).filter(|cap| self.unfit(cap, at).is_none());
        if let Some(allow) = helps.min_by_key(|cap| cap.made.grant.uses.is_some()) {
            return Verdict::Allow(allow);
        }
        let unfit = speaks(Effect::Allow).filter_map(|cap| self.unfit(cap, at));
        let told = unfit.min_by_key(|(rank, _)| *rank);
        Verdict::Deny(told.map_or(DenyReason::NoGrant, |(_, reason)| reason))
    }

    /// The approval that answers a question for exactly this call: one of the subject, or one of a
    /// process above it that reaches down. That one may answer the question this one is a copy of.
    fn answer(&self, ask: &Cap, query: &Query<'_>, at: At<'_>) -> Option<&Cap> {
        let is_ask = |cap: &&Cap| cap.made.grant.effect == Effect::Ask;
        let asked: Vec<CapId> = self.chain(ask).take_while(is_ask).map(|cap| cap.made.id).collect();
        let answers = |cap: &&Cap| {
            let Some(binding) = &cap.made.binding else { return false };
            let own = cap.made.subject == query.subject;
            let reaches = own || (binding.subtree && query.ancestors.contains(&cap.made.subject));
            let asked = if own { &asked[..1] } else { &asked[..] };
            reaches
                && binding.answers.iter().any(|answered| asked.contains(answered))
                && binding.digest == (query.digest)()
                && binding.op.is_none_or(|op| op == query.op)
                && self.unfit(cap, at).is_none()
        };
        self.all.iter().filter(answers).min_by_key(|cap| cap.made.grant.uses.is_some())
    }

    pub(super) fn decide(&self, query: &Query<'_>) -> Decision {
        let at = At { now_ms: query.now_ms, call: Call::Is(query.call, query.label) };
        let info = query.call.info();
        let mut calls = self.bounding(query.subject).filter_map(|it| it.calls.as_ref());
        if !calls.all(|calls| calls.iter().any(|entry| names(entry, info))) {
            let reason = DenyReason::Manifest(info.name.into());
            return Decision::Deny(Denial { need: query.needs.first().cloned(), reason });
        }
        let (mut by, mut open): (Vec<&Cap>, Few<CapId>) = (Vec::new(), Few::new());
        for need in query.needs {
            match self.verdict(query.subject, need, at) {
                Verdict::Deny(reason) => {
                    return Decision::Deny(Denial { need: Some(need.clone()), reason });
                }
                Verdict::Allow(cap) => by.push(cap),
                Verdict::Ask(asks) => {
                    asks.into_iter().for_each(|ask| match self.answer(ask, query, at) {
                        Some(approval) => by.extend([ask, approval]),
                        None if open.contains(&ask.made.id) => {}
                        None => open.push(ask.made.id),
                    })
                }
            }
        }
        if !open.is_empty() {
            return Decision::Ask { by: open };
        }
        let mut charges: Vec<Charge> = Vec::new();
        for charge in by.iter().flat_map(|cap| self.chain(cap)).map(|cap| Self::charge(cap, at)) {
            let takes = charge.uses > 0 || charge.calls > 0 || !charge.sums.is_empty();
            if takes && charges.iter().all(|it| it.capability != charge.capability) {
                charges.push(charge);
            }
        }
        Decision::Allow { by: by.iter().map(|cap| cap.made.id).collect(), charges }
    }
}
