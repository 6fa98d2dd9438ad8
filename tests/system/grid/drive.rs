//! Runs a case, kills it at a boundary, goes on to the end, and compares.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::{plans::Act, plans::Case, support::*, truth::Truth};

/// A boundary and which passing of it, as `LIBOS_CRASH_AT` takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) name: String,
    pub(crate) nth: usize,
}

/// A kill: in which command of the case, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) act: usize,
    pub(crate) at: At,
    /// Where what goes on afterwards is killed once more.
    pub(crate) again: Option<At>,
}

/// A case as it is when nothing happens to it.
pub(crate) struct Undisturbed {
    pub(crate) truth: Truth,
    codes: Vec<i32>,
    /// The boundaries each command passed, in order.
    pub(crate) passed: Vec<Vec<At>>,
}

/// What a kill came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The command ended before it came there: threads do not run alike twice.
    pub(crate) passed_by: bool,
    pub(crate) lost: Vec<String>,
    pub(crate) twice: Vec<String>,
    pub(crate) unknown: usize,
}

impl Verdict {
    fn failed(what: String) -> Self {
        Self { lost: vec![what], ..Self::default() }
    }
}

pub(crate) fn undisturbed(case: &Case) -> Result<Undisturbed, String> {
    let lab = case.lab();
    let (mut codes, mut passed) = (Vec::new(), Vec::new());
    for (n, act) in case.acts.iter().enumerate() {
        let trace = format!("trace-{n}");
        let ran = start(&lab, *act, &[("LIBOS_CRASH_TRACE", &trace)]).finish();
        if ![0, 3].contains(&ran.code) {
            return Err(format!("{} does not run: {ran}", case.call));
        }
        codes.push(ran.code);
        passed.push(read(&lab, &trace)?);
    }
    if codes.last() != Some(&0) {
        return Err(format!("{} does not end: {codes:?}", case.call));
    }
    Ok(Undisturbed { truth: Truth::of(&lab)?, codes, passed })
}

/// The boundaries that going on after a kill passes.
pub(crate) fn passed_after(case: &Case, kill: &Kill) -> Result<Vec<At>, String> {
    let lab = case.lab();
    for act in &case.acts[..kill.act] {
        start(&lab, *act, &[]).finish();
    }
    if killed(&lab, case.acts[kill.act], &kill.at).is_none() {
        return Err(format!("{} was not killed at {:?}", case.call, kill.at));
    }
    let trace = [("LIBOS_CRASH_TRACE", "trace")];
    start(&lab, next(&lab, case.acts[kill.act]), &trace).finish();
    read(&lab, "trace")
}

/// Kills, goes on, and compares with what should be.
pub(crate) fn survive(case: &Case, wanted: &Undisturbed, kill: &Kill) -> Verdict {
    for _ in 0..3 {
        match attempt(case, wanted, kill) {
            Ok(verdict) if verdict.passed_by => {}
            Ok(verdict) => return verdict,
            Err(what) => return Verdict::failed(what),
        }
    }
    Verdict { passed_by: true, ..Verdict::default() }
}

fn attempt(case: &Case, wanted: &Undisturbed, kill: &Kill) -> Result<Verdict, String> {
    let lab = case.lab();
    let mut dead = Vec::new();
    for (n, act) in case.acts.iter().enumerate() {
        let mut act = *act;
        if n == kill.act {
            let before = said(&lab);
            for at in [Some(&kill.at), kill.again.as_ref()].into_iter().flatten() {
                match killed(&lab, act, at) {
                    Some(ran) => dead.push(ran),
                    None => return Ok(Verdict { passed_by: true, ..Verdict::default() }),
                }
                act = next(&lab, act);
            }
            // Who was cut off looks first whether it was heard.
            if matches!(act, Act::Say(_)) && said(&lab) > before {
                continue;
            }
        }
        let ran = start(&lab, act, &[]).finish();
        if ran.code != wanted.codes[n] {
            return Err(format!("it ended with {}: {ran}", ran.code));
        }
    }
    let verified = lab.verify(None);
    if verified.code != 0 {
        return Err(format!("the store does not verify: {verified}"));
    }
    let truth = Truth::of(&lab)?;
    let found = truth.against(&wanted.truth);
    let told = dead.iter().flat_map(|ran| truth.acknowledged(ran));
    Ok(Verdict {
        passed_by: false,
        lost: found.lost.into_iter().chain(told).collect(),
        twice: found.twice.into_iter().collect(),
        unknown: found.unknown,
    })
}

/// Runs a command that kills itself there; `None` if it came to its end.
fn killed(lab: &Lab, act: Act, at: &At) -> Option<Ran> {
    let at = format!("{}:{}", at.name, at.nth);
    let ran = start(lab, act, &[("LIBOS_CRASH_AT", &at)]).finish();
    (ran.code == -1).then_some(ran)
}

/// The command that goes on after `act` was killed.
fn next(lab: &Lab, act: Act) -> Act {
    match act {
        Act::Run | Act::Resume if is_begun(lab) => Act::Resume,
        act => act,
    }
}

/// How many calls of the host are on record that ended well.
fn said(lab: &Lab) -> usize {
    if !lab.path("store/journal.db").exists() {
        return 0;
    }
    let is_said = |op: &&Value| op["caller"]["host"].is_string() && op["ended"] == "ok";
    lab.audit().iter().filter(is_said).count()
}

/// Whether the store has the task.
fn is_begun(lab: &Lab) -> bool {
    lab.path("store/journal.db").exists() && !lab.json(&["ps"]).lines().is_empty()
}

/// Runs the task, or goes on with it.
pub(crate) fn go_on(lab: &Lab) -> Live {
    start(lab, next(lab, Act::Run), &[])
}

fn start(lab: &Lab, act: Act, env: &[(&str, &str)]) -> Live {
    let args: Vec<&str> = match act {
        Act::Run => vec!["--json", "run", "task.toml"],
        Act::Resume => vec!["--json", "resume"],
        Act::Say(args) => ["--json"].iter().chain(args).copied().collect(),
    };
    lab.start_with(&args, env)
}

/// A trace: each line with how often it stood there before.
fn read(lab: &Lab, trace: &str) -> Result<Vec<At>, String> {
    let text = fs::read_to_string(lab.path(trace)).map_err(|error| error.to_string())?;
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let number = |name| {
        let nth = count.entry(name).or_default();
        *nth += 1;
        At { name: name.to_owned(), nth: *nth }
    };
    Ok(text.lines().map(number).collect())
}
