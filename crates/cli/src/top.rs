//! `libos top`: the living processes in a table that is written again and again.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use agent_libos::abi::{
    Pid, human,
    process::{ProcessInfo, Usage},
};
use serde_json::json;

use crate::{
    args::process::TopArgs,
    exit::{Exit, Failure},
    host::Host,
    process::waits_for,
    show,
};

pub(crate) async fn top(host: &Host, args: &TopArgs) -> Result<Exit, Failure> {
    host.must_exist()?;
    let mut every = tokio::time::interval(Duration::from_millis(args.every.0));
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        }
        // Opened anew each time: a store at rest is not held, so that `libos resume` can have it.
        let access = host.access().await?;
        let mut living = agent_libos::processes(&*access.port, false).await?;
        let asked = access.port.call(human::List { all: None }).await?.requests.len();
        let is_live = access.is_live();
        access.close()?;
        let below = below(&living);
        living.retain(|process| !process.state.is_terminal());
        let now_ms = show::now_ms();
        if host.json {
            let spent: Vec<_> = living.iter().map(|it| spent(it, &below, now_ms)).collect();
            show::json(&json!({
                "at_ms": now_ms, "runs": is_live, "asked": asked, "processes": spent,
            }));
        } else {
            if !args.once && io::stdout().is_terminal() {
                show::raw("\x1b[H\x1b[2J");
            }
            put!("{}", table(&living, now_ms, asked, is_live));
        }
        if args.once {
            return Ok(Exit::Done);
        }
    }
}

/// What all that a process made have used, with all below them.
fn below(all: &[ProcessInfo]) -> BTreeMap<Pid, Usage> {
    let mut below: BTreeMap<Pid, Usage> = BTreeMap::new();
    for process in all {
        if let Some(parent) = process.parent {
            let sum = below.entry(parent).or_default();
            *sum = sum.plus(process.usage);
        }
    }
    below
}

/// What a process and all below it have spent, and how much of that it has itself.
fn spent(process: &ProcessInfo, below: &BTreeMap<Pid, Usage>, now_ms: u64) -> serde_json::Value {
    let below = below.get(&process.pid).copied().unwrap_or_default();
    let spent: serde_json::Map<_, _> = show::spent(process, now_ms)
        .into_iter()
        .map(|(kind, used, limit)| {
            let own = used.saturating_sub(below.of(kind));
            (show::word(&kind), json!({ "used": used, "own": own, "limit": limit }))
        })
        .collect();
    json!({
        "pid": process.pid, "parent": process.parent, "state": process.state,
        "image": process.image, "wait": process.wait, "unread": process.unread, "spent": spent,
        "goal": process.goal,
    })
}

fn table(living: &[ProcessInfo], now_ms: u64, asked: usize, is_live: bool) -> String {
    let runs = if is_live { "a runtime holds the store" } else { "nothing runs" };
    let mut text = format!("{} UTC, {} living, {runs}", show::clock(now_ms), living.len());
    if asked > 0 {
        text.push_str(&format!(", {asked} for you in `libos inbox`"));
    }
    let row = |process: &ProcessInfo| {
        vec![
            process.pid.to_string(),
            process.parent.map(|parent| parent.to_string()).unwrap_or_default(),
            show::state(process.state).to_owned(),
            process.image.clone(),
            process.unread.to_string(),
            show::spent_words(process, now_ms).join(", "),
            process.wait.as_ref().map(waits_for).unwrap_or_default(),
            show::cut(process.goal.as_str().unwrap_or_default(), 60),
        ]
    };
    let rows: Vec<_> = living.iter().map(row).collect();
    let headers = ["PROCESS", "PARENT", "STATE", "IMAGE", "UNREAD", "SPENT", "WAITS FOR", "GOAL"];
    text + "\n" + &show::table(&headers, &rows)
}
