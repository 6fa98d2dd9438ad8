//! Grants, calls and decisions as text, so that a case is read at a glance.

use libos_abi::{CapId, DenyReason, GrantSpec, Syscall};
use libos_port::Decision;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A grant: `allow fs:workspace/* read+write uses=1 when={"path":{"prefix":"workspace/a"}}`.
/// Effect, pattern, rights (`-` for none), then the other parts as `key=JSON` without spaces.
///
/// # Panics
/// When the text is no grant.
#[must_use]
#[track_caller]
pub fn grant(text: &str) -> GrantSpec {
    let mut words = text.split_whitespace();
    let mut next = || words.next().expect("effect, pattern, rights");
    let (effect, on, rights) = (next(), next(), next());
    let rights: Vec<&str> = match rights {
        "-" => Vec::new(),
        rights => rights.split('+').collect(),
    };
    let mut json = serde_json::json!({ "effect": effect, "on": on, "rights": rights });
    for word in words {
        let (key, value) = word.split_once('=').expect("key=value");
        json[key] = serde_json::from_str(value).expect("a JSON value without spaces");
    }
    serde_json::from_value(json).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A call: its name, then its arguments as a JSON object, if it has any.
///
/// # Panics
/// When the text is no call.
#[must_use]
#[track_caller]
pub fn call(text: &str) -> Syscall {
    let (name, args) = text.split_once(' ').unwrap_or((text, "{}"));
    let args: Value = serde_json::from_str(args).unwrap_or_else(|error| panic!("{text}: {error}"));
    Syscall::from_json(name, args).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A value by its JSON, for one that grows optional parts: a call, an image.
///
/// # Panics
/// When the JSON is no such value.
#[must_use]
#[track_caller]
pub fn from<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap_or_else(|error| panic!("no such value: {error}"))
}

/// The call that reads a file, as text.
#[must_use]
pub fn read(path: &str) -> String {
    format!("fs.read {{\"path\":\"{path}\"}}")
}

/// A decision: `allow 1; 1 takes 1 use`, `ask 2,3`, `denied by 4`, `no grant`. `number` names a
/// capability.
#[must_use]
pub fn decision(decision: &Decision, number: impl Fn(CapId) -> u64) -> String {
    let list = |ids: &[CapId]| {
        let ids: Vec<String> = ids.iter().map(|id| number(*id).to_string()).collect();
        ids.join(",")
    };
    match decision {
        Decision::Allow { by, charges } => {
            let mut text = format!("allow {}", list(by));
            for charge in charges {
                text += &format!("; {} takes", number(charge.capability));
                for (amount, name) in [(u64::from(charge.uses), "use"), (charge.calls, "call")] {
                    if amount > 0 {
                        text += &format!(" {amount} {name}");
                    }
                }
                for sum in &charge.sums {
                    text += &format!(" {} of {}", sum.amount, sum.arg);
                }
            }
            text
        }
        Decision::Ask { by } => format!("ask {}", list(by)),
        Decision::Deny(denial) => match &denial.reason {
            DenyReason::NoGrant => "no grant".into(),
            DenyReason::DenyRule(id) => format!("denied by {}", number(*id)),
            DenyReason::Conditions(id) => format!("conditions of {}", number(*id)),
            DenyReason::Exhausted(id) => format!("exhausted {}", number(*id)),
            DenyReason::Limit(id) => format!("limit of {}", number(*id)),
            DenyReason::Expired(id) => format!("expired {}", number(*id)),
            DenyReason::Revoked(id) => format!("revoked {}", number(*id)),
            other => format!("{other:?}"),
        },
    }
}
