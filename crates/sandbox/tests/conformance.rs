//! The same cases in every language: what a tool is given, what it gives, how a call fails.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "it reads examples; what fails, panics"
)]

mod support;

use libos_abi::{ABI_VERSION, Error};
use libos_sandbox::{Artifact, Language, Needs, Report, Run, ToolError};
use serde_json::{Value, json};
use support::{Files, compile, denied, over, ran};

/// What a tool is to do with its argument, a path.
#[derive(Clone, Copy)]
enum Case {
    /// Give it back.
    Echo,
    /// Read the file and give its length in bytes.
    Length,
    /// Read the file and give the code of the error that this ends in.
    Caught,
    /// Read the file and let the error end the tool.
    Uncaught,
    /// End in an error of its own.
    Fail,
}

const LANGUAGES: [Language; 4] = Language::ALL;

fn source(language: Language, case: Case) -> String {
    match language {
        Language::JavaScript => script(case, "", ""),
        Language::TypeScript => script(case, ": string", ": Libos"),
        Language::Module => module(case),
        Language::Component => component(case),
    }
}

fn script(case: Case, path: &str, libos: &str) -> String {
    let body = match case {
        Case::Echo => "return path;",
        Case::Length => "return (await libos.fs.read({ path })).bytes;",
        Case::Caught => {
            "try { await libos.fs.read({ path }); } catch (error) { return error.code; }"
        }
        Case::Uncaught => "await libos.fs.read({ path });",
        Case::Fail => "throw new RangeError('too far');",
    };
    format!("export default async function run(path{path}, libos{libos}) {{ {body} }}")
}

/// A module that puts texts together in memory and gives the last one back.
fn module(case: Case) -> String {
    let body = match case {
        Case::Echo => {
            "(call $text (i32.const 16) (i32.const 6))
             (call $text (local.get $args) (local.get $bytes))
             (call $text (i32.const 22) (i32.const 1))"
        }
        // The reply begins `[{"ok":{"bytes":`.
        Case::Length => {
            "(call $read (local.get $args) (local.get $bytes))
             (call $text (i32.const 16) (i32.const 6))
             (call $until (i32.add (global.get $reply) (i32.const 16)) (i32.const 44))
             (call $text (i32.const 22) (i32.const 1))"
        }
        // The reply begins `[{"err":{"code":"`.
        Case::Caught => {
            "(call $read (local.get $args) (local.get $bytes))
             (call $text (i32.const 16) (i32.const 6))
             (call $text (i32.const 23) (i32.const 1))
             (call $until (i32.add (global.get $reply) (i32.const 17)) (i32.const 34))
             (call $text (i32.const 23) (i32.const 1))
             (call $text (i32.const 22) (i32.const 1))"
        }
        // An entry of a reply has the form of an envelope.
        Case::Uncaught => {
            "(call $read (local.get $args) (local.get $bytes))
             (call $text (i32.add (global.get $reply) (i32.const 1))
                         (i32.sub (global.get $length) (i32.const 2)))"
        }
        Case::Fail => "(call $text (i32.const 32) (i32.const 49))",
    };
    format!(
        r#"(module
  (import "libos" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 16) "{{\"ok\":}}\"")
  (data (i32.const 32) "{{\"err\":{{\"name\":\"RangeError\",\"message\":\"too far\"}}}}")
  (data (i32.const 96) "[{{\"op\":\"fs.read\",\"args\":{{\"path\":")
  (data (i32.const 136) "}}}}]")
  (global $free (mut i32) (i32.const 32768))
  (global $end (mut i32) (i32.const 1024))
  (global $reply (mut i32) (i32.const 0))
  (global $length (mut i32) (i32.const 0))
  (func (export "libos_alloc") (param $bytes i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (i32.add (local.get $bytes) (i32.const 1)))))
  ;; Adds a text to what is given back.
  (func $text (param $from i32) (param $bytes i32)
    (memory.copy (global.get $end) (local.get $from) (local.get $bytes))
    (global.set $end (i32.add (global.get $end) (local.get $bytes))))
  ;; Adds what stands before a character.
  (func $until (param $from i32) (param $stop i32)
    (loop $next
      (if (i32.ne (i32.load8_u (local.get $from)) (local.get $stop))
        (then
          (call $text (local.get $from) (i32.const 1))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (br $next)))))
  ;; Reads the file of a path.
  (func $read (param $path i32) (param $bytes i32) (local $packed i64)
    (call $text (i32.const 96) (i32.const 32))
    (call $text (local.get $path) (local.get $bytes))
    (call $text (i32.const 136) (i32.const 3))
    (local.set $packed
      (call $syscall (i32.const 1024) (i32.sub (global.get $end) (i32.const 1024))))
    (global.set $end (i32.const 1024))
    (global.set $reply (i32.wrap_i64 (i64.shr_u (local.get $packed) (i64.const 32))))
    (global.set $length (i32.wrap_i64 (local.get $packed))))
  (func (export "run") (param $args i32) (param $bytes i32) (result i64)
    {body}
    (i64.or
      (i64.shl (i64.const 1024) (i64.const 32))
      (i64.extend_i32_u (i32.sub (global.get $end) (i32.const 1024))))))"#
    )
}

/// A component. What it gives back lies at 64: 0 and a text, or 1 and a failure.
fn component(case: Case) -> String {
    let body = match case {
        Case::Echo => "(call $ok (local.get $args) (local.get $bytes))",
        Case::Length => {
            "(call $read-it (local.get $args) (local.get $bytes))
             (call $digits (i64.load (i32.const 8)))"
        }
        Case::Caught => {
            "(call $read-it (local.get $args) (local.get $bytes))
             (i32.store8 (i32.const 1024) (i32.const 34))
             (memory.copy (i32.const 1025) (i32.load (i32.const 8)) (i32.load (i32.const 12)))
             (i32.store8 (i32.add (i32.const 1025) (i32.load (i32.const 12))) (i32.const 34))
             (call $ok (i32.const 1024) (i32.add (i32.load (i32.const 12)) (i32.const 2)))"
        }
        // The failure names the error by its number.
        Case::Uncaught => {
            "(call $read-it (local.get $args) (local.get $bytes))
             (call $err (i32.const 200) (i32.const 10) (i32.const 211) (i32.const 7))
             (i32.store8 (i32.const 96) (i32.const 1))
             (i32.store (i32.const 100) (i32.load (i32.const 24)))"
        }
        Case::Fail => "(call $err (i32.const 200) (i32.const 10) (i32.const 211) (i32.const 7))",
    };
    format!(
        r#"(component
  (import "libos:tool/fs@{ABI_VERSION}.0.0" (instance $fs
    (type $error-type (record (field "code" string) (field "message" string) (field "number" u32)))
    (export "error" (type $error (eq $error-type)))
    (type $text-type (record
      (field "bytes" u64) (field "digest" string) (field "text" string) (field "truncated" bool)))
    (export "file-text" (type $text (eq $text-type)))
    (export "read" (func
      (param "path" string) (param "max-bytes" (option u32)) (result (result $text (error $error)))))))
  (core module $libc
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 32768))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $bytes i32) (result i32)
      (global.set $free (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get $bytes)))))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (alias export $fs "read" (func $fs-read))
  (core func $read (canon lower (func $fs-read) (memory $memory) (realloc $realloc)))
  (core module $main
    (import "libc" "memory" (memory 2))
    (import "fs" "read" (func $read (param i32 i32 i32 i32 i32)))
    (data (i32.const 200) "RangeError too far")
    ;; Reads the file that a JSON string names; the outcome lies at 0.
    (func $read-it (param $args i32) (param $bytes i32)
      (call $read
        (i32.add (local.get $args) (i32.const 1)) (i32.sub (local.get $bytes) (i32.const 2))
        (i32.const 0) (i32.const 0) (i32.const 0)))
    (func $ok (param $text i32) (param $bytes i32)
      (i32.store (i32.const 68) (local.get $text))
      (i32.store (i32.const 72) (local.get $bytes)))
    (func $err (param $name i32) (param $bytes i32) (param $message i32) (param $length i32)
      (i32.store8 (i32.const 64) (i32.const 1))
      (call $ok (local.get $name) (local.get $bytes))
      (i32.store (i32.const 76) (local.get $message))
      (i32.store (i32.const 80) (local.get $length)))
    ;; Gives back a number.
    (func $digits (param $number i64) (local $at i32)
      (local.set $at (i32.const 1100))
      (loop $next
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (i64.store8 (local.get $at)
          (i64.add (i64.rem_u (local.get $number) (i64.const 10)) (i64.const 48)))
        (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
        (br_if $next (i64.ne (local.get $number) (i64.const 0))))
      (call $ok (local.get $at) (i32.sub (i32.const 1100) (local.get $at))))
    (func (export "run") (param $args i32) (param $bytes i32) (result i32)
      {body}
      (i32.const 64)))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "fs" (instance (export "read" (func $read))))))
  (type $failure-type (record
    (field "name" string) (field "message" string)
    (field "stack" (option string)) (field "number" (option u32))))
  (export $failure "failure" (type $failure-type))
  (alias core export $main "run" (core func $main-run))
  (func $run (param "args" string) (result (result string (error $failure)))
    (canon lift (core func $main-run) (memory $memory) (realloc $realloc)))
  (export "run" (func $run)))"#
    )
}

async fn compiled(language: Language, case: Case) -> Artifact {
    let compiled = compile(language, &source(language, case)).await;
    compiled.unwrap_or_else(|error| panic!("{}: {error}", language.name()))
}

async fn report(language: Language, case: Case, path: &str) -> Report {
    let artifact = compiled(language, case).await;
    let files = Files::with(&[("a.txt", "twelve bytes"), ("empty.txt", "")]);
    let needs = Needs::from_iter(["fs.read"]);
    ran(&artifact, Run { needs, ..over(&json!(path).to_string(), files) }).await
}

/// Runs a case in every language; all give the same.
async fn check(case: Case, path: &str, expected: impl Fn(&Result<Value, ToolError>) -> bool) {
    for language in LANGUAGES {
        let outcome = report(language, case, path).await.outcome;
        assert!(expected(&outcome), "{}: {outcome:?}", language.name());
    }
}

fn is_call(outcome: &Result<Value, ToolError>, expected: &Error) -> bool {
    let Err(ToolError::Call { call, error, .. }) = outcome else {
        return false;
    };
    call == "fs.read" && error == expected
}

#[tokio::test]
async fn a_tool_gets_its_arguments() {
    check(Case::Echo, "a \"b\" ö\n", |outcome| outcome == &Ok(json!("a \"b\" ö\n"))).await;
}

#[tokio::test]
async fn a_tool_makes_a_system_call() {
    check(Case::Length, "a.txt", |outcome| outcome == &Ok(json!(12))).await;
    check(Case::Length, "empty.txt", |outcome| outcome == &Ok(json!(0))).await;
}

#[tokio::test]
async fn a_tool_can_catch_a_denial() {
    check(Case::Caught, "secret.txt", |outcome| outcome == &Ok(json!("denied"))).await;
    check(Case::Caught, "none.txt", |outcome| outcome == &Ok(json!("not_found"))).await;
}

#[tokio::test]
async fn a_denial_that_ends_a_tool_is_told_from_the_hosts_record() {
    check(Case::Uncaught, "secret.txt", |it| is_call(it, &denied("secret.txt"))).await;
}

#[tokio::test]
async fn an_error_of_its_own_ends_a_tool() {
    let is_own = |outcome: &Result<Value, ToolError>| {
        let Err(ToolError::Threw { name, message, .. }) = outcome else {
            return false;
        };
        name == "RangeError" && message == "too far"
    };
    check(Case::Fail, "a.txt", is_own).await;
}

#[tokio::test]
async fn the_same_run_takes_the_same_fuel() {
    for language in LANGUAGES {
        let mut first = None;
        for _ in 0..3 {
            let usage = report(language, Case::Length, "a.txt").await.usage;
            assert_eq!(usage, *first.get_or_insert(usage), "{}", language.name());
        }
    }
}

#[tokio::test]
async fn every_call_reaches_the_port_but_those_that_a_component_does_not_declare() {
    for language in LANGUAGES {
        let artifact = compiled(language, Case::Length).await;
        let files = Files::with(&[("a.txt", "four")]);
        let outcome = ran(&artifact, over("\"a.txt\"", files.clone())).await.outcome;
        if language == Language::Component {
            assert_eq!(artifact.imports(), Some(["fs.read"].into()));
            assert_eq!(outcome, Err(ToolError::Undeclared { call: "fs.read".into() }));
            assert_eq!(files.calls(), [""; 0]);
        } else {
            assert_eq!(artifact.imports(), None);
            assert_eq!(outcome, Ok(json!(4)));
            assert_eq!(files.calls(), ["fs.read"]);
        }
    }
}

#[tokio::test]
async fn the_examples_count_lines_in_every_language() {
    let files = ["lines.js", "lines.ts", "lines.wat", "lines.component.wat"];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tools");
    for (language, file) in LANGUAGES.into_iter().zip(files) {
        let source = std::fs::read_to_string(folder.join(file)).expect("the example is there");
        let artifact = compile(language, &source).await.unwrap_or_else(|e| panic!("{file}: {e}"));
        for (text, lines) in [("", 1), ("a", 1), ("a\nb\n", 3), ("\\n\\\\\n\"\r\t\u{1}\n", 3)] {
            let run = over(r#"{"path":"a.txt"}"#, Files::with(&[("a.txt", text)]));
            let run = Run { needs: Needs::from_iter(["fs.read"]), ..run };
            let outcome = ran(&artifact, run).await.outcome;
            assert_eq!(outcome, Ok(json!({ "lines": lines })), "{file}: {text:?}");
        }
        let run = over(r#"{"path":"secret"}"#, Files::with(&[]));
        let run = Run { needs: Needs::from_iter(["fs.read"]), ..run };
        let outcome = ran(&artifact, run).await.outcome;
        assert!(is_call(&outcome, &denied("secret")), "{file}: {outcome:?}");
    }
}
