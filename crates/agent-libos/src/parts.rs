//! The parts of contents, for one operation: each is a payload in the store.
//!
//! A part is handed to the core's thread and written with what it writes next. As long as no record
//! names it, the core keeps it from being compacted away; if the host ends before, nothing names it
//! and a compaction removes it.

use std::sync::Arc;

use libos_abi::{Digest, Fault, Json, OpId};
use libos_bindings::inbox::Sender;
use libos_journal::Blobs;
use libos_port::{BoxFuture, Parts};
use tokio::sync::oneshot;

use crate::{core_loop::Message, hydrate};

/// A part on its way to the store.
pub(crate) struct Part {
    pub(crate) op: OpId,
    pub(crate) digest: Digest,
    pub(crate) bytes: Arc<[u8]>,
    /// Told once it is in line to be written.
    pub(crate) taken: oneshot::Sender<()>,
}

/// What keeps the parts of one operation.
pub(crate) struct StoredParts {
    pub(crate) op: OpId,
    pub(crate) inbox: Sender<Message>,
    pub(crate) blobs: Arc<dyn Blobs>,
}

impl Parts for StoredParts {
    fn keep(&self, mut part: Json) -> BoxFuture<'_, Result<Json, Fault>> {
        Box::pin(async move {
            for (digest, bytes) in part.0.spill() {
                let (taken, done) = oneshot::channel();
                let message = Message::Keep(Part { op: self.op, digest, bytes, taken });
                self.inbox.send(message).map_err(|_| Fault::Cancelled)?;
                // One at a time: what is not in line yet is in memory.
                done.await.map_err(|_| Fault::Cancelled)?;
            }
            Ok(part)
        })
    }

    fn load(&self, mut part: Json) -> BoxFuture<'_, Result<Json, Fault>> {
        let loaded = hydrate::text(self.blobs.as_ref(), &mut part.0);
        Box::pin(async move { loaded.map(|()| part) })
    }
}
