//! The binary under test: that of this workspace, or another composition, which `LIBOS_BIN` names.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where it is. A name is seen from the root of the repository.
pub(crate) fn path() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("LIBOS_BIN").map(|name| root.join(name));
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_libos").into())
}

/// A command that starts it.
pub(crate) fn libos() -> Command {
    Command::new(path())
}
