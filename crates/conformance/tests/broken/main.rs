//! Parts that break one law each: their suite fails, and names the invariant.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

mod altered;
mod authorities;
mod components;
#[path = "../fifo/mod.rs"]
mod fifo;
mod gaps;
mod order;
mod outside;

use libos_conformance::{Binding, Contract, Factory, Report, Subject};

/// Checks that the suite names the invariant under every binding, in the message a test ends in.
#[track_caller]
fn breaks<S: Subject>(contract: &Contract<S>, id: &str, make: &Factory<S::Part>) {
    for binding in Binding::ALL {
        named(&contract.check(binding, make), id);
    }
}

#[track_caller]
fn named(report: &Report, id: &str) {
    let failed = || report.failed.iter().map(ToString::to_string);
    let named = failed().any(|text| text.contains(&format!("{id} (")));
    assert!(named, "{id} is not named: {:#?}", failed().collect::<Vec<_>>());
}
