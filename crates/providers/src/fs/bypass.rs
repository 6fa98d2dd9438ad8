//! Ways around a mount that others have met, each with the layer that refuses it here; and what
//! looks like one and is none.
//!
//! A path goes the way of a call: the kernel makes it canonical, then the provider gets it. Beside
//! the mount lies a folder with a secret; no way may tell of it or change it.

use std::{
    collections::BTreeMap,
    fs as host,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use libos_abi::{
    Folder, FsPath, Syscall, Text,
    fs::{
        Append, Delete, Edit, FileKind, Glob, List, Mkdir, Patch, Read, Rename, Search, Stat, Write,
    },
};
use libos_port::{EffectOutcome, Provider};
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

use super::{FsProvider, mount::Walk};
use crate::testing::{call, order};

const SECRET: &str = "secret-of-the-outside";

/// A name of 256 bytes.
macro_rules! concat_long {
    () => {
        concat!(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        )
    };
}

/// What refuses a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// The kernel, on the text of the path: there is no such call.
    Text,
    /// The kernel, since what looks like a way is the name of a file that is not there.
    Name,
    /// The provider, on the names in the path: nothing begins.
    Kept,
    /// The provider, since there is no such mount.
    Mount,
    /// The walk to the folder.
    Walk,
    /// The look at what is at the end of the walk; the code of a read.
    File(&'static str),
}

/// What is made in the mount first: given the mount and the outside.
type Prepare = fn(&Path, &Path);

/// A way: its name, where it was met, what it tries, what refuses it.
struct Way(&'static str, &'static str, &'static str, Layer, Prepare);

fn nothing(_: &Path, _: &Path) {}

fn link(mount: &Path, name: &str, to: impl AsRef<Path>) {
    symlink(to, mount.join(name)).unwrap();
}

#[rustfmt::skip]
const WAYS: &[Way] = &[
    // Dots.
    Way("dots", "CWE-22; CVE-2001-1267 (tar)", "../secret", Layer::Text, nothing),
    Way("dots_from_below", "CVE-2018-1002200 (zip slip)", "a/../../secret", Layer::Text, nothing),
    Way("dots_at_the_end", "CVE-2007-4559 (tarfile)", "a/../..", Layer::Text, nothing),
    Way("dots_many", "CWE-22", "../../../../../../etc/passwd", Layer::Text, nothing),
    Way("dots_and_slashes", "CVE-2005-1111 (cpio)", ".//..//secret", Layer::Text, nothing),
    Way("dots_then_back", "CVE-2025-53110 (MCP filesystem)",
        "../outside/secret", Layer::Text, nothing),
    Way("dots_into_a_twin", "CVE-2025-53110 (MCP filesystem)",
        "../workspace-evil/secret", Layer::Text, nothing),
    // Absolute paths.
    Way("absolute", "CWE-36; CVE-2002-0399 (tar)", "/etc/passwd", Layer::Text, nothing),
    Way("absolute_twice", "CWE-36", "//etc/passwd", Layer::Text, nothing),
    Way("absolute_proc_self", "CVE-2019-5736 (runc)", "/proc/self/exe", Layer::Text, nothing),
    Way("absolute_proc_root", "CVE-2024-21626 (runc)",
        "/proc/self/cwd/secret", Layer::Text, nothing),
    Way("absolute_fd", "CVE-2024-21626 (runc)", "/dev/fd/7", Layer::Text, nothing),
    // Mounts.
    Way("mount_of_dots", "CWE-23", "fs:../secret", Layer::Text, nothing),
    Way("mount_without_a_name", "CWE-36", "fs:/etc/passwd", Layer::Text, nothing),
    Way("mount_left_by_dots", "CWE-22", "fs:workspace/../outside/secret", Layer::Text, nothing),
    Way("mount_in_capitals", "CWE-178", "fs:Workspace/a", Layer::Text, nothing),
    Way("mount_with_a_wildcard", "CWE-155", "fs:*/secret", Layer::Text, nothing),
    Way("mount_that_is_not_there", "CWE-706", "fs:outside/secret", Layer::Mount, nothing),
    Way("mount_by_the_name_of_the_folder", "CWE-706", "fs:tmp/secret", Layer::Mount, nothing),
    Way("file_url", "CWE-22 (a URL for a path)", "file:///etc/passwd", Layer::Name, nothing),
    // Characters.
    Way("nul", "CVE-2006-7243 (PHP)", "a\0/../secret", Layer::Text, nothing),
    Way("nul_at_the_end", "CVE-2006-7243 (PHP)", "secret\0.txt", Layer::Text, nothing),
    Way("newline", "CWE-93", "a\n../secret", Layer::Text, nothing),
    Way("escape", "CWE-150", "a\u{1b}[2Jb", Layer::Text, nothing),
    Way("c1_control", "CWE-150", "a\u{9b}2Jb", Layer::Text, nothing),
    // Encodings.
    Way("percent", "CVE-2021-41773 (httpd)", "%2e%2e/secret", Layer::Name, nothing),
    Way("percent_slash", "CVE-2021-42013 (httpd)", "..%2fsecret", Layer::Name, nothing),
    Way("percent_twice", "CVE-2021-42013; CVE-2001-0333 (IIS)",
        "%252e%252e%252fsecret", Layer::Name, nothing),
    Way("percent_twice_slash", "CVE-2020-17519 (Flink)",
        "..%252f..%252fsecret", Layer::Name, nothing),
    Way("overlong_in_percent", "CVE-2000-0884 (IIS); CVE-2008-2938 (Tomcat)",
        "..%c0%afsecret", Layer::Name, nothing),
    Way("percent_u", "CVE-2000-0884 (IIS)", "%u002e%u002e/secret", Layer::Name, nothing),
    Way("percent_nul", "CVE-2006-7243 (PHP)", "secret%00.txt", Layer::Name, nothing),
    Way("html_entity", "CWE-173", "&#46;&#46;/secret", Layer::Name, nothing),
    Way("path_parameter", "CVE-2020-5902 (BIG-IP)", "..;/secret", Layer::Name, nothing),
    Way("backslash", "CVE-2022-30333 (unrar); CVE-2018-20250", "..\\secret", Layer::Name, nothing),
    Way("backslash_drive", "CVE-2023-45283 (Go)", "C:\\secret", Layer::Name, nothing),
    Way("backslash_device", "CVE-2023-45283 (Go)", "\\\\?\\secret", Layer::Name, nothing),
    Way("fullwidth_dots", "CWE-176", "\u{ff0e}\u{ff0e}/secret", Layer::Name, nothing),
    Way("fullwidth_slash", "CWE-176", "..\u{ff0f}secret", Layer::Name, nothing),
    Way("one_dot_leader", "CWE-176", "\u{2024}\u{2024}/secret", Layer::Name, nothing),
    Way("division_slash", "CWE-176", "..\u{2215}secret", Layer::Name, nothing),
    Way("right_to_left", "CVE-2021-42574 (trojan source)", "\u{202e}/terces", Layer::Name, nothing),
    Way("dots_and_a_joiner", "CVE-2014-9390 (git)", ".\u{200d}./secret", Layer::Name, nothing),
    Way("three_dots", "CWE-32", ".../secret", Layer::Name, nothing),
    Way("dots_and_space", "CWE-41", ".. /secret", Layer::Name, nothing),
    Way("home", "CWE-22 (shell expansion)", "~/secret", Layer::Name, nothing),
    Way("variable", "CWE-22 (shell expansion)", "$HOME/secret", Layer::Name, nothing),
    Way("substitution", "CWE-78", "$(cat secret)", Layer::Name, nothing),
    Way("option", "CVE-2018-17456 (git)", "--upload-pack=secret", Layer::Name, nothing),
    Way("wildcard", "CWE-155", "*", Layer::Name, nothing),
    // Lengths.
    Way("long_name", "CWE-131", concat_long!(), Layer::Text, nothing),
    // What git and the operator obey.
    Way("git", "CVE-2022-24765 (git)", ".git/config", Layer::Kept, nothing),
    Way("git_hooks", "CVE-2024-32002 (git)", ".git/hooks/post-checkout", Layer::Kept, nothing),
    Way("git_of_a_module", "CVE-2018-11235 (git)", "sub/.git/config", Layer::Kept, nothing),
    Way("git_in_capitals", "CVE-2014-9390; CVE-2021-21300 (git)",
        ".GIT/config", Layer::Kept, nothing),
    Way("git_short", "CVE-2014-9390; CVE-2019-1352 (git)", "git~1/config", Layer::Kept, nothing),
    Way("git_with_a_joiner", "CVE-2014-9390 (git)", ".g\u{200c}it/config", Layer::Kept, nothing),
    Way("git_stream", "CVE-2019-1352 (git)",
        ".git::$INDEX_ALLOCATION/config", Layer::Kept, nothing),
    Way("git_with_dots", "CVE-2014-9390; CVE-2019-1353 (git)",
        ".git. . /config", Layer::Kept, nothing),
    Way("settings_of_the_operator", "CVE-2025-54135 (agent writes its own settings)",
        "libos.toml", Layer::Kept, nothing),
    Way("settings_in_capitals", "CVE-2025-59944 (case of a settings file)",
        "sub/LIBOS.toml", Layer::Kept, nothing),
    Way("settings_short", "CVE-2014-9390 (git)", "libos~1.tom", Layer::Kept, nothing),
    // Links on the way.
    Way("link_to_a_folder", "CVE-2025-53109 (MCP filesystem)", "out/secret", Layer::Walk,
        |mount, outside| link(mount, "out", outside)),
    Way("link_relative", "CVE-2021-32803 (node-tar)", "out/secret", Layer::Walk,
        |mount, _| link(mount, "out", "../outside")),
    Way("link_over_a_link", "CVE-2021-37701 (node-tar)", "two/secret", Layer::Walk,
        |mount, _| { link(mount, "one", "../outside"); link(mount, "two", "one") }),
    Way("link_that_stays_inside", "CVE-2017-1002101 (kubernetes)", "in/f", Layer::Walk,
        |mount, _| link(mount, "in", "sub")),
    Way("link_to_itself", "CWE-674", "loop/secret", Layer::Walk,
        |mount, _| link(mount, "loop", "loop")),
    Way("link_to_the_root", "CVE-2021-25741 (kubernetes)", "root/etc/passwd", Layer::Walk,
        |mount, _| link(mount, "root", "/")),
    Way("link_to_proc_root", "CVE-2024-21626 (runc)", "root/etc/passwd", Layer::Walk,
        |mount, _| link(mount, "root", "/proc/self/root")),
    Way("link_to_proc_cwd", "CWE-61", "cwd/Cargo.toml", Layer::Walk,
        |mount, _| link(mount, "cwd", "/proc/self/cwd")),
    Way("link_to_fds", "CVE-2024-21626 (runc)", "fd/0", Layer::Walk,
        |mount, _| link(mount, "fd", "/proc/self/fd")),
    Way("link_to_a_thread_root", "CVE-2018-15664 (docker cp)", "root/etc/passwd", Layer::Walk,
        |mount, _| link(mount, "root", "/proc/thread-self/root")),
    Way("link_under_an_odd_name", "CVE-2019-3902 (mercurial)", "a b/secret", Layer::Walk,
        |mount, outside| link(mount, "a b", outside)),
    // Links at the end.
    Way("link_to_a_file", "CVE-2025-53109 (MCP filesystem)", "out", Layer::File("outside_mount"),
        |mount, outside| link(mount, "out", outside.join("secret"))),
    Way("link_to_a_file_inside", "CVE-2017-2619 (samba)", "in", Layer::File("outside_mount"),
        |mount, _| link(mount, "in", "sub/f")),
    Way("link_that_dangles", "CVE-2022-36113 (cargo)", "out", Layer::File("outside_mount"),
        |mount, outside| link(mount, "out", outside.join("new"))),
    Way("link_that_dangles_into_git", "CVE-2024-32002 (git)", "hook", Layer::File("outside_mount"),
        |mount, _| link(mount, "hook", ".git/hooks/x")),
    Way("link_to_a_file_of_proc", "CVE-2019-5736 (runc)", "exe", Layer::File("outside_mount"),
        |mount, _| link(mount, "exe", "/proc/self/exe")),
    Way("link_to_the_environment", "CWE-61", "env", Layer::File("outside_mount"),
        |mount, _| link(mount, "env", "/proc/self/environ")),
    Way("link_to_a_device", "CWE-59", "null", Layer::File("outside_mount"),
        |mount, _| link(mount, "null", "/dev/zero")),
    // Names of what is elsewhere.
    Way("hard_link", "CWE-62; fs.protected_hardlinks", "out", Layer::File("outside_mount"),
        |mount, outside| host::hard_link(outside.join("secret"), mount.join("out")).unwrap()),
    Way("hard_link_below", "CWE-62", "sub/out", Layer::File("outside_mount"),
        |mount, outside| host::hard_link(outside.join("secret"), mount.join("sub/out")).unwrap()),
    // Special files.
    Way("fifo", "fs.protected_fifos", "fifo", Layer::File("not_a_file"), |mount, _| {
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, mount.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    }),
    Way("socket", "CWE-59", "socket", Layer::File("not_a_file"),
        |mount, _| drop(UnixListener::bind(mount.join("socket")).unwrap())),
];

/// A mount, and beside it the outside.
struct Place {
    parent: TempDir,
}

impl Place {
    fn new() -> Self {
        let parent = TempDir::new().unwrap();
        let at = |name: &str| parent.path().join(name);
        for folder in ["workspace/sub", "workspace/.git/hooks", "outside", "workspace-evil"] {
            host::create_dir_all(at(folder)).unwrap();
        }
        for file in ["secret", "outside/secret", "workspace-evil/secret"] {
            host::write(at(file), SECRET).unwrap();
        }
        for file in ["workspace/own", "workspace/sub/f", "workspace/.git/config"] {
            host::write(at(file), "inside\n").unwrap();
        }
        Self { parent }
    }

    fn mount(&self) -> PathBuf {
        self.parent.path().join("workspace")
    }

    /// Everything but the mount's own, by path; and what git keeps in it.
    fn outside(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.parent.path().to_owned(), self.mount().join(".git")];
        while let Some(folder) = folders.pop() {
            for entry in host::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true if path == self.mount() => {}
                    true => {
                        folders.push(path.clone());
                        found.insert(path, None);
                    }
                    false => drop(found.insert(path.clone(), Some(host::read(path).unwrap()))),
                }
            }
        }
        found
    }
}

/// Calls that only look, and calls that change, on a path.
fn calls(path: &FsPath) -> (Vec<Syscall>, Vec<Syscall>) {
    let folder = || Folder(Some(path.clone()));
    let path = || path.clone();
    let (limit, from, glob, ignore_case) = (None, None, None, None);
    let (expected_digest, missing_ok, overwrite) = (None, None, Some(true));
    let (old, new, text) = (Text::from("secret"), Text::from("x"), Text::from("x"));
    let diff =
        Text::from("@@ -1 +1 @@\n-secret-of-the-outside\n\\ No newline at end of file\n+x\n");
    let own = || FsPath::from("workspace/own");
    let looks = vec![
        Read { path: path(), max_bytes: None }.into(),
        List { path: folder(), limit }.into(),
        Search { path: folder(), pattern: ".".into(), glob, ignore_case, limit, from }.into(),
        Glob { path: folder(), pattern: "**".into(), limit, from }.into(),
    ];
    let changes = vec![
        Edit { path: path(), old, new, count: None, expected_digest }.into(),
        Patch { path: path(), diff, expected_digest }.into(),
        Append { path: path(), text: text.clone(), expected_digest }.into(),
        Rename { from: path(), to: own(), overwrite, expected_digest }.into(),
        Rename { from: own(), to: path(), overwrite, expected_digest }.into(),
        Mkdir { path: path(), parents: None }.into(),
        Write { path: path(), text, overwrite, expected_digest }.into(),
        Delete { path: path(), missing_ok, expected_digest }.into(),
    ];
    (looks, changes)
}

/// The code of what a call ends in, and whether anything began.
async fn ended(files: &FsProvider, mount: &Path, call: Syscall) -> (&'static str, bool) {
    let name = call.info().name;
    match files.perform(order(mount, call)).await {
        EffectOutcome::Done(reply) => {
            let told = format!("{reply:?}");
            assert!(!told.contains(SECRET), "{name} tells of the outside: {told}");
            ("ok", true)
        }
        EffectOutcome::Failed(error) => (error.code(), true),
        EffectOutcome::NotStarted(error) => (error.code(), false),
        EffectOutcome::Unknown(why) => panic!("{name}: {why}"),
    }
}

#[tokio::test]
async fn every_way_around_a_mount_is_refused_by_its_layer() {
    assert!(WAYS.len() >= 60, "{}", WAYS.len());
    for walk in [Walk::Kernel, Walk::Steps] {
        for Way(name, source, written, layer, prepare) in WAYS {
            let at = format!("{name} ({source})");
            let place = Place::new();
            let mount = place.mount();
            prepare(&mount, &place.parent.path().join("outside"));
            let before = place.outside();
            let canonical = FsPath::from(*written).canonical("workspace");
            let path = match (canonical, layer) {
                (Err(_), Layer::Text) => continue,
                (Err(fault), layer) => panic!("{at}: {layer:?} was to refuse it, not {fault}"),
                (Ok(path), Layer::Text) => panic!("{at}: its text passes as {path}"),
                (Ok(path), _) => path,
            };
            let files = FsProvider::build(BTreeMap::new(), walk);
            let (looks, changes) = calls(&path);
            let read = ended(&files, &mount, looks[0].clone()).await;
            match layer {
                Layer::Text => unreachable!("it was refused"),
                Layer::Name => assert_eq!(read, ("not_found", true), "{at}"),
                Layer::Mount => assert_eq!(read, ("bad_target", false), "{at}"),
                Layer::Walk => assert_eq!(read, ("outside_mount", true), "{at}"),
                Layer::File(code) => assert_eq!(read, (*code, true), "{at}"),
                Layer::Kept => {}
            }
            for look in looks {
                ended(&files, &mount, look).await;
            }
            for change in changes {
                let call = change.info().name;
                let (code, began) = ended(&files, &mount, change).await;
                let is_refused = match layer {
                    // A name that nothing has yet can be given to a file of the mount.
                    Layer::Name => true,
                    Layer::Kept => (code, began) == ("not_permitted", false),
                    Layer::Mount => (code, began) == ("bad_target", false),
                    // Removing a name of a file leaves its others be.
                    Layer::File(_) => code != "ok" || call == "fs.delete",
                    _ => code != "ok",
                };
                assert!(is_refused, "{at}: {call} ended in {code}");
            }
            assert_eq!(place.outside(), before, "{at}");
        }
    }
}

/// Patterns and diffs that name what is elsewhere find and change nothing there.
#[tokio::test]
async fn no_pattern_and_no_diff_leads_out_of_a_mount() {
    let place = Place::new();
    let mount = place.mount();
    link(&mount, "out", place.parent.path().join("outside"));
    host::hard_link(place.parent.path().join("secret"), mount.join("hard")).unwrap();
    host::write(mount.join(".gitignore"), "!../outside/secret\n!/../secret\n[\n").unwrap();
    let before = place.outside();
    let files = FsProvider::new();
    let root = || Folder(Some(FsPath::from("workspace")));
    let patterns =
        ["../**", "/etc/*", "**/secret", "out/**", "{..,.}/*", "**/../secret", ".git/**"];
    for pattern in patterns {
        let glob = Glob { path: root(), pattern: pattern.into(), limit: None, from: None };
        let found = call(&files, &mount, glob).await.map(|found| found.entries);
        assert_eq!(found.unwrap_or_default(), [], "{pattern}");
        let search = Search {
            path: root(),
            pattern: "secret".into(),
            glob: Some(pattern.into()),
            ignore_case: None,
            limit: None,
            from: None,
        };
        let found = call(&files, &mount, search).await.map(|found| found.lines);
        assert_eq!(found.unwrap_or_default(), [], "{pattern}");
    }
    // CVE-2010-4651, CVE-2015-1196, CVE-2015-1395 (patch): the names in a diff.
    for header in ["--- ../secret\n+++ ../secret", "--- /etc/x\n+++ out/secret", "--- a\n+++ b"] {
        host::write(mount.join("own"), "inside\n").unwrap();
        let diff = Text::from(&*format!("{header}\n@@ -1 +1 @@\n-inside\n+new\n"));
        let path = FsPath::from("workspace/own");
        let patch = Patch { path, diff, expected_digest: None };
        assert_eq!(call(&files, &mount, patch).await.map(|it| it.bytes), Ok(4), "{header}");
    }
    assert_eq!(place.outside(), before);
}

/// What looks like a way around a mount and is none.
#[rustfmt::skip]
const LEGITIMATE: &[(&str, &str)] = &[
    ("a file", "notes.txt"),
    ("a file below", "src/a/b/c.rs"),
    ("dots that stay inside", "src/../notes.txt"),
    ("the folder itself in between", "./src/./a.rs"),
    ("slashes in a row", "src//a.rs"),
    ("from the mount on", "fs:workspace/src/a.rs"),
    ("dots in a name", "a..b"),
    ("a name that begins with dots", "..config"),
    ("three dots", "..."),
    ("a hidden file", ".env"),
    ("what git reads of a project", ".gitignore"),
    ("attributes", ".gitattributes"),
    ("workflows", ".github/workflows/ci.yml"),
    ("a folder called git", "git/config"),
    ("a file called git", "x.git"),
    ("a space", "a file.txt"),
    ("a percent sign", "100%.txt"),
    ("a percent code", "%2e%2e"),
    ("a backslash", "a\\b"),
    ("a colon", "a:b"),
    ("a tilde", "~backup"),
    ("a dollar", "$x"),
    ("a star", "a*b"),
    ("a bracket", "[id].tsx"),
    ("braces", "{a,b}"),
    ("a dash in front", "-rf"),
    ("an umlaut", "\u{fc}"),
    ("an umlaut in two characters", "u\u{308}"),
    ("Chinese", "\u{4f60}\u{597d}/\u{1f980}.txt"),
    ("the longest name", LONGEST),
    ("settings of another program", "other.toml"),
    ("a name like the settings", "libos.toml.md"),
];

const LONGEST: &str = {
    let (longest, _) = concat_long!().split_at(255);
    longest
};

#[tokio::test]
async fn what_only_looks_like_a_way_out_works() {
    for walk in [Walk::Kernel, Walk::Steps] {
        for (what, written) in LEGITIMATE {
            let place = Place::new();
            let (mount, files) = (place.mount(), FsProvider::build(BTreeMap::new(), walk));
            let path = FsPath::from(*written).canonical("workspace").expect(what);
            let (folder, _) = path.0.rsplit_once('/').expect("it has a mount");
            let folder = || FsPath::from(folder);
            let ok = |ended: Result<(), String>| assert_eq!(ended, Ok(()), "{what}");
            let made = Mkdir { path: folder(), parents: Some(true) };
            ok(call(&files, &mount, made).await.map(drop));
            let (overwrite, expected_digest, count) = (None, None, None);
            let text = Text::from("one\n");
            let write = Write { path: path.clone(), text, overwrite, expected_digest };
            ok(call(&files, &mount, write).await.map(drop));
            let text = Text::from("two\n");
            let append = Append { path: path.clone(), text, expected_digest };
            ok(call(&files, &mount, append).await.map(drop));
            let (old, new) = (Text::from("two"), Text::from("2"));
            let edit = Edit { path: path.clone(), old, new, count, expected_digest };
            ok(call(&files, &mount, edit).await.map(drop));
            let diff = Text::from("@@ -1,2 +1,2 @@\n-one\n+1\n 2\n");
            let patch = Patch { path: path.clone(), diff, expected_digest };
            ok(call(&files, &mount, patch).await.map(drop));
            let read = call(&files, &mount, Read { path: path.clone(), max_bytes: None }).await;
            assert_eq!(read.map(|it| it.text), Ok("1\n2\n".into()), "{what}");
            let (limit, from, glob, ignore_case) = (None, None, None, None);
            let (pattern, root) = ("^2$".to_owned(), Folder(Some("workspace".into())));
            let search = Search { path: root, pattern, glob, ignore_case, limit, from };
            let found = call(&files, &mount, search).await.unwrap();
            assert!(found.lines.iter().any(|it| it.path == path && it.line == 2), "{what}");
            let pattern = "**".to_owned();
            let glob = Glob { path: Folder(Some(folder())), pattern, limit, from };
            let found = call(&files, &mount, glob).await.unwrap();
            assert!(found.entries.iter().any(|it| it.path == path), "{what}: {found:?}");
            let stat = call(&files, &mount, Stat { path: path.clone() }).await;
            assert_eq!(stat.map(|it| it.kind), Ok(FileKind::File), "{what}");
            let to = FsPath::from("workspace/renamed");
            let rename = Rename { from: path, to: to.clone(), overwrite, expected_digest };
            ok(call(&files, &mount, rename).await.map(drop));
            let delete = Delete { path: to, missing_ok: None, expected_digest };
            ok(call(&files, &mount, delete).await.map(drop));
        }
    }
}
