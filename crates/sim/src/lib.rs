//! The simulator: the real core, its real components and the real journal, in a world of chance.
//!
//! A seed decides everything: what tasks there are, what their programs do, how providers behave,
//! what humans answer, when the disk refuses and when the machine stops. [`run`] carries out the
//! actions of a seed and holds the system against what must be true whatever happens, judged from
//! its records, its outputs and the truth of the world. [`minimise`] makes a failure small. With
//! the feature `mutations` there are bugs to plant, each of which must be found.
//!
//! It is driven on one thread without a clock, so the same seed gives the same journal.

mod calls;
mod disk;
mod edge;
mod laws;
mod machine;
mod minimise;
#[cfg(feature = "mutations")]
pub mod mutations;
mod program;
mod random;
mod sweep;
mod trace;
mod world;

pub use laws::Violation;
pub use machine::{Failure, Outcome, Tally, run};
pub use minimise::minimise;
pub use sweep::{Found, sweep};
pub use trace::Steps;

/// How many actions of a seed are carried out where nothing else is said.
pub const STEPS_DEFAULT: u64 = 400;
