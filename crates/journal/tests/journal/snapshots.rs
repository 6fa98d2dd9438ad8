//! Snapshots: kept whole, found by position, and never needed. What is not whole, or is of another
//! history, is passed over.

use std::{fs, path::Path};

use libos_abi::Digest;
use libos_journal::{
    Head, Journal, JournalError, Limits, MemoryJournal, Snapshot, SqliteJournal, Sync, TreeHash,
};

use super::{batch, copy_store};

/// A snapshot of the journal as it is now.
fn taken(head: Head, text: &str) -> Snapshot {
    Snapshot { head, digest: Digest::of(text.as_bytes()), bytes: text.as_bytes().into() }
}

/// Appends one durable record and gives the head after it.
fn grow(journal: &mut dyn Journal) -> Head {
    let at = journal.head().size as usize;
    journal.append(&batch(at..at + 1), Sync::Durable).unwrap()
}

fn check(journal: &mut dyn Journal) {
    let snapshots = journal.snapshots();
    assert_eq!(snapshots.latest(u64::MAX), None);
    assert_eq!(snapshots.list(), []);
    let mut saved = Vec::new();
    for n in 0..3 {
        grow(journal);
        let head = grow(journal);
        let snapshot = taken(head, &format!("state {n}"));
        snapshots.save(&snapshot).unwrap();
        assert_eq!(snapshots.latest(u64::MAX), Some(snapshot.clone()));
        saved.push(snapshot);
    }
    grow(journal);
    // By position: the newest at or before it.
    for (until, expected) in
        [(0, None), (1, None), (2, Some(0)), (3, Some(0)), (4, Some(1)), (5, Some(1)), (6, Some(2))]
    {
        let expected = expected.map(|at: usize| saved[at].clone());
        assert_eq!(snapshots.latest(until), expected, "until {until}");
    }
    let listed: Vec<_> = snapshots.list().iter().map(|kept| (kept.head, kept.digest)).collect();
    let expected: Vec<_> = saved.iter().rev().map(|kept| (kept.head, kept.digest)).collect();
    assert_eq!(listed, expected, "the newest first");

    // Again at the same position: nothing changes. Of another state: the last word counts.
    snapshots.save(&saved[2]).unwrap();
    assert_eq!(snapshots.list().len(), 3);
    let other = taken(saved[2].head, "another");
    snapshots.save(&other).unwrap();
    assert_eq!(snapshots.latest(u64::MAX), Some(other));
    assert_eq!(snapshots.list().len(), 3);

    // Only of what is durable, and of this history.
    let lazy = journal.append(&batch(7..8), Sync::Lazy).unwrap();
    let elsewhere = Head { root: TreeHash([0; 32]), ..saved[0].head };
    for head in [lazy, elsewhere, Head { size: 99, ..lazy }] {
        let refused = snapshots.save(&taken(head, "state"));
        assert!(
            matches!(refused, Err(JournalError::NotDurable { head: refused }) if refused == head)
        );
    }
    let head = journal.flush().unwrap();
    snapshots.save(&taken(head, "later")).unwrap();
    assert_eq!(snapshots.latest(u64::MAX).unwrap().head, head);
}

#[test]
fn both_journals_keep_snapshots() {
    check(&mut MemoryJournal::new());
    let dir = tempfile::tempdir().unwrap();
    check(&mut SqliteJournal::open(dir.path()).unwrap());
}

#[test]
fn a_crash_keeps_what_was_saved() {
    let mut memory = MemoryJournal::new();
    let dir = tempfile::tempdir().unwrap();
    let mut sqlite = SqliteJournal::open(dir.path()).unwrap();
    let snapshot = taken(grow(&mut memory), "state");
    assert_eq!(grow(&mut sqlite), snapshot.head);
    for journal in [&mut memory as &mut dyn Journal, &mut sqlite] {
        journal.snapshots().save(&snapshot).unwrap();
        journal.append(&batch(1..3), Sync::Lazy).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_store(dir.path(), copy.path());
    let found = SqliteJournal::open(copy.path()).unwrap();
    assert_eq!(found.snapshots().latest(u64::MAX), Some(snapshot.clone()));
    let reader = SqliteJournal::open_read_only(copy.path()).unwrap();
    assert_eq!(reader.snapshots().latest(u64::MAX), Some(snapshot.clone()));
    let refused = reader.snapshots().save(&snapshot);
    assert!(matches!(refused, Err(JournalError::ReadOnly { .. })));
    assert_eq!(memory.crash().snapshots().latest(u64::MAX), Some(snapshot));
}

/// A store with snapshots at 2, 4 and 6 of 7 records.
fn store(dir: &Path) -> Vec<Snapshot> {
    let mut journal = SqliteJournal::open(dir).unwrap();
    let mut saved = Vec::new();
    for n in 0..3 {
        grow(&mut journal);
        let snapshot = taken(grow(&mut journal), &format!("state {n} of three"));
        journal.snapshots().save(&snapshot).unwrap();
        saved.push(snapshot);
    }
    grow(&mut journal);
    saved
}

/// The files of snapshots, the oldest first.
fn snapshot_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(dir.join("snapshots")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn latest(dir: &Path) -> Option<Snapshot> {
    SqliteJournal::open_read_only(dir).unwrap().snapshots().latest(u64::MAX)
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let saved = store(dir.path());
    let files = snapshot_files(dir.path());
    assert_eq!(files.len(), 3);
    let good = fs::read(&files[2]).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&files[2], bad).unwrap();
        assert_eq!(latest(dir.path()).as_ref(), Some(&saved[1]), "byte {at}");
    }
    for length in [0, 7, 40, good.len() - 1] {
        fs::write(&files[2], &good[..length]).unwrap();
        assert_eq!(latest(dir.path()).as_ref(), Some(&saved[1]), "{length} bytes");
    }
    fs::write(&files[2], [&good[..], &[0]].concat()).unwrap();
    assert_eq!(latest(dir.path()).as_ref(), Some(&saved[1]), "a byte too many");
    // Under the name of another position.
    fs::write(&files[2], &good).unwrap();
    let moved = files[2].with_file_name(
        files[2].file_name().unwrap().to_str().unwrap().replacen("00006", "00005", 1),
    );
    fs::rename(&files[2], &moved).unwrap();
    assert_eq!(latest(dir.path()).as_ref(), Some(&saved[1]), "moved");
    fs::remove_file(&moved).unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::write(&files[0], "?").unwrap();
    fs::write(dir.path().join("snapshots/notes.txt"), "not ours").unwrap();
    assert_eq!(latest(dir.path()), None, "none is needed");
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    assert_eq!(latest(dir.path()), None);
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let again = taken(grow(&mut journal), "again");
    journal.snapshots().save(&again).unwrap();
    assert_eq!(latest(dir.path()), Some(again));
}

/// The files of one store beside the records of another: an older copy, or another history.
#[test]
fn a_snapshot_of_another_history_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let kept = taken(grow(&mut journal), "kept");
    journal.snapshots().save(&kept).unwrap();
    let old = tempfile::tempdir().unwrap();
    copy_store(dir.path(), old.path());
    let lost = taken(grow(&mut journal), "lost");
    journal.snapshots().save(&lost).unwrap();
    for file in snapshot_files(dir.path()) {
        fs::copy(&file, old.path().join("snapshots").join(file.file_name().unwrap())).unwrap();
    }
    assert_eq!(latest(old.path()), Some(kept.clone()));
    let mut other = SqliteJournal::open(old.path()).unwrap();
    other.append(&batch(7..8), Sync::Durable).unwrap();
    assert_eq!(other.head().size, lost.head.size);
    assert_eq!(latest(old.path()), Some(kept));
}

#[test]
fn old_snapshots_and_what_a_crash_left_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { snapshots_max: 2, ..Limits::default() };
    let mut journal = SqliteJournal::open_with(dir.path(), limits).unwrap();
    for n in 0..5 {
        let snapshot = taken(grow(&mut journal), &format!("state {n}"));
        fs::create_dir_all(dir.path().join("snapshots")).unwrap();
        fs::write(dir.path().join("snapshots/draft.new"), "half").unwrap();
        journal.snapshots().save(&snapshot).unwrap();
        assert_eq!(snapshot_files(dir.path()).len(), 2.min(n + 1));
    }
    let sizes: Vec<_> = journal.snapshots().list().iter().map(|kept| kept.head.size).collect();
    assert_eq!(sizes, [5, 4]);
}

/// Whatever step of saving fails, the snapshot before it is found and the next save goes through.
#[test]
fn a_save_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let first = taken(grow(&mut journal), "first");
    journal.snapshots().save(&first).unwrap();
    let second = taken(grow(&mut journal), "second");
    // A folder in the place of the draft: it cannot be written.
    let draft = dir.path().join("snapshots/draft.new");
    fs::create_dir_all(draft.join("in the way")).unwrap();
    let error = journal.snapshots().save(&second).unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert_eq!(journal.snapshots().latest(u64::MAX), Some(first));
    fs::remove_dir_all(&draft).unwrap();
    journal.snapshots().save(&second).unwrap();
    assert_eq!(journal.snapshots().latest(u64::MAX), Some(second));
}
