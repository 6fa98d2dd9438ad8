//! Conditions on arguments, for the reference model: what holds, and what may be written.

use libos_abi::{
    ArgType, ArgView, Condition, DemandInfo, Effect, Error, GrantSpec, SERVICES, Value,
    capability::FailureKind,
};
use regex::{Regex, RegexBuilder};

use super::decide::limits;

/// Whether conditions hold; of several, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Met {
    Yes,
    /// It depends on a payload that is not here.
    Unknown,
    No,
}

/// Whether a condition holds for an argument. Limits over a grant's life are not its business,
/// except that there must be something to sum.
pub(super) fn met(condition: &Condition, arg: ArgView<'_>) -> Met {
    let Condition { equals, one_of, prefix, min, max, matches, sum_max } = condition;
    let value = match arg {
        ArgView::None => return Met::No,
        ArgView::Opaque => return Met::Unknown,
        ArgView::Bool(it) => Some(Value::Bool(it)),
        ArgView::Int(it) => Some(Value::Int(it)),
        ArgView::Text(it) => Some(Value::Text(it.into())),
        ArgView::List(it) => Some(Value::List(it.to_vec())),
        ArgView::Absent { .. } => None,
    };
    let size = match arg {
        ArgView::Int(number) => Some(number),
        ArgView::List(items) => i64::try_from(items.len()).ok(),
        other => amount(other).map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    };
    let is_within = min.is_none_or(|min| size.is_some_and(|size| size >= min))
        && max.is_none_or(|max| size.is_some_and(|size| size <= max))
        && (sum_max.is_none() || amount(arg).is_some());
    let speaks_of_content =
        equals.is_some() || one_of.is_some() || prefix.is_some() || matches.is_some();
    let Some(value) = value else {
        return match (is_within, speaks_of_content) {
            (false, _) => Met::No,
            (true, true) => Met::Unknown,
            (true, false) => Met::Yes,
        };
    };
    let begins = |begin: &Value| match (begin, &value) {
        (Value::Text(begin), Value::Text(it)) => it.starts_with(begin.as_str()),
        (Value::List(begin), Value::List(it)) => it.starts_with(begin),
        _ => false,
    };
    let is_match = |text: &String| {
        matches!((anchored(text), &value), (Ok(regex), Value::Text(it)) if regex.is_match(it))
    };
    let holds = is_within
        && equals.as_ref().is_none_or(|it| *it == value)
        && one_of.as_ref().is_none_or(|them| them.contains(&value))
        && prefix.as_ref().is_none_or(begins)
        && matches.as_ref().is_none_or(is_match);
    if holds { Met::Yes } else { Met::No }
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
    let is_wrong = grant.rights.is_empty()
        || grant.uses == Some(0)
        || grant.calls_max == Some(0)
        || grant.delegable > super::hand::DEPTH_MAX
        || grant.when.0.len() > 16
        || (grant.effect == Effect::Deny && !limits(grant).is_empty())
        || !grant.when.0.iter().all(|(name, condition)| fits(name, condition, grant));
    let error = || FailureKind::BadGrant.because("no such grant can be");
    if is_wrong { Err(error()) } else { Ok(()) }
}

/// Whether a condition makes sense, and some call the grant speaks of has such an argument.
fn fits(name: &str, condition: &Condition, grant: &GrantSpec) -> bool {
    use ArgType::{Bool, Int, List, Text};
    let Condition { equals, one_of, prefix, min, max, matches, sum_max } = condition;
    let values = || equals.iter().chain(prefix).chain(one_of.iter().flatten());
    let kind = |value: &Value| match value {
        Value::Bool(_) => (Bool, true),
        Value::Int(_) => (Int, true),
        Value::Text(text) => (Text, text.len() <= 4096),
        Value::List(items) => {
            (List, items.len() <= 64 && items.iter().all(|item| item.len() <= 4096))
        }
    };
    let is_sound = *condition != Condition::default()
        && min.zip(*max).is_none_or(|(min, max)| min <= max)
        && one_of.as_ref().is_none_or(|values| (1..=64).contains(&values.len()))
        && values().all(|value| kind(value).1)
        && matches.as_ref().is_none_or(|text| text.len() <= 1024 && anchored(text).is_ok());
    let suits = |arg: ArgType| {
        let only = |is_there: bool, kinds: &[ArgType]| !is_there || kinds.contains(&arg);
        values().all(|value| kind(value).0 == arg)
            && only(prefix.is_some(), &[Text, List])
            && only(min.is_some() || max.is_some(), &[Text, List, Int])
            && only(matches.is_some(), &[Text])
            && only(sum_max.is_some(), &[Text, Int])
    };
    let is_meant = |demand: DemandInfo| {
        matches!(demand, DemandInfo::Right(right, kind)
            if grant.rights.contains(right) && kind == grant.on.kind())
    };
    let calls = SERVICES.iter().flat_map(|service| service.calls);
    let mut args = calls.filter(|call| is_meant(call.demand)).flat_map(|call| call.args);
    is_sound && args.any(|arg| arg.name == name && suits(arg.arg))
}
