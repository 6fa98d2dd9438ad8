//! A model on this machine: an endpoint that speaks the three forms over real HTTP, in small
//! pieces, and says what a test has it say.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

#[path = "http.rs"]
pub(crate) mod http;

/// Bytes of a piece of an answer.
const PIECE_BYTES: usize = 23;

/// How many pieces a large answer has.
const PIECES_MAX: usize = 20_000;

/// A request as it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Asked {
    /// How many answers of the model are in the conversation: the number of its turn.
    pub(crate) fn turn(&self) -> usize {
        let messages = [&self.body["messages"], &self.body["input"]];
        let messages = messages.into_iter().filter_map(Value::as_array).flatten();
        let mut turns = 0;
        let mut before = "";
        for message in messages {
            let is_call = message["type"] == "function_call";
            let now = message["role"].as_str().unwrap_or(if is_call { "assistant" } else { "" });
            // What the model says in one answer may be several items.
            turns += usize::from(now == "assistant" && before != "assistant");
            before = now;
        }
        turns
    }

    /// The whole request as text.
    pub(crate) fn text(&self) -> String {
        self.body.to_string()
    }
}

/// A call of a tool.
pub(crate) type ToolCall = (&'static str, Value);

/// What the model says.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A text and calls of tools.
    Say(String, Vec<ToolCall>),
    /// Calls whose arguments are these texts.
    Wild(Vec<(&'static str, &'static str)>),
    /// The beginning of such an answer; then the connection ends.
    Cut(String, Vec<ToolCall>),
    /// The beginning of one; then nothing until whoever asked is gone.
    Stall(String, Vec<ToolCall>),
    /// A status, further lines of the head, and a body.
    Status(u16, Cow<'static, str>, String),
    /// A stream of events with this body.
    Stream(Vec<u8>),
    /// A stream that begins with this, goes on with that again and again, and never ends.
    Endless(String, String),
    /// Nothing: the connection ends.
    Never,
}

/// What decides what is said; the number counts the requests from 0.
pub(crate) type Script = Box<dyn Fn(usize, &Asked) -> Answer + Send + Sync>;

/// The endpoint.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    asked: Vec<Asked>,
    /// Answers that were sent whole.
    whole: usize,
    /// Answers that stopped in the middle.
    stalled: usize,
    /// Those that got a status, and when they knew: whoever asked has closed the connection.
    refused: Vec<(usize, Instant)>,
}

impl Model {
    /// Serves on a port of this machine for as long as the test runs.
    pub(crate) fn serve(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let model = Self { port, seen: Arc::default() };
        let (serving, script) = (model.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serving, script) = (serving.clone(), Arc::clone(&script));
                thread::spawn(move || serving.exchange(stream, &script));
            }
        });
        model
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.seen().asked.clone()
    }

    /// How many answers were sent whole: what is paid for.
    pub(crate) fn whole(&self) -> usize {
        self.seen().whole
    }

    /// How many answers stopped in the middle.
    pub(crate) fn stalled(&self) -> usize {
        self.seen().stalled
    }

    /// The requests that got a status, by number, and when whoever asked knew.
    pub(crate) fn refused(&self) -> Vec<(usize, Instant)> {
        self.seen().refused.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One exchange. Whoever asked may be gone at any time.
    fn exchange(&self, mut stream: TcpStream, script: &Script) {
        let Some(asked) = read(&mut stream) else { return };
        let number = {
            let mut seen = self.seen();
            seen.asked.push(asked.clone());
            seen.asked.len() - 1
        };
        let wild = |calls: Vec<(&str, &str)>| -> Vec<(String, String)> {
            calls.into_iter().map(|(name, args)| (name.to_owned(), args.to_owned())).collect()
        };
        let plain = |calls: Vec<ToolCall>| -> Vec<(String, String)> {
            calls.into_iter().map(|(name, args)| (name.to_owned(), args.to_string())).collect()
        };
        match script(number, &asked) {
            Answer::Say(text, calls) => {
                let body = spoken(&asked, number, &text, &plain(calls));
                if streamed(&mut stream, body.as_bytes(), true) {
                    self.seen().whole += 1;
                }
            }
            Answer::Wild(calls) => {
                let body = spoken(&asked, number, "", &wild(calls));
                if streamed(&mut stream, body.as_bytes(), true) {
                    self.seen().whole += 1;
                }
            }
            Answer::Cut(text, calls) => {
                let body = spoken(&asked, number, &text, &plain(calls));
                streamed(&mut stream, &body.as_bytes()[..body.len() / 2], false);
            }
            Answer::Stall(text, calls) => {
                let body = spoken(&asked, number, &text, &plain(calls));
                streamed(&mut stream, &body.as_bytes()[..body.len() / 2], false);
                self.seen().stalled += 1;
                drop(stream.set_read_timeout(Some(Duration::from_secs(60))));
                drop(stream.read(&mut [0]));
            }
            Answer::Status(status, head, body) => {
                let head = format!(
                    "HTTP/1.1 {status} S\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n{head}\r\n",
                    body.len()
                );
                drop(stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()));
                drop(stream.set_read_timeout(Some(Duration::from_secs(60))));
                drop(stream.read(&mut [0]));
                self.seen().refused.push((number, Instant::now()));
            }
            Answer::Stream(body) => drop(streamed(&mut stream, &body, true)),
            Answer::Endless(first, again) => {
                let mut is_heard = streamed(&mut stream, first.as_bytes(), false);
                while is_heard {
                    is_heard = more(&mut stream, again.as_bytes(), again.len(), false);
                }
            }
            Answer::Never => {}
        }
    }
}

/// Begins a stream of events and sends what there is of it.
fn streamed(stream: &mut TcpStream, body: &[u8], ends: bool) -> bool {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let begun = stream.set_nodelay(true).and_then(|()| stream.write_all(head.as_bytes()));
    begun.is_ok() && more(stream, body, PIECE_BYTES.max(body.len() / PIECES_MAX), ends)
}

/// Sends more of a stream in pieces of so many bytes; whether all of it went out.
fn more(stream: &mut TcpStream, body: &[u8], piece: usize, ends: bool) -> bool {
    let mut sent = Ok(());
    for piece in body.chunks(piece) {
        let size = format!("{:x}\r\n", piece.len());
        sent = sent.and_then(|()| {
            stream.write_all(&[size.as_bytes(), piece, b"\r\n"].concat())?;
            stream.flush()
        });
    }
    let is_out = sent.is_ok();
    if ends {
        // Who has read the last event may be gone.
        drop(stream.write_all(b"0\r\n\r\n"));
    }
    is_out
}

/// What an answer is as events of the form that was asked in.
fn spoken(asked: &Asked, number: usize, text: &str, calls: &[(String, String)]) -> String {
    let id = |at: usize| format!("call_{number}_{at}");
    let input = asked.text().len() / 4;
    let events = match asked.path.rsplit('/').next() {
        Some("completions") => chat(text, calls, &id, input),
        Some("responses") => responses(text, calls, &id, input),
        _ => messages(text, calls, &id, input),
    };
    events.concat()
}

fn event(name: Option<&str>, data: &Value) -> String {
    let name = name.map_or(String::new(), |name| format!("event: {name}\n"));
    format!("{name}data: {data}\n\n")
}

/// A text in two halves.
fn halves(text: &str) -> [&str; 2] {
    let (one, two) = text.split_at(text.floor_char_boundary(text.len() / 2));
    [one, two]
}

fn chat(
    text: &str,
    calls: &[(String, String)],
    id: &dyn Fn(usize) -> String,
    input: usize,
) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let data = json!({ "object": "chat.completion.chunk", "model": "test-1",
                           "choices": [choice] });
        event(None, &data)
    };
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    for half in halves(text).into_iter().filter(|half| !half.is_empty()) {
        events.push(chunk(json!({ "content": half }), Value::Null));
    }
    for (at, (name, args)) in calls.iter().enumerate() {
        let begin = json!({ "index": at, "id": id(at), "type": "function",
                            "function": { "name": name, "arguments": "" } });
        events.push(chunk(json!({ "tool_calls": [begin] }), Value::Null));
        for half in halves(args) {
            let more = json!({ "index": at, "function": { "arguments": half } });
            events.push(chunk(json!({ "tool_calls": [more] }), Value::Null));
        }
    }
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    events.push(chunk(json!({}), finish.into()));
    let usage = json!({ "prompt_tokens": input, "completion_tokens": 7,
                        "prompt_tokens_details": { "cached_tokens": 3 } });
    events.push(event(None, &json!({ "model": "test-1", "choices": [], "usage": usage })));
    events.push("data: [DONE]\n\n".into());
    events
}

/// An event that names its kind in its data, too.
fn say(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    event(Some(kind), &data)
}

fn responses(
    text: &str,
    calls: &[(String, String)],
    id: &dyn Fn(usize) -> String,
    input: usize,
) -> Vec<String> {
    let mut events = vec![say("response.created", json!({ "response": { "model": "test-1" } }))];
    if !text.is_empty() {
        for half in halves(text) {
            events.push(say("response.output_text.delta", json!({ "delta": half })));
        }
        let content = json!([{ "type": "output_text", "text": text }]);
        let item = json!({ "type": "message", "role": "assistant", "content": content });
        events.push(say("response.output_item.done", json!({ "item": item })));
    }
    for (at, (name, args)) in calls.iter().enumerate() {
        let item = json!({ "type": "function_call", "call_id": id(at), "name": name,
                           "arguments": args });
        events.push(say("response.output_item.done", json!({ "item": item })));
    }
    let usage = json!({ "input_tokens": input, "output_tokens": 7,
                        "input_tokens_details": { "cached_tokens": 3 } });
    let response = json!({ "model": "test-1", "status": "completed", "usage": usage });
    events.push(say("response.completed", json!({ "response": response })));
    events
}

fn messages(
    text: &str,
    calls: &[(String, String)],
    id: &dyn Fn(usize) -> String,
    input: usize,
) -> Vec<String> {
    let usage = json!({ "input_tokens": input - 3, "cache_read_input_tokens": 3,
                        "cache_creation_input_tokens": 0, "output_tokens": 1 });
    let message = json!({ "role": "assistant", "model": "test-1", "usage": usage });
    let mut events =
        vec![say("message_start", json!({ "message": message })), say("ping", json!({}))];
    let mut index = 0;
    if !text.is_empty() {
        let block = json!({ "type": "text", "text": "" });
        events.push(say("content_block_start", json!({ "index": 0, "content_block": block })));
        for half in halves(text) {
            let delta = json!({ "type": "text_delta", "text": half });
            events.push(say("content_block_delta", json!({ "index": 0, "delta": delta })));
        }
        events.push(say("content_block_stop", json!({ "index": 0 })));
        index = 1;
    }
    for (at, (name, args)) in calls.iter().enumerate() {
        let at_block = index + at;
        let block = json!({ "type": "tool_use", "id": id(at), "name": name, "input": {} });
        let begin = json!({ "index": at_block, "content_block": block });
        events.push(say("content_block_start", begin));
        for half in halves(args) {
            let delta = json!({ "type": "input_json_delta", "partial_json": half });
            events.push(say("content_block_delta", json!({ "index": at_block, "delta": delta })));
        }
        events.push(say("content_block_stop", json!({ "index": at_block })));
    }
    let stop = if calls.is_empty() { "end_turn" } else { "tool_use" };
    let delta = json!({ "delta": { "stop_reason": stop }, "usage": { "output_tokens": 7 } });
    events.push(say("message_delta", delta));
    events.push(say("message_stop", json!({})));
    events
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let http::Request { target, headers, body, .. } = http::read(stream)?;
    Some(Asked { path: target, headers, body: serde_json::from_slice(&body).ok()? })
}
