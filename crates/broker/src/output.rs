//! Outputs: what a step asks of the edge.

use std::sync::Arc;

use libos_abi::{
    Digest, FsPath, Json, OpId, Outcome, Pid, RequestId, Syscall, Text,
    process::{Ending, RunOrder},
    tool::Program,
    wire,
};
use libos_port::{Reach, Receipt};

/// Names a caller that waits for a reply. The edge chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Records as the journal keeps them, one behind the other. Emptied and filled again, it allocates
/// nothing.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    /// Each record's bytes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| {
            let from = if at == 0 { 0 } else { self.ends[at - 1] };
            &self.bytes[from..self.ends[at]]
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a record of `count` encoded events.
    pub(crate) fn push(&mut self, at_ms: u64, count: u64, events: &[u8]) {
        // A record is a struct of a time and a list: both fixed-width numbers, then the events.
        wire::encode_into(&(at_ms, count), &mut self.bytes);
        self.bytes.extend_from_slice(events);
        self.ends.push(self.bytes.len());
    }
}

/// Everything one or more steps ask for, in order and in two parts.
#[derive(Debug, Default)]
pub struct Outputs {
    /// What depends on nothing that must be on disk: its outputs leave as soon as its records are
    /// in line to be written.
    pub early: Part,
    /// What came with or after a change that must be on disk: its outputs leave when its records
    /// are there.
    pub durable: Part,
    sync: bool,
}

/// Records and what they let out.
#[derive(Debug, Default)]
pub struct Part {
    /// Records to append to the journal, in order.
    pub records: Records,
    /// Payloads the records name by digest, to store before them.
    pub blobs: Vec<(Digest, Arc<[u8]>)>,
    /// What to let out.
    pub released: Vec<Output>,
}

impl Part {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.blobs.is_empty() && self.released.is_empty()
    }
}

impl Outputs {
    /// Empties it to be filled again.
    pub fn clear(&mut self) {
        for part in [&mut self.early, &mut self.durable] {
            part.records.clear();
            part.blobs.clear();
            part.released.clear();
        }
        self.sync = false;
    }

    /// From here on everything waits for the disk.
    pub(crate) fn sync(&mut self) {
        self.sync = true;
    }

    /// The part that what comes now belongs to.
    pub(crate) fn part(&mut self) -> &mut Part {
        if self.sync { &mut self.durable } else { &mut self.early }
    }

    /// Lets effects go ahead of everything: a planted bug.
    pub(crate) fn hurry_effects(&mut self) {
        let is_effect = |output: &mut Output| matches!(output, Output::Effect(_));
        let effects = self.durable.released.extract_if(.., is_effect);
        self.early.released.extend(effects);
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.part().released.push(output);
    }
}

/// One thing the edge is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Answer a caller.
    Reply(Ticket, Outcome),
    /// Forget a caller: its run is over, and it will not be answered.
    Forget(Ticket),
    /// Perform or reconcile an effect.
    Effect(Box<EffectOrder>),
    /// Start a run of a process.
    Start(Box<Start>),
    /// Drop the run of a process, and the tools it runs: it waits, is held or has ended.
    Stop(Pid),
    /// Abandon an effect: its process was ended.
    Cancel(OpId),
    /// Tell whoever watches. Always held until it is on disk.
    Notice(Box<Notice>),
}

/// An effect for a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectOrder {
    /// The operation.
    pub op: OpId,
    /// The process and its run; `None` for the host.
    pub run: Option<(Pid, u64)>,
    /// The canonical call; large payloads by digest.
    pub call: Syscall,
    /// The process's working directory.
    pub cwd: FsPath,
    /// The host folder behind its workspace.
    pub workspace: Option<Arc<str>>,
    /// How long ago the call was made, in milliseconds.
    pub waited_ms: u64,
    /// What a program may reach that runs for the process.
    pub reach: Reach,
    /// The generated tool that the call is about; large payloads by digest.
    pub program: Option<Arc<Program>>,
    /// The parts of the object whose content the call takes; large ones by digest.
    pub content: Option<Arc<[Json]>>,
    /// What to do.
    pub mode: Mode,
}

/// What to do about an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Perform it.
    Perform,
    /// Find out whether it happened.
    Reconcile,
}

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The process, its planner and what that kept.
    pub order: RunOrder,
    /// The number of the run's first step less one.
    pub steps_before: u32,
    /// The latest effects of the process that are over.
    pub receipts: Vec<Receipt>,
}

/// News for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A step of a process's plan is over.
    Step {
        /// The process.
        pid: Pid,
        /// The step, from 1.
        step: u32,
        /// The operation.
        op: OpId,
        /// The call.
        call: Syscall,
        /// What it ended in.
        outcome: Outcome,
    },
    /// A process was made.
    Spawned {
        /// The process.
        pid: Pid,
        /// Its parent.
        parent: Option<Pid>,
        /// Its goal.
        goal: Text,
    },
    /// A human is asked, or another process asks the same.
    Asked(RequestId),
    /// A human is told something.
    Output {
        /// By whom.
        pid: Option<Pid>,
        /// What.
        message: Text,
    },
    /// A process has ended.
    Ended {
        /// The process.
        pid: Pid,
        /// How.
        ending: Ending,
    },
}
