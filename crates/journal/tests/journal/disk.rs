//! The operating system's own refusals: a file system without space, a limit on file sizes, files
//! that may not be written. Each test runs itself again in a process that has such a disk.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use libos_journal::{Batch, Head, Journal, JournalError, Refusal, SqliteJournal, Sync};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{all, batch, record};

/// Where the process with the bad disk finds it.
const DISK: &str = "LIBOS_TEST_DISK";

/// A file system of 1 MiB in a mount namespace, for the command that follows.
const SMALL: &str = "exec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=1m \
                     none \"$LIBOS_TEST_DISK\" && exec \"$@\"' sh \"$@\"";

/// The folder as it is, on a read-only mount.
const READ_ONLY: &str = "exec unshare --user --map-root-user --mount sh -c 'mount --bind \
                         \"$LIBOS_TEST_DISK\" \"$LIBOS_TEST_DISK\" && mount -o remount,bind,ro \
                         \"$LIBOS_TEST_DISK\" && exec \"$@\"' sh \"$@\"";

/// Files of 512 KiB at the most, for the command that follows.
const SHORT_FILES: &str = "trap '' XFSZ; ulimit -S -f 1024; exec \"$@\"";

/// Runs a command in a shell that first makes the folder `disk` a bad disk.
fn run_on(script: &str, disk: &Path, command: &[&OsStr]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).args(command).env(DISK, disk).stdin(Stdio::null());
    shell.output().unwrap()
}

/// Runs the ignored test `name` there.
fn test_on(script: &str, disk: &Path, name: &str) {
    let test = std::env::current_exe().unwrap();
    let name = format!("disk::{name}");
    let args = ["--exact", &name, "--ignored", "--nocapture"].map(OsStr::new);
    let command: Vec<&OsStr> = std::iter::once(test.as_os_str()).chain(args).collect();
    must_pass(&run_on(script, disk, &command));
}

fn must_pass(out: &Output) {
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

/// What this process was started for; `None` when the test was called by hand.
fn disk() -> Option<PathBuf> {
    std::env::var_os(DISK).map(Into::into)
}

/// A batch that takes space in both kinds of files.
fn large(at: usize) -> Batch {
    let mut batch = Batch::of((0..8).map(|n| [record(at + n), vec![b'r'; 4000]].concat()));
    batch.blob(vec![at as u8; 40_000]);
    batch
}

/// Fills the store until it refuses; gives the head before the refusal and the batch refused.
fn fill(journal: &mut SqliteJournal, expected: &mut Vec<Vec<u8>>) -> (Head, Batch, Refusal) {
    for at in (0..100_000).step_by(8) {
        let (before, next) = (journal.head(), large(at));
        match journal.append(&next, Sync::Durable) {
            Ok(_) => expected.extend(next.records),
            Err(JournalError::Storage { refusal, .. }) => return (before, next, refusal),
            Err(error) => panic!("not a refusal of the disk: {error}"),
        }
    }
    panic!("the disk never refused");
}

/// While the disk refuses nothing counts and nothing is lost; the same call on the same object goes
/// through once it does not, and the store is whole for who opens it next.
fn refuses_and_goes_on(dir: &Path, why: &[Refusal], mend: impl FnOnce()) {
    let mut journal = SqliteJournal::open(dir).unwrap();
    let mut expected = Vec::new();
    let (before, refused, refusal) = fill(&mut journal, &mut expected);
    assert!(why.contains(&refusal), "{refusal:?}");
    for _ in 0..5 {
        let error = journal.append(&refused, Sync::Durable).unwrap_err();
        assert!(error.may_pass(), "{error}");
        assert_eq!((journal.head(), all(&journal)), (before, expected.clone()));
    }
    // What waits in memory is kept as well.
    let lazy = journal.append(&batch(0..3), Sync::Lazy).unwrap();
    expected.extend(batch(0..3).records);
    journal.append(&refused, Sync::Durable).unwrap_err();
    assert_eq!((journal.head(), all(&journal)), (lazy, expected.clone()));
    mend();
    expected.extend(refused.records.clone());
    let head = journal.append(&refused, Sync::Durable).unwrap();
    assert_eq!(all(&journal), expected);
    assert_eq!(journal.verify(Some(&before)).unwrap(), head);
    drop(journal);
    let journal = SqliteJournal::open(dir).unwrap();
    assert_eq!(journal.verify(Some(&head)).unwrap(), head);
    assert_eq!(all(&journal), expected);
}

#[test]
fn a_limit_on_file_sizes_is_a_refusal_that_passes() {
    let dir = tempfile::tempdir().unwrap();
    test_on(SHORT_FILES, dir.path(), "with_a_limit_on_file_sizes");
}

#[test]
#[ignore = "the other process of `a_limit_on_file_sizes_is_a_refusal_that_passes`"]
fn with_a_limit_on_file_sizes() {
    let Some(dir) = disk() else { return };
    refuses_and_goes_on(&dir, &[Refusal::Full, Refusal::Io], || {
        let hard = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: hard, maximum: hard }).unwrap();
    });
}

/// Needs a mount namespace; where the host gives none the test says so and looks at nothing.
#[test]
fn a_full_disk_is_a_refusal_that_passes() {
    let dir = tempfile::tempdir().unwrap();
    if !run_on(SMALL, dir.path(), &[OsStr::new("true")]).status.success() {
        println!("skipped: no mount namespace here");
        return;
    }
    test_on(SMALL, dir.path(), "on_a_full_disk");
}

#[test]
#[ignore = "the other process of `a_full_disk_is_a_refusal_that_passes`"]
fn on_a_full_disk() {
    let Some(dir) = disk() else { return };
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 300 << 10]).unwrap();
    refuses_and_goes_on(&dir.join("store"), &[Refusal::Full], || {
        fs::remove_file(&ballast).unwrap();
    });
}

/// Needs root and a file system with the flag; elsewhere the test says so and looks at nothing.
#[test]
fn files_that_may_not_be_written_are_a_refusal_that_passes() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    let before = journal.append(&large(0), Sync::Durable).unwrap();
    let log = dir.path().join("journal.db-wal");
    let flag = |flag: &str| {
        let done = Command::new("chattr").arg(flag).arg(&log).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    if !flag("+i") {
        println!("skipped: no file can be made immutable here");
        return;
    }
    let refused = journal.append(&large(8), Sync::Durable);
    let kept = (journal.head(), journal.verify(None).ok());
    assert!(flag("-i"));
    let error = refused.unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert_eq!(kept, (before, Some(before)));
    let head = journal.append(&large(8), Sync::Durable).unwrap();
    assert_eq!(journal.verify(Some(&before)).unwrap(), head);
}

/// Needs a mount namespace, like the full disk.
#[test]
fn a_store_on_a_read_only_file_system_can_be_read() {
    let base = tempfile::tempdir().unwrap();
    if !run_on(READ_ONLY, base.path(), &[OsStr::new("true")]).status.success() {
        println!("skipped: no mount namespace here");
        return;
    }
    // As a clean end left it, and as a kill did, with a name that means something in a URI.
    let clean = base.path().join("clean?mode=memory#%41");
    let head = super::filled(&clean, 10, true);
    let (live, killed) = (base.path().join("live"), base.path().join("killed"));
    super::copy_store(&clean, &live);
    let mut journal = SqliteJournal::open(&live).unwrap();
    journal.append(&large(10), Sync::Durable).unwrap();
    super::copy_store(&live, &killed);
    drop(journal);
    assert!(!clean.join("journal.db-wal").exists() && killed.join("journal.db-wal").exists());
    fs::write(base.path().join("head"), head.to_string()).unwrap();
    test_on(READ_ONLY, base.path(), "on_a_read_only_file_system");
}

#[test]
#[ignore = "the other process of `a_store_on_a_read_only_file_system_can_be_read`"]
fn on_a_read_only_file_system() {
    let Some(base) = disk() else { return };
    let head: Head = fs::read_to_string(base.join("head")).unwrap().parse().unwrap();
    for (name, size) in [("clean?mode=memory#%41", 10), ("killed", 18)] {
        let store = base.join(name);
        let reader = SqliteJournal::open_read_only(&store).unwrap();
        assert_eq!(reader.verify(Some(&head)).unwrap().size, size, "{name}");
        assert_eq!(all(&reader)[..10], batch(0..10).records);
        let error = SqliteJournal::open(&store).unwrap_err();
        assert!(
            matches!(error, JournalError::Storage { refusal: Refusal::ReadOnly, .. }),
            "{error}"
        );
    }
}
