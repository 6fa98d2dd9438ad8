//! The calls: each asks those who keep what a checkpoint consists of.

use std::sync::Arc;

use libos_abi::{
    CheckpointId, DenyReason, Digest, Effect, Error, Fault, GrantSpec, Origin, Pattern, Pid,
    Resource, Right, capability,
    checkpoint::{
        Change, CheckpointInfo, Checkpoints as Listed, Commit, Create, Diff, Difference,
        DropCheckpoint, FailureKind, Fork, Forked, Inspect, List, Preview, Previewed, Restore,
        Restored, Server, Subtree,
    },
    event::CheckpointEvent,
    image::{self, Image},
    object,
    process::{self, FailureKind as ProcessFailure},
    tool, wire,
};
use libos_port::{Context, Stop};

use crate::{Checkpoints, core};

/// The process that is meant: the caller where a process names none.
fn meant(cx: &dyn Context, named: Option<Pid>) -> Result<Pid, Fault> {
    let own = cx.caller().pid();
    named.or(own).ok_or_else(|| Fault::bad("the host names the process: pid"))
}

/// Lets a process read the checkpoints of one that it may make them of.
fn let_read(cx: &mut dyn Context, reader: Pid, id: CheckpointId) -> Result<(), Error> {
    let on = Resource::checkpoint(id);
    let may = cx.ask(capability::May { pid: reader, right: Right::Read, on })?;
    if may.allowed {
        return Ok(());
    }
    let grant =
        GrantSpec::allow(Pattern::checkpoints(id.process), [Right::Read].into_iter().collect());
    cx.ask(capability::Issue { to: reader, grant, origin: Origin::Kernel, binding: None }).map(drop)
}

/// Everything that is not as it was.
pub(crate) fn compare(cx: &mut dyn Context, checkpoint: CheckpointId) -> Result<Difference, Error> {
    let processes = cx.ask(process::Compare { checkpoint })?.rows;
    let made = processes.iter().filter(|row| row.change == Change::Made);
    let spaces = made.map(|row| row.pid).collect();
    let objects = cx.ask(object::CompareSpaces { checkpoint, spaces })?.rows;
    let capabilities = cx.ask(capability::Compare { checkpoint })?.rows;
    Ok(Difference { checkpoint, processes, objects, capabilities, truncated: 0 })
}

impl<'c> Server<dyn Context + 'c, Stop> for Checkpoints {
    fn create(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &Create,
    ) -> Result<CheckpointInfo, Stop> {
        let process = meant(cx, call.pid)?;
        let reason = call.reason.clone().unwrap_or_default();
        let limit = self.limits.reason_bytes_max;
        if reason.len() as u64 > limit {
            return Err(Fault::Limit { what: "bytes of a reason".into(), limit }.into());
        }
        let id = self.state.next(process, &self.limits)?;
        let saved = cx.ask(process::Save { checkpoint: id }).map_err(|error| match error {
            Error::Process(failure) if failure.kind == ProcessFailure::NotFound => {
                FailureKind::Ended.because(failure.detail)
            }
            other => other,
        })?;
        let by = cx.caller().pid();
        if let Some(by) = by {
            // Before it is noted what is held: it stays when the caller comes back to this.
            let_read(cx, by, id)?;
        }
        let Subtree { live, ended } = saved;
        let processes = live.len() as u64;
        let spaces = live.clone();
        let objects = cx.ask(object::SaveSpaces { checkpoint: id, spaces, ended })?.count;
        cx.ask(tool::SaveTools { checkpoint: id, processes: live.clone() })?;
        let held = cx.ask(capability::Save { checkpoint: id, subjects: live })?.count;
        let info = CheckpointInfo {
            id,
            reason,
            by,
            op: cx.op(),
            at_ms: cx.now_ms(),
            processes,
            objects,
            capabilities: held,
        };
        self.state.change(cx, CheckpointEvent::Created(info.clone()));
        Ok(info)
    }

    fn list(&mut self, cx: &mut (dyn Context + 'c), call: &List) -> Result<Listed, Stop> {
        let process = call.pid.or(cx.caller().pid());
        let limit = call.limit.unwrap_or(self.limits.list_max).min(self.limits.list_max);
        Ok(self.state.list(process, call.after, limit as usize))
    }

    fn inspect(
        &mut self,
        _: &mut (dyn Context + 'c),
        call: &Inspect,
    ) -> Result<CheckpointInfo, Stop> {
        Ok(self.state.get(call.checkpoint)?.clone())
    }

    fn diff(&mut self, cx: &mut (dyn Context + 'c), call: &Diff) -> Result<Difference, Stop> {
        self.state.get(call.checkpoint)?;
        let difference = compare(cx, call.checkpoint)?;
        Ok(core::cut(difference, self.limits.diff_rows_max))
    }

    fn drop(
        &mut self,
        cx: &mut (dyn Context + 'c),
        call: &DropCheckpoint,
    ) -> Result<CheckpointInfo, Stop> {
        let checkpoint = call.checkpoint;
        let info = self.state.get(checkpoint)?.clone();
        cx.ask(process::Forget { checkpoint })?;
        cx.ask(object::ForgetSpaces { checkpoint })?;
        cx.ask(capability::Forget { checkpoint })?;
        cx.ask(tool::ForgetTools { checkpoint })?;
        self.state.change(cx, CheckpointEvent::Dropped { checkpoint });
        Ok(info)
    }

    fn fork(&mut self, cx: &mut (dyn Context + 'c), call: &Fork) -> Result<Forked, Stop> {
        let checkpoint = call.checkpoint;
        self.state.get(checkpoint)?;
        let parent = match (cx.caller().pid(), call.parent) {
            (Some(own), Some(named)) if own != named => {
                return Err(Fault::denied(None, DenyReason::NotForProcesses).into());
            }
            (own, named) => own.or(named),
        };
        let forked =
            cx.ask(process::CopySaved { checkpoint, parent }).map_err(|error| match error {
                Error::Process(failure) => FailureKind::Ended.because(failure.detail),
                Error::Fault(Fault::NoProcess) => {
                    FailureKind::Ended.because("the parent has ended")
                }
                other => other,
            })?;
        let processes = forked.processes.clone();
        cx.ask(capability::CopyHeld { checkpoint, processes: processes.clone() })?;
        cx.ask(tool::CopyTools { checkpoint, processes: processes.clone() })?;
        cx.ask(object::CopySpaces { checkpoint, processes })?;
        Ok(forked)
    }

    fn preview(&mut self, cx: &mut (dyn Context + 'c), call: &Preview) -> Result<Previewed, Stop> {
        self.state.get(call.checkpoint)?;
        let difference = compare(cx, call.checkpoint)?;
        let token = token(&difference);
        Ok(Previewed { token, difference: core::cut(difference, self.limits.diff_rows_max) })
    }

    fn restore(&mut self, cx: &mut (dyn Context + 'c), call: &Restore) -> Result<Restored, Stop> {
        let checkpoint = call.checkpoint;
        self.state.get(checkpoint)?;
        let root = checkpoint.process;
        let above = cx.caller().admission.as_ref().map(|admission| &*admission.ancestors);
        if cx.caller().pid() == Some(root) || above.is_some_and(|above| above.contains(&root)) {
            let detail =
                format!("the caller is {root} or below it; another process can restore it");
            return Err(FailureKind::Inside.because(detail).into());
        }
        if token(&compare(cx, checkpoint)?) != call.token {
            let detail = format!("{root} went on since the preview; look at a new one");
            return Err(FailureKind::Stale.because(detail).into());
        }
        let rewound = cx.ask(process::Restore { checkpoint })?;
        let revived = rewound.revived.clone();
        let revoked = cx.ask(capability::Restore { checkpoint, revived })?.capabilities;
        let dropped = rewound.made.clone();
        cx.ask(tool::RestoreTools { checkpoint })?;
        let objects = cx.ask(object::RestoreSpaces { checkpoint, dropped })?.count;
        Ok(Restored {
            checkpoint,
            processes: rewound.processes,
            revived: rewound.revived.into_iter().map(|revived| revived.pid).collect(),
            ended: rewound.made,
            objects,
            revoked,
        })
    }

    fn commit(&mut self, cx: &mut (dyn Context + 'c), call: &Commit) -> Result<Arc<Image>, Stop> {
        let checkpoint = call.checkpoint;
        let of = self.state.get(checkpoint)?.id.process;
        let made = cx.ask(process::Recall { checkpoint }).map_err(|error| match error {
            Error::Process(failure) => FailureKind::NotFound.because(failure.detail),
            other => other,
        })?;
        let bad_image = |error: Error| match error {
            Error::Image(failure) => FailureKind::BadImage.because(failure.detail),
            other => other,
        };
        let before = cx.ask(image::Inspect { image: made.image }).map_err(bad_image)?;
        // What names a process of this store means nothing to another one.
        let of_this_store = ["object", "process", "checkpoint"];
        let held = cx.ask(capability::Recall { checkpoint })?.grants.into_iter();
        let required = held.filter(|grant| {
            grant.effect != Effect::Deny && !of_this_store.contains(&grant.on.kind())
        });
        let image = Image {
            name: call.image.clone(),
            version: call.version.clone().unwrap_or_else(|| "1".into()),
            planner: Some(made.planner),
            required_capabilities: required.collect(),
            ..Image::clone(&before)
        };
        let commit = image::CommitImage { checkpoint, of, image, replace: call.replace };
        Ok(cx.ask(commit).map_err(bad_image)?)
    }
}

/// What stands for everything that a restore would undo.
fn token(difference: &Difference) -> Digest {
    Digest::of(&wire::encode(difference))
}
