//! Serves `message`: mailboxes. Looking and registering the wait is one transaction with no gap
//! in which a message could be missed: the broker blocks the call in the transaction that found
//! nothing, and serves it again after any that sends.
//!
//! Interrupts stand beside the letters: `message.receive` and `message.peek` do not give them, the
//! broker takes them one by one and delivers each in place of a call. What was taken is remembered
//! for the last messages only (`Limits::received_messages_max`), so that an answer names a message
//! that was really there.

use std::sync::Arc;

use libos_abi::{
    Fault, MessageId, Pid, Text,
    event::ProcessEvent,
    message::{
        FailureKind, Message, MessageKind, Messages, Peek, Receive, Send, Sent, Server,
        TakeInterrupt,
    },
    process::{Wait, WaitOn},
};
use libos_port::{Context, Stop};

use crate::{LIMITS, Scheduler, at_most, deadline};

/// Refuses a message that is too large for its kind.
fn fits(call: &Send, kind: MessageKind) -> Result<(), Fault> {
    let bytes = |word: &Option<String>| word.as_ref().map_or(0, |word| word.len() as u64);
    at_most(bytes(&call.subject), LIMITS.subject_bytes_max, "message's subject")?;
    at_most(bytes(&call.channel), LIMITS.channel_bytes_max, "message's channel")?;
    at_most(bytes(&call.correlation), LIMITS.channel_bytes_max, "message's correlation")?;
    let payload = call.payload.as_ref().map_or(0, |payload| payload.0.bytes());
    match kind {
        MessageKind::Letter => {
            at_most(call.body.bytes(), LIMITS.body_bytes_max, "message's body")?;
            at_most(payload, LIMITS.payload_bytes_max, "message's payload")
        }
        MessageKind::Interrupt if call.payload.is_some() => {
            Err(Fault::bad("an interrupt is delivered as a text; it carries no payload"))
        }
        MessageKind::Interrupt => {
            at_most(call.body.bytes(), LIMITS.interrupt_bytes_max, "interrupt's body")
        }
    }
}

/// Whether something is what was asked for, if anything was.
fn is_as<T: PartialEq>(asked: &Option<T>, found: &Option<T>) -> bool {
    asked.is_none() || asked == found
}

fn limit_of(limit: Option<u32>) -> usize {
    limit.unwrap_or(LIMITS.receive_messages_default).min(LIMITS.receive_messages_max) as usize
}

/// The beginning of a text, cut at a character boundary.
fn cut(mut text: String, bytes_max: u64) -> String {
    let end = text.floor_char_boundary(usize::try_from(bytes_max).unwrap_or(usize::MAX));
    text.truncate(end);
    text
}

impl Scheduler {
    fn post(&mut self, cx: &mut dyn Context, message: Message) -> Sent {
        let id = message.id;
        self.state.change(cx, ProcessEvent::Sent(Arc::new(message)));
        Sent { id }
    }

    /// Interrupts a process on behalf of the caller. One that has all the interrupts it can have is
    /// interrupted already.
    pub(crate) fn interrupt_with(&mut self, cx: &mut dyn Context, to: Pid, text: String) {
        let can_take = (self.state.live(to))
            .is_some_and(|receiver| receiver.interrupts < LIMITS.mailbox_interrupts_max);
        if can_take {
            let message = Message {
                id: self.state.next_message(),
                from: cx.caller().pid(),
                to,
                subject: None,
                body: Text::from(cut(text, LIMITS.interrupt_bytes_max)),
                payload: None,
                sent_at_ms: cx.now_ms(),
                kind: MessageKind::Interrupt,
                channel: None,
                correlation: None,
                reply_to: None,
            };
            self.post(cx, message);
        }
    }

    /// Refuses a message that the mailbox of its receiver has no room for.
    fn has_room(&self, to: Pid, kind: MessageKind) -> Result<(), libos_abi::Error> {
        let Some(receiver) = self.state.live(to) else {
            let detail = format!("{to} has ended, or never was");
            return Err(FailureKind::ReceiverEnded.because(detail));
        };
        if receiver.unread >= LIMITS.mailbox_messages_max {
            let detail = format!(
                "the mailbox of {to} holds {} messages; send again when it has taken some",
                receiver.unread
            );
            return Err(FailureKind::MailboxFull.because(detail));
        }
        if kind == MessageKind::Interrupt && receiver.interrupts >= LIMITS.mailbox_interrupts_max {
            let detail = format!(
                "{} interrupts wait for {to}; send again when some were delivered",
                receiver.interrupts
            );
            return Err(FailureKind::MailboxFull.because(detail));
        }
        Ok(())
    }
}

impl<'a> Server<dyn Context + 'a, Stop> for Scheduler {
    fn send(&mut self, cx: &mut (dyn Context + 'a), call: &Send) -> Result<Sent, Stop> {
        let (from, to) = (cx.caller().pid(), call.to);
        if from.is_some() {
            self.own(cx)?;
        }
        let kind = call.kind.unwrap_or_default();
        fits(call, kind)?;
        self.has_room(to, kind)?;
        // The host has no mailbox, and says itself what it answers.
        if let (Some(id), Some(from)) = (call.reply_to, from)
            && !self.state.had_from(from, id, to)
        {
            let detail = format!("{id} is not among the last messages that came from {to}");
            return Err(FailureKind::NotReceived.because(detail).into());
        }
        let message = Message {
            id: self.state.next_message(),
            from,
            to,
            subject: call.subject.clone(),
            body: call.body.clone(),
            payload: call.payload.clone(),
            sent_at_ms: cx.now_ms(),
            kind,
            channel: call.channel.clone(),
            correlation: call.correlation.clone(),
            reply_to: call.reply_to,
        };
        Ok(self.post(cx, message))
    }

    fn receive(&mut self, cx: &mut (dyn Context + 'a), call: &Receive) -> Result<Messages, Stop> {
        let pid = self.own(cx)?;
        if call.limit == Some(0) {
            return Err(Fault::bad("a limit of 0 messages waits for ever").into());
        }
        let wanted = |message: &Message| {
            is_as(&call.from, &message.from)
                && is_as(&call.subject, &message.subject)
                && is_as(&call.channel, &message.channel)
                && is_as(&call.correlation, &message.correlation)
                && is_as(&call.reply_to, &message.reply_to)
        };
        let messages: Vec<Message> = (self.state.mail(pid, MessageKind::Letter))
            .filter(|message| wanted(message))
            .take(limit_of(call.limit))
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

    fn peek(&mut self, cx: &mut (dyn Context + 'a), call: &Peek) -> Result<Messages, Stop> {
        let pid = self.own(cx)?;
        let wanted = |message: &Message| {
            is_as(&call.from, &message.from) && is_as(&call.channel, &message.channel)
        };
        let messages = (self.state.mail(pid, MessageKind::Letter))
            .filter(|message| wanted(message))
            .take(limit_of(call.limit))
            .map(|message| (**message).clone())
            .collect();
        Ok(Messages { messages })
    }

    fn interrupt(
        &mut self,
        cx: &mut (dyn Context + 'a),
        call: &TakeInterrupt,
    ) -> Result<Option<Message>, Stop> {
        let pid = call.pid;
        let oldest = self.state.mail(pid, MessageKind::Interrupt).next();
        let Some(message) = oldest.map(|message| (**message).clone()) else {
            return Ok(None);
        };
        self.state.change(cx, ProcessEvent::Received { pid, ids: vec![message.id] });
        Ok(Some(message))
    }
}
