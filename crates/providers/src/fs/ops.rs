//! The calls on files, each against an opened mount.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    rc::Rc,
    sync::atomic::AtomicBool,
};

use cap_std::fs::Dir;
use libos_abi::{
    Digest, Error, Fault, FsPath, OpId, Text,
    fs::{
        self, Before, DirEntry, FailureKind, FileKind, FileText, Listing, Made, Metadata, Removed,
    },
};
use libos_port::Reconciled;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{
    before, edit, find,
    mount::{self, Mount, Unreached, file_type},
    write,
};
use crate::{
    Stop, host_failure,
    limits::{FILE_BYTES_MAX, LIST_ENTRIES_DEFAULT, LIST_ENTRIES_MAX},
    outside,
};

/// One call under way.
pub(super) struct Task<'a> {
    pub(super) op: OpId,
    /// The path as the caller knows it.
    pub(super) path: &'a FsPath,
    pub(super) mount: Rc<Mount>,
    /// The names below the mount.
    pub(super) names: Vec<&'a str>,
    /// What is below the target and does not exist for a process.
    pub(super) hidden: Vec<PathBuf>,
    /// Whether nobody waits for it any more.
    pub(super) abandoned: &'a AtomicBool,
}

/// Performs a call.
pub(super) fn perform(task: &Task<'_>, call: &fs::Call) -> Result<fs::Reply, Stop> {
    match call {
        fs::Call::Read(call) => read(task, call).map(fs::Reply::Read),
        fs::Call::Write(call) => write::write(task, call).map(fs::Reply::Write),
        fs::Call::List(call) => list(task, call).map(fs::Reply::List),
        fs::Call::Mkdir(call) => mkdir(task, call).map(fs::Reply::Mkdir),
        fs::Call::Delete(call) => delete(task, call).map(fs::Reply::Delete),
        fs::Call::Stat(_) => stat(task).map(fs::Reply::Stat),
        fs::Call::PutBack(call) => before::put_back(task, call).map(fs::Reply::PutBack),
        fs::Call::Edit(call) => edit::edit(task, call).map(fs::Reply::Edit),
        fs::Call::Patch(call) => edit::patch(task, call).map(fs::Reply::Patch),
        fs::Call::Append(call) => edit::append(task, call).map(fs::Reply::Append),
        fs::Call::Search(call) => find::search(task, call).map(fs::Reply::Search),
        fs::Call::Glob(call) => find::glob(task, call).map(fs::Reply::Glob),
        // Performed where both paths are known, and where waiting holds nothing up.
        fs::Call::Rename(_) | fs::Call::Watch(_) => Err(Stop::Refused(unsupported("fs"))),
    }
}

/// A call that is not performed here.
pub(super) fn unsupported(call: &str) -> Error {
    Fault::Unsupported { call: call.to_owned() }.into()
}

impl Task<'_> {
    /// A failure of the call's service; `what` follows the path.
    pub(super) fn fail(&self, kind: FailureKind, what: &str) -> Stop {
        Stop::Failed(kind.because(format!("`{}` {what}", self.path)))
    }

    /// The path leads out of the mount, or to a file that has a name elsewhere.
    pub(super) fn outside(&self) -> Stop {
        Stop::Failed(outside(self.path))
    }

    /// What the host's answer means to the caller.
    pub(super) fn stop(&self, doing: &str, errno: Errno) -> Stop {
        match errno {
            Errno::NOENT | Errno::NOTDIR => self.fail(FailureKind::NotFound, "is not there"),
            Errno::LOOP | Errno::XDEV => self.outside(),
            Errno::ISDIR => self.fail(FailureKind::NotAFile, "is a folder"),
            Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::BUSY => {
                tracing::info!(op = %self.op, doing, %errno, "the host refused");
                self.fail(FailureKind::NotPermitted, "is refused by the host")
            }
            _ => Stop::Failed(host_failure(self.op, doing, &errno.into())),
        }
    }

    /// The same for an error of the standard library.
    pub(super) fn stop_io(&self, doing: &str, error: &io::Error) -> Stop {
        match error.raw_os_error() {
            Some(raw) => self.stop(doing, Errno::from_raw_os_error(raw)),
            None => Stop::Failed(host_failure(self.op, doing, error)),
        }
    }

    /// What it means that a folder was not reached.
    pub(super) fn unreached(&self, why: &Unreached) -> Stop {
        match why {
            Unreached::Link => self.outside(),
            Unreached::Missing => self.fail(FailureKind::NotFound, "is not there"),
            Unreached::NotAFolder => {
                self.fail(FailureKind::NotFound, "is not there: a part of it is no folder")
            }
            Unreached::Io(error) => self.stop_io("walk to a folder", error),
        }
    }

    /// The opened folder of the path's last name, and that name; `None` for the mount's root.
    pub(super) fn parent(&self) -> Result<Option<(Dir, &str)>, Stop> {
        let Some((name, above)) = self.names.split_last() else {
            return Ok(None);
        };
        let folder = self.mount.folder(above).map_err(|why| self.unreached(&why))?;
        Ok(Some((folder, name)))
    }

    /// What `name` is, following nothing; `None` if nothing is there.
    pub(super) fn look(&self, folder: &Dir, name: &str) -> Result<Option<Stat>, Stop> {
        mount::look(folder, name).map_err(|errno| self.stop("look at a file", errno))
    }

    /// Refuses all but a regular file with one name.
    pub(super) fn check_file(&self, found: &Stat) -> Result<(), Stop> {
        match file_type(found) {
            FileType::RegularFile if found.st_nlink > 1 => Err(self.outside()),
            FileType::RegularFile => Ok(()),
            FileType::Symlink => Err(self.outside()),
            FileType::Directory => Err(self.fail(FailureKind::NotAFile, "is a folder")),
            _ => Err(self.fail(FailureKind::NotAFile, "is a special file")),
        }
    }

    /// Opens a regular file with one name for reading. What it is, is decided before it is opened
    /// and again on the opened file, which counts.
    pub(super) fn open_file(&self, folder: &Dir, name: &str) -> Result<File, Stop> {
        let not_found = || self.fail(FailureKind::NotFound, "is not there");
        self.check_file(&self.look(folder, name)?.ok_or_else(not_found)?)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, name, flags, Mode::empty())
            .map_err(|errno| self.stop("open a file", errno))?;
        let opened = rustix::fs::fstat(&file).map_err(|errno| self.stop("look", errno))?;
        self.check_file(&opened)?;
        Ok(file.into())
    }

    /// Refuses a file that is not what the caller expects.
    pub(super) fn expect(
        &self,
        found: Option<Digest>,
        expected: Option<Digest>,
    ) -> Result<(), Stop> {
        match (found, expected) {
            (_, None) => Ok(()),
            (Some(found), Some(expected)) if found == expected => Ok(()),
            (Some(found), Some(_)) => {
                let what = format!("has the digest {found}, not the one expected");
                Err(self.fail(FailureKind::Conflict, &what))
            }
            (None, Some(_)) => {
                Err(self.fail(FailureKind::Conflict, "is no file that can be compared"))
            }
        }
    }

    /// The same, of what is at a name, which is read only if anything is expected.
    pub(super) fn expect_at(
        &self,
        folder: &Dir,
        name: &str,
        found: Option<&Stat>,
        expected: Option<Digest>,
    ) -> Result<(), Stop> {
        let is_file = |found: &Stat| file_type(found) == FileType::RegularFile;
        if expected.is_none() || !found.is_some_and(is_file) {
            return self.expect(None, expected);
        }
        let bytes = self.bytes(&self.open_file(folder, name)?)?;
        let is_whole = bytes.len() <= FILE_BYTES_MAX as usize;
        self.expect(is_whole.then(|| Digest::of(&bytes)), expected)
    }

    /// The bytes of a file: all of them, or one more than a call reads.
    pub(super) fn bytes(&self, file: &File) -> Result<Vec<u8>, Stop> {
        read_up_to(file, FILE_BYTES_MAX).map_err(|error| self.stop_io("read a file", &error))
    }

    /// Makes a change in `folder` durable. The change is there already, so a failure leaves the
    /// outcome open.
    pub(super) fn settle(&self, folder: &Dir) -> Result<(), Stop> {
        mount::sync(folder).map_err(|errno| {
            Stop::Unknown(format!("the change was made, but its folder did not sync: {errno}"))
        })
    }
}

/// Reads at most `max` bytes and one more, to know whether there are more.
pub(super) fn read_up_to(file: &File, max: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(u64::from(max) + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(task: &Task<'_>, call: &fs::Read) -> Result<FileText, Stop> {
    let Some((folder, name)) = task.parent()? else {
        return Err(task.fail(FailureKind::NotAFile, "is a folder"));
    };
    let max = call.max_bytes.unwrap_or(libos_abi::fs::READ_BYTES_DEFAULT).min(FILE_BYTES_MAX);
    let file = task.open_file(&folder, name)?;
    let mut bytes = read_up_to(&file, max).map_err(|error| task.stop_io("read a file", &error))?;
    let truncated = bytes.len() > max as usize;
    bytes.truncate(max as usize);
    let not_text = || task.fail(FailureKind::NotText, "holds bytes that are not UTF-8");
    if let Err(error) = std::str::from_utf8(&bytes) {
        if !truncated || error.error_len().is_some() {
            return Err(not_text());
        }
        bytes.truncate(error.valid_up_to());
    }
    let text = String::from_utf8(bytes).map_err(|_| not_text())?;
    let digest = Digest::of(text.as_bytes());
    let bytes = text.len() as u64;
    Ok(FileText { text: Text::from(text), bytes, truncated, digest })
}

fn list(task: &Task<'_>, call: &fs::List) -> Result<Listing, Stop> {
    let limit = call.limit.unwrap_or(LIST_ENTRIES_DEFAULT).min(LIST_ENTRIES_MAX) as usize;
    let folder = task.mount.folder(&task.names).map_err(|why| match why {
        Unreached::NotAFolder => task.fail(FailureKind::NotAFolder, "is no folder"),
        why => task.unreached(&why),
    })?;
    let stop = |errno| task.stop("list a folder", errno);
    let first = first_names(task, &folder, limit + 1)?;
    let truncated = first.len() > limit;
    let mut entries = Vec::with_capacity(first.len().min(limit));
    for name in first.iter().take(limit) {
        // Gone since: it is no entry any more.
        let Some(found) = mount::look_at(&folder, name).map_err(stop)? else {
            continue;
        };
        let Metadata { kind, bytes, .. } = metadata(&found);
        let name = String::from_utf8_lossy(name).into_owned();
        entries.push(DirEntry { name, kind, bytes });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Listing { entries, truncated })
}

/// The first names in a folder that there are for a process, at most `max`.
pub(super) fn first_names(
    task: &Task<'_>,
    folder: &Dir,
    max: usize,
) -> Result<BTreeSet<Vec<u8>>, Stop> {
    let stop = |errno| task.stop("list a folder", errno);
    let mut first: BTreeSet<Vec<u8>> = BTreeSet::new();
    for entry in rustix::fs::Dir::read_from(folder).map_err(stop)? {
        let entry = entry.map_err(stop)?;
        let name = entry.file_name().to_bytes();
        let is_hidden = task.hidden.iter().any(|hidden| hidden.as_os_str().as_bytes() == name);
        if matches!(name, b"." | b"..") || write::is_temporary(name) || is_hidden {
            continue;
        }
        first.insert(name.to_vec());
        if first.len() > max {
            first.pop_last();
        }
    }
    Ok(first)
}

/// Makes folders, each in the one before, from the mount on; tells whether the last is new.
pub(super) fn make_all(task: &Task<'_>, names: &[&str]) -> Result<bool, Stop> {
    let mut created = false;
    let mut folder = task.mount.folder(&[]).map_err(|why| task.unreached(&why))?;
    for name in names {
        created = make(task, &folder, name)?;
        folder = mount::step(&folder, name).map_err(|why| task.unreached(&why))?;
    }
    Ok(created)
}

fn mkdir(task: &Task<'_>, call: &fs::Mkdir) -> Result<Made, Stop> {
    let mut created = false;
    if call.parents.unwrap_or(false) {
        created = make_all(task, &task.names)?;
    } else if let Some((folder, name)) = task.parent()? {
        created = make(task, &folder, name)?;
    }
    Ok(Made { path: task.path.clone(), created })
}

/// Makes one folder; tells whether it is new.
fn make(task: &Task<'_>, folder: &Dir, name: &str) -> Result<bool, Stop> {
    match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => task.settle(folder).map(|()| true),
        Err(Errno::EXIST) => match task.look(folder, name)?.as_ref().map(file_type) {
            Some(FileType::Directory) => Ok(false),
            Some(FileType::Symlink) => Err(task.outside()),
            _ => Err(task.fail(FailureKind::Exists, &format!("meets `{name}`, no folder"))),
        },
        Err(errno) => Err(task.stop("make a folder", errno)),
    }
}

fn delete(task: &Task<'_>, call: &fs::Delete) -> Result<Removed, Stop> {
    let path = task.path.clone();
    let missing = |stop: Stop| match stop {
        Stop::Failed(libos_abi::Error::Fs(failure))
            if failure.kind == FailureKind::NotFound && call.missing_ok == Some(true) =>
        {
            Ok(Removed { path: task.path.clone(), removed: false, before: Before::Absent })
        }
        stop => Err(stop),
    };
    match remove(task, call.expected_digest) {
        Ok(before) => Ok(Removed { path, removed: true, before }),
        Err(stop) => missing(stop),
    }
}

/// Removes what is there, if it is what is expected; tells what it was.
pub(super) fn remove(task: &Task<'_>, expected: Option<Digest>) -> Result<Before, Stop> {
    let Some((folder, name)) = task.parent()? else {
        return Err(task.fail(FailureKind::BadTarget, "is a mount's root"));
    };
    let Some(found) = task.look(&folder, name)? else {
        return Err(task.fail(FailureKind::NotFound, "is not there"));
    };
    // Should the entry be swapped now, the flag no longer fits it, or the swapped-in entry itself
    // goes: never what a link points to.
    let flags = match file_type(&found) {
        FileType::RegularFile => AtFlags::empty(),
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::Symlink => return Err(task.outside()),
        _ => return Err(task.fail(FailureKind::NotPermitted, "is a special file")),
    };
    task.expect_at(&folder, name, Some(&found), expected)?;
    let before = before::of_file(task, &folder, name, Some(&found));
    rustix::fs::unlinkat(&folder, name, flags).map_err(|errno| match errno {
        Errno::NOTEMPTY | Errno::EXIST => task.fail(FailureKind::NotEmpty, "is not empty"),
        Errno::ISDIR => task.fail(FailureKind::NotPermitted, "changed while it was removed"),
        errno => task.stop("remove", errno),
    })?;
    task.settle(&folder)?;
    Ok(before)
}

fn stat(task: &Task<'_>) -> Result<Metadata, Stop> {
    let found = match task.parent()? {
        Some((folder, name)) => task.look(&folder, name)?,
        None => {
            let root = rustix::fs::fstat(task.mount.root());
            Some(root.map_err(|errno| task.stop("look at the mount", errno))?)
        }
    };
    let found = found.ok_or_else(|| task.fail(FailureKind::NotFound, "is not there"))?;
    Ok(metadata(&found))
}

pub(super) fn metadata(found: &Stat) -> Metadata {
    let kind = match file_type(found) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    };
    let bytes = if kind == FileKind::File { u64::try_from(found.st_size).unwrap_or(0) } else { 0 };
    let millis = i128::from(found.st_mtime) * 1_000 + i128::from(found.st_mtime_nsec / 1_000_000);
    let modified_at_ms = u64::try_from(millis).unwrap_or(0);
    Metadata { kind, bytes, modified_at_ms }
}

/// Whether a removal happened: nothing is there any more.
pub(super) fn reconcile_delete(task: &Task<'_>) -> Result<Reconciled, Stop> {
    let happened = || {
        let path = task.path.clone();
        let removed = Removed { path, removed: true, before: before::lost() };
        Reconciled::Happened(fs::Reply::Delete(removed).into())
    };
    let (folder, name) = match task.parent() {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(Reconciled::DidNotHappen),
        Err(Stop::Failed(libos_abi::Error::Fs(failure)))
            if failure.kind == FailureKind::NotFound =>
        {
            return Ok(happened());
        }
        Err(Stop::Failed(libos_abi::Error::Fault(libos_abi::Fault::OutsideMount { .. }))) => {
            return Ok(Reconciled::DidNotHappen);
        }
        Err(stop) => return Err(stop),
    };
    if task.look(&folder, name)?.is_some() {
        return Ok(Reconciled::DidNotHappen);
    }
    task.settle(&folder)?;
    Ok(happened())
}
