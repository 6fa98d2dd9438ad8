//! `libos replay`, `libos policy` and looks at past states.

use std::sync::Arc;

use agent_libos::{
    abi::{CapId, DenyReason, OpId, capability},
    control::RemotePort,
    policy::{self, NarrowError, Narrowest, Tested, Word},
    port::Port,
    replay::{self, Check, Past, Replayed, Source, Verdict},
};
use serde_json::{Value, json};

use crate::{
    args::past::{At, PolicyCommand, ReplayArgs},
    exit::{Exit, Failure},
    host::{Access, Host},
    show,
};

impl Host {
    /// A way in to what is, or to what was.
    pub(crate) async fn access_at(&self, at: At) -> Result<Access, Failure> {
        let Some(at) = at.at else { return self.access().await };
        let _progress = self.progress("going back");
        let past = Past::after(at, &self.journal()?, self.builder(), &self.operator)?;
        Ok(Access::of(Arc::new(past) as Arc<dyn Port>))
    }
}

pub(crate) async fn replay(host: &Host, args: &ReplayArgs) -> Result<Exit, Failure> {
    host.must_exist()?;
    // Asked first: what is read then has all the records it speaks of.
    let running = match (args.verify, RemotePort::find(&host.store, &host.operator).await) {
        (true, Some(port)) => Some((Source::Runtime, port.state().await?)),
        _ => None,
    };
    let journal = host.journal()?;
    let compose = || host.builder();
    let mut progress = host.progress("folding the journal");
    let mut others = Vec::new();
    if args.verify {
        others = replay::snapshots(&journal);
        others.push(match running {
            Some(running) => running,
            None => replay::start(&compose, &journal)?,
        });
    }
    let replayed = replay::replay(&compose, &journal, args.to, others, &mut |done, of| {
        progress.at(done, of);
    })?;
    drop(progress);
    match host.json {
        true => show::json(&replayed_json(&replayed)),
        false => tell_replayed(&replayed),
    }
    Ok(if replayed.holds() { Exit::Done } else { Exit::Failed })
}

fn source(check: &Check) -> &'static str {
    match check.source {
        Source::Snapshot => "snapshot",
        Source::Runtime => "runtime",
        Source::Start => "start",
    }
}

fn replayed_json(replayed: &Replayed) -> Value {
    let checks = replayed.checks.iter().map(|check| {
        let (verdict, folded, why) = match &check.verdict {
            Verdict::Same => ("same", None, None),
            Verdict::Differs { folded } => ("differs", Some(folded), None),
            Verdict::PassedOver(why) => ("passed_over", None, Some(why)),
        };
        json!({
            "of": source(check), "records": check.state.records, "digest": check.state.digest,
            "verdict": verdict, "folded": folded, "why": why,
        })
    });
    json!({
        "records": replayed.state.records,
        "digest": replayed.state.digest,
        "holds": replayed.holds(),
        "ms": u64::try_from(replayed.took.as_millis()).unwrap_or(u64::MAX),
        "records_per_second": replayed.rate().round(),
        "checks": checks.collect::<Vec<_>>(),
    })
}

fn tell_replayed(replayed: &Replayed) {
    for check in &replayed.checks {
        let (what, records) = (source(check), check.state.records);
        let verdict = match &check.verdict {
            Verdict::Same => "the same".to_owned(),
            Verdict::Differs { folded } => {
                let digest = check.state.digest.short();
                format!("DIFFERS: {digest}, and the records fold to {}", folded.short())
            }
            Verdict::PassedOver(why) => format!("passed over: {why}"),
        };
        say!("{what:8} {records:>9} records  {verdict}");
    }
    let state = replayed.state;
    say!("state    {:>9} records  {}", state.records, state.digest);
    say!("folded {:.0} records in a second", replayed.rate());
}

pub(crate) async fn policy(host: &Host, command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Test { rules, pid } => {
            let rules = policy::load(rules)?;
            let journal = host.journal()?;
            let _progress = host.progress("deciding again");
            let tested = policy::test(host.builder(), &journal, &rules, *pid)?;
            match host.json {
                true => tested_json(&tested),
                false => tell_tested(&tested),
            }
            Ok(Exit::Done)
        }
        PolicyCommand::Narrow { op, grant } => narrow(host, *op, *grant).await,
    }
}

/// The narrowest rule for a denied call, shown and, if that is wanted, given.
async fn narrow(host: &Host, op: OpId, give: bool) -> Result<Exit, Failure> {
    let narrow = policy::narrowest(host.builder(), &host.journal()?, op, show::now_ms());
    let narrow = narrow.map_err(|error| match error {
        NarrowError::Audit(error) => error.into(),
        NarrowError::NoCall(_) => Failure::new(Exit::Failed, "not_found", error.to_string())
            .next("`libos explain PID` lists what a process was refused"),
        NarrowError::NotDenied { .. } => {
            Failure::new(Exit::Failed, "not_denied", error.to_string())
                .next(&format!("`libos why {op}` tells its story"))
        }
    })?;
    let mut given = Vec::new();
    if give && narrow.refused.is_none() {
        let access = host.access().await?;
        for grant in &narrow.grants {
            let call = capability::Grant { to: narrow.pid, grant: grant.clone() };
            given.push(access.port.call(call).await?.capability);
        }
        access.close()?;
    }
    match host.json {
        true => show::json(&json!({ "narrowest": narrow, "given": given })),
        false => tell_narrow(&narrow, &given)?,
    }
    Ok(if narrow.refused.is_some() { Exit::Failed } else { Exit::Done })
}

fn tell_narrow(narrow: &Narrowest, given: &[CapId]) -> Result<(), Failure> {
    let Narrowest { op, pid, call, denial, grants, any, refused } = narrow;
    say!("{op} {call} by {pid} was denied: {denial}");
    if let Some(refused) = refused {
        say!("No rule lets it through: {refused}.");
        if let Some(next) = mended_by(&refused.reason) {
            say!("{next}");
        }
        return Ok(());
    }
    if grants.is_empty() {
        say!("Nothing has to be granted: made again now, it is let through or asked about.");
        return Ok(());
    }
    let toml = narrow.toml().map_err(|error| {
        Failure::new(Exit::Failed, "bad_rule", format!("the rule is no TOML: {error}"))
    })?;
    say!("The narrowest rule that lets it through:\n\n{}\n", toml.trim_end());
    if !any.is_empty() {
        say!("It cannot be held to what {} says.", any.join(", "));
    }
    if given.is_empty() {
        say!("Leave out `uses`, and it holds for good; a `when`, and any such argument will do.");
        say!("`libos policy narrow {op} --grant` gives it to {pid}.");
    } else {
        let names: Vec<String> = given.iter().map(ToString::to_string).collect();
        say!("{} is now {pid}'s.", names.join(", "));
    }
    Ok(())
}

/// What helps where no grant does.
fn mended_by(reason: &DenyReason) -> Option<String> {
    Some(match reason {
        DenyReason::DenyRule(cap) => {
            format!(
                "`libos why {cap}` tells who denies it, `libos cap revoke {cap}` takes that back."
            )
        }
        DenyReason::Clearance { .. } => {
            "`libos label` lowers a label; docs/labels.md tells how data is released.".into()
        }
        DenyReason::Manifest(_) => {
            "What bounds a task is in the manifest it was launched with, for good.".into()
        }
        DenyReason::NotInToolTable(_) => {
            "Tools are in the tables of images: `libos image show IMAGE`.".into()
        }
        DenyReason::NotDeclared(_) => {
            "The tool has to declare what it calls: `libos tool show PID NAME`.".into()
        }
        _ => return None,
    })
}

fn tested_json(tested: &Tested) {
    for changed in &tested.changed {
        show::json(changed);
    }
    for withheld in &tested.withheld {
        show::json(&json!({ "withheld": withheld }));
    }
    show::json(&json!({
        "calls": tested.calls(),
        "would_be_denied": tested.newly(Word::Denied),
        "would_be_asked": tested.newly(Word::Asked),
        "would_be_allowed": tested.newly(Word::Allowed),
        "unchanged": tested.calls() - tested.changed.len() as u64,
    }));
}

fn tell_tested(tested: &Tested) {
    for (word, title) in [
        (Word::Denied, "would be denied"),
        (Word::Asked, "would be asked about"),
        (Word::Allowed, "would be allowed"),
    ] {
        let rows: Vec<Vec<String>> = tested
            .changed
            .iter()
            .filter(|changed| changed.would_be == word)
            .map(|changed| {
                let needs: Vec<String> = changed.needs.iter().map(ToString::to_string).collect();
                vec![
                    changed.op.to_string(),
                    changed.seq.to_string(),
                    changed.pid.to_string(),
                    show::word(&changed.was),
                    changed.call.to_owned(),
                    changed.reason.clone().unwrap_or_else(|| needs.join(", ")),
                ]
            })
            .collect();
        if !rows.is_empty() {
            say!("{} {title}:", rows.len());
            put!("{}\n", show::table(&["OP", "RECORD", "PROCESS", "WAS", "CALL", "WHY"], &rows));
        }
    }
    for withheld in &tested.withheld {
        say!("{} would not get grant {}: {}", withheld.pid, withheld.rule, withheld.reason);
    }
    say!(
        "{} decided again: {} would be denied, {} asked about, {} allowed; {} as they were.",
        tested.calls(),
        tested.newly(Word::Denied),
        tested.newly(Word::Asked),
        tested.newly(Word::Allowed),
        tested.calls() - tested.changed.len() as u64
    );
}
