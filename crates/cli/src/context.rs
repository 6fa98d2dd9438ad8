//! `libos context`: what each call of a model said of its conversation, read from the journal.
//!
//! A call records which entries of the conversation it says, and notes how much that is, what it
//! leaves out and why. Nothing here is what was said: that is in the object.

use std::collections::BTreeMap;

use agent_libos::{
    abi::{
        Event, ObjectId, OpId, Pid, Reply, Seq, Syscall,
        event::OpEvent,
        llm::{self, Span, Tokens},
        message,
    },
    audit,
    planner::CONTEXT_SUBJECT,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::process::ContextArgs,
    exit::{Exit, Failure},
    host::Host,
    inbox::tell,
    show,
};

pub(crate) async fn context(host: &Host, args: &ContextArgs) -> Result<Exit, Failure> {
    match (args.undo, args.compact) {
        (true, _) => order(host, args.pid, "undo").await,
        (_, true) => order(host, args.pid, "compact").await,
        _ => look(host, args),
    }
}

/// Has the planner change what it says from its next call on.
async fn order(host: &Host, pid: Pid, what: &str) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let call =
        message::Send { subject: Some(CONTEXT_SUBJECT.into()), ..message::Send::letter(pid, what) };
    let sent = access.port.call(call).await.map_err(Failure::of_process)?;
    tell(host, access, &sent, &format!("{pid} will take it in before its next call of the model."))
}

fn look(host: &Host, args: &ContextArgs) -> Result<Exit, Failure> {
    let journal = host.journal()?;
    crate::logs::must_be_known(&journal, args.pid)?;
    let mut calls: BTreeMap<OpId, Call> = BTreeMap::new();
    {
        let _progress = host.progress("reading the journal");
        audit::scan(&journal, Seq(0), |_, record| {
            record.events.iter().for_each(|event| note(&mut calls, args.pid, record.at_ms, event));
            true
        })?;
    }
    let calls: Vec<Call> =
        calls.into_values().zip(1..).map(|(call, n)| Call { call: n, ..call }).collect();
    let last = u32::try_from(calls.len()).unwrap_or(u32::MAX);
    let shown: Vec<&Call> = match args.call {
        Some(number) => calls.iter().filter(|call| call.call == number).collect(),
        None => calls.iter().collect(),
    };
    if let (Some(number), true) = (args.call, shown.is_empty()) {
        let message = format!("{} has asked a model {last} times, and not {number}", args.pid);
        return Err(Failure::new(Exit::Failed, "not_found", message));
    }
    match (host.json, &shown[..]) {
        (true, shown) => show::json(&serde_json::json!({ "pid": args.pid, "calls": shown })),
        (false, []) => put!("{} has asked no model.\n", args.pid),
        (false, [.., newest]) => {
            if args.call.is_none() {
                put!("{}\n", list(&shown));
            }
            put!("{}", newest.words());
        }
    }
    Ok(Exit::Done)
}

/// A call of a model.
#[derive(Serialize)]
struct Call {
    /// Its number among those of its process, from 1.
    call: u32,
    op: OpId,
    at_ms: u64,
    profile: String,
    /// The conversation, where it is an object.
    object: Option<ObjectId>,
    /// The entries that it says, in this order.
    said: Vec<Span>,
    bytes: u64,
    /// What the planner noted.
    manifest: Option<Value>,
    /// What it took, once it is over.
    took: Option<Tokens>,
    ended: Option<&'static str>,
}

fn note(calls: &mut BTreeMap<OpId, Call>, pid: Pid, at_ms: u64, event: &Event) {
    match event {
        Event::Op(OpEvent::Admitted {
            op,
            caller,
            call: Syscall::Llm(llm::Call::Complete(call)),
            ..
        }) if caller.pid() == Some(pid) => {
            let excerpt = call.excerpt.as_ref();
            calls.insert(
                *op,
                Call {
                    call: 0,
                    op: *op,
                    at_ms,
                    profile: call.profile.clone(),
                    object: excerpt.map(|excerpt| excerpt.object),
                    said: excerpt.map(|excerpt| excerpt.spans.clone()).unwrap_or_default(),
                    bytes: call.bytes(),
                    manifest: call.manifest.as_ref().and_then(|manifest| manifest.value().ok()),
                    took: None,
                    ended: None,
                },
            );
        }
        Event::Op(OpEvent::Settled { op, outcome }) => {
            let Some(call) = calls.get_mut(op) else { return };
            call.ended = Some(outcome.as_ref().map_or_else(|error| error.code(), |_| "ok"));
            if let Ok(Reply::Llm(llm::Reply::Complete(answer))) = outcome {
                call.took = Some(answer.tokens.clone());
            }
        }
        _ => {}
    }
}

fn spans(spans: &[Span]) -> String {
    let words = spans.iter().map(|Span { from, to }| match to.saturating_sub(*from) {
        1 => from.to_string(),
        _ => format!("{from}-{}", to.saturating_sub(1)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The gaps that a call notes.
fn left(manifest: Option<&Value>) -> impl Iterator<Item = &Value> {
    manifest.and_then(|manifest| manifest["left"].as_array()).into_iter().flatten()
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// All calls, a line each.
fn list(calls: &[&Call]) -> String {
    let rows = calls.iter().map(|call| {
        let manifest = call.manifest.as_ref();
        let gone: u64 = left(manifest).filter_map(|gap| gap["tokens"].as_u64()).sum();
        vec![
            call.call.to_string(),
            call.op.to_string(),
            show::clock(call.at_ms),
            manifest.map_or_else(|| "?".to_owned(), |manifest| number(&manifest["tokens"])),
            call.took.as_ref().map(|took| took.input.to_string()).unwrap_or_default(),
            gone.to_string(),
            call.ended.unwrap_or("not over").to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    show::table(&["CALL", "OP", "AT", "TOKENS", "TOOK", "LEFT OUT", "ENDED"], &rows)
}

impl Call {
    fn words(&self) -> String {
        let manifest = self.manifest.as_ref();
        let counted = manifest.and_then(|manifest| manifest["counted"].as_str());
        let tokens = manifest.map(|manifest| number(&manifest["tokens"]));
        let estimated = manifest.and_then(|manifest| manifest["estimated"].as_u64());
        let mut text = format!(
            "call {} is {} to {}, of {} bytes",
            self.call, self.op, self.profile, self.bytes
        );
        if let (Some(counted), Some(tokens)) = (counted, tokens) {
            text.push_str(&format!(" and {tokens} tokens as {counted} counts"));
        }
        if let Some(estimated) = estimated {
            text.push_str(&format!("; {estimated} messages are estimated at four bytes a token"));
        }
        text.push('\n');
        if let Some(object) = self.object {
            text.push_str(&format!("  said: entries {} of {object}\n", spans(&self.said)));
        }
        for gap in left(manifest) {
            let (from, to) = (gap["from"].as_u64(), gap["to"].as_u64());
            let span = |at: Option<u64>| at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0);
            let why = gap["why"].as_str().unwrap_or("?");
            let why = match why {
                "compacted" => "they are summarized".to_owned(),
                policy => format!("by the policy {policy}"),
            };
            let instead = gap["instead"].as_u64();
            let instead = instead.map(|at| format!("; entry {at} stands for them"));
            text.push_str(&format!(
                "  left out: entries {}, {} tokens, {why}{}\n",
                spans(&[Span { from: span(from), to: span(to) }]),
                number(&gap["tokens"]),
                instead.unwrap_or_default()
            ));
        }
        if let Some(why) = manifest.and_then(|manifest| manifest["not_compacted"].as_str()) {
            text.push_str(&format!("  it was to be summarized and was not: {why}\n"));
        }
        text
    }
}
