//! Tools over programs and time.

use libos_abi::{Folder, FsPath, Millis, ObjectId, SecretUse, Text, clock, shell};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunCommand {
    /// The program and its arguments.
    #[schemars(length(min = 1))]
    argv: Vec<String>,
    /// Its working directory; that of the process if absent.
    cwd: Option<FsPath>,
    /// How long it may run; 30 s if absent, a day at the most.
    timeout_ms: Option<Millis>,
    /// What it reads from standard input; nothing if absent.
    stdin: Option<Text>,
    /// Secrets of the host, each for the variable that it names.
    secrets: Option<Vec<SecretUse>>,
    /// The type of an object that standard output is kept as, 64 MiB at the most. Then only its
    /// beginning is given.
    stdout_into: Option<String>,
    /// The same for standard error.
    stderr_into: Option<String>,
    /// An object whose content it reads from standard input behind `stdin`.
    stdin_from: Option<ObjectId>,
}

pub(crate) async fn run_command(port: &dyn Port, args: RunCommand) -> Ended {
    let call = shell::Run {
        argv: args.argv,
        cwd: Folder(args.cwd),
        timeout_ms: args.timeout_ms,
        stdin: args.stdin,
        secrets: args.secrets,
        stdout_into: args.stdout_into,
        stderr_into: args.stderr_into,
        stdin_from: args.stdin_from,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetTime {}

pub(crate) async fn get_time(port: &dyn Port, _: GetTime) -> Ended {
    json(port.call(clock::GetNow {}).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sleep {
    /// How long.
    ms: Millis,
}

pub(crate) async fn sleep(port: &dyn Port, args: Sleep) -> Ended {
    json(port.call(clock::Sleep { ms: args.ms }).await?)
}
