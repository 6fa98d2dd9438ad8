//! What counts in the end, read from outside: the exported record and the files of the workspace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::support::*;

/// Events of a process's turns: how often it is started and woken differs with every crash.
const TURNS: [&str; 7] = [
    "process.started",
    "process.committed",
    "process.blocked",
    "process.readied",
    "process.charged",
    "process.settled",
    "subscriber.taken",
];

/// What differs between two runs that did the same, besides times.
const INCIDENTAL: [&str; 2] = ["op", "by"];

/// What a case left behind.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Every change of state but those of turns, with how often it is on record.
    changes: BTreeMap<String, usize>,
    /// Every step by its caller and place: its calls, each with what it ended in.
    pub(crate) steps: BTreeMap<String, Vec<Step>>,
    files: BTreeMap<String, Vec<u8>>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    call: String,
    dispatched: usize,
    settled: usize,
    outcome: String,
}

impl Step {
    fn is_given_up(&self) -> bool {
        ["cancelled", "open"].contains(&self.outcome.as_str())
    }
}

/// How a run differs from one that nothing happened to.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) lost: BTreeSet<String>,
    pub(crate) twice: BTreeSet<String>,
    pub(crate) unknown: usize,
}

impl Truth {
    pub(crate) fn of(lab: &Lab) -> Result<Self, String> {
        let ran = lab.json(&["audit", "export", "--output", "trail.jsonl"]);
        if ran.code != 0 {
            return Err(format!("the record does not export: {ran}"));
        }
        let trail = fs::read_to_string(lab.path("trail.jsonl")).map_err(|e| e.to_string())?;
        let mut truth = Self { files: files(&lab.ws("")), ..Self::default() };
        let mut ops: BTreeMap<String, (String, Step)> = BTreeMap::new();
        for line in trail.lines() {
            let line: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
            for event in line["event"]["events"].as_array().into_iter().flatten() {
                truth.add(event, &mut ops);
            }
        }
        for (place, step) in ops.into_values() {
            truth.steps.entry(place).or_default().push(step);
        }
        Ok(truth)
    }

    fn add(&mut self, event: &Value, ops: &mut BTreeMap<String, (String, Step)>) {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let (kind, op) = (text("type"), text("op"));
        let step = ops.get_mut(&op).map(|(_, step)| step);
        match (kind.as_str(), step) {
            ("op.admitted", _) if event["step"] != 0 => {
                let under = ops.get(&text("under")).map(|(place, _)| place.clone());
                let place =
                    format!("{} {}", under.unwrap_or_else(|| text("caller")), event["step"]);
                let step =
                    Step { call: text("call"), dispatched: 0, settled: 0, outcome: "open".into() };
                ops.insert(op, (place, step));
            }
            ("op.dispatched", Some(step)) => step.dispatched += 1,
            ("op.settled", Some(step)) => {
                step.settled += 1;
                step.outcome = text("outcome");
            }
            (kind, _) if kind.starts_with("op.") || TURNS.contains(&kind) => {}
            _ => {
                let mut event = event.clone();
                strip(&mut event);
                *self.changes.entry(event.to_string()).or_default() += 1;
            }
        }
    }

    /// The same, of each change its kind only: of processes that run side by side nobody says whose
    /// number is lower.
    pub(crate) fn without_numbers(mut self) -> Self {
        for (change, times) in std::mem::take(&mut self.changes) {
            let change: Value = serde_json::from_str(&change).unwrap_or_default();
            *self.changes.entry(change["type"].to_string()).or_default() += times;
        }
        self
    }

    /// Compares with the truth of an undisturbed run. What a human is asked and told about an
    /// unknown outcome comes on top.
    pub(crate) fn against(&self, wanted: &Self) -> Difference {
        let mut found = Difference::default();
        for (place, steps) in &self.steps {
            if steps.len() > 1 {
                found.twice.insert(format!("{place} was admitted {} times", steps.len()));
            }
            for step in steps {
                found.unknown += usize::from(step.outcome == "unknown_outcome");
                if step.settled > 1 || step.dispatched > 1 {
                    found.twice.insert(format!("{place}: {step:?}"));
                }
            }
        }
        for (place, wanted) in &wanted.steps {
            // Where a process was ended from outside it may stand a step further or not.
            if wanted[0].is_given_up() {
                continue;
            }
            let is = self.steps.get(place).and_then(|steps| steps.first());
            let same = is.is_some_and(|is| {
                is.call == wanted[0].call
                    && (is.outcome == wanted[0].outcome || is.outcome == "unknown_outcome")
            });
            if !same {
                found.lost.insert(format!("{place}: {is:?} instead of {:?}", wanted[0]));
            }
        }
        for (place, steps) in &self.steps {
            if !wanted.steps.contains_key(place) && !steps.iter().all(Step::is_given_up) {
                found.twice.insert(format!("{place} is no step of the plan"));
            }
        }
        let all: BTreeSet<&String> = self.changes.keys().chain(wanted.changes.keys()).collect();
        for change in all {
            let times = |truth: &Self| truth.changes.get(change).copied().unwrap_or(0);
            let (is, should) = (times(self), times(wanted));
            if is < should {
                found.lost.insert(format!("{is} of {should}: {change}"));
            }
            if is > should && found.unknown == 0 {
                found.twice.insert(format!("{is} instead of {should}: {change}"));
            }
        }
        self.compare_files(wanted, &mut found);
        found
    }

    fn compare_files(&self, wanted: &Self, found: &mut Difference) {
        let names: BTreeSet<&String> = self.files.keys().chain(wanted.files.keys()).collect();
        for name in names {
            let (is, should) = (self.files.get(name), wanted.files.get(name));
            let is_longer = is.map(Vec::len) > should.map(Vec::len);
            // Nobody knows whether it ran: once or not at all.
            let may_lack = found.unknown > 0 && is.is_none() && name == "ran.txt";
            if is == should || may_lack {
                continue;
            }
            let side = if is_longer { &mut found.twice } else { &mut found.lost };
            side.insert(format!("{name} is {:?}", is.map(|it| String::from_utf8_lossy(it))));
        }
    }

    /// What a killed run printed as done and the record does not have.
    pub(crate) fn acknowledged(&self, ran: &Ran) -> BTreeSet<String> {
        let mut lost = BTreeSet::new();
        // A line that the kill cut short tells nothing.
        for line in ran.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let (Some(pid), Some(step)) = (line["pid"].as_str(), line["step"].as_u64()) else {
                continue;
            };
            let said = line["error"]["code"].as_str().unwrap_or("ok");
            let place = format!("{pid} {step}");
            let is = self.steps.get(&place).and_then(|steps| steps.first());
            if is.is_none_or(|is| is.outcome != said) {
                lost.insert(format!("{place} was told as {said} and is {is:?}"));
            }
        }
        lost
    }
}

/// Takes out what differs between two runs that did the same.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_time = |name: &str| name.ends_with("_ms");
            fields.retain(|name, _| !is_time(name) && !INCIDENTAL.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::String(text) => {
            // The folder of a lab.
            if let Some(at) = text.find("/.tmp") {
                text.truncate(at);
            }
        }
        _ => {}
    }
}
