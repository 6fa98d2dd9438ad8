//! The planner `workflow`: one tool as a process.

use libos_abi::{Error, Json, ObjectId, object, tool};
use libos_port::{BoxFuture, Planner, Port, QuantumEnd, Turn};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{BAD_MESSAGE, failed};

/// The planner `workflow`.
///
/// The program is `{"tool":"survey_folder","args":{"path":"src"}}`. The process calls the tool,
/// keeps what it gave back as an object of type `result`, and exits with that object. If either
/// call fails, the process ends as failed with the error's code; a malformed program ends it with
/// `bad_message`.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkflowPlanner;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    tool: String,
    #[serde(default)]
    args: Map<String, Value>,
}

impl Planner for WorkflowPlanner {
    fn kind(&self) -> &'static str {
        "workflow"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        Box::pin(async move {
            let program: Program = match serde_json::from_str(&turn.program) {
                Ok(program) => program,
                Err(error) => return failed(BAD_MESSAGE, format!("the workflow: {error}")),
            };
            match run(program, &*turn.port).await {
                Ok(result) => QuantumEnd::Exit {
                    result: Some(result),
                    message: None,
                    failed: false,
                    code: None,
                },
                Err(error) => failed(error.code(), error.to_string()),
            }
        })
    }
}

async fn run(program: Program, port: &dyn Port) -> Result<ObjectId, Error> {
    let call =
        tool::CallTool { name: program.tool, args: Json::from(&Value::Object(program.args)) };
    let ended = port.call(call).await?;
    Ok(port.call(object::Create::of("result", ended.result)).await?.id)
}
