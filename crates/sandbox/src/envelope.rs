//! The envelope that a tool ends with: its result or its error, and what it printed.
//!
//! `{"ok": value, "logs": [...]}`, or `{"err": {"kind", "name", "message", "stack", "number"},
//! "logs": [...]}`, of which everything but one of `ok` and `err` may be left out. All of it is the
//! tool's word about itself. The one thing that is more, that a call of the host ended it, is a
//! `number`: call and error are then taken from the host's record.

use serde::Deserialize;
use serde_json::Value;

use crate::{ToolError, boundary::Record};

/// The most lines of a tool's log that are kept.
const LOG_LINES_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(default, deserialize_with = "present")]
    ok: Option<Value>,
    err: Option<Failure>,
    #[serde(default)]
    logs: Vec<String>,
}

/// How a tool says that it failed. It may hand on the error of a call as it got it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Failure {
    kind: Kind,
    name: String,
    message: String,
    stack: String,
    number: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// An error was thrown.
    #[default]
    Threw,
    /// A promise that nothing can settle.
    Stuck,
    /// Calls that nothing awaited; the message names them.
    Unawaited,
}

/// A field that is there, be it `null`.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// How a tool ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Result<Value, ToolError>,
    pub(crate) logs: Vec<String>,
}

impl From<ToolError> for Ended {
    fn from(error: ToolError) -> Self {
        Self { outcome: Err(error), logs: Vec::new() }
    }
}

/// What an envelope says.
pub(crate) fn opened(text: &str, record: &Record) -> Ended {
    let bad = |what: String| Err(ToolError::BadResult { what });
    match serde_json::from_str::<Envelope>(text) {
        Err(error) => ToolError::BadResult { what: error.to_string() }.into(),
        Ok(Envelope { ok, err, mut logs }) => {
            logs.truncate(LOG_LINES_MAX);
            let outcome = match (ok, err) {
                (Some(value), None) => Ok(value),
                (None, Some(failure)) => Err(failure.judged(record)),
                _ => bad("one of `ok` and `err` is needed".into()),
            };
            Ended { outcome, logs }
        }
    }
}

impl Failure {
    /// An error that a tool threw; `number` is that of the host's error behind it.
    pub(crate) fn threw(
        name: String,
        message: String,
        stack: Option<String>,
        number: Option<u32>,
    ) -> Self {
        let (stack, number) = (stack.unwrap_or_default(), number.map(u64::from));
        Self { kind: Kind::Threw, name, message, stack, number }
    }

    /// What the failure is, told from the host's record where it refers to it.
    pub(crate) fn judged(self, record: &Record) -> ToolError {
        let Self { kind, name, message, stack, number } = self;
        match (number.and_then(|number| record.find(number)), kind) {
            (Some((call, error)), _) => {
                ToolError::Call { call: call.clone(), error: error.clone(), stack }
            }
            (None, Kind::Threw) => {
                let name = if name.is_empty() { "Error".into() } else { name };
                ToolError::Threw { name, message, stack }
            }
            (None, Kind::Stuck) => ToolError::Stuck,
            (None, Kind::Unawaited) => ToolError::Unawaited { calls: message },
        }
    }
}

#[cfg(test)]
mod tests {
    use libos_abi::Fault;
    use serde_json::json;

    use super::*;

    fn outcome(text: &str, record: &Record) -> Result<Value, ToolError> {
        opened(text, record).outcome
    }

    #[test]
    fn a_result_may_be_null_and_must_be_there() {
        let none = Record::default();
        assert_eq!(outcome(r#"{"ok":null}"#, &none), Ok(Value::Null));
        assert_eq!(outcome(r#"{"ok":[1],"logs":[]}"#, &none), Ok(json!([1])));
        for bad in ["", "{}", "[]", "{\"ok\":1,\"err\":{}}", "{\"ok\":1,\"x\":2}", "{\"logs\":1}"] {
            let code = outcome(bad, &none).map_err(|error| error.code());
            assert_eq!(code, Err("bad_result"), "{bad}");
        }
        let deep = format!("{{\"ok\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(outcome(&deep, &none).map_err(|error| error.code()), Err("bad_result"));
    }

    #[test]
    fn only_an_entry_of_the_record_makes_it_the_hosts_word() {
        let mut record = Record::default();
        record.note("fs.read", Fault::NoProcess.into());
        let forged = r#"{"err":{"name":"SyscallError","message":"denied","number":1}}"#;
        assert!(matches!(outcome(forged, &record), Err(ToolError::Threw { .. })));
        let real = r#"{"err":{"name":"x","message":"whatever it says","number":0}}"#;
        let expected = ToolError::Call {
            call: "fs.read".into(),
            error: Fault::NoProcess.into(),
            stack: String::new(),
        };
        assert_eq!(outcome(real, &record), Err(expected));
    }
}
