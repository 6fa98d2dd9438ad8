//! `libos checkpoint`.

use agent_libos::{
    abi::{
        CheckpointId, Error, Pid,
        checkpoint::{
            self, CapabilityChange, CheckpointInfo, Difference, ObjectChange, Previewed,
            ProcessChange,
        },
    },
    rewind::{self, Effect, File, Outside, Was},
};
use serde::Serialize;

use self::files::{PutBack, Report};
use crate::{
    args::checkpoint::CheckpointCommand,
    exit::{Exit, Failure},
    host::{Access, Host},
    show,
};

mod files;

/// How many files a table shows.
const ROWS: usize = 25;

pub(crate) async fn run(host: &Host, command: CheckpointCommand) -> Result<Exit, Failure> {
    let access = host.access().await?;
    match command {
        CheckpointCommand::Create { pid, reason } => {
            let made = access.port.call(checkpoint::Create { pid: Some(pid), reason }).await;
            let made = made.map_err(failed)?;
            tell(host, &made, || {
                say!("{} keeps {}.", made.id, holds(&made));
            });
        }
        CheckpointCommand::Ls { pid } => ls(host, &access, pid).await?,
        CheckpointCommand::Show { checkpoint } => {
            let found = access.port.call(checkpoint::Inspect { checkpoint }).await;
            let found = found.map_err(failed)?;
            tell(host, &found, || card(&found));
        }
        CheckpointCommand::Diff { checkpoint } => {
            let difference = access.port.call(checkpoint::Diff { checkpoint }).await;
            let difference = Seen::of(host, checkpoint, difference.map_err(failed)?)?;
            tell(host, &difference, || tables(&difference.of, &difference));
        }
        CheckpointCommand::Fork { checkpoint, parent } => {
            let forked = access.port.call(checkpoint::Fork { checkpoint, parent }).await;
            let forked = forked.map_err(failed)?;
            let lives = access.is_live();
            tell(host, &forked, || {
                say!("{} is made as {} was.", forked.pid, checkpoint.process);
                for copied in &forked.processes[1..] {
                    say!("{} is made as {} was.", copied.to, copied.from);
                }
                if !lives {
                    say!("`libos resume` lets it run.");
                }
            });
        }
        CheckpointCommand::Restore { checkpoint, token: None, yes: false, .. } => {
            let shown = access.port.call(checkpoint::Preview { checkpoint }).await;
            let shown = Seen::of(host, checkpoint, shown.map_err(failed)?)?;
            tell(host, &shown, || preview(checkpoint, &shown));
        }
        CheckpointCommand::Restore { checkpoint, token, force, .. } => {
            let token = match token {
                Some(token) => token,
                None => {
                    let shown = access.port.call(checkpoint::Preview { checkpoint }).await;
                    shown.map_err(failed)?.token
                }
            };
            let restore = checkpoint::Restore { checkpoint, token };
            let restored = access.port.call(restore).await.map_err(failed)?;
            let report = files::put_back(host, &access, restored, force).await?;
            tell(host, &report, || done(&report));
        }
        CheckpointCommand::Commit { checkpoint, image, version, replace } => {
            let commit = checkpoint::Commit { checkpoint, image, version, replace: Some(replace) };
            let image = access.port.call(commit).await.map_err(failed)?;
            tell(host, &image, || {
                say!("{} {} is registered.", image.name, image.version);
                if !image.required_capabilities.is_empty() {
                    say!(
                        "It says it needs what a task has to grant: `libos image show {}`.",
                        image.name
                    );
                }
            });
        }
        CheckpointCommand::Drop { checkpoint } => {
            let dropped = access.port.call(checkpoint::DropCheckpoint { checkpoint }).await;
            let dropped = dropped.map_err(failed)?;
            tell(host, &dropped, || say!("{} is gone.", dropped.id));
        }
    }
    access.close()?;
    Ok(Exit::Done)
}

fn failed(error: Error) -> Failure {
    let code = error.code();
    let failure = Failure::from(error);
    match code {
        "not_found" => failure.next("`libos checkpoint ls` lists the checkpoints"),
        "stale" => failure.next("`libos checkpoint restore` without a token shows it"),
        _ => failure,
    }
}

/// Something that the kernel tells, with what the records tell of the outside.
#[derive(Serialize)]
struct Seen<T> {
    #[serde(flatten)]
    of: T,
    /// The files that are not as they were.
    files: Vec<File>,
    /// What was done outside and stays.
    stays: Vec<Effect>,
}

impl<T> Seen<T> {
    fn of(host: &Host, checkpoint: CheckpointId, of: T) -> Result<Self, Failure> {
        let Outside { files, stays } = rewind::since(&host.journal()?, checkpoint)?;
        Ok(Self { of, files, stays })
    }
}

fn preview(checkpoint: CheckpointId, shown: &Seen<Previewed>) {
    tables(&shown.of.difference, shown);
    say!("\nNothing is done yet. This does exactly that:");
    say!("  libos checkpoint restore {checkpoint} --token {}", shown.of.token);
}

fn done(report: &Report) {
    let restored = &report.restored;
    let names = |list: Vec<String>| match list.is_empty() {
        true => "none".to_owned(),
        false => list.join(" "),
    };
    let pids = |pids: &[Pid]| names(pids.iter().map(ToString::to_string).collect());
    say!("as it was at {}", restored.checkpoint);
    say!("processes   {}", pids(&restored.processes));
    say!("live again  {}", pids(&restored.revived));
    say!("ended       {}", pids(&restored.ended));
    say!("objects     {}", counted(restored.objects, "has changed back", "have changed back"));
    say!("taken back  {}", names(restored.revoked.iter().map(ToString::to_string).collect()));
    let back = report.files.iter().filter(|file| file.outcome == PutBack::Back).count();
    say!("files       {}", counted(back as u64, "is put back", "are put back"));
    for file in report.files.iter().filter(|file| file.outcome != PutBack::Back) {
        say!("  {} is left as it is: {}", file.file.path, file.why.as_deref().unwrap_or_default());
    }
    stays(&report.stays);
}

fn stays(effects: &[Effect]) {
    if effects.is_empty() {
        return;
    }
    say!("\nWhat was done outside stays:");
    let row = |effect: &Effect| {
        vec![
            effect.op.to_string(),
            effect.pid.to_string(),
            effect.ended.unwrap_or("under way").to_owned(),
            format!("{} {}", effect.call, show::brief(&effect.args, 70)),
        ]
    };
    let rows: Vec<_> = effects.iter().map(row).collect();
    put!("{}", show::table(&["OPERATION", "PROCESS", "ENDED", "CALL"], &rows));
}

/// Prints a value for programs, or tells people of it.
fn tell(host: &Host, value: &impl serde::Serialize, people: impl FnOnce()) {
    match host.json {
        true => show::json(value),
        false => people(),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn holds(info: &CheckpointInfo) -> String {
    [
        counted(info.processes, "process", "processes"),
        counted(info.objects, "object", "objects"),
        counted(info.capabilities, "capability", "capabilities"),
    ]
    .join(", ")
}

async fn ls(host: &Host, access: &Access, pid: Option<Pid>) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut after: Option<CheckpointId> = None;
    loop {
        let page = access.port.call(checkpoint::List { pid, after, limit: None }).await?;
        all.extend(page.checkpoints);
        match page.more_after {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    if host.json {
        all.iter().for_each(show::json);
    } else if all.is_empty() {
        say!("No checkpoint; `libos checkpoint create PID` makes one.");
    } else {
        let row = |info: &CheckpointInfo| {
            vec![
                info.id.to_string(),
                show::clock(info.at_ms),
                info.by.map_or_else(|| "the host".into(), |by| by.to_string()),
                info.processes.to_string(),
                info.objects.to_string(),
                show::cut(&info.reason, 60),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        let headers = ["CHECKPOINT", "MADE", "BY", "PROCESSES", "OBJECTS", "WHAT FOR"];
        put!("{}", show::table(&headers, &rows));
    }
    Ok(())
}

fn card(info: &CheckpointInfo) {
    say!("checkpoint  {}", info.id);
    say!("of          {} and all below it", info.id.process);
    if !info.reason.is_empty() {
        say!("what for    {}", info.reason);
    }
    let by = info.by.map_or_else(|| "the host".to_owned(), |by| by.to_string());
    say!("made        {} by {by}, {}", show::clock(info.at_ms), info.op);
    say!("keeps       {}", holds(info));
}

fn tables<T>(difference: &Difference, seen: &Seen<T>) {
    let Difference { checkpoint, processes, objects, capabilities, truncated } = difference;
    let is_same = processes.is_empty() && objects.is_empty() && capabilities.is_empty();
    if is_same && seen.files.is_empty() {
        return say!("Everything is as it was at {checkpoint}.");
    }
    let mut tables = Vec::new();
    if !processes.is_empty() {
        let rows: Vec<_> = processes.iter().map(process_row).collect();
        let headers = ["PROCESS", "IS", "STATE THEN", "STATE NOW", "RUNS", "UNREAD"];
        tables.push(show::table(&headers, &rows));
    }
    if !objects.is_empty() {
        let rows: Vec<_> = objects.iter().map(object_row).collect();
        let headers = ["OBJECT", "IS", "VERSION THEN", "VERSION NOW", "DIGEST"];
        tables.push(show::table(&headers, &rows));
    }
    if !capabilities.is_empty() {
        let rows: Vec<_> = capabilities.iter().map(capability_row).collect();
        tables.push(show::table(&["CAPABILITY", "IS", "SUBJECT", "ON", "RIGHTS"], &rows));
    }
    if !seen.files.is_empty() {
        let rows: Vec<_> = seen.files.iter().take(ROWS).map(file_row).collect();
        tables.push(show::table(&["FILE", "IS", "CHANGED BY"], &rows));
    }
    put!("{}", tables.join("\n"));
    let truncated = truncated + seen.files.len().saturating_sub(ROWS) as u64;
    if truncated > 0 {
        say!("\n{} not shown.", counted(truncated, "change is", "changes are"));
    }
    stays(&seen.stays);
}

fn file_row(file: &File) -> Vec<String> {
    let is = match (&file.was, &file.left) {
        (Was::Lost(_), _) => "lost",
        (Was::Absent, _) => "made",
        (_, None) => "gone",
        _ => "changed",
    };
    vec![file.path.clone(), is.into(), file.op.to_string()]
}

fn process_row(row: &ProcessChange) -> Vec<String> {
    vec![
        row.pid.to_string(),
        show::word(&row.change),
        row.was.map(show::state).unwrap_or_default().to_owned(),
        show::state(row.now).to_owned(),
        row.runs.to_string(),
        row.unread.len().to_string(),
    ]
}

fn object_row(row: &ObjectChange) -> Vec<String> {
    let version = |version: u64| match version {
        0 => String::new(),
        version => version.to_string(),
    };
    vec![
        row.id.to_string(),
        show::word(&row.change),
        version(row.was),
        version(row.now),
        row.digest.short(),
    ]
}

fn capability_row(row: &CapabilityChange) -> Vec<String> {
    vec![
        row.capability.to_string(),
        show::word(&row.change),
        row.subject.to_string(),
        row.on.as_ref().map(ToString::to_string).unwrap_or_default(),
        row.rights.to_string(),
    ]
}
