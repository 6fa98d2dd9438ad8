//! Parts: how a provider keeps and takes a content that is too large for a message.

use libos_abi::{Fault, Json};

use crate::BoxFuture;

/// Where the parts of a content are that is too large for a message.
///
/// A provider keeps a part and puts what stands for it into its reply. What no reply names is gone
/// sooner or later.
pub trait Parts: Send + Sync {
    /// Keeps a part; gives what stands for it.
    fn keep(&self, part: Json) -> BoxFuture<'_, Result<Json, Fault>>;

    /// The part that something stands for.
    fn load(&self, part: Json) -> BoxFuture<'_, Result<Json, Fault>>;
}

/// Parts that travel in messages, as far as they fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Enclosed;

impl Parts for Enclosed {
    fn keep(&self, part: Json) -> BoxFuture<'_, Result<Json, Fault>> {
        Box::pin(async { Ok(part) })
    }

    fn load(&self, part: Json) -> BoxFuture<'_, Result<Json, Fault>> {
        Box::pin(async { Ok(part) })
    }
}
