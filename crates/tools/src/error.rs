//! What a tool ends in when it has no result.

use libos_abi::{Error, Text, tool};

/// A failure of a tool's own. It becomes [`tool::FailureKind::ToolFailed`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// A reply that is no JSON.
    #[error("a reply is no JSON")]
    BadReply(#[from] serde_json::Error),
    /// A payload that the edge did not put back.
    #[error("{what} of {bytes} bytes is not here")]
    NotHere { what: &'static str, bytes: u64 },
    /// A file over the limit.
    #[error("`{path}` is over the limit of {limit} bytes")]
    TooLarge { path: String, limit: u32 },
    /// A field that is not there or no text.
    #[error("the payload of {id} has no text in its field `{field}`")]
    NoSuchField { id: String, field: String },
}

impl From<ToolError> for Error {
    fn from(error: ToolError) -> Self {
        use std::error::Error as _;
        let mut detail = error.to_string();
        if let Some(source) = error.source() {
            detail = format!("{detail}: {source}");
        }
        tool::FailureKind::ToolFailed.because(detail)
    }
}

/// The text itself, which the edge has put back if it was large.
pub(crate) fn here<'a>(text: &'a Text, what: &'static str) -> Result<&'a str, ToolError> {
    text.as_str().ok_or(ToolError::NotHere { what, bytes: text.bytes() })
}
