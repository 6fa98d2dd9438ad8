//! A short run: what a change is held against before every merge.
//!
//! With the feature `mutations` every bug that can be planted is planted, too.

use libos_sim::{Steps, sweep};

/// Seeds of the short run. The long one is `cargo xtask sim --seeds 10000`.
const SEEDS: u64 = 100;

#[test]
fn nothing_is_lost_done_twice_or_spent_twice_whatever_happens() {
    let found = sweep(1..1 + SEEDS, &Steps::first(200), || {}, |_| {});
    assert_eq!(found.failure, None, "`cargo xtask sim --seed N` makes it small");
    // It did try something.
    let tally = found.tally;
    assert!(tally.crashes > SEEDS && tally.operations > 20 * SEEDS, "{tally:?}");
    assert!(tally.effects > SEEDS && tally.requests > SEEDS, "{tally:?}");
}

#[cfg(feature = "mutations")]
#[test]
fn every_planted_bug_is_found() {
    use libos_sim::mutations::{ALL, plant};
    for mutation in ALL {
        let steps = Steps::first(libos_sim::STEPS_DEFAULT);
        let found = sweep(1..1_001, &steps, || plant(Some(mutation.name)), |_| {});
        assert!(found.failure.is_some(), "{} was not found", mutation.name);
    }
    plant(None);
}
