//! Bindings: ways to reach a part that is not called directly.
//!
//! A part (a component, the authority, a provider) is reached by a *direct* call, which needs
//! nothing from here; through [`queued`], on a thread of its own behind bounded channels; or
//! through [`wire`], in another process behind a stream of frames; through [`lines`], a provider in
//! another language. The near end of a binding is itself a [`Component`](libos_port::Component),
//! an [`Authority`](libos_port::Authority) or a [`Provider`](libos_port::Provider), so whoever
//! composes it in cannot tell the difference.
//!
//! [`inbox`] is how messages of any thread reach the one thread of the core.
//!
//! A binding carries calls and decides nothing. It never knows a part, never keeps state of one,
//! and never waits for a peer that is gone: a call then ends in a
//! [`Fault::ProviderFailed`](libos_abi::Fault::ProviderFailed) whose kind begins with `binding.`
//! (a decision in a denial, an effect under way in an unknown outcome).
//!
//! ```
//! use libos_bindings::queued;
//! use libos_port::Component;
//! # use libos_abi::{Digest, Event, Reply, Syscall};
//! # use libos_port::{BadSnapshot, Context, Manifest, Stop};
//! # #[derive(Default)]
//! # struct Clock;
//! # impl Component for Clock {
//! #     fn manifest(&self) -> Manifest { Manifest { serves: &["clock"], imports: &[] } }
//! #     fn call(&mut self, _: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
//! #         Err(Stop::unsupported(call))
//! #     }
//! #     fn apply(&mut self, _: &Event) {}
//! #     fn begin(&mut self) {}
//! #     fn rollback(&mut self) {}
//! #     fn digest(&self) -> Digest { Digest::of(b"") }
//! #     fn save(&self, _: &mut Vec<u8>) -> Result<(), BadSnapshot> { Ok(()) }
//! #     fn load(&mut self, _: &[u8]) -> Result<(), BadSnapshot> { Ok(()) }
//! # }
//! let near = queued::component(Box::new(Clock))?;
//! assert_eq!(near.manifest().serves, ["clock"]);
//! assert_eq!(near.digest(), Clock.digest());
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

mod codec;
mod component;
mod error;
mod frame;
pub mod inbox;
pub mod lines;
mod link;
mod message;
mod provider;
pub mod queued;
pub mod wire;

pub use component::{RemoteAuthority, RemoteComponent};
pub use error::BindingError;
pub use message::Role;
pub use provider::{RemoteProvider, Spawn};
