//! Both ends of a binding: what passes, and what happens when one of them fails.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests, and a far end has a thread"
)]

mod components;
mod frames;
mod part;
mod providers;
