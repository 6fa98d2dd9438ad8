//! Requests to humans: questions, permissions and approvals.
//!
//! Owns every request and its one answer. A call that asks waits; it is served again when the
//! answer is there. An answer that gives authority makes a capability in the same transaction: an
//! approval for exactly one call, a permission as a standing grant. An answer that raises a budget
//! does so in the same transaction. An effect whose outcome nobody knows becomes a question that
//! nothing waits for; its answer is a letter to whoever made the call. Identical requests of one
//! task are one card, and its answer works for each that waits. What no one may be asked for is
//! refused before a human sees it, and no task asks without end. It never decides about authority
//! itself, and an approval is no boundary: it reaches what a grant foresaw and nothing else.
//!
//! ```
//! use libos_human::Humans;
//! use libos_port::Component;
//!
//! assert_eq!(Humans::default().manifest().imports, ["capability", "process", "message"]);
//! ```
#![forbid(unsafe_code)]

mod core;
mod guard;

pub use crate::core::Limits;

use libos_abi::{
    DenyReason, Digest, Error, Event, Fault, OpId, Pid, Principal, Reply, RequestId, Syscall,
    capability,
    event::HumanEvent,
    human::{
        self, Answer, Ask, Decided, Decision, Delivered, FailureKind, OWNER, Opened, Permission,
        Request, Requests,
    },
    message,
    process::{Wait, WaitOn},
};
use libos_port::{BadSnapshot, Component, Context, Manifest, Stop, Versioned};

use crate::core::{Account, By, Desk};

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
        ask: impl FnOnce(&mut dyn Context, Pid) -> Result<Ask, Stop>,
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
        let ask = ask(cx, pid)?;
        Err(wait(self.ask(cx, (pid, op), human, ask)?))
    }

    /// Opens a request, or joins one that is the same.
    fn ask(
        &mut self,
        cx: &mut dyn Context,
        (pid, op): (Pid, OpId),
        human: &str,
        ask: Ask,
    ) -> Result<RequestId, Stop> {
        let by = by(cx, pid, op);
        let (id, event) = self.state.plan_ask(by, human, ask, &self.limits, cx.now_ms())?;
        self.state.change(cx, event);
        Ok(id)
    }

    fn human<'a>(&self, named: &'a Option<String>) -> Result<&'a str, Stop> {
        let human = named.as_deref().unwrap_or(OWNER);
        core::check_name(human, &self.limits)?;
        Ok(human)
    }
}

/// Who asks, and of which task it is.
fn by(cx: &dyn Context, pid: Pid, op: OpId) -> By {
    let own = cx.caller().pid() == Some(pid);
    let admission = cx.caller().admission.as_ref().filter(|_| own);
    By { pid, op, root: admission.map_or(pid, |admission| admission.root) }
}

fn wait(request: RequestId) -> Stop {
    Stop::Wait(Wait { on: WaitOn::Human(request), until_ms: None })
}

/// What a manifest does not let a process ask for is not requestable.
fn not_requestable(error: Error) -> Error {
    match error {
        Error::Capability(failure) if failure.kind == capability::FailureKind::OutsideManifest => {
            FailureKind::NotRequestable.because(failure.detail)
        }
        other => other,
    }
}

/// Tells a process, if it is there to be told.
fn tell(cx: &mut dyn Context, letter: message::Send) -> Result<(), Stop> {
    match cx.ask(letter) {
        Err(Error::Message(failure))
            if matches!(
                failure.kind,
                message::FailureKind::ReceiverEnded | message::FailureKind::MailboxFull
            ) =>
        {
            Ok(())
        }
        told => told.map(drop).map_err(Stop::from),
    }
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
        let decided = self.decided(cx, human, |_, _| {
            let (question, context) = (call.question.clone(), call.context.clone());
            Ok(Ask::Question { question, context })
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
        let decided = self.decided(cx, human, |cx, pid| {
            let (on, rights) = (call.on.clone(), call.rights);
            cx.ask(capability::Requestable { pid, on: on.clone(), rights })
                .map_err(not_requestable)?;
            Ok(Ask::Permission { on, rights, reason: call.reason.clone() })
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
        let consequences = core::plan_decision(request, &call.decision, &self.limits)?;
        let mut capability = None;
        for issue in consequences.grants {
            let granted = cx.ask(issue)?;
            capability.get_or_insert(granted.capability);
        }
        if let Some(extend) = consequences.extend {
            cx.ask(extend)?;
        }
        if let Some(letter) = consequences.letter {
            tell(cx, letter)?;
        }
        let decided = Decided {
            decision: call.decision.clone(),
            by: by.to_string(),
            at_ms: cx.now_ms(),
            capability,
        };
        let request = call.request;
        self.state.change(cx, HumanEvent::Decided { request, decided });
        Ok(self.state.get(request)?.clone())
    }

    fn open(&mut self, cx: &mut (dyn Context + 'c), call: &human::Open) -> Result<Opened, Stop> {
        if let Some(request) = self.state.pending_of_op(call.op, Account::Approval) {
            return Ok(Opened { request });
        }
        let ask = Ask::Approval(call.approval.clone());
        let request = self.ask(cx, (call.pid, call.op), OWNER, ask)?;
        Ok(Opened { request })
    }

    fn open_extension(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::OpenExtension,
    ) -> Result<Opened, Stop> {
        let human::OpenExtension { op, pid, of, kind, limit, used, more, call } = call;
        if let Some(request) = self.state.pending_of_op(*op, Account::Extension) {
            return Ok(Opened { request });
        }
        if let Some(refusal) = self.state.refusal((*of, *kind, *limit)) {
            core::outcome(refusal)?;
        }
        let (of, kind, limit, used, more) = (*of, *kind, *limit, *used, *more);
        let ask = Ask::Extension { of, kind, limit, used, more, call: call.clone() };
        let request = self.ask(cx, (*pid, *op), OWNER, ask)?;
        Ok(Opened { request })
    }

    fn open_unknown(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::OpenUnknown,
    ) -> Result<Opened, Stop> {
        let human::OpenUnknown { op, pid, call, args } = call;
        if let Some(request) = self.state.of_op(*op, Account::Unknown) {
            return Ok(Opened { request: request.id });
        }
        let ask = Ask::Unknown { op: *op, call: call.clone(), args: args.clone() };
        let by = by(cx, *pid, *op);
        let (request, event) = self.state.plan_new(by, OWNER, ask, cx.now_ms());
        self.state.change(cx, event);
        Ok(Opened { request })
    }

    fn open_release(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &human::OpenRelease,
    ) -> Result<Opened, Stop> {
        if let Some(request) = self.state.pending_of_op(call.op, Account::Release) {
            return Ok(Opened { request });
        }
        let ask = Ask::Release(call.release.clone());
        let request = self.ask(cx, (call.pid, call.op), OWNER, ask)?;
        Ok(Opened { request })
    }

    fn cancel(&mut self, cx: &mut (dyn Context + 'c), call: &human::Cancel) -> Result<(), Stop> {
        for event in self.state.plan_cancel(call.pid) {
            self.state.change(cx, event);
        }
        Ok(())
    }
}

impl Component for Humans {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["human"], imports: &["capability", "process", "message"] }
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

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.state.save(out);
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        self.state = Versioned::of(Desk::load(bytes)?);
        Ok(())
    }
}
