//! The system calls that no safe crate here offers, each behind a function that is safe to call.
//!
//! They are made in the supervisor, which has one thread, or between its fork and exec. Nothing
//! here decides anything.
#![allow(unsafe_code, reason = "the kernel offers these calls this way only")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::Pid;

/// Whether [`HOOK`] ran, so that this program run again would be a supervisor if told so.
static ARMED: AtomicBool = AtomicBool::new(false);

/// Runs before `main`, so that a program that embeds the provider is its own supervisor without a
/// word in its `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static HOOK: extern "C" fn() = hook;

extern "C" fn hook() {
    ARMED.store(true, Ordering::Relaxed);
    super::supervise::if_told();
}

/// Whether this program, run again, can be a supervisor.
pub(super) fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed) && HOOK as usize != 0
}

/// The result of a call that tells failure by -1.
fn check(result: impl Into<i64>) -> io::Result<i64> {
    match result.into() {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Splits the process in two; nothing in the child, the child's number in the parent.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the supervisor has one thread, so the child may go on as the parent could have.
    let child = check(unsafe { libc::fork() })?;
    Ok(i32::try_from(child).ok().and_then(Pid::from_raw))
}

/// Goes into new namespaces.
pub(super) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointer is passed, and no other thread shares anything that is left.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Ends with the parent; inherits the children of its own children that end.
pub(super) fn adopt_and_end_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    end_with_parent()
}

/// Asks for an end by signal when the parent ends.
pub(super) fn end_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: none of the options used here takes a pointer.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }).map(drop)
}

/// Has every descriptor but the first three closed by the next exec.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    const CLOEXEC: libc::c_uint = 4;
    // SAFETY: no descriptor is closed now, and no pointer is passed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) }).map(drop)
}

/// Mounts; an absent source, kind or data is none.
pub(super) fn mount(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let text = |text: &str| CString::new(text).map_err(io::Error::other);
    let (source, target) = (source.map(text).transpose()?, text(target)?);
    let kind = kind.map(text).transpose()?;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    // SAFETY: each pointer is null or to a text that ends in NUL and outlives the call.
    check(unsafe {
        libc::mount(pointer(&source), target.as_ptr(), pointer(&kind), flags, std::ptr::null())
    })
    .map(drop)
}

/// Sets and clears attributes of the mount that a descriptor is in, and of all below it if asked.
pub(super) fn mount_attributes(
    at: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    all_below: bool,
) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let recursive = if all_below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is empty and ends in NUL, and the attributes have the size that is told;
    // both outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Gives up every capability for good, also those that an exec as root would give back.
pub(super) fn drop_capabilities() -> io::Result<()> {
    const LAST: libc::c_ulong = 63;
    /// No capabilities for root, and no way back, for this and the set-user-id rules.
    const NO_ROOT: libc::c_ulong = 0b1111;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    // One that cannot is nobody who has any.
    let is_able = prctl(libc::PR_SET_SECUREBITS, NO_ROOT).is_ok();
    for capability in (0..=LAST).take_while(|_| is_able) {
        if prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
            break;
        }
    }
    prctl_ambient()?;
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [[0_u32; 3]; 2];
    // SAFETY: the header and the two sets have the layout of the version told and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }).map(drop)
}

fn prctl_ambient() -> io::Result<()> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    prctl(libc::PR_CAP_AMBIENT, clear)
}

/// Nothing that is executed from now on gets more than this process has.
pub(super) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Ends every process of the namespace that this process is the init of.
pub(super) fn kill_the_namespace() -> io::Result<()> {
    // Whoever is no init would mean every process of its user by this.
    if rustix::process::getpid() != Pid::INIT {
        return Err(io::Error::other("not the init of a namespace"));
    }
    // SAFETY: no pointer is passed.
    match check(unsafe { libc::kill(-1, libc::SIGKILL) }) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// What the children that have ended used: user and system time in milliseconds, memory in KiB.
pub(super) fn used_by_children() -> io::Result<(u64, u64, u64)> {
    // SAFETY: all zero is a value of the type, which holds numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a place for the result that outlives the call.
    check(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) })?;
    let number = |it: i64| u64::try_from(it).unwrap_or(0);
    let ms = |time: libc::timeval| number(time.tv_sec) * 1_000 + number(time.tv_usec) / 1_000;
    Ok((ms(usage.ru_utime), ms(usage.ru_stime), number(usage.ru_maxrss)))
}

/// Replaces this process with an opened executable file. It returns only if that fails.
pub(super) fn execute(file: &OwnedFd, argv: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, environment) = (pointers(argv), pointers(environment));
    // SAFETY: both lists end in null and hold texts that end in NUL; all outlive the call.
    unsafe { libc::fexecve(file.as_raw_fd(), argv.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Has `prepare` run in the child of a command, just before it executes.
pub(super) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the supervisor has one thread, so nothing can be left locked or half done in its
    // child, which may allocate like any other process.
    unsafe {
        command.pre_exec(prepare);
    }
}
