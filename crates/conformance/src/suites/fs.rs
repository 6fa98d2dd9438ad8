//! Files of a mounted folder: service `fs`.
//!
//! Cases use the provider's own calls only, so that a provider need not have a real folder. What
//! only a folder of the host can hold (links, special files, bytes that are no text) is tested
//! where that folder is.

use std::{rc::Rc, sync::Arc};

use libos_abi::{
    Digest, Folder, FsPath, Millis, Reply, Text,
    fs::{
        self, Append, Before, Delete, Edit, FileKind, Glob, List, Mkdir, Patch, PutBack, Read,
        Rename, Search, Stat, Watch, Watched, Write,
    },
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
            case a_change_is_made_only_to_what_is_expected
                holds "I-230"
                shows "fs.write conflict, fs.delete conflict, fs.edit conflict, fs.patch conflict,
fs.append conflict, fs.rename conflict";
            case an_edit_replaces_what_is_there_as_often_as_is_said
                holds "I-231" shows "fs.edit ok, fs.edit no_match";
            case a_diff_fits_as_a_whole_or_changes_nothing
                holds "I-231" shows "fs.patch ok, fs.patch no_match";
            case an_addition_stands_at_the_end
                holds "I-231" shows "fs.append ok";
            case a_file_is_renamed_and_replaces_only_if_told
                holds "I-231" shows "fs.rename ok, fs.rename exists";
            case changes_from_what_is_there_fail_as_their_tables_say
                holds "I-81, I-231"
                shows "fs.edit not_found, fs.edit not_a_file, fs.edit too_large,
fs.edit not_permitted, fs.edit bad_target, fs.edit bad_pattern, fs.patch not_found,
fs.patch not_a_file, fs.patch too_large, fs.patch not_permitted, fs.patch bad_target,
fs.patch bad_pattern, fs.append not_found, fs.append not_a_file, fs.append too_large,
fs.append not_permitted, fs.append bad_target, fs.rename not_found, fs.rename not_a_file,
fs.rename not_permitted, fs.rename bad_target";
            case what_was_there_before_such_a_change_is_told_for_the_record
                holds "I-119" shows "";
            case a_lost_change_is_told_by_what_it_left
                holds "I-19, I-232" shows "";
            case lines_are_found_in_order_and_gone_on_from
                holds "I-86" shows "fs.search ok, fs.search bad_pattern";
            case paths_are_found_in_order_and_gone_on_from
                holds "I-86" shows "fs.glob ok, fs.glob bad_pattern";
            case what_is_no_folder_is_not_searched
                holds "I-81"
                shows "fs.search not_found, fs.search not_a_folder, fs.search bad_target,
fs.glob not_found, fs.glob not_a_folder, fs.glob bad_target";
            case a_watch_tells_what_became_other
                holds "I-238" shows "fs.watch ok, fs.watch bad_target";
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
    assert_eq!(e.failed(Read { path: root(), max_bytes: None }), "not_a_file");
    assert_eq!(e.failed(write("full", "")), "not_a_file");
    assert_eq!(e.failed(list("file")), "not_a_folder");
    assert_eq!(e.failed(delete("full")), "not_empty");
    assert!(e.ok(delete("full/er")).removed && e.ok(delete("full")).removed);
}

fn what_is_refused_on_its_text_begins_nothing(e: &mut Effects) {
    assert_eq!(e.not_started(Write { path: root(), ..write("", "") }), "not_a_file");
    assert_eq!(e.not_started(write("f", &"x".repeat(1_048_577))), "too_large");
    assert_eq!(e.not_started(Delete { path: root(), ..delete("") }), "bad_target");
    // A payload that is not here is no text to write.
    let text = Text::blob(Digest::of(b""), 9);
    assert_eq!(e.not_started(Write { text, ..write("f", "") }), "provider_failed");
    // A mount that is not there.
    let path = || FsPath::from("elsewhere/x");
    assert_eq!(e.not_started(Read { path: path(), max_bytes: None }), "bad_target");
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

fn edit(path: &str, old: &str, new: &str) -> Edit {
    let (old, new) = (Text::from(old), Text::from(new));
    Edit { path: at(path), old, new, count: None, expected_digest: None }
}

fn patch(path: &str, diff: &str) -> Patch {
    Patch { path: at(path), diff: Text::from(diff), expected_digest: None }
}

fn append(path: &str, text: &str) -> Append {
    Append { path: at(path), text: Text::from(text), expected_digest: None }
}

fn rename(from: &str, to: &str) -> Rename {
    Rename { from: at(from), to: at(to), overwrite: None, expected_digest: None }
}

fn search(path: &str, pattern: &str) -> Search {
    let (path, pattern) = (Folder(Some(at(path))), pattern.to_owned());
    Search { path, pattern, glob: None, ignore_case: None, limit: None, from: None }
}

fn glob(path: &str, pattern: &str) -> Glob {
    let (path, pattern) = (Folder(Some(at(path))), pattern.to_owned());
    Glob { path, pattern, limit: None, from: None }
}

const DIFF: &str = "\
--- a/f
+++ b/f
@@ -1,3 +1,3 @@
 one
-two
+zwei
 three
@@ -5,2 +5,3 @@
 five
 six
+seven
";

const SIX: &str = "one\ntwo\nthree\nfour\nfive\nsix\n";

fn a_change_is_made_only_to_what_is_expected(e: &mut Effects) {
    let digest = |text: &str| Some(Digest::of(text.as_bytes()));
    e.ok(write("f", "now"));
    let expected_digest = digest("then");
    let expects = Write { expected_digest, ..write("f", "new") };
    assert_eq!(e.failed(expects), "conflict");
    assert_eq!(e.failed(Write { expected_digest, ..write("none", "new") }), "conflict");
    assert_eq!(e.failed(Delete { expected_digest, ..delete("f") }), "conflict");
    assert_eq!(e.failed(Edit { expected_digest, ..edit("f", "now", "new") }), "conflict");
    assert_eq!(e.failed(Patch { expected_digest, ..patch("f", DIFF) }), "conflict");
    assert_eq!(e.failed(Append { expected_digest, ..append("f", "x") }), "conflict");
    assert_eq!(e.failed(Append { expected_digest, ..append("none", "x") }), "conflict");
    assert_eq!(e.failed(Rename { expected_digest, ..rename("f", "g") }), "conflict");
    assert_eq!(text(e, "f"), "now");
    assert_eq!(e.ok(List { path: Folder(None), limit: None }).entries.len(), 1);
    // Whoever lost is told what is there.
    let lost = e.perform(Write { expected_digest, ..write("f", "new") });
    let libos_port::EffectOutcome::Failed(error) = lost else { panic!("{lost:?}") };
    assert!(error.to_string().contains(&Digest::of(b"now").to_string()), "{error}");
    e.ok(Write { expected_digest: digest("now"), ..write("f", "a") });
    e.ok(Edit { expected_digest: digest("a"), ..edit("f", "a", "b") });
    e.ok(Append { expected_digest: digest("b"), ..append("f", "c") });
    e.ok(Rename { expected_digest: digest("bc"), ..rename("f", "g") });
    e.ok(write("g", SIX));
    e.ok(Patch { expected_digest: digest(SIX), ..patch("g", DIFF) });
    let left = text(e, "g");
    e.ok(Delete { expected_digest: digest(&left), ..delete("g") });
    assert_eq!(e.failed(read("g")), "not_found");
}

fn an_edit_replaces_what_is_there_as_often_as_is_said(e: &mut Effects) {
    e.ok(write("f", "a b a"));
    assert_eq!(e.failed(edit("f", "a", "c")), "no_match");
    assert_eq!(e.failed(edit("f", "x", "c")), "no_match");
    assert_eq!(e.failed(Edit { count: Some(3), ..edit("f", "a", "c") }), "no_match");
    assert_eq!(text(e, "f"), "a b a");
    let written = e.ok(Edit { count: Some(2), ..edit("f", "a", "ä") });
    assert_eq!((written.bytes, written.created), (7, false));
    assert_eq!(written.digest, Digest::of("ä b ä".as_bytes()));
    e.ok(edit("f", " b ", ""));
    assert_eq!(text(e, "f"), "ää");
}

fn a_diff_fits_as_a_whole_or_changes_nothing(e: &mut Effects) {
    e.ok(write("f", SIX));
    let written = e.ok(patch("f", DIFF));
    let new = "one\nzwei\nthree\nfour\nfive\nsix\nseven\n";
    assert_eq!((text(e, "f").as_str(), written.digest), (new, Digest::of(new.as_bytes())));
    // It fits once, and of one that fits in part nothing is done.
    assert_eq!(e.failed(patch("f", DIFF)), "no_match");
    let half = SIX.replace("five", "fünf");
    e.ok(write("f", &half));
    assert_eq!(e.failed(patch("f", DIFF)), "no_match");
    assert_eq!(text(e, "f"), half);
}

fn an_addition_stands_at_the_end(e: &mut Effects) {
    let appended = e.ok(append("log", "one\n"));
    assert_eq!((appended.bytes, appended.created), (4, true));
    assert!(!e.ok(append("log", "zwö\n")).created);
    assert_eq!(text(e, "log"), "one\nzwö\n");
    let mut lines: Vec<String> = (0..8).map(|n| format!("{n}\n")).collect();
    let added = lines.iter().map(|line| append("all", line).into()).collect();
    let ended = e.perform_all(added);
    assert!(ended.iter().all(|it| matches!(it, libos_port::EffectOutcome::Done(_))));
    let all = text(e, "all");
    let mut found: Vec<String> = all.lines().map(|line| format!("{line}\n")).collect();
    lines.sort();
    found.sort();
    assert_eq!(found, lines, "each is there once");
}

fn a_file_is_renamed_and_replaces_only_if_told(e: &mut Effects) {
    e.ok(mkdir("d"));
    e.ok(write("a", "a"));
    e.ok(write("b", "b"));
    let renamed = e.ok(rename("a", "d/a"));
    assert_eq!((renamed.to, renamed.replaced), (at("d/a"), false));
    assert_eq!(e.failed(read("a")), "not_found");
    assert_eq!(e.failed(rename("b", "d/a")), "exists");
    assert_eq!((text(e, "b").as_str(), text(e, "d/a").as_str()), ("b", "a"));
    assert!(e.ok(Rename { overwrite: Some(true), ..rename("b", "d/a") }).replaced);
    assert_eq!(text(e, "d/a"), "b");
}

fn changes_from_what_is_there_fail_as_their_tables_say(e: &mut Effects) {
    let large = "x".repeat(1_048_577);
    e.ok(mkdir("d"));
    e.ok(write("f", "x"));
    assert_eq!(e.failed(edit("none", "a", "b")), "not_found");
    assert_eq!(e.failed(patch("none", DIFF)), "not_found");
    assert_eq!(e.failed(append("none/f", "a")), "not_found");
    assert_eq!(e.failed(rename("none", "g")), "not_found");
    assert_eq!(e.failed(rename("f", "none/f")), "not_found");
    assert_eq!(e.failed(edit("d", "a", "b")), "not_a_file");
    assert_eq!(e.failed(patch("d", DIFF)), "not_a_file");
    assert_eq!(e.failed(append("d", "a")), "not_a_file");
    assert_eq!(e.failed(rename("d", "g")), "not_a_file");
    assert_eq!(e.failed(Rename { overwrite: Some(true), ..rename("f", "d") }), "not_a_file");
    assert_eq!(e.not_started(edit("f", "x", &large)), "too_large");
    assert_eq!(e.not_started(patch("f", &large)), "too_large");
    assert_eq!(e.not_started(append("f", &large)), "too_large");
    let half = "y".repeat(600_000);
    e.ok(write("half", &half));
    assert_eq!(e.failed(append("half", &half)), "too_large");
    assert_eq!(e.not_started(edit("f", "", "a")), "bad_pattern");
    assert_eq!(e.not_started(patch("f", "no diff")), "bad_pattern");
    for git in [".git/config", "d/.GIT/hooks/x"] {
        assert_eq!(e.not_started(edit(git, "a", "b")), "not_permitted");
        assert_eq!(e.not_started(patch(git, DIFF)), "not_permitted");
        assert_eq!(e.not_started(append(git, "a")), "not_permitted");
        assert_eq!(e.not_started(rename(git, "g")), "not_permitted");
        assert_eq!(e.refused(rename("f", git)), "not_permitted");
    }
    let path = || FsPath::from("elsewhere/x");
    assert_eq!(e.not_started(Edit { path: path(), ..edit("", "a", "b") }), "bad_target");
    assert_eq!(e.not_started(Patch { path: path(), ..patch("", DIFF) }), "bad_target");
    assert_eq!(e.not_started(Append { path: path(), ..append("", "a") }), "bad_target");
    assert_eq!(e.refused(Rename { to: path(), ..rename("f", "") }), "bad_target");
    assert_eq!(e.not_started(Rename { from: root(), ..rename("", "g") }), "bad_target");
    for path in ["../x", "a/../../x", "a//b"] {
        assert_eq!(e.refused(edit(path, "a", "b")), "outside_mount", "{path}");
        assert_eq!(e.refused(append(path, "a")), "outside_mount", "{path}");
        assert_eq!(e.refused(rename(path, "g")), "outside_mount", "{path}");
        assert_eq!(e.refused(rename("f", path)), "outside_mount", "{path}");
        assert_eq!(e.refused(search(path, "a")), "outside_mount", "{path}");
        assert_eq!(e.refused(glob(path, "a")), "outside_mount", "{path}");
    }
    assert_eq!(text(e, "f"), "x");
}

fn what_was_there_before_such_a_change_is_told_for_the_record(e: &mut Effects) {
    let old = |text: &str| Before::Text(Text::from(text));
    e.ok(write("f", "one"));
    assert_eq!(e.ok(edit("f", "one", SIX)).before, old("one"));
    assert_eq!(e.ok(patch("f", DIFF)).before, old(SIX));
    assert_eq!(e.ok(append("new", "a")).before, Before::Absent);
    let appended = e.ok(append("new", "b"));
    assert_eq!((appended.before, appended.left), (old("a"), Digest::of(b"ab")));
    let renamed = e.ok(rename("new", "newer"));
    assert_eq!((renamed.moved, renamed.before), (old("ab"), Before::Absent));
    e.ok(write("g", "g"));
    let renamed = e.ok(Rename { overwrite: Some(true), ..rename("newer", "g") });
    assert_eq!((renamed.moved, renamed.before), (old("ab"), old("g")));
}

/// The call alone does not tell an edit that was done from one that was not.
fn a_lost_change_is_told_by_what_it_left(e: &mut Effects) {
    e.ok(write("f", SIX));
    e.ok(append("log", "a"));
    let changes: [libos_abi::Syscall; 4] = [
        edit("f", "four", "four four").into(),
        patch("f", DIFF).into(),
        append("log", "a").into(),
        rename("log", "log.1").into(),
    ];
    for change in changes {
        assert_eq!(e.reconcile(change.clone()), Reconciled::DidNotHappen, "{change:?}");
        let done = e.perform(change.clone());
        assert!(matches!(done, libos_port::EffectOutcome::Done(_)), "{done:?}");
        let known = e.reconcile_last(change.clone());
        assert!(matches!(known, Reconciled::Happened(_)), "{change:?}: {known:?}");
    }
    assert_eq!(text(e, "log.1"), "aa");
    // Another operation that reads the same did not happen.
    assert_eq!(e.reconcile(append("log.1", "a")), Reconciled::DidNotHappen);
    assert_eq!(text(e, "log.1"), "aa", "asking changes nothing");
}

fn lines_are_found_in_order_and_gone_on_from(e: &mut Effects) {
    e.ok(mkdir("src/deep"));
    for (path, text) in [
        ("src/b.rs", "fn one() {}\n// TODO: two\nfn three() {}\n"),
        ("src/a.txt", "todo: small\nfn nothing\n"),
        ("src/deep/c.rs", "// TODO: four\n// TODO: five"),
        ("out.rs", "// TODO: not here\n"),
    ] {
        e.ok(write(path, text));
    }
    let found = |e: &mut Effects, call: Search| {
        let found = e.ok(call);
        let line = |it: fs::LineFound| format!("{}:{}:{}", it.path, it.line, it.text);
        (found.lines.into_iter().map(line).collect::<Vec<_>>(), found.next)
    };
    let todo = [
        "workspace/src/b.rs:2:// TODO: two",
        "workspace/src/deep/c.rs:1:// TODO: four",
        "workspace/src/deep/c.rs:2:// TODO: five",
    ];
    let (lines, next) = found(e, search("src", "TODO"));
    assert_eq!((lines.as_slice(), next), (todo.map(str::to_owned).as_slice(), None));
    let (lines, _) = found(e, Search { ignore_case: Some(true), ..search("src", "todo") });
    assert_eq!(lines.len(), 4);
    let (lines, _) = found(e, Search { glob: Some("*.txt".into()), ..search("src", "^fn") });
    assert_eq!(lines, ["workspace/src/a.txt:2:fn nothing"]);
    let (mut all, mut from) = (Vec::new(), None);
    for _ in 0..8 {
        let (lines, next) = found(e, Search { limit: Some(1), from, ..search("src", "TODO") });
        all.extend(lines);
        from = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(all, todo, "one by one");
    assert_eq!(found(e, search("src", "nowhere")), (Vec::new(), None));
    assert_eq!(e.not_started(search("src", "(")), "bad_pattern");
    let bad = Search { glob: Some("[".into()), ..search("src", "a") };
    assert_eq!(e.not_started(bad), "bad_pattern");
}

fn paths_are_found_in_order_and_gone_on_from(e: &mut Effects) {
    e.ok(mkdir("src/deep"));
    for path in ["src/b.rs", "src/a.txt", "src/deep/c.rs", "out.rs"] {
        e.ok(write(path, "x"));
    }
    let found = |e: &mut Effects, call: Glob| {
        let found = e.ok(call);
        let paths = found.entries.into_iter().map(|it| it.path.to_string());
        (paths.collect::<Vec<_>>(), found.next)
    };
    let (paths, next) = found(e, glob("src", "**/*.rs"));
    assert_eq!((paths.len(), next), (2, None));
    assert_eq!(paths, ["workspace/src/b.rs", "workspace/src/deep/c.rs"]);
    assert_eq!(found(e, glob("src", "*.rs")).0, ["workspace/src/b.rs"]);
    assert_eq!(found(e, glob("src", "*.{txt,md}")).0, ["workspace/src/a.txt"]);
    assert_eq!(found(e, glob("src", "d??p")).0, ["workspace/src/deep"]);
    let (mut all, mut from) = (Vec::new(), None);
    for _ in 0..8 {
        let (paths, next) = found(e, Glob { limit: Some(1), from, ..glob("src", "**") });
        all.extend(paths);
        from = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 4, "one by one: {all:?}");
    assert_eq!(e.not_started(glob("src", "[")), "bad_pattern");
}

fn what_is_no_folder_is_not_searched(e: &mut Effects) {
    e.ok(write("f", "x"));
    assert_eq!(e.failed(search("f", "x")), "not_a_folder");
    assert_eq!(e.failed(glob("f", "*")), "not_a_folder");
    assert_eq!(e.failed(search("none", "x")), "not_found");
    assert_eq!(e.failed(glob("none", "*")), "not_found");
    let path = || Folder(Some(FsPath::from("elsewhere/x")));
    assert_eq!(e.not_started(Search { path: path(), ..search("", "x") }), "bad_target");
    assert_eq!(e.not_started(Glob { path: path(), ..glob("", "x") }), "bad_target");
}

fn a_watch_tells_what_became_other(e: &mut Effects) {
    let watch =
        |path: &FsPath, seen| Watch { path: path.clone(), seen, timeout_ms: Some(Millis(1)) };
    let (file, folder) = (at("d/f"), at("d"));
    let mut seen = [&file, &folder].map(|path| e.ok(watch(path, None)).state);
    assert_eq!(seen[0], seen[1], "neither is there");
    let changes: [&dyn Fn(&mut Effects); 4] = [
        &|e| drop(e.ok(mkdir("d"))),
        &|e| drop(e.ok(write("d/f", "one"))),
        &|e| drop(e.ok(write("d/f", "two more"))),
        &|e| drop(e.ok(delete("d/f"))),
    ];
    let becomes_other = [[false, true], [true, true], [true, true], [true, true]];
    for (change, becomes_other) in changes.iter().zip(becomes_other) {
        change(e);
        for (i, path) in [&file, &folder].into_iter().enumerate() {
            let Watched { state, changed } = e.ok(watch(path, Some(seen[i])));
            assert_eq!((changed, state != seen[i]), (becomes_other[i], becomes_other[i]), "{path}");
            let again = e.ok(watch(path, Some(state)));
            assert_eq!(again, Watched { state, changed: false }, "{path}");
            seen[i] = state;
        }
    }
    let elsewhere = FsPath::from("elsewhere/x");
    assert_eq!(e.not_started(watch(&elsewhere, None)), "bad_target");
}

fn what_it_does_not_serve_is_unsupported(e: &mut Effects) {
    e.refuses_what_it_does_not_serve();
}
