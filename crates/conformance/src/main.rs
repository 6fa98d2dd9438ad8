//! Lists the cases of the contracts, and serves a toy: a part in another process, as small as it
//! can be.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "what went wrong, for whoever called it")]

use std::{collections::BTreeSet, error::Error, io::Write, process::ExitCode, sync::Arc};

use libos_bindings::{
    BindingError,
    wire::{self, Stream},
};
use libos_conformance::{
    Listed, suites,
    toys::{Clock, Files, Http, Reference, Rpc, Shell},
};
use libos_port::{BoxFuture, Provider};

const USAGE: &str = "\
libos-conformance list [NAME]    the cases of every contract, or of those about a service
libos-conformance suites [NAME]  the names of these contracts
libos-conformance serve TOY      serves capability, clock, fs, http, rpc or shell over stdio";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let text: String = match args[..] {
        ["list", ref about @ ..] if about.len() < 2 => named(about)?.iter().map(list).collect(),
        ["suites", ref about @ ..] if about.len() < 2 => {
            named(about)?.iter().map(|suite| format!("{}\n", suite.name)).collect()
        }
        ["serve", toy] => return serve(toy),
        _ => return Err(USAGE.into()),
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// The contracts that are called this, or are about the service; all of them where none is said.
fn named(about: &[&str]) -> Result<Vec<Listed>, String> {
    let all = suites::all();
    let Some(name) = about.first() else { return Ok(all) };
    let names: BTreeSet<&str> =
        all.iter().flat_map(|suite| suite.serves.iter().chain([&suite.name])).copied().collect();
    let found: Vec<Listed> =
        (all.into_iter()).filter(|it| it.name == *name || it.serves.contains(name)).collect();
    if found.is_empty() {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(format!("no contract is about `{name}`; there are {}", names.join(", ")));
    }
    Ok(found)
}

/// A contract with its cases: the invariants each holds a part to, and the outcomes it shows.
fn list(suite: &Listed) -> String {
    let mut text = format!("{} ({})\n", suite.name, suite.serves.join(", "));
    for case in &suite.cases {
        text += &format!("  {} [{}]\n", case.name, case.invariants.join(", "));
        for (call, code) in &case.outcomes {
            text += &format!("    {call} {code}\n");
        }
    }
    text
}

fn serve(toy: &str) -> Result<(), Box<dyn Error>> {
    let stream = Stream::stdio();
    match toy {
        "capability" => wire::serve_authority(stream, &mut Reference::default())?,
        "clock" => wire::serve_component(stream, &mut Clock)?,
        "fs" => provider(stream, Arc::new(Files::default()))?,
        "http" => provider(stream, Arc::new(Http))?,
        "rpc" => provider(stream, Arc::new(Rpc))?,
        "shell" => provider(stream, Arc::new(Shell))?,
        other => return Err(format!("there is no toy `{other}`").into()),
    }
    Ok(())
}

/// Serves a provider; its effects run on tokio.
fn provider(stream: Stream, part: Arc<dyn Provider>) -> Result<(), BindingError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tokio = runtime.handle().clone();
    let spawn = move |task: BoxFuture<'static, ()>| drop(tokio.spawn(task));
    wire::serve_provider(stream, &part, spawn)
}
