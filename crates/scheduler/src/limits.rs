//! Every limit of the scheduler, each with its reason.

/// Numbers past which a call is refused with `Fault::Limit` or the failure its table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Live children of one process: more is a pool, and a pool wants a parent of its own.
    pub children_live_max: u32,
    /// Levels of processes, the root included: budgets climb them on every call.
    pub depth_max: u32,
    /// Live background tasks below one root: they run beside the processes that do the work.
    pub tasks_of_root_max: u32,
    /// Live background tasks of one object: whoever may write it must not fill its root's share.
    pub tasks_of_object_max: u32,
    /// Bytes of a background task's arguments: they stand in its program, which is kernel state,
    /// and so must stay inline.
    pub task_args_bytes_max: u64,
    /// Bytes of the name of a background task's tool, which is in its program too.
    pub task_tool_bytes_max: u64,
    /// Objects that a fork names for a worker: each becomes a capability.
    pub fork_roots_max: u32,
    /// Tool groups that one process has active: they are kernel state.
    pub tool_groups_max: u32,
    /// The largest weight: shares are exact to one run up to here.
    pub weight_max: u32,
    /// The weight of a process that names none.
    pub weight_default: u32,
    /// Messages in one mailbox that were not taken, interrupts included: a receiver that does not
    /// read must slow its senders down.
    pub mailbox_messages_max: u32,
    /// Interrupts in one mailbox that were not delivered: each stops one call.
    pub mailbox_interrupts_max: u32,
    /// Messages a process has taken of which it can still answer to any sender: the last ones.
    pub received_messages_max: u32,
    /// Processes listed at a time: so many fit a reply, however long their goals.
    pub list_max: u32,
    /// Messages one `message.receive` or `message.peek` gives, whatever it asks for: a reply is
    /// one frame.
    pub receive_messages_max: u32,
    /// Messages one `message.receive` or `message.peek` gives when it does not say.
    pub receive_messages_default: u32,
    /// Bytes of a message's subject, which stays in kernel state.
    pub subject_bytes_max: u64,
    /// Bytes of a channel and of a correlation, which stay in kernel state.
    pub channel_bytes_max: u64,
    /// Bytes of a message's body.
    pub body_bytes_max: u64,
    /// Bytes of an interrupt's body: it is delivered as the text of an error, so it stays inline.
    pub interrupt_bytes_max: u64,
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
    tasks_of_root_max: 16,
    tasks_of_object_max: 4,
    task_args_bytes_max: 4_095,
    task_tool_bytes_max: 256,
    fork_roots_max: 256,
    tool_groups_max: 64,
    weight_max: 10_000,
    weight_default: 100,
    mailbox_messages_max: 1_024,
    mailbox_interrupts_max: 16,
    received_messages_max: 64,
    list_max: 256,
    receive_messages_max: 100,
    receive_messages_default: 100,
    subject_bytes_max: 512,
    channel_bytes_max: 128,
    body_bytes_max: 32 << 10,
    interrupt_bytes_max: 4_095,
    payload_bytes_max: 128 << 10,
    word_bytes_max: 32 << 10,
    code_bytes_max: 256,
    sleep_ms_max: 30 * 24 * 60 * 60 * 1_000,
};
