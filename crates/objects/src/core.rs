//! The pure state of Object Memory.
//!
//! [`Memory`] folds object events. Its `plan_*` functions hold every refusal: they look at the
//! state and give the event that a call makes, or why it makes none. They change nothing.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    Error, Fault, Json, ObjectId, Pid,
    event::ObjectEvent,
    namespace::{self, Entry, Namespace},
    object::{self, FailureKind, ObjectInfo},
};
use libos_port::Fold;
use serde::Serialize;

/// How much one call may ask of Object Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of a payload: the largest text one call may carry.
    pub payload_bytes_max: u64,
    /// The bytes of a type or name: they stay in memory and are shown on one line.
    pub name_bytes_max: usize,
    /// The parents of an object: the authority over each is decided in the same transaction.
    pub parents_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes_max: 1 << 20, name_bytes_max: 128, parents_max: 64 }
    }
}

/// An object with its payload, which may be a reference to a blob and is never looked into.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kept {
    pub(crate) info: ObjectInfo,
    pub(crate) payload: Json,
}

/// Every object and every name.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Memory {
    /// The last id given; ids are never given twice.
    last: u64,
    objects: OrdMap<ObjectId, Arc<Kept>>,
    /// The objects of each owner.
    owned: OrdSet<(Pid, ObjectId)>,
    /// The names in each namespace.
    namespaces: OrdMap<String, OrdMap<String, ObjectId>>,
}

impl Fold for Memory {
    type Event = ObjectEvent;

    fn apply(&mut self, event: &ObjectEvent) {
        match event {
            ObjectEvent::NamespaceCreated { namespace, by: _ } => {
                self.namespaces.entry(namespace.clone()).or_default();
            }
            ObjectEvent::Created {
                id,
                r#type,
                payload,
                digest,
                owner,
                namespace,
                name,
                parents,
                at_ms,
            } => self.insert(Kept {
                info: ObjectInfo {
                    id: *id,
                    r#type: r#type.clone(),
                    version: 1,
                    digest: *digest,
                    bytes: payload.0.bytes(),
                    owner: *owner,
                    namespace: namespace.clone(),
                    name: name.clone(),
                    parents: parents.clone(),
                    created_at_ms: *at_ms,
                    updated_at_ms: *at_ms,
                },
                payload: payload.clone(),
            }),
            ObjectEvent::Updated { id, version, payload, digest, at_ms } => {
                if let Some(kept) = self.objects.get_mut(id) {
                    let kept = Arc::make_mut(kept);
                    kept.info.version = *version;
                    kept.info.digest = *digest;
                    kept.info.bytes = payload.0.bytes();
                    kept.info.updated_at_ms = *at_ms;
                    kept.payload = payload.clone();
                }
            }
            ObjectEvent::Deleted { id } => self.remove(*id),
        }
    }
}

impl Memory {
    fn insert(&mut self, kept: Kept) {
        let info = &kept.info;
        if let (Some(namespace), Some(name)) = (&info.namespace, &info.name) {
            let names = self.namespaces.entry(namespace.clone()).or_default();
            names.insert(name.clone(), info.id);
        }
        self.last = self.last.max(info.id.0);
        self.owned.insert((info.owner, info.id));
        self.objects.insert(info.id, Arc::new(kept));
    }

    fn remove(&mut self, id: ObjectId) {
        let Some(kept) = self.objects.remove(&id) else {
            return;
        };
        self.owned.remove(&(kept.info.owner, id));
        if let (Some(namespace), Some(name)) = (&kept.info.namespace, &kept.info.name)
            && let Some(names) = self.namespaces.get_mut(namespace)
        {
            names.remove(name);
        }
    }

    /// The object, for a caller whose authority over it was decided before.
    pub(crate) fn get(&self, id: ObjectId) -> Result<&Kept, Error> {
        self.objects
            .get(&id)
            .map(AsRef::as_ref)
            .ok_or_else(|| FailureKind::NotFound.because(format!("there is no {id}")))
    }

    /// Whether the object is there.
    pub(crate) fn has(&self, id: ObjectId) -> bool {
        self.objects.contains_key(&id)
    }

    /// The objects of `owner` (without one: all), of one type or of any, in the order of ids.
    pub(crate) fn list(&self, owner: Option<Pid>, r#type: Option<&str>) -> Vec<ObjectInfo> {
        let wanted = |kept: &Kept| r#type.is_none_or(|wanted| kept.info.r#type == wanted);
        let info = |kept: &Arc<Kept>| wanted(kept).then(|| kept.info.clone());
        match owner {
            None => self.objects.values().filter_map(info).collect(),
            Some(pid) => self
                .owned
                .range((pid, ObjectId(0))..=(pid, ObjectId(u64::MAX)))
                .filter_map(|(_, id)| self.objects.get(id))
                .filter_map(info)
                .collect(),
        }
    }

    /// The object a create makes and its event, if it may be made from `parents`.
    pub(crate) fn plan_create(
        &self,
        call: &object::Create,
        parents: Vec<ObjectId>,
        limits: &Limits,
        owner: Pid,
        at_ms: u64,
    ) -> Result<(ObjectId, ObjectEvent), Error> {
        check_word("type", &call.r#type, limits)?;
        check_payload(&call.payload, limits)?;
        match (&call.namespace, &call.name) {
            (None, None) => {}
            (Some(namespace), Some(name)) => self.check_free(namespace, name, limits)?,
            (None, Some(_)) => return Err(Fault::bad("a name needs a namespace").into()),
            (Some(_), None) => return Err(Fault::bad("a namespace needs a name").into()),
        }
        let id = ObjectId(self.last + 1);
        let created = ObjectEvent::Created {
            id,
            r#type: call.r#type.clone(),
            payload: call.payload.clone(),
            digest: call.payload.0.digest(),
            owner,
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            parents,
            at_ms,
        };
        Ok((id, created))
    }

    fn check_free(&self, namespace: &str, name: &str, limits: &Limits) -> Result<(), Error> {
        check_word("name", name, limits)?;
        let names = self.namespaces.get(namespace).ok_or_else(|| {
            let detail = format!("there is no namespace `{namespace}`; make it first");
            FailureKind::UnknownNamespace.because(detail)
        })?;
        match names.get(name) {
            None => Ok(()),
            Some(id) => {
                let detail = format!("`{name}` in `{namespace}` is the name of {id}");
                Err(FailureKind::NameTaken.because(detail))
            }
        }
    }

    /// What an update makes, if it may.
    pub(crate) fn plan_update(
        &self,
        call: &object::Update,
        limits: &Limits,
        at_ms: u64,
    ) -> Result<ObjectEvent, Error> {
        let info = &self.get(call.id)?.info;
        if let Some(expected) = call.expected_version.filter(|v| *v != info.version) {
            let detail = format!("{} has version {}, not {expected}", call.id, info.version);
            return Err(FailureKind::VersionConflict.because(detail));
        }
        check_payload(&call.payload, limits)?;
        Ok(ObjectEvent::Updated {
            id: call.id,
            version: info.version + 1,
            payload: call.payload.clone(),
            digest: call.payload.0.digest(),
            at_ms,
        })
    }

    /// What the making of a namespace makes, if it may.
    pub(crate) fn plan_namespace(
        &self,
        name: &str,
        limits: &Limits,
        by: Option<Pid>,
    ) -> Result<ObjectEvent, Error> {
        if let Some(what) = flaw(name, limits) {
            let detail = format!("the name of a namespace {what}");
            return Err(namespace::FailureKind::BadName.because(detail));
        }
        if self.namespaces.contains_key(name) {
            let detail = format!("there is a namespace `{name}` already");
            return Err(namespace::FailureKind::Exists.because(detail));
        }
        let namespace = name.to_owned();
        Ok(ObjectEvent::NamespaceCreated { namespace, by })
    }

    fn names(&self, namespace: &str) -> Result<&OrdMap<String, ObjectId>, Error> {
        self.namespaces.get(namespace).ok_or_else(|| {
            let detail = format!("there is no namespace `{namespace}`");
            namespace::FailureKind::NotFound.because(detail)
        })
    }

    /// A namespace with the names in it.
    pub(crate) fn namespace(&self, namespace: &str) -> Result<Namespace, Error> {
        let entries =
            self.names(namespace)?.iter().map(|(name, id)| Entry { name: name.clone(), id: *id });
        Ok(Namespace { namespace: namespace.into(), entries: entries.collect() })
    }

    /// What a name stands for.
    pub(crate) fn lookup(&self, namespace: &str, name: &str) -> Result<Entry, Error> {
        let id = self.names(namespace)?.get(name).ok_or_else(|| {
            let detail = format!("there is no `{name}` in `{namespace}`");
            namespace::FailureKind::NotFound.because(detail)
        })?;
        Ok(Entry { name: name.into(), id: *id })
    }
}

/// The parents a create names, each once.
pub(crate) fn parents(call: &object::Create, limits: &Limits) -> Result<Vec<ObjectId>, Error> {
    let named = call.parents.as_deref().unwrap_or_default();
    if named.len() > limits.parents_max {
        return Err(Fault::Limit {
            what: "parents of an object".into(),
            limit: limits.parents_max as u64,
        }
        .into());
    }
    let mut parents = Vec::with_capacity(named.len());
    for parent in named {
        if !parents.contains(parent) {
            parents.push(*parent);
        }
    }
    Ok(parents)
}

/// What is wrong with a type or name.
fn flaw(word: &str, limits: &Limits) -> Option<String> {
    if word.is_empty() {
        Some("is empty".into())
    } else if too_long(word, limits) {
        Some(format!("is over {} bytes", limits.name_bytes_max))
    } else if word.contains(char::is_control) {
        Some("holds control characters".into())
    } else {
        None
    }
}

fn too_long(word: &str, limits: &Limits) -> bool {
    word.len() > limits.name_bytes_max
}

fn check_word(what: &str, word: &str, limits: &Limits) -> Result<(), Error> {
    let Some(flaw) = flaw(word, limits) else {
        return Ok(());
    };
    let detail = format!("the {what} of an object {flaw}");
    match too_long(word, limits) {
        true => Err(FailureKind::TooLarge.because(detail)),
        false => Err(Fault::bad(detail).into()),
    }
}

fn check_payload(payload: &Json, limits: &Limits) -> Result<(), Error> {
    let (bytes, max) = (payload.0.bytes(), limits.payload_bytes_max);
    match bytes <= max {
        true => Ok(()),
        false => {
            Err(FailureKind::TooLarge
                .because(format!("the payload has {bytes} bytes; {max} may be")))
        }
    }
}
