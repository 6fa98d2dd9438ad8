//! The plainest scheduling policy.

use std::collections::{BTreeSet, VecDeque};

use libos_abi::Pid;
use libos_scheduler::{Facts, Policy};

/// First come, first served, whoever they are; broken if told so.
#[derive(Default)]
pub(crate) struct Fifo {
    pub(crate) queue: VecDeque<Pid>,
    /// The last who came is served first.
    pub(crate) last_first: bool,
    /// Who has been there once is not taken again.
    pub(crate) once: Option<BTreeSet<Pid>>,
}

impl Policy for Fifo {
    fn push(&mut self, pid: Pid, _: Facts) {
        let is_new = self.once.as_mut().is_none_or(|seen| seen.insert(pid));
        if is_new && !self.queue.contains(&pid) {
            self.queue.push_back(pid);
        }
    }

    fn pop(&mut self) -> Option<Pid> {
        if self.last_first { self.queue.pop_back() } else { self.queue.pop_front() }
    }

    fn remove(&mut self, pid: Pid) {
        self.queue.retain(|queued| *queued != pid);
    }
}
