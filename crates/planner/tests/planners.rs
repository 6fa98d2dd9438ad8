//! What must hold of the planners, over a port that is played.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use libos_abi::{
    Digest, Error, Fault, Json, MessageId, ObjectId, Outcome, Pid, Reply, Syscall, fs, object,
    process, tool,
};
use libos_planner::{LOAD_DEPTH_MAX, NonePlanner, ScriptPlanner, WorkflowPlanner, load, standard};
use libos_port::{BoxFuture, Planner, Port, QuantumEnd, Turn};
use serde_json::{Value, json};

type Play = dyn Fn(usize, &Syscall) -> Outcome + Send + Sync;

/// A port that answers as told and records what it was asked.
struct Stage {
    play: Box<Play>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl Port for Stage {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let mut calls = self.calls.lock().unwrap();
        let outcome = (self.play)(calls.len(), &call);
        calls.push((call.info().name.into(), call.args_json().unwrap()));
        Box::pin(async move { outcome })
    }
}

impl Stage {
    fn new(play: impl Fn(usize, &Syscall) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { play: Box::new(play), calls: Mutex::default() })
    }

    fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a played port answers at once"),
    }
}

fn quantum(planner: &dyn Planner, stage: &Arc<Stage>, program: &str, state: &str) -> QuantumEnd {
    ready(planner.quantum(Turn {
        pid: Pid(1),
        program: program.into(),
        state: state.into(),
        receipts: Vec::new(),
        port: stage.clone(),
    }))
}

fn script(stage: &Arc<Stage>, program: &str) -> QuantumEnd {
    quantum(&ScriptPlanner, stage, program, "")
}

/// Files that hold their path, `missing` that is not there, `secret` that is denied; objects and
/// children.
fn world(_: usize, call: &Syscall) -> Outcome {
    match call {
        Syscall::Fs(fs::Call::Read(read)) => match &*read.path.0 {
            "missing" => Err(fs::FailureKind::NotFound.because("nothing is there")),
            "secret" => Err(Fault::denied(None, libos_abi::DenyReason::NoGrant).into()),
            path => Ok(fs::Reply::Read(fs::FileText {
                text: path.into(),
                bytes: path.len() as u64,
                truncated: false,
                digest: Digest::of(path.as_bytes()),
                object: None,
            })
            .into()),
        },
        Syscall::Object(object::Call::Create(create)) => Ok(handle(&create.payload)),
        Syscall::Process(process::Call::Spawn(_)) => {
            Ok(process::Reply::Spawn(process::Made { pid: Pid(2), capabilities: Vec::new() })
                .into())
        }
        Syscall::Process(process::Call::Fork(_)) => {
            Ok(process::Reply::Fork(process::Made { pid: Pid(3), capabilities: Vec::new() }).into())
        }
        Syscall::Process(process::Call::Exec(exec)) if exec.image == "worker" => {
            let state = process::ProcessState::Runnable;
            Ok(process::Reply::Exec(process::StateReply { state }).into())
        }
        Syscall::Process(process::Call::Exec(_)) => {
            Err(process::FailureKind::UnknownImage.because("no such image"))
        }
        Syscall::Tool(tool::Call::CallTool(call)) if call.name == "interrupted" => {
            let (message, from) = (MessageId(4), Some(Pid(9)));
            Err(Fault::Interrupted { message, from, text: "look here".into() }.into())
        }
        Syscall::Tool(tool::Call::CallTool(call)) if call.name == "echo" => {
            let result = call.args.clone();
            Ok(tool::Reply::CallTool(tool::ToolResult { result }).into())
        }
        Syscall::Tool(_) => Err(tool::FailureKind::ToolFailed.because("it broke")),
        other => Err(Fault::Unsupported { call: other.info().name.into() }.into()),
    }
}

fn handle(payload: &Json) -> Reply {
    object::Reply::Create(object::Handle {
        id: ObjectId::new(1, 5),
        version: 1,
        digest: payload.0.digest(),
    })
    .into()
}

fn well() -> QuantumEnd {
    QuantumEnd::Exit { result: None, message: None, failed: false, code: None }
}

fn badly(code: &str, message: &str) -> QuantumEnd {
    QuantumEnd::Exit {
        result: None,
        message: Some(message.into()),
        failed: true,
        code: Some(code.into()),
    }
}

/// Runs `program` in the world above and tells its end and calls.
fn run(program: &str) -> (QuantumEnd, Vec<(String, Value)>) {
    let stage = Stage::new(world);
    (script(&stage, program), stage.calls())
}

#[test]
fn standard_planners_have_the_kinds_that_specifications_name() {
    let kinds: Vec<_> = standard().iter().map(|planner| planner.kind()).collect();
    assert_eq!(kinds, ["script", "workflow", "none"]);
}

#[test]
fn none_exits_at_once() {
    let stage = Stage::new(world);
    assert_eq!(quantum(&NonePlanner, &stage, "anything", ""), well());
    assert_eq!(stage.calls(), []);
}

#[test]
fn a_script_runs_its_steps_in_order_and_ends_well() {
    let (end, calls) = run("# a comment\n\n// another\n\
         {\"call\":\"fs.read\",\"args\":{\"path\":\"a\"},\"save\":\"a\",\"note\":\"why\"}\r\n  \
         {\"tool\":\"echo\",\"args\":{\"n\":[\"${a.bytes}\",\"${a.text}!\"]},\"save\":\"t\"}\n\
         {\"tool\":\"echo\",\"args\":{\"back\":\"${t.result.n.0}\"}}");
    assert_eq!(end, well());
    assert_eq!(
        calls,
        [
            ("fs.read".into(), json!({"path": "a", "max_bytes": null, "into": null})),
            ("tool.call".into(), json!({"name": "echo", "args": {"n": [1, "a!"]}})),
            ("tool.call".into(), json!({"name": "echo", "args": {"back": 1}})),
        ]
    );
    assert_eq!(run("").0, well());
}

#[test]
fn a_call_without_args_has_none() {
    let (end, calls) = run(r#"{"call":"clock.now","expect":"unsupported"}"#);
    assert_eq!(end, well());
    assert_eq!(calls, [("clock.now".into(), json!({}))]);
}

#[test]
fn exit_ends_the_plan_with_its_result() {
    let (end, calls) = run(r#"{"call":"object.create","args":{"type":"t","payload":1},"save":"o"}
           {"exit":{"result":"${o.id}","message":"made ${o.id}"}}
           {"call":"fs.read","args":{"path":"never"}}"#);
    assert_eq!(
        end,
        QuantumEnd::Exit {
            result: Some(ObjectId::new(1, 5)),
            message: Some("made obj-1.5".into()),
            failed: false,
            code: None,
        }
    );
    assert_eq!(calls.len(), 1);
    let (end, _) = run(r#"{"exit":{"failed":true,"code":"gave_up","message":"no"}}"#);
    assert_eq!(end, badly("gave_up", "no"));
    assert_eq!(run(r#"{"exit":{}}"#).0, well());
}

#[test]
fn an_exit_that_makes_no_sense_fails() {
    let (end, _) = run(r#"{"exit":{"result":"${o.id}"}}"#);
    assert_eq!(end, badly("bad_reference", "line 1: exit: `${o.id}`: nothing was saved as `o`"));
    let (end, _) = run(r#"{"exit":{"result":"five"}}"#);
    assert_eq!(
        end,
        badly(
            "bad_message",
            "line 1: exit: `five` is no object id; such an id looks like `obj-1.1`"
        ),
    );
}

#[test]
fn a_spawn_runs_its_program_and_leaves_its_references_alone() {
    let (end, calls) = run(r#"{"call":"fs.read","args":{"path":"a"},"save":"a"}
           {"spawn":{"goal":"read ${a.text}","program":"{\"tool\":\"echo\",\"args\":{\"x\":\"${a.text}\"}}","grants":[{"on":"fs:workspace/a","rights":["read"]}],"image":"base","cwd":"sub","budget":{"syscalls":9}},"save":"w"}
           {"spawn":{"goal":"by image"},"expect":"ok"}
           {"tool":"echo","args":{"pid":"${w.pid}"}}"#);
    assert_eq!(end, well());
    let (name, args) = &calls[1];
    assert_eq!(name, "process.spawn");
    assert_eq!(args["goal"], "read a");
    assert_eq!(args["planner"]["kind"], "script");
    let program = r#"{"tool":"echo","args":{"x":"${a.text}"}}"#;
    assert_eq!(args["planner"]["program"], program);
    assert_eq!(args["grants"][0]["on"], "fs:workspace/a");
    assert_eq!((&args["image"], &args["cwd"]), (&json!("base"), &json!("sub")));
    assert_eq!(args["budget"]["syscalls"], 9);
    assert_eq!(calls[2].1["planner"], Value::Null);
    assert_eq!(calls[3].1["args"]["pid"], "p2");
}

#[test]
fn a_fork_is_a_child_like_a_spawn() {
    let (end, calls) = run(
        r#"{"fork":{"goal":"g","mode":"speculative","program":"{\"tool\":\"echo\",\"args\":{\"x\":\"${mine}\"}}","budget":{"bytes":9}},"save":"f"}
           {"fork":{"goal":"the same plan","mode":"worker","roots":["obj-1.1"]}}
           {"call":"process.merge","args":{"pid":"${f.pid}"},"expect":"unsupported"}"#,
    );
    assert_eq!(end, well());
    let (name, args) = &calls[0];
    assert_eq!((name.as_str(), &args["mode"]), ("process.fork", &json!("speculative")));
    let program = r#"{"tool":"echo","args":{"x":"${mine}"}}"#;
    assert_eq!(args["planner"], json!({"kind": "script", "program": program}));
    assert_eq!(args["budget"]["bytes"], 9);
    assert_eq!(calls[1].1["planner"], Value::Null, "it goes on with the caller's program");
    assert_eq!(calls[2].1["pid"], "p3");
}

#[test]
fn a_plan_that_goes_on_as_another_image_ends_without_ending_its_process() {
    let exec = r#"{"exec":{"image":"worker","program":"{\"exit\":{}}","keep":["cap-1"]}}"#;
    let direct = r#"{"call":"process.exec","args":{"image":"worker"}}"#;
    for exec in [exec, direct] {
        let (end, calls) = run(&format!("{exec}\n{{\"tool\":\"echo\"}}"));
        assert_eq!(end, QuantumEnd::Continue { state: String::new() });
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].0, "process.exec");
    }
    let (_, calls) = run(exec);
    let planner = json!({"kind": "script", "program": "{\"exit\":{}}"});
    assert_eq!((&calls[0].1["planner"], &calls[0].1["keep"]), (&planner, &json!(["cap-1"])));
    // Refused, the plan goes on.
    let (end, calls) = run(r#"{"exec":{"image":"none"},"expect":"unknown_image"}
           {"tool":"echo"}"#);
    assert_eq!((end, calls.len()), (well(), 2));
}

#[test]
fn a_plan_goes_on_from_an_interrupt_and_knows_what_it_said() {
    let (end, calls) = run(r#"{"tool":"interrupted","save":"i"}
           {"tool":"echo","args":{"said":"${i.error.interrupted.text}","to":"${i.error.interrupted.from}","re":"${i.error.interrupted.message}","code":"${i.error.code}"}}
           {"tool":"interrupted","expect":["ok","interrupted"]}
           {"tool":"echo"}"#);
    assert_eq!((end, calls.len()), (well(), 4));
    let args = json!({"said": "look here", "to": "p9", "re": "msg-4", "code": "interrupted"});
    assert_eq!(calls[1].1["args"], args);
    let (end, _) = run(r#"{"tool":"interrupted","expect":"ok"}"#);
    let message = "line 1: tool interrupted: expected ok, got interrupted: interrupted by msg-4: \
                   look here";
    assert_eq!(end, badly("interrupted", message));
}

#[test]
fn a_refusal_is_saved_and_the_plan_goes_on() {
    let (end, calls) = run(r#"{"call":"fs.read","args":{"path":"missing"},"save":"m"}
           {"tool":"echo","args":{"code":"${m.error.code}","why":"${m.error.message}"}}"#);
    assert_eq!(end, well());
    assert_eq!(calls[1].1["args"], json!({"code": "not_found", "why": "nothing is there"}));
}

#[test]
fn an_expected_outcome_lets_the_plan_go_on() {
    let (end, calls) = run(r#"{"call":"fs.read","args":{"path":"a"},"expect":"ok"}
           {"call":"fs.read","args":{"path":"secret"},"expect":"denied"}
           {"call":"fs.read","args":{"path":"missing"},"expect":["ok","not_found"]}"#);
    assert_eq!((end, calls.len()), (well(), 3));
}

#[test]
fn another_outcome_than_the_expected_one_fails_the_run() {
    let (end, calls) =
        run(r#"{"call":"fs.read","args":{"path":"missing"},"expect":["ok","denied"]}
           {"call":"fs.read","args":{"path":"never"}}"#);
    let message = "line 1: fs.read: expected ok or denied, got not_found: nothing is there";
    assert_eq!((end, calls.len()), (badly("not_found", message), 1));
    let (end, _) = run("\n{\"tool\":\"echo\",\"expect\":\"denied\"}");
    assert_eq!(end, badly("expectation", "line 2: tool echo: expected denied, got ok"));
}

#[test]
fn a_bad_reference_makes_no_call_and_fails_the_run_unless_expected() {
    let (end, calls) = run(r#"{"call":"fs.read","args":{"path":"${x.y}"}}"#);
    let message = "line 1: fs.read: bad_reference: `${x.y}`: nothing was saved as `x`";
    assert_eq!((end, calls), (badly("bad_reference", message), vec![]));
    let (end, calls) =
        run(r#"{"call":"fs.read","args":{"path":"${x.y}"},"expect":"bad_reference","save":"e"}
           {"tool":"echo","args":{"code":"${e.error.code}"}}"#);
    assert_eq!(end, well());
    assert_eq!(calls[0].1["args"]["code"], "bad_reference");
    let (end, _) = run(r#"{"call":"fs.read","args":{"path":"${x}"},"expect":"denied"}"#);
    assert!(matches!(end, QuantumEnd::Exit { code: Some(code), .. } if code == "bad_reference"));
}

#[test]
fn a_bad_call_makes_no_call_and_fails_the_run_unless_expected() {
    let bad = r#"{"call":"fs.read","args":{"pth":"a"}"#;
    let (end, calls) = run(&format!("{bad}}}"));
    assert!(
        matches!(&end, QuantumEnd::Exit { code: Some(code), failed: true, message: Some(why), .. }
        if code == "bad_message" && why.contains("unknown field `pth`"))
    );
    assert_eq!(calls, []);
    let (end, _) = run(&format!("{bad},\"expect\":\"bad_message\"}}"));
    assert_eq!(end, well());
}

#[test]
fn an_error_that_ends_the_run_ends_the_plan() {
    for fault in [Fault::StaleRun, Fault::Cancelled, Fault::NoProcess] {
        let code = fault.code();
        let stage = Stage::new(move |_, _| Err(fault.clone().into()));
        let end = script(&stage, "{\"call\":\"clock.now\"}\n{\"call\":\"clock.now\"}");
        assert!(matches!(end, QuantumEnd::Exit { code: Some(got), .. } if got == code));
        assert_eq!(stage.calls().len(), 1);
    }
}

#[test]
fn a_malformed_program_or_state_fails_before_any_call() {
    let (end, calls) = run("{\"call\":\"clock.now\"}\n{\"call\":\"clock.nwo\"}");
    let message = "line 2: there is no call `clock.nwo`; did you mean `clock.now`?";
    assert_eq!((end, calls), (badly("bad_message", message), vec![]));
    let (end, _) = run(r#"{"spawn":{"goal":"g","script":"child.jsonl"}}"#);
    let message = "line 1: `script` names the file `child.jsonl`: load the script before it is run";
    assert_eq!(end, badly("bad_message", message));
    let stage = Stage::new(world);
    let end = quantum(&ScriptPlanner, &stage, "", "{}");
    assert!(matches!(end, QuantumEnd::Exit { code: Some(code), .. } if code == "bad_message"));
}

#[test]
fn a_long_script_takes_several_quanta_and_keeps_what_is_still_needed() {
    let mut program = String::from(
        "{\"call\":\"fs.read\",\"args\":{\"path\":\"kept\"},\"save\":\"a\"}\n\
         {\"call\":\"fs.read\",\"args\":{\"path\":\"dropped\"},\"save\":\"b\"}\n",
    );
    program.push_str(&"# between\n{\"tool\":\"echo\"}\n".repeat(126));
    program.push_str("{\"tool\":\"echo\",\"args\":{\"t\":\"${a.text}\"}}\n");
    let stage = Stage::new(world);
    let mut state = String::new();
    let mut quanta = Vec::new();
    let end = loop {
        let before = stage.calls().len();
        let end = quantum(&ScriptPlanner, &stage, &program, &state);
        quanta.push(stage.calls().len() - before);
        match end {
            QuantumEnd::Continue { state: next } => state = next,
            end => break end,
        }
        let kept: Value = serde_json::from_str(&state).unwrap();
        assert_eq!(kept["saved"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a"]);
    };
    assert_eq!((end, quanta), (well(), vec![64, 64, 1]));
    assert_eq!(stage.calls()[128].1["args"]["t"], "kept");
}

#[test]
fn exactly_one_quantum_of_steps_ends_in_that_quantum() {
    let (end, calls) = run(&"{\"tool\":\"echo\"}\n".repeat(64));
    assert_eq!((end, calls.len()), (well(), 64));
}

#[test]
fn a_quantum_that_runs_again_with_recorded_outcomes_makes_the_same_calls() {
    let program = r#"{"call":"fs.read","args":{"path":"a"},"save":"a"}
        {"call":"fs.read","args":{"path":"missing"},"save":"m"}
        {"tool":"echo","args":{"z":"${a}","y":"${m}","x":{"b":1,"a":"${a.digest}"}},"save":"t"}
        {"spawn":{"goal":"${t.result.z.text}","program":"{\"exit\":{}}"},"save":"w"}
        {"exit":{"message":"${w.pid}"}}"#;
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let tape = Arc::clone(&recorded);
    let first = Stage::new(move |index, call| {
        let outcome = world(index, call);
        tape.lock().unwrap().push(outcome.clone());
        outcome
    });
    let first_end = script(&first, program);
    let second = Stage::new(move |index, _| recorded.lock().unwrap()[index].clone());
    assert_eq!(script(&second, program), first_end);
    assert_eq!(second.calls(), first.calls());
    assert_eq!(first.calls().len(), 4);
}

#[test]
fn a_workflow_leaves_the_result_of_its_tool_as_an_object() {
    let stage = Stage::new(world);
    let end = quantum(&WorkflowPlanner, &stage, r#"{"tool":"echo","args":{"a":1}}"#, "");
    assert_eq!(
        end,
        QuantumEnd::Exit {
            result: Some(ObjectId::new(1, 5)),
            message: None,
            failed: false,
            code: None
        }
    );
    let calls = stage.calls();
    assert_eq!(calls[0], ("tool.call".into(), json!({"name": "echo", "args": {"a": 1}})));
    assert_eq!(calls[1].1["type"], "result");
    assert_eq!(calls[1].1["payload"], json!({"a": 1}));
}

#[test]
fn a_workflow_fails_with_the_code_of_what_failed() {
    let stage = Stage::new(world);
    let end = quantum(&WorkflowPlanner, &stage, r#"{"tool":"other"}"#, "");
    assert_eq!((end, stage.calls().len()), (badly("tool_failed", "it broke"), 1));
    let stage = Stage::new(|index, call| match index {
        0 => world(index, call),
        _ => Err(object::FailureKind::TooLarge.because("too much")),
    });
    let end = quantum(&WorkflowPlanner, &stage, r#"{"tool":"echo"}"#, "");
    assert_eq!(end, badly("too_large", "too much"));
    let stage = Stage::new(|_, _| Err(Error::from(Fault::NoProcess)));
    let end = quantum(&WorkflowPlanner, &stage, r#"{"tool":"echo","arg":1}"#, "");
    assert!(matches!(end, QuantumEnd::Exit { code: Some(code), .. } if code == "bad_message"));
    assert_eq!(stage.calls(), []);
}

fn no_files(name: &str) -> Result<String, String> {
    Err(format!("{name} is not there"))
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = load(text, &mut no_files).unwrap_err().to_string();
    assert_eq!(error, expected);
}

#[test]
fn load_tells_line_and_column_of_what_is_no_json() {
    refuses("\n{\"call\":\"fs.read\",}", "line 2: column 19: trailing comma");
    refuses("{\"call\":", "line 1: column 8: EOF while parsing a value");
    refuses("{} {}", "line 1: column 4: trailing characters");
    refuses("{\"call\":1}", "line 1: column 9: invalid type: integer `1`, expected a string");
    refuses(
        "{\"call\":\"clock.now\",\"args\":[]}",
        "line 1: column 27: invalid type: sequence, expected a map",
    );
}

#[test]
fn load_refuses_unknown_and_repeated_keys() {
    refuses(
        "#\n{\"call\":\"clock.now\",\"arg\":{}}",
        "line 2: column 25: unknown field `arg`, expected one of `call`, `tool`, `spawn`, `fork`, \
         `exec`, `exit`, `args`, `save`, `expect`, `note`",
    );
    refuses(
        "{\"spawn\":{\"goal\":\"g\",\"budgets\":{}}}",
        "line 1: column 30: unknown field `budgets`, expected one of `goal`, `script`, `program`, \
         `grants`, `image`, `cwd`, `budget`, `manifest`, `schedule`",
    );
    refuses(
        "{\"exit\":{\"ok\":true}}",
        "line 1: column 13: unknown field `ok`, expected one of `result`, `message`, `failed`, \
         `code`",
    );
    refuses(
        "{\"call\":\"clock.now\",\"call\":\"fs.read\"}",
        "line 1: column 26: duplicate field `call`",
    );
}

#[test]
fn load_wants_exactly_one_action() {
    refuses(
        "{\"args\":{}}",
        "line 1: a step needs one of `call`, `tool`, `spawn`, `fork`, `exec`, `exit`",
    );
    refuses(
        "{\"call\":\"fs.read\",\"tool\":\"read_file\"}",
        "line 1: a step has only one of `call`, `tool`, `spawn`, `fork`, `exec`, `exit`",
    );
    refuses("{\"exit\":{},\"save\":\"x\"}", "line 1: `save` does not go with `exit`");
    refuses("{\"exit\":{},\"expect\":\"ok\"}", "line 1: `expect` does not go with `exit`");
    refuses("{\"spawn\":{\"goal\":\"g\"},\"args\":{}}", "line 1: `args` does not go with `spawn`");
    refuses("{\"spawn\":{}}", "line 1: column 11: missing field `goal`");
    refuses("{\"fork\":{\"goal\":\"g\"}}", "line 1: column 20: missing field `mode`");
    refuses("{\"exec\":{\"image\":\"i\"},\"args\":{}}", "line 1: `args` does not go with `exec`");
    refuses(
        "{\"fork\":{\"goal\":\"g\",\"mode\":\"copy\",\"script\":\"a\",\"program\":\"\"}}",
        "line 1: `fork` has only one of `script` and `program`",
    );
    refuses(
        "{\"spawn\":{\"goal\":\"g\",\"script\":\"a\",\"program\":\"\"}}",
        "line 1: `spawn` has only one of `script` and `program`",
    );
}

#[test]
fn load_suggests_the_nearest_name() {
    refuses("{\"call\":\"read\"}", "line 1: there is no call `read`; did you mean `fs.read`?");
    refuses(
        "{\"call\":\"process.spwan\"}",
        "line 1: there is no call `process.spwan`; did you mean `process.spawn`?",
    );
    refuses(
        "{\"tool\":\"t\",\"expect\":[\"ok\",\"dennied\"]}",
        "line 1: no step ends in `dennied`; did you mean `denied`?",
    );
}

#[test]
fn load_refuses_names_expectations_and_references_that_cannot_work() {
    refuses(
        "{\"tool\":\"t\",\"save\":\"a.b\"}",
        "line 1: `a.b` is no name to save under: use letters, digits, `_` and `-`",
    );
    refuses(
        "{\"tool\":\"t\",\"expect\":[]}",
        "line 1: `expect` names no outcome; write \"ok\" or an error code",
    );
    refuses(
        "{\"tool\":\"t\",\"expect\":7}",
        "line 1: column 23: `expect` is \"ok\", an error code or a list of them",
    );
    refuses(
        "{\"tool\":\"t\",\"args\":{\"a\":[\"${x\"]}}",
        "line 1: `${x` has a `${` without `}`; write `$${` for a plain `${`",
    );
}

#[test]
fn load_embeds_the_scripts_of_children_and_keeps_line_numbers() {
    let mut files = |name: &str| match name {
        "child" => Ok("# child\n{\"spawn\":{\"script\":\"grandchild\",\"goal\":\"g\"}}".to_owned()),
        "grandchild" => Ok("{\"tool\":\"t\",\"args\":{\"x\":\"${y}\"}}".to_owned()),
        other => Err(format!("no {other}")),
    };
    let text = "# plan\n\n{\"spawn\":{\"script\":\"child\",\"goal\":\"c\"},\"save\":\"w\"}\n";
    let program = load(text, &mut files).unwrap();
    let line: Value = serde_json::from_str(program.lines().nth(2).unwrap()).unwrap();
    assert_eq!(line["spawn"].get("script"), None);
    let child = line["spawn"]["program"].as_str().unwrap();
    let line: Value = serde_json::from_str(child.lines().nth(1).unwrap()).unwrap();
    assert_eq!(line["spawn"]["program"], "{\"tool\":\"t\",\"args\":{\"x\":\"${y}\"}}");
    assert_eq!(load(&program, &mut no_files).unwrap(), program, "loading is idempotent");
    for key in ["fork", "exec"] {
        let text = format!(
            "{{\"{key}\":{{\"script\":\"grandchild\",{}}}}}",
            if key == "fork" { "\"goal\":\"g\",\"mode\":\"copy\"" } else { "\"image\":\"i\"" }
        );
        let line: Value = serde_json::from_str(&load(&text, &mut files).unwrap()).unwrap();
        assert_eq!(line[key]["program"], "{\"tool\":\"t\",\"args\":{\"x\":\"${y}\"}}");
    }
    let (end, calls) = run(&program);
    assert_eq!((end, calls.len()), (well(), 1));
}

#[test]
fn load_names_the_file_and_line_of_a_fault_in_a_child() {
    let mut files = |_: &str| Ok("\n{\"call\":\"fs.raed\"}".to_owned());
    let error = load("{\"spawn\":{\"script\":\"c.jsonl\",\"goal\":\"\"}}", &mut files).unwrap_err();
    assert_eq!((error.file.as_deref(), error.line), (Some("c.jsonl"), 2));
    let message = "c.jsonl line 2: there is no call `fs.raed`; did you mean `fs.read`?";
    assert_eq!(error.to_string(), message);
}

#[test]
fn load_refuses_missing_files_cycles_and_depth() {
    refuses(
        "{\"spawn\":{\"script\":\"x\",\"goal\":\"\"}}",
        "line 1: `x` cannot be read: x is not there",
    );
    let spawn = |file: &str| format!("{{\"spawn\":{{\"script\":\"{file}\",\"goal\":\"\"}}}}");
    let mut circle = |name: &str| Ok(spawn(if name == "a" { "b" } else { "a" }));
    let error = load(&spawn("a"), &mut circle).unwrap_err().to_string();
    assert_eq!(error, "b line 1: `a` starts itself: a -> b -> a");
    let mut deeper = |name: &str| Ok(spawn(&format!("{name}x")));
    let error = load(&spawn("x"), &mut deeper).unwrap_err();
    assert_eq!(error.file.unwrap().len(), LOAD_DEPTH_MAX - 1);
    assert_eq!(error.fault.to_string(), "scripts start one another more than 8 deep");
}

#[test]
fn load_refuses_a_program_that_grows_too_large() {
    let big = format!("# {}", "x".repeat(1 << 20));
    let mut files = |_: &str| Ok(big.clone());
    let text = "{\"spawn\":{\"script\":\"big\",\"goal\":\"\"}}\n".repeat(5);
    let error = load(&text, &mut files).unwrap_err();
    assert_eq!(error.line, 4);
    assert!(error.to_string().contains("over 4194304 bytes"));
}
