//! Earliest deadline first, with a share of the turns kept for everyone.

use std::collections::BTreeSet;

use libos_abi::Pid;

use super::{Facts, Policy, WeightedFair, dense::Dense};

/// How many turns in a row go to deadlines before one is given out fairly: most turns are for
/// whoever is in a hurry, a quarter keeps everyone going.
const HURRIED_TURNS: u8 = 3;

/// The process with the earliest deadline first, those of the same deadline in the order they
/// came. Every fourth turn, and every turn when nobody with a deadline is queued, goes to whoever
/// [`WeightedFair`] would choose among all: deadlines, passed ones too, starve no one, and a
/// process that had turns for its deadline has had its share. Every operation is O(log n).
#[derive(Debug, Default)]
pub struct EarliestDeadline {
    fair: WeightedFair,
    /// Those with a deadline, by it and by when they came.
    due: BTreeSet<(u64, u64, Pid)>,
    /// The deadline and the number of each of them; number 0 is none.
    places: Dense<(u64, u64)>,
    last: u64,
    /// Turns in a row that went to deadlines.
    hurried: u8,
}

impl EarliestDeadline {
    fn forget(&mut self, pid: Pid) {
        let (deadline_ms, number) = std::mem::take(self.places.get(pid));
        if number > 0 {
            self.due.remove(&(deadline_ms, number, pid));
        }
    }
}

impl Policy for EarliestDeadline {
    fn push(&mut self, pid: Pid, facts: Facts) {
        self.fair.push(pid, facts);
        let place = self.places.get(pid);
        if let (Some(deadline_ms), 0) = (facts.deadline_ms, place.1) {
            self.last += 1;
            *place = (deadline_ms, self.last);
            self.due.insert((deadline_ms, self.last, pid));
        }
    }

    fn pop(&mut self) -> Option<Pid> {
        let pid = match self.due.first() {
            Some((_, _, pid)) if self.hurried < HURRIED_TURNS => {
                let pid = *pid;
                self.hurried += 1;
                self.fair.take(pid, true);
                pid
            }
            _ => {
                self.hurried = 0;
                self.fair.pop()?
            }
        };
        self.forget(pid);
        Some(pid)
    }

    fn remove(&mut self, pid: Pid) {
        self.forget(pid);
        self.fair.remove(pid);
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
