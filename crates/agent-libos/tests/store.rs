//! A runtime on a disk that refuses for a while: nothing acknowledged is lost, nothing new is
//! taken, and it goes on by itself.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests"
)]

use std::{sync::Arc, time::Duration};

use agent_libos::{
    Builder, Clock, HostPort, Limits, News, Runtime, Watch,
    abi::{
        GrantSpec, Outcome, Seq,
        process::{self, Budget, Launch, PlannerSpec, ProcessState},
    },
    broker::Notice,
    journal::{Batch, Blobs, Head, Journal, JournalError, MemoryJournal, Refusal, Sync},
    port::Port,
    replay_digest,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// When the disk says no.
#[derive(Clone, Copy)]
enum Mood {
    Willing,
    Full,
    /// Full at every n-th time it is asked to make something durable, for some tries.
    FullAt {
        every: u32,
        tries: u32,
    },
    Broken,
}

struct Disk {
    journal: MemoryJournal,
    mood: Mood,
    asked: u32,
    refusals: u32,
}

/// A journal on a disk that the test keeps a hand on.
#[derive(Clone)]
struct Flaky(Arc<Mutex<Disk>>);

impl Flaky {
    fn new(mood: Mood) -> Self {
        let journal = MemoryJournal::new();
        Self(Arc::new(Mutex::new(Disk { journal, mood, asked: 0, refusals: 0 })))
    }

    fn mood(&self, mood: Mood) {
        self.0.lock().mood = mood;
    }

    fn records(&self) -> Vec<Vec<u8>> {
        let records = self.0.lock().journal.read(Seq(0), usize::MAX).unwrap();
        records.into_iter().map(|(_, record)| record).collect()
    }
}

impl Disk {
    fn refuse(&mut self) -> Result<(), JournalError> {
        self.asked += 1;
        let full = || JournalError::Storage {
            doing: "append to the journal",
            path: "disk".into(),
            refusal: Refusal::Full,
            source: "no space".into(),
        };
        let refused = match self.mood {
            Mood::Willing => return Ok(()),
            Mood::FullAt { every, tries } if self.asked % every >= tries => return Ok(()),
            Mood::Full | Mood::FullAt { .. } => full(),
            Mood::Broken => JournalError::Damaged { path: "disk".into(), what: "a test".into() },
        };
        self.refusals += 1;
        Err(refused)
    }
}

impl Journal for Flaky {
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError> {
        let mut disk = self.0.lock();
        if sync == Sync::Durable {
            disk.refuse()?;
        }
        disk.journal.append(batch, sync)
    }
    fn flush(&mut self) -> Result<Head, JournalError> {
        let mut disk = self.0.lock();
        disk.refuse()?;
        disk.journal.flush()
    }
    fn head(&self) -> Head {
        self.0.lock().journal.head()
    }
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.0.lock().journal.read(from, limit)
    }
    fn blobs(&self) -> Arc<dyn Blobs> {
        self.0.lock().journal.blobs()
    }
    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        self.0.lock().journal.verify(against)
    }
}

/// A clock that stands: no timer is of any interest here.
struct Stopped;

impl Clock for Stopped {
    fn now_ms(&self) -> u64 {
        1_795_381_708_000
    }
}

struct Stage {
    runtime: Runtime,
    host: HostPort,
    watch: Watch,
    disk: Flaky,
}

impl Stage {
    fn start(mood: Mood) -> Self {
        let disk = Flaky::new(mood);
        let limits = Limits { store_retry_ms: 1, ..Limits::default() };
        let builder = Builder::new().journal(Box::new(disk.clone())).limits(limits);
        let (runtime, watch) = builder.clock(Arc::new(Stopped)).start_watched().unwrap();
        let host = runtime.host_port("tester");
        Self { runtime, host, watch, disk }
    }

    async fn news(&mut self) -> News {
        let news = tokio::time::timeout(Duration::from_secs(30), self.watch.next());
        news.await.expect("something happens").expect("the core lives")
    }

    /// Launches a process from a task of its own.
    fn launch(&self, launch: Launch) -> tokio::task::JoinHandle<Outcome> {
        let host = self.host.clone();
        tokio::spawn(async move { host.submit(launch.into()).await })
    }
}

fn launch(kind: &str, plan: &[Value], workspace: Option<&std::path::Path>) -> Launch {
    let program: String = plan.iter().map(|line| format!("{line}\n")).collect();
    let grants = json!([
        { "on": "fs:workspace/*", "rights": ["read", "write", "delete"] },
        { "on": "clock:*", "rights": ["read"] },
        { "on": "process:spawn", "rights": ["write"] },
    ]);
    let grants: Vec<GrantSpec> = serde_json::from_value(grants).unwrap();
    Launch {
        image: "base".into(),
        goal: "a test".into(),
        workspace: workspace.map(|folder| folder.to_str().unwrap().to_owned()),
        planner: PlannerSpec { kind: kind.into(), program: program.as_str().into() },
        grants,
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_is_full_new_work_is_refused_and_what_was_begun_waits() {
    let mut stage = Stage::start(Mood::Willing);
    while stage.news().await != News::Idle {}
    stage.disk.mood(Mood::Full);
    let begun = stage.launch(launch("none", &[], None));
    let News::StoreUnavailable(what) = stage.news().await else { panic!("other news") };
    assert!(what.contains("the disk is full; free space"), "{what}");

    let host: &dyn Port = &stage.host;
    for _ in 0..3 {
        let refused = host.call(launch("none", &[], None)).await.unwrap_err();
        assert_eq!(refused.code(), "store_unavailable", "{refused}");
        assert!(refused.to_string().contains("the disk is full"), "{refused}");
        let refused =
            host.call(process::List { after: None, live: None, limit: None }).await.unwrap_err();
        assert_eq!(refused.code(), "store_unavailable", "nothing that waits is shown either");
    }
    assert!(!begun.is_finished(), "nobody is told what is not on disk");
    assert_eq!(stage.disk.records(), [[0_u8; 0]; 0]);

    stage.disk.mood(Mood::Willing);
    begun.await.unwrap().unwrap();
    assert_eq!(stage.news().await, News::StoreAvailable);
    let News::Notice(Notice::Spawned { pid, .. }) = stage.news().await else {
        panic!("other news")
    };
    loop {
        if let News::Notice(Notice::Ended { pid: ended, ending }) = stage.news().await {
            assert_eq!((ended, ending.state), (pid, ProcessState::Exited));
            break;
        }
    }
    // What was refused did not happen.
    let listed = (&stage.host as &dyn Port)
        .call(process::List { after: None, live: None, limit: None })
        .await
        .unwrap();
    assert_eq!(listed.processes.len(), 1);
    let live = stage.runtime.digest().await.unwrap();
    assert_eq!(replay_digest(&stage.disk).unwrap(), live);
    stage.runtime.shutdown().unwrap();
    assert_eq!(replay_digest(&stage.disk).unwrap(), live);
}

/// Every kind of step, effects and children among them.
fn plan() -> Vec<Value> {
    let child = [
        json!({ "call": "object.create", "args": { "type": "note", "payload": 1 }, "expect": "ok" }),
        json!({ "exit": { "message": "done" } }),
    ];
    let child: String = child.iter().map(|line| format!("{line}\n")).collect();
    let mut plan = vec![
        json!({ "call": "fs.read", "args": { "path": "none" }, "expect": "not_found" }),
        json!({ "spawn": { "goal": "help", "program": child, "grants": [] }, "save": "c",
            "expect": "ok" }),
        json!({ "call": "process.wait", "args": { "pid": "${c.pid}" }, "expect": "ok" }),
        json!({ "call": "fs.delete", "args": { "path": ".." }, "expect": "outside_mount" }),
    ];
    for n in 0..12 {
        let (path, text) = (format!("{n}.txt"), "text ".repeat(n * 300));
        plan.extend([
            json!({ "call": "fs.write", "args": { "path": path, "text": text, "overwrite": false },
                "expect": "ok" }),
            json!({ "call": "fs.read", "args": { "path": path }, "expect": "ok" }),
            json!({ "call": "object.create", "args": { "type": "n", "payload": n },
                "expect": "ok" }),
        ]);
    }
    plan
}

/// Runs the plan; gives its steps as a watcher hears them, and how often the disk refused.
async fn run(mood: Mood) -> (Vec<(u64, u32, bool)>, u32) {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(mood);
    let begun = stage.launch(launch("script", &plan(), Some(folder.path())));
    let (mut steps, mut down) = (Vec::new(), false);
    loop {
        match stage.news().await {
            News::StoreUnavailable(_) => {
                assert!(!down, "told once");
                down = true;
            }
            News::StoreAvailable => {
                assert!(down, "told after the other");
                down = false;
            }
            News::Notice(Notice::Step { pid, step, outcome, .. }) => {
                steps.push((pid.0, step, outcome.is_ok()));
            }
            News::Notice(Notice::Ended { pid, ending }) if pid.0 == 1 => {
                assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
                break;
            }
            _ => {}
        }
    }
    begun.await.unwrap().unwrap();
    stage.disk.mood(Mood::Willing);
    let live = stage.runtime.digest().await.unwrap();
    stage.runtime.shutdown().unwrap();
    assert_eq!(replay_digest(&stage.disk).unwrap(), live);
    steps.sort_unstable();
    let refusals = stage.disk.0.lock().refusals;
    (steps, refusals)
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_go_on_over_outages_as_if_nothing_had_happened() {
    let (expected, _) = run(Mood::Willing).await;
    assert!(expected.len() > 35, "{expected:?}");
    for (every, tries) in [(2, 1), (3, 2), (7, 3), (20, 15)] {
        let (steps, refusals) = run(Mood::FullAt { every, tries }).await;
        assert_eq!(steps, expected, "full at every {every}");
        assert!(refusals > 20, "only {refusals} refusals");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_stopped_while_the_disk_is_full_keeps_what_it_acknowledged() {
    let mut stage = Stage::start(Mood::Willing);
    stage.launch(launch("none", &[], None)).await.unwrap().unwrap();
    loop {
        if matches!(stage.news().await, News::Notice(Notice::Ended { .. })) {
            break;
        }
    }
    let before = stage.runtime.digest().await.unwrap();
    stage.disk.mood(Mood::Full);
    let begun = stage.launch(launch("none", &[], None));
    while !matches!(stage.news().await, News::StoreUnavailable(_)) {}
    let error = stage.runtime.shutdown().unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert_eq!(begun.await.unwrap().unwrap_err().code(), "store_unavailable");
    assert_eq!(replay_digest(&stage.disk).unwrap(), before);

    stage.disk.mood(Mood::Willing);
    let builder = Builder::new().journal(Box::new(stage.disk.clone()));
    let next = builder.host_calls_only().start().unwrap();
    assert_eq!(next.digest().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_no_waiting_mends_stops_the_runtime() {
    let mut stage = Stage::start(Mood::Willing);
    stage.disk.mood(Mood::Broken);
    let begun = stage.launch(launch("none", &[], None));
    loop {
        if let News::StoreFailed(what) = stage.news().await {
            assert!(what.contains("damaged"), "{what}");
            break;
        }
    }
    assert_eq!(begun.await.unwrap().unwrap_err().code(), "store_unavailable");
    assert!(matches!(stage.runtime.shutdown(), Err(JournalError::Damaged { .. })));
}
