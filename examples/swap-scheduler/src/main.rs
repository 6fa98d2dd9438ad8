//! `libos` with processes that run in bursts.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use libos_scheduler::Scheduler;
use swap_scheduler::Bursts;

fn main() -> ExitCode {
    libos_cli::main(|builder| {
        let scheduler = Scheduler::new(Box::new(Bursts::default()));
        builder.component(Box::new(scheduler))
    })
}
