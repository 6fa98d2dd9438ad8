//! Packages of images: what is checked, what travels, and that nothing in one grants anything.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::*;

/// A package with a tool, limits, files for a workspace and wishes.
fn package(lab: &Lab) {
    for folder in ["clerk", "clerk/tools", "clerk/seed"] {
        fs::create_dir(lab.path(folder)).unwrap();
    }
    let image = r#"
name = "clerk"
version = "1"
prompt_file = "prompt.md"
tools = ["read_file"]
generated = ["tools/double.toml"]
seed = "seed"

[budget]
tool_calls = 2

[[required_capabilities]]
on = "fs:workspace/*"
rights = ["read", "write"]
"#;
    fs::write(lab.path("clerk/image.toml"), image).unwrap();
    fs::write(lab.path("clerk/prompt.md"), "You keep the books.\n").unwrap();
    fs::write(lab.path("clerk/seed/books.txt"), "nothing yet\n").unwrap();
    tool(lab, "args.n * 2");
}

fn tool(lab: &Lab, result: &str) {
    let tool = format!(
        "name = \"double\"\nlanguage = \"javascript\"\n\
         source = \"export default (args) => {result};\"\n\
         [input]\ntype = \"object\"\n\
         [[test]]\nname = \"two\"\nargs = {{ n = 1 }}\nresult = 2\n"
    );
    fs::write(lab.path("clerk/tools/double.toml"), tool).unwrap();
}

#[test]
fn a_package_is_built_into_a_file_that_is_registered_elsewhere_and_says_why_not() {
    let lab = Lab::new();
    package(&lab);
    tool(&lab, "args.n * 3");
    let (code, message) = lab.failure(&["image", "build", "clerk"], 1);
    assert_eq!((code.as_str(), message.contains("FAILED  two")), ("bad_tool", true), "{message}");
    assert_eq!(lab.failure(&["image", "register", "clerk"], 1).0, "bad_tool");
    assert!(!lab.path("clerk-1.json").exists() && !lab.path("store").exists());

    tool(&lab, "args.n * 2");
    let built = lab.value(&["image", "build", "clerk"]);
    assert_eq!((&built["file"], &built["name"]), (&json!("clerk-1.json"), &json!("clerk")));
    let elsewhere = Lab::with("", &[]);
    elsewhere.run().code(0);
    fs::copy(lab.path("clerk-1.json"), elsewhere.path("c.json")).unwrap();
    elsewhere.json(&["image", "register", "c.json"]).code(0);
    let said = elsewhere.told(&["image", "show", "clerk"]);
    let digest = built["digest"].as_str().unwrap();
    for part in [digest, "You keep the books.", "double", "tool_calls 2", "books.txt"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The same by name, by folder and by file; another one is told part by part.
    lab.task("", &[]);
    lab.run().code(0);
    lab.json(&["image", "register", "clerk"]).code(0);
    for [one, other] in [["clerk", "clerk-1.json"], ["clerk/image.toml", "clerk"]] {
        assert!(lab.json(&["image", "diff", one, other]).code(0).lines().is_empty());
    }
    fs::write(lab.path("clerk/prompt.md"), "You burn the books.\n").unwrap();
    let differs = lab.json(&["image", "diff", "clerk-1.json", "clerk/image.toml"]).code(1);
    let parts: Vec<Value> = differs.lines().iter().map(|line| line["part"].clone()).collect();
    assert_eq!(parts, ["prompt"]);
    let told = lab.libos(&["image", "diff", "clerk-1.json", "clerk/image.toml"]).code(1).out;
    assert!(told.contains("-You keep") && told.contains("+You burn"), "{told}");

    let text = fs::read_to_string(lab.path("clerk-1.json")).unwrap();
    fs::write(lab.path("forged.json"), text.replace("keep the", "burn the")).unwrap();
    let forged = lab.libos(&["image", "register", "forged.json"]).code(2);
    assert!(forged.err.contains("digest"), "{forged}");
}

#[test]
fn what_a_package_brings_is_there_and_what_it_wants_is_not_granted() {
    let plan = [
        json!({ "tool": "read_file", "args": { "path": "books.txt" }, "expect": "denied" }),
        json!({ "tool": "double", "args": { "n": 4 }, "expect": "ok" }),
        json!({ "tool": "double", "args": { "n": 4 } }),
    ];
    let stage = || {
        let lab = Lab::new();
        package(&lab);
        let task = "[task]\ngoal = \"g\"\nimage = \"clerk/image.toml\"\nworkspace = \"ws\"\n\
                    [planner]\nkind = \"script\"\nscript = \"plan.jsonl\"\n";
        fs::write(lab.path("task.toml"), task).unwrap();
        fs::write(lab.path("plan.jsonl"), jsonl(&plan)).unwrap();
        lab
    };
    let lab = stage();
    let ran = lab.run().code(3);
    assert_eq!(lab.text("books.txt"), "nothing yet\n");
    let waits = lab.inbox();
    assert_eq!(waits.len(), 1, "its limit of two calls of tools is used up: {ran}");
    // A workspace that is not empty stays as it is.
    let lab = stage();
    lab.put("other.txt", "mine");
    lab.run().code(3);
    assert!(!lab.ws("books.txt").exists());
}

#[test]
fn each_way_to_an_image_takes_its_own_right() {
    let image = |version: &str| json!({ "name": "mine", "version": version });
    let register = |version: &str, replace: bool, code: &str| {
        expect("image.register", json!({ "image": image(version), "replace": replace }), code)
    };
    let with_tool = json!({
        "name": "tooled", "version": "1", "tools": ["one"],
        "generated": [{ "name": "one", "language": "javascript", "input": true, "source": "1" }],
    });
    let seeded = json!({
        "name": "seeded", "version": "1", "seed": [{ "path": "a.txt", "text": "x" }],
    });
    let commit = |image: &str, replace: bool, code: &str| {
        let args = json!({ "checkpoint": "${c.id}", "image": image, "replace": replace });
        expect("checkpoint.commit", args, code)
    };
    let exec = |image: &str, code: &str| json!({ "exec": { "image": image, "program": "" }, "expect": code });
    let plan = |code: &'static str, also: &'static str| {
        [
            register("1", false, code),
            register("2", true, also),
            expect("image.register", json!({ "image": with_tool }), "denied"),
            expect("image.register", json!({ "image": seeded }), "denied"),
            save("checkpoint.create", json!({ "reason": "r" }), "c"),
            commit("kept", false, code),
            commit("kept", true, also),
            exec("mine", "denied"),
        ]
    };
    let own = allow("write", "checkpoint:own") + &allow("write", "checkpoint:*");
    let table = [("", "denied", "denied"), ("write", "ok", "denied"), ("write delete", "ok", "ok")];
    for (rights, code, also) in table {
        let granted = match rights {
            "" => String::new(),
            rights => allow(rights, "image:*"),
        };
        let lab = Lab::with(&format!("{own}{granted}"), &plan(code, also));
        let ran = lab.run();
        assert_eq!(ran.code, 0, "{rights}: {ran}");
    }
    let granted = allow("execute", "image:worker");
    let lab = Lab::with(&granted, &[exec("base", "denied"), exec("worker", "ok")]);
    lab.run().code(0);
}
