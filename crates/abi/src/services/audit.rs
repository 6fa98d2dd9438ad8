//! The journal: read as audit, and rid of payloads.

use crate::{Digest, Json, Pid, Resource, call::service};

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

    /// What compaction removed.
    #[derive(Copy)]
    pub struct Compacted {
        /// Payloads.
        pub payloads: u64,
        /// Their bytes.
        pub bytes: u64,
        /// The digest of their digests in order: which ones these were is kept in the store.
        pub list: Digest,
    }
}

crate::field::opaque!(Compacted);

crate::field::carries_texts! {
    Entry { event }
    Entries { entries }
}

service! {
    /// The journal: read as audit, and rid of payloads.
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
    { demand: [Read on audit by |_| Resource::named("audit", "log")]; effect: Read; fails: [];
      data: In; }

    /// Removes for good the payloads that only finished work names: calls and outcomes of tasks all
    /// of whose processes have ended before a point in time, and of the host before it. Every
    /// record stays as it is, with their digests.
    2 compact Compact {
        /// The point in time, in milliseconds since the epoch.
        before_ms: u64,
    } -> Compacted
    { demand: [host]; effect: Idempotent; fails: []; }
}
