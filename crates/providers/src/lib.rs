//! Providers: the effects of Agent libOS on its host.
//!
//! [`FsProvider`] serves files of mounted folders, [`ShellProvider`] programs of the host,
//! [`HttpProvider`] requests over the network, [`RpcProvider`] methods of registered endpoints.
//! They do what the broker decided and report; they never decide authority. They must never act on
//! another resource than the one that was authorized: no symbolic link is followed, no file with a
//! second name is touched, no program is taken from the workspace, no address is connected to that
//! was not checked. [`Secrets`] of the host go where the host lets them, and are taken out of what
//! comes back. What the operating system says of a failure goes to the host's log under the
//! operation's id, never to the caller.
//!
//! An executable that this crate is linked into is run again as the supervisor of each program: a
//! function before `main` looks for a variable of the environment that says so.
//!
//! The crate is for Linux, from 5.3 on (`pidfd_open`); it uses `openat2` where the kernel has it.
//!
//! ```
//! use libos_port::Provider;
//! use libos_providers::{FsProvider, ShellConfig, ShellProvider};
//!
//! let shell = ShellProvider::new(ShellConfig::from_host());
//! assert_eq!((FsProvider::new().serves(), shell.serves()), (&["fs"][..], &["shell"][..]));
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "providers own the effects"
)]

mod content;
mod fs;
mod http;
pub mod limits;
mod probe;
mod rpc;
mod secrets;
mod shell;
#[cfg(test)]
mod testing;

pub use fs::{Access, FsProvider, Mounted};
pub use http::{BadNetwork, HttpConfig, HttpProvider, Network, Resolve, SystemResolver, Wire};
pub use limits::OUTPUT_BYTES_MAX;
pub use probe::{Probe, probe};
pub use rpc::{BadEndpoint, EndpointSpec, MethodSpec, RpcProvider};
pub use secrets::{SecretError, SecretSource, SecretSpec, Secrets};
pub use shell::{
    Layer, ShellConfig, ShellProvider, default_readable, default_search_path, layers_missing,
    toolchain_environment,
};

use libos_abi::{Error, Fault, OpId};
use libos_port::EffectOutcome;

/// Why an effect ended without a reply.
#[derive(Debug)]
enum Stop {
    /// Refused on the call's text alone: nothing began and nothing was looked at.
    Refused(Error),
    /// Tried, and failed.
    Failed(Error),
    /// Nobody can tell what became of it.
    Unknown(String),
}

impl From<Stop> for EffectOutcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => Self::NotStarted(error),
            Stop::Failed(error) => Self::Failed(error),
            Stop::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// The failure of a host that is no business of the process; the log tells more under `op`.
fn host_failure(op: OpId, doing: &str, error: &std::io::Error) -> Error {
    tracing::warn!(%op, doing, %error, "the host failed");
    provider_failed(op, format!("io.{:?}", error.kind()))
}

/// A failure of the provider with a stable kind.
fn provider_failed(op: OpId, kind: impl Into<String>) -> Error {
    let kind = kind.into();
    Error::Fault(Fault::ProviderFailed { kind, op })
}

/// A path that leads out of its mount.
fn outside(path: &libos_abi::FsPath) -> Error {
    let path = path.to_string();
    Error::Fault(Fault::OutsideMount { path })
}
