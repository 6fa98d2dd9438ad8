//! Tools over messages, and over events to wait for.

use libos_abi::{Json, MessageId, Millis, ObjectId, Pid, Text, events, message};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    /// To whom.
    to: Pid,
    /// The text.
    body: Text,
    /// A word for what it is about.
    subject: Option<String>,
    /// Data.
    payload: Option<Json>,
    /// `letter` (if absent), or `interrupt`: it takes the place of the receiver's next tool call.
    kind: Option<message::MessageKind>,
    /// A word by which the receiver can sort.
    channel: Option<String>,
    /// A word that ties the messages of one conversation together.
    correlation: Option<String>,
    /// The message of the receiver that it answers.
    reply_to: Option<MessageId>,
}

pub(crate) async fn send_message(port: &dyn Port, args: SendMessage) -> Ended {
    let call = message::Send {
        to: args.to,
        body: args.body,
        subject: args.subject,
        payload: args.payload,
        kind: args.kind,
        channel: args.channel,
        correlation: args.correlation,
        reply_to: args.reply_to,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiveMessages {
    /// Only those of this sender.
    from: Option<Pid>,
    /// Only those with this subject.
    subject: Option<String>,
    /// How many at most; 100 if absent.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
    /// How long to wait; without limit if absent, 0 not at all.
    timeout_ms: Option<Millis>,
    /// Only those of this channel.
    channel: Option<String>,
    /// Only those of this conversation.
    correlation: Option<String>,
    /// Only answers to this message.
    reply_to: Option<MessageId>,
}

pub(crate) async fn receive_messages(port: &dyn Port, args: ReceiveMessages) -> Ended {
    let call = message::Receive {
        from: args.from,
        subject: args.subject,
        limit: args.limit,
        timeout_ms: args.timeout_ms,
        channel: args.channel,
        correlation: args.correlation,
        reply_to: args.reply_to,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeekMessages {
    /// Only those of this sender.
    from: Option<Pid>,
    /// Only those of this channel.
    channel: Option<String>,
    /// How many at most; 100 if absent.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
}

pub(crate) async fn peek_messages(port: &dyn Port, args: PeekMessages) -> Ended {
    let PeekMessages { from, channel, limit } = args;
    json(port.call(message::Peek { from, channel, limit }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscribeEvents {
    /// The kinds of event.
    #[schemars(length(min = 1))]
    kinds: Vec<events::EventKind>,
    /// The object, for events of objects.
    object: Option<ObjectId>,
}

pub(crate) async fn subscribe_events(port: &dyn Port, args: SubscribeEvents) -> Ended {
    let SubscribeEvents { kinds, object } = args;
    json(port.call(events::Subscribe { kinds, object }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitEvents {
    /// How many at most; 100 if absent.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
    /// How long to wait; without limit if absent, 0 not at all.
    timeout_ms: Option<Millis>,
}

pub(crate) async fn wait_events(port: &dyn Port, args: WaitEvents) -> Ended {
    let WaitEvents { limit, timeout_ms } = args;
    json(port.call(events::WaitEvents { limit, timeout_ms }).await?)
}
