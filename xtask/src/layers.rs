//! Proves that every dependency of the workspace runs downhill.
//!
//! [`violations`] is a pure function of a [`Graph`] and the tables of [`crate::policy`]. It never
//! stops at the first breach: whoever moves code wants to see all of them.

use std::fmt;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::policy::{self, CrateRule, Externals, RESERVED};
use crate::workspace::{Edge, Graph, Package};

/// One breach of the policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The crate or the edge at fault.
    subject: String,
    /// The rule it breaks.
    rule: String,
    /// What to do about it.
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject)?;
        writeln!(f, "    rule: {}", self.rule)?;
        write!(f, "    do:   {}", self.remedy)
    }
}

/// Reads the workspace of a manifest and holds it to the policy.
///
/// Fails with the list of every violation, or when the workspace cannot be read.
pub(crate) fn run(manifest: &Path) -> Result<()> {
    let graph = Graph::read(manifest)?;
    let found = violations(&graph);
    let list: String = found.iter().map(|violation| format!("\n\n{violation}")).collect();
    ensure!(
        found.is_empty(),
        "the dependency policy (xtask/src/policy.rs) is broken {} time(s){list}",
        found.len()
    );
    let edges: usize = graph.packages.values().map(|package| package.internal.len()).sum();
    println!("layers: {} crates and {edges} edges keep the policy", graph.packages.len());
    Ok(())
}

/// Every breach of the policy, in the order of the crates' names.
pub(crate) fn violations(graph: &Graph) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, package) in &graph.packages {
        match policy::crate_rule(name) {
            Some(place) => judge(place, package, &mut found),
            None => found.push(Violation {
                subject: name.clone(),
                rule: "every crate has a layer".to_owned(),
                remedy: "give it a layer: a row of CRATES in xtask/src/policy.rs".to_owned(),
            }),
        }
    }
    found
}

/// Judges one crate that has a place.
fn judge(place: &CrateRule, package: &Package, found: &mut Vec<Violation>) {
    let layer = policy::layer_rule(place.layer);
    found.extend(package.internal.iter().filter_map(|edge| judge_internal(place, edge)));
    found.extend(package.external.iter().filter_map(|edge| judge_external(place, edge)));
    if layer.forbids_unsafe && !package.forbids_unsafe {
        found.push(Violation {
            subject: place.package.to_owned(),
            rule: format!("{:?} code is safe Rust", place.layer),
            remedy: "put `#![forbid(unsafe_code)]` at the head of its lib.rs".to_owned(),
        });
    }
    if !package.inherits_lints {
        found.push(Violation {
            subject: place.package.to_owned(),
            rule: "every crate obeys the lints of the workspace".to_owned(),
            remedy: "put `workspace = true` under `[lints]` in its Cargo.toml".to_owned(),
        });
    }
}

/// Judges an edge inside the workspace.
///
/// One towards a crate without a place is no second violation: that crate is reported already.
fn judge_internal(place: &CrateRule, edge: &Edge) -> Option<Violation> {
    let target = policy::crate_rule(&edge.to)?;
    let layer = policy::layer_rule(place.layer);
    let for_tests = edge.dev && layer.tests_may_use.contains(&target.layer);
    let downhill = for_tests || layer.may_use.contains(&target.layer);
    (!downhill).then(|| Violation {
        subject: arrow(place, edge),
        rule: layer.rule.to_owned(),
        remedy: layer.remedy.to_owned(),
    })
}

/// Judges an edge that leaves the workspace. A reserved crate's own rule says more than a list.
fn judge_external(place: &CrateRule, edge: &Edge) -> Option<Violation> {
    let reserved = RESERVED.iter().find(|reserved| reserved.covers(&edge.to));
    if let Some(reserved) = reserved.filter(|reserved| !reserved.held_by(place)) {
        return Some(Violation {
            subject: arrow(place, edge),
            rule: reserved.rule.to_owned(),
            remedy: reserved.remedy.to_owned(),
        });
    }
    let Externals::Only(listed) = &place.externals else {
        return None;
    };
    let allowed = edge.dev || listed.contains(&edge.to.as_str());
    (!allowed).then(|| Violation {
        subject: arrow(place, edge),
        rule: format!("{} may use {} from outside, nothing else", place.package, listed.join(", ")),
        remedy: "do without it, or argue for it in a row of CRATES in xtask/src/policy.rs"
            .to_owned(),
    })
}

/// How an edge is written in every report.
fn arrow(place: &CrateRule, edge: &Edge) -> String {
    format!("{} -> {}", place.package, edge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::planted;
    use crate::workspace;

    /// Asserts which `(subject, words of the rule)` the planted lines of a graph violate.
    #[track_caller]
    fn check(lines: &[&str], expected: &[(&str, &str)]) {
        let found = violations(&planted(lines));
        let subjects: Vec<&str> = found.iter().map(|violation| &*violation.subject).collect();
        let expected_subjects: Vec<&str> = expected.iter().map(|(subject, _)| *subject).collect();
        assert_eq!(subjects, expected_subjects, "planted {lines:?}");
        for (violation, (_, rule)) in found.iter().zip(expected) {
            assert!(violation.rule.contains(rule), "{violation} does not speak of {rule:?}");
            assert!(!violation.remedy.is_empty(), "{violation} gives no advice");
        }
    }

    #[test]
    fn this_workspace_keeps_the_policy() {
        run(&workspace::root().join("Cargo.toml")).expect("the workspace keeps its own policy");
    }

    #[test]
    fn edges_that_run_downhill_pass() {
        check(&["libos-port -> libos-abi", "libos-broker -> libos-port"], &[]);
        check(&["agent-libos -> libos-capability", "agent-libos -> libos-tools"], &[]);
        check(&["libos-cli -> libos-journal", "libos-tests -> libos-objects"], &[]);
        check(&["libos-abi: bincode serde", "libos-sandbox: wasmtime wasmtime-wizer"], &[]);
        check(&["libos-capability (dev): proptest", "xtask: anyhow clap"], &[]);
    }

    #[test]
    fn an_edge_that_runs_uphill_or_sideways_is_named_with_its_rule() {
        for (edge, rule) in [
            ("libos-abi -> libos-port", "no crate of the workspace"),
            ("libos-port -> libos-broker", "libos-abi only"),
            ("libos-capability -> libos-objects", "a component depends on"),
            ("libos-scheduler -> libos-broker", "a component depends on"),
            ("libos-broker -> libos-capability", "never parts"),
            ("libos-journal -> libos-port", "libos-abi only"),
            ("libos-providers -> libos-journal", "a provider depends on"),
            ("libos-sandbox -> libos-providers", "a provider depends on"),
            ("libos-planner -> libos-tools", "user land"),
            ("libos-tools -> libos-broker", "user land"),
            ("agent-libos -> libos-cli", "nothing above"),
            ("agent-libos -> libos-sim", "nothing above"),
            ("libos-bindings -> libos-capability", "knows no part"),
            ("libos-port -> libos-bindings", "libos-abi only"),
            ("libos-objects -> libos-bindings", "a component depends on"),
            ("libos-cli -> libos-capability", "a face depends on"),
            ("libos-cli -> libos-tools", "a face depends on"),
            ("libos-sim -> xtask", "anything but"),
            ("xtask -> agent-libos", "xtask depends on"),
        ] {
            check(&[edge], &[(edge, rule)]);
        }
    }

    #[test]
    fn a_component_does_not_reach_another_in_its_tests_either() {
        let edge = "libos-objects -> libos-capability (dev)";
        check(&[edge], &[(edge, "a component depends on")]);
    }

    #[test]
    fn a_part_uses_the_suites_in_its_tests_and_nowhere_else() {
        for part in ["libos-objects", "libos-providers", "libos-journal"] {
            let edge = format!("{part} -> libos-conformance");
            check(&[&format!("{edge} (dev)")], &[]);
            check(&[&edge], &[(&edge, "its tests on libos-conformance as well")]);
        }
        for other in ["libos-abi", "libos-port", "libos-broker", "libos-tools", "agent-libos"] {
            let edge = format!("{other} -> libos-conformance (dev)");
            check(&[&edge], &[(&edge, "depends on")]);
        }
    }

    #[test]
    fn a_suite_sees_an_implementation_in_its_own_tests_only() {
        for part in ["libos-capability", "libos-providers", "libos-broker", "agent-libos"] {
            let edge = format!("libos-conformance -> {part}");
            check(&[&format!("{edge} (dev)")], &[]);
            check(&[&edge], &[(&edge, "it sees no implementation")]);
        }
        check(&["libos-conformance -> libos-journal", "libos-conformance: tokio"], &[]);
    }

    #[test]
    fn an_example_of_one_layer_needs_no_other_than_those_below() {
        check(&["example-object-store -> libos-objects", "example-journal -> libos-journal"], &[]);
        for other in ["libos-broker", "libos-providers", "agent-libos"] {
            let edge = format!("example-object-store -> {other}");
            check(&[&edge], &[(&edge, "an example of one layer")]);
        }
    }

    #[test]
    fn an_external_crate_outside_the_list_is_named() {
        check(&["libos-broker: regex"], &[("libos-broker -> regex", "from outside")]);
        check(&["libos-port: rand serde"], &[("libos-port -> rand", "serde, thiserror, tracing")]);
    }

    #[test]
    fn a_reserved_crate_stays_with_its_holders_in_tests_too() {
        check(&["libos-journal: bincode"], &[("libos-journal -> bincode", "libos-abi only")]);
        check(&["libos-tests: rusqlite"], &[("libos-tests -> rusqlite", "libos-journal only")]);
        check(&["agent-libos: wasmtime"], &[("agent-libos -> wasmtime", "libos-sandbox only")]);
        for core in ["libos-abi", "libos-port", "libos-scheduler", "libos-broker", "libos-journal"]
        {
            let edge = format!("{core} -> tokio (dev)");
            check(&[&format!("{core} (dev): tokio")], &[(&edge, "outside the core")]);
        }
        check(&["libos-port: tokio-util"], &[("libos-port -> tokio-util", "outside the core")]);
    }

    #[test]
    fn a_crate_without_a_layer_is_named_once() {
        check(
            &["libos-broker -> libos-helpers", "libos-helpers: serde"],
            &[("libos-helpers", "has a layer")],
        );
    }

    #[test]
    fn missing_attributes_of_a_crate_are_named() {
        let mut graph = planted(&["libos-human: serde", "libos-journal: serde"]);
        for package in graph.packages.values_mut() {
            package.forbids_unsafe = false;
            package.inherits_lints = false;
        }
        let found = violations(&graph);
        let rules: Vec<(&str, &str)> =
            found.iter().map(|found| (&*found.subject, &*found.rule)).collect();
        let lints = "every crate obeys the lints of the workspace";
        assert_eq!(
            rules,
            [
                ("libos-human", "Component code is safe Rust"),
                ("libos-human", lints),
                ("libos-journal", lints),
            ]
        );
    }

    #[test]
    fn every_violation_is_listed_not_only_the_first() {
        check(
            &["libos-abi: tokio", "libos-human -> libos-images", "libos-human: rand"],
            &[
                ("libos-abi -> tokio", "outside the core"),
                ("libos-human -> libos-images", "a component"),
                ("libos-human -> rand", "from outside"),
            ],
        );
    }
}
