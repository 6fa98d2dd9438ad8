//! Policies: what of a conversation goes first when not all of it fits.
//!
//! What is pinned stays whatever the policy, and so does what was said last.

use serde::{Deserialize, Serialize};

use super::conversation::Unit;

/// How many units at the end always stay.
const LAST_KEPT: usize = 2;

/// Which units come first when not all fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    /// Those that were said last.
    #[default]
    Recency,
    /// Exchanges whose results the model has come back to.
    Evidence,
    /// What the model said itself.
    Plan,
    /// Calls that failed, and what came before them.
    Error,
}

impl Policy {
    /// How much a unit is worth; of equals the older goes first.
    fn worth(self, units: &[Unit], at: usize) -> u32 {
        let Some(unit) = units.get(at) else { return 0 };
        let failed = |at: usize| units.get(at).is_some_and(|unit| unit.failed);
        match self {
            Self::Recency => 0,
            Self::Evidence => unit.cited,
            Self::Plan => u32::from(unit.speaks),
            Self::Error => 2 * u32::from(failed(at)) + u32::from(failed(at + 1)),
        }
    }

    /// The units that may go, the first to go first.
    pub(super) fn order(self, units: &[Unit], shown: &[usize]) -> Vec<usize> {
        let last = shown.len().saturating_sub(LAST_KEPT);
        let mut order: Vec<usize> =
            shown[..last].iter().copied().filter(|at| !units[*at].is_pinned()).collect();
        order.sort_by_key(|at| (self.worth(units, *at), *at));
        order
    }
}
