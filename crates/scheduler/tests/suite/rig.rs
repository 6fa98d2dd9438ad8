//! A fake kernel: transactions, a journal, and answers for the components the scheduler asks.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{
    CapId, DenyReason, Effect, Error, Event, Fault, Json, Millis, Need, ObjectId, OpId, Pid,
    Principal, Reply, Request, Syscall, Text, capability,
    image::{self, Image, ToolGroup},
    message, object,
    process::{self, Budget, PlannerSpec, ProcessState, Usage, Wait, WaitOn},
};
use libos_port::{Caller, Component, Context, Stop};
use libos_scheduler::Scheduler;

/// What the other components do, and what the transaction recorded.
pub(crate) struct Kernel {
    pub(crate) now_ms: u64,
    pub(crate) started_ms: u64,
    /// The operation being served.
    pub(crate) op: u64,
    caller: Caller,
    pub(crate) images: BTreeMap<String, Image>,
    /// Processes that may read their memory as a whole.
    pub(crate) spaces: BTreeSet<Pid>,
    /// The objects there are.
    pub(crate) objects: BTreeSet<ObjectId>,
    /// Whether parents and children have changed the same objects.
    pub(crate) conflicts: bool,
    /// The n-th call of `capability` or `object` from now on fails.
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
        OpId(self.op)
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
        if let Syscall::Capability(_) | Syscall::Object(_) = &call
            && let Some(left) = &mut self.refuse_in
        {
            *left -= 1;
            if *left == 0 {
                self.refuse_in = None;
                return Err(capability::FailureKind::BadGrant.because("refused by the test"));
            }
        }
        match call {
            Syscall::Image(image::Call::Inspect(call)) => self
                .images
                .get(&call.image)
                .map(|image| image::Reply::Inspect(image.clone().into()).into())
                .ok_or_else(|| image::FailureKind::NotFound.because("no image")),
            Syscall::Capability(call) => self.capability(call).map(Into::into),
            Syscall::Object(call) => self.object(call).map(Into::into),
            other => panic!("the scheduler asked for {other:?}"),
        }
    }
}

impl Kernel {
    fn capability(&mut self, call: capability::Call) -> Result<capability::Reply, Error> {
        self.next_cap += 1;
        let capability = CapId(self.next_cap);
        Ok(match call {
            capability::Call::Issue(_) => {
                capability::Reply::Issue(capability::Granted { capability })
            }
            capability::Call::Derive(call) => {
                let capabilities = call.grants.iter().map(|_| capability).collect();
                capability::Reply::Derive(capability::GrantedAll { capabilities })
            }
            capability::Call::Bound(_) => capability::Reply::Bound(()),
            capability::Call::Keep(call) => match call.keep.iter().find(|id| id.0 > 1_000) {
                Some(id) => {
                    let detail = format!("{id} is not held");
                    return Err(capability::FailureKind::NotFound.because(detail));
                }
                None => capability::Reply::Keep(capability::Revoked { capabilities: vec![] }),
            },
            capability::Call::Explain(call) => {
                let pid = call.pid.or(self.caller.pid()).unwrap();
                let effect = match self.spaces.contains(&pid) {
                    true => Effect::Allow,
                    false => Effect::Deny,
                };
                capability::Reply::Explain(capability::Explanation {
                    need: Need { right: call.right, on: call.on },
                    effect,
                    reason: (effect == Effect::Deny).then_some(DenyReason::NoGrant),
                    weighed: vec![],
                    text: String::new(),
                })
            }
            other => panic!("the scheduler asked for {other:?}"),
        })
    }

    fn object(&mut self, call: object::Call) -> Result<object::Reply, Error> {
        Ok(match call {
            object::Call::Stat(call) if self.objects.contains(&call.id) => {
                object::Reply::Stat(object_info(call.id))
            }
            object::Call::Stat(_) => {
                return Err(object::FailureKind::NotFound.because("no object"));
            }
            object::Call::ForkSpace(_) => object::Reply::ForkSpace(()),
            object::Call::MergeSpace(_) if self.conflicts => {
                return Err(object::FailureKind::VersionConflict.because("both changed obj-1.1"));
            }
            object::Call::MergeSpace(call) => object::Reply::MergeSpace(process::Merged {
                adopted: vec![],
                updated: vec![ObjectId { space: call.into, number: 1 }],
                kept: vec![],
            }),
            object::Call::DropSpace(_) => {
                object::Reply::DropSpace(process::Discarded { objects: 7 })
            }
            other => panic!("the scheduler asked for {other:?}"),
        })
    }
}

fn object_info(id: ObjectId) -> object::ObjectInfo {
    object::ObjectInfo {
        id,
        r#type: "note".into(),
        version: 1,
        digest: libos_abi::Digest::of(b""),
        bytes: 0,
        owner: id.space,
        namespace: None,
        name: None,
        parents: [].into(),
        created_at_ms: 0,
        updated_at_ms: 0,
        tags: [].into(),
        immutable: false,
        released: false,
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
            planner: planner.map(planner_of),
            ..Image::default()
        };
        let group =
            |name: &str| ToolGroup { name: name.into(), description: String::new(), tools: vec![] };
        let mut worker = image("worker", Some("script"));
        worker.tool_groups = vec![group("files"), group("web")];
        let images = [image("plain", None), worker];
        Self {
            scheduler: Scheduler::default(),
            kernel: Kernel {
                now_ms: 1_000,
                started_ms: 1_000,
                op: 1,
                caller: Caller { principal: Principal::Host("test".into()), admission: None },
                images: images.into_iter().map(|i| (i.name.clone(), i)).collect(),
                spaces: BTreeSet::new(),
                objects: BTreeSet::new(),
                conflicts: false,
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

    /// Makes the next calls those of a process, or of the host.
    pub(crate) fn speak_as(&mut self, by: Option<Pid>) {
        self.kernel.caller.principal = match by {
            None => Principal::Host("test".into()),
            Some(pid) => Principal::Process(pid),
        };
    }

    /// One call within a transaction.
    pub(crate) fn serve<R: Request>(&mut self, by: Option<Pid>, call: R) -> Result<R::Reply, Stop> {
        self.speak_as(by);
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

    /// Admits one new call of a process, as the operation after the last.
    pub(crate) fn admit(
        &mut self,
        pid: Pid,
        run: u64,
        charge: Usage,
    ) -> Result<std::sync::Arc<process::Admission>, Stop> {
        self.kernel.op += 1;
        self.call(HOST, process::Admit { pid, run, charge })
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
        Err(Stop::Perform | Stop::Run(_)) => "perform",
    }
}

/// What a call of a system service costs.
pub(crate) const ONE: Usage =
    Usage { syscalls: 1, tool_calls: 0, children: 0, bytes: 0, tokens: 0, cost: 0 };

pub(crate) fn launch(budget: Budget) -> process::Launch {
    process::Launch {
        image: "worker".into(),
        goal: Text::from("find the answer"),
        workspace: Some("/home/user/project".into()),
        planner: planner_of("script"),
        grants: vec![],
        budget,
        manifest: None,
        schedule: None,
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
        manifest: None,
        schedule: None,
    }
}

pub(crate) fn fork(mode: process::ForkMode) -> process::Fork {
    process::Fork {
        goal: Text::from("try it"),
        mode,
        roots: None,
        planner: None,
        grants: None,
        cwd: libos_abi::Folder(Some("workspace/src".into())),
        budget: None,
        manifest: None,
        schedule: None,
        pid: None,
    }
}

pub(crate) fn exec(image: &str) -> process::Exec {
    process::Exec {
        image: image.into(),
        goal: None,
        planner: None,
        keep: None,
        keep_objects: None,
        pid: None,
    }
}

pub(crate) fn task(owner: ObjectId) -> process::StartTask {
    process::StartTask {
        owner,
        tool: "survey".into(),
        args: Json(Text::from("{}")),
        grants: None,
        budget: None,
    }
}

pub(crate) fn exit() -> process::Exit {
    process::Exit { result: None, message: None, failed: None, code: None, pid: None }
}

pub(crate) fn list() -> process::List {
    process::List { after: None, live: None, limit: None }
}

pub(crate) fn signal(pid: Pid, signal: process::Signal) -> process::SendSignal {
    process::SendSignal { pid, signal, reason: Some("because".into()) }
}

pub(crate) fn send(to: Pid, body: &str) -> message::Send {
    message::Send {
        to,
        body: Text::from(body),
        subject: None,
        payload: None::<Json>,
        kind: None,
        channel: None,
        correlation: None,
        reply_to: None,
    }
}

pub(crate) fn interrupt(to: Pid, body: &str) -> message::Send {
    message::Send { kind: Some(message::MessageKind::Interrupt), ..send(to, body) }
}

pub(crate) fn receive(timeout_ms: Option<u64>) -> message::Receive {
    message::Receive {
        from: None,
        subject: None,
        limit: None,
        timeout_ms: timeout_ms.map(Millis),
        channel: None,
        correlation: None,
        reply_to: None,
    }
}

pub(crate) fn peek() -> message::Peek {
    message::Peek { from: None, channel: None, limit: None }
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
