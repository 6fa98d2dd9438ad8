//! What the two ends of a binding tell each other.
//!
//! Plain data, the same for both bindings: channels carry it as it is, frames its encoding.

use std::{fmt, sync::Arc};

use libos_abi::{
    Digest, Error, Event, FsPath, Json, Label, Need, OpId, Outcome, Pid, Reply, Syscall,
    tool::Program,
};
use libos_port::{
    BadSnapshot, Caller, Decision, EffectOutcome, Order, Port, Reach, Reconciled, Stop,
};

/// The kind of part a far end serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A component.
    Component,
    /// The component that decides.
    Authority,
    /// A provider.
    Provider,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "component",
            Self::Authority => "authority",
            Self::Provider => "provider",
        })
    }
}

/// The first message of a far end behind a stream: what it is.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) role: Role,
    pub(crate) serves: Vec<String>,
    pub(crate) imports: Vec<String>,
}

/// A call, with everything its context tells without being asked.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) now_ms: u64,
    pub(crate) started_ms: u64,
    pub(crate) op: OpId,
    pub(crate) caller: Caller,
    pub(crate) call: Syscall,
}

/// An authority query. The digest of its call follows from the call.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) subject: Pid,
    pub(crate) ancestors: Vec<Pid>,
    pub(crate) needs: Vec<Need>,
    pub(crate) call: Syscall,
    pub(crate) op: OpId,
    pub(crate) label: Label,
    pub(crate) now_ms: u64,
}

/// To a component.
#[derive(Debug)]
pub(crate) enum ToPart {
    Call(Box<Served>),
    /// What a call that the component sent ended in.
    Answer(Result<Reply, Error>),
    Decide(Box<Asked>),
    Reach {
        subject: Pid,
        kinds: Vec<String>,
        now_ms: u64,
    },
    Apply(Event),
    Begin,
    Rollback,
    Digest,
    Save,
    /// A piece of a state to take over; it is taken over with the last.
    Load {
        piece: Vec<u8>,
        is_last: bool,
    },
}

/// From a component.
#[derive(Debug)]
pub(crate) enum FromPart {
    Hello(Hello),
    Emit(Event),
    Send(Syscall),
    Done(Result<Reply, Stop>),
    Decided(Decision),
    Reached(Reach),
    Digest(Digest),
    /// A piece of the state.
    State {
        piece: Vec<u8>,
        is_last: bool,
    },
    Loaded,
    /// The state was not given, or not taken over.
    Refused(BadSnapshot),
}

/// An order without its port: calls on its behalf come back over the binding.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub(crate) op: OpId,
    pub(crate) pid: Option<Pid>,
    pub(crate) call: Syscall,
    pub(crate) cwd: FsPath,
    pub(crate) workspace: Option<Arc<str>>,
    pub(crate) waited_ms: u64,
    pub(crate) reach: Reach,
    pub(crate) program: Option<Arc<Program>>,
    /// In full.
    pub(crate) content: Option<Arc<[Json]>>,
}

impl From<Order> for Ordered {
    fn from(order: Order) -> Self {
        let Order { op, pid, call, cwd, workspace, waited_ms, reach, program, content, .. } = order;
        Self { op, pid, call, cwd, workspace, waited_ms, reach, program, content }
    }
}

impl Ordered {
    pub(crate) fn with(self, port: Arc<dyn Port>) -> Order {
        let Self { op, pid, call, cwd, workspace, waited_ms, reach, program, content } = self;
        let around = Order::alone(op, call);
        Order { pid, cwd, workspace, waited_ms, reach, program, content, port, ..around }
    }
}

/// To a provider. `id` counts the orders of one binding, `call` the calls made for one order.
#[derive(Debug)]
pub(crate) enum ToProvider {
    Perform {
        id: u64,
        order: Box<Ordered>,
    },
    Reconcile {
        id: u64,
        order: Box<Ordered>,
    },
    /// Nobody waits for the order any more.
    Abandon {
        id: u64,
    },
    /// What a call on behalf of an order ended in.
    Answer {
        id: u64,
        call: u64,
        outcome: Outcome,
    },
}

/// From a provider.
#[derive(Debug)]
pub(crate) enum FromProvider {
    Hello(Hello),
    Submit { id: u64, call: u64, what: Box<Syscall> },
    Done { id: u64, outcome: EffectOutcome },
    Reconciled { id: u64, known: Reconciled },
}
