//! Where each outcome of each call is shown.
//!
//! Every call of the ABI has a test of its success, of its denial and of each failure that its
//! table lists. Most stand in the tables of the suites. What a suite cannot show stands in
//! [`ELSEWHERE`] with the test that does.

use std::collections::BTreeSet;

use libos_abi::{DemandInfo, SERVICES};

use crate::{Outcome, suites};

/// The test that shows what a process without authority is denied, for every call at once.
pub const DENIALS: &str = "a_process_without_authority_is_denied_every_call";

/// Outcomes that no suite can show, and the tests that show them.
pub const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("audit.list", "ok", "a_process_with_the_right_reads_the_audit"),
    ("audit.compact", "ok", "the_host_compacts_the_audit"),
    ("fs.list", "not_permitted", "the_hosts_own_folder_is_kept_out_of"),
    ("fs.edit", "not_text", "every_failure_has_its_code"),
    ("fs.glob", "not_permitted", "the_hosts_own_folder_is_kept_out_of"),
    ("fs.watch", "not_permitted", "the_hosts_own_folder_is_kept_out_of"),
    ("fs.patch", "not_text", "every_failure_has_its_code"),
    ("fs.search", "not_permitted", "the_hosts_own_folder_is_kept_out_of"),
    ("fs.read", "not_permitted", "the_hosts_own_folder_is_kept_out_of"),
    ("fs.stat", "not_permitted", "the_hosts_own_folder_is_kept_out_of"),
    ("fs.read", "not_text", "every_failure_has_its_code"),
    ("fs.write", "not_text", "an_object_of_parts_is_read_in_parts"),
    ("label.declassify", "not_lower", "what_may_be_lowered_is_lowered_by_who_may"),
    ("label.declassify", "ok", "what_may_be_lowered_is_lowered_by_who_may"),
    ("label.list", "ok", "what_may_be_lowered_is_lowered_by_who_may"),
    ("label.show", "ok", "what_may_be_lowered_is_lowered_by_who_may"),
    ("llm.complete", "ok", "each_form_is_spoken_over_real_http"),
    ("llm.complete", "unknown_profile", "what_cannot_be_asked_is_refused_before_it_begins"),
    ("llm.complete", "bad_request", "what_cannot_be_asked_is_refused_before_it_begins"),
    ("llm.complete", "rate_limited", "each_trouble_has_its_code_and_tells_nothing_remote"),
    ("llm.complete", "refused", "each_trouble_has_its_code_and_tells_nothing_remote"),
    ("llm.complete", "context_too_long", "each_trouble_has_its_code_and_tells_nothing_remote"),
    ("llm.complete", "bad_reply", "each_trouble_has_its_code_and_tells_nothing_remote"),
    ("llm.complete", "unavailable", "each_trouble_has_its_code_and_tells_nothing_remote"),
    ("llm.complete", "unauthorized", "each_trouble_has_its_code_and_tells_nothing_remote"),
    ("llm.complete", "not_recorded", "a_cassette_answers_offline_and_tells_of_drift"),
    ("shell.run", "not_permitted", "no_program_comes_from_the_workspace"),
    ("shell.run", "unconfined", "a_missing_layer_stops_programs_unless_the_host_does_without"),
    ("tool.call", "ok", "file_tools_pass_on"),
    ("tool.call", "bad_arguments", "arguments_that_do_not_fit_are_refused_with_their_path"),
    ("tool.call", "tool_failed", "file_to_object_passes_on_failures_and_refuses_a_part"),
    ("tool.call", "unknown_tool", "an_unknown_tool_is_refused"),
    ("tool.validate", "ok", "every_language_is_validated_and_called"),
];

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
    use std::path::Path;

    use super::*;
    use crate::invariants;

    #[test]
    fn every_outcome_of_every_call_is_shown() {
        let missing = missing();
        assert!(missing.is_empty(), "nothing shows these, add a case: {missing:?}");
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
    #[allow(clippy::disallowed_methods, reason = "a test reads the repository's own files")]
    fn the_tests_elsewhere_are_there() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = String::new();
        let mut folders = vec![crates.join("../tests"), crates];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    sources += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        for test in ELSEWHERE.iter().map(|(_, _, test)| test).chain([&DENIALS]) {
            assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
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
