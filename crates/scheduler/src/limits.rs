//! Every limit of the scheduler, each with its reason.

/// Numbers past which a call is refused with `Fault::Limit` or the failure its table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Live children of one process: more is a pool, and a pool wants a parent of its own.
    pub children_live_max: u32,
    /// Levels of processes, the root included: budgets climb them on every call.
    pub depth_max: u32,
    /// Unread messages in one mailbox: a receiver that does not read must slow its senders down.
    pub mailbox_messages_max: u32,
    /// Messages one `message.receive` takes, whatever it asks for: a reply is one frame.
    pub receive_messages_max: u32,
    /// Messages one `message.receive` takes when it does not say.
    pub receive_messages_default: u32,
    /// Bytes of a message's subject, which stays in kernel state.
    pub subject_bytes_max: u64,
    /// Bytes of a message's body.
    pub body_bytes_max: u64,
    /// Bytes of a message's payload.
    pub payload_bytes_max: u64,
    /// Bytes of a last word or of a signal's reason, which stay with an ended process.
    pub word_bytes_max: u64,
    /// Bytes of an error code, which stays with an ended process.
    pub code_bytes_max: u64,
    /// The longest sleep, in milliseconds: 30 days.
    pub sleep_ms_max: u64,
}

/// The limits in force.
pub const LIMITS: Limits = Limits {
    children_live_max: 1_024,
    depth_max: 64,
    mailbox_messages_max: 1_024,
    receive_messages_max: 100,
    receive_messages_default: 100,
    subject_bytes_max: 512,
    body_bytes_max: 32 << 10,
    payload_bytes_max: 128 << 10,
    word_bytes_max: 32 << 10,
    code_bytes_max: 256,
    sleep_ms_max: 30 * 24 * 60 * 60 * 1_000,
};
