//! Round robin: first come, first served.

use std::collections::VecDeque;

use libos_abi::Pid;
use rustc_hash::FxHashMap;

use super::{Facts, Policy};

/// First come, first served. Every operation is O(1), amortized. Each queued process runs once
/// before any runs twice; a task with many processes has as many turns.
///
/// ```
/// use libos_abi::{Pid, process::Usage};
/// use libos_scheduler::{Facts, Policy, RoundRobin};
///
/// let facts = Facts {
///     root: Pid(1),
///     weight: 100,
///     task_weight: 100,
///     deadline_ms: None,
///     runs: 0,
///     quanta: 0,
///     used: Usage::default(),
/// };
/// let mut queue = RoundRobin::default();
/// for pid in [Pid(2), Pid(1), Pid(2)] {
///     queue.push(pid, facts);
/// }
/// assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(Pid(2)), Some(Pid(1)), None]);
/// ```
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// Tickets in order. One that is not its process's ticket in `tickets` was given up.
    line: VecDeque<(Pid, u64)>,
    /// The ticket of each queued process. Its order is never used.
    tickets: FxHashMap<Pid, u64>,
    last: u64,
}

impl RoundRobin {
    /// Drops given-up tickets once they outnumber the others.
    fn tidy(&mut self) {
        if self.line.len() > 2 * self.tickets.len() + 64 {
            let tickets = &self.tickets;
            self.line.retain(|(pid, ticket)| tickets.get(pid) == Some(ticket));
        }
    }
}

impl Policy for RoundRobin {
    fn push(&mut self, pid: Pid, _: Facts) {
        if self.tickets.contains_key(&pid) {
            return;
        }
        self.last += 1;
        self.tickets.insert(pid, self.last);
        self.line.push_back((pid, self.last));
        self.tidy();
    }

    fn pop(&mut self) -> Option<Pid> {
        while let Some((pid, ticket)) = self.line.pop_front() {
            if self.tickets.get(&pid) == Some(&ticket) {
                self.tickets.remove(&pid);
                return Some(pid);
            }
        }
        None
    }

    fn remove(&mut self, pid: Pid) {
        self.tickets.remove(&pid);
        self.tidy();
    }

    fn clear(&mut self) {
        self.line.clear();
        self.tickets.clear();
    }
}
