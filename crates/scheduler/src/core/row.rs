//! One process as a row of the table. A million rows stay in memory, so a row is small: what
//! hardly ever changes and what few processes have sits behind pointers, names are shared.

use std::sync::Arc;

use libos_abi::{
    Digest, FsPath, ObjectId, Pid, Text,
    process::{Budget, BudgetKind, ForkMode, Schedule, Usage},
};
use serde::{Serialize, Serializer};

use super::Life;
use crate::{LIMITS, budget::Bounds};

/// One process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Process {
    pub(crate) turn: Turn,
    pub(crate) standing: Standing,
    pub(crate) made_of: Arc<MadeOf>,
    /// What its planner runs. Dropped when the process ends.
    pub(crate) program: Packed,
    pub(crate) fixed: Arc<Fixed>,
    /// What it and all below it have used; absent is nothing.
    pub(crate) usage: Option<Arc<Usage>>,
    /// Absent until it has a child.
    pub(crate) family: Option<Arc<Family>>,
    /// The next younger child of its parent.
    pub(crate) sibling: Option<NonZeroPid>,
    /// Messages it has not taken, interrupts included.
    pub(crate) unread: u32,
    /// Interrupts that were not delivered.
    pub(crate) interrupts: u32,
}

/// What changes with every turn of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Turn {
    pub(crate) life: Life,
    pub(crate) run: u64,
    pub(crate) quantum: u64,
    /// What its planner keeps; nothing before the first commit and after the end.
    pub(crate) kept: Packed,
}

/// How it stands to others that want to run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Standing {
    /// The root of its task; itself if it has no parent.
    pub(crate) root: Pid,
    pub(crate) weight: u32,
    /// The weight of the root.
    pub(crate) task_weight: u32,
    /// [`u64::MAX`] is none.
    due_ms: u64,
}

/// What hardly ever changes in a process's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fixed {
    /// Everyone above it, nearest first; children of one parent share it.
    pub(crate) ancestors: Arc<[Pid]>,
    pub(crate) goal: Packed,
    pub(crate) cwd: FsPath,
    /// In the order of their activation.
    pub(crate) tool_groups: Arc<[Arc<str>]>,
    /// Absent is without limits.
    pub(crate) budget: Option<Box<Budget>>,
    /// What there is to check for it and those above it.
    pub(crate) bounds: Bounds,
    pub(crate) mode: Option<ForkMode>,
    pub(crate) owner: Option<Box<ObjectId>>,
    pub(crate) started_at_ms: u64,
}

/// What many processes have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct MadeOf {
    pub(crate) image: Arc<str>,
    pub(crate) planner: Arc<str>,
    pub(crate) workspace: Option<Arc<str>>,
}

/// The children of a process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Family {
    /// The process and everyone above it, as its children share it.
    pub(crate) line: Arc<[Pid]>,
    pub(crate) first: Pid,
    pub(crate) last: Pid,
    pub(crate) live: u32,
}

/// An id of a process, of which an absent one needs no room.
pub(crate) type NonZeroPid = std::num::NonZeroU64;

impl Process {
    pub(crate) fn parent(&self) -> Option<Pid> {
        self.fixed.ancestors.first().copied()
    }

    /// The number of its level; a root is on level 1.
    pub(crate) fn level(&self) -> usize {
        self.fixed.ancestors.len() + 1
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn limit(&self, kind: BudgetKind) -> Option<u64> {
        self.fixed.budget.as_ref().and_then(|budget| budget.limit(kind))
    }

    pub(crate) fn children_live(&self) -> u32 {
        self.family.as_ref().map_or(0, |family| family.live)
    }
}

impl Standing {
    /// That of a new process. A child is never ahead of its parent: its weight is at most its
    /// parent's, its deadline no earlier, and its parent's if it has none of its own.
    pub(crate) fn of(pid: Pid, schedule: Schedule, above: Option<Self>, at_ms: u64) -> Self {
        let weight = schedule.weight.unwrap_or(LIMITS.weight_default).clamp(1, LIMITS.weight_max);
        let due_ms = schedule.deadline.map(|deadline| at_ms.saturating_add(deadline.0));
        match above {
            None => {
                Self { root: pid, weight, task_weight: weight, due_ms: due_ms.unwrap_or(u64::MAX) }
            }
            Some(above) => Self {
                weight: weight.min(above.weight),
                due_ms: due_ms.map_or(above.due_ms, |due| due.max(above.due_ms)),
                ..above
            },
        }
    }

    /// That of a process whose weight and deadline are known.
    pub(super) fn restored(
        pid: Pid,
        weight: u32,
        deadline_ms: Option<u64>,
        above: Option<Self>,
    ) -> Self {
        let due_ms = deadline_ms.unwrap_or(u64::MAX);
        let (root, task_weight) =
            above.map_or((pid, weight), |above| (above.root, above.task_weight));
        Self { root, weight, task_weight, due_ms }
    }

    pub(crate) fn deadline_ms(self) -> Option<u64> {
        Some(self.due_ms).filter(|due_ms| *due_ms != u64::MAX)
    }
}

/// A text in two words; empty is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packed {
    Inline(Arc<str>),
    Blob(Arc<(Digest, u64)>),
}

impl Default for Packed {
    fn default() -> Self {
        Self::Inline(Arc::default())
    }
}

impl From<&Text> for Packed {
    fn from(text: &Text) -> Self {
        match text {
            Text::Inline(text) if text.is_empty() => Self::default(),
            Text::Inline(text) => Self::Inline(Arc::clone(text)),
            Text::Blob { digest, bytes } => Self::Blob(Arc::new((*digest, *bytes))),
        }
    }
}

impl Packed {
    /// Where it lies: what is shared lies in one place.
    pub(super) fn place(&self) -> *const u8 {
        match self {
            Self::Inline(text) => text.as_ptr(),
            Self::Blob(blob) => Arc::as_ptr(blob).cast(),
        }
    }

    pub(crate) fn text(&self) -> Text {
        match self {
            Self::Inline(text) => Text::Inline(Arc::clone(text)),
            Self::Blob(blob) => Text::Blob { digest: blob.0, bytes: blob.1 },
        }
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.text().serialize(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<Packed>(), 16);
        assert!(size_of::<Process>() <= 160, "{}", size_of::<Process>());
        assert!(size_of::<Fixed>() <= 96, "{}", size_of::<Fixed>());
    }

    #[test]
    fn a_packed_text_is_the_text() {
        let blob = Text::Blob { digest: Digest::of(b"x"), bytes: 9_000 };
        for text in [Text::default(), Text::from("goal"), blob] {
            assert_eq!(Packed::from(&text).text(), text);
        }
    }
}
