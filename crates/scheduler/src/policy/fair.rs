//! A line that gives each of its members turns in proportion to its weight.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996), a run counting as one unit of work. The
//! line has a *virtual time*; each member starts at a virtual time of its own, the earliest goes
//! first, and a run moves its member on by `1 / weight`. Whoever was away comes back at the
//! line's time at the earliest, so nobody saves up turns; what a member has had beyond that time
//! is remembered, so nobody sheds it by being away for a moment. One that is new begins a run of
//! its own later, so that a flood of new ones passes nobody for ever.

use std::collections::BTreeSet;

use libos_abi::Pid;

/// One run of a member of weight 1, in virtual time. The share of a member of the largest weight
/// is off by one run in seven thousand million.
const RUN: u128 = 1 << 46;

/// What a line knows of a member.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    /// In the line, from which virtual time on; else up to which it has had its turns.
    at: u128,
    /// The root of its task.
    pub(super) root: Pid,
    pub(super) weight: u32,
    pub(super) is_queued: bool,
}

/// A line. Every operation is O(log n).
#[derive(Debug, Default)]
pub(super) struct Line {
    now: u128,
    queued: BTreeSet<(u128, Pid)>,
}

fn run(weight: u32) -> u128 {
    RUN / u128::from(weight.max(1))
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// The member whose turn it is.
    pub(super) fn first(&self) -> Option<Pid> {
        self.queued.first().map(|(_, member)| *member)
    }

    /// Queues a member, if it is not queued already.
    pub(super) fn push(&mut self, member: Pid, mark: &mut Mark, is_new: bool) {
        if !mark.is_queued {
            let later = if is_new { run(mark.weight) } else { 0 };
            mark.at = mark.at.max(self.now + later);
            mark.is_queued = true;
            self.queued.insert((mark.at, member));
        }
    }

    /// Takes a queued member out, in its turn or not. For a run it pays in any case.
    pub(super) fn take(&mut self, member: Pid, mark: &mut Mark, runs: bool) {
        if self.first() == Some(member) {
            self.now = mark.at;
        }
        self.queued.remove(&(mark.at, member));
        mark.is_queued = false;
        if runs {
            mark.at += run(mark.weight);
        }
    }
}
