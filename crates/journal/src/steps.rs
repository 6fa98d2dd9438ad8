//! The names of the steps of a store, between which a crash must lose nothing.

use std::sync::Arc;

/// Is told of each step as it is passed, on the thread that passes it.
pub type OnStep = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Every step and what is about to happen there, in the order of an opening and of an append.
pub const STEPS: &[(&str, &str)] = &[
    ("open.folders", "the folders of the store are made"),
    ("open.lock", "the lock is taken"),
    ("open.database", "the database is made, if there is none"),
    ("open.named", "a new database has got its name, which is not synced yet"),
    ("open.load", "the head is read"),
    ("blobs.file", "a segment is opened"),
    ("blobs.write", "payloads are written to it"),
    ("blobs.sync", "the segment is synced"),
    ("commit.begin", "the payloads are on disk, the records are not"),
    ("commit.records", "the records go into the transaction"),
    ("commit.record", "one record has gone into it"),
    ("commit.head", "the head goes into it"),
    ("commit.blobs", "the places of the payloads go into it"),
    ("commit.commit", "all is in the transaction, nothing is on disk"),
    ("commit.done", "the records are on disk, nobody knows"),
    ("compact.begin", "what stays of a segment is on disk twice"),
    ("compact.commit", "its payloads are about to move"),
    ("compact.remove", "they have moved, the old file is still there"),
];
