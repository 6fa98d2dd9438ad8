//! The process table as pure state: what each event does to it.
//!
//! Persistent maps, so that a copy to come back to costs a few pointers. What never changes in a
//! process's life sits behind a pointer of its own, so that a step copies the small rest only.
//! Applying is total: an event that does not fit (another kernel's, a forged one) changes nothing,
//! and nothing but the use made of its subtree ever changes in a process that has ended.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    FsPath, MessageId, Pid, Text,
    event::ProcessEvent,
    message::Message,
    process::{Budget, Ending, PlannerSpec, ProcessInfo, ProcessState, Usage, Wait},
};
use libos_port::Fold;
use serde::Serialize;

/// What a process was made with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fixed {
    pub(crate) parent: Option<Pid>,
    pub(crate) root: Pid,
    /// The number of its level; a root is on level 1.
    pub(crate) depth: u32,
    pub(crate) image: Arc<str>,
    pub(crate) goal: Text,
    pub(crate) planner: Arc<str>,
    /// Dropped when the process ends.
    pub(crate) program: Option<Text>,
    pub(crate) workspace: Option<Arc<str>>,
    pub(crate) budget: Budget,
    pub(crate) started_at_ms: u64,
}

/// Where a process is in its life. A waiting process has a wait and no other has, a held one
/// remembers the wait it will go back to, an ended one has its ending.
#[derive(Debug, Clone, Serialize)]
pub(crate) enum Life {
    Runnable,
    Running,
    Waiting(Wait),
    Paused { by_host: bool, wait: Option<Wait> },
    Ended(Arc<Ending>),
}

impl Life {
    pub(crate) fn state(&self) -> ProcessState {
        match self {
            Self::Runnable => ProcessState::Runnable,
            Self::Running => ProcessState::Running,
            Self::Waiting(_) => ProcessState::Waiting,
            Self::Paused { .. } => ProcessState::Paused,
            Self::Ended(ending) => ending.state,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
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
    /// How many waits it has begun: the generation of the last one.
    pub(crate) waits: u64,
    /// What its planner keeps; nothing before the first commit and after the end.
    pub(crate) kept: Option<Text>,
    pub(crate) usage: Usage,
    pub(crate) unread: u32,
    pub(crate) children_live: u32,
}

/// Every process and every mailbox.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Table {
    last_pid: u64,
    last_message: u64,
    processes: OrdMap<Pid, Arc<Process>>,
    /// Parent and child, ended ones too.
    children: OrdSet<(Pid, Pid)>,
    /// Receiver and message, unread.
    mail: OrdMap<(Pid, MessageId), Arc<Message>>,
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
                found.push((std::cmp::Reverse(process.fixed.depth), pid));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, pid)| pid).collect()
    }

    /// The unread messages of a process in the order they were sent.
    pub(crate) fn mail(&self, pid: Pid) -> impl Iterator<Item = &Arc<Message>> {
        self.mail
            .range((pid, MessageId(0))..=(pid, MessageId(u64::MAX)))
            .map(|(_, message)| message)
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
    fn charge(&mut self, pid: Option<Pid>, charge: impl Fn(&mut Usage)) {
        let mut next = pid;
        while let Some(pid) = next {
            next = None;
            self.edit(pid, |process| {
                charge(&mut process.usage);
                next = process.fixed.parent;
            });
        }
    }

    fn spawned(&mut self, pid: Pid, fixed: Fixed, cwd: &FsPath) {
        let parent = fixed.parent;
        let above = parent.and_then(|parent| self.get(parent));
        let cwd = above.filter(|above| above.cwd == *cwd).map_or(cwd, |above| &above.cwd).clone();
        self.last_pid = self.last_pid.max(pid.0);
        self.processes.insert(
            pid,
            Arc::new(Process {
                fixed: Arc::new(fixed),
                life: Life::Runnable,
                cwd,
                run: 0,
                quantum: 0,
                waits: 0,
                kept: None,
                usage: Usage::default(),
                unread: 0,
                children_live: 0,
            }),
        );
        if let Some(parent) = parent {
            self.children.insert((parent, pid));
            self.edit(parent, |parent| parent.children_live += 1);
            self.charge(Some(parent), |usage| usage.children += 1);
        }
    }

    fn ended(&mut self, pid: Pid, ending: &Ending) {
        let Some(process) = self.live(pid) else {
            return;
        };
        let parent = process.fixed.parent;
        let letters: Vec<MessageId> = self.mail(pid).map(|message| message.id).collect();
        for id in letters {
            self.mail.remove(&(pid, id));
        }
        self.edit(pid, |process| {
            process.life = Life::Ended(Arc::new(ending.clone()));
            process.kept = None;
            process.unread = 0;
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

    fn sent(&mut self, message: &Message) {
        self.last_message = self.last_message.max(message.id.0);
        let key = (message.to, message.id);
        if self.live(message.to).is_some() && !self.mail.contains_key(&key) {
            self.mail.insert(key, Arc::new(message.clone()));
            self.edit(message.to, |process| process.unread += 1);
        }
    }

    fn received(&mut self, pid: Pid, ids: &[MessageId]) {
        let taken = ids.iter().filter(|id| self.mail.remove(&(pid, **id)).is_some()).count();
        self.edit_live(pid, |process| {
            let taken = u32::try_from(taken).unwrap_or(u32::MAX);
            process.unread = process.unread.saturating_sub(taken);
        });
    }
}

/// What a pause makes of a state; a pause by the host is not weakened by another's.
fn paused(life: &Life, host: bool) -> Life {
    match life {
        Life::Runnable | Life::Running => Life::Paused { by_host: host, wait: None },
        Life::Waiting(wait) => Life::Paused { by_host: host, wait: Some(wait.clone()) },
        Life::Paused { by_host, wait } => {
            Life::Paused { by_host: *by_host || host, wait: wait.clone() }
        }
        Life::Ended(_) => life.clone(),
    }
}

/// What the end of a wait, or of the host, makes of a state; a held process stays held.
fn readied(life: &Life) -> Life {
    match life {
        Life::Running | Life::Waiting(_) => Life::Runnable,
        Life::Paused { by_host, .. } => Life::Paused { by_host: *by_host, wait: None },
        Life::Runnable | Life::Ended(_) => life.clone(),
    }
}

/// What the end of a pause makes of a state.
fn resumed(life: &Life) -> Life {
    match life {
        Life::Paused { wait: None, .. } => Life::Runnable,
        Life::Paused { wait: Some(wait), .. } => Life::Waiting(wait.clone()),
        _ => life.clone(),
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
                planner: PlannerSpec { kind, program },
                workspace,
                cwd,
                budget,
                at_ms,
            } => {
                if self.get(*pid).is_some() {
                    return;
                }
                let above = parent.and_then(|parent| self.get(parent));
                let fixed = Fixed {
                    parent: parent.filter(|_| above.is_some()),
                    root: above.map_or(*pid, |above| above.fixed.root),
                    depth: above.map_or(1, |above| above.fixed.depth + 1),
                    image: self.name(image),
                    goal: goal.clone(),
                    planner: self.name(kind),
                    program: Some(program.clone()).filter(|program| program.bytes() > 0),
                    workspace: workspace.as_deref().map(|workspace| self.name(workspace)),
                    budget: budget.clone(),
                    started_at_ms: *at_ms,
                };
                self.spawned(*pid, fixed, cwd);
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
                    process.waits += 1;
                }
            }),
            ProcessEvent::Readied { pid } => {
                self.edit_live(*pid, |process| process.life = readied(&process.life));
            }
            ProcessEvent::Paused { pid, by_host } => {
                self.edit_live(*pid, |process| process.life = paused(&process.life, *by_host));
            }
            ProcessEvent::Resumed { pid } => {
                self.edit_live(*pid, |process| process.life = resumed(&process.life));
            }
            ProcessEvent::Ended { pid, ending } => self.ended(*pid, ending),
            ProcessEvent::Charged { pid, syscalls } => {
                self.charge(Some(*pid), |usage| usage.syscalls += syscalls);
            }
            ProcessEvent::Moved { pid, cwd } => {
                self.edit_live(*pid, |process| process.cwd = cwd.clone());
            }
            ProcessEvent::Sent(message) => self.sent(message),
            ProcessEvent::Received { pid, ids } => self.received(*pid, ids),
        }
    }
}
