//! Texts with large strings in them: each string is kept by its own digest.
//!
//! The same text goes through many hands: a file is read, the reading is the result of a tool, the
//! result is told to a model. In JSON it is a string, and a string in a string where JSON is told
//! as text. Taken out of what is around it and without its escapes it has one digest wherever it
//! occurs, so it is stored once.

use std::{ops::Range, sync::Arc};

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::Digest;

/// How large a string is that is kept by itself: several times what naming it takes.
const STRING_BYTES_MIN: usize = 512;

/// How many strings of one text are kept by themselves, so that a text has a bounded record.
const STRINGS_MAX: usize = 16;

/// How deep strings lie in strings at the most.
const STRING_DEPTH_MAX: u8 = 3;

/// A text whose large strings are kept in the blob store.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Joined {
    /// What is kept, each with what is before it.
    pieces: Vec<Piece>,
    /// What is behind the last of them.
    tail: Arc<str>,
}

/// A stored text within another, and what is before it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
struct Piece {
    before: Arc<str>,
    /// How many times it is escaped as the inside of a JSON string.
    escaped: u8,
    digest: Digest,
}

/// What is to be stored.
type Blobs = Vec<(Digest, Arc<[u8]>)>;

impl Joined {
    /// Takes large strings out of a text, if there are any.
    pub(crate) fn of(text: &str) -> Option<(Self, Blobs)> {
        if text.len() < STRING_BYTES_MIN || !is_like_json(text) {
            return None;
        }
        let mut weaver = Weaver::default();
        weaver.take(text, 0);
        if weaver.strings == 0 {
            return None;
        }
        let Weaver { pieces, plain: tail, blobs, .. } = weaver;
        Some((Self { pieces, tail: tail.into() }, blobs))
    }

    /// The whole text, with what is stored from `load`; nothing where it would be longer than it
    /// may.
    ///
    /// # Errors
    /// That of `load`.
    pub(crate) fn text<E>(
        &self,
        bytes_max: u64,
        mut load: impl FnMut(&Digest) -> Result<Arc<str>, E>,
    ) -> Result<Option<String>, E> {
        let mut text = String::new();
        for Piece { before, escaped, digest } in &self.pieces {
            text.push_str(before);
            let piece = load(digest)?;
            if *escaped > STRING_DEPTH_MAX || (text.len() + piece.len()) as u64 > bytes_max {
                return Ok(None);
            }
            text.push_str(&escape(&piece, *escaped));
        }
        text.push_str(&self.tail);
        Ok(Some(text))
    }
}

/// Takes a text apart.
#[derive(Default)]
struct Weaver {
    pieces: Vec<Piece>,
    /// What came since the last piece.
    plain: String,
    strings: usize,
    blobs: Blobs,
}

impl Weaver {
    /// Adds a text that is escaped so many times in the whole.
    fn take(&mut self, text: &str, escaped: u8) {
        let mut from = 0;
        while self.strings < STRINGS_MAX
            && let Some((at, raw)) = next_string(text, from)
        {
            self.stretch(&text[from..at.start], escaped);
            // What is itself JSON is taken apart, so that what is in it is the same everywhere.
            match escaped + 1 < STRING_DEPTH_MAX
                && is_like_json(&raw)
                && next_string(&raw, 0).is_some()
            {
                true => self.take(&raw, escaped + 1),
                false => {
                    self.strings += 1;
                    self.store(&raw, escaped + 1);
                }
            }
            from = at.end;
        }
        self.stretch(&text[from..], escaped);
    }

    /// Adds what is between strings.
    fn stretch(&mut self, text: &str, escaped: u8) {
        match text.len() >= 2 * STRING_BYTES_MIN {
            true => self.store(text, escaped),
            false => self.plain.push_str(&escape(text, escaped)),
        }
    }

    fn store(&mut self, text: &str, escaped: u8) {
        let bytes: Arc<[u8]> = text.as_bytes().into();
        let digest = Digest::of(&bytes);
        self.blobs.push((digest, bytes));
        let before = std::mem::take(&mut self.plain).into();
        self.pieces.push(Piece { before, escaped, digest });
    }
}

fn is_like_json(text: &str) -> bool {
    text.starts_with(['{', '[', '"'])
}

/// The first large JSON string of a text behind `from`, which is outside of any: where its inside
/// lies, and what it says. One that is not written as this module writes it is none.
fn next_string(text: &str, from: usize) -> Option<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    // Behind a string that was taken, the first quote is the one that closes it.
    let mut at = from + usize::from(from > 0);
    loop {
        let start = at + text.get(at..)?.find('"')? + 1;
        at = start;
        while *bytes.get(at)? != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        if at - start >= STRING_BYTES_MIN
            && let Some(raw) = unescape(text.get(start..at)?)
            && raw.len() >= STRING_BYTES_MIN
        {
            return Some((start..at, raw));
        }
        at += 1;
    }
}

/// What the inside of a JSON string says, if it is written as [`escape`] writes it.
fn unescape(inside: &str) -> Option<String> {
    let raw: String = serde_json::from_str(&format!("\"{inside}\"")).ok()?;
    (escape(&raw, 1) == inside).then_some(raw)
}

/// A text as the inside of a JSON string, so many times. Each character is escaped for itself, so
/// texts may be escaped in parts.
fn escape(text: &str, times: u8) -> String {
    let mut text = text.to_owned();
    for _ in 0..times {
        let quoted = serde_json::Value::from(text).to_string();
        text = quoted[1..quoted.len() - 1].to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::Text;

    /// Takes a text apart, puts it together, and gives the digests of what is kept.
    fn through(text: &str) -> Vec<Digest> {
        let mut whole = Text::from(text);
        let blobs = whole.spill_strings();
        if blobs.is_empty() {
            return Vec::new();
        }
        let Text::Blob(blob) = &whole else { unreachable!("it has large strings") };
        let joined = blob.joined.as_ref().expect("it has large strings");
        let befores = joined.pieces.iter().map(|piece| piece.before.len());
        let inline = joined.tail.len() + befores.sum::<usize>();
        assert!(inline < 64 << 10, "{inline}");
        let wire = crate::wire::encode(&whole);
        assert_eq!(crate::wire::decode::<Text>(&wire).expect("it was encoded"), whole);
        assert_eq!(
            (whole.bytes(), whole.digest()),
            (text.len() as u64, Digest::of(text.as_bytes()))
        );
        let store: BTreeMap<Digest, Arc<[u8]>> = blobs.iter().cloned().collect();
        let load = |digest: &Digest| {
            Ok::<_, ()>(std::str::from_utf8(&store[digest]).expect("it was text").into())
        };
        assert_eq!(whole.restore(load), Ok(true));
        assert_eq!(whole.as_str(), Some(text));
        blobs.into_iter().map(|(digest, _)| digest).collect()
    }

    #[test]
    fn a_file_is_the_same_in_a_result_in_what_is_told_of_it_and_in_a_line() {
        for file in [
            "fn a() {\n\t\"ä\\u{1}\u{1}\"\n}\n".repeat(200),
            json!({ "a": "y\n".repeat(2_000), "b": [1, 2], "c": "z".repeat(40) }).to_string(),
        ] {
            let raw = match through(&file) {
                none if none.is_empty() => vec![Digest::of(file.as_bytes())],
                parts => parts,
            };
            let result = json!({ "bytes": file.len(), "text": file }).to_string();
            assert_eq!(through(&result), raw);
            let told =
                json!({ "role": "tool", "parts": [{ "text": format!("{{\"data\":{result}}}") }] });
            assert_eq!(through(&told.to_string()), raw);
            let lines = format!("{told}\n{told}\n");
            assert_eq!(through(&lines), [raw.clone(), raw].concat());
        }
    }

    #[test]
    fn whatever_a_text_is_it_comes_back() {
        let mut state = 7_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        const BITS: [&str; 12] =
            ["\"", "\\", "\\\"", "{", "\n", "ü", "\\u00e9", "\\n", "x", "\u{7f}", "\u{0}", "😀"];
        for _ in 0..400 {
            let mut text = String::from(["{", "[", "\""][next(3) as usize]);
            for _ in 0..next(40) {
                let bit = BITS[next(12) as usize];
                text.push_str(&bit.repeat(next(700) as usize));
            }
            let nested = json!([text, { "t": json!([text]).to_string() }]).to_string();
            through(&text);
            through(&nested);
        }
    }

    #[test]
    fn pieces_that_do_not_make_the_text_make_none() {
        let text = json!({ "a": "x".repeat(9_000) }).to_string();
        let mut kept = Text::from(text);
        assert_eq!(kept.spill().len(), 1);
        for other in ["x".repeat(8_999), "y".repeat(9_000), "x".repeat(90_000)] {
            assert_eq!(kept.restore(|_| Ok::<Arc<str>, ()>(other.as_str().into())), Ok(false));
        }
        assert_eq!(kept.restore(|_| Err("gone")), Err("gone"));
        let text = kept.restore(|_| Ok::<Arc<str>, ()>("x".repeat(9_000).into()));
        assert_eq!((text, kept.bytes()), (Ok(true), 9_008));
    }
}
