//! Skills: instructions with files beside them, which a process takes up.

use super::image::{PackageFile, changing_of};
use crate::{Digest, Json, Need, Resource, Text, call::service};

record! {
    /// A skill as its package has it: a `SKILL.md` and the files beside it. It grants nothing.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct Skill {
        /// Its name.
        pub name: String,
        /// What it is for, and when to take it up.
        pub description: String,
        /// Under which terms it may be used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub license: Option<String>,
        /// What it needs of where it is used, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub compatibility: Option<String>,
        /// The only tools that a process can call while the skill is active; absent narrows
        /// nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub allowed_tools: Option<Vec<String>>,
        /// What its author says besides.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub metadata: Option<Json>,
        /// What a model is told that takes it up.
        pub text: Text,
        /// The files beside it.
        #[serde(default)]
        pub files: Vec<PackageFile>,
    }

    /// A skill in a list.
    pub struct SkillInfo {
        /// Its name.
        pub name: String,
        /// What it is for, and when to take it up.
        pub description: String,
        /// The digest of all of its package.
        pub digest: Digest,
        /// The only tools that a process can call while it is active; absent narrows nothing.
        pub allowed_tools: Option<Vec<String>>,
        /// Whether the caller has taken it up.
        pub active: bool,
    }

    /// Skills.
    pub struct Skills {
        /// In the order of their names.
        pub skills: Vec<SkillInfo>,
    }

    /// A skill that a process has taken up.
    pub struct ActiveSkill {
        /// Its name.
        pub name: String,
        /// The digest of its package as it was then.
        pub digest: Digest,
        /// The only tools that its process can call meanwhile; absent narrows nothing.
        pub allowed_tools: Option<Vec<String>>,
    }

    /// What a process is told that takes up a skill.
    pub struct Activated {
        /// The skill.
        pub skill: ActiveSkill,
        /// What it says.
        pub text: Text,
        /// The names of the files beside it, for `skill.read`.
        pub files: Vec<String>,
    }

    /// A skill of an image: this package and no other.
    #[serde(deny_unknown_fields)]
    pub struct SkillPin {
        /// Its name.
        pub name: String,
        /// The digest of its package.
        pub digest: Digest,
    }
}

/// Tools that no skill takes away: without them it could not be put down again.
pub const SKILL_TOOLS: &[&str] =
    &["list_skills", "activate_skill", "unload_skill", "read_skill_resource"];

impl Skill {
    /// The digest of all of it, the same wherever its texts are kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        crate::field::digest_of(self)
    }
}

impl ActiveSkill {
    /// Whether a tool can be called while it is active, as far as it says.
    #[must_use]
    pub fn allows(&self, tool: &str) -> bool {
        let named = |tools: &Vec<String>| tools.iter().any(|allowed| allowed == tool);
        SKILL_TOOLS.contains(&tool) || self.allowed_tools.as_ref().is_none_or(named)
    }
}

impl Register {
    /// Who puts a skill in the place of another removes that.
    fn needs(&self) -> Vec<Need> {
        changing_of(Resource::named("skill", &self.skill.name), self.replace)
    }
}

crate::field::opaque!(SkillPin);
crate::field::carries_texts! {
    Skill { metadata, text, files }
    SkillInfo {}
    Skills {}
    ActiveSkill {}
    Activated { text }
}

service! {
    /// Skills: instructions with files beside them, which the host has registered and a process
    /// takes up. A skill grants nothing; one that names tools takes the others away while it is
    /// active.
    service skill = 25;
    failures {
        /// No skill of this name is registered, or it has no such file.
        1 "not_found" NotFound;
        /// A skill of this name is registered already.
        2 "exists" Exists;
        /// The skill is malformed.
        3 "bad_skill" BadSkill;
        /// The skill is another by now than the one that was named or taken up.
        4 "changed" Changed;
        /// The caller has not taken it up.
        5 "not_active" NotActive;
    }

    /// Lists the skills. Which of them the caller may take up is a matter of grants.
    1 list List {} -> Skills
    { demand: [own]; effect: State; fails: []; }

    /// Shows a skill with its files.
    2 inspect Inspect {
        /// Its name.
        skill: String,
    } -> Skill as Arc
    { demand: [Read on skill by |c| Resource::named("skill", &c.skill)]; effect: State;
      fails: [NotFound]; }

    /// Registers a skill. To replace one needs `delete` on it as well; who has taken that up keeps
    /// being bound by it.
    3 register Register as Box {
        /// The skill.
        skill: Skill,
        /// Whether it may replace one of the same name.
        replace: Option<bool>,
    } -> SkillInfo
    { demand: [Write on skill by |c| c.needs()]; effect: State; fails: [Exists BadSkill]; }

    /// Removes a skill. Who has taken it up keeps being bound by it.
    4 unregister Unregister {
        /// Its name.
        skill: String,
    } -> SkillInfo
    { demand: [Delete on skill by |c| Resource::named("skill", &c.skill)]; effect: State;
      fails: [NotFound]; }

    /// Takes up a skill: tells what it says, and from now on the caller can call no tool but those
    /// that each of its active skills allows.
    5 activate Activate {
        /// Its name.
        skill: String,
        /// The digest that it must have.
        digest: Option<Digest>,
    } -> Activated as Box
    { demand: [Execute on skill by |c| Resource::named("skill", &c.skill)]; effect: State;
      fails: [NotFound Changed]; }

    /// Puts down a skill.
    6 unload Unload {
        /// Its name.
        skill: String,
    } -> ()
    { demand: [Execute on skill by |c| Resource::named("skill", &c.skill)]; effect: State;
      fails: [NotActive]; }

    /// Reads a file of a skill that the caller has taken up.
    7 read ReadFile {
        /// Its name.
        skill: String,
        /// The file.
        file: String,
    } -> PackageFile
    { demand: [Execute on skill by |c| Resource::named("skill", &c.skill)]; effect: State;
      fails: [NotFound NotActive Changed]; }
}
