//! What must hold of Object Memory.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod calls;
mod copies;
mod cost;
mod links;
mod make;
mod merges;
mod model;
mod rig;
mod speed;
mod transfers;
mod views;
