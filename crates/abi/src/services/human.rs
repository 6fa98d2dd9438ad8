//! Questions, approvals and messages to humans.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CapId, Digest, Field, Json, Label, Need, OpId, Pattern, Pid, RequestId, Resource, Rights,
    Scope, Text, call::service, field::opaque, process::BudgetKind,
};

/// The human asked when none is named.
pub const OWNER: &str = "owner";

record! {
    /// A request to a human: a card shows all of it.
    pub struct Request {
        /// Its id.
        pub id: RequestId,
        /// The operation that waits for it.
        pub op: OpId,
        /// Who asks.
        pub pid: Pid,
        /// The root of its task. Identical requests of one task are one card.
        pub root: Pid,
        /// Who is asked.
        pub human: String,
        /// What is asked.
        pub ask: Ask,
        /// When, in milliseconds since the epoch.
        pub asked_at_ms: u64,
        /// Where it stands.
        pub state: RequestState,
        /// Others that wait for the same answer.
        pub joined: Vec<Asker>,
    }

    /// A process and the operation of it that waits for an answer.
    pub struct Asker {
        /// The process.
        pub pid: Pid,
        /// Its operation.
        pub op: OpId,
        /// For an approval: the grants of this process that say `ask`.
        pub asked_by: Vec<CapId>,
    }

    /// A call that needs a human's word.
    pub struct Approval {
        /// The call's name.
        pub call: String,
        /// Its canonical arguments, in full.
        pub args: Json,
        /// The digest of the canonical call. The answer holds for exactly these bytes.
        pub digest: Digest,
        /// What the call demands.
        pub needs: Vec<Need>,
        /// The grants that say `ask`.
        pub asked_by: Vec<CapId>,
    }

    /// A call whose data may not go where it would go, unless a human lets it.
    pub struct Release {
        /// The call's name.
        pub call: String,
        /// Its canonical arguments, in full.
        pub args: Json,
        /// The digest of the canonical call. The answer holds for exactly these bytes, once.
        pub digest: Digest,
        /// Where the data would go.
        pub sink: Resource,
        /// The label of the data.
        pub label: Label,
        /// The most that may go there.
        pub clearance: Label,
    }

    /// An answer, once given.
    pub struct Decided {
        /// The answer.
        pub decision: Decision,
        /// Who gave it.
        pub by: String,
        /// When, in milliseconds since the epoch.
        pub at_ms: u64,
        /// The capability it made.
        pub capability: Option<CapId>,
    }

    /// Requests.
    pub struct Requests {
        /// In the order of their ids.
        pub requests: Vec<Request>,
    }

    /// A human's answer to a question.
    pub struct Answer {
        /// The text.
        pub answer: Text,
    }

    /// A human's answer to a request for permission.
    pub struct Permission {
        /// The standing answer.
        pub policy: Policy,
        /// The capability it made.
        pub capability: Option<CapId>,
    }

    /// A message to a human that was recorded.
    pub struct Delivered {
        /// To whom.
        pub human: String,
    }

    /// A request made by the kernel.
    pub struct Opened {
        /// Its id.
        pub request: RequestId,
    }
}

/// What is asked of a human.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// To approve one exact call.
    Approval(Approval),
    /// A question, to be answered with text.
    Question {
        /// The question.
        question: Text,
        /// What helps to answer it.
        context: Option<Text>,
    },
    /// A standing permission.
    Permission {
        /// For these resources.
        on: Pattern,
        /// These rights.
        rights: Rights,
        /// Why the process wants it.
        reason: String,
    },
    /// To raise a limit that a call would pass.
    Extension {
        /// Whose limit: the process that asks, or one above it.
        of: Pid,
        /// What it counts.
        kind: BudgetKind,
        /// The limit.
        limit: u64,
        /// What of it is used, or set aside for calls under way.
        used: u64,
        /// What the call would take at the most.
        more: u64,
        /// The call that would pass it.
        call: String,
    },
    /// Whether an effect happened whose outcome nobody knows. Nothing waits for the answer.
    Unknown {
        /// The operation.
        op: OpId,
        /// Its call.
        call: String,
        /// Its canonical arguments.
        args: Json,
    },
    /// To let the data of one exact call go where its label forbids it to go.
    Release(Release),
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for an answer.
    Pending,
    /// It was answered. It cannot be answered again.
    Decided(Decided),
    /// Its process ended first.
    Cancelled,
}

/// A human's word.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Approve the call.
    Approve {
        /// How far the approval reaches.
        scope: Scope,
    },
    /// Refuse the call, the question or the permission.
    Deny {
        /// Why.
        reason: Option<String>,
    },
    /// Answer a question.
    Answer {
        /// The text.
        text: Text,
    },
    /// Answer a request for permission for good.
    Permit {
        /// How.
        policy: Policy,
    },
    /// Raise the limit.
    Extend {
        /// By how much.
        by: u64,
    },
    /// Tell what became of an effect.
    Known {
        /// What.
        what: Known,
    },
}

/// What a human has found out about an effect whose outcome was unknown.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum Known {
    /// It was done.
    Done,
    /// It was not done.
    NotDone,
    /// It cannot be found out.
    Unknown,
}

/// A standing answer to a request for permission.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum Policy {
    /// Allow it from now on.
    Always,
    /// Ask about each call.
    AskEachTime,
    /// Deny it from now on.
    Never,
}

opaque!(Permission, Delivered, Opened, Policy, Known, Asker);
crate::field::carries_texts! {
    Approval { args }
    Release { args }
    Request { ask, state }
    Requests { requests }
    Answer { answer }
    Decided { decision }
}

impl Field for Ask {
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        match self {
            Self::Approval(approval) => approval.texts(visit),
            Self::Question { question, context } => {
                question.texts(visit);
                context.texts(visit);
            }
            Self::Unknown { args, .. } => args.texts(visit),
            Self::Release(release) => release.texts(visit),
            Self::Permission { .. } | Self::Extension { .. } => {}
        }
    }
}

impl Field for RequestState {
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        if let Self::Decided(decided) = self {
            decided.texts(visit);
        }
    }
}

impl Field for Decision {
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        if let Self::Answer { text } = self {
            text.texts(visit);
        }
    }
}

fn named(human: Option<&str>) -> Resource {
    Resource::named("human", human.unwrap_or(OWNER))
}

service! {
    /// Questions, approvals and messages to humans. A request is answered exactly once.
    service human = 5;
    failures {
        /// No request of this id.
        1 "not_found" NotFound;
        /// The request was answered or cancelled before.
        2 "already_decided" AlreadyDecided;
        /// The answer is not of the kind the request asks for.
        3 "wrong_answer" WrongAnswer;
        /// The human refused.
        4 "refused" Refused;
        /// Nobody may be asked for so much: authority of the host, most whole kinds, a program that
        /// runs any other, a whole mount or memory, or what the task's manifest does not let it
        /// ask for.
        5 "not_requestable" NotRequestable;
    }

    /// Asks a human a question and waits for the answer.
    1 ask AskQuestion {
        /// The question.
        question: Text,
        /// What helps to answer it.
        context: Option<Text>,
        /// Who is asked; `owner` if absent.
        human: Option<String>,
    } -> Answer
    { demand: [Write on human by |c| named(c.human.as_deref())]; effect: State; fails: [Refused];
      data: Both; }

    /// Tells a human something.
    2 output Output {
        /// The message.
        message: Text,
        /// To whom; `owner` if absent.
        human: Option<String>,
    } -> Delivered
    { demand: [Write on human by |c| named(c.human.as_deref())]; effect: State; fails: [];
      data: Out; }

    /// Asks a human for a standing permission and waits for the answer.
    3 request_permission RequestPermission as Box {
        /// For these resources.
        on: Pattern,
        /// These rights.
        rights: Rights,
        /// Why it is needed.
        reason: String,
        /// Who is asked; `owner` if absent.
        human: Option<String>,
    } -> Permission
    { demand: [Write on human by |c| named(c.human.as_deref())]; effect: State;
      fails: [Refused NotRequestable]; data: Out; }

    /// Lists the requests.
    4 list List {
        /// Those answered and cancelled too.
        all: Option<bool>,
    } -> Requests
    { demand: [host]; effect: State; fails: []; }

    /// Answers a request, on a human's word.
    5 decide Decide {
        /// The request.
        request: RequestId,
        /// The answer.
        decision: Decision,
    } -> Request as Box
    { demand: [host]; effect: State; fails: [NotFound AlreadyDecided WrongAnswer]; }

    /// Opens a request for the approval of a call.
    32 open Open as Box {
        /// The operation that waits.
        op: OpId,
        /// Who asks.
        pid: Pid,
        /// The call.
        approval: Approval,
    } -> Opened
    { demand: [kernel]; effect: State; fails: []; }

    /// Opens a request to raise a limit that a call would pass.
    34 open_extension OpenExtension as Box {
        /// The operation that waits.
        op: OpId,
        /// Who asks.
        pid: Pid,
        /// Whose limit.
        of: Pid,
        /// What it counts.
        kind: BudgetKind,
        /// The limit.
        limit: u64,
        /// What of it is used, or set aside for calls under way.
        used: u64,
        /// What the call would take at the most.
        more: u64,
        /// The call.
        call: String,
    } -> Opened
    { demand: [kernel]; effect: State; fails: [Refused]; }

    /// Opens a request to find out whether an effect happened. Nothing waits for its answer, and
    /// it outlives the process: whoever made the call is told by a letter.
    35 open_unknown OpenUnknown {
        /// The operation.
        op: OpId,
        /// Who made the call.
        pid: Pid,
        /// The call.
        call: String,
        /// Its canonical arguments.
        args: Json,
    } -> Opened
    { demand: [kernel]; effect: State; fails: []; }

    /// Opens a request to release the data of one call.
    36 open_release OpenRelease as Box {
        /// The operation that waits.
        op: OpId,
        /// Who asks.
        pid: Pid,
        /// The call, and what is wrong with its data.
        release: Release,
    } -> Opened
    { demand: [kernel]; effect: State; fails: []; }

    /// Cancels the pending requests of a process that has ended.
    33 cancel Cancel {
        /// The process.
        pid: Pid,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }
}
