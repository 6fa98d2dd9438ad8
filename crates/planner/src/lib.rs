//! Planners: models, scripts, workflows and none.
//!
//! A planner proposes calls through the [`Port`](libos_port::Port) of its process and does nothing
//! else: it opens no file, reads no clock and keeps nothing between quanta but the text it hands
//! back. Run again with the same program, state and outcomes, it makes the same calls in the same
//! order.
//!
//! - [`ScriptPlanner`] runs JSON lines, one system call a line; [`load`] checks a script before it
//!   is handed to a process.
//! - [`WorkflowPlanner`] runs one tool as a process and leaves its result as an object.
//! - [`ModelPlanner`] has a model decide what is done next.
//! - [`NonePlanner`] exits at once: for processes that the host drives.
#![forbid(unsafe_code)]

mod load;
mod model;
mod nearest;
mod reference;
mod script;
mod step;
mod workflow;

use std::sync::Arc;

use libos_port::{BoxFuture, Planner, QuantumEnd, Turn};

pub use load::{LOAD_DEPTH_MAX, PROGRAM_BYTES_MAX, PlanError, PlanFault, load};
pub use model::{
    ANSWER_BYTES_MAX, ARGUMENTS_BYTES_MAX, CALLS_OF_ANSWER_MAX, CONTEXT_SUBJECT, Describe,
    GUIDE_BYTES_MAX, ModelPlanner, PROFILE_DEFAULT, QUANTUM_BYTES_DEFAULT, REPAIRS_MAX,
    RESULT_BYTES_MAX, TURNS_MAX_DEFAULT,
};
pub use script::{QUANTUM_STEPS_MAX, ScriptPlanner};
pub use workflow::WorkflowPlanner;

/// Every planner of this crate that needs nothing else.
#[must_use]
pub fn standard() -> Vec<Arc<dyn Planner>> {
    vec![Arc::new(ScriptPlanner), Arc::new(WorkflowPlanner), Arc::new(NonePlanner)]
}

/// The planner `none`: exits at once, and well. Its program is ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct NonePlanner;

impl Planner for NonePlanner {
    fn kind(&self) -> &'static str {
        "none"
    }

    fn quantum(&self, _: Turn) -> BoxFuture<'static, QuantumEnd> {
        Box::pin(async {
            QuantumEnd::Exit { result: None, message: None, failed: false, code: None }
        })
    }
}

/// The code of a program, a state or a call that is malformed: that of `Fault::BadMessage`.
const BAD_MESSAGE: &str = "bad_message";

/// The end of a process that failed.
fn failed(code: &str, message: impl Into<String>) -> QuantumEnd {
    QuantumEnd::Exit {
        result: None,
        message: Some(message.into()),
        failed: true,
        code: Some(code.to_owned()),
    }
}
