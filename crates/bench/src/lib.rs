//! Benchmarks: every row stands beside its bare floor, measured in the same run.
//!
//! A floor is the mechanism alone, without the semantics: a hash look-up for a capability check, a
//! bare insert for a durable call. Absolute times belong to a machine and an hour; what counts is
//! the ratio, so floor and ours are measured by turns. Nothing here is asserted by a test but that
//! every row yields a number.
//!
//! ```text
//! cargo xtask bench [NAME] [--list | --json | --markdown] [--quick]
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    reason = "it measures time, threads, files and processes, and ends when it cannot"
)]

pub mod allocator;
pub mod machine;
pub mod measure;
pub mod report;
mod rows;
pub mod stage;

pub use rows::{BENCHES, Bench};
