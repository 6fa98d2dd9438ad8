//! How much one call may ask of Object Memory, and why no more.

/// The limits of Object Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of a payload, and of what one reply gives of an object: the largest text one call
    /// may carry.
    pub payload_bytes_max: u64,
    /// The bytes of a payload together with what was appended to it, and of a content that was
    /// kept as an object: what 64 MiB take as JSON at the worst, with every byte escaped. It is
    /// read in parts.
    pub content_bytes_max: u64,
    /// The bytes of one appended entry: as those of a payload.
    pub entry_bytes_max: u64,
    /// The entries appended to one object: a reply that refers to as many stored texts still fits
    /// a frame.
    pub entries_max: usize,
    /// The bytes of a type, name, tag or relation: they stay in memory and are shown on one line.
    pub word_bytes_max: usize,
    /// The parents of an object: the authority over each is decided in the same transaction.
    pub parents_max: usize,
    /// The tags of an object: a search looks at each.
    pub tags_max: usize,
    /// The links that begin or end at one object: they are listed whole, and removed or carried
    /// along in one transaction when the object goes.
    pub links_max: usize,
    /// The objects that a list gives at most: as many of the largest fit one reply.
    pub list_max: u32,
    /// The objects that a search gives when it does not say how many.
    pub query_default: u32,
    /// The objects that a search gives at most: a page still fits one reply.
    pub query_max: u32,
    /// The views of one process: a context and its history, kept in memory.
    pub views_max: usize,
    /// The objects of one view: the authority over each is decided in one transaction.
    pub view_items_max: usize,
    /// The tokens of a rendering that does not say how many.
    pub tokens_default: u64,
    /// The tokens of a rendering: at four bytes each what one reply may carry.
    pub tokens_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1 << 20,
            content_bytes_max: 512 << 20,
            entry_bytes_max: 1 << 20,
            entries_max: 1 << 14,
            word_bytes_max: 128,
            parents_max: 64,
            tags_max: 32,
            links_max: 256,
            list_max: 256,
            query_default: 100,
            query_max: 1_000,
            views_max: 256,
            view_items_max: 1_000,
            tokens_default: 8_000,
            tokens_max: 1 << 19,
        }
    }
}
