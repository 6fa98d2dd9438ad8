//! `SKILL.md`: a skill as the ecosystem writes it, with YAML in front.

use libos_abi::{Json, skill::Skill};
use serde::Deserialize;

use crate::{
    core::{self, Limits},
    package::{BadPackage, Folder, files_of, text_of},
};

/// The file of a package that describes the skill.
pub const SKILL_FILE_NAME: &str = "SKILL.md";

/// What other systems call the tools of this one.
const ELSEWHERE: &[(&str, &str)] = &[
    ("Bash", "run_command"),
    ("Edit", "edit_file"),
    ("Glob", "find_files"),
    ("Grep", "search_files"),
    ("LS", "list_folder"),
    ("Read", "read_file"),
    ("WebFetch", "http_get"),
    ("Write", "write_file"),
];

/// The keys in front. What else stands there means nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Front {
    name: String,
    description: String,
    license: Option<String>,
    compatibility: Option<String>,
    allowed_tools: Option<Tools>,
    metadata: Option<serde_json::Value>,
}

/// Tools in one line, or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tools {
    Line(String),
    List(Vec<String>),
}

/// Reads the package of a skill: a folder with a [`SKILL_FILE_NAME`] and the files beside it.
///
/// # Errors
/// [`BadPackage`].
pub fn load_skill(folder: &mut dyn Folder) -> Result<Skill, BadPackage> {
    let limits = Limits::default();
    let malformed = |why: String| BadPackage::malformed(SKILL_FILE_NAME, why);
    let text = text_of(folder, SKILL_FILE_NAME, limits.skill_file_bytes_max)?;
    let (front, body) = parts(&text).ok_or_else(|| {
        malformed("it begins with a line `---`, then YAML, then a line `---`".into())
    })?;
    let front: Front =
        serde_saphyr::from_str(front).map_err(|error| malformed(error.to_string()))?;
    let mut files = files_of(folder, "", &limits)?;
    files.retain(|file| file.path != SKILL_FILE_NAME);
    let skill = Skill {
        name: front.name,
        description: front.description,
        license: front.license,
        compatibility: front.compatibility,
        allowed_tools: front.allowed_tools.map(|tools| names(&tools)),
        metadata: front.metadata.as_ref().map(Json::from),
        text: body.into(),
        files,
    };
    check_skill(&skill)?;
    Ok(skill)
}

/// That a skill is well formed, as registering it would find.
///
/// # Errors
/// [`BadPackage::Malformed`].
pub fn check_skill(skill: &Skill) -> Result<(), BadPackage> {
    core::check_skill(skill, &Limits::default())
        .map_err(|flaw| BadPackage::malformed(SKILL_FILE_NAME, flaw))
}

/// What stands in front, and the rest.
fn parts(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches('\u{feff}');
    let rest = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n"))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&rest[..at], rest[at + line.len()..].trim_start_matches(['\r', '\n'])));
        }
        at += line.len();
    }
    None
}

/// The tools by their names here. One with a pattern of arguments, as in `Bash(git:*)`, stays as
/// it is and so names none: a pattern is not enforced, and less is allowed rather than more.
fn names(tools: &Tools) -> Vec<String> {
    let words = match tools {
        Tools::Line(line) => words(line),
        Tools::List(list) => list.iter().map(|word| word.trim().to_owned()).collect(),
    };
    let here = |word: String| match ELSEWHERE.iter().find(|(there, _)| *there == word) {
        Some((_, here)) => (*here).to_owned(),
        None => word,
    };
    words.into_iter().map(here).collect()
}

/// Words with spaces or commas between them; what stands in brackets is not taken apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut open = 0_usize;
    for c in line.chars() {
        match c {
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
        match words.last_mut() {
            Some(word) if open > 0 || !(c == ',' || c.is_whitespace()) => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
