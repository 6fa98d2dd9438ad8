//! Where it could break: empty plans, odd texts, large payloads, a store inside the workspace.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::*;

#[test]
fn a_plan_without_steps_ends_well() {
    for plan in ["", "\n\n", "# only\n// comments\n", "   # indented\n"] {
        let lab = Lab::new();
        lab.raw_task("", plan);
        lab.run().code(0);
        assert!(lab.steps().is_empty());
    }
}

#[test]
fn resuming_with_nothing_to_do_says_so() {
    let lab = Lab::with("", &[call("process.cwd", json!({}))]);
    lab.run().code(0);
    let head = lab.head();
    for _ in 0..2 {
        assert_eq!(lab.resume().code(0).last()["done"], true);
    }
    lab.verify(Some(&head)).code(0);
    lab.libos(&["init"]).code(2);
}

#[test]
fn large_and_odd_texts_pass_unchanged_through_files_and_objects() {
    let head = [allow("read write", "fs:workspace/*")].concat();
    let odd =
        "\u{feff}naïve 你好 🦀 \u{202e}rtl\u{202c} \0 \r\n tab\t \"quotes\" $${not} \\ é\u{301}";
    let sizes = [4095, 4096, 4097, 70_000, 900_000];
    for size in sizes {
        let unit = "0123456789abcdé\n";
        let mut text = unit.repeat(size / unit.len());
        text.push_str(&"x".repeat(size - text.len()));
        assert_eq!(text.len(), size);
        let lab = Lab::with(
            &head,
            &[
                write("a.txt", &text),
                save("fs.read", json!({ "path": "a.txt", "max_bytes": 1_048_576 }), "a"),
                save(
                    "object.create",
                    json!({ "type": "t", "payload": { "text": "${a.text}" } }),
                    "o",
                ),
                save("object.read", json!({ "id": "${o.id}" }), "r"),
                write("b.txt", "${r.payload.text}"),
            ],
        );
        let ran = lab.run();
        assert_eq!(ran.code, 0, "{size}: {}", &ran.out[ran.out.len().saturating_sub(400)..]);
        assert_eq!(fs::read(lab.ws("b.txt")).unwrap(), text.as_bytes(), "{size}");
    }
    let most = "é".repeat(1_048_576 / 2);
    let lab = Lab::with(
        &head,
        &[
            write("a.txt", &most),
            save("fs.read", json!({ "path": "a.txt", "max_bytes": 1_048_576 }), "a"),
            write("b.txt", "${a.text}"),
            save("fs.read", json!({ "path": "a.txt", "max_bytes": 5 }), "a"),
            write("c.txt", "${a.text} ${a.truncated}"),
        ],
    );
    lab.run().code(0);
    assert_eq!(fs::read(lab.ws("b.txt")).unwrap(), most.as_bytes());
    assert_eq!(lab.text("c.txt"), "éé true", "cut at a character");
    let lab = Lab::with(
        &head,
        &[
            write("ö 你好 🦀.txt", odd),
            save("fs.read", json!({ "path": "ö 你好 🦀.txt" }), "a"),
            save("object.create", json!({ "type": "t", "payload": ["${a.text}"] }), "o"),
            save("object.read", json!({ "id": "${o.id}" }), "r"),
            write("b.txt", "${r.payload.0}"),
        ],
    );
    lab.run().code(0);
    assert_eq!(lab.text("b.txt"), odd.replace("$${", "${"));
}

#[test]
fn too_much_is_refused_and_not_half_done() {
    let text = "y".repeat(1_048_577);
    let lab = Lab::with(
        &allow("read write", "fs:workspace/*"),
        &[
            expect("fs.write", json!({ "path": "a.txt", "text": text }), "too_large"),
            expect("fs.stat", json!({ "path": "a.txt" }), "not_found"),
        ],
    );
    lab.run().code(0);
}

#[test]
fn an_approval_of_a_large_text_is_bound_to_all_of_it() {
    let head = ask("write", "fs:workspace/*");
    let (one, two) = (format!("{}a", "z".repeat(100_000)), format!("{}b", "z".repeat(100_000)));
    let lab = Lab::with(&head, &[write("a.txt", &one), write("a.txt", &two), write("a.txt", &one)]);
    lab.run().code(3);
    let first = lab.inbox().remove(0);
    assert_eq!(first["ask"]["approval"]["args"]["text"], one, "the card shows all of it");
    lab.json(&["approve", "req-1", "--scope", "process"]).code(0);
    lab.resume().code(3);
    assert_eq!(lab.text("a.txt"), one);
    let second = lab.inbox().remove(0);
    assert_ne!(first["ask"]["approval"]["digest"], second["ask"]["approval"]["digest"]);
    lab.json(&["approve", "req-2"]).code(0);
    lab.resume().code(0);
    assert_eq!(lab.text("a.txt"), one, "the third write is the first one again");
}

#[test]
fn limits_count_the_bytes_of_a_large_text() {
    let head = grant("allow", "write", "fs:workspace/*", "when = { text = { sum_max = 10000 } }");
    let lab = Lab::with(
        &head,
        &[
            write("a.txt", &"x".repeat(6_000)),
            expect("fs.write", json!({ "path": "a.txt", "text": "x".repeat(6_000) }), "denied"),
            write("a.txt", &"y".repeat(4_000)),
        ],
    );
    lab.run().code(0);
    let head = grant("allow", "write", "fs:workspace/*", "when = { text = { max = 5000 } }");
    let lab = Lab::with(
        &head,
        &[
            expect("fs.write", json!({ "path": "a.txt", "text": "x".repeat(6_000) }), "denied"),
            write("a.txt", &"y".repeat(4_999)),
        ],
    );
    lab.run().code(0);
    // What cannot be seen cannot be said to fit.
    let head = grant("allow", "write", "fs:workspace/*", "when = { text = { matches = \"x*\" } }");
    let lab = Lab::with(
        &head,
        &[
            write("a.txt", "xxx"),
            expect("fs.write", json!({ "path": "a.txt", "text": "xxy" }), "denied"),
            call("fs.write", json!({ "path": "a.txt", "text": format!("{}y", "x".repeat(6_000)) })),
            expect(
                "fs.write",
                json!({ "path": "a.txt", "text": format!("{}y", "x".repeat(6_000)) }),
                "denied",
            ),
        ],
    );
    lab.run().code(0);
}

#[test]
fn a_call_that_waits_gives_up_in_time_and_a_task_of_waits_does_not_hang() {
    let lab = Lab::with(
        &allow("read", "clock:*"),
        &[
            expect("message.receive", json!({ "timeout_ms": 0 }), "timed_out"),
            expect("message.receive", json!({ "timeout_ms": "60ms" }), "timed_out"),
            save("clock.sleep", json!({ "ms": 1 }), "s"),
            expect("process.wait", json!({ "pid": "p1" }), "not_a_child"),
            expect("process.wait", json!({ "pid": "p99" }), "not_a_child"),
        ],
    );
    lab.run().code(0);
    // Nobody will ever write to it: it says so and stays resumable.
    let lab = Lab::with("", &[call("message.receive", json!({}))]);
    lab.run().code(3);
    let ran = lab.libos(&["resume"]).code(3);
    assert!(ran.err.contains("a message"), "{ran}");
}

#[test]
fn a_sleep_that_a_stop_interrupts_is_over_at_its_time() {
    const MS: u64 = 2_000;
    let lab = Lab::with(
        &[allow("read", "clock:*"), allow("write", "fs:workspace/*")].concat(),
        &[sleep(MS), write("a.txt", "awake")],
    );
    let live = lab.start(&["--json", "run", "task.toml"]);
    let deadline = Instant::now() + DEADLINE;
    let sleeps = || {
        lab.path("store/journal.db").exists()
            && lab.steps().iter().any(|op| op["call"] == "clock.sleep")
    };
    while !sleeps() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    live.kill();
    thread::sleep(Duration::from_millis(MS));
    let begun = Instant::now();
    lab.resume().code(0);
    assert!(begun.elapsed() < Duration::from_millis(MS), "it slept again: {:?}", begun.elapsed());
    assert_eq!(lab.text("a.txt"), "awake");
}

#[test]
fn an_agent_cannot_reach_the_store_that_lies_in_its_workspace() {
    let lab = Lab::new();
    lab.task(
        &allow("read write delete", "fs:workspace/*"),
        &[
            call("fs.write", json!({ "path": ".libos/journal.db", "text": "forged" })),
            call("fs.write", json!({ "path": ".libos/new.txt", "text": "forged" })),
            call("fs.delete", json!({ "path": ".libos/control.sock" })),
            call("fs.delete", json!({ "path": ".libos/journal.db" })),
            call("fs.read", json!({ "path": ".libos/journal.db" })),
            call("fs.stat", json!({ "path": "sub/../.libos/journal.db" })),
            call("fs.mkdir", json!({ "path": ".libos/new", "parents": true })),
            call("fs.list", json!({ "path": ".libos" })),
            call("fs.delete", json!({ "path": ".libos" })),
        ],
    );
    std::os::unix::fs::symlink("ws/.libos", lab.path("store")).unwrap();
    fs::create_dir(lab.ws(".libos")).unwrap();
    let ran = lab.run();
    let verified = lab.verify(None);
    assert_eq!(ran.steps().len(), 9);
    assert_eq!(verified.code, 0, "the store is whole: {verified}\n{ran}");
    assert!(!lab.ws(".libos/new.txt").exists(), "{ran}");
    assert!(ran.steps().iter().all(|step| step["outcome"] != "ok"), "{ran}");
}

#[test]
fn a_long_plan_goes_over_many_quanta_in_order() {
    let head =
        ["[budget]\nsyscalls = 1000\n\n".into(), allow("read write", "fs:workspace/*")].concat();
    let mut plan = vec![save("object.create", json!({ "type": "n", "payload": 0 }), "o")];
    for n in 1..=200 {
        plan.push(save(
            "object.update",
            json!({ "id": "${o.id}", "payload": n, "expected_version": n }),
            "u",
        ));
    }
    plan.push(save("object.read", json!({ "id": "${o.id}" }), "r"));
    plan.push(write("n.txt", "${r.payload} ${r.version}"));
    let lab = Lab::with(&head, &plan);
    lab.run().code(0);
    assert_eq!(lab.text("n.txt"), "200 201");
    let ps = lab.json(&["ps"]).code(0).lines();
    assert_eq!(ps[0]["usage"]["syscalls"], 203, "calls are counted: {}", ps[0]);
}

#[test]
fn an_operator_pauses_and_kills_what_runs() {
    let lab = Lab::with(
        &[allow("read", "clock:*"), allow("write", "human:owner")].concat(),
        &[call("human.ask", json!({ "question": "still there?" })), sleep(10)],
    );
    lab.run().code(3);
    let expired = lab.json(&["approve", "req-1", "--until", "1h"]).code(2);
    assert_eq!(expired.lines()[0]["error"]["code"], "wrong_answer");
    lab.json(&["answer", "req-1", ""]).code(2);
    lab.json(&["answer", "req-1", "yes"]).code(0);
    lab.resume().code(0);
    let late = lab.json(&["answer", "req-1", "again"]).code(1);
    assert_eq!(late.lines()[0]["error"]["code"], "already_decided");
    let missing = lab.json(&["answer", "req-9", "x"]).code(1);
    assert_eq!(missing.lines()[0]["error"]["code"], "not_found");
}
