//! The syscall broker: one pipeline, one transaction per call, no clock and no I/O.
//!
//! ```text
//! admit > demand > authorize > approve > intend > perform > settle > reply
//! ```
//!
//! [`Kernel`] owns the components and is a deterministic state machine: [`Kernel::step`] takes an
//! [`Input`] and the time and adds records, replies and effects to [`Outputs`]. The edge around it
//! commits the records and then lets the rest out. Folding the records into a fresh kernel with
//! [`Kernel::replay`] gives the same state, which is all there is to recovery.
//!
//! The broker never performs an effect, never decides authority by itself and never looks into a
//! payload. No component is reached but through it.
#![forbid(unsafe_code)]

mod content;
mod effects;
mod fingerprint;
mod flow;
mod generated;
mod kernel;
mod labels;
mod look;
mod ops;
mod output;
mod parts;
mod receipts;
mod release;
mod snapshot;
mod tx;
mod waits;

pub use kernel::{CALL_BYTES_MAX, Input, Kernel, Remembered, Submission, Submitter};
pub use labels::{LabelRules, Sink};
pub use output::{EffectOrder, Mode, Notice, Output, Outputs, Part, Records, Start, Ticket};
pub use parts::{ComposeError, Parts};
pub use receipts::RECEIPTS_MAX;
pub use release::{Edge, Line, flush, let_out};
pub use tx::REPLY_BYTES_MAX;
