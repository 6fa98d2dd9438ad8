//! The pure state of requests to humans.
//!
//! [`Desk`] folds human events. The functions beside it hold the refusals and say what a decision
//! makes. They change nothing.

mod snapshot;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    Binding, Effect, Error, Fault, GrantSpec, Json, Millis, Need, OpId, Origin, Pattern, Pid,
    RequestId, Rights, Scope, Text, capability,
    event::HumanEvent,
    human::{
        Approval, Ask, Asker, Decided, Decision, FailureKind, Known, Policy, Request, RequestState,
    },
    message,
    process::{self, BudgetKind},
};
use libos_port::{Fold, mutated};
use serde::Serialize;

/// How much may be asked of a human.
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
    /// The cards of one task that wait for an answer: more than a screen of them is not read.
    pub task_pending_max: u64,
    /// The cards one task makes over its life, so that no process wears its human down: ten a day
    /// for a year.
    pub task_asks_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            question_bytes_max: 128 << 10,
            output_bytes_max: 32 << 10,
            reason_bytes_max: 4 << 10,
            name_bytes_max: 128,
            pending_max: 64,
            task_pending_max: 256,
            task_asks_max: 4096,
        }
    }
}

/// On whose account an operation asks. One operation may need a limit raised, then an approval,
/// and then ask a question of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Account {
    /// The broker asks whether the call may be made.
    Approval,
    /// The call itself asks.
    Own,
    /// The broker asks for a larger limit.
    Extension,
    /// The broker asks what became of the effect.
    Unknown,
    /// The broker asks whether the data of the call may go where it would go.
    Release,
}

impl Account {
    fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Approval(_) => Self::Approval,
            Ask::Question { .. } | Ask::Permission { .. } => Self::Own,
            Ask::Extension { .. } => Self::Extension,
            Ask::Unknown { .. } => Self::Unknown,
            Ask::Release(_) => Self::Release,
        }
    }
}

/// A limit: whose, of what, how much.
type Limit = (Pid, BudgetKind, u64);

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) pid: Pid,
    /// The root of its task.
    pub(crate) root: Pid,
    pub(crate) op: OpId,
}

/// Every request that was ever made. Those decided are the record and stay.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Desk {
    /// The last id given; ids are never given twice.
    last: u64,
    requests: OrdMap<RequestId, Arc<Request>>,
    /// The latest request of each operation.
    by_op: OrdMap<(OpId, Account), RequestId>,
    /// Those without an answer, by task.
    pending: OrdSet<(Pid, RequestId)>,
    /// Those without an answer, by each process that waits for it.
    waiting: OrdSet<(Pid, RequestId)>,
    /// How many each task has made.
    made: OrdMap<Pid, u64>,
    /// The limits that a human has refused to raise.
    refused: OrdMap<Limit, RequestId>,
}

impl Fold for Desk {
    type Event = HumanEvent;

    fn apply(&mut self, event: &HumanEvent) {
        match event {
            HumanEvent::Opened(request) => self.open(request),
            HumanEvent::Joined { request, asker } => self.join(*request, asker),
            HumanEvent::Left { request, asker } => self.leave(*request, asker),
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
    fn open(&mut self, request: &Arc<Request>) {
        let id = request.id;
        self.last = self.last.max(id.0);
        self.by_op.insert((request.op, Account::of(&request.ask)), id);
        self.pending.insert((request.root, id));
        // Whoever made an unknown effect has its outcome and goes on.
        if !matches!(request.ask, Ask::Unknown { .. }) {
            self.waiting.insert((request.pid, id));
        }
        let made = self.made.entry(request.root).or_default();
        *made = made.saturating_add(1);
        self.requests.insert(id, Arc::clone(request));
    }

    fn join(&mut self, id: RequestId, asker: &Asker) {
        if let Some(request) = self.requests.get_mut(&id) {
            self.by_op.insert((asker.op, Account::of(&request.ask)), id);
            self.waiting.insert((asker.pid, id));
            Arc::make_mut(request).joined.push(asker.clone());
        }
    }

    /// Takes out one of several that wait. If it is the one that asked first, the next does.
    fn leave(&mut self, id: RequestId, asker: &Asker) {
        let Some(request) = self.requests.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        self.by_op.remove(&(asker.op, Account::of(&request.ask)));
        if (request.pid, request.op) != (asker.pid, asker.op) {
            request.joined.retain(|joined| (joined.pid, joined.op) != (asker.pid, asker.op));
        } else if !request.joined.is_empty() {
            let next = request.joined.remove(0);
            (request.pid, request.op) = (next.pid, next.op);
            if let Ask::Approval(approval) = &mut request.ask {
                approval.asked_by = next.asked_by;
            }
        }
        if askers(request).all(|other| other.pid != asker.pid) {
            self.waiting.remove(&(asker.pid, id));
        }
    }

    fn close(&mut self, id: RequestId, state: RequestState) {
        let Some(request) = self.requests.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        self.pending.remove(&(request.root, id));
        for asker in askers(request) {
            self.waiting.remove(&(asker.pid, id));
        }
        if let (Ask::Extension { of, kind, limit, .. }, RequestState::Decided(decided)) =
            (&request.ask, &state)
            && matches!(decided.decision, Decision::Deny { .. })
        {
            self.refused.insert((*of, *kind, *limit), id);
        }
        request.state = state;
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
            RequestState::Decided(_) if mutated("answer_twice") => return Ok(request),
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

    /// The request that an operation waits for on this account.
    pub(crate) fn pending_of_op(&self, op: OpId, account: Account) -> Option<RequestId> {
        let request = self.of_op(op, account)?;
        (request.state == RequestState::Pending).then_some(request.id)
    }

    /// The request in which a human refused to raise a limit.
    pub(crate) fn refusal(&self, limit: Limit) -> Option<&Request> {
        let id = self.refused.get(&limit)?;
        self.requests.get(id).map(AsRef::as_ref)
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

    /// What asking makes: a new request, or one more that waits for the answer to an identical
    /// one.
    pub(crate) fn plan_ask(
        &self,
        by: By,
        human: &str,
        ask: Ask,
        limits: &Limits,
        asked_at_ms: u64,
    ) -> Result<(RequestId, HumanEvent), Error> {
        let By { pid, root, op } = by;
        let waiting = ids_of(&self.waiting, pid).count() as u64 + 1;
        within("requests that wait for a human", waiting, limits.pending_max)?;
        let mut pending = ids_of(&self.pending, root).filter_map(|id| self.requests.get(&id));
        if let Some(same) = pending.find(|it| it.human == human && is_same(it, pid, &ask)) {
            let asked_by = match ask {
                Ask::Approval(approval) => approval.asked_by,
                _ => Vec::new(),
            };
            let asker = Asker { pid, op, asked_by };
            return Ok((same.id, HumanEvent::Joined { request: same.id, asker }));
        }
        let waiting = ids_of(&self.pending, root).count() as u64 + 1;
        within("requests of a task that wait for a human", waiting, limits.task_pending_max)?;
        let made = self.made.get(&root).map_or(1, |made| made.saturating_add(1));
        within("requests of a task over its life", made, limits.task_asks_max)?;
        Ok(self.plan_new(by, human, ask, asked_at_ms))
    }

    /// A request of its own, however many there are.
    pub(crate) fn plan_new(
        &self,
        by: By,
        human: &str,
        ask: Ask,
        asked_at_ms: u64,
    ) -> (RequestId, HumanEvent) {
        let By { pid, root, op } = by;
        let request = Request {
            id: RequestId(self.last + 1),
            op,
            pid,
            root,
            human: human.into(),
            ask,
            asked_at_ms,
            state: RequestState::Pending,
            joined: Vec::new(),
        };
        (request.id, HumanEvent::Opened(Arc::new(request)))
    }

    /// What the end of a process does to the requests it waits for: those that nobody else waits
    /// for are cancelled.
    pub(crate) fn plan_cancel(&self, pid: Pid) -> Vec<HumanEvent> {
        let mut events = Vec::new();
        for id in ids_of(&self.waiting, pid) {
            let Some(request) = self.requests.get(&id) else {
                continue;
            };
            match askers(request).all(|asker| asker.pid == pid) {
                true => events.push(HumanEvent::Cancelled { request: id }),
                false => {
                    let leave = askers(request).filter(|asker| asker.pid == pid);
                    events.extend(leave.map(|asker| HumanEvent::Left { request: id, asker }));
                }
            }
        }
        events
    }
}

fn ids_of(set: &OrdSet<(Pid, RequestId)>, pid: Pid) -> impl Iterator<Item = RequestId> + '_ {
    set.range((pid, RequestId(0))..=(pid, RequestId(u64::MAX))).map(|(_, id)| *id)
}

/// Everyone that waits for the answer: who asked first, then those that joined.
fn askers(request: &Request) -> impl Iterator<Item = Asker> + '_ {
    let asked_by = match &request.ask {
        Ask::Approval(approval) => approval.asked_by.clone(),
        _ => Vec::new(),
    };
    let first = Asker { pid: request.pid, op: request.op, asked_by };
    std::iter::once(first).chain(request.joined.iter().cloned())
}

/// Whether `pid` may wait for the answer to `request` instead of asking `ask`. A permission is for
/// one process, a question stands in a context that its text may not tell, and each release is of
/// one call.
fn is_same(request: &Request, pid: Pid, ask: &Ask) -> bool {
    match (&request.ask, ask) {
        (Ask::Approval(one), Ask::Approval(other)) => {
            one.digest == other.digest && one.needs == other.needs
        }
        (
            Ask::Extension { of, kind, limit, .. },
            Ask::Extension { of: other, kind: other_kind, limit: other_limit, .. },
        ) => (of, kind, limit) == (other, other_kind, other_limit),
        (Ask::Permission { .. }, Ask::Permission { .. }) => {
            request.pid == pid && request.ask == *ask
        }
        _ => false,
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
        Decision::Extend { .. } => "extended",
        Decision::Known { what } => known(*what),
    }
}

/// What became of an effect, in words.
fn known(what: Known) -> &'static str {
    match what {
        Known::Done => "settled (done)",
        Known::NotDone => "settled (not done)",
        Known::Unknown => "left unknown",
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

/// What a decision does besides ending its request.
#[derive(Debug, Default)]
pub(crate) struct Consequences {
    /// The capabilities it makes.
    pub(crate) grants: Vec<capability::Issue>,
    /// The limit it raises.
    pub(crate) extend: Option<process::Extend>,
    /// What it tells the process.
    pub(crate) letter: Option<message::Send>,
}

/// What a decision does, if it fits what was asked.
pub(crate) fn plan_decision(
    request: &Request,
    decision: &Decision,
    limits: &Limits,
) -> Result<Consequences, Error> {
    let mut consequences = Consequences::default();
    match (&request.ask, decision) {
        (Ask::Unknown { op, call, .. }, Decision::Known { what }) => {
            consequences.letter = Some(letter(request.pid, *op, call, *what));
        }
        (Ask::Unknown { .. }, _) => return Err(wrong_answer(request.id, &request.ask)),
        (_, Decision::Deny { .. }) => {}
        (Ask::Approval(approval), Decision::Approve { scope }) => {
            check_scope(*scope)?;
            consequences.grants = plan_approval(request, approval, *scope);
        }
        (Ask::Release(_), Decision::Approve { scope: Scope::Once }) => {}
        (Ask::Release(_), Decision::Approve { .. }) => {
            let what = "releases the data of one call, once";
            return Err(FailureKind::WrongAnswer.because(format!("{} {what}", request.id)));
        }
        (Ask::Question { .. }, Decision::Answer { text }) => check_answer(text, limits)?,
        (Ask::Permission { on, rights, .. }, Decision::Permit { policy }) => {
            consequences.grants.push(plan_permission(request, on, *rights, *policy));
        }
        (Ask::Extension { .. }, Decision::Extend { by: 0 }) => {
            return Err(FailureKind::WrongAnswer.because("a limit is raised by one or more"));
        }
        (Ask::Extension { of, kind, .. }, Decision::Extend { by }) => {
            consequences.extend = Some(process::Extend { pid: *of, kind: *kind, by: *by });
        }
        (ask, _) => return Err(wrong_answer(request.id, ask)),
    }
    Ok(consequences)
}

fn wrong_answer(id: RequestId, ask: &Ask) -> Error {
    let (what, answer) = match ask {
        Ask::Approval(_) => ("asks for approval", "approved"),
        Ask::Release(_) => ("asks for the release of data", "approved (once)"),
        Ask::Question { .. } => ("is a question", "answered"),
        Ask::Permission { .. } => ("asks for permission", "permitted"),
        Ask::Extension { .. } => ("asks for a larger limit", "extended"),
        Ask::Unknown { .. } => {
            let what = "asks what became of an effect; it can be done, not done or unknown";
            return FailureKind::WrongAnswer.because(format!("{id} {what}"));
        }
    };
    FailureKind::WrongAnswer.because(format!("{id} {what}; it can be {answer} or denied"))
}

/// What the process that made the call is told.
fn letter(to: Pid, op: OpId, call: &str, what: Known) -> message::Send {
    let says = match what {
        Known::Done => "it was done",
        Known::NotDone => "it was not done",
        Known::Unknown => "it cannot be found out whether it was done",
    };
    let body = format!("{op} ({call}) ended in an unknown outcome; a human says: {says}.");
    message::Send {
        subject: Some("outcome".into()),
        payload: Some(Json::from(&serde_json::json!({ "op": op, "call": call, "known": what }))),
        ..message::Send::letter(to, body)
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

/// For everyone that waits, one capability for each thing the call needs, tied to exactly this
/// call. Once is once for each operation; any other scope holds for a process as a whole.
fn plan_approval(request: &Request, approval: &Approval, scope: Scope) -> Vec<capability::Issue> {
    let once = scope == Scope::Once;
    let mut receivers: Vec<Asker> = Vec::new();
    for asker in askers(request) {
        match receivers.iter_mut().find(|there| !once && there.pid == asker.pid) {
            Some(there) => push_new(&mut there.asked_by, asker.asked_by),
            None => receivers.push(asker),
        }
    }
    let mut needs: Vec<Need> = Vec::with_capacity(approval.needs.len());
    push_new(&mut needs, approval.needs.iter().cloned());
    let mut issues = Vec::with_capacity(receivers.len() * needs.len());
    for Asker { pid, op, asked_by } in receivers {
        let binding = Binding {
            request: request.id,
            answers: asked_by,
            digest: approval.digest,
            op: once.then_some(op),
            subtree: scope == Scope::Subtree,
        };
        issues.extend(needs.iter().map(|need| capability::Issue {
            to: pid,
            grant: approved(need, scope),
            origin: origin(request),
            binding: Some(binding.clone()),
        }));
    }
    issues
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, items: impl IntoIterator<Item = T>) {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn approved(need: &Need, scope: Scope) -> GrantSpec {
    let (uses, expires) = match scope {
        Scope::Once if mutated("once_is_twice") => (Some(2), None),
        Scope::Once => (Some(1), None),
        Scope::Uses(uses) => (Some(uses), None),
        Scope::Until(time) => (None, Some(time)),
        Scope::Process | Scope::Subtree => (None, None),
    };
    let rights = Rights::from_iter([need.right]);
    GrantSpec { uses, expires, ..GrantSpec::allow(Pattern::exact(&need.on), rights) }
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
