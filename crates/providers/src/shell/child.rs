//! A program under way, seen from the host: its supervisor, and what that tells.
//!
//! The host's end of the supervisor's orders is the life line of all that the program starts. When
//! it closes, because the program is to end or because the host is gone, the supervisor ends
//! everything. So nothing here searches for processes, and nothing depends on which thread runs.

use std::{
    io,
    process::Stdio,
    time::{Duration, Instant},
};

use libos_abi::OpId;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, ChildStderr, ChildStdout, Command},
};

use super::confine::{self, Ending, Jail, Stage, Told};

/// The ends of a program's pipes.
pub(super) struct Pipes {
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// Why a program was not started.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// The host failed.
    Host(io::Error),
    /// The supervisor refused.
    Refused { stage: Stage, errno: Option<i32>, text: String },
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

/// A running program. Dropping it ends the program and all it started.
pub(super) struct Running {
    op: OpId,
    since: Instant,
    supervisor: Child,
    /// Nothing more is said on it; that it is open keeps the program alive.
    line: BufReader<UnixStream>,
}

impl Running {
    /// Starts a program.
    pub(super) async fn start(op: OpId, jail: &Jail) -> Result<Self, NotStarted> {
        let (mut command, host) = confine::supervisor()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        host.set_nonblocking(true)?;
        let order = confine::order(jail)?;
        let since = Instant::now();
        let supervisor = Command::from(command).spawn()?;
        let mut host = UnixStream::from_std(host)?;
        host.write_all(&order).await?;
        let mut running = Self { op, since, supervisor, line: BufReader::new(host) };
        match running.told().await? {
            Some(Told::Started) => Ok(running),
            Some(Told::Refused { stage, errno, text }) => {
                running.supervisor.wait().await?;
                Err(NotStarted::Refused { stage, errno, text })
            }
            Some(Told::Ended(_)) | None => {
                Err(NotStarted::Host(io::Error::other("the supervisor says nothing")))
            }
        }
    }

    pub(super) fn op(&self) -> OpId {
        self.op
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Takes the ends of the pipes.
    pub(super) fn pipes(&mut self) -> Pipes {
        Pipes { stdout: self.supervisor.stdout.take(), stderr: self.supervisor.stderr.take() }
    }

    /// What the program ended in, once it and all it started have; nothing if nobody can tell.
    pub(super) async fn ending(&mut self) -> io::Result<Option<Ending>> {
        let told = self.told().await?;
        self.supervisor.wait().await?;
        Ok(match told {
            Some(Told::Ended(ending)) => Some(ending),
            _ => None,
        })
    }

    /// Ends the program and all it started.
    pub(super) async fn end(mut self) -> io::Result<()> {
        drop(self.line);
        self.supervisor.wait().await.map(drop)
    }

    async fn told(&mut self) -> io::Result<Option<Told>> {
        let mut line = String::new();
        match self.line.read_line(&mut line).await? {
            0 => Ok(None),
            _ => serde_json::from_str(&line).map(Some).map_err(io::Error::other),
        }
    }
}
