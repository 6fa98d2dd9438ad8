//! Operations: every call from its admission to its outcome, and the memo of each quantum.
//!
//! This is the broker's own state, a fold of the journal like any component's. An operation of a
//! process stays, with its outcome, until the quantum it belongs to is committed: a process that
//! runs its quantum again gets recorded outcomes instead of doing things twice. Nothing here
//! outlives the quantum, so the state does not grow with history.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    Digest, EffectClass, Event, OpId, Outcome, Pid, Principal, RequestId, Syscall,
    event::{CapabilityEvent, HumanEvent, OpEvent, ProcessEvent, Step, Verdict},
    human::{Ask, Decision},
    process::{Wait, WaitOn},
    wire,
};

/// Where an operation stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OpState {
    /// Just admitted; never seen between transactions.
    Admitted,
    /// It waits for a human to approve the call.
    Approving { request: RequestId, decision: Option<Decision> },
    /// It waits for something else.
    Waiting(Wait),
    /// Its effect may be under way.
    Dispatched,
    /// It is over, and remembered until the quantum is committed.
    Done(Arc<Outcome>),
}

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) caller: Principal,
    pub(crate) step: Step,
    pub(crate) fingerprint: u64,
    /// The canonical call.
    pub(crate) call: Arc<Syscall>,
    pub(crate) started_ms: u64,
    /// Whether it has set something aside from a finite grant.
    pub(crate) reserved: bool,
    pub(crate) state: OpState,
}

impl Op {
    /// Whether it waits and does nothing else.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self.state, OpState::Approving { .. } | OpState::Waiting(_))
    }

    /// Whether the calls under it do its work: then it is as blocked as they are.
    pub(crate) fn is_tool_call(&self) -> bool {
        self.call.info().name == "tool.call"
    }

    /// What it waits for.
    pub(crate) fn wait(&self) -> Option<Wait> {
        match &self.state {
            OpState::Approving { request, .. } => {
                Some(Wait { on: WaitOn::Human(*request), until_ms: None })
            }
            OpState::Waiting(wait) => Some(wait.clone()),
            _ => None,
        }
    }
}

/// The memo of a process's quantum.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memo {
    /// The number of the last step before the quantum.
    pub(crate) steps_before: u32,
    /// Its operations by their place.
    pub(crate) steps: OrdMap<Step, OpId>,
}

/// Every operation that is open or remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ops {
    pub(crate) last: u64,
    pub(crate) ops: OrdMap<OpId, Op>,
    pub(crate) memos: OrdMap<Pid, Memo>,
    /// The operation behind each pending approval.
    approvals: OrdMap<RequestId, OpId>,
    /// Processes that a signal holds.
    held: OrdSet<Pid>,
}

impl Ops {
    /// The operation of a process at a step, if it was admitted.
    pub(crate) fn at(&self, pid: Pid, step: Step) -> Option<OpId> {
        self.memos.get(&pid)?.steps.get(&step).copied()
    }

    /// The operations of a process that are not over.
    pub(crate) fn open_of(&self, pid: Pid) -> impl Iterator<Item = (OpId, &Op)> {
        self.memos
            .get(&pid)
            .into_iter()
            .flat_map(|memo| memo.steps.values())
            .filter_map(|id| self.ops.get(id).map(|op| (*id, op)))
            .filter(|(_, op)| !matches!(op.state, OpState::Done(_)))
    }

    /// Whether a signal holds a process.
    pub(crate) fn is_held(&self, pid: Pid) -> bool {
        self.held.contains(&pid)
    }

    /// Applies any event: those of operations, and those of others that bear on them.
    pub(crate) fn apply(&mut self, at_ms: u64, event: &Event) {
        match event {
            Event::Op(event) => self.apply_op(at_ms, event),
            Event::Process(ProcessEvent::Committed { pid, .. }) => self.forget(*pid, true),
            Event::Process(ProcessEvent::Ended { pid, .. }) => {
                self.held.remove(pid);
                self.forget(*pid, false);
            }
            Event::Process(ProcessEvent::Paused { pid, .. }) => {
                self.held.insert(*pid);
            }
            Event::Process(ProcessEvent::Resumed { pid }) => {
                self.held.remove(pid);
            }
            Event::Capability(CapabilityEvent::Reserved { op, .. }) => {
                self.change(*op, |op| op.reserved = true);
            }
            Event::Capability(CapabilityEvent::Settled { op, .. }) => {
                self.change(*op, |op| op.reserved = false);
            }
            Event::Human(HumanEvent::Opened(request)) => {
                if matches!(request.ask, Ask::Approval(_)) {
                    self.approvals.insert(request.id, request.op);
                }
            }
            Event::Human(HumanEvent::Decided { request, decided }) => {
                self.answered(*request, decided.decision.clone());
            }
            Event::Human(HumanEvent::Cancelled { request }) => {
                self.approvals.remove(request);
            }
            _ => {}
        }
    }

    fn apply_op(&mut self, at_ms: u64, event: &OpEvent) {
        match event {
            OpEvent::Admitted { op, caller, step, fingerprint, call } => {
                self.last = op.0;
                if let (Some(pid), true) = (caller.pid(), step.index > 0) {
                    self.memos.entry(pid).or_default().steps.insert(*step, *op);
                }
                let op_state = Op {
                    caller: caller.clone(),
                    step: *step,
                    fingerprint: *fingerprint,
                    call: Arc::new(call.clone()),
                    started_ms: at_ms,
                    reserved: false,
                    state: OpState::Admitted,
                };
                self.ops.insert(*op, op_state);
            }
            OpEvent::Decided { op, verdict } => {
                if let Verdict::Asked { request, .. } = verdict {
                    let state = OpState::Approving { request: *request, decision: None };
                    self.change(*op, |op| op.state = state);
                }
            }
            OpEvent::Dispatched { op } => self.change(*op, |op| op.state = OpState::Dispatched),
            OpEvent::Blocked { op, wait } => {
                self.change(*op, |op| {
                    if !matches!(op.state, OpState::Approving { decision: None, .. }) {
                        op.state = OpState::Waiting(wait.clone());
                    }
                });
            }
            OpEvent::Settled { op, outcome } => self.settle(*op, outcome),
        }
    }

    fn settle(&mut self, id: OpId, outcome: &Outcome) {
        let Some(op) = self.ops.get(&id) else { return };
        let remembered =
            op.caller.pid().is_some_and(|pid| self.at(pid, op.step).is_some_and(|at| at == id));
        if remembered {
            let outcome = Arc::new(outcome.clone());
            self.change(id, |op| op.state = OpState::Done(outcome));
        } else {
            self.ops.remove(&id);
        }
    }

    fn answered(&mut self, request: RequestId, answer: Decision) {
        let Some(op) = self.approvals.remove(&request) else {
            return;
        };
        self.change(op, |op| {
            if let OpState::Approving { decision, .. } = &mut op.state {
                *decision = Some(answer);
            }
        });
    }

    fn change(&mut self, id: OpId, change: impl FnOnce(&mut Op)) {
        if let Some(op) = self.ops.get_mut(&id) {
            change(op);
        }
    }

    /// Drops the memo of a process. Operations whose effect is under way stay until their outcome
    /// is recorded.
    fn forget(&mut self, pid: Pid, goes_on: bool) {
        let Some(memo) = self.memos.remove(&pid) else {
            return;
        };
        for id in memo.steps.values() {
            if self.ops.get(id).is_some_and(|op| op.state != OpState::Dispatched) {
                self.ops.remove(id);
            }
        }
        if goes_on {
            let last =
                memo.steps.keys().filter(|step| step.parent.is_none()).map(|s| s.index).max();
            let steps_before = last.unwrap_or(memo.steps_before);
            self.memos.insert(pid, Memo { steps_before, steps: OrdMap::new() });
        }
    }

    /// A digest of the whole state.
    pub(crate) fn digest(&self) -> Digest {
        let mut bytes = wire::encode(&self.last);
        for (id, op) in &self.ops {
            let state = match &op.state {
                OpState::Admitted => (0_u8, Vec::new()),
                OpState::Approving { request, decision } => {
                    (1, wire::encode(&(*request, decision)))
                }
                OpState::Waiting(wait) => (2, wire::encode(wait)),
                OpState::Dispatched => (3, Vec::new()),
                OpState::Done(outcome) => (4, wire::encode(&**outcome)),
            };
            wire::encode_into(&(*id, &op.caller, op.step, op.fingerprint), &mut bytes);
            wire::encode_into(&(&*op.call, op.started_ms, op.reserved, state), &mut bytes);
        }
        for (pid, memo) in &self.memos {
            wire::encode_into(&(*pid, memo.steps_before), &mut bytes);
            memo.steps.iter().for_each(|step| wire::encode_into(&step, &mut bytes));
        }
        self.held.iter().for_each(|pid| wire::encode_into(pid, &mut bytes));
        Digest::of(&bytes)
    }
}

/// Whether an event must be on disk before anything that follows from it leaves the core. What is
/// not durable is done again after a crash, with nothing outside having changed.
pub(crate) fn must_be_durable(event: &Event, ops: &Ops) -> bool {
    let has_effect = |op: &OpId| {
        ops.ops.get(op).is_some_and(|op| {
            !matches!(op.call.info().effect, EffectClass::State | EffectClass::Read)
                && !op.is_tool_call()
        })
    };
    let is_host =
        |op: &OpId| ops.ops.get(op).is_some_and(|op| matches!(op.caller, Principal::Host(_)));
    match event {
        Event::Op(OpEvent::Dispatched { op } | OpEvent::Settled { op, .. }) => {
            has_effect(op) || is_host(op)
        }
        Event::Op(_) => false,
        Event::Process(event) => !matches!(
            event,
            ProcessEvent::Started { .. }
                | ProcessEvent::Committed { .. }
                | ProcessEvent::Blocked { .. }
                | ProcessEvent::Readied { .. }
                | ProcessEvent::Charged { .. }
        ),
        Event::Capability(_) | Event::Object(_) | Event::Human(_) | Event::Image(_) => true,
    }
}
