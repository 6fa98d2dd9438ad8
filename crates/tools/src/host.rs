//! Tools over programs and time.

use libos_abi::{Folder, FsPath, Millis, SecretUse, Text, clock, shell};
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
}

pub(crate) async fn run_command(port: &dyn Port, args: RunCommand) -> Ended {
    let call = shell::Run {
        argv: args.argv,
        cwd: Folder(args.cwd),
        timeout_ms: args.timeout_ms,
        stdin: args.stdin,
        secrets: args.secrets,
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
