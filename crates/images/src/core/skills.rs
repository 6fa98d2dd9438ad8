//! The skills that were registered.

use std::sync::Arc;

use libos_abi::{
    Error,
    event::ImageEvent,
    skill::{FailureKind, Skill},
};

use super::{Limits, Registry, at_most, check_files, is_word, shown};

impl Registry {
    /// The registered skill of this name.
    pub(crate) fn skill(&self, name: &str) -> Result<&Arc<Skill>, Error> {
        self.skills.get(name).ok_or_else(|| {
            let detail = format!("there is no skill `{}`; see skill.list", shown(name));
            FailureKind::NotFound.because(detail)
        })
    }

    /// Every skill, in the order of names.
    pub(crate) fn skills(&self) -> impl Iterator<Item = &Skill> {
        self.skills.values().map(AsRef::as_ref)
    }

    /// What registering a skill makes, if it may be registered.
    pub(crate) fn plan_register_skill(
        &self,
        skill: &Skill,
        replace: bool,
        limits: &Limits,
    ) -> Result<ImageEvent, Error> {
        check_skill(skill, limits).map_err(|flaw| FailureKind::BadSkill.because(flaw))?;
        if !replace && self.skills.contains_key(&skill.name) {
            let detail = format!("`{}` is registered; say `replace` to replace it", skill.name);
            return Err(FailureKind::Exists.because(detail));
        }
        Ok(ImageEvent::SkillRegistered(Arc::new(skill.clone())))
    }

    /// What removing a skill makes, with the skill as it was.
    pub(crate) fn plan_unregister_skill(
        &self,
        name: &str,
    ) -> Result<(ImageEvent, Arc<Skill>), Error> {
        let skill = Arc::clone(self.skill(name)?);
        Ok((ImageEvent::SkillUnregistered { skill: name.to_owned() }, skill))
    }
}

/// That a skill is well formed; the error says what is wrong with it.
pub(crate) fn check_skill(skill: &Skill, limits: &Limits) -> Result<(), String> {
    let Skill { name, description, license, compatibility, allowed_tools, metadata, text, files } =
        skill;
    if !is_word(name, '-', limits) {
        return Err(format!(
            "the name `{}` is no word of 1 to {} of a-z, 0-9 and `-`",
            shown(name),
            limits.name_bytes_max
        ));
    }
    if description.trim().is_empty() {
        return Err("the description is empty: nobody would know when to take it up".into());
    }
    let line_max = limits.description_bytes_max;
    at_most("bytes of the description", description.len(), line_max)?;
    for (what, line) in [("the license", license), ("the compatibility", compatibility)] {
        let bytes = line.as_ref().map_or(0, String::len);
        at_most(&format!("bytes of {what}"), bytes, line_max)?;
    }
    let metadata = metadata.as_ref().map_or(0, |metadata| metadata.0.bytes());
    at_most("bytes of the metadata", metadata, line_max as u64)?;
    let tools = allowed_tools.as_deref().unwrap_or_default();
    at_most("allowed tools", tools.len(), limits.tools_max)?;
    for tool in tools {
        at_most("bytes of an allowed tool", tool.len(), line_max)?;
    }
    at_most("bytes of what it says", text.bytes(), limits.skill_file_bytes_max)?;
    check_files("files of the skill", files, limits)
}
