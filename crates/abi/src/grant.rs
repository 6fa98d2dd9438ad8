//! Grants: how authority is written down.
//!
//! A [`GrantSpec`] is what a host's task file, a parent or a human asks for; the capability
//! component turns it into a capability of one subject. **Deny beats ask beats allow**, and no
//! match is a denial. Conditions speak of *arguments*, because a right on a tool is too coarse.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    CapId, Digest, Integrity, Label, Millis, OpId, Pattern, Pid, RequestId, Rights, Sensitivity,
    Source,
};

/// What a matching grant says.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Encode,
    Decode,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The call goes through, unless something denies or asks.
    #[default]
    Allow,
    /// A human decides, call by call.
    Ask,
    /// The call is refused, whatever else allows it.
    Deny,
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        })
    }
}

/// A grant as it is written in a task file, a spawn or a delegation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    /// `allow` (the default), `ask` or `deny`.
    #[serde(default)]
    pub effect: Effect,
    /// The resources it speaks of.
    pub on: Pattern,
    /// The rights it speaks of.
    pub rights: Rights,
    /// How often it may be used; absent is without limit. A finite grant cannot be delegated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How long it lives from now on; absent is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// How many times it may be handed on, one below the other; 0 (the default) is not at all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delegable: u8,
    /// How many calls it admits over its life, those of everyone it was handed to included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u64>,
    /// Conditions on arguments, by the argument's name. All must hold.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub when: Conditions,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl GrantSpec {
    /// A plain allow of `rights` on `on`.
    #[must_use]
    pub fn allow(on: Pattern, rights: Rights) -> Self {
        Self {
            effect: Effect::Allow,
            on,
            rights,
            uses: None,
            expires: None,
            delegable: 0,
            calls_max: None,
            when: Conditions::default(),
        }
    }
}

/// What bounds a process and all below it, whatever they are granted. A part that is absent bounds
/// nothing; one that is there and empty admits nothing. A child is bound by its own manifest and
/// by all above it, so bounds only ever get tighter.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What may be granted, by the host or by a human's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Vec<Bound>>,
    /// The calls that may be made, as `fs.read`, or as `fs.*` for a whole service. Calls that
    /// demand no right are not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<String>>,
    /// What its processes may ask a human for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requestable: Option<Vec<Bound>>,
}

/// Rights over resources, as a bound.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The resources.
    pub on: Pattern,
    /// The rights.
    pub rights: Rights,
}

/// Conditions by argument name. Those named `sensitivity`, `integrity` and `origin` are about the
/// label of what the caller has taken in. A condition may be written as the one value that it is
/// to equal.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Conditions(
    #[serde(deserialize_with = "written")]
    #[schemars(with = "BTreeMap<String, Written>")]
    pub BTreeMap<String, Condition>,
);

/// A condition as it is written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is there for its schema")]
enum Written {
    Equals(Value),
    Parts(Condition),
}

/// Reads conditions, each a value or its parts. An error names the part that is wrong, which one
/// of an untagged enum would not.
fn written<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Condition>, D::Error> {
    struct One(Condition);

    struct Visit;

    impl One {
        fn equals<E>(value: Value) -> Result<Self, E> {
            Ok(Self(Condition { equals: Some(value), ..Condition::default() }))
        }
    }

    impl<'de> Visitor<'de> for Visit {
        type Value = One;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a value, or a table of conditions")
        }
        fn visit_bool<E>(self, value: bool) -> Result<One, E> {
            One::equals(Value::Bool(value))
        }
        fn visit_i64<E>(self, value: i64) -> Result<One, E> {
            One::equals(Value::Int(value))
        }
        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<One, E> {
            let value = i64::try_from(value).map_err(|_| E::custom("the number is too large"))?;
            One::equals(Value::Int(value))
        }
        fn visit_str<E>(self, value: &str) -> Result<One, E> {
            One::equals(Value::Text(value.to_owned()))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<One, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            One::equals(Value::List(list))
        }
        fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<One, A::Error> {
            Condition::deserialize(MapAccessDeserializer::new(parts)).map(One)
        }
    }

    impl<'de> Deserialize<'de> for One {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            match d.is_human_readable() {
                true => d.deserialize_any(Visit),
                false => Condition::deserialize(d).map(Self),
            }
        }
    }

    let all = BTreeMap::<String, One>::deserialize(d)?;
    Ok(all.into_iter().map(|(name, One(condition))| (name, condition)).collect())
}

impl Conditions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What must hold of one argument. Every part that is present must hold.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// It is this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// It is one of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    /// The text begins with this text, or the list with this list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Value>,
    /// The number (of a text or list: its length, in bytes or items) is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// The number (of a text or list: its length, in bytes or items) is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// The whole text matches this regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// The sum of this number (of a text: of its bytes) over the grant's life stays within this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum_max: Option<u64>,
}

impl Condition {
    /// The words that a condition of this name may speak of, if it is not about an argument but
    /// about a part of the label of what the caller has taken in.
    #[must_use]
    pub fn words_of_label(name: &str) -> Option<&'static [&'static str]> {
        Some(match name {
            "sensitivity" => Sensitivity::NAMES,
            "integrity" => Integrity::NAMES,
            "origin" => Source::NAMES,
            _ => return None,
        })
    }

    /// Whether a condition on a part of the label holds for this one. Data that came from several
    /// places has the origin of each.
    #[must_use]
    pub fn holds_for_label(&self, name: &str, label: Label) -> bool {
        let is = |word: &str| {
            let equals = |value: &Value| matches!(value, Value::Text(text) if text == word);
            self.equals.as_ref().is_none_or(equals)
                && self.one_of.as_ref().is_none_or(|values| values.iter().any(equals))
        };
        match name {
            "sensitivity" => is(label.sensitivity.name()),
            "integrity" => is(label.integrity.name()),
            "origin" => label.origins.iter().any(|source| is(source.name())),
            _ => false,
        }
    }
}

/// A value an argument is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[derive(PartialOrd, Ord)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// The type of an argument, as conditions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgType {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A text.
    Text,
    /// A list of texts.
    List,
    /// Something no condition can speak of.
    Opaque,
}

/// An argument's value, borrowed from the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgView<'a> {
    /// Absent.
    None,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text that is here.
    Text(&'a str),
    /// A text in the blob store, of which only the length in bytes is known.
    Absent {
        /// Its length in bytes.
        bytes: u64,
    },
    /// A list of texts.
    List(&'a [String]),
    /// Something no condition can speak of.
    Opaque,
}

/// How far an approval reaches. Every approval holds for the exact arguments only.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This very operation.
    #[default]
    Once,
    /// The same call, this many times, by this process.
    Uses(u32),
    /// The same call by this process, as often as it likes.
    Process,
    /// The same call by this process and all below it.
    Subtree,
    /// The same call by this process for this long.
    Until(Millis),
}

/// What ties an approval to what was approved.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
pub struct Binding {
    /// The request that was approved.
    pub request: RequestId,
    /// The grants whose question it answers; it answers no other.
    pub answers: Vec<CapId>,
    /// The digest of the canonical call.
    pub digest: Digest,
    /// The one operation it is good for, if it is good for one only.
    pub op: Option<OpId>,
    /// Whether processes below the subject may use it as well.
    pub subtree: bool,
}

/// Where a capability came from.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The host's task file or command.
    Host,
    /// The kernel: a process's own object, its parent, its child.
    Kernel,
    /// Handed on by another process.
    Delegated {
        /// By whom.
        by: Pid,
    },
    /// A human's answer to a request.
    Human {
        /// The request.
        request: RequestId,
    },
}

/// Whether a capability can still be used.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In force.
    Active,
    /// Taken back, or an ancestor was.
    Revoked,
    /// Past its time, or an ancestor is.
    Expired,
    /// Every use is spent.
    Exhausted,
    /// Its subject has ended.
    Ended,
}

/// A capability as its holder and the host see it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
pub struct CapabilityInfo {
    /// Its id.
    pub id: CapId,
    /// The only process it works for.
    pub subject: Pid,
    /// `allow`, `ask` or `deny`.
    pub effect: Effect,
    /// The resources it speaks of.
    pub on: Pattern,
    /// The rights it speaks of.
    pub rights: Rights,
    /// Uses left, not counting those reserved.
    pub uses_left: Option<u32>,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
    /// How many times more it may be handed on.
    pub delegable: u8,
    /// Calls left over its life.
    pub calls_left: Option<u64>,
    /// Its conditions.
    pub when: Conditions,
    /// The capability it was cut from.
    pub parent: Option<CapId>,
    /// Where it came from.
    pub origin: Origin,
    /// For an approval: what it is tied to.
    pub binding: Option<Binding>,
    /// Whether it can still be used.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_digest;

    fn manifest(text: &str) -> Manifest {
        serde_json::from_str(text).expect("a manifest")
    }

    #[test]
    fn a_part_of_a_manifest_that_is_absent_is_told_from_an_empty_one() {
        let absent = manifest("{}");
        assert_eq!(absent, Manifest::default());
        for text in [r#"{"authority":[]}"#, r#"{"calls":[]}"#, r#"{"requestable":[]}"#] {
            let empty = manifest(text);
            assert_ne!(empty, absent);
            assert_ne!(state_digest(&empty), state_digest(&absent));
            assert_eq!(serde_json::to_string(&empty).expect("it is JSON"), text);
        }
        assert_eq!(serde_json::to_string(&absent).expect("it is JSON"), "{}");
    }

    #[test]
    fn a_condition_may_be_written_as_the_value_it_is_to_equal() {
        let read = |text: &str| serde_json::from_str::<Conditions>(text);
        for (short, long) in [
            (r#"{"integrity":"untrusted"}"#, r#"{"integrity":{"equals":"untrusted"}}"#),
            (r#"{"n":3,"b":true}"#, r#"{"n":{"equals":3},"b":{"equals":true}}"#),
            (r#"{"argv":["a","b"]}"#, r#"{"argv":{"equals":["a","b"]}}"#),
        ] {
            let (short, long) = (read(short).expect("conditions"), read(long).expect("conditions"));
            assert_eq!(short, long);
            let written = serde_json::to_string(&short).expect("it is JSON");
            assert_eq!(read(&written).expect("conditions"), short);
        }
        let error = read(r#"{"path":{"equal":"a"}}"#).expect_err("no part").to_string();
        assert!(error.contains("equal"), "{error}");
    }

    #[test]
    fn a_manifest_with_an_unknown_key_is_refused() {
        let texts = [
            r#"{"budget":{}}"#,
            r#"{"authority":[{"on":"fs:workspace/*","rights":["read"],"uses":1}]}"#,
            r#"{"authority":[{"on":"fs","rights":["read"]}]}"#,
        ];
        for text in texts {
            assert!(serde_json::from_str::<Manifest>(text).is_err(), "{text}");
        }
    }
}
