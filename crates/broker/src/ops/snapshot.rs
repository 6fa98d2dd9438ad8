//! The operations as bytes. Which of a memo's are not over follows from those that are open.

use std::sync::Arc;

use libos_abi::{
    CallInfo, CheckpointId, Digest, Fault, Few, Json, Label, OpId, Pid, Principal, RequestId,
    SERVICES, Syscall,
    event::Step,
    human::Decision,
    process::{BudgetKind, Wait},
    tool::Program,
    wire::{self, Reader, WireError},
};
use libos_port::{BadSnapshot, Receipt, load_version, save_version};
use smallvec::SmallVec;

use super::{
    Asked, Content, Entry, Memo, Op, OpState, Ops, Over,
    saved::{Quantum, Saved as Quanta},
};

/// Raised whenever operations are written in another way.
const VERSION: u32 = 5;

type SavedOver = (Pid, BudgetKind, u64, u64, u64);
/// What a question is about: a limit to be raised, or data to be released.
type About = (Option<SavedOver>, Option<Label>);
/// The number of a state, what it waits for, and of a question what about and the answer.
type SavedState = (u8, Option<Wait>, Option<RequestId>, About, Option<Decision>);
/// What an operation has with it: a generated tool, or what it takes from an object.
type SavedWith = (Option<Arc<Program>>, Option<SavedContent>);
/// The parts of a content, or the digest of an excerpt.
type SavedContent = (Option<Arc<[Json]>>, Option<Digest>);
type SavedOp = (OpId, Principal, Step, u64, Syscall, u64, bool, SavedState, SavedWith);
/// A step, its operation and fingerprint, its call by numbers, and where its outcome is.
type SavedEntry = (Step, OpId, u64, (u16, u16), Option<(u32, u32)>);

impl Over {
    fn saved(self) -> SavedOver {
        let Self { of, kind, limit, used, more } = self;
        (of, kind, limit, used, more)
    }

    fn of((of, kind, limit, used, more): SavedOver) -> Self {
        Self { of, kind, limit, used, more }
    }
}

impl Content {
    fn saved(&self) -> SavedContent {
        match self {
            Self::Parts(parts) => (Some(Arc::clone(parts)), None),
            Self::Excerpt(digest) => (None, Some(*digest)),
        }
    }

    fn of(saved: SavedContent) -> Result<Self, WireError> {
        match saved {
            (Some(parts), None) => Ok(Self::Parts(parts)),
            (None, Some(digest)) => Ok(Self::Excerpt(digest)),
            _ => Err(WireError::new("a content that is none")),
        }
    }
}

impl OpState {
    fn saved(&self) -> SavedState {
        match self {
            Self::Admitted => (0, None, None, (None, None), None),
            Self::Asking { request, over, release, decision } => {
                let about = (over.map(Over::saved), *release);
                (1, None, Some(*request), about, decision.clone())
            }
            Self::Waiting(wait) => (2, Some(wait.clone()), None, (None, None), None),
            Self::Dispatched => (3, None, None, (None, None), None),
        }
    }

    fn of(saved: SavedState) -> Result<Self, WireError> {
        Ok(match saved {
            (0, None, None, (None, None), None) => Self::Admitted,
            (1, None, Some(request), (over, release), decision) => {
                Self::Asking { request, over: over.map(Over::of), release, decision }
            }
            (2, Some(wait), None, (None, None), None) => Self::Waiting(wait),
            (3, None, None, (None, None), None) => Self::Dispatched,
            _ => return Err(WireError::new("a state of an operation that is none")),
        })
    }
}

impl Ops {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { last, open, memos, requests, held, subscriptions, saved, receipts, .. } = self;
        let Self { undo: _, spare_ops: _, spare_memos: _, .. } = self;
        save_version(VERSION, out);
        wire::encode_into(&(last, subscriptions), out);
        let open = self.all_open().into_iter().map(|id| {
            let Op { caller, step, fingerprint, call, started_ms, reserved, .. } = &*open[&id];
            let Op { state, program, content, .. } = &*open[&id];
            let with = (program, content.as_ref().map(Content::saved));
            let state = state.saved();
            (id, caller, step, fingerprint, call, started_ms, reserved, state, with)
        });
        wire::encode_each(open, out);
        let mut pids: Vec<Pid> = memos.keys().copied().collect();
        pids.sort_unstable();
        wire::encode_into(&(pids.len() as u64), out);
        for pid in pids {
            wire::encode_into(&pid, out);
            memos[&pid].save(out);
        }
        let requests = requests.iter().map(|(id, Asked { by_broker, over, release, askers })| {
            (id, by_broker, (over.map(Over::saved), *release), askers)
        });
        wire::encode_each(requests, out);
        wire::encode_each(held, out);
        wire::encode_into(&(saved.len() as u64), out);
        for (checkpoint, quanta) in saved {
            wire::encode_into(&(checkpoint, quanta.len() as u64), out);
            for (pid, Quantum { steps_before, entries, outcomes, held }) in &**quanta {
                wire::encode_into(&(pid, held), out);
                save_steps(*steps_before, entries, outcomes, out);
            }
        }
        wire::encode_each(receipts.rows(), out);
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut ops = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        (ops.last, ops.subscriptions) = bytes.read()?;
        bytes.each(|saved: SavedOp| {
            let (id, caller, step, fingerprint, call, started_ms, reserved, state, with) = saved;
            let (state, (program, content)) = (OpState::of(state)?, with);
            let content = content.map(Content::of).transpose()?;
            let op = Op {
                caller,
                step,
                fingerprint,
                call,
                started_ms,
                reserved,
                state,
                program,
                content,
            };
            ops.open.insert(id, Box::new(op));
            Ok::<(), BadSnapshot>(())
        })?;
        for _ in 0..bytes.read::<u64>()? {
            let pid: Pid = bytes.read()?;
            let memo = Memo::load(&mut bytes, |op| ops.open.contains_key(&op))?;
            ops.memos.insert(pid, Box::new(memo));
        }
        bytes.each(|(id, by_broker, (over, release), askers): Saved| {
            let asked = Asked { by_broker, over: over.map(Over::of), release, askers };
            ops.requests.insert(id, asked);
            Ok::<(), BadSnapshot>(())
        })?;
        ops.held = bytes.all()?;
        for _ in 0..bytes.read::<u64>()? {
            let (checkpoint, count): (CheckpointId, u64) = bytes.read()?;
            let mut quanta = Quanta::new();
            for _ in 0..count {
                let (pid, held): (Pid, bool) = bytes.read()?;
                let (steps_before, entries, outcomes) = load_steps(&mut bytes)?;
                quanta.insert(pid, Quantum { steps_before, entries, outcomes, held });
            }
            ops.saved.insert(checkpoint, Arc::new(quanta));
        }
        bytes.each(|(pid, op, call, outcome, digest): SavedReceipt| {
            let call = info(call).ok_or_else(|| WireError::new("a call that is none"))?.name;
            let outcome = word(&outcome).ok_or_else(|| WireError::new("an end that is none"))?;
            // What is added to a state that is made is never taken back.
            drop(ops.receipts.add(pid, Receipt { op, call, outcome, digest }));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.end()?;
        Ok(ops)
    }
}

/// A receipt: whose, its operation, its call by numbers, what it ended in, and its digest.
type SavedReceipt = (Pid, OpId, (u16, u16), String, Digest);

/// What an operation can end in, in a word.
fn word(text: &str) -> Option<&'static str> {
    let faults = Fault::TABLE.iter().map(|(_, code, _)| *code);
    let failures = SERVICES.iter().flat_map(|service| service.failures).map(|it| it.code);
    ["ok"].into_iter().chain(faults).chain(failures).find(|code| *code == text)
}

/// A request to a human.
type Saved = (RequestId, bool, About, Few<(Pid, OpId)>);

impl Memo {
    fn save(&self, out: &mut Vec<u8>) {
        let Self { steps_before, entries, open: _, outcomes } = self;
        save_steps(*steps_before, entries, outcomes, out);
    }

    fn load(bytes: &mut Reader<'_>, is_open: impl Fn(OpId) -> bool) -> Result<Self, BadSnapshot> {
        let (steps_before, entries, outcomes) = load_steps(bytes)?;
        let mut open: Vec<OpId> =
            entries.iter().map(|entry| entry.op).filter(|op| is_open(*op)).collect();
        open.sort_unstable();
        let entries = SmallVec::from_vec(entries);
        Ok(Self { steps_before, entries, open: open.into(), outcomes })
    }
}

fn save_steps(steps_before: u32, entries: &[Entry], outcomes: &[u8], out: &mut Vec<u8>) {
    wire::encode_into(&steps_before, out);
    let entries = entries.iter().map(|entry| -> SavedEntry {
        let Entry { step, op, fingerprint, call, outcome } = *entry;
        (step, op, fingerprint, (call.service_number, call.number), outcome)
    });
    wire::encode_each(entries, out);
    wire::encode_into(&(outcomes.len() as u64), out);
    out.extend_from_slice(outcomes);
}

/// The steps before, the steps, and their outcomes.
type Steps = (u32, Vec<Entry>, Vec<u8>);

fn load_steps(bytes: &mut Reader<'_>) -> Result<Steps, BadSnapshot> {
    let steps_before = bytes.read()?;
    let mut entries = Vec::new();
    bytes.each(|(step, op, fingerprint, call, outcome): SavedEntry| {
        let call = info(call).ok_or_else(|| WireError::new("a call that is none"))?;
        entries.push(Entry { step, op, fingerprint, call, outcome });
        Ok::<(), BadSnapshot>(())
    })?;
    let outcomes = bytes.bytes()?.to_vec();
    let ends = entries.iter().filter_map(|entry| entry.outcome);
    if ends.into_iter().any(|(at, length)| at as usize + length as usize > outcomes.len()) {
        return Err(WireError::new("an outcome that is not there").into());
    }
    Ok((steps_before, entries, outcomes))
}

/// The call with these numbers.
fn info((service, number): (u16, u16)) -> Option<&'static CallInfo> {
    let service = SERVICES.iter().find(|info| info.number == service)?;
    service.calls.iter().find(|info| info.number == number)
}
