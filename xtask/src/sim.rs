//! Runs the simulator, optimised and with its bugs to plant.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::cargo_path;

/// Hands the arguments on; fails when something that must hold does not.
pub(crate) fn run(root: &Path, args: &[OsString]) -> Result<()> {
    let status = Command::new(cargo_path())
        .args(["run", "--profile", "sim", "--locked", "--quiet", "--package", "libos-sim"])
        .args(["--features", "mutations", "--"])
        .args(args)
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "the simulator ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::workspace;

    /// The feature is the simulator's to ask for, and nobody has it by default.
    #[test]
    fn no_default_build_holds_a_planted_bug() {
        let mut named = Vec::new();
        for folder in fs::read_dir(workspace::root().join("crates")).expect("it is there") {
            let manifest = folder.expect("it is read").path().join("Cargo.toml");
            let Ok(text) = fs::read_to_string(&manifest) else { continue };
            let table: toml::Table = text.parse().expect("cargo reads it too");
            let features = table.get("features").and_then(toml::Value::as_table);
            let default = features.and_then(|features| features.get("default"));
            let default = default.map(ToString::to_string).unwrap_or_default();
            assert!(!default.contains("mutations"), "{}", manifest.display());
            let package = table["package"]["name"].as_str().expect("it has a name").to_owned();
            if text.contains("mutations") {
                named.push(package);
            }
        }
        named.sort();
        assert_eq!(named, ["libos-port", "libos-sim"]);
        let root = fs::read_to_string(workspace::root().join("Cargo.toml")).expect("it is there");
        assert!(!root.contains("mutations"), "a dependency of the workspace asks for it");
    }
}
