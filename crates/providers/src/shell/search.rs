//! Which program a name means, and what of the host's environment programs may see.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

/// The folders of the host's `PATH` that are absolute and there, without repetition.
///
/// What lies in a workspace is passed over later, for each run with its own workspace.
#[must_use]
pub fn default_search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in std::env::split_paths(&path) {
        if folder.is_absolute() && folder.is_dir() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The variables that build tools need and that hold no secret: `CARGO_HOME`, `RUSTUP_HOME` and
/// `RUSTUP_TOOLCHAIN` as the host has them.
///
/// Where the host leaves the first two to their defaults, `~/.cargo` and `~/.rustup`, those are
/// given if they are there, since a program's `HOME` is its workspace. `CARGO_HOME` may hold
/// credentials of a registry: an embedder that has such passes another environment.
#[must_use]
pub fn toolchain_environment() -> BTreeMap<OsString, OsString> {
    let mut environment = BTreeMap::new();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let default = || home.as_ref().map(|home| home.join(below)).filter(|path| path.is_dir());
        let value = std::env::var_os(name).or_else(|| default().map(PathBuf::into_os_string));
        environment.extend(value.map(|value| (name.into(), value)));
    }
    let toolchain = std::env::var_os("RUSTUP_TOOLCHAIN");
    environment.extend(toolchain.map(|value| ("RUSTUP_TOOLCHAIN".into(), value)));
    environment
}

/// The folders that are absolute, there, and not inside `workspace` (canonical), links followed.
pub(super) fn outside_of(folders: &[PathBuf], workspace: &Path) -> Vec<PathBuf> {
    let fits = |folder: &&PathBuf| {
        let real = folder.canonicalize();
        folder.is_absolute() && real.is_ok_and(|real| !real.starts_with(workspace))
    };
    folders.iter().filter(fits).cloned().collect()
}

/// A file of the name was found, and none that may be executed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotExecutable;

/// The first executable `name` in `folders` that is not in `workspace`, links followed.
pub(super) fn find(
    name: &str,
    folders: &[PathBuf],
    workspace: &Path,
) -> Result<Option<PathBuf>, NotExecutable> {
    let mut found = false;
    for folder in folders {
        let program = folder.join(name);
        let Ok(real) = program.canonicalize() else {
            continue;
        };
        if real.starts_with(workspace) || !real.is_file() {
            continue;
        }
        if rustix::fs::access(&program, Access::EXEC_OK).is_ok() {
            return Ok(Some(program));
        }
        found = true;
    }
    if found { Err(NotExecutable) } else { Ok(None) }
}
