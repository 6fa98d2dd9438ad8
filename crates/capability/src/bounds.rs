//! Manifests: what bounds a process, whatever it is granted.
//!
//! A process is bound by its own manifest and by every one that binds its parent, each on its own:
//! no two are ever merged, so what a process adds can only tighten. A part that is absent bounds
//! nothing; one that is there and empty admits nothing.

use std::{collections::BTreeSet, sync::Arc};

use libos_abi::{Bound, CallInfo, Manifest, Pattern, Rights, SERVICES};
use serde::Serialize;

use crate::limits::MANIFEST_ENTRIES_MAX;

/// A call by its numbers.
type Number = (u16, u16);

/// Everything that bounds one process.
#[derive(Serialize)]
pub(crate) struct Bounds {
    /// The manifests, that of the task first.
    manifests: Vec<Arc<Manifest>>,
    /// The calls that all of them admit; `None` is all.
    #[serde(skip)]
    calls: Option<BTreeSet<Number>>,
}

impl Bounds {
    /// What bounds a process besides `above`.
    pub(crate) fn tightened(above: Option<&Self>, own: Arc<Manifest>) -> Self {
        Self::of(above.into_iter().flat_map(|above| above.manifests.iter().cloned()).chain([own]))
    }

    /// What bounds a process that was bounded by `self` and gets a parent that is by `above`.
    pub(crate) fn below(&self, above: &Self) -> Self {
        Self::of(above.manifests.iter().chain(&self.manifests).cloned())
    }

    /// The manifests, that of the task first.
    pub(crate) fn manifests(&self) -> &[Arc<Manifest>] {
        &self.manifests
    }

    /// What these manifests come to, that of the task first.
    pub(crate) fn of(manifests: impl Iterator<Item = Arc<Manifest>>) -> Self {
        let manifests: Vec<_> = manifests.collect();
        let each = manifests.iter().filter_map(|manifest| manifest.calls.as_deref()).map(numbers);
        let calls = each.reduce(|all, calls| &all & &calls);
        Self { manifests, calls }
    }

    /// Whether a call that demands a right may be made.
    pub(crate) fn admit_call(&self, call: &CallInfo) -> bool {
        self.calls.as_ref().is_none_or(|calls| calls.contains(&number(call)))
    }

    /// Whether `rights` on `on` may be granted.
    pub(crate) fn admit_grant(&self, on: &Pattern, rights: Rights) -> bool {
        self.manifests.iter().all(|manifest| covers(manifest.authority.as_deref(), on, rights))
    }

    /// Whether a human may be asked for `rights` on `on`: what could not be granted is not asked
    /// for either.
    pub(crate) fn admit_request(&self, on: &Pattern, rights: Rights) -> bool {
        let may_ask = |manifest: &Manifest| covers(manifest.requestable.as_deref(), on, rights);
        self.admit_grant(on, rights) && self.manifests.iter().all(|manifest| may_ask(manifest))
    }
}

fn covers(part: Option<&[Bound]>, on: &Pattern, rights: Rights) -> bool {
    part.is_none_or(|entries| {
        entries.iter().any(|entry| entry.on.covers(on) && entry.rights.covers(rights))
    })
}

/// The numbers of the calls that entries name.
fn numbers(entries: &[String]) -> BTreeSet<Number> {
    entries.iter().flat_map(|entry| calls_named(entry)).map(number).collect()
}

fn number(call: &CallInfo) -> Number {
    (call.service_number, call.number)
}

/// The calls that `fs.read` or `fs.*` names; none for an unknown name.
fn calls_named(entry: &str) -> impl Iterator<Item = &'static CallInfo> {
    let (service, method) = entry.split_once('.').unwrap_or_default();
    let services = SERVICES.iter().filter(move |it| it.name == service);
    services.flat_map(|it| it.calls).filter(move |call| method == "*" || call.method == method)
}

/// Checks a manifest as it is written.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it.
pub(crate) fn check(manifest: &Manifest) -> Result<(), String> {
    let Manifest { authority, calls, requestable } = manifest;
    for (part, entries) in [("authority", authority), ("requestable", requestable)] {
        let entries = entries.as_deref().unwrap_or_default();
        within(part, entries.len())?;
        for Bound { on, rights } in entries {
            crate::attenuate::canonical(on).map_err(|why| format!("{part}: {why}"))?;
            if rights.is_empty() {
                return Err(format!("{part}: the entry for {on} names no right"));
            }
        }
    }
    let calls = calls.as_deref().unwrap_or_default();
    within("calls", calls.len())?;
    match calls.iter().find(|entry| calls_named(entry).next().is_none()) {
        Some(unknown) => Err(format!(
            "calls: there is no call `{unknown}`; write `fs.read`, or `fs.*` for a whole service"
        )),
        None => Ok(()),
    }
}

fn within(part: &str, entries: usize) -> Result<(), String> {
    match entries <= MANIFEST_ENTRIES_MAX {
        true => Ok(()),
        false => Err(format!("{part} has {entries} entries: {MANIFEST_ENTRIES_MAX} is the most")),
    }
}
