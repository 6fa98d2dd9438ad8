//! A kernel for one component: one call is one transaction, as under the broker.
//!
//! Every call is held against three laws: a refusal leaves the state alone, a rollback restores
//! it, and folding the journal into a fresh component gives the same state.

use std::collections::BTreeMap;

use libos_abi::{
    Effect, Error, Event, Fault, FsPath, OpId, Pid, Principal, Reply, Request, Resource, Right,
    Syscall, capability, process::Admission,
};
use libos_port::{Caller, Component, Context, Stop};

/// What the rest of the system answers, and what it was sent.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) now_ms: u64,
    /// What `capability.may` says where it does not say `otherwise`.
    pub(crate) checks: BTreeMap<(Pid, Right, Resource), Effect>,
    pub(crate) otherwise: Effect,
    /// When the operation was admitted.
    pub(crate) started_ms: u64,
    pub(crate) sent: Vec<Syscall>,
    pub(crate) events: Vec<Event>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now_ms: 0,
            checks: BTreeMap::new(),
            otherwise: Effect::Deny,
            started_ms: 0,
            sent: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// One call as the component sees the kernel.
struct Call<'a> {
    world: &'a mut World,
    caller: Caller,
    op: OpId,
}

impl<'a> Call<'a> {
    fn new(world: &'a mut World, principal: Principal, op: u64) -> Self {
        let admission = principal.pid().map(|pid| Admission {
            root: pid,
            ancestors: [].into(),
            image: "base".into(),
            cwd: FsPath::from("workspace"),
            workspace: None,
            quantum: 1,
            tool_groups: [].into(),
            interrupted: false,
        });
        Self {
            world,
            caller: Caller { principal, admission: admission.map(Into::into) },
            op: OpId(op),
        }
    }
}

impl Context for Call<'_> {
    fn now_ms(&self) -> u64 {
        self.world.now_ms
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        self.op
    }
    fn started_ms(&self) -> u64 {
        self.world.started_ms
    }
    fn emit(&mut self, event: Event) {
        self.world.events.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        self.world.sent.push(call.clone());
        match call {
            Syscall::Capability(capability::Call::May(may)) => {
                let said = self.world.checks.get(&(may.pid, may.right, may.on)).copied();
                let allowed = said.unwrap_or(self.world.otherwise) == Effect::Allow;
                Ok(capability::Reply::May(capability::MayReply { allowed }).into())
            }
            other => Err(Fault::Unsupported { call: other.info().name.into() }.into()),
        }
    }
}

/// One component with its journal.
#[derive(Default)]
pub(crate) struct Kernel<C> {
    pub(crate) part: C,
    pub(crate) world: World,
    pub(crate) journal: Vec<Event>,
}

pub(crate) fn process(pid: u64) -> Principal {
    Principal::Process(Pid(pid))
}

pub(crate) fn host() -> Principal {
    Principal::Host("ada".into())
}

impl<C: Component + Default> Kernel<C> {
    /// Serves a call and checks the laws.
    pub(crate) fn serve(
        &mut self,
        principal: Principal,
        call: impl Into<Syscall>,
    ) -> Result<Reply, Stop> {
        let call = call.into();
        let op = self.journal.len() as u64 + 1;
        let before = self.part.digest();
        self.world.events.clear();
        self.world.sent.clear();
        let mut undone = self.world.clone();
        self.part.begin();
        let first = self.part.call(&mut Call::new(&mut undone, principal.clone(), op), &call);
        if matches!(first, Err(Stop::Error(_))) {
            assert!(undone.events.is_empty(), "a refusal makes no event: {call:?}");
            assert_eq!(self.part.digest(), before, "a refusal changes nothing: {call:?}");
        }
        self.part.rollback();
        assert_eq!(self.part.digest(), before, "a rollback restores the state: {call:?}");

        self.part.begin();
        let result = self.part.call(&mut Call::new(&mut self.world, principal, op), &call);
        assert_eq!(result, first, "the same state gives the same answer");
        match &result {
            Err(Stop::Error(_)) => {
                self.part.rollback();
                self.world.events.clear();
            }
            Ok(_) | Err(_) => self.journal.append(&mut self.world.events),
        }
        let mut fresh = C::default();
        self.journal.iter().for_each(|event| fresh.apply(event));
        assert_eq!(fresh.digest(), self.part.digest(), "the journal folds to the state: {call:?}");
        result
    }

    /// A call that must succeed, with its typed reply.
    pub(crate) fn ok<R: Request>(&mut self, principal: Principal, call: R) -> R::Reply {
        let reply = self.serve(principal, call).unwrap();
        R::reply(reply).unwrap()
    }

    /// A call that must fail, with the code of its error and its text.
    pub(crate) fn refused(
        &mut self,
        principal: Principal,
        call: impl Into<Syscall>,
    ) -> (&'static str, String) {
        match self.serve(principal, call) {
            Err(Stop::Error(error)) => (error.code(), error.to_string()),
            other => panic!("it should be refused: {other:?}"),
        }
    }

    /// A call that must succeed, without the checks.
    pub(crate) fn quickly(&mut self, principal: Principal, call: impl Into<Syscall>) {
        let mut cx = Call::new(&mut self.world, principal, 1);
        self.part.call(&mut cx, &call.into()).unwrap();
        self.journal.append(&mut self.world.events);
    }

    /// That a process is told, or not, that it may do something.
    pub(crate) fn says(&mut self, pid: u64, right: Right, on: Resource, effect: Effect) {
        self.world.checks.insert((Pid(pid), right, on), effect);
    }
}
