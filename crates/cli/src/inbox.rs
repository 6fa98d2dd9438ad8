//! `libos inbox`, `approve`, `deny`, `answer`, `extend` and `settle`.

use agent_libos::{
    abi::{
        RequestId, Scope,
        human::{self, Ask, Decision, Known, Policy, Request, RequestState},
        process::BudgetKind,
    },
    port::Port,
};

use crate::{
    args::{Amount, ApproveArgs, KnownArg},
    card::card,
    exit::{Exit, Failure},
    host::{Access, Host},
    show,
};

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
    decide(host, args.request, |request| match request.ask {
        Ask::Permission { .. } if args.each_time => {
            Ok(Decision::Permit { policy: Policy::AskEachTime })
        }
        Ask::Permission { .. } => Ok(Decision::Permit { policy: Policy::Always }),
        Ask::Approval(_) | Ask::Release(_) => Ok(Decision::Approve { scope }),
        _ => Err(wrong(request)),
    })
    .await
}

pub(crate) async fn deny(
    host: &Host,
    request: RequestId,
    reason: Option<String>,
) -> Result<Exit, Failure> {
    decide(host, request, |request| match request.ask {
        Ask::Unknown { .. } => Err(wrong(request)),
        _ => Ok(Decision::Deny { reason: reason.clone() }),
    })
    .await
}

pub(crate) async fn answer(host: &Host, request: RequestId, text: String) -> Result<Exit, Failure> {
    decide(host, request, |request| match request.ask {
        Ask::Question { .. } => Ok(Decision::Answer { text: text.as_str().into() }),
        _ => Err(wrong(request)),
    })
    .await
}

pub(crate) async fn extend(host: &Host, request: RequestId, by: Amount) -> Result<Exit, Failure> {
    decide(host, request, |request| match (&request.ask, by) {
        (Ask::Extension { .. }, Amount::Number(by)) => Ok(Decision::Extend { by }),
        (Ask::Extension { kind: BudgetKind::Wall, .. }, Amount::Time(by)) => {
            Ok(Decision::Extend { by: by.0 })
        }
        (Ask::Extension { kind, .. }, Amount::Time(_)) => {
            let message = format!("{} is a limit of {}: write a number", request.id, kind.unit());
            Err(Failure::new(Exit::Usage, "usage", message))
        }
        _ => Err(wrong(request)),
    })
    .await
}

pub(crate) async fn settle(
    host: &Host,
    request: RequestId,
    what: KnownArg,
) -> Result<Exit, Failure> {
    let what = match what {
        KnownArg::Done => Known::Done,
        KnownArg::NotDone => Known::NotDone,
        KnownArg::Unknown => Known::Unknown,
    };
    decide(host, request, |request| match request.ask {
        Ask::Unknown { .. } => Ok(Decision::Known { what }),
        _ => Err(wrong(request)),
    })
    .await
}

/// How a request is answered, as commands.
pub(crate) fn ways(request: &Request) -> String {
    let id = request.id;
    match request.ask {
        Ask::Approval(_) | Ask::Release(_) => format!("libos approve {id}"),
        Ask::Question { .. } => format!("libos answer {id} \"…\""),
        Ask::Permission { .. } => format!("libos approve {id} [--each-time]"),
        Ask::Extension { .. } => format!("libos extend {id} --by N"),
        Ask::Unknown { .. } => format!("libos settle {id} done|not-done|unknown"),
    }
}

/// The same with the way to refuse, where there is one.
pub(crate) fn told_ways(request: &Request, quote: &str, or: &str) -> String {
    let ways = format!("{quote}{}{quote}", ways(request));
    match request.ask {
        Ask::Unknown { .. } => ways,
        _ => format!("{ways}{or}{quote}libos deny {}{quote}", request.id),
    }
}

/// The failure of an answer that does not fit what is asked.
fn wrong(request: &Request) -> Failure {
    let what = match request.ask {
        Ask::Approval(_) => "asks for approval of a call",
        Ask::Release(_) => "asks for the release of data",
        Ask::Question { .. } => "is a question",
        Ask::Permission { .. } => "asks for a permission",
        Ask::Extension { .. } => "asks for a larger limit",
        Ask::Unknown { .. } => "asks what became of an effect",
    };
    let message = format!("{} {what}: {}", request.id, told_ways(request, "`", ", or "));
    Failure::new(Exit::Usage, "wrong_answer", message)
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

/// Answers a request with what fits it.
async fn decide(
    host: &Host,
    id: RequestId,
    fit: impl Fn(&Request) -> Result<Decision, Failure>,
) -> Result<Exit, Failure> {
    let mut access = host.access().await?;
    let mut decided = attempt(access.port.as_ref(), id, &fit).await;
    if decided.as_ref().is_err_and(|failure| failure.is("store_unavailable")) {
        // The runtime that held the store ended just now. Saying it again is safe: a request is
        // answered exactly once.
        access.close()?;
        access = host.access().await?;
        decided = attempt(access.port.as_ref(), id, &fit).await;
    }
    let request = decided?;
    tell(host, access, &request, &verdict(&request))
}

async fn attempt(
    port: &dyn Port,
    id: RequestId,
    fit: &impl Fn(&Request) -> Result<Decision, Failure>,
) -> Result<Request, Failure> {
    let decision = fit(&find(port, id).await?)?;
    Ok(port.call(human::Decide { request: id, decision }).await?)
}

/// Closes the store, and says what was done and how it goes on.
pub(crate) fn tell(
    host: &Host,
    access: Access,
    done: &impl serde::Serialize,
    words: &str,
) -> Result<Exit, Failure> {
    let is_live = access.is_live();
    access.close()?;
    if host.json {
        show::json(done);
    } else {
        say!("{words}");
        if !is_live {
            say!("Nothing runs now: `libos resume` goes on.");
        }
    }
    Ok(Exit::Done)
}

/// Where a request stands, in words.
pub(crate) fn verdict(request: &Request) -> String {
    match &request.state {
        RequestState::Pending => format!("{} waits.", request.id),
        RequestState::Cancelled => format!("{} was cancelled: its process ended.", request.id),
        RequestState::Decided(decided) => {
            let what = word(&decided.decision);
            let made = decided.capability.map(|cap| format!("; it made {cap}")).unwrap_or_default();
            format!("{}: {what} by `{}`{made}.", request.id, decided.by)
        }
    }
}

/// What was decided, in a word.
pub(crate) fn word(decision: &Decision) -> String {
    match decision {
        Decision::Approve { scope } => format!("approved ({})", show::word(scope)),
        Decision::Deny { .. } => "denied".into(),
        Decision::Answer { .. } => "answered".into(),
        Decision::Permit { policy } => format!("permitted ({})", show::word(policy)),
        Decision::Extend { by } => format!("extended (by {by})"),
        Decision::Known { what: Known::Done } => "settled as done".into(),
        Decision::Known { what: Known::NotDone } => "settled as not done".into(),
        Decision::Known { what: Known::Unknown } => "left unknown".into(),
    }
}
