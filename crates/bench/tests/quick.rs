//! Every bench runs, tiny, and each of its rows is a number.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "helpers of tests; the binary that a row starts is built where it is missing"
)]

use std::{path::Path, process::Command};

use libos_bench::{
    BENCHES,
    allocator::Counting,
    measure::{Figure, Scale},
    report::{Row, json, markdown, table},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn rows(name: &str) -> Vec<Row> {
    let bench = BENCHES.iter().find(|bench| bench.name == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale { quick: true, folder: folder.path().to_owned() };
    let rows = (bench.run)(&scale).unwrap();
    assert!(!rows.is_empty(), "{name} measures something");
    for row in &rows {
        let prefix = row.name.split('.').next().unwrap();
        assert!(bench.rows.contains(&prefix), "{name} says that it measures {}", row.name);
        let is_number = |figure: &Figure| figure.p50.is_finite() && figure.p50 > 0.0;
        assert!(is_number(&row.ours), "{row:?}");
        assert!(row.floor.iter().all(is_number), "{row:?}");
        assert_eq!(row.floor.is_some(), !row.floor_is.is_empty(), "{row:?}");
    }
    let shown = [table("here", &rows), markdown("here", &rows), json("here", &rows).unwrap()];
    assert!(shown.iter().all(|shown| rows.iter().all(|row| shown.contains(&row.name))));
    rows
}

/// The rows of a bench whose operations ask for memory, all counted.
fn counted(name: &str) -> Vec<f64> {
    rows(name).iter().filter_map(|row| row.allocations).collect()
}

#[test]
fn check() {
    assert_eq!(counted("check").len(), 4);
}

#[test]
fn syscall() {
    assert_eq!(counted("syscall").len(), 4);
}

#[test]
fn port() {
    rows("port");
}

#[test]
fn durable() {
    rows("durable");
}

#[test]
fn process() {
    assert!(counted("process").iter().any(|each| *each > 0.0), "a spawn asks for memory");
}

#[test]
fn fork() {
    rows("fork");
}

#[test]
fn checkpoint() {
    rows("checkpoint");
}

#[test]
fn message() {
    assert!(counted("message")[0] > 0.0, "a message is kept somewhere");
}

#[test]
fn store() {
    // It is there where all tests of the workspace run.
    if !Path::new(env!("CARGO_BIN_EXE_libos-bench")).with_file_name("libos").exists() {
        let build = ["build", "--locked", "--workspace", "--bin", "libos"];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    }
    rows("store");
}

#[test]
fn tasks() {
    rows("tasks");
}
