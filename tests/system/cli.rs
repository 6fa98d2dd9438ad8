//! The command line: every command as a person types it and as a program reads it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::{Value, json};
use support::*;

/// Every command that has no commands below it, as `--help` lists them.
fn leaves(lab: &Lab, above: &[&str], found: &mut BTreeSet<String>) {
    let mut args = above.to_vec();
    args.push("--help");
    let help = lab.told(&args);
    let mut below = Vec::new();
    let lines = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    for line in lines.take_while(|line| !line.is_empty()) {
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        let name = line.split_whitespace().next().filter(|name| is_name && *name != "help");
        below.extend(name.map(str::to_owned));
    }
    if below.is_empty() {
        found.insert(above.join(" "));
    }
    for name in below {
        let mut path = above.to_vec();
        path.push(&name);
        leaves(lab, &path, found);
    }
}

/// A line of the tour: the command, what is typed behind it, how it ends.
type Stop = (&'static str, &'static [&'static str], i32);

/// Every command once, in an order in which each finds what it needs.
const TOUR: &[Stop] = &[
    ("init", &["--task", "made/first.toml"], 0),
    ("config init", &[], 0),
    ("config show", &["--all"], 0),
    ("config path", &[], 0),
    ("secret ls", &[], 0),
    ("completion", &["bash"], 0),
    ("run", &["task.toml"], 3),
    ("ps", &[], 0),
    ("top", &["--once"], 0),
    ("inspect", &["p1"], 0),
    ("inbox", &[], 0),
    ("answer", &["req-1", "yes"], 0),
    ("resume", &[], 3),
    ("chat", &["p1"], 3),
    ("approve", &["req-2"], 0),
    ("resume", &[], 3),
    ("deny", &["req-3"], 0),
    ("resume", &[], 3),
    ("extend", &["req-4", "--by", "50"], 0),
    ("resume", &[], 3),
    ("settle", &["req-4", "done"], 2),
    ("msg", &["p1", "hello"], 0),
    ("events", &["p1", "--all"], 0),
    ("explain", &["p1"], 0),
    ("context", &["p1"], 0),
    ("fork", &["p1", "--goal", "a copy", "--plan", "child.jsonl"], 0),
    ("signal", &["p2", "pause"], 0),
    ("cap ls", &["p1"], 0),
    ("cap grant", &["p2", "fs:workspace/in.txt", "read", "--when", "integrity = \"untrusted\""], 0),
    ("cap why", &["p2", "read", "fs:workspace/in.txt"], 0),
    ("cap revoke", &["cap-1"], 0),
    ("label ls", &[], 0),
    ("label declassify", &["p1"], 0),
    ("object ls", &[], 0),
    ("object show", &["obj-1.1"], 0),
    ("checkpoint create", &["p1", "--reason", "before"], 0),
    ("checkpoint ls", &[], 0),
    ("checkpoint show", &["ckpt-1.1"], 0),
    ("checkpoint diff", &["ckpt-1.1"], 0),
    ("checkpoint fork", &["ckpt-1.1"], 0),
    ("checkpoint commit", &["ckpt-1.1", "kept"], 0),
    ("checkpoint restore", &["ckpt-1.1", "--yes"], 0),
    ("checkpoint drop", &["ckpt-1.1"], 0),
    ("image register", &["reviewer"], 0),
    ("image ls", &[], 0),
    ("image show", &["reviewer"], 0),
    ("skill register", &["skills/tidy"], 0),
    ("skill ls", &[], 0),
    ("skill show", &["tidy"], 0),
    ("skill unregister", &["tidy"], 0),
    ("image build", &["reviewer", "--out", "built.json"], 0),
    ("image diff", &["reviewer", "worker"], 1),
    ("tool ls", &[], 0),
    ("tool show", &["p1/one"], 0),
    ("tool test", &["p1/one"], 0),
    ("exec", &["p1", "reviewer", "--plan", "child.jsonl"], 0),
    ("image unregister", &["reviewer"], 0),
    ("exit", &["p1", "--message", "enough"], 0),
    ("logs", &["p1"], 0),
    ("why", &["req-2"], 0),
    ("audit ls", &[], 0),
    ("audit show", &["op-2"], 0),
    ("audit verify", &[], 0),
    ("audit head", &[], 0),
    ("audit export", &["--output", "trail.jsonl"], 0),
    ("audit prove", &["op-2"], 0),
    ("audit keygen", &["key"], 0),
    ("store stat", &[], 0),
    ("store compact", &["--older-than", "0s"], 0),
    ("replay", &["--verify"], 0),
    ("policy test", &["--rules", "rules.toml"], 0),
    ("policy narrow", &["op-2"], 1),
    ("simulate-crash", &["task.toml", "--at", "1"], 0),
    ("tool run", &["one.toml"], 0),
    ("doctor", &[], 0),
    ("demo", &["--dir", "demo"], 0),
];

/// What the tour finds: a task that asks its human for everything that can be asked for.
fn tour_lab() -> Lab {
    let head = [
        ask("write", "fs:workspace/*"),
        allow("write", "human:owner"),
        "[budget]\nsyscalls = 6\n".to_owned(),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            call("event.subscribe", json!({ "kinds": ["message_came"] })),
            save("object.create", json!({ "type": "note", "payload": "a" }), "note"),
            call(
                "tool.propose",
                json!({ "tool": {
                    "name": "one", "language": "javascript", "input": true,
                    "source": "export default () => 1;",
                } }),
            ),
            call("human.ask", json!({ "question": "shall it go on?" })),
            call("fs.write", json!({ "path": "a.txt", "text": "a" })),
            call("fs.write", json!({ "path": "b.txt", "text": "b" })),
            call("message.receive", json!({})),
        ],
    );
    lab.put("in.txt", "in");
    fs::write(lab.path("child.jsonl"), "{\"call\":\"process.cwd\"}\n").unwrap();
    fs::write(lab.path("rules.toml"), allow("write", "fs:workspace/*")).unwrap();
    let tool = "name = \"one\"\nlanguage = \"javascript\"\ninput = true\n\
                source = \"export default () => 1;\"\n";
    fs::write(lab.path("one.toml"), tool).unwrap();
    fs::create_dir(lab.path("made")).unwrap();
    fs::create_dir_all(lab.path("skills/tidy")).unwrap();
    let skill = "---\nname: tidy\ndescription: tidies up\n---\nTidy up.\n";
    fs::write(lab.path("skills/tidy/SKILL.md"), skill).unwrap();
    fs::create_dir(lab.path("reviewer")).unwrap();
    let image = "name = \"reviewer\"\nversion = \"1\"\nprompt_file = \"prompt.md\"\n\
                 tools = [\"read_file\"]\n";
    fs::write(lab.path("reviewer/image.toml"), image).unwrap();
    fs::write(lab.path("reviewer/prompt.md"), "Look closely.\n").unwrap();
    lab
}

#[test]
fn every_command_there_is_runs_for_people_and_for_programs() {
    let lab = tour_lab();
    let mut there = BTreeSet::new();
    leaves(&lab, &[], &mut there);
    let toured: BTreeSet<String> = TOUR.iter().map(|(command, ..)| (*command).to_owned()).collect();
    let missing: Vec<_> = there.difference(&toured).collect();
    let gone: Vec<_> = toured.difference(&there).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the tour: {missing:?}; gone: {gone:?}");

    for json in [false, true] {
        let lab = tour_lab();
        for (command, rest, code) in TOUR {
            let mut args: Vec<&str> = if json { vec!["--json"] } else { Vec::new() };
            args.extend(command.split(' '));
            args.extend(*rest);
            let ran = lab.libos(&args).code(*code);
            // What is written to a file says nothing more to a program; what a run that waits
            // says to people is an error's.
            let is_silent = json && *command == "audit export";
            let said = if json { ran.out.clone() } else { format!("{}{}", ran.out, ran.err) };
            assert_eq!(said.is_empty(), is_silent, "{args:?}: {ran}");
            let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok();
            if json {
                assert!(ran.out.lines().all(is_json), "{args:?}: {ran}");
            }
        }
    }
}

#[test]
fn images_are_registered_from_packages_and_grant_nothing() {
    let lab = tour_lab();
    lab.run().code(3);
    let image = lab.value(&["image", "register", "reviewer"]);
    assert_eq!((&image["name"], &image["prompt"]), (&json!("reviewer"), &json!("Look closely.\n")));
    let (code, message) = lab.failure(&["image", "register", "reviewer/image.toml"], 1);
    assert_eq!((code.as_str(), message.contains("--replace")), ("exists", true));
    lab.json(&["image", "register", "reviewer/image.toml", "--replace"]).code(0);
    let names: Vec<Value> = lab
        .json(&["image", "ls"])
        .code(0)
        .lines()
        .iter()
        .map(|image| image["name"].clone())
        .collect();
    assert_eq!(
        names,
        ["base", "coding", "compressor", "minimal", "review", "reviewer", "toolmaker", "worker"]
    );
    let said = lab.told(&["image", "show", "reviewer"]);
    assert!(said.contains("read_file") && said.contains("Look closely."), "{said}");
    assert_eq!(lab.value(&["image", "unregister", "reviewer"])["name"], "reviewer");
    assert_eq!(lab.failure(&["image", "show", "reviewer"], 1).0, "not_found");
    assert_eq!(lab.failure(&["image", "unregister", "minimal"], 1).0, "built_in");

    fs::write(lab.path("bad.toml"), "name = \"x\"\nversion = \"1\"\ntoosl = []\n").unwrap();
    let bad = lab.libos(&["image", "register", "bad.toml"]).code(2);
    assert!(bad.err.contains("bad.toml") && bad.err.contains("line 3"), "{bad}");
    let bad = lab.libos(&["image", "register", "nowhere"]).code(2);
    assert!(bad.err.contains("nowhere"), "{bad}");
}

#[test]
fn the_doctor_says_what_holds_and_what_is_wrong() {
    let lab = Lab::with(
        "[budget]\nsyscalls = 5\n",
        &[
            call("process.cwd", json!({})),
            call("process.cwd", json!({})),
            call("process.cwd", json!({})),
            call("message.receive", json!({})),
        ],
    );
    let found = |args: &[&str], code: i32| -> Vec<(String, String, String)> {
        let lines = lab.json(args).code(code).lines();
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        lines.iter().map(|it| (text(it, "about"), text(it, "state"), text(it, "says"))).collect()
    };
    let before = found(&["doctor"], 0);
    let has = |all: &[(String, String, String)], about: &str, state: &str, words: &str| {
        all.iter().any(|(a, s, says)| a == about && s == state && says.contains(words))
    };
    assert!(has(&before, "store", "note", "is not there"), "{before:?}");
    assert!(has(&before, "pidfd", "ok", ""), "{before:?}");
    assert!(has(&before, "libos", "ok", env!("CARGO_PKG_VERSION")), "{before:?}");
    for about in ["kernel", "openat2", "landlock", "seccomp", "settings"] {
        assert!(before.iter().any(|(it, ..)| it == about), "{about} is not in {before:?}");
    }

    lab.run().code(3);
    let after = found(&["doctor"], 0);
    assert!(has(&after, "head", "ok", &lab.head()), "{after:?}");
    assert!(has(&after, "limits", "note", "p1: 4 of 5 system calls"), "{after:?}");
    let said = lab.told(&["doctor"]);
    assert!(said.contains("ok   kernel") && said.contains("note limits"), "{said}");

    fs::write(lab.path("libos.toml"), "jsno = true\n").unwrap();
    let bad = found(&["doctor"], 1);
    assert!(has(&bad, "settings", "bad", "jsno"), "{bad:?}");
    fs::remove_file(lab.path("libos.toml")).unwrap();
    let journal = lab.path("store/journal.db");
    fs::write(&journal, b"no database at all").unwrap();
    let bad = found(&["doctor"], 1);
    assert!(bad.iter().any(|(about, state, _)| about == "store" && state == "bad"), "{bad:?}");
    assert!(lab.libos(&["doctor"]).code(1).out.contains("BAD  store"));
}

#[test]
fn shells_are_told_every_command() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = lab.told(&["completion", shell]);
        for command in ["why", "image", "completion", "--store"] {
            let command = if shell == "fish" { command.trim_start_matches("--") } else { command };
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert_eq!(lab.value(&["completion", shell])["script"], script);
    }
    let script = lab.told(&["completion", "bash"]);
    fs::write(lab.path("libos.bash"), script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(lab.path("libos.bash")).status();
    assert!(checked.is_ok_and(|status| status.success()), "bash reads it");
    lab.libos(&["completion", "csh"]).code(2);
}

#[test]
fn every_command_explains_itself_with_examples_where_it_takes_more_than_a_name() {
    let lab = Lab::new();
    for command in [
        "run",
        "approve",
        "extend",
        "settle",
        "simulate-crash",
        "msg",
        "signal",
        "fork",
        "exec",
        "exit",
        "logs",
        "events",
        "why",
        "top",
        "completion",
    ] {
        let help = lab.told(&[command, "--help"]);
        assert!(help.contains(&format!("Examples:\n  libos {command}")), "{command}\n{help}");
    }
    let help = lab.told(&["image", "register", "--help"]);
    assert!(help.contains("Examples:\n  libos image register"), "{help}");
}
