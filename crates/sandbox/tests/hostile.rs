//! Hostile tools: each ends in its typed error within its limit and leaves nothing behind.
#![allow(clippy::panic, reason = "what fails, panics")]

mod support;

use std::sync::Arc;

use libos_abi::{Outcome, Syscall};
use libos_port::{BoxFuture, Port};
use libos_sandbox::{
    CompileError, Language, Limited, Limits, Occupied, Report, Run, RunLimits, Sandbox, ToolError,
    WhenFull,
};
use serde_json::{Value, json};
use support::{
    Files, cache, compile, denied, error, javascript, limited, over, plain, ran, run_javascript,
    sandbox, value,
};

/// A run with so much of everything that only the limit under test is met.
fn vast() -> RunLimits {
    RunLimits { fuel: u64::MAX, compute_ms: 600_000, ..RunLimits::STANDARD }
}

/// A sandbox whose limits a test chooses.
fn vast_sandbox() -> Sandbox {
    let limits = Limits { run: vast(), ..Limits::STANDARD };
    Sandbox::new(limits, &cache()).expect("a sandbox")
}

fn limit_of(report: &Report) -> Option<Limited> {
    match report.outcome {
        Err(ToolError::Limit { limit, .. }) => Some(limit),
        _ => None,
    }
}

/// Runs a script; gives the limit that it met. Whatever it took is given back.
async fn met(source: &str, run: Run) -> Option<Limited> {
    let report = run_javascript(source, run).await;
    assert_eq!(sandbox().occupied(), Occupied::default());
    let limit = limit_of(&report);
    assert!(limit.is_some(), "{:?}", report.outcome);
    limit
}

fn tool(body: &str) -> String {
    format!("export default async function run(args, libos) {{ {body} }}")
}

/// A module with one page of memory, a sound allocator and an entry point.
fn module(items: &str, run: &str) -> String {
    format!(
        r#"(module
  (import "libos" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 16) "[{{\"op\":\"clock.now\"}}]{{\"ok\":1}}")
  (func (export "libos_alloc") (param i32) (result i32) (i32.const 1024))
  {items}
  (func (export "run") (param $args i32) (param $bytes i32) (result i64) {run}))"#
    )
}

/// A module that gives back a text.
fn saying(text: &str) -> String {
    let items = format!("(data (i32.const 256) \"{}\")", text.replace('"', "\\22"));
    module(&items, &format!("(i64.const {})", (256_u64 << 32) + text.len() as u64))
}

/// Gives back `{"ok":1}`.
const GIVE_ONE: &str = "(i64.const 0x2400000008)";
/// Makes one system call.
const CALL: &str = "(drop (call $syscall (i32.const 16) (i32.const 20)))";

async fn run_module(source: &str, run: Run) -> Report {
    let artifact = compile(Language::Module, source).await;
    let report = ran(&artifact.expect("it compiles"), run).await;
    assert_eq!(sandbox().occupied(), Occupied::default());
    report
}

// ---- Loops and recursion ----

#[tokio::test]
async fn an_infinite_loop_runs_out_of_fuel() {
    let run = || limited(RunLimits { fuel: 50_000_000, ..RunLimits::STANDARD });
    for source in [
        tool("for (;;) {}"),
        tool("while (true) { try { throw 1 } catch {} finally { continue } }"),
        format!("for (;;) {{}} {}", tool("")),
        tool("const f = async () => { for (;;) await null; }; await f();"),
        tool("return /^(a+)+$/.test('a'.repeat(40) + 'b');"),
        tool("return { get x() { for (;;) {} } };"),
        tool("throw { get message() { for (;;) {} }, __proto__: Error.prototype };"),
    ] {
        assert_eq!(met(&source, run()).await, Some(Limited::Fuel), "{source}");
    }
    let endless = module("", "(loop $again (br $again)) (unreachable)");
    assert_eq!(limit_of(&run_module(&endless, run()).await), Some(Limited::Fuel));
    let start = module("(func $s (loop $again (br $again))) (start $s)", GIVE_ONE);
    assert_eq!(limit_of(&run_module(&start, run()).await), Some(Limited::Fuel));
}

#[tokio::test]
async fn an_infinite_loop_with_fuel_runs_out_of_time() {
    let sandbox = vast_sandbox();
    let compiled = sandbox.compile(Language::JavaScript, tool("for (;;) {}").as_bytes()).await;
    let run = limited(RunLimits { compute_ms: 50, ..vast() });
    let report = sandbox.run(&compiled.expect("it compiles"), run).await;
    assert_eq!(limit_of(&report), Some(Limited::Compute));
    assert_eq!(sandbox.occupied(), Occupied::default());
}

#[tokio::test]
async fn a_wait_for_a_call_is_no_computing() {
    // Many more ticks pass than the time of computing allows, all of them in a call.
    struct Slow;
    impl Port for Slow {
        fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
            let files = Files::default();
            Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                files.submit(call).await
            })
        }
    }
    let limits = RunLimits { compute_ms: 100, ..RunLimits::STANDARD };
    let source = tool("return (await libos.clock.now()).unix_ms;");
    let report = run_javascript(&source, Run { limits, ..over("{}", Arc::new(Slow)) }).await;
    assert_eq!(report.outcome, Ok(json!(1000)));
}

#[tokio::test]
async fn an_infinite_recursion_ends_as_an_error_or_at_the_stack() {
    let caught = "let depth = 0; const f = () => { depth += 1; return f() + 1; };
        try { f(); } catch (error) { return [error.name, depth > 100]; }";
    assert_eq!(value(&tool(caught)).await, json!(["RangeError", true]));
    for body in [
        "const f = () => f() + 1; f();",
        "const o = { toJSON() { return JSON.stringify(o); } }; return o;",
        "const f = () => [1, 2].sort(() => { f(); return 0; }); f();",
        "return eval('['.repeat(200000));",
        "return JSON.parse('['.repeat(1000000));",
        "return new RegExp('('.repeat(200000));",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a;",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] }); return p.x;",
    ] {
        let report = run_javascript(&tool(body), plain("{}")).await;
        let code = report.outcome.expect_err(body);
        let ends = matches!(
            code,
            ToolError::Threw { .. } | ToolError::Limit { limit: Limited::Stack, .. }
        );
        assert!(ends, "{body}: {code:?}");
        assert_eq!(sandbox().occupied(), Occupied::default());
    }
    let deep = module(
        "(func $f (result i32) (i32.add (call $f) (i32.const 1)))",
        "(drop (call $f)) (i64.const 0)",
    );
    assert_eq!(limit_of(&run_module(&deep, plain("{}")).await), Some(Limited::Stack));
}

#[test]
fn a_deep_recursion_needs_no_stack_of_the_host() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let source = tool("return JSON.parse('['.repeat(1000000));");
            run_javascript(&source, plain("{}")).await.outcome
        })
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run);
    let outcome = thread.expect("a thread").join().expect("the host goes on");
    outcome.expect_err("it does not end well");
}

// ---- Memory ----

#[tokio::test]
async fn a_memory_bomb_ends_at_its_limit() {
    for body in [
        "const all = []; for (;;) all.push('x'.repeat(1 << 20) + all.length);",
        "const all = []; for (;;) { try { all.push(new Uint8Array(1 << 20)); } catch {} }",
        "return new ArrayBuffer(1 << 30).byteLength;",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, [i]);",
    ] {
        assert_eq!(met(&tool(body), plain("{}")).await, Some(Limited::Memory), "{body}");
    }
    let grow = module("", "(drop (memory.grow (i32.const 2000))) (i64.const 0)");
    assert_eq!(limit_of(&run_module(&grow, plain("{}")).await), Some(Limited::Memory));
    let small = RunLimits { memory_bytes_max: 1 << 20, ..RunLimits::STANDARD };
    assert_eq!(met(&tool("return 1;"), limited(small)).await, Some(Limited::Memory));
}

#[tokio::test]
async fn a_table_bomb_ends_at_its_limit() {
    let table = "(table $t 1 funcref)";
    let grow = "(drop (table.grow $t (ref.null func) (i32.const 100000000))) (i64.const 0)";
    let report = run_module(&module(table, grow), plain("{}")).await;
    assert_eq!(limit_of(&report), Some(Limited::Tables));
}

#[tokio::test]
async fn a_module_that_asks_for_too_much_does_not_compile() {
    for items in [
        "(memory $more 1)".repeat(3),
        "(table $t 100000 funcref)".replace("$t", ""),
        "(table 1 funcref)".repeat(40),
    ] {
        let compiled = compile(Language::Module, &module(&items, GIVE_ONE)).await;
        let code = compiled.err().map(|error| error.code());
        assert!(matches!(code, Some("needs_too_much" | "syntax")), "{items}: {code:?}");
    }
    let source = module("", GIVE_ONE).replace("\"memory\") 1)", "\"memory\") 2000)");
    let compiled = compile(Language::Module, &source).await;
    assert_eq!(compiled.err().map(|error| error.code()), Some("needs_too_much"));
}

// ---- Floods ----

#[tokio::test]
async fn an_output_bomb_ends_at_its_limit() {
    let limits = RunLimits { output_bytes_max: 100_000, ..RunLimits::STANDARD };
    for body in ["return 'x'.repeat(100_000);", "throw new Error('x'.repeat(100_000));"] {
        assert_eq!(met(&tool(body), limited(limits)).await, Some(Limited::Output), "{body}");
    }
    let long = module("", "(i64.const 0x0000001000100000)");
    assert_eq!(limit_of(&run_module(&long, limited(limits)).await), Some(Limited::Output));
}

#[tokio::test]
async fn a_flood_of_lines_is_cut() {
    let body = "for (let i = 0; i < 1e5; i++) console.log('line', i); return 1;";
    let report = run_javascript(&tool(body), plain("{}")).await;
    assert_eq!(report.outcome, Ok(json!(1)));
    assert!(report.logs.len() <= 1000, "{}", report.logs.len());
    let body = "console.log('x'.repeat(1e6)); return 1;";
    let report = run_javascript(&tool(body), plain("{}")).await;
    assert!(report.logs[0].len() < 10_000);
}

#[tokio::test]
async fn a_flood_of_system_calls_ends_at_its_limit() {
    let limits = RunLimits { syscalls_max: 100, ..RunLimits::STANDARD };
    for body in [
        "for (;;) await libos.clock.now();",
        "for (;;) { try { await libos.syscall('no.such'); } catch {} }",
        "await Promise.all(Array.from({ length: 1000 }, () => libos.clock.now()));",
    ] {
        let files = Files::with(&[]);
        let run = Run { limits, ..over("{}", files.clone()) };
        assert_eq!(met(&tool(body), run).await, Some(Limited::Syscalls), "{body}");
        assert!(files.calls().len() <= 100);
    }
    let empty = module(
        "",
        "(loop $again (drop (call $syscall (i32.const 0) (i32.const 0))) (br $again)) (unreachable)",
    );
    assert_eq!(limit_of(&run_module(&empty, limited(limits)).await), Some(Limited::Syscalls));
}

#[tokio::test]
async fn giant_texts_do_not_cross() {
    let request = tool("await libos.fs.write({ path: 'a', text: 'x'.repeat(5e6) });");
    assert_eq!(met(&request, plain("{}")).await, Some(Limited::Request));

    let big = "x".repeat(4 << 20);
    let read = tool(
        "const all = [1, 2, 3].map(() => libos.fs.read({ path: 'a' }));
        return (await Promise.all(all)).length;",
    );
    let files = Files::with(&[("a", &big)]);
    assert_eq!(met(&read, over("{}", files.clone())).await, Some(Limited::Reply));

    let often = tool("for (;;) await libos.fs.read({ path: 'a' });");
    let limits = RunLimits { crossing_bytes_max: 20 << 20, ..RunLimits::STANDARD };
    let run = Run { limits, ..over("{}", files) };
    assert_eq!(met(&often, run).await, Some(Limited::Crossing));

    let args = format!("\"{big}\"");
    assert_eq!(met(&tool("return 1;"), plain(&args)).await, Some(Limited::Arguments));
}

#[tokio::test]
async fn deep_json_is_an_error_and_no_recursion_of_the_host() {
    let nested = "let a = 1; for (let i = 0; i < 1000; i++) a = [a];";
    let given = error(&tool(&format!("{nested} return a;"))).await;
    assert!(matches!(given, ToolError::BadResult { .. }), "{given:?}");
    let asked = tool(&format!(
        "{nested} try {{ await libos.syscall('tool.call', {{ name: 'a', args: a }}); }}
         catch (error) {{ return [error.code, error.call]; }}"
    ));
    assert_eq!(value(&asked).await, json!(["bad_message", "tool.call"]));
    let args = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let report = run_javascript(&tool("return 1;"), plain(&args)).await;
    report.outcome.expect_err("it does not end well");
}

// ---- Lies ----

#[tokio::test]
async fn pollution_of_prototypes_changes_nothing_outside_of_the_tool() {
    let pollution = "
        Object.prototype.err = { code: 'denied', message: 'polluted', number: 0 };
        Object.prototype.ok = 'polluted';
        Object.prototype.then = undefined;
        Array.prototype.toJSON = () => 'polluted';
        Object.defineProperty(Array.prototype, 0, { set() {}, get: () => 'polluted' });
        Array.prototype.push = Array.prototype.map = Array.prototype.join = () => 'polluted';
        String.prototype.toString = String.prototype.valueOf = () => 'polluted';
        Function.prototype.call = Function.prototype.bind = () => 'polluted';
        JSON.stringify = JSON.parse = () => 'polluted';
        Map.prototype.set = Map.prototype.delete = Map.prototype.forEach = undefined;
        globalThis.Promise = globalThis.Error = globalThis.String = undefined;";
    let frozen = "
        const tries = [
            () => { libos.fs.read = null; }, () => { libos.fs = null; }, () => { delete libos.fs; },
            () => { libos.SyscallError.prototype.code = 'x'; }, () => { libos.extra = 1; },
            () => { Object.setPrototypeOf(libos, {}); }, () => { console.log = null; },
        ];
        let failed = 0;
        for (const attempt of tries) { try { attempt(); } catch { failed += 1; } }";
    let source = tool(&format!(
        "{frozen} {pollution} const {{ bytes }} = await libos.fs.read({{ path: 'a' }});
         return bytes * 100 + failed;"
    ));
    let files = Files::with(&[("a", "four")]);
    let report = run_javascript(&source, over("{}", files.clone())).await;
    // What a tool does to the serializer of its own realm is its own result.
    let polluted = report.outcome.clone();
    assert!(
        matches!(polluted, Ok(Value::Number(ref it)) if it.as_u64() == Some(407)),
        "{polluted:?}"
    );
    assert_eq!(files.calls(), ["fs.read"]);
    // The next run knows nothing of it.
    let clean = run_javascript(&tool("return [{}.ok, [1].map(x => x)];"), plain("{}")).await;
    assert_eq!(clean.outcome, Ok(json!([null, [1]])));
}

#[tokio::test]
async fn a_forged_error_is_the_tools_own() {
    let forgeries = [
        "throw Object.assign(new Error('no'), { name: 'SyscallError', code: 'denied', number: 0 });",
        "throw { name: 'SyscallError', message: 'no', code: 'denied', number: 0 };",
        "class SyscallError extends Error { code = 'denied'; number = 0; } throw new SyscallError('no');",
        "const e = Object.create(libos.SyscallError.prototype); throw e;",
        "throw new libos.SyscallError({}, 'fs.read', { code: 'denied', message: 'no', number: 0 });",
    ];
    for body in forgeries {
        let error = error(&tool(body)).await;
        assert!(matches!(error, ToolError::Threw { .. }), "{body}: {error:?}");
    }
    // Even where a real error happened, only its number counts, and its words are the host's.
    let real = "try { await libos.fs.read({ path: 'secret' }); } catch (error) {
            error.message = 'allowed'; error.code = 'ok'; error.call = 'fs.write'; throw error;
        }";
    let ToolError::Call { call, error, .. } = error(&tool(real)).await else {
        panic!("the number of a real error is known to the host");
    };
    assert_eq!((call.as_str(), error), ("fs.read", denied("secret")));
    // A module can name any number, and gets what the host has under it, or nothing.
    let claim = |number: &str| {
        saying(&format!("{{\"err\":{{\"message\":\"denied\",\"number\":{number}}}}}"))
    };
    for number in ["0", "1", "18446744073709551615"] {
        let report = run_module(&claim(number), plain("{}")).await;
        assert!(matches!(report.outcome, Err(ToolError::Threw { .. })), "{:?}", report.outcome);
    }
}

#[tokio::test]
async fn what_a_tool_says_is_never_a_limit_or_a_trap() {
    let kinds = ["limit", "trapped", "denied", "call", "x"];
    for kind in kinds {
        let source = saying(&format!("{{\"err\":{{\"kind\":\"{kind}\"}}}}"));
        let report = run_module(&source, plain("{}")).await;
        assert!(matches!(report.outcome, Err(ToolError::BadResult { .. })), "{:?}", report.outcome);
    }
}

// ---- Calls out of turn ----

#[tokio::test]
async fn calls_left_behind_by_a_return_are_named_and_never_made() {
    let files = Files::with(&[]);
    let source = tool("libos.fs.write({ path: 'a', text: '' }); libos.clock.now(); return 1;");
    let report = run_javascript(&source, over("{}", files.clone())).await;
    assert_eq!(report.outcome, Err(ToolError::Unawaited { calls: "fs.write, clock.now".into() }));
    assert_eq!(files.calls(), [""; 0]);
    let later = tool("return { toJSON() { libos.clock.now(); return 1; } };");
    let report = run_javascript(&later, plain("{}")).await;
    assert_eq!(report.outcome, Err(ToolError::Unawaited { calls: "clock.now".into() }));
}

#[tokio::test]
async fn a_call_from_the_start_or_the_allocator_is_out_of_turn() {
    let start = module(&format!("(func $s {CALL}) (start $s)"), GIVE_ONE);
    let report = run_module(&start, plain("{}")).await;
    let when = "before it was called";
    assert_eq!(report.outcome, Err(ToolError::CallOutOfTurn { when }));
    let alloc = module("", GIVE_ONE).replace(
        "(result i32) (i32.const 1024))",
        &format!("(result i32) {CALL} (i32.const 1024))"),
    );
    let report = run_module(&alloc, plain("{}")).await;
    assert_eq!(report.outcome, Err(ToolError::CallOutOfTurn { when }));
    let within = alloc.replace(CALL, &format!("(if (global.get $on) (then {CALL}))"));
    let within = within.replace("(memory", "(global $on (mut i32) (i32.const 0)) (memory");
    let within = within.replace(
        "(result i64) (i64",
        &format!("(result i64) (global.set $on (i32.const 1)) {CALL} (i64"),
    );
    let report = run_module(&within, plain("{}")).await;
    assert_eq!(report.outcome, Err(ToolError::CallOutOfTurn { when: "within another" }));
}

#[tokio::test]
async fn a_promise_that_nothing_settles_is_told() {
    assert_eq!(error(&tool("await new Promise(() => {});")).await, ToolError::Stuck);
    let top = format!("await new Promise(() => {{}}); {}", tool(""));
    assert_eq!(error(&top).await, ToolError::Stuck);
}

// ---- Pointers ----

#[tokio::test]
async fn pointers_and_lengths_out_of_bounds_end_the_run() {
    let outside = |report: &Report| {
        matches!(report.outcome, Err(ToolError::BadPointer { .. } | ToolError::Limit { .. }))
    };
    for (at, bytes) in
        [(65_536_i64, 1_i64), (0, 65_537), (65_535, 2), (-1, 1), (-1, -1), (0, -1), (16, -16)]
    {
        let call = format!("(drop (call $syscall (i32.const {at}) (i32.const {bytes})))");
        let report = run_module(&module("", &format!("{call} {GIVE_ONE}")), plain("{}")).await;
        assert!(outside(&report), "{at} {bytes}: {:?}", report.outcome);
    }
    for given in [
        "-1",
        "0x0001000000000001",
        "0xffffffff00000001",
        "0x0000ffff00000002",
        "0x7fffffffffffffff",
    ] {
        let report = run_module(&module("", &format!("(i64.const {given})")), plain("{}")).await;
        assert!(outside(&report), "{given}: {:?}", report.outcome);
    }
    for place in ["-1", "65536", "65535"] {
        let source = module("", &format!("{CALL} {GIVE_ONE}"))
            .replace("(i32.const 1024)", &format!("(i32.const {place})"));
        let report = run_module(&source, plain("{}")).await;
        assert!(outside(&report), "{place}: {:?}", report.outcome);
    }
    let not_utf8 = module("(data (i32.const 256) \"\\ff\\fe\")", "(i64.const 0x10000000002)");
    let report = run_module(&not_utf8, plain("{}")).await;
    assert!(outside(&report), "{:?}", report.outcome);
}

#[tokio::test]
async fn a_request_that_is_no_batch_is_an_error_that_a_tool_can_read() {
    for request in [
        "",
        "{",
        "1",
        "{}",
        "[1]",
        "[{}]",
        "[{\\22op\\22:1}]",
        "\\ff",
        "[{\\22op\\22:\\22a\\22,\\22x\\22:1}]",
    ] {
        // Gives the reply back as its own envelope: it has the same form.
        let items = format!("(data (i32.const 256) \"{request}\")");
        let length = request.replace("\\22", "\"").replace("\\ff", "x").len();
        let call = format!("(call $syscall (i32.const 256) (i32.const {length}))");
        let report = run_module(&module(&items, &call), plain("{}")).await;
        let Err(ToolError::Call { call, error, .. }) = &report.outcome else {
            panic!("{request}: {:?}", report.outcome);
        };
        assert_eq!((call.as_str(), error.code()), ("libos.syscall", "bad_message"), "{request}");
    }
}

#[tokio::test]
async fn traps_are_told_by_their_kind() {
    for (run, what) in [
        ("(unreachable)", "wasm `unreachable` instruction executed"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0))) (i64.const 0)", "integer divide by zero"),
        ("(drop (i32.load (i32.const -4))) (i64.const 0)", "out of bounds memory access"),
    ] {
        let report = run_module(&module("", run), plain("{}")).await;
        assert_eq!(report.outcome, Err(ToolError::Trapped { what: what.into() }));
    }
    let start = module("(func $s (unreachable)) (start $s)", GIVE_ONE);
    let report = run_module(&start, plain("{}")).await;
    assert!(matches!(report.outcome, Err(ToolError::Trapped { .. })), "{:?}", report.outcome);
    let data = module("(data (i32.const 65535) \"ab\")", GIVE_ONE);
    let report = run_module(&data, plain("{}")).await;
    assert!(matches!(report.outcome, Err(ToolError::Trapped { .. })), "{:?}", report.outcome);
}

// ---- Imports and ambient things ----

#[tokio::test]
async fn an_import_of_anything_else_does_not_compile() {
    let refused = async |language, source: &str| {
        let compiled = compile(language, source).await;
        let error = compiled.err().unwrap_or_else(|| panic!("{source} compiles"));
        assert!(matches!(error, CompileError::Import { .. }), "{source}: {error:?}");
        error.to_string()
    };
    for source in [
        "import fs from 'node:fs'; export default () => 1;",
        "import './a.js'; export default () => 1;",
        "export * from 'a'; export default () => 1;",
        "export { default } from 'a';",
        "import data from './a.json' with { type: 'json' }; export default () => data;",
    ] {
        refused(Language::JavaScript, source).await;
        refused(Language::TypeScript, &source.replace("() => data", "() => data.x")).await;
    }
    for import in [
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
        r#"(import "libos" "other" (func))"#,
        r#"(import "libos" "syscall" (func $again (param i32) (result i64)))"#,
        r#"(import "env" "table" (table 1 funcref))"#,
        r#"(import "env" "global" (global i32))"#,
    ] {
        let source = module("", GIVE_ONE)
            .replace("(import \"libos\"", &format!("{import} (import \"libos\""));
        refused(Language::Module, &source).await;
    }
    let memory = module("", GIVE_ONE).replace("(memory (export \"memory\") 1)", "");
    let import = "(import \"env\" \"memory\" (memory 1)) (import \"libos\"";
    refused(Language::Module, &memory.replace("(import \"libos\"", import)).await;
    let wasi = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance
        (export "now" (func (result u64))))))"#;
    assert!(refused(Language::Component, wasi).await.contains("without WASI"));
    for component in [
        r#"(component (import "libos:tool/fs@2.0.0" (instance (export "erase" (func)))))"#,
        r#"(component (import "libos:tool/process@2.0.0" (instance (export "admit" (func)))))"#,
        r#"(component (import "libos:tool/fs@2.0.0" (instance (export "read" (func (result u32))))))"#,
        r#"(component (import "libos:tool/fs@1.0.0" (instance)))"#,
        r#"(component (import "libos:tool/fs" (instance)))"#,
        r#"(component (import "read" (func)))"#,
        r#"(component (import "m" (core module)))"#,
    ] {
        refused(Language::Component, component).await;
    }
}

#[tokio::test]
async fn a_dynamic_import_is_an_error() {
    let source = tool("try { await import('node:fs'); } catch (error) { return error.name; }");
    assert_eq!(value(&source).await, json!("ReferenceError"));
}

#[tokio::test]
async fn no_clock_and_no_chance_is_visible() {
    let source = tool(
        "
        const at = () => [Date.now(), new Date().getTime(), new Date().getTimezoneOffset()];
        const before = at();
        let count = 0;
        for (let i = 0; i < 3e6; i++) count += i % 7;
        await libos.clock.sleep({ ms: 50 });
        return { before, after: at(), count, random: [Math.random(), crypto.randomUUID()] };",
    );
    let first = value(&source).await;
    assert_eq!(first["before"], json!([0, 0, 0]));
    assert_eq!(first["before"], first["after"]);
    assert_eq!(first, value(&source).await);
    let run = Run { seed: 2, ..plain("{}") };
    let other = run_javascript(&source, run).await.outcome.expect("it ends well");
    assert_ne!(first["random"], other["random"]);
}

#[tokio::test]
async fn nothing_of_the_host_is_there() {
    let names = [
        "process",
        "require",
        "module",
        "Deno",
        "Bun",
        "std",
        "os",
        "fetch",
        "XMLHttpRequest",
        "WebSocket",
        "setTimeout",
        "setInterval",
        "setImmediate",
        "performance",
        "WebAssembly",
        "Worker",
        "SharedArrayBuffer",
        "Atomics",
        "importScripts",
        "navigator",
        "scriptArgs",
        "print",
        "load",
        "libos",
        "gc",
    ];
    let list = names.map(|name| format!("'{name}'")).join(",");
    let source = tool(&format!(
        "return [{list}].filter((name) => typeof globalThis[name] !== 'undefined');"
    ));
    assert_eq!(value(&source).await, json!([]));
}

#[tokio::test]
async fn a_run_leaves_nothing_for_the_next() {
    let source = "let count = 0; globalThis.seen ??= 0;
        export default async function run() { return [++count, ++globalThis.seen]; }";
    let artifact = javascript(source).await;
    for _ in 0..3 {
        assert_eq!(ran(&artifact, plain("{}")).await.outcome, Ok(json!([1, 1])));
    }
}

// ---- Others ----

#[tokio::test]
async fn others_go_on_beside_a_tool_that_computes() {
    let sandbox = vast_sandbox();
    let compile = async |source: String| {
        sandbox.compile(Language::JavaScript, source.as_bytes()).await.expect("it compiles")
    };
    let endless = compile(tool("for (;;) {}")).await;
    let quick = compile(tool("return (await libos.clock.now()).unix_ms;")).await;
    // One thread: the quick ones get their turn only if the endless ones give way.
    let hostile = || sandbox.run(&endless, limited(vast()));
    let others = async {
        for _ in 0..20 {
            let report = sandbox.run(&quick, plain("{}")).await;
            assert_eq!(report.outcome, Ok(json!(1000)));
        }
    };
    tokio::select! {
        report = hostile() => panic!("it never ends by itself: {report:?}"),
        report = hostile() => panic!("it never ends by itself: {report:?}"),
        () = others => {}
    }
    // What was dropped has ended.
    assert_eq!(sandbox.occupied(), Occupied::default());
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_wherever_it_stands() {
    let waiting = javascript(&tool("await libos.clock.sleep({ ms: 0 });")).await;
    let mut run = Box::pin(sandbox().run(&waiting, plain("{}")));
    let begun = tokio::time::timeout(std::time::Duration::from_millis(100), &mut run).await;
    assert!(begun.is_err());
    assert_ne!(sandbox().occupied(), Occupied::default());
    drop(run);
    assert_eq!(sandbox().occupied(), Occupied::default());
}

#[tokio::test]
async fn more_tools_than_slots_wait_or_are_refused() {
    let limits = Limits { slots: 2, ..Limits::STANDARD };
    let sandbox = Sandbox::new(limits, &cache()).expect("a sandbox");
    let source = tool("await libos.clock.sleep({ ms: 0 });");
    let waiting = sandbox.compile(Language::JavaScript, source.as_bytes()).await.expect("compiles");
    let quick = sandbox.compile(Language::JavaScript, tool("return 1;").as_bytes()).await;
    let quick = quick.expect("it compiles");
    let full = async {
        tokio::join!(sandbox.run(&waiting, plain("{}")), sandbox.run(&waiting, plain("{}")))
    };
    let beside = async {
        while sandbox.occupied().stacks < 2 {
            tokio::task::yield_now().await;
        }
        let refused = sandbox.run(&quick, Run { when_full: WhenFull::Refuse, ..plain("{}") }).await;
        assert_eq!(refused.outcome, Err(ToolError::Busy));
        // Another script can still be compiled.
        sandbox
            .compile(Language::JavaScript, tool("return 2;").as_bytes())
            .await
            .expect("compiles");
    };
    tokio::select! {
        _ = full => panic!("these wait for ever"),
        () = beside => {}
    }
    let runs = (0..20).map(|_| {
        let (sandbox, quick) = (sandbox.clone(), quick.clone());
        tokio::spawn(async move { sandbox.run(&quick, plain("{}")).await.outcome })
    });
    for run in runs.collect::<Vec<_>>() {
        assert_eq!(run.await.expect("no panic"), Ok(json!(1)));
    }
    assert_eq!(sandbox.occupied(), Occupied::default());
}
