//! Snapshots: the state of whoever folds the journal, kept to make the next fold short.
//!
//! A snapshot is opaque bytes here, tied to a head of the journal it was folded from. It is never
//! needed: one that is missing, damaged or of another history is passed over, and the fold begins
//! at an older one or at the first record.

use std::{collections::BTreeMap, fmt, sync::Arc};

use libos_abi::Digest;
use parking_lot::RwLock;

use crate::{Head, JournalError, TreeHash};

/// The state after all records before a head.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The head: the fold goes on with record `head.size`.
    pub head: Head,
    /// The digest of the state, as its owner computes it.
    pub digest: Digest,
    /// The state, as its owner encodes it.
    pub bytes: Arc<[u8]>,
}

/// A snapshot without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The head after which it was taken.
    pub head: Head,
    /// The digest of the state.
    pub digest: Digest,
    /// The length of the state as it is encoded.
    pub bytes: u64,
}

/// Where snapshots of one journal are kept. Usable from any thread, beside the journal.
pub trait Snapshots: Send + Sync {
    /// Keeps a snapshot, whole or not at all, and removes the oldest of too many. Its head must be
    /// one at which the journal was durable: take it after a durable append or a flush.
    ///
    /// # Errors
    /// [`JournalError::NotDurable`] for a head at which this journal was never made durable,
    /// [`JournalError::ReadOnly`], [`JournalError::Storage`]. What was kept before is kept.
    fn save(&self, snapshot: &Snapshot) -> Result<(), JournalError>;

    /// The newest good snapshot of this journal after at most `until` records. What is not good is
    /// passed over with a warning.
    fn latest(&self, until: u64) -> Option<Snapshot>;

    /// What is kept of this journal, the newest first. Of bytes only the length is looked at.
    fn list(&self) -> Vec<SnapshotInfo>;
}

impl Snapshot {
    /// Everything but its bytes.
    #[must_use]
    pub fn info(&self) -> SnapshotInfo {
        SnapshotInfo { head: self.head, digest: self.digest, bytes: self.bytes.len() as u64 }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info().fmt(f)
    }
}

/// For a journal that keeps none.
pub(crate) struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn save(&self, _: &Snapshot) -> Result<(), JournalError> {
        Ok(())
    }

    fn latest(&self, _: u64) -> Option<Snapshot> {
        None
    }

    fn list(&self) -> Vec<SnapshotInfo> {
        Vec::new()
    }
}

/// Snapshots in memory.
#[derive(Debug, Default)]
pub(crate) struct MemorySnapshots {
    /// The roots at the sizes at which the journal was durable.
    pub(crate) durable: RwLock<BTreeMap<u64, TreeHash>>,
    kept: RwLock<BTreeMap<u64, Snapshot>>,
}

impl Snapshots for MemorySnapshots {
    fn save(&self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let head = snapshot.head;
        if self.durable.read().get(&head.size) != Some(&head.root) {
            return Err(JournalError::NotDurable { head });
        }
        self.kept.write().insert(head.size, snapshot.clone());
        Ok(())
    }

    fn latest(&self, until: u64) -> Option<Snapshot> {
        self.kept.read().range(..=until).next_back().map(|(_, snapshot)| snapshot.clone())
    }

    fn list(&self) -> Vec<SnapshotInfo> {
        self.kept.read().values().rev().map(Snapshot::info).collect()
    }
}
