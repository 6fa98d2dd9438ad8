//! `libos init`.

use agent_libos::journal::SqliteJournal;

use crate::{
    args::InitArgs,
    exit::{Exit, Failure},
    host::Host,
    show,
};

const TASK: &str = r#"# A task for `libos run`. Every key is described in docs/task.schema.json.

[task]
goal      = "say what is in this folder"
image     = "base"
workspace = "."

# Nothing is granted that is not written here.
[[grant]]
on     = "fs:workspace/*"
rights = ["read"]

[[grant]]
effect = "ask"
on     = "fs:workspace/*"
rights = ["write"]

[planner]
kind   = "script"
script = "plan.jsonl"
"#;

const PLAN: &str = r#"{"call":"fs.list","args":{},"save":"here"}
{"call":"fs.write","args":{"path":"listing.txt","text":"first: ${here.entries.0.name}\n"}}
"#;

pub(crate) fn init(host: &Host, args: &InitArgs) -> Result<Exit, Failure> {
    let plan = args.task.with_file_name("plan.jsonl");
    for path in [&args.task, &plan] {
        if path.exists() {
            let message = format!("{} exists; name another with --task FILE", path.display());
            return Err(Failure::new(Exit::Usage, "exists", message));
        }
    }
    SqliteJournal::open(&host.store)?;
    std::fs::write(&args.task, TASK)?;
    std::fs::write(&plan, PLAN)?;
    if host.json {
        show::json(&serde_json::json!({
            "store": host.store, "task": args.task, "plan": plan,
        }));
    } else {
        say!("The store is {}.", host.store.display());
        say!("{} is a task to start from, {} its plan.", args.task.display(), plan.display());
        say!("Next: libos run {}", args.task.display());
    }
    Ok(Exit::Done)
}
