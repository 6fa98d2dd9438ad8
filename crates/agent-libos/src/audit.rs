//! The journal read as audit: what was asked, what was decided and why, what came of it.
//!
//! Everything here is a fold of the journal's records; there is no second log that could differ.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{
    CapId, Denial, Digest, Error, Event, Fault, Json, OpId, Origin, Outcome, Pid, Principal,
    Record, Reply, RequestId, Seq, Syscall, audit,
    event::{CapabilityEvent, HumanEvent, NewCapability, OpEvent, Step, Verdict},
    human::{Ask, Decided, Decision as Answer, Request},
    wire,
};
use libos_journal::{Dropped, Journal, JournalError};
use libos_port::EffectOutcome;
use serde::Serialize;
use serde_json::{Value, json};

use crate::retention;

/// A journal that cannot be read as audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not decode.
    #[error("record {seq} does not decode: {source}")]
    Record {
        /// The record.
        seq: Seq,
        /// What is wrong with it.
        source: wire::WireError,
    },
    /// Payloads are gone that no record tells of.
    #[error(
        "payloads were dropped in the name of {op}, which the records do not bear out: keep this \
         store as evidence and restore it from a copy"
    )]
    Act {
        /// The operation.
        op: OpId,
    },
}

/// Calls `each` with every record from `from` on, until it returns `false`.
///
/// # Errors
/// [`AuditError`] for the first record that cannot be read.
pub fn scan(
    journal: &dyn Journal,
    from: Seq,
    mut each: impl FnMut(Seq, Record) -> bool,
) -> Result<(), AuditError> {
    let mut undecoded = None;
    journal.scan(from, &mut |seq, body| match wire::decode_record(body) {
        Ok(record) => each(seq, record),
        Err(source) => {
            undecoded = Some(AuditError::Record { seq, source });
            false
        }
    })?;
    undecoded.map_or(Ok(()), Err)
}

/// One operation from its admission to its outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    /// Its id.
    pub op: OpId,
    /// Who called.
    pub caller: Principal,
    /// Its place in the process's quantum.
    pub step: Step,
    /// The call.
    pub call: &'static str,
    /// Its canonical arguments; large payloads by digest.
    pub args: Value,
    /// The record that admitted it.
    pub admitted: Seq,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Every decision about it, in order, each with its cause.
    pub decisions: Vec<Decision>,
    /// The record of its intent, when it had an effect.
    pub dispatched: Option<Seq>,
    /// The record of its outcome.
    pub settled: Option<Seq>,
    /// What it ended in.
    #[serde(skip)]
    pub outcome: Option<Outcome>,
    /// What it ended in, as its code: `ok` or an error's.
    pub ended: Option<&'static str>,
    /// The error's message.
    pub error: Option<String>,
}

/// One decision about an operation.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    /// The record.
    pub seq: Seq,
    /// What was decided.
    pub verdict: Judgement,
    /// Why: where each deciding capability came from, or who answered the request.
    pub because: Vec<String>,
}

/// What was decided about an operation.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Refused with this code before any authority was weighed: a path that leads out of its
    /// mount, a budget that is used up.
    Refused(&'static str),
    /// What authority came to.
    #[serde(untagged)]
    Verdict(Verdict),
}

/// Everything the journal says of operations, grants and requests.
#[derive(Debug, Default)]
pub struct Trail {
    /// Operations by id.
    pub operations: BTreeMap<OpId, Operation>,
    /// Capabilities as they were made.
    pub capabilities: BTreeMap<CapId, NewCapability>,
    /// Requests as they were made.
    pub requests: BTreeMap<RequestId, Request>,
    /// Answers.
    pub answers: BTreeMap<RequestId, Decided>,
}

impl Trail {
    /// Reads a whole journal.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn read(journal: &dyn Journal) -> Result<Self, AuditError> {
        let mut trail = Self::default();
        scan(journal, Seq(0), |seq, record| {
            record.events.iter().for_each(|event| trail.add(seq, record.at_ms, event));
            true
        })?;
        Ok(trail)
    }

    /// Adds one event.
    pub fn add(&mut self, seq: Seq, at_ms: u64, event: &Event) {
        match event {
            Event::Op(event) => self.add_op(seq, at_ms, event),
            Event::Capability(CapabilityEvent::Granted(made)) => {
                self.capabilities.insert(made.id, (**made).clone());
            }
            Event::Capability(CapabilityEvent::ChildKnown { parent, child }) => {
                let kin = NewCapability::kin(*parent, *child);
                self.capabilities.extend(kin.map(|kin| (kin.id, kin)));
            }
            Event::Human(HumanEvent::Opened(request)) => {
                self.requests.insert(request.id, (**request).clone());
            }
            Event::Human(HumanEvent::Decided { request, decided }) => {
                self.answers.insert(*request, decided.clone());
            }
            _ => {}
        }
    }

    fn add_op(&mut self, seq: Seq, at_ms: u64, event: &OpEvent) {
        match event {
            OpEvent::Admitted { op, caller, step, call, .. } => {
                let operation = Operation {
                    op: *op,
                    caller: caller.clone(),
                    step: *step,
                    call: call.info().name,
                    args: arguments(call),
                    admitted: seq,
                    at_ms,
                    decisions: Vec::new(),
                    dispatched: None,
                    settled: None,
                    outcome: None,
                    ended: None,
                    error: None,
                };
                self.operations.insert(*op, operation);
            }
            OpEvent::Decided { op, verdict } => {
                let because = self.because(*op, verdict);
                if let Some(operation) = self.operations.get_mut(op) {
                    let verdict = Judgement::Verdict(verdict.clone());
                    operation.decisions.push(Decision { seq, verdict, because });
                }
            }
            OpEvent::Dispatched { op } => {
                if let Some(operation) = self.operations.get_mut(op) {
                    operation.dispatched = Some(seq);
                }
            }
            OpEvent::Blocked { .. }
            | OpEvent::Loaded { .. }
            | OpEvent::Drawn { .. }
            | OpEvent::Excerpted { .. } => {}
            OpEvent::Settled { op, outcome } => {
                if let Some(operation) = self.operations.get_mut(op) {
                    operation.settled = Some(seq);
                    operation.ended = Some(outcome.as_ref().map_or_else(Error::code, |_| "ok"));
                    operation.error = outcome.as_ref().err().map(ToString::to_string);
                    operation.outcome = Some(outcome.clone());
                    operation.decisions.extend(outcome.as_ref().err().and_then(|error| {
                        let verdict = late_refusal(&operation.decisions, error)?;
                        let because = match &verdict {
                            Judgement::Verdict(Verdict::Denied(denial)) => denial.to_string(),
                            _ => error.to_string(),
                        };
                        Some(Decision { seq, verdict, because: vec![because] })
                    }));
                }
            }
        }
    }

    /// The causes of a verdict, in words.
    fn because(&self, op: OpId, verdict: &Verdict) -> Vec<String> {
        match verdict {
            Verdict::Allowed(by) if by.is_empty() => vec![match self.operations.get(&op) {
                Some(Operation { caller: Principal::Host(name), .. }) => {
                    format!("the host's operator `{name}` called")
                }
                _ => "the caller's own state".into(),
            }],
            Verdict::Allowed(by) => {
                let by = by.iter().map(|cap| self.lineage(*cap));
                by.chain(self.releases(op)).collect()
            }
            Verdict::Asked { by, request } => {
                let mut because: Vec<String> = by.iter().map(|cap| self.lineage(*cap)).collect();
                because.push(format!("{request} was put to a human"));
                because
            }
            Verdict::Denied(denial) => self.denied(op, denial),
        }
    }

    /// Who released the data of an operation.
    fn releases(&self, op: OpId) -> impl Iterator<Item = String> {
        let releases = self
            .requests
            .values()
            .filter(move |request| request.op == op && matches!(request.ask, Ask::Release(_)));
        releases.filter_map(|request| {
            let decided = self.answers.get(&request.id)?;
            let is_yes = matches!(decided.decision, Answer::Approve { .. });
            is_yes.then(|| format!("`{}` released its data ({})", decided.by, request.id))
        })
    }

    fn denied(&self, op: OpId, denial: &Denial) -> Vec<String> {
        let answer = self
            .requests
            .values()
            .filter(|request| request.op == op)
            .find_map(|request| Some((request.id, self.answers.get(&request.id)?)));
        let mut because = vec![denial.to_string()];
        if let Some((request, decided)) = answer {
            because.push(format!("`{}` answered {request}", decided.by));
        }
        because
    }

    /// Where a capability came from, back to the host, the kernel or a human.
    #[must_use]
    pub fn lineage(&self, cap: CapId) -> String {
        let mut text = String::new();
        let mut at = Some(cap);
        while let Some(made) = at.and_then(|id| self.capabilities.get(&id)) {
            if !text.is_empty() {
                text.push_str(", cut from ");
            }
            let grant = &made.grant;
            text.push_str(&format!(
                "{} ({} {} on {}",
                made.id, grant.effect, grant.rights, grant.on
            ));
            text.push_str(&match &made.origin {
                Origin::Host => ", from the host)".into(),
                Origin::Kernel => ", from the kernel)".into(),
                Origin::Delegated { by } => format!(", handed on by {by})"),
                Origin::Human { request } => match self.answers.get(request) {
                    Some(decided) => format!(", `{}` answered {request})", decided.by),
                    None => format!(", from the answer to {request})"),
                },
            });
            at = made.parent;
        }
        text
    }
}

/// The decision that an error stands for where no event of its own says it: the call was refused
/// before its authority was weighed, or by the component that served it.
fn late_refusal(decisions: &[Decision], error: &Error) -> Option<Judgement> {
    match (decisions.last(), error) {
        (Some(Decision { verdict: Judgement::Verdict(Verdict::Denied(_)), .. }), _) => None,
        (_, Error::Fault(Fault::Denied { denial })) => {
            Some(Judgement::Verdict(Verdict::Denied(denial.clone())))
        }
        (None, error) => Some(Judgement::Refused(error.code())),
        (Some(_), _) => None,
    }
}

/// The arguments of a call for people.
#[must_use]
pub fn arguments(call: &Syscall) -> Value {
    let mut args = call.args_json().unwrap_or_default();
    if let Value::Object(fields) = &mut args {
        fields.retain(|_, value| !value.is_null());
    }
    args
}

/// One event as JSON: its `type`, and its fields.
#[must_use]
pub fn describe(event: &Event) -> Value {
    match event {
        Event::Op(event) => describe_op(event),
        Event::Process(event) => tagged("process", event),
        Event::Capability(event) => tagged("capability", event),
        Event::Object(event) => tagged("object", event),
        Event::Human(event) => tagged("human", event),
        Event::Image(event) => tagged("image", event),
        Event::Subscriber(event) => tagged("subscriber", event),
        Event::Checkpoint(event) => tagged("checkpoint", event),
        Event::Tool(event) => tagged("tool", event),
        Event::Label(event) => tagged("label", event),
    }
}

fn describe_op(event: &OpEvent) -> Value {
    match event {
        OpEvent::Admitted { op, caller, step, call, .. } => json!({
            "type": "op.admitted", "op": op, "caller": caller.to_string(), "step": step.index,
            "under": step.parent, "call": call.info().name, "args": arguments(call),
        }),
        OpEvent::Decided { op, verdict } => {
            json!({ "type": "op.decided", "op": op, "verdict": verdict })
        }
        OpEvent::Dispatched { op } => json!({ "type": "op.dispatched", "op": op }),
        OpEvent::Blocked { op, wait } => json!({ "type": "op.blocked", "op": op, "wait": wait }),
        OpEvent::Loaded { op, program } => json!({
            "type": "op.loaded", "op": op, "of": program.of, "tool": program.tool.name,
            "digest": program.digest, "needs": program.tool.needs,
        }),
        OpEvent::Drawn { op, parts } => json!({
            "type": "op.drawn", "op": op, "parts": parts.len(),
            "bytes": parts.iter().map(|part| part.0.bytes()).sum::<u64>(),
        }),
        OpEvent::Excerpted { op, digest } => {
            json!({ "type": "op.excerpted", "op": op, "digest": digest })
        }
        OpEvent::Settled { op, outcome: Ok(reply) } => json!({
            "type": "op.settled", "op": op, "outcome": "ok",
            "reply": reply.json().unwrap_or_default(),
        }),
        OpEvent::Settled { op, outcome: Err(error) } => json!({
            "type": "op.settled", "op": op, "outcome": error.code(), "message": error.to_string(),
        }),
    }
}

fn tagged(kind: &str, event: &impl Serialize) -> Value {
    let value = serde_json::to_value(event).unwrap_or_default();
    let Value::Object(fields) = value else {
        return value;
    };
    let Some((name, body)) = fields.into_iter().next() else {
        return Value::Null;
    };
    let mut all = serde_json::Map::new();
    all.insert("type".into(), format!("{kind}.{name}").into());
    match body {
        Value::Object(fields) => all.extend(fields),
        other => {
            all.insert("value".into(), other);
        }
    }
    Value::Object(all)
}

/// Performs calls of the service `audit` for the core.
pub(crate) fn perform(
    journal: &mut dyn Journal,
    op: OpId,
    call: &Syscall,
    unnamed: &BTreeSet<Digest>,
) -> EffectOutcome {
    let done: Result<Reply, AuditError> = match call {
        Syscall::Audit(audit::Call::List(list)) => {
            entries(journal, list).map(|entries| audit::Reply::List(entries).into())
        }
        Syscall::Audit(audit::Call::Compact(compact)) => {
            let done = compacted(journal, op, compact.before_ms, unnamed);
            done.map(|done| audit::Reply::Compact(done).into())
        }
        _ => {
            let call = call.info().name.into();
            return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
        }
    };
    done.map_or_else(
        |error| {
            tracing::error!(%op, %error, "the journal did not serve a call");
            EffectOutcome::Failed(Fault::ProviderFailed { kind: "journal".into(), op }.into())
        },
        EffectOutcome::Done,
    )
}

/// Drops what only finished work names, and nothing of what is being kept. Cut short, it is
/// performed again under the same operation and tells what both times came to.
fn compacted(
    journal: &mut dyn Journal,
    op: OpId,
    before_ms: u64,
    unnamed: &BTreeSet<Digest>,
) -> Result<audit::Compacted, AuditError> {
    let mut plan = retention::plan(journal, before_ms)?;
    plan.digests.retain(|digest| !unnamed.contains(digest));
    let Dropped { blobs, bytes, list } = journal.drop_blobs(op.0, &plan.digests)?;
    Ok(audit::Compacted { payloads: blobs, bytes, list })
}

fn entries(journal: &dyn Journal, list: &audit::List) -> Result<audit::Entries, AuditError> {
    let from = list.from.unwrap_or(0);
    let limit = list.limit.unwrap_or(100).clamp(1, 1000) as usize;
    let mut entries = Vec::new();
    let mut next = None;
    let mut records = 0;
    let mut callers: BTreeMap<OpId, Pid> = BTreeMap::new();
    // A process's operations may have been admitted before `from`.
    let start = if list.pid.is_some() { Seq(0) } else { Seq(from) };
    scan(journal, start, |seq, record| {
        let mut any = false;
        for event in &record.events {
            if let Event::Op(OpEvent::Admitted { op, caller, .. }) = event
                && let Some(pid) = caller.pid()
            {
                callers.insert(*op, pid);
            }
            let about = list.pid.is_none_or(|pid| is_about(event, pid, &callers));
            if seq.0 < from || !about {
                continue;
            }
            if records == limit {
                next = Some(seq.0);
                return false;
            }
            any = true;
            let event = Json::from(&describe(event));
            entries.push(audit::Entry { seq: seq.0, at_ms: record.at_ms, event });
        }
        records += usize::from(any);
        true
    })?;
    Ok(audit::Entries { entries, next })
}

/// Whether an event is about a process.
fn is_about(event: &Event, pid: Pid, callers: &BTreeMap<OpId, Pid>) -> bool {
    if let Event::Op(event) = event {
        return callers.get(&event.op()) == Some(&pid);
    }
    let value = describe(event);
    let is_pid = |field: &str| value[field].as_str().is_some_and(|text| text == pid.to_string());
    ["pid", "subject", "owner", "to", "from", "by"].into_iter().any(is_pid)
}
