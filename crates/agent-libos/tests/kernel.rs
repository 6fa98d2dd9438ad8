//! The runtime as an embedder composes it: replay, and parts of the embedder's own.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use agent_libos::{
    Builder, Clock, HostPort, News, Runtime, Watch,
    abi::{
        Digest, GrantSpec, Json, Pid, RequestId, Scope, Seq, Syscall, fs, human, image, object,
        process::{self, Budget, Ending, Launch, PlannerSpec, ProcessState},
        shell,
    },
    broker::Notice,
    journal::{Batch, Blobs, Head, Journal, JournalError, MemoryJournal, Sync},
    mounts::Mounted,
    port::{BoxFuture, EffectOutcome, Order, Planner, Port, Provider, QuantumEnd, ReachRule, Turn},
    replay_digest,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// A journal that the test keeps a hand on.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryJournal>>);

impl Journal for Shared {
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError> {
        self.0.lock().append(batch, sync)
    }
    fn flush(&mut self) -> Result<Head, JournalError> {
        self.0.lock().flush()
    }
    fn head(&self) -> Head {
        self.0.lock().head()
    }
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.0.lock().read(from, limit)
    }
    fn blobs(&self) -> Arc<dyn Blobs> {
        self.0.lock().blobs()
    }
    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        self.0.lock().verify(against)
    }
}

/// A shell that starts nothing.
struct FakeShell;

impl Provider for FakeShell {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let Syscall::Shell(shell::Call::Run(run)) = order.call else { unreachable!() };
        let ended = shell::Ended {
            exit_code: Some(0),
            signal: None,
            stdout: format!("played {}", run.argv.join(" ")).into(),
            stderr: "".into(),
            truncated: false,
            wall_ms: 0,
            ..Default::default()
        };
        Box::pin(async { EffectOutcome::Done(shell::Reply::Run(ended.into()).into()) })
    }
}

fn grants(grants: Value) -> Vec<GrantSpec> {
    serde_json::from_value(grants).unwrap()
}

fn script(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn launch(kind: &str, program: &str, allowed: Value) -> Launch {
    Launch {
        image: "base".into(),
        goal: "a test".into(),
        workspace: None,
        planner: PlannerSpec { kind: kind.into(), program: program.into() },
        grants: grants(allowed),
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    }
}

struct Stage {
    runtime: Runtime,
    host: HostPort,
    watch: Watch,
}

impl Stage {
    fn start(builder: Builder) -> Self {
        let (runtime, watch) = builder.start_watched().unwrap();
        let host = runtime.host_port("tester");
        Self { runtime, host, watch }
    }

    fn host(&self) -> &dyn Port {
        &self.host
    }

    async fn news(&mut self) -> News {
        let news = tokio::time::timeout(Duration::from_secs(30), self.watch.next());
        news.await.expect("something happens").expect("the core lives")
    }

    async fn ending_of(&mut self, pid: Pid) -> Ending {
        loop {
            if let News::Notice(Notice::Ended { pid: ended, ending }) = self.news().await
                && ended == pid
            {
                return ending;
            }
        }
    }

    /// Launches a process and tells how it ended.
    async fn run(&mut self, launch: Launch) -> Ending {
        let made = self.host().call(launch).await.unwrap();
        self.ending_of(made.pid).await
    }
}

/// Everything that changes state: effects, objects, names, children, messages, humans, finite
/// grants, denials, failures, tools, images, large payloads, more than one quantum.
fn mixed_plan() -> String {
    let child = script(&[
        json!({ "call": "object.create", "args": { "type": "note", "payload": [1] }, "save": "o" }),
        json!({ "call": "message.send", "args": { "to": "p1", "body": "found ${o.id}" } }),
        json!({ "call": "fs.read", "args": { "path": "a.txt" }, "expect": "ok" }),
        json!({ "call": "fs.write", "args": { "path": "b.txt", "text": "x" }, "expect": "denied" }),
        json!({ "exit": { "result": "${o.id}", "message": "done" } }),
    ]);
    let sleeper = script(&[json!({ "call": "clock.sleep", "args": { "ms": "1h" } })]);
    let read = json!([{ "on": "fs:workspace/*", "rights": ["read"] }]);
    let mut lines = vec![
        json!({ "call": "clock.now", "expect": "ok" }),
        json!({ "call": "fs.write", "args": { "path": "a.txt", "text": "x".repeat(9000) },
            "expect": "ok" }),
        json!({ "call": "fs.read", "args": { "path": "a.txt" }, "save": "a", "expect": "ok" }),
        json!({ "call": "fs.read", "args": { "path": "missing" }, "expect": "not_found" }),
        json!({ "call": "fs.read", "args": { "path": "../out" }, "expect": "outside_mount" }),
        json!({ "call": "fs.delete", "args": { "path": "a" }, "expect": "denied" }),
        json!({ "call": "process.recover", "expect": "denied" }),
        json!({ "call": "fs.mkdir", "args": { "path": "sub" }, "expect": "ok" }),
        json!({ "call": "process.chdir", "args": { "path": "sub" }, "expect": "ok" }),
        json!({ "call": "process.chdir", "args": { "path": ".." }, "expect": "ok" }),
        json!({ "call": "namespace.create", "args": { "namespace": "work" }, "expect": "ok" }),
        json!({ "call": "object.create", "args": { "type": "note", "payload": "${a.text}",
            "name": "a", "namespace": "work" }, "save": "o", "expect": "ok" }),
        json!({ "call": "object.create", "args": { "type": "note", "payload": 1, "name": "a",
            "namespace": "work" }, "expect": "name_taken" }),
        json!({ "call": "object.update", "args": { "id": "${o.id}", "payload": { "n": 1 } },
            "expect": "ok" }),
        json!({ "call": "object.create", "args": { "type": "gone", "payload": 0 }, "save": "g" }),
        json!({ "call": "object.delete", "args": { "id": "${g.id}" }, "expect": "ok" }),
        json!({ "spawn": { "goal": "look", "program": child, "grants": read }, "save": "c",
            "expect": "ok" }),
        json!({ "call": "message.receive", "args": { "from": "${c.pid}" }, "expect": "ok" }),
        json!({ "call": "process.wait", "args": { "pid": "${c.pid}" }, "save": "w",
            "expect": "ok" }),
        json!({ "call": "object.read", "args": { "id": "${w.result}" }, "expect": "ok" }),
        json!({ "spawn": { "goal": "sleep", "program": sleeper,
            "grants": [{ "on": "clock:*", "rights": ["read"] }] }, "save": "s", "expect": "ok" }),
        json!({ "call": "capability.delegate", "args": { "to": "${s.pid}",
            "grant": { "on": "fs:workspace/a.txt", "rights": ["read"] } }, "save": "d",
            "expect": "ok" }),
        json!({ "call": "capability.revoke", "args": { "capability": "${d.capability}",
            "reason": "no need" }, "expect": "ok" }),
        json!({ "call": "process.wait", "args": { "pid": "${s.pid}", "timeout_ms": 20 },
            "expect": "timed_out" }),
        json!({ "call": "process.signal", "args": { "pid": "${s.pid}", "signal": "pause" },
            "expect": "ok" }),
        json!({ "call": "process.signal", "args": { "pid": "${s.pid}", "signal": "terminate" },
            "expect": "ok" }),
        json!({ "call": "shell.run", "args": { "argv": ["make", "all"] }, "save": "m",
            "expect": "ok" }),
        json!({ "call": "shell.run", "args": { "argv": ["make", "evil"] }, "expect": "denied" }),
        json!({ "call": "human.ask", "args": { "question": "go on?" }, "save": "q",
            "expect": "ok" }),
        json!({ "call": "human.request_permission", "args": { "on": "fs:workspace/sub/*",
            "rights": ["delete"], "reason": "to tidy" }, "expect": "ok" }),
        json!({ "call": "human.output", "args": { "message": "${m.stdout}" }, "expect": "ok" }),
        json!({ "call": "clock.sleep", "args": { "ms": 5 }, "expect": "ok" }),
        json!({ "tool": "create_object", "args": { "type": "note", "payload": { "by": "tool" } },
            "expect": "ok" }),
        json!({ "tool": "read_file", "args": { "path": "a.txt" }, "expect": "ok" }),
        json!({ "tool": "no_such_tool", "expect": "denied" }),
        json!({ "call": "image.register", "args": { "image": { "name": "mine", "version": "1",
            "required_capabilities": [{ "on": "fs:workspace/*", "rights": ["read"] }] } },
            "expect": "ok" }),
    ];
    // The grant holds for two uses; the rest are denied. It takes a second quantum as well.
    let delete = json!({ "call": "fs.delete", "args": { "path": "tmp", "missing_ok": true } });
    lines.extend(std::iter::repeat_n(delete, 40));
    lines.push(json!({ "exit": { "message": "${q.answer}: ${m.stdout}" } }));
    script(&lines)
}

async fn answer(host: &dyn Port, id: RequestId, call: &human::Request) {
    let decision = match &call.ask {
        human::Ask::Approval(approval) if approval.args == Json::from(&json!(null)) => {
            unreachable!("an approval shows its arguments")
        }
        human::Ask::Approval(approval) => {
            let args = approval.args.value().unwrap();
            match args["argv"][1].as_str() {
                Some("evil") => human::Decision::Deny { reason: Some("evil".into()) },
                _ => human::Decision::Approve { scope: Scope::Once },
            }
        }
        human::Ask::Release(_) => human::Decision::Approve { scope: Scope::Once },
        human::Ask::Question { .. } => human::Decision::Answer { text: "yes".into() },
        human::Ask::Permission { .. } => human::Decision::Permit { policy: human::Policy::Always },
        human::Ask::Extension { .. } => human::Decision::Extend { by: 10 },
        human::Ask::Unknown { .. } => human::Decision::Known { what: human::Known::Done },
    };
    host.call(human::Decide { request: id, decision }).await.unwrap();
}

/// Law 12: folding the journal gives the state again, at every moment when nothing moves.
#[tokio::test(flavor = "multi_thread")]
async fn folding_the_journal_gives_the_state_of_the_kernel_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Shared::default();
    let fresh = replay_digest(&journal).unwrap();
    let builder = Builder::new().journal(Box::new(journal.clone())).provider(Arc::new(FakeShell));
    let mut stage = Stage::start(builder);
    assert_eq!(stage.runtime.digest().await.unwrap(), fresh, "no history, no state");
    let allowed = json!([
        { "on": "fs:workspace/*", "rights": ["read", "write"], "delegable": 1 },
        { "on": "fs:workspace/tmp", "rights": ["delete"], "uses": 2,
            "when": { "path": { "sum_max": 1000 } } },
        { "on": "process:spawn", "rights": ["write"] },
        { "on": "namespace:*", "rights": ["read", "write"] },
        { "on": "shell:*", "rights": ["execute"], "effect": "ask" },
        { "on": "human:*", "rights": ["write"] },
        { "on": "clock:*", "rights": ["read"], "delegable": 1 },
        { "on": "image:*", "rights": ["read", "write"] },
    ]);
    let workspace = folder.path().to_str().unwrap().to_owned();
    let launch = Launch { workspace: Some(workspace), ..launch("script", &mixed_plan(), allowed) };
    let root = stage.host().call(launch).await.unwrap().pid;
    let mut asked = Vec::new();
    let mut digests: Vec<Digest> = Vec::new();
    let mut ending = None;
    loop {
        match stage.news().await {
            News::Notice(Notice::Asked(id)) => asked.push(id),
            News::Notice(Notice::Ended { pid, ending: how }) if pid == root => ending = Some(how),
            News::Idle => {
                let live = stage.runtime.digest().await.unwrap();
                let replayed = replay_digest(&journal).unwrap();
                if stage.runtime.digest().await.unwrap() != live {
                    // Old news: something moves again.
                    continue;
                }
                assert_eq!(replayed, live, "after {} stops", digests.len());
                digests.push(live);
                let Some(id) = asked.pop() else {
                    if ending.is_some() {
                        break;
                    }
                    continue;
                };
                let requests = stage.host().call(human::List { all: None }).await.unwrap();
                let request = requests.requests.iter().find(|request| request.id == id).unwrap();
                answer(stage.host(), id, request).await;
            }
            _ => {}
        }
    }
    let ending = ending.unwrap();
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
    assert_eq!(ending.message.as_deref(), Some("yes: played make all"));
    assert!(digests.len() >= 5, "it stopped for every human's word: {}", digests.len());
    let objects =
        stage.host().call(object::List { r#type: None, after: None, limit: None }).await.unwrap();
    assert_eq!(objects.objects.len(), 3, "{objects:?}");
    let images = stage.host().call(image::List {}).await.unwrap();
    assert!(images.images.iter().any(|image| image.name == "mine"));

    // A runtime that takes over comes to the same state, and so does what is left behind.
    let before = stage.runtime.digest().await.unwrap();
    assert_eq!(Some(&before), digests.last(), "looking changes nothing");
    stage.runtime.shutdown().unwrap();
    assert_eq!(replay_digest(&journal).unwrap(), before);
    let next = Builder::new().journal(Box::new(journal)).host_calls_only().start().unwrap();
    assert_eq!(next.digest().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_the_embedder_takes_the_place_of_the_standard_one() {
    let mut stage = Stage::start(Builder::new().provider(Arc::new(FakeShell)));
    let plan = script(&[
        json!({ "call": "shell.run", "args": { "argv": ["no-such-program", "x"] }, "save": "r" }),
        json!({ "exit": { "message": "${r.stdout}" } }),
    ]);
    let allowed = json!([{ "on": "shell:no-such-program", "rights": ["execute"] }]);
    let ending = stage.run(launch("script", &plan, allowed)).await;
    assert_eq!(ending.message.as_deref(), Some("played no-such-program x"));
}

/// Tells what it was told that a program may reach.
struct TellsReach;

impl Provider for TellsReach {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let rule = |rule: &ReachRule| {
            let not = if rule.allows { "" } else { "not " };
            format!("{not}{} {}", rule.rights, rule.on.as_str())
        };
        let rules: Vec<String> = order.reach.rules.iter().map(rule).collect();
        let ended = shell::Ended { stdout: rules.join("; ").into(), ..shell::Ended::default() };
        Box::pin(async { EffectOutcome::Done(shell::Reply::Run(ended.into()).into()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_what_holds_for_every_call_of_its_process() {
    let mut stage = Stage::start(Builder::new().provider(Arc::new(TellsReach)));
    let plan = script(&[
        json!({ "call": "shell.run", "args": { "argv": ["x"] }, "save": "r" }),
        json!({ "exit": { "message": "${r.stdout}" } }),
    ]);
    let allowed = json!([
        { "on": "shell:x", "rights": ["execute"] },
        { "on": "fs:workspace/*", "rights": ["read", "write"] },
        { "on": "fs:workspace/once/*", "rights": ["write"], "uses": 1 },
        { "on": "fs:workspace/secrets/*", "rights": ["read"], "effect": "deny" },
        { "on": "fs:workspace/asked/*", "rights": ["read"], "effect": "ask" },
    ]);
    let ending = stage.run(launch("script", &plan, allowed)).await;
    let told = "read+write fs:workspace/*; not read fs:workspace/secrets/*; \
                not read fs:workspace/asked/*";
    assert_eq!(ending.message.as_deref(), Some(told));
}

/// A planner with a defect.
struct Panicking;

impl Planner for Panicking {
    fn kind(&self) -> &'static str {
        "panicking"
    }
    fn quantum(&self, _: Turn) -> BoxFuture<'static, QuantumEnd> {
        Box::pin(async { panic!("a defect") })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planner_that_panics_ends_its_process_and_nothing_else() {
    let mut stage = Stage::start(Builder::new().planner(Arc::new(Panicking)));
    let ending = stage.run(launch("panicking", "", json!([]))).await;
    assert_eq!(
        (ending.state, ending.code.as_deref()),
        (ProcessState::Failed, Some("planner_panicked"))
    );
    let ending = stage.run(launch("none", "", json!([]))).await;
    assert_eq!(ending.state, ProcessState::Exited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_planner_nobody_has_fails() {
    let mut stage = Stage::start(Builder::new());
    let ending = stage.run(launch("oracle", "", json!([]))).await;
    assert_eq!(
        (ending.state, ending.code.as_deref()),
        (ProcessState::Failed, Some("unknown_planner"))
    );
    let message = ending.message.unwrap();
    assert!(message.contains("`oracle`"), "{message}");
}

/// A clock that stands until it is set.
struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_what_the_embedders_clock_says() {
    let clock = Arc::new(ManualClock(AtomicU64::new(1_795_381_708_000)));
    let mut stage = Stage::start(Builder::new().clock(Arc::<ManualClock>::clone(&clock)));
    let plan = script(&[
        json!({ "call": "clock.now", "save": "t" }),
        json!({ "call": "clock.sleep", "args": { "ms": "1h" }, "save": "s" }),
        json!({ "exit": { "message": "${t.iso8601} ${s.elapsed_ms}" } }),
    ]);
    let allowed = json!([{ "on": "clock:*", "rights": ["read"] }]);
    let pid = stage.host().call(launch("script", &plan, allowed)).await.unwrap().pid;
    loop {
        let process = stage.host().call(process::Inspect { pid }).await.unwrap();
        if process.state == ProcessState::Waiting {
            break;
        }
        tokio::task::yield_now().await;
    }
    clock.0.fetch_add(3_599_999, Ordering::SeqCst);
    let process = stage.host().call(process::Inspect { pid }).await.unwrap();
    assert_eq!(process.state, ProcessState::Waiting, "a millisecond is missing");
    clock.0.fetch_add(1, Ordering::SeqCst);
    // Any message makes the core look at its clock.
    stage.host().call(process::Inspect { pid }).await.unwrap();
    let ending = stage.ending_of(pid).await;
    assert_eq!(ending.message.as_deref(), Some("2026-11-22T21:08:28.000Z 3600000"));
    assert_eq!(ending.at_ms, 1_795_381_708_000 + 3_600_000);
}

/// Waits until a human is asked.
async fn asked(stage: &mut Stage) -> RequestId {
    loop {
        if let News::Notice(Notice::Asked(id)) = stage.news().await {
            return id;
        }
    }
}

/// What could not be read back is not written: a process cannot make its store unreadable.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_too_large_for_a_record_is_refused_and_the_journal_can_be_read() {
    let journal = Shared::default();
    let builder = Builder::new().journal(Box::new(journal.clone())).provider(Arc::new(FakeShell));
    let mut stage = Stage::start(builder);
    let plan = script(&[
        json!({ "call": "shell.run", "args": { "argv": ["x", "y".repeat(5 << 20)] },
            "expect": "limit" }),
        json!({ "call": "object.create", "args": { "type": "t", "payload": {},
            "name": "n".repeat(3 << 20), "namespace": "m" }, "expect": "limit" }),
        json!({ "call": "object.create",
            "args": { "type": "t", "payload": "large payloads are stored ".repeat(10_000) },
            "expect": "ok" }),
    ]);
    let ending = stage.run(launch("script", &plan, json!([]))).await;
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
    let live = stage.runtime.digest().await.unwrap();
    stage.runtime.shutdown().unwrap();
    assert_eq!(replay_digest(&journal).unwrap(), live);
}

/// A call that was approved, and then waits for something else, is not asked about again.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_that_waits_is_asked_about_once() {
    let mut stage = Stage::start(Builder::new());
    let plan = script(&[json!({ "call": "clock.sleep", "args": { "ms": 50 }, "expect": "ok" })]);
    let allowed = json!([{ "on": "clock:sleep", "rights": ["read"], "effect": "ask" }]);
    let pid = stage.host().call(launch("script", &plan, allowed)).await.unwrap().pid;
    let request = asked(&mut stage).await;
    let decision = human::Decision::Approve { scope: Scope::Once };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    let ending = stage.ending_of(pid).await;
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
    let all = stage.host().call(human::List { all: Some(true) }).await.unwrap().requests;
    assert_eq!(all.len(), 1, "{all:?}");
}

/// What a person approves while the process is held happens when it is released, not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_process_does_nothing_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(Builder::new());
    let plan = script(&[json!({ "call": "fs.write", "args": { "path": "f", "text": "x" },
        "expect": "ok" })]);
    let allowed = json!([{ "on": "fs:workspace/*", "rights": ["write"], "effect": "ask" }]);
    let workspace = Some(folder.path().to_str().unwrap().to_owned());
    let launch = Launch { workspace, ..launch("script", &plan, allowed) };
    let pid = stage.host().call(launch).await.unwrap().pid;
    let request = asked(&mut stage).await;
    let signal = |signal| process::SendSignal { pid, signal, reason: None };
    stage.host().call(signal(process::Signal::Pause)).await.unwrap();
    let decision = human::Decision::Approve { scope: Scope::Once };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    while stage.news().await != News::Idle {}
    assert!(!folder.path().join("f").exists(), "it is held");
    stage.host().call(signal(process::Signal::Resume)).await.unwrap();
    assert_eq!(stage.ending_of(pid).await.state, ProcessState::Exited);
    assert!(folder.path().join("f").exists());
}

/// A process cannot leave as its result what a human would have to be asked about.
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_never_waits_for_a_human() {
    let mut stage = Stage::start(Builder::new());
    let plan = script(&[json!({ "exit": { "result": "obj-7.1" } })]);
    let allowed = json!([{ "on": "object:p7/1", "rights": ["read"], "effect": "ask" }]);
    let ending = stage.run(launch("script", &plan, allowed)).await;
    assert_eq!((ending.state, ending.code.as_deref()), (ProcessState::Failed, Some("denied")));
}

/// The kernel's own calls are for nobody else, whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_a_call_of_the_kernel() {
    let mut stage = Stage::start(Builder::new());
    let calls = [
        json!({ "call": "capability.issue", "args": { "to": "p1", "origin": "kernel",
            "grant": { "on": "fs:workspace/*", "rights": ["read"] } }, "expect": "denied" }),
        json!({ "call": "process.recover", "args": {}, "expect": "denied" }),
        json!({ "call": "human.decide", "args": { "request": "req-1",
            "decision": { "approve": { "scope": "once" } } }, "expect": "denied" }),
    ];
    let allowed = json!([{ "on": "capability:*", "rights": ["admin", "grant"] }]);
    let ending = stage.run(launch("script", &script(&calls), allowed)).await;
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
    let error = stage.host().call(process::Recover {}).await.unwrap_err();
    assert_eq!(error.code(), "denied");
}

/// Who looks because nothing moves is not told again that nothing moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_no_news() {
    let mut stage = Stage::start(Builder::new());
    while stage.news().await != News::Idle {}
    for _ in 0..3 {
        stage.host().call(process::List { after: None, live: None, limit: None }).await.unwrap();
    }
    // Any call that changes something comes after all that the looks could have brought.
    stage.host().call(launch("none", "", json!([]))).await.unwrap();
    assert!(matches!(stage.news().await, News::Notice(Notice::Spawned { .. })));
}

#[tokio::test]
async fn what_was_opened_for_host_calls_runs_processes_once_it_is_told_to() {
    let mut stage = Stage::start(Builder::new().host_calls_only());
    let plan = script(&[json!({ "call": "process.cwd", "expect": "ok" })]);
    let made = stage.host().call(launch("script", &plan, json!([]))).await.unwrap();
    for _ in 0..3 {
        let info = stage.host().call(process::Inspect { pid: made.pid }).await.unwrap();
        assert_eq!(info.state, ProcessState::Runnable, "nothing runs by itself");
    }
    stage.runtime.run_processes();
    stage.runtime.run_processes();
    assert_eq!(stage.ending_of(made.pid).await.state, ProcessState::Exited);
    loop {
        // Told when all has ended, and not before anything ran.
        if stage.news().await == News::Idle {
            break;
        }
    }
    stage.runtime.shutdown().unwrap();
}

/// A provider of files that says which mount it was asked about.
struct FakeFiles;

impl Provider for FakeFiles {
    fn serves(&self) -> &'static [&'static str] {
        &["fs"]
    }
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let Syscall::Fs(fs::Call::Read(read)) = order.call else { unreachable!() };
        let text = format!("played {}", read.path);
        let (bytes, digest) = (text.len() as u64, Digest::of(text.as_bytes()));
        let text =
            fs::FileText { text: text.into(), bytes, truncated: false, digest, object: None };
        Box::pin(async { EffectOutcome::Done(fs::Reply::Read(text).into()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_reaches_other_mounts_by_their_names() {
    let [work, data, docs] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    std::fs::write(data.path().join("in.csv"), "1,2").unwrap();
    std::fs::write(docs.path().join("readme"), "docs").unwrap();
    let builder = Builder::new()
        .mount("data", Mounted::read_write(data.path()))
        .mount("docs", Mounted::read_only(docs.path()))
        .mount_provider("played", Arc::new(FakeFiles));
    let mut stage = Stage::start(builder);
    let call = |name: &str, args: Value, expect: &str| json!({ "call": name, "args": args, "save": "last", "expect": expect });
    let plan = script(&[
        call("fs.read", json!({ "path": "fs:docs/readme" }), "ok"),
        call("fs.write", json!({ "path": "fs:docs/new", "text": "x" }), "not_permitted"),
        call("fs.write", json!({ "path": "fs:data/out.csv", "text": "x" }), "ok"),
        call("fs.read", json!({ "path": "fs:data/../docs/readme" }), "outside_mount"),
        call("fs.read", json!({ "path": "fs:../docs/readme" }), "bad_message"),
        call("fs.read", json!({ "path": "fs:none/x" }), "bad_target"),
        call("fs.read", json!({ "path": "fs:secret/x" }), "denied"),
        call("fs.rename", json!({ "from": "fs:data/out.csv", "to": "out.csv" }), "bad_target"),
        call("fs.rename", json!({ "from": "fs:data/out.csv", "to": "fs:played/x" }), "bad_target"),
        call("process.chdir", json!({ "path": "fs:data" }), "ok"),
        call("fs.read", json!({ "path": "../in.csv" }), "outside_mount"),
        call("fs.read", json!({ "path": "fs:workspace/in.csv" }), "not_found"),
        json!({ "call": "fs.read", "args": { "path": "in.csv" }, "save": "a", "expect": "ok" }),
        json!({ "call": "fs.read", "args": { "path": "fs:played/b" }, "save": "b",
            "expect": "ok" }),
        json!({ "exit": { "message": "${a.text} ${b.text}" } }),
    ]);
    let all = |mount: &str| {
        json!({ "on": format!("fs:{mount}/*"), "rights": ["read", "write",
        "delete"] })
    };
    let allowed = json!([all("workspace"), all("data"), all("docs"), all("none"), all("played")]);
    let workspace = Some(work.path().to_str().unwrap().to_owned());
    let ending = stage.run(Launch { workspace, ..launch("script", &plan, allowed) }).await;
    assert_eq!(ending.message.as_deref(), Some("1,2 played played/b"), "{ending:?}");
    assert_eq!(std::fs::read_dir(docs.path()).unwrap().count(), 1);
}

/// Of what is found a process gets what it may read, and the record has no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_may_not_read_is_not_found() {
    let work = tempfile::tempdir().unwrap();
    for (path, text) in [("a/open", "needle 1"), ("private/diary", "needle 2"), ("z", "needle 3")] {
        let path = work.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let journal = Shared::default();
    let mut stage = Stage::start(Builder::new().journal(Box::new(journal.clone())));
    let plan = script(&[
        json!({ "call": "fs.search", "args": { "pattern": "needle" }, "save": "s",
            "expect": "ok" }),
        json!({ "call": "fs.glob", "args": { "pattern": "**" }, "save": "g", "expect": "ok" }),
        json!({ "call": "object.create", "args": { "type": "found",
            "payload": ["${s.lines}", "${g.entries}"] }, "save": "o", "expect": "ok" }),
        json!({ "exit": { "result": "${o.id}" } }),
    ]);
    let allowed = json!([
        { "on": "fs:workspace/*", "rights": ["read"] },
        { "on": "fs:workspace/private/*", "rights": ["read"], "effect": "deny" },
    ]);
    let workspace = Some(work.path().to_str().unwrap().to_owned());
    let ending = stage.run(Launch { workspace, ..launch("script", &plan, allowed) }).await;
    let found = stage.host().call(object::Read { id: ending.result.unwrap() }).await.unwrap();
    let found = format!("{found:?}");
    for there in ["needle 1", "needle 3", "workspace/a/open"] {
        assert!(found.contains(there), "{there}: {found}");
    }
    stage.runtime.shutdown().unwrap();
    let head = journal.head();
    let records = journal.read(Seq(0), head.size as usize).unwrap();
    let records: Vec<u8> = records.into_iter().flat_map(|(_, record)| record).collect();
    let records = String::from_utf8_lossy(&records);
    assert!(records.contains("needle 1"), "what is found is recorded");
    for hidden in ["needle 2", "diary"] {
        assert!(!found.contains(hidden) && !records.contains(hidden), "{hidden}");
    }
}
