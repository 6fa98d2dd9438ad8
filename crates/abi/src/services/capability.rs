//! Capabilities: look, hand on, take back, explain.

use crate::{
    Binding, CapId, CapabilityInfo, CheckpointId, DenyReason, Effect, GrantSpec, Manifest, Need,
    OpId, Origin, Pattern, Pid, Resource, Right, Rights,
    call::service,
    checkpoint::{CapabilityChanges, Copied, Held, Kept, Revived},
    field::opaque,
};

record! {
    /// Capabilities.
    pub struct Capabilities {
        /// In the order of their ids.
        pub capabilities: Vec<CapabilityInfo>,
    }

    /// A capability that was made.
    pub struct Granted {
        /// Its id.
        pub capability: CapId,
    }

    /// Capabilities that were made.
    pub struct GrantedAll {
        /// In the order asked for.
        pub capabilities: Vec<CapId>,
    }

    /// Capabilities that were taken back.
    pub struct Revoked {
        /// The one named and every one cut from it.
        pub capabilities: Vec<CapId>,
    }

    /// Why a right over a resource would be allowed, asked about or denied.
    pub struct Explanation {
        /// The right and the resource.
        pub need: Need,
        /// What would be decided for a call without conditions on arguments.
        pub effect: Effect,
        /// Why, when it would be denied.
        pub reason: Option<DenyReason>,
        /// Every capability of the subject that speaks of it, in the order they were weighed.
        pub weighed: Vec<CapabilityInfo>,
        /// In words, with what would have to be granted.
        pub text: String,
    }

    /// Whether a process may do something.
    #[derive(Copy)]
    pub struct MayReply {
        /// Whether it may.
        pub allowed: bool,
    }

    /// What one call takes from a finite capability.
    pub struct Charge {
        /// The capability.
        pub capability: CapId,
        /// Uses taken (0 or 1).
        pub uses: u32,
        /// Calls taken (0 or 1).
        pub calls: u64,
        /// Amounts taken from its sums, by argument.
        pub sums: Vec<Sum>,
    }

    /// An amount taken from a sum.
    pub struct Sum {
        /// The argument.
        pub arg: String,
        /// The amount.
        pub amount: u64,
    }
}

opaque!(Charge, Explanation, Capabilities, Granted, GrantedAll, Revoked, MayReply);

service! {
    /// Capabilities: look, hand on, take back, explain.
    service capability = 4;
    failures {
        /// No capability of this id that the caller may see.
        1 "not_found" NotFound;
        /// The grant is malformed: a condition on an argument that no matching call has, of the
        /// wrong type, a regular expression that does not compile, or too much of something.
        2 "bad_grant" BadGrant;
        /// The process to receive it is not a child of the caller, or has ended.
        3 "not_a_child" NotAChild;
        /// The manifest of the task, or of a process above, does not foresee it.
        4 "outside_manifest" OutsideManifest;
    }

    /// Lists the caller's capabilities (of the host: a process's, or all).
    1 list List {
        /// The process, for the host.
        pid: Option<Pid>,
        /// Those out of force too.
        all: Option<bool>,
    } -> Capabilities
    { demand: [own]; effect: State; fails: []; }

    /// Shows one of the caller's capabilities (of the host: any).
    2 inspect Inspect {
        /// The capability.
        capability: CapId,
    } -> CapabilityInfo
    { demand: [own]; effect: State; fails: [NotFound]; }

    /// Hands part of the caller's authority to a child. Only ever narrower.
    3 delegate Delegate {
        /// The child.
        to: Pid,
        /// What.
        grant: GrantSpec,
    } -> Granted
    { demand: [own]; effect: State; fails: [BadGrant NotAChild OutsideManifest]; }

    /// Takes a capability back, and every one cut from it: one that the caller handed on (of the
    /// host: any).
    4 revoke Revoke {
        /// The capability.
        capability: CapId,
        /// Why.
        reason: Option<String>,
    } -> Revoked
    { demand: [own]; effect: State; fails: [NotFound]; }

    /// Grants a process authority, on the host's word.
    5 grant Grant {
        /// The process.
        to: Pid,
        /// What.
        grant: GrantSpec,
    } -> Granted
    { demand: [host]; effect: State; fails: [BadGrant OutsideManifest]; }

    /// Explains what would be decided, and why.
    6 explain Explain {
        /// The process, for the host; the caller if absent.
        pid: Option<Pid>,
        /// The right.
        right: Right,
        /// The resource.
        on: Resource,
    } -> Explanation
    { demand: [own]; effect: State; fails: []; }

    /// Cuts a new child's authority from its parent's: each grant must be covered by what the
    /// parent may delegate; the parent's denials and questions that overlap come along.
    32 derive Derive {
        /// The parent.
        parent: Pid,
        /// The child.
        child: Pid,
        /// What the child is to get.
        grants: Vec<GrantSpec>,
    } -> GrantedAll
    { demand: [kernel]; effect: State; fails: [BadGrant OutsideManifest]; }

    /// Makes a capability on the kernel's word.
    33 issue Issue {
        /// The subject.
        to: Pid,
        /// What.
        grant: GrantSpec,
        /// Where it comes from.
        origin: Origin,
        /// For an approval: what it is tied to.
        binding: Option<Binding>,
    } -> Granted
    { demand: [kernel]; effect: State; fails: [BadGrant OutsideManifest]; }

    /// Sets aside what an operation takes from finite capabilities.
    34 reserve Reserve {
        /// The operation.
        op: OpId,
        /// What it takes.
        charges: Vec<Charge>,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Takes what was set aside for an operation, or gives it back when nothing began.
    35 settle Settle {
        /// The operation.
        op: OpId,
        /// Whether it is given back.
        give_back: bool,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Ends every capability of a process that has ended.
    36 end End {
        /// The process.
        subject: Pid,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Bounds a process that was just made: by its own manifest, and by those that bind its
    /// parent.
    37 bound Bound {
        /// The process.
        pid: Pid,
        /// Its parent.
        parent: Option<Pid>,
        /// Its own manifest.
        manifest: Option<Manifest>,
    } -> ()
    { demand: [kernel]; effect: State; fails: [BadGrant OutsideManifest]; }

    /// Whether a process may ask a human for this at all.
    38 requestable Requestable {
        /// The process.
        pid: Pid,
        /// For these resources.
        on: Pattern,
        /// These rights.
        rights: Rights,
    } -> ()
    { demand: [kernel]; effect: State; fails: [OutsideManifest]; }

    /// Gives up what a process does not keep when it goes on as another image. Denials, questions
    /// and what the kernel gave it stay.
    39 keep Keep {
        /// The process.
        subject: Pid,
        /// What it keeps.
        keep: Vec<CapId>,
        /// Whether it keeps the authority over its own memory.
        memory: bool,
    } -> Revoked
    { demand: [kernel]; effect: State; fails: [NotFound]; }

    /// Whether a process may do something, seen from outside of any call of it: what depends on
    /// arguments, or would be used up, does not help; a denial or question that might apply does.
    40 may May {
        /// The process.
        pid: Pid,
        /// The right.
        right: Right,
        /// The resource.
        on: Resource,
    } -> MayReply
    { demand: [kernel]; effect: State; fails: []; }

    /// Notes what processes hold for a checkpoint. What they hold is kept from then on, even if
    /// they end. Tells how many capabilities are in force.
    41 save Save {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The processes.
        subjects: Vec<Pid>,
    } -> Kept
    { demand: [kernel]; effect: State; fails: []; }

    /// Tells what processes of a checkpoint hold that they did not, and the other way round.
    42 compare Compare {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> CapabilityChanges
    { demand: [kernel]; effect: State; fails: []; }

    /// Drops what was noted for a checkpoint.
    43 forget Forget {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Takes back what processes of a checkpoint were given since. What they held then they hold
    /// as far as nothing took it away; denials stay, and questions as far as they restrict.
    44 restore Restore {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Those that had ended and live again.
        revived: Vec<Revived>,
    } -> Revoked
    { demand: [kernel]; effect: State; fails: []; }

    /// Gives copies of processes what those held at a checkpoint and hold still, but for what is
    /// finite and for approvals; what bounds and restricts them binds the copies.
    45 copy_held CopyHeld {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The copies, parents before their children.
        processes: Vec<Copied>,
    } -> ()
    { demand: [kernel]; effect: State; fails: [OutsideManifest]; }

    /// Tells what the process of a checkpoint held and holds still.
    46 recall Recall {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> Held
    { demand: [kernel]; effect: State; fails: []; }
}
