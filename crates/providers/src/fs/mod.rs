//! Files of mounted folders.
//!
//! Owns the walk ([`mount`]), the calls ([`ops`]), the replacing write ([`write`]) and what was
//! there before a change ([`before`]). A write is atomic: a reader sees the old content or the new.
//! Calls that change a mount run one after the other. A regular file with a second name (hard link)
//! is neither read nor written, since the other name may be outside the mount; special files are
//! never opened; what others obey (`.git`, which configures git, and `libos.toml`, which configures
//! `libos`) may be read and never changed.

mod before;
pub(crate) mod mount;
mod ops;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use libos_abi::{Error, Fault, FsPath, Syscall, fs};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider, Reconciled};

use self::{mount::Walk, ops::Task};
use crate::{Stop, outside};

/// The mount every process has, at its order's workspace folder.
pub(crate) const WORKSPACE: &str = "workspace";

/// Performs the calls of the `fs` service on folders of the host.
///
/// ```
/// use std::{collections::BTreeMap, path::PathBuf};
/// use libos_providers::FsProvider;
///
/// let docs = BTreeMap::from([("docs".to_owned(), PathBuf::from("/usr/share/doc"))]);
/// let provider = FsProvider::with_mounts(docs); // serves workspace/... and docs/...
/// # drop(provider);
/// ```
#[derive(Debug, Clone, Default)]
pub struct FsProvider {
    shared: Arc<Shared>,
}

/// Names that are read and never changed, and why: they configure programs that the host's user
/// runs later.
const READ_ONLY: [(&str, &str); 2] = [(".git", "git"), ("libos.toml", "the operator")];

/// A lock for each folder that is being changed, by its device and number.
type Locks = BTreeMap<(u64, u64), Weak<Mutex<()>>>;

#[derive(Debug, Default)]
struct Shared {
    mounts: BTreeMap<String, PathBuf>,
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

    /// A provider of further mounts: name to host folder. A `workspace` among them stands in for
    /// orders that name no folder.
    #[must_use]
    pub fn with_mounts(mounts: BTreeMap<String, PathBuf>) -> Self {
        Self::build(mounts, Walk::default())
    }

    fn build(mounts: BTreeMap<String, PathBuf>, walk: Walk) -> Self {
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
        let Syscall::Fs(call) = &order.call else {
            let call = order.call.info().name.to_owned();
            return Err(Stop::Refused(Fault::Unsupported { call }.into()));
        };
        let path = path_of(call, order);
        let names = refuse(order, call, &path)?;
        let task = self.task(order, &path, names, abandoned)?;
        if changes(call) {
            self.alone(&task, || ops::perform(&task, call))
        } else {
            ops::perform(&task, call)
        }
    }

    fn reconcile(&self, order: &Order) -> Reconciled {
        let Syscall::Fs(call) = &order.call else {
            return Reconciled::Unknown;
        };
        let path = path_of(call, order);
        let never = AtomicBool::new(false);
        let names = match refuse(order, call, &path) {
            Ok(names) => names,
            // Its text is missing: that says nothing of what happened.
            Err(Stop::Refused(Error::Fault(Fault::ProviderFailed { .. }))) => {
                return Reconciled::Unknown;
            }
            Err(_) => return Reconciled::DidNotHappen,
        };
        let Ok(task) = self.task(order, &path, names, &never) else {
            return Reconciled::Unknown;
        };
        let asked = self.alone(&task, || match call {
            fs::Call::Write(call) => write::reconcile(&task, call),
            fs::Call::Delete(_) => ops::reconcile_delete(&task),
            fs::Call::PutBack(call) => before::reconcile(&task, call),
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
        order: &'a Order,
        path: &'a FsPath,
        names: Vec<&'a str>,
        abandoned: &'a AtomicBool,
    ) -> Result<Task<'a>, Stop> {
        let (mount, _) = path.split_mount();
        let workspace = match &order.call {
            Syscall::Fs(fs::Call::PutBack(call)) => Some(&*call.workspace),
            _ => order.workspace.as_deref(),
        };
        let folder = match workspace {
            Some(folder) if mount == WORKSPACE => Some(PathBuf::from(folder)),
            _ => self.mounts.get(mount).cloned(),
        };
        let no_mount = |what| fs::FailureKind::BadTarget.because(format!("`{mount}` {what}"));
        let folder = folder.ok_or_else(|| Stop::Refused(no_mount("is no mount")))?;
        let mount = mount::Mount::open(&folder, self.walk).map_err(|error| {
            tracing::warn!(op = %order.op, %error, "a mount's folder does not open");
            Stop::Failed(no_mount("is not there: the host's folder is missing"))
        })?;
        let hidden = self.hidden(&folder, path, &names)?;
        Ok(Task { op: order.op, order, path, mount, names, hidden, abandoned })
    }

    /// The names in the target that are kept out of. Decided on names: no call follows a link, so
    /// below the mount a folder has one name.
    fn hidden(&self, folder: &Path, path: &FsPath, names: &[&str]) -> Result<Vec<OsString>, Stop> {
        if self.kept_out.is_empty() {
            return Ok(Vec::new());
        }
        let mut target = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        target.extend(names);
        if self.kept_out.iter().any(|kept| target.starts_with(kept)) {
            let why = format!("`{path}` belongs to the host");
            return Err(Stop::Refused(fs::FailureKind::NotPermitted.because(why)));
        }
        let inside = self.kept_out.iter().filter(|kept| kept.parent() == Some(&target));
        Ok(inside.filter_map(|kept| kept.file_name()).map(OsString::from).collect())
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
fn changes(call: &fs::Call) -> bool {
    matches!(
        call,
        fs::Call::Write(_) | fs::Call::Mkdir(_) | fs::Call::Delete(_) | fs::Call::PutBack(_)
    )
}

fn path_of(call: &fs::Call, order: &Order) -> FsPath {
    match call {
        fs::Call::Read(call) => call.path.clone(),
        fs::Call::Write(call) => call.path.clone(),
        fs::Call::List(call) => call.path.0.clone().unwrap_or_else(|| order.cwd.clone()),
        fs::Call::Mkdir(call) => call.path.clone(),
        fs::Call::Delete(call) => call.path.clone(),
        fs::Call::Stat(call) => call.path.clone(),
        fs::Call::PutBack(call) => call.path.clone(),
    }
}

/// Refuses what its text alone forbids; gives the names below the mount.
fn refuse<'a>(order: &Order, call: &fs::Call, path: &'a FsPath) -> Result<Vec<&'a str>, Stop> {
    use fs::FailureKind::{BadTarget, NotPermitted};
    let (_, below) = path.split_mount();
    let names = mount::names(below).ok_or_else(|| Stop::Refused(outside(path)))?;
    let has = |kept: &str| names.iter().any(|name| name.eq_ignore_ascii_case(kept));
    if changes(call)
        && let Some((_, owner)) = READ_ONLY.iter().find(|(kept, _)| has(kept))
    {
        let why = format!("`{path}` belongs to {owner} and is only read");
        return Err(Stop::Refused(NotPermitted.because(why)));
    }
    let makes = matches!(call, fs::Call::Write(_) | fs::Call::Mkdir(_) | fs::Call::PutBack(_));
    if makes && names.iter().any(|name| write::is_temporary(name.as_bytes())) {
        let why = format!("`{path}` has a name that is kept for unfinished writes");
        return Err(Stop::Refused(NotPermitted.because(why)));
    }
    if matches!(call, fs::Call::Delete(_)) && names.is_empty() {
        let why = format!("`{path}` is a mount's root and cannot be removed");
        return Err(Stop::Refused(BadTarget.because(why)));
    }
    match call {
        fs::Call::Write(call) => write::refuse(order.op, path, Some(&call.text), names.is_empty())?,
        fs::Call::PutBack(call) => {
            write::refuse(order.op, path, call.text.as_ref(), names.is_empty())?;
        }
        _ => {}
    }
    Ok(names)
}
