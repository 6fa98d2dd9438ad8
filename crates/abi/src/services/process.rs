//! Processes: launch, spawn, wait, end.

use std::sync::Arc;

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CapId, CheckpointId, Folder, FsPath, GrantSpec, Json, Manifest, Millis, ObjectId, OpId, Pid,
    RequestId, Resource, Text,
    call::service,
    checkpoint::{Forked as Copies, Made as Recalled, ProcessChanges, Rewound, Subtree},
    field::opaque,
};

record! {
    /// Who plans for a process: a kind the host has composed in, and its program.
    pub struct PlannerSpec {
        /// The planner: `script`, `workflow`, ...
        pub kind: Arc<str>,
        /// What it runs, in the planner's own form.
        pub program: Text,
    }

    /// Limits of a process and all below it. Absent is without limit.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct Budget {
        /// System calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub syscalls: Option<u64>,
        /// Calls of tools.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub tool_calls: Option<u64>,
        /// Time since the process began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub wall: Option<Millis>,
        /// Processes below it, over its life.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub children: Option<u64>,
        /// Bytes moved in and out by effects: files read and written, output of programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub bytes: Option<u64>,
        /// Tokens of models, in and out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub tokens: Option<u64>,
        /// Money, in millionths of the unit that the host counts in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cost: Option<u64>,
    }

    /// What a process and all below it have used, what is set aside for calls under way included.
    #[derive(Default, Copy)]
    pub struct Usage {
        /// System calls.
        pub syscalls: u64,
        /// Calls of tools.
        pub tool_calls: u64,
        /// Processes started below it.
        pub children: u64,
        /// Bytes moved in and out by effects.
        pub bytes: u64,
        /// Tokens of models.
        pub tokens: u64,
        /// Money, in millionths.
        pub cost: u64,
    }

    /// What a scheduling policy is told of a process. A child is never ahead of its parent: its
    /// weight is at most its parent's, its deadline no earlier.
    #[derive(Default, Copy)]
    #[serde(deny_unknown_fields)]
    pub struct Schedule {
        /// Its share against others, from 1; 100 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub weight: Option<u32>,
        /// By when it should be done, counted from when it was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub deadline: Option<Millis>,
    }

    /// A process as its parent and the host see it.
    pub struct ProcessInfo {
        /// Its id.
        pub pid: Pid,
        /// Its parent; the root of a task has none.
        pub parent: Option<Pid>,
        /// The root of its task.
        pub root: Pid,
        /// The image it was made from.
        pub image: String,
        /// What it is to achieve.
        pub goal: Text,
        /// Its state.
        pub state: ProcessState,
        /// What it waits for, when waiting.
        pub wait: Option<Wait>,
        /// Its working directory.
        pub cwd: FsPath,
        /// The host folder behind `fs:workspace`, shown to the host only.
        pub workspace: Option<String>,
        /// The kind of its planner.
        pub planner: String,
        /// Its limits.
        pub budget: Budget,
        /// What it has used.
        pub usage: Usage,
        /// When it began, in milliseconds since the epoch.
        pub started_at_ms: u64,
        /// How it ended.
        pub ending: Option<Ending>,
        /// How it was forked, if it was.
        pub mode: Option<ForkMode>,
        /// The object that owns it, for a background task.
        pub owner: Option<ObjectId>,
        /// Messages that it has not taken.
        pub unread: u32,
        /// The tool groups it has activated.
        pub tool_groups: Vec<String>,
    }

    /// How a process ended.
    pub struct Ending {
        /// Exited, failed or killed.
        pub state: ProcessState,
        /// The object it leaves as its result.
        pub result: Option<ObjectId>,
        /// What it, or whoever ended it, said.
        pub message: Option<String>,
        /// The code of the error it failed with, as in `denied`.
        pub code: Option<String>,
        /// When, in milliseconds since the epoch.
        pub at_ms: u64,
    }

    /// What a waiting process waits for.
    pub struct Wait {
        /// The thing.
        pub on: WaitOn,
        /// When it gives up, in milliseconds since the epoch.
        pub until_ms: Option<u64>,
    }

    /// A process that was made.
    pub struct Made {
        /// Its id.
        pub pid: Pid,
        /// Its capabilities, in the order of the grants asked for.
        pub capabilities: Vec<CapId>,
    }

    /// How a child ended.
    pub struct ChildEnding {
        /// The child.
        pub pid: Pid,
        /// Its state.
        pub state: ProcessState,
        /// The object it left as its result. The parent may read it.
        pub result: Option<ObjectId>,
        /// What it said.
        pub message: Option<String>,
        /// The code of the error it failed with, as in `denied`.
        pub code: Option<String>,
    }

    /// Processes.
    pub struct Processes {
        /// In the order of their ids.
        pub processes: Vec<ProcessInfo>,
        /// The last of them, where there are more behind it.
        pub more_after: Option<Pid>,
    }

    /// The state of a process.
    pub struct StateReply {
        /// Its state after the call.
        pub state: ProcessState,
    }

    /// The tool groups that a process has activated.
    pub struct ToolGroups {
        /// In the order of their activation.
        pub groups: Vec<String>,
    }

    /// A working directory.
    pub struct Cwd {
        /// Canonical: the mount first.
        pub path: FsPath,
    }

    /// Where an object of a child went.
    #[derive(Copy)]
    pub struct Adopted {
        /// What it was.
        pub from: ObjectId,
        /// What it is now.
        pub to: ObjectId,
    }

    /// What a merge brought into the caller's memory.
    pub struct Merged {
        /// New objects.
        pub adopted: Vec<Adopted>,
        /// Objects of the caller that took the child's version.
        pub updated: Vec<ObjectId>,
        /// Objects that both had changed and that kept the caller's version.
        pub kept: Vec<ObjectId>,
    }

    /// What was dropped.
    #[derive(Copy)]
    pub struct Discarded {
        /// How many objects.
        pub objects: u64,
    }

    /// What the broker needs to know of a caller.
    pub struct Admission {
        /// The root of its task.
        pub root: Pid,
        /// Its ancestors, nearest first.
        pub ancestors: Arc<[Pid]>,
        /// Its image.
        pub image: Arc<str>,
        /// Its working directory.
        pub cwd: FsPath,
        /// The host folder behind its workspace mount.
        pub workspace: Option<Arc<str>>,
        /// Its quantum.
        pub quantum: u64,
        /// The tool groups it has activated.
        pub tool_groups: Arc<[Arc<str>]>,
        /// Whether an interrupt waits in its mailbox.
        pub interrupted: bool,
    }

    /// A process that is to run now.
    pub struct RunOrder {
        /// The process.
        pub pid: Pid,
        /// The number of this run; every message of the run carries it.
        pub run: u64,
        /// Its quantum.
        pub quantum: u64,
        /// Its planner.
        pub planner: PlannerSpec,
        /// What its planner kept at the end of the last quantum.
        pub state: Text,
    }
}

/// The state of a process.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Hash, PartialOrd, Ord)]
pub enum ProcessState {
    /// It can run.
    Runnable,
    /// It runs.
    Running,
    /// It waits; see its wait.
    Waiting,
    /// A signal holds it.
    Paused,
    /// It ended well.
    Exited,
    /// It ended badly.
    Failed,
    /// It was ended.
    Killed,
}

/// The thing a process waits for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Hash, PartialOrd, Ord)]
pub enum WaitOn {
    /// That a child ends.
    Child(Pid),
    /// A message in its mailbox.
    Message(Pid),
    /// A human's answer.
    Human(RequestId),
    /// A point in time only.
    Time,
    /// An event that the process subscribes to.
    Event(Pid),
}

/// How a forked process stands to the memory of its parent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum ForkMode {
    /// It reads the parent's objects and changes none of them.
    Worker,
    /// It has a copy of the parent's memory of its own, which costs nothing until it is changed.
    Copy,
    /// The same, to be merged into the parent's memory or dropped when it has ended.
    Speculative,
}

/// What a merge does with an object that parent and child have both changed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Default)]
pub enum OnConflict {
    /// Refuse the merge; nothing is changed.
    #[default]
    Fail,
    /// Take the child's version.
    Child,
    /// Keep the parent's version.
    Parent,
}

/// What a budget counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy, Hash, PartialOrd, Ord)]
pub enum BudgetKind {
    /// System calls.
    Syscalls,
    /// Calls of tools.
    ToolCalls,
    /// Milliseconds since the process began.
    Wall,
    /// Processes below it.
    Children,
    /// Bytes moved by effects.
    Bytes,
    /// Tokens of models.
    Tokens,
    /// Money, in millionths.
    Cost,
}

impl BudgetKind {
    /// What one of it is called, in the plural.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Syscalls => "system calls",
            Self::ToolCalls => "tool calls",
            Self::Wall => "milliseconds",
            Self::Children => "children",
            Self::Bytes => "bytes",
            Self::Tokens => "tokens",
            Self::Cost => "millionths of money",
        }
    }
}

impl Budget {
    /// The limit of a kind.
    #[must_use]
    pub fn limit(&self, kind: BudgetKind) -> Option<u64> {
        match kind {
            BudgetKind::Syscalls => self.syscalls,
            BudgetKind::ToolCalls => self.tool_calls,
            BudgetKind::Wall => self.wall.map(|wall| wall.0),
            BudgetKind::Children => self.children,
            BudgetKind::Bytes => self.bytes,
            BudgetKind::Tokens => self.tokens,
            BudgetKind::Cost => self.cost,
        }
    }

    /// These limits, and those of another where these say nothing.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            syscalls: self.syscalls.or(other.syscalls),
            tool_calls: self.tool_calls.or(other.tool_calls),
            wall: self.wall.or(other.wall),
            children: self.children.or(other.children),
            bytes: self.bytes.or(other.bytes),
            tokens: self.tokens.or(other.tokens),
            cost: self.cost.or(other.cost),
        }
    }

    /// Raises the limit of a kind, where there is one.
    pub fn raise(&mut self, kind: BudgetKind, by: u64) {
        let limit = match kind {
            BudgetKind::Syscalls => &mut self.syscalls,
            BudgetKind::ToolCalls => &mut self.tool_calls,
            BudgetKind::Wall => {
                self.wall = self.wall.map(|wall| Millis(wall.0.saturating_add(by)));
                return;
            }
            BudgetKind::Children => &mut self.children,
            BudgetKind::Bytes => &mut self.bytes,
            BudgetKind::Tokens => &mut self.tokens,
            BudgetKind::Cost => &mut self.cost,
        };
        *limit = limit.map(|limit| limit.saturating_add(by));
    }
}

impl Usage {
    /// What was used of a kind; of time nothing is counted.
    #[must_use]
    pub fn of(&self, kind: BudgetKind) -> u64 {
        match kind {
            BudgetKind::Syscalls => self.syscalls,
            BudgetKind::ToolCalls => self.tool_calls,
            BudgetKind::Wall => 0,
            BudgetKind::Children => self.children,
            BudgetKind::Bytes => self.bytes,
            BudgetKind::Tokens => self.tokens,
            BudgetKind::Cost => self.cost,
        }
    }

    /// Both together. Sums stop at the largest number, so a limit once reached stays reached.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        self.each(more, u64::saturating_add)
    }

    /// What is left of it without `less`.
    #[must_use]
    pub fn minus(self, less: Self) -> Self {
        self.each(less, u64::saturating_sub)
    }

    fn each(self, other: Self, sum: fn(u64, u64) -> u64) -> Self {
        Self {
            syscalls: sum(self.syscalls, other.syscalls),
            tool_calls: sum(self.tool_calls, other.tool_calls),
            children: sum(self.children, other.children),
            bytes: sum(self.bytes, other.bytes),
            tokens: sum(self.tokens, other.tokens),
            cost: sum(self.cost, other.cost),
        }
    }

    /// What a provider may turn out to have used otherwise: this is set aside first and settled
    /// with the outcome.
    #[must_use]
    pub fn estimated(self) -> Self {
        Self { bytes: self.bytes, tokens: self.tokens, cost: self.cost, ..Self::default() }
    }

    /// What is paid for: it is counted whether a limit counts it or not.
    #[must_use]
    pub fn paid(self) -> Self {
        Self { tokens: self.tokens, cost: self.cost, ..Self::default() }
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum Signal {
    /// Hold it.
    Pause,
    /// Let it go on.
    Resume,
    /// End it, and all below it, at once.
    Terminate,
    /// Ask it to end by itself: what it waits for is cancelled, and it is interrupted.
    Cancel,
}

impl ProcessState {
    /// Whether the process has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Exited | Self::Failed | Self::Killed)
    }
}

opaque!(
    Budget,
    Usage,
    Schedule,
    ProcessState,
    Wait,
    Signal,
    Ending,
    ForkMode,
    OnConflict,
    BudgetKind,
    Adopted,
    Merged,
    Discarded,
);
crate::field::carries_texts! {
    PlannerSpec { program }
    ProcessInfo { goal }
    Processes { processes }
    RunOrder { planner, state }
    Made {}
    ChildEnding {}
    StateReply {}
    ToolGroups {}
    Cwd {}
    Admission {}
}

service! {
    /// Processes: launch, spawn, wait, end.
    service process = 1;
    failures {
        /// The process named is not a child of the caller.
        1 "not_a_child" NotAChild;
        /// The image named is not registered.
        2 "unknown_image" UnknownImage;
        /// The process named has ended already.
        3 "already_ended" AlreadyEnded;
        /// The time given to wait has passed.
        4 "timed_out" TimedOut;
        /// A host's pause can be lifted by the host only.
        5 "held_by_host" HeldByHost;
        /// No process of this id exists.
        6 "not_found" NotFound;
        /// The process named has not ended yet.
        7 "still_running" StillRunning;
        /// Parent and child have both changed an object.
        8 "merge_conflict" MergeConflict;
        /// The image has no tool group of this name.
        9 "unknown_group" UnknownGroup;
        /// The caller has not handed on or does not hold what it wants to keep.
        10 "not_held" NotHeld;
    }

    /// Makes the root process of a task.
    1 launch Launch as Box {
        /// The image it is made from.
        image: String,
        /// What it is to achieve.
        goal: Text,
        /// The host folder to mount as `fs:workspace`.
        workspace: Option<String>,
        /// Who plans for it.
        planner: PlannerSpec,
        /// Its authority.
        grants: Vec<GrantSpec>,
        /// Its limits.
        budget: Budget,
        /// What bounds the task as a whole; absent is without bounds.
        manifest: Option<Manifest>,
        /// What the scheduling policy is told.
        schedule: Option<Schedule>,
    } -> Made
    { demand: [host]; effect: State; fails: [UnknownImage]; }

    /// Makes a child. Its authority is cut from the caller's and can only be narrower; denials and
    /// questions that bind the caller bind the child too. Parent and child may message each other.
    2 spawn Spawn as Box {
        /// What it is to achieve.
        goal: Text,
        /// The image it is made from; the caller's if absent.
        image: Option<String>,
        /// Who plans for it; the image's default if absent.
        planner: Option<PlannerSpec>,
        /// What it may do; nothing if absent.
        grants: Option<Vec<GrantSpec>>,
        /// Its working directory.
        cwd: Folder,
        /// Its limits, within the caller's.
        budget: Option<Budget>,
        /// What bounds it further; the caller's bounds hold in any case.
        manifest: Option<Manifest>,
        /// What the scheduling policy is told.
        schedule: Option<Schedule>,
    } -> Made
    { demand: [Write on process by |_| Resource::named("process", "spawn")]; effect: State;
      fails: [UnknownImage]; }

    /// Waits until a child has ended and tells how. The caller may read the result it left.
    3 wait WaitChild {
        /// The child.
        pid: Pid,
        /// How long to wait; absent is without limit, 0 not at all.
        timeout_ms: Option<Millis>,
    } -> ChildEnding
    { demand: [own]; effect: State; fails: [NotAChild TimedOut]; }

    /// Ends the caller (of the host: any process), and nothing below it.
    4 exit Exit {
        /// The object it leaves as its result; the caller must be able to read it.
        result: Option<ObjectId>,
        /// A last word.
        message: Option<String>,
        /// Whether it ends badly.
        failed: Option<bool>,
        /// The code of the error it failed with, as in `denied`.
        code: Option<String>,
        /// The process, for the host; the caller if absent.
        pid: Option<Pid>,
    } -> StateReply
    { demand: [Read on object by |c| c.result.map(Resource::object)];
      effect: State; fails: []; }

    /// Holds, releases, cancels or ends a child (of the host: any process).
    5 signal SendSignal {
        /// The process.
        pid: Pid,
        /// The signal.
        signal: Signal,
        /// Why.
        reason: Option<String>,
    } -> StateReply
    { demand: [own]; effect: State; fails: [NotAChild AlreadyEnded HeldByHost]; }

    /// Lists the caller's children (of the host: every process), a part at a time.
    6 list List {
        /// Behind this one, to go on.
        after: Option<Pid>,
        /// Only those that have not ended; false if absent.
        live: Option<bool>,
        /// How many at most; 256 if absent and at the most.
        limit: Option<u32>,
    } -> Processes
    { demand: [own]; effect: State; fails: []; }

    /// Shows one process: the caller, or a child (of the host: any).
    7 inspect Inspect {
        /// The process.
        pid: Pid,
    } -> ProcessInfo as Box
    { demand: [own]; effect: State; fails: [NotAChild NotFound]; }

    /// Tells the working directory.
    8 cwd GetCwd {} -> Cwd
    { demand: [own]; effect: State; fails: []; }

    /// Moves to another working directory. It need not exist yet: the next call that uses it tells.
    9 chdir Chdir {
        /// The folder.
        path: FsPath,
    } -> Cwd
    { demand: [Read on fs by |c| c.path.resource()]; effect: State; fails: []; }

    /// Ends the quantum: what the planner keeps is recorded, finished steps are forgotten.
    10 commit Commit {
        /// What the planner needs to go on.
        state: Text,
    } -> StateReply
    { demand: [own]; effect: State; fails: []; }

    /// Makes a child that shares the caller's memory, image and folder as `mode` says, and gets
    /// only the authority that is listed. Costs the same whatever the caller holds in memory.
    11 fork Fork as Box {
        /// What it is to achieve.
        goal: Text,
        /// How it stands to the caller's memory.
        mode: ForkMode,
        /// For a worker: the objects it may read; all of the caller's if absent.
        roots: Option<Vec<ObjectId>>,
        /// Who plans for it; the caller's planner with its program if absent.
        planner: Option<PlannerSpec>,
        /// What it may do besides; nothing if absent.
        grants: Option<Vec<GrantSpec>>,
        /// Its working directory.
        cwd: Folder,
        /// Its limits, within the caller's.
        budget: Option<Budget>,
        /// What bounds it further.
        manifest: Option<Manifest>,
        /// What the scheduling policy is told.
        schedule: Option<Schedule>,
        /// The process, for the host; the caller if absent.
        pid: Option<Pid>,
    } -> Made
    { demand: [Write on process by |_| Resource::named("process", "spawn")]; effect: State;
      fails: []; }

    /// Goes on as another image. Authority only shrinks: what is not kept is given up for good,
    /// denials and questions stay. The quantum ends; the new planner begins with nothing kept.
    12 exec Exec as Box {
        /// The image.
        image: String,
        /// What it is to achieve; the goal it has if absent.
        goal: Option<Text>,
        /// Who plans for it; the image's default if absent.
        planner: Option<PlannerSpec>,
        /// The capabilities to keep, besides those over its own memory, children and parent.
        keep: Option<Vec<CapId>>,
        /// Whether to keep its objects; true if absent.
        keep_objects: Option<bool>,
        /// The process, for the host; the caller if absent.
        pid: Option<Pid>,
    } -> StateReply
    { demand: [Execute on image by |c| Resource::named("image", &c.image)]; effect: State;
      fails: [UnknownImage NotHeld]; }

    /// Starts one call of a tool in the background, as a child that an object owns: it ends when
    /// the object is removed. `process.wait` tells its result, `process.signal` cancels it.
    13 start_task StartTask as Box {
        /// The object that owns it.
        owner: ObjectId,
        /// The tool.
        tool: String,
        /// Its arguments.
        args: Json,
        /// What it may do; nothing if absent.
        grants: Option<Vec<GrantSpec>>,
        /// Its limits, within the caller's.
        budget: Option<Budget>,
    } -> Made
    { demand: [Write on process by |c| vec![
        Resource::named("process", "spawn"), Resource::object(c.owner)]];
      effect: State; fails: []; }

    /// Lists the background tasks that an object owns.
    14 tasks ListTasks {
        /// The object.
        owner: ObjectId,
    } -> Processes
    { demand: [Read on object by |c| Resource::object(c.owner)]; effect: State; fails: []; }

    /// Takes the objects of a child that has ended into the caller's memory. Of a child that was
    /// forked with a copy, what it changed replaces the caller's version.
    15 merge Merge {
        /// The child.
        pid: Pid,
        /// What to do with what both have changed; `fail` if absent.
        on_conflict: Option<OnConflict>,
    } -> Merged
    { demand: [own]; effect: State; fails: [NotAChild StillRunning MergeConflict]; }

    /// Drops the objects of a child that has ended.
    16 discard Discard {
        /// The child.
        pid: Pid,
    } -> Discarded
    { demand: [own]; effect: State; fails: [NotAChild StillRunning]; }

    /// Shows the caller the tools of a group of its image from now on. Showing grants nothing.
    17 activate_tools ActivateTools {
        /// The group.
        group: String,
    } -> ToolGroups
    { demand: [own]; effect: State; fails: [UnknownGroup]; }

    /// Admits a caller's message: it lives, the run is current, the budget holds. What the call
    /// may use is charged, to the caller and all above it.
    32 admit Admit {
        /// The caller.
        pid: Pid,
        /// The run the message belongs to; 0 for an operation that was admitted before: then the
        /// run is not checked.
        run: u64,
        /// What the call may use.
        charge: Usage,
    } -> Admission as Arc
    { demand: [kernel]; effect: State; fails: []; }

    /// Records that a process waits.
    33 block Block {
        /// The process.
        pid: Pid,
        /// What for.
        wait: Wait,
    } -> StateReply
    { demand: [kernel]; effect: State; fails: []; }

    /// Records that a waiting process can run again.
    34 ready Ready {
        /// The process.
        pid: Pid,
    } -> StateReply
    { demand: [kernel]; effect: State; fails: []; }

    /// Takes the next process to run, by the scheduling policy.
    35 next Next {} -> Option<RunOrder>
    { demand: [kernel]; effect: State; fails: []; }

    /// Puts every process that was running when the host ended back among the runnable.
    36 recover Recover {} -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Settles what was set aside for an operation with what it used.
    37 settle Settle {
        /// The operation.
        op: OpId,
        /// What it used of what may be estimated; absent is all that was set aside.
        used: Option<Usage>,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Raises a limit of a process, on a human's word.
    38 extend Extend {
        /// The process.
        pid: Pid,
        /// Which limit.
        kind: BudgetKind,
        /// By how much.
        by: u64,
    } -> ()
    { demand: [kernel]; effect: State; fails: [NotFound]; }

    /// Ends the background tasks of an object that was removed.
    39 end_tasks EndTasks {
        /// The object.
        owner: ObjectId,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Keeps a process and all below it for a checkpoint, with their mail.
    40 save Save {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> Subtree
    { demand: [kernel]; effect: State; fails: [NotFound]; }

    /// Tells which processes are not as they were kept.
    41 compare Compare {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> ProcessChanges
    { demand: [kernel]; effect: State; fails: []; }

    /// Drops what was kept for a checkpoint.
    42 forget Forget {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Has the processes of a checkpoint be as they were kept; those made since end.
    43 restore Restore {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> Rewound
    { demand: [kernel]; effect: State; fails: []; }

    /// Makes new processes as they were kept.
    44 copy_saved CopySaved {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The parent of the first.
        parent: Option<Pid>,
    } -> Copies
    { demand: [kernel]; effect: State; fails: [NotFound]; }

    /// Tells what the process of a checkpoint was made of.
    45 recall Recall {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> Recalled
    { demand: [kernel]; effect: State; fails: [NotFound]; }
}
