//! The limits of the sandbox, each with its reason.

/// The limits of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many tools run at the same time; more wait for one to end. Each takes a slot of
    /// memory from the pool: address space for all of them, pages only for those in use.
    pub slots: u32,
    /// Memories of one tool: a component may bring an adapter with one of its own.
    pub memories_max: u32,
    /// Tables of one tool.
    pub tables_max: u32,
    /// The stack of compiled code, in bytes. The scripts' own limit lies below it, so that a
    /// recursion of theirs ends as an error that they can catch.
    pub stack_bytes: usize,
    /// The host's part of the stack that a tool runs on, in bytes: what a call of the host takes.
    pub host_stack_bytes: usize,
    /// How often a tool that computes makes room for others, in milliseconds.
    pub tick_ms: u64,
    /// The most bytes of a script. A parser works on them in the sandbox.
    pub script_bytes_max: usize,
    /// The most bytes of a TypeScript source. Its types are stripped outside of the sandbox, by a
    /// parser whose stack grows with the source.
    pub typescript_bytes_max: usize,
    /// How deep brackets may nest in a TypeScript source: where the parser guesses and takes its
    /// guess back, its time and memory grow with a power of the depth.
    pub typescript_depth_max: usize,
    /// How many `<` may be open in one statement of a TypeScript source, for the same reason.
    pub typescript_angles_max: usize,
    /// The most bytes of a module, as text or binary: nothing interrupts its compiler.
    pub module_bytes_max: usize,
    /// The most bytes of a component, which carries the libraries of its language.
    pub component_bytes_max: usize,
    /// The most bytes of compiled artifacts on disk; the oldest go first.
    pub cache_bytes_max: u64,
    /// What one run may take.
    pub run: RunLimits,
}

/// What one run of a tool may take. A tool's manifest may tighten each, and widens none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Instructions, roughly. The same run takes the same number every time, so this is the limit
    /// that a run normally meets; at full speed it is some seconds.
    pub fuel: u64,
    /// How long it may compute, in milliseconds; waiting for a call does not count. It stops what
    /// burns little fuel for much time.
    pub compute_ms: u64,
    /// Linear memory in bytes, all memories together: the size of a slot at the most.
    pub memory_bytes_max: usize,
    /// Elements of all tables together.
    pub table_elements_max: usize,
    /// Instances of core modules: a component is several.
    pub instances_max: usize,
    /// System calls, refused ones included.
    pub syscalls_max: u32,
    /// System calls of one batch, which are under way at the same time.
    pub batch_calls_max: usize,
    /// Bytes of one request to the host. What the host makes of it takes many times as much.
    pub request_bytes_max: usize,
    /// Bytes of one reply of the host.
    pub reply_bytes_max: usize,
    /// Bytes of all requests and replies of a run: the host's work on them takes no fuel.
    pub crossing_bytes_max: u64,
    /// Bytes of the arguments of a run.
    pub args_bytes_max: usize,
    /// Bytes of what a run gives back, with what it printed.
    pub output_bytes_max: usize,
}

impl Limits {
    /// The limits in force.
    pub const STANDARD: Self = Self {
        slots: 64,
        memories_max: 2,
        tables_max: 16,
        stack_bytes: 2 << 20,
        host_stack_bytes: 2 << 20,
        tick_ms: 5,
        script_bytes_max: 512 << 10,
        typescript_bytes_max: 128 << 10,
        typescript_depth_max: 64,
        typescript_angles_max: 256,
        module_bytes_max: 1 << 20,
        component_bytes_max: 16 << 20,
        cache_bytes_max: 512 << 20,
        run: RunLimits::STANDARD,
    };
}

impl RunLimits {
    /// The limits in force for a tool that tightens none.
    pub const STANDARD: Self = Self {
        fuel: 20_000_000_000,
        compute_ms: 30_000,
        memory_bytes_max: 64 << 20,
        table_elements_max: 32 << 10,
        instances_max: 32,
        syscalls_max: 10_000,
        batch_calls_max: 256,
        request_bytes_max: 2 << 20,
        reply_bytes_max: 8 << 20,
        crossing_bytes_max: 256 << 20,
        args_bytes_max: 1 << 20,
        output_bytes_max: 1 << 20,
    };

    /// The lower of both, limit by limit.
    #[must_use]
    pub fn tightened(self, by: Self) -> Self {
        Self {
            fuel: self.fuel.min(by.fuel),
            compute_ms: self.compute_ms.min(by.compute_ms),
            memory_bytes_max: self.memory_bytes_max.min(by.memory_bytes_max),
            table_elements_max: self.table_elements_max.min(by.table_elements_max),
            instances_max: self.instances_max.min(by.instances_max),
            syscalls_max: self.syscalls_max.min(by.syscalls_max),
            batch_calls_max: self.batch_calls_max.min(by.batch_calls_max),
            request_bytes_max: self.request_bytes_max.min(by.request_bytes_max),
            reply_bytes_max: self.reply_bytes_max.min(by.reply_bytes_max),
            crossing_bytes_max: self.crossing_bytes_max.min(by.crossing_bytes_max),
            args_bytes_max: self.args_bytes_max.min(by.args_bytes_max),
            output_bytes_max: self.output_bytes_max.min(by.output_bytes_max),
        }
    }
}

impl Default for RunLimits {
    fn default() -> Self {
        Self::STANDARD
    }
}
