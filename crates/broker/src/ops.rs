//! Operations: every call from its admission to its outcome, and the memo of each quantum.
//!
//! This is the broker's own state, a fold of the journal like any component's. An open operation
//! is kept whole. Of one that is over, the memo of its quantum keeps a fingerprint and the encoded
//! outcome until the quantum is committed: a process that runs its quantum again gets recorded
//! outcomes instead of doing things twice. Nothing here outlives the quantum, so the state does
//! not grow with history.
//!
//! Every call changes this state, so it is changed in place. What a transaction changed is noted
//! in `undo` and put back, last change first, when the transaction is given up. Boxes and lists
//! are used again: in steady state nothing is allocated.

mod saved;
mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use libos_abi::{
    CallInfo, CheckpointId, Digest, Digester, Event, Fault, Few, Label, OpId, Outcome, Pid,
    Principal, RequestId, Syscall,
    event::{CapabilityEvent, HumanEvent, OpEvent, ProcessEvent, Step, SubscriberEvent},
    human::{Ask, Decision},
    process::{BudgetKind, Wait, WaitOn},
    tool::Program,
    wire,
};
use libos_port::{Receipt, mutated};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    content::Content,
    receipts::{self, Receipts, receipt},
};

/// How many boxes and memos are kept for use again: what one batch of messages can free.
const SPARE_MAX: usize = 1024;

/// Where an open operation stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OpState {
    /// Just admitted; never seen between transactions.
    Admitted,
    /// The broker asked a human about it: to approve the call, or to raise a limit.
    Asking {
        request: RequestId,
        /// The limit that is to be raised.
        over: Option<Over>,
        /// The label of the data that is to be released.
        release: Option<Label>,
        decision: Option<Decision>,
    },
    /// It waits for something else.
    Waiting(Wait),
    /// Its effect may be under way.
    Dispatched,
}

/// A limit that a call would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    of: Pid,
    kind: BudgetKind,
    limit: u64,
    used: u64,
    more: u64,
}

impl Over {
    /// What a call ends in that may not pass it.
    pub(crate) fn fault(self) -> Fault {
        let Self { of, kind, limit, used, more } = self;
        Fault::OverBudget { of, kind, limit, used, more }
    }
}

/// One open operation.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) caller: Principal,
    pub(crate) step: Step,
    pub(crate) fingerprint: u64,
    /// The canonical call.
    pub(crate) call: Syscall,
    pub(crate) started_ms: u64,
    /// Whether it has set something aside from a finite grant.
    pub(crate) reserved: bool,
    pub(crate) state: OpState,
    /// The generated tool that it is about.
    pub(crate) program: Option<Arc<Program>>,
    /// What it takes from an object, once that is decided.
    pub(crate) content: Option<Content>,
}

impl Op {
    /// The digest of the call, and of the content that it takes.
    pub(crate) fn digest(&self) -> Digest {
        let call = self.call.digest();
        let Some(content) = &self.content else { return call };
        let mut digester = Digester::default();
        digester.update(&call.0);
        content.digest(&mut digester);
        digester.digest()
    }

    /// Whether it waits and does nothing else.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self.state, OpState::Asking { .. } | OpState::Waiting(_))
    }

    /// Whether the calls under it do its work: then it is as blocked as they are.
    pub(crate) fn is_tool_call(&self) -> bool {
        is_tool_call(&self.call)
    }

    /// What it waits for.
    pub(crate) fn wait(&self) -> Option<Wait> {
        match &self.state {
            OpState::Asking { request, .. } => {
                Some(Wait { on: WaitOn::Human(*request), until_ms: None })
            }
            OpState::Waiting(wait) => Some(wait.clone()),
            _ => None,
        }
    }

    /// Whether it is a step of a quantum, which the memo remembers.
    fn remembered_by(&self) -> Option<Pid> {
        self.caller.pid().filter(|_| self.step.index > 0)
    }
}

/// What an operation ended in, in a word.
pub(crate) fn code(outcome: &Outcome) -> &'static str {
    outcome.as_ref().map_or_else(libos_abi::Error::code, |_| "ok")
}

/// Whether the call is one of a tool.
pub(crate) fn is_tool_call(call: &Syscall) -> bool {
    matches!(call, Syscall::Tool(libos_abi::tool::Call::CallTool(_)))
}

/// What the memo knows of one step.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    step: Step,
    pub(crate) op: OpId,
    pub(crate) fingerprint: u64,
    pub(crate) call: &'static CallInfo,
    /// Where its outcome is among those of the memo, once it is over.
    outcome: Option<(u32, u32)>,
}

/// The memo of a process's quantum.
#[derive(Debug, Default)]
struct Memo {
    /// The number of the last step before the quantum.
    steps_before: u32,
    /// Its steps in order.
    entries: SmallVec<[Entry; 1]>,
    /// The operations among them that are not over.
    open: Few<OpId>,
    /// Encoded outcomes, one behind the other.
    outcomes: Vec<u8>,
}

impl Memo {
    fn find(&self, step: Step) -> Result<usize, usize> {
        // Nearly always it is the last, or comes behind it.
        match self.entries.last() {
            Some(last) if last.step < step => Err(self.entries.len()),
            _ => self.entries.binary_search_by_key(&step, |entry| entry.step),
        }
    }

    fn entry_mut(&mut self, step: Step) -> Option<&mut Entry> {
        let at = self.find(step).ok()?;
        self.entries.get_mut(at)
    }

    fn close(&mut self, op: OpId) {
        let open = std::mem::take(&mut self.open);
        self.open = open.into_iter().filter(|id| *id != op).collect();
    }
}

/// A request to a human that is not answered yet.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    /// Whether the broker asked about the call, and not the call itself.
    by_broker: bool,
    /// The limit that it is about.
    over: Option<Over>,
    /// The label of the data that it is about.
    release: Option<Label>,
    /// Whose operations wait for it.
    askers: Few<(Pid, OpId)>,
}

/// How to take one change back.
#[derive(Debug)]
enum Undo {
    Last(u64),
    Admitted(OpId),
    State(OpId, OpState),
    Reserved(OpId, bool),
    Loaded(OpId, Option<Arc<Program>>),
    Drawn(OpId, Option<Content>),
    /// An operation was removed; `usize` is how long the outcomes of its memo were.
    Settled(OpId, Box<Op>, Option<usize>),
    Forgotten(OpId, Box<Op>),
    Memo(Pid, Option<Box<Memo>>),
    Asked(RequestId, Option<Asked>),
    Held(Pid, bool),
    Subscriptions(u64),
    Receipts(receipts::Undo),
    Saved(CheckpointId, Option<Arc<saved::Saved>>),
}

/// Every operation that is open or remembered.
#[derive(Debug, Default)]
pub(crate) struct Ops {
    last: u64,
    open: FxHashMap<OpId, Box<Op>>,
    memos: FxHashMap<Pid, Box<Memo>>,
    requests: BTreeMap<RequestId, Asked>,
    /// Processes that a signal holds.
    held: BTreeSet<Pid>,
    /// How many subscriptions to events there are.
    subscriptions: u64,
    receipts: Receipts,
    /// What quanta had done at checkpoints.
    saved: BTreeMap<CheckpointId, Arc<saved::Saved>>,

    // No part of the state.
    undo: Vec<Undo>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept for use again")]
    spare_ops: Vec<Box<Op>>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept for use again")]
    spare_memos: Vec<Box<Memo>>,
}

impl Ops {
    /// The id of the next operation.
    pub(crate) fn next_id(&self) -> OpId {
        OpId(self.last + 1)
    }

    /// An open operation.
    pub(crate) fn get(&self, id: OpId) -> Option<&Op> {
        self.open.get(&id).map(AsRef::as_ref)
    }

    /// The ids of all open operations, in order.
    pub(crate) fn all_open(&self) -> Vec<OpId> {
        let mut ids: Vec<OpId> = self.open.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// How many operations are open, and of how many processes there is a memo.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.open.len(), self.memos.len())
    }

    /// What is known of a step of a process, if it was submitted before.
    pub(crate) fn at(&self, pid: Pid, step: Step) -> Option<&Entry> {
        let memo = self.memos.get(&pid)?;
        memo.entries.get(memo.find(step).ok()?)
    }

    /// The recorded outcome of a step that is over.
    pub(crate) fn outcome(&self, pid: Pid, entry: &Entry) -> Option<Outcome> {
        let (at, length) = entry.outcome?;
        let (at, length) = (at as usize, length as usize);
        let bytes = self.memos.get(&pid)?.outcomes.get(at..at + length)?;
        Some(wire::decode_large(bytes).expect("the memo holds what was encoded there"))
    }

    /// The operations of a process that are not over, oldest first.
    pub(crate) fn open_of(&self, pid: Pid) -> impl Iterator<Item = (OpId, &Op)> {
        let open = self.memos.get(&pid).map(|memo| &*memo.open).unwrap_or_default();
        open.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// The number of the last step before the quantum of a process.
    pub(crate) fn steps_before(&self, pid: Pid) -> u32 {
        self.memos.get(&pid).map_or(0, |memo| memo.steps_before)
    }

    /// The latest effects of a process that are over, oldest first.
    pub(crate) fn receipts(&self, pid: Pid) -> Vec<Receipt> {
        self.receipts.of(pid)
    }

    /// Whether a signal holds a process.
    pub(crate) fn is_held(&self, pid: Pid) -> bool {
        self.held.contains(&pid)
    }

    /// Whether anyone subscribes to events.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.subscriptions > 0
    }

    /// Whether a process waits for the answer to a request.
    pub(crate) fn asks(&self, pid: Pid) -> bool {
        self.requests.values().any(|asked| asked.askers.iter().any(|(asker, _)| *asker == pid))
    }

    /// Who asked for a request that is not answered yet.
    pub(crate) fn askers(&self, request: RequestId) -> Few<(Pid, OpId)> {
        self.requests.get(&request).map(|asked| asked.askers.clone()).unwrap_or_default()
    }

    // ---- transactions ------------------------------------------------------------------------

    /// Marks the state to come back to.
    pub(crate) fn begin(&mut self) {
        for undo in self.undo.drain(..) {
            match undo {
                Undo::Settled(_, op, _) | Undo::Forgotten(_, op)
                    if self.spare_ops.len() < SPARE_MAX =>
                {
                    self.spare_ops.push(op);
                }
                Undo::Memo(_, Some(mut memo)) if self.spare_memos.len() < SPARE_MAX => {
                    memo.entries.clear();
                    memo.outcomes.clear();
                    memo.open = Few::new();
                    self.spare_memos.push(memo);
                }
                _ => {}
            }
        }
    }

    /// Comes back to the state of the last [`begin`](Self::begin).
    pub(crate) fn rollback(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Last(last) => self.last = last,
                Undo::Admitted(id) => self.unadmit(id),
                Undo::State(id, state) => {
                    if let Some(op) = self.open.get_mut(&id) {
                        op.state = state;
                    }
                }
                Undo::Reserved(id, reserved) => {
                    if let Some(op) = self.open.get_mut(&id) {
                        op.reserved = reserved;
                    }
                }
                Undo::Loaded(id, program) => {
                    if let Some(op) = self.open.get_mut(&id) {
                        op.program = program;
                    }
                }
                Undo::Drawn(id, content) => {
                    if let Some(op) = self.open.get_mut(&id) {
                        op.content = content;
                    }
                }
                Undo::Settled(id, op, outcomes) => self.unsettle(id, op, outcomes),
                Undo::Forgotten(id, op) => drop(self.open.insert(id, op)),
                Undo::Memo(pid, Some(memo)) => drop(self.memos.insert(pid, memo)),
                Undo::Memo(pid, None) => drop(self.memos.remove(&pid)),
                Undo::Asked(request, Some(asked)) => drop(self.requests.insert(request, asked)),
                Undo::Asked(request, None) => drop(self.requests.remove(&request)),
                Undo::Held(pid, true) => drop(self.held.insert(pid)),
                Undo::Held(pid, false) => drop(self.held.remove(&pid)),
                Undo::Subscriptions(count) => self.subscriptions = count,
                Undo::Receipts(undo) => self.receipts.undo(undo),
                Undo::Saved(checkpoint, Some(saved)) => drop(self.saved.insert(checkpoint, saved)),
                Undo::Saved(checkpoint, None) => drop(self.saved.remove(&checkpoint)),
            }
        }
    }

    fn unadmit(&mut self, id: OpId) {
        let Some(op) = self.open.remove(&id) else { return };
        if let Some(memo) = op.remembered_by().and_then(|pid| self.memos.get_mut(&pid)) {
            if let Ok(at) = memo.find(op.step) {
                memo.entries.remove(at);
            }
            memo.close(id);
        }
    }

    fn unsettle(&mut self, id: OpId, op: Box<Op>, outcomes: Option<usize>) {
        if let Some(memo) = op.remembered_by().and_then(|pid| self.memos.get_mut(&pid))
            && let Some(length) = outcomes
        {
            if let Some(entry) = memo.entry_mut(op.step) {
                entry.outcome = None;
            }
            memo.outcomes.truncate(length);
            memo.open.push(id);
            memo.open.sort_unstable();
        }
        self.open.insert(id, op);
    }

    // ---- events ------------------------------------------------------------------------------

    /// Applies an event of the journal.
    pub(crate) fn replay(&mut self, at_ms: u64, event: Event) {
        match event {
            Event::Op(OpEvent::Settled { op, outcome }) => {
                self.settled(op, &wire::encode(&outcome), code(&outcome));
            }
            Event::Op(event) => self.apply_op(at_ms, event),
            event => self.apply(&event),
        }
        self.begin();
    }

    /// Applies an event of a component, as far as it bears on operations.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Process(event) => self.apply_process(event),
            Event::Capability(CapabilityEvent::Reserved { op, .. }) => self.reserve(*op, true),
            Event::Capability(CapabilityEvent::Settled { op, .. }) => self.reserve(*op, false),
            Event::Human(event) => self.apply_human(event),
            Event::Subscriber(event) => self.apply_subscriber(event),
            _ => {}
        }
    }

    /// Applies an event of an operation other than its end.
    pub(crate) fn apply_op(&mut self, at_ms: u64, event: OpEvent) {
        match event {
            OpEvent::Admitted { op: id, caller, step, fingerprint, call } => {
                self.undo.push(Undo::Last(self.last));
                self.last = id.0;
                let state = OpState::Admitted;
                let started_ms = at_ms;
                let op = Op {
                    caller,
                    step,
                    fingerprint,
                    call,
                    started_ms,
                    reserved: false,
                    state,
                    program: None,
                    content: None,
                };
                self.admit(id, op);
            }
            OpEvent::Dispatched { op } => self.change(op, OpState::Dispatched),
            OpEvent::Blocked { op, wait } => {
                let state = match (&wait.on, self.get(op).map(|op| &op.state)) {
                    (WaitOn::Human(_), Some(OpState::Asking { decision: None, .. })) => return,
                    (WaitOn::Human(request), _) => match self.requests.get(request) {
                        Some(Asked { by_broker: true, over, release, .. }) => {
                            let (request, over, release) = (*request, *over, *release);
                            OpState::Asking { request, over, release, decision: None }
                        }
                        _ => OpState::Waiting(wait),
                    },
                    _ => OpState::Waiting(wait),
                };
                self.change(op, state);
            }
            OpEvent::Decided { .. } => {}
            OpEvent::Settled { op, outcome } => {
                self.settled(op, &wire::encode(&outcome), code(&outcome));
            }
            OpEvent::Loaded { op: id, program } => {
                if let Some(op) = self.open.get_mut(&id) {
                    let before = op.program.replace(program);
                    self.undo.push(Undo::Loaded(id, before));
                }
            }
            OpEvent::Drawn { op, parts } => self.drawn(op, Content::Parts(parts)),
            OpEvent::Excerpted { op, digest } => self.drawn(op, Content::Excerpt(digest)),
        }
    }

    fn drawn(&mut self, id: OpId, content: Content) {
        if let Some(op) = self.open.get_mut(&id) {
            let before = op.content.replace(content);
            self.undo.push(Undo::Drawn(id, before));
        }
    }

    fn admit(&mut self, id: OpId, op: Op) {
        if let Some(pid) = op.remembered_by() {
            let entry = Entry {
                step: op.step,
                op: id,
                fingerprint: op.fingerprint,
                call: op.call.info(),
                outcome: None,
            };
            let memo = self.memo(pid);
            let at = memo.find(entry.step).unwrap_or_else(|at| at);
            memo.entries.insert(at, entry);
            memo.open.push(id);
        }
        let boxed = match self.spare_ops.pop() {
            Some(mut spare) => {
                *spare = op;
                spare
            }
            None => Box::new(op),
        };
        self.open.insert(id, boxed);
        self.undo.push(Undo::Admitted(id));
    }

    fn memo(&mut self, pid: Pid) -> &mut Memo {
        if !self.memos.contains_key(&pid) {
            let memo = self.new_memo(0);
            self.memos.insert(pid, memo);
            self.undo.push(Undo::Memo(pid, None));
        }
        self.memos.get_mut(&pid).expect("it was put there just now")
    }

    fn new_memo(&mut self, steps_before: u32) -> Box<Memo> {
        let mut memo = self.spare_memos.pop().unwrap_or_default();
        memo.steps_before = steps_before;
        memo
    }

    /// Applies the end of an operation, with its outcome as it is encoded and in a word.
    pub(crate) fn settled(&mut self, id: OpId, outcome: &[u8], word: &'static str) {
        let Some(op) = self.open.remove(&id) else { return };
        // Of a process that has ended nothing is kept, whatever was under way.
        if let Some((pid, receipt)) = receipt(id, &op, word)
            && self.memos.contains_key(&pid)
        {
            self.undo.push(Undo::Receipts(self.receipts.add(pid, receipt)));
        }
        let mut length = None;
        if let Some(memo) = op.remembered_by().and_then(|pid| self.memos.get_mut(&pid))
            && let Some(entry) = memo.find(op.step).ok().and_then(|at| memo.entries.get_mut(at))
            && entry.op == id
        {
            let at = memo.outcomes.len();
            // An outcome has at most a few MiB; a memo that would pass 4 GiB is not remembered.
            entry.outcome = u32::try_from(at).ok().zip(u32::try_from(outcome.len()).ok());
            length = Some(at);
            memo.outcomes.extend_from_slice(outcome);
            memo.close(id);
        }
        self.undo.push(Undo::Settled(id, op, length));
    }

    fn apply_process(&mut self, event: &ProcessEvent) {
        match event {
            ProcessEvent::Committed { pid, .. } | ProcessEvent::Execed { pid, .. } => {
                self.forget(*pid, true);
            }
            ProcessEvent::Ended { pid, .. } => {
                self.hold(*pid, false);
                self.forget(*pid, false);
                self.undo.extend(self.receipts.drop_of(*pid).map(Undo::Receipts));
            }
            ProcessEvent::Paused { pid, .. } => self.hold(*pid, true),
            ProcessEvent::Resumed { pid } => self.hold(*pid, false),
            ProcessEvent::Saved { checkpoint, processes } => self.save(*checkpoint, processes),
            ProcessEvent::Forgotten { checkpoint } => self.put_saved(*checkpoint, None),
            ProcessEvent::Rewound { pid, checkpoint } => self.rewind(*pid, *checkpoint),
            _ => {}
        }
    }

    fn apply_human(&mut self, event: &HumanEvent) {
        match event {
            HumanEvent::Opened(request) => {
                let (by_broker, over, release) = match &request.ask {
                    Ask::Approval(_) | Ask::Unknown { .. } => (true, None, None),
                    Ask::Extension { of, kind, limit, used, more, .. } => {
                        let (of, kind, limit, used, more) = (*of, *kind, *limit, *used, *more);
                        (true, Some(Over { of, kind, limit, used, more }), None)
                    }
                    Ask::Release(release) => (true, None, Some(release.label)),
                    Ask::Question { .. } | Ask::Permission { .. } => (false, None, None),
                };
                let first = (request.pid, request.op);
                let joined = request.joined.iter().map(|asker| (asker.pid, asker.op));
                let askers = std::iter::once(first).chain(joined).collect();
                let asked = Asked { by_broker, over, release, askers };
                self.set_asked(request.id, Some(asked));
            }
            HumanEvent::Joined { request, asker } => self.change_asked(*request, |asked| {
                asked.askers.push((asker.pid, asker.op));
            }),
            HumanEvent::Left { request, asker } => self.change_asked(*request, |asked| {
                let left = (asker.pid, asker.op);
                asked.askers = asked.askers.iter().copied().filter(|it| *it != left).collect();
            }),
            HumanEvent::Decided { request, decided } => {
                self.answered(*request, &decided.decision);
            }
            HumanEvent::Cancelled { request } => self.set_asked(*request, None),
            HumanEvent::Output { .. } => {}
        }
    }

    fn apply_subscriber(&mut self, event: &SubscriberEvent) {
        let count = match event {
            SubscriberEvent::Subscribed { .. } => self.subscriptions + 1,
            SubscriberEvent::Unsubscribed { .. } => self.subscriptions.saturating_sub(1),
            SubscriberEvent::Ended { subscriptions, .. } => {
                self.subscriptions.saturating_sub(*subscriptions)
            }
            SubscriberEvent::Told { .. } | SubscriberEvent::Taken { .. } => return,
        };
        self.undo.push(Undo::Subscriptions(self.subscriptions));
        self.subscriptions = count;
    }

    fn answered(&mut self, request: RequestId, answer: &Decision) {
        let Some(asked) = self.requests.get(&request).cloned() else { return };
        self.set_asked(request, None);
        for (_, op) in &asked.askers {
            if mutated("lose_answer") {
                break;
            }
            let is_asking = self.get(*op).is_some_and(
                |op| matches!(op.state, OpState::Asking { request: r, .. } if r == request),
            );
            if is_asking {
                let (over, release) = (asked.over, asked.release);
                let decision = Some(answer.clone());
                self.change(*op, OpState::Asking { request, over, release, decision });
            }
        }
    }

    fn set_asked(&mut self, request: RequestId, asked: Option<Asked>) {
        let before = match asked {
            Some(asked) => self.requests.insert(request, asked),
            None => self.requests.remove(&request),
        };
        self.undo.push(Undo::Asked(request, before));
    }

    fn change_asked(&mut self, request: RequestId, change: impl FnOnce(&mut Asked)) {
        if let Some(mut asked) = self.requests.get(&request).cloned() {
            change(&mut asked);
            self.set_asked(request, Some(asked));
        }
    }

    fn hold(&mut self, pid: Pid, held: bool) {
        let was = if held { !self.held.insert(pid) } else { self.held.remove(&pid) };
        if was != held {
            self.undo.push(Undo::Held(pid, was));
        }
    }

    fn reserve(&mut self, id: OpId, reserved: bool) {
        if let Some(op) = self.open.get_mut(&id) {
            self.undo.push(Undo::Reserved(id, op.reserved));
            op.reserved = reserved;
        }
    }

    fn change(&mut self, id: OpId, state: OpState) {
        if let Some(op) = self.open.get_mut(&id) {
            let before = std::mem::replace(&mut op.state, state);
            self.undo.push(Undo::State(id, before));
        }
    }

    /// Drops the memo of a process. Operations whose effect is under way stay until their outcome
    /// is recorded.
    fn forget(&mut self, pid: Pid, goes_on: bool) {
        let Some(memo) = self.memos.remove(&pid) else { return };
        for id in &memo.open {
            let is_under_way = |op: &Op| op.state == OpState::Dispatched;
            if self.get(*id).is_some_and(|op| !is_under_way(op))
                && let Some(op) = self.open.remove(id)
            {
                self.undo.push(Undo::Forgotten(*id, op));
            }
        }
        let own = memo.entries.iter().filter(|entry| entry.step.parent.is_none());
        let last = own.map(|entry| entry.step.index).max().unwrap_or(memo.steps_before);
        self.undo.push(Undo::Memo(pid, Some(memo)));
        if (goes_on || mutated("keep_memos")) && last > 0 {
            let memo = self.new_memo(last);
            self.memos.insert(pid, memo);
        }
    }

    /// A digest of the whole state.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.encoded())
    }

    /// All of the state, as far as it tells two states apart.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut bytes = wire::encode(&(self.last, self.subscriptions));
        for id in self.all_open() {
            let op = &self.open[&id];
            wire::encode_into(&(id, &op.caller, op.step, op.fingerprint), &mut bytes);
            wire::encode_into(&(&op.call, op.started_ms, op.reserved), &mut bytes);
            if let Some(program) = &op.program {
                wire::encode_into(program, &mut bytes);
            }
            match &op.content {
                Some(Content::Parts(parts)) => wire::encode_into(parts, &mut bytes),
                Some(Content::Excerpt(digest)) => wire::encode_into(digest, &mut bytes),
                None => {}
            }
            match &op.state {
                OpState::Admitted => wire::encode_into(&0_u8, &mut bytes),
                OpState::Asking { request, over, release, decision } => {
                    let over = over.map(|over| (over.of, over.kind, over.limit));
                    wire::encode_into(&(1_u8, *request, over, decision), &mut bytes);
                    release.iter().for_each(|label| wire::encode_into(label, &mut bytes));
                }
                OpState::Waiting(wait) => wire::encode_into(&(2_u8, wait), &mut bytes),
                OpState::Dispatched => wire::encode_into(&3_u8, &mut bytes),
            }
        }
        let mut pids: Vec<Pid> = self.memos.keys().copied().collect();
        pids.sort_unstable();
        for pid in pids {
            let memo = &self.memos[&pid];
            wire::encode_into(&(pid, memo.steps_before), &mut bytes);
            for entry in &memo.entries {
                wire::encode_into(&(entry.step, entry.op, entry.fingerprint), &mut bytes);
                let call = (entry.call.service_number, entry.call.number);
                wire::encode_into(&(call, entry.outcome.is_some()), &mut bytes);
                if let Some((at, length)) = entry.outcome {
                    bytes.extend_from_slice(&memo.outcomes[at as usize..(at + length) as usize]);
                }
            }
        }
        for (request, asked) in &self.requests {
            let over = asked.over.map(|over| (over.of, over.kind, over.limit));
            wire::encode_into(&(*request, asked.by_broker, over, &asked.askers), &mut bytes);
            asked.release.iter().for_each(|label| wire::encode_into(label, &mut bytes));
        }
        self.held.iter().for_each(|pid| wire::encode_into(pid, &mut bytes));
        self.receipts.encode(&mut bytes);
        self.encode_saved(&mut bytes);
        bytes
    }
}
