//! The default journal: one folder with a SQLite database and segment files.
//!
//! ```text
//! DIR/journal.db        records, roots, blob index (WAL, synchronous=FULL; plain SQL reads it)
//! DIR/segments/*.seg    the bytes of blobs, append-only
//! DIR/snapshots/*.snap  states that the records fold to; none is needed
//! DIR/lock              held by the one writer
//! ```
//!
//! A durable append is one transaction: blobs are synced to their segments first, then one commit
//! names records, root and blobs together. Lazy appends wait in memory, in order, and go out with
//! the next durable append or flush. The tree in memory moves only after the commit.

mod blobs;
mod compact;
mod faults;
mod layout;
mod lock;
mod rows;
mod scan;
mod segments;
mod snapshots;
mod stat;
mod verify;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use libos_abi::{Digest, Seq};
use rusqlite::Connection;

use self::{
    blobs::SqliteBlobs,
    faults::Faults,
    layout::{FRONTIER_RECORDS, Files},
    lock::Lock,
    rows::{immediate, insert_blobs, insert_head, insert_records, keep_frontier, row_id},
    segments::{End, SegmentWriter},
    snapshots::SqliteSnapshots,
};
use crate::{
    Batch, Blobs, Dropped, Head, Journal, JournalError, Limits, OnStep, Snapshots, Sync, TreeHash,
    admit, merkle, merkle::Tree,
};

pub use self::{layout::FORMAT, stat::StoreStat};

type NewBlobs = BTreeMap<Digest, Arc<[u8]>>;

/// A [`Journal`] in a folder.
///
/// Dropping it flushes lazy appends as far as possible; call [`Journal::flush`] to know.
///
/// After an append failed *in its commit* (the disk refused the sync) and the machine then crashed
/// before the next successful append, the batch may be found whole after all: the caller was told
/// that it does not count, and must not have acted on it.
#[derive(Debug)]
pub struct SqliteJournal {
    files: Files,
    limits: Limits,
    /// Before `database`: the last connection to close tidies up, and only the writer's can.
    blobs: Arc<SqliteBlobs>,
    snapshots: Arc<SqliteSnapshots>,
    database: Connection,
    /// Over all records, waiting ones included.
    tree: Tree,
    head: Head,
    waiting: Waiting,
    /// Records in the database.
    stored: u64,
    /// Only in a journal that may write.
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    segments: SegmentWriter,
    /// Where the committed blobs end.
    committed: End,
    /// An append failed: the database may hold what does not count.
    suspect: bool,
    faults: Faults,
    _lock: Lock,
}

/// Lazy records in memory, one after the other.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
    leaves: Vec<TreeHash>,
    blob_bytes: usize,
}

impl Waiting {
    fn records(&self) -> impl Iterator<Item = (&TreeHash, &[u8])> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let ranges = starts.zip(&self.ends);
        self.leaves.iter().zip(ranges.map(|(start, end)| &self.bytes[*start..*end]))
    }

    fn push(&mut self, leaf: TreeHash, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.leaves.push(leaf);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.leaves.clear();
        self.blob_bytes = 0;
    }
}

impl SqliteJournal {
    /// Opens the store in the folder `dir` for writing, and makes it if there is none.
    ///
    /// Checks that there is a record for each position and that the tree kept with the last
    /// commits, continued by the leaves after it, gives the stored head. Whether old records are
    /// still what they were is for [`Journal::read`] (each record) and [`Journal::verify`]
    /// (everything) to say.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while another opener writes, [`JournalError::Format`],
    /// [`JournalError::Damaged`], [`JournalError::Corrupt`], [`JournalError::Storage`].
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        Self::open_with(dir, Limits::default())
    }

    /// [`SqliteJournal::open`] with other limits.
    ///
    /// # Errors
    /// As [`SqliteJournal::open`].
    pub fn open_with(dir: &Path, limits: Limits) -> Result<Self, JournalError> {
        Self::open_watched(dir, limits, None)
    }

    /// [`SqliteJournal::open_with`], and somebody is told of each of [`STEPS`](crate::STEPS).
    ///
    /// # Errors
    /// As [`SqliteJournal::open`].
    pub fn open_watched(
        dir: &Path,
        limits: Limits,
        on_step: Option<OnStep>,
    ) -> Result<Self, JournalError> {
        let faults = Faults::watched(on_step);
        let files = Files::of(dir);
        faults.pass("open.folders");
        files.create_folders()?;
        faults.pass("open.lock");
        let lock = Lock::take(dir)?;
        faults.pass("open.database");
        files.create_database(&faults)?;
        faults.pass("open.load");
        let database = files.connect()?;
        let (mut journal, end) = Self::load(files, limits, database, false)?;
        let folder = journal.files.segments.clone();
        journal.writer = Some(Writer {
            segments: SegmentWriter::new(folder, end, limits.segment_bytes_max),
            committed: end,
            suspect: false,
            faults,
            _lock: lock,
        });
        Ok(journal)
    }

    /// Opens the store in `dir` for reading, also while another process writes to it. The journal
    /// stands at the head found now; [`SqliteJournal::refresh`] moves it on.
    ///
    /// # Errors
    /// [`JournalError::Absent`]; otherwise as [`SqliteJournal::open`], but never `Locked`.
    pub fn open_read_only(dir: &Path) -> Result<Self, JournalError> {
        let files = Files::of(dir);
        let error = |error| JournalError::io("open the store", dir, error);
        if !std::fs::exists(&files.database).map_err(error)? {
            return Err(JournalError::Absent { path: dir.into() });
        }
        let database = files.connect_read_only()?;
        Ok(Self::load(files, Limits::default(), database, true)?.0)
    }

    fn load(
        files: Files,
        limits: Limits,
        database: Connection,
        read_only: bool,
    ) -> Result<(Self, End), JournalError> {
        let sql = |error| JournalError::sqlite("open the store", &files.database, error);
        let snapshot = database.unchecked_transaction().map_err(sql)?;
        let tree = files.load(&database, &Tree::new())?;
        let head = tree.head();
        let end = files.segment_end(&database)?;
        snapshot.finish().map_err(sql)?;
        let blobs = Arc::new(SqliteBlobs::new(&files)?);
        let snapshots = SqliteSnapshots::new(&files, limits.snapshots_max, read_only)?;
        let journal = Self {
            files,
            limits,
            database,
            blobs,
            snapshots: Arc::new(snapshots),
            stored: tree.size(),
            tree,
            head,
            waiting: Waiting::default(),
            writer: None,
        };
        Ok((journal, end))
    }

    /// Moves a journal opened read-only on to what the writer has committed since, and returns the
    /// new head. A journal open for writing is always at its head.
    ///
    /// # Errors
    /// As [`SqliteJournal::open_read_only`]; the journal then stays where it was.
    pub fn refresh(&mut self) -> Result<Head, JournalError> {
        if self.writer.is_some() {
            return Ok(self.head);
        }
        let sql = |error| JournalError::sqlite("read the records", &self.files.database, error);
        let snapshot = self.database.unchecked_transaction().map_err(sql)?;
        let tree = self.files.load(&self.database, &self.tree)?;
        snapshot.finish().map_err(sql)?;
        let head = tree.head();
        (self.stored, self.tree, self.head) = (head.size, tree, head);
        Ok(head)
    }

    /// Makes a step of a write fail, after so many that go through, and all after it.
    #[doc(hidden)]
    pub fn fail_after(&self, next: Option<(u32, std::io::ErrorKind)>) {
        if let Some(writer) = &self.writer {
            writer.faults.fail_after(next);
        }
    }

    /// Limits the database to so many pages, as a full disk would.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) -> Result<(), JournalError> {
        let sql = |error| JournalError::sqlite("limit the store", &self.files.database, error);
        let query = format!("PRAGMA max_page_count = {pages}");
        self.database.query_row(&query, [], |_| Ok(())).map_err(sql)
    }

    /// What of `batch` is not stored yet.
    fn new_blobs(&self, batch: &Batch) -> Result<NewBlobs, JournalError> {
        let mut fresh = NewBlobs::new();
        for (digest, bytes) in &batch.blobs {
            if !fresh.contains_key(digest) && !self.blobs.contains(digest)? {
                fresh.insert(*digest, Arc::clone(bytes));
            }
        }
        Ok(fresh)
    }

    /// Removes what a failed append may have left, so that the database is at `stored` again.
    fn repair(&mut self) -> Result<(), JournalError> {
        let path = &self.files.database;
        let sql = |error| JournalError::sqlite("undo a failed append", path, error);
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.suspect) else {
            return Ok(());
        };
        if !self.database.is_autocommit() {
            self.database.execute_batch("ROLLBACK").map_err(sql)?;
        }
        let size = row_id(self.stored);
        let end = (writer.committed.segment, row_id(writer.committed.offset));
        let transaction = immediate(&mut self.database).map_err(sql)?;
        transaction.execute("DELETE FROM record WHERE seq >= ?1", [size]).map_err(sql)?;
        transaction.execute("DELETE FROM batch WHERE size > ?1", [size]).map_err(sql)?;
        transaction.execute("DELETE FROM frontier WHERE size > ?1", [size]).map_err(sql)?;
        let blobs = "DELETE FROM blob WHERE segment > ?1 OR (segment = ?1 AND \"offset\" >= ?2)";
        transaction.execute(blobs, end).map_err(sql)?;
        transaction.commit().map_err(sql)?;
        writer.suspect = false;
        Ok(())
    }

    /// Makes what waits and then `batch` durable, in one commit. Changes nothing in memory but the
    /// account of what is stored.
    fn commit(
        &mut self,
        records: &[(TreeHash, &[u8])],
        fresh: NewBlobs,
        tree: &Tree,
        head: &Head,
    ) -> Result<(), JournalError> {
        let path = &self.files.database;
        let Some(writer) = &mut self.writer else {
            return Err(JournalError::ReadOnly { path: self.files.dir.clone() });
        };
        let mut blobs = self.blobs.pending.lock().clone();
        blobs.extend(fresh);
        if head.size == self.stored && blobs.is_empty() {
            return Ok(());
        }
        let places = writer.segments.put(&blobs, &writer.faults)?;
        let end = writer.segments.end();
        let step = |name| {
            let doing = "append to the journal";
            writer.faults.step(name).map_err(|error| JournalError::io(doing, path, error))
        };
        let sql = |error| JournalError::sqlite("append to the journal", path, error);
        writer.suspect = true;
        step("commit.begin")?;
        let transaction = immediate(&mut self.database).map_err(sql)?;
        step("commit.records")?;
        let all = self.waiting.records().chain(records.iter().map(|(leaf, body)| (leaf, *body)));
        insert_records(&transaction, self.stored, all, &writer.faults).map_err(sql)?;
        step("commit.head")?;
        if head.size > self.stored {
            insert_head(&transaction, head).map_err(sql)?;
            if self.stored / FRONTIER_RECORDS != head.size / FRONTIER_RECORDS {
                keep_frontier(&transaction, tree).map_err(sql)?;
            }
        }
        step("commit.blobs")?;
        insert_blobs(&transaction, &places, &end).map_err(sql)?;
        step("commit.commit")?;
        transaction.commit().map_err(sql)?;
        writer.faults.pass("commit.done");
        writer.suspect = false;
        if !places.is_empty() {
            writer.committed = end;
        }
        writer.segments.committed(&places);
        self.stored = head.size;
        self.waiting.clear();
        self.blobs.pending.lock().clear();
        Ok(())
    }

    /// Keeps a lazy batch in memory.
    fn keep(&mut self, records: &[(TreeHash, &[u8])], fresh: NewBlobs) {
        for (leaf, record) in records {
            self.waiting.push(*leaf, record);
        }
        self.waiting.blob_bytes += fresh.values().map(|bytes| bytes.len()).sum::<usize>();
        self.blobs.pending.lock().extend(fresh);
    }

    /// Whether `more` can wait in memory beside what waits there.
    fn has_room(&self, more: &[(TreeHash, &[u8])], fresh: &NewBlobs) -> bool {
        let records = more.iter().map(|(_, record)| record.len()).sum::<usize>();
        let blobs = fresh.values().map(|bytes| bytes.len()).sum::<usize>();
        let bytes = self.waiting.bytes.len() + self.waiting.blob_bytes + records + blobs;
        bytes <= self.limits.lazy_bytes_max
            && self.waiting.ends.len() + more.len() <= self.limits.lazy_records_max
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError> {
        if self.writer.is_none() {
            return Err(JournalError::ReadOnly { path: self.files.dir.clone() });
        }
        admit(batch, &self.limits)?;
        self.repair()?;
        let fresh = self.new_blobs(batch)?;
        let mut tree = self.tree.clone();
        let mut records = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let leaf = merkle::leaf_hash(record);
            tree.push(leaf);
            records.push((leaf, record.as_slice()));
        }
        let head = tree.head();
        match sync {
            Sync::Durable => self.commit(&records, fresh, &tree, &head)?,
            Sync::Lazy if self.has_room(&records, &fresh) => self.keep(&records, fresh),
            // What waits goes out with it: order is kept, and memory stays bounded.
            Sync::Lazy => self.commit(&records, fresh, &tree, &head)?,
        }
        (self.tree, self.head) = (tree, head);
        Ok(head)
    }

    fn flush(&mut self) -> Result<Head, JournalError> {
        if self.writer.is_none() {
            return Ok(self.head);
        }
        self.repair()?;
        let (tree, head) = (self.tree.clone(), self.head);
        self.commit(&[], NewBlobs::new(), &tree, &head)?;
        Ok(head)
    }

    fn head(&self) -> Head {
        self.head
    }

    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let until = from.0.saturating_add(limit as u64).min(self.head.size);
        let mut found = Vec::new();
        let stored = from.0..until.min(self.stored);
        scan::visit(&self.database, &self.files.database, stored, |seq, body| {
            found.push((Seq(seq), body.to_vec()));
            true
        })?;
        let skip = usize::try_from(from.0.saturating_sub(self.stored)).unwrap_or(usize::MAX);
        let waiting = self.waiting.records().skip(skip).map(|(_, body)| body.to_vec());
        found.extend((from.0.max(self.stored)..until).map(Seq).zip(waiting));
        Ok(found)
    }

    fn scan(
        &self,
        from: Seq,
        each: &mut dyn FnMut(Seq, &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        self.scan_all(from, each)
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::<SqliteBlobs>::clone(&self.blobs)
    }

    fn drop_blobs(&mut self, act: u64, digests: &[Digest]) -> Result<Dropped, JournalError> {
        self.compact(act, digests)
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        Arc::<SqliteSnapshots>::clone(&self.snapshots)
    }

    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        self.verify_all(against)
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        if self.head.size == self.stored && self.blobs.pending.lock().is_empty() {
            return;
        }
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "lazy appends were lost when the journal was closed");
        }
    }
}
