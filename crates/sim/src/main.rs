//! The command behind `cargo xtask sim`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that talks to a terminal")]
#![allow(clippy::disallowed_methods, reason = "it tells how long it took")]

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use libos_sim::{Failure, STEPS_DEFAULT, Steps, minimise, run, sweep};

/// Tries to break the promises of the system, from seeds.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim")]
struct Args {
    /// The seed, or the first of several
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many actions of each
    #[arg(long, default_value_t = STEPS_DEFAULT)]
    steps: u64,
    /// Only these actions, as a failure names them
    #[arg(long, value_name = "LIST")]
    keep: Option<String>,
    /// Plant a bug, and find it
    #[arg(long, value_name = "NAME")]
    mutation: Option<String>,
    /// Plant every bug in turn, and print how many seeds it took to find each
    #[arg(long)]
    mutations: bool,
}

fn main() -> ExitCode {
    match tried(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tried(args: &Args) -> Result<()> {
    // A core that panics is a finding, told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if args.mutations {
        return mutations(args);
    }
    let planted = planted(args.mutation.as_deref())?;
    plant(planted);
    let steps = match &args.keep {
        Some(list) => Steps::parse(list).map_err(anyhow::Error::msg)?,
        None => Steps::first(args.steps),
    };
    let begun = Instant::now();
    let (seed, failure) = match args.seeds {
        1 => (args.seed, run(args.seed, &steps, None).failure),
        seeds => {
            let end = args.seed.saturating_add(seeds);
            let told = |done: u64| {
                if done.is_multiple_of(500) {
                    eprintln!("{done} seeds, {:.0} s", begun.elapsed().as_secs_f64());
                }
            };
            let found = sweep(args.seed..end, &steps, || plant(planted), told);
            println!(
                "{} seeds, {:.0} s: {:?}",
                found.seeds,
                begun.elapsed().as_secs_f64(),
                found.tally
            );
            found.failure.map_or((args.seed, None), |(seed, failure)| (seed, Some(failure)))
        }
    };
    let Some(failure) = failure else {
        println!("everything held");
        return Ok(());
    };
    show(seed, &steps, &failure, args.mutation.as_deref());
    bail!("seed {seed}: {} does not hold", failure.violation.law)
}

/// Prints a failure as small as it gets, and the command that shows it again.
fn show(seed: u64, steps: &Steps, failure: &Failure, mutation: Option<&str>) {
    println!("seed {seed}: {}: {}", failure.violation.law, failure.violation.what);
    let (steps, failure) = minimise(seed, steps, failure);
    let mut log = Vec::new();
    let outcome = run(seed, &steps, Some(&mut log));
    println!("\n{} actions suffice:", steps.0.len());
    log.iter().for_each(|line| println!("{line}"));
    let failure = outcome.failure.unwrap_or(failure);
    println!("\n{}: {}", failure.violation.law, failure.violation.what);
    let mutation = mutation.map(|name| format!(" --mutation {name}")).unwrap_or_default();
    println!("\ncargo xtask sim --seed {seed} --keep {steps}{mutation}");
}

#[cfg(feature = "mutations")]
fn planted(name: Option<&str>) -> Result<Option<&'static str>> {
    let Some(name) = name else { return Ok(None) };
    let known = libos_sim::mutations::ALL.iter().find(|mutation| mutation.name == name);
    match known {
        Some(mutation) => Ok(Some(mutation.name)),
        None => {
            let names: Vec<&str> = libos_sim::mutations::ALL.iter().map(|it| it.name).collect();
            bail!("there is no mutation `{name}`; there are {}", names.join(", "))
        }
    }
}

#[cfg(not(feature = "mutations"))]
fn planted(name: Option<&str>) -> Result<Option<&'static str>> {
    ensure!(name.is_none(), "build with the feature `mutations` to plant bugs");
    Ok(None)
}

#[cfg(feature = "mutations")]
fn plant(name: Option<&'static str>) {
    libos_sim::mutations::plant(name);
}

#[cfg(not(feature = "mutations"))]
fn plant(_: Option<&'static str>) {}

#[cfg(feature = "mutations")]
fn mutations(args: &Args) -> Result<()> {
    use libos_sim::mutations::ALL;
    let seeds = if args.seeds == 1 { 1_000 } else { args.seeds };
    let steps = Steps::first(args.steps);
    let mut missed = Vec::new();
    println!("{:28} {:>6}  {:36} found as", "planted", "seeds", "what it does");
    for mutation in ALL {
        let range = args.seed..args.seed.saturating_add(seeds);
        let found = sweep(range, &steps, || plant(Some(mutation.name)), |_| {});
        let (after, law) = match &found.failure {
            Some((seed, failure)) => ((seed - args.seed + 1).to_string(), failure.violation.law),
            None => {
                missed.push(mutation.name);
                ("-".into(), "NOT FOUND")
            }
        };
        println!("{:28} {after:>6}  {:36} {law}", mutation.name, mutation.what);
    }
    ensure!(missed.is_empty(), "not found within {seeds} seeds: {}", missed.join(", "));
    Ok(())
}

#[cfg(not(feature = "mutations"))]
fn mutations(_: &Args) -> Result<()> {
    bail!("build with the feature `mutations` to plant bugs")
}
