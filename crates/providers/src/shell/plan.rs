//! All that is decided about a program before anything begins.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::{File, Permissions},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use libos_abi::{
    Digest, Error, Form, FsPath, Right, Syscall, Text,
    shell::{self, FailureKind},
};
use libos_port::{Order, Reach};
use tempfile::TempDir;

use super::{
    ShellConfig, changed,
    confine::{
        Jail, Layer, Limit, Pin, layers_missing,
        view::{Access, Sources, compile},
    },
    not_permitted, search,
};
use crate::{
    Mounted, Stop,
    fs::{
        self, WORKSPACE,
        mount::{self, Mount, Unreached, Walk},
    },
    host_failure, limits, outside,
};

/// What no program changes in a workspace, if it is there: it configures what others run later.
const FROZEN: [&str; 3] = [".git/hooks", ".git/config", "libos.toml"];
/// Devices and files of the kernel that every program may use.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
const OF_KERNEL: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/filesystems",
    "/sys/devices/system/cpu",
];

/// Digests of files that were looked at, while they do not change.
pub(super) type Seen = Mutex<BTreeMap<Pin, Digest>>;

/// A program that may start.
pub(super) struct Plan {
    pub(super) jail: Jail,
    /// The digest of its file.
    pub(super) program: Digest,
    /// Where it was given less than its process may do, or is confined less than it could be.
    pub(super) notes: Vec<String>,
    /// The folder of the run.
    pub(super) folder: TempDir,
}

/// Checks a call and decides all about its program. Nothing begins.
pub(super) fn plan(
    order: &Order,
    config: &ShellConfig,
    seen: &Seen,
    limit: Duration,
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
    let missing = layers_missing();
    lacking(missing, &config.may_lack).map_err(Stop::Refused)?;
    let host = |error: io::Error| Stop::Refused(host_failure(order.op, "plan a run", &error));
    let looked = look(&program, seen).map_err(host)?;
    if changed_since(&program, order.waited_ms).map_err(host)? {
        return Err(Stop::Refused(changed(name)));
    }
    let folder = tempfile::Builder::new()
        .prefix("libos-run-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&config.temporary)
        .map_err(host)?;
    let stdin = furnish(folder.path(), call.stdin.as_ref()).map_err(host)?;
    let home = folder.path().canonicalize().map_err(host)?;
    let temporary = home.join("tmp");

    let mut mounts: BTreeMap<String, (PathBuf, Access)> = config
        .mounts
        .iter()
        .filter_map(|(name, mount)| {
            let folder = mount.folder.canonicalize().ok()?;
            Some((name.clone(), (folder, most(mount))))
        })
        .collect();
    let frozen = FROZEN.map(|name| workspace.join(name));
    let most_here = config.mounts.get(WORKSPACE).map_or(Access::ALL, most);
    mounts.insert(WORKSPACE.to_owned(), (workspace.clone(), most_here));
    let mut base = base(&config.readable);
    base.push((looked.real.clone(), Access::READ.and(Access::EXECUTE)));
    base.push((temporary.clone(), Access::ALL));
    let kept_out = config.kept_out.iter().filter_map(|path| path.canonicalize().ok());
    let isolates = !missing.contains(&Layer::Namespaces);
    let view = compile(&Sources {
        reach: &order.reach,
        mounts: &mounts,
        base: &base,
        kept_out: &kept_out.collect::<Vec<_>>(),
        frozen: &frozen,
        covers: isolates,
    });
    let mut view = view.map_err(|many| {
        Stop::Refused(FailureKind::Unconfined.because(format!("{many}; give whole folders")))
    })?;
    let mut notes = std::mem::take(&mut view.notes);
    notes.extend(missing.iter().map(|layer| format!("the host does without `{layer}`")));
    let network = opens_network(&order.reach);
    if !network && order.reach.rules.iter().any(|rule| rule.on.kind() == "net" && rule.allows) {
        notes.push("no network: a program gets all of it (`net:*`, read and write) or none".into());
    }
    let path = std::env::join_paths(&search_path).map_err(|error| host(io::Error::other(error)))?;
    let mut environment = search::harmless(&config.environment);
    environment.extend(secrets.into_iter().map(|(name, value)| (name.into(), value.into())));
    environment.extend([
        ("PATH".into(), path),
        ("HOME".into(), workspace.into_os_string()),
        ("LANG".into(), "C.UTF-8".into()),
        ("TERM".into(), "dumb".into()),
        ("TMPDIR".into(), temporary.into_os_string()),
    ]);
    let jail = Jail {
        program: looked.real,
        pin: Some(looked.pin),
        script: looked.is_script,
        argv: call.argv.iter().map(OsString::from).collect(),
        environment: environment.iter().map(|(name, value)| joined(name, value)).collect(),
        cwd,
        stdin,
        folder: home,
        view,
        isolates,
        // An old version is better than none.
        landlock: crate::probe().landlock.is_some(),
        best_effort: missing.contains(&Layer::Landlock),
        seccomp: !missing.contains(&Layer::Seccomp),
        network,
        limits: kernel_limits(limit, isolates),
    };
    Ok(Plan { jail, program: looked.digest, notes, folder })
}

/// Refuses programs where a layer is missing that may not be.
pub(super) fn lacking(missing: &BTreeSet<Layer>, may_lack: &BTreeSet<Layer>) -> Result<(), Error> {
    match missing.difference(may_lack).next() {
        None => Ok(()),
        Some(layer) => Err(FailureKind::Unconfined.because(format!(
            "the host's kernel lacks `{layer}`; to run programs without it, its operator sets \
             shell.may_lack = [\"{layer}\"]"
        ))),
    }
}

/// What a file is that may be executed.
struct Looked {
    real: PathBuf,
    pin: Pin,
    digest: Digest,
    is_script: bool,
}

fn look(program: &Path, seen: &Seen) -> io::Result<Looked> {
    let real = program.canonicalize()?;
    let mut file = File::open(&real)?;
    let pin = Pin::from(&file.metadata()?);
    let mut first = [0; 2];
    let read = file.read(&mut first)?;
    let is_script = first == *b"#!";
    let known = seen.lock().unwrap_or_else(PoisonError::into_inner).get(&pin).copied();
    let digest = match known {
        Some(digest) => digest,
        None => {
            let mut bytes = first[..read].to_vec();
            file.read_to_end(&mut bytes)?;
            let digest = Digest::of(&bytes);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= limits::PROGRAMS_SEEN_MAX {
                seen.clear();
            }
            seen.insert(pin.clone(), digest);
            digest
        }
    };
    // It is the same file and unchanged, or what was digested is not what the pin says.
    if Pin::from(&file.metadata()?) != pin {
        return Err(io::Error::other("a program changes while it is looked at"));
    }
    Ok(Looked { real, pin, digest, is_script })
}

/// Whether the file, or a link that leads to it, was changed or put there less than `ms` ago.
fn changed_since(program: &Path, ms: u64) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let then = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let then = then.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX));
    let mut at = program.to_owned();
    for _ in 0..limits::LINKS_MAX {
        let found = at.symlink_metadata()?;
        if found.ctime().saturating_mul(1_000) + found.ctime_nsec() / 1_000_000 > then {
            return Ok(true);
        }
        if !found.is_symlink() {
            return Ok(false);
        }
        let link = at.read_link()?;
        at = at.parent().map_or_else(|| link.clone(), |folder| folder.join(&link));
    }
    Err(io::Error::other("too many links lead to a program"))
}

/// Makes what is in the folder of a run; tells where its input is.
fn furnish(folder: &Path, input: Option<&Text>) -> io::Result<Option<PathBuf>> {
    std::fs::create_dir(folder.join("tmp"))?;
    std::fs::create_dir(folder.join("void"))?;
    std::fs::set_permissions(folder.join("tmp"), Permissions::from_mode(0o700))?;
    File::create(folder.join("none"))?;
    let Some(text) = input.and_then(Text::as_str) else { return Ok(None) };
    let path = folder.join("stdin");
    std::fs::write(&path, text)?;
    Ok(Some(path))
}

/// What every program may use.
fn base(readable: &[PathBuf]) -> Vec<(PathBuf, Access)> {
    let real = |path: &Path| path.canonicalize().ok();
    let run = Access::READ.and(Access::EXECUTE);
    let folders = readable.iter().filter_map(|path| Some((real(path)?, run)));
    let use_device = Access::READ.and(Access::WRITE);
    let devices = DEVICES.iter().filter_map(|path| Some((real(Path::new(path))?, use_device)));
    let kernel = OF_KERNEL.iter().filter_map(|path| Some((real(Path::new(path))?, Access::READ)));
    folders.chain(devices).chain(kernel).collect()
}

/// Whether a program gets the network: only who may use all of it, whatever the call, can be given
/// it, since the kernel knows addresses and no names.
fn opens_network(reach: &Reach) -> bool {
    let mut about = reach.rules.iter().filter(|rule| rule.on.kind() == "net");
    let is_all = |right| {
        reach.rules.iter().any(|rule| {
            rule.allows && rule.on.form() == Form::Prefix("net") && rule.rights.contains(right)
        })
    };
    about.all(|rule| rule.allows) && is_all(Right::Read) && is_all(Right::Write)
}

/// Limits on each process of a program.
fn kernel_limits(limit: Duration, isolates: bool) -> Vec<(Limit, u64)> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let cpu = (limit.as_secs() + 1).saturating_mul(processors);
    let mut all = vec![
        (Limit::Core, 0),
        (Limit::Cpu, cpu),
        (Limit::OpenFiles, limits::OPEN_FILES_MAX),
        (Limit::FileBytes, limits::WRITTEN_FILE_BYTES_MAX),
    ];
    // Elsewhere the kernel counts every process of the user, the host's own among them.
    if isolates && !rustix::process::geteuid().is_root() {
        all.push((Limit::Processes, limits::PROCESSES_MAX));
    }
    all
}

fn joined(name: &OsStr, value: &OsStr) -> OsString {
    let mut variable = name.to_owned();
    variable.push("=");
    variable.push(value);
    variable
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

/// What may be done in a mount at the most.
fn most(mount: &Mounted) -> Access {
    match mount.access {
        fs::Access::ReadWrite => Access::ALL,
        fs::Access::ReadOnly => Access::READ.and(Access::EXECUTE),
    }
}

/// The host's folder behind the workspace, and the working directory: real, both.
fn folders(order: &Order, path: &FsPath) -> Result<(PathBuf, PathBuf), Error> {
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
    mount.folder(&names).map_err(|why| match why {
        Unreached::Link => outside(path),
        Unreached::Missing => bad("is not there"),
        Unreached::NotAFolder => bad("is no folder"),
        Unreached::Io(error) => match error.kind() {
            std::io::ErrorKind::PermissionDenied => bad("is refused by the host"),
            _ => host_failure(order.op, "open a working directory", &error),
        },
    })?;
    // A link that comes in its place is refused when the program starts.
    let cwd = names.iter().fold(workspace.clone(), |folder, name| folder.join(name));
    Ok((workspace, cwd))
}
