//! The human's part: cards, scopes, races, approvals files, questions, permissions, exit codes.
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

fn digest(request: &Value) -> String {
    request["ask"]["approval"]["digest"].as_str().expect("a digest").to_owned()
}

fn id(request: &Value) -> String {
    request["id"].as_str().expect("an id").to_owned()
}

/// Approves the one request that waits, goes on, and gives the next one that waits, if any.
fn approve_and_resume(lab: &Lab, scope: &str) -> Option<Value> {
    let inbox = lab.inbox();
    assert_eq!(inbox.len(), 1, "{inbox:?}");
    lab.json(&["approve", &id(&inbox[0]), "--scope", scope]).code(0);
    let ran = lab.resume();
    match ran.code {
        0 => None,
        3 => lab.inbox().pop(),
        _ => panic!("{ran}"),
    }
}

#[test]
fn an_approval_is_good_for_one_exact_call() {
    let lab = Lab::with(
        &ask("write", "fs:workspace/*"),
        &[
            write("a.txt", "hello"),
            write("a.txt", "hellp"),
            write("a.txt", "hello"),
            write("./sub/../a.txt", "hello"),
        ],
    );
    let ran = lab.run().code(3);
    assert_eq!(ran.last()["status"], "waiting");
    let first = lab.inbox().remove(0);
    let card = lab.libos(&["inbox"]).code(0).out;
    assert!(card.contains(&digest(&first)), "the card names the digest: {card}");
    assert!(!lab.ws("a.txt").exists(), "nothing happens before the answer");

    let changed = approve_and_resume(&lab, "once").expect("one byte changed asks again");
    assert_eq!(lab.text("a.txt"), "hello");
    assert_ne!(digest(&changed), digest(&first));
    assert_ne!(id(&changed), id(&first));
    let same = approve_and_resume(&lab, "once").expect("the same call after `once` asks again");
    assert_eq!(digest(&same), digest(&first));
    assert_eq!(lab.text("a.txt"), "hellp");
    let canonical = approve_and_resume(&lab, "once").expect("another name for the same path too");
    assert_eq!(digest(&canonical), digest(&first), "the canonical call counts");
    assert!(approve_and_resume(&lab, "once").is_none());
    for op in lab.steps() {
        let word =
            |n: usize| op["decisions"][n]["verdict"].as_object().map(|v| v.keys().next().cloned());
        assert_eq!(word(0).flatten().as_deref(), Some("asked"), "{op}");
        assert_eq!(word(1).flatten().as_deref(), Some("allowed"), "{op}");
        let because = op["decisions"][1]["because"].to_string();
        assert!(because.contains("`owner` answered"), "{because}");
    }
}

#[test]
fn a_scope_of_two_is_two_uses_and_a_scope_of_the_process_holds() {
    let same = write("a.txt", "x");
    let other = write("b.txt", "y");
    let lab = Lab::with(
        &ask("write", "fs:workspace/*"),
        &[same.clone(), same.clone(), same, other.clone(), other.clone(), other.clone(), other],
    );
    lab.run().code(3);
    let third = approve_and_resume(&lab, "2").expect("the third call asks again");
    let steps = lab.steps();
    assert_eq!(steps.iter().filter(|op| op["ended"] == "ok").count(), 2);
    assert_eq!(third["op"], steps[2]["op"]);
    let other = approve_and_resume(&lab, "once").expect("another call asks");
    assert_eq!(other["op"], lab.steps()[3]["op"]);
    assert!(approve_and_resume(&lab, "process").is_none(), "the rest goes through");
}

#[test]
fn an_approval_of_a_process_is_not_its_childs_unless_of_the_subtree() {
    for (scope, asks_again) in [("process", true), ("subtree", false)] {
        let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"] }]);
        let head = [
            grant("allow", "write", "fs:workspace/*", "delegable = 1"),
            ask("write", "fs:workspace/a.txt"),
            allow("write", "process:spawn"),
        ]
        .concat();
        let lab = Lab::with(
            &head,
            &[write("a.txt", "x"), spawn(&[write("a.txt", "x")], grants, "w"), wait("w")],
        );
        lab.run().code(3);
        let again = approve_and_resume(&lab, scope);
        assert_eq!(again.is_some(), asks_again, "scope {scope}: {again:?}");
        if let Some(again) = again {
            assert_eq!(again["pid"], "p2");
        }
    }
}

#[test]
fn of_two_who_approve_at_once_one_is_told_it_was_decided() {
    let head = [ask("write", "fs:workspace/*"), allow("read", "clock:*")].concat();
    for round in 0..5 {
        let lab = Lab::with(&head, &[write("a.txt", "x"), sleep(400)]);
        let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
        let request = id(&live.until_asked());
        let args = ["--json", "approve", request.as_str()];
        let racers = [lab.start(&args), lab.start(&args), lab.start(&args)];
        let mut ran: Vec<Ran> = racers.into_iter().map(Live::finish).collect();
        ran.sort_by_key(|ran| ran.code);
        assert_eq!(ran[0].code, 0, "round {round}: {}", ran[0]);
        for loser in &ran[1..] {
            assert_eq!(loser.code, 1, "round {round}: {loser}");
            assert_eq!(loser.lines()[0]["error"]["code"], "already_decided", "{loser}");
        }
        live.finish().code(0);
        let ops = lab.audit();
        let decided = ops.iter().filter(|op| op["call"] == "human.decide" && op["ended"] == "ok");
        assert_eq!(decided.count(), 1);
        assert_eq!(lab.text("a.txt"), "x");
    }
}

#[test]
fn of_two_who_approve_a_stopped_runtime_exactly_one_does() {
    for round in 0..5 {
        let lab = Lab::with(&ask("write", "fs:workspace/*"), &[write("a.txt", "x")]);
        lab.run().code(3);
        let args = ["--json", "approve", "req-1"];
        let racers = [lab.start(&args), lab.start(&args)];
        let mut ran: Vec<Ran> = racers.into_iter().map(Live::finish).collect();
        ran.sort_by_key(|ran| ran.code);
        assert_eq!(ran[0].code, 0, "round {round}: {}", ran[0]);
        assert_ne!(ran[1].code, 0, "round {round}: {}", ran[1]);
        assert_eq!(
            ran[1].lines()[0]["error"]["code"],
            "already_decided",
            "round {round}: {}",
            ran[1]
        );
        lab.resume().code(0);
    }
}

#[test]
fn a_live_runtime_goes_on_as_soon_as_it_is_approved() {
    let lab =
        Lab::with(&ask("write", "fs:workspace/*"), &[write("a.txt", "x"), write("b.txt", "y")]);
    let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    let first = live.until_asked();
    assert_eq!(lab.inbox().len(), 1, "the inbox is seen through the live runtime");
    assert_eq!(lab.json(&["ps"]).code(0).lines()[0]["state"], "waiting");
    lab.json(&["--as", "ann", "approve", &id(&first)]).code(0);
    let second = live.until_asked();
    assert_eq!(lab.text("a.txt"), "x");
    lab.json(&["--as", "bob", "deny", &id(&second), "--reason", "no need"]).code(0);
    live.finish().code(4);
    assert!(!lab.ws("b.txt").exists());
    let because: Vec<String> =
        lab.steps().iter().map(|op| op["decisions"][1]["because"].to_string()).collect();
    assert!(because[0].contains("`ann` answered"), "{because:?}");
    assert!(because[1].contains("`bob` answered"), "{because:?}");
}

#[test]
fn a_denial_by_the_human_is_final_for_that_call() {
    let lab = Lab::with(
        &ask("write", "fs:workspace/*"),
        &[call("fs.write", json!({ "path": "a.txt", "text": "x" })), write("b.txt", "y")],
    );
    lab.run().code(3);
    lab.json(&["deny", "req-1", "--reason", "no"]).code(0);
    for args in [["approve", "req-1"], ["deny", "req-1"]] {
        let late = lab.json(&args).code(1);
        assert_eq!(late.lines()[0]["error"]["code"], "already_decided");
    }
    lab.resume().code(3);
    lab.json(&["approve", "req-2"]).code(0);
    lab.resume().code(0);
    assert!(!lab.ws("a.txt").exists());
    assert_eq!(lab.text("b.txt"), "y");
}

#[test]
fn an_approvals_file_answers_what_fits_and_leaves_the_rest() {
    let head = [ask("read write delete", "fs:workspace/*"), allow("write", "human:owner")].concat();
    let rules = r#"
[[rule]]
on = "fs:workspace/no/*"
answer = "deny"
[[rule]]
on = "fs:workspace/twice.txt"
rights = ["write"]
answer = "approve"
scope = 2
[[rule]]
on = "fs:workspace/often.txt"
answer = "approve"
scope = "process"
[[rule]]
question = "(?i)which colour"
text = "blue"
[[rule]]
question = "secret"
answer = "deny"
"#;
    let lab = Lab::with(
        &head,
        &[
            expect("fs.write", json!({ "path": "no/a.txt", "text": "x" }), "denied"),
            write("twice.txt", "x"),
            write("twice.txt", "x"),
            write("twice.txt", "x"),
            write("often.txt", "x"),
            write("often.txt", "x"),
            save("human.ask", json!({ "question": "Which COLOUR is it to be?" }), "colour"),
            expect("human.ask", json!({ "question": "what is the secret?" }), "refused"),
            write("often.txt", "${colour.answer}"),
            expect("fs.read", json!({ "path": "twice.txt" }), "ok"),
        ],
    );
    fs::write(lab.path("approvals.toml"), rules).unwrap();
    let ran = lab.json(&["run", "task.toml", "--approvals", "approvals.toml"]).code(3);
    assert!(lab.ws("often.txt").exists(), "{ran}");
    assert_eq!(lab.text("often.txt"), "blue", "{ran}");
    let inbox = lab.inbox();
    assert_eq!(inbox.len(), 1, "reading fits no rule: {inbox:?}");
    assert_eq!(inbox[0]["ask"]["approval"]["call"], "fs.read");
    let all = lab.json(&["inbox", "--all"]).code(0).lines();
    let twice = all.iter().filter(|r| {
        r.to_string().contains("twice.txt") && r["ask"]["approval"]["call"] == "fs.write"
    });
    assert_eq!(twice.count(), 2, "one question for two uses, one for the third");
    // Still nothing fits: resuming with the same rules waits again.
    lab.json(&["resume", "--approvals", "approvals.toml"]).code(3);
    fs::write(
        lab.path("approvals.toml"),
        "[[rule]]\non = \"fs:workspace/*\"\nanswer = \"approve\"\n",
    )
    .unwrap();
    lab.json(&["resume", "--approvals", "approvals.toml"]).code(0);
}

#[test]
fn a_bad_approvals_file_is_refused_before_anything_runs() {
    let lab = Lab::with(&allow("write", "fs:workspace/*"), &[write("a.txt", "x")]);
    for bad in [
        "[[rule]]\non = \"fs:workspace/*\"\n",
        "[[rule]]\non = \"fs:workspace/*\"\nanswer = \"perhaps\"\n",
        "[[rule]]\non = \"fs:workspace/*\"\nanswer = \"approve\"\nscope = 0\n",
        "[[rule]]\nquestion = \"(\"\ntext = \"x\"\n",
        "[[rule]]\nquestion = \"x\"\nanswer = \"approve\"\n",
        "[[rules]]\n",
    ] {
        fs::write(lab.path("approvals.toml"), bad).unwrap();
        let ran = lab.json(&["run", "task.toml", "--approvals", "approvals.toml"]);
        assert_eq!(ran.code, 2, "{bad}: {ran}");
    }
    assert!(!lab.ws("a.txt").exists());
}

#[test]
fn exit_codes_say_how_it_ended() {
    let done = Lab::with("", &[call("process.cwd", json!({}))]);
    done.run().code(0);

    let failed = Lab::with("", &[json!({ "exit": { "failed": true, "message": "no luck" } })]);
    failed.run().code(1);

    let denied = Lab::with("", &[expect("fs.read", json!({ "path": "a" }), "ok")]);
    assert_eq!(denied.run().code(4).last()["exit"], 4);

    let waiting = Lab::with(&ask("write", "fs:workspace/*"), &[write("a.txt", "x")]);
    waiting.run().code(3);

    let no_store = Lab::new();
    let ran = no_store.libos(&["resume"]).code(5);
    assert!(ran.err.contains("libos init"), "{ran}");
    for args in [&["inbox"][..], &["ps"], &["audit", "ls"], &["approve", "req-1"]] {
        no_store.libos(args).code(5);
    }
}

#[test]
fn a_bad_task_file_or_plan_is_named_with_its_line() {
    let lab = Lab::new();
    lab.raw_task("[[grant]]\non = \"fs:workspace/*\"\nrights = [\"raed\"]\n", "");
    let ran = lab.libos(&["run", "task.toml"]).code(2);
    assert!(ran.err.contains("task.toml") && ran.err.contains("line 11"), "{ran}");

    lab.raw_task("[budgets]\n", "");
    let ran = lab.libos(&["run", "task.toml"]).code(2);
    assert!(ran.err.contains("line 9") && ran.err.contains("budgets"), "{ran}");

    lab.raw_task("", "# a comment\n{\"call\":\"fs.raed\"}\n");
    let ran = lab.libos(&["run", "task.toml"]).code(2);
    assert!(ran.err.contains("plan.jsonl") && ran.err.contains("line 2"), "{ran}");
    assert!(ran.err.contains("fs.read"), "{ran}");

    lab.libos(&["run", "missing.toml"]).code(2);
    lab.libos(&["fly"]).code(2);
    lab.libos(&["approve", "r1"]).code(2);
    assert!(!lab.path("store").exists(), "nothing was made for a task that cannot be read");
}

#[test]
fn a_grant_that_cannot_be_meant_is_refused_at_launch() {
    for more in [
        "when = { nothing = { equals = 1 } }",
        "when = { path = { matches = \"(\" } }",
        "when = { overwrite = { sum_max = 3 } }",
        "when = { text = { equals = 3 } }",
    ] {
        let lab = Lab::with(&grant("allow", "write", "fs:workspace/*", more), &[]);
        let ran = lab.run();
        assert_ne!(ran.code, 0, "{more}: {ran}");
        assert_eq!(ran.lines()[0]["error"]["code"], "bad_grant", "{more}: {ran}");
    }
}

#[test]
fn a_second_runtime_on_a_store_in_use_is_told_so() {
    let lab = Lab::with(&ask("write", "fs:workspace/*"), &[write("a.txt", "x")]);
    let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    live.until_asked();
    for args in [&["run", "task.toml"][..], &["resume"]] {
        let ran = lab.libos(args).code(5);
        assert!(ran.err.contains("use") || ran.err.contains("another"), "{ran}");
        let ran = lab.json(args).code(5);
        assert_eq!(ran.lines()[0]["error"]["code"], "store", "{ran}");
    }
    lab.json(&["audit", "verify"]).code(0);
    lab.json(&["approve", "req-1"]).code(0);
    live.finish().code(0);
}

#[test]
fn a_question_is_answered_from_another_terminal() {
    let lab = Lab::with(
        &[allow("write", "human:owner"), allow("write", "fs:workspace/*")].concat(),
        &[
            save(
                "human.ask",
                json!({ "question": "Wie heißt du? 你好", "context": "for the letter" }),
                "name",
            ),
            write("name.txt", "${name.answer}"),
            expect("human.ask", json!({ "question": "and again?" }), "refused"),
            expect("human.ask", json!({ "question": "who?", "human": "stranger" }), "denied"),
        ],
    );
    let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    let asked = live.until_asked();
    assert_eq!(asked["ask"]["question"]["question"], "Wie heißt du? 你好");
    let wrong = lab.json(&["approve", &id(&asked)]).code(2);
    assert_eq!(wrong.lines()[0]["error"]["code"], "wrong_answer", "{wrong}");
    let reply = format!("Jürgen 🦀 ${{x}} {}", "long ".repeat(2_000));
    lab.json(&["answer", &id(&asked), &reply]).code(0);
    let again = live.until_asked();
    lab.json(&["deny", &id(&again)]).code(0);
    live.finish().code(0);
    assert_eq!(lab.text("name.txt"), reply);
}

#[test]
fn the_card_of_a_permission_tells_what_it_would_newly_reach() {
    let head = [
        allow("read", "fs:workspace/out/a.txt"),
        deny("read", "fs:workspace/out/private/*"),
        allow("write", "human:owner"),
    ]
    .concat();
    let want = json!({ "on": "fs:workspace/out/*", "rights": ["read"], "reason": "to sum up" });
    let lab = Lab::with(&head, &[expect("human.request_permission", want, "ok")]);
    fs::create_dir_all(lab.ws("out/private")).unwrap();
    for name in ["out/a.txt", "out/b.txt", "out/private/key", "elsewhere.txt"] {
        lab.put(name, "x");
    }
    std::os::unix::fs::symlink("/etc/passwd", lab.ws("out/link")).unwrap();
    lab.run().code(3);
    let card = lab.told(&["inbox"]);
    let reach = "would reach  read: 1 file more: workspace/out/b.txt; 1 it reaches already; 1 stay \
                 denied: workspace/out/private/key\n";
    assert!(card.contains(reach), "{card}");
    assert!(!card.contains("has read"), "{card}");
}

#[test]
fn the_card_of_an_edit_shows_the_change() {
    let edit = json!({ "path": "a.txt", "old": "one\n", "new": "two\n" });
    let lab = Lab::with(
        &[ask("write", "fs:workspace/*"), allow("read", "fs:workspace/*")].concat(),
        &[expect("fs.edit", edit, "ok")],
    );
    lab.put("a.txt", "zero\none\n");
    lab.run().code(3);
    let card = lab.told(&["inbox"]);
    assert!(card.contains("-one") && card.contains("+two"), "{card}");
    assert!(!card.contains("        old  "), "{card}");
}

#[test]
fn a_permission_is_given_within_its_guards() {
    let want = |on: &str, rights: Value, code: &str| {
        expect(
            "human.request_permission",
            json!({ "on": on, "rights": rights, "reason": "a test" }),
            code,
        )
    };
    let lab = Lab::with(
        &[allow("write", "human:owner"), allow("write", "fs:workspace/mine.txt")].concat(),
        &[
            want("shell:*", json!(["execute"]), "not_requestable"),
            want("fs:workspace/*", json!(["write"]), "not_requestable"),
            want("fs:*", json!(["write"]), "not_requestable"),
            want("capability:*", json!(["write"]), "not_requestable"),
            want("host:*", json!(["write"]), "not_requestable"),
            expect("fs.write", json!({ "path": "out/a.txt", "text": "x" }), "denied"),
            want("fs:workspace/out/*", json!(["write"]), "ok"),
            write("out/a.txt", "x"),
            expect("fs.read", json!({ "path": "out/a.txt" }), "denied"),
            want("fs:workspace/each.txt", json!(["write"]), "ok"),
            write("each.txt", "1"),
            want("fs:workspace/no.txt", json!(["write"]), "refused"),
            expect("fs.write", json!({ "path": "no.txt", "text": "x" }), "denied"),
            write("mine.txt", "done"),
        ],
    );
    fs::create_dir(lab.ws("out")).unwrap();
    let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    let out = live.until_asked();
    assert_eq!(out["ask"]["permission"]["on"], "fs:workspace/out/*");
    lab.json(&["approve", &id(&out)]).code(0);
    let each = live.until_asked();
    assert_eq!(each["ask"]["permission"]["on"], "fs:workspace/each.txt");
    lab.json(&["approve", &id(&each), "--each-time"]).code(0);
    let call = live.until_asked();
    assert_eq!(call["ask"]["approval"]["call"], "fs.write", "each call is asked about");
    lab.json(&["approve", &id(&call)]).code(0);
    let no = live.until_asked();
    lab.json(&["deny", &id(&no)]).code(0);
    live.finish().code(0);
    assert_eq!(lab.text("mine.txt"), "done");
}

#[test]
fn children_that_all_wait_for_approval_are_answered_in_any_order() {
    let child = |n: usize| [write(&format!("c{n}.txt"), "x")];
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"] }]);
    let head = [
        grant("ask", "write", "fs:workspace/*", "delegable = 1"),
        grant("allow", "write", "fs:workspace/*", "delegable = 1"),
        allow("write", "process:spawn"),
    ]
    .concat();
    let mut plan: Vec<Value> =
        (0..6).map(|n| spawn(&child(n), grants.clone(), &format!("w{n}"))).collect();
    plan.extend((0..6).map(|n| wait(&format!("w{n}"))));
    let lab = Lab::with(&head, &plan);
    lab.run().code(3);
    let inbox = lab.inbox();
    assert_eq!(inbox.len(), 6);
    for request in inbox.iter().rev() {
        // Whoever asked first depends on the scheduler.
        let path = request["ask"]["approval"]["args"]["path"].as_str().unwrap();
        let n: usize = path["workspace/c".len()..][..1].parse().unwrap();
        match n % 3 {
            0 => lab.json(&["deny", &id(request)]).code(0),
            _ => lab.json(&["approve", &id(request)]).code(0),
        };
    }
    lab.resume().code(0);
    for n in 0..6 {
        assert_eq!(lab.ws(&format!("c{n}.txt")).exists(), n % 3 != 0, "child {n}");
    }
    let states: Vec<Value> = lab.json(&["ps"]).code(0).lines();
    let failed = states.iter().filter(|process| process["state"] == "failed").count();
    assert_eq!(failed, 2, "{states:?}");
}
