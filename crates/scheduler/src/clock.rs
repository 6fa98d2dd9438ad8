//! Serves `clock`. The time is the transaction's; nothing here reads a clock.

use libos_abi::{
    Iso8601,
    clock::{FailureKind, GetNow, Now, Server, Sleep, Slept},
    process::{Wait, WaitOn},
};
use libos_port::{Context, Stop};

use crate::{LIMITS, Scheduler};

impl<'a> Server<dyn Context + 'a, Stop> for Scheduler {
    fn now(&mut self, cx: &mut (dyn Context + 'a), _: &GetNow) -> Result<Now, Stop> {
        if cx.caller().pid().is_some() {
            self.own(cx)?;
        }
        let unix_ms = cx.now_ms();
        Ok(Now { unix_ms, iso8601: Iso8601::of(unix_ms) })
    }

    fn sleep(&mut self, cx: &mut (dyn Context + 'a), call: &Sleep) -> Result<Slept, Stop> {
        if cx.caller().pid().is_some() {
            self.own(cx)?;
        }
        let ms = call.ms.0;
        if ms > LIMITS.sleep_ms_max {
            let max = libos_abi::Millis(LIMITS.sleep_ms_max);
            let detail = format!("{} is longer than the longest sleep, {max}", call.ms);
            return Err(FailureKind::TooLong.because(detail).into());
        }
        let until_ms = cx.started_ms().saturating_add(ms);
        if cx.now_ms() < until_ms {
            return Err(Stop::Wait(Wait { on: WaitOn::Time, until_ms: Some(until_ms) }));
        }
        Ok(Slept { ms, elapsed_ms: cx.now_ms().saturating_sub(cx.started_ms()) })
    }
}
