//! The command line of Agent libOS, over whatever parts it is composed of.
//!
//! The binary `libos` is [`main`] with the standard parts; another composition is a binary of its
//! own that passes another function:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     libos_cli::main(|builder| {
//!         let policy = Box::new(agent_libos::scheduler::RoundRobin::default());
//!         builder.component(Box::new(agent_libos::scheduler::Scheduler::new(policy)))
//!     })
//! }
//! ```
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
mod skill;

mod args;
mod audit;
mod capability;
mod card;
mod checkpoint;
mod config;
mod context;
mod crash;
mod demo;
mod doctor;
mod events;
mod evidence;
mod exit;
mod explain;
mod goal;
mod host;
mod image;
mod image_diff;
mod inbox;
mod init;
mod keys;
mod label;
mod logs;
mod object;
mod past;
mod process;
mod progress;
mod prompt;
mod reach;
mod run;
mod secret;
mod simulate;
mod speech;
mod steer;
mod store;
mod tool;
mod top;
mod why;

use std::process::ExitCode;

use agent_libos::{Builder, config::Settings};
use clap::{CommandFactory, Parser};

use crate::{
    args::{Cli, Command, Typed},
    exit::{Exit, Failure},
};

/// Replaces parts of a runtime that is set up.
pub type Compose = fn(Builder) -> Builder;

/// Runs the command that the arguments of this process name. Every runtime it starts is composed
/// of the standard parts, but for those that `compose` replaces.
#[must_use]
pub fn main(compose: Compose) -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("LIBOS_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .init();
    let settings = config::settings(&cli);
    let set = settings.as_ref().is_ok_and(Settings::json);
    let json = cli.json.unwrap_or(set);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "no_threads", error.to_string()))
        .and_then(|tokio| {
            let result = tokio.block_on(command(cli.command, settings, json, compose));
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

async fn command(
    typed: Typed,
    settings: Result<Settings, Failure>,
    json: bool,
    compose: Compose,
) -> Result<Exit, Failure> {
    match typed {
        Typed::OnStore(command) => run(&host::Host::of(settings?, compose)?, command).await,
        Typed::Config(command) => config::run(settings, &command, json),
        Typed::Secret(command) => secret::run(&settings?, &command, json),
        Typed::Doctor => doctor::doctor(settings, json, compose).await,
        Typed::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "libos", &mut script);
            let script = String::from_utf8_lossy(&script);
            if json {
                show::json(&serde_json::json!({ "shell": shell.to_string(), "script": script }));
            } else {
                show::raw(&script);
            }
            Ok(Exit::Done)
        }
    }
}

async fn run(host: &host::Host, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::init(host, &args),
        Command::Run(args) => run::run(host, &args).await,
        Command::Resume(args) => run::resume(host, &args.answers).await,
        Command::Ps(at) => process::ps(host, at).await,
        Command::Top(args) => top::top(host, &args).await,
        Command::Inspect { pid, at } => process::inspect(host, pid, at).await,
        Command::Chat(args) => run::chat(host, &args).await,
        Command::Explain(args) => explain::explain(host, &args),
        Command::Context(args) => context::context(host, &args).await,
        Command::Logs(args) => logs::logs(host, &args).await,
        Command::Events(args) => events::events(host, &args).await,
        Command::Why { effect } => why::why(host, effect),
        Command::Inbox { all } => inbox::inbox(host, all).await,
        Command::Approve(args) => inbox::approve(host, args).await,
        Command::Deny { request, reason } => inbox::deny(host, request, reason).await,
        Command::Answer { request, text } => inbox::answer(host, request, text).await,
        Command::Extend { request, by } => inbox::extend(host, request, by).await,
        Command::Settle { request, what } => inbox::settle(host, request, what).await,
        Command::Msg(args) => steer::msg(host, args).await,
        Command::Signal(args) => steer::signal(host, args).await,
        Command::Fork(args) => steer::fork(host, args).await,
        Command::Exec(args) => steer::exec(host, args).await,
        Command::Exit(args) => steer::exit(host, args).await,
        Command::Cap(command) => capability::run(host, command).await,
        Command::Label(command) => label::run(host, command).await,
        Command::Object(command) => object::run(host, command).await,
        Command::Checkpoint(command) => checkpoint::run(host, command).await,
        Command::Image(command) => image::run(host, command).await,
        Command::Skill(command) => skill::run(host, command).await,
        Command::Tool(command) => tool::run(host, command).await,
        Command::Audit(command) => audit::run(host, command),
        Command::Store(command) => store::run(host, command).await,
        Command::Replay(args) => past::replay(host, &args).await,
        Command::Policy(command) => past::policy(host, &command).await,
        Command::SimulateCrash(args) => simulate::simulate(host, &args).await,
        Command::Demo(args) => demo::demo(host, &args).await,
    }
}
