//! The service `skill`: what is registered, and which process has taken up what.

use std::sync::Arc;

use libos_abi::{
    Error, Fault, Pid, Principal,
    image::PackageFile,
    skill::{self, Activated, ActiveSkill, FailureKind, Skill, SkillInfo, Skills},
};
use libos_port::{Context, Stop};

use crate::Images;

fn info(skill: &Skill, active: bool) -> SkillInfo {
    SkillInfo {
        name: skill.name.clone(),
        description: skill.description.clone(),
        digest: skill.digest(),
        allowed_tools: skill.allowed_tools.clone(),
        active,
    }
}

/// The process that takes up skills: itself, or the one whose tool calls.
fn taker(cx: &dyn Context) -> Result<Pid, Stop> {
    match &cx.caller().principal {
        Principal::Host(_) => Err(Fault::bad("a process takes up skills; a host does not").into()),
        principal => principal.pid().ok_or_else(|| Fault::NoProcess.into()),
    }
}

fn changed(name: &str) -> Error {
    let detail = format!("`{name}` is another package by now: take it up again to use that");
    FailureKind::Changed.because(detail)
}

impl<'c> skill::Server<dyn Context + 'c, Stop> for Images {
    fn list(&mut self, cx: &mut (dyn Context + 'c), _: &skill::List) -> Result<Skills, Stop> {
        let pid = cx.caller().pid();
        let is_active = |name: &str| {
            pid.is_some_and(|pid| self.toolbox.active(pid).iter().any(|it| it.name == name))
        };
        let skills = self.state.skills().map(|skill| info(skill, is_active(&skill.name)));
        Ok(Skills { skills: skills.collect() })
    }

    fn inspect(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &skill::Inspect,
    ) -> Result<Arc<Skill>, Stop> {
        Ok(Arc::clone(self.state.skill(&call.skill)?))
    }

    fn register(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &skill::Register,
    ) -> Result<SkillInfo, Stop> {
        let replace = call.replace.unwrap_or(false);
        let event = self.state.plan_register_skill(&call.skill, replace, &self.limits)?;
        self.state.change(cx, event);
        Ok(info(&call.skill, false))
    }

    fn unregister(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &skill::Unregister,
    ) -> Result<SkillInfo, Stop> {
        let (event, skill) = self.state.plan_unregister_skill(&call.skill)?;
        self.state.change(cx, event);
        Ok(info(&skill, false))
    }

    fn activate(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &skill::Activate,
    ) -> Result<Activated, Stop> {
        let pid = taker(cx)?;
        let found = self.state.skill(&call.skill)?;
        let skill = ActiveSkill {
            name: found.name.clone(),
            digest: found.digest(),
            allowed_tools: found.allowed_tools.clone(),
        };
        let image = self.image(crate::process(cx)?);
        let pins = image.into_iter().flat_map(|image| &image.skills);
        let pinned = pins.filter(|pin| pin.name == skill.name).map(|pin| pin.digest);
        if let Some(other) = call.digest.into_iter().chain(pinned).find(|it| *it != skill.digest) {
            let detail = format!("`{}` is {}, and not {other}", skill.name, skill.digest);
            return Err(FailureKind::Changed.because(detail).into());
        }
        let activated = Activated {
            skill: skill.clone(),
            text: found.text.clone(),
            files: found.files.iter().map(|file| file.path.clone()).collect(),
        };
        if let Some(event) = self.toolbox.plan_activate(pid, skill, &self.limits)? {
            self.toolbox.change(cx, event);
        }
        Ok(activated)
    }

    fn unload(&mut self, cx: &mut (dyn Context + 'c), call: &skill::Unload) -> Result<(), Stop> {
        let event = self.toolbox.plan_unload(taker(cx)?, &call.skill)?;
        self.toolbox.change(cx, event);
        Ok(())
    }

    fn read(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &skill::ReadFile,
    ) -> Result<PackageFile, Stop> {
        let active = self.toolbox.find_active(taker(cx)?, &call.skill)?;
        let skill = self.state.skill(&call.skill)?;
        if skill.digest() != active.digest {
            return Err(changed(&call.skill).into());
        }
        let file = skill.files.iter().find(|file| file.path == call.file).cloned();
        file.ok_or_else(|| {
            let detail = format!("`{}` has no file of this name; see `files`", call.skill);
            FailureKind::NotFound.because(detail).into()
        })
    }
}
