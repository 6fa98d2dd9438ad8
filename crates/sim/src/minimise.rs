//! Making a failure small: actions are left out as long as it fails in the same way.

use crate::{
    machine::{Failure, run},
    trace::Steps,
};

/// Runs after which what is small enough is taken.
const RUNS_MAX: usize = 600;

/// The fewest actions found that break the same law, and how they fail.
#[must_use]
pub fn minimise(seed: u64, steps: &Steps, failure: &Failure) -> (Steps, Failure) {
    let mut steps = steps.clone();
    let mut failure = failure.clone();
    if let Some(last) = failure.step {
        steps.0.retain(|step| *step <= last);
    }
    let mut runs = 0;
    let mut chunk = steps.0.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut left_out = false;
        while at < steps.0.len() && runs < RUNS_MAX {
            let end = (at + chunk).min(steps.0.len());
            let rest = [&steps.0[..at], &steps.0[end..]].concat();
            let fewer = Steps(rest);
            runs += 1;
            match run(seed, &fewer, None).failure {
                Some(same) if same.violation.law == failure.violation.law => {
                    (steps, failure, left_out) = (fewer, same, true);
                }
                _ => at = end,
            }
        }
        if runs >= RUNS_MAX || (chunk == 1 && !left_out) {
            return (steps, failure);
        }
        chunk = if left_out { chunk } else { chunk.div_ceil(2) };
        chunk = chunk.min(steps.0.len().max(1));
    }
}
