//! What was there before a call changed it, and how it is put back.

use cap_std::fs::Dir;
use libos_abi::{
    Digest, Text,
    fs::{self, Before, FailureKind, Returned},
};
use libos_port::Reconciled;
use rustix::fs::{FileType, Stat};

use super::{
    mount::file_type,
    ops::{self, Task, read_up_to},
    write,
};
use crate::{Stop, limits::FILE_BYTES_MAX};

fn not_kept(why: &str) -> Before {
    Before::NotKept { why: why.to_owned() }
}

/// What was there before a call whose outcome was lost.
pub(super) fn lost() -> Before {
    not_kept("the host ended while the call was under way")
}

/// What is at a name in a folder, where `found` was seen. That it cannot be kept stops nothing.
pub(super) fn of_file(task: &Task<'_>, folder: &Dir, name: &str, found: Option<&Stat>) -> Before {
    let Some(found) = found else {
        return Before::Absent;
    };
    if file_type(found) == FileType::Directory {
        return not_kept("it was a folder");
    }
    let bytes = task.open_file(folder, name).ok();
    match bytes.map(|file| read_up_to(&file, FILE_BYTES_MAX)) {
        Some(Ok(bytes)) => of_bytes(&bytes),
        Some(Err(_)) | None => not_kept("it could not be read"),
    }
}

/// The bytes of a file, or one more than what is kept.
pub(super) fn of_bytes(bytes: &[u8]) -> Before {
    if bytes.len() > FILE_BYTES_MAX as usize {
        return not_kept("it was larger than what is kept");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Before::Text(Text::from(text)),
        Err(_) => not_kept("it was no UTF-8 text"),
    }
}

/// The digest of the file that is there; of one that is too large, of its beginning.
fn digest(task: &Task<'_>) -> Result<Option<Digest>, Stop> {
    let (folder, name) = match task.parent() {
        Ok(Some(target)) => target,
        Ok(None) => return Err(task.fail(FailureKind::NotAFile, "is a folder")),
        Err(Stop::Failed(libos_abi::Error::Fs(failure)))
            if failure.kind == FailureKind::NotFound =>
        {
            return Ok(None);
        }
        Err(stop) => return Err(stop),
    };
    if task.look(&folder, name)?.is_none() {
        return Ok(None);
    }
    let file = task.open_file(&folder, name)?;
    let bytes = read_up_to(&file, FILE_BYTES_MAX);
    bytes.map(|bytes| Some(Digest::of(&bytes))).map_err(|error| task.stop_io("read a file", &error))
}

/// Has a file be what it was, unless something else is there than is expected.
pub(super) fn put_back(task: &Task<'_>, call: &fs::PutBack) -> Result<Returned, Stop> {
    let found = digest(task)?;
    let path = task.path.clone();
    if found == call.text.as_ref().map(Text::digest) {
        return Ok(Returned { path, changed: false });
    }
    if found != call.expected && call.force != Some(true) {
        return Err(task.fail(FailureKind::Conflict, "is not what the last recorded change left"));
    }
    match &call.text {
        Some(text) => {
            if let Some((_, above)) = task.names.split_last() {
                ops::make_all(task, above).map_err(|stop| no_place(task, stop))?;
            }
            let (path, text) = (task.path.clone(), text.clone());
            let write = fs::Write { path, text, overwrite: None, expected_digest: None };
            write::write(task, &write)?;
        }
        None => drop(ops::remove(task, None)?),
    }
    Ok(Returned { path, changed: true })
}

/// A part of the path is no folder any more.
fn no_place(task: &Task<'_>, stop: Stop) -> Stop {
    match &stop {
        Stop::Failed(libos_abi::Error::Fs(failure))
            if matches!(failure.kind, FailureKind::Exists | FailureKind::NotFound) =>
        {
            task.fail(FailureKind::NotAFile, "is below something that is no folder")
        }
        _ => stop,
    }
}

/// Whether a file was put back: it is what it was.
pub(super) fn reconcile(task: &Task<'_>, call: &fs::PutBack) -> Result<Reconciled, Stop> {
    match digest(task) {
        Ok(found) if found == call.text.as_ref().map(Text::digest) => {
            let back = Returned { path: task.path.clone(), changed: true };
            Ok(Reconciled::Happened(fs::Reply::PutBack(back).into()))
        }
        Ok(_) | Err(Stop::Failed(_)) => Ok(Reconciled::DidNotHappen),
        Err(stop) => Err(stop),
    }
}
