//! Changes of the table, each with what takes it back.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{CheckpointId, ObjectId, OpId, Pid, message::Message, process::Usage};

use super::{
    Table,
    mail::{Received, Slot},
    row::{Fixed, Process, Turn},
    saved::Saved,
};

/// What takes one change of the table back: what was there before it.
#[derive(Debug)]
pub(crate) enum Step {
    /// The last process was made.
    Made,
    Process(Pid, Process),
    Turn(Pid, Turn),
    Usage(Pid, Option<Arc<Usage>>),
    LastMessage(u64),
    Mail(Slot, Option<Arc<Message>>),
    Received(Pid, Option<Received>),
    /// Of this owner, below this root, this one: whether it was entered, as ended or not.
    Task(ObjectId, Pid, Pid, Option<bool>),
    SetAside(OpId, Option<(Pid, Usage)>),
    Saved(CheckpointId, Option<Arc<Saved>>),
}

/// Puts something into a map, or takes it out; gives what was there.
pub(super) fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

impl Table {
    pub(super) fn edit(&mut self, pid: Pid, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(pid) {
            self.log.note(|| Step::Process(pid, process.clone()));
            change(process);
        }
    }

    /// Changes a process that has not ended.
    pub(super) fn edit_live(&mut self, pid: Pid, change: impl FnOnce(&mut Process)) {
        if self.live(pid).is_some() {
            self.edit(pid, change);
        }
    }

    /// Changes what changes with every turn. It costs less than another change.
    pub(super) fn edit_turn(&mut self, pid: Pid, change: impl FnOnce(&mut Turn)) {
        if let Some(process) = self.processes.get_mut(pid)
            && !process.turn.life.has_ended()
        {
            self.log.note(|| Step::Turn(pid, process.turn.clone()));
            change(&mut process.turn);
        }
    }

    /// Changes what hardly ever changes.
    pub(super) fn edit_fixed(&mut self, pid: Pid, change: impl FnOnce(&mut Fixed)) {
        self.edit_live(pid, |process| change(Arc::make_mut(&mut process.fixed)));
    }

    /// Changes the usage of a process and of everyone above it.
    pub(super) fn charge(&mut self, pid: Pid, charge: impl Fn(Usage) -> Usage) {
        let Some(process) = self.get(pid) else {
            return;
        };
        let ancestors = Arc::clone(&process.fixed.ancestors);
        for pid in std::iter::once(&pid).chain(&*ancestors) {
            if let Some(process) = self.processes.get_mut(*pid) {
                self.log.note(|| Step::Usage(*pid, process.usage.clone()));
                process.usage = Some(Arc::new(charge(process.usage())));
            }
        }
    }

    pub(super) fn put_mail(
        &mut self,
        at: Slot,
        message: Option<Arc<Message>>,
    ) -> Option<Arc<Message>> {
        let before = put(&mut self.mail, at, message);
        self.log.note(|| Step::Mail(at, before.clone()));
        before
    }

    pub(super) fn put_received(&mut self, pid: Pid, last: Option<Received>) {
        let before = put(&mut self.received, pid, last);
        self.log.note(|| Step::Received(pid, before));
    }

    pub(super) fn put_aside(
        &mut self,
        op: OpId,
        aside: Option<(Pid, Usage)>,
    ) -> Option<(Pid, Usage)> {
        let before = put(&mut self.set_aside, op, aside);
        self.log.note(|| Step::SetAside(op, before));
        before
    }

    pub(super) fn put_task(&mut self, owner: ObjectId, root: Pid, pid: Pid, ended: bool) {
        let before = [false, true].into_iter().find(|it| self.tasks.contains(&(owner, *it, pid)));
        self.log.note(|| Step::Task(owner, root, pid, before));
        self.enter_task(owner, root, pid, Some(ended));
    }

    /// Enters a background task as live, as ended, or not at all.
    fn enter_task(&mut self, owner: ObjectId, root: Pid, pid: Pid, ended: Option<bool>) {
        self.tasks.remove(&(owner, false, pid));
        self.tasks.remove(&(owner, true, pid));
        self.root_tasks.remove(&(root, pid));
        if let Some(ended) = ended {
            self.tasks.insert((owner, ended, pid));
        }
        if ended == Some(false) {
            self.root_tasks.insert((root, pid));
        }
    }

    pub(super) fn charged(&mut self, pid: Pid, op: OpId, usage: Usage) {
        if self.get(pid).is_none() {
            return;
        }
        self.charge(pid, |used| used.plus(usage));
        let estimated = usage.estimated();
        if !estimated.is_nothing() {
            let before = self.set_aside(op).unwrap_or_default();
            self.put_aside(op, Some((pid, before.plus(estimated))));
        }
    }

    pub(super) fn settled(&mut self, op: OpId, used: Usage) {
        if let Some((pid, set_aside)) = self.put_aside(op, None) {
            self.charge(pid, |usage| usage.minus(set_aside).plus(used));
        }
    }

    /// Takes a change back; those made after it were taken back before.
    pub(super) fn take_back(&mut self, step: Step) {
        match step {
            Step::Made => drop(self.processes.pop()),
            Step::Process(pid, before) => {
                if let Some(process) = self.processes.get_mut(pid) {
                    *process = before;
                }
            }
            Step::Turn(pid, before) => {
                if let Some(process) = self.processes.get_mut(pid) {
                    process.turn = before;
                }
            }
            Step::Usage(pid, before) => {
                if let Some(process) = self.processes.get_mut(pid) {
                    process.usage = before;
                }
            }
            Step::LastMessage(before) => self.last_message = before,
            Step::Mail(at, before) => drop(put(&mut self.mail, at, before)),
            Step::Received(pid, before) => drop(put(&mut self.received, pid, before)),
            Step::SetAside(op, before) => drop(put(&mut self.set_aside, op, before)),
            Step::Saved(checkpoint, before) => drop(put(&mut self.saved, checkpoint, before)),
            Step::Task(owner, root, pid, before) => self.enter_task(owner, root, pid, before),
        }
    }
}
