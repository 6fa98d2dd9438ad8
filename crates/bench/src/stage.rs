//! A kernel on the caller's own thread: what the runtime's core does, without its edge.

use libos_abi::{
    GrantSpec, ObjectId, Outcome, Pid, Request, Syscall,
    event::Step,
    message, object,
    process::{Commit, Launch, Spawn},
};
use libos_broker::{Input, Kernel, Output, Outputs, Parts, Submission, Submitter, Ticket};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The standard kernel and what it let out last.
pub struct Stage {
    /// The kernel.
    pub kernel: Kernel,
    /// What the last step asked for.
    pub out: Outputs,
    /// The time it is told, in milliseconds since the epoch.
    pub now_ms: u64,
    tickets: u64,
}

/// A run of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The process.
    pub pid: Pid,
    /// The run's number.
    pub run: u64,
    /// The number of the last step.
    pub step: u32,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// A kernel of the standard parts, without history. Nobody watches it.
    #[must_use]
    pub fn new() -> Self {
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
        )
        .expect("the standard parts fit together");
        let mut kernel = Kernel::new(parts, ["fs", "shell", "tool", "audit"]);
        kernel.set_watched(false);
        Self { kernel, out: Outputs::default(), now_ms: 1_800_000_000_000, tickets: 0 }
    }

    /// Takes one input; what came out before is forgotten.
    pub fn step(&mut self, input: Input) {
        self.out.clear();
        self.kernel.step(self.now_ms, input, &mut self.out);
    }

    /// Submits a call. The reply, if there is one already, is in [`Stage::out`].
    pub fn submit(&mut self, from: Submitter, call: Syscall) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.step(Input::Submit(Submission { ticket, from, call }));
    }

    /// What the last call ended in; `None` while it waits.
    pub fn reply(&mut self) -> Option<Outcome> {
        let ticket = Ticket(self.tickets);
        let parts = [&mut self.out.early, &mut self.out.durable];
        parts.into_iter().flat_map(|part| part.released.drain(..)).find_map(|output| match output {
            Output::Reply(to, outcome) if to == ticket => Some(outcome),
            _ => None,
        })
    }

    /// The records that the last step asked to append.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        [&self.out.early, &self.out.durable].into_iter().flat_map(|part| part.records.iter())
    }

    /// A call of the host's operator.
    pub fn host<R: Request>(&mut self, request: R) -> R::Reply {
        self.submit(Submitter::Host("bench".into()), request.into());
        self.expect::<R>()
    }

    /// A call of a process, as its next step.
    pub fn call<R: Request>(&mut self, run: &mut Run, request: R) -> R::Reply {
        run.step += 1;
        self.submit(run.submitter(), request.into());
        self.expect::<R>()
    }

    /// A call of a process, as its next step, that waits: the run is over.
    ///
    /// # Panics
    /// When it ends at once.
    pub fn wait<R: Request>(&mut self, run: &mut Run, request: R) {
        run.step += 1;
        self.submit(run.submitter(), request.into());
        let reply = self.reply();
        assert!(reply.is_none(), "{} waits: {reply:?}", R::INFO.name);
    }

    fn expect<R: Request>(&mut self) -> R::Reply {
        let reply = self.reply().unwrap_or_else(|| panic!("{} waits", R::INFO.name));
        let reply = reply.unwrap_or_else(|error| panic!("{} failed: {error}", R::INFO.name));
        R::reply(reply).expect("a reply belongs to its call")
    }

    /// Makes the root of a task.
    pub fn launch(&mut self, grants: &[GrantSpec]) -> Pid {
        let launch: Launch = request(json!({
            "image": "base", "goal": "measure", "planner": { "kind": "none", "program": "" },
            "grants": grants, "budget": {},
        }));
        self.host(launch).pid
    }

    /// Starts the next runnable process.
    pub fn start(&mut self) -> Option<Run> {
        self.step(Input::Fill { slots: 1 });
        let parts = [&mut self.out.early, &mut self.out.durable];
        parts.into_iter().flat_map(|part| part.released.drain(..)).find_map(|output| match output {
            Output::Start(start) => {
                Some(Run { pid: start.order.pid, run: start.order.run, step: start.steps_before })
            }
            _ => None,
        })
    }

    /// Ends a run's quantum and starts the next runnable process, which may be the same.
    pub fn next_quantum(&mut self, run: Run) -> Option<Run> {
        self.submit(run.closing(), Commit { state: "".into() }.into());
        self.expect::<Commit>();
        self.start()
    }
}

impl Run {
    /// The run at its current step.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        let step = Step { parent: None, index: self.step };
        Submitter::Process { pid: self.pid, run: self.run, step }
    }

    /// The run as it closes its quantum.
    #[must_use]
    pub fn closing(&self) -> Submitter {
        let step = Step { parent: None, index: 0 };
        Submitter::Process { pid: self.pid, run: self.run, step }
    }
}

/// A request as a script writes it: what may be left out is left out.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn request<R: DeserializeOwned>(args: Value) -> R {
    serde_json::from_value(args).expect("a request of the bench is well-formed")
}

/// The making of a child that holds `grants`.
#[must_use]
pub fn spawn(grants: &[GrantSpec]) -> Spawn {
    request(json!({ "goal": "measure", "grants": grants }))
}

/// The sending of a few words.
#[must_use]
pub fn send(to: Pid) -> message::Send {
    request(json!({ "to": to, "body": "go on" }))
}

/// The wait for any message.
#[must_use]
pub fn receive() -> message::Receive {
    request(json!({}))
}

/// The making of a small object.
#[must_use]
pub fn note() -> object::Create {
    request(json!({ "type": "note", "payload": null }))
}

/// A new version of an object.
#[must_use]
pub fn update(id: ObjectId, n: usize) -> object::Update {
    request(json!({ "id": id, "payload": { "counted": n } }))
}

/// A grant that allows `rights` on `on`.
#[must_use]
pub fn allow(on: &str, rights: &[&str]) -> GrantSpec {
    request(json!({ "on": on, "rights": rights }))
}
