//! Rendering the objects of a view within a budget of tokens.
//!
//! Pinned objects are in, whatever the policy; the others are tried in its order, and one that does
//! not fit leaves room to those after it. What is in stands in the order of the view. Everything
//! that is not in is named with the reason; what the caller may not see gives away nothing else.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use libos_abi::{
    Error, ObjectId,
    object::{
        Choice, FailureKind, Inclusion, ManifestEntry, Materialized, Rendered, View, ViewItem,
    },
};

use crate::{core::Memory, space::Kept};

/// An object of a view that can be rendered.
struct Candidate<'m> {
    /// Its place in the view.
    at: usize,
    item: ViewItem,
    kept: &'m Kept,
}

impl Candidate<'_> {
    fn tokens(&self) -> u64 {
        tokens(self.kept)
    }
}

fn tokens(kept: &Kept) -> u64 {
    kept.info.bytes.div_ceil(4)
}

impl Memory {
    /// Renders a view; `may` says of each of its objects whether the caller may see it.
    pub(crate) fn materialize(
        &self,
        view: &View,
        may: &[bool],
        choice: Choice,
        budget: u64,
    ) -> Result<Materialized, Error> {
        let seen = view.items.iter().zip(may).map(|(item, may)| may.then(|| self.find(item.id)));
        let seen: Vec<Option<&Kept>> = seen.map(Option::flatten).collect();
        let candidates =
            view.items.iter().zip(&seen).enumerate().filter_map(|(at, (item, kept))| {
                let kept = kept.filter(|kept| !kept.info.released)?;
                Some(Candidate { at, item: *item, kept })
            });
        let (pinned, mut others): (Vec<_>, Vec<_>) =
            candidates.partition(|candidate| candidate.item.pinned);
        let mut used: u64 = pinned.iter().map(Candidate::tokens).sum();
        if used > budget {
            let detail = format!("the pinned objects take {used} tokens of {budget}");
            return Err(FailureKind::PinnedOverBudget.because(detail));
        }
        self.sort(&mut others, &pinned, choice);
        let mut reasons: Vec<Inclusion> = seen.iter().map(|kept| left_out(*kept)).collect();
        pinned.iter().for_each(|candidate| reasons[candidate.at] = Inclusion::Pinned);
        for candidate in &others {
            if candidate.tokens() <= budget - used {
                used += candidate.tokens();
                reasons[candidate.at] = Inclusion::Chosen;
            }
        }
        let all = || view.items.iter().zip(&seen).zip(&reasons);
        let is_in = |reason| matches!(reason, Inclusion::Pinned | Inclusion::Chosen);
        let rendered = all().filter(|(_, reason)| is_in(**reason));
        let rendered = rendered.filter_map(|((item, kept), _)| Some(render(item.id, (*kept)?)));
        let manifest = all().map(|((item, kept), reason)| ManifestEntry {
            id: item.id,
            version: kept.map_or(0, |kept| kept.info.version),
            tokens: kept.map_or(0, tokens),
            reason: *reason,
        });
        Ok(Materialized { items: rendered.collect(), manifest: manifest.collect(), tokens: used })
    }

    /// Puts those to try first in front; what a policy does not tell apart stays in the order of
    /// the view.
    fn sort(&self, others: &mut [Candidate<'_>], pinned: &[Candidate<'_>], choice: Choice) {
        match choice {
            Choice::Order => {}
            Choice::Recency => others.sort_by_key(|it| Reverse(it.kept.info.updated_at_ms)),
            Choice::PlanFirst => others.sort_by_key(|it| {
                let info = &it.kept.info;
                let rank = match &*info.r#type {
                    "plan" => 0,
                    "error" => 1,
                    _ => 2,
                };
                (rank, Reverse(info.updated_at_ms))
            }),
            Choice::Evidence => {
                let counts = self.evidence(others.iter().chain(pinned));
                let count = |it: &Candidate<'_>| counts.get(&it.item.id).copied().unwrap_or(0);
                others.sort_by_key(|it| Reverse(count(it)));
            }
        }
    }

    /// How many of the candidates were made from an object or link to it.
    fn evidence<'c>(
        &self,
        candidates: impl Iterator<Item = &'c Candidate<'c>>,
    ) -> BTreeMap<ObjectId, usize> {
        let mut counts = BTreeMap::new();
        for Candidate { item, kept, .. } in candidates {
            let parents = kept.parents_in(item.id.space);
            let leads_to: BTreeSet<ObjectId> = parents.chain(self.linked_from(item.id)).collect();
            for id in leads_to {
                *counts.entry(id).or_default() += 1;
            }
        }
        counts
    }
}

/// Why an object is out when it was not chosen.
fn left_out(kept: Option<&Kept>) -> Inclusion {
    match kept {
        None => Inclusion::Denied,
        Some(kept) if kept.info.released => Inclusion::Released,
        Some(_) => Inclusion::OverBudget,
    }
}

fn render(id: ObjectId, kept: &Kept) -> Rendered {
    Rendered {
        id,
        r#type: kept.info.r#type.clone(),
        version: kept.info.version,
        payload: kept.payload.clone(),
        appended: kept.appended.iter().cloned().collect(),
    }
}
