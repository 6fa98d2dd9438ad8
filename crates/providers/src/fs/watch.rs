//! Waiting until a file, or what a folder lists, is other than it was seen.
//!
//! What is there comes down to a digest of names, kinds, sizes and times. A watch ends once that is
//! another one than its caller has seen, so nothing is missed between two watches, however long
//! the caller was away. Notices of the system only say when to look again: where they cannot be
//! had, or do not tell, it is looked at every second.

use std::{
    os::fd::AsRawFd as _,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use cap_std::fs::Dir;
use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask, Watches};
use libos_abi::{
    Digest, Syscall,
    fs::{self, FailureKind, Watched},
};
use libos_port::{EffectOutcome, Order};
use rustix::fs::{FileType, Stat};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Shared,
    mount::{self, Unreached},
    ops::{self, Task},
};
use crate::{
    Stop,
    limits::{LIST_ENTRIES_MAX, WATCH_MS_DEFAULT, WATCH_MS_MAX},
};

/// How often it is looked whether or not the system tells of anything.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long is waited after a notice, since changes come in groups.
const GROUP: Duration = Duration::from_millis(20);

/// Performs a watch. Dropping the future gives it up.
pub(super) async fn watch(shared: Arc<Shared>, order: Order) -> EffectOutcome {
    let Syscall::Fs(fs::Call::Watch(call)) = &order.call else {
        return EffectOutcome::NotStarted(ops::unsupported(order.call.info().name));
    };
    let millis = call.timeout_ms.map_or(WATCH_MS_DEFAULT, |millis| millis.0).min(WATCH_MS_MAX);
    let (seen, ends) = (call.seen, Instant::now() + Duration::from_millis(millis));
    let mut notices = Notices::new();
    loop {
        let watches = notices.as_ref().map(|notices| notices.watches.clone());
        let (shared, order) = (Arc::clone(&shared), order.clone());
        let look = move || {
            let never = AtomicBool::new(false);
            shared.with_task(&order, &never, |task| look(task, watches.as_ref()))
        };
        let state = match tokio::task::spawn_blocking(look).await {
            Ok(Ok(state)) => state,
            Ok(Err(stop)) => return stop.into(),
            Err(lost) => return EffectOutcome::Unknown(lost.to_string()),
        };
        let changed = seen.is_some_and(|seen| seen != state);
        if changed || seen.is_none() || Instant::now() >= ends {
            return EffectOutcome::Done(fs::Reply::Watch(Watched { state, changed }).into());
        }
        let again = ends.min(Instant::now() + LOOK_AGAIN);
        match &mut notices {
            // Told or not, it is looked at.
            Some(notices) => drop(timeout_at(again, notices.next()).await),
            None => sleep_until(again).await,
        }
    }
}

/// The state of what is at the task's path. It is told of changes from before the look on.
fn look(task: &Task<'_>, watches: Option<&Watches>) -> Result<Digest, Stop> {
    let found = match task.parent() {
        Ok(Some((folder, name))) => {
            tell_of(&folder, watches);
            task.look(&folder, name)?
        }
        Ok(None) => {
            let root = rustix::fs::fstat(task.mount.root());
            Some(root.map_err(|errno| task.stop("look at the mount", errno))?)
        }
        Err(Stop::Failed(libos_abi::Error::Fs(failure)))
            if failure.kind == FailureKind::NotFound =>
        {
            None
        }
        Err(stop) => return Err(stop),
    };
    let Some(found) = found else { return Ok(Digest::of(b"absent")) };
    let mut seen = Vec::new();
    write_down(&mut seen, b"", &found);
    if mount::file_type(&found) == FileType::Directory {
        let folder = match task.mount.folder(&task.names) {
            Ok(folder) => folder,
            // Gone or replaced since: the next look tells.
            Err(Unreached::Missing | Unreached::NotAFolder) => return Ok(Digest::of(b"absent")),
            Err(why) => return Err(task.unreached(&why)),
        };
        tell_of(&folder, watches);
        for name in ops::first_names(task, &folder, LIST_ENTRIES_MAX as usize)? {
            let entry = mount::look_at(&folder, &name);
            if let Some(entry) = entry.map_err(|errno| task.stop("look at an entry", errno))? {
                write_down(&mut seen, &name, &entry);
            }
        }
    }
    Ok(Digest::of(&seen))
}

/// All of a file that changes with it.
fn write_down(seen: &mut Vec<u8>, name: &[u8], found: &Stat) {
    let numbers = [
        i128::try_from(name.len()).unwrap_or_default(),
        i128::from(found.st_ino),
        i128::from(found.st_mode),
        i128::from(found.st_size),
        i128::from(found.st_mtime),
        i128::from(found.st_mtime_nsec),
        i128::from(found.st_ctime),
        i128::from(found.st_ctime_nsec),
    ];
    numbers.iter().for_each(|number| seen.extend(number.to_le_bytes()));
    seen.extend(name);
}

/// The system's notices of changes in folders.
struct Notices {
    watches: Watches,
    events: EventStream<[u8; 4_096]>,
}

impl Notices {
    /// None where the system has no more of them.
    fn new() -> Option<Self> {
        let inotify = Inotify::init().ok()?;
        let watches = inotify.watches();
        Some(Self { watches, events: inotify.into_event_stream([0; 4_096]).ok()? })
    }

    /// Waits for a notice, and takes those that came with it.
    async fn next(&mut self) {
        self.events.next().await;
        tokio::time::sleep(GROUP).await;
        while let Some(Some(Ok(_))) = self.events.next().now_or_never() {}
    }
}

/// Has the system tell of an opened folder, however it is named by now. Where that is refused,
/// looking again does.
fn tell_of(folder: &Dir, watches: Option<&Watches>) {
    let Some(mut watches) = watches.cloned() else { return };
    let on = WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MODIFY
        | WatchMask::ATTRIB
        | WatchMask::MOVE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF;
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    if let Err(error) = watches.add(path, on) {
        tracing::debug!(%error, "a folder cannot be watched");
    }
}
