//! Exchanges over real HTTP with an endpoint on this machine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    reason = "tests drive a real endpoint and read files of their own"
)]

#[path = "../../../tests/system/support/model.rs"]
#[allow(dead_code, reason = "each test target uses its part")]
mod model;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use libos_abi::{
    Error, Json, OpId, Pid, Reply, Text, Url,
    llm::{self, Completion, Finish, Message, Part, Prices, Role, Tokens},
};
use libos_llm::{
    Cassette, CassetteMode, Host, Kind, LlmProvider, NoConnection, NoKey, Patience, Profile, Stream,
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use model::{Answer, Asked, Model};
use serde_json::{Value, json};

const KEY: &str = "sk-very-secret-1234";

const KINDS: [Kind; 3] = [Kind::Chat, Kind::Responses, Kind::Messages];

/// A host with one key, that connects to this machine.
struct Here;

impl Host for Here {
    fn connect<'a>(
        &'a self,
        _: OpId,
        url: &'a Url,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, NoConnection>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect((url.host(), url.port())).await;
            Ok(Box::new(stream.map_err(|_| NoConnection)?) as Box<dyn Stream>)
        })
    }

    fn key<'a>(
        &'a self,
        secret: &'a str,
        _: &'a Url,
        _: &'a str,
        prefix: &'a str,
    ) -> BoxFuture<'a, Result<String, NoKey>> {
        let key = (secret == "mine").then(|| format!("{prefix}{KEY}"));
        Box::pin(async move { key.ok_or(NoKey) })
    }

    fn scrub(&self, text: &str) -> String {
        text.replace(KEY, "[secret:mine]")
    }
}

fn profile(kind: Kind, model: &Model) -> Profile {
    Profile {
        kind,
        base_url: model.base_url().parse().expect("a URL"),
        model: "test".into(),
        key: Some("mine".into()),
        output_tokens_max: 1_000,
        context_tokens: None,
        prices: None,
        requests_per_minute: None,
        cassette: None,
    }
}

fn quick() -> Patience {
    let ms = Duration::from_millis;
    Patience {
        connect: ms(2_000),
        first_byte: ms(2_000),
        idle: ms(300),
        whole: ms(4_000),
        attempts_max: 2,
        backoff: ms(2),
        wait_max: ms(400),
    }
}

fn provider(profile: Profile) -> LlmProvider {
    let profiles = BTreeMap::from([("p".to_owned(), profile)]);
    LlmProvider::new(Arc::new(Here), profiles).patience(quick())
}

fn complete(messages: &[Message], setup: Value) -> llm::Complete {
    let lines = messages.iter().map(|message| Text::from(message.line().expect("it is JSON")));
    llm::Complete {
        profile: "p".into(),
        setup: Json::from(&setup),
        messages: lines.collect(),
        output_tokens_max: None,
        excerpt: None,
        manifest: None,
    }
}

fn ask(text: &str) -> llm::Complete {
    complete(&[Message::text(Role::User, text)], Value::Null)
}

fn order(pid: u64, call: llm::Complete) -> Order {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let op = OpId(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    Order { pid: Some(Pid(pid)), ..Order::alone(op, call) }
}

async fn perform(provider: &LlmProvider, call: llm::Complete) -> Result<Completion, Error> {
    match provider.perform(order(1, call)).await {
        EffectOutcome::Done(Reply::Llm(llm::Reply::Complete(answer))) => Ok(*answer),
        EffectOutcome::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn message(answer: &Completion) -> Message {
    serde_json::from_value(answer.message.value().expect("it is JSON")).expect("it is a message")
}

/// A conversation that has everything.
fn conversation() -> Vec<Message> {
    let call = Part::ToolCall {
        id: "c1".into(),
        name: "read".into(),
        arguments: r#"{"path":"a"}"#.into(),
    };
    let result = Part::ToolResult { id: "c1".into(), text: "no such file".into(), is_error: true };
    vec![
        Message::text(Role::System, "be brief"),
        Message::text(Role::User, "read a"),
        Message { role: Role::Assistant, parts: vec![Part::Text { text: "ok".into() }, call] },
        Message { role: Role::Tool, parts: vec![result] },
    ]
}

#[tokio::test]
async fn each_form_is_spoken_over_real_http() {
    for kind in KINDS {
        let model = Model::serve(Box::new(|_, _| {
            let calls = vec![("read", json!({ "path": "é" })), ("list", json!({}))];
            Answer::Say("I öok.".into(), calls)
        }));
        let prices = Prices { input: 1_000_000, cached: 0, output: 2_000_000 };
        let provider = provider(Profile { prices: Some(prices), ..profile(kind, &model) });
        let tool =
            json!({ "name": "read", "description": "reads", "schema": { "type": "object" } });
        let setup = json!({ "tools": [tool] });
        let answer =
            perform(&provider, complete(&conversation(), setup)).await.expect("it answers");
        let said = message(&answer);
        assert_eq!(said.said(), "I öok.", "{kind:?}");
        let calls: Vec<_> = (said.parts.iter())
            .filter_map(|part| match part {
                Part::ToolCall { id, name, arguments } => Some((&**id, &**name, &**arguments)),
                _ => None,
            })
            .collect();
        let wanted = [("call_0_0", "read", r#"{"path":"é"}"#), ("call_0_1", "list", "{}")];
        assert_eq!(calls, wanted, "{kind:?}");
        assert_eq!((answer.finish, &*answer.model), (Finish::ToolCalls, "test-1"), "{kind:?}");
        let Tokens { input, cached, output } = answer.tokens;
        assert_eq!((cached, output), (3, 7), "{kind:?}");
        assert_eq!(answer.cost, Some(input - 3 + 14), "{kind:?}");
        let asked = model.asked().remove(0);
        sent_as_documented(kind, &asked);
    }
}

/// What goes over the wire, as the endpoints document it.
fn sent_as_documented(kind: Kind, asked: &Asked) {
    let body = &asked.body;
    assert_eq!((&body["model"], &body["stream"]), (&json!("test"), &json!(true)));
    let key = |name: &str| asked.headers.get(name).map(String::as_str);
    assert!(key("idempotency-key").is_some_and(|key| key.starts_with("op-")));
    assert!(!asked.text().contains(KEY), "a key is in a header only");
    let bearer = format!("Bearer {KEY}");
    match kind {
        Kind::Chat => {
            assert_eq!(asked.path, "/v1/chat/completions");
            assert_eq!(key("authorization"), Some(&*bearer));
            let function = json!({ "name": "read", "arguments": r#"{"path":"a"}"# });
            let wanted = json!([
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "read a" },
                { "role": "assistant", "content": "ok", "tool_calls":
                    [{ "id": "c1", "type": "function", "function": function }] },
                { "role": "tool", "tool_call_id": "c1", "content": "no such file" },
            ]);
            assert_eq!(body["messages"], wanted);
            let schema = &body["tools"][0]["function"]["parameters"];
            assert_eq!(*schema, json!({ "type": "object" }));
            assert_eq!(body["max_completion_tokens"], 1_000);
        }
        Kind::Responses => {
            assert_eq!(asked.path, "/v1/responses");
            assert_eq!(key("authorization"), Some(&*bearer));
            let kinds: Vec<&str> = (body["input"].as_array().expect("a list").iter())
                .map(|item| item["type"].as_str().or(item["role"].as_str()).expect("a word"))
                .collect();
            let wanted = ["system", "user", "assistant", "function_call", "function_call_output"];
            assert_eq!(kinds, wanted);
            assert_eq!(
                (&body["store"], &body["max_output_tokens"]),
                (&json!(false), &json!(1_000))
            );
        }
        Kind::Messages => {
            assert_eq!(asked.path, "/v1/messages");
            assert_eq!((key("x-api-key"), key("authorization")), (Some(KEY), None));
            assert_eq!(key("anthropic-version"), Some("2023-06-01"));
            assert_eq!(body["system"][0]["text"], "be brief");
            let roles: Vec<&Value> = (body["messages"].as_array().expect("a list").iter())
                .map(|message| &message["role"])
                .collect();
            assert_eq!(roles, ["user", "assistant", "user"]);
            let result = &body["messages"][2]["content"][0];
            assert_eq!((&result["tool_use_id"], &result["is_error"]), (&json!("c1"), &json!(true)));
            assert_eq!(result["cache_control"]["type"], "ephemeral");
            assert_eq!(body["max_tokens"], 1_000);
        }
    }
}

#[tokio::test]
async fn an_answer_can_be_made_to_fit_a_schema() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    for kind in KINDS {
        let model = Model::serve(Box::new(|_, asked| match asked.path.ends_with("/messages") {
            true => Answer::Say(String::new(), vec![("answer", json!({ "n": 1 }))]),
            false => Answer::Say(r#"{"n":1}"#.into(), vec![]),
        }));
        let provider = provider(profile(kind, &model));
        let call = complete(&[Message::text(Role::User, "a number")], json!({ "answer": schema }));
        let answer = perform(&provider, call).await.expect("it answers");
        assert_eq!(message(&answer).said(), r#"{"n":1}"#, "{kind:?}");
        assert_eq!(answer.finish, Finish::Stop, "{kind:?}");
        let body = model.asked().remove(0).body;
        let sent = match kind {
            Kind::Chat => &body["response_format"]["json_schema"]["schema"],
            Kind::Responses => &body["text"]["format"]["schema"],
            Kind::Messages => &body["tools"][0]["input_schema"],
        };
        assert_eq!(*sent, schema, "{kind:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_busy_or_breaks_off_is_asked_again_and_not_before_it_wants() {
    for kind in KINDS {
        let model = Model::serve(Box::new(|number, _| match number {
            0 => Answer::Status(429, "retry-after-ms: 150\r\n".into(), "{}".into()),
            1 => Answer::Cut("half of it".into(), vec![("read", json!({}))]),
            2 => Answer::Stall("half of it".into(), vec![]),
            3 => Answer::Never,
            4 => Answer::Status(503, "".into(), "down".into()),
            _ => Answer::Say("whole".into(), vec![]),
        }));
        let patient = Patience { attempts_max: 6, ..quick() };
        let provider = provider(profile(kind, &model)).patience(patient);
        let before = Instant::now();
        let answer = perform(&provider, ask("x")).await.expect("it answers in the end");
        assert_eq!(message(&answer).said(), "whole", "{kind:?}");
        assert!(before.elapsed() >= Duration::from_millis(150), "{kind:?}");
        let keys: Vec<String> =
            model.asked().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
        assert_eq!(keys.len(), 6, "{kind:?}");
        assert!(keys.iter().all(|key| *key == keys[0]), "all are one operation: {keys:?}");
    }
}

#[tokio::test]
async fn each_trouble_has_its_code_and_tells_nothing_remote() {
    let remote = format!("REMOTE {KEY}");
    let body = |code: &str| json!({ "error": { "code": code, "message": remote } }).to_string();
    let long = body("context_length_exceeded");
    let filtered = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n";
    let cases: Vec<(Answer, &str)> = vec![
        (Answer::Status(401, "".into(), body("invalid_api_key")), "unauthorized"),
        (Answer::Status(403, "".into(), body("")), "unauthorized"),
        (Answer::Status(429, "retry-after: 3600\r\n".into(), body("")), "rate_limited"),
        (Answer::Status(429, "".into(), body("rate_limit")), "rate_limited"),
        (Answer::Status(400, "".into(), long), "context_too_long"),
        (Answer::Status(400, "".into(), body("content_filter")), "refused"),
        (Answer::Stream(filtered.into()), "refused"),
        (Answer::Status(404, "".into(), body("no_such_model")), "bad_request"),
        (Answer::Status(500, "".into(), body("")), "unavailable"),
        (Answer::Never, "unavailable"),
        (Answer::Cut("x".into(), vec![]), "unavailable"),
        (Answer::Stream(format!("data: {{\"error\":{}}}\n\n", body("x")).into()), "unavailable"),
        (Answer::Stream(format!("data: {remote}\n\n").into()), "bad_reply"),
        (Answer::Status(200, "".into(), remote.clone()), "bad_reply"),
    ];
    for (answer, code) in cases {
        let said = answer.clone();
        let model = Model::serve(Box::new(move |_, _| said.clone()));
        let provider = provider(profile(Kind::Chat, &model));
        let error = perform(&provider, ask("x")).await.expect_err("it does not answer");
        assert_eq!(error.code(), code, "{answer:?}: {error}");
        let told = error.to_string();
        assert!(!told.contains("REMOTE") && !told.contains(KEY), "{told}");
        let tries = model.asked().len();
        let is_final = !matches!(code, "unavailable") && tries != 1;
        assert!(!is_final || code == "rate_limited", "{answer:?} was tried {tries} times");
        assert!(tries <= 2, "{answer:?} was tried {tries} times");
    }
}

#[tokio::test]
async fn what_comes_back_is_without_secrets() {
    let model = Model::serve(Box::new(|_, _| Answer::Say(format!("it is {KEY}!"), vec![])));
    // The stream is cut within the key, an event is not.
    let events = "data: {\"choices\":[{\"delta\":{\"content\":\"".to_owned()
        + KEY
        + "\"},\"finish_reason\":\"stop\"}]}\n\n";
    let whole = Model::serve(Box::new(move |_, _| Answer::Stream(events.clone().into())));
    for (kind, model) in [(Kind::Responses, &model), (Kind::Chat, &whole)] {
        let answer = perform(&provider(profile(kind, model)), ask("x")).await.expect("it answers");
        assert!(!format!("{answer:?}").contains(KEY), "{kind:?}: {answer:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_begins() {
    let model = Model::serve(Box::new(|_, _| Answer::Say("x".into(), vec![])));
    let small = Profile { context_tokens: Some(10), ..profile(Kind::Chat, &model) };
    let provider = provider(small);
    let bad_setup = llm::Complete { setup: Json::from(&json!({ "tols": [] })), ..ask("x") };
    let bad_line = llm::Complete { messages: vec!["{}".into()], ..ask("x") };
    let cases = [
        (llm::Complete { profile: "q".into(), ..ask("x") }, "unknown_profile"),
        (bad_setup, "bad_request"),
        (bad_line, "bad_request"),
        (llm::Complete { messages: vec![], ..ask("x") }, "bad_request"),
        (ask(&"x".repeat(1_000)), "context_too_long"),
    ];
    for (call, code) in cases {
        let outcome = provider.perform(order(1, call.clone())).await;
        let EffectOutcome::NotStarted(error) = outcome else { panic!("{call:?}: {outcome:?}") };
        assert_eq!(error.code(), code, "{call:?}");
    }
    let foreign = Order { call: libos_abi::clock::GetNow {}.into(), ..order(1, ask("x")) };
    let outcome = provider.perform(foreign).await;
    assert!(matches!(outcome, EffectOutcome::NotStarted(error) if error.code() == "unsupported"));
    assert!(model.asked().is_empty());
    let no_key = Profile { key: Some("none".into()), ..profile(Kind::Chat, &model) };
    let error = perform(&self::provider(no_key), ask("x")).await.expect_err("there is no key");
    assert_eq!((error.code(), model.asked().len()), ("unauthorized", 0));
}

fn cassette(file: &Path, mode: CassetteMode) -> Option<Cassette> {
    Some(Cassette { file: file.to_owned(), mode })
}

#[tokio::test]
async fn a_cassette_answers_offline_and_tells_of_drift() {
    for kind in KINDS {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a.jsonl");
        let model = Model::serve(Box::new(|number, _| {
            let text = format!("answer {number} by {KEY}");
            Answer::Say(text, vec![("read", json!({ "n": number }))])
        }));
        let mode = CassetteMode::Record;
        let recorder =
            provider(Profile { cassette: cassette(&file, mode), ..profile(kind, &model) });
        let mut recorded = Vec::new();
        for text in ["a", "b", "a"] {
            recorded.push(perform(&recorder, ask(text)).await.expect("it answers"));
        }
        let text = std::fs::read_to_string(&file).expect("it was written");
        assert!(!text.contains(KEY), "no key is in it");
        assert_eq!(text.lines().count(), 3);

        // Nobody listens there.
        let nowhere = "http://127.0.0.1:1/v1".parse().expect("a URL");
        let mode = CassetteMode::Replay;
        let player = provider(Profile {
            base_url: nowhere,
            key: None,
            cassette: cassette(&file, mode),
            ..profile(kind, &model)
        });
        for (text, of) in [("a", 0), ("a", 2), ("b", 1)] {
            let played = perform(&player, ask(text)).await.expect("it was recorded");
            assert_eq!(played, recorded[of], "{kind:?}");
        }
        let error = perform(&player, ask("a")).await.expect_err("all was played");
        assert_eq!(error.code(), "not_recorded");
        let fresh = provider(Profile { cassette: cassette(&file, mode), ..profile(kind, &model) });
        let error = perform(&fresh, ask("c")).await.expect_err("that was never asked");
        assert_eq!(error.code(), "not_recorded");
        assert!(error.to_string().contains("content"), "{error}");
        assert_eq!(model.asked().len(), 3, "{kind:?}");
    }
}

#[tokio::test]
async fn many_processes_share_a_busy_endpoint_and_nobody_starves() {
    let model = Model::serve(Box::new(|number, _| match number % 7 {
        3 => Answer::Status(429, "retry-after-ms: 20\r\n".into(), "{}".into()),
        _ => Answer::Say("x".into(), vec![]),
    }));
    let patient = Patience { attempts_max: 50, ..quick() };
    let limited = Profile { requests_per_minute: Some(60_000), ..profile(Kind::Chat, &model) };
    let provider = provider(limited).patience(patient);
    let mut tasks = Vec::new();
    // The first wants as much as all others together.
    for pid in (0..40).map(|_| 1).chain(2..=41) {
        let provider = provider.clone();
        tasks.push(tokio::spawn(async move {
            provider.perform(order(pid, ask(&format!("by {pid}")))).await
        }));
    }
    for task in tasks {
        let outcome = task.await.expect("it does not panic");
        assert!(matches!(outcome, EffectOutcome::Done(_)), "{outcome:?}");
    }
    assert_eq!(model.whole(), 80);
}
