//! What a call may use of a budget, and what it turned out to use.
//!
//! Decided on the call alone, before anything happens, as its demand is. What may be estimated is
//! the most that the call could take; it is set aside first and settled with the outcome.

use crate::{Outcome, Reply, Syscall, fs, process::Usage, shell, tool};

impl Syscall {
    /// What the call may use at the most.
    #[must_use]
    pub fn charge(&self) -> Usage {
        let one = Usage { syscalls: 1, ..Usage::default() };
        match self {
            Self::Tool(tool::Call::CallTool(_)) => Usage { tool_calls: 1, ..one },
            Self::Fs(fs::Call::Read(read)) => {
                Usage { bytes: read.max_bytes.unwrap_or(fs::READ_BYTES_DEFAULT).into(), ..one }
            }
            Self::Fs(fs::Call::Write(write)) => Usage { bytes: write.text.bytes(), ..one },
            Self::Shell(shell::Call::Run(_)) => {
                Usage { bytes: 2 * u64::from(shell::OUTPUT_BYTES_MAX), ..one }
            }
            _ => one,
        }
    }

    /// What the call used of what was set aside for it: all of it where nobody can tell.
    #[must_use]
    pub fn used(&self, outcome: &Outcome) -> Usage {
        let all = self.charge().estimated();
        let bytes = match outcome {
            Ok(Reply::Fs(fs::Reply::Read(file))) => file.text.bytes(),
            Ok(Reply::Shell(shell::Reply::Run(ran))) => ran.stdout.bytes() + ran.stderr.bytes(),
            _ => return all,
        };
        Usage { bytes: bytes.min(all.bytes), ..all }
    }
}
