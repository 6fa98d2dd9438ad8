//! `docs/invariants.md` and the tests agree, in both directions.
//!
//! Every row names tests that exist; every invariant that a test or a case of a suite names is a
//! row; every central invariant of the published semantics is kept by a row, or named among those
//! without a counterpart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{tidy, workspace};

/// The central invariants of the published semantics, by their numbers there.
const CENTRAL: &[u32] = &[
    1, 2, 3, 4, 5, 6, 9, 11, 12, 13, 15, 16, 22, 23, 24, 25, 35, 38, 39, 40, 41, 44, 47, 50, 57,
    59, 71, 72, 82,
];

/// A row of the table.
struct Row {
    source: String,
    tests: String,
}

/// The rows by their ids, and what is said after the table.
fn table(text: &str) -> (BTreeMap<String, Row>, String) {
    let mut rows = BTreeMap::new();
    let mut after = String::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [id, _, source, _, tests] if id.starts_with("I-") => {
                let row = Row { source: (*source).into(), tests: (*tests).into() };
                let before = rows.insert((*id).to_owned(), row);
                assert!(before.is_none(), "{id} stands twice in docs/invariants.md");
            }
            _ if line.starts_with('|') => {}
            _ if rows.is_empty() => {}
            _ => after += line,
        }
    }
    (rows, after)
}

/// The words of a cell that stand in backticks and look like a test's name.
fn named_tests(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| {
        word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    quoted.filter(is_name)
}

/// The numbers of central invariants that a text refers to, as in `*12`.
fn stars(text: &str) -> BTreeSet<u32> {
    let numbers = text.split('*').skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    numbers.collect()
}

/// The ids of invariants that a source file refers to.
fn ids(text: &str) -> BTreeSet<String> {
    let found = text.match_indices("\"I-").filter_map(|(at, _)| {
        let id = text[at + 1..].split('"').next()?;
        let digits = id.strip_prefix("I-")?;
        let is_id = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_id.then(|| id.to_owned())
    });
    found.collect()
}

#[test]
fn invariants_and_tests_name_each_other() {
    let root = workspace::root();
    let text = fs::read_to_string(root.join("docs/invariants.md")).expect("the table is readable");
    let (rows, after) = table(&text);
    let mut paths = Vec::new();
    tidy::files(&root, &mut paths);
    let sources: Vec<String> = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).expect("a source file is readable"))
        .collect();
    let mut wrong = Vec::new();
    for (id, row) in &rows {
        let mut tests = 0;
        for name in named_tests(&row.tests) {
            tests += 1;
            // A test function, or a case of a suite, which is a name in quotes.
            let there = [format!("fn {name}("), format!("\"{name}\""), format!(" {name}:")];
            if !sources.iter().any(|source| there.iter().any(|it| source.contains(it))) {
                wrong.push(format!("{id} names the test `{name}`, which does not exist"));
            }
        }
        if tests == 0 {
            wrong.push(format!("{id} names no test"));
        }
    }
    for id in sources.iter().flat_map(|source| ids(source)) {
        if !rows.contains_key(&id) {
            wrong.push(format!("a test names {id}, which is no row of docs/invariants.md"));
        }
    }
    let kept: BTreeSet<u32> = rows.values().flat_map(|row| stars(&row.source)).collect();
    let missing = stars(&after);
    for number in CENTRAL {
        if kept.contains(number) == missing.contains(number) {
            wrong.push(format!(
                "the central invariant *{number} is to be kept by a row or named as missing"
            ));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(rows.len() > 40, "the table was not read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
