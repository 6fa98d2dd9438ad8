//! Object Memory against a naive model of it, in which a copy copies everything at once, a merge
//! compares everything, and every id is written out.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{
    Json, ObjectId, Pid, Syscall, namespace,
    object::{Create, Delete, DropSpace, Link, List, ListLinks, ObjectInfo, Read, Release, Unlink},
    process::OnConflict,
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    make::{Memory, append, create, fork, link, merge, transfer, update},
    rig::{host, process},
};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Thing {
    version: u64,
    released: bool,
    payload: String,
    appended: Vec<String>,
    parents: Vec<ObjectId>,
    name: Option<String>,
    changed_ms: u64,
}

type Relation = (ObjectId, &'static str, ObjectId);

/// What a space was when it was copied.
#[derive(Debug, Clone)]
struct Was {
    of: u64,
    things: BTreeMap<u64, Thing>,
    links: BTreeSet<(u64, &'static str, u64)>,
}

#[derive(Debug, Clone, Default)]
struct Space {
    last: u64,
    things: BTreeMap<u64, Thing>,
    was: Option<Was>,
}

#[derive(Debug, Clone, Default)]
struct Model {
    spaces: BTreeMap<u64, Space>,
    links: BTreeSet<Relation>,
    /// The parent of each process that has not ended.
    parents: BTreeMap<u64, u64>,
    processes: u64,
    now_ms: u64,
}

fn id(space: u64, number: u64) -> ObjectId {
    ObjectId::new(space, number)
}

impl Model {
    fn ids(&self) -> Vec<ObjectId> {
        let ids = self.spaces.iter();
        ids.flat_map(|(pid, space)| space.things.keys().map(|n| id(*pid, *n))).collect()
    }

    fn thing(&mut self, at: ObjectId) -> &mut Thing {
        self.spaces.get_mut(&at.space.0).unwrap().things.get_mut(&at.number).unwrap()
    }

    fn has(&self, at: ObjectId) -> bool {
        self.spaces.get(&at.space.0).is_some_and(|space| space.things.contains_key(&at.number))
    }

    fn add(&mut self, pid: u64, thing: Thing) -> ObjectId {
        let space = self.spaces.entry(pid).or_default();
        space.last += 1;
        space.things.insert(space.last, thing);
        id(pid, space.last)
    }

    fn remove(&mut self, at: ObjectId) -> Thing {
        self.links.retain(|(from, _, to)| *from != at && *to != at);
        self.spaces.get_mut(&at.space.0).unwrap().things.remove(&at.number).unwrap()
    }

    fn inner_links(&self, pid: u64) -> BTreeSet<(u64, &'static str, u64)> {
        let inner =
            self.links.iter().filter(|(from, _, to)| (from.space.0, to.space.0) == (pid, pid));
        inner.map(|(from, relation, to)| (from.number, *relation, to.number)).collect()
    }

    fn fork(&mut self, from: u64, to: u64) {
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

    fn transfer(&mut self, at: ObjectId, to: u64) {
        let touching: Vec<Relation> =
            self.links.iter().filter(|(a, _, b)| *a == at || *b == at).copied().collect();
        let thing = Thing { changed_ms: self.now_ms, ..self.remove(at) };
        let there = self.add(to, thing);
        let moved = |end: ObjectId| if end == at { there } else { end };
        self.links.extend(touching.into_iter().map(|(a, r, b)| (moved(a), r, moved(b))));
    }

    /// Nothing, when it is refused.
    fn merge(&mut self, from: u64, into: u64, how: OnConflict) -> Option<()> {
        let before = self.clone();
        let child = self.spaces.get(&from).cloned()?;
        let was = child.was.clone().filter(|was| was.of == into);
        let was = was.unwrap_or(Was { of: into, things: BTreeMap::new(), links: BTreeSet::new() });
        let version = |thing: Option<&Thing>| thing.map(|thing| (thing.version, thing.released));
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

    fn end(&mut self, pid: u64) {
        self.spaces.remove(&pid);
        self.links.retain(|(a, _, b)| a.space.0 != pid && b.space.0 != pid);
        self.parents.remove(&pid);
        self.parents.retain(|_, parent| *parent != pid);
    }
}

#[derive(Debug, Clone)]
enum Action {
    /// A process makes an object, of a parent, with a name or not.
    Create(usize, usize, bool),
    Update(usize),
    Append(usize),
    Delete(usize),
    Release(usize),
    Link(usize, usize, bool),
    Unlink(usize),
    Transfer(usize, usize),
    Fork(usize),
    Spawn(usize),
    Merge(usize, OnConflict),
    Drop(usize),
}

fn at() -> impl Strategy<Value = usize> {
    0..1_000_usize
}

fn policies() -> impl Strategy<Value = OnConflict> {
    prop::sample::select(vec![OnConflict::Fail, OnConflict::Child, OnConflict::Parent])
}

fn creations() -> impl Strategy<Value = Action> {
    (at(), at(), any::<bool>()).prop_map(|(who, of, named)| Action::Create(who, of, named))
}

fn links() -> impl Strategy<Value = Action> {
    (at(), at(), any::<bool>()).prop_map(|(a, b, which)| Action::Link(a, b, which))
}

/// Changes of single objects.
fn changes() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => creations(),
        4 => at().prop_map(Action::Update),
        1 => at().prop_map(Action::Append),
        3 => at().prop_map(Action::Delete),
        1 => at().prop_map(Action::Release),
        5 => links(),
        3 => at().prop_map(Action::Unlink),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    let how = policies();
    prop_oneof![
        3 => creations(),
        20 => changes(),
        2 => (at(), at()).prop_map(|(what, to)| Action::Transfer(what, to)),
        4 => at().prop_map(Action::Fork),
        1 => at().prop_map(Action::Spawn),
        4 => (at(), how).prop_map(|(child, how)| Action::Merge(child, how)),
        1 => at().prop_map(Action::Drop),
    ]
}

/// Both, side by side.
struct Pair {
    k: Memory,
    model: Model,
}

impl Pair {
    fn new() -> Self {
        let mut k = Memory::open();
        k.ok(host(), namespace::Create { namespace: "ns".into() });
        let parents = BTreeMap::from([(1, 0)]);
        Self { k, model: Model { processes: 1, parents, ..Model::default() } }
    }

    fn object(&self, at: usize) -> Option<ObjectId> {
        let ids = self.model.ids();
        (!ids.is_empty()).then(|| ids[at % ids.len()])
    }

    fn process(&self, at: usize) -> u64 {
        let living: Vec<u64> = self.model.parents.keys().copied().collect();
        living[at % living.len()]
    }

    /// A process that lives below one that lives.
    fn child(&self, at: usize) -> Option<(u64, u64)> {
        let children = self.model.parents.iter().filter(|(_, parent)| **parent != 0);
        let children: Vec<(u64, u64)> = children.map(|(child, parent)| (*child, *parent)).collect();
        (!children.is_empty()).then(|| children[at % children.len()])
    }

    fn run(&mut self, n: u64, action: &Action) {
        self.model.now_ms += 1;
        self.k.world.now_ms = self.model.now_ms;
        self.act(n, action);
    }

    fn act(&mut self, n: u64, action: &Action) -> Option<()> {
        match action {
            Action::Create(who, of, named) => self.create(n, self.process(*who), *of, *named),
            Action::Update(at) => {
                let at = self.object(*at)?;
                let call = update(at, &json!([n]));
                self.change(at, call.into(), |thing| {
                    thing.payload = format!("[{n}]");
                    thing.appended.clear();
                });
            }
            Action::Append(at) => {
                let at = self.object(*at)?;
                let call = append(at, &json!(n));
                self.change(at, call.into(), |thing| thing.appended.push(n.to_string()));
            }
            Action::Delete(at) => {
                let at = self.object(*at)?;
                self.k.ok(host(), Delete { id: at });
                self.model.remove(at);
            }
            Action::Release(at) => {
                let at = self.object(*at)?;
                self.change(at, Release { id: at }.into(), |thing| {
                    thing.version -= 1;
                    thing.released = true;
                });
            }
            Action::Link(a, b, which) => {
                let (a, b) = (self.object(*a)?, self.object(*b)?);
                let relation = ["cites", "after"][usize::from(*which)];
                if a != b {
                    self.k.ok(host(), link(a, relation, b));
                    self.model.links.insert((a, relation, b));
                }
            }
            Action::Unlink(at) => {
                let links: Vec<Relation> = self.model.links.iter().copied().collect();
                let (from, relation, to) = *links.get(at % links.len().max(1))?;
                self.k.ok(host(), Unlink { from, relation: relation.into(), to });
                self.model.links.remove(&(from, relation, to));
            }
            Action::Transfer(what, to) => {
                let (what, to) = (self.object(*what)?, self.process(*to));
                if what.space.0 != to {
                    self.k.ok(host(), transfer(what, to));
                    self.model.transfer(what, to);
                }
            }
            Action::Fork(from) => {
                let from = self.process(*from);
                self.model.processes += 1;
                self.k.ok(host(), fork(from, self.model.processes));
                self.model.fork(from, self.model.processes);
            }
            Action::Spawn(from) => {
                let from = self.process(*from);
                self.model.processes += 1;
                self.model.parents.insert(self.model.processes, from);
            }
            Action::Merge(at, how) => {
                let (child, parent) = self.child(*at)?;
                self.merge(child, parent, *how);
            }
            Action::Drop(at) => {
                let (child, _) = self.child(*at)?;
                let there = self.model.spaces.get(&child).map_or(0, |space| space.things.len());
                let dropped = self.k.ok(host(), DropSpace { space: Pid(child) });
                assert_eq!(dropped.objects, there as u64);
                self.model.end(child);
            }
        }
        Some(())
    }

    fn create(&mut self, n: u64, pid: u64, of: usize, named: bool) {
        let parents: Vec<ObjectId> = self.object(of).into_iter().collect();
        let name = named.then(|| format!("n{n}"));
        let made = self.k.ok(
            process(pid),
            Create {
                parents: Some(parents.clone()),
                namespace: name.as_ref().map(|_| "ns".into()),
                name: name.clone(),
                ..create("thing", &json!([n]))
            },
        );
        let thing = Thing {
            version: 1,
            released: false,
            payload: format!("[{n}]"),
            appended: Vec::new(),
            parents,
            name,
            changed_ms: self.model.now_ms,
        };
        assert_eq!(self.model.add(pid, thing), made.id);
    }

    /// A change of a payload, which one that was given up refuses.
    fn change(&mut self, at: ObjectId, call: Syscall, change: impl FnOnce(&mut Thing)) {
        let now_ms = self.model.now_ms;
        let thing = self.model.thing(at);
        if thing.released {
            assert_eq!(self.k.refused(host(), call).0, "released");
            return;
        }
        thing.version += 1;
        thing.changed_ms = now_ms;
        change(thing);
        self.k.serve(host(), call).unwrap();
    }

    fn merge(&mut self, child: u64, parent: u64, how: OnConflict) {
        let there = self.model.spaces.contains_key(&child);
        match self.model.merge(child, parent, how) {
            None if there => {
                assert_eq!(self.k.refused(host(), merge(child, parent, how)).0, "version_conflict");
            }
            _ => drop(self.k.ok(host(), merge(child, parent, how))),
        }
    }

    /// That everything that can be seen is the same.
    fn compare(&mut self) {
        let infos = self.k.look(host(), List { r#type: None }).objects;
        let ids: Vec<ObjectId> = infos.iter().map(|info| info.id).collect();
        assert_eq!(ids, self.model.ids());
        let mut names = BTreeMap::new();
        for info in infos {
            let at = info.id;
            if let Some(name) = &info.name {
                names.insert(name.to_string(), at);
            }
            let seen = self.seen(&info);
            assert_eq!(&seen, self.model.thing(at), "{at}");
            let links = self.k.look(host(), ListLinks { id: at }).links;
            let shown = |(from, relation, to): &Relation| Link {
                from: *from,
                relation: (*relation).into(),
                to: *to,
            };
            let wanted = self.model.links.iter().filter(|(a, _, b)| *a == at || *b == at);
            let mut wanted: Vec<Link> = wanted.map(shown).collect();
            wanted.sort();
            assert_eq!(links, wanted, "{at}");
        }
        let entries = self.k.look(host(), namespace::List { namespace: "ns".into() }).entries;
        let entries: BTreeMap<String, ObjectId> =
            entries.into_iter().map(|entry| (entry.name, entry.id)).collect();
        assert_eq!(entries, names);
    }

    fn seen(&mut self, info: &ObjectInfo) -> Thing {
        assert_eq!(info.owner, info.id.space);
        let text = |json: &Json| json.0.as_str().unwrap().to_owned();
        let (payload, appended) = match info.released {
            true => {
                let kept = self.model.thing(info.id);
                (kept.payload.clone(), kept.appended.clone())
            }
            false => {
                let read = self.k.look(host(), Read { id: info.id });
                assert_eq!(read.version, info.version);
                (text(&read.payload), read.appended.iter().map(text).collect())
            }
        };
        Thing {
            version: info.version,
            released: info.released,
            payload,
            appended,
            parents: info.parents.to_vec(),
            name: info.name.as_ref().map(ToString::to_string),
            changed_ms: info.updated_at_ms,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn copies_behave_as_deep_copies_would(program in prop::collection::vec(actions(), 1..60)) {
        let mut pair = Pair::new();
        for (n, action) in (1..).zip(&program) {
            pair.run(n, action);
            pair.compare();
        }
    }

    #[test]
    fn a_merge_is_what_comparing_everything_says(
        before in prop::collection::vec(prop_oneof![creations(), links()], 8..16),
        between in prop::collection::vec(changes(), 1..24),
        how in policies(),
    ) {
        let mut pair = Pair::new();
        let mut n = 0;
        let mut run = |pair: &mut Pair, action: &Action| {
            n += 1;
            pair.run(n, action);
        };
        before.iter().for_each(|action| run(&mut pair, action));
        run(&mut pair, &Action::Fork(0));
        between.iter().for_each(|action| run(&mut pair, action));
        run(&mut pair, &Action::Merge(0, how));
        pair.compare();
    }

    #[test]
    fn merging_an_unchanged_copy_changes_nothing_anywhere(
        program in prop::collection::vec(actions(), 1..40),
        who in 0..9_usize,
    ) {
        let mut pair = Pair::new();
        for (n, action) in (1..).zip(&program) {
            pair.run(n, action);
        }
        let parent = pair.process(who);
        let seen = |pair: &mut Pair| {
            let infos = pair.k.look(host(), List { r#type: None }).objects;
            let links = infos.iter().map(|info| pair.k.look(host(), ListLinks { id: info.id }));
            let links: Vec<_> = links.collect();
            (infos, links)
        };
        let before = seen(&mut pair);
        pair.k.ok(host(), fork(parent, 999));
        let merged = pair.k.ok(host(), merge(999, parent, OnConflict::Fail));
        prop_assert!(merged.adopted.is_empty() && merged.updated.is_empty());
        prop_assert_eq!(seen(&mut pair), before);
    }
}
