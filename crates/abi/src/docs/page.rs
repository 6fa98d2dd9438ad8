//! `docs/abi.md`.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde_json::Value;

use super::{
    frozen::plain,
    schema::{self, one_line, type_name},
};
use crate::{
    ABI_VERSION, CallInfo, DemandInfo, EffectClass, Fault, INLINE_BYTES_MAX, PATH_BYTES_MAX,
    SERVICES, ServiceInfo, wire::FRAME_BYTES_MAX,
};

/// The page as it should stand in `docs/abi.md`.
///
/// # Panics
/// Never: a string takes every write.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::new();
    write_page(&mut page).expect("a string takes every write");
    page
}

const EFFECTS: &[(EffectClass, &str)] = &[
    (
        EffectClass::State,
        "Reads or changes kernel state, in one transaction. A crash leaves it done or not begun.",
    ),
    (
        EffectClass::Read,
        "Looks at the outside and changes nothing there. After a crash it is done again.",
    ),
    (
        EffectClass::Idempotent,
        "Changes the outside; done again under the same operation id, it changes nothing more. \
         After a crash it is done again.",
    ),
    (
        EffectClass::Reconcilable,
        "Changes the outside; after a crash the provider is asked whether it happened, and it is \
         done only if it did not.",
    ),
    (
        EffectClass::Irreversible,
        "Changes the outside and nobody can tell afterwards; after a crash the call ends in \
         `unknown_outcome` and is never repeated by itself.",
    ),
];

fn write_page(page: &mut String) -> fmt::Result {
    writeln!(page, "# The system calls of Agent libOS, version {ABI_VERSION}\n")?;
    writeln!(page, "Written by `cargo xtask abi` from the tables in `crates/abi/src/services`;")?;
    writeln!(page, "numbers, names and types are only ever added to.\n")?;
    write_rules(page)?;
    write_effects(page)?;
    write_faults(page)?;
    writeln!(page, "## Services\n")?;
    writeln!(page, "| number | service | what it is |\n| --- | --- | --- |")?;
    for service in SERVICES {
        let ServiceInfo { name, number, doc, .. } = service;
        writeln!(page, "| {number} | [`{name}`](#{number}-{name}) | {} |", one_line(doc))?;
    }
    writeln!(page)?;
    let mut types = BTreeMap::new();
    for service in SERVICES {
        write_service(page, service, &mut types)?;
    }
    let fault = schemars::schema_for!(Fault).to_value();
    collect(&fault, &mut types);
    write_types(page, &types)
}

fn write_rules(page: &mut String) -> fmt::Result {
    let frame_mib = FRAME_BYTES_MAX >> 20;
    write!(
        page,
        "\
## Rules that hold for every call

- **A call** is written as `service.method` with a JSON object of arguments. An unknown argument,
  a missing one or one of the wrong type is refused and nothing is done. An argument that is
  optional may be left out or be `null`.
- **A demand** is what a call needs before anything is done or looked at, so a denial tells nothing
  of what is there. A right over a kind of resource is computed from the arguments; where the
  argument that would name the resource is left out and has no default, nothing is demanded.
  *own* means that the call is about the caller's own state, or that its service checks it grant
  by grant; *host* that only the host's operator may make it; *kernel* that only parts of the
  kernel may: such a call is never admitted from a process, nor from the operator.
- **An error** is a fault of the kernel (below) or a failure of the service. Both have a `code`,
  which plans compare with, and a message that names the next step.
- **Paths** are relative to the caller's working directory and are made canonical before anything
  looks at them: the mount first (`workspace/src/a.rs`), no `.`, no `..`. An absolute path, or one
  whose `..` leave the mount, ends in `outside_mount`. A path has at most {PATH_BYTES_MAX} bytes, a
  name in it 255, and no control characters.
- **Resources** are `kind:name`; **patterns** are a resource, `resource/*` (it and everything below
  it through `/`) or `resource:*` (through `:`; `kind:*` is all of a kind). Other characters than
  letters, digits, `-._~` and the separators are percent-encoded.
- **Payloads** are text or JSON. From {INLINE_BYTES_MAX} bytes on they are kept by digest and put
  back before a caller sees them; a caller carries its payloads itself and cannot refer to stored
  ones. A call or reply takes at most {frame_mib} MiB encoded.
- **Ids** are text: `p7` (process), `cap-3` (capability), `obj-7.12` (object 12 in the memory of
  p7; its resource is `object:p7/12`), `view-2` (view), `req-4` (request), `op-9` (operation),
  `msg-5` (message). Knowing an id grants nothing.
- **Durations** are a number of milliseconds, or text such as `250ms`, `30s`, `10m`, `1h`, `2d`.
  Points in time are milliseconds since 1970-01-01T00:00Z.

"
    )
}

fn write_effects(page: &mut String) -> fmt::Result {
    writeln!(page, "## Effect classes\n\n| class | what it means |\n| --- | --- |")?;
    for (class, meaning) in EFFECTS {
        writeln!(page, "| {} | {meaning} |", class.name())?;
    }
    writeln!(page)
}

fn write_faults(page: &mut String) -> fmt::Result {
    writeln!(page, "## Faults\n\nAny call can end in these.\n")?;
    writeln!(page, "| number | code | when |\n| --- | --- | --- |")?;
    for (number, code, doc) in Fault::TABLE {
        writeln!(page, "| {number} | `{code}` | {} |", one_line(doc))?;
    }
    writeln!(page)
}

type Types = BTreeMap<String, Value>;

fn write_service(page: &mut String, service: &ServiceInfo, types: &mut Types) -> fmt::Result {
    writeln!(page, "## {} `{}`\n\n{}\n", service.number, service.name, one_line(service.doc))?;
    if service.failures.is_empty() {
        writeln!(page, "It has no failures of its own.\n")?;
    } else {
        writeln!(page, "| number | failure | when |\n| --- | --- | --- |")?;
        for failure in service.failures {
            let (number, code) = (failure.number, failure.code);
            writeln!(page, "| {number} | `{code}` | {} |", one_line(failure.doc))?;
        }
        writeln!(page)?;
    }
    let (inner, open): (Vec<_>, Vec<_>) =
        service.calls.iter().partition(|call| call.demand == DemandInfo::Kernel);
    open.into_iter().try_for_each(|call| write_call(page, call, types))?;
    if !inner.is_empty() {
        writeln!(page, "### Calls of `{}` within the kernel\n", service.name)?;
        writeln!(page, "Parts of the kernel make these of each other. They are never admitted")?;
        writeln!(page, "from processes.\n")?;
        inner.into_iter().try_for_each(|call| write_call(page, call, types))?;
    }
    Ok(())
}

fn write_call(page: &mut String, call: &CallInfo, types: &mut Types) -> fmt::Result {
    let level = if call.demand == DemandInfo::Kernel { "####" } else { "###" };
    writeln!(page, "{level} {}.{} `{}`\n", call.service_number, call.number, call.name)?;
    writeln!(page, "{}\n", one_line(call.doc))?;
    let demand = match call.demand {
        DemandInfo::Own => "own".into(),
        DemandInfo::Host => "host".into(),
        DemandInfo::Kernel => "kernel".into(),
        DemandInfo::Human => "human".into(),
        DemandInfo::Right(right, kind) => format!("`{right}` on `{kind}:`"),
    };
    let fails = match call.fails {
        [] => "none of its own".into(),
        fails => fails.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", "),
    };
    let (effect, data) = (call.effect.name(), call.data.name());
    writeln!(page, "- demand: {demand}\n- effect: {effect}; data: {data}\n- failures: {fails}\n")?;
    let args = (call.args_schema)().to_value();
    collect(&args, types);
    write_args(page, call, &args)?;
    let reply = (call.reply_schema)().to_value();
    collect(&reply, types);
    write_reply(page, &reply)
}

fn write_args(page: &mut String, call: &CallInfo, schema: &Value) -> fmt::Result {
    if call.args.is_empty() {
        return writeln!(page, "It takes no arguments.\n");
    }
    writeln!(page, "| argument | type | | meaning |\n| --- | --- | --- | --- |")?;
    for arg in call.args {
        let name = plain(arg.name);
        let type_name = type_name(&schema["properties"][name]).replace(" or null", "");
        let word = if arg.optional { "optional" } else { "" };
        writeln!(page, "| `{name}` | {type_name} | {word} | {} |", one_line(arg.doc))?;
    }
    writeln!(page)
}

fn write_reply(page: &mut String, schema: &Value) -> fmt::Result {
    let fields = schema::fields(schema);
    if fields.is_empty() {
        return match schema["type"].as_str() {
            Some("null") => writeln!(page, "It replies with nothing.\n"),
            _ => writeln!(page, "It replies with {}.\n", type_name(schema)),
        };
    }
    write_fields(page, "reply", &fields)
}

fn write_fields(page: &mut String, title: &str, fields: &[schema::Field]) -> fmt::Result {
    writeln!(page, "| {title} | type | meaning |\n| --- | --- | --- |")?;
    for schema::Field { name, type_name, doc } in fields {
        writeln!(page, "| `{name}` | {type_name} | {doc} |")?;
    }
    writeln!(page)
}

/// Remembers the named types of a schema.
fn collect(schema: &Value, types: &mut Types) {
    for (name, definition) in schema::definitions(schema).into_iter().flatten() {
        types.entry(name.clone()).or_insert_with(|| definition.clone());
    }
}

fn write_types(page: &mut String, types: &Types) -> fmt::Result {
    writeln!(page, "## Types\n\nTypes that arguments and replies name.\n")?;
    for (name, definition) in types {
        writeln!(page, "### `{name}`\n")?;
        let doc = schema::doc(definition);
        if !doc.is_empty() {
            writeln!(page, "{doc}\n")?;
        }
        let fields = schema::fields(definition);
        match definition["oneOf"].as_array() {
            Some(variants) => write_variants(page, variants)?,
            None if fields.is_empty() => writeln!(page, "JSON: {}\n", type_name(definition))?,
            None => write_fields(page, "field", &fields)?,
        }
    }
    // One line break ends the page.
    page.truncate(page.trim_end().len());
    writeln!(page)
}

fn write_variants(page: &mut String, variants: &[Value]) -> fmt::Result {
    writeln!(page, "| one of | meaning |\n| --- | --- |")?;
    for variant in variants {
        writeln!(page, "| {} | {} |", type_name(variant), schema::doc(variant))?;
    }
    writeln!(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_failure_and_fault_stands_on_the_page() {
        let page = markdown();
        assert_eq!(page, markdown());
        for call in SERVICES.iter().flat_map(|service| service.calls) {
            let head = format!("# {}.{} `{}`\n", call.service_number, call.number, call.name);
            assert_eq!(page.matches(&head).count(), 1, "{head}");
        }
        let failures = SERVICES.iter().flat_map(|service| service.failures);
        for code in failures.map(|failure| failure.code).chain(Fault::TABLE.iter().map(|f| f.1)) {
            assert!(page.contains(&format!("| `{code}` | ")), "{code}");
        }
    }

    #[test]
    fn a_name_of_a_type_means_one_type() {
        let mut types = Types::new();
        for call in SERVICES.iter().flat_map(|service| service.calls) {
            for schema in [(call.args_schema)().to_value(), (call.reply_schema)().to_value()] {
                for (name, definition) in schema::definitions(&schema).into_iter().flatten() {
                    let known = types.entry(name.clone()).or_insert_with(|| definition.clone());
                    assert_eq!(known, definition, "{name} in {}", call.name);
                }
            }
        }
    }
}
