//! Cards: a request with everything there is to decide on, for people.

use agent_libos::{
    abi::{
        Pid, Request as _, fs,
        human::{Approval, Ask, Request, RequestState},
        process, tool,
    },
    port::Port,
};
use similar::TextDiff;

use crate::{
    inbox::{told_ways, verdict},
    reach, show,
};

/// The largest file whose change a card shows: the largest that a call can write.
const SHOWN_BYTES_MAX: u64 = 1 << 20;

/// A request with everything there is to decide on.
pub(crate) async fn card(port: &dyn Port, request: &Request) -> String {
    let mut text = format!("── {} ", request.id);
    while text.chars().count() < 72 {
        text.push('─');
    }
    put(&mut text, "from", &askers(port, request).await);
    put(&mut text, "asked at", &format!("{} UTC", show::clock(request.asked_at_ms)));
    match &request.ask {
        Ask::Approval(approval) => approval_card(port, request, approval, &mut text).await,
        Ask::Question { question, context } => {
            put(&mut text, "question", question.as_str().unwrap_or_default());
            if let Some(context) = context.as_ref().and_then(|context| context.as_str()) {
                put(&mut text, "context", context);
            }
        }
        Ask::Permission { on, rights, reason } => {
            put(&mut text, "permission", &format!("{rights} on {on}"));
            put(&mut text, "reason", reason);
            if let Ok(newly) = reach::newly(port, request.pid, on, *rights).await
                && !newly.is_empty()
            {
                put(&mut text, "would reach", &newly.join("\n"));
            }
            taken_in(port, request.pid, &mut text).await;
        }
        Ask::Extension { of, kind, limit, call } => {
            put(&mut text, "call", call);
            put(&mut text, "limit", &format!("{limit} {} of {of} are used up", kind.unit()));
            put(&mut text, "used", &used(port, *of).await);
        }
        Ask::Release(release) => {
            put(&mut text, "call", &release.call);
            put(&mut text, "data", &format!("it is {}", release.label));
            put(&mut text, "would go to", release.sink.as_str());
            put(&mut text, "where", &format!("the most that may be is {}", release.clearance));
            put(&mut text, "digest", &release.digest.to_string());
            arguments(&release.args.value().unwrap_or_default(), &[], &mut text);
            put(&mut text, "because", "it is released once, exactly as it is shown, or not at all");
        }
        Ask::Unknown { op, call, args } => {
            put(&mut text, "call", &format!("{call} ({op})"));
            arguments(&args.value().unwrap_or_default(), &[], &mut text);
            put(&mut text, "unknown", "it may have been done, and is not done again by itself");
        }
    }
    if matches!(request.state, RequestState::Pending) {
        put(&mut text, "answer", &told_ways(request, "", "  |  "));
    } else {
        put(&mut text, "state", &verdict(request));
    }
    text.push('\n');
    text
}

/// Every process that waits for the answer, with its goal.
async fn askers(port: &dyn Port, request: &Request) -> String {
    let mut lines = Vec::new();
    let mut pids = vec![request.pid];
    pids.extend(request.joined.iter().map(|asker| asker.pid));
    pids.dedup();
    for pid in pids {
        let goal = match port.call(process::Inspect { pid }).await {
            Ok(info) => info.goal.as_str().unwrap_or_default().to_owned(),
            Err(_) => String::new(),
        };
        lines.push(format!("{pid} ({})", show::cut(&goal, 60)));
    }
    lines.join("\n")
}

/// What a process has used of its limits.
async fn used(port: &dyn Port, pid: Pid) -> String {
    match port.call(process::Inspect { pid }).await {
        Ok(info) => show::spent_words(&info, show::now_ms()).join("\n"),
        Err(_) => String::new(),
    }
}

async fn approval_card(port: &dyn Port, request: &Request, approval: &Approval, text: &mut String) {
    put(text, "call", &approval.call);
    for need in &approval.needs {
        put(text, "demands", &need.to_string());
    }
    let mut by: Vec<String> = approval.asked_by.iter().map(ToString::to_string).collect();
    by.extend(request.joined.iter().flat_map(|it| &it.asked_by).map(ToString::to_string));
    by.dedup();
    let say = if by.len() == 1 { "says" } else { "say" };
    match by.is_empty() {
        true => put(text, "because", "this call always takes a human's word"),
        false => put(text, "because", &format!("{} {say} ask", by.join(", "))),
    }
    put(text, "digest", &approval.digest.to_string());
    taken_in(port, request.pid, text).await;
    let args = approval.args.value().unwrap_or_default();
    let diff = change(port, request.pid, &approval.call, &args).await;
    let in_diff: &[&str] = if diff.is_some() { &["text", "old", "new"] } else { &[] };
    arguments(&args, in_diff, text);
    if let Some(diff) = diff {
        put(text, "change", &diff);
    }
    if approval.call == tool::Promote::INFO.name {
        promoted(port, request.pid, &args, text).await;
    }
}

/// A generated tool that is to go into an image: everything there is to decide on.
async fn promoted(port: &dyn Port, pid: Pid, args: &serde_json::Value, text: &mut String) {
    let name = args["name"].as_str().unwrap_or_default().to_owned();
    let details = match port.call(tool::Inspect { name, pid: Some(pid) }).await {
        Ok(details) if args["digest"] == details.status.digest.to_string() => details,
        _ => return put(text, "tool", "it is not there, or was changed: the call will fail"),
    };
    for (name, value) in crate::tool::told(&details) {
        put(text, name, &value);
    }
}

/// The arguments of a call, but for those that are shown elsewhere.
fn arguments(args: &serde_json::Value, elsewhere: &[&str], text: &mut String) {
    for (name, value) in args.as_object().into_iter().flatten() {
        match value {
            _ if elsewhere.contains(&name.as_str()) => {}
            serde_json::Value::Null => {}
            serde_json::Value::String(value) => put(text, name, value),
            value => put(text, name, &value.to_string()),
        }
    }
}

/// What a call would change in a file, seen from the host. The process learns nothing of it.
async fn change(port: &dyn Port, pid: Pid, call: &str, args: &serde_json::Value) -> Option<String> {
    match call {
        _ if call == fs::Write::INFO.name => write_diff(port, pid, args).await,
        _ if call == fs::Edit::INFO.name => {
            let (old, new) = (args["old"].as_str()?, args["new"].as_str()?);
            let path = args["path"].as_str()?;
            Some(TextDiff::from_lines(old, new).unified_diff().header(path, path).to_string())
        }
        _ => None,
    }
}

/// A whole file as it is, and as it is to be.
async fn write_diff(port: &dyn Port, pid: Pid, args: &serde_json::Value) -> Option<String> {
    let (mount, path) = args["path"].as_str()?.split_once('/')?;
    if mount != "workspace" {
        return None;
    }
    let info = port.call(process::Inspect { pid }).await.ok()?;
    let workspace = std::path::PathBuf::from(info.workspace?).canonicalize().ok()?;
    let file = workspace.join(path);
    // A link on the way would show a file that the write does not touch.
    if file.parent()?.canonicalize().ok()? != file.parent()? {
        return None;
    }
    let is_plain = std::fs::symlink_metadata(&file)
        .is_ok_and(|found| found.is_file() && found.len() <= SHOWN_BYTES_MAX);
    if !is_plain && file.exists() {
        return None;
    }
    let old = if is_plain { std::fs::read_to_string(&file).ok()? } else { String::new() };
    let new = args["text"].as_str()?;
    if is_plain && old == new {
        return Some("none: the file reads so already".into());
    }
    let from = if is_plain { path } else { "(no file)" };
    Some(TextDiff::from_lines(old.as_str(), new).unified_diff().header(from, path).to_string())
}

/// What the process has taken in, where that has a label: all it says from now on has it, too.
async fn taken_in(port: &dyn Port, pid: Pid, text: &mut String) {
    if let Some(label) = reach::taken_in(port, pid).await {
        put(text, "has read", &format!("data that is {label}"));
    }
}

fn put(text: &mut String, name: &str, value: &str) {
    let mut lines = value.lines();
    let first = lines.next().unwrap_or_default();
    text.push_str(&format!("\n{name:>11}  {first}"));
    for line in lines {
        text.push_str(&format!("\n{:>11}  {line}", ""));
    }
}
