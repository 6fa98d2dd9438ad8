//! The scheduler and its policies keep their contracts, under every binding.

use libos_conformance::suite;
use libos_scheduler::{EarliestDeadline, RoundRobin, Scheduler, WeightedFair};

suite!(scheduler, Scheduler::default);
suite!(clock, Scheduler::default);
suite!(policy as round_robin, || Scheduler::new(Box::new(RoundRobin::default())));
suite!(policy as weighted_fair, || Scheduler::new(Box::new(WeightedFair::default())));
suite!(policy as earliest_deadline, || Scheduler::new(Box::new(EarliestDeadline::default())));
