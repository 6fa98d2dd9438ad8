//! The tables: one module per service.
//!
//! Numbers are explicit and append-only. [`SERVICES`] lists them all; `docs/abi.md` is generated
//! from it.

macro_rules! record {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* })*) => {$(
        #[derive(
            Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        $(#[$meta])*
        $vis struct $name { $($fields)* }
    )*};
}

pub mod audit;
pub mod capability;
pub mod checkpoint;
pub mod clock;
pub mod event;
pub mod fs;
pub mod http;
pub mod human;
pub mod image;
pub mod label;
pub mod llm;
pub mod message;
pub mod namespace;
pub mod object;
pub mod process;
pub mod rpc;
pub mod shell;
pub mod skill;
pub mod tool;

crate::call::syscalls! {
    /// Processes: launch, spawn, wait, end.
    Process process;
    /// Object Memory.
    Object object;
    /// Names for objects.
    Namespace namespace;
    /// Capabilities: look, hand on, take back, explain.
    Capability capability;
    /// Questions, approvals and messages to humans.
    Human human;
    /// Messages between processes.
    Message message;
    /// Images and their tool tables.
    Image image;
    /// Tools.
    Tool tool;
    /// Files of a mounted folder.
    Fs fs;
    /// Programs of the host.
    Shell shell;
    /// Time.
    Clock clock;
    /// The journal, read as audit.
    Audit audit;
    /// Events a process can wait for.
    Event event;
    /// The state of a process and all below it, to come back to.
    Checkpoint checkpoint;
    /// Requests over the network.
    Http http;
    /// Data labels.
    Label label;
    /// Methods of endpoints that the host has registered.
    Rpc rpc;
    /// Models.
    Llm llm;
    /// Skills.
    Skill skill;
}

impl std::error::Error for Error {}

impl From<crate::Fault> for Error {
    fn from(fault: crate::Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a system call ended in.
pub type Outcome = Result<Reply, Error>;

/// The table entry of the call named `service.method`.
#[must_use]
pub fn find(name: &str) -> Option<&'static crate::CallInfo> {
    SERVICES.iter().flat_map(|service| service.calls).find(|call| call.name == name)
}

impl Syscall {
    /// The digest of the call's encoding; of a canonical call it names exactly what was asked.
    #[must_use]
    pub fn digest(&self) -> crate::Digest {
        crate::Digest::of(&crate::wire::encode(self))
    }
}
