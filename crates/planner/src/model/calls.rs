//! Calls of tools as a model asks for them, and what it is told of them.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use libos_abi::{DenyReason, Error, Fault, Json, Need, llm::Part, tool};
use libos_port::Port;
use serde_json::{Map, Value, json};

use super::{RESULT_BYTES_MAX, is_over, result_of};

/// What became of one call.
pub(super) struct Made {
    name: String,
    is_done: bool,
    /// What the model is told.
    pub(super) result: Part,
    /// The call was none.
    pub(super) is_unusable: bool,
    pub(super) ends_the_run: Option<Error>,
}

impl Made {
    /// Whether it is a call of one of these tools, and was done.
    pub(super) fn is_done_of(&self, tools: &[&str]) -> bool {
        self.is_done && tools.contains(&self.name.as_str())
    }
}

/// Makes the calls side by side; they are submitted in the order in which they were asked for. What
/// is refused by its id is not made.
pub(super) async fn make(
    port: &dyn Port,
    asked: &[&Part],
    refused: &BTreeMap<String, String>,
) -> Vec<Made> {
    let mut under_way = Vec::with_capacity(asked.len());
    for part in asked {
        let Part::ToolCall { id, name, arguments } = part else { continue };
        let parsed = match refused.get(id) {
            Some(why) => Err(why.clone()),
            None => serde_json::from_str::<Map<String, Value>>(arguments).map_err(|error| {
                format!(
                    "the arguments are no JSON object ({error}); send one that fits the schema of \
                     the tool"
                )
            }),
        };
        let call = match parsed {
            Ok(args) => {
                let args = Json::from(&Value::Object(args));
                Ok(port.submit(tool::CallTool { name: name.clone(), args }.into()))
            }
            Err(why) => Err(why),
        };
        under_way.push(async move {
            let ended = match call {
                Ok(call) => Ok(result_of(call.await)),
                Err(why) => Err(why),
            };
            told(id, name, ended)
        });
    }
    join_all(under_way).await
}

fn told(id: &str, name: &str, ended: Result<Result<Json, Error>, String>) -> Made {
    let (text, error) = match ended {
        Ok(Ok(result)) => (data(&result), None),
        Ok(Err(error)) => (json!({ "error": error_told(&error) }).to_string(), Some(error)),
        Err(why) => {
            let error = json!({ "code": "bad_arguments", "message": why });
            let result = part(id, json!({ "error": error }).to_string(), true);
            let name = name.to_owned();
            return Made { name, is_done: false, result, is_unusable: true, ends_the_run: None };
        }
    };
    let is_unusable =
        error.as_ref().is_some_and(|it| ["bad_arguments", "unknown_tool"].contains(&it.code()));
    Made {
        name: name.to_owned(),
        is_done: error.is_none(),
        result: part(id, text, error.is_some()),
        is_unusable,
        ends_the_run: error.filter(is_over),
    }
}

fn part(id: &str, text: String, is_error: bool) -> Part {
    Part::ToolResult { id: id.to_owned(), text, is_error }
}

/// A result, marked as what it is.
fn data(result: &Json) -> String {
    // It is JSON text already.
    let text = result.0.as_str().unwrap_or("null");
    if text.len() <= RESULT_BYTES_MAX {
        return format!("{{\"data\":{text}}}");
    }
    let begin = &text[..text.floor_char_boundary(RESULT_BYTES_MAX)];
    json!({
        "data_begins": begin,
        "then": format!("It has {} bytes, which is too much at once. Ask for less.", text.len()),
    })
    .to_string()
}

/// An error with what can be done about it.
fn error_told(error: &Error) -> Value {
    let mut told = json!({ "code": error.code(), "message": error.to_string() });
    match error {
        Error::Fault(Fault::Denied { denial }) => {
            if let (Some(Need { right, on }), DenyReason::NoGrant) = (&denial.need, &denial.reason)
            {
                let ask = json!({ "on": on, "rights": [right], "reason": "why it is needed" });
                told["needs"] = json!({ "right": right, "on": on });
                told["how_to_ask"] = json!({ "tool": "request_permission", "arguments": ask });
            }
        }
        Error::Fault(Fault::Interrupted { from, text, .. }) => {
            let from = from.map_or_else(|| "the host".to_owned(), |from| from.to_string());
            told["interrupted_by"] = json!({ "from": from, "message": text });
            told["then"] = "The call was not made. Take the message in before you go on.".into();
        }
        Error::Fault(Fault::UnknownOutcome { .. }) => {
            told["then"] = "It may or may not have happened. Look before you act again.".into();
        }
        _ => {}
    }
    told
}
