//! Images: what a process is made from.

use super::{
    process::{Budget, PlannerSpec},
    skill::SkillPin,
    tool::Definition,
};
use crate::{
    CheckpointId, Digest, GrantSpec, Json, Need, Pid, Resource, Right, Text, call::service,
};

record! {
    /// Tools that a process is shown once it activates the group.
    #[serde(deny_unknown_fields)]
    pub struct ToolGroup {
        /// Its name.
        pub name: String,
        /// What its tools are for.
        #[serde(default)]
        pub description: String,
        /// The tools in it.
        pub tools: Vec<String>,
    }

    /// A file of a package.
    #[serde(deny_unknown_fields)]
    pub struct PackageFile {
        /// Where it is in its folder, with `/` between names.
        pub path: String,
        /// What it says.
        pub text: Text,
        /// Whether that is no text, but bytes written in base64.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub base64: bool,
    }

    /// An image: a declaration, which grants nothing.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct Image {
        /// Its name.
        pub name: String,
        /// Its version.
        pub version: String,
        /// What it is for.
        #[serde(default)]
        pub description: String,
        /// What a model is told first.
        #[serde(default)]
        pub prompt: Text,
        /// The tools in its table.
        #[serde(default)]
        pub tools: Vec<String>,
        /// Who plans for its processes by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub planner: Option<PlannerSpec>,
        /// What its processes will need. Shown to people; **never granted**.
        #[serde(default)]
        pub required_capabilities: Vec<GrantSpec>,
        /// Tools shown on request only, so that a model chooses among few. They can be called
        /// whether they are shown or not.
        #[serde(default)]
        pub tool_groups: Vec<ToolGroup>,
        /// The limits of a process that is made without its own.
        #[serde(default)]
        pub budget: Budget,
        /// How a planner chooses what a model is shown. It is handed to the planner as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub context: Option<Json>,
        /// Generated tools among those of its table and its groups.
        #[serde(default)]
        pub generated: Vec<Definition>,
        /// What a workspace begins with that is empty.
        #[serde(default)]
        pub seed: Vec<PackageFile>,
        /// Skills that its processes may be told of. Who takes one up needs `execute` on it.
        #[serde(default)]
        pub skills: Vec<SkillPin>,
    }

    /// Images.
    pub struct Images {
        /// In the order of their names.
        pub images: Vec<Image>,
    }
}

impl Image {
    /// Whether a tool is in its table or in any group.
    #[must_use]
    pub fn has_tool(&self, name: &str) -> bool {
        let mut grouped = self.tool_groups.iter().flat_map(|group| &group.tools);
        self.tools.iter().any(|tool| tool == name) || grouped.any(|tool| tool == name)
    }

    /// A generated tool of it.
    #[must_use]
    pub fn generated(&self, name: &str) -> Option<&Definition> {
        self.generated.iter().find(|tool| tool.name == name)
    }

    /// The digest of all of it, the same wherever its texts are kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        crate::field::digest_of(self)
    }
}

impl Register {
    /// Who puts an image in the place of another removes that.
    fn needs(&self) -> Vec<Need> {
        changing(&self.image.name, self.replace)
    }
}

/// What registering an image needs.
pub(super) fn changing(image: &str, replace: Option<bool>) -> Vec<Need> {
    changing_of(Resource::named("image", image), replace)
}

/// What registering something needs: `delete` too, where it may replace what is there.
pub(super) fn changing_of(on: Resource, replace: Option<bool>) -> Vec<Need> {
    let removes = replace.unwrap_or(false).then_some(Right::Delete);
    let rights = [Some(Right::Write), removes].into_iter().flatten();
    rights.map(|right| Need { right, on: on.clone() }).collect()
}

crate::field::carries_texts! {
    ToolGroup {}
    PackageFile { text }
    Image { prompt, planner, context, generated, seed }
    Images { images }
}

service! {
    /// Images: what a process is made from. Nothing in an image grants anything.
    service image = 7;
    failures {
        /// No image of this name is registered.
        1 "not_found" NotFound;
        /// An image of this name is registered already.
        2 "exists" Exists;
        /// The image is malformed.
        3 "bad_image" BadImage;
        /// The image is built in.
        4 "built_in" BuiltIn;
    }

    /// Lists the images.
    1 list List {} -> Images
    { demand: [Read on image by |_| Resource::named("image", "all")]; effect: State; fails: []; }

    /// Shows an image.
    2 inspect Inspect {
        /// Its name.
        image: String,
    } -> Image as Arc
    { demand: [Read on image by |c| Resource::named("image", &c.image)]; effect: State;
      fails: [NotFound]; }

    /// Registers an image. To replace one needs `delete` on it as well. Only the host registers one
    /// with generated tools or with files for a workspace.
    3 register Register as Box {
        /// The image.
        image: Image,
        /// Whether it may replace one of the same name.
        replace: Option<bool>,
    } -> Image as Arc
    { demand: [Write on image by |c| c.needs()]; effect: State;
      fails: [Exists BadImage BuiltIn]; }

    /// Removes an image. Processes made from it go on, but have no tools any more.
    4 unregister Unregister {
        /// Its name.
        image: String,
    } -> Image as Arc
    { demand: [Delete on image by |c| Resource::named("image", &c.image)]; effect: State;
      fails: [NotFound BuiltIn]; }

    /// Shows the image that the caller was made from.
    5 own Own {} -> Image as Arc
    { demand: [own]; effect: State; fails: [NotFound]; }

    /// Registers the image of a process of a checkpoint. The generated tools that the process had
    /// registered go into it.
    32 commit CommitImage as Box {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The process.
        of: Pid,
        /// The image.
        image: Image,
        /// Whether it may replace one of the same name.
        replace: Option<bool>,
    } -> Image as Arc
    { demand: [kernel]; effect: State; fails: [Exists BadImage BuiltIn]; }
}
