//! The network and secrets, on the real binary: what cannot be talked around, and what works.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod corpus;
mod endpoints;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
