//! A kernel for one component: one call is one transaction, as under the broker.
//!
//! Every call is held against three laws: a refusal leaves the state alone, a rollback restores
//! it, and folding the journal into a fresh component gives the same state.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{
    CapId, Effect, Error, Event, Fault, FsPath, Need, OpId, Pid, Principal, Reply, Resource,
    Syscall, capability, process::Admission,
};
use libos_port::{Caller, Component, Context, Stop};

/// What the rest of the system answers, and what it was sent.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) now_ms: u64,
    /// What `capability.explain` says of a resource; of any other, deny.
    pub(crate) explains: BTreeMap<Resource, Effect>,
    /// The numbers of the `capability.issue` calls that fail, from 1.
    pub(crate) issue_fails: BTreeSet<u64>,
    pub(crate) issued: u64,
    pub(crate) sent: Vec<Syscall>,
    pub(crate) events: Vec<Event>,
    pub(crate) image: String,
    pub(crate) tool_groups: Vec<&'static str>,
}

struct Call<'a> {
    world: &'a mut World,
    caller: Caller,
    op: OpId,
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
        self.world.now_ms
    }
    fn emit(&mut self, event: Event) {
        self.world.events.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        self.world.sent.push(call.clone());
        match call {
            Syscall::Capability(capability::Call::Issue(_)) => {
                self.world.issued += 1;
                if self.world.issue_fails.contains(&self.world.issued) {
                    return Err(capability::FailureKind::BadGrant.because("as the test says"));
                }
                let capability = CapId(self.world.issued);
                Ok(capability::Reply::Issue(capability::Granted { capability }).into())
            }
            Syscall::Capability(capability::Call::Explain(explain)) => {
                let effect = self.world.explains.get(&explain.on).copied();
                Ok(capability::Reply::Explain(capability::Explanation {
                    need: Need { right: explain.right, on: explain.on },
                    effect: effect.unwrap_or(Effect::Deny),
                    reason: None,
                    weighed: Vec::new(),
                    text: String::new(),
                })
                .into())
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
        op: u64,
        call: impl Into<Syscall>,
    ) -> Result<Reply, Stop> {
        let before = self.part.digest();
        let issued = self.world.issued;
        self.world.events.clear();
        self.world.sent.clear();
        let admission = principal.pid().map(|pid| Admission {
            root: pid,
            ancestors: [].into(),
            image: self.world.image.as_str().into(),
            cwd: FsPath::from("workspace"),
            workspace: None,
            quantum: 1,
            tool_groups: self.world.tool_groups.iter().map(|group| (*group).into()).collect(),
            interrupted: false,
        });
        let mut cx =
            Call { world: &mut self.world, caller: Caller { principal, admission }, op: OpId(op) };
        self.part.begin();
        let result = self.part.call(&mut cx, &call.into());
        match &result {
            Ok(_) | Err(Stop::Wait(_)) => self.journal.append(&mut self.world.events),
            Err(Stop::Perform) => assert!(self.world.events.is_empty(), "nothing to change"),
            Err(Stop::Error(_)) => {
                // Only what another component refuses may come after a change.
                if self.world.issued == issued {
                    assert!(self.world.events.is_empty(), "a refusal makes no event");
                    assert_eq!(self.part.digest(), before, "a refusal changes nothing");
                }
                self.part.rollback();
                self.world.events.clear();
                assert_eq!(self.part.digest(), before, "a rollback restores the state");
            }
        }
        let mut fresh = C::default();
        self.journal.iter().for_each(|event| fresh.apply(event));
        assert_eq!(fresh.digest(), self.part.digest(), "the journal folds to the state");
        result
    }

    /// A call that must succeed, with its typed reply.
    pub(crate) fn ok<R: libos_abi::Request>(
        &mut self,
        principal: Principal,
        op: u64,
        call: R,
    ) -> R::Reply {
        let reply = self.serve(principal, op, call).unwrap();
        R::reply(reply).unwrap()
    }

    /// A call that must fail, with the code of its error and its text.
    pub(crate) fn refused(
        &mut self,
        principal: Principal,
        op: u64,
        call: impl Into<Syscall>,
    ) -> (&'static str, String) {
        match self.serve(principal, op, call) {
            Err(Stop::Error(error)) => (error.code(), error.to_string()),
            other => panic!("it should be refused: {other:?}"),
        }
    }
}
