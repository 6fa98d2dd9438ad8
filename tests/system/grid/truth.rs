//! What counts in the end, read from the store and the files of the workspace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use agent_libos::{
    abi::{
        CallInfo, EffectClass, Error, Event, OpId, Principal, Seq,
        event::{OpEvent, ProcessEvent},
    },
    audit::{describe, scan},
    journal::{Journal, SqliteJournal},
    retention,
};
use serde_json::{Value, json};

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

/// Coming back to a checkpoint where one stands changes nothing: an operator who was cut off between
/// that and the files of the workspace comes back again.
const COMES_BACK: [&str; 4] =
    ["process.rewound", "capability.restored", "tool.restored", "object.spaces_restored"];

/// What differs between two runs that did the same, besides times.
const INCIDENTAL: [&str; 2] = ["op", "by"];

/// What a case left behind.
#[derive(Default)]
pub(crate) struct Truth {
    /// Every change of state but those of turns, with how often it is on record.
    changes: BTreeMap<String, usize>,
    /// Every step by its caller and place: its calls, each with what it ended in.
    pub(crate) steps: BTreeMap<String, Vec<Step>>,
    files: BTreeMap<String, Vec<u8>>,
}

/// An operation.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    info: &'static CallInfo,
    dispatched: usize,
    settled: usize,
    outcome: &'static str,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { info, dispatched, settled, outcome } = self;
        write!(f, "{} dispatched {dispatched}, settled {settled} as {outcome}", info.name)
    }
}

impl Step {
    /// Where a process was ended from outside it may stand a step further or not.
    fn is_given_up(&self) -> bool {
        ["cancelled", "open"].contains(&self.outcome)
    }

    fn is_unknown(&self) -> bool {
        self.outcome == "unknown_outcome"
    }

    /// Only of what cannot be taken back nobody may know, and only once it was handed out.
    fn may_be_unknown(&self) -> bool {
        self.dispatched == 1 && self.info.effect == EffectClass::Irreversible
    }
}

/// Those that were not given up.
fn kept(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.iter().filter(|step| !step.is_given_up())
}

/// How a run differs from one that nothing happened to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) lost: BTreeSet<String>,
    pub(crate) twice: BTreeSet<String>,
    /// Irreversible steps of which nobody can tell.
    pub(crate) unknown: usize,
}

impl Found {
    pub(crate) fn lost(what: String) -> Self {
        Self { lost: BTreeSet::from([what]), ..Self::default() }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty()
    }
}

/// Whether the store has the task.
pub(crate) fn is_begun(lab: &Lab) -> Result<bool, String> {
    let mut is_begun = false;
    read(lab, |event| {
        is_begun |= matches!(event, Event::Process(ProcessEvent::Spawned { .. }));
    })?;
    Ok(is_begun)
}

/// How many calls of the host are on record that ended well.
pub(crate) fn said(lab: &Lab) -> Result<usize, String> {
    let (mut of_host, mut said) = (BTreeSet::new(), 0);
    read(lab, |event| match event {
        Event::Op(OpEvent::Admitted { op, caller: Principal::Host(_), .. }) => {
            of_host.insert(*op);
        }
        Event::Op(OpEvent::Settled { op, outcome: Ok(_) }) if of_host.contains(op) => said += 1,
        _ => {}
    })?;
    Ok(said)
}

/// Shows every event of the store, if there is one, in order.
fn read(lab: &Lab, mut each: impl FnMut(&Event)) -> Result<(), String> {
    if !lab.path("store/journal.db").exists() {
        return Ok(());
    }
    let journal = SqliteJournal::open_read_only(&lab.path("store")).map_err(said_by)?;
    let all = scan(&journal, Seq(0), |_, record| {
        record.events.iter().for_each(&mut each);
        true
    });
    all.map_err(said_by)
}

fn said_by(error: impl std::error::Error) -> String {
    error.to_string()
}

impl Truth {
    /// Reads it, from a store that must verify.
    pub(crate) fn of(lab: &Lab) -> Result<Self, String> {
        let mut truth = Self { files: files(&lab.ws("")), ..Self::default() };
        let mut ops: BTreeMap<OpId, (String, Step)> = BTreeMap::new();
        read(lab, |event| truth.add(event, &mut ops))?;
        for (place, step) in ops.into_values() {
            truth.steps.entry(place).or_default().push(step);
        }
        let journal = SqliteJournal::open_read_only(&lab.path("store")).map_err(said_by)?;
        journal.verify(None).map_err(said_by)?;
        retention::check(&journal).map_err(said_by)?;
        Ok(truth)
    }

    fn add(&mut self, event: &Event, ops: &mut BTreeMap<OpId, (String, Step)>) {
        match event {
            Event::Op(OpEvent::Admitted { op, caller, step, call, .. }) if step.index > 0 => {
                let above = step.parent.and_then(|parent| ops.get(&parent));
                let above = above.map_or_else(|| caller.to_string(), |(place, _)| place.clone());
                let step_is =
                    Step { info: call.info(), dispatched: 0, settled: 0, outcome: "open" };
                ops.insert(*op, (format!("{above} {}", step.index), step_is));
            }
            Event::Op(OpEvent::Dispatched { op }) => {
                if let Some((_, step)) = ops.get_mut(op) {
                    step.dispatched += 1;
                }
            }
            Event::Op(OpEvent::Settled { op, outcome }) => {
                if let Some((_, step)) = ops.get_mut(op) {
                    step.settled += 1;
                    step.outcome = outcome.as_ref().map_or_else(Error::code, |_| "ok");
                }
            }
            Event::Op(_) => {}
            event => {
                let mut event = describe(event);
                if !TURNS.contains(&event["type"].as_str().unwrap_or_default()) {
                    strip(&mut event);
                    *self.changes.entry(event.to_string()).or_default() += 1;
                }
            }
        }
    }

    /// The same, of each change its kind only: of processes that run side by side nobody says whose
    /// number is lower.
    pub(crate) fn without_numbers(mut self) -> Self {
        for (change, times) in std::mem::take(&mut self.changes) {
            let change: Value = serde_json::from_str(&change).unwrap_or_default();
            let kind = json!({ "type": change["type"] });
            *self.changes.entry(kind.to_string()).or_default() += times;
        }
        self
    }

    /// Compares with the truth of an undisturbed run. What a human is asked and told about an
    /// unknown outcome comes on top.
    pub(crate) fn against(&self, wanted: &Self) -> Found {
        let mut found = Found::default();
        self.compare_steps(wanted, &mut found);
        let all: BTreeSet<&String> = self.changes.keys().chain(wanted.changes.keys()).collect();
        for change in all {
            let times = |truth: &Self| truth.changes.get(change).copied().unwrap_or(0);
            let (is, should) = (times(self), times(wanted));
            if is < should {
                found.lost.insert(format!("{is} of {should}: {change}"));
            }
            let is_of = |kind: &str| change.contains(&format!(r#""type":"{kind}""#));
            let more = if is_of("human.opened") { found.unknown } else { 0 };
            let is_again = should > 0 && COMES_BACK.into_iter().any(is_of);
            if is > should + more && !is_again {
                found.twice.insert(format!("{is} instead of {should}: {change}"));
            }
        }
        self.compare_files(wanted, &mut found);
        found
    }

    fn compare_steps(&self, wanted: &Self, found: &mut Found) {
        for (place, steps) in &self.steps {
            // One that a restore came back to is made again.
            let should = wanted.steps.get(place).map_or(0, Vec::len);
            if steps.len() > should.max(1) || (should == 0 && kept(steps).next().is_some()) {
                found.twice.insert(format!("{place} should be {should} times: {steps:?}"));
            }
            for step in steps {
                if step.settled > 1 || step.dispatched > 1 {
                    found.twice.insert(format!("{place}: {step:?}"));
                }
                if step.is_unknown() && step.may_be_unknown() {
                    found.unknown += 1;
                } else if step.is_unknown() {
                    found.lost.insert(format!("{place}: {step:?}"));
                }
            }
        }
        for (place, wanted) in &wanted.steps {
            let mut is = kept(self.steps.get(place).map_or(&[], Vec::as_slice));
            for wanted in kept(wanted) {
                let is = is.next();
                let same = is.is_some_and(|is| {
                    is.info.name == wanted.info.name
                        && (is.outcome == wanted.outcome || is.is_unknown())
                });
                if !same {
                    found.lost.insert(format!("{place}: {is:?} instead of {wanted:?}"));
                }
            }
        }
    }

    fn compare_files(&self, wanted: &Self, found: &mut Found) {
        let names: BTreeSet<&String> = self.files.keys().chain(wanted.files.keys()).collect();
        for name in names {
            let (is, should) = (self.files.get(name), wanted.files.get(name));
            let is_longer = is.map(Vec::len) > should.map(Vec::len);
            // Nobody knows whether it ran: once, not at all, or not to its end.
            let is_begun = is.is_none_or(|is| should.is_some_and(|should| should.starts_with(is)));
            let may_lack = found.unknown > 0 && is_begun && name.ends_with("ran.txt");
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
            let is = self.steps.get(&place);
            if !is.is_some_and(|is| is.iter().any(|is| is.outcome == said)) {
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
