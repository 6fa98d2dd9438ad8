//! Events: the only way kernel state changes, and what the journal is made of.
//!
//! A [`Record`] is one transaction: every event of every component it touched, or none. Variants
//! are append-only; golden bytes in the tests keep them where they are.

use std::sync::Arc;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    Binding, CapId, CheckpointId, Denial, Digest, Few, FsPath, GrantSpec, Json, Label, Labelled,
    Manifest, ObjectId, OpId, Origin, Outcome, Pattern, Pid, RequestId, Resource, Right, Syscall,
    Text, ViewId,
    services::{
        capability::Charge,
        checkpoint::{CheckpointInfo, Revived},
        event::{Happened, Subscription},
        human::{Asker, Decided, Request},
        image::Image,
        message::Message,
        object::ViewItem,
        process::{
            Budget, BudgetKind, Ending, ForkMode, OnConflict, PlannerSpec, Schedule, Usage, Wait,
        },
        skill::{ActiveSkill, Skill},
        tool::{Definition, Program, ToolReport},
    },
};

/// One transaction as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// When, in milliseconds since the epoch; never less than the record before.
    pub at_ms: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// One change of kernel state.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Event {
    /// Of an operation.
    Op(OpEvent),
    /// Of processes, mailboxes and timers.
    Process(ProcessEvent),
    /// Of capabilities.
    Capability(CapabilityEvent),
    /// Of objects and namespaces.
    Object(ObjectEvent),
    /// Of requests to humans.
    Human(HumanEvent),
    /// Of images.
    Image(ImageEvent),
    /// Of subscriptions and what they were told.
    Subscriber(SubscriberEvent),
    /// Of checkpoints.
    Checkpoint(CheckpointEvent),
    /// Of generated tools.
    Tool(ToolEvent),
    /// Of data labels.
    Label(LabelEvent),
}

/// Who made a call. The kernel writes it; a message cannot name its own sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// The host's operator, under a name for the audit.
    Host(Arc<str>),
    /// A process.
    Process(Pid),
    /// A generated tool in a process: what it may do is what both may.
    Tool {
        /// The process.
        pid: Pid,
        /// The tool.
        tool: Arc<str>,
    },
}

impl Principal {
    /// The process, if it is one or a tool in one.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Host(_) => None,
            Self::Process(pid) | Self::Tool { pid, .. } => Some(*pid),
        }
    }

    /// The generated tool, if it is one.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        match self {
            Self::Host(_) | Self::Process(_) => None,
            Self::Tool { tool, .. } => Some(tool),
        }
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(name) => write!(f, "host:{name}"),
            Self::Process(pid) => pid.fmt(f),
            Self::Tool { pid, tool } => write!(f, "{pid}/{tool}"),
        }
    }
}

/// Where an operation stands in its process's quantum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
// The steps under one operation stand together, in the order of submission.
#[derive(PartialOrd, Ord)]
pub struct Step {
    /// The operation it is numbered under: the call of the tool that made it.
    pub parent: Option<OpId>,
    /// Its number there, from 1, in the order of submission.
    pub index: u32,
}

/// What was decided about an operation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It goes through, by these capabilities (none where it demands nothing).
    Allowed(Few<CapId>),
    /// A human is asked, because of these capabilities.
    Asked {
        /// The capabilities that say `ask`.
        by: Few<CapId>,
        /// The request.
        request: RequestId,
    },
    /// It is refused.
    Denied(Denial),
}

/// What happened to an operation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum OpEvent {
    /// It was admitted.
    Admitted {
        /// Its id.
        op: OpId,
        /// Who called.
        caller: Principal,
        /// Its place in the quantum, for a process; index 0 is the runtime's own bookkeeping.
        step: Step,
        /// The fingerprint of the call as it was submitted: a run that comes to this step again
        /// must submit the same.
        fingerprint: u64,
        /// The canonical call; large payloads by digest.
        call: Syscall,
    },
    /// It was decided.
    Decided {
        /// The operation.
        op: OpId,
        /// How.
        verdict: Verdict,
    },
    /// Its effect may start from here on: the intent.
    Dispatched {
        /// The operation, and the id of its effect.
        op: OpId,
    },
    /// It waits.
    Blocked {
        /// The operation.
        op: OpId,
        /// What for.
        wait: Wait,
    },
    /// It is over.
    Settled {
        /// The operation.
        op: OpId,
        /// What it ended in; large payloads by digest.
        outcome: Outcome,
    },
    /// It is about this generated tool, which the sandbox gets with it. The calls under a call of
    /// the tool are the tool's.
    Loaded {
        /// The operation.
        op: OpId,
        /// The tool.
        program: Arc<Program>,
    },
    /// It takes this content of an object, as it was when the call was about to be made.
    Drawn {
        /// The operation.
        op: OpId,
        /// The parts of the content; large ones by digest.
        parts: Arc<[Json]>,
    },
    /// It takes the excerpt that it names, as it was when the call was about to be made.
    Excerpted {
        /// The operation.
        op: OpId,
        /// The digest of the digests of the entries.
        digest: Digest,
    },
}

impl OpEvent {
    /// The operation it is about.
    #[must_use]
    pub fn op(&self) -> OpId {
        match self {
            Self::Admitted { op, .. }
            | Self::Decided { op, .. }
            | Self::Dispatched { op }
            | Self::Blocked { op, .. }
            | Self::Settled { op, .. }
            | Self::Loaded { op, .. }
            | Self::Drawn { op, .. }
            | Self::Excerpted { op, .. } => *op,
        }
    }
}

/// What happened to processes, mailboxes and timers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessEvent {
    /// A process was made.
    Spawned {
        /// Its id.
        pid: Pid,
        /// Its parent.
        parent: Option<Pid>,
        /// Its image.
        image: Arc<str>,
        /// What it is to achieve.
        goal: Text,
        /// Who plans for it.
        planner: PlannerSpec,
        /// The host folder behind its workspace.
        workspace: Option<Arc<str>>,
        /// Its working directory.
        cwd: FsPath,
        /// Its limits.
        budget: Box<Budget>,
        /// What the scheduling policy is told.
        schedule: Schedule,
        /// How it was forked, if it was.
        mode: Option<ForkMode>,
        /// The object that owns it, for a background task.
        owner: Option<ObjectId>,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// A run began.
    Started {
        /// The process.
        pid: Pid,
        /// The run.
        run: u64,
    },
    /// A quantum ended; its memo is dropped.
    Committed {
        /// The process.
        pid: Pid,
        /// What its planner keeps.
        state: Text,
    },
    /// It waits.
    Blocked {
        /// The process.
        pid: Pid,
        /// What for.
        wait: Wait,
    },
    /// It can run again.
    Readied {
        /// The process.
        pid: Pid,
    },
    /// A signal holds it.
    Paused {
        /// The process.
        pid: Pid,
        /// Whether the host sent it.
        by_host: bool,
    },
    /// A signal lets it go on.
    Resumed {
        /// The process.
        pid: Pid,
    },
    /// It ended.
    Ended {
        /// The process.
        pid: Pid,
        /// Its parent.
        parent: Option<Pid>,
        /// How.
        ending: Ending,
    },
    /// An operation of it is charged, to it and all above it. What may be estimated is set aside
    /// for the operation until it is settled.
    Charged {
        /// The process.
        pid: Pid,
        /// The operation.
        op: OpId,
        /// What.
        usage: Usage,
    },
    /// What was set aside for an operation turned out to be so much.
    Settled {
        /// The operation.
        op: OpId,
        /// What it used of what may be estimated.
        used: Usage,
    },
    /// A limit of it was raised.
    Extended {
        /// The process.
        pid: Pid,
        /// Which limit.
        kind: BudgetKind,
        /// By how much.
        by: u64,
    },
    /// It went on as another image.
    Execed {
        /// The process.
        pid: Pid,
        /// The image.
        image: Arc<str>,
        /// What it is to achieve.
        goal: Text,
        /// Who plans for it.
        planner: PlannerSpec,
    },
    /// It activated a tool group.
    Activated {
        /// The process.
        pid: Pid,
        /// The group.
        group: String,
    },
    /// It is asked to end: its waiting calls are cancelled.
    Cancelled {
        /// The process.
        pid: Pid,
    },
    /// It moved to another working directory.
    Moved {
        /// The process.
        pid: Pid,
        /// The folder.
        cwd: FsPath,
    },
    /// A message was put into a mailbox.
    Sent(Arc<Message>),
    /// Messages were taken out of a mailbox.
    Received {
        /// The process.
        pid: Pid,
        /// The messages.
        ids: Vec<crate::MessageId>,
    },
    /// Processes were kept as they are for a checkpoint, with their mail and their quanta.
    Saved {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The processes, parents before their children.
        processes: Vec<Pid>,
    },
    /// What was kept for a checkpoint was dropped.
    Forgotten {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// It is as it was kept for a checkpoint, but for what it has used.
    Rewound {
        /// The process.
        pid: Pid,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// A process that was just made goes on from what another had kept at a checkpoint.
    Copied {
        /// The process.
        pid: Pid,
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The other.
        from: Pid,
    },
}

/// A capability as it is made.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct NewCapability {
    /// Its id.
    pub id: CapId,
    /// The only process it works for.
    pub subject: Pid,
    /// What it says.
    pub grant: GrantSpec,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
    /// The capability it was cut from.
    pub parent: Option<CapId>,
    /// Where it came from.
    pub origin: Origin,
    /// For an approval: what it is tied to.
    pub binding: Option<Binding>,
}

impl NewCapability {
    /// What a parent and its child hold because they are: each may message the other. No event
    /// makes them; they are there once the child is known as one.
    #[must_use]
    pub fn kin(parent: Pid, child: Pid) -> [Self; 2] {
        let kin = |id, subject, other| {
            let on = Pattern::exact(&Resource::id("process", other));
            let rights = [Right::Write].into_iter().collect();
            Self {
                id,
                subject,
                grant: GrantSpec::allow(on, rights),
                expires_at_ms: None,
                parent: None,
                origin: Origin::Kernel,
                binding: None,
            }
        };
        [kin(CapId::of_parent(child), parent, child), kin(CapId::of_child(child), child, parent)]
    }
}

/// What happened to capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityEvent {
    /// One was made.
    Granted(Box<NewCapability>),
    /// One was taken back. Every one cut from it ends with it.
    Revoked {
        /// The capability.
        capability: CapId,
        /// Whose it was.
        subject: Pid,
        /// Why.
        reason: Option<String>,
    },
    /// An operation set uses, calls or sums aside.
    Reserved {
        /// The operation.
        op: OpId,
        /// What.
        charges: Vec<Charge>,
    },
    /// What an operation set aside was taken or given back.
    Settled {
        /// The operation.
        op: OpId,
        /// Whether it was given back.
        gave_back: bool,
    },
    /// A process ended, and its capabilities with it.
    SubjectEnded {
        /// The process.
        subject: Pid,
    },
    /// A process is a child of another: from now on the parent may hand authority on to it, and
    /// what bounds the parent bounds the child.
    ChildKnown {
        /// The parent.
        parent: Pid,
        /// The child.
        child: Pid,
    },
    /// A process, and all below it, is bounded.
    Bounded {
        /// The process.
        pid: Pid,
        /// By what.
        manifest: Manifest,
    },
    /// A process gave up all capabilities but those it keeps.
    Kept {
        /// The process.
        subject: Pid,
        /// What it gave up.
        dropped: Vec<CapId>,
    },
    /// What processes hold was noted for a checkpoint.
    Saved {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The processes.
        subjects: Vec<Pid>,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// What was noted for a checkpoint was dropped.
    Forgotten {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Processes came back to a checkpoint.
    Restored {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Those that had ended and live again.
        revived: Vec<Revived>,
        /// What was given since and is taken back.
        revoked: Vec<CapId>,
    },
    /// What bound a process at a checkpoint bounds another.
    BoundsCopied {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The one.
        from: Pid,
        /// The other.
        to: Pid,
    },
}

/// What happened to objects and namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectEvent {
    /// A namespace was made.
    NamespaceCreated {
        /// Its name.
        namespace: String,
        /// By whom; absent is the host.
        by: Option<Pid>,
    },
    /// An object was made.
    Created {
        /// Its id.
        id: ObjectId,
        /// Its type.
        r#type: Arc<str>,
        /// Its content.
        payload: Json,
        /// The digest of its content.
        digest: Digest,
        /// Where it is named.
        namespace: Option<Arc<str>>,
        /// Its name.
        name: Option<Arc<str>>,
        /// What it was made from.
        parents: Arc<[ObjectId]>,
        /// Words to find it by.
        tags: Arc<[String]>,
        /// Whether it never changes.
        immutable: bool,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// An object got a new version.
    Updated {
        /// The object.
        id: ObjectId,
        /// Its version now.
        version: u64,
        /// Its content.
        payload: Json,
        /// The digest of its content.
        digest: Digest,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// An object was removed.
    Deleted {
        /// The object.
        id: ObjectId,
    },
    /// An entry was appended to an object.
    Appended {
        /// The object.
        id: ObjectId,
        /// Its version now.
        version: u64,
        /// The entry.
        entry: Json,
        /// The digest of its content.
        digest: Digest,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// An object's payload was given up.
    Released {
        /// The object.
        id: ObjectId,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// An object moved into another process's memory.
    Moved {
        /// What it was.
        from: ObjectId,
        /// What it is now.
        to: ObjectId,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// Two objects were connected.
    Linked {
        /// Where the link begins.
        from: ObjectId,
        /// What it says.
        relation: Arc<str>,
        /// Where it ends.
        to: ObjectId,
    },
    /// A link was removed.
    Unlinked {
        /// Where it began.
        from: ObjectId,
        /// What it said.
        relation: Arc<str>,
        /// Where it ended.
        to: ObjectId,
    },
    /// A view was made.
    ViewMade {
        /// The view.
        id: ViewId,
        /// Whose it is.
        owner: Pid,
        /// Its objects.
        items: Arc<[ViewItem]>,
        /// The view it was made from.
        from: Option<ViewId>,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// A view was dropped.
    ViewDropped {
        /// The view.
        id: ViewId,
    },
    /// The memory of a process was copied for another.
    SpaceForked {
        /// Whose memory.
        from: Pid,
        /// For whom.
        to: Pid,
    },
    /// The memory of a process went into that of another.
    SpaceMerged {
        /// Whose memory.
        from: Pid,
        /// Into whose.
        into: Pid,
        /// What was done with what both had changed.
        on_conflict: OnConflict,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
    /// The memory of a process was dropped.
    SpaceDropped {
        /// Whose memory.
        space: Pid,
    },
    /// Memories were kept as they are for a checkpoint.
    SpacesSaved {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whose memories.
        spaces: Vec<Pid>,
    },
    /// What was kept for a checkpoint was dropped.
    SpacesForgotten {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Memories are as they were kept for a checkpoint.
    SpacesRestored {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The memories that were dropped.
        dropped: Vec<Pid>,
    },
    /// A memory was copied as it was kept for a checkpoint.
    SpaceCopied {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whose memory.
        from: Pid,
        /// For whom.
        to: Pid,
        /// Where that was a copy itself: the copy of what it was a copy of.
        base: Option<Pid>,
    },
    /// An object was made of the parts of a content, which are its appended entries.
    Collected {
        /// Its id.
        id: ObjectId,
        /// Its type.
        r#type: Arc<str>,
        /// Its parts.
        parts: Arc<[Json]>,
        /// The digest of its content.
        digest: Digest,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
    },
}

/// What happened to requests to humans.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HumanEvent {
    /// A request was made.
    Opened(Arc<Request>),
    /// A request was answered.
    Decided {
        /// The request.
        request: RequestId,
        /// The answer.
        decided: Decided,
    },
    /// Another operation waits for the same answer.
    Joined {
        /// The request.
        request: RequestId,
        /// Who.
        asker: Asker,
    },
    /// One of several that wait for an answer has ended.
    Left {
        /// The request.
        request: RequestId,
        /// Who.
        asker: Asker,
    },
    /// A request was cancelled with its process.
    Cancelled {
        /// The request.
        request: RequestId,
    },
    /// A human was told something.
    Output {
        /// By whom.
        pid: Option<Pid>,
        /// To whom.
        human: String,
        /// What.
        message: Text,
    },
}

/// What happened to images.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageEvent {
    /// One was registered, or replaced.
    Registered(Arc<Image>),
    /// One was removed.
    Unregistered {
        /// Its name.
        image: String,
    },
    /// A skill was registered, or replaced.
    SkillRegistered(Arc<Skill>),
    /// A skill was removed.
    SkillUnregistered {
        /// Its name.
        skill: String,
    },
}

/// What happened to subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriberEvent {
    /// A process subscribed.
    Subscribed {
        /// The process.
        pid: Pid,
        /// To what.
        subscription: Subscription,
    },
    /// A process ended a subscription.
    Unsubscribed {
        /// The process.
        pid: Pid,
        /// Which.
        subscription: Subscription,
    },
    /// A subscriber was told of something.
    Told {
        /// The process.
        pid: Pid,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
        /// What happened.
        what: Happened,
    },
    /// A process took what it was told.
    Taken {
        /// The process.
        pid: Pid,
        /// Up to this number.
        cursor: u64,
    },
    /// A process ended, and its subscriptions with it.
    Ended {
        /// The process.
        pid: Pid,
        /// How many it had.
        subscriptions: u64,
    },
}

/// What happened to checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointEvent {
    /// One was made.
    Created(CheckpointInfo),
    /// One was dropped.
    Dropped {
        /// Which.
        checkpoint: CheckpointId,
    },
}

/// What happened to generated tools.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolEvent {
    /// One was proposed, in place of one of the same name that is not registered.
    Proposed {
        /// Whose it is.
        pid: Pid,
        /// The digest of all of it.
        digest: Digest,
        /// The tool.
        tool: Arc<Definition>,
    },
    /// The sandbox looked at one.
    Validated {
        /// Whose it is.
        pid: Pid,
        /// What it found out.
        report: Arc<ToolReport>,
    },
    /// One can be called from now on.
    Registered {
        /// Whose it is.
        pid: Pid,
        /// Its name.
        name: String,
    },
    /// One was removed.
    Unregistered {
        /// Whose it was.
        pid: Pid,
        /// Its name.
        name: String,
    },
    /// The registered ones of a process were copied for another.
    Carried {
        /// Whose they are.
        from: Pid,
        /// For whom.
        to: Pid,
    },
    /// All of a process were dropped.
    Ended {
        /// The process.
        pid: Pid,
    },
    /// Those of processes were kept for a checkpoint.
    Saved {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whose they are.
        processes: Vec<Pid>,
    },
    /// What was kept for a checkpoint was dropped.
    Forgotten {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// They are as they were kept.
    Restored {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Those kept of a process were copied for another.
    Copied {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whose they are.
        from: Pid,
        /// For whom.
        to: Pid,
    },
    /// A process took up a skill, in place of one of the same name.
    SkillActivated {
        /// The process.
        pid: Pid,
        /// The skill.
        skill: ActiveSkill,
    },
    /// A process put down a skill.
    SkillUnloaded {
        /// The process.
        pid: Pid,
        /// Its name.
        skill: String,
    },
}

/// What happened to data labels. What else happens to them follows from other events: a copy of a
/// memory has the labels of the memory, and what is gone has none.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelEvent {
    /// Something has this label from now on.
    Set {
        /// What.
        what: Labelled,
        /// Its label.
        label: Label,
    },
}

macro_rules! into_event {
    ($($variant:ident($type:ident)),*) => {$(
        impl From<$type> for Event {
            fn from(event: $type) -> Self {
                Self::$variant(event)
            }
        }
    )*};
}
into_event!(
    Op(OpEvent),
    Process(ProcessEvent),
    Capability(CapabilityEvent),
    Object(ObjectEvent),
    Human(HumanEvent),
    Image(ImageEvent),
    Subscriber(SubscriberEvent),
    Checkpoint(CheckpointEvent),
    Tool(ToolEvent),
    Label(LabelEvent)
);
