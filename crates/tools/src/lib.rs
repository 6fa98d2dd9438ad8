//! Tools: libc-like wrappers over system calls.
//!
//! Owns the table of the built-in tools and the provider that runs them. A tool has no authority:
//! whatever it does goes through the [`Port`](libos_port::Port) of the operation that called it,
//! so a process can do with a tool exactly what it can do without. Nothing in this crate opens a
//! file, reads a clock or draws a random number.
//!
//! A tool is deterministic: after a crash it runs again and its nested calls get their recorded
//! outcomes, so equal arguments and equal outcomes must give equal calls in equal order. For the
//! same reason a tool never has two nested calls under way at once.
//!
//! An error of a nested call that a tool does not handle ends the tool's call with that very
//! error: the caller sees `denied`, not "the tool failed".
//!
//! ```
//! let tool = libos_tools::describe("read_file").unwrap();
//! let schema = tool.schema.value().unwrap();
//! assert_eq!(schema["properties"]["path"]["type"], "string");
//! assert!(libos_tools::names().any(|name| name == "survey_folder"));
//! ```
#![forbid(unsafe_code)]

mod authority;
mod checkpoints;
mod error;
mod files;
mod generated;
mod groups;
mod host;
mod humans;
mod limits;
mod memory;
mod merge;
mod messages;
mod network;
mod objects;
mod processes;
mod skills;
mod survey;
mod table;
mod views;

use libos_abi::{Error, Json, Syscall, tool};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};

pub use limits::Limits;
pub use table::{describe, names};

/// The provider of the service `tool`: runs the built-in tools.
///
/// A call ends in [`tool::FailureKind::UnknownTool`] for a name that is not in the table, in
/// [`tool::FailureKind::BadArguments`] for arguments that do not fit the tool's schema, in
/// [`tool::FailureKind::ToolFailed`] for a failure of the tool's own, and otherwise in the first
/// error of a nested call that the tool does not handle.
#[derive(Debug, Clone, Copy, Default)]
pub struct ToolProvider;

impl Provider for ToolProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["tool"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        Box::pin(async move {
            match run(order).await {
                Ok(reply) => EffectOutcome::Done(tool::Reply::CallTool(reply).into()),
                Err(error) => EffectOutcome::Failed(error),
            }
        })
    }
}

async fn run(order: Order) -> Result<tool::ToolResult, Error> {
    let Syscall::Tool(tool::Call::CallTool(call)) = order.call else {
        return Err(libos_abi::Fault::Unsupported { call: order.call.info().name.into() }.into());
    };
    let args = call
        .args
        .value()
        .map_err(|error| tool::FailureKind::BadArguments.because(error.to_string()))?;
    let result = table::run(&call.name, args, order.port).await?;
    Ok(tool::ToolResult { result: Json::from(&result) })
}
