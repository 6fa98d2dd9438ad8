//! Kills the real binary at every boundary and holds what comes of it against the truth.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// Runs the grid, or the row of one call, or its short form; fails at anything lost or done twice.
pub(crate) fn run(root: &Path, quick: bool, call: Option<&str>) -> Result<()> {
    let mut command = Command::new(cargo_path());
    command
        .args(["test", "--locked", "--quiet", "--package", "libos-cli", "--test", "grid"])
        .args(["--", "--ignored", "--nocapture", "--test-threads", "1"])
        .current_dir(root);
    if quick {
        command.env("LIBOS_GRID_QUICK", "1");
    }
    if let Some(call) = call {
        command.env("LIBOS_GRID_CALL", call);
    }
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "something was lost or done twice: it is above");
    Ok(())
}
