//! Bugs that the simulator found, each as a short story about the core.

use std::collections::VecDeque;

use libos_abi::{
    Error, Event, Fault, OpId, Outcome, Pid, Reply, Syscall,
    event::{CapabilityEvent, OpEvent, Step},
    process::{self, Usage},
};
use libos_broker::{Input, Kernel, Mode, Output, Outputs, Parts, Submission, Submitter, Ticket};
use libos_port::EffectOutcome;
use serde_json::{Value, json};

/// A core whose records are all kept.
struct Core {
    kernel: Kernel,
    journal: Vec<Vec<u8>>,
    left: VecDeque<Output>,
    ticket: u64,
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
    Kernel::new(parts.expect("the standard parts fit"), ["fs", "shell"])
}

fn call(name: &str, args: Value) -> Syscall {
    Syscall::from_json(name, args).expect("it is such a call")
}

impl Core {
    /// A core with one process that runs.
    fn new(grants: Value, budget: Value) -> Self {
        let (kernel, journal, left) = (kernel(), Vec::new(), VecDeque::new());
        let mut core = Self { kernel, journal, left, ticket: 0 };
        let planner = json!({ "kind": "none", "program": "" });
        let args = json!({
            "image": "base", "goal": "g", "planner": planner, "grants": grants,
            "budget": budget,
        });
        core.host("process.launch", args).expect("it is launched");
        core.step(Input::Fill { slots: 9 });
        core
    }

    fn step(&mut self, input: Input) {
        self.step_at(1, input);
    }

    fn step_at(&mut self, now_ms: u64, input: Input) {
        let mut out = Outputs::default();
        self.kernel.step(now_ms, input, &mut out);
        self.keep(out);
    }

    fn keep(&mut self, mut out: Outputs) {
        for part in [&mut out.early, &mut out.durable] {
            self.journal.extend(part.records.iter().map(<[u8]>::to_vec));
            self.left.extend(part.released.drain(..));
        }
    }

    /// Submits a call; the reply, if there is one already.
    fn submit(&mut self, from: Submitter, call: Syscall) -> Option<Outcome> {
        self.ticket += 1;
        let ticket = Ticket(self.ticket);
        self.step(Input::Submit(Submission { ticket, from, call }));
        self.left.iter().find_map(|output| match output {
            Output::Reply(to, outcome) if *to == ticket => Some(outcome.clone()),
            _ => None,
        })
    }

    fn host(&mut self, name: &str, args: Value) -> Outcome {
        let from = Submitter::Host("tester".into());
        self.submit(from, call(name, args)).expect("the host is answered at once")
    }

    fn process(&mut self, run: u64, index: u32, call: Syscall) -> Option<Outcome> {
        let step = Step { parent: None, index };
        self.submit(Submitter::Process { pid: Pid(1), run, step }, call)
    }

    /// The effect that was ordered last.
    fn ordered(&self) -> (OpId, Mode) {
        let order = self.left.iter().rev().find_map(|output| match output {
            Output::Effect(order) => Some((order.op, order.mode)),
            _ => None,
        });
        order.expect("an effect was ordered")
    }

    /// The host ends and begins again with all its records.
    fn restart(&mut self) {
        self.kernel = kernel();
        for body in &self.journal {
            self.kernel.replay(libos_abi::wire::decode_record(body).expect("it decodes"));
        }
        self.left.clear();
        let mut out = Outputs::default();
        self.kernel.recover(1, &mut out);
        self.keep(out);
        self.step(Input::Fill { slots: 9 });
    }

    fn usage(&mut self) -> Usage {
        match self.host("process.inspect", json!({ "pid": "p1" })) {
            Ok(Reply::Process(process::Reply::Inspect(info))) => info.usage,
            other => unreachable!("it is shown: {other:?}"),
        }
    }
}

/// Nothing else may ever happen that would have somebody look for a free slot again.
#[test]
fn a_timer_that_is_due_when_slots_are_filled_starts_its_process() {
    let mut core = Core::new(json!([]), json!({}));
    let receive = call("message.receive", json!({ "timeout_ms": 1 }));
    assert_eq!(core.process(1, 1, receive), None);
    assert_eq!(core.kernel.running(), 0, "it waits");
    core.step_at(50, Input::Fill { slots: 9 });
    assert_eq!(core.kernel.running(), 1, "it goes on");
    assert!(!core.kernel.is_idle());
}

/// What is performed again after a crash may have happened before it. That it does not begin the
/// second time certifies nothing, so the use is spent.
#[test]
fn a_use_is_spent_if_the_effect_may_have_happened_before_a_crash() {
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"], "uses": 1 }]);
    let mkdir = || call("fs.mkdir", json!({ "path": "a" }));
    let mut core = Core::new(grants, json!({}));
    assert_eq!(core.process(1, 1, mkdir()), None);
    let (op, _) = core.ordered();
    core.restart();
    assert_eq!(core.ordered(), (op, Mode::Perform));
    let error = Error::from(Fault::ProviderFailed { kind: "gone".into(), op });
    core.step(Input::Finished { op, outcome: EffectOutcome::NotStarted(error) });
    let again = core.process(2, 2, call("fs.mkdir", json!({ "path": "b" })));
    let denied = matches!(again, Some(Err(Error::Fault(Fault::Denied { .. }))));
    assert!(denied, "the one use is spent: {again:?}");
}

/// Without a crash the certificate gives the use back.
#[test]
fn a_use_comes_back_if_the_effect_never_began() {
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"], "uses": 1 }]);
    let mut core = Core::new(grants, json!({}));
    assert_eq!(core.process(1, 1, call("fs.mkdir", json!({ "path": "a" }))), None);
    let (op, _) = core.ordered();
    let error = Error::from(Fault::ProviderFailed { kind: "gone".into(), op });
    core.step(Input::Finished { op, outcome: EffectOutcome::NotStarted(error) });
    assert_eq!(core.process(1, 2, call("fs.mkdir", json!({ "path": "b" }))), None);
    assert_ne!(core.ordered().0, op, "it goes through to the provider");
}

/// A call that asks to raise a limit because of what it would make is charged once when it goes
/// through.
#[test]
fn a_call_that_waited_for_a_larger_limit_is_charged_once() {
    let grants = json!([{ "on": "process:spawn", "rights": ["write"] }]);
    for (budget, childs) in [
        (json!({ "syscalls": 10 }), json!({ "syscalls": 11 })),
        (json!({ "syscalls": 10, "children": 0 }), json!({})),
    ] {
        let mut core = Core::new(grants.clone(), budget.clone());
        let spawn = call("process.spawn", json!({ "goal": "g", "budget": childs }));
        assert_eq!(core.process(1, 1, spawn), None, "it waits for the human");
        let decision = json!({ "extend": { "by": 5 } });
        core.host("human.decide", json!({ "request": "req-1", "decision": decision }))
            .expect("it is raised");
        let usage = core.usage();
        assert_eq!((usage.syscalls, usage.children), (1, 1), "{budget}");
    }
}

/// What is set aside for a call that waits comes back when the host cancels it.
#[test]
fn a_call_that_the_host_cancels_keeps_nothing_of_the_budget() {
    let grants = json!([
        { "effect": "ask", "on": "fs:workspace/*", "rights": ["write"] },
        { "on": "fs:workspace/*", "rights": ["write"] },
    ]);
    let mut core = Core::new(grants, json!({ "bytes": 1_000 }));
    let write = call("fs.write", json!({ "path": "a", "text": "four" }));
    assert_eq!(core.process(1, 1, write), None, "it waits for the human");
    assert_eq!(core.usage().bytes, 4);
    core.host("process.signal", json!({ "pid": "p1", "signal": "cancel" })).expect("it is sent");
    assert_eq!(core.usage().bytes, 0);
}

/// How often each operation ends in the journal.
fn endings(core: &Core) -> Vec<OpId> {
    let records = core.journal.iter().map(|body| libos_abi::wire::decode_record(body));
    let events = records.flat_map(|record| record.expect("it decodes").events);
    let ended = events.filter_map(|event| match event {
        Event::Op(OpEvent::Settled { op, .. }) => Some(op),
        _ => None,
    });
    ended.collect()
}

/// A call that ends its own quantum after a human approved it has one outcome, and what it took of
/// a finite grant is taken.
#[test]
fn a_call_that_waited_and_then_ends_its_quantum_has_one_outcome() {
    let grants = json!([
        { "effect": "ask", "on": "image:*", "rights": ["execute"] },
        { "on": "image:*", "rights": ["execute"] },
    ]);
    let mut core = Core::new(grants, json!({}));
    let planner = json!({ "kind": "none", "program": "" });
    let exec = call("process.exec", json!({ "image": "base", "planner": planner }));
    assert_eq!(core.process(1, 1, exec), None, "it waits for the human");
    let decision = json!({ "approve": { "scope": "once" } });
    core.host("human.decide", json!({ "request": "req-1", "decision": decision }))
        .expect("it is approved");
    let mut ended = endings(&core);
    let all = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), all, "no operation ends twice");
    let reserved = core
        .journal
        .iter()
        .flat_map(|body| libos_abi::wire::decode_record(body).expect("it decodes").events);
    let (mut taken, mut settled) = (0, 0);
    for event in reserved {
        match event {
            Event::Capability(CapabilityEvent::Reserved { .. }) => taken += 1,
            Event::Capability(CapabilityEvent::Settled { gave_back: false, .. }) => settled += 1,
            _ => {}
        }
    }
    assert_eq!((taken, settled), (1, 1));
}
