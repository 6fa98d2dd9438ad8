//! Dropping payloads: segments that hold one are written anew without it, and removed.
//!
//! Each segment is one commit: what stays was copied to the end of the segments and synced before,
//! and the old file goes after it. So a store that is cut off anywhere has every payload at the
//! place that its index names; what is left over is a file that nobody names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
};

use libos_abi::Digest;
use rusqlite::{Transaction, params};

use super::{
    NewBlobs, SqliteJournal, Writer, blobs,
    layout::has_table,
    rows::{immediate, row_id, store_end},
    segments::{End, Place, file_name},
};
use crate::{Dropped, Journal, JournalError};

/// What becomes of one segment.
#[derive(Default)]
struct Fate {
    stays: Vec<(Digest, Place)>,
    goes: Vec<(Digest, Place)>,
    file_bytes: u64,
}

impl SqliteJournal {
    /// Every act that has dropped payloads, and what it has dropped.
    ///
    /// # Errors
    /// [`JournalError::Storage`].
    pub fn acts(&self) -> Result<BTreeMap<u64, Dropped>, JournalError> {
        let error =
            |error| JournalError::sqlite("read the blob index", &self.files.database, error);
        if !has_table(&self.database, "dropped").map_err(error)? {
            return Ok(BTreeMap::new());
        }
        let query = "SELECT DISTINCT act FROM dropped";
        let mut statement = self.database.prepare(query).map_err(error)?;
        let acts = statement.query_map([], |row| blobs::count(row, 0)).map_err(error)?;
        let acts = acts.collect::<Result<Vec<_>, _>>().map_err(error)?;
        acts.into_iter().map(|act| Ok((act, self.account(act)?))).collect()
    }

    pub(super) fn compact(
        &mut self,
        act: u64,
        digests: &[Digest],
    ) -> Result<Dropped, JournalError> {
        if self.writer.is_none() {
            return Err(JournalError::ReadOnly { path: self.files.dir.clone() });
        }
        self.flush()?;
        let fates = self.fates(&digests.iter().copied().collect())?;
        if let Some(writer) = &mut self.writer {
            writer.segments.leave(&fates.keys().copied().collect());
        }
        for (segment, fate) in &fates {
            self.rewrite(act, *segment, fate)?;
        }
        self.remove_files()?;
        self.account(act)
    }

    /// The segments that hold a payload which goes, or bytes that no payload is left in, with
    /// everything that stands in them.
    fn fates(&self, doomed: &BTreeSet<Digest>) -> Result<BTreeMap<u32, Fate>, JournalError> {
        let error =
            |error| JournalError::sqlite("read the blob index", &self.files.database, error);
        let query = "SELECT digest, segment, \"offset\", length FROM blob";
        let mut statement = self.database.prepare(query).map_err(error)?;
        let rows = statement.query_map([], |row| Ok((Digest(row.get(0)?), blobs::place(row, 1)?)));
        let mut fates = BTreeMap::<u32, Fate>::new();
        for row in rows.map_err(error)? {
            let (digest, place) = row.map_err(error)?;
            let fate = fates.entry(place.segment).or_default();
            let list = if doomed.contains(&digest) { &mut fate.goes } else { &mut fate.stays };
            list.push((digest, place));
        }
        for segment in self.files.present(&self.database)? {
            fates.entry(segment.number).or_default().file_bytes = segment.bytes;
        }
        fates.retain(|_, fate| {
            let stays: u64 = fate.stays.iter().map(|(_, place)| place.entry_bytes()).sum();
            stays < fate.file_bytes || !fate.goes.is_empty()
        });
        Ok(fates)
    }

    fn rewrite(&mut self, act: u64, segment: u32, fate: &Fate) -> Result<(), JournalError> {
        let mut stays = NewBlobs::new();
        for (digest, place) in &fate.stays {
            stays.insert(*digest, self.blobs.segments.get(digest, place)?);
        }
        let path = &self.files.database;
        let sql = |error| JournalError::sqlite("compact the store", path, error);
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let places = writer.segments.put(&stays, &writer.faults)?;
        let end = writer.segments.end();
        writer.step("compact.begin", path)?;
        let transaction = immediate(&mut self.database).map_err(sql)?;
        move_to(&transaction, &places, &end).map_err(sql)?;
        forget(&transaction, act, segment, &fate.goes).map_err(sql)?;
        writer.step("compact.commit", path)?;
        transaction.commit().map_err(sql)?;
        writer.segments.committed(&places);
        writer.committed = end;
        writer.step("compact.remove", path)
    }

    /// Removes the files of segments that no payload is left in.
    fn remove_files(&self) -> Result<(), JournalError> {
        let folder = &self.files.segments;
        let error = |error| JournalError::io("remove a segment", folder, error);
        for segment in self.files.removed(&self.database)? {
            self.blobs.segments.forget(segment);
            match fs::remove_file(file_name(folder, segment)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(error)?,
            }
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(error)
    }

    /// What an act has dropped so far.
    fn account(&self, act: u64) -> Result<Dropped, JournalError> {
        let error =
            |error| JournalError::sqlite("read the blob index", &self.files.database, error);
        let query = "SELECT digest, length FROM dropped WHERE act = ?1 ORDER BY digest";
        let mut statement = self.database.prepare(query).map_err(error)?;
        let rows = statement
            .query_map([row_id(act)], |row| Ok((Digest(row.get(0)?), blobs::count(row, 1)?)));
        let rows = rows.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(error)?;
        Ok(Dropped::of(rows.iter().map(|(digest, bytes)| (digest, *bytes))))
    }
}

impl Writer {
    fn step(&self, name: &'static str, path: &std::path::Path) -> Result<(), JournalError> {
        self.faults.step(name).map_err(|error| JournalError::io("compact the store", path, error))
    }
}

/// Says where payloads stand now.
fn move_to(
    transaction: &Transaction<'_>,
    places: &[(Digest, Place)],
    end: &End,
) -> rusqlite::Result<()> {
    let update = "UPDATE blob SET segment = ?2, \"offset\" = ?3 WHERE digest = ?1";
    let mut update = transaction.prepare_cached(update)?;
    for (digest, place) in places {
        update.execute(params![&digest.0[..], place.segment, row_id(place.offset)])?;
    }
    store_end(transaction, end)
}

/// Says which payloads an act drops, and that their segment is no more.
fn forget(
    transaction: &Transaction<'_>,
    act: u64,
    segment: u32,
    goes: &[(Digest, Place)],
) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM blob WHERE digest = ?1")?;
    let insert = "INSERT OR REPLACE INTO dropped(act, digest, length) VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare_cached(insert)?;
    for (digest, place) in goes {
        delete.execute([&digest.0[..]])?;
        insert.execute(params![row_id(act), &digest.0[..], row_id(place.length)])?;
    }
    transaction.execute("INSERT INTO removed(segment) VALUES (?1)", [segment])?;
    Ok(())
}
