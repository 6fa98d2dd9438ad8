//! Looking on: logs, events, why and top tell what the journal and the runtime hold.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use serde_json::{Value, json};
use support::*;

#[test]
fn the_log_of_a_process_tells_its_story() {
    let lab = Lab::waiting();
    lab.run().code(3);
    lab.json(&["msg", "p1", "first"]).code(0);
    lab.resume().code(3);
    lab.json(&["signal", "p1", "pause"]).code(0);
    lab.json(&["signal", "p1", "resume"]).code(0);
    lab.json(&["exit", "p1", "--message", "enough", "--result", "obj-1.1"]).code(0);

    let lines = lab.json(&["logs", "p1"]).code(0).lines();
    let short = |line: &Value| {
        let event = line["event"].as_str().unwrap();
        match event {
            "step" => {
                format!("{} {} {}", line["step"].as_str().unwrap(), line["call"], line["outcome"])
            }
            _ => event.to_owned(),
        }
    };
    let story: Vec<String> = lines.iter().map(short).collect();
    assert_eq!(
        story.join("\n").replace('"', ""),
        "made\n1 event.subscribe ok\n2 object.create ok\nsent\n3 message.receive ok\n\
         4.1 fs.write ok\n4 tool.call ok\nheld\nreleased\nended\n5 message.receive cancelled"
    );
    let seq = |line: &Value| line["seq"].as_str().unwrap()[1..].parse().unwrap();
    let seqs: Vec<u64> = lines.iter().map(seq).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    assert_eq!(lines[3]["body"], "first");
    let ended = lines.iter().find(|line| line["event"] == "ended").unwrap();
    assert_eq!((&ended["message"], &ended["result"]), (&json!("enough"), &json!("obj-1.1")));

    let said = lab.told(&["logs", "p1"]);
    assert_eq!(said.lines().count(), lines.len());
    for words in
        ["a message of the host: first", "4.1 ok      fs.write", "is held", "exited: enough"]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    let (code, message) = lab.failure(&["logs", "p7"], 1);
    assert_eq!((code.as_str(), message.contains("`libos ps`")), ("not_found", true));
}

#[test]
fn a_log_that_is_followed_ends_with_its_process() {
    let lab = Lab::waiting();
    lab.run().code(3);
    let mut follower = lab.start(&["--json", "logs", "p1", "-f"]);
    follower.until(|line| line["call"] == "object.create");
    let events = lab.start(&["--json", "events", "p1", "--follow"]);
    lab.json(&["msg", "p1", "first"]).code(0);
    follower.until(|line| line["event"] == "sent" && line["body"] == "first");
    let mut live = lab.start(&["--json", "resume", "--wait"]);
    follower.until(|line| line["call"] == "tool.call");
    lab.json(&["msg", "p1", "second"]).code(0);
    live.until(|line| line["done"] == true);
    live.finish().code(0);
    let ran = follower.finish().code(0);
    assert_eq!(ran.last()["event"], "ended", "{ran}");
    let told = events.finish().code(0).lines();
    let numbers: Vec<u64> = told.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2], "one event for each message");
}

#[test]
fn events_are_those_not_taken_unless_all_are_asked_for() {
    let kinds = json!({ "kinds": ["message_came"] });
    let lab = Lab::with(
        "",
        &[
            expect("event.subscribe", kinds, "ok"),
            expect("event.wait", json!({}), "ok"),
            call("message.receive", json!({ "subject": "never" })),
        ],
    );
    lab.run().code(3);
    lab.json(&["msg", "p1", "one"]).code(0);
    lab.resume().code(3);
    lab.json(&["msg", "p1", "two"]).code(0);
    let numbers = |args: &[&str]| -> Vec<u64> {
        let lines = lab.json(args).code(0).lines();
        lines.iter().map(|event| event["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&["events", "p1"]), [2]);
    assert_eq!(numbers(&["events", "p1", "--all"]), [1, 2]);
    let said = lab.told(&["events", "p1"]);
    assert!(said.contains("#2 ") && said.contains("message_came"), "{said}");
    assert!(said.contains("told of 2 events and has taken 1"), "{said}");
    lab.failure(&["events", "p9"], 1);
}

/// The words of a tree, node by node, with how deep each is.
fn flat(node: &Value, depth: usize, out: &mut Vec<(usize, String, String)>) {
    let text = |field: &str| node[field].as_str().unwrap_or_default().to_owned();
    out.push((depth, text("what"), text("says")));
    for below in node["under"].as_array().into_iter().flatten() {
        flat(below, depth + 1, out);
    }
}

fn whats(tree: &Value) -> Vec<String> {
    tree["under"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap().into()).collect()
}

#[test]
fn why_answers_who_allowed_a_call_down_to_the_host_and_the_human() {
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"] }]);
    let by_tool = json!({ "path": "a.txt", "text": "x" });
    let child =
        [json!({ "tool": "write_file", "expect": "ok", "args": by_tool }), write("b.txt", "y")];
    let head = [
        grant("allow", "write", "fs:workspace/*", "delegable = 1"),
        ask("write", "fs:workspace/a.txt"),
        allow("write", "process:spawn"),
    ]
    .concat();
    let lab = Lab::with(&head, &[spawn(&child, grants, "the-child"), wait("the-child")]);
    lab.run().code(3);
    let asked = lab.inbox().remove(0);
    let op = asked["op"].as_str().unwrap();
    let open = lab.value(&["why", op]);
    assert_eq!(whats(&open), ["submission", "decision", "outcome"]);
    assert!(open.to_string().contains("nobody has answered req-1"), "{open}");

    lab.json(&["--as", "ann", "approve", "req-1"]).code(0);
    lab.resume().code(0);
    let tree = lab.value(&["why", op]);
    assert_eq!(whats(&tree), ["submission", "decision", "decision", "intent", "outcome"]);
    let mut nodes = Vec::new();
    flat(&tree, 0, &mut nodes);
    let says = |what: &str, words: &str| {
        nodes.iter().any(|(_, is, says)| is == what && says.contains(words))
    };
    assert!(says("submission", "called by p2 (the-child) as call 1 under op-"), "{nodes:#?}");
    assert!(says("request", "req-1 was put to owner: may fs.write be made?"), "{nodes:#?}");
    assert!(says("answer", "approved (once) by `ann`"), "{nodes:#?}");
    assert!(says("capability", "ask write on fs:workspace/a.txt, held by p2"), "{nodes:#?}");
    assert!(says("lineage", "cut from cap-2"), "{nodes:#?}");
    assert!(
        says("origin", "granted by the host in op-1 (process.launch by host:owner)"),
        "{nodes:#?}"
    );
    // Lineage lies below what was cut from it.
    let depth = |words: &str| nodes.iter().find(|(.., says)| says.contains(words)).unwrap().0;
    assert!(depth("granted by the host") > depth("held by p2"));

    // The other write needed nobody, and was handed on by the parent.
    let plain = lab.steps().into_iter().rfind(|op| op["call"] == "fs.write").unwrap();
    let said = lab.told(&["why", plain["op"].as_str().unwrap()]);
    for words in [
        "called by p2 (the-child) as step 2 at ",
        "allow write on fs:workspace/*, held by p2",
        "handed on by p1 in op-2 (process.spawn by p1)",
        "cut from cap-1",
        "granted by the host in op-1 (process.launch by host:owner)",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }

    let said = lab.told(&["why", op]);
    assert_eq!(said.lines().count(), nodes.len(), "one line a node:\n{said}");
    assert!(said.contains("├─ ") && said.contains("└─ it ended well"), "{said}");

    // The tool's call has this one under it.
    let above = lab.steps().into_iter().find(|op| op["call"] == "tool.call").unwrap();
    let above = lab.value(&["why", above["op"].as_str().unwrap()]);
    let nested =
        above["under"].as_array().unwrap().iter().find(|it| it["what"] == "nested").unwrap();
    assert_eq!(nested["under"][0]["id"], op);

    // The request and the capability that it made tell the same.
    let request = lab.value(&["why", "req-1"]);
    let mut of_request = Vec::new();
    flat(&request, 0, &mut of_request);
    let made = of_request.iter().find(|(_, what, _)| what == "uses").unwrap();
    assert!(made.2.contains("has let one call through"), "{of_request:#?}");
    assert!(of_request.iter().any(|(_, what, says)| what == "asker" && says.starts_with(op)));
    let cap = made.2.split(' ').next().unwrap();
    let cap = lab.value(&["why", cap]);
    assert!(cap.to_string().contains("approved (once) by `ann`"), "{cap}");
    for none in ["op-999", "req-9", "cap-99"] {
        let (code, message) = lab.failure(&["why", none], 1);
        assert_eq!((code.as_str(), message.contains("libos ")), ("not_found", true));
    }
    lab.libos(&["why", "p1"]).code(2);
}

#[test]
fn why_tells_of_denials_revocations_and_raised_limits() {
    let head = [
        allow("write", "fs:workspace/*"),
        deny("write", "fs:workspace/no.txt"),
        "[budget]\nsyscalls = 2\n".to_owned(),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            expect("fs.write", json!({ "path": "no.txt", "text": "x" }), "denied"),
            write("a.txt", "x"),
            write("b.txt", "x"),
            call("message.receive", json!({})),
        ],
    );
    lab.run().code(3);
    let denied = lab.steps()[0]["op"].as_str().unwrap().to_owned();
    let said = lab.told(&["why", &denied]);
    assert!(said.contains("denied: ") && said.contains("cap-2 denies it"), "{said}");
    let waits = lab.steps()[2]["op"].as_str().unwrap().to_owned();
    lab.json(&["extend", "req-1", "--by", "1"]).code(0);
    lab.resume().code(3);
    let said = lab.told(&["why", &waits]);
    assert!(said.contains("extended (by 1) by `owner`"), "{said}");
    lab.json(&["cap", "revoke", "cap-1", "--reason", "a test"]).code(0);
    let said = lab.told(&["why", "cap-1"]);
    assert!(said.contains("revoked in op-") && said.contains("capability.revoke"), "{said}");
}

#[test]
fn top_shows_who_lives_what_they_wait_for_and_what_they_spend() {
    let head =
        [allow("read", "clock:*"), "[budget]\nsyscalls = 9\nwall = \"1h\"\n".into()].concat();
    let lab = Lab::with(&head, &[call("clock.now", json!({})), call("message.receive", json!({}))]);
    lab.run().code(3);
    lab.json(&["msg", "p1", "unread", "--interrupt"]).code(0);
    let once = lab.value(&["top", "--once"]);
    let process = &once["processes"][0];
    assert_eq!((&once["runs"], &process["pid"]), (&json!(false), &json!("p1")));
    assert_eq!(process["spent"]["syscalls"]["limit"], 9);
    assert!(process["spent"]["syscalls"]["used"].as_u64().unwrap() >= 2, "{process}");
    assert_eq!(process["spent"]["wall"]["limit"], 3_600_000);
    let said = lab.told(&["top", "--once"]);
    assert!(said.contains("nothing runs") && said.contains("of 9 system calls"), "{said}");

    // Again and again, through the runtime that holds the store.
    lab.json(&["signal", "p1", "terminate"]).code(0);
    let lab = Lab::waiting();
    let mut live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    live.until_step("p1", "object.create");
    let mut top = lab.start(&["--json", "top", "--every", "100ms"]);
    for _ in 0..2 {
        let seen = top.until(|line| line["processes"][0]["state"] == "waiting");
        assert_eq!(seen["runs"], true);
    }
    top.kill();
    live.kill();
    lab.libos(&["top", "--every", "1ms"]).code(2);
    let (code, _) = Lab::new().failure(&["top", "--once"], 5);
    assert_eq!(code, "no_store");
}

#[test]
fn a_process_is_explained_by_what_it_did_who_let_it_and_what_it_was_refused() {
    let head = [
        allow("read", "fs:workspace/*"),
        ask("write", "fs:workspace/a.txt"),
        deny("read", "fs:workspace/private/*"),
    ]
    .concat();
    let private = json!({ "path": "private/x" });
    let plan = [
        expect("fs.list", json!({}), "ok"),
        expect("fs.read", private.clone(), "denied"),
        expect("fs.read", private, "denied"),
        write("a.txt", "four"),
    ];
    let lab = Lab::with(&head, &plan);
    lab.run().code(3);
    let open = lab.value(&["explain", "p1"]);
    assert_eq!(open["ended"], Value::Null);
    assert_eq!(open["asked"][0]["answer"], Value::Null);
    lab.json(&["--as", "ann", "approve", "req-1"]).code(0);
    lab.resume().code(0);

    let story = lab.value(&["explain", "p1"]);
    assert_eq!(story["given"].as_array().unwrap().len(), 3, "{story}");
    let [looked, refused, changed] = ["looked", "refused", "changed"].map(|part| {
        let deeds = story[part].as_array().unwrap();
        assert_eq!(deeds.len(), 1, "{story}");
        deeds[0].clone()
    });
    assert_eq!((&looked["what"], &looked["times"]), (&json!("fs.list path=workspace"), &json!(1)));
    assert_eq!((&refused["ended"], &refused["times"]), (&json!("denied"), &json!(2)));
    assert!(refused["because"][0].as_str().unwrap().contains("cap-3 denies it"), "{refused}");
    let because = changed["because"].to_string();
    assert!(because.contains("`ann` answered req-1"), "{because}");
    assert!(story["asked"][0]["answer"].as_str().unwrap().contains("`ann`"), "{story}");
    assert_eq!(story["spent"]["calls"], json!({ "ok": 2, "denied": 2 }));
    assert_eq!(story["spent"]["bytes"], 4, "what was refused took nothing");

    let said = lab.told(&["explain", "p1"]);
    for words in ["It looked at", "It changed", "(2 times)", "Humans were asked", "It took 4 calls"]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert_eq!(lab.failure(&["explain", "p7"], 1).0, "not_found");
}
