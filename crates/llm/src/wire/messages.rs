//! Messages.

use libos_abi::llm::{Finish, Message, Part, Role, Setup, Tokens, ToolChoice};
use serde_json::{Map, Value, json};

use super::{ANSWER, Gathered, Trouble, number, object, text};

/// The version of the form, which goes along as a header.
pub(crate) const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

pub(super) fn request(
    setup: &Setup,
    conversation: &[Message],
    output_tokens_max: u32,
) -> Map<String, Value> {
    let (mut system, mut messages) = (Vec::new(), Vec::<(&str, Vec<Value>)>::new());
    for message in conversation {
        let role = match message.role {
            Role::System => {
                let text = message.said();
                if !text.is_empty() {
                    system.push(json!({ "type": "text", "text": text }));
                }
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let parts = message.parts.iter().filter_map(part);
        // Messages of one side in a row are one.
        match messages.last_mut() {
            Some((last, all)) if *last == role => all.extend(parts),
            _ => messages.push((role, parts.collect())),
        }
    }
    messages.retain(|(_, parts)| !parts.is_empty());
    // Up to here everything is as it was the last time, or will be the next time.
    let last = messages.last_mut().and_then(|(_, parts)| parts.last_mut());
    for end in [system.last_mut(), last].into_iter().flatten() {
        end["cache_control"] = json!({ "type": "ephemeral" });
    }
    let messages =
        messages.into_iter().map(|(role, parts)| json!({ "role": role, "content": parts }));
    let mut body =
        object([("messages", messages.collect()), ("max_tokens", output_tokens_max.into())]);
    if !system.is_empty() {
        body.insert("system".into(), system.into());
    }
    put_tools(setup, &mut body);
    body
}

fn part(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text { text } if text.is_empty() => return None,
        Part::Text { text } => json!({ "type": "text", "text": text }),
        Part::ToolCall { id, name, arguments } => {
            // What is no object cannot be said in this form; its result says so.
            let input = serde_json::from_str::<Map<String, Value>>(arguments).unwrap_or_default();
            json!({ "type": "tool_use", "id": id, "name": name, "input": input })
        }
        Part::ToolResult { id, text, is_error } => {
            json!({ "type": "tool_result", "tool_use_id": id, "content": text,
                    "is_error": is_error })
        }
    })
}

fn put_tools(setup: &Setup, body: &mut Map<String, Value>) {
    let mut tools: Vec<Value> = (setup.tools.iter())
        .map(|tool| {
            json!({ "name": tool.name, "description": tool.description,
                    "input_schema": tool.schema })
        })
        .collect();
    let mut choice = match &setup.tool_choice {
        ToolChoice::Auto => json!({ "type": "auto" }),
        ToolChoice::None => json!({ "type": "none" }),
        ToolChoice::Required => json!({ "type": "any" }),
        ToolChoice::Tool(name) => json!({ "type": "tool", "name": name }),
    };
    if let Some(schema) = &setup.answer {
        let description = "Gives the answer.";
        tools.push(json!({ "name": ANSWER, "description": description, "input_schema": schema }));
        // With other tools about it is for the model to say when it answers.
        choice = match setup.tools.is_empty() {
            true => json!({ "type": "tool", "name": ANSWER }),
            false => json!({ "type": "any" }),
        };
    }
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
        body.insert("tool_choice".into(), choice);
    }
}

pub(super) fn take(gathered: &mut Gathered, event: &Value) -> Result<(), Trouble> {
    let index = number(event, "/index").unwrap_or_default();
    match text(event, "type") {
        Some("message_start") => {
            let message = &event["message"];
            text(message, "model").unwrap_or_default().clone_into(&mut gathered.model);
            count(gathered, &message["usage"]);
        }
        Some("content_block_start") => {
            let block = &event["content_block"];
            match text(block, "type") {
                Some("tool_use") => {
                    let call = gathered.call(index);
                    text(block, "id").unwrap_or_default().clone_into(&mut call.id);
                    text(block, "name").unwrap_or_default().clone_into(&mut call.name);
                }
                Some("text") => {
                    gathered.text.push_str(text(block, "text").unwrap_or_default());
                }
                _ => {}
            }
        }
        Some("content_block_delta") => {
            let delta = &event["delta"];
            match text(delta, "type") {
                Some("text_delta") => {
                    gathered.text.push_str(text(delta, "text").unwrap_or_default());
                }
                Some("input_json_delta") => {
                    let more = text(delta, "partial_json").unwrap_or_default();
                    gathered.call(index).arguments.push_str(more);
                }
                // What it thinks is its own.
                _ => {}
            }
        }
        Some("message_delta") => {
            match event.pointer("/delta/stop_reason").and_then(Value::as_str) {
                None => {}
                Some("tool_use") => gathered.finish = Some(Finish::ToolCalls),
                Some("max_tokens" | "model_context_window_exceeded") => {
                    gathered.finish = Some(Finish::Length);
                }
                Some("refusal") => gathered.refused = true,
                Some(_) => gathered.finish = Some(Finish::Stop),
            }
            count(gathered, &event["usage"]);
        }
        Some("message_stop") => gathered.done = true,
        Some("error") => return Err(failure(&event["error"])),
        // `ping`, and what is new.
        _ => {}
    }
    Ok(())
}

/// Takes what is said of tokens: the last word counts.
fn count(gathered: &mut Gathered, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    let tokens = gathered.tokens.get_or_insert(Tokens { input: 0, cached: 0, output: 0 });
    let of = |field: &str| number(usage, &format!("/{field}"));
    if let Some(fresh) = of("input_tokens") {
        let read = of("cache_read_input_tokens").unwrap_or_default();
        let written = of("cache_creation_input_tokens").unwrap_or_default();
        tokens.input = fresh.saturating_add(read).saturating_add(written);
        tokens.cached = read;
    }
    if let Some(output) = of("output_tokens") {
        tokens.output = output;
    }
}

fn failure(error: &Value) -> Trouble {
    match text(error, "type") {
        Some("rate_limit_error") => Trouble::Busy(None),
        Some("authentication_error" | "permission_error" | "billing_error") => {
            Trouble::Unauthorized
        }
        Some("request_too_large") => Trouble::TooLong,
        Some("invalid_request_error") => super::refusal(400, None, &error.to_string()),
        Some("overloaded_error") => Trouble::Failing(529),
        _ => Trouble::Failing(500),
    }
}
