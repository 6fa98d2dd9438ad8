//! Contents that are too large for a message, a piece at a time.
//!
//! [`Keeper`] takes bytes as they come and keeps them as parts of an object; [`Source`] gives the
//! bytes of an object part by part. Neither ever holds more than a piece or two in memory.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libos_abi::{
    CONTENT_BYTES_MAX, CONTENT_HEAD_BYTES, Digest, Digester, Error, Json, KeptContent, Text,
};
use libos_port::{Order, Parts};
use serde_json::{Value, json};

use crate::limits::PART_BYTES;

/// Takes the bytes of one content.
pub(crate) struct Keeper {
    store: Arc<dyn Parts>,
    bytes_max: u64,
    bytes: u64,
    digester: Digester,
    head: Vec<u8>,
    pending: Vec<u8>,
    parts: Vec<Json>,
    truncated: bool,
}

/// What a reply tells of a content that was kept.
pub(crate) struct Told {
    /// Its beginning; nothing if that is no text.
    pub(crate) head: Text,
    pub(crate) digest: Digest,
    /// Whether it was longer than it may be.
    pub(crate) truncated: bool,
    pub(crate) kept: KeptContent,
}

impl Keeper {
    /// Keeps so many bytes at the most.
    pub(crate) fn new(order: &Order, bytes_max: Option<u32>) -> Self {
        Self {
            store: Arc::clone(&order.parts),
            bytes_max: bytes_max.unwrap_or(CONTENT_BYTES_MAX).min(CONTENT_BYTES_MAX).into(),
            bytes: 0,
            digester: Digester::default(),
            head: Vec::new(),
            pending: Vec::new(),
            parts: Vec::new(),
            truncated: false,
        }
    }

    /// Whether nothing more is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.truncated
    }

    /// Takes the next bytes.
    pub(crate) async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let room = usize::try_from(self.bytes_max - self.bytes).unwrap_or(usize::MAX);
        self.truncated |= bytes.len() > room;
        bytes = &bytes[..bytes.len().min(room)];
        self.bytes += bytes.len() as u64;
        self.digester.update(bytes);
        let head = (CONTENT_HEAD_BYTES as usize).saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..head]);
        while !bytes.is_empty() {
            let piece = PART_BYTES.saturating_sub(self.pending.len()).min(bytes.len());
            self.pending.extend_from_slice(&bytes[..piece]);
            bytes = &bytes[piece..];
            if self.pending.len() >= PART_BYTES {
                self.keep(false).await?;
            }
        }
        Ok(())
    }

    /// Keeps what has come. A character that is not whole yet waits for its rest.
    async fn keep(&mut self, is_last: bool) -> Result<(), Error> {
        let ready = match std::str::from_utf8(&self.pending) {
            Err(error) if error.error_len().is_none() && !is_last => error.valid_up_to(),
            _ => self.pending.len(),
        };
        let part = match std::str::from_utf8(&self.pending[..ready]) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "base64": STANDARD.encode(&self.pending[..ready]) }),
        };
        self.pending.drain(..ready);
        self.parts.push(self.store.keep(Json::from(&part)).await?);
        Ok(())
    }

    /// Keeps the rest.
    pub(crate) async fn finish(mut self) -> Result<Told, Error> {
        if !self.pending.is_empty() {
            self.keep(true).await?;
        }
        let head = match std::str::from_utf8(&self.head) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&self.head[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => "",
        };
        Ok(Told {
            head: head.into(),
            digest: self.digester.digest(),
            truncated: self.truncated,
            kept: KeptContent { bytes: self.bytes, parts: self.parts, ..KeptContent::default() },
        })
    }
}

/// Gives the bytes of one content.
pub(crate) struct Source {
    store: Arc<dyn Parts>,
    parts: Arc<[Json]>,
    next: usize,
}

/// A content that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSource {
    /// A part is neither a text nor bytes.
    #[error("the object holds something else than texts and bytes in base64")]
    Content,
    /// A part cannot be had.
    #[error(transparent)]
    Lost(#[from] libos_abi::Fault),
}

impl Source {
    /// The content that an order has with it.
    pub(crate) fn of(order: &Order) -> Self {
        let parts = order.content.clone().unwrap_or_default();
        Self { store: Arc::clone(&order.parts), parts, next: 0 }
    }

    /// The next bytes; nothing behind the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, BadSource> {
        let Some(part) = self.parts.get(self.next) else { return Ok(None) };
        self.next += 1;
        let part = self.store.load(part.clone()).await?;
        let value = part.value().map_err(|_| BadSource::Content)?;
        let mut bytes = Vec::new();
        add(&value, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Adds the bytes of a part: a text, bytes in base64, or a list of these.
fn add(value: &Value, bytes: &mut Vec<u8>) -> Result<(), BadSource> {
    match value {
        Value::String(text) => bytes.extend_from_slice(text.as_bytes()),
        Value::Array(parts) => return parts.iter().try_for_each(|part| add(part, bytes)),
        Value::Object(part) => {
            let encoded = part.get("base64").filter(|_| part.len() == 1).and_then(Value::as_str);
            let encoded = encoded.ok_or(BadSource::Content)?;
            STANDARD.decode_vec(encoded, bytes).map_err(|_| BadSource::Content)?;
        }
        _ => return Err(BadSource::Content),
    }
    Ok(())
}
