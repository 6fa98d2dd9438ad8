//! What is measured.

mod check;
mod checkpoint;
mod durable;
mod file;
mod fork;
mod message;
mod port;
mod process;
mod sandbox;
mod shell;
mod store;
mod syscall;
mod tasks;
mod worker;

use crate::{measure::Scale, report::Row};

/// Rows that are measured together.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// Its name.
    pub name: &'static str,
    /// What the names of its rows begin with.
    pub rows: &'static [&'static str],
    /// What it measures.
    pub about: &'static str,
    /// Measures.
    pub run: fn(&Scale) -> anyhow::Result<Vec<Row>>,
}

impl Bench {
    /// Whether `name` names this bench, or some of its rows by how their names begin.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let begins = |row: &&str| row.starts_with(name) || name.starts_with(&format!("{row}."));
        self.name == name || self.rows.iter().any(begins)
    }
}

/// Everything there is.
pub const BENCHES: &[Bench] = &[
    Bench {
        name: "check",
        rows: &["check"],
        about: "a capability decision with 10, 1k and 100k grants, and over 64 patterns",
        run: check::run,
    },
    Bench {
        name: "syscall",
        rows: &["syscall"],
        about: "a no-op and small reads through the whole broker on the core's thread",
        run: syscall::run,
    },
    Bench {
        name: "port",
        rows: &["port"],
        about: "the same from another thread, one by one and 64 under way",
        run: port::run,
    },
    Bench {
        name: "durable",
        rows: &["durable"],
        about: "calls that are on disk when they return, of 1, 64 and 1,024 processes",
        run: durable::run,
    },
    Bench {
        name: "file",
        rows: &["file"],
        about: "a read of a file of 4 KiB through the whole path",
        run: file::run,
    },
    Bench {
        name: "process",
        rows: &["spawn", "exit", "dispatch", "park", "wake", "parked"],
        about: "spawn, exit, dispatch, park and wake among 1k and 1M processes; a million parked",
        run: process::run,
    },
    Bench {
        name: "fork",
        rows: &["fork", "exec"],
        about: "fork with 100 and 100k objects, the first write after it, and exec",
        run: fork::run,
    },
    Bench {
        name: "checkpoint",
        rows: &["checkpoint"],
        about: "a checkpoint of a process with 100 and 100k objects, and a fork from it",
        run: checkpoint::run,
    },
    Bench {
        name: "message",
        rows: &["message"],
        about: "a message to another process and its answer, both parked in between",
        run: message::run,
    },
    Bench {
        name: "store",
        rows: &["recovery", "journal", "start", "replay"],
        about: "a journal of 1M records: recovery, bytes, `libos ps` and `replay` over it",
        run: store::run,
    },
    Bench {
        name: "tasks",
        rows: &["tasks"],
        about: "1,000 scripted processes from launch to their end, through the whole runtime",
        run: tasks::run,
    },
    Bench {
        name: "sandbox",
        rows: &["sandbox"],
        about: "tools that agents wrote: a call in a fresh instance, its calls and its memory",
        run: sandbox::run,
    },
    Bench {
        name: "shell",
        rows: &["shell"],
        about: "a program started confined and supervised, and bare",
        run: shell::run,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_is_found_by_its_name_and_by_its_rows() {
        let found = |name| {
            BENCHES.iter().filter(|bench| bench.has(name)).map(|b| b.name).collect::<Vec<_>>()
        };
        assert_eq!(found("check"), ["check", "checkpoint"]);
        assert_eq!(found("check.exact"), ["check"]);
        assert_eq!(found("process"), ["process"]);
        assert_eq!(found("spawn.1k"), ["process"]);
        assert_eq!(found("par"), ["process"]);
        assert!(found("nothing").is_empty());
    }
}
