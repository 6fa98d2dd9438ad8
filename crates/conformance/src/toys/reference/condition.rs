//! Conditions on arguments, for the reference model: what holds, and what may be written.

use libos_abi::{
    ArgType, ArgView, Condition, DemandInfo, Effect, Error, GrantSpec, Label, SERVICES, Source,
    Value, capability::FailureKind,
};
use regex::{Regex, RegexBuilder};

/// Whether conditions hold; of several, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Met {
    Yes,
    /// It depends on a payload that is not here.
    Unknown,
    No,
}

/// What the label of the caller's data says under the name of a condition that is about it.
pub(super) fn words(name: &str, label: Label) -> Option<Vec<&'static str>> {
    match name {
        "sensitivity" => Some(vec![label.sensitivity.name()]),
        "integrity" => Some(vec![label.integrity.name()]),
        "origin" => Some(label.origins.iter().map(Source::name).collect()),
        _ => None,
    }
}

/// Whether a condition holds for an argument. Limits over a grant's life are not its business,
/// except that there must be something to sum.
pub(super) fn met(condition: &Condition, arg: ArgView<'_>) -> Met {
    let content = [
        condition.equals.as_ref().map(|value| equal(value, arg)),
        condition.one_of.as_ref().map(|values| values.iter().any(|value| equal(value, arg))),
        condition.prefix.as_ref().map(|value| begins(value, arg)),
        condition.matches.as_ref().map(|text| {
            matches!((anchored(text), arg), (Ok(regex), ArgView::Text(it)) if regex.is_match(it))
        }),
    ];
    let is_away = matches!(arg, ArgView::Absent { .. }) && content.iter().any(Option::is_some);
    let within = condition.min.is_none_or(|min| measure(arg).is_some_and(|size| size >= min))
        && condition.max.is_none_or(|max| measure(arg).is_some_and(|size| size <= max))
        && (condition.sum_max.is_none() || amount(arg).is_some());
    match arg {
        ArgView::None => Met::No,
        ArgView::Opaque => Met::Unknown,
        _ if !within => Met::No,
        _ if is_away => Met::Unknown,
        _ if content.into_iter().flatten().all(|holds| holds) => Met::Yes,
        _ => Met::No,
    }
}

fn equal(value: &Value, arg: ArgView<'_>) -> bool {
    match (value, arg) {
        (Value::Bool(a), ArgView::Bool(b)) => *a == b,
        (Value::Int(a), ArgView::Int(b)) => *a == b,
        (Value::Text(a), ArgView::Text(b)) => a == b,
        (Value::List(a), ArgView::List(b)) => a == b,
        _ => false,
    }
}

fn begins(value: &Value, arg: ArgView<'_>) -> bool {
    match (value, arg) {
        (Value::Text(a), ArgView::Text(b)) => b.starts_with(a.as_str()),
        (Value::List(a), ArgView::List(b)) => b.starts_with(a),
        _ => false,
    }
}

/// What `min` and `max` compare: a number, or the length of a text or list.
fn measure(arg: ArgView<'_>) -> Option<i64> {
    match arg {
        ArgView::Int(number) => Some(number),
        ArgView::List(items) => i64::try_from(items.len()).ok(),
        other => amount(other).map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}

/// What one call adds to a sum. A negative number adds nothing.
pub(super) fn amount(arg: ArgView<'_>) -> Option<u64> {
    match arg {
        ArgView::Int(number) => Some(u64::try_from(number).unwrap_or(0)),
        ArgView::Text(text) => Some(text.len() as u64),
        ArgView::Absent { bytes } => Some(bytes),
        ArgView::None | ArgView::Bool(_) | ArgView::List(_) | ArgView::Opaque => None,
    }
}

/// A regular expression that matches whole texts. By itself first: `a)|(b` closes no group.
fn anchored(text: &str) -> Result<Regex, regex::Error> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(1 << 20).build();
    build(text).and_then(|_| build(&format!(r"\A(?:{text})\z")))
}

/// Refuses a grant that is malformed.
pub(super) fn validate(grant: &GrantSpec) -> Result<(), Error> {
    let sums = grant.when.0.values().any(|condition| condition.sum_max.is_some());
    let limited = grant.uses.is_some() || grant.calls_max.is_some() || sums;
    let wrong = if grant.rights.is_empty() {
        "it names no right"
    } else if grant.uses == Some(0) || grant.calls_max == Some(0) {
        "it may be used 0 times"
    } else if grant.delegable > super::hand::DEPTH_MAX || grant.when.0.len() > 16 {
        "it is too deep, or has too many conditions"
    } else if grant.effect == Effect::Deny && limited {
        "a denial never runs out"
    } else if !grant.when.0.iter().all(|(name, condition)| fits(name, condition, grant)) {
        "a condition fits no call that it speaks of"
    } else {
        return Ok(());
    };
    Err(FailureKind::BadGrant.because(wrong))
}

/// Whether a condition makes sense, and some call the grant speaks of has such an argument.
fn fits(name: &str, condition: &Condition, grant: &GrantSpec) -> bool {
    let Condition { equals, one_of, prefix, min, max, matches, sum_max } = condition;
    let short = |value: &Value| match value {
        Value::Bool(_) | Value::Int(_) => true,
        Value::Text(text) => text.len() <= 4096,
        Value::List(items) => items.len() <= 64 && items.iter().all(|item| item.len() <= 4096),
    };
    let values = || equals.iter().chain(prefix).chain(one_of.iter().flatten());
    let shaped = *condition != Condition::default()
        && min.zip(*max).is_none_or(|(min, max)| min <= max)
        && one_of.as_ref().is_none_or(|values| (1..=64).contains(&values.len()))
        && values().all(short)
        && matches.as_ref().is_none_or(|text| text.len() <= 1024 && anchored(text).is_ok());
    let typed = |arg: ArgType| {
        let same = |value: &Value| match value {
            Value::Bool(_) => arg == ArgType::Bool,
            Value::Int(_) => arg == ArgType::Int,
            Value::Text(_) => arg == ArgType::Text,
            Value::List(_) => arg == ArgType::List,
        };
        let (text, list, int) = (arg == ArgType::Text, arg == ArgType::List, arg == ArgType::Int);
        values().all(same)
            && (prefix.is_none() || text || list)
            && ((min.is_none() && max.is_none()) || text || list || int)
            && (matches.is_none() || text)
            && (sum_max.is_none() || text || int)
    };
    let speaks = |demand: DemandInfo| {
        matches!(demand, DemandInfo::Right(right, kind)
            if grant.rights.contains(right) && kind == grant.on.kind())
    };
    if words(name, Label::TOP).is_some() {
        let all: Vec<&str> = match name {
            "sensitivity" => vec!["public", "internal", "confidential", "secret"],
            "integrity" => vec!["trusted", "untrusted"],
            _ => vec!["fs", "shell", "net", "llm", "mcp", "human", "other"],
        };
        let word = |value: &Value| matches!(value, Value::Text(it) if all.contains(&it.as_str()));
        let only =
            Condition { equals: equals.clone(), one_of: one_of.clone(), ..Default::default() };
        return shaped && *condition == only && values().all(word);
    }
    let calls = SERVICES.iter().flat_map(|service| service.calls);
    let mut args = calls.filter(|call| speaks(call.demand)).flat_map(|call| call.args);
    shaped && args.any(|arg| arg.name == name && typed(arg.arg))
}
