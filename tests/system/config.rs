//! Settings: where they come from, which goes before which, and that each takes effect.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::*;

/// The user's own file, as `Lab` sets it.
fn user_file(lab: &Lab, text: &str) {
    fs::create_dir_all(lab.path("config/libos")).unwrap();
    fs::write(lab.path("config/libos/libos.toml"), text).unwrap();
}

fn project_file(lab: &Lab, text: &str) {
    fs::write(lab.path("libos.toml"), text).unwrap();
}

/// The binary without flags, in this environment.
fn run(lab: &Lab, environment: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = binary::libos();
    command.current_dir(lab.dir.path()).args(args);
    lab.isolate(&mut command);
    let out = command.envs(environment.iter().copied()).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: out.status.code().unwrap(), out: text(out.stdout), err: text(out.stderr) }
}

fn settings(lab: &Lab, environment: &[(&str, &str)], args: &[&str]) -> Value {
    let mut all = vec!["--json", "config", "show"];
    all.extend(args);
    run(lab, environment, &all).code(0).lines().remove(0)["settings"].take()
}

#[test]
fn each_layer_goes_before_those_below_it_and_is_named() {
    let lab = Lab::new();
    let value = |settings: &Value, key: &str| settings[key]["value"].clone();
    let built_in = settings(&lab, &[], &[]);
    assert_eq!(value(&built_in, "store"), ".libos");
    assert_eq!(value(&built_in, "operator"), "owner");
    assert_eq!(built_in["store"]["from"], "default");

    user_file(&lab, "operator = \"ann\"\nstore = \"u\"\n[limits]\nrunning_max = 2\n");
    project_file(&lab, "store = \"p\"\n[limits]\nbusy_flush_ms = 50\n");
    let both = settings(&lab, &[], &[]);
    assert_eq!(value(&both, "operator"), "ann");
    assert_eq!(value(&both, "store"), "p", "relative to the folder of its file");
    assert_eq!(
        (value(&both, "limits.running_max"), value(&both, "limits.busy_flush_ms")),
        (2.into(), 50.into())
    );
    assert_eq!(both["store"]["from"]["file"], "libos.toml");
    let user = lab.path("config/libos/libos.toml");
    assert_eq!(both["operator"]["from"]["file"], user.to_str().unwrap());

    let environment = [("LIBOS_STORE", "e"), ("LIBOS_LIMITS_RUNNING_MAX", "3")];
    let over = settings(&lab, &environment, &[]);
    assert_eq!((value(&over, "store"), value(&over, "limits.running_max")), ("e".into(), 3.into()));
    assert_eq!(over["store"]["from"]["variable"], "LIBOS_STORE");
    let flags = settings(&lab, &environment, &["--store", "f", "--as", "bob"]);
    assert_eq!((value(&flags, "store"), value(&flags, "operator")), ("f".into(), "bob".into()));
    assert_eq!(flags["store"]["from"]["flag"], "--store");

    let said = run(&lab, &environment, &["config", "show"]).code(0).out;
    assert!(said.contains("LIBOS_STORE") && said.contains("running_max"), "{said}");
    let paths = run(&lab, &[], &["config", "path"]).code(0).out;
    let lines: Vec<&str> = paths.lines().collect();
    assert_eq!(lines, [format!("{} (read)", user.display()), "libos.toml (read)".into()]);
}

#[test]
fn what_is_set_is_what_commands_do() {
    let lab = Lab::with("", &[call("process.cwd", json!({}))]);
    project_file(&lab, "store = \"here\"\noperator = \"ann\"\njson = true\n");
    let ran = run(&lab, &[], &["run", "task.toml"]).code(0);
    assert_eq!(ran.last()["done"], true, "json holds");
    assert!(lab.path("here/journal.db").exists(), "store holds");
    let launched = run(&lab, &[], &["audit", "ls", "--all"]).code(0).lines().remove(0);
    assert_eq!(launched["caller"]["host"], "ann", "operator holds");
    let said = run(&lab, &[], &["--json=false", "ps"]).code(0).out;
    assert!(said.starts_with("PROCESS"), "a flag goes before a file: {said}");
    // A failure is told as JSON too when the settings say so.
    let failed = run(&lab, &[], &["inspect", "p9"]).code(1);
    assert_eq!(failed.lines()[0]["error"]["code"], "not_found");
    let said = run(&lab, &[("LIBOS_JSON", "false")], &["ps"]).code(0).out;
    assert!(said.starts_with("PROCESS"), "{said}");
}

#[test]
fn a_key_or_value_that_is_none_is_refused_by_every_command_with_its_place() {
    let lab = Lab::new();
    for (text, line, words) in [
        ("json = true\nstroe = \"x\"\n", 2, "stroe"),
        ("[limits]\nrunning_max = 0\n", 2, "nonzero"),
        ("[limits]\nlazy_flush_ms = 5000\n", 2, "at most 1000"),
        ("[scheduler]\npolicy = \"fifo\"\n", 2, "round_robin"),
        ("store = 7\n", 1, "string"),
        ("store = \n", 1, "libos.toml"),
    ] {
        project_file(&lab, text);
        for args in [&["ps"][..], &["config", "show"], &["init"]] {
            let ran = run(&lab, &[], args).code(2);
            let place = format!("line {line},");
            for words in ["libos.toml", &place, words] {
                assert!(ran.err.contains(words), "{words} is not in {ran}");
            }
        }
        // What explains and mends it goes on.
        assert!(run(&lab, &[], &["config", "path"]).code(0).out.contains("refused"));
        run(&lab, &[], &["completion", "bash"]).code(0);
    }
    fs::remove_file(lab.path("libos.toml")).unwrap();
    user_file(&lab, "colour = 1\n");
    assert!(run(&lab, &[], &["ps"]).code(2).err.contains("config/libos/libos.toml"));
    user_file(&lab, "");
    let ran = run(&lab, &[("LIBOS_LIMITS_RUNNING_MAX", "many")], &["ps"]).code(2);
    assert!(ran.err.contains("LIBOS_LIMITS_RUNNING_MAX"), "{ran}");
    // A variable that sets nothing stops nobody, and is told.
    let ran = run(&lab, &[("LIBOS_STROE", "x")], &["config", "show"]).code(0);
    assert!(ran.out.contains("LIBOS_STROE in the environment sets nothing"), "{ran}");
}

#[test]
fn a_file_to_start_from_sets_nothing_and_is_right_once_its_comments_go() {
    let lab = Lab::new();
    let before = settings(&lab, &[], &[]);
    run(&lab, &[], &["config", "init"]).code(0);
    assert_eq!(settings(&lab, &[], &[]), before, "it is all comments");
    let text = fs::read_to_string(lab.path("libos.toml")).unwrap();
    let set: Vec<&str> = text
        .lines()
        .filter_map(|line| if line.starts_with('[') { Some(line) } else { line.strip_prefix("# ") })
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .collect();
    project_file(&lab, &set.join("\n"));
    let after = settings(&lab, &[], &[]);
    for (key, setting) in before.as_object().unwrap() {
        assert_eq!(after[key]["value"], setting["value"], "{key}");
        // It is a flag that makes this test read JSON.
        let is_there = key == "json" || after[key]["from"]["file"] == "libos.toml";
        assert!(is_there, "{key} is not in\n{text}");
    }
    assert_eq!(after["approvals"]["value"], "approvals.toml");
    let again = run(&lab, &[], &["config", "init"]).code(2);
    assert!(again.err.contains("libos.toml exists"), "{again}");
    run(&lab, &[], &["--json", "config", "init", "--user"]).code(0);
    assert!(lab.path("config/libos/libos.toml").exists());
}

#[test]
fn every_limit_is_shown_with_its_unit_and_its_reason() {
    let lab = Lab::new();
    let shown = run(&lab, &[], &["--json", "config", "show", "--all"]).code(0).lines().remove(0);
    let limits = shown["limits"].as_array().unwrap();
    assert!(limits.len() > 80);
    let said = run(&lab, &[], &["config", "show", "--all"]).code(0).out;
    for limit in limits {
        let text = |field: &str| limit[field].as_str().unwrap();
        let name = format!("{}.{}", text("part"), text("name"));
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(&name));
        let line = line.unwrap_or_else(|| panic!("{name} is not shown"));
        for words in [limit["value"].to_string().as_str(), text("unit"), text("reason")] {
            assert!(line.contains(words), "{words} is not in {line}");
        }
    }
}

/// A task whose two children each do the same; `first` and `second` are what they are told of the
/// schedule.
fn two(head: &str, plan: &[Value], first: Value, second: Value) -> Lab {
    let child = |name: &str, schedule: Value| {
        json!({ "spawn": {
            "goal": name, "program": jsonl(plan), "schedule": schedule,
            "grants": [{ "on": "shell:*", "rights": ["execute"] }],
        }, "save": name, "expect": "ok" })
    };
    let head = [
        allow("write", "process:spawn"),
        grant("allow", "execute", "shell:*", "delegable = 1"),
        head.to_owned(),
    ]
    .concat();
    Lab::with(&head, &[child("a", first), child("b", second), wait("a"), wait("b")])
}

/// Where the first and last step of a process stand among all steps.
fn span(lab: &Lab, pid: &str) -> (usize, usize) {
    let steps = lab.steps();
    let of = |(_, op): &(usize, &Value)| op["caller"]["process"] == pid;
    let places: Vec<usize> = steps.iter().enumerate().filter(of).map(|(at, _)| at).collect();
    (places[0], places[places.len() - 1])
}

#[test]
fn no_more_processes_run_at_once_than_is_set() {
    let sleeps = [expect("shell.run", json!({ "argv": ["sleep", "0.2"] }), "ok")];
    let lab = two("", &sleeps, json!({}), json!({}));
    project_file(&lab, "[limits]\nrunning_max = 1\n");
    lab.run().code(0);
    let ran: Vec<(u64, u64)> = lab
        .steps()
        .iter()
        .filter(|op| op["call"] == "shell.run")
        .map(|op| {
            let seq = |field: &str| op[field].as_str().unwrap()[1..].parse().unwrap();
            (seq("dispatched"), seq("settled"))
        })
        .collect();
    assert_eq!(ran.len(), 2);
    let (one, other) = (ran[0], ran[1]);
    assert!(one.1 < other.0 || other.1 < one.0, "they ran side by side: {ran:?}");
}

#[test]
fn the_policy_that_is_set_decides_who_runs_next() {
    // More steps than a quantum has, so that turns are taken.
    let steps: Vec<Value> = (0..150).map(|_| call("process.cwd", json!({}))).collect();
    let one_at_a_time =
        |policy: &str| format!("[scheduler]\npolicy = \"{policy}\"\n[limits]\nrunning_max = 1\n");
    // A child is never ahead of its parent, so the parent has the earliest deadline of all.
    let deadlines = || {
        let schedule = "[schedule]\ndeadline = \"1s\"\n";
        two(schedule, &steps, json!({ "deadline": "1h" }), json!({ "deadline": "1m" }))
    };
    let weights = || {
        let schedule = "[schedule]\nweight = 100\n";
        two(schedule, &steps, json!({ "weight": 1 }), json!({ "weight": 100 }))
    };

    for lab in [deadlines(), weights()] {
        project_file(&lab, &one_at_a_time("round_robin"));
        lab.run().code(0);
        let (a, b) = (span(&lab, "p2"), span(&lab, "p3"));
        assert!(a.0 < b.0 && b.0 < a.1, "turn by turn, the first one first: {a:?} {b:?}");
    }
    for (policy, lab) in [("earliest_deadline", deadlines()), ("weighted_fair", weights())] {
        project_file(&lab, &one_at_a_time(policy));
        lab.run().code(0);
        let (a, b) = (span(&lab, "p2"), span(&lab, "p3"));
        assert!(b.1 < a.1 && b.0 < a.0, "{policy} prefers the second: {a:?} {b:?}");
    }
}

#[test]
fn the_approvals_file_of_the_settings_answers_and_processes_cannot_reach_it() {
    let head = [ask("write", "fs:workspace/*"), allow("read", "fs:workspace/*")].concat();
    let own = json!({ "path": "approvals.toml", "text": "[[rule]]" });
    let plan = [
        write("a.txt", "x"),
        expect("fs.write", own, "not_permitted"),
        expect("fs.read", json!({ "path": "approvals.toml" }), "not_permitted"),
        expect("fs.write", json!({ "path": "libos.toml", "text": "json = true" }), "not_permitted"),
        expect("fs.delete", json!({ "path": "sub/libos.toml" }), "denied"),
    ];
    let lab = Lab::with(&head, &plan);
    let rules = "[[rule]]\non = \"fs:workspace/*\"\nanswer = \"approve\"\n";
    lab.put("approvals.toml", rules);
    project_file(&lab, "approvals = \"ws/approvals.toml\"\n");
    let ran = lab.run().code(0);
    assert_eq!(lab.text("a.txt"), "x", "{ran}");
    assert_eq!(lab.text("approvals.toml"), rules);
    // A flag names another one.
    fs::write(lab.path("none.toml"), "").unwrap();
    lab.json(&["run", "task.toml", "--approvals", "none.toml"]).code(3);
    project_file(&lab, "approvals = \"missing.toml\"\n");
    let ran = lab.json(&["run", "task.toml"]).code(2);
    assert!(ran.out.contains("missing.toml"), "{ran}");
}
