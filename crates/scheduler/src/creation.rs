//! Making processes, and making another of one: launch, spawn, fork, background tasks, exec.
//!
//! A child is bounded before it is given anything; its authority is cut from its parent's by
//! `capability`, its memory copied by `object`. Nothing here decides what it may do.

use std::sync::{Arc, LazyLock};

use libos_abi::{
    Effect, Error, Fault, FsPath, GrantSpec, Json, Manifest, ObjectId, Origin, Pattern, Pid,
    Resource, Right, Rights, Text, capability,
    event::ProcessEvent,
    image, object,
    process::{
        Budget, Exec, FailureKind, Fork, ForkMode, Launch, Made, PlannerSpec, Schedule, Spawn,
        StartTask, StateReply, Usage,
    },
};
use libos_port::{Context, Stop};

use crate::{
    LIMITS, Scheduler, at_most,
    budget::{allows, fitting, within},
    core::Life,
};

/// A child about to be made.
struct Child {
    goal: Text,
    image: Arc<str>,
    planner: PlannerSpec,
    cwd: FsPath,
    budget: Budget,
    schedule: Option<Schedule>,
    manifest: Option<Manifest>,
    grants: Vec<GrantSpec>,
    mode: Option<ForkMode>,
    owner: Option<ObjectId>,
}

/// The kind of a process that nobody plans for.
static NO_PLANNER: LazyLock<Arc<str>> = LazyLock::new(|| "none".into());

/// Shows an image, on behalf of whoever makes a process of it.
fn image_named(cx: &mut dyn Context, name: &str) -> Result<Arc<image::Image>, Error> {
    cx.ask(image::Inspect { image: name.into() }).map_err(|error| match error {
        Error::Image(failure) if failure.kind == image::FailureKind::NotFound => {
            let detail = format!("no image named `{name}` is registered");
            FailureKind::UnknownImage.because(detail)
        }
        other => other,
    })
}

/// The planner that was given, or the image's, or none.
fn planner_of(given: Option<&PlannerSpec>, image: &image::Image) -> PlannerSpec {
    given
        .or(image.planner.as_ref())
        .cloned()
        .unwrap_or_else(|| PlannerSpec { kind: NO_PLANNER.clone(), program: Text::default() })
}

/// Gives `to` rights over one resource, on the kernel's word.
pub(crate) fn issue(
    cx: &mut dyn Context,
    to: Pid,
    on: &Resource,
    rights: &[Right],
    delegable: u8,
) -> Result<(), Error> {
    let rights = rights.iter().copied().collect();
    let grant = GrantSpec { delegable, ..GrantSpec::allow(Pattern::exact(on), rights) };
    cx.ask(capability::Issue { to, grant, origin: Origin::Kernel, binding: None }).map(drop)
}

/// Bounds a process that was just made, before anything is granted to it. What bounds its parent
/// comes along with what is cut from its parent.
fn bound(
    cx: &mut dyn Context,
    pid: Pid,
    parent: Option<Pid>,
    manifest: Option<Manifest>,
) -> Result<(), Error> {
    match manifest {
        Some(_) => cx.ask(capability::Bound { pid, parent, manifest }),
        None => Ok(()),
    }
}

/// Refuses a weight that is none.
fn is_weight(schedule: Option<&Schedule>) -> Result<(), Fault> {
    match schedule.and_then(|schedule| schedule.weight) {
        Some(0) => Err(Fault::bad("a weight of 0 would never run; weights begin at 1")),
        Some(weight) if weight > LIMITS.weight_max => {
            Err(Fault::Limit { what: "as a weight".into(), limit: LIMITS.weight_max.into() })
        }
        _ => Ok(()),
    }
}

/// Refuses more than there may be.
fn no_more_than(limit: u32, count: usize, what: &str) -> Result<(), Fault> {
    match count <= limit as usize {
        true => Ok(()),
        false => Err(Fault::Limit { what: what.into(), limit: limit.into() }),
    }
}

/// What a worker may do with its parent's memory.
fn reading(on: Pattern) -> GrantSpec {
    let rights: Rights = [Right::Read, Right::Materialize].into_iter().collect();
    GrantSpec::allow(on, rights)
}

/// The grants by which a worker reads its parent's memory. Without roots that is all of it, if the
/// parent may read it as a whole: one that has made no object yet holds nothing to hand on.
fn workers(
    cx: &mut dyn Context,
    parent: Pid,
    roots: Option<&Vec<ObjectId>>,
) -> Result<Vec<GrantSpec>, Error> {
    if let Some(roots) = roots {
        let exact = |id: &ObjectId| reading(Pattern::exact(&Resource::object(*id)));
        return Ok(roots.iter().map(exact).collect());
    }
    let on = Resource::space(parent);
    let held = cx.ask(capability::Explain { pid: Some(parent), right: Right::Read, on })?;
    Ok(match held.effect {
        Effect::Deny => Vec::new(),
        Effect::Allow | Effect::Ask => vec![reading(Pattern::space(parent))],
    })
}

/// The program of a background task, in the form of the planner `workflow`.
fn program(call: &StartTask) -> Result<PlannerSpec, Fault> {
    at_most(call.tool.len() as u64, LIMITS.task_tool_bytes_max, "name of a tool")?;
    at_most(call.args.0.bytes(), LIMITS.task_args_bytes_max, "background task's arguments")?;
    let args = call.args.value().ok().filter(serde_json::Value::is_object);
    let args = args.ok_or_else(|| Fault::bad("the arguments of a tool are a JSON object"))?;
    let Json(program) = Json::from(&serde_json::json!({ "tool": call.tool, "args": args }));
    Ok(PlannerSpec { kind: "workflow".into(), program })
}

impl Scheduler {
    /// Refuses a child that a limit or a budget of the parent, or of anyone above, has no room
    /// for.
    pub(crate) fn room_for_child(&self, parent: Pid) -> Result<(), Fault> {
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        let live = process.children_live() as usize + 1;
        no_more_than(LIMITS.children_live_max, live, "live children of a process")?;
        no_more_than(LIMITS.depth_max, process.level() + 1, "levels of processes")?;
        allows(&self.state, parent, Usage { children: 1, ..Usage::default() })
    }

    /// Makes a child and gives it what is handed on. That it and its parent may message each other
    /// follows from its being the child.
    fn make_child(
        &mut self,
        cx: &mut dyn Context,
        parent: Pid,
        child: Child,
    ) -> Result<Made, Error> {
        self.room_for_child(parent)?;
        is_weight(child.schedule.as_ref())?;
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        within(&child.budget, parent, process, cx.now_ms())?;
        let pid = self.state.next_pid();
        let event = ProcessEvent::Spawned {
            pid,
            parent: Some(parent),
            image: child.image,
            goal: child.goal,
            planner: child.planner,
            workspace: process.made_of.workspace.clone(),
            cwd: child.cwd,
            budget: Box::new(child.budget),
            schedule: child.schedule.unwrap_or_default(),
            mode: child.mode,
            owner: child.owner,
            at_ms: cx.now_ms(),
        };
        self.change(cx, pid, event);
        bound(cx, pid, Some(parent), child.manifest)?;
        let made = cx.ask(capability::Derive { parent, child: pid, grants: child.grants })?;
        if let Some(ForkMode::Copy | ForkMode::Speculative) = child.mode {
            cx.ask(object::ForkSpace { from: parent, to: pid })?;
        }
        Ok(Made { pid, capabilities: made.capabilities })
    }

    pub(crate) fn launch_root(
        &mut self,
        cx: &mut dyn Context,
        call: &Launch,
    ) -> Result<Made, Error> {
        is_weight(call.schedule.as_ref())?;
        let image = image_named(cx, &call.image)?;
        let pid = self.state.next_pid();
        let event = ProcessEvent::Spawned {
            pid,
            parent: None,
            image: call.image.as_str().into(),
            goal: call.goal.clone(),
            planner: call.planner.clone(),
            workspace: call.workspace.as_deref().map(Arc::from),
            cwd: "workspace".into(),
            budget: Box::new(call.budget.clone().or(&image.budget)),
            schedule: call.schedule.unwrap_or_default(),
            mode: None,
            owner: None,
            at_ms: cx.now_ms(),
        };
        self.change(cx, pid, event);
        bound(cx, pid, None, call.manifest.clone())?;
        let mut capabilities = Vec::with_capacity(call.grants.len());
        for grant in &call.grants {
            let grant = grant.clone();
            let made =
                cx.ask(capability::Issue { to: pid, grant, origin: Origin::Host, binding: None })?;
            capabilities.push(made.capability);
        }
        Ok(Made { pid, capabilities })
    }

    pub(crate) fn spawn_child(&mut self, cx: &mut dyn Context, call: &Spawn) -> Result<Made, Stop> {
        let parent = self.own(cx)?;
        let name = match &call.image {
            Some(image) => image.as_str().into(),
            None => self.image_of(parent)?,
        };
        let image = image_named(cx, &name)?;
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        let of_image = fitting(&image.budget, parent, process, cx.now_ms());
        let child = Child {
            goal: call.goal.clone(),
            image: name,
            planner: planner_of(call.planner.as_ref(), &image),
            cwd: call.cwd.path(),
            budget: call.budget.clone().unwrap_or_default().or(&of_image),
            schedule: call.schedule,
            manifest: call.manifest.clone(),
            grants: call.grants.clone().unwrap_or_default(),
            mode: None,
            owner: None,
        };
        Ok(self.make_child(cx, parent, child)?)
    }

    pub(crate) fn fork_child(&mut self, cx: &mut dyn Context, call: &Fork) -> Result<Made, Stop> {
        let parent = self.own_or_named(cx, call.pid)?;
        let asked = call.grants.as_ref().map_or(0, Vec::len);
        let mut grants = call.grants.clone().unwrap_or_default();
        match (call.mode, &call.roots) {
            (ForkMode::Worker, roots) => {
                let named = roots.as_ref().map_or(0, Vec::len);
                no_more_than(LIMITS.fork_roots_max, named, "roots of a fork")?;
                grants.extend(workers(cx, parent, roots.as_ref())?);
            }
            (ForkMode::Copy | ForkMode::Speculative, None) => {}
            (ForkMode::Copy | ForkMode::Speculative, Some(_)) => {
                return Err(
                    Fault::bad("a copy is of the whole memory; roots are a worker's").into()
                );
            }
        }
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        let planner = call.planner.clone().unwrap_or_else(|| PlannerSpec {
            kind: Arc::clone(&process.made_of.planner),
            program: process.program.clone(),
        });
        let child = Child {
            goal: call.goal.clone(),
            image: Arc::clone(&process.made_of.image),
            planner,
            cwd: call.cwd.path(),
            budget: call.budget.clone().unwrap_or_default(),
            schedule: call.schedule,
            manifest: call.manifest.clone(),
            grants,
            mode: Some(call.mode),
            owner: None,
        };
        let mut made = self.make_child(cx, parent, child)?;
        made.capabilities.truncate(asked);
        Ok(made)
    }

    pub(crate) fn start(&mut self, cx: &mut dyn Context, call: &StartTask) -> Result<Made, Stop> {
        let parent = self.own(cx)?;
        let owner = call.owner;
        let planner = program(call)?;
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        let below = self.state.root_tasks(process.standing.root).count() + 1;
        no_more_than(LIMITS.tasks_of_root_max, below, "live background tasks below one root")?;
        let owned = self.state.tasks(owner, false).count() + 1;
        no_more_than(LIMITS.tasks_of_object_max, owned, "live background tasks of one object")?;
        let child = Child {
            goal: Text::from(format!("run {}", call.tool)),
            image: Arc::clone(&process.made_of.image),
            planner,
            cwd: process.fixed.cwd.clone(),
            budget: call.budget.clone().unwrap_or_default(),
            schedule: None,
            manifest: None,
            grants: call.grants.clone().unwrap_or_default(),
            mode: None,
            owner: Some(owner),
        };
        // A task of an object that is not there would never end with it.
        cx.ask(object::Stat { id: owner }).map_err(|error| match error {
            Error::Object(failure) if failure.kind == object::FailureKind::NotFound => {
                Fault::bad(format!("{owner} is not there, so it cannot own a task")).into()
            }
            other => other,
        })?;
        Ok(self.make_child(cx, parent, child)?)
    }

    pub(crate) fn exec_image(
        &mut self,
        cx: &mut dyn Context,
        call: &Exec,
    ) -> Result<StateReply, Stop> {
        let pid = self.own_or_named(cx, call.pid)?;
        let process = self.state.live(pid).ok_or(Fault::NoProcess)?;
        // What a signal holds does nothing by itself.
        if matches!(process.turn.life, Life::Paused { .. }) && cx.caller().pid().is_some() {
            return Err(Fault::StaleRun.into());
        }
        let goal = call.goal.clone().unwrap_or_else(|| process.fixed.goal.clone());
        let image = image_named(cx, &call.image)?;
        let keep = call.keep.clone().unwrap_or_default();
        let memory = call.keep_objects.unwrap_or(true);
        cx.ask(capability::Keep { subject: pid, keep, memory }).map_err(|error| match error {
            Error::Capability(failure) if failure.kind == capability::FailureKind::NotFound => {
                FailureKind::NotHeld.because(failure.detail)
            }
            other => other,
        })?;
        if !memory {
            cx.ask(object::DropSpace { space: pid })?;
        }
        let planner = planner_of(call.planner.as_ref(), &image);
        let event = ProcessEvent::Execed { pid, image: call.image.as_str().into(), goal, planner };
        self.change(cx, pid, event);
        self.reply(pid)
    }

    fn image_of(&self, pid: Pid) -> Result<Arc<str>, Fault> {
        let process = self.state.live(pid).ok_or(Fault::NoProcess)?;
        Ok(Arc::clone(&process.made_of.image))
    }
}
