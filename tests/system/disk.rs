//! A disk without space under a running runtime, or that cannot be written: it says so, takes nothing
//! new, loses nothing, and goes on when that is over.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{collections::BTreeSet, fs, process::Command};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use support::*;

const WRITES: usize = 120;

/// Files that must not be there yet: doing one twice would show.
fn lab() -> Lab {
    let plan: Vec<Value> = (0..WRITES)
        .map(|n| {
            let text = format!("{n} {}", "text ".repeat(600));
            json!({ "call": "fs.write", "expect": "ok",
                "args": { "path": format!("{n}.txt"), "text": text, "overwrite": false } })
        })
        .collect();
    Lab::with(&allow("write", "fs:workspace/*"), &plan)
}

/// Starts `libos run` where no file may grow over 600 KiB: enough for the plan, not for its run.
/// The signal that comes with such a write is ignored, so that it fails as on a full disk.
fn start(lab: &Lab) -> Live {
    lab.start_in("trap '' XFSZ; ulimit -S -f 1200; exec \"$@\"", &["--json", "run", "task.toml"])
}

fn lift_limit(live: &Live) {
    let pid = Pid::from_raw(live.id().cast_signed());
    prlimit(pid, Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
}

#[test]
fn a_run_waits_for_space_and_then_ends_as_if_nothing_had_happened() {
    let lab = lab();
    let mut live = start(&lab);
    let said = live.until(|line| line["store_unavailable"].is_string());
    assert!(said["store_unavailable"].as_str().unwrap().contains("try again"), "{said}");

    // Another terminal gets the typed error, and nothing of what it asks for happens.
    for args in [&["ps"][..], &["cap", "grant", "p1", "fs:workspace/*", "delete"]] {
        let refused = lab.json(args).code(5);
        assert_eq!(refused.last()["error"]["code"], "store_unavailable", "{refused}");
    }
    assert!(!live.has_ended());
    // Readers need no space.
    let kept = lab.head();

    lift_limit(&live);
    live.until(|line| line["store_unavailable"].is_null() && line["call"].is_null());
    let ran = live.finish().code(0);
    let steps: BTreeSet<u64> =
        ran.steps().iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(ran.steps().len(), WRITES);
    assert_eq!(steps.len(), WRITES, "each step once");
    assert_eq!(files(&lab.path("ws")).len(), WRITES);
    lab.verify(Some(&kept)).code(0);
    assert!(lab.steps().iter().all(|op| op["ended"] == "ok"));
    let capabilities = lab.json(&["cap", "ls", "p1", "--all"]).code(0).out;
    assert!(!capabilities.contains("delete"), "what was refused was not done: {capabilities}");
}

#[test]
fn killed_while_it_waits_for_space_it_goes_on_from_what_was_acknowledged() {
    let lab = lab();
    let mut live = start(&lab);
    live.until(|line| line["store_unavailable"].is_string());
    let killed = live.kill();
    let told = killed.steps().len();
    let steps = lab.steps();
    assert!(steps.iter().filter(|op| op["ended"] == "ok").count() >= told, "what was told is kept");
    let ran = lab.resume().code(0);
    assert!(ran.steps().len() + told >= WRITES, "{ran}");
    assert_eq!(files(&lab.path("ws")).len(), WRITES);
    assert!(lab.steps().iter().all(|op| op["ended"] == "ok"), "nothing was written twice");
}

#[test]
fn a_run_that_is_stopped_while_it_waits_says_so() {
    let lab = lab();
    let mut live = start(&lab);
    live.until(|line| line["store_unavailable"].is_string());
    let pid = Pid::from_raw(live.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ran = live.finish().code(5);
    assert_eq!(ran.last()["error"]["code"], "store", "{ran}");
    lab.resume().code(0);
    assert_eq!(fs::read_dir(lab.path("ws")).unwrap().count(), WRITES);
}

/// Runs a command where the store is on a file system that is mounted read-only.
fn read_only(lab: &Lab, args: &[&str]) -> Ran {
    let mount = "mount --bind store store && mount -o remount,bind,ro store && exec \"$@\"";
    let all: Vec<&str> = [&["--json"], args].concat();
    lab.start_in(&format!("exec unshare -rm sh -c '{mount}' sh \"$@\""), &all).finish()
}

#[test]
fn a_store_that_cannot_be_written_takes_no_work_and_can_be_read() {
    let can_mount =
        Command::new("unshare").args(["-rm", "mount", "--bind", "/tmp", "/tmp"]).status();
    if !can_mount.is_ok_and(|status| status.success()) {
        // Nobody may mount anything here.
        return;
    }
    let lab = Lab::waiting();
    lab.run().code(3);
    let head = lab.head();
    for args in [
        &["run", "task.toml"][..],
        &["resume"],
        &["msg", "p1", "hello"],
        &["cap", "grant", "p1", "fs:workspace/*", "delete"],
    ] {
        let refused = read_only(&lab, args).code(5);
        let error = refused.last()["error"].clone();
        assert_eq!(error["code"], "store", "{refused}");
        assert!(error["message"].to_string().contains("mount it writable"), "{refused}");
    }
    read_only(&lab, &["audit", "verify", "--head", &head]).code(0);
    assert_eq!(read_only(&lab, &["audit", "ls", "--all"]).code(0).lines(), lab.audit());
    assert_eq!(lab.head(), head, "nothing was done");
    lab.json(&["msg", "p1", "hello"]).code(0);
    lab.resume().code(3);
    assert_eq!(lab.text("said.txt"), "hello");
    lab.verify(Some(&head)).code(0);
}
