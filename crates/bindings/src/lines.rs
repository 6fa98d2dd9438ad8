//! The line binding: a provider in another language, behind a stream of JSON objects, one a line.
//!
//! The calls are those of the tables, with their arguments and replies as JSON. The far end first
//! says `{"abi": 2, "serves": ["fs"]}`. Then it is asked:
//!
//! ```text
//! {"perform": 7, "op": "op-3", "pid": "p1", "call": "fs.read", "args": {...},
//!  "cwd": "workspace", "workspace": "/home/me/work"}
//! {"reconcile": 8, ...}      whether it happened; the same besides
//! {"abandon": 7}             nobody waits for it any more
//! ```
//!
//! and answers each by its number, in any order:
//!
//! ```text
//! {"id": 7, "done": {...}, "before": {"text": "..."}}    before: what a change of a file replaced
//! {"id": 7, "failed": "not_found"}                       tried, and failed
//! {"id": 7, "not_started": "bad_target"}                 certified: nothing began
//! {"id": 7, "unknown": "..."}                            nobody can tell; the text is for the log
//! {"id": 8, "happened": {...}} or {"id": 8, "did_not_happen": true}
//! ```
//!
//! Digests are no business of the far end: where a reply to `fs.read` or `fs.write` has none, it is
//! made here. A caller never sees a text of the far end but in a reply: of a failure it gets the
//! code. A far end makes no calls of its own, and neither keeps a content as an object nor takes
//! one from it: it ends calls with `into` and `from` in `unsupported`.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    sync::Arc,
};

use libos_abi::{
    ABI_VERSION, Digest, Error, Fault, OpId, Reply, Syscall, Text,
    fs::{self, Before},
    wire::{FRAME_BYTES_MAX, WireError},
};
use libos_port::{EffectOutcome, Reconciled};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::{
    BindingError, RemoteProvider,
    link::{Incoming, Link, Outgoing},
    message::{FromProvider, Ordered, ToProvider},
    wire::{Stream, names},
};

/// The near end of a provider at the other end of a stream of lines. A thread waits for what it
/// says.
///
/// # Errors
/// [`BindingError`], when the other end is no provider, or of another version.
pub fn provider(stream: Stream) -> Result<RemoteProvider, BindingError> {
    let (reader, writer) = stream.into_halves();
    let asked = Arc::new(Mutex::new(HashMap::new()));
    let mut incoming = LinesIn { reader: BufReader::new(reader), asked: Arc::clone(&asked) };
    let hello = incoming.line()?;
    let theirs = hello["abi"].as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or(0);
    if theirs != ABI_VERSION {
        return Err(BindingError::Version { ours: ABI_VERSION, theirs });
    }
    let serves: Vec<String> = serde_json::from_value(hello["serves"].clone()).map_err(malformed)?;
    let out = Box::new(LinesOut { writer, asked });
    Ok(RemoteProvider::new(names(&serves)?, Link { out, incoming: Box::new(incoming) })?)
}

fn malformed(error: impl std::fmt::Display) -> BindingError {
    BindingError::Malformed(WireError::new(error.to_string()))
}

/// What is remembered of an order until it is answered.
struct Asked {
    call: &'static str,
    op: OpId,
    /// The digest of what it writes.
    writes: Option<Digest>,
}

type Open = Arc<Mutex<HashMap<u64, Asked>>>;

struct LinesOut {
    writer: Box<dyn Write + Send>,
    asked: Open,
}

impl LinesOut {
    fn order(&self, how: &str, id: u64, order: &Ordered) -> Result<Value, BindingError> {
        let call = order.call.info().name;
        let writes = match &order.call {
            Syscall::Fs(fs::Call::Write(write)) => Some(write.text.digest()),
            _ => None,
        };
        let args = order.call.args_json().map_err(malformed)?;
        self.asked.lock().insert(id, Asked { call, op: order.op, writes });
        Ok(json!({
            how: id, "op": order.op, "pid": order.pid, "call": call, "args": args,
            "cwd": order.cwd, "workspace": order.workspace,
        }))
    }
}

impl Outgoing<ToProvider> for LinesOut {
    fn send(&mut self, message: ToProvider) -> Result<(), BindingError> {
        let line = match &message {
            ToProvider::Perform { id, order } => self.order("perform", *id, order)?,
            ToProvider::Reconcile { id, order } => self.order("reconcile", *id, order)?,
            ToProvider::Abandon { id } => json!({ "abandon": id }),
            ToProvider::Answer { .. } => return Err(BindingError::Unexpected("answer")),
        };
        let line = format!("{line}\n");
        self.writer.write_all(line.as_bytes())?;
        Ok(self.writer.flush()?)
    }
}

struct LinesIn {
    reader: BufReader<Box<dyn Read + Send>>,
    asked: Open,
}

impl LinesIn {
    fn line(&mut self) -> Result<Value, BindingError> {
        let mut line = Vec::new();
        let limit = FRAME_BYTES_MAX as u64;
        let bytes = (&mut self.reader).take(limit).read_until(b'\n', &mut line)?;
        match line.last() {
            None => Err(BindingError::Closed),
            Some(b'\n') => serde_json::from_slice(&line).map_err(malformed),
            Some(_) if bytes as u64 == limit => {
                Err(BindingError::Oversized { bytes: bytes + 1, limit: FRAME_BYTES_MAX })
            }
            Some(_) => Err(BindingError::Torn { got: bytes, expected: bytes + 1 }),
        }
    }
}

impl Incoming<FromProvider> for LinesIn {
    fn receive(&mut self) -> Result<FromProvider, BindingError> {
        let Value::Object(mut said) = self.line()? else {
            return Err(malformed("a line is no object"));
        };
        let id = said.get("id").and_then(Value::as_u64);
        let id = id.ok_or_else(|| malformed("an answer has no number"))?;
        let asked = self.asked.lock().remove(&id);
        let asked = asked.ok_or(BindingError::Unexpected("an answer to nothing"))?;
        if let Some(reply) = said.remove("done") {
            let outcome = EffectOutcome::Done(asked.reply(reply, &said)?);
            return Ok(FromProvider::Done { id, outcome });
        }
        if let Some(reply) = said.remove("happened") {
            let known = Reconciled::Happened(asked.reply(reply, &said)?);
            return Ok(FromProvider::Reconciled { id, known });
        }
        if said.contains_key("did_not_happen") {
            return Ok(FromProvider::Reconciled { id, known: Reconciled::DidNotHappen });
        }
        let text = |key: &str| said.get(key).and_then(Value::as_str);
        let outcome = match (text("failed"), text("not_started"), text("unknown")) {
            (Some(code), ..) => EffectOutcome::Failed(asked.error(code)),
            (_, Some(code), _) => EffectOutcome::NotStarted(asked.error(code)),
            (.., Some(why)) => EffectOutcome::Unknown(why.to_owned()),
            _ => return Err(malformed("an answer says nothing")),
        };
        Ok(FromProvider::Done { id, outcome })
    }
}

impl Asked {
    /// The reply of a far end, with what is made here.
    fn reply(&self, mut reply: Value, said: &Map<String, Value>) -> Result<Reply, BindingError> {
        if let Value::Object(fields) = &mut reply
            && !fields.contains_key("digest")
        {
            let read = fields.get("text").and_then(Value::as_str);
            let digest = read.map(|text| Digest::of(text.as_bytes())).or(self.writes);
            fields.extend(digest.map(|digest| ("digest".to_owned(), json!(digest))));
        }
        let mut reply = Reply::from_json(self.call, reply).map_err(malformed)?;
        if let Reply::Fs(reply) = &mut reply {
            remember(reply, before(said.get("before")));
        }
        Ok(reply)
    }

    /// The error of a code: one of the call's table, or of the kernel.
    fn error(&self, code: &str) -> Error {
        let (service, _) = self.call.split_once('.').unwrap_or_default();
        Error::scripted(service, code, &format!("{} ended in {code}", self.call)).unwrap_or_else(
            || {
                tracing::warn!(op = %self.op, code, "a provider ends in a code that no table has");
                Fault::ProviderFailed { kind: "binding.code".into(), op: self.op }.into()
            },
        )
    }
}

fn before(said: Option<&Value>) -> Before {
    let text = |key: &str| said.and_then(|said| said[key].as_str());
    match (text("text"), text("not_kept")) {
        (Some(text), _) => Before::Text(Text::from(text)),
        (_, Some(why)) => Before::NotKept { why: why.to_owned() },
        _ => Before::Absent,
    }
}

/// Puts into a reply what is for the record only.
fn remember(reply: &mut fs::Reply, before: Before) {
    match reply {
        fs::Reply::Write(it) | fs::Reply::Edit(it) | fs::Reply::Patch(it) => it.before = before,
        fs::Reply::Delete(it) => it.before = before,
        fs::Reply::Append(it) => it.before = before,
        fs::Reply::Rename(it) => it.before = before,
        _ => {}
    }
}
