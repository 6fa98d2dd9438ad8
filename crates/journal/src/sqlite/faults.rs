//! Failures on demand, for tests: the n-th step of a write fails as on a bad disk.

use std::{cell::Cell, io};

/// Counts the steps of writes. Costs a comparison where nothing is to fail.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Steps that still go through, and what the one after them says.
    next: Cell<Option<(u32, io::ErrorKind)>>,
}

impl Faults {
    pub(super) fn fail_after(&self, next: Option<(u32, io::ErrorKind)>) {
        self.next.set(next);
    }

    /// To be called before each thing that can fail.
    pub(super) fn step(&self) -> io::Result<()> {
        match self.next.get() {
            None => Ok(()),
            Some((0, kind)) => Err(kind.into()),
            Some((left, kind)) => {
                self.next.set(Some((left - 1, kind)));
                Ok(())
            }
        }
    }
}
