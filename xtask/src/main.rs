//! The project's one tool entry: `cargo xtask --help` lists what it can do.
//!
//! What a machine can check about the repository is checked from here, in the same way on a desk
//! and in `.ci/run`.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a developer's tool: it reads the repository, runs cargo and talks to a terminal"
)]

mod abi;
mod bench;
mod conformance;
mod crash;
mod fuzz;
mod generated;
mod graph;
mod guest;
#[cfg(test)]
mod invariants;
mod laws;
mod layers;
mod licences;
mod policy;
mod race;
mod sim;
mod smoke;
mod steps;
#[cfg(test)]
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Checks and generates what belongs to this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything a change must pass; the tests come last
    Ci,
    /// Run the fast part of `ci`: format, layers, graph, abi, licences, clippy
    Check,
    /// Run all tests: doc tests first, the test runner's summary last
    Test,
    /// Prove from the manifests that every dependency keeps xtask/src/policy.rs
    Layers(Target),
    /// Hold the licence and source of every external package to deny.toml
    Licences(Target),
    /// Write docs/abi.md and the frozen description of the ABI, which only ever grows
    Abi {
        /// Write nothing; fail when a file is stale or something is gone from the ABI
        #[arg(long)]
        check: bool,
    },
    /// Run the suites of the contracts on every part, under every binding
    Conformance {
        /// Only what is about this service, or this suite
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// List the cases instead: the invariants they hold a part to, the outcomes they show
        #[arg(long, conflicts_with = "manifest_path")]
        list: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Build crates/sandbox/guest/javascript.wasm from its C sources
    Guest {
        /// Write nothing; fail when the committed file is not what its sources give
        #[arg(long)]
        check: bool,
    },
    /// Hold the capability engine against its reference model in random histories
    Laws {
        /// How many operations
        #[arg(long, default_value_t = 1_000_000)]
        ops: u64,
    },
    /// Swap folders and links at full speed while every call on files runs
    Race {
        /// For how long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Kill the binary at every boundary of every call, and hold the end against the truth
    Crash(crash::Part),
    /// Put hostile inputs to the sandbox of tools
    Fuzz {
        /// Where they come in; everywhere if absent
        #[arg(value_parser = ["boundary", "loader", "source"])]
        target: Option<String>,
        /// For how long, at each place
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// What the inputs follow from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measure, each row beside its bare floor: `cargo xtask bench --list` says what there is
    #[command(disable_help_flag = true)]
    Bench {
        /// What to measure, and how to show it; `--help` lists it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Try to break the system from seeds: crashes, full disks, bad providers, planted bugs
    #[command(disable_help_flag = true)]
    Sim {
        /// What to try; `--help` lists it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Have a model at a real endpoint try for some goals
    Smoke {
        /// The profile of your libos.toml; without it nothing is tried
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Write docs/graph.txt
    Graph {
        /// Write nothing; fail when the file is stale
        #[arg(long)]
        check: bool,
    },
}

/// The workspace to look at.
#[derive(Debug, clap::Args)]
struct Target {
    /// The manifest of another workspace
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
}

impl Target {
    fn manifest(self) -> PathBuf {
        self.manifest_path.unwrap_or_else(|| workspace::root().join("Cargo.toml"))
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let root = workspace::root();
    match task {
        Task::Ci => steps::ci(&root),
        Task::Check => steps::check(&root),
        Task::Test => steps::test(&root),
        Task::Layers(target) => layers::run(&target.manifest()),
        Task::Licences(target) => licences::run(&target.manifest(), &root),
        Task::Abi { check: true } => abi::check(&root),
        Task::Abi { check: false } => abi::write(&root),
        Task::Conformance { service, list: true, .. } => {
            conformance::list(&root, service.as_deref())
        }
        Task::Conformance { service, target, .. } => {
            conformance::run(&root, &target.manifest(), service.as_deref())
        }
        Task::Guest { check: true } => guest::check(&root),
        Task::Guest { check: false } => guest::write(&root),
        Task::Laws { ops } => laws::run(&root, ops),
        Task::Race { seconds } => race::run(&root, seconds),
        Task::Crash(part) => crash::run(&root, &part),
        Task::Fuzz { target, seconds, seed } => fuzz::run(&root, target.as_deref(), seconds, seed),
        Task::Bench { args } => bench::run(&root, &args),
        Task::Sim { args } => sim::run(&root, &args),
        Task::Smoke { profile } => smoke::run(&root, profile.as_deref()),
        Task::Graph { check: true } => graph::generated(&root)?.check(&root),
        Task::Graph { check: false } => graph::generated(&root)?.write(&root),
    }
}
