//! Retention: which payloads may go, by an explicit policy.
//!
//! A payload may go when finished work names it and nothing else does. Finished is a task all of
//! whose processes have ended and of which no checkpoint is left, and what the host itself called,
//! both before a point in time.
//! Whatever else the records say keeps a payload: the state they fold to may still hold it. Only
//! calls and outcomes are let go, never what an event of a component names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use libos_abi::{
    CheckpointId, Digest, Event, OpId, Pid, Principal, Request, Seq, audit,
    event::{CheckpointEvent, OpEvent, ProcessEvent},
    wire,
};
use libos_journal::{Journal, SqliteJournal};

use crate::audit::{AuditError, Trail, scan};

/// What a policy comes to for one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The payloads that may go, in order.
    pub digests: Vec<Digest>,
    /// Their bytes.
    pub bytes: u64,
    /// The payloads that stay.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// Reads a whole journal and tells which payloads only work names that was finished before a point
/// in time, in milliseconds since the epoch.
///
/// # Errors
/// [`AuditError`] for the first record that cannot be read: then nothing may go.
pub fn plan(journal: &dyn Journal, before_ms: u64) -> Result<Plan, AuditError> {
    let stored: BTreeMap<Digest, u64> = journal.blobs().list()?.into_iter().collect();
    let mut survey = Survey::new(stored.keys().copied());
    scan(journal, Seq(0), |_, record| {
        record.events.iter().for_each(|event| survey.add(record.at_ms, event));
        true
    })?;
    let may_go = survey.finished(before_ms);
    let mut plan = Plan { digests: Vec::new(), bytes: 0, kept: 0, kept_bytes: 0 };
    for ((digest, bytes), goes) in stored.into_iter().zip(may_go) {
        if goes {
            plan.digests.push(digest);
            plan.bytes += bytes;
        } else {
            plan.kept += 1;
            plan.kept_bytes += bytes;
        }
    }
    Ok(plan)
}

/// Checks that the records bear out every payload that the store calls dropped.
///
/// # Errors
/// [`AuditError::Act`] for payloads dropped in the name of an operation that was none or told
/// otherwise, and the errors of reading.
pub fn check(journal: &SqliteJournal) -> Result<(), AuditError> {
    let acts = journal.acts()?;
    if acts.is_empty() {
        return Ok(());
    }
    let trail = Trail::read(journal)?;
    for (act, dropped) in acts {
        let op = OpId(act);
        let recorded = trail
            .operations
            .get(&op)
            .filter(|it| it.call == audit::Compact::INFO.name && it.dispatched.is_some());
        let told = recorded.and_then(|it| it.outcome.as_ref()).map(|outcome| {
            outcome.clone().ok().and_then(audit::Compact::reply).map(|told| told.list)
        });
        // An act that was cut short, or failed half way, has told nothing.
        if recorded.is_none() || told.flatten().is_some_and(|list| list != dropped.list) {
            return Err(AuditError::Act { op });
        }
    }
    Ok(())
}

/// Whose work an operation is.
#[derive(Debug, Clone, Copy)]
enum Owner {
    /// A task, named by its first process.
    Task(Pid),
    Host,
}

/// Who names a payload.
#[derive(Debug, Clone, Default)]
struct Use {
    /// Something that no end of work settles.
    always: bool,
    tasks: BTreeSet<Pid>,
    /// When the host named it last, in milliseconds since the epoch.
    host_ms: Option<u64>,
}

/// A task.
#[derive(Debug, Default)]
struct Task {
    live: BTreeSet<Pid>,
    /// It can come back to these.
    checkpoints: BTreeSet<CheckpointId>,
    /// When a process of it ended last, in milliseconds since the epoch.
    ended_ms: u64,
}

/// The fold that tells who names which payload.
struct Survey {
    finder: Finder,
    uses: Vec<Use>,
    /// The first process of the task of each process.
    roots: BTreeMap<Pid, Pid>,
    tasks: BTreeMap<Pid, Task>,
    /// Operations without an outcome, and the payloads they name.
    open: BTreeMap<OpId, (Owner, Vec<usize>)>,
    bytes: Vec<u8>,
}

impl Survey {
    fn new(digests: impl Iterator<Item = Digest>) -> Self {
        let finder = Finder::new(digests);
        let uses = vec![Use::default(); finder.index.len()];
        Self {
            finder,
            uses,
            roots: BTreeMap::new(),
            tasks: BTreeMap::new(),
            open: BTreeMap::new(),
            bytes: Vec::new(),
        }
    }

    fn add(&mut self, at_ms: u64, event: &Event) {
        let named = self.named(event);
        let Event::Op(event) = event else {
            for at in named {
                self.uses[at].always = true;
            }
            match event {
                Event::Process(event) => self.add_process(at_ms, event),
                Event::Checkpoint(event) => self.add_checkpoint(event),
                _ => {}
            }
            return;
        };
        let op = event.op();
        let owner = match event {
            OpEvent::Admitted { caller: Principal::Host(_), .. } => Some(Owner::Host),
            OpEvent::Admitted {
                caller: Principal::Process(pid) | Principal::Tool { pid, .. },
                ..
            } => self.roots.get(pid).map(|root| Owner::Task(*root)),
            _ => self.open.get(&op).map(|(owner, _)| *owner),
        };
        for at in &named {
            let named = &mut self.uses[*at];
            match owner {
                Some(Owner::Task(root)) => drop(named.tasks.insert(root)),
                Some(Owner::Host) => named.host_ms = Some(at_ms),
                None => named.always = true,
            }
        }
        match (event, owner) {
            (OpEvent::Settled { .. }, _) => drop(self.open.remove(&op)),
            (_, Some(owner)) => self.open.entry(op).or_insert((owner, Vec::new())).1.extend(named),
            (_, None) => {}
        }
    }

    fn add_process(&mut self, at_ms: u64, event: &ProcessEvent) {
        match event {
            ProcessEvent::Spawned { pid, parent, .. } => {
                let root = parent.and_then(|parent| self.roots.get(&parent)).copied();
                let root = root.unwrap_or(*pid);
                self.roots.insert(*pid, root);
                self.tasks.entry(root).or_default().live.insert(*pid);
            }
            ProcessEvent::Ended { pid, .. } => {
                let root = self.roots.get(pid).copied();
                if let Some(task) = root.and_then(|root| self.tasks.get_mut(&root)) {
                    task.live.remove(pid);
                    task.ended_ms = at_ms;
                }
            }
            ProcessEvent::Rewound { pid, .. } => {
                let root = self.roots.get(pid).copied();
                if let Some(task) = root.and_then(|root| self.tasks.get_mut(&root)) {
                    task.live.insert(*pid);
                }
            }
            _ => {}
        }
    }

    fn add_checkpoint(&mut self, event: &CheckpointEvent) {
        let id = match event {
            CheckpointEvent::Created(info) => info.id,
            CheckpointEvent::Dropped { checkpoint } => *checkpoint,
        };
        let root = self.roots.get(&id.process).copied();
        if let Some(task) = root.and_then(|root| self.tasks.get_mut(&root)) {
            match event {
                CheckpointEvent::Created(_) => task.checkpoints.insert(id),
                CheckpointEvent::Dropped { .. } => task.checkpoints.remove(&id),
            };
        }
    }

    /// The payloads that an event names.
    fn named(&mut self, event: &Event) -> Vec<usize> {
        self.bytes.clear();
        wire::encode_into(event, &mut self.bytes);
        self.finder.find(&self.bytes)
    }

    /// For each payload, in order, whether nothing but work names it that was finished before then.
    fn finished(mut self, before_ms: u64) -> Vec<bool> {
        for at in self.open.values().flat_map(|(_, named)| named) {
            self.uses[*at].always = true;
        }
        let is_finished = |root: &Pid| {
            let task = self.tasks.get(root);
            task.is_some_and(|task| {
                let is_over = task.live.is_empty() && task.checkpoints.is_empty();
                is_over && task.ended_ms < before_ms
            })
        };
        let may_go = |named: &Use| {
            !named.always
                && named.tasks.iter().all(is_finished)
                && named.host_ms.is_none_or(|at_ms| at_ms < before_ms)
        };
        self.uses.iter().map(may_go).collect()
    }
}

/// Finds known digests among bytes, wherever an encoding has put them.
struct Finder {
    index: HashMap<Digest, usize>,
    /// A bit for the first bytes of each digest: most places hold none, and cost no more than this.
    first: Vec<u64>,
}

impl Finder {
    fn new(digests: impl Iterator<Item = Digest>) -> Self {
        let index: HashMap<Digest, usize> = digests.enumerate().map(|(at, of)| (of, at)).collect();
        let words = (index.len() / 4).next_power_of_two().clamp(64, 1 << 20);
        let mut finder = Self { first: vec![0; words], index };
        for digest in finder.index.keys() {
            let (word, bit) = place(&digest.0, words);
            finder.first[word] |= bit;
        }
        finder
    }

    fn find(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for window in bytes.windows(32) {
            let (word, bit) = place(window, self.first.len());
            if self.first[word] & bit != 0
                && let Ok(window) = window.try_into()
            {
                found.extend(self.index.get(&Digest(window)));
            }
        }
        found
    }
}

/// The bit of a digest among so many words, a power of two.
fn place(digest: &[u8], words: usize) -> (usize, u64) {
    let hash = usize::from(digest[0]) | usize::from(digest[1]) << 8 | usize::from(digest[2]) << 16;
    ((hash >> 6 | usize::from(digest[3]) << 18) & (words - 1), 1 << (hash & 63))
}
