//! Reading blobs: from memory while they wait for a commit, from segment files after it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use libos_abi::Digest;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use super::{
    layout::Files,
    segments::{Place, SegmentReader},
};
use crate::{Blobs, JournalError};

/// Shared by the journal and all readers.
#[derive(Debug)]
pub(super) struct SqliteBlobs {
    database_path: PathBuf,
    /// Its own connection, so that no reader waits for the writer.
    database: Mutex<Connection>,
    pub(super) segments: SegmentReader,
    /// Lazily appended, in no file yet. Sorted, so that the same appends give the same files.
    pub(super) pending: Mutex<BTreeMap<Digest, Arc<[u8]>>>,
}

impl SqliteBlobs {
    pub(super) fn new(files: &Files) -> Result<Self, JournalError> {
        Ok(Self {
            database_path: files.database.clone(),
            database: Mutex::new(files.connect_read_only()?),
            segments: SegmentReader::new(files.segments.clone()),
            pending: Mutex::new(BTreeMap::new()),
        })
    }

    fn place(&self, digest: &Digest) -> Result<Option<Place>, JournalError> {
        let error = |error| JournalError::sqlite("read the blob index", &self.database_path, error);
        let database = self.database.lock();
        let mut statement = database
            .prepare_cached("SELECT segment, \"offset\", length FROM blob WHERE digest = ?1")
            .map_err(error)?;
        statement.query_row([&digest.0[..]], |row| place(row, 0)).optional().map_err(error)
    }
}

/// The place in three columns from `first` on.
pub(super) fn place(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Place> {
    let count = |column| {
        let value: i64 = row.get(column)?;
        u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
    };
    Ok(Place { segment: row.get(first)?, offset: count(first + 1)?, length: count(first + 2)? })
}

impl Blobs for SqliteBlobs {
    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, JournalError> {
        // Pending first: a blob leaves that map only after the index has it.
        if let Some(bytes) = self.pending.lock().get(digest) {
            return Ok(Arc::clone(bytes));
        }
        match self.place(digest)? {
            Some(place) => self.segments.get(digest, &place),
            None => Err(JournalError::BlobMissing { digest: *digest }),
        }
    }

    fn contains(&self, digest: &Digest) -> Result<bool, JournalError> {
        Ok(self.pending.lock().contains_key(digest) || self.place(digest)?.is_some())
    }
}
