//! Payloads: text and JSON that travel inline while small and by digest once large.
//!
//! The kernel's state holds no large payload. When a call or reply enters the kernel, every text
//! of [`INLINE_BYTES_MAX`] and more becomes a reference to a content-addressed blob; the edge puts
//! the bytes back before a provider or a caller sees them. A caller can never *send* a reference:
//! knowing a digest grants nothing.

use std::{borrow::Cow, sync::Arc};

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use crate::{Digest, joined::Joined};

/// The size in bytes from which a payload is stored as a blob: a page, where one sequential
/// write into a segment file becomes cheaper than a row.
pub const INLINE_BYTES_MAX: usize = 4096;

/// UTF-8 text, inline or by digest. Two words; an empty one takes no memory besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// The text itself.
    Inline(Arc<str>),
    /// A text kept in the blob store.
    Blob(Arc<BlobRef>),
}

/// Where a text that is not here is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// The content's digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is joined of; if absent, it is kept as a whole.
    pub joined: Option<Joined>,
}

impl Encode for Text {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self {
            Self::Inline(text) => (0_u32, text).encode(encoder),
            Self::Blob(blob) => match &blob.joined {
                None => (1_u32, blob.digest, blob.bytes).encode(encoder),
                Some(joined) => (2_u32, blob.digest, blob.bytes, joined).encode(encoder),
            },
        }
    }
}

impl<C> Decode<C> for Text {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let found = u32::decode(decoder)?;
        if found == 0 {
            return Ok(Self::Inline(Decode::decode(decoder)?));
        }
        let (digest, bytes) = Decode::decode(decoder)?;
        let joined = match found {
            1 => None,
            2 => Some(Decode::decode(decoder)?),
            _ => {
                let allowed = &bincode::error::AllowedEnumVariants::Range { min: 0, max: 2 };
                let type_name = "Text";
                return Err(DecodeError::UnexpectedVariant { type_name, allowed, found });
            }
        };
        Ok(Self::Blob(Arc::new(BlobRef { digest, bytes, joined })))
    }
}

bincode::impl_borrow_decode!(Text);

impl Default for Text {
    fn default() -> Self {
        Self::Inline(Arc::default())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        match text.is_empty() {
            true => Self::default(),
            false => Self::Inline(text.into()),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl Text {
    /// A text that is kept in the blob store.
    #[must_use]
    pub fn blob(digest: Digest, bytes: u64) -> Self {
        Self::Blob(Arc::new(BlobRef { digest, bytes, joined: None }))
    }

    /// The text, if it is here.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Inline(text) => Some(text),
            Self::Blob(_) => None,
        }
    }

    /// Its length in bytes, wherever it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Inline(text) => text.len() as u64,
            Self::Blob(blob) => blob.bytes,
        }
    }

    /// The digest of the content, wherever it is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Inline(text) => Digest::of(text.as_bytes()),
            Self::Blob(blob) => blob.digest,
        }
    }

    /// Turns a large inline text into a reference; returns what is to be stored.
    pub fn spill(&mut self) -> Vec<(Digest, Arc<[u8]>)> {
        let Self::Inline(text) = self else {
            return Vec::new();
        };
        if text.len() < INLINE_BYTES_MAX {
            return Vec::new();
        }
        let strings = self.spill_strings();
        if !strings.is_empty() {
            return strings;
        }
        let Self::Inline(text) = self else { return strings };
        let bytes: Arc<[u8]> = Arc::from(Arc::clone(text));
        let digest = Digest::of(&bytes);
        *self = Self::blob(digest, bytes.len() as u64);
        vec![(digest, bytes)]
    }

    /// Turns the large strings in an inline text into references, however short the text is;
    /// returns what is to be stored. Short texts with large strings are likely to be told again.
    pub fn spill_strings(&mut self) -> Vec<(Digest, Arc<[u8]>)> {
        let Self::Inline(text) = self else { return Vec::new() };
        let Some((joined, blobs)) = Joined::of(text) else { return Vec::new() };
        let (digest, bytes) = (Digest::of(text.as_bytes()), text.len() as u64);
        *self = Self::Blob(Arc::new(BlobRef { digest, bytes, joined: Some(joined) }));
        blobs
    }

    /// Puts a text that is not here in full, with what is stored by its digest from `load`; whether
    /// that is the text.
    ///
    /// # Errors
    /// That of `load`.
    pub fn restore<E>(
        &mut self,
        mut load: impl FnMut(&Digest) -> Result<Arc<str>, E>,
    ) -> Result<bool, E> {
        let Self::Blob(blob) = self else { return Ok(true) };
        let text = match &blob.joined {
            None => Some(load(&blob.digest)?),
            Some(joined) => {
                let text = joined.text(blob.bytes, load)?;
                text.filter(|text| Digest::of(text.as_bytes()) == blob.digest).map(Arc::from)
            }
        };
        let is_whole = text.is_some();
        text.into_iter().for_each(|text| *self = Self::Inline(text));
        Ok(is_whole)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Inline(text) => s.serialize_str(text),
            Self::Blob(blob) => match &blob.joined {
                // What is hashed or read back is all of it.
                Some(joined) if !s.is_human_readable() => {
                    (blob.digest, blob.bytes, joined).serialize(s)
                }
                _ => Reference { blob: blob.digest, bytes: blob.bytes }.serialize(s),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d).map(|text| Self::from(&*text))
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// How a payload that is not here prints.
#[derive(Serialize)]
struct Reference {
    blob: Digest,
    bytes: u64,
}

/// A JSON value, kept as its canonical text (object keys sorted, no white space).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Json(pub Text);

impl Default for Json {
    fn default() -> Self {
        Self(Text::from("null"))
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self(Text::from(value.to_string()))
    }
}

impl Json {
    /// The value.
    ///
    /// # Errors
    /// When the payload is not here but in the blob store, or is no JSON.
    pub fn value(&self) -> Result<serde_json::Value, serde_json::Error> {
        match self.0.as_str() {
            Some(text) => serde_json::from_str(text),
            None => serde_json::to_value(&self.0),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            self.value().map_err(S::Error::custom)?.serialize(s)
        } else {
            self.0.serialize(s)
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let value = serde_json::Value::deserialize(d)?;
            Ok(Self::from(&value))
        } else {
            let text = Text::deserialize(d)?;
            let inline = text.as_str().unwrap_or_default();
            serde_json::from_str::<serde::de::IgnoredAny>(inline).map_err(D::Error::custom)?;
            Ok(Self(text))
        }
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

/// A length of time in milliseconds; written as a number or as text such as `250ms`, `30s`,
/// `10m`, `1h`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Millis(pub u64);

impl std::str::FromStr for Millis {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no duration: write 250ms, 30s, 10m, 1h or 2d");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let unit = match &text[digits..] {
            "ms" | "" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(bad)
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let (size, name) = units
            .into_iter()
            .find(|(size, _)| self.0 != 0 && self.0.is_multiple_of(*size))
            .unwrap_or((1, "ms"));
        write!(f, "{}{name}", self.0 / size)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of milliseconds or text such as \"10m\"")]
        enum Written {
            Number(u64),
            Text(String),
        }
        if !d.is_human_readable() {
            return u64::deserialize(d).map(Self);
        }
        match Written::deserialize(d)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> Cow<'static, str> {
        "Millis".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "milliseconds, or text such as 250ms, 30s, 10m, 1h, 2d",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)?$" },
            ],
        })
    }
}
