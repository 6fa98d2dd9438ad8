//! What processes held at a checkpoint.
//!
//! Ids are counted, so one number tells what was made since. What they held stays in the tables
//! even if they end, with what is spent of it and whether it was taken back: nothing is kept twice
//! and nothing comes back that went.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{
    CapId, CheckpointId, Effect, Error, Fault, GrantSpec, Origin, Pattern, Pid, Status,
    checkpoint::{CapabilityChange, Change, Copied},
    event::NewCapability,
};
use serde::Serialize;

use crate::{bounds::Bounds, cap::Cap, core::Tables, limits::DELEGATION_DEPTH_MAX};

/// What is noted for a checkpoint.
#[derive(Serialize)]
pub(crate) struct Saved {
    /// The last id given before it.
    pub(crate) last: u64,
    /// The processes, and what bounded them.
    pub(crate) subjects: BTreeMap<Pid, Option<Arc<Bounds>>>,
    /// What was in force.
    pub(crate) in_force: Arc<[CapId]>,
}

impl Tables {
    /// What processes hold at this moment.
    pub(crate) fn holdings(&self, subjects: &[Pid], at_ms: u64) -> Saved {
        let is_active = |cap: &&Cap| self.status(cap, at_ms) == Status::Active;
        let held = subjects.iter().flat_map(|pid| self.of(*pid)).filter(is_active);
        Saved {
            last: self.next_id().0 - 1,
            subjects: subjects.iter().map(|pid| (*pid, self.bounds(*pid).cloned())).collect(),
            in_force: held.map(|cap| cap.id).collect(),
        }
    }

    /// What was made since a checkpoint and is in force, and what was in force and is not for good.
    pub(crate) fn changes_since(
        &self,
        checkpoint: CheckpointId,
        now_ms: u64,
    ) -> Vec<CapabilityChange> {
        let Some(saved) = self.saved(checkpoint) else {
            return Vec::new();
        };
        let is_active = |cap: &&Cap| self.status(cap, now_ms) == Status::Active;
        let made = saved.subjects.keys().flat_map(|pid| self.of(*pid));
        let made = made.filter(|cap| cap.id.0 > saved.last).filter(is_active);
        let mut rows: Vec<CapabilityChange> = made.map(|cap| row(cap, Change::Made)).collect();
        for id in &*saved.in_force {
            match self.get(*id) {
                None => rows.push(CapabilityChange {
                    capability: *id,
                    subject: checkpoint.process,
                    change: Change::Gone,
                    on: None,
                    rights: libos_abi::Rights::default(),
                }),
                Some(cap) => match self.status(cap, now_ms) {
                    Status::Active | Status::Ended => {}
                    Status::Revoked | Status::Expired | Status::Exhausted => {
                        rows.push(row(cap, Change::Gone));
                    }
                },
            }
        }
        rows.sort_unstable_by_key(|row| row.capability);
        rows
    }
}

/// What comes back, and what is copied.
impl Tables {
    /// Whether a capability of a process of a checkpoint is one that the process has after it came
    /// back: one that it had then, a denial, or a question about what it had or has as kin. What
    /// only opens something and was given since is not.
    fn survives(&self, saved: &Saved, cap: &Cap) -> bool {
        let restricts = |then: &Cap| {
            then.id.0 <= saved.last
                && then.terms.effect != Effect::Deny
                && !then.is_revoked()
                && then.on.overlaps(&cap.on)
                && !then.terms.rights.intersect(cap.terms.rights).is_empty()
        };
        let restricts_kin = || {
            self.family().held_by(cap.subject, CapId(0)).any(|kin| {
                !self.family().is_cut(kin.id)
                    && kin.grant.on.overlaps(&cap.on)
                    && !kin.grant.rights.intersect(cap.terms.rights).is_empty()
            })
        };
        cap.id.0 <= saved.last
            || match cap.terms.effect {
                Effect::Deny => true,
                Effect::Ask => self.of(cap.subject).into_iter().any(restricts) || restricts_kin(),
                Effect::Allow => false,
            }
    }

    /// What was given to the processes of a checkpoint since and is to be taken back.
    pub(crate) fn given_since(&self, checkpoint: CheckpointId) -> Vec<CapId> {
        let Some(saved) = self.saved(checkpoint) else {
            return Vec::new();
        };
        let all = saved.subjects.keys().flat_map(|pid| self.of(*pid));
        let goes = |cap: &&Cap| !cap.is_revoked() && !self.survives(saved, cap);
        let mut ids: Vec<CapId> = all.filter(goes).map(|cap| cap.id).collect();
        ids.sort_unstable();
        ids
    }

    /// What the processes of a checkpoint held and hold still, an approval aside, of one of them.
    fn held_still(&self, saved: &Saved, of: Pid, now_ms: u64) -> impl Iterator<Item = &Cap> {
        let caps = self.of(of).into_iter();
        caps.filter(move |cap| {
            let is_in_force = !cap.is_revoked() && !cap.is_expired(now_ms);
            is_in_force && cap.binding().is_none() && self.survives(saved, cap)
        })
    }

    /// The grants of the process of a checkpoint that it held then and holds still, but for what
    /// the kernel gave it.
    pub(crate) fn recall(&self, checkpoint: CheckpointId, now_ms: u64) -> Vec<GrantSpec> {
        let Some(saved) = self.saved(checkpoint) else {
            return Vec::new();
        };
        let held = self.held_still(saved, checkpoint.process, now_ms);
        held.filter(|cap| cap.origin != Origin::Kernel).map(spec).collect()
    }

    /// What copies of processes get: each what its original held and holds still. What is finite
    /// is not copied, nor what the kernel gave; what restricts is, as far as it does. A copy is cut
    /// from its original, which goes on binding it. Authority over the memory of one of the
    /// originals becomes authority over the copy of that.
    ///
    /// # Errors
    /// When something was handed on too many times already.
    pub(crate) fn copies(
        &self,
        checkpoint: CheckpointId,
        processes: &[Copied],
        now_ms: u64,
    ) -> Result<Vec<NewCapability>, Error> {
        let Some(saved) = self.saved(checkpoint) else {
            return Ok(Vec::new());
        };
        let mut new = Vec::new();
        let mut next = self.next_id();
        for Copied { from, to, .. } in processes {
            for cap in self.held_still(saved, *from, now_ms) {
                let mine = copied_memory(&cap.on, processes);
                let is_kernels = cap.origin == Origin::Kernel && cap.terms.effect == Effect::Allow;
                let own = Pattern::space(*from);
                if cap.terms.effect == Effect::Allow && cap.is_finite()
                    || cap.on == own && is_kernels
                    || is_kernels && mine.is_none()
                {
                    continue;
                }
                let (on, parent, origin) = match mine {
                    Some(on) if cap.terms.effect == Effect::Allow => (on, None, Origin::Kernel),
                    Some(on) => (on, Some(cap.id), Origin::Kernel),
                    None => (cap.on.clone(), Some(cap.id), cap.origin.clone()),
                };
                let delegable = if parent.is_none() { 0 } else { cap.terms.delegable };
                let grant = GrantSpec { on, uses: None, calls_max: None, delegable, ..spec(cap) };
                if !self.may_hold(*to, cap, &grant) {
                    continue;
                }
                if parent.is_some() && self.depth(cap) >= usize::from(DELEGATION_DEPTH_MAX) {
                    let (what, limit) =
                        ("levels of delegation".into(), DELEGATION_DEPTH_MAX.into());
                    return Err(Fault::Limit { what, limit }.into());
                }
                let expires_at_ms = cap.expires_at_ms();
                let (id, subject, binding) = (next, *to, None);
                next = CapId(id.0.saturating_add(1));
                new.push(NewCapability {
                    id,
                    subject,
                    grant,
                    expires_at_ms,
                    parent,
                    origin,
                    binding,
                });
            }
        }
        Ok(new)
    }

    /// Whether what bounds a process foresees a copy for it.
    fn may_hold(&self, to: Pid, of: &Cap, grant: &GrantSpec) -> bool {
        let is_free = grant.effect == Effect::Deny || self.root(of).origin == Origin::Kernel;
        let admits = |bounds: &Arc<Bounds>| bounds.admit_grant(&grant.on, grant.rights);
        is_free || self.bounds(to).is_none_or(admits)
    }
}

/// A pattern over the memory of one of the originals, over that of its copy.
fn copied_memory(on: &Pattern, processes: &[Copied]) -> Option<Pattern> {
    processes.iter().find_map(|Copied { from, to, .. }| {
        let rest = on.as_str().strip_prefix("object:")?.strip_prefix(&from.to_string())?;
        let is_whole = rest.is_empty() || rest.starts_with(['/', ':']);
        is_whole.then(|| format!("object:{to}{rest}").parse().ok()).flatten()
    })
}

/// What a capability says, as a grant without an end of its own.
fn spec(cap: &Cap) -> GrantSpec {
    GrantSpec {
        effect: cap.terms.effect,
        on: cap.on.clone(),
        rights: cap.terms.rights,
        uses: cap.terms.uses,
        expires: None,
        delegable: cap.terms.delegable,
        calls_max: cap.terms.calls_max,
        when: cap.terms.when.clone(),
    }
}

fn row(cap: &Cap, change: Change) -> CapabilityChange {
    CapabilityChange {
        capability: cap.id,
        subject: cap.subject,
        change,
        on: Some(cap.on.clone()),
        rights: cap.terms.rights,
    }
}
