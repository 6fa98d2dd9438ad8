//! The scheduler and its policies keep their contracts, under every binding.

use libos_conformance::suite;
use libos_scheduler::{RoundRobin, Scheduler};

suite!(scheduler, Scheduler::default);
suite!(clock, Scheduler::default);
suite!(policy as round_robin, || Scheduler::new(Box::new(RoundRobin::default())));
