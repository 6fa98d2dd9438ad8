//! The head of a journal: how many records, and the root over them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::hex;

/// A SHA-256 value of the tree: a leaf, a node or a root. Printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// The hash with these bytes, if there are 32 of them.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// What pins a journal: keep one elsewhere, and no record before it can change unseen.
///
/// Prints as `size:root` and is read back from the same text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Records before this head; the next one gets `Seq(size)`.
    pub size: u64,
    /// RFC 6962 root over those records.
    pub root: TreeHash,
}

/// A text that is no head or no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind}; it looks like `{example}`")]
pub struct BadHead {
    text: String,
    kind: &'static str,
    example: &'static str,
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

impl FromStr for TreeHash {
    type Err = BadHead;
    fn from_str(text: &str) -> Result<Self, BadHead> {
        hex::decode(text).and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| BadHead {
            text: text.into(),
            kind: "tree hash",
            example: "64 lower-case hexadecimal digits",
        })
    }
}

impl Serialize for TreeHash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for TreeHash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(D::Error::custom)
        } else {
            <[u8; 32]>::deserialize(d).map(Self)
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.root)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({self})")
    }
}

impl FromStr for Head {
    type Err = BadHead;
    fn from_str(text: &str) -> Result<Self, BadHead> {
        let parse = || {
            let (size, root) = text.split_once(':')?;
            if !size.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Some(Self { size: size.parse().ok()?, root: root.parse().ok()? })
        };
        parse().ok_or_else(|| BadHead {
            text: text.into(),
            kind: "head of a journal",
            example: "12:<64 lower-case hexadecimal digits>",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_from_its_text() {
        let head = Head { size: 12, root: TreeHash([0xab; 32]) };
        assert_eq!(head.to_string().parse(), Ok(head));
        let json = serde_json::to_string(&head).unwrap();
        assert_eq!(json, format!("{{\"size\":12,\"root\":\"{}\"}}", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Head>(&json).unwrap(), head);
        for bad in ["", "12", "12:", "+1:00", ":ab", "1:zz"] {
            assert!(bad.parse::<Head>().is_err(), "{bad}");
        }
    }
}
