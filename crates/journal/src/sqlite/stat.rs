//! What a store holds and what it takes.

use std::fs;

use super::{SqliteJournal, layout::has_table, segments::HEADER_BYTES};
use crate::{Head, Journal, JournalError};

/// The sizes of a store. Bytes are those of files and payloads, not of blocks on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStat {
    /// The version of its layout.
    pub format: i64,
    /// Its head.
    pub head: Head,
    /// What its records take, without what the database adds.
    pub record_bytes: u64,
    /// The database with its write-ahead log.
    pub database_bytes: u64,
    /// Payloads stored beside the records.
    pub blobs: u64,
    /// What they take.
    pub blob_bytes: u64,
    /// Payloads that compaction has dropped.
    pub dropped: u64,
    /// Segment files.
    pub segments: u64,
    /// What they take.
    pub segment_bytes: u64,
    /// What of that no payload is left in; compaction frees it.
    pub unreferenced_bytes: u64,
    /// Snapshots of this journal.
    pub snapshots: u64,
    /// What their states take.
    pub snapshot_bytes: u64,
}

impl SqliteJournal {
    /// Counts what the store holds. Reads every row once.
    ///
    /// # Errors
    /// [`JournalError::Storage`] and what opening says of a store that is not whole.
    pub fn stat(&self) -> Result<StoreStat, JournalError> {
        let database = &self.database;
        let sql = |error| JournalError::sqlite("count the store", &self.files.database, error);
        let number = |query: &str| {
            let count = database.query_row(query, [], |row| row.get::<_, Option<i64>>(0));
            count.map(|count| count.unwrap_or(0).max(0).unsigned_abs()).map_err(sql)
        };
        let blobs = number("SELECT count(*) FROM blob")?;
        let blob_bytes = number("SELECT sum(length) FROM blob")?;
        let dropped = match has_table(database, "dropped").map_err(sql)? {
            true => number("SELECT count(DISTINCT digest) FROM dropped")?,
            false => 0,
        };
        let segments = self.files.present(database)?;
        let segment_bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let log = self.files.database.with_extension("db-wal");
        let files = [&self.files.database, &log].into_iter().map(fs::metadata);
        let snapshots = self.snapshots().list();
        Ok(StoreStat {
            format: self.files.format(database)?,
            head: self.head(),
            record_bytes: number("SELECT sum(length(body)) FROM record")?,
            database_bytes: files.flatten().map(|file| file.len()).sum(),
            blobs,
            blob_bytes,
            dropped,
            segments: segments.iter().filter(|segment| segment.bytes > 0).count() as u64,
            segment_bytes,
            unreferenced_bytes: segment_bytes.saturating_sub(blob_bytes + blobs * HEADER_BYTES),
            snapshots: snapshots.len() as u64,
            snapshot_bytes: snapshots.iter().map(|kept| kept.bytes).sum(),
        })
    }
}
