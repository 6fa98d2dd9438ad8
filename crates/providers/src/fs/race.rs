//! An adversary that swaps folders, files and links at full speed while every call runs.
//!
//! It holds for three seconds; `LIBOS_RACE_SECONDS` says another time, and `cargo xtask race` runs
//! it for a minute. What it must never see: a byte of the outside in a reply, and anything changed
//! there.

use std::{
    collections::BTreeMap,
    fs as host,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use libos_abi::{
    Digest, Folder, FsPath, OpId, Reply, Syscall, Text,
    fs::{self, Append, Delete, Edit, Glob, List, Mkdir, Patch, PutBack, Read, Rename, Search},
};
use libos_port::{EffectOutcome, Provider};
use rustix::fs::{Mode, OFlags, RenameFlags, ResolveFlags};
use tempfile::TempDir;

use super::{FsProvider, mount::Walk};
use crate::testing::order;

/// What stands outside, in the content of a file and in the name of one.
const SECRET: &str = "secret-of-the-outside";

/// What the files of the mount hold.
const INSIDE: &str = "inside\n";

fn seconds() -> u64 {
    let said = std::env::var("LIBOS_RACE_SECONDS").ok();
    said.map_or(3, |said| said.parse().expect("LIBOS_RACE_SECONDS is a number"))
}

/// A name in a folder that has a twin: the same name with `-twin` behind it.
struct Twin {
    folder: OwnedFd,
    name: &'static str,
}

/// A mount in which everything has a twin that leads out of it.
struct Arena {
    mount: TempDir,
    outside: TempDir,
}

impl Arena {
    fn new() -> Self {
        let (mount, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (inside, out) = (mount.path(), outside.path());
        host::create_dir_all(out.join("deep")).unwrap();
        for name in ["f", "deep/f", SECRET] {
            host::write(out.join(name), SECRET).unwrap();
        }
        host::create_dir_all(inside.join("d/deep")).unwrap();
        for name in ["f", "d/f", "d/deep/f", "plain"] {
            host::write(inside.join(name), INSIDE).unwrap();
        }
        symlink(out, inside.join("d-twin")).unwrap();
        symlink(out.join("deep"), inside.join("d/deep-twin")).unwrap();
        symlink(out.join("f"), inside.join("f-twin")).unwrap();
        symlink(out.join("f"), inside.join("d/f-twin")).unwrap();
        host::hard_link(out.join("f"), inside.join("plain-twin")).unwrap();
        Self { mount, outside }
    }

    /// What is swapped for its twin. Each is held by the folder that it is in: through a name the
    /// adversary would run into its own traps.
    fn twins(&self) -> Vec<Twin> {
        let at = |folder: &str, name| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let folder = self.mount.path().join(folder);
            Twin { folder: rustix::fs::open(folder, flags, Mode::empty()).unwrap(), name }
        };
        vec![at("", "d"), at("d", "deep"), at("", "f"), at("d", "f"), at("", "plain")]
    }

    /// Everything outside, by path: of a file what it holds.
    fn outside(&self) -> BTreeMap<PathBuf, Option<String>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.outside.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in host::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    found.insert(path, None);
                } else {
                    let text = host::read_to_string(&path).unwrap();
                    found.insert(path, Some(text));
                }
            }
        }
        found
    }
}

fn at(path: &str) -> FsPath {
    FsPath::from(&*format!("workspace/{path}"))
}

/// Every call, on paths whose parts are swapped.
fn calls(folder: &Path) -> Vec<Syscall> {
    let text = || Text::from("inside\nand new\n");
    let below = |path: &str| Folder(Some(at(path)));
    let expected_digest = None;
    let mut calls: Vec<Syscall> = Vec::new();
    for path in ["f", "d/f", "d/deep/f", "plain"] {
        let path = || at(path);
        let overwrite = None;
        let diff = Text::from("@@ -1 +1,2 @@\n inside\n+more\n");
        let (old, new) = (Text::from("inside"), Text::from("inside"));
        let workspace = folder.to_str().expect("test folders are UTF-8").to_owned();
        let (expected, force) = (None, Some(true));
        calls.extend([
            Read { path: path(), max_bytes: None }.into(),
            fs::Stat { path: path() }.into(),
            fs::Write { path: path(), text: text(), overwrite, expected_digest }.into(),
            Edit { path: path(), old, new, count: Some(1), expected_digest }.into(),
            Patch { path: path(), diff, expected_digest }.into(),
            Append { path: path(), text: Text::from("x"), expected_digest }.into(),
            PutBack { workspace, path: path(), expected, text: Some(INSIDE.into()), force }.into(),
        ]);
    }
    let rename = |from: &str, to: &str| {
        Rename { from: at(from), to: at(to), overwrite: Some(true), expected_digest }.into()
    };
    calls.extend([
        rename("d/f", "d/deep/g"),
        rename("d/deep/g", "d/f"),
        rename("plain", "d/plain"),
        rename("d/plain", "plain"),
        Mkdir { path: at("d/deep/new"), parents: Some(true) }.into(),
        Delete { path: at("d/deep/new"), missing_ok: None, expected_digest }.into(),
        Delete { path: at("d/deep/f"), missing_ok: None, expected_digest }.into(),
    ]);
    for path in ["", "d", "d/deep"] {
        let path = if path.is_empty() { Folder(Some("workspace".into())) } else { below(path) };
        let (glob, ignore_case, limit, from) = (None, None, None, None);
        let pattern = ".*".to_owned();
        calls.extend([
            List { path: path.clone(), limit }.into(),
            Glob { path: path.clone(), pattern: "**".into(), limit, from }.into(),
            Search { path, pattern, glob, ignore_case, limit, from }.into(),
        ]);
    }
    calls
}

/// Swaps until told to stop; how often.
fn swap(twins: &[Twin], stop: &AtomicBool) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        for Twin { folder, name } in twins {
            let (twin, exchange) = (format!("{name}-twin"), RenameFlags::EXCHANGE);
            // A call may have removed or moved it.
            count += u64::from(
                rustix::fs::renameat_with(folder, *name, folder, &*twin, exchange).is_ok(),
            );
        }
    }
    count
}

/// Brings back files that calls removed or moved, so that the race goes on.
fn restock(twins: &[Twin], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for Twin { folder, name } in twins.iter().filter(|twin| twin.name != "d") {
            let name = if *name == "deep" { "deep/f" } else { name };
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            // There already, or a link is there now.
            drop(rustix::fs::openat2(folder, name, flags, Mode::from_raw_mode(0o644), resolve));
        }
        thread::yield_now();
    }
}

/// How calls ended.
#[derive(Default)]
struct Ended {
    done: AtomicU64,
    refused: AtomicU64,
}

fn work(files: &FsProvider, mount: &Path, ops: &AtomicU64, until: Instant, ended: &Ended) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let calls = calls(mount);
    let secret = Digest::of(SECRET.as_bytes());
    while Instant::now() < until {
        for call in &calls {
            let mut order = order(mount, call.clone());
            order.op = OpId(ops.fetch_add(1, Ordering::Relaxed));
            let name = call.info().name;
            match runtime.block_on(files.perform(order)) {
                EffectOutcome::Done(reply) => {
                    assert_tells_nothing(name, &reply, secret);
                    ended.done.fetch_add(1, Ordering::Relaxed);
                }
                EffectOutcome::Failed(error) | EffectOutcome::NotStarted(error) => {
                    let text = error.to_string();
                    let is_quiet = !text.contains(SECRET) && !text.contains(&secret.to_string());
                    assert!(is_quiet, "{name} tells of the outside: {text}");
                    ended.refused.fetch_add(1, Ordering::Relaxed);
                }
                EffectOutcome::Unknown(why) => panic!("{name} is unknown: {why}"),
            }
        }
    }
}

fn assert_tells_nothing(name: &str, reply: &Reply, secret: Digest) {
    let told = format!("{reply:?}");
    let is_quiet = !told.contains(SECRET) && !told.contains(&secret.to_string());
    assert!(is_quiet, "{name} tells of the outside: {told}");
}

#[test]
fn nothing_gets_in_or_out_while_folders_and_links_are_swapped() {
    for walk in [Walk::Kernel, Walk::Steps] {
        let arena = Arena::new();
        let before = arena.outside();
        let files = FsProvider::build(BTreeMap::new(), walk);
        let (stop, ended, ops) = (AtomicBool::new(false), Ended::default(), AtomicU64::new(1));
        let until = Instant::now() + Duration::from_millis(seconds() * 500);
        let twins = &arena.twins();
        let swaps = thread::scope(|scope| {
            let mount = arena.mount.path();
            let stop = &stop;
            let swappers: Vec<_> = [&twins[..3], &twins[3..]]
                .into_iter()
                .map(|twins| scope.spawn(move || swap(twins, stop)))
                .collect();
            let restocks = scope.spawn(move || restock(twins, stop));
            let workers: Vec<_> =
                (0..2).map(|_| scope.spawn(|| work(&files, mount, &ops, until, &ended))).collect();
            let worked: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            stop.store(true, Ordering::Relaxed);
            let swaps: u64 = swappers.into_iter().map(|it| it.join().unwrap()).sum();
            restocks.join().unwrap();
            worked.into_iter().for_each(|worker| worker.unwrap());
            swaps
        });
        let (done, refused) = (ended.done.into_inner(), ended.refused.into_inner());
        assert!(swaps > 0 && done > 0 && refused > 0, "{swaps} {done} {refused}");
        assert_eq!(arena.outside(), before, "nothing is changed outside");
        println!("{walk:?}: {swaps} swaps, {done} calls done, {refused} refused, none got out");
    }
}
