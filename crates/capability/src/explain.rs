//! Explanations: what would be decided, why, and the narrowest rule that would allow it.

use std::fmt::Write;

use libos_abi::{
    CapId, CapabilityInfo, Denial, DenyReason, Effect, Need, Pattern, Pid, Status,
    capability::Explanation,
};

use crate::{
    core::Tables,
    decide::{Facts, Verdict},
};

/// What would be decided on `need` for `subject`, were every condition on arguments met.
pub(crate) fn explain(tables: &Tables, subject: Pid, need: Need, now_ms: u64) -> Explanation {
    let facts = Facts { call: None, now_ms };
    let verdict = tables.weigh(subject, &need, facts).verdict();
    let weighed = weighed(tables, subject, &need, now_ms);
    let mut text = String::new();
    let (effect, reason) = match verdict {
        Verdict::Allow(id, _) => {
            text = format!("{need}: {id} allows it.");
            (Effect::Allow, None)
        }
        Verdict::Ask(asks) => {
            text = format!("{need}: a human is asked, because of {}.", list(&asks));
            (Effect::Ask, None)
        }
        Verdict::Deny(reason) => {
            let denial = Denial { need: Some(need.clone()), reason: reason.clone() };
            push(&mut text, format_args!("{denial}."));
            match reason {
                DenyReason::DenyRule(id) => push(
                    &mut text,
                    format_args!(
                        " No grant undoes a denial: the host would have to take {id} back."
                    ),
                ),
                _ => push(
                    &mut text,
                    format_args!(" The narrowest rule that would allow it:\n\n{}", rule(&need)),
                ),
            }
            (Effect::Deny, Some(reason))
        }
    };
    let bound: Vec<CapId> = weighed
        .iter()
        .filter(|cap| cap.status == Status::Active && conditional(tables, cap))
        .map(|cap| cap.id)
        .collect();
    if !bound.is_empty() {
        push(
            &mut text,
            format_args!(
                "\n\nConditions on arguments count as met here; {} has some.",
                list(&bound)
            ),
        );
    }
    Explanation { need, effect, reason, weighed, text }
}

/// Every capability of the subject that speaks of the need: denies, asks, allows.
fn weighed(tables: &Tables, subject: Pid, need: &Need, now_ms: u64) -> Vec<CapabilityInfo> {
    let mut weighed: Vec<CapabilityInfo> = tables
        .of(subject)
        .filter(|(_, cap)| {
            cap.grant().rights.contains(need.right) && cap.grant().on.matches(&need.on)
        })
        .map(|(id, cap)| tables.info(id, cap, now_ms))
        .collect();
    weighed.sort_by_key(|cap| (std::cmp::Reverse(cap.effect), cap.id));
    weighed
}

fn conditional(tables: &Tables, info: &CapabilityInfo) -> bool {
    tables.get(info.id).is_some_and(|cap| {
        tables.deciding(info.id, cap).any(|(_, cap)| !cap.grant().when.is_empty())
    })
}

/// The rule as it stands in a task file.
fn rule(need: &Need) -> String {
    format!("[[grant]]\non = \"{}\"\nrights = [\"{}\"]\n", Pattern::exact(&need.on), need.right)
}

fn list(ids: &[CapId]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes every write");
}
