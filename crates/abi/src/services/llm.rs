//! Models: one exchange with one, in words that no vendor owns.
//!
//! A conversation is texts of JSON lines, one [`Message`] a line, so that what was said before goes
//! along by digest and is stored once, however often the conversation goes on. What goes with it
//! is a [`Setup`]. Who answers turns both into the form that an endpoint speaks, and back.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Json, Need, ObjectId, Resource, Right, Text, call::service, content::needs, process::Usage,
};

/// How many tokens an answer may have if neither the call nor the host says.
pub const OUTPUT_TOKENS_DEFAULT: u32 = 4_096;

/// Bytes of a conversation per token that is set aside for it: fewer than there are in most texts,
/// so that hardly any exchange takes more than was set aside.
pub const BYTES_PER_TOKEN: u64 = 2;

/// What a million tokens cost, in millionths of money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prices {
    /// Tokens that go to the model.
    pub input: u64,
    /// Those of them that it had seen before.
    pub cached: u64,
    /// Tokens that come from it.
    pub output: u64,
}

impl Prices {
    /// What an exchange costs, rounded up.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> u64 {
        let cached = tokens.cached.min(tokens.input);
        let of = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let all = of(tokens.input - cached, self.input)
            + of(cached, self.cached)
            + of(tokens.output, self.output);
        u64::try_from(all.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// What the host says of a profile that tells how much an exchange can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How many tokens an answer may have if the call does not say.
    pub output_tokens_max: u32,
    /// How many tokens the model takes, those of its answer included.
    pub context_tokens: Option<u64>,
    /// What it costs.
    pub prices: Option<Prices>,
}

impl Default for Terms {
    fn default() -> Self {
        let output_tokens_max = OUTPUT_TOKENS_DEFAULT;
        Self { output_tokens_max, context_tokens: None, prices: None }
    }
}

/// The entries that an excerpt names at the most: as many as an object has.
pub const EXCERPT_ENTRIES_MAX: usize = 1 << 14;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever set the model to work: instructions.
    System,
    /// Whoever it works for: the goal, and what comes in.
    User,
    /// The model.
    Assistant,
    /// Tools: what calls of the model before came to.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// The model wants a tool to be called.
    ToolCall {
        /// By what its result is told apart.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments as the model wrote them: a JSON object, if it wrote one.
        arguments: String,
    },
    /// What a call of a tool came to.
    ToolResult {
        /// The id of the call.
        id: String,
        /// What it came to.
        text: String,
        /// Whether that is an error.
        is_error: bool,
    },
}

/// A tool that a model is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Value,
}

/// Whether a model is to call tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
}

/// What goes with a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The tools that the model is shown.
    #[serde(default)]
    pub tools: Vec<ToolSpec>,
    /// Whether it is to call them.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// The JSON schema that its answer is to fit; text if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

impl Message {
    /// A message of one text.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text { text: text.into() }] }
    }

    /// All its text.
    #[must_use]
    pub fn said(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// It as one line of a conversation, with the end of the line.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn line(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model had said what it had to say.
    Stop,
    /// It wants tools to be called.
    ToolCalls,
    /// It came to the most tokens that an answer may have.
    Length,
}

record! {
    /// What an exchange took. Where the endpoint does not say, it is what texts of that length
    /// take.
    pub struct Tokens {
        /// Tokens that went to the model, those below included.
        pub input: u64,
        /// Those of them that it had seen before and that cost less.
        pub cached: u64,
        /// Tokens that came from it.
        pub output: u64,
    }

    /// Entries of an object one behind the other.
    #[derive(Copy)]
    #[serde(deny_unknown_fields)]
    pub struct Span {
        /// The first, counted from 0.
        pub from: u32,
        /// Behind the last.
        pub to: u32,
    }

    /// A part of a conversation that is kept as an object: each entry of it is a message, or a list
    /// of messages. The call takes them as they are when it is decided.
    #[serde(deny_unknown_fields)]
    pub struct Excerpt {
        /// The object.
        pub object: ObjectId,
        /// What of it, in the order in which it is said.
        pub spans: Vec<Span>,
        /// The bytes of these entries; the call fails if they are others. So what it may take is
        /// known before it is looked at.
        pub bytes: u64,
    }

    /// What a model answered.
    pub struct Completion {
        /// The message of the assistant.
        pub message: Json,
        /// Why it ended.
        pub finish: Finish,
        /// What it took.
        pub tokens: Tokens,
        /// What that costs in millionths of money, if the host has set prices.
        pub cost: Option<u64>,
        /// The model as the endpoint calls it.
        pub model: String,
    }
}

crate::field::opaque!(Span, Excerpt);
crate::field::carries_texts! { Completion { message } }

impl Excerpt {
    /// The entries that it names, of all that the object has.
    ///
    /// # Errors
    /// What it names that is not there, or has another length, in words.
    pub fn of(&self, entries: &[Json]) -> Result<Vec<Json>, String> {
        let mut named: Vec<Json> = Vec::new();
        for Span { from, to } in &self.spans {
            let span = entries.get(*from as usize..*to as usize);
            let span =
                span.ok_or_else(|| format!("{} has no entries {from} to {to}", self.object))?;
            if named.len() + span.len() > EXCERPT_ENTRIES_MAX {
                return Err(format!("an excerpt has {EXCERPT_ENTRIES_MAX} entries at the most"));
            }
            named.extend_from_slice(span);
        }
        let bytes: u64 = named.iter().map(|entry| entry.0.bytes()).sum();
        match bytes == self.bytes {
            true => Ok(named),
            false => Err(format!("the entries have {bytes} bytes and not {}", self.bytes)),
        }
    }
}

impl Completion {
    /// The message as it was said.
    ///
    /// # Errors
    /// When it is none.
    pub fn said(&self) -> serde_json::Result<Message> {
        serde_json::from_value(self.message.value()?)
    }
}

impl Complete {
    /// The messages in it, in order: those of the entries that it takes from an object, and those
    /// that it carries.
    ///
    /// # Errors
    /// What is none, in words.
    pub fn conversation(&self, entries: &[Json]) -> Result<Vec<Message>, String> {
        let mut messages = Vec::new();
        for entry in entries {
            let value = entry.value().map_err(|error| format!("an entry is none: {error}"))?;
            let several = match value {
                Value::Array(several) => several,
                one => vec![one],
            };
            for message in several {
                let message = serde_json::from_value(message);
                messages.push(message.map_err(|error| format!("that is no message: {error}"))?);
            }
        }
        for text in &self.messages {
            let text = text.as_str().ok_or("a part of the conversation is not here")?;
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let message = serde_json::from_str(line);
                messages.push(message.map_err(|error| format!("that is no message: {error}"))?);
            }
        }
        Ok(messages)
    }

    /// The bytes of the conversation and of what goes with it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let excerpt = self.excerpt.as_ref().map_or(0, |excerpt| excerpt.bytes);
        self.setup.0.bytes() + excerpt + self.messages.iter().map(Text::bytes).sum::<u64>()
    }

    /// The most tokens that it is expected to take, and the money: none of it seen before.
    #[must_use]
    pub fn most(&self, terms: &Terms) -> Usage {
        let whole = terms.context_tokens.unwrap_or(u64::MAX);
        let output = self.output_tokens_max.unwrap_or(u32::MAX).min(terms.output_tokens_max);
        let output = u64::from(output).min(whole);
        let input = (self.bytes() / BYTES_PER_TOKEN).min(whole);
        let tokens = Tokens { input, cached: 0, output };
        let dearest = |prices: Prices| Prices { input: prices.input.max(prices.cached), ..prices };
        let cost = terms.prices.map_or(0, |prices| dearest(prices).cost(&tokens));
        Usage { tokens: input.saturating_add(output).min(whole), cost, ..Usage::default() }
    }
}

service! {
    /// Models at endpoints that the host has registered as profiles. A process names a profile and
    /// nothing else: neither address nor key.
    service llm = 24;
    failures {
        /// The host has no profile of this name.
        1 "unknown_profile" UnknownProfile;
        /// The conversation, or what goes with it, is none.
        2 "bad_request" BadRequest;
        /// The endpoint takes no more for now, however often it was asked again.
        3 "rate_limited" RateLimited;
        /// The endpoint does not answer this, for what it says.
        4 "refused" Refused;
        /// The conversation is longer than the model takes.
        5 "context_too_long" ContextTooLong;
        /// What came back is no answer.
        6 "bad_reply" BadReply;
        /// The endpoint cannot be reached, or failed, however often it was asked again.
        7 "unavailable" Unavailable;
        /// The endpoint does not take the host's key, or there is none.
        8 "unauthorized" Unauthorized;
        /// What was recorded of the endpoint has no answer to this.
        9 "not_recorded" NotRecorded;
    }

    /// Has a model go on with a conversation. An answer that is recorded is never asked for again;
    /// one that a crash cut off is asked for again under the same operation.
    1 complete Complete as Box {
        /// The profile.
        profile: String,
        /// What goes with the conversation: `tools`, `tool_choice`, `answer`; all may be left out.
        setup: Json,
        /// The conversation so far, as JSON lines.
        messages: Vec<Text>,
        /// How many tokens the answer may have; what the profile says if absent.
        output_tokens_max: Option<u32>,
        /// What comes before `messages`: a part of a conversation that is kept as an object. It
        /// takes `read` on it.
        excerpt: Option<Excerpt>,
        /// What the caller notes about what it says and what it leaves out, for the record.
        manifest: Option<Json>,
    } -> Completion as Box
    { demand: [Execute on llm by |c| {
        let own = Need { right: Right::Execute, on: Resource::named("llm", &c.profile) };
        let taken = c.excerpt.as_ref().map(|excerpt| excerpt.object);
        needs([own].into_iter().collect(), taken)
    }];
      effect: Idempotent;
      fails: [UnknownProfile BadRequest RateLimited Refused ContextTooLong BadReply Unavailable
              Unauthorized NotRecorded]; }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_rounded_up_and_what_was_seen_before_costs_its_own_price() {
        let prices = Prices { input: 3_000_000, cached: 300_000, output: 15_000_000 };
        let cost = |input, cached, output| prices.cost(&Tokens { input, cached, output });
        assert_eq!(cost(0, 0, 0), 0);
        assert_eq!(cost(1_000, 0, 100), 4_500);
        assert_eq!(cost(1_000, 900, 0), 570);
        assert_eq!(cost(1, 1, 0), 1);
        assert_eq!(cost(1, 9, 0), 1, "no more can be cached than there are");
    }

    #[test]
    fn a_message_is_a_line_and_comes_back() {
        let call = Part::ToolCall { id: "1".into(), name: "a".into(), arguments: "{}".into() };
        let result = Part::ToolResult { id: "1".into(), text: "x\ny".into(), is_error: false };
        let messages = vec![
            Message::text(Role::User, "line\nline"),
            Message { role: Role::Assistant, parts: vec![call] },
            Message { role: Role::Tool, parts: vec![result] },
        ];
        let lines = messages.iter().map(|it| it.line().expect("it is JSON")).collect::<String>();
        assert_eq!(lines.lines().count(), 3);
        let call = Complete {
            profile: "p".into(),
            setup: Json::default(),
            messages: vec![lines.as_str().into()],
            output_tokens_max: Some(10),
            excerpt: None,
            manifest: None,
        };
        assert_eq!(call.conversation(&[]), Ok(messages.clone()));
        let input = (lines.len() as u64 + 4) / BYTES_PER_TOKEN;
        let most = |terms: Terms| call.most(&terms);
        assert_eq!(most(Terms::default()), Usage { tokens: input + 10, ..Usage::default() });
        let prices = Some(Prices { input: 1_000_000, cached: 0, output: 3_000_000 });
        let priced = Terms { output_tokens_max: 4, prices, ..Terms::default() };
        let taken = Usage { tokens: input + 4, cost: input + 12, ..Usage::default() };
        assert_eq!(most(priced.clone()), taken, "an answer has what its profile lets it have");
        let small = Terms { context_tokens: Some(input + 1), ..priced };
        assert_eq!(most(small).tokens, input + 1, "no model takes more than it can");
        let bad = Complete { messages: vec!["{\"role\":\"user\"}".into()], ..call.clone() };
        assert!(bad.conversation(&[]).is_err());
        let entry = |value: Value| Json::from(&value);
        let entries =
            [entry(serde_json::json!(messages[0])), entry(serde_json::json!(messages[1..]))];
        assert_eq!(call.conversation(&entries), Ok([&messages[..], &messages].concat()));
        assert!(call.conversation(&[entry(serde_json::json!(["hi"]))]).is_err());
    }

    #[test]
    fn an_excerpt_names_what_is_there_and_how_long_it_is() {
        let entries: Vec<Json> = (0..9).map(|at| Json::from(&Value::from(at))).collect();
        let excerpt = |spans: &[(u32, u32)], bytes| Excerpt {
            object: ObjectId::new(1, 1),
            spans: spans.iter().map(|&(from, to)| Span { from, to }).collect(),
            bytes,
        };
        let named = excerpt(&[(7, 9), (0, 1)], 3).of(&entries).expect("they are there");
        assert_eq!(named, [&entries[7..], &entries[..1]].concat());
        assert!(excerpt(&[(7, 9)], 3).of(&entries).is_err(), "another length");
        assert!(excerpt(&[(7, 10)], 3).of(&entries).is_err(), "not there");
        assert!(excerpt(&[(7, 6)], 0).of(&entries).is_err(), "the wrong way round");
        let many = excerpt(&[(0, 9)].repeat(2_000), 18_000).of(&entries);
        assert!(many.is_err(), "too many");
    }
}
