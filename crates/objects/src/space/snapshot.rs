//! Spaces as bytes. A space is written as what differs from one that was written before it, so
//! that copies go on to share what they share: in the bytes and, once they are read, in memory.

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet, ordset};
use libos_abi::{
    Json, Pid,
    object::ObjectInfo,
    wire::{self, Reader, WireError},
};
use libos_port::BadSnapshot;

use super::{Base, Kept, Links, Slot, Space};

/// What a state is written on top of: the space with this number, and which of its states.
type On = Option<(u64, bool)>;

/// Whether it is the state that the space was copied from, or the one it has.
const COPIED_FROM: bool = true;

type SavedLink = (u64, Arc<str>, u64);
type SavedObject = (u64, ObjectInfo, Json, Vec<Json>);

/// The objects and links at one moment, as they are written.
type Moment<'a> = (&'a OrdMap<u64, Slot>, &'a OrdSet<SavedLink>);

/// What differs between two states: what is no longer there, and what is there now. Objects are
/// the same if they are one; whether two are alike costs more than to write one of them.
fn changes<'a>(
    from: &'a OrdMap<u64, Slot>,
    to: &'a OrdMap<u64, Slot>,
) -> (Vec<u64>, Vec<(u64, &'a Kept)>) {
    let (mut removed, mut put) = (Vec::new(), Vec::new());
    if from.ptr_eq(to) {
        return (removed, put);
    }
    let mut old = from.iter().peekable();
    for (number, slot) in to {
        while let Some((gone, _)) = old.next_if(|(old, _)| *old < number) {
            removed.push(*gone);
        }
        let before = old.next_if(|(old, _)| *old == number);
        if before.is_none_or(|(_, before)| !Arc::ptr_eq(&before.0, &slot.0)) {
            put.push((*number, &**slot));
        }
    }
    removed.extend(old.map(|(gone, _)| *gone));
    (removed, put)
}

/// Writes what leads from one moment to another.
fn save_change(from: Moment<'_>, to: Moment<'_>, out: &mut Vec<u8>) {
    let (removed, put) = changes(from.0, to.0);
    wire::encode_each(&removed, out);
    let put = put.iter().map(|(number, Kept { info, payload, appended })| {
        (number, info, payload, appended.iter().collect::<Vec<&Json>>())
    });
    wire::encode_each(put, out);
    let links = from.1.diff(to.1).map(|change| match change {
        ordset::DiffItem::Add((from, relation, to)) => (true, from, relation, to),
        ordset::DiffItem::Remove((from, relation, to)) => (false, from, relation, to),
    });
    wire::encode_each(links, out);
}

/// The objects and links at one moment, as they are read.
#[derive(Clone, Default)]
struct State {
    objects: OrdMap<u64, Slot>,
    links: Links<u64>,
}

impl State {
    /// Goes on to the next moment.
    fn load_change(&mut self, bytes: &mut Reader<'_>) -> Result<(), BadSnapshot> {
        bytes.each(|number: u64| {
            self.objects.remove(&number);
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(number, info, payload, appended): SavedObject| {
            let kept = Kept { info, payload, appended: appended.into_iter().collect() };
            self.objects.insert(number, Slot(Arc::new(kept)));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(is_there, from, relation, to): (bool, u64, Arc<str>, u64)| {
            match is_there {
                true => self.links.insert(from, &relation, to),
                false => self.links.remove(from, &relation, to),
            }
            Ok::<(), BadSnapshot>(())
        })
    }
}

/// Writes spaces one after the other, and knows those it has written.
#[derive(Default)]
pub(crate) struct Writer<'a> {
    written: Vec<&'a Space>,
    numbers: BTreeMap<*const Space, u64>,
    /// The last one written of each process.
    of: BTreeMap<Pid, u64>,
    /// The last one written that was copied from each process.
    copied_from: BTreeMap<Pid, u64>,
}

impl<'a> Writer<'a> {
    pub(crate) fn save(&mut self, space: &'a Arc<Space>, out: &mut Vec<u8>) {
        let known = self.numbers.get(&Arc::as_ptr(space));
        wire::encode_into(&known, out);
        if known.is_some() {
            return;
        }
        let Space { pid, last, objects, links, base } = &**space;
        wire::encode_into(&(pid, last, base.as_ref().map(|base| base.of)), out);
        let (no_objects, no_links) = (OrdMap::new(), OrdSet::new());
        let mut below = (&no_objects, &no_links);
        if let Some(Base { of, objects, links }) = base {
            let sibling = self.copied_from.get(of).map(|number| (*number, COPIED_FROM));
            let on: On = sibling.or_else(|| Some((*self.of.get(of)?, !COPIED_FROM)));
            wire::encode_into(&on, out);
            let from = on.and_then(|on| self.moment(on)).unwrap_or(below);
            save_change(from, (objects, links), out);
            below = (objects, links);
        }
        let on: On = self.of.get(pid).map(|number| (*number, !COPIED_FROM));
        wire::encode_into(&on, out);
        let from = on.and_then(|on| self.moment(on)).unwrap_or(below);
        save_change(from, (objects, &links.out), out);
        self.remember(space);
    }

    fn moment(&self, (number, which): (u64, bool)) -> Option<Moment<'a>> {
        let space = *self.written.get(usize::try_from(number).ok()?)?;
        match which {
            COPIED_FROM => space.base.as_ref().map(|base| (&base.objects, &base.links)),
            _ => Some((&space.objects, &space.links.out)),
        }
    }

    fn remember(&mut self, space: &'a Arc<Space>) {
        let number = self.written.len() as u64;
        self.written.push(space);
        self.numbers.insert(Arc::as_ptr(space), number);
        self.of.insert(space.pid, number);
        if let Some(base) = &space.base {
            self.copied_from.insert(base.of, number);
        }
    }
}

/// Reads spaces one after the other, and knows those it has read.
#[derive(Default)]
pub(crate) struct Loader {
    read: Vec<Arc<Space>>,
    /// What each was copied from.
    copied_from: Vec<Option<State>>,
}

impl Loader {
    pub(crate) fn load(&mut self, bytes: &mut Reader<'_>) -> Result<Arc<Space>, BadSnapshot> {
        let none = || WireError::new("a space on top of one that is not there");
        if let Some(known) = bytes.read::<Option<u64>>()? {
            let space = usize::try_from(known).ok().and_then(|known| self.read.get(known));
            return Ok(space.cloned().ok_or_else(none)?);
        }
        let (pid, last, of): (Pid, u64, Option<Pid>) = bytes.read()?;
        let (mut base, mut copied_from) = (None, None);
        if let Some(of) = of {
            let mut state = match bytes.read::<On>()? {
                Some(on) => self.state(on).ok_or_else(none)?,
                None => State::default(),
            };
            state.load_change(bytes)?;
            let (objects, links) = (state.objects.clone(), state.links.out.clone());
            base = Some(Base { of, objects, links });
            copied_from = Some(state);
        }
        let mut state = match bytes.read::<On>()? {
            Some(on) => self.state(on).ok_or_else(none)?,
            None => copied_from.clone().unwrap_or_default(),
        };
        state.load_change(bytes)?;
        let State { objects, links } = state;
        let space = Arc::new(Space { pid, last, objects, links, base });
        self.read.push(Arc::clone(&space));
        self.copied_from.push(copied_from);
        Ok(space)
    }

    fn state(&self, (number, which): (u64, bool)) -> Option<State> {
        let number = usize::try_from(number).ok()?;
        match which {
            COPIED_FROM => self.copied_from.get(number)?.clone(),
            _ => {
                let Space { objects, links, .. } = &**self.read.get(number)?;
                Some(State { objects: objects.clone(), links: links.clone() })
            }
        }
    }
}
