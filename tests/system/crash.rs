//! `kill -9` at any moment, `libos resume`, and nothing is lost, done twice or forgotten.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::*;

/// Writes of the plan, those of the child and the tool included.
const WRITES: usize = 9;

/// Writes a file that must not be there yet: doing it twice would show.
fn create(path: &str, text: &str) -> Value {
    expect("fs.write", json!({ "path": path, "text": text, "overwrite": false }), "ok")
}

fn lab() -> Lab {
    let child = [
        create("child-1.txt", "1"),
        sleep(30),
        expect("message.send", json!({ "to": "p1", "subject": "half", "body": "half way" }), "ok"),
        sleep(30),
        create("child-2.txt", "2"),
        save("object.create", json!({ "type": "child", "payload": { "by": "child" } }), "o"),
        json!({ "exit": { "result": "${o.id}" } }),
    ];
    let grants = json!([
        { "on": "fs:workspace/*", "rights": ["write"] },
        { "on": "clock:*", "rights": ["read"] },
    ]);
    let head = [
        grant("allow", "read write delete", "fs:workspace/*", "delegable = 1"),
        ask("write", "fs:workspace/asked.txt"),
        grant("allow", "write", "fs:workspace/once.txt", "uses = 1"),
        grant("allow", "read", "clock:*", "delegable = 1"),
        allow("write", "process:spawn"),
    ]
    .concat();
    let big = "large ".repeat(2_000);
    let plan = [
        create("one.txt", "1"),
        sleep(30),
        save("fs.read", json!({ "path": "in.txt" }), "in"),
        save(
            "object.create",
            json!({ "type": "note", "payload": { "text": "${in.text}" } }),
            "note",
        ),
        spawn(&child, grants, "w"),
        sleep(30),
        create("big.txt", &big),
        expect(
            "object.update",
            json!({
                "id": "${note.id}", "payload": { "text": "new", "big": big }, "expected_version": 1,
            }),
            "ok",
        ),
        expect("fs.mkdir", json!({ "path": "made" }), "ok"),
        save("message.receive", json!({ "subject": "half" }), "half"),
        create("half.txt", "${half.messages.0.body}"),
        expect("fs.delete", json!({ "path": "doomed.txt" }), "ok"),
        json!({ "tool": "write_file", "args": { "path": "tool.txt", "text": "by a tool" }, "expect": "ok" }),
        sleep(30),
        create("asked.txt", "with a human's word"),
        sleep(30),
        wait("w"),
        save("object.read", json!({ "id": "${ending.result}" }), "theirs"),
        create("two.txt", "${theirs.payload.by}"),
        create("once.txt", "once"),
        expect(
            "object.create",
            json!({ "type": "end", "payload": "${half.messages.0.body}" }),
            "ok",
        ),
    ];
    let lab = Lab::with(&head, &plan);
    lab.put("in.txt", "read me");
    lab.put("doomed.txt", "gone soon");
    lab
}

/// What counts in the end: files, objects, and what the audit tells of every step.
#[derive(Debug, PartialEq)]
struct End {
    files: BTreeMap<String, Vec<u8>>,
    objects: Vec<(String, Value, Value)>,
    steps: Vec<String>,
    processes: Vec<(Value, Value)>,
}

fn end(lab: &Lab) -> End {
    let mut objects: Vec<(String, Value, Value)> = lab
        .json(&["object", "ls"])
        .code(0)
        .lines()
        .into_iter()
        .map(|object| {
            let shown = lab.json(&["object", "show", object["id"].as_str().unwrap()]).code(0);
            let payload = shown.lines()[0]["payload"].clone();
            (object["type"].to_string(), payload, object["version"].clone())
        })
        .collect();
    objects.sort_by(|a, b| a.0.cmp(&b.0));
    let mut steps: Vec<String> = lab
        .steps()
        .iter()
        .map(|op| {
            let verdicts: Vec<String> = op["decisions"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|decision| decision["verdict"].as_object()?.keys().next().cloned())
                .collect();
            format!(
                "{} {} {} {} {} {}",
                op["caller"],
                op["step"]["index"],
                op["step"]["parent"].is_null(),
                op["call"],
                op["ended"],
                verdicts.join("+"),
            )
        })
        .collect();
    steps.sort();
    let processes = lab.json(&["ps"]).code(0).lines();
    let processes = processes.into_iter().map(|p| (p["pid"].clone(), p["state"].clone())).collect();
    End { files: files(&lab.ws("")), objects, steps, processes }
}

/// Every operation settled once, and every write of the plan was made once.
fn assert_once(lab: &Lab) {
    lab.json(&["audit", "export", "--output", "trail.jsonl"]).code(0);
    let mut settled: BTreeMap<String, usize> = BTreeMap::new();
    let mut dispatched: BTreeMap<String, usize> = BTreeMap::new();
    let mut writes = Vec::new();
    for line in fs::read_to_string(lab.path("trail.jsonl")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        collect(&line, &mut |event| {
            let op = event["op"].as_str().unwrap_or_default().to_owned();
            match event["type"].as_str() {
                Some("op.settled") => *settled.entry(op).or_default() += 1,
                Some("op.dispatched") => *dispatched.entry(op).or_default() += 1,
                Some("op.admitted") if event["call"] == "fs.write" => writes.push(op),
                _ => {}
            }
        });
    }
    assert_eq!(writes.len(), WRITES, "{writes:?}");
    for op in &writes {
        assert_eq!(dispatched.get(op), Some(&1), "{op} was dispatched once");
    }
    for (op, times) in &settled {
        assert_eq!(*times, 1, "{op} settled once");
    }
    let ok = lab.steps().into_iter().filter(|op| op["call"] == "fs.write" && op["ended"] == "ok");
    assert_eq!(ok.count(), WRITES);
}

/// Every event in a line of an export.
fn collect(value: &Value, each: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(fields) if fields.get("type").is_some_and(Value::is_string) => each(value),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, each)),
        Value::Array(items) => items.iter().for_each(|value| collect(value, each)),
        _ => {}
    }
}

/// A run without kills: its end, and how long its first part and all of it take.
fn undisturbed() -> (End, Duration) {
    let lab = lab();
    let start = Instant::now();
    lab.run().code(3);
    let took = start.elapsed();
    lab.json(&["approve", "req-1"]).code(0);
    lab.resume().code(0);
    assert_once(&lab);
    (end(&lab), took)
}

/// A lab that is killed now and then, with what has to stay true.
struct Killed {
    lab: Lab,
    heads: Vec<String>,
    pending: Option<Value>,
}

impl Killed {
    /// Starts or goes on, and kills after `delay`; tells whether it had ended before.
    fn kill_after(&mut self, delay: Duration) -> Option<i32> {
        let begun = self.lab.path("store/journal.db").exists()
            && !self.lab.json(&["ps"]).code(0).lines().is_empty();
        let args: &[&str] =
            if begun { &["--json", "resume"] } else { &["--json", "run", "task.toml"] };
        let mut live = self.lab.start(args);
        let until = Instant::now() + delay;
        while Instant::now() < until && !live.has_ended() {
            thread::sleep(Duration::from_millis(1));
        }
        let ended = live.has_ended();
        let ran = live.kill();
        if let Some(asked) = ran.lines().iter().find(|line| line["request"].is_object()) {
            self.pending = Some(asked["request"]["ask"]["approval"]["digest"].clone());
        }
        self.check();
        ended.then_some(ran.code)
    }

    fn check(&mut self) {
        if !self.lab.path("store/journal.db").exists() {
            assert!(self.heads.is_empty(), "the store is gone");
            return;
        }
        for head in &self.heads {
            let ran = self.lab.verify(Some(head));
            assert_eq!(ran.code, 0, "against the head {head} of before: {ran}");
        }
        self.heads.push(self.lab.head());
        if let Some(digest) = &self.pending {
            let inbox = self.lab.inbox();
            let waits = inbox.iter().any(|r| r["ask"]["approval"]["digest"] == *digest);
            assert!(waits, "the approval that was asked for waits: {inbox:?}");
        }
    }
}

fn storm(seed: u64, rounds: usize, kills: usize, early: bool) {
    let (wanted, took) = undisturbed();
    let mut random = Seeded(seed);
    for round in 0..rounds {
        let mut killed = Killed { lab: lab(), heads: Vec::new(), pending: None };
        for n in 0..kills {
            let most = if early { Duration::from_millis(25) } else { took };
            let delay = most * u32::try_from(random.below(1000)).unwrap() / 1000;
            let code = killed.kill_after(delay);
            assert!(matches!(code, None | Some(3)), "round {round}, kill {n}: exit {code:?}");
        }
        let lab = &killed.lab;
        let ran = if killed.heads.is_empty() || lab.json(&["ps"]).lines().is_empty() {
            lab.run()
        } else {
            lab.resume()
        };
        assert_eq!(ran.code, 3, "round {round}: {ran}");
        let request = lab.inbox().remove(0);
        lab.json(&["approve", request["id"].as_str().unwrap()]).code(0);
        killed.pending = None;
        // Once more, after the approval.
        let delay = Duration::from_millis(random.below(60));
        let code = killed.kill_after(delay);
        assert!(matches!(code, None | Some(0)), "round {round}: exit {code:?}");
        if code.is_none() {
            let ran = killed.lab.resume();
            assert_eq!(ran.code, 0, "round {round}: {ran}");
        }
        killed.check();
        assert_once(&killed.lab);
        assert_eq!(end(&killed.lab), wanted, "round {round}");
        let ran = killed.lab.resume();
        assert_eq!(ran.code, 0, "resumed once more, after its end: {ran}");
        assert_eq!(end(&killed.lab), wanted, "round {round}, resumed after its end");
    }
}

#[test]
fn killed_at_ten_moments_it_ends_as_if_nothing_had_happened() {
    storm(0x5eed_0001, 10, 1, false);
}

#[test]
fn killed_again_and_again_it_ends_as_if_nothing_had_happened() {
    storm(0x5eed_0002, 4, 4, false);
}

#[test]
fn killed_while_it_starts_it_ends_as_if_nothing_had_happened() {
    storm(0x5eed_0003, 3, 6, true);
}

/// A program that may have run is never run again, and everyone is told that nobody knows.
#[test]
fn a_program_under_way_at_the_kill_is_unknown_and_not_repeated() {
    let head = [allow("execute", "shell:sh"), allow("write", "fs:workspace/*")].concat();
    let program = "echo run >> ran.txt; sleep 5";
    let lab = Lab::with(
        &head,
        &[
            json!({ "call": "shell.run", "args": { "argv": ["sh", "-c", program] }, "expect": "unknown_outcome" }),
            write("after.txt", "went on"),
        ],
    );
    let live = lab.start(&["--json", "run", "task.toml"]);
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until && !lab.ws("ran.txt").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(20));
    live.kill();
    let ran = lab.resume();
    let log = fs::read_to_string(lab.ws("ran.txt")).unwrap_or_default();
    assert_eq!(ran.code, 0, "{ran}\nran.txt: {log}");
    assert_eq!(log, "run\n", "it was started once");
    assert_eq!(lab.text("after.txt"), "went on");
    let op = lab.steps().remove(0);
    assert_eq!(op["ended"], "unknown_outcome");
}

/// A one-shot grant whose use was under way at the kill is spent, not given back twice.
#[test]
fn a_spent_use_stays_spent_over_kills() {
    let head =
        [grant("allow", "write", "fs:workspace/once.txt", "uses = 1"), allow("read", "clock:*")]
            .concat();
    let mut random = Seeded(7);
    for _ in 0..4 {
        let lab = Lab::with(
            &head,
            &[
                write("once.txt", "1"),
                sleep(30),
                expect("fs.write", json!({ "path": "once.txt", "text": "2" }), "denied"),
                sleep(30),
            ],
        );
        let live = lab.start(&["--json", "run", "task.toml"]);
        thread::sleep(Duration::from_millis(15 + random.below(60)));
        live.kill();
        let ran =
            match lab.path("store/journal.db").exists() && !lab.json(&["ps"]).lines().is_empty() {
                true => lab.resume(),
                false => lab.run(),
            };
        assert_eq!(ran.code, 0, "{ran}");
        assert_eq!(lab.text("once.txt"), "1");
    }
}
