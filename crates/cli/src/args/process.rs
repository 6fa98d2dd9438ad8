//! What is typed to look at a process and to act on it.

use std::path::PathBuf;

use agent_libos::abi::{CapId, MessageId, Millis, ObjectId, Pid, process};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos top                one table, again and again; Ctrl-C ends it
  libos top --once         one table")]
pub(crate) struct TopArgs {
    /// Once, instead of again and again.
    #[arg(long)]
    pub(crate) once: bool,
    /// How often.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = interval)]
    pub(crate) every: Millis,
}

fn interval(text: &str) -> Result<Millis, String> {
    match text.parse()? {
        every @ Millis(100..) => Ok(every),
        _ => Err("not oftener than every 100ms".into()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos logs p1            what it did so far
  libos logs p1 -f         and what it does from now on, until it ends")]
pub(crate) struct LogsArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// Go on until the process has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It is read from the journal, of a process that has ended too. `libos why op-5` tells all about one
of the calls it names.

Examples:
  libos explain p1
  libos explain p1 --all")]
pub(crate) struct ExplainArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// Every line of each part.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It is read from the journal, of a process that has ended too, and says how much was said and why
something was not, never what it was: that is in the object that it names.

Examples:
  libos context p1            all calls, and the last one in full
  libos context p1 --call 3   one of them
  libos context p1 --compact  have what would go first be summarized by a child
  libos context p1 --undo     have all be said again that was said before the last change")]
pub(crate) struct ContextArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// One call, by its number from 1.
    #[arg(long)]
    pub(crate) call: Option<u32>,
    /// Have the process go back to what it said before something was left out.
    #[arg(long, conflicts_with = "call")]
    pub(crate) undo: bool,
    /// Have the process summarize a part now.
    #[arg(long, conflicts_with_all = ["call", "undo"])]
    pub(crate) compact: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It says what happened, never the content. Reading here takes nothing from the process.

Examples:
  libos events p1          those that it has not taken
  libos events p1 --all    all that it was told of
  libos events p1 -f       and those to come, until it ends")]
pub(crate) struct EventsArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// Those that it has taken too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Go on until the process has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos msg p1 \"the deadline has moved\"
  libos msg p1 --interrupt \"stop and look at the tests first\"
  libos msg p2 yes --channel review --reply-to msg-3")]
pub(crate) struct MsgArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// What to say.
    pub(crate) text: String,
    /// Deliver it in place of the process's next call of a tool.
    #[arg(long)]
    pub(crate) interrupt: bool,
    /// A word for what it is about.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// A word by which the process sorts its messages.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// What ties messages of one conversation together.
    #[arg(long)]
    pub(crate) correlation: Option<String>,
    /// The message it answers, as in msg-3.
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) reply_to: Option<MessageId>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos signal p2 pause                       hold it; its parent cannot lift that
  libos signal p2 resume                      let it go on
  libos signal p2 cancel --reason \"too late\"  end what it waits for, and interrupt it
  libos signal p1 terminate                   end it and all below it, at once")]
pub(crate) struct SignalArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// The signal.
    pub(crate) signal: SignalArg,
    /// Why; recorded.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SignalArg {
    Pause,
    Resume,
    Cancel,
    Terminate,
}

impl From<SignalArg> for process::Signal {
    fn from(signal: SignalArg) -> Self {
        match signal {
            SignalArg::Pause => Self::Pause,
            SignalArg::Resume => Self::Resume,
            SignalArg::Cancel => Self::Cancel,
            SignalArg::Terminate => Self::Terminate,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
The child may do nothing until it is granted something: see `libos cap grant`.

Examples:
  libos fork p1 --goal \"try another title\" --mode speculative --plan other.jsonl
  libos fork p1 --goal \"check the numbers\" --mode worker --plan check.jsonl")]
pub(crate) struct ForkArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// What the child is to achieve.
    #[arg(long)]
    pub(crate) goal: String,
    /// How it stands to the memory of its parent.
    #[arg(long, value_enum, default_value = "copy")]
    pub(crate) mode: ModeArg,
    /// Its plan; the parent's from the start if absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// It reads the parent's objects and changes none.
    Worker,
    /// It has a copy of its own.
    Copy,
    /// The same, to be merged or dropped when it has ended.
    Speculative,
}

impl From<ModeArg> for process::ForkMode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Worker => Self::Worker,
            ModeArg::Copy => Self::Copy,
            ModeArg::Speculative => Self::Speculative,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Authority only shrinks: what is not kept is given up for good, denials and questions stay.

Examples:
  libos exec p1 worker --keep cap-3 --keep cap-4
  libos exec p1 minimal --goal \"sum up\" --plan sum.jsonl --drop-objects")]
pub(crate) struct ExecArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// The image; `libos image ls` lists them.
    pub(crate) image: String,
    /// A capability to keep, besides those over its own memory, children and parent.
    #[arg(long, value_name = "CAP")]
    pub(crate) keep: Vec<CapId>,
    /// What it is to achieve; the goal it has if absent.
    #[arg(long)]
    pub(crate) goal: Option<String>,
    /// Its plan; the image's if absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Give its objects up too.
    #[arg(long)]
    pub(crate) drop_objects: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What is below it goes on. `libos signal PID terminate` ends all of it.

Examples:
  libos exit p1 --message \"enough for today\"
  libos exit p2 --result obj-2.1
  libos exit p2 --failed --message \"the input is wrong\"")]
pub(crate) struct ExitArgs {
    /// The process, as in p1.
    pub(crate) pid: Pid,
    /// The object it leaves as its result, as in obj-1.2.
    #[arg(long, value_name = "OBJECT")]
    pub(crate) result: Option<ObjectId>,
    /// A last word.
    #[arg(long)]
    pub(crate) message: Option<String>,
    /// It ends badly.
    #[arg(long)]
    pub(crate) failed: bool,
}
