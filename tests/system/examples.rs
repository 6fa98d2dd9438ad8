//! The examples and the demo do what they say, run by the real binary as a person would run them.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Libos, binary, copy, output, repository};

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
    assert_eq!(summaries[0]["id"], "obj-1.3", "the demo names it");
    let summary = libos.ok(["object", "show", "obj-1.3"]).remove(0);
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
    let mut demo = binary::libos();
    let out = output(demo.args(["demo", "--dir", dir]));
    assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
    for said in
        ["fs:workspace/secrets/token.txt: cap-2 denies it", "object show obj-1.3", "Done: p1"]
    {
        assert!(out.stdout.contains(said), "{said} is not in\n{}", out.stdout);
    }
    let libos = Libos::in_folder(&folder);
    let example = repository().join("examples/fix-the-test");
    let before = fs::read_to_string(example.join(SOURCE)).unwrap();
    check_fix_the_test(&folder, &libos, &before);

    // Nothing is overwritten.
    let again = output(binary::libos().args(["demo", "--dir", dir]));
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

/// The parts of this repository: its crates, and what stands beside them.
fn parts() -> BTreeSet<String> {
    let crates = fs::read_dir(repository().join("crates")).unwrap();
    let names = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let crates = names.map(|name| format!("crates/{name}"));
    crates.chain(["docs", "examples", "tests", "xtask"].map(String::from)).collect()
}

/// The plan of the survey, with a child for each part.
fn survey_plan() -> String {
    let parts = parts();
    let name = |part: &str| part.rsplit('/').next().unwrap_or_default().to_owned();
    let mut text = String::from(
        "# One child for each part, all at once. Each may read its part and nothing else.\n",
    );
    for part in &parts {
        let script = if part == "docs" { "curious.jsonl" } else { "surveyor.jsonl" };
        text += &format!(
            r#"{{"spawn":{{"goal":"survey {part}","script":"{script}","cwd":"{part}","grants":[{{"on":"fs:workspace/{part}/*","rights":["read"]}}]}},"save":"{}","expect":"ok"}}"#,
            name(part)
        );
        text.push('\n');
    }
    text += "# Their results, as they end.\n";
    for name in parts.iter().map(|part| name(part)) {
        text += &format!(
            r#"{{"call":"process.wait","args":{{"pid":"${{{name}.pid}}"}},"save":"{name}_ended","expect":"ok"}}"#
        );
        text.push('\n');
    }
    let results: Vec<String> =
        parts.iter().map(|part| format!("\"${{{}_ended.result}}\"", name(part))).collect();
    text += "# All of them as one.\n";
    text += &format!(
        r#"{{"tool":"merge_objects","args":{{"ids":[{}],"type":"survey"}},"save":"merged","expect":"ok"}}"#,
        results.join(",")
    );
    text + r#"
{"call":"object.read","args":{"id":"${merged.result.id}"},"save":"all","expect":"ok"}
{"call":"human.output","args":{"message":"${all.payload.files} files, ${all.payload.lines} lines, ${all.payload.bytes} bytes; ${all.payload.skipped} skipped, ${all.payload.denied} denied."},"expect":"ok"}
{"exit":{"result":"${merged.result.id}","message":"${all.payload.files} files"}}
"#
}

#[test]
fn the_survey_has_a_child_for_each_part_of_the_repository() {
    let path = repository().join("examples/survey-this-repository/plan.jsonl");
    let plan = survey_plan();
    if std::env::var("LIBOS_WRITE_EXAMPLES").is_ok_and(|it| it == "1") {
        fs::write(&path, &plan).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == plan,
        "examples/survey-this-repository/plan.jsonl is stale: run `LIBOS_WRITE_EXAMPLES=1 cargo \
         test -p libos-cli --test examples the_survey_has_a_child`"
    );
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
    assert_eq!(folders, parts().iter().map(String::as_str).collect());

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

/// Copies an example into a folder of its own.
fn copied(name: &str) -> (TempDir, Libos) {
    let temp = TempDir::new().unwrap();
    copy(&repository().join("examples").join(name), temp.path());
    let libos = Libos::in_folder(temp.path());
    (temp, libos)
}

/// What was said to the human, in order.
fn said(lines: &[Value]) -> Vec<String> {
    let outputs = lines.iter().filter(|line| line["call"] == "human.output");
    // A step's line tells its outcome; what it said is in the audit.
    outputs.map(|line| line["args"]["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_sleepers_take_turns_though_one_process_runs_at_a_time() {
    let (temp, libos) = copied("two-sleepers");
    // A sleeping process is data: it does not hold the one place to run.
    fs::write(temp.path().join("libos.toml"), "[limits]\nrunning_max = 1\n").unwrap();
    let task = temp.path().join("task.toml");
    let mut run = libos.command(["run", task.to_str().unwrap()]);
    let out = output(run.current_dir(temp.path()));
    assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
    let operations = libos.ok(["audit", "ls"]);
    let turns = ["tick 1", "tock 1", "tick 2", "tock 2", "tick 3", "tock 3"];
    assert_eq!(said(&operations), turns);
    let callers: BTreeSet<&str> = operations
        .iter()
        .filter(|op| op["call"] == "human.output")
        .map(|op| op["caller"]["process"].as_str().unwrap())
        .collect();
    assert_eq!(callers, BTreeSet::from(["p2", "p3"]));
    let processes = libos.ok(["ps"]);
    assert!(processes.iter().all(|process| process["state"] == "exited"), "{processes:?}");
    // Each was handed what it needs and nothing else.
    for pid in ["p2", "p3"] {
        let used: BTreeSet<&str> = operations
            .iter()
            .filter(|op| op["caller"]["process"] == pid)
            .map(|op| op["call"].as_str().unwrap())
            .collect();
        assert_eq!(used, BTreeSet::from(["clock.sleep", "human.output"]));
    }
}

#[test]
fn a_file_is_asked_for_by_name_permitted_alone_and_shown() {
    let (temp, libos) = copied("ask-for-a-file");
    let task = temp.path().join("task.toml");
    let task = task.to_str().unwrap();
    let approvals = temp.path().join("approvals.toml");
    let lines = libos.ok(["run", task, "--approvals", approvals.to_str().unwrap()]);
    let codes: Vec<&str> = lines
        .iter()
        .filter(|line| line["call"].is_string())
        .map(|line| line["error"]["code"].as_str().unwrap_or("ok"))
        .collect();
    assert_eq!(codes, ["ok", "denied", "not_requestable", "ok", "ok", "ok"]);
    let operations = libos.ok(["audit", "ls"]);
    let shopping = fs::read_to_string(temp.path().join("notes/shopping.txt")).unwrap();
    assert_eq!(said(&operations), [shopping]);
    // The permission is for that file and no other, and the diary was never touched.
    let granted = libos.ok(["why", "cap-2"]).remove(0);
    let words = granted["says"].as_str().unwrap();
    assert!(words.contains("allow read on fs:workspace/shopping.txt"), "{words}");
    let of_files = operations.iter().filter_map(|op| op["args"]["path"].as_str());
    assert!(of_files.clone().all(|path| path == "workspace/shopping.txt"));
    assert_eq!(of_files.count(), 2);
    let diary = fs::read_to_string(temp.path().join("notes/diary.txt")).unwrap();
    let trail = output(&mut libos.command(["audit", "export"])).stdout;
    assert!(!trail.contains(diary.trim()));

    // A person at the keyboard, step by step.
    let (temp, libos) = copied("ask-for-a-file");
    let task = temp.path().join("task.toml");
    let asked = libos.run(["run", task.to_str().unwrap()]);
    assert_eq!(asked.code, 3, "{}", asked.stderr);
    libos.ok(["answer", "req-1", "shopping.txt"]);
    assert_eq!(libos.run(["resume"]).code, 3);
    libos.ok(["deny", "req-2"]);
    let refused = libos.run(["resume"]);
    assert_eq!(refused.code, 1, "the plan cannot go on: {}", refused.stdout);
    assert!(said(&libos.ok(["audit", "ls"])).is_empty());
}

#[test]
fn a_file_is_copied_without_its_content_passing_through_the_planner() {
    let long = format!("{}\n", "Four thousand bytes and more travel by digest. ".repeat(200));
    for text in [None, Some(long)] {
        let (temp, libos) = copied("file-to-file");
        let source = temp.path().join("workspace/in.txt");
        if let Some(text) = &text {
            fs::write(&source, text).unwrap();
        }
        let content = fs::read_to_string(&source).unwrap();
        let task = temp.path().join("task.toml");
        let lines = libos.ok(["run", task.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(temp.path().join("workspace/out.txt")).unwrap(), content);

        // What the planner asked and what it was answered.
        let words = content.trim();
        assert_eq!(steps(&lines, "tool.call", "ok").len(), 2);
        assert!(lines.iter().all(|line| !line.to_string().contains(words)));
        let operations = libos.ok(["audit", "ls"]);
        let holds = |op: &&Value| op["args"].to_string().contains(words);
        assert!(
            operations.iter().filter(|op| op["step"]["parent"].is_null()).all(|op| !holds(&op))
        );
        // The tools' own calls carry it: a short text in place, a long one by its digest.
        let carried = operations.iter().filter(holds).count();
        assert_eq!(carried, if text.is_none() { 2 } else { 0 });
        let kept = libos.ok(["object", "show", "obj-1.1"]).remove(0);
        assert_eq!(kept["payload"]["text"], content);
    }
}

#[test]
fn of_two_speculative_forks_one_is_merged_and_the_other_dropped() {
    let (temp, libos) = copied("speculative-fork");
    let task = temp.path().join("task.toml");
    libos.ok(["run", task.to_str().unwrap()]);
    let processes = libos.ok(["ps"]);
    let result = processes[0]["ending"]["result"].as_str().unwrap();
    let summary = libos.ok(["object", "show", result]).remove(0)["payload"].take();
    assert_eq!(summary["before"], "untitled", "the parent saw nothing before the merge");
    assert_eq!(summary["after"], "On the keeping of ledgers");
    let adopted = summary["adopted"].as_array().unwrap();
    assert_eq!(adopted.len(), 1);
    let note = libos.ok(["object", "show", adopted[0]["to"].as_str().unwrap()]).remove(0);
    assert_eq!(note["payload"], "why: it says what it is about");
    let modes: Vec<&Value> = processes.iter().map(|process| &process["mode"]).collect();
    assert_eq!(modes, [&Value::Null, &json!("speculative"), &json!("speculative")]);
    // What was dropped is gone, and nothing of the children is left beside the parent's memory.
    let objects = libos.ok(["object", "ls"]);
    assert!(objects.iter().all(|object| object["owner"] == "p1"), "{objects:?}");
    let draft = libos.ok(["object", "show", "obj-1.1"]).remove(0);
    assert_eq!(draft["payload"]["title"], "On the keeping of ledgers");
    assert_eq!(libos.run(["object", "show", "obj-3.1"]).code, 1);
}

#[test]
fn a_budget_pauses_the_task_and_extended_the_same_call_goes_through() {
    let (temp, libos) = copied("extended-budget");
    let task = temp.path().join("task.toml");
    let out = libos.run(["run", task.to_str().unwrap()]);
    assert_eq!(out.code, 3, "{}\n{}", out.stdout, out.stderr);
    let asked = libos.ok(["inbox"]).remove(0);
    let extension = &asked["ask"]["extension"];
    assert_eq!((&extension["of"], &extension["limit"]), (&json!("p1"), &json!(3)));
    assert_eq!(extension["call"], "fs.read");
    let waits = libos.ok(["audit", "ls"]).into_iter().find(|op| op["op"] == asked["op"]).unwrap();
    assert_eq!(waits["ended"], Value::Null);

    libos.ok(["extend", "req-1", "--by", "10"]);
    let lines = libos.ok(["resume"]);
    let went = libos.ok(["audit", "ls"]).into_iter().find(|op| op["op"] == asked["op"]).unwrap();
    assert_eq!(went["ended"], "ok", "the same operation");
    assert_eq!(steps(&lines, "fs.read", "ok").len(), 1, "and nothing before it again");
    let process = libos.ok(["ps"]).remove(0);
    assert_eq!(process["budget"]["syscalls"], 13);
    assert_eq!(process["ending"]["message"], "one\n");

    // Refused, it ends.
    let (temp, libos) = copied("extended-budget");
    let task = temp.path().join("task.toml");
    assert_eq!(libos.run(["run", task.to_str().unwrap()]).code, 3);
    libos.ok(["deny", "req-1"]);
    let ended = libos.run(["resume"]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    assert_eq!(libos.ok(["ps"])[0]["ending"]["code"], "over_budget");
}
