//! Providers: the only parts with effects outside the kernel.
//!
//! A provider does what the broker decided and reports. It never decides authority, never talks to
//! a component, and its own error texts never reach the caller: a failure is one of the service's
//! failures or [`Fault::ProviderFailed`](libos_abi::Fault::ProviderFailed) with a stable kind.

use std::sync::Arc;

use libos_abi::{Error, Fault, FsPath, Json, OpId, Outcome, Pid, Reply, Syscall, tool::Program};

use crate::{BoxFuture, Enclosed, Nobody, Parts, Port, Reach, Tell};

/// An effect to perform. Its intent is on disk, unless it only reads.
#[derive(Clone)]
pub struct Order {
    /// The operation: the id under which the effect is performed, repeated and reconciled.
    pub op: OpId,
    /// The process; `None` for the host's operator.
    pub pid: Option<Pid>,
    /// The canonical call, large payloads put back.
    pub call: Syscall,
    /// The process's working directory, canonical.
    pub cwd: FsPath,
    /// The host folder behind the process's workspace mount.
    pub workspace: Option<Arc<str>>,
    /// How long ago the call was made, in milliseconds: a human may have been asked since.
    pub waited_ms: u64,
    /// What a program may reach that runs for the process; for programs of the host only, and
    /// empty in any other order.
    pub reach: Reach,
    /// The generated tool that the call is about, large payloads put back.
    pub program: Option<Arc<Program>>,
    /// The parts of the object whose content the call takes, as [`Parts::load`] gives them.
    pub content: Option<Arc<[Json]>>,
    /// Where contents are kept that are too large for the reply.
    pub parts: Arc<dyn Parts>,
    /// A door for calls made on behalf of this operation, numbered under it.
    pub port: Arc<dyn Port>,
    /// Who is told how far it is.
    pub progress: Arc<dyn Tell>,
}

impl Order {
    /// An order with nothing around it, for whoever drives a provider without a kernel: the
    /// operator's, in no folder, with nothing to reach and a door behind which nothing is served.
    #[must_use]
    pub fn alone(op: OpId, call: impl Into<Syscall>) -> Self {
        Self {
            op,
            pid: None,
            call: call.into(),
            cwd: FsPath::from("workspace"),
            workspace: None,
            waited_ms: 0,
            reach: Reach::default(),
            program: None,
            content: None,
            parts: Arc::new(Enclosed),
            port: Arc::new(Closed),
            progress: Arc::new(Nobody),
        }
    }
}

/// A door behind which nothing is served.
struct Closed;

impl Port for Closed {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let call = call.info().name.into();
        Box::pin(async { Err(Fault::Unsupported { call }.into()) })
    }
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectOutcome {
    /// It happened.
    Done(Reply),
    /// It was tried and failed; whatever it set aside is spent.
    Failed(Error),
    /// The provider certifies that nothing began; what was set aside is given back.
    NotStarted(Error),
    /// Nobody can tell. The text is for the host's log.
    Unknown(String),
}

/// What a provider knows of an effect whose outcome a crash swallowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    /// It happened, with this reply.
    Happened(Reply),
    /// It did not happen; it may be performed.
    DidNotHappen,
    /// Nobody can tell.
    Unknown,
}

/// A provider of one or more services.
pub trait Provider: Send + Sync {
    /// The names of the services it performs effects for. Constant.
    fn serves(&self) -> &'static [&'static str];

    /// Performs an effect. Dropping the future abandons the effect; the provider then ends what it
    /// started.
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome>;

    /// Tells whether an effect happened. Asked after a crash, for reconcilable calls only.
    fn reconcile(&self, _order: Order) -> BoxFuture<'static, Reconciled> {
        Box::pin(async { Reconciled::Unknown })
    }
}
