//! Scheduling policies: in which order runnable processes run.
//!
//! A policy orders *hints*. It decides nothing about state: the scheduler checks each hint against
//! the process table when it is popped and drops those that no longer hold. So a policy may keep a
//! process that has stopped being runnable, but it must never lose one.

mod dense;
mod earliest_deadline;
mod fair;
mod round_robin;
mod weighted_fair;

use libos_abi::{Pid, process::Usage};

pub use earliest_deadline::EarliestDeadline;
pub use round_robin::RoundRobin;
pub use weighted_fair::WeightedFair;

/// What a policy is told of a process that became runnable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The root of its task, for policies that are fair between tasks.
    pub root: Pid,
    /// Its share against others of its task, from 1; never more than its parent's.
    pub weight: u32,
    /// The weight of its root: the share of its task against other tasks.
    pub task_weight: u32,
    /// By when it should be done, in milliseconds since the epoch; never before its parent.
    pub deadline_ms: Option<u64>,
    /// How often it has run.
    pub runs: u64,
    /// The quanta it has ended.
    pub quanta: u64,
    /// What it and all below it have used, as far as some limit counts it.
    pub used: Usage,
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
