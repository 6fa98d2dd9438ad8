//! The calls: each is planned, asked about where its demand does not say all, and made.

use libos_abi::{
    Fault, Need, Pid, Resource, Right,
    checkpoint::{Copied, Kept, ObjectChanges},
    event::ObjectEvent,
    namespace::{self, Entry, Namespace},
    object::{
        Append, Collect, CompareSpaces, Content, CopySpaces, Create, Delete, DropSpace, DropView,
        Entries, FailureKind, ForgetSpaces, ForkSpace, GetContent, Handle, Link, Links, List,
        ListEntries, ListLinks, ListViews, MakeLink, MakeView, Materialize, Materialized,
        MergeSpace, Object, ObjectInfo, Objects as Found, Query, Read, Release, Removed,
        RestoreSpaces, SaveSpaces, Server, ShowView, Stat, Transfer, Unlink, Update, View, Views,
    },
    process::{Discarded, Merged},
};
use libos_port::{Context, Stop};

use crate::{Objects, core::EMPTY_LIST, denied, may, over, owner, plan};

/// What is shown of objects, of which there is one more than that if there are more.
fn part_of(mut objects: Vec<ObjectInfo>, limit: usize) -> Found {
    let has_more = objects.len() > limit;
    objects.truncate(limit);
    let more_after = objects.last().map(|last| last.id).filter(|_| has_more);
    Found { objects, more_after }
}

impl<'c> Server<dyn Context + 'c, Stop> for Objects {
    fn create(&mut self, cx: &mut (dyn Context + 'c), call: &Create) -> Result<Handle, Stop> {
        let owner = owner(cx)?;
        let parents = plan::parents(call, &self.limits)?;
        let now_ms = cx.now_ms();
        let (id, created) = self.state.plan_create(call, &parents, owner, &self.limits, now_ms)?;
        for parent in parents {
            // One that is gone and one that is denied end in the same error.
            let need = Need { right: Right::Read, on: Resource::object(parent) };
            if !may(cx, owner, &need)? || !self.state.has(parent) {
                return Err(denied(need));
            }
        }
        self.change_in(cx, owner, created)?;
        Ok(self.state.handle(id)?)
    }

    fn read(&mut self, _: &mut (dyn Context + 'c), call: &Read) -> Result<Object, Stop> {
        let kept = self.state.unreleased(call.id)?;
        let (bytes, most) = (kept.info.bytes, self.limits.payload_bytes_max);
        if bytes > most {
            let detail = format!("{} has {bytes} bytes: read its entries, in parts", call.id);
            return Err(FailureKind::TooLarge.because(detail).into());
        }
        Ok(Object {
            id: call.id,
            r#type: kept.info.r#type.clone(),
            version: kept.info.version,
            payload: kept.payload.clone(),
            appended: kept.appended.iter().cloned().collect(),
        })
    }

    fn update(&mut self, cx: &mut (dyn Context + 'c), call: &Update) -> Result<Handle, Stop> {
        let event = self.state.plan_update(call, &self.limits, cx.now_ms())?;
        self.state.change(cx, event);
        Ok(self.state.handle(call.id)?)
    }

    fn list(&mut self, cx: &mut (dyn Context + 'c), call: &List) -> Result<Found, Stop> {
        let limit = call.limit.unwrap_or(self.limits.list_max).min(self.limits.list_max) as usize;
        let (owner, after) = (cx.caller().pid(), call.after.unwrap_or_default());
        let found = self.state.list(owner, call.r#type.as_deref(), after);
        Ok(part_of(found.take(limit + 1).collect(), limit))
    }

    fn delete(&mut self, cx: &mut (dyn Context + 'c), call: &Delete) -> Result<Removed, Stop> {
        let id = call.id;
        self.state.get(id)?;
        self.state.change(cx, ObjectEvent::Deleted { id });
        Ok(Removed { id })
    }

    fn stat(&mut self, _: &mut (dyn Context + 'c), call: &Stat) -> Result<ObjectInfo, Stop> {
        Ok(self.state.info(call.id)?)
    }

    fn append(&mut self, cx: &mut (dyn Context + 'c), call: &Append) -> Result<Handle, Stop> {
        let event = self.state.plan_append(call, &self.limits, cx.now_ms())?;
        self.state.change(cx, event);
        Ok(self.state.handle(call.id)?)
    }

    fn link(&mut self, cx: &mut (dyn Context + 'c), call: &MakeLink) -> Result<Links, Stop> {
        let MakeLink { from, relation, to } = call;
        let link = Link { from: *from, relation: relation.as_str().into(), to: *to };
        if !self.state.is_linked(link.from, &link.relation, link.to) {
            let event = self.state.plan_link(&link, &self.limits)?;
            self.state.change(cx, event);
        }
        Ok(Links { links: vec![link] })
    }

    fn unlink(&mut self, cx: &mut (dyn Context + 'c), call: &Unlink) -> Result<Links, Stop> {
        let Unlink { from, relation, to } = call;
        let link = Link { from: *from, relation: relation.as_str().into(), to: *to };
        let event = self.state.plan_unlink(&link)?;
        self.state.change(cx, event);
        Ok(Links { links: vec![link] })
    }

    fn links(&mut self, _: &mut (dyn Context + 'c), call: &ListLinks) -> Result<Links, Stop> {
        self.state.get(call.id)?;
        Ok(Links { links: self.state.links_of(call.id) })
    }

    fn query(&mut self, cx: &mut (dyn Context + 'c), call: &Query) -> Result<Found, Stop> {
        let caller = cx.caller().pid();
        let Some(space) = call.space.or(caller) else {
            return Err(Fault::bad("the host names the memory to search: space").into());
        };
        let limit = call.limit.unwrap_or(self.limits.query_default).min(self.limits.query_max);
        let limit = limit as usize;
        let stranger = caller.filter(|pid| *pid != space);
        let mut objects = Vec::new();
        let mut found = self.state.matching(space, call)?;
        while objects.len() <= limit
            && let Some(info) = found.next()
        {
            let may_see = match stranger {
                Some(pid) => may(cx, pid, &over(Right::Read, info.id))?,
                None => true,
            };
            if may_see {
                objects.push(info);
            }
        }
        Ok(part_of(objects, limit))
    }

    fn transfer(&mut self, cx: &mut (dyn Context + 'c), call: &Transfer) -> Result<Handle, Stop> {
        let to = call.to;
        if to == call.id.space {
            return Err(Fault::bad(format!("{} is in the memory of {to} already", call.id)).into());
        }
        if let Some(giver) = cx.caller().pid() {
            let need = Need { right: Right::Write, on: Resource::id("process", to) };
            if !may(cx, giver, &need)? {
                return Err(denied(need));
            }
        }
        let giver = cx.caller().pid().unwrap_or(call.id.space);
        let (id, moved) = self.state.plan_transfer(call, cx.now_ms())?;
        // Parent and child may message each other as long as they live: what ends a process takes
        // its authority, that over its relatives included.
        let answer = Need { right: Right::Write, on: Resource::id("process", giver) };
        if !may(cx, to, &answer)? {
            let detail = format!("{to} is no living child or parent of {giver}");
            return Err(FailureKind::ReceiverEnded.because(detail).into());
        }
        self.change_in(cx, to, moved)?;
        Ok(self.state.handle(id)?)
    }

    fn release(&mut self, cx: &mut (dyn Context + 'c), call: &Release) -> Result<Handle, Stop> {
        let event = self.state.plan_release(call.id, cx.now_ms())?;
        self.state.change(cx, event);
        Ok(self.state.handle(call.id)?)
    }

    fn make_view(&mut self, cx: &mut (dyn Context + 'c), call: &MakeView) -> Result<View, Stop> {
        let owner = owner(cx)?;
        let (id, event) = self.state.views.plan(call, owner, &self.limits, cx.now_ms())?;
        self.state.change(cx, event);
        Ok(self.state.views.any(id)?.clone())
    }

    fn view(&mut self, cx: &mut (dyn Context + 'c), call: &ShowView) -> Result<View, Stop> {
        let view = match cx.caller().pid() {
            Some(pid) => self.state.views.get(call.view, pid)?,
            None => self.state.views.any(call.view)?,
        };
        Ok(view.clone())
    }

    fn views(&mut self, cx: &mut (dyn Context + 'c), _: &ListViews) -> Result<Views, Stop> {
        Ok(Views { views: self.state.views.list(cx.caller().pid()) })
    }

    fn drop_view(&mut self, cx: &mut (dyn Context + 'c), call: &DropView) -> Result<Views, Stop> {
        let owner = owner(cx)?;
        let id = self.state.views.get(call.view, owner)?.id;
        self.state.change(cx, ObjectEvent::ViewDropped { id });
        Ok(Views { views: self.state.views.list(Some(owner)) })
    }

    fn materialize(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Materialize,
    ) -> Result<Materialized, Stop> {
        let pid = owner(cx)?;
        let view = self.state.views.get(call.view, pid)?;
        let tokens = call.tokens.unwrap_or(self.limits.tokens_default);
        let limit = self.limits.tokens_max;
        if tokens > limit {
            return Err(Fault::Limit { what: "tokens of a rendering".into(), limit }.into());
        }
        let items = view.items.iter();
        let seen: Vec<bool> = items
            .map(|item| may(cx, pid, &over(Right::Materialize, item.id)))
            .collect::<Result<_, Stop>>()?;
        let choice = call.choice.unwrap_or_default();
        Ok(self.state.materialize(view, &seen, choice, tokens)?)
    }

    fn entries(&mut self, _: &mut (dyn Context + 'c), call: &ListEntries) -> Result<Entries, Stop> {
        let kept = self.state.unreleased(call.id)?;
        let skip = call.skip.unwrap_or(0);
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
        for (at, entry) in (0..).zip(&kept.appended).skip(skip as usize) {
            bytes += entry.0.bytes();
            if bytes > self.limits.payload_bytes_max && !entries.is_empty() {
                next = Some(at);
                break;
            }
            entries.push(entry.clone());
        }
        Ok(Entries { version: kept.info.version, entries, next })
    }

    fn collect(&mut self, cx: &mut (dyn Context + 'c), call: &Collect) -> Result<Handle, Stop> {
        let id = self.state.next(call.owner);
        let event = self.state.plan_collect(call, &self.limits, cx.now_ms())?;
        self.change_in(cx, call.owner, event)?;
        Ok(self.state.handle(id)?)
    }

    fn content(&mut self, _: &mut (dyn Context + 'c), call: &GetContent) -> Result<Content, Stop> {
        let kept = self.state.unreleased(call.id)?;
        let payload = Some(&kept.payload).filter(|it| it.0.as_str() != Some(EMPTY_LIST));
        Ok(Content { parts: payload.into_iter().chain(&kept.appended).cloned().collect() })
    }

    fn fork_space(&mut self, cx: &mut (dyn Context + 'c), call: &ForkSpace) -> Result<(), Stop> {
        let event = self.state.plan_fork(call.from, call.to)?;
        self.change_in(cx, call.to, event)
    }

    fn merge_space(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &MergeSpace,
    ) -> Result<Merged, Stop> {
        let merged = self.state.plan_merge(call)?;
        let MergeSpace { from, into, on_conflict } = *call;
        if self.state.keeps_anything(from) {
            let at_ms = cx.now_ms();
            let event = ObjectEvent::SpaceMerged { from, into, on_conflict, at_ms };
            self.change_in(cx, into, event)?;
        }
        Ok(merged)
    }

    fn drop_space(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &DropSpace,
    ) -> Result<Discarded, Stop> {
        let space: Pid = call.space;
        let objects = self.state.space(space).map_or(0, |space| space.objects.len() as u64);
        if self.state.keeps_anything(space) {
            self.state.change(cx, ObjectEvent::SpaceDropped { space });
        }
        Ok(Discarded { objects })
    }

    fn save_spaces(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &SaveSpaces,
    ) -> Result<Kept, Stop> {
        let SaveSpaces { checkpoint, mut spaces, ended } = call.clone();
        spaces.extend(ended.into_iter().filter(|pid| self.state.keeps_anything(*pid)));
        let count = self.state.count(&spaces);
        self.state.change(cx, ObjectEvent::SpacesSaved { checkpoint, spaces });
        Ok(Kept { count })
    }

    fn compare_spaces(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &CompareSpaces,
    ) -> Result<ObjectChanges, Stop> {
        Ok(ObjectChanges { rows: self.state.changes_since(call.checkpoint, &call.spaces) })
    }

    fn forget_spaces(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &ForgetSpaces,
    ) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        if self.state.saved.contains_key(&checkpoint) {
            self.state.change(cx, ObjectEvent::SpacesForgotten { checkpoint });
        }
        Ok(())
    }

    fn restore_spaces(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &RestoreSpaces,
    ) -> Result<Kept, Stop> {
        let RestoreSpaces { checkpoint, dropped } = call.clone();
        let Some(saved) = self.state.saved.get(&checkpoint).cloned() else {
            return Ok(Kept { count: 0 });
        };
        let count = self.state.changes_since(checkpoint, &dropped).len() as u64;
        let lost = |pid: &&Pid| !self.state.has_space(**pid);
        let lost: Vec<Pid> = saved.keys().filter(lost).copied().collect();
        self.state.change(cx, ObjectEvent::SpacesRestored { checkpoint, dropped });
        for pid in lost {
            let need = Need { right: Right::Read, on: Resource::space(pid) };
            if self.state.has_space(pid) && !may(cx, pid, &need)? {
                self.let_own(cx, pid)?;
            }
        }
        Ok(Kept { count })
    }

    fn copy_spaces(&mut self, cx: &mut (dyn Context + 'c), call: &CopySpaces) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        for Copied { from, to, .. } in &call.processes {
            let of = self.state.base_of_saved(checkpoint, *from);
            let copy = call.processes.iter().find(|copied| Some(copied.from) == of);
            let base = copy.map(|copied| copied.to);
            let event = ObjectEvent::SpaceCopied { checkpoint, from: *from, to: *to, base };
            self.change_in(cx, *to, event)?;
        }
        Ok(())
    }
}

impl<'c> namespace::Server<dyn Context + 'c, Stop> for Objects {
    fn create(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &namespace::Create,
    ) -> Result<Namespace, Stop> {
        let by = cx.caller().pid();
        let event = self.state.names.plan_make(&call.namespace, &self.limits, by)?;
        self.state.change(cx, event);
        Ok(self.state.names.list(&call.namespace)?)
    }

    fn list(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &namespace::List,
    ) -> Result<Namespace, Stop> {
        Ok(self.state.names.list(&call.namespace)?)
    }

    fn lookup(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &namespace::Lookup,
    ) -> Result<Entry, Stop> {
        Ok(self.state.names.lookup(&call.namespace, &call.name)?)
    }
}
