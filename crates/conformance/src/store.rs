//! A journal under test.

use libos_abi::Seq;
use libos_journal::{Batch, Corruption, Journal, JournalError};
use tempfile::TempDir;

use crate::{Binding, Factory, Seen, Subject};

/// One journal, empty at first, in a folder of its own.
pub struct Store {
    /// The journal.
    pub journal: Box<dyn Journal>,
    _folder: TempDir,
}

impl Store {
    /// Every record.
    #[must_use]
    #[track_caller]
    pub fn all(&self) -> Vec<Vec<u8>> {
        let records = self.journal.read(Seq(0), usize::MAX).expect("the journal is whole");
        records.into_iter().map(|(_, record)| record).collect()
    }
}

/// Record `number` of the cases.
pub(crate) fn record(number: usize) -> Vec<u8> {
    format!("record {number}").into_bytes()
}

/// A batch of records with these numbers.
pub(crate) fn batch(numbers: std::ops::Range<usize>) -> Batch {
    Batch::of(numbers.map(record))
}

/// The position and kind of corruption that a result tells.
#[track_caller]
pub(crate) fn corrupt<T: std::fmt::Debug>(result: Result<T, JournalError>) -> (u64, Corruption) {
    match result {
        Err(JournalError::Corrupt { seq, what }) => (seq.0, what),
        other => panic!("no corruption found: {other:?}"),
    }
}

impl Subject for Store {
    type Part = (Box<dyn Journal>, TempDir);

    /// A journal is called directly: it has no binding.
    fn mount(_: Binding, make: &Factory<Self::Part>) -> Self {
        let (journal, folder) = make();
        Self { journal, _folder: folder }
    }

    /// A journal serves no calls.
    fn seen(&self) -> Seen {
        Seen::new()
    }
}
