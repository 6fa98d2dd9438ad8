//! Requests to humans: questions, permissions and approvals.
//!
//! Owns every request and its one answer. A call that asks waits; it is served again when the
//! answer is there. An answer that gives authority makes a capability in the same transaction: an
//! approval for exactly one call, a permission as a standing grant. What no one may be asked for is
//! refused before a human sees it. It never decides about authority itself, and an approval is no
//! boundary: it reaches what a grant foresaw and nothing else.
//!
//! ```
//! use libos_human::Humans;
//! use libos_port::Component;
//!
//! assert_eq!(Humans::default().manifest().imports, ["capability"]);
//! ```
#![forbid(unsafe_code)]

mod core;
mod guard;

pub use crate::core::Limits;

use libos_abi::{
    DenyReason, Digest, Event, Fault, Principal, Reply, RequestId, Syscall,
    event::HumanEvent,
    human::{
        self, Answer, Ask, Decided, Decision, Delivered, FailureKind, OWNER, Opened, Permission,
        Request, RequestState, Requests,
    },
    process::{Wait, WaitOn},
};
use libos_port::{Component, Context, Manifest, Stop, Versioned};

use crate::core::{Account, Desk};

/// The component behind `human`.
#[derive(Debug, Default)]
pub struct Humans {
    state: Versioned<Desk>,
    limits: Limits,
}

impl Humans {
    /// Without requests, and with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), limits }
    }

    /// What was decided about the request of this operation, which is opened with `ask` the first
    /// time and waited for until it is decided.
    fn decided(
        &mut self,
        cx: &mut dyn Context,
        human: &str,
        ask: impl FnOnce() -> Ask,
    ) -> Result<Decided, Stop> {
        let op = cx.op();
        if let Some(request) = self.state.of_op(op, Account::Own) {
            return match core::outcome(request)? {
                Some(decided) => Ok(decided.clone()),
                None => Err(wait(request.id)),
            };
        }
        let Some(pid) = cx.caller().pid() else {
            return Err(Fault::bad("a process asks a human; a host is one").into());
        };
        let now_ms = cx.now_ms();
        let request = self.state.plan_open((pid, op), human, ask(), &self.limits, now_ms)?;
        let id = request.id;
        self.state.change(cx, HumanEvent::Opened(request));
        Err(wait(id))
    }

    fn human<'a>(&self, named: &'a Option<String>) -> Result<&'a str, Stop> {
        let human = named.as_deref().unwrap_or(OWNER);
        core::check_name(human, &self.limits)?;
        Ok(human)
    }
}

fn wait(request: RequestId) -> Stop {
    Stop::Wait(Wait { on: WaitOn::Human(request), until_ms: None })
}

/// For an answer of another kind than its request: `decide` lets none through.
fn misfit() -> Stop {
    Fault::bad("the request of this operation holds an answer to something else").into()
}

impl<'c> human::Server<dyn Context + 'c, Stop> for Humans {
    fn ask(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::AskQuestion,
    ) -> Result<Answer, Stop> {
        let context = call.context.as_ref().map_or(0, |text| text.bytes());
        core::within(
            "bytes of a question",
            call.question.bytes().saturating_add(context),
            self.limits.question_bytes_max,
        )?;
        let human = self.human(&call.human)?;
        let decided = self.decided(cx, human, || Ask::Question {
            question: call.question.clone(),
            context: call.context.clone(),
        })?;
        match decided.decision {
            Decision::Answer { text } => Ok(Answer { answer: text }),
            _ => Err(misfit()),
        }
    }

    fn output(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::Output,
    ) -> Result<Delivered, Stop> {
        core::within(
            "bytes of a message to a human",
            call.message.bytes(),
            self.limits.output_bytes_max,
        )?;
        let human = self.human(&call.human)?.to_owned();
        let output = HumanEvent::Output {
            pid: cx.caller().pid(),
            human: human.clone(),
            message: call.message.clone(),
        };
        self.state.change(cx, output);
        Ok(Delivered { human })
    }

    fn request_permission(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::RequestPermission,
    ) -> Result<Permission, Stop> {
        if call.rights.is_empty() {
            return Err(Fault::bad("a permission is for one right or more").into());
        }
        if let Some(why) = guard::not_requestable(&call.on, call.rights) {
            return Err(FailureKind::NotRequestable.because(why).into());
        }
        core::within("bytes of a reason", call.reason.len() as u64, self.limits.reason_bytes_max)?;
        let human = self.human(&call.human)?;
        let decided = self.decided(cx, human, || Ask::Permission {
            on: call.on.clone(),
            rights: call.rights,
            reason: call.reason.clone(),
        })?;
        match decided.decision {
            Decision::Permit { policy } => {
                Ok(Permission { policy, capability: decided.capability })
            }
            _ => Err(misfit()),
        }
    }

    fn list(&mut self, _: &mut (dyn Context + 'c), call: &human::List) -> Result<Requests, Stop> {
        let requests = self.state.list(call.all.unwrap_or(false));
        Ok(Requests { requests })
    }

    fn decide(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::Decide,
    ) -> Result<Request, Stop> {
        let Principal::Host(by) = cx.caller().principal.clone() else {
            return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
        };
        let request = self.state.get_pending(call.request)?;
        let mut capability = None;
        for issue in core::plan_grants(request, &call.decision, &self.limits)? {
            let granted = cx.ask(issue)?;
            capability.get_or_insert(granted.capability);
        }
        let decided =
            Decided { decision: call.decision.clone(), by, at_ms: cx.now_ms(), capability };
        let request = call.request;
        self.state.change(cx, HumanEvent::Decided { request, decided });
        Ok(self.state.get(request)?.clone())
    }

    fn open(&mut self, cx: &mut (dyn Context + 'c), call: &human::Open) -> Result<Opened, Stop> {
        if let Some(request) = self.state.of_op(call.op, Account::Approval)
            && request.state == RequestState::Pending
        {
            return Ok(Opened { request: request.id });
        }
        let request = self.state.plan_open(
            (call.pid, call.op),
            OWNER,
            Ask::Approval(call.approval.clone()),
            &self.limits,
            cx.now_ms(),
        )?;
        let id = request.id;
        self.state.change(cx, HumanEvent::Opened(request));
        Ok(Opened { request: id })
    }

    fn cancel(&mut self, cx: &mut (dyn Context + 'c), call: &human::Cancel) -> Result<(), Stop> {
        let pending: Vec<_> = self.state.pending_of(call.pid).collect();
        for request in pending {
            self.state.change(cx, HumanEvent::Cancelled { request });
        }
        Ok(())
    }
}

impl Component for Humans {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["human"], imports: &["capability"] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Human(call) => human::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Human(event) = event {
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
