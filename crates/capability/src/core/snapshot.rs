//! The tables as bytes. What is derived is built anew, and what was shared is shared again.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{Manifest, OpId, Pid, capability::Charge, wire};
use libos_port::{BadSnapshot, load_version, save_version};
use rustc_hash::FxHashMap;

use super::{State, Tables};
use crate::{
    bounds::Bounds,
    cap::{Cap, Saved},
};

/// Raised whenever the tables are written in another way.
const VERSION: u32 = 1;

impl State {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        Tables::load(bytes).map(Self)
    }
}

impl Tables {
    fn save(&self, out: &mut Vec<u8>) {
        let Self { caps, last, held, parents, subjects, .. } = self;
        let Self { by_parent: _, answers: _, terms: _, patterns: _, undo: _, .. } = self;
        save_version(VERSION, out);
        wire::encode_into(last, out);
        wire::encode_each(held.iter(), out);
        let parents: BTreeMap<_, _> = parents.iter().collect();
        wire::encode_each(parents, out);
        let caps = caps.sorted();
        wire::encode_into(&(caps.len() as u64), out);
        caps.iter().for_each(|cap| cap.save(out));
        let bounded = subjects.iter().filter_map(|(pid, it)| Some((*pid, it.bounds.as_ref()?)));
        save_bounds(bounded.collect(), out);
    }

    fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut tables = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        tables.last = bytes.read()?;
        bytes.each(|(op, charges): (OpId, Vec<Charge>)| {
            tables.held.insert(op, charges.into());
            Ok::<(), BadSnapshot>(())
        })?;
        tables.parents = bytes.all()?;
        for _ in 0..bytes.read::<u64>()? {
            let saved = Saved::read(&mut bytes)?;
            let on = tables.patterns.pattern(&saved.grant.on);
            let terms = tables.terms.terms(&saved.grant);
            let above = saved.parent().and_then(|id| tables.get(id));
            let cap = Cap::of(saved, on, terms, above);
            tables.insert(cap);
        }
        for (pid, bounds) in load_bounds(&mut bytes)? {
            tables.set_bounds(pid, Some(bounds));
        }
        bytes.end()?;
        Ok(tables)
    }
}

/// Each manifest once, then what bounds processes once as lists of those, then who by which.
fn save_bounds(bounded: BTreeMap<Pid, &Arc<Bounds>>, out: &mut Vec<u8>) {
    let mut manifests = Once::default();
    let mut lists = Once::default();
    let mut which: Vec<(Pid, u64)> = Vec::new();
    let mut bounds: Vec<Vec<u64>> = Vec::new();
    for (pid, of) in bounded {
        let (number, is_new) = lists.number(of);
        if is_new {
            bounds.push(of.manifests().iter().map(|own| manifests.number(own).0).collect());
        }
        which.push((pid, number));
    }
    wire::encode_each(&manifests.all, out);
    wire::encode_each(&bounds, out);
    wire::encode_each(&which, out);
}

fn load_bounds(bytes: &mut wire::Reader<'_>) -> Result<Vec<(Pid, Arc<Bounds>)>, BadSnapshot> {
    let none = || wire::WireError::new("bounds that are none");
    let mut manifests: Vec<Arc<Manifest>> = Vec::new();
    bytes.each(|manifest: Manifest| {
        manifests.push(Arc::new(manifest));
        Ok::<(), BadSnapshot>(())
    })?;
    let mut lists: Vec<Arc<Bounds>> = Vec::new();
    bytes.each(|numbers: Vec<u64>| {
        let each = numbers.into_iter().map(|number| at(&manifests, number).ok_or_else(none));
        let own: Vec<Arc<Manifest>> = each.collect::<Result<_, _>>()?;
        lists.push(Arc::new(Bounds::of(own.into_iter())));
        Ok::<(), BadSnapshot>(())
    })?;
    let mut bounded = Vec::new();
    bytes.each(|(pid, number): (Pid, u64)| {
        bounded.push((pid, at(&lists, number).ok_or_else(none)?));
        Ok::<(), BadSnapshot>(())
    })?;
    Ok(bounded)
}

fn at<T>(items: &[Arc<T>], number: u64) -> Option<Arc<T>> {
    items.get(usize::try_from(number).ok()?).cloned()
}

/// Numbers for what is shared, in the order in which it is met.
struct Once<'a, T> {
    numbers: FxHashMap<*const T, u64>,
    all: Vec<&'a T>,
}

impl<T> Default for Once<'_, T> {
    fn default() -> Self {
        Self { numbers: FxHashMap::default(), all: Vec::new() }
    }
}

impl<'a, T> Once<'a, T> {
    /// The number of this one, and whether it is met for the first time.
    fn number(&mut self, shared: &'a Arc<T>) -> (u64, bool) {
        let next = self.all.len() as u64;
        let number = *self.numbers.entry(Arc::as_ptr(shared)).or_insert(next);
        if number == next {
            self.all.push(shared);
        }
        (number, number == next)
    }
}
