//! Responses.

use libos_abi::llm::{Finish, Message, Part, Role, Setup, Tokens, ToolChoice};
use serde_json::{Map, Value, json};

use super::{ANSWER, Gathered, Trouble, number, object, text};

pub(super) fn request(
    setup: &Setup,
    conversation: &[Message],
    output_tokens_max: u32,
) -> Map<String, Value> {
    let input: Vec<Value> = conversation
        .iter()
        .flat_map(|message| message.parts.iter().map(|part| item(message.role, part)))
        .collect();
    let mut body = object([
        ("input", input.into()),
        ("max_output_tokens", output_tokens_max.into()),
        // The conversation is kept here.
        ("store", false.into()),
    ]);
    if !setup.tools.is_empty() {
        let tools = setup.tools.iter().map(|tool| {
            json!({ "type": "function", "name": tool.name, "description": tool.description,
                    "parameters": tool.schema, "strict": false })
        });
        body.insert("tools".into(), tools.collect());
        let choice = match &setup.tool_choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Tool(name) => json!({ "type": "function", "name": name }),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(schema) = &setup.answer {
        let format =
            json!({ "type": "json_schema", "name": ANSWER, "schema": schema, "strict": true });
        body.insert("text".into(), json!({ "format": format }));
    }
    body
}

fn item(role: Role, part: &Part) -> Value {
    match part {
        Part::Text { text } => {
            let (role, form) = match role {
                Role::System => ("system", "input_text"),
                Role::User | Role::Tool => ("user", "input_text"),
                Role::Assistant => ("assistant", "output_text"),
            };
            json!({ "role": role, "content": [{ "type": form, "text": text }] })
        }
        Part::ToolCall { id, name, arguments } => {
            json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments })
        }
        Part::ToolResult { id, text, .. } => {
            json!({ "type": "function_call_output", "call_id": id, "output": text })
        }
    }
}

pub(super) fn take(gathered: &mut Gathered, event: &Value) -> Result<(), Trouble> {
    let response = &event["response"];
    match text(event, "type") {
        Some("response.output_item.done") => put(gathered, &event["item"]),
        Some("response.completed") => {
            end(gathered, response);
            gathered.finish = Some(Finish::Stop);
        }
        Some("response.incomplete") => {
            end(gathered, response);
            match response.pointer("/incomplete_details/reason").and_then(Value::as_str) {
                Some("content_filter") => gathered.refused = true,
                _ => gathered.finish = Some(Finish::Length),
            }
        }
        Some("response.failed") => return Err(failure(&response["error"])),
        Some("error") => return Err(failure(event)),
        _ => {}
    }
    Ok(())
}

fn put(gathered: &mut Gathered, item: &Value) {
    match text(item, "type") {
        Some("message") => {
            for part in item["content"].as_array().into_iter().flatten() {
                match text(part, "type") {
                    Some("output_text") => {
                        gathered.text.push_str(text(part, "text").unwrap_or_default());
                    }
                    Some("refusal") => gathered.refused = true,
                    _ => {}
                }
            }
        }
        Some("function_call") => {
            let index = gathered.calls.len() as u64;
            let call = gathered.call(index);
            text(item, "call_id").unwrap_or_default().clone_into(&mut call.id);
            text(item, "name").unwrap_or_default().clone_into(&mut call.name);
            text(item, "arguments").unwrap_or_default().clone_into(&mut call.arguments);
        }
        _ => {}
    }
}

fn end(gathered: &mut Gathered, response: &Value) {
    text(response, "model").unwrap_or_default().clone_into(&mut gathered.model);
    if let Some(usage) = response.get("usage").filter(|usage| usage.is_object()) {
        gathered.tokens = Some(Tokens {
            input: number(usage, "/input_tokens").unwrap_or_default(),
            cached: number(usage, "/input_tokens_details/cached_tokens").unwrap_or_default(),
            output: number(usage, "/output_tokens").unwrap_or_default(),
        });
    }
    gathered.done = true;
}

fn failure(error: &Value) -> Trouble {
    match text(error, "code") {
        Some("rate_limit_exceeded") => Trouble::Busy(None),
        Some("insufficient_quota" | "invalid_api_key") => Trouble::Unauthorized,
        Some("context_length_exceeded") => Trouble::TooLong,
        Some("invalid_prompt") => Trouble::NotTaken(400),
        _ => Trouble::Failing(500),
    }
}
