//! Checkpoints of processes: what is kept, and how it comes back or is copied.

use std::collections::BTreeMap;

use libos_abi::{
    CheckpointId, Millis, ObjectId, Resource, Right,
    checkpoint::{Copied, Forked, Made, Revived, Rewound, Subtree},
    event::ProcessEvent,
    process::{Budget, CopySaved, Ending, FailureKind, PlannerSpec, ProcessState, Save, Schedule},
};
use libos_port::{Context, Stop};

use crate::{Scheduler, budget::within, core::Process, creation::issue};

/// What was left of a process's limits; of time, all.
fn left(process: &Process) -> Budget {
    let used = process.usage();
    let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
    let budget = process.fixed.budget.as_deref().cloned().unwrap_or_default();
    Budget {
        syscalls: left(budget.syscalls, used.syscalls),
        tool_calls: left(budget.tool_calls, used.tool_calls),
        wall: budget.wall,
        children: left(budget.children, used.children),
        bytes: left(budget.bytes, used.bytes),
        tokens: left(budget.tokens, used.tokens),
        cost: left(budget.cost, used.cost),
    }
}

fn schedule(process: &Process, now_ms: u64) -> Schedule {
    let standing = process.standing;
    let deadline = standing.deadline_ms().map(|due_ms| Millis(due_ms.saturating_sub(now_ms)));
    Schedule { weight: Some(standing.weight), deadline }
}

fn planner(process: &Process) -> PlannerSpec {
    PlannerSpec { kind: process.made_of.planner.as_ref().into(), program: process.program.text() }
}

impl Scheduler {
    pub(crate) fn save_subtree(
        &mut self,
        cx: &mut dyn Context,
        call: &Save,
    ) -> Result<Subtree, Stop> {
        let checkpoint = call.checkpoint;
        let root = checkpoint.process;
        if self.state.live(root).is_none() {
            let detail = format!("there is no {root} that has not ended");
            return Err(FailureKind::NotFound.because(detail).into());
        }
        let subtree = self.state.subtree_of(root);
        let processes = subtree.live.clone();
        self.state.change(cx, ProcessEvent::Saved { checkpoint, processes });
        Ok(subtree)
    }

    /// Ends what was made since, then has everything be as it was, parents first.
    pub(crate) fn restore_subtree(
        &mut self,
        cx: &mut dyn Context,
        checkpoint: CheckpointId,
    ) -> Rewound {
        let made = self.state.made_since(checkpoint);
        let ending = Ending {
            state: ProcessState::Killed,
            result: None,
            message: Some(format!("{checkpoint} was restored, and it was made since")),
            code: None,
            at_ms: cx.now_ms(),
        };
        for pid in &made {
            if self.state.live(*pid).is_some() {
                self.end(cx, *pid, ending.clone());
            }
        }
        let (mut processes, mut revived) = (Vec::new(), Vec::new());
        for (pid, then) in self.state.saved(checkpoint) {
            let had_ended = self.state.live(pid).is_none();
            self.change(cx, pid, ProcessEvent::Rewound { pid, checkpoint });
            processes.push(pid);
            if had_ended {
                let parent = then.parent().filter(|parent| self.state.live(*parent).is_some());
                revived.push(Revived { pid, parent });
            }
        }
        Rewound { processes, revived, made }
    }

    /// Makes a new process for each that was kept, below the same ones.
    pub(crate) fn copy_subtree(
        &mut self,
        cx: &mut dyn Context,
        call: &CopySaved,
    ) -> Result<Forked, Stop> {
        let checkpoint = call.checkpoint;
        let saved = self.state.saved(checkpoint);
        let first = self.state.next_pid();
        let (mut copies, mut processes) = (BTreeMap::new(), Vec::new());
        for (from, then) in saved {
            let above = || then.fixed.ancestors.iter().find_map(|pid| copies.get(pid).copied());
            let parent = above().or(call.parent);
            let budget = left(&then);
            if let Some(parent) = parent {
                self.room_for_child(parent)?;
            }
            if let Some((pid, parent)) = parent
                .filter(|_| processes.is_empty())
                .and_then(|pid| Some((pid, self.state.live(pid)?)))
            {
                within(&budget, pid, parent, cx.now_ms())?;
            }
            let to = self.state.next_pid();
            let owner = then.fixed.owner.as_deref().copied();
            let owned_by = |id: ObjectId| Some(ObjectId { space: *copies.get(&id.space)?, ..id });
            let event = ProcessEvent::Spawned {
                pid: to,
                parent,
                image: then.made_of.image.as_ref().into(),
                goal: then.fixed.goal.text(),
                planner: planner(&then),
                workspace: then.made_of.workspace.as_deref().map(str::to_owned),
                cwd: then.fixed.cwd.clone(),
                budget,
                schedule: schedule(&then, cx.now_ms()),
                mode: then.fixed.mode,
                owner: owner.and_then(owned_by),
                at_ms: cx.now_ms(),
            };
            self.change(cx, to, event);
            self.state.change(cx, ProcessEvent::Copied { pid: to, checkpoint, from });
            if let Some(parent) = parent {
                issue(cx, parent, &Resource::id("process", to), &[Right::Write], 0)?;
                issue(cx, to, &Resource::id("process", parent), &[Right::Write], 0)?;
            }
            copies.insert(from, to);
            processes.push(Copied { from, to, parent });
        }
        match processes.is_empty() {
            false => Ok(Forked { pid: first, processes }),
            true => {
                let detail = format!("no process is kept for {checkpoint}");
                Err(FailureKind::NotFound.because(detail).into())
            }
        }
    }

    pub(crate) fn recall_root(&self, checkpoint: CheckpointId) -> Result<Made, Stop> {
        let saved = self.state.saved(checkpoint);
        let root = saved.iter().find(|(pid, _)| *pid == checkpoint.process);
        let (_, root) = root.ok_or_else(|| {
            FailureKind::NotFound.because(format!("no process is kept for {checkpoint}"))
        })?;
        Ok(Made { image: root.made_of.image.as_ref().into(), planner: planner(root) })
    }
}
