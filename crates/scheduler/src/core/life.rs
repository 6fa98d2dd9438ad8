//! Where a process is in its life, and what signals and waits make of it.

use std::sync::Arc;

use libos_abi::process::{Ending, ProcessState, Wait};
use serde::Serialize;

/// Where a process is in its life. A waiting process has a wait and no other has, a held one
/// remembers the wait it will go back to, an ended one has its ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Life {
    Runnable,
    Running,
    Waiting(Wait),
    Paused { by_host: bool, wait: Option<Wait> },
    Ended(Arc<Ending>),
}

impl Life {
    pub(crate) fn state(&self) -> ProcessState {
        match self {
            Self::Runnable => ProcessState::Runnable,
            Self::Running => ProcessState::Running,
            Self::Waiting(_) => ProcessState::Waiting,
            Self::Paused { .. } => ProcessState::Paused,
            Self::Ended(ending) => ending.state,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// What a pause makes of it; a pause by the host is not weakened by another's.
    pub(crate) fn paused(&self, host: bool) -> Self {
        match self {
            Self::Runnable | Self::Running => Self::Paused { by_host: host, wait: None },
            Self::Waiting(wait) => Self::Paused { by_host: host, wait: Some(wait.clone()) },
            Self::Paused { by_host, wait } => {
                Self::Paused { by_host: *by_host || host, wait: wait.clone() }
            }
            Self::Ended(_) => self.clone(),
        }
    }

    /// What the end of a wait, of a quantum or of the host makes of it; a held process stays held.
    pub(crate) fn readied(&self) -> Self {
        match self {
            Self::Running | Self::Waiting(_) => Self::Runnable,
            Self::Paused { by_host, .. } => Self::Paused { by_host: *by_host, wait: None },
            Self::Runnable | Self::Ended(_) => self.clone(),
        }
    }

    /// What the end of a pause makes of it.
    pub(crate) fn resumed(&self) -> Self {
        match self {
            Self::Paused { wait: None, .. } => Self::Runnable,
            Self::Paused { wait: Some(wait), .. } => Self::Waiting(wait.clone()),
            _ => self.clone(),
        }
    }
}
