//! The journals keep their contract.

use libos_conformance::suite;
use libos_journal::{Limits, MemoryJournal, SqliteJournal};

suite!(journal as memory, |_| MemoryJournal::new());
suite!(journal as sqlite, |folder| SqliteJournal::open(folder).expect("a folder takes a store"));
suite!(journal as sqlite_with_small_limits, |folder| {
    // So small that every path of the writer is taken.
    let limits = Limits {
        segment_bytes_max: 300,
        lazy_bytes_max: 40,
        lazy_records_max: 3,
        ..Limits::default()
    };
    SqliteJournal::open_with(folder, limits).expect("a folder takes a store")
});
