//! Object Memory and the naive [`Model`] of it, driven by the same random programs.

use std::collections::BTreeMap;

use libos_abi::{
    CheckpointId, Json, ObjectId, Pid, Syscall, namespace,
    object::{
        Create, Delete, DropSpace, Link, List, ListLinks, ObjectInfo, Read, Release, RestoreSpaces,
        SaveSpaces, Unlink,
    },
    process::OnConflict,
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    make::{Memory, append, create, fork, link, merge, transfer, update},
    model::{Model, Relation, Thing},
    rig::{host, process},
};

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
    fn a_restore_is_the_state_that_was_kept_and_gives_no_number_twice(
        before in prop::collection::vec(actions(), 1..30),
        between in prop::collection::vec(actions(), 1..30),
        after in prop::collection::vec(actions(), 1..20),
    ) {
        let mut pair = Pair::new();
        let mut n = 0;
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut run = |pair: &mut Pair, action: &Action| {
            n += 1;
            pair.run(n, action);
            for (pid, space) in &pair.model.spaces {
                let last = last.entry(*pid).or_default();
                *last = space.last.max(*last);
            }
        };
        before.iter().for_each(|action| run(&mut pair, action));
        let checkpoint = CheckpointId::new(1, 1);
        let spaces = (1..=pair.model.processes).map(Pid).collect();
        pair.k.ok(host(), SaveSpaces { checkpoint, spaces, ended: Vec::new() });
        let then = pair.model.clone();
        between.iter().for_each(|action| run(&mut pair, action));

        let dropped = (then.processes + 1..=pair.model.processes).map(Pid).collect();
        pair.k.ok(host(), RestoreSpaces { checkpoint, dropped });
        let Model { processes, now_ms, .. } = pair.model;
        pair.model = Model { processes, now_ms, ..then };
        for (pid, last) in last {
            match pair.model.spaces.get_mut(&pid) {
                Some(space) => space.last = last,
                None => drop(pair.model.gone.insert(pid, last)),
            }
        }
        pair.compare();
        for (more, action) in (1_000..).zip(&after) {
            pair.run(more, action);
            pair.compare();
        }
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
