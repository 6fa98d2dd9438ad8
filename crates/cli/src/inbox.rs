//! `libos inbox`, `approve`, `deny` and `answer`.

use agent_libos::{
    abi::{
        Pid, RequestId, Scope,
        human::{self, Approval, Ask, Decision, Policy, Request, RequestState},
        process,
    },
    port::Port,
};
use similar::TextDiff;

use crate::{
    args::ApproveArgs,
    exit::{Exit, Failure},
    host::Host,
    show,
};

/// The largest file whose change a card shows: the largest that a call can write.
const SHOWN_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn inbox(host: &Host, all: bool) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let requests = access.port.call(human::List { all: Some(all) }).await?.requests;
    if host.json {
        for request in &requests {
            show::json(&request);
        }
    } else if requests.is_empty() {
        say!("Nothing waits for you.");
    } else {
        for request in &requests {
            say!("{}", card(access.port.as_ref(), request).await);
        }
    }
    access.close()?;
    Ok(Exit::Done)
}

pub(crate) async fn approve(host: &Host, args: ApproveArgs) -> Result<Exit, Failure> {
    let scope = match (args.until, args.scope.as_str()) {
        (Some(until), _) => Scope::Until(until),
        (None, "once") => Scope::Once,
        (None, "process") => Scope::Process,
        (None, "subtree") => Scope::Subtree,
        (None, number) => match number.parse() {
            Ok(uses) => Scope::Uses(uses),
            Err(_) => {
                let message = format!(
                    "--scope is once, process, subtree or a number of uses, not `{number}`"
                );
                return Err(Failure::new(Exit::Usage, "usage", message));
            }
        },
    };
    let access = host.access().await?;
    let request = find(access.port.as_ref(), args.request).await?;
    let decision = match request.ask {
        Ask::Permission { .. } if args.each_time => {
            Decision::Permit { policy: Policy::AskEachTime }
        }
        Ask::Permission { .. } => Decision::Permit { policy: Policy::Always },
        _ => Decision::Approve { scope },
    };
    decide(host, access, args.request, decision).await
}

pub(crate) async fn deny(
    host: &Host,
    request: RequestId,
    reason: Option<String>,
) -> Result<Exit, Failure> {
    let access = host.access().await?;
    decide(host, access, request, Decision::Deny { reason }).await
}

pub(crate) async fn answer(host: &Host, request: RequestId, text: String) -> Result<Exit, Failure> {
    let access = host.access().await?;
    decide(host, access, request, Decision::Answer { text: text.into() }).await
}

async fn find(port: &dyn Port, id: RequestId) -> Result<Request, Failure> {
    let requests = port.call(human::List { all: Some(true) }).await?.requests;
    requests.into_iter().find(|request| request.id == id).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "not_found",
            format!("there is no {id}; see `libos inbox --all`"),
        )
    })
}

async fn decide(
    host: &Host,
    access: crate::host::Access,
    request: RequestId,
    decision: Decision,
) -> Result<Exit, Failure> {
    let decide = human::Decide { request, decision };
    let mut decided = access.port.call(decide.clone()).await;
    access.close()?;
    if decided.as_ref().is_err_and(|error| error.code() == "store_unavailable") {
        // The runtime that held the store ended just now. Saying it again is safe: a request is
        // answered exactly once.
        let access = host.access().await?;
        decided = access.port.call(decide).await;
        access.close()?;
    }
    let request = decided?;
    if host.json {
        show::json(&request);
    } else {
        say!("{}", verdict(&request));
        say!("If no `libos run` or `libos resume` is under way, go on with `libos resume`.");
    }
    Ok(Exit::Done)
}

fn verdict(request: &Request) -> String {
    match &request.state {
        RequestState::Pending => format!("{} waits.", request.id),
        RequestState::Cancelled => format!("{} was cancelled: its process ended.", request.id),
        RequestState::Decided(decided) => {
            let what = match &decided.decision {
                Decision::Approve { scope } => format!("approved ({})", show::word(scope)),
                Decision::Deny { .. } => "denied".into(),
                Decision::Answer { .. } => "answered".into(),
                Decision::Permit { policy } => format!("permitted ({})", show::word(policy)),
                Decision::Extend { by } => format!("extended (by {by})"),
            };
            let made = decided.capability.map(|cap| format!("; it made {cap}")).unwrap_or_default();
            format!("{}: {what} by `{}`{made}.", request.id, decided.by)
        }
    }
}

/// A request with everything there is to decide on.
pub(crate) async fn card(port: &dyn Port, request: &Request) -> String {
    let mut text = format!("── {} ", request.id);
    while text.chars().count() < 72 {
        text.push('─');
    }
    let goal = match port.call(process::Inspect { pid: request.pid }).await {
        Ok(info) => info.goal.as_str().unwrap_or_default().to_owned(),
        Err(_) => String::new(),
    };
    put(&mut text, "from", &format!("{} ({})", request.pid, show::cut(&goal, 60)));
    put(&mut text, "asked at", &format!("{} UTC", show::clock(request.asked_at_ms)));
    match &request.ask {
        Ask::Approval(approval) => approval_card(port, request.pid, approval, &mut text).await,
        Ask::Question { question, context } => {
            put(&mut text, "question", question.as_str().unwrap_or_default());
            if let Some(context) = context.as_ref().and_then(|context| context.as_str()) {
                put(&mut text, "context", context);
            }
            put(&mut text, "answer", &format!("libos answer {} \"…\"", request.id));
        }
        Ask::Permission { on, rights, reason } => {
            put(&mut text, "permission", &format!("{rights} on {on}"));
            put(&mut text, "reason", reason);
            let id = request.id;
            put(
                &mut text,
                "answer",
                &format!("libos approve {id} [--each-time]  |  libos deny {id}"),
            );
        }
        Ask::Extension { of, kind, limit, call } => {
            put(&mut text, "call", call);
            put(&mut text, "limit", &format!("{limit} {} of {of} are used up", kind.unit()));
            let id = request.id;
            put(&mut text, "answer", &format!("libos extend {id} --by N  |  libos deny {id}"));
        }
    }
    if !matches!(request.state, RequestState::Pending) {
        put(&mut text, "state", &verdict(request));
    }
    text.push('\n');
    text
}

async fn approval_card(port: &dyn Port, pid: Pid, approval: &Approval, text: &mut String) {
    put(text, "call", &approval.call);
    for need in &approval.needs {
        put(text, "demands", &need.to_string());
    }
    let by: Vec<String> = approval.asked_by.iter().map(ToString::to_string).collect();
    put(text, "because", &format!("{} says ask", by.join(", ")));
    put(text, "digest", &approval.digest.to_string());
    let args = approval.args.value().unwrap_or_default();
    let diff = write_diff(port, pid, &approval.call, &args).await;
    for (name, value) in args.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(_) if name == "text" && diff.is_some() => {}
            serde_json::Value::String(value) => put(text, name, value),
            value => put(text, name, &value.to_string()),
        }
    }
    if let Some(diff) = diff {
        put(text, "change", &diff);
    }
}

/// For a write: what it would change, seen from the host. The process learns nothing of it.
async fn write_diff(
    port: &dyn Port,
    pid: Pid,
    call: &str,
    args: &serde_json::Value,
) -> Option<String> {
    if call != "fs.write" {
        return None;
    }
    let path = args["path"].as_str()?.split_once('/')?.1;
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

fn put(text: &mut String, name: &str, value: &str) {
    let mut lines = value.lines();
    let first = lines.next().unwrap_or_default();
    text.push_str(&format!("\n{name:>11}  {first}"));
    for line in lines {
        text.push_str(&format!("\n{:>11}  {line}", ""));
    }
}
