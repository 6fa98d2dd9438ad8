//! Tools over checkpoints.

use libos_abi::{CheckpointId, checkpoint};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateCheckpoint {
    /// What it is for.
    reason: Option<String>,
}

pub(crate) async fn create_checkpoint(port: &dyn Port, args: CreateCheckpoint) -> Ended {
    json(port.call(checkpoint::Create { pid: None, reason: args.reason }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListCheckpoints {
    /// Behind this one, where the last list said that there are more.
    after: Option<CheckpointId>,
}

pub(crate) async fn list_checkpoints(port: &dyn Port, args: ListCheckpoints) -> Ended {
    let ListCheckpoints { after } = args;
    json(port.call(checkpoint::List { pid: None, after, limit: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForkCheckpoint {
    /// The checkpoint.
    checkpoint: CheckpointId,
}

pub(crate) async fn fork_checkpoint(port: &dyn Port, args: ForkCheckpoint) -> Ended {
    let ForkCheckpoint { checkpoint } = args;
    json(port.call(checkpoint::Fork { checkpoint, parent: None }).await?)
}
