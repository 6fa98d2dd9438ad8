//! Tools: libc-like wrappers over system calls.

use crate::{Json, call::service};

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
}

crate::field::carries_texts! {
    ToolInfo { schema }
    Tools {}
    Group {}
    Groups {}
    ToolResult { result }
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
    }

    /// Lists the tools that the caller is shown: those of its image's table and of the groups it
    /// has activated.
    1 list List {} -> Tools
    { demand: [own]; effect: State; fails: []; }

    /// Calls a tool of the caller's image: of its table or of any group.
    2 call CallTool {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Json,
    } -> ToolResult
    { demand: [own]; effect: Idempotent; fails: [BadArguments ToolFailed UnknownTool]; }

    /// Lists the tool groups of the caller's image. `process.activate_tools` shows one's tools.
    3 groups ListGroups {} -> Groups
    { demand: [own]; effect: State; fails: []; }
}
