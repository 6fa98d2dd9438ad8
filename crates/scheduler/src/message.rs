//! Serves `message`: mailboxes. Looking and registering the wait is one transaction with no gap
//! in which a message could be missed: the broker blocks the call in the transaction that found
//! nothing, and serves it again after any that sends.

use libos_abi::{
    MessageId,
    event::ProcessEvent,
    message::{FailureKind, Message, Messages, Receive, Send, Sent, Server},
    process::{Wait, WaitOn},
};
use libos_port::{Context, Stop};

use crate::{LIMITS, Scheduler, at_most, deadline};

impl<'a> Server<dyn Context + 'a, Stop> for Scheduler {
    fn send(&mut self, cx: &mut (dyn Context + 'a), call: &Send) -> Result<Sent, Stop> {
        let from = cx.caller().pid();
        if from.is_some() {
            self.own(cx)?;
        }
        let subject = call.subject.as_ref().map_or(0, |subject| subject.len() as u64);
        let payload = call.payload.as_ref().map_or(0, |payload| payload.0.bytes());
        at_most(subject, LIMITS.subject_bytes_max, "message's subject")?;
        at_most(call.body.bytes(), LIMITS.body_bytes_max, "message's body")?;
        at_most(payload, LIMITS.payload_bytes_max, "message's payload")?;
        let Some(receiver) = self.state.live(call.to) else {
            let detail = format!("{} has ended, or never was", call.to);
            return Err(FailureKind::ReceiverEnded.because(detail).into());
        };
        if receiver.unread >= LIMITS.mailbox_messages_max {
            let detail = format!(
                "the mailbox of {} holds {} unread messages; send again when it has read some",
                call.to, receiver.unread
            );
            return Err(FailureKind::MailboxFull.because(detail).into());
        }
        let id = self.state.next_message();
        let message = Message {
            id,
            from,
            to: call.to,
            subject: call.subject.clone(),
            body: call.body.clone(),
            payload: call.payload.clone(),
            sent_at_ms: cx.now_ms(),
        };
        self.state.change(cx, ProcessEvent::Sent(message));
        Ok(Sent { id })
    }

    fn receive(&mut self, cx: &mut (dyn Context + 'a), call: &Receive) -> Result<Messages, Stop> {
        let pid = self.own(cx)?;
        let limit = call.limit.unwrap_or(LIMITS.receive_messages_default);
        if limit == 0 {
            return Err(libos_abi::Fault::bad("a limit of 0 messages waits for ever").into());
        }
        let wanted = |message: &Message| {
            call.from.is_none_or(|from| message.from == Some(from))
                && (call.subject.as_ref())
                    .is_none_or(|subject| message.subject.as_ref() == Some(subject))
        };
        let messages: Vec<Message> = (self.state.mail(pid))
            .filter(|message| wanted(message))
            .take(limit.min(LIMITS.receive_messages_max) as usize)
            .map(|message| (**message).clone())
            .collect();
        if messages.is_empty() {
            let until_ms = deadline(cx, call.timeout_ms);
            if until_ms.is_some_and(|until_ms| cx.now_ms() >= until_ms) {
                let detail = "no such message came in the time given";
                return Err(FailureKind::TimedOut.because(detail).into());
            }
            return Err(Stop::Wait(Wait { on: WaitOn::Message(pid), until_ms }));
        }
        let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
        self.state.change(cx, ProcessEvent::Received { pid, ids });
        Ok(Messages { messages })
    }
}
