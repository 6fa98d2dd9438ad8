//! Data labels: how secret data is, how far it can be trusted, and where it came from.
//!
//! Labels form a lattice. What is made from several things has the [`join`](Label::join) of their
//! labels, which is never below any of them; data may go where its label
//! [is within](Label::is_within) the clearance. The bottom of the lattice is the label of
//! everything that nobody has labelled. The idea is Denning's (A Lattice Model of Secure
//! Information Flow, 1976).
//!
//! ```
//! use libos_abi::{Integrity, Label, Sensitivity, Source};
//!
//! let page = Label { integrity: Integrity::Untrusted, ..Label::from_source(Source::Net) };
//! let key = Label { sensitivity: Sensitivity::Secret, ..Label::from_source(Source::Fs) };
//! let both = page.join(key);
//! assert_eq!(both.to_string(), "secret, untrusted, from fs and net");
//! assert!(page.is_within(both) && key.is_within(both) && !both.is_within(page));
//! ```

use std::{fmt, sync::Arc};

use bincode::{Decode, Encode, de::Decoder, error::DecodeError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Digest, MessageId, ObjectId, Pid, Resource};

macro_rules! words {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident $word:literal,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize,
            Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        $vis enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Their names, in order.
            pub const NAMES: &'static [&'static str] = &[$($word),*];

            /// Its name as documents write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    )*};
}

words! {
    /// How far data may spread.
    #[derive(Default)]
    pub enum Sensitivity {
        /// Anywhere.
        #[default]
        Public "public",
        /// Within the organisation.
        Internal "internal",
        /// To those who need it.
        Confidential "confidential",
        /// Nowhere, unless somebody says so.
        Secret "secret",
    }

    /// How far data can be trusted to say what its reader is to do.
    #[derive(Default)]
    pub enum Integrity {
        /// It came from the host, or from those that the host trusts.
        #[default]
        Trusted "trusted",
        /// Anybody may have written it.
        Untrusted "untrusted",
    }

    /// Where data came from: the kind of the resource that was read.
    pub enum Source {
        /// A file.
        Fs "fs",
        /// A program of the host.
        Shell "shell",
        /// The network.
        Net "net",
        /// A model.
        Llm "llm",
        /// A tool server.
        Mcp "mcp",
        /// A human.
        Human "human",
        /// Something else.
        Other "other",
    }
}

impl Source {
    /// That of a resource of this kind.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        // Methods of endpoints are called over the network.
        let kind = if kind == "rpc" { "net" } else { kind };
        Self::ALL.iter().copied().find(|source| source.name() == kind).unwrap_or(Self::Other)
    }
}

/// A set of sources; a list of names in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode)]
pub struct Sources(u8);

impl Sources {
    /// All of them.
    pub const ALL: Self = Self((1 << Source::ALL.len()) - 1);

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether `source` is in it.
    #[must_use]
    pub fn contains(self, source: Source) -> bool {
        self.0 & (1 << source as u8) != 0
    }

    /// Its members in order.
    pub fn iter(self) -> impl Iterator<Item = Source> {
        Source::ALL.iter().copied().filter(move |source| self.contains(*source))
    }

    fn of_bits(bits: u8) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        Self(sources.into_iter().fold(0, |set, source| set | 1 << source as u8))
    }
}

impl<C> Decode<C> for Sources {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        Self::of_bits(Decode::decode(d)?).ok_or(DecodeError::Other("there is no such source"))
    }
}

bincode::impl_borrow_decode!(Sources);

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_seq(self.iter()) } else { s.serialize_u8(self.0) }
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            Ok(Vec::<Source>::deserialize(d)?.into_iter().collect())
        } else {
            let bits = u8::deserialize(d)?;
            Self::of_bits(bits).ok_or_else(|| D::Error::custom("there is no such source"))
        }
    }
}

impl JsonSchema for Sources {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sources".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<Source>::json_schema(generator)
    }
}

/// The label of some data, or the clearance of a place that data may go to. A part that is left
/// out is the lowest.
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
#[serde(deny_unknown_fields)]
pub struct Label {
    /// How far it may spread.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// How far it can be trusted.
    #[serde(default)]
    pub integrity: Integrity,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Sources::is_empty")]
    pub origins: Sources,
}

impl Label {
    /// The lowest label: of everything that nobody has labelled.
    pub const BOTTOM: Self = Self {
        sensitivity: Sensitivity::Public,
        integrity: Integrity::Trusted,
        origins: Sources(0),
    };

    /// The highest label: a clearance that takes everything.
    pub const TOP: Self = Self {
        sensitivity: Sensitivity::Secret,
        integrity: Integrity::Untrusted,
        origins: Sources::ALL,
    };

    /// The lowest label of data that came from there.
    #[must_use]
    pub fn from_source(source: Source) -> Self {
        Self { origins: [source].into_iter().collect(), ..Self::BOTTOM }
    }

    /// The label of what is made from data of both: the lowest that is not below either.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            sensitivity: self.sensitivity.max(other.sensitivity),
            integrity: self.integrity.max(other.integrity),
            origins: Sources(self.origins.0 | other.origins.0),
        }
    }

    /// The highest label that is not above either.
    #[must_use]
    pub fn meet(self, other: Self) -> Self {
        Self {
            sensitivity: self.sensitivity.min(other.sensitivity),
            integrity: self.integrity.min(other.integrity),
            origins: Sources(self.origins.0 & other.origins.0),
        }
    }

    /// Whether data with this label may go where `clearance` is the most that may be there.
    #[must_use]
    pub fn is_within(self, clearance: Self) -> bool {
        self.join(clearance) == clearance
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.sensitivity, self.integrity)?;
        let names: Vec<&str> = self.origins.iter().map(Source::name).collect();
        match names.split_last() {
            None => Ok(()),
            Some((last, [])) => write!(f, ", from {last}"),
            Some((last, rest)) => write!(f, ", from {} and {last}", rest.join(", ")),
        }
    }
}

/// What has a label of its own in the kernel's state.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Labelled {
    /// A process: the join of all that it has taken in.
    Process(Pid),
    /// An object, with all its versions so far.
    Object(ObjectId),
    /// A message in a mailbox.
    Message {
        /// Whose mailbox.
        to: Pid,
        /// The message.
        id: MessageId,
    },
    /// A file that was written through the kernel.
    File {
        /// The folder of the host behind the workspace it is in; absent in any other mount.
        workspace: Option<Arc<str>>,
        /// The file.
        on: Resource,
    },
    /// Every file that a program of the host may have written.
    Files {
        /// The folder of the host behind the workspace; absent for all other mounts.
        workspace: Option<Arc<str>>,
    },
    /// A generated tool, by the digest of all of it.
    Tool(Digest),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label() -> impl Strategy<Value = Label> {
        let sensitivity = prop::sample::select(Sensitivity::ALL);
        let integrity = prop::sample::select(Integrity::ALL);
        (sensitivity, integrity, 0..=Sources::ALL.0).prop_map(|(sensitivity, integrity, bits)| {
            Label { sensitivity, integrity, origins: Sources(bits) }
        })
    }

    proptest! {
        #[test]
        fn a_join_is_a_least_upper_bound(a in label(), b in label(), c in label()) {
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(a), a);
            prop_assert!(a.is_within(a.join(b)));
            prop_assert_eq!(a.is_within(c) && b.is_within(c), a.join(b).is_within(c));
            if a.is_within(b) {
                prop_assert!(a.join(c).is_within(b.join(c)), "monotone");
            }
            prop_assert!(a.meet(b).is_within(a) && a.meet(b).is_within(b));
            prop_assert!(Label::BOTTOM.is_within(a) && a.is_within(Label::TOP));
        }

        #[test]
        fn what_may_leave_with_a_label_may_leave_with_a_lower_one(
            high in label(), part in label(), clearance in label(),
        ) {
            if high.join(part).is_within(clearance) {
                prop_assert!(part.is_within(clearance));
            }
        }

        #[test]
        fn a_label_is_what_it_is_written_as(a in label()) {
            let json = serde_json::to_string(&a).expect("it is JSON");
            prop_assert_eq!(serde_json::from_str::<Label>(&json).expect("a label"), a);
            let bytes = crate::wire::encode(&a);
            prop_assert_eq!(crate::wire::decode::<Label>(&bytes).expect("a label"), a);
        }
    }

    #[test]
    fn labels_are_small_and_the_lowest_is_the_default() {
        assert!(size_of::<Label>() <= 4);
        assert_eq!(Label::default(), Label::BOTTOM);
        assert_eq!(Source::of_kind("shell"), Source::Shell);
        assert_eq!(Source::of_kind("rpc"), Source::Net);
        assert_eq!(Source::of_kind("clock"), Source::Other);
        assert!(crate::wire::decode::<Sources>(&[0xff]).is_err());
    }
}
