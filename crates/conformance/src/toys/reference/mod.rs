//! The reference model of authority as a part: the service `capability` over its list of grants.
//!
//! The rules are in `decide` and `hand`, those of conditions in `condition`.

mod condition;
mod decide;
mod hand;
mod saved;

use std::cmp::Reverse;

use libos_abi::{
    Binding, CapId, CapabilityInfo, DenyReason, Digest, Effect, Event, Fault, GrantSpec,
    Manifest as Document, Need, Origin, Pattern, Pid, Reply, Status, Syscall,
    capability::{
        self, Bound, Compare, CopyHeld, Delegate, Derive, End, Explain, Explanation, FailureKind,
        Forget, Grant, Granted, GrantedAll, Inspect, Issue, Keep, List, May, MayReply, Recall,
        Requestable, Reserve, Restore, Revoke, Revoked, Save, Server, Settle,
    },
    checkpoint::{CapabilityChanges, Copied, Held, Kept},
    event::{CapabilityEvent, NewCapability},
};
use libos_port::{
    Authority, BadSnapshot, Component, Context, Decision, Manifest, Query, Stop, Versioned,
};

use self::{
    condition::validate,
    decide::{At, Call, Cap, Grants, Verdict, totals},
    hand::{check, covers, ends, is_canonical},
};

/// The reference model.
#[derive(Default)]
pub struct Reference(Versioned<Grants>);

impl Reference {
    /// Records what was planned; gives the ids of the first `asked`.
    fn make(&mut self, cx: &mut dyn Context, new: Vec<NewCapability>, asked: usize) -> Vec<CapId> {
        let ids = new.iter().take(asked).map(|new| new.id).collect();
        new.into_iter().for_each(|new| self.0.change(cx, CapabilityEvent::Granted(new)));
        ids
    }

    /// Makes a capability out of nobody's authority.
    fn root(
        &mut self,
        cx: &mut dyn Context,
        subject: Pid,
        grant: &GrantSpec,
        origin: Origin,
        binding: Option<Binding>,
    ) -> Result<Granted, Stop> {
        validate(grant)?;
        if binding.is_some() && grant.effect != Effect::Allow {
            return Err(FailureKind::BadGrant.because("an approval can only allow").into());
        }
        if binding.is_none() && origin != Origin::Kernel {
            self.0.admitted(subject, grant)?;
        }
        let (id, grant) = (self.0.next(0), grant.clone());
        let expires_at_ms = ends(&grant, cx.now_ms());
        let parent = None;
        let made = NewCapability { id, subject, grant, expires_at_ms, parent, origin, binding };
        self.make(cx, vec![made], 1);
        Ok(Granted { capability: id })
    }

    fn know(&mut self, cx: &mut dyn Context, parent: Pid, child: Pid) {
        if !self.0.family.contains(&(child, parent)) {
            self.0.change(cx, CapabilityEvent::ChildKnown { parent, child });
        }
    }

    /// The process a call is about: the caller, or for the host the one it names.
    fn subject(cx: &dyn Context, named: Option<Pid>) -> Result<Option<Pid>, Stop> {
        match (cx.caller().pid(), named) {
            (Some(own), Some(named)) if own != named => {
                Err(Fault::denied(None, DenyReason::NotForProcesses).into())
            }
            (own, named) => Ok(own.or(named)),
        }
    }
}

impl Grants {
    /// These capabilities, and everything cut from them.
    fn with_below(&self, ids: &[CapId]) -> Revoked {
        let below = |cap: &&Cap| self.chain(cap).any(|above| ids.contains(&above.made.id));
        Revoked { capabilities: self.all.iter().filter(below).map(|cap| cap.made.id).collect() }
    }

    fn info(&self, cap: &Cap, now_ms: u64) -> CapabilityInfo {
        let NewCapability { id, subject, grant, parent, origin, binding, .. } = cap.made.clone();
        let taken = self.taken(cap);
        let (uses, calls) = totals(&taken);
        let status = if self.is_revoked(cap) {
            Status::Revoked
        } else if cap.ended {
            Status::Ended
        } else if !self.in_force(cap, now_ms) {
            Status::Expired
        } else if self.chain(cap).any(Cap::is_exhausted) {
            Status::Exhausted
        } else {
            Status::Active
        };
        CapabilityInfo {
            id,
            subject,
            effect: grant.effect,
            on: grant.on,
            rights: grant.rights,
            uses_left: grant.uses.map(|max| max.saturating_sub(uses)),
            expires_at_ms: self.ends(cap),
            delegable: grant.delegable,
            calls_left: grant.calls_max.map(|max| max.saturating_sub(calls)),
            when: grant.when,
            parent,
            origin,
            binding,
            status,
        }
    }
}

fn not_found() -> Stop {
    FailureKind::NotFound.because("there is none that the caller may see").into()
}

impl<'c> Server<dyn Context + 'c, Stop> for Reference {
    fn list(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &List,
    ) -> Result<capability::Capabilities, Stop> {
        let subject = Self::subject(cx, call.pid)?;
        let theirs = |cap: &&Cap| subject.is_none_or(|pid| cap.made.subject == pid);
        let seen = self.0.all.iter().filter(theirs).map(|cap| self.0.info(cap, cx.now_ms()));
        let all = call.all.unwrap_or(false);
        let capabilities = seen.filter(|cap| all || cap.status == Status::Active).collect();
        Ok(capability::Capabilities { capabilities })
    }

    fn inspect(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Inspect,
    ) -> Result<CapabilityInfo, Stop> {
        let caller = cx.caller().pid();
        let seen = self.0.get(call.capability);
        let seen = seen.filter(|cap| caller.is_none_or(|pid| cap.made.subject == pid));
        seen.map(|cap| self.0.info(cap, cx.now_ms())).ok_or_else(not_found)
    }

    fn delegate(&mut self, cx: &mut (dyn Context + 'c), call: &Delegate) -> Result<Granted, Stop> {
        let giver = cx.caller().pid().ok_or_else(|| Fault::bad("the host grants"))?;
        if !self.0.family.contains(&(call.to, giver)) {
            return Err(FailureKind::NotAChild.because("it is no living child").into());
        }
        let new = self.0.hand(giver, call.to, std::slice::from_ref(&call.grant), cx.now_ms())?;
        let capability = self.make(cx, new, 1)[0];
        Ok(Granted { capability })
    }

    fn revoke(&mut self, cx: &mut (dyn Context + 'c), call: &Revoke) -> Result<Revoked, Stop> {
        let (id, caller) = (call.capability, cx.caller().pid());
        let may = |cap: &&Cap| caller.is_none_or(|by| cap.made.origin == Origin::Delegated { by });
        let cap = self.0.get(id).filter(may).ok_or_else(not_found)?;
        let subject = cap.made.subject;
        if !cap.revoked {
            let reason = call.reason.clone();
            self.0.change(cx, CapabilityEvent::Revoked { capability: id, subject, reason });
        }
        Ok(self.0.with_below(&[id]))
    }

    fn grant(&mut self, cx: &mut (dyn Context + 'c), call: &Grant) -> Result<Granted, Stop> {
        if !cx.caller().is_host() {
            return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
        }
        if !is_canonical(&call.grant.on) {
            return Err(FailureKind::BadGrant.because("the pattern is not canonical").into());
        }
        self.root(cx, call.to, &call.grant, Origin::Host, None)
    }

    fn explain(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Explain,
    ) -> Result<Explanation, Stop> {
        let subject = Self::subject(cx, call.pid)?;
        let subject = subject.ok_or_else(|| Fault::bad("the host names the process"))?;
        let need = Need { right: call.right, on: call.on.clone() };
        let at = At { now_ms: cx.now_ms(), call: Call::Fitting };
        let (effect, reason) = match self.0.verdict(subject, &need, at) {
            Verdict::Allow(_) => (Effect::Allow, None),
            Verdict::Ask(_) => (Effect::Ask, None),
            Verdict::Deny(reason) => (Effect::Deny, Some(reason)),
        };
        let speaks = |cap: &&Cap| {
            let grant = &cap.made.grant;
            grant.on.matches(&need.on) && grant.rights.contains(need.right)
        };
        let weighed = self.0.of(subject).filter(speaks).map(|cap| self.0.info(cap, at.now_ms));
        let mut weighed: Vec<CapabilityInfo> = weighed.collect();
        weighed.sort_by_key(|cap| (Reverse(cap.effect), cap.id));
        Ok(Explanation { text: format!("{need}: {effect}"), need, effect, reason, weighed })
    }

    fn derive(&mut self, cx: &mut (dyn Context + 'c), call: &Derive) -> Result<GrantedAll, Stop> {
        let Derive { parent, child, grants } = call;
        self.0.within(*child, self.0.bounding(*parent).cloned())?;
        let new = self.0.hand(*parent, *child, grants, cx.now_ms())?;
        self.know(cx, *parent, *child);
        let capabilities = self.make(cx, new, grants.len());
        Ok(GrantedAll { capabilities })
    }

    fn issue(&mut self, cx: &mut (dyn Context + 'c), call: &Issue) -> Result<Granted, Stop> {
        self.root(cx, call.to, &call.grant, call.origin.clone(), call.binding.clone())
    }

    fn reserve(&mut self, cx: &mut (dyn Context + 'c), call: &Reserve) -> Result<(), Stop> {
        let Reserve { op, charges } = call.clone();
        match self.0.held.iter().find(|(held, _)| *held == op) {
            Some((_, there)) if *there == charges => return Ok(()),
            Some(_) => return Err(Fault::bad("it has set other things aside").into()),
            None if charges.is_empty() => return Ok(()),
            None => {}
        }
        for charge in &charges {
            let id = charge.capability;
            let cap = self.0.get(id).ok_or_else(|| Fault::denied(None, DenyReason::NoGrant))?;
            let revoked = self.0.is_revoked(cap).then_some(DenyReason::Revoked(id));
            let passed = || self.0.passes(cap, charge).map(|(_, reason)| reason);
            if let Some(reason) = revoked.or_else(passed) {
                return Err(Fault::denied(None, reason).into());
            }
        }
        self.0.change(cx, CapabilityEvent::Reserved { op, charges });
        Ok(())
    }

    fn settle(&mut self, cx: &mut (dyn Context + 'c), call: &Settle) -> Result<(), Stop> {
        let Settle { op, give_back: gave_back } = *call;
        if self.0.held.iter().any(|(held, _)| *held == op) {
            self.0.change(cx, CapabilityEvent::Settled { op, gave_back });
        }
        Ok(())
    }

    fn end(&mut self, cx: &mut (dyn Context + 'c), call: &End) -> Result<(), Stop> {
        let subject = call.subject;
        let holds = self.0.of(subject).any(|cap| !cap.ended);
        let is_bound = self.0.bounding(subject).next().is_some();
        if holds || is_bound || self.0.family.iter().any(|(child, _)| *child == subject) {
            self.0.change(cx, CapabilityEvent::SubjectEnded { subject });
        }
        Ok(())
    }

    fn bound(&mut self, cx: &mut (dyn Context + 'c), call: &Bound) -> Result<(), Stop> {
        let Bound { pid, parent, manifest } = call;
        manifest.as_ref().map_or(Ok(()), check)?;
        let above: Vec<Document> =
            parent.iter().flat_map(|parent| self.0.bounding(*parent)).cloned().collect();
        self.0.within(*pid, above.into_iter().chain(manifest.clone()))?;
        if let Some(parent) = parent {
            self.know(cx, *parent, *pid);
        }
        if let Some(manifest) = manifest.clone().filter(|it| *it != Document::default()) {
            self.0.change(cx, CapabilityEvent::Bounded { pid: *pid, manifest });
        }
        Ok(())
    }

    fn requestable(&mut self, _: &mut (dyn Context + 'c), call: &Requestable) -> Result<(), Stop> {
        let admits = |it: &Document| {
            [&it.authority, &it.requestable]
                .map(|part| covers(part.as_ref(), &call.on, call.rights))
                == [true, true]
        };
        match self.0.bounding(call.pid).all(admits) {
            true => Ok(()),
            false => Err(FailureKind::OutsideManifest.because("it may not ask for that").into()),
        }
    }

    fn keep(&mut self, cx: &mut (dyn Context + 'c), call: &Keep) -> Result<Revoked, Stop> {
        let Keep { subject, keep, memory } = call;
        let is_active = |cap: &&Cap| {
            cap.made.subject == *subject && self.0.info(cap, cx.now_ms()).status == Status::Active
        };
        if !keep.iter().all(|id| self.0.get(*id).filter(is_active).is_some()) {
            return Err(not_found());
        }
        let stays = |Cap { made, .. }: &Cap| {
            let from_kernel = made.origin == Origin::Kernel
                && (*memory || made.grant.on != Pattern::space(*subject));
            keep.contains(&made.id) || made.grant.effect != Effect::Allow || from_kernel
        };
        let goes = |cap: &&Cap| !stays(cap) && !cap.ended && !self.0.is_revoked(cap);
        let dropped: Vec<CapId> = self.0.of(*subject).filter(goes).map(|cap| cap.made.id).collect();
        if !dropped.is_empty() {
            let (subject, dropped) = (*subject, dropped.clone());
            self.0.change(cx, CapabilityEvent::Kept { subject, dropped });
        }
        Ok(self.0.with_below(&dropped))
    }

    fn may(&mut self, cx: &mut (dyn Context + 'c), call: &May) -> Result<MayReply, Stop> {
        let need = Need { right: call.right, on: call.on.clone() };
        let at = At { now_ms: cx.now_ms(), call: Call::Unknown };
        let verdict = self.0.verdict(call.pid, &need, at);
        Ok(MayReply { allowed: matches!(verdict, Verdict::Allow(_)) })
    }

    fn save(&mut self, cx: &mut (dyn Context + 'c), call: &Save) -> Result<Kept, Stop> {
        let Save { checkpoint, subjects } = call.clone();
        let at_ms = cx.now_ms();
        self.0.change(cx, CapabilityEvent::Saved { checkpoint, subjects, at_ms });
        let count = self.0.saved(checkpoint).map_or(0, |saved| saved.in_force.len() as u64);
        Ok(Kept { count })
    }

    fn compare(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Compare,
    ) -> Result<CapabilityChanges, Stop> {
        Ok(CapabilityChanges { rows: self.0.changes_since(call.checkpoint, cx.now_ms()) })
    }

    fn forget(&mut self, cx: &mut (dyn Context + 'c), call: &Forget) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        if self.0.saved(checkpoint).is_some() {
            self.0.change(cx, CapabilityEvent::Forgotten { checkpoint });
        }
        Ok(())
    }

    fn restore(&mut self, cx: &mut (dyn Context + 'c), call: &Restore) -> Result<Revoked, Stop> {
        let Restore { checkpoint, revived } = call.clone();
        let revoked = self.0.given_since(checkpoint);
        let capabilities = revoked.clone();
        if self.0.saved(checkpoint).is_some() {
            self.0.change(cx, CapabilityEvent::Restored { checkpoint, revived, revoked });
        }
        Ok(self.0.with_below(&capabilities))
    }

    fn copy_held(&mut self, cx: &mut (dyn Context + 'c), call: &CopyHeld) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        for Copied { from, to, parent } in &call.processes {
            let saved = self.0.saved(checkpoint).into_iter().flat_map(|saved| &saved.bounds);
            let own = saved.filter(|(pid, _)| pid == from).map(|(_, manifest)| manifest);
            let above = parent.iter().flat_map(|parent| self.0.bounding(*parent));
            self.0.within(*to, own.chain(above).cloned())?;
            if let Some(parent) = parent {
                self.know(cx, *parent, *to);
            }
            let (from, to) = (*from, *to);
            self.0.change(cx, CapabilityEvent::BoundsCopied { checkpoint, from, to });
        }
        let new = self.0.copies(checkpoint, &call.processes, cx.now_ms())?;
        self.make(cx, new, 0);
        Ok(())
    }

    fn recall(&mut self, cx: &mut (dyn Context + 'c), call: &Recall) -> Result<Held, Stop> {
        Ok(Held { grants: self.0.recall(call.checkpoint, cx.now_ms()) })
    }
}

impl Component for Reference {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["capability"], imports: &[] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Capability(call) => capability::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Capability(event) = event {
            self.0.apply(event);
        }
    }

    fn begin(&mut self) {
        self.0.begin();
    }

    fn rollback(&mut self) {
        self.0.rollback();
    }

    fn digest(&self) -> Digest {
        self.0.digest()
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.0.save(out);
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        self.0 = Versioned::of(Grants::load(bytes)?);
        Ok(())
    }
}

impl Authority for Reference {
    fn decide(&self, query: &Query<'_>) -> Decision {
        self.0.decide(query)
    }
}
