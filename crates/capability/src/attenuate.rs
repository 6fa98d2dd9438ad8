//! Handing authority on: only ever narrower.
//!
//! - An allow must be covered by *one* active allow of the giver: its pattern, its rights, a
//!   depth above the one asked for, no number of uses. The new one is cut from it, so the
//!   giver's conditions, limits, expiry and revocation go on binding it.
//! - An ask must be covered by such an allow or by an ask of the giver. A human decides each of
//!   its calls, so an ask needs no depth; but what the giver could not even ask for, no one below
//!   it can.
//! - A deny only narrows and needs nothing.
//! - With every allow or ask come copies of the giver's denies and asks, cut down to where they
//!   overlap it. A copy is cut from its original: it ends when the host takes that back, and no
//!   process can take it back.
//! - What bounds the receiver bounds what it is granted or handed. Not bounded are denies,
//!   approvals, which answer a question and open nothing, and what the kernel itself gave, to
//!   whomever it was handed on.

use std::{cmp::Reverse, sync::Arc};

use libos_abi::{
    CapId, Conditions, DenyReason, Effect, Error, Fault, GrantSpec, Origin, Pattern, Pid,
    capability::FailureKind, event::NewCapability,
};

use libos_port::mutated;

use crate::{
    bounds::Bounds,
    cap::Cap,
    condition::validate,
    core::Tables,
    limits::{CAPABILITIES_OF_ONE_SUBJECT_MAX, DELEGATION_DEPTH_MAX},
};

/// Capabilities about to be made, all or none.
pub(crate) struct Plan {
    /// Every one, copies included, in the order of ids.
    pub(crate) new: Vec<NewCapability>,
    /// Those asked for, in the order asked.
    pub(crate) asked: Vec<CapId>,
}

/// A grant as the kernel or the host makes it: checked, but out of nobody's authority.
///
/// # Errors
/// A grant that is malformed, is outside of what bounds its subject, or one too many.
pub(crate) fn root(
    tables: &Tables,
    new: impl FnOnce(CapId) -> NewCapability,
    now_ms: u64,
) -> Result<NewCapability, Error> {
    let mut new = new(tables.next_id());
    validate(&new.grant).map_err(bad_grant)?;
    if new.binding.is_some() && new.grant.effect != Effect::Allow {
        return Err(bad_grant("an approval can only allow"));
    }
    if new.binding.is_none() && new.origin != Origin::Kernel {
        admitted(tables, new.subject, &new.grant)?;
    }
    has_room(tables, new.subject, 1)?;
    new.expires_at_ms = ends(&new.grant, now_ms);
    Ok(new)
}

/// What `giver` hands to `to`.
///
/// # Errors
/// A grant that is malformed, is wider than what the giver holds, or one too many.
pub(crate) fn hand_on(
    tables: &Tables,
    giver: Pid,
    to: Pid,
    grants: &[GrantSpec],
    now_ms: u64,
) -> Result<Plan, Error> {
    let mut handing = Handing {
        tables,
        giver,
        to,
        now_ms,
        next: tables.next_id(),
        new: Vec::with_capacity(grants.len()),
    };
    let mut asked = Vec::with_capacity(grants.len());
    for grant in grants {
        validate(grant).map_err(bad_grant)?;
        canonical(&grant.on).map_err(bad_grant)?;
        asked.push(handing.hand(grant)?);
    }
    for (grant, id) in grants.iter().zip(&asked) {
        if grant.effect != Effect::Deny {
            handing.copy_restrictions(grant, *id);
        }
    }
    has_room(tables, to, handing.new.len())?;
    Ok(Plan { new: handing.new, asked })
}

/// That everything `subject` holds already is within what is to bound it.
///
/// # Errors
/// The first capability that is not.
pub(crate) fn holds_within(tables: &Tables, subject: Pid, bounds: &Bounds) -> Result<(), Error> {
    let is_free = |cap: &Cap| {
        cap.terms.effect == Effect::Deny
            || cap.binding().is_some()
            || cap.origin == Origin::Kernel
            || tables.root(cap).origin == Origin::Kernel
    };
    let is_outside = |cap: &&&Cap| !is_free(cap) && !bounds.admit_grant(&cap.on, cap.terms.rights);
    match tables.of(subject).iter().find(is_outside) {
        None => Ok(()),
        Some(cap) => Err(FailureKind::OutsideManifest.because(format!(
            "{subject} holds {} already, {} on {}, which the manifest does not foresee",
            cap.id, cap.terms.rights, cap.on
        ))),
    }
}

/// That what bounds `subject` admits the grant.
fn admitted(tables: &Tables, subject: Pid, grant: &GrantSpec) -> Result<(), Error> {
    let GrantSpec { effect, on, rights, .. } = grant;
    let admits = |bounds: &Arc<Bounds>| bounds.admit_grant(on, *rights);
    match *effect == Effect::Deny || tables.bounds(subject).is_none_or(admits) {
        true => Ok(()),
        false => Err(FailureKind::OutsideManifest.because(format!(
            "the manifest that bounds {subject} foresees no grant of {rights} on {on}"
        ))),
    }
}

fn bad_grant(what: impl Into<String>) -> Error {
    FailureKind::BadGrant.because(what)
}

fn has_room(tables: &Tables, subject: Pid, more: usize) -> Result<(), Error> {
    match tables.has_room(subject, more) {
        true => Ok(()),
        false => Err(Fault::Limit {
            what: "capabilities of one process".into(),
            limit: CAPABILITIES_OF_ONE_SUBJECT_MAX as u64,
        }
        .into()),
    }
}

/// Checks a pattern that came over a wire, where it may be one that nobody could write.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it.
pub(crate) fn canonical(on: &Pattern) -> Result<(), String> {
    match on.as_str().parse::<Pattern>() {
        Ok(parsed) if parsed == *on => Ok(()),
        Ok(parsed) => Err(format!("`{on}` is not canonical: write `{parsed}`")),
        Err(error) => Err(error.to_string()),
    }
}

fn ends(grant: &GrantSpec, now_ms: u64) -> Option<u64> {
    grant.expires.map(|after| now_ms.saturating_add(after.0))
}

fn first(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().min()
}

struct Handing<'t> {
    tables: &'t Tables,
    giver: Pid,
    to: Pid,
    now_ms: u64,
    next: CapId,
    new: Vec<NewCapability>,
}

impl Handing<'_> {
    fn hand(&mut self, grant: &GrantSpec) -> Result<CapId, Error> {
        let by = Origin::Delegated { by: self.giver };
        let ends = ends(grant, self.now_ms);
        if grant.effect == Effect::Deny {
            return Ok(self.push(grant.clone(), ends, None, by));
        }
        let source = self.source(grant)?;
        let (id, until) = (source.id, source.expires_at_ms());
        if self.tables.root(source).origin != Origin::Kernel {
            admitted(self.tables, self.to, grant)?;
        }
        Ok(self.push(grant.clone(), first(ends, until), Some(id), by))
    }

    fn push(
        &mut self,
        grant: GrantSpec,
        expires_at_ms: Option<u64>,
        parent: Option<CapId>,
        origin: Origin,
    ) -> CapId {
        let id = self.next;
        self.next = CapId(id.0.saturating_add(1));
        self.new.push(NewCapability {
            id,
            subject: self.to,
            grant,
            expires_at_ms,
            parent,
            origin,
            binding: None,
        });
        id
    }

    /// The giver's capability to cut from: the least bound one, then the longest-lived, then the
    /// oldest.
    fn source(&self, grant: &GrantSpec) -> Result<&Cap, Error> {
        let rank = |cap: &Cap| {
            let bound = |cap: &Cap| !cap.terms.when.is_empty() || cap.terms.calls_max.is_some();
            let is_bound = self.tables.deciding(cap).any(bound);
            let until = cap.expires_at_ms().unwrap_or(u64::MAX);
            (cap.terms.effect != grant.effect, is_bound, Reverse(until), cap.id)
        };
        let mut best: Option<&Cap> = None;
        self.tables.each_cover(self.giver, grant, |cap| {
            let is_source = self.why_not(grant, cap).is_none();
            if is_source && best.is_none_or(|best| rank(cap) < rank(best)) {
                best = Some(cap);
            }
        });
        match best {
            Some(cap) if self.tables.depth(cap) < usize::from(DELEGATION_DEPTH_MAX) => Ok(cap),
            Some(_) => Err(Fault::Limit {
                what: "levels of delegation".into(),
                limit: DELEGATION_DEPTH_MAX.into(),
            }
            .into()),
            None => Err(self.refusal(grant)),
        }
    }

    /// Why a capability of the giver is no source for `grant`; `None` when it is one. An empty
    /// text when it has nothing to do with it.
    fn why_not(&self, grant: &GrantSpec, cap: &Cap) -> Option<String> {
        let (id, held) = (cap.id, &*cap.terms);
        let kind = match held.effect {
            Effect::Allow => cap.binding().is_none(),
            Effect::Ask => grant.effect == Effect::Ask,
            Effect::Deny => false,
        };
        if !kind || !cap.on.overlaps(&grant.on) || !cap.in_force(self.now_ms) {
            return Some(String::new());
        }
        let depth = match held.effect {
            Effect::Ask => grant.delegable <= held.delegable.saturating_sub(1),
            _ => held.delegable > grant.delegable,
        };
        if !cap.on.covers(&grant.on) {
            Some(format!("{id} reaches {} only", cap.on))
        } else if !held.rights.covers(grant.rights) {
            Some(format!("{id} has {} only", held.rights))
        } else if held.uses.is_some() {
            Some(format!("{id} has a number of uses, and such a grant is never handed on"))
        } else if !depth {
            Some(format!("{id} has delegable = {}", held.delegable))
        } else {
            None
        }
    }

    fn refusal(&self, grant: &GrantSpec) -> Error {
        let held = self.tables.of(self.giver);
        let mut near =
            held.iter().filter_map(|cap| self.why_not(grant, cap).filter(|why| !why.is_empty()));
        let GrantSpec { on, rights, .. } = grant;
        let mut text = format!(
            "{} would have to hold an allow of {rights} on {on} with delegable = {} or more and \
             no number of uses",
            self.giver,
            u16::from(grant.delegable) + 1,
        );
        if grant.effect == Effect::Ask {
            text.push_str(", or an ask of the same");
        }
        if let Some(why) = near.next() {
            text.push_str("; ");
            text.push_str(&why);
        }
        Fault::denied(None, DenyReason::Attenuation(text)).into()
    }

    /// Copies the giver's denies and asks that overlap what was handed on as `id`.
    fn copy_restrictions(&mut self, grant: &GrantSpec, id: CapId) {
        let handed = self.new.iter().find(|new| new.id == id);
        let (source, ends) = handed.map_or((None, None), |new| (new.parent, new.expires_at_ms));
        for cap in self.tables.restrictions_of(self.giver) {
            let rights = cap.terms.rights.intersect(grant.rights);
            // One that has run out still restricts: it denies.
            let is_forgotten = cap.terms.effect == Effect::Deny && mutated("forget_denials");
            if is_forgotten
                || rights.is_empty()
                || Some(cap.id) == source
                || !cap.in_force(self.now_ms)
            {
                continue;
            }
            let Some(on) = meet(&cap.on, &grant.on) else {
                continue;
            };
            let copy = match cap.terms.effect {
                // A deny binds wherever its own conditions hold, whatever was handed on.
                Effect::Deny => {
                    let when = cap.terms.when.clone();
                    GrantSpec { effect: Effect::Deny, when, ..GrantSpec::allow(on, rights) }
                }
                // What was handed on, turned into a question: it opens no more than that, and ends
                // with it or with the question that it is a copy of.
                _ => {
                    let form = GrantSpec { expires: None, delegable: 0, ..grant.clone() };
                    GrantSpec { effect: Effect::Ask, on, rights, ..form }
                }
            };
            let until = match cap.terms.effect {
                Effect::Deny => cap.expires_at_ms(),
                _ => first(cap.expires_at_ms(), ends),
            };
            if !self.has_copy(cap.id, &copy, until) {
                self.push(copy, until, Some(cap.id), Origin::Kernel);
            }
        }
    }

    /// Whether the receiver has, or is about to get, the same copy of `original`.
    fn has_copy(&self, original: CapId, copy: &GrantSpec, until: Option<u64>) -> bool {
        let new = |new: &NewCapability| {
            new.parent == Some(original)
                && new.origin == Origin::Kernel
                && new.expires_at_ms == until
                && new.grant == *copy
        };
        let held = |cap: &&Cap| {
            cap.parent() == Some(original)
                && cap.origin == Origin::Kernel
                && cap.expires_at_ms() == until
                && cap.on == copy.on
                && cap.terms.are_of(copy)
                && cap.in_force(self.now_ms)
        };
        let limited = copy.uses.is_some() || copy.calls_max.is_some() || sums(&copy.when);
        !limited
            && (self.new.iter().any(new) || self.tables.restrictions_of(self.to).iter().any(held))
    }
}

fn sums(when: &Conditions) -> bool {
    when.0.values().any(|condition| condition.sum_max.is_some())
}

/// The resources covered by both; patterns that overlap always meet in a pattern.
fn meet(one: &Pattern, other: &Pattern) -> Option<Pattern> {
    if one.covers(other) {
        Some(other.clone())
    } else if other.covers(one) {
        Some(one.clone())
    } else if one.overlaps(other) {
        // `a/*` and `a:*` share `a` alone. Were that no pattern, the whole of one is safe: what
        // is copied restricts.
        let text = one.as_str();
        let base = text.strip_suffix("/*").or_else(|| text.strip_suffix(":*"));
        let base = base.and_then(|base| base.parse().ok());
        Some(base.unwrap_or_else(|| one.clone()))
    } else {
        None
    }
}
