//! Runs the built binary on a store of its own. Shared by the system tests of this folder; it must
//! never reach into the runtime itself.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[path = "../binary.rs"]
pub(crate) mod binary;

/// The binary, on one store.
pub(crate) struct Libos {
    pub(crate) store: PathBuf,
}

/// What a run of the binary left.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Every line of `stdout` that is JSON.
    pub(crate) json_lines: Vec<Value>,
}

impl Libos {
    /// The binary on the store in `folder`.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { store: folder.join(".libos") }
    }

    /// `libos --store STORE --json ARGS`.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = binary::libos();
        command.arg("--store").arg(&self.store).arg("--json").args(args);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"LIBOS_") {
                command.env_remove(name);
            }
        }
        command.env("XDG_CONFIG_HOME", self.store.join("config"));
        // What tools compile to is kept from one run of the tests to the next.
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let mut command = self.command(args);
        output(&mut command)
    }

    /// Runs it and checks that it ended well; gives the JSON lines.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Vec<Value> {
        let out = self.run(args);
        assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
        out.json_lines
    }
}

/// Runs a command to its end, without a terminal.
pub(crate) fn output(command: &mut Command) -> Output {
    let out = command.stdin(std::process::Stdio::null()).output().expect("the binary starts");
    let stdout = String::from_utf8(out.stdout).expect("UTF-8");
    Output {
        code: out.status.code().expect("no signal ended it"),
        json_lines: stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        stdout,
        stderr: String::from_utf8(out.stderr).expect("UTF-8"),
    }
}

/// The root of this repository.
pub(crate) fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// Copies a folder, without what builds and runs leave in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be listed");
        let name = entry.file_name();
        if ["target", ".libos"].iter().any(|left| name == *left) {
            continue;
        }
        let to = to.join(&name);
        match entry.file_type().expect("an entry has a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("a file can be copied")),
        }
    }
}
