//! Receipts: the latest effects of each process that are over.
//!
//! The memo of a quantum is dropped when it is committed; a planner that forgets what it did would
//! propose it again. So a few lines for each process outlive the quantum, and no more than a few.

use std::collections::VecDeque;

use libos_abi::{Digest, EffectClass, OpId, Pid, wire};
use libos_port::Receipt;
use rustc_hash::FxHashMap;

use crate::ops::{Op, OpState};

/// The receipts that are kept of a process: what fits a context beside the work itself.
pub const RECEIPTS_MAX: usize = 32;

/// The receipts of every process that has any.
#[derive(Debug, Default)]
pub(crate) struct Receipts(FxHashMap<Pid, VecDeque<Receipt>>);

/// How to take a change back.
#[derive(Debug)]
pub(crate) enum Undo {
    /// One was added, and the oldest made room for it.
    Added(Pid, Option<Receipt>),
    /// Those of a process were dropped.
    Dropped(Pid, VecDeque<Receipt>),
}

/// A receipt as a state holds it: whose, of which operation and call, its code and digest.
type Row = (Pid, OpId, (u16, u16), &'static str, Digest);

impl Receipts {
    /// Those of a process, oldest first.
    pub(crate) fn of(&self, pid: Pid) -> Vec<Receipt> {
        self.0.get(&pid).map(|all| all.iter().copied().collect()).unwrap_or_default()
    }

    /// Adds that of an effect that is over.
    pub(crate) fn add(&mut self, pid: Pid, receipt: Receipt) -> Undo {
        let all = self.0.entry(pid).or_default();
        let oldest = (all.len() == RECEIPTS_MAX).then(|| all.pop_front()).flatten();
        all.push_back(receipt);
        Undo::Added(pid, oldest)
    }

    /// Drops those of a process that has ended.
    pub(crate) fn drop_of(&mut self, pid: Pid) -> Option<Undo> {
        self.0.remove(&pid).map(|all| Undo::Dropped(pid, all))
    }

    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Added(pid, oldest) => {
                let Some(all) = self.0.get_mut(&pid) else { return };
                all.pop_back();
                if let Some(oldest) = oldest {
                    all.push_front(oldest);
                }
                if all.is_empty() {
                    self.0.remove(&pid);
                }
            }
            Undo::Dropped(pid, all) => drop(self.0.insert(pid, all)),
        }
    }

    /// All of them in order: whose, the operation, its call by numbers, what it ended in, and the
    /// digest.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (pid, all) in &self.0 {
            for Receipt { op, call, outcome, digest } in all {
                let info = libos_abi::find(call).expect("it is the name of a call");
                rows.push((*pid, *op, (info.service_number, info.number), *outcome, *digest));
            }
        }
        // Of one process the order of operations need not be that of their ends.
        rows.sort_by_key(|(pid, ..)| *pid);
        rows
    }

    /// Adds all of it to what a digest is made of.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut pids: Vec<Pid> = self.0.keys().copied().collect();
        pids.sort_unstable();
        for pid in pids {
            wire::encode_into(&pid, bytes);
            for Receipt { op, call, outcome, digest } in &self.0[&pid] {
                wire::encode_into(&(op, *call, *outcome, digest), bytes);
            }
        }
    }
}

/// The receipt of an operation that ended so, if it is an effect of a process.
pub(crate) fn receipt(id: OpId, op: &Op, outcome: &'static str) -> Option<(Pid, Receipt)> {
    let info = op.call.info();
    let is_look = matches!(info.effect, EffectClass::State | EffectClass::Read);
    // What refuses a call before its intent leaves nothing to be shown.
    let was_begun = op.state == OpState::Dispatched;
    if is_look || op.is_tool_call() || !was_begun {
        return None;
    }
    let digest = op.call.digest();
    Some((op.caller.pid()?, Receipt { op: id, call: info.name, outcome, digest }))
}

#[cfg(test)]
mod tests {
    use libos_abi::{
        Event, Principal, Syscall, Text,
        event::{OpEvent, ProcessEvent, Step},
        fs,
    };

    use super::*;
    use crate::ops::Ops;

    const PID: Pid = Pid(1);

    fn write(ops: &mut Ops, n: u64) {
        let op = OpId(n);
        let index = u32::try_from(n).expect("few");
        let call: Syscall = fs::Mkdir { path: "workspace/a".into(), parents: None }.into();
        let step = Step { parent: None, index };
        let caller = Principal::Process(PID);
        let admitted = OpEvent::Admitted { op, caller, step, fingerprint: n, call };
        let outcome = Err(libos_abi::Fault::Cancelled.into());
        for event in [admitted, OpEvent::Dispatched { op }, OpEvent::Settled { op, outcome }] {
            ops.replay(0, Event::Op(event));
        }
    }

    #[test]
    fn a_memo_holds_one_quantum_and_receipts_are_few() {
        let (mut ops, mut bytes) = (Ops::default(), Vec::new());
        for quantum in 0..50 {
            for n in 1..=10 {
                write(&mut ops, quantum * 10 + n);
            }
            let state = Text::from("kept");
            ops.replay(0, Event::Process(ProcessEvent::Committed { pid: PID, state }));
            bytes.push(ops.encoded().len());
        }
        assert_eq!(ops.receipts(PID).len(), RECEIPTS_MAX);
        assert_eq!(ops.receipts(PID).last().map(|last| last.op), Some(OpId(500)));
        assert_eq!(bytes[10], bytes[49], "the state does not grow with history");
        let mut snapshot = Vec::new();
        ops.write(&mut snapshot);
        let read = Ops::read(&snapshot).expect("it was written so");
        assert_eq!((read.digest(), read.receipts(PID)), (ops.digest(), ops.receipts(PID)));
    }

    #[test]
    fn what_is_undone_was_never_there() {
        let digest = Digest::of(b"a call");
        let receipt = |n| Receipt { op: OpId(n), call: "fs.mkdir", outcome: "ok", digest };
        let mut receipts = Receipts::default();
        for n in 0..RECEIPTS_MAX as u64 {
            let undo = receipts.add(PID, receipt(n));
            receipts.undo(undo);
            assert_eq!(receipts.of(PID).len() as u64, n);
            drop(receipts.add(PID, receipt(n)));
        }
        let before = receipts.of(PID);
        let undo = receipts.add(PID, receipt(99));
        assert_eq!(receipts.of(PID)[0].op, OpId(1), "the oldest made room");
        receipts.undo(undo);
        assert_eq!(receipts.of(PID), before);
        let undo = receipts.drop_of(PID).expect("there are some");
        assert!(receipts.of(PID).is_empty());
        receipts.undo(undo);
        assert_eq!(receipts.of(PID), before);
    }
}
