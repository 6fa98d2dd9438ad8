//! Release: what is written before what leaves.
//!
//! Order is everything here. Records are in line to be written before what depends on nothing
//! leaves, and on disk before anything else does. News leave the system, so they are held until
//! their records are on disk. Whoever holds a kernel and a journal lets outputs out through
//! [`let_out`] and in no other way; this module owns the order and knows neither.

use std::sync::Arc;

use libos_abi::Digest;
use libos_port::mutated;

use crate::output::{Notice, Output, Outputs, Part, Records};

/// News that wait for the disk, and since when records do.
#[derive(Debug, Default)]
pub struct Line {
    held: Vec<Notice>,
    since_ms: Option<u64>,
}

impl Line {
    /// Since when records wait to be written, in milliseconds since the epoch; `None` when
    /// everything is on disk.
    #[must_use]
    pub fn since_ms(&self) -> Option<u64> {
        self.since_ms
    }
}

/// What holds the journal and carries outputs out.
pub trait Edge {
    /// Why nothing can be written any more.
    type Error;

    /// What waits for the disk.
    fn line(&mut self) -> &mut Line;

    /// The time, in milliseconds since the epoch.
    fn now_ms(&self) -> u64;

    /// Appends records to the journal, their payloads before them. With `durable` they and all
    /// before them are on disk when it returns, otherwise in line.
    ///
    /// # Errors
    /// [`Self::Error`]; nothing is let out then.
    fn append(
        &mut self,
        records: &Records,
        blobs: Vec<(Digest, Arc<[u8]>)>,
        durable: bool,
    ) -> Result<(), Self::Error>;

    /// Puts everything in line on disk.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn write_line(&mut self) -> Result<(), Self::Error>;

    /// Carries out an output that is no notice.
    fn release(&mut self, output: Output);

    /// Tells a notice whose record is on disk.
    fn tell(&mut self, notice: Notice);

    /// Everything of a part has left.
    fn left(&mut self, _durable: bool) {}
}

/// Writes what the steps brought, lets it out, and empties `out`.
///
/// # Errors
/// [`Edge::Error`]; what was not let out then never is.
pub fn let_out<E: Edge>(edge: &mut E, out: &mut Outputs) -> Result<(), E::Error> {
    for (part, durable) in [(&mut out.early, false), (&mut out.durable, true)] {
        if part.is_empty() {
            continue;
        }
        let Part { records, blobs, released } = part;
        if durable && mutated("reply_before_commit") {
            release_all(edge, released);
        }
        if !records.is_empty() || !blobs.is_empty() {
            edge.append(records, std::mem::take(blobs), durable)?;
            let now_ms = edge.now_ms();
            let line = edge.line();
            line.since_ms = (!durable).then(|| line.since_ms.unwrap_or(now_ms));
        }
        release_all(edge, released);
        edge.left(durable);
        if edge.line().since_ms.is_none() {
            tell_held(edge);
        }
    }
    out.clear();
    Ok(())
}

/// Puts everything in line on disk and tells what waited for it.
///
/// # Errors
/// [`Edge::Error`]; what waits goes on waiting.
pub fn flush<E: Edge>(edge: &mut E) -> Result<(), E::Error> {
    edge.write_line()?;
    edge.line().since_ms = None;
    tell_held(edge);
    Ok(())
}

fn release_all<E: Edge>(edge: &mut E, released: &mut Vec<Output>) {
    for output in released.drain(..) {
        match output {
            Output::Notice(notice) if mutated("news_before_commit") => edge.tell(*notice),
            Output::Notice(notice) => edge.line().held.push(*notice),
            output => edge.release(output),
        }
    }
}

fn tell_held<E: Edge>(edge: &mut E) {
    for notice in std::mem::take(&mut edge.line().held) {
        edge.tell(notice);
    }
}
