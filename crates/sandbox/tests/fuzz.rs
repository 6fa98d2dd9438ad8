//! A short run of each fuzz target; `cargo xtask fuzz` runs them for longer.

mod support;

use libos_sandbox::fuzz::{Fuzz, Mutations, Target};

async fn check(target: Target, inputs: usize) {
    let fuzz = Fuzz::new(&support::cache().join("fuzz").join(target.name())).await;
    for input in Mutations::new(target, 1).take(inputs) {
        fuzz.put(target, &input).await;
    }
}

#[tokio::test]
async fn what_tools_hand_over_breaks_nothing() {
    check(Target::Boundary, 2000).await;
}

#[tokio::test]
async fn what_is_loaded_breaks_nothing() {
    check(Target::Loader, 300).await;
}

#[tokio::test]
async fn sources_break_nothing() {
    check(Target::Source, 300).await;
}
