//! Views: which objects belong into a context, in which order. A view opens nothing.

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, OrdSet};
use libos_abi::{
    Error, Fault, ObjectId, Pid, ViewId,
    event::ObjectEvent,
    object::{FailureKind, MakeView, View, ViewItem},
    wire::{self, Reader, WireError},
};
use serde::Serialize;

use crate::{limits::Limits, plan::at_most};

/// Every view.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Views {
    /// The last id given; ids are never given twice.
    last: u64,
    views: OrdMap<ViewId, View>,
    owned: OrdSet<(Pid, ViewId)>,
}

impl Views {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { last, views, owned: _ } = self;
        wire::encode_into(last, out);
        wire::encode_each(views.values(), out);
    }

    pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut all = Self { last: bytes.read()?, ..Self::default() };
        bytes.each(|view: View| {
            all.insert(view);
            Ok::<(), WireError>(())
        })?;
        Ok(all)
    }

    /// Adds a view.
    pub(crate) fn insert(&mut self, view: View) {
        self.last = self.last.max(view.id.0);
        self.owned.insert((view.owner, view.id));
        self.views.insert(view.id, view);
    }

    /// Removes a view.
    pub(crate) fn remove(&mut self, id: ViewId) {
        if let Some(view) = self.views.remove(&id) {
            self.owned.remove(&(view.owner, id));
        }
    }

    /// Removes the views of a process.
    pub(crate) fn end(&mut self, owner: Pid) {
        let ids: Vec<ViewId> = self.of(owner).map(|view| view.id).collect();
        ids.into_iter().for_each(|id| self.remove(id));
    }

    /// The views of a process, in the order of their ids.
    pub(crate) fn of(&self, owner: Pid) -> impl Iterator<Item = &View> {
        let owned = self.owned.range((owner, ViewId(0))..=(owner, ViewId(u64::MAX)));
        owned.filter_map(|(_, id)| self.views.get(id))
    }

    /// The views of a process, or all.
    pub(crate) fn list(&self, owner: Option<Pid>) -> Vec<View> {
        match owner {
            Some(owner) => self.of(owner).cloned().collect(),
            None => self.views.values().cloned().collect(),
        }
    }

    /// A view that the process has.
    pub(crate) fn get(&self, id: ViewId, owner: Pid) -> Result<&View, Error> {
        self.any(id).ok().filter(|view| view.owner == owner).ok_or_else(|| missing(id))
    }

    /// A view, whoever has it.
    pub(crate) fn any(&self, id: ViewId) -> Result<&View, Error> {
        self.views.get(&id).ok_or_else(|| missing(id))
    }

    /// The view a call makes, and its event.
    pub(crate) fn plan(
        &self,
        call: &MakeView,
        owner: Pid,
        limits: &Limits,
        at_ms: u64,
    ) -> Result<(ViewId, ObjectEvent), Error> {
        at_most("views of a process", self.of(owner).count() + 1, limits.views_max)?;
        let from = call.from.map(|id| self.get(id, owner)).transpose()?;
        let pinned = from.into_iter().flat_map(|view| &*view.items).filter(|item| item.pinned);
        let items = with_pinned(&call.items, pinned.map(|item| item.id))?;
        at_most("objects of a view", items.len(), limits.view_items_max)?;
        let id = ViewId(self.last + 1);
        Ok((id, ObjectEvent::ViewMade { id, owner, items, from: call.from, at_ms }))
    }
}

/// The items of a view made from another one: what is pinned there is pinned here, and stands
/// first where it is not named again.
fn with_pinned(
    items: &[ViewItem],
    pinned: impl Iterator<Item = ObjectId>,
) -> Result<Arc<[ViewItem]>, Error> {
    let mut named = BTreeSet::new();
    if let Some(twice) = items.iter().find(|item| !named.insert(item.id)) {
        return Err(Fault::bad(format!("{} stands twice in the view", twice.id)).into());
    }
    let pinned: Vec<ObjectId> = pinned.collect();
    let is_pinned: BTreeSet<ObjectId> = pinned.iter().copied().collect();
    let kept = pinned.iter().filter(|id| !named.contains(id));
    let kept = kept.map(|id| ViewItem { id: *id, pinned: true });
    let again = items
        .iter()
        .map(|item| ViewItem { id: item.id, pinned: item.pinned || is_pinned.contains(&item.id) });
    Ok(kept.chain(again).collect())
}

fn missing(id: ViewId) -> Error {
    FailureKind::NoView.because(format!("the caller has no {id}"))
}
