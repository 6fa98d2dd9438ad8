//! What becomes of a process as a whole: it is made, goes on as another image, ends.

use std::sync::Arc;

use libos_abi::{
    FsPath, MessageId, ObjectId, Pid, Text,
    process::{Budget, Ending, ForkMode, PlannerSpec, Schedule, Usage},
};

use super::{
    Life, Table,
    change::Step,
    mail::{KINDS, slot},
    row::{Family, Fixed, MadeOf, NonZeroPid, Packed, Process, Standing, Turn},
};
use crate::budget::Bounds;

/// A process that is made, as its event tells.
pub(super) struct Spawned<'a> {
    pub(super) parent: Option<Pid>,
    pub(super) image: &'a str,
    pub(super) goal: &'a Text,
    pub(super) planner: &'a PlannerSpec,
    pub(super) workspace: Option<&'a str>,
    pub(super) cwd: &'a FsPath,
    pub(super) budget: &'a Budget,
    pub(super) schedule: Schedule,
    pub(super) mode: Option<ForkMode>,
    pub(super) owner: Option<ObjectId>,
    pub(super) at_ms: u64,
}

/// What one of the others has already, so that it is kept once.
fn kept_once<'a, T: PartialEq + Clone + 'a>(own: T, mut others: impl Iterator<Item = &'a T>) -> T {
    others.find(|other| **other == own).cloned().unwrap_or(own)
}

impl Table {
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(name) = self.names.get(name) {
            return Arc::clone(name);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// What processes of this image, planner and workspace are made of; shared with `like` if it
    /// is the same.
    pub(super) fn made_of(
        &mut self,
        image: &str,
        planner: &str,
        workspace: Option<&str>,
        like: Option<Arc<MadeOf>>,
    ) -> Arc<MadeOf> {
        let same = |like: &Arc<MadeOf>| {
            (&*like.image, &*like.planner, like.workspace.as_deref()) == (image, planner, workspace)
        };
        if let Some(like) = like.filter(same) {
            return like;
        }
        let made_of = MadeOf {
            image: self.name(image),
            planner: self.name(planner),
            workspace: workspace.map(|workspace| self.name(workspace)),
        };
        if let Some(made_of) = self.made_of.get(&made_of) {
            return Arc::clone(made_of);
        }
        let made_of = Arc::new(made_of);
        self.made_of.insert(Arc::clone(&made_of));
        made_of
    }

    pub(super) fn spawned(&mut self, pid: Pid, new: Spawned<'_>) {
        if pid != self.next_pid() {
            return;
        }
        let parent = new.parent.filter(|parent| self.get(*parent).is_some());
        let ancestors = parent.map(|parent| self.line(parent)).unwrap_or_default();
        let line = Arc::clone(&ancestors);
        let above = parent.and_then(|parent| self.get(parent));
        let elder = above.and_then(|above| self.get(above.family.as_ref()?.last));
        let relatives = || above.into_iter().chain(elder);
        let cwd = kept_once(new.cwd.clone(), relatives().map(|relative| &relative.fixed.cwd));
        let program = Packed::from(&new.planner.program);
        let program = kept_once(program, relatives().map(|relative| &relative.program));
        let fixed = above.map(|above| &above.fixed);
        let groups = fixed.filter(|_| new.mode.is_some()).map(|fixed| &fixed.tool_groups);
        let is_limited = *new.budget != Budget::default();
        let fixed = Fixed {
            goal: new.goal.into(),
            cwd,
            tool_groups: groups.cloned().unwrap_or_default(),
            budget: is_limited.then(|| Box::new(new.budget.clone())),
            bounds: Bounds::of(new.budget, fixed.map(|fixed| fixed.bounds)),
            mode: new.mode,
            owner: new.owner.map(Box::new),
            started_at_ms: new.at_ms,
            ancestors,
        };
        let above_standing = above.map(|above| above.standing);
        let standing = Standing::of(pid, new.schedule, above_standing, new.at_ms);
        let like = above.map(|above| Arc::clone(&above.made_of));
        let made_of = self.made_of(new.image, &new.planner.kind, new.workspace, like);
        self.log.note(|| Step::Made);
        self.processes.push(Process {
            turn: Turn { life: Life::Runnable, run: 0, quantum: 0, kept: Packed::default() },
            standing,
            made_of,
            program,
            fixed: Arc::new(fixed),
            usage: None,
            family: None,
            sibling: None,
            unread: 0,
            interrupts: 0,
        });
        if let Some(owner) = new.owner {
            self.put_task(owner, standing.root, pid, false);
        }
        if let Some(parent) = parent {
            self.adopt(parent, pid, line);
            let child = Usage { children: 1, ..Usage::default() };
            self.charge(parent, |usage| usage.plus(child));
        }
    }

    /// A process and everyone above it, as its children share it.
    pub(super) fn line(&self, pid: Pid) -> Arc<[Pid]> {
        match self.get(pid).and_then(|process| process.family.as_ref()) {
            Some(family) => Arc::clone(&family.line),
            None => self.chain(pid).map(|(pid, _)| pid).collect(),
        }
    }

    /// Enters a new child with its parent.
    pub(super) fn adopt(&mut self, parent: Pid, child: Pid, line: Arc<[Pid]>) {
        let family = self.get(parent).and_then(|parent| parent.family.clone());
        if let Some(family) = &family {
            self.edit(family.last, |last| last.sibling = NonZeroPid::new(child.0));
        }
        let first = family.as_ref().map_or(child, |family| family.first);
        let live = family.map_or(0, |family| family.live) + 1;
        let family = Family { line, first, last: child, live };
        self.edit(parent, |parent| parent.family = Some(Arc::new(family)));
    }

    pub(super) fn ended(&mut self, pid: Pid, ending: &Ending) {
        let Some(process) = self.live(pid) else {
            return;
        };
        let (parent, root) = (process.parent(), process.standing.root);
        let owner = process.fixed.owner.as_deref().copied();
        if process.unread > 0 {
            for kind in KINDS {
                let ids: Vec<MessageId> = self.mail(pid, kind).map(|message| message.id).collect();
                for id in ids {
                    self.put_mail(slot(pid, kind, id), None);
                }
            }
        }
        if self.received.contains_key(&pid) {
            self.put_received(pid, None);
        }
        if let Some(owner) = owner {
            self.put_task(owner, root, pid, true);
        }
        self.edit(pid, |process| {
            process.turn.life = Life::Ended(Arc::new(ending.clone()));
            process.turn.kept = Packed::default();
            process.program = Packed::default();
            process.unread = 0;
            process.interrupts = 0;
        });
        self.part_with(parent);
    }

    /// Counts one live child less.
    pub(super) fn part_with(&mut self, parent: Option<Pid>) {
        if let Some(parent) = parent {
            self.edit(parent, |parent| {
                if let Some(family) = &mut parent.family {
                    let family = Arc::make_mut(family);
                    family.live = family.live.saturating_sub(1);
                }
            });
        }
    }

    pub(super) fn execed(&mut self, pid: Pid, image: &str, goal: &Text, planner: &PlannerSpec) {
        let Some(process) = self.live(pid) else {
            return;
        };
        let before = Arc::clone(&process.made_of);
        let made_of = self.made_of(image, &planner.kind, before.workspace.as_deref(), None);
        self.edit(pid, |process| {
            process.turn.life = process.turn.life.readied();
            process.turn.quantum += 1;
            process.turn.kept = Packed::default();
            process.made_of = made_of;
            process.program = (&planner.program).into();
            let fixed = Arc::make_mut(&mut process.fixed);
            fixed.tool_groups = Arc::default();
            fixed.goal = goal.into();
        });
    }

    pub(super) fn activated(&mut self, pid: Pid, group: &str) {
        let group = self.name(group);
        self.edit_fixed(pid, |fixed| {
            if !fixed.tool_groups.contains(&group) {
                fixed.tool_groups = fixed.tool_groups.iter().cloned().chain([group]).collect();
            }
        });
    }

    pub(super) fn extended(&mut self, pid: Pid, raise: impl FnOnce(&mut Budget)) {
        self.edit(pid, |process| {
            if let Some(budget) = &mut Arc::make_mut(&mut process.fixed).budget {
                raise(budget);
            }
        });
    }
}
