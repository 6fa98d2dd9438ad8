//! Second implementations, small enough to be read in one go.
//!
//! They prove that the suites hold to contracts and not to one implementation, and stand in where a
//! test wants no real part. None of them is meant to be run for its own sake.

mod clock;
mod fs;
mod http;
mod reference;
mod rpc;
mod shell;

pub use clock::Clock;
pub use fs::Files;
pub use http::Http;
pub use reference::Reference;
pub use rpc::Rpc;
pub use shell::Shell;
