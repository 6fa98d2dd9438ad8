//! Data labels: what was read from a place cannot leave by another, however it gets there, unless
//! a human lets that one call go.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{fs, sync::Mutex};

use serde_json::{Value, json};
use support::{
    web::{Answer, Asked},
    *,
};

const RULES: &str = "
[[label]]
on = \"fs:workspace/secrets/*\"
sensitivity = \"secret\"

[[label]]
on = \"shell:cat\"
integrity = \"untrusted\"

[[sink]]
on = \"human:owner\"
sensitivity = \"internal\"

[[sink]]
on = \"fs:workspace/out/*\"
sensitivity = \"internal\"
release = false
";

/// A lab whose host has rules of labels, with a secret.
fn labelled(rules: &str) -> Lab {
    let lab = Lab::new();
    fs::write(lab.path("libos.toml"), "labels = \"labels.toml\"\n").unwrap();
    fs::write(lab.path("labels.toml"), rules).unwrap();
    fs::create_dir(lab.ws("secrets")).unwrap();
    fs::create_dir(lab.ws("out")).unwrap();
    lab.put("secrets/key.txt", "hunter2");
    lab.put("plain.txt", "nothing of note");
    lab
}

fn head() -> String {
    [
        allow("read write", "fs:workspace/*"),
        grant("allow", "write", "human:owner", "delegable = 1"),
        allow("write", "process:spawn"),
        allow("execute", "shell:*"),
    ]
    .concat()
}

fn tell(text: &str) -> Value {
    json!({ "call": "human.output", "args": { "message": text } })
}

/// The one release that waits, which is for this data and this place.
fn release(lab: &Lab) -> Value {
    let inbox = lab.inbox();
    assert_eq!(inbox.len(), 1, "{inbox:?}");
    let release = &inbox[0]["ask"]["release"];
    assert_eq!(release["sink"], "human:owner", "{inbox:?}");
    assert_eq!(release["label"]["sensitivity"], "secret", "{inbox:?}");
    inbox[0].clone()
}

fn outputs(lab: &Lab) -> Vec<Value> {
    lab.steps().into_iter().filter(|op| op["call"] == "human.output").collect()
}

fn ended(lab: &Lab) -> Vec<String> {
    let word = |op: Value| op["ended"].as_str().unwrap_or("waits").to_owned();
    outputs(lab).into_iter().map(word).collect()
}

/// The plan of a child: it reads the note, makes the tool `send`, and sends with it, twice.
fn reads_and_sends(tool: &Value) -> [Value; 6] {
    let use_tool = json!({ "tool": "send", "args": { "text": "${note.payload}" } });
    [
        save("object.read", json!({ "id": "obj-1.1" }), "note"),
        expect("tool.propose", json!({ "tool": tool }), "ok"),
        expect("tool.validate", json!({ "name": "send" }), "ok"),
        expect("tool.register", json!({ "name": "send" }), "ok"),
        use_tool.clone(),
        use_tool,
    ]
}

#[test]
fn from_a_file_by_an_object_a_child_and_a_tool_to_a_sink() {
    let lab = labelled(RULES);
    let tool = json!({
        "name": "send", "language": "typescript", "input": true,
        "needs": [{ "call": "human.output" }],
        "source": "export default async function run(args: any, libos: Libos) {
            return await libos.human.output({ message: args.text });
        }",
    });
    let child = reads_and_sends(&tool);
    let grants = json!([{ "on": "human:owner", "rights": ["write"] }]);
    lab.task(
        &head(),
        &[
            tell("before anything is read, everything may be said"),
            save("fs.read", json!({ "path": "secrets/key.txt" }), "key"),
            save("object.create", json!({ "type": "note", "payload": "${key.text}" }), "made"),
            json!({ "fork": { "goal": "tell it", "mode": "worker", "grants": grants,
                    "program": jsonl(&child) }, "save": "c", "expect": "ok" }),
            wait("c"),
        ],
    );
    lab.run().code(3);
    assert_eq!(ended(&lab), ["ok", "waits"], "{:?}", outputs(&lab));
    let first = release(&lab);
    assert_eq!(first["ask"]["release"]["args"]["message"], "hunter2", "{first}");
    let card = lab.told(&["inbox"]);
    assert!(card.contains("secret, trusted, from fs"), "{card}");
    let id = first["id"].as_str().unwrap();
    assert_eq!(lab.failure(&["approve", id, "--scope", "process"], 2).0, "wrong_answer");
    lab.json(&["approve", id]).code(0);
    lab.resume().code(3);
    assert_eq!(ended(&lab), ["ok", "ok", "waits"], "released once, and stopped again");
    let second = release(&lab);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["ask"]["release"]["digest"], first["ask"]["release"]["digest"]);
    lab.json(&["deny", second["id"].as_str().unwrap()]).code(0);
    lab.resume();
    let last = outputs(&lab).pop().unwrap();
    assert_eq!(last["ended"], "denied", "{last}");
    let error = last["error"].as_str().unwrap();
    let says = ["write on human:owner", "secret, trusted, from fs", "internal, untrusted"];
    assert!(says.iter().all(|part| error.contains(part)), "{error}");
    lab.verify(None).code(0);
}

static CAME: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(asked: &Asked) -> Answer {
    CAME.lock().unwrap().push(String::from_utf8_lossy(&asked.body).into_owned());
    (200, String::new(), b"thanks".to_vec())
}

#[test]
fn from_a_file_by_an_object_a_child_and_a_tool_to_the_network() {
    let port = web::serve(note);
    let rules = "[[sink]]\non = \"net:*\"\nsensitivity = \"internal\"\n";
    let lab = labelled(&[RULES, rules].concat());
    lab.settings("labels = \"labels.toml\"\n[http]\nnetworks = [\"127.0.0.1\"]\n");
    let url = format!("http://127.0.0.1:{port}/in");
    let tool = json!({
        "name": "send", "language": "typescript", "input": true,
        "needs": [{ "call": "http.send" }],
        "source": format!("export default async function run(args: any, libos: Libos) {{
            const sent = await libos.http.send({{
                url: '{url}', method: 'POST', body: args.text,
            }});
            return sent.status;
        }}"),
    });
    let child = reads_and_sends(&tool);
    let on = format!("net:127.0.0.1:{port}");
    let grants = json!([{ "on": on, "rights": ["write"] }]);
    let net = grant("allow", "write", &on, "delegable = 1");
    lab.task(
        &[head(), net].concat(),
        &[
            save("fs.read", json!({ "path": "secrets/key.txt" }), "key"),
            save("object.create", json!({ "type": "note", "payload": "${key.text}" }), "made"),
            json!({ "fork": { "goal": "send it", "mode": "worker", "grants": grants,
                    "program": jsonl(&child) }, "save": "c", "expect": "ok" }),
            wait("c"),
        ],
    );
    let sent = || CAME.lock().unwrap().clone();
    lab.run().code(3);
    assert!(sent().is_empty(), "stopped before anything leaves: {:?}", sent());
    let asked = lab.inbox().remove(0);
    assert_eq!(asked["ask"]["release"]["sink"], on, "{asked}");
    lab.json(&["approve", asked["id"].as_str().unwrap()]).code(0);
    lab.resume().code(3);
    assert_eq!(sent(), ["hunter2"], "released once");
    let again = lab.inbox().remove(0);
    assert_eq!(again["ask"]["release"]["digest"], asked["ask"]["release"]["digest"]);
    lab.json(&["deny", again["id"].as_str().unwrap()]).code(0);
    lab.resume();
    assert_eq!(sent(), ["hunter2"], "and stopped again");
}

#[test]
fn from_a_file_by_a_program_and_another_file_to_a_sink() {
    let lab = labelled(RULES);
    lab.task(
        &head(),
        &[
            tell("before"),
            expect("shell.run", json!({ "argv": ["cp", "secrets/key.txt", "copy.txt"] }), "ok"),
        ],
    );
    lab.run().code(0);
    assert_eq!(lab.text("copy.txt"), "hunter2");
    // Another process, which was never near the secret.
    lab.task(
        &head(),
        &[
            tell("before"),
            save("fs.read", json!({ "path": "copy.txt" }), "copy"),
            expect("fs.write", json!({ "path": "out/a.txt", "text": "${copy.text}" }), "denied"),
            tell("${copy.text}"),
            tell("${copy.text}"),
        ],
    );
    lab.run().code(3);
    assert!(!lab.ws("out/a.txt").exists(), "nobody may release what goes there");
    assert_eq!(ended(&lab), ["ok", "ok", "waits"], "{:?}", outputs(&lab));
    let id = release(&lab)["id"].as_str().unwrap().to_owned();
    lab.json(&["approve", &id]).code(0);
    lab.resume().code(3);
    assert_eq!(ended(&lab), ["ok", "ok", "ok", "waits"], "released once, and stopped again");
    release(&lab);
}

/// A process that was never near the secret, and does not read it.
#[test]
fn a_file_takes_its_label_along_and_a_search_tells_of_it() {
    let lab = labelled(RULES);
    let head = head() + &allow("delete", "fs:workspace/*");
    let rename = |from: &str, to: &str| json!({ "from": from, "to": to });
    lab.task(
        &head,
        &[
            expect("fs.rename", rename("secrets/key.txt", "out/key.txt"), "denied"),
            expect("fs.rename", rename("plain.txt", "out/plain.txt"), "ok"),
            tell("nothing was read"),
            expect("fs.rename", rename("secrets/key.txt", "elsewhere.txt"), "ok"),
        ],
    );
    lab.run().code(0);
    assert!(lab.ws("elsewhere.txt").exists() && !lab.ws("out/key.txt").exists());
    lab.task(
        &head,
        &[
            expect("fs.search", json!({ "pattern": "of note" }), "ok"),
            tell("nothing secret was found"),
            save("fs.search", json!({ "pattern": "hunter" }), "found"),
            tell("${found.lines.0.text}"),
        ],
    );
    lab.run().code(3);
    assert_eq!(ended(&lab), ["ok", "ok", "waits"], "{:?}", outputs(&lab));
    release(&lab);
}

#[test]
fn an_allow_becomes_a_question_once_untrusted_data_was_read() {
    let lab = labelled(RULES);
    let asks = grant("ask", "write", "fs:workspace/*", "when = { integrity = \"untrusted\" }");
    lab.task(
        &[head(), asks].concat(),
        &[
            write("a.txt", "before"),
            expect("shell.run", json!({ "argv": ["cat", "plain.txt"] }), "ok"),
            call("fs.write", json!({ "path": "a.txt", "text": "after" })),
        ],
    );
    lab.run().code(3);
    assert_eq!(lab.text("a.txt"), "before");
    assert!(lab.inbox()[0]["ask"]["approval"].is_object(), "{:?}", lab.inbox());
    let card = lab.told(&["inbox"]);
    assert!(card.contains("has read  data that is secret, untrusted"), "{card}");
}

#[test]
fn what_may_be_lowered_is_lowered_by_who_may() {
    let lab = labelled(RULES);
    let public = json!({ "sensitivity": "public" });
    let plan = [
        save("fs.read", json!({ "path": "secrets/key.txt" }), "key"),
        save("object.create", json!({ "type": "note", "payload": "digest only" }), "made"),
        save("label.show", json!({}), "own"),
        write("own.txt", "${own} "),
        save("label.show", json!({ "id": "obj-1.1" }), "of"),
        write("of.txt", "${of} "),
        expect("label.list", json!({}), "denied"),
        expect("label.declassify", json!({ "to": public }), "denied"),
        expect(
            "label.declassify",
            json!({ "id": "obj-1.1", "to": { "integrity": "untrusted" } }),
            "not_lower",
        ),
        expect("label.declassify", json!({ "id": "obj-1.1", "to": public }), "ok"),
        tell("still secret"),
    ];
    let may = allow("admin", "label:object:p1/*");
    lab.task(&[head(), may].concat(), &plan);
    lab.run().code(3);
    for name in ["own.txt", "of.txt"] {
        let shown: Value = serde_json::from_str(&lab.text(name)).unwrap();
        assert_eq!(shown["label"]["sensitivity"], "secret", "{name}");
        assert_eq!(shown["label"]["origins"], json!(["fs"]), "{name}");
    }
    let all = lab.value(&["label", "ls"]);
    let of = |what: Value| {
        let found = all["entries"].as_array().unwrap().iter().find(|it| it["what"] == what);
        found.map(|it| it["label"]["sensitivity"].clone())
    };
    assert_eq!(of(json!({ "process": "p1" })), Some(json!("secret")), "{all}");
    assert_eq!(of(json!({ "object": "obj-1.1" })), None, "{all}");
    assert!(lab.told(&["label", "ls"]).contains("p1"));
    assert!(lab.told(&["inspect", "p1"]).contains("secret, trusted, from fs"));
    let read = lab.steps().into_iter().find(|op| op["call"] == "fs.read").unwrap();
    let why = lab.told(&["why", read["op"].as_str().unwrap()]);
    assert!(why.contains("p1 is secret, trusted, from fs from here on"), "{why}");
    lab.value(&["label", "declassify", "p1"]);
    assert_eq!(
        lab.failure(&["label", "declassify", "p1", "--sensitivity", "secret"], 1).0,
        "not_lower"
    );
    let id = release(&lab)["id"].as_str().unwrap().to_owned();
    lab.json(&["approve", &id]).code(0);
    lab.resume().code(0);
}

#[test]
fn a_host_without_rules_has_no_labels() {
    let lab = Lab::with(&head(), &[tell("a"), write("a.txt", "b"), tell("c")]);
    lab.run().code(0);
    assert_eq!(lab.value(&["label", "ls"]), json!({ "entries": [] }));
    assert_eq!(lab.told(&["label", "ls"]), "Nothing has a label.\n");
}
