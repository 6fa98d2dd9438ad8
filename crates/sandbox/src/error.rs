//! What a tool, its compiling and the sandbox itself end in when it does not work.
//!
//! A [`ToolError`] says who is speaking. What the host refused comes from the host's own record of
//! the run ([`ToolError::Call`]); what a tool says of itself is in [`ToolError::Threw`], never
//! taken for anything else. No variant holds a text of the host's operating system.

use std::{fmt, io, path::PathBuf};

/// A sandbox that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The Wasm engine refused its configuration, or found no room for its pool.
    #[error("the Wasm engine cannot be set up: {what}")]
    Engine {
        /// What is wrong.
        what: String,
    },
    /// The thread that keeps the time of tools could not be started.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    /// The cache folder cannot be used.
    #[error("the cache folder {} cannot be used", folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may write into the cache folder, and what it holds is run as native code.
    #[error("the cache folder {} is not yours, or others may write to it", .0.display())]
    CacheNotPrivate(PathBuf),
}

/// A place in a source, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A source that makes no tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is over the limit.
    #[error("the source has {bytes} bytes; a {language} source has {limit} at the most")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// The language.
        language: &'static str,
    },
    /// It does not follow the grammar of its language.
    #[error("{}{message}", at.map(|at| format!("{at}: ")).unwrap_or_default())]
    Syntax {
        /// Where.
        at: Option<Position>,
        /// What is wrong there.
        message: String,
    },
    /// It brings no tool: the export is missing, or it is of another kind.
    #[error("it exports no tool: {what}")]
    Export {
        /// What is missing.
        what: String,
    },
    /// It imports what is not there.
    #[error("it imports what no tool can have: {what}")]
    Import {
        /// What.
        what: String,
    },
    /// It needs more than a tool may have.
    #[error("it needs more than a tool may have: {what}")]
    Needs {
        /// What.
        what: String,
    },
    /// The sandbox itself failed; the log has more.
    #[error("the sandbox failed to compile it")]
    Internal,
}

impl CompileError {
    /// Its code in snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Syntax { .. } => "syntax",
            Self::Export { .. } => "no_export",
            Self::Import { .. } => "bad_import",
            Self::Needs { .. } => "needs_too_much",
            Self::Internal => "internal",
        }
    }

    /// The place it speaks of.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { at, .. } => *at,
            _ => None,
        }
    }
}

/// A limit of one run; see [`RunLimits`](crate::RunLimits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Instructions.
    Fuel,
    /// Time of computing.
    Compute,
    /// Linear memory.
    Memory,
    /// Tables.
    Tables,
    /// The stack.
    Stack,
    /// System calls.
    Syscalls,
    /// System calls of one batch.
    Batch,
    /// Bytes of a request.
    Request,
    /// Bytes of a reply.
    Reply,
    /// Bytes of all requests and replies.
    Crossing,
    /// Bytes of the arguments.
    Arguments,
    /// Bytes of what the tool gives back.
    Output,
}

impl Limited {
    /// What is counted.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Fuel => "units of fuel",
            Self::Compute => "milliseconds of computing",
            Self::Memory => "bytes of memory",
            Self::Tables => "table elements",
            Self::Stack => "bytes of stack",
            Self::Syscalls => "system calls",
            Self::Batch => "system calls in one batch",
            Self::Request => "bytes in one request",
            Self::Reply => "bytes in one reply",
            Self::Crossing => "bytes to and from the host",
            Self::Arguments => "bytes of arguments",
            Self::Output => "bytes of output",
        }
    }
}

/// What a tool ends in when it has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It ended in an error of its own. Every text here is the tool's.
    #[error("{name}: {message}")]
    Threw {
        /// The name of the error, as in `TypeError`.
        name: String,
        /// Its message.
        message: String,
        /// Where, in the tool's own source; empty if unknown.
        stack: String,
    },
    /// It ended because a system call did, which it did not catch. Call and error are from the
    /// host's record; the tool can name an entry of it and nothing else.
    #[error("{call}: {error}")]
    Call {
        /// The call's name.
        call: String,
        /// What the call ended in.
        error: libos_abi::Error,
        /// Where the tool made it, in the tool's own source; empty if unknown.
        stack: String,
    },
    /// It gave back a result before these calls were made: nothing awaited them.
    #[error("it ended with calls that it did not await: {calls}")]
    Unawaited {
        /// The calls, in order.
        calls: String,
    },
    /// It waits for a promise that nothing can settle.
    #[error("it waits for a promise that nothing can settle")]
    Stuck,
    /// What it gave back is no JSON of the agreed form.
    #[error("what it gave back is no result: {what}")]
    BadResult {
        /// What is wrong with it.
        what: String,
    },
    /// It met a limit.
    #[error("it met its limit of {max} {}", limit.unit())]
    Limit {
        /// Which.
        limit: Limited,
        /// Its value.
        max: u64,
    },
    /// Its code trapped.
    #[error("it trapped: {what}")]
    Trapped {
        /// The kind of trap.
        what: String,
    },
    /// It handed the host a place that is not in its memory, or bytes that are no UTF-8.
    #[error("it handed over {what}")]
    BadPointer {
        /// What exactly.
        what: &'static str,
    },
    /// It made a system call at a time when none can be made: while it starts, or within another.
    #[error("it made a system call {when}")]
    CallOutOfTurn {
        /// When.
        when: &'static str,
    },
    /// It imports a call that its manifest does not declare.
    #[error("it does not declare {call}, which it imports")]
    Undeclared {
        /// The call.
        call: String,
    },
    /// What its code says of the types of a call does not fit the reply.
    #[error("its types do not fit the reply of {call}: {what}")]
    Mismatch {
        /// The call.
        call: String,
        /// What does not fit.
        what: String,
    },
    /// Every slot is taken, and the run was not to wait for one.
    #[error("every slot of the sandbox is taken")]
    Busy,
    /// The sandbox itself failed; the log has more.
    #[error("the sandbox failed to run it")]
    Internal,
}

impl ToolError {
    /// Its code in snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Threw { .. } => "threw",
            Self::Call { error, .. } => error.code(),
            Self::Unawaited { .. } => "unawaited",
            Self::Stuck => "stuck",
            Self::BadResult { .. } => "bad_result",
            Self::Limit { .. } => "limit",
            Self::Trapped { .. } => "trapped",
            Self::BadPointer { .. } => "bad_pointer",
            Self::CallOutOfTurn { .. } => "call_out_of_turn",
            Self::Undeclared { .. } => "undeclared",
            Self::Mismatch { .. } => "mismatch",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }
}

impl From<wasmtime::Error> for CompileError {
    /// What the compiler of Wasm says of a module: its grammar, or that it asks for too much.
    fn from(error: wasmtime::Error) -> Self {
        let message = error.root_cause().to_string();
        if message.contains("exceeds the limit") {
            return Self::Needs { what: message };
        }
        // The text format's parser draws the place below its message: `--> <anon>:3:14`.
        let (what, place) = message.split_once("\n").unwrap_or((&message, ""));
        let place = place.split_once("<anon>:").map_or("", |(_, place)| place);
        let mut numbers = place.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let at = match (numbers.next(), numbers.next()) {
            (Some(Ok(line)), Some(Ok(column))) => Some(Position { line, column }),
            _ => None,
        };
        Self::Syntax { at, message: what.to_owned() }
    }
}
