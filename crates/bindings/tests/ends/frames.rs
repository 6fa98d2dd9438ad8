//! What comes over a stream and is no message, or none of this version.

use std::io::Cursor;

use libos_abi::{ABI_VERSION, Digest, wire::FRAME_BYTES_MAX};
use libos_bindings::{
    BindingError,
    wire::{self, Stream},
};
use libos_port::Component;

use crate::part::{Part, call, fault, greeting, recorded, saying};

/// A frame with this head and body.
fn frame(length: usize, version: u16, kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_le_bytes();
    let [version, kind] = [version, kind].map(u16::to_le_bytes);
    [&length[..], &version, &kind, &[0; 4], body].concat()
}

/// The same version, and a kind that no table of messages holds.
const NO_KIND: u16 = 9_999;

#[test]
fn a_far_end_of_another_version_is_refused() {
    let mut bytes = greeting();
    bytes[4..6].copy_from_slice(&(ABI_VERSION + 1).to_le_bytes());
    let stream = Stream::new(Cursor::new(bytes), std::io::sink());
    let error = wire::component(stream).err().unwrap();
    assert_eq!(error.kind(), "binding.version");
    let both = [ABI_VERSION, ABI_VERSION + 1].map(|version| version.to_string());
    assert!(both.iter().all(|version| error.to_string().contains(version)), "{error}");
    // And the other way round: the far end does not go on.
    let stream = Stream::new(Cursor::new(frame(0, ABI_VERSION + 1, 1, b"")), std::io::sink());
    let error = wire::serve_component(stream, &mut Part::default()).unwrap_err();
    assert_eq!(error.kind(), "binding.version");
}

#[test]
fn what_is_no_message_breaks_the_binding_and_says_why() {
    let whole = frame(4, ABI_VERSION, NO_KIND, b"body");
    let cut = &whole[..whole.len() - 1];
    let oversized = frame(FRAME_BYTES_MAX + 1, ABI_VERSION, NO_KIND, b"");
    let other = frame(0, ABI_VERSION + 1, NO_KIND, b"");
    for (bytes, kind) in [
        (&[][..], "binding.closed"),
        (cut, "binding.torn"),
        (&whole, "binding.malformed"),
        (&oversized, "binding.oversized"),
        (&other, "binding.version"),
        (&greeting(), "binding.unexpected"),
    ] {
        let mut near = wire::component(saying(bytes)).unwrap();
        assert_eq!(fault(call(&mut near, "tell")), kind);
        // It stays as it is: what the far end did is not known.
        assert_eq!(fault(call(&mut near, "tell")), kind);
        assert_eq!(near.digest(), Digest::default());
    }
}

#[test]
fn a_greeting_must_be_whole_and_name_what_is_there() {
    let bytes = greeting();
    for cut in 0..bytes.len() {
        let stream = Stream::new(Cursor::new(bytes[..cut].to_vec()), std::io::sink());
        let kind = wire::component(stream).err().unwrap().kind();
        assert_eq!(kind, if cut == 0 { "binding.closed" } else { "binding.torn" });
    }
    let at = bytes.windows(5).position(|name| name == b"human").unwrap();
    let mut renamed = bytes.clone();
    renamed[at..at + 5].copy_from_slice(b"humid");
    let error = wire::component(Stream::new(Cursor::new(renamed), std::io::sink())).err().unwrap();
    assert!(matches!(&error, BindingError::UnknownService(name) if name == "humid"), "{error}");
    // Every single bit: an error or a part, never a panic, never a wait.
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        drop(wire::component(Stream::new(Cursor::new(bytes), std::io::sink())));
    }
}

#[test]
fn a_far_end_takes_nothing_that_is_no_message() {
    let whole = frame(4, ABI_VERSION, NO_KIND, b"body");
    for bytes in
        [whole[..5].to_vec(), whole, frame(usize::from(u16::MAX) << 8, ABI_VERSION, 1, b"")]
    {
        let stream = Stream::new(Cursor::new(bytes), std::io::sink());
        assert!(wire::serve_component(stream, &mut Part::default()).is_err());
    }
    assert_eq!(recorded(&[], |far| wire::serve_component(far, &mut Part::default())), greeting());
}
