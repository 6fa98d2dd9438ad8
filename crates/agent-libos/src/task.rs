//! Task files: what a host writes down to launch a task.
//!
//! A closed document: an unknown key is refused with its line. Its JSON schema is published as
//! `docs/task.schema.json`.

use std::path::{Path, PathBuf};

use libos_abi::{
    GrantSpec, Manifest,
    image::Image,
    process::{Budget, Launch, PlannerSpec, Schedule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The image: a built-in name, or the path of an `image.toml` relative to this file.
    #[serde(default = "base_agent")]
    pub image: String,
    /// The folder mounted as `fs:workspace`, relative to this file.
    #[serde(default = "here")]
    pub workspace: PathBuf,
}

fn base_agent() -> String {
    "base-agent".into()
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
}

/// A task ready to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The call that launches it.
    pub launch: Launch,
    /// The image to register first, when the task brings its own.
    pub image: Option<Image>,
}

/// Reads a task file and everything it names.
///
/// # Errors
/// [`TaskError`], which names the file and the line.
pub fn load(path: &Path) -> Result<Loaded, TaskError> {
    let file = parse(path, &read(path)?)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let workspace = folder.join(&file.task.workspace);
    let workspace = workspace
        .canonicalize()
        .map_err(|source| TaskError::Read { path: workspace.clone(), source })?;
    if !workspace.is_dir() {
        return Err(invalid(&workspace, "the workspace is no folder"));
    }
    let workspace = workspace
        .into_os_string()
        .into_string()
        .map_err(|path| invalid(Path::new(&path), "the workspace's path is not UTF-8"))?;
    let planner = planner(folder, &file.planner)?;
    let image = match file.task.image.strip_suffix(".toml") {
        None => None,
        Some(_) => {
            let path = folder.join(&file.task.image);
            let parsed = libos_images::parse_image(&read(&path)?);
            Some(parsed.map_err(|error| invalid(&path, error.to_string()))?)
        }
    };
    let launch = Launch {
        image: image.as_ref().map_or(file.task.image, |image| image.name.clone()),
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

/// Reads the text of a task file.
///
/// # Errors
/// [`TaskError::Invalid`] with the line.
pub fn parse(path: &Path, text: &str) -> Result<TaskFile, TaskError> {
    toml::from_str(text).map_err(|error| invalid(path, error.to_string()))
}

fn planner(folder: &Path, planner: &Planner) -> Result<PlannerSpec, TaskError> {
    match planner {
        Planner::Script { script } => {
            let path = folder.join(script);
            let text = read(&path)?;
            let beside = path.parent().unwrap_or(folder).to_owned();
            let mut resolve = |name: &str| {
                std::fs::read_to_string(beside.join(name)).map_err(|error| error.to_string())
            };
            let program = libos_planner::load(&text, &mut resolve)
                .map_err(|error| invalid(&path, error.to_string()))?;
            Ok(PlannerSpec { kind: "script".into(), program: program.into() })
        }
        Planner::Workflow { tool, args } => {
            let program = serde_json::json!({ "tool": tool, "args": args }).to_string();
            Ok(PlannerSpec { kind: "workflow".into(), program: program.into() })
        }
    }
}

fn read(path: &Path) -> Result<String, TaskError> {
    std::fs::read_to_string(path)
        .map_err(|source| TaskError::Read { path: path.to_owned(), source })
}

fn invalid(path: &Path, message: impl Into<String>) -> TaskError {
    TaskError::Invalid { path: path.to_owned(), message: message.into() }
}
