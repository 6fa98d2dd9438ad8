//! Contents that are too large for a message: they are kept as objects, part by part.
//!
//! The payload of such an object is an empty list, to which its parts were appended: each is a
//! text, or `{"base64": ...}` where the bytes are none. A provider hands the parts over with its
//! reply; the kernel makes the object of them with the outcome, so that there is all of it or
//! nothing.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Few, Json, Need, ObjectId, Reply, Resource, Right, Syscall, field::carries_texts, fs, http,
    llm, shell,
};

/// How many bytes one call keeps as an object: 64 MiB, which a disk takes in a second.
pub const CONTENT_BYTES_MAX: u32 = 67_108_864;

/// How many bytes of what is kept as an object the reply shows: enough to see what it is.
pub const CONTENT_HEAD_BYTES: u32 = 2_048;

/// A content that was kept as an object.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
pub struct KeptContent {
    /// The object, in the memory of the caller.
    pub id: ObjectId,
    /// How many bytes are kept.
    pub bytes: u64,
    /// Its parts, until the object is made of them: shown to nobody who calls.
    #[serde(skip)]
    pub parts: Vec<Json>,
}

carries_texts! { KeptContent { parts } }

/// What a call needs by itself, and to read the object whose content it takes.
pub(crate) fn needs(mut own: Few<Need>, from: Option<ObjectId>) -> Few<Need> {
    own.extend(from.map(|id| Need { right: Right::Read, on: Resource::object(id) }));
    own
}

impl Syscall {
    /// The types of the objects that a call is to keep contents as, in the order of
    /// [`Reply::kept`].
    #[must_use]
    pub fn keeps(&self) -> [Option<&str>; 2] {
        match self {
            Self::Fs(fs::Call::Read(call)) => [call.into.as_deref(), None],
            Self::Http(call) => {
                let into = match call {
                    http::Call::Fetch(call) => &call.into,
                    http::Call::Replace(call) => &call.into,
                    http::Call::Send(call) => &call.into,
                };
                [into.as_deref(), None]
            }
            Self::Shell(shell::Call::Run(call)) => {
                [call.stdout_into.as_deref(), call.stderr_into.as_deref()]
            }
            _ => [None, None],
        }
    }

    /// The part of a conversation that a call takes.
    #[must_use]
    pub fn excerpt(&self) -> Option<&llm::Excerpt> {
        match self {
            Self::Llm(llm::Call::Complete(call)) => call.excerpt.as_ref(),
            _ => None,
        }
    }

    /// The object whose content a call takes.
    #[must_use]
    pub fn takes(&self) -> Option<ObjectId> {
        match self {
            Self::Fs(fs::Call::Write(call)) => call.from,
            Self::Http(http::Call::Replace(call)) => call.from,
            Self::Http(http::Call::Send(call)) => call.from,
            Self::Shell(shell::Call::Run(call)) => call.stdin_from,
            Self::Llm(_) => self.excerpt().map(|excerpt| excerpt.object),
            _ => None,
        }
    }
}

impl Reply {
    /// The contents that a provider has kept.
    pub fn kept(&mut self) -> [Option<&mut KeptContent>; 2] {
        match self {
            Self::Fs(fs::Reply::Read(file)) => [file.object.as_mut(), None],
            Self::Http(
                http::Reply::Fetch(got) | http::Reply::Replace(got) | http::Reply::Send(got),
            ) => [got.object.as_mut(), None],
            Self::Shell(shell::Reply::Run(ended)) => {
                [ended.stdout_object.as_mut(), ended.stderr_object.as_mut()]
            }
            _ => [None, None],
        }
    }
}
