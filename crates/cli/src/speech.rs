//! What models say and what effects wait for, on a terminal, while it happens.
//!
//! It is no record: what is shown here may have gaps, and how a call ended is told once it is on
//! disk. Only one process speaks at a time; whatever else is said ends its line first.

use std::io::{self, IsTerminal as _, Write as _};

use agent_libos::{
    abi::{OpId, Pid},
    port::Progress,
};

/// The line that is written now.
#[derive(Default)]
pub(crate) struct Speech {
    is_shown: bool,
    /// Who speaks, in which call.
    speaker: Option<OpId>,
    /// Whether the last line has no end yet.
    is_open: bool,
}

impl Speech {
    /// Shown to a person at a terminal, and to nobody else.
    pub(crate) fn new(json: bool) -> Self {
        let is_shown = !json && io::stdout().is_terminal();
        Self { is_shown, ..Self::default() }
    }

    /// Takes how far an effect is.
    pub(crate) fn hear(&mut self, pid: Pid, op: OpId, progress: &Progress) {
        if !self.is_shown {
            return;
        }
        match progress {
            Progress::Text(text) => self.say(pid, op, text),
            Progress::Queued { wait: Some(wait) } => {
                let seconds = wait.as_millis().div_ceil(1_000);
                self.end_line();
                say!("{pid} waits for its model, which takes no more for {seconds} s");
            }
            Progress::Again { why, wait } => {
                let seconds = wait.as_secs_f64();
                self.over(op);
                say!("{pid} asks its model again in {seconds:.1} s: {why}");
            }
            Progress::Queued { wait: None } | Progress::Begun => {}
        }
    }

    /// What a model has said in an answer that is over, to who did not see it come.
    pub(crate) fn said(&self, pid: Pid, text: &str) {
        if !self.is_shown && !text.trim().is_empty() {
            say!("{pid} > {}", text.trim().replace('\n', "\n    "));
        }
    }

    fn say(&mut self, pid: Pid, op: OpId, text: &str) {
        // What two say at the same time nobody can read.
        if *self.speaker.get_or_insert(op) != op {
            return;
        }
        if !self.is_open {
            put!("{pid} > ");
        }
        put!("{}", text.replace('\n', "\n    "));
        self.is_open = true;
        // A reader that has gone away is seen by whoever prints next.
        drop(io::stdout().flush());
    }

    /// A call is over: what it said is.
    pub(crate) fn over(&mut self, op: OpId) {
        if self.speaker == Some(op) {
            self.speaker = None;
        }
        self.end_line();
    }

    /// Ends the line, before anything else is said.
    pub(crate) fn end_line(&mut self) {
        if std::mem::take(&mut self.is_open) {
            say!();
        }
    }
}
