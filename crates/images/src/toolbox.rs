//! The pure state of what processes have besides their image: generated tools, what agents wrote,
//! and how far each has come; and the skills they have taken up.
//!
//! [`Toolbox`] folds tool events. A tool is private to the process that proposed it and known
//! there by its name. Nothing in a definition grants anything.

mod skills;
mod snapshot;

use std::{collections::BTreeMap, sync::Arc};

use imbl::OrdMap;
use libos_abi::{
    CheckpointId, Digest, Error, Pid,
    event::ToolEvent,
    skill::ActiveSkill,
    tool::{
        Definition, FailureKind, Program, ScriptedCall, Stage, ToolDetails, ToolReport, ToolStatus,
        ToolTest,
    },
    wire,
};
use libos_port::Fold;
use serde::{Serialize, Serializer};

use crate::core::{Limits, at_most, is_word, shown};

/// One generated tool.
#[derive(Debug, Clone)]
struct Entry {
    digest: Digest,
    tool: Arc<Definition>,
    report: Option<Arc<ToolReport>>,
    registered: bool,
}

/// Every generated tool, by process and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Toolbox {
    tools: OrdMap<(Pid, String), Entry>,
    /// The skills that processes have taken up, in that order.
    active: OrdMap<Pid, Arc<[ActiveSkill]>>,
    /// What the processes of each checkpoint had, as it was.
    saved: OrdMap<CheckpointId, Arc<Saved>>,
}

/// The processes of a checkpoint, each with what it had.
type Saved = BTreeMap<Pid, Kept>;

/// What a process had.
#[derive(Debug, Clone, Default)]
struct Kept {
    tools: Vec<Entry>,
    active: Arc<[ActiveSkill]>,
}

/// In the wire encoding: the serde form leaves absent fields out, so that two tools could look the
/// same.
impl Serialize for Toolbox {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let encoded = |pid: &Pid, entry: &Entry| {
            let Entry { digest, tool, report, registered } = entry;
            wire::encode(&(pid, digest, &**tool, report.as_deref(), registered))
        };
        let tools = self.tools.iter().map(|((pid, _), entry)| encoded(pid, entry));
        let saved = self.saved.iter().map(|(checkpoint, saved)| {
            let mut bytes = wire::encode(checkpoint);
            for (pid, kept) in &**saved {
                wire::encode_into(&(pid, kept.tools.len() as u64, &kept.active), &mut bytes);
                kept.tools.iter().for_each(|entry| bytes.extend(encoded(pid, entry)));
            }
            bytes
        });
        let active = self.active.iter().map(|active| wire::encode(&active));
        s.collect_seq(tools.chain(active).chain(saved))
    }
}

impl Fold for Toolbox {
    type Event = ToolEvent;

    fn apply(&mut self, event: &ToolEvent) {
        match event {
            ToolEvent::Proposed { pid, digest, tool } => {
                let (digest, tool) = (*digest, Arc::clone(tool));
                let key = (*pid, tool.name.clone());
                self.tools.insert(key, Entry { digest, tool, report: None, registered: false });
            }
            ToolEvent::Validated { pid, report } => {
                self.change(*pid, &report.name, |entry| entry.report = Some(Arc::clone(report)));
            }
            ToolEvent::Registered { pid, name } => {
                self.change(*pid, name, |entry| entry.registered = true);
            }
            ToolEvent::Unregistered { pid, name } => {
                self.tools.remove(&(*pid, name.clone()));
            }
            ToolEvent::Carried { from, to } => {
                let carried: Vec<_> = self.of(*from).filter(|(_, it)| it.registered).collect();
                let carried: Vec<_> = carried
                    .into_iter()
                    .map(|(name, entry)| ((*to, name.clone()), entry.clone()))
                    .collect();
                self.tools.extend(carried);
                self.put_active(*to, self.active_of(*from));
            }
            ToolEvent::Ended { pid } => self.put(*pid, &Kept::default()),
            ToolEvent::Saved { checkpoint, processes } => {
                let kept = |pid: &Pid| Kept {
                    tools: self.of(*pid).map(|(_, entry)| entry.clone()).collect(),
                    active: self.active_of(*pid),
                };
                let saved = processes.iter().map(|pid| (*pid, kept(pid))).collect();
                self.saved.insert(*checkpoint, Arc::new(saved));
            }
            ToolEvent::Forgotten { checkpoint } => drop(self.saved.remove(checkpoint)),
            ToolEvent::Restored { checkpoint } => {
                let saved = self.saved.get(checkpoint).cloned().unwrap_or_default();
                saved.iter().for_each(|(pid, kept)| self.put(*pid, kept));
            }
            ToolEvent::Copied { checkpoint, from, to } => {
                let saved = self.saved.get(checkpoint).cloned().unwrap_or_default();
                self.put(*to, &saved.get(from).cloned().unwrap_or_default());
            }
            ToolEvent::SkillActivated { pid, skill } => self.take_up(*pid, skill),
            ToolEvent::SkillUnloaded { pid, skill } => self.put_down(*pid, skill),
        }
    }
}

impl Toolbox {
    /// Has a process have this and nothing else.
    fn put(&mut self, pid: Pid, kept: &Kept) {
        let names: Vec<String> = self.of(pid).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.tools.remove(&(pid, name));
        }
        for entry in &kept.tools {
            self.tools.insert((pid, entry.tool.name.clone()), entry.clone());
        }
        self.put_active(pid, Arc::clone(&kept.active));
    }

    /// The tools that a process had registered at a checkpoint.
    pub(crate) fn registered_at(&self, checkpoint: CheckpointId, pid: Pid) -> Vec<Arc<Definition>> {
        let saved = self.saved.get(&checkpoint).and_then(|saved| saved.get(&pid));
        let tools = saved.into_iter().flat_map(|kept| &kept.tools);
        let registered = tools.filter(|entry| entry.registered);
        registered.map(|entry| Arc::clone(&entry.tool)).collect()
    }

    /// Whether anything is kept of a process for a checkpoint.
    pub(crate) fn has_saved(&self, checkpoint: CheckpointId, pid: Pid) -> bool {
        let saved = self.saved.get(&checkpoint).and_then(|saved| saved.get(&pid));
        saved.is_some_and(|kept| !kept.tools.is_empty() || !kept.active.is_empty())
    }

    fn change(&mut self, pid: Pid, name: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.tools.get_mut(&(pid, name.to_owned())) {
            change(entry);
        }
    }

    /// The tools of a process, by name.
    fn of(&self, pid: Pid) -> impl Iterator<Item = (&String, &Entry)> {
        let from = (pid, String::new());
        let own = self.tools.range(from..).take_while(move |((of, _), _)| *of == pid);
        own.map(|((_, name), entry)| (name, entry))
    }

    fn find(&self, pid: Pid, name: &str) -> Result<&Entry, Error> {
        let entry = self.tools.get(&(pid, name.to_owned()));
        entry.ok_or_else(|| {
            let detail = format!("{pid} has no generated tool `{}`", shown(name));
            FailureKind::NotFound.because(detail)
        })
    }

    /// The names of the tools that a process registered.
    pub(crate) fn registered(&self, pid: Pid) -> impl Iterator<Item = &String> {
        self.of(pid).filter(|(_, entry)| entry.registered).map(|(name, _)| name)
    }

    /// The registered tool of a process, to be called.
    pub(crate) fn callable(&self, pid: Pid, name: &str) -> Option<Arc<Program>> {
        let entry = self.find(pid, name).ok().filter(|entry| entry.registered)?;
        let tool = Definition { tests: Vec::new(), ..Definition::clone(&entry.tool) };
        Some(Arc::new(Program { of: pid, digest: entry.digest, tool }))
    }

    /// A tool of a process with its tests, to be validated.
    pub(crate) fn testable(&self, pid: Pid, name: &str) -> Result<Arc<Program>, Error> {
        let entry = self.find(pid, name)?;
        let tool = Definition::clone(&entry.tool);
        Ok(Arc::new(Program { of: pid, digest: entry.digest, tool }))
    }

    /// A validated tool of a process, if it is still this one, to be put into an image.
    pub(crate) fn promotable(
        &self,
        pid: Pid,
        name: &str,
        digest: Digest,
    ) -> Result<Arc<Definition>, Error> {
        let entry = self.find(pid, name)?;
        if entry.digest != digest {
            let detail = format!("{pid} has another `{name}` now: {}", entry.digest);
            return Err(FailureKind::NotFound.because(detail));
        }
        match &entry.report {
            Some(report) if report.passed => Ok(Arc::clone(&entry.tool)),
            _ => {
                let detail = format!("`{name}` has not passed tool.validate as it is now");
                Err(FailureKind::NotValidated.because(detail))
            }
        }
    }

    /// A tool of a process in full.
    pub(crate) fn inspect(&self, pid: Pid, name: &str) -> Result<ToolDetails, Error> {
        let entry = self.find(pid, name)?;
        Ok(ToolDetails {
            status: entry.status(pid),
            tool: Definition::clone(&entry.tool),
            report: entry.report.as_deref().cloned(),
        })
    }

    /// The tools of a process, or of all.
    pub(crate) fn list(&self, pid: Option<Pid>) -> Vec<ToolStatus> {
        match pid {
            Some(pid) => self.of(pid).map(|(_, entry)| entry.status(pid)).collect(),
            None => self.tools.iter().map(|((pid, _), entry)| entry.status(*pid)).collect(),
        }
    }

    /// What proposing a tool makes, if it may be proposed.
    pub(crate) fn plan_propose(
        &self,
        pid: Pid,
        tool: &Definition,
        limits: &Limits,
    ) -> Result<(ToolEvent, ToolStatus), Error> {
        check(tool, limits).map_err(|flaw| FailureKind::BadTool.because(flaw))?;
        match self.find(pid, &tool.name) {
            Ok(Entry { registered: true, .. }) => {
                let detail = format!("`{}` is registered; unregister it first", tool.name);
                return Err(FailureKind::Exists.because(detail));
            }
            Ok(_) => {}
            Err(_) => at_most("generated tools", self.of(pid).count() + 1, limits.generated_max)
                .map_err(|flaw| FailureKind::BadTool.because(flaw))?,
        }
        let digest = Digest::of(&wire::encode(tool));
        let tool = Arc::new(tool.clone());
        let entry = Entry { digest, tool: Arc::clone(&tool), report: None, registered: false };
        Ok((ToolEvent::Proposed { pid, digest, tool }, entry.status(pid)))
    }

    /// What the sandbox found out about a tool, if it is still that tool.
    pub(crate) fn plan_conclude(&self, pid: Pid, report: &ToolReport) -> Option<ToolEvent> {
        let entry = self.find(pid, &report.name).ok()?;
        let is_same = entry.digest == report.digest;
        is_same.then(|| ToolEvent::Validated { pid, report: Arc::new(report.clone()) })
    }

    /// What registering a tool makes, if it may be registered.
    pub(crate) fn plan_register(
        &self,
        pid: Pid,
        name: &str,
    ) -> Result<(ToolEvent, ToolStatus), Error> {
        let entry = self.find(pid, name)?;
        match (entry.registered, entry.stage()) {
            (true, _) => {
                let detail = format!("`{name}` is registered already");
                Err(FailureKind::Exists.because(detail))
            }
            (false, Stage::Validated) => {
                let status = ToolStatus { stage: Stage::Registered, ..entry.status(pid) };
                Ok((ToolEvent::Registered { pid, name: name.to_owned() }, status))
            }
            (false, stage) => {
                let detail = format!(
                    "`{name}` is {}: only what tool.validate has passed is registered",
                    stage.name()
                );
                Err(FailureKind::NotValidated.because(detail))
            }
        }
    }

    /// What removing a tool makes, with the tool as it was.
    pub(crate) fn plan_unregister(
        &self,
        pid: Pid,
        name: &str,
    ) -> Result<(ToolEvent, ToolStatus), Error> {
        let status = self.find(pid, name)?.status(pid);
        Ok((ToolEvent::Unregistered { pid, name: name.to_owned() }, status))
    }

    /// What copying the tools and skills of a process makes; nothing when it has none.
    pub(crate) fn plan_carry(&self, from: Pid, to: Pid) -> Option<ToolEvent> {
        let has_any = self.registered(from).next().is_some() || !self.active(from).is_empty();
        has_any.then_some(ToolEvent::Carried { from, to })
    }

    /// What dropping the tools and skills of a process makes; nothing when it has none.
    pub(crate) fn plan_end(&self, pid: Pid) -> Option<ToolEvent> {
        let has_any = self.of(pid).next().is_some() || !self.active(pid).is_empty();
        has_any.then_some(ToolEvent::Ended { pid })
    }
}

impl Entry {
    fn stage(&self) -> Stage {
        match &self.report {
            _ if self.registered => Stage::Registered,
            None => Stage::Proposed,
            Some(report) if report.passed => Stage::Validated,
            Some(_) => Stage::Rejected,
        }
    }

    fn status(&self, of: Pid) -> ToolStatus {
        ToolStatus {
            of,
            name: self.tool.name.clone(),
            description: self.tool.description.clone(),
            language: self.tool.language,
            digest: self.digest,
            stage: self.stage(),
        }
    }
}

/// That a tool is well formed; the error says what is wrong with it. Whether its source and its
/// schemas hold is found out by the sandbox.
pub(crate) fn check(tool: &Definition, limits: &Limits) -> Result<(), String> {
    let name = &tool.name;
    if !is_word(name, '_', limits) {
        return Err(format!(
            "the name `{}` is no word of 1 to {} of a-z, 0-9 and `_`",
            shown(name),
            limits.name_bytes_max
        ));
    }
    at_most("bytes of the description", tool.description.len(), limits.description_bytes_max)?;
    at_most("bytes of the source", tool.source.bytes(), limits.source_bytes_max)?;
    at_most("needs", tool.needs.len(), limits.needs_max)?;
    for need in &tool.needs {
        need.check()?;
        let patterns = need.on.as_ref().map_or(0, Vec::len);
        at_most("resources of one need", patterns, limits.needs_max)?;
    }
    at_most("tests", tool.tests.len(), limits.tests_max)?;
    tool.tests.iter().try_for_each(|test| check_test(test, limits))
}

fn check_test(test: &ToolTest, limits: &Limits) -> Result<(), String> {
    let ToolTest { name, calls, .. } = test;
    at_most("bytes of a test's name", name.len(), limits.description_bytes_max)?;
    at_most("calls of one test", calls.len(), limits.test_calls_max)?;
    if test.result.is_some() == test.error.is_some() {
        return Err(format!("the test `{}` expects a result, or else an error", shown(name)));
    }
    for ScriptedCall { call, reply, error, .. } in calls {
        if libos_abi::find(call).is_none() {
            let (name, call) = (shown(name), shown(call));
            return Err(format!("the test `{name}` expects `{call}`, which is no call"));
        }
        if reply.is_some() == error.is_some() {
            let name = shown(name);
            return Err(format!("the test `{name}` answers {call} with a reply, or else an error"));
        }
    }
    Ok(())
}
