//! `image.toml`: an image as people write it, alone or in a folder with the files that it names.

use libos_abi::{
    GrantSpec, Json, Text,
    image::{Image, ToolGroup},
    process::{Budget, PlannerSpec},
    skill::{Skill, SkillPin},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    core::{self, Limits},
    package::{BadPackage, Folder, Within, check_bytes, check_file_name, files_of, text_of},
    skill_file::load_skill,
    tool_file::load_tool,
};

/// The file of a package that describes the image.
pub const IMAGE_FILE_NAME: &str = "image.toml";

/// The planner that takes a context policy.
const MODEL: &str = "model";

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
    context: Option<Value>,
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    required_capabilities: Vec<GrantSpec>,
    /// Tool files.
    #[serde(default)]
    generated: Vec<String>,
    /// A folder.
    seed: Option<String>,
    /// Folders, each with a skill.
    #[serde(default)]
    skills: Vec<String>,
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
///     [budget]
///     tokens = 200000
///
///     [[required_capabilities]]
///     on = "fs:workspace/*"
///     rights = ["read"]
/// "#)?;
/// assert_eq!(image.tools, ["read_file", "list_folder"]);
/// # Ok::<_, libos_images::BadPackage>(())
/// ```
///
/// # Errors
/// [`BadPackage`].
pub fn parse_image(toml_text: &str) -> Result<Image, BadPackage> {
    let limits = Limits::default();
    check_bytes(IMAGE_FILE_NAME, toml_text.len() as u64, limits.image_file_bytes_max)?;
    parse((IMAGE_FILE_NAME, toml_text), &limits, &mut NoFolder).map(|package| package.image)
}

/// The folder of an image that was given without one.
struct NoFolder;

impl Folder for NoFolder {
    fn read(&mut self, _: &str, _: u64) -> Result<Vec<u8>, String> {
        Err("the image was given without its folder".into())
    }

    fn files(&mut self, _: &str, _: usize) -> Result<Vec<String>, String> {
        Err("the image was given without its folder".into())
    }
}

/// An image with the skills that its package brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The image; it names each skill with its digest.
    pub image: Image,
    /// The skills.
    pub skills: Vec<Skill>,
}

/// Reads a package: a folder with a file like [`IMAGE_FILE_NAME`] and the files that it names. A
/// tool that is named by its file only is put into the table.
///
/// # Errors
/// [`BadPackage`].
pub fn load_package(folder: &mut dyn Folder, file: &str) -> Result<Package, BadPackage> {
    let limits = Limits::default();
    let text = text_of(folder, file, limits.image_file_bytes_max)?;
    parse((file, &text), &limits, folder)
}

/// A program of the planner `model` with the context policy of an image, as far as it does not say
/// otherwise itself.
///
/// # Errors
/// Why the program is none, in words.
pub fn with_context(program: &str, context: &Value) -> Result<String, String> {
    let mut program: Map<String, Value> = match program.trim() {
        "" => Map::new(),
        program => serde_json::from_str(program)
            .map_err(|error| format!("the program of the model is no JSON object: {error}"))?,
    };
    match (program.get_mut("context"), context) {
        (None, _) => drop(program.insert("context".into(), context.clone())),
        (Some(Value::Object(own)), Value::Object(context)) => {
            for (key, value) in context {
                own.entry(key).or_insert_with(|| value.clone());
            }
        }
        (Some(_), _) => {}
    }
    Ok(Value::Object(program).to_string())
}

/// That an image is well formed, as registering it would find.
///
/// # Errors
/// [`BadPackage::Malformed`].
pub fn check_image(image: &Image) -> Result<(), BadPackage> {
    core::check(image, &Limits::default()).map_err(|flaw| BadPackage::malformed("the image", flaw))
}

fn parse(
    (name, text): (&str, &str),
    limits: &Limits,
    folder: &mut dyn Folder,
) -> Result<Package, BadPackage> {
    let of_file = |error| BadPackage::Toml { file: name.to_owned(), error };
    let file: File = toml::from_str(text).map_err(of_file)?;
    let prompt = (file.prompt, file.prompt_file);
    let prompt = in_place_or_file("prompt", prompt, limits.prompt_bytes_max, folder)?;
    let planner = match file.planner {
        None => None,
        Some(Planner { kind, program, program_file }) => {
            let program = (program, program_file);
            let program = in_place_or_file("program", program, limits.program_bytes_max, folder)?;
            Some(PlannerSpec { kind: kind.into(), program: program.unwrap_or_default() })
        }
    };
    let planner = match (planner, &file.context) {
        (Some(planner), Some(context)) if &*planner.kind == MODEL => {
            let program = with_context(planner.program.as_str().unwrap_or_default(), context);
            let program = program.map_err(|why| BadPackage::malformed(name, why))?;
            Some(PlannerSpec { program: program.into(), ..planner })
        }
        (planner, _) => planner,
    };
    let mut generated = Vec::with_capacity(file.generated.len());
    for tool in &file.generated {
        check_file_name(tool)?;
        generated.push(load_tool(folder, tool)?);
    }
    let seed = match &file.seed {
        None => Vec::new(),
        Some(of) => {
            check_file_name(of)?;
            files_of(folder, of, limits)?
        }
    };
    let mut skills = Vec::with_capacity(file.skills.len());
    for at in &file.skills {
        check_file_name(at)?;
        skills.push(load_skill(&mut Within { folder: &mut *folder, at: at.clone() })?);
    }
    let pin = |skill: &Skill| SkillPin { name: skill.name.clone(), digest: skill.digest() };
    let mut image = Image {
        name: file.name,
        version: file.version,
        description: file.description,
        prompt: prompt.unwrap_or_default(),
        tools: file.tools,
        planner,
        required_capabilities: file.required_capabilities,
        tool_groups: file.tool_groups,
        budget: file.budget,
        context: file.context.as_ref().map(Json::from),
        generated: Vec::new(),
        seed,
        skills: skills.iter().map(pin).collect(),
    };
    let named = generated.iter().map(|tool| &tool.name).filter(|name| !image.has_tool(name));
    let named: Vec<String> = named.cloned().collect();
    image.tools.extend(named);
    image.generated = generated;
    check_image(&image)?;
    Ok(Package { image, skills })
}

fn in_place_or_file(
    key: &'static str,
    text_or_file: (Option<String>, Option<String>),
    bytes_max: u64,
    folder: &mut dyn Folder,
) -> Result<Option<Text>, BadPackage> {
    match text_or_file {
        (Some(_), Some(_)) => Err(BadPackage::Both { key }),
        (None, Some(file)) => {
            check_file_name(&file)?;
            text_of(folder, &file, bytes_max).map(|text| Some(text.into()))
        }
        (text, None) => Ok(text.map(Text::from)),
    }
}
