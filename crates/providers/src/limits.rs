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

/// How long a program runs at the most, in milliseconds: a day, for work in the background. Whoever
/// waits for it meanwhile is data.
pub const TIMEOUT_MS_MAX: u64 = 86_400_000;

/// Rules of the kernel that confine one program: a folder with something kept out of it that no
/// mount covers up is given entry by entry.
pub const VIEW_RULES_MAX: usize = 4_096;

/// Programs whose digests are remembered while their files do not change.
pub const PROGRAMS_SEEN_MAX: usize = 1_024;

/// Symbolic links from the name of a program to its file: as the kernel's own.
pub const LINKS_MAX: usize = 40;

/// Files that a process of a program holds open at a time.
pub const OPEN_FILES_MAX: u64 = 4_096;

/// Bytes of a file that a program writes: 8 GiB, so that a runaway does not fill the disk.
pub const WRITTEN_FILE_BYTES_MAX: u64 = 8 << 30;

/// Processes of a program at a time, where the kernel can count them by themselves.
pub const PROCESSES_MAX: u64 = 2_048;
