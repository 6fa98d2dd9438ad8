//! Time.

use crate::{Iso8601, Millis, Resource, call::service};

record! {
    /// A point in time.
    pub struct Now {
        /// Milliseconds since the epoch.
        pub unix_ms: u64,
        /// The same as `2026-11-22T21:08:28.000Z`.
        pub iso8601: Iso8601,
    }

    /// A sleep that is over.
    pub struct Slept {
        /// How long it was to be.
        pub ms: u64,
        /// How long it was.
        pub elapsed_ms: u64,
    }
}

crate::field::opaque!(Now, Slept);

service! {
    /// Time. The kernel's time is that of the journal; a sleeping process is data.
    service clock = 11;
    failures {
        /// The sleep is longer than the limit.
        1 "too_long" TooLong;
    }

    /// Tells the time.
    1 now GetNow {} -> Now
    { demand: [Read on clock by |_| Resource::named("clock", "now")]; effect: State; fails: []; }

    /// Sleeps.
    2 sleep Sleep {
        /// How long; 30 days at the most.
        ms: Millis,
    } -> Slept
    { demand: [Read on clock by |_| Resource::named("clock", "sleep")]; effect: State;
      fails: [TooLong]; }
}
