//! Has an adversary swap folders and links while every call on files runs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// Runs the race for so long; fails when a byte gets out of a mount or into what is outside.
pub(crate) fn run(root: &Path, seconds: u64) -> Result<()> {
    eprintln!("==> {seconds} s of swaps under every call on files");
    let status = Command::new(cargo_path())
        .args(["test", "--locked", "--quiet", "--package", "libos-providers", "--lib"])
        .args(["fs::race", "--", "--nocapture"])
        .env("LIBOS_RACE_SECONDS", seconds.to_string())
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "something got out: what is above");
    Ok(())
}
