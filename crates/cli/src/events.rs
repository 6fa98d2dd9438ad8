//! `libos events`: what a process was told of, from the journal.

use agent_libos::abi::{
    Event,
    event::{ProcessEvent, SubscriberEvent},
    events::{Happened, Occurrence},
};
use serde_json::Value;

use crate::{
    args::process::EventsArgs,
    exit::{Exit, Failure},
    host::Host,
    logs::{must_be_known, read},
    show,
};

pub(crate) async fn events(host: &Host, args: &EventsArgs) -> Result<Exit, Failure> {
    let mut journal = host.journal()?;
    must_be_known(&journal, args.pid)?;
    let mut told: Vec<Occurrence> = Vec::new();
    let mut cursor = 0;
    let mut shown = None;
    let mut ended = false;
    read(&mut journal, args.follow, |event| {
        let Some((_, at_ms, event)) = event else {
            // What was there is shown once all of it is known, what comes then as it comes.
            let before = shown.replace(told.len());
            let least = if args.all || before.is_some() { 0 } else { cursor };
            let fresh = told[before.unwrap_or(0)..].iter().filter(|event| event.number > least);
            fresh.for_each(|event| tell(host, event));
            return !ended;
        };
        match event {
            Event::Subscriber(SubscriberEvent::Told { pid, what, .. }) if *pid == args.pid => {
                let number = told.len() as u64 + 1;
                told.push(Occurrence { number, at_ms, what: *what });
            }
            Event::Subscriber(SubscriberEvent::Taken { pid, cursor: at }) if *pid == args.pid => {
                cursor = *at;
            }
            Event::Process(ProcessEvent::Ended { pid, .. }) if *pid == args.pid => ended = true,
            _ => {}
        }
        true
    })
    .await?;
    if !host.json && !args.follow {
        let taken = told.iter().filter(|event| event.number <= cursor).count();
        say!("{} was told of {} events and has taken {taken}.", args.pid, told.len());
    }
    Ok(Exit::Done)
}

fn tell(host: &Host, event: &Occurrence) {
    match host.json {
        true => show::json(event),
        false => say!("{}", line(event)),
    }
}

fn line(event: &Occurrence) -> String {
    let Occurrence { number, at_ms, what } = event;
    format!("#{number} {} {}", show::clock(*at_ms), words(what))
}

/// What happened as one line: its kind and what it is about.
fn words(what: &Happened) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(what) else {
        return String::new();
    };
    let all = fields.into_iter().map(|(kind, about)| format!("{kind} {}", show::brief(&about, 80)));
    all.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}
