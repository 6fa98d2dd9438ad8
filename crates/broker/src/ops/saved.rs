//! What a quantum had done at a checkpoint.
//!
//! A process that comes back to a checkpoint runs its quantum again from the top, and gets the
//! recorded outcomes of the steps that were over then. Those that were not are made again: what
//! was under way belongs to a future that is given up. So do the calls under a call of a tool that
//! was not over: the tool runs again as a whole.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{CheckpointId, Pid};

use super::{Entry, Memo, Ops, Undo};

/// The quanta of the processes of a checkpoint.
pub(super) type Saved = BTreeMap<Pid, Quantum>;

/// A quantum as it was.
#[derive(Debug)]
pub(super) struct Quantum {
    pub(super) steps_before: u32,
    /// The steps that were over.
    pub(super) entries: Vec<Entry>,
    pub(super) outcomes: Vec<u8>,
    /// Whether a signal held the process.
    pub(super) held: bool,
}

impl Quantum {
    fn of(memo: Option<&Memo>, held: bool) -> Self {
        let (mut entries, mut outcomes) = (Vec::new(), Vec::new());
        let own = |entry: &&Entry| entry.step.parent.is_none();
        for entry in memo.into_iter().flat_map(|memo| &memo.entries).filter(own) {
            let (Some((at, length)), Some(memo)) = (entry.outcome, memo) else { continue };
            let Ok(begin) = u32::try_from(outcomes.len()) else { break };
            outcomes.extend_from_slice(&memo.outcomes[at as usize..(at + length) as usize]);
            entries.push(Entry { outcome: Some((begin, length)), ..entry.clone() });
        }
        let steps_before = memo.map_or(0, |memo| memo.steps_before);
        Self { steps_before, entries, outcomes, held }
    }
}

impl Ops {
    pub(super) fn save(&mut self, checkpoint: CheckpointId, processes: &[Pid]) {
        let quantum = |pid: &Pid| {
            let memo = self.memos.get(pid).map(AsRef::as_ref);
            (*pid, Quantum::of(memo, self.is_held(*pid)))
        };
        let saved = processes.iter().map(quantum).collect();
        self.put_saved(checkpoint, Some(Arc::new(saved)));
    }

    pub(super) fn put_saved(&mut self, checkpoint: CheckpointId, saved: Option<Arc<Saved>>) {
        let before = match saved {
            Some(saved) => self.saved.insert(checkpoint, saved),
            None => self.saved.remove(&checkpoint),
        };
        self.undo.push(Undo::Saved(checkpoint, before));
    }

    /// Has a process run its quantum again as it was.
    pub(super) fn rewind(&mut self, pid: Pid, checkpoint: CheckpointId) {
        self.forget(pid, false);
        let Some(saved) = self.saved.get(&checkpoint).cloned() else { return };
        let Some(quantum) = saved.get(&pid) else { return };
        if quantum.steps_before > 0 || !quantum.entries.is_empty() {
            let mut memo = self.new_memo(quantum.steps_before);
            if !libos_port::mutated("restore_forgets_steps") {
                memo.entries.extend(quantum.entries.iter().cloned());
            }
            memo.outcomes.extend_from_slice(&quantum.outcomes);
            self.memos.insert(pid, memo);
            self.undo.push(Undo::Memo(pid, None));
        }
        self.hold(pid, self.is_held(pid) || quantum.held);
    }

    /// What distinguishes what is kept, in a fixed order.
    pub(super) fn encode_saved(&self, bytes: &mut Vec<u8>) {
        for (checkpoint, saved) in &self.saved {
            libos_abi::wire::encode_into(checkpoint, bytes);
            for (pid, quantum) in &**saved {
                let Quantum { steps_before, entries, outcomes, held } = quantum;
                libos_abi::wire::encode_into(&(pid, *steps_before, *held), bytes);
                for entry in entries {
                    let Entry { step, op, fingerprint, call, outcome } = entry;
                    let call = (call.service_number, call.number);
                    libos_abi::wire::encode_into(&(*step, *op, *fingerprint, call), bytes);
                    libos_abi::wire::encode_into(outcome, bytes);
                }
                libos_abi::wire::encode_into(outcomes, bytes);
            }
        }
    }
}
