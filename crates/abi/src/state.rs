//! State digests: what tells two states of a component apart.
//!
//! A component's state is known through serde only. It is hashed in a form that describes itself:
//! every value carries its kind, every text and every sequence its length or its end, every field
//! its name. So two states that differ anywhere differ in what is hashed, even where a field was
//! left out (`skip_serializing_if`), which bincode would leave ambiguous. Nothing is ever read back
//! from this form, and it is not part of the ABI.

use std::fmt::Display;

use serde::{Serialize, Serializer, ser};

use crate::Digest;

/// The digest of a state: equal for equal states, different for different ones.
///
/// Maps must serialize in a fixed order, as those of `BTreeMap` and `imbl::OrdMap` do.
///
/// # Panics
/// Never for kernel state: none of its types refuses to be serialized.
#[must_use]
pub fn state_digest<T: Serialize>(state: &T) -> Digest {
    let mut writer = Writer(blake3::Hasher::new());
    state.serialize(&mut writer).expect("kernel state holds only types that serialize totally");
    Digest(*writer.0.finalize().as_bytes())
}

/// Serializes into a hash.
struct Writer(blake3::Hasher);

impl Writer {
    /// One value of fixed length.
    fn fixed(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Refused> {
        self.0.update(&[kind]);
        self.0.update(bytes);
        Ok(())
    }

    /// One value of any length.
    fn sized(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Refused> {
        self.fixed(kind, &(bytes.len() as u64).to_le_bytes())?;
        self.0.update(bytes);
        Ok(())
    }

    fn open(&mut self, kind: u8) -> Result<&mut Self, Refused> {
        self.0.update(&[kind]);
        Ok(self)
    }

    fn field<T: ?Sized + Serialize>(&mut self, name: &str, value: &T) -> Result<(), Refused> {
        self.sized(b'.', name.as_bytes())?;
        value.serialize(self)
    }

    fn close(&mut self) -> Result<(), Refused> {
        self.0.update(b"]");
        Ok(())
    }
}

/// A type that refused to be serialized.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl ser::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

macro_rules! fixed {
    ($($method:ident($type:ty) = $kind:literal;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Refused> {
            self.fixed($kind, &value.to_le_bytes())
        }
    )*};
}

impl Serializer for &mut Writer {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fixed! {
        serialize_i8(i8) = b'a';
        serialize_i16(i16) = b'b';
        serialize_i32(i32) = b'c';
        serialize_i64(i64) = b'd';
        serialize_i128(i128) = b'e';
        serialize_u8(u8) = b'A';
        serialize_u16(u16) = b'B';
        serialize_u32(u32) = b'C';
        serialize_u64(u64) = b'D';
        serialize_u128(u128) = b'E';
        serialize_f32(f32) = b'f';
        serialize_f64(f64) = b'F';
    }

    fn serialize_bool(self, value: bool) -> Result<(), Refused> {
        self.fixed(b'?', &[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<(), Refused> {
        self.fixed(b'\'', &u32::from(value).to_le_bytes())
    }

    fn serialize_str(self, value: &str) -> Result<(), Refused> {
        self.sized(b'"', value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refused> {
        self.sized(b'x', value)
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.fixed(b'-', &[])
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Refused> {
        value.serialize(self.open(b'+')?)
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.fixed(b'0', &[])
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Refused> {
        self.sized(b'|', variant.as_bytes())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        self.sized(b':', variant.as_bytes())?;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Refused> {
        self.open(b'[')
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        self.open(b'(')
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        self.open(b'(')
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.sized(b't', variant.as_bytes())?;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Refused> {
        self.open(b'{')
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        self.open(b's')
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.sized(b'v', variant.as_bytes())?;
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! items {
    ($($part:ident::$method:ident),*) => {$(
        impl ser::$part for &mut Writer {
            type Ok = ();
            type Error = Refused;
            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Refused> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Refused> {
                self.close()
            }
        }
    )*};
}
items!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! fields {
    ($($part:ident),*) => {$(
        impl ser::$part for &mut Writer {
            type Ok = ();
            type Error = Refused;
            fn serialize_field<T: ?Sized + Serialize>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Refused> {
                self.field(name, value)
            }
            fn end(self) -> Result<(), Refused> {
                self.close()
            }
        }
    )*};
}
fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Writer {
    type Ok = ();
    type Error = Refused;
    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Refused> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Refused> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{Condition, GrantSpec, Json, Millis, Text, Value, image::Image};

    fn grant(change: impl FnOnce(&mut GrantSpec)) -> GrantSpec {
        let on = "fs:workspace/*".parse().expect("a pattern");
        let mut grant = GrantSpec::allow(on, crate::Rights::all());
        change(&mut grant);
        grant
    }

    fn all_differ<T: Serialize>(states: &[T]) {
        let digests: BTreeSet<Digest> = states.iter().map(state_digest).collect();
        assert_eq!(digests.len(), states.len());
    }

    #[test]
    fn states_that_differ_in_one_field_that_may_be_left_out_have_different_digests() {
        // Most differ in where one number stands and in nothing else: a form without names may not
        // tell those that are as wide from each other.
        let when = |change: fn(&mut Condition)| {
            grant(|grant| {
                let mut condition = Condition::default();
                change(&mut condition);
                grant.when.0.insert("path".into(), condition);
            })
        };
        all_differ(&[
            grant(|_| ()),
            grant(|grant| grant.uses = Some(7)),
            grant(|grant| grant.expires = Some(Millis(7))),
            grant(|grant| grant.calls_max = Some(7)),
            grant(|grant| grant.delegable = 7),
            grant(|grant| grant.delegable = 1),
            when(|_| ()),
            when(|condition| condition.min = Some(7)),
            when(|condition| condition.max = Some(7)),
            when(|condition| condition.sum_max = Some(7)),
            when(|condition| condition.equals = Some(Value::Int(7))),
            when(|condition| condition.matches = Some("7".into())),
            when(|condition| condition.equals = Some(Value::Text("7".into()))),
            when(|condition| condition.prefix = Some(Value::Text("7".into()))),
        ]);
        let image =
            |planner| Image { name: "a".into(), version: "1".into(), planner, ..Image::default() };
        let spec = crate::process::PlannerSpec { kind: "none".into(), program: Text::default() };
        all_differ(&[image(None), image(Some(spec))]);
    }

    #[test]
    fn a_payload_is_told_from_a_reference_to_one() {
        let digest = Digest::of(b"x");
        let blob = Text::blob(digest, 5);
        let alike = serde_json::json!({ "blob": digest, "bytes": 5 });
        all_differ(&[Json(blob), Json::from(&alike), Json::default()]);
    }

    #[test]
    fn where_one_part_ends_and_the_next_begins_is_hashed() {
        all_differ(&[("a", "bc"), ("ab", "c")]);
        all_differ(&[vec![vec![1_u8], vec![2]], vec![vec![1, 2]], vec![vec![1, 2], vec![]]]);
        all_differ(&[BTreeMap::from([(1_u8, 2_u8)]), BTreeMap::from([(2, 1)]), BTreeMap::new()]);
        all_differ(&[Some(Some(1_u8)), Some(None), None]);
        assert_eq!(state_digest(&vec![1_u8]), state_digest(&vec![1_u8]));
    }
}
