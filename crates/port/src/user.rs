//! User land: ports and planners. Untrusted: it proposes, the broker decides.

use std::sync::Arc;

use libos_abi::{Digest, Error, Fault, ObjectId, OpId, Outcome, Pid, Request, Syscall};

use crate::BoxFuture;

/// The one door. A port belongs to one run of one process; the kernel stamps the caller.
pub trait Port: Send + Sync {
    /// Submits a call and waits for what it ends in. Calls are numbered in the order of
    /// submission: a planner that runs again must submit the same calls in the same order.
    ///
    /// While the process waits for long, the future is dropped; when the process runs again, the
    /// same call gets its recorded outcome.
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome>;
}

impl dyn Port + '_ {
    /// Submits a typed call and gives its typed reply.
    ///
    /// # Errors
    /// What the call ends in.
    pub async fn call<R: Request>(&self, request: R) -> Result<R::Reply, Error> {
        let name = R::INFO.name;
        let reply = self.submit(request.into()).await?;
        R::reply(reply).ok_or_else(|| Fault::Unsupported { call: name.into() }.into())
    }
}

/// What a planner gets for one quantum.
#[derive(Clone)]
pub struct Turn {
    /// The process.
    pub pid: Pid,
    /// The planner's program, as the process was made with.
    pub program: Arc<str>,
    /// What the planner kept at the end of the last quantum; empty at first.
    pub state: Arc<str>,
    /// The latest effects of the process that are over, oldest first: of earlier quanta, and of
    /// this one if it runs again. What is done need not be proposed again.
    pub receipts: Vec<Receipt>,
    /// The door.
    pub port: Arc<dyn Port>,
}

/// What is known of an effect that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The operation.
    pub op: OpId,
    /// Its call.
    pub call: &'static str,
    /// `ok`, or the code of what it ended in.
    pub outcome: &'static str,
    /// The digest of the canonical call.
    pub digest: Digest,
}

/// How a quantum ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuantumEnd {
    /// The process goes on; this is kept for its next quantum.
    Continue {
        /// What the planner needs to go on.
        state: String,
    },
    /// The process ends.
    Exit {
        /// The object it leaves as its result.
        result: Option<ObjectId>,
        /// A last word.
        message: Option<String>,
        /// Whether it ends badly.
        failed: bool,
        /// The code of the error it failed with, as in `denied`.
        code: Option<String>,
    },
}

/// Something that plans for processes: a script, a workflow, a model.
pub trait Planner: Send + Sync {
    /// The kind that process specifications name.
    fn kind(&self) -> &'static str;

    /// Runs one quantum. It may be run again from its start after a crash or a wait, with recorded
    /// outcomes; it must make the same calls in the same order until it comes to a new one.
    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd>;
}
