//! The journal: the obligations of the trait `Journal`. It is no service and has no binding.

use std::{path::Path, rc::Rc, sync::Arc};

use libos_abi::{Digest, Seq};
use libos_journal::{Batch, Corruption, Head, Journal, JournalError, Limits, Sync, merkle};
use tempfile::TempDir;

use crate::{
    Factory, Store,
    store::{batch, corrupt, record},
};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! journal_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args journal
            case an_empty_journal_has_the_empty_root holds "I-33" shows "";
            case positions_follow_the_head holds "I-30" shows "";
            case lazy_appends_are_seen_at_once holds "I-30" shows "";
            case the_root_is_that_of_the_records holds "I-33" shows "";
            case reading_is_bounded holds "I-30" shows "";
            case blobs_are_named_by_content holds "I-30" shows "";
            case blobs_are_read_on_other_threads holds "I-30" shows "";
            case a_bad_batch_changes_nothing holds "I-30" shows "";
            case a_batch_without_records_moves_nothing holds "I-30" shows "";
            case a_head_kept_elsewhere_pins_the_records holds "I-33" shows "";
            case records_are_bytes holds "I-32" shows "";
        }
    };
}

journal_cases! { contract [Store:] }

/// What makes the part in a folder of its own, for [`CONTRACT`].
pub fn factory<J: Journal + 'static>(
    make: impl Fn(&Path) -> J + 'static,
) -> Factory<(Box<dyn Journal>, TempDir)> {
    Rc::new(move || {
        let folder = tempfile::tempdir().expect("the host has temporary folders");
        (Box::new(make(folder.path())), folder)
    })
}

fn an_empty_journal_has_the_empty_root(s: &mut Store) {
    let journal = &mut s.journal;
    let empty = Head { size: 0, root: merkle::empty_root() };
    assert_eq!(journal.head(), empty);
    assert_eq!(journal.append(&Batch::default(), Sync::Durable).unwrap(), empty);
    assert_eq!(journal.flush().unwrap(), empty);
    assert_eq!(journal.verify(Some(&empty)).unwrap(), empty);
    assert_eq!(journal.read(Seq(0), 10).unwrap(), []);
}

fn positions_follow_the_head(s: &mut Store) {
    let journal = &mut s.journal;
    assert_eq!(journal.append(&batch(0..3), Sync::Durable).unwrap().size, 3);
    let head = journal.append(&batch(3..5), Sync::Durable).unwrap();
    assert_eq!((head.size, journal.head()), (5, head));
    let expected: Vec<_> = (0..5).map(|n| (Seq(n as u64), record(n))).collect();
    assert_eq!(journal.read(Seq(0), 100).unwrap(), expected);
    assert_eq!(journal.verify(None).unwrap(), head);
}

fn lazy_appends_are_seen_at_once(s: &mut Store) {
    s.journal.append(&batch(0..1), Sync::Durable).unwrap();
    let mut lazy = batch(1..3);
    let digest = lazy.blob(*b"lazy");
    let head = s.journal.append(&lazy, Sync::Lazy).unwrap();
    assert_eq!((head.size, s.journal.head()), (3, head));
    assert_eq!(s.all(), batch(0..3).records);
    assert_eq!(s.journal.read(Seq(2), 1).unwrap(), [(Seq(2), record(2))]);
    assert_eq!(*s.journal.blobs().get(&digest).unwrap(), *b"lazy");
    assert_eq!(s.journal.verify(Some(&head)).unwrap(), head);
    let blobs = s.journal.blobs();
    let head = s.journal.append(&batch(3..4), Sync::Durable).unwrap();
    assert_eq!(s.all(), batch(0..4).records);
    assert_eq!(*blobs.get(&digest).unwrap(), *b"lazy");
    assert_eq!(s.journal.verify(Some(&head)).unwrap(), head);
}

fn the_root_is_that_of_the_records(s: &mut Store) {
    let mut leaves = Vec::new();
    for (at, n) in [(0, 1), (1, 7), (8, 2), (10, 0), (10, 33)] {
        let batch = batch(at..at + n);
        leaves.extend(batch.records.iter().map(|record| merkle::leaf_hash(record)));
        let sync = if n % 2 == 0 { Sync::Lazy } else { Sync::Durable };
        let head = s.journal.append(&batch, sync).unwrap();
        assert_eq!(head, Head { size: leaves.len() as u64, root: merkle::root_of(&leaves) });
    }
}

fn reading_is_bounded(s: &mut Store) {
    s.journal.append(&batch(0..4), Sync::Durable).unwrap();
    s.journal.append(&batch(4..6), Sync::Lazy).unwrap();
    for from in 0..8_usize {
        for limit in 0..8 {
            let expected: Vec<_> = (from..6.min(from + limit)).map(record).collect();
            let read = s.journal.read(Seq(from as u64), limit).unwrap();
            let read: Vec<_> = read.into_iter().map(|(_, record)| record).collect();
            assert_eq!(read, expected, "{limit} from {from}");
        }
    }
    assert_eq!(s.journal.read(Seq(u64::MAX), usize::MAX).unwrap(), []);
}

fn blobs_are_named_by_content(s: &mut Store) {
    let (big, empty) = (vec![7; 5000], Vec::new());
    let mut batch = Batch::of([record(0)]);
    let digests = [batch.blob(big.clone()), batch.blob(empty.clone()), batch.blob(big.clone())];
    assert_eq!(digests[0], digests[2]);
    s.journal.append(&batch, Sync::Durable).unwrap();
    s.journal.append(&batch, Sync::Lazy).unwrap();
    // Without a record, too.
    let mut alone = Batch::default();
    let alone_digest = alone.blob(*b"alone");
    assert_eq!(s.journal.append(&alone, Sync::Durable).unwrap().size, 2);
    let blobs = s.journal.blobs();
    assert_eq!(*blobs.get(&digests[0]).unwrap(), *big);
    assert_eq!(*blobs.get(&digests[1]).unwrap(), *empty);
    assert_eq!(*blobs.get(&alone_digest).unwrap(), *b"alone");
    let unknown = Digest::of(b"unknown");
    assert!(blobs.contains(&alone_digest).unwrap() && !blobs.contains(&unknown).unwrap());
    let missing = blobs.get(&unknown);
    assert!(matches!(missing, Err(JournalError::BlobMissing { digest }) if digest == unknown));
    s.journal.verify(None).unwrap();
}

fn blobs_are_read_on_other_threads(s: &mut Store) {
    let mut batch = Batch::of([record(0)]);
    let digest = batch.blob(vec![7; 5000]);
    s.journal.append(&batch, Sync::Lazy).unwrap();
    let blobs = s.journal.blobs();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || blobs.get(&digest).unwrap().len());
        s.journal.append(&Batch::of([record(1)]), Sync::Durable).unwrap();
        assert_eq!(reader.join().expect("the reader lives"), 5000);
    });
}

fn a_bad_batch_changes_nothing(s: &mut Store) {
    let head = s.journal.append(&batch(0..2), Sync::Durable).unwrap();
    let wrong = Digest::of(b"other");
    let bytes: Arc<[u8]> = (*b"bytes").into();
    let misnamed = Batch { records: vec![record(2)], blobs: vec![(wrong, bytes)] };
    let long = Batch::of([record(2), vec![0; Limits::default().record_bytes_max + 1]]);
    for sync in [Sync::Durable, Sync::Lazy] {
        let refused = s.journal.append(&misnamed, sync);
        assert!(matches!(refused, Err(JournalError::BadBlob { digest }) if digest == wrong));
        let refused = s.journal.append(&long, sync);
        assert!(matches!(refused, Err(JournalError::TooLarge { what: "record", .. })));
    }
    assert!(!s.journal.blobs().contains(&wrong).unwrap());
    assert_eq!(s.journal.head(), head);
    assert_eq!(s.journal.append(&batch(2..3), Sync::Durable).unwrap().size, 3);
    assert_eq!(s.all(), batch(0..3).records);
}

fn a_batch_without_records_moves_nothing(s: &mut Store) {
    let head = s.journal.append(&batch(0..2), Sync::Lazy).unwrap();
    for sync in [Sync::Lazy, Sync::Durable] {
        assert_eq!(s.journal.append(&Batch::default(), sync).unwrap(), head);
    }
    assert_eq!(s.journal.flush().unwrap(), head);
    assert_eq!(s.all(), batch(0..2).records);
}

fn a_head_kept_elsewhere_pins_the_records(s: &mut Store) {
    let append = |n: usize, journal: &mut dyn Journal| {
        journal.append(&batch(n..n + 1), Sync::Durable).unwrap()
    };
    let heads: Vec<_> = (0..6).map(|n| append(n, s.journal.as_mut())).collect();
    for head in &heads {
        assert_eq!(s.journal.verify(Some(head)).unwrap(), heads[5]);
    }
    let other = Head { size: 3, ..heads[4] };
    let (seq, what) = corrupt(s.journal.verify(Some(&other)));
    assert_eq!((seq, what), (3, Corruption::HeadMismatch { expected: other, found: heads[2] }));
    let longer = Head { size: 9, ..heads[5] };
    let (seq, what) = corrupt(s.journal.verify(Some(&longer)));
    assert_eq!((seq, what), (6, Corruption::Truncated { size: Some(9) }));
}

fn records_are_bytes(s: &mut Store) {
    let records = [vec![], vec![0], vec![0, 0], vec![255; 70_000], b"a\nb\0c".to_vec()];
    let head = s.journal.append(&Batch::of(records.clone()), Sync::Durable).unwrap();
    assert_eq!(s.all(), records);
    assert_eq!(s.journal.verify(Some(&head)).unwrap(), head);
}
