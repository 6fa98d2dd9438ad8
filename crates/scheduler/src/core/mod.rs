//! The process table as pure state: what each event does to it.
//!
//! It is changed in place, and each change notes what takes it back, so that marking the state
//! costs nothing and no call costs more for there being many processes. Applying is total: an
//! event that does not fit (another kernel's, a forged one) changes nothing. In a process that has
//! ended nothing ever changes but the use made of its subtree and its limits: they go on to bind
//! those it has left behind.

mod change;
mod life;
mod mail;
mod making;
mod pages;
mod row;
mod saved;
mod snapshot;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use libos_abi::{
    CheckpointId, MessageId, ObjectId, OpId, Pid,
    event::ProcessEvent,
    message::Message,
    process::{ProcessInfo, ProcessState, Usage},
};
use libos_port::{Undo, UndoLog};
use serde::Serialize;

use self::{
    change::Step,
    mail::{Received, Slot},
    making::Spawned,
    pages::Pages,
    row::MadeOf,
    saved::Saved,
};
pub(crate) use self::{
    life::Life,
    row::{Process, Standing},
};

/// Every process and every mailbox.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    processes: Pages<Process>,
    last_message: u64,
    mail: BTreeMap<Slot, Arc<Message>>,
    received: BTreeMap<Pid, Received>,
    /// Owner, whether it has ended, and background task.
    tasks: BTreeSet<(ObjectId, bool, Pid)>,
    /// Root and live background task below it.
    root_tasks: BTreeSet<(Pid, Pid)>,
    /// What is set aside for operations under way: whose they are, and how much.
    set_aside: BTreeMap<OpId, (Pid, Usage)>,
    /// What is kept for checkpoints.
    saved: BTreeMap<CheckpointId, Arc<Saved>>,
    /// Each name once, and what processes are made of, shared by those that bear it. No part of
    /// the state's meaning.
    #[serde(skip)]
    names: BTreeSet<Arc<str>>,
    #[serde(skip)]
    made_of: BTreeSet<Arc<MadeOf>>,
    #[serde(skip)]
    log: UndoLog<Step>,
}

impl Table {
    pub(crate) fn next_pid(&self) -> Pid {
        self.processes.next()
    }

    pub(crate) fn next_message(&self) -> MessageId {
        MessageId(self.last_message.saturating_add(1))
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(pid)
    }

    /// The process, if it has not ended.
    pub(crate) fn live(&self, pid: Pid) -> Option<&Process> {
        self.get(pid).filter(|process| !process.turn.life.has_ended())
    }

    pub(crate) fn state(&self, pid: Pid) -> Option<ProcessState> {
        self.get(pid).map(|process| process.turn.life.state())
    }

    /// Every process in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Pid, &Process)> {
        self.all_after(Pid(0))
    }

    /// Every process after this one in the order of their ids.
    pub(crate) fn all_after(&self, pid: Pid) -> impl Iterator<Item = (Pid, &Process)> {
        self.processes.after(pid)
    }

    /// The process and everyone above it, nearest first.
    pub(crate) fn chain(&self, pid: Pid) -> impl Iterator<Item = (Pid, &Process)> {
        let above = self.get(pid).map(|process| &*process.fixed.ancestors).unwrap_or_default();
        std::iter::once(pid)
            .chain(above.iter().copied())
            .filter_map(|pid| Some((pid, self.get(pid)?)))
    }

    /// The children of a process, ended ones too, in the order of their ids.
    pub(crate) fn children(&self, pid: Pid) -> impl Iterator<Item = Pid> {
        let family = self.get(pid).and_then(|process| process.family.as_ref());
        let younger = |pid: &Pid| self.get(*pid)?.sibling.map(|sibling| Pid(sibling.get()));
        std::iter::successors(family.map(|family| family.first), younger)
    }

    /// The process and all live ones below it, deepest first. Ended processes are looked through:
    /// what they left running ends with those above.
    pub(crate) fn subtree(&self, pid: Pid) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut open = vec![pid];
        while let Some(pid) = open.pop() {
            open.extend(self.children(pid));
            if let Some(process) = self.live(pid) {
                found.push((Reverse(process.level()), pid));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, pid)| pid).collect()
    }

    /// The background tasks of an object that have ended, or have not, in the order of their ids.
    pub(crate) fn tasks(&self, owner: ObjectId, ended: bool) -> impl Iterator<Item = Pid> {
        self.tasks
            .range((owner, ended, Pid(0))..=(owner, ended, Pid(u64::MAX)))
            .map(|(_, _, pid)| *pid)
    }

    /// The live background tasks below a root.
    pub(crate) fn root_tasks(&self, root: Pid) -> impl Iterator<Item = Pid> {
        self.root_tasks.range((root, Pid(0))..=(root, Pid(u64::MAX))).map(|(_, pid)| *pid)
    }

    /// What is set aside for an operation under way.
    pub(crate) fn set_aside(&self, op: OpId) -> Option<Usage> {
        self.set_aside.get(&op).map(|(_, usage)| *usage)
    }

    /// A process as its parent sees it, or as the host does.
    pub(crate) fn info(&self, pid: Pid, process: &Process, for_host: bool) -> ProcessInfo {
        let (fixed, made_of) = (&process.fixed, &process.made_of);
        ProcessInfo {
            pid,
            parent: process.parent(),
            root: process.standing.root,
            image: made_of.image.as_ref().into(),
            goal: fixed.goal.text(),
            state: process.turn.life.state(),
            wait: match &process.turn.life {
                Life::Waiting(wait) => Some(wait.clone()),
                _ => None,
            },
            cwd: fixed.cwd.clone(),
            workspace: (made_of.workspace.as_deref()).filter(|_| for_host).map(str::to_owned),
            planner: made_of.planner.as_ref().into(),
            budget: fixed.budget.as_deref().cloned().unwrap_or_default(),
            usage: process.usage(),
            started_at_ms: fixed.started_at_ms,
            ending: match &process.turn.life {
                Life::Ended(ending) => Some((**ending).clone()),
                _ => None,
            },
            mode: fixed.mode,
            owner: fixed.owner.as_deref().copied(),
            unread: process.unread,
            tool_groups: fixed.tool_groups.iter().map(|group| group.as_ref().into()).collect(),
        }
    }
}

impl Undo for Table {
    type Event = ProcessEvent;
    type Step = Step;

    fn undo(&mut self, step: Step) {
        self.take_back(step);
    }

    fn log(&mut self) -> &mut UndoLog<Step> {
        &mut self.log
    }

    fn apply(&mut self, event: &ProcessEvent) {
        match event {
            ProcessEvent::Spawned {
                pid,
                parent,
                image,
                goal,
                planner,
                workspace,
                cwd,
                budget,
                schedule,
                mode,
                owner,
                at_ms,
            } => {
                let new = Spawned {
                    parent: *parent,
                    image,
                    goal,
                    planner,
                    workspace: workspace.as_deref(),
                    cwd,
                    budget,
                    schedule: *schedule,
                    mode: *mode,
                    owner: *owner,
                    at_ms: *at_ms,
                };
                self.spawned(*pid, new);
            }
            ProcessEvent::Started { pid, run } => self.edit_turn(*pid, |turn| {
                if matches!(turn.life, Life::Runnable) {
                    turn.life = Life::Running;
                    turn.run = *run;
                }
            }),
            ProcessEvent::Committed { pid, state } => self.edit_turn(*pid, |turn| {
                if matches!(turn.life, Life::Running) {
                    turn.life = Life::Runnable;
                }
                turn.quantum += 1;
                turn.kept = state.into();
            }),
            ProcessEvent::Blocked { pid, wait } => self.edit_turn(*pid, |turn| {
                if matches!(turn.life, Life::Running | Life::Waiting(_)) {
                    turn.life = Life::Waiting(wait.clone());
                }
            }),
            ProcessEvent::Readied { pid } => {
                self.edit_turn(*pid, |turn| turn.life = turn.life.readied());
            }
            ProcessEvent::Paused { pid, by_host } => {
                self.edit_turn(*pid, |turn| turn.life = turn.life.paused(*by_host));
            }
            ProcessEvent::Resumed { pid } => {
                self.edit_turn(*pid, |turn| turn.life = turn.life.resumed());
            }
            ProcessEvent::Ended { pid, ending, .. } => self.ended(*pid, ending),
            ProcessEvent::Charged { pid, op, usage } => self.charged(*pid, *op, *usage),
            ProcessEvent::Settled { op, used } => self.settled(*op, *used),
            ProcessEvent::Extended { pid, kind, by } => {
                self.extended(*pid, |budget| budget.raise(*kind, *by));
            }
            ProcessEvent::Execed { pid, image, goal, planner } => {
                self.execed(*pid, image, goal, planner);
            }
            ProcessEvent::Activated { pid, group } => self.activated(*pid, group),
            // That its calls are cancelled is the broker's to do; the process itself goes on.
            ProcessEvent::Cancelled { .. } => {}
            ProcessEvent::Moved { pid, cwd } => {
                self.edit_fixed(*pid, |fixed| fixed.cwd = cwd.clone());
            }
            ProcessEvent::Sent(message) => self.sent(message),
            ProcessEvent::Received { pid, ids } => self.received(*pid, ids),
            ProcessEvent::Saved { checkpoint, processes } => self.save(*checkpoint, processes),
            ProcessEvent::Forgotten { checkpoint } => self.put_saved(*checkpoint, None),
            ProcessEvent::Rewound { pid, checkpoint } => self.rewound(*pid, *checkpoint),
            ProcessEvent::Copied { pid, checkpoint, from } => {
                self.copied(*pid, *checkpoint, *from);
            }
        }
    }
}
