//! Fingerprints: whether a call is the one that was recorded.
//!
//! A fingerprint tells a planner that went another way from one that did not. It protects nothing:
//! a process that made two calls collide would get the outcome of its own earlier one.

/// The fingerprint of a call's encoding. It is in the journal, so it never changes.
///
/// Eight bytes at a time are multiplied into 128 bits and folded, as in wyhash (Wang Yi).
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    const PRIMES: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let mut state = PRIMES[0] ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = fold(state ^ u64::from_le_bytes(word), PRIMES[1]);
    }
    fold(state, PRIMES[0])
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_stay_what_they_are_and_tell_calls_apart() {
        let texts: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"fs.read", b"fs.read\0", b"fs.reaD"];
        let prints = texts.map(fingerprint);
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{index}");
        }
        assert_eq!(fingerprint(b"fs.read workspace/a"), 14_782_455_205_966_538_386);
    }
}
