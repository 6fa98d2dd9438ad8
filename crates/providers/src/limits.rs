//! Every limit of the providers, each with its reason.

/// Bytes of a file that one call reads or writes: a text, held in memory as a whole.
pub const FILE_BYTES_MAX: u32 = 1_048_576;

/// Entries that one call lists when it does not say.
pub const LIST_ENTRIES_DEFAULT: u32 = 1_024;

/// Entries that one call lists: a page still fits one reply.
pub const LIST_ENTRIES_MAX: u32 = 10_000;

/// Bytes of each output of a program that are kept: what a reader still takes in.
pub const OUTPUT_BYTES_MAX: usize = 200_000;

/// How long a program runs when the call does not say, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// How long a program runs at the most, in milliseconds: longer work is several calls.
pub const TIMEOUT_MS_MAX: u64 = 300_000;
