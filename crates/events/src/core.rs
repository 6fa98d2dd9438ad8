//! The pure state of subscriptions.
//!
//! [`Board`] folds subscriber events. Its `plan_*` functions hold the refusals and change nothing.

mod snapshot;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use libos_abi::{
    Error, Fault, ObjectId, Pid,
    event::SubscriberEvent,
    events::{EventKind, Events, FailureKind, Occurrence, Subscribe, Subscription, Unsubscribe},
};
use libos_port::Fold;
use serde::Serialize;

/// The events kept for one process that does not take them; then the oldest is dropped and counted.
/// Some minutes of a busy process, and a few pages of memory. It is part of what a journal means,
/// so it is no setting.
pub const QUEUE_MAX: usize = 1_024;

/// How much a process may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The subscriptions of one process: they are listed whole.
    pub subscriptions_max: usize,
    /// The subscriptions to one object: all are told in the transaction that changes it.
    pub watchers_max: usize,
    /// The events that a call gives when it does not say how many.
    pub events_default: u32,
    /// The events that a call gives at most: a page still fits one reply.
    pub events_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { subscriptions_max: 256, watchers_max: 1_024, events_default: 100, events_max: 1_000 }
    }
}

/// One process that subscribed.
#[derive(Debug, Clone, Default, Serialize)]
struct Subscriber {
    /// In the order of subscription.
    subscriptions: Vector<Subscription>,
    /// What it was told and has not taken; at most [`QUEUE_MAX`].
    queue: Vector<Occurrence>,
    /// The number of the last event it was told.
    last: u64,
    /// The number of the last event it took.
    cursor: u64,
    /// What was dropped since it took events last.
    dropped: u64,
}

/// Who subscribed to what, and what they were told.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Board {
    subscribers: OrdMap<Pid, Arc<Subscriber>>,
    /// Every subscription, to find who is to be told: the object, the kind, the process.
    index: OrdSet<(Option<ObjectId>, EventKind, Pid)>,
}

impl Fold for Board {
    type Event = SubscriberEvent;

    fn apply(&mut self, event: &SubscriberEvent) {
        match event {
            SubscriberEvent::Subscribed { pid, subscription } => {
                self.index.insert((subscription.object, subscription.kind, *pid));
                self.edit(*pid).subscriptions.push_back(*subscription);
            }
            SubscriberEvent::Unsubscribed { pid, subscription } => {
                self.index.remove(&(subscription.object, subscription.kind, *pid));
                self.edit(*pid).subscriptions.retain(|it| it != subscription);
            }
            SubscriberEvent::Told { pid, at_ms, what } => {
                let subscriber = self.edit(*pid);
                subscriber.last = subscriber.last.saturating_add(1);
                let (number, at_ms, what) = (subscriber.last, *at_ms, *what);
                subscriber.queue.push_back(Occurrence { number, at_ms, what });
                if subscriber.queue.len() > QUEUE_MAX {
                    subscriber.queue.pop_front();
                    subscriber.dropped = subscriber.dropped.saturating_add(1);
                }
            }
            SubscriberEvent::Taken { pid, cursor } => {
                let subscriber = self.edit(*pid);
                subscriber.cursor = *cursor;
                subscriber.dropped = 0;
                while subscriber.queue.front().is_some_and(|event| event.number <= *cursor) {
                    subscriber.queue.pop_front();
                }
            }
            SubscriberEvent::Ended { pid, .. } => {
                if let Some(subscriber) = self.subscribers.remove(pid) {
                    for Subscription { kind, object } in &subscriber.subscriptions {
                        self.index.remove(&(*object, *kind, *pid));
                    }
                }
            }
        }
    }
}

impl Board {
    fn edit(&mut self, pid: Pid) -> &mut Subscriber {
        Arc::make_mut(self.subscribers.entry(pid).or_default())
    }

    /// Whether the process has subscribed, now or before.
    pub(crate) fn knows(&self, pid: Pid) -> bool {
        self.subscribers.contains_key(&pid)
    }

    /// The subscriptions of a process, in order.
    pub(crate) fn subscriptions(&self, pid: Pid) -> Vec<Subscription> {
        let subscriber = self.subscribers.get(&pid);
        subscriber.map_or_else(Vec::new, |it| it.subscriptions.iter().copied().collect())
    }

    /// Whether the process is to be told of its own events of this kind.
    pub(crate) fn hears(&self, pid: Pid, kind: EventKind) -> bool {
        self.index.contains(&(None, kind, pid))
    }

    /// Who subscribed to this kind of event of an object, in order.
    pub(crate) fn watchers(&self, object: ObjectId, kind: EventKind) -> Vec<Pid> {
        let first = (Some(object), kind, Pid(0));
        let last = (Some(object), kind, Pid(u64::MAX));
        self.index.range(first..=last).map(|(.., pid)| *pid).collect()
    }

    /// The subscriptions that a call adds.
    pub(crate) fn plan_subscribe(
        &self,
        call: &Subscribe,
        pid: Pid,
        limits: &Limits,
    ) -> Result<Vec<Subscription>, Error> {
        if call.kinds.is_empty() {
            return Err(Fault::bad("a subscription is to one kind of event or more").into());
        }
        let mut new: Vec<Subscription> = Vec::new();
        for kind in &call.kinds {
            check_object(*kind, call.object)?;
            let subscription = Subscription { kind: *kind, object: call.object };
            let is_there = self.index.contains(&(call.object, *kind, pid));
            if !is_there && !new.contains(&subscription) {
                new.push(subscription);
            }
        }
        let there = self.subscribers.get(&pid).map_or(0, |it| it.subscriptions.len());
        let max = limits.subscriptions_max;
        if there + new.len() > max {
            let detail = format!("{pid} may have {max} subscriptions, and has {there}");
            return Err(FailureKind::TooMany.because(detail));
        }
        for Subscription { kind, object } in &new {
            let watchers = object.map_or(0, |object| self.watchers(object, *kind).len());
            if watchers >= limits.watchers_max {
                let what = "subscriptions to one object".into();
                return Err(Fault::Limit { what, limit: limits.watchers_max as u64 }.into());
            }
        }
        Ok(new)
    }

    /// The subscriptions that a call ends.
    pub(crate) fn plan_unsubscribe(&self, call: &Unsubscribe, pid: Pid) -> Vec<Subscription> {
        let is_meant = |it: &Subscription| {
            (call.kinds.is_empty() || call.kinds.contains(&it.kind))
                && (call.object.is_none() || call.object == it.object)
        };
        let mut ended = self.subscriptions(pid);
        ended.retain(is_meant);
        ended
    }

    /// Up to `limit` events of a process behind a number, or behind its cursor.
    pub(crate) fn events(&self, pid: Pid, after: Option<u64>, limit: usize) -> Events {
        let Some(subscriber) = self.subscribers.get(&pid) else {
            return Events { events: Vec::new(), cursor: after.unwrap_or_default(), dropped: 0 };
        };
        let after = after.unwrap_or(subscriber.cursor);
        let behind = subscriber.queue.iter().filter(|event| event.number > after);
        let events: Vec<Occurrence> = behind.take(limit).copied().collect();
        let cursor = events.last().map_or(after, |event| event.number);
        Events { events, cursor, dropped: subscriber.dropped }
    }
}

/// That an event of this kind is subscribed to with an object, or without one.
fn check_object(kind: EventKind, object: Option<ObjectId>) -> Result<(), Error> {
    let is_of_object = matches!(kind, EventKind::ObjectChanged | EventKind::ObjectGone);
    match (is_of_object, object) {
        (true, None) => {
            let detail = "what happens to objects is subscribed to object by object";
            Err(FailureKind::NeedsObject.because(detail))
        }
        (false, Some(object)) => {
            let detail = format!("only changes of {object} and its end are events of it");
            Err(Fault::bad(detail).into())
        }
        _ => Ok(()),
    }
}
