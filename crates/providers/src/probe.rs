//! What the host's kernel offers to those who confine or watch programs.
//!
//! It looks and changes nothing. A feature counts as offered when the call that it needs answers,
//! not by the kernel's version: sandboxes hide calls.

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    process::PidfdFlags,
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The name and release of the kernel.
    pub kernel: String,
    /// Whether `openat2` answers: one call walks a path that follows no link.
    pub openat2: bool,
    /// Whether `pidfd_open` answers: the end of a program is waited for without a race.
    pub pidfd: bool,
    /// The version of Landlock; absent where the kernel has none or does not enable it.
    pub landlock: Option<u32>,
    /// The actions of seccomp filters; empty where the kernel has none.
    pub seccomp: Vec<String>,
}

/// Looks at the host.
#[must_use]
pub fn probe() -> Probe {
    let uname = rustix::system::uname();
    let (name, release) = (uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
    Probe {
        kernel: format!("{name} {release}"),
        openat2: has_openat2(),
        pidfd: rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).is_ok(),
        landlock: landlock(),
        seccomp: seccomp(),
    }
}

fn has_openat2() -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let root = rustix::fs::openat(rustix::fs::CWD, "/", flags, Mode::empty());
    root.is_ok_and(|root| rustix::fs::openat2(root, ".", flags, Mode::empty(), resolve).is_ok())
}

fn landlock() -> Option<u32> {
    const VERSION: libc::c_ulong = 1;
    #[allow(unsafe_code, reason = "no crate here has this call; it is given no memory")]
    // SAFETY: with no attributes, size 0 and this flag the call reads and writes no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

fn seccomp() -> Vec<String> {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    actions.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_crate_needs_is_found_where_its_tests_run() {
        let found = probe();
        assert!(found.kernel.starts_with("Linux "), "{}", found.kernel);
        assert!(found.pidfd, "shell.run waits on one");
        assert_ne!(found.landlock, Some(0));
    }
}
