//! What a call on one object makes, or why it makes nothing.

use std::sync::Arc;

use libos_abi::{
    Digest, Error, Fault, Json, ObjectId, Pid,
    event::ObjectEvent,
    object::{Append, Collect, Create, FailureKind, Link, Transfer, Update},
};

use crate::{
    core::{EMPTY_LIST, Memory},
    limits::Limits,
    space::Kept,
};

impl Memory {
    /// The object a create makes, and its event.
    pub(crate) fn plan_create(
        &self,
        call: &Create,
        parents: &[ObjectId],
        owner: Pid,
        limits: &Limits,
        at_ms: u64,
    ) -> Result<(ObjectId, ObjectEvent), Error> {
        check_word("type of an object", &call.r#type, limits)?;
        check_payload(call.payload.0.bytes(), limits)?;
        match (&call.namespace, &call.name) {
            (None, None) => {}
            (Some(namespace), Some(name)) => {
                check_word("name of an object", name, limits)?;
                self.names.check_free(namespace, name)?;
            }
            (None, Some(_)) => return Err(Fault::bad("a name needs a namespace").into()),
            (Some(_), None) => return Err(Fault::bad("a namespace needs a name").into()),
        }
        let tags = call.tags.as_deref().unwrap_or_default();
        at_most("tags of an object", tags.len(), limits.tags_max)?;
        tags.iter().try_for_each(|tag| check_word("tag of an object", tag, limits))?;
        let id = self.next(owner);
        let created = ObjectEvent::Created {
            id,
            r#type: call.r#type.as_str().into(),
            payload: call.payload.clone(),
            digest: call.payload.0.digest(),
            namespace: call.namespace.as_deref().map(Arc::from),
            name: call.name.as_deref().map(Arc::from),
            parents: parents.into(),
            tags: tags.into(),
            immutable: call.immutable.unwrap_or(false),
            at_ms,
        };
        Ok((id, created))
    }

    /// The object that the parts of a content make, and its event.
    pub(crate) fn plan_collect(
        &self,
        call: &Collect,
        limits: &Limits,
        at_ms: u64,
    ) -> Result<ObjectEvent, Error> {
        check_word("type of an object", &call.r#type, limits)?;
        at_most("parts of an object", call.parts.len(), limits.entries_max)?;
        let bytes: u64 = call.parts.iter().map(|part| part.0.bytes()).sum();
        if bytes > limits.content_bytes_max {
            let detail =
                format!("the content has {bytes} bytes; {} may be", limits.content_bytes_max);
            return Err(FailureKind::TooLarge.because(detail));
        }
        Ok(ObjectEvent::Collected {
            id: self.next(call.owner),
            r#type: call.r#type.as_str().into(),
            digest: call.parts.iter().fold(Digest::of(EMPTY_LIST.as_bytes()), chained),
            parts: call.parts.as_slice().into(),
            at_ms,
        })
    }

    /// The object, if its payload can be changed now.
    fn changeable(&self, id: ObjectId, expected_version: Option<u64>) -> Result<&Kept, Error> {
        let kept = self.get(id)?;
        let info = &kept.info;
        if info.immutable {
            return Err(FailureKind::Immutable.because(format!("{id} never changes")));
        }
        self.unreleased(id)?;
        match expected_version.filter(|version| *version != info.version) {
            None => Ok(kept),
            Some(expected) => {
                let detail = format!("{id} has version {}, not {expected}", info.version);
                Err(FailureKind::VersionConflict.because(detail))
            }
        }
    }

    /// The object, if it has its payload still.
    pub(crate) fn unreleased(&self, id: ObjectId) -> Result<&Kept, Error> {
        let kept = self.get(id)?;
        match kept.info.released {
            false => Ok(kept),
            true => {
                let detail = format!("the payload of {id} was given up");
                Err(FailureKind::Released.because(detail))
            }
        }
    }

    /// What an update makes.
    pub(crate) fn plan_update(
        &self,
        call: &Update,
        limits: &Limits,
        at_ms: u64,
    ) -> Result<ObjectEvent, Error> {
        let kept = self.changeable(call.id, call.expected_version)?;
        check_payload(call.payload.0.bytes(), limits)?;
        Ok(ObjectEvent::Updated {
            id: call.id,
            version: kept.info.version + 1,
            payload: call.payload.clone(),
            digest: call.payload.0.digest(),
            at_ms,
        })
    }

    /// What an append makes.
    pub(crate) fn plan_append(
        &self,
        call: &Append,
        limits: &Limits,
        at_ms: u64,
    ) -> Result<ObjectEvent, Error> {
        let kept = self.changeable(call.id, call.expected_version)?;
        // A payload is canonical JSON: its first byte tells a list, and that is all that is seen.
        if !kept.payload.0.as_str().is_some_and(|text| text.starts_with('[')) {
            let detail = format!("{} holds no list that is kept inline", call.id);
            return Err(FailureKind::NotAList.because(detail));
        }
        let bytes = call.entry.0.bytes();
        if bytes > limits.entry_bytes_max {
            let detail = format!("the entry has {bytes} bytes; {} may be", limits.entry_bytes_max);
            return Err(FailureKind::TooLarge.because(detail));
        }
        at_most("entries of an object", kept.appended.len() + 1, limits.entries_max)?;
        check_bytes(kept.info.bytes.saturating_add(bytes), limits.content_bytes_max)?;
        Ok(ObjectEvent::Appended {
            id: call.id,
            version: kept.info.version + 1,
            entry: call.entry.clone(),
            digest: chained(kept.info.digest, &call.entry),
            at_ms,
        })
    }

    /// What the giving up of a payload makes.
    pub(crate) fn plan_release(&self, id: ObjectId, at_ms: u64) -> Result<ObjectEvent, Error> {
        self.unreleased(id)?;
        Ok(ObjectEvent::Released { id, at_ms })
    }

    /// The link that a call makes or finds.
    pub(crate) fn plan_link(&self, link: &Link, limits: &Limits) -> Result<ObjectEvent, Error> {
        check_word("relation of a link", &link.relation, limits)?;
        if link.from == link.to {
            return Err(Fault::bad("a link ends at another object than it begins at").into());
        }
        for end in [link.from, link.to] {
            self.get(end)?;
            let links = self.links_of(end).len() + 1;
            at_most("links of an object", links, limits.links_max)?;
        }
        let Link { from, relation, to } = link.clone();
        Ok(ObjectEvent::Linked { from, relation, to })
    }

    /// What the removal of a link makes.
    pub(crate) fn plan_unlink(&self, link: &Link) -> Result<ObjectEvent, Error> {
        let Link { from, relation, to } = link.clone();
        match self.is_linked(from, &relation, to) {
            true => Ok(ObjectEvent::Unlinked { from, relation, to }),
            false => {
                let detail = format!("{from} has no link `{relation}` to {to}");
                Err(FailureKind::NotFound.because(detail))
            }
        }
    }

    /// Where a transfer puts its object, and its event.
    pub(crate) fn plan_transfer(
        &self,
        call: &Transfer,
        at_ms: u64,
    ) -> Result<(ObjectId, ObjectEvent), Error> {
        let from = call.id;
        self.get(from)?;
        let to = self.next(call.to);
        Ok((to, ObjectEvent::Moved { from, to, at_ms }))
    }
}

/// The digest of a payload with one more entry.
fn chained(digest: Digest, entry: &Json) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&digest.0);
    both[32..].copy_from_slice(&entry.0.digest().0);
    Digest::of(&both)
}

/// The parents a create names, each once.
pub(crate) fn parents(call: &Create, limits: &Limits) -> Result<Vec<ObjectId>, Error> {
    let named = call.parents.as_deref().unwrap_or_default();
    at_most("parents of an object", named.len(), limits.parents_max)?;
    let mut parents = Vec::with_capacity(named.len());
    for parent in named {
        if !parents.contains(parent) {
            parents.push(*parent);
        }
    }
    Ok(parents)
}

/// What is wrong with a type, name, tag or relation.
pub(crate) fn flaw(word: &str, limits: &Limits) -> Option<String> {
    if word.is_empty() {
        Some("is empty".into())
    } else if is_long(word, limits) {
        Some(format!("is over {} bytes", limits.word_bytes_max))
    } else if word.contains(char::is_control) {
        Some("holds control characters".into())
    } else {
        None
    }
}

fn is_long(word: &str, limits: &Limits) -> bool {
    word.len() > limits.word_bytes_max
}

fn check_word(what: &str, word: &str, limits: &Limits) -> Result<(), Error> {
    let Some(flaw) = flaw(word, limits) else {
        return Ok(());
    };
    let detail = format!("the {what} {flaw}");
    match is_long(word, limits) {
        true => Err(FailureKind::TooLarge.because(detail)),
        false => Err(Fault::bad(detail).into()),
    }
}

/// That there are not too many of something.
pub(crate) fn at_most(what: &str, count: usize, max: usize) -> Result<(), Error> {
    match count <= max {
        true => Ok(()),
        false => Err(FailureKind::TooLarge.because(format!("{count} {what}; {max} may be"))),
    }
}

fn check_payload(bytes: u64, limits: &Limits) -> Result<(), Error> {
    check_bytes(bytes, limits.payload_bytes_max)
}

fn check_bytes(bytes: u64, max: u64) -> Result<(), Error> {
    match bytes <= max {
        true => Ok(()),
        false => {
            Err(FailureKind::TooLarge
                .because(format!("the payload has {bytes} bytes; {max} may be")))
        }
    }
}
