//! What is told of effects while they are under way: to watchers, over a channel that may drop.
//!
//! It never reaches the core or the journal.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use libos_abi::{OpId, Pid};
use libos_port::{Progress, Tell};
use tokio::sync::mpsc;

use crate::News;

/// How much is kept for a watcher that is slow; what comes then is lost to it.
const KEPT_MAX: usize = 1_024;

pub(crate) fn channel() -> (mpsc::Sender<News>, mpsc::Receiver<News>) {
    mpsc::channel(KEPT_MAX)
}

/// Who is told of one effect.
pub(crate) struct Effect {
    pub(crate) op: OpId,
    pub(crate) pid: Option<Pid>,
    watcher: Option<mpsc::Sender<News>>,
    /// Whether it is known that nothing of it has happened.
    unbegun: AtomicBool,
}

impl Effect {
    pub(crate) fn new(
        op: OpId,
        pid: Option<Pid>,
        watcher: Option<mpsc::Sender<News>>,
    ) -> Arc<Self> {
        Arc::new(Self { op, pid, watcher, unbegun: AtomicBool::new(false) })
    }

    /// Whether its provider said that it only waits.
    pub(crate) fn is_unbegun(&self) -> bool {
        self.unbegun.load(Ordering::SeqCst)
    }
}

impl Tell for Effect {
    fn tell(&self, progress: Progress) {
        let is_queued = matches!(progress, Progress::Queued { .. });
        // Once something happened, it has happened.
        match progress {
            Progress::Queued { .. } | Progress::Begun => {
                self.unbegun.store(is_queued, Ordering::SeqCst);
            }
            Progress::Text(_) | Progress::Again { .. } => {}
        }
        let (Some(watcher), Some(pid)) = (&self.watcher, self.pid) else { return };
        let news = News::Progress { pid, op: self.op, progress };
        if watcher.try_send(news).is_err() {
            tracing::trace!(op = %self.op, "a watcher is too slow for what is under way");
        }
    }
}
