//! Every limit of every crate, in one list for people.
//!
//! The table is written from the sources (`tests/limits.rs`): name and reason from where a limit is
//! declared, the value from the program. What can be set is in [`crate::config`]; the rest is part
//! of what a store means, or of what was measured.

#[rustfmt::skip]
mod table;

use serde::Serialize;

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The crate that keeps it, without its prefix.
    pub part: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// What it counts.
    pub unit: &'static str,
    /// Why it is there.
    pub reason: &'static str,
}

/// All of them, by crate.
#[must_use]
pub fn all() -> Vec<Limit> {
    table::table()
}
