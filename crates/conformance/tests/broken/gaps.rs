//! A part that is known to fail a case.

use libos_conformance::{
    Binding, Gap,
    suites::objects::{CONTRACT, factory},
};
use libos_objects::Objects;

use crate::altered::Altered;

const CASE: &str = "an_update_makes_a_new_version";

const GAPS: &[Gap] = &[Gap { case: CASE, why: "updates are not undone yet" }];

#[test]
fn what_is_known_to_fail_may_fail() {
    let make = factory(|| Altered { rollback: |_| {}, ..Altered::of(Objects::default()) });
    CONTRACT.test(CASE, Binding::Direct, &make, GAPS);
    CONTRACT.check_gaps(GAPS);
}

#[test]
#[should_panic(expected = "breaks I-08")]
fn what_is_not_known_to_fail_may_not() {
    let make = factory(|| Altered { rollback: |_| {}, ..Altered::of(Objects::default()) });
    CONTRACT.test(CASE, Binding::Direct, &make, &[]);
}

#[test]
#[should_panic(expected = "the gap is closed, take it off the list")]
fn a_gap_that_is_closed_fails() {
    CONTRACT.test(CASE, Binding::Direct, &factory(Objects::default), GAPS);
}

#[test]
#[should_panic(expected = "has no case updates")]
fn a_gap_must_name_a_case() {
    CONTRACT.check_gaps(&[Gap { case: "updates", why: "nobody knows" }]);
}
