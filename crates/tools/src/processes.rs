//! Tools over processes and their messages.

use libos_abi::{Folder, FsPath, GrantSpec, Json, Millis, Pid, Text, message, process};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpawnChild {
    /// What the child is to achieve.
    goal: Text,
    /// What it may do; nothing if absent.
    grants: Option<Vec<GrantSpec>>,
    /// The text of the script it runs; its image's own planner if absent.
    script: Option<Text>,
    /// The image it is made from; this process's if absent.
    image: Option<String>,
    /// Its working directory; this process's if absent.
    cwd: Option<FsPath>,
}

pub(crate) async fn spawn_child(port: &dyn Port, args: SpawnChild) -> Ended {
    let planner =
        args.script.map(|program| process::PlannerSpec { kind: "script".into(), program });
    let call = process::Spawn {
        goal: args.goal,
        image: args.image,
        planner,
        grants: args.grants,
        cwd: Folder(args.cwd),
        budget: None,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwaitChild {
    /// The child.
    pid: Pid,
    /// How long to wait; without limit if absent, 0 not at all.
    timeout_ms: Option<Millis>,
}

pub(crate) async fn wait_child(port: &dyn Port, args: AwaitChild) -> Ended {
    let AwaitChild { pid, timeout_ms } = args;
    json(port.call(process::WaitChild { pid, timeout_ms }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListChildren {}

pub(crate) async fn list_children(port: &dyn Port, _: ListChildren) -> Ended {
    json(port.call(process::List {}).await?)
}

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
}

pub(crate) async fn send_message(port: &dyn Port, args: SendMessage) -> Ended {
    let call = message::Send {
        to: args.to,
        body: args.body,
        subject: args.subject,
        payload: args.payload,
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
}

pub(crate) async fn receive_messages(port: &dyn Port, args: ReceiveMessages) -> Ended {
    let call = message::Receive {
        from: args.from,
        subject: args.subject,
        limit: args.limit,
        timeout_ms: args.timeout_ms,
    };
    json(port.call(call).await?)
}
