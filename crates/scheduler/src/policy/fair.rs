//! A queue that gives each of its members turns in proportion to its weight.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996), a run counting as one unit of work. The
//! queue has a *virtual time*; each member starts at a virtual time of its own, the earliest goes
//! first, and a run moves its member on by `1 / weight`. Whoever was away comes back at the
//! queue's time at the earliest, so nobody saves up turns; what a member has had beyond that time
//! is remembered until the time has caught up, so nobody sheds them by being away for a moment.
//! One that is new begins a run of its own later, so that a flood of new ones passes nobody for
//! ever.

use std::collections::BTreeSet;

use libos_abi::Pid;
use rustc_hash::FxHashMap;

/// One run of a member of weight 1, in virtual time: what a weight divides to one part in 2^32.
const RUN: u128 = 1 << 46;

#[derive(Debug, Clone, Copy)]
enum Tag {
    /// In the line, from this virtual time on.
    Queued { start: u128, weight: u32 },
    /// Not in the line. What it has had reaches up to this virtual time.
    Away { until: u128 },
}

/// The queue. Every operation is O(log n), amortized.
#[derive(Debug, Default)]
pub(super) struct Fair {
    now: u128,
    line: BTreeSet<(u128, Pid)>,
    away: BTreeSet<(u128, Pid)>,
    tags: FxHashMap<Pid, Tag>,
}

fn run(weight: u32) -> u128 {
    RUN / u128::from(weight.max(1))
}

impl Fair {
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Queues a member that is not in the line already.
    pub(super) fn push(&mut self, member: Pid, weight: u32, is_new: bool) {
        let start = match self.tags.get(&member) {
            Some(Tag::Queued { .. }) => return,
            Some(Tag::Away { until }) => {
                self.away.remove(&(*until, member));
                self.now.max(*until)
            }
            None if is_new => self.now + run(weight),
            None => self.now,
        };
        self.line.insert((start, member));
        self.tags.insert(member, Tag::Queued { start, weight });
    }

    /// Takes the member whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Pid> {
        let (start, member) = *self.line.first()?;
        self.now = start;
        self.take(member);
        Some(member)
    }

    /// Takes a member out of turn; it pays for the run like any other.
    pub(super) fn take(&mut self, member: Pid) {
        if let Some(Tag::Queued { start, weight }) = self.tags.get(&member).copied() {
            self.leave(member, start, start + run(weight));
        }
    }

    /// Takes a member out of the line without a run.
    pub(super) fn remove(&mut self, member: Pid) {
        if let Some(Tag::Queued { start, .. }) = self.tags.get(&member).copied() {
            self.leave(member, start, start);
        }
    }

    fn leave(&mut self, member: Pid, start: u128, until: u128) {
        self.line.remove(&(start, member));
        if self.line.is_empty() {
            // Nobody is left who could have been passed.
            *self = Self { now: self.now.max(until), ..Self::default() };
            return;
        }
        self.away.insert((until, member));
        self.tags.insert(member, Tag::Away { until });
        // Each call adds one and forgets up to two, so what is remembered stays small.
        for _ in 0..2 {
            match self.away.first().copied() {
                Some((until, member)) if until <= self.now => {
                    self.away.pop_first();
                    self.tags.remove(&member);
                }
                _ => break,
            }
        }
    }
}
