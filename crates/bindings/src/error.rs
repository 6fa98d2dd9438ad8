//! What can go wrong between the two ends of a binding.

use std::io;

use libos_abi::{Fault, OpId, wire::WireError};

use crate::message::Role;

/// Why a binding does not work, or no longer does. After any of these but
/// [`TooLarge`](Self::TooLarge) it stays broken: what the far end did is not known any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// The far end is gone.
    #[error("the far end is gone")]
    Closed,
    /// The far end went away in the middle of a frame.
    #[error("a frame ends after {got} of its {expected} bytes")]
    Torn {
        /// Bytes that came.
        got: usize,
        /// Bytes that its head announces.
        expected: usize,
    },
    /// The far end did not answer in the time set on its stream.
    #[error("the far end did not answer in time")]
    TimedOut,
    /// A frame announces more than a frame may hold. None of it was read.
    #[error("a frame announces {bytes} bytes; {limit} is the most")]
    Oversized {
        /// Bytes announced.
        bytes: usize,
        /// The most a frame may hold.
        limit: usize,
    },
    /// A message of this end is more than a frame may hold. None of it was sent.
    #[error("a message of {bytes} bytes does not fit a frame; {limit} is the most")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The most a frame may hold.
        limit: usize,
    },
    /// The far end speaks another version of the ABI.
    #[error("the far end speaks version {theirs} of the ABI, this end version {ours}")]
    Version {
        /// Of this end.
        ours: u16,
        /// Of the far end.
        theirs: u16,
    },
    /// The bytes of a frame are no message.
    #[error("a frame is no message: {0}")]
    Malformed(#[source] WireError),
    /// A message that has no place here, such as an answer to a question nobody asked.
    #[error("`{0}` came where it has no place")]
    Unexpected(&'static str),
    /// The far end serves another kind of part.
    #[error("the far end serves a part of the kind {found}, not {expected}")]
    Role {
        /// The kind wanted.
        expected: Role,
        /// The kind found.
        found: Role,
    },
    /// The far end names a service that no table defines.
    #[error("the far end names the service `{0}`, which no table defines")]
    UnknownService(String),
    /// The operating system refused to read or write.
    #[error("the stream failed: {0}")]
    Stream(#[source] io::Error),
}

impl BindingError {
    /// A stable code for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Closed => "binding.closed",
            Self::Torn { .. } => "binding.torn",
            Self::TimedOut => "binding.timed_out",
            Self::Oversized { .. } => "binding.oversized",
            Self::TooLarge { .. } => "binding.too_large",
            Self::Version { .. } => "binding.version",
            Self::Malformed(_) => "binding.malformed",
            Self::Unexpected(_) => "binding.unexpected",
            Self::Role { .. } => "binding.role",
            Self::UnknownService(_) => "binding.unknown_service",
            Self::Stream(_) => "binding.stream",
        }
    }

    /// What a call ends in.
    pub(crate) fn fault(&self, op: OpId) -> Fault {
        match self {
            Self::TooLarge { limit, .. } => too_large(*limit),
            other => broken(other.kind(), op),
        }
    }
}

/// What a call ends in once a binding is broken.
pub(crate) fn broken(kind: &'static str, op: OpId) -> Fault {
    Fault::ProviderFailed { kind: kind.into(), op }
}

/// What a call ends in that fits no frame, or whose answer does not.
pub(crate) fn too_large(limit: usize) -> Fault {
    Fault::Limit { what: "bytes of one frame".into(), limit: limit as u64 }
}

impl From<io::Error> for BindingError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Stream(error),
        }
    }
}
