//! A conversation: where it is, and what a planner knows of it without having it.
//!
//! What is said is in an object of the process that grows at its end. What stays together is a
//! *unit*: a message, or an answer of the model with what its calls came to. The texts are in the
//! object and nowhere else; between quanta a few numbers of each unit are kept.

use libos_abi::{
    Json, ObjectId, Pid,
    llm::{Excerpt, Message, Part, Span},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    tokens::{self, Tokens},
    view::{View, Why},
};

/// Bytes of an entry before the next message of a unit begins another: with the largest message
/// behind it, it still fits one call.
const ENTRY_BYTES: usize = 256 << 10;

/// How many views are kept to go back to.
const VIEWS_MAX: usize = 8;

/// How many terms of a unit are kept.
const TERMS_MAX: usize = 8;

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// What the image says.
    System,
    /// What the process is for.
    Goal,
    /// A message of the parent or the host: an instruction.
    Instruction,
    /// A message of another process: data.
    Letter,
    /// An answer of the model, with what its calls came to.
    Exchange,
    /// What the planner says by itself.
    Note,
    /// What stands for what is left out; it is said there and nowhere else.
    StandIn,
}

/// What is known of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub(super) struct Unit {
    pub(super) kind: Kind,
    /// Where its entries are.
    pub(super) span: Span,
    /// The bytes of its entries.
    pub(super) bytes: u64,
    /// Its tokens, and whether they were counted.
    pub(super) tokens: u64,
    pub(super) counted: bool,
    /// Whether a call in it failed.
    pub(super) failed: bool,
    /// Whether the model says something in it.
    pub(super) speaks: bool,
    /// How often the model came back to what its calls were about.
    pub(super) cited: u32,
    /// What its calls were about.
    pub(super) terms: Vec<u32>,
}

/// A unit as it is kept: its kind, its entries from and to, its bytes, its tokens, whether they
/// were counted, whether it failed and speaks, how often it was cited, its terms.
type Row = (Kind, u32, u32, u64, u64, (bool, bool, bool), u32, Vec<u32>);

impl From<Row> for Unit {
    fn from((kind, from, to, bytes, tokens, is, cited, terms): Row) -> Self {
        let (span, (counted, failed, speaks)) = (Span { from, to }, is);
        Self { kind, span, bytes, tokens, counted, failed, speaks, cited, terms }
    }
}

impl From<Unit> for Row {
    fn from(unit: Unit) -> Self {
        let Unit { kind, span, bytes, tokens, counted, failed, speaks, cited, terms } = unit;
        (kind, span.from, span.to, bytes, tokens, (counted, failed, speaks), cited, terms)
    }
}

impl Unit {
    /// What is known of messages before they are kept.
    pub(super) fn of(kind: Kind, messages: &[Message]) -> Self {
        let parts = || messages.iter().flat_map(|message| &message.parts);
        let says = |text: &String| !text.trim().is_empty();
        let Tokens { number: tokens, counted } = tokens::of_messages(messages);
        let mut terms: Vec<u32> = Vec::new();
        for part in parts() {
            if let Part::ToolCall { arguments, .. } = part {
                terms.extend(terms_of(arguments));
            }
        }
        terms.sort_unstable();
        terms.dedup();
        terms.truncate(TERMS_MAX);
        Self {
            kind,
            span: Span { from: 0, to: 0 },
            bytes: 0,
            tokens,
            counted,
            failed: parts().any(|part| matches!(part, Part::ToolResult { is_error: true, .. })),
            speaks: kind == Kind::Exchange
                && parts().any(|part| matches!(part, Part::Text { text } if says(text))),
            cited: 0,
            terms,
        }
    }

    /// Whether it is said as it is, whatever else must go.
    pub(super) fn is_pinned(&self) -> bool {
        matches!(self.kind, Kind::System | Kind::Goal | Kind::Instruction)
    }
}

/// The terms of a text that name something: paths, ids, names with a mark in them.
fn terms_of(text: &str) -> impl Iterator<Item = u32> {
    let is_mark = |c: char| matches!(c, '/' | '.' | '_' | '-');
    let words = text.split(move |c: char| !(c.is_alphanumeric() || is_mark(c)));
    let words = words.map(move |word| word.trim_matches(is_mark));
    words
        .filter(move |word| {
            word.len() >= 4 && word.contains(|c: char| is_mark(c) || c.is_ascii_digit())
        })
        .map(|word| {
            // FNV-1a: two terms that are taken for one cost nothing but precision.
            word.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            })
        })
}

/// A conversation, as it is kept between quanta.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conversation {
    /// The number of the object in the memory of the process. A copy of the process has it under
    /// the same number in a memory of its own.
    pub(super) object: u64,
    pub(super) units: Vec<Unit>,
    pub(super) view: View,
    /// The views before it, the last one last.
    earlier: Vec<View>,
    /// So many tokens may be said, whatever the limit: what a human brought back stays.
    #[serde(default)]
    pub(super) floor: u64,
}

impl Conversation {
    /// The object.
    pub(super) fn object(&self, pid: Pid) -> ObjectId {
        ObjectId { space: pid, number: self.object }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.units.iter().map(|unit| unit.bytes).sum()
    }

    /// These units as an excerpt.
    pub(super) fn excerpt(&self, pid: Pid, units: &[usize]) -> Excerpt {
        let units: Vec<&Unit> = units.iter().filter_map(|at| self.units.get(*at)).collect();
        Excerpt {
            object: self.object(pid),
            spans: units.iter().map(|unit| unit.span).collect(),
            bytes: units.iter().map(|unit| unit.bytes).sum(),
        }
    }

    /// Leaves units out from now on; `by` stands for them.
    pub(super) fn leave_out(&mut self, units: Vec<usize>, why: Why, by: usize) {
        let view = self.view.without(&self.units, units, why, by);
        let before = std::mem::replace(&mut self.view, view);
        self.earlier.push(before);
        let surplus = self.earlier.len().saturating_sub(VIEWS_MAX);
        self.earlier.drain(..surplus);
    }

    /// Goes back to the view before, which may grow by a quarter before it is narrowed again.
    pub(super) fn undo(&mut self, setup_tokens: u64) {
        if let Some(view) = self.earlier.pop() {
            self.view = view;
            let tokens = setup_tokens + self.view.tokens(&self.units);
            self.floor = self.floor.max(tokens + tokens / 4);
        }
    }

    /// Notes what an answer of the model comes back to.
    pub(super) fn cite(&mut self, answer: &Message) {
        let mut cited: Vec<u32> = Vec::new();
        for part in &answer.parts {
            match part {
                Part::Text { text } => cited.extend(terms_of(text)),
                Part::ToolCall { arguments, .. } => cited.extend(terms_of(arguments)),
                Part::ToolResult { .. } => {}
            }
        }
        cited.sort_unstable();
        for unit in &mut self.units {
            let is_meant = |term: &u32| cited.binary_search(term).is_ok();
            unit.cited = unit.cited.saturating_add(u32::from(unit.terms.iter().any(is_meant)));
        }
    }
}

/// Messages as entries of the object: lists of messages, as few as fit.
pub(super) fn entries(messages: &[Message]) -> serde_json::Result<Vec<Json>> {
    let mut entries = Vec::new();
    let (mut list, mut bytes) = (Vec::new(), 0);
    for message in messages {
        if bytes >= ENTRY_BYTES {
            entries.push(Json::from(&Value::Array(std::mem::take(&mut list))));
            bytes = 0;
        }
        let value = serde_json::to_value(message)?;
        bytes += value.to_string().len();
        list.push(value);
    }
    entries.push(Json::from(&Value::Array(list)));
    Ok(entries)
}
