//! Serves `process`: everything is refused before the first event.

use libos_abi::{
    Error, Fault, GrantSpec, Millis, Origin, Pattern, Pid, Resource, Right, Text, capability,
    event::ProcessEvent,
    image,
    process::{
        Admission, Admit, Block, Budget, Chdir, ChildEnding, Commit, Cwd, Ending, Exit,
        FailureKind, GetCwd, Inspect, Launch, List, Made, Next, PlannerSpec, ProcessInfo,
        ProcessState, Processes, Ready, Recover, RunOrder, SendSignal, Server, Signal, Spawn,
        StateReply, Wait, WaitChild, WaitOn,
    },
};
use libos_port::{Context, Stop};

use crate::{
    LIMITS, Scheduler, at_most,
    core::{Life, Process},
    deadline,
};

const SYSCALLS: &str = "system calls";
const WALL: &str = "milliseconds";
const CHILDREN: &str = "children";

fn over(budget: &str, pid: Pid, limit: u64) -> Fault {
    Fault::OverBudget { what: format!("{budget} of {pid}"), limit }
}

/// Shows an image, on behalf of whoever makes a process of it.
fn image_named(cx: &mut dyn Context, name: &str) -> Result<image::Image, Error> {
    cx.ask(image::Inspect { image: name.into() }).map_err(|error| match error {
        Error::Image(failure) if failure.kind == image::FailureKind::NotFound => {
            let detail = format!("no image named `{name}` is registered");
            FailureKind::UnknownImage.because(detail)
        }
        other => other,
    })
}

/// Gives `to` rights over one resource, on the kernel's word.
fn issue(
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

/// Refuses a child's budget that is more than what its parent has left. Where the parent has no
/// limit any value will do: those above are checked on every call.
fn within(budget: &Budget, pid: Pid, parent: &Process, now_ms: u64) -> Result<(), Fault> {
    let limits = &parent.fixed.budget;
    let age_ms = now_ms.saturating_sub(parent.fixed.started_at_ms);
    let ms = |time: Option<Millis>| time.map(|time| time.0);
    for (what, given, limit, used) in [
        (SYSCALLS, budget.syscalls, limits.syscalls, parent.usage.syscalls),
        (WALL, ms(budget.wall), ms(limits.wall), age_ms),
        // The child itself is one of them.
        (CHILDREN, budget.children, limits.children, parent.usage.children + 1),
    ] {
        if let (Some(given), Some(limit)) = (given, limit)
            && given > limit.saturating_sub(used)
        {
            return Err(over(what, pid, limit));
        }
    }
    Ok(())
}

impl Scheduler {
    /// The process named, if it is the caller's child (of the host: any). To a process one that
    /// does not exist looks like one that is not its child.
    fn child(&self, cx: &dyn Context, pid: Pid) -> Result<&Process, Error> {
        let process = self.state.get(pid);
        let Some(caller) = cx.caller().pid() else {
            return process
                .ok_or_else(|| FailureKind::NotAChild.because(format!("there is no {pid}")));
        };
        self.own(cx)?;
        process
            .filter(|process| process.fixed.parent == Some(caller))
            .ok_or_else(|| FailureKind::NotAChild.because(format!("{pid} is no child of {caller}")))
    }

    fn reply(&self, pid: Pid) -> Result<StateReply, Stop> {
        let state = self.state.state(pid).ok_or(Fault::NoProcess)?;
        Ok(StateReply { state })
    }

    /// Refuses a child that a limit or a budget of the parent, or of anyone above, has no room
    /// for.
    fn room_for_child(&self, parent: Pid) -> Result<(), Fault> {
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        let limits = [
            ("live children of a process", process.children_live, LIMITS.children_live_max),
            ("levels of processes", process.fixed.depth, LIMITS.depth_max),
        ];
        for (what, used, limit) in limits {
            if used >= limit {
                return Err(Fault::Limit { what: what.into(), limit: limit.into() });
            }
        }
        for (pid, process) in self.state.chain(parent) {
            if let Some(limit) = process.fixed.budget.children
                && process.usage.children >= limit
            {
                return Err(over(CHILDREN, pid, limit));
            }
        }
        Ok(())
    }

    fn end(&mut self, cx: &mut dyn Context, pid: Pid, ending: Ending) {
        self.change(cx, pid, ProcessEvent::Ended { pid, ending });
    }

    fn terminate(&mut self, cx: &mut dyn Context, target: Pid, reason: Option<&String>) {
        for pid in self.state.subtree(target) {
            let message = match reason {
                _ if pid != target => Some(format!("{target}, above it, was ended")),
                reason => reason.cloned(),
            };
            let ending = Ending {
                state: ProcessState::Killed,
                result: None,
                message,
                code: None,
                at_ms: cx.now_ms(),
            };
            self.end(cx, pid, ending);
        }
    }
}

impl<'a> Server<dyn Context + 'a, Stop> for Scheduler {
    fn launch(&mut self, cx: &mut (dyn Context + 'a), call: &Launch) -> Result<Made, Stop> {
        image_named(cx, &call.image)?;
        let pid = self.state.next_pid();
        let event = ProcessEvent::Spawned {
            pid,
            parent: None,
            image: call.image.clone(),
            goal: call.goal.clone(),
            planner: call.planner.clone(),
            workspace: call.workspace.clone(),
            cwd: "workspace".into(),
            budget: call.budget.clone(),
            at_ms: cx.now_ms(),
        };
        self.change(cx, pid, event);
        let mut capabilities = Vec::with_capacity(call.grants.len());
        for grant in &call.grants {
            let granted = cx.ask(capability::Issue {
                to: pid,
                grant: grant.clone(),
                origin: Origin::Host,
                binding: None,
            })?;
            capabilities.push(granted.capability);
        }
        Ok(Made { pid, capabilities })
    }

    fn spawn(&mut self, cx: &mut (dyn Context + 'a), call: &Spawn) -> Result<Made, Stop> {
        let parent = self.own(cx)?;
        self.room_for_child(parent)?;
        let process = self.state.live(parent).ok_or(Fault::NoProcess)?;
        let budget = call.budget.clone().unwrap_or_default();
        within(&budget, parent, process, cx.now_ms())?;
        let workspace = process.fixed.workspace.as_deref().map(str::to_owned);
        let name = match &call.image {
            Some(image) => image.clone(),
            None => process.fixed.image.as_ref().into(),
        };
        let image = image_named(cx, &name)?;
        let planner = (call.planner.clone())
            .or(image.planner)
            .unwrap_or_else(|| PlannerSpec { kind: "none".into(), program: Text::default() });
        let pid = self.state.next_pid();
        let event = ProcessEvent::Spawned {
            pid,
            parent: Some(parent),
            image: name,
            goal: call.goal.clone(),
            planner,
            workspace,
            cwd: call.cwd.path(),
            budget,
            at_ms: cx.now_ms(),
        };
        self.change(cx, pid, event);
        let derived = cx.ask(capability::Derive {
            parent,
            child: pid,
            grants: call.grants.clone().unwrap_or_default(),
        })?;
        issue(cx, parent, &Resource::id("process", pid), &[Right::Write], 0)?;
        issue(cx, pid, &Resource::id("process", parent), &[Right::Write], 0)?;
        Ok(Made { pid, capabilities: derived.capabilities })
    }

    fn wait(&mut self, cx: &mut (dyn Context + 'a), call: &WaitChild) -> Result<ChildEnding, Stop> {
        let pid = call.pid;
        let child = self.child(cx, pid)?;
        if let Life::Ended(ending) = &child.life {
            return Ok(ChildEnding {
                pid,
                state: ending.state,
                result: ending.result,
                message: ending.message.clone(),
                code: ending.code.clone(),
            });
        }
        let until_ms = deadline(cx, call.timeout_ms);
        if until_ms.is_some_and(|until_ms| cx.now_ms() >= until_ms) {
            let detail = format!("{pid} has not ended in the time given");
            return Err(FailureKind::TimedOut.because(detail).into());
        }
        Err(Stop::Wait(Wait { on: WaitOn::Child(pid), until_ms }))
    }

    fn exit(&mut self, cx: &mut (dyn Context + 'a), call: &Exit) -> Result<StateReply, Stop> {
        let pid = self.own(cx)?;
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, |text| text.len() as u64);
        at_most(bytes(&call.message), LIMITS.word_bytes_max, "last word")?;
        at_most(bytes(&call.code), LIMITS.code_bytes_max, "code")?;
        let state = match call.failed {
            Some(true) => ProcessState::Failed,
            _ => ProcessState::Exited,
        };
        let parent = (self.state.get(pid))
            .and_then(|process| process.fixed.parent)
            .filter(|parent| self.state.live(*parent).is_some());
        let ending = Ending {
            state,
            result: call.result,
            message: call.message.clone(),
            code: call.code.clone(),
            at_ms: cx.now_ms(),
        };
        self.end(cx, pid, ending);
        if let (Some(parent), Some(result)) = (parent, call.result) {
            let rights = [Right::Read, Right::Link, Right::Materialize, Right::Diff];
            issue(cx, parent, &Resource::id("object", result), &rights, 1)?;
        }
        Ok(StateReply { state })
    }

    fn signal(
        &mut self,
        cx: &mut (dyn Context + 'a),
        call: &SendSignal,
    ) -> Result<StateReply, Stop> {
        let pid = call.pid;
        let host = cx.caller().pid().is_none();
        let reason = call.reason.as_ref();
        at_most(reason.map_or(0, |reason| reason.len() as u64), LIMITS.word_bytes_max, "reason")?;
        let life = self.child(cx, pid)?.life.clone();
        if life.has_ended() {
            let detail = format!("{pid} has ended already");
            return Err(FailureKind::AlreadyEnded.because(detail).into());
        }
        match (call.signal, life) {
            (Signal::Pause, Life::Paused { by_host, .. }) if by_host || !host => {}
            (Signal::Pause, _) => {
                self.change(cx, pid, ProcessEvent::Paused { pid, by_host: host });
            }
            (Signal::Resume, Life::Paused { by_host: true, .. }) if !host => {
                let detail = format!("the host holds {pid}; only the host can let it go on");
                return Err(FailureKind::HeldByHost.because(detail).into());
            }
            (Signal::Resume, Life::Paused { .. }) => {
                self.change(cx, pid, ProcessEvent::Resumed { pid });
            }
            (Signal::Resume, _) => {}
            (Signal::Terminate, _) => self.terminate(cx, pid, reason),
        }
        self.reply(pid)
    }

    fn list(&mut self, cx: &mut (dyn Context + 'a), _: &List) -> Result<Processes, Stop> {
        let state = &self.state;
        let processes = match cx.caller().pid() {
            None => state.all().map(|(pid, process)| state.info(pid, process, true)).collect(),
            Some(_) => state
                .children(self.own(cx)?)
                .filter_map(|pid| Some(state.info(pid, state.get(pid)?, false)))
                .collect(),
        };
        Ok(Processes { processes })
    }

    fn inspect(
        &mut self,
        cx: &mut (dyn Context + 'a),
        call: &Inspect,
    ) -> Result<ProcessInfo, Stop> {
        let pid = call.pid;
        let (process, host) = match cx.caller().pid() {
            None => (self.state.get(pid), true),
            Some(caller) if caller == pid => (self.state.get(self.own(cx)?), false),
            Some(_) => (Some(self.child(cx, pid)?), false),
        };
        let Some(process) = process else {
            let detail = format!("there is no {pid}");
            return Err(FailureKind::NotFound.because(detail).into());
        };
        Ok(self.state.info(pid, process, host))
    }

    fn cwd(&mut self, cx: &mut (dyn Context + 'a), _: &GetCwd) -> Result<Cwd, Stop> {
        let pid = self.own(cx)?;
        let process = self.state.live(pid).ok_or(Fault::NoProcess)?;
        let path = process.cwd.clone();
        Ok(Cwd { path })
    }

    fn chdir(&mut self, cx: &mut (dyn Context + 'a), call: &Chdir) -> Result<Cwd, Stop> {
        let pid = self.own(cx)?;
        let path = call.path.clone();
        let cwd = path.clone();
        self.state.change(cx, ProcessEvent::Moved { pid, cwd });
        Ok(Cwd { path })
    }

    fn commit(&mut self, cx: &mut (dyn Context + 'a), call: &Commit) -> Result<StateReply, Stop> {
        let pid = self.own(cx)?;
        if self.state.state(pid) != Some(ProcessState::Running) {
            return Err(Fault::StaleRun.into());
        }
        let state = call.state.clone();
        self.change(cx, pid, ProcessEvent::Committed { pid, state });
        self.reply(pid)
    }

    fn admit(&mut self, cx: &mut (dyn Context + 'a), call: &Admit) -> Result<Admission, Stop> {
        let Admit { pid, run } = *call;
        let process = self.state.live(pid).ok_or(Fault::NoProcess)?;
        let is_new = run != 0;
        if is_new && (process.run != run || !matches!(process.life, Life::Running)) {
            return Err(Fault::StaleRun.into());
        }
        let mut counted = false;
        let mut ancestors = Vec::with_capacity(process.fixed.depth as usize - 1);
        for (above, process) in self.state.chain(pid) {
            let (fixed, usage) = (&process.fixed, &process.usage);
            if above != pid {
                ancestors.push(above);
            }
            if !is_new {
                continue;
            }
            if let Some(limit) = fixed.budget.syscalls {
                counted = true;
                if usage.syscalls >= limit {
                    return Err(over(SYSCALLS, above, limit).into());
                }
            }
            if let Some(Millis(limit)) = fixed.budget.wall
                && cx.now_ms().saturating_sub(fixed.started_at_ms) > limit
            {
                return Err(over(WALL, above, limit).into());
            }
        }
        let admission = Admission {
            root: process.fixed.root,
            ancestors,
            image: process.fixed.image.as_ref().into(),
            cwd: process.cwd.clone(),
            workspace: process.fixed.workspace.as_deref().map(str::to_owned),
            quantum: process.quantum,
        };
        if counted {
            self.state.change(cx, ProcessEvent::Charged { pid, syscalls: 1 });
        }
        Ok(admission)
    }

    fn block(&mut self, cx: &mut (dyn Context + 'a), call: &Block) -> Result<StateReply, Stop> {
        let pid = call.pid;
        if self.state.state(pid) == Some(ProcessState::Running) {
            let wait = call.wait.clone();
            self.change(cx, pid, ProcessEvent::Blocked { pid, wait });
        }
        self.reply(pid)
    }

    fn ready(&mut self, cx: &mut (dyn Context + 'a), call: &Ready) -> Result<StateReply, Stop> {
        let pid = call.pid;
        let waits = self.state.get(pid).is_some_and(|process| {
            matches!(process.life, Life::Waiting(_) | Life::Paused { wait: Some(_), .. })
        });
        if waits {
            self.change(cx, pid, ProcessEvent::Readied { pid });
        }
        self.reply(pid)
    }

    fn next(&mut self, cx: &mut (dyn Context + 'a), _: &Next) -> Result<Option<RunOrder>, Stop> {
        let Some(pid) = self.pop() else {
            return Ok(None);
        };
        let process = self.state.get(pid).ok_or(Fault::NoProcess)?;
        let order = RunOrder {
            pid,
            run: process.run + 1,
            quantum: process.quantum,
            planner: PlannerSpec {
                kind: process.fixed.planner.as_ref().into(),
                program: process.fixed.program.clone().unwrap_or_default(),
            },
            state: process.kept.clone().unwrap_or_default(),
        };
        let run = order.run;
        self.change(cx, pid, ProcessEvent::Started { pid, run });
        Ok(Some(order))
    }

    fn recover(&mut self, cx: &mut (dyn Context + 'a), _: &Recover) -> Result<Processes, Stop> {
        let running: Vec<Pid> = (self.state.all())
            .filter(|(_, process)| matches!(process.life, Life::Running))
            .map(|(pid, _)| pid)
            .collect();
        for pid in running {
            self.change(cx, pid, ProcessEvent::Readied { pid });
        }
        self.rebuild();
        let processes = (self.state.all())
            .filter(|(_, process)| !process.life.has_ended())
            .map(|(pid, process)| self.state.info(pid, process, true))
            .collect();
        Ok(Processes { processes })
    }
}
