//! The whole kernel with an edge that is data: a journal in memory, runs, effects under way.
//!
//! What is let out is let out at once and what is on disk is known to the record, so a crash can
//! come after any of them.

use std::{collections::BTreeMap, rc::Rc};

use libos_abi::{
    Error, Fault, OpId, Outcome, Pid, Record, Reply, Request, Syscall,
    event::Step,
    process::{self, ProcessInfo, ProcessState},
    shell, wire,
};
use libos_broker::{
    EffectOrder, Input, Kernel, Mode, Output, Outputs, Part, Parts, Submission, Submitter, Ticket,
};
use libos_port::{EffectOutcome, Reconciled};

/// What each process does: its calls, one after the other; then it exits.
pub(crate) type Programs = BTreeMap<Pid, Vec<Syscall>>;

/// A run of a process, and what its planner has seen so far.
struct Run {
    number: u64,
    /// What the calls of this run ended in.
    seen: Vec<Outcome>,
    waits_for: Option<Ticket>,
}

/// An effect under way.
struct Effect {
    order: EffectOrder,
    /// Abandoned: whether it happened, nobody will know.
    is_cancelled: bool,
}

/// How a machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    /// Everything in line was written.
    Whole,
    /// What was not yet on disk is lost.
    Lossy,
}

/// The machine.
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) now_ms: u64,
    programs: Rc<Programs>,
    journal: Vec<Vec<u8>>,
    /// How many of the records are on disk for sure.
    durable: usize,
    tickets: u64,
    runs: BTreeMap<Pid, Run>,
    effects: Vec<Effect>,
    /// What the last call of the host ended in.
    replied: Option<(Ticket, Outcome)>,
    /// Every effect that was let out to be performed, crashes or not.
    pub(crate) performed: Vec<OpId>,
    /// What the planner of a process had seen when its last run was over.
    pub(crate) seen: BTreeMap<Pid, Vec<Outcome>>,
}

fn kernel() -> Kernel {
    let parts = Parts::new(
        Box::new(libos_capability::Capabilities::default()),
        vec![
            Box::new(libos_scheduler::Scheduler::default()),
            Box::new(libos_objects::Objects::default()),
            Box::new(libos_human::Humans::default()),
            Box::new(libos_images::Images::default()),
            Box::new(libos_events::Events::default()),
            Box::new(libos_checkpoints::Checkpoints::default()),
        ],
    );
    let mut kernel = Kernel::new(parts.expect("the standard parts fit together"), ["shell"]);
    kernel.set_watched(false);
    kernel
}

impl Machine {
    /// One with this history, as it is after a start.
    pub(crate) fn start(journal: &[Vec<u8>], now_ms: u64, programs: &Rc<Programs>) -> Self {
        let mut machine = Self {
            kernel: kernel(),
            now_ms,
            programs: Rc::clone(programs),
            durable: journal.len(),
            journal: journal.to_vec(),
            tickets: 0,
            runs: BTreeMap::new(),
            effects: Vec::new(),
            replied: None,
            performed: Vec::new(),
            seen: BTreeMap::new(),
        };
        machine.recover();
        machine
    }

    pub(crate) fn journal(&self) -> &[Vec<u8>] {
        &self.journal
    }

    fn fold(&self) -> Kernel {
        let mut kernel = kernel();
        for bytes in &self.journal {
            kernel.replay(wire::decode::<Record>(bytes).expect("the kernel made it"));
        }
        kernel
    }

    /// That folding the journal gives the state.
    pub(crate) fn check_fold(&self) {
        assert_eq!(self.fold().digest(), self.kernel.digest(), "the fold is another state");
    }

    fn recover(&mut self) {
        self.kernel = self.fold();
        let mut out = Outputs::default();
        self.kernel.recover(self.now_ms, &mut out);
        self.let_out(out);
    }

    /// The host ends and starts again.
    pub(crate) fn crash(&mut self, down: Down) {
        if down == Down::Lossy {
            self.journal.truncate(self.durable);
        }
        self.durable = self.journal.len();
        self.seen
            .extend(std::mem::take(&mut self.runs).into_iter().map(|(pid, run)| (pid, run.seen)));
        self.effects.clear();
        self.recover();
    }

    /// The host ends while this input is taken: so many of its records are on disk and nothing of
    /// what it lets out has left. False if it makes fewer records.
    pub(crate) fn crash_within(&mut self, input: Input, records: usize) -> bool {
        let mut out = Outputs::default();
        self.kernel.step(self.now_ms, input, &mut out);
        let made = [&out.early, &out.durable].into_iter().flat_map(|part| part.records.iter());
        let made: Vec<_> = made.map(<[u8]>::to_vec).collect();
        let is_some = records <= made.len();
        self.journal.extend(made.into_iter().take(records));
        self.crash(Down::Whole);
        is_some
    }

    pub(crate) fn step(&mut self, input: Input) {
        let mut out = Outputs::default();
        self.kernel.step(self.now_ms, input, &mut out);
        self.let_out(out);
    }

    fn let_out(&mut self, out: Outputs) {
        let Outputs { early, durable, .. } = out;
        self.append(&early);
        early.released.into_iter().for_each(|output| self.take(output));
        if !durable.is_empty() {
            self.append(&durable);
            self.durable = self.journal.len();
            durable.released.into_iter().for_each(|output| self.take(output));
        }
    }

    fn append(&mut self, part: &Part) {
        self.journal.extend(part.records.iter().map(<[u8]>::to_vec));
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Reply(ticket, outcome) => {
                match self.runs.values_mut().find(|run| run.waits_for == Some(ticket)) {
                    Some(run) => {
                        run.waits_for = None;
                        run.seen.push(outcome);
                    }
                    None => self.replied = Some((ticket, outcome)),
                }
            }
            Output::Effect(order) => {
                if order.mode == Mode::Perform {
                    self.performed.push(order.op);
                }
                self.effects.push(Effect { order: *order, is_cancelled: false });
            }
            Output::Cancel(op) => {
                let effect = self.effects.iter_mut().find(|effect| effect.order.op == op);
                effect.into_iter().for_each(|effect| effect.is_cancelled = true);
            }
            Output::Start(start) => {
                let run = Run { number: start.order.run, seen: Vec::new(), waits_for: None };
                assert_eq!(start.steps_before, 0, "no program commits");
                let twice = self.runs.insert(start.order.pid, run);
                assert!(twice.is_none(), "a process runs twice at a time");
            }
            Output::Stop(pid) => {
                self.seen.extend(self.runs.remove(&pid).map(|run| (pid, run.seen)));
            }
            Output::Forget(_) | Output::Notice(_) => {}
        }
    }

    // ---- the host ----------------------------------------------------------------------------

    fn submission(&mut self, from: Submitter, call: Syscall) -> Input {
        self.tickets += 1;
        Input::Submit(Submission { ticket: Ticket(self.tickets), from, call })
    }

    /// A call of the host as an input.
    pub(crate) fn of_host(&mut self, call: Syscall) -> Input {
        self.submission(Submitter::Host("ada".into()), call)
    }

    /// A call of the host.
    pub(crate) fn host<R: Request>(&mut self, request: R) -> Result<R::Reply, Error> {
        let input = self.of_host(request.into());
        self.step(input);
        let (ticket, outcome) = self.replied.take().expect("the host is answered at once");
        assert_eq!(ticket, Ticket(self.tickets), "the answer to another call");
        outcome.map(|reply| R::reply(reply).expect("a reply belongs to its call"))
    }

    pub(crate) fn processes(&mut self) -> Vec<ProcessInfo> {
        let list = process::List { after: None, live: None, limit: None };
        self.host(list).expect("the host lists processes").processes
    }

    pub(crate) fn info(&mut self, pid: Pid) -> ProcessInfo {
        self.host(process::Inspect { pid }).expect("it is there")
    }

    // ---- what happens by itself --------------------------------------------------------------

    /// Whether a process waits for its turn.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.processes().iter().any(|process| process.state == ProcessState::Runnable)
    }

    /// The processes that run and have something to do.
    pub(crate) fn movable(&self) -> Vec<Pid> {
        let movable = self.runs.iter().filter(|(_, run)| run.waits_for.is_none());
        movable.map(|(pid, _)| *pid).collect()
    }

    /// The next call of a running process, as an input.
    pub(crate) fn next_call(&mut self, pid: Pid) -> Input {
        let run = &self.runs[&pid];
        let (number, seen) = (run.number, run.seen.len());
        let program = self.programs.get(&pid).map_or(&[][..], Vec::as_slice);
        let (index, call) = match program.get(seen) {
            Some(call) => (seen as u32 + 1, call.clone()),
            None => (0, exit().into()),
        };
        let step = Step { parent: None, index };
        let from = Submitter::Process { pid, run: number, step };
        let input = self.submission(from, call);
        let run = self.runs.get_mut(&pid).expect("it runs");
        run.waits_for = Some(Ticket(self.tickets));
        input
    }

    pub(crate) fn has_effect(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The end of the oldest effect under way, as an input.
    pub(crate) fn end_of_effect(&mut self) -> Input {
        let Effect { order, is_cancelled } = self.effects.remove(0);
        let op = order.op;
        match (order.mode, is_cancelled) {
            (Mode::Reconcile, _) => Input::Reconciled { op, result: Reconciled::Unknown },
            (_, true) => Input::Finished { op, outcome: EffectOutcome::Unknown("dropped".into()) },
            _ => Input::Finished { op, outcome: EffectOutcome::Done(ran()) },
        }
    }
}

fn exit() -> process::Exit {
    process::Exit { result: None, message: None, failed: None, code: None, pid: None }
}

fn ran() -> Reply {
    let (stdout, stderr) = ("".into(), "".into());
    let ended = shell::Ended {
        exit_code: Some(0),
        signal: None,
        stdout,
        stderr,
        truncated: false,
        wall_ms: 1,
        ..Default::default()
    };
    shell::Reply::Run(ended.into()).into()
}

/// Whether an outcome is this fault.
pub(crate) fn is_fault(outcome: &Outcome, code: &str) -> bool {
    matches!(outcome, Err(Error::Fault(fault)) if Fault::code(fault) == code)
}
