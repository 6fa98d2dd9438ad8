//! Which system calls no program makes.
//!
//! A list of what is denied, since what tools need is long and changes. It takes away what leads
//! around the rules for files: sockets, other processes, namespaces and mounts, the kernel itself.

use std::{collections::BTreeMap, io};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

/// Denied whatever their arguments.
const DENIED: &[c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Namespaces, mounts, roots.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    // A second way to make calls.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // The kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_fanotify_init,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Keys, and memory and queues that are shared by name.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// The namespaces that `clone` can make.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The filters, in the order in which they are to be applied.
pub(super) fn filters(network: bool) -> io::Result<Vec<BpfProgram>> {
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let namespaces: io::Result<_> =
        NAMESPACES.iter().map(|flag| rule(&[masked(0, bits(*flag))?])).collect();
    denied.insert(libc::SYS_clone, namespaces?);
    let domain = |domain| argument(0, SeccompCmpOp::Ne, bits(domain));
    denied.insert(libc::SYS_socketpair, vec![rule(&[domain(libc::AF_UNIX)?])?]);
    let sockets = match network {
        false => Vec::new(),
        true => {
            let open = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
            let none_of_them: io::Result<Vec<_>> = open.into_iter().map(domain).collect();
            vec![rule(&none_of_them?)?]
        }
    };
    denied.insert(libc::SYS_socket, sockets);
    // A terminal's input is not written for whoever reads it next.
    let ioctl = |request: u64| rule(&[argument(1, SeccompCmpOp::Eq, request)?]);
    const TIOCLINUX: u64 = 0x541c;
    denied.insert(libc::SYS_ioctl, vec![ioctl(libc::TIOCSTI)?, ioctl(TIOCLINUX)?]);
    let eperm = compile(denied, libc::EPERM)?;
    // Its flags are in memory, where a filter cannot look. Whoever uses it knows the older call.
    let mut enosys = compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    enosys.splice(0..0, second_table());
    Ok(vec![eperm, enosys])
}

/// The calls of x86-64 have a second table of numbers, of which no rule knows.
fn second_table() -> Vec<sock_filter> {
    if cfg!(not(target_arch = "x86_64")) {
        return Vec::new();
    }
    const LOAD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ERRNO: u32 = 0x0005_0000;
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        step(LOAD, 0, 0),
        step(JUMP_IF_AT_LEAST, 1, 0x4000_0000),
        step(RETURN, 0, ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}

fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: libc::c_int) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let action = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

fn bits(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

fn rule(conditions: &[SeccompCondition]) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions.to_vec()).map_err(io::Error::other)
}

fn masked(index: u8, flag: u64) -> io::Result<SeccompCondition> {
    argument(index, SeccompCmpOp::MaskedEq(flag), flag)
}

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value);
    condition.map_err(io::Error::other)
}
