//! Verifying a store: everything is hashed again and compared.
//!
//! One thread reads the rows, within the one snapshot that is verified; another hashes and compares
//! them.

use std::{
    ops::Range,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use libos_abi::Digest;
use rusqlite::Row;

use super::{
    SqliteJournal, blobs,
    rows::{next_root, row_id},
};
use crate::{Blobs, Corruption, Head, JournalError, TreeHash, check::Checker};

/// Bytes of rows that are handed over at a time.
const PAGE_BYTES: usize = 1 << 20;

/// Pages that are read before they are checked.
const PAGES_AHEAD: usize = 4;

/// Rows as they stand in the store, and the roots stored for them.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    rows: Vec<Stored>,
    /// By the number of records that they are over.
    roots: Vec<(u64, TreeHash)>,
}

/// One row; its leaf and its body by their places among the bytes.
struct Stored {
    seq: i64,
    leaf: Range<usize>,
    body: Range<usize>,
}

impl Page {
    fn push(&mut self, row: &Row<'_>, at: u64, path: &Path) -> Result<(), JournalError> {
        let error = |error| JournalError::row(at, path, error);
        let mut blob = |column| {
            let bytes = row.get_ref(column).map_err(error)?.as_blob();
            let bytes = bytes.map_err(|_| JournalError::corrupt(at, Corruption::Unreadable))?;
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            Ok::<_, JournalError>(start..self.bytes.len())
        };
        let (leaf, body) = (blob(1)?, blob(2)?);
        self.rows.push(Stored { seq: row.get(0).map_err(error)?, leaf, body });
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= PAGE_BYTES
    }
}

/// Checks page after page; gives the checker back when there are no more.
fn check(
    mut checker: Checker<'_>,
    pages: Receiver<Result<Page, JournalError>>,
) -> Result<Checker<'_>, JournalError> {
    for page in pages {
        let page = page?;
        let mut roots = page.roots.iter().peekable();
        for Stored { seq, leaf, body } in page.rows {
            checker.record(seq, &page.bytes[leaf], &page.bytes[body])?;
            if let Some((_, root)) = roots.next_if(|(size, _)| *size == checker.size()) {
                checker.root(root)?;
            }
            checker.compare_against()?;
        }
    }
    Ok(checker)
}

impl SqliteJournal {
    pub(super) fn verify_all(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        let sql = |error| JournalError::sqlite("read the records", &self.files.database, error);
        // One snapshot, so that a writer elsewhere does not look like damage.
        let snapshot = self.database.unchecked_transaction().map_err(sql)?;
        let head = self.verify_records(against)?;
        // And a store must never be less than what this object has seen of it.
        if against != Some(&self.head) && head != self.head {
            self.verify_records(Some(&self.head))?;
        }
        self.verify_blobs()?;
        snapshot.finish().map_err(sql)?;
        Ok(head)
    }

    fn verify_records(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        let checker = Checker::new(against)?;
        let stored = self.files.stored_head(&self.database)?;
        let (sender, pages) = sync_channel(PAGES_AHEAD);
        let mut checker = thread::scope(|scope| {
            let hashing = thread::Builder::new().name("libos-verifier".into());
            let checked = hashing.spawn_scoped(scope, move || check(checker, pages));
            let checked = checked.map_err(|error| {
                JournalError::io("verify the store", &self.files.database, error)
            })?;
            // Whoever checks finds what is wrong first, or hears of it here.
            if let Err(error) = self.each_page(&sender) {
                drop(sender.send(Err(error)));
            }
            drop(sender);
            checked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        if checker.size() == self.stored && !self.waiting.ends.is_empty() {
            for (leaf, body) in self.waiting.records() {
                checker.record(row_id(checker.size()), &leaf.0, body)?;
                checker.compare_against()?;
            }
            return checker.finish(&self.head);
        }
        checker.finish(&stored)
    }

    /// Hands over every row with the roots stored for them, until nobody takes them.
    fn each_page(
        &self,
        pages: &SyncSender<Result<Page, JournalError>>,
    ) -> Result<(), JournalError> {
        let path = &self.files.database;
        let sql = |error| JournalError::sqlite("read the records", path, error);
        let mut batches =
            self.database.prepare("SELECT size, root FROM batch ORDER BY size").map_err(sql)?;
        let mut batches = batches.query([]).map_err(sql)?;
        let mut next = next_root(&mut batches, 0, path)?;
        let mut records = self
            .database
            .prepare("SELECT seq, leaf, body FROM record ORDER BY seq")
            .map_err(sql)?;
        let mut rows = records.query([]).map_err(sql)?;
        let (mut page, mut at) = (Page::default(), 0);
        let result = loop {
            let error = |error| JournalError::row(at, path, error);
            let row = match rows.next().map_err(error) {
                Ok(Some(row)) => row,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            if next.is_none() {
                break Err(JournalError::corrupt(at, Corruption::Inserted));
            }
            if let Err(error) = page.push(row, at, path) {
                break Err(error);
            }
            at += 1;
            if let Some((size, root)) = next
                && size == at
            {
                page.roots.push((size, root));
                next = match next_root(&mut batches, size, path) {
                    Ok(next) => next,
                    Err(error) => break Err(error),
                };
            }
            if page.is_full() && pages.send(Ok(std::mem::take(&mut page))).is_err() {
                return Ok(());
            }
        };
        // What was good before an error is checked before the error is told.
        if pages.send(Ok(page)).is_err() {
            return Ok(());
        }
        result
    }

    fn verify_blobs(&self) -> Result<(), JournalError> {
        let error =
            |error| JournalError::sqlite("read the blob index", &self.files.database, error);
        let query = "SELECT digest, segment, \"offset\", length FROM blob ORDER BY segment, 3";
        let mut statement = self.database.prepare(query).map_err(error)?;
        let mut rows = statement.query([]).map_err(error)?;
        while let Some(row) = rows.next().map_err(error)? {
            let digest = Digest(row.get(0).map_err(error)?);
            let place = blobs::place(row, 1).map_err(error)?;
            if self.blobs.segments.get(&digest, &place).is_err() {
                // A writer elsewhere may have moved or dropped it since.
                match self.blobs.get(&digest) {
                    Err(JournalError::BlobDropped { .. }) => {}
                    found => drop(found?),
                }
            }
        }
        Ok(())
    }
}
