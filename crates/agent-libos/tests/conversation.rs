//! What a conversation with a model takes in the store, told from the files of a real one.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests panic like the tests, look at files, and tell what they measured"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use agent_libos::{
    Builder, News,
    abi::{
        Event, GrantSpec, Json, OpId, Outcome, Reply, Scope, Seq, Syscall,
        event::OpEvent,
        human,
        llm::{Call, Completion, Finish, Message, Part, Reply as LlmReply, Role, Tokens},
        object,
        process::{Budget, Launch, PlannerSpec, ProcessState},
        wire,
    },
    audit,
    broker::Notice,
    journal::{Journal, MemoryJournal, SqliteJournal},
    port::{BoxFuture, EffectOutcome, Order, Provider},
};
use serde_json::json;

/// A model that reads one file in each turn and says something about it.
struct Scripted {
    turns: usize,
    /// The bytes of what is said, each text once: words, arguments of calls, and results.
    said: Arc<AtomicU64>,
}

/// About so many bytes that are nowhere else, as the text of a program looks.
fn text(seed: usize, bytes: usize) -> String {
    let mut state = seed as u64 * 7_919 + 1;
    let mut text = String::new();
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        text.push_str(&format!(
            "    let v{:x} = call(\"{:x}\", {});\n",
            state >> 40,
            state >> 24 & 0xffff,
            state >> 50
        ));
    }
    text
}

impl Provider for Scripted {
    fn serves(&self) -> &'static [&'static str] {
        &["llm"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let (turns, bytes) = (self.turns, Arc::clone(&self.said));
        Box::pin(async move {
            let Syscall::Llm(Call::Complete(call)) = &order.call else {
                panic!("{:?}", order.call)
            };
            let mut entries = Vec::new();
            for part in order.content.as_deref().unwrap_or_default() {
                entries.push(order.parts.load(part.clone()).await.unwrap());
            }
            let said = call.conversation(&entries).unwrap();
            let turn = said.iter().filter(|message| message.role == Role::Assistant).count();
            let mut results =
                said.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
                    Part::ToolResult { text, .. } => {
                        Some(serde_json::from_str::<serde_json::Value>(text).unwrap())
                    }
                    _ => None,
                });
            // The whole conversation is there, whatever the store made of it.
            let is_right = |turn| results.next().unwrap()["data"]["text"] == text(turn, 7_000);
            assert!(turn < turns || (0..turn).all(is_right));
            let texts = said.iter().flat_map(|message| &message.parts).map(|part| match part {
                Part::Text { text } | Part::ToolResult { text, .. } => text.len(),
                Part::ToolCall { arguments, .. } => arguments.len(),
            });
            bytes.store(texts.sum::<usize>() as u64, Ordering::SeqCst);
            let mut parts = vec![Part::Text { text: text(1_000_000 + turn, 1_000) }];
            if turn < turns {
                let arguments = json!({ "path": format!("{turn}.rs") }).to_string();
                parts.push(Part::ToolCall {
                    id: format!("c{turn}"),
                    name: "read_file".into(),
                    arguments,
                });
            }
            let message = Json::from(&json!(Message { role: Role::Assistant, parts }));
            let finish = if turn < turns { Finish::ToolCalls } else { Finish::Stop };
            let tokens = Tokens { input: 1, cached: 0, output: 1 };
            let completion = Completion { message, finish, tokens, cost: None, model: "m".into() };
            EffectOutcome::Done(Reply::Llm(LlmReply::Complete(Box::new(completion))))
        })
    }
}

/// The bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            folder if folder.is_dir() => bytes_below(&entry.path()),
            file => file.len(),
        })
        .sum()
}

/// What a run left.
struct Kept {
    said: u64,
    store: u64,
    /// What records and payloads take, by kind.
    kinds: BTreeMap<String, (usize, u64)>,
}

async fn run(turns: usize) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let (ws, store) = (folder.path().join("ws"), folder.path().join("store"));
    fs::create_dir(&ws).unwrap();
    for turn in 0..turns {
        fs::write(ws.join(format!("{turn}.rs")), text(turn, 7_000)).unwrap();
    }
    let said = Arc::new(AtomicU64::new(0));
    let model = Scripted { turns, said: Arc::clone(&said) };
    let builder = Builder::new().store(&store).provider(Arc::new(model));
    let (runtime, mut watch) = builder.start_watched().unwrap();
    let grants = json!([
        { "on": "fs:workspace/*", "rights": ["read"] },
        { "on": "llm:main", "rights": ["execute"] },
    ]);
    let grants: Vec<GrantSpec> = serde_json::from_value(grants).unwrap();
    let launch = Launch {
        image: "coding".into(),
        goal: "read".into(),
        workspace: Some(ws.to_str().unwrap().to_owned()),
        planner: PlannerSpec {
            kind: "model".into(),
            program: json!({ "turns_max": turns + 10 }).to_string().as_str().into(),
        },
        grants,
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    };
    let pid = runtime.port("tester").call(launch).await.unwrap().pid;
    runtime.run_processes();
    loop {
        let news = tokio::time::timeout(Duration::from_secs(120), watch.next()).await;
        if let News::Notice(Notice::Ended { pid: ended, ending }) = news.unwrap().unwrap()
            && ended == pid
        {
            assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
            break;
        }
    }
    runtime.shutdown().unwrap();
    // The write-ahead log is brought into the database when the last one closes it.
    drop(watch);
    drop(SqliteJournal::open(&store).unwrap());
    let kinds = kinds(&store);
    Kept { said: said.load(Ordering::SeqCst), store: bytes_below(&store), kinds }
}

fn kinds(store: &Path) -> BTreeMap<String, (usize, u64)> {
    let journal = SqliteJournal::open_read_only(store).unwrap();
    let mut kinds: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    let mut calls: BTreeMap<OpId, &'static str> = BTreeMap::new();
    audit::scan(&journal, Seq(0), |_, record| {
        for event in &record.events {
            let kind = match event {
                Event::Op(OpEvent::Admitted { op, call, .. }) => {
                    calls.insert(*op, call.info().name);
                    format!("admitted {}", call.info().name)
                }
                Event::Op(OpEvent::Settled { op, outcome }) => {
                    let ended: &Outcome = outcome;
                    let word = ended.as_ref().map_or_else(|error| error.code(), |_| "ok");
                    format!("settled {} {word}", calls[op])
                }
                other => {
                    let name = format!("{other:?}");
                    let words: Vec<&str> =
                        name.split(|c: char| !c.is_alphanumeric()).take(2).collect();
                    words.join(".")
                }
            };
            let sum = kinds.entry(kind).or_default();
            sum.0 += 1;
            sum.1 += wire::encode(event).len() as u64;
        }
        true
    })
    .unwrap();
    let blobs = journal.blobs().list().unwrap();
    kinds.insert("payloads".into(), (blobs.len(), blobs.iter().map(|(_, bytes)| bytes).sum()));
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_takes_less_in_the_store_than_one_and_a_half_of_what_is_said() {
    let before = run(0).await;
    let mut last: Option<(u64, u64)> = None;
    for turns in [50, 100] {
        let kept = run(turns).await;
        let (grown, said) = (kept.store - before.store, kept.said - before.said);
        println!(
            "{turns} turns: {said} bytes said, the store grew by {grown} ({:.3})",
            grown as f64 / said as f64
        );
        for (kind, (count, bytes)) in &kept.kinds {
            println!("  {bytes:>9} in {count:>5} {kind}");
        }
        assert!(2 * grown < 3 * said, "{turns} turns: {grown} for {said}");
        if let Some((grown_before, said_before)) = last {
            // Twice as much takes twice as much, and not four times.
            assert!(grown * said_before * 10 < grown_before * said * 11);
        }
        last = Some((grown, said));
    }
}

/// A model that says what it is told.
struct Echo;

impl Provider for Echo {
    fn serves(&self) -> &'static [&'static str] {
        &["llm"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        Box::pin(async move {
            let Syscall::Llm(Call::Complete(call)) = &order.call else {
                panic!("{:?}", order.call)
            };
            let entries = order.content.as_deref().unwrap_or_default();
            let said = call.conversation(entries).unwrap();
            let message = Json::from(&json!({ "said": said }));
            let tokens = Tokens { input: 1, cached: 0, output: 1 };
            let finish = Finish::Stop;
            let completion = Completion { message, finish, tokens, cost: None, model: "m".into() };
            EffectOutcome::Done(Reply::Llm(LlmReply::Complete(Box::new(completion))))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excerpt_is_read_with_its_right_and_sent_as_it_was_decided() {
    let builder = Builder::new().journal(Box::new(MemoryJournal::new())).provider(Arc::new(Echo));
    let (runtime, mut watch) = builder.start_watched().unwrap();
    let host = runtime.port("tester");
    let entry = |text: &str| json!(Message::text(Role::User, text));
    let bytes =
        |texts: &[&str]| -> usize { texts.iter().map(|text| entry(text).to_string().len()).sum() };
    let complete =
        |profile: &str, object: &str, spans: serde_json::Value, bytes: usize, expect: &str| {
            json!({
                "call": "llm.complete", "expect": expect, "save": "last",
                "args": { "profile": profile, "setup": {}, "messages": [],
                          "excerpt": { "object": object, "spans": spans, "bytes": bytes } },
            })
        };
    let (first, rest) = (json!({ "from": 0, "to": 1 }), json!({ "from": 1, "to": 3 }));
    let plan = [
        json!({ "call": "object.create", "args": { "type": "conversation", "payload": [] },
                "expect": "ok" }),
        json!({ "call": "object.append", "args": { "id": "obj-1.1", "entry": entry("a") } }),
        json!({ "call": "object.append", "args": { "id": "obj-1.1", "entry": entry("bb") } }),
        json!({ "call": "object.append", "args": { "id": "obj-1.1", "entry": entry("ccc") } }),
        complete("open", "obj-1.1", json!([rest, first]), bytes(&["a", "bb", "ccc"]), "ok"),
        json!({ "call": "object.create", "args": { "type": "echo", "payload": "${last.message}" } }),
        complete("open", "obj-1.1", json!([first]), bytes(&["bb"]), "bad_request"),
        complete("open", "obj-1.1", json!([{ "from": 2, "to": 4 }]), 9, "bad_request"),
        complete("open", "obj-9.1", json!([first]), bytes(&["a"]), "denied"),
        complete("asked", "obj-1.1", json!([first]), bytes(&["a"]), "bad_message"),
    ];
    let program: String = plan.iter().map(|line| format!("{line}\n")).collect();
    let grants = json!([
        { "on": "llm:open", "rights": ["execute"] },
        { "on": "llm:asked", "rights": ["execute"], "effect": "ask" },
    ]);
    let launch = Launch {
        image: "minimal".into(),
        goal: "a test".into(),
        workspace: None,
        planner: PlannerSpec { kind: "script".into(), program: program.as_str().into() },
        grants: serde_json::from_value(grants).unwrap(),
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    };
    host.call(launch).await.unwrap();
    runtime.run_processes();
    loop {
        let news = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
        match news.unwrap().unwrap() {
            News::Notice(Notice::Asked(request)) => {
                // What was shown is not there any more when it is approved.
                let id = "obj-1.1".parse().unwrap();
                let payload = Json::from(&json!([]));
                host.call(object::Update { id, payload, expected_version: None }).await.unwrap();
                let entry = Json::from(&entry("x"));
                host.call(object::Append { id, entry, expected_version: None }).await.unwrap();
                let decision = human::Decision::Approve { scope: Scope::Once };
                host.call(human::Decide { request, decision }).await.unwrap();
            }
            News::Notice(Notice::Ended { ending, .. }) => {
                assert_eq!(ending.state, ProcessState::Exited, "{ending:?}");
                break;
            }
            _ => {}
        }
    }
    let echo = host.call(object::Read { id: "obj-1.2".parse().unwrap() }).await.unwrap();
    let said = [entry("bb"), entry("ccc"), entry("a")];
    assert_eq!(echo.payload.value().unwrap(), json!({ "said": said }));
    runtime.shutdown().unwrap();
}
