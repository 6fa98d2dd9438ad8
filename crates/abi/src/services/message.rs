//! Messages between processes.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Json, MessageId, Millis, Pid, Resource, Text, call::service, field::opaque};

record! {
    /// A message.
    pub struct Message {
        /// Its id.
        pub id: MessageId,
        /// Who sent it; absent is the host. The kernel wrote this, the sender cannot.
        pub from: Option<Pid>,
        /// To whom.
        pub to: Pid,
        /// A word for what it is about.
        pub subject: Option<String>,
        /// Its text.
        pub body: Text,
        /// Its data.
        pub payload: Option<Json>,
        /// When it was sent, in milliseconds since the epoch.
        pub sent_at_ms: u64,
        /// How it is delivered.
        pub kind: MessageKind,
        /// The channel it was sent on.
        pub channel: Option<String>,
        /// What ties messages of one conversation together; chosen by whoever began it.
        pub correlation: Option<String>,
        /// The message it answers.
        pub reply_to: Option<MessageId>,
    }

    /// A message that was sent.
    pub struct Sent {
        /// Its id.
        pub id: MessageId,
    }

    /// Messages that were taken out of the mailbox.
    pub struct Messages {
        /// In the order they were sent.
        pub messages: Vec<Message>,
    }
}

/// How a message is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Default)]
pub enum MessageKind {
    /// Into the mailbox.
    #[default]
    Letter,
    /// In place of the receiver's next call of a tool, which ends in `interrupted` and is not
    /// made, or of its next wait. A call that waits already ends so at once.
    Interrupt,
}

opaque!(MessageKind);
crate::field::carries_texts! {
    Message { body, payload }
    Messages { messages }
    Sent {}
}

service! {
    /// Messages between processes. A parent and its child may message each other from the start;
    /// anyone else needs write on `process:<pid>`.
    service message = 6;
    failures {
        /// The receiver has ended.
        1 "receiver_ended" ReceiverEnded;
        /// No message came in the time given.
        2 "timed_out" TimedOut;
        /// The receiver's mailbox is full.
        3 "mailbox_full" MailboxFull;
        /// The message to answer was never in the caller's mailbox, or was not from the receiver.
        4 "not_received" NotReceived;
    }

    /// Sends a message.
    1 send Send as Box {
        /// To whom.
        to: Pid,
        /// Its text.
        body: Text,
        /// A word for what it is about.
        subject: Option<String>,
        /// Data.
        payload: Option<Json>,
        /// How it is delivered; as a letter if absent.
        kind: Option<MessageKind>,
        /// A channel: a word by which the receiver can sort.
        channel: Option<String>,
        /// What ties messages of one conversation together.
        correlation: Option<String>,
        /// The message it answers: one that the receiver sent to the caller.
        reply_to: Option<MessageId>,
    } -> Sent
    { demand: [Write on process by |c| Resource::id("process", c.to)]; effect: State;
      fails: [ReceiverEnded MailboxFull NotReceived]; data: Out; }

    /// Takes messages out of the caller's mailbox, waiting until there is one.
    2 receive Receive as Box {
        /// Only those of this sender.
        from: Option<Pid>,
        /// Only those with this subject.
        subject: Option<String>,
        /// How many at most; 100 if absent.
        limit: Option<u32>,
        /// How long to wait; absent is without limit, 0 not at all.
        timeout_ms: Option<Millis>,
        /// Only those of this channel.
        channel: Option<String>,
        /// Only those of this conversation.
        correlation: Option<String>,
        /// Only answers to this message.
        reply_to: Option<MessageId>,
    } -> Messages
    { demand: [own]; effect: State; fails: [TimedOut]; }

    /// Looks at messages in the caller's mailbox and leaves them there.
    3 peek Peek {
        /// Only those of this sender.
        from: Option<Pid>,
        /// Only those of this channel.
        channel: Option<String>,
        /// How many at most; 100 if absent.
        limit: Option<u32>,
    } -> Messages
    { demand: [own]; effect: State; fails: []; }

    /// Takes the oldest interrupt out of a mailbox, to deliver it.
    32 interrupt TakeInterrupt {
        /// The receiver.
        pid: Pid,
    } -> Option<Message>
    { demand: [kernel]; effect: State; fails: []; }
}

impl Send {
    /// A letter with nothing but its text.
    #[must_use]
    pub fn letter(to: Pid, body: impl Into<Text>) -> Self {
        Self {
            to,
            body: body.into(),
            subject: None,
            payload: None,
            kind: None,
            channel: None,
            correlation: None,
            reply_to: None,
        }
    }
}
