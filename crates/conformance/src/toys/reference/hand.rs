//! Handing on, and what bounds it: authority only ever gets narrower.

use std::cmp::Reverse;

use libos_abi::{
    Bound, CallInfo, CapId, DenyReason, Effect, Error, Fault, GrantSpec, Manifest, Origin, Pattern,
    Pid, Rights, SERVICES, capability::FailureKind, event::NewCapability,
};

use super::{
    condition::validate,
    decide::{Cap, Grants},
};

/// How deep authority may be handed on.
pub(super) const DEPTH_MAX: u8 = 8;

/// How many entries a part of a manifest may have.
const ENTRIES_MAX: usize = 256;

impl Grants {
    /// What `giver` hands on: each grant cut from one capability that covers it, then copies of the
    /// giver's denies and asks where they overlap it.
    pub(super) fn hand(
        &self,
        giver: Pid,
        to: Pid,
        grants: &[GrantSpec],
        now_ms: u64,
    ) -> Result<Vec<NewCapability>, Error> {
        let mut new: Vec<NewCapability> = Vec::new();
        for grant in grants {
            validate(grant)?;
            if !is_canonical(&grant.on) {
                return Err(FailureKind::BadGrant.because("the pattern is not canonical"));
            }
            let source = match grant.effect {
                Effect::Deny => None,
                _ => Some(self.source(giver, grant, now_ms)?),
            };
            if let Some(source) = source
                && self.root(source).made.origin != Origin::Kernel
            {
                self.admitted(to, grant)?;
            }
            let until = source.and_then(|source| self.ends(source));
            new.push(NewCapability {
                id: self.next(new.len()),
                subject: to,
                grant: grant.clone(),
                expires_at_ms: first(ends(grant, now_ms), until),
                parent: source.map(|source| source.made.id),
                origin: Origin::Delegated { by: giver },
                binding: None,
            });
        }
        for handed in new.clone().iter().filter(|handed| handed.grant.effect != Effect::Deny) {
            let restricts = |cap: &&Cap| {
                let is_other = handed.parent != Some(cap.made.id);
                is_other && cap.made.grant.effect != Effect::Allow && self.in_force(cap, now_ms)
            };
            for held in self.of(giver).filter(restricts) {
                let (effect, until) = (held.made.grant.effect, self.ends(held));
                let rights = held.made.grant.rights.intersect(handed.grant.rights);
                let on = meet(&held.made.grant.on, &handed.grant.on);
                let Some(on) = on.filter(|_| !rights.is_empty()) else { continue };
                // A deny stays as it is; a question opens no more than what was handed on.
                let (form, expires_at_ms) = match effect {
                    Effect::Deny => (held.made.grant.clone(), until),
                    _ => (handed.grant.clone(), first(until, handed.expires_at_ms)),
                };
                let copy = NewCapability {
                    id: self.next(new.len()),
                    subject: to,
                    grant: GrantSpec { effect, on, rights, delegable: 0, expires: None, ..form },
                    expires_at_ms,
                    parent: Some(held.made.id),
                    origin: Origin::Kernel,
                    binding: None,
                };
                let same = |it: &NewCapability| NewCapability { id: copy.id, ..it.clone() } == copy;
                let there =
                    self.of(to).filter(|cap| self.in_force(cap, now_ms)).map(|cap| &cap.made);
                let limited = copy.grant.uses.is_some()
                    || copy.grant.calls_max.is_some()
                    || copy.grant.when.0.values().any(|condition| condition.sum_max.is_some());
                if limited || !new.iter().chain(there).any(same) {
                    new.push(copy);
                }
            }
        }
        Ok(new)
    }

    pub(super) fn next(&self, more: usize) -> CapId {
        CapId(self.last + more as u64 + 1)
    }

    /// What a grant is cut from: one capability of the giver that covers it in everything. The
    /// least bound, then the longest-lived, then the oldest.
    fn source(&self, giver: Pid, grant: &GrantSpec, now_ms: u64) -> Result<&Cap, Error> {
        let covers = |cap: &&Cap| {
            let held = &cap.made.grant;
            let deep = match held.effect {
                Effect::Allow => held.delegable > grant.delegable && cap.made.binding.is_none(),
                Effect::Ask => {
                    grant.effect == Effect::Ask
                        && held.delegable.saturating_sub(1) >= grant.delegable
                }
                Effect::Deny => false,
            };
            let wide = held.on.covers(&grant.on) && held.rights.covers(grant.rights);
            deep && wide && held.uses.is_none() && self.in_force(cap, now_ms)
        };
        let best = self.of(giver).filter(covers).min_by_key(|cap| {
            let bound = self.chain(cap).map(|cap| &cap.made.grant);
            let bound =
                bound.map(|grant| !grant.when.is_empty() || grant.calls_max.is_some()).max();
            let until = Reverse(self.ends(cap).unwrap_or(u64::MAX));
            (cap.made.grant.effect != grant.effect, bound, until)
        });
        let what = || DenyReason::Attenuation(format!("{giver} holds nothing that covers it"));
        let best = best.ok_or_else(|| Fault::denied(None, what()))?;
        if self.chain(best).count() > usize::from(DEPTH_MAX) {
            let (what, limit) = ("levels of delegation".into(), DEPTH_MAX.into());
            return Err(Fault::Limit { what, limit }.into());
        }
        Ok(best)
    }

    /// The capability at the head of the chain.
    fn root<'g>(&'g self, cap: &'g Cap) -> &'g Cap {
        self.chain(cap).last().unwrap_or(cap)
    }

    /// That every manifest that bounds a process foresees a grant to it.
    pub(super) fn admitted(&self, to: Pid, grant: &GrantSpec) -> Result<(), Error> {
        let foreseen = |it: &Manifest| covers(it.authority.as_ref(), &grant.on, grant.rights);
        match grant.effect == Effect::Deny || self.bounding(to).all(foreseen) {
            true => Ok(()),
            false => Err(FailureKind::OutsideManifest.because("no manifest foresees it")),
        }
    }

    /// That a process may get these bounds: everything it holds is within them, but for denies,
    /// approvals and what comes from the kernel.
    pub(super) fn within(
        &self,
        pid: Pid,
        mut bounds: impl Iterator<Item = Manifest>,
    ) -> Result<(), Error> {
        let held = || {
            self.of(pid).filter(|cap| {
                let made = &cap.made;
                let from_kernel = [&made.origin, &self.root(cap).made.origin];
                made.grant.effect != Effect::Deny
                    && made.binding.is_none()
                    && !from_kernel.contains(&&Origin::Kernel)
            })
        };
        let fits = |bounds: Manifest| {
            held().all(|Cap { made, .. }| {
                covers(bounds.authority.as_ref(), &made.grant.on, made.grant.rights)
            })
        };
        match bounds.all(fits) {
            true => Ok(()),
            false => Err(FailureKind::OutsideManifest.because("it holds more already")),
        }
    }
}

/// Whether one entry covers rights on a pattern; a part that is absent bounds nothing.
pub(super) fn covers(part: Option<&Vec<Bound>>, on: &Pattern, rights: Rights) -> bool {
    part.is_none_or(|part| part.iter().any(|it| it.on.covers(on) && it.rights.covers(rights)))
}

/// Whether `fs.read` or `fs.*` names a call.
pub(super) fn names(entry: &str, call: &CallInfo) -> bool {
    entry == call.name || entry.strip_suffix(".*") == Some(call.service)
}

/// Refuses a manifest that is malformed.
pub(super) fn check(manifest: &Manifest) -> Result<(), Error> {
    let Manifest { authority, calls, requestable } = manifest;
    let entries = || authority.iter().chain(requestable).flatten();
    let known = |entry: &String| {
        SERVICES.iter().flat_map(|service| service.calls).any(|call| names(entry, call))
    };
    let short = [authority, requestable].into_iter().flatten().all(|it| it.len() <= ENTRIES_MAX)
        && calls.as_ref().is_none_or(|calls| calls.len() <= ENTRIES_MAX);
    let sound = entries().all(|it| !it.rights.is_empty() && is_canonical(&it.on));
    match short && sound && calls.iter().flatten().all(known) {
        true => Ok(()),
        false => Err(FailureKind::BadGrant.because("the manifest is malformed")),
    }
}

/// Whether a pattern is one that could be written: over a wire it may be any text.
pub(super) fn is_canonical(on: &Pattern) -> bool {
    on.as_str().parse::<Pattern>().is_ok_and(|parsed| parsed == *on)
}

pub(super) fn ends(grant: &GrantSpec, now_ms: u64) -> Option<u64> {
    grant.expires.map(|after| now_ms.saturating_add(after.0))
}

fn first(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The resources that both cover. `a/*` and `a:*` share `a` alone.
fn meet(one: &Pattern, other: &Pattern) -> Option<Pattern> {
    match (one.covers(other), other.covers(one), one.overlaps(other)) {
        (true, ..) => Some(other.clone()),
        (_, true, _) => Some(one.clone()),
        (.., false) => None,
        (.., true) => {
            let base = one.as_str().trim_end_matches('*').trim_end_matches(['/', ':']);
            Some(base.parse().unwrap_or_else(|_| one.clone()))
        }
    }
}
