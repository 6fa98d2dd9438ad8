//! The examples and the demo do what they say, run by the real binary as a person would run them.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod common;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Libos, copy, output, repository};

const SOURCE: &str = "project/src/lib.rs";

fn texts<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    let items = value.as_array().expect("a list");
    items.iter().map(|item| item[field].as_str().expect("a text")).collect()
}

/// The lines of the run that are of this call and ended in this outcome.
fn steps<'a>(lines: &'a [Value], call: &str, outcome: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["call"] == call && line["outcome"] == outcome).collect()
}

/// Checks what the example leaves behind: in the folder, in the store and in the audit.
fn check_fix_the_test(folder: &Path, libos: &Libos, before: &str) {
    let fixed = fs::read_to_string(folder.join(SOURCE)).unwrap();
    assert_ne!(fixed, before);
    assert!(fixed.contains("cents % people"), "{fixed}");
    assert!(!folder.join("project/src/notes.md").exists());

    // The summary says what happened.
    let summaries = libos.ok(["object", "ls", "--type", "summary"]);
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0]["id"], "obj-5", "the demo names it");
    let summary = libos.ok(["object", "show", "obj-5"]).remove(0);
    let payload = &summary["payload"];
    assert_eq!(payload["tests"], json!({ "before": "exit code 101", "after": "exit code 0" }));
    assert!(payload["problem"].as_str().unwrap().contains("drops the remainder"));
    let denied = texts(&payload["denied"], "call");
    assert_eq!(
        denied,
        [
            "fs.read ../secrets/token.txt",
            "fs.read secrets/token.txt",
            "shell.run cat secrets/token.txt",
            "shell.run cargo publish",
            "fs.write src/notes.md",
        ]
    );
    let approved = &payload["approved"][0];
    assert_eq!(approved["by"], "human:owner");
    assert_eq!(approved["call"], "fs.write src/lib.rs");

    // Its evidence is there: the runs of the test, and what the child found.
    let evidence = &payload["evidence"];
    let object = |field: &str| libos.ok(["object", "show", evidence[field].as_str().unwrap()]);
    assert_eq!(object("test_before")[0]["payload"]["exit_code"], 101);
    assert_eq!(object("test_after")[0]["payload"]["exit_code"], 0);
    let finding = object("finding").remove(0);
    assert_eq!(finding["type"], "finding");
    assert_eq!(finding["payload"]["file"], "src/lib.rs");
    let objects = libos.ok(["object", "ls"]);
    let owner =
        |id: &Value| objects.iter().find(|object| object["id"] == *id).unwrap()["owner"].clone();
    assert_eq!(owner(&finding["id"]), "p2");
    assert_eq!(owner(&summary["id"]), "p1");

    // One request, approved once by the owner, and the write it let through.
    let requests = libos.ok(["inbox", "--all"]);
    assert_eq!(requests.len(), 1);
    let decided = &requests[0]["state"]["decided"];
    assert_eq!(decided["by"], "owner");
    assert_eq!(decided["decision"], json!({ "approve": { "scope": "once" } }));
    let written = &requests[0]["ask"]["approval"]["args"]["text"];
    assert_eq!(written, &Value::from(fixed));
    let operations = libos.ok(["audit", "ls"]);
    let write = operations.iter().find(|op| op["op"] == requests[0]["op"]).unwrap();
    assert_eq!((&write["call"], &write["ended"]), (&json!("fs.write"), &json!("ok")));
    let because = write["decisions"].to_string();
    assert!(because.contains("`owner` answered req-1"), "{because}");
    assert!(because.contains(decided["capability"].as_str().unwrap()), "{because}");

    // Every denial is on record, those of the child too; the secret is not.
    let denials: Vec<(&str, &str)> = operations
        .iter()
        .filter(|op| op["ended"] == "denied" && op["call"] != "tool.call")
        .map(|op| (op["caller"]["process"].as_str().unwrap(), op["call"].as_str().unwrap()))
        .collect();
    assert_eq!(
        denials,
        [
            ("p1", "fs.read"),
            ("p1", "fs.read"),
            ("p1", "shell.run"),
            ("p1", "shell.run"),
            ("p2", "fs.read"),
            ("p2", "fs.write"),
            ("p1", "fs.write"),
        ]
    );
    let secret = fs::read_to_string(folder.join("project/secrets/token.txt")).unwrap();
    let export = folder.join("trail.jsonl");
    libos.ok(["audit", "export", "--output", export.to_str().unwrap()]);
    assert!(!fs::read_to_string(&export).unwrap().contains(secret.trim()));

    let verified = libos.ok(["audit", "verify"]).remove(0);
    assert_eq!(verified["verified"], true);
    let head = verified["head"].as_str().unwrap();
    let export = export.to_str().unwrap();
    assert_eq!(libos.ok(["audit", "verify", "--export", export, "--head", head])[0], verified);
}

#[test]
fn fix_the_test_repairs_the_test_and_leaves_the_secret_alone() {
    let temp = TempDir::new().unwrap();
    copy(&repository().join("examples/fix-the-test"), temp.path());
    let before = fs::read_to_string(temp.path().join(SOURCE)).unwrap();
    let libos = Libos::in_folder(temp.path());
    let (task, approvals) = (temp.path().join("task.toml"), temp.path().join("approvals.toml"));
    let args = ["run", task.to_str().unwrap(), "--approvals", approvals.to_str().unwrap()];
    let lines = libos.ok(args);

    assert_eq!(
        lines.last().unwrap(),
        &json!({ "done": true, "pid": "p1", "status": "exited", "exit": 0 })
    );
    let runs = steps(&lines, "shell.run", "ok");
    let exits: Vec<&Value> = runs.iter().map(|run| &run["reply"]["exit_code"]).collect();
    assert_eq!(exits, [101, 0]);
    let refused = steps(&lines, "fs.read", "denied");
    let message = refused[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("fs:workspace/secrets/token.txt: cap-2 denies it"), "{message}");
    check_fix_the_test(temp.path(), &libos, &before);
}

#[test]
fn without_the_approvals_file_the_write_waits_for_a_human() {
    let temp = TempDir::new().unwrap();
    copy(&repository().join("examples/fix-the-test"), temp.path());
    let before = fs::read_to_string(temp.path().join(SOURCE)).unwrap();
    let libos = Libos::in_folder(temp.path());
    let task = temp.path().join("task.toml");
    let out = libos.run(["run", task.to_str().unwrap()]);
    assert_eq!(out.code, 3, "{}\n{}", out.stdout, out.stderr);
    assert_eq!(fs::read_to_string(temp.path().join(SOURCE)).unwrap(), before);

    libos.ok(["approve", "req-1"]);
    let lines = libos.ok(["resume"]);
    // What ran before the stop does not run again.
    let runs = steps(&lines, "shell.run", "ok");
    assert_eq!(runs.last().unwrap()["reply"]["exit_code"], 0);
    check_fix_the_test(temp.path(), &libos, &before);
    let operations = libos.ok(["audit", "ls"]);
    let ran = operations.iter().filter(|op| op["call"] == "shell.run" && op["ended"] == "ok");
    assert_eq!(ran.count(), 2);
}

#[test]
fn a_refused_write_ends_the_task_as_denied() {
    let temp = TempDir::new().unwrap();
    copy(&repository().join("examples/fix-the-test"), temp.path());
    let before = fs::read_to_string(temp.path().join(SOURCE)).unwrap();
    let approvals = temp.path().join("approvals.toml");
    let text = fs::read_to_string(&approvals).unwrap();
    let text = text.replace("answer = \"approve\"\nscope  = \"once\"\n", "answer = \"deny\"\n");
    assert!(text.contains("deny"));
    fs::write(&approvals, text).unwrap();
    let libos = Libos::in_folder(temp.path());
    let task = temp.path().join("task.toml");
    let out =
        libos.run(["run", task.to_str().unwrap(), "--approvals", approvals.to_str().unwrap()]);
    assert_eq!(out.code, 4, "{}\n{}", out.stdout, out.stderr);
    assert_eq!(fs::read_to_string(temp.path().join(SOURCE)).unwrap(), before);
    libos.ok(["audit", "verify"]);
}

#[test]
fn the_demo_makes_its_project_and_runs_it() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path().join("made/for-it");
    let dir = folder.to_str().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_libos"));
    let out = output(demo.args(["demo", "--dir", dir]));
    assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
    for said in ["fs:workspace/secrets/token.txt: cap-2 denies it", "object show obj-5", "Done: p1"]
    {
        assert!(out.stdout.contains(said), "{said} is not in\n{}", out.stdout);
    }
    let libos = Libos::in_folder(&folder);
    let example = repository().join("examples/fix-the-test");
    let before = fs::read_to_string(example.join(SOURCE)).unwrap();
    check_fix_the_test(&folder, &libos, &before);

    // Nothing is overwritten.
    let again = output(Command::new(env!("CARGO_BIN_EXE_libos")).args(["demo", "--dir", dir]));
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("--dir"), "{}", again.stderr);

    // With --json nothing but JSON is printed.
    let other = temp.path().join("other");
    let elsewhere = Libos::in_folder(&other);
    let out = elsewhere.run(["demo", "--dir", other.to_str().unwrap()]);
    assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
    assert_eq!(out.json_lines.len(), out.stdout.lines().count());
    check_fix_the_test(&other, &elsewhere, &before);
}

#[test]
fn the_demo_brings_every_file_of_the_example() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path().join("demo");
    let libos = Libos::in_folder(&folder);
    libos.ok(["demo", "--dir", folder.to_str().unwrap()]);
    let example = repository().join("examples/fix-the-test");
    let files = |root: &Path| -> BTreeSet<String> {
        let mut found = Vec::new();
        walk(root, &mut found);
        let below = |file: &String| file.strip_prefix(root.to_str().unwrap()).map(String::from);
        found.iter().filter_map(below).collect()
    };
    assert_eq!(files(&folder), files(&example));
    for file in files(&example).iter().filter(|file| !file.ends_with("lib.rs")) {
        let read = |root: &Path| fs::read_to_string(root.join(&file[1..])).unwrap();
        assert_eq!(read(&folder), read(&example), "{file}");
    }
}

/// Every file below a folder, passing over what a survey passes over.
fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if ["target", ".git", "node_modules", ".libos"].contains(&name.as_str()) {
            continue;
        }
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => walk(&entry.path(), found),
            kind if kind.is_file() => found.push(entry.path().to_str().unwrap().to_owned()),
            _ => {}
        }
    }
}

#[test]
fn the_survey_agrees_with_a_walk_of_its_own() {
    let root = repository();
    let example = root.join("examples/survey-this-repository");
    let temp = TempDir::new().unwrap();
    let libos = Libos::in_folder(temp.path());
    let lines = libos.ok(["run", example.join("task.toml").to_str().unwrap()]);
    let processes = libos.ok(["ps"]);
    let parent = processes.iter().find(|process| process["pid"] == "p1").unwrap();
    let result = parent["ending"]["result"].as_str().unwrap();
    let survey = libos.ok(["object", "show", result]).remove(0)["payload"].take();

    let folders: BTreeSet<&str> = survey["folder"]
        .as_array()
        .unwrap()
        .iter()
        .map(|folder| folder.as_str().unwrap().strip_prefix("workspace/").unwrap())
        .collect();
    let crates: BTreeSet<String> = fs::read_dir(root.join("crates"))
        .unwrap()
        .map(|entry| format!("crates/{}", entry.unwrap().file_name().into_string().unwrap()))
        .collect();
    let left_out: Vec<&String> =
        crates.iter().filter(|name| !folders.contains(name.as_str())).collect();
    assert!(left_out.is_empty(), "examples/survey-this-repository/plan.jsonl lacks {left_out:?}");

    // What is text and within the limit was counted; the rest was skipped.
    let mut found = Vec::new();
    folders.iter().for_each(|folder| walk(&root.join(folder), &mut found));
    let (mut files, mut lines_total, mut bytes, mut skipped) = (0, 0, 0, 0);
    for file in &found {
        match fs::read_to_string(file) {
            Ok(text) if text.len() <= 1_048_576 => {
                files += 1;
                lines_total += text.lines().count();
                bytes += text.len();
            }
            _ => skipped += 1,
        }
    }
    assert_eq!(survey["files"], files);
    assert_eq!(survey["lines"], lines_total);
    assert_eq!(survey["bytes"], bytes);
    assert_eq!(survey["skipped"], skipped);
    assert_eq!((&survey["denied"], &survey["left_out"]), (&json!(0), &json!(0)));
    let said = steps(&lines, "human.output", "ok");
    assert_eq!(said.len(), 1);

    // One child for each part. All of them were there before the first had to be waited for.
    let children: Vec<&Value> =
        processes.iter().filter(|process| process["parent"] == "p1").collect();
    assert_eq!(children.len(), folders.len());
    assert!(children.len() >= 4);
    assert!(children.iter().all(|child| child["state"] == "exited"));
    let operations = libos.ok(["audit", "ls"]);
    let of_parent = |call: &str| -> Vec<usize> {
        let called = |op: &Value| op["call"] == call && op["caller"]["process"] == "p1";
        let numbered = operations.iter().enumerate();
        numbered.filter(|(_, op)| called(op)).map(|(index, _)| index).collect()
    };
    assert!(of_parent("process.spawn").last() < of_parent("process.wait").first());

    // A child that looked outside its part was denied, and that is on record.
    let denied: Vec<&Value> = operations.iter().filter(|op| op["ended"] == "denied").collect();
    let paths: Vec<&str> = denied.iter().filter_map(|op| op["args"]["path"].as_str()).collect();
    assert_eq!(paths, ["workspace/Cargo.toml", "workspace/crates"]);
    let callers: BTreeSet<&str> =
        denied.iter().filter_map(|op| op["caller"]["process"].as_str()).collect();
    assert_eq!(callers.len(), 1);
    assert!(!callers.contains("p1"));
    libos.ok(["audit", "verify"]);
}
