//! Runs the steps of `check`, `ci` and `test`: one after the other, up to the first failure.
//!
//! A step is announced before it runs and timed after it; the last one is not, so that the summary
//! of the test runner stays the last thing on the screen. A failure ends with the command that
//! runs its step alone.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{abi, conformance, graph, guest, layers, licences};

/// One step, known by the command that runs it alone.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The environment it adds.
    env: &'static [(&'static str, &'static str)],
    /// The program: cargo but for a few.
    program: &'static str,
    /// Its arguments; for a check of our own `["xtask", ...]`.
    args: &'static [&'static str],
    /// The check of our own, run in this process, where it is one.
    own: Option<fn(&Path) -> Result<()>>,
}

const fn cargo(args: &'static [&'static str]) -> Step {
    Step { env: &[], program: "cargo", args, own: None }
}

const fn own(args: &'static [&'static str], check: fn(&Path) -> Result<()>) -> Step {
    Step { env: &[], program: "cargo", args, own: Some(check) }
}

const FORMAT: Step = cargo(&["fmt", "--all", "--check"]);
const CLIPPY: Step =
    cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
const LAYERS: Step = own(&["xtask", "layers"], |root| layers::run(&root.join("Cargo.toml")));
const GRAPH: Step = own(&["xtask", "graph", "--check"], |root| graph::generated(root)?.check(root));
const ABI: Step = own(&["xtask", "abi", "--check"], abi::check);
const LICENCES: Step =
    own(&["xtask", "licences"], |root| licences::run(&root.join("Cargo.toml"), root));
const GUEST: Step = own(&["xtask", "guest", "--check"], guest::check);
const DOCS: Step = Step {
    env: &[("RUSTDOCFLAGS", "-D warnings")],
    ..cargo(&["doc", "--locked", "--workspace", "--no-deps"])
};
const DOC_TESTS: Step = cargo(&["test", "--locked", "--workspace", "--doc", "--quiet"]);
/// Every interleaving of the hand-over into the core.
const LOOM: Step = cargo(&[
    "test",
    "--locked",
    "--quiet",
    "--package",
    "libos-bindings",
    "--features",
    "loom",
    "--test",
    "handover",
]);
/// A short run of the simulator, and every bug that can be planted.
const SIM: Step = cargo(&[
    "test",
    "--profile",
    "sim",
    "--locked",
    "--quiet",
    "--package",
    "libos-sim",
    "--features",
    "mutations",
]);
const NEXTEST: Step = cargo(&["nextest", "run", "--locked", "--workspace"]);
const NEXTEST_CI: Step = cargo(&["nextest", "run", "--locked", "--workspace", "--profile", "ci"]);
/// What nextest runs, for a machine without it: everything but the doc tests.
const CARGO_TEST: Step = cargo(&["test", "--locked", "--workspace", "--tests"]);

/// The steps of docs/swapping.md, as it shows them: a part from outside of the workspace keeps its
/// contract, and a system composed with it passes the system tests.
const SWAPPED: [Step; 4] = [
    Step { program: "cp", ..cargo(&["Cargo.lock", "examples/swap-scheduler/"]) },
    own(&["xtask", "conformance", "--manifest-path", SWAPPED_MANIFEST], |root| {
        conformance::run(root, &root.join(SWAPPED_MANIFEST), None)
    }),
    cargo(&["build", "--manifest-path", SWAPPED_MANIFEST]),
    Step { env: &[("LIBOS_BIN", "target/debug/libos-in-bursts")], ..cargo(SYSTEM_TESTS) },
];
/// Those that start processes, stop them and drive them. They are built as for the whole workspace.
#[rustfmt::skip]
const SYSTEM_TESTS: &[&str] = &[
    "test", "--locked", "--workspace",
    "--test", "kernel", "--test", "human", "--test", "steer", "--test", "crash",
];
const SWAPPED_MANIFEST: &str = "examples/swap-scheduler/Cargo.toml";

/// What is worth running before every commit: no tests, no documentation.
pub(crate) fn check(root: &Path) -> Result<()> {
    run(root, &[FORMAT, LAYERS, GRAPH, ABI, LICENCES, CLIPPY])
}

/// Everything a change must pass.
pub(crate) fn ci(root: &Path) -> Result<()> {
    let tests = if has_nextest() { NEXTEST_CI } else { CARGO_TEST };
    let checks = [FORMAT, CLIPPY, LAYERS, GRAPH, ABI, LICENCES, GUEST, DOCS, DOC_TESTS, LOOM, SIM];
    run(root, &[&checks[..], &SWAPPED, &[tests]].concat())
}

/// All tests of the workspace.
pub(crate) fn test(root: &Path) -> Result<()> {
    let tests = if has_nextest() { NEXTEST } else { CARGO_TEST };
    run(root, &[DOC_TESTS, LOOM, SIM, tests])
}

/// Runs the steps in order. Fails with the first one that does, naming it.
fn run(root: &Path, steps: &[Step]) -> Result<()> {
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        let command = step.command_line();
        eprintln!("==> [{number}/{}] {command}", steps.len());
        let start = Instant::now();
        let outcome = step.run(root);
        let seconds = start.elapsed().as_secs_f64();
        if let Err(error) = outcome {
            bail!(
                "{error:#}\n\nstep {number} of {} failed after {seconds:.1} s; \
                 run it alone with\n    {command}",
                steps.len()
            );
        }
        if number < steps.len() {
            eprintln!("    ok, {seconds:.1} s");
        }
    }
    Ok(())
}

impl Step {
    /// The command that runs this step alone, as one would type it.
    fn command_line(&self) -> String {
        let env = self.env.iter().map(|(key, value)| format!("{key}={} ", quoted(value)));
        let args = self.args.iter().map(|arg| format!(" {}", quoted(arg)));
        format!("{}{}{}", env.collect::<String>(), self.program, args.collect::<String>())
    }

    fn run(&self, root: &Path) -> Result<()> {
        if let Some(check) = self.own {
            return check(root);
        }
        let program = self.program;
        let path = if program == "cargo" { cargo_path() } else { program.into() };
        let status = Command::new(path)
            .args(self.args)
            .envs(self.env.iter().copied())
            .current_dir(root)
            .status()
            .with_context(|| format!("start {program}"))?;
        ensure!(status.success(), "{program} ended with {status}");
        Ok(())
    }
}

/// A word as a shell takes it back.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}

/// The cargo that runs this tool, so that a toolchain override holds for its steps too.
pub(crate) fn cargo_path() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether `cargo nextest` is there. It is never installed from here.
fn has_nextest() -> bool {
    let probe = Command::new(cargo_path())
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(_: &Path) -> Result<()> {
        Ok(())
    }

    fn fails(_: &Path) -> Result<()> {
        bail!("no good")
    }

    fn never(_: &Path) -> Result<()> {
        panic!("a step after a failure ran")
    }

    #[test]
    fn a_step_is_shown_as_the_command_that_runs_it_alone() {
        let shown = DOCS.command_line();
        let expected = "RUSTDOCFLAGS=\"-D warnings\" cargo doc --locked --workspace --no-deps";
        assert_eq!(shown, expected);
        assert_eq!(GRAPH.command_line(), "cargo xtask graph --check");
    }

    #[test]
    fn the_page_on_swapping_shows_the_steps_that_are_run() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/swapping.md");
        let page = std::fs::read_to_string(page).expect("the page is there");
        let is_command = |line: &&str| {
            ["cargo ", "cp ", "LIBOS_BIN="].iter().any(|begin| line.starts_with(begin))
        };
        let shown: Vec<&str> = page.lines().filter(is_command).collect();
        assert_eq!(shown, SWAPPED.map(|step| step.command_line()));
    }

    #[test]
    fn the_first_failure_ends_the_run_and_names_its_command() {
        let steps = [
            own(&["xtask", "a"], passes),
            own(&["xtask", "b"], fails),
            own(&["xtask", "c"], never),
        ];
        let error = run(Path::new("."), &steps).expect_err("the second step fails").to_string();
        assert!(error.starts_with("no good\n\nstep 2 of 3 failed after "), "{error}");
        assert!(error.ends_with("\n    cargo xtask b"), "{error}");
    }
}
