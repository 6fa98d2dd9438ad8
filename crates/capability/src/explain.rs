//! Explanations: what would be decided, why, and the narrowest rule that would allow it.

use std::{fmt::Write, sync::Arc};

use libos_abi::{
    CapId, CapabilityInfo, Denial, DenyReason, Effect, Need, Pattern, Pid, Status,
    capability::Explanation,
};

use crate::{
    bounds::Bounds,
    cap::Cap,
    core::Tables,
    decide::{Call, Facts, Verdict},
};

/// Whether `need` would be allowed for `subject` whatever its call looked like, without taking
/// anything from a finite grant.
pub(crate) fn may(tables: &Tables, subject: Pid, need: &Need, now_ms: u64) -> bool {
    let facts = Facts { call: Call::Unknown, now_ms };
    matches!(
        tables.weigh(subject, tables.subject(subject), need, facts).verdict(),
        Verdict::Allow(_)
    )
}

/// What would be decided on `need` for `subject`, were every condition on arguments met.
pub(crate) fn explain(tables: &Tables, subject: Pid, need: Need, now_ms: u64) -> Explanation {
    let facts = Facts { call: Call::Fitting, now_ms };
    let found = tables.weigh(subject, tables.subject(subject), &need, facts);
    let weighed = weighed(tables, subject, &need, now_ms);
    let mut text = String::new();
    let (effect, reason) = match found.verdict() {
        Verdict::Allow(allow) => {
            text = format!("{need}: {} allows it.", allow.id());
            (Effect::Allow, None)
        }
        Verdict::Ask => {
            text = format!("{need}: a human is asked, because of {}.", list(&found.asks));
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
                _ if !is_admitted(tables, subject, &need) => {
                    text.push_str(" No grant of it can be made: the manifest does not foresee it.");
                }
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
    let caps = tables.of(subject);
    let speaks = |cap: &&&Cap| cap.terms.rights.contains(need.right) && cap.on.matches(&need.on);
    let mut weighed: Vec<CapabilityInfo> =
        caps.iter().filter(speaks).map(|cap| tables.info(cap, now_ms)).collect();
    let kin = tables.family().by(subject, need).and_then(|id| tables.family().get(id));
    weighed.extend(kin.map(|kin| tables.family().info(kin)));
    weighed.sort_by_key(|cap| (std::cmp::Reverse(cap.effect), cap.id));
    weighed
}

fn conditional(tables: &Tables, info: &CapabilityInfo) -> bool {
    let has_some = |cap: &Cap| !cap.terms.when.is_empty();
    tables.get(info.id).is_some_and(|cap| tables.deciding(cap).any(has_some))
}

fn is_admitted(tables: &Tables, subject: Pid, need: &Need) -> bool {
    let rights = [need.right].into_iter().collect();
    let admits = |bounds: &Arc<Bounds>| bounds.admit_grant(&Pattern::exact(&need.on), rights);
    tables.bounds(subject).is_none_or(admits)
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
