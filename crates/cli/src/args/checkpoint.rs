//! What is typed about checkpoints.

use agent_libos::abi::{CheckpointId, Digest, Pid};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Keep the state of a process and all below it.
    #[command(after_help = "Examples:
  libos checkpoint create p1
  libos checkpoint create p1 --reason \"before the big change\"")]
    Create {
        /// The process, as in p1.
        pid: Pid,
        /// What it is for; shown in lists.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List checkpoints.
    Ls {
        /// Only those of this process.
        pid: Option<Pid>,
    },
    /// Show a checkpoint.
    Show {
        /// The checkpoint, as in ckpt-1.1.
        checkpoint: CheckpointId,
    },
    /// Tell what is not as it was: processes, objects, capabilities, files.
    Diff {
        /// The checkpoint, as in ckpt-1.1.
        checkpoint: CheckpointId,
    },
    /// Make new processes as those of a checkpoint were.
    #[command(after_help = "Examples:
  libos checkpoint fork ckpt-1.1               a task of its own, beside the one there is
  libos checkpoint fork ckpt-1.1 --parent p1   below another process")]
    Fork {
        /// The checkpoint, as in ckpt-1.1.
        checkpoint: CheckpointId,
        /// The process to be the parent; without one it is a task of its own.
        #[arg(long)]
        parent: Option<Pid>,
    },
    /// Come back to a checkpoint: show what that undoes, or do it.
    #[command(after_help = "Examples:
  libos checkpoint restore ckpt-1.1                  show what would be undone, and the token
  libos checkpoint restore ckpt-1.1 --token 3f9a...  do exactly that

What goes on changes what would be undone: hold it first with `libos signal PID pause`, and let it
go on afterwards with `libos signal PID resume`. Files of the
workspace that the processes changed are put back after that; a file that is not what their last
change left is told and left alone, unless --force says otherwise.")]
    Restore {
        /// The checkpoint, as in ckpt-1.1.
        checkpoint: CheckpointId,
        /// What was shown: does that and nothing else.
        #[arg(long)]
        token: Option<Digest>,
        /// Do at once what would be shown.
        #[arg(long, conflicts_with = "token")]
        yes: bool,
        /// Put files back even where someone else has changed them since.
        #[arg(long)]
        force: bool,
    },
    /// Register an image of a checkpoint. It grants nothing.
    Commit {
        /// The checkpoint, as in ckpt-1.1.
        checkpoint: CheckpointId,
        /// The image's name.
        image: String,
        /// Its version.
        #[arg(long = "as-version", value_name = "VERSION")]
        version: Option<String>,
        /// Replace the image of the same name.
        #[arg(long)]
        replace: bool,
    },
    /// Drop a checkpoint and all that is kept for it.
    Drop {
        /// The checkpoint, as in ckpt-1.1.
        checkpoint: CheckpointId,
    },
}
