//! Stores that older builds wrote, kept as they were: each opens as what it was, or is refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libos_abi::Digest;
use libos_journal::{
    Batch, FORMAT, Head, Journal, JournalError, Limits, Snapshot, SqliteJournal, Sync,
};
use rusqlite::Connection;

use super::{all, batch, copy_store, tamper};

/// A golden store: its folder, its format, its head, and which of its payloads are here.
struct Golden {
    name: &'static str,
    format: i64,
    head: &'static str,
    payloads: &'static [u8],
    dropped: &'static [u8],
}

const GOLDEN: [Golden; 3] = [
    Golden {
        name: "format-1-closed",
        format: 1,
        head: "12:7a334a79de8974e0e5ee31d30c3af270e8c8e488e70b0dfcb6e4451e9983ba8a",
        payloads: b"abcdef",
        dropped: b"",
    },
    // Killed while it was open: everything is in the write-ahead log.
    Golden {
        name: "format-1-killed",
        format: 1,
        head: "6:82f5c795482bda2c381dd6d771361424993aecbf82450c3fd8cd6eb13f379026",
        payloads: b"abc",
        dropped: b"",
    },
    // Compacted: one segment is gone, one payload moved. With a snapshot.
    Golden {
        name: "format-2",
        format: 2,
        head: "12:7a334a79de8974e0e5ee31d30c3af270e8c8e488e70b0dfcb6e4451e9983ba8a",
        payloads: b"bdef",
        dropped: b"ac",
    },
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-stores").join(name)
}

fn payload(letter: u8) -> Vec<u8> {
    vec![letter; 700]
}

/// Checks that the journal is what the golden store was, to the last payload.
fn check(golden: &Golden, journal: &SqliteJournal) {
    let head: Head = golden.head.parse().unwrap();
    assert_eq!((journal.head(), journal.verify(Some(&head)).unwrap()), (head, head));
    let size = usize::try_from(head.size).unwrap();
    assert_eq!(all(journal), batch(0..size).records, "{}", golden.name);
    for letter in golden.payloads {
        let bytes = payload(*letter);
        assert_eq!(*journal.blobs().get(&Digest::of(&bytes)).unwrap(), *bytes);
    }
    for letter in golden.dropped {
        let gone = journal.blobs().get(&Digest::of(&payload(*letter)));
        assert!(matches!(gone, Err(JournalError::BlobDropped { .. })), "{gone:?}");
    }
    let snapshot = journal.snapshots().latest(u64::MAX);
    assert_eq!(snapshot.is_some(), golden.format > 1, "{snapshot:?}");
}

fn format_of(dir: &Path) -> i64 {
    let database = Connection::open(dir.join("journal.db")).unwrap();
    let query = "SELECT value FROM meta WHERE key = 'format'";
    database.query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn every_store_of_an_older_build_opens_as_what_it_was() {
    for golden in &GOLDEN {
        let dir = tempfile::tempdir().unwrap();
        copy_store(&folder(golden.name), dir.path());
        // A reader reads it as it is and changes nothing.
        check(golden, &SqliteJournal::open_read_only(dir.path()).unwrap());
        assert_eq!(format_of(dir.path()), golden.format);
        // A writer brings it to the present format, and it goes on.
        let mut journal = SqliteJournal::open(dir.path()).unwrap();
        check(golden, &journal);
        let mut next = Batch::of([b"next".to_vec()]);
        next.blob(payload(b'z'));
        let head = journal.append(&next, Sync::Durable).unwrap();
        drop(journal);
        assert_eq!(format_of(dir.path()), FORMAT);
        let mut journal = SqliteJournal::open(dir.path()).unwrap();
        let kept: Head = golden.head.parse().unwrap();
        assert_eq!(journal.verify(Some(&kept)).unwrap(), head);
        let dropped = journal.drop_blobs(9, &[Digest::of(&payload(b'z'))]).unwrap();
        assert_eq!(dropped.blobs, 1);
        assert_eq!(journal.verify(Some(&kept)).unwrap(), head);
    }
}

#[test]
fn the_present_format_has_a_golden_store() {
    assert!(GOLDEN.iter().any(|golden| golden.format == FORMAT));
    for golden in &GOLDEN {
        let dir = tempfile::tempdir().unwrap();
        copy_store(&folder(golden.name), dir.path());
        assert_eq!(format_of(dir.path()), golden.format, "{}", golden.name);
    }
}

/// Whatever is wrong with the format, nothing of the store is read and nothing is changed.
#[test]
fn a_store_of_a_newer_build_is_refused_and_left_alone() {
    for golden in &GOLDEN {
        let dir = tempfile::tempdir().unwrap();
        copy_store(&folder(golden.name), dir.path());
        tamper(dir.path(), &format!("UPDATE meta SET value = {} WHERE key = 'format'", FORMAT + 1));
        let before = fs::read(dir.path().join("journal.db")).unwrap();
        for opened in [SqliteJournal::open(dir.path()), SqliteJournal::open_read_only(dir.path())] {
            let error = opened.unwrap_err();
            assert!(matches!(error, JournalError::Format { .. }), "{error}");
            let both = format!(
                "has format {}, and this program reads formats 1 to {FORMAT}: open it with the \
                 program that wrote it",
                FORMAT + 1
            );
            assert!(error.to_string().contains(&both), "{error}");
        }
        assert_eq!(fs::read(dir.path().join("journal.db")).unwrap(), before, "{}", golden.name);
    }
}

#[test]
#[ignore = "writes the golden store of the present format, if there is none"]
fn make_a_golden_store() {
    let target = folder(&format!("format-{FORMAT}"));
    if target.exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes_max: 1500, ..Limits::DEFAULT };
    let mut journal = SqliteJournal::open_with(dir.path(), limits).unwrap();
    for n in 0..6 {
        let mut next = batch(n * 2..n * 2 + 2);
        next.blob(payload(b'a' + n as u8));
        journal.append(&next, Sync::Durable).unwrap();
    }
    let gone = [b'a', b'c'].map(|letter| Digest::of(&payload(letter)));
    journal.drop_blobs(1, &gone).unwrap();
    let bytes = b"a state".as_slice().into();
    let snapshot = Snapshot { head: journal.head(), digest: Digest::of(b"a state"), bytes };
    journal.snapshots().save(&snapshot).unwrap();
    drop(journal);
    copy_store(dir.path(), &target);
}
