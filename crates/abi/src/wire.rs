//! The wire codec: the one module that names bincode.
//!
//! Everything that is hashed, journaled or framed goes through here. Decoding is bounded
//! ([`FRAME_BYTES_MAX`]) and total: bytes left over are an error, never ignored. The format is
//! bincode's legacy configuration (fixed-width little-endian integers), which other
//! implementations can read; golden bytes in the tests keep it from moving. State that is only
//! ever hashed goes through [`crate::state_digest`] instead.

use bincode::{Decode, Encode, config};

/// The most bytes one encoded value may take: a file of 1 MiB (the largest text one call may
/// carry) with room for its envelope and escaping.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

const CONFIG: config::Configuration<
    config::LittleEndian,
    config::Fixint,
    config::Limit<FRAME_BYTES_MAX>,
> = config::legacy().with_limit::<FRAME_BYTES_MAX>();

/// Bytes that are not a value of the expected type.
#[derive(Debug, thiserror::Error)]
#[error("the bytes do not decode: {what}")]
pub struct WireError {
    what: String,
}

impl WireError {
    /// An error for bytes that decode but mean nothing.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// Appends the encoding of `value` to `out`.
///
/// # Panics
/// Never for ABI types: their encoding has no failing case and `Vec` grows.
pub fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, out, config::legacy())
        .expect("ABI types encode totally and a Vec takes every write");
}

/// The encoding of `value`.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    encode_into(value, &mut out);
    out
}

/// The most bytes one record of the journal may take: a transaction may end many processes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// Reads a record of the journal.
///
/// # Errors
/// [`WireError`] when the bytes are cut off, too many, malformed or over [`RECORD_BYTES_MAX`].
pub fn decode_record(bytes: &[u8]) -> Result<crate::Record, WireError> {
    decode_large(bytes)
}

/// Reads one value that fills `bytes` exactly and may be as large as a record.
///
/// # Errors
/// [`WireError`] when the bytes are cut off, too many, malformed or over [`RECORD_BYTES_MAX`].
pub fn decode_large<T: Decode<()>>(bytes: &[u8]) -> Result<T, WireError> {
    let config = config::legacy().with_limit::<RECORD_BYTES_MAX>();
    exactly(bytes, bincode::decode_from_slice(bytes, config))
}

/// Reads one value that fills `bytes` exactly.
///
/// # Errors
/// [`WireError`] when the bytes are cut off, too many, malformed or claim a length over
/// [`FRAME_BYTES_MAX`].
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, WireError> {
    exactly(bytes, bincode::decode_from_slice(bytes, CONFIG))
}

/// Appends how many items there are, and each of them.
pub fn encode_each<T: Encode>(items: impl IntoIterator<Item = T>, out: &mut Vec<u8>) {
    let (at, mut count) = (out.len(), 0_u64);
    encode_into(&count, out);
    for item in items {
        encode_into(&item, out);
        count += 1;
    }
    out[at..at + 8].copy_from_slice(&count.to_le_bytes());
}

/// Reads values that stand one behind the other, as many as there are: a state may be larger than
/// any value in it.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next value.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are cut off, malformed or over [`RECORD_BYTES_MAX`].
    pub fn read<T: Decode<()>>(&mut self) -> Result<T, WireError> {
        let config = config::legacy().with_limit::<RECORD_BYTES_MAX>();
        let (value, used) = bincode::decode_from_slice(self.rest, config)
            .map_err(|error| WireError::new(error.to_string()))?;
        self.rest = &self.rest[used..];
        Ok(value)
    }

    /// Each item that [`encode_each`] wrote.
    ///
    /// # Errors
    /// As [`read`](Self::read), and what `each` ends in.
    pub fn each<T: Decode<()>, E: From<WireError>>(
        &mut self,
        mut each: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        for _ in 0..self.read::<u64>()? {
            each(self.read()?)?;
        }
        Ok(())
    }

    /// The items that [`encode_each`] wrote, collected.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn all<C>(&mut self) -> Result<C, WireError>
    where
        C: Default + IntoIterator + Extend<C::Item>,
        C::Item: Decode<()>,
    {
        let mut all = C::default();
        self.each(|item| {
            all.extend([item]);
            Ok::<(), WireError>(())
        })?;
        Ok(all)
    }

    /// The next bytes, which were written as a slice.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are cut off.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.read::<u64>()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
        let length = length.ok_or_else(|| WireError::new("the bytes are cut off"))?;
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(bytes)
    }

    /// That nothing is left over.
    ///
    /// # Errors
    /// [`WireError`] when something is.
    pub fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            rest => Err(WireError::new(format!("{rest} bytes are left over"))),
        }
    }
}

fn exactly<T>(
    bytes: &[u8],
    decoded: Result<(T, usize), bincode::error::DecodeError>,
) -> Result<T, WireError> {
    let (value, used) = decoded.map_err(|error| WireError::new(error.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(WireError::new(format!("{rest} bytes are left over"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_are_read_as_they_were_written_and_nothing_else_is() {
        let (map, text) = (BTreeMap::from([(1_u64, true), (7, false)]), *b"abc");
        let mut bytes = Vec::new();
        encode_into(&3_u32, &mut bytes);
        encode_each(map.iter(), &mut bytes);
        encode_into(&text.to_vec(), &mut bytes);
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let number: u32 = reader.read()?;
            let all: BTreeMap<u64, bool> = reader.all()?;
            let text = reader.bytes()?.to_vec();
            reader.end()?;
            Ok::<_, WireError>((number, all, text))
        };
        assert_eq!(read(&bytes).ok(), Some((3, map, text.to_vec())));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "cut after {cut}");
        }
        bytes.push(0);
        assert!(read(&bytes).is_err(), "something is left over");
        // A length that is not there asks for no memory.
        assert!(Reader::new(&u64::MAX.to_le_bytes()).bytes().is_err());
        assert!(Reader::new(&u64::MAX.to_le_bytes()).all::<Vec<u8>>().is_err());
    }
}
