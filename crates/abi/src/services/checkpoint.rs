//! Checkpoints: the state of a process and all below it, to come back to.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CapId, CheckpointId, Digest, GrantSpec, MessageId, Need, ObjectId, OpId, Pattern, Pid,
    Resource, Right, Rights,
    call::service,
    field::opaque,
    image::{self, Image},
    process::{PlannerSpec, ProcessState},
};

record! {
    /// A checkpoint.
    pub struct CheckpointInfo {
        /// Its id.
        pub id: CheckpointId,
        /// Why it was made.
        pub reason: String,
        /// Who made it; absent is the host.
        pub by: Option<Pid>,
        /// The call that made it.
        pub op: OpId,
        /// When, in milliseconds since the epoch.
        pub at_ms: u64,
        /// The processes in it: those that had not ended.
        pub processes: u64,
        /// The objects in their memories.
        pub objects: u64,
        /// The capabilities they held that were in force.
        pub capabilities: u64,
    }

    /// Checkpoints.
    pub struct Checkpoints {
        /// In the order of their ids.
        pub checkpoints: Vec<CheckpointInfo>,
        /// Behind which one to go on, if there are more.
        pub more_after: Option<CheckpointId>,
    }

    /// The processes that a checkpoint speaks of.
    pub struct Subtree {
        /// Those that have not ended, parents before their children.
        pub live: Vec<Pid>,
        /// Those that have.
        pub ended: Vec<Pid>,
    }

    /// How many of something a component keeps for a checkpoint.
    #[derive(Copy)]
    pub struct Kept {
        /// How many.
        pub count: u64,
    }

    /// A process that is not as it was.
    pub struct ProcessChange {
        /// The process.
        pub pid: Pid,
        /// What has become of it.
        pub change: Change,
        /// Its state then.
        pub was: Option<ProcessState>,
        /// Its state now.
        pub now: ProcessState,
        /// Its runs so far.
        pub runs: u64,
        /// The messages it has not taken now.
        pub unread: Vec<MessageId>,
    }

    /// Processes that are not as they were.
    pub struct ProcessChanges {
        /// In the order of their ids.
        pub rows: Vec<ProcessChange>,
    }

    /// An object that is not as it was.
    #[derive(Copy)]
    pub struct ObjectChange {
        /// The object.
        pub id: ObjectId,
        /// What has become of it.
        pub change: Change,
        /// Its version then; 0 if it was not there.
        pub was: u64,
        /// Its version now; 0 if it is not there.
        pub now: u64,
        /// The digest of its content, now or else then.
        pub digest: Digest,
    }

    /// Objects that are not as they were.
    pub struct ObjectChanges {
        /// In the order of their ids.
        pub rows: Vec<ObjectChange>,
    }

    /// A capability that is not as it was.
    pub struct CapabilityChange {
        /// The capability.
        pub capability: CapId,
        /// Whose it is.
        pub subject: Pid,
        /// What has become of it: made since, or out of force since.
        pub change: Change,
        /// For these resources; absent where it is not known any more.
        pub on: Option<Pattern>,
        /// These rights.
        pub rights: Rights,
    }

    /// Capabilities that are not as they were.
    pub struct CapabilityChanges {
        /// In the order of their ids.
        pub rows: Vec<CapabilityChange>,
    }

    /// A process that was copied for another one.
    #[derive(Copy)]
    pub struct Copied {
        /// The one in the checkpoint.
        pub from: Pid,
        /// The new one.
        pub to: Pid,
        /// The parent of the new one.
        pub parent: Option<Pid>,
    }

    /// Processes that were made as copies.
    pub struct Forked {
        /// The first of them, which the others are below.
        pub pid: Pid,
        /// Each with the one it is a copy of, parents before their children.
        pub processes: Vec<Copied>,
    }

    /// A process that had ended and lives again.
    #[derive(Copy)]
    pub struct Revived {
        /// The process.
        pub pid: Pid,
        /// Its parent, if that lives.
        pub parent: Option<Pid>,
    }

    /// Processes that came back to a checkpoint.
    pub struct Rewound {
        /// Those that are as they were.
        pub processes: Vec<Pid>,
        /// Those among them that had ended.
        pub revived: Vec<Revived>,
        /// Those that were made since, which have ended now.
        pub made: Vec<Pid>,
    }

    /// What a restore would do.
    pub struct Previewed {
        /// Stands for exactly this: a restore takes it.
        pub token: Digest,
        /// What would be undone.
        pub difference: Difference,
    }

    /// What a restore did.
    pub struct Restored {
        /// The checkpoint.
        pub checkpoint: CheckpointId,
        /// The processes that are as they were.
        pub processes: Vec<Pid>,
        /// Those among them that had ended.
        pub revived: Vec<Pid>,
        /// Those that were made since, which have ended now.
        pub ended: Vec<Pid>,
        /// The objects that came back to what they were.
        pub objects: u64,
        /// The capabilities that were given since and are taken back.
        pub revoked: Vec<CapId>,
    }

    /// What a process was made of at a checkpoint.
    pub struct Made {
        /// Its image.
        pub image: String,
        /// Who planned for it.
        pub planner: PlannerSpec,
    }

    /// What a process held at a checkpoint and holds still, but for what the kernel gave.
    pub struct Held {
        /// In the order of the capabilities.
        pub grants: Vec<GrantSpec>,
    }

    /// What is not as it was.
    pub struct Difference {
        /// Since when.
        pub checkpoint: CheckpointId,
        /// Processes.
        pub processes: Vec<ProcessChange>,
        /// Objects.
        pub objects: Vec<ObjectChange>,
        /// Capabilities.
        pub capabilities: Vec<CapabilityChange>,
        /// How many changes are not shown.
        pub truncated: u64,
    }
}

/// What has become of something since a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum Change {
    /// It was made since.
    Made,
    /// It was changed.
    Changed,
    /// It is not there any more.
    Gone,
}

opaque!(
    CheckpointInfo,
    Checkpoints,
    Subtree,
    Kept,
    ProcessChange,
    ProcessChanges,
    ObjectChange,
    ObjectChanges,
    CapabilityChange,
    CapabilityChanges,
    Difference,
    Change,
    Copied,
    Forked,
    Revived,
    Rewound,
    Previewed,
    Restored,
    Held,
);
crate::field::carries_texts! { Made { planner } }

/// The checkpoints of a process and of those below it: `checkpoint:p3`. Of the caller's own, whose
/// id whoever grants need not know, `checkpoint:own`.
fn scope(pid: Option<Pid>) -> Resource {
    match pid {
        Some(pid) => Resource::id("checkpoint", pid),
        None => Resource::named("checkpoint", "own"),
    }
}

impl Commit {
    fn needs(&self) -> Vec<Need> {
        let checkpoint = Resource::checkpoint(self.checkpoint);
        let of_checkpoint = Need { right: Right::Write, on: checkpoint };
        [of_checkpoint].into_iter().chain(image::changing(&self.image, self.replace)).collect()
    }
}

service! {
    /// Checkpoints: the state of a process and all below it, to look at, compare with and come back
    /// to. Making one costs the same whatever is in memory.
    service checkpoint = 14;
    failures {
        /// There is no such checkpoint.
        1 "not_found" NotFound;
        /// The process has ended, or never was.
        2 "ended" Ended;
        /// Things are not any more as they were when the token was given.
        3 "stale" Stale;
        /// The caller itself is among what would come back: its call could not be answered.
        4 "inside" Inside;
        /// The image cannot be registered so.
        5 "bad_image" BadImage;
    }

    /// Keeps the state of a process and of all below it. Who makes it may read it.
    1 create Create {
        /// The process; the caller if absent.
        pid: Option<Pid>,
        /// What it is for.
        reason: Option<String>,
    } -> CheckpointInfo
    { demand: [Write on checkpoint by |c| scope(c.pid)]; effect: State; fails: [Ended]; }

    /// Lists the checkpoints of a process (of the host, if it names none: all), a part at a time.
    2 list List {
        /// The process; the caller if absent.
        pid: Option<Pid>,
        /// Behind this one, to go on.
        after: Option<CheckpointId>,
        /// How many at most; 100 if absent and at the most.
        limit: Option<u32>,
    } -> Checkpoints
    { demand: [Read on checkpoint by |c| scope(c.pid)]; effect: State; fails: []; }

    /// Shows a checkpoint.
    3 inspect Inspect {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> CheckpointInfo
    { demand: [Read on checkpoint by |c| Resource::checkpoint(c.checkpoint)]; effect: State;
      fails: [NotFound]; }

    /// Tells what is not as it was: at most 25 processes, objects and capabilities each.
    4 diff Diff {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> Difference
    { demand: [Read on checkpoint by |c| Resource::checkpoint(c.checkpoint)]; effect: State;
      fails: [NotFound]; }

    /// Drops a checkpoint and all that is kept for it.
    5 drop DropCheckpoint {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> CheckpointInfo
    { demand: [Delete on checkpoint by |c| Resource::checkpoint(c.checkpoint)]; effect: State;
      fails: [NotFound]; }

    /// Makes new processes as those of a checkpoint were: with copies of their memories, and with
    /// what they held and still hold, but for what is limited to a number of uses and for
    /// approvals. Each begins the quantum that it was in from the top.
    6 fork Fork {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The parent, for the host: a task of its own if absent. Otherwise the caller is.
        parent: Option<Pid>,
    } -> Forked
    { demand: [Execute on checkpoint by |c| Resource::checkpoint(c.checkpoint)]; effect: State;
      fails: [NotFound Ended]; }

    /// Tells what a restore would undo, with a token that stands for exactly that.
    7 preview Preview {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> Previewed
    { demand: [Admin on checkpoint by |c| Resource::checkpoint(c.checkpoint)]; effect: State;
      fails: [NotFound]; }

    /// Comes back to a checkpoint: processes with their mail, their limits and their memories are
    /// as they were. What was given since is taken back, what was taken back or spent stays so, and
    /// the record says all of it. What happened outside stays.
    8 restore Restore {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// What the preview gave.
        token: Digest,
    } -> Restored
    { demand: [Admin on checkpoint by |c| Resource::checkpoint(c.checkpoint)]; effect: State;
      fails: [NotFound Stale Inside]; }

    /// Registers an image of the process that a checkpoint is of: made of what it was made of, with
    /// the tools that it had registered, and requiring what it held. It grants nothing. To replace
    /// an image needs `delete` on it as well.
    9 commit Commit {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The image's name.
        image: String,
        /// Its version; 1 if absent.
        version: Option<String>,
        /// Whether it may replace one of the same name.
        replace: Option<bool>,
    } -> Image as Arc
    { demand: [Write on checkpoint by Commit::needs];
      effect: State; fails: [NotFound BadImage]; }
}
