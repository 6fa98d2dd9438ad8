//! The reference model of authority as a part: the service `capability` over its list of grants.
//!
//! A call is a function from the list to what happens and what is replied. The rules are in
//! `decide` and `hand`, those of conditions in `condition`.

mod condition;
mod decide;
mod hand;

use std::cmp::Reverse;

use libos_abi::{
    Binding, CapId, CapabilityInfo, DenyReason, Digest, Effect, Error, Event, Fault, GrantSpec,
    Manifest as Document, Need, Origin, Pattern, Pid, Status, Syscall,
    capability::{
        self, Call as Service, Explanation, FailureKind, Granted, GrantedAll, MayReply, Reply,
        Revoked,
    },
    event::{CapabilityEvent, NewCapability},
};
use libos_port::{Authority, Component, Context, Decision, Manifest, Query, Stop, Versioned};

use self::{
    condition::validate,
    decide::{At, Call, Cap, Grants, Meter, Unfit, Verdict, is_exhausted, total},
    hand::{check, covers, is_canonical, is_sound, until},
};

/// The reference model.
#[derive(Default)]
pub struct Reference(Versioned<Grants>);

/// What a call comes to.
type Served = Result<(Vec<CapabilityEvent>, Reply), Error>;

/// A call that only looks.
fn looked(reply: Reply) -> Served {
    Ok((Vec::new(), reply))
}

/// The process a call is about: the caller, or for the host the one it names.
fn whose(caller: Option<Pid>, named: Option<Pid>) -> Result<Option<Pid>, Error> {
    match caller.is_some() && named.is_some() && caller != named {
        true => Err(Fault::denied(None, DenyReason::NotForProcesses).into()),
        false => Ok(caller.or(named)),
    }
}

impl Grants {
    /// Serves a call; `caller` is the process, if it is one.
    fn serve(&self, caller: Option<Pid>, now_ms: u64, call: &Service) -> Served {
        match call {
            Service::List(call) => {
                let pid = whose(caller, call.pid)?;
                let theirs = |cap: &&Cap| pid.is_none_or(|pid| cap.made.subject == pid);
                let seen = self.all.iter().filter(theirs).map(|cap| self.info(cap, now_ms));
                let is_shown =
                    |cap: &CapabilityInfo| call.all == Some(true) || cap.status == Status::Active;
                let capabilities = seen.filter(is_shown).collect();
                looked(Reply::List(capability::Capabilities { capabilities }))
            }
            Service::Inspect(call) => {
                let may = |cap: &&Cap| caller.is_none_or(|pid| cap.made.subject == pid);
                let cap = self.find(call.capability, may)?;
                looked(Reply::Inspect(self.info(cap, now_ms)))
            }
            Service::Explain(call) => {
                let pid = whose(caller, call.pid)?;
                let pid = pid.ok_or_else(|| Fault::bad("the host names the process"))?;
                let need = Need { right: call.right, on: call.on.clone() };
                looked(Reply::Explain(self.explain(pid, need, now_ms)))
            }
            Service::May(call) => {
                let need = Need { right: call.right, on: call.on.clone() };
                let verdict = self.verdict(call.pid, &need, At { now_ms, call: Call::Unknown });
                looked(Reply::May(MayReply { allowed: matches!(verdict, Verdict::Allow(_)) }))
            }
            Service::Requestable(call) => {
                let admits = |part| covers(part, &call.on, call.rights);
                let is_fine = self.bounding(call.pid).all(|it| {
                    admits(it.authority.as_ref()) && admits(it.requestable.as_ref())
                });
                check(is_fine, FailureKind::OutsideManifest)?;
                looked(Reply::Requestable(()))
            }
            Service::Grant(call) => {
                if caller.is_some() {
                    return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
                }
                check(is_canonical(&call.grant.on), FailureKind::BadGrant)?;
                let new = self.root_of(call.to, &call.grant, now_ms, &Origin::Host, None)?;
                Ok((vec![CapabilityEvent::Granted(new)], Reply::Grant(self.granted())))
            }
            Service::Issue(call) => {
                let binding = call.binding.as_ref();
                let new = self.root_of(call.to, &call.grant, now_ms, &call.origin, binding)?;
                Ok((vec![CapabilityEvent::Granted(new)], Reply::Issue(self.granted())))
            }
            Service::Delegate(call) => {
                let giver = caller.ok_or_else(|| Fault::bad("the host grants"))?;
                check(self.family.contains(&(call.to, giver)), FailureKind::NotAChild)?;
                let new = self.hand(giver, call.to, std::slice::from_ref(&call.grant), now_ms)?;
                let events = new.into_iter().map(CapabilityEvent::Granted).collect();
                Ok((events, Reply::Delegate(self.granted())))
            }
            Service::Revoke(call) => {
                let by = |cap: &&Cap| {
                    caller.is_none_or(|by| cap.made.origin == Origin::Delegated { by })
                };
                let cap = self.find(call.capability, by)?;
                let (id, subject) = (cap.made.id, cap.made.subject);
                let reason = call.reason.clone();
                let event = CapabilityEvent::Revoked { capability: id, subject, reason };
                let events = if cap.revoked { Vec::new() } else { vec![event] };
                Ok((events, Reply::Revoke(self.with_below(&[id]))))
            }
            call => self.serve_kernel(now_ms, call),
        }
    }

    /// Serves the other calls of the kernel.
    fn serve_kernel(&self, now_ms: u64, call: &Service) -> Served {
        match call {
            Service::Derive(call) => {
                let (parent, child) = (call.parent, call.child);
                self.within(child, self.bounding(parent))?;
                let new = self.hand(parent, child, &call.grants, now_ms)?;
                let capabilities = (0..call.grants.len()).map(|at| self.next(at)).collect();
                let new = new.into_iter().map(CapabilityEvent::Granted);
                let events = self.known(parent, child).into_iter().chain(new).collect();
                Ok((events, Reply::Derive(GrantedAll { capabilities })))
            }
            Service::Bound(call) => {
                let manifest = call.manifest.as_ref();
                check(manifest.is_none_or(is_sound), FailureKind::BadGrant)?;
                let above = call.parent.iter().flat_map(|parent| self.bounding(*parent));
                self.within(call.pid, above.chain(manifest))?;
                let known = call.parent.and_then(|parent| self.known(parent, call.pid));
                let manifest = manifest.filter(|it| **it != Document::default()).cloned();
                let bounded =
                    manifest.map(|manifest| CapabilityEvent::Bounded { pid: call.pid, manifest });
                Ok((known.into_iter().chain(bounded).collect(), Reply::Bound(())))
            }
            Service::Reserve(call) => self.reserve(call),
            Service::Settle(call) => {
                let (op, gave_back) = (call.op, call.give_back);
                let is_held = self.held.iter().any(|(held, _)| *held == op);
                let event = is_held.then_some(CapabilityEvent::Settled { op, gave_back });
                Ok((event.into_iter().collect(), Reply::Settle(())))
            }
            Service::End(call) => {
                let subject = call.subject;
                let is_there = self.of(subject).any(|cap| !cap.ended)
                    || self.bounding(subject).next().is_some()
                    || self.family.iter().any(|(child, _)| *child == subject);
                let event = is_there.then_some(CapabilityEvent::SubjectEnded { subject });
                Ok((event.into_iter().collect(), Reply::End(())))
            }
            Service::Keep(call) => self.keep(call, now_ms),
            _ => unreachable!("the calls of everybody are served above"),
        }
    }

    fn find(&self, id: CapId, may: impl Fn(&&Cap) -> bool) -> Result<&Cap, Error> {
        let cap = self.get(id).filter(may);
        cap.ok_or_else(|| FailureKind::NotFound.because("there is none that the caller may see"))
    }

    /// The reply to the making of one capability.
    fn granted(&self) -> Granted {
        Granted { capability: self.next(0) }
    }

    /// A capability out of nobody's authority.
    fn root_of(
        &self,
        subject: Pid,
        grant: &GrantSpec,
        now_ms: u64,
        origin: &Origin,
        binding: Option<&Binding>,
    ) -> Result<NewCapability, Error> {
        validate(grant)?;
        check(binding.is_none() || grant.effect == Effect::Allow, FailureKind::BadGrant)?;
        if binding.is_none() && *origin != Origin::Kernel {
            self.admitted(subject, grant)?;
        }
        Ok(NewCapability {
            id: self.next(0),
            subject,
            grant: grant.clone(),
            expires_at_ms: until(grant, now_ms),
            parent: None,
            origin: origin.clone(),
            binding: binding.cloned(),
        })
    }

    /// That one process is a child of another, unless that is known.
    fn known(&self, parent: Pid, child: Pid) -> Option<CapabilityEvent> {
        let is_new = !self.family.contains(&(child, parent));
        is_new.then_some(CapabilityEvent::ChildKnown { parent, child })
    }

    /// These capabilities, and everything cut from them.
    fn with_below(&self, ids: &[CapId]) -> Revoked {
        let below = |cap: &&Cap| self.chain(cap).any(|above| ids.contains(&above.made.id));
        Revoked { capabilities: self.all.iter().filter(below).map(|cap| cap.made.id).collect() }
    }

    fn reserve(&self, call: &capability::Reserve) -> Served {
        let (op, charges) = (call.op, call.charges.clone());
        match self.held.iter().find(|(held, _)| *held == op) {
            Some((_, there)) if *there != charges => {
                return Err(Fault::bad("it has set other things aside").into());
            }
            None if !charges.is_empty() => {}
            _ => return looked(Reply::Reserve(())),
        }
        for charge in &charges {
            let id = charge.capability;
            let cap = self.get(id).ok_or_else(|| Fault::denied(None, DenyReason::NoGrant))?;
            let is_revoked = self.chain(cap).any(|cap| cap.revoked);
            let unfit = is_revoked.then_some(Unfit::Revoked).or_else(|| self.passes(cap, charge));
            if let Some(unfit) = unfit {
                return Err(Fault::denied(None, unfit.of(id)).into());
            }
        }
        Ok((vec![CapabilityEvent::Reserved { op, charges }], Reply::Reserve(())))
    }

    fn keep(&self, call: &capability::Keep, now_ms: u64) -> Served {
        let capability::Keep { subject, keep, memory } = call;
        for id in keep {
            let is_active = |cap: &&Cap| self.info(cap, now_ms).status == Status::Active;
            self.find(*id, |cap| cap.made.subject == *subject && is_active(cap))?;
        }
        let goes = |cap: &&Cap| {
            let made = &cap.made;
            let from_kernel = made.origin == Origin::Kernel
                && (*memory || made.grant.on != Pattern::space(*subject));
            let stays =
                keep.contains(&made.id) || made.grant.effect != Effect::Allow || from_kernel;
            !stays && !cap.ended && !self.chain(cap).any(|cap| cap.revoked)
        };
        let dropped: Vec<CapId> = self.of(*subject).filter(goes).map(|cap| cap.made.id).collect();
        let reply = Reply::Keep(self.with_below(&dropped));
        let is_some = !dropped.is_empty();
        let event = is_some.then_some(CapabilityEvent::Kept { subject: *subject, dropped });
        Ok((event.into_iter().collect(), reply))
    }

    fn explain(&self, subject: Pid, need: Need, now_ms: u64) -> Explanation {
        let verdict = self.verdict(subject, &need, At { now_ms, call: Call::Fitting });
        let (effect, reason) = match verdict {
            Verdict::Allow(_) => (Effect::Allow, None),
            Verdict::Ask(_) => (Effect::Ask, None),
            Verdict::Deny(reason) => (Effect::Deny, Some(reason)),
        };
        let speaks = |cap: &&Cap| {
            let grant = &cap.made.grant;
            grant.on.matches(&need.on) && grant.rights.contains(need.right)
        };
        let weighed = self.of(subject).filter(speaks).map(|cap| self.info(cap, now_ms));
        let mut weighed: Vec<CapabilityInfo> = weighed.collect();
        weighed.sort_by_key(|cap| (Reverse(cap.effect), cap.id));
        Explanation { text: format!("{need}: {effect}"), need, effect, reason, weighed }
    }

    fn info(&self, cap: &Cap, now_ms: u64) -> CapabilityInfo {
        let NewCapability { id, subject, grant, parent, origin, binding, .. } = cap.made.clone();
        let taken = |of| total(self.taken(cap), of);
        let status = match self.over(cap, now_ms) {
            // What was taken back is told first.
            _ if self.chain(cap).any(|cap| cap.revoked) => Status::Revoked,
            Some(Unfit::Ended) => Status::Ended,
            Some(_) => Status::Expired,
            None if self.chain(cap).any(is_exhausted) => Status::Exhausted,
            None => Status::Active,
        };
        let uses = u32::try_from(taken(Meter::Uses)).unwrap_or(u32::MAX);
        CapabilityInfo {
            id,
            subject,
            effect: grant.effect,
            on: grant.on,
            rights: grant.rights,
            uses_left: grant.uses.map(|max| max.saturating_sub(uses)),
            expires_at_ms: self.ends(cap),
            delegable: grant.delegable,
            calls_left: grant.calls_max.map(|max| max.saturating_sub(taken(Meter::Calls))),
            when: grant.when,
            parent,
            origin,
            binding,
            status,
        }
    }
}

impl Component for Reference {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["capability"], imports: &[] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<libos_abi::Reply, Stop> {
        let Syscall::Capability(service) = call else { return Err(Stop::unsupported(call)) };
        let (events, reply) = self.0.serve(cx.caller().pid(), cx.now_ms(), service)?;
        events.into_iter().for_each(|event| self.0.change(cx, event));
        Ok(reply.into())
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
}

impl Authority for Reference {
    fn decide(&self, query: &Query<'_>) -> Decision {
        self.0.decide(query)
    }
}
