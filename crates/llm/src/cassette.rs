//! Cassettes: what an endpoint answered, kept as JSON lines, and played again.
//!
//! A line is one exchange: the form, the body of the request, and the events of the answer as they
//! came. Keys are in no body, and the host's secrets were taken out of the events before. Playing
//! is strict: a request is answered by the first line of exactly this request that has not been
//! used, and by nothing else; nothing is connected to.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use libos_abi::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    profile::{Cassette, CassetteMode, Kind},
    wire::Request,
};

/// The most characters of a value that a difference shows.
const SHOWN_CHARS_MAX: usize = 200;

/// A line of a cassette.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The form, as the end of the address.
    path: String,
    request: Value,
    events: Vec<String>,
}

/// A cassette that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CassetteError {
    #[error("the cassette cannot be read or written")]
    Io(#[from] std::io::Error),
    #[error("line {line} of the cassette is none")]
    Line {
        line: usize,
        #[source]
        error: serde_json::Error,
    },
}

/// Where a request is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drift {
    /// For the host: both values.
    pub(crate) difference: String,
    /// For the caller: the place.
    pub(crate) at: String,
}

/// A cassette in use. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Deck(Arc<Mutex<State>>);

struct State {
    cassette: Cassette,
    /// What has not been played, in order; absent until it was read.
    lines: Option<Lines>,
}

#[derive(Default)]
struct Lines {
    by_request: BTreeMap<Digest, VecDeque<usize>>,
    all: Vec<Option<Line>>,
}

impl Lines {
    fn read(path: &Path) -> Result<Self, CassetteError> {
        let text = std::fs::read_to_string(path)?;
        let mut lines = Self::default();
        for (number, text) in text.lines().enumerate().filter(|(_, text)| !text.is_empty()) {
            let line = serde_json::from_str(text);
            let line: Line =
                line.map_err(|error| CassetteError::Line { line: number + 1, error })?;
            let key = key(&line.path, &line.request);
            lines.by_request.entry(key).or_default().push_back(lines.all.len());
            lines.all.push(Some(line));
        }
        Ok(lines)
    }
}

fn key(path: &str, request: &Value) -> Digest {
    Digest::of(format!("{path}\n{request}").as_bytes())
}

impl Deck {
    pub(crate) fn new(cassette: Cassette) -> Self {
        Self(Arc::new(Mutex::new(State { cassette, lines: None })))
    }

    /// Whether it answers instead of the endpoint.
    pub(crate) fn plays(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.cassette.mode == CassetteMode::Replay
    }

    /// The events of the answer to a request. Reads a file.
    pub(crate) fn play(
        &self,
        request: &Request,
    ) -> Result<Result<Vec<String>, Drift>, CassetteError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let lines = match &mut state.lines {
            Some(lines) => lines,
            none => none.insert(Lines::read(&state.cassette.file)?),
        };
        let path = request.kind.path();
        let found = lines.by_request.get_mut(&key(path, &request.body));
        if let Some(line) = found.and_then(VecDeque::pop_front).and_then(|at| lines.all[at].take())
        {
            return Ok(Ok(line.events));
        }
        let next = lines.all.iter().flatten().next();
        Ok(Err(next.map_or_else(
            || Drift { difference: "nothing is left of it".into(), at: "its end".into() },
            |next| drift(next, request.kind, &request.body),
        )))
    }

    /// Keeps an exchange. Writes a file.
    pub(crate) fn record(
        &self,
        request: &Request,
        events: Vec<String>,
    ) -> Result<(), CassetteError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let path = request.kind.path().to_owned();
        let line = Line { path, request: request.body.clone(), events };
        let mut text =
            serde_json::to_string(&line).map_err(|error| CassetteError::Line { line: 0, error })?;
        text.push('\n');
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(&state.cassette.file)?;
        // In one piece, so that what a crash leaves is whole lines.
        Ok(file.write_all(text.as_bytes())?)
    }
}

fn drift(recorded: &Line, kind: Kind, asked: &Value) -> Drift {
    if recorded.path != kind.path() {
        let difference = format!("recorded as {}, asked as {}", recorded.path, kind.path());
        return Drift { difference, at: "its form".into() };
    }
    let mut at = String::new();
    let (was, is) = first_difference(&recorded.request, asked, &mut at);
    let show = |value: Option<&Value>| {
        value.map_or("nothing".into(), |value| {
            value.to_string().chars().take(SHOWN_CHARS_MAX).collect::<String>()
        })
    };
    Drift { difference: format!("recorded {}, asked {}", show(was), show(is)), at }
}

/// The first place at which two values differ, as a JSON pointer, and what is there.
fn first_difference<'v>(
    was: &'v Value,
    is: &'v Value,
    at: &mut String,
) -> (Option<&'v Value>, Option<&'v Value>) {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            for name in was.keys().chain(is.keys()) {
                if was.get(name) != is.get(name) {
                    at.push('/');
                    at.push_str(name);
                    return deeper(was.get(name), is.get(name), at);
                }
            }
            (None, None)
        }
        (Value::Array(was), Value::Array(is)) => {
            for number in 0..was.len().max(is.len()) {
                if was.get(number) != is.get(number) {
                    at.push_str(&format!("/{number}"));
                    return deeper(was.get(number), is.get(number), at);
                }
            }
            (None, None)
        }
        (was, is) => (Some(was), Some(is)),
    }
}

fn deeper<'v>(
    was: Option<&'v Value>,
    is: Option<&'v Value>,
    at: &mut String,
) -> (Option<&'v Value>, Option<&'v Value>) {
    match (was, is) {
        (Some(was), Some(is)) => first_difference(was, is, at),
        (was, is) => (was, is),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(text: &str) -> Request {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": text }] });
        Request { kind: Kind::Chat, body, answers_by_tool: false }
    }

    #[test]
    fn what_was_recorded_is_played_in_order_for_each_request_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.jsonl");
        let deck = |mode| Deck::new(Cassette { file: file.clone(), mode });
        let events = |text: &str| vec![text.to_owned()];
        let recorder = deck(CassetteMode::Record);
        for (asked, answered) in [("a", "1"), ("b", "2"), ("a", "3")] {
            recorder.record(&request(asked), events(answered)).unwrap();
        }
        let player = deck(CassetteMode::Replay);
        assert!(player.plays() && !recorder.plays());
        let play = |text: &str| player.play(&request(text)).unwrap();
        assert_eq!(play("a"), Ok(events("1")));
        let Drift { difference, at } = play("other").unwrap_err();
        assert_eq!(at, "/messages/0/content");
        assert_eq!(difference, "recorded \"b\", asked \"other\"");
        assert_eq!(play("a"), Ok(events("3")));
        assert_eq!(play("b"), Ok(events("2")));
        assert_eq!(play("b").unwrap_err().at, "its end");
    }

    #[test]
    fn a_file_that_is_no_cassette_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.jsonl");
        let play = || {
            let cassette = Cassette { file: file.clone(), mode: CassetteMode::Replay };
            Deck::new(cassette).play(&request("a"))
        };
        assert!(matches!(play(), Err(CassetteError::Io(_))));
        std::fs::write(&file, "\n{}\n").unwrap();
        assert!(matches!(play(), Err(CassetteError::Line { line: 2, .. })));
    }
}
