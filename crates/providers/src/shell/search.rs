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

/// Folders of the system from which programs are loaded and run, and what they read there.
const SYSTEM: [&str; 24] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// What of a toolchain programs need, by the variable that tells where it is. What else is there
/// may be credentials.
const TOOLCHAINS: [(&str, &[&str]); 4] = [
    ("CARGO_HOME", &["bin", "registry", "git", "env"]),
    ("RUSTUP_HOME", &["toolchains", "settings.toml", "update-hashes"]),
    ("PYENV_ROOT", &["bin", "libexec", "plugins", "shims", "version", "versions"]),
    ("NVM_DIR", &["versions"]),
];

/// What every program may read and execute unless the host says otherwise: the system's programs
/// and libraries with the few files of `/etc` that they read, the folders of the search path, and
/// of toolchains what is no setting of a user. Neither a home folder nor all of `/etc`.
#[must_use]
pub fn default_readable(
    search_path: &[PathBuf],
    environment: &BTreeMap<OsString, OsString>,
) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut all: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    for (name, parts) in TOOLCHAINS {
        let told = environment.get(OsString::from(name).as_os_str()).cloned();
        let told = told.or_else(|| std::env::var_os(name)).map(PathBuf::from);
        let default = match name {
            "PYENV_ROOT" => home.as_ref().map(|home| home.join(".pyenv")),
            "NVM_DIR" => home.as_ref().map(|home| home.join(".nvm")),
            _ => None,
        };
        if let Some(folder) = told.or(default) {
            all.extend(parts.iter().map(|part| folder.join(part)));
        }
    }
    all.extend(search_path.iter().cloned());
    all.retain(|path| path.exists());
    all
}

/// Beginnings of the names of variables that have a loader, a shell or an interpreter run, load or
/// trust something else.
const HARMFUL: [&str; 22] = [
    "LD_",
    "DYLD_",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "LOCPATH",
    "MALLOC_",
    "BASH_",
    "ENV",
    "SHELLOPTS",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "PYTHON",
    "PERL",
    "RUBY",
    "NODE_",
    "JAVA_TOOL_OPTIONS",
    "GIT_",
    "SSH_",
    "DBUS_",
    "XDG_RUNTIME_DIR",
    "LIBOS_",
];

/// The variables that no program is harmed by.
pub(super) fn harmless(environment: &BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
    let is_harmful = |name: &OsString| {
        let name = name.to_string_lossy();
        // A name that is a whole word is meant as it is.
        HARMFUL.iter().any(|it| {
            if it.len() > 4 || it.ends_with('_') { name.starts_with(it) } else { name == *it }
        })
    };
    environment
        .iter()
        .filter(|(name, _)| !is_harmful(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
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
