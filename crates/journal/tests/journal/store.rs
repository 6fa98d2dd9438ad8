//! Opening: locks, readers beside the writer, formats, stores that are not whole.

use std::{fs, path::Path, process::Command};

use libos_abi::Seq;
use libos_journal::{Batch, Corruption, FORMAT, Journal, JournalError, SqliteJournal, Sync};

use super::{all, batch, corrupt, filled, record, tamper};

#[test]
fn a_store_is_found_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("deep/down");
    let head = filled(&store, 10, true);
    let mut journal = SqliteJournal::open(&store).unwrap();
    assert_eq!(journal.head(), head);
    let head = journal.append(&batch(10..20), Sync::Lazy).unwrap();
    drop(journal); // A clean close loses nothing, and leaves one file for SQL readers to open.
    assert!(!store.join("journal.db-wal").exists());
    let journal = SqliteJournal::open(&store).unwrap();
    assert_eq!((journal.head(), all(&journal)), (head, batch(0..20).records));
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
}

/// Past several kept frontiers, with batches that end beside them.
#[test]
fn a_long_store_is_found_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    for group in 0..30 {
        let head = journal.append(&batch(group * 999..(group + 1) * 999), Sync::Durable).unwrap();
        if group % 7 == 0 {
            drop(journal);
            journal = SqliteJournal::open(dir.path()).unwrap();
            assert_eq!(journal.head(), head);
        }
    }
    let head = journal.head();
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
    drop(journal);
    // The kept frontier is a cache: a store works without it, and a wrong one is not believed.
    for sql in ["UPDATE frontier SET peaks = zeroblob(length(peaks))", "DELETE FROM frontier"] {
        tamper(dir.path(), sql);
        assert_eq!(SqliteJournal::open(dir.path()).unwrap().head(), head);
    }
}

/// So many that pages are read ahead, of all sizes, with some that wait in memory.
#[test]
fn many_records_are_visited_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let long =
        |n: usize| [record(n), vec![b'x'; if n.is_multiple_of(1500) { 900_000 } else { n % 50 }]];
    let records: Vec<_> = (0..20_000).map(|n| long(n).concat()).collect();
    for group in records[..19_000].chunks(3000) {
        journal.append(&Batch::of(group.iter().cloned()), Sync::Durable).unwrap();
    }
    for record in &records[19_000..] {
        journal.append(&Batch::of([record.clone()]), Sync::Lazy).unwrap();
    }
    for (from, limit) in [(0, 30_000), (7, 30_000), (0, 9000), (18_995, 500), (19_500, 30_000)] {
        let mut at = from;
        let each = &mut |seq: Seq, body: &[u8]| {
            assert_eq!((seq.0, body), (at as u64, &*records[at]));
            at += 1;
            at < limit
        };
        journal.scan(Seq(from as u64), each).unwrap();
        assert_eq!(at, limit.max(from + 1).min(records.len()), "from {from}");
    }
    // What is wrong is found where it stands, after what is good.
    drop(journal);
    tamper(dir.path(), "UPDATE record SET body = x'00' WHERE seq = 12345");
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let mut seen = 0;
    let each = &mut |_, _: &[u8]| {
        seen += 1;
        true
    };
    assert_eq!(corrupt(journal.scan(Seq(0), each)), (12_345, Corruption::Changed));
    assert!(seen <= 12_345 && seen > 12_345 - 4096, "{seen}");
}

#[test]
fn a_store_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).unwrap();
    let error = SqliteJournal::open(dir.path()).unwrap_err();
    let pid = std::process::id();
    assert!(
        matches!(&error, JournalError::Locked { path, holder: Some(holder) }
            if path == dir.path() && *holder == pid),
        "{error}"
    );
    assert!(error.to_string().contains(&format!("in use by process {pid}: stop")), "{error}");
    drop(journal);
    SqliteJournal::open(dir.path()).unwrap();
}

/// The lock is the process's: it holds against others and dies with its holder.
#[test]
fn the_lock_dies_with_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::hold_a_store", "--ignored", "--nocapture"])
        .env("HELD_STORE", dir.path())
        .spawn()
        .unwrap();
    while !ready.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the holder ended early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let error = SqliteJournal::open(dir.path()).unwrap_err();
    let holder = child.id();
    assert!(matches!(error, JournalError::Locked { holder: Some(id), .. } if id == holder));
    let reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    assert_eq!(all(&reader), batch(0..3).records);
    child.kill().unwrap();
    child.wait().unwrap();
    // The lazy records of the killed process are gone, the durable ones are not.
    let journal = SqliteJournal::open(dir.path()).unwrap();
    assert_eq!(all(&journal), batch(0..3).records);
}

#[test]
#[ignore = "the other process of `the_lock_dies_with_its_process`"]
fn hold_a_store() {
    let Some(dir) = std::env::var_os("HELD_STORE") else {
        return;
    };
    let mut journal = SqliteJournal::open(Path::new(&dir)).unwrap();
    journal.append(&batch(0..3), Sync::Durable).unwrap();
    journal.append(&batch(3..5), Sync::Lazy).unwrap();
    fs::write(Path::new(&dir).join("ready"), "").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn a_reader_sees_what_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        SqliteJournal::open_read_only(&dir.path().join("none")),
        Err(JournalError::Absent { .. })
    ));
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let mut first = batch(0..2);
    let digest = first.blob(*b"payload");
    let head = journal.append(&first, Sync::Durable).unwrap();
    journal.append(&batch(2..3), Sync::Lazy).unwrap();
    let mut reader = SqliteJournal::open_read_only(dir.path()).unwrap();
    assert_eq!((reader.head(), all(&reader)), (head, batch(0..2).records));
    assert_eq!(*reader.blobs().get(&digest).unwrap(), *b"payload");
    assert!(matches!(reader.append(&batch(0..1), Sync::Lazy), Err(JournalError::ReadOnly { .. })));

    // It stands still until it is told to move on; verify looks at the store as it is now.
    let later = journal.append(&batch(3..5), Sync::Durable).unwrap();
    assert_eq!((reader.head(), all(&reader).len()), (head, 2));
    assert_eq!(reader.verify(Some(&head)).unwrap(), later);
    assert_eq!(reader.refresh().unwrap(), later);
    assert_eq!(all(&reader), batch(0..5).records);
    drop(journal);
    assert_eq!(SqliteJournal::open_read_only(dir.path()).unwrap().head(), later);
}

#[test]
fn an_unknown_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3, true);
    let refused = |found: &str| {
        for opened in [SqliteJournal::open(dir.path()), SqliteJournal::open_read_only(dir.path())] {
            let error = opened.unwrap_err().to_string();
            let both = format!("has format {found}, and this program reads formats 1 to {FORMAT}:");
            assert!(error.contains(&both), "{error}");
        }
    };
    tamper(dir.path(), "UPDATE meta SET value = 99 WHERE key = 'format'");
    refused("99");
    tamper(dir.path(), "UPDATE meta SET value = x'c3' WHERE key = 'format'");
    SqliteJournal::open(dir.path()).unwrap_err();
    tamper(dir.path(), "DELETE FROM meta WHERE key = 'format'");
    refused("none");
    tamper(dir.path(), "DROP TABLE meta");
    refused("none");
}

#[test]
fn a_store_that_is_not_whole_is_refused() {
    let damage = |damage: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(dir.path()).unwrap();
        let mut first = batch(0..5);
        first.blob(vec![1; 5000]);
        journal.append(&first, Sync::Durable).unwrap();
        drop(journal);
        damage(dir.path());
        let error = SqliteJournal::open(dir.path()).unwrap_err();
        SqliteJournal::open_read_only(dir.path()).unwrap_err();
        error
    };
    let is_damaged = |error| matches!(error, JournalError::Damaged { .. });
    assert!(is_damaged(damage(&|dir| fs::remove_file(dir.join("journal.db")).unwrap())));
    assert!(is_damaged(damage(&|dir| fs::remove_file(dir.join("segments/000001.seg")).unwrap())));
    assert!(is_damaged(damage(&|dir| {
        fs::OpenOptions::new()
            .write(true)
            .open(dir.join("segments/000001.seg"))
            .and_then(|file| file.set_len(4000))
            .unwrap();
    })));
    assert!(is_damaged(damage(&|dir| fs::write(dir.join("journal.db"), [b'?'; 9000]).unwrap())));
    let emptied = damage(&|dir| fs::write(dir.join("journal.db"), "").unwrap());
    assert!(matches!(emptied, JournalError::Format { .. }), "{emptied}");
    let of = |sql: &str| corrupt::<()>(Err(damage(&|dir| tamper(dir, sql))));
    let truncated = Corruption::Truncated { size: Some(5) };
    assert_eq!(of("DELETE FROM record WHERE seq >= 3"), (3, truncated));
    assert_eq!(of("DELETE FROM record WHERE seq IN (1, 3)"), (1, Corruption::Missing));
    assert_eq!(of("DELETE FROM record WHERE seq = 0"), (0, Corruption::Missing));
    assert_eq!(of("INSERT INTO record VALUES (5, zeroblob(32), x'')"), (5, Corruption::Inserted));
    assert_eq!(of("INSERT INTO record VALUES (-1, zeroblob(32), x'')"), (0, Corruption::Inserted));
    assert_eq!(of("UPDATE record SET leaf = 'text' WHERE seq = 2"), (2, Corruption::Unreadable));
    let other_leaf = of("UPDATE record SET leaf = zeroblob(32) WHERE seq = 2");
    assert!(matches!(other_leaf, (5, Corruption::HeadMismatch { .. })), "{other_leaf:?}");
}

/// A store whose creation was cut short is created, not refused.
#[test]
fn a_half_created_store_is_created() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("segments")).unwrap();
    fs::write(dir.path().join("lock"), "123").unwrap();
    fs::write(dir.path().join("journal.db.new"), "half").unwrap();
    assert_eq!(SqliteJournal::open(dir.path()).unwrap().head().size, 0);
}
