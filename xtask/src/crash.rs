//! Kills the real binary at every boundary and holds what comes of it against the truth.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// Which part of the grid is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Part {
    /// Each boundary once instead of each time it is passed
    #[arg(long)]
    quick: bool,
    /// Only this call, as in fs.write
    #[arg(long, value_name = "NAME")]
    call: Option<String>,
    /// Only this call and those after it: where a run was cut short
    #[arg(long, value_name = "NAME", conflicts_with = "call")]
    from: Option<String>,
    /// Nothing but so many kills at random moments of many processes side by side
    #[arg(long, value_name = "KILLS", conflicts_with_all = ["quick", "call", "from"])]
    random: Option<u64>,
}

/// Runs it; fails at anything lost or done twice.
pub(crate) fn run(root: &Path, part: &Part) -> Result<()> {
    let mut command = Command::new(cargo_path());
    command
        .args(["test", "--locked", "--quiet", "--workspace", "--test", "grid"])
        .args(["--", "--ignored", "--nocapture", "--test-threads", "1"])
        .current_dir(root);
    let variables = [
        ("LIBOS_GRID_QUICK", part.quick.then(|| "1".to_owned())),
        ("LIBOS_GRID_CALL", part.call.clone()),
        ("LIBOS_GRID_FROM", part.from.clone()),
        ("LIBOS_GRID_RANDOM", part.random.map(|kills| kills.to_string())),
    ];
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "something was lost or done twice: it is above");
    Ok(())
}
