//! Events a process can wait for.
//!
//! Owns who subscribed to what, and a queue of each subscriber: numbered, bounded, with a cursor
//! that moves when events are taken. What happened is told by the broker within the transaction
//! that did it. An event is an observation: it says what happened, carries no content and gives no
//! authority; of an object only those are told who may read it at that moment. It never asks who
//! lives and never looks at what an event is about.
//!
//! ```
//! use libos_events::Events;
//! use libos_port::Component;
//!
//! assert_eq!(Events::default().manifest().serves, ["event"]);
//! ```
#![forbid(unsafe_code)]

mod core;

pub use crate::core::{Limits, QUEUE_MAX};

use libos_abi::{
    DenyReason, Digest, Event, Fault, Pid, Reply, Resource, Right, Syscall, capability,
    event::SubscriberEvent,
    events::{
        self, EndSubscriber, Events as Given, FailureKind, ListSubscriptions, Publish, ReadEvents,
        Server, Subscribe, Subscriptions as Listed, Unsubscribe, WaitEvents,
    },
    process::{Wait, WaitOn},
};
use libos_port::{BadSnapshot, Component, Context, Manifest, Stop, Versioned};

use crate::core::Board;

/// The component behind `event`.
#[derive(Debug, Default)]
pub struct Events {
    state: Versioned<Board>,
    limits: Limits,
}

impl Events {
    /// Without subscriptions, and with other limits than the default ones.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { state: Versioned::default(), limits }
    }

    fn listed(&self, pid: Pid) -> Listed {
        Listed { subscriptions: self.state.subscriptions(pid) }
    }

    fn limit(&self, asked: Option<u32>) -> usize {
        asked.unwrap_or(self.limits.events_default).min(self.limits.events_max) as usize
    }
}

/// The caller: events are told to processes.
fn own(cx: &dyn Context) -> Result<Pid, Stop> {
    let pid = cx.caller().pid();
    pid.ok_or_else(|| Fault::bad("events are for processes; the host watches the journal").into())
}

impl<'c> Server<dyn Context + 'c, Stop> for Events {
    fn subscribe(&mut self, cx: &mut (dyn Context + 'c), call: &Subscribe) -> Result<Listed, Stop> {
        let pid = own(cx)?;
        for subscription in self.state.plan_subscribe(call, pid, &self.limits)? {
            self.state.change(cx, SubscriberEvent::Subscribed { pid, subscription });
        }
        Ok(self.listed(pid))
    }

    fn unsubscribe(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Unsubscribe,
    ) -> Result<Listed, Stop> {
        let pid = own(cx)?;
        for subscription in self.state.plan_unsubscribe(call, pid) {
            self.state.change(cx, SubscriberEvent::Unsubscribed { pid, subscription });
        }
        Ok(self.listed(pid))
    }

    fn subscriptions(
        &mut self,
        cx: &mut (dyn Context + 'c),
        _: &ListSubscriptions,
    ) -> Result<Listed, Stop> {
        Ok(self.listed(own(cx)?))
    }

    fn wait(&mut self, cx: &mut (dyn Context + 'c), call: &WaitEvents) -> Result<Given, Stop> {
        let pid = own(cx)?;
        let limit = self.limit(call.limit);
        if limit == 0 {
            return Err(Fault::bad("a limit of 0 events waits for ever").into());
        }
        let events = self.state.events(pid, None, limit);
        if !events.events.is_empty() {
            self.state.change(cx, SubscriberEvent::Taken { pid, cursor: events.cursor });
            return Ok(events);
        }
        let until_ms = call.timeout_ms.map(|timeout| cx.started_ms().saturating_add(timeout.0));
        match until_ms {
            Some(until_ms) if cx.now_ms() >= until_ms => {
                Err(FailureKind::TimedOut.because("no event came in the time given").into())
            }
            None if self.state.subscriptions(pid).is_empty() => {
                let what = "a process that subscribes to nothing would wait for ever";
                Err(Fault::bad(what).into())
            }
            _ => Err(Stop::Wait(Wait { on: WaitOn::Event(pid), until_ms })),
        }
    }

    fn read(&mut self, cx: &mut (dyn Context + 'c), call: &ReadEvents) -> Result<Given, Stop> {
        let pid = match (cx.caller().pid(), call.pid) {
            (None, Some(pid)) => pid,
            (Some(own), Some(pid)) if own != pid => {
                return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
            }
            _ => own(cx)?,
        };
        Ok(self.state.events(pid, call.after, self.limit(call.limit)))
    }

    fn publish(&mut self, cx: &mut (dyn Context + 'c), call: &Publish) -> Result<(), Stop> {
        let Publish { of, what } = *call;
        let (kind, at_ms) = (what.kind(), cx.now_ms());
        let Some(object) = what.object() else {
            if let Some(pid) = of.filter(|pid| self.state.hears(*pid, kind)) {
                self.state.change(cx, SubscriberEvent::Told { pid, at_ms, what });
            }
            return Ok(());
        };
        for pid in self.state.watchers(object, kind) {
            let on = Resource::object(object);
            if cx.ask(capability::May { pid, right: Right::Read, on })?.allowed {
                self.state.change(cx, SubscriberEvent::Told { pid, at_ms, what });
            }
        }
        Ok(())
    }

    fn end(&mut self, cx: &mut (dyn Context + 'c), call: &EndSubscriber) -> Result<(), Stop> {
        let pid = call.pid;
        if self.state.knows(pid) {
            let subscriptions = self.state.subscriptions(pid).len() as u64;
            self.state.change(cx, SubscriberEvent::Ended { pid, subscriptions });
        }
        Ok(())
    }
}

impl Component for Events {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["event"], imports: &["capability"] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Event(call) => events::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Subscriber(event) = event {
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
        self.state = Versioned::of(Board::load(bytes)?);
        Ok(())
    }
}
