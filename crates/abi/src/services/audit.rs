//! The journal, read as audit.

use crate::{Json, Pid, Resource, call::service};

record! {
    /// One event of the journal, in words.
    #[schemars(rename = "AuditEntry")]
    pub struct Entry {
        /// The record's position.
        pub seq: u64,
        /// When, in milliseconds since the epoch.
        pub at_ms: u64,
        /// The event.
        pub event: Json,
    }

    /// Events of the journal.
    pub struct Entries {
        /// In the order they happened.
        pub entries: Vec<Entry>,
        /// Where to go on; absent at the end.
        pub next: Option<u64>,
    }
}

crate::field::carries_texts! {
    Entry { event }
    Entries { entries }
}

service! {
    /// The journal, read as audit.
    service audit = 12;
    failures {}

    /// Lists events in order.
    1 list List {
        /// From this record on; 0 if absent.
        from: Option<u64>,
        /// Only those about this process.
        pid: Option<Pid>,
        /// How many records at most; 100 if absent, 1,000 at the most.
        limit: Option<u32>,
    } -> Entries
    { demand: [Read on audit by |_| Resource::named("audit", "log")]; effect: Read; fails: []; }
}
