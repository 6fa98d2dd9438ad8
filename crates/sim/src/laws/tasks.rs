//! Processes, their budgets and their mail.

use std::collections::BTreeMap;

use libos_abi::{
    CheckpointId, MessageId, OpId, Outcome, Pid,
    event::{ProcessEvent, Step},
    message::{Message, MessageKind},
    process::{Budget, BudgetKind, Usage},
};

use super::Laws;

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Runnable,
    Running,
    Waiting,
    /// Held; it goes back to waiting, or not.
    Paused {
        waits: bool,
    },
    Ended,
}

impl Life {
    /// Whether a process makes calls in it.
    pub(crate) fn acts(self) -> bool {
        self == Self::Running
    }
}

/// A process as its records tell it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) life: Life,
    pub(crate) run: u64,
    /// Everyone above it, nearest first.
    pub(crate) above: Vec<Pid>,
    pub(crate) budget: Budget,
    pub(crate) usage: Usage,
}

/// A process at a checkpoint.
#[derive(Debug)]
pub(super) struct Saved {
    paused: bool,
    budget: Budget,
    mail: Vec<Message>,
    /// The steps of its quantum that were over.
    steps: BTreeMap<Step, OpId>,
}

const KINDS: [BudgetKind; 6] = [
    BudgetKind::Syscalls,
    BudgetKind::ToolCalls,
    BudgetKind::Children,
    BudgetKind::Bytes,
    BudgetKind::Tokens,
    BudgetKind::Cost,
];

impl Laws {
    pub(super) fn process(&mut self, event: &ProcessEvent) {
        match event {
            ProcessEvent::Spawned { pid, parent, budget, .. } => {
                self.spawned(*pid, *parent, budget);
            }
            ProcessEvent::Started { pid, run } => {
                let task = self.tasks.get_mut(pid);
                let fresh = task.is_some_and(|task| {
                    let fresh = *run > task.run && task.life == Life::Runnable;
                    (task.run, task.life) = (*run, Life::Running);
                    fresh
                });
                self.must("each run has its number", fresh, || format!("run {run} of {pid}"));
            }
            ProcessEvent::Committed { pid, .. } | ProcessEvent::Execed { pid, .. } => {
                self.quantum_ends(*pid);
                self.moves(*pid, |life| match life {
                    Life::Paused { .. } => Life::Paused { waits: false },
                    _ => Life::Runnable,
                });
            }
            ProcessEvent::Blocked { pid, .. } => self.moves(*pid, |_| Life::Waiting),
            ProcessEvent::Readied { pid } => self.moves(*pid, |life| match life {
                Life::Paused { .. } => Life::Paused { waits: false },
                _ => Life::Runnable,
            }),
            ProcessEvent::Paused { pid, .. } => self.moves(*pid, |life| match life {
                Life::Paused { waits } => Life::Paused { waits },
                life => Life::Paused { waits: life == Life::Waiting },
            }),
            ProcessEvent::Resumed { pid } => self.moves(*pid, |life| match life {
                Life::Paused { waits: true } => Life::Waiting,
                _ => Life::Runnable,
            }),
            ProcessEvent::Ended { pid, .. } => {
                self.moves(*pid, |_| Life::Ended);
                self.quantum_ends(*pid);
                self.mail.remove(pid);
            }
            ProcessEvent::Charged { pid, op, usage } => self.charged(*pid, *op, *usage),
            ProcessEvent::Settled { op, used } => match self.aside.remove(op) {
                Some((pid, aside)) => self.charge(pid, |usage| usage.minus(aside).plus(*used)),
                None => self.broken("settled once", format!("{op} has nothing set aside")),
            },
            ProcessEvent::Extended { pid, kind, by } => {
                if let Some(task) = self.tasks.get_mut(pid) {
                    task.budget.raise(*kind, *by);
                }
            }
            ProcessEvent::Saved { checkpoint, processes } => self.save(*checkpoint, processes),
            ProcessEvent::Forgotten { checkpoint } => drop(self.saved.remove(checkpoint)),
            ProcessEvent::Rewound { pid, checkpoint } => self.rewind(*pid, *checkpoint),
            ProcessEvent::Sent(message) => self.sent(message),
            ProcessEvent::Received { pid, ids } => self.received(*pid, ids),
            _ => {}
        }
    }

    fn spawned(&mut self, pid: Pid, parent: Option<Pid>, budget: &Budget) {
        let next = self.tasks.len() as u64 + 1;
        self.must("numbers are given once", pid.0 == next, || format!("{pid} is not p{next}"));
        let mut above = Vec::new();
        if let Some(parent) = parent {
            above.push(parent);
            above.extend(self.tasks.get(&parent).into_iter().flat_map(|task| task.above.clone()));
        }
        let task = Task {
            life: Life::Runnable,
            run: 0,
            above,
            budget: budget.clone(),
            usage: Usage::default(),
        };
        self.tasks.insert(pid, task);
        if let Some(parent) = parent {
            let child = Usage { children: 1, ..Usage::default() };
            self.charge(parent, |usage| usage.plus(child));
            self.within(parent, BudgetKind::Children);
        }
    }

    fn moves(&mut self, pid: Pid, to: impl FnOnce(Life) -> Life) {
        let Some(task) = self.tasks.get_mut(&pid) else {
            return self.broken("who ended does nothing", format!("{pid} was never made"));
        };
        let was = task.life;
        task.life = to(was);
        self.must("who ended does nothing", was != Life::Ended, || format!("{pid} has ended"));
    }

    // ---- checkpoints -------------------------------------------------------------------------

    fn save(&mut self, checkpoint: CheckpointId, processes: &[Pid]) {
        let mut saved = BTreeMap::new();
        for pid in processes {
            let Some(task) = self.tasks.get(pid) else { continue };
            let over = |step: &Step, op: &OpId| {
                let settled = self.ops.get(op).is_some_and(|called| called.settled.is_some());
                step.parent.is_none() && settled
            };
            let steps = self.steps.get(pid).into_iter().flatten();
            let steps = steps.filter(|(step, op)| over(step, op));
            let kept = Saved {
                paused: matches!(task.life, Life::Paused { .. }),
                budget: task.budget.clone(),
                mail: self.unread(*pid).to_vec(),
                steps: steps.map(|(step, op)| (*step, *op)).collect(),
            };
            saved.insert(*pid, kept);
        }
        self.saved.insert(checkpoint, saved);
    }

    /// What comes back is what was kept; what was used stays used.
    fn rewind(&mut self, pid: Pid, checkpoint: CheckpointId) {
        let saved = self.saved.get(&checkpoint).and_then(|saved| saved.get(&pid));
        let (Some(saved), Some(task)) = (saved, self.tasks.get_mut(&pid)) else {
            return self.broken("what was kept comes back", format!("{pid} of {checkpoint}"));
        };
        let paused = saved.paused || matches!(task.life, Life::Paused { .. });
        task.life = if paused { Life::Paused { waits: false } } else { Life::Runnable };
        task.budget = saved.budget.clone();
        self.mail.insert(pid, saved.mail.clone());
        self.steps.insert(pid, saved.steps.clone());
    }

    /// The checkpoints there are.
    pub(crate) fn checkpoints(&self) -> Vec<CheckpointId> {
        self.saved.keys().copied().collect()
    }

    // ---- budgets -----------------------------------------------------------------------------

    fn line(&self, pid: Pid) -> Vec<Pid> {
        let above = self.tasks.get(&pid).map(|task| task.above.clone()).unwrap_or_default();
        std::iter::once(pid).chain(above).collect()
    }

    fn charge(&mut self, pid: Pid, change: impl Fn(Usage) -> Usage) {
        for pid in self.line(pid) {
            if let Some(task) = self.tasks.get_mut(&pid) {
                task.usage = change(task.usage);
            }
        }
    }

    fn within(&mut self, pid: Pid, kind: BudgetKind) {
        for pid in self.line(pid) {
            let Some(task) = self.tasks.get(&pid) else { continue };
            let used = task.usage.of(kind);
            let limit = task.budget.limit(kind);
            self.must("within every budget", limit.is_none_or(|limit| used <= limit), || {
                format!("{pid} has used {used} of {limit:?} {}", kind.unit())
            });
        }
    }

    fn charged(&mut self, pid: Pid, op: OpId, usage: Usage) {
        self.charge(pid, |before| before.plus(usage));
        for kind in KINDS.into_iter().filter(|kind| usage.of(*kind) > 0) {
            self.within(pid, kind);
        }
        let aside = usage.estimated();
        if !aside.is_nothing() {
            let before = self.aside.get(&op).map(|(_, before)| *before).unwrap_or_default();
            self.aside.insert(op, (pid, before.plus(aside)));
        }
        // It may come before the admission of the operation in the same record.
        match self.ops.get_mut(&op) {
            Some(called) => called.charged.push(usage),
            None => self.charges.push((op, usage)),
        }
    }

    /// Whether calls of a process are counted: it or one above it has a limit that counts them.
    fn is_counted(&self, pid: Pid) -> bool {
        let counts = |pid: &Pid| {
            self.tasks.get(pid).is_some_and(|task| {
                let limit = |kind: &BudgetKind| task.budget.limit(*kind).is_some();
                KINDS.iter().any(|kind| *kind != BudgetKind::Children && limit(kind))
            })
        };
        self.line(pid).iter().any(counts)
    }

    /// A call that was made is charged once, where calls are counted; one that was refused once at
    /// the most.
    pub(super) fn is_charged(&mut self, at: u64, op: OpId, outcome: &Outcome) {
        let Some(called) = self.ops.get(&op) else { return };
        let (Some(pid), index) = (called.caller.pid(), called.step.index) else { return };
        let (times, name) = (called.charged.len(), called.call.info().name);
        let due = usize::from(index > 0 && self.is_counted(pid));
        let holds = if outcome.is_ok() { times == due } else { times <= due };
        self.must("charged once", holds, || {
            format!("#{at}: {name} of {pid}, {op}, is charged {times} times, not {due}")
        });
    }

    // ---- mail --------------------------------------------------------------------------------

    fn sent(&mut self, message: &Message) {
        let next = message.id.0 == self.last_message + 1;
        self.must("numbers are given once", next, || format!("{}", message.id));
        self.last_message = message.id.0;
        if self.tasks.get(&message.to).is_some_and(|task| task.life != Life::Ended) {
            self.mail.entry(message.to).or_default().push(message.clone());
        } else {
            self.broken("who ended does nothing", format!("{} gets {}", message.to, message.id));
        }
    }

    fn received(&mut self, pid: Pid, ids: &[MessageId]) {
        for id in ids {
            let mail = self.mail.entry(pid).or_default();
            let at = mail.iter().position(|message| message.id == *id);
            let taken = at.map(|at| mail.remove(at));
            self.must("each message is delivered once", taken.is_some(), || {
                format!("{id} is not in the mailbox of {pid}")
            });
            if taken.is_some_and(|message| message.kind == MessageKind::Letter) {
                self.taken.push(*id);
            }
        }
    }

    /// What a process was sent and has not taken.
    pub(super) fn unread(&self, pid: Pid) -> &[Message] {
        self.mail.get(&pid).map(Vec::as_slice).unwrap_or_default()
    }

    /// What the list of processes should tell of one: its state, its unread messages, its usage.
    pub(crate) fn told_of(&self, pid: Pid) -> Option<(Life, u32, Usage)> {
        let task = self.tasks.get(&pid)?;
        let unread = u32::try_from(self.unread(pid).len()).unwrap_or(u32::MAX);
        Some((task.life, unread, task.usage))
    }
}
