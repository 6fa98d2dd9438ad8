//! `libos config`, and where the settings of every command come from.
//!
//! Built-in values, under the user's `libos.toml`, under that of the current folder, under the
//! environment, under flags.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use agent_libos::{
    config::{self, ConfigFile, Key, Layer, Origin, Settings},
    limits::{self, Limit},
};
use serde_json::json;

use crate::{
    args::{Cli, host::ConfigCommand},
    crash,
    exit::{Exit, Failure},
    show,
};

/// The name of a configuration file, wherever it is.
const FILE_NAME: &str = "libos.toml";

/// Variables that begin like settings and are read elsewhere.
const OTHER_VARIABLES: [&str; 3] = ["LIBOS_LOG", crash::AT, crash::TRACE];

/// The files that are looked at, the lowest first.
pub(crate) fn files() -> Vec<PathBuf> {
    user_file().into_iter().chain([PathBuf::from(FILE_NAME)]).collect()
}

/// The user's own file.
fn user_file() -> Option<PathBuf> {
    user_folder().map(|folder| folder.join(FILE_NAME))
}

/// The user's own folder: that of the XDG base directories.
pub(crate) fn user_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    config.map(|config| config.join("libos"))
}

/// What the environment says, as far as it is text.
fn variables() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let ours = |(name, _): &(String, String)| name.starts_with(config::VARIABLE_PREFIX);
    std::env::vars_os().filter_map(text).filter(ours).collect()
}

/// Variables that look like settings and set nothing.
pub(crate) fn unknown_variables() -> Vec<String> {
    let keys = config::keys();
    let is_known = |name: &String| {
        OTHER_VARIABLES.contains(&name.as_str()) || keys.iter().any(|key| key.variable() == *name)
    };
    variables().into_iter().map(|(name, _)| name).filter(|name| !is_known(name)).collect()
}

/// What holds for a command.
pub(crate) fn settings(cli: &Cli) -> Result<Settings, Failure> {
    let mut layers = Vec::new();
    for path in files().into_iter().filter(|path| path.exists()) {
        layers.push(Layer::file(&path)?);
    }
    layers.push(Layer::environment(variables())?);
    let store = cli.store.as_deref().map(|store| match store.to_str() {
        Some(store) => Ok(store.into()),
        None => {
            let message = format!("--store {}: the path is not UTF-8", store.display());
            Err(Failure::new(Exit::Usage, "usage", message))
        }
    });
    let operator = cli.operator.clone().map(Into::into);
    let flags = Layer::default()
        .flag("store", store.transpose()?, "--store")
        .flag("json", cli.json.map(Into::into), "--json")
        .flag("operator", operator, "--as");
    layers.push(flags);
    Ok(Settings::of(layers))
}

pub(crate) fn run(
    settings: Result<Settings, Failure>,
    command: &ConfigCommand,
    json: bool,
) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show { all } => show_all(&settings?, *all, json),
        ConfigCommand::Path => paths(json),
        ConfigCommand::Init { user } => init(*user, json),
    }
}

fn show_all(settings: &Settings, all: bool, json: bool) -> Result<Exit, Failure> {
    let limits = if all { limits::all() } else { Vec::new() };
    if json {
        let set: serde_json::Map<_, _> =
            settings.iter().map(|(name, it)| (name.to_owned(), json!(it))).collect();
        let mut shown = json!({ "settings": set, "unknown_variables": unknown_variables() });
        if all {
            shown["limits"] = json!(limits);
        }
        show::json(&shown);
        return Ok(Exit::Done);
    }
    let row = |Key { name, .. }: Key| {
        let found = settings.iter().find(|(key, _)| *key == name);
        // What is named by whoever sets it has a row for each name.
        let each = settings.iter().filter(|(key, _)| key.starts_with(&format!("{name}.")));
        let each: Vec<_> = each
            .map(|(key, it)| vec![key.to_owned(), it.value.to_string(), it.from.to_string()])
            .collect();
        if !each.is_empty() {
            return each;
        }
        let (value, from) = found.map_or_else(
            || ("(none)".to_owned(), Origin::Default.to_string()),
            |(_, it)| (it.value.to_string(), it.from.to_string()),
        );
        vec![vec![name, value, from]]
    };
    let rows: Vec<_> = config::keys().into_iter().flat_map(row).collect();
    put!("{}", show::table(&["KEY", "VALUE", "FROM"], &rows));
    for name in unknown_variables() {
        say!("{name} in the environment sets nothing.");
    }
    if all {
        show_limits(&limits);
    } else {
        say!("\nEvery limit of every part: `libos config show --all`.");
    }
    Ok(Exit::Done)
}

fn show_limits(limits: &[Limit]) {
    say!("\nLimits. Those of agent-libos can be set in [limits]; the others are fixed.\n");
    let row = |limit: &Limit| {
        let value = format!("{} {}", limit.value, limit.unit);
        vec![format!("{}.{}", limit.part, limit.name), value, limit.reason.to_owned()]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    put!("{}", show::table(&["LIMIT", "DEFAULT", "REASON"], &rows));
}

/// How a configuration file stands.
pub(crate) fn state(path: &Path) -> Result<&'static str, String> {
    match path.exists() {
        false => Ok("not there"),
        true => Layer::file(path).map(|_| "read").map_err(|error| error.to_string()),
    }
}

fn paths(json: bool) -> Result<Exit, Failure> {
    for path in files() {
        let state = state(&path).map_or_else(|error| format!("refused: {error}"), str::to_owned);
        if json {
            show::json(&json!({ "path": path, "state": state }));
        } else {
            say!("{} ({state})", path.display());
        }
    }
    Ok(Exit::Done)
}

fn init(user: bool, json: bool) -> Result<Exit, Failure> {
    let path = match user {
        false => PathBuf::from(FILE_NAME),
        true => user_file().ok_or_else(|| {
            let message = "there is no HOME; write ./libos.toml with `libos config init`";
            Failure::new(Exit::Usage, "no_home", message)
        })?,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let message = format!("{} exists; edit it, or remove it first", path.display());
            Failure::new(Exit::Usage, "exists", message)
        }
        _ => error.into(),
    })?;
    file.write_all(template().as_bytes())?;
    if json {
        show::json(&json!({ "path": path }));
    } else {
        say!("{} has every key with its default, as a comment.", path.display());
        say!("`libos config show` tells what holds.");
    }
    Ok(Exit::Done)
}

/// What could stand for a key that has no default.
fn example(key: &str) -> String {
    let text = match key {
        "secrets" => "{ key = { file = \"key\", hosts = [\"api.example.com\"] } }",
        "llm" => "{ main = { kind = \"openai\", model = \"gpt-5\", key = \"key\" } }",
        "rpc" => "{ name = { url = \"https://api.example.com/rpc\", methods = {} } }",
        "http.ca_file" => "\"ca.pem\"",
        "mounts" => "{ data = \"../data:ro\" }",
        "labels" => "\"labels.toml\"",
        _ => "\"approvals.toml\"",
    };
    text.to_owned()
}

/// A file with every key and its default, as comments.
fn template() -> String {
    let defaults = Settings::of([Layer::of(&ConfigFile::built_in(), &Origin::Default)]);
    let mut text = String::from(
        "# Settings of `libos`. What the environment and flags say goes before what stands here.\n",
    );
    let mut section = String::new();
    let (plain, sectioned): (Vec<Key>, Vec<Key>) =
        config::keys().into_iter().partition(|key| !key.name.contains('.'));
    for key in plain.into_iter().chain(sectioned) {
        let (of, name) = key.name.rsplit_once('.').unwrap_or(("", &key.name));
        if of != section {
            section = of.to_owned();
            text.push_str(&format!("\n[{section}]\n"));
        } else {
            text.push('\n');
        }
        let value = defaults.iter().find(|(name, _)| *name == key.name);
        let value = value.map_or_else(|| example(&key.name), |(_, it)| it.value.to_string());
        text.push_str(&format!("# {}\n# {name} = {value}\n", key.about));
    }
    text
}
