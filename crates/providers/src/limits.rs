//! Every limit of the providers, each with its reason.

/// Bytes of a file that one call reads or writes: a text, held in memory as a whole.
pub const FILE_BYTES_MAX: u32 = 1_048_576;

/// Bytes of a content that are kept as one part: a page of JSON that a reader takes in one reply,
/// and few enough parts for one record.
pub const PART_BYTES: usize = 131_072;

/// Entries that one call lists when it does not say.
pub const LIST_ENTRIES_DEFAULT: u32 = 1_024;

/// Entries that one call lists: a page still fits one reply.
pub const LIST_ENTRIES_MAX: u32 = 10_000;

/// Lines or paths that one search gives when it does not say.
pub const FIND_RESULTS_DEFAULT: u32 = 100;

/// Lines or paths that one search gives.
pub const FIND_RESULTS_MAX: u32 = 1_000;

/// Bytes of a line that a search shows.
pub const FIND_LINE_BYTES_MAX: usize = 256;

/// Files and folders that one search goes through from where it begins, and names of one folder:
/// it is over in seconds.
pub const FIND_ENTRIES_MAX: usize = 50_000;

/// Folders within folders that a search enters: each is an open descriptor.
pub const FIND_DEPTH_MAX: usize = 64;

/// Bytes that one search reads.
pub const FIND_BYTES_MAX: u64 = 268_435_456;

/// Bytes of one file that are searched: so many lines can still be counted.
pub const FIND_FILE_BYTES_MAX: u32 = 16_777_216;

/// Bytes of a `.gitignore` that are obeyed.
pub const IGNORE_FILE_BYTES_MAX: u32 = 65_536;

/// Bytes of a pattern of a search.
pub const PATTERN_BYTES_MAX: usize = 4_096;

/// Bytes that a compiled pattern of a search takes, and again what it keeps while it searches.
pub const REGEX_BYTES_MAX: usize = 10_485_760;

/// Hunks of a diff: each is looked for in the whole file.
pub const PATCH_HUNKS_MAX: usize = 1_000;

/// How long one watch waits for a change when the call does not say, in milliseconds.
pub const WATCH_MS_DEFAULT: u64 = 60_000;

/// How long one watch waits for a change, in milliseconds: an hour, then its caller says whether it
/// still wants to know.
pub const WATCH_MS_MAX: u64 = 3_600_000;

/// Bytes of each output of a program that are kept: what a reader still takes in.
pub const OUTPUT_BYTES_MAX: usize = 200_000;

/// How long a program, a request or a call of a method takes when the call does not say, in
/// milliseconds.
pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// How long a request or a call of a method takes at the most, in milliseconds.
pub const REQUEST_MS_MAX: u64 = 300_000;

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

/// Bytes of a body that one request carries or takes: a text, held in memory as a whole.
pub const BODY_BYTES_MAX: u32 = 1_048_576;

/// Headers of a request besides those that the provider sets, and of an answer.
pub const HEADERS_MAX: usize = 100;

/// Bytes of the headers of a request, and of the whole head of an answer.
pub const HEAD_BYTES_MAX: usize = 65_536;

/// How long a name is looked up and a connection is made, in milliseconds: a host that is there
/// answers sooner.
pub const CONNECT_MS_MAX: u64 = 10_000;

/// Addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 4;

/// The least bytes of a secret: shorter ones stand in ordinary texts by accident.
pub const SECRET_BYTES_MIN: usize = 8;

/// Bytes of a secret: a key of 4,096 bits as text is shorter.
pub const SECRET_BYTES_MAX: usize = 4_096;

/// Secrets in one call.
pub const SECRET_USES_MAX: usize = 8;

/// Values of secrets that are looked for in what comes back, those that were replaced among them.
pub const SECRET_VALUES_MAX: usize = 64;

/// How long a command that writes a secret may take, in milliseconds: it may ask a person.
pub const SECRET_COMMAND_MS_MAX: u64 = 30_000;

/// Characters of what an endpoint says of a failure that a caller is told.
pub const RPC_MESSAGE_CHARS_MAX: usize = 500;
