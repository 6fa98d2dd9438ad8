//! Snapshots, replay, past states and policies tried on the record.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use support::*;

/// A process that waits for messages, whose state is kept as often as there is anything new.
fn lab() -> Lab {
    let lab = Lab::waiting();
    let often = "[limits]\nsnapshot_records = 1\nsnapshot_idle_records = 1\n";
    fs::write(lab.path("libos.toml"), often).unwrap();
    lab.run().code(3);
    lab
}

fn snapshots(lab: &Lab) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(lab.path("store/snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    all
}

/// What a command tells its host while it starts.
fn logged(lab: &Lab, args: &[&str]) -> (String, String) {
    let mut command = lab.command(args);
    let ran = command.env("LIBOS_LOG", "debug").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout), text(&ran.stderr))
}

fn records(lab: &Lab) -> u64 {
    lab.value(&["store", "stat"])["records"].as_u64().unwrap()
}

/// The checks of a replay: of what, of how many records, how they came out.
fn checks(replayed: &Value) -> Vec<(String, u64, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let check =
        |it: &Value| (text(&it["of"]), it["records"].as_u64().unwrap(), text(&it["verdict"]));
    replayed["checks"].as_array().unwrap().iter().map(check).collect()
}

#[test]
fn a_start_goes_on_from_the_newest_snapshot_and_replay_bears_it_out() {
    let lab = lab();
    assert!(lab.value(&["store", "stat"])["snapshots"].as_u64().unwrap() > 0);
    let (listed, log) = logged(&lab, &["ps"]);
    assert!(log.contains("taken over from a snapshot"), "{log}");
    let replayed = lab.value(&["replay", "--verify"]);
    let found = checks(&replayed);
    assert!(found.iter().all(|(.., verdict)| verdict == "same"), "{replayed}");
    assert_eq!(found.last().unwrap().0, "start", "{replayed}");
    assert!(found.iter().any(|(of, ..)| of == "snapshot"), "{replayed}");
    assert_eq!(replayed["records"].as_u64(), Some(records(&lab)));
    assert!(replayed["records_per_second"].as_f64().unwrap() > 0.0);

    // Without any the same is told, and the process goes on as from one.
    fs::remove_dir_all(lab.path("store/snapshots")).unwrap();
    let (folded, log) = logged(&lab, &["ps"]);
    assert!(folded == listed && !log.contains("taken over"), "{log}");
    lab.json(&["msg", "p1", "first"]).code(0);
    assert!(!snapshots(&lab).is_empty());
    lab.resume().code(3);
    assert_eq!(lab.text("said.txt"), "first");
    lab.json(&["exit", "p1"]).code(0);
    let replayed = lab.value(&["replay", "--verify"]);
    assert_eq!(replayed["holds"], true, "{replayed}");
    let said = lab.told(&["replay", "--verify"]);
    assert!(said.contains("the same") && said.contains("records in a second"), "{said}");
}

#[test]
fn a_snapshot_that_is_damaged_is_passed_over() {
    let lab = lab();
    let listed = lab.told(&["ps"]);
    for path in snapshots(&lab) {
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let (folded, log) = logged(&lab, &["ps"]);
    assert_eq!(folded, listed);
    assert!(log.contains("damaged") && !log.contains("taken over"), "{log}");
    let replayed = lab.value(&["replay", "--verify"]);
    let found = checks(&replayed);
    assert!(found.iter().any(|(_, _, verdict)| verdict == "passed_over"), "{replayed}");
    assert_eq!(replayed["holds"], true);
    let said = lab.told(&["replay", "--verify"]);
    assert!(said.contains("passed over: its file is damaged"), "{said}");
}

#[test]
fn a_store_is_replayed_while_a_runtime_holds_it() {
    let lab = lab();
    let mut live = lab.start(&["--json", "resume", "--wait"]);
    let mut tries = 0..1_000;
    let found = loop {
        assert!(tries.next().is_some(), "no runtime answers");
        let replayed = lab.value(&["replay", "--verify"]);
        let found = checks(&replayed);
        assert_eq!(replayed["holds"], true, "{replayed}");
        if found.iter().any(|(of, ..)| of == "runtime") {
            break found;
        }
    };
    assert!(found.iter().all(|(of, ..)| of != "start"), "{found:?}");
    assert_eq!(lab.value(&["show", "p1", "--at", "3"])["process"]["pid"], "p1");
    lab.json(&["exit", "p1"]).code(0);
    live.until(|line| line["done"] == true);
    live.finish().code(0);
}

#[test]
fn any_past_state_is_shown_and_nothing_is_recorded() {
    let lab = lab();
    lab.json(&["msg", "p1", "first"]).code(0);
    lab.json(&["cap", "grant", "p1", "fs:workspace/x", "delete"]).code(0);
    lab.resume().code(3);
    let all = records(&lab);
    let now = lab.value(&["show", "p1"]);
    let mut states = Vec::new();
    for at in 0..all {
        let at = at.to_string();
        let ps = lab.json(&["ps", "--at", &at]).code(0).lines();
        states.extend(ps.first().map(|process| process["state"].clone()));
        match ps.is_empty() {
            true => assert_eq!(lab.failure(&["show", "p1", "--at", &at], 1).0, "not_found"),
            false => assert_eq!(lab.value(&["show", "p1", "--at", &at])["process"], ps[0]),
        }
    }
    states.dedup();
    for state in ["runnable", "running", "waiting"] {
        assert!(states.contains(&json!(state)), "{states:?}");
    }
    let last = format!("#{}", all - 1);
    assert_eq!(lab.value(&["show", "p1", "--at", &last]), now);
    assert_eq!(lab.value(&["replay", "--to", &last])["records"].as_u64(), Some(all));

    // What there was of capabilities and objects, from a snapshot and from the records alone.
    let op = |call: &str| lab.audit().into_iter().find(|op| op["call"] == call).unwrap();
    let seq = |op: &Value, field: &str| op[field].as_str().unwrap()[1..].parse::<u64>().unwrap();
    let granted = seq(&op("capability.grant"), "admitted");
    let made = seq(&op("object.create"), "settled");
    let look = |args: &[&str], at: u64| {
        let at = at.to_string();
        let mut all = args.to_vec();
        all.extend(["--at", &at]);
        lab.json(&all)
    };
    for _ in 0..2 {
        let caps = |at| look(&["cap", "ls", "p1"], at).code(0).lines().len();
        assert_eq!(caps(granted), caps(granted - 1) + 1);
        assert!(look(&["object", "ls"], made - 1).code(0).lines().is_empty());
        assert_eq!(look(&["object", "ls"], made).code(0).lines().len(), 1);
        let object = look(&["object", "show", "obj-1.1"], made).code(0).last();
        assert_eq!(object["payload"], "a", "{object}");
        look(&["object", "show", "obj-1.1"], made - 1).code(1);
        fs::remove_dir_all(lab.path("store/snapshots")).unwrap_or_default();
    }
    assert_eq!(records(&lab), all, "looks leave no record");
    let (code, message) = lab.failure(&["ps", "--at", &all.to_string()], 2);
    assert!(code == "no_record" && message.contains("there is no record"), "{message}");
}

#[test]
fn other_grants_are_tried_on_what_was_done() {
    let head = [
        allow("read", "fs:workspace/*"),
        ask("write", "fs:workspace/*"),
        allow("write", "process:spawn"),
    ]
    .concat();
    let child = [expect("fs.read", json!({ "path": "in.txt" }), "denied")];
    let lab = Lab::with(
        &head,
        &[
            expect("fs.read", json!({ "path": "in.txt" }), "ok"),
            expect("clock.now", json!({}), "denied"),
            expect("object.create", json!({ "type": "note", "payload": "a" }), "ok"),
            expect("object.read", json!({ "id": "obj-1.1" }), "ok"),
            spawn(&child, json!([]), "child"),
            wait("child"),
            write("a.txt", "a"),
            write("b.txt", "b"),
        ],
    );
    lab.put("in.txt", "in");
    let yes = "[[rule]]\non = \"fs:workspace/*\"\nanswer = \"approve\"\n";
    fs::write(lab.path("approvals.toml"), yes).unwrap();
    lab.json(&["run", "task.toml", "--approvals", "approvals.toml"]).code(0);
    let before = lab.head();

    // The same grants decide the same, but for the child: each process would have them.
    let test = |rules: &str, more: &[&str]| {
        fs::write(lab.path("rules.toml"), rules).unwrap();
        let mut args = vec!["policy", "test", "--rules", "rules.toml"];
        args.extend(more);
        let lines = lab.json(&args).code(0).lines();
        let (counts, changed) = lines.split_last().unwrap();
        let counts = counts.clone();
        let short = |it: &Value| {
            let word = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {} -> {}", word("pid"), word("call"), word("was"), word("would_be"))
        };
        (counts, changed.iter().map(short).collect::<Vec<String>>())
    };
    let (counts, changed) = test(&head, &[]);
    assert_eq!(changed, ["p2 fs.read: denied -> allowed"]);
    assert_eq!((&counts["would_be_allowed"], &counts["would_be_denied"]), (&json!(1), &json!(0)));
    let (_, changed) = test(&head, &["--pid", "p1"]);
    assert!(changed.is_empty(), "approvals that were given do not count: {changed:?}");

    // A process's own memory and what it may say to its child are the kernel's to give.
    let (counts, changed) = test("", &[]);
    assert_eq!(
        changed,
        [
            "p1 fs.read: allowed -> denied",
            "p1 process.spawn: allowed -> denied",
            "p1 fs.write: asked -> denied",
            "p1 fs.write: asked -> denied",
        ]
    );
    assert_eq!(counts["would_be_denied"], 4);

    let once = grant("allow", "write", "fs:workspace/*", "uses = 1");
    let rules = [ask("read", "clock:*"), once, deny("read", "fs:workspace/in.txt")].concat();
    let (counts, changed) = test(&rules, &["--pid", "p1"]);
    assert_eq!(
        changed,
        [
            "p1 fs.read: allowed -> denied",
            "p1 clock.now: denied -> asked",
            "p1 process.spawn: allowed -> denied",
            "p1 fs.write: asked -> allowed",
            "p1 fs.write: asked -> denied",
        ]
    );
    let of = |field: &str| counts[field].as_u64().unwrap();
    assert_eq!([of("would_be_denied"), of("would_be_asked"), of("would_be_allowed")], [3, 1, 1]);
    assert_eq!(of("calls"), of("unchanged") + 5);
    let said = lab.told(&["policy", "test", "--rules", "rules.toml"]);
    for words in ["would be denied:", "would be asked about:", "every use of cap-", "as they were"]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert_eq!(lab.head(), before, "nothing is recorded");
}

#[test]
fn rules_that_are_none_are_refused_and_manifests_go_on_to_bind() {
    let head = [allow("read", "fs:workspace/*"), "[manifest]\ncalls = [\"fs.read\"]\n        authority = [{ on = \"fs:workspace/*\", rights = [\"read\"] }]\n".to_owned()]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            expect("fs.read", json!({ "path": "in.txt" }), "ok"),
            expect("clock.now", json!({}), "denied"),
        ],
    );
    lab.put("in.txt", "in");
    lab.run().code(0);
    let test = ["policy", "test", "--rules", "rules.toml"];
    for (rules, says) in [
        ("[[grant]]\non = \"fs:workspace/../x\"\nrights = [\"read\"]\n", "rules.toml"),
        ("[[grant]]\non = \"fs:workspace/*\"\nrights = []\n", "rules.toml"),
        ("[grants]\n", "unknown field"),
    ] {
        fs::write(lab.path("rules.toml"), rules).unwrap();
        let (code, message) = lab.failure(&test, 2);
        assert!(code == "invalid_file" && message.contains(says), "{message}");
    }
    let rules = [allow("read", "fs:workspace/*"), allow("read", "clock:*")].concat();
    fs::write(lab.path("rules.toml"), rules).unwrap();
    let lines = lab.json(&test).code(0).lines();
    let withheld: Vec<&Value> = lines.iter().filter_map(|line| line.get("withheld")).collect();
    assert_eq!(withheld.len(), 1, "{lines:?}");
    assert_eq!((&withheld[0]["pid"], &withheld[0]["rule"]), (&json!("p1"), &json!(2)));
    assert_eq!(lines.last().unwrap()["unchanged"], 2);
    assert!(lab.told(&test).contains("p1 would not get grant 2"));
}

/// The operation of the only call of a name that was denied with these arguments.
fn denied(lab: &Lab, call: &str, args: &Value) -> String {
    let is = |op: &Value| {
        let has = |(name, value): (&String, &Value)| op["args"][name] == *value;
        op["call"] == call && op["ended"] == "denied" && args.as_object().unwrap().iter().all(has)
    };
    let found: Vec<Value> = lab.steps().into_iter().filter(is).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["op"].as_str().unwrap().to_owned()
}

#[test]
fn a_denied_call_becomes_the_narrowest_rule_that_lets_it_through() {
    let head = [
        allow("read", "fs:workspace/*"),
        deny("read", "fs:workspace/private/*"),
        grant("allow", "execute", "shell:ls", "when = { argv = [\"ls\", \"open\"] }"),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            expect("fs.write", json!({ "path": "a.txt", "text": "hello" }), "denied"),
            expect("fs.read", json!({ "path": "private/x" }), "denied"),
            json!({ "tool": "write_file", "expect": "denied",
                    "args": { "path": "b.txt", "text": "b" } }),
            expect("shell.run", json!({ "argv": ["ls", "-l"] }), "denied"),
            call("message.receive", json!({})),
            write("a.txt", "hello"),
            expect("fs.write", json!({ "path": "b.txt", "text": "c" }), "denied"),
            expect("fs.write", json!({ "path": "a.txt", "text": "hello" }), "denied"),
        ],
    );
    lab.put("in.txt", "in");
    lab.run().code(3);
    let narrow = |op: &str, more: &[&str]| {
        let mut args = vec!["policy", "narrow", op];
        args.extend(more);
        lab.value(&args)["narrowest"].clone()
    };

    // One use of one right on one file, with this very text.
    let op = denied(&lab, "fs.write", &json!({ "path": "workspace/a.txt" }));
    let before = lab.head();
    let found = narrow(&op, &[]);
    let rule = json!({
        "effect": "allow", "on": "fs:workspace/a.txt", "rights": ["write"], "uses": 1,
        "when": { "text": { "equals": "hello" } },
    });
    assert_eq!(found["grants"], json!([rule]), "{found}");
    assert_eq!(lab.head(), before, "showing it grants nothing");

    // What is shown is a rules file, and that rule does what is said of it.
    let said = lab.told(&["policy", "narrow", &op]);
    let toml: String =
        said.split("\n\n").filter(|part| part.starts_with('[')).collect::<Vec<_>>().join("\n");
    fs::write(lab.path("rules.toml"), toml).unwrap();
    let tested = lab.json(&["policy", "test", "--rules", "rules.toml"]).code(0).lines();
    let newly: Vec<&Value> = tested.iter().filter(|it| it["would_be"] == "allowed").collect();
    assert_eq!(newly.len(), 1, "{said}\n{tested:?}");
    assert_eq!(newly[0]["op"], *op);

    // The call of a tool stands for what it called; a program for its arguments.
    let tool = denied(&lab, "tool.call", &json!({ "name": "write_file" }));
    let found = narrow(&tool, &[]);
    assert_eq!(
        (&found["call"], &found["grants"][0]["on"]),
        (&json!("fs.write"), &json!("fs:workspace/b.txt"))
    );
    let shell = denied(&lab, "shell.run", &json!({}));
    let found = narrow(&shell, &[]);
    assert_eq!(found["grants"][0]["on"], "shell:ls");
    assert_eq!(found["grants"][0]["when"]["argv"]["equals"], json!(["ls", "-l"]));

    // What is denied is no matter of a grant.
    let op_read = denied(&lab, "fs.read", &json!({ "path": "workspace/private/x" }));
    let refused = lab.libos(&["policy", "narrow", &op_read]).code(1).out;
    assert!(
        refused.contains("No rule lets it through") && refused.contains("cap revoke cap-2"),
        "{refused}"
    );

    // Given, it lets the call through once, and nothing else.
    let given = lab.value(&["policy", "narrow", &op, "--grant"]);
    assert_eq!(given["given"].as_array().unwrap().len(), 1, "{given}");
    lab.told(&["msg", "p1", "go on"]);
    let ran = lab.resume();
    let ends: Vec<String> = ran
        .codes("p1")
        .into_iter()
        .filter(|(call, _)| call == "fs.write")
        .map(|(_, code)| code)
        .collect();
    assert_eq!(ends, ["ok", "denied", "denied"], "{ran}");
    assert_eq!(lab.text("a.txt"), "hello");

    // What was not denied, or is not there, is said so.
    let done = lab.steps().into_iter().find(|op| op["ended"] == "ok").unwrap();
    let (code, _) = lab.failure(&["policy", "narrow", done["op"].as_str().unwrap()], 1);
    assert_eq!(code, "not_denied");
    assert_eq!(lab.failure(&["policy", "narrow", "op-999"], 1).0, "not_found");
    assert!(lab.told(&["explain", "p1"]).contains(&format!("libos policy narrow {op}")));
}
