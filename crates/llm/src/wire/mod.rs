//! The forms in which endpoints speak: a conversation into a request, a stream of events into an
//! answer.
//!
//! Nothing of what an endpoint says becomes the text of an error: [`Trouble`] is what is known of
//! it.

mod chat;
pub(crate) mod messages;
mod responses;

use std::{collections::BTreeSet, time::Duration};

use libos_abi::llm::{Finish, Message, Part, Role, Setup, Tokens};
use serde_json::{Map, Value};

use crate::{
    limits::{CALLS_MAX, SAID_BYTES_MAX},
    profile::{Kind, Profile},
};

/// The name of an answer that is to fit a schema.
const ANSWER: &str = "answer";

/// Bytes of text per token, where an endpoint does not say what an exchange took.
const BYTES_PER_TOKEN: u64 = 4;

/// A request, as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) body: Value,
    /// Whether the answer is text that came as the arguments of a tool.
    pub(crate) answers_by_tool: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) message: Message,
    pub(crate) finish: Finish,
    pub(crate) tokens: Tokens,
    pub(crate) model: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The endpoint was not reached, or the answer broke off.
    Broken(&'static str),
    /// It has trouble of its own.
    Failing(u16),
    /// It takes no more for now; how long it asks to wait.
    Busy(Option<Duration>),
    /// The key is not taken.
    Unauthorized,
    /// The conversation is too long.
    TooLong,
    /// It does not answer this.
    Refused,
    /// It takes the request for none.
    NotTaken(u16),
    /// What came is no answer.
    Malformed(&'static str),
}

/// The request of an exchange.
pub(crate) fn request(
    profile: &Profile,
    setup: &Setup,
    conversation: &[Message],
    output_tokens_max: u32,
) -> Request {
    let kind = profile.kind;
    let mut body = match kind {
        Kind::Chat => chat::request(setup, conversation, output_tokens_max),
        Kind::Responses => responses::request(setup, conversation, output_tokens_max),
        Kind::Messages => messages::request(setup, conversation, output_tokens_max),
    };
    body.insert("model".into(), profile.model.as_str().into());
    body.insert("stream".into(), true.into());
    let answers_by_tool = kind == Kind::Messages && setup.answer.is_some();
    Request { kind, body: Value::Object(body), answers_by_tool }
}

/// Takes the events of an answer.
pub(crate) struct Collector {
    kind: Kind,
    gathered: Gathered,
    /// How much of the text was told.
    told: usize,
    /// The bytes of all events.
    said: usize,
}

/// What has come so far.
#[derive(Debug, Default)]
struct Gathered {
    text: String,
    calls: Vec<Call>,
    finish: Option<Finish>,
    refused: bool,
    tokens: Option<Tokens>,
    model: String,
    /// Whether it is whole.
    done: bool,
}

/// A call of a tool as it comes in.
#[derive(Debug, Default)]
struct Call {
    /// What the endpoint counts it by.
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Gathered {
    /// The bytes of everything that was said.
    fn bytes(&self) -> usize {
        let call = |call: &Call| call.id.len() + call.name.len() + call.arguments.len();
        self.text.len() + self.calls.iter().map(call).sum::<usize>()
    }

    /// The call that an endpoint counts by `index`.
    fn call(&mut self, index: u64) -> &mut Call {
        let at = self.calls.iter().position(|call| call.index == index);
        // Too many are refused once the event is over.
        let last = (self.calls.len() > CALLS_MAX).then_some(CALLS_MAX);
        let at = at.or(last).unwrap_or_else(|| {
            self.calls.push(Call { index, ..Call::default() });
            self.calls.len() - 1
        });
        &mut self.calls[at]
    }
}

impl Collector {
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, gathered: Gathered::default(), told: 0, said: 0 }
    }

    /// Takes one event.
    pub(crate) fn take(&mut self, data: &str) -> Result<(), Trouble> {
        if data == "[DONE]" {
            return Ok(());
        }
        let event: Value =
            serde_json::from_str(data).map_err(|_| Trouble::Malformed("an event is no JSON"))?;
        match self.kind {
            Kind::Chat => chat::take(&mut self.gathered, &event),
            Kind::Responses => responses::take(&mut self.gathered, &event),
            Kind::Messages => messages::take(&mut self.gathered, &event),
        }?;
        // What one event adds is bounded, so this bounds all of it.
        self.said += data.len();
        if self.said > SAID_BYTES_MAX && self.gathered.bytes() > SAID_BYTES_MAX {
            return Err(Trouble::Malformed("the answer says too much"));
        }
        if self.gathered.calls.len() > CALLS_MAX {
            return Err(Trouble::Malformed("the answer calls too many tools"));
        }
        Ok(())
    }

    /// The text that has come since this was asked last: whole words, so that a secret that comes
    /// in pieces is known for one.
    pub(crate) fn news(&mut self) -> Option<&str> {
        let whole = self.gathered.text.rfind(char::is_whitespace);
        self.told_to(whole.map_or(0, |at| at + 1).max(self.told))
    }

    /// The same once nothing more comes: all that is left.
    pub(crate) fn rest(&mut self) -> Option<&str> {
        self.told_to(self.gathered.text.len())
    }

    fn told_to(&mut self, to: usize) -> Option<&str> {
        let from = std::mem::replace(&mut self.told, to);
        Some(&self.gathered.text[from..to]).filter(|text| !text.is_empty())
    }

    /// Whether the answer is whole, so that nothing more is waited for.
    pub(crate) fn is_done(&self) -> bool {
        self.gathered.done
    }

    /// The answer, once nothing more comes. `asked` is how many bytes were sent.
    pub(crate) fn finish(self, request: &Request, asked: usize) -> Result<Answer, Trouble> {
        let Gathered { mut text, mut calls, finish, refused, tokens, model, .. } = self.gathered;
        if refused {
            return Err(Trouble::Refused);
        }
        let mut finish = finish.ok_or(Trouble::Broken("the answer broke off"))?;
        if request.answers_by_tool
            && let Some(at) = calls.iter().position(|call| call.name == ANSWER)
        {
            text = calls.swap_remove(at).arguments;
            if calls.is_empty() && finish == Finish::ToolCalls {
                finish = Finish::Stop;
            }
        }
        let mut bytes = text.len();
        let (mut parts, mut ids) = (Vec::new(), BTreeSet::new());
        if !text.is_empty() {
            parts.push(Part::Text { text });
        }
        for (number, call) in calls.into_iter().enumerate() {
            if call.name.is_empty() {
                return Err(Trouble::Malformed("a call of a tool has no name"));
            }
            bytes += call.arguments.len();
            // Some endpoints give no ids, and some models the same one twice.
            let mut id = call.id;
            let mut tries = number;
            while id.is_empty() || !ids.insert(id.clone()) {
                id = format!("call_{tries}");
                tries += 1;
            }
            let arguments = match call.arguments.trim().is_empty() {
                true => "{}".to_owned(),
                false => call.arguments,
            };
            parts.push(Part::ToolCall { id, name: call.name, arguments });
        }
        let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        if has_calls && finish == Finish::Stop {
            finish = Finish::ToolCalls;
        }
        let estimate = |bytes: usize| (bytes as u64).div_ceil(BYTES_PER_TOKEN);
        let tokens = tokens.unwrap_or_else(|| Tokens {
            input: estimate(asked),
            cached: 0,
            output: estimate(bytes),
        });
        let message = Message { role: Role::Assistant, parts };
        Ok(Answer { message, finish, tokens, model })
    }
}

/// What is known of an answer that is none, by its status and what its body says is wrong.
pub(crate) fn refusal(status: u16, retry_after: Option<Duration>, body: &str) -> Trouble {
    let body = body.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| body.contains(word));
    match status {
        401 | 403 => Trouble::Unauthorized,
        // Without money left there is no answer, however long one waits.
        402 => Trouble::Unauthorized,
        429 if says(&["insufficient_quota"]) => Trouble::Unauthorized,
        429 => Trouble::Busy(retry_after),
        400 | 413 | 422
            if says(&[
                "context_length_exceeded",
                "maximum context length",
                "prompt is too long",
                "context window",
                "exceed_context_size",
                "request_too_large",
            ]) =>
        {
            Trouble::TooLong
        }
        400 if says(&["content_filter", "content_policy", "safety"]) => Trouble::Refused,
        408 | 409 | 425 | 500.. => match retry_after {
            Some(wait) => Trouble::Busy(Some(wait)),
            None => Trouble::Failing(status),
        },
        _ => Trouble::NotTaken(status),
    }
}

/// A field that is text.
fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field).and_then(Value::as_str)
}

/// A number at a path.
fn number(value: &Value, path: &str) -> Option<u64> {
    value.pointer(path).and_then(Value::as_u64)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests;
