//! Files of a mounted folder: service `fs`.
//!
//! Cases use the provider's own calls only, so that a provider need not have a real folder. What
//! only a folder of the host can hold (links, special files, bytes that are no text) is tested
//! where that folder is.

use std::{rc::Rc, sync::Arc};

use libos_abi::{
    Digest, Folder, FsPath, Reply, Text,
    fs::{self, Before, Delete, FileKind, List, Mkdir, PutBack, Read, Stat, Write},
};
use libos_port::{Provider, Reconciled};

use crate::{Effects, Factory};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! fs_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args fs
            case a_file_is_written_read_listed_and_removed
                holds "I-86"
                shows "fs.write ok, fs.read ok, fs.list ok, fs.stat ok, fs.mkdir ok, fs.delete ok";
            case what_is_not_there_is_not_found
                holds "I-81"
                shows "fs.read not_found, fs.write not_found, fs.list not_found,
fs.mkdir not_found, fs.delete not_found, fs.stat not_found";
            case what_is_there_already_is_left_as_it_is
                holds "I-37" shows "fs.write exists, fs.mkdir exists";
            case a_folder_is_no_file_and_a_file_no_folder
                holds "I-81"
                shows "fs.read not_a_file, fs.write not_a_file, fs.list not_a_folder,
fs.delete not_empty";
            case what_is_refused_on_its_text_begins_nothing
                holds "I-02, I-86"
                shows "fs.write not_a_file, fs.write too_large, fs.delete bad_target,
                       fs.read bad_target, fs.write bad_target, fs.list bad_target,
                       fs.mkdir bad_target, fs.stat bad_target";
            case no_path_leads_out_of_the_mount
                holds "I-35" shows "fs.read outside_mount, fs.write outside_mount";
            case what_belongs_to_git_is_never_changed
                holds "I-86"
                shows "fs.write not_permitted, fs.mkdir not_permitted, fs.delete not_permitted";
            case a_write_replaces_the_whole_file
                holds "I-37" shows "fs.write ok";
            case a_read_is_cut_at_a_character
                holds "I-86" shows "fs.read ok";
            case odd_names_are_names
                holds "I-86" shows "";
            case a_listing_is_sorted_and_limited
                holds "I-86" shows "fs.list ok";
            case writes_side_by_side_leave_one_of_them
                holds "I-37" shows "";
            case a_lost_write_is_told_by_its_content
                holds "I-19" shows "";
            case a_lost_removal_is_told_by_what_is_there
                holds "I-19" shows "";
            case what_was_there_is_told_for_the_record
                holds "I-119" shows "fs.write ok, fs.delete ok";
            case a_file_is_put_back_if_it_is_what_the_last_change_left
                holds "I-118" shows "fs.put_back ok, fs.put_back conflict";
            case what_is_refused_of_putting_back_begins_nothing
                holds "I-02, I-118"
                shows "fs.put_back not_a_file, fs.put_back too_large,
fs.put_back not_permitted, fs.put_back bad_target";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

fs_cases! { contract [Effects: "fs"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<P: Provider + 'static>(
    make: impl Fn() -> P + 'static,
) -> Factory<Arc<dyn Provider>> {
    Rc::new(move || Arc::new(make()))
}

fn at(path: &str) -> FsPath {
    FsPath::from(&*format!("workspace/{path}"))
}

fn root() -> FsPath {
    FsPath::from("workspace")
}

fn read(path: &str) -> Read {
    Read { path: at(path), max_bytes: None, into: None }
}

fn write(path: &str, text: &str) -> Write {
    Write { path: at(path), text: Text::from(text), overwrite: None, from: None }
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
    Delete { path: at(path), missing_ok: None }
}

fn stat(path: &str) -> Stat {
    Stat { path: at(path) }
}

fn text(e: &mut Effects, path: &str) -> String {
    e.ok(read(path)).text.as_str().expect("files are read inline").to_owned()
}

fn a_file_is_written_read_listed_and_removed(e: &mut Effects) {
    assert!(e.ok(mkdir("a/b")).created);
    assert!(!e.ok(mkdir("a/b")).created);
    assert!(e.ok(Mkdir { path: at("a/c"), parents: None }).created);
    let made = e.ok(write("a/b/c.txt", "héllo"));
    assert_eq!((made.created, made.bytes), (true, 6));
    assert_eq!(made.digest, Digest::of("héllo".as_bytes()));
    assert!(!e.ok(write("a/b/c.txt", "two")).created);
    let got = e.ok(read("a/b/c.txt"));
    assert_eq!((got.text.as_str(), got.bytes, got.truncated), (Some("two"), 3, false));
    assert_eq!(got.digest, Digest::of(b"two"));
    let listed = e.ok(list("a")).entries;
    let listed: Vec<_> = listed.iter().map(|it| (&*it.name, it.kind)).collect();
    assert_eq!(listed, [("b", FileKind::Dir), ("c", FileKind::Dir)]);
    let listed = e.ok(list("a/b")).entries;
    assert_eq!((&*listed[0].name, listed[0].kind, listed[0].bytes), ("c.txt", FileKind::File, 3));
    let found = e.ok(stat("a/b/c.txt"));
    assert_eq!((found.kind, found.bytes), (FileKind::File, 3));
    assert!(e.ok(delete("a/b/c.txt")).removed);
    let missing_ok = Some(true);
    assert!(!e.ok(Delete { missing_ok, ..delete("a/b/c.txt") }).removed);
    assert!(!e.ok(Delete { missing_ok, ..delete("no/such") }).removed);
    assert!(e.ok(delete("a/b")).removed && e.ok(delete("a/c")).removed);
    assert_eq!(e.ok(Stat { path: root() }).kind, FileKind::Dir);
    // The working directory, where a call names no folder.
    assert_eq!(e.ok(List { path: Folder(None), limit: None }).entries.len(), 1);
}

fn what_is_not_there_is_not_found(e: &mut Effects) {
    e.ok(write("file", "x"));
    for path in ["none", "none/none", "file/none"] {
        assert_eq!(e.failed(read(path)), "not_found", "{path}");
        assert_eq!(e.failed(stat(path)), "not_found", "{path}");
        assert_eq!(e.failed(delete(path)), "not_found", "{path}");
    }
    for path in ["none/f", "file/f"] {
        assert_eq!(e.failed(write(path, "")), "not_found", "{path}");
    }
    assert_eq!(e.failed(list("none")), "not_found");
    assert_eq!(e.failed(Mkdir { path: at("n/n"), parents: Some(false) }), "not_found");
}

fn what_is_there_already_is_left_as_it_is(e: &mut Effects) {
    assert!(e.ok(write_new("file", "old")).created);
    assert_eq!(e.failed(write_new("file", "new")), "exists");
    assert_eq!(e.failed(mkdir("file")), "exists");
    assert_eq!(e.failed(mkdir("file/deep")), "exists");
    assert_eq!(text(e, "file"), "old");
    assert_eq!(e.ok(List { path: Folder(None), limit: None }).entries.len(), 1);
}

fn a_folder_is_no_file_and_a_file_no_folder(e: &mut Effects) {
    e.ok(mkdir("full/er"));
    e.ok(write("file", "x"));
    assert_eq!(e.failed(read("full")), "not_a_file");
    assert_eq!(e.failed(Read { path: root(), max_bytes: None, into: None }), "not_a_file");
    assert_eq!(e.failed(write("full", "")), "not_a_file");
    assert_eq!(e.failed(list("file")), "not_a_folder");
    assert_eq!(e.failed(delete("full")), "not_empty");
    assert!(e.ok(delete("full/er")).removed && e.ok(delete("full")).removed);
}

fn what_is_refused_on_its_text_begins_nothing(e: &mut Effects) {
    assert_eq!(e.not_started(Write { path: root(), ..write("", "") }), "not_a_file");
    assert_eq!(e.not_started(write("f", &"x".repeat(1_048_577))), "too_large");
    assert_eq!(e.not_started(Delete { path: root(), missing_ok: None }), "bad_target");
    // A payload that is not here is no text to write.
    let text = Text::blob(Digest::of(b""), 9);
    assert_eq!(e.not_started(Write { text, ..write("f", "") }), "provider_failed");
    // A mount that is not there.
    let path = || FsPath::from("elsewhere/x");
    assert_eq!(e.not_started(Read { path: path(), max_bytes: None, into: None }), "bad_target");
    assert_eq!(e.not_started(Write { path: path(), ..write("", "") }), "bad_target");
    assert_eq!(e.not_started(List { path: Folder(Some(path())), limit: None }), "bad_target");
    assert_eq!(e.not_started(Mkdir { path: path(), parents: None }), "bad_target");
    assert_eq!(e.not_started(Stat { path: path() }), "bad_target");
    assert!(e.ok(List { path: Folder(None), limit: None }).entries.is_empty());
    assert_eq!(e.ok(write("max", &"x".repeat(1_048_576))).bytes, 1_048_576);
}

/// The kernel makes paths canonical; a provider does not rely on it.
fn no_path_leads_out_of_the_mount(e: &mut Effects) {
    e.ok(mkdir("a"));
    for path in ["../x", "a/../../x", "a//b", "./a", "a/."] {
        assert_eq!(e.refused(read(path)), "outside_mount", "{path}");
        assert_eq!(e.refused(write(path, "x")), "outside_mount", "{path}");
        assert_eq!(e.refused(delete(path)), "outside_mount", "{path}");
        assert_eq!(e.refused(mkdir(path)), "outside_mount", "{path}");
        assert_eq!(e.refused(list(path)), "outside_mount", "{path}");
        assert_eq!(e.refused(stat(path)), "outside_mount", "{path}");
    }
}

fn what_belongs_to_git_is_never_changed(e: &mut Effects) {
    e.ok(mkdir("full"));
    for git in [".git", ".git/HEAD", "full/.git/x", "full/.GIT/x"] {
        assert_eq!(e.not_started(write(git, "")), "not_permitted", "{git}");
        assert_eq!(e.not_started(mkdir(git)), "not_permitted", "{git}");
        assert_eq!(e.not_started(delete(git)), "not_permitted", "{git}");
    }
    assert!(e.ok(write(".gitignore", "target\n")).created);
}

fn a_write_replaces_the_whole_file(e: &mut Effects) {
    e.ok(write("f", &"long ".repeat(1_000)));
    e.ok(write("f", "short"));
    assert_eq!(text(e, "f"), "short");
    e.ok(write("f", ""));
    assert_eq!((e.ok(read("f")).bytes, e.ok(stat("f")).bytes), (0, 0));
}

fn a_read_is_cut_at_a_character(e: &mut Effects) {
    e.ok(write("e", &"é".repeat(100_000)));
    let got = e.ok(Read { max_bytes: Some(5), ..read("e") });
    assert_eq!((got.text.as_str(), got.bytes, got.truncated), (Some("éé"), 4, true));
    assert_eq!(got.digest, Digest::of("éé".as_bytes()));
    assert_eq!(e.ok(read("e")).bytes, 65_536);
    let got = e.ok(Read { max_bytes: Some(u32::MAX), ..read("e") });
    assert_eq!((got.bytes, got.truncated), (200_000, false));
    let got = e.ok(Read { max_bytes: Some(0), ..read("e") });
    assert_eq!((got.bytes, got.truncated), (0, true));
    e.ok(write("exact", "abc"));
    assert!(!e.ok(Read { max_bytes: Some(3), ..read("exact") }).truncated);
}

fn odd_names_are_names(e: &mut Effects) {
    let mut names = ["new\nline", "*", "a:b", "ünï", " ", "-rf", "a\\b", "%2e%2e", "..."];
    for name in names {
        e.ok(write(name, name));
        assert_eq!(text(e, name), name);
    }
    names.sort_unstable();
    let listed = e.ok(List { path: Folder(None), limit: None }).entries;
    assert!(listed.iter().map(|entry| &*entry.name).eq(names), "{listed:?}");
}

fn a_listing_is_sorted_and_limited(e: &mut Effects) {
    for name in ["c", "a", "b"] {
        e.ok(write(name, ""));
    }
    let mut some = |limit| {
        let listing = e.ok(List { path: Folder(None), limit });
        let names: Vec<String> = listing.entries.into_iter().map(|entry| entry.name).collect();
        (names.concat(), listing.truncated)
    };
    assert_eq!(some(None), ("abc".into(), false));
    assert_eq!(some(Some(3)), ("abc".into(), false));
    assert_eq!(some(Some(2)), ("ab".into(), true));
    assert_eq!(some(Some(0)), (String::new(), true));
}

fn writes_side_by_side_leave_one_of_them(e: &mut Effects) {
    let texts: Vec<String> = (0..8).map(|n| n.to_string().repeat(20_000)).collect();
    let written = e.perform_all(texts.iter().map(|text| write("f", text).into()).collect());
    assert!(written.iter().all(|it| matches!(it, libos_port::EffectOutcome::Done(_))));
    let left = text(e, "f");
    assert!(texts.contains(&left), "{} bytes of no one", left.len());
}

#[track_caller]
fn happened(known: Reconciled) -> fs::Reply {
    match known {
        Reconciled::Happened(Reply::Fs(reply)) => reply,
        other => panic!("it happened: {other:?}"),
    }
}

fn a_lost_write_is_told_by_its_content(e: &mut Effects) {
    assert_eq!(e.reconcile(write("f", "text")), Reconciled::DidNotHappen);
    assert_eq!(e.reconcile(write("no/f", "text")), Reconciled::DidNotHappen);
    e.ok(write("f", "other"));
    assert_eq!(e.reconcile(write("f", "text")), Reconciled::DidNotHappen);
    e.ok(write("f", "text"));
    for (call, created) in [(write("f", "text"), false), (write_new("f", "text"), true)] {
        let fs::Reply::Write(written) = happened(e.reconcile(call)) else { panic!("a write") };
        assert_eq!((written.created, written.digest), (created, Digest::of(b"text")));
    }
    assert_eq!(text(e, "f"), "text", "asking changes nothing");
}

fn a_lost_removal_is_told_by_what_is_there(e: &mut Effects) {
    for gone in ["f", "no/f"] {
        let fs::Reply::Delete(removed) = happened(e.reconcile(delete(gone))) else {
            panic!("a removal")
        };
        assert!(removed.removed);
    }
    e.ok(write("f", ""));
    assert_eq!(e.reconcile(delete("f")), Reconciled::DidNotHappen);
    assert_eq!(e.ok(stat("f")).kind, FileKind::File, "asking changes nothing");
}

fn what_was_there_is_told_for_the_record(e: &mut Effects) {
    let old = |text: &str| Before::Text(Text::from(text));
    assert_eq!(e.ok(write("f", "one")).before, Before::Absent);
    assert_eq!(e.ok(write("f", "two")).before, old("one"));
    let large = "x".repeat(100_000);
    assert_eq!(e.ok(write("f", &large)).before, old("two"));
    assert_eq!(e.ok(delete("f")).before, old(&large));
    assert_eq!(e.ok(Delete { missing_ok: Some(true), ..delete("f") }).before, Before::Absent);
    e.ok(mkdir("d"));
    let folder = e.ok(delete("d")).before;
    assert!(matches!(folder, Before::NotKept { .. }), "{folder:?}");
    // What a crash swallowed is not made up.
    e.ok(write("f", "three"));
    let fs::Reply::Write(written) = happened(e.reconcile(write("f", "three"))) else {
        panic!("a write")
    };
    assert!(matches!(written.before, Before::NotKept { .. }), "{written:?}");
}

fn put_back(e: &Effects, path: &str, expected: Option<&str>, text: Option<&str>) -> PutBack {
    PutBack {
        workspace: e.folder().to_str().expect("temporary folders are UTF-8").to_owned(),
        path: at(path),
        expected: expected.map(|text| Digest::of(text.as_bytes())),
        text: text.map(Text::from),
        force: None,
    }
}

fn a_file_is_put_back_if_it_is_what_the_last_change_left(e: &mut Effects) {
    e.ok(write("f", "new"));
    let back = put_back(e, "f", Some("new"), Some("old"));
    assert!(e.ok(back.clone()).changed);
    assert_eq!(text(e, "f"), "old");
    assert!(!e.ok(back.clone()).changed, "it is so already");
    e.ok(write("f", "someone else's"));
    assert_eq!(e.failed(back.clone()), "conflict");
    assert_eq!(text(e, "f"), "someone else's");
    assert!(e.ok(PutBack { force: Some(true), ..back }).changed);
    assert_eq!(text(e, "f"), "old");
    // What was not there goes, what is gone comes back, with the folders above it.
    let gone = put_back(e, "f", Some("old"), None);
    assert!(e.ok(gone.clone()).changed && !e.ok(gone).changed);
    assert_eq!(e.failed(read("f")), "not_found");
    let deep = put_back(e, "a/b/f", None, Some("deep"));
    assert_eq!(e.reconcile(deep.clone()), Reconciled::DidNotHappen);
    assert!(e.ok(deep.clone()).changed);
    assert_eq!(text(e, "a/b/f"), "deep");
    let fs::Reply::PutBack(_) = happened(e.reconcile(deep)) else { panic!("it was put back") };
}

fn what_is_refused_of_putting_back_begins_nothing(e: &mut Effects) {
    e.ok(mkdir("d"));
    e.ok(write("f", ""));
    let root = PutBack { path: root(), ..put_back(e, "", None, Some("x")) };
    assert_eq!(e.not_started(root), "not_a_file");
    let back = put_back(e, "d", None, Some("x"));
    assert_eq!(e.failed(back), "not_a_file");
    let back = put_back(e, "f/below", None, Some("x"));
    assert_eq!(e.failed(back), "not_a_file");
    let back = put_back(e, "f", None, Some(&"x".repeat(1_048_577)));
    assert_eq!(e.not_started(back), "too_large");
    let back = put_back(e, ".git/config", None, Some("x"));
    assert_eq!(e.not_started(back), "not_permitted");
    let back = PutBack { path: FsPath::from("elsewhere/x"), ..put_back(e, "", None, None) };
    assert_eq!(e.not_started(back), "bad_target");
    let back = PutBack { path: at("../x"), ..put_back(e, "", None, None) };
    assert_eq!(e.refused(back), "outside_mount");
}

fn what_it_does_not_serve_is_unsupported(e: &mut Effects) {
    e.refuses_what_it_does_not_serve();
}
