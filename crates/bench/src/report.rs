//! Rows and how they are shown: for people, for machines, for the README.

use serde::{Deserialize, Serialize};

use crate::measure::{Figure, Samples};

/// One measured thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name, as in `check.exact.1k`.
    pub name: String,
    /// What it is.
    pub what: String,
    /// What the numbers count.
    pub unit: Unit,
    /// What the floor is; empty without one.
    pub floor_is: String,
    /// The bare mechanism.
    pub floor: Option<Figure>,
    /// This runtime.
    pub ours: Figure,
    /// How often one of them asks for memory.
    pub allocations: Option<f64>,
    /// What is to be shown.
    pub target: Target,
}

/// What a row's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds of one; less is better.
    Nanoseconds,
    /// So many in a second; more is better.
    PerSecond,
    /// Bytes of one; less is better.
    Bytes,
}

/// What a row is to show. Without any part there is nothing to meet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Ours is at most this.
    pub at_most: Option<f64>,
    /// Ours is at most so many times the floor.
    pub times_floor: Option<f64>,
    /// Ours is at least this share of the floor.
    pub share_of_floor: Option<f64>,
    /// One of them asks for memory at most so often.
    pub allocations: Option<f64>,
}

impl Target {
    /// Nothing to meet.
    pub const NONE: Self =
        Self { at_most: None, times_floor: None, share_of_floor: None, allocations: None };

    /// At most `value`.
    #[must_use]
    pub const fn at_most(value: f64) -> Self {
        Self { at_most: Some(value), ..Self::NONE }
    }

    /// At most so many times the floor.
    #[must_use]
    pub const fn times_floor(factor: f64) -> Self {
        Self { times_floor: Some(factor), ..Self::NONE }
    }

    /// At least this share of the floor.
    #[must_use]
    pub const fn share_of_floor(share: f64) -> Self {
        Self { share_of_floor: Some(share), ..Self::NONE }
    }

    /// And without asking for memory.
    #[must_use]
    pub const fn without_allocations(self) -> Self {
        Self { allocations: Some(0.0), ..self }
    }
}

/// Whether a row shows what it is to show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Meets,
    /// It is this many times too much (of a rate: too little). Allocations where none should be
    /// count as infinitely many.
    MissesBy(f64),
    /// Nothing was asked of it.
    NoTarget,
}

impl Row {
    /// A row without floor, allocations or target.
    #[must_use]
    pub fn new(name: impl Into<String>, what: impl Into<String>, unit: Unit, ours: Figure) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            unit,
            floor_is: String::new(),
            floor: None,
            ours,
            allocations: None,
            target: Target::NONE,
        }
    }

    /// A row of single operations, with their allocations.
    #[must_use]
    pub fn timed(name: impl Into<String>, what: impl Into<String>, samples: &Samples) -> Self {
        Self::new(name, what, Unit::Nanoseconds, samples.figure())
            .allocations(samples.allocations())
    }

    /// The same beside its floor.
    #[must_use]
    pub fn floor(mut self, what: &str, floor: Figure) -> Self {
        (self.floor_is, self.floor) = (what.into(), Some(floor));
        self
    }

    /// The same with allocations counted.
    #[must_use]
    pub fn allocations(mut self, each: f64) -> Self {
        self.allocations = Some(each);
        self
    }

    /// The same with a target.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Ours over the floor.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.ours.p50 / floor.p50)
    }

    /// Whether it meets its target.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Target { at_most, times_floor, share_of_floor, allocations } = self.target;
        let over = |value: Option<f64>, most: Option<f64>| {
            let (value, most) = value.zip(most)?;
            Some(if value <= most { 1.0 } else { value / most })
        };
        [
            over(Some(self.ours.p50), at_most),
            over(self.ratio(), times_floor),
            over(self.ratio().map(f64::recip), share_of_floor.map(f64::recip)),
            over(self.allocations, allocations),
        ]
        .into_iter()
        .flatten()
        .reduce(f64::max)
        .map_or(Verdict::NoTarget, |worst| match worst > 1.0 {
            true => Verdict::MissesBy(worst),
            false => Verdict::Meets,
        })
    }

    fn value(&self, value: f64) -> String {
        match self.unit {
            Unit::Nanoseconds => time(value),
            Unit::PerSecond => format!("{} /s", short(value)),
            Unit::Bytes => bytes(value),
        }
    }

    /// The target in words.
    #[must_use]
    pub fn target_text(&self) -> String {
        let Target { at_most, times_floor, share_of_floor, allocations } = self.target;
        let parts = [
            at_most.map(|most| format!("<= {}", self.value(most))),
            times_floor.map(|factor| format!("<= {factor} x floor")),
            share_of_floor.map(|share| format!(">= {:.0} % of floor", share * 100.0)),
            allocations.map(|most| format!("{most} allocations")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn spread(&self) -> String {
        match self.ours.samples {
            1 => String::new(),
            _ => format!("{} .. {}", self.value(self.ours.p10), self.value(self.ours.p90)),
        }
    }

    /// Everything a person wants to see, as cells.
    fn cells(&self) -> [String; 8] {
        let verdict = match self.verdict() {
            Verdict::Meets => "meets".into(),
            Verdict::MissesBy(factor) if factor.is_infinite() => "misses: allocates".into(),
            Verdict::MissesBy(factor) => format!("misses by {factor:.2}x"),
            Verdict::NoTarget => String::new(),
        };
        [
            self.name.clone(),
            self.floor.map_or(String::new(), |floor| self.value(floor.p50)),
            self.value(self.ours.p50),
            self.spread(),
            self.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}x")),
            self.allocations.map_or(String::new(), |each| format!("{each:.1}")),
            self.target_text(),
            verdict,
        ]
    }
}

/// A time in the unit that shows three digits of it.
fn time(nanos: f64) -> String {
    let (size, unit) = [(1e9, "s"), (1e6, "ms"), (1e3, "us")]
        .into_iter()
        .find(|(size, _)| nanos >= *size)
        .unwrap_or((1.0, "ns"));
    format!("{} {unit}", short(nanos / size))
}

/// Bytes in the unit that shows three digits of them.
fn bytes(bytes: f64) -> String {
    let (size, unit) = [(f64::from(1 << 30), "GiB"), (f64::from(1 << 20), "MiB")]
        .into_iter()
        .find(|(size, _)| bytes >= *size)
        .unwrap_or((1.0, "B"));
    format!("{} {unit}", short(bytes / size))
}

/// A number with about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        small if small < 100.0 => format!("{value:.1}"),
        small if small < 100_000.0 => format!("{value:.0}"),
        small if small < 10_000_000.0 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.1}M", value / 1e6),
    }
}

const HEADINGS: [&str; 8] =
    ["row", "floor", "ours", "p10 .. p90", "ratio", "allocations", "target", "verdict"];

/// A table for a terminal.
#[must_use]
pub fn table(machine: &str, rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let width = |column: usize| {
        let widest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        widest.max(HEADINGS[column].len())
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |cells: [&str; 8]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut out = format!("{machine}\n\n{}\n", line(HEADINGS));
    for row in &cells {
        out.push_str(&line(row.each_ref().map(String::as_str)));
        out.push('\n');
    }
    out
}

/// A table for the README.
#[must_use]
pub fn markdown(machine: &str, rows: &[Row]) -> String {
    let mut out = format!("Measured on: {machine}\n\n");
    out.push_str("| what | floor | ours | ratio | allocations | target | verdict |\n");
    out.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for row in rows {
        let [name, floor, ours, _, ratio, allocations, target, verdict] = row.cells();
        let floor = match row.floor_is.as_str() {
            "" => floor,
            what => format!("{floor} ({what})"),
        };
        let what = format!("{} (`{name}`)", row.what);
        let cells = [what, floor, ours, ratio, allocations, target, verdict];
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

/// Everything, for a machine.
///
/// # Errors
/// Never for finite numbers.
pub fn json(machine: &str, rows: &[Row]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        row: &'a Row,
        ratio: Option<f64>,
        verdict: Verdict,
    }
    let rows: Vec<_> =
        rows.iter().map(|row| Shown { row, ratio: row.ratio(), verdict: row.verdict() }).collect();
    serde_json::to_string_pretty(&serde_json::json!({ "machine": machine, "rows": rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(floor: f64, ours: f64, target: Target) -> Row {
        Row::new("a.b", "something", Unit::Nanoseconds, Figure::exact(ours))
            .floor("bare", Figure::exact(floor))
            .target(target)
    }

    #[test]
    fn a_verdict_names_the_worst_part() {
        let verdict = |floor, ours, target| row(floor, ours, target).verdict();
        assert_eq!(verdict(1.0, 5.0, Target::NONE), Verdict::NoTarget);
        assert_eq!(verdict(1.0, 5.0, Target::at_most(5.0)), Verdict::Meets);
        assert_eq!(verdict(1.0, 6.0, Target::at_most(5.0)), Verdict::MissesBy(1.2));
        assert_eq!(verdict(2.0, 8.0, Target::times_floor(2.0)), Verdict::MissesBy(2.0));
        assert_eq!(verdict(100.0, 60.0, Target::share_of_floor(0.6)), Verdict::Meets);
        assert_eq!(verdict(100.0, 30.0, Target::share_of_floor(0.6)), Verdict::MissesBy(2.0));
        let target = Target::at_most(5.0).without_allocations();
        assert_eq!(row(1.0, 5.0, target).allocations(0.0).verdict(), Verdict::Meets);
        let allocates = row(1.0, 5.0, target).allocations(2.0);
        assert_eq!(allocates.verdict(), Verdict::MissesBy(f64::INFINITY));
    }

    #[test]
    fn numbers_are_shown_with_three_digits_and_their_unit() {
        let shown = [0.5, 85.0, 1_234.0, 2_500_000.0, 3e9].map(time);
        assert_eq!(shown, ["0.50 ns", "85.0 ns", "1.23 us", "2.50 ms", "3.00 s"]);
    }

    #[test]
    fn every_form_shows_every_row() {
        let rows = [row(1.0, 5.0, Target::at_most(4.0))];
        assert!(table("a machine", &rows).contains("misses by 1.25x"));
        assert!(markdown("a machine", &rows).contains("| something (`a.b`) | 1.00 ns (bare) |"));
        let json: serde_json::Value =
            serde_json::from_str(&json("a machine", &rows).unwrap()).unwrap();
        assert_eq!(json["rows"][0]["verdict"]["misses_by"], 1.25);
    }
}
