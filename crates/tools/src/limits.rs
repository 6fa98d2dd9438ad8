//! The limits of the tools, each with its reason.

/// The limits of the tools.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes of a file that a tool takes in one piece: the limit of `fs.read`.
    pub file_bytes_max: u32,
    /// The most entries of one folder that a tool looks at: the limit of `fs.list`.
    pub folder_entries_max: u32,
    /// The most files that a survey reads when its caller does not say.
    pub survey_files_default: u32,
    /// The most files that a survey reads, whatever its caller says: each is a system call.
    pub survey_files_max: u32,
    /// How many of the largest files a survey names.
    pub survey_largest_max: usize,
    /// How many folders may lie one in the other before a survey leaves the rest out.
    pub survey_depth_max: usize,
    /// The most faults of its arguments that one failure of a tool names.
    pub argument_faults_max: usize,
    /// The most characters of one such fault: it may quote the argument.
    pub argument_fault_chars_max: usize,
}

impl Limits {
    /// The limits in force.
    pub const STANDARD: Self = Self {
        file_bytes_max: 1_048_576,
        folder_entries_max: 10_000,
        survey_files_default: 10_000,
        survey_files_max: 100_000,
        survey_largest_max: 10,
        survey_depth_max: 128,
        argument_faults_max: 4,
        argument_fault_chars_max: 300,
    };
}
