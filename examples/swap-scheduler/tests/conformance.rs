//! The policy keeps the contract of every policy.

use libos_conformance::suite;
use libos_scheduler::Scheduler;
use swap_scheduler::Bursts;

suite!(policy, || Scheduler::new(Box::new(Bursts::default())));
