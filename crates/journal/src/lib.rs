//! The append-only journal: ordered records, their hash tree and their blobs.
//!
//! Owns the files of a store. A record is opaque bytes here: this crate never decodes one, never
//! decides what is written, and never changes or removes what was. A record is a leaf of an
//! RFC 6962 tree ([`merkle`]), so a [`Head`] of 40 bytes kept elsewhere pins every record before
//! it. Payloads live beside the records, named by their BLAKE3 digest.
//!
//! ```
//! use libos_abi::Seq;
//! use libos_journal::{Batch, Journal, MemoryJournal, Sync};
//!
//! let mut journal = MemoryJournal::new();
//! let head = journal.append(&Batch::of([b"born".to_vec()]), Sync::Durable)?;
//! assert_eq!(head.size, 1);
//! assert_eq!(journal.read(Seq(0), 10)?, vec![(Seq(0), b"born".to_vec())]);
//! journal.verify(Some(&head))?;
//! # Ok::<(), libos_journal::JournalError>(())
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the journal owns the store's files"
)]

mod check;
mod error;
mod export;
mod head;
mod hex;
mod limits;
mod memory;
pub mod merkle;
mod proof;
mod sign;
mod snapshot;
mod sqlite;
mod steps;

use std::sync::Arc;

use libos_abi::{Digest, Seq};

use snapshot::NoSnapshots;

pub use error::{BlobDamage, Corruption, JournalError, Refusal};
pub use export::{Describe, export, verify_export, verify_export_events};
pub use head::{BadHead, Head, TreeHash};
pub use limits::Limits;
pub use memory::MemoryJournal;
pub use proof::{Proof, ProofFault, Proved, Prover, verify_proofs};
pub use sign::{Bytes, HeadSignature, KeyError, PublicKey, SecretKey, SignatureFault, SignedHead};
pub use snapshot::{Snapshot, SnapshotInfo, Snapshots};
pub use sqlite::{FORMAT, SqliteJournal, StoreStat};
pub use steps::{OnStep, STEPS};

/// What is written in one go: all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Records, in the order in which they get their positions.
    pub records: Vec<Vec<u8>>,
    /// Payloads under the digest of their bytes; one that is stored already is not stored again.
    pub blobs: Vec<(Digest, Arc<[u8]>)>,
}

impl Batch {
    /// A batch of records without blobs.
    #[must_use]
    pub fn of(records: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { records: records.into_iter().collect(), blobs: Vec::new() }
    }

    /// Adds a payload and returns the digest that names it.
    pub fn blob(&mut self, bytes: impl Into<Arc<[u8]>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.blobs.push((digest, bytes));
        digest
    }
}

/// How much an append promises when it returns.
///
/// Named after the system call, not the marker trait: import it by name, not with a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// The batch and every batch before it survive a crash of the machine.
    Durable,
    /// The batch may be lost in a crash, but is never reordered: what survives is a prefix of what
    /// was appended, and a later durable append or flush makes every earlier batch durable.
    Lazy,
}

/// An append-only sequence of records with one writer.
///
/// Obligations of every implementation (`tests/journal/contract.rs` holds them to it):
///
/// 1. The first record of a batch gets the position `Seq(head().size)`; positions have no gaps.
/// 2. A batch is in the journal with all its records and blobs, or it is not in it.
/// 3. After an error of `append` or `flush` the journal is what it was before the call, and the
///    same object works again once the cause is gone.
/// 4. `read` and `blobs` see lazy appends at once.
/// 5. `head().root` is the RFC 6962 root over the records as they were given.
pub trait Journal: Send {
    /// Appends `batch` and returns the head after it.
    ///
    /// # Errors
    /// [`JournalError::BadBlob`] and [`JournalError::TooLarge`] for the batch itself,
    /// [`JournalError::ReadOnly`], [`JournalError::Storage`]. Nothing of the batch counts then.
    fn append(&mut self, batch: &Batch, sync: Sync) -> Result<Head, JournalError>;

    /// Makes every append so far durable and returns the head that is.
    ///
    /// # Errors
    /// [`JournalError::Storage`]; the lazy appends stay in the journal and can be flushed again.
    fn flush(&mut self) -> Result<Head, JournalError>;

    /// Number of records and root, lazy appends included.
    fn head(&self) -> Head;

    /// At most `limit` records from position `from` on, in order; none at or after the head.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] if a record is not what was appended, [`JournalError::Storage`].
    fn read(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Vec<u8>)>, JournalError>;

    /// Visits every record from position `from` on, in order, until `each` returns false. What
    /// reads many records does best with this.
    ///
    /// # Errors
    /// As [`Journal::read`], after the records before the bad one.
    fn scan(
        &self,
        from: Seq,
        each: &mut dyn FnMut(Seq, &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        let mut from = from;
        loop {
            let page = self.read(from, export::PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from = Seq(last.0 + 1);
            if !page.iter().all(|(seq, body)| each(*seq, body)) {
                return Ok(());
            }
        }
    }

    /// The payloads, readable from any thread and also after the journal moved on.
    fn blobs(&self) -> Arc<dyn Blobs>;

    /// Removes payloads for good, and bytes that no payload is left in, on behalf of the act with
    /// this number; tells what the act has removed so far: a second call for an act that was cut
    /// short goes on with it. Records keep naming the payloads by their digests. A journal need not
    /// be able to: by default nothing is removed.
    ///
    /// # Errors
    /// [`JournalError::CorruptBlob`] for a payload that should stay and is damaged,
    /// [`JournalError::ReadOnly`], [`JournalError::Storage`]. Some of `digests` may be gone then,
    /// each of them whole.
    fn drop_blobs(&mut self, _act: u64, _digests: &[Digest]) -> Result<Dropped, JournalError> {
        Ok(Dropped::default())
    }

    /// Where snapshots of what the records fold to are kept. A journal need not keep any.
    fn snapshots(&self) -> Arc<dyn Snapshots> {
        Arc::new(NoSnapshots)
    }

    /// Hashes everything again and compares: every record with its stored leaf, the tree with every
    /// stored root, the records with `against` (a head kept elsewhere, of which the journal must
    /// be a continuation), every blob with its digest. Returns the head it proved.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] for the first bad record, [`JournalError::CorruptBlob`],
    /// [`JournalError::Storage`].
    fn verify(&self, against: Option<&Head>) -> Result<Head, JournalError>;
}

/// Content-addressed payloads.
pub trait Blobs: Send + std::marker::Sync {
    /// The bytes whose digest is `digest`, checked against it.
    ///
    /// # Errors
    /// [`JournalError::BlobMissing`], [`JournalError::BlobDropped`], [`JournalError::CorruptBlob`],
    /// [`JournalError::Storage`].
    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, JournalError>;

    /// Whether `digest` was appended and not dropped since. The bytes are not read.
    ///
    /// # Errors
    /// [`JournalError::Storage`].
    fn contains(&self, digest: &Digest) -> Result<bool, JournalError>;

    /// Every payload that is stored and its length in bytes.
    ///
    /// # Errors
    /// [`JournalError::Storage`].
    fn list(&self) -> Result<Vec<(Digest, u64)>, JournalError>;
}

/// What an act of compaction has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Payloads.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The digest of their digests in order: which ones these were is kept in the store.
    pub list: Digest,
}

impl Dropped {
    /// The account of payloads given in the order of their digests.
    fn of<'a>(dropped: impl IntoIterator<Item = (&'a Digest, u64)>) -> Self {
        let (mut all, mut list) = (Self::default(), Vec::new());
        for (digest, bytes) in dropped {
            all.blobs += 1;
            all.bytes += bytes;
            list.extend_from_slice(&digest.0);
        }
        Self { list: Digest::of(&list), ..all }
    }
}

/// Refuses a batch that no journal may take, before anything is changed.
fn admit(batch: &Batch, limits: &Limits) -> Result<(), JournalError> {
    let too_large = |what, bytes, bytes_max| JournalError::TooLarge { what, bytes, bytes_max };
    for record in &batch.records {
        if record.len() > limits.record_bytes_max {
            return Err(too_large("record", record.len(), limits.record_bytes_max));
        }
    }
    for (digest, bytes) in &batch.blobs {
        if bytes.len() > limits.blob_bytes_max {
            return Err(too_large("blob", bytes.len(), limits.blob_bytes_max));
        }
        if Digest::of(bytes) != *digest {
            return Err(JournalError::BadBlob { digest: *digest });
        }
    }
    Ok(())
}
