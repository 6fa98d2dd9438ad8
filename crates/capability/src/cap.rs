//! One capability: what it says, where it came from, and what its limits have let through.
//!
//! What repeats from one capability to the next (effect, rights, limits, conditions) stands in
//! [`Terms`], which many share. A plain capability owns no memory besides its own row.

mod snapshot;

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{
    Binding, CapId, Conditions, Effect, Form, GrantSpec, Label, Origin, Pattern, Pid, Rights,
    Syscall, capability::Charge,
};
use regex::Regex;
use serde::{Serialize, Serializer};

use crate::condition;

pub(crate) use self::snapshot::SavedCap;

/// One capability.
pub(crate) struct Cap {
    pub(crate) id: CapId,
    pub(crate) subject: Pid,
    pub(crate) on: Pattern,
    pub(crate) terms: Arc<Terms>,
    pub(crate) origin: Origin,
    /// The id of the one it was cut from; 0, which is never given, for none.
    parent: u64,
    /// When it ends, or the first of those above it does; the largest number is never.
    ends_at_ms: u64,
    /// Apart, because few have any.
    extra: Option<Box<Extra>>,
    pub(crate) fate: Fate,
    /// Whether one above it has conditions or limits, so that decisions must look there.
    inherits: bool,
    /// Whether neither it nor any above it has conditions or limits.
    plain: bool,
}

/// What a capability says, its pattern aside.
#[derive(Serialize)]
pub(crate) struct Terms {
    pub(crate) effect: Effect,
    pub(crate) rights: Rights,
    pub(crate) uses: Option<u32>,
    pub(crate) delegable: u8,
    pub(crate) calls_max: Option<u64>,
    pub(crate) when: Conditions,
    #[serde(skip)]
    compiled: Box<[Option<Regex>]>,
}

/// What has put a capability out of force.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Fate {
    /// It was taken back or given up itself.
    pub(crate) revoked: bool,
    /// One that it was cut from was.
    pub(crate) cut_off: bool,
    /// Its subject has ended; it serves as lineage only.
    pub(crate) ended: bool,
}

#[derive(Default)]
struct Extra {
    binding: Option<Binding>,
    tally: Tally,
}

/// What a capability's limits have let through.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Tally {
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

impl Terms {
    pub(crate) fn of(grant: &GrantSpec) -> Self {
        Self {
            effect: grant.effect,
            rights: grant.rights,
            uses: grant.uses,
            delegable: grant.delegable,
            calls_max: grant.calls_max,
            when: grant.when.clone(),
            compiled: condition::compile(&grant.when),
        }
    }

    /// Whether they are those of `grant`.
    pub(crate) fn are_of(&self, grant: &GrantSpec) -> bool {
        self.effect == grant.effect
            && self.rights == grant.rights
            && self.uses == grant.uses
            && self.delegable == grant.delegable
            && self.calls_max == grant.calls_max
            && self.when == grant.when
    }

    /// Whether they hold for some calls only, or for so many.
    fn bind(&self) -> bool {
        !self.when.is_empty() || self.uses.is_some() || self.calls_max.is_some()
    }

    /// Whether the conditions hold for `call`, made by one whose data has this label.
    pub(crate) fn met(&self, call: &Syscall, label: Label) -> condition::Met {
        condition::met(&self.when, &self.compiled, call, label)
    }
}

impl Cap {
    /// One that was just made, cut from `above` if it is there.
    pub(crate) fn new(
        new: &libos_abi::event::NewCapability,
        on: Pattern,
        terms: Arc<Terms>,
        above: Option<&Self>,
    ) -> Self {
        let inherits = above.is_some_and(|above| !above.plain);
        let never = |at: Option<u64>| at.unwrap_or(u64::MAX);
        let binding = new.binding.clone();
        Self {
            id: new.id,
            subject: new.subject,
            on,
            plain: !inherits && !terms.bind(),
            terms,
            origin: new.origin.clone(),
            parent: new.parent.map_or(0, |id| id.0),
            ends_at_ms: never(new.expires_at_ms).min(above.map_or(u64::MAX, |a| a.ends_at_ms)),
            extra: binding.map(|it| Box::new(Extra { binding: Some(it), tally: Tally::default() })),
            fate: Fate { cut_off: above.is_some_and(Self::is_revoked), ..Fate::default() },
            inherits,
        }
    }

    /// The one it was cut from.
    pub(crate) fn parent(&self) -> Option<CapId> {
        (self.parent != 0).then_some(CapId(self.parent))
    }

    /// What ties it to a request, for an approval.
    pub(crate) fn binding(&self) -> Option<&Binding> {
        self.extra.as_deref()?.binding.as_ref()
    }

    /// Whether decisions must look at those above it.
    pub(crate) fn inherits(&self) -> bool {
        self.inherits
    }

    /// Whether it holds for every call, as often as it is made.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether its own terms hold for some calls only, or for so many.
    pub(crate) fn is_bound(&self) -> bool {
        self.terms.bind()
    }

    /// Whether its own terms hold for so many calls, or for so much.
    pub(crate) fn is_finite(&self) -> bool {
        let terms = &self.terms;
        terms.uses.is_some()
            || terms.calls_max.is_some()
            || terms.when.0.values().any(|condition| condition.sum_max.is_some())
    }

    /// When it ends, or the first of those above it does.
    pub(crate) fn expires_at_ms(&self) -> Option<u64> {
        (self.ends_at_ms != u64::MAX).then_some(self.ends_at_ms)
    }

    /// Whether it or one above it was taken back.
    pub(crate) fn is_revoked(&self) -> bool {
        self.fate.revoked || self.fate.cut_off
    }

    /// Whether its time, or that of one above it, has passed.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|at| at <= now_ms)
    }

    /// Whether it is neither taken back, nor past its time, nor its subject's end.
    pub(crate) fn in_force(&self, now_ms: u64) -> bool {
        self.fate == Fate::default() && !self.is_expired(now_ms)
    }

    pub(crate) fn tally(&self) -> Option<&Tally> {
        self.extra.as_deref().map(|extra| &extra.tally)
    }

    pub(crate) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.extra.get_or_insert_default().tally
    }

    /// Uses spent and set aside.
    pub(crate) fn uses_taken(&self) -> u32 {
        self.tally().map_or(0, |t| t.spent.uses.saturating_add(t.held.uses))
    }

    /// Calls spent and set aside.
    pub(crate) fn calls_taken(&self) -> u64 {
        self.tally().map_or(0, |t| t.spent.calls.saturating_add(t.held.calls))
    }

    /// The sum of `arg` spent and set aside.
    pub(crate) fn sum_taken(&self, arg: &str) -> u64 {
        let of = |amounts: &Amounts| amounts.sums.get(arg).copied().unwrap_or(0);
        self.tally().map_or(0, |t| of(&t.spent).saturating_add(of(&t.held)))
    }

    /// Whether every use, or every call, is spent for good.
    pub(crate) fn is_exhausted(&self) -> bool {
        let (uses, calls) = self.tally().map_or((0, 0), |t| (t.spent.uses, t.spent.calls));
        self.terms.uses.is_some_and(|max| uses >= max)
            || self.terms.calls_max.is_some_and(|max| calls >= max)
    }

    /// Whether no call under way has set anything aside of it.
    pub(crate) fn is_idle(&self) -> bool {
        self.tally().is_none_or(|t| t.held.uses == 0 && t.held.calls == 0)
    }
}

impl Tally {
    pub(crate) fn set_aside(&mut self, charge: &Charge) {
        self.held.add(charge);
    }

    pub(crate) fn settle(&mut self, charge: &Charge, gave_back: bool) {
        self.held.take(charge);
        if !gave_back {
            self.spent.add(charge);
        }
    }
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

impl Serialize for Cap {
    /// What does not follow from the rest.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let none = Tally::default();
        let tally = self.tally().unwrap_or(&none);
        let said = (&self.on, &*self.terms, self.ends_at_ms, self.binding());
        (self.id, self.subject, said, self.parent, &self.origin, self.fate, tally).serialize(s)
    }
}

/// The text of a pattern without its star.
pub(crate) fn base(pattern: &Pattern) -> &str {
    match pattern.form() {
        Form::Exact(text) | Form::Subtree(text) | Form::Prefix(text) => text,
    }
}
