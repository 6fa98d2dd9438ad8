//! The sandbox: tools that agents wrote, compiled and run where they can only ask.
//!
//! Owns a Wasm engine, the JavaScript engine that is itself Wasm, and a cache of compiled code. A
//! tool is a fresh instance for each call, with a share of memory, fuel and time that ends it when
//! it is used up. Its one way out is a [`Port`](libos_port::Port): it makes system calls there, and
//! there is nothing else: no file, no network, no clock, no randomness but a seeded one. This crate
//! decides how much a tool may use and never what it may do.
//!
//! ```
//! # use std::sync::Arc;
//! # use libos_abi::{Iso8601, Outcome, Reply, Syscall, clock};
//! # use libos_port::{BoxFuture, Port};
//! use libos_sandbox::{Language, Limits, Needs, Run, RunLimits, Sandbox, WhenFull};
//!
//! # struct Noon;
//! # impl Port for Noon {
//! #     fn submit(&self, _: Syscall) -> BoxFuture<'_, Outcome> {
//! #         let iso8601 = Iso8601::of(43_200_000);
//! #         let now = clock::Now { unix_ms: 43_200_000, iso8601 };
//! #         Box::pin(async { Ok(clock::Reply::GetNow(now).into()) })
//! #     }
//! # }
//! # let cache = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/sandbox-cache");
//! # let cache = std::path::Path::new(cache);
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let sandbox = Sandbox::new(Limits::STANDARD, cache).unwrap();
//! let source = "
//!     export default async function run(args: { name: string }, libos: Libos) {
//!         const now = await libos.clock.now();
//!         return `${args.name}: ${now.iso8601}`;
//!     }";
//! let tool = sandbox.compile(Language::TypeScript, source.as_bytes()).await.unwrap();
//! let run = Run {
//!     args: r#"{"name":"noon"}"#.into(),
//!     needs: Needs::from_iter(["clock.now"]),
//!     port: Arc::new(Noon),
//!     seed: 7,
//!     limits: RunLimits::STANDARD,
//!     when_full: WhenFull::Wait,
//! };
//! let report = sandbox.run(&tool, run).await;
//! assert_eq!(report.outcome.unwrap(), "noon: 1970-01-01T12:00:00.000Z");
//! # });
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the sandbox owns its cache folder, its clock and its compiler threads"
)]

#[doc(hidden)]
pub mod bench_support;
mod boundary;
mod cache;
mod compiled;
mod component;
mod engine;
mod envelope;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod guest;
mod language;
mod limits;
mod module;
mod needs;
mod provider;
mod sandbox;
mod script;

pub use error::{CompileError, Limited, Position, SetupError, ToolError};
pub use guest::Usage;
pub use language::{Language, UnknownLanguage};
pub use limits::{Limits, RunLimits};
pub use needs::Needs;
pub use provider::GeneratedTools;
pub use sandbox::{Artifact, Occupied, Report, Run, Sandbox, WhenFull};
