//! What must hold of files, on real folders, by both ways of walking.

use std::{
    collections::BTreeMap,
    fs::{self as host, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use libos_abi::{
    Digest, Folder, FsPath, Millis, OpId, Reply, Syscall, Text,
    fs::{
        Append, Delete, Edit, FileKind, Glob, List, Mkdir, Patch, Read, Rename, Search, Stat,
        Watch, Write,
    },
};
use libos_port::{EffectOutcome, Provider, Reconciled};
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

use super::{FsProvider, Mounted, mount::Walk, write};
use crate::testing::{call, order};

const WALKS: [Walk; 2] = [Walk::Kernel, Walk::Steps];

fn provider(walk: Walk) -> FsProvider {
    FsProvider::build(BTreeMap::new(), walk)
}

fn at(path: &str) -> FsPath {
    FsPath::from(format!("workspace/{path}").trim_end_matches('/'))
}
fn read(path: &str) -> Read {
    Read { path: at(path), max_bytes: None }
}
fn write(path: &str, text: &str) -> Write {
    Write { path: at(path), text: Text::from(text), overwrite: None, expected_digest: None }
}
fn write_new(path: &str, text: &str) -> Write {
    Write { overwrite: Some(false), ..write(path, text) }
}
fn list(path: &str) -> List {
    List { path: Folder(Some(at(path))), limit: None }
}
fn mkdir(path: &str) -> Mkdir {
    Mkdir { path: at(path), parents: Some(true) }
}
fn delete(path: &str) -> Delete {
    Delete { path: at(path), missing_ok: None, expected_digest: None }
}
fn stat(path: &str) -> Stat {
    Stat { path: at(path) }
}

/// The code of what a call ends in.
macro_rules! code {
    ($provider:expr, $dir:expr, $call:expr) => {
        call(&$provider, $dir.path(), $call).await.map(|_| ()).unwrap_err()
    };
}
macro_rules! done {
    ($provider:expr, $dir:expr, $call:expr) => {
        call(&$provider, $dir.path(), $call).await.unwrap()
    };
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

#[tokio::test]
async fn a_file_is_written_read_listed_and_removed() {
    for walk in WALKS {
        let (files, dir) = (provider(walk), folder());
        assert!(done!(files, dir, mkdir("a/b")).created);
        assert!(!done!(files, dir, mkdir("a/b")).created);
        assert!(!done!(files, dir, mkdir("a/b/..x")).path.0.is_empty());
        let made = done!(files, dir, write("a/b/c.txt", "héllo"));
        assert!(made.created);
        assert_eq!((made.bytes, made.digest), (6, Digest::of("héllo".as_bytes())));
        assert!(!done!(files, dir, write("a/b/c.txt", "two")).created);
        let text = done!(files, dir, read("a/b/c.txt"));
        assert_eq!((text.text.as_str(), text.bytes, text.truncated), (Some("two"), 3, false));
        assert_eq!(text.digest, Digest::of(b"two"));
        let listing = done!(files, dir, list("a/b"));
        let names: Vec<_> = listing.entries.iter().map(|e| (&*e.name, e.kind, e.bytes)).collect();
        assert_eq!(names, [("..x", FileKind::Dir, 0), ("c.txt", FileKind::File, 3)]);
        let found = done!(files, dir, stat("a/b/c.txt"));
        assert_eq!((found.kind, found.bytes), (FileKind::File, 3));
        assert!(found.modified_at_ms > 1_600_000_000_000);
        assert!(done!(files, dir, delete("a/b/c.txt")).removed);
        assert_eq!(code!(files, dir, delete("a/b/c.txt")), "not_found");
        let missing_ok = Some(true);
        assert!(!done!(files, dir, Delete { missing_ok, ..delete("a/b/c.txt") }).removed);
        assert!(!done!(files, dir, Delete { missing_ok, ..delete("no/such") }).removed);
        assert!(done!(files, dir, delete("a/b/..x")).removed);
        assert!(done!(files, dir, delete("a/b")).removed);
        let root = Stat { path: FsPath::from("workspace") };
        assert_eq!(done!(files, dir, root).kind, FileKind::Dir);
        let cwd = List { path: Folder(None), limit: None };
        assert_eq!(done!(files, dir, cwd).entries.len(), 1);
    }
}

#[tokio::test]
async fn every_failure_has_its_code() {
    for walk in WALKS {
        let (files, dir) = (provider(walk), folder());
        host::write(dir.path().join("file"), "x").unwrap();
        host::create_dir_all(dir.path().join("full/er")).unwrap();
        host::create_dir_all(dir.path().join(".git")).unwrap();
        host::write(dir.path().join(".git/HEAD"), "ref").unwrap();
        host::write(dir.path().join("bytes"), b"a\xff").unwrap();
        host::write(dir.path().join("half"), b"a\xc3").unwrap();
        assert_eq!(code!(files, dir, read("none")), "not_found");
        assert_eq!(code!(files, dir, read("none/none")), "not_found");
        assert_eq!(code!(files, dir, read("file/none")), "not_found");
        assert_eq!(code!(files, dir, read("full")), "not_a_file");
        let root = || FsPath::from("workspace");
        assert_eq!(code!(files, dir, Read { path: root(), max_bytes: None }), "not_a_file");
        assert_eq!(code!(files, dir, read("bytes")), "not_text");
        assert_eq!(code!(files, dir, read("half")), "not_text");
        assert_eq!(code!(files, dir, edit("bytes", "a", "b")), "not_text");
        let diff = Text::from("@@ -1 +1 @@\n-a\n+b\n");
        let patch = Patch { path: at("bytes"), diff, expected_digest: None };
        assert_eq!(code!(files, dir, patch), "not_text");
        assert_eq!(code!(files, dir, write("none/f", "")), "not_found");
        assert_eq!(code!(files, dir, write("file/f", "")), "not_found");
        assert_eq!(code!(files, dir, write("full", "")), "not_a_file");
        assert_eq!(code!(files, dir, Write { path: root(), ..write("", "") }), "-not_a_file");
        assert_eq!(code!(files, dir, write_new("file", "")), "exists");
        assert_eq!(code!(files, dir, write("f", &"x".repeat(1_048_577))), "-too_large");
        let text = Text::blob(Digest::of(b""), 9);
        assert_eq!(code!(files, dir, Write { text, ..write("f", "") }), "-provider_failed");
        assert_eq!(code!(files, dir, list("file")), "not_a_folder");
        assert_eq!(code!(files, dir, list("none")), "not_found");
        assert_eq!(code!(files, dir, mkdir("file")), "exists");
        assert_eq!(code!(files, dir, mkdir("file/deep")), "exists");
        let parents = Some(false);
        assert_eq!(code!(files, dir, Mkdir { parents, ..mkdir("n/n") }), "not_found");
        assert_eq!(code!(files, dir, delete("full")), "not_empty");
        assert_eq!(code!(files, dir, Delete { path: root(), ..delete("") }), "-bad_target");
        assert_eq!(code!(files, dir, stat("none")), "not_found");
        assert_eq!(code!(files, dir, stat("file/none")), "not_found");
        for kept in [".git/HEAD", ".git/new", "full/.GIT/x", "libos.toml", "full/Libos.toml"] {
            assert_eq!(code!(files, dir, write(kept, "")), "-not_permitted");
        }
        assert_eq!(code!(files, dir, mkdir("libos.toml")), "-not_permitted");
        assert_eq!(code!(files, dir, delete("libos.toml")), "-not_permitted");
        assert_eq!(code!(files, dir, delete(".git/HEAD")), "-not_permitted");
        assert_eq!(code!(files, dir, mkdir(".git/hooks")), "-not_permitted");
        assert_eq!(done!(files, dir, read(".git/HEAD")).bytes, 3);
        assert_eq!(code!(files, dir, write(".libos-op-9.tmp", "")), "-not_permitted");
        assert_eq!(code!(files, dir, read("../x")), "-outside_mount");
        assert_eq!(code!(files, dir, read("a//b")), "-outside_mount");
        assert_eq!(code!(files, dir, Stat { path: FsPath::from("other/x") }), "-bad_target");
        let gone = dir.path().join("gone");
        assert_eq!(call(&files, &gone, read("x")).await.unwrap_err(), "bad_target");
    }
}

#[tokio::test]
async fn no_symbolic_link_is_followed() {
    for walk in WALKS {
        let (files, dir, other) = (provider(walk), folder(), folder());
        host::write(other.path().join("secret"), "secret").unwrap();
        host::create_dir(dir.path().join("real")).unwrap();
        host::write(dir.path().join("real/f"), "inside").unwrap();
        let link = |to: &Path, name: &str| symlink(to, dir.path().join(name)).unwrap();
        link(&other.path().join("secret"), "file-out");
        link(other.path(), "dir-out");
        link(Path::new("real/f"), "file-in");
        link(Path::new("real"), "dir-in");
        link(Path::new("nowhere"), "dangling");
        link(Path::new("/proc/self/root"), "magic");
        link(Path::new("loop"), "loop");
        for name in ["file-out", "file-in", "dangling", "loop", "dir-in", "dir-out", "magic"] {
            assert_eq!(code!(files, dir, read(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, write(name, "x")), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, write_new(name, "x")), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, delete(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, mkdir(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, list(name)), "outside_mount", "{name}");
            assert_eq!(done!(files, dir, stat(name)).kind, FileKind::Symlink);
        }
        for name in ["dir-in/f", "dir-out/secret", "magic/etc/passwd", "dir-out/a/b", "loop/x"] {
            assert_eq!(code!(files, dir, read(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, write(name, "x")), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, delete(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, mkdir(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, stat(name)), "outside_mount", "{name}");
            assert_eq!(code!(files, dir, list(name)), "outside_mount", "{name}");
        }
        let listing = done!(files, dir, List { path: Folder(None), limit: None });
        let links = listing.entries.iter().filter(|entry| entry.kind == FileKind::Symlink);
        assert_eq!(links.count(), 7);
        assert_eq!(host::read_to_string(other.path().join("secret")).unwrap(), "secret");
        assert_eq!(host::read_to_string(dir.path().join("real/f")).unwrap(), "inside");
        assert_eq!(host::read_dir(other.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_file_with_a_second_name_is_not_touched() {
    let (files, dir, other) = (FsProvider::new(), folder(), folder());
    let secret = other.path().join("secret");
    host::write(&secret, "secret").unwrap();
    host::hard_link(&secret, dir.path().join("out")).unwrap();
    host::write(dir.path().join("a"), "a").unwrap();
    host::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    for name in ["out", "a", "b"] {
        assert_eq!(code!(files, dir, read(name)), "outside_mount");
        assert_eq!(code!(files, dir, write(name, "x")), "outside_mount");
    }
    assert_eq!(host::read_to_string(&secret).unwrap(), "secret");
    // Removing a name leaves the other one be.
    assert!(done!(files, dir, delete("out")).removed);
    assert!(done!(files, dir, delete("b")).removed);
    assert_eq!(host::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(done!(files, dir, read("a")).bytes, 1);
}

#[tokio::test]
async fn special_files_are_never_opened() {
    let (files, dir) = (FsProvider::new(), folder());
    let fifo = dir.path().join("fifo");
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        let reads = call(&files, dir.path(), read(name));
        let reads = tokio::time::timeout(Duration::from_secs(20), reads).await;
        assert_eq!(reads.expect("it does not hang").unwrap_err(), "not_a_file");
        assert_eq!(code!(files, dir, write(name, "x")), "not_a_file");
        assert_eq!(code!(files, dir, delete(name)), "not_permitted");
        assert_eq!(done!(files, dir, stat(name)).kind, FileKind::Other);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_the_old_content_or_the_new() {
    let (files, dir) = (FsProvider::new(), folder());
    let (one, two) = ("1".repeat(300_000), "2".repeat(200_000));
    done!(files, dir, write("f", &one));
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (stop, file) = (Arc::clone(&stop), dir.path().join("f"));
        let (one, two) = (one.clone(), two.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let text = host::read_to_string(&file).unwrap();
                assert!(text == one || text == two, "{} bytes", text.len());
            }
        })
    };
    let writes = (0..40).map(|turn| {
        let (files, path) = (files.clone(), dir.path().to_owned());
        let mut order = order(&path, write("f", if turn % 2 == 0 { &two } else { &one }));
        order.op = OpId(100 + turn);
        tokio::spawn(async move { files.perform(order).await })
    });
    for write in writes.collect::<Vec<_>>() {
        assert!(matches!(write.await.unwrap(), EffectOutcome::Done(_)));
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert_eq!(host::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_mode_of_a_replaced_file_is_kept() {
    let (files, dir) = (FsProvider::new(), folder());
    let script = dir.path().join("run.sh");
    host::write(&script, "a").unwrap();
    for mode in [0o755, 0o640] {
        host::set_permissions(&script, Permissions::from_mode(mode)).unwrap();
        done!(files, dir, write("run.sh", "b"));
        assert_eq!(host::metadata(&script).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[tokio::test]
async fn long_files_are_cut_at_a_character() {
    let (files, dir) = (FsProvider::new(), folder());
    host::write(dir.path().join("e"), "é".repeat(600_000)).unwrap();
    let text = done!(files, dir, Read { max_bytes: Some(5), ..read("e") });
    assert_eq!((text.text.as_str(), text.bytes, text.truncated), (Some("éé"), 4, true));
    assert_eq!(text.digest, Digest::of("éé".as_bytes()));
    assert_eq!(done!(files, dir, read("e")).bytes, 65_536);
    let text = done!(files, dir, Read { max_bytes: Some(u32::MAX), ..read("e") });
    assert_eq!((text.bytes, text.truncated), (1_048_576, true));
    let text = done!(files, dir, Read { max_bytes: Some(0), ..read("e") });
    assert_eq!((text.bytes, text.truncated), (0, true));
    host::write(dir.path().join("exact"), "abc").unwrap();
    let text = done!(files, dir, Read { max_bytes: Some(3), ..read("exact") });
    assert!(!text.truncated);
    let sparse = host::File::create(dir.path().join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert_eq!(done!(files, dir, read("sparse")).bytes, 65_536);
    assert_eq!(done!(files, dir, write("max", &"x".repeat(1_048_576))).bytes, 1_048_576);
}

#[tokio::test]
async fn odd_names_are_names() {
    let (files, dir) = (FsProvider::new(), folder());
    let names = ["new\nline", "*", "a:b", "ünï", " ", "-rf", "a\\b", "%2e%2e", "..."];
    for name in names {
        done!(files, dir, write(name, name));
        assert_eq!(done!(files, dir, read(name)).text.as_str(), Some(name));
    }
    let listing = done!(files, dir, List { path: Folder(None), limit: None });
    let mut sorted = names;
    sorted.sort_unstable();
    assert!(listing.entries.iter().map(|entry| &*entry.name).eq(sorted));
    let odd = std::ffi::OsStr::new("x");
    let odd = [odd.as_encoded_bytes(), b"\xff"].concat();
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&odd).to_owned();
    host::write(dir.path().join(odd), "").unwrap();
    let listing = done!(files, dir, List { path: Folder(None), limit: None });
    assert!(listing.entries.iter().any(|entry| entry.name == "x\u{fffd}"));
}

#[tokio::test]
async fn a_listing_is_limited_to_its_first_names() {
    let (files, dir) = (FsProvider::new(), folder());
    for number in 0..1_100 {
        host::write(dir.path().join(format!("{number:04}")), "").unwrap();
    }
    host::write(dir.path().join(".libos-op-3.tmp"), "").unwrap();
    let some = |limit| List { path: Folder(None), limit };
    let listing = done!(files, dir, some(None));
    assert_eq!((listing.entries.len(), listing.truncated), (1_024, true));
    assert_eq!(listing.entries[1_023].name, "1023");
    let listing = done!(files, dir, some(Some(u32::MAX)));
    assert_eq!((listing.entries.len(), listing.truncated), (1_100, false));
    let listing = done!(files, dir, some(Some(0)));
    assert_eq!((listing.entries.len(), listing.truncated), (0, true));
    assert!(!done!(files, dir, some(Some(1_100))).truncated);
}

#[tokio::test]
async fn leftovers_of_a_crash_go_with_the_next_run() {
    let (files, dir) = (FsProvider::new(), folder());
    let leftover = dir.path().join(".libos-op-7.tmp");
    assert!(write::is_temporary(b".libos-op-7.tmp"));
    for text in ["half", ""] {
        host::write(&leftover, text).unwrap();
        done!(files, dir, write("f", "whole"));
        assert!(!leftover.exists());
    }
    // A failed write leaves nothing either.
    assert_eq!(code!(files, dir, write_new("f", "x")), "exists");
    assert_eq!(host::read_dir(dir.path()).unwrap().count(), 1);
    // A planted link under the temporary name is removed, not followed.
    symlink(dir.path().join("f"), &leftover).unwrap();
    done!(files, dir, write("g", "g"));
    assert_eq!(host::read_to_string(dir.path().join("f")).unwrap(), "whole");
}

async fn ask(files: &FsProvider, dir: &Path, call: impl Into<Syscall>) -> Reconciled {
    files.reconcile(order(dir, call)).await
}

#[tokio::test]
async fn a_crashed_write_is_told_by_its_content() {
    let (files, dir) = (FsProvider::new(), folder());
    let leftover = dir.path().join(".libos-op-7.tmp");
    host::write(&leftover, "half").unwrap();
    let path = dir.path();
    assert_eq!(ask(&files, path, write("f", "text")).await, Reconciled::DidNotHappen);
    assert!(!leftover.exists());
    host::write(path.join("f"), "other").unwrap();
    assert_eq!(ask(&files, path, write("f", "text")).await, Reconciled::DidNotHappen);
    host::write(path.join("f"), "text").unwrap();
    for (call, created) in [(write("f", "text"), false), (write_new("f", "text"), true)] {
        let Reconciled::Happened(Reply::Fs(libos_abi::fs::Reply::Write(written))) =
            ask(&files, path, call).await
        else {
            panic!("it happened");
        };
        assert_eq!((written.created, written.digest), (created, Digest::of(b"text")));
    }
    // As the rename that replaces nothing leaves it where it is done with two names.
    host::hard_link(path.join("f"), &leftover).unwrap();
    assert!(matches!(ask(&files, path, write("f", "text")).await, Reconciled::Happened(_)));
    symlink("f", path.join("l")).unwrap();
    assert_eq!(ask(&files, path, write("l", "text")).await, Reconciled::DidNotHappen);
    assert_eq!(ask(&files, path, write("no/f", "text")).await, Reconciled::DidNotHappen);
    assert_eq!(ask(&files, &path.join("gone"), write("f", "")).await, Reconciled::Unknown);
    assert_eq!(ask(&files, path, mkdir("d")).await, Reconciled::DidNotHappen);
}

#[tokio::test]
async fn a_crashed_removal_is_told_by_what_is_there() {
    let (files, dir) = (FsProvider::new(), folder());
    let path = dir.path();
    assert!(matches!(ask(&files, path, delete("f")).await, Reconciled::Happened(_)));
    assert!(matches!(ask(&files, path, delete("no/f")).await, Reconciled::Happened(_)));
    host::write(path.join("f"), "").unwrap();
    assert_eq!(ask(&files, path, delete("f")).await, Reconciled::DidNotHappen);
}

#[tokio::test]
async fn further_mounts_have_their_own_folders() {
    let (docs, dir) = (folder(), folder());
    host::write(docs.path().join("f"), "docs").unwrap();
    let mounts = BTreeMap::from([("docs".to_owned(), Mounted::read_write(docs.path()))]);
    let files = FsProvider::with_mounts(mounts);
    let text = done!(files, dir, Read { path: FsPath::from("docs/f"), max_bytes: None });
    assert_eq!(text.text.as_str(), Some("docs"));
    assert_eq!(code!(files, dir, read("f")), "not_found");
    let mut order = order(dir.path(), read("f"));
    order.workspace = None;
    let EffectOutcome::NotStarted(error) = files.perform(order).await else {
        panic!("there is no workspace");
    };
    assert_eq!(error.code(), "bad_target");
}

#[tokio::test]
async fn the_hosts_own_folder_is_kept_out_of() {
    for walk in WALKS {
        let dir = folder();
        host::create_dir_all(dir.path().join("sub/store/in")).unwrap();
        host::write(dir.path().join("sub/store/f"), "records").unwrap();
        host::write(dir.path().join("sub/storeroom"), "mine").unwrap();
        let files = provider(walk).keep_out_of(dir.path().join("sub/store"));
        for path in ["sub/store", "sub/store/f", "sub/store/none", "sub/store/in"] {
            assert_eq!(code!(files, dir, read(path)), "-not_permitted");
            assert_eq!(code!(files, dir, write(path, "x")), "-not_permitted");
            assert_eq!(code!(files, dir, list(path)), "-not_permitted");
            assert_eq!(code!(files, dir, stat(path)), "-not_permitted");
            assert_eq!(code!(files, dir, delete(path)), "-not_permitted");
            assert_eq!(code!(files, dir, mkdir(path)), "-not_permitted");
            assert_eq!(code!(files, dir, search(path, "x")), "-not_permitted");
            assert_eq!(code!(files, dir, glob(path, "*")), "-not_permitted");
            let rename = |from: &str, to: &str| {
                let (from, to) = (at(from), at(to));
                Rename { from, to, overwrite: Some(true), expected_digest: None }
            };
            assert_eq!(code!(files, dir, rename(path, "x")), "-not_permitted");
            assert_eq!(code!(files, dir, rename("sub/storeroom", path)), "-not_permitted");
        }
        let found = done!(files, dir, search("", "records|mine"));
        assert_eq!(found.lines.iter().map(|it| &*it.text).collect::<Vec<_>>(), ["mine"]);
        let found = done!(files, dir, glob("sub", "**")).entries;
        assert_eq!(found.len(), 1, "{found:?}");
        let names = done!(files, dir, list("sub")).entries;
        assert_eq!(names.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["storeroom"]);
        assert_eq!(done!(files, dir, read("sub/storeroom")).text.as_str(), Some("mine"));
        assert_eq!(code!(files, dir, delete("sub")), "not_empty");
    }
}

#[tokio::test]
async fn a_mount_that_is_only_read_is_so_for_everybody() {
    let (docs, dir) = (folder(), folder());
    host::write(docs.path().join("f"), "docs").unwrap();
    let mounts = BTreeMap::from([("docs".to_owned(), Mounted::read_only(docs.path()))]);
    let files = FsProvider::with_mounts(mounts);
    let path = || FsPath::from("docs/f");
    let text = || Text::from("new");
    assert_eq!(code!(files, dir, Write { path: path(), ..write("", "new") }), "-not_permitted");
    assert_eq!(code!(files, dir, Delete { path: path(), ..delete("") }), "-not_permitted");
    assert_eq!(code!(files, dir, Mkdir { path: path(), ..mkdir("") }), "-not_permitted");
    let (old, new, expected_digest) = (Text::from("docs"), text(), None);
    let edit = Edit { path: path(), old, new, count: None, expected_digest };
    assert_eq!(code!(files, dir, edit), "-not_permitted");
    let append = Append { path: path(), text: text(), expected_digest };
    assert_eq!(code!(files, dir, append.clone()), "-not_permitted");
    assert_eq!(ask(&files, dir.path(), append).await, Reconciled::DidNotHappen);
    let to = FsPath::from("docs/g");
    let rename = Rename { from: path(), to, overwrite: None, expected_digest };
    assert_eq!(code!(files, dir, rename), "-not_permitted");
    let found = done!(files, dir, Read { path: path(), max_bytes: None });
    assert_eq!(found.text.as_str(), Some("docs"));
    // The workspace is one that the order names, and is only read all the same.
    let mounts = BTreeMap::from([("workspace".to_owned(), Mounted::read_only(docs.path()))]);
    let files = FsProvider::with_mounts(mounts);
    assert_eq!(code!(files, dir, write("f", "new")), "-not_permitted");
    assert_eq!(code!(files, dir, read("f")), "not_found");
    assert_eq!(host::read_dir(docs.path()).unwrap().count(), 1);
}

fn search(path: &str, pattern: &str) -> Search {
    let (path, pattern) = (Folder(Some(at(path))), pattern.to_owned());
    Search { path, pattern, glob: None, ignore_case: None, limit: None, from: None }
}

fn glob(path: &str, pattern: &str) -> Glob {
    let (path, pattern) = (Folder(Some(at(path))), pattern.to_owned());
    Glob { path, pattern, limit: None, from: None }
}

fn edit(path: &str, old: &str, new: &str) -> Edit {
    let (old, new) = (Text::from(old), Text::from(new));
    Edit { path: at(path), old, new, count: None, expected_digest: None }
}

#[tokio::test]
async fn what_git_ignores_is_not_found() {
    let (files, dir) = (FsProvider::new(), folder());
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        host::create_dir_all(path.parent().unwrap()).unwrap();
        host::write(path, text).unwrap();
    };
    put(".gitignore", "target/\n*.log\n/top\n!keep.log\n");
    put("src/.gitignore", "*.tmp\n!/mine.log\n");
    for path in [
        "target/out",
        "a.log",
        "keep.log",
        "top",
        "src/top",
        "src/a.tmp",
        "src/mine.log",
        "src/b.log",
        "src/a.rs",
        ".git/config",
        "src/.git/x",
        ".hidden/f",
    ] {
        put(path, "needle\n");
    }
    put("src/binary", "needle\0needle\n");
    let found = done!(files, dir, Search { path: Folder(None), ..search("", "needle") });
    let found: Vec<_> = found.lines.iter().map(|it| it.path.0.to_string()).collect();
    let all = [".hidden/f", "keep.log", "src/a.rs", "src/mine.log", "src/top"];
    assert_eq!(found, all.map(|path| format!("workspace/{path}")));
    // Those above a folder count in it.
    let found = done!(files, dir, glob("src", "*.{log,tmp,rs}"));
    let found: Vec<_> = found.entries.iter().map(|it| &*it.path.0).collect();
    assert_eq!(found, ["workspace/src/a.rs", "workspace/src/mine.log"]);
}

#[tokio::test]
async fn a_search_is_bounded_and_goes_on() {
    let (files, dir) = (FsProvider::new(), folder());
    let long = format!("{}é needle\n", "x".repeat(255));
    host::write(dir.path().join("long"), &long).unwrap();
    for number in 0..40 {
        host::write(dir.path().join(format!("m{number:02}")), "needle\n".repeat(100)).unwrap();
    }
    let mut call = Search { path: Folder(None), limit: Some(u32::MAX), ..search("", "needle") };
    let found = done!(files, dir, call.clone());
    assert_eq!((found.lines[0].text.len(), found.lines.len()), (255, 1_000));
    let mut count = found.lines.len();
    call.from = found.next;
    while call.from.is_some() {
        let found = done!(files, dir, call.clone());
        count += found.lines.len();
        call.from = found.next;
    }
    assert_eq!(count, 4_001);
    let bad = code!(files, dir, search("", "a\nb"));
    assert_eq!(bad, "-bad_pattern");
    assert_eq!(code!(files, dir, glob("", &"a".repeat(4_097))), "-bad_pattern");
}

/// A crash may come before or after the new file is in its place; what someone else did since is
/// not taken for the operation's.
#[tokio::test]
async fn a_crashed_edit_is_told_by_its_mark() {
    let (files, dir) = (FsProvider::new(), folder());
    let path = dir.path();
    host::write(path.join("f"), "one\n").unwrap();
    let again = edit("f", "one", "one one");
    assert_eq!(ask(&files, path, again.clone()).await, Reconciled::DidNotHappen);
    let leftover = path.join(".libos-op-7.tmp");
    host::write(&leftover, "one o").unwrap();
    assert_eq!(ask(&files, path, again.clone()).await, Reconciled::DidNotHappen);
    assert!(!leftover.exists());
    done!(files, dir, again.clone());
    assert!(matches!(ask(&files, path, again.clone()).await, Reconciled::Happened(_)));
    // The mark does not go with another content, and another file has none.
    host::write(path.join("f"), "changed in place").unwrap();
    assert_eq!(ask(&files, path, again.clone()).await, Reconciled::Unknown);
    host::remove_file(path.join("f")).unwrap();
    host::write(path.join("f"), "one one\n").unwrap();
    assert_eq!(ask(&files, path, again).await, Reconciled::DidNotHappen);
}

#[tokio::test]
async fn the_mode_of_an_edited_file_is_kept() {
    let (files, dir) = (FsProvider::new(), folder());
    host::write(dir.path().join("f"), "one").unwrap();
    host::set_permissions(dir.path().join("f"), Permissions::from_mode(0o755)).unwrap();
    done!(files, dir, edit("f", "one", "two"));
    let mode = host::metadata(dir.path().join("f")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "its mode stays");
}

#[tokio::test]
async fn a_watch_ends_when_something_changes() {
    let (files, dir) = (provider(Walk::Kernel), folder());
    let watch = |path: &str, seen| Watch { path: at(path), seen, timeout_ms: Some(Millis(60_000)) };
    done!(files, dir, write("d.txt", "one"));
    for path in ["d.txt", "none", ""] {
        let seen = done!(files, dir, watch(path, None)).state;
        let change = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            // Not by the provider: written in place, or made.
            let name = if path.is_empty() { "other" } else { path };
            host::write(dir.path().join(name), path.len().to_string().repeat(9)).unwrap();
        };
        let (ended, ()) = tokio::join!(call(&files, dir.path(), watch(path, Some(seen))), change);
        let ended = ended.unwrap();
        assert!(ended.changed && ended.state != seen, "{path}");
    }
    // What is below the folders in it does not count, and time runs out.
    done!(files, dir, mkdir("sub"));
    done!(files, dir, write("sub/f", "x"));
    let short = |seen| Watch { timeout_ms: Some(Millis(1)), ..watch("", seen) };
    let seen = done!(files, dir, short(None)).state;
    host::write(dir.path().join("sub/f"), "y").unwrap();
    assert!(!done!(files, dir, short(Some(seen))).changed);
    assert_eq!(code!(files, dir, watch("../x", None)), "-outside_mount");
}
