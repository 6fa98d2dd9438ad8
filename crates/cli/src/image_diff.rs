//! How two images differ, part by part.

use std::{collections::BTreeSet, fmt};

use agent_libos::abi::image::Image;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

/// A part that is not the same. What is absent is in one of them only.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Where it is, as in `tool_groups.files.tools`.
    part: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// All parts in which two images differ.
pub(crate) fn between(one: &Image, other: &Image) -> Vec<Difference> {
    let mut found = Vec::new();
    let [one, other] = [one, other].map(|image| serde_json::to_value(image).unwrap_or_default());
    compare("", Some(&one), Some(&other), &mut found);
    found
}

fn compare(part: &str, one: Option<&Value>, other: Option<&Value>, found: &mut Vec<Difference>) {
    if one == other {
        return;
    }
    let (Some(Value::Object(left)), Some(Value::Object(right))) = (one, other) else {
        if let (Some(left), Some(right)) = (one.and_then(by_name), other.and_then(by_name)) {
            return compare(part, Some(&left), Some(&right), found);
        }
        let (before, after) = (one.cloned(), other.cloned());
        return found.push(Difference { part: part.to_owned(), before, after });
    };
    for key in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
        let part = if part.is_empty() { key.clone() } else { format!("{part}.{key}") };
        compare(&part, left.get(key), right.get(key), found);
    }
}

/// A list of things that have names or paths, by them: where one stands in it does not count.
fn by_name(list: &Value) -> Option<Value> {
    let key = |item: &Value| {
        let name = item.get("name").or_else(|| item.get("path"))?;
        Some((name.as_str()?.to_owned(), item.clone()))
    };
    list.as_array()?.iter().map(key).collect::<Option<_>>().map(Value::Object)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.part)?;
        if let (Some(Value::String(before)), Some(Value::String(after))) =
            (&self.before, &self.after)
            && (before.contains('\n') || after.contains('\n'))
        {
            let (before, after) = (format!("{before}\n"), format!("{after}\n"));
            let diff = TextDiff::from_lines(&before, &after);
            let mut lines = diff.unified_diff();
            return lines
                .context_radius(1)
                .to_string()
                .lines()
                .try_for_each(|line| writeln!(f, "  {line}"));
        }
        for (sign, value) in [('-', &self.before), ('+', &self.after)] {
            match value {
                Some(Value::String(text)) => writeln!(f, "  {sign} {text}")?,
                Some(value) => writeln!(f, "  {sign} {value}")?,
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(edit: impl FnOnce(&mut Value)) -> Image {
        let mut image = serde_json::json!({
            "name": "a", "version": "1", "prompt": "one\ntwo\nthree", "tools": ["x"],
            "tool_groups": [{ "name": "g", "tools": ["y"] }, { "name": "h", "tools": [] }],
        });
        edit(&mut image);
        serde_json::from_value(image).expect("an image")
    }

    #[test]
    fn what_differs_is_told_by_its_name_and_nothing_else() {
        let one = image(|_| ());
        assert!(between(&one, &one).is_empty());
        let other = image(|image| {
            image["prompt"] = "one\n2\nthree".into();
            image["tools"] = serde_json::json!(["x", "z"]);
            image["tool_groups"] = serde_json::json!([{ "name": "h", "tools": ["y"] }]);
            image["budget"] = serde_json::json!({ "tokens": 9 });
        });
        let parts: Vec<_> = between(&one, &other).into_iter().map(|it| it.part).collect();
        let expected = ["budget.tokens", "prompt", "tool_groups.g", "tool_groups.h.tools", "tools"];
        assert_eq!(parts, expected);
        let told: String = between(&one, &other).iter().map(ToString::to_string).collect();
        for line in ["  -two\n", "  +2\n", "  + 9\n", "  - [\"x\"]\n", "  + [\"x\",\"z\"]\n"] {
            assert!(told.contains(line), "{line}: {told}");
        }
    }
}
