//! Chat Completions.

use libos_abi::llm::{Finish, Message, Part, Role, Setup, Tokens, ToolChoice};
use serde_json::{Map, Value, json};

use super::{ANSWER, Gathered, Trouble, number, object, text};

pub(super) fn request(
    setup: &Setup,
    conversation: &[Message],
    output_tokens_max: u32,
) -> Map<String, Value> {
    let mut messages = Vec::new();
    for message in conversation {
        put(message, &mut messages);
    }
    let mut body = object([
        ("messages", messages.into()),
        ("max_completion_tokens", output_tokens_max.into()),
        ("stream_options", json!({ "include_usage": true })),
    ]);
    if !setup.tools.is_empty() {
        let tools = setup.tools.iter().map(|tool| {
            json!({ "type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.schema,
            } })
        });
        body.insert("tools".into(), tools.collect());
        let choice = match &setup.tool_choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Tool(name) => json!({ "type": "function", "function": { "name": name } }),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(schema) = &setup.answer {
        let format = json!({ "type": "json_schema",
            "json_schema": { "name": ANSWER, "schema": schema, "strict": true } });
        body.insert("response_format".into(), format);
    }
    body
}

/// A message as those of the endpoint: each result of a tool is one of its own.
fn put(message: &Message, into: &mut Vec<Value>) {
    let mut calls = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text { .. } => {}
            Part::ToolCall { id, name, arguments } => {
                let function = json!({ "name": name, "arguments": arguments });
                calls.push(json!({ "id": id, "type": "function", "function": function }));
            }
            Part::ToolResult { id, text, .. } => {
                into.push(json!({ "role": "tool", "tool_call_id": id, "content": text }));
            }
        }
    }
    let said = message.said();
    let role = match message.role {
        Role::System => "system",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    };
    if calls.is_empty() && said.is_empty() {
        return;
    }
    let content = if said.is_empty() { Value::Null } else { said.into() };
    let mut message = json!({ "role": role, "content": content });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    into.push(message);
}

pub(super) fn take(gathered: &mut Gathered, event: &Value) -> Result<(), Trouble> {
    if let Some(error) = event.get("error") {
        return Err(failure(error));
    }
    if let Some(model) = text(event, "model") {
        model.clone_into(&mut gathered.model);
    }
    if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
        gathered.tokens = Some(Tokens {
            input: number(usage, "/prompt_tokens").unwrap_or_default(),
            cached: number(usage, "/prompt_tokens_details/cached_tokens").unwrap_or_default(),
            output: number(usage, "/completion_tokens").unwrap_or_default(),
        });
    }
    let Some(choice) = event.pointer("/choices/0") else { return Ok(()) };
    if let Some(delta) = choice.get("delta") {
        gathered.text.push_str(text(delta, "content").unwrap_or_default());
        gathered.refused |= text(delta, "refusal").is_some_and(|refusal| !refusal.is_empty());
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for (place, part) in calls.into_iter().flatten().enumerate() {
            let call = gathered.call(number(part, "/index").unwrap_or(place as u64));
            if let Some(id) = text(part, "id").filter(|id| !id.is_empty()) {
                id.clone_into(&mut call.id);
            }
            let Some(function) = part.get("function") else { continue };
            call.name.push_str(text(function, "name").unwrap_or_default());
            call.arguments.push_str(text(function, "arguments").unwrap_or_default());
        }
    }
    match text(choice, "finish_reason") {
        None => {}
        Some("length") => gathered.finish = Some(Finish::Length),
        Some("tool_calls" | "function_call") => gathered.finish = Some(Finish::ToolCalls),
        Some("content_filter") => gathered.refused = true,
        Some(_) => gathered.finish = Some(Finish::Stop),
    }
    Ok(())
}

/// An error that came where an event should.
fn failure(error: &Value) -> Trouble {
    let said = error.to_string();
    let status = number(error, "/code").or_else(|| number(error, "/status"));
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or_else(|| if said.contains("rate_limit") { 429 } else { 500 });
    super::refusal(status, None, &said)
}
