//! Scripts: the contract between a tool in JavaScript or TypeScript and the sandbox.

mod support;

use serde_json::json;
use support::{Files, error, over, run_javascript, value};

#[tokio::test]
async fn a_tool_gets_its_arguments_and_gives_its_result() {
    let source = "export default async function run(args, libos) {
        console.log('hello', args); console.warn('odd');
        return { sum: args.a + args.b, type: typeof libos.fs.read };
    }";
    let report = run_javascript(source, over(r#"{"a":1,"b":2}"#, Files::with(&[]))).await;
    assert_eq!(report.outcome, Ok(json!({ "sum": 3, "type": "function" })));
    assert_eq!(report.logs, ["hello {\"a\":1,\"b\":2}", "warning: odd"]);
    eprintln!("{:?}", report.usage);
}
#[tokio::test]
async fn errors() {
    let e = error("export default async function run(args, libos) {\n  const f = async () => {\n    await libos.fs.read({path:'a'});\n  };\n  await f();\n}").await;
    eprintln!("{e:#?}");
    let e = error("export default async function run(args, libos) {\n  null.x; }").await;
    eprintln!("{e:#?}");
    let v = value("export default async function run(args, libos) {\n  return [String(new URL('../a?b#c', 'http://ex.org/x/y/z')), crypto.randomUUID(), new TextDecoder().decode(new TextEncoder().encode('äö€😀')), structuredClone({a:[1,new Date(0)]}), Date.now(), typeof performance, Object.getOwnPropertyNames(globalThis).join()] }").await;
    eprintln!("{v:#?}");
}
