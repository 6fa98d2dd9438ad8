//! How many tokens a text takes, as far as one can know without the model's own tokenizer.

use libos_abi::llm::{Message, Part};

/// The vocabulary that is counted with.
pub(super) const VOCABULARY: &str = "o200k_base";

/// Bytes of a token where it is not counted.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// The longest text that is counted: what is longer is estimated, so that no text holds a planner
/// up.
const COUNTED_BYTES_MAX: usize = 512 << 10;

/// Tokens that a message takes besides its texts.
const MESSAGE_TOKENS: u64 = 4;

/// Tokens of something, and whether all of them were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) number: u64,
    pub(super) counted: bool,
}

/// The tokens of a text.
pub(super) fn of_text(text: &str) -> Tokens {
    let vocabulary = tiktoken::get_encoding(VOCABULARY);
    match vocabulary.filter(|_| text.len() <= COUNTED_BYTES_MAX) {
        Some(vocabulary) => Tokens { number: vocabulary.count(text) as u64, counted: true },
        None => Tokens { number: text.len() as u64 / BYTES_PER_TOKEN, counted: false },
    }
}

/// The tokens of messages.
pub(super) fn of_messages(messages: &[Message]) -> Tokens {
    let mut sum = Tokens { number: 0, counted: true };
    for message in messages {
        sum.number += MESSAGE_TOKENS;
        for part in &message.parts {
            let texts = match part {
                Part::Text { text } | Part::ToolResult { text, .. } => [text.as_str(), ""],
                Part::ToolCall { name, arguments, .. } => [name.as_str(), arguments],
            };
            for tokens in texts.map(of_text) {
                sum.number += tokens.number;
                sum.counted &= tokens.counted;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use libos_abi::llm::Role;

    use super::*;

    #[test]
    fn tokens_are_those_of_the_vocabulary_and_of_the_longest_texts_an_estimate() {
        assert_eq!(of_text("hello world"), Tokens { number: 2, counted: true });
        assert_eq!(of_text(""), Tokens { number: 0, counted: true });
        let long = "y".repeat(COUNTED_BYTES_MAX + 8);
        assert_eq!(of_text(&long), Tokens { number: 131_074, counted: false });
        let messages = [Message::text(Role::User, "hello world"), Message::text(Role::User, long)];
        assert_eq!(of_messages(&messages), Tokens { number: 131_084, counted: false });
    }
}
