//! What is taken of an answer of a model: so much, and no more.
//!
//! A model that floods is told what was not taken, and its conversation does not grow by it.

use std::collections::BTreeMap;

use libos_abi::llm::{Message, Part};

/// Calls of tools that are made of one answer: more is a flood and no plan.
pub const CALLS_OF_ANSWER_MAX: usize = 64;

/// Bytes of the arguments of one call: the largest text that a call can write, as JSON.
pub const ARGUMENTS_BYTES_MAX: usize = 2 << 20;

/// Bytes of the text of an answer that are kept: all that comes later goes along with each call.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Characters of the name of a tool that is called: no tool has a longer one.
const NAME_CHARS_MAX: usize = 128;

/// What of an answer is taken.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    /// Calls that are not made, by their ids, and what the model is told of each.
    pub(super) refused: BTreeMap<String, String>,
    /// What the model is told of the rest.
    pub(super) told: Vec<String>,
}

/// Takes out of an answer what is too much.
pub(super) fn bound(answer: &mut Message) -> Bounded {
    let mut bounded = Bounded::default();
    let (mut calls, mut text_left, mut text_bytes) = (0, ANSWER_BYTES_MAX, 0);
    answer.parts.retain_mut(|part| match part {
        Part::Text { text } => {
            text_bytes += text.len();
            text.truncate(text.floor_char_boundary(text_left));
            text_left -= text.len();
            !text.is_empty()
        }
        Part::ToolCall { id, name, arguments } => {
            calls += 1;
            if let Some((at, _)) = name.char_indices().nth(NAME_CHARS_MAX) {
                name.truncate(at);
            }
            if arguments.len() > ARGUMENTS_BYTES_MAX {
                let why = format!(
                    "the arguments have {} bytes, and no call may have more than \
                     {ARGUMENTS_BYTES_MAX}; do it in smaller steps",
                    arguments.len()
                );
                "{}".clone_into(arguments);
                bounded.refused.insert(id.clone(), why);
            }
            calls <= CALLS_OF_ANSWER_MAX
        }
        Part::ToolResult { .. } => false,
    });
    if calls > CALLS_OF_ANSWER_MAX {
        bounded.told.push(format!(
            "Your answer called {calls} tools. The first {CALLS_OF_ANSWER_MAX} were called, the \
             others were not: an answer may have no more."
        ));
    }
    if text_bytes > ANSWER_BYTES_MAX {
        bounded.told.push(format!(
            "Your answer had {text_bytes} bytes of text. The first {ANSWER_BYTES_MAX} were kept: an \
             answer may have no more."
        ));
    }
    bounded
}
