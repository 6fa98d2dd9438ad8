//! A journal in memory, for tests and the simulator.
//!
//! Owns nothing outside the process and survives nothing, but tells lazy from durable appends:
//! [`MemoryJournal::crash`] gives what a machine would find after losing its power.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{Digest, Seq};
use parking_lot::RwLock;

use crate::{
    Batch, Blobs, Dropped, Head, Journal, JournalError, Limits, Snapshots, Sync, admit,
    check::Checker, merkle, merkle::Tree, snapshot::MemorySnapshots,
};

type Contents = BTreeMap<Digest, Arc<[u8]>>;

/// A [`Journal`] that lives in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    limits: Limits,
    records: Vec<Vec<u8>>,
    tree: Tree,
    blobs: Arc<MemoryBlobs>,
    /// What a crash would leave.
    durable_records: usize,
    /// Blobs that a crash would lose.
    lazy_blobs: Vec<Digest>,
    snapshots: Arc<MemorySnapshots>,
}

#[derive(Debug, Default)]
struct MemoryBlobs {
    contents: RwLock<Contents>,
    /// The digest and length of what was dropped, by act.
    dropped: RwLock<BTreeMap<u64, BTreeMap<Digest, u64>>>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The journal that is found after a crash: without the lazy appends that no durable one
    /// followed.
    #[must_use]
    pub fn crash(mut self) -> Self {
        self.records.truncate(self.durable_records);
        let mut contents = self.blobs.contents.read().clone();
        for digest in &self.lazy_blobs {
            contents.remove(digest);
        }
        let mut tree = Tree::new();
        self.records.iter().for_each(|record| tree.push(merkle::leaf_hash(record)));
        Self {
            limits: self.limits,
            durable_records: self.records.len(),
            records: self.records,
            tree,
            blobs: Arc::new(MemoryBlobs {
                contents: RwLock::new(contents),
                dropped: RwLock::new(self.blobs.dropped.read().clone()),
            }),
            lazy_blobs: Vec::new(),
            snapshots: self.snapshots,
        }
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError> {
        admit(batch, &self.limits)?;
        for record in &batch.records {
            self.tree.push(merkle::leaf_hash(record));
            self.records.push(record.clone());
        }
        let mut contents = self.blobs.contents.write();
        for (digest, bytes) in &batch.blobs {
            if contents.insert(*digest, Arc::clone(bytes)).is_none() {
                self.lazy_blobs.push(*digest);
            }
        }
        drop(contents);
        match sync {
            Sync::Durable => self.flush(),
            Sync::Lazy => Ok(self.head()),
        }
    }

    fn flush(&mut self) -> Result<Head, JournalError> {
        self.durable_records = self.records.len();
        self.lazy_blobs.clear();
        let head = self.head();
        self.snapshots.durable.write().insert(head.size, head.root);
        Ok(head)
    }

    fn head(&self) -> Head {
        self.tree.head()
    }

    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError> {
        let start = usize::try_from(from.0).unwrap_or(usize::MAX).min(self.records.len());
        let records = self.records[start..].iter().take(limit);
        Ok((from.0..).zip(records).map(|(seq, record)| (Seq(seq), record.clone())).collect())
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::<MemoryBlobs>::clone(&self.blobs)
    }

    fn drop_blobs(&mut self, act: u64, digests: &[Digest]) -> Result<Dropped, JournalError> {
        self.flush()?;
        let (mut contents, mut dropped) = (self.blobs.contents.write(), self.blobs.dropped.write());
        let of_act = dropped.entry(act).or_default();
        for digest in digests {
            if let Some(bytes) = contents.remove(digest) {
                of_act.insert(*digest, bytes.len() as u64);
            }
        }
        Ok(Dropped::of(of_act.iter().map(|(digest, bytes)| (digest, *bytes))))
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        Arc::<MemorySnapshots>::clone(&self.snapshots)
    }

    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError> {
        let mut checker = Checker::new(against)?;
        for (seq, record) in (0..).zip(&self.records) {
            checker.record(seq, &merkle::leaf_hash(record).0, record)?;
            checker.compare_against()?;
        }
        checker.finish(&self.head())
    }
}

impl Blobs for MemoryBlobs {
    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, JournalError> {
        if let Some(bytes) = self.contents.read().get(digest) {
            return Ok(Arc::clone(bytes));
        }
        let was_here = self.dropped.read().values().any(|dropped| dropped.contains_key(digest));
        Err(match was_here {
            true => JournalError::BlobDropped { digest: *digest },
            false => JournalError::BlobMissing { digest: *digest },
        })
    }

    fn contains(&self, digest: &Digest) -> Result<bool, JournalError> {
        Ok(self.contents.read().contains_key(digest))
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, JournalError> {
        let contents = self.contents.read();
        Ok(contents.iter().map(|(digest, bytes)| (*digest, bytes.len() as u64)).collect())
    }
}
