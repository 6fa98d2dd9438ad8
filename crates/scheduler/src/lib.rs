//! Processes: who lives, who runs, who waits, what they use, what is in their mailboxes.
//!
//! Serves `process`, `message` and `clock`. Time is an input: a sleeping process is data and a
//! deadline is a number that the broker compares. The run queue is *not* state: it holds hints,
//! at least one for each runnable process, and each is checked against the table when popped. So
//! nothing is lost when a transaction is undone, and after recovery the queue is built from the
//! table. It never performs an effect, never decides what a process may do, and asks only
//! `capability` (a child's authority), `image` (what an image plans with) and `object` (a child's
//! memory).
//!
//! ```
//! use libos_port::Component;
//! use libos_scheduler::{RoundRobin, Scheduler};
//!
//! let scheduler = Scheduler::new(Box::new(RoundRobin::default()));
//! assert_eq!(scheduler.manifest().serves, ["process", "message", "clock"]);
//! assert_eq!(scheduler.digest(), Scheduler::default().digest());
//! ```
#![forbid(unsafe_code)]

mod budget;
mod checkpoint;
mod clock;
mod core;
mod creation;
mod limits;
mod message;
mod policy;
mod process;

use libos_abi::{DenyReason, Digest, Event, Fault, Pid, Reply, Syscall, event::ProcessEvent};
use libos_port::{BadSnapshot, Component, Context, Manifest, Reversible, Stop};

use crate::core::{Life, Standing, Table};
pub use crate::{
    limits::{LIMITS, Limits},
    policy::{EarliestDeadline, Facts, Policy, RoundRobin, WeightedFair},
};

/// The component behind `process`, `message` and `clock`.
pub struct Scheduler {
    state: Reversible<Table>,
    queue: Box<dyn Policy>,
    /// Processes whose hints were taken out of the queue since [`Component::begin`].
    taken: Vec<Pid>,
    /// Whether the queue was built anew since then.
    rebuilt: bool,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new(Box::new(RoundRobin::default()))
    }
}

impl Scheduler {
    /// An empty process table, scheduled by `policy`.
    #[must_use]
    pub fn new(policy: Box<dyn Policy>) -> Self {
        Self { state: Reversible::default(), queue: policy, taken: Vec::new(), rebuilt: false }
    }

    /// Applies an event about `pid` and keeps the queue's promise: a runnable process has a hint.
    fn change(&mut self, cx: &mut dyn Context, pid: Pid, event: ProcessEvent) {
        self.state.change(cx, event);
        match self.state.get(pid).map(|process| &process.turn.life) {
            Some(Life::Runnable) => self.hint(pid),
            Some(Life::Ended(_)) => {
                self.queue.remove(pid);
                self.taken.push(pid);
            }
            _ => {}
        }
    }

    fn hint(&mut self, pid: Pid) {
        if let Some(process) = self.state.get(pid)
            && matches!(process.turn.life, Life::Runnable)
        {
            let Standing { root, weight, task_weight, .. } = process.standing;
            let facts = Facts {
                root,
                weight,
                task_weight,
                deadline_ms: process.standing.deadline_ms(),
                runs: process.turn.run,
                quanta: process.turn.quantum,
                used: process.usage(),
            };
            self.queue.push(pid, facts);
        }
    }

    fn is_runnable(&self, pid: Pid) -> bool {
        self.state.get(pid).is_some_and(|process| matches!(process.turn.life, Life::Runnable))
    }

    /// The next process that really is runnable. Takes its hint.
    fn pop(&mut self) -> Option<Pid> {
        while let Some(pid) = self.queue.pop() {
            self.taken.push(pid);
            if self.is_runnable(pid) {
                return Some(pid);
            }
        }
        None
    }

    /// Builds the queue anew from the table.
    fn rebuild(&mut self) {
        self.rebuilt = true;
        self.queue.clear();
        let pids: Vec<Pid> = (self.state.all())
            .filter(|(_, process)| matches!(process.turn.life, Life::Runnable))
            .map(|(pid, _)| pid)
            .collect();
        for pid in pids {
            self.hint(pid);
        }
    }

    /// The calling process, for calls that are about the caller's own.
    fn own(&self, cx: &dyn Context) -> Result<Pid, Fault> {
        let pid = (cx.caller().pid()).ok_or_else(|| Fault::bad("this call is for processes"))?;
        self.state.live(pid).map(|_| pid).ok_or(Fault::NoProcess)
    }

    /// The calling process, or for the host the one it names.
    fn own_or_named(&self, cx: &dyn Context, named: Option<Pid>) -> Result<Pid, Fault> {
        match (cx.caller().pid(), named) {
            (Some(own), Some(named)) if own != named => {
                Err(Fault::denied(None, DenyReason::NotForProcesses))
            }
            (Some(_), _) => self.own(cx),
            (None, Some(named)) => self.state.live(named).map(|_| named).ok_or(Fault::NoProcess),
            (None, None) => Err(Fault::bad("the host names the process: pid")),
        }
    }
}

/// The point in time at which a call that began at `started_ms` gives up.
fn deadline(cx: &dyn Context, timeout: Option<libos_abi::Millis>) -> Option<u64> {
    timeout.map(|timeout| cx.started_ms().saturating_add(timeout.0))
}

/// Refuses what is too large.
fn at_most(bytes: u64, limit: u64, what: &str) -> Result<(), Fault> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Fault::Limit { what: format!("bytes of a {what}"), limit })
}

impl Component for Scheduler {
    fn manifest(&self) -> Manifest {
        Manifest {
            serves: &["process", "message", "clock"],
            imports: &["capability", "image", "object"],
        }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Process(call) => libos_abi::process::dispatch(self, cx, call),
            Syscall::Message(call) => libos_abi::message::dispatch(self, cx, call),
            Syscall::Clock(call) => libos_abi::clock::dispatch(self, cx, call),
            _ => Err(Stop::unsupported(call)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Process(event) = event {
            self.state.apply(event);
        }
    }

    fn begin(&mut self) {
        self.state.begin();
        self.taken.clear();
        self.rebuilt = false;
    }

    fn rollback(&mut self) {
        self.state.rollback();
        if self.rebuilt {
            self.rebuild();
        }
        for pid in std::mem::take(&mut self.taken) {
            self.hint(pid);
        }
    }

    fn digest(&self) -> Digest {
        self.state.digest()
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.state.write(out);
        Ok(())
    }

    /// As after folding a journal, nobody is queued until [`Recover`](libos_abi::process::Recover).
    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        self.state = Reversible::of(Table::read(bytes)?);
        self.queue.clear();
        self.taken.clear();
        Ok(())
    }
}
