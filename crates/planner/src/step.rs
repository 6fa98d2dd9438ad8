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
    /// A child whose planner runs `program`, a text in which references are the child's own, or
    /// that of the file `script`, which is not loaded yet.
    Spawn { script: Option<String>, program: Option<String>, args: Value },
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
    exit: Option<WrittenExit>,
    args: Option<Map<String, Value>>,
    save: Option<String>,
    expect: Option<WrittenExpect>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
}

/// A spawn as it is written. `script` names a file; loading replaces it by `program`, its text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSpawn {
    goal: Value,
    script: Option<String>,
    program: Option<String>,
    grants: Option<Value>,
    image: Option<Value>,
    cwd: Option<Value>,
    budget: Option<Value>,
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
    let action = match (written.call, written.tool, written.spawn, written.exit) {
        (Some(name), None, None, None) => call(name, args)?,
        (None, Some(name), None, None) => tool(name, args),
        (None, None, Some(_), None) if args.is_some() => {
            return Err(PlanFault::Misplaced { key: "args", beside: "spawn" });
        }
        (None, None, Some(written), None) => spawn(written)?,
        (None, None, None, Some(written)) => {
            let misplaced =
                [("args", args.is_some()), ("save", save.is_some()), ("expect", expect.is_some())];
            if let Some((key, _)) = misplaced.into_iter().find(|(_, is_there)| *is_there) {
                return Err(PlanFault::Misplaced { key, beside: "exit" });
            }
            Action::Exit(serde_json::to_value(written)?)
        }
        (None, None, None, None) => return Err(PlanFault::NoAction),
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

fn spawn(written: WrittenSpawn) -> Result<Action, PlanFault> {
    if written.script.is_some() && written.program.is_some() {
        return Err(PlanFault::ScriptAndProgram);
    }
    let optional = [
        ("grants", written.grants),
        ("image", written.image),
        ("cwd", written.cwd),
        ("budget", written.budget),
    ];
    let mut args = Map::from_iter([("goal".to_owned(), written.goal)]);
    for (key, value) in optional {
        args.extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok(Action::Spawn {
        script: written.script,
        program: written.program,
        args: Value::Object(args),
    })
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
        let (Action::Call { args, .. } | Action::Spawn { args, .. } | Action::Exit(args)) =
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
            Action::Spawn { .. } => "spawn".into(),
            Action::Exit(_) => "exit".into(),
        }
    }
}
