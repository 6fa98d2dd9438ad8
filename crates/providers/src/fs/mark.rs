//! The mark of the operation that made a file what it is, as an extended attribute.
//!
//! What an edit leaves cannot be told from what was there before it by the call alone. So the new
//! file carries the operation and the digest of its content, and comes into its place with them in
//! one step. The digest binds the mark to the content: one that was changed since is not taken for
//! what the operation left, nor is an operation of the same number in another store.

use std::fs::File;

use libos_abi::Digest;
use rustix::{fs::XattrFlags, io::Errno};

use super::ops::Task;
use crate::Stop;

/// The attribute.
const NAME: &str = "user.libos.op";

/// What the mark of a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The operation left it as it is.
    Ours,
    /// The operation left it, and it was changed since.
    Changed,
    /// Another operation, or none.
    Other,
    /// The file system keeps no marks.
    Unkept,
}

fn value(task: &Task<'_>, bytes: &[u8]) -> String {
    format!("{} {}", task.op, Digest::of(bytes))
}

/// Marks a file with this content as the operation's. A file system that keeps no marks is none
/// the worse: what became of the operation is then unknown after a crash.
pub(super) fn set(task: &Task<'_>, file: &File, bytes: &[u8]) -> Result<(), Stop> {
    let value = value(task, bytes);
    match rustix::fs::fsetxattr(file, NAME, value.as_bytes(), XattrFlags::empty()) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(errno) => Err(task.stop("mark a file", errno)),
    }
}

/// What the mark of a file with this content tells.
pub(super) fn of(task: &Task<'_>, file: &File, bytes: &[u8]) -> Result<Mark, Stop> {
    let mut found = [0; 128];
    let found = match rustix::fs::fgetxattr(file, NAME, &mut found) {
        Ok(length) => &found[..length],
        Err(Errno::NODATA | Errno::RANGE) => return Ok(Mark::Other),
        Err(Errno::NOTSUP) => return Ok(Mark::Unkept),
        Err(errno) => return Err(task.stop("look for a mark", errno)),
    };
    let is_ours = found.starts_with(format!("{} ", task.op).as_bytes());
    Ok(match found == value(task, bytes).as_bytes() {
        true => Mark::Ours,
        false if is_ours => Mark::Changed,
        false => Mark::Other,
    })
}
