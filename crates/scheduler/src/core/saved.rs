//! What is kept of processes for checkpoints: their rows and their mail as they were.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{
    CheckpointId, MessageId, Pid,
    checkpoint::{Change, ProcessChange, Subtree},
    message::Message,
};
use serde::Serialize;

use super::{
    Life, Table,
    change::{Step, put},
    mail::{KINDS, Received, Slot, slot},
    row::Process,
};

/// The processes of a checkpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Saved {
    /// The id of the first process made since.
    pub(super) next: Pid,
    pub(super) processes: BTreeMap<Pid, Kept>,
}

/// One process as it was.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    pub(super) process: Process,
    pub(super) mail: Vec<Arc<Message>>,
    pub(super) received: Option<Received>,
}

impl Kept {
    fn is(&self, now: &Process, mail: &[MessageId]) -> bool {
        let then = &self.process;
        then.turn == now.turn
            && then.fixed == now.fixed
            && then.made_of == now.made_of
            && then.program == now.program
            && self.mail.iter().map(|message| message.id).eq(mail.iter().copied())
    }
}

impl Table {
    /// A process and all below it, ended ones too: parents before their children.
    fn everyone(&self, root: Pid) -> Vec<Pid> {
        let mut found = vec![root];
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            found.extend(self.children(pid));
            next += 1;
        }
        found.sort_unstable();
        found
    }

    /// The processes of a checkpoint that is about to be made.
    pub(crate) fn subtree_of(&self, root: Pid) -> Subtree {
        let is_live = |pid: &Pid| self.live(*pid).is_some();
        let (live, ended) = self.everyone(root).into_iter().partition(is_live);
        Subtree { live, ended }
    }

    /// Whether anything is kept for a checkpoint.
    pub(crate) fn has_saved(&self, checkpoint: CheckpointId) -> bool {
        self.saved.contains_key(&checkpoint)
    }

    /// Every message that a process has not taken.
    fn all_mail(&self, pid: Pid) -> impl Iterator<Item = &Arc<Message>> {
        KINDS.into_iter().flat_map(move |kind| self.mail(pid, kind))
    }

    fn unread(&self, pid: Pid) -> Vec<MessageId> {
        self.all_mail(pid).map(|message| message.id).collect()
    }

    /// The processes of a checkpoint that are not as they were, in the order of their ids.
    pub(crate) fn changes_since(&self, checkpoint: CheckpointId) -> Vec<ProcessChange> {
        let Some(saved) = self.saved.get(&checkpoint) else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        for pid in self.everyone(checkpoint.process) {
            let (Some(now), kept) = (self.get(pid), saved.processes.get(&pid)) else {
                continue;
            };
            let unread = self.unread(pid);
            let change = match kept {
                None if pid >= saved.next => Change::Made,
                None => continue,
                Some(kept) if kept.is(now, &unread) => continue,
                Some(_) => Change::Changed,
            };
            rows.push(ProcessChange {
                pid,
                change,
                was: kept.map(|kept| kept.process.turn.life.state()),
                now: now.turn.life.state(),
                runs: now.turn.run,
                unread,
            });
        }
        rows
    }

    pub(super) fn save(&mut self, checkpoint: CheckpointId, processes: &[Pid]) {
        let keep = |pid: &Pid| {
            let kept = Kept {
                process: self.get(*pid)?.clone(),
                mail: self.all_mail(*pid).cloned().collect(),
                received: self.received.get(pid).cloned(),
            };
            Some((*pid, kept))
        };
        let processes = processes.iter().filter_map(keep).collect();
        let saved = Saved { next: self.next_pid(), processes };
        self.put_saved(checkpoint, Some(Arc::new(saved)));
    }

    pub(super) fn put_saved(&mut self, checkpoint: CheckpointId, saved: Option<Arc<Saved>>) {
        let before = put(&mut self.saved, checkpoint, saved);
        self.log.note(|| Step::Saved(checkpoint, before));
    }

    /// The processes of a checkpoint as they were, parents before their children.
    pub(crate) fn saved(&self, checkpoint: CheckpointId) -> Vec<(Pid, Process)> {
        let saved = self.saved.get(&checkpoint);
        let kept = saved.into_iter().flat_map(|saved| &saved.processes);
        kept.map(|(pid, kept)| (*pid, kept.process.clone())).collect()
    }

    /// The processes that were made below that of a checkpoint since, deepest first.
    pub(crate) fn made_since(&self, checkpoint: CheckpointId) -> Vec<Pid> {
        let Some(saved) = self.saved.get(&checkpoint) else {
            return Vec::new();
        };
        let everyone = self.everyone(checkpoint.process).into_iter().rev();
        everyone.filter(|pid| *pid >= saved.next).collect()
    }

    /// Has a process be as it was kept, ready to run. What holds it now or held it then holds it.
    pub(super) fn rewound(&mut self, pid: Pid, checkpoint: CheckpointId) {
        let Some(saved) = self.saved.get(&checkpoint).cloned() else {
            return;
        };
        let (Some(kept), Some(now)) = (saved.processes.get(&pid), self.get(pid)) else {
            return;
        };
        let had_ended = now.turn.life.has_ended();
        let life = match (&now.turn.life, &kept.process.turn.life) {
            (Life::Paused { by_host, .. }, _) | (_, Life::Paused { by_host, .. }) => {
                Life::Paused { by_host: *by_host, wait: None }
            }
            _ => Life::Runnable,
        };
        let mail: Vec<Slot> = self.all_mail(pid).map(|message| slot_of(message)).collect();
        mail.into_iter().for_each(|at| drop(self.put_mail(at, None)));
        for message in &kept.mail {
            self.put_mail(slot_of(message), Some(Arc::clone(message)));
        }
        self.put_received(pid, kept.received.clone());
        let then = &kept.process;
        self.edit(pid, |process| {
            process.turn.life = life;
            process.turn.quantum += 1;
            process.turn.kept = then.turn.kept.clone();
            process.made_of = Arc::clone(&then.made_of);
            process.program = then.program.clone();
            process.fixed = Arc::clone(&then.fixed);
            process.unread = then.unread;
            process.interrupts = then.interrupts;
        });
        if had_ended {
            self.revived(pid);
        }
    }

    /// Enters a process that had ended among the living.
    fn revived(&mut self, pid: Pid) {
        let Some(process) = self.get(pid) else {
            return;
        };
        let (parent, root) = (process.parent(), process.standing.root);
        if let Some(owner) = process.fixed.owner.as_deref().copied() {
            self.put_task(owner, root, pid, false);
        }
        if let Some(parent) = parent {
            self.edit(parent, |parent| {
                if let Some(family) = &mut parent.family {
                    Arc::make_mut(family).live += 1;
                }
            });
        }
    }

    /// Has a new process go on from what another had kept.
    pub(super) fn copied(&mut self, pid: Pid, checkpoint: CheckpointId, from: Pid) {
        let Some(saved) = self.saved.get(&checkpoint).cloned() else {
            return;
        };
        if let Some(kept) = saved.processes.get(&from) {
            self.edit_live(pid, |process| {
                process.turn.kept = kept.process.turn.kept.clone();
                let groups = Arc::clone(&kept.process.fixed.tool_groups);
                Arc::make_mut(&mut process.fixed).tool_groups = groups;
            });
        }
    }
}

fn slot_of(message: &Message) -> Slot {
    slot(message.to, message.kind, message.id)
}
