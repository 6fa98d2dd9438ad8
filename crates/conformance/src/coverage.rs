//! Which outcomes of which calls are shown, and which are not yet.
//!
//! Every call of the ABI is to have a test of its success, of its denial and of each failure that
//! its table lists. Most stand in the tables of the suites. What a suite cannot show stands in
//! [`ELSEWHERE`] with the test that does; what nothing shows stands in [`GAPS`]. A gap that is
//! closed must go from the list, so the list can only shrink.

use std::collections::BTreeSet;

use libos_abi::{DemandInfo, SERVICES};

use crate::{Outcome, suites};

/// What a process without authority is denied, for every call at once.
pub const DENIALS: &str = "a_process_without_authority_is_denied_every_call";

/// Outcomes that no suite can show, and the tests that show them.
pub const ELSEWHERE: &[(&str, &str, &str)] =
    &[("audit.list", "ok", "the_audit_tells_who_allowed_what")];

/// Outcomes that nothing shows yet.
pub const GAPS: &[Outcome] = &[];

/// Every outcome that is to be shown.
#[must_use]
pub fn wanted() -> BTreeSet<Outcome> {
    let calls = SERVICES.iter().flat_map(|service| service.calls);
    calls
        .flat_map(|call| {
            let denied = (call.demand != DemandInfo::Own).then_some("denied");
            let codes = std::iter::once("ok").chain(denied).chain(call.fails.iter().copied());
            codes.map(|code| (call.name, code))
        })
        .collect()
}

/// Every outcome that a case of a suite shows.
#[must_use]
pub fn shown() -> BTreeSet<Outcome> {
    let cases = suites::all().into_iter().flat_map(|suite| suite.cases);
    cases.flat_map(|case| case.outcomes).collect()
}

/// What is wanted and shown by nothing.
#[must_use]
pub fn missing() -> BTreeSet<Outcome> {
    let shown = shown();
    let is_shown = |(call, code): &Outcome| {
        let elsewhere = ELSEWHERE.iter().any(|(name, it, _)| (name, it) == (call, code));
        *code == "denied" || elsewhere || shown.contains(&(*call, *code))
    };
    wanted().into_iter().filter(|outcome| !is_shown(outcome)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants;

    #[test]
    fn every_outcome_of_every_call_is_shown_or_a_gap_with_a_name() {
        let missing = missing();
        let gaps: BTreeSet<Outcome> = GAPS.iter().copied().collect();
        let new: Vec<_> = missing.difference(&gaps).collect();
        let closed: Vec<_> = gaps.difference(&missing).collect();
        assert!(new.is_empty(), "nothing shows these, add a case: {new:?}");
        assert!(closed.is_empty(), "these are shown now, take them off the list: {closed:?}");
        assert_eq!(gaps.len(), GAPS.len(), "a gap is named twice");
    }

    #[test]
    fn what_is_shown_elsewhere_is_shown_there_only() {
        let (shown, wanted) = (shown(), wanted());
        for (call, code, test) in ELSEWHERE {
            let outcome = &(*call, *code);
            assert!(wanted.contains(outcome), "{call} has no {code}");
            assert!(!shown.contains(outcome), "a suite shows {call} {code}: {test} is not needed");
        }
    }

    #[test]
    fn tables_name_calls_and_invariants_that_are_there() {
        let calls: BTreeSet<&str> = wanted().into_iter().map(|(call, _)| call).collect();
        for suite in suites::all() {
            for case in suite.cases {
                for id in &case.invariants {
                    let there = invariants::statement(id).is_some();
                    assert!(there, "{} holds to {id}, which is no row", case.name);
                }
                assert!(!case.invariants.is_empty(), "{} holds to nothing", case.name);
                for (call, code) in case.outcomes {
                    assert!(calls.contains(call), "{} shows {call}, no call", case.name);
                    assert!(!code.is_empty(), "{} shows no outcome of {call}", case.name);
                }
            }
        }
    }
}
