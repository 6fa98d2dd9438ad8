//! Conditions on arguments: typed when a grant is made, checked on every call.
//!
//! A condition holds, does not hold, or cannot be known because the payload is not here. What
//! cannot be known never helps: an allow needs conditions that *hold*, a deny or an ask applies
//! unless its conditions *fail*. So a payload made large enough to be stored as a blob slips
//! through no denial.

use std::collections::BTreeSet;

use libos_abi::{
    ArgType, ArgView, Condition, Conditions, DemandInfo, Effect, GrantSpec, Label, SERVICES,
    Syscall, Value,
};
use regex::{Regex, RegexBuilder};

use crate::limits::{
    CONDITIONS_MAX, DELEGATION_DEPTH_MAX, REGEX_BYTES_MAX, REGEX_COMPILED_BYTES_MAX,
    TEXT_BYTES_MAX, VALUES_MAX,
};

/// Whether conditions hold for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// They hold.
    Yes,
    /// Part of the payload is not here, and the rest holds.
    Unknown,
    /// They do not hold.
    No,
}

impl Met {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Both: one that fails decides.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

/// The regular expressions of `when`, compiled, in its order. One that does not compile stays
/// empty and makes its condition unknown; validation lets none through.
pub(crate) fn compile(when: &Conditions) -> Box<[Option<Regex>]> {
    when.0
        .values()
        .map(|condition| condition.matches.as_deref().and_then(|text| anchored(text).ok()))
        .collect()
}

fn anchored(text: &str) -> Result<Regex, regex::Error> {
    build(&format!(r"\A(?:{text})\z"))
}

fn build(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(REGEX_COMPILED_BYTES_MAX)
        .dfa_size_limit(REGEX_COMPILED_BYTES_MAX)
        .build()
}

/// Whether `when` holds for `call`. Limits over a grant's life are not its business, except that
/// the argument they sum must be there.
pub(crate) fn met(
    when: &Conditions,
    compiled: &[Option<Regex>],
    call: &Syscall,
    label: Label,
) -> Met {
    let mut all = Met::Yes;
    for ((name, condition), regex) in when.0.iter().zip(compiled) {
        all = all.and(match Condition::words_of_label(name) {
            Some(_) => Met::from(condition.holds_for_label(name, label)),
            None => one_met(condition, regex.as_ref(), call.arg(name)),
        });
        if all == Met::No {
            break;
        }
    }
    all
}

fn one_met(condition: &Condition, regex: Option<&Regex>, arg: ArgView<'_>) -> Met {
    match arg {
        ArgView::None => return Met::No,
        ArgView::Opaque => return Met::Unknown,
        _ => {}
    }
    let Condition { equals, one_of, prefix, min, max, matches, sum_max } = condition;
    let mut all = Met::Yes;
    if let Some(value) = equals {
        all = all.and(equal(value, arg));
    }
    if let Some(values) = one_of {
        let any = match arg {
            ArgView::Absent { .. } => Met::Unknown,
            _ => Met::from(values.iter().any(|value| equal(value, arg) == Met::Yes)),
        };
        all = all.and(any);
    }
    if let Some(value) = prefix {
        all = all.and(begins(value, arg));
    }
    if min.is_some() || max.is_some() {
        let within = measure(arg).is_some_and(|size| {
            min.is_none_or(|min| size >= min) && max.is_none_or(|max| size <= max)
        });
        all = all.and(Met::from(within));
    }
    if matches.is_some() {
        all = all.and(match (regex, arg) {
            (Some(regex), ArgView::Text(text)) => Met::from(regex.is_match(text)),
            (None, _) | (_, ArgView::Absent { .. }) => Met::Unknown,
            _ => Met::No,
        });
    }
    if sum_max.is_some() {
        all = all.and(Met::from(amount(arg).is_some()));
    }
    all
}

fn equal(value: &Value, arg: ArgView<'_>) -> Met {
    match (value, arg) {
        (_, ArgView::Absent { .. }) => Met::Unknown,
        (Value::Bool(a), ArgView::Bool(b)) => Met::from(*a == b),
        (Value::Int(a), ArgView::Int(b)) => Met::from(*a == b),
        (Value::Text(a), ArgView::Text(b)) => Met::from(a == b),
        (Value::List(a), ArgView::List(b)) => Met::from(a == b),
        _ => Met::No,
    }
}

fn begins(value: &Value, arg: ArgView<'_>) -> Met {
    match (value, arg) {
        (_, ArgView::Absent { .. }) => Met::Unknown,
        (Value::Text(a), ArgView::Text(b)) => Met::from(b.starts_with(a.as_str())),
        (Value::List(a), ArgView::List(b)) => Met::from(b.starts_with(a)),
        _ => Met::No,
    }
}

/// What `min` and `max` compare: a number, or the length of a text or list.
fn measure(arg: ArgView<'_>) -> Option<i64> {
    match arg {
        ArgView::Int(number) => Some(number),
        ArgView::Text(text) => i64::try_from(text.len()).ok(),
        ArgView::Absent { bytes } => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
        ArgView::List(items) => i64::try_from(items.len()).ok(),
        ArgView::None | ArgView::Bool(_) | ArgView::Opaque => None,
    }
}

/// What one call adds to a sum. A negative number adds nothing: no sum ever shrinks.
pub(crate) fn amount(arg: ArgView<'_>) -> Option<u64> {
    match arg {
        ArgView::Int(number) => Some(u64::try_from(number).unwrap_or(0)),
        ArgView::Text(text) => Some(text.len() as u64),
        ArgView::Absent { bytes } => Some(bytes),
        ArgView::None | ArgView::Bool(_) | ArgView::List(_) | ArgView::Opaque => None,
    }
}

/// Checks a grant as it is written.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it.
pub(crate) fn validate(grant: &GrantSpec) -> Result<(), String> {
    if grant.rights.iter().next().is_none() {
        return Err(format!("the grant on {} names no right", grant.on));
    }
    if grant.uses == Some(0) || grant.calls_max == Some(0) {
        return Err(format!("the grant on {} may be used 0 times; leave it out instead", grant.on));
    }
    if grant.delegable > DELEGATION_DEPTH_MAX {
        return Err(format!(
            "delegable = {} is too deep: {DELEGATION_DEPTH_MAX} is the most",
            grant.delegable
        ));
    }
    if grant.when.0.len() > CONDITIONS_MAX {
        return Err(format!(
            "there are conditions on {} arguments: {CONDITIONS_MAX} is the most",
            grant.when.0.len()
        ));
    }
    let sums = grant.when.0.values().any(|c| c.sum_max.is_some());
    if grant.effect == Effect::Deny && (grant.uses.is_some() || grant.calls_max.is_some() || sums) {
        return Err("a denial has no uses, calls_max or sum_max: it never runs out".into());
    }
    for (name, condition) in &grant.when.0 {
        check_shape(name, condition)?;
        match Condition::words_of_label(name) {
            Some(words) => check_label(name, condition, words)?,
            None => check_types(name, condition, grant)?,
        }
    }
    Ok(())
}

/// A condition on the label of the caller's data names words of that part, and says no more.
fn check_label(name: &str, condition: &Condition, words: &[&str]) -> Result<(), String> {
    let Condition { equals: _, one_of: _, prefix, min, max, matches, sum_max } = condition;
    let is_plain = (prefix, min, max, matches, sum_max) == (&None, &None, &None, &None, &None);
    let is_word =
        |value: &Value| matches!(value, Value::Text(text) if words.contains(&text.as_str()));
    match is_plain && values_of(condition).all(is_word) {
        true => Ok(()),
        false => Err(format!(
            "the condition on `{name}`, a part of the caller's label, takes equals or one_of, of: {}",
            words.join(", ")
        )),
    }
}

fn check_shape(name: &str, condition: &Condition) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("the condition on `{name}` {what}"));
    if *condition == Condition::default() {
        return wrong("says nothing");
    }
    if let (Some(min), Some(max)) = (condition.min, condition.max)
        && min > max
    {
        return wrong("has a min above its max, so nothing meets it");
    }
    if let Some(values) = &condition.one_of
        && (values.is_empty() || values.len() > VALUES_MAX)
    {
        return wrong(&format!("needs 1 to {VALUES_MAX} values in one_of"));
    }
    if !values_of(condition).all(fits) {
        return wrong(&format!(
            "is too long: {TEXT_BYTES_MAX} bytes a text and {VALUES_MAX} items a list at the most"
        ));
    }
    if let Some(text) = &condition.matches {
        if text.len() > REGEX_BYTES_MAX {
            return wrong(&format!("has a regular expression over {REGEX_BYTES_MAX} bytes"));
        }
        // By itself first: `a)|(b` must not close the group that anchors it.
        if let Err(error) = build(text).and_then(|_| anchored(text)) {
            return wrong(&format!("has a regular expression that does not compile: {error}"));
        }
    }
    Ok(())
}

fn values_of(condition: &Condition) -> impl Iterator<Item = &Value> {
    let several = condition.one_of.iter().flatten();
    condition.equals.iter().chain(&condition.prefix).chain(several)
}

fn fits(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Int(_) => true,
        Value::Text(text) => text.len() <= TEXT_BYTES_MAX,
        Value::List(items) => {
            items.len() <= VALUES_MAX && items.iter().all(|item| item.len() <= TEXT_BYTES_MAX)
        }
    }
}

/// Some call that the grant speaks of must have the argument, of a type that fits every part.
fn check_types(name: &str, condition: &Condition, grant: &GrantSpec) -> Result<(), String> {
    let speaks_of = |demand: DemandInfo| match demand {
        DemandInfo::Right(right, kind) => grant.rights.contains(right) && kind == grant.on.kind(),
        DemandInfo::Own | DemandInfo::Host | DemandInfo::Kernel | DemandInfo::Human => false,
    };
    let calls =
        || SERVICES.iter().flat_map(|service| service.calls).filter(|call| speaks_of(call.demand));
    let types: Vec<ArgType> = calls()
        .flat_map(|call| call.args)
        .filter(|arg| arg.name == name)
        .map(|arg| arg.arg)
        .collect();
    if types.is_empty() {
        let there: BTreeSet<&str> = calls()
            .flat_map(|call| call.args)
            .filter(|arg| arg.arg != ArgType::Opaque)
            .map(|arg| arg.name)
            .collect();
        let there: Vec<&str> = there.into_iter().collect();
        return Err(format!(
            "no call that needs {} on {} has an argument `{name}`; there are: {}",
            grant.rights,
            grant.on,
            if there.is_empty() { "none".into() } else { there.join(", ") }
        ));
    }
    match types.iter().any(|arg| type_fits(condition, *arg)) {
        true => Ok(()),
        false => Err(format!(
            "the condition on `{name}` does not fit its type, which is {}",
            match types[0] {
                ArgType::Bool => "true or false",
                ArgType::Int => "a whole number",
                ArgType::Text => "a text",
                ArgType::List => "a list of texts",
                ArgType::Opaque => "nothing conditions can speak of",
            }
        )),
    }
}

fn type_fits(condition: &Condition, arg: ArgType) -> bool {
    let of_type = |value: &Value| {
        arg == match value {
            Value::Bool(_) => ArgType::Bool,
            Value::Int(_) => ArgType::Int,
            Value::Text(_) => ArgType::Text,
            Value::List(_) => ArgType::List,
        }
    };
    let measured = condition.min.is_some() || condition.max.is_some();
    values_of(condition).all(of_type)
        && (condition.prefix.is_none() || matches!(arg, ArgType::Text | ArgType::List))
        && (!measured || matches!(arg, ArgType::Int | ArgType::Text | ArgType::List))
        && (condition.matches.is_none() || arg == ArgType::Text)
        && (condition.sum_max.is_none() || matches!(arg, ArgType::Int | ArgType::Text))
}
