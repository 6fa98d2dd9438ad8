//! `libos label`.

use agent_libos::abi::{FsPath, Integrity, Label, Labelled, ObjectId, Pid, Sensitivity, label};
use clap::Subcommand;

use crate::{
    exit::{Exit, Failure},
    host::Host,
    show,
};

#[derive(Debug, Subcommand)]
pub(crate) enum LabelCommand {
    /// List everything that has a label of its own.
    Ls,
    /// Lower a label, on your word.
    Declassify {
        /// A process, an object, or a file or folder: p7, obj-7.12, workspace/notes.
        #[arg(value_parser = target)]
        what: Target,
        /// How far the data may spread from now on.
        #[arg(long, default_value = "public")]
        #[arg(value_parser = word(Sensitivity::ALL, Sensitivity::name))]
        sensitivity: Sensitivity,
        /// How far it can be trusted from now on.
        #[arg(long, default_value = "trusted")]
        #[arg(value_parser = word(Integrity::ALL, Integrity::name))]
        integrity: Integrity,
    },
}

/// What is declassified.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Process(Pid),
    Object(ObjectId),
    File(FsPath),
}

fn target(text: &str) -> Result<Target, String> {
    if let Ok(pid) = text.parse() {
        return Ok(Target::Process(pid));
    }
    match text.parse() {
        Ok(id) => Ok(Target::Object(id)),
        Err(_) if text.contains('/') || text == "workspace" => Ok(Target::File(text.into())),
        Err(_) => Err("it is no process, no object, and no path such as workspace/notes".into()),
    }
}

/// Reads one of a few words.
fn word<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let found = all.iter().copied().find(|it| name(*it) == text);
        let names: Vec<&str> = all.iter().map(|it| name(*it)).collect();
        found.ok_or_else(|| format!("it is one of {}", names.join(", ")))
    }
}

pub(crate) async fn run(host: &Host, command: LabelCommand) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let port = &access.port;
    match command {
        LabelCommand::Ls => {
            let all = port.call(label::List {}).await?;
            if host.json {
                show::json(&all);
            } else if all.entries.is_empty() {
                say!("Nothing has a label.");
            } else {
                let row =
                    |entry: &label::LabelEntry| vec![what(&entry.what), entry.label.to_string()];
                let rows: Vec<Vec<String>> = all.entries.iter().map(row).collect();
                put!("{}", show::table(&["WHAT", "LABEL"], &rows));
            }
        }
        LabelCommand::Declassify { what, sensitivity, integrity } => {
            let to = Label { sensitivity, integrity, ..Label::BOTTOM };
            let mut call = label::Declassify { id: None, path: None, pid: None, to };
            match what {
                Target::Process(pid) => call.pid = Some(pid),
                Target::Object(id) => call.id = Some(id),
                Target::File(path) => call.path = Some(path),
            }
            let shown = port.call(call).await?;
            if host.json {
                show::json(&shown);
            } else {
                say!("It is {} now.", shown.label);
            }
        }
    }
    access.close()?;
    Ok(Exit::Done)
}

/// What has a label, in words.
pub(crate) fn what(what: &Labelled) -> String {
    match what {
        Labelled::Process(pid) => pid.to_string(),
        Labelled::Object(id) => id.to_string(),
        Labelled::Message { to, id } => format!("{id}, to {to}"),
        Labelled::File { workspace: None, on } => on.to_string(),
        Labelled::File { workspace: Some(folder), on } => format!("{on}, of {folder}"),
        Labelled::Files { workspace: None } => "what programs wrote elsewhere".into(),
        Labelled::Files { workspace: Some(folder) } => format!("what programs wrote in {folder}"),
        Labelled::Tool(digest) => format!("tool {}", digest.short()),
    }
}
