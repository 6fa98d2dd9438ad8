//! `libos audit`: what happened, for people to read.

use agent_libos::{
    abi::{Event, OpId, Principal, Seq, event::Verdict},
    audit::{Decision, Judgement, Operation, Trail, describe},
};

use crate::{
    args::{AuditCommand, AuditLsArgs},
    evidence,
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) fn run(host: &Host, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Ls(args) => ls(host, &args),
        AuditCommand::Show { op } => show_op(host, op),
        AuditCommand::Evidence(command) => evidence::run(host, command),
    }
}

fn ls(host: &Host, args: &AuditLsArgs) -> Result<Exit, Failure> {
    let trail = Trail::read(&host.journal()?)?;
    let mut shown = 0;
    for operation in trail.operations.values() {
        let bookkeeping =
            operation.step.index == 0 && matches!(operation.caller, Principal::Process(_));
        let fits = (args.all || !bookkeeping)
            && args.pid.is_none_or(|pid| operation.caller.pid() == Some(pid))
            && args.outcome.as_deref().is_none_or(|code| operation.ended == Some(code));
        if !fits {
            continue;
        }
        shown += 1;
        if host.json {
            show::json(&operation);
        } else {
            say!("{}", line(operation));
        }
    }
    if shown == 0 && !host.json {
        say!("No operation fits.");
    }
    Ok(Exit::Done)
}

fn line(operation: &Operation) -> String {
    let mut text = format!(
        "{} {} {:>6} {:<4} {} {}\n",
        operation.admitted,
        show::clock(operation.at_ms),
        operation.op.to_string(),
        operation.caller.to_string(),
        operation.call,
        show::brief(&operation.args, 100),
    );
    for decision in &operation.decisions {
        text.push_str(&format!("       {}\n", decision_line(decision)));
    }
    text.push_str(&format!("       => {}", operation.ended.unwrap_or("open")));
    // A refusal was told by its decision.
    let told = operation.decisions.last().is_some_and(|decision| {
        matches!(decision.verdict, Judgement::Refused(_) | Judgement::Verdict(Verdict::Denied(_)))
    });
    if let (Some(error), false) = (&operation.error, told) {
        text.push_str(&format!(": {error}"));
    }
    text
}

fn decision_line(decision: &Decision) -> String {
    let word = match &decision.verdict {
        Judgement::Verdict(Verdict::Allowed(_)) => "allowed",
        Judgement::Verdict(Verdict::Asked { .. }) => "asked",
        Judgement::Verdict(Verdict::Denied(_)) => "denied",
        Judgement::Refused(_) => "refused",
    };
    format!("{word}: {}", decision.because.join("; "))
}

fn show_op(host: &Host, op: OpId) -> Result<Exit, Failure> {
    let journal = host.journal()?;
    let trail = Trail::read(&journal)?;
    let Some(operation) = trail.operations.get(&op) else {
        let message = format!("there is no {op}; `libos audit ls` lists the operations");
        return Err(Failure::new(Exit::Failed, "not_found", message));
    };
    if host.json {
        show::json(&operation);
        return Ok(Exit::Done);
    }
    say!("{}", line(operation));
    say!("\narguments");
    say!("{}", serde_json::to_string_pretty(&operation.args).unwrap_or_default());
    say!("\nrecords");
    let last = operation.settled.unwrap_or(Seq(u64::MAX));
    agent_libos::audit::scan(&journal, operation.admitted, |seq, record| {
        for event in &record.events {
            let is_its = matches!(event, Event::Op(event) if event.op() == op);
            if is_its {
                say!("{seq} {} {}", show::clock(record.at_ms), describe(event));
            }
        }
        seq < last
    })?;
    Ok(Exit::Done)
}
