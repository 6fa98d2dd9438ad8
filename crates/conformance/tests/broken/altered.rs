//! A part with one of its answers replaced.

use libos_abi::{Digest, Error, Event, OpId, Reply, Syscall};
use libos_port::{
    Authority, BadSnapshot, Caller, Component, Context, Decision, Manifest, Query, Stop,
};

/// A call as the altered part serves it.
pub(crate) type Call<P> = fn(&mut P, &mut dyn Context, &Syscall) -> Result<Reply, Stop>;

/// A part that does what it does, but for what is replaced.
pub(crate) struct Altered<P> {
    pub(crate) part: P,
    pub(crate) call: Call<P>,
    pub(crate) apply: fn(&mut P, &Event),
    pub(crate) rollback: fn(&mut P),
    pub(crate) load: fn(&mut P, &[u8]) -> Result<(), BadSnapshot>,
    pub(crate) decide: fn(&P, &Query<'_>) -> Decision,
}

impl<P: Component> Altered<P> {
    /// A component with its calls replaced.
    pub(crate) fn call(part: P, call: Call<P>) -> Self {
        Self { call, ..Self::of(part) }
    }

    /// The component as it is.
    pub(crate) fn of(part: P) -> Self {
        Self {
            part,
            call: P::call,
            apply: P::apply,
            rollback: P::rollback,
            load: P::load,
            decide: |_, _| unreachable!("no component decides"),
        }
    }
}

impl<P: Authority> Altered<P> {
    /// An authority with its decisions replaced.
    pub(crate) fn decide(part: P, decide: fn(&P, &Query<'_>) -> Decision) -> Self {
        Self { decide, ..Self::of(part) }
    }

    /// An authority with its calls replaced.
    pub(crate) fn authority(part: P, call: Call<P>) -> Self {
        Self { call, ..Self::decide(part, P::decide) }
    }
}

impl<P: Component> Component for Altered<P> {
    fn manifest(&self) -> Manifest {
        self.part.manifest()
    }
    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        (self.call)(&mut self.part, cx, call)
    }
    fn apply(&mut self, event: &Event) {
        (self.apply)(&mut self.part, event);
    }
    fn begin(&mut self) {
        self.part.begin();
    }
    fn rollback(&mut self) {
        (self.rollback)(&mut self.part);
    }
    fn digest(&self) -> Digest {
        self.part.digest()
    }
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        self.part.save(out)
    }
    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        (self.load)(&mut self.part, bytes)
    }
}

impl<P: Authority> Authority for Altered<P> {
    fn decide(&self, query: &Query<'_>) -> Decision {
        (self.decide)(&self.part, query)
    }
}

/// A context whose answers to the calls of a part are replaced.
pub(crate) struct Answering<'a> {
    pub(crate) cx: &'a mut dyn Context,
    pub(crate) send: fn(&mut dyn Context, Syscall) -> Result<Reply, Error>,
}

impl Context for Answering<'_> {
    fn now_ms(&self) -> u64 {
        self.cx.now_ms()
    }
    fn caller(&self) -> &Caller {
        self.cx.caller()
    }
    fn op(&self) -> OpId {
        self.cx.op()
    }
    fn started_ms(&self) -> u64 {
        self.cx.started_ms()
    }
    fn emit(&mut self, event: Event) {
        self.cx.emit(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        (self.send)(self.cx, call)
    }
}
