//! The documents tell the truth: every command they show exists and is run, and what they show of
//! its output is what it prints.
//!
//! A page is run from its top to its end in a folder of its own: a block with a file's name behind
//! its language is that file, a block with lines that begin with `$ ` is a transcript.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

#[allow(dead_code, reason = "each test target uses its part")]
mod common;
#[allow(dead_code, reason = "each test target uses its part")]
#[path = "support/model.rs"]
mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use common::{binary, repository};
use model::{Answer, Asked, Model};
use serde_json::json;
use tempfile::TempDir;

/// Files that a page speaks of and does not show.
const SETUP: &[(&str, &str, &str)] = &[
    ("README.md", "notes/private/diary.txt", "Dear diary.\n"),
    ("docs/tasks.md", "numbers/a.txt", "1\n"),
    ("docs/tasks.md", "numbers/b.txt", "2\n"),
];

/// The page whose commands need a model, and the address of that model on the page.
const WITH_A_MODEL: (&str, &str) = ("docs/quickstart.md", "http://localhost:11434/v1");

/// What the model of that page says. In the middle of its last answer it falls silent, once.
fn says(has_stalled: &AtomicBool, asked: &Asked) -> Answer {
    let read = |path: &str| ("read_file", json!({ "path": path }));
    match asked.turn() {
        0 => Answer::Say("I look what there is.".into(), vec![("list_folder", json!({}))]),
        1 => Answer::Say("The diary first.".into(), vec![read("private/diary.txt")]),
        2 => Answer::Say("It is not for me. Monday:".into(), vec![read("monday.txt")]),
        3 => Answer::Say("Tuesday:".into(), vec![read("tuesday.txt")]),
        4 => {
            let args = json!({ "argv": ["wc", "-l", "monday.txt", "tuesday.txt"] });
            Answer::Say("How long are they?".into(), vec![("run_command", args)])
        }
        5 => {
            let text = "monday: bought a bicycle\ntuesday: it has a flat tyre\n";
            let args = json!({ "path": "summary.txt", "text": text });
            Answer::Say("That is all I may read.".into(), vec![("write_file", args)])
        }
        _ => {
            let text = "summary.txt has a line for monday and one for tuesday. I may not read \
                        private/diary.txt, so it is not in there.";
            match has_stalled.swap(true, Ordering::SeqCst) {
                true => Answer::Say(text.into(), vec![]),
                false => Answer::Stall(text.into(), vec![]),
            }
        }
    }
}

/// Commands that a page shows and that are run elsewhere: the command, and the test that runs it, or
/// a short form of what it runs.
const RUN_ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --bin libos -- demo", "the_demo_makes_its_project_and_runs_it"),
    ("cargo xtask bench", "durable"),
    ("cargo xtask crash", "a_change_of_state_survives_a_kill_at_every_boundary"),
    ("cargo xtask fuzz", "sources_break_nothing"),
    ("cargo xtask graph", "the_repository_s_own_checks_pass"),
    ("cargo xtask laws", "the_engine_and_the_reference_model_see_the_same"),
    ("cargo xtask race", "nothing_gets_in_or_out_while_folders_and_links_are_swapped"),
    ("libos run --goal", "a_model_repairs_the_test_though_its_host_is_killed_three_times"),
    ("cargo xtask sim", "nothing_is_lost_done_twice_or_spent_twice_whatever_happens"),
];

/// Commands that are steps of `cargo xtask ci`, which `.ci/run` runs: the command, and how the step
/// stands in `xtask/src/steps.rs`.
const RUN_BY_CI: &[(&str, &str)] = &[
    ("cargo build --manifest-path examples", r#""build", "--manifest-path""#),
    ("cargo test --locked --workspace --test", "SYSTEM_TESTS"),
    ("cargo xtask conformance", r#""xtask", "conformance""#),
    ("cargo xtask guest", r#""xtask", "guest""#),
    ("cp Cargo.lock examples/swap-scheduler/", r#""Cargo.lock", "examples/swap-scheduler/""#),
];

/// Commands that run the tests themselves, or what stands before them.
const RUNS_THE_TESTS: &[&str] = &[
    "cargo build",
    "cargo install cargo-mutants",
    "cargo mutants",
    "cargo nextest run --package",
    "cargo test --package",
    "cargo xtask check",
    "cargo xtask ci",
    "cargo xtask test",
];

/// Code that begins like a command and is none.
const NO_COMMANDS: &[&str] = &["libos journal head"];

/// A block of a page: what stands behind its opening, its lines, and where those begin and end.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
    from: usize,
    to: usize,
}

impl Block {
    fn is_transcript(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("$ "))
    }
}

/// The blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut open: Option<(String, usize)> = None;
    for line in page.split_inclusive('\n') {
        if let Some(info) = line.strip_prefix("```") {
            open = match open.take() {
                None => Some((info.trim().to_owned(), at + line.len())),
                Some((info, from)) => {
                    let mut words = info.split_whitespace().map(str::to_owned);
                    found.push(Block {
                        language: words.next().unwrap_or_default(),
                        file: words.next(),
                        text: page[from..at].to_owned(),
                        from,
                        to: at,
                    });
                    None
                }
            };
        }
        at += line.len();
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// Every page, by its path in the repository.
fn pages() -> BTreeMap<String, String> {
    let root = repository();
    let mut found = BTreeMap::new();
    let mut open = vec![root.join("docs")];
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        found.insert(name, fs::read_to_string(&path).unwrap());
    }
    found
}

/// The command of a line of a block, without what is said about it.
fn command(line: &str) -> Option<String> {
    let mut line = line.strip_prefix("$ ").unwrap_or(line);
    // What is set in front of it for this one command.
    while let Some((word, rest)) = line.split_once(' ')
        && word.find('=').is_some_and(|at| word[..at].chars().all(|c| matches!(c, 'A'..='Z' | '_')))
    {
        line = rest;
    }
    let is_command = ["libos ", "cargo ", "cp "].iter().any(|name| line.starts_with(name));
    let said = line.find("  ").into_iter().chain(line.find(" #")).min();
    is_command.then(|| line[..said.unwrap_or(line.len())].trim_end().to_owned())
}

/// Every command that the blocks of a page show, and whether it stands in a transcript.
fn shown(page: &str) -> Vec<(String, bool)> {
    let blocks = blocks(page)
        .into_iter()
        .filter(|block| ["sh", "text", "console", "bash"].contains(&block.language.as_str()));
    let lines = blocks.flat_map(|block| {
        let is_transcript = block.is_transcript();
        let commands = block.text.lines().filter(|line| !is_transcript || line.starts_with("$ "));
        commands.filter_map(command).map(|line| (line, is_transcript)).collect::<Vec<_>>()
    });
    lines.collect()
}

/// A folder in which a page is run.
struct Desk {
    temp: TempDir,
    model: Option<Model>,
}

impl Desk {
    fn new(page: &str) -> Self {
        let temp = TempDir::new().unwrap();
        fs::create_dir(temp.path().join("bin")).unwrap();
        fs::create_dir(temp.path().join("home")).unwrap();
        fs::create_dir(temp.path().join("here")).unwrap();
        let libos = temp.path().join("bin/libos");
        std::os::unix::fs::symlink(binary::path(), libos).unwrap();
        let has_stalled = AtomicBool::new(false);
        let model = (page == WITH_A_MODEL.0)
            .then(|| Model::serve(Box::new(move |_, asked| says(&has_stalled, asked))));
        let desk = Self { temp, model };
        for (of, name, text) in SETUP {
            if *of == page {
                desk.put(name, text);
            }
        }
        desk
    }

    fn here(&self) -> PathBuf {
        self.temp.path().join("here")
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.here().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = match &self.model {
            Some(model) => text.replace(WITH_A_MODEL.1, &model.base_url()),
            None => text.to_owned(),
        };
        fs::write(path, text).unwrap();
    }

    /// What a command line prints, to its output and as errors, as a terminal shows it.
    fn run(&self, line: &str) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.here());
        shell.env("PATH", format!("{}:{path}", self.temp.path().join("bin").display()));
        shell.env("HOME", self.temp.path().join("home")).env_remove("XDG_CONFIG_HOME");
        shell.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        // Tools that are installed for whoever runs the tests stay where they are.
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if let (None, Ok(home)) = (std::env::var_os(name), std::env::var("HOME")) {
                shell.env(name, Path::new(&home).join(folder));
            }
        }
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"LIBOS_") {
                shell.env_remove(name);
            }
        }
        shell.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = shell.spawn().unwrap();
        // Both ends that write are the child's now.
        drop(shell);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        let home = self.temp.path().join("home");
        text.replace(home.to_str().unwrap(), "/home/you")
            .replace(self.here().to_str().unwrap(), "/home/you/work")
    }

    /// A transcript as it is now.
    fn transcript(&self, block: &str) -> String {
        let mut text = String::new();
        for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            if !text.is_empty() {
                text.push('\n');
            }
            text += &format!("$ {line}\n{}", self.run(line));
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        // A block of a page has no blank line at its end, and no white space behind a line.
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }
}

/// A text without what differs from run to run: times of day and digests.
fn timeless(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_time = rest.len() >= 12
            && rest.is_char_boundary(12)
            && rest[..12].chars().zip("00:00:00.000".chars()).all(|(c, form)| match form {
                '0' => c.is_ascii_digit(),
                form => c == form,
            });
        // How long something took.
        let word = rest.split(' ').next().unwrap_or_default();
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_span = word.split_once('.').is_some_and(|(whole, part)| {
            is_digits(whole) && is_digits(part) && rest[word.len()..].starts_with(" s")
        });
        if is_span {
            kept += "SPAN";
            rest = &rest[word.len()..];
            continue;
        }
        let hex = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        let (word, skip) = match (is_time, hex) {
            (true, _) => ("TIME".to_owned(), 12),
            (_, 64) => ("DIGEST".to_owned(), 64),
            // A whole word of digits is not taken apart.
            (_, 2..) => (rest[..hex].to_owned(), hex),
            _ => (c.to_string(), c.len_utf8()),
        };
        kept += &word;
        rest = &rest[skip..];
    }
    kept
}

/// Runs a page, and gives it as it should be.
fn run_page(name: &str, page: &str) -> String {
    let desk = Desk::new(name);
    let mut fresh = String::new();
    let mut at = 0;
    for block in blocks(page) {
        fresh += &page[at..block.from];
        at = block.to;
        if let Some(file) = &block.file {
            desk.put(file, &block.text);
        }
        if !block.is_transcript() {
            fresh += &block.text;
            continue;
        }
        let now = desk.transcript(&block.text);
        // What differs in nothing that counts stays as it is.
        let is_same = timeless(&now) == timeless(&block.text);
        fresh += if is_same { &block.text } else { &now };
    }
    fresh + &page[at..]
}

#[test]
fn what_the_pages_show_of_a_run_is_what_is_printed() {
    let is_run = |page: &String| blocks(page).iter().any(Block::is_transcript);
    let mut stale = Vec::new();
    for (name, page) in pages().into_iter().filter(|(_, page)| is_run(page)) {
        let fresh = run_page(&name, &page);
        if fresh == page {
            continue;
        }
        if std::env::var("LIBOS_WRITE_DOCS").is_ok_and(|it| it == "1") {
            fs::write(repository().join(&name), &fresh).unwrap();
            continue;
        }
        let mut lines = page.lines().zip(fresh.lines()).enumerate();
        let (at, (old, new)) = lines.find(|(_, (old, new))| old != new).unwrap();
        stale.push(format!("{name}:{}\n  shows  {old}\n  prints {new}", at + 1));
    }
    assert!(
        stale.is_empty(),
        "{}\nrun `LIBOS_WRITE_DOCS=1 cargo test -p libos-cli --test docs`",
        stale.join("\n")
    );
}

#[test]
fn what_a_page_shows_of_an_example_stands_there() {
    let mut count = 0;
    for (name, page) in pages() {
        for block in blocks(&page) {
            let Some(file) = block.file.filter(|file| file.starts_with("examples/")) else {
                continue;
            };
            let there = fs::read_to_string(repository().join(&file)).unwrap();
            assert!(block.text == there, "{name} shows another {file}");
            count += 1;
        }
    }
    assert!(count >= 3, "the pages were not read");
}

#[test]
fn every_command_that_a_page_shows_is_run_by_a_test() {
    let sources = sources();
    let mut unknown = BTreeSet::new();
    let mut elsewhere = BTreeSet::new();
    let mut count = 0;
    for (name, page) in pages() {
        for (line, is_transcript) in shown(&page) {
            count += 1;
            let named = RUN_ELSEWHERE.iter().chain(RUN_BY_CI).map(|(command, _)| command);
            let known = named.chain(RUNS_THE_TESTS).find(|command| line.starts_with(**command));
            match known {
                Some(command) => {
                    elsewhere.insert(*command);
                }
                None if is_transcript => {}
                None => {
                    unknown.insert(format!("{name}: {line}"));
                }
            }
        }
    }
    assert!(count > 20, "the pages were not read");
    assert!(
        unknown.is_empty(),
        "shown, and run by no test (begin its line with `$ `, or name the test): {unknown:#?}"
    );
    let named = RUN_ELSEWHERE.iter().chain(RUN_BY_CI).map(|(command, _)| *command);
    let listed: BTreeSet<&str> = named.chain(RUNS_THE_TESTS.iter().copied()).collect();
    let gone: Vec<_> = listed.difference(&elsewhere).collect();
    assert!(gone.is_empty(), "listed here, and shown by no page: {gone:?}");
    for (command, test) in RUN_ELSEWHERE {
        let there = sources.iter().any(|source| source.contains(&format!("fn {test}(")));
        assert!(there, "`{command}` is said to be run by `{test}`, which does not exist");
    }
    let ci = fs::read_to_string(repository().join(".ci/run")).unwrap();
    assert!(ci.contains("cargo xtask ci"));
    let steps = fs::read_to_string(repository().join("xtask/src/steps.rs")).unwrap();
    for (command, step) in RUN_BY_CI {
        assert!(steps.contains(step), "`{command}` is said to be a step of CI and is none");
    }
}

/// The text of every source file.
fn sources() -> Vec<String> {
    let mut open: Vec<PathBuf> =
        ["crates", "xtask", "tests"].map(|name| repository().join(name)).into();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_command_that_a_text_names_exists() {
    let xtask = fs::read_to_string(repository().join("xtask/src/main.rs")).unwrap();
    let tasks = xtask.split("enum Task {").nth(1).unwrap();
    let is_variant =
        |line: &&str| line.starts_with("    ") && line[4..].starts_with(char::is_uppercase);
    let tasks: BTreeSet<String> = tasks
        .lines()
        .take_while(|line| !line.starts_with('}'))
        .filter(is_variant)
        .map(|line| line.trim().split([',', '(', ' ']).next().unwrap().to_lowercase())
        .collect();
    let mut checked = BTreeSet::new();
    for (name, page) in pages() {
        // Without its blocks, what stands between backquotes is code.
        let mut text = page.clone();
        for block in blocks(&page).into_iter().rev() {
            text.replace_range(block.from..block.to, "");
        }
        let text = text.replace("```", "");
        let spans = text.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
        let all = spans.chain(shown(&page).into_iter().map(|(line, _)| line));
        for line in all.filter(|line| !NO_COMMANDS.contains(&line.as_str())) {
            if let Some(task) = line.strip_prefix("cargo xtask ") {
                let task = task.split_whitespace().next().unwrap_or_default();
                assert!(
                    tasks.contains(task),
                    "{name}: there is no `cargo xtask {task}`: {tasks:?}"
                );
            }
            if let Some(words) = line.strip_prefix("libos ") {
                let words = commands(words);
                if checked.insert(words.clone()) {
                    let mut libos = binary::libos();
                    let out = libos.args(&words).arg("--help").output().unwrap();
                    assert!(
                        out.status.success(),
                        "{name}: there is no `libos {}`",
                        words.join(" ")
                    );
                }
            }
        }
    }
    assert!(checked.len() > 20, "the pages were not read: {checked:?}");
}

/// The names of commands at the beginning of what is typed; flags before them are passed over.
fn commands(typed: &str) -> Vec<String> {
    let mut words = typed.split_whitespace();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let is_name = word.chars().all(|c| c.is_ascii_lowercase());
        match word {
            "--store" | "--as" => drop(words.next()),
            word if word.starts_with("--") => {}
            word if is_name => found.push(word.to_owned()),
            _ => break,
        }
    }
    found
}

#[test]
fn what_the_readme_shows_of_the_demo_is_what_it_prints() {
    let page = fs::read_to_string(repository().join("README.md")).unwrap();
    let desk = Desk::new("README.md");
    let steps = desk.run("libos demo");
    let audit = desk.run("libos --store libos-demo/.libos audit ls");
    let asked = desk.run("libos --store libos-demo/.libos inbox --all --json");
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    let op = asked["op"].as_str().unwrap();
    let why = desk.run(&format!("libos --store libos-demo/.libos why {op}"));
    // Numbers of operations and records depend on who was faster.
    let unnumbered = |text: &str| -> Vec<String> {
        let plain = |line: &str| {
            let words = timeless(line);
            let words = words.split(' ').filter(|word| !word.is_empty()).map(|word| {
                let is_number = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit());
                match word.strip_prefix("op-").or_else(|| word.strip_prefix('#')) {
                    Some(rest) if is_number(rest) => "N".to_owned(),
                    _ => word.to_owned(),
                }
            });
            words.collect::<Vec<_>>().join(" ")
        };
        text.lines().map(plain).collect()
    };
    let printed: BTreeSet<String> =
        [steps, audit, why].iter().flat_map(|text| unnumbered(text)).collect();
    let mut checked = 0;
    for block in blocks(&page).iter().filter(|block| block.language == "text") {
        let is_excerpt = block.text.starts_with("p1 ") || block.text.starts_with("op-");
        if block.is_transcript() || !is_excerpt {
            continue;
        }
        for line in unnumbered(&block.text).iter().filter(|line| !line.is_empty()) {
            assert!(printed.contains(line), "README.md shows what the demo does not print: {line}");
            checked += 1;
        }
    }
    assert!(checked > 12, "the excerpts were not read");
}
