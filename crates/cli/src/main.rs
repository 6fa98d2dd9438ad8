//! libos: the command line of Agent libOS.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the face talks to the terminal and reads the files a user names"
)]

#[macro_use]
mod show;

mod args;
mod audit;
mod capability;
mod demo;
mod evidence;
mod exit;
mod host;
mod inbox;
mod init;
mod keys;
mod object;
mod process;
mod run;
mod store;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Failure},
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("LIBOS_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .init();
    let json = cli.json;
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "no_threads", error.to_string()))
        .and_then(|tokio| {
            let result = tokio.block_on(run(cli));
            // What was dropped may still hold a blocking thread; it is not waited for.
            tokio.shutdown_background();
            result
        });
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if json {
                say!("{}", failure.json());
            } else {
                tell!("libos: {failure}");
            }
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { store, json, operator, command } = cli;
    let host = host::Host { store, json, operator };
    match command {
        Command::Init(args) => init::init(&host, &args),
        Command::Run(args) => run::run(&host, &args).await,
        Command::Resume(args) => run::resume(&host, &args.answers).await,
        Command::Ps => process::ps(&host).await,
        Command::Inspect { pid } => process::inspect(&host, pid).await,
        Command::Inbox { all } => inbox::inbox(&host, all).await,
        Command::Approve(args) => inbox::approve(&host, args).await,
        Command::Deny { request, reason } => inbox::deny(&host, request, reason).await,
        Command::Answer { request, text } => inbox::answer(&host, request, text).await,
        Command::Cap(command) => capability::run(&host, command).await,
        Command::Object(command) => object::run(&host, command).await,
        Command::Audit(command) => audit::run(&host, command),
        Command::Store(command) => store::run(&host, command).await,
        Command::Demo(args) => demo::demo(&host, &args).await,
    }
}
