//! The statements of a commit, and how numbers and roots stand in rows.

use std::path::Path;

use libos_abi::Digest;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    faults::Faults,
    segments::{End, Place},
};
use crate::{Corruption, Head, JournalError, TreeHash, merkle::Tree};

/// Begins a transaction that has the write lock from the start.
pub(super) fn immediate(database: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    database.transaction_with_behavior(TransactionBehavior::Immediate)
}

pub(super) fn insert_records<'a>(
    transaction: &Transaction<'_>,
    first: u64,
    records: impl Iterator<Item = (&'a TreeHash, &'a [u8])>,
    faults: &Faults,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO record(seq, leaf, body) VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare_cached(insert)?;
    for (seq, (leaf, body)) in (row_id(first)..).zip(records) {
        insert.execute(params![seq, &leaf.0[..], body])?;
        faults.pass("commit.record");
    }
    Ok(())
}

pub(super) fn insert_head(transaction: &Transaction<'_>, head: &Head) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached("INSERT INTO batch(size, root) VALUES (?1, ?2)")?;
    insert.execute(params![row_id(head.size), &head.root.0[..]])?;
    Ok(())
}

/// Replaces the tree from which the next opening continues.
pub(super) fn keep_frontier(transaction: &Transaction<'_>, tree: &Tree) -> rusqlite::Result<()> {
    let peaks: Vec<u8> = tree.peaks().iter().flat_map(|peak| peak.0).collect();
    transaction.execute("DELETE FROM frontier", [])?;
    let insert = "INSERT INTO frontier(size, peaks) VALUES (?1, ?2)";
    transaction.execute(insert, params![row_id(tree.size()), peaks])?;
    Ok(())
}

pub(super) fn insert_blobs(
    transaction: &Transaction<'_>,
    places: &[(Digest, Place)],
    end: &End,
) -> rusqlite::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let insert = "INSERT INTO blob(digest, segment, \"offset\", length) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = transaction.prepare_cached(insert)?;
    for (digest, place) in places {
        let (offset, length) = (row_id(place.offset), row_id(place.length));
        insert.execute(params![&digest.0[..], place.segment, offset, length])?;
    }
    store_end(transaction, end)
}

/// Says where the committed blobs end.
pub(super) fn store_end(transaction: &Transaction<'_>, end: &End) -> rusqlite::Result<()> {
    let mut update = transaction.prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?;
    update.execute(params!["segment", end.segment])?;
    update.execute(params!["segment_end", row_id(end.offset)])?;
    Ok(())
}

/// The next stored root, after the one at `after` records.
pub(super) fn next_root(
    rows: &mut rusqlite::Rows<'_>,
    after: u64,
    path: &Path,
) -> Result<Option<(u64, TreeHash)>, JournalError> {
    let error = |error| JournalError::row(after, path, error);
    let Some(row) = rows.next().map_err(error)? else {
        return Ok(None);
    };
    let (size, root): (i64, Vec<u8>) = (row.get(0).map_err(error)?, row.get(1).map_err(error)?);
    let size = u64::try_from(size).ok().filter(|size| *size > after);
    let root = size.zip(TreeHash::from_slice(&root));
    root.map(Some).ok_or_else(|| JournalError::corrupt(after, Corruption::Unreadable))
}

/// A count as SQLite stores it. 2^63 records or bytes cannot be reached.
pub(super) fn row_id(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
