//! The scheduler behind a small fake of the kernel.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests; clippy knows them by their attribute only, not their helpers"
)]

mod allocations;
mod budgets;
mod calls;
mod creation;
mod figures;
mod laws;
mod lifecycle;
mod messages;
mod policies;
mod rig;
