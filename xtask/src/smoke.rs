//! Has a model at a real endpoint try for some goals, and tells what came of it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// Runs the goals with a profile of the settings that hold where this was called, and fails where
/// one is not reached. Without a profile there is nothing to try.
pub(crate) fn run(root: &Path, profile: Option<&str>) -> Result<()> {
    let Some(profile) = profile else {
        println!("skipped: no model was named; --profile names a profile of your libos.toml");
        return Ok(());
    };
    let status = Command::new(cargo_path())
        .args(["test", "--locked", "--quiet", "--workspace", "--test", "smoke"])
        .args(["--", "--ignored", "--nocapture", "--test-threads", "1"])
        .env("LIBOS_SMOKE_PROFILE", profile)
        .env("LIBOS_SMOKE_FOLDER", std::env::current_dir().context("the current folder")?)
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "a goal was not reached: it is above");
    Ok(())
}
