//! A kernel on the caller's own thread: what the runtime's core does, without its edge.

use libos_abi::{
    Folder, GrantSpec, Outcome, Pid, Request, Syscall,
    event::Step,
    process::{Budget, Commit, Launch, PlannerSpec, Spawn},
    wire,
};
use libos_broker::{Input, Kernel, Output, Outputs, Parts, Submission, Submitter, Ticket};

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
    /// A kernel of the standard parts, without history.
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
            ],
        )
        .expect("the standard parts fit together");
        Self {
            kernel: Kernel::new(parts, ["fs", "shell", "tool", "audit"]),
            out: Outputs::default(),
            now_ms: 1_800_000_000_000,
            tickets: 0,
        }
    }

    /// Takes one input; what came out before is forgotten.
    pub fn step(&mut self, input: Input) {
        self.out = Outputs::default();
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

    /// The records that the last step asked to append, as the journal takes them.
    pub fn records(&self) -> impl Iterator<Item = Vec<u8>> {
        self.out.early.records.iter().chain(&self.out.durable.records).map(wire::encode)
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
        assert!(self.reply().is_none(), "{} waits", R::INFO.name);
    }

    fn expect<R: Request>(&mut self) -> R::Reply {
        let reply = self.reply().unwrap_or_else(|| panic!("{} waits", R::INFO.name));
        let reply = reply.unwrap_or_else(|error| panic!("{} failed: {error}", R::INFO.name));
        R::reply(reply).expect("a reply belongs to its call")
    }

    /// Makes the root of a task.
    pub fn launch(&mut self, grants: &[GrantSpec]) -> Pid {
        let launch = Launch {
            image: "base-agent".into(),
            goal: "measure".into(),
            workspace: None,
            planner: PlannerSpec { kind: "none".into(), program: "".into() },
            grants: grants.to_vec(),
            budget: Budget::default(),
        };
        self.host(launch).pid
    }

    /// The making of a child that holds `grants`.
    #[must_use]
    pub fn spawn(grants: Option<Vec<GrantSpec>>) -> Spawn {
        let (goal, cwd) = ("measure".into(), Folder::default());
        Spawn { goal, image: None, planner: None, grants, cwd, budget: None }
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

/// A grant that allows `rights` on `on`, as a task file writes it.
///
/// # Panics
/// When one of them is none.
#[must_use]
pub fn allow(on: &str, rights: &[&str]) -> GrantSpec {
    serde_json::from_value(serde_json::json!({ "on": on, "rights": rights }))
        .expect("a grant of the bench is well-formed")
}
