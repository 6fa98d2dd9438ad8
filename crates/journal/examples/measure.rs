//! Measures the store beside bare SQLite: `cargo run --release --example measure [FOLDER]`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program for the developer's terminal"
)]

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use libos_abi::Seq;
use libos_journal::{Batch, Journal, SqliteJournal, Sync, merkle};
use rusqlite::Connection;

const RECORD_BYTES: usize = 200;

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base).unwrap();
    single(folder.path());
    for size in [64, 1000] {
        let (floor, ours) = (bare_group(folder.path(), size), our_group(folder.path(), size));
        println!("groups of {size}: bare SQLite {floor:.0} records/s, ours {ours:.0} records/s");
    }
    blobs(folder.path());
    million(folder.path());
}

fn record(number: usize) -> Vec<u8> {
    let mut record = vec![b'x'; RECORD_BYTES];
    record[..8].copy_from_slice(&number.to_le_bytes());
    record
}

/// The value below which a tenth, a half of the samples lie. On a busy machine the tenth says more.
fn tenth_and_half(samples: &mut [f64]) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[samples.len() / 10], samples[samples.len() / 2])
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

fn bare(folder: &Path) -> Connection {
    let database = Connection::open(folder.join("bare.db")).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    database.pragma_update(None, "synchronous", "full").unwrap();
    let table = "CREATE TABLE IF NOT EXISTS record(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)";
    database.execute_batch(table).unwrap();
    database
}

fn bare_insert(database: &mut Connection, records: &[Vec<u8>]) {
    let transaction = database.transaction().unwrap();
    for record in records {
        let mut insert =
            transaction.prepare_cached("INSERT INTO record(body) VALUES (?1)").unwrap();
        insert.execute([record]).unwrap();
    }
    transaction.commit().unwrap();
}

/// One after the other, so that both meet the same load.
fn single(folder: &Path) {
    let mut database = bare(folder);
    let mut journal = SqliteJournal::open(&folder.join("single")).unwrap();
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for number in 0..2000 {
        let records = [record(number)];
        let start = Instant::now();
        bare_insert(&mut database, &records);
        floor.push(micros(start));
        let batch = Batch::of(records);
        let start = Instant::now();
        journal.append(&batch, Sync::Durable).unwrap();
        ours.push(micros(start));
    }
    let (floor, ours) = (tenth_and_half(&mut floor), tenth_and_half(&mut ours));
    println!("durable single append (p10, p50) in us: bare SQLite {floor:.0?}, ours {ours:.0?}");
    let (leaf, start) = (record(0), Instant::now());
    (0..100_000).for_each(|_| {
        std::hint::black_box(merkle::leaf_hash(&leaf));
    });
    println!("leaf hash of {RECORD_BYTES} bytes: {:.2} us", micros(start) / 1e5);
}

fn groups(size: usize) -> Vec<Vec<Vec<u8>>> {
    (0..50_000 / size).map(|group| (0..size).map(|n| record(group * size + n)).collect()).collect()
}

fn rate(start: Instant, size: usize) -> f64 {
    (50_000 / size * size) as f64 / start.elapsed().as_secs_f64()
}

fn bare_group(folder: &Path, size: usize) -> f64 {
    let (mut database, groups) = (bare(folder), groups(size));
    let start = Instant::now();
    groups.iter().for_each(|records| bare_insert(&mut database, records));
    rate(start, size)
}

fn our_group(folder: &Path, size: usize) -> f64 {
    let mut journal = SqliteJournal::open(&folder.join(format!("group{size}"))).unwrap();
    let groups: Vec<_> = groups(size).into_iter().map(Batch::of).collect();
    let start = Instant::now();
    for batch in &groups {
        journal.append(batch, Sync::Durable).unwrap();
    }
    rate(start, size)
}

fn blobs(folder: &Path) {
    let mut journal = SqliteJournal::open(&folder.join("blobs")).unwrap();
    let mut digests = Vec::new();
    let start = Instant::now();
    for group in 0..100_u32 {
        let mut batch = Batch::default();
        for number in 0..100_u32 {
            let mut bytes = vec![7; 4096];
            bytes[..4].copy_from_slice(&(group * 100 + number).to_le_bytes());
            digests.push(batch.blob(bytes));
        }
        journal.append(&batch, Sync::Durable).unwrap();
    }
    println!("10k blobs of 4 KiB in groups of 100: {:.1} us each", micros(start) / 1e4);
    let (reader, start) = (journal.blobs(), Instant::now());
    digests.iter().for_each(|digest| drop(reader.get(digest).unwrap()));
    println!("reading them, checked: {:.1} us each", micros(start) / 1e4);
}

fn million(folder: &Path) {
    const RECORDS: usize = 1_000_000;
    let folder = folder.join("million");
    let mut journal = SqliteJournal::open(&folder).unwrap();
    let start = Instant::now();
    let mut lazy = 0.0;
    for number in 0..RECORDS {
        let batch = Batch::of([record(number)]);
        let one = Instant::now();
        journal.append(&batch, Sync::Lazy).unwrap();
        lazy += micros(one);
    }
    journal.flush().unwrap();
    println!("1M lazy appends: {:.2} us each, all {:.2} s", lazy / 1e6, micros(start) / 1e6);
    drop(journal);
    let bytes = std::fs::metadata(folder.join("journal.db")).unwrap().len();
    println!("bytes per record over its payload: {:.1}", bytes as f64 / 1e6 - RECORD_BYTES as f64);
    let start = Instant::now();
    let journal = SqliteJournal::open(&folder).unwrap();
    println!("open with 1M records: {:.2} s", micros(start) / 1e6);
    let start = Instant::now();
    let mut at = 0;
    while at < RECORDS as u64 {
        at += journal.read(Seq(at), 4096).unwrap().len() as u64;
    }
    println!("read 1M records, checked: {:.2} s", micros(start) / 1e6);
    let start = Instant::now();
    let mut seen = 0;
    let each = &mut |_, body: &[u8]| {
        seen += body.len();
        true
    };
    journal.scan(Seq(0), each).unwrap();
    println!("scan 1M records, checked: {:.2} s", micros(start) / 1e6);
    assert_eq!(seen, RECORDS * RECORD_BYTES);
    let start = Instant::now();
    journal.verify(None).unwrap();
    println!("verify 1M records: {:.2} s", micros(start) / 1e6);
}
