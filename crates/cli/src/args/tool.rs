//! What is typed about tools that agents write.

use std::path::PathBuf;

use agent_libos::abi::{Pattern, Pid};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// List the tools that processes wrote, and how far each has come.
    Ls {
        /// Only those of this process.
        pid: Option<Pid>,
    },
    /// Show a tool: its needs, its source, what its validation came to.
    #[command(after_help = "Examples:
  libos tool show p1/count_lines          the tool of a process
  libos tool show p1/count_lines --json   everything it was proposed with")]
    Show {
        /// The tool, as in p1/count_lines.
        tool: Owned,
    },
    /// Compile a tool and run its tests. No call of it reaches anything.
    #[command(after_help = "Examples:
  libos tool test count_lines.toml        a tool file, before an agent gets it
  libos tool test p1/count_lines          the tool of a process
It ends with 1 if the tool does not compile or a test fails.")]
    Test {
        /// A tool file, or a tool as in p1/count_lines.
        tool: Tested,
    },
    /// Launch a task that registers a tool and calls it once.
    Run(ToolRunArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos tool run count_lines.toml --args '{\"path\": \"a.txt\"}' --read 'fs:workspace/*'
  libos tool run tidy.toml --workspace project --read 'fs:workspace/*' --write 'fs:workspace/out/*'
The tool may do what is granted here and what it declares, not more.")]
pub(crate) struct ToolRunArgs {
    /// The tool file.
    pub(crate) file: PathBuf,
    /// Its arguments, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) args: String,
    /// The folder mounted as fs:workspace.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) workspace: PathBuf,
    /// Grant the right to read.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) read: Vec<Pattern>,
    /// Grant the right to write.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) write: Vec<Pattern>,
    /// Grant the right to execute.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) execute: Vec<Pattern>,
}

/// A tool of a process.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) pid: Pid,
    pub(crate) name: String,
}

impl std::str::FromStr for Owned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let owned = text
            .split_once('/')
            .and_then(|(pid, name)| Some(Self { pid: pid.parse().ok()?, name: name.to_owned() }));
        owned.ok_or_else(|| format!("`{text}` is no tool of a process; write one as p1/name"))
    }
}

/// What is tested.
#[derive(Debug, Clone)]
pub(crate) enum Tested {
    Owned(Owned),
    File(PathBuf),
}

impl std::str::FromStr for Tested {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Owned))
    }
}
