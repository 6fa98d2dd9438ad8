//! The pure state of checkpoints: which there are, and what they are called.

mod snapshot;

use imbl::OrdMap;
use libos_abi::{
    CheckpointId, Error, Fault, Pid,
    checkpoint::{CheckpointInfo, Checkpoints, Difference, FailureKind},
    event::CheckpointEvent,
};
use libos_port::Fold;
use serde::Serialize;

/// How many checkpoints there may be, and how much is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The checkpoints of one process: each keeps alive what it shares.
    pub of_process_max: u64,
    /// The bytes of a reason: a line of text.
    pub reason_bytes_max: u64,
    /// The checkpoints in one list.
    pub list_max: u32,
    /// The rows of each table of a comparison: what a person looks through.
    pub diff_rows_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { of_process_max: 64, reason_bytes_max: 1024, list_max: 100, diff_rows_max: 25 }
    }
}

/// Every checkpoint. What it consists of is kept by those it belongs to.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Registry {
    checkpoints: OrdMap<CheckpointId, CheckpointInfo>,
    /// The last number given for each process; numbers are never given twice.
    last: OrdMap<Pid, u64>,
}

impl Fold for Registry {
    type Event = CheckpointEvent;

    fn apply(&mut self, event: &CheckpointEvent) {
        match event {
            CheckpointEvent::Created(info) => {
                let last = self.last.entry(info.id.process).or_default();
                *last = info.id.number.max(*last);
                self.checkpoints.insert(info.id, info.clone());
            }
            CheckpointEvent::Dropped { checkpoint } => {
                self.checkpoints.remove(checkpoint);
            }
        }
    }
}

impl Registry {
    pub(crate) fn get(&self, id: CheckpointId) -> Result<&CheckpointInfo, Error> {
        self.checkpoints
            .get(&id)
            .ok_or_else(|| FailureKind::NotFound.because(format!("there is no checkpoint {id}")))
    }

    fn of(&self, process: Pid) -> impl Iterator<Item = &CheckpointInfo> {
        let at = |number| CheckpointId { process, number };
        self.checkpoints.range(at(0)..=at(u64::MAX)).map(|(_, info)| info)
    }

    /// The id of the next checkpoint of a process, if there may be one more.
    pub(crate) fn next(&self, process: Pid, limits: &Limits) -> Result<CheckpointId, Fault> {
        let limit = limits.of_process_max;
        if self.of(process).count() as u64 >= limit {
            return Err(Fault::Limit { what: "checkpoints of one process".into(), limit });
        }
        let last = self.last.get(&process).copied().unwrap_or_default();
        Ok(CheckpointId { process, number: last.saturating_add(1) })
    }

    /// The checkpoints of a process, or all, in the order of their ids.
    pub(crate) fn list(
        &self,
        process: Option<Pid>,
        after: Option<CheckpointId>,
        limit: usize,
    ) -> Checkpoints {
        let is_shown = |info: &&CheckpointInfo| {
            process.is_none_or(|pid| pid == info.id.process) && Some(info.id) > after
        };
        let mut shown = self.checkpoints.values().filter(is_shown);
        let checkpoints: Vec<_> = shown.by_ref().take(limit).cloned().collect();
        let more_after = checkpoints.last().map(|info| info.id).filter(|_| shown.next().is_some());
        Checkpoints { checkpoints, more_after }
    }
}

/// Cuts each table of a comparison.
pub(crate) fn cut(mut difference: Difference, rows_max: usize) -> Difference {
    fn cut<T>(rows: &mut Vec<T>, max: usize) -> u64 {
        let more = rows.len().saturating_sub(max);
        rows.truncate(max);
        more as u64
    }
    difference.truncated = cut(&mut difference.processes, rows_max)
        + cut(&mut difference.objects, rows_max)
        + cut(&mut difference.capabilities, rows_max);
    difference
}
