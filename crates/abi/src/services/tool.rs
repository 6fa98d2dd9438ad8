//! Tools: libc-like wrappers over system calls, built in or written by agents.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{checkpoint::Copied, image::Image};
use crate::{
    CheckpointId, Demand, DemandInfo, Denial, DenyReason, Digest, Json, Millis, Pattern, Pid,
    Syscall, Text, call::service,
};

record! {
    /// A tool as a planner sees it. Seeing it grants nothing.
    pub struct ToolInfo {
        /// Its name.
        pub name: String,
        /// What it does.
        pub description: String,
        /// The JSON schema of its arguments.
        pub schema: Json,
    }

    /// The tools of a process.
    pub struct Tools {
        /// The names, in the order of the image: its table, then its groups.
        pub tools: Vec<String>,
    }

    /// A group of tools.
    pub struct Group {
        /// Its name.
        pub name: String,
        /// What its tools are for.
        pub description: String,
        /// Its tools.
        pub tools: Vec<String>,
        /// Whether the caller has activated it.
        pub active: bool,
    }

    /// The tool groups of a process.
    pub struct Groups {
        /// In the order of the image.
        pub groups: Vec<Group>,
    }

    /// What a tool gave back.
    pub struct ToolResult {
        /// Its result.
        pub result: Json,
    }

    /// A call that a generated tool declares to make.
    #[serde(deny_unknown_fields)]
    pub struct ToolNeed {
        /// The call, as in `fs.read`.
        pub call: String,
        /// The resources that it may be about; absent is any that the process may.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub on: Option<Vec<Pattern>>,
    }

    /// What one run of a generated tool may take. Each part tightens the limit of the sandbox, and
    /// widens none.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct ToolLimits {
        /// Instructions, roughly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fuel: Option<u64>,
        /// How long it may compute; waiting for a call does not count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub compute: Option<Millis>,
        /// Memory, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub memory_bytes: Option<u64>,
        /// System calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub syscalls: Option<u32>,
        /// What it gives back, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub output_bytes: Option<u64>,
    }

    /// An error that a test answers a call with.
    #[serde(deny_unknown_fields)]
    pub struct ScriptedError {
        /// The code: `denied`, or one of the failures of the call's service.
        pub code: String,
        /// The message.
        #[serde(default)]
        pub message: String,
    }

    /// A call that a test expects, and its answer: a reply or an error.
    #[serde(deny_unknown_fields)]
    pub struct ScriptedCall {
        /// The call, as in `fs.read`.
        pub call: String,
        /// Its arguments.
        pub args: Json,
        /// Its reply.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reply: Option<Json>,
        /// Its error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<ScriptedError>,
    }

    /// A test of a generated tool. It makes no call of the host: each is answered from here.
    #[serde(deny_unknown_fields)]
    pub struct ToolTest {
        /// Its name.
        pub name: String,
        /// The arguments of the tool.
        pub args: Json,
        /// The calls that the tool must make, in this order and no other.
        #[serde(default)]
        pub calls: Vec<ScriptedCall>,
        /// The result that it must give.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub result: Option<Json>,
        /// The code of the error that it must end in instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<String>,
    }

    /// A tool as an agent writes it.
    #[serde(deny_unknown_fields)]
    pub struct Definition {
        /// Its name, a word of a-z, 0-9 and `_`.
        pub name: String,
        /// What it does.
        #[serde(default)]
        pub description: String,
        /// The language of its source.
        pub language: Language,
        /// Its source. Binary forms of `wat` and `component` are written `base64:` and their bytes.
        pub source: Text,
        /// The JSON schema of its arguments.
        pub input: Json,
        /// The JSON schema of its result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub output: Option<Json>,
        /// The calls it may make, each as far as its process may. Any other is denied.
        #[serde(default)]
        pub needs: Vec<ToolNeed>,
        /// Tighter limits than those of the sandbox.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub limits: Option<ToolLimits>,
        /// Its tests.
        #[serde(default)]
        pub tests: Vec<ToolTest>,
    }

    /// A generated tool in a list.
    pub struct ToolStatus {
        /// The process that it is private to.
        pub of: Pid,
        /// Its name.
        pub name: String,
        /// What it does.
        pub description: String,
        /// The language of its source.
        pub language: Language,
        /// The digest of everything it was proposed with.
        pub digest: Digest,
        /// How far it has come.
        pub stage: Stage,
    }

    /// Generated tools.
    pub struct Generated {
        /// By process, then by name.
        pub tools: Vec<ToolStatus>,
    }

    /// How one test of a tool ended.
    pub struct TestResult {
        /// The test.
        pub name: String,
        /// Whether the tool did what the test expects.
        pub passed: bool,
        /// What it did instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub message: Option<String>,
    }

    /// Why a source or a schema makes no tool.
    pub struct ToolProblem {
        /// A code, as in `syntax`.
        pub code: String,
        /// What is wrong.
        pub message: String,
        /// The line of the source, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub line: Option<u32>,
        /// The column, in characters, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub column: Option<u32>,
    }

    /// What the sandbox found out about a tool.
    pub struct ToolReport {
        /// The tool.
        pub name: String,
        /// The digest of what was looked at.
        pub digest: Digest,
        /// Whether it compiles, its schemas hold and every test passed.
        pub passed: bool,
        /// Why it makes no tool.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub problem: Option<ToolProblem>,
        /// Its tests, in order.
        pub tests: Vec<TestResult>,
    }

    /// A generated tool in full.
    pub struct ToolDetails {
        /// How far it has come.
        pub status: ToolStatus,
        /// As it was proposed.
        pub tool: Definition,
        /// What its validation came to.
        pub report: Option<ToolReport>,
    }

    /// A generated tool on its way to the sandbox.
    pub struct Program {
        /// The process that it belongs to.
        pub of: Pid,
        /// The digest of everything it was proposed with.
        pub digest: Digest,
        /// The tool; without its tests, when it is only called.
        pub tool: Definition,
    }
}

/// The language of a tool's source.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// An ECMAScript module.
    JavaScript,
    /// The same with types, which are stripped.
    TypeScript,
    /// A core WebAssembly module.
    Wat,
    /// A WebAssembly component.
    Component,
}

impl Language {
    /// Its name as documents write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Wat => "wat",
            Self::Component => "component",
        }
    }
}

/// How far a generated tool has come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema, Copy)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody has looked at it.
    Proposed,
    /// Its validation failed.
    Rejected,
    /// It may be registered.
    Validated,
    /// It can be called.
    Registered,
}

impl Stage {
    /// Its name as documents write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Rejected => "rejected",
            Self::Validated => "validated",
            Self::Registered => "registered",
        }
    }
}

/// Calls that no generated tool makes: through them it could come by more than it declares. They
/// hand authority on to a process that is not bound by the tool's needs, turn the caller into
/// another, or make tools.
pub const NEVER_NEEDED: &[&str] = &[
    "process.spawn",
    "process.fork",
    "process.start_task",
    "process.exec",
    "process.commit",
    "capability.delegate",
    "skill.activate",
    "skill.unload",
    "tool.propose",
    "tool.validate",
    "tool.register",
    "tool.unregister",
    "tool.promote",
];

impl ToolNeed {
    /// Whether a tool may declare it; the error says why not.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.call;
        let Some(info) = crate::find(name) else {
            return Err(format!("there is no call `{}`", name.escape_debug()));
        };
        let is_closed = matches!(info.demand, DemandInfo::Host | DemandInfo::Kernel);
        if is_closed || NEVER_NEEDED.contains(&info.name) {
            return Err(format!("no generated tool makes `{name}`"));
        }
        match (&self.on, info.demand) {
            (Some(on), _) if on.is_empty() => {
                Err(format!("the need of `{name}` names no resource; leave `on` out for any"))
            }
            (Some(_), DemandInfo::Own) => {
                Err(format!("`{name}` demands no right, so `on` says nothing"))
            }
            _ => Ok(()),
        }
    }
}

impl Definition {
    /// Whether the tool declares a canonical call, with every resource that it is about.
    ///
    /// # Errors
    /// The denial, when it does not.
    pub fn declares(&self, call: &Syscall) -> Result<(), Denial> {
        let name = call.info().name;
        let declared = || self.needs.iter().filter(|need| need.call == name);
        let undeclared = |need| Denial { need, reason: DenyReason::NotDeclared(self.name.clone()) };
        let needs = match call.demand() {
            Demand::Rights(needs) => needs,
            _ if declared().next().is_some() => return Ok(()),
            _ => return Err(undeclared(None)),
        };
        if declared().next().is_none() {
            return Err(undeclared(needs.into_iter().next()));
        }
        let is_covered = |need: &crate::Need| {
            let wanted = Pattern::exact(&need.on);
            declared().any(|it| match &it.on {
                None => true,
                Some(on) => on.iter().any(|pattern| pattern.covers(&wanted)),
            })
        };
        match needs.into_iter().find(|need| !is_covered(need)) {
            None => Ok(()),
            Some(need) => Err(undeclared(Some(need))),
        }
    }
}

crate::field::carries_texts! {
    ToolInfo { schema }
    Tools {}
    Group {}
    Groups {}
    ToolResult { result }
    ScriptedCall { args, reply }
    ToolTest { args, calls, result }
    Definition { source, input, output, tests }
    ToolStatus {}
    Generated {}
    ToolReport {}
    ToolDetails { tool }
}

service! {
    /// Tools: libc-like wrappers over system calls. A tool has no authority of its own: whatever it
    /// does is a system call of its process, numbered under the step that called the tool.
    service tool = 8;
    failures {
        /// The arguments do not fit the tool's schema.
        1 "bad_arguments" BadArguments;
        /// The tool ended in an error of its own.
        2 "tool_failed" ToolFailed;
        /// The tool is in the table but nothing here implements it.
        3 "unknown_tool" UnknownTool;
        /// The process has no generated tool of this name.
        4 "not_found" NotFound;
        /// The process has a tool of this name already: of its image, or one that it registered.
        5 "exists" Exists;
        /// The tool is malformed, or declares what no tool may have.
        6 "bad_tool" BadTool;
        /// The tool has not been validated as it is now.
        7 "not_validated" NotValidated;
        /// A generated tool neither makes nor calls generated tools.
        8 "nested" Nested;
    }

    /// Lists the tools that the caller is shown: those of its image's table and of the groups it
    /// has activated.
    1 list List {} -> Tools
    { demand: [own]; effect: State; fails: []; }

    /// Calls a tool of the caller's image, of its table or of any group, or one that the caller
    /// registered.
    2 call CallTool {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Json,
    } -> ToolResult
    { demand: [own]; effect: Idempotent; fails: [BadArguments ToolFailed UnknownTool Nested]; }

    /// Lists the tool groups of the caller's image. `process.activate_tools` shows one's tools.
    3 groups ListGroups {} -> Groups
    { demand: [own]; effect: State; fails: []; }

    /// Proposes a tool that the caller wrote. It takes the place of one of the same name that is
    /// not registered.
    4 propose Propose as Box {
        /// The tool.
        tool: Definition,
    } -> ToolStatus
    { demand: [own]; effect: State; fails: [Exists BadTool Nested]; }

    /// Compiles a tool, checks its schemas and runs its tests in the sandbox. What it comes to is
    /// kept with the tool.
    5 validate Validate {
        /// Its name.
        name: String,
        /// Whose tool; only the host names a process.
        pid: Option<Pid>,
    } -> ToolReport
    { demand: [own]; effect: Read; fails: [NotFound Nested]; }

    /// Registers a tool that was validated: from now on the caller can call it.
    6 register Register {
        /// Its name.
        name: String,
    } -> ToolStatus
    { demand: [own]; effect: State; fails: [NotFound Exists NotValidated Nested]; }

    /// Removes a tool, registered or not.
    7 unregister Unregister {
        /// Its name.
        name: String,
    } -> ToolStatus
    { demand: [own]; effect: State; fails: [NotFound Nested]; }

    /// Shows a generated tool with its source, its needs and what its validation came to.
    8 inspect Inspect {
        /// Its name.
        name: String,
        /// Whose tool; only the host names a process.
        pid: Option<Pid>,
    } -> ToolDetails as Box
    { demand: [own]; effect: State; fails: [NotFound]; }

    /// Lists the generated tools of the caller; for the host, those of one process or of all.
    9 generated ListGenerated {
        /// Whose tools; only the host names a process.
        pid: Option<Pid>,
    } -> Generated
    { demand: [own]; effect: State; fails: []; }

    /// Puts a validated tool into an image: a new version of one that is registered, or else a copy
    /// of the caller's image under that name. A human is asked, whatever was granted.
    10 promote Promote {
        /// Its name.
        name: String,
        /// The digest that `tool.inspect` tells: what is put there is exactly this.
        digest: Digest,
        /// The image.
        image: String,
        /// The version that the image is to have.
        version: String,
    } -> Image as Arc
    { demand: [human]; effect: State; fails: [NotFound Exists BadTool NotValidated Nested]; }

    /// Keeps what the sandbox found out about a tool, if the tool is still the same.
    32 conclude Conclude as Box {
        /// Whose tool.
        pid: Pid,
        /// What was found out.
        report: ToolReport,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Copies the registered tools of a process for one that was made from it.
    33 carry Carry {
        /// The process.
        from: Pid,
        /// The one made from it.
        to: Pid,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Drops the generated tools of a process that has ended or goes on as another image.
    34 end End {
        /// The process.
        pid: Pid,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Keeps the generated tools of processes as they are for a checkpoint.
    35 save SaveTools {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whose tools.
        processes: Vec<Pid>,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Drops what was kept for a checkpoint.
    36 forget ForgetTools {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Has the generated tools of processes be as they were kept.
    37 restore RestoreTools {
        /// The checkpoint.
        checkpoint: CheckpointId,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }

    /// Copies generated tools as they were kept for new processes.
    38 copy CopyTools {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// For whom.
        processes: Vec<Copied>,
    } -> ()
    { demand: [kernel]; effect: State; fails: []; }
}
