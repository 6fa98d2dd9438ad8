//! Dropping payloads: they go and nothing else does, whatever stops it half way.

use std::{fs, io::ErrorKind, path::Path};

use libos_abi::Digest;
use libos_journal::{
    Batch, BlobDamage, Blobs, Dropped, Head, Journal, JournalError, Limits, MemoryJournal,
    Snapshot, SqliteJournal, Sync,
};
use proptest::prelude::*;

use super::{all, batch, copy_store, record};

/// Segments of three payloads.
const LIMITS: Limits = Limits { segment_bytes_max: 3200, ..Limits::DEFAULT };

fn payload(number: usize) -> Vec<u8> {
    vec![number as u8; 1000]
}

fn digest(number: usize) -> Digest {
    Digest::of(&payload(number))
}

fn digests(numbers: impl IntoIterator<Item = usize>) -> Vec<Digest> {
    numbers.into_iter().map(digest).collect()
}

/// Appends records and as many payloads.
fn fill(journal: &mut dyn Journal, count: usize) -> Head {
    for number in 0..count {
        let mut next = batch(number..number + 1);
        next.blob(payload(number));
        journal.append(&next, Sync::Durable).unwrap();
    }
    journal.head()
}

fn segments(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir.join("segments")).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Which payloads of the first `count` are here; the others must be dropped, not lost.
fn here(blobs: &dyn Blobs, count: usize) -> Vec<usize> {
    let is_here = |number: &usize| match blobs.get(&digest(*number)) {
        Ok(bytes) => {
            assert_eq!(*bytes, *payload(*number));
            assert!(blobs.contains(&digest(*number)).unwrap());
            true
        }
        Err(JournalError::BlobDropped { digest: dropped }) => {
            assert_eq!(dropped, digest(*number));
            assert!(!blobs.contains(&dropped).unwrap());
            false
        }
        Err(error) => panic!("payload {number}: {error}"),
    };
    (0..count).filter(is_here).collect()
}

fn check(journal: &mut dyn Journal) {
    let head = fill(journal, 10);
    let stored: Vec<_> = journal.blobs().list().unwrap().into_iter().collect();
    assert_eq!(stored.len(), 10);
    assert!(stored.iter().all(|(_, bytes)| *bytes == 1000));
    let nothing = journal.drop_blobs(7, &[Digest::of(b"unknown")]).unwrap();
    assert_eq!((nothing.blobs, nothing.bytes), (0, 0));

    let doomed = digests([0, 1, 2, 4, 8]);
    let dropped = journal.drop_blobs(8, &doomed).unwrap();
    let mut sorted = doomed.clone();
    sorted.sort_unstable();
    let list = Digest::of(&sorted.iter().flat_map(|digest| digest.0).collect::<Vec<_>>());
    assert_eq!(dropped, Dropped { blobs: 5, bytes: 5000, list });
    // The same act again says the same: it may have been cut short before it was told.
    assert_eq!(journal.drop_blobs(8, &doomed).unwrap(), dropped);
    assert_eq!(here(journal.blobs().as_ref(), 10), [3, 5, 6, 7, 9]);
    assert_eq!(journal.blobs().list().unwrap().len(), 5);
    // Records, head and proofs are what they were.
    assert_eq!((journal.head(), all(journal)), (head, (0..10).map(record).collect::<Vec<_>>()));
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);

    // What is appended again is here again, and the act keeps its account.
    let mut again = batch(10..11);
    again.blob(payload(4));
    let head = journal.append(&again, Sync::Durable).unwrap();
    assert_eq!(here(journal.blobs().as_ref(), 10), [3, 4, 5, 6, 7, 9]);
    assert_eq!(journal.drop_blobs(8, &[]).unwrap(), dropped);
    // Everything, and another act.
    let rest = journal.drop_blobs(9, &digests(0..10)).unwrap();
    assert_eq!((rest.blobs, rest.bytes), (6, 6000));
    assert_eq!(here(journal.blobs().as_ref(), 10), [0; 0]);
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
    // What waits in memory can go as well.
    let mut lazy = batch(11..12);
    lazy.blob(payload(3));
    journal.append(&lazy, Sync::Lazy).unwrap();
    assert_eq!(journal.drop_blobs(10, &digests([3])).unwrap().blobs, 1);
    journal.verify(None).unwrap();
}

#[test]
fn both_journals_drop_payloads_and_nothing_else() {
    check(&mut MemoryJournal::new());
    for limits in [LIMITS, Limits::default()] {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open_with(dir.path(), limits).unwrap();
        check(&mut journal);
        let head = journal.head();
        drop(journal);
        let journal = SqliteJournal::open_with(dir.path(), limits).unwrap();
        assert_eq!(journal.verify(Some(&head)).unwrap(), head);
        assert_eq!(here(journal.blobs().as_ref(), 10), [0; 0]);
    }
}

#[test]
fn a_segment_that_loses_a_payload_is_written_anew_and_its_bytes_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    fill(&mut journal, 10);
    assert_eq!(segments(dir.path()), ["000001.seg", "000002.seg", "000003.seg", "000004.seg"]);
    // The first goes as a whole, of the second one payload stays, the third is not touched.
    journal.drop_blobs(1, &digests([0, 1, 2, 3, 4])).unwrap();
    assert_eq!(segments(dir.path()), ["000003.seg", "000004.seg"]);
    let bytes = |name: &str| fs::read(dir.path().join("segments").join(name)).unwrap();
    let all: Vec<u8> = segments(dir.path()).iter().flat_map(|name| bytes(name)).collect();
    for number in 0..10 {
        let found = all.windows(100).any(|window| *window == payload(number)[..100]);
        assert_eq!(found, number > 4, "payload {number}");
    }
    // The last segment, which is still written to.
    journal.drop_blobs(2, &digests([9])).unwrap();
    assert_eq!(segments(dir.path()), ["000003.seg", "000005.seg"]);
    assert_eq!(here(journal.blobs().as_ref(), 10), [5, 6, 7, 8]);
    let mut more = batch(10..11);
    more.blob(payload(10));
    journal.append(&more, Sync::Durable).unwrap();
    drop(journal);
    let journal = SqliteJournal::open(dir.path()).unwrap();
    journal.verify(None).unwrap();
    assert_eq!(here(journal.blobs().as_ref(), 11), [5, 6, 7, 8, 10]);
}

#[test]
fn a_store_tells_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    let head = fill(&mut journal, 10);
    let stat = journal.stat().unwrap();
    assert_eq!((stat.format, stat.head), (libos_journal::FORMAT, head));
    assert_eq!(stat.record_bytes, (0..10).map(|n| record(n).len() as u64).sum::<u64>());
    assert_eq!((stat.blobs, stat.blob_bytes, stat.dropped), (10, 10_000, 0));
    assert_eq!((stat.segments, stat.segment_bytes), (4, 10 * 1044));
    assert_eq!((stat.unreferenced_bytes, stat.snapshots, stat.snapshot_bytes), (0, 0, 0));
    assert!(stat.database_bytes > stat.record_bytes);

    fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("segments/000001.seg"))
        .and_then(|file| file.set_len(4000))
        .unwrap();
    let garbage = 4000 - 3 * 1044;
    assert_eq!(journal.stat().unwrap().unreferenced_bytes, garbage);
    let state = Snapshot { head, digest: Digest::of(b"s"), bytes: b"state".as_slice().into() };
    journal.snapshots().save(&state).unwrap();
    journal.drop_blobs(1, &digests([1, 4])).unwrap();
    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    let stat = reader.stat().unwrap();
    assert_eq!((stat.blobs, stat.blob_bytes, stat.dropped), (8, 8000, 2));
    assert_eq!((stat.unreferenced_bytes, stat.segment_bytes), (0, 8 * 1044));
    assert_eq!((stat.snapshots, stat.snapshot_bytes), (1, 5));
}

#[test]
fn readers_go_on_while_segments_move() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    let head = fill(&mut journal, 10);
    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    let blobs = reader.blobs();
    assert_eq!(here(blobs.as_ref(), 3), [0, 1, 2], "files that a reader has open");
    journal.drop_blobs(1, &digests([0, 3, 6])).unwrap();
    assert_eq!(here(blobs.as_ref(), 10), [1, 2, 4, 5, 7, 8, 9]);
    assert_eq!(reader.verify(Some(&head)).unwrap(), head);
    let late = SqliteJournal::open_read_only(dir.path()).unwrap();
    assert_eq!(here(late.blobs().as_ref(), 10), [1, 2, 4, 5, 7, 8, 9]);
    let refused = SqliteJournal::open_read_only(dir.path()).unwrap().drop_blobs(2, &digests([1]));
    assert!(matches!(refused, Err(JournalError::ReadOnly { .. })));
}

/// What is lost is not called dropped: compaction stops before a segment that is damaged.
#[test]
fn a_damaged_segment_is_kept_as_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    fill(&mut journal, 6);
    let path = dir.path().join("segments/000002.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1500] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = journal.drop_blobs(1, &digests([0, 3])).unwrap_err();
    assert!(
        matches!(error, JournalError::CorruptBlob { digest: bad, what: BlobDamage::Changed }
            if bad == digest(4)),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // The damaged payload itself may go.
    journal.drop_blobs(2, &digests([3, 4])).unwrap();
    assert_eq!(here(journal.blobs().as_ref(), 6), [1, 2, 5]);
    journal.verify(None).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Whatever step fails: what stays is all here, in this process and for who opens the store as
    /// it is at that moment, and the same act goes through when it is tried again.
    #[test]
    fn cut_short_anywhere_it_loses_nothing(
        doomed in prop::collection::btree_set(0..12_usize, 1..12),
        step in 0..24_u32,
        kind in prop::sample::select(vec![ErrorKind::StorageFull, ErrorKind::Other]),
        between in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
        let mut head = fill(&mut journal, 12);
        let kept: Vec<usize> = (0..12).filter(|number| !doomed.contains(number)).collect();
        let doomed = digests(doomed);
        journal.fail_after(Some((step, kind)));
        let first = journal.drop_blobs(5, &doomed);

        let copy = tempfile::tempdir().unwrap();
        copy_store(dir.path(), copy.path());
        let found = SqliteJournal::open_with(copy.path(), LIMITS).unwrap();
        prop_assert_eq!(found.verify(Some(&head)).unwrap(), head);
        let stay = here(found.blobs().as_ref(), 12);
        prop_assert!(kept.iter().all(|number| stay.contains(number)));
        drop(found);
        prop_assert_eq!(here(journal.blobs().as_ref(), 12), stay);
        prop_assert_eq!(journal.verify(Some(&head)).unwrap(), head);

        journal.fail_after(None);
        if between {
            let mut next = batch(12..13);
            next.blob(payload(12));
            head = journal.append(&next, Sync::Durable).unwrap();
        }
        let second = journal.drop_blobs(5, &doomed).unwrap();
        prop_assert_eq!(second.blobs, doomed.len() as u64);
        prop_assert!(first.is_err() || first.is_ok_and(|first| first == second));
        prop_assert_eq!(here(journal.blobs().as_ref(), 12), kept.clone());
        drop(journal);
        let journal = SqliteJournal::open(dir.path()).unwrap();
        prop_assert_eq!(journal.verify(Some(&head)).unwrap(), head);
        prop_assert_eq!(here(journal.blobs().as_ref(), 12), kept);
        // What the first try left is gone as well.
        let entry = 44 + 1000;
        let bytes = fs::read_dir(dir.path().join("segments")).unwrap();
        let bytes: u64 = bytes.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        let count = journal.blobs().list().unwrap().len() as u64;
        prop_assert_eq!(bytes, count * entry);
    }
}

/// Bytes that no payload is left in go with any act: what a failed append or a torn write left.
#[test]
fn bytes_that_nobody_names_go_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    fill(&mut journal, 2);
    let mut refused = batch(2..3);
    refused.blob(payload(2));
    // The payload is synced, the commit fails.
    journal.fail_after(Some((4, ErrorKind::StorageFull)));
    journal.append(&refused, Sync::Durable).unwrap_err();
    journal.fail_after(None);
    let mut other = batch(2..3);
    other.blob(payload(3));
    let head = journal.append(&other, Sync::Durable).unwrap();
    let bytes = || {
        let files = fs::read_dir(dir.path().join("segments")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    assert_eq!(bytes(), 4 * 1044);
    assert_eq!(journal.drop_blobs(1, &[]).unwrap().blobs, 0);
    assert_eq!(bytes(), 3 * 1044);
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
    // Nothing is done where nothing is to be done.
    let before = segments(dir.path());
    journal.drop_blobs(2, &[]).unwrap();
    assert_eq!(segments(dir.path()), before);
}

/// A crash between the commit and the removal of the file leaves a file that the next act removes.
#[test]
fn a_segment_file_left_over_is_removed_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    fill(&mut journal, 6);
    let left = dir.path().join("segments/000001.seg");
    let bytes = fs::read(&left).unwrap();
    journal.drop_blobs(1, &digests([0, 1, 2])).unwrap();
    fs::write(&left, bytes).unwrap();
    drop(journal);
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    assert_eq!(here(journal.blobs().as_ref(), 6), [3, 4, 5]);
    journal.drop_blobs(2, &[]).unwrap();
    assert!(!left.exists());
}

/// After compaction a store still notices what is lost.
#[test]
fn a_segment_that_is_missing_is_still_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open_with(dir.path(), LIMITS).unwrap();
    fill(&mut journal, 9);
    journal.drop_blobs(1, &digests([0, 1, 2])).unwrap();
    drop(journal);
    fs::remove_file(dir.path().join("segments/000002.seg")).unwrap();
    let error = SqliteJournal::open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}

/// A batch may bring a payload that was dropped, lazily too.
#[test]
fn a_dropped_payload_may_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    fill(&mut journal, 2);
    journal.drop_blobs(1, &digests([0, 1])).unwrap();
    let mut again = Batch::default();
    again.blob(payload(1));
    journal.append(&again, Sync::Lazy).unwrap();
    assert_eq!(here(journal.blobs().as_ref(), 2), [1]);
    journal.flush().unwrap();
    drop(journal);
    let journal = SqliteJournal::open(dir.path()).unwrap();
    assert_eq!(here(journal.blobs().as_ref(), 2), [1]);
}
