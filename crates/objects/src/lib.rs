//! Object Memory: typed, versioned objects, the names for them, and views of them.
//!
//! Owns every object, namespace, link and view. Each process has a *space* of its own, over which
//! it gets every right with its first object: one capability for the space, not one for each
//! object. A space is a persistent map, so a copy of it costs the same for any size, and a merge
//! costs what has changed. A name stands for an id and opens nothing. It never looks into a payload
//! and never decides about authority: the broker has decided before a call comes here, and for the
//! parents of a new object, the receiver of a transfer and what is searched or rendered the
//! capability component is asked.
//!
//! ```
//! use libos_objects::Objects;
//! use libos_port::Component;
//!
//! assert_eq!(Objects::default().manifest().serves, ["object", "namespace"]);
//! ```
//!
//! Rules that the tables of the ABI do not say:
//!
//! - What is inside a copied space points into the copy: parents, and links among its own objects.
//!   Links to other spaces and names stay with the original, and views are nobody else's.
//! - A merge takes what the child has changed since it was copied: a new version, a payload given
//!   up and a removal are changes. Links are no versions: those the child made are added, those it
//!   took apart are removed.
//! - An object that comes into another space keeps its name, its links and its age.
//! - `link` and `unlink` tell of that one link: listing others takes the right to read.
//! - A search in the space of another process gives what the caller may read of it.
#![forbid(unsafe_code)]

mod core;
mod limits;
mod materialize;
mod merge;
mod names;
mod plan;
mod query;
mod saved;
mod serve;
mod space;
mod view;

pub use crate::limits::Limits;

use libos_abi::{
    DenyReason, Digest, Event, Fault, GrantSpec, Need, ObjectId, Origin, Pattern, Pid, Reply,
    Resource, Right, Syscall, capability, event::ObjectEvent, namespace, object,
};
use libos_port::{BadSnapshot, Component, Context, Manifest, Stop, Versioned};

use crate::core::State;

/// What a process may do in its own memory.
const OWNER_RIGHTS: [Right; 7] = [
    Right::Read,
    Right::Write,
    Right::Delete,
    Right::Link,
    Right::Diff,
    Right::Materialize,
    Right::Grant,
];

/// How many times the authority over own memory may be handed on, one below the other.
const OWNER_DELEGABLE: u8 = 4;

/// The component behind `object` and `namespace`.
#[derive(Debug, Default)]
pub struct Objects {
    state: Versioned<State>,
    limits: Limits,
}

impl Objects {
    /// An empty memory with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), limits }
    }

    /// Applies an event. If that gives `pid` a memory, it gets every right over it.
    fn change_in(
        &mut self,
        cx: &mut dyn Context,
        pid: Pid,
        event: ObjectEvent,
    ) -> Result<(), Stop> {
        let had = self.state.has_space(pid);
        self.state.change(cx, event);
        match !had && self.state.has_space(pid) {
            true => self.let_own(cx, pid),
            false => Ok(()),
        }
    }

    /// Gives a process every right over its memory.
    fn let_own(&self, cx: &mut dyn Context, pid: Pid) -> Result<(), Stop> {
        let grant = GrantSpec::allow(Pattern::space(pid), OWNER_RIGHTS.into_iter().collect());
        cx.ask(capability::Issue {
            to: pid,
            grant: GrantSpec { delegable: OWNER_DELEGABLE, ..grant },
            origin: Origin::Kernel,
            binding: None,
        })?;
        Ok(())
    }
}

/// A right over an object.
fn over(right: Right, id: ObjectId) -> Need {
    Need { right, on: Resource::object(id) }
}

/// Whether a process has a right without a human being asked.
fn may(cx: &mut dyn Context, pid: Pid, need: &Need) -> Result<bool, Stop> {
    let Need { right, on } = need.clone();
    Ok(cx.ask(capability::May { pid, right, on })?.allowed)
}

/// The caller, for calls that make something of a process's own.
fn owner(cx: &dyn Context) -> Result<Pid, Stop> {
    let own = cx.caller().pid();
    own.ok_or_else(|| Fault::bad("objects and views belong to processes; a host makes none").into())
}

/// The denial of a call whose demand does not say all that it needs.
fn denied(need: Need) -> Stop {
    Fault::denied(Some(need), DenyReason::NoGrant).into()
}

impl Component for Objects {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["object", "namespace"], imports: &["capability"] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Object(call) => object::dispatch(self, cx, call),
            Syscall::Namespace(call) => namespace::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Object(event) = event {
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
        self.state = Versioned::of(State::load(bytes)?);
        Ok(())
    }
}
