//! Tools over humans.

use libos_abi::{Pattern, Rights, Text, human};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskHuman {
    /// The question.
    question: Text,
    /// What helps to answer it.
    context: Option<Text>,
}

pub(crate) async fn ask_human(port: &dyn Port, args: AskHuman) -> Ended {
    let call = human::AskQuestion { question: args.question, context: args.context, human: None };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TellHuman {
    /// The message.
    message: Text,
}

pub(crate) async fn tell_human(port: &dyn Port, args: TellHuman) -> Ended {
    let call = human::Output { message: args.message, human: None };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskPermission {
    /// The resources, as in `fs:workspace/src/*`.
    on: Pattern,
    /// The rights, as in `["read"]`.
    #[schemars(length(min = 1))]
    rights: Rights,
    /// Why it is needed; the human reads it.
    reason: String,
}

pub(crate) async fn request_permission(port: &dyn Port, args: AskPermission) -> Ended {
    let call = human::RequestPermission {
        on: args.on,
        rights: args.rights,
        reason: args.reason,
        human: None,
    };
    json(port.call(call).await?)
}
