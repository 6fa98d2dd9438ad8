//! The reference model of authority: a list of grants, read from the top for every decision.
//!
//! Plain code for people to check against "Authority" in `docs/architecture.md`. There is no index,
//! and nothing is kept that follows from the rest, so it is slow. It sets no limit to the
//! capabilities of one process. It decides what the engine decides, by capabilities of the same
//! ids.

use libos_abi::{
    CapId, Condition, Denial, DenyReason, Effect, Few, GrantSpec, Manifest, Need, OpId, Pid,
    Syscall,
    capability::{Charge, Sum},
    event::{CapabilityEvent, NewCapability},
};
use libos_port::{Decision, Fold, Query};
use serde::Serialize;

use super::{
    condition::{Met, amount, met},
    hand::names,
};

/// The state: everything that happened, in order.
#[derive(Clone, Default, Serialize)]
pub(super) struct Grants {
    pub(super) all: Vec<Cap>,
    /// The last id that was given.
    pub(super) last: u64,
    /// What operations under way have set aside.
    pub(super) held: Vec<(OpId, Vec<Charge>)>,
    /// Child and parent, while the child lives.
    pub(super) family: Vec<(Pid, Pid)>,
    /// What bounds each process: its own manifests, and those of everyone above it.
    pub(super) bounds: Vec<(Pid, Manifest)>,
}

#[derive(Clone, Serialize)]
pub(super) struct Cap {
    pub(super) made: NewCapability,
    pub(super) revoked: bool,
    pub(super) ended: bool,
    /// What was taken for good.
    pub(super) spent: Vec<Charge>,
}

impl Fold for Grants {
    type Event = CapabilityEvent;

    fn apply(&mut self, event: &CapabilityEvent) {
        match event {
            CapabilityEvent::Granted(made) => {
                self.last = made.id.0;
                let made = made.clone();
                self.all.push(Cap { made, revoked: false, ended: false, spent: Vec::new() });
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
                self.bounds.retain(|(pid, _)| pid != subject);
                let theirs = self.all.iter_mut().filter(|cap| cap.made.subject == *subject);
                theirs.for_each(|cap| cap.ended = true);
            }
            CapabilityEvent::ChildKnown { parent, child } => {
                self.family.retain(|(known, _)| known != child);
                self.family.push((*child, *parent));
                let above: Vec<Manifest> = self.bounding(*parent).cloned().collect();
                self.bounds.extend(above.into_iter().map(|manifest| (*child, manifest)));
            }
            CapabilityEvent::Bounded { pid, manifest } => {
                self.bounds.push((*pid, manifest.clone()));
            }
        }
        while self.forget() {}
    }
}

/// What a grant may count.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Meter<'g> {
    Uses,
    Calls,
    Sum(&'g str),
}

/// What a grant counts, and how much of it there may be.
pub(super) fn limits(grant: &GrantSpec) -> Vec<(Meter<'_>, u64)> {
    let sums = grant.when.0.iter();
    let sums = sums.filter_map(|(arg, it)| Some((Meter::Sum(arg), it.sum_max?)));
    let uses = grant.uses.map(|max| (Meter::Uses, u64::from(max)));
    let calls = grant.calls_max.map(|max| (Meter::Calls, max));
    uses.into_iter().chain(calls).chain(sums).collect()
}

/// What charges come to.
pub(super) fn total<'c>(charges: impl IntoIterator<Item = &'c Charge>, of: Meter<'_>) -> u64 {
    let each = |charge: &Charge| match of {
        Meter::Uses => charge.uses.into(),
        Meter::Calls => charge.calls,
        Meter::Sum(arg) => {
            let sums = charge.sums.iter().filter(|sum| sum.arg == arg);
            sums.fold(0, |all, sum| sum.amount.saturating_add(all))
        }
    };
    charges.into_iter().fold(0, |all, charge| each(charge).saturating_add(all))
}

/// When something is decided, and on what.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) now_ms: u64,
    pub(super) call: Call<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Is(&'a Syscall),
    /// None: conditions count as met.
    Fitting,
    /// None: whatever has conditions or limits helps nobody.
    Unknown,
}

/// Why a capability does not help; the most telling is the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unfit {
    Conditions,
    Exhausted,
    Limit,
    Expired,
    Revoked,
    Ended,
}

impl Unfit {
    pub(super) fn of(self, id: CapId) -> DenyReason {
        match self {
            Self::Conditions => DenyReason::Conditions(id),
            Self::Exhausted => DenyReason::Exhausted(id),
            Self::Limit => DenyReason::Limit(id),
            Self::Expired => DenyReason::Expired(id),
            Self::Revoked => DenyReason::Revoked(id),
            Self::Ended => DenyReason::NoGrant,
        }
    }
}

pub(super) enum Verdict<'g> {
    Allow(&'g Cap),
    Ask(Vec<&'g Cap>),
    Deny(DenyReason),
}

impl Grants {
    fn take_back(&mut self, ids: &[CapId]) {
        let them = self.all.iter_mut().filter(|cap| ids.contains(&cap.made.id));
        them.for_each(|cap| cap.revoked = true);
    }

    /// Forgets what can never matter again: approvals that are used up, and what has ended and is
    /// no lineage of anything. Whether there was such a thing.
    fn forget(&mut self) -> bool {
        let is_over = |cap: &&Cap| {
            let is_parent = self.all.iter().any(|it| it.made.parent == Some(cap.made.id));
            let is_held = self.taken(cap).len() > cap.spent.len();
            let is_used_up = cap.made.binding.is_some() && is_exhausted(cap) && !is_held;
            is_used_up || (cap.ended && !is_parent)
        };
        let over: Vec<CapId> = self.all.iter().filter(is_over).map(|cap| cap.made.id).collect();
        self.all.retain(|cap| !over.contains(&cap.made.id));
        !over.is_empty()
    }

    pub(super) fn get(&self, id: CapId) -> Option<&Cap> {
        self.all.iter().find(|cap| cap.made.id == id)
    }

    pub(super) fn of(&self, subject: Pid) -> impl Iterator<Item = &Cap> {
        self.all.iter().filter(move |cap| cap.made.subject == subject)
    }

    /// The capability, the one it was cut from, and so on: every one of them binds.
    pub(super) fn chain<'g>(&'g self, cap: &'g Cap) -> impl Iterator<Item = &'g Cap> {
        std::iter::successors(Some(cap), |cap| self.get(cap.made.parent?))
    }

    /// Every manifest that bounds a process.
    pub(super) fn bounding(&self, pid: Pid) -> impl Iterator<Item = &Manifest> {
        self.bounds.iter().filter(move |(bounded, _)| *bounded == pid).map(|(_, manifest)| manifest)
    }

    /// When the first of the chain ends.
    pub(super) fn ends(&self, cap: &Cap) -> Option<u64> {
        self.chain(cap).filter_map(|cap| cap.made.expires_at_ms).min()
    }

    /// Why a capability is out of force, if it is.
    pub(super) fn over(&self, cap: &Cap, now_ms: u64) -> Option<Unfit> {
        if cap.ended {
            Some(Unfit::Ended)
        } else if self.chain(cap).any(|cap| cap.revoked) {
            Some(Unfit::Revoked)
        } else {
            self.ends(cap).filter(|ends| *ends <= now_ms).map(|_| Unfit::Expired)
        }
    }

    fn met(&self, cap: &Cap, at: At<'_>) -> Met {
        let mut grants = self.chain(cap).map(|cap| &cap.made.grant);
        let is_open = |grant: &GrantSpec| grant.when.is_empty() && limits(grant).is_empty();
        match at.call {
            Call::Is(call) => {
                let all = grants.flat_map(|grant| &grant.when.0);
                all.map(|(arg, it)| met(it, call.arg(arg))).max().unwrap_or(Met::Yes)
            }
            Call::Unknown if !grants.all(is_open) => Met::Unknown,
            Call::Fitting | Call::Unknown => Met::Yes,
        }
    }

    /// What was taken from a capability: for good, or set aside.
    pub(super) fn taken<'g>(&'g self, cap: &'g Cap) -> Vec<&'g Charge> {
        let held = self.held.iter().flat_map(|(_, charges)| charges);
        let held = held.filter(|charge| charge.capability == cap.made.id);
        cap.spent.iter().chain(held).collect()
    }

    /// Whether a capability would pass one of its own limits by one more charge.
    pub(super) fn passes(&self, cap: &Cap, more: &Charge) -> Option<Unfit> {
        let all = || self.taken(cap).into_iter().chain([more]);
        let mut limits = limits(&cap.made.grant).into_iter();
        let (meter, _) = limits.find(|(meter, max)| total(all(), *meter) > *max)?;
        Some(if meter == Meter::Uses { Unfit::Exhausted } else { Unfit::Limit })
    }

    /// What one call takes from one capability.
    fn charge(cap: &Cap, at: At<'_>) -> Charge {
        let grant = &cap.made.grant;
        let sum = |(arg, it): (&String, &Condition)| match (it.sum_max, at.call) {
            (Some(_), Call::Is(call)) => {
                Some(Sum { arg: arg.clone(), amount: amount(call.arg(arg)).unwrap_or(0) })
            }
            _ => None,
        };
        Charge {
            capability: cap.made.id,
            uses: grant.uses.is_some().into(),
            calls: grant.calls_max.is_some().into(),
            sums: grant.when.0.iter().filter_map(sum).collect(),
        }
    }

    /// Which limit of the chain one more call would pass.
    fn short(&self, cap: &Cap, at: At<'_>) -> Option<Unfit> {
        self.chain(cap).find_map(|cap| self.passes(cap, &Self::charge(cap, at)))
    }

    fn unfit(&self, cap: &Cap, at: At<'_>) -> Option<Unfit> {
        let unmet = || (self.met(cap, at) != Met::Yes).then_some(Unfit::Conditions);
        self.over(cap, at.now_ms).or_else(unmet).or_else(|| self.short(cap, at))
    }

    /// Deny beats ask beats allow; no match is a denial.
    pub(super) fn verdict(&self, subject: Pid, need: &Need, at: At<'_>) -> Verdict<'_> {
        let speaks = |effect: Effect| {
            self.of(subject).filter(move |cap| {
                let grant = &cap.made.grant;
                let matches = grant.on.matches(&need.on) && grant.rights.contains(need.right);
                matches && grant.effect == effect && cap.made.binding.is_none()
            })
        };
        let applies =
            |cap: &&Cap| self.over(cap, at.now_ms).is_none() && self.met(cap, at) != Met::No;
        if let Some(deny) = speaks(Effect::Deny).find(applies) {
            return Verdict::Deny(DenyReason::DenyRule(deny.made.id));
        }
        let asks: Vec<&Cap> = speaks(Effect::Ask).filter(applies).collect();
        // A question that has run out denies: it uncovers no allow behind it.
        let out = |ask: &&Cap| self.short(ask, at).map(|unfit| unfit.of(ask.made.id));
        if let Some(reason) = asks.iter().find_map(out) {
            return Verdict::Deny(reason);
        }
        if !asks.is_empty() {
            return Verdict::Ask(asks);
        }
        let helps = speaks(Effect::Allow).filter(|cap| self.unfit(cap, at).is_none());
        if let Some(allow) = helps.min_by_key(|cap| cap.made.grant.uses.is_some()) {
            return Verdict::Allow(allow);
        }
        let unfit = speaks(Effect::Allow).filter_map(|cap| Some((self.unfit(cap, at)?, cap)));
        let told = unfit.min_by_key(|(unfit, _)| *unfit);
        Verdict::Deny(told.map_or(DenyReason::NoGrant, |(unfit, cap)| unfit.of(cap.made.id)))
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
        let at = At { now_ms: query.now_ms, call: Call::Is(query.call) };
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
        for cap in by.iter().flat_map(|cap| self.chain(cap)) {
            let is_charged = charges.iter().any(|charge| charge.capability == cap.made.id);
            if !is_charged && !limits(&cap.made.grant).is_empty() {
                charges.push(Self::charge(cap, at));
            }
        }
        Decision::Allow { by: by.iter().map(|cap| cap.made.id).collect(), charges }
    }
}

/// Whether every use, or every call, is taken for good.
pub(super) fn is_exhausted(cap: &Cap) -> bool {
    let used_up = |(meter, max): (Meter<'_>, u64)| total(&cap.spent, meter) >= max;
    let limits = limits(&cap.made.grant).into_iter();
    limits.filter(|(meter, _)| !matches!(meter, Meter::Sum(_))).any(used_up)
}
