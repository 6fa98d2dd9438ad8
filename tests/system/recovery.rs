//! Killed between an effect and its record: what the process, the human and the record are told.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::*;

/// The binary with another provider: a model in place of programs.
fn model() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_libos")).parent().unwrap();
    folder.join("examples/fake_model")
}

/// Runs one of the binaries to its end.
fn run(binary: &Path, lab: &Lab, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(binary);
    lab.isolate(&mut command);
    command.current_dir(lab.dir.path()).args(["--store", "store", "--json"]).args(args);
    let out = command.envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: out.status.code().unwrap_or(-1), out: text(&out.stdout), err: text(&out.stderr) }
}

/// Asks a model and keeps its answer; goes on whatever became of it.
fn asking() -> Lab {
    let head = [allow("execute", "shell:model"), allow("read write", "fs:workspace/*")].concat();
    Lab::with(
        &head,
        &[
            json!({ "call": "shell.run", "args": { "argv": ["model", "what", "now?"] },
                    "expect": ["ok", "unknown_outcome"], "save": "it" }),
            write("after.txt", "went on"),
        ],
    )
}

/// Kills the task there and goes on with it; how often the model was asked until then and in all.
fn killed(lab: &Lab, at: &str) -> (usize, usize) {
    let asked = || fs::read_to_string(lab.ws("asked.txt")).unwrap_or_default().lines().count();
    let ran = run(&model(), lab, &["run", "task.toml"], &[("LIBOS_CRASH_AT", at)]);
    assert_eq!(ran.code, -1, "{at}: {ran}");
    let until_then = asked();
    run(&model(), lab, &["resume"], &[]).code(0);
    assert_eq!(lab.text("after.txt"), "went on");
    (until_then, asked())
}

#[test]
fn a_model_that_was_asked_and_not_recorded_is_unknown_and_not_asked_again() {
    for (at, asked) in [("effect.perform:1", 0), ("effect.performed:1", 1)] {
        let lab = asking();
        assert_eq!(killed(&lab, at), (asked, asked), "{at}");
        let step = lab.steps().remove(0);
        assert_eq!(step["ended"], "unknown_outcome", "{at}");
        let inbox = lab.inbox();
        assert_eq!(inbox[0]["ask"]["unknown"]["op"], step["op"], "{inbox:?}");
    }
}

#[test]
fn a_model_whose_answer_is_recorded_is_not_asked_again() {
    let lab = asking();
    let trace = [("LIBOS_CRASH_TRACE", "trace")];
    run(&model(), &lab, &["run", "task.toml"], &trace).code(0);
    let trace = fs::read_to_string(lab.path("trace")).unwrap();
    // The first records that are on disk after the model has answered hold its answer.
    let (before, after) = trace.split_once("effect.performed\n").unwrap();
    let nth = before.matches("append.durable.done\n").count() + 1;
    assert!(after.contains("append.durable.done\n"));
    let lab = asking();
    assert_eq!(killed(&lab, &format!("append.durable.done:{nth}")), (1, 1));
    assert_eq!(lab.steps()[0]["ended"], "ok");
    assert!(lab.inbox().is_empty(), "what is known is not asked");
    let shown = lab.told(&["logs", "p1"]);
    assert!(shown.contains("shell.run"), "{shown}");
}

/// A program that is unknown, and a process that waits for a word about it.
fn unknown() -> Lab {
    let head = [allow("execute", "shell:sh"), allow("write", "fs:workspace/*")].concat();
    let lab = Lab::with(
        &head,
        &[
            json!({ "call": "shell.run", "args": { "argv": ["sh", "-c", "echo ran >> ran.txt"] },
                    "expect": "unknown_outcome" }),
            save("message.receive", json!({ "subject": "outcome" }), "m"),
            write("told.txt", "${m.messages.0.payload.known}: ${m.messages.0.body}"),
        ],
    );
    let at = [("LIBOS_CRASH_AT", "effect.performed:1")];
    let ran = lab.start_with(&["--json", "run", "task.toml"], &at).finish();
    assert_eq!(ran.code, -1, "{ran}");
    lab
}

#[test]
fn what_is_unknown_is_a_question_whose_answer_is_told_and_repeats_nothing() {
    for (word, known, says) in [
        ("done", "done", "settled as done"),
        ("not-done", "not_done", "settled as not done"),
        ("unknown", "unknown", "left unknown"),
    ] {
        let lab = unknown();
        let ran = lab.resume().code(3);
        assert!(ran.lines().iter().any(|line| line["request"]["ask"]["unknown"].is_object()));
        let card = lab.told(&["inbox"]);
        assert!(card.contains("shell.run") && card.contains("libos settle req-1"), "{card}");
        assert!(card.contains("echo ran"), "what is needed to find out: {card}");
        let said = lab.told(&["settle", "req-1", word]);
        assert!(said.contains(says), "{said}");
        assert_eq!(lab.failure(&["settle", "req-1", "done"], 1).0, "already_decided");
        lab.resume().code(0);
        let told = lab.text("told.txt");
        assert!(told.starts_with(&format!("{known}: ")), "{told}");
        assert_eq!(lab.text("ran.txt"), "ran\n", "it ran once");
        let op = lab.steps().remove(0)["op"].as_str().unwrap().to_owned();
        let why = lab.told(&["why", &op]);
        assert!(why.contains("req-1") && why.contains(says), "{why}");
        assert!(lab.told(&["why", "req-1"]).contains(&op));
        let all = lab.json(&["inbox", "--all"]).code(0).lines();
        assert_eq!(all[0]["state"]["decided"]["decision"], json!({ "known": { "what": known } }));
    }
}

#[test]
fn only_what_is_unknown_is_settled_and_nothing_else_answers_it() {
    let lab = unknown();
    lab.resume().code(3);
    for answer in [&["deny", "req-1"][..], &["approve", "req-1"], &["answer", "req-1", "yes"]] {
        let (code, message) = lab.failure(answer, 2);
        assert_eq!(code, "wrong_answer");
        assert!(message.contains("libos settle req-1"), "{message}");
    }
    let asking =
        Lab::with(&allow("write", "human:owner"), &[call("human.ask", json!({ "question": "?" }))]);
    asking.run().code(3);
    assert_eq!(asking.failure(&["settle", "req-1", "done"], 2).0, "wrong_answer");
}

#[test]
fn a_variable_that_names_no_boundary_is_refused_and_without_one_nothing_is_killed() {
    let lab = asking();
    for at in ["nowhere", "reply:0", "reply:x"] {
        let ran = lab.start_with(&["--json", "ps"], &[("LIBOS_CRASH_AT", at)]).finish();
        assert_eq!(ran.code, 2, "{at}: {ran}");
        assert!(ran.out.contains("LIBOS_CRASH_AT"), "{ran}");
    }
}

fn sum(ran: &Ran) -> Value {
    ran.lines().pop().unwrap()
}

#[test]
fn a_task_of_ones_own_is_killed_in_copies_of_its_folder() {
    let once = json!({ "path": "one.txt", "text": "1", "overwrite": false });
    let lab = Lab::with(&allow("write", "fs:workspace/*"), &[expect("fs.write", once, "ok")]);
    let ran = lab.json(&["simulate-crash", "task.toml", "--every"]).code(0);
    let sum = sum(&ran);
    assert_eq!(
        (&sum["lost"], &sum["repeated"], &sum["unknown"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert!(sum["kills"].as_u64().unwrap() > 30, "{sum}");
    assert!(!lab.ws("one.txt").exists(), "the folder itself is left alone");
    assert!(!lab.path("store").exists());
    assert!(ran.lines().iter().any(|line| line["boundary"] == "effect.performed"), "{ran}");
    for at in ["effect.performed", "effect.performed:1"] {
        let one = lab.told(&["simulate-crash", "task.toml", "--at", at]);
        assert!(one.contains("effect.performed:1  ok") && one.contains("1 kills"), "{one}");
    }
    assert!(lab.told(&["simulate-crash", "task.toml", "--at", "1"]).contains("1 kills"));
    lab.json(&["simulate-crash", "task.toml", "--at", "9999"]).code(2);
    lab.libos(&["simulate-crash", "task.toml"]).code(2);
}

#[test]
fn what_a_kill_leaves_unknown_is_named() {
    let program = json!({ "argv": ["sh", "-c", "echo ran >> ran.txt"] });
    let head = allow("execute", "shell:sh");
    let lab = Lab::with(&head, &[json!({ "call": "shell.run", "args": program })]);
    let ran = lab.json(&["simulate-crash", "task.toml", "--every"]).code(0);
    let unknown: Vec<Value> =
        ran.lines().into_iter().filter(|line| line["unknown"][0].is_string()).collect();
    assert!(unknown.iter().any(|line| line["boundary"] == "effect.performed"), "{ran}");
    assert!(unknown.iter().all(|line| line["unknown"] == json!(["p1 1: shell.run"])), "{ran}");
    assert!(sum(&ran)["unknown"].as_u64().unwrap() >= 2);
}
