//! The pure state of requests to humans.
//!
//! [`Desk`] folds human events. The functions beside it hold the refusals and say what a decision
//! makes. They change nothing.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    Binding, Effect, Error, Fault, GrantSpec, Millis, OpId, Origin, Pattern, Pid, RequestId,
    Rights, Scope, Text, capability,
    event::HumanEvent,
    human::{Approval, Ask, Decided, Decision, FailureKind, Policy, Request, RequestState},
};
use libos_port::Fold;
use serde::Serialize;

/// How much one call may ask of a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of a question with its context, and of an answer: what a person can still read.
    pub question_bytes_max: u64,
    /// The bytes of a message.
    pub output_bytes_max: u64,
    /// The bytes of the reason for a permission: a card shows all of it.
    pub reason_bytes_max: u64,
    /// The bytes of a human's name.
    pub name_bytes_max: u64,
    /// The requests of one process that wait for an answer.
    pub pending_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            question_bytes_max: 128 << 10,
            output_bytes_max: 32 << 10,
            reason_bytes_max: 4 << 10,
            name_bytes_max: 128,
            pending_max: 64,
        }
    }
}

/// On whose account an operation asks. One operation may need an approval first and then ask a
/// question of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Account {
    /// The broker asks whether the call may be made.
    Approval,
    /// The call itself asks.
    Own,
}

impl Account {
    fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Approval(_) => Self::Approval,
            Ask::Question { .. } | Ask::Permission { .. } => Self::Own,
        }
    }
}

/// Every request that was ever made. Those decided are the record and stay.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Desk {
    /// The last id given; ids are never given twice.
    last: u64,
    requests: OrdMap<RequestId, Arc<Request>>,
    /// The latest request of each operation.
    by_op: OrdMap<(OpId, Account), RequestId>,
    /// Those without an answer, by who asks.
    pending: OrdSet<(Pid, RequestId)>,
}

impl Fold for Desk {
    type Event = HumanEvent;

    fn apply(&mut self, event: &HumanEvent) {
        match event {
            HumanEvent::Opened(request) => {
                self.last = self.last.max(request.id.0);
                let key = (request.op, Account::of(&request.ask));
                self.by_op.insert(key, request.id);
                self.pending.insert((request.pid, request.id));
                self.requests.insert(request.id, Arc::new(request.clone()));
            }
            HumanEvent::Decided { request, decided } => {
                self.close(*request, RequestState::Decided(decided.clone()));
            }
            HumanEvent::Cancelled { request } => self.close(*request, RequestState::Cancelled),
            // A message is in the journal and nowhere else.
            HumanEvent::Output { .. } => {}
        }
    }
}

impl Desk {
    fn close(&mut self, id: RequestId, state: RequestState) {
        if let Some(request) = self.requests.get_mut(&id) {
            self.pending.remove(&(request.pid, id));
            Arc::make_mut(request).state = state;
        }
    }

    /// A request.
    pub(crate) fn get(&self, id: RequestId) -> Result<&Request, Error> {
        self.requests
            .get(&id)
            .map(AsRef::as_ref)
            .ok_or_else(|| FailureKind::NotFound.because(format!("there is no request {id}")))
    }

    /// A request that can still be answered.
    pub(crate) fn get_pending(&self, id: RequestId) -> Result<&Request, Error> {
        let request = self.get(id)?;
        let detail = match &request.state {
            RequestState::Pending => return Ok(request),
            RequestState::Cancelled => format!("{id} was cancelled when its process ended"),
            RequestState::Decided(decided) => format!(
                "{id} was {} by {} at {} ms since the epoch",
                verb(&decided.decision),
                decided.by,
                decided.at_ms
            ),
        };
        Err(FailureKind::AlreadyDecided.because(detail))
    }

    /// The latest request that an operation made on this account.
    pub(crate) fn of_op(&self, op: OpId, account: Account) -> Option<&Request> {
        let id = self.by_op.get(&(op, account))?;
        self.requests.get(id).map(AsRef::as_ref)
    }

    /// The requests of a process that wait for an answer.
    pub(crate) fn pending_of(&self, pid: Pid) -> impl Iterator<Item = RequestId> + '_ {
        self.pending.range((pid, RequestId(0))..=(pid, RequestId(u64::MAX))).map(|(_, id)| *id)
    }

    /// The requests that wait for an answer, or all, in the order of their ids.
    pub(crate) fn list(&self, all: bool) -> Vec<Request> {
        if all {
            return self.requests.values().map(|r| r.as_ref().clone()).collect();
        }
        let mut ids: Vec<_> = self.pending.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let requests = ids.iter().filter_map(|id| self.requests.get(id));
        requests.map(|r| r.as_ref().clone()).collect()
    }

    /// A new request, if its process may make one more.
    pub(crate) fn plan_open(
        &self,
        by: (Pid, OpId),
        human: &str,
        ask: Ask,
        limits: &Limits,
        asked_at_ms: u64,
    ) -> Result<Request, Error> {
        let (pid, op) = by;
        let waiting = self.pending_of(pid).count() as u64 + 1;
        within("requests that wait for a human", waiting, limits.pending_max)?;
        Ok(Request {
            id: RequestId(self.last + 1),
            op,
            pid,
            human: human.into(),
            ask,
            asked_at_ms,
            state: RequestState::Pending,
        })
    }
}

fn verb(decision: &Decision) -> &'static str {
    match decision {
        Decision::Approve { .. } => "approved",
        Decision::Deny { .. } => "denied",
        Decision::Answer { .. } => "answered",
        Decision::Permit { policy } => match policy {
            Policy::Always => "permitted (always)",
            Policy::AskEachTime => "permitted (ask each time)",
            Policy::Never => "answered (never)",
        },
    }
}

/// That `size` is within a limit.
pub(crate) fn within(what: &str, size: u64, limit: u64) -> Result<(), Error> {
    match size <= limit {
        true => Ok(()),
        false => Err(Fault::Limit { what: what.into(), limit }.into()),
    }
}

/// That a human can be called by this name.
pub(crate) fn check_name(human: &str, limits: &Limits) -> Result<(), Error> {
    within("bytes of a human's name", human.len() as u64, limits.name_bytes_max)?;
    match human.is_empty() || human.contains(char::is_control) {
        true => Err(Fault::bad("a human's name is empty or holds control characters").into()),
        false => Ok(()),
    }
}

/// The capabilities that a decision makes, if it fits what was asked.
pub(crate) fn plan_grants(
    request: &Request,
    decision: &Decision,
    limits: &Limits,
) -> Result<Vec<capability::Issue>, Error> {
    match (&request.ask, decision) {
        (_, Decision::Deny { .. }) => Ok(Vec::new()),
        (Ask::Approval(approval), Decision::Approve { scope }) => {
            check_scope(*scope)?;
            Ok(plan_approval(request, approval, *scope))
        }
        (Ask::Question { .. }, Decision::Answer { text }) => {
            check_answer(text, limits)?;
            Ok(Vec::new())
        }
        (Ask::Permission { on, rights, .. }, Decision::Permit { policy }) => {
            Ok(vec![plan_permission(request, on, *rights, *policy)])
        }
        (ask, _) => Err(FailureKind::WrongAnswer.because(format!(
            "{} {}; it can be {} or denied",
            request.id,
            match ask {
                Ask::Approval(_) => "asks for approval",
                Ask::Question { .. } => "is a question",
                Ask::Permission { .. } => "asks for permission",
            },
            match ask {
                Ask::Approval(_) => "approved",
                Ask::Question { .. } => "answered",
                Ask::Permission { .. } => "permitted",
            },
        ))),
    }
}

fn check_scope(scope: Scope) -> Result<(), Error> {
    match scope {
        Scope::Uses(0) => Err(FailureKind::WrongAnswer.because("an approval has one use or more")),
        Scope::Until(Millis(0)) => {
            Err(FailureKind::WrongAnswer.because("an approval holds for some time"))
        }
        _ => Ok(()),
    }
}

fn check_answer(text: &Text, limits: &Limits) -> Result<(), Error> {
    within("bytes of an answer", text.bytes(), limits.question_bytes_max)?;
    let is_empty = text.as_str().map_or(text.bytes() == 0, |text| text.trim().is_empty());
    match is_empty {
        true => Err(FailureKind::WrongAnswer.because("the answer to a question is not empty")),
        false => Ok(()),
    }
}

/// One capability for each thing the call needs, tied to exactly this call.
fn plan_approval(request: &Request, approval: &Approval, scope: Scope) -> Vec<capability::Issue> {
    let binding = Binding {
        request: request.id,
        answers: approval.asked_by.clone(),
        digest: approval.digest,
        op: matches!(scope, Scope::Once).then_some(request.op),
        subtree: matches!(scope, Scope::Subtree),
    };
    let mut needs = Vec::with_capacity(approval.needs.len());
    for need in &approval.needs {
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    let issue = |need: &libos_abi::Need| capability::Issue {
        to: request.pid,
        grant: GrantSpec {
            uses: match scope {
                Scope::Once => Some(1),
                Scope::Uses(uses) => Some(uses),
                Scope::Process | Scope::Subtree | Scope::Until(_) => None,
            },
            expires: match scope {
                Scope::Until(time) => Some(time),
                _ => None,
            },
            ..GrantSpec::allow(Pattern::exact(&need.on), Rights::from_iter([need.right]))
        },
        origin: origin(request),
        binding: Some(binding.clone()),
    };
    needs.into_iter().map(issue).collect()
}

fn plan_permission(
    request: &Request,
    on: &Pattern,
    rights: Rights,
    policy: Policy,
) -> capability::Issue {
    capability::Issue {
        to: request.pid,
        grant: GrantSpec {
            effect: match policy {
                Policy::Always => Effect::Allow,
                Policy::AskEachTime => Effect::Ask,
                Policy::Never => Effect::Deny,
            },
            ..GrantSpec::allow(on.clone(), rights)
        },
        origin: origin(request),
        binding: None,
    }
}

fn origin(request: &Request) -> Origin {
    Origin::Human { request: request.id }
}

/// What the operation that made a request learns: nothing while it waits, else the decision.
pub(crate) fn outcome(request: &Request) -> Result<Option<&Decided>, Error> {
    match &request.state {
        RequestState::Pending => Ok(None),
        RequestState::Cancelled => Err(Fault::Cancelled.into()),
        RequestState::Decided(decided) => match &decided.decision {
            Decision::Deny { reason } => Err(FailureKind::Refused.because(match reason {
                Some(reason) => format!("{} said no: {reason}", request.human),
                None => format!("{} said no", request.human),
            })),
            _ => Ok(Some(decided)),
        },
    }
}
