//! `libos ps` and `libos inspect`.

use agent_libos::abi::{
    Labelled, Pid, label,
    process::{self, ProcessInfo, Wait, WaitOn},
};

use crate::{
    args::past::At,
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) async fn ps(host: &Host, at: At) -> Result<Exit, Failure> {
    let access = host.access_at(at).await?;
    let processes = agent_libos::processes(&*access.port, false).await?;
    access.close()?;
    if host.json {
        for process in &processes {
            show::json(&process);
        }
        return Ok(Exit::Done);
    }
    if processes.is_empty() {
        say!("No process yet. Launch one with `libos run TASK.toml`.");
        return Ok(Exit::Done);
    }
    let mut rows = Vec::new();
    for root in processes.iter().filter(|process| process.parent.is_none()) {
        tree(&processes, root, 0, &mut rows);
    }
    let headers = ["PROCESS", "STATE", "IMAGE", "USED", "WAITS FOR", "GOAL"];
    put!("{}", show::table(&headers, &rows));
    Ok(Exit::Done)
}

fn tree(all: &[ProcessInfo], process: &ProcessInfo, depth: usize, rows: &mut Vec<Vec<String>>) {
    rows.push(vec![
        format!("{}{}", "  ".repeat(depth), process.pid),
        show::state(process.state).into(),
        process.image.clone(),
        show::spent_words(process, show::now_ms()).first().cloned().unwrap_or_default(),
        process.wait.as_ref().map(waits_for).unwrap_or_default(),
        show::cut(process.goal.as_str().unwrap_or_default(), 60),
    ]);
    for child in all.iter().filter(|child| child.parent == Some(process.pid)) {
        tree(all, child, depth + 1, rows);
    }
}

/// What a process waits for, in words.
pub(crate) fn waits_for(wait: &Wait) -> String {
    match &wait.on {
        WaitOn::Child(pid) => format!("the end of {pid}"),
        WaitOn::Message(_) => "a message".into(),
        WaitOn::Event(_) => "an event".into(),
        WaitOn::Human(request) => format!("your answer to {request}"),
        WaitOn::Time => match wait.until_ms {
            Some(until) => format!("{} UTC", show::clock(until)),
            None => "time".into(),
        },
    }
}

pub(crate) async fn inspect(host: &Host, pid: Pid, at: At) -> Result<Exit, Failure> {
    let access = host.access_at(at).await?;
    let info = access.port.call(process::Inspect { pid }).await;
    let info = info.map_err(Failure::of_process)?;
    let capabilities = agent_libos::capabilities(&*access.port, Some(pid), true).await?;
    let labels = access.port.call(label::List {}).await?.entries;
    let own = labels.iter().find(|it| it.what == Labelled::Process(pid)).map(|it| it.label);
    access.close()?;
    if host.json {
        let label = own.unwrap_or_default();
        show::json(
            &serde_json::json!({ "process": info, "capabilities": capabilities, "label": label }),
        );
        return Ok(Exit::Done);
    }
    let line = |name: &str, value: &str| say!("{name:10} {value}");
    line("process", &info.pid.to_string());
    line("state", show::state(info.state));
    if let Some(wait) = &info.wait {
        line("waits for", &waits_for(wait));
    }
    line("goal", info.goal.as_str().unwrap_or_default());
    line("image", &info.image);
    line("planner", &info.planner);
    line("folder", &info.cwd.0);
    if let Some(workspace) = &info.workspace {
        line("workspace", workspace);
    }
    if let Some(parent) = info.parent {
        line("parent", &parent.to_string());
    }
    if let Some(mode) = info.mode {
        line("forked", &show::word(&mode));
    }
    if let Some(owner) = info.owner {
        line("task of", &owner.to_string());
    }
    for spent in show::spent_words(&info, show::now_ms()) {
        line("used", &spent);
    }
    if let Some(label) = own {
        line("label", &label.to_string());
    }
    if info.unread > 0 {
        line("unread", &format!("{} messages", info.unread));
    }
    if !info.tool_groups.is_empty() {
        line("tools of", &info.tool_groups.join(", "));
    }
    if let Some(ending) = &info.ending {
        let said = ending.message.as_deref().unwrap_or_default();
        line("ended", &format!("{} {said}", show::clock(ending.at_ms)));
        if let Some(result) = ending.result {
            line("result", &result.to_string());
        }
    }
    if !capabilities.is_empty() {
        let rows: Vec<_> = capabilities.iter().map(show::capability_row).collect();
        put!("\n{}", show::table(&show::CAPABILITY_HEADERS, &rows));
    }
    Ok(Exit::Done)
}
