//! Tools over capabilities.

use libos_abi::{CapId, GrantSpec, Pid, Resource, Right, capability};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListCapabilities {
    /// Behind this one, to go on.
    after: Option<CapId>,
}

pub(crate) async fn list_capabilities(port: &dyn Port, args: ListCapabilities) -> Ended {
    let call = capability::List { pid: None, all: None, after: args.after, limit: None };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainCapability {
    /// The right.
    right: Right,
    /// The resource, canonical, as in `fs:workspace/src/a.rs`.
    on: Resource,
}

pub(crate) async fn explain_capability(port: &dyn Port, args: ExplainCapability) -> Ended {
    let call = capability::Explain { pid: None, right: args.right, on: args.on };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DelegateCapability {
    /// The child.
    to: Pid,
    /// What it is to get: no more than this process holds and may hand on.
    grant: GrantSpec,
}

pub(crate) async fn delegate_capability(port: &dyn Port, args: DelegateCapability) -> Ended {
    let DelegateCapability { to, grant } = args;
    json(port.call(capability::Delegate { to, grant }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeCapability {
    /// The capability, as the delegation returned it.
    capability: CapId,
    /// Why.
    reason: Option<String>,
}

pub(crate) async fn revoke_capability(port: &dyn Port, args: RevokeCapability) -> Ended {
    let RevokeCapability { capability, reason } = args;
    json(port.call(capability::Revoke { capability, reason }).await?)
}
