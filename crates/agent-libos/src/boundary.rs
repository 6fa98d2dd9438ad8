//! Boundaries: the moments at which a crash makes a difference.
//!
//! Owns their names, and tells an observer of each as it is passed. It never decides anything and
//! never changes what happens there: who wants to know what a crash at a boundary does ends the
//! process in the observer. Without an observer a boundary costs one comparison.

pub use libos_journal::{OnStep as OnBoundary, STEPS};

/// The boundaries of the edge, in the order of a start and of a call, and what is about to happen
/// there. Those of the store are its [`STEPS`].
pub const BOUNDARIES: &[(&str, &str)] = &[
    ("start.open", "the store is opened"),
    ("start.fold", "the records are folded"),
    ("start.folded", "one record has been folded"),
    ("start.recover", "what the records left open is taken up"),
    ("start.recovered", "it is taken up, and nothing of that is recorded"),
    ("kernel.stepped", "the kernel has taken a message, and nothing of that is recorded"),
    ("append.lazy", "records are put in line"),
    ("append.lazy.done", "they are in line, and what depends on nothing else leaves"),
    ("append.durable", "records are written"),
    ("append.durable.done", "they are on disk, and nothing that waited for that has left"),
    ("flush", "what is in line is written"),
    ("flush.done", "it is on disk, and nobody was told"),
    ("reply", "a caller is answered"),
    ("reply.done", "it is answered"),
    ("run", "a quantum is started"),
    ("run.done", "it is started"),
    ("stop", "a quantum is dropped"),
    ("news", "watchers are told"),
    ("news.done", "they are told"),
    ("effect", "an effect is handed to its provider"),
    ("effect.done", "it is handed over"),
    ("effect.perform", "the provider begins"),
    ("effect.performed", "the provider is done, and has not reported"),
    ("effect.reconcile", "the provider is asked what became of it"),
    ("effect.reconciled", "the provider knows, and has not reported"),
    ("effect.reported", "the report is on its way to the kernel"),
    ("quantum", "the planner begins"),
    ("quantum.done", "the planner is done, and its end is not submitted"),
];

/// Where a part of the edge tells that it passes a boundary.
#[derive(Clone, Default)]
pub(crate) struct Boundaries(Option<OnBoundary>);

impl Boundaries {
    pub(crate) fn watched(observer: Option<OnBoundary>) -> Self {
        Self(observer)
    }

    pub(crate) fn observer(&self) -> Option<OnBoundary> {
        self.0.clone()
    }

    #[inline]
    pub(crate) fn pass(&self, name: &'static str) {
        if let Some(observer) = &self.0 {
            observer(name);
        }
    }
}
