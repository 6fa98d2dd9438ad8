//! `libos.d.ts`: the calls as a tool in JavaScript or TypeScript makes them.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde_json::Value;

use super::{
    frozen::plain,
    open_services,
    schema::{self, one_line},
};
use crate::{ABI_VERSION, CallInfo, DemandInfo, ServiceInfo};

/// The declarations as they should stand in `docs/libos.d.ts`.
///
/// # Panics
/// Never: a string takes every write.
#[must_use]
pub fn typescript() -> String {
    let mut text = String::new();
    write_all(&mut text).expect("a string takes every write");
    text
}

const HEAD: &str = "\
// Written by `cargo xtask abi` from the tables in `crates/abi/src/services`.
//
// A tool is a module with a default export:
//
//     export default async function run(args: { path: string }, libos: Libos) {
//       const file = await libos.fs.read({ path: args.path });
//       return { lines: file.text.split(\"\\n\").length };
//     }
//
// What it gives back becomes JSON. Calls that are made before one of them is awaited reach the host
// together and are under way together. A call that is refused or fails rejects with a
// `SyscallError`. `Date` stands still at 1970; `libos.clock.now()` tells the time.
";

const TAIL: &str = "\
/** A call that ended in an error. Only the host makes one. */
interface SyscallError extends Error {
  /** The code of the fault or failure, as in `denied` or `not_found`. */
  readonly code: string;
  /** The call, as in `fs.read`. */
  readonly call: string;
}

/** What a tool can ask for. Whether it may is decided call by call. */
interface Libos {
";

fn write_all(text: &mut String) -> fmt::Result {
    writeln!(text, "{HEAD}\n/** Types of the system calls, version {ABI_VERSION}. */")?;
    writeln!(text, "declare namespace Abi {{")?;
    let mut types = BTreeMap::new();
    for call in open_services().flat_map(|(_, calls)| calls) {
        for schema in [(call.args_schema)().to_value(), (call.reply_schema)().to_value()] {
            for (name, definition) in schema::definitions(&schema).into_iter().flatten() {
                types.entry(name.clone()).or_insert_with(|| definition.clone());
            }
        }
    }
    for (name, definition) in &types {
        write_doc(text, 2, &schema::doc(definition))?;
        writeln!(text, "  type {name} = {};\n", type_of(definition, 2))?;
    }
    text.truncate(text.trim_end().len());
    writeln!(text, "\n}}\n")?;
    for (service, calls) in open_services() {
        write_service(text, service, &calls)?;
    }
    write!(text, "{TAIL}")?;
    for (service, _) in open_services() {
        write_doc(text, 2, &one_line(service.doc))?;
        writeln!(text, "  readonly {}: {};", service.name, interface(service))?;
    }
    writeln!(text, "  /** Makes the call of a name, as in `fs.read`. */")?;
    writeln!(text, "  syscall(call: string, args?: object): Promise<unknown>;")?;
    writeln!(text, "  /** For `instanceof`. */")?;
    writeln!(text, "  readonly SyscallError: abstract new () => SyscallError;\n}}")
}

fn interface(service: &ServiceInfo) -> String {
    let (head, rest) = service.name.split_at(1);
    format!("Libos{}{rest}", head.to_uppercase())
}

fn write_service(
    text: &mut String,
    service: &ServiceInfo,
    calls: &[&'static CallInfo],
) -> fmt::Result {
    write_doc(text, 0, &one_line(service.doc))?;
    writeln!(text, "interface {} {{", interface(service))?;
    for call in calls {
        let mut doc = one_line(call.doc);
        if let DemandInfo::Right(right, kind) = call.demand {
            write!(doc, " It takes `{right}` on `{kind}:`.")?;
        }
        if !call.fails.is_empty() {
            write!(doc, " It fails with `{}`.", call.fails.join("`, `"))?;
        }
        write_doc(text, 2, &doc)?;
        let args = arguments(call);
        let reply = type_of(&(call.reply_schema)().to_value(), 2);
        writeln!(text, "  {}({args}): Promise<{reply}>;", call.method)?;
    }
    writeln!(text, "}}\n")
}

fn arguments(call: &CallInfo) -> String {
    if call.args.is_empty() {
        return String::new();
    }
    let schema = (call.args_schema)().to_value();
    let mut fields = String::new();
    for arg in call.args {
        let name = plain(arg.name);
        fields.push_str(&doc(4, &one_line(arg.doc)));
        let mark = if arg.optional { "?" } else { "" };
        let type_name = type_of(&schema["properties"][name], 4);
        fields.push_str(&format!("    {name}{mark}: {type_name};\n"));
    }
    let mark = if call.args.iter().all(|arg| arg.optional) { "?" } else { "" };
    format!("args{mark}: {{\n{fields}  }}")
}

fn write_doc(text: &mut String, indent: usize, words: &str) -> fmt::Result {
    write!(text, "{}", doc(indent, words))
}

/// A comment above a declaration, broken at 100 columns.
fn doc(indent: usize, words: &str) -> String {
    let pad = " ".repeat(indent);
    let words = words.replace("\\|", "|").replace("*/", "*\u{200b}/");
    if indent + words.chars().count() + 7 <= 100 && !words.is_empty() {
        return format!("{pad}/** {words} */\n");
    }
    let lines = schema::lines(&words, 97 - indent);
    let body: String = lines.iter().map(|line| format!("{pad} * {line}\n")).collect();
    if body.is_empty() { body } else { format!("{pad}/**\n{body}{pad} */\n") }
}

/// A type; `indent` is that of the line that it begins on.
fn type_of(schema: &Value, indent: usize) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return format!("Abi.{name}");
    }
    if let Some(constant) = schema.get("const") {
        return constant.to_string();
    }
    if let Some(choices) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let names = choices.as_array().into_iter().flatten();
        return names.map(|choice| type_of(choice, indent)).collect::<Vec<_>>().join(" | ");
    }
    match &schema["type"] {
        Value::String(name) => named(name, schema, indent),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str);
            names.map(|name| named(name, schema, indent)).collect::<Vec<_>>().join(" | ")
        }
        _ => "any".into(),
    }
}

fn named(name: &str, schema: &Value, indent: usize) -> String {
    match name {
        "integer" | "number" => "number".into(),
        "array" => format!("Array<{}>", type_of(&schema["items"], indent)),
        "null" if schema["properties"].is_null() && schema["type"] == "null" => "null".into(),
        "object" if schema["additionalProperties"].is_object() => {
            format!("Record<string, {}>", type_of(&schema["additionalProperties"], indent))
        }
        "object" => object(schema, indent),
        name => name.into(),
    }
}

fn object(schema: &Value, indent: usize) -> String {
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
    let mut fields = String::new();
    let properties = || schema["properties"].as_object().into_iter().flatten();
    if let (Some((name, property)), 1) = (properties().next(), properties().count())
        && schema::doc(property).is_empty()
        && is_required(name)
    {
        return format!("{{ {name}: {} }}", type_of(property, indent));
    }
    for (name, property) in properties() {
        let mark = if is_required(name) { "" } else { "?" };
        fields.push_str(&doc(indent + 2, &schema::doc(property)));
        let type_name = type_of(property, indent + 2);
        fields.push_str(&format!("{}{name}{mark}: {type_name};\n", " ".repeat(indent + 2)));
    }
    match fields.is_empty() {
        true => "object".into(),
        false => format!("{{\n{fields}{}}}", " ".repeat(indent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_call_is_declared_and_no_other() {
        let text = typescript();
        assert_eq!(text, typescript());
        for (service, calls) in open_services() {
            let start = text.find(&format!("interface {} {{", interface(service))).expect("it is");
            let end = text[start..].find("\n}").expect("it ends") + start;
            for call in service.calls {
                let declared = text[start..end].contains(&format!("\n  {}(", call.method));
                let open = calls.iter().any(|open| open.name == call.name);
                assert_eq!(declared, open, "{}", call.name);
            }
        }
    }

    #[test]
    fn every_type_that_is_named_is_declared() {
        let text = typescript();
        let mut named = 0;
        for (at, mark) in text.match_indices("Abi.") {
            let rest = &text[at + mark.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            assert!(text.contains(&format!("  type {} = ", &rest[..end])), "{}", &rest[..end]);
            named += 1;
        }
        assert!(named > 50);
    }
}
