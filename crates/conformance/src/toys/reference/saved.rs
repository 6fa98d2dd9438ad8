//! Checkpoints in the reference model: what comes back, and what copies get.

use libos_abi::{
    CapId, CheckpointId, Effect, Error, Fault, GrantSpec, Manifest, Origin, Pattern, Pid, Status,
    checkpoint::{CapabilityChange, Change, Copied},
    event::NewCapability,
};
use serde::Serialize;

use super::{
    decide::{Cap, Grants},
    hand::DEPTH_MAX,
};

/// What was held at a checkpoint.
#[derive(Clone, Serialize)]
pub(super) struct Saved {
    pub(super) checkpoint: CheckpointId,
    /// The last id that was given before it.
    pub(super) last: u64,
    pub(super) subjects: Vec<Pid>,
    pub(super) bounds: Vec<(Pid, Manifest)>,
    pub(super) in_force: Vec<CapId>,
}

/// Whether the grant itself holds for so many calls, or for so much.
fn is_finite(grant: &GrantSpec) -> bool {
    let sums = grant.when.0.values().any(|condition| condition.sum_max.is_some());
    grant.uses.is_some() || grant.calls_max.is_some() || sums
}

impl Grants {
    pub(super) fn saved(&self, checkpoint: CheckpointId) -> Option<&Saved> {
        self.saved.iter().find(|saved| saved.checkpoint == checkpoint)
    }

    /// What a process of a checkpoint keeps when it comes back.
    fn survives(&self, saved: &Saved, cap: &Cap) -> bool {
        let grant = &cap.made.grant;
        let restricts = |then: &Cap| {
            let it = &then.made.grant;
            let shares = it.rights.iter().any(|right| grant.rights.contains(right));
            let was_there = then.made.id.0 <= saved.last || then.made.id.kin_child().is_some();
            was_there
                && !self.is_revoked(then)
                && it.effect != Effect::Deny
                && shares
                && it.on.overlaps(&grant.on)
        };
        cap.made.id.0 <= saved.last
            || grant.effect == Effect::Deny
            || grant.effect == Effect::Ask && self.of(cap.made.subject).any(restricts)
    }

    pub(super) fn given_since(&self, checkpoint: CheckpointId) -> Vec<CapId> {
        let Some(saved) = self.saved(checkpoint) else { return Vec::new() };
        let theirs = self.all.iter().filter(|cap| saved.subjects.contains(&cap.made.subject));
        let goes = theirs.filter(|cap| !self.is_revoked(cap) && !self.survives(saved, cap));
        goes.map(|cap| cap.made.id).collect()
    }

    pub(super) fn changes_since(
        &self,
        checkpoint: CheckpointId,
        now_ms: u64,
    ) -> Vec<CapabilityChange> {
        let Some(saved) = self.saved(checkpoint) else { return Vec::new() };
        let row = |cap: &Cap, change| CapabilityChange {
            capability: cap.made.id,
            subject: cap.made.subject,
            change,
            on: Some(cap.made.grant.on.clone()),
            rights: cap.made.grant.rights,
        };
        let status = |cap: &Cap| self.info(cap, now_ms).status;
        let made = self.all.iter().filter(|cap| {
            let is_here = saved.subjects.contains(&cap.made.subject);
            is_here && cap.made.id.0 > saved.last && status(cap) == Status::Active
        });
        let mut rows: Vec<_> = made.map(|cap| row(cap, Change::Made)).collect();
        for id in &saved.in_force {
            match self.get(*id) {
                Some(cap) if matches!(status(cap), Status::Active | Status::Ended) => {}
                Some(cap) => rows.push(row(cap, Change::Gone)),
                None => rows.push(CapabilityChange {
                    capability: *id,
                    subject: checkpoint.process,
                    change: Change::Gone,
                    on: None,
                    rights: libos_abi::Rights::default(),
                }),
            }
        }
        rows.sort_by_key(|row| row.capability);
        rows
    }

    /// What one process of a checkpoint held and holds still, approvals aside.
    fn held_still(&self, saved: &Saved, of: Pid, now_ms: u64) -> impl Iterator<Item = &Cap> {
        self.of(of).filter(move |cap| {
            let is_over = self.is_revoked(cap) || self.ends(cap).is_some_and(|at| at <= now_ms);
            !is_over && cap.made.binding.is_none() && self.survives(saved, cap)
        })
    }

    pub(super) fn recall(&self, checkpoint: CheckpointId, now_ms: u64) -> Vec<GrantSpec> {
        let Some(saved) = self.saved(checkpoint) else { return Vec::new() };
        let held = self.held_still(saved, checkpoint.process, now_ms);
        let given = held.filter(|cap| cap.made.origin != Origin::Kernel);
        given.map(|cap| GrantSpec { expires: None, ..cap.made.grant.clone() }).collect()
    }

    pub(super) fn copies(
        &self,
        checkpoint: CheckpointId,
        processes: &[Copied],
        now_ms: u64,
    ) -> Result<Vec<NewCapability>, Error> {
        let Some(saved) = self.saved(checkpoint) else { return Ok(Vec::new()) };
        let mut new: Vec<NewCapability> = Vec::new();
        for Copied { from, to, .. } in processes {
            for cap in self.held_still(saved, *from, now_ms) {
                let NewCapability { id, grant, origin, .. } = &cap.made;
                let is_allow = grant.effect == Effect::Allow;
                let from_kernel = is_allow && *origin == Origin::Kernel;
                let there = memory_of_copy(&grant.on, processes);
                let own = from_kernel && grant.on == Pattern::space(*from);
                if is_allow && is_finite(grant) || own || from_kernel && there.is_none() {
                    continue;
                }
                let is_cut = !is_allow || there.is_none();
                let copy = GrantSpec {
                    on: there.clone().unwrap_or_else(|| grant.on.clone()),
                    uses: None,
                    calls_max: None,
                    expires: None,
                    delegable: if is_cut { grant.delegable } else { 0 },
                    ..grant.clone()
                };
                let is_free = self.chain(cap).last().is_some_and(|root| {
                    root.made.origin == Origin::Kernel || copy.effect == Effect::Deny
                });
                if !is_free && self.admitted(*to, &copy).is_err() {
                    continue;
                }
                if is_cut && self.chain(cap).count() > usize::from(DEPTH_MAX) {
                    let (what, limit) = ("levels of delegation".into(), DEPTH_MAX.into());
                    return Err(Fault::Limit { what, limit }.into());
                }
                new.push(NewCapability {
                    id: self.next(new.len()),
                    subject: *to,
                    grant: copy,
                    expires_at_ms: self.ends(cap),
                    parent: is_cut.then_some(*id),
                    origin: if there.is_some() { Origin::Kernel } else { origin.clone() },
                    binding: None,
                });
            }
        }
        Ok(new)
    }
}

/// A pattern over the memory of one of the originals, over that of its copy.
fn memory_of_copy(on: &Pattern, processes: &[Copied]) -> Option<Pattern> {
    let body = on.as_str().strip_prefix("object:")?;
    let end = body.find(['/', ':']).unwrap_or(body.len());
    let (pid, rest) = body.split_at(end);
    let copied = processes.iter().find(|copied| copied.from.to_string() == pid)?;
    format!("object:{}{rest}", copied.to).parse().ok()
}
