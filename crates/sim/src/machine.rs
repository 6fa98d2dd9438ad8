//! The machine: the real core with the real components, driven one action at a time.

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use libos_abi::{CapId, Digest, Label, Pid, Reply, checkpoint, human::Ask, process, wire};
use libos_broker::{
    Input, Kernel, LabelRules, Outputs, Parts, Sink, Submission, Submitter, flush, let_out,
};
use serde_json::json;

use crate::{
    calls,
    edge::{From, Message, Outside, Stopped},
    laws::{
        Life, Violation,
        labels::{LABELS, SINKS},
    },
    random::Random,
    trace::{Action, Kind, Steps},
};

/// Rounds after which a system that does not come to rest is given up.
const ROUNDS_MAX: usize = 4_000;

/// What a seed came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What must hold and does not, with the number of the action after which it was seen; none
    /// for a seed that passes.
    pub failure: Option<Failure>,
    /// What it did.
    pub tally: Tally,
    /// Number of records and root of the journal at the end.
    pub head: String,
}

/// A seed that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// After which action it was seen; `None` for the time after all of them.
    pub step: Option<u64>,
    /// What was seen first.
    pub violation: Violation,
}

/// What a run did, to show that it did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Actions carried out.
    pub actions: u64,
    /// Records written.
    pub records: u64,
    /// Times that the machine stopped and began again.
    pub crashes: u64,
    /// Processes made.
    pub processes: u64,
    /// Operations.
    pub operations: u64,
    /// Effects that happened in the world.
    pub effects: u64,
    /// Requests to humans.
    pub requests: u64,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.actions += other.actions;
        self.records += other.records;
        self.crashes += other.crashes;
        self.processes += other.processes;
        self.operations += other.operations;
        self.effects += other.effects;
        self.requests += other.requests;
    }
}

/// The core and everything outside of it.
pub(crate) struct Machine {
    kernel: Kernel,
    out: Outputs,
    outside: Outside,
    slots: usize,
    /// The time that the core was told last.
    stepped_ms: u64,
    crashes: u64,
    /// The digest of the state after so many records.
    digests: BTreeMap<u64, Digest>,
    log: Option<Vec<String>>,
}

fn kernel(labelled: bool) -> Kernel {
    let authority = Box::new(libos_capability::Capabilities::default());
    let parts = Parts::new(
        authority,
        vec![
            Box::new(libos_scheduler::Scheduler::default()),
            Box::new(libos_objects::Objects::default()),
            Box::new(libos_human::Humans::default()),
            Box::new(libos_images::Images::default()),
            Box::new(libos_events::Events::default()),
            Box::new(libos_checkpoints::Checkpoints::default()),
        ],
    );
    let parts = parts.unwrap_or_else(|error| unreachable!("the standard parts fit: {error}"));
    let mut kernel = Kernel::new(parts, ["fs", "shell", "tool", "audit"]);
    if labelled {
        kernel.set_label_rules(rules());
    }
    kernel
}

/// What the host says of labels, in every other history.
fn rules() -> LabelRules {
    let pattern = |on: &str| on.parse().unwrap_or_else(|error| unreachable!("{error}"));
    let labels = LABELS.iter().map(|(on, sensitivity, integrity)| {
        let (sensitivity, integrity) = (*sensitivity, *integrity);
        (pattern(on), Label { sensitivity, integrity, ..Label::BOTTOM })
    });
    let sinks = SINKS.iter().map(|(on, sensitivity, integrity)| {
        let (sensitivity, integrity) = (*sensitivity, *integrity);
        let clearance = Label { sensitivity, integrity, ..Label::TOP };
        Sink { on: pattern(on), clearance, releasable: true }
    });
    LabelRules::new(labels.collect(), sinks.collect())
}

/// Carries out the actions of a seed. With `log`, each is written down.
pub fn run(seed: u64, steps: &Steps, log: Option<&mut Vec<String>>) -> Outcome {
    let mut machine = Machine::new(seed, log.is_some());
    let mut failure = None;
    for number in &steps.0 {
        let action = Action::of(seed, *number);
        machine.note(|| format!("{number}: {:?}", action.kind));
        let broken = machine.guarded(|machine| machine.act(action));
        if let Some(violation) = broken {
            failure = Some(Failure { step: Some(*number), violation });
            break;
        }
    }
    if failure.is_none() {
        machine.note(|| "everything comes to rest".into());
        let random = Random::of(seed, u64::MAX);
        let violation = machine.guarded(|machine| machine.come_to_rest(random));
        failure = violation.map(|violation| Failure { step: None, violation });
    }
    if let (Some(log), Some(lines)) = (log, machine.log.take()) {
        *log = lines;
    }
    let laws = &machine.outside.laws;
    let tally = Tally {
        actions: steps.0.len() as u64,
        records: machine.outside.disk.size(),
        crashes: machine.crashes,
        processes: laws.tasks.len() as u64,
        operations: laws.ops.len() as u64,
        effects: laws.happened.len() as u64,
        requests: laws.requests.len() as u64,
    };
    let head = machine.outside.disk.head().to_string();
    Outcome { failure, tally, head }
}

impl Machine {
    fn new(seed: u64, log: bool) -> Self {
        let mut random = Random::of(seed, 0);
        let slots = 1 + random.below(6);
        let mut outside = Outside::default();
        (outside.now_ms, outside.chance) = (1_000, Some(random));
        outside.laws.known.ruled = seed % 2 == 1;
        Self {
            kernel: kernel(outside.laws.known.ruled),
            out: Outputs::default(),
            outside,
            slots,
            stepped_ms: 0,
            crashes: 0,
            digests: BTreeMap::new(),
            log: log.then(Vec::new),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(line());
        }
    }

    /// Does something and tells what it broke; a panic of the core is a violation too.
    fn guarded(&mut self, what: impl FnOnce(&mut Self)) -> Option<Violation> {
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| what(self)));
        if let Err(panic) = done {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            let what = text.unwrap_or_default();
            return Some(Violation { law: "the core does not panic", what });
        }
        self.outside.laws.found.first().cloned()
    }

    fn act(&mut self, action: Action) {
        let Action { kind, mut random } = action;
        self.outside.now_ms += random.below(20) as u64;
        match kind {
            Kind::Deliver => {
                let count = 1 + random.below(4);
                for _ in 0..count {
                    self.deliver(&mut random);
                }
            }
            Kind::Effect => {
                let told = self.outside.world.advance(&mut random, false);
                self.outside.tell_core(told);
            }
            Kind::Launch if self.outside.laws.live().len() > 12 => {}
            Kind::Launch => self.outside.host(calls::launch(&mut random)),
            Kind::Answer => self.answer(&mut random),
            Kind::Steer => self.steer(&mut random),
            Kind::Checkpoint => self.checkpoint(&mut random),
            Kind::Forge => self.forge(&mut random),
            Kind::Tick => self.outside.now_ms += random.below(2_500) as u64,
            Kind::Flush => {
                if flush(&mut self.outside).is_err() {
                    return self.restart(&mut random);
                }
            }
            Kind::Probe => self.probe(&mut random),
            Kind::Full => self.outside.disk.full = 1 + random.below(3) as u32,
            Kind::Break => self.outside.disk.broken = true,
            Kind::Crash => return self.restart(&mut random),
            Kind::CrashWithin => self.outside.stops_in = Some(random.below(8)),
        }
        self.go_on(&mut random);
    }

    /// What the core's thread does after each batch of messages.
    fn go_on(&mut self, random: &mut Random) {
        self.step(Input::Tick);
        let slots = self.slots.saturating_sub(self.kernel.running());
        self.step(Input::Fill { slots });
        if self.outside.inbox.is_empty() {
            self.step(Input::Quiet);
        }
        if self.let_out().is_err() || self.outside.stopped {
            return self.restart(random);
        }
        self.check();
    }

    fn step(&mut self, input: Input) {
        self.stepped_ms = self.outside.now_ms;
        self.kernel.step(self.stepped_ms, input, &mut self.out);
    }

    fn let_out(&mut self) -> Result<(), Stopped> {
        let_out(&mut self.outside, &mut self.out)
    }

    /// Takes one of the messages under way, in any order: who sends them does not wait for others.
    fn deliver(&mut self, random: &mut Random) {
        let at = random.below(self.outside.inbox.len());
        let Some(message) = self.outside.inbox.remove(at) else { return };
        self.take(message);
    }

    fn take(&mut self, message: Message) {
        self.note_message(&message);
        let input = match message {
            Message::Submit { ticket, from, call } => {
                self.outside.arrives(ticket, &from);
                let from = match from {
                    From::Host(name) => Submitter::Host(name),
                    From::Process { pid, run, step } => Submitter::Process { pid, run, step },
                };
                Input::Submit(Submission { ticket, from, call })
            }
            Message::Finished { op, outcome } => Input::Finished { op, outcome },
            Message::Reconciled { op, result } => Input::Reconciled { op, result },
        };
        self.step(input);
    }

    fn note_message(&mut self, message: &Message) {
        self.note(|| match message {
            Message::Submit { from, call, .. } => {
                let args = call.args_json().map(|args| args.to_string()).unwrap_or_default();
                let cut = args.floor_char_boundary(160.min(args.len()));
                let from = match from {
                    From::Host(name) => name.to_string(),
                    From::Process { pid, run, step } => match step.parent {
                        None => format!("{pid} run {run} step {}", step.index),
                        Some(op) => format!("{pid} run {run} step {} under {op}", step.index),
                    },
                };
                format!("    {from}: {} {}", call.info().name, &args[..cut])
            }
            Message::Finished { op, outcome } => {
                let outcome = format!("{outcome:?}");
                let cut = outcome.floor_char_boundary(100.min(outcome.len()));
                format!("    {op} finished: {}", &outcome[..cut])
            }
            Message::Reconciled { op, result } => format!("    {op} reconciled: {result:?}"),
        });
    }

    // ---- who acts from outside ---------------------------------------------------------------

    /// A human answers one of the requests that wait, now and then twice at once or wrongly.
    fn answer(&mut self, random: &mut Random) {
        let pending = self.outside.laws.pending();
        let Some(request) = random.one(&pending) else { return };
        let times = if random.percent(15) { 2 } else { 1 };
        for _ in 0..times {
            let Some(asked) = self.outside.laws.requests.get(&request) else { return };
            let deny = json!({ "deny": {} });
            let decision = match (&asked.ask, random.below(10)) {
                (_, 0..2) => deny,
                (_, 2) => json!({ "answer": { "text": "a" } }),
                (Ask::Approval(_), n) => {
                    let scopes = [
                        json!("once"),
                        json!("once"),
                        json!("once"),
                        json!({ "uses": 1 }),
                        json!({ "uses": 2 }),
                        json!("process"),
                        json!("subtree"),
                        json!({ "until": 2_000 }),
                    ];
                    json!({ "approve": { "scope": scopes[n % 8] } })
                }
                (Ask::Question { .. }, _) => json!({ "answer": { "text": "yes" } }),
                (Ask::Permission { .. }, n) => {
                    let policy = ["always", "ask_each_time", "never"][n % 3];
                    json!({ "permit": { "policy": policy } })
                }
                (Ask::Release(_), _) => json!({ "approve": { "scope": "once" } }),
                (Ask::Extension { .. }, n) => json!({ "extend": { "by": n } }),
                (Ask::Unknown { .. }, _) => json!({ "known": { "what": "done" } }),
            };
            let args = json!({ "request": request, "decision": decision });
            self.outside.host(calls::call("human.decide", args));
        }
    }

    /// The host acts on a process, or for itself.
    fn steer(&mut self, random: &mut Random) {
        let live = self.outside.laws.live();
        let pid = random.one(&live).unwrap_or(Pid(1));
        let caps = self.outside.laws.revocable();
        let id = random.one(&caps).unwrap_or(CapId(1));
        self.outside.host(calls::of_host(random, pid, id));
    }

    /// The host keeps what there is, or comes back to it: then it looks first, and what it saw is
    /// what it undoes.
    fn checkpoint(&mut self, random: &mut Random) {
        let kept = self.outside.laws.checkpoints();
        let live = self.outside.laws.live();
        let (checkpoint, drawn) = (random.one(&kept), random.below(20));
        let call = match (checkpoint, drawn) {
            (Some(checkpoint), 0..9) => checkpoint::Preview { checkpoint }.into(),
            (Some(checkpoint), 9) => checkpoint::DropCheckpoint { checkpoint }.into(),
            (Some(checkpoint), 10..13) if live.len() < 8 => {
                checkpoint::Fork { checkpoint, parent: None }.into()
            }
            _ => {
                let Some(pid) = random.one(&live) else { return };
                checkpoint::Create { pid: Some(pid), reason: None }.into()
            }
        };
        self.outside.host(call);
    }

    /// A submission that no run of an honest port makes: of an old run, of a run that never was,
    /// a step again with another call.
    fn forge(&mut self, random: &mut Random) {
        let known = calls::Known::default();
        let runs = self.outside.runs();
        let call = match random.percent(50) {
            true => calls::forged(random, &known),
            false => calls::of_process(random, &known, 2),
        };
        match random.one(&runs) {
            Some((pid, run)) => {
                let run = match random.below(3) {
                    0 => run.saturating_sub(1),
                    1 => run.saturating_sub(1 + random.below(4) as u64),
                    _ => run + 1_000,
                };
                let index = 1 + random.below(6) as u32;
                let step = libos_abi::event::Step { parent: None, index };
                self.outside.submit(From::Process { pid, run, step }, call);
            }
            None => self.outside.host(calls::call("process.ready", json!({ "pid": "p1" }))),
        }
    }

    /// Looks at the state from outside, and compares with the account of the records.
    fn probe(&mut self, random: &mut Random) {
        // What is left from before leaves first, so that the look sees what the account knows.
        self.step(Input::Tick);
        if self.let_out().is_err() || self.outside.stopped {
            return;
        }
        self.outside.shown = None;
        let kept = std::mem::take(&mut self.outside.inbox);
        self.outside.host(calls::call("process.list", json!({})));
        while let Some(message) = self.outside.inbox.pop_front() {
            self.take(message);
        }
        self.outside.inbox = kept;
        if self.let_out().is_err() || self.outside.stopped {
            return;
        }
        if let Some(Ok(Reply::Process(process::Reply::List(list)))) = self.outside.shown.take() {
            for info in &list.processes {
                let seen = self.outside.laws.told_of(info.pid);
                let holds = seen.is_some_and(|(life, unread, usage)| {
                    state_of(info.state) == life_of(life)
                        && info.unread == unread
                        && (info.usage == usage || info.state.is_terminal())
                });
                if !holds {
                    let what = format!("{info:?} and {seen:?}");
                    self.outside.laws.broken("what is shown is what was recorded", what);
                }
            }
        }
        self.replay_is_equal(random);
    }

    // ---- crashes and checks ------------------------------------------------------------------

    /// The machine stops and begins again, as often as it takes.
    fn restart(&mut self, random: &mut Random) {
        self.note(|| "    the machine stops and begins again".into());
        for attempt in 1..=8 {
            self.crashes += 1;
            self.out = Outputs::default();
            if let Err(error) = self.outside.crash(random) {
                return self
                    .outside
                    .laws
                    .broken("the journal is what was written", error.to_string());
            }
            let Some(kernel) = self.folded(self.outside.disk.size()) else { return };
            self.kernel = kernel;
            let size = self.outside.disk.size();
            self.digests.retain(|at, _| *at <= size);
            let digest = self.kernel.digest();
            if let Some(before) = self.digests.get(&size)
                && *before != digest
            {
                let what = format!("after {size} records the state was another before the crash");
                self.outside.laws.broken("replay gives the same state", what);
            }
            self.outside.now_ms = self.outside.now_ms.max(self.outside.laws.now_ms);
            if attempt < 8 && random.percent(25) {
                self.outside.stops_in = Some(random.below(4));
            }
            self.kernel.recover(self.outside.now_ms, &mut self.out);
            let slots = self.slots;
            self.step(Input::Fill { slots });
            if self.let_out().is_ok() && !self.outside.stopped {
                self.outside.stops_in = None;
                return self.check();
            }
        }
    }

    /// A fresh kernel that has folded so many records.
    fn folded(&mut self, size: u64) -> Option<Kernel> {
        let mut kernel = kernel(self.outside.laws.known.ruled);
        let records = match self.outside.disk.read(0) {
            Ok(records) => records,
            Err(error) => {
                self.outside.laws.broken("the journal is what was written", error.to_string());
                return None;
            }
        };
        for body in records.iter().take(usize::try_from(size).unwrap_or(usize::MAX)) {
            match wire::decode_record(body) {
                Ok(record) => kernel.replay(record),
                Err(error) => {
                    self.outside.laws.broken("records decode", error.to_string());
                    return None;
                }
            }
        }
        Some(kernel)
    }

    /// That folding the journal gives the state, now and where its digest was taken before.
    fn replay_is_equal(&mut self, random: &mut Random) {
        let size = self.outside.disk.size();
        let digest = self.kernel.digest();
        self.digests.insert(size, digest);
        let sizes: Vec<u64> = self.digests.keys().copied().collect();
        let at = if random.percent(50) { size } else { *random.pick(&sizes) };
        let Some(folded) = self.folded(at) else { return };
        if self.digests.get(&at) != Some(&folded.digest()) {
            let what = format!("{at} of {size} records fold to another state");
            self.outside.laws.broken("replay gives the same state", what);
        }
    }

    /// What holds whenever the core waits for its next message.
    fn check(&mut self) {
        let now_ms = self.stepped_ms;
        self.outside.laws.nobody_waits_in_vain(now_ms);
        let runnable = self.outside.laws.in_state(Life::Runnable);
        let running = self.outside.laws.in_state(Life::Running);
        if !runnable.is_empty() && running.len() < self.slots {
            let what = format!("{runnable:?} can run, {running:?} run, of {}", self.slots);
            self.outside.laws.broken("no lost wake-up", what);
        }
        let waiting = match runnable.is_empty() {
            true => Vec::new(),
            false => self.outside.waiting_runs(),
        };
        if !waiting.is_empty() {
            let what = format!("{runnable:?} can run, and {waiting:?} run and only wait");
            self.outside.laws.broken("no slot for who only waits", what);
        }
        if running.len() != self.kernel.running() {
            let what = format!("{running:?}, and the core knows of {}", self.kernel.running());
            self.outside.laws.broken("who runs is who was started", what);
        }
    }

    // ---- the end -----------------------------------------------------------------------------

    /// Lets everything under way end, without faults, and looks at what is left.
    fn come_to_rest(&mut self, mut random: Random) {
        self.outside.disk.full = 0;
        self.outside.disk.broken = false;
        self.outside.stops_in = None;
        self.settle_down(&mut random);
        self.check_rest();
        for request in self.outside.laws.pending() {
            let args = json!({ "request": request, "decision": { "deny": {} } });
            self.outside.host(calls::call("human.decide", args));
        }
        self.settle_down(&mut random);
        self.check_rest();
        for pid in self.outside.laws.live() {
            let args = json!({ "pid": pid, "signal": "terminate" });
            self.outside.host(calls::call("process.signal", args));
        }
        self.settle_down(&mut random);
        self.check_rest();
        if flush(&mut self.outside).is_err() {
            self.outside.laws.broken("a disk that works takes everything", "a flush was refused");
        }
        self.replay_is_equal(&mut random);
        self.nothing_is_left();
    }

    fn settle_down(&mut self, random: &mut Random) {
        for _ in 0..ROUNDS_MAX {
            if !self.outside.laws.found.is_empty() {
                return;
            }
            if !self.outside.inbox.is_empty() {
                self.deliver(random);
            } else if !self.outside.world.pending.is_empty() {
                let told = self.outside.world.advance(random, true);
                self.outside.tell_core(told);
            } else if let Some(deadline) = self.kernel.next_deadline_ms() {
                self.outside.now_ms = self.outside.now_ms.max(deadline);
            } else {
                return;
            }
            self.go_on(random);
        }
        self.outside.laws.broken("everything comes to rest", format!("not in {ROUNDS_MAX} rounds"));
    }

    /// What holds when nothing is under way.
    fn check_rest(&mut self) {
        // A run goes on beside a call that waits; then nothing has to be on its way.
        let mut running = self.outside.laws.in_state(Life::Running);
        running.retain(|pid| !self.outside.laws.waits(*pid));
        if self.outside.is_still() && !running.is_empty() {
            let what = format!("{running:?} run, and nothing is on its way to them");
            self.outside.laws.broken("no lost wake-up", what);
        }
        let open = self
            .outside
            .laws
            .ops
            .iter()
            .find(|(_, called)| called.settled.is_none() && called.dispatched.is_some());
        if let (true, Some((id, called))) = (self.outside.is_still(), open)
            && called.call.info().name != "tool.call"
        {
            let what = format!("{id}, {}, has no outcome", called.call.info().name);
            self.outside.laws.broken("every effect has an outcome", what);
        }
    }

    /// When everything has ended, the core remembers no call.
    fn nothing_is_left(&mut self) {
        let left = self.kernel.remembered();
        if left != libos_broker::Remembered::default() {
            let what = format!("{left:?}");
            self.outside.laws.broken("state does not grow with history", what);
        }
        if self.outside.laws.live().is_empty() && !self.kernel.is_idle() {
            self.outside.laws.broken("everything comes to rest", "the core is not idle");
        }
        let open = self.outside.laws.ops.iter().find(|(_, called)| called.settled.is_none());
        if let Some((id, called)) = open {
            let what = format!("{id}, {}", called.call.info().name);
            self.outside.laws.broken("every call ends", what);
        }
    }
}

fn state_of(state: process::ProcessState) -> u8 {
    use process::ProcessState as S;
    match state {
        S::Runnable => 0,
        S::Running => 1,
        S::Waiting => 2,
        S::Paused => 3,
        S::Exited | S::Failed | S::Killed => 4,
    }
}

fn life_of(life: Life) -> u8 {
    match life {
        Life::Runnable => 0,
        Life::Running => 1,
        Life::Waiting => 2,
        Life::Paused { .. } => 3,
        Life::Ended => 4,
    }
}
