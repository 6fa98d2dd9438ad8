//! Errors: the kernel's faults, and each service's own failures.
//!
//! [`Fault`] is closed, numbered and stable: it says what the *kernel* refused or could not do.
//! A service's failures are in its table. Both have a `code` in snake case, which plans compare
//! with, and a message that names the next step.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CapId, Label, MessageId, OpId, Pid, Resource, Right, process::BudgetKind};

/// A right over a resource that a call needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// The right.
    pub right: Right,
    /// The resource, canonical.
    pub on: Resource,
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.right, self.on)
    }
}

/// Why a call was denied.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// No grant of the subject speaks of it.
    NoGrant,
    /// A grant says deny.
    DenyRule(CapId),
    /// A grant would allow it, but not with these arguments.
    Conditions(CapId),
    /// Every use of the grant is spent.
    Exhausted(CapId),
    /// The grant's limit over its life would be passed.
    Limit(CapId),
    /// The grant has expired, or an ancestor has.
    Expired(CapId),
    /// The grant was taken back, or an ancestor was.
    Revoked(CapId),
    /// A human said no.
    Human,
    /// The call is the host's, or the kernel's own.
    NotForProcesses,
    /// A grant would have to be wider than what its giver holds.
    Attenuation(String),
    /// The tool is not in the process's tool table.
    NotInToolTable(String),
    /// The manifest of the task, or of a process above, does not foresee the call.
    Manifest(String),
    /// The generated tool that made the call does not declare it.
    NotDeclared(String),
    /// The data has a label that is above the clearance of where it would go.
    Clearance {
        /// The label of the data.
        label: Label,
        /// The clearance of the sink, which the need names.
        clearance: Label,
        /// Whether a human may release this one call.
        releasable: bool,
    },
    /// An active skill of the process does not allow the tool.
    NotInSkill(String),
}

/// A denial: what was needed, what decided, what would have to be granted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    /// What the call needed; absent where a call has no demand a grant could meet.
    pub need: Option<Need>,
    /// Why it was refused.
    pub reason: DenyReason,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(need) = &self.need {
            write!(f, "{need}: ")?;
        }
        match &self.reason {
            DenyReason::NoGrant => match &self.need {
                Some(Need { right, on }) => write!(
                    f,
                    "no grant covers it; it would take on = \"{on}\", rights = [\"{right}\"]"
                ),
                None => f.write_str("no grant covers it"),
            },
            DenyReason::DenyRule(cap) => write!(f, "{cap} denies it"),
            DenyReason::Conditions(cap) => write!(f, "{cap} does not allow these arguments"),
            DenyReason::Exhausted(cap) => write!(f, "every use of {cap} is spent"),
            DenyReason::Limit(cap) => write!(f, "it would pass the limit of {cap}"),
            DenyReason::Expired(cap) => write!(f, "{cap} has expired"),
            DenyReason::Revoked(cap) => write!(f, "{cap} was revoked"),
            DenyReason::Human => f.write_str("a human said no"),
            DenyReason::NotForProcesses => f.write_str("this call is not for processes"),
            DenyReason::Attenuation(what) => write!(f, "more than its giver holds: {what}"),
            DenyReason::Manifest(what) => write!(f, "the manifest does not foresee {what}"),
            DenyReason::NotDeclared(tool) => write!(f, "the tool `{tool}` does not declare it"),
            DenyReason::Clearance { label, clearance, releasable } => {
                write!(f, "the data is {label}; the most that may go there is {clearance}; ")?;
                f.write_str(match releasable {
                    true => "a human may release this very call, and did not: make it again to ask",
                    false => "nobody may release it: it takes `label.declassify`",
                })
            }
            DenyReason::NotInSkill(skill) => write!(
                f,
                "it is none of the tools that the active skill `{skill}` allows; put that down \
                 first, if the goal needs more"
            ),
            DenyReason::NotInToolTable(name) => {
                write!(f, "`{name}` is not in the process's tool table; see tool.list")
            }
        }
    }
}

/// What the kernel refused or could not do. Numbers and codes are for ever; variants are added at
/// the end only.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Encode,
    Decode,
    Serialize,
    Deserialize,
    JsonSchema,
    thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Authority was missing. Not retried: ask for the grant that the denial names.
    #[error("denied: {denial}")]
    Denied {
        /// What, why, and what it would take.
        denial: Denial,
    },
    /// A budget of the process or of one above it is used up.
    #[error("the budget of {limit} {unit} of {of} is used up: {used} used, {more} more needed",
        unit = kind.unit())]
    OverBudget {
        /// Whose budget: the caller's, or that of one above it.
        of: Pid,
        /// What it counts.
        kind: BudgetKind,
        /// Its limit.
        limit: u64,
        /// What of it is used, or set aside for calls under way.
        used: u64,
        /// What the call would take.
        more: u64,
    },
    /// Nobody can know whether the effect happened. It is never repeated by itself.
    #[error("nobody knows whether {op} happened: the host ended while it was under way")]
    UnknownOutcome {
        /// The operation.
        op: OpId,
    },
    /// The process ran its quantum again and made another call than the one recorded.
    #[error("the recorded step is `{recorded}`, the call made now is `{called}`")]
    Diverged {
        /// The recorded call.
        recorded: String,
        /// The call made now.
        called: String,
    },
    /// The message is malformed: nothing was done.
    #[error("bad call: {what}")]
    BadMessage {
        /// What is wrong with it.
        what: String,
    },
    /// The process has ended, or was never there.
    #[error("the process has ended, or never was")]
    NoProcess,
    /// A run of the process that has been superseded.
    #[error("this run of the process is over")]
    StaleRun,
    /// The call was given up because its process ended or was cancelled.
    #[error("the call was cancelled with its process")]
    Cancelled,
    /// The store takes no record: nothing was done.
    #[error("the store takes no record, so nothing was done: {what}")]
    StoreUnavailable {
        /// Why, for the host.
        what: String,
    },
    /// No part that serves this call is composed in.
    #[error("nothing here serves {call}")]
    Unsupported {
        /// The call.
        call: String,
    },
    /// The host failed in a way that is no business of the process.
    #[error("the provider failed ({kind}); the host's log has more under {op}")]
    ProviderFailed {
        /// A stable code for the kind of failure.
        kind: String,
        /// The operation under which the host's log tells more.
        op: OpId,
    },
    /// A kernel limit was reached; see the limits table.
    #[error("the limit of {limit} {what} is reached")]
    Limit {
        /// Which limit.
        what: String,
        /// Its value.
        limit: u64,
    },
    /// A path that leads out of its mount: by `..`, as an absolute path, through a symbolic link
    /// or a hard link.
    #[error("`{path}` leads out of the mounted folder")]
    OutsideMount {
        /// The path as it was written.
        path: String,
    },
    /// An interrupt came first: the call was not made. It may be made again.
    #[error("interrupted by {message}: {text}")]
    Interrupted {
        /// The message, which is taken out of the mailbox with this.
        message: MessageId,
        /// Who sent it; absent is the host.
        from: Option<Pid>,
        /// Its text.
        text: String,
    },
}

macro_rules! fault_codes {
    ($($number:literal $name:ident $code:literal $doc:literal;)*) => {
        impl Fault {
            /// Its code in snake case.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// Every fault: number, code, when it happens.
            pub const TABLE: &'static [(u16, &'static str, &'static str)] =
                &[$(($number, $code, $doc)),*];
        }
    };
}

fault_codes! {
    1 Denied "denied"
        "Authority was missing. Not retried: ask for the grant that the denial names.";
    2 OverBudget "over_budget" "A budget of the process or of one above it is used up.";
    3 UnknownOutcome "unknown_outcome"
        "Nobody can know whether the effect happened. It is never repeated by itself.";
    4 Diverged "diverged"
        "The process ran its quantum again and made another call than the one recorded.";
    5 BadMessage "bad_message" "The message is malformed: nothing was done.";
    6 NoProcess "no_process" "The process has ended, or was never there.";
    7 StaleRun "stale_run" "A run of the process that has been superseded.";
    8 Cancelled "cancelled" "The call was given up because its process ended or was cancelled.";
    9 StoreUnavailable "store_unavailable" "The store takes no record: nothing was done.";
    10 Unsupported "unsupported" "No part that serves this call is composed in.";
    11 ProviderFailed "provider_failed"
        "The host failed in a way that is no business of the process.";
    12 Limit "limit" "A kernel limit was reached; see the limits table.";
    13 OutsideMount "outside_mount"
        "A path that leads out of its mount: by `..`, as an absolute path, through a \
         symbolic link or a hard link.";
    14 Interrupted "interrupted"
        "An interrupt came first: the call was not made. It may be made again.";
}

impl Fault {
    /// A denial for want of `need`.
    #[must_use]
    pub fn denied(need: Option<Need>, reason: DenyReason) -> Self {
        Self::Denied { denial: Denial { need, reason } }
    }

    /// The fault of a code, as a test of a tool scripts it: one that says nothing of its own.
    #[must_use]
    pub fn scripted(code: &str, what: &str) -> Option<Self> {
        Some(match code {
            "denied" => Self::denied(None, DenyReason::NoGrant),
            "bad_message" => Self::bad(what),
            "cancelled" => Self::Cancelled,
            "limit" => Self::Limit { what: what.into(), limit: 0 },
            "outside_mount" => Self::OutsideMount { path: what.into() },
            "unknown_outcome" => Self::UnknownOutcome { op: OpId(0) },
            "unsupported" => Self::Unsupported { call: what.into() },
            _ => return None,
        })
    }

    /// A malformed call.
    #[must_use]
    pub fn bad(what: impl Into<String>) -> Self {
        Self::BadMessage { what: what.into() }
    }
}
