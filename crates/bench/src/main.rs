//! Runs the benchmarks; see the library.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measuring program for the developer's terminal"
)]

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use libos_bench::{
    BENCHES, Bench,
    allocator::Counting,
    machine,
    measure::Scale,
    report::{self, Row},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measures this runtime, each row beside its bare floor.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    /// What to measure: a bench or rows by how their names begin; everything if absent
    name: Option<String>,
    /// Say what there is
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the table of the README
    #[arg(long)]
    markdown: bool,
    /// Run everything once and tiny: whether it works, not how fast
    #[arg(long)]
    quick: bool,
    /// The folder for stores; what is made there is removed again
    #[arg(long, default_value = "target", value_name = "DIR")]
    folder: PathBuf,
    /// Measure one bench in this very process and print its rows
    #[arg(long, hide = true, value_name = "BENCH")]
    only: Option<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if cli.list {
        for bench in BENCHES {
            println!("{:<9} {}", bench.name, bench.about);
            println!("{:<9} {}", "", bench.rows.join(", "));
        }
        return Ok(());
    }
    if let Some(only) = &cli.only {
        let bench = BENCHES.iter().find(|bench| bench.name == only).context("no such bench")?;
        let scale = Scale { quick: cli.quick, folder: cli.folder };
        println!("{}", serde_json::to_string(&(bench.run)(&scale)?)?);
        return Ok(());
    }
    let name = cli.name.as_deref().unwrap_or_default();
    let chosen: Vec<&Bench> = BENCHES.iter().filter(|bench| bench.has(name)).collect();
    ensure!(!chosen.is_empty(), "there is no bench or row `{name}`; --list shows what there is");
    let mut rows = Vec::new();
    for bench in chosen {
        eprintln!("measuring {}: {}", bench.name, bench.about);
        let whole = bench.name == name;
        let measured = measured(bench, &cli)?.into_iter();
        rows.extend(measured.filter(|row| whole || row.name.starts_with(name)));
    }
    let machine = machine::describe();
    match (cli.json, cli.markdown) {
        (true, _) => println!("{}", report::json(&machine, &rows)?),
        (_, true) => print!("{}", report::markdown(&machine, &rows)),
        _ => print!("{}", report::table(&machine, &rows)),
    }
    Ok(())
}

/// The rows of a bench, measured in a process of its own: what another left in memory, or in the
/// allocator's lists, has no part in them.
fn measured(bench: &Bench, cli: &Cli) -> Result<Vec<Row>> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--only", bench.name]).arg("--folder").arg(&cli.folder);
    if cli.quick {
        command.arg("--quick");
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} ended with {}", bench.name, output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
