//! JSON schemas, read for what a page says of them.

use serde_json::{Map, Value};

/// One field of an object.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) doc: String,
}

/// The fields of an object's schema, in the order of their names.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| Field {
            name: name.clone(),
            type_name: type_name(property),
            doc: doc(property),
        })
        .collect()
}

/// What a schema says of itself, on one line.
pub(super) fn doc(schema: &Value) -> String {
    one_line(schema["description"].as_str().unwrap_or_default())
}

/// A text on one line, fit for a cell of a table.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The named types that a schema refers to.
pub(super) fn definitions(schema: &Value) -> Option<&Map<String, Value>> {
    schema["$defs"].as_object()
}

/// A type in words.
pub(super) fn type_name(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return format!("[`{name}`](#{})", name.to_lowercase());
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{constant}`");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(choices) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let names = choices.as_array().into_iter().flatten().map(type_name);
        return names.collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) => of_type(name, schema),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).map(|name| of_type(name, schema));
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => "any JSON".into(),
    }
}

fn of_type(name: &str, schema: &Value) -> String {
    match name {
        "array" => format!("list of {}", type_name(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", type_name(&schema["additionalProperties"]))
        }
        "object" => match fields(schema).as_slice() {
            [] => "object".into(),
            fields => {
                let fields =
                    fields.iter().map(|field| format!("`{}`: {}", field.name, field.type_name));
                format!("object with {}", fields.collect::<Vec<_>>().join(", "))
            }
        },
        name => name.into(),
    }
}

/// A text broken into lines of at most `width` characters; none for an empty text.
pub(super) fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
