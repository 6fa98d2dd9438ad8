//! The disk: the real journal in memory, with what a machine does to it.
//!
//! A batch in line may be lost in a crash, and those behind it with it; one that is half written
//! is found torn and does not count. A disk that is full refuses for a while, one that fails
//! refuses for good.

use std::path::PathBuf;

use libos_abi::Seq;
use libos_journal::{Batch, Head, Journal, JournalError, MemoryJournal, Refusal, Sync};

use crate::random::Random;

/// A journal and its faults.
#[derive(Default)]
pub(crate) struct Disk {
    journal: MemoryJournal,
    /// Batches in line that no durable one followed.
    in_line: Vec<Batch>,
    /// The head that is on disk whatever happens.
    durable: Option<Head>,
    /// How often it refuses from now on: for want of space, or with an error that passes.
    pub(crate) full: u32,
    /// Whether it fails for good at the next write.
    pub(crate) broken: bool,
}

impl Disk {
    /// How many records are on disk whatever happens.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.map_or(0, |head| head.size)
    }

    /// How many records there are, those in line included.
    pub(crate) fn size(&self) -> u64 {
        self.journal.head().size
    }

    /// Number of records and root.
    pub(crate) fn head(&self) -> Head {
        self.journal.head()
    }

    /// One more write: refused if the disk is full or broken.
    fn admit(&mut self) -> Result<(), JournalError> {
        let path = PathBuf::from("simulated");
        if self.broken {
            return Err(JournalError::Damaged { path, what: "the disk broke".into() });
        }
        let refusal = match self.full {
            0 => return Ok(()),
            n if n.is_multiple_of(2) => Refusal::Io,
            _ => Refusal::Full,
        };
        self.full -= 1;
        let source = "the simulated disk refuses".into();
        Err(JournalError::Storage { doing: "append", path, refusal, source })
    }

    /// Appends a batch.
    pub(crate) fn append(&mut self, batch: Batch, durable: bool) -> Result<(), JournalError> {
        self.admit()?;
        self.journal.append(&batch, Sync::Lazy)?;
        match durable {
            true => self.sync(),
            false => {
                self.in_line.push(batch);
                Ok(())
            }
        }
    }

    /// Puts everything in line on disk.
    pub(crate) fn flush(&mut self) -> Result<(), JournalError> {
        self.admit()?;
        self.sync()
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        self.durable = Some(self.journal.flush()?);
        self.in_line.clear();
        Ok(())
    }

    /// The disk as it is found after a crash: what was on disk, and some of what was in line. The
    /// batch after that, if there is one, is torn, which the journal takes for not written.
    pub(crate) fn crash(&mut self, random: &mut Random) -> Result<(), JournalError> {
        let in_line = std::mem::take(&mut self.in_line);
        let mut journal = std::mem::take(&mut self.journal).crash();
        let kept = random.below(in_line.len() + 1);
        for batch in &in_line[..kept] {
            journal.append(batch, Sync::Durable)?;
        }
        (self.full, self.broken) = (0, false);
        // What was promised is the beginning of what is found.
        journal.verify(self.durable.as_ref())?;
        self.durable = Some(journal.head());
        self.journal = journal;
        Ok(())
    }

    /// Every record from a position on, in order.
    pub(crate) fn read(&self, from: u64) -> Result<Vec<Vec<u8>>, JournalError> {
        let records = self.journal.read(Seq(from), usize::MAX)?;
        Ok(records.into_iter().map(|(_, body)| body).collect())
    }
}
