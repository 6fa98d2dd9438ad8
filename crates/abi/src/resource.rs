//! Resources and patterns: what authority is about.
//!
//! A resource is `kind:body` in canonical form: `fs:workspace/src/a.rs`, `shell:cargo`,
//! `object:p7/12`. A pattern is one of three forms and nothing else:
//!
//! | form | covers |
//! | --- | --- |
//! | `fs:workspace/src/a.rs` | exactly that resource |
//! | `fs:workspace/src/*` | `fs:workspace/src` and everything below it through `/` |
//! | `process:*` | everything of the kind, or of the part before `:*`, through `:` |
//!
//! There is no prefix match on raw text: `fs:workspace/src/*` does not cover
//! `fs:workspace/src2`. Body characters other than letters, digits, `-._~` and the separators are
//! percent-encoded, so a star or colon in a file name can never become syntax.

use std::{borrow::Cow, fmt, str::FromStr};

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smol_str::{SmolStr, SmolStrBuilder, format_smolstr};

use crate::{CheckpointId, ObjectId, Pid};

/// The longest resource or pattern, in bytes: a 4,096-byte path, percent-encoded at worst.
pub const RESOURCE_BYTES_MAX: usize = 3 * 4096 + 64;

/// A text that is no resource or pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {why}")]
pub struct BadResource {
    text: String,
    what: &'static str,
    why: &'static str,
}

/// The canonical name of one protected thing. Short ones (up to 23 bytes) need no allocation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(SmolStr);

impl Resource {
    /// `kind:body`, where `body` may be any text: it is percent-encoded as one segment.
    #[must_use]
    pub fn named(kind: &str, body: &str) -> Self {
        Self(format_smolstr!("{kind}:{}", encode_segment(body)))
    }

    /// `kind:id` for an id, whose text is canonical already.
    #[must_use]
    pub fn id(kind: &str, id: impl fmt::Display) -> Self {
        Self(format_smolstr!("{kind}:{id}"))
    }

    /// An object: `object:p7/12`, so that `object:p7/*` speaks of the whole space of p7.
    #[must_use]
    pub fn object(id: ObjectId) -> Self {
        Self(format_smolstr!("object:{}/{}", id.space, id.number))
    }

    /// A checkpoint: `checkpoint:p7/2`, so that `checkpoint:p7/*` speaks of all of p7.
    #[must_use]
    pub fn checkpoint(id: CheckpointId) -> Self {
        Self(format_smolstr!("checkpoint:{}/{}", id.process, id.number))
    }

    /// The memory of a process as a whole: `object:p7`.
    #[must_use]
    pub fn space(space: Pid) -> Self {
        Self(format_smolstr!("object:{space}"))
    }

    /// `kind:one/two`, where each may be any text: it is percent-encoded as one segment.
    #[must_use]
    pub fn segments(kind: &str, segments: &[&str]) -> Self {
        let segments: Vec<_> = segments.iter().map(|segment| encode_segment(segment)).collect();
        Self(format_smolstr!("{kind}:{}", segments.join("/")))
    }

    /// `fs:<path>`, where `path` is a canonical path whose first segment is the mount.
    #[must_use]
    pub fn file(path: &str) -> Self {
        let mut text = SmolStrBuilder::new();
        text.push_str("fs:");
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                text.push('/');
            }
            text.push_str(&encode_segment(segment));
        }
        Self(text.finish())
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// The part after the first colon.
    #[must_use]
    pub fn body(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, body)| body)
    }
}

impl FromStr for Resource {
    type Err = BadResource;
    fn from_str(text: &str) -> Result<Self, BadResource> {
        let canonical = canonical(text, "resource")?;
        match canonical.contains('*') {
            false => Ok(Self(canonical.into())),
            true => Err(bad(text, "resource", "a star belongs to patterns")),
        }
    }
}

/// Which resources a grant speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(SmolStr);

/// The form of a [`Pattern`], with the text before its star.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// This resource only.
    Exact(&'a str),
    /// The resource and everything below it through `/`.
    Subtree(&'a str),
    /// The resource and everything below it through `:`; of a whole kind when it has no colon.
    Prefix(&'a str),
}

impl Pattern {
    /// The pattern that covers exactly `resource`.
    #[must_use]
    pub fn exact(resource: &Resource) -> Self {
        Self(resource.0.clone())
    }

    /// The pattern that covers every checkpoint of a process: `checkpoint:p7/*`.
    #[must_use]
    pub fn checkpoints(process: Pid) -> Self {
        Self(format_smolstr!("checkpoint:{process}/*"))
    }

    /// The pattern that covers the whole memory of a process: `object:p7/*`.
    #[must_use]
    pub fn space(space: Pid) -> Self {
        Self(format_smolstr!("object:{space}/*"))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of resources it speaks of.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// Its form.
    #[must_use]
    pub fn form(&self) -> Form<'_> {
        if let Some(base) = self.0.strip_suffix("/*") {
            Form::Subtree(base)
        } else if let Some(base) = self.0.strip_suffix(":*") {
            Form::Prefix(base)
        } else {
            Form::Exact(&self.0)
        }
    }

    /// Whether it covers `resource`.
    #[must_use]
    pub fn matches(&self, resource: &Resource) -> bool {
        covers_text(self.form(), resource.as_str())
    }

    /// Whether it covers every resource that `other` covers.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.form(), other.form()) {
            (_, Form::Exact(text)) => covers_text(self.form(), text),
            (Form::Exact(_), _) => false,
            (Form::Subtree(a), Form::Subtree(b)) => below(a, b, '/'),
            (Form::Prefix(a), Form::Prefix(b)) => below(a, b, ':'),
            (Form::Prefix(a), Form::Subtree(b)) => below(a, b, ':') && a != b,
            (Form::Subtree(a), Form::Prefix(b)) => below(a, b, '/') && a != b,
        }
    }

    /// Whether some resource is covered by both. Symmetric.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.form(), other.form()) {
            (Form::Exact(a), form) | (form, Form::Exact(a)) => covers_text(form, a),
            // Two open forms meet exactly when one base lies within the other.
            (one, two) => covers_text(one, base(two)) || covers_text(two, base(one)),
        }
    }
}

fn base(form: Form<'_>) -> &str {
    match form {
        Form::Exact(text) | Form::Subtree(text) | Form::Prefix(text) => text,
    }
}

fn covers_text(form: Form<'_>, text: &str) -> bool {
    match form {
        Form::Exact(a) => a == text,
        Form::Subtree(a) => below(a, text, '/'),
        Form::Prefix(a) => below(a, text, ':'),
    }
}

/// Whether `text` is `base`, or `base` followed by `separator` and anything.
fn below(base: &str, text: &str, separator: char) -> bool {
    text.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
}

impl FromStr for Pattern {
    type Err = BadResource;
    fn from_str(text: &str) -> Result<Self, BadResource> {
        let canonical = canonical(text, "pattern")?;
        let body = canonical
            .strip_suffix("/*")
            .or_else(|| canonical.strip_suffix(":*"))
            .unwrap_or(&canonical);
        match body.contains('*') {
            false => Ok(Self(canonical.into())),
            true => Err(bad(text, "pattern", "a star may stand only at the end, as `/*` or `:*`")),
        }
    }
}

impl<C> Decode<C> for Resource {
    /// Takes what a demand can make: also names that nobody could write, such as `shell:` for an
    /// empty argument list.
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        let text: String = Decode::decode(d)?;
        match is_made(&text) {
            true => Ok(Self(text.into())),
            false => Err(undecoded(&text, "resource")),
        }
    }
}

bincode::impl_borrow_decode!(Resource);

impl<C> Decode<C> for Pattern {
    /// Takes canonical patterns, and the exact pattern of any resource.
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        let text: String = Decode::decode(d)?;
        let written = || text.parse::<Self>().is_ok_and(|pattern| pattern.as_str() == text);
        match is_made(&text) || written() {
            true => Ok(Self(text.into())),
            false => Err(undecoded(&text, "pattern")),
        }
    }
}

bincode::impl_borrow_decode!(Pattern);

fn undecoded(text: &str, what: &'static str) -> DecodeError {
    DecodeError::OtherString(bad(text, what, "it is not in canonical form").to_string())
}

/// Whether [`Resource::named`], [`Resource::id`] or [`Resource::file`] can have made a text: a
/// kind, then nothing but unreserved characters, separators and percent-encoded bytes that had to
/// be encoded.
fn is_made(text: &str) -> bool {
    let Some((kind, body)) = text.split_once(':') else {
        return false;
    };
    let hex = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_lowercase());
    let mut rest = body.as_bytes();
    loop {
        rest = match rest {
            [] => return is_kind(kind),
            [b'%', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) if !unreserved((high * 16 + low) as u8) => after,
                _ => return false,
            },
            [byte, after @ ..] if unreserved(*byte) || b"/:".contains(byte) => after,
            _ => return false,
        };
    }
}

fn is_kind(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn bad(text: &str, what: &'static str, why: &'static str) -> BadResource {
    BadResource { text: text.chars().take(200).collect(), what, why }
}

/// The canonical form of a written resource or pattern (a star is let through).
fn canonical(text: &str, what: &'static str) -> Result<String, BadResource> {
    if text.len() > RESOURCE_BYTES_MAX {
        return Err(bad(text, what, "it is too long"));
    }
    let Some((kind, body)) = text.split_once(':') else {
        return Err(bad(text, what, "it has no kind; write `kind:name`, as in `fs:workspace/*`"));
    };
    if !is_kind(kind) {
        return Err(bad(text, what, "its kind is no lower-case word"));
    }
    let mut out = String::with_capacity(text.len());
    out.push_str(kind);
    out.push(':');
    if body.starts_with('/') {
        return Err(bad(text, what, "its name begins with `/`; names begin with the mount"));
    }
    let mut segments = body.split('/').filter(|segment| !segment.is_empty()).peekable();
    if segments.peek().is_none() {
        return Err(bad(text, what, "it names nothing after the colon"));
    }
    for (index, segment) in segments.enumerate() {
        if index > 0 {
            out.push('/');
        }
        let start = out.len();
        for (index, part) in segment.split(':').enumerate() {
            if index > 0 {
                out.push(':');
            }
            encode_written(part, &mut out);
        }
        if matches!(&out[start..], "." | "..") {
            return Err(bad(text, what, "`.` and `..` are no names"));
        }
    }
    // Encoding lengthens: what comes out must be readable again.
    if out.len() > RESOURCE_BYTES_MAX {
        return Err(bad(text, what, "it is too long"));
    }
    Ok(out)
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Encodes a segment as people write it: `%41` is `A`; a star stays (it is checked later).
fn encode_written(part: &str, out: &mut String) {
    let mut bytes = part.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let hex = (byte == b'%').then(|| bytes.as_slice().get(..2)).flatten();
        let written = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match written {
            Some(byte) => {
                bytes.nth(1);
                if unreserved(byte) { out.push(byte as char) } else { push_encoded(byte, out) }
            }
            None if unreserved(byte) || byte == b'*' => out.push(byte as char),
            None => push_encoded(byte, out),
        }
    }
}

/// Encodes a raw name as one segment.
fn encode_segment(raw: &str) -> Cow<'_, str> {
    if raw.bytes().all(unreserved) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 8);
    for byte in raw.bytes() {
        if unreserved(byte) { out.push(byte as char) } else { push_encoded(byte, &mut out) }
    }
    Cow::Owned(out)
}

fn push_encoded(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(HEX[usize::from(byte >> 4)] as char);
    out.push(HEX[usize::from(byte & 15)] as char);
}

macro_rules! as_text {
    ($name:ident, $example:literal) => {
        impl Encode for $name {
            fn encode<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
                self.0.as_str().encode(e)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(D::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}
as_text!(Resource, "fs:workspace/src/a.rs");
as_text!(Pattern, "fs:workspace/src/*");

/// One thing that may be done to a resource. No right implies another.
#[derive(
    Debug,
    Clone,
    Copy,
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
pub enum Right {
    /// See its content or state.
    Read,
    /// Change or create it; for a human or a process, send to it.
    Write,
    /// Run it.
    Execute,
    /// Remove it.
    Delete,
    /// Connect objects.
    Link,
    /// Compare versions.
    Diff,
    /// Render into a model's context.
    Materialize,
    /// Hand on.
    Grant,
    /// Take back.
    Revoke,
    /// Decide for others.
    Approve,
    /// Administer.
    Admin,
    /// Have it used at a named place without seeing it.
    Use,
}

impl Right {
    /// Every right, in order.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Write,
        Self::Execute,
        Self::Delete,
        Self::Link,
        Self::Diff,
        Self::Materialize,
        Self::Grant,
        Self::Revoke,
        Self::Approve,
        Self::Admin,
        Self::Use,
    ];

    /// Its name as it is written in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
            Self::Delete => "delete",
            Self::Link => "link",
            Self::Diff => "diff",
            Self::Materialize => "materialize",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Approve => "approve",
            Self::Admin => "admin",
            Self::Use => "use",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rights; a list of names in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode)]
pub struct Rights(u16);

impl<C> Decode<C> for Rights {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        let bits = Decode::decode(d)?;
        Self::of_bits(bits).ok_or(DecodeError::Other("there is no such right"))
    }
}

bincode::impl_borrow_decode!(Rights);

impl Rights {
    /// Every right.
    #[must_use]
    pub fn all() -> Self {
        Right::ALL.into_iter().collect()
    }

    fn of_bits(bits: u16) -> Option<Self> {
        (bits >> Right::ALL.len() == 0).then_some(Self(bits))
    }

    /// Whether `right` is in it.
    #[must_use]
    pub fn contains(self, right: Right) -> bool {
        self.0 & (1 << right as u16) != 0
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members in order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.contains(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | 1 << right as u16))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, right) in self.iter().enumerate() {
            write!(f, "{}{right}", if index > 0 { "+" } else { "" })?;
        }
        Ok(())
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_seq(self.iter()) } else { s.serialize_u16(self.0) }
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            Ok(Vec::<Right>::deserialize(d)?.into_iter().collect())
        } else {
            let bits = u16::deserialize(d)?;
            Self::of_bits(bits).ok_or_else(|| D::Error::custom("there is no such right"))
        }
    }
}

impl JsonSchema for Rights {
    fn schema_name() -> Cow<'static, str> {
        "Rights".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let right = generator.subschema_for::<Right>();
        json_schema!({ "type": "array", "items": right, "uniqueItems": true })
    }
}
