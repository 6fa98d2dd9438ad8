//! Somebody with an SQL shell changes a closed store: verify names the first bad record.

use std::{fs, path::Path};

use libos_abi::{Digest, Seq};
use libos_journal::{
    Batch, BlobDamage, Corruption, Head, Journal, JournalError, SqliteJournal, Sync,
};

use super::{corrupt, filled, tamper};

/// Drops record 4 of 10 and moves the later ones up.
const DROP_AND_RENUMBER: &str = "DELETE FROM record WHERE seq = 4;
    UPDATE record SET seq = -seq WHERE seq > 4; UPDATE record SET seq = -seq - 1 WHERE seq < 0;";

/// Exchanges records 3 and 6 with their leaves.
const SWAP: &str = "UPDATE record SET seq = -1 WHERE seq = 3;
    UPDATE record SET seq = 3 WHERE seq = 6; UPDATE record SET seq = 6 WHERE seq = -1;";

/// Verifies a store of 10 records after `sql`, from an object that was open before: opening anew
/// refuses most of these stores at once.
fn verified(each: bool, sql: &str, against: bool) -> (u64, Corruption) {
    let dir = tempfile::tempdir().unwrap();
    let head = filled(dir.path(), 10, each);
    let journal = SqliteJournal::open(dir.path()).unwrap();
    tamper(dir.path(), sql);
    let found = corrupt(journal.verify(against.then_some(&head)));
    // A reader that comes later refuses the store, or finds it too.
    let later = SqliteJournal::open_read_only(dir.path());
    if let Ok(later) = later {
        let again = later.verify(Some(&head)).unwrap_err();
        assert!(matches!(again, JournalError::Corrupt { .. }), "{again}");
    }
    found
}

#[test]
fn a_changed_record_is_named() {
    for each in [true, false] {
        let flip = "UPDATE record SET body = CAST('Record 7' AS BLOB) WHERE seq = 7";
        assert_eq!(verified(each, flip, false), (7, Corruption::Changed));
        let leaf = "UPDATE record SET leaf = zeroblob(32) WHERE seq = 2";
        assert_eq!(verified(each, leaf, false), (2, Corruption::Changed));
        let text = "UPDATE record SET body = CAST(body AS TEXT) WHERE seq = 5";
        assert_eq!(verified(each, text, false), (5, Corruption::Unreadable));
        let swapped_bodies = "UPDATE record SET body = (SELECT body FROM record WHERE seq = 9)
            WHERE seq = 8";
        assert_eq!(verified(each, swapped_bodies, false), (8, Corruption::Changed));
    }
}

#[test]
fn a_dropped_record_is_named() {
    for each in [true, false] {
        let drop = "DELETE FROM record WHERE seq = 4";
        assert_eq!(verified(each, drop, false), (4, Corruption::Missing));
    }
    // Renumbered, only the roots tell: to the record where each has its own commit.
    let (seq, what) = verified(true, DROP_AND_RENUMBER, false);
    assert_eq!((seq, what), (4, Corruption::Rewritten { last: Seq(4) }));
    let (seq, what) = verified(false, DROP_AND_RENUMBER, false);
    assert_eq!((seq, what), (9, Corruption::Truncated { size: Some(10) }));
}

#[test]
fn swapped_records_are_named() {
    let (seq, what) = verified(true, SWAP, false);
    assert_eq!((seq, what), (3, Corruption::Rewritten { last: Seq(3) }));
    let (seq, what) = verified(false, SWAP, false);
    assert_eq!((seq, what), (0, Corruption::Rewritten { last: Seq(9) }));
}

#[test]
fn an_inserted_record_is_named() {
    let append = "INSERT INTO record SELECT 10, leaf, body FROM record WHERE seq = 0";
    assert_eq!(verified(true, append, false), (10, Corruption::Inserted));
}

#[test]
fn a_truncated_tail_is_found() {
    let truncated = (7, Corruption::Truncated { size: Some(10) });
    for against in [true, false] {
        assert_eq!(verified(true, "DELETE FROM record WHERE seq >= 7", against), truncated);
        // With the head row fixed the head kept elsewhere finds it; an open journal has one.
        let both = "DELETE FROM record WHERE seq >= 7; DELETE FROM batch WHERE size > 7";
        assert_eq!(verified(true, both, against), truncated);
    }
}

/// Everything computed anew, as a thorough forger would: another store of the same size.
#[test]
fn a_forged_store_does_not_fit_a_head_kept_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let head = filled(dir.path(), 10, true);
    let forged = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(forged.path()).unwrap();
    journal.append(&Batch::of((0..12).map(|n| vec![n])), Sync::Durable).unwrap();
    journal.verify(None).unwrap();
    let (seq, what) = corrupt(journal.verify(Some(&head)));
    assert_eq!(seq, 10);
    assert!(matches!(what, Corruption::HeadMismatch { expected, .. } if expected == head));
}

/// Each byte of the database file flipped in turn (a sample): never a wrong record, never a panic.
#[test]
fn no_flipped_byte_gives_a_wrong_record() {
    let dir = tempfile::tempdir().unwrap();
    let head = filled(dir.path(), 40, true);
    let good = fs::read(dir.path().join("journal.db")).unwrap();
    let mut refused = 0;
    for at in (0..good.len()).step_by(97) {
        let store = tempfile::tempdir().unwrap();
        super::copy_store(dir.path(), store.path());
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        fs::write(store.path().join("journal.db"), bad).unwrap();
        refused += usize::from(!is_whole(store.path(), &head));
    }
    assert!(refused > 20, "only {refused} flips were noticed");
}

/// Whether the store gives exactly the records of `head` or refuses.
fn is_whole(dir: &Path, head: &Head) -> bool {
    let Ok(journal) = SqliteJournal::open(dir) else {
        return false;
    };
    let Ok(verified) = journal.verify(Some(head)) else {
        return false;
    };
    assert_eq!(verified, *head);
    assert_eq!(super::all(&journal), super::batch(0..40).records);
    true
}

#[test]
fn reading_checks_each_record() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10, true);
    let journal = SqliteJournal::open(dir.path()).unwrap();
    tamper(dir.path(), "UPDATE record SET body = x'00' WHERE seq = 4");
    assert_eq!(corrupt(journal.read(Seq(2), 10)), (4, Corruption::Changed));
    assert_eq!(journal.read(Seq(2), 2).unwrap().len(), 2);
    tamper(dir.path(), "DELETE FROM record WHERE seq = 3");
    assert_eq!(corrupt(journal.read(Seq(2), 10)), (3, Corruption::Missing));
}

#[test]
fn a_damaged_blob_is_named() {
    let damage = |change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(dir.path()).unwrap();
        let mut batch = Batch::of([b"with a blob".to_vec()]);
        let digest = batch.blob(vec![1; 5000]);
        journal.append(&batch, Sync::Durable).unwrap();
        change(dir.path());
        let found = |result: Result<Digest, JournalError>| match result {
            Err(JournalError::CorruptBlob { digest: bad, what }) if bad == digest => what,
            other => panic!("no damage found: {other:?}"),
        };
        let got = found(journal.blobs().get(&digest).map(|_| digest));
        assert_eq!(found(journal.verify(None).map(|_| digest)), got);
        got
    };
    let segment = |dir: &Path| dir.join("segments/000001.seg");
    let flip = |at: usize| {
        move |dir: &Path| {
            let mut bytes = fs::read(segment(dir)).unwrap();
            bytes[at] ^= 1;
            fs::write(segment(dir), bytes).unwrap();
        }
    };
    assert_eq!(damage(&flip(44 + 2500)), BlobDamage::Changed);
    assert_eq!(damage(&flip(10)), BlobDamage::Changed);
    assert_eq!(damage(&|dir| fs::write(segment(dir), "").unwrap()), BlobDamage::Truncated);
    assert_eq!(damage(&|dir| fs::remove_file(segment(dir)).unwrap()), BlobDamage::NoSegment);
    for sql in ["offset\" = 5", "length\" = 1 << 60", "offset\" = 9223372036854775807"] {
        let update = format!("UPDATE blob SET \"{sql}");
        assert_eq!(damage(&|dir| tamper(dir, &update)), BlobDamage::Truncated, "{sql}");
    }
}
