//! The process table as pure state: what each event does to it.
//!
//! Persistent maps, so that a copy to come back to costs a few pointers. What hardly ever changes
//! in a process's life sits behind a pointer of its own, so that a step copies the small rest only.
//! Applying is total: an event that does not fit (another kernel's, a forged one) changes nothing.
//! In a process that has ended nothing ever changes but the use made of its subtree and its limits:
//! they go on to bind those it has left behind.

use std::{cmp::Reverse, collections::VecDeque, sync::Arc};

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    FsPath, MessageId, ObjectId, OpId, Pid, Text,
    event::ProcessEvent,
    message::{Message, MessageKind},
    process::{Budget, Ending, ForkMode, PlannerSpec, ProcessInfo, ProcessState, Schedule, Usage},
};
use libos_port::Fold;
use serde::Serialize;

use crate::{LIMITS, budget::Bounds, life::Life};

/// What a process was made with, or goes on as.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fixed {
    pub(crate) parent: Option<Pid>,
    pub(crate) root: Pid,
    /// Everyone above it, nearest first; children of one parent share it. Follows from the parents.
    #[serde(skip)]
    pub(crate) ancestors: Arc<[Pid]>,
    pub(crate) image: Arc<str>,
    pub(crate) goal: Text,
    pub(crate) planner: Arc<str>,
    /// Dropped when the process ends.
    pub(crate) program: Option<Text>,
    pub(crate) workspace: Option<Arc<str>>,
    pub(crate) budget: Budget,
    /// What there is to check for it and those above it. Follows from the budgets.
    #[serde(skip)]
    pub(crate) bounds: Bounds,
    pub(crate) weight: u32,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) mode: Option<ForkMode>,
    pub(crate) owner: Option<ObjectId>,
    pub(crate) started_at_ms: u64,
}

impl Fixed {
    /// The number of its level; a root is on level 1.
    pub(crate) fn level(&self) -> usize {
        self.ancestors.len() + 1
    }
}

/// One process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Process {
    pub(crate) fixed: Arc<Fixed>,
    pub(crate) life: Life,
    pub(crate) cwd: FsPath,
    pub(crate) run: u64,
    pub(crate) quantum: u64,
    /// What its planner keeps; nothing before the first commit and after the end.
    pub(crate) kept: Option<Text>,
    /// In the order of their activation.
    pub(crate) tool_groups: Arc<[Arc<str>]>,
    pub(crate) usage: Usage,
    /// Messages it has not taken, interrupts included.
    pub(crate) unread: u32,
    /// Interrupts that were not delivered.
    pub(crate) interrupts: u32,
    pub(crate) children_live: u32,
    /// It and everyone above it, for its children to share. Follows from the parents.
    #[serde(skip)]
    line: Option<Arc<[Pid]>>,
}

/// Where a message that was not taken stands: whose it is, whether it is an interrupt, its id.
type Slot = (Pid, bool, MessageId);

/// The messages a process has taken last, each with the process that sent it.
type Received = Arc<VecDeque<(MessageId, Pid)>>;

/// Every process and every mailbox.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Table {
    last_pid: u64,
    last_message: u64,
    processes: OrdMap<Pid, Arc<Process>>,
    /// Parent and child, ended ones too.
    children: OrdSet<(Pid, Pid)>,
    /// Owner, whether it has ended, and background task.
    tasks: OrdSet<(ObjectId, bool, Pid)>,
    /// Root and live background task below it.
    root_tasks: OrdSet<(Pid, Pid)>,
    mail: OrdMap<Slot, Arc<Message>>,
    received: OrdMap<Pid, Received>,
    /// What is set aside for operations under way: whose they are, and how much.
    set_aside: OrdMap<OpId, (Pid, Usage)>,
    /// Each name once, shared by the processes that bear it. No part of the state's meaning.
    #[serde(skip)]
    names: OrdSet<Arc<str>>,
}

impl Table {
    pub(crate) fn next_pid(&self) -> Pid {
        Pid(self.last_pid + 1)
    }

    pub(crate) fn next_message(&self) -> MessageId {
        MessageId(self.last_message + 1)
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(&pid).map(|process| &**process)
    }

    /// The process, if it has not ended.
    pub(crate) fn live(&self, pid: Pid) -> Option<&Process> {
        self.get(pid).filter(|process| !process.life.has_ended())
    }

    pub(crate) fn state(&self, pid: Pid) -> Option<ProcessState> {
        self.get(pid).map(|process| process.life.state())
    }

    /// Every process in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Pid, &Process)> {
        self.processes.iter().map(|(pid, process)| (*pid, &**process))
    }

    /// The process and everyone above it, nearest first.
    pub(crate) fn chain(&self, pid: Pid) -> impl Iterator<Item = (Pid, &Process)> {
        let mut next = Some(pid);
        std::iter::from_fn(move || {
            let pid = next?;
            let process = self.get(pid)?;
            next = process.fixed.parent;
            Some((pid, process))
        })
    }

    /// The children of a process, ended ones too, in the order of their ids.
    pub(crate) fn children(&self, pid: Pid) -> impl Iterator<Item = Pid> {
        self.children.range((pid, Pid(0))..=(pid, Pid(u64::MAX))).map(|(_, child)| *child)
    }

    /// The process and all live ones below it, deepest first. Ended processes are looked through:
    /// what they left running ends with those above.
    pub(crate) fn subtree(&self, pid: Pid) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut open = vec![pid];
        while let Some(pid) = open.pop() {
            open.extend(self.children(pid));
            if let Some(process) = self.live(pid) {
                found.push((Reverse(process.fixed.level()), pid));
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

    /// The letters, or the interrupts, that a process has not taken, in the order they were sent.
    pub(crate) fn mail(&self, pid: Pid, kind: MessageKind) -> impl Iterator<Item = &Arc<Message>> {
        let at = |id| slot(pid, kind, MessageId(id));
        self.mail.range(at(0)..=at(u64::MAX)).map(|(_, message)| message)
    }

    /// Whether a message is in a process's mailbox, or was lately, and came from `from`.
    pub(crate) fn had_from(&self, pid: Pid, id: MessageId, from: Pid) -> bool {
        let is_here = [MessageKind::Letter, MessageKind::Interrupt].iter().any(|kind| {
            self.mail.get(&slot(pid, *kind, id)).is_some_and(|message| message.from == Some(from))
        });
        is_here || self.received.get(&pid).is_some_and(|last| last.contains(&(id, from)))
    }

    /// A process as its parent sees it, or as the host does.
    pub(crate) fn info(&self, pid: Pid, process: &Process, for_host: bool) -> ProcessInfo {
        let fixed = &process.fixed;
        ProcessInfo {
            pid,
            parent: fixed.parent,
            root: fixed.root,
            image: fixed.image.as_ref().into(),
            goal: fixed.goal.clone(),
            state: process.life.state(),
            wait: match &process.life {
                Life::Waiting(wait) => Some(wait.clone()),
                _ => None,
            },
            cwd: process.cwd.clone(),
            workspace: (fixed.workspace.as_deref()).filter(|_| for_host).map(str::to_owned),
            planner: fixed.planner.as_ref().into(),
            budget: fixed.budget.clone(),
            usage: process.usage,
            started_at_ms: fixed.started_at_ms,
            ending: match &process.life {
                Life::Ended(ending) => Some((**ending).clone()),
                _ => None,
            },
            mode: fixed.mode,
            owner: fixed.owner,
            unread: process.unread,
            tool_groups: process.tool_groups.iter().map(|group| group.as_ref().into()).collect(),
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(name) = self.names.get(name) {
            return Arc::clone(name);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    fn edit(&mut self, pid: Pid, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(&pid) {
            change(Arc::make_mut(process));
        }
    }

    /// Changes a process that has not ended.
    fn edit_live(&mut self, pid: Pid, change: impl FnOnce(&mut Process)) {
        if self.live(pid).is_some() {
            self.edit(pid, change);
        }
    }

    /// Changes the usage of a process and of everyone above it.
    fn charge(&mut self, pid: Option<Pid>, charge: impl Fn(Usage) -> Usage) {
        let mut next = pid;
        while let Some(pid) = next {
            next = None;
            self.edit(pid, |process| {
                process.usage = charge(process.usage);
                next = process.fixed.parent;
            });
        }
    }

    /// The process and everyone above it, as its children share it.
    fn line(&mut self, pid: Pid) -> Arc<[Pid]> {
        let Some(process) = self.get(pid) else {
            return Arc::default();
        };
        if let Some(line) = &process.line {
            return Arc::clone(line);
        }
        let line: Arc<[Pid]> =
            std::iter::once(pid).chain(process.fixed.ancestors.iter().copied()).collect();
        self.edit(pid, |process| process.line = Some(Arc::clone(&line)));
        line
    }

    fn spawned(&mut self, pid: Pid, new: Spawned<'_>) {
        if self.get(pid).is_some() {
            return;
        }
        let parent = new.parent.filter(|parent| self.get(*parent).is_some());
        let ancestors = parent.map(|parent| self.line(parent)).unwrap_or_default();
        let (image, planner) = (self.name(new.image), self.name(&new.planner.kind));
        let workspace = new.workspace.map(|workspace| self.name(workspace));
        let above = parent.and_then(|parent| self.get(parent));
        let (weight, deadline_ms) = standing(new.schedule, above, new.at_ms);
        let same = |text: &Text, other: Option<&Text>| other.unwrap_or(text).clone();
        let program = Some(&new.planner.program).filter(|program| program.bytes() > 0);
        let fixed = Fixed {
            parent,
            root: above.map_or(pid, |above| above.fixed.root),
            ancestors,
            image,
            goal: new.goal.clone(),
            planner,
            // A fork's program is its parent's, kept once.
            program: program.map(|program| {
                let parents = above.and_then(|above| above.fixed.program.as_ref());
                same(program, parents.filter(|parents| *parents == program))
            }),
            workspace,
            budget: new.budget.clone(),
            bounds: Bounds::of(new.budget, above.map(|above| above.fixed.bounds)),
            weight,
            deadline_ms,
            mode: new.mode,
            owner: new.owner,
            started_at_ms: new.at_ms,
        };
        let shared = above.filter(|above| above.cwd == *new.cwd).map(|above| &above.cwd);
        let process = Process {
            life: Life::Runnable,
            cwd: shared.unwrap_or(new.cwd).clone(),
            run: 0,
            quantum: 0,
            kept: None,
            tool_groups: above
                .filter(|_| new.mode.is_some())
                .map(|above| Arc::clone(&above.tool_groups))
                .unwrap_or_default(),
            usage: Usage::default(),
            unread: 0,
            interrupts: 0,
            children_live: 0,
            line: None,
            fixed: Arc::new(fixed),
        };
        if let Some(owner) = new.owner {
            self.tasks.insert((owner, false, pid));
            self.root_tasks.insert((process.fixed.root, pid));
        }
        self.last_pid = self.last_pid.max(pid.0);
        self.processes.insert(pid, Arc::new(process));
        if let Some(parent) = parent {
            self.children.insert((parent, pid));
            self.edit(parent, |parent| parent.children_live += 1);
            let child = Usage { children: 1, ..Usage::default() };
            self.charge(Some(parent), |usage| usage.plus(child));
        }
    }

    fn ended(&mut self, pid: Pid, ending: &Ending) {
        let Some(process) = self.live(pid) else {
            return;
        };
        let fixed = Arc::clone(&process.fixed);
        for kind in [MessageKind::Letter, MessageKind::Interrupt] {
            let ids: Vec<MessageId> = self.mail(pid, kind).map(|message| message.id).collect();
            for id in ids {
                self.mail.remove(&slot(pid, kind, id));
            }
        }
        self.received.remove(&pid);
        if let Some(owner) = fixed.owner {
            self.tasks.remove(&(owner, false, pid));
            self.tasks.insert((owner, true, pid));
            self.root_tasks.remove(&(fixed.root, pid));
        }
        let parent = fixed.parent;
        drop(fixed);
        self.edit(pid, |process| {
            process.life = Life::Ended(Arc::new(ending.clone()));
            process.kept = None;
            process.unread = 0;
            process.interrupts = 0;
            if process.fixed.program.is_some() {
                Arc::make_mut(&mut process.fixed).program = None;
            }
        });
        if let Some(parent) = parent {
            self.edit(parent, |parent| {
                parent.children_live = parent.children_live.saturating_sub(1);
            });
        }
    }

    fn execed(&mut self, pid: Pid, image: &str, goal: &Text, planner: &PlannerSpec) {
        let (image, kind) = (self.name(image), self.name(&planner.kind));
        self.edit_live(pid, |process| {
            process.life = process.life.readied();
            process.quantum += 1;
            process.kept = None;
            process.tool_groups = Arc::default();
            let fixed = Arc::make_mut(&mut process.fixed);
            fixed.image = image;
            fixed.goal = goal.clone();
            fixed.planner = kind;
            fixed.program = Some(planner.program.clone()).filter(|program| program.bytes() > 0);
        });
    }

    fn activated(&mut self, pid: Pid, group: &str) {
        let group = self.name(group);
        self.edit_live(pid, |process| {
            if !process.tool_groups.contains(&group) {
                let groups = process.tool_groups.iter().cloned();
                process.tool_groups = groups.chain([group]).collect();
            }
        });
    }

    fn charged(&mut self, pid: Pid, op: OpId, usage: Usage) {
        if self.get(pid).is_none() {
            return;
        }
        self.charge(Some(pid), |used| used.plus(usage));
        let estimated = usage.estimated();
        if !estimated.is_nothing() {
            let before = self.set_aside(op).unwrap_or_default();
            self.set_aside.insert(op, (pid, before.plus(estimated)));
        }
    }

    fn settled(&mut self, op: OpId, used: Usage) {
        if let Some((pid, set_aside)) = self.set_aside.remove(&op) {
            self.charge(Some(pid), |usage| usage.minus(set_aside).plus(used.estimated()));
        }
    }

    fn sent(&mut self, message: &Message) {
        self.last_message = self.last_message.max(message.id.0);
        let key = slot(message.to, message.kind, message.id);
        if self.live(message.to).is_some() && !self.mail.contains_key(&key) {
            self.mail.insert(key, Arc::new(message.clone()));
            self.edit(message.to, |process| {
                process.unread += 1;
                process.interrupts += u32::from(message.kind == MessageKind::Interrupt);
            });
        }
    }

    fn received(&mut self, pid: Pid, ids: &[MessageId]) {
        if self.live(pid).is_none() {
            return;
        }
        let mut last = self.received.get(&pid).cloned().unwrap_or_default();
        for id in ids {
            for kind in [MessageKind::Letter, MessageKind::Interrupt] {
                let Some(message) = self.mail.remove(&slot(pid, kind, *id)) else {
                    continue;
                };
                self.edit(pid, |process| {
                    process.unread = process.unread.saturating_sub(1);
                    let interrupts = u32::from(kind == MessageKind::Interrupt);
                    process.interrupts = process.interrupts.saturating_sub(interrupts);
                });
                if let Some(from) = message.from {
                    Arc::make_mut(&mut last).push_back((*id, from));
                }
            }
        }
        let surplus = last.len().saturating_sub(LIMITS.received_messages_max as usize);
        if surplus > 0 {
            Arc::make_mut(&mut last).drain(..surplus);
        }
        if !last.is_empty() {
            self.received.insert(pid, last);
        }
    }
}

/// A process that is made, as its event tells.
struct Spawned<'a> {
    parent: Option<Pid>,
    image: &'a str,
    goal: &'a Text,
    planner: &'a PlannerSpec,
    workspace: Option<&'a str>,
    cwd: &'a FsPath,
    budget: &'a Budget,
    schedule: Schedule,
    mode: Option<ForkMode>,
    owner: Option<ObjectId>,
    at_ms: u64,
}

fn slot(pid: Pid, kind: MessageKind, id: MessageId) -> Slot {
    (pid, kind == MessageKind::Interrupt, id)
}

/// The weight and the deadline of a new process. A child is never ahead of its parent: its weight
/// is at most its parent's, its deadline no earlier, and its parent's if it has none of its own.
fn standing(schedule: Schedule, above: Option<&Process>, at_ms: u64) -> (u32, Option<u64>) {
    let weight = schedule.weight.unwrap_or(LIMITS.weight_default).clamp(1, LIMITS.weight_max);
    let deadline_ms = schedule.deadline.map(|deadline| at_ms.saturating_add(deadline.0));
    match above.map(|above| &above.fixed) {
        None => (weight, deadline_ms),
        Some(above) => (
            weight.min(above.weight),
            above.deadline_ms.map(|parents| deadline_ms.unwrap_or(parents).max(parents)),
        ),
    }
}

impl Fold for Table {
    type Event = ProcessEvent;

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
            ProcessEvent::Started { pid, run } => self.edit_live(*pid, |process| {
                if matches!(process.life, Life::Runnable) {
                    process.life = Life::Running;
                    process.run = *run;
                }
            }),
            ProcessEvent::Committed { pid, state } => self.edit_live(*pid, |process| {
                if matches!(process.life, Life::Running) {
                    process.life = Life::Runnable;
                }
                process.quantum += 1;
                process.kept = Some(state.clone()).filter(|state| state.bytes() > 0);
            }),
            ProcessEvent::Blocked { pid, wait } => self.edit_live(*pid, |process| {
                if matches!(process.life, Life::Running) {
                    process.life = Life::Waiting(wait.clone());
                }
            }),
            ProcessEvent::Readied { pid } => {
                self.edit_live(*pid, |process| process.life = process.life.readied());
            }
            ProcessEvent::Paused { pid, by_host } => {
                self.edit_live(*pid, |process| process.life = process.life.paused(*by_host));
            }
            ProcessEvent::Resumed { pid } => {
                self.edit_live(*pid, |process| process.life = process.life.resumed());
            }
            ProcessEvent::Ended { pid, ending, .. } => self.ended(*pid, ending),
            ProcessEvent::Charged { pid, op, usage } => self.charged(*pid, *op, *usage),
            ProcessEvent::Settled { op, used } => self.settled(*op, *used),
            ProcessEvent::Extended { pid, kind, by } => self.edit(*pid, |process| {
                Arc::make_mut(&mut process.fixed).budget.raise(*kind, *by);
            }),
            ProcessEvent::Execed { pid, image, goal, planner } => {
                self.execed(*pid, image, goal, planner);
            }
            ProcessEvent::Activated { pid, group } => self.activated(*pid, group),
            // That its calls are cancelled is the broker's to do; the process itself goes on.
            ProcessEvent::Cancelled { .. } => {}
            ProcessEvent::Moved { pid, cwd } => {
                self.edit_live(*pid, |process| process.cwd = cwd.clone());
            }
            ProcessEvent::Sent(message) => self.sent(message),
            ProcessEvent::Received { pid, ids } => self.received(*pid, ids),
        }
    }
}
