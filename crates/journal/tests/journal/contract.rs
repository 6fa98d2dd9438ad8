//! One contract for every journal. `check` runs on each implementation.

use std::sync::Arc;

use libos_abi::{Digest, Seq};
use libos_journal::{
    Batch, Corruption, Head, Journal, JournalError, Limits, MemoryJournal, SqliteJournal, Sync,
    merkle,
};
use proptest::prelude::*;

use super::{all, batch, corrupt, record};

fn check(journal: impl Fn() -> Box<dyn Journal>) {
    an_empty_journal_has_the_empty_root(&mut *journal());
    positions_follow_the_head(&mut *journal());
    lazy_appends_are_seen_at_once(&mut *journal());
    the_root_is_that_of_the_records(&mut *journal());
    reading_is_bounded(&mut *journal());
    blobs_are_named_by_content(&mut *journal());
    a_bad_batch_changes_nothing(&mut *journal());
    a_head_kept_elsewhere_pins_the_records(&mut *journal());
}

#[test]
fn memory_keeps_the_contract() {
    check(|| Box::new(MemoryJournal::new()));
}

#[test]
fn sqlite_keeps_the_contract() {
    let base = tempfile::tempdir().unwrap();
    let fresh = || tempfile::tempdir_in(base.path()).unwrap().keep();
    check(|| Box::new(SqliteJournal::open(&fresh()).unwrap()));
    // With limits so small that every path of the writer is taken.
    let limits = Limits {
        segment_bytes_max: 300,
        lazy_bytes_max: 40,
        lazy_records_max: 3,
        ..Limits::default()
    };
    check(|| Box::new(SqliteJournal::open_with(&fresh(), limits).unwrap()));
}

fn an_empty_journal_has_the_empty_root(journal: &mut dyn Journal) {
    let empty = Head { size: 0, root: merkle::empty_root() };
    assert_eq!(journal.head(), empty);
    assert_eq!(journal.append(&Batch::default(), Sync::Durable).unwrap(), empty);
    assert_eq!(journal.flush().unwrap(), empty);
    assert_eq!(journal.verify(Some(&empty)).unwrap(), empty);
    assert_eq!(journal.read(Seq(0), 10).unwrap(), []);
}

fn positions_follow_the_head(journal: &mut dyn Journal) {
    assert_eq!(journal.append(&batch(0..3), Sync::Durable).unwrap().size, 3);
    let head = journal.append(&batch(3..5), Sync::Durable).unwrap();
    assert_eq!((head.size, journal.head()), (5, head));
    let expected: Vec<_> = (0..5).map(|n| (Seq(n as u64), record(n))).collect();
    assert_eq!(journal.read(Seq(0), 100).unwrap(), expected);
    assert_eq!(journal.verify(None).unwrap(), head);
}

fn lazy_appends_are_seen_at_once(journal: &mut dyn Journal) {
    journal.append(&batch(0..1), Sync::Durable).unwrap();
    let mut lazy = batch(1..3);
    let digest = lazy.blob(*b"lazy");
    let head = journal.append(&lazy, Sync::Lazy).unwrap();
    assert_eq!((head.size, journal.head()), (3, head));
    assert_eq!(all(journal), batch(0..3).records);
    assert_eq!(journal.read(Seq(2), 1).unwrap(), [(Seq(2), record(2))]);
    assert_eq!(*journal.blobs().get(&digest).unwrap(), *b"lazy");
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
    let blobs = journal.blobs();
    let head = journal.append(&batch(3..4), Sync::Durable).unwrap();
    assert_eq!(all(journal), batch(0..4).records);
    assert_eq!(*blobs.get(&digest).unwrap(), *b"lazy");
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
}

fn the_root_is_that_of_the_records(journal: &mut dyn Journal) {
    let mut leaves = Vec::new();
    for (at, n) in [(0, 1), (1, 7), (8, 2), (10, 0), (10, 33)] {
        let batch = batch(at..at + n);
        leaves.extend(batch.records.iter().map(|record| merkle::leaf_hash(record)));
        let sync = if n % 2 == 0 { Sync::Lazy } else { Sync::Durable };
        let head = journal.append(&batch, sync).unwrap();
        assert_eq!(head, Head { size: leaves.len() as u64, root: merkle::root_of(&leaves) });
    }
}

fn reading_is_bounded(journal: &mut dyn Journal) {
    journal.append(&batch(0..4), Sync::Durable).unwrap();
    journal.append(&batch(4..6), Sync::Lazy).unwrap();
    for from in 0..8_usize {
        for limit in 0..8 {
            let expected: Vec<_> = (from..6.min(from + limit)).map(record).collect();
            let read = journal.read(Seq(from as u64), limit).unwrap();
            let read: Vec<_> = read.into_iter().map(|(_, record)| record).collect();
            assert_eq!(read, expected, "{limit} from {from}");
        }
    }
    assert_eq!(journal.read(Seq(u64::MAX), usize::MAX).unwrap(), []);
    for from in [0, 3, 5, 6, u64::MAX] {
        for limit in [1, 2, 100] {
            let mut seen = Vec::new();
            let each = &mut |seq, body: &[u8]| {
                seen.push((seq, body.to_vec()));
                seen.len() < limit
            };
            journal.scan(Seq(from), each).unwrap();
            assert_eq!(seen, journal.read(Seq(from), limit).unwrap(), "{limit} from {from}");
        }
    }
}

fn blobs_are_named_by_content(journal: &mut dyn Journal) {
    let (big, empty) = (vec![7; 5000], Vec::new());
    let mut batch = Batch::of([record(0)]);
    let digests = [batch.blob(big.clone()), batch.blob(empty.clone()), batch.blob(big.clone())];
    assert_eq!(digests[0], digests[2]);
    journal.append(&batch, Sync::Durable).unwrap();
    journal.append(&batch, Sync::Lazy).unwrap();
    // Without a record, too.
    let mut alone = Batch::default();
    let alone_digest = alone.blob(*b"alone");
    assert_eq!(journal.append(&alone, Sync::Durable).unwrap().size, 2);
    let blobs = journal.blobs();
    assert_eq!(*blobs.get(&digests[0]).unwrap(), *big);
    assert_eq!(*blobs.get(&digests[1]).unwrap(), *empty);
    assert_eq!(*blobs.get(&alone_digest).unwrap(), *b"alone");
    let unknown = Digest::of(b"unknown");
    assert!(blobs.contains(&alone_digest).unwrap() && !blobs.contains(&unknown).unwrap());
    assert!(
        matches!(blobs.get(&unknown), Err(JournalError::BlobMissing { digest }) if digest == unknown)
    );
    journal.verify(None).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || assert_eq!(blobs.get(&digests[0]).unwrap().len(), 5000));
    });
}

fn a_bad_batch_changes_nothing(journal: &mut dyn Journal) {
    let head = journal.append(&batch(0..2), Sync::Durable).unwrap();
    let wrong = Digest::of(b"other");
    let bytes: Arc<[u8]> = (*b"bytes").into();
    let misnamed = Batch { records: vec![record(2)], blobs: vec![(wrong, bytes)] };
    let long = Batch::of([record(2), vec![0; Limits::default().record_bytes_max + 1]]);
    for sync in [Sync::Durable, Sync::Lazy] {
        let refused = journal.append(&misnamed, sync);
        assert!(matches!(refused, Err(JournalError::BadBlob { digest }) if digest == wrong));
        let refused = journal.append(&long, sync);
        assert!(matches!(refused, Err(JournalError::TooLarge { what: "record", .. })));
    }
    assert!(!journal.blobs().contains(&wrong).unwrap());
    assert_eq!(journal.head(), head);
    assert_eq!(journal.append(&batch(2..3), Sync::Durable).unwrap().size, 3);
    assert_eq!(all(journal), batch(0..3).records);
}

fn a_head_kept_elsewhere_pins_the_records(journal: &mut dyn Journal) {
    let heads: Vec<_> =
        (0..6).map(|n| journal.append(&batch(n..n + 1), Sync::Durable).unwrap()).collect();
    for head in &heads {
        assert_eq!(journal.verify(Some(head)).unwrap(), heads[5]);
    }
    let other = Head { size: 3, ..heads[4] };
    let (seq, what) = corrupt(journal.verify(Some(&other)));
    assert_eq!((seq, what), (3, Corruption::HeadMismatch { expected: other, found: heads[2] }));
    let longer = Head { size: 9, ..heads[5] };
    let (seq, what) = corrupt(journal.verify(Some(&longer)));
    assert_eq!((seq, what), (6, Corruption::Truncated { size: Some(9) }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is appended in whatever way, both journals agree at every step and after reopening.
    #[test]
    fn both_journals_agree(
        steps in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..5),
             prop::collection::vec(prop::collection::vec(0..3_u8, 0..3), 0..3),
             any::<bool>(), prop::bool::weighted(0.2)),
            1..12,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { segment_bytes_max: 200, lazy_records_max: 6, ..Limits::default() };
        let mut memory = MemoryJournal::new();
        let mut sqlite = SqliteJournal::open_with(dir.path(), limits).unwrap();
        for (records, payloads, durable, reopen) in steps {
            let mut batch = Batch::of(records);
            let digests: Vec<_> = payloads.into_iter().map(|bytes| batch.blob(bytes)).collect();
            let sync = if durable { Sync::Durable } else { Sync::Lazy };
            let expected = memory.append(&batch, sync).unwrap();
            prop_assert_eq!(sqlite.append(&batch, sync).unwrap(), expected);
            if reopen {
                drop(sqlite);
                sqlite = SqliteJournal::open_with(dir.path(), limits).unwrap();
            }
            prop_assert_eq!(all(&sqlite), all(&memory));
            prop_assert_eq!(sqlite.verify(Some(&expected)).unwrap(), expected);
            for digest in digests {
                prop_assert_eq!(sqlite.blobs().get(&digest).unwrap(), memory.blobs().get(&digest).unwrap());
            }
        }
    }
}
