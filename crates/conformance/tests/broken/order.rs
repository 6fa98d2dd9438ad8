//! Scheduling policies: one more that keeps the contract, and broken ones.

use std::collections::{BTreeSet, VecDeque};

use libos_abi::Pid;
use libos_conformance::{
    Binding,
    suites::policy::{CONTRACT, factory},
};
use libos_scheduler::{Facts, Policy, Scheduler};

use crate::breaks;

/// First come, first served, whoever they are; broken if told so.
#[derive(Default)]
struct Fifo {
    queue: VecDeque<Pid>,
    /// The last who came is served first.
    last_first: bool,
    /// Who has been there once is not taken again.
    once: Option<BTreeSet<Pid>>,
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

fn scheduled(policy: impl Fn() -> Fifo) -> Scheduler {
    Scheduler::new(Box::new(policy()))
}

#[test]
fn first_come_first_served_keeps_the_contract() {
    let make = factory(|| scheduled(Fifo::default));
    for binding in Binding::ALL {
        let report = CONTRACT.check(binding, &make);
        assert!(report.failed.is_empty(), "{:?}", report.failed);
    }
}

#[test]
fn a_policy_that_starves_somebody_is_named() {
    let make = factory(|| scheduled(|| Fifo { last_first: true, ..Fifo::default() }));
    breaks(&CONTRACT, "I-85", &make);
}

#[test]
fn a_policy_that_loses_somebody_is_named() {
    let make = factory(|| scheduled(|| Fifo { once: Some(BTreeSet::new()), ..Fifo::default() }));
    breaks(&CONTRACT, "I-24", &make);
}
