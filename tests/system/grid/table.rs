//! What came of all kills: a line for each call, a table of class and boundary, and the failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::{
    drive::{At, Scene},
    plans::Case,
    truth::Found,
};

/// What came of some kills.
#[derive(Default)]
struct Cell {
    kills: usize,
    lost: usize,
    twice: usize,
    unknown: usize,
}

impl Cell {
    fn add(&mut self, found: &Found) {
        self.kills += 1;
        self.lost += usize::from(!found.lost.is_empty());
        self.twice += usize::from(!found.twice.is_empty());
        self.unknown += usize::from(found.unknown > 0);
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, lost, twice, unknown } = self;
        write!(f, "{kills:>6} {lost:>5} {twice:>10} {unknown:>8}")
    }
}

const COUNTS: &str = " kills  lost duplicated  unknown";

/// What came of a call.
pub(crate) struct Row {
    call: &'static str,
    class: &'static str,
    cell: Cell,
    passed_by: usize,
    pub(crate) took: Duration,
}

impl Row {
    pub(crate) fn of(case: &Case) -> Self {
        let (call, class) = (case.call, case.class.name());
        Self { call, class, cell: Cell::default(), passed_by: 0, took: Duration::ZERO }
    }

    pub(crate) fn head() -> String {
        format!("{:<26} {:<12} {COUNTS} passed by seconds", "call", "class")
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, class, cell, passed_by, took } = self;
        write!(f, "{call:<26} {class:<12} {cell} {passed_by:>9} {:>7.1}", took.as_secs_f64())
    }
}

/// What came of all kills, by class and boundary.
#[derive(Default)]
pub(crate) struct Table {
    cells: BTreeMap<(&'static str, String), Cell>,
    pub(crate) failures: Vec<String>,
    pub(crate) passed: usize,
    passed_by: usize,
}

impl Table {
    /// Adds a kill, to the row of its call as well; `None` found nothing because the boundary was
    /// passed by. A failure is told at once.
    pub(crate) fn add(&mut self, row: &mut Row, scene: &Scene, at: &At, found: Option<Found>) {
        let Some(found) = found else {
            self.passed_by += 1;
            row.passed_by += 1;
            return;
        };
        let name = match scene.is_resumed {
            true => format!("resumed, {}", at.name),
            false => at.name.clone(),
        };
        self.cells.entry((row.class, name)).or_default().add(&found);
        row.cell.add(&found);
        if found.is_good() {
            self.passed += 1;
            return;
        }
        let what = format!(
            "{} killed in `{}` at {}:{}\n  lost {:#?}\n  twice {:#?}\n  unknown {}",
            row.call, scene.name, at.name, at.nth, found.lost, found.twice, found.unknown
        );
        println!("\n{what}\n");
        self.failures.push(what);
    }

    /// The boundaries at which anything was killed.
    pub(crate) fn boundaries(&self) -> BTreeSet<&str> {
        self.cells.keys().map(|(_, name)| name.trim_start_matches("resumed, ")).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<13} {:<30} {COUNTS}", "class", "boundary")?;
        for ((class, name), cell) in &self.cells {
            writeln!(f, "{class:<13} {name:<30} {cell}")?;
        }
        for failure in &self.failures {
            writeln!(f, "\n{failure}")?;
        }
        writeln!(f, "\n{} kills at boundaries that were passed by in three tries", self.passed_by)?;
        write!(f, "{} passed, {} failed", self.passed, self.failures.len())
    }
}
