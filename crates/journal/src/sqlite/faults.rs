//! The steps of a write: each can be watched, and made to fail as on a bad disk.

use std::{cell::Cell, fmt, io};

use crate::OnStep;

/// Stands at the steps of writes. Costs two comparisons where nobody watches and nothing is to
/// fail.
#[derive(Default)]
pub(super) struct Faults {
    /// Steps that still go through, and what the one after them says.
    next: Cell<Option<(u32, io::ErrorKind)>>,
    on_step: Option<OnStep>,
}

impl Faults {
    pub(super) fn watched(on_step: Option<OnStep>) -> Self {
        Self { next: Cell::default(), on_step }
    }

    pub(super) fn fail_after(&self, next: Option<(u32, io::ErrorKind)>) {
        self.next.set(next);
    }

    /// To be called before each thing that can fail.
    pub(super) fn step(&self, name: &'static str) -> io::Result<()> {
        self.pass(name);
        match self.next.get() {
            None => Ok(()),
            Some((0, kind)) => Err(kind.into()),
            Some((left, kind)) => {
                self.next.set(Some((left - 1, kind)));
                Ok(())
            }
        }
    }

    /// To be called where nothing can fail and a crash can still tell a difference.
    pub(super) fn pass(&self, name: &'static str) {
        if let Some(on_step) = &self.on_step {
            on_step(name);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("next", &self.next).finish_non_exhaustive()
    }
}
