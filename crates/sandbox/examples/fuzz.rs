//! Fuzzes one place of the sandbox for a while: `fuzz TARGET SECONDS SEED FOLDER`.
//!
//! It prints how many inputs it tried. An input that breaks something is printed in hexadecimal
//! with the seed, and the run fails.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a tool for the terminal")]

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use libos_sandbox::fuzz::{Fuzz, Mutations, Target};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [target, seconds, seed, folder] = args.as_slice() else {
        return Err("write: fuzz TARGET SECONDS SEED FOLDER".into());
    };
    let known = Target::ALL.into_iter().find(|known| known.name() == target);
    let target = known.ok_or_else(|| format!("there is no target `{target}`"))?;
    let (time, seed) = (Duration::from_secs(seconds.parse()?), seed.parse()?);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let fuzz = tokio.block_on(Fuzz::new(&PathBuf::from(folder)));
    let start = Instant::now();
    let (mut tried, mut slowest) = (0_u64, Duration::ZERO);
    for input in Mutations::new(target, seed) {
        if start.elapsed() >= time {
            break;
        }
        let begun = Instant::now();
        let put = || tokio.block_on(fuzz.put(target, &input));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(put)) {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{} broke at input {tried} of seed {seed}: {hex}", target.name());
            resume_unwind(panic);
        }
        tried += 1;
        slowest = slowest.max(begun.elapsed());
    }
    let slowest = slowest.as_millis();
    println!("{}: {tried} inputs of seed {seed}, the slowest took {slowest} ms", target.name());
    Ok(())
}
