//! Tools over the tools that a process writes itself.

use libos_abi::tool::{self, Definition};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

pub(crate) async fn propose_tool(port: &dyn Port, tool: Definition) -> Ended {
    json(port.call(tool::Propose { tool }).await?)
}

/// A generated tool by its name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneTool {
    /// Its name.
    name: String,
}

pub(crate) async fn validate_tool(port: &dyn Port, args: OneTool) -> Ended {
    json(port.call(tool::Validate { name: args.name, pid: None }).await?)
}

pub(crate) async fn register_tool(port: &dyn Port, args: OneTool) -> Ended {
    json(port.call(tool::Register { name: args.name }).await?)
}

pub(crate) async fn unregister_tool(port: &dyn Port, args: OneTool) -> Ended {
    json(port.call(tool::Unregister { name: args.name }).await?)
}

pub(crate) async fn inspect_tool(port: &dyn Port, args: OneTool) -> Ended {
    json(port.call(tool::Inspect { name: args.name, pid: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListGeneratedTools {}

pub(crate) async fn list_generated_tools(port: &dyn Port, _: ListGeneratedTools) -> Ended {
    json(port.call(tool::ListGenerated { pid: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteTool {
    /// Its name.
    name: String,
    /// The image; one that is not there is made as a copy of this process's.
    image: String,
    /// The version that the image is to have.
    version: String,
}

pub(crate) async fn promote_tool(port: &dyn Port, args: PromoteTool) -> Ended {
    let PromoteTool { name, image, version } = args;
    let details = port.call(tool::Inspect { name: name.clone(), pid: None }).await?;
    let digest = details.status.digest;
    json(port.call(tool::Promote { name, digest, image, version }).await?)
}
