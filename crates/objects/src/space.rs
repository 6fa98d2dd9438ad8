//! Spaces: the objects of one process and the links among them, as persistent maps.
//!
//! A copy of a space shares everything with it, and each pays for what it changes. That works
//! because what is inside a space is written relative to it: an object that was written in `p3` and
//! was made from `obj-3.1` was, in a copy that belongs to `p9`, made from `obj-9.1`.

mod snapshot;

use std::{ops::Deref, sync::Arc};

use imbl::{OrdMap, OrdSet, Vector, ordmap::DiffItem};
use libos_abi::{Json, ObjectId, Pid, object::ObjectInfo};
use serde::Serialize;

pub(crate) use self::snapshot::{Loader, Writer};

/// An object with its payload, which may be a reference to a blob and is never looked into.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kept {
    /// As its *home* shows it, the space it was last written in. Ids of the home mean objects of
    /// whatever space holds this; elsewhere its own id, owner and name are not these.
    pub(crate) info: ObjectInfo,
    pub(crate) payload: Json,
    pub(crate) appended: Vector<Json>,
}

impl Kept {
    /// An object at home in the space of its id.
    pub(crate) fn new(info: ObjectInfo, payload: Json) -> Self {
        Self { info, payload, appended: Vector::new() }
    }

    /// What it was made from, as `space` shows it.
    pub(crate) fn parents_in(&self, space: Pid) -> impl Iterator<Item = ObjectId> {
        let home = self.info.id.space;
        let here = move |id: &ObjectId| match id.space == home {
            true => ObjectId { space, ..*id },
            false => *id,
        };
        self.info.parents.iter().map(here)
    }

    /// Its name in its namespace, as `space` shows it: a copy has none.
    pub(crate) fn name_in(&self, space: Pid) -> Option<(&Arc<str>, &Arc<str>)> {
        let is_home = self.info.id.space == space;
        self.info.namespace.as_ref().zip(self.info.name.as_ref()).filter(|_| is_home)
    }

    /// It as `space` shows it. Allocates only where its parents have other ids there.
    pub(crate) fn info_in(&self, space: Pid) -> ObjectInfo {
        let mut info = self.info.clone();
        let home = info.id.space;
        if home != space {
            info.id.space = space;
            info.owner = space;
            info.namespace = None;
            info.name = None;
            if info.parents.iter().any(|parent| parent.space == home) {
                info.parents = self.parents_in(space).collect();
            }
        }
        info
    }

    /// Whether it is the same version as another one of the same number in a copy, with the same
    /// content: a memory that came back to a checkpoint gives a version a second time.
    fn is_version_of(&self, other: &Self) -> bool {
        let version = |kept: &Self| (kept.info.version, kept.info.released, kept.info.digest);
        version(self) == version(other)
    }
}

/// An object that several copies of a space may hold. Equal is what has the same version.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Slot(Arc<Kept>);

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.is_version_of(other)
    }
}

impl Deref for Slot {
    type Target = Kept;
    fn deref(&self) -> &Kept {
        &self.0
    }
}

/// Links, found from either end.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Links<I: Ord> {
    /// Where it begins, what it says, where it ends.
    pub(crate) out: OrdSet<(I, Arc<str>, I)>,
    /// Where it ends, what it says, where it begins.
    into: OrdSet<(I, Arc<str>, I)>,
}

impl<I: Ord + Copy + Default> Links<I> {
    pub(crate) fn insert(&mut self, from: I, relation: &Arc<str>, to: I) {
        self.out.insert((from, relation.clone(), to));
        self.into.insert((to, relation.clone(), from));
    }

    pub(crate) fn remove(&mut self, from: I, relation: &Arc<str>, to: I) {
        self.out.remove(&(from, relation.clone(), to));
        self.into.remove(&(to, relation.clone(), from));
    }

    pub(crate) fn contains(&self, from: I, relation: &Arc<str>, to: I) -> bool {
        self.out.contains(&(from, relation.clone(), to))
    }

    /// Those that touch what `is_meant` says, which is `first` and some that follow it: `(from,
    /// relation, to)`.
    pub(crate) fn touching(
        &self,
        first: I,
        is_meant: impl Fn(I) -> bool + Copy,
    ) -> impl Iterator<Item = (I, &Arc<str>, I)> {
        let start = || (first, Arc::from(""), I::default())..;
        let out = self.out.range(start()).take_while(move |(from, ..)| is_meant(*from));
        let into = self.into.range(start()).take_while(move |(to, ..)| is_meant(*to));
        // What both begins and ends there was seen by its beginning.
        let into = into.filter(move |(.., from)| !is_meant(*from));
        out.map(|(from, relation, to)| (*from, relation, *to))
            .chain(into.map(|(to, relation, from)| (*from, relation, *to)))
    }

    /// Those that begin at `from`: what they say and where they end.
    pub(crate) fn out_of(&self, from: I) -> impl Iterator<Item = I> {
        let range = self.out.range((from, Arc::from(""), I::default())..);
        range.take_while(move |(first, ..)| *first == from).map(|(.., to)| *to)
    }
}

/// What a space was copied from: the state at that moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Base {
    /// Whose memory.
    pub(crate) of: Pid,
    pub(crate) objects: OrdMap<u64, Slot>,
    /// The links in it, as in [`Links::out`].
    pub(crate) links: OrdSet<(u64, Arc<str>, u64)>,
}

/// The memory of one process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Space {
    pub(crate) pid: Pid,
    /// The last number given; numbers are never given twice.
    pub(crate) last: u64,
    pub(crate) objects: OrdMap<u64, Slot>,
    /// The links among its own objects.
    pub(crate) links: Links<u64>,
    pub(crate) base: Option<Base>,
}

impl Space {
    /// An empty memory that goes on after the number `last`.
    pub(crate) fn new(pid: Pid, last: u64) -> Self {
        let (objects, links) = (OrdMap::new(), Links::default());
        Self { pid, last, objects, links, base: None }
    }

    /// A copy for another process. O(1).
    pub(crate) fn copy_for(&self, pid: Pid) -> Self {
        let base =
            Base { of: self.pid, objects: self.objects.clone(), links: self.links.out.clone() };
        Self { pid, base: Some(base), ..self.clone() }
    }

    /// The objects that it was not copied with. Costs what has changed since.
    pub(crate) fn made_here(&self) -> impl Iterator<Item = &Kept> {
        let base = self.base.as_ref().map(|base| &base.objects);
        let copied = base.map(|base| base.diff(&self.objects)).into_iter().flatten();
        let copied = copied.filter_map(|change| match change {
            DiffItem::Add(_, slot) => Some(&**slot),
            _ => None,
        });
        let all = self.objects.values().filter(move |_| base.is_none());
        copied.chain(all.map(|slot| &**slot))
    }

    /// Puts an object at home here in its place.
    pub(crate) fn put(&mut self, kept: Kept) {
        let number = kept.info.id.number;
        self.last = self.last.max(number);
        self.objects.insert(number, Slot(Arc::new(kept)));
    }

    /// Changes an object, which is at home here from then on.
    pub(crate) fn edit(&mut self, number: u64, change: impl FnOnce(&mut Kept)) {
        if let Some(Slot(kept)) = self.objects.get_mut(&number) {
            let kept = Arc::make_mut(kept);
            if kept.info.id.space != self.pid {
                kept.info = kept.info_in(self.pid);
            }
            change(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use libos_abi::Digest;

    use super::*;

    fn space_of(count: u64) -> Space {
        let mut space = Space::new(Pid(1), 0);
        for number in 1..=count {
            let info = ObjectInfo {
                id: ObjectId { space: Pid(1), number },
                r#type: "part".into(),
                version: 1,
                digest: Digest::default(),
                bytes: 4,
                owner: Pid(1),
                namespace: None,
                name: None,
                parents: [].into(),
                created_at_ms: 0,
                updated_at_ms: 0,
                tags: [].into(),
                immutable: false,
                released: false,
            };
            space.put(Kept::new(info, Json::default()));
        }
        space
    }

    #[test]
    fn a_copy_shares_every_object_until_it_is_changed() {
        let space = space_of(10_000);
        let mut copy = space.copy_for(Pid(2));
        assert!(copy.objects.ptr_eq(&space.objects));
        copy.edit(5_000, |kept| kept.info.version += 1);
        let both = space.objects.values().zip(copy.objects.values());
        assert_eq!(both.filter(|(a, b)| !Arc::ptr_eq(&a.0, &b.0)).count(), 1);
        assert_eq!(space.objects[&5_000].info.version, 1);
        let changed: Vec<u64> = space
            .objects
            .diff(&copy.objects)
            .map(|change| match change {
                DiffItem::Add(number, _) | DiffItem::Remove(number, _) => *number,
                DiffItem::Update { new: (number, _), .. } => *number,
            })
            .collect();
        assert_eq!(changed, [5_000]);
    }

    thread_local! {
        static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    #[derive(Clone)]
    struct Counted(u64);

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }

    #[test]
    fn a_comparison_looks_at_little_more_than_what_changed() {
        let compared = |count: u64, changes: u64| {
            let base: OrdMap<u64, Counted> = (0..count).map(|n| (n, Counted(0))).collect();
            let mut copy = base.clone();
            for n in 1..=changes {
                copy.insert(n * count / (changes + 1), Counted(1));
                copy.insert(count + n, Counted(1));
            }
            COMPARED.set(0);
            assert_eq!(base.diff(&copy).count() as u64, 2 * changes);
            COMPARED.get()
        };
        let (small, large) = (compared(1_000, 1), compared(1_000_000, 1));
        assert!(large < 4 * small, "{small} and {large}");
        assert!(compared(1_000_000, 100) < 110 * large);
    }
}
