//! Planners: random programs that follow from a number, so that a quantum that runs again makes
//! the same calls. Some do not: they are there to be refused.

use libos_abi::{
    Error, Fault, Outcome, Reply, Syscall, capability, message, object,
    process::{self, PlannerSpec},
};
use serde_json::json;

use crate::{
    calls::{self, Known, call},
    random::Random,
};

/// Quanta after which a program ends: there is an end to every run.
const QUANTA_MAX: u32 = 5;

/// How a program behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It makes the same calls each time.
    Honest,
    /// It makes others each time it runs again.
    Diverging,
    /// It ends its quantum while calls are under way.
    Hasty,
    /// Some of its calls are forged.
    Forging,
}

/// What a program does next.
pub(crate) enum Next {
    /// It makes these calls at once, and goes on when all are answered.
    Calls(Vec<Syscall>),
    /// It ends its quantum, or itself, with this call.
    Close(Syscall),
}

/// One run of a program, or of a tool.
#[derive(Debug)]
pub(crate) struct Program {
    random: Random,
    depth: u64,
    known: Known,
    pub(crate) manner: Manner,
    /// How many groups of calls are left in this quantum.
    groups: usize,
    /// A task that calls one tool and leaves its result.
    tool: Option<Syscall>,
}

impl Program {
    /// A run of a process's program.
    pub(crate) fn new(planner: &PlannerSpec, state: &str, run: u64) -> Self {
        let program = planner.program.as_str().unwrap_or_default();
        let known: Known = serde_json::from_str(state).unwrap_or_default();
        if &*planner.kind == "workflow" {
            let spec: serde_json::Value = serde_json::from_str(program).unwrap_or_default();
            let args = json!({ "name": spec["tool"], "args": spec["args"] });
            let tool = Syscall::from_json("tool.call", args).ok();
            let random = Random::of(0, 0);
            return Self { random, depth: 9, known, manner: Manner::Honest, groups: 1, tool };
        }
        let mut words = program.split(' ').map(|word| word.parse().unwrap_or(0));
        let (seed, depth) = (words.next().unwrap_or(0), words.next().unwrap_or(9));
        let manner = match seed % 16 {
            0 => Manner::Diverging,
            1 => Manner::Hasty,
            2 => Manner::Forging,
            _ => Manner::Honest,
        };
        let number = match manner {
            Manner::Diverging => run,
            _ => u64::from(known.quantum),
        };
        let mut random = Random::of(seed, number);
        let groups = 1 + random.below(4);
        Self { random, depth, known, manner, groups, tool: None }
    }

    /// A run of a tool.
    pub(crate) fn tool(args: &serde_json::Value) -> Self {
        let seed = args["seed"].as_u64().unwrap_or(0);
        let mut random = Random::of(seed, 7);
        let groups = random.below(3);
        let manner = Manner::Honest;
        Self { random, depth: 9, known: Known::default(), manner, groups, tool: None }
    }

    /// What it does first, or after the calls it made were answered so.
    pub(crate) fn next(&mut self, answered: &[(Syscall, Outcome)]) -> Next {
        answered.iter().for_each(|(call, outcome)| self.learn(call, outcome));
        if let Some(tool) = self.tool.take() {
            return Next::Calls(vec![tool]);
        }
        if self.groups == 0 {
            return Next::Close(self.close());
        }
        self.groups -= 1;
        let count = 1 + self.random.below(3) * self.random.below(2);
        let calls = (0..count).map(|_| match self.manner {
            Manner::Forging if self.random.percent(30) => {
                calls::forged(&mut self.random, &self.known)
            }
            _ => calls::of_process(&mut self.random, &self.known, self.depth),
        });
        Next::Calls(calls.collect())
    }

    /// Whether it ends its quantum although calls are under way.
    pub(crate) fn is_hasty(&mut self) -> bool {
        self.manner == Manner::Hasty && self.random.percent(20)
    }

    /// The call that ends its quantum, or itself.
    pub(crate) fn close(&mut self) -> Syscall {
        self.known.quantum += 1;
        if self.known.quantum >= QUANTA_MAX || self.depth == 9 || self.random.percent(20) {
            let result = self.random.one(&self.known.objects).filter(|_| self.depth != 9);
            let failed = self.random.percent(30);
            return call("process.exit", json!({ "result": result, "failed": failed }));
        }
        let state = serde_json::to_string(&self.known).unwrap_or_default();
        process::Commit { state: state.into() }.into()
    }

    fn learn(&mut self, called: &Syscall, outcome: &Outcome) {
        let known = &mut self.known;
        match outcome {
            Ok(Reply::Process(
                process::Reply::Spawn(made)
                | process::Reply::Fork(made)
                | process::Reply::StartTask(made),
            )) => {
                known.children.push(made.pid);
                known.capabilities.extend(&made.capabilities);
            }
            Ok(Reply::Object(object::Reply::Create(handle))) => known.objects.push(handle.id),
            Ok(Reply::Capability(
                capability::Reply::Delegate(granted) | capability::Reply::Grant(granted),
            )) => known.capabilities.push(granted.capability),
            Ok(Reply::Capability(capability::Reply::List(list))) => {
                known.capabilities.extend(list.capabilities.iter().map(|cap| cap.id).take(3));
            }
            Ok(Reply::Message(message::Reply::Receive(got))) => {
                known.messages.extend(got.messages.iter().map(|message| message.id).take(2));
            }
            Err(Error::Fault(Fault::Denied { .. })) if called.info().service == "object" => {
                known.objects.pop();
            }
            _ => {}
        }
        known.capabilities.truncate(12);
        known.objects.truncate(6);
        known.messages.truncate(6);
    }
}
