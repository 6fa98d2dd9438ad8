//! What a tool declares to need.

use std::collections::BTreeSet;

/// The calls that a tool declares, by name. What it may do with them is decided call by call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs(BTreeSet<String>);

impl Needs {
    /// Whether a call is among them.
    #[must_use]
    pub fn contains(&self, call: &str) -> bool {
        self.0.contains(call)
    }
}

impl<S: Into<String>> FromIterator<S> for Needs {
    fn from_iter<I: IntoIterator<Item = S>>(calls: I) -> Self {
        Self(calls.into_iter().map(Into::into).collect())
    }
}
