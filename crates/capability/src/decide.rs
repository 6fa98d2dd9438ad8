//! The decision: deny beats ask beats allow, and no match is a denial.
//!
//! For each need, every capability of the subject that speaks of it is weighed once. Nothing here
//! changes state; on the allowed path only the lists of the answer itself are allocated.

use libos_abi::{
    CapId, Denial, DenyReason, Digest, Effect, Need, Pid, Syscall,
    capability::{Charge, Sum},
};
use libos_port::{Decision, Query};

use crate::{
    condition::{Met, amount},
    core::{Cap, Tables},
};

/// What a decision knows of the world: the call (when explaining, there is none and conditions
/// count as met) and the time.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) call: Option<&'a Syscall>,
    pub(crate) now_ms: u64,
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
    asks: Vec<CapId>,
    /// The allow to use: one without a number of uses first, then by id.
    allow: Option<(bool, CapId, &'t Cap)>,
    /// The most telling of the allows that do not help.
    unfit: Option<(Unfit, CapId)>,
}

/// What was decided on one need, approvals aside.
pub(crate) enum Verdict<'t> {
    Allow(CapId, &'t Cap),
    Ask(Vec<CapId>),
    Deny(DenyReason),
}

/// A question, then the approval that answers it.
type Answered<'t> = ((CapId, &'t Cap), (CapId, &'t Cap));

impl<'t> Weighed<'t> {
    /// Deny beats ask beats allow.
    pub(crate) fn verdict(self) -> Verdict<'t> {
        if let Some(id) = self.deny {
            Verdict::Deny(DenyReason::DenyRule(id))
        } else if let Some((id, unfit)) = self.dried {
            Verdict::Deny(unfit.reason(id))
        } else if !self.asks.is_empty() {
            Verdict::Ask(self.asks)
        } else if let Some((_, id, cap)) = self.allow {
            Verdict::Allow(id, cap)
        } else {
            let unfit = self.unfit.map(|(unfit, id)| unfit.reason(id));
            Verdict::Deny(unfit.unwrap_or(DenyReason::NoGrant))
        }
    }
}

impl Tables {
    /// Decides a query.
    pub(crate) fn decide(&self, query: &Query<'_>) -> Decision {
        let facts = Facts { call: Some(query.call), now_ms: query.now_ms };
        let (mut by, mut charges, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for need in query.needs {
            match self.weigh(query.subject, need, facts).verdict() {
                Verdict::Deny(reason) => return deny(need, reason),
                Verdict::Allow(id, cap) => self.take((id, cap), facts, &mut by, &mut charges),
                Verdict::Ask(asks) => {
                    let digest = (query.digest)();
                    for ask in asks {
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

    /// Weighs everything of `subject` that speaks of `need`.
    pub(crate) fn weigh(&self, subject: Pid, need: &Need, facts: Facts<'_>) -> Weighed<'_> {
        let mut weighed = Weighed::default();
        self.each_match(subject, need.right, &need.on, |id, cap| match cap.grant().effect {
            Effect::Deny => {
                let first = weighed.deny.is_none_or(|deny| id < deny);
                if first && self.applies(id, cap, facts) {
                    weighed.deny = Some(id);
                }
            }
            Effect::Ask if self.applies(id, cap, facts) => match self.short(id, cap, facts) {
                None => weighed.asks.push(id),
                Some(_) if weighed.dried.is_some_and(|(dried, _)| dried < id) => {}
                Some(unfit) => weighed.dried = Some((id, unfit)),
            },
            Effect::Ask => {}
            Effect::Allow => match self.unfit(id, cap, facts) {
                Ok(()) => {
                    let finite = cap.grant().uses.is_some();
                    let best = weighed.allow;
                    if best.is_none_or(|(other, best, _)| (finite, id) < (other, best)) {
                        weighed.allow = Some((finite, id, cap));
                    }
                }
                Err(Some(unfit)) => {
                    let this = (unfit, id);
                    weighed.unfit = Some(weighed.unfit.map_or(this, |best| best.min(this)));
                }
                Err(None) => {}
            },
        });
        weighed.asks.sort_unstable();
        weighed
    }

    /// Whether a deny or an ask applies: it is in force and its conditions do not fail.
    fn applies(&self, id: CapId, cap: &Cap, facts: Facts<'_>) -> bool {
        cap.in_force(facts.now_ms) && self.met(id, cap, facts) != Met::No
    }

    /// Whether an allow helps; if not, why (not worth telling when its subject has ended).
    fn unfit(&self, id: CapId, cap: &Cap, facts: Facts<'_>) -> Result<(), Option<Unfit>> {
        if cap.ended {
            Err(None)
        } else if cap.is_revoked() {
            Err(Some(Unfit::Revoked))
        } else if cap.is_expired(facts.now_ms) {
            Err(Some(Unfit::Expired))
        } else if self.met(id, cap, facts) != Met::Yes {
            Err(Some(Unfit::Conditions))
        } else {
            self.short(id, cap, facts).map_or(Ok(()), |unfit| Err(Some(unfit)))
        }
    }

    /// Whether its conditions hold, and those of all it was cut from.
    fn met(&self, id: CapId, cap: &Cap, facts: Facts<'_>) -> Met {
        let Some(call) = facts.call else {
            return Met::Yes;
        };
        self.deciding(id, cap).fold(Met::Yes, |all, (_, cap)| all.and(cap.met(call)))
    }

    /// Which limit one more call would pass: its own, or of one it was cut from.
    fn short(&self, id: CapId, cap: &Cap, facts: Facts<'_>) -> Option<Unfit> {
        self.deciding(id, cap).find_map(|(_, cap)| short_here(cap, facts))
    }

    /// Adds a capability to the answer, with what the call takes from it and from those above.
    fn take(
        &self,
        (id, cap): (CapId, &Cap),
        facts: Facts<'_>,
        by: &mut Vec<CapId>,
        charges: &mut Vec<Charge>,
    ) {
        by.push(id);
        for (id, cap) in self.deciding(id, cap) {
            // One grant may serve several needs, and one limit several grants: one call is one.
            if charges.iter().all(|charge| charge.capability != id) {
                charges.extend(charge(id, cap, facts));
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
        let mut best: Option<(bool, CapId)> = None;
        let mut consider = |id: CapId, cap: &Cap, from_above: bool| {
            let Some(binding) = cap.binding() else {
                return;
            };
            let subject = cap.made.new.subject;
            let reaches = match subject == query.subject {
                true => !from_above,
                false => binding.subtree && query.ancestors.contains(&subject),
            };
            if reaches
                && cap.grant().effect == Effect::Allow
                && binding.op.is_none_or(|op| op == query.op)
                && self.unfit(id, cap, facts).is_ok()
            {
                let this = (cap.grant().uses.is_some(), id);
                best = Some(best.map_or(this, |best| best.min(this)));
            }
        };
        for (id, cap) in self.answers(ask, digest) {
            consider(id, cap, false);
        }
        // A child's question may be a copy of its parent's: what answers that one for all below
        // answers the copy.
        let copied = |cap: &Cap| {
            let (id, above) = self.above(cap)?;
            (above.grant().effect == Effect::Ask).then_some((id, above))
        };
        let above = self.get(ask).and_then(copied);
        for (ask, _) in std::iter::successors(above, |(_, cap)| copied(cap)) {
            for (id, cap) in self.answers(ask, digest) {
                consider(id, cap, true);
            }
        }
        let (_, approval) = best?;
        Some(((ask, self.get(ask)?), (approval, self.get(approval)?)))
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
            let grant = cap.grant();
            let uses = cap.uses_taken().checked_add(charge.uses);
            if grant.uses.is_some_and(|max| uses.is_none_or(|uses| uses > max)) {
                return Err(DenyReason::Exhausted(id));
            }
            let calls = cap.calls_taken().checked_add(charge.calls);
            let passed = |max: u64, sum: Option<u64>| sum.is_none_or(|sum| sum > max);
            let sums = charge.sums.iter().any(|sum| {
                let max = grant.when.0.get(&sum.arg).and_then(|c| c.sum_max);
                max.is_some_and(|max| passed(max, cap.sum_taken(&sum.arg).checked_add(sum.amount)))
            });
            if sums || grant.calls_max.is_some_and(|max| passed(max, calls)) {
                return Err(DenyReason::Limit(id));
            }
        }
        Ok(())
    }
}

fn deny(need: &Need, reason: DenyReason) -> Decision {
    Decision::Deny(Denial { need: Some(need.clone()), reason })
}

fn short_here(cap: &Cap, facts: Facts<'_>) -> Option<Unfit> {
    let grant = cap.grant();
    if grant.uses.is_some_and(|max| cap.uses_taken() >= max) {
        return Some(Unfit::Exhausted);
    }
    if grant.calls_max.is_some_and(|max| cap.calls_taken() >= max) {
        return Some(Unfit::Limit);
    }
    let call = facts.call?;
    let passed = grant.when.0.iter().any(|(arg, condition)| {
        condition.sum_max.is_some_and(|max| {
            let more = amount(call.arg(arg)).unwrap_or(u64::MAX);
            cap.sum_taken(arg).checked_add(more).is_none_or(|sum| sum > max)
        })
    });
    passed.then_some(Unfit::Limit)
}

/// What one call takes from `cap`; nothing when it has no limits.
fn charge(id: CapId, cap: &Cap, facts: Facts<'_>) -> Option<Charge> {
    let grant = cap.grant();
    if grant.uses.is_none() && grant.calls_max.is_none() && grant.when.is_empty() {
        return None;
    }
    let sums: Vec<Sum> = facts.call.map_or_else(Vec::new, |call| {
        let limited = grant.when.0.iter().filter(|(_, c)| c.sum_max.is_some());
        limited
            .map(|(arg, _)| Sum { arg: arg.clone(), amount: amount(call.arg(arg)).unwrap_or(0) })
            .collect()
    });
    let charge = Charge {
        capability: id,
        uses: grant.uses.map_or(0, |_| 1),
        calls: grant.calls_max.map_or(0, |_| 1),
        sums,
    };
    (charge.uses > 0 || charge.calls > 0 || !charge.sums.is_empty()).then_some(charge)
}
