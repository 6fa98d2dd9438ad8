//! The provider of generated tools: what it makes of an order, in every language.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "it reads examples; what fails, panics"
)]

mod support;

use std::sync::{Arc, LazyLock};

use libos_abi::{
    Digest, Error, Json, OpId, Pid, Reply, Syscall,
    tool::{self, Definition, Program, ToolReport},
};
use libos_port::{EffectOutcome, Order, Provider as _};
use libos_sandbox::{GeneratedTools, Limits};
use serde_json::{Value, json};
use support::{Files, cache};

static TOOLS: LazyLock<GeneratedTools> =
    LazyLock::new(|| GeneratedTools::new(Limits::STANDARD, cache()));

fn definition(definition: Value) -> Definition {
    serde_json::from_value(definition).expect("a definition")
}

/// A tool in JavaScript whose function has this body.
fn javascript(body: &str) -> Value {
    json!({
        "name": "it", "language": "javascript", "input": true,
        "source": format!("export default async function run(args, libos) {{ {body} }}"),
    })
}

fn order(tool: Definition, call: impl Into<Syscall>, files: &Arc<Files>) -> Order {
    Order {
        pid: Some(Pid(1)),
        program: Some(Arc::new(Program { of: Pid(1), digest: Digest::of(b"it"), tool })),
        port: files.clone(),
        ..Order::alone(OpId(7), call)
    }
}

async fn called(tool: Definition, args: Value, files: &Arc<Files>) -> Result<Value, Error> {
    let args = Json::from(&args);
    let call = tool::CallTool { name: tool.name.clone(), args };
    match TOOLS.perform(order(tool, call, files)).await {
        EffectOutcome::Done(Reply::Tool(tool::Reply::CallTool(reply))) => {
            Ok(reply.result.value().expect("JSON"))
        }
        EffectOutcome::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

async fn validated(tool: Value) -> ToolReport {
    let tool = definition(tool);
    let call = tool::Validate { name: tool.name.clone(), pid: None };
    match TOOLS.perform(order(tool, call, &Files::with(&[]))).await {
        EffectOutcome::Done(Reply::Tool(tool::Reply::Validate(report))) => report,
        other => panic!("{other:?}"),
    }
}

async fn problem(tool: Value) -> String {
    let report = validated(tool).await;
    assert!(!report.passed);
    report.problem.expect("a problem").code
}

/// The example of each language, with a test.
fn examples() -> [Value; 4] {
    [
        ("javascript", include_str!("../../../examples/tools/lines.js")),
        ("typescript", include_str!("../../../examples/tools/lines.ts")),
        ("wat", include_str!("../../../examples/tools/lines.wat")),
        ("component", include_str!("../../../examples/tools/lines.component.wat")),
    ]
    .map(|(language, source)| {
        let reply = json!({ "text": "1\n2", "bytes": 3, "truncated": false,
            "digest": Digest::default() });
        let args = json!({ "path": "a.txt" });
        json!({
            "name": "lines", "language": language, "source": source,
            "input": { "type": "object", "required": ["path"] },
            "output": { "type": "object", "properties": { "lines": { "type": "integer" } } },
            "needs": [{ "call": "fs.read" }],
            "tests": [
                { "name": "two lines", "args": args, "result": { "lines": 2 },
                    "calls": [{ "call": "fs.read", "args": args, "reply": reply }] },
                { "name": "denied", "args": args, "error": "denied",
                    "calls": [{ "call": "fs.read", "args": args,
                        "error": { "code": "denied" } }] },
            ],
        })
    })
}

#[tokio::test]
async fn every_language_is_validated_and_called() {
    for tool in examples() {
        let language = tool["language"].to_string();
        let report = validated(tool.clone()).await;
        assert!(report.passed, "{language}: {report:?}");
        assert_eq!(report.tests.len(), 2);
        let files = Files::with(&[("in.txt", "a\nb\nc")]);
        let lines = called(definition(tool), json!({ "path": "in.txt" }), &files).await;
        assert_eq!(lines, Ok(json!({ "lines": 3 })), "{language}");
        assert_eq!(files.calls(), ["fs.read"], "{language}");
    }
}

#[tokio::test]
async fn arguments_and_results_are_held_against_their_schemas() {
    let mut tool = javascript("return args.n;");
    tool["input"] = json!({ "type": "object", "required": ["n"] });
    tool["output"] = json!({ "type": "integer" });
    let files = Files::with(&[]);
    let result = async |args: Value| {
        let ended = called(definition(tool.clone()), args, &files).await;
        ended.map_err(|error| (error.code(), error.to_string()))
    };
    assert_eq!(result(json!({ "n": 1 })).await, Ok(json!(1)));
    let (code, message) = result(json!({})).await.expect_err("nothing there");
    assert_eq!(code, "bad_arguments");
    assert!(message.contains("required"), "{message}");
    let (code, message) = result(json!({ "n": "x" })).await.expect_err("a text");
    assert_eq!(code, "tool_failed");
    assert!(message.contains("its result does not fit"), "{message}");
}

#[tokio::test]
async fn an_error_of_a_call_ends_the_tool_as_the_host_told_it_and_its_own_as_its_failure() {
    let files = Files::with(&[]);
    let ended = async |body: &str| called(definition(javascript(body)), json!({}), &files).await;
    let denied = ended("await libos.fs.read({ path: 'secret/a' });").await;
    assert_eq!(denied, Err(support::denied("secret/a")));
    let forged = "const error = new Error('denied'); error.code = 'denied'; throw error;";
    let own = ended(forged).await.expect_err("it throws");
    assert_eq!(own.code(), "tool_failed");
    assert!(own.to_string().contains("denied"), "{own}");
}

#[tokio::test]
async fn the_seed_follows_from_process_and_operation() {
    let files = Files::with(&[]);
    let random = async |op: u64| {
        let tool = definition(javascript("return crypto.randomUUID();"));
        let call = tool::CallTool { name: "it".into(), args: Json::default() };
        let order = Order { op: OpId(op), ..order(tool, call, &files) };
        TOOLS.perform(order).await
    };
    assert_eq!(random(1).await, random(1).await);
    assert_ne!(random(1).await, random(2).await);
}

#[tokio::test]
async fn a_tool_tightens_its_limits() {
    let mut tool = javascript("for (;;) {}");
    tool["limits"] = json!({ "fuel": 50_000_000 });
    let ended = called(definition(tool), json!({}), &Files::with(&[])).await;
    let error = ended.expect_err("it does not end by itself");
    assert!(error.to_string().contains("50000000 units of fuel"), "{error}");
}

#[tokio::test]
async fn what_makes_no_tool_is_told_with_its_place() {
    let mut broken = javascript("");
    broken["source"] = json!("export default function run() {\n  return (;\n}");
    let report = validated(broken).await;
    let found = report.problem.expect("it does not compile");
    assert_eq!((found.code.as_str(), found.line), ("syntax", Some(2)));
    let mut schema = javascript("return 1;");
    schema["output"] = json!({ "type": "nothing" });
    assert_eq!(problem(schema).await, "schema");
    let [.., mut component] = examples();
    component["needs"] = json!([{ "call": "fs.write" }]);
    assert_eq!(problem(component).await, "undeclared");
    let base64 = json!({ "name": "it", "language": "wat", "input": true, "source": "base64:%" });
    assert_eq!(problem(base64).await, "syntax");
}

#[tokio::test]
async fn an_order_without_a_tool_is_none_for_it() {
    let tool = definition(javascript("return 1;"));
    let call = tool::CallTool { name: "it".into(), args: Json::default() };
    let order = Order { program: None, ..order(tool, call, &Files::with(&[])) };
    assert!(matches!(TOOLS.perform(order).await, EffectOutcome::NotStarted(_)));
}
