//! What becomes of effects and steps when a runtime ends in the middle: cut off behind any record,
//! another takes over.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use agent_libos::{
    Builder, HostPort, Limits, News, Runtime, Watch,
    abi::{
        CapId, Error, Fault, Json, Millis, Outcome, Pid, RequestId, Seq, Syscall, audit,
        capability, clock, human, message,
        process::{self, Budget, Ending, Launch, PlannerSpec, ProcessState},
        shell, tool,
    },
    broker::Notice,
    journal::{Batch, Blobs, Head, Journal, JournalError, MemoryJournal, Sync},
    port::{BoxFuture, EffectOutcome, Order, Planner, Port, Provider, QuantumEnd, Receipt, Turn},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A journal of which the test takes what a crash would have left.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryJournal>>);

impl Shared {
    /// A journal with the first records of this one.
    fn cut(&self, records: u64) -> Self {
        let whole = self.0.lock();
        let bodies = whole.read(Seq(0), usize::try_from(records).unwrap()).unwrap();
        let mut batch = Batch::of(bodies.into_iter().map(|(_, body)| body));
        for (digest, _) in whole.blobs().list().unwrap() {
            batch.blobs.push((digest, whole.blobs().get(&digest).unwrap()));
        }
        let mut journal = MemoryJournal::new();
        journal.append(&batch, Sync::Durable).unwrap();
        Self(Arc::new(Mutex::new(journal)))
    }

    fn size(&self) -> u64 {
        self.0.lock().head().size
    }
}

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

/// A shell that starts nothing and does what it is told.
#[derive(Default)]
struct FakeShell {
    performed: AtomicUsize,
    /// Says of this many calls that nothing began, once it may.
    not_started: AtomicUsize,
    may_end: Option<Arc<Notify>>,
}

impl Provider for FakeShell {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let Syscall::Shell(shell::Call::Run(run)) = order.call else { unreachable!() };
        let left = self.not_started.load(Ordering::SeqCst);
        self.not_started.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 0 {
            self.performed.fetch_add(1, Ordering::SeqCst);
        }
        let may_end = self.may_end.clone();
        let ended = shell::Ended {
            exit_code: Some(0),
            signal: None,
            stdout: run.argv.join(" ").into(),
            stderr: "".into(),
            truncated: false,
            wall_ms: 0,
            ..Default::default()
        };
        Box::pin(async move {
            if let Some(may_end) = may_end {
                may_end.notified().await;
            }
            match left {
                0 => EffectOutcome::Done(shell::Reply::Run(ended.into()).into()),
                _ => EffectOutcome::NotStarted(shell::FailureKind::NotFound.because("absent")),
            }
        })
    }
}

fn launch(kind: &str, program: &str, grants: Value) -> Launch {
    Launch {
        image: "base".into(),
        goal: "a test".into(),
        workspace: None,
        planner: PlannerSpec { kind: kind.into(), program: program.into() },
        grants: serde_json::from_value(grants).unwrap(),
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    }
}

fn script(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn once() -> Value {
    json!([{ "on": "shell:make", "rights": ["execute"], "uses": 1 }])
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

    /// Waits until nothing moves by itself.
    async fn idle(&mut self) {
        while self.news().await != News::Idle {}
    }

    async fn run(&mut self, launch: Launch) -> Ending {
        let made = self.host().call(launch).await.unwrap();
        self.ending_of(made.pid).await
    }

    async fn ending(&self, pid: Pid) -> Option<Ending> {
        self.host().call(process::Inspect { pid }).await.unwrap().ending
    }

    async fn requests(&self) -> Vec<human::Request> {
        self.host().call(human::List { all: Some(true) }).await.unwrap().requests
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_given_back_when_the_provider_certifies_that_nothing_began() {
    let shell = Arc::new(FakeShell { not_started: AtomicUsize::new(1), ..FakeShell::default() });
    let mut stage = Stage::start(Builder::new().provider(Arc::<FakeShell>::clone(&shell)));
    let run =
        |expect| json!({ "call": "shell.run", "args": { "argv": ["make"] }, "expect": expect });
    let plan = script(&[run("not_found"), run("ok"), run("denied")]);
    let ending = stage.run(launch("script", &plan, once())).await;
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
    assert_eq!(shell.performed.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_wins_over_giving_back() {
    let may_end = Arc::new(Notify::new());
    let shell = FakeShell {
        not_started: AtomicUsize::new(1),
        may_end: Some(Arc::clone(&may_end)),
        ..FakeShell::default()
    };
    let mut stage = Stage::start(Builder::new().provider(Arc::new(shell)));
    let run =
        |expect| json!({ "call": "shell.run", "args": { "argv": ["make"] }, "expect": expect });
    let plan = script(&[run("not_found"), run("denied")]);
    let pid = stage.host().call(launch("script", &plan, once())).await.unwrap().pid;
    let held = stage
        .host()
        .call(capability::List { pid: Some(pid), all: None, after: None, limit: None })
        .await
        .unwrap();
    let capability: CapId = held.capabilities[0].id;
    // The effect is under way when its authority is taken back.
    while !stage.is_under_way(pid).await {
        tokio::task::yield_now().await;
    }
    stage.host().call(capability::Revoke { capability, reason: None }).await.unwrap();
    may_end.notify_one();
    let ending = stage.ending_of(pid).await;
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
}

/// A planner that makes one call a quantum and keeps what it was shown.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<Vec<Receipt>>>>);

impl Planner for Shown {
    fn kind(&self) -> &'static str {
        "shown"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        self.0.lock().push(turn.receipts.clone());
        let rounds: usize = turn.program.parse().unwrap();
        Box::pin(async move {
            let round: usize = turn.state.parse().unwrap_or(0);
            if round == rounds {
                let message = None;
                return QuantumEnd::Exit { result: None, message, failed: false, code: None };
            }
            drop(turn.port.call(clock::GetNow {}).await);
            drop(turn.port.submit(make(&format!("round {round}"))).await);
            QuantumEnd::Continue { state: (round + 1).to_string() }
        })
    }
}

fn make(what: &str) -> Syscall {
    let argv = vec!["make".to_owned(), what.to_owned()];
    let run: shell::Run = serde_json::from_value(json!({ "argv": argv })).unwrap();
    run.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planner_is_shown_what_is_done_whatever_was_committed_or_crashed() {
    let shown = Shown::default();
    let journal = Shared::default();
    let build = |journal: &Shared| {
        let planner = Arc::new(shown.clone());
        Builder::new()
            .journal(Box::new(journal.clone()))
            .provider(Arc::new(FakeShell::default()))
            .planner(planner)
    };
    let mut stage = Stage::start(build(&journal));
    let allowed = json!([{ "on": "shell:make", "rights": ["execute"] }]);
    let rounds = 40;
    let launch = launch("shown", &rounds.to_string(), allowed);
    let ending = stage.run(launch).await;
    assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
    stage.runtime.shutdown().unwrap();
    let turns = std::mem::take(&mut *shown.0.lock());
    assert_eq!(turns.len(), rounds + 1);
    for (round, receipts) in turns.iter().enumerate() {
        assert_eq!(receipts.len(), round.min(32), "effects only, and no more than a few");
        let Some(last) = receipts.last() else { continue };
        assert_eq!((last.call, last.outcome), ("shell.run", "ok"));
        let others = &receipts[..receipts.len() - 1];
        assert!(turns[round - 1].ends_with(others), "one more than the turn before");
        assert!(others.iter().all(|other| other.digest != last.digest), "each was another call");
    }
    // One that takes over in the middle shows the same at its first turn as was shown there.
    for records in [journal.size() / 3, journal.size() / 2] {
        let mut stage = Stage::start(build(&journal.cut(records)));
        stage.idle().await;
        let again = std::mem::take(&mut *shown.0.lock());
        assert!(!again.is_empty());
        let first = &again[0];
        assert!(turns.contains(first) || first.len() == 32, "{first:?}");
        assert_eq!(again.last().unwrap(), turns.last().unwrap());
    }
}

/// A planner that has two calls under way at once.
struct Twin;

impl Planner for Twin {
    fn kind(&self) -> &'static str {
        "twin"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        Box::pin(async move {
            let sleep = |ms| -> Syscall { clock::Sleep { ms: Millis(ms) }.into() };
            // The first one submitted is the last to end.
            let (slow, fast) = (turn.port.submit(sleep(30)), turn.port.submit(sleep(5)));
            let (slow, fast) = tokio::join!(slow, fast);
            let run = turn.port.submit(make("it")).await;
            let message = Some([slow, fast, run].map(|outcome| word(&outcome)).join(" "));
            QuantumEnd::Exit { result: None, message, failed: false, code: None }
        })
    }
}

fn word(outcome: &Outcome) -> &'static str {
    outcome.as_ref().map_or_else(Error::code, |_| "ok")
}

/// Cut off behind every record: the calls under way together keep their numbers, the effect is
/// performed once or unknown, and the process comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_together_keep_their_numbers_wherever_it_is_cut() {
    let journal = Shared::default();
    let allowed = json!([
        { "on": "clock:*", "rights": ["read"] }, { "on": "shell:make", "rights": ["execute"] },
    ]);
    let build = |journal: &Shared, shell: &Arc<FakeShell>| {
        Builder::new()
            .journal(Box::new(journal.clone()))
            .provider(Arc::<FakeShell>::clone(shell))
            .planner(Arc::new(Twin))
    };
    let mut stage = Stage::start(build(&journal, &Arc::default()));
    let pid = stage.host().call(launch("twin", "", allowed)).await.unwrap().pid;
    let ending = stage.ending_of(pid).await;
    assert_eq!(ending.message.as_deref(), Some("ok ok ok"), "{ending:?}");
    let numbers = stage.steps(pid).await;
    assert_eq!(numbers, ["1 clock.sleep 30", "2 clock.sleep 5", "3 shell.run null"]);
    stage.runtime.shutdown().unwrap();
    let mut unknown = 0;
    for records in 1..=journal.size() {
        let shell: Arc<FakeShell> = Arc::default();
        let mut stage = Stage::start(build(&journal.cut(records), &shell));
        stage.idle().await;
        let ending = stage.ending(pid).await.unwrap_or_else(|| panic!("cut behind {records}"));
        assert_eq!(stage.steps(pid).await, numbers, "cut behind {records}");
        let performed = shell.performed.load(Ordering::SeqCst);
        match ending.message.as_deref() {
            Some("ok ok ok") => assert!(performed <= 1),
            Some("ok ok unknown_outcome") => {
                assert_eq!(performed, 0, "what is unknown is not performed again");
                let asked = stage.requests().await;
                assert!(matches!(asked[0].ask, human::Ask::Unknown { .. }), "{asked:?}");
                unknown += 1;
            }
            other => panic!("cut behind {records}: {other:?}"),
        }
    }
    assert_eq!(unknown, 1, "between the intent and the outcome, and nowhere else");
}

/// A tool that makes another call each time it runs.
#[derive(Default)]
struct Fickle(AtomicUsize);

impl Provider for Fickle {
    fn serves(&self) -> &'static [&'static str] {
        &["tool"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let is_first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            let call: Syscall = match is_first {
                true => clock::GetNow {}.into(),
                false => process::GetCwd {}.into(),
            };
            if let Err(error) = order.port.submit(call).await {
                return EffectOutcome::Failed(error);
            }
            // What waits parks the process, and its tool is dropped with it.
            let letter = message::Receive {
                from: None,
                subject: None,
                limit: None,
                timeout_ms: None,
                channel: None,
                correlation: None,
                reply_to: None,
            };
            match order.port.call(letter).await {
                Ok(_) => {
                    let result = Json::from(&json!("done"));
                    EffectOutcome::Done(tool::Reply::CallTool(tool::ToolResult { result }).into())
                }
                Err(error) => EffectOutcome::Failed(error),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_step_that_differs_names_both_calls() {
    let journal = Shared::default();
    let fickle = Arc::new(Fickle::default());
    let build = |journal: &Shared| {
        let provider = Arc::clone(&fickle);
        Builder::new().journal(Box::new(journal.clone())).provider(provider)
    };
    let plan = script(&[
        json!({ "tool": "read_file", "args": { "path": "a" }, "expect": "diverged", "save": "e" }),
        json!({ "exit": { "message": "${e.error.message}" } }),
    ]);
    let allowed = json!([{ "on": "clock:*", "rights": ["read"] }]);
    let stage = Stage::start(build(&journal));
    let pid = stage.host().call(launch("script", &plan, allowed)).await.unwrap().pid;
    stage.waits(pid).await;
    stage.runtime.shutdown().unwrap();
    let mut stage = Stage::start(build(&journal));
    stage.waits(pid).await;
    let letter = json!({ "to": pid, "body": "go on" });
    let letter: message::Send = serde_json::from_value(letter).unwrap();
    stage.host().call(letter).await.unwrap();
    let ending = stage.ending_of(pid).await;
    let said = ending.message.unwrap();
    assert!(said.contains("clock.now") && said.contains("process.cwd"), "{said}");
    let fault = Fault::Diverged { recorded: "clock.now".into(), called: "process.cwd".into() };
    assert_eq!(said, fault.to_string());
}

/// What a human says of an effect that nobody knew of reaches the process, by a letter and as an
/// event, and does nothing again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_human_says_of_an_unknown_effect_is_told_and_nothing_is_repeated() {
    let journal = Shared::default();
    let may_end = Arc::new(Notify::new());
    let first = FakeShell { may_end: Some(may_end), ..FakeShell::default() };
    let build = |journal: &Shared, shell: FakeShell| {
        Builder::new().journal(Box::new(journal.clone())).provider(Arc::new(shell))
    };
    let plan = script(&[
        json!({ "call": "event.subscribe", "args": { "kinds": ["request_answered"] },
            "expect": "ok" }),
        json!({ "call": "shell.run", "args": { "argv": ["make"] }, "expect": "unknown_outcome" }),
        json!({ "call": "message.receive", "args": {}, "save": "m", "expect": "ok" }),
        json!({ "call": "event.wait", "args": {}, "save": "e", "expect": "ok" }),
        json!({ "exit": { "message": "${m.messages.0.payload.known} ${e.events}" } }),
    ]);
    let stage = Stage::start(build(&journal, first));
    let pid = stage.host().call(launch("script", &plan, once())).await.unwrap().pid;
    while !stage.is_under_way(pid).await {
        tokio::task::yield_now().await;
    }
    let left = journal.cut(journal.size());
    drop(stage);
    let mut stage = Stage::start(build(&left, FakeShell::default()));
    stage.idle().await;
    let asked = stage.requests().await;
    let request: RequestId = asked[0].id;
    let human::Ask::Unknown { call, args, .. } = &asked[0].ask else { panic!("{asked:?}") };
    assert_eq!((call.as_str(), &args.value().unwrap()["argv"]), ("shell.run", &json!(["make"])));
    let deny = human::Decision::Deny { reason: None };
    let refused = stage.host().call(human::Decide { request, decision: deny }).await.unwrap_err();
    assert_eq!(refused.code(), "wrong_answer");
    let decision = human::Decision::Known { what: human::Known::NotDone };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    let ending = stage.ending_of(pid).await;
    let said = ending.message.unwrap();
    assert!(said.starts_with("not_done") && said.contains("request_answered"), "{said}");
}

/// A planner that asks a human and makes something at the same time, or only tells the time.
struct Asker;

impl Planner for Asker {
    fn kind(&self) -> &'static str {
        "asker"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        Box::pin(async move {
            let message = match &*turn.program {
                "ask" => {
                    let (question, context, human) = ("which?".into(), None, None);
                    let ask = human::AskQuestion { question, context, human };
                    let (made, answer) =
                        (turn.port.submit(make("it")), turn.port.submit(ask.into()));
                    let (made, answer) = tokio::join!(made, answer);
                    [made, answer].map(|outcome| word(&outcome)).join(" ")
                }
                _ => word(&turn.port.submit(clock::GetNow {}.into()).await).to_owned(),
            };
            QuantumEnd::Exit { result: None, message: Some(message), failed: false, code: None }
        })
    }
}

/// Of two calls under way together one waits for a human and the other ends: the run has nothing to
/// do then, and keeps nobody from running. Its effect is not repeated when it runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_waits_gives_its_slot_to_who_can_run() {
    let may_end = Arc::new(Notify::new());
    let shell = FakeShell { may_end: Some(Arc::clone(&may_end)), ..FakeShell::default() };
    let shell = Arc::new(shell);
    let limits = Limits { running_max: 1, ..Limits::default() };
    let build = Builder::new().limits(limits).planner(Arc::new(Asker));
    let mut stage = Stage::start(build.provider(Arc::<FakeShell>::clone(&shell)));
    let grants = json!([
        { "on": "shell:make", "rights": ["execute"] }, { "on": "human:owner", "rights": ["write"] },
    ]);
    let asker = stage.host().call(launch("asker", "ask", grants)).await.unwrap().pid;
    while !stage.is_under_way(asker).await || stage.requests().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let grants = json!([{ "on": "clock:*", "rights": ["read"] }]);
    let other = stage.host().call(launch("asker", "look", grants)).await.unwrap().pid;
    let state = stage.host().call(process::Inspect { pid: other }).await.unwrap().state;
    assert_eq!(state, ProcessState::Runnable, "the only slot is taken");
    may_end.notify_one();
    assert_eq!(stage.ending_of(other).await.message.as_deref(), Some("ok"));
    stage.waits(asker).await;
    let request = stage.requests().await[0].id;
    let decision = human::Decision::Answer { text: "this".into() };
    stage.host().call(human::Decide { request, decision }).await.unwrap();
    assert_eq!(stage.ending_of(asker).await.message.as_deref(), Some("ok ok"));
    assert_eq!(shell.performed.load(Ordering::SeqCst), 1);
}

impl Stage {
    /// What the audit tells of a process.
    async fn events(&self, pid: Pid) -> Vec<Value> {
        let list = audit::List { from: None, pid: Some(pid), limit: Some(1000) };
        let entries = self.host().call(list).await.unwrap().entries;
        entries.iter().map(|entry| entry.event.value().unwrap()).collect()
    }

    /// Waits until the process does.
    async fn waits(&self, pid: Pid) {
        let state = async || self.host().call(process::Inspect { pid }).await.unwrap().state;
        while state().await != ProcessState::Waiting {
            tokio::task::yield_now().await;
        }
    }

    /// Whether an effect of the process was under way.
    async fn is_under_way(&self, pid: Pid) -> bool {
        self.events(pid).await.iter().any(|event| event["type"] == "op.dispatched")
    }

    /// The steps that were admitted, with the time they sleep, in the order of their numbers.
    async fn steps(&self, pid: Pid) -> Vec<String> {
        let events = self.events(pid).await;
        let steps = events.iter().filter(|it| it["type"] == "op.admitted" && it["step"] != 0);
        let name = |it: &Value| it["call"].as_str().unwrap_or_default().to_owned();
        let mut steps: Vec<String> =
            steps.map(|it| format!("{} {} {}", it["step"], name(it), it["args"]["ms"])).collect();
        steps.sort();
        steps
    }
}
