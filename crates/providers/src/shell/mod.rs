//! Programs of the host, started from an argument list.
//!
//! Owns the choice of the program ([`search`]), its confinement ([`confine`]), the program with
//! everything it started ([`child`]) and the collection of its output ([`capture`]). A program is
//! named, never given by path, and is never taken from the workspace. It sees a scrubbed
//! environment, reads the given text or nothing, and reaches what its process may reach and no
//! more: the operating system sees to that. When it ends, runs out of time, or nobody waits for it
//! any more, all that it started is ended with it, also when the host itself is killed.

mod capture;
mod child;
mod confine;
mod plan;
mod search;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use libos_abi::{
    Error, OpId, Syscall, Text,
    shell::{self, Ended, FailureKind},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use tokio::time::{sleep, timeout};

use self::{
    capture::Capture,
    child::{NotStarted, Running},
    confine::Stage,
    plan::{Plan, Seen, plan},
};
pub use self::{
    confine::{Layer, layers_missing},
    search::{default_readable, default_search_path, toolchain_environment},
};
use crate::{
    Mounted, Stop, host_failure,
    limits::{self, OUTPUT_BYTES_MAX},
    provider_failed,
    secrets::{Scrubber, Secrets},
};

/// How long a program may run if the call does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_millis(limits::TIMEOUT_MS_DEFAULT);
/// How long a program may run at the most.
const TIMEOUT_MAX: Duration = Duration::from_millis(limits::TIMEOUT_MS_MAX);
/// How long output is waited for once everything was ended. Only a process that got away holds
/// the pipes longer.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// What programs get from the host.
#[derive(Debug, Clone)]
pub struct ShellConfig {
    /// Where programs are looked for, in this order. Folders inside a workspace are passed over.
    pub search_path: Vec<PathBuf>,
    /// Variables beside `PATH`, `HOME`, `LANG`, `TERM` and `TMPDIR`, which cannot be replaced.
    /// Those that make a loader or an interpreter run something else are never passed.
    pub environment: BTreeMap<OsString, OsString>,
    /// How many bytes are kept of standard output and of standard error, each.
    pub output_bytes_max: usize,
    /// Where a private temporary folder is made for each run.
    pub temporary: PathBuf,
    /// What every program may read and execute, whatever its process may: the system's own
    /// programs and libraries, and those of toolchains.
    pub readable: Vec<PathBuf>,
    /// The mounts that processes name beside `workspace`, which is the folder of the order.
    pub mounts: BTreeMap<String, Mounted>,
    /// What no program sees, wherever it lies.
    pub kept_out: Vec<PathBuf>,
    /// The layers of confinement that may be missing. Where one is that is not among them, no
    /// program runs.
    pub may_lack: BTreeSet<Layer>,
    /// The secrets of the host.
    pub secrets: Secrets,
}

impl ShellConfig {
    /// The host's search path, toolchains and temporary folder. No layer may be missing.
    #[must_use]
    pub fn from_host() -> Self {
        let (search_path, environment) = (default_search_path(), toolchain_environment());
        Self {
            readable: default_readable(&search_path, &environment),
            search_path,
            environment,
            output_bytes_max: OUTPUT_BYTES_MAX,
            temporary: std::env::temp_dir(),
            mounts: BTreeMap::new(),
            kept_out: Vec::new(),
            may_lack: BTreeSet::new(),
            secrets: Secrets::default(),
        }
    }
}

/// Performs the calls of the `shell` service: runs programs of the host in the workspace.
///
/// It must be used inside a tokio runtime with I/O and time.
#[derive(Debug, Clone)]
pub struct ShellProvider {
    config: Arc<ShellConfig>,
    seen: Arc<Seen>,
}

impl ShellProvider {
    /// A provider. The executable it is in is run again as the supervisor of each program.
    #[must_use]
    pub fn new(config: ShellConfig) -> Self {
        Self { config: Arc::new(config), seen: Arc::default() }
    }
}

impl Provider for ShellProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }

    /// Everything that is refused before the program starts is certified as not started.
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let Self { config, seen } = self.clone();
        Box::pin(async move {
            match run(order, config, seen).await {
                Ok(ended) => EffectOutcome::Done(shell::Reply::Run(ended).into()),
                Err(stop) => stop.into(),
            }
        })
    }
}

async fn run(order: Order, config: Arc<ShellConfig>, seen: Arc<Seen>) -> Result<Ended, Stop> {
    let op = order.op;
    let Syscall::Shell(shell::Call::Run(call)) = &order.call else {
        let call = order.call.info().name.to_owned();
        return Err(Stop::Refused(libos_abi::Fault::Unsupported { call }.into()));
    };
    if let Some(Text::Blob { .. }) = &call.stdin {
        return Err(Stop::Refused(provider_failed(op, "blob.missing")));
    }
    let limit = call.timeout_ms.map_or(TIMEOUT_DEFAULT, |millis| Duration::from_millis(millis.0));
    let limit = limit.min(TIMEOUT_MAX);
    let name = call.argv.first().cloned().unwrap_or_default();

    let output_max = config.output_bytes_max;
    let secrets = config.secrets.clone();
    let given = secrets.for_program(call.secrets.as_deref().unwrap_or_default()).await;
    let given = given
        .map_err(|error| Stop::Refused(FailureKind::SecretRefused.because(error.to_string())))?;
    let planned = move || plan(&order, &config, &seen, limit, given);
    let planned = tokio::task::spawn_blocking(planned).await;
    let plan = planned.map_err(|lost| Stop::Refused(host_failure(op, "plan a run", &lost.into())));
    let Plan { jail, program, notes, folder } = plan??;
    let started = Running::start(op, &jail).await;
    let running = started.map_err(|why| Stop::Refused(not_started(op, &name, why)))?;
    // The supervisor removes it, whatever becomes of the host.
    drop(folder.keep());
    let ended = conduct(running, &name, limit, output_max, &secrets.scrubber()).await?;
    Ok(Ended { program: Some(program), notes, ..ended })
}

/// Sees a running program to its end.
async fn conduct(
    mut running: Running,
    name: &str,
    limit: Duration,
    output_max: usize,
    scrubber: &Scrubber,
) -> Result<Ended, Stop> {
    let op = running.op();
    let io = |doing: &'static str| {
        move |error: std::io::Error| Stop::Failed(host_failure(op, doing, &error))
    };
    let pipes = running.pipes();
    let (mut out, mut err) =
        (Capture::new(output_max, scrubber), Capture::new(output_max, scrubber));
    let ending;
    let wall;
    {
        let mut streams =
            pin!(async { tokio::join!(out.drain(pipes.stdout), err.drain(pipes.stderr)) });
        let mut drained = None;
        ending = {
            let mut end = pin!(running.ending());
            let mut deadline = pin!(sleep(limit));
            loop {
                tokio::select! {
                    biased;
                    ended = &mut end => break Some(ended.map_err(io("watch a program"))?),
                    () = &mut deadline => break None,
                    done = &mut streams, if drained.is_none() => drained = Some(done),
                }
            }
        };
        wall = running.age();
        running.end().await.map_err(io("end a program"))?;
        if drained.is_none() {
            drained = timeout(DRAIN_GRACE, &mut streams).await.ok();
        }
        match drained {
            None => tracing::warn!(%op, "a process got away and holds the output of its program"),
            Some((out, err)) => {
                for error in [out.err(), err.err()].into_iter().flatten() {
                    tracing::warn!(%op, %error, "a pipe of a program failed");
                }
            }
        }
    }
    let ending = match ending {
        Some(Some(ending)) => ending,
        Some(None) => return Err(Stop::Unknown("its supervisor ended and told nothing".into())),
        None => {
            let why = format!("`{name}` ran longer than {} ms and was ended", limit.as_millis());
            return Err(Stop::Failed(FailureKind::TimedOut.because(why)));
        }
    };
    let (stdout, cut_out) = out.into_text();
    let (stderr, cut_err) = err.into_text();
    Ok(Ended {
        exit_code: ending.code,
        signal: ending.signal,
        stdout: stdout.into(),
        stderr: stderr.into(),
        truncated: cut_out || cut_err,
        wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        user_ms: ending.user_ms,
        system_ms: ending.system_ms,
        max_rss_kib: ending.max_rss_kib,
        ..Ended::default()
    })
}

fn not_permitted(name: &str) -> Error {
    FailureKind::NotPermitted.because(format!("the host does not run `{name}`"))
}

/// What it means that a program was not started.
fn not_started(op: OpId, name: &str, why: NotStarted) -> Error {
    use rustix::io::Errno;
    let (stage, errno, text) = match why {
        NotStarted::Host(error) => return host_failure(op, "start a program", &error),
        NotStarted::Refused { stage, errno, text } => (stage, errno, text),
    };
    tracing::info!(%op, ?stage, text, "the supervisor refused to start a program");
    match (stage, errno.map(Errno::from_raw_os_error)) {
        (Stage::Program, Some(Errno::NOENT)) => {
            FailureKind::NotFound.because(format!("`{name}`, or what interprets it, is not there"))
        }
        (Stage::Program, Some(Errno::STALE)) => changed(name),
        (Stage::Program, Some(Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::TXTBSY)) => {
            not_permitted(name)
        }
        (Stage::Program, Some(Errno::TOOBIG)) => {
            FailureKind::BadArguments.because("the arguments are too long")
        }
        (Stage::Folder, _) => FailureKind::BadFolder.because("the working directory is gone"),
        (Stage::Isolate | Stage::Confine, _) => FailureKind::Unconfined
            .because(format!("the host's kernel refused to confine it ({stage:?})")),
        _ => host_failure(op, "start a program", &std::io::Error::other(text)),
    }
}

fn changed(name: &str) -> Error {
    let why = format!("`{name}` has changed since the call was made; make the call again");
    FailureKind::NotPermitted.because(why)
}
