//! The planner `script`: JSON lines, one system call a line.

use libos_abi::{Error, Fault, ObjectId, Outcome, Syscall};
use libos_port::{BoxFuture, Planner, Port, QuantumEnd, Turn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    BAD_MESSAGE, failed,
    load::PlanFault,
    reference::{BadReference, Saved, substitute},
    step::{self, Action, BAD_REFERENCE, OK, Step},
};

/// The most steps of one quantum: what a crash makes a script run again.
pub const QUANTUM_STEPS_MAX: usize = 64;

/// The planner `script`.
///
/// The program is JSON lines; blank lines and lines that begin with `#` or `//` are skipped. The
/// steps run in order:
///
/// | step | what it does |
/// | --- | --- |
/// | `{"call":"fs.read","args":{"path":"a.txt"},"save":"a"}` | a system call |
/// | `{"tool":"read_file","args":{"path":"a.txt"}}` | a tool: the system call `tool.call` |
/// | `{"spawn":{"goal":"..","program":"..","grants":[..]},"save":"w"}` | a child with a script |
/// | `{"fork":{"goal":"..","mode":"copy","program":".."},"save":"f"}` | a forked child |
/// | `{"exec":{"image":"..","program":"..","keep":["cap-3"]}}` | goes on as another image |
/// | `{"exit":{"result":"${o.id}","message":"..","failed":false}}` | ends the plan |
///
/// - `save` keeps the reply under a name: `"${a.text}"` in a later step becomes that value with its
///   type; within a longer text it becomes text. `$${` stands for `${`. The text of a `program` is
///   left alone.
/// - `expect` names the outcomes that the plan goes on from: `"ok"`, an error code, or a list of
///   them. Any other outcome ends the process as failed, with the error's code, or with
///   `expectation` where an error was expected.
/// - Without `expect` the plan goes on whatever happens; a name saved under then holds
///   `{"error":{"code":..,"message":..}}`. Where an interrupt took the place of the step, the error
///   also has `interrupted`, with the `message`, the sender in `from` and the `text`; the step can
///   be written a second time.
/// - An `exec` that is done is the last step: what follows belongs to no one.
/// - `note` is a comment.
///
/// A reference that leads nowhere (`bad_reference`) and a call whose arguments do not fit
/// (`bad_message`) are mistakes of the plan: they end it unless `expect` names them. So do errors
/// that say the run itself is over: `diverged`, `stale_run`, `cancelled`, `no_process`.
///
/// Every step but `exit` makes one system call. After [`QUANTUM_STEPS_MAX`] steps the quantum ends;
/// what is kept for the next one is where to go on and those saved values that are still referred
/// to.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScriptPlanner;

impl Planner for ScriptPlanner {
    fn kind(&self) -> &'static str {
        "script"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        Box::pin(async move { run(&turn).await.unwrap_or_else(|end| end) })
    }
}

/// What is kept between quanta.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The line to go on with.
    next: usize,
    saved: Saved,
}

/// Runs one quantum; `Err` is an end before the last step.
async fn run(turn: &Turn) -> Result<QuantumEnd, QuantumEnd> {
    let mut state = State::default();
    if !turn.state.is_empty() {
        state = serde_json::from_str(&turn.state)
            .map_err(|error| failed(BAD_MESSAGE, format!("the state is malformed: {error}")))?;
    }
    let ahead: Vec<_> =
        step::lines(&turn.program).filter(|(line, _)| *line >= state.next).collect();
    let (now, later) = ahead.split_at(ahead.len().min(QUANTUM_STEPS_MAX));
    let steps = parsed(now)?;
    if turn.state.is_empty() {
        // Before anything is done, the whole program is checked.
        drop(parsed(later)?);
    }
    for step in &steps {
        perform(step, &*turn.port, &mut state.saved).await?;
    }
    match later.first() {
        Some((next, _)) => {
            state.next = *next;
            go_on(state, later)
        }
        None => Ok(QuantumEnd::Exit { result: None, message: None, failed: false, code: None }),
    }
}

fn parsed(lines: &[(usize, &str)]) -> Result<Vec<Step>, QuantumEnd> {
    let parse = |&(line, text): &(usize, &str)| {
        let step = step::parse(line, text).and_then(|step| match step.action {
            Action::Start { script: Some(file), .. } => Err(PlanFault::NotLoaded { file }),
            _ => Ok(step),
        });
        step.map_err(|fault| failed(BAD_MESSAGE, format!("line {line}: {fault}")))
    };
    lines.iter().map(parse).collect()
}

/// The end of a quantum that is not the last: keeps the values whose names occur in a reference
/// further on.
fn go_on(mut state: State, later: &[(usize, &str)]) -> Result<QuantumEnd, QuantumEnd> {
    state.saved.retain(|name, _| {
        let reference = format!("${{{name}");
        later.iter().any(|(_, text)| text.contains(&reference))
    });
    let state = serde_json::to_string(&state)
        .map_err(|error| failed(BAD_MESSAGE, format!("the state is malformed: {error}")))?;
    Ok(QuantumEnd::Continue { state })
}

/// What a step ended in.
enum Ended {
    Ok(Value),
    /// A call was made and refused.
    Refused(Error),
    /// No call could be made of the step.
    Mistake {
        code: &'static str,
        message: String,
    },
}

impl Ended {
    fn code(&self) -> &'static str {
        match self {
            Self::Ok(_) => OK,
            Self::Refused(error) => error.code(),
            Self::Mistake { code, .. } => code,
        }
    }

    /// Whether the plan ends here although nothing was expected of the step.
    fn ends_the_plan(&self) -> bool {
        match self {
            Self::Ok(_) => false,
            Self::Mistake { .. } => true,
            Self::Refused(error) => matches!(
                error,
                Error::Fault(
                    Fault::Diverged { .. } | Fault::StaleRun | Fault::Cancelled | Fault::NoProcess
                )
            ),
        }
    }

    fn message(&self) -> Option<String> {
        match self {
            Self::Ok(_) => None,
            Self::Refused(error) => Some(error.to_string()),
            Self::Mistake { message, .. } => Some(message.clone()),
        }
    }

    fn into_saved(self) -> Value {
        let code = self.code();
        let mut error = json!({ "code": code, "message": self.message() });
        match self {
            Self::Ok(value) => return value,
            Self::Refused(Error::Fault(Fault::Interrupted { message, from, text })) => {
                let interrupted = json!({ "message": message, "from": from, "text": text });
                error["interrupted"] = interrupted;
            }
            Self::Refused(_) | Self::Mistake { .. } => {}
        }
        json!({ "error": error })
    }
}

/// Makes the call of a step; `Err` when the process ends with it.
async fn perform(step: &Step, port: &dyn Port, saved: &mut Saved) -> Result<(), QuantumEnd> {
    let (name, args) = match &step.action {
        Action::Exit(args) => return Err(exit(step, args, saved)),
        Action::Call { name, args } => (name.clone(), substitute(args, saved)),
        Action::Start { key, program, args, .. } => {
            let args = substitute(args, saved).map(|args| with_program(args, program.as_deref()));
            (format!("process.{key}"), args)
        }
    };
    let ended = match args.map(|args| Syscall::from_json(&name, args)) {
        Ok(Ok(call)) => answered(port.submit(call).await),
        Ok(Err(error)) => Ended::Mistake { code: BAD_MESSAGE, message: error.to_string() },
        Err(error) => mistaken(&error),
    };
    judge(step, &ended)?;
    if name == "process.exec" && matches!(ended, Ended::Ok(_)) {
        // The process has another program now, which begins with nothing kept.
        return Err(QuantumEnd::Continue { state: String::new() });
    }
    if let Some(name) = &step.save {
        saved.insert(name.clone(), ended.into_saved());
    }
    Ok(())
}

fn mistaken(error: &BadReference) -> Ended {
    Ended::Mistake { code: BAD_REFERENCE, message: error.to_string() }
}

fn answered(outcome: Outcome) -> Ended {
    match outcome.map(|reply| reply.json()) {
        Ok(Ok(value)) => Ended::Ok(value),
        Ok(Err(error)) => {
            Ended::Mistake { code: BAD_MESSAGE, message: format!("the reply is no JSON: {error}") }
        }
        Err(error) => Ended::Refused(error),
    }
}

fn with_program(mut args: Value, program: Option<&str>) -> Value {
    if let (Some(args), Some(program)) = (args.as_object_mut(), program) {
        let planner = json!({ "kind": "script", "program": program });
        args.insert("planner".into(), planner);
    }
    args
}

/// Decides whether the plan goes on from how a step ended.
fn judge(step: &Step, ended: &Ended) -> Result<(), QuantumEnd> {
    let actual = ended.code();
    let goes_on = match &step.expect {
        Some(expected) => expected.iter().any(|code| code == actual),
        None => !ended.ends_the_plan(),
    };
    if goes_on {
        return Ok(());
    }
    let expected = match &step.expect {
        Some(expected) => format!("expected {}, got ", expected.join(" or ")),
        None => String::new(),
    };
    let why = ended.message().map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("line {}: {}: {expected}{actual}{why}", step.line, step.title());
    let code = match ended {
        Ended::Ok(_) => "expectation",
        _ => actual,
    };
    Err(failed(code, message))
}

/// The arguments of an `exit` with its references replaced.
#[derive(Deserialize)]
struct Exit {
    result: Option<ObjectId>,
    message: Option<String>,
    failed: Option<bool>,
    code: Option<String>,
}

fn exit(step: &Step, args: &Value, saved: &Saved) -> QuantumEnd {
    let exit = match substitute(args, saved).map(serde_json::from_value::<Exit>) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            return failed(BAD_MESSAGE, format!("line {}: exit: {error}", step.line));
        }
        Err(error) => return failed(BAD_REFERENCE, format!("line {}: exit: {error}", step.line)),
    };
    QuantumEnd::Exit {
        result: exit.result,
        message: exit.message,
        failed: exit.failed.unwrap_or(false),
        code: exit.code,
    }
}
