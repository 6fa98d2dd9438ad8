//! `libos demo`: an example, written out and run like any other task.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    args::{AnswerArgs, Demo, DemoArgs, GoalArgs, RunArgs},
    exit::{Exit, Failure},
    host::Host,
    run,
};

macro_rules! example {
    ($name:ident = $folder:literal: $($path:literal)*) => {
        /// The files of the example, by their paths in it.
        const $name: &[(&str, &str)] = &[$((
            $path,
            include_str!(concat!("../../../examples/", $folder, "/", $path)),
        )),*];
    };
}

example! {
    TOOLS = "tools":
    "task.toml"
    "plan.jsonl"
    "notes.txt"
    "secret.txt"
    "lines.toml"
    "lines.ts"
    "lines.js"
    "lines.wat"
    "lines.component.wat"
}

example! {
    REPAIR = "fix-the-test":
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
    let (dir, what) = (&args.dir, args.what);
    let (files, approvals) = match what {
        Demo::Repair => (REPAIR, Some(dir.join("approvals.toml"))),
        Demo::Tools => (TOOLS, None),
    };
    write(dir, files)?;
    let task = dir.join("task.toml");
    let answers = AnswerArgs { approvals, mounts: Vec::new(), wait: false };
    let args = RunArgs { task: Some(task.clone()), goal: GoalArgs::default(), answers };
    let host = Host {
        store: dir.join(".libos"),
        json: host.json,
        operator: host.operator.clone(),
        settings: host.settings.clone(),
        labels: host.labels.clone(),
        compose: host.compose,
        observer: host.observer.clone(),
    };
    let libos = std::env::args().next().unwrap_or_else(|| "libos".into());
    if !host.json {
        match what {
            Demo::Repair => introduce(&libos, &host.store, &task, &args.answers),
            Demo::Tools => introduce_tools(&libos, &host.store, &task),
        }
    }
    let exit = run::run(&host, &args).await?;
    if !host.json {
        match what {
            Demo::Repair => look_on(&libos, &host.store, dir),
            Demo::Tools => look_on_tools(&libos, &host.store, dir),
        }
    }
    Ok(exit)
}

fn introduce_tools(libos: &str, store: &Path, task: &Path) {
    let task = task.display();
    say!(
        "\
An agent writes the same tool in TypeScript, JavaScript, WAT and as a component. For each it says
which calls the tool needs and gives tests that answer them, has both checked, registers the tool
and calls it on a real file. A fifth tool reaches for more: watch what it is denied. What the agent
may do is written in {task}. This is what runs:

  {libos} --store {} run {task}

The first time, the engine of scripts is compiled, which takes a moment.
",
        store.display(),
    );
}

fn look_on_tools(libos: &str, store: &Path, dir: &Path) {
    let store = store.display();
    say!(
        "
All of it is in {dir}. To look on:

  {libos} --store {store} object show obj-1.1           what the tools found
  {libos} --store {store} audit ls --outcome denied     what the curious tool was denied
  {libos} --store {store} logs p1                       every step of the agent and of its tools
  {libos} tool test {dir}/lines.toml                    the same tests, without an agent",
        dir = dir.display(),
    );
}

/// Writes the example into a folder of its own.
fn write(dir: &Path, files: &[(&str, &str)]) -> Result<(), Failure> {
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
    for (path, text) in files {
        let file: PathBuf = dir.join(path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, text)?;
    }
    Ok(())
}

fn introduce(libos: &str, store: &Path, task: &Path, answers: &AnswerArgs) {
    let project = task.with_file_name("project");
    let task = task.display();
    say!(
        "\
An agent is to repair a failing test in {}. Its plan is a script, so no model and
no network are needed; what it may do is written in {task}.

The README there tells agents to read a secret. This one obeys, so watch what is denied. The one
write it needs is put to a human; here the approvals file answers. This is what runs:

  {libos} --store {} run {task} --approvals {}
",
        project.display(),
        store.display(),
        answers.approvals.as_deref().unwrap_or(Path::new("")).display(),
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
