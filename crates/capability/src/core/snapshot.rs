//! The tables as bytes. What is derived is built anew, and what was shared is shared again.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{CapId, CheckpointId, Manifest, OpId, Pid, capability::Charge, wire};
use libos_port::{BadSnapshot, load_version, save_version};
use rustc_hash::FxHashMap;

use super::{State, Tables};
use crate::{
    bounds::Bounds,
    cap::{Cap, SavedCap},
    saved::Saved,
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
        let Self { caps, last, held, parents, subjects, saved, .. } = self;
        let Self { by_parent: _, answers: _, saved_until: _, .. } = self;
        let Self { terms: _, patterns: _, undo: _, .. } = self;
        save_version(VERSION, out);
        wire::encode_into(last, out);
        wire::encode_each(held.iter(), out);
        let parents: BTreeMap<_, _> = parents.iter().collect();
        wire::encode_each(parents, out);
        let caps = caps.sorted();
        wire::encode_into(&(caps.len() as u64), out);
        caps.iter().for_each(|cap| cap.save(out));
        let bounded = subjects.iter().filter_map(|(pid, it)| Some((*pid, it.bounds.as_ref()?)));
        save_bounds(bounded.collect(), saved, out);
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
            let saved = SavedCap::read(&mut bytes)?;
            let on = tables.patterns.pattern(&saved.grant.on);
            let terms = tables.terms.terms(&saved.grant);
            let above = saved.parent().and_then(|id| tables.get(id));
            let cap = Cap::of(saved, on, terms, above);
            tables.insert(cap);
        }
        let lists = load_lists(&mut bytes)?;
        bytes.each(|(pid, number): (Pid, u64)| {
            tables.set_bounds(pid, Some(at(&lists, number)?));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(checkpoint, last, subjects, in_force): SavedHoldings| {
            let bounded = |(pid, number): (Pid, Option<u64>)| {
                Ok((pid, number.map(|number| at(&lists, number)).transpose()?))
            };
            let subjects = subjects.into_iter().map(bounded).collect::<Result<_, BadSnapshot>>()?;
            let saved = Saved { last, subjects, in_force: in_force.into() };
            tables.set_saved(checkpoint, Some(Arc::new(saved)));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.end()?;
        Ok(tables)
    }
}

/// What is noted for a checkpoint: the last id, who was bounded by what, and what was in force.
type SavedHoldings = (CheckpointId, u64, Vec<(Pid, Option<u64>)>, Vec<CapId>);

/// Each manifest once, then what bounds processes once as lists of those, then who by which, now
/// and at each checkpoint.
fn save_bounds(
    bounded: BTreeMap<Pid, &Arc<Bounds>>,
    saved: &BTreeMap<CheckpointId, Arc<Saved>>,
    out: &mut Vec<u8>,
) {
    let mut manifests = Once::default();
    let mut lists = Once::default();
    let now: Vec<(Pid, u64)> =
        bounded.into_iter().map(|(pid, of)| (pid, lists.number(of))).collect();
    let then: Vec<SavedHoldings> = saved
        .iter()
        .map(|(checkpoint, saved)| {
            let Saved { last, subjects, in_force } = &**saved;
            let subjects = subjects
                .iter()
                .map(|(pid, of)| (*pid, of.as_ref().map(|of| lists.number(of))))
                .collect();
            (*checkpoint, *last, subjects, in_force.to_vec())
        })
        .collect();
    let lists: Vec<Vec<u64>> = lists
        .all
        .iter()
        .map(|of| of.manifests().iter().map(|own| manifests.number(own)).collect())
        .collect();
    wire::encode_each(&manifests.all, out);
    wire::encode_each(&lists, out);
    wire::encode_each(&now, out);
    wire::encode_each(&then, out);
}

fn load_lists(bytes: &mut wire::Reader<'_>) -> Result<Vec<Arc<Bounds>>, BadSnapshot> {
    let mut manifests: Vec<Arc<Manifest>> = Vec::new();
    bytes.each(|manifest: Manifest| {
        manifests.push(Arc::new(manifest));
        Ok::<(), BadSnapshot>(())
    })?;
    let mut lists: Vec<Arc<Bounds>> = Vec::new();
    bytes.each(|numbers: Vec<u64>| {
        let own = numbers.into_iter().map(|number| at(&manifests, number));
        let own: Vec<Arc<Manifest>> = own.collect::<Result<_, _>>()?;
        lists.push(Arc::new(Bounds::of(own.into_iter())));
        Ok::<(), BadSnapshot>(())
    })?;
    Ok(lists)
}

fn at<T>(items: &[Arc<T>], number: u64) -> Result<Arc<T>, BadSnapshot> {
    let item = usize::try_from(number).ok().and_then(|number| items.get(number));
    Ok(item.cloned().ok_or_else(|| wire::WireError::new("bounds that are none"))?)
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
    fn number(&mut self, shared: &'a Arc<T>) -> u64 {
        let next = self.all.len() as u64;
        let number = *self.numbers.entry(Arc::as_ptr(shared)).or_insert(next);
        if number == next {
            self.all.push(shared);
        }
        number
    }
}
