//! A whole kernel cannot tell how its parts are reached.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use std::{path::Path, sync::Arc, time::Duration};

use agent_libos::{
    Builder, Clock, Limits, News, broker::Notice, journal::MemoryJournal, replay_digest,
};
use libos_abi::{
    Digest,
    process::{Launch, ProcessState},
};
use libos_capability::Capabilities;
use libos_checkpoints::Checkpoints;
use libos_conformance::{Bind, Binding, text};
use libos_events::Events;
use libos_human::Humans;
use libos_images::Images;
use libos_objects::Objects;
use libos_port::{Authority, Component, Provider};
use libos_providers::{FsProvider, ShellConfig, ShellProvider, layers_missing};
use libos_scheduler::Scheduler;
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// A clock that stands still: what happens does not depend on how fast it does.
struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> u64 {
        43_200_000
    }
}

/// The standard parts, each behind `binding`.
fn bound(binding: Binding) -> Builder {
    let authority: Box<dyn Authority> = Box::new(Capabilities::new());
    let components: [Box<dyn Component>; 6] = [
        Box::new(Scheduler::default()),
        Box::new(Objects::default()),
        Box::new(Humans::default()),
        Box::new(Images::default()),
        Box::new(Events::default()),
        Box::new(Checkpoints::default()),
    ];
    let providers: [Arc<dyn Provider>; 2] =
        [Arc::new(FsProvider::new()), Arc::new(ShellProvider::new(programs()))];
    // One run at a time: whether a child ends before its parent waits for it is then no chance.
    let limits = Limits { running_max: 1, ..Limits::default() };
    let builder =
        Builder::new().authority(authority.bind(binding)).clock(Arc::new(Noon)).limits(limits);
    let builder = (components.into_iter())
        .fold(builder, |builder, part| builder.component(part.bind(binding)));
    (providers.into_iter())
        .fold(builder, |builder, part| builder.provider(binding.provider(part, Handle::current())))
}

fn script(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Files, programs, objects, tools, a child and refusals; one thing after the other.
fn plan() -> String {
    let child = script(&[
        json!({ "call": "object.create", "args": { "type": "note", "payload": [1] }, "save": "o" }),
        json!({ "call": "fs.read", "args": { "path": "a" }, "expect": "denied" }),
        json!({ "exit": { "result": "${o.id}", "message": "done" } }),
    ]);
    script(&[
        json!({ "call": "fs.write", "args": { "path": "a", "text": "x" }, "expect": "ok" }),
        json!({ "call": "fs.read", "args": { "path": "missing" }, "expect": "not_found" }),
        json!({ "call": "fs.delete", "args": { "path": "a" }, "expect": "denied" }),
        json!({ "tool": "read_file", "args": { "path": "a" }, "expect": "ok" }),
        json!({ "call": "shell.run", "args": { "argv": ["echo", "hi"] }, "save": "echo",
            "expect": "ok" }),
        json!({ "call": "namespace.create", "args": { "namespace": "work" }, "expect": "ok" }),
        json!({ "call": "object.create", "args": { "type": "note", "payload": 1, "name": "n",
            "namespace": "work" }, "expect": "ok" }),
        json!({ "call": "object.create", "args": { "type": "note", "payload": 2, "name": "n",
            "namespace": "work" }, "expect": "name_taken" }),
        json!({ "spawn": { "goal": "look", "program": child }, "save": "c", "expect": "ok" }),
        json!({ "call": "process.wait", "args": { "pid": "${c.pid}" }, "save": "w",
            "expect": "ok" }),
        json!({ "call": "object.read", "args": { "id": "${w.result}" }, "expect": "ok" }),
        json!({ "exit": { "message": "${echo.stdout}" } }),
    ])
}

/// Runs the plan in this folder; the digest of the kernel afterwards.
async fn played(binding: Binding, folder: &Path) -> Digest {
    let (runtime, mut watch) = bound(binding).start_watched().unwrap();
    let launch: Launch = text::from(json!({
        "image": "base",
        "goal": "look around",
        "planner": { "kind": "script", "program": plan() },
        "grants": [
            { "on": "fs:workspace/*", "rights": ["read", "write"] },
            { "on": "shell:echo", "rights": ["execute"] },
            { "on": "namespace:*", "rights": ["read", "write"] },
            { "on": "process:spawn", "rights": ["write"] },
        ],
        "budget": {},
    }));
    let launch = Launch { workspace: Some(folder.to_str().unwrap().into()), ..launch };
    let root = runtime.port("tester").call(launch).await.unwrap().pid;
    let ending = loop {
        let news = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
        match news.expect("something happens").expect("the core lives") {
            News::Notice(Notice::Ended { pid, ending }) if pid == root => break ending,
            _ => {}
        }
    };
    assert_eq!(ending.state, ProcessState::Exited, "{binding}: {ending:?}");
    assert_eq!(ending.message.as_deref(), Some("hi\n"), "{binding}");
    runtime.digest().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_comes_to_the_same_state_under_every_binding() {
    let folder = tempfile::tempdir().unwrap();
    let direct = played(Binding::Direct, folder.path()).await;
    assert_ne!(direct, replay_digest(&MemoryJournal::new()).unwrap(), "something happened");
    for binding in [Binding::Queued, Binding::Wire] {
        assert_eq!(played(binding, folder.path()).await, direct, "{binding}");
    }
}

/// What the host gives programs; what its kernel lacks may be missing.
fn programs() -> ShellConfig {
    ShellConfig { may_lack: layers_missing().clone(), ..ShellConfig::from_host() }
}
