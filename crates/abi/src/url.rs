//! Addresses on the network, in one canonical form.
//!
//! A [`Url`] that exists is canonical: what authority was decided on is what is connected to and
//! what is sent. A text that two readers could read in two ways is no URL: it is refused and never
//! repaired. Nothing is looked up here.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ArgType, ArgView, Field, Resource};

/// The longest URL, in bytes: what most servers still take.
pub const URL_BYTES_MAX: usize = 4096;

/// How many times over a path may be percent-encoded.
const ENCODED_TIMES_MAX: usize = 3;

/// A text that is no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no URL that can be used: {0}")]
pub struct BadUrl(&'static str);

/// An `http` or `https` address in canonical form, such as `https://api.example.com/v1/users?a=1`.
///
/// Scheme and host are in lower case, the scheme's own port is left out, there is a path, what
/// need not be percent-encoded is not, and there are no credentials, no fragment and no `.` or
/// `..` in the path, however they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(String);

impl Url {
    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is encrypted and the server proves its name.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Host and port as they are written.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let authority = self.authority();
        let written = authority.rsplit_once(':').map(|(_, port)| port);
        let own = if self.is_https() { 443 } else { 80 };
        written.and_then(|port| port.parse().ok()).unwrap_or(own)
    }

    /// Path and query, as they are sent.
    #[must_use]
    pub fn target(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        let slash = self.0[start..].find('/').map_or(self.0.len(), |at| start + at);
        &self.0[slash..]
    }

    /// What authority over it is about: `net:api.example.com`, with the port unless it is 443.
    #[must_use]
    pub fn resource(&self) -> Resource {
        let host = match self.host() {
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        let text = match self.port() {
            443 => format!("net:{host}"),
            port => format!("net:{host}:{port}"),
        };
        text.parse().expect("a host and a port are a name")
    }

    /// The address that `reference` means in a reply to this one, as in the header `location`.
    ///
    /// # Errors
    /// [`BadUrl`] when it means none that can be used.
    pub fn join(&self, reference: &str) -> Result<Self, BadUrl> {
        let reference = reference.split('#').next().unwrap_or_default();
        let scheme = self.0.split(':').next().unwrap_or_default();
        let base = &self.0[..self.0.len() - self.target().len()];
        let path = self.target().split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_absolute =
            |text: &str| text.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
        match reference {
            text if is_absolute(text) => text.parse(),
            text if text.starts_with("//") => format!("{scheme}:{text}").parse(),
            text if text.starts_with('/') => format!("{base}{text}").parse(),
            text if text.is_empty() || text.starts_with('?') => {
                format!("{base}{path}{text}").parse()
            }
            text => format!("{base}{folder}/{text}").parse(),
        }
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(BadUrl("it is longer than 4,096 bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadUrl(
                "it holds a space, a control character or a letter beyond ASCII; percent-encode \
                 it, or write the host as `xn--`",
            ));
        }
        if text.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(BadUrl("it holds a character that must be percent-encoded"));
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl("it has no `https://`"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(BadUrl("its scheme is neither https nor http"));
        }
        if rest.contains('#') {
            return Err(BadUrl("it has a fragment, which is never sent"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let authority = authority_of(authority, &scheme)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = path_of(if path.is_empty() { "/" } else { path })?;
        let query =
            query.map(|query| recoded(query).map(|query| format!("?{query}"))).transpose()?;
        let url = format!("{scheme}://{authority}{path}{}", query.unwrap_or_default());
        // Leaving encodings out never lengthens; a path of its own may.
        match url.len() > URL_BYTES_MAX {
            true => Err(BadUrl("it is longer than 4,096 bytes")),
            false => Ok(Self(url)),
        }
    }
}

fn authority_of(written: &str, scheme: &str) -> Result<String, BadUrl> {
    if written.contains('@') {
        return Err(BadUrl("it holds credentials; use a secret of the host"));
    }
    let (host, port) = match written.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(BadUrl("its `[` is not closed"))?;
            let address: Ipv6Addr =
                host.parse().map_err(|_| BadUrl("what is in brackets is no IPv6 address"))?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(BadUrl("something follows its IPv6 address")),
            };
            (format!("[{address}]"), port)
        }
        None => match written.split_once(':') {
            Some((host, port)) => (name_of(host)?, Some(port)),
            None => (name_of(written)?, None),
        },
    };
    let own = if scheme == "https" { 443 } else { 80 };
    Ok(match port.map(port_of).transpose()? {
        Some(port) if port != own => format!("{host}:{port}"),
        _ => host,
    })
}

fn port_of(written: &str) -> Result<u16, BadUrl> {
    let is_plain = written.bytes().all(|byte| byte.is_ascii_digit()) && !written.starts_with('0');
    let port = written.parse().ok().filter(|_| is_plain);
    port.ok_or(BadUrl("its port is no number from 1 to 65535"))
}

/// A host that is no IPv6 address. What ends in a number is an IPv4 address in its one plain form,
/// because resolvers take `0x7f.1` and `2130706433` for addresses.
fn name_of(written: &str) -> Result<String, BadUrl> {
    let host = written.to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && !last.is_empty() {
        let address: Ipv4Addr = host.parse().map_err(|_| {
            BadUrl("its host ends in a number and is no IPv4 address such as 192.0.2.1")
        })?;
        return Ok(address.to_string());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match host.len() <= 253 && host.split('.').all(is_label) {
        true => Ok(host),
        false => Err(BadUrl("its host is no name of letters, digits, `-` and single dots")),
    }
}

fn path_of(written: &str) -> Result<String, BadUrl> {
    if written.contains("//") {
        return Err(BadUrl("its path has an empty segment, which servers read differently"));
    }
    let mut plain = written.as_bytes().to_vec();
    for round in 0.. {
        let decoded = decoded(&plain)?;
        if decoded == plain {
            break;
        }
        if round == ENCODED_TIMES_MAX {
            return Err(BadUrl("its path is percent-encoded over and over"));
        }
        plain = decoded;
    }
    if plain.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\') {
        return Err(BadUrl("its path holds a control character or `\\`, percent-encoded"));
    }
    // `..;a` is `..` to servers that take parameters of a segment.
    let names = plain.split(|byte| *byte == b'/').filter_map(|it| it.split(|b| *b == b';').next());
    if names.into_iter().any(|name| matches!(name, b"." | b"..")) {
        return Err(BadUrl("its path holds `.` or `..`"));
    }
    recoded(written)
}

/// One layer of percent-encoding less. What is not an encoding stays.
fn decoded(bytes: &[u8]) -> Result<Vec<u8>, BadUrl> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => out.push(byte),
        }
    }
    Ok(out)
}

/// The same text in which nothing is percent-encoded that need not be, and the rest in capitals.
fn recoded(text: &str) -> Result<String, BadUrl> {
    let bad = BadUrl("a `%` is not followed by two hexadecimal digits");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(char::from(byte));
            continue;
        }
        let [high, low, after @ ..] = after else { return Err(bad) };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return Err(bad) };
        rest = after;
        let plain = high * 16 + low;
        if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) {
            out.push(char::from(plain));
        } else {
            out.push_str(&format!("%{plain:02X}"));
        }
    }
    Ok(out)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Field for Url {
    const TYPE: ArgType = ArgType::Text;
    fn view(&self) -> ArgView<'_> {
        ArgView::Text(&self.0)
    }
}

impl Encode for Url {
    fn encode<E: Encoder>(&self, e: &mut E) -> Result<(), EncodeError> {
        self.0.encode(e)
    }
}

impl<C> Decode<C> for Url {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        let text: String = Decode::decode(d)?;
        match text.parse::<Self>() {
            Ok(url) if url.0 == text => Ok(url),
            Ok(_) => Err(DecodeError::Other("a URL is not in canonical form")),
            Err(error) => Err(DecodeError::OtherString(error.to_string())),
        }
    }
}

bincode::impl_borrow_decode!(Url);

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Url {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "an http or https address without credentials or fragment",
            "examples": ["https://api.example.com/v1/users?a=1"],
        })
    }
}
