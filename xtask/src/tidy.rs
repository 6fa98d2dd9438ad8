//! The small rules of the repository, held by `cargo test`.
//!
//! A rule is a row of [`RULES`]: a name, the kinds of file it reads, and a function from a file to
//! the lines that break it. To add a rule, add a row and a line to the test that plants it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace;

/// Files larger than this belong into a release, not into the history.
const FILE_BYTES_MAX: usize = 1 << 20;
/// The width of `rustfmt.toml`, in characters.
const LINE_CHARS_MAX: usize = 100;
/// How a line begins that is one literal, or the row of a table.
const LITERALS: &[&str] = &["\"", "r\"", "r#", "b\"", "br", "| "];
/// Never committed. Split, so that this file keeps its own rule.
const LEFTOVERS: &[&str] = &[concat!("todo", "!"), concat!("dbg", "!"), concat!("FIX", "ME")];
/// Words after which a number means an issue of some tracker.
const ISSUE_WORDS: &[&str] = &["gh", "issue", "issues", "pull"];
/// Words after which a number means one when it is marked with `#`.
const REFERRING_WORDS: &[&str] = &["closes", "fixes", "mr", "pr", "request", "resolves", "see"];
/// Folders that hold nothing of ours.
const FOREIGN_FOLDERS: &[&str] = &["target", "node_modules"];
/// The only folders with a dot that are ours.
const DOT_FOLDERS: &[&str] = &[".cargo", ".ci", ".config", ".github"];

/// One rule about files.
struct Rule {
    /// What must hold.
    name: &'static str,
    /// The extensions it reads; none means every file.
    extensions: &'static [&'static str],
    /// Whether it reads tests too, which hold tables and data.
    in_tests: bool,
    /// The lines that break it, counted from one.
    broken_lines: fn(&str) -> Vec<usize>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "a line has at most 100 columns, unless it holds a URL or a literal",
        extensions: &["rs"],
        in_tests: false,
        broken_lines: |text| lines_where(text, is_overlong),
    },
    Rule {
        name: "a file opens with `//!`: what it owns and what it must never do",
        extensions: &["rs"],
        in_tests: true,
        broken_lines: |text| {
            if text.starts_with("//! ") { vec![] } else { vec![1] }
        },
    },
    Rule {
        name: "no placeholder or debugging aid is committed",
        extensions: &["rs"],
        in_tests: true,
        broken_lines: |text| lines_where(text, |line| LEFTOVERS.iter().any(|it| line.contains(it))),
    },
    Rule {
        name: "no line ends in white space",
        extensions: &["md", "rs", "toml"],
        in_tests: true,
        broken_lines: |text| lines_where(text, |line| line != line.trim_end()),
    },
    Rule {
        name: "text stands on its own: it names no issue numbers",
        extensions: &["md", "rs"],
        in_tests: true,
        broken_lines: |text| lines_where(text, names_an_issue),
    },
    Rule {
        name: "a file has at most 1 MiB",
        extensions: &[],
        in_tests: true,
        broken_lines: |text| {
            if text.len() <= FILE_BYTES_MAX { vec![] } else { vec![1] }
        },
    },
];

fn lines_where(text: &str, breaks: impl Fn(&str) -> bool) -> Vec<usize> {
    (1..).zip(text.split('\n')).filter(|(_, line)| breaks(line)).map(|(number, _)| number).collect()
}

/// A line too wide that could have been broken: a URL cannot, nor a literal that fills its line.
fn is_overlong(line: &str) -> bool {
    let code = line.trim_start();
    let is_literal = LITERALS.iter().any(|prefix| code.starts_with(prefix));
    let unbreakable = is_literal || line.contains("://");
    line.chars().count() > LINE_CHARS_MAX && !unbreakable
}

/// Whether a line names an issue: the word and the number, a marked number after a word that
/// refers, a marked number in brackets, or a link.
fn names_an_issue(line: &str) -> bool {
    let mut previous = String::new();
    for word in line.split([' ', '/']) {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let is_number = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit());
        let is_bracketed = word.starts_with("(#") || word.starts_with("[#");
        let refers = word.contains('#') && REFERRING_WORDS.contains(&previous.as_str());
        if is_number && (is_bracketed || refers || ISSUE_WORDS.contains(&previous.as_str())) {
            return true;
        }
        previous = bare.to_ascii_lowercase();
    }
    false
}

/// Whether a rule reads a file.
fn reads(rule: &Rule, path: &Path) -> bool {
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs");
    if is_test && !rule.in_tests {
        return false;
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    rule.extensions.is_empty() || rule.extensions.contains(&extension)
}

/// Every file of the repository, without what a build or a run leaves behind.
pub(crate) fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository is readable") {
        let entry = entry.expect("an entry of the repository is readable");
        let kind = entry.file_type().expect("an entry has a type");
        let name = entry.file_name();
        let name = name.to_str().expect("names in the repository are UTF-8");
        let foreign = FOREIGN_FOLDERS.contains(&name);
        let hidden = name.starts_with('.') && !DOT_FOLDERS.contains(&name);
        if kind.is_dir() && !foreign && !hidden {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

#[test]
fn the_repository_is_tidy() {
    let root = workspace::root();
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let mut broken = Vec::new();
    for path in &paths {
        let bytes = fs::read(path).expect("a file of the repository is readable");
        let text = String::from_utf8_lossy(&bytes);
        for rule in RULES.iter().filter(|rule| reads(rule, path)) {
            let shown = path.strip_prefix(&root).expect("the walk stays below the root").display();
            let lines = (rule.broken_lines)(&text);
            broken.extend(lines.iter().map(|line| format!("{shown}:{line}: {}", rule.name)));
        }
    }
    assert!(!paths.is_empty(), "the walk found no file");
    assert!(broken.is_empty(), "{} untidy line(s):\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_rule_finds_what_is_planted_and_spares_what_is_fine() {
    let wide = "x".repeat(LINE_CHARS_MAX);
    let issue = |text: &str| text.replace('N', "12");
    let planted: [(&str, String, String); 6] = [
        ("columns", format!("{wide}\n\"{wide}\n// https://{wide}\n"), format!("a\n {wide}\n")),
        ("opens", "//! What.\n".to_owned(), "\nmod a;\n".to_owned()),
        ("placeholder", "todo(1)\n".to_owned(), format!("a\n{}(1);\n", LEFTOVERS[1])),
        ("white space", "a\n\nb".to_owned(), "a\nb \n".to_owned()),
        ("issue", issue("the N cases, request N, # N, [x](#N-a)"), issue("a\nsee issue #N.\n")),
        ("1 MiB", "a".repeat(FILE_BYTES_MAX), "a".repeat(FILE_BYTES_MAX + 1)),
    ];
    assert_eq!(planted.len(), RULES.len(), "every rule has its plant");
    for (rule, (word, fine, bad)) in RULES.iter().zip(&planted) {
        assert!(rule.name.contains(word), "the plant of {word:?} stands at the wrong rule");
        assert_eq!((rule.broken_lines)(fine), [0_usize; 0], "{word}");
        assert_eq!((rule.broken_lines)(bad).len(), 1, "{word}");
    }
    for text in ["fixes #N", "Issue N", "done (#N)", "pull request #N", "x.invalid/issues/N"] {
        assert!(names_an_issue(&issue(text)), "{text}");
    }
}
