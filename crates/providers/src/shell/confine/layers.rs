//! The layers of confinement, and which of them this host's kernel has.

use std::{
    collections::BTreeSet,
    fmt, io,
    io::{BufRead as _, Write as _},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};

use super::{Jail, Told, is_armed, supervise::ROLE};
use crate::probe;

/// The version of Landlock from which on it keeps signals and sockets without a file in.
const LANDLOCK_MIN: u32 = 6;

/// A layer of the confinement of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Landlock of ABI version 6 or later: files, signals, abstract sockets, TCP.
    Landlock,
    /// Seccomp filters: sockets, other processes, namespaces, the kernel.
    Seccomp,
    /// Namespaces of processes and mounts: whatever was started ends with its init, and nothing
    /// but what may be written can be changed, not even its mode or times.
    Namespaces,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Self; 3] = [Self::Landlock, Self::Seccomp, Self::Namespaces];

    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Namespaces => "namespaces",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The layers that this host lacks. The first call tries them out, which takes some milliseconds.
pub fn layers_missing() -> &'static BTreeSet<Layer> {
    static MISSING: OnceLock<BTreeSet<Layer>> = OnceLock::new();
    MISSING.get_or_init(|| {
        let found = probe();
        let mut missing = BTreeSet::new();
        if found.landlock.is_none_or(|version| version < LANDLOCK_MIN) {
            missing.insert(Layer::Landlock);
        }
        if !found.seccomp.iter().any(|action| action == "errno") {
            missing.insert(Layer::Seccomp);
        }
        if !is_armed() || !try_namespaces().is_ok_and(|works| works) {
            missing.insert(Layer::Namespaces);
        }
        missing
    })
}

/// A command that runs this executable as a supervisor, and the host's end of its orders.
pub(in super::super) fn supervisor() -> io::Result<(Command, UnixStream)> {
    if !is_armed() {
        return Err(io::Error::other("this executable was linked without its supervisor"));
    }
    let (host, far) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.env_clear().env(ROLE, "1").stdin(Stdio::from(std::os::fd::OwnedFd::from(far)));
    // What an embedding program needs to be loaded; programs never get it.
    command.envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)));
    Ok((command, host))
}

/// An order as a supervisor reads it.
pub(in super::super) fn order(jail: &Jail) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(jail).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &text].concat())
}

fn try_namespaces() -> io::Result<bool> {
    let folder = tempfile::tempdir()?;
    let jail = Jail { isolates: true, folder: folder.path().to_owned(), ..Jail::default() };
    let (mut command, mut host) = supervisor()?;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    drop(command);
    host.write_all(&order(&jail)?)?;
    let mut line = String::new();
    std::io::BufReader::new(&host).read_line(&mut line)?;
    child.wait()?;
    Ok(matches!(serde_json::from_str(&line), Ok(Told::Started)))
}
