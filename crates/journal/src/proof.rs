//! Proofs about a journal that are checked with nothing but a head of it.
//!
//! A proof is a line of JSON: `{"inclusion": ...}` shows that one record stands in the journal with
//! a head, without showing any other record; `{"consistency": ...}` shows that the journal with one
//! head begins with the journal of another. Both are those of RFC 6962, section 2.1. Whoever checks
//! them trusts the head and nothing else.

use std::io::BufRead;

use libos_abi::Seq;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Corruption, Describe, Head, Journal, JournalError, TreeHash, check, export::read_line, hex,
    merkle,
};

/// A proof as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    /// A record stands at its position.
    Inclusion {
        /// Its position.
        seq: u64,
        /// Its bytes in hexadecimal.
        body: String,
        /// What the caller shows of it; no hash covers it.
        event: Value,
        /// The journal.
        head: Head,
        /// The hashes from the record's leaf up to the root.
        path: Vec<TreeHash>,
    },
    /// A journal continues another.
    Consistency {
        /// The shorter one.
        from: Head,
        /// The longer one.
        to: Head,
        /// The hashes that lead from what both share to both roots.
        path: Vec<TreeHash>,
    },
}

/// What a proof came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proved {
    /// This record stands there.
    Record {
        /// Its position.
        seq: Seq,
        /// What it says.
        event: Value,
    },
    /// The journal with head `to` begins with the one with head `from`.
    Continues {
        /// The shorter one.
        from: Head,
        /// The longer one.
        to: Head,
    },
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// The line is no proof.
    #[error("it cannot be read as a proof")]
    Unreadable,
    /// It speaks of a journal with another head.
    #[error("it is about another head")]
    OtherHead,
    /// Its hashes do not lead to the root.
    #[error("its hashes do not lead to the root of the head")]
    Fails,
    /// The description is not the one that the record gives.
    #[error("the event shown is not the one recorded")]
    WrongEvent,
}

/// Makes proofs about a journal up to one head. Holds 32 bytes for each record.
pub struct Prover<'a> {
    journal: &'a dyn Journal,
    leaves: Vec<TreeHash>,
    head: Head,
}

impl<'a> Prover<'a> {
    /// Reads the journal up to `at`, a head kept elsewhere, or as it is now. O(n).
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] if the journal does not begin with the one of `at`, and the errors
    /// of [`Journal::read`].
    pub fn new(journal: &'a dyn Journal, at: Option<&Head>) -> Result<Self, JournalError> {
        let head = at.copied().unwrap_or_else(|| journal.head());
        let size = usize::try_from(head.size.min(journal.head().size)).unwrap_or(usize::MAX);
        let mut leaves = Vec::with_capacity(size);
        if size > 0 {
            journal.scan(Seq(0), &mut |_, body| {
                leaves.push(merkle::leaf_hash(body));
                leaves.len() < size
            })?;
        }
        let found = Head { size: leaves.len() as u64, root: merkle::root_of(&leaves) };
        if found.size < head.size {
            let what = Corruption::Truncated { size: Some(head.size) };
            return Err(JournalError::corrupt(found.size, what));
        }
        check::same(&head, &found)?;
        Ok(Self { journal, leaves, head })
    }

    /// Up to where.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Proves that a record stands at its position, shown by `describe`. `None` if there is none.
    ///
    /// # Errors
    /// Those of [`Journal::read`].
    pub fn inclusion(
        &self,
        seq: Seq,
        describe: Describe<'_>,
    ) -> Result<Option<Proof>, JournalError> {
        let Some(path) = merkle::inclusion_proof(&self.leaves, seq.0) else {
            return Ok(None);
        };
        let record = self.journal.read(seq, 1)?.pop();
        Ok(record.map(|(_, body)| Proof::Inclusion {
            seq: seq.0,
            event: describe(seq, &body),
            body: hex::encode(&body),
            head: self.head,
            path,
        }))
    }

    /// Proves that the journal continues the one with head `from`.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] if it does not.
    pub fn consistency(&self, from: &Head) -> Result<Proof, JournalError> {
        let longer = || {
            let what = Corruption::Truncated { size: Some(from.size) };
            JournalError::corrupt(self.head.size, what)
        };
        let path = merkle::consistency_proof(&self.leaves, from.size).ok_or_else(longer)?;
        let size = usize::try_from(from.size).map_err(|_| longer())?;
        let found = Head { size: from.size, root: merkle::root_of(&self.leaves[..size]) };
        check::same(from, &found)?;
        Ok(Proof::Consistency { from: *from, to: self.head, path })
    }
}

impl Proof {
    /// Checks the proof against a head that the caller trusts: the one it is about, or either of
    /// the two that it relates.
    ///
    /// # Errors
    /// [`ProofFault`] if it proves nothing.
    pub fn check(self, head: &Head, describe: Describe<'_>) -> Result<Proved, ProofFault> {
        match self {
            Self::Inclusion { seq, body, event, head: of, path } => {
                if of != *head {
                    return Err(ProofFault::OtherHead);
                }
                let body = hex::decode(&body).ok_or(ProofFault::Unreadable)?;
                if !merkle::verify_inclusion(&merkle::leaf_hash(&body), seq, head, &path) {
                    return Err(ProofFault::Fails);
                }
                if describe(Seq(seq), &body) != event {
                    return Err(ProofFault::WrongEvent);
                }
                Ok(Proved::Record { seq: Seq(seq), event })
            }
            Self::Consistency { from, to, path } => {
                if from != *head && to != *head {
                    return Err(ProofFault::OtherHead);
                }
                if !merkle::verify_consistency(&from, &to, &path) {
                    return Err(ProofFault::Fails);
                }
                Ok(Proved::Continues { from, to })
            }
        }
    }
}

/// Checks every line of `input` against `head`, without the store.
///
/// # Errors
/// [`JournalError::BadProof`] for the first line that proves nothing, [`JournalError::Export`] if
/// `input` cannot be read.
pub fn verify_proofs(
    input: &mut dyn BufRead,
    head: &Head,
    describe: Describe<'_>,
) -> Result<Vec<Proved>, JournalError> {
    let (mut proved, mut line) = (Vec::new(), Vec::new());
    while read_line(input, &mut line)? {
        let proof = serde_json::from_slice::<Proof>(&line).map_err(|_| ProofFault::Unreadable);
        let checked = proof.and_then(|proof| proof.check(head, describe));
        let number = proved.len() as u64 + 1;
        proved.push(checked.map_err(|what| JournalError::BadProof { number, what })?);
    }
    Ok(proved)
}
