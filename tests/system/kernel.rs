//! What a plan may and may not do: every refusal has its code, the job is done all the same, and
//! the audit says of each decision why it was made.
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

/// The code a step is to end in, with the step.
type Try = (Value, &'static str);

fn refused(name: &str, args: Value, code: &'static str) -> Try {
    (expect(name, args, code), code)
}

#[test]
fn every_overreach_is_refused_with_its_code_and_the_job_is_done() {
    let lab = Lab::new();
    lab.put("notes.txt", "in the workspace");
    lab.put("secret.txt", "not for agents");
    fs::create_dir(lab.ws("sub")).unwrap();
    fs::write(lab.path("outside.txt"), "outside").unwrap();
    std::os::unix::fs::symlink("../outside.txt", lab.ws("link.txt")).unwrap();
    std::os::unix::fs::symlink("..", lab.ws("up")).unwrap();
    fs::hard_link(lab.path("outside.txt"), lab.ws("hard.txt")).unwrap();

    // An object of somebody else: the result of a task of before.
    lab.task(
        "",
        &[expect("object.create", json!({ "type": "note", "payload": { "theirs": 1 } }), "ok")],
    );
    lab.run().code(0);

    let head = [
        allow("read", "fs:workspace/*"),
        deny("read", "fs:workspace/secret.txt"),
        allow("write", "fs:workspace/out.txt"),
        allow("write", "fs:workspace/link.txt"),
        allow("write", "fs:workspace/hard.txt"),
        allow("write", "fs:workspace/up/*"),
        grant("allow", "write", "fs:workspace/once.txt", "uses = 1"),
        grant("allow", "write", "fs:workspace/sum.txt", "when = { text = { sum_max = 10 } }"),
        grant("allow", "delete", "fs:workspace/counted.txt", "calls_max = 2"),
        grant(
            "allow",
            "execute",
            "shell:echo",
            "when = { argv = { one_of = [[\"echo\", \"yes\"]] } }",
        ),
        grant("allow", "read", "clock:sleep", "when = { ms = { one_of = [1, 2] } }"),
        grant("allow", "write", "process:spawn", ""),
    ]
    .concat();
    let gone = json!({ "path": "counted.txt", "missing_ok": true });
    let tries: Vec<Try> = vec![
        refused("fs.read", json!({ "path": "secret.txt" }), "denied"),
        refused("fs.read", json!({ "path": "sub/../secret.txt" }), "denied"),
        refused("fs.read", json!({ "path": "./secret.txt" }), "denied"),
        refused("fs.read", json!({ "path": "../outside.txt" }), "outside_mount"),
        refused("fs.read", json!({ "path": "sub/../../outside.txt" }), "outside_mount"),
        refused("fs.read", json!({ "path": "/etc/hostname" }), "outside_mount"),
        refused("fs.read", json!({ "path": "link.txt" }), "outside_mount"),
        refused("fs.read", json!({ "path": "up/outside.txt" }), "outside_mount"),
        refused("fs.read", json!({ "path": "hard.txt" }), "outside_mount"),
        refused("fs.write", json!({ "path": "link.txt", "text": "x" }), "outside_mount"),
        refused("fs.write", json!({ "path": "up/new.txt", "text": "x" }), "outside_mount"),
        refused("fs.write", json!({ "path": "../new.txt", "text": "x" }), "outside_mount"),
        refused("fs.write", json!({ "path": "notes.txt", "text": "x" }), "denied"),
        refused("shell.run", json!({ "argv": ["rm", "-rf", "."] }), "denied"),
        refused("shell.run", json!({ "argv": ["echo", "no"] }), "denied"),
        refused("shell.run", json!({ "argv": ["echo", "yes", "no"] }), "denied"),
        refused("shell.run", json!({ "argv": ["/bin/echo", "yes"] }), "denied"),
        refused("shell.run", json!({ "argv": ["./echo", "yes"] }), "denied"),
        refused("object.read", json!({ "id": "obj-1.1" }), "denied"),
        refused("object.update", json!({ "id": "obj-1.1", "payload": 2 }), "denied"),
        refused("object.stat", json!({ "id": "obj-1.404" }), "denied"),
        refused("message.send", json!({ "to": "p1", "body": "psst" }), "denied"),
        refused("message.send", json!({ "to": "p77", "body": "psst" }), "denied"),
        refused(
            "process.spawn",
            json!({ "goal": "more", "grants": [{ "on": "fs:workspace/*", "rights": ["write"] }] }),
            "denied",
        ),
        refused(
            "process.spawn",
            json!({ "goal": "undelegable", "grants": [{ "on": "fs:workspace/notes.txt", "rights": ["read"] }] }),
            "denied",
        ),
        refused(
            "process.launch",
            json!({
                "image": "minimal", "goal": "g", "workspace": "/", "grants": [], "budget": {},
                "planner": { "kind": "none", "program": "" },
            }),
            "denied",
        ),
        refused(
            "capability.grant",
            json!({
                "to": "p2", "grant": { "on": "fs:workspace/*", "rights": ["write"] },
            }),
            "denied",
        ),
        refused(
            "human.decide",
            json!({
                "request": "req-1", "decision": { "approve": { "scope": "once" } },
            }),
            "denied",
        ),
        refused("clock.sleep", json!({ "ms": 3 }), "denied"),
        refused("clock.now", json!({}), "denied"),
        refused("audit.list", json!({}), "denied"),
        refused("human.output", json!({ "message": "hello" }), "denied"),
        (write("once.txt", "1"), "ok"),
        refused("fs.write", json!({ "path": "once.txt", "text": "2" }), "denied"),
        (write("sum.txt", "123456"), "ok"),
        refused("fs.write", json!({ "path": "sum.txt", "text": "12345" }), "denied"),
        (write("sum.txt", "1234"), "ok"),
        refused("fs.write", json!({ "path": "sum.txt", "text": "1" }), "denied"),
        (expect("fs.delete", gone.clone(), "ok"), "ok"),
        (expect("fs.delete", gone.clone(), "ok"), "ok"),
        refused("fs.delete", gone, "denied"),
        (expect("shell.run", json!({ "argv": ["echo", "yes"] }), "ok"), "ok"),
        (sleep(2), "ok"),
        (write("out.txt", "the job is done"), "ok"),
    ];
    let plan: Vec<Value> = tries.iter().map(|(step, _)| step.clone()).collect();
    lab.task(&head, &plan);
    let ran = lab.run().code(0);

    assert_eq!(lab.text("out.txt"), "the job is done");
    assert_eq!(lab.text("once.txt"), "1");
    assert_eq!(lab.text("sum.txt"), "1234");
    assert_eq!(lab.text("notes.txt"), "in the workspace");
    assert_eq!(fs::read_to_string(lab.path("outside.txt")).unwrap(), "outside");
    assert!(!lab.path("new.txt").exists());
    assert_eq!(ran.last(), json!({ "done": true, "pid": "p2", "status": "exited", "exit": 0 }));
    let codes: Vec<String> = ran.codes("p2").into_iter().map(|(_, code)| code).collect();
    let wanted: Vec<&str> = tries.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, wanted);

    let steps: Vec<Value> =
        lab.steps().into_iter().filter(|op| op["caller"]["process"] == "p2").collect();
    assert_eq!(steps.len(), tries.len(), "every attempt is in the audit");
    for (op, (step, code)) in steps.iter().zip(&tries) {
        assert_eq!(op["call"], step["call"], "{op}");
        assert_eq!(op["ended"], *code, "{op}");
        assert_because(op);
        if *code == "denied" {
            let last = op["decisions"].as_array().unwrap().last().unwrap();
            assert!(last["verdict"]["denied"].is_object(), "a denial is a decision: {op}");
        }
    }
}

/// Every decision about an operation has its cause, and there is one.
fn assert_because(op: &Value) {
    let decisions = op["decisions"].as_array().unwrap();
    assert!(!decisions.is_empty(), "no decision is on record: {op}");
    for decision in decisions {
        let because = decision["because"].as_array().unwrap();
        assert!(!because.is_empty(), "no cause is on record: {op}");
        assert!(because.iter().all(|why| why.as_str().is_some_and(|why| !why.is_empty())), "{op}");
    }
}

#[test]
fn the_audit_tells_a_person_why_a_spawn_was_refused() {
    let head = allow("write", "process:spawn");
    let asked = json!([{ "on": "fs:workspace/*", "rights": ["read"] }]);
    let lab = Lab::with(
        &head,
        &[expect("process.spawn", json!({ "goal": "more", "grants": asked }), "denied")],
    );
    lab.run().code(0);
    let shown = lab.libos(&["audit", "ls", "--outcome", "denied"]).code(0).out;
    assert!(shown.contains("more than its giver holds"), "{shown}");
}

#[test]
fn a_denied_call_does_not_tell_whether_its_target_exists() {
    let calls = [
        ("fs.read", json!({ "path": "a/here.txt" })),
        ("fs.stat", json!({ "path": "a/here.txt" })),
        ("fs.list", json!({ "path": "a" })),
        ("fs.delete", json!({ "path": "a/here.txt" })),
        ("fs.write", json!({ "path": "a/here.txt", "text": "x", "overwrite": false })),
        ("fs.mkdir", json!({ "path": "a" })),
        ("process.chdir", json!({ "path": "a" })),
        ("fs.read", json!({ "path": "link/here.txt" })),
    ];
    let plan: Vec<Value> = calls.into_iter().map(|(name, args)| call(name, args)).collect();
    let head = [deny("read write delete", "fs:workspace/*"), allow("read", "clock:*")].concat();
    let (with, without) = (Lab::with(&head, &plan), Lab::with(&head, &plan));
    fs::create_dir(with.ws("a")).unwrap();
    with.put("a/here.txt", "here");
    std::os::unix::fs::symlink("/etc", with.ws("link")).unwrap();
    let (there, missing) = (with.run().code(0), without.run().code(0));
    assert_eq!(there.steps().len(), plan.len());
    assert!(there.steps().iter().all(|step| step["outcome"] == "denied"), "{there}");
    assert_eq!(there.out, missing.out);
    let said = |lab: &Lab| -> Vec<String> {
        lab.steps().iter().map(|op| format!("{}{}", op["error"], op["decisions"])).collect()
    };
    assert_eq!(said(&with), said(&without));
}

#[test]
fn a_process_over_its_call_budget_asks_once_is_told_so_and_ends() {
    let lab = Lab::with(
        "[budget]\nsyscalls = 3\n",
        &[
            call("process.cwd", json!({})),
            call("process.cwd", json!({})),
            call("process.cwd", json!({})),
            expect("process.cwd", json!({}), "over_budget"),
            expect("object.list", json!({}), "over_budget"),
        ],
    );
    let before = lab.run().code(3).codes("p1");
    lab.json(&["deny", "req-1"]).code(0);
    // The answer holds for every call that would pass the same limit.
    let after = lab.resume().code(0).codes("p1");
    let codes: Vec<String> = [before, after].concat().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["ok", "ok", "ok", "over_budget", "over_budget"]);
    for op in lab.steps() {
        assert_because(&op);
    }
}

#[test]
fn a_budget_holds_for_all_below_a_process() {
    let child = [
        call("process.cwd", json!({})),
        call("process.cwd", json!({})),
        call("process.cwd", json!({})),
    ];
    let head =
        format!("[budget]\nsyscalls = 4\nchildren = 1\n\n{}", allow("write", "process:spawn"));
    let lab = Lab::with(
        &head,
        &[
            spawn(&child, json!([]), "a"),
            expect("process.spawn", json!({ "goal": "b" }), "over_budget"),
            call("process.wait", json!({ "pid": "${a.pid}" })),
        ],
    );
    // Each limit that is reached is asked about once; the answer is no.
    let mut ran = lab.run();
    let mut codes = [ran.codes("p1"), ran.codes("p2")].concat();
    for request in 1..=4 {
        if ran.code != 3 {
            break;
        }
        lab.json(&["deny", &format!("req-{request}")]).code(0);
        ran = lab.resume();
        codes.extend([ran.codes("p1"), ran.codes("p2")].concat());
    }
    let all: Vec<String> = codes.into_iter().map(|(_, code)| code).collect();
    let ok = all.iter().filter(|code| *code == "ok").count();
    assert!(ok <= 4, "four calls in all, parent and child together: {ran}");
    assert!(all.iter().any(|code| code == "over_budget"), "{ran}");
}

#[test]
fn a_process_over_its_time_asks_is_told_so_and_ends() {
    let head = format!("[budget]\nwall = \"1500ms\"\n\n{}", allow("read", "clock:*"));
    let lab = Lab::with(
        &head,
        &[
            expect("clock.now", json!({}), "ok"),
            call("clock.sleep", json!({ "ms": 1600 })),
            expect("clock.now", json!({}), "over_budget"),
        ],
    );
    lab.run().code(3);
    lab.json(&["deny", "req-1"]).code(0);
    lab.resume().code(0);
}

fn everything_delegable() -> String {
    [
        grant("allow", "read write", "fs:workspace/*", "delegable = 3"),
        deny("read", "fs:workspace/secret.txt"),
        grant("allow", "read", "clock:*", "delegable = 3"),
        grant("allow", "write", "process:spawn", "delegable = 3"),
    ]
    .concat()
}

#[test]
fn parent_and_child_talk_and_the_parent_reads_the_result() {
    let child = [
        save("message.receive", json!({ "subject": "job" }), "job"),
        expect(
            "message.send",
            json!({
                "to": "${job.messages.0.from}", "subject": "done", "body": "did ${job.messages.0.body}",
            }),
            "ok",
        ),
        save(
            "object.create",
            json!({ "type": "result", "payload": { "n": "${job.messages.0.payload.n}" } }),
            "o",
        ),
        json!({ "exit": { "result": "${o.id}", "message": "bye" } }),
    ];
    let lab = Lab::with(
        &everything_delegable(),
        &[
            spawn(&child, json!([]), "w"),
            expect(
                "message.send",
                json!({
                    "to": "${w.pid}", "subject": "job", "body": "wörk ✓", "payload": { "n": 41 },
                }),
                "ok",
            ),
            save("message.receive", json!({ "from": "${w.pid}", "subject": "done" }), "answer"),
            wait("w"),
            save("object.read", json!({ "id": "${ending.result}" }), "read"),
            write("answer.txt", "${answer.messages.0.body}: ${read.payload.n}"),
            expect("message.send", json!({ "to": "${w.pid}", "body": "late" }), "receiver_ended"),
        ],
    );
    lab.run().code(0);
    assert_eq!(lab.text("answer.txt"), "did wörk ✓: 41");
}

#[test]
fn authority_narrows_at_every_generation_and_denials_come_along() {
    let read_a = json!([{ "on": "fs:workspace/a/*", "rights": ["read"], "delegable": 1 },
                        { "on": "process:spawn", "rights": ["write"], "delegable": 1 }]);
    let grandchild = [
        expect("fs.read", json!({ "path": "a/in.txt" }), "ok"),
        expect("fs.write", json!({ "path": "a/in.txt", "text": "x" }), "denied"),
        expect("fs.read", json!({ "path": "b/in.txt" }), "denied"),
        expect("fs.read", json!({ "path": "a/secret.txt" }), "denied"),
        expect(
            "process.spawn",
            json!({ "goal": "x", "grants": [{ "on": "fs:workspace/a/in.txt", "rights": ["read"] }] }),
            "denied",
        ),
    ];
    let narrower = json!([{ "on": "fs:workspace/a/*", "rights": ["read"] },
                          { "on": "process:spawn", "rights": ["write"] }]);
    let child = [
        // Wider in its pattern, in its rights, in its depth; and what is not handed on.
        expect(
            "process.spawn",
            json!({ "goal": "x", "grants": [{ "on": "fs:workspace/*", "rights": ["read"] }] }),
            "denied",
        ),
        expect(
            "process.spawn",
            json!({ "goal": "x", "grants": [{ "on": "fs:workspace/a/in.txt", "rights": ["read", "write"] }] }),
            "denied",
        ),
        expect(
            "process.spawn",
            json!({ "goal": "x", "grants": [{ "on": "fs:workspace/a/*", "rights": ["read"], "delegable": 1 }] }),
            "denied",
        ),
        expect(
            "process.spawn",
            json!({ "goal": "x", "grants": [{ "on": "clock:now", "rights": ["read"] }] }),
            "denied",
        ),
        expect("fs.write", json!({ "path": "a/in.txt", "text": "x" }), "denied"),
        expect("fs.read", json!({ "path": "a/secret.txt" }), "denied"),
        spawn(&grandchild, narrower, "g"),
        wait("g"),
        json!({ "exit": { "message": "${ending.state}", "failed": false } }),
    ];
    let head = [
        grant("allow", "read write", "fs:workspace/*", "delegable = 3"),
        deny("read", "fs:workspace/a/secret.txt"),
        grant("allow", "write", "process:spawn", "delegable = 3"),
        grant("allow", "read", "clock:*", "delegable = 3"),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            spawn(&child, read_a, "c"),
            wait("c"),
            write("said.txt", "${ending.state} ${ending.message}"),
        ],
    );
    for name in ["a", "b"] {
        fs::create_dir(lab.ws(name)).unwrap();
        lab.put(&format!("{name}/in.txt"), "in");
        lab.put(&format!("{name}/secret.txt"), "no");
    }
    let ran = lab.run().code(0);
    assert_eq!(lab.text("said.txt"), "exited exited", "{ran}");
    for op in lab.steps() {
        assert_because(&op);
    }
}

#[test]
fn a_terminated_child_is_seen_as_such_and_stops() {
    let child = [sleep(50), sleep(20_000), write("late.txt", "late")];
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"] }, { "on": "clock:*", "rights": ["read"] }]);
    let lab = Lab::with(
        &everything_delegable(),
        &[
            spawn(&child, grants, "w"),
            sleep(100),
            expect("process.wait", json!({ "pid": "${w.pid}", "timeout_ms": 10 }), "timed_out"),
            expect(
                "process.signal",
                json!({ "pid": "${w.pid}", "signal": "terminate", "reason": "enough" }),
                "ok",
            ),
            wait("w"),
            write("end.txt", "${ending.state}"),
            expect(
                "process.signal",
                json!({ "pid": "${w.pid}", "signal": "terminate" }),
                "already_ended",
            ),
            expect("process.signal", json!({ "pid": "p1", "signal": "pause" }), "not_a_child"),
        ],
    );
    lab.run().code(0);
    assert_eq!(lab.text("end.txt"), "killed");
    assert!(!lab.ws("late.txt").exists());
}

#[test]
fn a_paused_child_does_nothing_until_it_goes_on() {
    let child = [sleep(30), write("one.txt", "1"), sleep(200), write("two.txt", "2")];
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"] }, { "on": "clock:*", "rights": ["read"] }]);
    let lab = Lab::with(
        &everything_delegable(),
        &[
            spawn(&child, grants, "w"),
            sleep(100),
            expect("process.signal", json!({ "pid": "${w.pid}", "signal": "pause" }), "ok"),
            sleep(300),
            expect("fs.stat", json!({ "path": "two.txt" }), "not_found"),
            expect("process.signal", json!({ "pid": "${w.pid}", "signal": "resume" }), "ok"),
            wait("w"),
            expect("fs.stat", json!({ "path": "two.txt" }), "ok"),
        ],
    );
    let ran = lab.run().code(0);
    assert_eq!(lab.text("two.txt"), "2");
    let writes = lab.steps().iter().filter(|op| op["call"] == "fs.write").count();
    assert_eq!(writes, 2, "{ran}");
}

#[test]
fn what_is_revoked_from_another_terminal_ends_a_childs_grant_on_its_next_call() {
    let child = [
        expect("fs.read", json!({ "path": "in.txt" }), "ok"),
        expect("message.receive", json!({ "subject": "go" }), "ok"),
        expect("fs.read", json!({ "path": "in.txt" }), "denied"),
        expect("fs.write", json!({ "path": "still.txt", "text": "x" }), "denied"),
    ];
    let grants = json!([{ "on": "fs:workspace/in.txt", "rights": ["read"] }]);
    let lab = Lab::with(
        &[everything_delegable(), allow("write", "human:owner")].concat(),
        &[
            spawn(&child, grants, "w"),
            save("human.ask", json!({ "question": "shall it go on?" }), "word"),
            expect(
                "message.send",
                json!({ "to": "${w.pid}", "subject": "go", "body": "go" }),
                "ok",
            ),
            wait("w"),
            json!({ "exit": { "message": "${ending.state}" } }),
        ],
    );
    lab.put("in.txt", "in");
    let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    let asked = live.until_asked();
    let caps = lab.json(&["cap", "ls", "p1"]).code(0).lines();
    let cap = caps.iter().find(|cap| cap.to_string().contains("fs:workspace/*")).unwrap();
    let revoked =
        lab.json(&["cap", "revoke", cap["id"].as_str().unwrap(), "--reason", "a test"]).code(0);
    assert_eq!(revoked.lines()[0]["revoked"].as_array().unwrap().len(), 2, "{revoked}");
    lab.json(&["answer", asked["id"].as_str().unwrap(), "yes"]).code(0);
    let ran = live.finish().code(0);
    assert!(ran.codes("p2").contains(&("fs.read".into(), "denied".into())), "{ran}");
    assert!(
        ran.steps()
            .iter()
            .any(|line| line["call"] == "process.wait" && line["reply"]["state"] == "exited"),
        "{ran}"
    );
}

#[test]
fn a_handed_on_limit_is_shared_by_all_who_got_it() {
    let child = [
        call("fs.write", json!({ "path": "c.txt", "text": "12345" })),
        call("fs.write", json!({ "path": "c.txt", "text": "12345" })),
    ];
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"], "when": { "text": { "sum_max": 12 } } }]);
    let head = [
        grant(
            "allow",
            "write",
            "fs:workspace/*",
            "delegable = 1\nwhen = { text = { sum_max = 12 } }",
        ),
        allow("write", "process:spawn"),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            spawn(&child, grants, "w"),
            wait("w"),
            expect("fs.write", json!({ "path": "p.txt", "text": "123" }), "denied"),
            write("p.txt", "12"),
        ],
    );
    lab.run().code(0);
    assert_eq!(lab.text("p.txt"), "12");
}
