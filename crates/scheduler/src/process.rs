//! Serves `process`: everything is refused before the first event.

use std::sync::Arc;

use libos_abi::{
    Error, Fault, ObjectId, Pid, Resource, Right,
    checkpoint::{self, Forked, ProcessChanges, Rewound, Subtree},
    event::ProcessEvent,
    image, object,
    process::{
        ActivateTools, Admission, Admit, Block, Chdir, ChildEnding, Commit, Compare, CopySaved,
        Cwd, Discard, Discarded, EndTasks, Ending, Exec, Exit, Extend, FailureKind, Forget, Fork,
        GetCwd, Inspect, Launch, List, ListTasks, Made, Merge, Merged, Next, PlannerSpec,
        ProcessInfo, ProcessState, Processes, Ready, Recall, Recover, Restore, RunOrder, Save,
        SendSignal, Server, Settle, Signal, Spawn, StartTask, StateReply, ToolGroups, Wait,
        WaitChild, WaitOn,
    },
};
use libos_port::{Context, Stop, mutated};

use crate::{
    LIMITS, Scheduler, at_most,
    core::{Life, Process},
    creation::issue,
    deadline,
};

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
            .filter(|process| process.parent() == Some(caller))
            .ok_or_else(|| FailureKind::NotAChild.because(format!("{pid} is no child of {caller}")))
    }

    /// The caller, if the process named is its child and has ended.
    fn parent_of_ended(&self, cx: &dyn Context, pid: Pid) -> Result<Pid, Error> {
        let caller = self.own(cx)?;
        if !self.child(cx, pid)?.turn.life.has_ended() {
            let detail = format!("{pid} has not ended; process.wait waits for it");
            return Err(FailureKind::StillRunning.because(detail));
        }
        Ok(caller)
    }

    pub(crate) fn reply(&self, pid: Pid) -> Result<StateReply, Stop> {
        let state = self.state.state(pid).ok_or(Fault::NoProcess)?;
        Ok(StateReply { state })
    }

    /// Processes as the caller sees them.
    fn shown(&self, cx: &dyn Context, pids: impl Iterator<Item = Pid>) -> Processes {
        let host = cx.caller().pid().is_none();
        let info = |pid| Some(self.state.info(pid, self.state.get(pid)?, host));
        Processes { processes: pids.filter_map(info).collect(), more_after: None }
    }

    pub(crate) fn end(&mut self, cx: &mut dyn Context, pid: Pid, ending: Ending) {
        let parent = self.state.get(pid).and_then(Process::parent);
        self.change(cx, pid, ProcessEvent::Ended { pid, parent, ending });
    }

    fn terminate(&mut self, cx: &mut dyn Context, target: Pid, reason: Option<&str>) {
        for pid in self.state.subtree(target) {
            let message = match reason {
                _ if pid != target => Some(format!("{target}, above it, was ended")),
                reason => reason.map(str::to_owned),
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

    /// Asks a process to end by itself: what it waits for is cancelled, and an interrupt says so.
    /// It is not ended, and may have something to finish.
    fn cancel(&mut self, cx: &mut dyn Context, pid: Pid, reason: Option<&str>) {
        self.change(cx, pid, ProcessEvent::Cancelled { pid });
        let by = match cx.caller().pid() {
            Some(caller) => caller.to_string(),
            None => "the host".into(),
        };
        let text = match reason {
            Some(reason) => format!("{by} asks you to end: {reason}"),
            None => format!("{by} asks you to end"),
        };
        self.interrupt_with(cx, pid, text);
    }

    /// Lets the parent of a process that has ended read what it left.
    fn hand_over(&self, cx: &mut dyn Context, pid: Pid, result: ObjectId) -> Result<(), Error> {
        let parent = self.state.get(pid).and_then(Process::parent);
        if let Some(parent) = parent.filter(|parent| self.state.live(*parent).is_some()) {
            let rights = [Right::Read, Right::Link, Right::Materialize, Right::Diff];
            issue(cx, parent, &Resource::object(result), &rights, 1)?;
        }
        Ok(())
    }

    /// Whether the caller's image has a tool group.
    fn has_group(&self, cx: &mut dyn Context, pid: Pid, group: &str) -> Result<(), Error> {
        let process = self.state.live(pid).ok_or(Fault::NoProcess)?;
        let name: String = process.made_of.image.as_ref().into();
        let unknown = |name: &str| {
            FailureKind::UnknownGroup.because(format!("`{name}` has no tool group `{group}`"))
        };
        let image =
            cx.ask(image::Inspect { image: name.clone() }).map_err(|error| match error {
                Error::Image(failure) if failure.kind == image::FailureKind::NotFound => {
                    unknown(&name)
                }
                other => other,
            })?;
        match image.tool_groups.iter().any(|known| known.name == group) {
            true => Ok(()),
            false => Err(unknown(&name)),
        }
    }
}

impl<'a> Server<dyn Context + 'a, Stop> for Scheduler {
    fn launch(&mut self, cx: &mut (dyn Context + 'a), call: &Launch) -> Result<Made, Stop> {
        Ok(self.launch_root(cx, call)?)
    }

    fn spawn(&mut self, cx: &mut (dyn Context + 'a), call: &Spawn) -> Result<Made, Stop> {
        self.spawn_child(cx, call)
    }

    fn wait(&mut self, cx: &mut (dyn Context + 'a), call: &WaitChild) -> Result<ChildEnding, Stop> {
        let pid = call.pid;
        let child = self.child(cx, pid)?;
        if let Life::Ended(ending) = &child.turn.life {
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
        let pid = self.own_or_named(cx, call.pid)?;
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, |text| text.len() as u64);
        at_most(bytes(&call.message), LIMITS.word_bytes_max, "last word")?;
        at_most(bytes(&call.code), LIMITS.code_bytes_max, "code")?;
        let state = match call.failed {
            Some(true) => ProcessState::Failed,
            _ => ProcessState::Exited,
        };
        let ending = Ending {
            state,
            result: call.result,
            message: call.message.clone(),
            code: call.code.clone(),
            at_ms: cx.now_ms(),
        };
        self.end(cx, pid, ending);
        if let Some(result) = call.result {
            self.hand_over(cx, pid, result)?;
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
        let reason = call.reason.as_deref();
        at_most(reason.map_or(0, |reason| reason.len() as u64), LIMITS.word_bytes_max, "reason")?;
        let life = self.child(cx, pid)?.turn.life.clone();
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
            (Signal::Cancel, _) => self.cancel(cx, pid, reason),
        }
        self.reply(pid)
    }

    fn list(&mut self, cx: &mut (dyn Context + 'a), call: &List) -> Result<Processes, Stop> {
        let limit = call.limit.unwrap_or(LIMITS.list_max).min(LIMITS.list_max) as usize;
        let after = call.after.unwrap_or_default();
        let is_shown = |pid: &Pid| call.live != Some(true) || self.state.live(*pid).is_some();
        // One more than is shown tells whether there are more.
        let pids: Vec<Pid> = match cx.caller().pid() {
            None => {
                let all = self.state.all_after(after).map(|(pid, _)| pid);
                all.filter(is_shown).take(limit + 1).collect()
            }
            Some(_) => {
                let children = self.state.children(self.own(cx)?).filter(|pid| *pid > after);
                children.filter(is_shown).take(limit + 1).collect()
            }
        };
        let shown = &pids[..limit.min(pids.len())];
        let more_after = shown.last().copied().filter(|_| pids.len() > limit);
        Ok(Processes { more_after, ..self.shown(cx, shown.iter().copied()) })
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
        let path = process.fixed.cwd.clone();
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

    fn fork(&mut self, cx: &mut (dyn Context + 'a), call: &Fork) -> Result<Made, Stop> {
        self.fork_child(cx, call)
    }

    fn exec(&mut self, cx: &mut (dyn Context + 'a), call: &Exec) -> Result<StateReply, Stop> {
        self.exec_image(cx, call)
    }

    fn start_task(&mut self, cx: &mut (dyn Context + 'a), call: &StartTask) -> Result<Made, Stop> {
        self.start(cx, call)
    }

    fn tasks(&mut self, cx: &mut (dyn Context + 'a), call: &ListTasks) -> Result<Processes, Stop> {
        if cx.caller().pid().is_some() {
            self.own(cx)?;
        }
        let live = self.state.tasks(call.owner, false);
        let mut pids: Vec<Pid> = live.chain(self.state.tasks(call.owner, true)).collect();
        pids.sort_unstable();
        Ok(self.shown(cx, pids.into_iter()))
    }

    fn merge(&mut self, cx: &mut (dyn Context + 'a), call: &Merge) -> Result<Merged, Stop> {
        let (from, into) = (call.pid, self.parent_of_ended(cx, call.pid)?);
        let on_conflict = call.on_conflict.unwrap_or_default();
        let merged = cx.ask(object::MergeSpace { from, into, on_conflict });
        Ok(merged.map_err(|error| match error {
            Error::Object(failure) if failure.kind == object::FailureKind::VersionConflict => {
                FailureKind::MergeConflict.because(failure.detail)
            }
            other => other,
        })?)
    }

    fn discard(&mut self, cx: &mut (dyn Context + 'a), call: &Discard) -> Result<Discarded, Stop> {
        self.parent_of_ended(cx, call.pid)?;
        Ok(cx.ask(object::DropSpace { space: call.pid })?)
    }

    fn activate_tools(
        &mut self,
        cx: &mut (dyn Context + 'a),
        call: &ActivateTools,
    ) -> Result<ToolGroups, Stop> {
        let pid = self.own(cx)?;
        let active = |scheduler: &Self| {
            let groups =
                scheduler.state.live(pid).map(|process| process.fixed.tool_groups.to_vec());
            groups.unwrap_or_default()
        };
        let groups = active(self);
        if !groups.iter().any(|group| **group == *call.group) {
            self.has_group(cx, pid, &call.group)?;
            if groups.len() >= LIMITS.tool_groups_max as usize {
                let what = "active tool groups of a process".into();
                return Err(Fault::Limit { what, limit: LIMITS.tool_groups_max.into() }.into());
            }
            self.state.change(cx, ProcessEvent::Activated { pid, group: call.group.clone() });
        }
        Ok(ToolGroups { groups: active(self).iter().map(|group| group.as_ref().into()).collect() })
    }

    fn admit(&mut self, cx: &mut (dyn Context + 'a), call: &Admit) -> Result<Arc<Admission>, Stop> {
        self.admit_call(cx, call)
    }

    fn block(&mut self, cx: &mut (dyn Context + 'a), call: &Block) -> Result<StateReply, Stop> {
        let pid = call.pid;
        let state = self.state.state(pid);
        if matches!(state, Some(ProcessState::Running | ProcessState::Waiting)) {
            let wait = call.wait.clone();
            self.change(cx, pid, ProcessEvent::Blocked { pid, wait });
        }
        self.reply(pid)
    }

    fn ready(&mut self, cx: &mut (dyn Context + 'a), call: &Ready) -> Result<StateReply, Stop> {
        let pid = call.pid;
        let waits = self.state.get(pid).is_some_and(|process| {
            matches!(process.turn.life, Life::Waiting(_) | Life::Paused { wait: Some(_), .. })
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
            run: if mutated("reuse_run") { 1 } else { process.turn.run + 1 },
            quantum: process.turn.quantum,
            planner: PlannerSpec {
                kind: Arc::clone(&process.made_of.planner),
                program: process.program.clone(),
            },
            state: process.turn.kept.clone(),
        };
        let run = order.run;
        self.change(cx, pid, ProcessEvent::Started { pid, run });
        Ok(Some(order))
    }

    fn recover(&mut self, cx: &mut (dyn Context + 'a), _: &Recover) -> Result<(), Stop> {
        let running: Vec<Pid> = (self.state.all())
            .filter(|(_, process)| matches!(process.turn.life, Life::Running))
            .map(|(pid, _)| pid)
            .collect();
        for pid in running {
            self.change(cx, pid, ProcessEvent::Readied { pid });
        }
        self.rebuild();
        Ok(())
    }

    fn settle(&mut self, cx: &mut (dyn Context + 'a), call: &Settle) -> Result<(), Stop> {
        self.settle_call(cx, call);
        Ok(())
    }

    fn extend(&mut self, cx: &mut (dyn Context + 'a), call: &Extend) -> Result<(), Stop> {
        self.extend_limit(cx, call)
    }

    fn end_tasks(&mut self, cx: &mut (dyn Context + 'a), call: &EndTasks) -> Result<(), Stop> {
        let tasks: Vec<Pid> = self.state.tasks(call.owner, false).collect();
        let reason = format!("{}, which owned it, was removed", call.owner);
        for pid in tasks {
            self.terminate(cx, pid, Some(&reason));
        }
        Ok(())
    }

    fn save(&mut self, cx: &mut (dyn Context + 'a), call: &Save) -> Result<Subtree, Stop> {
        self.save_subtree(cx, call)
    }

    fn compare(
        &mut self,
        _: &mut (dyn Context + 'a),
        call: &Compare,
    ) -> Result<ProcessChanges, Stop> {
        Ok(ProcessChanges { rows: self.state.changes_since(call.checkpoint) })
    }

    fn forget(&mut self, cx: &mut (dyn Context + 'a), call: &Forget) -> Result<(), Stop> {
        let checkpoint = call.checkpoint;
        if self.state.has_saved(checkpoint) {
            self.state.change(cx, ProcessEvent::Forgotten { checkpoint });
        }
        Ok(())
    }

    fn restore(&mut self, cx: &mut (dyn Context + 'a), call: &Restore) -> Result<Rewound, Stop> {
        Ok(self.restore_subtree(cx, call.checkpoint))
    }

    fn copy_saved(
        &mut self,
        cx: &mut (dyn Context + 'a),
        call: &CopySaved,
    ) -> Result<Forked, Stop> {
        self.copy_subtree(cx, call)
    }

    fn recall(
        &mut self,
        _: &mut (dyn Context + 'a),
        call: &Recall,
    ) -> Result<checkpoint::Made, Stop> {
        self.recall_root(call.checkpoint)
    }
}
