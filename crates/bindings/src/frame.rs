//! Frames: how a message stands on a stream.
//!
//! A frame is a head of [`HEAD_BYTES`] bytes, little-endian, and a body:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the body |
//! | 2 | version of the ABI |
//! | 2 | kind of message, see `codec.rs` |
//! | 2 | number of the service, where the message is a call or a reply; else 0 |
//! | 2 | number of the method, likewise |
//!
//! Nothing of a body is read, or reserved in memory, before its length and version are checked.

use std::io::{ErrorKind, Read};

use libos_abi::{ABI_VERSION, wire::FRAME_BYTES_MAX};

use crate::BindingError;

/// Bytes of a frame's head.
pub(crate) const HEAD_BYTES: usize = 12;

/// What a frame says before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The kind of message.
    pub(crate) kind: u16,
    /// The service's number.
    pub(crate) service: u16,
    /// The method's number.
    pub(crate) method: u16,
}

/// Appends a frame to `out`; of one that is too long, nothing.
pub(crate) fn write(head: Head, body: &[u8], out: &mut Vec<u8>) -> Result<(), BindingError> {
    let bytes = body.len();
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(BindingError::TooLarge { bytes, limit: FRAME_BYTES_MAX });
    };
    out.extend(length.to_le_bytes());
    for number in [ABI_VERSION, head.kind, head.service, head.method] {
        out.extend(number.to_le_bytes());
    }
    out.extend(body);
    Ok(())
}

/// Reads the next frame.
pub(crate) fn read(stream: &mut dyn Read) -> Result<(Head, Vec<u8>), BindingError> {
    let mut head = [0; HEAD_BYTES];
    match fill(stream, &mut head)? {
        HEAD_BYTES => {}
        0 => return Err(BindingError::Closed),
        got => return Err(BindingError::Torn { got, expected: HEAD_BYTES }),
    }
    let [a, b, c, d, rest @ ..] = head;
    let [version, kind, service, method] =
        [0, 2, 4, 6].map(|at| u16::from_le_bytes([rest[at], rest[at + 1]]));
    if version != ABI_VERSION {
        return Err(BindingError::Version { ours: ABI_VERSION, theirs: version });
    }
    let bytes = u32::from_le_bytes([a, b, c, d]) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(BindingError::Oversized { bytes, limit: FRAME_BYTES_MAX });
    }
    let mut body = vec![0; bytes];
    let got = fill(stream, &mut body)?;
    if got < bytes {
        let [got, expected] = [got, bytes].map(|bytes| bytes + HEAD_BYTES);
        return Err(BindingError::Torn { got, expected });
    }
    Ok((Head { kind, service, method }, body))
}

/// Reads until `bytes` is full or the stream ends; tells how much came.
fn fill(stream: &mut dyn Read, bytes: &mut [u8]) -> Result<usize, BindingError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A peer that was killed with bytes of ours unread resets the stream.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { kind: 7, service: 2, method: 32 };

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(HEAD, body, &mut out).unwrap();
        out
    }

    #[test]
    fn a_frame_is_read_back_and_its_bytes_are_fixed() {
        let bytes = frame(b"body");
        let version = ABI_VERSION.to_le_bytes();
        assert_eq!(bytes[..4], [4, 0, 0, 0]);
        assert_eq!(bytes[4..6], version);
        assert_eq!(bytes[6..], *b"\x07\0\x02\0\x20\0body");
        let mut stream = &*bytes;
        assert_eq!(read(&mut stream).unwrap(), (HEAD, b"body".to_vec()));
        assert!(matches!(read(&mut stream), Err(BindingError::Closed)));
        assert_eq!(read(&mut &*frame(b"")).unwrap(), (HEAD, Vec::new()));
    }

    #[test]
    fn a_frame_that_is_cut_off_anywhere_is_torn() {
        let bytes = frame(b"body");
        for cut in 1..bytes.len() {
            let error = read(&mut &bytes[..cut]).unwrap_err();
            let expected = if cut < HEAD_BYTES { HEAD_BYTES } else { bytes.len() };
            let is_torn = |error: &BindingError| match error {
                BindingError::Torn { got, expected: all } => (*got, *all) == (cut, expected),
                _ => false,
            };
            assert!(is_torn(&error), "{cut}: {error}");
        }
    }

    #[test]
    fn a_frame_of_another_version_is_named_and_its_body_is_not_read() {
        let mut bytes = frame(b"body");
        bytes[4..6].copy_from_slice(&(ABI_VERSION + 1).to_le_bytes());
        let mut stream = &*bytes;
        let error = read(&mut stream).unwrap_err();
        let theirs = ABI_VERSION + 1;
        assert!(matches!(error, BindingError::Version { theirs: t, .. } if t == theirs), "{error}");
        assert_eq!(stream, b"body");
    }

    #[test]
    fn a_frame_is_bounded_on_both_ends() {
        let longest = vec![0; FRAME_BYTES_MAX];
        assert_eq!(read(&mut &*frame(&longest)).unwrap().1.len(), FRAME_BYTES_MAX);
        let mut out = Vec::new();
        let error = write(HEAD, &vec![0; FRAME_BYTES_MAX + 1], &mut out).unwrap_err();
        assert!(matches!(error, BindingError::TooLarge { .. }), "{error}");
        assert!(out.is_empty());
        let mut bytes = frame(b"");
        bytes[..4].copy_from_slice(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
        let error = read(&mut &*bytes).unwrap_err();
        assert!(matches!(error, BindingError::Oversized { .. }), "{error}");
    }
}
