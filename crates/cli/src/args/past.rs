//! What is typed about what was: replays, past states, and policies tried on the record.

use std::path::PathBuf;

use agent_libos::abi::{OpId, Pid, Seq};
use clap::{Args, Subcommand};

/// A moment of the past to look at.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct At {
    /// Show what was right after this record instead of what is, as in 17.
    #[arg(long, value_name = "SEQ", value_parser = record)]
    pub(crate) at: Option<Seq>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos replay                  fold the journal again; prints the state and the rate
  libos replay --verify         hold every snapshot, and what runs or would start, against it
  libos replay --to 17          the state right after record 17")]
pub(crate) struct ReplayArgs {
    /// Stop right after this record.
    #[arg(long, value_name = "SEQ", value_parser = record)]
    pub(crate) to: Option<Seq>,
    /// Compare: with every snapshot, and at the end with the state of the runtime that holds the
    /// store, or with the one that a start would come to. It ends with 1 if one differs.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Decide every recorded call again under other grants, and show what would have changed.
    #[command(after_help = "Examples:
  libos policy test --rules rules.toml             all processes
  libos policy test --rules rules.toml --pid p1    the calls of one

The file holds [[grant]] tables as a task file does. Every process has them in place of what a
host, a human or a parent granted; approvals that were given do not count.")]
    Test {
        /// The grants; see docs/rules.schema.json.
        #[arg(long, value_name = "FILE")]
        rules: PathBuf,
        /// Only calls of this process.
        #[arg(long)]
        pid: Option<Pid>,
    },
    /// Turn a denied call into the narrowest rule that would let it through.
    #[command(after_help = "Examples:
  libos policy narrow op-7            show the rule: one use, one resource, these arguments
  libos policy narrow op-7 --grant    give it to the process that was refused

The rule is tried on the engine that decides before it is shown. What no rule can mend (a denial, \
a manifest, a label) is said instead. `libos explain PID` lists what a process was refused.")]
    Narrow {
        /// The denied operation, as in op-7.
        op: OpId,
        /// Give it to the process now; it may then make the call once.
        #[arg(long)]
        grant: bool,
    },
}

/// The number of a record, as it is printed or without its sign.
fn record(text: &str) -> Result<Seq, String> {
    let number = text.strip_prefix('#').unwrap_or(text).parse();
    number.map(Seq).map_err(|_| "write the number of a record, as in 17".into())
}
