//! Identifiers: typed, counted, printed with a prefix.
//!
//! An id names a thing and nothing more: **knowing an id grants nothing**. Ids are counted by the
//! kernel, so the same journal always gives the same ids. They print as `p7`, `cap-3`, `obj-7.12`
//! and are read back from the same text.
//!
//! ```
//! use libos_abi::Pid;
//! assert_eq!(Pid(7).to_string(), "p7");
//! assert_eq!("p7".parse::<Pid>().unwrap(), Pid(7));
//! ```

use std::{fmt, str::FromStr};

use bincode::{Decode, Encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind} id; such an id looks like `{example}`")]
pub struct BadId {
    text: String,
    kind: &'static str,
    example: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix($prefix)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| BadId {
                        text: text.into(),
                        kind: $kind,
                        example: concat!($prefix, "1").into(),
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u64(self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    String::deserialize(d)?.parse().map_err(D::Error::custom)
                } else {
                    u64::deserialize(d).map(Self)
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "[0-9]+$") })
            }
        }
    )*};
}

ids! {
    /// A process.
    Pid, "p", "process";
    /// A capability: one grant to one subject.
    CapId, "cap-", "capability";
    /// A view: a list of objects made for a context.
    ViewId, "view-", "view";
    /// A request to a human.
    RequestId, "req-", "request";
    /// One system call of one process, from submission to outcome; for a call with an outside
    /// effect it is also the id under which the effect is performed, repeated and reconciled.
    OpId, "op-", "operation";
    /// A message between processes.
    MessageId, "msg-", "message";
    /// The position of a record in the journal; the first record is 0.
    Seq, "#", "record";
}

macro_rules! ids_of_a_process {
    ($($(#[$doc:meta])* $name:ident { $(#[$of:meta])* $process:ident }
        $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
        pub struct $name {
            $(#[$of])*
            pub $process: Pid,
            /// Its number there, from 1.
            pub number: u64,
        }

        impl $name {
            /// The one of this number that belongs to this process.
            #[must_use]
            pub const fn new($process: u64, number: u64) -> Self {
                Self { $process: Pid($process), number }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}.{}"), self.$process.0, self.number)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let number = |digits: &str| {
                    let plain = digits.bytes().all(|b| b.is_ascii_digit());
                    plain.then(|| digits.parse().ok()).flatten()
                };
                text.strip_prefix($prefix)
                    .and_then(|rest| rest.split_once('.'))
                    .and_then(|(process, rest)| Some(Self::new(number(process)?, number(rest)?)))
                    .ok_or_else(|| BadId {
                        text: text.into(),
                        kind: $kind,
                        example: concat!($prefix, "1.1").into(),
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() {
                    s.collect_str(self)
                } else {
                    (self.$process, self.number).serialize(s)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    String::deserialize(d)?.parse().map_err(D::Error::custom)
                } else {
                    let ($process, number) = Deserialize::deserialize(d)?;
                    Ok(Self { $process, number })
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let pattern = concat!("^", $prefix, "[0-9]+\\.[0-9]+$");
                json_schema!({ "type": "string", "pattern": pattern })
            }
        }
    )*};
}

ids_of_a_process! {
    /// An object in Object Memory: `obj-7.12` is object 12 in the space of p7.
    ///
    /// A space is the memory of one process. A copy of a space keeps the numbers in it, so what p9
    /// copied of `obj-7.12` is `obj-9.12`.
    ObjectId {
        /// The process whose memory it is in.
        space
    } "obj-", "object";
    /// A checkpoint: `ckpt-7.2` is checkpoint 2 of p7 and all below it.
    CheckpointId {
        /// The process.
        process
    } "ckpt-", "checkpoint";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pattern, Resource};

    #[test]
    fn an_object_id_reads_back_from_its_text_and_nothing_else_does() {
        for id in [ObjectId::new(7, 12), ObjectId::new(0, 0), ObjectId::new(u64::MAX, u64::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(ObjectId::new(7, 12).to_string(), "obj-7.12");
        for bad in ["", "obj-", "obj-7", "obj-7.", "obj-.7", "obj-7.1.2", "obj-+7.1", "7.12"] {
            let error = bad.parse::<ObjectId>().expect_err("it is no id").to_string();
            assert_eq!(error, format!("`{bad}` is no object id; such an id looks like `obj-1.1`"));
        }
        assert!("obj-18446744073709551616.1".parse::<ObjectId>().is_err(), "it is too large");
    }

    #[test]
    fn a_space_covers_its_objects_and_those_of_no_other() {
        let on = Resource::object(ObjectId::new(7, 12));
        assert_eq!(on.as_str(), "object:p7/12");
        assert!(Pattern::space(Pid(7)).matches(&on));
        assert!(Pattern::space(Pid(7)).matches(&Resource::space(Pid(7))));
        for other in [1, 70, 77] {
            assert!(!Pattern::space(Pid(other)).matches(&on), "p{other}");
        }
    }
}
