//! Task files: what a host writes down to launch a task.
//!
//! A closed document: an unknown key is refused with its line. Its JSON schema is published as
//! `docs/task.schema.json`.

use std::path::{Path, PathBuf};

use libos_abi::{
    GrantSpec, Manifest,
    process::{Budget, Launch, PlannerSpec, Schedule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::package::{self, Built};

/// A task file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no valid document.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
}

/// A task file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskFile {
    /// What is to be done, and where.
    pub task: Task,
    /// Limits of the task as a whole.
    #[serde(default)]
    pub budget: Budget,
    /// What bounds the task, whatever it is granted later.
    pub manifest: Option<Manifest>,
    /// What the scheduling policy is told.
    pub schedule: Option<Schedule>,
    /// What it may do. Nothing is granted that is not written here.
    #[serde(default)]
    pub grant: Vec<GrantSpec>,
    /// Who plans.
    pub planner: Planner,
}

/// What is to be done, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What the task is to achieve.
    pub goal: String,
    /// The image: a name, or the path of an `image.toml` or of a built image, relative to this
    /// file. Files that an `image.toml` names are beside it.
    #[serde(default = "base")]
    pub image: String,
    /// The folder mounted as `fs:workspace`, relative to this file.
    #[serde(default = "here")]
    pub workspace: PathBuf,
}

fn base() -> String {
    "base".into()
}

fn here() -> PathBuf {
    ".".into()
}

/// Who plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Planner {
    /// A plan in a file, one step a line.
    Script {
        /// The plan, relative to this file.
        script: PathBuf,
    },
    /// One tool call as a process.
    Workflow {
        /// The tool.
        tool: String,
        /// Its arguments.
        #[serde(default)]
        args: serde_json::Value,
    },
    /// A model decides what is done next.
    Model(Model),
}

/// A model as a planner. The task needs `execute` on `llm:PROFILE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The profile; `main` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How many answers it may give; 200 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns_max: Option<u32>,
    /// How many tokens an answer may have; what the profile says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_max: Option<u32>,
    /// Whether it is told of the skills of the host. To take one up needs `execute` on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skills: bool,
    /// Files that it is shown at the beginning, as data and as far as the task may read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guides: Vec<String>,
    /// What a call says of the conversation when not all of it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ModelContext>,
}

/// What a call of a model says of its conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelContext {
    /// What stays when not all of it fits; `recency` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<ContextPolicy>,
    /// How many tokens may be said, tools included; as many as the model takes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_max: Option<u64>,
    /// Whether what is left out is summarized by a child, which takes `write` on `process:spawn`;
    /// false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact: Option<bool>,
}

/// What of a conversation stays when not all of it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContextPolicy {
    /// What was said last.
    Recency,
    /// Results that the model has come back to.
    Evidence,
    /// What the model said itself.
    Plan,
    /// Calls that failed, and what came before them.
    Error,
}

impl Model {
    /// What a process is made with that it plans for.
    #[must_use]
    pub fn planner(&self) -> PlannerSpec {
        let program = serde_json::json!(self).to_string();
        PlannerSpec { kind: "model".into(), program: program.into() }
    }
}

/// A task ready to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The call that launches it.
    pub launch: Launch,
    /// The image to register first, when the task brings its own.
    pub image: Option<Built>,
}

/// Reads a task file and everything it names.
///
/// # Errors
/// [`TaskError`], which names the file and the line.
pub fn load(path: &Path) -> Result<Loaded, TaskError> {
    let file = parse(path, &read(path)?)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let workspace = self::workspace(&folder.join(&file.task.workspace))?;
    let planner = planner(folder, &file.planner)?;
    let beside = folder.join(&file.task.image);
    let image = match file.task.image.ends_with(".toml") || file.task.image.ends_with(".json") {
        false => None,
        true => Some(package::load(&beside)?),
    };
    let launch = Launch {
        image: image.as_ref().map_or(file.task.image, |built| built.image.name.clone()),
        goal: file.task.goal.into(),
        workspace: Some(workspace),
        planner,
        grants: file.grant,
        budget: file.budget,
        manifest: file.manifest,
        schedule: file.schedule,
    };
    Ok(Loaded { launch, image })
}

/// The path of a folder that is to be mounted.
///
/// # Errors
/// [`TaskError`] when it is none, or cannot be named.
pub fn workspace(path: &Path) -> Result<String, TaskError> {
    let workspace =
        path.canonicalize().map_err(|source| TaskError::Read { path: path.to_owned(), source })?;
    if !workspace.is_dir() {
        return Err(invalid(&workspace, "the workspace is no folder"));
    }
    let named = workspace.into_os_string().into_string();
    named.map_err(|path| invalid(Path::new(&path), "the workspace's path is not UTF-8"))
}

/// Reads the text of a task file.
///
/// # Errors
/// [`TaskError::Invalid`] with the line.
pub fn parse(path: &Path, text: &str) -> Result<TaskFile, TaskError> {
    toml::from_str(text).map_err(|error| invalid(path, error.to_string()))
}

fn planner(folder: &Path, planner: &Planner) -> Result<PlannerSpec, TaskError> {
    match planner {
        Planner::Script { script } => plan(&folder.join(script)),
        Planner::Workflow { tool, args } => {
            let program = serde_json::json!({ "tool": tool, "args": args }).to_string();
            Ok(PlannerSpec { kind: "workflow".into(), program: program.into() })
        }
        Planner::Model(model) => Ok(model.planner()),
    }
}

/// Reads a plan, with the scripts that it starts.
///
/// # Errors
/// [`TaskError`], which names the file and the line.
pub fn plan(path: &Path) -> Result<PlannerSpec, TaskError> {
    let text = read(path)?;
    let beside = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut resolve =
        |name: &str| std::fs::read_to_string(beside.join(name)).map_err(|error| error.to_string());
    let program = libos_planner::load(&text, &mut resolve)
        .map_err(|error| invalid(path, error.to_string()))?;
    Ok(PlannerSpec { kind: "script".into(), program: program.into() })
}

fn read(path: &Path) -> Result<String, TaskError> {
    std::fs::read_to_string(path)
        .map_err(|source| TaskError::Read { path: path.to_owned(), source })
}

pub(crate) fn invalid(path: &Path, message: impl Into<String>) -> TaskError {
    TaskError::Invalid { path: path.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_brings_its_image_with_the_files_that_it_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let image = "name = \"reviewer\"\nversion = \"1\"\nprompt_file = \"main.md\"\n";
        std::fs::write(dir.path().join("image.toml"), image).expect("written");
        std::fs::write(dir.path().join("main.md"), "Look closely.").expect("written");
        let task = "[task]\ngoal = \"g\"\nimage = \"image.toml\"\n\
                    [planner]\nkind = \"workflow\"\ntool = \"get_time\"\n";
        std::fs::write(dir.path().join("task.toml"), task).expect("written");
        let loaded = load(&dir.path().join("task.toml")).expect("a task");
        assert_eq!(loaded.launch.image, "reviewer");
        let prompt = loaded.image.expect("it brings one").image.prompt;
        assert_eq!(prompt.as_str(), Some("Look closely."));
    }
}
