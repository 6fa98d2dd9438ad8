//! Mounts: how a canonical path is walked without ever leaving its folder.
//!
//! Authority was decided on the path as it is named, so following a link would act on another
//! resource than the one that was authorized. Hence *every* symbolic link on the way is refused,
//! even one that stays beneath the mount. On Linux 5.6 and later one `openat2` call does the walk;
//! elsewhere, or where a sandbox forbids that call, `cap-std` does it one name at a time. Either
//! way a folder is held by its descriptor: renaming it later changes nothing.

use std::{io, path::Path};

use cap_fs_ext::DirExt as _;
use cap_std::{ambient_authority, fs::Dir};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

/// How often a name that keeps changing between folder and link is tried.
const STEP_TRIES_MAX: usize = 8;

/// How folders are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Walk {
    /// By the kernel in one call where it can, else by steps.
    #[default]
    Kernel,
    /// One name at a time.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "chosen by tests; the way where openat2 is not")
    )]
    Steps,
}

/// Why a folder was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreached {
    /// A symbolic link is on the way.
    #[error("a symbolic link is on the way")]
    Link,
    /// A part of the path is not there.
    #[error("a part of the path is not there")]
    Missing,
    /// A part of the path is no folder.
    #[error("a part of the path is no folder")]
    NotAFolder,
    /// The host failed.
    #[error("the host failed")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Unreached {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP | Errno::XDEV) => Self::Link,
            Some(Errno::NOENT) => Self::Missing,
            Some(Errno::NOTDIR) => Self::NotAFolder,
            _ => Self::Io(error),
        }
    }
}

/// An opened mount.
#[derive(Debug)]
pub(crate) struct Mount {
    root: Dir,
    walk: Walk,
}

impl Mount {
    /// Opens the folder behind a mount. Links in the *host's* path to it are the host's choice.
    pub(crate) fn open(folder: &Path, walk: Walk) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(folder, ambient_authority())?;
        Ok(Self { root, walk })
    }

    /// The mount's own folder.
    pub(crate) fn root(&self) -> &Dir {
        &self.root
    }

    /// Opens the folder that `names` lead to; the mount's own for no names.
    pub(crate) fn folder(&self, names: &[&str]) -> Result<Dir, Unreached> {
        if names.is_empty() {
            return reopen(&self.root);
        }
        if self.walk == Walk::Kernel {
            match self.folder_by_kernel(names) {
                // Not there, or hidden by a sandbox: the steps below are as strict.
                Err(Errno::NOSYS | Errno::PERM) => {}
                done => return done.map_err(|errno| io::Error::from(errno).into()),
            }
        }
        let mut folder = self.root.try_clone()?;
        for name in names {
            folder = step(&folder, name)?;
        }
        Ok(folder)
    }

    fn folder_by_kernel(&self, names: &[&str]) -> Result<Dir, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let folder =
            rustix::fs::openat2(&self.root, names.join("/"), flags, Mode::empty(), resolve)?;
        Ok(Dir::from_std_file(folder.into()))
    }
}

/// Opens the folder `name` in `folder`, following nothing.
pub(crate) fn step(folder: &Dir, name: &str) -> Result<Dir, Unreached> {
    for _ in 0..STEP_TRIES_MAX {
        let refused = match folder.open_dir_nofollow(name) {
            Ok(opened) => return reopen(&opened),
            Err(error) => Unreached::from(error),
        };
        // `O_DIRECTORY | O_NOFOLLOW` calls a link "no directory": tell the two apart.
        match (refused, folder.symlink_metadata(name)) {
            (Unreached::NotAFolder, Ok(found)) if found.is_symlink() => break,
            // It is one now: it was something else a moment ago.
            (Unreached::NotAFolder | Unreached::Link, Ok(found)) if found.is_dir() => {}
            (refused, _) => return Err(refused),
        }
    }
    Err(Unreached::Link)
}

/// The same folder, opened for reading. `cap-std` opens some folders for walking only, and those
/// can neither be listed nor synced. A folder that may not be read is refused here, before
/// anything is changed in it.
fn reopen(folder: &Dir) -> Result<Dir, Unreached> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(folder, ".", flags, Mode::empty()).map_err(io::Error::from)?;
    Ok(Dir::from_std_file(opened.into()))
}

/// What `name` in `folder` is, itself and not what it may point to; `None` if nothing is there.
/// It is looked at through a descriptor that opens nothing: neither pipe nor device notices.
pub(crate) fn look(folder: &Dir, name: &str) -> Result<Option<Stat>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(entry) => rustix::fs::fstat(&entry).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The same by path, for entries of a listing.
pub(crate) fn look_at(folder: &Dir, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The file type in a `stat`.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Makes what was changed in `folder` durable.
pub(crate) fn sync(folder: &Dir) -> Result<(), Errno> {
    match rustix::fs::fsync(folder) {
        // Some file systems cannot sync a folder; then there is nothing to wait for.
        Err(Errno::INVAL) => Ok(()),
        done => done,
    }
}

/// The names of a path below its mount. Canonical paths have no empty name, `.` or `..`; `None`
/// for one that has, for the walk relies on it.
pub(crate) fn names(below: &str) -> Option<Vec<&str>> {
    if below.is_empty() {
        return Some(Vec::new());
    }
    let names: Vec<&str> = below.split('/').collect();
    let sound = |name: &&str| !matches!(*name, "" | "." | "..") && !name.contains('\0');
    names.iter().all(sound).then_some(names)
}
