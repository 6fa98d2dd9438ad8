//! Steering from outside: messages, signals, forks, limits, and answers at a terminal.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};
use support::*;

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
    let sent = lab.value(&[
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
    ]);
    assert_eq!(sent["id"], "msg-1");
    lab.resume().code(3);
    assert_eq!(lab.text("got.txt"), "s msg-7 yes");
    let said = lab.told(&["msg", "p1", "--interrupt", "look here"]);
    assert!(said.contains("msg-2 interrupts p1") && said.contains("libos resume"), "{said}");
    lab.resume().code(0);
    let (code, message) = lab.failure(&["msg", "p1", "too late"], 1);
    assert_eq!(code, "receiver_ended");
    assert!(message.contains("`libos ps`"), "{message}");
}

#[test]
fn signals_hold_release_cancel_and_end() {
    let lab = Lab::with(
        "",
        &[
            expect("message.receive", json!({}), "cancelled"),
            expect("message.receive", json!({}), "interrupted"),
            call("message.receive", json!({ "subject": "never" })),
        ],
    );
    lab.run().code(3);
    assert_eq!(lab.value(&["signal", "p1", "pause"])["state"], "paused");
    let held = lab.libos(&["resume"]).code(3);
    assert!(held.err.contains("libos signal p1 resume"), "{held}");
    let said = lab.told(&["signal", "p1", "resume", "--reason", "go on"]);
    assert!(said.contains("p1 is waiting now"), "{said}");
    lab.json(&["signal", "p1", "cancel"]).code(0);
    assert_eq!(lab.steps()[0]["ended"], "cancelled");
    lab.resume().code(3);
    assert_eq!(lab.value(&["signal", "p1", "terminate"])["state"], "killed");
    assert_eq!(lab.failure(&["signal", "p1", "pause"], 1).0, "already_ended");
    lab.libos(&["signal", "p1", "stop"]).code(2);
}

#[test]
fn a_fork_shares_memory_and_is_given_nothing_else() {
    let lab = Lab::waiting();
    lab.run().code(3);
    let child = [
        expect("object.read", json!({ "id": "obj-1.1" }), "ok"),
        expect("object.update", json!({ "id": "obj-1.1", "payload": "b" }), "denied"),
        expect("fs.write", json!({ "path": "x.txt", "text": "x" }), "denied"),
    ];
    fs::write(lab.path("child.jsonl"), jsonl(&child)).unwrap();
    let args = ["fork", "p1", "--goal", "look", "--mode", "worker", "--plan", "child.jsonl"];
    let made = lab.value(&args);
    assert_eq!(made["pid"], "p2");
    let info = lab.value(&["inspect", "p2"]);
    assert_eq!(
        (&info["process"]["mode"], &info["process"]["goal"]),
        (&json!("worker"), &json!("look"))
    );
    assert_eq!(info["process"]["parent"], "p1");
    lab.resume().code(3);
    let ended = lab.value(&["inspect", "p2"]);
    assert_eq!(ended["process"]["state"], "exited", "{ended}");
    let said = lab.told(&["fork", "p1", "--goal", "again", "--mode", "speculative"]);
    assert!(said.contains("p3 is a child of p1"), "{said}");

    let bad = lab.json(&["fork", "p1", "--goal", "g", "--plan", "none.jsonl"]).code(2);
    assert!(bad.out.contains("none.jsonl"), "{bad}");
    fs::write(lab.path("bad.jsonl"), "{\"call\":\"fs.raed\"}\n").unwrap();
    let bad = lab.json(&["fork", "p1", "--goal", "g", "--plan", "bad.jsonl"]).code(2);
    assert!(bad.out.contains("line 1") && bad.out.contains("fs.read"), "{bad}");
    assert_eq!(lab.failure(&["fork", "p9", "--goal", "g"], 1).0, "no_process");
}

#[test]
fn exec_keeps_what_is_named_and_exit_leaves_its_result() {
    let lab = Lab::waiting();
    lab.run().code(3);
    let plan = [
        expect("fs.write", json!({ "path": "kept.txt", "text": "x" }), "ok"),
        expect("clock.now", json!({}), "denied"),
        expect("object.read", json!({ "id": "obj-1.1" }), "ok"),
        call("message.receive", json!({})),
    ];
    fs::write(lab.path("next.jsonl"), jsonl(&plan)).unwrap();
    let (code, message) = lab.failure(&["exec", "p1", "nobody"], 1);
    assert_eq!((code.as_str(), message.contains("libos image ls")), ("unknown_image", true));
    let (code, message) = lab.failure(&["exec", "p1", "worker", "--keep", "cap-99"], 1);
    assert_eq!((code.as_str(), message.contains("libos cap ls p1")), ("not_held", true));
    let args =
        ["exec", "p1", "worker", "--keep", "cap-1", "--goal", "go on", "--plan", "next.jsonl"];
    let said = lab.told(&args);
    assert!(said.contains("p1 goes on as worker"), "{said}");
    lab.resume().code(3);
    assert_eq!(lab.text("kept.txt"), "x");
    let info = lab.value(&["inspect", "p1"])["process"].take();
    assert_eq!((&info["image"], &info["goal"]), (&json!("worker"), &json!("go on")));

    let args = ["exit", "p1", "--result", "obj-1.1", "--message", "no more", "--failed"];
    assert_eq!(lab.value(&args)["state"], "failed");
    let ending = lab.value(&["inspect", "p1"])["process"]["ending"].take();
    assert_eq!((&ending["result"], &ending["message"]), (&json!("obj-1.1"), &json!("no more")));
    lab.failure(&["exit", "p1"], 1);
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
        let (code, message) = lab.failure(args, 2);
        assert_eq!(code, "wrong_answer");
        assert!(message.contains("`libos extend req-1 --by N`"), "{message}");
    }
    assert_eq!(lab.failure(&["extend", "req-1", "--by", "10m"], 2).0, "usage");
    lab.failure(&["extend", "req-1", "--by", "0"], 2);
    lab.failure(&["extend", "req-9", "--by", "1"], 1);
    let said = lab.told(&["extend", "req-1", "--by", "5"]);
    assert!(said.contains("req-1: extended (by 5) by `owner`"), "{said}");
    assert_eq!(lab.failure(&["extend", "req-1", "--by", "5"], 1).0, "already_decided");
    lab.resume().code(0);
    let info = lab.value(&["inspect", "p1"])["process"].take();
    assert_eq!(info["budget"]["syscalls"], 6);

    let lab = Lab::with(&ask("write", "fs:workspace/*"), &[write("a.txt", "x")]);
    lab.run().code(3);
    let (code, message) = lab.failure(&["extend", "req-1", "--by", "1"], 2);
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
    let card = lab.told(&["inbox"]);
    assert!(card.contains("p2 (one)") && card.contains("p3 (two)"), "{card}");
    assert!(card.contains(" say ask"), "{card}");
    assert!(card.contains("libos approve req-1  |  libos deny req-1"), "{card}");
    let tree = lab.value(&["why", "req-1"]);
    let askers = tree["under"].as_array().unwrap().iter().filter(|it| it["what"] == "asker");
    assert_eq!(askers.count(), 2, "{tree}");
    lab.json(&["approve", "req-1"]).code(0);
    lab.resume().code(0);
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
    terminal.until("so long (10m), [d]eny? ");
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

/// A process that hears, and asks before it writes what it heard.
fn listener() -> Lab {
    let head = [ask("write", "fs:workspace/*")].concat();
    let plan = [
        save("message.receive", json!({ "limit": 1 }), "first"),
        write("first.txt", "${first.messages.0.body}"),
        call("message.receive", json!({ "limit": 1 })),
        save("message.receive", json!({ "limit": 1 }), "last"),
        write("last.txt", "${last.messages.0.body}"),
    ];
    let lab = Lab::with(&head, &plan);
    lab.run().code(3);
    lab
}

#[test]
fn what_is_typed_in_a_chat_answers_a_request_or_is_a_message() {
    let lab = listener();
    let mut terminal = Terminal::start(lab.command(&["chat"]));
    terminal.until("Each line you type is a message to p1");
    terminal.type_line("/halp");
    terminal.until("There is no /halp");
    terminal.type_line("buy apples");
    terminal.until("so long (10m), [d]eny? ");
    // A command is one even while a request waits.
    terminal.type_line("/help");
    terminal.until("anything else is a message to p1");
    terminal.type_line("s");
    terminal.until("ok      fs.write");
    terminal.type_line("/interrupt enough");
    terminal.until("interrupted by msg-2: enough");
    terminal.type_line("/quit");
    terminal.until("Nothing is lost");
    terminal.ends_with(1);
    assert_eq!(lab.text("first.txt"), "buy apples");
}

#[test]
fn a_chat_with_a_pipe_ends_when_nothing_more_can_come() {
    let lab = listener();
    let say = |lines: &str| {
        let mut command = lab.command(&["--json", "chat", "p1"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let ran = say("buy apples\n");
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(said.contains(r#""id":"msg-1""#) && said.contains(r#""approval""#), "{said}");
    lab.json(&["approve", "req-1"]).code(0);
    let ran = say("one\n\ntwo\n");
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    assert_eq!(lab.inbox()[0]["ask"]["approval"]["args"]["text"], "two");
    assert_eq!(lab.failure(&["chat", "p7"], 2).0, "no_partner");
}
