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
    time::{Duration, Instant},
};

use agent_libos::boundary::{BOUNDARIES, STEPS};
use drive::{At, Kill, Undisturbed, Verdict};
use plans::{Act, Case, cases, class_name};
use support::Seeded;
use truth::{Difference, Truth};

/// How much of the grid is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Each boundary once, where it is passed last.
    Quick,
    /// The same of going on after a kill in the middle, and nothing else.
    Again,
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
    match extent {
        Extent::Quick => {}
        Extent::Full => kills.extend(twice(&case, &wanted, extent)?),
        Extent::Again => kills = twice(&case, &wanted, extent)?,
    }
    Ok(Row { case, wanted, kills })
}

fn chosen(passed: &[At], extent: Extent) -> Vec<At> {
    let mut chosen = passed.to_vec();
    if extent != Extent::Full {
        let last = |at: &At| passed.iter().rfind(|other| other.name == at.name) == Some(at);
        chosen.retain(last);
    }
    chosen
}

/// Kills of what goes on after a kill: where the effect was done and not reported, or else where
/// the last records were on disk and nobody knew.
fn twice(case: &Case, wanted: &Undisturbed, extent: Extent) -> Result<Vec<Kill>, String> {
    let act = case.acts.iter().position(|act| *act == Act::Run).unwrap_or_default();
    let last = |name| wanted.passed[act].iter().rfind(|at| at.name == name);
    let Some(at) = last("effect.performed").or_else(|| last("commit.done")).cloned() else {
        return Ok(Vec::new());
    };
    let kill = Kill { act, at: at.clone(), again: None };
    let passed = drive::passed_after(case, &kill)?;
    let again = |second| Kill { act, at: at.clone(), again: Some(second) };
    Ok(chosen(&passed, extent).into_iter().map(again).collect())
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
        let head = ["class", "boundary", "kills", "lost", "duplicated", "unknown"];
        let [class, name, kills, lost, twice, unknown] = head;
        println!("{class:<13} {name:<30} {kills:>6} {lost:>5} {twice:>10} {unknown:>8}");
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

/// Kills many processes at any moment, again and again, and holds their end against the truth.
fn storm(processes: usize, rounds: u64, kills: u64) {
    let calm = plans::load(processes);
    let start = Instant::now();
    calm.run().code(0);
    let took = u64::try_from(start.elapsed().as_millis()).unwrap();
    let wanted = Truth::of(&calm).unwrap().without_numbers();
    let mut random = Seeded(0x5eed_0009);
    for round in 0..rounds {
        let lab = plans::load(processes);
        let mut dead = Vec::new();
        for _ in 0..kills {
            let mut live = drive::go_on(&lab);
            let until = Instant::now() + Duration::from_millis(random.below(took));
            while Instant::now() < until && !live.has_ended() {
                thread::sleep(Duration::from_millis(1));
            }
            dead.push(live.kill());
        }
        drive::go_on(&lab).finish().code(0);
        let truth = Truth::of(&lab).unwrap();
        let told: Vec<String> = dead.iter().flat_map(|ran| truth.acknowledged(ran)).collect();
        assert!(told.is_empty(), "round {round}: {told:#?}");
        let found = truth.without_numbers().against(&wanted);
        let Difference { lost, twice, unknown } = found;
        assert!(lost.is_empty(), "round {round} lost {lost:#?}");
        assert!(twice.is_empty(), "round {round} did twice {twice:#?}");
        assert_eq!(unknown, 0, "round {round}: nothing irreversible is in it");
        assert_eq!(lab.verify(None).code, 0);
    }
    println!("{rounds} rounds of {kills} kills among {processes} processes: nothing lost or twice");
}

#[test]
fn many_processes_survive_kills_at_any_moment() {
    storm(12, 2, 3);
}

/// No call is left out of the grid.
#[test]
fn every_call_has_a_plan() {
    let have: BTreeSet<&str> = cases().iter().map(|case| case.call).collect();
    let open: BTreeSet<&str> = plans::open_calls().into_iter().map(|(call, _)| call).collect();
    let without: Vec<&str> = open.difference(&have).copied().collect();
    assert!(without.is_empty(), "these have no plan: {without:?}");
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
        storm(24, if extent == Extent::Full { 20 } else { 3 }, 5);
    }
    if is_all && extent == Extent::Full {
        let cells = table.cells.keys().map(|(_, cell)| cell.trim_start_matches("resumed, "));
        let killed: BTreeSet<&str> = cells.collect();
        let all = BOUNDARIES.iter().chain(STEPS).map(|(name, _)| *name);
        let missed: Vec<&str> = all.filter(|name| !killed.contains(name)).collect();
        assert!(missed.is_empty(), "nothing passed {missed:?}");
    }
}
