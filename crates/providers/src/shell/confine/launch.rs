//! The start of a program: what it keeps of the supervisor is decided here, in this order.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    process::{Child, Command, Stdio},
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, Scope,
};
use rustix::{fs::OFlags, process::Resource};

use super::{Jail, Stage, filter, mounts, raw, view::Access};

/// The version of Landlock that all rules are written for.
const LANDLOCK: ABI = ABI::V6;

/// Starts the program of a jail.
pub(super) fn launch(jail: &Jail) -> Result<Child, (Stage, io::Error)> {
    let at = |stage: Stage| move |error: io::Error| (stage, error);
    let file = mounts::open(&jail.program, OFlags::RDONLY).map_err(at(Stage::Program))?;
    let file = File::from(file);
    let found = file.metadata().map_err(at(Stage::Program))?;
    if jail.pin != Some((&found).into()) {
        let changed = io::Error::from_raw_os_error(libc::ESTALE);
        return Err((Stage::Program, changed));
    }
    let file = OwnedFd::from(file);
    let cwd = mounts::open(&jail.cwd, OFlags::PATH | OFlags::DIRECTORY);
    let cwd = cwd.map_err(at(Stage::Folder))?;
    let mut rules = match jail.landlock {
        true => Some(rules(jail).map_err(at(Stage::Confine))?),
        false => None,
    };
    let filters = if jail.seccomp { filter::filters(jail.network) } else { Ok(Vec::new()) };
    let filters = filters.map_err(at(Stage::Confine))?;
    let texts = |texts: &[std::ffi::OsString]| -> io::Result<Vec<CString>> {
        let texts = texts.iter().map(|text| CString::new(text.as_bytes()));
        texts.collect::<Result<_, _>>().map_err(io::Error::other)
    };
    let argv = texts(&jail.argv).map_err(at(Stage::Program))?;
    let environment = texts(&jail.environment).map_err(at(Stage::Program))?;
    let is_script = jail.script;
    let limits = jail.limits.clone();

    let mut command = Command::new(&jail.program);
    command.stdin(match &jail.stdin {
        Some(path) => File::open(path).map(Stdio::from).map_err(at(Stage::Folder))?,
        None => Stdio::null(),
    });
    if let Some((name, arguments)) = jail.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env_clear();
    for variable in &jail.environment {
        let mut parts = variable.as_bytes().splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    raw::before_exec(&mut command, move || {
        rustix::process::setsid()?;
        raw::end_with_parent()?;
        for (resource, most) in &limits {
            lower(*resource, *most)?;
        }
        rustix::process::fchdir(cwd.as_fd())?;
        raw::close_on_exec_from(3)?;
        raw::drop_capabilities()?;
        raw::no_new_privileges()?;
        if let Some(rules) = rules.take() {
            rules.restrict_self().map_err(io::Error::other)?;
        }
        for filter in &filters {
            seccompiler::apply_filter(filter).map_err(io::Error::other)?;
        }
        match is_script {
            // The kernel has the interpreter open it again, by its path.
            true => Ok(()),
            false => Err(raw::execute(&file, &argv, &environment)),
        }
    });
    command.spawn().map_err(at(Stage::Program))
}

/// Lowers a limit.
fn lower(limit: super::Limit, most: u64) -> io::Result<()> {
    use super::Limit;
    let resource = match limit {
        Limit::Core => Resource::Core,
        Limit::Cpu => Resource::Cpu,
        Limit::OpenFiles => Resource::Nofile,
        Limit::FileBytes => Resource::Fsize,
        Limit::Processes => Resource::Nproc,
    };
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    let to = rustix::process::Rlimit { current: Some(most), maximum: Some(most) };
    Ok(rustix::process::setrlimit(resource, to)?)
}

/// The rules for files, signals, sockets without a file, and TCP.
fn rules(jail: &Jail) -> io::Result<RulesetCreated> {
    let ruleset = Ruleset::default().set_compatibility(match jail.best_effort {
        true => CompatLevel::BestEffort,
        false => CompatLevel::HardRequirement,
    });
    let ruleset = ruleset.handle_access(AccessFs::from_all(LANDLOCK)).map_err(io::Error::other)?;
    let ruleset = match jail.network {
        true => ruleset,
        false => ruleset.handle_access(AccessNet::from_all(LANDLOCK)).map_err(io::Error::other)?,
    };
    let ruleset = ruleset.scope(Scope::from_all(LANDLOCK)).map_err(io::Error::other)?;
    let mut ruleset = ruleset.create().map_err(io::Error::other)?;
    for (path, access) in &jail.view.rules {
        let place = mounts::open(path, OFlags::PATH)?;
        let is_folder = path.is_dir();
        let rule = PathBeneath::new(place, allowed(*access, is_folder));
        ruleset = ruleset.add_rule(rule).map_err(io::Error::other)?;
    }
    Ok(ruleset)
}

/// What Landlock calls it.
fn allowed(access: Access, is_folder: bool) -> BitFlags<AccessFs> {
    let mut all = BitFlags::empty();
    if access.has(Access::READ) {
        all |= AccessFs::ReadFile | AccessFs::ReadDir;
    }
    if access.has(Access::WRITE) {
        all |= AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::MakeDir;
        all |= AccessFs::MakeSym | AccessFs::MakeFifo | AccessFs::Refer;
    }
    if access.has(Access::DELETE) {
        all |= AccessFs::RemoveFile | AccessFs::RemoveDir;
    }
    if access.has(Access::EXECUTE) {
        all |= AccessFs::Execute;
    }
    if is_folder { all } else { all & AccessFs::from_file(LANDLOCK) }
}
