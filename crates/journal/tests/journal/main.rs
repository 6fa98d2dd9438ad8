//! What a journal must hold to: the contract of every implementation, then what only a store on
//! disk can get wrong (crashes, full disks, other openers, tampering).
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests look at the store's files, and fail by panicking"
)]

mod compact;
mod contract;
mod crash;
mod disk;
mod exported;
mod golden;
mod proofs;
mod snapshots;
mod store;
mod tamper;

use std::{fs, path::Path};

use libos_abi::Seq;
use libos_journal::{Batch, Head, Journal, JournalError, SqliteJournal, Sync};
use rusqlite::Connection;

/// Record `number` of the tests.
fn record(number: usize) -> Vec<u8> {
    format!("record {number}").into_bytes()
}

/// A batch of records with these numbers.
fn batch(numbers: std::ops::Range<usize>) -> Batch {
    Batch::of(numbers.map(record))
}

/// A store with `records` records, each in its own commit or all in one.
fn filled(dir: &Path, records: usize, each: bool) -> Head {
    let mut journal = SqliteJournal::open(dir).unwrap();
    if !each {
        return journal.append(&batch(0..records), Sync::Durable).unwrap();
    }
    for n in 0..records {
        journal.append(&batch(n..n + 1), Sync::Durable).unwrap();
    }
    journal.head()
}

/// All records of a journal.
fn all(journal: &dyn Journal) -> Vec<Vec<u8>> {
    let records = journal.read(Seq(0), usize::MAX).unwrap();
    records.into_iter().map(|(_, record)| record).collect()
}

/// The files as a kill would leave them: copied while the store is open.
fn copy_store(from: &Path, to: &Path) {
    for folder in ["", "segments", "snapshots"] {
        if !from.join(folder).exists() {
            continue;
        }
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            // The shared memory of a killed process is gone; the lock is another file.
            let name = path.file_name().unwrap().to_owned();
            if path.is_file() && name != "journal.db-shm" && name != "lock" {
                fs::copy(&path, to.join(folder).join(name)).unwrap();
            }
        }
    }
}

/// Changes a closed store as somebody with an SQL shell would.
fn tamper(dir: &Path, sql: &str) {
    Connection::open(dir.join("journal.db")).unwrap().execute_batch(sql).unwrap();
}

/// The position and kind of corruption that a result tells.
fn corrupt<T: std::fmt::Debug>(
    result: Result<T, JournalError>,
) -> (u64, libos_journal::Corruption) {
    match result {
        Err(JournalError::Corrupt { seq, what }) => (seq.0, what),
        other => panic!("no corruption found: {other:?}"),
    }
}
