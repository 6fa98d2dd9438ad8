//! The kernel: components, operations and the pipeline as one deterministic state machine.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use libos_abi::{
    CapId, Demand, Denial, DenyReason, Digest, Error, Event, Fault, Few, Json, Need, OpId, Pid,
    Principal, Record, Syscall, capability,
    event::{OpEvent, ProcessEvent, Step, Verdict},
    human,
    llm::Terms,
    message,
    process::{self, Usage, Wait, WaitOn},
    wire,
};
use libos_port::{Caller, Decision, EffectOutcome, Query, Reconciled, Stop, mutated};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    fingerprint::fingerprint,
    flow::Exceeding,
    labels::{LabelRules, Labels},
    ops::{OpState, Ops, is_tool_call},
    output::{Mode, Output, Outputs, Start, Ticket},
    parts::Parts,
    tx::{Buffers, Tx},
};

/// The most bytes a call may take besides its payloads, so that every record fits the journal:
/// an argument list of the size that operating systems allow.
pub const CALL_BYTES_MAX: usize = 256 << 10;

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
    /// Nothing came for a while: runs that only wait have said what they had to say.
    Quiet,
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
    Host(Arc<str>),
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

/// How much a kernel keeps for what is under way. It does not grow with what is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Calls that are not over.
    pub calls: usize,
    /// Quanta with steps to remember.
    pub quanta: usize,
    /// Waits and timers.
    pub waits: usize,
    /// Callers and effects that something is expected of.
    pub tickets: usize,
}

/// A submission made ready: payloads spilled, fingerprint taken.
struct Prepared {
    ticket: Ticket,
    from: Submitter,
    call: Syscall,
    fingerprint: u64,
    blobs: Vec<(Digest, Arc<[u8]>)>,
}

/// What authorization came to.
pub(crate) enum Authorized {
    Yes {
        by: Few<CapId>,
        charges: Vec<capability::Charge>,
    },
    Ask {
        by: Few<CapId>,
        needs: Few<Need>,
    },
    No(Denial),
    /// Authority would let it through, and its data is above the clearance of a sink.
    Over(Exceeding),
}

/// The core: deterministic, without clock, randomness, threads or I/O.
pub struct Kernel {
    pub(crate) parts: Parts,
    /// The services that providers perform effects for.
    pub(crate) provided: BTreeSet<&'static str>,
    pub(crate) ops: Ops,
    pub(crate) labels: Labels,
    pub(crate) now_ms: u64,
    /// What exchanges with models can take, by profile.
    terms: BTreeMap<String, Terms>,

    // What follows is derived from the state or lives only as long as the host process.
    /// The kernel itself as a caller.
    pub(crate) own: Principal,
    /// Whether anyone wants notices.
    pub(crate) watched: bool,
    /// The current run of each running process.
    pub(crate) runs: FxHashMap<Pid, u64>,
    pub(crate) tickets: FxHashMap<OpId, Ticket>,
    pub(crate) in_flight: FxHashSet<OpId>,
    /// Effects that are performed again since a crash: they may have happened before it.
    pub(crate) repeated: FxHashSet<OpId>,
    pub(crate) waiters: BTreeSet<(WaitOn, OpId)>,
    pub(crate) timers: BTreeSet<(u64, OpId)>,
    pub(crate) woken: VecDeque<OpId>,
    /// Processes that an interrupt was sent to.
    pub(crate) interrupted: VecDeque<Pid>,
    pub(crate) buffers: Buffers,
    /// How many bytes the outcome took that was encoded last.
    pub(crate) outcome_bytes: usize,
    /// Calls are encoded here to be measured and fingerprinted.
    scratch: Vec<u8>,
}

impl Kernel {
    /// A kernel with no history.
    #[must_use]
    pub fn new(parts: Parts, provided: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            parts,
            provided: provided.into_iter().collect(),
            ops: Ops::default(),
            labels: Labels::default(),
            now_ms: 0,
            terms: BTreeMap::new(),
            own: Principal::Host("kernel".into()),
            watched: true,
            runs: FxHashMap::default(),
            tickets: FxHashMap::default(),
            in_flight: FxHashSet::default(),
            repeated: FxHashSet::default(),
            waiters: BTreeSet::new(),
            timers: BTreeSet::new(),
            woken: VecDeque::new(),
            interrupted: VecDeque::new(),
            buffers: Buffers::default(),
            outcome_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Sets what the host says of data labels; nothing at first.
    pub fn set_label_rules(&mut self, rules: LabelRules) {
        self.labels.rules = rules;
    }

    /// Sets what the host says of models, by profile: what is set aside for a call goes by it.
    /// What was set aside is recorded, so other terms change nothing that has begun.
    pub fn set_terms(&mut self, terms: BTreeMap<String, Terms>) {
        self.terms = terms;
    }

    /// What a call may use at the most.
    pub(crate) fn charge(&self, call: &Syscall) -> Usage {
        call.charge_by(&|profile| self.terms.get(profile))
    }

    /// Applies a record of the journal. After all records, call [`recover`](Self::recover) once.
    pub fn replay(&mut self, record: Record) {
        self.now_ms = self.now_ms.max(record.at_ms);
        for event in record.events {
            let is_charge = matches!(event, Event::Process(ProcessEvent::Charged { .. }));
            if is_charge && mutated("replay_forgets_charges") {
                continue;
            }
            self.parts.apply(&event);
            self.labels.replay(&event);
            self.ops.replay(record.at_ms, event);
        }
    }

    /// A digest of the whole state: of the operations and of every component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digests = self.parts.digests();
        digests.push(self.ops.digest());
        digests.extend(self.labels.digest());
        Digest::of(&wire::encode(&digests))
    }

    /// Whether to make notices; a kernel that nobody watches saves the work. On at first.
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
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

    /// What is kept for calls that are not over and quanta that are not committed.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        let (calls, quanta) = self.ops.counts();
        let waits = self.waiters.len() + self.timers.len() + self.woken.len();
        Remembered { calls, quanta, waits, tickets: self.tickets.len() + self.in_flight.len() }
    }

    /// Whether a provider is to tell what became of an operation.
    #[must_use]
    pub fn awaits(&self, op: OpId) -> bool {
        self.in_flight.contains(&op)
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
            Input::Quiet => self.quiet(out),
            // Whom a timer wakes takes part.
            Input::Fill { slots } => {
                let most = self.runs.len() + slots;
                self.wake_all(out);
                self.fill(slots, out);
                // Who gave up a slot may have been interrupted, and be able to run again.
                while self.wake_all(out) {
                    self.fill(most.saturating_sub(self.runs.len()), out);
                }
            }
        }
        self.wake_all(out);
    }

    /// Has everything go on that is due, or was woken or interrupted; whether there was anything.
    fn wake_all(&mut self, out: &mut Outputs) -> bool {
        self.fire();
        let mut has_woken = false;
        loop {
            if let Some(pid) = self.interrupted.pop_front() {
                self.interrupt(pid, out);
            } else if let Some(op) = self.woken.pop_front() {
                self.resume(op, out);
            } else {
                return has_woken;
            }
            has_woken = true;
        }
    }

    /// Takes up what the journal left open: running processes run again, timers are set, effects
    /// under way are settled by their class.
    pub fn recover(&mut self, now_ms: u64, out: &mut Outputs) {
        self.now_ms = self.now_ms.max(now_ms);
        let mut tx = self.begin_own();
        self.kernel_call(&mut tx, process::Recover {});
        self.finish(tx, out);
        for id in self.ops.all_open() {
            let Some(op) = self.ops.get(id) else { continue };
            let is_tool_call = op.is_tool_call();
            if let Some(wait) = op.wait() {
                let answered = matches!(op.state, OpState::Asking { decision: Some(_), .. });
                self.watch(id, &wait);
                if answered || !is_tool_call {
                    self.woken.push_back(id);
                }
            } else if op.state == OpState::Dispatched && !is_tool_call {
                self.recover_effect(id, out);
            }
        }
        self.step(now_ms, Input::Tick, out);
    }

    // ---- submissions -------------------------------------------------------------------------

    fn submit(&mut self, submission: Submission, out: &mut Outputs) {
        let ticket = submission.ticket;
        let prepared = match prepare(submission, &mut self.scratch) {
            Ok(prepared) => prepared,
            Err(fault) => return out.push(Output::Reply(ticket, Err(fault.into()))),
        };
        if let Submitter::Process { pid, run, step } = prepared.from {
            if self.runs.get(&pid) != Some(&run) && !mutated("accept_stale_run") {
                return out.push(Output::Reply(ticket, Err(Fault::StaleRun.into())));
            }
            let is_dropped = mutated("drop_memo");
            if step.index > 0 && !is_dropped && self.ops.at(pid, step).is_some() {
                return self.again(pid, step, &prepared, out);
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
    fn again(&mut self, pid: Pid, step: Step, prepared: &Prepared, out: &mut Outputs) {
        let Some(entry) = self.ops.at(pid, step) else { return };
        if entry.fingerprint != prepared.fingerprint {
            let fault = Fault::Diverged {
                recorded: entry.call.name.into(),
                called: prepared.call.info().name.into(),
            };
            return out.push(Output::Reply(prepared.ticket, Err(fault.into())));
        }
        let id = entry.op;
        if let Some(outcome) = self.ops.outcome(pid, entry) {
            return out.push(Output::Reply(prepared.ticket, outcome));
        }
        self.tickets.insert(id, prepared.ticket);
        let is_dispatched = self.ops.get(id).is_some_and(|op| op.state == OpState::Dispatched);
        let Some(mut tx) = self.begin_again(id) else { return };
        match is_dispatched && !self.in_flight.contains(&id) {
            true if self.readmit(&mut tx) => self.order(&mut tx, id, Mode::Perform),
            true => {}
            false => self.park_late(&mut tx, pid),
        }
        self.finish(tx, out);
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
        let (principal, step) = match &prepared.from {
            Submitter::Host(name) => {
                (Principal::Host(Arc::clone(name)), Step { parent: None, index: 0 })
            }
            Submitter::Process { pid, step, .. } => (self.principal(*pid, *step)?, *step),
        };
        let caller = Caller { principal, admission: None };
        let id = self.ops.next_id();
        let mut tx = self.begin(caller, id, self.now_ms);
        tx.blobs.extend(prepared.blobs.iter().cloned());
        let mut call = prepared.call.clone();
        let admitted = self
            .admit(&mut tx, &prepared.from, &call, refusal.as_ref())
            .and_then(|over| canonicalize(&mut call, &tx.caller).map(|()| over));
        let (over, is_decidable) = match (admitted, &refusal) {
            (Ok(over), _) => (over, true),
            (Err(_), Some(_)) => (None, false),
            (Err(fault), None) => {
                self.rollback(tx);
                return Err(fault.into());
            }
        };
        let caller = tx.caller.principal.clone();
        let fingerprint = prepared.fingerprint;
        let is_tool_call = is_tool_call(&call);
        let admission = OpEvent::Admitted { op: id, caller, step, fingerprint, call };
        self.emit(&mut tx, admission);
        self.tickets.insert(id, prepared.ticket);
        let is_interrupted =
            is_tool_call && tx.caller.admission.as_ref().is_some_and(|a| a.interrupted);
        let result = match (over, refusal) {
            // It never got as far as a decision.
            (_, Some(error)) if !is_decidable => {
                self.settle(&mut tx, id, Err(error), true);
                Ok(())
            }
            (None, None) if is_interrupted => self.deliver_interrupt(&mut tx, id),
            (None, refusal) => self.decide_and_serve(&mut tx, id, refusal),
            (Some(over), _) => self.ask_extension(&mut tx, id, over),
        };
        match result {
            Ok(()) => self.finish(tx, out),
            Err(_) => {
                self.tickets.remove(&id);
                self.rollback(tx);
            }
        }
        result
    }

    /// Admits a call of a process. What it would pass of a budget comes back: a human may extend
    /// it.
    fn admit(
        &mut self,
        tx: &mut Tx,
        from: &Submitter,
        call: &Syscall,
        refusal: Option<&Error>,
    ) -> Result<Option<Fault>, Fault> {
        let Submitter::Process { pid, run, step } = from else { return Ok(None) };
        let pid = *pid;
        let is_over = matches!(refusal, Some(Error::Fault(Fault::OverBudget { .. })));
        // The call that closes a quantum costs nothing: a process over its budget can still end.
        // One that passes a limit by what it would make is charged when it may be made after all.
        let (run, charge) = match step.index {
            0 => (0, Usage::default()),
            _ if is_over => (*run, Usage::default()),
            _ => (*run, self.charge(call)),
        };
        match self.ask(tx, process::Admit { pid, run, charge }) {
            Ok(admission) => {
                tx.caller.admission = Some(admission);
                Ok(None)
            }
            Err(Error::Fault(over @ Fault::OverBudget { .. })) => match self.readmit(tx) {
                true => Ok(Some(over)),
                false => Err(Fault::NoProcess),
            },
            Err(Error::Fault(fault)) => Err(fault),
            Err(error) => Err(Fault::bad(error.to_string())),
        }
    }

    /// demand > authorize > approve > intend > perform
    pub(crate) fn decide_and_serve(
        &mut self,
        tx: &mut Tx,
        id: OpId,
        refusal: Option<Error>,
    ) -> Result<(), Error> {
        match self.authorize(tx, id) {
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
            Authorized::Over(over) if !over.releasable || self.is_bookkeeping(id) => {
                let reason = over.reason();
                self.deny(tx, id, Denial { need: Some(over.need), reason });
                Ok(())
            }
            Authorized::Over(over) => match refusal {
                Some(error) => {
                    self.settle(tx, id, Err(error), true);
                    Ok(())
                }
                None => self.ask_release(tx, id, over),
            },
            Authorized::Ask { by, needs } => match refusal {
                Some(error) => {
                    self.settle(tx, id, Err(error), true);
                    Ok(())
                }
                None => self.ask_human(tx, id, by, needs),
            },
            Authorized::Yes { by, charges } => {
                self.emit(tx, OpEvent::Decided { op: id, verdict: Verdict::Allowed(by) });
                match refusal {
                    // What it would make passes a limit: like a call that does so itself.
                    Some(Error::Fault(over @ Fault::OverBudget { .. }))
                        if !self.is_bookkeeping(id) =>
                    {
                        return self.ask_extension(tx, id, over);
                    }
                    Some(error) => {
                        self.settle(tx, id, Err(error), true);
                        return Ok(());
                    }
                    None => {}
                }
                if !charges.is_empty() && !mutated("take_nothing") {
                    self.kernel_call(tx, capability::Reserve { op: id, charges });
                }
                self.serve(tx, id)
            }
        }
    }

    /// Records a denial as a decision and as what the operation ended in; nothing is spent.
    pub(crate) fn deny(&mut self, tx: &mut Tx, id: OpId, denial: Denial) {
        let verdict = Verdict::Denied(denial.clone());
        self.emit(tx, OpEvent::Decided { op: id, verdict });
        self.settle(tx, id, Err(Fault::Denied { denial }.into()), true);
    }

    fn is_bookkeeping(&self, id: OpId) -> bool {
        self.ops.get(id).is_some_and(|op| op.caller.pid().is_some() && op.step.index == 0)
    }

    pub(crate) fn authorize(&self, tx: &Tx, id: OpId) -> Authorized {
        let allowed = || Authorized::Yes { by: Few::new(), charges: Vec::new() };
        let refused = |reason| Authorized::No(Denial { need: None, reason });
        let Some(op) = self.ops.get(id) else { return refused(DenyReason::NotForProcesses) };
        if let Err(denial) = self.declared(op) {
            return Authorized::No(denial);
        }
        let needs = match (&tx.caller.principal, op.call.demand()) {
            (_, Demand::Kernel) => return refused(DenyReason::NotForProcesses),
            (Principal::Host(_), _) | (_, Demand::Own) => return allowed(),
            (_, Demand::Host) => return refused(DenyReason::NotForProcesses),
            (_, Demand::Human) => match &op.state {
                OpState::Asking { over: None, decision: Some(_), .. } => return allowed(),
                _ => return Authorized::Ask { by: Few::new(), needs: Few::new() },
            },
            (_, Demand::Rights(needs)) => needs,
        };
        let (Some(pid), Some(admission)) = (tx.caller.pid(), &tx.caller.admission) else {
            return refused(DenyReason::NotForProcesses);
        };
        let decision = self.parts.decide(&Query {
            subject: pid,
            ancestors: &admission.ancestors,
            needs: &needs,
            call: &op.call,
            digest: &|| op.digest(),
            op: id,
            label: self.mark(pid),
            now_ms: self.now_ms,
        });
        match decision {
            Decision::Allow { by, charges } => match self.exceeding(tx, op) {
                None => Authorized::Yes { by, charges },
                Some(over) => Authorized::Over(over),
            },
            Decision::Ask { by } => Authorized::Ask { by, needs },
            Decision::Deny(denial) => Authorized::No(denial),
        }
    }

    fn ask_human(
        &mut self,
        tx: &mut Tx,
        id: OpId,
        by: Few<CapId>,
        needs: Few<Need>,
    ) -> Result<(), Error> {
        self.draw(tx, id)?;
        let (Some(pid), Some(op)) = (tx.caller.pid(), self.ops.get(id)) else {
            return Err(Fault::NoProcess.into());
        };
        let approval = human::Approval {
            call: op.call.info().name.into(),
            args: full_arguments(&op.call, tx),
            digest: op.digest(),
            needs: needs.into_iter().collect(),
            asked_by: by.iter().copied().collect(),
        };
        let opened = self.ask(tx, human::Open { op: id, pid, approval })?;
        let request = opened.request;
        self.emit(tx, OpEvent::Decided { op: id, verdict: Verdict::Asked { by, request } });
        self.block(tx, id, Wait { on: WaitOn::Human(request), until_ms: None });
        Ok(())
    }

    /// Asks a human to raise the limit that the call would pass. A refusal is the fault itself.
    pub(crate) fn ask_extension(
        &mut self,
        tx: &mut Tx,
        id: OpId,
        over: Fault,
    ) -> Result<(), Error> {
        let asked = match (&over, tx.caller.pid(), self.ops.get(id)) {
            (Fault::OverBudget { of, kind, limit, used, more }, Some(pid), Some(op)) => {
                let call = op.call.info().name.into();
                let (of, kind, limit, used, more) = (*of, *kind, *limit, *used, *more);
                let open = human::OpenExtension { op: id, pid, of, kind, limit, used, more, call };
                self.ask(tx, open).ok()
            }
            _ => None,
        };
        match asked {
            Some(opened) => {
                self.block(tx, id, Wait { on: WaitOn::Human(opened.request), until_ms: None });
            }
            None => self.settle(tx, id, Err(over.into()), true),
        }
        Ok(())
    }

    /// Ends a call of a tool with the interrupt that came before it.
    pub(crate) fn deliver_interrupt(&mut self, tx: &mut Tx, id: OpId) -> Result<(), Error> {
        let Some(pid) = tx.caller.pid() else { return Err(Fault::NoProcess.into()) };
        let fault = match self.ask(tx, message::TakeInterrupt { pid })? {
            Some(message) => Fault::Interrupted {
                message: message.id,
                from: message.from,
                text: message.body.as_str().unwrap_or_default().to_owned(),
            },
            None => Fault::Cancelled,
        };
        self.settle(tx, id, Err(fault.into()), true);
        Ok(())
    }

    /// Has the component that owns the service serve the call, or a provider perform it.
    pub(crate) fn serve(&mut self, tx: &mut Tx, id: OpId) -> Result<(), Error> {
        let Some(op) = self.ops.get(id) else { return Err(Fault::NoProcess.into()) };
        Self::check_keeps(tx, op)?;
        let info = op.call.info();
        let served = match &op.call {
            Syscall::Label(_) => self.serve_label(tx, id),
            call if self.parts.serves(call) => self.serve_op(tx, id),
            _ => Err(Stop::Perform),
        };
        match served {
            Ok(reply) => self.settle(tx, id, Ok(reply), false),
            // What came before it ends a wait like what comes during it.
            Err(Stop::Wait(_)) if tx.caller.admission.as_ref().is_some_and(|a| a.interrupted) => {
                self.deliver_interrupt(tx, id)?;
            }
            Err(Stop::Wait(wait)) => self.block(tx, id, wait),
            Err(Stop::Perform | Stop::Run(_)) if !self.provided.contains(info.service) => {
                return Err(Fault::Unsupported { call: info.name.into() }.into());
            }
            Err(stop @ (Stop::Perform | Stop::Run(_))) => {
                if let Stop::Run(program) = stop {
                    self.flow_from_tool(tx, program.digest);
                    self.emit(tx, OpEvent::Loaded { op: id, program });
                }
                self.draw(tx, id)?;
                self.flow_out(tx, id);
                self.emit(tx, OpEvent::Dispatched { op: id });
                self.order(tx, id, Mode::Perform);
            }
            Err(Stop::Error(error)) => return Err(error),
        }
        Ok(())
    }

    /// Drops the runs that only wait: they have had the time to say more.
    fn quiet(&mut self, out: &mut Outputs) {
        while let Some(pid) = self.idle_run() {
            let mut tx = self.begin_own();
            self.park_late(&mut tx, pid);
            self.finish(tx, out);
        }
    }

    /// Starts who can run, each on a free slot or on that of a run that only waits.
    fn fill(&mut self, mut slots: usize, out: &mut Outputs) {
        loop {
            let gives_way = if slots == 0 { self.idle_run() } else { None };
            if slots == 0 && gives_way.is_none() {
                return;
            }
            let mut tx = self.begin_own();
            let Some(order) = self.kernel_call(&mut tx, process::Next {}).flatten() else {
                return self.rollback(tx);
            };
            gives_way.into_iter().for_each(|pid| self.park_late(&mut tx, pid));
            slots = slots.saturating_sub(1);
            self.runs.insert(order.pid, order.run);
            let steps_before = self.ops.steps_before(order.pid);
            let receipts = self.ops.receipts(order.pid);
            tx.outputs.push(Output::Start(Box::new(Start { order, steps_before, receipts })));
            self.finish(tx, out);
        }
    }
}

/// Refuses payload references from callers, spills large payloads and takes the fingerprint.
fn prepare(submission: Submission, scratch: &mut Vec<u8>) -> Result<Prepared, Fault> {
    let Submission { ticket, from, mut call } = submission;
    let mut blobs = Vec::new();
    let mut referred = false;
    call.texts(&mut |text| {
        referred |= text.as_str().is_none();
        blobs.extend(text.spill());
    });
    if referred {
        return Err(Fault::bad(
            "a call carries its payloads itself; it cannot refer to stored ones",
        ));
    }
    scratch.clear();
    wire::encode_into(&call, scratch);
    if scratch.len() > CALL_BYTES_MAX {
        let what = "bytes in one call besides its payloads".into();
        return Err(Fault::Limit { what, limit: CALL_BYTES_MAX as u64 });
    }
    let fingerprint = fingerprint(scratch);
    Ok(Prepared { ticket, from, call, fingerprint, blobs })
}

pub(crate) fn canonicalize(call: &mut Syscall, caller: &Caller) -> Result<(), Fault> {
    let mut result = Ok(());
    call.paths(&mut |path| {
        let cwd = caller.admission.as_ref().map(|admission| &admission.cwd);
        if let (true, Some(cwd)) = (path.0.is_empty(), cwd) {
            return path.clone_from(cwd);
        }
        match path.canonical(cwd.map_or("workspace", |cwd| &cwd.0)) {
            Ok(canonical) => *path = canonical,
            Err(fault) => result = Err(fault),
        }
    });
    result
}

/// The arguments of a call for a person to read, with payloads in full where they are at hand.
pub(crate) fn full_arguments(call: &Syscall, tx: &mut Tx) -> Json {
    let mut full = call.clone();
    full.texts(&mut |text| {
        let mut shown = text.clone();
        let load = |digest: &Digest| {
            let stored = tx.blobs.iter().find(|(stored, _)| stored == digest).ok_or(())?;
            std::str::from_utf8(&stored.1).map(Arc::from).map_err(drop)
        };
        if shown.restore(load) == Ok(true) {
            *text = shown;
        }
    });
    let value = full.args_json().unwrap_or_default();
    let mut json = Json::from(&value);
    tx.blobs.extend(json.0.spill());
    json
}
