//! Namespaces: names for objects. They are global, and a name opens nothing.

use std::sync::Arc;

use imbl::OrdMap;
use libos_abi::{
    Error, ObjectId, Pid,
    event::ObjectEvent,
    namespace::{Entry, FailureKind, Namespace},
    object::{self, ObjectInfo},
    wire::{self, Reader, WireError},
};
use serde::Serialize;

use crate::{limits::Limits, plan};

/// The names in each namespace.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Names(OrdMap<Arc<str>, OrdMap<Arc<str>, ObjectId>>);

impl Names {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let namespaces = self.0.iter();
        wire::encode_each(namespaces.map(|(name, names)| (name, Vec::from_iter(names))), out);
    }

    pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut all = Self::default();
        bytes.each(|(namespace, names): (Arc<str>, Vec<(Arc<str>, ObjectId)>)| {
            all.0.insert(namespace, names.into_iter().collect());
            Ok::<(), WireError>(())
        })?;
        Ok(all)
    }

    /// Makes a namespace.
    pub(crate) fn make(&mut self, namespace: &str) {
        self.0.entry(namespace.into()).or_default();
    }

    /// Lets the name of an object stand for it.
    pub(crate) fn bind(&mut self, info: &ObjectInfo) {
        if let (Some(namespace), Some(name)) = (&info.namespace, &info.name) {
            self.0.entry(namespace.clone()).or_default().insert(name.clone(), info.id);
        }
    }

    /// Frees the name of an object.
    pub(crate) fn unbind(&mut self, info: &ObjectInfo) {
        if let (Some(namespace), Some(name)) = (&info.namespace, &info.name)
            && let Some(names) = self.0.get_mut(namespace)
        {
            names.remove(name);
        }
    }

    /// That an object can be named so.
    pub(crate) fn check_free(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let names = self.0.get(namespace).ok_or_else(|| {
            let detail = format!("there is no namespace `{namespace}`; make it first");
            object::FailureKind::UnknownNamespace.because(detail)
        })?;
        match names.get(name) {
            None => Ok(()),
            Some(id) => {
                let detail = format!("`{name}` in `{namespace}` is the name of {id}");
                Err(object::FailureKind::NameTaken.because(detail))
            }
        }
    }

    /// What the making of a namespace makes, if it may.
    pub(crate) fn plan_make(
        &self,
        name: &str,
        limits: &Limits,
        by: Option<Pid>,
    ) -> Result<ObjectEvent, Error> {
        if let Some(what) = plan::flaw(name, limits) {
            let detail = format!("the name of a namespace {what}");
            return Err(FailureKind::BadName.because(detail));
        }
        if self.0.contains_key(name) {
            let detail = format!("there is a namespace `{name}` already");
            return Err(FailureKind::Exists.because(detail));
        }
        Ok(ObjectEvent::NamespaceCreated { namespace: name.to_owned(), by })
    }

    fn names(&self, namespace: &str) -> Result<&OrdMap<Arc<str>, ObjectId>, Error> {
        self.0.get(namespace).ok_or_else(|| {
            FailureKind::NotFound.because(format!("there is no namespace `{namespace}`"))
        })
    }

    /// A namespace with the names in it.
    pub(crate) fn list(&self, namespace: &str) -> Result<Namespace, Error> {
        let entries = self.names(namespace)?.iter();
        let entries = entries.map(|(name, id)| Entry { name: name.to_string(), id: *id });
        Ok(Namespace { namespace: namespace.into(), entries: entries.collect() })
    }

    /// What a name stands for.
    pub(crate) fn lookup(&self, namespace: &str, name: &str) -> Result<Entry, Error> {
        let id = self.names(namespace)?.get(name).ok_or_else(|| {
            FailureKind::NotFound.because(format!("there is no `{name}` in `{namespace}`"))
        })?;
        Ok(Entry { name: name.into(), id: *id })
    }
}
