//! Round robin: first come, first served.

use std::collections::VecDeque;

use libos_abi::Pid;

use super::{Facts, Policy, dense::Dense};

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
    /// The ticket of each queued process; 0 is none.
    tickets: Dense<u64>,
    queued: usize,
    last: u64,
}

impl RoundRobin {
    /// Drops given-up tickets once they outnumber the others.
    fn tidy(&mut self) {
        if self.line.len() > 2 * self.queued + 64 {
            let tickets = &mut self.tickets;
            self.line.retain(|(pid, ticket)| tickets.get(*pid) == ticket);
        }
    }

    /// Gives a process's ticket up, if it has this one.
    fn give_up(&mut self, pid: Pid, ticket: u64) -> bool {
        let has = self.tickets.get(pid);
        if *has == 0 || *has != ticket {
            return false;
        }
        *has = 0;
        self.queued -= 1;
        true
    }
}

impl Policy for RoundRobin {
    fn push(&mut self, pid: Pid, _: Facts) {
        let ticket = self.tickets.get(pid);
        if *ticket == 0 {
            self.last += 1;
            self.queued += 1;
            *ticket = self.last;
            self.line.push_back((pid, self.last));
            self.tidy();
        }
    }

    fn pop(&mut self) -> Option<Pid> {
        while let Some((pid, ticket)) = self.line.pop_front() {
            if self.give_up(pid, ticket) {
                return Some(pid);
            }
        }
        None
    }

    fn remove(&mut self, pid: Pid) {
        let ticket = *self.tickets.get(pid);
        if self.give_up(pid, ticket) {
            self.tidy();
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
