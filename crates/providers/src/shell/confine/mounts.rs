//! The mounts of a program: everything read-only but what it may write, and covers over what is
//! kept out. They exist for the program and what it starts only.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Jail, raw, view::Access};

/// Opens a path without reading it; a symbolic link anywhere in it is refused.
pub(super) fn open(path: &Path, more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::CLOEXEC | more;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve);
    Ok(opened?)
}

fn place(path: &Path) -> io::Result<OwnedFd> {
    open(path, OFlags::PATH)
}

/// A name for what is opened, whatever becomes of its path.
fn name(of: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", of.as_raw_fd())
}

/// Mounts `from` over `to`.
fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (place(from)?, place(to)?);
    raw::mount(Some(&name(&from)), &name(&to), None, libc::MS_BIND | libc::MS_REC)
}

fn set(path: &Path, attributes: u64) -> io::Result<()> {
    raw::mount_attributes(place(path)?.as_fd(), attributes, 0, false)
}

fn clear(path: &Path, attributes: u64) -> io::Result<()> {
    raw::mount_attributes(place(path)?.as_fd(), 0, attributes, false)
}

/// Arranges the mounts of a program in a namespace of its own.
pub(super) fn arrange(jail: &Jail) -> io::Result<()> {
    raw::unshare(libc::CLONE_NEWNS)?;
    raw::mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE)?;
    let view = &jail.view;
    let may_change = |access: Access| access.has(Access::WRITE) || access.has(Access::DELETE);
    // A device is written through any mount.
    let is_stored = |path: &Path| path.is_dir() || path.is_file();
    let changed = view.rules.iter().filter(|(_, access)| may_change(*access));
    let changed = changed.map(|(path, _)| path.as_path()).filter(|path| is_stored(path));
    let changed: Vec<&Path> = changed.collect();
    for path in changed.iter().copied().chain(view.frozen.iter().map(AsRef::as_ref)) {
        bind(path, path)?;
    }
    for path in &view.pinned {
        bind(path, path)?;
    }
    let root = place(Path::new("/"))?;
    raw::mount_attributes(root.as_fd(), libc::MOUNT_ATTR_RDONLY, 0, true)?;
    for path in &changed {
        clear(path, libc::MOUNT_ATTR_RDONLY)?;
    }
    for path in view.pinned.iter().filter(|it| changed.iter().any(|root| it.starts_with(root))) {
        clear(path, libc::MOUNT_ATTR_RDONLY)?;
    }
    for path in &view.hidden {
        let cover = if path.is_dir() { jail.folder.join("void") } else { jail.folder.join("none") };
        bind(&cover, path)?;
        set(path, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC)?;
    }
    Ok(())
}
