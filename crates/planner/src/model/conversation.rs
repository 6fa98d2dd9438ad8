//! A conversation that grows at its end, in pieces that never change once they are large.

use libos_abi::{INLINE_BYTES_MAX, Text};
use serde::{Deserialize, Serialize};

/// JSON lines, one message a line. A piece is closed once it is so large that the store keeps it by
/// its digest: from then on it goes along with every call and is stored no second time. So a call
/// writes down less than one page, and a reference for each page that was said before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conversation {
    closed: Vec<String>,
    open: String,
}

impl Conversation {
    /// Adds a line, with its end.
    pub(super) fn push(&mut self, line: &str) {
        self.open.push_str(line);
        if self.open.len() >= INLINE_BYTES_MAX {
            self.closed.push(std::mem::take(&mut self.open));
        }
    }

    /// All of it, in pieces.
    pub(super) fn texts(&self) -> Vec<Text> {
        let open = (!self.open.is_empty()).then_some(&self.open);
        self.closed.iter().chain(open).map(|piece| Text::from(piece.as_str())).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.closed.iter().map(String::len).sum::<usize>() + self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_never_changes_and_the_rest_is_less_than_a_page() {
        let mut conversation = Conversation::default();
        let mut said = String::new();
        let mut before: Vec<Text> = Vec::new();
        for turn in 0..400 {
            let line = format!("{turn} {}\n", "x".repeat(turn * 37 % 900));
            conversation.push(&line);
            said.push_str(&line);
            let texts = conversation.texts();
            let all: String = texts.iter().filter_map(Text::as_str).collect();
            assert_eq!(all, said);
            assert_eq!(conversation.bytes(), said.len());
            let is_closed = |text: &&Text| text.bytes() >= INLINE_BYTES_MAX as u64;
            let closed = before.iter().take_while(is_closed).count();
            assert_eq!(texts[..closed], before[..closed]);
            assert!(texts.iter().filter(|text| !is_closed(text)).count() <= 1);
            before = texts;
        }
        let kept = serde_json::to_string(&conversation).unwrap();
        assert_eq!(serde_json::from_str::<Conversation>(&kept).unwrap(), conversation);
    }
}
