//! The description of everything that callers rely on, without prose.

use serde_json::{Map, Value, json};

use crate::{
    ABI_VERSION, CallInfo, DemandInfo, Fault, INLINE_BYTES_MAX, PATH_BYTES_MAX, RESOURCE_BYTES_MAX,
    SERVICES, ServiceInfo, wire::FRAME_BYTES_MAX,
};

/// Keywords of a schema that say nothing about what may be sent.
const PROSE: &[&str] = &["$schema", "title", "description", "examples"];

/// Services, calls, failures and faults with their numbers and types, as canonical JSON: object
/// keys are sorted, lists stand in the order of the tables.
#[must_use]
pub fn frozen() -> Value {
    let services: Vec<Value> = SERVICES.iter().copied().map(service).collect();
    let faults: Vec<Value> = Fault::TABLE
        .iter()
        .map(|(number, code, _)| json!({ "number": number, "code": code }))
        .collect();
    json!({
        "version": ABI_VERSION,
        "limits": {
            "frame_bytes_max": FRAME_BYTES_MAX,
            "inline_bytes_max": INLINE_BYTES_MAX,
            "path_bytes_max": PATH_BYTES_MAX,
            "resource_bytes_max": RESOURCE_BYTES_MAX,
        },
        "services": services,
        "faults": faults,
        "fault_schema": without_prose(schemars::schema_for!(Fault).to_value()),
    })
}

fn service(info: &ServiceInfo) -> Value {
    let failures: Vec<Value> = info
        .failures
        .iter()
        .map(|failure| json!({ "number": failure.number, "code": failure.code }))
        .collect();
    let calls: Vec<Value> = info.calls.iter().map(call).collect();
    json!({ "name": info.name, "number": info.number, "failures": failures, "calls": calls })
}

fn call(info: &CallInfo) -> Value {
    let args: Vec<Value> = info
        .args
        .iter()
        .map(|arg| json!({ "name": plain(arg.name), "type": squeezed(arg.rust) }))
        .collect();
    let demand = match info.demand {
        DemandInfo::Own => json!("own"),
        DemandInfo::Host => json!("host"),
        DemandInfo::Kernel => json!("kernel"),
        DemandInfo::Human => json!("human"),
        DemandInfo::Right(right, kind) => json!({ "right": right, "on": kind }),
    };
    json!({
        "name": info.name,
        "number": info.number,
        "demand": demand,
        "effect": info.effect.name(),
        "args": args,
        "args_schema": without_prose((info.args_schema)().to_value()),
        "reply": squeezed(info.reply),
        "reply_schema": without_prose((info.reply_schema)().to_value()),
        "fails": info.fails,
    })
}

/// An argument's name as JSON has it.
pub(super) fn plain(name: &str) -> &str {
    name.trim_start_matches("r#")
}

/// A type without the white space that the compiler puts into it as it likes.
fn squeezed(rust: &str) -> String {
    rust.chars().filter(|c| !c.is_whitespace()).collect()
}

/// A schema without titles, descriptions and examples.
fn without_prose(mut schema: Value) -> Value {
    strip(&mut schema);
    schema
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(keywords) => {
            PROSE.iter().for_each(|prose| drop(keywords.remove(*prose)));
            for (keyword, value) in keywords {
                match keyword.as_str() {
                    // What these hold are names of fields, not keywords.
                    "properties" | "$defs" => strip_each(value.as_object_mut()),
                    "const" | "enum" | "default" => {}
                    _ => strip(value),
                }
            }
        }
        _ => {}
    }
}

fn strip_each(named: Option<&mut Map<String, Value>>) {
    named.into_iter().flat_map(Map::values_mut).for_each(strip);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_named_like_prose_stay() {
        let schema = json!({
            "title": "T",
            "description": "d",
            "properties": { "description": { "type": "string", "description": "d" } },
        });
        let expected = json!({ "properties": { "description": { "type": "string" } } });
        assert_eq!(without_prose(schema), expected);
    }

    #[test]
    fn numbers_and_names_are_unique() {
        fn check(what: &str, numbers: impl Iterator<Item = u16>) {
            let mut seen = std::collections::BTreeSet::new();
            for number in numbers {
                assert!(number > 0 && seen.insert(number), "{what}: {number} is there twice");
            }
        }
        check("services", SERVICES.iter().map(|service| service.number));
        check("faults", Fault::TABLE.iter().map(|fault| fault.0));
        for service in SERVICES {
            check(service.name, service.calls.iter().map(|call| call.number));
            check(service.name, service.failures.iter().map(|failure| failure.number));
        }
    }

    #[test]
    fn the_description_is_the_same_every_time() {
        assert_eq!(frozen().to_string(), frozen().to_string());
    }
}
