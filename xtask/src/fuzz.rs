//! Puts hostile inputs to the places of the sandbox where they come in.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// The targets, as `crates/sandbox/src/fuzz.rs` names them.
const TARGETS: &[&str] = &["boundary", "loader", "source"];

/// Runs a target, or each of them, optimised; fails at the first input that breaks something.
pub(crate) fn run(root: &Path, target: Option<&str>, seconds: u64, seed: u64) -> Result<()> {
    for target in TARGETS.iter().filter(|known| target.is_none_or(|target| target == **known)) {
        eprintln!("==> {target}: {seconds} s from seed {seed}");
        let status = Command::new(cargo_path())
            .args(["run", "--release", "--locked", "--quiet", "--package", "libos-sandbox"])
            .args(["--example", "fuzz", "--", target, &seconds.to_string(), &seed.to_string()])
            .arg(root.join("target/fuzz"))
            .current_dir(root)
            .status()
            .context("start cargo")?;
        ensure!(status.success(), "{target} broke: the input is above");
    }
    Ok(())
}
