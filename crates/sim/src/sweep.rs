//! Many seeds on all cores.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    machine::{Failure, Tally, run},
    trace::Steps,
};

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The lowest seed that fails, of those tried, and how.
    pub failure: Option<(u64, Failure)>,
    /// How many seeds were tried.
    pub seeds: u64,
    /// What they did together.
    pub tally: Tally,
}

/// Tries seeds until one fails, or all have passed. `prepare` is called first in each thread,
/// `progress` after each seed. Every 16th seed is tried twice: its journal must be the same.
pub fn sweep(
    seeds: std::ops::Range<u64>,
    steps: &Steps,
    prepare: impl Fn() + Sync,
    progress: impl Fn(u64) + Sync,
) -> Found {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                prepare();
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let mut outcome = run(seed, steps, None);
                    if seed.is_multiple_of(16) && outcome.failure.is_none() {
                        outcome.failure = differs(seed, steps, &outcome.head);
                    }
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.seeds += 1;
                    found.tally.add(outcome.tally);
                    let first = found.failure.as_ref().is_none_or(|(lowest, _)| seed < *lowest);
                    if let (Some(failure), true) = (outcome.failure, first) {
                        found.failure = Some((seed, failure));
                        failed.store(true, Ordering::Relaxed);
                    }
                    progress(found.seeds);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn differs(seed: u64, steps: &Steps, head: &str) -> Option<Failure> {
    let again = run(seed, steps, None).head;
    let what = format!("{head}, and then {again}");
    let violation = crate::Violation { law: "the same seed gives the same journal", what };
    (again != head).then_some(Failure { step: None, violation })
}
