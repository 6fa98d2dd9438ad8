//! Policy tests: what other grants would have decided about what was done.
//!
//! The recorded history is decided once more by the engine that decides, which is given the rules
//! of a file in place of everything that a host, a human or a parent granted. What the kernel
//! gives (a process's own memory, messages with its parent and its children), what was cut from
//! that, and what bounds a process stay as they were. Recorded approvals do not carry over.
//!
//! Each process that makes calls is given the rules when it is made, and counts their uses for
//! itself. Nothing is performed and nothing is written.

mod narrow;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use libos_abi::{
    CapId, Demand, Denial, Error, Event, Fault, Few, GrantSpec, Label, Labelled, Need, OpId,
    Origin, Pid, Principal, Record, Reply, Seq, Syscall,
    capability::{self, Charge},
    event::{CapabilityEvent, LabelEvent, NewCapability, OpEvent, ProcessEvent, Step, Verdict},
    tool::Program,
};
use libos_journal::Journal;
use libos_port::{Authority, Caller, Context, Decision, Query, Stop};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::narrow::{NarrowError, Narrowest, narrowest};
use crate::{Builder, audit, task::TaskError};

/// A rules file: grants as in a task file, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesFile {
    /// What every process would have been granted.
    #[serde(default)]
    pub grant: Vec<GrantSpec>,
}

/// Reads a rules file.
///
/// # Errors
/// [`TaskError`], which names the file and the line.
pub fn load(path: &Path) -> Result<RulesFile, TaskError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| TaskError::Read { path: path.to_owned(), source })?;
    let invalid = |message| TaskError::Invalid { path: path.to_owned(), message };
    let rules: RulesFile = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    // Whether the engine takes them at all is seen on a process that nothing bounds.
    let mut engine = Engine::of(Builder::new());
    for (at, grant) in rules.grant.iter().enumerate() {
        engine
            .grant(Pid(1), grant, 0)
            .map_err(|error| invalid(format!("grant {}: {error}", at + 1)))?;
    }
    Ok(rules)
}

/// What is decided about a call, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It goes through.
    Allowed,
    /// A human is asked.
    Asked,
    /// It is refused.
    Denied,
}

/// A call that would have been decided in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The operation.
    pub op: OpId,
    /// The record that decided it.
    pub seq: Seq,
    /// Who called.
    pub pid: Pid,
    /// The call.
    pub call: &'static str,
    /// What it needed.
    pub needs: Vec<Need>,
    /// What was decided.
    pub was: Word,
    /// What would have been.
    pub would_be: Word,
    /// Why it would be refused.
    pub reason: Option<String>,
}

/// A rule that a process cannot be given, because a manifest above it does not foresee it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withheld {
    /// The process.
    pub pid: Pid,
    /// The number of the rule in its file, from 1.
    pub rule: usize,
    /// Why.
    pub reason: String,
}

/// What a policy test comes to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tested {
    /// How many calls were decided, by what was decided and what would have been.
    pub counts: BTreeMap<(Word, Word), u64>,
    /// Every call that would have been decided in another way, in the order of the decisions.
    pub changed: Vec<Changed>,
    /// What some process would not have been given.
    pub withheld: Vec<Withheld>,
}

impl Tested {
    /// How many calls were decided.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many would have been decided so, and were decided otherwise.
    #[must_use]
    pub fn newly(&self, word: Word) -> u64 {
        let newly = self.counts.iter().filter(|((was, would), _)| *would == word && was != would);
        newly.map(|(_, count)| count).sum()
    }
}

/// Decides the recorded calls once more, those of one process or all.
///
/// # Errors
/// [`audit::AuditError`] when the journal cannot be read.
pub fn test(
    parts: Builder,
    journal: &dyn Journal,
    rules: &RulesFile,
    pid: Option<Pid>,
) -> Result<Tested, audit::AuditError> {
    let mut history = History {
        engine: Engine::of(parts),
        rules: &rules.grant,
        only: pid,
        parents: BTreeMap::new(),
        open: BTreeMap::new(),
        labels: BTreeMap::new(),
        tested: Tested::default(),
    };
    audit::scan(journal, Seq(0), |seq, record| {
        history.follow(seq, record);
        true
    })?;
    Ok(history.tested)
}

/// A call that is not over.
struct Open {
    pid: Pid,
    call: Syscall,
    step: Step,
    /// Whether a generated tool made it.
    by_tool: bool,
    /// The generated tool that it is a call of.
    program: Option<Arc<Program>>,
    /// Once it is decided: whether it takes from finite rules, and what was decided in the record.
    taken: Option<(bool, Word)>,
    /// Whether the record gave back what it had taken there.
    gave_back: Option<bool>,
}

/// The history as far as it was read.
struct History<'a> {
    engine: Engine,
    rules: &'a [GrantSpec],
    only: Option<Pid>,
    parents: BTreeMap<Pid, Pid>,
    open: BTreeMap<OpId, Open>,
    /// The labels of what processes have taken in.
    labels: BTreeMap<Pid, Label>,
    tested: Tested,
}

impl History<'_> {
    fn follow(&mut self, seq: Seq, record: Record) {
        let mut made = Vec::new();
        for event in record.events {
            match event {
                Event::Process(ProcessEvent::Spawned { pid, parent, .. }) => {
                    self.parents.extend(parent.map(|parent| (pid, parent)));
                    made.push(pid);
                }
                Event::Capability(event) => {
                    if let CapabilityEvent::Settled { op, gave_back } = &event
                        && let Some(open) = self.open.get_mut(op)
                    {
                        open.gave_back = Some(*gave_back);
                    }
                    self.engine.follow(event);
                }
                Event::Op(event) => self.follow_op(seq, record.at_ms, event),
                Event::Label(LabelEvent::Set { what: Labelled::Process(pid), label }) => {
                    self.labels.insert(pid, label);
                }
                _ => {}
            }
        }
        // What bounds a process is known once its making is over.
        for pid in made {
            self.give(pid, record.at_ms);
        }
    }

    fn give(&mut self, pid: Pid, now_ms: u64) {
        for (at, grant) in self.rules.iter().enumerate() {
            if let Err(error) = self.engine.grant(pid, grant, now_ms)
                && self.only.is_none_or(|only| only == pid)
            {
                let reason = error.to_string();
                self.tested.withheld.push(Withheld { pid, rule: at + 1, reason });
            }
        }
    }

    fn follow_op(&mut self, seq: Seq, now_ms: u64, event: OpEvent) {
        match event {
            OpEvent::Admitted { op, caller, step, call, .. } => {
                let by_tool = caller.tool().is_some();
                let (program, taken, gave_back) = (None, None, None);
                if let Some(pid) = caller.pid() {
                    let open = Open { pid, call, step, by_tool, program, taken, gave_back };
                    self.open.insert(op, open);
                }
            }
            OpEvent::Loaded { op, program } => {
                if let Some(open) = self.open.get_mut(&op) {
                    open.program = Some(program);
                }
            }
            OpEvent::Decided { op, verdict } => {
                let was = match verdict {
                    Verdict::Allowed(_) => Word::Allowed,
                    Verdict::Asked { .. } => Word::Asked,
                    Verdict::Denied(_) => Word::Denied,
                };
                // A call that was asked about is decided again when it goes on.
                if let Some(open) = self.open.remove(&op) {
                    let open = match open.taken {
                        None => self.decide(seq, op, now_ms, open, was),
                        Some(_) => open,
                    };
                    self.open.insert(op, open);
                }
            }
            OpEvent::Settled { op, outcome } => {
                if let Some(open) = self.open.remove(&op)
                    && let Some((true, was)) = open.taken
                {
                    // Only the record of a finite grant tells what a provider certified.
                    let never_began = was == Word::Allowed && never_began(&outcome);
                    self.engine.settle(op, open.gave_back.unwrap_or(never_began));
                }
            }
            OpEvent::Dispatched { .. }
            | OpEvent::Blocked { .. }
            | OpEvent::Drawn { .. }
            | OpEvent::Excerpted { .. } => {}
        }
    }

    /// Why the generated tool that makes a call may not: it does not declare it.
    fn undeclared(&self, open: &Open) -> Option<Denial> {
        if !open.by_tool {
            return None;
        }
        let above = std::iter::successors(open.step.parent, |op| self.open.get(op)?.step.parent);
        let program = above.filter_map(|op| self.open.get(&op)?.program.as_ref()).next()?;
        program.tool.declares(&open.call).err()
    }

    fn decide(&mut self, seq: Seq, op: OpId, now_ms: u64, mut open: Open, was: Word) -> Open {
        let Demand::Rights(needs) = open.call.demand() else { return open };
        let ancestors: Vec<Pid> =
            std::iter::successors(self.parents.get(&open.pid), |pid| self.parents.get(*pid))
                .copied()
                .collect();
        let decision = match self.undeclared(&open) {
            Some(denial) => Decision::Deny(denial),
            None => {
                let label = self.labels.get(&open.pid).copied().unwrap_or_default();
                self.engine.decide(&open, label, &ancestors, &needs, op, now_ms)
            }
        };
        // A call that closes a quantum has nobody to wait for an answer.
        let may_ask = open.step.index > 0;
        let (would_be, reason, charges) = match decision {
            Decision::Allow { charges, .. } => (Word::Allowed, None, charges),
            Decision::Ask { .. } if may_ask => (Word::Asked, None, Vec::new()),
            Decision::Ask { .. } => (Word::Denied, Some("nobody waits for it".into()), Vec::new()),
            Decision::Deny(denial) => (Word::Denied, Some(denial.to_string()), Vec::new()),
        };
        open.taken = Some((self.engine.reserve(op, charges), was));
        if self.only.is_none_or(|only| only == open.pid) {
            *self.tested.counts.entry((was, would_be)).or_default() += 1;
            if was != would_be {
                self.tested.changed.push(Changed {
                    op,
                    seq,
                    pid: open.pid,
                    call: open.call.info().name,
                    needs: needs.into_iter().collect(),
                    was,
                    would_be,
                    reason,
                });
            }
        }
        open
    }
}

/// Whether a call that was allowed ended before anything was done.
fn never_began(outcome: &libos_abi::Outcome) -> bool {
    matches!(
        outcome,
        Err(Error::Fault(Fault::Cancelled | Fault::OverBudget { .. } | Fault::Interrupted { .. }))
    )
}

/// The engine that decides, with numbers of its own for what it is given.
struct Engine {
    authority: Box<dyn Authority>,
    last: CapId,
    /// The numbers of what carries over: in the record, and here.
    carried: BTreeMap<CapId, CapId>,
}

impl Engine {
    fn of(parts: Builder) -> Self {
        let authority = parts.into_authority();
        Self { authority, last: CapId(0), carried: BTreeMap::new() }
    }

    /// Grants on the word of the host.
    fn grant(&mut self, to: Pid, grant: &GrantSpec, now_ms: u64) -> Result<(), Error> {
        let mut cx = Alone {
            caller: Caller { principal: Principal::Host("policy".into()), admission: None },
            now_ms,
        };
        self.authority.begin();
        let call = capability::Grant { to, grant: grant.clone() };
        match self.authority.call(&mut cx, &call.into()) {
            Ok(Reply::Capability(capability::Reply::Grant(granted))) => {
                self.last = granted.capability;
                Ok(())
            }
            Err(Stop::Error(error)) => {
                self.authority.rollback();
                Err(error)
            }
            Ok(_) | Err(_) => Err(Fault::Unsupported { call: "capability.grant".into() }.into()),
        }
    }

    /// Takes in what the record says, as it is.
    fn take_in(&mut self, event: CapabilityEvent) {
        self.authority.apply(&Event::Capability(event));
    }

    /// Follows the record in what does not come from a host, a human or a parent.
    fn follow(&mut self, event: CapabilityEvent) {
        let event = match event {
            CapabilityEvent::Granted(new) => match self.carry(*new) {
                Some(new) => CapabilityEvent::Granted(Box::new(new)),
                None => return,
            },
            CapabilityEvent::Revoked { capability, subject, reason } => {
                match self.here(capability) {
                    Some(here) => CapabilityEvent::Revoked { capability: here, subject, reason },
                    None => return,
                }
            }
            CapabilityEvent::Kept { subject, dropped } => {
                let here = dropped.iter().filter_map(|id| self.here(*id));
                CapabilityEvent::Kept { subject, dropped: here.collect() }
            }
            CapabilityEvent::Restored { checkpoint, revived, revoked } => {
                let here = revoked.iter().filter_map(|id| self.here(*id));
                CapabilityEvent::Restored { checkpoint, revived, revoked: here.collect() }
            }
            // What is set aside and spent follows from what is decided here.
            CapabilityEvent::Reserved { .. } | CapabilityEvent::Settled { .. } => return,
            other => other,
        };
        self.take_in(event);
    }

    /// Under which number this engine has a capability of the record. Those of kin have the same.
    fn here(&self, id: CapId) -> Option<CapId> {
        let is_of_kin = id.kin_child().is_some();
        if is_of_kin { Some(id) } else { self.carried.get(&id).copied() }
    }

    /// What the kernel gave, or what was cut from that, under a number of this engine.
    fn carry(&mut self, new: NewCapability) -> Option<NewCapability> {
        let parent = new.parent.and_then(|id| self.here(id));
        if new.binding.is_some() || (new.origin != Origin::Kernel && parent.is_none()) {
            return None;
        }
        self.last = CapId(self.last.0 + 1);
        self.carried.insert(new.id, self.last);
        Some(NewCapability { id: self.last, parent, ..new })
    }

    fn decide(
        &self,
        open: &Open,
        label: Label,
        ancestors: &[Pid],
        needs: &Few<Need>,
        op: OpId,
        now_ms: u64,
    ) -> Decision {
        self.authority.decide(&Query {
            subject: open.pid,
            ancestors,
            needs,
            call: &open.call,
            digest: &|| open.call.digest(),
            op,
            label,
            now_ms,
        })
    }

    /// Sets aside what a call takes from finite grants; tells whether that is anything.
    fn reserve(&mut self, op: OpId, charges: Vec<Charge>) -> bool {
        let takes = !charges.is_empty();
        if takes {
            self.take_in(CapabilityEvent::Reserved { op, charges });
        }
        takes
    }

    fn settle(&mut self, op: OpId, gave_back: bool) {
        self.take_in(CapabilityEvent::Settled { op, gave_back });
    }
}

/// A context in which there is nobody to ask, and nothing is recorded.
struct Alone {
    caller: Caller,
    now_ms: u64,
}

impl Context for Alone {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn op(&self) -> OpId {
        OpId(0)
    }

    fn started_ms(&self) -> u64 {
        self.now_ms
    }

    fn emit(&mut self, _: Event) {}

    fn send(&mut self, call: Syscall) -> Result<Reply, Error> {
        Err(Fault::Unsupported { call: call.info().name.into() }.into())
    }
}
