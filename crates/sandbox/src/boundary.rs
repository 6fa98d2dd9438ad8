//! What crosses between a tool and the host: batches of calls in, their outcomes out.
//!
//! A request is a JSON list of `{"op": "fs.read", "args": {...}}`. A reply is a list of as many
//! `{"ok": ...}` or `{"err": {"code", "message", "number"}}`; it is one such `err` by itself when
//! the request was no list. Every error gets the next number of the run's [`Record`], and that
//! number is all that a tool can hand back: what it meant is read from the record.
//!
//! Everything a tool hands over is hostile. Nothing here decides what it may do: every call that is
//! one goes to the port.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll},
};

use libos_abi::{Error, Fault, Outcome, Syscall};
use libos_port::{BoxFuture, Port};
use serde::Deserialize;
use serde_json::{Value, json};

/// What stands for the call in the record when a request is no batch.
const NO_BATCH: &str = "libos.syscall";
/// The most bytes of a call's name that are kept: a tool may write anything there.
const NAME_BYTES_MAX: usize = 64;

/// The errors that the host gave a tool in one run, in order.
#[derive(Debug, Default)]
pub(crate) struct Record(Vec<(String, Error)>);

impl Record {
    /// Notes an error; gives its number.
    pub(crate) fn note(&mut self, call: &str, error: Error) -> usize {
        self.0.push((call.to_owned(), error));
        self.0.len() - 1
    }

    /// The call and the error of a number that the host gave out.
    pub(crate) fn find(&self, number: u64) -> Option<&(String, Error)> {
        usize::try_from(number).ok().and_then(|number| self.0.get(number))
    }
}

/// One call as a tool wrote it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    op: String,
    #[serde(default)]
    args: Value,
}

/// One call of a batch: its name, and what it says if it says anything.
pub(crate) struct Called {
    pub(crate) name: String,
    pub(crate) call: Result<Syscall, Error>,
}

/// Reads a request. An entry that is no call is an error of its own; the others go on.
pub(crate) fn read(request: &[u8]) -> Result<Vec<Called>, Error> {
    let items: Vec<Item> = serde_json::from_slice(request)
        .map_err(|error| Fault::bad(format!("a request is no batch of calls: {error}")))?;
    Ok(items.into_iter().map(called).collect())
}

/// The call that a name and its arguments stand for.
pub(crate) fn call(mut name: String, args: Value) -> Called {
    let call = Syscall::from_json(&name, args).map_err(|error| Fault::from(error).into());
    if name.len() > NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    }
    Called { name, call }
}

fn called(Item { op, args }: Item) -> Called {
    call(op, args)
}

/// Makes the calls of a batch, a number of them at a time, and waits for all of them.
///
/// They are submitted in their order, whatever ends first: so a run that is repeated submits the
/// same calls in the same order.
pub(crate) async fn submit(
    port: &dyn Port,
    batch: Vec<Called>,
    at_once: usize,
) -> Vec<(String, Outcome)> {
    let mut outcomes: Vec<(String, Option<Outcome>)> = Vec::with_capacity(batch.len());
    let mut waiting = VecDeque::new();
    for (index, Called { name, call }) in batch.into_iter().enumerate() {
        let outcome = match call {
            Ok(call) => {
                waiting.push_back((index, call));
                None
            }
            Err(error) => Some(Err(error)),
        };
        outcomes.push((name, outcome));
    }
    let mut open: Vec<(usize, BoxFuture<'_, Outcome>)> = Vec::new();
    poll_fn(|cx: &mut Context<'_>| {
        loop {
            while open.len() < at_once.max(1)
                && let Some((index, call)) = waiting.pop_front()
            {
                open.push((index, port.submit(call)));
            }
            let before = open.len();
            open.retain_mut(|(index, call)| match call.as_mut().poll(cx) {
                Poll::Ready(outcome) => {
                    outcomes[*index].1 = Some(outcome);
                    false
                }
                Poll::Pending => true,
            });
            match (open.len(), waiting.is_empty()) {
                (0, true) => return Poll::Ready(()),
                // Something ended and made room.
                (left, false) if left < before => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    let ended = "the loop ends when every call has";
    outcomes.into_iter().map(|(name, outcome)| (name, outcome.expect(ended))).collect()
}

/// Writes the reply to a batch; `None` when it would be longer than `bytes_max`.
pub(crate) fn reply(
    outcomes: Vec<(String, Outcome)>,
    record: &mut Record,
    bytes_max: usize,
) -> Option<String> {
    let mut text = String::from("[");
    for (name, outcome) in outcomes {
        if text.len() > 1 {
            text.push(',');
        }
        let (key, value) = match told(&name, outcome, record) {
            Ok(reply) => ("ok", reply),
            Err(error) => ("err", error),
        };
        text.push_str(&format!("{{\"{key}\":{value}}}"));
        if text.len() >= bytes_max {
            return None;
        }
    }
    text.push(']');
    Some(text)
}

/// Writes the reply to a request that is no batch.
pub(crate) fn refusal(error: Error, record: &mut Record) -> String {
    match told(NO_BATCH, Err(error), record) {
        Ok(value) | Err(value) => json!({ "err": value }).to_string(),
    }
}

/// An outcome as a tool sees it. An error is noted in the record.
pub(crate) fn told(call: &str, outcome: Outcome, record: &mut Record) -> Result<Value, Value> {
    let json = outcome.and_then(|reply| {
        reply.json().map_err(|_| Fault::bad(format!("the reply of {call} is no JSON")).into())
    });
    json.map_err(|error| {
        let (code, message) = (error.code(), error.to_string());
        let number = record.note(call, error);
        json!({ "code": code, "message": message, "number": number })
    })
}
