//! `libos doctor`: what holds on this host, whether the store is whole, which limits are near.
//!
//! It looks and changes nothing. What is wrong is said with what to do about it.

use std::collections::BTreeMap;

use agent_libos::{
    abi::{Pid, human},
    capability::limits::CAPABILITIES_OF_ONE_SUBJECT_MAX,
    config::Settings,
    control::ABI_VERSION,
    human::Limits as HumanLimits,
    journal::Journal as _,
    providers::{Layer, layers_missing, probe},
    scheduler::LIMITS,
};
use serde::Serialize;

use crate::{
    Compose, config,
    exit::{Exit, Failure},
    host::{Access, Host},
    secret, show,
};

/// From which part of a limit on it is near, in percent.
const NEAR_PERCENT: u64 = 80;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// It works, and could be better.
    Note,
    /// It is wrong.
    Bad,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    about: &'static str,
    state: State,
    says: String,
}

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, about: &'static str, state: State, says: impl Into<String>) {
        self.0.push(Finding { about, state, says: says.into() });
    }
}

pub(crate) async fn doctor(
    settings: Result<Settings, Failure>,
    json: bool,
    compose: Compose,
) -> Result<Exit, Failure> {
    let mut report = Report::default();
    versions(&mut report);
    kernel(&mut report);
    configuration(&mut report);
    if let Ok(settings) = &settings {
        programs(&mut report, settings);
        secrets(settings, &mut report).await;
    }
    match settings.and_then(|settings| Host::of(settings, compose)) {
        Ok(host) => store(&host, &mut report).await,
        Err(failure) => report.add("settings", State::Bad, failure.to_string()),
    }
    let is_bad = report.0.iter().any(|finding| finding.state == State::Bad);
    for finding in &report.0 {
        if json {
            show::json(finding);
            continue;
        }
        let word = match finding.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Bad => "BAD",
        };
        say!("{word:<5}{:<10} {}", finding.about, finding.says);
    }
    Ok(if is_bad { Exit::Failed } else { Exit::Done })
}

fn versions(report: &mut Report) {
    let version = env!("CARGO_PKG_VERSION");
    report.add("libos", State::Ok, format!("{version}, ABI version {ABI_VERSION}"));
}

fn kernel(report: &mut Report) {
    let found = probe();
    report.add("kernel", State::Ok, found.kernel);
    match found.pidfd {
        true => report.add("pidfd", State::Ok, "programs are waited for without a race"),
        false => report.add("pidfd", State::Bad, "shell.run needs Linux 5.3 or later"),
    }
    match found.openat2 {
        true => report.add("openat2", State::Ok, "one call walks a path and follows no link"),
        false => {
            let says = "not here: paths are walked name by name, as strictly and slower";
            report.add("openat2", State::Note, says);
        }
    }
    match found.landlock {
        Some(version) => report.add("landlock", State::Ok, format!("ABI version {version}")),
        None => report.add("landlock", State::Note, "the kernel has none, or does not enable it"),
    }
    match found.seccomp.is_empty() {
        false => report.add("seccomp", State::Ok, found.seccomp.join(" ")),
        true => report.add("seccomp", State::Note, "the kernel has no filters, or hides them"),
    }
}

/// Which layers of the confinement of programs hold here, and what follows where one does not.
fn programs(report: &mut Report, settings: &Settings) {
    let (missing, may_lack) = (layers_missing(), settings.may_lack());
    for layer in Layer::ALL {
        let (state, says) = match (missing.contains(&layer), may_lack.contains(&layer)) {
            (false, _) => (State::Ok, format!("{layer} confines them")),
            (true, true) => {
                (State::Note, format!("{layer} is missing; they run without it, as it is set"))
            }
            (true, false) => (
                State::Note,
                format!(
                    "{layer} is missing, so none runs; shell.may_lack = [\"{layer}\"] lets them \
                     run without it"
                ),
            ),
        };
        report.add("programs", state, says);
    }
}

fn configuration(report: &mut Report) {
    for path in config::files() {
        let (state, says) = match config::state(&path) {
            Ok(says) => (State::Ok, format!("{} ({says})", path.display())),
            Err(error) => (State::Bad, error),
        };
        report.add("settings", state, says);
    }
    for name in config::unknown_variables() {
        let says = format!("{name} in the environment sets nothing; see `libos config show`");
        report.add("settings", State::Note, says);
    }
}

async fn secrets(settings: &Settings, report: &mut Report) {
    let secrets = settings.secrets();
    for (name, spec) in secrets.iter() {
        match secrets.check(name).await {
            Ok(()) => report.add("secret", State::Ok, format!("{name}: read")),
            Err(error) => {
                let says = format!("{error} ({})", secret::from(spec));
                report.add("secret", State::Bad, says);
            }
        }
    }
}

async fn store(host: &Host, report: &mut Report) {
    let folder = host.store.display();
    if host.must_exist().is_err() {
        let says = format!("{folder} is not there; `libos init` or `libos run` makes it");
        return report.add("store", State::Note, says);
    }
    let verified = {
        let _progress = host.progress("verifying the store");
        host.journal().and_then(|journal| Ok((journal.verify(None)?, journal.stat()?.format)))
    };
    match verified {
        Ok((head, format)) => {
            let size = head.size;
            let says = format!("{folder}: {size} records of format {format}, each as written");
            report.add("store", State::Ok, says);
            report.add("head", State::Ok, head.to_string());
        }
        Err(failure) => return report.add("store", State::Bad, format!("{folder}: {failure}")),
    }
    match open(host).await {
        Ok((access, near)) => {
            let says = match access.is_live() {
                true => "one holds the store and answers",
                false => "none holds the store",
            };
            report.add("runtime", State::Ok, says);
            match access.close() {
                Ok(()) => limits(&near, report),
                Err(failure) => report.add("store", State::Bad, failure.to_string()),
            }
        }
        Err(failure) => report.add("store", State::Bad, failure.to_string()),
    }
}

fn limits(near: &[String], report: &mut Report) {
    match near.is_empty() {
        true => report.add("limits", State::Ok, format!("none is used to {NEAR_PERCENT} %")),
        false => near.iter().for_each(|near| report.add("limits", State::Note, near)),
    }
}

/// Opens the store, and tells which limits are near.
async fn open(host: &Host) -> Result<(Access, Vec<String>), Failure> {
    let access = host.access().await?;
    let port = access.port.as_ref();
    let mut near = Vec::new();
    let mut check = |whose: Pid, what: &str, used: u64, limit: u64| {
        if used.saturating_mul(100) >= limit.saturating_mul(NEAR_PERCENT) {
            near.push(format!("{whose}: {used} of {limit} {what}"));
        }
    };
    for process in agent_libos::processes(port, true).await? {
        if process.state.is_terminal() {
            continue;
        }
        for (kind, used, limit) in show::spent(&process, show::now_ms()) {
            if let Some(limit) = limit {
                check(process.pid, kind.unit(), used, limit);
            }
        }
        let messages = u64::from(LIMITS.mailbox_messages_max);
        check(process.pid, "messages in its mailbox", process.unread.into(), messages);
    }
    let held = agent_libos::capabilities(port, None, false).await?;
    // What kin hold because they are takes none of the places.
    let held = held.into_iter().filter(|cap| cap.id.kin_child().is_none());
    for (pid, held) in counted(held.map(|cap| cap.subject)) {
        check(pid, "capabilities", held, CAPABILITIES_OF_ONE_SUBJECT_MAX as u64);
    }
    let requests = port.call(human::List { all: None }).await?.requests;
    for (pid, pending) in counted(requests.into_iter().map(|request| request.root)) {
        let limit = HumanLimits::default().task_pending_max;
        check(pid, "cards of its task that wait", pending, limit);
    }
    Ok((access, near))
}

fn counted(pids: impl Iterator<Item = Pid>) -> BTreeMap<Pid, u64> {
    let mut counts = BTreeMap::new();
    pids.for_each(|pid| *counts.entry(pid).or_default() += 1);
    counts
}
