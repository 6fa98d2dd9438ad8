//! libos: the command line of Agent libOS, with the standard parts.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    libos_cli::main(|builder| builder)
}
