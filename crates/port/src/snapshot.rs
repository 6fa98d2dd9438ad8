//! States as bytes: what a component writes of itself and takes over again.
//!
//! The bytes begin with a version, which its owner raises whenever it writes them in another way.
//! They are no second truth: whoever cannot read them folds the journal.

use libos_abi::wire::{self, Reader, WireError};

/// Why a state cannot be taken over. Nobody is harmed: the journal gives the same state.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// It is written in the format of another build.
    #[error("it is in format {found}, and this build reads format {expected}")]
    Version {
        /// The format it is in.
        found: u32,
        /// The format that is read.
        expected: u32,
    },
    /// It was taken of other parts than there are.
    #[error("it is of a composition with other parts")]
    Parts,
    /// Its bytes are no state.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// The part lives elsewhere and cannot be asked, or its state is too large for one frame.
    #[error("a part that lives elsewhere did not take or give its state: {0}")]
    Unreachable(&'static str),
    /// The state that was taken over is not the one that was saved.
    #[error("what it says adds up to another state than it was taken of")]
    Digest,
}

/// Begins the bytes of a state.
pub fn save_version(version: u32, out: &mut Vec<u8>) {
    wire::encode_into(&version, out);
}

/// What follows the version.
///
/// # Errors
/// [`BadSnapshot::Version`] for bytes of another format, [`BadSnapshot::Malformed`] for none at
/// all.
pub fn load_version(expected: u32, bytes: &[u8]) -> Result<Reader<'_>, BadSnapshot> {
    let mut bytes = Reader::new(bytes);
    match bytes.read()? {
        found if found == expected => Ok(bytes),
        found => Err(BadSnapshot::Version { found, expected }),
    }
}
