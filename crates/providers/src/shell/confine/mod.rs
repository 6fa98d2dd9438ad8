//! The confinement of a program by the operating system.
//!
//! Owns what is told to the supervisor ([`Jail`]) and what it tells; which layers the host's
//! kernel has ([`layers`]); what of the files a program sees ([`view`]). The supervisor is
//! [`supervise`], the start of the program [`launch`]. It never decides authority: it compiles what
//! the order says, and narrows where the kernel cannot express it.

mod filter;
mod launch;
mod layers;
mod mounts;
mod raw;
mod supervise;
pub(super) mod view;

use std::{ffi::OsString, fs::Metadata, os::unix::fs::MetadataExt as _, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use self::layers::{Layer, layers_missing};
pub(super) use self::layers::{order, supervisor};
use self::raw::is_armed;
use self::view::View;

/// A program and how it is confined. Paths are real.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Jail {
    pub(super) program: PathBuf,
    /// The file that was looked at.
    pub(super) pin: Option<Pin>,
    /// Whether it is interpreted by another program, which its first line names.
    pub(super) script: bool,
    /// Nothing: it is only tried whether namespaces can be made.
    pub(super) argv: Vec<OsString>,
    /// `NAME=value`.
    pub(super) environment: Vec<OsString>,
    pub(super) cwd: PathBuf,
    /// A file with what it reads.
    pub(super) stdin: Option<PathBuf>,
    /// The folder of this run: removed at the end, with everything in it.
    pub(super) folder: PathBuf,
    pub(super) view: View,
    /// Whether it gets namespaces of its own, for processes and mounts.
    pub(super) isolates: bool,
    pub(super) landlock: bool,
    /// Whether less of Landlock is enough.
    pub(super) best_effort: bool,
    pub(super) seccomp: bool,
    pub(super) network: bool,
    pub(super) limits: Vec<(Limit, u64)>,
}

/// What tells whether a file is the same and unchanged. Its change time is set by the kernel alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Pin {
    device: u64,
    number: u64,
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl From<&Metadata> for Pin {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            number: file.ino(),
            bytes: file.len(),
            changed_s: file.ctime(),
            changed_ns: file.ctime_nsec(),
        }
    }
}

/// A limit of the kernel on each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Limit {
    Core,
    /// Seconds.
    Cpu,
    OpenFiles,
    FileBytes,
    Processes,
}

/// What a supervisor tells the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The program runs.
    Started,
    /// Nothing began.
    Refused { stage: Stage, errno: Option<i32>, text: String },
    /// All is over.
    Ended(Ending),
}

/// Where a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Isolate,
    Confine,
    Folder,
    Program,
}

/// How a program ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) user_ms: u64,
    pub(super) system_ms: u64,
    pub(super) max_rss_kib: u64,
}
