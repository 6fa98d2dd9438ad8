//! The language of the kernel: every call, reply, error and event, as plain data.
//!
//! Owns the ids, resources and rights, the table of every service (request, reply, demand, effect
//! class, failures), the events of the journal, and the one wire codec. It holds no state, takes no
//! lock, starts no thread and does no I/O; it depends on no other crate of the workspace.
//!
//! ```
//! use libos_abi::{Demand, FsPath, Syscall, fs};
//!
//! let path = FsPath::from("workspace/a.txt");
//! let call: Syscall = fs::Read { path, max_bytes: None, into: None }.into();
//! assert_eq!(call.info().name, "fs.read");
//! let Demand::Rights(needs) = call.demand() else { panic!() };
//! assert_eq!(needs[0].to_string(), "read on fs:workspace/a.txt");
//! ```
#![forbid(unsafe_code)]

/// The version of the calls, replies, errors and events, and of every frame that carries them.
pub const ABI_VERSION: u16 = 2;

mod call;
mod content;
mod data;
mod digest;
pub mod docs;
mod error;
pub mod event;
mod few;
mod field;
mod grant;
mod ids;
mod iso8601;
mod joined;
mod labels;
mod resource;
mod secret;
pub mod services;
mod state;
mod url;
mod usage;
pub mod wire;

pub use call::{
    ArgInfo, BadCall, CallInfo, Demand, DemandInfo, Direction, EffectClass, FailureInfo,
    IntoDemand, Request, ServiceInfo,
};
pub use content::{CONTENT_BYTES_MAX, CONTENT_HEAD_BYTES, KeptContent};
pub use data::{BlobRef, INLINE_BYTES_MAX, Json, Millis, Text};
pub use digest::{BadDigest, Digest, Digester};
pub use error::{Denial, DenyReason, Fault, Need};
pub use event::{Event, Principal, Record};
pub use few::Few;
pub use field::{FROM_MOUNT, Field, Folder, FsPath, PATH_BYTES_MAX, is_mount_name};
pub use grant::{
    ArgType, ArgView, Binding, Bound, CapabilityInfo, Condition, Conditions, Effect, GrantSpec,
    Manifest, Origin, Scope, Status, Value,
};
pub use ids::{BadId, CapId, CheckpointId, MessageId, ObjectId, OpId, Pid, RequestId, Seq, ViewId};
pub use iso8601::{BadTime, Iso8601};
pub use joined::Joined;
pub use labels::{Integrity, Label, Labelled, Sensitivity, Source, Sources};
pub use resource::{BadResource, Form, Pattern, RESOURCE_BYTES_MAX, Resource, Right, Rights};
pub use secret::SecretUse;
pub use services::{
    Error, Outcome, Reply, SERVICES, Syscall, audit, capability, checkpoint, clock,
    event as events, find, fs, http, human, image, label, llm, message, namespace, object, process,
    rpc, shell, skill, tool,
};
pub use state::state_digest;
pub use url::{BadUrl, URL_BYTES_MAX, Url};
