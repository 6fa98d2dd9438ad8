//! The kernel: components, operations and the pipeline as one deterministic state machine.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use libos_abi::{
    CapId, Demand, Denial, DenyReason, Digest, EffectClass, Error, Event, Fault, FsPath, Json,
    Need, OpId, Outcome, Pid, Principal, Record, Reply, Request, Syscall, Text, capability,
    event::{HumanEvent, OpEvent, ProcessEvent, Step, Verdict},
    human,
    process::{self, Wait, WaitOn},
    wire,
};
use libos_port::{Caller, Decision, EffectOutcome, Query, Reconciled, Stop};

use crate::{
    ops::{Op, OpState, Ops, must_be_durable},
    output::{EffectOrder, Mode, Notice, Output, Outputs, Start, Ticket},
    parts::{Frame, Parts},
};

/// The most bytes a call may take besides its payloads, so that every record fits the journal:
/// an argument list of the size that operating systems allow.
pub const CALL_BYTES_MAX: usize = 256 << 10;

/// The most bytes a reply may take besides its payloads, for the same reason.
pub const REPLY_BYTES_MAX: usize = 2 << 20;

/// Something that reaches the core.
#[derive(Debug)]
pub enum Input {
    /// A call.
    Submit(Submission),
    /// What became of an effect.
    Finished {
        /// The operation.
        op: OpId,
        /// What.
        outcome: EffectOutcome,
    },
    /// What a provider knows of an effect that a crash interrupted.
    Reconciled {
        /// The operation.
        op: OpId,
        /// What.
        result: Reconciled,
    },
    /// Time has passed.
    Tick,
    /// So many more processes may run at once.
    Fill {
        /// How many.
        slots: usize,
    },
}

/// A call and who makes it.
#[derive(Debug)]
pub struct Submission {
    /// Where the reply goes.
    pub ticket: Ticket,
    /// Who. Written by the edge that holds the port, never by the caller.
    pub from: Submitter,
    /// The call as submitted.
    pub call: Syscall,
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub enum Submitter {
    /// The host's operator, under a name.
    Host(String),
    /// A run of a process.
    Process {
        /// The process.
        pid: Pid,
        /// The run.
        run: u64,
        /// The place in the quantum.
        step: Step,
    },
}

/// A submission made ready: payloads spilled, fingerprint taken.
struct Prepared {
    ticket: Ticket,
    from: Submitter,
    call: Syscall,
    fingerprint: u64,
    blobs: Vec<(Digest, Arc<[u8]>)>,
}

/// One transaction under way.
struct Tx {
    caller: Caller,
    op: OpId,
    started_ms: u64,
    events: Vec<Event>,
    /// How many events the broker's own state has seen.
    seen: usize,
    sync: bool,
    blobs: Vec<(Digest, Arc<[u8]>)>,
    outputs: Vec<Output>,
}

/// What authorization came to.
enum Authorized {
    Yes { by: Vec<CapId>, charges: Vec<capability::Charge> },
    Ask { by: Vec<CapId>, needs: Vec<Need> },
    No(Denial),
}

/// The core: deterministic, without clock, randomness, threads or I/O.
pub struct Kernel {
    parts: Parts,
    /// The services that providers perform effects for.
    provided: BTreeSet<&'static str>,
    ops: Ops,
    saved: Ops,
    now_ms: u64,

    // What follows is derived from the state or lives only as long as the host process.
    /// The current run of each running process.
    runs: BTreeMap<Pid, u64>,
    tickets: BTreeMap<OpId, Ticket>,
    in_flight: BTreeSet<OpId>,
    waiters: BTreeMap<WaitOn, BTreeSet<OpId>>,
    timers: BTreeSet<(u64, OpId)>,
    woken: VecDeque<OpId>,
}

impl Kernel {
    /// A kernel with no history.
    #[must_use]
    pub fn new(parts: Parts, provided: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            parts,
            provided: provided.into_iter().collect(),
            ops: Ops::default(),
            saved: Ops::default(),
            now_ms: 0,
            runs: BTreeMap::new(),
            tickets: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            waiters: BTreeMap::new(),
            timers: BTreeSet::new(),
            woken: VecDeque::new(),
        }
    }

    /// Applies a record of the journal. After all records, call [`recover`](Self::recover) once.
    pub fn replay(&mut self, record: &Record) {
        self.now_ms = self.now_ms.max(record.at_ms);
        for event in &record.events {
            self.parts.apply(event);
            self.ops.apply(record.at_ms, event);
        }
    }

    /// A digest of the whole state: of the operations and of every component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digests = self.parts.digests();
        digests.push(self.ops.digest());
        Digest::of(&wire::encode(&digests))
    }

    /// When the next timer fires, in milliseconds since the epoch.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.first().map(|(until, _)| *until)
    }

    /// Whether nothing runs, nothing is under way and no timer is set: then only a caller from
    /// outside can make anything happen.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty()
            && self.in_flight.is_empty()
            && self.timers.is_empty()
            && self.woken.is_empty()
    }

    /// How many processes run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// Takes one input.
    pub fn step(&mut self, now_ms: u64, input: Input, out: &mut Outputs) {
        self.now_ms = self.now_ms.max(now_ms);
        match input {
            Input::Submit(submission) => self.submit(submission, out),
            Input::Finished { op, outcome } => self.finished(op, outcome, out),
            Input::Reconciled { op, result } => self.reconciled(op, result, out),
            Input::Tick => {}
            Input::Fill { slots } => self.fill(slots, out),
        }
        self.fire();
        while let Some(op) = self.woken.pop_front() {
            self.resume(op, out);
        }
    }

    /// Takes up what the journal left open: running processes run again, timers are set, effects
    /// under way are settled by their class.
    pub fn recover(&mut self, now_ms: u64, out: &mut Outputs) {
        self.now_ms = self.now_ms.max(now_ms);
        let kernel = Caller { principal: Principal::Host("kernel".into()), admission: None };
        let mut tx = self.begin(kernel, OpId(0), self.now_ms);
        self.kernel_call(&mut tx, process::Recover {});
        self.finish(tx, out);
        let open: Vec<(OpId, Op)> = self.ops.ops.iter().map(|(id, op)| (*id, op.clone())).collect();
        for (id, op) in open {
            if let Some(wait) = op.wait() {
                self.watch(id, &wait);
                let answered = matches!(op.state, OpState::Approving { decision: Some(_), .. });
                if answered || !op.is_tool_call() {
                    self.woken.push_back(id);
                }
            } else if op.state == OpState::Dispatched && !op.is_tool_call() {
                self.recover_effect(id, &op, out);
            }
        }
        self.step(now_ms, Input::Tick, out);
    }

    fn recover_effect(&mut self, id: OpId, op: &Op, out: &mut Outputs) {
        let mode = match op.call.info().effect {
            EffectClass::State | EffectClass::Read | EffectClass::Idempotent => Mode::Perform,
            EffectClass::Reconcilable => Mode::Reconcile,
            EffectClass::Irreversible => {
                let lost = EffectOutcome::Unknown("the host ended while it was under way".into());
                return self.finished(id, lost, out);
            }
        };
        let mut tx = self.begin_again(op, id);
        let admitted = self.readmit(&mut tx);
        if admitted {
            self.order(&mut tx, id, mode);
            self.finish(tx, out);
        } else {
            // Its process has ended: nobody waits, and nothing more may be done for it.
            self.rollback();
            self.finished(id, EffectOutcome::Unknown("its process has ended".into()), out);
        }
    }

    // ---- submissions -------------------------------------------------------------------------

    fn submit(&mut self, submission: Submission, out: &mut Outputs) {
        let ticket = submission.ticket;
        let prepared = match prepare(submission) {
            Ok(prepared) => prepared,
            Err(fault) => return out.push(Output::Reply(ticket, Err(fault.into()))),
        };
        if let Submitter::Process { pid, run, step } = prepared.from {
            if self.runs.get(&pid) != Some(&run) {
                return out.push(Output::Reply(ticket, Err(Fault::StaleRun.into())));
            }
            let known = (step.index > 0).then(|| self.ops.at(pid, step)).flatten();
            if let Some(op) = known {
                return self.again(op, pid, &prepared, out);
            }
        }
        if let Err(error) = self.attempt(&prepared, None, out) {
            match error {
                // Not a call of a live process, so not its history either.
                Error::Fault(Fault::NoProcess | Fault::StaleRun) => {
                    out.push(Output::Reply(ticket, Err(error)));
                }
                error => {
                    let recorded = self.attempt(&prepared, Some(error), out);
                    debug_assert!(recorded.is_ok(), "recording a refusal cannot be refused");
                }
            }
        }
    }

    /// A step that was submitted before: its recorded outcome, or its reply once there is one.
    fn again(&mut self, id: OpId, pid: Pid, prepared: &Prepared, out: &mut Outputs) {
        let op = self.ops.ops[&id].clone();
        if op.fingerprint != prepared.fingerprint {
            let fault = Fault::Diverged {
                recorded: op.call.info().name.into(),
                called: prepared.call.info().name.into(),
            };
            return out.push(Output::Reply(prepared.ticket, Err(fault.into())));
        }
        match &op.state {
            OpState::Done(outcome) => {
                out.push(Output::Reply(prepared.ticket, (**outcome).clone()));
            }
            OpState::Dispatched if !self.in_flight.contains(&id) => {
                self.tickets.insert(id, prepared.ticket);
                let mut tx = self.begin_again(&op, id);
                if self.readmit(&mut tx) {
                    self.order(&mut tx, id, Mode::Perform);
                }
                self.finish(tx, out);
            }
            _ => {
                self.tickets.insert(id, prepared.ticket);
                let mut tx = self.begin_again(&op, id);
                self.park_if_blocked(&mut tx, pid);
                self.finish(tx, out);
            }
        }
    }

    /// Takes a new call through the pipeline in one transaction. With `refusal`, everything but
    /// serving it is done and it is settled with that error: this is how a call that was refused
    /// after it was admitted gets into the record while nothing it changed remains.
    fn attempt(
        &mut self,
        prepared: &Prepared,
        refusal: Option<Error>,
        out: &mut Outputs,
    ) -> Result<(), Error> {
        let principal = match &prepared.from {
            Submitter::Host(name) => Principal::Host(name.clone()),
            Submitter::Process { pid, .. } => Principal::Process(*pid),
        };
        let step = match prepared.from {
            Submitter::Host(_) => Step { parent: None, index: 0 },
            Submitter::Process { step, .. } => step,
        };
        let caller = Caller { principal, admission: None };
        let id = OpId(self.ops.last + 1);
        let mut tx = self.begin(caller, id, self.now_ms);
        tx.blobs.clone_from(&prepared.blobs);
        let mut call = prepared.call.clone();
        let admitted = self
            .admit(&mut tx, &prepared.from)
            .and_then(|()| canonicalize(&mut call, &tx.caller).map_err(Error::from));
        if let (Err(error), None) = (&admitted, &refusal) {
            let error = error.clone();
            self.rollback();
            return Err(error);
        }
        let caller = tx.caller.principal.clone();
        let fingerprint = prepared.fingerprint;
        let admission = OpEvent::Admitted { op: id, caller, step, fingerprint, call };
        self.emit(&mut tx, admission);
        self.tickets.insert(id, prepared.ticket);
        let result = match (admitted, refusal) {
            (Ok(()), refusal) => self.decide_and_serve(&mut tx, id, refusal),
            (Err(_), Some(error)) => {
                self.settle(&mut tx, id, Err(error), true);
                Ok(())
            }
            (Err(_), None) => unreachable!("returned above"),
        };
        match result {
            Ok(()) => self.finish(tx, out),
            Err(_) => {
                self.tickets.remove(&id);
                self.rollback();
            }
        }
        result
    }

    fn admit(&mut self, tx: &mut Tx, from: &Submitter) -> Result<(), Error> {
        let Submitter::Process { pid, run, step } = from else { return Ok(()) };
        // The call that closes a quantum costs nothing: a process over its budget can still end.
        let run = if step.index == 0 { 0 } else { *run };
        let admission = self.ask(tx, process::Admit { pid: *pid, run })?;
        tx.caller.admission = Some(admission);
        Ok(())
    }

    /// demand > authorize > approve > intend > perform
    fn decide_and_serve(
        &mut self,
        tx: &mut Tx,
        id: OpId,
        refusal: Option<Error>,
    ) -> Result<(), Error> {
        let call = Arc::clone(&self.ops.ops[&id].call);
        match self.authorize(tx, id, &call) {
            Authorized::No(denial) => {
                self.deny(tx, id, denial);
                Ok(())
            }
            // The call that closes a quantum has nobody to wait: what would have to be asked about
            // is not allowed.
            Authorized::Ask { needs, .. } if self.is_bookkeeping(id) => {
                let need = needs.into_iter().next();
                self.deny(tx, id, Denial { need, reason: DenyReason::NoGrant });
                Ok(())
            }
            Authorized::Ask { by, needs } => match refusal {
                Some(error) => {
                    self.settle(tx, id, Err(error), true);
                    Ok(())
                }
                None => self.ask_human(tx, id, &call, by, needs),
            },
            Authorized::Yes { by, charges } => {
                self.emit(tx, OpEvent::Decided { op: id, verdict: Verdict::Allowed(by) });
                if let Some(error) = refusal {
                    self.settle(tx, id, Err(error), true);
                    return Ok(());
                }
                if !charges.is_empty() {
                    self.kernel_call(tx, capability::Reserve { op: id, charges });
                }
                self.serve(tx, id, &call)
            }
        }
    }

    /// Records a denial as a decision and as what the operation ended in; nothing is spent.
    fn deny(&mut self, tx: &mut Tx, id: OpId, denial: Denial) {
        let verdict = Verdict::Denied(denial.clone());
        self.emit(tx, OpEvent::Decided { op: id, verdict });
        self.settle(tx, id, Err(Fault::Denied { denial }.into()), true);
    }

    fn is_bookkeeping(&self, id: OpId) -> bool {
        self.ops.ops.get(&id).is_some_and(|op| op.caller.pid().is_some() && op.step.index == 0)
    }

    fn authorize(&mut self, tx: &Tx, id: OpId, call: &Arc<Syscall>) -> Authorized {
        let allowed = || Authorized::Yes { by: Vec::new(), charges: Vec::new() };
        let refused = |reason| Authorized::No(Denial { need: None, reason });
        let demand = call.demand();
        let needs = match (&tx.caller.principal, demand) {
            (_, Demand::Kernel) => return refused(DenyReason::NotForProcesses),
            (Principal::Host(_), _) | (_, Demand::Own) => return allowed(),
            (Principal::Process(_), Demand::Host) => return refused(DenyReason::NotForProcesses),
            (Principal::Process(_), Demand::Rights(needs)) => needs,
        };
        let (Some(pid), Some(admission)) = (tx.caller.pid(), &tx.caller.admission) else {
            return refused(DenyReason::NotForProcesses);
        };
        let decision = self.parts.decide(&Query {
            subject: pid,
            ancestors: &admission.ancestors,
            needs: &needs,
            call,
            digest: &|| call.digest(),
            op: id,
            now_ms: self.now_ms,
        });
        match decision {
            Decision::Allow { by, charges } => Authorized::Yes { by, charges },
            Decision::Ask { by } => Authorized::Ask { by, needs },
            Decision::Deny(denial) => Authorized::No(denial),
        }
    }

    fn ask_human(
        &mut self,
        tx: &mut Tx,
        id: OpId,
        call: &Syscall,
        by: Vec<CapId>,
        needs: Vec<Need>,
    ) -> Result<(), Error> {
        let Some(pid) = tx.caller.pid() else {
            return Err(Fault::NoProcess.into());
        };
        let approval = human::Approval {
            call: call.info().name.into(),
            args: full_arguments(call, tx),
            digest: call.digest(),
            needs,
            asked_by: by.clone(),
        };
        let opened = self.ask(tx, human::Open { op: id, pid, approval })?;
        let request = opened.request;
        self.emit(tx, OpEvent::Decided { op: id, verdict: Verdict::Asked { by, request } });
        self.block(tx, id, Wait { on: WaitOn::Human(request), until_ms: None });
        Ok(())
    }

    /// Has the component that owns the service serve the call, or a provider perform it.
    fn serve(&mut self, tx: &mut Tx, id: OpId, call: &Arc<Syscall>) -> Result<(), Error> {
        let served = if self.parts.serves(call) {
            self.call_component(tx, call)
        } else {
            Err(Stop::Perform)
        };
        match served {
            Ok(reply) => self.settle(tx, id, Ok(reply), false),
            Err(Stop::Wait(wait)) => self.block(tx, id, wait),
            Err(Stop::Perform) if !self.provided.contains(call.info().service) => {
                return Err(Fault::Unsupported { call: call.info().name.into() }.into());
            }
            Err(Stop::Perform) => {
                self.emit(tx, OpEvent::Dispatched { op: id });
                self.order(tx, id, Mode::Perform);
            }
            Err(Stop::Error(error)) => return Err(error),
        }
        Ok(())
    }

    // ---- effects -----------------------------------------------------------------------------

    fn order(&mut self, tx: &mut Tx, id: OpId, mode: Mode) {
        let op = &self.ops.ops[&id];
        let admission = tx.caller.admission.as_ref();
        let order = EffectOrder {
            op: id,
            run: op.caller.pid().map(|pid| (pid, self.runs.get(&pid).copied().unwrap_or(0))),
            call: (*op.call).clone(),
            cwd: admission.map_or_else(|| FsPath::from("workspace"), |a| a.cwd.clone()),
            workspace: admission.and_then(|a| a.workspace.clone()),
            mode,
        };
        self.in_flight.insert(id);
        tx.outputs.push(Output::Effect(Box::new(order)));
    }

    fn finished(&mut self, id: OpId, outcome: EffectOutcome, out: &mut Outputs) {
        self.in_flight.remove(&id);
        let Some(op) = self.ops.ops.get(&id).filter(|op| op.state == OpState::Dispatched).cloned()
        else {
            return;
        };
        let (outcome, give_back) = match outcome {
            EffectOutcome::Done(reply) => (Ok(reply), false),
            EffectOutcome::Failed(error) => (Err(error), false),
            EffectOutcome::NotStarted(error) => (Err(error), true),
            EffectOutcome::Unknown(_) => (Err(Fault::UnknownOutcome { op: id }.into()), false),
        };
        let mut tx = self.begin_again(&op, id);
        self.settle(&mut tx, id, outcome, give_back);
        self.finish(tx, out);
    }

    fn reconciled(&mut self, id: OpId, result: Reconciled, out: &mut Outputs) {
        let Some(op) = self.ops.ops.get(&id).filter(|op| op.state == OpState::Dispatched).cloned()
        else {
            return;
        };
        match result {
            Reconciled::Happened(reply) => self.finished(id, EffectOutcome::Done(reply), out),
            Reconciled::Unknown => self.finished(id, EffectOutcome::Unknown(String::new()), out),
            Reconciled::DidNotHappen => {
                let mut tx = self.begin_again(&op, id);
                if self.readmit(&mut tx) {
                    self.order(&mut tx, id, Mode::Perform);
                    self.finish(tx, out);
                } else {
                    self.rollback();
                    let ended = EffectOutcome::NotStarted(Fault::Cancelled.into());
                    self.finished(id, ended, out);
                }
            }
        }
    }

    // ---- waiting and waking ------------------------------------------------------------------

    fn block(&mut self, tx: &mut Tx, id: OpId, wait: Wait) {
        self.emit(tx, OpEvent::Blocked { op: id, wait });
        if let Some(pid) = tx.caller.pid() {
            self.park_if_blocked(tx, pid);
        }
    }

    /// A process all of whose open calls wait holds no run: it is data until one of them is woken.
    fn park_if_blocked(&mut self, tx: &mut Tx, pid: Pid) {
        if !self.runs.contains_key(&pid) {
            return;
        }
        let mut wait = None;
        for (_, op) in self.ops.open_of(pid) {
            if !op.is_blocked() && !op.is_tool_call() {
                return;
            }
            wait = wait.or_else(|| op.wait());
        }
        let Some(wait) = wait else { return };
        self.kernel_call(tx, process::Block { pid, wait });
        self.stop_run(tx, pid);
    }

    fn stop_run(&mut self, tx: &mut Tx, pid: Pid) {
        if self.runs.remove(&pid).is_none() {
            return;
        }
        let open: Vec<OpId> = self.ops.open_of(pid).map(|(id, _)| id).collect();
        for id in open {
            tx.outputs.extend(self.tickets.remove(&id).map(Output::Forget));
            if self.ops.ops.get(&id).is_some_and(Op::is_tool_call) {
                self.in_flight.remove(&id);
            }
        }
        tx.outputs.push(Output::Stop(pid));
    }

    fn watch(&mut self, id: OpId, wait: &Wait) {
        self.waiters.entry(wait.on.clone()).or_default().insert(id);
        if let Some(until) = wait.until_ms {
            self.timers.insert((until, id));
        }
    }

    fn unwatch(&mut self, id: OpId, wait: &Wait) {
        if let Some(waiting) = self.waiters.get_mut(&wait.on) {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.waiters.remove(&wait.on);
            }
        }
        if let Some(until) = wait.until_ms {
            self.timers.remove(&(until, id));
        }
    }

    fn fire(&mut self) {
        while let Some((until, id)) = self.timers.first().copied() {
            if until > self.now_ms {
                break;
            }
            self.timers.pop_first();
            self.woken.push_back(id);
        }
    }

    fn wake(&mut self, on: &WaitOn) {
        if let Some(waiting) = self.waiters.get(on) {
            self.woken.extend(waiting.iter().copied());
        }
    }

    /// Serves a waiting operation again.
    fn resume(&mut self, id: OpId, out: &mut Outputs) {
        let Some(op) = self.ops.ops.get(&id).filter(|op| op.is_blocked()).cloned() else {
            return;
        };
        // A process that is held does nothing, whatever was answered meanwhile: it is woken again
        // when it is released.
        let is_held = op.caller.pid().is_some_and(|pid| self.ops.is_held(pid));
        if is_held || matches!(op.state, OpState::Approving { decision: None, .. }) {
            return;
        }
        let old_wait = op.wait();
        let mut tx = self.begin_again(&op, id);
        if !self.readmit(&mut tx) {
            return self.rollback();
        }
        let result = match &op.state {
            OpState::Approving { decision: Some(human::Decision::Deny { .. }), .. } => {
                self.deny(&mut tx, id, Denial { need: None, reason: DenyReason::Human });
                Ok(())
            }
            OpState::Approving { .. } => self.decide_and_serve(&mut tx, id, None),
            _ => self.serve(&mut tx, id, &op.call),
        };
        if let Err(error) = result {
            self.rollback();
            tx = self.begin_again(&op, id);
            self.settle(&mut tx, id, Err(error), true);
        }
        let now = self.ops.ops.get(&id);
        let still = now.is_some_and(Op::is_blocked) && now.and_then(Op::wait) == old_wait;
        if still && !tx.events.iter().any(is_change) {
            // It waits as before: nothing to record.
            self.rollback();
            if let Some(wait) = old_wait {
                self.watch(id, &wait);
            }
            return;
        }
        if let (Some(wait), false) = (&old_wait, still) {
            self.unwatch(id, wait);
        }
        let is_open = self.ops.ops.get(&id).is_some_and(Op::is_blocked);
        if let (Some(pid), false) = (op.caller.pid(), is_open) {
            self.kernel_call(&mut tx, process::Ready { pid });
        }
        self.finish(tx, out);
    }

    fn fill(&mut self, slots: usize, out: &mut Outputs) {
        for _ in 0..slots {
            let kernel = Caller { principal: Principal::Host("kernel".into()), admission: None };
            let mut tx = self.begin(kernel, OpId(0), self.now_ms);
            let Some(order) = self.kernel_call(&mut tx, process::Next {}).flatten() else {
                return self.rollback();
            };
            self.runs.insert(order.pid, order.run);
            let steps_before = self.ops.memos.get(&order.pid).map_or(0, |memo| memo.steps_before);
            tx.outputs.push(Output::Start(Box::new(Start { order, steps_before })));
            self.finish(tx, out);
        }
    }

    // ---- settling ----------------------------------------------------------------------------

    fn settle(&mut self, tx: &mut Tx, id: OpId, mut outcome: Outcome, give_back: bool) {
        let Some(op) = self.ops.ops.get(&id).cloned() else {
            // Its process ended in this very transaction: its own last call.
            self.emit(tx, OpEvent::Settled { op: id, outcome: outcome.clone() });
            if let Some(ticket) = self.tickets.remove(&id) {
                tx.outputs.push(Output::Reply(ticket, outcome));
            }
            return;
        };
        if let Ok(reply) = &mut outcome {
            let blobs = &mut tx.blobs;
            reply.texts(&mut |text| blobs.extend(text.spill()));
            if wire::encode(reply).len() > REPLY_BYTES_MAX {
                let what = "bytes in one reply; ask for less at a time".into();
                outcome = Err(Fault::Limit { what, limit: REPLY_BYTES_MAX as u64 }.into());
            }
        }
        if op.reserved {
            self.kernel_call(tx, capability::Settle { op: id, give_back });
        }
        self.emit(tx, OpEvent::Settled { op: id, outcome: outcome.clone() });
        if let (Some(pid), true, None) = (op.caller.pid(), op.step.index > 0, op.step.parent) {
            tx.outputs.push(Output::Notice(Notice::Step {
                pid,
                step: op.step.index,
                op: id,
                call: (*op.call).clone(),
                outcome: outcome.clone(),
            }));
        }
        if let Some(ticket) = self.tickets.remove(&id) {
            tx.outputs.push(Output::Reply(ticket, outcome));
        }
    }

    /// Closes what a process leaves open when it ends or commits its quantum.
    fn abandon(&mut self, tx: &mut Tx, open: Vec<(OpId, Op)>) {
        for (id, op) in open {
            if let Some(wait) = op.wait() {
                self.unwatch(id, &wait);
            }
            match op.state {
                OpState::Dispatched if !op.is_tool_call() => tx.outputs.push(Output::Cancel(id)),
                OpState::Admitted => {}
                _ => {
                    self.in_flight.remove(&id);
                    tx.outputs.extend(self.tickets.remove(&id).map(Output::Forget));
                    if op.reserved {
                        self.kernel_call(tx, capability::Settle { op: id, give_back: true });
                    }
                    let outcome = Err(Fault::Cancelled.into());
                    self.emit(tx, OpEvent::Settled { op: id, outcome });
                }
            }
        }
    }

    // ---- transactions ------------------------------------------------------------------------

    fn begin(&mut self, caller: Caller, op: OpId, started_ms: u64) -> Tx {
        self.parts.begin();
        self.saved = self.ops.clone();
        Tx {
            caller,
            op,
            started_ms,
            events: Vec::new(),
            seen: 0,
            sync: false,
            blobs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// A transaction that goes on with an operation.
    fn begin_again(&mut self, op: &Op, id: OpId) -> Tx {
        let caller = Caller { principal: op.caller.clone(), admission: None };
        self.begin(caller, id, op.started_ms)
    }

    /// Finds out again who the caller is. False when its process has ended.
    fn readmit(&mut self, tx: &mut Tx) -> bool {
        let Some(pid) = tx.caller.pid() else {
            return true;
        };
        tx.caller.admission = self.ask(tx, process::Admit { pid, run: 0 }).ok();
        tx.caller.admission.is_some()
    }

    fn rollback(&mut self) {
        self.parts.rollback();
        self.ops = self.saved.clone();
    }

    fn emit(&mut self, tx: &mut Tx, event: OpEvent) {
        tx.events.push(event.into());
        self.absorb(tx);
    }

    fn call_component(&mut self, tx: &mut Tx, call: &Syscall) -> Result<Reply, Stop> {
        let frame =
            Frame { caller: &tx.caller, op: tx.op, started_ms: tx.started_ms, now_ms: self.now_ms };
        let result = self.parts.call(&frame, &mut tx.events, None, call);
        match &result {
            Err(Stop::Error(_)) => tx.events.truncate(tx.seen),
            _ => self.absorb(tx),
        }
        result
    }

    /// A typed call of the broker itself.
    fn ask<R: Request>(&mut self, tx: &mut Tx, request: R) -> Result<R::Reply, Error> {
        let name = R::INFO.name;
        match self.call_component(tx, &request.into()) {
            Ok(reply) => {
                R::reply(reply).ok_or_else(|| Fault::Unsupported { call: name.into() }.into())
            }
            Err(Stop::Error(error)) => Err(error),
            Err(_) => Err(Fault::Unsupported { call: name.into() }.into()),
        }
    }

    /// A call of the broker that its contract says cannot be refused.
    fn kernel_call<R: Request>(&mut self, tx: &mut Tx, request: R) -> Option<R::Reply> {
        let name = R::INFO.name;
        match self.ask(tx, request) {
            Ok(reply) => Some(reply),
            Err(error) => {
                debug_assert!(false, "{name} must not be refused: {error}");
                None
            }
        }
    }

    /// Lets the broker's own state see the events the components added, and does what follows from
    /// them within the same transaction.
    fn absorb(&mut self, tx: &mut Tx) {
        while tx.seen < tx.events.len() {
            let event = tx.events[tx.seen].clone();
            tx.seen += 1;
            tx.sync |= must_be_durable(&event, &self.ops);
            match &event {
                Event::Process(ProcessEvent::Ended { pid, .. }) => {
                    let open: Vec<(OpId, Op)> =
                        self.ops.open_of(*pid).map(|(id, op)| (id, op.clone())).collect();
                    self.stop_run(tx, *pid);
                    self.ops.apply(self.now_ms, &event);
                    self.kernel_call(tx, human::Cancel { pid: *pid });
                    self.abandon(tx, open);
                    self.kernel_call(tx, capability::End { subject: *pid });
                }
                Event::Process(ProcessEvent::Committed { pid, .. }) => {
                    let open: Vec<(OpId, Op)> =
                        self.ops.open_of(*pid).map(|(id, op)| (id, op.clone())).collect();
                    self.runs.remove(pid);
                    self.ops.apply(self.now_ms, &event);
                    self.abandon(tx, open);
                }
                Event::Process(ProcessEvent::Paused { pid, .. }) => {
                    self.stop_run(tx, *pid);
                    self.ops.apply(self.now_ms, &event);
                }
                _ => self.ops.apply(self.now_ms, &event),
            }
        }
    }

    /// Closes a transaction: one record, then what it lets out and whom it wakes.
    fn finish(&mut self, tx: Tx, out: &mut Outputs) {
        if is_look_by_host(&tx) {
            // Nothing happened that anyone could want to know of later.
            self.rollback();
            return tx.outputs.into_iter().for_each(|output| out.push(output));
        }
        for event in &tx.events {
            self.watch_event(event);
        }
        if tx.sync {
            out.sync();
        }
        let notices = tx.events.iter().filter_map(notice_of).map(Output::Notice);
        let part = out.part();
        part.blobs.extend(tx.blobs);
        part.released.extend(notices);
        part.released.extend(tx.outputs);
        if !tx.events.is_empty() {
            part.records.push(Record { at_ms: self.now_ms, events: tx.events });
        }
    }

    fn watch_event(&mut self, event: &Event) {
        match event {
            Event::Op(OpEvent::Blocked { op, wait })
                if self.ops.ops.get(op).is_some_and(Op::is_blocked) =>
            {
                self.watch(*op, wait);
            }
            Event::Process(ProcessEvent::Ended { pid, .. }) => self.wake(&WaitOn::Child(*pid)),
            Event::Process(ProcessEvent::Resumed { pid }) => {
                let blocked = self.ops.open_of(*pid).filter(|(_, op)| op.is_blocked());
                self.woken.extend(blocked.map(|(id, _)| id));
            }
            Event::Process(ProcessEvent::Sent(message)) => {
                self.wake(&WaitOn::Message(message.to));
            }
            Event::Human(
                HumanEvent::Decided { request, .. } | HumanEvent::Cancelled { request },
            ) => self.wake(&WaitOn::Human(*request)),
            _ => {}
        }
    }
}

/// Whether the host's operator only looked at kernel state.
fn is_look_by_host(tx: &Tx) -> bool {
    let is_whole = matches!(tx.events.first(), Some(Event::Op(OpEvent::Admitted { .. })));
    tx.caller.is_host()
        && is_whole
        && tx.events.iter().all(|event| match event {
            Event::Op(OpEvent::Admitted { .. } | OpEvent::Decided { .. }) => true,
            Event::Op(OpEvent::Settled { outcome, .. }) => outcome.is_ok(),
            _ => false,
        })
}

/// Whether an event of a resumed operation says more than that it waits on.
fn is_change(event: &Event) -> bool {
    !matches!(event, Event::Op(OpEvent::Blocked { .. }))
}

fn notice_of(event: &Event) -> Option<Notice> {
    Some(match event {
        Event::Human(HumanEvent::Opened(request)) => Notice::Asked(request.id),
        Event::Human(HumanEvent::Output { pid, message, .. }) => {
            Notice::Output { pid: *pid, message: message.clone() }
        }
        Event::Process(ProcessEvent::Spawned { pid, parent, goal, .. }) => {
            Notice::Spawned { pid: *pid, parent: *parent, goal: goal.clone() }
        }
        Event::Process(ProcessEvent::Ended { pid, ending }) => {
            Notice::Ended { pid: *pid, ending: ending.clone() }
        }
        _ => return None,
    })
}

/// Refuses payload references from callers, spills large payloads and takes the fingerprint.
fn prepare(submission: Submission) -> Result<Prepared, Fault> {
    let Submission { ticket, from, mut call } = submission;
    let mut blobs = Vec::new();
    let mut referred = false;
    call.texts(&mut |text| {
        referred |= matches!(text, Text::Blob { .. });
        blobs.extend(text.spill());
    });
    if referred {
        return Err(Fault::bad(
            "a call carries its payloads itself; it cannot refer to stored ones",
        ));
    }
    let encoded = wire::encode(&call);
    if encoded.len() > CALL_BYTES_MAX {
        let what = "bytes in one call besides its payloads".into();
        return Err(Fault::Limit { what, limit: CALL_BYTES_MAX as u64 });
    }
    let digest = Digest::of(&encoded).0;
    let fingerprint = digest[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    Ok(Prepared { ticket, from, call, fingerprint, blobs })
}

fn canonicalize(call: &mut Syscall, caller: &Caller) -> Result<(), Fault> {
    let workspace = FsPath::from("workspace");
    let cwd = caller.admission.as_ref().map_or(&workspace, |admission| &admission.cwd);
    let mut result = Ok(());
    call.paths(&mut |path| match path.canonical(&cwd.0) {
        Ok(canonical) => *path = canonical,
        Err(fault) => result = Err(fault),
    });
    result
}

/// The arguments of a call for a person to read, with payloads in full where they are at hand.
fn full_arguments(call: &Syscall, tx: &mut Tx) -> Json {
    let mut full = call.clone();
    full.texts(&mut |text| {
        let bytes = tx.blobs.iter().find(|(digest, _)| *digest == text.digest());
        if let Some(shown) = bytes.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()) {
            *text = Text::from(shown);
        }
    });
    let value = full.args_json().unwrap_or_default();
    let mut json = Json::from(&value);
    tx.blobs.extend(json.0.spill());
    json
}
