//! Every limit of the capability engine, with its reason.

/// Capabilities one process may hold. A grant list a human could still review has tens; this is
/// room for the kernel's own grants on objects, and bounds every walk over one subject.
pub const CAPABILITIES_OF_ONE_SUBJECT_MAX: usize = 4096;

/// Capabilities in one reply of `capability.list`, as processes in one of `process.list`.
pub const LIST_MAX: u32 = 256;

/// Bytes after which a reply of `capability.list` takes no more: half of what a reply may have, for
/// one grant may have a quarter of a MiB of conditions.
pub const LIST_BYTES: usize = 1 << 20;

/// How deep authority may be handed on. Each level can add conditions that every call of the
/// lowest one evaluates; deeper teams than this were not seen.
pub const DELEGATION_DEPTH_MAX: u8 = 8;

/// Arguments one grant may put conditions on. No call has half as many.
pub const CONDITIONS_MAX: usize = 16;

/// Bytes of one text in a condition: the longest path, which is the longest thing compared.
pub const TEXT_BYTES_MAX: usize = libos_abi::PATH_BYTES_MAX;

/// Values in one `one_of`, and items in one list: they are compared one by one on every call.
pub const VALUES_MAX: usize = 64;

/// Bytes of one regular expression as written.
pub const REGEX_BYTES_MAX: usize = 1024;

/// Bytes of one regular expression once compiled: `\w{1,100}` fits, nested counts of counts do
/// not. A process may hold thousands of grants, so this bounds memory too.
pub const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;

/// Entries of one part of a manifest. A document a human could still review has tens, and every
/// grant to a process below is held against each.
pub const MANIFEST_ENTRIES_MAX: usize = 256;
