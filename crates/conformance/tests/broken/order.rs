//! Broken scheduling policies.

use std::collections::BTreeSet;

use libos_conformance::suites::policy::{CONTRACT, factory};
use libos_scheduler::Scheduler;

use crate::{breaks, fifo::Fifo};

fn scheduled(policy: impl Fn() -> Fifo) -> Scheduler {
    Scheduler::new(Box::new(policy()))
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
