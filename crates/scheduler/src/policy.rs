//! Scheduling policies: in which order runnable processes run.
//!
//! A policy orders *hints*. It decides nothing about state: the scheduler checks each hint against
//! the process table when it is popped and drops those that no longer hold. So a policy may keep a
//! process that has stopped being runnable, but it must never lose one.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, DefaultHasher},
};

use libos_abi::Pid;

/// What a policy is told of a process that became runnable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The root of its task, for policies that are fair between tasks.
    pub root: Pid,
    /// How often it has run.
    pub runs: u64,
    /// The quanta it has ended.
    pub quanta: u64,
}

/// An order of runnable processes.
///
/// Obligations: a process that was pushed is popped, once, unless it is removed before; a process
/// that is queued already and pushed again is queued once (its place may change). It depends on
/// nothing but the calls made, so that the same calls give the same order.
pub trait Policy: Send {
    /// Queues a process.
    fn push(&mut self, pid: Pid, facts: Facts);

    /// Takes the process to run next.
    fn pop(&mut self) -> Option<Pid>;

    /// Forgets a process that has ended.
    fn remove(&mut self, pid: Pid);

    /// Forgets every process.
    fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}

/// First come, first served. Every operation is O(1), amortized.
///
/// ```
/// use libos_abi::Pid;
/// use libos_scheduler::{Facts, Policy, RoundRobin};
///
/// let facts = Facts { root: Pid(1), runs: 0, quanta: 0 };
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
    /// The ticket of each queued process. Hashed without a random seed; its order is never used.
    tickets: HashMap<Pid, u64, BuildHasherDefault<DefaultHasher>>,
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
