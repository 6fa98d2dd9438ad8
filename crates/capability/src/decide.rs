//! The decision: deny beats ask beats allow, and no match is a denial.
//!
//! For each need, every capability of the subject that speaks of it is weighed once. Nothing here
//! changes state. A call that is allowed without a finite grant allocates nothing.

use libos_abi::{
    CapId, Denial, DenyReason, Digest, Effect, Few, Label, Need, Pid, Syscall,
    capability::{Charge, Sum},
};
use libos_port::{Decision, Query, mutated};

use crate::{
    cap::{Cap, Fate},
    condition::{Met, amount},
    core::Tables,
    table::Subject,
};

/// What a decision knows of the world.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) call: Call<'a>,
    /// The time.
    pub(crate) now_ms: u64,
}

/// What a decision knows of the call.
#[derive(Clone, Copy)]
pub(crate) enum Call<'a> {
    /// This is it, and the label of its caller's data.
    Is(&'a Syscall, Label),
    /// There is none, and every condition counts as met.
    Fitting,
    /// There is none: whatever depends on it, or would be charged for it, helps nobody.
    Unknown,
}

/// Why an allow that speaks of a need does not help; the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    Conditions,
    Exhausted,
    Limit,
    Expired,
    Revoked,
}

impl Unfit {
    fn reason(self, id: CapId) -> DenyReason {
        match self {
            Self::Conditions => DenyReason::Conditions(id),
            Self::Exhausted => DenyReason::Exhausted(id),
            Self::Limit => DenyReason::Limit(id),
            Self::Expired => DenyReason::Expired(id),
            Self::Revoked => DenyReason::Revoked(id),
        }
    }
}

/// What the capabilities that speak of one need come to.
#[derive(Default)]
pub(crate) struct Weighed<'t> {
    /// The first that denies.
    deny: Option<CapId>,
    /// The first question whose limit is reached: it is a denial, or an ask that runs out would
    /// turn into the allow behind it.
    dried: Option<(CapId, Unfit)>,
    /// Every question, in the order of ids.
    pub(crate) asks: Few<CapId>,
    /// The allow to use: one without a number of uses first, then by id.
    allow: Option<Allow<'t>>,
    /// The most telling of the allows that do not help.
    unfit: Option<(Unfit, CapId)>,
}

/// What allows.
#[derive(Clone, Copy)]
pub(crate) enum Allow<'t> {
    /// A capability.
    Held(&'t Cap),
    /// That it is kin.
    Kin(CapId),
}

impl Allow<'_> {
    pub(crate) fn id(&self) -> CapId {
        match self {
            Self::Held(cap) => cap.id,
            Self::Kin(id) => *id,
        }
    }

    /// Which of several is used: one without a number of uses first, then the oldest.
    fn rank(&self) -> (bool, CapId) {
        match self {
            Self::Held(cap) => rank(cap),
            Self::Kin(id) => (false, *id),
        }
    }
}

/// What was decided on one need, approvals aside.
pub(crate) enum Verdict<'t> {
    Allow(Allow<'t>),
    /// Every question that was weighed.
    Ask,
    Deny(DenyReason),
}

/// A question, then the approval that answers it.
type Answered<'t> = (&'t Cap, &'t Cap);

impl<'t> Weighed<'t> {
    /// Takes an allow in that helps.
    fn helps(&mut self, allow: Allow<'t>) {
        if self.allow.is_none_or(|best| allow.rank() < best.rank()) {
            self.allow = Some(allow);
        }
    }

    /// Takes an allow in that does not.
    fn does_not_help(&mut self, unfit: Unfit, id: CapId) {
        let this = (unfit, id);
        self.unfit = Some(self.unfit.map_or(this, |best| best.min(this)));
    }

    /// Deny beats ask beats allow.
    pub(crate) fn verdict(&self) -> Verdict<'t> {
        if let Some(id) = self.deny {
            Verdict::Deny(DenyReason::DenyRule(id))
        } else if let Some((id, unfit)) = self.dried {
            Verdict::Deny(unfit.reason(id))
        } else if !self.asks.is_empty() {
            Verdict::Ask
        } else if let Some(allow) = self.allow {
            Verdict::Allow(allow)
        } else {
            let unfit = self.unfit.map(|(unfit, id)| unfit.reason(id));
            Verdict::Deny(unfit.unwrap_or(DenyReason::NoGrant))
        }
    }
}

impl Tables {
    /// Decides a query.
    pub(crate) fn decide(&self, query: &Query<'_>) -> Decision {
        let facts = Facts { call: Call::Is(query.call, query.label), now_ms: query.now_ms };
        let subject = self.subject(query.subject);
        if let Some(bounds) = subject.and_then(|subject| subject.bounds.as_ref())
            && !bounds.admit_call(query.call.info())
            && !mutated("ignore_manifests")
        {
            let reason = DenyReason::Manifest(query.call.info().name.into());
            return Decision::Deny(Denial { need: query.needs.first().cloned(), reason });
        }
        let (mut by, mut charges, mut open) = (Few::new(), Vec::new(), Few::new());
        for need in query.needs {
            let weighed = self.weigh(query.subject, subject, need, facts);
            match weighed.verdict() {
                Verdict::Deny(reason) => {
                    return Decision::Deny(Denial { need: Some(need.clone()), reason });
                }
                Verdict::Allow(Allow::Held(cap)) => self.take(cap, facts, &mut by, &mut charges),
                Verdict::Allow(Allow::Kin(id)) => by.push(id),
                Verdict::Ask => {
                    let digest = (query.digest)();
                    for ask in weighed.asks {
                        match self.answer(ask, digest, query, facts) {
                            Some((ask, approval)) => {
                                self.take(ask, facts, &mut by, &mut charges);
                                self.take(approval, facts, &mut by, &mut charges);
                            }
                            None if open.contains(&ask) => {}
                            None => open.push(ask),
                        }
                    }
                }
            }
        }
        match open.is_empty() {
            true => Decision::Allow { by, charges },
            false => Decision::Ask { by: open },
        }
    }

    /// Weighs everything of the process `pid`, which is known as `subject`, that speaks of `need`.
    pub(crate) fn weigh(
        &self,
        pid: Pid,
        subject: Option<&Subject>,
        need: &Need,
        facts: Facts<'_>,
    ) -> Weighed<'_> {
        let mut weighed = Weighed::default();
        if let Some(subject) = subject {
            self.weigh_held(subject, need, facts, &mut weighed);
        }
        if let Some(id) = self.family().by(pid, need) {
            match self.family().is_cut(id) {
                true => weighed.does_not_help(Unfit::Revoked, id),
                false => weighed.helps(Allow::Kin(id)),
            }
        }
        weighed
    }

    fn weigh_held<'t>(
        &'t self,
        subject: &Subject,
        need: &Need,
        facts: Facts<'_>,
        weighed: &mut Weighed<'t>,
    ) {
        self.each_match(subject, need, |cap| match cap.terms.effect {
            Effect::Deny => {
                let first = weighed.deny.is_none_or(|deny| cap.id < deny);
                if first && self.applies(cap, facts) {
                    weighed.deny = Some(cap.id);
                }
            }
            Effect::Ask if self.applies(cap, facts) => match self.short(cap, facts) {
                None => weighed.asks.push(cap.id),
                Some(_) if weighed.dried.is_some_and(|(dried, _)| dried < cap.id) => {}
                Some(unfit) => weighed.dried = Some((cap.id, unfit)),
            },
            Effect::Ask => {}
            Effect::Allow => match self.unfit(cap, facts) {
                Ok(()) => weighed.helps(Allow::Held(cap)),
                Err(Some(unfit)) => weighed.does_not_help(unfit, cap.id),
                Err(None) => {}
            },
        });
        weighed.asks.sort_unstable();
    }

    /// Whether a deny or an ask applies: it is in force and its conditions do not fail.
    fn applies(&self, cap: &Cap, facts: Facts<'_>) -> bool {
        cap.in_force(facts.now_ms) && self.met(cap, facts) != Met::No
    }

    /// Whether an allow helps; if not, why (not worth telling when its subject has ended).
    fn unfit(&self, cap: &Cap, facts: Facts<'_>) -> Result<(), Option<Unfit>> {
        if cap.fate != Fate::default() {
            Err((!cap.fate.ended).then_some(Unfit::Revoked))
        } else if cap.is_expired(facts.now_ms) {
            Err(Some(Unfit::Expired))
        } else if self.met(cap, facts) != Met::Yes {
            Err(Some(Unfit::Conditions))
        } else {
            self.short(cap, facts).map_or(Ok(()), |unfit| Err(Some(unfit)))
        }
    }

    /// Whether its conditions hold, and those of all it was cut from.
    fn met(&self, cap: &Cap, facts: Facts<'_>) -> Met {
        match facts.call {
            _ if cap.is_plain() => Met::Yes,
            Call::Fitting => Met::Yes,
            Call::Unknown => Met::Unknown,
            Call::Is(call, label) => {
                self.deciding(cap).fold(Met::Yes, |all, cap| all.and(cap.terms.met(call, label)))
            }
        }
    }

    /// Which limit one more call would pass: its own, or of one it was cut from.
    fn short(&self, cap: &Cap, facts: Facts<'_>) -> Option<Unfit> {
        match cap.is_plain() {
            true => None,
            false => self.deciding(cap).find_map(|cap| short_here(cap, facts)),
        }
    }

    /// Adds a capability to the answer, with what the call takes from it and from those above.
    fn take(&self, cap: &Cap, facts: Facts<'_>, by: &mut Few<CapId>, charges: &mut Vec<Charge>) {
        by.push(cap.id);
        if cap.is_plain() {
            return;
        }
        for cap in self.deciding(cap) {
            // One grant may serve several needs, and one limit several grants: one call is one.
            if charges.iter().all(|charge| charge.capability != cap.id) {
                charges.extend(charge(cap, facts));
            }
        }
    }

    /// The question `ask`, and the approval that answers it for this call: of the subject, or of
    /// one above it that reaches down.
    fn answer(
        &self,
        ask: CapId,
        digest: Digest,
        query: &Query<'_>,
        facts: Facts<'_>,
    ) -> Option<Answered<'_>> {
        let mut best: Option<&Cap> = None;
        let mut consider = |cap, from_above: bool| {
            let cap: &Cap = cap;
            let Some(binding) = cap.binding() else {
                return;
            };
            let reaches = match cap.subject == query.subject {
                true => !from_above,
                false => binding.subtree && query.ancestors.contains(&cap.subject),
            };
            if reaches
                && cap.terms.effect == Effect::Allow
                && binding.op.is_none_or(|op| op == query.op)
                && self.unfit(cap, facts).is_ok()
                && best.is_none_or(|best| rank(cap) < rank(best))
            {
                best = Some(cap);
            }
        };
        for cap in self.answers(ask, digest) {
            consider(cap, false);
        }
        // A child's question may be a copy of its parent's: what answers that one for all below
        // answers the copy.
        let copied = |cap: &Cap| self.above(cap).filter(|above| above.terms.effect == Effect::Ask);
        let ask = self.get(ask)?;
        for above in std::iter::successors(copied(ask), |cap| copied(cap)) {
            for cap in self.answers(above.id, digest) {
                consider(cap, true);
            }
        }
        Some((ask, best?))
    }

    /// Whether everything in `charges` can be set aside now.
    ///
    /// # Errors
    /// The denial, when a capability is gone or a limit would be passed.
    pub(crate) fn can_reserve(&self, charges: &[Charge]) -> Result<(), DenyReason> {
        for charge in charges {
            let id = charge.capability;
            let cap = self.get(id).ok_or(DenyReason::NoGrant)?;
            if cap.is_revoked() {
                return Err(DenyReason::Revoked(id));
            }
            let terms = &*cap.terms;
            let uses = cap.uses_taken().checked_add(charge.uses);
            if terms.uses.is_some_and(|max| uses.is_none_or(|uses| uses > max)) {
                return Err(DenyReason::Exhausted(id));
            }
            let calls = cap.calls_taken().checked_add(charge.calls);
            let passed = |max: u64, sum: Option<u64>| sum.is_none_or(|sum| sum > max);
            let sums = charge.sums.iter().any(|sum| {
                let max = terms.when.0.get(&sum.arg).and_then(|c| c.sum_max);
                max.is_some_and(|max| passed(max, cap.sum_taken(&sum.arg).checked_add(sum.amount)))
            });
            if sums || terms.calls_max.is_some_and(|max| passed(max, calls)) {
                return Err(DenyReason::Limit(id));
            }
        }
        Ok(())
    }
}

/// Which of several allows is used: one without a number of uses first, then the oldest.
fn rank(cap: &Cap) -> (bool, CapId) {
    (cap.terms.uses.is_some(), cap.id)
}

fn short_here(cap: &Cap, facts: Facts<'_>) -> Option<Unfit> {
    let terms = &*cap.terms;
    if terms.uses.is_some_and(|max| cap.uses_taken() >= max) {
        return Some(Unfit::Exhausted);
    }
    if terms.calls_max.is_some_and(|max| cap.calls_taken() >= max) {
        return Some(Unfit::Limit);
    }
    let Call::Is(call, _) = facts.call else {
        return None;
    };
    let passed = terms.when.0.iter().any(|(arg, condition)| {
        condition.sum_max.is_some_and(|max| {
            let more = amount(call.arg(arg)).unwrap_or(u64::MAX);
            cap.sum_taken(arg).checked_add(more).is_none_or(|sum| sum > max)
        })
    });
    passed.then_some(Unfit::Limit)
}

/// What one call takes from `cap`; nothing when it has no limits.
fn charge(cap: &Cap, facts: Facts<'_>) -> Option<Charge> {
    if !cap.is_bound() {
        return None;
    }
    let terms = &*cap.terms;
    let mut sums = Vec::new();
    if let Call::Is(call, _) = facts.call {
        for (arg, _) in terms.when.0.iter().filter(|(_, it)| it.sum_max.is_some()) {
            sums.push(Sum { arg: arg.clone(), amount: amount(call.arg(arg)).unwrap_or(0) });
        }
    }
    let charge = Charge {
        capability: cap.id,
        uses: terms.uses.map_or(0, |_| 1),
        calls: terms.calls_max.map_or(0, |_| 1),
        sums,
    };
    (charge.uses > 0 || charge.calls > 0 || !charge.sums.is_empty()).then_some(charge)
}
