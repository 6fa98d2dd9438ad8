//! Weighted fair: turns in proportion to weight, between tasks first, then within each.

use libos_abi::Pid;
use rustc_hash::FxHashMap;

use super::{
    Facts, Policy,
    dense::Dense,
    fair::{Line, Mark},
};

/// Turns in proportion to weight: between tasks by the weight of their roots, and within a task
/// by the weight of its processes. So a task gains nothing by having many processes, and none
/// waits longer for its turn because another has ten thousand. Every operation is O(log n).
///
/// A hint that no longer holds when it is popped has cost its process that turn.
#[derive(Debug, Default)]
pub struct WeightedFair {
    /// Tasks, by their roots.
    tasks: Line,
    task_marks: Dense<Mark>,
    /// The processes of each task that had one queued.
    queues: FxHashMap<Pid, Line>,
    marks: Dense<Mark>,
}

impl WeightedFair {
    /// Takes a queued process out, in its turn or not. For a run it and its task pay in any case.
    pub(super) fn take(&mut self, pid: Pid, runs: bool) {
        let mark = self.marks.get(pid);
        let root = mark.root;
        if !mark.is_queued {
            return;
        }
        let Some(queue) = self.queues.get_mut(&root) else {
            return;
        };
        queue.take(pid, mark, runs);
        let has_more = !queue.is_empty();
        if runs || !has_more {
            let mark = self.task_marks.get(root);
            self.tasks.take(root, mark, runs);
            if has_more {
                self.tasks.push(root, mark, false);
            }
        }
    }
}

impl Policy for WeightedFair {
    fn push(&mut self, pid: Pid, facts: Facts) {
        let Facts { root, weight, task_weight, .. } = facts;
        let mark = self.marks.get(pid);
        if mark.is_queued {
            return;
        }
        let is_new = facts.runs == 0;
        (mark.root, mark.weight) = (root, weight);
        self.queues.entry(root).or_default().push(pid, mark, is_new);
        let mark = self.task_marks.get(root);
        mark.weight = task_weight;
        self.tasks.push(root, mark, is_new && pid == root);
    }

    fn pop(&mut self) -> Option<Pid> {
        let root = self.tasks.first()?;
        let pid = self.queues.get(&root)?.first()?;
        self.take(pid, true);
        Some(pid)
    }

    fn remove(&mut self, pid: Pid) {
        self.take(pid, false);
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
