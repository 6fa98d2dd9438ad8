//! A naive model of Object Memory: a copy copies everything at once, a merge compares everything,
//! and every id is written out.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{ObjectId, Pid, process::OnConflict};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) version: u64,
    pub(crate) released: bool,
    pub(crate) payload: String,
    pub(crate) appended: Vec<String>,
    pub(crate) parents: Vec<ObjectId>,
    pub(crate) name: Option<String>,
    pub(crate) changed_ms: u64,
}

pub(crate) type Relation = (ObjectId, &'static str, ObjectId);

/// What a space was when it was copied.
#[derive(Debug, Clone)]
pub(crate) struct Was {
    of: u64,
    things: BTreeMap<u64, Thing>,
    links: BTreeSet<(u64, &'static str, u64)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Space {
    pub(crate) last: u64,
    pub(crate) things: BTreeMap<u64, Thing>,
    pub(crate) was: Option<Was>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) spaces: BTreeMap<u64, Space>,
    pub(crate) links: BTreeSet<Relation>,
    /// The last number given in each space that is not there, of a process that lives.
    pub(crate) gone: BTreeMap<u64, u64>,
    /// The parent of each process that has not ended.
    pub(crate) parents: BTreeMap<u64, u64>,
    pub(crate) processes: u64,
    pub(crate) now_ms: u64,
}

fn id(space: u64, number: u64) -> ObjectId {
    ObjectId::new(space, number)
}

impl Model {
    pub(crate) fn ids(&self) -> Vec<ObjectId> {
        let ids = self.spaces.iter();
        ids.flat_map(|(pid, space)| space.things.keys().map(|n| id(*pid, *n))).collect()
    }

    pub(crate) fn thing(&mut self, at: ObjectId) -> &mut Thing {
        self.spaces.get_mut(&at.space.0).unwrap().things.get_mut(&at.number).unwrap()
    }

    pub(crate) fn has(&self, at: ObjectId) -> bool {
        self.spaces.get(&at.space.0).is_some_and(|space| space.things.contains_key(&at.number))
    }

    pub(crate) fn add(&mut self, pid: u64, thing: Thing) -> ObjectId {
        let gone = &mut self.gone;
        let make = || Space { last: gone.remove(&pid).unwrap_or_default(), ..Space::default() };
        let space = self.spaces.entry(pid).or_insert_with(make);
        space.last += 1;
        space.things.insert(space.last, thing);
        id(pid, space.last)
    }

    pub(crate) fn remove(&mut self, at: ObjectId) -> Thing {
        self.links.retain(|(from, _, to)| *from != at && *to != at);
        self.spaces.get_mut(&at.space.0).unwrap().things.remove(&at.number).unwrap()
    }

    fn inner_links(&self, pid: u64) -> BTreeSet<(u64, &'static str, u64)> {
        let inner =
            self.links.iter().filter(|(from, _, to)| (from.space.0, to.space.0) == (pid, pid));
        inner.map(|(from, relation, to)| (from.number, *relation, to.number)).collect()
    }

    pub(crate) fn fork(&mut self, from: u64, to: u64) {
        let mut space = self.spaces.get(&from).cloned().unwrap_or_default();
        let links = self.inner_links(from);
        space.was = Some(Was { of: from, things: space.things.clone(), links: links.clone() });
        for thing in space.things.values_mut() {
            thing.name = None;
            let inside = thing.parents.iter_mut().filter(|parent| parent.space.0 == from);
            inside.for_each(|parent| parent.space = Pid(to));
        }
        self.spaces.insert(to, space);
        self.links.extend(links.iter().map(|(a, relation, b)| (id(to, *a), *relation, id(to, *b))));
        self.parents.insert(to, from);
    }

    pub(crate) fn transfer(&mut self, at: ObjectId, to: u64) {
        let touching: Vec<Relation> =
            self.links.iter().filter(|(a, _, b)| *a == at || *b == at).copied().collect();
        let thing = Thing { changed_ms: self.now_ms, ..self.remove(at) };
        let there = self.add(to, thing);
        let moved = |end: ObjectId| if end == at { there } else { end };
        self.links.extend(touching.into_iter().map(|(a, r, b)| (moved(a), r, moved(b))));
    }

    /// Nothing, when it is refused.
    pub(crate) fn merge(&mut self, from: u64, into: u64, how: OnConflict) -> Option<()> {
        let before = self.clone();
        let child = self.spaces.get(&from).cloned()?;
        let was = child.was.clone().filter(|was| was.of == into);
        let was = was.unwrap_or(Was { of: into, things: BTreeMap::new(), links: BTreeSet::new() });
        let version = |thing: Option<&Thing>| {
            let content = |thing: &Thing| (thing.payload.clone(), thing.appended.clone());
            thing.map(|thing| (thing.version, thing.released, content(thing)))
        };
        let mut fresh: BTreeMap<u64, u64> = BTreeMap::new();
        let all: BTreeSet<u64> = was.things.keys().chain(child.things.keys()).copied().collect();
        let mut taken: Vec<(u64, Option<ObjectId>)> = Vec::new();
        for n in all {
            let (then, mine) = (was.things.get(&n), child.things.get(&n));
            if version(then) == version(mine) {
                continue;
            }
            let theirs = self.spaces.get(&into).and_then(|space| space.things.get(&n));
            let theirs = theirs.filter(|_| then.is_some()).cloned();
            if mine.is_none() && theirs.is_none() {
                continue;
            }
            if version(theirs.as_ref()) != version(then) {
                match how {
                    OnConflict::Fail => {
                        *self = before;
                        return None;
                    }
                    OnConflict::Parent => continue,
                    OnConflict::Child => {}
                }
            }
            match (mine, theirs) {
                (None, _) => taken.push((n, None)),
                (Some(mine), Some(theirs)) => {
                    let (version, name) = (theirs.version + 1, theirs.name);
                    *self.thing(id(into, n)) = Thing { version, name, ..mine.clone() };
                    taken.push((n, Some(id(into, n))));
                }
                (Some(mine), None) => {
                    let there = self.add(into, mine.clone());
                    fresh.insert(n, there.number);
                    taken.push((n, Some(there)));
                }
            }
        }
        let number = |n: u64| fresh.get(&n).copied().unwrap_or(n);
        let there = |end: ObjectId| match end.space.0 == from {
            true if fresh.contains_key(&end.number) || was.things.contains_key(&end.number) => {
                id(into, number(end.number))
            }
            _ => end,
        };
        let now_ms = self.now_ms;
        for (n, at) in &taken {
            match at {
                None => drop(self.remove(id(into, *n))),
                Some(at) => {
                    let thing = self.thing(*at);
                    thing.changed_ms = now_ms;
                    thing.parents.iter_mut().for_each(|parent| *parent = there(*parent));
                }
            }
        }
        let mine = self.inner_links(from);
        let back = |n: &u64| fresh.contains_key(n) && was.things.contains_key(n);
        let come_back = mine.iter().filter(|(a, _, b)| back(a) || back(b));
        let mut new: Vec<Relation> = (mine.difference(&was.links).chain(come_back))
            .map(|(a, relation, b)| (id(into, number(*a)), *relation, id(into, number(*b))))
            .collect();
        for (a, relation, b) in was.links.difference(&mine) {
            if child.things.contains_key(a) && child.things.contains_key(b) {
                self.links.remove(&(id(into, number(*a)), *relation, id(into, number(*b))));
            }
        }
        let outer = |end: &ObjectId| end.space.0 == from;
        let far = self.links.iter().filter(|(a, _, b)| outer(a) != outer(b));
        new.extend(far.map(|(a, relation, b)| (there(*a), *relation, there(*b))));
        self.end(from);
        for (a, relation, b) in new {
            if a != b && self.has(a) && self.has(b) {
                self.links.insert((a, relation, b));
            }
        }
        Some(())
    }

    pub(crate) fn end(&mut self, pid: u64) {
        self.spaces.remove(&pid);
        self.links.retain(|(a, _, b)| a.space.0 != pid && b.space.0 != pid);
        self.parents.remove(&pid);
        self.parents.retain(|_, parent| *parent != pid);
    }
}
