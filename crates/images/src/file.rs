//! `image.toml`: an image as people write it.

use libos_abi::{GrantSpec, Text, image::Image, process::PlannerSpec};
use serde::Deserialize;

use crate::core::{self, Limits};

/// A text that is no image.
#[derive(Debug, thiserror::Error)]
pub enum BadImageFile {
    /// It is no TOML, has a key that images have not, lacks one, or has one of another type. The
    /// message names the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// It is over a limit or names something badly.
    #[error("the image is malformed: {0}")]
    Malformed(String),
}

/// The keys of the file. Apart from [`Image`], whose planner takes unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    prompt: Text,
    #[serde(default)]
    tools: Vec<String>,
    planner: Option<Planner>,
    #[serde(default)]
    required_capabilities: Vec<GrantSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planner {
    kind: String,
    program: Text,
}

/// Reads an `image.toml`. The image is well formed: registering it fails only if its name is
/// taken. What it says it needs is shown to people and never granted.
///
/// ```
/// let image = libos_images::parse_image(r#"
///     name = "reviewer"
///     version = "1"
///     tools = ["read_file", "list_folder"]
///
///     [[required_capabilities]]
///     on = "fs:workspace/*"
///     rights = ["read"]
/// "#)?;
/// assert_eq!(image.tools, ["read_file", "list_folder"]);
/// # Ok::<_, libos_images::BadImageFile>(())
/// ```
///
/// # Errors
/// [`BadImageFile`].
pub fn parse_image(toml_text: &str) -> Result<Image, BadImageFile> {
    let file: File = toml::from_str(toml_text)?;
    let image = Image {
        name: file.name,
        version: file.version,
        description: file.description,
        prompt: file.prompt,
        tools: file.tools,
        planner: file
            .planner
            .map(|planner| PlannerSpec { kind: planner.kind, program: planner.program }),
        required_capabilities: file.required_capabilities,
    };
    core::check(&image, &Limits::default()).map_err(BadImageFile::Malformed)?;
    Ok(image)
}
