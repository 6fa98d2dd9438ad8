//! What only a stream that is not as it should be shows; the rest is tested over real HTTP.

use std::time::Duration;

use libos_abi::llm::{Finish, Part};
use serde_json::{Value, json};

use super::{Answer, Collector, Request, Trouble, refusal};
use crate::{
    limits::{CALLS_MAX, SAID_BYTES_MAX},
    profile::Kind,
};

fn collect(kind: Kind, events: &[Value]) -> Result<Answer, Trouble> {
    let mut collector = Collector::of(kind);
    for event in events {
        collector.take(&event.to_string())?;
    }
    let request = Request { kind, body: json!({}), answers_by_tool: false };
    collector.finish(&request, 400)
}

#[test]
fn servers_that_keep_loosely_to_the_form_are_understood() {
    let call = json!({ "function": { "name": "a", "arguments": "" } });
    let events = [
        json!({ "choices": [{ "delta": { "tool_calls": [call] } }] }),
        json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": null }),
    ];
    let answer = collect(Kind::Chat, &events).expect("it is whole");
    let id = "call_0".to_owned();
    let call = Part::ToolCall { id, name: "a".into(), arguments: "{}".into() };
    assert_eq!(answer.message.parts, [call]);
    assert_eq!(answer.finish, Finish::ToolCalls);
    assert_eq!((answer.tokens.input, answer.tokens.output), (100, 0), "it is estimated");
}

#[test]
fn an_answer_that_is_not_whole_is_none() {
    let chat = json!({ "choices": [{ "delta": { "content": "x" } }] });
    let block = json!({ "type": "content_block_delta", "index": 0,
                        "delta": { "type": "text_delta", "text": "x" } });
    let item = json!({ "type": "response.output_item.done", "item":
        { "type": "message", "content": [{ "type": "output_text", "text": "x" }] } });
    for (kind, event) in [(Kind::Chat, chat), (Kind::Messages, block), (Kind::Responses, item)] {
        let got = collect(kind, &[event]);
        assert!(matches!(got, Err(Trouble::Broken(_))), "{kind:?}: {got:?}");
    }
    let nameless = json!({ "choices": [{ "finish_reason": "tool_calls",
        "delta": { "tool_calls": [{ "index": 0, "id": "1", "function": {} }] } }] });
    let got = collect(Kind::Chat, &[nameless]);
    assert!(matches!(got, Err(Trouble::Malformed(_))), "{got:?}");
}

#[test]
fn ends_are_told_apart() {
    let stop =
        |reason: &str| json!({ "type": "message_delta", "delta": { "stop_reason": reason } });
    for (reason, finish) in
        [("end_turn", Finish::Stop), ("max_tokens", Finish::Length), ("new_one", Finish::Stop)]
    {
        let answer = collect(Kind::Messages, &[stop(reason)]).expect("it is whole");
        assert_eq!(answer.finish, finish, "{reason}");
    }
    assert_eq!(collect(Kind::Messages, &[stop("refusal")]), Err(Trouble::Refused));
    let incomplete = |reason: &str| {
        json!({ "type": "response.incomplete", "response":
            { "incomplete_details": { "reason": reason } } })
    };
    let cut = collect(Kind::Responses, &[incomplete("max_output_tokens")]).expect("it is whole");
    assert_eq!(cut.finish, Finish::Length);
    let filtered = collect(Kind::Responses, &[incomplete("content_filter")]);
    assert_eq!(filtered, Err(Trouble::Refused));
}

#[test]
fn errors_within_a_stream_are_told_apart() {
    let error = |code: &str| json!({ "type": "error", "error": { "type": code, "message": "m" } });
    let failed = |code: &str| {
        let error = json!({ "code": code });
        json!({ "type": "response.failed", "response": { "error": error } })
    };
    let cases = [
        (Kind::Messages, error("overloaded_error"), Trouble::Failing(529)),
        (Kind::Messages, error("rate_limit_error"), Trouble::Busy(None)),
        (Kind::Messages, error("authentication_error"), Trouble::Unauthorized),
        (Kind::Messages, error("invalid_request_error"), Trouble::NotTaken(400)),
        (Kind::Responses, failed("context_length_exceeded"), Trouble::TooLong),
        (Kind::Responses, failed("server_error"), Trouble::Failing(500)),
        (Kind::Chat, json!({ "error": { "code": 429 } }), Trouble::Busy(None)),
        (Kind::Chat, json!({ "error": { "message": "x" } }), Trouble::Failing(500)),
    ];
    for (kind, event, trouble) in cases {
        assert_eq!(collect(kind, std::slice::from_ref(&event)), Err(trouble), "{event}");
    }
}

#[test]
fn a_status_with_a_wait_is_a_busy_endpoint() {
    let wait = Some(Duration::from_secs(1));
    assert_eq!(refusal(503, wait, ""), Trouble::Busy(wait));
    assert_eq!(refusal(503, None, ""), Trouble::Failing(503));
    assert_eq!(refusal(429, None, r#"{"code":"insufficient_quota"}"#), Trouble::Unauthorized);
    assert_eq!(refusal(400, None, "Prompt is too long: 5 tokens"), Trouble::TooLong);
    assert_eq!(refusal(418, wait, ""), Trouble::NotTaken(418));
}

#[test]
fn an_answer_says_so_much_and_no_more() {
    let calls = |count: usize| {
        let calls = vec![json!({ "id": "same", "function": { "name": "a" } }); count];
        let end = json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] });
        [json!({ "choices": [{ "delta": { "tool_calls": calls } }] }), end]
    };
    let answer = collect(Kind::Chat, &calls(3)).expect("it is whole");
    let ids: Vec<&str> = (answer.message.parts.iter())
        .filter_map(|part| match part {
            Part::ToolCall { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["same", "call_1", "call_2"], "each has its own id");
    let flood = collect(Kind::Chat, &calls(CALLS_MAX + 100_000));
    assert!(matches!(flood, Err(Trouble::Malformed(_))), "{flood:?}");
    let piece = "x".repeat(SAID_BYTES_MAX / 4 + 1);
    let text = json!({ "choices": [{ "delta": { "content": piece } }] });
    let function = json!({ "name": "a", "arguments": piece });
    let arguments =
        json!({ "choices": [{ "delta": { "tool_calls": [{ "function": function }] } }] });
    for event in [text, arguments] {
        let endless = collect(Kind::Chat, &vec![event; 4]);
        assert!(matches!(endless, Err(Trouble::Malformed(_))), "{endless:?}");
    }
}
