//! References: `${a.entries.0.name}` in the texts of a step.
//!
//! A text that is exactly one reference becomes the value it refers to, with its type; within a
//! longer text a reference becomes text (of a value that is no text: its JSON). `$${` stands for
//! `${`. What was put in is not looked at again, so no reply can smuggle in a reference.

use std::collections::BTreeMap;

use serde_json::Value;

/// Replies by the name they were saved under.
pub(crate) type Saved = BTreeMap<String, Value>;

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadReference {
    /// A `${` without its `}`.
    #[error("`{0}` has a `${{` without `}}`; write `$${{` for a plain `${{`")]
    Open(String),
    /// Nothing was saved under the name.
    #[error("`${{{path}}}`: nothing was saved as `{name}`")]
    NotSaved { path: String, name: String },
    /// What was saved has no such part.
    #[error("`${{{path}}}`: there is no `{part}` in it")]
    NoPart { path: String, part: String },
}

/// A piece of a text.
enum Piece<'a> {
    Plain(&'a str),
    /// What stands between `${` and `}`.
    Reference(&'a str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, BadReference> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${`: the first dollar goes, `${` stays.
            pieces.push(Piece::Plain(&rest[..at - 1]));
            pieces.push(Piece::Plain("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').ok_or_else(|| BadReference::Open(text.to_owned()))?;
        pieces.push(Piece::Plain(&rest[..at]));
        pieces.push(Piece::Reference(&rest[at + 2..at + end]));
        rest = &rest[at + end + 1..];
    }
    pieces.push(Piece::Plain(rest));
    pieces.retain(|piece| !matches!(piece, Piece::Plain("")));
    Ok(pieces)
}

fn find<'a>(path: &str, saved: &'a Saved) -> Result<&'a Value, BadReference> {
    let (name, parts) = path.split_once('.').map_or((path, None), |(n, p)| (n, Some(p)));
    let root = saved
        .get(name)
        .ok_or_else(|| BadReference::NotSaved { path: path.to_owned(), name: name.to_owned() })?;
    let mut parts = parts.into_iter().flat_map(|parts| parts.split('.'));
    parts.try_fold(root, |value, part| {
        let found = match value {
            Value::Object(entries) => entries.get(part),
            Value::Array(items) => part.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        found.ok_or_else(|| BadReference::NoPart { path: path.to_owned(), part: part.to_owned() })
    })
}

/// `value` with every reference in its texts replaced. Keys are left as they are.
pub(crate) fn substitute(value: &Value, saved: &Saved) -> Result<Value, BadReference> {
    match value {
        Value::String(text) => substitute_text(text, saved),
        Value::Array(items) => items.iter().map(|item| substitute(item, saved)).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), substitute(value, saved)?)))
            .collect(),
        plain => Ok(plain.clone()),
    }
}

fn substitute_text(text: &str, saved: &Saved) -> Result<Value, BadReference> {
    let pieces = pieces(text)?;
    if let [Piece::Reference(path)] = pieces[..] {
        return find(path, saved).cloned();
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Plain(plain) => out.push_str(plain),
            Piece::Reference(path) => match find(path, saved)? {
                Value::String(text) => out.push_str(text),
                other => out.push_str(&other.to_string()),
            },
        }
    }
    Ok(Value::String(out))
}

/// Checks that every reference in the texts of `value` closes.
pub(crate) fn check(value: &Value) -> Result<(), BadReference> {
    match value {
        Value::String(text) => pieces(text).map(drop),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(entries) => entries.values().try_for_each(check),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gives(text: Value, expected: Value) {
        let saved = Saved::from([
            ("a".into(), json!({"text": "hi ${b}", "n": 7, "list": [{"name": "x"}]})),
            ("b".into(), json!(true)),
        ]);
        let got = substitute(&text, &saved).unwrap_or_else(|error| json!(error.to_string()));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn a_lone_reference_keeps_its_type() {
        gives(json!("${a.n}"), json!(7));
        gives(json!("${a.list}"), json!([{"name": "x"}]));
        gives(json!("${a.list.0.name}"), json!("x"));
        gives(json!({"k": ["${b}", 1, null]}), json!({"k": [true, 1, null]}));
    }

    #[test]
    fn within_a_text_it_becomes_text() {
        gives(json!("n=${a.n}, ${a.list.0.name}!"), json!("n=7, x!"));
        gives(json!("${a.list}${b}"), json!("[{\"name\":\"x\"}]true"));
    }

    #[test]
    fn what_was_put_in_is_not_looked_at_again() {
        gives(json!("${a.text}"), json!("hi ${b}"));
        gives(json!("${a.text}."), json!("hi ${b}."));
    }

    #[test]
    fn dollars_escape() {
        gives(json!("$${a.n}"), json!("${a.n}"));
        gives(json!("x$${${b}"), json!("x${true"));
        gives(json!("$5 $ {a} $"), json!("$5 $ {a} $"));
        gives(json!(""), json!(""));
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        gives(json!("${c}"), json!("`${c}`: nothing was saved as `c`"));
        gives(json!("${a.list.1}"), json!("`${a.list.1}`: there is no `1` in it"));
        gives(json!("${a.n.x}"), json!("`${a.n.x}`: there is no `x` in it"));
        gives(json!("${a..n}"), json!("`${a..n}`: there is no `` in it"));
        gives(json!("${a"), json!("`${a` has a `${` without `}`; write `$${` for a plain `${`"));
    }
}
