//! Crashes and full disks: what survives is a prefix, what failed does not count.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

use libos_abi::Seq;
use libos_journal::{
    Batch, Journal, JournalError, Limits, MemoryJournal, Refusal, SqliteJournal, Sync, merkle,
};
use proptest::prelude::*;

use super::{all, batch, copy_store, record};

/// What the store holds if the machine stops now.
fn after_crash(dir: &Path) -> (tempfile::TempDir, SqliteJournal) {
    let copy = tempfile::tempdir().unwrap();
    copy_store(dir, copy.path());
    let journal = SqliteJournal::open(copy.path()).unwrap();
    journal.verify(None).unwrap();
    (copy, journal)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// After any appends a crash leaves at least everything up to the last durable one, and of the
    /// rest a prefix; the memory journal tells the least.
    #[test]
    fn a_crash_leaves_a_prefix(steps in prop::collection::vec((0..4_usize, any::<bool>()), 1..20)) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { lazy_records_max: 8, ..Limits::default() };
        let mut journal = SqliteJournal::open_with(dir.path(), limits).unwrap();
        let mut memory = MemoryJournal::new();
        for (records, durable) in steps {
            let at = journal.head().size as usize;
            let mut batch = batch(at..at + records);
            batch.blob(at.to_le_bytes());
            let sync = if durable { Sync::Durable } else { Sync::Lazy };
            journal.append(&batch, sync).unwrap();
            memory.append(&batch, sync).unwrap();
        }
        let appended = all(&journal);
        let (_copy, found) = after_crash(dir.path());
        prop_assert!(appended.starts_with(&all(&found)));
        let least = memory.crash();
        prop_assert!(found.head().size >= least.head().size);
        prop_assert_eq!(least.verify(None).unwrap(), least.head());
    }
}

#[test]
fn a_durable_append_takes_the_lazy_ones_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    journal.append(&batch(0..1), Sync::Durable).unwrap();
    let mut lazy = batch(1..4);
    let digest = lazy.blob(*b"lazy");
    journal.append(&lazy, Sync::Lazy).unwrap();
    assert_eq!(all(&after_crash(dir.path()).1), batch(0..1).records);
    journal.append(&batch(4..5), Sync::Durable).unwrap();
    let (_copy, found) = after_crash(dir.path());
    assert_eq!(all(&found), batch(0..5).records);
    assert_eq!(*found.blobs().get(&digest).unwrap(), *b"lazy");
    journal.append(&batch(5..6), Sync::Lazy).unwrap();
    let head = journal.flush().unwrap();
    assert_eq!(after_crash(dir.path()).1.head(), head);
}

/// Bytes behind the last committed blob were never committed: they are overwritten.
#[test]
fn a_torn_segment_tail_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let append = |journal: &mut SqliteJournal, byte: u8| {
        let mut batch = Batch::of([vec![byte]]);
        let digest = batch.blob(vec![byte; 3000]);
        journal.append(&batch, Sync::Durable).map(|_| digest).unwrap()
    };
    let first = append(&mut SqliteJournal::open(dir.path()).unwrap(), 1);
    let segment = dir.path().join("segments/000001.seg");
    let mut file = fs::OpenOptions::new().append(true).open(&segment).unwrap();
    file.write_all(&[b"LBLB".as_slice(), &[9; 7000]].concat()).unwrap();
    fs::write(dir.path().join("segments/000002.seg"), [9; 100]).unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let second = append(&mut journal, 2);
    assert_eq!(fs::metadata(&segment).unwrap().len(), 2 * (44 + 3000));
    for digest in [first, second] {
        assert_eq!(journal.blobs().get(&digest).unwrap().len(), 3000);
    }
    journal.verify(None).unwrap();
}

/// Every step of a write fails once, for durable appends, lazy ones that overflow, and flushes.
#[test]
fn whatever_step_fails_nothing_counts_and_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes_max: 4000, lazy_bytes_max: 1500, ..Limits::default() };
    let mut journal = SqliteJournal::open_with(dir.path(), limits).unwrap();
    let mut expected = Vec::new();
    let mut failures = 0;
    for round in 0..60_usize {
        let lazy = Batch::of([[b"lazy ".as_slice(), &record(round)].concat()]);
        journal.append(&lazy, Sync::Lazy).unwrap();
        expected.extend(lazy.records);
        let mut next = batch(round..round + 2);
        let digests = [next.blob(vec![round as u8; 900]), next.blob(vec![round as u8; 1200])];
        let sync = if round % 2 == 0 { Sync::Durable } else { Sync::Lazy };
        let before = journal.head();
        let (kind, why, remedy) = [
            (ErrorKind::StorageFull, Refusal::Full, "free space, then try again"),
            (ErrorKind::ReadOnlyFilesystem, Refusal::ReadOnly, "mount it writable"),
            (ErrorKind::Other, Refusal::Io, "check the disk"),
        ][round % 3];
        journal.fail_after(Some(((round / 2 % 12) as u32, kind)));
        let result = journal.append(&next, sync);
        if let Err(error) = result {
            failures += 1;
            assert!(error.may_pass());
            assert!(error.to_string().contains(remedy), "{error}");
            assert!(matches!(error, JournalError::Storage { refusal, .. } if refusal == why));
            assert_eq!(journal.head(), before);
            assert_eq!(all(&journal), expected);
            assert!(!journal.blobs().contains(&digests[0]).unwrap());
            assert_eq!(journal.verify(None).unwrap(), before);
            assert!(expected.starts_with(&all(&after_crash(dir.path()).1)));
            // Space returns: the same call on the same object goes through.
            journal.fail_after(None);
            journal.append(&next, sync).unwrap();
        }
        journal.fail_after(None);
        expected.extend(next.records);
        assert_eq!(all(&journal), expected);
        for digest in &digests {
            assert!(journal.blobs().get(digest).unwrap().iter().all(|byte| *byte == round as u8));
        }
    }
    assert!(failures >= 40, "only {failures} failures");
    let head = journal.flush().unwrap();
    let leaves: Vec<_> = expected.iter().map(|record| merkle::leaf_hash(record)).collect();
    assert_eq!(head.root, merkle::root_of(&leaves));
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
    drop(journal);
    assert_eq!(SqliteJournal::open(dir.path()).unwrap().verify(Some(&head)).unwrap(), head);
}

/// A commit that was refused may be found in the database all the same: it still does not count.
#[test]
fn what_a_failed_commit_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    journal.append(&batch(0..3), Sync::Durable).unwrap();
    let mut next = batch(3..5);
    let digest = next.blob(vec![1; 500]);
    journal.fail_after(Some((7, ErrorKind::StorageFull)));
    journal.append(&next, Sync::Durable).unwrap_err();
    journal.fail_after(None);
    super::tamper(
        dir.path(),
        "INSERT INTO record SELECT seq + 3, leaf, body FROM record;
         INSERT INTO batch VALUES (6, zeroblob(32));
         INSERT INTO frontier VALUES (6, zeroblob(64));
         INSERT INTO blob VALUES (zeroblob(32), 1, 44, 500);",
    );
    assert_eq!(all(&journal), batch(0..3).records);
    let head = journal.append(&next, Sync::Durable).unwrap();
    assert_eq!(all(&journal), batch(0..5).records);
    assert_eq!(journal.blobs().get(&digest).unwrap().len(), 500);
    assert_eq!(journal.verify(None).unwrap(), head);
    let segment = fs::metadata(dir.path().join("segments/000001.seg")).unwrap();
    assert_eq!(segment.len(), 544, "the second try finds the bytes of the first");
    drop(journal);
    assert_eq!(SqliteJournal::open(dir.path()).unwrap().head(), head);
}

/// SQLite itself finds the disk full, in the middle of a batch.
#[test]
fn a_full_database_is_out_of_space() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let head = journal.append(&batch(0..3), Sync::Durable).unwrap();
    journal.limit_pages(1).unwrap(); // SQLite takes the present size for the least.
    let big = Batch::of((0..40).map(|n| vec![n; 1000]));
    let lazy = journal.append(&batch(3..4), Sync::Lazy).unwrap();
    for _ in 0..3 {
        let error = journal.append(&big, Sync::Durable).unwrap_err();
        assert!(matches!(error, JournalError::Storage { refusal: Refusal::Full, .. }), "{error}");
        assert_eq!((journal.head(), all(&journal)), (lazy, batch(0..4).records));
    }
    assert_eq!(after_crash(dir.path()).1.head(), head);
    journal.limit_pages(1 << 30).unwrap();
    assert_eq!(journal.append(&big, Sync::Durable).unwrap().size, 44);
    assert_eq!(journal.read(Seq(43), 1).unwrap(), [(Seq(43), vec![39; 1000])]);
    journal.verify(None).unwrap();
}
