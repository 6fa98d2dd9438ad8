//! Tools over skills. Taking one up grants nothing.

use libos_abi::skill;
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSkills {}

pub(crate) async fn list_skills(port: &dyn Port, _: ListSkills) -> Ended {
    json(port.call(skill::List {}).await?)
}

/// A skill by its name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneSkill {
    /// Its name.
    skill: String,
}

pub(crate) async fn activate_skill(port: &dyn Port, args: OneSkill) -> Ended {
    json(port.call(skill::Activate { skill: args.skill, digest: None }).await?)
}

pub(crate) async fn unload_skill(port: &dyn Port, args: OneSkill) -> Ended {
    json(port.call(skill::Unload { skill: args.skill }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadSkillResource {
    /// The name of the skill.
    skill: String,
    /// The file of the skill.
    file: String,
}

pub(crate) async fn read_skill_resource(port: &dyn Port, args: ReadSkillResource) -> Ended {
    let ReadSkillResource { skill, file } = args;
    json(port.call(skill::ReadFile { skill, file }).await?)
}
