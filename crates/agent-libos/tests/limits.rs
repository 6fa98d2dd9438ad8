//! The list of all limits is that of the sources: each limit that a crate declares is in it, with
//! the reason that stands there.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test reads and writes the repository's own files"
)]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// Where limits are declared, and how the program names them: the file, the value of its `Limits`
/// (none, if it has constants), and what its constants stand behind.
const SOURCES: &[(&str, &str, &str)] = &[
    ("abi/src/content.rs", "", "libos_abi::"),
    ("abi/src/data.rs", "", "libos_abi::"),
    ("abi/src/field.rs", "", "libos_abi::"),
    ("abi/src/resource.rs", "", "libos_abi::"),
    ("abi/src/services/fs.rs", "", "libos_abi::fs::"),
    ("abi/src/services/http.rs", "", "libos_abi::http::"),
    ("abi/src/services/llm.rs", "", "libos_abi::llm::"),
    ("abi/src/services/shell.rs", "", "libos_abi::shell::"),
    ("abi/src/url.rs", "", "libos_abi::"),
    ("abi/src/wire.rs", "", "libos_abi::wire::"),
    ("agent-libos/src/builder.rs", "crate::Limits::default()", ""),
    ("broker/src/kernel.rs", "", "libos_broker::"),
    ("broker/src/receipts.rs", "", "libos_broker::"),
    ("broker/src/tx.rs", "", "libos_broker::"),
    ("capability/src/limits.rs", "", "libos_capability::limits::"),
    ("checkpoints/src/core.rs", "libos_checkpoints::Limits::default()", ""),
    ("events/src/core.rs", "libos_events::Limits::default()", "libos_events::"),
    ("human/src/core.rs", "libos_human::Limits::default()", ""),
    ("images/src/core.rs", "libos_images::Limits::default()", ""),
    ("journal/src/limits.rs", "libos_journal::Limits::default()", ""),
    ("llm/src/limits.rs", "", "libos_llm::limits::"),
    ("objects/src/limits.rs", "libos_objects::Limits::default()", ""),
    ("planner/src/load.rs", "", "libos_planner::"),
    ("planner/src/model/bounds.rs", "", "libos_planner::"),
    ("planner/src/model/mod.rs", "", "libos_planner::"),
    ("planner/src/script.rs", "", "libos_planner::"),
    ("providers/src/limits.rs", "", "libos_providers::limits::"),
    ("sandbox/src/limits.rs", "libos_sandbox::Limits::STANDARD", ""),
    ("scheduler/src/limits.rs", "libos_scheduler::LIMITS", ""),
    ("tools/src/limits.rs", "libos_tools::Limits::STANDARD", ""),
];

/// Constants that bound a loop, a text or a buffer inside one part, or what can be set, and mean
/// nothing to anyone outside.
const INNER: &[&str] = &[
    "ANCESTORS_MAX",
    "ARTIFACTS_MAX",
    "BREAK_BYTES_MAX",
    "BUILT_BYTES_MAX",
    "BUSY_FLUSH_MS_MAX",
    "BYTES_MAX",
    "CALLS_WAITING_MAX",
    "COMPONENT_HANDLES_MAX",
    "DEPTH_MAX",
    "COUNTED_BYTES_MAX",
    "ENCODED_TIMES_MAX",
    "FAULTS_MAX",
    "GATHER_US_MAX",
    "INSTANCE_BYTES_MAX",
    "KEPT_BYTES_MAX",
    "KEPT_MAX",
    "LAZY_FLUSH_MS_MAX",
    "LAST_WORD_CHARS_MAX",
    "LOG_LINES_MAX",
    "NAMED_MAX",
    "NAME_BYTES_MAX",
    "NAME_CHARS_MAX",
    "NARROWED_MAX",
    "PROFILE_DEFAULT",
    "QUEUE_MESSAGES_MAX",
    "REPORT_TEXT_BYTES_MAX",
    "REFUSAL_BYTES_MAX",
    "SHOWN_CHARS_MAX",
    "SPARE_MAX",
    "STEP_TRIES_MAX",
    "STRINGS_MAX",
    "SUMMARY_CALLS_MAX",
    "SUMMARY_TOKENS_MAX",
    "STRING_DEPTH_MAX",
    "TERMS_MAX",
    "VIEWS_MAX",
    "STORE_RETRY_MS_MAX",
    "SWEEPS_MAX",
    "UNIT_BYTES_MAX",
    "WORD_BYTES_MAX",
];

/// A word in a limit's name, and what the limit counts then. The first that is there holds.
const UNITS: &[(&str, &str)] = &[
    ("bytes", "bytes"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("chars", "characters"),
    ("tokens", "tokens"),
    ("children", "children"),
    ("receipts", "receipts"),
    ("list", "processes"),
    ("fuel", "units of fuel"),
    ("generated", "tools"),
    ("depth", "levels"),
    ("weight", "shares"),
    ("share", "parts"),
    ("tasks", "tasks"),
    ("roots", "objects"),
    ("pending", "requests"),
    ("asks", "requests"),
    ("running", "processes"),
    ("query", "objects"),
    ("largest", "files"),
    ("queue", "events"),
];

/// A limit as it is declared.
struct Declared {
    name: String,
    /// The field of `Limits` that it is in, with a dot; nothing for those at its top.
    within: &'static str,
    kind: String,
    reason: String,
    is_field: bool,
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every limit of a source file: the fields of its `Limits`, and its constants.
fn declared(text: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    let mut reason = String::new();
    let (mut in_limits, mut within) = (false, "");
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            let space = if reason.is_empty() { "" } else { " " };
            reason = reason + space + words.trim();
            continue;
        }
        if line.starts_with("pub struct Limits {") {
            (in_limits, within) = (true, "");
        } else if line.starts_with("pub struct RunLimits {") {
            (in_limits, within) = (true, "run.");
        }
        in_limits &= line != "}";
        let (is_field, rest) = match line.split_once("const ") {
            Some((before, rest)) if before.is_empty() || before.starts_with("pub") => (false, rest),
            _ if in_limits => (true, line.trim_start_matches("pub ")),
            _ => (false, ""),
        };
        if let Some((name, kind)) = rest.split_once(": ") {
            let kind = kind.split([' ', ',']).next().unwrap_or_default().to_owned();
            let is_named = name.contains("_MAX") || name.ends_with("_DEFAULT");
            // A duration is made from the number that is the limit.
            if (is_field && kind != "RunLimits") || (is_named && kind != "Duration") {
                let reason = reason.trim_end_matches('.').to_owned() + ".";
                found.push(Declared { name: name.to_owned(), within, kind, reason, is_field });
            }
        }
        if !line.starts_with('#') {
            reason.clear();
        }
    }
    found
}

fn unit(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split('_').collect();
    let known = UNITS.iter().find(|(word, _)| words.contains(word));
    // Otherwise a limit is named by what it counts: `messages_max`.
    known.map_or_else(|| counted(&words), |(_, unit)| (*unit).to_owned())
}

fn counted(words: &[&str]) -> String {
    let plural = words.iter().find(|word| word.ends_with('s') && word.len() > 3);
    match plural {
        Some(word) => (*word).to_owned(),
        None => panic!("what does `{}` count? give it a word of UNITS", words.join("_")),
    }
}

fn table() -> String {
    let mut text = String::from(
        "//! Written by `LIBOS_WRITE_LIMITS=1 cargo test -p agent-libos --test limits`.\n\n\
         use super::Limit;\n\npub(super) fn table() -> Vec<Limit> {\n    vec![\n",
    );
    for (file, value, behind) in SOURCES {
        let part = file.split('/').next().unwrap_or_default();
        for limit in declared(&read(&crates().join(file))) {
            let Declared { name, within, kind, reason, is_field } = limit;
            if INNER.contains(&name.as_str()) {
                continue;
            }
            let path = match is_field {
                true => format!("{value}.{within}{name}"),
                false => format!("{behind}{name}"),
            };
            let cast = if kind == "u64" { "" } else { " as u64" };
            let (shown, unit) = (name.to_lowercase(), unit(&name));
            writeln!(
                text,
                "        Limit {{\n            part: {part:?},\n            name: {shown:?},\n            \
                 value: {path}{cast},\n            unit: {unit:?},\n            \
                 reason:\n                {reason:?},\n        }},"
            )
            .expect("a text takes text");
        }
    }
    text + "    ]\n}\n"
}

#[test]
fn the_list_of_limits_is_fresh() {
    let path = crates().join("agent-libos/src/limits/table.rs");
    let text = table();
    if std::env::var("LIBOS_WRITE_LIMITS").is_ok_and(|it| it == "1") {
        std::fs::write(&path, &text).expect("sources can be written");
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "crates/agent-libos/src/limits/table.rs is stale: run `LIBOS_WRITE_LIMITS=1 cargo test \
         -p agent-libos --test limits`"
    );
}

#[test]
fn no_crate_that_is_composed_declares_a_limit_that_the_list_does_not_know() {
    let parts = read(&crates().join("agent-libos/Cargo.toml"));
    let mut open = vec![crates()];
    let mut unknown = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                let is_source = !["tests", "examples", "benches", "target"].contains(&name);
                open.extend(is_source.then_some(path));
                continue;
            }
            let below = path.strip_prefix(crates()).expect("below").to_str().unwrap_or_default();
            let is_known = SOURCES.iter().any(|(file, ..)| *file == below);
            let part = below.split('/').next().unwrap_or_default();
            let is_seen =
                part == "agent-libos" || parts.contains(&format!("libos-{part}.workspace"));
            if path.extension().is_none_or(|it| it != "rs")
                || is_known
                || !is_seen
                || name == "tests.rs"
            {
                continue;
            }
            let limits = declared(&read(&path));
            let names = limits.iter().map(|limit| limit.name.as_str());
            unknown.extend(
                names.filter(|name| !INNER.contains(name)).map(|name| format!("{below}: {name}")),
            );
        }
    }
    assert!(unknown.is_empty(), "add these to SOURCES, or to INNER: {unknown:#?}");
}

#[test]
fn every_limit_has_a_value_a_unit_and_a_reason() {
    let all = agent_libos::limits::all();
    assert!(all.len() > 80, "the sources were not read");
    for limit in &all {
        assert!(limit.value > 0 && !limit.unit.is_empty(), "{limit:?}");
        assert!(limit.reason.len() > 10, "{limit:?}");
    }
    let names: BTreeSet<_> = all.iter().map(|limit| (limit.part, limit.name)).collect();
    assert_eq!(names.len(), all.len(), "a limit stands twice");
    let running = all.iter().find(|limit| limit.name == "running_max");
    let running = running.expect("the edge has it");
    assert_eq!((running.part, running.value, running.unit), ("agent-libos", 256, "processes"));
}
