//! Transactions: what one input changes becomes one record, or nothing.
//!
//! Events are encoded as they are made and applied by value. The buffers of a transaction are
//! those of the one before it.

use std::sync::Arc;

use libos_abi::{
    Digest, EffectClass, Error, Event, Fault, Few, OpId, Outcome, Pid, Principal, Reply, Request,
    Syscall, capability,
    event::{
        CapabilityEvent, HumanEvent, LabelEvent, ObjectEvent, OpEvent, ProcessEvent,
        SubscriberEvent,
    },
    events::{self, Happened},
    human,
    message::MessageKind,
    process::{self, Usage, WaitOn},
    wire,
};
use libos_port::{Caller, Stop, mutated};

use crate::{
    kernel::Kernel,
    ops::{Op, OpState, code, is_tool_call},
    output::{Notice, Output, Outputs},
    parts::{Frame, Parts},
};

/// The most bytes a reply may take besides its payloads, so that every record fits the journal.
pub const REPLY_BYTES_MAX: usize = 2 << 20;

/// Where the outcome begins in the encoding of [`OpEvent::Settled`]: behind the numbers of the two
/// variants and the operation.
const OUTCOME_AT: usize = 4 + 4 + 8;

/// One transaction under way.
pub(crate) struct Tx {
    pub(crate) caller: Caller,
    pub(crate) op: OpId,
    pub(crate) started_ms: u64,
    pub(crate) blobs: Vec<(Digest, Arc<[u8]>)>,
    pub(crate) outputs: Vec<Output>,
    /// The events of components, in order.
    events: Vec<Event>,
    /// How many of them the broker's own state has seen.
    seen: usize,
    /// Every event as it is encoded, the broker's own among them, and how many they are.
    encoded: Vec<u8>,
    count: u64,
    /// Operations that began to wait.
    blocked: Vec<OpId>,
    sync: bool,
    /// Whether it began with an admission and nothing but decisions and good ends came after.
    is_look: bool,
    /// Whether anything happened but that an operation waits.
    pub(crate) changed: bool,
}

/// The emptied buffers of a transaction.
#[derive(Default)]
pub(crate) struct Buffers {
    blobs: Vec<(Digest, Arc<[u8]>)>,
    outputs: Vec<Output>,
    events: Vec<Event>,
    encoded: Vec<u8>,
    blocked: Vec<OpId>,
}

impl Tx {
    /// Whether nothing happened so far that anyone could want to know of later.
    pub(crate) fn is_look(&self) -> bool {
        self.is_look
    }
}

impl Kernel {
    pub(crate) fn begin(&mut self, caller: Caller, op: OpId, started_ms: u64) -> Tx {
        self.parts.begin();
        self.ops.begin();
        self.labels.begin();
        let Buffers { blobs, outputs, events, encoded, blocked } =
            std::mem::take(&mut self.buffers);
        Tx {
            caller,
            op,
            started_ms,
            blobs,
            outputs,
            events,
            seen: 0,
            encoded,
            count: 0,
            blocked,
            sync: false,
            is_look: false,
            changed: false,
        }
    }

    /// A transaction of the kernel itself.
    pub(crate) fn begin_own(&mut self) -> Tx {
        let caller = Caller { principal: self.own.clone(), admission: None };
        self.begin(caller, OpId(0), self.now_ms)
    }

    /// A transaction that goes on with an open operation.
    pub(crate) fn begin_again(&mut self, id: OpId) -> Option<Tx> {
        let op = self.ops.get(id)?;
        let caller = Caller { principal: op.caller.clone(), admission: None };
        let started_ms = op.started_ms;
        Some(self.begin(caller, id, started_ms))
    }

    /// Finds out again who the caller is. False when its process has ended.
    pub(crate) fn readmit(&mut self, tx: &mut Tx) -> bool {
        let Some(pid) = tx.caller.pid() else {
            return true;
        };
        let admit = process::Admit { pid, run: 0, charge: Usage::default() };
        tx.caller.admission = self.ask(tx, admit).ok();
        tx.caller.admission.is_some()
    }

    /// Gives a transaction up: nothing it changed remains.
    pub(crate) fn rollback(&mut self, tx: Tx) {
        self.parts.rollback();
        self.ops.rollback();
        self.labels.rollback();
        self.keep_buffers(tx);
    }

    fn keep_buffers(&mut self, tx: Tx) {
        let Tx { mut blobs, mut outputs, mut events, mut encoded, mut blocked, .. } = tx;
        blobs.clear();
        outputs.clear();
        events.clear();
        encoded.clear();
        blocked.clear();
        self.buffers = Buffers { blobs, outputs, events, encoded, blocked };
    }

    // ---- events of operations ----------------------------------------------------------------

    /// Adds an event of an operation other than its end.
    pub(crate) fn emit(&mut self, tx: &mut Tx, event: OpEvent) {
        match &event {
            OpEvent::Admitted { .. } => tx.is_look = tx.count == 0,
            OpEvent::Blocked { op, .. } => {
                tx.blocked.push(*op);
                tx.is_look = false;
            }
            OpEvent::Loaded { .. } | OpEvent::Drawn { .. } | OpEvent::Excerpted { .. } => {
                tx.is_look = false;
            }
            OpEvent::Dispatched { op } => {
                let is_skipped = mutated("skip_intent_sync");
                tx.sync |= !is_skipped && self.ops.get(*op).is_some_and(must_be_durable);
                tx.is_look = false;
            }
            OpEvent::Decided { .. } | OpEvent::Settled { .. } => {}
        }
        tx.changed |= !matches!(event, OpEvent::Blocked { .. });
        let event = Event::Op(event);
        encode(tx, &event);
        if let Event::Op(event) = event {
            self.ops.apply_op(self.now_ms, event);
        }
    }

    /// Adds an event of data labels.
    pub(crate) fn emit_label(&mut self, tx: &mut Tx, event: LabelEvent) {
        let event = Event::Label(event);
        encode(tx, &event);
        self.labels.apply(&event);
        tx.changed = true;
        tx.is_look = false;
    }

    /// Ends an operation: its outcome is recorded, remembered and told.
    pub(crate) fn settle(&mut self, tx: &mut Tx, id: OpId, mut outcome: Outcome, give_back: bool) {
        if let Ok(reply) = &mut outcome {
            let blobs = &mut tx.blobs;
            reply.texts(&mut |text| blobs.extend(text.spill()));
        }
        if let Some(op) = self.ops.get(id) {
            // Whoever ends it, it is its own process that was charged.
            let counts = op.caller.pid().is_some();
            let (reserved, charged) = (op.reserved, op.call.charge().estimated());
            let used = match give_back {
                true => Some(Usage::default()),
                false => op.call.used(&outcome),
            };
            tx.sync |= must_be_durable(op) && !mutated("skip_outcome_sync");
            if reserved {
                self.kernel_call(tx, capability::Settle { op: id, give_back });
            }
            if !charged.is_nothing() && counts {
                self.kernel_call(tx, process::Settle { op: id, used });
            }
        }
        self.flow_in(tx, id, &outcome);
        self.collect(tx, id, &mut outcome);
        self.conclude(tx, id, &outcome);
        tx.is_look &= outcome.is_ok();
        tx.changed = true;
        let outcome = self.record_end(tx, id, outcome);
        if self.watched
            && let Some(op) = self.ops.get(id)
            && let (Some(pid), true, None) = (op.caller.pid(), op.step.index > 0, op.step.parent)
        {
            tx.outputs.push(Output::Notice(Box::new(Notice::Step {
                pid,
                step: op.step.index,
                op: id,
                call: op.call.clone(),
                outcome: outcome.clone(),
            })));
        }
        let outcome_bytes = &tx.encoded[tx.encoded.len() - self.outcome_bytes..];
        self.ops.settled(id, outcome_bytes, code(&outcome));
        if let Some(ticket) = self.tickets.remove(&id) {
            tx.outputs.push(Output::Reply(ticket, outcome));
        }
    }

    /// Encodes the end of an operation; a reply that is too large becomes an error.
    pub(crate) fn record_end(&mut self, tx: &mut Tx, op: OpId, outcome: Outcome) -> Outcome {
        let from = tx.encoded.len();
        let event = Event::Op(OpEvent::Settled { op, outcome });
        encode(tx, &event);
        self.outcome_bytes = tx.encoded.len() - from - OUTCOME_AT;
        let Event::Op(OpEvent::Settled { outcome, .. }) = event else {
            unreachable!("it was made so above")
        };
        if outcome.is_ok() && self.outcome_bytes > REPLY_BYTES_MAX {
            tx.encoded.truncate(from);
            tx.count -= 1;
            let what = "bytes in one reply; ask for less at a time".into();
            let fault = Fault::Limit { what, limit: REPLY_BYTES_MAX as u64 };
            return self.record_end(tx, op, Err(fault.into()));
        }
        outcome
    }

    // ---- calls of components -----------------------------------------------------------------

    /// Has the component that owns the service of an open operation's call serve it.
    pub(crate) fn serve_op(&mut self, tx: &mut Tx, id: OpId) -> Result<Reply, Stop> {
        let Some(op) = self.ops.get(id) else { return Err(Fault::NoProcess.into()) };
        let result = call_parts(&mut self.parts, tx, self.now_ms, &op.call);
        self.after_call(tx, result)
    }

    fn after_call(&mut self, tx: &mut Tx, result: Result<Reply, Stop>) -> Result<Reply, Stop> {
        match &result {
            Err(Stop::Error(_)) => tx.events.truncate(tx.seen),
            _ => self.absorb(tx),
        }
        result
    }

    /// A typed call of the broker itself.
    pub(crate) fn ask<R: Request>(&mut self, tx: &mut Tx, request: R) -> Result<R::Reply, Error> {
        let name = R::INFO.name;
        let unsupported = || Fault::Unsupported { call: name.into() }.into();
        let result = call_parts(&mut self.parts, tx, self.now_ms, &request.into());
        match self.after_call(tx, result) {
            Ok(reply) => R::reply(reply).ok_or_else(unsupported),
            Err(Stop::Error(error)) => Err(error),
            Err(_) => Err(unsupported()),
        }
    }

    /// A call of the broker that its contract says cannot be refused.
    pub(crate) fn kernel_call<R: Request>(&mut self, tx: &mut Tx, request: R) -> Option<R::Reply> {
        let name = R::INFO.name;
        match self.ask(tx, request) {
            Ok(reply) => Some(reply),
            Err(error) => {
                debug_assert!(false, "{name} must not be refused: {error}");
                None
            }
        }
    }

    // ---- what follows from events ------------------------------------------------------------

    /// Lets the broker's own state see the events the components added, and does what follows from
    /// them within the same transaction.
    fn absorb(&mut self, tx: &mut Tx) {
        while tx.seen < tx.events.len() {
            let at = tx.seen;
            tx.seen += 1;
            // Calls made meanwhile add behind it; its place is kept for it.
            let event = std::mem::replace(&mut tx.events[at], PLACEHOLDER);
            encode(tx, &event);
            tx.sync |= must_be_durable_event(&event);
            tx.changed = true;
            tx.is_look = false;
            if !self.labels.is_quiet() {
                self.flow_along(tx, &event);
            }
            let told = match self.ops.has_subscribers() {
                true => self.occurrences(&event),
                false => Few::new(),
            };
            self.follow(tx, &event);
            for (of, what) in told {
                self.kernel_call(tx, events::Publish { of, what });
            }
            tx.events[at] = event;
        }
    }

    fn follow(&mut self, tx: &mut Tx, event: &Event) {
        match event {
            Event::Process(ProcessEvent::Ended { pid, .. } | ProcessEvent::Rewound { pid, .. }) => {
                let open: Vec<OpId> = self.ops.open_of(*pid).map(|(id, _)| id).collect();
                self.stop_run(tx, *pid);
                let open = self.taken(tx.op, &open);
                self.ops.apply(event);
                if self.ops.asks(*pid) {
                    self.kernel_call(tx, human::Cancel { pid: *pid });
                }
                self.abandon(tx, open);
                if let Event::Process(ProcessEvent::Rewound { .. }) = event {
                    return;
                }
                self.kernel_call(tx, capability::End { subject: *pid });
                self.end_tools(tx, *pid);
                if self.ops.has_subscribers() {
                    self.kernel_call(tx, events::EndSubscriber { pid: *pid });
                }
            }
            Event::Process(
                ProcessEvent::Committed { pid, .. } | ProcessEvent::Execed { pid, .. },
            ) => {
                let open: Vec<OpId> = self.ops.open_of(*pid).map(|(id, _)| id).collect();
                match event {
                    Event::Process(ProcessEvent::Execed { .. }) => self.stop_run(tx, *pid),
                    _ => drop(self.runs.remove(pid)),
                }
                let open = self.taken(tx.op, &open);
                self.ops.apply(event);
                self.abandon(tx, open);
                if matches!(event, Event::Process(ProcessEvent::Execed { .. })) {
                    self.end_tools(tx, *pid);
                }
            }
            Event::Process(ProcessEvent::Spawned {
                pid,
                parent: Some(parent),
                mode,
                owner,
                ..
            }) if mode.is_some() || owner.is_some() => self.carry_tools(tx, *parent, *pid),
            Event::Process(ProcessEvent::Paused { pid, .. }) => {
                self.stop_run(tx, *pid);
                self.ops.apply(event);
            }
            Event::Process(ProcessEvent::Cancelled { pid }) => self.cancel_waits(tx, *pid),
            Event::Object(ObjectEvent::Deleted { id } | ObjectEvent::Moved { from: id, .. }) => {
                self.kernel_call(tx, process::EndTasks { owner: *id });
            }
            _ => self.ops.apply(event),
        }
    }

    /// What an event means for whoever may subscribe to it, and of whom it is.
    fn occurrences(&self, event: &Event) -> Few<(Option<Pid>, Happened)> {
        Few::one(match event {
            Event::Process(ProcessEvent::Spawned { pid, parent: Some(parent), .. }) => {
                (Some(*parent), Happened::ChildMade { pid: *pid })
            }
            Event::Process(ProcessEvent::Ended { pid, parent: Some(parent), .. }) => {
                (Some(*parent), Happened::ChildEnded { pid: *pid })
            }
            Event::Process(ProcessEvent::Sent(message)) => {
                (Some(message.to), Happened::MessageCame { from: message.from })
            }
            Event::Object(
                ObjectEvent::Updated { id, version, .. }
                | ObjectEvent::Appended { id, version, .. },
            ) => (None, Happened::ObjectChanged { id: *id, version: *version }),
            Event::Object(
                ObjectEvent::Deleted { id }
                | ObjectEvent::Released { id, .. }
                | ObjectEvent::Moved { from: id, .. },
            ) => (None, Happened::ObjectGone { id: *id }),
            Event::Capability(CapabilityEvent::Granted(new)) => {
                (Some(new.subject), Happened::CapabilityGranted { capability: new.id })
            }
            Event::Capability(CapabilityEvent::Revoked { capability, subject, .. }) => {
                (Some(*subject), Happened::CapabilityRevoked { capability: *capability })
            }
            Event::Human(HumanEvent::Decided { request, .. }) => {
                let what = Happened::RequestAnswered { request: *request };
                return self
                    .ops
                    .askers(*request)
                    .iter()
                    .map(|(pid, _)| (Some(*pid), what))
                    .collect();
            }
            _ => return Few::new(),
        })
    }

    /// The open operations of a process that is about to lose its memo, as far as they are to be
    /// abandoned.
    fn taken(&self, own: OpId, open: &[OpId]) -> Vec<Abandoned> {
        let abandoned = |id: &OpId| {
            let op = self.ops.get(*id)?;
            Some(Abandoned {
                id: *id,
                wait: op.wait(),
                is_effect: op.state == OpState::Dispatched && !op.is_tool_call(),
                is_own: *id == own,
                reserved: op.reserved,
                estimated: !op.call.charge().estimated().is_nothing(),
            })
        };
        open.iter().filter_map(abandoned).collect()
    }

    /// Closes what a process leaves open when it ends or commits its quantum.
    fn abandon(&mut self, tx: &mut Tx, open: Vec<Abandoned>) {
        for op in open {
            if let Some(wait) = &op.wait {
                self.unwatch(op.id, wait);
            }
            if op.is_own {
                // It is answered like any other; what it took is taken.
                if op.reserved {
                    self.kernel_call(tx, capability::Settle { op: op.id, give_back: false });
                }
                continue;
            }
            if op.is_effect {
                tx.outputs.push(Output::Cancel(op.id));
                continue;
            }
            self.in_flight.remove(&op.id);
            tx.outputs.extend(self.tickets.remove(&op.id).map(Output::Forget));
            if op.reserved {
                self.kernel_call(tx, capability::Settle { op: op.id, give_back: true });
            }
            if op.estimated {
                let used = Some(Usage::default());
                self.kernel_call(tx, process::Settle { op: op.id, used });
            }
            drop(self.record_end(tx, op.id, Err(Fault::Cancelled.into())));
        }
    }

    /// Ends the waiting calls of a process that was asked to end.
    fn cancel_waits(&mut self, tx: &mut Tx, pid: Pid) {
        let waits: Vec<(OpId, process::Wait)> =
            self.ops.open_of(pid).filter_map(|(id, op)| Some((id, op.wait()?))).collect();
        if waits.is_empty() {
            return;
        }
        self.kernel_call(tx, human::Cancel { pid });
        for (id, wait) in waits {
            self.unwatch(id, &wait);
            self.settle(tx, id, Err(Fault::Cancelled.into()), true);
        }
        self.kernel_call(tx, process::Ready { pid });
    }

    /// Closes a transaction: one record, then what it lets out and whom it wakes.
    pub(crate) fn finish(&mut self, mut tx: Tx, out: &mut Outputs) {
        if tx.is_look && tx.caller.is_host() {
            // Nothing happened that anyone could want to know of later.
            self.parts.rollback();
            self.ops.rollback();
            self.labels.rollback();
            tx.outputs.drain(..).for_each(|output| out.push(output));
            return self.keep_buffers(tx);
        }
        for at in 0..tx.blocked.len() {
            let id = tx.blocked[at];
            if let Some(wait) = self.ops.get(id).and_then(Op::wait) {
                self.watch(id, &wait);
            }
        }
        for event in &tx.events {
            self.wake_for(event);
        }
        if tx.sync {
            out.sync();
        }
        let part = out.part();
        part.blobs.append(&mut tx.blobs);
        if self.watched {
            let notices = tx.events.iter().filter_map(notice_of);
            part.released.extend(notices.map(|notice| Output::Notice(Box::new(notice))));
        }
        part.released.append(&mut tx.outputs);
        if tx.count > 0 {
            part.records.push(self.now_ms, tx.count, &tx.encoded);
        }
        if mutated("perform_before_intent") {
            out.hurry_effects();
        }
        self.keep_buffers(tx);
    }

    /// Wakes whoever waits for what an event says.
    fn wake_for(&mut self, event: &Event) {
        match event {
            Event::Process(ProcessEvent::Ended { .. }) if mutated("lose_child_wakeup") => {}
            Event::Process(ProcessEvent::Ended { pid, .. }) => self.wake(&WaitOn::Child(*pid)),
            Event::Process(ProcessEvent::Resumed { pid }) => {
                let blocked = self.ops.open_of(*pid).filter(|(_, op)| op.is_blocked());
                self.woken.extend(blocked.map(|(id, _)| id));
            }
            Event::Process(ProcessEvent::Sent(message)) => match message.kind {
                MessageKind::Letter if mutated("lose_message_wakeup") => {}
                MessageKind::Letter => self.wake(&WaitOn::Message(message.to)),
                MessageKind::Interrupt => self.interrupted.push_back(message.to),
            },
            Event::Subscriber(SubscriberEvent::Told { pid, .. }) => {
                self.wake(&WaitOn::Event(*pid));
            }
            Event::Human(
                HumanEvent::Decided { request, .. } | HumanEvent::Cancelled { request },
            ) => self.wake(&WaitOn::Human(*request)),
            _ => {}
        }
    }
}

/// What an operation that loses its process, or its quantum, leaves to be closed.
struct Abandoned {
    id: OpId,
    wait: Option<process::Wait>,
    /// Its effect is under way.
    is_effect: bool,
    /// It is the very call that ended the quantum.
    is_own: bool,
    reserved: bool,
    estimated: bool,
}

/// Stands for an event while that is looked at.
const PLACEHOLDER: Event = Event::Process(ProcessEvent::Readied { pid: Pid(0) });

fn encode(tx: &mut Tx, event: &Event) {
    wire::encode_into(event, &mut tx.encoded);
    tx.count += 1;
}

fn call_parts(parts: &mut Parts, tx: &mut Tx, now_ms: u64, call: &Syscall) -> Result<Reply, Stop> {
    let frame = Frame { caller: &tx.caller, op: tx.op, started_ms: tx.started_ms, now_ms };
    parts.call(&frame, &mut tx.events, None, call)
}

/// Whether the intent and the end of an operation must be on disk before anything that follows
/// from them leaves the core. What is not durable is done again after a crash, with nothing
/// outside having changed.
fn must_be_durable(op: &Op) -> bool {
    let has_effect = !matches!(op.call.info().effect, EffectClass::State | EffectClass::Read)
        && !is_tool_call(&op.call);
    has_effect || matches!(op.caller, Principal::Host(_))
}

/// The same of an event of a component.
fn must_be_durable_event(event: &Event) -> bool {
    match event {
        Event::Op(_) => false,
        Event::Process(event) => !matches!(
            event,
            ProcessEvent::Started { .. }
                | ProcessEvent::Committed { .. }
                | ProcessEvent::Blocked { .. }
                | ProcessEvent::Readied { .. }
                | ProcessEvent::Charged { .. }
                | ProcessEvent::Settled { .. }
                | ProcessEvent::Activated { .. }
        ),
        Event::Subscriber(_) | Event::Label(_) => false,
        Event::Capability(_)
        | Event::Object(_)
        | Event::Human(_)
        | Event::Image(_)
        | Event::Checkpoint(_)
        | Event::Tool(_) => true,
    }
}

fn notice_of(event: &Event) -> Option<Notice> {
    Some(match event {
        Event::Human(HumanEvent::Opened(request)) => Notice::Asked(request.id),
        Event::Human(HumanEvent::Joined { request, .. }) => Notice::Asked(*request),
        Event::Human(HumanEvent::Output { pid, message, .. }) => {
            Notice::Output { pid: *pid, message: message.clone() }
        }
        Event::Process(ProcessEvent::Spawned { pid, parent, goal, .. }) => {
            Notice::Spawned { pid: *pid, parent: *parent, goal: goal.clone() }
        }
        Event::Process(ProcessEvent::Ended { pid, ending, .. }) => {
            Notice::Ended { pid: *pid, ending: ending.clone() }
        }
        _ => return None,
    })
}
