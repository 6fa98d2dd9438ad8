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
#[path = "../support/mod.rs"]
mod support;
mod truth;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
};

use agent_libos::boundary::{BOUNDARIES, STEPS};
use drive::{At, Kill, Undisturbed, Verdict};
use plans::{Act, Case, cases, class_name};

/// How much of the grid is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Each boundary once, where it is passed last.
    Quick,
    /// Every passing of every boundary, and those of going on after a kill in the middle.
    Full,
}

/// One case, ready to be killed.
struct Row {
    case: Case,
    wanted: Undisturbed,
    kills: Vec<Kill>,
}

fn row(case: Case, extent: Extent) -> Result<Row, String> {
    let wanted = drive::undisturbed(&case)?;
    let mut kills = Vec::new();
    for (act, passed) in wanted.passed.iter().enumerate() {
        for at in chosen(passed, extent) {
            kills.push(Kill { act, at, again: None });
        }
    }
    if extent == Extent::Full {
        kills.extend(twice(&case, &wanted)?);
    }
    Ok(Row { case, wanted, kills })
}

fn chosen(passed: &[At], extent: Extent) -> Vec<At> {
    let mut chosen = passed.to_vec();
    if extent == Extent::Quick {
        let last = |at: &At| passed.iter().rfind(|other| other.name == at.name) == Some(at);
        chosen.retain(last);
    }
    chosen
}

/// Kills of what goes on after a kill: where the effect was done and not reported, or else where
/// the last records were on disk and nobody knew.
fn twice(case: &Case, wanted: &Undisturbed) -> Result<Vec<Kill>, String> {
    let act = case.acts.iter().position(|act| *act == Act::Run).unwrap_or_default();
    let last = |name| wanted.passed[act].iter().rfind(|at| at.name == name);
    let Some(at) = last("effect.performed").or_else(|| last("commit.done")).cloned() else {
        return Ok(Vec::new());
    };
    let kill = Kill { act, at: at.clone(), again: None };
    let passed = drive::passed_after(case, &kill)?;
    let again = |second| Kill { act, at: at.clone(), again: Some(second) };
    Ok(passed.into_iter().map(again).collect())
}

/// What came of all kills, by class and boundary.
#[derive(Default)]
struct Table {
    cells: BTreeMap<(&'static str, String), Cell>,
    failures: Vec<String>,
    passed: usize,
    passed_by: usize,
}

#[derive(Default)]
struct Cell {
    kills: usize,
    lost: usize,
    twice: usize,
    unknown: usize,
}

impl Table {
    fn add(&mut self, case: &Case, kill: &Kill, verdict: &Verdict) {
        if verdict.passed_by {
            self.passed_by += 1;
            return;
        }
        let name = match &kill.again {
            Some(at) => format!("resumed, {}", at.name),
            None => kill.at.name.clone(),
        };
        let class = class_name(case.class);
        let cell = self.cells.entry((class, name)).or_default();
        cell.kills += 1;
        cell.lost += usize::from(!verdict.lost.is_empty());
        cell.twice += usize::from(!verdict.twice.is_empty());
        cell.unknown += usize::from(verdict.unknown > 0);
        let may_be_unknown = class == "irreversible";
        let is_good = verdict.lost.is_empty()
            && verdict.twice.is_empty()
            && (verdict.unknown == 0 || may_be_unknown);
        match is_good {
            true => self.passed += 1,
            false => self.failures.push(format!(
                "{} killed at {kill:?}\n  lost {:#?}\n  twice {:#?}\n  unknown {}",
                case.call, verdict.lost, verdict.twice, verdict.unknown
            )),
        }
    }

    fn print(&self) {
        println!("{:<13} {:<30} {:>6} {:>5} {:>10} {:>8}", "class", "boundary", "kills", "lost", "duplicated", "unknown");
        for ((class, name), cell) in &self.cells {
            let Cell { kills, lost, twice, unknown } = cell;
            println!("{class:<13} {name:<30} {kills:>6} {lost:>5} {twice:>10} {unknown:>8}");
        }
        for failure in &self.failures {
            println!("\n{failure}");
        }
        println!("\n{} kills at boundaries that were passed by in three tries", self.passed_by);
        println!("{} passed, {} failed", self.passed, self.failures.len());
    }
}

/// Kills every case of these everywhere, on two threads.
fn grid(cases: Vec<Case>, extent: Extent) -> Table {
    let table = Mutex::new(Table::default());
    let queue = Mutex::new(cases);
    let work = || {
        loop {
            let Some(case) = queue.lock().unwrap().pop() else { return };
            let call = case.call;
            let row = match row(case, extent) {
                Ok(row) => row,
                Err(what) => {
                    table.lock().unwrap().failures.push(format!("{call}: {what}"));
                    continue;
                }
            };
            for kill in &row.kills {
                let verdict = drive::survive(&row.case, &row.wanted, kill);
                table.lock().unwrap().add(&row.case, kill, &verdict);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    table.into_inner().unwrap()
}

fn of(calls: &[&str]) -> Vec<Case> {
    cases().into_iter().filter(|case| calls.contains(&case.call)).collect()
}

fn assert_survives(calls: &[&str]) {
    let cases = of(calls);
    assert_eq!(cases.len(), calls.len(), "each has its plan");
    let table = grid(cases, Extent::Quick);
    assert!(table.failures.is_empty(), "{}", table.failures.join("\n\n"));
    assert!(table.passed > 20, "it was killed at {} boundaries", table.passed);
}

#[test]
fn a_change_of_state_survives_a_kill_at_every_boundary() {
    assert_survives(&["object.create"]);
}

#[test]
fn a_read_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.read"]);
}

#[test]
fn an_idempotent_effect_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.mkdir"]);
}

#[test]
fn a_reconcilable_effect_survives_a_kill_at_every_boundary() {
    assert_survives(&["fs.write"]);
}

#[test]
fn an_irreversible_effect_is_done_once_or_unknown_at_every_boundary() {
    assert_survives(&["shell.run"]);
}

#[test]
fn an_answer_survives_a_kill_at_every_boundary() {
    assert_survives(&["human.decide"]);
}

/// No call is left out of the grid but by name.
#[test]
fn every_call_has_a_plan() {
    let have: BTreeSet<&str> = cases().iter().map(|case| case.call).collect();
    let open: BTreeSet<&str> = plans::open_calls().into_iter().map(|(call, _)| call).collect();
    let without: Vec<&&str> = open.difference(&have).collect();
    assert!(without.is_empty(), "without a plan: {without:?}");
}

/// All of it, or the calls that `LIBOS_GRID_CALL` names, or with `LIBOS_GRID_QUICK` its short form.
#[test]
#[ignore = "takes long; `cargo xtask crash` runs it"]
fn all_of_it() {
    let wanted = std::env::var("LIBOS_GRID_CALL").ok();
    let extent = match std::env::var_os("LIBOS_GRID_QUICK") {
        Some(_) => Extent::Quick,
        None => Extent::Full,
    };
    let mut cases = cases();
    cases.retain(|case| wanted.as_ref().is_none_or(|call| case.call == call));
    assert!(!cases.is_empty(), "there is no plan for {wanted:?}");
    let is_all = wanted.is_none();
    let table = grid(cases, extent);
    table.print();
    assert!(table.failures.is_empty(), "{} kills failed", table.failures.len());
    if is_all {
        let killed: BTreeSet<&str> = table.cells.keys().map(|(_, name)| name.as_str()).collect();
        let all = BOUNDARIES.iter().chain(STEPS).map(|(name, _)| *name);
        let missed: Vec<&str> = all.filter(|name| !killed.contains(name)).collect();
        println!("boundaries that nothing passed: {missed:?}");
        assert!(missed.is_empty(), "{missed:?}");
    }
}
