//! Where capabilities are kept, and how they are found by subject and resource.
//!
//! A capability stands in a row. A [`Subject`] lists its rows, sorted by a hash of the text of
//! their patterns without the star. Every pattern that covers a resource has a text that is the
//! resource, or the part of it before a `/` or `:`. So to find them all is to look up each such
//! part, and the number of capabilities does not matter.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    ops::Bound,
    sync::Arc,
};

use libos_abi::{CapId, Effect, Few, GrantSpec, Pattern, Right, Rights};
use rustc_hash::FxHasher;

use crate::{
    bounds::Bounds,
    cap::{Cap, Terms, base},
};

/// Rows of capabilities. Those that become free are taken again.
#[derive(Default)]
pub(crate) struct Rows {
    rows: Vec<Option<Cap>>,
    free: Vec<u32>,
    by_id: BTreeMap<CapId, u32>,
}

impl Rows {
    pub(crate) fn at(&self, row: u32) -> Option<&Cap> {
        self.rows.get(row as usize)?.as_ref()
    }

    pub(crate) fn get(&self, id: CapId) -> Option<&Cap> {
        self.at(*self.by_id.get(&id)?)
    }

    pub(crate) fn get_mut(&mut self, id: CapId) -> Option<&mut Cap> {
        let row = *self.by_id.get(&id)?;
        self.rows.get_mut(row as usize)?.as_mut()
    }

    pub(crate) fn insert(&mut self, cap: Cap) -> u32 {
        let next = u32::try_from(self.rows.len()).expect("memory holds fewer than 2^32 rows");
        let row = self.free.pop().unwrap_or(next);
        self.by_id.insert(cap.id, row);
        match self.rows.get_mut(row as usize) {
            Some(place) => *place = Some(cap),
            None => self.rows.push(Some(cap)),
        }
        row
    }

    pub(crate) fn remove(&mut self, id: CapId) -> Option<(u32, Cap)> {
        let row = self.by_id.remove(&id)?;
        let cap = self.rows.get_mut(row as usize)?.take()?;
        self.free.push(row);
        Some((row, cap))
    }

    /// All behind `after`, in the order of ids.
    pub(crate) fn after(&self, after: CapId) -> impl Iterator<Item = &Cap> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        self.by_id.range(behind).filter_map(|(_, row)| self.at(*row))
    }
}

/// The capabilities of one process, and what bounds it.
#[derive(Default)]
pub(crate) struct Subject {
    /// Which lengths, modulo 64, the texts of its patterns have or had: most parts of a resource
    /// are ruled out by this without a look-up.
    lengths: u64,
    /// Sorted by hash.
    entries: Few<Entry>,
    /// What bounds it.
    pub(crate) bounds: Option<Arc<Bounds>>,
}

/// One capability in the list of its subject: enough to pass it by without a look at its row.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    row: u32,
    /// None for an approval: no need finds it, so it cannot act alone.
    rights: Rights,
    restricts: bool,
}

impl Subject {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to know of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.bounds.is_none()
    }

    pub(crate) fn insert(&mut self, cap: &Cap, row: u32) {
        let text = base(&cap.on);
        let approval = cap.binding().is_some();
        if !approval {
            self.lengths |= 1 << (text.len() % 64);
        }
        let hash = hash(text.as_bytes());
        let at = self.find(hash);
        self.entries.push(Entry {
            hash,
            row,
            rights: if approval { Rights::default() } else { cap.terms.rights },
            restricts: cap.terms.effect != Effect::Allow,
        });
        self.entries[at..].rotate_right(1);
    }

    pub(crate) fn remove(&mut self, row: u32) {
        self.entries = self.entries.iter().copied().filter(|entry| entry.row != row).collect();
    }

    /// Every capability, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.row)
    }

    /// Every deny and ask, in no order.
    pub(crate) fn restrictions(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().filter(|entry| entry.restricts).map(|entry| entry.row)
    }

    /// Calls `visit` with every capability that has `right` and whose text may be `path`, or the
    /// part of it before a separator: each that covers it, once, and maybe others.
    pub(crate) fn each_above<'t>(
        &self,
        rows: &'t Rows,
        right: Right,
        path: &str,
        mut visit: impl FnMut(&'t Cap),
    ) {
        let path = path.as_bytes();
        let mut lengths = self.lengths;
        while lengths != 0 {
            let mut end = lengths.trailing_zeros() as usize;
            lengths &= lengths - 1;
            while end <= path.len() {
                if path.get(end).is_none_or(|byte| matches!(byte, b'/' | b':')) {
                    self.each_with(rows, right, &path[..end], &mut visit);
                }
                end += 64;
            }
        }
    }

    /// Where entries of this hash begin. Hashes are spread evenly, so it is near where it would be
    /// if they were spread quite evenly.
    fn find(&self, hash: u32) -> usize {
        let entries = &*self.entries;
        let mut at = ((u64::from(hash) * entries.len() as u64) >> 32) as usize;
        while at > 0 && entries[at - 1].hash >= hash {
            at -= 1;
        }
        while entries.get(at).is_some_and(|entry| entry.hash < hash) {
            at += 1;
        }
        at
    }

    fn each_with<'t>(
        &self,
        rows: &'t Rows,
        right: Right,
        text: &[u8],
        visit: &mut impl FnMut(&'t Cap),
    ) {
        let hash = hash(text);
        for entry in self.entries[self.find(hash)..].iter().take_while(|entry| entry.hash == hash) {
            if entry.rights.contains(right)
                && let Some(cap) = rows.at(entry.row)
                && base(&cap.on).len() == text.len()
            {
                visit(cap);
            }
        }
    }
}

/// Not keyed: a process that makes texts collide slows down its own decisions only, and at most to
/// a walk over the capabilities one subject may hold.
fn hash(text: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    folded(&hasher)
}

fn folded(hasher: &FxHasher) -> u32 {
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

/// What was made last, to be shared by what is made next and is the same. It forgets by itself, so
/// it costs the same however much there is.
pub(crate) struct Shared<T> {
    places: Vec<Option<T>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T: Clone> Shared<T> {
    const PLACES: usize = 256;

    /// One that `is` the same, or `make`s it.
    pub(crate) fn get(&mut self, key: u32, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> T {
        if self.places.is_empty() {
            self.places.resize(Self::PLACES, None);
        }
        let place = &mut self.places[key as usize % Self::PLACES];
        match place {
            Some(there) if is(there) => there.clone(),
            _ => place.insert(make()).clone(),
        }
    }
}

impl Shared<Pattern> {
    /// The same pattern; a long one shares its text.
    pub(crate) fn pattern(&mut self, pattern: &Pattern) -> Pattern {
        self.get(hash(pattern.as_str().as_bytes()), |it| it == pattern, || pattern.clone())
    }
}

impl Shared<Arc<Terms>> {
    /// The terms of `grant`.
    pub(crate) fn terms(&mut self, grant: &GrantSpec) -> Arc<Terms> {
        let mut hasher = FxHasher::default();
        let GrantSpec { effect, rights, uses, delegable, calls_max, when, .. } = grant;
        (effect, rights, uses, delegable, calls_max, when.0.len()).hash(&mut hasher);
        self.get(folded(&hasher), |it| it.are_of(grant), || Arc::new(Terms::of(grant)))
    }
}
