//! `libos` with a provider of one's own: where a plan runs a program, it asks a model that always
//! gives the same answer, and writes down in the workspace that it was asked.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a provider has effects, and this one writes a file"
)]

use std::{fs::OpenOptions, io::Write, path::Path, process::ExitCode, sync::Arc};

use agent_libos::{
    abi::{Fault, Syscall, shell},
    port::{BoxFuture, EffectOutcome, Order, Provider},
};

struct Model;

impl Provider for Model {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        Box::pin(async move {
            let Syscall::Shell(shell::Call::Run(run)) = &order.call else {
                let call = order.call.info().name.into();
                return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
            };
            let prompt = run.argv.join(" ");
            let folder = order.workspace.as_deref().unwrap_or(".");
            if let Err(error) = note(Path::new(folder), &prompt) {
                return EffectOutcome::Unknown(error.to_string());
            }
            let answer = shell::Ended {
                exit_code: Some(0),
                signal: None,
                stdout: format!("an answer to {prompt}").into(),
                stderr: "".into(),
                truncated: false,
                wall_ms: 0,
                ..Default::default()
            };
            EffectOutcome::Done(shell::Reply::Run(answer.into()).into())
        })
    }
}

/// Writes down that it was asked.
fn note(folder: &Path, prompt: &str) -> std::io::Result<()> {
    let asked = folder.join("asked.txt");
    let mut asked = OpenOptions::new().append(true).create(true).open(asked)?;
    writeln!(asked, "{prompt}")
}

fn main() -> ExitCode {
    libos_cli::main(|builder| builder.provider(Arc::new(Model)))
}
