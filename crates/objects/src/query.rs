//! Finding objects in one space.

use std::cmp::Ordering;

use libos_abi::{
    Error, Fault, ObjectId, Pid,
    object::{ObjectInfo, Query},
};

use crate::{core::Memory, space::Kept};

impl Memory {
    /// The objects of a process (without one: of all) behind `after`, of one type or of any, in
    /// the order of ids.
    pub(crate) fn list<'m>(
        &'m self,
        owner: Option<Pid>,
        r#type: Option<&'m str>,
        after: ObjectId,
    ) -> impl Iterator<Item = ObjectInfo> + 'm {
        let (first, last) = owner.map_or((after.space, Pid(u64::MAX)), |pid| (pid, pid));
        let behind = move |pid: Pid| match pid.cmp(&after.space) {
            Ordering::Less => u64::MAX,
            Ordering::Equal => after.number.saturating_add(1),
            Ordering::Greater => 0,
        };
        let spaces = self.spaces.range(first..=last);
        spaces
            .flat_map(move |(pid, space)| {
                space.objects.range(behind(*pid)..).map(|(_, slot)| (*pid, slot))
            })
            .filter(move |(_, slot)| r#type.is_none_or(|wanted| *slot.info.r#type == *wanted))
            .map(|(pid, slot)| slot.info_in(pid))
    }

    /// The objects of `space` that fit, in the order of ids. Looks at every one of the space.
    pub(crate) fn matching<'m>(
        &'m self,
        space: Pid,
        query: &'m Query,
    ) -> Result<impl Iterator<Item = ObjectInfo> + 'm, Error> {
        if query.after.is_some_and(|after| after.space != space) {
            return Err(Fault::bad(format!("a search in {space} goes on after one of it")).into());
        }
        let after = query.after.map_or(0, |after| after.number);
        let objects = self.space(space).map(|space| space.objects.range(after.saturating_add(1)..));
        let fitting =
            objects.into_iter().flatten().filter(move |(_, kept)| fits(kept, space, query));
        Ok(fitting.map(move |(_, kept)| kept.info_in(space)))
    }
}

/// Whether an object is what is looked for: everything given fits.
fn fits(kept: &Kept, space: Pid, query: &Query) -> bool {
    let info = &kept.info;
    let name = || kept.name_in(space).map_or("", |(_, name)| name);
    query.r#type.as_ref().is_none_or(|wanted| *info.r#type == **wanted)
        && query.since_ms.is_none_or(|since_ms| info.updated_at_ms >= since_ms)
        && query.tag.as_ref().is_none_or(|wanted| info.tags.contains(wanted))
        && query.name_prefix.as_ref().is_none_or(|prefix| name().starts_with(prefix.as_str()))
        && query.parent.is_none_or(|wanted| kept.parents_in(space).any(|parent| parent == wanted))
}
