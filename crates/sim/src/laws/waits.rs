//! Waits: nobody waits for what has happened.

use libos_abi::{
    OpId, Pid, Syscall,
    message::{self, Message, MessageKind},
    process::{Wait, WaitOn},
};

use super::{Called, Laws, Life};

/// Whether a message is one that a call of `message.receive` takes.
fn is_wanted(call: &Syscall, message: &Message) -> bool {
    let Syscall::Message(message::Call::Receive(receive)) = call else { return false };
    fn is<T: PartialEq>(asked: &Option<T>, found: &Option<T>) -> bool {
        asked.is_none() || asked == found
    }
    message.kind == MessageKind::Letter
        && is(&receive.from, &message.from)
        && is(&receive.subject, &message.subject)
        && is(&receive.channel, &message.channel)
        && is(&receive.correlation, &message.correlation)
        && is(&receive.reply_to, &message.reply_to)
}

impl Laws {
    /// That no call waits for what has happened, as of now.
    pub(crate) fn nobody_waits_in_vain(&mut self, now_ms: u64) {
        let mut vain: Vec<(OpId, Pid, Wait)> = Vec::new();
        for id in &self.open {
            let Some(called) = self.ops.get(id) else { continue };
            let (Some(wait), Some(pid)) = (&called.wait, called.caller.pid()) else { continue };
            let is_held = matches!(
                self.tasks.get(&pid).map(|task| task.life),
                None | Some(Life::Paused { .. } | Life::Ended)
            );
            let happened = match wait.on {
                WaitOn::Child(child) => {
                    self.tasks.get(&child).is_none_or(|task| task.life == Life::Ended)
                }
                WaitOn::Message(_) => {
                    self.unread(pid).iter().any(|message| is_wanted(&called.call, message))
                }
                WaitOn::Human(request) => !self.is_pending(request),
                WaitOn::Event(pid) => self.told.get(&pid).is_some_and(|told| *told > 0),
                WaitOn::Time => false,
            };
            let late = wait.until_ms.is_some_and(|until| until <= now_ms);
            if !is_held && (happened || late) {
                vain.push((*id, pid, wait.clone()));
            }
        }
        for (id, pid, wait) in vain {
            self.broken("no lost wake-up", format!("{id} of {pid} goes on waiting for {wait:?}"));
        }
    }

    /// Whether a call of a process waits.
    pub(crate) fn waits(&self, pid: Pid) -> bool {
        self.open_of(pid).iter().any(|(_, called)| called.wait.is_some())
    }

    /// The calls of a process that are not over.
    pub(crate) fn open_of(&self, pid: Pid) -> Vec<(OpId, &Called)> {
        let open = self.open.iter().filter_map(|id| Some((*id, self.ops.get(id)?)));
        open.filter(|(_, called)| called.caller.pid() == Some(pid)).collect()
    }

    /// The processes in a state.
    pub(crate) fn in_state(&self, life: Life) -> Vec<Pid> {
        let tasks = self.tasks.iter().filter(|(_, task)| task.life == life);
        tasks.map(|(pid, _)| *pid).collect()
    }

    /// The processes that have not ended.
    pub(crate) fn live(&self) -> Vec<Pid> {
        let tasks = self.tasks.iter().filter(|(_, task)| task.life != Life::Ended);
        tasks.map(|(pid, _)| *pid).collect()
    }
}
