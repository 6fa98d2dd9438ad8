//! `libos why`: who allowed this, as a tree read from the journal.
//!
//! Nothing is decided here and nothing is asked of a runtime: the tree is a view of the records.

use std::collections::BTreeMap;

use agent_libos::{
    abi::{
        CapId, Event, Label, Labelled, OpId, Origin, Pid, Principal, RequestId, Seq,
        event::{
            CapabilityEvent, HumanEvent, LabelEvent, NewCapability, OpEvent, ProcessEvent, Verdict,
        },
        human::{Ask, Decided, Request},
    },
    audit::{self, Judgement, Operation, Trail},
};
use serde::Serialize;

use crate::{
    args::Effect,
    exit::{Exit, Failure},
    host::Host,
    inbox, label, show,
};

/// How many operations that a capability let through are named.
const NAMED: usize = 20;

pub(crate) fn why(host: &Host, effect: Effect) -> Result<Exit, Failure> {
    let records = Records::read(host)?;
    let tree = match effect {
        Effect::Op(op) => records.trail.operations.get(&op).map(|it| records.operation(it)),
        Effect::Request(id) => records.trail.requests.get(&id).map(|it| records.request(it)),
        Effect::Capability(id) => records.capability_and_uses(id),
    };
    let Some(tree) = tree else {
        let (what, list) = match effect {
            Effect::Op(op) => (op.to_string(), "libos audit ls"),
            Effect::Request(id) => (id.to_string(), "libos inbox --all"),
            Effect::Capability(id) => (id.to_string(), "libos cap ls --all"),
        };
        let message = format!("there is no {what}; see `{list}`");
        return Err(Failure::new(Exit::Failed, "not_found", message));
    };
    if host.json {
        show::json(&tree);
    } else {
        let mut text = String::new();
        tree.draw("", "", &mut text);
        put!("{text}");
    }
    Ok(Exit::Done)
}

/// One thing that happened, and what it rests on.
#[derive(Debug, Serialize)]
struct Node {
    /// What it is, in a word.
    what: &'static str,
    /// Its id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Seq>,
    /// What happened, in words.
    says: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    under: Vec<Node>,
}

impl Node {
    fn new(what: &'static str, record: Option<Seq>, says: impl Into<String>) -> Self {
        Self { what, id: None, record, says: says.into(), under: Vec::new() }
    }

    fn of(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    fn with(mut self, under: impl IntoIterator<Item = Node>) -> Self {
        self.under.extend(under);
        self
    }

    /// Draws it: `first` stands before its line, `rest` before those below it.
    fn draw(&self, first: &str, rest: &str, text: &mut String) {
        let record = self.record.map(|seq| format!("  {seq}")).unwrap_or_default();
        text.push_str(&format!("{first}{}{record}\n", self.says.replace('\n', "\\n")));
        for (index, node) in self.under.iter().enumerate() {
            let (branch, line) = if index + 1 == self.under.len() {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            node.draw(&format!("{rest}{branch}"), &format!("{rest}{line}"), text);
        }
    }
}

/// What the journal says, and which operation each record belongs to.
#[derive(Default)]
struct Records {
    trail: Trail,
    goals: BTreeMap<Pid, String>,
    /// Where each capability was made, and by which operation.
    made: BTreeMap<CapId, (Seq, Option<OpId>)>,
    revoked: BTreeMap<CapId, (Seq, Option<OpId>)>,
    /// Where each request was answered, and by which operation.
    answered: BTreeMap<RequestId, (Seq, Option<OpId>)>,
    opened: BTreeMap<RequestId, Seq>,
    /// The operations under each operation, in order.
    nested: BTreeMap<OpId, Vec<OpId>>,
    /// What got which label with each operation, in order.
    labels: BTreeMap<OpId, Vec<(Seq, Labelled, Label)>>,
}

impl Records {
    fn read(host: &Host) -> Result<Self, Failure> {
        let _progress = host.progress("reading the journal");
        let mut records = Self::default();
        audit::scan(&host.journal()?, Seq(0), |seq, record| {
            let op = record.events.iter().find_map(|event| match event {
                Event::Op(event) => Some(event.op()),
                _ => None,
            });
            for event in &record.events {
                records.trail.add(seq, record.at_ms, event);
                records.add(seq, op, event);
            }
            true
        })?;
        Ok(records)
    }

    fn add(&mut self, seq: Seq, op: Option<OpId>, event: &Event) {
        match event {
            Event::Op(OpEvent::Admitted { op, step, .. }) => {
                if let Some(parent) = step.parent {
                    self.nested.entry(parent).or_default().push(*op);
                }
            }
            Event::Capability(CapabilityEvent::Granted(made)) => {
                self.made.insert(made.id, (seq, op));
            }
            Event::Capability(CapabilityEvent::ChildKnown { parent, child }) => {
                let kin = NewCapability::kin(*parent, *child);
                self.made.extend(kin.map(|kin| (kin.id, (seq, op))));
            }
            Event::Capability(CapabilityEvent::Revoked { capability, .. }) => {
                self.revoked.insert(*capability, (seq, op));
            }
            Event::Human(HumanEvent::Opened(request)) => {
                self.opened.insert(request.id, seq);
            }
            Event::Human(HumanEvent::Joined { request, asker }) => {
                if let Some(request) = self.trail.requests.get_mut(request) {
                    request.joined.push(asker.clone());
                }
            }
            Event::Human(HumanEvent::Decided { request, .. }) => {
                self.answered.insert(*request, (seq, op));
            }
            Event::Label(LabelEvent::Set { what, label }) => {
                if let Some(op) = op {
                    self.labels.entry(op).or_default().push((seq, what.clone(), *label));
                }
            }
            Event::Process(ProcessEvent::Spawned { pid, goal, .. }) => {
                self.goals.insert(*pid, goal.as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    /// An operation from its submission to its outcome.
    fn operation(&self, it: &Operation) -> Node {
        let says = format!("{} {} {}", it.op, it.call, show::brief(&it.args, 100));
        let mut node = Node::new("operation", None, says).of(it.op).with([self.submission(it)]);
        let waits = |it: &&Request| {
            !matches!(it.ask, Ask::Approval(_) | Ask::Unknown { .. } | Ask::Release(_))
        };
        node.under.extend(self.asked_by(it.op).filter(waits).map(|request| self.answer(request)));
        node.under.extend(it.decisions.iter().map(|decision| self.decision(it, decision)));
        if let Some(seq) = it.dispatched {
            node.under.push(Node::new("intent", Some(seq), "its effect may begin"));
        }
        for (seq, what, label) in self.labels.get(&it.op).into_iter().flatten() {
            let says = format!("{} is {label} from here on", label::what(what));
            node.under.push(Node::new("label", Some(*seq), says));
        }
        let nested = self.nested.get(&it.op).into_iter().flatten();
        let calls = nested.filter_map(|op| self.trail.operations.get(op));
        let calls: Vec<Node> = calls.map(|it| self.operation(it)).collect();
        if !calls.is_empty() {
            node.under.push(Node::new("nested", None, "calls under it").with(calls));
        }
        node.under.push(match (it.settled, it.ended, &it.error) {
            (Some(seq), Some("ok"), _) => Node::new("outcome", Some(seq), "it ended well"),
            (Some(seq), _, Some(error)) => {
                Node::new("outcome", Some(seq), format!("it ended in: {error}"))
            }
            _ => Node::new("outcome", None, "it is not over"),
        });
        let unknown = |it: &&Request| matches!(it.ask, Ask::Unknown { .. });
        node.under.extend(self.asked_by(it.op).filter(unknown).map(|request| self.answer(request)));
        node
    }

    /// The requests that an operation waits or waited for.
    fn asked_by(&self, op: OpId) -> impl Iterator<Item = &Request> {
        self.trail.requests.values().filter(move |request| {
            request.op == op || request.joined.iter().any(|asker| asker.op == op)
        })
    }

    fn submission(&self, it: &Operation) -> Node {
        let clock = show::clock(it.at_ms);
        let says = match &it.caller {
            Principal::Host(name) => format!("called by the operator `{name}` at {clock}"),
            Principal::Process(pid) | Principal::Tool { pid, .. } => {
                let goal = self.goals.get(pid).map(|goal| show::cut(goal, 60)).unwrap_or_default();
                let place = match it.step.parent {
                    Some(above) => format!("call {} under {above}", it.step.index),
                    None => format!("step {}", it.step.index),
                };
                match it.caller.tool() {
                    None => format!("called by {pid} ({goal}) as {place} at {clock}"),
                    Some(tool) => format!(
                        "called by the tool `{tool}` in {pid} ({goal}) as {place} at {clock}"
                    ),
                }
            }
        };
        Node::new("submission", Some(it.admitted), says)
    }

    fn decision(&self, it: &Operation, decision: &audit::Decision) -> Node {
        let node = |says: &str| Node::new("decision", Some(decision.seq), says);
        match &decision.verdict {
            Judgement::Verdict(Verdict::Allowed(by)) if by.is_empty() => {
                node(&format!("allowed: {}", decision.because.join("; ")))
            }
            Judgement::Verdict(Verdict::Allowed(by)) => {
                node("allowed").with(by.iter().map(|cap| self.capability(*cap)))
            }
            Judgement::Verdict(Verdict::Asked { by, request }) => {
                let request = self.trail.requests.get(request);
                node("a human was asked")
                    .with(by.iter().map(|cap| self.capability(*cap)))
                    .with(request.map(|request| self.answer(request)))
            }
            Judgement::Verdict(Verdict::Denied(denial)) => {
                let asked = self.asked_by(it.op).map(|request| self.answer(request));
                node(&format!("denied: {denial}")).with(asked)
            }
            Judgement::Refused(code) => {
                node(&format!("refused ({code}): {}", decision.because.join("; ")))
            }
        }
    }

    /// A capability with where it came from, down to the host, the kernel or a human.
    fn capability(&self, id: CapId) -> Node {
        let (Some(made), at) = (self.trail.capabilities.get(&id), self.made.get(&id)) else {
            return Node::new("capability", None, id.to_string()).of(id);
        };
        let grant = &made.grant;
        let says = format!(
            "{id}: {} {} on {}, held by {}",
            grant.effect, grant.rights, grant.on, made.subject
        );
        let mut node =
            Node::new("capability", at.map(|(seq, _)| *seq), says).of(id).with([self.origin(made)]);
        node.under.extend(made.parent.map(|parent| {
            let from = self.capability(parent);
            Node::new("lineage", None, format!("cut from {parent}")).with([from])
        }));
        if let Some((seq, op)) = self.revoked.get(&id) {
            node.under.push(Node::new(
                "revocation",
                Some(*seq),
                format!("revoked{}", self.by(*op)),
            ));
        }
        node
    }

    fn origin(&self, made: &NewCapability) -> Node {
        let by = self.by(self.made.get(&made.id).and_then(|(_, op)| *op));
        match &made.origin {
            Origin::Host => Node::new("origin", None, format!("granted by the host{by}")),
            Origin::Kernel => Node::new("origin", None, format!("made by the kernel{by}")),
            Origin::Delegated { by: giver } => {
                Node::new("origin", None, format!("handed on by {giver}{by}"))
            }
            Origin::Human { request } => match self.trail.requests.get(request) {
                Some(request) => self.answer(request),
                None => Node::new("origin", None, format!("from the answer to {request}")),
            },
        }
    }

    /// By which call something was done.
    fn by(&self, op: Option<OpId>) -> String {
        let operation = op.and_then(|op| self.trail.operations.get(&op));
        operation
            .map_or_else(String::new, |it| format!(" in {} ({} by {})", it.op, it.call, it.caller))
    }

    /// A request and who answered it.
    fn answer(&self, request: &Request) -> Node {
        let opened = self.opened.get(&request.id).copied();
        let says = format!("{} was put to {}: {}", request.id, request.human, asked(&request.ask));
        let answer =
            self.trail.answers.get(&request.id).map(|decided| self.decided(request, decided));
        let open = || Node::new("answer", None, format!("nobody has answered {}", request.id));
        Node::new("request", opened, says).of(request.id).with([answer.unwrap_or_else(open)])
    }

    fn decided(&self, request: &Request, decided: &Decided) -> Node {
        let (seq, op) = self.answered.get(&request.id).copied().unzip();
        let Decided { decision, by, at_ms, .. } = decided;
        let made = decided.capability.map(|cap| format!("; it made {cap}")).unwrap_or_default();
        let says = format!(
            "{} by `{by}` at {}{made}{}",
            inbox::word(decision),
            show::clock(*at_ms),
            self.by(op.flatten())
        );
        Node::new("answer", seq, says)
    }

    /// A request, with the operations that wait or waited for it.
    fn request(&self, request: &Request) -> Node {
        let mut node = self.answer(request);
        let made = self.trail.answers.get(&request.id).and_then(|decided| decided.capability);
        node.under.extend(made.map(|cap| self.capability_uses(cap)));
        let joined = request.joined.iter().map(|asker| asker.op);
        for op in [request.op].into_iter().chain(joined) {
            let Some(it) = self.trail.operations.get(&op) else {
                continue;
            };
            let ended = it.ended.unwrap_or("not over");
            let what = match request.ask {
                Ask::Unknown { .. } => "is what it is about",
                _ => "waited for it",
            };
            let says = format!("{op} of {} {what}: {} ({ended})", it.caller, it.call);
            node.under.push(Node::new("asker", Some(it.admitted), says).of(op));
        }
        node
    }

    fn capability_and_uses(&self, id: CapId) -> Option<Node> {
        self.trail.capabilities.get(&id)?;
        Some(self.capability(id).with([self.capability_uses(id)]))
    }

    /// What a capability let through.
    fn capability_uses(&self, id: CapId) -> Node {
        let uses = |it: &&Operation| {
            it.decisions.iter().any(|decision| match &decision.verdict {
                Judgement::Verdict(Verdict::Allowed(by)) => by.contains(&id),
                _ => false,
            })
        };
        let all: Vec<&Operation> = self.trail.operations.values().filter(uses).collect();
        let named = all.iter().take(NAMED).map(|it| {
            let ended = it.ended.unwrap_or("not over");
            let says = format!("{} of {}: {} ({ended})", it.op, it.caller, it.call);
            Node::new("use", Some(it.admitted), says).of(it.op)
        });
        let says = match all.len() {
            0 => format!("{id} has let nothing through"),
            1 => format!("{id} has let one call through"),
            n => format!("{id} has let {n} calls through"),
        };
        let mut node = Node::new("uses", None, says).with(named);
        if all.len() > NAMED {
            let more = format!("and {} more; see `libos audit ls`", all.len() - NAMED);
            node.under.push(Node::new("more", None, more));
        }
        node
    }
}

/// What a request asks, in words.
pub(crate) fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Approval(approval) => format!("may {} be made?", approval.call),
        Ask::Question { question, .. } => show::cut(question.as_str().unwrap_or_default(), 80),
        Ask::Permission { on, rights, .. } => format!("{rights} on {on}, for good?"),
        Ask::Extension { of, kind, limit, call, .. } => {
            format!("{call} would pass the {limit} {} of {of}", kind.unit())
        }
        Ask::Unknown { op, call, .. } => format!("was {call} ({op}) done?"),
        Ask::Release(release) => {
            format!("may data that is {} go to {}, once?", release.label, release.sink)
        }
    }
}
