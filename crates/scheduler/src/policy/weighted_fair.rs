//! Weighted fair: turns in proportion to weight, between tasks first, then within each.

use libos_abi::Pid;
use rustc_hash::FxHashMap;

use super::{Facts, Policy, fair::Fair};

/// Turns in proportion to weight: between tasks by the weight of their roots, and within a task
/// by the weight of its processes. So a task gains nothing by having many processes, and none
/// waits longer for its turn because another has ten thousand. Every operation is O(log n).
///
/// A hint that no longer holds when it is popped has cost its process that turn.
#[derive(Debug, Default)]
pub struct WeightedFair {
    /// Tasks, by their roots, that have a queued process.
    tasks: Fair,
    /// The queued processes of each of them.
    queues: FxHashMap<Pid, Fair>,
    /// The root, and its weight, of each queued process.
    roots: FxHashMap<Pid, (Pid, u32)>,
}

impl WeightedFair {
    /// Takes a queued process out of turn; it and its task pay for the run like any other.
    pub(super) fn take(&mut self, pid: Pid) {
        if let Some((root, weight)) = self.roots.remove(&pid)
            && let Some(queue) = self.queues.get_mut(&root)
        {
            queue.take(pid);
            self.tasks.take(root);
            self.go_on(root, weight);
        }
    }

    /// Queues a task again if it has more processes to run.
    fn go_on(&mut self, root: Pid, weight: u32) {
        if self.queues.get(&root).is_some_and(Fair::is_empty) {
            self.queues.remove(&root);
        } else {
            self.tasks.push(root, weight, false);
        }
    }
}

impl Policy for WeightedFair {
    fn push(&mut self, pid: Pid, facts: Facts) {
        let Facts { root, weight, task_weight, .. } = facts;
        if self.roots.contains_key(&pid) {
            return;
        }
        let is_new = facts.runs == 0;
        self.roots.insert(pid, (root, task_weight));
        self.queues.entry(root).or_default().push(pid, weight, is_new);
        self.tasks.push(root, task_weight, is_new && pid == root);
    }

    fn pop(&mut self) -> Option<Pid> {
        let root = self.tasks.pop()?;
        let pid = self.queues.get_mut(&root).and_then(Fair::pop);
        let weight = pid.and_then(|pid| self.roots.remove(&pid)).map_or(1, |(_, weight)| weight);
        self.go_on(root, weight);
        pid
    }

    fn remove(&mut self, pid: Pid) {
        if let Some((root, _)) = self.roots.remove(&pid)
            && let Some(queue) = self.queues.get_mut(&root)
        {
            queue.remove(pid);
            if queue.is_empty() {
                self.queues.remove(&root);
                self.tasks.remove(root);
            }
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
