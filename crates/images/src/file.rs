//! `image.toml`: an image as people write it, alone or in a folder with the files that it names.
//!
//! Pure: whoever calls reads the files. No name that is handed out leads out of the folder.

use libos_abi::{
    GrantSpec, Text,
    image::{Image, ToolGroup},
    process::PlannerSpec,
};
use serde::Deserialize;

use crate::core::{self, Limits};

/// The file of a package that describes the image.
pub const IMAGE_FILE_NAME: &str = "image.toml";

/// A text or a package that is no image.
#[derive(Debug, thiserror::Error)]
pub enum BadImageFile {
    /// It is no TOML, has a key that images have not, lacks one, or has one of another type. The
    /// message names the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// It is over a limit or names something badly.
    #[error("the image is malformed: {0}")]
    Malformed(String),
    /// A text is given in place and in a file.
    #[error("`{key}` and `{key}_file` say the same: keep one of them")]
    Both {
        /// The key of the text in place.
        key: &'static str,
    },
    /// A file's name is absolute, leads upwards, or is no plain name.
    #[error("`{file}` is no file of the package: write a name relative to {IMAGE_FILE_NAME}")]
    BadFileName {
        /// The name as it was written.
        file: String,
    },
    /// A file could not be read.
    #[error("`{file}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A file is over its limit.
    #[error("`{file}` has {bytes} bytes; at most {bytes_max} may be")]
    TooLarge {
        /// The file.
        file: String,
        /// Its length.
        bytes: u64,
        /// Its limit.
        bytes_max: u64,
    },
}

/// The keys of the file. Apart from [`Image`], whose planner takes unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    prompt: Option<String>,
    prompt_file: Option<String>,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    tool_groups: Vec<ToolGroup>,
    planner: Option<Planner>,
    #[serde(default)]
    required_capabilities: Vec<GrantSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planner {
    kind: String,
    program: Option<String>,
    program_file: Option<String>,
}

/// Reads an `image.toml` that names no other files. The image is well formed: registering it fails
/// only if its name is taken. What it says it needs is shown to people and never granted.
///
/// ```
/// let image = libos_images::parse_image(r#"
///     name = "reviewer"
///     version = "1"
///     tools = ["read_file", "list_folder"]
///
///     [[tool_groups]]
///     name = "memory"
///     tools = ["create_object"]
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
    let limits = Limits::default();
    check_bytes(IMAGE_FILE_NAME, toml_text, limits.image_file_bytes_max)?;
    parse(toml_text, &limits, &mut |_, _| Err("the image was given without its folder".into()))
}

/// Reads a package: a folder with an [`IMAGE_FILE_NAME`], whose `prompt_file` and
/// `planner.program_file` name files in the same folder or below it. `read` gives the text of a
/// file by its name there, which may have so many bytes at most; it must follow no symbolic link
/// out of the folder. At most three files are read.
///
/// ```
/// let mut read = |file: &str, _bytes_max: u64| match file {
///     "image.toml" => {
///         Ok("name = 'reviewer'\nversion = '1'\nprompt_file = 'prompts/main.md'".to_owned())
///     }
///     "prompts/main.md" => Ok("Look closely.".to_owned()),
///     _ => Err("it is not there".to_owned()),
/// };
/// let image = libos_images::load_package(&mut read)?;
/// assert_eq!(image.prompt.as_str(), Some("Look closely."));
/// # Ok::<_, libos_images::BadImageFile>(())
/// ```
///
/// # Errors
/// [`BadImageFile`].
pub fn load_package(read: &mut ReadFile<'_>) -> Result<Image, BadImageFile> {
    let limits = Limits::default();
    let text = file_text(IMAGE_FILE_NAME, limits.image_file_bytes_max, read)?;
    parse(&text, &limits, read)
}

/// What gives the text of a file by its name and the most bytes that it may have.
type ReadFile<'a> = dyn FnMut(&str, u64) -> Result<String, String> + 'a;

fn parse(text: &str, limits: &Limits, read: &mut ReadFile<'_>) -> Result<Image, BadImageFile> {
    let file: File = toml::from_str(text)?;
    let prompt =
        in_place_or_file("prompt", file.prompt, file.prompt_file, limits.prompt_bytes_max, read)?;
    let planner = match file.planner {
        None => None,
        Some(Planner { kind, program, program_file }) => {
            let bytes_max = limits.program_bytes_max;
            let program = in_place_or_file("program", program, program_file, bytes_max, read)?;
            Some(PlannerSpec { kind: kind.into(), program: program.unwrap_or_default() })
        }
    };
    let image = Image {
        name: file.name,
        version: file.version,
        description: file.description,
        prompt: prompt.unwrap_or_default(),
        tools: file.tools,
        planner,
        required_capabilities: file.required_capabilities,
        tool_groups: file.tool_groups,
    };
    core::check(&image, limits).map_err(BadImageFile::Malformed)?;
    Ok(image)
}

fn in_place_or_file(
    key: &'static str,
    text: Option<String>,
    file: Option<String>,
    bytes_max: u64,
    read: &mut ReadFile<'_>,
) -> Result<Option<Text>, BadImageFile> {
    match (text, file) {
        (Some(_), Some(_)) => Err(BadImageFile::Both { key }),
        (None, Some(file)) => {
            check_file_name(&file)?;
            file_text(&file, bytes_max, read).map(|text| Some(text.into()))
        }
        (text, None) => Ok(text.map(Text::from)),
    }
}

fn file_text(file: &str, bytes_max: u64, read: &mut ReadFile<'_>) -> Result<String, BadImageFile> {
    let text = read(file, bytes_max)
        .map_err(|why| BadImageFile::Unreadable { file: file.to_owned(), why })?;
    check_bytes(file, &text, bytes_max)?;
    Ok(text)
}

fn check_bytes(file: &str, text: &str, bytes_max: u64) -> Result<(), BadImageFile> {
    let bytes = text.len() as u64;
    match bytes <= bytes_max {
        true => Ok(()),
        false => Err(BadImageFile::TooLarge { file: file.to_owned(), bytes, bytes_max }),
    }
}

/// Names of letters, digits, `-`, `_` and `.` with `/` between them, none of which begins with a
/// dot: no way leads up or out, and nothing hidden is named.
fn check_file_name(file: &str) -> Result<(), BadImageFile> {
    let is_plain = |part: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_part)
    };
    match file.len() <= 255 && file.split('/').all(is_plain) {
        true => Ok(()),
        false => Err(BadImageFile::BadFileName { file: file.to_owned() }),
    }
}
