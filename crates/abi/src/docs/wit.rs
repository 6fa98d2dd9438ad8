//! `libos.wit`: the calls as a tool that is a component imports them.
//!
//! JSON schemas become types of the component model. A host that follows the same rules needs no
//! table: names are the same but for their dashes, what may be left out is an `option`, a choice
//! is an `enum` or a `variant`, an object with free keys is a list of pairs, and what may be any
//! JSON is a record `json` that holds its text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use serde_json::Value;

use super::{
    frozen::plain,
    open_services,
    schema::{self, one_line},
};
use crate::{ABI_VERSION, CallInfo};

/// The package with its world, as it should stand in `wit/libos.wit`.
///
/// # Panics
/// Never: a string takes every write, and a test makes a type of every schema.
#[must_use]
pub fn wit() -> String {
    let mut text = String::new();
    write_all(&mut text).expect("a string takes every write");
    text
}

/// The words that need a `%` as names.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "as", "async", "bool", "borrow", "char", "constructor", "enum", "error-context", "export", "f32",
    "f64", "flags", "from", "func", "future", "import", "include", "interface", "list", "map",
    "option", "own", "package", "record", "resource", "result", "s16", "s32", "s64", "s8", "static",
    "stream", "string", "tuple", "type", "u16", "u32", "u64", "u8", "use", "variant", "with",
    "world",
];

const TYPES: &str = "  /// Any JSON, as its text.
  record json {
    json: string,
  }

  /// A duration in milliseconds.
  type millis = u64;

  /// What a call ended in when it has no reply.
  record error {
    /// The code of the fault or failure, as in `denied` or `not_found`.
    code: string,
    /// What exactly, and what would help.
    message: string,
    /// Its place in the host's record of this run.
    number: u32,
  }

  /// How a tool says that it failed.
  record failure {
    /// The name of the error, as in `TypeError`.
    name: string,
    /// What happened.
    message: string,
    /// Where, in the tool's own source.
    stack: option<string>,
    /// The number of the host's error behind it, if one is.
    number: option<u32>,
  }

";

/// Types that are written by hand, by the name of their schema.
const BY_HAND: &[&str] = &["Json", "Millis"];

fn write_all(text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "// Written by `cargo xtask abi` from the tables in `crates/abi/src/services`.\n"
    )?;
    writeln!(text, "package libos:tool@{ABI_VERSION}.0.0;\n")?;
    let shared = shared();
    let mut services = String::new();
    for (service, calls) in open_services() {
        let taken = calls.iter().map(|call| kebab(call.method)).collect();
        let mut own = Definitions { taken, ..Definitions::default() };
        let mut functions = String::new();
        for call in calls {
            functions.push_str(&function(call, &mut own, &shared));
        }
        write!(services, "{}", doc(0, &one_line(service.doc)))?;
        writeln!(services, "interface {} {{", name(service.name))?;
        let used: String = own.used.iter().map(|id| format!("    {},\n", own.alias(id))).collect();
        writeln!(services, "  use types.{{\n{used}  }};\n")?;
        own.write(&mut services)?;
        writeln!(services, "{}}}\n", functions.trim_start_matches('\n'))?;
    }
    writeln!(text, "/// What the calls of more than one service share.\ninterface types {{")?;
    write!(text, "{TYPES}")?;
    shared.write(text)?;
    text.truncate(text.trim_end().len());
    writeln!(text, "\n}}\n\n{services}/// A tool. It imports the calls that it declares.")?;
    writeln!(text, "world guest {{\n  use types.{{failure}};\n")?;
    for (service, _) in open_services() {
        writeln!(text, "  import {};", name(service.name))?;
    }
    writeln!(
        text,
        "\n  /// Runs the tool: the JSON of its arguments in, the JSON of its result out."
    )?;
    writeln!(text, "  export run: func(args: string) -> result<string, failure>;\n}}")
}

/// Definitions of one interface, by name, and the shared ones that it uses.
#[derive(Default)]
struct Definitions {
    texts: BTreeMap<String, String>,
    used: BTreeSet<String>,
    /// The names of its functions: types and functions share theirs.
    taken: BTreeSet<String>,
}

impl Definitions {
    /// The name of a type in this interface.
    fn local(&self, id: &str) -> String {
        if self.taken.contains(id) { format!("{id}-type") } else { escaped(id) }
    }

    /// How a shared type is brought in.
    fn alias(&self, id: &str) -> String {
        let marked = escaped(id);
        if self.taken.contains(id) { format!("{marked} as {}", self.local(id)) } else { marked }
    }

    /// Whether a type is an option by its own definition.
    fn is_option(&self, id: &str) -> bool {
        self.texts.get(id).is_some_and(|text| text.contains(&format!("type {id} = option<")))
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        self.texts.values().try_for_each(|definition| writeln!(text, "{definition}"))
    }
}

/// Every type that the schemas of a call name. All of them first: what one call replies may be part
/// of another's reply further down.
fn shared() -> Definitions {
    let mut shared = Definitions::default();
    for call in open_services().flat_map(|(_, calls)| calls) {
        for schema in [(call.args_schema)().to_value(), (call.reply_schema)().to_value()] {
            for (name, definition) in schema::definitions(&schema).into_iter().flatten() {
                define(name, definition, &mut shared);
            }
        }
    }
    shared
}

fn function(call: &CallInfo, own: &mut Definitions, shared: &Definitions) -> String {
    let args = (call.args_schema)().to_value();
    let reply = (call.reply_schema)().to_value();
    let params = call.args.iter().map(|arg| {
        let field = plain(arg.name);
        let base = type_of(&args["properties"][field], &pascal(call, field), own);
        let wraps = arg.optional && !shared.is_option(&base);
        let type_name = if wraps { option(base) } else { base };
        let doc = doc(4, &one_line(arg.doc));
        format!("\n{doc}    {}: {type_name},", name(field))
    });
    let params: String = params.collect();
    let params = if params.is_empty() { params } else { format!("{params}\n  ") };
    let reply = reply_type(call, &reply, own, shared);
    own.used.insert("error".into());
    let doc = doc(2, &one_line(call.doc));
    let method = name(call.method);
    format!("\n{doc}  {method}: func({params}) -> result<{reply}, error>;\n")
}

/// A reply is a type of its service, unless calls of others carry it too.
fn reply_type(
    call: &CallInfo,
    schema: &Value,
    own: &mut Definitions,
    shared: &Definitions,
) -> String {
    if schema["type"] == "null" {
        return "_".into();
    }
    let id = kebab(call.reply);
    if shared.texts.contains_key(&id) {
        own.used.insert(id.clone());
    } else if !own.texts.contains_key(&id) {
        let definition = definition(call.reply, schema, own);
        own.texts.insert(id.clone(), definition);
    }
    own.local(&id)
}

fn define(type_name: &str, schema: &Value, into: &mut Definitions) {
    let id = kebab(type_name);
    if BY_HAND.contains(&type_name) || into.texts.contains_key(&id) {
        return;
    }
    // What it names in turn is among the definitions of the same schema.
    let text = definition(type_name, schema, into);
    into.texts.insert(id, text);
}

fn definition(type_name: &str, schema: &Value, into: &mut Definitions) -> String {
    let head = doc(2, &schema::doc(schema));
    let id = into.local(&kebab(type_name));
    if let Some(choices) = schema["oneOf"].as_array() {
        return format!("{head}{}", choice(&id, type_name, choices, into));
    }
    let fields = schema["properties"].as_object();
    match fields {
        Some(fields) if !fields.is_empty() => {
            format!("{head}{}", record(&id, type_name, schema, into))
        }
        _ => format!("{head}  type {id} = {};\n", type_of(schema, type_name, into)),
    }
}

fn record(id: &str, type_name: &str, schema: &Value, into: &mut Definitions) -> String {
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
    let mut text = format!("  record {id} {{\n");
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        let base = type_of(property, &format!("{type_name}{}", pascal_of(field)), into);
        let type_name = if is_required(field) { base } else { option(base) };
        text.push_str(&doc(4, &schema::doc(property)));
        text.push_str(&format!("    {}: {type_name},\n", name(field)));
    }
    text + "  }\n"
}

fn choice(id: &str, type_name: &str, choices: &[Value], into: &mut Definitions) -> String {
    let is_enum = choices.iter().all(|choice| choice["const"].is_string());
    let mut text = format!("  {} {id} {{\n", if is_enum { "enum" } else { "variant" });
    for choice in choices {
        text.push_str(&doc(4, &schema::doc(choice)));
        let payload = choice["properties"].as_object().and_then(|fields| fields.iter().next());
        let case = match (choice["const"].as_str(), payload) {
            (Some(case), _) => name(case),
            (None, Some((case, payload))) => {
                let of = format!("{type_name}{}", pascal_of(case));
                format!("{}({})", name(case), type_of(payload, &of, into))
            }
            (None, None) => unreachable!("a choice is a word or an object with one field"),
        };
        text.push_str(&format!("    {case},\n"));
    }
    text + "  }\n"
}

/// The type of a schema; an object within gets the name `of`.
fn type_of(schema: &Value, of: &str, into: &mut Definitions) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let type_name = reference.rsplit('/').next().unwrap_or(reference);
        let id = kebab(type_name);
        into.used.insert(id.clone());
        return into.local(&id);
    }
    let choices = schema.get("anyOf").and_then(Value::as_array);
    if let Some(choices) = choices {
        let (nulls, rest): (Vec<_>, Vec<_>) =
            choices.iter().partition(|choice| choice["type"] == "null");
        let base = match rest.as_slice() {
            [one] => type_of(one, of, into),
            _ => json(into),
        };
        return if nulls.is_empty() { base } else { option(base) };
    }
    match &schema["type"] {
        Value::String(kind) => simple(kind, schema, of, into),
        Value::Array(kinds) => {
            let rest: Vec<&str> =
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            match rest.as_slice() {
                [kind] => option(simple(kind, schema, of, into)),
                _ => json(into),
            }
        }
        _ => json(into),
    }
}

fn simple(kind: &str, schema: &Value, of: &str, into: &mut Definitions) -> String {
    match kind {
        "boolean" => "bool".into(),
        "string" => "string".into(),
        "number" => "f64".into(),
        "integer" => match schema["format"].as_str() {
            Some(format) => format.replace("uint", "u").replace("int", "s"),
            None => "u64".into(),
        },
        "array" => format!("list<{}>", type_of(&schema["items"], of, into)),
        "object" if schema["additionalProperties"].is_object() => {
            let value = type_of(&schema["additionalProperties"], of, into);
            format!("list<tuple<string, {value}>>")
        }
        _ => {
            let id = kebab(of);
            let text = record(&into.local(&id), of, schema, into);
            into.texts.insert(id.clone(), text);
            into.local(&id)
        }
    }
}

fn json(into: &mut Definitions) -> String {
    into.used.insert("json".into());
    "json".into()
}

fn option(base: String) -> String {
    match base.starts_with("option<") {
        true => base,
        false => format!("option<{base}>"),
    }
}

fn pascal(call: &CallInfo, field: &str) -> String {
    format!("{}{}", pascal_of(call.method), pascal_of(field))
}

fn pascal_of(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// `FileKind` and `max_bytes` with dashes.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(if character == '_' { '-' } else { character.to_ascii_lowercase() });
    }
    out
}

/// A name as it is declared.
fn name(of: &str) -> String {
    escaped(&kebab(of))
}

fn escaped(id: &str) -> String {
    if KEYWORDS.contains(&id) { format!("%{id}") } else { id.to_owned() }
}

fn doc(indent: usize, words: &str) -> String {
    let words = words.replace("\\|", "|");
    let lines = schema::lines(&words, 96 - indent).into_iter();
    lines.map(|line| format!("{}/// {line}\n", " ".repeat(indent))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_call_is_a_function_of_its_interface() {
        let text = wit();
        assert_eq!(text, wit());
        for (service, calls) in open_services() {
            let start = text.find(&format!("\ninterface {} {{", name(service.name)));
            let start = start.expect("it is there");
            let end = text[start..].find("\n}").expect("it ends") + start;
            for call in calls {
                let function = format!("\n  {}: func(", name(call.method));
                assert_eq!(text[start..end].matches(&function).count(), 1, "{}", call.name);
            }
        }
    }

    #[test]
    fn names_have_dashes_and_keywords_are_marked() {
        let names = ["FileKind", "max_bytes", "from", "list", "at_ms", "Digest"].map(name);
        assert_eq!(names, ["file-kind", "max-bytes", "%from", "%list", "at-ms", "digest"]);
    }
}
