//! `libos store`: payloads of finished work go, and everything that is evidence stays.
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

const MARKER: &str = "a-marker-that-is-nowhere-else";

/// Six payloads of 30 kB each, each with a marker of its own.
fn lab() -> Lab {
    let plan: Vec<Value> = (0..6)
        .map(|n| write(&format!("{n}.txt"), &format!("{MARKER}-{n} ").repeat(1000)))
        .collect();
    let lab = Lab::new();
    planned(&lab, &allow("read write", "fs:workspace/*"), &plan);
    lab.run().code(0);
    lab
}

/// Strings in JSON are payloads of their own, and a plan keeps its own: this one begins otherwise.
fn planned(lab: &Lab, head: &str, plan: &[Value]) {
    lab.raw_task(head, &format!("# a plan\n{}", jsonl(plan)));
}

fn stat(lab: &Lab) -> Value {
    lab.json(&["store", "stat"]).code(0).last()
}

/// How often the marker stands in the files of the store.
fn markers(lab: &Lab) -> usize {
    let count =
        |bytes: &[u8]| bytes.windows(MARKER.len()).filter(|w| *w == MARKER.as_bytes()).count();
    files(&lab.path("store")).values().map(|bytes| count(bytes)).sum()
}

#[test]
fn payloads_of_finished_work_go_and_every_proof_still_holds() {
    let lab = lab();
    let head = lab.head();
    let op = lab.steps()[0]["op"].as_str().unwrap().to_owned();
    let proof = lab.libos(&["audit", "prove", &op]).code(0).out;
    let before = stat(&lab);
    let listed = lab.audit();
    assert_eq!(before["head"], head);
    assert_eq!(before["dropped"], 0);
    assert!(before["payloads"].as_u64().unwrap() >= 6, "{before}");

    // Not old enough, and only looked at: nothing goes.
    let young = lab.json(&["store", "compact", "--older-than", "1d"]).code(0).last();
    assert_eq!(young["payloads"], 0);
    let dry = lab.json(&["store", "compact", "--older-than", "0s", "--dry-run"]).code(0).last();
    assert_eq!((&dry["payloads"], &dry["dry_run"]), (&json!(6), &json!(true)));
    assert_eq!(stat(&lab)["payloads"], before["payloads"]);
    let found = markers(&lab);

    let done = lab.json(&["store", "compact", "--older-than", "0s"]).code(0).last();
    assert_eq!((&done["payloads"], &done["bytes"]), (&json!(6), &dry["bytes"]));
    let after = stat(&lab);
    assert_eq!(after["dropped"], 6);
    assert_eq!(after["unreferenced_bytes"], 0);
    assert_eq!(markers(&lab), found - 6000, "the plan stays, what it wrote is gone");
    let freed =
        before["segment_bytes"].as_u64().unwrap() - after["segment_bytes"].as_u64().unwrap();
    assert!(freed > done["bytes"].as_u64().unwrap(), "{before} {after}");

    // Hashes and decisions stay, and so does what was proved before.
    lab.verify(Some(&head)).code(0);
    assert_eq!(lab.audit()[..listed.len()], listed);
    fs::write(lab.path("proof.jsonl"), proof).unwrap();
    lab.json(&["audit", "verify", "--proof", "proof.jsonl", "--head", &head]).code(0);
    lab.json(&["audit", "export", "-o", "trail.jsonl"]).code(0);
    lab.json(&["audit", "verify", "--export", "trail.jsonl", "--head", &head]).code(0);
    // The act is in the record, under the operator's name.
    let acts: Vec<Value> =
        lab.audit().into_iter().filter(|op| op["call"] == "audit.compact").collect();
    assert_eq!(acts.len(), 2);
    assert_eq!(acts[1]["caller"], json!({ "host": "owner" }));
    assert_eq!(acts[1]["ended"], "ok");
    // A second time there is nothing to do, and the store goes on.
    let again = lab.json(&["store", "compact", "--older-than", "0s"]).code(0).last();
    assert_eq!(again["payloads"], 0);
    lab.run().code(0);
    lab.verify(Some(&head)).code(0);
}

#[test]
fn what_waits_keeps_its_payloads_and_goes_on() {
    let text = format!("{MARKER} ").repeat(1000);
    let plan = [
        write("a.txt", &text),
        write("b.txt", &format!("another {MARKER} ").repeat(1000)),
        save("fs.read", json!({ "path": "a.txt" }), "a"),
        expect("fs.write", json!({ "path": "asked.txt", "text": "${a.text}" }), "ok"),
    ];
    let head = [allow("read write", "fs:workspace/*"), ask("write", "fs:workspace/asked.txt")];
    let lab = Lab::new();
    planned(&lab, &head.concat(), &plan);
    lab.run().code(3);
    let compact = ["store", "compact", "--older-than", "0s"];
    assert_eq!(lab.json(&compact).code(0).last()["payloads"], 0);
    let request = lab.inbox()[0]["id"].as_str().unwrap().to_owned();
    lab.json(&["approve", &request]).code(0);
    lab.resume().code(0);
    assert_eq!(lab.text("asked.txt"), text);
    assert_ne!(lab.json(&compact).code(0).last()["payloads"], 0);
    // What the request showed the human stays.
    let inbox = lab.json(&["inbox", "--all"]).code(0);
    assert!(inbox.out.contains(MARKER), "{inbox}");
    lab.head();
}

/// A runtime that is running does it as well, for who asks it from another terminal.
#[test]
fn a_running_runtime_compacts_its_store() {
    let lab = lab();
    lab.task(&allow("read", "clock:*"), &[sleep(20_000)]);
    let mut live = lab.start(&["--json", "run", "task.toml"]);
    while !lab.path("store/control.sock").exists() {
        assert!(!live.has_ended());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let done = lab.json(&["store", "compact", "--older-than", "0s"]).code(0).last();
    assert_eq!(done["payloads"], 6);
    assert!(!live.has_ended());
    live.kill();
    lab.head();
    assert_eq!(stat(&lab)["dropped"], 6);
}
