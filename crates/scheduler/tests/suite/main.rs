//! The scheduler behind a small fake of the kernel.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests; clippy knows them by their attribute only, not their helpers"
)]

mod calls;
mod figures;
mod laws;
mod lifecycle;
mod rig;
