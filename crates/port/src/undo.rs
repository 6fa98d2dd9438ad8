//! State that is changed in place and can take its changes back.
//!
//! [`Versioned`](crate::Versioned) copies persistent maps, so that a mark costs nothing and every
//! change copies a path. Here a mark costs nothing too, a change notes what takes it back, and
//! only a transaction that is undone pays for more. It is for tables that change with every call.
//!
//! ```
//! use libos_abi::{Event, Pid, event::HumanEvent};
//! use libos_port::{Reversible, Undo, UndoLog};
//!
//! #[derive(Default, serde::Serialize)]
//! struct Heard {
//!     messages: Vec<Option<Pid>>,
//!     #[serde(skip)]
//!     log: UndoLog<()>,
//! }
//!
//! impl Undo for Heard {
//!     type Event = HumanEvent;
//!     type Step = ();
//!     fn apply(&mut self, event: &HumanEvent) {
//!         if let HumanEvent::Output { pid, .. } = event {
//!             self.log.note(|| ());
//!             self.messages.push(*pid);
//!         }
//!     }
//!     fn undo(&mut self, (): ()) {
//!         self.messages.pop();
//!     }
//!     fn log(&mut self) -> &mut UndoLog<()> {
//!         &mut self.log
//!     }
//! }
//!
//! let said = HumanEvent::Output { pid: None, human: "owner".into(), message: "done".into() };
//! let mut heard = Reversible::<Heard>::default();
//! heard.apply(&said);
//! let before = heard.digest();
//! heard.begin();
//! heard.apply(&said);
//! heard.apply(&said);
//! assert_eq!(heard.messages.len(), 3);
//! heard.rollback();
//! assert_eq!((heard.messages.len(), heard.digest()), (1, before));
//! ```

use std::ops::Deref;

use libos_abi::{Digest, Event};
use serde::Serialize;

use crate::Context;

/// State that changes by applying events and in no other way, in place.
pub trait Undo: Default + Send + Serialize {
    /// Its events.
    type Event: Into<Event>;

    /// What takes one change back.
    type Step: Send;

    /// Applies an event, and notes what takes each change back. Total: it never fails and never
    /// looks at anything but `self`.
    fn apply(&mut self, event: &Self::Event);

    /// Takes a change back; those made after it were taken back before. Notes nothing.
    fn undo(&mut self, step: Self::Step);

    /// Its log, which is no part of the state's meaning and not serialized.
    fn log(&mut self) -> &mut UndoLog<Self::Step>;
}

/// What takes back the changes made since the last mark.
#[derive(Debug)]
pub struct UndoLog<T> {
    steps: Vec<T>,
    is_marked: bool,
}

impl<T> Default for UndoLog<T> {
    fn default() -> Self {
        Self { steps: Vec::new(), is_marked: false }
    }
}

impl<T> UndoLog<T> {
    /// Notes what takes a change back; nothing before the first mark, as in recovery.
    pub fn note(&mut self, step: impl FnOnce() -> T) {
        if self.is_marked {
            self.steps.push(step());
        }
    }
}

/// A component's state that is changed in place, with a mark to come back to.
#[derive(Debug, Default)]
pub struct Reversible<S> {
    now: S,
}

impl<S: Undo> Reversible<S> {
    /// A state to go on from, such as one of a snapshot.
    #[must_use]
    pub fn of(state: S) -> Self {
        Self { now: state }
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

    /// See [`Component::begin`](crate::Component::begin).
    pub fn begin(&mut self) {
        let log = self.now.log();
        log.is_marked = true;
        log.steps.clear();
        // What one large transaction took is not kept for all the small ones.
        log.steps.shrink_to(KEPT_STEPS);
    }

    /// See [`Component::rollback`](crate::Component::rollback).
    pub fn rollback(&mut self) {
        while let Some(step) = self.now.log().steps.pop() {
            self.now.undo(step);
        }
    }

    /// See [`Component::digest`](crate::Component::digest).
    #[must_use]
    pub fn digest(&self) -> Digest {
        libos_abi::state_digest(&self.now)
    }
}

/// How many steps the log has room for between transactions.
const KEPT_STEPS: usize = 1_024;

impl<S> Deref for Reversible<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.now
    }
}

#[cfg(test)]
mod tests {
    use libos_abi::event::HumanEvent;

    use super::*;

    /// A number that every event doubles and adds one to.
    #[derive(Default, Serialize)]
    struct Sum {
        value: u64,
        #[serde(skip)]
        log: UndoLog<u64>,
    }

    impl Undo for Sum {
        type Event = HumanEvent;
        type Step = u64;
        fn apply(&mut self, _: &HumanEvent) {
            let value = self.value;
            self.log.note(|| value);
            self.value = 2 * value + 1;
        }
        fn undo(&mut self, value: u64) {
            self.value = value;
        }
        fn log(&mut self) -> &mut UndoLog<u64> {
            &mut self.log
        }
    }

    #[test]
    fn it_comes_back_to_its_last_mark_and_to_no_other() {
        let event = HumanEvent::Output { pid: None, human: String::new(), message: "".into() };
        let mut sum = Reversible::<Sum>::default();
        for _ in 0..3 {
            sum.apply(&event);
        }
        sum.rollback();
        assert_eq!((sum.value, sum.now.log.steps.len()), (7, 0), "nothing noted without a mark");
        for _ in 0..2 {
            sum.begin();
            let marked = sum.value;
            sum.apply(&event);
            sum.apply(&event);
            sum.rollback();
            assert_eq!(sum.value, marked);
            sum.rollback();
            assert_eq!(sum.value, marked, "what was taken back is taken back once");
            sum.apply(&event);
        }
        sum.begin();
        for _ in 0..5_000 {
            sum.now.log.note(|| 0);
        }
        sum.begin();
        assert!(sum.now.log.steps.capacity() < 5_000, "a large transaction is not paid for ever");
        sum.rollback();
        assert_eq!(sum.value, 31);
    }
}
