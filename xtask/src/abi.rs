//! `docs/abi.md`, the declarations for tools, and the frozen description of the ABI beside them.
//!
//! `docs/abi/v1-<hash>.json` is what callers of version 1 rely on; its name carries the first 12
//! digits of the BLAKE3 digest of its canonical JSON, so no edit goes unseen. A description takes
//! its place only when it says everything that it said: **additions only**. Where something must
//! go, the version of the ABI has to change with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use libos_abi::{ABI_VERSION, Digest, docs};
use serde_json::Value;

use crate::generated::Generated;

const COMMAND: &str = "cargo xtask abi";
const FOLDER: &str = "docs/abi";

/// Writes the files. Fails when something is gone that the frozen description promises.
pub(crate) fn write(root: &Path) -> Result<()> {
    let new = docs::frozen();
    for old in frozen_files(root)? {
        ensure_additions_only(&read(&old)?, &new)?;
        fs::remove_file(&old).with_context(|| format!("remove {}", old.display()))?;
    }
    files(&new)?.iter().try_for_each(|file| file.write(root))
}

/// Fails when a file is missing, stale or one too many, or when something is gone that the frozen
/// description promises.
pub(crate) fn check(root: &Path) -> Result<()> {
    let new = docs::frozen();
    let files = files(&new)?;
    let old = frozen_files(root)?;
    ensure!(old.len() <= 1, "{FOLDER} holds {} descriptions: keep the committed one", old.len());
    for path in &old {
        let description = read(path)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        ensure!(
            name == file_name(&description),
            "{FOLDER}/{name} was edited: its content belongs to {}. Restore it; `{COMMAND}` \
             writes what is new",
            file_name(&description)
        );
        ensure_additions_only(&description, &new)?;
        if name != file_name(&new) {
            bail!("{FOLDER}/{name} lacks something that was added: run `{COMMAND}`");
        }
    }
    files.iter().try_for_each(|file| file.check(root))
}

/// The files as they should be.
fn files(description: &Value) -> Result<[Generated; 4]> {
    let mut text = serde_json::to_string_pretty(description).context("write JSON")?;
    text.push('\n');
    let path = format!("{FOLDER}/{}", file_name(description));
    Ok([
        Generated { path: "docs/abi.md".to_owned(), text: docs::markdown(), command: COMMAND },
        Generated {
            path: "docs/libos.d.ts".to_owned(),
            text: docs::typescript(),
            command: COMMAND,
        },
        Generated { path: "wit/libos.wit".to_owned(), text: docs::wit(), command: COMMAND },
        Generated { path, text, command: COMMAND },
    ])
}

/// The name of the file of a description.
fn file_name(description: &Value) -> String {
    format!("v{ABI_VERSION}-{}.json", Digest::of(description.to_string().as_bytes()).short())
}

/// The committed descriptions of this version, sorted.
fn frozen_files(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {FOLDER}"))? {
        let path = entry.with_context(|| format!("list {FOLDER}"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(&format!("v{ABI_VERSION}-")) && name.ends_with(".json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn ensure_additions_only(old: &Value, new: &Value) -> Result<()> {
    let broken = breaches(old, new);
    ensure!(
        broken.is_empty(),
        "version {ABI_VERSION} of the ABI is frozen, and this breaks it:\n    {}\nbring it back, \
         or make a new version of the ABI",
        broken.join("\n    ")
    );
    Ok(())
}

/// Everything that the old description promises and the new one does not keep.
fn breaches(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    keeps_same("the ABI", &["version"], old, new, &mut found);
    let nowhere = "the ABI";
    for (service, after) in kept("service", "name", nowhere, old, new, "services", &mut found) {
        let name = text(service, "name");
        let what = format!("service `{name}`");
        keeps_same(&what, &["number"], service, after, &mut found);
        let pairs = kept("failure", "code", &what, service, after, "failures", &mut found);
        for (failure, after) in pairs {
            let what = format!("failure `{name}.{}`", text(failure, "code"));
            keeps_same(&what, &["number"], failure, after, &mut found);
        }
        for (call, after) in kept("call", "name", &what, service, after, "calls", &mut found) {
            keeps_call(call, after, &mut found);
        }
    }
    for (fault, after) in kept("fault", "code", nowhere, old, new, "faults", &mut found) {
        let what = format!("fault `{}`", text(fault, "code"));
        keeps_same(&what, &["number"], fault, after, &mut found);
    }
    keeps_schema("the faults", &old["fault_schema"], &new["fault_schema"], &mut found);
    found
}

fn keeps_call(call: &Value, after: &Value, found: &mut Vec<String>) {
    let name = text(call, "name");
    let what = format!("call `{name}`");
    keeps_same(&what, &["number", "demand", "effect", "reply"], call, after, found);
    let args = kept("argument", "name", &what, call, after, "args", found);
    for (index, (arg, argument_after)) in args.into_iter().enumerate() {
        let what = format!("argument `{}` of `{name}`", text(arg, "name"));
        keeps_same(&what, &["type"], arg, argument_after, found);
        if after["args"][index] != *argument_after {
            // Arguments are encoded in this order.
            found.push(format!("{what} has another place"));
        }
    }
    let required = |call: &'_ Value| list(&call["args_schema"]["required"]).to_vec();
    let before = required(call);
    for name in required(after).iter().filter(|name| !before.contains(name)) {
        found.push(format!("{what} now requires {name}: a new argument must be optional"));
    }
    for code in list(&call["fails"]).iter().filter(|code| !list(&after["fails"]).contains(code)) {
        found.push(format!("{what} no longer names the failure {code}"));
    }
    keeps_schema(
        &format!("the arguments of `{name}`"),
        &call["args_schema"],
        &after["args_schema"],
        found,
    );
    keeps_schema(
        &format!("the reply of `{name}`"),
        &call["reply_schema"],
        &after["reply_schema"],
        found,
    );
}

/// The entries of a list that are still there, each with what it is now; the others are breaches.
fn kept<'a>(
    what: &str,
    key: &str,
    of: &str,
    old: &'a Value,
    new: &'a Value,
    entries: &str,
    found: &mut Vec<String>,
) -> Vec<(&'a Value, &'a Value)> {
    let mut pairs = Vec::new();
    for entry in list(&old[entries]) {
        match list(&new[entries]).iter().find(|after| after[key] == entry[key]) {
            Some(after) => pairs.push((entry, after)),
            None => found.push(format!("{what} `{}` of {of} is gone", text(entry, key))),
        }
    }
    pairs
}

fn keeps_same(what: &str, keys: &[&str], old: &Value, new: &Value, found: &mut Vec<String>) {
    for key in keys.iter().filter(|key| old[**key] != new[**key]) {
        found.push(format!("{what}: its {key} was {} and is {}", old[*key], new[*key]));
    }
}

fn keeps_schema(what: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    if let Some(place) = lost(old, new) {
        found.push(format!("{what}: another schema at `{place}`"));
    }
}

/// Where the new schema no longer says what the old one said: every keyword and every field stays,
/// lists only grow.
fn lost(old: &Value, new: &Value) -> Option<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old.iter().find_map(|(key, value)| {
            let inner = lost(value, new.get(key).unwrap_or(&Value::Null))?;
            Some(format!("/{key}{inner}"))
        }),
        (Value::Array(old), Value::Array(new)) => {
            let is_kept = |item: &Value| new.iter().any(|after| lost(item, after).is_none());
            old.iter().position(|item| !is_kept(item)).map(|index| format!("/{index}"))
        }
        _ => (old != new).then(String::new),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace;

    #[test]
    fn the_committed_description_is_fresh() {
        check(&workspace::root()).expect("docs/abi.md and docs/abi are fresh");
    }

    /// Asserts what a change of the description breaks; nothing when `expected` is empty.
    #[track_caller]
    fn changed(change: impl FnOnce(&mut Value), expected: &str) {
        let old = docs::frozen();
        let mut new = old.clone();
        change(&mut new);
        assert_ne!(old, new, "the change changes nothing");
        let found = breaches(&old, &new).join("\n");
        assert!(found.contains(expected), "{found}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
    }

    fn push(list: &mut Value, item: Value) {
        list.as_array_mut().expect("a list").push(item);
    }

    fn remove(list: &mut Value, index: usize) {
        list.as_array_mut().expect("a list").remove(index);
    }

    #[test]
    fn additions_pass() {
        changed(|new| push(&mut new["services"], json!({ "name": "x", "number": 99 })), "");
        changed(|new| push(&mut new["services"][0]["calls"], json!({ "name": "process.x" })), "");
        changed(|new| push(&mut new["services"][0]["failures"], json!({ "code": "x" })), "");
        changed(
            |new| push(&mut new["services"][0]["calls"][0]["args"], json!({ "name": "x" })),
            "",
        );
        changed(|new| push(&mut new["faults"], json!({ "number": 99, "code": "x" })), "");
        let reply = "/services/8/calls/0/reply_schema/properties/more";
        changed(
            |new| {
                let (object, field) = reply.rsplit_once('/').expect("a path");
                new.pointer_mut(object).expect("a reply")[field] = json!({ "type": "string" });
            },
            "",
        );
    }

    #[test]
    fn what_is_gone_renumbered_or_of_another_type_is_named() {
        changed(|new| remove(&mut new["services"], 8), "service `fs` of the ABI is gone");
        let fs = |new: &mut Value, at: &str, value: Value| {
            *new.pointer_mut(&format!("/services/8{at}")).expect("a place") = value;
        };
        changed(
            |new| remove(&mut new["services"][8]["calls"], 0),
            "call `fs.read` of service `fs` is gone",
        );
        changed(
            |new| remove(&mut new["services"][8]["calls"][0]["args"], 1),
            "argument `max_bytes` of call `fs.read` is gone",
        );
        changed(
            |new| remove(&mut new["services"][8]["failures"], 0),
            "failure `not_found` of service `fs` is gone",
        );
        changed(|new| remove(&mut new["faults"], 0), "fault `denied` of the ABI is gone");
        changed(|new| fs(new, "/number", json!(77)), "service `fs`: its number was 9 and is 77");
        changed(|new| fs(new, "/calls/0/number", json!(7)), "call `fs.read`: its number was 1");
        changed(|new| fs(new, "/calls/0/effect", json!("state")), "call `fs.read`: its effect");
        changed(|new| fs(new, "/calls/0/demand", json!("own")), "call `fs.read`: its demand");
        changed(
            |new| fs(new, "/failures/0/number", json!(7)),
            "failure `fs.not_found`: its number",
        );
        changed(|new| new["faults"][0]["number"] = json!(7), "fault `denied`: its number");
        changed(
            |new| fs(new, "/calls/0/args/0/type", json!("String")),
            "argument `path` of `fs.read`: its type",
        );
        changed(
            |new| new["services"][8]["calls"][0]["args"].as_array_mut().expect("a list").reverse(),
            "argument `path` of `fs.read` has another place",
        );
        changed(
            |new| push(&mut new["services"][8]["calls"][0]["args_schema"]["required"], json!("x")),
            "call `fs.read` now requires \"x\"",
        );
        let bytes = "/calls/0/reply_schema/properties/bytes/type";
        changed(
            |new| fs(new, bytes, json!("string")),
            "the reply of `fs.read`: another schema at `/properties/bytes/type`",
        );
    }

    #[test]
    fn what_was_written_is_fresh_and_what_was_edited_is_not() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let missing = check(root.path()).expect_err("nothing is there").to_string();
        assert!(missing.contains("is missing: run `cargo xtask abi`"), "{missing}");
        write(root.path()).expect("written");
        check(root.path()).expect("fresh");
        write(root.path()).expect("written again");
        let files = frozen_files(root.path()).expect("listed");
        assert_eq!(files.len(), 1);

        let mut description = read(&files[0]).expect("read");
        description["faults"][0]["number"] = json!(7);
        fs::write(&files[0], description.to_string()).expect("edited");
        let edited = check(root.path()).expect_err("edited").to_string();
        assert!(edited.contains("was edited"), "{edited}");
        let renamed = files[0].with_file_name(file_name(&description));
        fs::rename(&files[0], &renamed).expect("renamed");
        let broken = check(root.path()).expect_err("renumbered").to_string();
        assert!(broken.contains("fault `denied`: its number was 7 and is 1"), "{broken}");
        assert!(write(root.path()).is_err() && renamed.exists(), "nothing is overwritten");
    }
}
