//! The replacing write: temporary file, sync, rename, sync of the folder.
//!
//! The temporary file is in the target's own folder and is named after the operation, so that a
//! second run of the operation, or its reconciliation, finds and removes what a crash left behind.
//! A new file that must not replace anything takes its place by a rename that refuses to replace.

use std::{fs::File, io::Write as _, sync::atomic::Ordering};

use cap_std::fs::Dir;
use libos_abi::{
    Error, Fault, FsPath, OpId, Text,
    fs::{self, Before, FailureKind, Written},
};
use libos_port::Reconciled;
use rustix::{
    fs::{Access, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid},
    io::Errno,
};

use super::{
    before, mark,
    mount::{self, file_type},
    ops::{Task, read_up_to},
};
use crate::{Stop, limits::FILE_BYTES_MAX, provider_failed};

const PREFIX: &str = ".libos-";
const SUFFIX: &str = ".tmp";

/// Whether a name is that of an unfinished write.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

fn temporary_name(op: OpId) -> String {
    format!("{PREFIX}{op}{SUFFIX}")
}

/// Refuses what the call alone forbids.
pub(super) fn refuse(
    op: OpId,
    path: &FsPath,
    text: Option<&Text>,
    is_root: bool,
) -> Result<(), Stop> {
    let text = match text.map(Text::as_str) {
        Some(None) => {
            tracing::error!(%op, "a call reached its provider without its text");
            return Err(Stop::Refused(provider_failed(op, "blob.missing")));
        }
        Some(Some(text)) => text,
        None => "",
    };
    if text.len() > FILE_BYTES_MAX as usize {
        let why = format!("the text has {} bytes; {FILE_BYTES_MAX} at the most", text.len());
        return Err(Stop::Refused(FailureKind::TooLarge.because(why)));
    }
    if is_root {
        let why = format!("`{path}` is a folder");
        return Err(Stop::Refused(FailureKind::NotAFile.because(why)));
    }
    Ok(())
}

/// The reply to a write that happened.
fn written(call: &fs::Write, created: bool, before: Before) -> Written {
    let (bytes, digest) = (call.text.bytes(), call.text.digest());
    Written { path: call.path.clone(), bytes, created, digest, before }
}

/// Writes a file as a whole.
pub(super) fn write(task: &Task<'_>, call: &fs::Write) -> Result<Written, Stop> {
    let overwrite = call.overwrite.unwrap_or(true);
    let Some((folder, name)) = task.parent()? else {
        return Err(task.fail(FailureKind::NotAFile, "is a folder"));
    };
    let old = task.look(&folder, name)?;
    if let Some(old) = &old {
        if file_type(old) == FileType::RegularFile && !overwrite {
            return Err(exists(task));
        }
        task.check_file(old)?;
        may_write(task, &folder, name)?;
    }
    task.expect_at(&folder, name, old.as_ref(), call.expected_digest)?;
    let before = before::of_file(task, &folder, name, old.as_ref());
    let bytes = call.text.as_str().unwrap_or_default().as_bytes();
    let content = Content { bytes, old: old.as_ref(), overwrite, is_marked: false };
    replace(task, &folder, name, &content)?;
    Ok(written(call, old.is_none(), before))
}

/// Refuses a file that the host's user may not write: a rename would replace it.
pub(super) fn may_write(task: &Task<'_>, folder: &Dir, name: &str) -> Result<(), Stop> {
    rustix::fs::accessat(folder, name, Access::WRITE_OK, AtFlags::empty())
        .map_err(|errno| task.stop("see whether a file may be written", errno))
}

/// What takes the place of a file.
pub(super) struct Content<'a> {
    pub(super) bytes: &'a [u8],
    /// The file that is there.
    pub(super) old: Option<&'a Stat>,
    /// Whether one that is there may be replaced.
    pub(super) overwrite: bool,
    /// Whether it carries the mark of the operation.
    pub(super) is_marked: bool,
}

/// Has a file in `folder` be this content from one moment on, and makes that durable.
pub(super) fn replace(
    task: &Task<'_>,
    folder: &Dir,
    name: &str,
    content: &Content<'_>,
) -> Result<(), Stop> {
    let temporary = Temporary::create(task, folder, content.old)?;
    temporary.fill(task, content)?;
    if task.abandoned.load(Ordering::Acquire) {
        return Err(Stop::Failed(Fault::Cancelled.into()));
    }
    temporary.take_place(task, name, content.overwrite)?;
    task.settle(folder)
}

pub(super) fn exists(task: &Task<'_>) -> Stop {
    task.fail(FailureKind::Exists, "is there already and overwrite is false")
}

/// An unfinished write; dropping it removes it.
struct Temporary<'a> {
    folder: &'a Dir,
    name: String,
    file: File,
    op: OpId,
    placed: bool,
}

impl<'a> Temporary<'a> {
    fn create(task: &Task<'_>, folder: &'a Dir, old: Option<&Stat>) -> Result<Self, Stop> {
        let name = temporary_name(task.op);
        remove_leftover(task, folder)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if old.is_some() { 0o600 } else { 0o666 });
        let file = rustix::fs::openat(folder, &*name, flags, mode)
            .map_err(|errno| task.stop("make a temporary file", errno))?;
        Ok(Self { folder, name, file: file.into(), op: task.op, placed: false })
    }

    /// Writes the content, takes over the old file's owner and mode, and syncs.
    fn fill(&self, task: &Task<'_>, content: &Content<'_>) -> Result<(), Stop> {
        let mut file = &self.file;
        file.write_all(content.bytes).map_err(|error| task.stop_io("write a file", &error))?;
        if content.is_marked {
            mark::set(task, file, content.bytes)?;
        }
        if let Some(old) = content.old {
            let new = rustix::fs::fstat(file).map_err(|errno| task.stop("look", errno))?;
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
                let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
                if let Err(errno) = rustix::fs::fchown(file, Some(user), Some(group)) {
                    tracing::info!(op = %task.op, %errno, "a written file changes its owner");
                }
            }
            rustix::fs::fchmod(file, Mode::from_raw_mode(old.st_mode & 0o777))
                .map_err(|errno| task.stop("keep a file's mode", errno))?;
        }
        file.sync_all().map_err(|error| task.stop_io("sync a file", &error))
    }

    /// Renames it to `name`.
    fn take_place(mut self, task: &Task<'_>, name: &str, overwrite: bool) -> Result<(), Stop> {
        let stop = |errno| match errno {
            Errno::EXIST => exists(task),
            errno => task.stop("put a file in its place", errno),
        };
        // A program in the workspace may have put something else under the temporary name.
        let mine = rustix::fs::fstat(&self.file).map_err(stop)?;
        let there = mount::look(self.folder, &self.name).map_err(stop)?;
        let identity = |stat: &Stat| (stat.st_dev, stat.st_ino);
        if there.as_ref().map(identity) != Some(identity(&mine)) {
            return Err(Stop::Failed(provider_failed(self.op, "write.disturbed")));
        }
        if overwrite {
            rustix::fs::renameat(self.folder, &*self.name, self.folder, name).map_err(stop)?;
            self.placed = true;
            return Ok(());
        }
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(self.folder, &*self.name, self.folder, name, flags) {
            Ok(()) => self.placed = true,
            // The file system knows no such rename: a second name, and then the first one goes.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let (from, to) = (self.folder, self.folder);
                rustix::fs::linkat(from, &*self.name, to, name, AtFlags::empty()).map_err(stop)?;
            }
            Err(errno) => return Err(stop(errno)),
        }
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        if let Err(errno) = rustix::fs::unlinkat(self.folder, &*self.name, AtFlags::empty()) {
            tracing::warn!(op = %self.op, %errno, "a temporary file stays behind");
        }
    }
}

pub(super) fn remove_leftover(task: &Task<'_>, folder: &Dir) -> Result<(), Stop> {
    match rustix::fs::unlinkat(folder, temporary_name(task.op), AtFlags::empty()) {
        Ok(()) => {
            tracing::info!(op = %task.op, "the leftover of an interrupted write was removed");
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(task.stop("remove a leftover", errno)),
    }
}

/// Whether a write happened: the target has the content. Removes what it left behind.
pub(super) fn reconcile(task: &Task<'_>, call: &fs::Write) -> Result<Reconciled, Stop> {
    let (folder, name) = match task.parent() {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(Reconciled::DidNotHappen),
        Err(stop) => return unless_refused(stop),
    };
    remove_leftover(task, &folder)?;
    let file = match task.open_file(&folder, name) {
        Ok(file) => file,
        Err(stop) => return unless_refused(stop),
    };
    let found =
        read_up_to(&file, FILE_BYTES_MAX).map_err(|error| task.stop_io("read a file", &error))?;
    if libos_abi::Digest::of(&found) != call.text.digest() {
        return Ok(Reconciled::DidNotHappen);
    }
    task.settle(&folder)?;
    let created = call.overwrite == Some(false);
    let before = if created { Before::Absent } else { before::lost() };
    let reply = fs::Reply::Write(written(call, created, before));
    Ok(Reconciled::Happened(reply.into()))
}

/// A target that is not there, or is none for this call, was not written; any other trouble leaves
/// it open.
pub(super) fn unless_refused(stop: Stop) -> Result<Reconciled, Stop> {
    match &stop {
        Stop::Failed(Error::Fs(failure)) if failure.kind != FailureKind::NotPermitted => {
            Ok(Reconciled::DidNotHappen)
        }
        Stop::Failed(Error::Fault(Fault::OutsideMount { .. })) => Ok(Reconciled::DidNotHappen),
        _ => Err(stop),
    }
}
