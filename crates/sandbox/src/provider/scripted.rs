//! The port of a test: answers the calls that the test expects, in their order, and no other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use libos_abi::{
    Error, Fault, Outcome, Reply, Syscall,
    tool::{Definition, ScriptedCall, ToolTest},
};
use libos_port::{BoxFuture, Port};

/// The port of one run of a test.
pub(super) struct Scripted {
    tool: Definition,
    expected: Vec<(Syscall, Outcome)>,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    /// How many calls were made.
    made: usize,
    /// The first thing that was not as expected.
    flaw: Option<String>,
}

impl Scripted {
    /// The port of a test; the error says what is wrong with the test.
    pub(super) fn new(tool: &Definition, test: &ToolTest) -> Result<Self, String> {
        let expected = test.calls.iter().map(read).collect::<Result<_, _>>()?;
        let tool = Definition { tests: Vec::new(), ..tool.clone() };
        Ok(Self { tool, expected, so_far: Mutex::default() })
    }

    /// Whether every call was made, and no other, in order; the error says what was not.
    pub(super) fn judge(&self) -> Result<(), String> {
        let mut so_far = self.so_far();
        if let Some(flaw) = so_far.flaw.take() {
            return Err(flaw);
        }
        match self.expected.get(so_far.made) {
            None => Ok(()),
            Some((missing, _)) => {
                Err(format!("it did not make call {}, {}", so_far.made + 1, shown(missing)))
            }
        }
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, call: &Syscall) -> Outcome {
        let mut so_far = self.so_far();
        let number = so_far.made + 1;
        let flaw = match self.expected.get(so_far.made) {
            Some((expected, outcome)) if expected == call => {
                let is_denial = outcome.as_ref().is_err_and(|error| error.code() == "denied");
                match is_denial || declares(&self.tool, call) {
                    true => {
                        so_far.made = number;
                        return outcome.clone();
                    }
                    false => format!("call {number}, {}, is none that it declares", shown(call)),
                }
            }
            Some((expected, _)) => {
                format!("call {number} is {} instead of {}", shown(call), shown(expected))
            }
            None => format!("call {number}, {}, is none that the test expects", shown(call)),
        };
        so_far.flaw.get_or_insert(flaw);
        Err(Fault::Cancelled.into())
    }
}

impl Port for Scripted {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        // Answered in the order of submission, whatever is awaited first.
        let answer = self.answer(&call);
        Box::pin(async { answer })
    }
}

/// Whether the tool declares a call, as the kernel will decide it in a fresh working directory.
fn declares(tool: &Definition, call: &Syscall) -> bool {
    let mut call = call.clone();
    let mut is_inside = true;
    call.paths(&mut |path| match path.canonical("workspace") {
        Ok(canonical) => *path = canonical,
        Err(_) => is_inside = false,
    });
    is_inside && tool.declares(&call).is_ok()
}

/// A scripted call with its answer.
fn read(scripted: &ScriptedCall) -> Result<(Syscall, Outcome), String> {
    let ScriptedCall { call: name, args, reply, error } = scripted;
    let json = |what: &str, error: serde_json::Error| format!("{what} of {name}: {error}");
    let args = args.value().map_err(|error| json("the arguments", error))?;
    let call = Syscall::from_json(name, args).map_err(|error| error.to_string())?;
    let outcome = match (reply, error) {
        (Some(reply), None) => {
            let reply = reply.value().map_err(|error| json("the reply", error))?;
            Ok(Reply::from_json(name, reply).map_err(|error| error.to_string())?)
        }
        (None, Some(error)) => {
            let service = call.info().service;
            let scripted = Error::scripted(service, &error.code, &error.message);
            Err(scripted.ok_or_else(|| format!("{name} ends in no `{}`", error.code))?)
        }
        _ => return Err(format!("{name} is answered with a reply, or else an error")),
    };
    Ok((call, outcome))
}

/// A call in words.
fn shown(call: &Syscall) -> String {
    let mut args = call.args_json().unwrap_or_default();
    if let Some(fields) = args.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    let args = args.to_string();
    format!("{} {}", call.info().name, &args[..args.floor_char_boundary(200)])
}
