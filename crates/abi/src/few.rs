//! Short lists that need no allocation: a demand, a verdict and a decision name one or two things.

use std::ops::{Deref, DerefMut};

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A list, two items of which need no allocation. Encodes, prints and reads like a `Vec`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Few<T>(#[serde(with = "as_list")] SmallVec<[T; 2]>);

impl<T> Few<T> {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self(SmallVec::new())
    }

    /// A list of one.
    #[must_use]
    pub fn one(item: T) -> Self {
        Self(SmallVec::from_iter([item]))
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.0.push(item);
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(items: Vec<T>) -> Self {
        Self(SmallVec::from_vec(items))
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(SmallVec::from_iter(items))
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.0.extend(items);
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = smallvec::IntoIter<[T; 2]>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Encode + 'static> Encode for Few<T> {
    fn encode<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.0.as_slice().encode(e)
    }
}

impl<C, T: Decode<C> + 'static> Decode<C> for Few<T> {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        Vec::<T>::decode(d).map(Self::from)
    }
}

impl<'de, C, T: Decode<C> + 'static> bincode::BorrowDecode<'de, C> for Few<T> {
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
        d: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(d)
    }
}

impl<T: JsonSchema> JsonSchema for Few<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Vec::<T>::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
    fn inline_schema() -> bool {
        true
    }
}

mod as_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use smallvec::SmallVec;

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        items: &SmallVec<[T; 2]>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(items)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<SmallVec<[T; 2]>, D::Error> {
        Vec::deserialize(d).map(SmallVec::from_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, state_digest, wire};

    #[test]
    fn it_encodes_prints_and_is_hashed_like_a_list() {
        for length in 0..5_u64 {
            let list: Vec<u64> = (0..length).collect();
            let few: Few<u64> = list.iter().copied().collect();
            assert_eq!(wire::encode(&few), wire::encode(&list));
            assert_eq!(wire::decode::<Few<u64>>(&wire::encode(&list)).ok(), Some(few.clone()));
            let digest: Digest = state_digest(&few);
            assert_eq!(digest, state_digest(&list));
            let json = serde_json::to_value(&few).expect("numbers are JSON");
            assert_eq!(json, serde_json::json!(list));
            assert_eq!(serde_json::from_value::<Few<u64>>(json).ok(), Some(few.clone()));
            assert_eq!(few, Few::from(list));
        }
        assert_eq!(schemars::schema_for!(Few<u64>), schemars::schema_for!(Vec<u64>));
    }

    #[test]
    fn it_keeps_the_order_in_which_items_came() {
        let mut few = Few::one("a");
        few.push("b");
        few.extend(["c"]);
        assert_eq!(&*few, ["a", "b", "c"]);
        assert_eq!(few.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
