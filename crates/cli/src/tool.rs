//! `libos tool`: tools that agents write.

use std::path::Path;

use agent_libos::{
    Builder, News,
    abi::{
        GrantSpec, Pattern, Pid, Reply, Right, Rights,
        process::{Budget, Launch, PlannerSpec},
        tool::{self, Definition, ToolDetails, ToolReport, ToolStatus},
    },
    broker::Notice,
    package,
    port::Port,
};
use serde_json::{Value, json};

use crate::{
    args::{
        AnswerArgs,
        tool::{Owned, Tested, ToolCommand, ToolRunArgs},
    },
    exit::{Exit, Failure},
    host::Host,
    run::launched,
    show,
};

pub(crate) async fn run(host: &Host, command: ToolCommand) -> Result<Exit, Failure> {
    match command {
        ToolCommand::Ls { pid } => ls(host, pid).await,
        ToolCommand::Show { tool } => inspect(host, tool).await,
        ToolCommand::Test { tool: Tested::Owned(tool) } => test(host, tool).await,
        ToolCommand::Test { tool: Tested::File(file) } => {
            let report = report_of(host, &package::tool(&file)?).await?;
            Ok(tell_report(host, &report))
        }
        ToolCommand::Run(args) => run_once(host, args).await,
    }
}

async fn ls(host: &Host, pid: Option<Pid>) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let tools = access.port.call(tool::ListGenerated { pid }).await?.tools;
    access.close()?;
    if host.json {
        tools.iter().for_each(show::json);
    } else if tools.is_empty() {
        say!("No process has a tool of its own.");
    } else {
        let rows: Vec<_> = tools.iter().map(row).collect();
        let headers = ["TOOL", "STAGE", "LANGUAGE", "DIGEST", "WHAT FOR"];
        put!("{}", show::table(&headers, &rows));
    }
    Ok(Exit::Done)
}

fn row(tool: &ToolStatus) -> Vec<String> {
    vec![
        format!("{}/{}", tool.of, tool.name),
        tool.stage.name().to_owned(),
        tool.language.name().to_owned(),
        tool.digest.short(),
        show::cut(&tool.description, 60),
    ]
}

async fn inspect(host: &Host, Owned { pid, name }: Owned) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let found = access.port.call(tool::Inspect { name, pid: Some(pid) }).await;
    let details =
        found.map_err(|error| Failure::from(error).next("`libos tool ls` lists the tools"))?;
    access.close()?;
    if host.json {
        show::json(&details);
        return Ok(Exit::Done);
    }
    let ToolStatus { of, name, stage, digest, .. } = &details.status;
    say!("{of}/{name} is {}, digest {digest}", stage.name());
    for (name, value) in told(&details) {
        say!("\n{name}\n  {}", value.trim_end().replace('\n', "\n  "));
    }
    Ok(Exit::Done)
}

/// What there is to know of a tool before one decides about it.
pub(crate) fn told(details: &ToolDetails) -> Vec<(&'static str, String)> {
    let Definition { description, language, source, needs, .. } = &details.tool;
    let mut told = vec![("language", language.name().to_owned())];
    if !description.is_empty() {
        told.insert(0, ("what for", description.clone()));
    }
    let needs: Vec<String> = needs
        .iter()
        .map(|need| match &need.on {
            None => need.call.clone(),
            Some(on) => {
                let on: Vec<String> = on.iter().map(ToString::to_string).collect();
                format!("{} on {}", need.call, on.join(", "))
            }
        })
        .collect();
    told.push(("needs", if needs.is_empty() { "none".into() } else { needs.join("\n") }));
    let tests = match &details.report {
        None => "not run".into(),
        Some(report) => words(report),
    };
    told.push(("tests", tests));
    told.push(("source", source.as_str().unwrap_or_default().to_owned()));
    told
}

async fn test(host: &Host, Owned { pid, name }: Owned) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let tested = access.port.call(tool::Validate { name, pid: Some(pid) }).await;
    let report =
        tested.map_err(|error| Failure::from(error).next("`libos tool ls` lists the tools"))?;
    access.close()?;
    Ok(tell_report(host, &report))
}

fn tell_report(host: &Host, report: &ToolReport) -> Exit {
    match host.json {
        true => show::json(report),
        false => say!("{}", words(report)),
    }
    if report.passed { Exit::Done } else { Exit::Failed }
}

/// A report, a line for each test.
pub(crate) fn words(report: &ToolReport) -> String {
    if let Some(problem) = &report.problem {
        return format!("{} makes no tool ({}): {}", report.name, problem.code, problem.message);
    }
    let lines = report.tests.iter().map(|test| match &test.message {
        None => format!("passed  {}", test.name),
        Some(message) => format!("FAILED  {}: {message}", test.name),
    });
    let failed = report.tests.iter().filter(|test| !test.passed).count();
    let end = match (report.tests.len(), failed) {
        (0, _) => "it compiles, and has no tests".to_owned(),
        (all, 0) => format!("it compiles, and all of {all} tests passed"),
        (all, failed) => format!("{failed} of {all} tests failed"),
    };
    lines.chain([end]).collect::<Vec<_>>().join("\n")
}

/// Has a process of its own, in a store that is gone afterwards, propose and validate a tool.
pub(crate) async fn report_of(host: &Host, tool: &Definition) -> Result<ToolReport, Failure> {
    let (runtime, mut watch) = (host.compose)(Builder::new()).start_watched()?;
    let name = &tool.name;
    let program = script(&[
        json!({ "call": "tool.propose", "args": { "tool": tool } }),
        json!({ "call": "tool.validate", "args": { "name": name } }),
    ]);
    let port = runtime.host_port(&host.operator);
    let operator: &dyn Port = &port;
    operator.call(launch(format!("test {name}"), program, None, Vec::new())).await?;
    while let Some(news) = watch.next().await {
        let News::Notice(Notice::Step { outcome, .. }) = news else { continue };
        match outcome {
            Ok(Reply::Tool(tool::Reply::Validate(report))) => return Ok(report),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new(Exit::Failed, "stopped", "the runtime stopped before the tests had run"))
}

async fn run_once(host: &Host, args: ToolRunArgs) -> Result<Exit, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, "invalid_args", what);
    let tool = package::tool(&args.file)?;
    let arguments: Value = serde_json::from_str(&args.args)
        .map_err(|error| usage(format!("--args is no JSON: {error}")))?;
    let workspace = workspace(&args.workspace).map_err(usage)?;
    let name = &tool.name;
    let program = script(&[
        json!({ "call": "tool.propose", "args": { "tool": tool }, "expect": "ok" }),
        json!({ "call": "tool.validate", "args": { "name": name }, "expect": "ok" }),
        json!({ "call": "tool.register", "args": { "name": name }, "expect": "ok" }),
        json!({ "tool": name, "args": arguments, "expect": "ok" }),
    ]);
    let grants =
        [(Right::Read, args.read), (Right::Write, args.write), (Right::Execute, args.execute)];
    let grants = grants.into_iter().flat_map(|(right, on)| granted(right, on)).collect();
    let launch = launch(format!("run {name} once"), program, Some(workspace), grants);
    let answers = AnswerArgs { approvals: None, mounts: Vec::new(), wait: false };
    launched(host, launch, &answers).await
}

fn granted(right: Right, on: Vec<Pattern>) -> impl Iterator<Item = GrantSpec> {
    on.into_iter().map(move |on| GrantSpec::allow(on, Rights::from_iter([right])))
}

fn workspace(folder: &Path) -> Result<String, String> {
    let found = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    let path = found.into_os_string().into_string();
    path.map_err(|path| format!("{} is not UTF-8", Path::new(&path).display()))
}

fn launch(
    goal: String,
    program: String,
    workspace: Option<String>,
    grants: Vec<GrantSpec>,
) -> Launch {
    Launch {
        image: "base".into(),
        goal: goal.into(),
        workspace,
        planner: PlannerSpec { kind: "script".into(), program: program.into() },
        grants,
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    }
}

fn script(steps: &[Value]) -> String {
    // What looks like a reference of the script is text of the tool.
    steps.iter().map(|step| step.to_string().replace("${", "$${") + "\n").collect()
}
