//! `libos replay`, `libos policy` and looks at past states.

use std::sync::Arc;

use agent_libos::{
    control::RemotePort,
    policy::{self, Tested, Word},
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

pub(crate) fn policy(host: &Host, command: &PolicyCommand) -> Result<Exit, Failure> {
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
    }
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
