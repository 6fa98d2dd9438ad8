//! Processes: launch, spawn, wait, end.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CapId, Folder, FsPath, GrantSpec, Millis, ObjectId, Pid, RequestId, Resource, Text,
    call::service, field::opaque,
};

record! {
    /// Who plans for a process: a kind the host has composed in, and its program.
    pub struct PlannerSpec {
        /// The planner: `script`, `workflow`, ...
        pub kind: String,
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
        /// Time since the process began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub wall: Option<Millis>,
        /// Processes below it, over its life.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub children: Option<u64>,
    }

    /// What a process and all below it have used.
    #[derive(Default, Copy)]
    pub struct Usage {
        /// System calls.
        pub syscalls: u64,
        /// Processes started below it.
        pub children: u64,
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
    }

    /// The state of a process.
    pub struct StateReply {
        /// Its state after the call.
        pub state: ProcessState,
    }

    /// A working directory.
    pub struct Cwd {
        /// Canonical: the mount first.
        pub path: FsPath,
    }

    /// What the broker needs to know of a caller.
    pub struct Admission {
        /// The root of its task.
        pub root: Pid,
        /// Its ancestors, nearest first.
        pub ancestors: Vec<Pid>,
        /// Its image.
        pub image: String,
        /// Its working directory.
        pub cwd: FsPath,
        /// The host folder behind its workspace mount.
        pub workspace: Option<String>,
        /// Its quantum.
        pub quantum: u64,
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
#[derive(Hash, PartialOrd, Ord)]
pub enum WaitOn {
    /// That a child ends.
    Child(Pid),
    /// A message in its mailbox.
    Message(Pid),
    /// A human's answer.
    Human(RequestId),
    /// A point in time only.
    Time,
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
    /// End it.
    Terminate,
}

impl ProcessState {
    /// Whether the process has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Exited | Self::Failed | Self::Killed)
    }
}

opaque!(Budget, Usage, ProcessState, Wait, Signal, Ending);
crate::field::carries_texts! {
    PlannerSpec { program }
    ProcessInfo { goal }
    Processes { processes }
    RunOrder { planner, state }
    Made {}
    ChildEnding {}
    StateReply {}
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
    }

    /// Makes the root process of a task.
    1 launch Launch {
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
    } -> Made
    { demand: [host]; effect: State; fails: [UnknownImage]; }

    /// Makes a child. Its authority is cut from the caller's and can only be narrower; denials and
    /// questions that bind the caller bind the child too. Parent and child may message each other.
    2 spawn Spawn {
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

    /// Ends the caller.
    4 exit Exit {
        /// The object it leaves as its result; the caller must be able to read it.
        result: Option<ObjectId>,
        /// A last word.
        message: Option<String>,
        /// Whether it ends badly.
        failed: Option<bool>,
        /// The code of the error it failed with, as in `denied`.
        code: Option<String>,
    } -> StateReply
    { demand: [Read on object by |c| c.result.map(|id| Resource::id("object", id))];
      effect: State; fails: []; }

    /// Holds, releases or ends a child (of the host: any process).
    5 signal SendSignal {
        /// The process.
        pid: Pid,
        /// The signal.
        signal: Signal,
        /// Why.
        reason: Option<String>,
    } -> StateReply
    { demand: [own]; effect: State; fails: [NotAChild AlreadyEnded HeldByHost]; }

    /// Lists the caller's children (of the host: every process).
    6 list List {} -> Processes
    { demand: [own]; effect: State; fails: []; }

    /// Shows one process: the caller, or a child (of the host: any).
    7 inspect Inspect {
        /// The process.
        pid: Pid,
    } -> ProcessInfo
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

    /// Admits a caller's message: it lives, the run is current, the budget holds.
    32 admit Admit {
        /// The caller.
        pid: Pid,
        /// The run the message belongs to; 0 for an operation that was admitted before: then the
        /// run is not checked and nothing is charged.
        run: u64,
    } -> Admission
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
    36 recover Recover {} -> Processes
    { demand: [kernel]; effect: State; fails: []; }
}
