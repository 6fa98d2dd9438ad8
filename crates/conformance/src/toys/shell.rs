//! A shell that starts nothing: five programs, played.

use std::time::Duration;

use libos_abi::{
    Error, Fault, OpId, Syscall, Text,
    shell::{Call, Ended, FailureKind, Reply, Run},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};

/// Serves `shell` with `true`, `false`, `echo`, `cat` and `sleep`, in the one folder `workspace`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Shell;

impl Provider for Shell {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        Box::pin(async move {
            let Syscall::Shell(Call::Run(run)) = &order.call else {
                let call = order.call.info().name.into();
                return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
            };
            match plan(run, &order) {
                Ok((code, stdout, runs_for)) => play(run, code, stdout, runs_for).await,
                Err(error) => EffectOutcome::NotStarted(error),
            }
        })
    }
}

/// The exit code, the output and the duration of a run; everything is refused here.
fn plan(run: &Run, order: &Order) -> Result<(i32, String, Duration), Error> {
    let Some((name, args)) = run.argv.split_first() else {
        return Err(FailureKind::BadArguments.because("the argument list is empty"));
    };
    if name.is_empty() || name.contains('/') || run.argv.iter().any(|arg| arg.contains('\0')) {
        return Err(FailureKind::BadArguments.because("no program has such a name"));
    }
    if run.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) {
        return Err(FailureKind::SecretRefused.because("there are no secrets here"));
    }
    let cwd = run.cwd.0.as_ref().unwrap_or(&order.cwd);
    if &*cwd.0 != "workspace" {
        return Err(FailureKind::BadFolder.because(format!("`{cwd}` is not there")));
    }
    let stdin = run.stdin.as_ref().map_or(Ok(""), |text| inline(text, order.op))?;
    Ok(match name.as_str() {
        "true" => (0, String::new(), Duration::ZERO),
        "false" => (1, String::new(), Duration::ZERO),
        "echo" => (0, format!("{}\n", args.join(" ")), Duration::ZERO),
        "cat" => (0, stdin.to_owned(), Duration::ZERO),
        "sleep" => {
            let seconds = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(0);
            (0, String::new(), Duration::from_secs(seconds))
        }
        _ => return Err(FailureKind::NotFound.because(format!("there is no `{name}`"))),
    })
}

fn inline(text: &Text, op: OpId) -> Result<&str, Error> {
    text.as_str().ok_or_else(|| Fault::ProviderFailed { kind: "blob.missing".into(), op }.into())
}

async fn play(run: &Run, code: i32, stdout: String, runs_for: Duration) -> EffectOutcome {
    let limit = run.timeout_ms.map_or(Duration::from_secs(30), |ms| Duration::from_millis(ms.0));
    if tokio::time::timeout(limit, tokio::time::sleep(runs_for)).await.is_err() {
        return EffectOutcome::Failed(FailureKind::TimedOut.because("it ran too long"));
    }
    EffectOutcome::Done(
        Reply::Run(Box::new(Ended {
            exit_code: Some(code),
            signal: None,
            stdout: stdout.into(),
            stderr: Text::default(),
            truncated: false,
            wall_ms: 0,
            ..Default::default()
        }))
        .into(),
    )
}
