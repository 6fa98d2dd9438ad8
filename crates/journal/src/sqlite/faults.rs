//! Failures on demand, for tests: the n-th step of a write fails as on a full disk.

use std::{cell::Cell, io};

/// Counts the steps of writes. Costs a comparison where nothing is to fail.
#[derive(Debug, Default)]
pub(super) struct Faults {
    steps_left: Cell<Option<u32>>,
}

impl Faults {
    pub(super) fn fail_after(&self, steps: Option<u32>) {
        self.steps_left.set(steps);
    }

    /// To be called before each thing that can fail.
    pub(super) fn step(&self) -> io::Result<()> {
        match self.steps_left.get() {
            None => Ok(()),
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                self.steps_left.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
