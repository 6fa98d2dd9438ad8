//! `merge_objects`, and the rule by which values merge.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{ObjectId, object};
use libos_port::Port;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{
    memory::{keep, payload},
    table::{Ended, json},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeObjects {
    /// The objects, in the order in which their lists are joined.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    ids: Vec<ObjectId>,
    /// A word for what the new object is; if absent, the type that all of them have, else `merged`.
    r#type: Option<String>,
}

#[derive(Serialize)]
struct Merged {
    id: ObjectId,
}

pub(crate) async fn merge_objects(port: &dyn Port, args: MergeObjects) -> Ended {
    let mut types = BTreeSet::new();
    let mut payloads = Vec::with_capacity(args.ids.len());
    for &id in &args.ids {
        let object = port.call(object::Read { id }).await?;
        payloads.push(payload(&object)?);
        types.insert(object.r#type.to_string());
    }
    let common = types.pop_first().filter(|_| types.is_empty());
    let r#type = args.r#type.or(common).unwrap_or_else(|| "merged".into());
    let handle = keep(port, r#type, &merge(payloads), Some(args.ids)).await?;
    json(Merged { id: handle.id })
}

/// Merges values: numbers add, objects merge by key, lists join, equal values stay, differing
/// texts become a sorted list. `null` counts as absent; whatever else differs becomes a list.
pub(crate) fn merge(mut values: Vec<Value>) -> Value {
    values.retain(|value| !value.is_null());
    let Some(first) = values.first() else {
        return Value::Null;
    };
    if values.iter().all(Value::is_number) {
        return sum(&values);
    }
    if values.iter().all(Value::is_object) {
        return by_key(values);
    }
    if values.iter().all(Value::is_array) {
        return Value::Array(joined(values));
    }
    if values.iter().all(|value| value == first) {
        return values.swap_remove(0);
    }
    // A text beside a list of texts is what an earlier merge left: the list stays sorted.
    let items = joined(values);
    let texts: Option<BTreeSet<String>> =
        items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    match texts {
        Some(texts) => texts.into_iter().collect(),
        None => Value::Array(items),
    }
}

fn by_key(values: Vec<Value>) -> Value {
    let mut keyed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (key, value) in values.into_iter().flat_map(entries) {
        keyed.entry(key).or_default().push(value);
    }
    let merged = keyed.into_iter().map(|(key, values)| (key, merge(values)));
    Value::Object(merged.collect())
}

fn entries(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

fn joined(values: Vec<Value>) -> Vec<Value> {
    let items = |value| match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    values.into_iter().flat_map(items).collect()
}

/// Adds whole numbers exactly as long as they fit, others as floating point.
fn sum(numbers: &[Value]) -> Value {
    let whole = |value: &Value| match (value.as_i64(), value.as_u64()) {
        (Some(number), _) => Some(i128::from(number)),
        (None, Some(number)) => Some(i128::from(number)),
        (None, None) => None,
    };
    let exact: Option<i128> = numbers.iter().map(whole).sum();
    if let Some(number) = exact.and_then(Number::from_i128) {
        return Value::Number(number);
    }
    numbers.iter().filter_map(Value::as_f64).sum::<f64>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(values: Value, expected: Value) {
        let Value::Array(values) = values else { panic!("a list of values") };
        assert_eq!(merge(values), expected);
    }

    #[test]
    fn numbers_add() {
        check(json!([1, 2, -4]), json!(-1));
        check(json!([1, 0.5]), json!(1.5));
        check(json!([u64::MAX, 0]), json!(u64::MAX));
        check(json!([u64::MAX, u64::MAX]), json!(u64::MAX as f64 * 2.0));
    }

    #[test]
    fn objects_merge_by_key_and_lists_join() {
        check(
            json!([{"a": {"n": 1}, "l": [1]}, {"a": {"n": 2, "m": 3}, "l": [1, 2]}]),
            json!({"a": {"n": 3, "m": 3}, "l": [1, 1, 2]}),
        );
    }

    #[test]
    fn texts_stay_or_become_a_sorted_list() {
        check(json!(["x", "x"]), json!("x"));
        check(json!(["y", "x", "y"]), json!(["x", "y"]));
        check(json!([["a", "c"], "b"]), json!(["a", "b", "c"]));
    }

    #[test]
    fn what_does_not_fit_becomes_a_list() {
        check(json!([true, true]), json!(true));
        check(json!([true, false]), json!([true, false]));
        check(json!([1, "a", null]), json!([1, "a"]));
        check(json!([null, null]), json!(null));
        check(json!([]), json!(null));
    }
}
