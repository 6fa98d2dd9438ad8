//! The endpoints: what a component, a provider, a planner and user land look like to the broker.
//!
//! Everything here is a trait or plain data. Components implement [`Component`] and are pure;
//! providers implement [`Provider`] and are the only ones with effects; user land holds a
//! [`Port`], the one door. None of them can name another: they meet in the broker only.
#![forbid(unsafe_code)]

mod component;
mod mutation;
mod parts;
mod progress;
mod provider;
mod reach;
mod snapshot;
mod undo;
mod user;

pub use component::{
    Authority, Caller, Component, Context, Decision, Fold, Manifest, Query, Stop, Versioned,
};
pub use mutation::mutated;
#[cfg(feature = "mutations")]
pub use mutation::plant;
pub use parts::{Enclosed, Parts};
pub use progress::{Nobody, Progress, Tell};
pub use provider::{EffectOutcome, Order, Provider, Reconciled};
pub use reach::{Reach, ReachRule};
pub use snapshot::{BadSnapshot, load_version, save_version};
pub use undo::{Reversible, Undo, UndoLog};
pub use user::{Planner, Port, QuantumEnd, Receipt, Turn};

use std::{future::Future, pin::Pin};

/// A boxed future, as object-safe traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
