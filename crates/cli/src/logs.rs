//! `libos logs`: what a process did, as the journal tells it.
//!
//! The journal is read, never the runtime: it tells the same whoever holds the store, and of
//! processes that have ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use agent_libos::{
    abi::{
        Digest, Error, Event, OpId, Outcome, Pid, RequestId, Seq, Syscall, Text,
        event::{HumanEvent, OpEvent, ProcessEvent, Step},
        human::{Ask, Request},
        process::Ending,
    },
    audit::{self, arguments},
    journal::{Blobs, Journal, SqliteJournal},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::process::LogsArgs,
    exit::{Exit, Failure},
    host::Host,
    show,
};

/// How often the journal is looked at for more.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn logs(host: &Host, args: &LogsArgs) -> Result<Exit, Failure> {
    let mut journal = host.journal()?;
    must_be_known(&journal, args.pid)?;
    let mut reader = Reader::new(args.pid, journal.blobs());
    let mut ended = false;
    read(&mut journal, args.follow, |event| {
        let Some((seq, at_ms, event)) = event else {
            return !ended;
        };
        let Some(what) = reader.event(event) else {
            return true;
        };
        if host.json {
            show::json(&Line { seq, at_ms, pid: args.pid, what: &what });
        } else {
            say!("{} {}", show::clock(at_ms), what.words());
        }
        ended |= matches!(what, What::Ended(_));
        true
    })
    .await?;
    Ok(Exit::Done)
}

/// Gives every event of the journal, then nothing, and if it is to be followed, what comes, and
/// nothing each time all of it was given; until `each` returns `false`.
pub(crate) async fn read(
    journal: &mut SqliteJournal,
    follow: bool,
    mut each: impl FnMut(Option<(Seq, u64, &Event)>) -> bool,
) -> Result<(), Failure> {
    let mut next = Seq(0);
    let mut goes_on = true;
    loop {
        audit::scan(journal, next, |seq, record| {
            next = Seq(seq.0 + 1);
            goes_on = record.events.iter().all(|event| each(Some((seq, record.at_ms, event))));
            goes_on
        })?;
        if !goes_on || !each(None) || !follow {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        journal.refresh()?;
    }
}

/// Fails unless the journal knows the process.
pub(crate) fn must_be_known(journal: &dyn Journal, pid: Pid) -> Result<(), Failure> {
    let mut known = false;
    audit::scan(journal, Seq(0), |_, record| {
        known = record.events.iter().any(|event| {
            matches!(event, Event::Process(ProcessEvent::Spawned { pid: made, .. }) if *made == pid)
        });
        !known
    })?;
    match known {
        true => Ok(()),
        false => {
            let message = format!("there is no {pid}; `libos ps` lists the processes");
            Err(Failure::new(Exit::Failed, "not_found", message))
        }
    }
}

/// A line as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    seq: Seq,
    at_ms: u64,
    pid: Pid,
    #[serde(flatten)]
    what: &'a What,
}

/// What a process did, or what was done to it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What {
    Made {
        parent: Option<Pid>,
        image: String,
        goal: Text,
    },
    Step {
        /// Its number in the quantum, behind that of the tool call that made it.
        step: String,
        #[serde(flatten)]
        done: Done,
    },
    Asked {
        request: RequestId,
        what: &'static str,
    },
    Answered {
        request: RequestId,
        by: String,
    },
    Said {
        human: String,
        message: Text,
    },
    Sent {
        from: Option<Pid>,
        body: Text,
    },
    Execed {
        image: String,
    },
    Held,
    Released,
    Cancelled,
    Ended(Ending),
}

#[derive(Serialize)]
struct Done {
    op: OpId,
    call: &'static str,
    args: Value,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    words: String,
}

impl What {
    fn words(&self) -> String {
        let text = |text: &Text| show::cut(text.as_str().unwrap_or_default(), 300);
        match self {
            Self::Made { parent, image, goal } => {
                let by = parent.map(|parent| format!(", a child of {parent}"));
                format!("made from {image}{}: {}", by.unwrap_or_default(), text(goal))
            }
            Self::Step { step, done } => format!("{step:>5} {}", done.words),
            Self::Asked { request, what } => format!("{request} asks {what}"),
            Self::Answered { request, by } => format!("{request} was answered by `{by}`"),
            Self::Said { human, message } => {
                let message = message.as_str().unwrap_or_default().trim_end();
                format!("says to {human}: {}", message.replace('\n', "\n    "))
            }
            Self::Sent { from, body } => {
                let from = from.map_or_else(|| "the host".to_owned(), |from| from.to_string());
                format!("a message of {from}: {}", text(body))
            }
            Self::Execed { image } => format!("goes on as {image}"),
            Self::Held => "is held".into(),
            Self::Released => "goes on".into(),
            Self::Cancelled => "is asked to end".into(),
            Self::Ended(ending) => {
                let said =
                    ending.message.as_deref().map(|said| format!(": {}", show::cut(said, 300)));
                format!("{}{}", show::state(ending.state), said.unwrap_or_default())
            }
        }
    }
}

/// Picks what is about one process out of the events.
struct Reader {
    pid: Pid,
    blobs: Arc<dyn Blobs>,
    /// Its operations that are not over: place and call.
    open: BTreeMap<OpId, (String, Syscall)>,
    /// What it asked a human for.
    asked: Vec<RequestId>,
}

impl Reader {
    fn new(pid: Pid, blobs: Arc<dyn Blobs>) -> Self {
        Self { pid, blobs, open: BTreeMap::new(), asked: Vec::new() }
    }

    fn event(&mut self, event: &Event) -> Option<What> {
        match event {
            Event::Op(OpEvent::Admitted { op, caller, step, call, .. })
                if caller.pid() == Some(self.pid) && !is_bookkeeping(step) =>
            {
                let above = step.parent.and_then(|above| self.open.get(&above));
                let place = match above {
                    Some((above, _)) => format!("{above}.{}", step.index),
                    None => step.index.to_string(),
                };
                self.open.insert(*op, (place, call.clone()));
                None
            }
            Event::Op(OpEvent::Settled { op, outcome }) => {
                let (step, call) = self.open.remove(op)?;
                Some(What::Step { step, done: done(*op, &call, outcome) })
            }
            Event::Process(event) => self.process(event),
            Event::Human(event) => self.human(event),
            _ => None,
        }
    }

    fn process(&self, event: &ProcessEvent) -> Option<What> {
        match event {
            ProcessEvent::Spawned { pid, parent, image, goal, .. } if *pid == self.pid => {
                let (image, goal) = (image.to_string(), self.text(goal));
                Some(What::Made { parent: *parent, image, goal })
            }
            ProcessEvent::Sent(message) if message.to == self.pid => {
                Some(What::Sent { from: message.from, body: self.text(&message.body) })
            }
            ProcessEvent::Execed { pid, image, .. } if *pid == self.pid => {
                Some(What::Execed { image: image.to_string() })
            }
            ProcessEvent::Paused { pid, .. } if *pid == self.pid => Some(What::Held),
            ProcessEvent::Resumed { pid } if *pid == self.pid => Some(What::Released),
            ProcessEvent::Cancelled { pid } if *pid == self.pid => Some(What::Cancelled),
            ProcessEvent::Ended { pid, ending, .. } if *pid == self.pid => {
                Some(What::Ended(ending.clone()))
            }
            _ => None,
        }
    }

    fn human(&mut self, event: &HumanEvent) -> Option<What> {
        match event {
            HumanEvent::Opened(request) if request.pid == self.pid => {
                self.asked.push(request.id);
                Some(What::Asked { request: request.id, what: asks(request) })
            }
            HumanEvent::Joined { request, asker } if asker.pid == self.pid => {
                self.asked.push(*request);
                Some(What::Asked { request: *request, what: "too" })
            }
            HumanEvent::Decided { request, decided } if self.asked.contains(request) => {
                Some(What::Answered { request: *request, by: decided.by.clone() })
            }
            HumanEvent::Output { pid: Some(pid), human, message } if *pid == self.pid => {
                Some(What::Said { human: human.clone(), message: self.text(message) })
            }
            _ => None,
        }
    }

    /// A text in full; one that cannot be read stays a reference.
    fn text(&self, text: &Text) -> Text {
        let mut found = text.clone();
        let load = |digest: &Digest| -> Result<Arc<str>, ()> {
            let bytes = self.blobs.get(digest).map_err(drop)?;
            std::str::from_utf8(&bytes).map(Arc::from).map_err(drop)
        };
        match found.restore(load) {
            Ok(true) => found,
            _ => text.clone(),
        }
    }
}

/// The runtime's own calls for a process: none that it made.
fn is_bookkeeping(step: &Step) -> bool {
    step.index == 0 && step.parent.is_none()
}

fn asks(request: &Request) -> &'static str {
    match request.ask {
        Ask::Approval(_) => "to approve a call",
        Ask::Question { .. } => "a question",
        Ask::Permission { .. } => "for a permission",
        Ask::Extension { .. } => "to raise a limit",
        Ask::Unknown { .. } => "what became of an effect",
        Ask::Release(_) => "to release data",
    }
}

fn done(op: OpId, call: &Syscall, outcome: &Outcome) -> Done {
    Done {
        op,
        call: call.info().name,
        args: arguments(call),
        outcome: outcome.as_ref().map_or_else(Error::code, |_| "ok"),
        error: outcome.as_ref().err().map(ToString::to_string),
        words: show::step(call, outcome),
    }
}
