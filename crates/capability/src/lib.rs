//! The capability engine: who may do what, and how that is handed on and taken back.
//!
//! [`Capabilities`] serves the service `capability` and is the kernel's [`Authority`]. It owns
//! every grant, what is set aside and spent of finite ones, what bounds each process, and the rule
//! that decides: **deny beats ask beats allow, and no match is a denial**. It never asks another
//! component, never looks at a name as authority, and never lets anything revoked come back.
//!
//! ```
//! use libos_capability::Capabilities;
//! use libos_port::Component;
//!
//! let engine = Capabilities::new();
//! assert_eq!(engine.manifest().serves, ["capability"]);
//! assert!(engine.manifest().imports.is_empty());
//! ```
//!
//! Rules that the tables of the ABI do not say:
//!
//! - A condition on a payload that is not here (a blob) fails an allow and *applies* a deny or an
//!   ask. Length conditions and sums are always known.
//! - A question whose own limit is reached denies; it does not uncover an allow behind it.
//! - Limits over a grant's life count the calls of everyone it was handed to.
//! - What a process hands on brings copies of its denies and asks along, as far as they overlap.
//!   A denial made *later* binds the process it was made for, not those it had already handed to.
//! - A manifest binds a process and all below it. Each grant to them must be covered by one entry
//!   of every manifest above; approvals, denials and what the kernel gives are not bounded.
#![forbid(unsafe_code)]

mod attenuate;
mod bounds;
mod cap;
mod condition;
mod core;
mod decide;
mod explain;
mod kin;
pub mod limits;
mod reach;
mod saved;
mod table;

use std::{collections::BTreeSet, sync::Arc};

use libos_abi::{
    CapId, CapabilityInfo, DenyReason, Digest, Effect, Error, Event, Fault, Manifest as Document,
    Need, Origin, Pattern, Pid, Reply, Status, Syscall,
    capability::{
        self, Bound, Call, Capabilities as Listed, Compare, CopyHeld, Delegate, Derive, End,
        Explain, Explanation, FailureKind, Forget, Grant, Granted, GrantedAll, Inspect, Issue,
        Keep, List, May, MayReply, Recall, Requestable, Reserve, Restore, Revoke, Revoked, Save,
        Server, Settle,
    },
    checkpoint::{CapabilityChanges, Copied, Held, Kept},
    event::{CapabilityEvent, NewCapability},
    wire,
};
use libos_port::{
    Authority, BadSnapshot, Component, Context, Decision, Manifest, Query, Reach, Stop,
};

use crate::{
    attenuate::Plan,
    bounds::Bounds,
    cap::Cap,
    core::State,
    limits::{LIST_BYTES, LIST_MAX},
};

/// The capability engine.
#[derive(Default)]
pub struct Capabilities {
    state: State,
}

impl Capabilities {
    /// An engine in which nobody may do anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn make(&mut self, cx: &mut dyn Context, plan: Plan) -> Vec<CapId> {
        for new in plan.new {
            self.state.change(cx, CapabilityEvent::Granted(Box::new(new)));
        }
        plan.asked
    }

    fn make_root(
        &mut self,
        cx: &mut dyn Context,
        new: impl FnOnce(CapId) -> NewCapability,
    ) -> Result<Granted, Stop> {
        let new = attenuate::root(&self.state, new, cx.now_ms())?;
        let capability = new.id;
        self.state.change(cx, CapabilityEvent::Granted(Box::new(new)));
        Ok(Granted { capability })
    }

    /// That what `pid` holds is within what binds it once it has this parent and manifest.
    fn check_bounds(
        &self,
        pid: Pid,
        parent: Option<Pid>,
        own: Option<&Document>,
    ) -> Result<(), Error> {
        let above = parent.and_then(|parent| self.state.bounds(parent)).map(|bounds| &**bounds);
        let own = own.map(|own| Bounds::tightened(None, Arc::new(own.clone())));
        for bounds in above.into_iter().chain(&own) {
            attenuate::holds_within(&self.state, pid, bounds)?;
        }
        Ok(())
    }

    fn know_child(&mut self, cx: &mut dyn Context, parent: Pid, child: Pid) {
        if !self.state.is_child(parent, child) {
            self.state.change(cx, CapabilityEvent::ChildKnown { parent, child });
        }
    }

    /// `ids` and everything cut from them, in the order of ids.
    fn with_descendants(&self, ids: Vec<CapId>) -> Revoked {
        let below = ids.iter().flat_map(|id| self.state.descendants(*id));
        let all: BTreeSet<CapId> = below.chain(ids.iter().copied()).collect();
        Revoked { capabilities: all.into_iter().collect() }
    }

    /// The process a call is about: the caller, or for the host the one it names.
    fn subject(cx: &dyn Context, named: Option<Pid>) -> Result<Option<Pid>, Stop> {
        let own = cx.caller().pid();
        match own.is_some() && named.is_some() && named != own {
            true => Err(Fault::denied(None, DenyReason::NotForProcesses).into()),
            false => Ok(own.or(named)),
        }
    }
}

impl Component for Capabilities {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["capability"], imports: &[] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Capability(call) => dispatch(self, cx, call),
            _ => Err(Stop::unsupported(call)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Capability(event) = event {
            self.state.apply(event);
        }
    }

    fn begin(&mut self) {
        self.state.begin();
    }

    fn rollback(&mut self) {
        self.state.rollback();
    }

    fn digest(&self) -> Digest {
        self.state.digest()
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.state.save(out);
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        self.state = State::load(bytes)?;
        Ok(())
    }
}

fn dispatch(server: &mut Capabilities, cx: &mut dyn Context, call: &Call) -> Result<Reply, Stop> {
    capability::dispatch(server, cx, call)
}

impl Authority for Capabilities {
    fn decide(&self, query: &Query<'_>) -> Decision {
        self.state.decide(query)
    }

    fn reach(&self, subject: Pid, kinds: &[&str], now_ms: u64) -> Reach {
        self.state.reach(subject, kinds, now_ms)
    }
}

impl<'c> Server<dyn Context + 'c, Stop> for Capabilities {
    fn list(&mut self, cx: &mut (dyn Context + 'c), call: &List) -> Result<Listed, Stop> {
        let subject = Self::subject(cx, call.pid)?;
        let all = call.all.unwrap_or(false);
        let limit = call.limit.unwrap_or(LIST_MAX).min(LIST_MAX) as usize;
        let listed = self.state.listed(subject, call.after.unwrap_or_default(), cx.now_ms());
        let mut listed = listed.filter(|cap| all || cap.status == Status::Active).peekable();
        let (mut capabilities, mut bytes) = (Vec::new(), 0);
        while capabilities.len() < limit && bytes < LIST_BYTES {
            let Some(cap) = listed.next() else { break };
            bytes += wire::encode(&cap).len();
            capabilities.push(cap);
        }
        let more_after = listed.peek().and(capabilities.last()).map(|cap| cap.id);
        Ok(Listed { capabilities, more_after })
    }

    fn inspect(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Inspect,
    ) -> Result<CapabilityInfo, Stop> {
        let caller = cx.caller().pid();
        let id = call.capability;
        let kin = || self.state.family().get(id).map(|kin| self.state.family().info(kin));
        let held = self.state.get(id).map(|cap| self.state.info(cap, cx.now_ms()));
        let seen = held.or_else(kin).filter(|cap| caller.is_none_or(|pid| pid == cap.subject));
        seen.ok_or_else(|| not_found(id))
    }

    fn delegate(&mut self, cx: &mut (dyn Context + 'c), call: &Delegate) -> Result<Granted, Stop> {
        let Some(giver) = cx.caller().pid() else {
            return Err(Fault::bad("the host grants with capability.grant").into());
        };
        if !self.state.is_child(giver, call.to) {
            let what = format!("{} is no living child of {giver}", call.to);
            return Err(FailureKind::NotAChild.because(what).into());
        }
        let grants = std::slice::from_ref(&call.grant);
        let plan = attenuate::hand_on(&self.state, giver, call.to, grants, cx.now_ms())?;
        let capability = plan.asked[0];
        self.make(cx, plan);
        Ok(Granted { capability })
    }

    fn revoke(&mut self, cx: &mut (dyn Context + 'c), call: &Revoke) -> Result<Revoked, Stop> {
        let id = call.capability;
        let caller = cx.caller().pid();
        let may = |by: &Origin| caller.is_none_or(|pid| *by == Origin::Delegated { by: pid });
        let held = self.state.get(id).filter(|cap| may(&cap.origin));
        let held = held.map(|cap| (cap.subject, cap.fate.revoked));
        let kin = self.state.family().get(id).filter(|kin| may(&kin.origin));
        let kin = kin.map(|kin| (kin.subject, self.state.family().is_cut(id)));
        let Some((subject, is_revoked)) = held.or(kin) else {
            return Err(not_found(id));
        };
        if !is_revoked {
            let reason = call.reason.clone();
            self.state.change(cx, CapabilityEvent::Revoked { capability: id, subject, reason });
        }
        Ok(self.with_descendants(vec![id]))
    }

    fn grant(&mut self, cx: &mut (dyn Context + 'c), call: &Grant) -> Result<Granted, Stop> {
        if !cx.caller().is_host() {
            return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
        }
        attenuate::canonical(&call.grant.on).map_err(|why| FailureKind::BadGrant.because(why))?;
        self.make_root(cx, |id| NewCapability {
            id,
            subject: call.to,
            grant: call.grant.clone(),
            expires_at_ms: None,
            parent: None,
            origin: Origin::Host,
            binding: None,
        })
    }

    fn explain(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Explain,
    ) -> Result<Explanation, Stop> {
        let Some(subject) = Self::subject(cx, call.pid)? else {
            return Err(Fault::bad("the host names the process to explain: pid").into());
        };
        let need = Need { right: call.right, on: call.on.clone() };
        Ok(explain::explain(&self.state, subject, need, cx.now_ms()))
    }

    fn derive(&mut self, cx: &mut (dyn Context + 'c), call: &Derive) -> Result<GrantedAll, Stop> {
        let Derive { parent, child, grants } = call;
        if !self.state.is_child(*parent, *child) {
            self.check_bounds(*child, Some(*parent), None)?;
        }
        let plan = attenuate::hand_on(&self.state, *parent, *child, grants, cx.now_ms())?;
        self.know_child(cx, *parent, *child);
        let capabilities = self.make(cx, plan);
        Ok(GrantedAll { capabilities })
    }

    fn issue(&mut self, cx: &mut (dyn Context + 'c), call: &Issue) -> Result<Granted, Stop> {
        self.make_root(cx, |id| NewCapability {
            id,
            subject: call.to,
            grant: call.grant.clone(),
            expires_at_ms: None,
            parent: None,
            origin: call.origin.clone(),
            binding: call.binding.clone(),
        })
    }

    fn reserve(&mut self, cx: &mut (dyn Context + 'c), call: &Reserve) -> Result<(), Stop> {
        let Reserve { op, charges } = call;
        match self.state.reservation(*op) {
            Some(there) if **there == **charges => return Ok(()),
            Some(_) => {
                return Err(Fault::bad(format!("{op} has set other things aside")).into());
            }
            None if charges.is_empty() => return Ok(()),
            None => {}
        }
        self.state.can_reserve(charges).map_err(|reason| Fault::denied(None, reason))?;
        self.state.change(cx, CapabilityEvent::Reserved { op: *op, charges: charges.clone() });
        Ok(())
    }

    fn settle(&mut self, cx: &mut (dyn Context + 'c), call: &Settle) -> Result<(), Stop> {
        if self.state.reservation(call.op).is_some() {
            self.state
                .change(cx, CapabilityEvent::Settled { op: call.op, gave_back: call.give_back });
        }
        Ok(())
    }

    fn end(&mut self, cx: &mut (dyn Context + 'c), call: &End) -> Result<(), Stop> {
        let subject = call.subject;
        if self.state.knows(subject) {
            self.state.change(cx, CapabilityEvent::SubjectEnded { subject });
        }
        Ok(())
    }

    fn bound(&mut self, cx: &mut (dyn Context + 'c), call: &Bound) -> Result<(), Stop> {
        let Bound { pid, parent, manifest } = call;
        if let Some(manifest) = manifest {
            bounds::check(manifest).map_err(|why| FailureKind::BadGrant.because(why))?;
        }
        self.check_bounds(*pid, *parent, manifest.as_ref())?;
        if let Some(parent) = parent {
            self.know_child(cx, *parent, *pid);
        }
        // One without parts bounds nothing.
        if let Some(manifest) = manifest.clone().filter(|it| *it != Document::default()) {
            self.state.change(cx, CapabilityEvent::Bounded { pid: *pid, manifest });
        }
        Ok(())
    }

    fn requestable(&mut self, _: &mut (dyn Context + 'c), call: &Requestable) -> Result<(), Stop> {
        let Requestable { pid, on, rights } = call;
        let admits = |bounds: &Arc<Bounds>| bounds.admit_request(on, *rights);
        match self.state.bounds(*pid).is_none_or(admits) {
            true => Ok(()),
            false => Err(FailureKind::OutsideManifest
                .because(format!(
                    "the manifest that bounds {pid} does not let it ask for {rights} on {on}"
                ))
                .into()),
        }
    }

    fn keep(&mut self, cx: &mut (dyn Context + 'c), call: &Keep) -> Result<Revoked, Stop> {
        let (subject, now_ms) = (call.subject, cx.now_ms());
        let is_active =
            |cap: &&Cap| cap.subject == subject && self.state.status(cap, now_ms) == Status::Active;
        let is_kin = |id: &CapId| {
            let kin = self.state.family().get(*id);
            kin.is_some_and(|kin| kin.subject == subject && !self.state.family().is_cut(*id))
        };
        for id in call.keep.iter().filter(|id| !is_kin(id)) {
            self.state.get(*id).filter(is_active).ok_or_else(|| not_found(*id))?;
        }
        let keep: BTreeSet<CapId> = call.keep.iter().copied().collect();
        let own_memory = Pattern::space(subject);
        let stays = |cap: &Cap| {
            keep.contains(&cap.id)
                || cap.terms.effect != Effect::Allow
                || (cap.origin == Origin::Kernel && (call.memory || cap.on != own_memory))
        };
        let gives_up = |cap: &&Cap| !stays(cap) && !cap.is_revoked() && !cap.fate.ended;
        let caps = self.state.of(subject);
        let dropped: Vec<CapId> = caps.into_iter().filter(gives_up).map(|cap| cap.id).collect();
        if !dropped.is_empty() {
            let dropped = dropped.clone();
            self.state.change(cx, CapabilityEvent::Kept { subject, dropped });
        }
        Ok(self.with_descendants(dropped))
    }

    fn may(&mut self, cx: &mut (dyn Context + 'c), call: &May) -> Result<MayReply, Stop> {
        let need = Need { right: call.right, on: call.on.clone() };
        let allowed = explain::may(&self.state, call.pid, &need, cx.now_ms());
        Ok(MayReply { allowed })
    }

    fn save(&mut self, cx: &mut (dyn Context + 'c), call: &Save) -> Result<Kept, Stop> {
        let Save { checkpoint, subjects } = call.clone();
        let at_ms = cx.now_ms();
        self.state.change(cx, CapabilityEvent::Saved { checkpoint, subjects, at_ms });
        let count = self.state.saved(checkpoint).map_or(0, |saved| saved.in_force.len() as u64);
        Ok(Kept { count })
    }

    fn compare(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Compare,
    ) -> Result<CapabilityChanges, Stop> {
        Ok(CapabilityChanges { rows: self.state.changes_since(call.checkpoint, cx.now_ms()) })
    }

    fn forget(&mut self, cx: &mut (dyn Context + 'c), call: &Forget) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        if self.state.saved(checkpoint).is_some() {
            self.state.change(cx, CapabilityEvent::Forgotten { checkpoint });
        }
        Ok(())
    }

    fn restore(&mut self, cx: &mut (dyn Context + 'c), call: &Restore) -> Result<Revoked, Stop> {
        let Restore { checkpoint, revived } = call.clone();
        let revoked = self.state.given_since(checkpoint);
        let capabilities = revoked.clone();
        if self.state.saved(checkpoint).is_some() {
            self.state.change(cx, CapabilityEvent::Restored { checkpoint, revived, revoked });
        }
        Ok(self.with_descendants(capabilities))
    }

    fn copy_held(&mut self, cx: &mut (dyn Context + 'c), call: &CopyHeld) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        // Each is bounded before it is given anything.
        for Copied { from, to, parent } in &call.processes {
            let saved = self.state.saved(checkpoint);
            let own = saved.and_then(|saved| saved.subjects.get(from)?.clone());
            let above = parent.and_then(|parent| self.state.bounds(parent).cloned());
            for bounds in own.iter().chain(&above) {
                attenuate::holds_within(&self.state, *to, bounds)?;
            }
            if let Some(parent) = parent {
                self.know_child(cx, *parent, *to);
            }
            let (from, to) = (*from, *to);
            self.state.change(cx, CapabilityEvent::BoundsCopied { checkpoint, from, to });
        }
        let new = self.state.copies(checkpoint, &call.processes, cx.now_ms())?;
        self.make(cx, Plan { new, asked: Vec::new() });
        Ok(())
    }

    fn recall(&mut self, cx: &mut (dyn Context + 'c), call: &Recall) -> Result<Held, Stop> {
        Ok(Held { grants: self.state.recall(call.checkpoint, cx.now_ms()) })
    }
}

fn not_found(id: CapId) -> Stop {
    let what = format!("there is no {id} that the caller may see here");
    FailureKind::NotFound.because(what).into()
}
