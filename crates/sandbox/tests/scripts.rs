//! Scripts: the contract between a tool in JavaScript or TypeScript and the sandbox.
#![allow(clippy::panic, reason = "what fails, panics")]

mod support;

use libos_sandbox::{CompileError, Language, Run, RunLimits, ToolError};
use serde_json::json;
use support::{Files, compile, error, over, plain, ran, run_javascript, value};

fn tool(body: &str) -> String {
    format!("export default async function run(args, libos) {{ {body} }}")
}

async fn typescript(source: &str) -> Result<serde_json::Value, ToolError> {
    let artifact = compile(Language::TypeScript, source).await.expect("it compiles");
    ran(&artifact, plain(r#"{"a":1,"b":2}"#)).await.outcome
}

async fn refused(language: Language, source: &str) -> CompileError {
    let compiled = compile(language, source).await;
    compiled.err().unwrap_or_else(|| panic!("it compiles: {source}"))
}

// ---- What goes in and out ----

#[tokio::test]
async fn a_tool_gets_its_arguments_and_gives_its_result() {
    let body = "return { sum: args.a + args.b, more: [null, 'ö', { x: 1.5 }] };";
    let report = run_javascript(&tool(body), plain(r#"{"a":1,"b":2}"#)).await;
    assert_eq!(report.outcome, Ok(json!({ "sum": 3, "more": [null, "ö", { "x": 1.5 }] })));
    for (body, expected) in [
        ("", json!(null)),
        ("return undefined;", json!(null)),
        (
            "return { a: undefined, b: () => 1, c: new Date(0), d: NaN };",
            json!({ "c": "1970-01-01T00:00:00.000Z", "d": null }),
        ),
        ("return { toJSON: () => 'instead' };", json!("instead")),
        ("return Promise.resolve(7);", json!(7)),
    ] {
        assert_eq!(value(&tool(body)).await, expected, "{body}");
    }
    for body in ["return 1n;", "const a = []; a.push(a); return a;"] {
        assert!(
            matches!(error(&tool(body)).await, ToolError::Threw { name, .. } if name == "TypeError"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn every_form_of_a_default_export_is_a_tool() {
    for source in [
        "export default function () { return 1; }",
        "export default async () => 1",
        "const run = () => 1; export default run;",
        "const run = () => 1; export { run as default };",
        "const value = await Promise.resolve(1); export default () => value;",
        "export default Object.assign(() => 1, { more: 1 }); export const other = 2;",
    ] {
        assert_eq!(value(source).await, json!(1), "{source}");
    }
    let not_callable = error("export default 7;").await;
    assert!(matches!(not_callable, ToolError::Threw { name, .. } if name == "TypeError"));
}

#[tokio::test]
async fn what_a_tool_prints_is_kept_in_order() {
    let body =
        "console.log('a', 1, { b: [2] }); console.warn('w'); console.error(new RangeError('r'));
        console.info(undefined, null, () => 1); return 1;";
    let logs = run_javascript(&tool(body), plain("{}")).await.logs;
    assert_eq!(
        logs,
        ["a 1 {\"b\":[2]}", "warning: w", "error: RangeError: r", "undefined null () => 1"]
    );
    let failing = "console.log('before'); throw new Error('x');";
    assert_eq!(run_javascript(&tool(failing), plain("{}")).await.logs, ["before"]);
}

// ---- Calls ----

#[tokio::test]
async fn calls_queued_in_one_turn_are_under_way_together_and_in_order() {
    let files = Files::with(&[("a", "A")]);
    let body = "const [one, a, two] = await Promise.all([
            libos.clock.sleep({ ms: 2 }), libos.fs.read({ path: 'a' }), libos.clock.sleep({ ms: 3 }),
        ]);
        return one.ms + a.text + two.ms;";
    let report = run_javascript(&tool(body), over("{}", files.clone())).await;
    assert_eq!(report.outcome, Ok(json!("2A3")));
    assert_eq!(report.usage.syscalls, 3);
    assert_eq!(files.calls(), ["clock.sleep", "fs.read", "clock.sleep"]);
    assert_eq!(files.open.lock().expect("no panic").1, 2);

    let one_by_one = Files::with(&[]);
    let body = "for (let i = 0; i < 3; i++) await libos.clock.sleep({ ms: 2 });";
    run_javascript(&tool(body), over("{}", one_by_one.clone())).await.outcome.expect("it ends");
    assert_eq!(one_by_one.open.lock().expect("no panic").1, 1);
}

#[tokio::test]
async fn a_long_batch_is_made_a_part_at_a_time() {
    let files = Files::with(&[]);
    let limits = RunLimits { batch_calls_max: 8, ..RunLimits::STANDARD };
    let body =
        "const all = Array.from({ length: 100 }, (_, i) => libos.clock.sleep({ ms: 1 + i % 3 }));
        return (await Promise.all(all)).map((slept) => slept.ms).reduce((a, b) => a + b);";
    let report = run_javascript(&tool(body), Run { limits, ..over("{}", files.clone()) }).await;
    assert_eq!(report.outcome, Ok(json!(199)));
    assert_eq!(files.calls().len(), 100);
    assert_eq!(files.open.lock().expect("no panic").1, 8);
}

#[tokio::test]
async fn an_error_of_a_call_is_a_typed_exception() {
    let body = "const seen = [];
        for (const [name, call] of [
            ['missing', () => libos.fs.read({ path: 'none' })],
            ['denied', () => libos.fs.read({ path: 'secret' })],
            ['argument', () => libos.fs.read({ path: 7 })],
            ['unknown', () => libos.syscall('fs.erase', {})],
            ['inner', () => libos.syscall('process.recover', {})],
        ]) {
            try { await call(); seen.push([name, 'no error']); } catch (error) {
                seen.push([name, error.code, error.call, error instanceof libos.SyscallError,
                    error instanceof Error, error.name, typeof error.message]);
            }
        }
        return seen;";
    let row = |name: &str, code: &str, call: &str| {
        json!([name, code, call, true, true, "SyscallError", "string"])
    };
    let expected = json!([
        row("missing", "not_found", "fs.read"),
        row("denied", "denied", "fs.read"),
        row("argument", "bad_message", "fs.read"),
        row("unknown", "bad_message", "fs.erase"),
        row("inner", "unsupported", "process.recover"),
    ]);
    assert_eq!(value(&tool(body)).await, expected);
}

#[tokio::test]
async fn one_failed_call_of_a_batch_leaves_the_others() {
    let body = "const all = await Promise.allSettled([
            libos.fs.read({ path: 'a' }), libos.fs.read({ path: 'secret' }), libos.fs.read({ path: 'a' }),
        ]);
        return all.map((it) => it.status);";
    let files = Files::with(&[("a", "")]);
    let report = run_javascript(&tool(body), over("{}", files)).await;
    assert_eq!(report.outcome, Ok(json!(["fulfilled", "rejected", "fulfilled"])));
}

#[tokio::test]
async fn a_rejection_that_nobody_handles_is_noted() {
    let body = "libos.fs.read({ path: 'none' }); await libos.clock.now(); return 1;";
    let report = run_javascript(&tool(body), plain("{}")).await;
    assert_eq!(report.outcome, Ok(json!(1)));
    assert_eq!(report.logs, ["warning: nobody handled SyscallError: no file `none`"]);
}

#[tokio::test]
async fn bindings_are_those_of_the_declarations() {
    let body = "return Object.keys(libos).flatMap((service) =>
        typeof libos[service] === 'object'
            ? Object.keys(libos[service]).map((method) => `${service}.${method}`) : []);";
    let found = value(&tool(body)).await;
    let mut found: Vec<&str> =
        found.as_array().expect("a list").iter().filter_map(|it| it.as_str()).collect();
    let calls = libos_abi::docs::open_services().flat_map(|(_, calls)| calls);
    let mut expected: Vec<&str> = calls.map(|call| call.name).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

// ---- Places ----

#[tokio::test]
async fn a_stack_tells_the_place_in_the_tools_own_source() {
    let source = "export default async function run(args, libos) {\n  const inner = () => {\n    throw new Error('x');\n  };\n  inner();\n}";
    let ToolError::Threw { stack, .. } = error(source).await else {
        panic!("it throws");
    };
    assert_eq!(stack, "at inner (tool.js:3:15)\nat run (tool.js:5:3)");
    let source = "export default async function run(args, libos) {\n  const file = await libos.fs.read({ path: 'secret' });\n  return file;\n}";
    let ToolError::Call { stack, .. } = error(source).await else {
        panic!("a call fails");
    };
    assert_eq!(stack, "at run (tool.js:2:31)");
}

#[tokio::test]
async fn a_stack_of_typescript_tells_the_place_before_it_was_stripped() {
    let source = "
interface Args {
  a: number;
  b: number;
}

type Deep<T> = { [K in keyof T]: Deep<T[K]> };

enum Level { Low, High }

function inner<T extends Args>(args: T): never {
  const level: Level = Level.High;
  const message = `${level}: ${args.a satisfies number}`;
  throw new RangeError(message);
}

export default async function run(args: Args, libos: Libos): Promise<number> {
  return inner({ a: 1, b: 2 } as Args);
}
";
    let Err(ToolError::Threw { name, message, stack }) = typescript(source).await else {
        panic!("it throws");
    };
    assert_eq!((name.as_str(), message.as_str()), ("RangeError", "1: 1"));
    assert_eq!(stack, "at inner (tool.ts:14:24)\nat run (tool.ts:18:10)");
}

// ---- TypeScript ----

#[tokio::test]
async fn typescript_is_stripped_and_runs() {
    let source = "
        import type { Something } from 'elsewhere';
        export type Result = { sum: number; kind: string };
        declare const unused: unique symbol;
        namespace Names { export const one = 'one'; }
        abstract class Base<T> { constructor(protected readonly value: T, private other = 2) {} abstract get(): T;
            both(): [T, number] { return [this.value, this.other]; } }
        class Child extends Base<number> { declare extra?: string; override get(): number { return this.value!; } }
        const enum Kind { A = 'a', B = 'b' }
        const pick = <T,>(it: T): T => it;
        function over(a: string): string; function over(a: number): number; function over(a: any): any { return a; }
        export default async function run(this: void, args: { a: number; b: number }, libos: Libos): Promise<Result> {
            const child = new Child(args.a) as Base<number>;
            const tuple: readonly [first: number, ...rest: string[]] = [1];
            let definite!: number; definite = pick<number>(args.b);
            const checked = { a: 1 } satisfies Record<string, number>;
            return { sum: child.get() + definite + tuple[0] + checked.a + over(0), kind: Kind.B + Names.one + child.both() };
        }";
    assert_eq!(typescript(source).await, Ok(json!({ "sum": 5, "kind": "bone1,2" })));
}

#[tokio::test]
async fn what_is_no_tool_is_told_with_its_place() {
    let at = |line, column| Some((line, column));
    for (language, source, code, expected) in [
        (Language::JavaScript, "export default (", "syntax", at(1, 17)),
        (
            Language::JavaScript,
            "export default () => {\n  let a = 1;\n  let a = 2;\n}",
            "syntax",
            at(3, 9),
        ),
        (Language::JavaScript, "export default () => 1;\n  x = = 2;", "syntax", at(2, 7)),
        (Language::JavaScript, "export const run = () => 1;", "no_export", None),
        (Language::JavaScript, "", "no_export", None),
        (Language::JavaScript, "return 1", "syntax", at(1, 1)),
        (Language::TypeScript, "export default (a: number => a", "syntax", at(1, 16)),
        (
            Language::TypeScript,
            "interface A {\n  b: ;\n}\nexport default () => 1;",
            "syntax",
            at(2, 6),
        ),
        (
            Language::TypeScript,
            "export default () => {\n  const ö = 1; const ö = 2;\n};",
            "syntax",
            at(2, 9),
        ),
        (Language::TypeScript, "export default (x: number) => x) / 2", "syntax", at(1, 32)),
        (Language::TypeScript, "export const run = (): number => 1;", "no_export", None),
        (Language::TypeScript, "type A = string;", "no_export", None),
        (
            Language::TypeScript,
            "@decorated class A {}\nexport default () => 1;",
            "syntax",
            at(1, 1),
        ),
        (Language::Module, "(module", "syntax", at(1, 8)),
        (Language::Module, "(module\n  (func (export \"run\") (i32.add)))", "syntax", None),
        (Language::Module, "(module)", "no_export", None),
        (Language::Module, "\0asm\u{1}\0\0", "syntax", None),
        (Language::Component, "(module)", "syntax", None),
        (Language::Component, "(component)", "no_export", None),
        (Language::Module, "(component)", "syntax", None),
    ] {
        let error = refused(language, source).await;
        let found = error.position().map(|at| (at.line, at.column));
        assert_eq!((error.code(), found), (code, expected), "{source}: {error}");
    }
}

#[tokio::test]
async fn sources_over_their_limit_are_not_looked_at() {
    for language in Language::ALL {
        let source = " ".repeat(17 << 20);
        assert_eq!(refused(language, &source).await.code(), "too_large");
    }
    let not_text = support::sandbox().compile(Language::JavaScript, b"\xff\xfe").await;
    assert_eq!(not_text.err().map(|error| error.code()), Some("syntax"));
}

#[tokio::test]
async fn sources_that_nest_without_end_are_refused_before_they_cost() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("f<", ">(1)"),
        ("a?(b=", "):c"),
        ("<T>(a=", ")=>1"),
        ("`${", "}`"),
    ] {
        for source in [open.repeat(5000), format!("x={}1{}", open.repeat(5000), close.repeat(5000))]
        {
            assert_eq!(refused(Language::TypeScript, &source).await.code(), "syntax", "{open}");
        }
    }
    // What nests without brackets costs stack, which is there.
    for prefix in ["!", "- ", "typeof ", "await ", "new ", "a=>", "a?b:", "a=", "a**", "if(a)"] {
        let source = format!("{}1", prefix.repeat((100 << 10) / prefix.len()));
        refused(Language::TypeScript, &source).await;
    }
    for suffix in ["+1", ".a", "()", "!", "[0]", ",1", " as A", "|A"] {
        let source = format!("x=a{}", suffix.repeat((100 << 10) / suffix.len()));
        refused(Language::TypeScript, &source).await;
    }
}

// ---- What tools expect of their surroundings ----

#[tokio::test]
async fn standard_objects_are_there() {
    let body = "return [
        new Set([1, 2]).union(new Set([3])).size, Object.groupBy([1, 2], (x) => x % 2 ? 'odd' : 'even'),
        [3, 1].toSorted(), 'a\\u0301'.normalize('NFC').length, String(2n ** 70n), /(?<y>\\d{4})/.exec('in 2026').groups.y,
        [1, 2, 3].values().map((x) => x * 2).toArray(), (await Array.fromAsync([Promise.resolve(1)])).length,
        new Date(86_400_000).toISOString(), atob(btoa('x')), new Intl_().x, new DOMException('m', 'N').name,
    ]; function Intl_() { this.x = typeof Intl; }";
    let expected = json!([
        3, { "odd": [1], "even": [2] }, [1, 3], 1, "1180591620717411303424", "2026", [2, 4, 6], 1,
        "1970-01-02T00:00:00.000Z", "x", "undefined", "N"
    ]);
    assert_eq!(value(&tool(body)).await, expected);
}

#[tokio::test]
async fn texts_become_bytes_and_back() {
    let body = r#"
        const encode = (text) => [...new TextEncoder().encode(text)];
        const decode = (bytes, options, label) => new TextDecoder(label, options).decode(new Uint8Array(bytes));
        const fails = (f) => { try { f(); return 'no error'; } catch (error) { return error.name; } };
        const parts = new TextDecoder();
        const target = new Uint8Array(4);
        return [
            encode('aö€😀'), encode('\ud800x'), decode(encode('aö€😀')),
            decode([0xff, 0x61]), decode([0xe2, 0x82]), decode([0xe2, 0x82, 0x61]), decode([0xf0, 0x80, 0x80, 0x80]),
            decode([0xed, 0xa0, 0x80]), decode([0xc0, 0xaf]), decode([0xf4, 0x90, 0x80, 0x80]),
            decode([0xef, 0xbb, 0xbf, 0x61]), decode([0xef, 0xbb, 0xbf, 0x61], { ignoreBOM: true }),
            parts.decode(new Uint8Array([0xe2, 0x82]), { stream: true }) + parts.decode(new Uint8Array([0xac])),
            fails(() => decode([0xff], { fatal: true })), fails(() => new TextDecoder('latin1')),
            new TextEncoder().encodeInto('a€b', target), [...target], new TextDecoder(' UTF8 ').encoding,
            new TextDecoder().decode(new Uint8Array([0, 97, 98]).subarray(1)), new TextDecoder().decode(),
        ];"#;
    let bad = "\u{fffd}";
    let expected = json!([
        [0x61, 0xc3, 0xb6, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80], [0xef, 0xbf, 0xbd, 0x78], "aö€😀",
        format!("{bad}a"), bad, format!("{bad}a"), bad.repeat(4), bad.repeat(3), bad.repeat(2), bad.repeat(4),
        "a", "\u{feff}a", "€", "TypeError", "RangeError", { "read": 2, "written": 4 },
        [0x61, 0xe2, 0x82, 0xac], "utf-8", "ab", ""
    ]);
    assert_eq!(value(&tool(body)).await, expected);
}

#[tokio::test]
async fn structured_clones_are_whole_and_apart() {
    let body = "
        const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
        const source = { date: new Date(5), map: new Map([[{ k: 1 }, new Set([1])]]), re: /a/gi, deep: [undefined, null, 1n],
            view: new Uint16Array(buffer, 2, 1), error: new RangeError('r', { cause: 'c' }), ['__proto__']: 1, boxed: Object(3) };
        source.self = source; source.again = source.view.buffer;
        const made = structuredClone(source);
        const fails = (it) => { try { structuredClone(it); return 'no error'; } catch (error) { return error.name; } };
        return [
            made !== source, made.self === made, made.date.getTime(), [...made.map][0][0].k, [...made.map][0][1].has(1),
            String(made.re), made.deep.length, String(made.deep[2]), made.view[0], made.view.buffer === made.again,
            made.again !== buffer, made.error instanceof RangeError, made.error.message, made.error.cause,
            Object.getPrototypeOf(made) === Object.prototype, Object.hasOwn(made, '__proto__'), made.boxed instanceof Number,
            fails(() => 1), fails(Symbol('s')), fails(new WeakMap()), fails(Promise.resolve()), structuredClone(undefined) ?? 'none',
        ];";
    let expected = json!([
        true,
        true,
        5,
        1,
        true,
        "/a/gi",
        3,
        "1",
        1027,
        true,
        true,
        true,
        "r",
        "c",
        true,
        true,
        true,
        "DataCloneError",
        "DataCloneError",
        "DataCloneError",
        "DataCloneError",
        "none"
    ]);
    assert_eq!(value(&tool(body)).await, expected);
}

#[tokio::test]
async fn random_names_follow_from_the_seed() {
    let source = tool(
        "const bytes = crypto.getRandomValues(new Uint8Array(8));
        return [crypto.randomUUID(), crypto.randomUUID(), Math.random(), [...bytes]];",
    );
    let with = async |seed| run_javascript(&source, Run { seed, ..plain("{}") }).await.outcome;
    let one = with(1).await.expect("it ends well");
    assert_eq!(with(1).await.as_ref(), Ok(&one));
    assert_ne!(with(2).await.as_ref(), Ok(&one));
    assert_ne!(one[0], one[1]);
    let form = tool(
        "const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
        const all = Array.from({ length: 1000 }, () => crypto.randomUUID());
        return [all.every((it) => form.test(it)), new Set(all).size];",
    );
    assert_eq!(value(&form).await, json!([true, 1000]));
    // Zero is a seed like any other.
    with(0).await.expect("it ends well");
}

#[tokio::test]
async fn urls_follow_the_standard() {
    let rows: &[(&str, Option<&str>, &str)] = &[
        ("http://EXAMPLE.com:80/a/../b/./c?x=1#y", None, "http://example.com/b/c?x=1#y"),
        ("  https://user:p%40ss@host:8443/  ", None, "https://user:p%40ss@host:8443/"),
        ("http://ex.org", None, "http://ex.org/"),
        ("../x?y", Some("http://ex.org/a/b/c"), "http://ex.org/a/x?y"),
        ("//other/p", Some("https://ex.org/a"), "https://other/p"),
        ("?q", Some("http://ex.org/a/b#c"), "http://ex.org/a/b?q"),
        ("#f", Some("http://ex.org/a?q"), "http://ex.org/a?q#f"),
        ("", Some("http://ex.org/a?q#f"), "http://ex.org/a?q"),
        ("/", Some("http://ex.org/a/b"), "http://ex.org/"),
        ("http:foo", Some("http://ex.org/a/b"), "http://ex.org/a/foo"),
        ("http:\\\\ex.org\\a\\b", None, "http://ex.org/a/b"),
        ("http://ex.org/a b?c d#e f", None, "http://ex.org/a%20b?c%20d#e%20f"),
        ("http://ex.org/ö?ö#ö", None, "http://ex.org/%C3%B6?%C3%B6#%C3%B6"),
        ("http://192.168.0.1.:81/", None, "http://192.168.0.1:81/"),
        ("http://0x7f.1/", None, "http://127.0.0.1/"),
        ("http://[2001:DB8::0:1]/", None, "http://[2001:db8::1]/"),
        ("http://[::ffff:1.2.3.4]/", None, "http://[::ffff:102:304]/"),
        ("http://%65x.org/%7Efoo/%2e%2E/x", None, "http://ex.org/x"),
        ("file:///a/../b", None, "file:///b"),
        ("file://localhost/x", None, "file:///x"),
        ("x", Some("file:///a/b"), "file:///a/x"),
        ("mailto:a@b.c?subject=x", None, "mailto:a@b.c?subject=x"),
        ("data:text/plain,a b#c", None, "data:text/plain,a b#c"),
        ("foo://host/a/../b", None, "foo://host/b"),
        ("foo:/a/./b", None, "foo:/a/b"),
        ("b", Some("foo://host/x/y"), "foo://host/x/b"),
        ("#x", Some("mailto:a@b"), "mailto:a@b#x"),
        ("ht\ntp://ex\t.org/", None, "http://ex.org/"),
        ("http://a:b@c:d@ex.org/", None, "http://a:b%40c%3Ad@ex.org/"),
        ("https://ex.org:443/", None, "https://ex.org/"),
        ("ws://ex.org:0/", None, "ws://ex.org:0/"),
        ("", None, "!"),
        ("x", None, "!"),
        ("http://", None, "!"),
        ("http://ex.org:99999/", None, "!"),
        ("http://ex.org:a/", None, "!"),
        ("http://a b/", None, "!"),
        ("http://[::1", None, "!"),
        ("http://[1:2]/", None, "!"),
        ("http://256.0.0.1/", None, "!"),
        ("http://1.2.3.4.5/", None, "!"),
        ("http://ex%00.org/", None, "!"),
        ("x", Some("mailto:a"), "!"),
        ("http://user@/x", None, "!"),
        ("http://ö.org/", None, "!"),
        ("://x", None, "!"),
    ];
    let asked: Vec<_> = rows.iter().map(|(input, base, _)| json!([input, base])).collect();
    let body = format!(
        "return {}.map(([input, base]) => {{
            try {{ return new URL(input, base ?? undefined).href; }} catch (error) {{ return error instanceof TypeError ? '!' : String(error); }}
        }});",
        json!(asked)
    );
    let found = value(&tool(&body)).await;
    for ((input, base, expected), found) in rows.iter().zip(found.as_array().expect("a list")) {
        assert_eq!(found, expected, "{input} {base:?}");
    }
}

#[tokio::test]
async fn the_parts_of_a_url_can_be_read_and_set() {
    let body = r#"
        const url = new URL('https://u:p@ex.org:8080/a/b?x=1&y=2#z');
        const parts = (it) => [it.origin, it.protocol, it.username, it.password, it.host, it.hostname, it.port, it.pathname, it.search, it.hash];
        const before = parts(url);
        url.searchParams.append('x', 'ä &'); url.searchParams.delete('y'); url.hash = 'new'; url.pathname = '/p q'; url.port = '443';
        url.hostname = 'other.org'; url.username = 'me:'; url.password = ''; url.protocol = 'mailto';
        const after = url.href;
        url.search = '?a=b'; url.host = 'h:99'; url.protocol = 'http:';
        const params = new URLSearchParams('?a=1&b=2&a=3&c');
        params.set('a', '9'); params.sort();
        return [before, after, url.href, url.searchParams.get('a'), [...params], params.has('c', ''), String(new URLSearchParams({ 'k v': '~*' })),
            params.size, URL.canParse('x:'), URL.parse('x'), JSON.stringify({ url }), String(new URLSearchParams([['a', '1'], ['a', '2']]).getAll('a'))];"#;
    let expected = json!([
        [
            "https://ex.org:8080",
            "https:",
            "u",
            "p",
            "ex.org:8080",
            "ex.org",
            "8080",
            "/a/b",
            "?x=1&y=2",
            "#z"
        ],
        "https://me%3A@other.org/p%20q?x=1&x=%C3%A4+%26#new",
        "http://me%3A@h:99/p%20q?a=b#new",
        "b",
        [["a", "9"], ["b", "2"], ["c", ""]],
        true,
        "k+v=%7E*",
        3,
        true,
        null,
        "{\"url\":\"http://me%3A@h:99/p%20q?a=b#new\"}",
        "1,2"
    ]);
    assert_eq!(value(&tool(body)).await, expected);
}
