//! Tools that agents write: what they may do, what they cannot, and that a crash changes nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::*;

/// A tool in TypeScript, with what it needs. A test of it is to be added.
fn tool(name: &str, needs: Value, body: &str) -> Value {
    json!({
        "name": name, "language": "typescript", "input": true, "needs": needs,
        "source": format!(
            "export default async function run(args: any, libos: Libos) {{ {body} }}"
        ),
    })
}

fn need(call: &str) -> Value {
    json!({ "call": call })
}

/// The steps from a proposal to a tool that can be called.
fn made(tool: &Value) -> [Value; 3] {
    let name = &tool["name"];
    [
        expect("tool.propose", json!({ "tool": tool }), "ok"),
        expect("tool.validate", json!({ "name": name }), "ok"),
        expect("tool.register", json!({ "name": name }), "ok"),
    ]
}

/// A call of a tool, whose result is kept.
fn calling(name: &str, args: Value) -> Value {
    json!({ "tool": name, "args": args, "save": name })
}

/// Keeps what a tool gave in a file.
fn told(name: &str) -> Value {
    write(&format!("{name}.txt"), &format!("${{{name}}} "))
}

/// What a tool gave.
fn result(lab: &Lab, name: &str) -> Value {
    serde_json::from_str(&lab.text(&format!("{name}.txt"))).unwrap()
}

fn all_files() -> String {
    allow("read write", "fs:workspace/*")
}

/// The nested operations of a tool in the audit.
fn nested(lab: &Lab) -> Vec<Value> {
    lab.steps().into_iter().filter(|op| op["caller"]["tool"].is_object()).collect()
}

#[test]
fn an_agent_writes_tests_registers_and_calls_a_tool_on_real_files() {
    let mut count = tool(
        "count_lines",
        json!([need("fs.read")]),
        "const file = await libos.fs.read({ path: args.path });
         return { lines: file.text.split('\\n').length };",
    );
    count["tests"] = json!([{
        "name": "three lines", "args": { "path": "a.txt" },
        "calls": [{
            "call": "fs.read", "args": { "path": "a.txt" },
            "reply": { "text": "1\n2\n3", "bytes": 5, "truncated": false,
                "digest": "00".repeat(32) },
        }],
        "result": { "lines": 3 },
    }, {
        "name": "a file that is not there", "args": { "path": "b.txt" },
        "calls": [{
            "call": "fs.read", "args": { "path": "b.txt" }, "error": { "code": "not_found" },
        }],
        "error": "not_found",
    }]);
    count["output"] = json!({ "type": "object", "required": ["lines"] });
    count["input"] = json!({ "type": "object", "required": ["path"] });
    let plan = [
        expect("tool.call", json!({ "name": "count_lines", "args": {} }), "denied"),
        expect("tool.register", json!({ "name": "count_lines" }), "not_found"),
        expect("tool.propose", json!({ "tool": count }), "ok"),
        expect("tool.register", json!({ "name": "count_lines" }), "not_validated"),
        expect("tool.call", json!({ "name": "count_lines", "args": {} }), "denied"),
        save("tool.validate", json!({ "name": "count_lines" }), "report"),
        told("report"),
        expect("tool.register", json!({ "name": "count_lines" }), "ok"),
        expect("tool.register", json!({ "name": "count_lines" }), "exists"),
        expect("tool.propose", json!({ "tool": count }), "exists"),
        save("tool.list", json!({}), "tools"),
        told("tools"),
        calling("count_lines", json!({ "path": "in.txt" })),
        told("count_lines"),
        expect("tool.call", json!({ "name": "count_lines", "args": {} }), "bad_arguments"),
        expect(
            "tool.call",
            json!({ "name": "count_lines", "args": { "path": "gone.txt" } }),
            "not_found",
        ),
        expect("tool.unregister", json!({ "name": "count_lines" }), "ok"),
        expect("tool.call", json!({ "name": "count_lines", "args": {} }), "denied"),
    ];
    let lab = Lab::with(&all_files(), &plan);
    lab.put("in.txt", "one\ntwo");
    lab.run().code(0);
    assert_eq!(result(&lab, "report")["passed"], true, "{}", lab.text("report.txt"));
    assert_eq!(result(&lab, "count_lines"), json!({ "result": { "lines": 2 } }));
    let tools = result(&lab, "tools")["tools"].as_array().unwrap().clone();
    assert!(tools.contains(&json!("count_lines")), "{tools:?}");
    lab.verify(None).code(0);
}

#[test]
fn a_test_fails_when_calls_are_extra_missing_reordered_or_not_declared() {
    let reads = "const a = await libos.fs.stat({ path: 'a' });
                 const b = await libos.fs.stat({ path: 'b' }); return 1;";
    let stat = |path: &str| {
        let reply = json!({ "kind": "file", "bytes": 2, "modified_at_ms": 3 });
        json!({ "call": "fs.stat", "args": { "path": path }, "reply": reply })
    };
    let (a, b) = (stat("a"), stat("b"));
    let is_declared = json!([need("fs.stat")]);
    let elsewhere = json!([{ "call": "fs.stat", "on": ["fs:workspace/c"] }]);
    let table = [
        ("good", &is_declared, json!([a, b]), json!(1), ""),
        ("missing", &is_declared, json!([a, b, stat("c")]), json!(1), "did not make call 3"),
        ("extra", &is_declared, json!([a]), json!(1), "none that the test expects"),
        ("reordered", &is_declared, json!([b, a]), json!(1), "instead of"),
        ("another", &is_declared, json!([a, b]), json!(2), "it gave 1 instead of 2"),
        ("undeclared", &json!([]), json!([a, b]), json!(1), "none that it declares"),
        ("elsewhere", &elsewhere, json!([a, b]), json!(1), "none that it declares"),
    ];
    let mut plan = Vec::new();
    for (name, needs, calls, result, _) in &table {
        let mut tool = tool(name, (*needs).clone(), reads);
        tool["tests"] = json!([{ "name": "t", "args": {}, "calls": calls, "result": result }]);
        plan.push(expect("tool.propose", json!({ "tool": tool }), "ok"));
        plan.push(save("tool.validate", json!({ "name": name }), name));
        plan.push(told(name));
        let registered = if *name == "good" { "ok" } else { "not_validated" };
        plan.push(expect("tool.register", json!({ "name": name }), registered));
    }
    let lab = Lab::with(&all_files(), &plan);
    lab.run().code(0);
    for (name, .., message) in table {
        let report = result(&lab, name);
        let said = report["tests"][0]["message"].as_str().unwrap_or_default();
        assert_eq!(report["passed"], message.is_empty(), "{name}: {report}");
        assert!(said.contains(message), "{name}: {said}");
    }
}

#[test]
fn what_does_not_compile_or_holds_no_schema_is_rejected_with_its_place() {
    let mut bad = tool("bad", json!([]), "return (;");
    let mut schema = tool("schema", json!([]), "return 1;");
    schema["input"] = json!({ "type": 7 });
    bad["language"] = json!("javascript");
    bad["source"] = json!("export default async function run() {\n  return (;\n}");
    let undeclared = json!({
        "name": "undeclared", "language": "component", "input": true,
        "source": include_str!("../../examples/tools/lines.component.wat"),
    });
    let mut plan = Vec::new();
    for tool in [&bad, &schema, &undeclared] {
        let name = tool["name"].as_str().unwrap();
        plan.push(expect("tool.propose", json!({ "tool": tool }), "ok"));
        plan.push(save("tool.validate", json!({ "name": name }), name));
        plan.push(told(name));
        plan.push(expect("tool.register", json!({ "name": name }), "not_validated"));
    }
    let lab = Lab::with(&all_files(), &plan);
    lab.run().code(0);
    let problem = |name: &str| result(&lab, name)["problem"].clone();
    assert_eq!(problem("bad")["code"], "syntax");
    assert_eq!(problem("bad")["line"], 2);
    assert_eq!(problem("schema")["code"], "schema");
    assert_eq!(problem("undeclared")["code"], "undeclared");
}

/// Catches what a call ends in and gives its code.
const CAUGHT: &str = "
    const codes = [];
    for (const [name, made] of Object.entries(args.calls) as any) {
        try { await libos.syscall(made.call, made.args); codes.push('ok'); }
        catch (error: any) {
            codes.push(error instanceof libos.SyscallError ? error.code : 'another');
        }
    }
    return codes;";

fn read(path: &str) -> Value {
    json!({ "call": "fs.read", "args": { "path": path } })
}

fn writing(path: &str) -> Value {
    json!({ "call": "fs.write", "args": { "path": path, "text": "x" } })
}

#[test]
fn a_tool_does_no_more_than_it_declares_and_the_audit_names_it() {
    let needs = json!([{ "call": "fs.read", "on": ["fs:workspace/in/*"] }, need("fs.stat")]);
    let narrow = tool("narrow", needs, CAUGHT);
    let calls = json!({ "calls": [
        read("in/a.txt"), read("b.txt"), read("in/../b.txt"), writing("in/c.txt"),
        { "call": "fs.stat", "args": { "path": "b.txt" } },
        { "call": "process.cwd", "args": {} },
    ] });
    let mut plan = made(&narrow).to_vec();
    plan.extend([calling("narrow", calls), told("narrow"), write("in/c.txt", "by the process")]);
    let lab = Lab::with(&all_files(), &plan);
    std::fs::create_dir(lab.ws("in")).unwrap();
    lab.put("in/a.txt", "a");
    lab.put("b.txt", "b");
    lab.run().code(0);
    let codes = json!({ "result": ["ok", "denied", "denied", "denied", "ok", "denied"] });
    assert_eq!(result(&lab, "narrow"), codes);
    assert_eq!(lab.text("in/c.txt"), "by the process");
    let nested = nested(&lab);
    assert_eq!(nested.len(), 6, "{nested:#?}");
    for op in &nested {
        assert_eq!(op["caller"], json!({ "tool": { "pid": "p1", "tool": "narrow" } }));
    }
    let denied: Vec<&Value> = nested.iter().filter(|op| op["ended"] == "denied").collect();
    assert_eq!(denied.len(), 4);
    for op in denied {
        let error = op["error"].as_str().unwrap();
        assert!(error.contains("the tool `narrow` does not declare it"), "{error}");
    }
    let op = nested[1]["op"].as_str().unwrap();
    let why = lab.told(&["why", op]);
    assert!(why.contains("called by the tool `narrow` in p1"), "{why}");
    assert!(why.contains("the tool `narrow` does not declare it"), "{why}");
}

#[test]
fn a_tool_that_declares_more_than_its_process_may_gets_no_more() {
    let needs = json!([need("fs.read"), need("fs.write"), need("shell.run")]);
    let wide = tool("wide", needs, CAUGHT);
    let run = json!({ "call": "shell.run", "args": { "argv": ["true"] } });
    let calls = json!({ "calls": [read("a.txt"), read("secret.txt"), writing("b.txt"), run] });
    let mut plan = made(&wide).to_vec();
    plan.extend([calling("wide", calls), told("wide")]);
    let head = [
        allow("read", "fs:workspace/*"),
        allow("write", "fs:workspace/wide.txt"),
        deny("read", "fs:workspace/secret.txt"),
    ];
    let lab = Lab::with(&head.concat(), &plan);
    lab.put("a.txt", "a");
    lab.put("secret.txt", "s");
    lab.run().code(0);
    assert_eq!(result(&lab, "wide"), json!({ "result": ["ok", "denied", "denied", "denied"] }));
    assert!(!lab.ws("b.txt").exists());
}

#[test]
fn a_tool_declares_no_call_that_makes_more_of_it() {
    let mut plan = Vec::new();
    for call in [
        "process.spawn",
        "process.fork",
        "process.exec",
        "process.start_task",
        "capability.delegate",
        "tool.register",
        "process.launch",
        "process.admit",
        "fs.none",
    ] {
        let tool = tool("more", json!([need(call)]), "return 1;");
        plan.push(expect("tool.propose", json!({ "tool": tool }), "bad_tool"));
    }
    let own = json!([{ "call": "process.cwd", "on": ["fs:workspace/*"] }]);
    let own = tool("more", own, "return 1;");
    plan.push(expect("tool.propose", json!({ "tool": own }), "bad_tool"));
    let of_image = tool("read_file", json!([]), "return 1;");
    plan.push(expect("tool.propose", json!({ "tool": of_image }), "exists"));
    Lab::with(&all_files(), &plan).run().code(0);
}

#[test]
fn a_generated_tool_calls_built_in_tools_within_its_needs_and_no_generated_one() {
    let call = "const call = (name, args) => libos.tool.call({ name, args })
        .then((it) => it.result.text ?? it.result, (error) => error.code);";
    let body = format!(
        "{call} return [await call('read_file', {{ path: 'a.txt' }}),
          await call('write_file', {{ path: 'b.txt', text: 'x' }}), await call('one', {{}})];"
    );
    let one = tool("one", json!([]), "return 1;");
    let both = tool("both", json!([need("tool.call"), need("fs.read")]), &body);
    let mut plan = [made(&one), made(&both)].concat();
    plan.extend([calling("both", json!({})), told("both")]);
    let lab = Lab::with(&all_files(), &plan);
    lab.put("a.txt", "a");
    lab.run().code(0);
    assert_eq!(result(&lab, "both"), json!({ "result": ["a", "denied", "nested"] }));
    assert!(!lab.ws("b.txt").exists());
}

/// Creates five files one after the other; each must not be there yet.
fn five() -> Value {
    tool(
        "five",
        json!([need("fs.write"), need("clock.sleep"), need("clock.now")]),
        "for (const n of [1, 2, 3]) {
             await libos.fs.write({ path: n + '.txt', text: 'x', overwrite: false });
         }
         await libos.clock.sleep({ ms: 1000 });
         for (const n of [4, 5]) {
             await libos.fs.write({ path: n + '.txt', text: crypto.randomUUID(), overwrite: false });
         }
         return 'done';",
    )
}

#[test]
fn a_tool_killed_after_its_third_of_five_calls_goes_on_and_does_each_once() {
    let mut plan = made(&five()).to_vec();
    plan.extend([calling("five", json!({})), told("five")]);
    let lab = Lab::with(&[all_files(), allow("read", "clock:*")].concat(), &plan);
    let live = lab.start(&["--json", "run", "task.toml"]);
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until && !lab.ws("3.txt").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    live.kill();
    assert!(lab.ws("3.txt").exists() && !lab.ws("4.txt").exists(), "it was killed between");
    lab.resume().code(0);
    assert_eq!(result(&lab, "five"), json!({ "result": "done" }));
    let writes: Vec<Value> =
        nested(&lab).into_iter().filter(|op| op["call"] == "fs.write").collect();
    assert_eq!(writes.len(), 5, "{writes:#?}");
    for write in writes {
        assert_eq!(write["ended"], "ok", "{write:#}");
    }
    assert_ne!(lab.text("4.txt"), lab.text("5.txt"));
    lab.verify(None).code(0);
}

#[test]
fn a_tool_waits_for_a_human_as_data_and_calls_of_one_turn_are_under_way_together() {
    let asks = tool(
        "asks",
        json!([need("fs.write"), need("fs.read")]),
        "const read = (path: string) => libos.fs.read({ path }).then((it) => it.text);
         const both = await Promise.all([read('a.txt'), read('b.txt')]);
         await libos.fs.write({ path: 'asked.txt', text: both.join('+') });
         return both;",
    );
    let mut plan = made(&asks).to_vec();
    plan.extend([calling("asks", json!({})), told("asks")]);
    let head = [all_files(), ask("write", "fs:workspace/asked.txt")].concat();
    let lab = Lab::with(&head, &plan);
    lab.put("a.txt", "a");
    lab.put("b.txt", "b");
    lab.run().code(3);
    let waits = lab.inbox().remove(0);
    lab.json(&["approve", waits["id"].as_str().unwrap()]).code(0);
    lab.resume().code(0);
    assert_eq!(lab.text("asked.txt"), "a+b");
    assert_eq!(result(&lab, "asks"), json!({ "result": ["a", "b"] }));
}

#[test]
fn a_fork_has_tools_of_its_own_and_another_image_has_none() {
    let one = tool("one", json!([]), "return 1;");
    let child = [
        json!({ "tool": "one", "args": {}, "expect": "ok" }),
        expect("tool.unregister", json!({ "name": "one" }), "ok"),
        expect("tool.call", json!({ "name": "one", "args": {} }), "denied"),
    ];
    let after = [
        expect("tool.call", json!({ "name": "one", "args": {} }), "denied"),
        write("after.txt", "went on"),
    ];
    let mut plan = made(&one).to_vec();
    plan.extend([
        json!({ "fork": { "goal": "f", "mode": "copy", "program": jsonl(&child) },
                "save": "f", "expect": "ok" }),
        wait("f"),
        told("ending"),
        json!({ "tool": "one", "args": {}, "expect": "ok" }),
        json!({ "exec": { "image": "base", "program": jsonl(&after), "keep": ["cap-1"] },
                "expect": "ok" }),
    ]);
    let execs = allow("execute", "image:base");
    let head = [all_files(), allow("write", "process:spawn"), execs].concat();
    let lab = Lab::with(&head, &plan);
    lab.run().code(0);
    assert_eq!(result(&lab, "ending")["state"], "exited", "{}", lab.text("ending.txt"));
    assert_eq!(lab.text("after.txt"), "went on");
    assert!(lab.json(&["tool", "ls"]).code(0).lines().is_empty(), "all have ended");
}

#[test]
fn a_tool_goes_into_an_image_when_a_human_says_so_and_not_otherwise() {
    let mut one = tool("one", json!([need("fs.read")]), "return 1;");
    one["tests"] = json!([{ "name": "gives one", "args": {}, "result": 1 }]);
    let digest = json!("${it.status.digest}");
    let promote = |image: &str, code: &str| {
        let args = json!({ "name": "one", "digest": digest, "image": image, "version": "2" });
        expect("tool.promote", args, code)
    };
    let child = [json!({ "tool": "one", "args": {}, "expect": "ok" })];
    let mut plan = made(&one).to_vec();
    plan.extend([
        save("tool.inspect", json!({ "name": "one" }), "it"),
        promote("refused", "denied"),
        promote("ours", "ok"),
        json!({ "spawn": { "goal": "c", "image": "ours", "program": jsonl(&child) },
                "save": "c", "expect": "ok" }),
        wait("c"),
        told("ending"),
    ]);
    let head = [all_files(), allow("write", "process:spawn"), allow("read write", "image:*")];
    let lab = Lab::with(&head.concat(), &plan);
    lab.run().code(3);
    let card = lab.told(&["inbox"]);
    for shown in ["tool.promote", "always takes a human's word", "fs.read", "gives one", "return 1"]
    {
        assert!(card.contains(shown), "{shown} is not in\n{card}");
    }
    lab.json(&["deny", "req-1"]).code(0);
    lab.resume().code(3);
    lab.json(&["approve", "req-2"]).code(0);
    lab.resume().code(0);
    assert_eq!(result(&lab, "ending")["state"], "exited", "{}", lab.text("ending.txt"));
    let images = lab.json(&["image", "ls"]).code(0).lines();
    let names: Vec<&Value> = images.iter().map(|image| &image["name"]).collect();
    assert!(names.contains(&&json!("ours")) && !names.contains(&&json!("refused")), "{names:?}");
}

#[test]
fn a_tool_file_is_tested_and_run_without_an_agent() {
    let lab = Lab::new();
    lab.put("a.txt", "one two\nthree");
    let file = |result: u32| {
        format!(
            "name = 'words'\nlanguage = 'javascript'\ninput = true\nsource = '''\n\
             export default async function run(args, libos) {{\n\
             \x20 const file = await libos.fs.read({{ path: args.path }});\n\
             \x20 return file.text.split(/\\s+/).length;\n}}'''\n\
             [[need]]\ncall = 'fs.read'\n[[test]]\nname = 'two'\nargs = {{ path = 'a' }}\n\
             result = {result}\n[[test.calls]]\ncall = 'fs.read'\nargs = {{ path = 'a' }}\n\
             reply = {{ text = 'a b', bytes = 3, truncated = false, digest = '{}' }}\n",
            "00".repeat(32)
        )
    };
    std::fs::write(lab.path("words.toml"), file(3)).unwrap();
    let said = lab.libos(&["tool", "test", "words.toml"]).code(1).out;
    assert!(said.contains("FAILED  two: it gave 2 instead of 3"), "{said}");
    std::fs::write(lab.path("words.toml"), file(2)).unwrap();
    assert!(lab.told(&["tool", "test", "words.toml"]).contains("passed  two"));
    let args = r#"{"path": "a.txt"}"#;
    let run = ["tool", "run", "words.toml", "--args", args, "--workspace", "ws"];
    assert_eq!(lab.json(&run).code(4).steps().last().unwrap()["error"]["code"], "denied");
    let ran = lab.json(&[&run[..], &["--read", "fs:workspace/*"]].concat()).code(0);
    assert_eq!(ran.steps().last().unwrap()["reply"], json!({ "result": 3 }));
    assert_eq!(lab.failure(&["tool", "test", "p1/words"], 1).0, "not_found");
    let wrong = lab.libos(&["tool", "show", "words"]).code(2).err;
    assert!(wrong.contains("write one as p1/name"), "{wrong}");
}

#[test]
fn the_demo_of_tools_shows_four_languages_and_a_denied_tool() {
    let lab = Lab::new();
    let said = lab.told(&["demo", "tools", "--dir", "demo"]);
    for shown in ["by TypeScript", "\"lines.js\":\"denied\"", "Done: p1"] {
        assert!(said.contains(shown), "{shown} is not in\n{said}");
    }
    std::fs::rename(lab.path("demo/.libos"), lab.path("store")).unwrap();
    let found = lab.value(&["object", "show", "obj-1.1"])["payload"].clone();
    let lines = json!({ "lines": 3 });
    assert_eq!(
        found,
        json!({
            "lines_ts": lines, "lines_js": lines, "lines_wat": lines, "lines_component": lines,
            "curious": { "notes.txt": "read", "lines.js": "denied", "secret.txt": "denied" },
        })
    );
    // The audit tells of both denials and names the tool, which caught them.
    let denied = lab.json(&["audit", "ls", "--outcome", "denied"]).code(0).lines();
    let callers: Vec<&Value> = denied.iter().map(|op| &op["caller"]["tool"]["tool"]).collect();
    assert_eq!(callers, ["curious", "curious"]);
    // The same tool file, without an agent.
    let said = lab.told(&["tool", "test", "demo/lines.toml"]);
    assert!(said.contains("all of 2 tests passed"), "{said}");
}

#[test]
fn the_image_of_a_checkpoint_has_the_tools_of_its_process() {
    let one = tool("one", json!([]), "return 1;");
    let call = json!({ "tool": "one", "args": {}, "expect": "ok", "save": "called" });
    let mut plan = made(&one).to_vec();
    plan.extend([
        expect("message.receive", json!({ "subject": "on" }), "ok"),
        call.clone(),
        expect("tool.unregister", json!({ "name": "one" }), "ok"),
        json!({ "spawn": { "goal": "c", "image": "kept", "program": jsonl(&[call]) },
                "save": "c", "expect": "ok" }),
        wait("c"),
        told("ending"),
    ]);
    let head = [all_files(), allow("write", "process:spawn"), allow("read", "image:*")];
    let lab = Lab::with(&head.concat(), &plan);
    lab.run();
    lab.json(&["checkpoint", "create", "p1"]).code(0);
    lab.json(&["checkpoint", "commit", "ckpt-1.1", "kept"]).code(0);
    let image = lab.value(&["image", "show", "kept"]);
    assert!(image["tools"].as_array().unwrap().contains(&json!("one")), "{image:#}");
    lab.json(&["msg", "p1", "go on", "--subject", "on"]).code(0);
    lab.resume().code(0);
    assert_eq!(result(&lab, "ending")["state"], "exited", "{}", lab.text("ending.txt"));
    let called = lab.audit().into_iter().filter(|op| op["call"] == "tool.call");
    let called: Vec<Value> = called.map(|op| op["ended"].clone()).collect();
    assert_eq!(called, ["ok", "ok"], "of the process, and of a child made from the image");
    lab.verify(None).code(0);
}
