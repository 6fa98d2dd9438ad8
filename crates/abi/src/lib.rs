//! The language of the kernel: every call, reply, error and event, as plain data.
#![forbid(unsafe_code)]

mod digest;
mod ids;

pub use digest::{BadDigest, Digest};
pub use ids::{BadId, CapId, MessageId, ObjectId, OpId, Pid, RequestId, Seq};
