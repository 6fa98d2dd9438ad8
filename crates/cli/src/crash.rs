//! Ends this very process at a chosen boundary, as `kill -9` would.
//!
//! Two variables of the environment ask for it: `LIBOS_CRASH_AT=effect.performed:2` kills at the
//! second passing of that boundary, `LIBOS_CRASH_TRACE=FILE` writes the name of each boundary to a
//! file as it is passed. Without them a runtime has no observer.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use agent_libos::boundary::{BOUNDARIES, OnBoundary, STEPS};
use rustix::process::{Signal, getpid, kill_process};

use crate::exit::{Exit, Failure};

/// Where to die.
pub(crate) const AT: &str = "LIBOS_CRASH_AT";
/// Where to write what is passed.
pub(crate) const TRACE: &str = "LIBOS_CRASH_TRACE";

/// What the environment asks for, if it does.
pub(crate) fn observer() -> Result<Option<OnBoundary>, Failure> {
    let at = std::env::var(AT).ok().map(|at| At::parse(&at)).transpose()?;
    let trace = std::env::var_os(TRACE).map(|path| open(path.as_ref())).transpose()?;
    if at.is_none() && trace.is_none() {
        return Ok(None);
    }
    Ok(Some(Arc::new(move |name| {
        if let Some(trace) = &trace {
            note(trace, name);
        }
        if let Some(at) = &at
            && at.is_here(name)
        {
            die();
        }
    })))
}

struct At {
    name: &'static str,
    /// Passings that are left.
    left: AtomicU32,
}

impl At {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        let known = BOUNDARIES.iter().chain(STEPS).find(|(known, _)| *known == name);
        match (known, nth.parse()) {
            (Some((name, _)), Ok(nth @ 1..)) => Ok(Self { name, left: AtomicU32::new(nth) }),
            _ => {
                let message = format!("{AT}: `{text}` is no boundary and number, as in reply:2");
                Err(Failure::new(Exit::Usage, "usage", message))
            }
        }
    }

    fn is_here(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

fn open(path: &std::path::Path) -> Result<File, Failure> {
    Ok(OpenOptions::new().append(true).create(true).open(path)?)
}

/// One write for one line: lines of several threads do not mix.
fn note(mut trace: &File, name: &str) {
    if let Err(error) = trace.write_all(format!("{name}\n").as_bytes()) {
        tell!("libos: {TRACE}: {error}");
    }
}

/// No destructor runs, no buffer is written, no thread goes on.
fn die() -> ! {
    if let Err(error) = kill_process(getpid(), Signal::KILL) {
        tell!("libos: cannot end itself: {error}");
    }
    std::process::abort()
}
