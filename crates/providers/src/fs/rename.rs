//! Giving a file another name in its mount.
//!
//! Files only: with a folder everything in it would go where other rights hold.

use libos_abi::{
    Digest,
    fs::{self, Before, FailureKind, Renamed},
};
use libos_port::Reconciled;
use rustix::{
    fs::{FileType, RenameFlags},
    io::Errno,
};

use super::{
    before,
    mark::{self, Mark},
    mount::file_type,
    ops::Task,
    write,
};
use crate::{Stop, limits::FILE_BYTES_MAX};

/// Renames the file of one task to the path of the other.
pub(super) fn rename(from: &Task<'_>, to: &Task<'_>, call: &fs::Rename) -> Result<Renamed, Stop> {
    let is_root = |task: &Task<'_>| task.fail(FailureKind::BadTarget, "is a mount's root");
    let (folder, name) = from.parent()?.ok_or_else(|| is_root(from))?;
    let (new_folder, new_name) = to.parent()?.ok_or_else(|| is_root(to))?;
    let file = from.open_file(&folder, name)?;
    let bytes = from.bytes(&file)?;
    let is_whole = bytes.len() <= FILE_BYTES_MAX as usize;
    from.expect(is_whole.then(|| Digest::of(&bytes)), call.expected_digest)?;
    let overwrite = call.overwrite.unwrap_or(false);
    let there = to.look(&new_folder, new_name)?;
    if let Some(there) = &there {
        if file_type(there) == FileType::RegularFile && !overwrite {
            return Err(write::exists(to));
        }
        to.check_file(there)?;
        write::may_write(to, &new_folder, new_name)?;
    }
    let before = before::of_file(to, &new_folder, new_name, there.as_ref());
    match mark::set(from, &file, &bytes) {
        // A file that its user may not write can be renamed all the same.
        Ok(()) | Err(Stop::Failed(libos_abi::Error::Fs(_))) => {}
        Err(stop) => return Err(stop),
    }
    let flags = if overwrite { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    rustix::fs::renameat_with(&folder, name, &new_folder, new_name, flags).map_err(|errno| {
        match errno {
            Errno::EXIST => write::exists(to),
            errno => from.stop("rename a file", errno),
        }
    })?;
    to.settle(&new_folder)?;
    from.settle(&folder)?;
    Ok(Renamed {
        from: from.path.clone(),
        to: to.path.clone(),
        replaced: there.is_some(),
        moved: before::of_bytes(&bytes),
        before,
    })
}

/// Whether a file was renamed: it carries the operation's mark under its new name, or it is gone
/// under its old one and what was expected is under the new.
pub(super) fn reconcile(
    from: &Task<'_>,
    to: &Task<'_>,
    call: &fs::Rename,
) -> Result<Reconciled, Stop> {
    let (folder, name) = match to.parent() {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(Reconciled::DidNotHappen),
        Err(stop) => return write::unless_refused(stop),
    };
    let file = match to.open_file(&folder, name) {
        Ok(file) => file,
        Err(stop) => return write::unless_refused(stop),
    };
    let bytes = to.bytes(&file)?;
    let is_gone = match from.parent() {
        Ok(Some((folder, name))) => from.look(&folder, name)?.is_none(),
        _ => false,
    };
    let is_expected = call.expected_digest == Some(Digest::of(&bytes));
    match mark::of(to, &file, &bytes)? {
        Mark::Ours => {}
        _ if is_gone && is_expected => {}
        _ if is_gone => return Ok(Reconciled::Unknown),
        _ => return Ok(Reconciled::DidNotHappen),
    }
    to.settle(&folder)?;
    let renamed = Renamed {
        from: from.path.clone(),
        to: to.path.clone(),
        replaced: false,
        moved: before::of_bytes(&bytes),
        before: match call.overwrite {
            Some(true) => before::lost(),
            _ => Before::Absent,
        },
    };
    Ok(Reconciled::Happened(fs::Reply::Rename(renamed).into()))
}
