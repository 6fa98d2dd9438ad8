//! Coming back to a checkpoint, with the files of the workspace, run by the real binary.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use support::*;

/// Objects that the task makes before the checkpoint.
const OBJECTS: usize = 1_000;

/// Every file below a folder, to the byte.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// What a file holds at first: nothing, a line, letters of many bytes, more than is kept inline.
fn first(nth: usize) -> String {
    match nth % 4 {
        0 => String::new(),
        1 => format!("line {nth}"),
        2 => "héllo wörld\n".repeat(nth + 1),
        _ => format!("{nth} ").repeat(3_000),
    }
}

fn path(nth: usize) -> String {
    if nth.is_multiple_of(5) { format!("deep/er/f{nth}.txt") } else { format!("f{nth}.txt") }
}

/// Makes objects, waits for word, then changes forty files, removes five and makes five, and some
/// of the objects with them.
fn plan() -> Vec<Value> {
    let mut plan: Vec<Value> = (0..OBJECTS)
        .map(|nth| expect("object.create", json!({ "type": "n", "payload": nth }), "ok"))
        .collect();
    plan.push(expect("message.receive", json!({}), "ok"));
    for nth in 0..40 {
        plan.push(expect(
            "fs.write",
            json!({ "path": path(nth), "text": format!("new {nth}") }),
            "ok",
        ));
    }
    for nth in 0..5 {
        plan.push(expect("fs.write", json!({ "path": path(nth), "text": "newer" }), "ok"));
    }
    for nth in 40..45 {
        plan.push(expect("fs.delete", json!({ "path": path(nth) }), "ok"));
    }
    for nth in 0..5 {
        plan.push(expect("fs.write", json!({ "path": format!("made{nth}"), "text": "m" }), "ok"));
    }
    for nth in 1..=100 {
        let update = json!({ "id": format!("obj-1.{nth}"), "payload": "changed" });
        plan.push(expect("object.update", update, "ok"));
    }
    plan.push(expect("shell.run", json!({ "argv": ["true"] }), "ok"));
    plan
}

/// A lab whose task stands still before it changes anything, with a checkpoint, and its files.
fn at_checkpoint() -> (Lab, BTreeMap<String, Vec<u8>>) {
    let head =
        [allow("read write delete", "fs:workspace/*"), allow("execute", "shell:true")].concat();
    let lab = Lab::with(&head, &plan());
    fs::create_dir_all(lab.ws("deep/er")).unwrap();
    for nth in 0..50 {
        lab.put(&path(nth), &first(nth));
    }
    fs::write(lab.ws("picture"), [0xff, 0xfe, 0, 7]).unwrap();
    lab.run().code(3);
    let made = lab.value(&["checkpoint", "create", "p1", "--reason", "before"]);
    assert_eq!((&made["id"], &made["objects"]), (&json!("ckpt-1.1"), &json!(OBJECTS)));
    let before = files(&lab.ws(""));
    (lab, before)
}

fn go_on(lab: &Lab) {
    lab.told(&["msg", "p1", "go on"]);
    lab.resume().code(0);
}

fn outcomes(report: &Value) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for file in report["files"].as_array().unwrap() {
        *counted.entry(file["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counted
}

#[test]
fn a_restored_task_has_its_objects_and_every_byte_of_its_files() {
    let (lab, before) = at_checkpoint();
    go_on(&lab);
    assert_ne!(files(&lab.ws("")), before);
    let shown = lab.value(&["checkpoint", "diff", "ckpt-1.1"]);
    assert_eq!(shown["files"].as_array().unwrap().len(), 50);
    assert_eq!(shown["objects"].as_array().unwrap().len(), 25);
    assert_eq!(shown["truncated"], 75);
    let preview = lab.value(&["checkpoint", "restore", "ckpt-1.1"]);
    assert_eq!(preview["files"].as_array().unwrap().len(), 50);
    let token = preview["token"].as_str().unwrap();

    let report = lab.value(&["checkpoint", "restore", "ckpt-1.1", "--token", token]);
    assert_eq!(outcomes(&report), [("back".to_owned(), 50)].into());
    assert_eq!((&report["objects"], &report["revived"]), (&json!(100), &json!(["p1"])));
    let stays: Vec<&Value> = report["stays"].as_array().unwrap().iter().collect();
    assert_eq!((stays.len(), &stays[0]["call"]), (1, &json!("shell.run")));
    assert_eq!(files(&lab.ws("")), before, "every file is what it was, to the byte");
    let objects = lab.json(&["object", "ls"]).code(0).lines();
    assert_eq!(objects.len(), OBJECTS);
    assert!(objects.iter().all(|object| object["version"] == 1));
    // Each file is an effect of the operator like any other.
    let put_back = |op: &&Value| op["call"] == "fs.put_back" && op["ended"] == "ok";
    let audit = lab.audit();
    let put_back: Vec<_> = audit.iter().filter(put_back).collect();
    assert_eq!(put_back.len(), 50);
    assert!(put_back.iter().all(|op| op["dispatched"] != Value::Null));
    lab.verify(None).code(0);

    // It goes on from there, and can come back again.
    lab.resume().code(3);
    go_on(&lab);
    assert_eq!(lab.text("f1.txt"), "newer");
    let report = lab.value(&["checkpoint", "restore", "ckpt-1.1", "--yes"]);
    assert_eq!(outcomes(&report), [("back".to_owned(), 50)].into());
    assert_eq!(files(&lab.ws("")), before);
}

#[test]
fn a_file_that_someone_else_has_changed_is_told_and_left_alone() {
    let (lab, before) = at_checkpoint();
    go_on(&lab);
    lab.put("f1.txt", "mine");
    fs::remove_file(lab.ws("f2.txt")).unwrap();
    let report = lab.value(&["checkpoint", "restore", "ckpt-1.1", "--yes"]);
    let expected = [("back".to_owned(), 48), ("conflict".to_owned(), 2)];
    assert_eq!(outcomes(&report), expected.into());
    assert_eq!(lab.text("f1.txt"), "mine");
    assert!(!lab.ws("f2.txt").exists());
    let report = lab.value(&["checkpoint", "restore", "ckpt-1.1", "--yes", "--force"]);
    assert_eq!(outcomes(&report), [("back".to_owned(), 2)].into(), "the others are back already");
    assert_eq!(files(&lab.ws("")), before);
}

#[test]
fn what_a_write_replaced_is_in_the_record_and_shown_to_nobody() {
    let head = [allow("write delete", "fs:workspace/*")].concat();
    let lab = Lab::with(
        &head,
        &[
            expect("message.receive", json!({}), "ok"),
            save("fs.write", json!({ "path": "a.txt", "text": "new" }), "w"),
            save("fs.delete", json!({ "path": "b.txt" }), "d"),
            write("reply.txt", "${w} ${d}"),
        ],
    );
    lab.put("a.txt", "secret one");
    lab.put("b.txt", &"secret two ".repeat(1_000));
    lab.run().code(3);
    lab.value(&["checkpoint", "create", "p1"]);
    go_on(&lab);
    let reply = lab.text("reply.txt");
    assert!(reply.contains("\"created\":false") && !reply.contains("secret"), "{reply}");
    assert!(!lab.json(&["audit", "ls", "--all"]).code(0).out.contains("secret"));
    lab.value(&["checkpoint", "restore", "ckpt-1.1", "--yes"]);
    assert_eq!(lab.text("a.txt"), "secret one");
    assert_eq!(lab.text("b.txt"), "secret two ".repeat(1_000));
}

#[test]
fn what_cannot_be_put_back_is_told() {
    let head = allow("write delete", "fs:workspace/*");
    let lab = Lab::with(
        &head,
        &[
            expect("message.receive", json!({}), "ok"),
            expect("fs.write", json!({ "path": "picture", "text": "text" }), "ok"),
        ],
    );
    fs::write(lab.ws("picture"), [0xff, 0xfe]).unwrap();
    lab.run().code(3);
    lab.value(&["checkpoint", "create", "p1"]);
    go_on(&lab);
    let report = lab.value(&["checkpoint", "restore", "ckpt-1.1", "--yes"]);
    let [file] = &report["files"].as_array().unwrap()[..] else { panic!("one file: {report}") };
    assert_eq!((&file["path"], &file["outcome"]), (&json!("picture"), &json!("lost")));
    assert!(file["why"].as_str().unwrap().contains("UTF-8"), "{file}");
    assert_eq!(lab.text("picture"), "text");
}

/// Every call that changes a file, in the workspace and in another mount.
#[test]
fn every_change_of_a_file_is_put_back() {
    let rights = "read write delete";
    let head = [allow(rights, "fs:workspace/*"), allow(rights, "fs:data/*")].concat();
    let diff = "@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n";
    let mut plan = vec![expect("message.receive", json!({}), "ok")];
    for mount in ["fs:workspace", "fs:data"] {
        let at = |name: &str| format!("{mount}/{name}");
        plan.extend(
            [
                ("fs.edit", json!({ "path": at("edited"), "old": "one", "new": "1" })),
                ("fs.edit", json!({ "path": at("edited"), "old": "two", "new": "2" })),
                ("fs.patch", json!({ "path": at("patched"), "diff": diff })),
                ("fs.append", json!({ "path": at("appended"), "text": "three\n" })),
                ("fs.append", json!({ "path": at("made"), "text": "new\n" })),
                ("fs.rename", json!({ "from": at("old"), "to": at("new") })),
                ("fs.rename", json!({ "from": at("over"), "to": at("under"), "overwrite": true })),
                ("fs.rename", json!({ "from": at("new"), "to": at("newer") })),
                ("fs.write", json!({ "path": at("written"), "text": "other" })),
                ("fs.delete", json!({ "path": at("deleted") })),
            ]
            .map(|(call, args)| expect(call, args, "ok")),
        );
    }
    let lab = Lab::with(&head, &plan);
    let data = lab.path("data");
    fs::create_dir(&data).unwrap();
    let names = ["edited", "patched", "appended", "old", "over", "under", "written", "deleted"];
    for name in names {
        lab.put(name, &format!("one\ntwo\n{name}\n"));
        fs::write(data.join(name), format!("one\ntwo\ndata {name}\n")).unwrap();
    }
    let settings = format!("[mounts]\ndata = {:?}\n", data.to_str().unwrap());
    fs::write(lab.path("libos.toml"), settings).unwrap();
    let before = [files(&lab.ws("")), files(&data)];
    lab.run().code(3);
    lab.value(&["checkpoint", "create", "p1"]);
    go_on(&lab);
    for (folder, before) in [lab.ws(""), data.clone()].iter().zip(&before) {
        assert_ne!(files(folder), *before);
        assert!(folder.join("newer").exists() && !folder.join("old").exists());
    }
    let report = lab.value(&["checkpoint", "restore", "ckpt-1.1", "--yes"]);
    assert_eq!([files(&lab.ws("")), files(&data)], before, "{report}");
}
