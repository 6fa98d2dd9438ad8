//! Coming back to a state: from the newest good snapshot, and from the records behind it.
//!
//! A snapshot makes a start short and is never needed: one that does not fit is passed over, and
//! the journal alone gives the same state. So nothing that goes wrong with one is more than a
//! warning.

use std::{
    ops::Range,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use libos_abi::{Seq, wire};
use libos_broker::Kernel;
use libos_journal::{Head, Journal, Snapshot, Snapshots};

use crate::{Limits, StartError};

/// Brings a kernel in which nothing has happened to the state after the first `until` records.
/// Gives the number of records that it did not have to fold, and tells how many it has folded.
pub(crate) fn recover(
    journal: &dyn Journal,
    kernel: &mut Kernel,
    until: u64,
    each: &mut dyn FnMut(u64),
) -> Result<u64, StartError> {
    let from = load(&*journal.snapshots(), kernel, until);
    fold(journal, kernel, from..until, each)?;
    Ok(from)
}

/// Takes over the newest snapshot of at most `until` records that fits; of no record if none does.
fn load(snapshots: &dyn Snapshots, kernel: &mut Kernel, until: u64) -> u64 {
    let mut until = Some(until);
    while let Some(snapshot) = until.and_then(|until| snapshots.latest(until)) {
        let records = snapshot.head.size;
        match kernel.load(&snapshot.bytes, snapshot.digest) {
            Ok(()) => {
                tracing::debug!(records, "the state is taken over from a snapshot");
                return records;
            }
            Err(error) => {
                tracing::warn!(records, %error, "a snapshot is passed over");
                until = records.checked_sub(1);
            }
        }
    }
    0
}

/// Folds some records of the journal into the kernel, and tells how many it has folded.
pub(crate) fn fold(
    journal: &dyn Journal,
    kernel: &mut Kernel,
    records: Range<u64>,
    each: &mut dyn FnMut(u64),
) -> Result<(), StartError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut undecoded = None;
    journal.scan(Seq(records.start), &mut |seq, body| match wire::decode_record(body) {
        Ok(record) => {
            kernel.replay(record);
            each(seq.0 + 1 - records.start);
            seq.0 + 1 < records.end
        }
        Err(source) => {
            undecoded = Some(StartError::Record { seq, source });
            false
        }
    })?;
    undecoded.map_or(Ok(()), Err)
}

/// Takes snapshots of a kernel that runs. The state is read in the core's thread, and written in
/// another one.
pub(crate) struct Keeper {
    snapshots: Arc<dyn Snapshots>,
    limits: Limits,
    /// How many records the newest snapshot is of.
    records: u64,
    /// While there is work, none is taken before.
    not_before: Instant,
    /// One that is being written.
    writer: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn new(snapshots: Arc<dyn Snapshots>, limits: &Limits) -> Self {
        let not_before = Instant::now();
        Self { snapshots, limits: *limits, records: 0, not_before, writer: None }
    }

    /// Says that there is a snapshot of so many records.
    pub(crate) fn has(&mut self, records: u64) {
        self.records = records;
    }

    /// Whether one is to be taken although there is work.
    pub(crate) fn is_due(&self, records: u64) -> bool {
        records.saturating_sub(self.records) >= self.limits.snapshot_records
            && self.is_free()
            && Instant::now() >= self.not_before
    }

    /// Whether one is to be taken once there is no work.
    pub(crate) fn is_worth_it(&self, records: u64) -> bool {
        let new = records.saturating_sub(self.records);
        new > 0 && new >= self.limits.snapshot_idle_records && self.is_free()
    }

    fn is_free(&self) -> bool {
        self.writer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Takes one of the state after a durable head.
    pub(crate) fn take(&mut self, kernel: &Kernel, head: Head) {
        let began = Instant::now();
        self.records = head.size;
        let mut bytes = Vec::new();
        if let Err(error) = kernel.save(&mut bytes) {
            tracing::warn!(%error, "no snapshot is taken");
            return;
        }
        let snapshot = Snapshot { head, digest: kernel.digest(), bytes: bytes.into() };
        self.not_before = Instant::now() + began.elapsed() * self.limits.snapshot_share;
        let snapshots = Arc::clone(&self.snapshots);
        let write = move || {
            if let Err(error) = snapshots.save(&snapshot) {
                tracing::warn!(%error, "a snapshot is not kept");
            }
        };
        match thread::Builder::new().name("libos-snapshot".into()).spawn(write) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => tracing::warn!(%error, "the host gives no thread for a snapshot"),
        }
    }

    /// Takes the last one, if it is worth it, and waits until what was taken is written.
    pub(crate) fn finish(&mut self, kernel: &Kernel, head: Head) {
        self.wait();
        if self.is_worth_it(head.size) {
            self.take(kernel, head);
            self.wait();
        }
    }

    fn wait(&mut self) {
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::warn!("the thread that wrote a snapshot panicked");
        }
    }
}
