//! Events a process can wait for.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CapId, Millis, ObjectId, Pid, RequestId, Resource, call::service, field::opaque};

record! {
    /// Something that happened.
    #[derive(Copy)]
    pub struct Occurrence {
        /// Its number for the subscriber, from 1.
        pub number: u64,
        /// When, in milliseconds since the epoch.
        pub at_ms: u64,
        /// What.
        pub what: Happened,
    }

    /// Events that a process was told, in order.
    pub struct Events {
        /// In order.
        pub events: Vec<Occurrence>,
        /// The number of the last event given; the cursor stands behind it.
        pub cursor: u64,
        /// How many were dropped before these because the process did not read them in time.
        pub dropped: u64,
    }

    /// What a process subscribes to.
    pub struct Subscriptions {
        /// In the order of subscription.
        pub subscriptions: Vec<Subscription>,
    }

    /// One subscription.
    #[derive(Copy)]
    pub struct Subscription {
        /// What kind of event.
        pub kind: EventKind,
        /// Only of this object.
        pub object: Option<ObjectId>,
    }
}

/// What happened. It says what, never the content: that takes a call with authority of its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum Happened {
    /// A child was made.
    ChildMade {
        /// The child.
        pid: Pid,
    },
    /// A child ended.
    ChildEnded {
        /// The child.
        pid: Pid,
    },
    /// A message came.
    MessageCame {
        /// From whom; absent is the host.
        from: Option<Pid>,
    },
    /// An object was changed.
    ObjectChanged {
        /// The object.
        id: ObjectId,
        /// Its version now.
        version: u64,
    },
    /// An object was removed, released or handed over.
    ObjectGone {
        /// The object.
        id: ObjectId,
    },
    /// The process was given authority.
    CapabilityGranted {
        /// The capability.
        capability: CapId,
    },
    /// A capability of the process was taken back.
    CapabilityRevoked {
        /// The capability.
        capability: CapId,
    },
    /// A request of the process was answered.
    RequestAnswered {
        /// The request.
        request: RequestId,
    },
}

/// A kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A child was made.
    ChildMade,
    /// A child ended.
    ChildEnded,
    /// A message came.
    MessageCame,
    /// An object was changed.
    ObjectChanged,
    /// An object was removed, released or handed over.
    ObjectGone,
    /// The process was given authority.
    CapabilityGranted,
    /// A capability of the process was taken back.
    CapabilityRevoked,
    /// A request of the process was answered.
    RequestAnswered,
}

impl Happened {
    /// Its kind.
    #[must_use]
    pub fn kind(self) -> EventKind {
        match self {
            Self::ChildMade { .. } => EventKind::ChildMade,
            Self::ChildEnded { .. } => EventKind::ChildEnded,
            Self::MessageCame { .. } => EventKind::MessageCame,
            Self::ObjectChanged { .. } => EventKind::ObjectChanged,
            Self::ObjectGone { .. } => EventKind::ObjectGone,
            Self::CapabilityGranted { .. } => EventKind::CapabilityGranted,
            Self::CapabilityRevoked { .. } => EventKind::CapabilityRevoked,
            Self::RequestAnswered { .. } => EventKind::RequestAnswered,
        }
    }

    /// The object it is about.
    #[must_use]
    pub fn object(self) -> Option<ObjectId> {
        match self {
            Self::ObjectChanged { id, .. } | Self::ObjectGone { id } => Some(id),
            _ => None,
        }
    }
}

opaque!(Occurrence, Events, Subscriptions, Subscription, Happened, EventKind);

service! {
    /// Events a process can wait for: typed, numbered for each subscriber, with a cursor that
    /// survives a restart. An event is an observation and gives no authority.
    service event = 13;
    failures {
        /// No event came in the time given.
        1 "timed_out" TimedOut;
        /// The process has too many subscriptions.
        2 "too_many" TooMany;
        /// Changes of objects are subscribed to object by object.
        3 "needs_object" NeedsObject;
    }

    /// Subscribes the caller: to what happens to itself and its children, or to one object that it
    /// may read. Doing so again changes nothing.
    1 subscribe Subscribe {
        /// The kinds of event.
        kinds: Vec<EventKind>,
        /// The object, for events of objects.
        object: Option<ObjectId>,
    } -> Subscriptions
    { demand: [Read on object by |c| c.object.map(Resource::object)]; effect: State;
      fails: [TooMany NeedsObject]; }

    /// Ends subscriptions of the caller.
    2 unsubscribe Unsubscribe {
        /// The kinds of event; all if empty.
        kinds: Vec<EventKind>,
        /// The object, for events of objects.
        object: Option<ObjectId>,
    } -> Subscriptions
    { demand: [own]; effect: State; fails: []; }

    /// Lists the caller's subscriptions.
    3 subscriptions ListSubscriptions {} -> Subscriptions
    { demand: [own]; effect: State; fails: []; }

    /// Takes the events behind the caller's cursor, waiting until there is one.
    4 wait WaitEvents {
        /// How many at most; 100 if absent.
        limit: Option<u32>,
        /// How long to wait; absent is without limit, 0 not at all.
        timeout_ms: Option<Millis>,
    } -> Events
    { demand: [own]; effect: State; fails: [TimedOut]; }

    /// Looks at events behind a number without moving the cursor; an unknown number gives none.
    5 read ReadEvents {
        /// Behind this number; behind the cursor if absent.
        after: Option<u64>,
        /// How many at most; 100 if absent.
        limit: Option<u32>,
        /// The process, for the host; the caller if absent.
        pid: Option<Pid>,
    } -> Events
    { demand: [own]; effect: State; fails: []; }

    /// Tells subscribers what a transaction did.
    32 publish Publish {
        /// Whose event it is: only this process hears of it, and for an object whoever subscribed.
        of: Option<Pid>,
        /// What happened.
        what: Happened,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Ends the subscriptions of a process that has ended.
    33 end EndSubscriber {
        /// The process.
        pid: Pid,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }
}
