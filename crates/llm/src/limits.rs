//! The limits of exchanges with models, each with its reason.

/// Exchanges with one endpoint that are under way at a time: each holds a connection.
pub const EXCHANGES_MAX: u32 = 32;

/// Bytes of one event of an answer: more is no answer of a model.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// Bytes of an answer as it streams: more than any model says in one.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Milliseconds for which an endpoint is believed to want nothing: a day.
pub const HELD_MS_MAX: u64 = 86_400_000;

/// Bytes of the text and of the arguments of an answer together: more than any model says in one.
pub const SAID_BYTES_MAX: usize = 4 << 20;

/// Calls of tools in an answer: more is no answer to anything.
pub const CALLS_MAX: usize = 1_024;
