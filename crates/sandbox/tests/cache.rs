//! Compiled code on disk: kept, checked, made anew.
#![allow(clippy::disallowed_methods, reason = "it changes the files of a cache")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use libos_sandbox::{Language, Limits, Sandbox};
use serde_json::json;
use support::plain;

const MODULE: &str = r#"(module
  (memory (export "memory") 1)
  (data (i32.const 16) "{\"ok\":\"made\"}")
  (func (export "libos_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (i64.const 0x100000000d)))"#;

/// Compiles the module in a sandbox of its own and runs it.
async fn made(folder: &Path) {
    let sandbox = Sandbox::new(Limits::STANDARD, folder).expect("a sandbox");
    let tool = sandbox.compile(Language::Module, MODULE.as_bytes()).await.expect("it compiles");
    assert_eq!(sandbox.run(&tool, plain("{}")).await.outcome, Ok(json!("made")));
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path()).collect();
    let [file] = files.as_slice() else {
        unreachable!("one tool was compiled: {files:?}");
    };
    file.clone()
}

#[tokio::test]
async fn a_changed_file_is_refused_and_made_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    made(folder.path()).await;
    let file = only_file(folder.path());
    let whole = fs::read(&file).expect("the compiled tool");
    // From the cache.
    made(folder.path()).await;
    for at in [0, 9, 50, 100, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        fs::write(&file, changed).expect("written");
        made(folder.path()).await;
        assert!(fs::read(&file).expect("it was made anew") == whole, "{at}");
    }
    fs::write(&file, &whole[..whole.len() / 2]).expect("written");
    made(folder.path()).await;
    assert!(fs::read(only_file(folder.path())).expect("it was made anew") == whole);
}

#[tokio::test]
async fn what_makes_no_tool_is_not_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::new(Limits::STANDARD, folder.path()).expect("a sandbox");
    let import = r#"(module (import "env" "x" (func)) (memory (export "memory") 1))"#;
    for source in ["(module)", "(module", import] {
        sandbox.compile(Language::Module, source.as_bytes()).await.err().expect("it is no tool");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
