//! Tools over the life of objects: find, extend, connect, hand over and give up.

use libos_abi::{Json, ObjectId, Pid, object};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryObjects {
    /// The process whose memory is searched; this process's if absent.
    space: Option<Pid>,
    /// Of this type.
    r#type: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Whose name begins so.
    name_prefix: Option<String>,
    /// Made from this object.
    parent: Option<ObjectId>,
    /// Changed since then, in milliseconds since the epoch.
    since_ms: Option<u64>,
    /// After this one, to go on.
    after: Option<ObjectId>,
    /// How many at most; 100 if absent.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

pub(crate) async fn query_objects(port: &dyn Port, args: QueryObjects) -> Ended {
    let QueryObjects { space, r#type, tag, name_prefix, parent, since_ms, after, limit } = args;
    let call = object::Query { space, r#type, tag, name_prefix, parent, since_ms, after, limit };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendObject {
    /// The object; its payload is a list.
    id: ObjectId,
    /// The entry: any JSON.
    entry: Json,
    /// The version it must have now.
    expected_version: Option<u64>,
}

pub(crate) async fn append_object(port: &dyn Port, args: AppendObject) -> Ended {
    let AppendObject { id, entry, expected_version } = args;
    json(port.call(object::Append { id, entry, expected_version }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadEntries {
    /// The object.
    id: ObjectId,
    /// How many entries to pass over: `next` of the part before; none if absent.
    skip: Option<u32>,
}

pub(crate) async fn read_entries(port: &dyn Port, args: ReadEntries) -> Ended {
    let ReadEntries { id, skip } = args;
    json(port.call(object::ListEntries { id, skip }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkObjects {
    /// Where the link begins.
    from: ObjectId,
    /// A word for what it says, as in `cites`.
    relation: String,
    /// Where it ends.
    to: ObjectId,
}

pub(crate) async fn link_objects(port: &dyn Port, args: LinkObjects) -> Ended {
    let LinkObjects { from, relation, to } = args;
    json(port.call(object::MakeLink { from, relation, to }).await?)
}

pub(crate) async fn unlink_objects(port: &dyn Port, args: LinkObjects) -> Ended {
    let LinkObjects { from, relation, to } = args;
    json(port.call(object::Unlink { from, relation, to }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneObject {
    /// The object.
    id: ObjectId,
}

pub(crate) async fn list_links(port: &dyn Port, args: OneObject) -> Ended {
    json(port.call(object::ListLinks { id: args.id }).await?)
}

pub(crate) async fn release_object(port: &dyn Port, args: OneObject) -> Ended {
    json(port.call(object::Release { id: args.id }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferObject {
    /// The object.
    id: ObjectId,
    /// The child or parent that gets it.
    to: Pid,
}

pub(crate) async fn transfer_object(port: &dyn Port, args: TransferObject) -> Ended {
    let TransferObject { id, to } = args;
    json(port.call(object::Transfer { id, to }).await?)
}
