//! Steps: the lines of a script, checked and typed.

use libos_abi::{Fault, SERVICES};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value};

use crate::{load::PlanFault, nearest::nearest, reference};

/// The outcome of a step without an error.
pub(crate) const OK: &str = "ok";
/// The code of a reference that leads nowhere.
pub(crate) const BAD_REFERENCE: &str = "bad_reference";

/// A step.
pub(crate) struct Step {
    /// Its line, from 1.
    pub(crate) line: usize,
    pub(crate) action: Action,
    /// The name to save its outcome under.
    pub(crate) save: Option<String>,
    /// The outcomes the plan can go on from; every one if absent.
    pub(crate) expect: Option<Vec<String>>,
}

/// What a step does.
pub(crate) enum Action {
    /// A system call.
    Call { name: String, args: Value },
    /// A spawn, fork or exec whose planner runs `program`, a text in which references are its own,
    /// or that of the file `script`, which is not loaded yet.
    Start { key: &'static str, script: Option<String>, program: Option<String>, args: Value },
    /// The end of the plan.
    Exit(Value),
}

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    call: Option<String>,
    tool: Option<String>,
    spawn: Option<WrittenSpawn>,
    fork: Option<WrittenFork>,
    exec: Option<WrittenExec>,
    exit: Option<WrittenExit>,
    args: Option<Map<String, Value>>,
    save: Option<String>,
    expect: Option<WrittenExpect>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
}

/// Steps that start a program, as they are written: the arguments of their call, those that it
/// must have first. Instead of a planner there is `script`, the name of a file, which loading
/// replaces by `program`, its text.
macro_rules! starts {
    ($($name:ident $key:literal { $($must:ident)*; $($may:ident)* })*) => {$(
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            $($must: Value,)*
            #[serde(skip_serializing)]
            script: Option<String>,
            #[serde(skip_serializing)]
            program: Option<String>,
            $(#[serde(skip_serializing_if = "Option::is_none")]
            $may: Option<Value>,)*
        }

        impl $name {
            fn action(mut self) -> Result<Action, PlanFault> {
                let (script, program) = (self.script.take(), self.program.take());
                if script.is_some() && program.is_some() {
                    return Err(PlanFault::ScriptAndProgram { beside: $key });
                }
                Ok(Action::Start { key: $key, script, program, args: serde_json::to_value(self)? })
            }
        }
    )*};
}
starts! {
    WrittenSpawn "spawn" { goal; grants image cwd budget manifest schedule }
    WrittenFork "fork" { goal mode; roots grants cwd budget manifest schedule }
    WrittenExec "exec" { image; goal keep keep_objects }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenExit {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`expect` is \"ok\", an error code or a list of them")]
enum WrittenExpect {
    One(String),
    Several(Vec<String>),
}

/// The steps among the lines of a script: blank lines and comments are none.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    numbered.filter(|(_, line)| {
        let line = line.trim_start();
        !(line.is_empty() || line.starts_with('#') || line.starts_with("//"))
    })
}

/// Checks and types a line.
pub(crate) fn parse(line: usize, text: &str) -> Result<Step, PlanFault> {
    let written: Written = serde_json::from_str(text)?;
    let save = written.save;
    let expect = written.expect.map(expected).transpose()?;
    if let Some(name) = save.as_ref().filter(|name| !is_name(name)) {
        return Err(PlanFault::BadName { name: name.clone() });
    }
    let args = written.args;
    let misplaced =
        |keys: &[(&'static str, bool)], beside| match keys.iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => Err(PlanFault::Misplaced { key, beside }),
            None => Ok(()),
        };
    let Written { call: name, tool: tool_name, spawn, fork, exec, exit, .. } = written;
    let action = match (name, tool_name, spawn, fork, exec, exit) {
        (Some(name), None, None, None, None, None) => call(name, args)?,
        (None, Some(name), None, None, None, None) => tool(name, args),
        (None, None, Some(spawn), None, None, None) => {
            misplaced(&[("args", args.is_some())], "spawn")?;
            spawn.action()?
        }
        (None, None, None, Some(fork), None, None) => {
            misplaced(&[("args", args.is_some())], "fork")?;
            fork.action()?
        }
        (None, None, None, None, Some(exec), None) => {
            misplaced(&[("args", args.is_some())], "exec")?;
            exec.action()?
        }
        (None, None, None, None, None, Some(exit)) => {
            let keys =
                [("args", args.is_some()), ("save", save.is_some()), ("expect", expect.is_some())];
            misplaced(&keys, "exit")?;
            Action::Exit(serde_json::to_value(exit)?)
        }
        (None, None, None, None, None, None) => return Err(PlanFault::NoAction),
        _ => return Err(PlanFault::ManyActions),
    };
    let step = Step { line, action, save, expect };
    step.check_references()?;
    Ok(step)
}

fn call(name: String, args: Option<Map<String, Value>>) -> Result<Action, PlanFault> {
    if libos_abi::find(&name).is_none() {
        let calls = SERVICES.iter().flat_map(|service| service.calls);
        let for_processes = calls.filter(|call| call.demand != libos_abi::DemandInfo::Kernel);
        let near = nearest(&name, for_processes.map(|call| call.name));
        return Err(PlanFault::UnknownCall { near: near.unwrap_or_default(), name });
    }
    let args = Value::Object(args.unwrap_or_default());
    Ok(Action::Call { name, args })
}

fn tool(name: String, args: Option<Map<String, Value>>) -> Action {
    Action::Call {
        name: "tool.call".into(),
        args: serde_json::json!({ "name": name, "args": args.unwrap_or_default() }),
    }
}

fn expected(written: WrittenExpect) -> Result<Vec<String>, PlanFault> {
    let codes = match written {
        WrittenExpect::One(code) => vec![code],
        WrittenExpect::Several(codes) => codes,
    };
    if codes.is_empty() {
        return Err(PlanFault::NothingExpected);
    }
    let faults = Fault::TABLE.iter().map(|(_, code, _)| *code);
    let failures = SERVICES.iter().flat_map(|service| service.failures);
    let known: Vec<&str> = [OK, BAD_REFERENCE]
        .into_iter()
        .chain(faults)
        .chain(failures.map(|failure| failure.code))
        .collect();
    match codes.iter().find(|code| !known.contains(&code.as_str())) {
        None => Ok(codes),
        Some(code) => Err(PlanFault::UnknownCode {
            near: nearest(code, known).unwrap_or_default(),
            code: code.clone(),
        }),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl Step {
    /// Checks that its references close.
    fn check_references(&self) -> Result<(), PlanFault> {
        let (Action::Call { args, .. } | Action::Start { args, .. } | Action::Exit(args)) =
            &self.action;
        reference::check(args).map_err(|error| PlanFault::BadReference { what: error.to_string() })
    }

    /// What it does, for messages.
    pub(crate) fn title(&self) -> String {
        match &self.action {
            Action::Call { name, args } if name == "tool.call" => {
                format!("tool {}", args["name"].as_str().unwrap_or_default())
            }
            Action::Call { name, .. } => name.clone(),
            Action::Start { key, .. } => (*key).into(),
            Action::Exit(_) => "exit".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of a step as the error for an unknown one lists them.
    fn keys(key: &str) -> BTreeSet<String> {
        let text = format!("{{\"{key}\":{{\"?\":1}}}}");
        let Err(fault) = parse(1, &text) else { panic!("`?` is no key") };
        let fault = fault.to_string();
        fault.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_step_that_starts_a_program_takes_the_arguments_of_its_call() {
        for key in ["spawn", "fork", "exec"] {
            let info = libos_abi::find(&format!("process.{key}")).expect("it is in the table");
            let args = info.args.iter().map(|arg| arg.name.to_owned());
            // Which process it is of is for the host to say.
            let own = |name: &String| name != "planner" && name != "pid";
            let mut expected: BTreeSet<_> = args.filter(own).collect();
            expected.extend(["script".to_owned(), "program".to_owned()]);
            assert_eq!(keys(key), expected, "{key}");
        }
    }
}
