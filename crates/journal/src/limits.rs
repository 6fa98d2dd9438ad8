//! Every limit of the journal, each with its reason.

/// Sizes that a journal keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest record. Payloads belong in blobs; a record is bounded so that one read is.
    pub record_bytes_max: usize,
    /// Longest blob. It is read in one piece, so it must fit in memory.
    pub blob_bytes_max: usize,
    /// Length after which a segment file is followed by a new one, so that copies and backups of
    /// a growing store move one small file. A blob is never split: a longer one fills a segment.
    pub segment_bytes_max: u64,
    /// Lazy bytes (records and blobs) held in memory; the append that would exceed them first
    /// writes what is held.
    pub lazy_bytes_max: usize,
    /// Lazy records held in memory: what a crash can lose, and the longest commit.
    pub lazy_records_max: usize,
    /// Snapshots kept: the newest, and older ones for when it is damaged or too new.
    pub snapshots_max: usize,
}

impl Limits {
    /// The limits where nothing else is said.
    pub const DEFAULT: Self = Self {
        record_bytes_max: 16 << 20,
        blob_bytes_max: 512 << 20,
        segment_bytes_max: 64 << 20,
        lazy_bytes_max: 8 << 20,
        lazy_records_max: 16_384,
        snapshots_max: 4,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
