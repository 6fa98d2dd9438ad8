//! Programs of the host.

use crate::{
    Digest, Folder, KeptContent, Millis, Need, ObjectId, Resource, Right, SecretUse, Text,
    call::service,
};

/// How many bytes of each output of a program are kept; the rest is read and dropped.
pub const OUTPUT_BYTES_MAX: u32 = 200_000;

record! {
    /// How a program ended.
    #[derive(Default)]
    pub struct Ended {
        /// Its exit code; absent when a signal ended it.
        pub exit_code: Option<i32>,
        /// The signal that ended it.
        pub signal: Option<i32>,
        /// What it wrote to standard output, within the limit; bytes that are not UTF-8 replaced.
        pub stdout: Text,
        /// What it wrote to standard error, likewise.
        pub stderr: Text,
        /// Whether output was cut.
        pub truncated: bool,
        /// How long it ran.
        pub wall_ms: u64,
        /// Processor time that it and all it started spent in their own code.
        pub user_ms: u64,
        /// Processor time that they spent in the kernel.
        pub system_ms: u64,
        /// The most memory that one of them held at a time, in KiB.
        pub max_rss_kib: u64,
        /// The digest of the executable file that ran.
        pub program: Option<Digest>,
        /// Where its confinement was narrower than what the process may do, or lacked a layer that
        /// the host does without.
        pub notes: Vec<String>,
        /// Standard output, if it is kept as an object; `stdout` is its beginning then.
        pub stdout_object: Option<KeptContent>,
        /// Standard error, likewise.
        pub stderr_object: Option<KeptContent>,
    }
}

crate::field::carries_texts! { Ended { stdout, stderr, stdout_object, stderr_object } }

service! {
    /// Programs of the host. A program is started from an argument list, never from a command line.
    service shell = 10;
    failures {
        /// No program of this name is on the path.
        1 "not_found" NotFound;
        /// It ran longer than its time; it and all it started were ended.
        2 "timed_out" TimedOut;
        /// The argument list is empty or holds NUL.
        3 "bad_arguments" BadArguments;
        /// The working directory is not there.
        4 "bad_folder" BadFolder;
        /// The host's operating system does not permit it.
        5 "not_permitted" NotPermitted;
        /// There is no such secret, it may not go there, or it cannot be read.
        6 "secret_refused" SecretRefused;
        /// The host's kernel cannot confine it as the host demands.
        7 "unconfined" Unconfined;
    }

    /// Runs a program to its end.
    1 run Run as Box {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Its working directory; the process's own if absent.
        cwd: Folder,
        /// How long it may run; 30 s if absent, a day at the most.
        timeout_ms: Option<Millis>,
        /// What it reads from standard input; nothing if absent.
        stdin: Option<Text>,
        /// Secrets, each for the variable of its environment that it names. Each needs `use` on
        /// `secret:NAME` as well.
        secrets: Option<Vec<SecretUse>>,
        /// The type of an object in the caller's memory that standard output is kept as, whatever
        /// its bytes; 67,108,864 of them at the most, the rest is read and dropped.
        stdout_into: Option<String>,
        /// The same for standard error.
        stderr_into: Option<String>,
        /// An object whose content it reads from standard input behind `stdin`: texts, or bytes in
        /// base64. It needs `read` on the object as well.
        stdin_from: Option<ObjectId>,
    } -> Ended as Box
    { demand: [Execute on shell by |c| {
        let name = c.argv.first().map_or("", String::as_str);
        let own = Need { right: Right::Execute, on: Resource::named("shell", name) };
        crate::content::needs(crate::secret::needs(own, c.secrets.as_ref()), c.stdin_from)
      }];
      effect: Irreversible;
      fails: [NotFound TimedOut BadArguments BadFolder NotPermitted SecretRefused Unconfined]; }
}

impl Run {
    /// A program and its arguments, with nothing else said.
    #[must_use]
    pub fn of(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: Folder(None),
            timeout_ms: None,
            stdin: None,
            secrets: None,
            stdout_into: None,
            stderr_into: None,
            stdin_from: None,
        }
    }
}
