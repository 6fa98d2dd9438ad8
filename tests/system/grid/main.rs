//! The crash grid: every system call, killed at every boundary it passes, ends as if nothing had
//! happened.
//!
//! `cargo xtask crash` runs all of it and prints the table; the tests here run a part of it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod drive;
mod plans;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod truth;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
    thread,
    time::Instant,
};

use agent_libos::boundary::{BOUNDARIES, STEPS};
use drive::{At, Scene, Stage};
use plans::{Act, Case, cases};
use storm::storm;
use table::{Row, Table};

/// How much of the grid is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Each boundary once, where it is passed last.
    Quick,
    /// The same of going on after a kill in the middle of the task, and nothing else.
    Again,
    /// Every passing of every boundary, and those of going on after a kill in the middle of each
    /// command.
    Full,
}

/// Kills a case everywhere.
fn row(case: &Case, extent: Extent, table: &Mutex<Table>) -> Row {
    let start = Instant::now();
    let mut row = Row::of(case);
    if let Err(what) = kill_all(case, extent, &mut row, table) {
        let what = format!("{}: {what}", case.call);
        println!("\n{what}\n");
        table.lock().unwrap().failures.push(what);
    }
    row.took = start.elapsed();
    row
}

fn kill_all(
    case: &Case,
    extent: Extent,
    row: &mut Row,
    table: &Mutex<Table>,
) -> Result<(), String> {
    let stage = Stage::of(case)?;
    let mut kill = |scene: &Scene| {
        for at in chosen(&scene.passed, extent) {
            let found = stage.survives(scene, &at);
            table.lock().unwrap().add(row, scene, &at, found);
        }
    };
    if extent != Extent::Again {
        stage.scenes.iter().skip(case.spared).for_each(&mut kill);
    }
    if extent == Extent::Quick {
        return Ok(());
    }
    for (scene, act) in stage.scenes.iter().zip(&case.acts).skip(case.spared) {
        let Some(at) = middle(&scene.passed) else { continue };
        if extent == Extent::Again && *act != Act::Run {
            continue;
        }
        if let Some(scene) = stage.after(scene, at)? {
            kill(&scene);
        }
    }
    Ok(())
}

fn chosen(passed: &[At], extent: Extent) -> Vec<At> {
    let mut chosen = passed.to_vec();
    if extent != Extent::Full {
        let last = |at: &At| passed.iter().rfind(|other| other.name == at.name) == Some(at);
        chosen.retain(last);
    }
    chosen
}

/// Where a first kill leaves most to go on with: the effect was done and not reported, or else the
/// last records were on disk and nobody knew.
fn middle(passed: &[At]) -> Option<&At> {
    let last = |name| passed.iter().rfind(|at| at.name == name);
    last("effect.performed").or_else(|| last("commit.done"))
}

/// Kills every case of these everywhere, on all cores.
fn grid(cases: Vec<Case>, extent: Extent) -> Table {
    let table = Mutex::new(Table::default());
    let queue = Mutex::new(VecDeque::from(cases));
    let work = || {
        loop {
            let Some(case) = queue.lock().unwrap().pop_front() else { return };
            println!("{}", row(&case, extent, &table));
        }
    };
    println!("{}", Row::head());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    table.into_inner().unwrap()
}

fn of(calls: &[&str]) -> Vec<Case> {
    cases().into_iter().filter(|case| calls.contains(&case.call)).collect()
}

fn assert_survives(calls: &[&str], extent: Extent) {
    let cases = of(calls);
    assert_eq!(cases.len(), calls.len(), "each has its plan");
    let table = grid(cases, extent);
    assert!(table.failures.is_empty(), "{}", table.failures.join("\n\n"));
    assert!(table.passed > 20, "it was killed at {} boundaries", table.passed);
}

#[test]
fn a_change_of_state_survives_a_kill_at_every_boundary() {
    assert_survives(&["object.create"], Extent::Quick);
}

#[test]
fn a_read_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.read"], Extent::Quick);
}

#[test]
fn an_idempotent_effect_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.mkdir"], Extent::Quick);
}

#[test]
fn a_reconcilable_effect_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.write"], Extent::Quick);
}

#[test]
fn an_irreversible_effect_is_done_once_or_unknown_at_every_boundary() {
    assert_survives(&["shell.run"], Extent::Quick);
}

#[test]
fn a_request_survives_a_kill_at_every_boundary() {
    assert_survives(&["http.fetch", "http.replace", "http.send"], Extent::Quick);
}

#[test]
fn an_answer_of_a_model_survives_a_kill_at_every_boundary() {
    assert_survives(&["llm.complete"], Extent::Quick);
}

#[test]
fn a_remote_method_survives_a_kill_at_every_boundary() {
    assert_survives(&["rpc.query", "rpc.call"], Extent::Quick);
}

#[test]
fn an_answer_survives_a_kill_at_every_boundary() {
    assert_survives(&["human.decide"], Extent::Quick);
}

#[test]
fn going_on_after_a_kill_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.write", "shell.run"], Extent::Again);
}

#[test]
fn many_processes_survive_kills_at_any_moment() {
    storm(8, 6);
}

/// No call is left out of the grid.
#[test]
fn every_call_has_a_plan() {
    let have: BTreeSet<&str> = cases().iter().map(|case| case.call).collect();
    let open: BTreeSet<&str> = plans::open_calls().into_iter().map(|(call, _)| call).collect();
    let without: Vec<&str> = open.difference(&have).copied().collect();
    assert!(without.is_empty(), "these have no plan: {without:?}");
}

/// All of it, or what these variables choose: `LIBOS_GRID_CALL` one call, `LIBOS_GRID_FROM` a call
/// and those after it, `LIBOS_GRID_QUICK` the short form, `LIBOS_GRID_RANDOM` nothing but so many
/// kills at random moments.
#[test]
#[ignore = "takes long; `cargo xtask crash` runs it"]
fn all_of_it() {
    let told = |name: &str| std::env::var(format!("LIBOS_GRID_{name}")).ok();
    if let Some(kills) = told("RANDOM") {
        return storm(24, kills.parse().expect("a number"));
    }
    let extent = if told("QUICK").is_some() { Extent::Quick } else { Extent::Full };
    let (only, from) = (told("CALL"), told("FROM"));
    let mut cases = cases();
    if let Some(from) = &from {
        cases = cases.into_iter().skip_while(|case| case.call != from).collect();
    }
    cases.retain(|case| only.as_ref().is_none_or(|call| case.call == call));
    assert!(!cases.is_empty(), "there is no plan for {:?}", only.or(from));
    let table = grid(cases, extent);
    println!("{table}");
    assert!(table.failures.is_empty(), "{} kills failed", table.failures.len());
    if only.is_some() {
        return;
    }
    storm(24, if extent == Extent::Full { 100 } else { 15 });
    if from.is_none() && extent == Extent::Full {
        let killed = table.boundaries();
        let all = BOUNDARIES.iter().chain(STEPS).map(|(name, _)| *name);
        let missed: Vec<&str> = all.filter(|name| !killed.contains(name)).collect();
        assert!(missed.is_empty(), "nothing passed {missed:?}");
    }
}
