//! The capability engine and the reference model see the same in random histories, and record the
//! same.
//!
//! `cargo xtask laws --ops N` runs a longer one.
#![allow(clippy::disallowed_methods, reason = "how long it runs is read from the environment")]

use libos_capability::Capabilities;
use libos_conformance::{
    history::{History, Mix, perform},
    toys::Reference,
};

/// Steps without further word: some seconds in a debug build.
const STEPS: u64 = 20_000;

/// Steps of one history: long enough for a family to grow and end, short enough to read.
const STEPS_OF_ONE: u64 = 400;

#[test]
fn the_engine_and_the_reference_model_see_the_same() {
    let steps = std::env::var("LIBOS_LAWS_OPS").ok();
    let steps = steps.map_or(STEPS, |steps| steps.parse().expect("LIBOS_LAWS_OPS is a number"));
    for seed in 0..steps.div_ceil(STEPS_OF_ONE) {
        play(seed);
    }
}

fn play(seed: u64) {
    let (mut engine, mut model) = (Capabilities::new(), Reference::default());
    let mut history = History::new(seed, Mix::ALL);
    for number in 0..STEPS_OF_ONE {
        let step = history.step();
        let by_engine = perform(&mut engine, history.now_ms(), &step);
        let by_model = perform(&mut model, history.now_ms(), &step);
        assert_eq!(by_engine, by_model, "history {seed}, step {number}: {step:?}");
        history.learn(&step, &by_engine);
    }
}
