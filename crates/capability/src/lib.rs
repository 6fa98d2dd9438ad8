//! The capability engine: who may do what, and how that is handed on and taken back.
//!
//! [`Capabilities`] serves the service `capability` and is the kernel's [`Authority`]. It owns
//! every grant, what is set aside and spent of finite ones, and the rule that decides: **deny
//! beats ask beats allow, and no match is a denial**. It never asks another component, never
//! looks at a name as authority, and never lets anything revoked come back.
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
#![forbid(unsafe_code)]

mod attenuate;
mod condition;
mod core;
mod decide;
mod explain;
pub mod limits;

use libos_abi::{
    CapId, CapabilityInfo, DenyReason, Digest, Event, Fault, Need, Origin, Pid, Reply, Status,
    Syscall,
    capability::{
        self, Call, Capabilities as Listed, Delegate, Derive, End, Explain, Explanation,
        FailureKind, Grant, Granted, GrantedAll, Inspect, Issue, List, Reserve, Revoke, Revoked,
        Server, Settle,
    },
    event::{CapabilityEvent, NewCapability},
};
use libos_port::{Authority, Component, Context, Decision, Manifest, Query, Stop, Versioned};

use crate::{attenuate::Plan, core::State};

/// The capability engine.
#[derive(Default)]
pub struct Capabilities {
    state: Versioned<State>,
}

impl Capabilities {
    /// An engine in which nobody may do anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn make(&mut self, cx: &mut dyn Context, plan: Plan) -> Vec<CapId> {
        for new in plan.new {
            self.state.change(cx, CapabilityEvent::Granted(new));
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
        self.state.change(cx, CapabilityEvent::Granted(new));
        Ok(Granted { capability })
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
}

fn dispatch(server: &mut Capabilities, cx: &mut dyn Context, call: &Call) -> Result<Reply, Stop> {
    capability::dispatch(server, cx, call)
}

impl Authority for Capabilities {
    fn decide(&self, query: &Query<'_>) -> Decision {
        self.state.decide(query)
    }
}

impl<'c> Server<dyn Context + 'c, Stop> for Capabilities {
    fn list(&mut self, cx: &mut (dyn Context + 'c), call: &List) -> Result<Listed, Stop> {
        let now_ms = cx.now_ms();
        let info = |(id, cap)| self.state.info(id, cap, now_ms);
        let mut capabilities: Vec<CapabilityInfo> = match Self::subject(cx, call.pid)? {
            Some(subject) => self.state.of(subject).map(info).collect(),
            None => self.state.all().map(info).collect(),
        };
        if !call.all.unwrap_or(false) {
            capabilities.retain(|cap| cap.status == Status::Active);
        }
        Ok(Listed { capabilities })
    }

    fn inspect(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Inspect,
    ) -> Result<CapabilityInfo, Stop> {
        let caller = cx.caller().pid();
        let id = call.capability;
        let seen =
            self.state.get(id).filter(|cap| caller.is_none_or(|pid| pid == cap.made.new.subject));
        match seen {
            Some(cap) => Ok(self.state.info(id, cap, cx.now_ms())),
            None => Err(not_found(id)),
        }
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
        let Some(cap) = self.state.get(id).filter(|cap| may(&cap.made.new.origin)) else {
            return Err(not_found(id));
        };
        if !cap.revoked {
            self.state.change(
                cx,
                CapabilityEvent::Revoked { capability: id, reason: call.reason.clone() },
            );
        }
        let mut capabilities = vec![id];
        capabilities.extend(self.state.descendants(id));
        Ok(Revoked { capabilities })
    }

    fn grant(&mut self, cx: &mut (dyn Context + 'c), call: &Grant) -> Result<Granted, Stop> {
        if !cx.caller().is_host() {
            return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
        }
        attenuate::canonical(&call.grant.on)?;
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
        let plan = attenuate::hand_on(&self.state, *parent, *child, grants, cx.now_ms())?;
        if !self.state.is_child(*parent, *child) {
            self.state.change(cx, CapabilityEvent::ChildKnown { parent: *parent, child: *child });
        }
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
        if self.state.of(subject).next().is_some() || self.state.has_parent(subject) {
            self.state.change(cx, CapabilityEvent::SubjectEnded { subject });
        }
        Ok(())
    }
}

fn not_found(id: CapId) -> Stop {
    let what = format!("there is no {id} that the caller may see here");
    FailureKind::NotFound.because(what).into()
}
