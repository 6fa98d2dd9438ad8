//! Agent libOS: the runtime substrate for long-running LLM agents.
//!
//! This crate composes the layers and is their edge: it owns the threads, tokio, the disk and the
//! wall clock. The core it runs is the broker's [`Kernel`](libos_broker::Kernel), which has none
//! of these. Embedders start a [`Runtime`] with a [`Builder`] and talk to it through [`HostPort`];
//! every part can be replaced by another that keeps its contract.
//!
//! ```no_run
//! use agent_libos::Builder;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Builder::new().store(".libos").start()?;
//! let host = runtime.port("owner");
//! println!("{} processes", agent_libos::processes(&*host, false).await?.len());
//! runtime.shutdown()?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the edge owns threads, the clock, the disk and the control socket"
)]

pub mod approvals;
pub mod audit;
pub mod boundary;
mod builder;
pub mod config;
pub mod control;
mod core_loop;
mod generated;
mod hydrate;
pub mod label_file;
pub mod limits;
mod model;
pub mod mounts;
pub mod package;
mod parts;
pub mod policy;
mod progress;
mod recovery;
pub mod replay;
pub mod retention;
pub mod rewind;
mod runner;
pub mod skills;
pub mod task;

pub use builder::{
    Builder, Clock, HostPort, Limits, Runtime, StartError, SystemClock, replay_digest,
};
pub use core_loop::{News, State, Watch};
pub use libos_abi as abi;
pub use libos_broker as broker;
pub use libos_capability as capability;
pub use libos_checkpoints as checkpoints;
pub use libos_events as events;
pub use libos_human as human;
pub use libos_images as images;
pub use libos_journal as journal;
pub use libos_llm as llm;
pub use libos_objects as objects;
pub use libos_planner as planner;
pub use libos_port as port;
pub use libos_providers as providers;
pub use libos_sandbox as sandbox;
pub use libos_scheduler as scheduler;
pub use libos_tools as tools;

/// Every capability that the caller of a port may list, of all or of one process, in force or not.
///
/// # Errors
/// What `capability.list` ends in.
pub async fn capabilities(
    port: &dyn libos_port::Port,
    pid: Option<libos_abi::Pid>,
    all: bool,
) -> Result<Vec<libos_abi::CapabilityInfo>, libos_abi::Error> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let call = libos_abi::capability::List { pid, all: Some(all), after, limit: None };
        let page = port.call(call).await?;
        found.extend(page.capabilities);
        match page.more_after {
            Some(last) => after = Some(last),
            None => return Ok(found),
        }
    }
}

/// Every object that the caller of a port may list, of all types or of one.
///
/// # Errors
/// What `object.list` ends in.
pub async fn objects_of_type(
    port: &dyn libos_port::Port,
    r#type: Option<String>,
) -> Result<Vec<libos_abi::object::ObjectInfo>, libos_abi::Error> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let call = libos_abi::object::List { r#type: r#type.clone(), after, limit: None };
        let page = port.call(call).await?;
        found.extend(page.objects);
        match page.more_after {
            Some(last) => after = Some(last),
            None => return Ok(found),
        }
    }
}

/// Every process that the caller of a port may list, or every one that has not ended.
///
/// # Errors
/// What `process.list` ends in.
pub async fn processes(
    port: &dyn libos_port::Port,
    live: bool,
) -> Result<Vec<libos_abi::process::ProcessInfo>, libos_abi::Error> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let call = libos_abi::process::List { after, live: Some(live), limit: None };
        let page = port.call(call).await?;
        all.extend(page.processes);
        match page.more_after {
            Some(last) => after = Some(last),
            None => return Ok(all),
        }
    }
}
