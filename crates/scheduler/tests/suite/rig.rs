//! A fake kernel: transactions, a journal, and answers for the components the scheduler asks.

use std::collections::BTreeMap;

use libos_abi::{
    CapId, Error, Event, Fault, Json, Millis, OpId, Pid, Principal, Reply, Request, Syscall, Text,
    capability,
    image::{self, Image},
    message,
    process::{self, Budget, PlannerSpec, ProcessState, Wait, WaitOn},
};
use libos_port::{Caller, Component, Context, Stop};
use libos_scheduler::Scheduler;

/// What the other components do, and what the transaction recorded.
pub(crate) struct Kernel {
    pub(crate) now_ms: u64,
    pub(crate) started_ms: u64,
    caller: Caller,
    pub(crate) images: BTreeMap<String, Image>,
    /// The n-th capability call from now on fails.
    pub(crate) refuse_in: Option<u32>,
    /// Whether calls to other components are kept.
    pub(crate) keep: bool,
    pub(crate) asked: Vec<Syscall>,
    events: Vec<Event>,
    next_cap: u64,
}

impl Context for Kernel {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        OpId(1)
    }
    fn started_ms(&self) -> u64 {
        self.started_ms
    }
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        if self.keep {
            self.asked.push(call.clone());
        }
        if let Syscall::Capability(_) = &call
            && let Some(left) = &mut self.refuse_in
        {
            *left -= 1;
            if *left == 0 {
                self.refuse_in = None;
                return Err(capability::FailureKind::BadGrant.because("refused by the test"));
            }
        }
        self.next_cap += 1;
        let capability = CapId(self.next_cap);
        match call {
            Syscall::Image(image::Call::Inspect(call)) => self
                .images
                .get(&call.image)
                .map(|image| image::Reply::Inspect(image.clone()).into())
                .ok_or_else(|| image::FailureKind::NotFound.because("no image")),
            Syscall::Capability(capability::Call::Issue(_)) => {
                Ok(capability::Reply::Issue(capability::Granted { capability }).into())
            }
            Syscall::Capability(capability::Call::Derive(call)) => {
                let capabilities = call.grants.iter().map(|_| capability).collect();
                Ok(capability::Reply::Derive(capability::GrantedAll { capabilities }).into())
            }
            other => panic!("the scheduler asked for {other:?}"),
        }
    }
}

/// The scheduler and its kernel.
pub(crate) struct Rig {
    pub(crate) scheduler: Scheduler,
    pub(crate) kernel: Kernel,
    pub(crate) journal: Vec<Event>,
    /// Whether events are kept.
    pub(crate) record: bool,
}

impl Default for Rig {
    fn default() -> Self {
        let image = |name: &str, planner: Option<&str>| Image {
            name: name.into(),
            version: "1".into(),
            description: String::new(),
            prompt: Text::default(),
            tools: vec![],
            planner: planner.map(planner_of),
            required_capabilities: vec![],
        };
        let images = [image("plain", None), image("worker", Some("script"))];
        Self {
            scheduler: Scheduler::default(),
            kernel: Kernel {
                now_ms: 1_000,
                started_ms: 1_000,
                caller: Caller { principal: Principal::Host("test".into()), admission: None },
                images: images.into_iter().map(|i| (i.name.clone(), i)).collect(),
                refuse_in: None,
                keep: true,
                asked: vec![],
                events: vec![],
                next_cap: 0,
            },
            journal: vec![],
            record: true,
        }
    }
}

pub(crate) fn planner_of(kind: &str) -> PlannerSpec {
    PlannerSpec { kind: kind.into(), program: Text::from("program") }
}

/// The host.
pub(crate) const HOST: Option<Pid> = None;

impl Rig {
    /// One transaction of several calls, kept or undone.
    pub(crate) fn transaction<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        self.scheduler.begin();
        let result = body(self);
        if matches!(result, Err(Stop::Error(_))) {
            self.scheduler.rollback();
            self.kernel.events.clear();
        } else if self.record {
            self.journal.append(&mut self.kernel.events);
        } else {
            self.kernel.events.clear();
        }
        result
    }

    /// One call within a transaction.
    pub(crate) fn serve<R: Request>(&mut self, by: Option<Pid>, call: R) -> Result<R::Reply, Stop> {
        self.kernel.caller.principal = match by {
            None => Principal::Host("test".into()),
            Some(pid) => Principal::Process(pid),
        };
        let reply = self.scheduler.call(&mut self.kernel, &call.into())?;
        Ok(R::reply(reply).expect("a reply is its call's"))
    }

    /// One call that begins now, in a transaction of its own.
    pub(crate) fn call<R: Request>(&mut self, by: Option<Pid>, call: R) -> Result<R::Reply, Stop> {
        self.kernel.started_ms = self.kernel.now_ms;
        self.again(by, call)
    }

    /// One call that began at `started_ms`.
    pub(crate) fn again<R: Request>(&mut self, by: Option<Pid>, call: R) -> Result<R::Reply, Stop> {
        self.transaction(|rig| rig.serve(by, call))
    }

    pub(crate) fn launch(&mut self, budget: Budget) -> Pid {
        self.call(HOST, launch(budget)).unwrap().pid
    }

    pub(crate) fn spawn(&mut self, parent: Pid, budget: Budget) -> Pid {
        self.call(Some(parent), spawn(budget)).unwrap().pid
    }

    pub(crate) fn next(&mut self) -> Option<Pid> {
        let order = self.call(HOST, process::Next {}).unwrap();
        order.map(|order| order.pid)
    }

    /// Runs the queue until `pid` runs.
    pub(crate) fn run(&mut self, pid: Pid) -> u64 {
        loop {
            let order = self.call(HOST, process::Next {}).unwrap();
            let order = order.expect("the process is runnable");
            if order.pid == pid {
                return order.run;
            }
        }
    }

    pub(crate) fn block(&mut self, pid: Pid) {
        let wait = Wait { on: WaitOn::Time, until_ms: Some(9_999) };
        let reply = self.call(HOST, process::Block { pid, wait }).unwrap();
        assert_eq!(reply.state, ProcessState::Waiting);
    }

    pub(crate) fn info(&mut self, pid: Pid) -> process::ProcessInfo {
        self.call(HOST, process::Inspect { pid }).unwrap()
    }

    pub(crate) fn state(&mut self, pid: Pid) -> ProcessState {
        self.info(pid).state
    }

    /// Folding the journal gives the state.
    pub(crate) fn check_fold(&self) {
        let mut folded = Scheduler::default();
        self.journal.iter().for_each(|event| folded.apply(event));
        assert_eq!(folded.digest(), self.scheduler.digest(), "fold law");
    }
}

/// `ok`, `wait`, or the code of what it ended in.
pub(crate) fn code<T>(result: &Result<T, Stop>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Stop::Wait(_)) => "wait",
        Err(Stop::Error(error)) => error.code(),
        Err(Stop::Perform) => "perform",
    }
}

pub(crate) fn launch(budget: Budget) -> process::Launch {
    process::Launch {
        image: "worker".into(),
        goal: Text::from("find the answer"),
        workspace: Some("/home/user/project".into()),
        planner: planner_of("script"),
        grants: vec![],
        budget,
    }
}

pub(crate) fn spawn(budget: Budget) -> process::Spawn {
    process::Spawn {
        goal: Text::from("help"),
        image: None,
        planner: None,
        grants: None,
        cwd: libos_abi::Folder(Some("workspace/src".into())),
        budget: Some(budget),
    }
}

pub(crate) fn exit() -> process::Exit {
    process::Exit { result: None, message: None, failed: None, code: None }
}

pub(crate) fn signal(pid: Pid, signal: process::Signal) -> process::SendSignal {
    process::SendSignal { pid, signal, reason: Some("because".into()) }
}

pub(crate) fn send(to: Pid, body: &str) -> message::Send {
    message::Send { to, body: Text::from(body), subject: None, payload: None::<Json> }
}

pub(crate) fn receive(timeout_ms: Option<u64>) -> message::Receive {
    message::Receive { from: None, subject: None, limit: None, timeout_ms: timeout_ms.map(Millis) }
}

pub(crate) fn wait(pid: Pid, timeout_ms: Option<u64>) -> process::WaitChild {
    process::WaitChild { pid, timeout_ms: timeout_ms.map(Millis) }
}

pub(crate) fn fault<T: std::fmt::Debug>(result: Result<T, Stop>) -> Fault {
    match result {
        Err(Stop::Error(Error::Fault(fault))) => fault,
        other => panic!("no fault: {other:?}"),
    }
}
