//! Verifying a store: everything is hashed again and compared.

use libos_abi::Digest;

use super::{
    SqliteJournal, blobs,
    rows::{next_root, row_id},
};
use crate::{Blobs, Corruption, Head, JournalError, check::Checker};

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
        let path = &self.files.database;
        let sql = |error| JournalError::sqlite("read the records", path, error);
        let mut checker = Checker::new(against)?;
        let stored = self.files.stored_head(&self.database)?;
        let mut batches =
            self.database.prepare("SELECT size, root FROM batch ORDER BY size").map_err(sql)?;
        let mut batches = batches.query([]).map_err(sql)?;
        let mut next = next_root(&mut batches, 0, path)?;
        let mut records = self
            .database
            .prepare("SELECT seq, leaf, body FROM record ORDER BY seq")
            .map_err(sql)?;
        let mut rows = records.query([]).map_err(sql)?;
        loop {
            let at = checker.size();
            let error = |error| JournalError::row(at, path, error);
            let Some(row) = rows.next().map_err(error)? else {
                break;
            };
            let blob = |column| {
                row.get_ref(column)
                    .map_err(error)?
                    .as_blob()
                    .map_err(|_| JournalError::corrupt(at, Corruption::Unreadable))
            };
            if next.is_none() {
                return Err(JournalError::corrupt(at, Corruption::Inserted));
            }
            checker.record(row.get(0).map_err(error)?, blob(1)?, blob(2)?)?;
            if let Some((size, root)) = next
                && size == checker.size()
            {
                checker.root(&root)?;
                next = next_root(&mut batches, size, path)?;
            }
            checker.compare_against()?;
        }
        if checker.size() == self.stored && !self.waiting.ends.is_empty() {
            for (leaf, body) in self.waiting.records() {
                checker.record(row_id(checker.size()), &leaf.0, body)?;
                checker.compare_against()?;
            }
            return checker.finish(&self.head);
        }
        checker.finish(&stored)
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
