//! The edge: what stands between the core, the disk and the world. It is let out into by
//! [`libos_broker::let_out`], as the real one is, and may stop between any two outputs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use libos_abi::{
    Digest, Error, Fault, OpId, Outcome, Pid, Reply, Syscall, checkpoint, event::Step, wire,
};
use libos_broker::{Edge, EffectOrder, Line, Notice, Output, Records, Start, Ticket};
use libos_journal::Batch;
use libos_port::{EffectOutcome, Reconciled};

use crate::{
    disk::Disk,
    laws::Laws,
    program::{Manner, Next, Program},
    random::Random,
    world::{Told, World, tool_reply},
};

/// The machine stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// What is on its way to the core.
#[derive(Debug)]
pub(crate) enum Message {
    Submit { ticket: Ticket, from: From, call: Syscall },
    Finished { op: OpId, outcome: EffectOutcome },
    Reconciled { op: OpId, result: Reconciled },
}

/// Who waits for a reply.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// The host, under a name of its own for each call.
    Host(Arc<str>),
    /// A run of a process, at this step.
    Process { pid: Pid, run: u64, step: Step },
}

/// Calls made together, and what they were answered.
#[derive(Debug, Default)]
struct Group {
    parent: Option<OpId>,
    /// The number of the last step submitted.
    index: u32,
    calls: Vec<(u32, Syscall, Option<Outcome>)>,
}

/// A run of a process, or of a tool in it.
#[derive(Debug)]
struct Run {
    number: u64,
    program: Program,
    group: Group,
    /// Whether it has made its last call.
    closed: bool,
}

/// Everything outside of the core.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) disk: Disk,
    pub(crate) world: World,
    pub(crate) laws: Laws,
    pub(crate) line: Line,
    pub(crate) now_ms: u64,
    pub(crate) inbox: VecDeque<Message>,
    callers: BTreeMap<Ticket, From>,
    /// Submissions of runs that were not current when they reached the core.
    stale: BTreeSet<Ticket>,
    runs: BTreeMap<Pid, Run>,
    tools: BTreeMap<OpId, (Pid, Syscall, Run)>,
    /// The highest run of each process that was started since the machine began.
    started: BTreeMap<Pid, u64>,
    last_ticket: u64,
    last_host: u64,
    /// After how many more outputs the machine stops.
    pub(crate) stops_in: Option<usize>,
    pub(crate) stopped: bool,
    pub(crate) chance: Option<Random>,
    /// What the host was told last, for a look at the state.
    pub(crate) shown: Option<Outcome>,
}

impl Outside {
    fn random(&mut self) -> &mut Random {
        self.chance.get_or_insert_with(|| Random::of(0, 0))
    }

    // ---- submissions -------------------------------------------------------------------------

    /// Puts a call of the host on its way. Each has a name of its own, so that the record tells
    /// which is which.
    pub(crate) fn host(&mut self, call: Syscall) {
        self.last_host += 1;
        let name = format!("host-{}", self.last_host);
        self.submit(From::Host(name.into()), call);
    }

    pub(crate) fn submit(&mut self, from: From, call: Syscall) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.callers.insert(ticket, from.clone());
        self.inbox.push_back(Message::Submit { ticket, from, call });
    }

    /// A submission reaches the core: whether its run is current is judged now.
    pub(crate) fn arrives(&mut self, ticket: Ticket, from: &From) {
        if let From::Process { pid, run, .. } = from
            && self.laws.tasks.get(pid).map(|task| task.run) != Some(*run)
        {
            self.stale.insert(ticket);
        }
    }

    /// The current runs: process and number.
    pub(crate) fn runs(&self) -> Vec<(Pid, u64)> {
        self.runs.iter().map(|(pid, run)| (*pid, run.number)).collect()
    }

    /// The processes that run and only wait: all their runs have made their calls, and nothing that
    /// is open does anything else.
    pub(crate) fn waiting_runs(&self) -> Vec<Pid> {
        let is_on_its_way = |by: Pid| {
            self.inbox.iter().any(|message| match message {
                Message::Submit { from: From::Process { pid, .. }, .. } => *pid == by,
                _ => false,
            })
        };
        let waits = |(pid, run): &(&Pid, &Run)| {
            let tools = self.tools.iter().filter(|(_, (of, ..))| of == *pid);
            let tools: BTreeMap<OpId, &Run> = tools.map(|(op, (.., run))| (*op, run)).collect();
            let asked = tools.values().chain([run]).flat_map(|run| run.awaited());
            let asked: BTreeSet<Step> = asked.collect();
            let open = self.laws.open_of(**pid);
            let all_wait = open.iter().all(|(op, called)| {
                let works = tools.get(op).is_some_and(|tool| tool.awaited().next().is_some());
                asked.contains(&called.step) && (called.wait.is_some() || works)
            });
            !open.is_empty() && all_wait && !run.closed && !is_on_its_way(**pid)
        };
        self.runs.iter().filter(waits).map(|(pid, _)| *pid).collect()
    }

    /// Whether anything is on its way or under way.
    pub(crate) fn is_still(&self) -> bool {
        self.inbox.is_empty() && self.world.pending.is_empty()
    }

    fn start(&mut self, start: Start) {
        let order = start.order;
        let pid = order.pid;
        let before = self.started.insert(pid, order.run);
        if before.is_some_and(|before| before >= order.run) {
            self.laws.broken("each run has its number", format!("run {} of {pid}", order.run));
        }
        let state = order.state.as_str().unwrap_or_default();
        let program = Program::new(&order.planner, state, order.run);
        let group = Group { parent: None, index: start.steps_before, calls: Vec::new() };
        let run = Run { number: order.run, program, group, closed: false };
        let run = self.advance(pid, run);
        self.runs.insert(pid, run);
    }

    fn start_tool(&mut self, order: EffectOrder) {
        let Some((pid, number)) = order.run else { return };
        let Syscall::Tool(libos_abi::tool::Call::CallTool(call)) = &order.call else { return };
        let args = call.args.value().unwrap_or_default();
        let group = Group { parent: Some(order.op), ..Group::default() };
        let run = Run { number, program: Program::tool(&args), group, closed: false };
        let run = self.advance(pid, run);
        self.keep_tool(order.op, pid, order.call, run);
    }

    fn keep_tool(&mut self, op: OpId, pid: Pid, call: Syscall, run: Run) {
        match run.closed {
            true => {
                let outcome = tool_reply(&call);
                self.inbox.push_back(Message::Finished { op, outcome });
            }
            false => drop(self.tools.insert(op, (pid, call, run))),
        }
    }

    /// Has a run make its next calls.
    fn advance(&mut self, pid: Pid, mut run: Run) -> Run {
        let answered: Vec<(Syscall, Outcome)> = std::mem::take(&mut run.group.calls)
            .into_iter()
            .filter_map(|(_, call, outcome)| Some((call, outcome?)))
            .collect();
        let next = run.program.next(&answered);
        let parent = run.group.parent;
        match next {
            Next::Calls(calls) => {
                for call in calls {
                    run.group.index += 1;
                    let index = run.group.index;
                    run.group.calls.push((index, call.clone(), None));
                    let step = Step { parent, index };
                    self.submit(From::Process { pid, run: run.number, step }, call);
                }
                if parent.is_none() && run.program.is_hasty() {
                    let call = run.program.close();
                    self.close(pid, &mut run, call);
                }
            }
            Next::Close(call) if parent.is_none() => self.close(pid, &mut run, call),
            Next::Close(_) => run.closed = true,
        }
        run
    }

    fn close(&mut self, pid: Pid, run: &mut Run, call: Syscall) {
        run.closed = true;
        let step = Step { parent: None, index: 0 };
        self.submit(From::Process { pid, run: run.number, step }, call);
    }

    // ---- replies -----------------------------------------------------------------------------

    fn reply(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(from) = self.callers.remove(&ticket) else { return };
        match from {
            From::Host(name) => {
                if let Some(op) = self.laws.find_host(&name) {
                    self.laws.leaves(op, &outcome, self.disk.durable());
                } else if let Ok(reply) = &outcome
                    && changes(reply)
                {
                    self.laws.broken("record before reply", format!("{name}: {reply:?}"));
                }
                if let Ok(Reply::Checkpoint(checkpoint::Reply::Preview(seen))) = &outcome {
                    let (checkpoint, token) = (seen.difference.checkpoint, seen.token);
                    self.host(checkpoint::Restore { checkpoint, token }.into());
                }
                self.shown = Some(outcome);
            }
            From::Process { pid, run, step } => {
                let is_stale = self.stale.remove(&ticket);
                self.answer((pid, run, step), is_stale, outcome);
            }
        }
    }

    fn answer(&mut self, (pid, run, step): (Pid, u64, Step), stale: bool, outcome: Outcome) {
        let refused = matches!(
            outcome,
            Err(Error::Fault(
                Fault::StaleRun
                    | Fault::NoProcess
                    | Fault::Diverged { .. }
                    | Fault::BadMessage { .. }
                    | Fault::Limit { .. }
            ))
        );
        if stale && !refused {
            let what = format!("run {run} of {pid} is over and gets {outcome:?}");
            self.laws.broken("only the current run acts", what);
        }
        if step.index > 0
            && !refused
            && let Some(op) = self.laws.find(pid, step, &outcome)
        {
            self.laws.leaves(op, &outcome, self.disk.durable());
        }
        match step.parent {
            None => self.answer_run(pid, run, step.index, outcome),
            Some(op) => self.answer_tool(op, run, step.index, outcome),
        }
    }

    fn answer_run(&mut self, pid: Pid, number: u64, index: u32, outcome: Outcome) {
        let Some(mut run) = self.runs.remove(&pid) else { return };
        if run.number != number {
            drop(self.runs.insert(pid, run));
            return;
        }
        if index == 0 {
            // Its last call was refused: it ends in the way that is never refused.
            match outcome {
                Ok(_) => {}
                Err(Error::Fault(Fault::StaleRun | Fault::NoProcess)) => {}
                Err(_) => {
                    let args = serde_json::json!({ "failed": true });
                    self.close(pid, &mut run, crate::calls::call("process.exit", args));
                    self.runs.insert(pid, run);
                }
            }
            return;
        }
        self.diverges(&run, pid, &outcome);
        run.group.put(index, outcome);
        if run.group.is_answered() && !run.closed {
            run = self.advance(pid, run);
        }
        self.runs.insert(pid, run);
    }

    fn answer_tool(&mut self, op: OpId, number: u64, index: u32, outcome: Outcome) {
        let Some((pid, call, mut run)) = self.tools.remove(&op) else { return };
        if run.number == number {
            self.diverges(&run, pid, &outcome);
            run.group.put(index, outcome);
            if run.group.is_answered() {
                run = self.advance(pid, run);
            }
        }
        self.keep_tool(op, pid, call, run);
    }

    /// A program that makes the same calls each time is never told that it went another way.
    fn diverges(&mut self, run: &Run, pid: Pid, outcome: &Outcome) {
        if let Err(Error::Fault(fault @ Fault::Diverged { .. })) = outcome
            && run.program.manner != Manner::Diverging
        {
            let what = format!("run {} of {pid}: {fault}", run.number);
            self.laws.broken("a step replays as it was", what);
        }
    }

    // ---- effects -----------------------------------------------------------------------------

    fn perform(&mut self, order: EffectOrder) {
        self.laws.starts(order.op, self.disk.durable());
        match order.call.info().name {
            "tool.call" => self.start_tool(order),
            _ => self.world.accept(order),
        }
    }

    pub(crate) fn tell_core(&mut self, told: Option<Told>) {
        self.inbox.extend(told.map(|told| match told {
            Told::Finished(op, outcome) => Message::Finished { op, outcome },
            Told::Reconciled(op, result) => Message::Reconciled { op, result },
        }));
        self.agree();
    }

    /// Lets the laws know what is true of the world.
    pub(crate) fn agree(&mut self) {
        self.laws.unknown.clone_from(&self.world.unknown);
        self.laws.not_started.clone_from(&self.world.not_started);
        self.laws.happened =
            self.world.truth.iter().map(|(op, truth)| (*op, truth.times)).collect();
        for what in std::mem::take(&mut self.world.twice) {
            self.laws.broken("no effect twice", what);
        }
    }

    fn stop(&mut self, pid: Pid) {
        self.runs.remove(&pid);
        self.tools.retain(|_, (of, ..)| *of != pid);
    }

    /// The machine stops: everything that was only in memory is gone.
    pub(crate) fn crash(&mut self, random: &mut Random) -> Result<(), libos_journal::JournalError> {
        self.world.crash(random);
        self.line = Line::default();
        self.inbox.clear();
        self.callers.clear();
        self.stale.clear();
        self.runs.clear();
        self.tools.clear();
        self.started.clear();
        (self.stopped, self.stops_in, self.shown) = (false, None, None);
        self.disk.crash(random)?;
        // The account of what is on disk begins anew; what happened in the world stays.
        let found = std::mem::take(&mut self.laws.found);
        self.laws = Laws::default();
        self.laws.found = found;
        self.agree();
        for body in self.disk.read(0)? {
            self.read(&body);
        }
        Ok(())
    }

    fn read(&mut self, body: &[u8]) {
        match wire::decode_record(body) {
            Ok(record) => self.laws.record(&record),
            Err(error) => self.laws.broken("records decode", error.to_string()),
        }
    }

    fn is_on_disk(&self, op: OpId) -> bool {
        let settled = self.laws.ops.get(&op).and_then(|called| called.settled.as_ref());
        settled.is_some_and(|(at, _)| *at < self.disk.durable())
    }
}

/// Whether a reply to the host tells of a change.
fn changes(reply: &Reply) -> bool {
    use libos_abi::{capability, human, message, process};
    matches!(
        reply,
        Reply::Process(
            process::Reply::Launch(_) | process::Reply::Exit(_) | process::Reply::Exec(_)
        ) | Reply::Capability(capability::Reply::Grant(_))
            | Reply::Human(human::Reply::Decide(_))
            | Reply::Message(message::Reply::Send(_))
            | Reply::Checkpoint(
                checkpoint::Reply::Create(_)
                    | checkpoint::Reply::Restore(_)
                    | checkpoint::Reply::Fork(_)
            )
            | Reply::Fs(_)
            | Reply::Shell(_)
    )
}

impl Run {
    /// The steps that it waits for.
    fn awaited(&self) -> impl Iterator<Item = Step> {
        let parent = self.group.parent;
        let open = self.group.calls.iter().filter(|(.., outcome)| outcome.is_none());
        open.map(move |(index, ..)| Step { parent, index: *index })
    }
}

impl Group {
    fn put(&mut self, index: u32, outcome: Outcome) {
        if let Some(call) = self.calls.iter_mut().find(|(at, ..)| *at == index) {
            call.2.get_or_insert(outcome);
        }
    }

    fn is_answered(&self) -> bool {
        self.calls.iter().all(|(.., outcome)| outcome.is_some())
    }
}

impl Edge for Outside {
    type Error = Stopped;

    fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn append(
        &mut self,
        records: &Records,
        blobs: Vec<(Digest, Arc<[u8]>)>,
        durable: bool,
    ) -> Result<(), Stopped> {
        if self.stopped {
            return Err(Stopped);
        }
        let bodies: Vec<Vec<u8>> = records.iter().map(<[u8]>::to_vec).collect();
        let batch = Batch { records: bodies, blobs };
        loop {
            match self.disk.append(batch.clone(), durable) {
                Ok(()) => break,
                Err(error) if error.may_pass() => self.wait_for_disk(),
                Err(_) => {
                    self.stopped = true;
                    return Err(Stopped);
                }
            }
        }
        for body in &batch.records {
            self.read(body);
        }
        Ok(())
    }

    fn write_line(&mut self) -> Result<(), Stopped> {
        loop {
            match self.disk.flush() {
                Ok(()) => return Ok(()),
                Err(error) if error.may_pass() => self.wait_for_disk(),
                Err(_) => {
                    self.stopped = true;
                    return Err(Stopped);
                }
            }
        }
    }

    fn release(&mut self, output: Output) {
        if let Some(left) = &mut self.stops_in {
            self.stopped |= *left == 0;
            *left = left.saturating_sub(1);
        }
        if self.stopped {
            return;
        }
        match output {
            Output::Reply(ticket, outcome) => self.reply(ticket, outcome),
            Output::Forget(ticket) => drop(self.callers.remove(&ticket)),
            Output::Effect(order) => self.perform(*order),
            Output::Start(start) => self.start(*start),
            Output::Stop(pid) => self.stop(pid),
            Output::Cancel(op) => {
                let mut random = self.random().clone();
                let told = self.world.cancel(op, &mut random);
                self.chance = Some(random);
                self.tell_core(told);
            }
            Output::Notice(notice) => self.tell(*notice),
        }
    }

    fn tell(&mut self, notice: Notice) {
        if self.stopped {
            return;
        }
        let durable = self.disk.durable();
        let holds = match &notice {
            Notice::Step { op, .. } => self.is_on_disk(*op),
            Notice::Spawned { pid, .. } => self.laws.tasks.contains_key(pid),
            Notice::Asked(request) => self.laws.requests.contains_key(request),
            Notice::Output { .. } | Notice::Ended { .. } => true,
        };
        let nothing_in_line = self.disk.size() == durable;
        if !holds || !nothing_in_line {
            self.laws.broken("news only of what is on disk", format!("{notice:?}"));
        }
    }
}

impl Outside {
    /// While the disk is full, calls of the host are refused and everything else is kept.
    fn wait_for_disk(&mut self) {
        self.now_ms += 200;
        let kept = std::mem::take(&mut self.inbox);
        for message in kept {
            match message {
                Message::Submit { ticket, from: From::Host(_), .. } => {
                    self.callers.remove(&ticket);
                }
                message => self.inbox.push_back(message),
            }
        }
    }
}
