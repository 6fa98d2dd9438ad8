//! Messages between processes.

use crate::{Json, MessageId, Millis, Pid, Resource, Text, call::service};

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
    }

    /// Sends a message.
    1 send Send {
        /// To whom.
        to: Pid,
        /// Its text.
        body: Text,
        /// A word for what it is about.
        subject: Option<String>,
        /// Data.
        payload: Option<Json>,
    } -> Sent
    { demand: [Write on process by |c| Resource::id("process", c.to)]; effect: State;
      fails: [ReceiverEnded MailboxFull]; }

    /// Takes messages out of the caller's mailbox, waiting until there is one.
    2 receive Receive {
        /// Only those of this sender.
        from: Option<Pid>,
        /// Only those with this subject.
        subject: Option<String>,
        /// How many at most; 100 if absent.
        limit: Option<u32>,
        /// How long to wait; absent is without limit, 0 not at all.
        timeout_ms: Option<Millis>,
    } -> Messages
    { demand: [own]; effect: State; fails: [TimedOut]; }
}
