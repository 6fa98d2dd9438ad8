//! Components: pure state machines that serve calls.
//!
//! A component changes its state by applying events and in no other way, so that folding the
//! journal gives the same state again. It has no clock, no randomness, no thread, no I/O. It
//! reaches another component by [`Context::send`] only, along the imports of its [`Manifest`].
//!
//! ```
//! use libos_abi::{Event, Reply, Syscall, event::HumanEvent, human, wire};
//! use libos_port::{
//!     BadSnapshot, Component, Context, Fold, Manifest, Stop, Versioned, load_version,
//!     save_version,
//! };
//!
//! #[derive(Clone, Default, serde::Serialize)]
//! struct Heard { messages: u64 }
//!
//! impl Fold for Heard {
//!     type Event = HumanEvent;
//!     fn apply(&mut self, _: &HumanEvent) { self.messages += 1; }
//! }
//!
//! #[derive(Default)]
//! struct Ear { state: Versioned<Heard> }
//!
//! impl Component for Ear {
//!     fn manifest(&self) -> Manifest { Manifest { serves: &["human"], imports: &[] } }
//!     fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
//!         let Syscall::Human(human::Call::Output(output)) = call else {
//!             return Err(Stop::unsupported(call));
//!         };
//!         let pid = cx.caller().pid();
//!         self.state.change(cx, HumanEvent::Output {
//!             pid,
//!             human: human::OWNER.into(),
//!             message: output.message.clone(),
//!         });
//!         Ok(human::Reply::Output(human::Delivered { human: human::OWNER.into() }).into())
//!     }
//!     fn apply(&mut self, event: &Event) {
//!         if let Event::Human(event) = event { self.state.apply(event) }
//!     }
//!     fn begin(&mut self) { self.state.begin() }
//!     fn rollback(&mut self) { self.state.rollback() }
//!     fn digest(&self) -> libos_abi::Digest { self.state.digest() }
//!     fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
//!         save_version(1, out);
//!         wire::encode_into(&self.state.messages, out);
//!         Ok(())
//!     }
//!     fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
//!         let mut bytes = load_version(1, bytes)?;
//!         let messages = bytes.read()?;
//!         bytes.end()?;
//!         self.state = Versioned::of(Heard { messages });
//!         Ok(())
//!     }
//! }
//! ```

use std::{ops::Deref, sync::Arc};

use libos_abi::{
    CapId, Denial, Digest, Error, Event, Fault, Few, Label, Need, OpId, Pid, Principal, Reply,
    Request, Syscall,
    capability::Charge,
    process::{Admission, Wait},
    tool::Program,
};
use serde::Serialize;

use crate::{BadSnapshot, Reach};

/// What a component serves and whom it may ask.
#[derive(Debug, Clone, Copy)]
pub struct Manifest {
    /// The names of the services it serves.
    pub serves: &'static [&'static str],
    /// The names of the services it sends to. The graph of all imports has no cycle.
    pub imports: &'static [&'static str],
}

/// Who made the call that is being served, as the kernel knows it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// For a process: what its admission told. `None` for the host and the kernel.
    pub admission: Option<Arc<Admission>>,
}

impl Caller {
    /// The process, if it is one.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.principal.pid()
    }

    /// Whether it is the host's operator.
    #[must_use]
    pub fn is_host(&self) -> bool {
        matches!(self.principal, Principal::Host(_))
    }
}

/// What a component may ask of the kernel while it serves a call.
pub trait Context {
    /// The time of the transaction, in milliseconds since the epoch.
    fn now_ms(&self) -> u64;

    /// Who made the call. In a call sent by a component it is still the original caller.
    fn caller(&self) -> &Caller;

    /// The operation being served.
    fn op(&self) -> OpId;

    /// When the operation was admitted, in milliseconds since the epoch. A call that waited is
    /// served again with the same value.
    fn started_ms(&self) -> u64;

    /// Adds an event to the transaction. Use [`Versioned::change`], which applies it as well.
    fn emit(&mut self, event: Event);

    /// Sends a call to the component that serves it, within the same transaction.
    ///
    /// # Errors
    /// What the other component ends in; an error that is passed on undoes the whole transaction.
    fn send(&mut self, call: Syscall) -> Result<Reply, Error>;
}

impl dyn Context + '_ {
    /// Sends a typed call and gives its typed reply.
    ///
    /// # Errors
    /// What the other component ends in.
    pub fn ask<R: Request>(&mut self, request: R) -> Result<R::Reply, Error> {
        let name = R::INFO.name;
        let reply = self.send(request.into())?;
        R::reply(reply).ok_or_else(|| Fault::Unsupported { call: name.into() }.into())
    }
}

/// Why a call has no reply yet, or never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It failed. Everything the transaction changed is undone.
    Error(Error),
    /// It waits. What it changed stays; it is served again when what it waits for happens.
    Wait(Wait),
    /// The component has nothing against it; now a provider performs the effect.
    Perform,
    /// The same, and the provider gets this generated tool with it. If the call is a call of the
    /// tool, whatever is done under it is done by the tool.
    Run(Arc<Program>),
}

impl Stop {
    /// For a call that the component does not serve.
    #[must_use]
    pub fn unsupported(call: &Syscall) -> Self {
        Fault::Unsupported { call: call.info().name.into() }.into()
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// A pure state machine behind one or more services.
pub trait Component: Send {
    /// What it serves and imports. Constant.
    fn manifest(&self) -> Manifest;

    /// Serves one call. Every change goes through events; a refused call changes nothing.
    ///
    /// # Errors
    /// [`Stop`].
    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop>;

    /// Applies one event of the journal during recovery. Events of others are ignored. Applying
    /// never fails: what could be refused was refused before the event was made.
    fn apply(&mut self, event: &Event);

    /// Marks the state to come back to. O(1): state is kept in persistent maps, or notes what
    /// takes its changes back.
    fn begin(&mut self);

    /// Comes back to the state of the last [`begin`](Self::begin).
    fn rollback(&mut self);

    /// A digest of the whole state: equal states have equal digests. O(state).
    fn digest(&self) -> Digest;

    /// Appends the whole state as bytes, with a version of their format. O(state).
    ///
    /// # Errors
    /// [`BadSnapshot::Unreachable`] for a part that lives elsewhere and cannot be asked.
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot>;

    /// Takes a state over that [`save`](Self::save) wrote: the component has the same digest then,
    /// and behaves in the same way, as if it had applied the events itself. What is derived is
    /// built anew.
    ///
    /// # Errors
    /// [`BadSnapshot`]; then the state is what it was.
    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot>;
}

/// State that changes by applying events and in no other way.
pub trait Fold: Clone + Default + Send + Serialize {
    /// Its events.
    type Event: Into<Event>;

    /// Applies an event. Total: it never fails and never looks at anything but `self`.
    fn apply(&mut self, event: &Self::Event);
}

/// A component's state with a mark to come back to. Reading derefs to the state.
#[derive(Debug, Default)]
pub struct Versioned<S> {
    now: S,
    saved: Option<S>,
}

impl<S: Fold> Versioned<S> {
    /// A state to go on from, such as one of a snapshot.
    #[must_use]
    pub fn of(state: S) -> Self {
        Self { now: state, saved: None }
    }

    /// Applies an event and adds it to the transaction: the only way to change state in a call.
    pub fn change(&mut self, cx: &mut dyn Context, event: S::Event) {
        self.now.apply(&event);
        cx.emit(event.into());
    }

    /// Applies an event of the journal.
    pub fn apply(&mut self, event: &S::Event) {
        self.now.apply(event);
    }

    /// See [`Component::begin`].
    pub fn begin(&mut self) {
        self.saved = Some(self.now.clone());
    }

    /// See [`Component::rollback`].
    pub fn rollback(&mut self) {
        if let Some(saved) = self.saved.take() {
            self.now = saved;
        }
    }

    /// See [`Component::digest`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        libos_abi::state_digest(&self.now)
    }
}

impl<S> Deref for Versioned<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.now
    }
}

/// What an authority decision is about.
pub struct Query<'a> {
    /// Who wants it.
    pub subject: Pid,
    /// The subject's ancestors, nearest first: an approval may reach down from them.
    pub ancestors: &'a [Pid],
    /// What is needed; all of it.
    pub needs: &'a [Need],
    /// The canonical call, for conditions on arguments.
    pub call: &'a Syscall,
    /// The digest of the canonical call, computed when asked for.
    pub digest: &'a dyn Fn() -> Digest,
    /// The operation.
    pub op: OpId,
    /// The label of what the subject has taken in, for conditions on labels.
    pub label: Label,
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// An authority decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow {
        /// By these capabilities, one for each need.
        by: Few<CapId>,
        /// What the call takes from finite ones; nothing when empty.
        charges: Vec<Charge>,
    },
    /// A human is to be asked.
    Ask {
        /// Because of these capabilities.
        by: Few<CapId>,
    },
    /// Denied.
    Deny(Denial),
}

/// The component that decides. Deciding reads and changes nothing.
pub trait Authority: Component {
    /// Decides. Deny beats ask beats allow; no match is a denial.
    fn decide(&self, query: &Query<'_>) -> Decision;

    /// What a program may reach that runs for `subject`, of resources of these kinds: what is
    /// allowed whatever a call looks like and as often as it is made, and everything that would
    /// deny or ask about some call. One that does not tell lets programs reach nothing.
    fn reach(&self, _subject: Pid, _kinds: &[&str], _now_ms: u64) -> Reach {
        Reach::default()
    }
}
