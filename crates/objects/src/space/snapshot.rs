//! Spaces as bytes. A space is written as what differs from one that was written before it, so
//! that copies go on to share what they share: in the bytes and, once they are read, in memory.

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet, ordmap, ordset};
use libos_abi::{
    Json, Pid,
    object::ObjectInfo,
    wire::{self, Reader, WireError},
};
use libos_port::BadSnapshot;

use super::{Base, Kept, Links, Slot, Space};

/// What a state is written on top of.
type On = Option<(Pid, bool)>;

/// Whether it is the state that the space was copied from, or that of the space now.
const COPIED_FROM: bool = true;

/// The objects and links at one moment.
#[derive(Clone, Default)]
struct State {
    objects: OrdMap<u64, Slot>,
    links: Links<u64>,
}

type SavedLink = (u64, Arc<str>, u64);
type SavedObject = (u64, ObjectInfo, Json, Vec<Json>);

/// Writes what leads from one moment to another.
fn save_change(
    from: (&OrdMap<u64, Slot>, &OrdSet<SavedLink>),
    to: (&OrdMap<u64, Slot>, &OrdSet<SavedLink>),
    out: &mut Vec<u8>,
) {
    let removed = from.0.diff(to.0).filter_map(|change| match change {
        ordmap::DiffItem::Remove(number, _) => Some(number),
        _ => None,
    });
    wire::encode_each(removed, out);
    let put = from.0.diff(to.0).filter_map(|change| match change {
        ordmap::DiffItem::Add(number, slot) => Some((number, slot)),
        ordmap::DiffItem::Update { new, .. } => Some(new),
        ordmap::DiffItem::Remove(..) => None,
    });
    let put = put.map(|(number, slot)| {
        let Kept { info, payload, appended } = &**slot;
        (number, info, payload, appended.iter().collect::<Vec<&Json>>())
    });
    wire::encode_each(put, out);
    let links = from.1.diff(to.1).map(|change| match change {
        ordset::DiffItem::Add((from, relation, to)) => (true, from, relation, to),
        ordset::DiffItem::Remove((from, relation, to)) => (false, from, relation, to),
    });
    wire::encode_each(links, out);
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

/// Writes every space.
pub(crate) fn save(spaces: &OrdMap<Pid, Arc<Space>>, out: &mut Vec<u8>) {
    let (no_objects, no_links) = (OrdMap::new(), OrdSet::new());
    let mut last_copied: BTreeMap<Pid, Pid> = BTreeMap::new();
    wire::encode_into(&(spaces.len() as u64), out);
    for (pid, space) in spaces {
        let Space { pid: of_space, last, objects, links, base } = &**space;
        wire::encode_into(&(pid, of_space, last), out);
        wire::encode_into(&base.as_ref().map(|base| base.of), out);
        let mut below = (&no_objects, &no_links);
        if let Some(base) = base {
            let Base { of, objects, links } = base;
            let on: On = match last_copied.insert(*of, *pid) {
                Some(sibling) => Some((sibling, COPIED_FROM)),
                None => Some((*of, !COPIED_FROM)).filter(|_| of < pid && spaces.contains_key(of)),
            };
            wire::encode_into(&on, out);
            if let Some(on) = on.and_then(|(pid, which)| Some((spaces.get(&pid)?, which))) {
                below = match (&on.0.base, on.1) {
                    (Some(base), COPIED_FROM) => (&base.objects, &base.links),
                    _ => (&on.0.objects, &on.0.links.out),
                };
            }
            save_change(below, (objects, links), out);
            below = (objects, links);
        }
        save_change(below, (objects, &links.out), out);
    }
}

/// Reads every space.
pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<OrdMap<Pid, Arc<Space>>, BadSnapshot> {
    let mut spaces = OrdMap::new();
    let mut copied: BTreeMap<Pid, State> = BTreeMap::new();
    for _ in 0..bytes.read::<u64>()? {
        let (under, pid, last): (Pid, Pid, u64) = bytes.read()?;
        let (mut state, mut base) = (State::default(), None);
        if let Some(of) = bytes.read::<Option<Pid>>()? {
            if let Some(on) = bytes.read::<On>()? {
                state = below(&spaces, &copied, on)
                    .ok_or_else(|| WireError::new("a space on top of one that is not there"))?;
            }
            state.load_change(bytes)?;
            let (objects, links) = (state.objects.clone(), state.links.out.clone());
            base = Some(Base { of, objects, links });
            copied.insert(under, state.clone());
        }
        state.load_change(bytes)?;
        let State { objects, links } = state;
        spaces.insert(under, Arc::new(Space { pid, last, objects, links, base }));
    }
    Ok(spaces)
}

fn below(
    spaces: &OrdMap<Pid, Arc<Space>>,
    copied: &BTreeMap<Pid, State>,
    (pid, which): (Pid, bool),
) -> Option<State> {
    match which {
        COPIED_FROM => copied.get(&pid).cloned(),
        _ => spaces
            .get(&pid)
            .map(|space| State { objects: space.objects.clone(), links: space.links.clone() }),
    }
}
