//! `libos demo`: the example `fix-the-test`, written out and run like any other task.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    args::{AnswerArgs, DemoArgs, RunArgs},
    exit::{Exit, Failure},
    host::Host,
    run,
};

macro_rules! example {
    ($($path:literal)*) => {
        /// The files of the example, by their paths in it.
        const EXAMPLE: &[(&str, &str)] = &[$((
            $path,
            include_str!(concat!("../../../examples/fix-the-test/", $path)),
        )),*];
    };
}

example! {
    "task.toml"
    "plan.jsonl"
    "worker.jsonl"
    "approvals.toml"
    "project/.gitignore"
    "project/Cargo.lock"
    "project/Cargo.toml"
    "project/README.md"
    "project/secrets/token.txt"
    "project/src/lib.rs"
}

pub(crate) async fn demo(host: &Host, args: &DemoArgs) -> Result<Exit, Failure> {
    let dir = &args.dir;
    write(dir)?;
    let args = RunArgs {
        task: dir.join("task.toml"),
        answers: AnswerArgs { approvals: Some(dir.join("approvals.toml")), wait: false },
    };
    let host = Host {
        store: dir.join(".libos"),
        json: host.json,
        operator: host.operator.clone(),
        settings: host.settings.clone(),
        compose: host.compose,
        observer: host.observer.clone(),
    };
    let libos = std::env::args().next().unwrap_or_else(|| "libos".into());
    if !host.json {
        introduce(&libos, &host.store, &args);
    }
    let exit = run::run(&host, &args).await?;
    if !host.json {
        look_on(&libos, &host.store, dir);
    }
    Ok(exit)
}

/// Writes the example into a folder of its own.
fn write(dir: &Path) -> Result<(), Failure> {
    if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
        std::fs::create_dir_all(above)?;
    }
    std::fs::create_dir(dir).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let message = format!("{} exists; name another folder with --dir DIR", dir.display());
            Failure::new(Exit::Usage, "exists", message)
        }
        _ => error.into(),
    })?;
    for (path, text) in EXAMPLE {
        let file: PathBuf = dir.join(path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, text)?;
    }
    Ok(())
}

fn introduce(libos: &str, store: &Path, args: &RunArgs) {
    let task = args.task.display();
    say!(
        "\
An agent is to repair a failing test in {}. Its plan is a script, so no model and
no network are needed; what it may do is written in {task}.

The README there tells agents to read a secret. This one obeys, so watch what is denied. The one
write it needs is put to a human; here the approvals file answers. This is what runs:

  {libos} --store {} run {task} --approvals {}
",
        args.task.with_file_name("project").display(),
        store.display(),
        args.answers.approvals.as_deref().unwrap_or(Path::new("")).display(),
    );
}

fn look_on(libos: &str, store: &Path, dir: &Path) {
    let store = store.display();
    say!(
        "
All of it is in {dir}. To look on:

  {libos} --store {store} object show obj-1.3   the summary that the agent left
  {libos} --store {store} audit ls              who did what, who allowed it and why
  {libos} --store {store} inbox --all           what was asked of a human, and who answered
  {libos} --store {store} cap ls --all          who may do what now: nobody, the agents have ended
  {libos} --store {store} audit verify          that no record was changed, dropped or cut off",
        dir = dir.display(),
    );
}
