//! Runs the suites of the contracts on the parts of a workspace.
//!
//! A crate whose part keeps a contract has a test target `conformance`. All of these are run by
//! cargo; what passes is counted, what fails is shown. Which contracts there are and what stands in
//! them, `libos-conformance` says: this tool only starts it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// The bindings a part is reached by, as the names of tests say it.
const BINDINGS: [&str; 3] = ["direct", "queued", "wire"];

/// Shows the cases of every contract, or of those about a service.
pub(crate) fn list(root: &Path, about: Option<&str>) -> Result<()> {
    print!("{}", told(root, "list", about)?);
    Ok(())
}

/// Runs every suite on the parts of the workspace that a manifest belongs to, or those about a
/// service. The last line says how many cases passed and how many failed.
pub(crate) fn run(root: &Path, manifest: &Path, about: Option<&str>) -> Result<()> {
    let suites = about.map(|_| told(root, "suites", about)).transpose()?;
    let suites = suites.iter().flat_map(|names| names.lines());
    let filters = suites.flat_map(|suite| BINDINGS.map(|it| format!("{suite}::{it}::")));
    let mut cargo = Command::new(cargo_path())
        .args(["test", "--workspace", "--test", "conformance", "--no-fail-fast"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--")
        .args(filters)
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo")?;
    let mut tally = Tally::default();
    let stdout = cargo.stdout.take().context("the output of cargo")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("read the output of cargo")?;
        if tally.is_news(&line) {
            println!("{line}");
        }
    }
    let status = cargo.wait().context("wait for cargo")?;
    ensure!(status.success() || tally.failed > 0, "cargo ended with {status}");
    ensure!(tally.passed + tally.failed > 0, "{} has no suite to run", manifest.display());
    for (suite, passed) in &tally.suites {
        println!("{suite:12} {passed:4} passed");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ensure!(tally.failed == 0, "a part does not keep its contract");
    Ok(())
}

/// What `libos-conformance` says.
fn told(root: &Path, what: &str, about: Option<&str>) -> Result<String> {
    let output = Command::new(cargo_path())
        .args(["run", "--locked", "--quiet", "--package", "libos-conformance", "--", what])
        .args(about)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    ensure!(output.status.success(), "libos-conformance ended with {}", output.status);
    String::from_utf8(output.stdout).context("the list of contracts")
}

/// What the test runners said so far.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// What passed, by suite.
    suites: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts what a line says. Whether it is worth showing: what passes is only counted.
    fn is_news(&mut self, line: &str) -> bool {
        let Some(rest) = line.strip_prefix("test ") else {
            return !line.is_empty() && !line.starts_with("running ");
        };
        if rest.starts_with("result: ") {
            return false;
        }
        match rest.rsplit_once(" ... ") {
            Some((name, "ok")) => {
                self.passed += 1;
                *self.suites.entry(suite(name).to_owned()).or_default() += 1;
                false
            }
            Some((_, "FAILED")) => {
                self.failed += 1;
                true
            }
            _ => true,
        }
    }
}

/// The suite that a test belongs to: `name::suite::binding::case`, where the name may be missing.
fn suite(test: &str) -> &str {
    let parts: Vec<&str> = test.split("::").collect();
    let binding = parts.iter().position(|part| BINDINGS.contains(part));
    // Besides the cases there is one test for the list of gaps.
    parts[binding.unwrap_or(parts.len() - 1).saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_counted_and_what_fails_is_shown() {
        let mut tally = Tally::default();
        let shown: Vec<&str> = "\
running 4 tests
test fs::direct::a_file ... ok
test fs::every_gap_names_a_case ... ok
test sqlite::journal::direct::a_head ... FAILED
test memory::journal::direct::a_head ... ok

failures:
    sqlite::journal::direct::a_head

test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out"
            .lines()
            .filter(|line| tally.is_news(line))
            .collect();
        assert_eq!(
            shown,
            [
                "test sqlite::journal::direct::a_head ... FAILED",
                "failures:",
                "    sqlite::journal::direct::a_head"
            ]
        );
        assert_eq!((tally.passed, tally.failed), (3, 1));
        let counted: Vec<_> = tally.suites.iter().map(|(name, count)| (&**name, *count)).collect();
        assert_eq!(counted, [("fs", 2), ("journal", 1)]);
    }
}
