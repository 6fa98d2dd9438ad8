//! The skills that processes have taken up.

use std::sync::Arc;

use libos_abi::{
    Error, Fault, Pid,
    event::ToolEvent,
    skill::{ActiveSkill, FailureKind},
};

use super::Toolbox;
use crate::core::{Limits, shown};

impl Toolbox {
    /// The active skills of a process, in the order in which it took them up.
    pub(crate) fn active(&self, pid: Pid) -> &[ActiveSkill] {
        self.active.get(&pid).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The active skill of a process that does not allow a tool.
    pub(crate) fn narrowing(&self, pid: Pid, tool: &str) -> Option<&ActiveSkill> {
        self.active(pid).iter().find(|skill| !skill.allows(tool))
    }

    /// An active skill of a process.
    pub(crate) fn find_active(&self, pid: Pid, name: &str) -> Result<&ActiveSkill, Error> {
        let found = self.active(pid).iter().find(|skill| skill.name == name);
        found.ok_or_else(|| {
            let detail = format!("{pid} has not taken up `{}`", shown(name));
            FailureKind::NotActive.because(detail)
        })
    }

    /// What taking up a skill makes; nothing when it is active as it is.
    pub(crate) fn plan_activate(
        &self,
        pid: Pid,
        skill: ActiveSkill,
        limits: &Limits,
    ) -> Result<Option<ToolEvent>, Fault> {
        let others = self.active(pid).iter().filter(|active| active.name != skill.name).count();
        if others >= limits.skills_max {
            let limit = limits.skills_max as u64;
            return Err(Fault::Limit { what: "active skills".into(), limit });
        }
        let is_there = self.active(pid).contains(&skill);
        Ok((!is_there).then_some(ToolEvent::SkillActivated { pid, skill }))
    }

    /// What putting down a skill makes.
    pub(crate) fn plan_unload(&self, pid: Pid, name: &str) -> Result<ToolEvent, Error> {
        self.find_active(pid, name)?;
        Ok(ToolEvent::SkillUnloaded { pid, skill: name.to_owned() })
    }

    pub(super) fn active_of(&self, pid: Pid) -> Arc<[ActiveSkill]> {
        self.active.get(&pid).cloned().unwrap_or_default()
    }

    pub(super) fn put_active(&mut self, pid: Pid, active: Arc<[ActiveSkill]>) {
        match active.is_empty() {
            true => drop(self.active.remove(&pid)),
            false => drop(self.active.insert(pid, active)),
        }
    }

    pub(super) fn take_up(&mut self, pid: Pid, skill: &ActiveSkill) {
        let others = self.active(pid).iter().filter(|active| active.name != skill.name);
        let active = others.chain([skill]).cloned().collect();
        self.put_active(pid, active);
    }

    pub(super) fn put_down(&mut self, pid: Pid, name: &str) {
        let left = self.active(pid).iter().filter(|active| active.name != name);
        let left = left.cloned().collect();
        self.put_active(pid, left);
    }
}
