//! Images: what a process is made from.

use super::process::PlannerSpec;
use crate::{CheckpointId, GrantSpec, Pid, Resource, Text, call::service};

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

    /// An image: a declaration, which grants nothing.
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
}

crate::field::carries_texts! {
    ToolGroup {}
    Image { prompt, planner }
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

    /// Registers an image.
    3 register Register as Box {
        /// The image.
        image: Image,
        /// Whether it may replace one of the same name.
        replace: Option<bool>,
    } -> Image as Arc
    { demand: [Write on image by |c| Resource::named("image", &c.image.name)]; effect: State;
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

    /// Registers the image of a process of a checkpoint. Generated tools go into it: those of the
    /// image that the process was made from, and those it had registered itself.
    32 commit CommitImage as Box {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The process.
        of: Pid,
        /// The image that it was made from.
        base: String,
        /// The image.
        image: Image,
        /// Whether it may replace one of the same name.
        replace: Option<bool>,
    } -> Image as Arc
    { demand: [kernel]; effect: State; fails: [Exists BadImage BuiltIn]; }
}
