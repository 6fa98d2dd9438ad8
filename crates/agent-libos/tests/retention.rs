//! What may go and what may not, told from the records of a real run.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "helpers of tests panic like the tests, and copy a store as a kill would leave it"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use agent_libos::{
    Builder, Clock, News, Runtime, Watch,
    abi::{
        Digest, GrantSpec, Pid, RequestId, Seq, audit, checkpoint, human, object,
        process::{Budget, Launch, PlannerSpec, ProcessState},
    },
    audit::Trail,
    broker::Notice,
    journal::{Batch, Blobs, Dropped, Head, Journal, JournalError, SqliteJournal, Sync},
    port::Port,
    replay_digest, retention,
};
use serde_json::{Value, json};

/// A clock that the test moves.
struct Hands(AtomicU64);

const START_MS: u64 = 1_795_381_708_000;

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A text that is kept beside the records, and its digest.
fn large(name: &str) -> (String, Digest) {
    let text = format!("{name} ").repeat(1000);
    let digest = Digest::of(text.as_bytes());
    (text, digest)
}

struct Stage {
    runtime: Runtime,
    watch: Watch,
    clock: Arc<Hands>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ws")).unwrap();
        let clock = Arc::new(Hands(AtomicU64::new(START_MS)));
        let builder = Builder::new().store(folder.path().join("store"));
        let (runtime, watch) = builder.clock(Arc::<Hands>::clone(&clock)).start_watched().unwrap();
        Self { runtime, watch, clock, folder }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn host(&self) -> Arc<dyn Port> {
        self.runtime.port("tester")
    }

    async fn news(&mut self) -> News {
        let news = tokio::time::timeout(Duration::from_secs(30), self.watch.next());
        news.await.expect("something happens").expect("the core lives")
    }

    async fn launch(&self, plan: &[Value]) -> Pid {
        // Strings in JSON are payloads of their own, and a program keeps its own: this one is none.
        let plan: String = plan.iter().map(|line| format!("{line}\n")).collect();
        let program = format!("# a plan\n{plan}");
        let grants = json!([
            { "on": "fs:workspace/*", "rights": ["read", "write"] },
            { "on": "process:spawn", "rights": ["write"] },
            { "on": "human:*", "rights": ["write"], "delegable": 1 },
        ]);
        let grants: Vec<GrantSpec> = serde_json::from_value(grants).unwrap();
        let launch = Launch {
            image: "base".into(),
            goal: "a test".into(),
            workspace: Some(self.folder.path().join("ws").to_str().unwrap().to_owned()),
            planner: PlannerSpec { kind: "script".into(), program: program.as_str().into() },
            grants,
            budget: Budget::default(),
            manifest: None,
            schedule: None,
        };
        self.host().call(launch).await.unwrap().pid
    }

    async fn ended(&mut self, pid: Pid) {
        loop {
            if let News::Notice(Notice::Ended { pid: ended, ending }) = self.news().await
                && ended == pid
            {
                assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
                return;
            }
        }
    }

    async fn asked(&mut self) -> RequestId {
        loop {
            if let News::Notice(Notice::Asked(request)) = self.news().await {
                return request;
            }
        }
    }

    /// What would go of work that ended before this, as another process sees the store.
    fn would_go(&self, before_ms: u64) -> BTreeSet<Digest> {
        let journal = SqliteJournal::open_read_only(&self.store()).unwrap();
        retention::plan(&journal, before_ms).unwrap().digests.into_iter().collect()
    }
}

fn write(path: &str, text: &str) -> Value {
    json!({ "call": "fs.write", "args": { "path": path, "text": text }, "expect": "ok" })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_finished_work_alone_names_may_go() {
    let mut stage = Stage::start();
    let (done, done_digest) = large("of a task that has ended");
    let (kept, kept_digest) = large("kept in an object");
    let (open, open_digest) = large("of a task that waits");
    let (shared, shared_digest) = large("of both");
    let (read, read_digest) = large("read by the first");
    fs::write(stage.folder.path().join("ws/in.txt"), &read).unwrap();
    let first = stage
        .launch(&[
            write("done.txt", &done),
            write("shared.txt", &shared),
            json!({ "call": "fs.read", "args": { "path": "in.txt" }, "expect": "ok" }),
            json!({ "call": "object.create", "args": { "type": "note", "payload": kept },
                "expect": "ok" }),
        ])
        .await;
    stage.ended(first).await;
    let second = stage
        .launch(&[
            write("open.txt", &open),
            write("shared.txt", &shared),
            json!({ "call": "human.ask", "args": { "question": "go on?" }, "expect": "ok" }),
            json!({ "call": "fs.read", "args": { "path": "open.txt" }, "expect": "ok" }),
        ])
        .await;
    let request = stage.asked().await;

    let journal = SqliteJournal::open_read_only(&stage.store()).unwrap();
    let stored: BTreeSet<Digest> =
        journal.blobs().list().unwrap().into_iter().map(|(digest, _)| digest).collect();
    for digest in [done_digest, open_digest, shared_digest, read_digest, kept_digest] {
        assert!(stored.contains(&digest));
    }
    // Nothing has ended before it began.
    assert_eq!(stage.would_go(START_MS), BTreeSet::new());
    let expected = BTreeSet::from([done_digest, read_digest]);
    assert_eq!(stage.would_go(START_MS + 1), expected);

    // The other task ends, much later.
    stage.clock.0.fetch_add(1_000_000, Ordering::SeqCst);
    let decision = human::Decision::Answer { text: "yes".into() };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    stage.ended(second).await;
    assert_eq!(stage.would_go(START_MS + 1_000_000), expected);
    let all = BTreeSet::from([done_digest, read_digest, open_digest, shared_digest]);
    assert_eq!(stage.would_go(u64::MAX), all, "programs, objects and requests stay");
}

/// A task is finished with its last process: what the first one named may be the child's.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_finished_when_its_last_process_is() {
    let mut stage = Stage::start();
    let (text, digest) = large("of the parent");
    let child = [json!({ "call": "human.ask", "args": { "question": "end?" }, "expect": "ok" })];
    let child: String = child.iter().map(|line| format!("{line}\n")).collect();
    let grants = json!([{ "on": "human:*", "rights": ["write"] }]);
    let parent = stage
        .launch(&[
            write("a.txt", &text),
            json!({ "spawn": { "goal": "wait", "program": child, "grants": grants }, "save": "c",
                "expect": "ok" }),
        ])
        .await;
    let (mut request, mut ended) = (None, false);
    while request.is_none() || !ended {
        match stage.news().await {
            News::Notice(Notice::Asked(asked)) => request = Some(asked),
            News::Notice(Notice::Ended { pid, .. }) => ended |= pid == parent,
            _ => {}
        }
    }
    assert_eq!(stage.would_go(u64::MAX), BTreeSet::new());
    let decision = human::Decision::Answer { text: "yes".into() };
    stage.host().call(human::Decide { request: request.unwrap(), decision }).await.unwrap();
    stage.ended(Pid(parent.0 + 1)).await;
    assert_eq!(stage.would_go(u64::MAX), BTreeSet::from([digest]));
}

/// A task that can come back to a checkpoint is not finished, nor is one that has.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_can_come_back_is_not_finished() {
    let mut stage = Stage::start();
    let (text, digest) = large("to come back to");
    let ask = json!({ "call": "human.ask", "args": { "question": "end?" }, "expect": "ok" });
    let pid = stage.launch(&[write("a.txt", &text), ask]).await;
    let request = stage.asked().await;
    let create = || checkpoint::Create { pid: Some(pid), reason: None };
    let [first, second] =
        [create(), create()].map(|create| async { stage.host().call(create).await.unwrap().id });
    let (first, second) = (first.await, second.await);
    let decision = human::Decision::Answer { text: "yes".into() };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    stage.ended(pid).await;
    let drop = |checkpoint| checkpoint::DropCheckpoint { checkpoint };
    stage.host().call(drop(first)).await.unwrap();
    assert_eq!(stage.would_go(u64::MAX), BTreeSet::new(), "one checkpoint is left");
    let preview = checkpoint::Preview { checkpoint: second };
    let token = stage.host().call(preview).await.unwrap().token;
    let restore = checkpoint::Restore { checkpoint: second, token };
    stage.host().call(restore).await.unwrap();
    stage.host().call(drop(second)).await.unwrap();
    let request = stage.asked().await;
    assert_eq!(stage.would_go(u64::MAX), BTreeSet::new(), "it lives again");
    let decision = human::Decision::Answer { text: "yes".into() };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    stage.ended(pid).await;
    assert_eq!(stage.would_go(u64::MAX), BTreeSet::from([digest]));
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_is_an_act_of_the_host_that_the_record_tells_of() {
    let mut stage = Stage::start();
    let (text, digest) = large("to go");
    let (kept, _) = large("to stay");
    let pid = stage
        .launch(&[
            write("a.txt", &text),
            json!({ "call": "audit.compact", "args": { "before_ms": u64::MAX },
                "expect": "denied" }),
            json!({ "call": "object.create", "args": { "type": "note", "payload": kept.clone() },
                "save": "o", "expect": "ok" }),
        ])
        .await;
    stage.ended(pid).await;
    let (before, head) = {
        let reader = SqliteJournal::open_read_only(&stage.store()).unwrap();
        (stage.runtime.digest().await.unwrap(), reader.head())
    };
    let host = stage.host();
    let nothing = host.call(audit::Compact { before_ms: START_MS }).await.unwrap();
    assert_eq!((nothing.payloads, nothing.bytes), (0, 0));
    let done = host.call(audit::Compact { before_ms: START_MS + 1 }).await.unwrap();
    assert_eq!((done.payloads, done.bytes), (1, text.len() as u64));
    assert_eq!(done.list, Digest::of(&digest.0));
    // The object still has its own; so does everything that is not finished work.
    let objects =
        host.call(object::List { r#type: None, after: None, limit: None }).await.unwrap().objects;
    let object = host.call(object::Read { id: objects[0].id }).await.unwrap();
    assert_eq!(object.payload.value().unwrap(), json!(kept));

    let live = stage.runtime.digest().await.unwrap();
    stage.runtime.shutdown().unwrap();
    let journal = SqliteJournal::open(&stage.folder.path().join("store")).unwrap();
    assert!(matches!(journal.blobs().get(&digest), Err(JournalError::BlobDropped { .. })));
    assert!(journal.verify(Some(&head)).unwrap().size > head.size);
    retention::check(&journal).unwrap();
    assert_eq!(replay_digest(&journal).unwrap(), live);
    assert_ne!(live, before, "operations have their numbers");
    let trail = Trail::read(&journal).unwrap();
    let acts: Vec<_> = trail.operations.values().filter(|op| op.call == "audit.compact").collect();
    let told: Vec<_> =
        acts.iter().map(|op| (op.caller.to_string(), op.ended, op.dispatched.is_some())).collect();
    assert_eq!(
        told,
        [
            (pid.to_string(), Some("denied"), false),
            ("host:tester".to_owned(), Some("ok"), true),
            ("host:tester".to_owned(), Some("ok"), true),
        ]
    );
}

/// A journal that is copied, as a kill would leave it, when half of an act is done.
struct Cut {
    journal: SqliteJournal,
    store: PathBuf,
    copy: PathBuf,
}

impl Journal for Cut {
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError> {
        self.journal.append(batch, sync)
    }
    fn flush(&mut self) -> Result<Head, JournalError> {
        self.journal.flush()
    }
    fn head(&self) -> Head {
        self.journal.head()
    }
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        self.journal.read(from, limit)
    }
    fn blobs(&self) -> Arc<dyn Blobs> {
        self.journal.blobs()
    }
    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        self.journal.verify(against)
    }
    fn drop_blobs(&mut self, act: u64, digests: &[Digest]) -> Result<Dropped, JournalError> {
        self.journal.drop_blobs(act, &digests[..digests.len() / 2])?;
        copy(&self.store, &self.copy);
        self.journal.drop_blobs(act, digests)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("segments")).unwrap();
    for folder in ["", "segments"] {
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_owned();
            if path.is_file() && name != "journal.db-shm" && name != "lock" {
                fs::copy(&path, to.join(folder).join(name)).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_is_finished_and_told_as_one_act() {
    let mut stage = Stage::start();
    let texts: Vec<_> = (0..6).map(|n| large(&format!("text {n}"))).collect();
    let plan: Vec<_> =
        texts.iter().enumerate().map(|(n, (text, _))| write(&format!("{n}.txt"), text)).collect();
    let pid = stage.launch(&plan).await;
    stage.ended(pid).await;
    let store = stage.store();
    stage.runtime.shutdown().unwrap();
    let killed = stage.folder.path().join("killed");
    let journal = Cut {
        journal: SqliteJournal::open(&store).unwrap(),
        store: store.clone(),
        copy: killed.clone(),
    };
    let runtime = Builder::new().journal(Box::new(journal)).start().unwrap();
    let whole = runtime.port("tester").call(audit::Compact { before_ms: u64::MAX }).await.unwrap();
    assert_eq!(whole.payloads, 6);
    runtime.shutdown().unwrap();

    // The intent is there, half is done, and there is no outcome.
    let reader = SqliteJournal::open_read_only(&killed).unwrap();
    assert_eq!(retention::plan(&reader, u64::MAX).unwrap().digests.len(), 3);
    let open: Vec<_> = Trail::read(&reader).unwrap().operations.into_values().collect();
    let act = open.iter().find(|op| op.call == "audit.compact").unwrap();
    assert!(act.dispatched.is_some() && act.ended.is_none());
    retention::check(&reader).unwrap();
    let (runtime, mut watch) = Builder::new().store(&killed).start_watched().unwrap();
    while watch.next().await != Some(News::Idle) {}
    runtime.shutdown().unwrap();
    let reader = SqliteJournal::open_read_only(&killed).unwrap();
    let trail = Trail::read(&reader).unwrap();
    let act = trail.operations.values().find(|op| op.call == "audit.compact").unwrap();
    let told = act.outcome.clone().unwrap().unwrap().json().unwrap();
    assert_eq!(told, json!({ "payloads": 6, "bytes": whole.bytes, "list": whole.list }));
    retention::check(&reader).unwrap();
}

/// Whoever drops a payload behind the record is found, though the store is whole in itself: in the
/// name of the act that there was, of an operation that was none, and of one that never was.
#[tokio::test(flavor = "multi_thread")]
async fn payloads_dropped_behind_the_record_are_found() {
    for behind in ["audit.compact", "fs.write", "none"] {
        let mut stage = Stage::start();
        let (text, _) = large("to go");
        let first = stage.launch(&[write("a.txt", &text)]).await;
        stage.ended(first).await;
        stage.host().call(audit::Compact { before_ms: u64::MAX }).await.unwrap();
        let (other, digest) = large("to stay");
        let second = stage.launch(&[write("b.txt", &other)]).await;
        stage.ended(second).await;
        stage.runtime.shutdown().unwrap();

        let store = stage.folder.path().join("store");
        let mut journal = SqliteJournal::open(&store).unwrap();
        retention::check(&journal).unwrap();
        let trail = Trail::read(&journal).unwrap();
        let act = trail.operations.values().find(|op| op.call == behind);
        let act = act.map_or(999, |op| op.op.0);
        journal.drop_blobs(act, &[digest]).unwrap();
        journal.verify(None).unwrap();
        let error = retention::check(&journal).unwrap_err().to_string();
        assert!(error.contains(&format!("in the name of op-{act},")), "{behind}: {error}");
    }
}
