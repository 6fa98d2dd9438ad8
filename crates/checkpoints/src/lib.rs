//! Checkpoints: the state of a process and all below it, to look at and to come back to.
//!
//! Owns which checkpoints there are. What one consists of is kept by those it belongs to: the
//! process table keeps processes with their mail, Object Memory shares memories, the capability
//! engine notes what was held, the broker keeps what a quantum has done. Each keeps it under the
//! id of the checkpoint, and all of it is one transaction. This component asks them and keeps
//! nothing of theirs; it decides nothing about authority.
//!
//! ```
//! use libos_checkpoints::Checkpoints;
//! use libos_port::Component;
//!
//! assert_eq!(Checkpoints::default().manifest().serves, ["checkpoint"]);
//! ```
#![forbid(unsafe_code)]

mod core;
mod serve;

pub use crate::core::Limits;

use libos_abi::{Digest, Event, Reply, Syscall, checkpoint};
use libos_port::{BadSnapshot, Component, Context, Manifest, Stop, Versioned};

use crate::core::Registry;

/// The component behind `checkpoint`.
#[derive(Debug, Default)]
pub struct Checkpoints {
    state: Versioned<Registry>,
    limits: Limits,
}

impl Checkpoints {
    /// Without checkpoints, and with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), limits }
    }
}

impl Component for Checkpoints {
    fn manifest(&self) -> Manifest {
        let imports = &["process", "object", "capability", "image", "tool"];
        Manifest { serves: &["checkpoint"], imports }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Checkpoint(call) => checkpoint::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Checkpoint(event) = event {
            self.state.apply(event);
        }
    }

    fn begin(&mut self) {
        self.state.begin();
    }

    fn rollback(&mut self) {
        self.state.rollback();
    }

    fn digest(&self) -> Digest {
        self.state.digest()
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.state.save(out);
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        self.state = Versioned::of(Registry::load(bytes)?);
        Ok(())
    }
}
