//! Handing on, and what bounds it: authority only ever gets narrower.

use std::cmp::Reverse;

use libos_abi::{
    Bound, CallInfo, CapId, DenyReason, Effect, Error, Fault, GrantSpec, Manifest, Origin, Pattern,
    Pid, Rights, SERVICES, capability::FailureKind, event::NewCapability,
};

use super::{
    condition::validate,
    decide::{Cap, Grants, limits},
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
            check(is_canonical(&grant.on), FailureKind::BadGrant)?;
            let source = match grant.effect {
                Effect::Deny => None,
                _ => Some(self.source(giver, grant, now_ms)?),
            };
            if source.is_some_and(|source| self.root(source).made.origin != Origin::Kernel) {
                self.admitted(to, grant)?;
            }
            let ends = source.and_then(|source| self.ends(source));
            new.push(NewCapability {
                id: self.next(new.len()),
                subject: to,
                grant: grant.clone(),
                expires_at_ms: ends.into_iter().chain(until(grant, now_ms)).min(),
                parent: source.map(|source| source.made.id),
                origin: Origin::Delegated { by: giver },
                binding: None,
            });
        }
        for handed in new.clone().iter().filter(|handed| handed.grant.effect != Effect::Deny) {
            let restricts = |cap: &&Cap| {
                let is_other = handed.parent != Some(cap.made.id);
                is_other
                    && cap.made.grant.effect != Effect::Allow
                    && self.over(cap, now_ms).is_none()
            };
            for held in self.of(giver).filter(restricts) {
                let Some(copy) = self.copy(held, handed, self.next(new.len())) else { continue };
                let same = |it: &NewCapability| NewCapability { id: copy.id, ..it.clone() } == copy;
                let there = self.of(to).filter(|cap| self.over(cap, now_ms).is_none());
                let mut there = new.iter().chain(there.map(|cap| &cap.made));
                if !limits(&copy.grant).is_empty() || !there.any(same) {
                    new.push(copy);
                }
            }
        }
        Ok(new)
    }

    /// What a deny or ask of the giver is for what was handed on, where they overlap.
    fn copy(&self, held: &Cap, handed: &NewCapability, id: CapId) -> Option<NewCapability> {
        let (effect, ends) = (held.made.grant.effect, self.ends(held));
        let on = meet(&held.made.grant.on, &handed.grant.on)?;
        let rights = held.made.grant.rights.intersect(handed.grant.rights);
        // A deny stays as it is; a question opens no more than what was handed on.
        let (form, more) = match effect {
            Effect::Deny => (&held.made.grant, None),
            _ => (&handed.grant, handed.expires_at_ms),
        };
        let form = form.clone();
        (!rights.is_empty()).then(|| NewCapability {
            id,
            subject: handed.subject,
            grant: GrantSpec { effect, on, rights, delegable: 0, expires: None, ..form },
            expires_at_ms: ends.into_iter().chain(more).min(),
            parent: Some(held.made.id),
            origin: Origin::Kernel,
            binding: None,
        })
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
            deep && wide && held.uses.is_none() && self.over(cap, now_ms).is_none()
        };
        let best = self.of(giver).filter(covers).min_by_key(|cap| {
            let is_bound = |cap: &Cap| {
                !cap.made.grant.when.is_empty() || cap.made.grant.calls_max.is_some()
            };
            let ends = Reverse(self.ends(cap).unwrap_or(u64::MAX));
            (cap.made.grant.effect != grant.effect, self.chain(cap).any(is_bound), ends)
        });
        let reason = || DenyReason::Attenuation(format!("{giver} holds nothing that covers it"));
        let best = best.ok_or_else(|| Fault::denied(None, reason()))?;
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
        let is_fine = grant.effect == Effect::Deny || self.bounding(to).all(foreseen);
        check(is_fine, FailureKind::OutsideManifest)
    }

    /// That a process may get these bounds: everything it holds is within them, but for denies,
    /// approvals and what comes from the kernel.
    pub(super) fn within<'m>(
        &self,
        pid: Pid,
        mut bounds: impl Iterator<Item = &'m Manifest>,
    ) -> Result<(), Error> {
        let is_bound = |cap: &&Cap| {
            let from_kernel = [&cap.made.origin, &self.root(cap).made.origin];
            cap.made.grant.effect != Effect::Deny
                && cap.made.binding.is_none()
                && !from_kernel.contains(&&Origin::Kernel)
        };
        let fits = |bounds: &Manifest| {
            let mut held = self.of(pid).filter(is_bound).map(|cap| &cap.made.grant);
            held.all(|grant| covers(bounds.authority.as_ref(), &grant.on, grant.rights))
        };
        check(bounds.all(fits), FailureKind::OutsideManifest)
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

/// Whether a manifest is well-formed.
pub(super) fn is_sound(manifest: &Manifest) -> bool {
    let Manifest { authority, calls, requestable } = manifest;
    let known = |entry: &String| {
        SERVICES.iter().flat_map(|service| service.calls).any(|call| names(entry, call))
    };
    let lists = || authority.iter().chain(requestable);
    lists().all(|it| it.len() <= ENTRIES_MAX)
        && calls.iter().all(|it| it.len() <= ENTRIES_MAX && it.iter().all(known))
        && lists().flatten().all(|it| !it.rights.is_empty() && is_canonical(&it.on))
}

/// Whether a pattern is one that could be written: over a wire it may be any text.
pub(super) fn is_canonical(on: &Pattern) -> bool {
    on.as_str().parse::<Pattern>().is_ok_and(|parsed| parsed == *on)
}

pub(super) fn until(grant: &GrantSpec, now_ms: u64) -> Option<u64> {
    grant.expires.map(|after| now_ms.saturating_add(after.0))
}

/// Fails unless it is so.
pub(super) fn check(is_so: bool, otherwise: FailureKind) -> Result<(), Error> {
    if is_so { Ok(()) } else { Err(otherwise.because("see the contract")) }
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
