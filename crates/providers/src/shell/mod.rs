//! Programs of the host, started from an argument list.
//!
//! Owns the choice of the program ([`search`]), the child with everything it started ([`child`])
//! and the collection of its output ([`capture`]). A program is named, never given by path, and is
//! never taken from the workspace. It sees a scrubbed environment, reads the given text or nothing,
//! and leads its own session; when it ends, runs out of time, or nobody waits for it any more, all
//! that it started is ended with it. No sandbox of the operating system confines it here.

mod capture;
mod child;
mod search;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::Permissions,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use libos_abi::{
    Error, FsPath, OpId, Syscall, Text,
    shell::{self, Ended, FailureKind},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use tokio::time::{sleep, timeout};

pub use self::search::{default_search_path, toolchain_environment};
use self::{
    capture::{Capture, feed},
    child::{Plan, Running, Spawner},
};
use crate::{
    Stop,
    fs::{
        WORKSPACE,
        mount::{self, Mount, Unreached, Walk},
    },
    host_failure,
    limits::{self, OUTPUT_BYTES_MAX},
    outside, provider_failed,
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
    pub environment: BTreeMap<OsString, OsString>,
    /// How many bytes are kept of standard output and of standard error, each.
    pub output_bytes_max: usize,
    /// Where a private temporary folder is made for each run.
    pub temporary: PathBuf,
    /// The secrets of the host.
    pub secrets: Secrets,
}

impl ShellConfig {
    /// The host's search path, toolchain variables and temporary folder.
    #[must_use]
    pub fn from_host() -> Self {
        Self {
            search_path: default_search_path(),
            environment: toolchain_environment(),
            output_bytes_max: OUTPUT_BYTES_MAX,
            temporary: std::env::temp_dir(),
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
    spawner: Spawner,
}

impl ShellProvider {
    /// A provider with its own spawning thread, which ends after the provider and its last run.
    #[must_use]
    pub fn new(config: ShellConfig) -> Self {
        Self { config: Arc::new(config), spawner: Spawner::default() }
    }
}

impl Provider for ShellProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }

    /// Everything that is refused before the program starts is certified as not started.
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let Self { config, spawner } = self.clone();
        Box::pin(async move {
            match run(order, config, spawner).await {
                Ok(ended) => EffectOutcome::Done(shell::Reply::Run(ended).into()),
                Err(stop) => stop.into(),
            }
        })
    }
}

async fn run(order: Order, config: Arc<ShellConfig>, spawner: Spawner) -> Result<Ended, Stop> {
    let op = order.op;
    let Syscall::Shell(shell::Call::Run(call)) = &order.call else {
        let call = order.call.info().name.to_owned();
        return Err(Stop::Refused(libos_abi::Fault::Unsupported { call }.into()));
    };
    let stdin = match &call.stdin {
        None => None,
        Some(Text::Inline(text)) => Some(Arc::clone(text)),
        Some(Text::Blob(_)) => return Err(Stop::Refused(provider_failed(op, "blob.missing"))),
    };
    let limit = call.timeout_ms.map_or(TIMEOUT_DEFAULT, |millis| Duration::from_millis(millis.0));
    let limit = limit.min(TIMEOUT_MAX);
    let name = call.argv.first().cloned().unwrap_or_default();

    let output_max = config.output_bytes_max;
    let reads = stdin.is_some();
    let secrets = config.secrets.clone();
    let given = secrets.for_program(call.secrets.as_deref().unwrap_or_default()).await;
    let given = given
        .map_err(|error| Stop::Refused(FailureKind::SecretRefused.because(error.to_string())))?;
    let planned = tokio::task::spawn_blocking(move || plan(&order, &config, reads, given)).await;
    let plan = planned.map_err(|lost| Stop::Refused(host_failure(op, "plan a run", &lost.into())));
    let plan = plan??;
    let started = spawner.spawn(plan).await;
    let running = started.map_err(|error| Stop::Refused(not_started(op, &name, &error)))?;
    conduct(running, &name, stdin, limit, output_max, &secrets.scrubber()).await
}

/// Sees a running program to its end.
async fn conduct(
    mut running: Running,
    name: &str,
    stdin: Option<Arc<str>>,
    limit: Duration,
    output_max: usize,
    scrubber: &Scrubber,
) -> Result<Ended, Stop> {
    let op = running.op();
    let io = |doing: &'static str| {
        move |error: std::io::Error| Stop::Failed(host_failure(op, doing, &error))
    };
    let pipes = running.pipes().map_err(io("open the pipes of a program"))?;
    let exit = running.exit_signal().map_err(io("watch a program"))?;
    let (mut out, mut err) =
        (Capture::new(output_max, scrubber), Capture::new(output_max, scrubber));
    let (status, timed_out, wall);
    {
        let mut streams = pin!(async {
            tokio::join!(out.drain(pipes.stdout), err.drain(pipes.stderr), feed(pipes.stdin, stdin))
        });
        let mut deadline = pin!(sleep(limit));
        let mut drained = None;
        timed_out = loop {
            tokio::select! {
                biased;
                exited = exit.readable() => {
                    exited.map_err(io("watch a program"))?.retain_ready();
                    break false;
                }
                () = &mut deadline => break true,
                done = &mut streams, if drained.is_none() => drained = Some(done),
            }
        };
        wall = running.age();
        // The leader is not reaped yet, so its group's number cannot belong to anybody else.
        let ended = tokio::task::spawn_blocking(move || running.end()).await;
        let ended = ended.map_err(|lost| Stop::Unknown(lost.to_string()))?;
        status = ended.map_err(io("reap a program"))?;
        if drained.is_none() {
            drained = timeout(DRAIN_GRACE, &mut streams).await.ok();
        }
        match drained {
            None => tracing::warn!(%op, "a process got away and holds the output of its program"),
            Some((out, err, fed)) => {
                for error in [out.err(), err.err(), fed.err()].into_iter().flatten() {
                    tracing::warn!(%op, %error, "a pipe to a program failed");
                }
            }
        }
    }
    if timed_out {
        let why = format!("`{name}` ran longer than {} ms and was ended", limit.as_millis());
        return Err(Stop::Failed(FailureKind::TimedOut.because(why)));
    }
    let (stdout, cut_out) = out.into_text();
    let (stderr, cut_err) = err.into_text();
    Ok(Ended {
        exit_code: status.code(),
        signal: status.signal(),
        stdout: stdout.into(),
        stderr: stderr.into(),
        truncated: cut_out || cut_err,
        wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Checks a call and decides all about its program. Nothing begins.
fn plan(
    order: &Order,
    config: &ShellConfig,
    reads: bool,
    secrets: Vec<(String, String)>,
) -> Result<Plan, Stop> {
    let Syscall::Shell(shell::Call::Run(call)) = &order.call else {
        unreachable!("`run` looked at the call");
    };
    let name = check_arguments(&call.argv).map_err(Stop::Refused)?;
    let path = call.cwd.0.clone().unwrap_or_else(|| order.cwd.clone());
    let (workspace, cwd) = folders(order, &path).map_err(Stop::Refused)?;
    let search_path = search::outside_of(&config.search_path, &workspace);
    let program = match search::find(name, &search_path, &workspace) {
        Ok(Some(program)) => program,
        Ok(None) => {
            let why = format!("no program `{name}` is on the search path");
            return Err(Stop::Refused(FailureKind::NotFound.because(why)));
        }
        Err(search::NotExecutable) => return Err(Stop::Refused(not_permitted(name))),
    };
    let host = |error: std::io::Error| Stop::Refused(host_failure(order.op, "plan a run", &error));
    let path =
        std::env::join_paths(&search_path).map_err(|error| host(std::io::Error::other(error)))?;
    let temporary = tempfile::Builder::new()
        .prefix("libos-run-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&config.temporary);
    let temporary = temporary.map_err(host)?;
    let mut environment = config.environment.clone();
    environment.extend(secrets.into_iter().map(|(name, value)| (name.into(), value.into())));
    environment.extend([
        ("PATH".into(), path),
        ("HOME".into(), workspace.into_os_string()),
        ("LANG".into(), "C.UTF-8".into()),
        ("TERM".into(), "dumb".into()),
        (child::MARK.into(), temporary.path().into()),
    ]);
    let argv = call.argv.clone();
    Ok(Plan { op: order.op, program, argv, cwd, environment, temporary, reads })
}

/// Refuses argument lists that name no program; gives the program's name.
fn check_arguments(argv: &[String]) -> Result<&str, Error> {
    let bad = |why: &str| Err(FailureKind::BadArguments.because(why));
    let name = match argv.first() {
        None => return bad("the argument list is empty"),
        Some(name) => name.as_str(),
    };
    if argv.iter().any(|argument| argument.contains('\0')) {
        return bad("an argument holds NUL");
    }
    if name.contains('/') {
        return bad("name a program, not a path");
    }
    if matches!(name, "" | "." | "..") {
        return bad("the first argument names no program");
    }
    Ok(name)
}

/// The host's folder behind the workspace, and the opened working directory.
fn folders(order: &Order, path: &FsPath) -> Result<(PathBuf, std::os::fd::OwnedFd), Error> {
    let bad = |what: &str| FailureKind::BadFolder.because(format!("`{path}` {what}"));
    let (mount, below) = path.split_mount();
    if mount != WORKSPACE {
        return Err(bad("is not in the workspace, where programs run"));
    }
    let names = mount::names(below).ok_or_else(|| outside(path))?;
    let folder = order.workspace.as_deref().ok_or_else(|| bad("has no folder on this host"))?;
    let missing = |error: std::io::Error| {
        tracing::warn!(op = %order.op, %error, "the workspace does not open");
        bad("is not there: the host's folder is missing")
    };
    let workspace = Path::new(folder).canonicalize().map_err(missing)?;
    let mount = Mount::open(&workspace, Walk::default()).map_err(missing)?;
    let cwd = mount.folder(&names).map_err(|why| match why {
        Unreached::Link => outside(path),
        Unreached::Missing => bad("is not there"),
        Unreached::NotAFolder => bad("is no folder"),
        Unreached::Io(error) => match error.kind() {
            std::io::ErrorKind::PermissionDenied => bad("is refused by the host"),
            _ => host_failure(order.op, "open a working directory", &error),
        },
    })?;
    Ok((workspace, cwd.into_std_file().into()))
}

fn not_permitted(name: &str) -> Error {
    FailureKind::NotPermitted.because(format!("the host does not run `{name}`"))
}

/// What it means that a program was not started.
fn not_started(op: OpId, name: &str, error: &std::io::Error) -> Error {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => {
            FailureKind::NotFound.because(format!("`{name}`, or what interprets it, is not there"))
        }
        Some(Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::TXTBSY) => {
            tracing::info!(%op, %error, "the host refused to run a program");
            not_permitted(name)
        }
        Some(Errno::TOOBIG) => FailureKind::BadArguments.because("the arguments are too long"),
        _ => host_failure(op, "start a program", error),
    }
}
