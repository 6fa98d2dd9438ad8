//! The pure state of Object Memory.
//!
//! [`State`] folds object events. What a call makes, or why it makes nothing, is said by the
//! `plan_*` functions beside it; they look at the state and change nothing.

mod snapshot;

use std::{ops::Deref, sync::Arc};

use imbl::OrdMap;
use libos_abi::{
    CheckpointId, Digest, Error, Json, ObjectId, Pid, Text,
    event::ObjectEvent,
    object::{FailureKind, Handle, Link, ObjectInfo, View},
};
use libos_port::Fold;
use serde::Serialize;

use crate::{
    names::Names,
    saved::Saved,
    space::{Kept, Links, Space},
    view::Views,
};

/// The payload of an object whose content is what was appended to it.
pub(crate) const EMPTY_LIST: &str = "[]";

/// The state: behind one pointer, so that marking it to come back to copies a pointer.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct State(Arc<Memory>);

impl Fold for State {
    type Event = ObjectEvent;

    fn apply(&mut self, event: &ObjectEvent) {
        Arc::make_mut(&mut self.0).apply(event);
    }
}

impl Deref for State {
    type Target = Memory;
    fn deref(&self) -> &Memory {
        &self.0
    }
}

/// Every space, every name, every view.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) spaces: OrdMap<Pid, Arc<Space>>,
    /// The last number given in each space that is gone: a process may go on without its memory.
    gone: OrdMap<Pid, u64>,
    pub(crate) names: Names,
    /// The links from one space into another. A copy of a space has none of them.
    far: Links<ObjectId>,
    pub(crate) views: Views,
    /// What is kept for checkpoints.
    pub(crate) saved: OrdMap<CheckpointId, Saved>,
}

impl Memory {
    fn apply(&mut self, event: &ObjectEvent) {
        match event {
            ObjectEvent::NamespaceCreated { namespace, by: _ } => self.names.make(namespace),
            ObjectEvent::Created { payload, .. } => {
                if let Some(info) = created(event) {
                    self.put(Kept::new(info, payload.clone()));
                }
            }
            ObjectEvent::Updated { id, version, payload, digest, at_ms } => {
                self.edit(*id, |kept| {
                    changed(&mut kept.info, *version, *digest, *at_ms);
                    kept.info.bytes = payload.0.bytes();
                    kept.payload = payload.clone();
                    kept.appended.clear();
                });
            }
            ObjectEvent::Appended { id, version, entry, digest, at_ms } => {
                self.edit(*id, |kept| {
                    changed(&mut kept.info, *version, *digest, *at_ms);
                    kept.info.bytes = kept.info.bytes.saturating_add(entry.0.bytes());
                    kept.appended.push_back(entry.clone());
                });
            }
            ObjectEvent::Collected { id, r#type, parts, digest, at_ms } => {
                self.put(collected(*id, r#type, parts, *digest, *at_ms));
            }
            ObjectEvent::Released { id, at_ms } => self.edit(*id, |kept| {
                kept.info.updated_at_ms = *at_ms;
                kept.info.released = true;
                kept.info.bytes = 0;
                kept.payload = Json::default();
                kept.appended.clear();
            }),
            ObjectEvent::Deleted { id } => self.remove(*id),
            ObjectEvent::Moved { from, to, at_ms } => self.carry(*from, *to, *at_ms),
            ObjectEvent::Linked { from, relation, to } => self.connect(*from, relation, *to),
            ObjectEvent::Unlinked { from, relation, to } => self.disconnect(*from, relation, *to),
            ObjectEvent::ViewMade { id, owner, items, from, at_ms } => self.views.insert(View {
                id: *id,
                owner: *owner,
                items: items.clone(),
                from: *from,
                at_ms: *at_ms,
            }),
            ObjectEvent::ViewDropped { id } => self.views.remove(*id),
            ObjectEvent::SpaceForked { from, to } => self.fork(*from, *to),
            ObjectEvent::SpaceMerged { from, into, on_conflict, at_ms } => {
                self.merge(*from, *into, *on_conflict, *at_ms);
            }
            ObjectEvent::SpaceDropped { space } => self.drop_space(*space),
            ObjectEvent::SpacesSaved { checkpoint, spaces } => self.save(*checkpoint, spaces),
            ObjectEvent::SpacesForgotten { checkpoint } => drop(self.saved.remove(checkpoint)),
            ObjectEvent::SpacesRestored { checkpoint, dropped } => {
                self.restore(*checkpoint, dropped);
            }
            ObjectEvent::SpaceCopied { checkpoint, from, to, base } => {
                self.copy_saved(*checkpoint, *from, *to, *base);
            }
        }
    }
}

/// The object that an event makes.
fn created(event: &ObjectEvent) -> Option<ObjectInfo> {
    let ObjectEvent::Created {
        id,
        r#type,
        payload,
        digest,
        namespace,
        name,
        parents,
        tags,
        immutable,
        at_ms,
    } = event
    else {
        return None;
    };
    Some(ObjectInfo {
        id: *id,
        r#type: r#type.clone(),
        version: 1,
        digest: *digest,
        bytes: payload.0.bytes(),
        owner: id.space,
        namespace: namespace.clone(),
        name: name.clone(),
        parents: parents.clone(),
        created_at_ms: *at_ms,
        updated_at_ms: *at_ms,
        tags: tags.clone(),
        immutable: *immutable,
        released: false,
    })
}

/// The object that the parts of a content make.
fn collected(id: ObjectId, word: &Arc<str>, parts: &[Json], digest: Digest, at_ms: u64) -> Kept {
    let payload = Json(Text::from(EMPTY_LIST));
    let bytes = |part: &Json| part.0.bytes();
    let info = ObjectInfo {
        id,
        r#type: word.clone(),
        version: 1,
        digest,
        bytes: payload.0.bytes() + parts.iter().map(bytes).sum::<u64>(),
        owner: id.space,
        namespace: None,
        name: None,
        parents: Arc::default(),
        created_at_ms: at_ms,
        updated_at_ms: at_ms,
        tags: Arc::default(),
        immutable: false,
        released: false,
    };
    Kept { appended: parts.iter().cloned().collect(), ..Kept::new(info, payload) }
}

fn changed(info: &mut ObjectInfo, version: u64, digest: Digest, at_ms: u64) {
    info.version = version;
    info.digest = digest;
    info.updated_at_ms = at_ms;
}

impl Memory {
    /// Whether the process has a memory.
    pub(crate) fn has_space(&self, pid: Pid) -> bool {
        self.spaces.contains_key(&pid)
    }

    /// The memory of a process, if it has one.
    pub(crate) fn space(&self, pid: Pid) -> Option<&Space> {
        self.spaces.get(&pid).map(AsRef::as_ref)
    }

    /// The memory of a process, made if it has none.
    fn space_mut(&mut self, pid: Pid) -> &mut Space {
        let gone = &mut self.gone;
        let make = || Arc::new(Space::new(pid, gone.remove(&pid).unwrap_or_default()));
        Arc::make_mut(self.spaces.entry(pid).or_insert_with(make))
    }

    /// The last number given in the space of a process.
    pub(crate) fn last(&self, pid: Pid) -> u64 {
        let gone = || self.gone.get(&pid).copied();
        self.space(pid).map(|space| space.last).or_else(gone).unwrap_or_default()
    }

    /// The id that the next object of a process gets.
    pub(crate) fn next(&self, space: Pid) -> ObjectId {
        ObjectId { space, number: self.last(space).saturating_add(1) }
    }

    /// The object, if there is one.
    pub(crate) fn find(&self, id: ObjectId) -> Option<&Kept> {
        self.space(id.space)?.objects.get(&id.number).map(|slot| &**slot)
    }

    /// Whether the object is there.
    pub(crate) fn has(&self, id: ObjectId) -> bool {
        self.find(id).is_some()
    }

    /// The object, for a caller whose authority over it was decided before.
    pub(crate) fn get(&self, id: ObjectId) -> Result<&Kept, Error> {
        self.find(id).ok_or_else(|| FailureKind::NotFound.because(format!("there is no {id}")))
    }

    /// An object as its own space shows it.
    pub(crate) fn info(&self, id: ObjectId) -> Result<ObjectInfo, Error> {
        self.get(id).map(|kept| kept.info_in(id.space))
    }

    /// A handle to an object.
    pub(crate) fn handle(&self, id: ObjectId) -> Result<Handle, Error> {
        let info = &self.get(id)?.info;
        Ok(Handle { id, version: info.version, digest: info.digest })
    }

    /// The links that begin or end at an object, in order.
    pub(crate) fn links_of(&self, id: ObjectId) -> Vec<Link> {
        let here = |number| ObjectId { number, ..id };
        let near = self.space(id.space).into_iter().flat_map(|space| {
            space.links.touching(id.number, move |number| number == id.number).map(
                move |(from, relation, to)| Link {
                    from: here(from),
                    relation: relation.clone(),
                    to: here(to),
                },
            )
        });
        let mut links: Vec<Link> = near.chain(self.far_links(id, move |end| end == id)).collect();
        links.sort_unstable();
        links
    }

    fn far_links(
        &self,
        first: ObjectId,
        is_meant: impl Fn(ObjectId) -> bool + Copy,
    ) -> impl Iterator<Item = Link> {
        let links = self.far.touching(first, is_meant);
        links.map(|(from, relation, to)| Link { from, relation: relation.clone(), to })
    }

    /// The links between a space and others.
    pub(crate) fn far_links_of(&self, space: Pid) -> Vec<Link> {
        let first = ObjectId { space, number: 0 };
        self.far_links(first, move |end| end.space == space).collect()
    }

    /// Where the links that begin at an object end.
    pub(crate) fn linked_from(&self, id: ObjectId) -> impl Iterator<Item = ObjectId> {
        let near = self.space(id.space).into_iter();
        near.flat_map(move |space| space.links.out_of(id.number))
            .map(move |number| ObjectId { number, ..id })
            .chain(self.far.out_of(id))
    }

    /// Whether two objects are connected so.
    pub(crate) fn is_linked(&self, from: ObjectId, relation: &Arc<str>, to: ObjectId) -> bool {
        match from.space == to.space {
            true => self
                .space(from.space)
                .is_some_and(|space| space.links.contains(from.number, relation, to.number)),
            false => self.far.contains(from, relation, to),
        }
    }

    /// Puts an object, at home in the space of its id, in its place, and its name in its.
    pub(crate) fn put(&mut self, kept: Kept) {
        self.names.bind(&kept.info);
        self.space_mut(kept.info.id.space).put(kept);
    }

    /// Puts a memory in the place of another, or takes it out. Numbers go on behind the last that
    /// was ever given.
    pub(crate) fn put_space(&mut self, pid: Pid, space: Option<Arc<Space>>) {
        let last = self.last(pid);
        match space {
            Some(mut space) => {
                if space.last < last {
                    Arc::make_mut(&mut space).last = last;
                }
                self.gone.remove(&pid);
                self.spaces.insert(pid, space);
            }
            None => {
                if self.spaces.remove(&pid).is_some() {
                    self.gone.insert(pid, last);
                }
            }
        }
    }

    pub(crate) fn edit(&mut self, id: ObjectId, change: impl FnOnce(&mut Kept)) {
        if let Some(space) = self.spaces.get_mut(&id.space) {
            Arc::make_mut(space).edit(id.number, change);
        }
    }

    /// Removes an object, its name and its links.
    pub(crate) fn remove(&mut self, id: ObjectId) {
        let Ok(info) = self.info(id) else {
            return;
        };
        for link in self.links_of(id) {
            self.disconnect(link.from, &link.relation, link.to);
        }
        self.names.unbind(&info);
        self.space_mut(id.space).objects.remove(&id.number);
    }

    /// Moves an object into another space; its name and its links come along.
    fn carry(&mut self, from: ObjectId, to: ObjectId, at_ms: u64) {
        let Ok(kept) = self.get(from) else {
            return;
        };
        let mut kept = Kept { info: kept.info_in(from.space), ..kept.clone() };
        let links = self.links_of(from);
        self.remove(from);
        kept.info.id = to;
        kept.info.owner = to.space;
        kept.info.updated_at_ms = at_ms;
        self.put(kept);
        let there = |end: ObjectId| if end == from { to } else { end };
        for link in links {
            self.connect(there(link.from), &link.relation, there(link.to));
        }
    }

    pub(crate) fn connect(&mut self, from: ObjectId, relation: &Arc<str>, to: ObjectId) {
        match from.space == to.space {
            true => self.space_mut(from.space).links.insert(from.number, relation, to.number),
            false => self.far.insert(from, relation, to),
        }
    }

    pub(crate) fn disconnect(&mut self, from: ObjectId, relation: &Arc<str>, to: ObjectId) {
        match from.space == to.space {
            true => self.space_mut(from.space).links.remove(from.number, relation, to.number),
            false => self.far.remove(from, relation, to),
        }
    }

    /// Copies a space for a process that has none.
    fn fork(&mut self, from: Pid, to: Pid) {
        let copy = match self.space(from) {
            Some(space) => space.copy_for(to),
            None => Space::new(from, 0).copy_for(to),
        };
        self.spaces.insert(to, Arc::new(copy));
    }

    /// Takes a space out, with its links to others and its process's views.
    pub(crate) fn take_space(&mut self, pid: Pid) -> Option<Arc<Space>> {
        for link in self.far_links_of(pid) {
            self.far.remove(link.from, &link.relation, link.to);
        }
        self.views.end(pid);
        let space = self.spaces.remove(&pid)?;
        self.gone.insert(pid, space.last);
        Some(space)
    }

    pub(crate) fn drop_space(&mut self, pid: Pid) {
        if let Some(space) = self.take_space(pid) {
            let named = space.made_here().filter(|kept| kept.name_in(pid).is_some());
            named.for_each(|kept| self.names.unbind(&kept.info));
        }
    }
}
