//! Tool files: a generated tool as people write it.
//!
//! A closed document in TOML. The source stands in it, or in a file beside it.

use libos_abi::{
    Json, Text,
    tool::{Definition, Language, ToolLimits, ToolNeed, ToolTest},
};
use serde::Deserialize;

use crate::{
    core::Limits,
    package::{BadPackage, Folder, check_file_name, text_of},
};

/// The keys of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    description: String,
    language: Language,
    source: Option<String>,
    source_file: Option<String>,
    input: Json,
    output: Option<Json>,
    #[serde(default, rename = "need")]
    needs: Vec<ToolNeed>,
    limits: Option<ToolLimits>,
    #[serde(default, rename = "test")]
    tests: Vec<ToolTest>,
}

/// Reads a tool file of a folder and the source that it names beside it.
///
/// # Errors
/// [`BadPackage`], which names the file and what is wrong.
pub fn load_tool(folder: &mut dyn Folder, name: &str) -> Result<Definition, BadPackage> {
    let limits = Limits::default();
    let text = text_of(folder, name, limits.source_bytes_max)?;
    let file: File =
        toml::from_str(&text).map_err(|error| BadPackage::Toml { file: name.to_owned(), error })?;
    let source = match (file.source, file.source_file) {
        (Some(source), None) => source,
        (None, Some(source)) => {
            check_file_name(&source)?;
            let beside = name.rsplit_once('/').map_or(String::new(), |(at, _)| format!("{at}/"));
            text_of(folder, &format!("{beside}{source}"), limits.source_bytes_max)?
        }
        _ => return Err(BadPackage::malformed(name, "write one of `source` and `source_file`")),
    };
    Ok(Definition {
        name: file.name,
        description: file.description,
        language: file.language,
        source: Text::from(source),
        input: file.input,
        output: file.output,
        needs: file.needs,
        limits: file.limits,
        tests: file.tests,
    })
}
