//! The command line as it is typed.
//!
//! Types and help texts, nothing else. What is typed about processes is in [`process`], what about
//! checkpoints in [`checkpoint`], what about this host in [`host`].

pub(crate) mod checkpoint;
pub(crate) mod host;
pub(crate) mod past;
pub(crate) mod process;
pub(crate) mod tool;

use std::path::PathBuf;

use agent_libos::{
    abi::{
        CapId, Conditions, Digest, Millis, ObjectId, OpId, Pattern, Pid, RequestId, Resource, Right,
    },
    mounts::MountFlag,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::{
    checkpoint::CheckpointCommand,
    host::{ConfigCommand, ImageCommand, SecretCommand, SkillCommand},
    past::{At, PolicyCommand, ReplayArgs},
    process::{
        ContextArgs, EventsArgs, ExecArgs, ExitArgs, ExplainArgs, ForkArgs, LogsArgs, MsgArgs,
        SignalArgs, TopArgs,
    },
    tool::ToolCommand,
};

use crate::{
    evidence::EvidenceCommand, label::LabelCommand, simulate::SimulateArgs, store::StoreCommand,
};

const EXITS: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage, or an invalid file
  3  waiting for a human; `libos inbox` shows for what, `libos resume` goes on
  4  denied and stopped
  5  the store cannot be used

Settings:
  `libos.toml` here or in ~/.config/libos, and variables such as LIBOS_STORE, set what flags set;
  `libos config show` tells what holds and where it was set

Examples:
  libos run task.toml                 launch a task and watch it
  libos inbox                         see what waits for you
  libos approve req-1                 let one exact call through
  libos why op-5                      see who allowed what
  libos demo                          see all of it in a minute, on a project of its own";

/// Run LLM agents that can be scheduled, authorized, resumed and audited.
#[derive(Debug, Parser)]
#[command(name = "libos", version, after_help = EXITS, max_term_width = 100)]
pub(crate) struct Cli {
    /// The folder of the store [default: .libos]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Print JSON, one value a line; --json=false where a setting says so
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    pub(crate) json: Option<bool>,
    /// The name under which your decisions are recorded [default: owner]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) operator: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Typed,
}

/// What is typed: a command on a store, or one that wants none.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    #[command(flatten)]
    OnStore(Command),
    /// Show the settings and every limit, or write a file to start from.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the secrets of the host, without their values.
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Tell what holds on this host, whether the store is whole, and which limits are near.
    #[command(after_help = "It ends with 1 if something is wrong.")]
    Doctor,
    /// Print what makes a shell complete the commands.
    #[command(after_help = "Examples:
  libos completion bash > ~/.local/share/bash-completion/completions/libos
  libos completion fish > ~/.config/fish/completions/libos.fish")]
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an empty store, and a task file to start from.
    Init(InitArgs),
    /// Launch a task and run it until it ends or waits for you.
    Run(RunArgs),
    /// Go on with everything that has not ended: after a stop, a crash or an answer.
    Resume(ResumeArgs),
    /// Go on as `resume` does, and talk to a process: each line you type is a message to it.
    Chat(ChatArgs),
    /// Show the processes as a tree.
    Ps(At),
    /// Watch the living processes: states, waits, what they spend of their budgets.
    Top(TopArgs),
    /// Show one process: its state, its capabilities, what it waits for.
    #[command(visible_alias = "show")]
    Inspect {
        /// The process, as in p1.
        pid: Pid,
        #[command(flatten)]
        at: At,
    },
    /// Tell what a process did, from the journal.
    Logs(LogsArgs),
    /// Tell the story of a process: what it did, who let it, what it was refused and what it took.
    Explain(ExplainArgs),
    /// Tell what the calls of a model said of its conversation, and what they left out.
    Context(ContextArgs),
    /// Show the events that a process was told of.
    Events(EventsArgs),
    /// Answer who allowed this, for an operation, a request or a capability.
    #[command(after_help = "Examples:
  libos why op-5       one call: who made it, what decided, who answered, what came of it
  libos why req-2      one request: what asked for it, who answered, what it let through
  libos why cap-3      one capability: where it came from, what it let through")]
    Why {
        /// The operation, request or capability, as in op-5, req-2 or cap-3.
        effect: Effect,
    },
    /// Show what waits for a human, as cards with everything there is to decide on.
    Inbox {
        /// Answered and cancelled ones too.
        #[arg(long)]
        all: bool,
    },
    /// Approve a call, or permit what a process asks for.
    Approve(ApproveArgs),
    /// Refuse a call, a question or a permission.
    Deny {
        /// The request, as in req-1.
        request: RequestId,
        /// Why; recorded.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Answer a question.
    Answer {
        /// The request, as in req-1.
        request: RequestId,
        /// The answer.
        text: String,
    },
    /// Raise a limit that a call would pass.
    #[command(after_help = "Examples:
  libos extend req-1 --by 100      a hundred calls more
  libos extend req-1 --by 10m      ten minutes more, where the limit is one of time")]
    Extend {
        /// The request, as in req-1.
        request: RequestId,
        /// By how much, in what the limit counts; a limit of time takes 10m too.
        #[arg(long, value_name = "N")]
        by: Amount,
    },
    /// Tell what became of an effect whose outcome nobody knows.
    #[command(after_help = "Examples:
  libos settle req-3 done         it was done: the process is told so
  libos settle req-3 not-done     it was not; nothing is done again by itself
  libos settle req-3 unknown      it cannot be found out")]
    Settle {
        /// The request, as in req-3.
        request: RequestId,
        /// What became of it.
        #[arg(value_enum)]
        what: KnownArg,
    },
    /// Send a process a message.
    Msg(MsgArgs),
    /// Hold a process, let it go on, ask it to end, or end it.
    Signal(SignalArgs),
    /// Make a child of a process that shares its memory.
    Fork(ForkArgs),
    /// Have a process go on as another image.
    Exec(ExecArgs),
    /// End a process, and nothing below it.
    Exit(ExitArgs),
    /// Look at capabilities, grant and revoke them.
    #[command(subcommand)]
    Cap(CapCommand),
    /// Look at data labels, and lower them.
    #[command(subcommand)]
    Label(LabelCommand),
    /// Look at objects.
    #[command(subcommand)]
    Object(ObjectCommand),
    /// Keep the state of a process and all below it, compare with it, come back to it.
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Look at images, register and remove them.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Look for skills, register and remove them.
    #[command(subcommand)]
    Skill(SkillCommand),
    /// Look at tools that agents wrote, test them and try them out.
    #[command(subcommand)]
    Tool(ToolCommand),
    /// Read, prove and export the journal.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show what the store takes, and remove payloads of finished work.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Fold the journal again: the state at any record, and whether snapshots agree with it.
    Replay(ReplayArgs),
    /// Try other grants on what was done.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Kill a task at the boundaries that it passes, go on, and tell what came of it.
    SimulateCrash(SimulateArgs),
    /// Watch agents at work: one repairs a test, another writes tools of its own.
    #[command(after_help = "Examples:
  libos demo                  a denial, an approval and a repaired test, on a small project
  libos demo tools            tools in four languages, tested, registered and called")]
    Demo(DemoArgs),
}

/// What `libos why` explains.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Op(OpId),
    Request(RequestId),
    Capability(CapId),
}

impl std::str::FromStr for Effect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let op = text.parse().map(Self::Op);
        let request = || text.parse().map(Self::Request);
        let found = op.or_else(|_| request()).or_else(|_| text.parse().map(Self::Capability));
        found.map_err(|_| format!("`{text}` is none; write one such as op-5, req-2 or cap-3"))
    }
}

/// By how much a limit is raised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    Number(u64),
    Time(Millis),
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => text.parse().map(Self::Time),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write the task file.
    #[arg(long, default_value = "task.toml")]
    pub(crate) task: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos run --goal 'repair the failing test' --image coding --workspace . \
    --allow 'fs:workspace/* read' --allow 'shell:cargo execute' --ask 'fs:workspace/src/* write'
  libos run task.toml
  libos run task.toml --approvals approvals.toml --json
  libos run task.toml --wait        # answer from another terminal with libos approve")]
pub(crate) struct RunArgs {
    /// The task file; see docs/task.schema.json.
    #[arg(required_unless_present = "goal", conflicts_with = "goal")]
    pub(crate) task: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) goal: GoalArgs,
    #[command(flatten)]
    pub(crate) answers: AnswerArgs,
}

/// A task that no file describes: a goal for a model.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Without a task file")]
pub(crate) struct GoalArgs {
    /// What a model is to achieve, instead of a task file.
    #[arg(long, value_name = "TEXT")]
    pub(crate) goal: Option<String>,
    /// The image: a name, or the path of an image.toml [default: coding]
    #[arg(long, value_name = "IMAGE", requires = "goal")]
    pub(crate) image: Option<String>,
    /// The folder to work in, mounted as fs:workspace [default: .]
    #[arg(long, value_name = "DIR", requires = "goal")]
    pub(crate) workspace: Option<PathBuf>,
    /// The profile of the model in libos.toml; it may be used without a further grant. [default:
    /// the only one, or main]
    #[arg(long, value_name = "NAME", requires = "goal")]
    pub(crate) profile: Option<String>,
    /// Let a skill be taken up: its name or its folder, and @DIGEST to mean that package only.
    #[arg(long, value_name = "SKILL[@DIGEST]", requires = "goal")]
    pub(crate) skill: Vec<Wanted>,
    /// Grant rights over resources, as in "fs:workspace/* read write".
    #[arg(long, value_name = "ON RIGHTS", requires = "goal")]
    pub(crate) allow: Vec<Granted>,
    /// Have a human asked about each such call.
    #[arg(long, value_name = "ON RIGHTS", requires = "goal")]
    pub(crate) ask: Vec<Granted>,
    /// Refuse such calls, whatever else allows them.
    #[arg(long, value_name = "ON RIGHTS", requires = "goal")]
    pub(crate) deny: Vec<Granted>,
    /// Limit what is used, as in tokens=500000, cost=2000000 or wall=1h.
    #[arg(long, value_name = "KIND=N", requires = "goal")]
    pub(crate) budget: Vec<String>,
}

/// A skill as it is typed: its name or its folder, and the digest that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) what: String,
    pub(crate) digest: Option<Digest>,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((what, digest)) = text.rsplit_once('@') else {
            return Ok(Self { what: text.to_owned(), digest: None });
        };
        let digest = digest.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { what: what.to_owned(), digest: Some(digest) })
    }
}

/// Rights over resources, as they are typed: `fs:workspace/* read write`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) on: Pattern,
    pub(crate) rights: Vec<Right>,
}

impl std::str::FromStr for Granted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let on = words.next().ok_or("write resources and rights, as in \"fs:workspace/* read\"")?;
        let on = on.parse().map_err(|error| format!("{error}"))?;
        let rights = words.map(right).collect::<Result<Vec<_>, _>>()?;
        match rights.is_empty() {
            true => {
                Err(format!("which rights over `{on}`? Write them behind it, as in \"{on} read\""))
            }
            false => Ok(Self { on, rights }),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) answers: AnswerArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
While a request is put to you, the line you type answers it. Else it is a message, or one of:
  /interrupt TEXT    end what the process waits for, or its next call of a tool
  /quit              stop; nothing is lost, and `libos resume` or `libos chat` goes on
  /help              this list

It ends when all tasks have, or, where standard input is at its end, once nothing can go on.

Examples:
  libos chat
  libos chat p3
  echo 'buy apples' | libos chat p1")]
pub(crate) struct ChatArgs {
    /// The process; if absent, the one task that has not ended.
    pub(crate) pid: Option<Pid>,
    #[command(flatten)]
    pub(crate) answers: AnswerArgs,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct AnswerArgs {
    /// Answer requests by the rules of this file; what none fits waits. Processes are kept out of
    /// it.
    #[arg(long, value_name = "FILE")]
    pub(crate) approvals: Option<PathBuf>,
    /// Give processes a further folder as fs:NAME: PATH, or PATH:ro to be read only. One that is
    /// always there belongs into libos.toml, where every command finds it.
    #[arg(long = "mount", value_name = "NAME=PATH[:ro]")]
    pub(crate) mounts: Vec<MountFlag>,
    /// Keep running while a request waits, to be answered from another terminal.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos approve req-1                     this very operation
  libos approve req-1 --scope 3           the same call, three times
  libos approve req-1 --scope subtree     the same call, by the process and all below it
  libos approve req-1 --until 1h          the same call, for an hour
  libos approve req-2 --each-time         a permission: ask about each call from now on")]
pub(crate) struct ApproveArgs {
    /// The request, as in req-1.
    pub(crate) request: RequestId,
    /// How far it reaches: once, a number of uses, process or subtree. The arguments must be the
    /// same to the byte in every case.
    #[arg(long, default_value = "once", conflicts_with = "until")]
    pub(crate) scope: String,
    /// How long it holds, as in 30m.
    #[arg(long)]
    pub(crate) until: Option<Millis>,
    /// For a permission: ask about each call instead of allowing all.
    #[arg(long)]
    pub(crate) each_time: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CapCommand {
    /// List capabilities.
    Ls {
        /// Only those of this process.
        pid: Option<Pid>,
        /// Those out of force too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        at: At,
    },
    /// Grant a process a right, on your word.
    #[command(after_help = "\
Examples:
  libos cap grant p2 fs:workspace/in.txt read
  libos cap grant p2 'net:api.example.com' read --when 'method = \"GET\"' --uses 10
  libos cap grant p2 'shell:*' execute --effect ask --when 'integrity = \"untrusted\"'")]
    Grant(GrantArgs),
    /// Take a capability back, and every one cut from it.
    Revoke {
        /// The capability, as in cap-3.
        capability: CapId,
        /// Why; recorded.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Explain what would be decided, and what would have to be granted.
    Why {
        /// The process.
        pid: Pid,
        /// The right.
        #[arg(value_parser = right)]
        right: Right,
        /// The resource, as in fs:workspace/src/a.rs.
        on: Resource,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The process.
    pub(crate) pid: Pid,
    /// The resources, as in "fs:workspace/src/*".
    pub(crate) on: Pattern,
    /// The rights.
    #[arg(required = true, value_parser = right)]
    pub(crate) rights: Vec<Right>,
    /// What the grant says.
    #[arg(long, value_enum, default_value = "allow")]
    pub(crate) effect: EffectArg,
    /// How often it may be used.
    #[arg(long)]
    pub(crate) uses: Option<u32>,
    /// How long it lives, as in 1h.
    #[arg(long)]
    pub(crate) expires: Option<Millis>,
    /// What must hold of an argument of the call, or of what the process has taken in, as a rules
    /// file has it: 'method = "GET"', 'integrity = "untrusted"'. May be given several times.
    #[arg(long, value_name = "CONDITION", value_parser = when)]
    pub(crate) when: Vec<Conditions>,
}

fn when(text: &str) -> Result<Conditions, String> {
    let conditions: Conditions =
        toml::from_str(text).map_err(|error| error.message().to_owned())?;
    match conditions.is_empty() {
        true => Err("a condition is as in 'method = \"GET\"'".to_owned()),
        false => Ok(conditions),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EffectArg {
    Allow,
    Ask,
    Deny,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KnownArg {
    Done,
    NotDone,
    Unknown,
}

fn right(text: &str) -> Result<Right, String> {
    Right::ALL.into_iter().find(|right| right.name() == text).ok_or_else(|| {
        let names: Vec<_> = Right::ALL.iter().map(|right| right.name()).collect();
        format!("the rights are {}", names.join(", "))
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum ObjectCommand {
    /// List objects.
    Ls {
        /// Only those of this type.
        #[arg(long = "type")]
        kind: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Show an object with its payload.
    Show {
        /// The object, as in obj-1.1.
        object: ObjectId,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List every operation: who called, what was decided and why, what came of it.
    Ls(AuditLsArgs),
    /// Show everything about one operation.
    Show {
        /// The operation, as in op-5.
        op: OpId,
    },
    #[command(flatten)]
    Evidence(EvidenceCommand),
}

#[derive(Debug, Args)]
pub(crate) struct AuditLsArgs {
    /// Only operations of this process.
    #[arg(long)]
    pub(crate) pid: Option<Pid>,
    /// Only operations that ended in this: ok, denied, or another code.
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// The runtime's own bookkeeping too.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// What to watch.
    #[arg(value_enum, default_value = "repair")]
    pub(crate) what: Demo,
    /// The folder to make the project and its store in; it must not exist.
    #[arg(long, default_value = "libos-demo")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Demo {
    /// An agent repairs a failing test.
    Repair,
    /// An agent writes tools of its own.
    Tools,
}
