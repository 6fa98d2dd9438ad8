//! Laws of patterns: matching, covering and overlapping agree with each other.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use libos_abi::{Form, Pattern, Resource};
use proptest::prelude::*;

/// Resources over so small an alphabet that they meet often.
fn names() -> impl Strategy<Value = String> {
    let part = prop::sample::select(&["a", "b", "ab"][..]);
    let separator = prop::sample::select(&["/", ":"][..]);
    (
        prop::sample::select(&["k", "l"][..]),
        part.clone(),
        prop::collection::vec((separator, part), 0..4),
    )
        .prop_map(|(kind, first, rest)| {
            let rest: String = rest.into_iter().flat_map(|(s, p)| [s, p]).collect();
            format!("{kind}:{first}{rest}")
        })
}

fn resources() -> impl Strategy<Value = Resource> {
    names().prop_map(|name| name.parse().unwrap())
}

fn patterns() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        3 => (names(), prop::sample::select(&["", "/*", ":*"][..]))
            .prop_map(|(name, end)| format!("{name}{end}").parse().unwrap()),
        1 => prop::sample::select(&["k:*", "l:*"][..]).prop_map(|kind| kind.parse().unwrap()),
    ]
}

/// A few resources that `pattern` covers and that tell it from others.
fn witnesses(pattern: &Pattern) -> Vec<Resource> {
    let all = match pattern.form() {
        Form::Exact(text) => vec![text.to_owned()],
        Form::Subtree(base) => vec![base.to_owned(), format!("{base}/zz")],
        Form::Prefix(base) => vec![base.to_owned(), format!("{base}:zz")],
    };
    all.iter().filter_map(|text| text.parse().ok()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_a_pattern_covers_it_matches(p in patterns(), c in patterns(), r in resources()) {
        if p.covers(&c) && c.matches(&r) {
            prop_assert!(p.matches(&r));
        }
        for r in witnesses(&c) {
            prop_assert!(c.matches(&r));
            prop_assert!(!p.covers(&c) || p.matches(&r));
        }
        // And only then: where every witness matches, it covers.
        let all = witnesses(&c).iter().all(|r| p.matches(r));
        prop_assert!(p.covers(&c) || !all, "{p} matches all of {c} and does not cover it");
    }

    #[test]
    fn covering_is_a_partial_order(a in patterns(), b in patterns(), c in patterns()) {
        prop_assert!(a.covers(&a));
        prop_assert!(!(a.covers(&b) && b.covers(&a)) || a == b);
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
    }

    #[test]
    fn overlap_is_symmetric_and_has_a_witness(a in patterns(), b in patterns(), r in resources()) {
        prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        if a.matches(&r) && b.matches(&r) {
            prop_assert!(a.overlaps(&b));
        }
        let both = |r: &Resource| a.matches(r) && b.matches(r);
        let witness = witnesses(&a).iter().chain(&witnesses(&b)).any(both);
        prop_assert_eq!(a.overlaps(&b), witness);
        prop_assert!(!a.covers(&b) || a.overlaps(&b));
    }

    #[test]
    fn the_exact_pattern_matches_its_resource_alone(a in resources(), b in resources()) {
        prop_assert_eq!(Pattern::exact(&a).matches(&b), a == b);
    }

    #[test]
    fn reading_is_idempotent(text in "[a-z]{1,3}:[ -~é]{1,12}") {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.as_str().parse::<Pattern>().unwrap(), pattern);
        }
    }
}

#[test]
fn a_text_that_grows_too_long_by_encoding_is_refused() {
    let text = format!("fs:{}", "é".repeat(5000));
    assert!(text.parse::<Resource>().is_err());
    let text = format!("fs:{}", "é".repeat(2000));
    let read: Resource = text.parse().unwrap();
    assert_eq!(read.as_str().parse::<Resource>().unwrap(), read);
}
