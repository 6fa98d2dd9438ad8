//! A program under way, and the end of everything it started.
//!
//! The program leads its own session and group. It is ended as a group; what left the group is
//! found in `/proc` by the mark it inherited in its environment, the path of its private temporary
//! folder, which no other process has. If the host dies the kernel ends the program itself, and a
//! guard, a shell that reads from a pipe of the host until that ends, ends all that has the mark.
//! The guard starts before the program, so that there is no moment without one.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use libos_abi::OpId;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal},
};
use tempfile::TempDir;
use tokio::{
    io::unix::AsyncFd,
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::oneshot,
};

/// The variable that marks all that a run started.
pub(super) const MARK: &str = "TMPDIR";
/// What the guard runs; its argument is the temporary folder.
const GUARD: &str = r#"
trap '' HUP INT TERM
read -r _
sweeps=0
while [ "$sweeps" -lt 16 ]; do
  found=
  for environ in /proc/[0-9]*/environ; do
    if grep -qsaF -- "TMPDIR=$1" "$environ"; then
      pid=${environ#/proc/}
      kill -s KILL "${pid%/environ}" && found=1
    fi
  done
  [ -n "$found" ] || break
  sweeps=$((sweeps + 1))
done
rm -rf -- "$1"
"#;
/// How often `/proc` is searched at the most for processes that got away.
const SWEEPS_MAX: usize = 16;

/// All about a program that is to start.
pub(super) struct Plan {
    pub(super) op: OpId,
    pub(super) program: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) cwd: OwnedFd,
    pub(super) environment: BTreeMap<OsString, OsString>,
    pub(super) temporary: TempDir,
    /// Whether it gets a text to read.
    pub(super) reads: bool,
}

type Job = Box<dyn FnOnce() + Send>;

/// The thread that starts programs, made on first use.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends, not the process.
/// Threads of tokio's blocking pool end when they have been idle for a while, and would take
/// running programs along. This thread lives as long as a provider or a run holds its sender.
#[derive(Debug, Clone, Default)]
pub(super) struct Spawner {
    jobs: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
}

impl Spawner {
    /// Starts a program.
    pub(super) async fn spawn(&self, plan: Plan) -> io::Result<Running> {
        let (reply, started) = oneshot::channel();
        let jobs = self.jobs()?;
        let held = jobs.clone();
        let job: Job = Box::new(move || {
            // If nobody waits any more the reply is dropped, and that ends the program.
            drop(reply.send(Running::start(plan, held)));
        });
        let gone = || io::Error::other("the spawning thread is gone");
        jobs.send(job).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }

    fn jobs(&self) -> io::Result<mpsc::Sender<Job>> {
        let mut slot = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = &*slot {
            return Ok(jobs.clone());
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().for_each(|job| job());
        std::thread::Builder::new().name("libos-spawner".into()).spawn(work)?;
        *slot = Some(jobs.clone());
        Ok(jobs)
    }
}

/// The ends of a program's pipes.
pub(super) struct Pipes {
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// A running program. Dropping it ends the program and all it started.
pub(super) struct Running {
    op: OpId,
    since: Instant,
    /// Present until it is ended.
    alive: Option<Alive>,
}

struct Alive {
    op: OpId,
    child: Child,
    /// Ends all that the program started if the host dies.
    guard: Option<Child>,
    temporary: TempDir,
    /// Keeps the spawning thread, and so the program.
    _spawner: mpsc::Sender<Job>,
}

impl Running {
    fn start(plan: Plan, spawner: mpsc::Sender<Job>) -> io::Result<Self> {
        let Plan { op, program, argv, cwd, environment, temporary, reads } = plan;
        let mut command = Command::new(program);
        if let Some((name, arguments)) = argv.split_first() {
            command.arg0(name).args(arguments);
        }
        command.env_clear().envs(environment);
        command.stdin(if reads { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let host = rustix::process::getpid();
        let prepare = move || {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The host may have died before the signal was asked for.
            if rustix::process::getppid() != Some(host) {
                return Err(rustix::io::Errno::SRCH.into());
            }
            rustix::process::fchdir(&cwd)?;
            Ok(())
        };
        // SAFETY: between fork and exec only async-signal-safe work is allowed. `prepare` makes
        // four system calls through rustix, which calls the kernel directly; it neither allocates
        // nor locks (errors are made from a number), and what it uses it owns.
        #[allow(unsafe_code, reason = "std offers the moment between fork and exec this way only")]
        unsafe {
            command.pre_exec(prepare);
        }
        let guard = guard(&temporary).inspect_err(|error| {
            tracing::warn!(%op, %error, "a program runs without its guard");
        });
        let mut guard = guard.ok();
        let since = Instant::now();
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                if let Some(guard) = &mut guard {
                    guard.kill()?;
                    guard.wait()?;
                }
                return Err(error);
            }
        };
        let alive = Alive { op, child, guard, temporary, _spawner: spawner };
        Ok(Self { op, since, alive: Some(alive) })
    }

    pub(super) fn op(&self) -> OpId {
        self.op
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// A descriptor that becomes readable when the program has ended and is not reaped yet.
    pub(super) fn exit_signal(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let alive = self.alive.as_ref().ok_or_else(ended)?;
        let process = rustix::process::pidfd_open(alive.pid(), PidfdFlags::empty())?;
        // SAFETY: the descriptor must stay open and the same while it is registered. An `OwnedFd`
        // is just that, and the `AsyncFd` owns it.
        #[allow(unsafe_code, reason = "tokio's safe constructors are deprecated as unsound")]
        let registered = unsafe { AsyncFd::register(process) };
        Ok(registered?)
    }

    /// Takes the ends of the pipes.
    pub(super) fn pipes(&mut self) -> io::Result<Pipes> {
        let child = &mut self.alive.as_mut().ok_or_else(ended)?.child;
        Ok(Pipes {
            stdin: child.stdin.take().map(ChildStdin::from_std).transpose()?,
            stdout: child.stdout.take().map(ChildStdout::from_std).transpose()?,
            stderr: child.stderr.take().map(ChildStderr::from_std).transpose()?,
        })
    }

    /// Ends the program and all it started, and tells how it ended. Blocks.
    pub(super) fn end(mut self) -> io::Result<ExitStatus> {
        self.alive.take().ok_or_else(ended)?.end()
    }
}

fn ended() -> io::Error {
    io::Error::other("the program was ended already")
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(alive) = self.alive.take() else {
            return;
        };
        alive.kill_group();
        let op = self.op;
        let reap = move || {
            if let Err(error) = alive.end() {
                tracing::warn!(%op, %error, "an abandoned program was not reaped");
            }
        };
        // The rest takes a moment, and this may be a thread of the runtime.
        if let Err(error) = std::thread::Builder::new().name("libos-reaper".into()).spawn(reap) {
            tracing::warn!(%op, %error, "an abandoned program stays unreaped");
        }
    }
}

impl Alive {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends the program's group. The program is not reaped, so the number is still its own.
    fn kill_group(&self) {
        if let Err(errno) = rustix::process::kill_process_group(self.pid(), Signal::KILL)
            && errno != rustix::io::Errno::SRCH
        {
            tracing::warn!(op = %self.op, %errno, "a program's group was not ended");
        }
    }

    fn end(mut self) -> io::Result<ExitStatus> {
        self.kill_group();
        self.sweep();
        if let Some(guard) = &mut self.guard {
            guard.kill()?;
            guard.wait()?;
        }
        let status = self.child.wait()?;
        if let Err(error) = self.temporary.close() {
            tracing::warn!(op = %self.op, %error, "a program's temporary folder stays behind");
        }
        Ok(status)
    }

    /// Ends what left the group. A process may start another while it is searched for, so the
    /// search is repeated until it finds nothing.
    fn sweep(&self) {
        let mut mark = OsString::from(MARK);
        mark.push("=");
        mark.push(self.temporary.path());
        for _ in 0..SWEEPS_MAX {
            match sweep_once(mark.as_bytes()) {
                Ok(0) => return,
                Ok(count) => tracing::info!(op = %self.op, count, "ended processes that left"),
                Err(error) => {
                    tracing::warn!(op = %self.op, %error, "the host's processes cannot be listed");
                    return;
                }
            }
        }
        tracing::warn!(op = %self.op, "processes of an ended program keep starting others");
    }
}

/// Starts the guard of a program.
fn guard(temporary: &TempDir) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", GUARD, "libos-guard"])
        .arg(temporary.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Ends every process whose environment holds `mark`; tells how many there were.
fn sweep_once(mark: &[u8]) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // Opened first: what is read next and then ended is this process and no later one. Those
        // that are gone, or belong to another user, are none of ours.
        let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        let Ok(environment) = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
        else {
            continue;
        };
        if !environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
            continue;
        }
        if rustix::process::pidfd_send_signal(&process, Signal::KILL).is_ok() {
            count += 1;
            let gone = &mut [PollFd::new(&process, PollFlags::IN)];
            let patience = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            rustix::event::poll(gone, Some(&patience))?;
        }
    }
    Ok(count)
}
