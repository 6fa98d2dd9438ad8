//! What must hold of Object Memory.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod calls;
mod copies;
mod cost;
mod laws;
mod links;
mod make;
mod merges;
mod model;
mod rig;
mod searches;
mod speed;
mod transfers;
mod views;
