//! Reading records in order, each compared with its leaf.
//!
//! Whoever reads many takes them from pages that another thread has read and hashed meanwhile: a
//! fold then costs what is longer, the reading or the folding.

use std::{
    ops::Range,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use libos_abi::Seq;
use rusqlite::Connection;

use super::{SqliteJournal, layout::Files, rows::row_id};
use crate::{Corruption, JournalError, check::position, merkle};

/// Fewer records are read without another thread: it has to open the store, which costs as much.
const AHEAD_MIN: u64 = 8192;

/// Records in a page.
const PAGE_RECORDS: u64 = 4096;

/// Bytes after which a page is handed over though it has fewer records.
const PAGE_BYTES: usize = 1 << 20;

/// Pages that are read before they are taken.
const PAGES_AHEAD: usize = 4;

/// Records one behind the other.
struct Page {
    first: u64,
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
}

impl Page {
    fn new(first: u64) -> Self {
        Self { first, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Takes a record; false when the page is full.
    fn push(&mut self, body: &[u8]) -> bool {
        self.bytes.extend_from_slice(body);
        self.ends.push(self.bytes.len());
        self.bytes.len() < PAGE_BYTES
    }

    /// The position behind its last record.
    fn end(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    fn visit(&self, each: &mut dyn FnMut(Seq, &[u8]) -> bool) -> bool {
        let starts = std::iter::once(&0).chain(&self.ends);
        let mut records = (self.first..).zip(starts.zip(&self.ends));
        records.all(|(seq, (start, end))| each(Seq(seq), &self.bytes[*start..*end]))
    }
}

impl SqliteJournal {
    pub(super) fn scan_all(
        &self,
        from: Seq,
        each: &mut dyn FnMut(Seq, &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        if from.0 >= self.head.size {
            return Ok(());
        }
        let stored = from.0..self.stored;
        let goes_on = if stored.end.saturating_sub(stored.start) < AHEAD_MIN {
            visit(&self.database, &self.files.database, stored, |seq, body| each(Seq(seq), body))?
        } else {
            self.scan_ahead(stored, each)?
        };
        let skip = usize::try_from(from.0.saturating_sub(self.stored)).unwrap_or(usize::MAX);
        let mut waiting = (from.0.max(self.stored)..).zip(self.waiting.records().skip(skip));
        if goes_on {
            waiting.all(|(seq, (_, body))| each(Seq(seq), body));
        }
        Ok(())
    }

    /// Visits stored records while another thread reads on. False when `each` wants no more.
    fn scan_ahead(
        &self,
        records: Range<u64>,
        each: &mut dyn FnMut(Seq, &[u8]) -> bool,
    ) -> Result<bool, JournalError> {
        let (sender, pages) = sync_channel(PAGES_AHEAD);
        let files = &self.files;
        thread::scope(|scope| {
            let reader = thread::Builder::new().name("libos-reader".into());
            let range = records.clone();
            let reader = reader.spawn_scoped(scope, move || read_ahead(files, range, &sender));
            match reader {
                Ok(_) => take(pages, each),
                // Then this thread does both.
                Err(error) => {
                    tracing::debug!(%error, "the host gives no thread to read ahead");
                    let path = &files.database;
                    visit(&self.database, path, records, |seq, body| each(Seq(seq), body))
                }
            }
        })
    }
}

/// Takes pages until there are none or `each` wants no more.
fn take(
    pages: Receiver<Result<Page, JournalError>>,
    each: &mut dyn FnMut(Seq, &[u8]) -> bool,
) -> Result<bool, JournalError> {
    for page in pages {
        if !page?.visit(each) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Hands pages over until there is an error or nobody takes them.
fn read_ahead(files: &Files, records: Range<u64>, pages: &SyncSender<Result<Page, JournalError>>) {
    let database = match files.connect_read_only() {
        Ok(database) => database,
        // Whoever takes pages hears of it, or has gone away.
        Err(error) => return drop(pages.send(Err(error))),
    };
    let mut at = records.start;
    while at < records.end {
        let end = records.end.min(at + PAGE_RECORDS);
        let mut page = Page::new(at);
        let read = visit(&database, &files.database, at..end, |_, body| page.push(body));
        at = page.end();
        let failed = read.is_err();
        if pages.send(read.map(|_| page)).is_err() || failed {
            return;
        }
    }
}

/// Visits the records at these positions, which must all be stored. False when `each` wants no
/// more.
pub(super) fn visit(
    database: &Connection,
    path: &Path,
    records: Range<u64>,
    mut each: impl FnMut(u64, &[u8]) -> bool,
) -> Result<bool, JournalError> {
    let sql = |error| JournalError::sqlite("read the records", path, error);
    let query = "SELECT seq, leaf, body FROM record WHERE seq >= ?1 AND seq < ?2 ORDER BY seq";
    let mut statement = database.prepare_cached(query).map_err(sql)?;
    let mut rows = statement.query([row_id(records.start), row_id(records.end)]).map_err(sql)?;
    for at in records {
        let error = |error| JournalError::row(at, path, error);
        let missing = || JournalError::corrupt(at, Corruption::Missing);
        let row = rows.next().map_err(error)?.ok_or_else(missing)?;
        position(row.get(0).map_err(error)?, at)?;
        let blob = |column| {
            let unreadable = |_| JournalError::corrupt(at, Corruption::Unreadable);
            row.get_ref(column).map_err(error)?.as_blob().map_err(unreadable)
        };
        let body = blob(2)?;
        if merkle::leaf_hash(body).0[..] != *blob(1)? {
            return Err(JournalError::corrupt(at, Corruption::Changed));
        }
        if !each(at, body) {
            return Ok(false);
        }
    }
    Ok(true)
}
