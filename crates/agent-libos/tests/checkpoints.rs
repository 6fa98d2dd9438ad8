//! Checkpoints of a whole runtime: what comes back, what stays, and what a copy gets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests"
)]

use std::{sync::Arc, time::Duration};

use agent_libos::{
    Builder, Runtime,
    abi::{
        CheckpointId, Digest, GrantSpec, Outcome, Pid, Seq, Syscall, capability, checkpoint, human,
        message, object,
        process::{self, ProcessState},
    },
    journal::{Batch, Blobs, Head, Journal, JournalError, MemoryJournal, Sync},
    port::Port,
    replay_digest,
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
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

fn of<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn script(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn call(name: &str, args: Value) -> Value {
    json!({ "call": name, "args": args, "expect": "ok" })
}

/// Waits for a message: a place at which a plan stands still.
fn stands() -> Value {
    call("message.receive", json!({}))
}

/// A runtime with a plan under way, and its journal.
struct Lab {
    runtime: Runtime,
    host: Arc<dyn Port>,
    journal: Shared,
    pid: Pid,
}

impl Lab {
    async fn new(plan: &[Value], grants: Value) -> Self {
        let journal = Shared::default();
        let runtime = Builder::new().journal(Box::new(journal.clone())).start().unwrap();
        let host = runtime.port("tester");
        let launch: process::Launch = of(json!({
            "image": "base", "goal": "a test", "grants": grants, "budget": {},
            "planner": { "kind": "script", "program": script(plan) },
        }));
        let pid = host.call(launch).await.unwrap().pid;
        Self { runtime, host, journal, pid }
    }

    async fn call(&self, call: impl Into<Syscall>) -> Outcome {
        self.host.submit(call.into()).await
    }

    /// The state of a process, if there is one.
    async fn state(&self, pid: Pid) -> Option<ProcessState> {
        Some(self.host.call(process::Inspect { pid }).await.ok()?.state)
    }

    /// Waits until a process is in a state.
    async fn until(&self, pid: Pid, state: ProcessState) {
        for _ in 0..6_000 {
            if self.state(pid).await == Some(state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{pid} is {:?} and not {state:?}", self.state(pid).await);
    }

    async fn checkpoint(&self) -> CheckpointId {
        let create = checkpoint::Create { pid: Some(self.pid), reason: None };
        self.host.call(create).await.unwrap().id
    }

    async fn token(&self, checkpoint: CheckpointId) -> Digest {
        self.host.call(checkpoint::Preview { checkpoint }).await.unwrap().token
    }

    async fn restore(&self, checkpoint: CheckpointId) -> checkpoint::Restored {
        let token = self.token(checkpoint).await;
        self.host.call(checkpoint::Restore { checkpoint, token }).await.unwrap()
    }

    async fn send(&self, to: Pid) {
        let send: message::Send = of(json!({ "to": to, "body": "go on" }));
        self.host.call(send).await.unwrap();
    }

    /// The versions of every object of a type, in the order of their ids.
    async fn versions(&self, r#type: &str) -> Vec<u64> {
        let list = object::List { r#type: Some(r#type.into()), after: None, limit: None };
        let objects = self.host.call(list).await.unwrap().objects;
        objects.into_iter().map(|object| object.version).collect()
    }

    /// The state is the fold of the journal.
    async fn close(self) {
        let live = self.runtime.digest().await.unwrap();
        let journal = self.journal.0.lock();
        assert_eq!(replay_digest(&*journal).unwrap(), live);
    }
}

#[tokio::test]
async fn a_task_that_ended_comes_back_and_does_the_rest_again() {
    let plan = [
        json!({ "call": "object.create", "args": { "type": "note", "payload": 1 }, "save": "o" }),
        stands(),
        call("object.update", json!({ "id": "${o.id}", "payload": 2 })),
        call("object.create", json!({ "type": "later", "payload": 3 })),
        call("process.chdir", json!({ "path": "elsewhere" })),
    ];
    let chdir = json!({ "effect": "allow", "on": "fs:workspace/*", "rights": ["read"] });
    let lab = Lab::new(&plan, json!([chdir])).await;
    lab.until(lab.pid, ProcessState::Waiting).await;
    let checkpoint = lab.checkpoint().await;
    let unchanged = lab.host.call(checkpoint::Diff { checkpoint }).await.unwrap();
    assert_eq!((unchanged.processes.len(), unchanged.objects.len()), (0, 0));
    let token = lab.token(checkpoint).await;
    for round in 1..=2 {
        lab.send(lab.pid).await;
        lab.until(lab.pid, ProcessState::Exited).await;
        assert_eq!((lab.versions("note").await, lab.versions("later").await), (vec![2], vec![1]));
        let stale = lab.call(checkpoint::Restore { checkpoint, token }).await;
        assert_eq!(stale.unwrap_err().code(), "stale", "it stands for another moment");

        let restored = lab.restore(checkpoint).await;
        assert_eq!((&restored.processes, &restored.revived), (&vec![lab.pid], &vec![lab.pid]));
        assert_eq!(restored.objects, 2);
        // It runs its quantum again up to where it stood: what was done is not done twice.
        lab.until(lab.pid, ProcessState::Waiting).await;
        assert_eq!((lab.versions("note").await, lab.versions("later").await), (vec![1], vec![]));
        let info = lab.host.call(process::Inspect { pid: lab.pid }).await.unwrap();
        assert_eq!((&*info.cwd.0, info.unread, info.ending), ("workspace", 0, None), "{round}");
    }
    lab.close().await;
}

#[tokio::test]
async fn what_was_made_since_is_gone_and_what_runs_is_stopped() {
    let child = script(&[stands()]);
    let plan = [
        stands(),
        json!({ "spawn": { "goal": "a child", "program": child }, "save": "c" }),
        call("process.wait", json!({ "pid": "${c.pid}" })),
    ];
    let spawn = json!({ "effect": "allow", "on": "process:spawn", "rights": ["write"] });
    let lab = Lab::new(&plan, json!([spawn])).await;
    lab.until(lab.pid, ProcessState::Waiting).await;
    let checkpoint = lab.checkpoint().await;
    lab.send(lab.pid).await;
    let child = Pid(lab.pid.0 + 1);
    lab.until(child, ProcessState::Waiting).await;
    lab.until(lab.pid, ProcessState::Waiting).await;
    let restored = lab.restore(checkpoint).await;
    assert_eq!((restored.ended, restored.revived), (vec![child], vec![]));
    assert_eq!(lab.state(child).await, Some(ProcessState::Killed));
    lab.until(lab.pid, ProcessState::Waiting).await;
    lab.send(lab.pid).await;
    lab.until(Pid(child.0 + 1), ProcessState::Waiting).await;
    lab.close().await;
}

#[tokio::test]
async fn what_was_spent_or_asked_since_does_not_come_back() {
    let plan = [
        stands(),
        json!({ "call": "clock.now", "args": {}, "save": "first" }),
        json!({ "call": "human.ask", "args": { "question": "so?" } }),
    ];
    let once: GrantSpec = of(json!({
        "effect": "allow", "on": "clock:now", "rights": ["read"], "uses": 1,
    }));
    let asks = json!({ "effect": "allow", "on": "human:owner", "rights": ["write"] });
    let lab = Lab::new(&plan, json!([once, asks])).await;
    lab.until(lab.pid, ProcessState::Waiting).await;
    let checkpoint = lab.checkpoint().await;
    let granted = capability::Grant {
        to: lab.pid,
        grant: of(json!({ "effect": "allow", "on": "fs:workspace/*", "rights": ["write"] })),
    };
    let later = lab.host.call(granted).await.unwrap().capability;
    lab.send(lab.pid).await;
    let pending =
        || async { lab.host.call(human::List { all: None }).await.unwrap().requests.len() };
    for _ in 0..6_000 {
        if pending().await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(pending().await, 1);
    let restored = lab.restore(checkpoint).await;
    assert_eq!(restored.revoked, [later], "what was given since is taken back");
    assert_eq!(pending().await, 0, "the question of a future that is given up is cancelled");
    lab.until(lab.pid, ProcessState::Waiting).await;
    lab.send(lab.pid).await;
    for _ in 0..6_000 {
        if pending().await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held = capability::List { pid: Some(lab.pid), all: Some(true), after: None, limit: None };
    let held = lab.host.call(held).await.unwrap().capabilities;
    let spent = held.iter().find(|cap| cap.on == once.on).unwrap();
    assert_eq!(spent.uses_left, Some(0), "the one use was spent before and stays spent");
    lab.close().await;
}

#[tokio::test]
async fn a_fork_goes_its_own_way_with_a_copy_of_what_there_was() {
    let plan = [
        json!({ "call": "object.create", "args": { "type": "note", "payload": 1 }, "save": "o" }),
        stands(),
        call("object.update", json!({ "id": "${o.id}", "payload": 2 })),
    ];
    let lab = Lab::new(&plan, json!([])).await;
    lab.until(lab.pid, ProcessState::Waiting).await;
    let checkpoint = lab.checkpoint().await;
    lab.send(lab.pid).await;
    lab.until(lab.pid, ProcessState::Exited).await;
    let forked = lab.host.call(checkpoint::Fork { checkpoint, parent: None }).await.unwrap();
    assert_ne!(forked.pid, lab.pid);
    lab.until(forked.pid, ProcessState::Waiting).await;
    // The copy of the note, and the one that the fork makes in its own quantum.
    assert_eq!(lab.versions("note").await, [2, 1, 1]);
    lab.send(forked.pid).await;
    lab.until(forked.pid, ProcessState::Exited).await;
    assert_eq!(lab.versions("note").await, [2, 1, 2], "it works on its own");
    let read = object::Read { id: agent_libos::abi::ObjectId { space: forked.pid, number: 1 } };
    assert_eq!(lab.host.call(read).await.unwrap().payload.value().unwrap(), json!(1));
    lab.close().await;
}

#[tokio::test]
async fn a_process_forks_from_its_own_checkpoint_and_restores_none() {
    let plan = [
        json!({ "call": "checkpoint.create", "args": {}, "save": "c", "expect": "ok" }),
        json!({ "call": "checkpoint.list", "args": {}, "save": "l", "expect": "denied" }),
        call("checkpoint.inspect", json!({ "checkpoint": "${c.id}" })),
        json!({ "call": "checkpoint.preview", "args": { "checkpoint": "${c.id}" },
            "save": "p", "expect": "ok" }),
        json!({ "call": "checkpoint.restore", "expect": "inside",
            "args": { "checkpoint": "${c.id}", "token": "${p.token}" } }),
        call("checkpoint.fork", json!({ "checkpoint": "${c.id}" })),
    ];
    let grant = |on: &str, right: &str| json!({ "effect": "allow", "on": on, "rights": [right] });
    let grants = json!([
        grant("checkpoint:own", "write"),
        grant("checkpoint:p1/*", "admin"),
        grant("checkpoint:p1/*", "execute"),
    ]);
    let lab = Lab::new(&plan, grants).await;
    lab.until(lab.pid, ProcessState::Exited).await;
    let ending = lab.host.call(process::Inspect { pid: lab.pid }).await.unwrap().ending.unwrap();
    assert_eq!(ending.message, None, "every step ended as it was to");
    // The copy makes checkpoints of its own, and has no right to fork from them.
    let child = Pid(lab.pid.0 + 1);
    lab.until(child, ProcessState::Failed).await;
    let info = lab.host.call(process::Inspect { pid: child }).await.unwrap();
    assert_eq!(info.parent, Some(lab.pid));
    assert_eq!(info.ending.unwrap().code.as_deref(), Some("denied"));
    lab.close().await;
}

#[tokio::test]
async fn an_image_of_a_checkpoint_makes_processes_that_hold_nothing() {
    let lab = Lab::new(
        &[stands()],
        json!([{ "effect": "allow", "on": "fs:workspace/*", "rights": ["read"] }]),
    )
    .await;
    lab.until(lab.pid, ProcessState::Waiting).await;
    let checkpoint = lab.checkpoint().await;
    let commit = checkpoint::Commit {
        checkpoint,
        image: "mine".into(),
        version: Some("2".into()),
        replace: None,
    };
    let image = lab.host.call(commit.clone()).await.unwrap();
    assert_eq!((&*image.name, image.required_capabilities.len()), ("mine", 1));
    assert_eq!(lab.call(commit).await.unwrap_err().code(), "bad_image", "it is there already");
    let launch: process::Launch = of(json!({
        "image": "mine", "goal": "again", "grants": [], "budget": {},
        "planner": { "kind": "none", "program": "" },
    }));
    let made = lab.host.call(launch).await.unwrap();
    let list = capability::List { pid: Some(made.pid), all: None, after: None, limit: None };
    assert_eq!(lab.host.call(list).await.unwrap().capabilities, []);
    lab.close().await;
}
