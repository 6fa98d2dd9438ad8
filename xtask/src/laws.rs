//! Holds the capability engine against its reference model in long random histories.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// Plays this many operations on both, optimised, and fails at the first that they see differently.
pub(crate) fn run(root: &Path, ops: u64) -> Result<()> {
    let start = Instant::now();
    eprintln!("==> {ops} random operations on the capability engine and on its reference model");
    let status = Command::new(cargo_path())
        .args(["test", "--release", "--locked", "--quiet", "--package", "libos-capability"])
        .args(["--test", "agreement", "--", "--nocapture"])
        .env("LIBOS_LAWS_OPS", ops.to_string())
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "they differ: the seed and the step are above");
    println!("{ops} operations seen alike, in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
