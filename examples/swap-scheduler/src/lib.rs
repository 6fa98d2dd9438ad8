//! A scheduling policy: whoever runs may go on for a while before it is the next one's turn.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use agent_libos::abi::Pid;
use libos_scheduler::{Facts, Policy};

/// How many quanta a process gets in a row, if it can use them.
const BURST: u32 = 3;

/// Runs processes in bursts, one process after the other.
#[derive(Debug, Default)]
pub struct Bursts {
    queue: VecDeque<Pid>,
    /// Whose burst it is, and how much of it is left.
    current: Option<(Pid, u32)>,
}

impl Policy for Bursts {
    fn push(&mut self, pid: Pid, _: Facts) {
        if self.queue.contains(&pid) {
            return;
        }
        match self.current {
            Some((current, left)) if current == pid && left > 0 => self.queue.push_front(pid),
            _ => self.queue.push_back(pid),
        }
    }

    fn pop(&mut self) -> Option<Pid> {
        let pid = self.queue.pop_front()?;
        let left = match self.current {
            Some((current, left)) if current == pid && left > 0 => left,
            _ => BURST,
        };
        self.current = Some((pid, left - 1));
        Some(pid)
    }

    fn remove(&mut self, pid: Pid) {
        self.queue.retain(|queued| *queued != pid);
    }
}
