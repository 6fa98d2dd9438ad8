//! Folding a journal again: to hold states against it, and to look at one of the past.
//!
//! Nothing here runs a process, performs an effect or writes to the store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use libos_abi::{Digest, Fault, Outcome, Seq, Syscall};
use libos_broker::Kernel;
use libos_journal::{Blobs, Journal};
use libos_port::{BoxFuture, Port};
use parking_lot::Mutex;

use crate::{Builder, StartError, State, hydrate, recovery};

/// Makes a runtime's parts, as often as it is needed.
pub type Compose<'a> = &'a dyn Fn() -> Builder;

/// Where a state that is compared comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A snapshot of the store.
    Snapshot,
    /// The runtime that holds the store.
    Runtime,
    /// A start of the store as it is: the newest snapshot that fits, and the records behind it.
    Start,
}

/// How a state compares with what the records fold to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the same.
    Same,
    /// It is another one.
    Differs {
        /// What the records fold to.
        folded: Digest,
    },
    /// A snapshot that a start passes over, and why: it costs time and harms nobody.
    PassedOver(String),
}

/// A state held against the fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Where it comes from.
    pub source: Source,
    /// The state as it is said to be.
    pub state: State,
    /// How it compares.
    pub verdict: Verdict,
}

/// What became of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The state at its end.
    pub state: State,
    /// What the folding alone took.
    pub took: Duration,
    /// Every state that was held against it, the oldest first.
    pub checks: Vec<Check>,
}

impl Replayed {
    /// How many records were folded in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.state.records as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Whether no state was found to be another one.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.verdict, Verdict::Differs { .. }))
    }
}

/// How many records a journal has up to this one, or altogether.
fn records(journal: &dyn Journal, last: Option<Seq>) -> Result<u64, StartError> {
    let records = journal.head().size;
    match last {
        None => Ok(records),
        Some(Seq(last)) if last < records => Ok(last + 1),
        Some(seq) => Err(StartError::NoRecord { seq, records }),
    }
}

/// Folds the journal from its first record on, up to the record `to` or its end, and compares the
/// state with `others` on the way. Tells `progress` how many records were folded of how many.
///
/// # Errors
/// [`StartError`] when the journal cannot be read or holds a record of another version.
pub fn replay(
    compose: Compose<'_>,
    journal: &dyn Journal,
    to: Option<Seq>,
    mut others: Vec<(Source, State)>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Replayed, StartError> {
    let until = records(journal, to)?;
    others.retain(|(_, other)| other.records <= until);
    others.sort_by_key(|(_, other)| other.records);
    let mut kernel = compose().kernel()?;
    let (mut at, mut took, mut checks) = (0, Duration::ZERO, Vec::new());
    let mut go_on = |kernel: &mut Kernel, to: u64| {
        let began = Instant::now();
        let from = at;
        at = to;
        recovery::fold(journal, kernel, from..to, &mut |done| {
            if (from + done).is_multiple_of(PROGRESS) {
                progress(from + done, until);
            }
        })?;
        took += began.elapsed();
        Ok::<(), StartError>(())
    };
    for (source, state) in others {
        go_on(&mut kernel, state.records)?;
        let folded = kernel.digest();
        let passed_over = match source {
            Source::Snapshot => why_passed_over(compose, journal, state)?,
            Source::Runtime | Source::Start => None,
        };
        let verdict = match passed_over {
            Some(why) => Verdict::PassedOver(why),
            None if folded == state.digest => Verdict::Same,
            None => Verdict::Differs { folded },
        };
        checks.push(Check { source, state, verdict });
    }
    go_on(&mut kernel, until)?;
    let state = State { records: until, digest: kernel.digest() };
    Ok(Replayed { state, took, checks })
}

/// How many records are folded between two reports.
const PROGRESS: u64 = 4_096;

/// Why a start would pass over the snapshot of a state, if it would.
fn why_passed_over(
    compose: Compose<'_>,
    journal: &dyn Journal,
    state: State,
) -> Result<Option<String>, StartError> {
    let good = journal.snapshots().latest(state.records);
    let Some(snapshot) = good.filter(|good| good.head.size == state.records) else {
        return Ok(Some("its file is damaged".into()));
    };
    let loaded = compose().kernel()?.load(&snapshot.bytes, snapshot.digest);
    Ok(loaded.err().map(|error| error.to_string()))
}

/// Every snapshot of a journal, as a state to compare.
#[must_use]
pub fn snapshots(journal: &dyn Journal) -> Vec<(Source, State)> {
    let state =
        |info: libos_journal::SnapshotInfo| State { records: info.head.size, digest: info.digest };
    journal.snapshots().list().into_iter().map(|info| (Source::Snapshot, state(info))).collect()
}

/// The state that a start of the store as it is comes to.
///
/// # Errors
/// [`StartError`] when the journal cannot be read or holds a record of another version.
pub fn start(compose: Compose<'_>, journal: &dyn Journal) -> Result<(Source, State), StartError> {
    let (mut kernel, records) = (compose().kernel()?, journal.head().size);
    recovery::recover(journal, &mut kernel, records, &mut |_| ())?;
    Ok((Source::Start, State { records, digest: kernel.digest() }))
}

/// The state right after a record, to look at. What would change it is refused.
pub struct Past {
    kernel: Mutex<Kernel>,
    blobs: Arc<dyn Blobs>,
    operator: String,
}

impl Past {
    /// Goes back to the state right after the record `at`. The operator's looks are not recorded.
    ///
    /// # Errors
    /// [`StartError::NoRecord`]; otherwise as of a start.
    pub fn after(
        at: Seq,
        journal: &dyn Journal,
        parts: Builder,
        operator: &str,
    ) -> Result<Self, StartError> {
        let until = records(journal, Some(at))?;
        let mut kernel = parts.kernel()?;
        recovery::recover(journal, &mut kernel, until, &mut |_| ())?;
        let (blobs, operator) = (journal.blobs(), operator.to_owned());
        Ok(Self { kernel: Mutex::new(kernel), blobs, operator })
    }
}

impl Port for Past {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let name = call.info().name;
        let outcome = self.kernel.lock().look(&self.operator, call).unwrap_or_else(|| {
            Err(Fault::bad(format!("the past is only looked at; {name} would change it")).into())
        });
        let outcome = hydrate::outcome(self.blobs.as_ref(), outcome);
        Box::pin(std::future::ready(outcome))
    }
}
