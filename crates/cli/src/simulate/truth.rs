//! What a run left: its steps, its changes of state by their kind, its files.

use std::collections::BTreeMap;

use agent_libos::{
    abi::{Digest, Event, OpId, Seq, event::OpEvent},
    audit::{self, describe},
};
use serde::Serialize;

use super::scratch::{Scratch, files};
use crate::exit::Failure;

/// Events of turns: how often a process is started and woken differs with every crash.
const TURNS: [&str; 7] = [
    "process.started",
    "process.committed",
    "process.blocked",
    "process.readied",
    "process.charged",
    "process.settled",
    "subscriber.taken",
];

/// What of an unknown outcome comes on top: the question.
const QUESTION: &str = "human.opened";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    call: &'static str,
    begun: usize,
    settled: usize,
    outcome: &'static str,
}

/// What a run left.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// By process and number.
    steps: BTreeMap<String, Vec<Step>>,
    /// How many events of each kind.
    changes: BTreeMap<String, usize>,
    files: BTreeMap<String, Digest>,
}

/// How it differs from what it should be.
#[derive(Debug, Default, Serialize)]
pub(super) struct Found {
    pub(super) lost: Vec<String>,
    pub(super) repeated: Vec<String>,
    pub(super) unknown: Vec<String>,
}

impl Truth {
    pub(super) fn of(scratch: &Scratch) -> Result<Self, Failure> {
        let mut truth = Self::default();
        let mut ops: BTreeMap<OpId, (String, Step)> = BTreeMap::new();
        audit::scan(&scratch.journal()?, Seq(0), |_, record| {
            record.events.iter().for_each(|event| truth.add(event, &mut ops));
            true
        })?;
        for (place, step) in ops.into_values() {
            truth.steps.entry(place).or_default().push(step);
        }
        for (name, content) in files(&scratch.folder())? {
            truth.files.insert(name, Digest::of(&content));
        }
        Ok(truth)
    }

    fn add(&mut self, event: &Event, ops: &mut BTreeMap<OpId, (String, Step)>) {
        match event {
            Event::Op(OpEvent::Admitted { op, caller, step, call, .. }) if step.index > 0 => {
                let above = step.parent.and_then(|parent| ops.get(&parent));
                let above = above.map_or_else(|| caller.to_string(), |(place, _)| place.clone());
                let call = call.info().name;
                let begun = Step { call, begun: 0, settled: 0, outcome: "open" };
                ops.insert(*op, (format!("{above} {}", step.index), begun));
            }
            Event::Op(OpEvent::Dispatched { op }) => {
                if let Some((_, step)) = ops.get_mut(op) {
                    step.begun += 1;
                }
            }
            Event::Op(OpEvent::Settled { op, outcome }) => {
                if let Some((_, step)) = ops.get_mut(op) {
                    step.settled += 1;
                    step.outcome =
                        outcome.as_ref().map_or_else(agent_libos::abi::Error::code, |_| "ok");
                }
            }
            Event::Op(_) => {}
            event => {
                let kind = describe(event)["type"].as_str().unwrap_or_default().to_owned();
                if !TURNS.contains(&kind.as_str()) {
                    *self.changes.entry(kind).or_default() += 1;
                }
            }
        }
    }

    /// What is alike in two runs.
    pub(super) fn steady(mut self, other: &Self) -> Self {
        self.steps.retain(|place, steps| other.steps.get(place) == Some(steps));
        self.changes.retain(|kind, times| other.changes.get(kind) == Some(times));
        self.files.retain(|name, digest| other.files.get(name) == Some(digest));
        self
    }

    /// Compares with what is alike in undisturbed runs.
    pub(super) fn against(&self, wanted: &Self) -> Found {
        let mut found = Found::default();
        for (place, steps) in &self.steps {
            let begun: usize = steps.iter().map(|step| step.begun).sum();
            if steps.len() > 1 || begun > 1 || steps.iter().any(|step| step.settled > 1) {
                found.repeated.push(format!("{place}: {}", steps[0].call));
            }
            for step in steps.iter().filter(|step| step.outcome == "unknown_outcome") {
                found.unknown.push(format!("{place}: {}", step.call));
            }
        }
        let is_known = found.unknown.is_empty();
        for (place, steps) in &wanted.steps {
            let is = self.steps.get(place).and_then(|steps| steps.first());
            let same = is.is_some_and(|is| {
                let ended = is.outcome == steps[0].outcome || is.outcome == "unknown_outcome";
                is.call == steps[0].call && ended
            });
            // A plan may go another way once it is told that nobody knows.
            if !same && is_known {
                let Step { call, outcome, .. } = steps[0];
                found.lost.push(format!("{place}: {call} that ended in {outcome}"));
            }
        }
        for (kind, should) in
            wanted.changes.iter().filter(|(kind, _)| is_known || *kind != QUESTION)
        {
            let is = self.changes.get(kind).copied().unwrap_or(0);
            match is.cmp(should) {
                std::cmp::Ordering::Less if is_known => {
                    found.lost.push(format!("{is} of {should} events {kind}"));
                }
                std::cmp::Ordering::Greater => {
                    found.repeated.push(format!("{is} instead of {should} events {kind}"));
                }
                _ => {}
            }
        }
        for (name, digest) in wanted.files.iter().filter(|_| is_known) {
            match self.files.get(name) {
                None => found.lost.push(format!("the file {name}")),
                Some(is) if is != digest => found.lost.push(format!("{name} is another")),
                Some(_) => {}
            }
        }
        found
    }
}
