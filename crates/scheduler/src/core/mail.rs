//! Mailboxes: what was sent and not taken, and the last messages that were.

use std::{collections::VecDeque, sync::Arc};

use libos_abi::{
    MessageId, Pid,
    message::{Message, MessageKind},
};

use libos_port::mutated;

use super::{Table, change::Step};
use crate::LIMITS;

/// Where a message that was not taken stands: whose it is, whether it is an interrupt, its id.
pub(super) type Slot = (Pid, bool, MessageId);

/// The messages a process has taken last, each with the process that sent it.
pub(super) type Received = Arc<VecDeque<(MessageId, Pid)>>;

pub(super) const KINDS: [MessageKind; 2] = [MessageKind::Letter, MessageKind::Interrupt];

pub(super) fn slot(pid: Pid, kind: MessageKind, id: MessageId) -> Slot {
    (pid, kind == MessageKind::Interrupt, id)
}

impl Table {
    /// The letters, or the interrupts, that a process has not taken, in the order they were sent.
    pub(crate) fn mail(&self, pid: Pid, kind: MessageKind) -> impl Iterator<Item = &Arc<Message>> {
        let at = |id| slot(pid, kind, MessageId(id));
        self.mail.range(at(0)..=at(u64::MAX)).map(|(_, message)| message)
    }

    /// Whether a message is in a process's mailbox, or was lately, and came from `from`.
    pub(crate) fn had_from(&self, pid: Pid, id: MessageId, from: Pid) -> bool {
        let is_here = KINDS.iter().any(|kind| {
            self.mail.get(&slot(pid, *kind, id)).is_some_and(|message| message.from == Some(from))
        });
        is_here || self.received.get(&pid).is_some_and(|last| last.contains(&(id, from)))
    }

    pub(super) fn sent(&mut self, message: &Arc<Message>) {
        self.log.note(|| Step::LastMessage(self.last_message));
        self.last_message = self.last_message.max(message.id.0);
        if message.id.0.is_multiple_of(3) && mutated("lose_message") {
            return;
        }
        let at = slot(message.to, message.kind, message.id);
        if self.live(message.to).is_some() && !self.mail.contains_key(&at) {
            self.put_mail(at, Some(Arc::clone(message)));
            self.edit(message.to, |process| {
                process.unread += 1;
                process.interrupts += u32::from(message.kind == MessageKind::Interrupt);
            });
        }
    }

    pub(super) fn received(&mut self, pid: Pid, ids: &[MessageId]) {
        if self.live(pid).is_none() {
            return;
        }
        let (mut taken, mut interrupts) = (0, 0);
        let mut last = self.received.get(&pid).cloned().unwrap_or_default();
        for id in ids {
            for kind in KINDS {
                let at = slot(pid, kind, *id);
                if !self.mail.contains_key(&at) || mutated("deliver_twice") {
                    continue;
                }
                taken += 1;
                interrupts += u32::from(kind == MessageKind::Interrupt);
                let message = self.put_mail(at, None);
                if let Some(from) = message.and_then(|message| message.from) {
                    Arc::make_mut(&mut last).push_back((*id, from));
                }
            }
        }
        self.edit(pid, |process| {
            process.unread = process.unread.saturating_sub(taken);
            process.interrupts = process.interrupts.saturating_sub(interrupts);
        });
        let surplus = last.len().saturating_sub(LIMITS.received_messages_max as usize);
        if surplus > 0 {
            Arc::make_mut(&mut last).drain(..surplus);
        }
        if !last.is_empty() {
            self.put_received(pid, Some(last));
        }
    }
}
