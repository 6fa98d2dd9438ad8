//! The built tool refuses a workspace in which a component depends on another.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the test writes a workspace and runs the tool on it"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A workspace of crates without code: `(folder, package, packages it depends on)`.
fn workspace(crates: &[(&str, &str, &[&str])]) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder_of = |package: &str| {
        let found = crates.iter().find(|(_, name, _)| *name == package);
        found.expect("the dependency is a crate of the workspace").0
    };
    write(
        &root.path().join("Cargo.toml"),
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\
         [workspace.lints.rust]\nunsafe_code = \"deny\"\n",
    );
    for (folder, package, dependencies) in crates {
        let dependencies: String = dependencies
            .iter()
            .map(|name| format!("{name} = {{ path = \"../{}\" }}\n", folder_of(name)))
            .collect();
        let manifest = format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [dependencies]\n{dependencies}[lints]\nworkspace = true\n"
        );
        let home = root.path().join("crates").join(folder);
        write(&home.join("Cargo.toml"), &manifest);
        write(&home.join("src/lib.rs"), "//! Nothing.\n#![forbid(unsafe_code)]\n");
    }
    root
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(folder).expect("the folder is created");
    fs::write(path, text).expect("the file is written");
}

fn layers(root: &TempDir) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["layers", "--manifest-path"])
        .arg(root.path().join("Cargo.toml"))
        .output()
        .expect("the tool runs")
}

#[test]
fn a_workspace_that_runs_downhill_passes() {
    let root = workspace(&[
        ("abi", "libos-abi", &[]),
        ("port", "libos-port", &["libos-abi"]),
        ("capability", "libos-capability", &["libos-abi", "libos-port"]),
        ("objects", "libos-objects", &["libos-abi", "libos-port"]),
    ]);
    let output = layers(&root);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn a_component_that_depends_on_another_fails_the_tool_and_is_named() {
    let root = workspace(&[
        ("abi", "libos-abi", &[]),
        ("capability", "libos-capability", &["libos-abi", "libos-objects"]),
        ("objects", "libos-objects", &["libos-abi"]),
    ]);
    let output = layers(&root);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("libos-capability -> libos-objects"), "{stderr}");
    assert!(stderr.contains("a component depends on libos-abi and libos-port only"), "{stderr}");
}
