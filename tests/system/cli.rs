//! The command line: every command as a person types it and as a program reads it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};
use support::*;

/// A process that waits for messages, keeps a note, and writes what it was told.
fn waiting() -> Lab {
    let head = [allow("read write", "fs:workspace/*"), allow("read", "clock:*")].concat();
    let kinds = json!({ "kinds": ["message_came", "child_made", "child_ended"] });
    Lab::with(
        &head,
        &[
            expect("event.subscribe", kinds, "ok"),
            save("object.create", json!({ "type": "note", "payload": "a" }), "note"),
            save("message.receive", json!({}), "came"),
            json!({ "tool": "write_file", "expect": "ok",
                    "args": { "path": "said.txt", "text": "${came.messages.0.body}" } }),
            call("message.receive", json!({})),
        ],
    )
}

/// The whole output of a command for people, which must end well.
fn told(lab: &Lab, args: &[&str]) -> String {
    lab.libos(args).code(0).out
}

/// The one value that a command prints as JSON, which must end well.
fn value(lab: &Lab, args: &[&str]) -> Value {
    let ran = lab.json(args).code(0);
    let mut lines = ran.lines();
    assert_eq!(lines.len(), 1, "{ran}");
    lines.remove(0)
}

/// The failure of a command: its exit code, its code, its message; said to people the same way.
fn failure(lab: &Lab, args: &[&str], exit: i32) -> (String, String) {
    let ran = lab.json(args).code(exit);
    let error = ran.lines()[0]["error"].clone();
    let text = |field: &str| error[field].as_str().unwrap_or_else(|| panic!("{ran}")).to_owned();
    let said = lab.libos(args).code(exit).err;
    assert!(said.contains(&text("message")), "{said}\n{ran}");
    (text("code"), text("message"))
}

/// Every command that has no commands below it, as `--help` lists them.
fn leaves(lab: &Lab, above: &[&str], found: &mut BTreeSet<String>) {
    let mut args = above.to_vec();
    args.push("--help");
    let help = told(lab, &args);
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
    ("completion", &["bash"], 0),
    ("run", &["task.toml"], 3),
    ("ps", &[], 0),
    ("top", &["--once"], 0),
    ("inspect", &["p1"], 0),
    ("inbox", &[], 0),
    ("answer", &["req-1", "yes"], 0),
    ("resume", &[], 3),
    ("approve", &["req-2"], 0),
    ("resume", &[], 3),
    ("deny", &["req-3"], 0),
    ("resume", &[], 3),
    ("extend", &["req-4", "--by", "50"], 0),
    ("resume", &[], 3),
    ("msg", &["p1", "hello"], 0),
    ("events", &["p1", "--all"], 0),
    ("fork", &["p1", "--goal", "a copy", "--plan", "child.jsonl"], 0),
    ("signal", &["p2", "pause"], 0),
    ("cap ls", &["p1"], 0),
    ("cap grant", &["p2", "fs:workspace/in.txt", "read"], 0),
    ("cap why", &["p2", "read", "fs:workspace/in.txt"], 0),
    ("cap revoke", &["cap-1"], 0),
    ("object ls", &[], 0),
    ("object show", &["obj-1.1"], 0),
    ("image register", &["reviewer"], 0),
    ("image ls", &[], 0),
    ("image show", &["reviewer"], 0),
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
    ("doctor", &[], 0),
    ("demo", &["--dir", "demo"], 0),
];

/// What the tour finds: a task that asks its human for everything that can be asked for.
fn tour_lab() -> Lab {
    let head = [
        ask("write", "fs:workspace/*"),
        allow("write", "human:owner"),
        "[budget]\nsyscalls = 5\n".to_owned(),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            call("event.subscribe", json!({ "kinds": ["message_came"] })),
            save("object.create", json!({ "type": "note", "payload": "a" }), "note"),
            call("human.ask", json!({ "question": "shall it go on?" })),
            call("fs.write", json!({ "path": "a.txt", "text": "a" })),
            call("fs.write", json!({ "path": "b.txt", "text": "b" })),
            call("message.receive", json!({})),
        ],
    );
    lab.put("in.txt", "in");
    fs::write(lab.path("child.jsonl"), "{\"call\":\"process.cwd\"}\n").unwrap();
    fs::create_dir(lab.path("made")).unwrap();
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
fn the_log_of_a_process_tells_its_story() {
    let lab = waiting();
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

    let said = told(&lab, &["logs", "p1"]);
    assert_eq!(said.lines().count(), lines.len());
    for words in
        ["a message of the host: first", "4.1 ok      fs.write", "is held", "exited: enough"]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    let (code, message) = failure(&lab, &["logs", "p7"], 1);
    assert_eq!((code.as_str(), message.contains("`libos ps`")), ("not_found", true));
}

#[test]
fn a_log_that_is_followed_ends_with_its_process() {
    let lab = waiting();
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
    let said = told(&lab, &["events", "p1"]);
    assert!(said.contains("#2 ") && said.contains("message_came"), "{said}");
    assert!(said.contains("told of 2 events and has taken 1"), "{said}");
    failure(&lab, &["events", "p9"], 1);
}

#[test]
fn a_message_carries_what_it_is_given_and_an_interrupt_stops_a_wait() {
    let lab = Lab::with(
        &allow("write", "fs:workspace/*"),
        &[
            save("message.receive", json!({ "channel": "review", "correlation": "k" }), "m"),
            write(
                "got.txt",
                "${m.messages.0.subject} ${m.messages.0.reply_to} ${m.messages.0.body}",
            ),
            expect("message.receive", json!({}), "interrupted"),
        ],
    );
    lab.run().code(3);
    let sent = value(
        &lab,
        &[
            "msg",
            "p1",
            "yes",
            "--channel",
            "review",
            "--correlation",
            "k",
            "--subject",
            "s",
            "--reply-to",
            "msg-7",
        ],
    );
    assert_eq!(sent["id"], "msg-1");
    lab.resume().code(3);
    assert_eq!(lab.text("got.txt"), "s msg-7 yes");
    let said = told(&lab, &["msg", "p1", "--interrupt", "look here"]);
    assert!(said.contains("msg-2 interrupts p1") && said.contains("libos resume"), "{said}");
    lab.resume().code(0);
    let (code, message) = failure(&lab, &["msg", "p1", "too late"], 1);
    assert_eq!(code, "receiver_ended");
    assert!(message.contains("`libos ps`"), "{message}");
}

#[test]
fn signals_hold_release_cancel_and_end() {
    let lab = Lab::with(
        "",
        &[
            expect("message.receive", json!({}), "cancelled"),
            call("message.receive", json!({ "subject": "never" })),
        ],
    );
    lab.run().code(3);
    assert_eq!(value(&lab, &["signal", "p1", "pause"])["state"], "paused");
    let held = lab.libos(&["resume"]).code(3);
    assert!(held.err.contains("libos signal p1 resume"), "{held}");
    let said = told(&lab, &["signal", "p1", "resume", "--reason", "go on"]);
    assert!(said.contains("p1 is waiting now"), "{said}");
    lab.json(&["signal", "p1", "cancel"]).code(0);
    assert_eq!(lab.steps()[0]["ended"], "cancelled");
    lab.resume().code(3);
    assert_eq!(value(&lab, &["signal", "p1", "terminate"])["state"], "killed");
    assert_eq!(failure(&lab, &["signal", "p1", "pause"], 1).0, "already_ended");
    lab.libos(&["signal", "p1", "stop"]).code(2);
}

#[test]
fn a_fork_shares_memory_and_is_given_nothing_else() {
    let lab = waiting();
    lab.run().code(3);
    let child = [
        expect("object.read", json!({ "id": "obj-1.1" }), "ok"),
        expect("object.update", json!({ "id": "obj-1.1", "payload": "b" }), "denied"),
        expect("fs.write", json!({ "path": "x.txt", "text": "x" }), "denied"),
    ];
    fs::write(lab.path("child.jsonl"), jsonl(&child)).unwrap();
    let args = ["fork", "p1", "--goal", "look", "--mode", "worker", "--plan", "child.jsonl"];
    let made = value(&lab, &args);
    assert_eq!(made["pid"], "p2");
    let info = value(&lab, &["inspect", "p2"]);
    assert_eq!(
        (&info["process"]["mode"], &info["process"]["goal"]),
        (&json!("worker"), &json!("look"))
    );
    assert_eq!(info["process"]["parent"], "p1");
    lab.resume().code(3);
    let ended = value(&lab, &["inspect", "p2"]);
    assert_eq!(ended["process"]["state"], "exited", "{ended}");
    let said = told(&lab, &["fork", "p1", "--goal", "again", "--mode", "speculative"]);
    assert!(said.contains("p3 is a child of p1"), "{said}");

    let bad = lab.json(&["fork", "p1", "--goal", "g", "--plan", "none.jsonl"]).code(2);
    assert!(bad.out.contains("none.jsonl"), "{bad}");
    fs::write(lab.path("bad.jsonl"), "{\"call\":\"fs.raed\"}\n").unwrap();
    let bad = lab.json(&["fork", "p1", "--goal", "g", "--plan", "bad.jsonl"]).code(2);
    assert!(bad.out.contains("line 1") && bad.out.contains("fs.read"), "{bad}");
    assert_eq!(failure(&lab, &["fork", "p9", "--goal", "g"], 1).0, "no_process");
}

#[test]
fn exec_keeps_what_is_named_and_exit_leaves_its_result() {
    let lab = waiting();
    lab.run().code(3);
    let plan = [
        expect("fs.write", json!({ "path": "kept.txt", "text": "x" }), "ok"),
        expect("clock.now", json!({}), "denied"),
        expect("object.read", json!({ "id": "obj-1.1" }), "ok"),
        call("message.receive", json!({})),
    ];
    fs::write(lab.path("next.jsonl"), jsonl(&plan)).unwrap();
    let (code, message) = failure(&lab, &["exec", "p1", "nobody"], 1);
    assert_eq!((code.as_str(), message.contains("libos image ls")), ("unknown_image", true));
    let (code, message) = failure(&lab, &["exec", "p1", "worker", "--keep", "cap-99"], 1);
    assert_eq!((code.as_str(), message.contains("libos cap ls p1")), ("not_held", true));
    let args =
        ["exec", "p1", "worker", "--keep", "cap-1", "--goal", "go on", "--plan", "next.jsonl"];
    let said = told(&lab, &args);
    assert!(said.contains("p1 goes on as worker"), "{said}");
    lab.resume().code(3);
    assert_eq!(lab.text("kept.txt"), "x");
    let info = value(&lab, &["inspect", "p1"])["process"].take();
    assert_eq!((&info["image"], &info["goal"]), (&json!("worker"), &json!("go on")));

    let args = ["exit", "p1", "--result", "obj-1.1", "--message", "no more", "--failed"];
    assert_eq!(value(&lab, &args)["state"], "failed");
    let ending = value(&lab, &["inspect", "p1"])["process"]["ending"].take();
    assert_eq!((&ending["result"], &ending["message"]), (&json!("obj-1.1"), &json!("no more")));
    failure(&lab, &["exit", "p1"], 1);
}

#[test]
fn images_are_registered_from_packages_and_grant_nothing() {
    let lab = tour_lab();
    lab.run().code(3);
    let image = value(&lab, &["image", "register", "reviewer"]);
    assert_eq!((&image["name"], &image["prompt"]), (&json!("reviewer"), &json!("Look closely.\n")));
    let (code, message) = failure(&lab, &["image", "register", "reviewer/image.toml"], 1);
    assert_eq!((code.as_str(), message.contains("--replace")), ("exists", true));
    lab.json(&["image", "register", "reviewer/image.toml", "--replace"]).code(0);
    let names: Vec<Value> = lab
        .json(&["image", "ls"])
        .code(0)
        .lines()
        .iter()
        .map(|image| image["name"].clone())
        .collect();
    assert_eq!(names, ["base-agent", "minimal", "reviewer", "worker"]);
    let said = told(&lab, &["image", "show", "reviewer"]);
    assert!(said.contains("read_file") && said.contains("Look closely."), "{said}");
    assert_eq!(value(&lab, &["image", "unregister", "reviewer"])["name"], "reviewer");
    assert_eq!(failure(&lab, &["image", "show", "reviewer"], 1).0, "not_found");
    assert_eq!(failure(&lab, &["image", "unregister", "minimal"], 1).0, "built_in");

    fs::write(lab.path("bad.toml"), "name = \"x\"\nversion = \"1\"\ntoosl = []\n").unwrap();
    let bad = lab.libos(&["image", "register", "bad.toml"]).code(2);
    assert!(bad.err.contains("bad.toml") && bad.err.contains("line 3"), "{bad}");
    let bad = lab.libos(&["image", "register", "nowhere"]).code(2);
    assert!(bad.err.contains("nowhere"), "{bad}");
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
    let open = value(&lab, &["why", op]);
    assert_eq!(whats(&open), ["submission", "decision", "outcome"]);
    assert!(open.to_string().contains("nobody has answered req-1"), "{open}");

    lab.json(&["--as", "ann", "approve", "req-1"]).code(0);
    lab.resume().code(0);
    let tree = value(&lab, &["why", op]);
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
    let said = told(&lab, &["why", plain["op"].as_str().unwrap()]);
    for words in [
        "called by p2 (the-child) as step 2 at ",
        "allow write on fs:workspace/*, held by p2",
        "handed on by p1 in op-2 (process.spawn by p1)",
        "cut from cap-1",
        "granted by the host in op-1 (process.launch by host:owner)",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }

    let said = told(&lab, &["why", op]);
    assert_eq!(said.lines().count(), nodes.len(), "one line a node:\n{said}");
    assert!(said.contains("├─ ") && said.contains("└─ it ended well"), "{said}");

    // The tool's call has this one under it.
    let above = lab.steps().into_iter().find(|op| op["call"] == "tool.call").unwrap();
    let above = value(&lab, &["why", above["op"].as_str().unwrap()]);
    let nested =
        above["under"].as_array().unwrap().iter().find(|it| it["what"] == "nested").unwrap();
    assert_eq!(nested["under"][0]["id"], op);

    // The request and the capability that it made tell the same.
    let request = value(&lab, &["why", "req-1"]);
    let mut of_request = Vec::new();
    flat(&request, 0, &mut of_request);
    let made = of_request.iter().find(|(_, what, _)| what == "uses").unwrap();
    assert!(made.2.contains("has let one call through"), "{of_request:#?}");
    assert!(of_request.iter().any(|(_, what, says)| what == "asker" && says.starts_with(op)));
    let cap = made.2.split(' ').next().unwrap();
    let cap = value(&lab, &["why", cap]);
    assert!(cap.to_string().contains("approved (once) by `ann`"), "{cap}");
    for none in ["op-999", "req-9", "cap-99"] {
        let (code, message) = failure(&lab, &["why", none], 1);
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
    let said = told(&lab, &["why", &denied]);
    assert!(said.contains("denied: ") && said.contains("cap-2 denies it"), "{said}");
    let waits = lab.steps()[2]["op"].as_str().unwrap().to_owned();
    lab.json(&["extend", "req-1", "--by", "1"]).code(0);
    lab.resume().code(3);
    let said = told(&lab, &["why", &waits]);
    assert!(said.contains("extended (by 1) by `owner`"), "{said}");
    lab.json(&["cap", "revoke", "cap-1", "--reason", "a test"]).code(0);
    let said = told(&lab, &["why", "cap-1"]);
    assert!(said.contains("revoked in op-") && said.contains("capability.revoke"), "{said}");
}

#[test]
fn top_shows_who_lives_what_they_wait_for_and_what_they_spend() {
    let head =
        [allow("read", "clock:*"), "[budget]\nsyscalls = 9\nwall = \"1h\"\n".into()].concat();
    let lab = Lab::with(&head, &[call("clock.now", json!({})), call("message.receive", json!({}))]);
    lab.run().code(3);
    lab.json(&["msg", "p1", "unread", "--interrupt"]).code(0);
    let once = value(&lab, &["top", "--once"]);
    let process = &once["processes"][0];
    assert_eq!((&once["runs"], &process["pid"]), (&json!(false), &json!("p1")));
    assert_eq!(process["spent"]["syscalls"]["limit"], 9);
    assert!(process["spent"]["syscalls"]["used"].as_u64().unwrap() >= 2, "{process}");
    assert_eq!(process["spent"]["wall"]["limit"], 3_600_000);
    let said = told(&lab, &["top", "--once"]);
    assert!(said.contains("nothing runs") && said.contains("of 9 system calls"), "{said}");

    // Again and again, through the runtime that holds the store.
    lab.json(&["signal", "p1", "terminate"]).code(0);
    let lab = waiting();
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
    let (code, _) = failure(&Lab::new(), &["top", "--once"], 5);
    assert_eq!(code, "no_store");
}

#[test]
fn a_limit_is_raised_by_its_own_command_and_every_mistake_names_it() {
    let lab = Lab::with(
        "[budget]\nsyscalls = 1\n",
        &[call("process.cwd", json!({})), call("process.cwd", json!({}))],
    );
    let ran = lab.libos(&["run", "task.toml"]).code(3);
    assert!(ran.err.contains("answer with `libos extend req-1 --by N`"), "{ran}");
    assert!(ran.err.contains("1 system calls of p1 are used up"), "{ran}");
    for args in [&["approve", "req-1"][..], &["answer", "req-1", "yes"]] {
        let (code, message) = failure(&lab, args, 2);
        assert_eq!(code, "wrong_answer");
        assert!(message.contains("`libos extend req-1 --by N`"), "{message}");
    }
    assert_eq!(failure(&lab, &["extend", "req-1", "--by", "10m"], 2).0, "usage");
    failure(&lab, &["extend", "req-1", "--by", "0"], 2);
    failure(&lab, &["extend", "req-9", "--by", "1"], 1);
    let said = told(&lab, &["extend", "req-1", "--by", "5"]);
    assert!(said.contains("req-1: extended (by 5) by `owner`"), "{said}");
    assert_eq!(failure(&lab, &["extend", "req-1", "--by", "5"], 1).0, "already_decided");
    lab.resume().code(0);
    let info = value(&lab, &["inspect", "p1"])["process"].take();
    assert_eq!(info["budget"]["syscalls"], 6);

    let lab = Lab::with(&ask("write", "fs:workspace/*"), &[write("a.txt", "x")]);
    lab.run().code(3);
    let (code, message) = failure(&lab, &["extend", "req-1", "--by", "1"], 2);
    assert_eq!(code, "wrong_answer");
    assert!(message.contains("`libos approve req-1`"), "{message}");
}

#[test]
fn an_approvals_file_raises_a_limit_as_often_as_it_says_across_runs() {
    let steps: Vec<Value> = (0..8).map(|_| call("process.cwd", json!({}))).collect();
    let lab = Lab::with("[budget]\nsyscalls = 1\n", &steps);
    let rule = "[[rule]]\nextend = \"syscalls\"\nby = 2\ntimes = 3\n";
    fs::write(lab.path("approvals.toml"), rule).unwrap();
    lab.json(&["run", "task.toml", "--approvals", "approvals.toml"]).code(3);
    let decided = |lab: &Lab| -> Vec<Value> {
        let all = lab.json(&["inbox", "--all"]).code(0).lines();
        all.iter().map(|request| request["state"].clone()).collect()
    };
    let states = decided(&lab);
    assert_eq!(states.len(), 4, "1 + 3 times 2 are 7; the eighth asks");
    assert!(states[..3].iter().all(|it| it["decided"]["decision"]["extend"]["by"] == 2));
    assert_eq!(states[3], "pending");
    // What was raised before counts, so that going on does not begin anew.
    lab.json(&["resume", "--approvals", "approvals.toml"]).code(3);
    assert_eq!(decided(&lab).len(), 4);
    lab.json(&["extend", "req-4", "--by", "9"]).code(0);
    lab.resume().code(0);
}

#[test]
fn a_card_that_several_wait_for_names_them_all() {
    let grants = json!([{ "on": "fs:workspace/*", "rights": ["write"] }]);
    let child = [write("a.txt", "x")];
    let head = [
        grant("allow", "write", "fs:workspace/*", "delegable = 1"),
        ask("write", "fs:workspace/a.txt"),
        allow("write", "process:spawn"),
    ]
    .concat();
    let plan = [
        spawn(&child, grants.clone(), "one"),
        spawn(&child, grants, "two"),
        wait("one"),
        wait("two"),
    ];
    let lab = Lab::with(&head, &plan);
    lab.run().code(3);
    let inbox = lab.inbox();
    assert_eq!(inbox.len(), 1, "{inbox:?}");
    let card = told(&lab, &["inbox"]);
    assert!(card.contains("p2 (one)") && card.contains("p3 (two)"), "{card}");
    assert!(card.contains(" say ask"), "{card}");
    assert!(card.contains("libos approve req-1  |  libos deny req-1"), "{card}");
    let tree = value(&lab, &["why", "req-1"]);
    assert_eq!(whats(&tree).iter().filter(|what| *what == "asker").count(), 2, "{tree}");
    lab.json(&["approve", "req-1"]).code(0);
    lab.resume().code(0);
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
    let said = told(&lab, &["doctor"]);
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
        let script = told(&lab, &["completion", shell]);
        for command in ["why", "image", "completion", "--store"] {
            let command = if shell == "fish" { command.trim_start_matches("--") } else { command };
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert_eq!(value(&lab, &["completion", shell])["script"], script);
    }
    let script = told(&lab, &["completion", "bash"]);
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
        let help = told(&lab, &[command, "--help"]);
        assert!(help.contains(&format!("Examples:\n  libos {command}")), "{command}\n{help}");
    }
    let help = told(&lab, &["image", "register", "--help"]);
    assert!(help.contains("Examples:\n  libos image register"), "{help}");
}

/// The binary at a terminal of its own.
struct Terminal {
    master: File,
    seen: String,
    chunks: mpsc::Receiver<Vec<u8>>,
    child: std::process::Child,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let end = || -> Stdio {
            let file = File::options().read(true).write(true).open(&name).unwrap();
            OwnedFd::from(file).into()
        };
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let (sender, chunks) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose last program has ended gives an error.
            while let Ok(read) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, seen: String::new(), chunks, child }
    }

    /// Waits until the words are on the screen.
    fn until(&mut self, words: &str) {
        while !self.seen.contains(words) {
            let chunk = self.chunks.recv_timeout(DEADLINE);
            let chunk = chunk.unwrap_or_else(|_| panic!("{words} did not come:\n{}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    fn type_line(&mut self, line: &str) {
        self.seen.clear();
        self.master.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn ends_with(mut self, code: i32) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{}", self.seen);
    }
}

#[test]
fn at_a_terminal_each_kind_of_request_is_asked_about_in_its_own_words() {
    let head = [
        ask("write", "fs:workspace/*"),
        allow("write", "human:owner"),
        "[budget]\nsyscalls = 2\n".to_owned(),
    ]
    .concat();
    let lab = Lab::with(
        &head,
        &[
            write("a.txt", "x"),
            save("human.ask", json!({ "question": "which one?" }), "word"),
            write("b.txt", "${word.answer}"),
        ],
    );
    let mut terminal = Terminal::start(lab.command(&["run", "task.toml"]));
    terminal.until("[a]pprove once, for this [p]rocess, [d]eny? ");
    terminal.type_line("perhaps");
    terminal.until("That is no answer to it.");
    terminal.until("[d]eny? ");
    terminal.type_line("a");
    terminal.until("your answer? ");
    terminal.type_line("this one");
    terminal.until("a number to add to the 2 system calls, [d]eny? ");
    terminal.type_line("many");
    terminal.until("That is no answer to it.");
    terminal.until("[d]eny? ");
    terminal.type_line("3");
    terminal.until("[a]pprove once");
    terminal.type_line("p");
    terminal.until("Done: p1 exited");
    terminal.ends_with(0);
    assert_eq!(lab.text("b.txt"), "this one");
}
