//! Telling a person what takes so long.
//!
//! On standard error, when that is a terminal, and only of what has taken a second already.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

/// What a person waits for without wondering.
const UNNOTICED: Duration = Duration::from_secs(1);

/// What is under way until this is dropped.
pub(crate) struct Progress(Option<tokio::task::JoinHandle<()>>);

impl Progress {
    pub(crate) fn new(json: bool, what: &str) -> Self {
        if json || !io::stderr().is_terminal() {
            return Self(None);
        }
        let what = what.to_owned();
        Self(Some(tokio::spawn(async move {
            for seconds in 1_u64.. {
                tokio::time::sleep(UNNOTICED).await;
                write(&format!("\r{what}: {seconds} s"));
            }
        })))
    }
}

impl Progress {
    /// Tells how far it is, in place of how long it has taken.
    pub(crate) fn at(&mut self, done: u64, of: u64) {
        if let Some(task) = &self.0 {
            task.abort();
            write(&format!("\r{done} of {of} records"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    let mut out = io::stderr().lock();
    // A terminal that has gone away needs no telling.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
