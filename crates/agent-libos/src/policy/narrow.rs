//! From a refused call to the narrowest grants that would let it through.
//!
//! Nothing is guessed: the engine that decides is brought to where the record is now, is given one
//! grant after the other, and is asked again each time. What no grant can mend is said as such.

use std::collections::BTreeMap;

use libos_abi::{
    ArgView, Condition, Conditions, Demand, Denial, DenyReason, Error, Event, Fault, GrantSpec,
    Label, Labelled, Need, OpId, PATH_BYTES_MAX, Pattern, Pid, Resource, Seq, Syscall, Value,
    event::{LabelEvent, OpEvent, ProcessEvent, Step, Verdict},
};
use libos_capability::limits::VALUES_MAX;
use libos_journal::Journal;
use libos_port::Decision;
use serde::Serialize;

use super::{Engine, Open, RulesFile};
use crate::{Builder, audit};

/// The narrowest grants for a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Narrowest {
    /// The operation that was refused.
    pub op: OpId,
    /// Who made it.
    pub pid: Pid,
    /// The call.
    pub call: &'static str,
    /// What it was refused for.
    pub denial: Denial,
    /// What would let it through: each for one use, one resource, one right and these arguments.
    /// Empty if nothing has to be granted any more, or nothing that is granted helps.
    pub grants: Vec<GrantSpec>,
    /// Arguments that the grants cannot be held to: conditions cannot speak of them, or they are
    /// too long.
    pub any: Vec<&'static str>,
    /// Why the call would be refused even so.
    pub refused: Option<Denial>,
}

impl Narrowest {
    /// The grants as a task file or a rules file has them.
    ///
    /// # Errors
    /// When TOML cannot say it.
    pub fn toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&RulesFile { grant: self.grants.clone() })
    }
}

/// Why there is no such thing.
#[derive(Debug, thiserror::Error)]
pub enum NarrowError {
    /// The journal cannot be read.
    #[error(transparent)]
    Audit(#[from] audit::AuditError),
    /// No process made such a call.
    #[error("no process made a call {0}")]
    NoCall(OpId),
    /// It was not refused.
    #[error("{op} was not denied: {ended}")]
    NotDenied {
        /// The operation.
        op: OpId,
        /// What became of it.
        ended: String,
    },
}

/// A call of a process, as far as it is known.
struct Made {
    pid: Pid,
    call: Syscall,
    step: Step,
    by_tool: bool,
    denial: Option<Denial>,
    ended: Option<String>,
}

/// What the record says.
struct Read {
    engine: Engine,
    parents: BTreeMap<Pid, Pid>,
    labels: BTreeMap<Pid, Label>,
    /// The calls in question: the one that was named, and those under it.
    made: BTreeMap<OpId, Made>,
}

/// The narrowest grants that would let a refused call through, as things stand at `now_ms`. A call
/// of a tool stands for the refused call under it.
///
/// # Errors
/// [`NarrowError`].
pub fn narrowest(
    parts: Builder,
    journal: &dyn Journal,
    op: OpId,
    now_ms: u64,
) -> Result<Narrowest, NarrowError> {
    let mut read = Read {
        engine: Engine::of(parts),
        parents: BTreeMap::new(),
        labels: BTreeMap::new(),
        made: BTreeMap::new(),
    };
    audit::scan(journal, Seq(0), |_, record| {
        record.events.into_iter().for_each(|event| read.follow(op, event));
        true
    })?;
    let own = read.made.get(&op).ok_or(NarrowError::NoCall(op))?;
    let Some(denial) = own.denial.clone() else {
        let ended = own.ended.clone().unwrap_or_else(|| "it is not over".into());
        return Err(NarrowError::NotDenied { op, ended });
    };
    // What was called through a tool is what is to be granted.
    let below = read.made.iter().rev().find(|(_, made)| made.denial.as_ref() == Some(&denial));
    let (op, made) = below.unwrap_or((&op, own));
    let (op, pid, call) = (*op, made.pid, made.call.info().name);
    let (grants, any, refused) = read.try_grants(op, &denial, now_ms);
    Ok(Narrowest { op, pid, call, denial, grants, any, refused })
}

impl Read {
    fn follow(&mut self, of: OpId, event: Event) {
        match event {
            Event::Process(ProcessEvent::Spawned { pid, parent, .. }) => {
                self.parents.extend(parent.map(|parent| (pid, parent)));
            }
            Event::Label(LabelEvent::Set { what: Labelled::Process(pid), label }) => {
                self.labels.insert(pid, label);
            }
            Event::Capability(event) => self.engine.take_in(event),
            Event::Op(OpEvent::Admitted { op, caller, step, call, .. }) => {
                let is_of_it =
                    op == of || step.parent.is_some_and(|it| self.made.contains_key(&it));
                if let Some(pid) = caller.pid().filter(|_| is_of_it) {
                    let by_tool = caller.tool().is_some();
                    let (denial, ended) = (None, None);
                    self.made.insert(op, Made { pid, call, step, by_tool, denial, ended });
                }
            }
            Event::Op(OpEvent::Decided { op, verdict: Verdict::Denied(denial) }) => {
                if let Some(made) = self.made.get_mut(&op) {
                    made.denial = Some(denial);
                }
            }
            Event::Op(OpEvent::Settled { op, outcome }) => {
                let Some(made) = self.made.get_mut(&op) else { return };
                match outcome {
                    Err(Error::Fault(Fault::Denied { denial })) => made.denial = Some(denial),
                    Err(error) => made.ended = Some(error.to_string()),
                    Ok(_) => made.ended = Some("it ended well".into()),
                }
            }
            _ => {}
        }
    }

    /// Grants one right after the other until the call is let through, or what refuses it is
    /// something else.
    fn try_grants(
        mut self,
        op: OpId,
        recorded: &Denial,
        now_ms: u64,
    ) -> (Vec<GrantSpec>, Vec<&'static str>, Option<Denial>) {
        let refused = |denial: &Denial| (Vec::new(), Vec::new(), Some(denial.clone()));
        let Some(Made { pid, call, step, by_tool, .. }) = self.made.remove(&op) else {
            return refused(recorded);
        };
        let Demand::Rights(needs) = call.demand() else { return refused(recorded) };
        if !may_be_granted(&recorded.reason) {
            return refused(recorded);
        }
        let ancestors: Vec<Pid> =
            std::iter::successors(self.parents.get(&pid), |pid| self.parents.get(*pid))
                .copied()
                .collect();
        let label = self.labels.get(&pid).copied().unwrap_or_default();
        let (program, taken, gave_back) = (None, None, None);
        let open = Open { pid, call, step, by_tool, program, taken, gave_back };
        let mut grants = Vec::new();
        let mut any = Vec::new();
        loop {
            let decision = self.engine.decide(&open, label, &ancestors, &needs, op, now_ms);
            let Decision::Deny(denial) = decision else { return (grants, any, None) };
            let need = denial.need.clone().filter(|_| may_be_granted(&denial.reason));
            let Some(need) = need.filter(|_| grants.len() < needs.iter().count()) else {
                return (Vec::new(), Vec::new(), Some(denial));
            };
            let grant = exactly(&open.call, &need, &mut any);
            if self.engine.grant(pid, &grant, now_ms).is_err() {
                return (Vec::new(), Vec::new(), Some(denial));
            }
            grants.push(grant);
        }
    }
}

/// Whether a refusal is for want of a grant.
fn may_be_granted(reason: &DenyReason) -> bool {
    match reason {
        DenyReason::NoGrant
        | DenyReason::Conditions(_)
        | DenyReason::Exhausted(_)
        | DenyReason::Limit(_)
        | DenyReason::Expired(_)
        | DenyReason::Revoked(_) => true,
        DenyReason::DenyRule(_)
        | DenyReason::Human
        | DenyReason::NotForProcesses
        | DenyReason::Attenuation(_)
        | DenyReason::NotInToolTable(_)
        | DenyReason::NotInSkill(_)
        | DenyReason::Manifest(_)
        | DenyReason::NotDeclared(_)
        | DenyReason::Clearance { .. } => false,
    }
}

/// One use of one right on one resource, with these very arguments.
fn exactly(call: &Syscall, need: &Need, any: &mut Vec<&'static str>) -> GrantSpec {
    let mut when = BTreeMap::new();
    for arg in call.info().args {
        let equals = match call.arg(arg.name) {
            ArgView::None => continue,
            // The resource says it already.
            ArgView::Text(text) if names(need, text) => continue,
            ArgView::Text(text) if text.len() <= PATH_BYTES_MAX => Value::Text(text.to_owned()),
            ArgView::Bool(is) => Value::Bool(is),
            ArgView::Int(number) => Value::Int(number),
            ArgView::List(items)
                if items.len() <= VALUES_MAX
                    && items.iter().all(|item| item.len() <= PATH_BYTES_MAX) =>
            {
                Value::List(items.to_vec())
            }
            ArgView::Opaque if is_absent(call, arg.name) => continue,
            _ => {
                if !any.contains(&arg.name) {
                    any.push(arg.name);
                }
                continue;
            }
        };
        when.insert(
            arg.name.to_owned(),
            Condition { equals: Some(equals), ..Condition::default() },
        );
    }
    GrantSpec {
        uses: Some(1),
        when: Conditions(when),
        ..GrantSpec::allow(Pattern::exact(&need.on), [need.right].into_iter().collect())
    }
}

/// Whether a text is what the resource is called.
fn names(need: &Need, text: &str) -> bool {
    need.on == Resource::named(need.on.kind(), text) || need.on == Resource::file(text)
}

/// Whether an argument of which conditions cannot speak was left out.
fn is_absent(call: &Syscall, name: &str) -> bool {
    call.args_json().is_ok_and(|args| args[name].is_null())
}
