//! Builds the benchmarks and the binary they start, and runs them.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::steps::cargo_path;

/// Runs the benchmarks with these arguments, optimised.
pub(crate) fn run(root: &Path, args: &[OsString]) -> Result<()> {
    let packages = ["--package", "libos-bench", "--package", "libos-cli", "--bins"];
    let build = Command::new(cargo_path())
        .args(["build", "--release", "--locked", "--quiet"])
        .args(packages)
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(build.success(), "cargo ended with {build}");
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("ask cargo for the target folder")?;
    let bench = metadata.target_directory.join("release/libos-bench");
    let status = Command::new(&bench)
        .args(args)
        .current_dir(root)
        .status()
        .with_context(|| format!("start {bench}"))?;
    ensure!(status.success(), "the benchmarks ended with {status}");
    Ok(())
}
