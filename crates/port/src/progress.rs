//! What is told of an effect while it is under way.
//!
//! It is for whoever watches. It is never a record, nothing is decided by it but whether an effect
//! that is dropped had begun, and any of it may be lost.

use std::time::Duration;

/// How far an effect is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of it has happened, and it waits: if it is dropped now, it never began.
    Queued {
        /// For how long at least, if that is known.
        wait: Option<Duration>,
    },
    /// It is under way: from now on it may have happened.
    Begun,
    /// More of the text that it yields.
    Text(String),
    /// It is tried again after a while; what was told of its text is void.
    Again {
        /// Why, in words.
        why: String,
        /// After how long.
        wait: Duration,
    },
}

/// Who is told. Telling never waits.
pub trait Tell: Send + Sync {
    /// Takes what is told.
    fn tell(&self, progress: Progress);
}

/// Nobody.
pub struct Nobody;

impl Tell for Nobody {
    fn tell(&self, _: Progress) {}
}
