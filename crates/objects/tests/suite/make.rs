//! Calls and ids in few words.

use libos_abi::{
    Digest, Json, ObjectId, Pid, Text, namespace,
    object::{Append, Create, ForkSpace, MakeLink, MergeSpace, Query, Transfer, Update},
    process::OnConflict,
};
use libos_objects::Objects;
use serde_json::json;

use crate::rig::{Kernel, process};

pub(crate) type Memory = Kernel<Objects>;

pub(crate) fn id(space: u64, number: u64) -> ObjectId {
    ObjectId::new(space, number)
}

pub(crate) fn create(r#type: &str, payload: &serde_json::Value) -> Create {
    Create::of(r#type, Json::from(payload))
}

pub(crate) fn named(namespace: &str, name: &str) -> Create {
    Create {
        name: Some(name.into()),
        namespace: Some(namespace.into()),
        ..create("note", &json!(1))
    }
}

pub(crate) fn made_from(parents: &[ObjectId]) -> Create {
    Create { parents: Some(parents.to_vec()), ..create("whole", &json!(0)) }
}

/// A payload that is not at hand.
pub(crate) fn blob(bytes: u64) -> Json {
    let digest = Digest::of(b"elsewhere");
    Json(Text::blob(digest, bytes))
}

pub(crate) fn update(id: ObjectId, payload: &serde_json::Value) -> Update {
    Update { id, payload: Json::from(payload), expected_version: None }
}

pub(crate) fn append(id: ObjectId, entry: &serde_json::Value) -> Append {
    Append { id, entry: Json::from(entry), expected_version: None }
}

pub(crate) fn link(from: ObjectId, relation: &str, to: ObjectId) -> MakeLink {
    MakeLink { from, relation: relation.into(), to }
}

pub(crate) fn space(name: &str) -> namespace::Create {
    let namespace = name.into();
    namespace::Create { namespace }
}

pub(crate) fn lookup(namespace: &str, name: &str) -> namespace::Lookup {
    let (namespace, name) = (namespace.into(), name.into());
    namespace::Lookup { namespace, name }
}

pub(crate) fn query() -> Query {
    Query {
        space: None,
        r#type: None,
        tag: None,
        name_prefix: None,
        parent: None,
        since_ms: None,
        after: None,
        limit: None,
    }
}

pub(crate) fn transfer(id: ObjectId, to: u64) -> Transfer {
    Transfer { id, to: Pid(to) }
}

pub(crate) fn fork(from: u64, to: u64) -> ForkSpace {
    ForkSpace { from: Pid(from), to: Pid(to) }
}

pub(crate) fn merge(from: u64, into: u64, on_conflict: OnConflict) -> MergeSpace {
    MergeSpace { from: Pid(from), into: Pid(into), on_conflict }
}

/// The numbers of a list of ids of one space.
pub(crate) fn numbers(ids: impl IntoIterator<Item = ObjectId>) -> Vec<u64> {
    ids.into_iter().map(|id| id.number).collect()
}

/// Makes `count` objects of a process.
pub(crate) fn fill(k: &mut Memory, pid: u64, count: u64) {
    for n in 0..count {
        k.ok(process(pid), create("part", &json!(n)));
    }
}
