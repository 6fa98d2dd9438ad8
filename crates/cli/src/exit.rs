//! Exit codes, and failures that know theirs.

use std::{fmt, process::ExitCode};

use agent_libos::{
    StartError, abi::Error, audit::AuditError, config::ConfigError, journal::JournalError, task,
};

/// How the command ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Waiting = 3,
    Denied = 4,
    Store = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A failure, with the exit code it means.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    code: String,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.into(), message: message.into() }
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The failure of a call about a process, with what to do if there is none.
    pub(crate) fn of_process(error: Error) -> Self {
        let is_gone = matches!(
            error.code(),
            "not_found" | "no_process" | "not_a_child" | "receiver_ended" | "already_ended"
        );
        let failure = Self::from(error);
        if is_gone { failure.next("`libos ps` lists the processes") } else { failure }
    }

    /// The same failure, which names the next step.
    pub(crate) fn next(mut self, step: &str) -> Self {
        self.message = format!("{}; {step}", self.message.trim_end_matches('.'));
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.code, "message": self.message } })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.code() {
            "denied" => Exit::Denied,
            "store_unavailable" => Exit::Store,
            "bad_message" | "wrong_answer" => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error.code(), error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NoRecord { .. } => Self::new(Exit::Usage, "no_record", error.to_string()),
            error => Self::new(Exit::Store, "store", error.to_string()),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::new(Exit::Store, "store", error.to_string())
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self::new(Exit::Store, "store", error.to_string())
    }
}

impl From<task::TaskError> for Failure {
    fn from(error: task::TaskError) -> Self {
        Self::new(Exit::Usage, "invalid_file", error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, "invalid_file", error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, "io", error.to_string())
    }
}
