//! Contents that are too large for a message: kept as objects, read in parts, and taken from there.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    web::{Answer, Asked},
    *,
};

const MIB: usize = 1 << 20;

/// So many bytes of a text of which no two parts are the same, with characters of several bytes.
fn text(bytes: usize) -> String {
    let lines = "a line: \"größer\" 漢字 \\\n".repeat(2_000);
    let mut text = String::with_capacity(bytes + 2 * lines.len());
    for block in 0.. {
        if text.len() >= bytes {
            break;
        }
        text += &format!("block {block}\n{lines}");
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// Bytes that are no text.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn head() -> String {
    [
        allow("read write", "fs:workspace/*"),
        allow("read write", "net:*"),
        allow("execute", "shell:*"),
        allow("write", "human:*"),
    ]
    .concat()
}

fn read(path: &str, into: &str, name: &str) -> Value {
    save("fs.read", json!({ "path": path, "into": into }), name)
}

fn write_from(path: &str, from: &str) -> Value {
    expect("fs.write", json!({ "path": path, "text": "", "from": from }), "ok")
}

/// The most memory that a run took, in KiB.
fn peak_kib(lab: &Lab) -> (Ran, u64) {
    let live = lab.start(&["--json", "run", "task.toml"]);
    let status = format!("/proc/{}/status", live.id());
    let watcher = thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { break };
            peak = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(peak);
            thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let ran = live.finish_within(3 * DEADLINE).code(0);
    (ran, watcher.join().unwrap())
}

#[test]
fn a_file_of_64_mib_goes_through_objects_in_little_memory() {
    let peak = |size: usize| {
        let plan = [read("large.txt", "file", "f"), write_from("copy.txt", "${f.object.id}")];
        let lab = Lab::with(&head(), &plan);
        let large = text(size);
        lab.put("large.txt", &large);
        let (ran, peak) = peak_kib(&lab);
        assert!(lab.text("copy.txt") == large, "the copy differs\n{ran}");
        let got = ran.steps()[0]["reply"].clone();
        assert_eq!(got["bytes"], large.len(), "{got}");
        assert_eq!(got["truncated"], false, "{got}");
        assert_eq!(got["object"], json!({ "id": "obj-1.1", "bytes": large.len() }), "{got}");
        let shown = got["text"].as_str().unwrap();
        assert!(large.starts_with(shown) && shown.len() > 1_000, "{got}");
        peak
    };
    let (small, large) = (peak(MIB), peak(64 * MIB));
    let more_mib = large.saturating_sub(small) / 1024;
    assert!(more_mib < 40, "{small} KiB for 1 MiB, {large} KiB for 64 MiB");
}

#[test]
fn what_is_over_the_limit_is_cut_and_said_to_be() {
    let args = json!({ "path": "large.txt", "into": "file", "max_bytes": 3 * MIB });
    let lab = Lab::with(&head(), &[call("fs.read", args)]);
    lab.put("large.txt", &text(4 * MIB));
    let step = lab.run().code(0).steps().remove(0);
    assert_eq!(step["reply"]["bytes"], 3 * MIB, "{step}");
    assert_eq!(step["reply"]["truncated"], true, "{step}");
}

#[test]
fn bytes_that_are_no_text_come_out_as_they_went_in() {
    let plan = [read("blob.bin", "blob", "f"), write_from("copy.bin", "${f.object.id}")];
    let lab = Lab::with(&head(), &plan);
    let blob = bytes(300_000);
    fs::write(lab.ws("blob.bin"), &blob).unwrap();
    fs::write(lab.ws("empty"), b"").unwrap();
    let ran = lab.run().code(0);
    assert_eq!(ran.steps()[0]["reply"]["text"], "", "{ran}");
    assert!(fs::read(lab.ws("copy.bin")).unwrap() == blob);
}

#[test]
fn an_object_of_parts_is_read_in_parts() {
    let size = 3 * MIB;
    let plan = [
        read("large.txt", "file", "f"),
        expect("object.read", json!({ "id": "${f.object.id}" }), "too_large"),
        save("object.entries", json!({ "id": "${f.object.id}" }), "first"),
        save(
            "object.entries",
            json!({ "id": "${f.object.id}", "skip": "${first.next}" }),
            "second",
        ),
        read("small.txt", "file", "s"),
        save("object.read", json!({ "id": "${s.object.id}" }), "whole"),
        expect(
            "fs.write",
            json!({ "path": "head.txt", "text": "it says: ",
            "from": "${s.object.id}" }),
            "ok",
        ),
        // A plain object is a content as well, if it holds texts.
        save("object.create", json!({ "type": "t", "payload": ["a", "b"] }), "list"),
        write_from("list.txt", "${list.id}"),
        save("object.create", json!({ "type": "t", "payload": { "a": 1 } }), "other"),
        expect(
            "fs.write",
            json!({ "path": "no.txt", "text": "", "from": "${other.id}" }),
            "not_text",
        ),
        expect(
            "fs.write",
            json!({ "path": "no.txt", "text": "", "from": "obj-1.99" }),
            "bad_message",
        ),
        expect("fs.write", json!({ "path": "no.txt", "text": "", "from": "obj-2.1" }), "denied"),
    ];
    let lab = Lab::with(&head(), &plan);
    let large = text(size);
    lab.put("large.txt", &large);
    lab.put("small.txt", "a few words");
    let ran = lab.run().code(0);
    let steps = ran.steps();
    let parts = |step: &Value| -> String {
        let entries = step["reply"]["entries"].as_array().unwrap_or_else(|| panic!("{step}"));
        entries.iter().map(|part| part.as_str().unwrap()).collect()
    };
    let read = format!("{}{}", parts(&steps[2]), parts(&steps[3]));
    assert!(large.starts_with(&read) && read.len() > MIB, "{}", read.len());
    assert_eq!(steps[5]["reply"]["payload"], json!([]));
    assert_eq!(steps[5]["reply"]["appended"], json!(["a few words"]));
    assert_eq!(
        (lab.text("head.txt"), lab.text("list.txt")),
        ("it says: a few words".into(), "ab".into())
    );
    assert!(!lab.ws("no.txt").exists());
    lab.verify(None).code(0);
}

static CAME: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn site(asked: &Asked) -> Answer {
    match asked.method.as_str() {
        "GET" => (200, String::new(), bytes(5 * MIB)),
        _ => {
            CAME.lock().unwrap().push(asked.body.clone());
            (200, String::new(), b"thanks".to_vec())
        }
    }
}

static PORT: LazyLock<u16> = LazyLock::new(|| web::serve(site));

#[test]
fn a_body_becomes_an_object_and_an_object_a_body() {
    let url = format!("http://127.0.0.1:{}/large", *PORT);
    let plan = [
        save("http.fetch", json!({ "url": url, "method": "GET", "into": "page" }), "page"),
        write_from("page.bin", "${page.object.id}"),
        expect(
            "http.send",
            json!({ "url": url, "method": "POST", "body": "first, ",
            "from": "${page.object.id}" }),
            "ok",
        ),
        expect(
            "http.replace",
            json!({ "url": url, "method": "PUT", "from": "${page.object.id}" }),
            "ok",
        ),
        save("object.create", json!({ "type": "t", "payload": 7 }), "seven"),
        expect(
            "http.send",
            json!({ "url": url, "method": "POST", "from": "${seven.id}" }),
            "bad_request",
        ),
    ];
    let lab = Lab::with(&head(), &plan);
    lab.settings("[http]\nnetworks = [\"127.0.0.1\"]\n");
    let ran = lab.run().code(0);
    let body = bytes(5 * MIB);
    assert_eq!(ran.steps()[0]["reply"]["bytes"], body.len(), "{}", ran.steps()[0]);
    assert!(fs::read(lab.ws("page.bin")).unwrap() == body);
    let came = CAME.lock().unwrap();
    assert!(came[0] == [b"first, ".as_slice(), &body].concat() && came[1] == body);
    assert_eq!(came.len(), 2);
}

#[test]
fn the_output_of_a_program_becomes_an_object_and_an_object_its_input() {
    let script = "cat; echo done >&2";
    let plan = [
        read("large.txt", "file", "f"),
        save(
            "shell.run",
            json!({ "argv": ["sh", "-c", script], "stdin": "head\n",
            "stdin_from": "${f.object.id}", "stdout_into": "output", "stderr_into": "log" }),
            "ran",
        ),
        write_from("out.txt", "${ran.stdout_object.id}"),
        write_from("err.txt", "${ran.stderr_object.id}"),
        expect("shell.run", json!({ "argv": ["true"], "stdout_into": "" }), "bad_message"),
    ];
    let lab = Lab::with(&head(), &plan);
    let large = text(4 * MIB);
    lab.put("large.txt", &large);
    let ran = lab.run().code(0);
    assert!(lab.text("out.txt") == format!("head\n{large}"), "{}", ran.steps()[1]);
    assert_eq!(lab.text("err.txt"), "done\n");
    let reply = &ran.steps()[1]["reply"];
    assert_eq!(reply["truncated"], false, "{reply}");
    assert_eq!(reply["stdout_object"]["bytes"], large.len() + 5, "{reply}");
}

#[test]
fn labels_go_with_a_content_into_an_object_and_out_of_it() {
    let plan = [
        read("secret.txt", "file", "f"),
        save("label.show", json!({ "id": "${f.object.id}" }), "l"),
        json!({ "fork": { "goal": "tell it", "mode": "worker", "program": jsonl(&[
            expect("fs.write", json!({ "path": "out.txt", "text": "", "from": "obj-1.1" }), "denied"),
        ]), "grants": [{ "on": "object:p1/*", "rights": ["read"] },
            { "on": "fs:workspace/*", "rights": ["write"] }] }, "save": "c", "expect": "ok" }),
        wait("c"),
    ];
    let head = [
        grant("allow", "read write", "fs:workspace/*", "delegable = 1"),
        allow("write", "process:spawn"),
    ];
    let lab = Lab::with(&head.concat(), &plan);
    lab.put("secret.txt", "hunter2");
    lab.settings("labels = \"labels.toml\"\n");
    let rules = "[[label]]\non = \"fs:workspace/secret.txt\"\nsensitivity = \"secret\"\n\n\
                 [[sink]]\non = \"fs:workspace/out.txt\"\nsensitivity = \"internal\"\nrelease = false\n";
    fs::write(lab.path("labels.toml"), rules).unwrap();
    let ran = lab.run().code(0);
    assert_eq!(ran.steps()[1]["reply"]["label"]["sensitivity"], "secret", "{ran}");
    assert!(!lab.ws("out.txt").exists());
}

#[test]
fn a_kill_in_the_middle_leaves_no_object_and_what_was_kept_is_compacted_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/endless", listener.local_addr().unwrap());
    let plan = [call(
        "http.send",
        json!({ "url": url, "method": "POST", "into": "page",
        "timeout_ms": 60_000 }),
    )];
    let lab = Lab::with(&head(), &plan);
    lab.settings("[http]\nnetworks = [\"127.0.0.1\"]\n");
    let live = lab.start(&["--json", "run", "task.toml"]);
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = [0; 1024];
    assert!(stream.read(&mut asked).unwrap() > 0);
    // More than waits in memory, so that some of it is in the store; the rest never comes.
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").unwrap();
    stream.write_all(&bytes(16 * MIB)).unwrap();
    let stored = || {
        let folder = fs::read_dir(lab.path("store/segments")).into_iter().flatten().flatten();
        folder.map(|file| file.metadata().map_or(0, |it| it.len())).sum::<u64>()
    };
    let until = std::time::Instant::now() + DEADLINE;
    while stored() < MIB as u64 {
        assert!(std::time::Instant::now() < until, "nothing of it reaches the store");
        thread::sleep(Duration::from_millis(10));
    }
    live.kill();
    lab.resume();
    assert!(lab.told(&["object", "ls"]).lines().all(|line| !line.contains("page")));
    let last = lab.steps().pop().unwrap();
    assert_eq!(last["ended"], "unknown_outcome", "{last}");
    let before = stored();
    let done = lab.json(&["store", "compact", "--older-than", "0s"]).code(0).last();
    assert_ne!(done["payloads"], 0, "{done}");
    assert!(stored() < before - MIB as u64 / 2, "{} of {before}", stored());
    lab.verify(None).code(0);
}

#[test]
fn what_was_approved_is_what_is_written() {
    let child = [
        call("message.receive", json!({})),
        expect("object.update", json!({ "id": "obj-1.1", "payload": ["swapped"] }), "ok"),
    ];
    let grants = json!([{ "on": "object:p1/*", "rights": ["write"] }]);
    let plan = [
        save("object.create", json!({ "type": "t", "payload": ["approved"] }), "o"),
        json!({ "fork": { "goal": "swap it", "mode": "worker", "grants": grants,
                "program": jsonl(&child) }, "save": "c", "expect": "ok" }),
        write_from("out.txt", "obj-1.1"),
        save("object.read", json!({ "id": "obj-1.1" }), "now"),
    ];
    let head = [
        allow("read", "fs:workspace/*"),
        grant("ask", "write", "fs:workspace/*", ""),
        allow("write", "process:spawn"),
    ];
    let lab = Lab::with(&head.concat(), &plan);
    lab.run().code(3);
    let asked = lab.inbox();
    assert_eq!(asked.len(), 1, "{asked:?}");
    lab.json(&["msg", "p2", "go"]).code(0);
    lab.resume().code(3);
    lab.json(&["approve", asked[0]["id"].as_str().unwrap()]).code(0);
    let ran = lab.resume().code(0);
    assert_eq!(lab.text("out.txt"), "approved");
    assert_eq!(ran.steps().last().unwrap()["reply"]["payload"], json!(["swapped"]), "{ran}");
}
