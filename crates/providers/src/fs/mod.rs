//! Files of mounted folders.
//!
//! Owns the walk ([`mount`]), the calls ([`ops`]), the replacing write ([`write`]), changes made
//! from what is there ([`edit`], [`rename`]), what goes through folders ([`find`]), what waits
//! for a change ([`watch`]) and what was there before one ([`before`]). A write is atomic: a reader
//! sees the old content or the new. Calls that change a mount run one after the other. A regular
//! file with a second name (hard link) is neither read nor written, since the other name may be
//! outside the mount; special files are never opened; what others obey ([`kept`]) may be read and
//! never changed.

mod before;
#[cfg(test)]
mod bypass;
mod edit;
mod find;
mod kept;
mod mark;
pub(crate) mod mount;
mod ops;
#[cfg(test)]
mod race;
mod rename;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use libos_abi::{EffectClass, Error, Fault, FsPath, Syscall, fs};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider, Reconciled};

use self::{mount::Walk, ops::Task};
use crate::{Stop, outside};

/// The mount every process has, at its order's workspace folder.
pub(crate) const WORKSPACE: &str = "workspace";

/// What may be done in a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Everything.
    #[default]
    ReadWrite,
    /// Nothing is changed, whatever a process may do.
    ReadOnly,
}

/// A folder of the host behind a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The folder.
    pub folder: PathBuf,
    /// What may be done in it.
    pub access: Access,
}

impl Mounted {
    /// A folder that may be changed.
    #[must_use]
    pub fn read_write(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), access: Access::ReadWrite }
    }

    /// A folder that is only read.
    #[must_use]
    pub fn read_only(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), access: Access::ReadOnly }
    }
}

/// Performs the calls of the `fs` service on folders of the host.
///
/// ```
/// use std::collections::BTreeMap;
/// use libos_providers::{FsProvider, Mounted};
///
/// let docs = BTreeMap::from([("docs".to_owned(), Mounted::read_only("/usr/share/doc"))]);
/// let provider = FsProvider::with_mounts(docs); // serves workspace/... and docs/...
/// # drop(provider);
/// ```
#[derive(Debug, Clone, Default)]
pub struct FsProvider {
    shared: Arc<Shared>,
}

/// A lock for each folder that is being changed, by its device and number.
type Locks = BTreeMap<(u64, u64), Weak<Mutex<()>>>;

#[derive(Debug, Default)]
struct Shared {
    mounts: BTreeMap<String, Mounted>,
    /// The host's own folders, canonical: never looked at, wherever a mount holds them.
    kept_out: Vec<PathBuf>,
    walk: Walk,
    locks: Mutex<Locks>,
}

impl FsProvider {
    /// A provider of the one mount `workspace`, whose folder each order names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A provider of further mounts, by name. A `workspace` among them stands in for orders that
    /// name no folder, and says what may be done in those that orders name.
    #[must_use]
    pub fn with_mounts(mounts: BTreeMap<String, Mounted>) -> Self {
        Self::build(mounts, Walk::default())
    }

    fn build(mounts: BTreeMap<String, Mounted>, walk: Walk) -> Self {
        let locks = Mutex::default();
        Self { shared: Arc::new(Shared { mounts, kept_out: Vec::new(), walk, locks }) }
    }

    /// The same provider, which keeps calls out of a folder of the host's own, such as the store:
    /// a mount may hold it, but nothing in it can be read, changed or listed.
    #[must_use]
    pub fn keep_out_of(self, folder: PathBuf) -> Self {
        let Shared { mounts, kept_out, walk, .. } = &*self.shared;
        let mut kept_out = kept_out.clone();
        kept_out.push(folder.canonicalize().unwrap_or(folder));
        let shared =
            Shared { mounts: mounts.clone(), kept_out, walk: *walk, locks: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }
}

impl Provider for FsProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["fs"]
    }

    /// A dropped future gives the call up where that leaves no trace: before it begins, and before
    /// a written file takes its place.
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let shared = Arc::clone(&self.shared);
        if let Syscall::Fs(fs::Call::Watch(_)) = &order.call {
            return Box::pin(watch::watch(shared, order));
        }
        Box::pin(async move {
            let abandon = Abandon::default();
            let abandoned = Arc::clone(&abandon.0);
            let work = move || match shared.perform(&order, &abandoned) {
                Ok(reply) => EffectOutcome::Done(reply.into()),
                Err(stop) => stop.into(),
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(outcome) => outcome,
                Err(lost) if lost.is_cancelled() => {
                    EffectOutcome::NotStarted(Fault::Cancelled.into())
                }
                Err(lost) => EffectOutcome::Unknown(lost.to_string()),
            }
        })
    }

    fn reconcile(&self, order: Order) -> BoxFuture<'static, Reconciled> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let work = move || shared.reconcile(&order);
            tokio::task::spawn_blocking(work).await.unwrap_or(Reconciled::Unknown)
        })
    }
}

/// Raises its flag when the future that holds it is dropped.
#[derive(Default)]
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Shared {
    fn perform(&self, order: &Order, abandoned: &AtomicBool) -> Result<fs::Reply, Stop> {
        self.with_task(order, abandoned, |task| {
            let Syscall::Fs(call) = &order.call else {
                return Err(Stop::Refused(ops::unsupported(order.call.info().name)));
            };
            let work = || match call {
                fs::Call::Rename(call) => {
                    rename::rename(task, &self.beside(order, task, call)?, call)
                        .map(fs::Reply::Rename)
                }
                call => ops::perform(task, call),
            };
            if changes(order) { self.alone(task, work) } else { work() }
        })
    }

    /// Does `work` on the opened mount of a call that nothing speaks against.
    fn with_task<T>(
        &self,
        order: &Order,
        abandoned: &AtomicBool,
        work: impl FnOnce(&Task<'_>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let Syscall::Fs(call) = &order.call else {
            return Err(Stop::Refused(ops::unsupported(order.call.info().name)));
        };
        let path = call.path(&order.cwd);
        let names = refuse(order, call, path)?;
        work(&self.task(order, path, names, abandoned)?)
    }

    fn reconcile(&self, order: &Order) -> Reconciled {
        let Syscall::Fs(call) = &order.call else {
            return Reconciled::Unknown;
        };
        let path = call.path(&order.cwd);
        let never = AtomicBool::new(false);
        let names = match refuse(order, call, path) {
            Ok(names) => names,
            // Its text is missing: that says nothing of what happened.
            Err(Stop::Refused(Error::Fault(Fault::ProviderFailed { .. }))) => {
                return Reconciled::Unknown;
            }
            Err(_) => return Reconciled::DidNotHappen,
        };
        let task = match self.task(order, path, names, &never) {
            Ok(task) => task,
            // Nothing is changed there, so nothing was.
            Err(Stop::Refused(Error::Fs(failure)))
                if failure.kind == fs::FailureKind::NotPermitted =>
            {
                return Reconciled::DidNotHappen;
            }
            Err(_) => return Reconciled::Unknown,
        };
        let asked = self.alone(&task, || match call {
            fs::Call::Write(call) => write::reconcile(&task, call),
            fs::Call::Delete(_) => ops::reconcile_delete(&task),
            fs::Call::PutBack(call) => before::reconcile(&task, call),
            fs::Call::Edit(_) | fs::Call::Patch(_) | fs::Call::Append(_) => {
                edit::reconcile(&task, call)
            }
            fs::Call::Rename(call) => {
                rename::reconcile(&task, &self.beside(order, &task, call)?, call)
            }
            _ => Ok(Reconciled::DidNotHappen),
        });
        asked.unwrap_or_else(|stop| {
            tracing::warn!(op = %order.op, ?stop, "a file operation cannot be reconciled");
            Reconciled::Unknown
        })
    }

    /// Opens the call's mount.
    fn task<'a>(
        &self,
        order: &Order,
        path: &'a FsPath,
        names: Vec<&'a str>,
        abandoned: &'a AtomicBool,
    ) -> Result<Task<'a>, Stop> {
        let (mount, _) = path.split_mount();
        let folder = self.folder(order, mount)?;
        let no_mount = |what| fs::FailureKind::BadTarget.because(format!("`{mount}` {what}"));
        let mount = mount::Mount::open(&folder, self.walk).map_err(|error| {
            tracing::warn!(op = %order.op, %error, "a mount's folder does not open");
            Stop::Failed(no_mount("is not there: the host's folder is missing"))
        })?;
        let hidden = self.hidden(&folder, path, &names)?;
        Ok(Task { op: order.op, path, mount: Rc::new(mount), names, hidden, abandoned })
    }

    /// The host's folder behind a mount, in which the call may do what it is to.
    fn folder(&self, order: &Order, mount: &str) -> Result<PathBuf, Stop> {
        use fs::FailureKind::{BadTarget, NotPermitted};
        let workspace = match &order.call {
            Syscall::Fs(fs::Call::PutBack(call)) => Some(&*call.workspace),
            _ => order.workspace.as_deref(),
        };
        let mounted = self.mounts.get(mount);
        if changes(order) && mounted.is_some_and(|it| it.access == Access::ReadOnly) {
            let why = format!("the mount `{mount}` is only read");
            return Err(Stop::Refused(NotPermitted.because(why)));
        }
        let folder = match workspace {
            Some(folder) if mount == WORKSPACE => Some(PathBuf::from(folder)),
            _ => mounted.map(|mounted| mounted.folder.clone()),
        };
        folder.ok_or_else(|| Stop::Refused(BadTarget.because(format!("`{mount}` is no mount"))))
    }

    /// The task of a file's new name, in the mount of its old one.
    fn beside<'a>(
        &self,
        order: &Order,
        task: &Task<'a>,
        call: &'a fs::Rename,
    ) -> Result<Task<'a>, Stop> {
        let (mount, below) = call.to.split_mount();
        let names = mount::names(below).ok_or_else(|| Stop::Refused(outside(&call.to)))?;
        let hidden = self.hidden(&self.folder(order, mount)?, &call.to, &names)?;
        let mount = Rc::clone(&task.mount);
        Ok(Task { path: &call.to, mount, names, hidden, ..*task })
    }

    /// What is kept out of below the target. Decided on names: no call follows a link, so below
    /// the mount a folder has one name.
    fn hidden(&self, folder: &Path, path: &FsPath, names: &[&str]) -> Result<Vec<PathBuf>, Stop> {
        if self.kept_out.is_empty() {
            return Ok(Vec::new());
        }
        let mut target = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        target.extend(names);
        if self.kept_out.iter().any(|kept| target.starts_with(kept)) {
            let why = format!("`{path}` belongs to the host");
            return Err(Stop::Refused(fs::FailureKind::NotPermitted.because(why)));
        }
        let inside = self.kept_out.iter().filter_map(|kept| kept.strip_prefix(&target).ok());
        Ok(inside.map(Path::to_owned).collect())
    }

    /// Runs `work` while nothing else here changes the same mount, however its folder is named.
    fn alone<T>(&self, task: &Task<'_>, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        let root = rustix::fs::fstat(task.mount.root())
            .map_err(|errno| task.stop("look at the mount", errno))?;
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let slot = locks.entry((root.st_dev, root.st_ino)).or_default();
            slot.upgrade().unwrap_or_else(|| {
                let lock = Arc::default();
                *slot = Arc::downgrade(&lock);
                lock
            })
        };
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if task.abandoned.load(Ordering::Acquire) {
            return Err(Stop::Refused(Fault::Cancelled.into()));
        }
        work()
    }
}

/// Whether a call changes something.
fn changes(order: &Order) -> bool {
    order.call.info().effect != EffectClass::Read
}

/// Refuses what its text alone forbids; gives the names below the mount.
fn refuse<'a>(order: &Order, call: &fs::Call, path: &'a FsPath) -> Result<Vec<&'a str>, Stop> {
    use fs::FailureKind::BadTarget;
    let names = refuse_path(order, path)?;
    match call {
        fs::Call::Write(call) => {
            write::refuse(order.op, path, Some(&call.text), names.is_empty())?;
        }
        fs::Call::PutBack(call) => {
            write::refuse(order.op, path, call.text.as_ref(), names.is_empty())?;
        }
        fs::Call::Append(call) => {
            write::refuse(order.op, path, Some(&call.text), names.is_empty())?;
        }
        fs::Call::Edit(_) | fs::Call::Patch(_) => edit::refuse(order.op, call, names.is_empty())?,
        fs::Call::Delete(_) if names.is_empty() => {
            let why = format!("`{path}` is a mount's root and cannot be removed");
            return Err(Stop::Refused(BadTarget.because(why)));
        }
        fs::Call::Rename(call) => {
            let to = refuse_path(order, &call.to)?;
            if to.is_empty() || names.is_empty() {
                let why = "a mount's root keeps its name";
                return Err(Stop::Refused(BadTarget.because(why)));
            }
            if path.split_mount().0 != call.to.split_mount().0 {
                let why = format!("`{path}` and `{}` are in two mounts", call.to);
                return Err(Stop::Refused(BadTarget.because(why)));
            }
        }
        fs::Call::Search(call) => find::refuse_search(call)?,
        fs::Call::Glob(call) => find::refuse_glob(&call.pattern)?,
        _ => {}
    }
    Ok(names)
}

/// Refuses a path for its names.
fn refuse_path<'a>(order: &Order, path: &'a FsPath) -> Result<Vec<&'a str>, Stop> {
    use fs::FailureKind::NotPermitted;
    let (_, below) = path.split_mount();
    let names = mount::names(below).ok_or_else(|| Stop::Refused(outside(path)))?;
    if changes(order)
        && let Some(owner) = names.iter().find_map(|name| kept::owner(name))
    {
        let why = format!("`{path}` belongs to {owner} and is only read");
        return Err(Stop::Refused(NotPermitted.because(why)));
    }
    let makes = changes(order) && !matches!(order.call, Syscall::Fs(fs::Call::Delete(_)));
    if makes && names.iter().any(|name| write::is_temporary(name.as_bytes())) {
        let why = format!("`{path}` has a name that is kept for unfinished writes");
        return Err(Stop::Refused(NotPermitted.because(why)));
    }
    Ok(names)
}
