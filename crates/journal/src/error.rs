//! What can go wrong, where, and what to do about it.

use std::{error::Error, io, path::Path, path::PathBuf};

use libos_abi::{Digest, Seq};
use rusqlite::ErrorCode;

use crate::{Head, ProofFault, SignatureFault};

/// An error of the journal. Each message ends with what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another opener holds the store for writing.
    #[error(
        "the store at {} is in use{}: stop that process, or open the store read-only",
        path.display(),
        holder.map_or(String::new(), |pid| format!(" by process {pid}"))
    )]
    Locked {
        /// Folder of the store.
        path: PathBuf,
        /// Process that holds it, if its lock file says so.
        holder: Option<u32>,
    },

    /// The store was written by a program with another idea of its layout.
    #[error(
        "the store at {} has format {found}, and this program reads formats {} to {}: \
         open it with the program that wrote it",
        path.display(),
        supported.0,
        supported.1
    )]
    Format {
        /// Folder of the store.
        path: PathBuf,
        /// Format version found.
        found: String,
        /// The oldest and the newest format that this program reads.
        supported: (i64, i64),
    },

    /// There is no store to open read-only.
    #[error("there is no store at {}: check the path, or open it for writing once", path.display())]
    Absent {
        /// Folder looked at.
        path: PathBuf,
    },

    /// The store was opened with `open_read_only`.
    #[error("the store at {} is open read-only: open it for writing to append", path.display())]
    ReadOnly {
        /// Folder of the store.
        path: PathBuf,
    },

    /// The disk or the database refused. Nothing of the call counts, and the same call on the same
    /// object goes through once the cause is gone.
    #[error("cannot {doing} at {}: {}, then try again", path.display(), refusal.remedy())]
    Storage {
        /// What was tried, as a verb with its object.
        doing: &'static str,
        /// File or folder concerned.
        path: PathBuf,
        /// Why, as far as the operating system or SQLite tells.
        refusal: Refusal,
        /// What the operating system or SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A file of the store is lost or cut, so that the store cannot be opened at all.
    #[error("the store at {} is damaged ({what}): restore it from a copy", path.display())]
    Damaged {
        /// File concerned.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// The records are not those that were appended.
    #[error(
        "the journal is not what was written: at record {seq}, {what}: keep this store as \
         evidence and restore it from a copy"
    )]
    Corrupt {
        /// First bad record; see [`Corruption`] for how exact that is.
        seq: Seq,
        /// What is wrong there.
        what: Corruption,
    },

    /// A stored blob is not what its digest names.
    #[error("blob {digest} is {what}: restore its segment file from a copy")]
    CorruptBlob {
        /// Name of the blob.
        digest: Digest,
        /// What is wrong with it.
        what: BlobDamage,
    },

    /// No such blob was ever appended.
    #[error("blob {digest} is not in this store: check that the digest belongs to it")]
    BlobMissing {
        /// Name asked for.
        digest: Digest,
    },

    /// The blob was removed by an act of compaction.
    #[error("blob {digest} was dropped by compaction: what was decided about it is in the records")]
    BlobDropped {
        /// Name asked for.
        digest: Digest,
    },

    /// A batch names a blob by a digest that is not of its bytes.
    #[error(
        "the bytes given for blob {digest} have another digest: use `Batch::blob` to name them"
    )]
    BadBlob {
        /// Name given.
        digest: Digest,
    },

    /// A record or blob is longer than the journal's [`Limits`](crate::Limits) allow.
    #[error(
        "a {what} of {bytes} bytes exceeds the limit of {bytes_max}: store large payloads as \
         blobs, and split larger ones"
    )]
    TooLarge {
        /// "record" or "blob".
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that is allowed.
        bytes_max: usize,
    },

    /// A snapshot of a head at which the journal was never durable, or of another journal.
    #[error("the journal was not made durable at {head}: flush it, and take the snapshot then")]
    NotDurable {
        /// The head given.
        head: Head,
    },

    /// A proof proves nothing.
    #[error("proof {number} does not hold: {what}: do not believe what it shows")]
    BadProof {
        /// Its number in the file, from 1.
        number: u64,
        /// What is wrong with it.
        what: ProofFault,
    },

    /// The key does not vouch for the head.
    #[error("the head {head} cannot be trusted: {what}")]
    Signature {
        /// The head.
        head: Head,
        /// What is wrong with its signature.
        what: SignatureFault,
    },

    /// An export or a file of proofs could not be read or written.
    #[error("cannot {doing} the export: check the file and its disk, then try again")]
    Export {
        /// "read" or "write".
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why the disk or the database refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no space: the disk, a quota, a limit on file sizes or the database is full.
    Full,
    /// Nothing may be written: the file system is read-only, or a permission is missing.
    ReadOnly,
    /// Another process holds the database's lock for longer than it should.
    Busy,
    /// Anything else that a disk can say.
    Io,
}

/// How the records differ from what was appended.
///
/// `Changed`, `Missing`, `Inserted` and `OutOfOrder` name the record itself. Where somebody made
/// the rows agree again, only a root can tell: `Rewritten` names the first record that no good root
/// covers, `HeadMismatch` the head that does not fit. A store keeps one root per commit, an export
/// one per record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// The record does not hash to its leaf.
    #[error("the record was changed")]
    Changed,
    /// There is no record at this position, but there are later ones.
    #[error("the record is missing")]
    Missing,
    /// A record that was never appended, or stands here a second time.
    #[error("a record was inserted")]
    Inserted,
    /// The record of this position stands at another place.
    #[error("the records are out of order")]
    OutOfOrder,
    /// A record between this one and `last` was exchanged, dropped or inserted and the others
    /// renumbered: together they do not give the root that was stored with them.
    #[error("this record, or one up to {last}, was replaced, dropped or moved")]
    Rewritten {
        /// Last record that the failing root covers.
        last: Seq,
    },
    /// The records end here although there were more.
    #[error(
        "the records end: the journal was truncated{}",
        size.map_or(String::new(), |size| format!(" and had {size} records"))
    )]
    Truncated {
        /// Number of records that the head says; nothing if the head was cut off as well.
        size: Option<u64>,
    },
    /// As many records as the head says, but not the same.
    #[error("the records before it do not give the head {expected} but {found}")]
    HeadMismatch {
        /// Head kept.
        expected: Head,
        /// Head that the records give.
        found: Head,
    },
    /// The row or line is not readable as a record.
    #[error("the record cannot be read")]
    Unreadable,
    /// The description in an export is not the one that the record gives.
    #[error("the event shown is not the one recorded")]
    WrongEvent,
}

/// What is wrong with a stored blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobDamage {
    /// Its segment file is gone.
    #[error("lost with its segment file")]
    NoSegment,
    /// Its segment file ends before it does, or its place in the index makes no sense.
    #[error("cut off")]
    Truncated,
    /// Its bytes or its header have another digest.
    #[error("changed")]
    Changed,
}

impl Refusal {
    fn remedy(self) -> &'static str {
        match self {
            Self::Full => "the disk is full; free space",
            Self::ReadOnly => "it cannot be written; mount it writable and check permissions",
            Self::Busy => "another process holds it; let that end",
            Self::Io => "check the disk and permissions",
        }
    }

    fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind;
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Self::ReadOnly,
            _ => Self::Io,
        }
    }

    fn of_sqlite(error: &rusqlite::Error) -> Self {
        let Some(error) = error.sqlite_error() else {
            return Self::Io;
        };
        match error.code {
            ErrorCode::DiskFull => Self::Full,
            // The shared-memory file could not grow: SQLite has no other name for it.
            _ if error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => Self::Full,
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Self::ReadOnly,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            _ => Self::Io,
        }
    }
}

impl JournalError {
    /// Whether the same call may go through later, without anyone changing it: the disk refused,
    /// and disks get space again. Every other error stays what it is.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Storage { .. })
    }

    /// The error of a file operation.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let refusal = Refusal::of_io(&source);
        Self::Storage { doing, path: path.into(), refusal, source: source.into() }
    }

    /// The error of a database operation.
    pub(crate) fn sqlite(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            return Self::Damaged { path: path.into(), what: source.to_string() };
        }
        let refusal = Refusal::of_sqlite(&source);
        Self::Storage { doing, path: path.into(), refusal, source: source.into() }
    }

    /// The error of reading the row of record `seq`.
    pub(crate) fn row(seq: u64, path: &Path, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            return Self::corrupt(seq, Corruption::Unreadable);
        }
        Self::sqlite("read the records", path, source)
    }

    pub(crate) fn corrupt(seq: u64, what: Corruption) -> Self {
        Self::Corrupt { seq: Seq(seq), what }
    }
}

/// Whether the content of the database is at fault, not the way to it.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(error, _) => {
            matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_code(extended_code: i32) -> JournalError {
        let error = rusqlite::ffi::Error::new(extended_code);
        let error = rusqlite::Error::SqliteFailure(error, None);
        JournalError::sqlite("append", Path::new("store"), error)
    }

    #[test]
    fn a_refusal_of_the_disk_says_what_helps_and_may_pass() {
        use rusqlite::ffi;
        let io = |kind: io::ErrorKind| JournalError::io("append", Path::new("store"), kind.into());
        for (error, expected) in [
            (io(io::ErrorKind::StorageFull), Refusal::Full),
            (io(io::ErrorKind::QuotaExceeded), Refusal::Full),
            (io(io::ErrorKind::FileTooLarge), Refusal::Full),
            (io(io::ErrorKind::ReadOnlyFilesystem), Refusal::ReadOnly),
            (io(io::ErrorKind::PermissionDenied), Refusal::ReadOnly),
            (io(io::ErrorKind::Other), Refusal::Io),
            (of_code(ffi::SQLITE_FULL), Refusal::Full),
            (of_code(ffi::SQLITE_IOERR_SHMSIZE), Refusal::Full),
            (of_code(ffi::SQLITE_READONLY), Refusal::ReadOnly),
            (of_code(ffi::SQLITE_BUSY), Refusal::Busy),
            (of_code(ffi::SQLITE_IOERR_FSYNC), Refusal::Io),
            (of_code(ffi::SQLITE_IOERR_WRITE), Refusal::Io),
        ] {
            let JournalError::Storage { refusal, .. } = &error else {
                panic!("{error:?} is no refusal of the disk");
            };
            assert_eq!(*refusal, expected, "{error:?}");
            assert!(error.may_pass());
        }
    }

    #[test]
    fn what_no_disk_can_mend_does_not_pass() {
        for code in [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB] {
            assert!(matches!(of_code(code), JournalError::Damaged { .. }));
            assert!(!of_code(code).may_pass());
        }
        assert!(!JournalError::corrupt(3, Corruption::Changed).may_pass());
        assert!(!JournalError::ReadOnly { path: "store".into() }.may_pass());
    }
}
