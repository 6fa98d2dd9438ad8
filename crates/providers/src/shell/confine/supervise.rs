//! The supervisor of one program: this executable run again, in the host's stead.
//!
//! It makes the namespaces and mounts, starts the program confined, and ends all that the program
//! started: when the program ends, or when the other end of its standard input is gone, which is
//! the host. It is the init of a process namespace where there is one, and otherwise the process
//! to which everything falls that loses its parent, so neither a new session nor a second fork
//! leads away from it. It decides nothing: what it is told comes from the host.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitStatus,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal, WaitOptions},
};

use super::{Ending, Jail, Stage, Told, launch, mounts, raw};

/// The variable that makes this executable a supervisor.
pub(super) const ROLE: &str = "LIBOS_SUPERVISE";
/// How often children of others that have ended are reaped while a program runs.
const REAP_EVERY: Duration = Duration::from_millis(200);
/// The longest order.
const LONGEST_ORDER: u32 = 16 << 20;

/// Is a supervisor to its end, if told so. Runs before `main`.
pub(super) fn if_told() {
    if std::env::var_os(ROLE).is_some() {
        let is_done = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
        let is_done = is_done.and_then(supervise);
        std::process::exit(if is_done.is_ok() { 0 } else { 1 });
    }
}

/// Tells the host something.
fn tell(mut host: &UnixStream, told: &Told) -> io::Result<()> {
    let mut text = serde_json::to_vec(told).map_err(io::Error::other)?;
    text.push(b'\n');
    host.write_all(&text)
}

fn order(mut host: &UnixStream) -> io::Result<Jail> {
    let mut length = [0; 4];
    host.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST_ORDER {
        return Err(io::Error::other("the order is too long"));
    }
    let mut text = Vec::new();
    host.take(length.into()).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

fn supervise(host: UnixStream) -> io::Result<()> {
    // Away from the host's terminal and its signals.
    rustix::process::setsid()?;
    raw::close_on_exec_from(3)?;
    let jail = order(&host)?;
    let done = match jail.isolates {
        false => attend(&host, &jail),
        true => match isolate() {
            Err(error) => refuse(&host, Stage::Isolate, &error),
            Ok(()) => match raw::fork()? {
                None => std::process::exit(if attend(&host, &jail).is_ok() { 0 } else { 1 }),
                Some(init) => reap(init),
            },
        },
    };
    match std::fs::remove_dir_all(&jail.folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => done,
    }
}

fn refuse(host: &UnixStream, stage: Stage, error: &io::Error) -> io::Result<()> {
    let (errno, text) = (error.raw_os_error(), error.to_string());
    tell(host, &Told::Refused { stage, errno, text })
}

/// Waits for a child.
fn reap(child: Pid) -> io::Result<()> {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done.map(drop)?),
        }
    }
}

/// Goes into namespaces of its own: of users as well for one who may not otherwise.
fn isolate() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if raw::unshare(libc::CLONE_NEWPID).is_ok() {
        return Ok(());
    }
    raw::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// Starts the program and sees it and all it started to their end.
fn attend(host: &UnixStream, jail: &Jail) -> io::Result<()> {
    raw::adopt_and_end_with_parent()?;
    if jail.isolates
        && let Err(error) = mounts::arrange(jail)
    {
        return refuse(host, Stage::Isolate, &error);
    }
    if jail.argv.is_empty() {
        // It was only asked whether this much works.
        return tell(host, &Told::Started);
    }
    let mut program = match launch::launch(jail) {
        Ok(program) => program,
        Err((stage, error)) => return refuse(host, stage, &error),
    };
    tell(host, &Told::Started)?;
    let pid = Pid::from_child(&program);
    let end = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let by_itself = watch(host, &end)?;
    let status = if by_itself { Some(program.wait()?) } else { None };
    end_everything(jail.isolates)?;
    let (user_ms, system_ms, max_rss_kib) = raw::used_by_children()?;
    let (code, signal) = status.map_or((None, None), parts);
    tell(host, &Told::Ended(Ending { code, signal, user_ms, system_ms, max_rss_kib }))
}

fn parts(status: ExitStatus) -> (Option<i32>, Option<i32>) {
    use std::os::unix::process::ExitStatusExt as _;
    (status.code(), status.signal())
}

/// Waits until the program has ended; false if the host is gone first, or wants no more of it.
fn watch(host: &UnixStream, end: &OwnedFd) -> io::Result<bool> {
    let every = Timespec::try_from(REAP_EVERY).map_err(io::Error::other)?;
    loop {
        let mut ready = [
            PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(host.as_fd(), PollFlags::IN | PollFlags::RDHUP),
        ];
        match rustix::event::poll(&mut ready, Some(&every)) {
            Err(rustix::io::Errno::INTR) => continue,
            done => done.map(drop)?,
        }
        if !ready[0].revents().is_empty() {
            return Ok(true);
        }
        if !ready[1].revents().is_empty() {
            return Ok(false);
        }
        reap_orphans(end)?;
    }
}

/// Reaps those that fell to the supervisor, while the program itself still runs.
fn reap_orphans(end: &OwnedFd) -> io::Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Ok(Some(_)) = waitid(WaitId::All, peek) {
        // The program's own end is for whoever waits for it.
        if matches!(waitid(WaitId::PidFd(end.as_fd()), peek), Ok(Some(_))) {
            break;
        }
        rustix::process::wait(WaitOptions::NOHANG)?;
    }
    Ok(())
}

/// Ends all that is left and reaps it. Who loses its parent falls to the supervisor, so what is
/// not found now is found in the next round; there is a next round until there is no child.
fn end_everything(is_init: bool) -> io::Result<()> {
    loop {
        if is_init {
            raw::kill_the_namespace()?;
        } else {
            for child in children()? {
                match rustix::process::kill_process(child, Signal::KILL) {
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        match rustix::process::wait(WaitOptions::NOHANG) {
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Ok(None) => std::thread::sleep(Duration::from_micros(200)),
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// The children of this process.
fn children() -> io::Result<impl Iterator<Item = Pid>> {
    let own = rustix::process::getpid();
    let list = format!("/proc/self/task/{}/children", own.as_raw_nonzero());
    let list = std::fs::read_to_string(list)?;
    let pids: Vec<Pid> =
        list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
    Ok(pids.into_iter())
}
