//! `libos explain`: the story of a process, read from the journal.
//!
//! It says what the process was given, what it did outside and who let each of that through, what
//! it was refused, what humans were asked, and what all of it took. Nothing is decided here and
//! nothing is asked of a runtime: the story is a view of the records.

use std::collections::BTreeMap;

use agent_libos::{
    abi::{
        CapId, EffectClass, Event, OpId, Outcome, Pid, Request as _, RequestId, SERVICES, Seq,
        Syscall,
        event::{CapabilityEvent, HumanEvent, OpEvent, ProcessEvent, Verdict},
        human::Request,
        llm,
        process::{Ending, Usage},
    },
    audit::{self, Judgement, Operation, Trail},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::process::ExplainArgs,
    exit::{Exit, Failure},
    host::Host,
    inbox, show,
    why::asked,
};

pub(crate) fn explain(host: &Host, args: &ExplainArgs) -> Result<Exit, Failure> {
    let journal = host.journal()?;
    crate::logs::must_be_known(&journal, args.pid)?;
    let story = {
        let _progress = host.progress("reading the journal");
        let mut reader = Reader::new(args.pid);
        audit::scan(&journal, Seq(0), |seq, record| {
            record.events.iter().for_each(|event| reader.add(seq, record.at_ms, event));
            true
        })?;
        reader.story()
    };
    match host.json {
        true => show::json(&story),
        false => put!("{}", story.words(if args.all { usize::MAX } else { SHOWN })),
    }
    Ok(Exit::Done)
}

/// The call that asks a model.
const MODEL_CALL: &str = llm::Complete::INFO.name;

/// How many lines of a part are shown.
const SHOWN: usize = 12;

/// A process from its making on.
#[derive(Serialize)]
struct Story {
    pid: Pid,
    at_ms: u64,
    parent: Option<Pid>,
    image: String,
    goal: String,
    /// What it held when it was made.
    given: Vec<String>,
    /// What it changed outside.
    changed: Vec<Deed>,
    /// What it looked at outside.
    looked: Vec<Deed>,
    /// What it asked of models.
    models: Vec<Deed>,
    /// What it was refused: alike calls that the same rule refused are one.
    refused: Vec<Deed>,
    /// Calls that are none: not as their tool takes them, or of nothing that there is.
    mistaken: Vec<Deed>,
    asked: Vec<Asked>,
    said: Vec<String>,
    children: Vec<String>,
    spent: Spent,
    /// How it ended; nothing while it lives.
    ended: Option<Ending>,
}

/// Equal calls of a process, and what came of them.
#[derive(Serialize)]
struct Deed {
    /// The first of them.
    op: OpId,
    at_ms: u64,
    times: usize,
    what: String,
    /// Who let it through, or why not.
    because: Vec<String>,
    /// What it ended in; nothing while it is not over.
    ended: Option<&'static str>,
}

/// What a human was asked for a process.
#[derive(Serialize)]
struct Asked {
    request: RequestId,
    human: String,
    what: String,
    answer: Option<String>,
}

/// What a process took.
#[derive(Default, Serialize)]
struct Spent {
    /// Its calls, by what they ended in.
    calls: BTreeMap<String, usize>,
    #[serde(flatten)]
    usage: Usage,
    /// From its making to its end, or its last record.
    wall_ms: u64,
}

/// Picks what is about one process out of the events.
struct Reader {
    pid: Pid,
    trail: Trail,
    at_ms: u64,
    made: Option<(u64, Option<Pid>, String, String)>,
    /// Whether it has made a call, so that what it gets is given later.
    has_called: bool,
    given: Vec<CapId>,
    said: Vec<String>,
    children: BTreeMap<Pid, (String, Option<Ending>)>,
    asked: Vec<RequestId>,
    usage: Usage,
    calls: BTreeMap<OpId, Syscall>,
    ended: Option<Ending>,
}

impl Reader {
    fn new(pid: Pid) -> Self {
        Self {
            pid,
            trail: Trail::default(),
            at_ms: 0,
            made: None,
            has_called: false,
            given: Vec::new(),
            said: Vec::new(),
            children: BTreeMap::new(),
            asked: Vec::new(),
            usage: Usage::default(),
            calls: BTreeMap::new(),
            ended: None,
        }
    }

    fn add(&mut self, seq: Seq, at_ms: u64, event: &Event) {
        self.trail.add(seq, at_ms, event);
        match event {
            Event::Op(event) => self.op(event, at_ms),
            Event::Process(event) => self.process(event),
            Event::Capability(CapabilityEvent::Granted(made))
                if made.subject == self.pid && !self.has_called =>
            {
                self.given.push(made.id);
            }
            Event::Human(HumanEvent::Opened(request)) if request.pid == self.pid => {
                self.asked.push(request.id);
            }
            Event::Human(HumanEvent::Joined { request, asker }) if asker.pid == self.pid => {
                self.asked.push(*request);
            }
            Event::Human(HumanEvent::Output { pid: Some(pid), message, .. })
                if *pid == self.pid =>
            {
                self.said.push(message.as_str().unwrap_or("(a long text)").to_owned());
            }
            _ => {}
        }
    }

    fn op(&mut self, event: &OpEvent, at_ms: u64) {
        match event {
            OpEvent::Admitted { op, caller, call, .. } if caller.pid() == Some(self.pid) => {
                self.has_called = true;
                self.at_ms = at_ms;
                self.calls.insert(*op, call.clone());
            }
            OpEvent::Settled { op, outcome } => {
                let Some(call) = self.calls.remove(op) else { return };
                self.at_ms = at_ms;
                if outcome.is_ok() {
                    self.usage = self.usage.plus(used(&call, outcome));
                }
            }
            _ => {}
        }
    }

    fn process(&mut self, event: &ProcessEvent) {
        match event {
            ProcessEvent::Spawned { pid, parent, image, goal, at_ms, .. } => {
                let goal = goal.as_str().unwrap_or("(a long text)").to_owned();
                if *pid == self.pid {
                    self.at_ms = *at_ms;
                    self.made = Some((*at_ms, *parent, image.to_string(), goal));
                } else if *parent == Some(self.pid) {
                    self.children.insert(*pid, (goal, None));
                }
            }
            ProcessEvent::Ended { pid, ending, .. } => {
                if *pid == self.pid {
                    self.at_ms = ending.at_ms;
                    self.ended = Some(ending.clone());
                } else if let Some((_, ended)) = self.children.get_mut(pid) {
                    *ended = Some(ending.clone());
                }
            }
            _ => {}
        }
    }

    fn story(self) -> Story {
        let (made_at, parent, image, goal) = self.made.clone().unwrap_or_default();
        let mut story = Story {
            pid: self.pid,
            at_ms: made_at,
            parent,
            image,
            goal,
            given: self.given.iter().map(|id| self.trail.lineage(*id)).collect(),
            changed: Vec::new(),
            looked: Vec::new(),
            models: Vec::new(),
            refused: Vec::new(),
            mistaken: Vec::new(),
            asked: self.asked.iter().filter_map(|id| self.question(*id)).collect(),
            said: self.said.clone(),
            children: self.children.iter().map(child).collect(),
            spent: Spent {
                calls: BTreeMap::new(),
                usage: self.usage,
                wall_ms: self.at_ms.saturating_sub(made_at),
            },
            ended: self.ended.clone(),
        };
        let calls = SERVICES.iter().flat_map(|service| service.calls);
        let classes: BTreeMap<&str, EffectClass> =
            calls.map(|info| (info.name, info.effect)).collect();
        let [mut changed, mut looked, mut models, mut refused, mut mistaken] =
            [const { Deeds::new() }; 5];
        let own = |it: &&Operation| it.caller.pid() == Some(self.pid);
        for operation in self.trail.operations.values().filter(own) {
            // What closes a quantum is the runtime's own.
            if operation.step.index == 0 && operation.step.parent.is_none() {
                continue;
            }
            let ended = operation.ended.unwrap_or("not over");
            *story.spent.calls.entry(ended.to_owned()).or_default() += 1;
            let is_refused = operation.dispatched.is_none()
                && operation.decisions.iter().any(|decision| is_no(&decision.verdict));
            match classes.get(operation.call) {
                _ if is_refused => note(&mut refused, operation),
                _ if MISTAKES.contains(&ended) => note(&mut mistaken, operation),
                Some(EffectClass::State) | None => {}
                _ if operation.call == "tool.call" => {}
                _ if operation.call == MODEL_CALL => note(&mut models, operation),
                Some(EffectClass::Read) => note(&mut looked, operation),
                Some(_) => note(&mut changed, operation),
            }
        }
        [story.changed, story.looked, story.models] = [changed, looked, models].map(in_order);
        [story.refused, story.mistaken] = [refused, mistaken].map(|all| alike(in_order(all)));
        story
    }

    fn question(&self, id: RequestId) -> Option<Asked> {
        let Request { human, ask, .. } = self.trail.requests.get(&id)?;
        let answer = self.trail.answers.get(&id).map(|decided| {
            let made = decided.capability.map(|cap| format!("; it made {cap}"));
            format!(
                "{} by `{}`{}",
                inbox::word(&decided.decision),
                decided.by,
                made.unwrap_or_default()
            )
        });
        Some(Asked { request: id, human: human.to_string(), what: asked(ask), answer })
    }
}

/// What a call took: of what is estimated, what its outcome shows.
fn used(call: &Syscall, outcome: &Outcome) -> Usage {
    let charge = call.charge();
    let estimated = charge.estimated();
    charge.minus(estimated).plus(call.used(outcome).unwrap_or(estimated))
}

fn is_no(verdict: &Judgement) -> bool {
    !matches!(verdict, Judgement::Verdict(Verdict::Allowed(_) | Verdict::Asked { .. }))
}

/// What calls end in that are none.
const MISTAKES: [&str; 4] = ["unknown_tool", "bad_arguments", "bad_message", "unsupported"];

/// How many calls that differ in their arguments only are told one by one.
const APART: usize = 3;

/// What refused a call, without what it would have been done to: of `read on fs:a: cap-1 denies it`
/// the right and what denies.
fn rule(because: &str) -> String {
    let (need, reason) = because.split_once(": ").unwrap_or(("", because));
    // Of a tool that it does not have, the name.
    let named = reason.strip_prefix('`').and_then(|named| named.split_once('`'));
    let reason = named.map_or(reason, |(_, reason)| reason);
    let (right, reason) = (need.split(' ').next(), reason.split("; ").next());
    format!("{} {}", right.unwrap_or_default(), reason.unwrap_or_default())
}

/// Puts together what was tried again and again: calls that end the same way for the same reason.
fn alike(all: Vec<Deed>) -> Vec<Deed> {
    let why = |deed: &Deed| {
        let call = deed.what.split(' ').next().unwrap_or_default().to_owned();
        let rules: Vec<String> = deed.because.iter().map(|because| rule(because)).collect();
        (call, rules, deed.ended)
    };
    let mut counts = BTreeMap::new();
    all.iter().for_each(|deed| *counts.entry(why(deed)).or_insert(0) += 1);
    let mut first: BTreeMap<_, usize> = BTreeMap::new();
    let mut kept: Vec<Deed> = Vec::new();
    for deed in all {
        let key = why(&deed);
        let count = counts[&key];
        if count <= APART {
            kept.push(deed);
        } else if let Some(at) = first.get(&key) {
            kept[*at].times += deed.times;
        } else {
            first.insert(key, kept.len());
            let what = format!("{}, and {} like it", deed.what, count - 1);
            kept.push(Deed { what, ..deed });
        }
    }
    kept
}

/// Calls by what they were, why, and what they ended in: the first of each, when, and how many.
type Deeds = BTreeMap<(String, Vec<String>, Option<&'static str>), (OpId, u64, usize)>;

/// Adds a call to those that were the same and ended the same.
fn note(deeds: &mut Deeds, operation: &Operation) {
    // What a model was told is in its conversation: `libos context`.
    let args = match operation.call {
        MODEL_CALL => json!({ "profile": operation.args["profile"] }),
        _ => operation.args.clone(),
    };
    let what = format!("{} {}", operation.call, show::brief(&args, 100));
    let because = operation.decisions.last().map(|last| last.because.clone()).unwrap_or_default();
    let first = (operation.op, operation.at_ms, 0);
    deeds.entry((what, because, operation.ended)).or_insert(first).2 += 1;
}

/// The calls in the order in which the first of each was made.
fn in_order(deeds: Deeds) -> Vec<Deed> {
    let deed = |((what, because, ended), (op, at_ms, times))| Deed {
        op,
        at_ms,
        times,
        what,
        because,
        ended,
    };
    let mut all: Vec<Deed> = deeds.into_iter().map(deed).collect();
    all.sort_by_key(|deed| deed.op);
    all
}

fn child((pid, (goal, ended)): (&Pid, &(String, Option<Ending>))) -> String {
    let ended = ended.as_ref().map_or("lives", |ending| show::state(ending.state));
    format!("{pid} ({ended}): {}", show::cut(goal, 80))
}

impl Story {
    /// The story for people, with at most so many lines of each part.
    fn words(&self, most: usize) -> String {
        let by = self.parent.map_or("the host".to_owned(), |parent| parent.to_string());
        let mut text = format!(
            "{} was made by {by} from {} at {}: {}\n",
            self.pid,
            self.image,
            show::clock(self.at_ms),
            show::cut(&self.goal, 200)
        );
        let deed = |deed: &Deed| {
            let times =
                if deed.times > 1 { format!(" ({} times)", deed.times) } else { String::new() };
            let ended = match deed.ended {
                Some("ok" | "denied") => String::new(),
                Some(code) => format!(": {code}"),
                None => ": not over".to_owned(),
            };
            let mut lines =
                format!("{} {} {}{times}{ended}", show::clock(deed.at_ms), deed.op, deed.what);
            deed.because.iter().for_each(|why| lines.push_str(&format!("\n      {why}")));
            lines
        };
        let asked = |it: &Asked| {
            let answer = it.answer.as_deref().unwrap_or("nobody has answered");
            format!("{} to {}: {}\n      {answer}", it.request, it.human, it.what)
        };
        part(&mut text, "It was given", &self.given, most, Clone::clone);
        part(&mut text, "It looked at", &self.looked, most, deed);
        part(&mut text, "It changed", &self.changed, most, deed);
        part(&mut text, "It asked models", &self.models, most, deed);
        part(&mut text, "It was refused", &self.refused, most, deed);
        if let Some(first) = self.refused.first() {
            text.push_str(&format!(
                "  `libos policy narrow {}` shows the narrowest rule for the first\n",
                first.op
            ));
        }
        part(&mut text, "It made calls that are none", &self.mistaken, most, deed);
        part(&mut text, "Humans were asked", &self.asked, most, asked);
        part(&mut text, "It made", &self.children, most, Clone::clone);
        part(&mut text, "It said", &self.said, most, |said| show::cut(said, 300));
        text.push_str(&format!("\nIt took {}.\n", self.spent.words()));
        text.push_str(&match &self.ended {
            None => format!("It is not over; `libos show {}` tells what it waits for.\n", self.pid),
            Some(ending) => {
                let said =
                    ending.message.as_deref().map(|said| format!(": {}", show::cut(said, 300)));
                let (state, at) = (show::state(ending.state), show::clock(ending.at_ms));
                format!("It {state} at {at}{}\n", said.unwrap_or_default())
            }
        });
        text
    }
}

/// One part of a story, with its heading, if there is anything in it.
fn part<T>(text: &mut String, heading: &str, all: &[T], most: usize, words: impl Fn(&T) -> String) {
    if all.is_empty() {
        return;
    }
    text.push_str(&format!("\n{heading}\n"));
    for line in all.iter().take(most) {
        text.push_str(&format!("  {}\n", words(line)));
    }
    if all.len() > most {
        text.push_str(&format!("  and {} more; `--all` shows them\n", all.len() - most));
    }
}

impl Spent {
    fn words(&self) -> String {
        let calls = self.calls.values().sum::<usize>();
        let ends = self.calls.iter().map(|(end, n)| format!("{n} {end}"));
        let mut words = vec![match calls {
            0 => "no call".to_owned(),
            _ => format!("{calls} calls ({})", ends.collect::<Vec<_>>().join(", ")),
        }];
        let Usage { bytes, tokens, cost, .. } = self.usage;
        words.extend((bytes > 0).then(|| format!("{bytes} bytes in and out")));
        words.extend((tokens > 0).then(|| format!("{tokens} tokens")));
        words.extend((cost > 0).then(|| format!("a cost of {cost}")));
        words.push(format!("{}.{:03} s", self.wall_ms / 1_000, self.wall_ms % 1_000));
        words.join(", ")
    }
}
