//! `libos secret`: which secrets the host has registered and where they go. It shows no value.

use agent_libos::{
    config::Settings,
    providers::{SecretSource, SecretSpec},
};
use serde_json::json;

use crate::{
    args::host::SecretCommand,
    exit::{Exit, Failure},
    show,
};

pub(crate) fn run(
    settings: &Settings,
    command: &SecretCommand,
    json: bool,
) -> Result<Exit, Failure> {
    match command {
        SecretCommand::Ls => list(settings, json),
    }
}

fn list(settings: &Settings, json: bool) -> Result<Exit, Failure> {
    let secrets = settings.secrets();
    if json {
        let shown = |(name, spec): (&str, &SecretSpec)| {
            let SecretSpec { hosts, headers, variables, .. } = spec;
            json!({
                "name": name, "from": from(spec), "hosts": hosts, "headers": headers,
                "variables": variables,
            })
        };
        let secrets: Vec<_> = secrets.iter().map(shown).collect();
        show::json(&json!({ "secrets": secrets }));
        return Ok(Exit::Done);
    }
    let row = |(name, spec): (&str, &SecretSpec)| {
        let headers = match spec.hosts.is_empty() {
            true => String::new(),
            false => spec.headers.join(" "),
        };
        let places = [spec.hosts.join(" "), headers, spec.variables.join(" ")];
        [name.to_owned(), from(spec)].into_iter().chain(places).collect()
    };
    let rows: Vec<Vec<String>> = secrets.iter().map(row).collect();
    match rows.is_empty() {
        true => say!("No secret is registered; see `[secrets]` of libos.toml."),
        false => put!("{}", show::table(&["NAME", "FROM", "HOSTS", "HEADERS", "VARIABLES"], &rows)),
    }
    Ok(Exit::Done)
}

/// Where a value comes from.
pub(crate) fn from(spec: &SecretSpec) -> String {
    match &spec.source {
        SecretSource::File(path) => format!("file {}", path.display()),
        SecretSource::Variable(name) => format!("variable {name}"),
        // Its arguments may tell more than the name of a program.
        SecretSource::Command(argv) => {
            format!("command {}", argv.first().map_or("", String::as_str))
        }
    }
}
