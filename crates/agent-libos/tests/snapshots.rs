//! The state of a whole kernel as bytes: at any record of a real history whoever takes it over is
//! whoever has folded the records.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests"
)]

use std::{path::Path, time::Duration};

use agent_libos::{
    Builder, Limits, Runtime,
    abi::{Pid, Record, Seq, Syscall, checkpoint, human, image, process, wire},
    broker::{Kernel, Outputs, Parts},
    capability::Capabilities,
    checkpoints::Checkpoints,
    events::Events,
    human::Humans,
    images::Images,
    journal::{Journal, MemoryJournal, Snapshot, SqliteJournal, Sync},
    objects::Objects,
    port::{BadSnapshot, Port},
    replay::{self, Past, Source, Verdict},
    replay_digest,
    scheduler::Scheduler,
};
use serde_json::{Value, json};

fn kernel() -> Kernel {
    let parts = Parts::new(
        Box::new(Capabilities::default()),
        vec![
            Box::new(Scheduler::default()),
            Box::new(Objects::default()),
            Box::new(Humans::default()),
            Box::new(Images::default()),
            Box::new(Events::default()),
            Box::new(Checkpoints::default()),
        ],
    );
    Kernel::new(parts.unwrap(), ["fs", "shell", "tool", "audit"])
}

fn call(name: &str, args: Value) -> Value {
    json!({ "call": name, "args": args })
}

fn script(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn launch(folder: &Path, plan: &[Value], more: Value) -> process::Launch {
    let mut launch = json!({
        "image": "base", "goal": "a test", "budget": {},
        "workspace": folder.join("ws"),
        "planner": { "kind": "script", "program": script(plan) },
        "grants": [
            { "on": "fs:workspace/*", "rights": ["read"], "delegable": 2 },
            { "on": "fs:workspace/*", "rights": ["write"], "effect": "ask" },
            { "on": "clock:*", "rights": ["read"], "uses": 3 },
            { "on": "human:owner", "rights": ["write"] },
            { "on": "process:spawn", "rights": ["write"] },
        ],
    });
    launch.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(launch).unwrap()
}

/// Processes that wait for each thing there is to wait for, one that has ended and one that ended
/// badly, with objects, children, requests, mail and events.
fn launches(folder: &Path) -> Vec<process::Launch> {
    let child = script(&[
        call("object.update", json!({ "id": "obj-5.1", "payload": "of the child" })),
        call("message.receive", json!({})),
    ]);
    let note = json!({ "type": "note", "payload": { "n": 1 }, "tags": ["x"] });
    vec![
        launch(
            folder,
            &[
                call("event.subscribe", json!({ "kinds": ["message_came", "child_ended"] })),
                call("object.create", json!({ "type": "log", "payload": [1] })),
                call("object.append", json!({ "id": "obj-1.1", "entry": 7 })),
                call("object.create", note.clone()),
                call(
                    "object.link",
                    json!({ "from": "obj-1.1", "relation": "of", "to": "obj-1.2" }),
                ),
                call("clock.now", json!({})),
                call("fs.write", json!({ "path": "a.txt", "text": "x".repeat(5_000) })),
            ],
            json!({}),
        ),
        launch(
            folder,
            &[
                call("object.create", note.clone()),
                call("object.create", note),
                call(
                    "process.fork",
                    json!({ "mode": "copy", "goal": "a copy",
                            "planner": { "kind": "script", "program": child } }),
                ),
                call("object.update", json!({ "id": "obj-2.1", "payload": "of the parent" })),
                call("object.make_view", json!({ "items": [{ "id": "obj-2.2" }] })),
                call("process.wait", json!({ "pid": "p5" })),
            ],
            json!({ "manifest": { "calls": ["object.*", "process.*", "fs.read"] } }),
        ),
        launch(
            folder,
            &[call("human.ask", json!({ "question": "shall it go on?" }))],
            json!({ "budget": { "syscalls": 9 } }),
        ),
        launch(
            folder,
            &[call("clock.sleep", json!({ "ms": 600_000 }))],
            json!({ "schedule": { "weight": 7, "deadline": "1h" } }),
        ),
    ]
}

/// Waits until so many processes live, and each of them waits.
async fn settled(host: &dyn Port, living: usize) {
    for _ in 0..3_000 {
        let all = agent_libos::processes(host, true).await.unwrap();
        if all.len() == living && all.iter().all(|it| it.wait.is_some()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = agent_libos::processes(host, false).await.unwrap();
    panic!("{living} processes do not come to wait: {all:?}");
}

/// A store with the history of such processes, two of which come back to a checkpoint.
async fn history(folder: &Path, limits: Limits) -> Runtime {
    std::fs::create_dir_all(folder.join("ws")).unwrap();
    let builder = Builder::new().store(folder.join("store")).limits(limits);
    let runtime = builder.host_calls_only().start().unwrap();
    let host = runtime.port("ann");
    let reviewer = json!({ "name": "reviewer", "version": "1", "tools": ["read_file"] });
    let reviewer: image::Image = serde_json::from_value(reviewer).unwrap();
    host.call(image::Register { image: reviewer, replace: None }).await.unwrap();
    for launch in launches(folder) {
        host.call(launch).await.unwrap();
    }
    runtime.run_processes();
    settled(&*host, 5).await;
    let of = |pid| checkpoint::Create { pid: Some(Pid(pid)), reason: None };
    let checkpoint = host.call(of(2)).await.unwrap().id;
    let send = json!({ "to": "p5", "body": "go on" });
    let send: agent_libos::abi::message::Send = serde_json::from_value(send).unwrap();
    host.call(send).await.unwrap();
    settled(&*host, 3).await;
    let requests = host.call(human::List { all: None }).await.unwrap().requests;
    let asked = requests.iter().find(|it| matches!(it.ask, human::Ask::Approval(_))).unwrap();
    let scope = agent_libos::abi::Scope::Uses(3);
    let decision = human::Decision::Approve { scope };
    host.call(human::Decide { request: asked.id, decision }).await.unwrap();
    settled(&*host, 2).await;
    let token = host.call(checkpoint::Preview { checkpoint }).await.unwrap().token;
    host.call(checkpoint::Restore { checkpoint, token }).await.unwrap();
    settled(&*host, 4).await;
    host.call(of(3)).await.unwrap();
    runtime
}

fn records(store: &Path) -> Vec<Vec<u8>> {
    let journal = SqliteJournal::open_read_only(store).unwrap();
    journal.read(Seq(0), usize::MAX >> 1).unwrap().into_iter().map(|(_, body)| body).collect()
}

fn decoded(body: &[u8]) -> Record {
    wire::decode_record(body).unwrap()
}

fn saved(kernel: &Kernel) -> Vec<u8> {
    let mut bytes = Vec::new();
    kernel.save(&mut bytes).unwrap();
    bytes
}

fn outputs(out: &Outputs) -> Vec<(Vec<&[u8]>, &[agent_libos::broker::Output])> {
    let parts = [&out.early, &out.durable];
    parts.map(|part| (part.records.iter().collect(), &part.released[..])).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_record_the_state_taken_over_is_the_state_folded() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = history(folder.path(), Limits::default()).await;
    runtime.shutdown().unwrap();
    let records = records(&folder.path().join("store"));
    assert!(records.len() > 30, "{} records", records.len());
    let mut last = kernel();
    records.iter().for_each(|body| last.replay(decoded(body)));
    let (end, mut folded) = (last.digest(), kernel());
    for at in 0..=records.len() {
        let (bytes, digest) = (saved(&folded), folded.digest());
        let take_over = || {
            let mut kernel = kernel();
            kernel.load(&bytes, digest).unwrap_or_else(|error| panic!("at {at}: {error}"));
            kernel
        };
        let mut goes_on = take_over();
        assert_eq!(saved(&goes_on), bytes, "at {at}: the same state is the same bytes");
        records[at..].iter().for_each(|body| goes_on.replay(decoded(body)));
        assert_eq!(goes_on.digest(), end, "at {at}");
        // What a start does next is the same, too.
        let mut other = kernel();
        records[..at].iter().for_each(|body| other.replay(decoded(body)));
        let (mut loaded, mut outs) = (take_over(), [Outputs::default(), Outputs::default()]);
        other.recover(1 << 42, &mut outs[0]);
        loaded.recover(1 << 42, &mut outs[1]);
        assert_eq!(outputs(&outs[0]), outputs(&outs[1]), "at {at}");
        assert_eq!(other.digest(), loaded.digest(), "at {at}");
        assert_eq!(other.next_deadline_ms(), loaded.next_deadline_ms(), "at {at}");
        if let Some(body) = records.get(at) {
            folded.replay(decoded(body));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    history(folder.path(), Limits::default()).await.shutdown().unwrap();
    let mut folded = kernel();
    let records = records(&folder.path().join("store"));
    records.iter().for_each(|body| folded.replay(decoded(body)));
    let (bytes, digest) = (saved(&folded), folded.digest());
    let empty = kernel().digest();
    let refuse = |bytes: &[u8], digest| {
        let mut kernel = kernel();
        let error = kernel.load(bytes, digest).unwrap_err();
        assert_eq!(kernel.digest(), empty, "{error}");
        error
    };
    let mut other = bytes.clone();
    other[0] ^= 0x40;
    assert!(matches!(refuse(&other, digest), BadSnapshot::Version { expected: 2, .. }));
    assert!(matches!(refuse(&bytes, empty), BadSnapshot::Digest));
    for cut in (0..bytes.len()).step_by(97) {
        refuse(&bytes[..cut], digest);
    }
    // A changed byte is seen by the decoding or by the digest, wherever it is, but in the time.
    for at in (12..bytes.len()).step_by(bytes.len() / 400 + 1) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        refuse(&changed, digest);
    }
    let parts = Parts::new(
        Box::new(Capabilities::default()),
        vec![
            Box::new(Scheduler::default()),
            Box::new(Objects::default()),
            Box::new(Humans::default()),
            Box::new(Images::default()),
        ],
    );
    let mut fewer = Kernel::new(parts.unwrap(), []);
    let before = fewer.digest();
    assert!(matches!(fewer.load(&bytes, digest), Err(BadSnapshot::Parts)));
    assert_eq!(fewer.digest(), before);
}

/// Snapshots as often as there is anything new.
fn often() -> Limits {
    let limits = Limits::default();
    Limits { snapshot_records: 1, snapshot_idle_records: 1, snapshot_share: 0, ..limits }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_starts_from_a_snapshot_is_the_one_that_folds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let runtime = history(folder.path(), often()).await;
    let digest = runtime.digest().await.unwrap();
    let head = runtime.shutdown().unwrap().unwrap();
    let journal = SqliteJournal::open_read_only(&store).unwrap();
    let kept = journal.snapshots().list();
    assert_eq!(kept.len(), 4, "the newest are kept");
    assert_eq!((kept[0].head, kept[0].digest), (head, digest), "one is taken at the end");

    let compose = || Builder::new();
    let mut others = replay::snapshots(&journal);
    others.push(replay::start(&compose, &journal).unwrap());
    assert_eq!(others.last().unwrap().0, Source::Start);
    let mut told = Vec::new();
    let replayed =
        replay::replay(&compose, &journal, None, others, &mut |done, _| told.push(done)).unwrap();
    assert!(replayed.holds(), "{replayed:?}");
    assert_eq!(replayed.checks.len(), 5);
    assert_eq!(replayed.state.digest, replay_digest(&journal).unwrap());
    drop(journal);

    // A start from it goes on as from the records alone.
    let copy = folder.path().join("copy");
    copy_all(&store, &copy);
    std::fs::remove_dir_all(copy.join("snapshots")).unwrap();
    let mut digests = Vec::new();
    for store in [&store, &copy] {
        let runtime =
            Builder::new().store(store).limits(often()).host_calls_only().start().unwrap();
        let host = runtime.port("ann");
        let requests = host.call(human::List { all: None }).await.unwrap().requests;
        assert_eq!(requests.len(), 1);
        digests.push(runtime.digest().await.unwrap());
        runtime.shutdown().unwrap();
    }
    assert_eq!(digests[0], digests[1]);
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_does_not_fit_is_passed_over_and_an_older_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    history(folder.path(), often()).await.shutdown().unwrap();
    let journal = SqliteJournal::open(&store).unwrap();
    let snapshots = journal.snapshots();
    let good = snapshots.latest(u64::MAX).unwrap();
    let mut bytes = good.bytes.to_vec();
    bytes[0] = 99;
    snapshots.save(&Snapshot { bytes: bytes.into(), ..good.clone() }).unwrap();
    let compose = || Builder::new();
    let (_, state) = replay::start(&compose, &journal).unwrap();
    assert_eq!(state.digest, good.digest, "the journal gives the same state");
    let replayed =
        replay::replay(&compose, &journal, None, replay::snapshots(&journal), &mut |_, _| ());
    let replayed = replayed.unwrap();
    let newest = replayed.checks.last().unwrap();
    let Verdict::PassedOver(why) = &newest.verdict else { panic!("{newest:?}") };
    assert!(why.contains("format 99"), "{why}");
    assert!(replayed.holds(), "it harms nobody");

    // One that is whole and of another state is what only a replay can tell.
    let older = snapshots.latest(good.head.size - 1).unwrap();
    assert_ne!(older.digest, good.digest);
    snapshots.save(&Snapshot { head: good.head, ..older }).unwrap();
    let mut others = replay::snapshots(&journal);
    others.push(replay::start(&compose, &journal).unwrap());
    let replayed = replay::replay(&compose, &journal, None, others, &mut |_, _| ()).unwrap();
    let differ = |source| {
        let of = replayed.checks.iter().filter(|check| check.source == source);
        of.filter(|check| matches!(check.verdict, Verdict::Differs { .. })).count()
    };
    assert!(!replayed.holds());
    assert_eq!((differ(Source::Snapshot), differ(Source::Start)), (1, 1), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_what_it_was_and_is_only_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    history(folder.path(), often()).await.shutdown().unwrap();
    let journal = SqliteJournal::open_read_only(&store).unwrap();
    let head = journal.head();
    let mut made = Vec::new();
    for at in 0..head.size {
        let past = Past::after(Seq(at), &journal, Builder::new(), "ann").unwrap();
        made.push(agent_libos::processes(&past, false).await.unwrap());
    }
    assert!(made[0].is_empty());
    assert!(made.windows(2).all(|pair| pair[0].len() <= pair[1].len()));
    let runtime = Builder::new().store(&store).host_calls_only().start().unwrap();
    let now = agent_libos::processes(&*runtime.port("ann"), false).await.unwrap();
    assert_eq!(made.pop().unwrap(), now);
    runtime.shutdown().unwrap();

    let past = Past::after(Seq(head.size - 1), &journal, Builder::new(), "ann").unwrap();
    let kill = json!({ "pid": "p4", "signal": "terminate" });
    let kill: process::SendSignal = serde_json::from_value(kill).unwrap();
    for change in [Syscall::from(kill), agent_libos::abi::audit::Compact { before_ms: 0 }.into()] {
        let error = past.submit(change).await.unwrap_err();
        assert!(error.to_string().contains("only looked at"), "{error}");
    }
    assert_eq!(agent_libos::processes(&past, false).await.unwrap(), now);
    assert_eq!(SqliteJournal::open_read_only(&store).unwrap().head(), head, "nothing is written");
    let beyond = Past::after(Seq(head.size), &journal, Builder::new(), "ann").err().unwrap();
    assert!(beyond.to_string().contains("there is no record"), "{beyond}");
}

#[test]
fn a_journal_that_keeps_no_snapshots_is_folded() {
    let mut journal = MemoryJournal::new();
    journal.append(&agent_libos::journal::Batch::default(), Sync::Durable).unwrap();
    let (_, state) = replay::start(&|| Builder::new(), &journal).unwrap();
    assert_eq!(state.digest, kernel().digest());
}
