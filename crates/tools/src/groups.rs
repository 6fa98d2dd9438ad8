//! Tools over the groups of tools. Showing a tool grants nothing.

use libos_abi::{process, tool};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListToolGroups {}

pub(crate) async fn list_tool_groups(port: &dyn Port, _: ListToolGroups) -> Ended {
    json(port.call(tool::ListGroups {}).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivateTools {
    /// The group.
    group: String,
}

pub(crate) async fn activate_tools(port: &dyn Port, args: ActivateTools) -> Ended {
    json(port.call(process::ActivateTools { group: args.group }).await?)
}
