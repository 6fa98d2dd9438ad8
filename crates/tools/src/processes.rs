//! Tools over processes: children, background tasks, and going on as another image.

use libos_abi::{
    CapId, Folder, FsPath, GrantSpec, Json, Millis, ObjectId, Pid, Text,
    process::{self, Budget, ForkMode, OnConflict, PlannerSpec, Signal},
};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpawnChild {
    /// What the child is to achieve.
    goal: Text,
    /// What it may do; nothing if absent.
    grants: Option<Vec<GrantSpec>>,
    /// The text of the script it runs; its image's own planner if absent.
    script: Option<Text>,
    /// The image it is made from; this process's if absent.
    image: Option<String>,
    /// Its working directory; this process's if absent.
    cwd: Option<FsPath>,
    /// Its limits, within those of this process.
    budget: Option<Budget>,
}

pub(crate) async fn spawn_child(port: &dyn Port, args: SpawnChild) -> Ended {
    let call = process::Spawn {
        goal: args.goal,
        image: args.image,
        planner: args.script.map(script),
        grants: args.grants,
        cwd: Folder(args.cwd),
        budget: args.budget,
        manifest: None,
        schedule: None,
    };
    json(port.call(call).await?)
}

fn script(program: Text) -> PlannerSpec {
    PlannerSpec { kind: "script".into(), program }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForkChild {
    /// What the child is to achieve.
    goal: Text,
    /// How it stands to this process's objects: `worker` reads them, `copy` has its own copy of
    /// them, `speculative` too, to be merged or dropped at its end.
    mode: ForkMode,
    /// For a worker: the objects it may read; all if absent.
    roots: Option<Vec<ObjectId>>,
    /// What it may do besides; nothing if absent.
    grants: Option<Vec<GrantSpec>>,
    /// The text of the script it runs; this process's planner if absent.
    script: Option<Text>,
    /// Its working directory; this process's if absent.
    cwd: Option<FsPath>,
    /// Its limits, within those of this process.
    budget: Option<Budget>,
}

pub(crate) async fn fork_child(port: &dyn Port, args: ForkChild) -> Ended {
    let call = process::Fork {
        goal: args.goal,
        mode: args.mode,
        roots: args.roots,
        planner: args.script.map(script),
        grants: args.grants,
        cwd: Folder(args.cwd),
        budget: args.budget,
        manifest: None,
        schedule: None,
        pid: None,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecImage {
    /// The image to go on as.
    image: String,
    /// What to achieve from then on; the goal of now if absent.
    goal: Option<Text>,
    /// The text of the script to run; the image's own planner if absent.
    script: Option<Text>,
    /// The capabilities to keep; all others are given up for good.
    keep: Option<Vec<CapId>>,
    /// Whether to keep the objects; true if absent.
    keep_objects: Option<bool>,
}

pub(crate) async fn exec_image(port: &dyn Port, args: ExecImage) -> Ended {
    let call = process::Exec {
        image: args.image,
        goal: args.goal,
        planner: args.script.map(script),
        keep: args.keep,
        keep_objects: args.keep_objects,
        pid: None,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwaitChild {
    /// The child.
    pid: Pid,
    /// How long to wait; without limit if absent, 0 not at all.
    timeout_ms: Option<Millis>,
}

pub(crate) async fn wait_child(port: &dyn Port, args: AwaitChild) -> Ended {
    let AwaitChild { pid, timeout_ms } = args;
    json(port.call(process::WaitChild { pid, timeout_ms }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListChildren {
    /// Behind this one, where the last list said that there are more.
    after: Option<Pid>,
    /// Only those that have not ended.
    live: Option<bool>,
}

pub(crate) async fn list_children(port: &dyn Port, args: ListChildren) -> Ended {
    let ListChildren { after, live } = args;
    json(port.call(process::List { after, live, limit: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalChild {
    /// The child.
    pid: Pid,
    /// Hold it, let it go on, ask it to end, or end it at once.
    signal: Signal,
    /// Why.
    reason: Option<String>,
}

pub(crate) async fn signal_child(port: &dyn Port, args: SignalChild) -> Ended {
    let SignalChild { pid, signal, reason } = args;
    json(port.call(process::SendSignal { pid, signal, reason }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeChild {
    /// The child; it has ended.
    pid: Pid,
    /// What to do with objects that both have changed; `fail` if absent.
    on_conflict: Option<OnConflict>,
}

pub(crate) async fn merge_child(port: &dyn Port, args: MergeChild) -> Ended {
    let MergeChild { pid, on_conflict } = args;
    json(port.call(process::Merge { pid, on_conflict }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiscardChild {
    /// The child; it has ended.
    pid: Pid,
}

pub(crate) async fn discard_child(port: &dyn Port, args: DiscardChild) -> Ended {
    json(port.call(process::Discard { pid: args.pid }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginTask {
    /// The object that owns the task: the task ends when the object is removed.
    owner: ObjectId,
    /// The tool to call.
    tool: String,
    /// Its arguments.
    args: Json,
    /// What the task may do; nothing if absent.
    grants: Option<Vec<GrantSpec>>,
    /// Its limits, within those of this process.
    budget: Option<Budget>,
}

pub(crate) async fn start_task(port: &dyn Port, args: BeginTask) -> Ended {
    let BeginTask { owner, tool, args, grants, budget } = args;
    json(port.call(process::StartTask { owner, tool, args, grants, budget }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TasksOf {
    /// The object.
    owner: ObjectId,
}

pub(crate) async fn list_tasks(port: &dyn Port, args: TasksOf) -> Ended {
    json(port.call(process::ListTasks { owner: args.owner }).await?)
}
