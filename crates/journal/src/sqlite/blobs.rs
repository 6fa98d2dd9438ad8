//! Reading blobs: from memory while they wait for a commit, from segment files after it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use libos_abi::Digest;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use super::{
    layout::{Files, has_table},
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

    /// Why a blob is not in the index.
    fn absent(&self, digest: &Digest) -> Result<JournalError, JournalError> {
        let error = |error| JournalError::sqlite("read the blob index", &self.database_path, error);
        let database = self.database.lock();
        let query = "SELECT count(*) > 0 FROM dropped WHERE digest = ?1";
        let was_here = has_table(&database, "dropped").map_err(error)?
            && database.query_row(query, [&digest.0[..]], |row| row.get(0)).map_err(error)?;
        Ok(match was_here {
            true => JournalError::BlobDropped { digest: *digest },
            false => JournalError::BlobMissing { digest: *digest },
        })
    }
}

/// The place in three columns from `first` on.
pub(super) fn place(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Place> {
    let (offset, length) = (count(row, first + 1)?, count(row, first + 2)?);
    Ok(Place { segment: row.get(first)?, offset, length })
}

/// A number that is never negative.
pub(super) fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

impl Blobs for SqliteBlobs {
    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, JournalError> {
        // Pending first: a blob leaves that map only after the index has it.
        if let Some(bytes) = self.pending.lock().get(digest) {
            return Ok(Arc::clone(bytes));
        }
        let Some(mut place) = self.place(digest)? else {
            return Err(self.absent(digest)?);
        };
        loop {
            let damage = match self.segments.get(digest, &place) {
                Err(damage @ JournalError::CorruptBlob { .. }) => damage,
                found => return found,
            };
            // A writer may have moved it meanwhile, and each time it is moved it stands elsewhere.
            match self.place(digest)? {
                Some(now) if now != place => place = now,
                Some(_) => return Err(damage),
                None => return Err(self.absent(digest)?),
            }
        }
    }

    fn contains(&self, digest: &Digest) -> Result<bool, JournalError> {
        Ok(self.pending.lock().contains_key(digest) || self.place(digest)?.is_some())
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, JournalError> {
        let error = |error| JournalError::sqlite("read the blob index", &self.database_path, error);
        let database = self.database.lock();
        let mut query =
            database.prepare_cached("SELECT digest, length FROM blob").map_err(error)?;
        let stored = query.query_map([], |row| Ok((Digest(row.get(0)?), count(row, 1)?)));
        let stored = stored.and_then(Iterator::collect::<Result<BTreeMap<_, _>, _>>);
        let mut all = stored.map_err(error)?;
        let pending = self.pending.lock();
        all.extend(pending.iter().map(|(digest, bytes)| (*digest, bytes.len() as u64)));
        Ok(all.into_iter().collect())
    }
}
