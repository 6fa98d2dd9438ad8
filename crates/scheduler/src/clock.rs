//! Serves `clock`. The time is the transaction's; nothing here reads a clock.

use std::fmt::Write as _;

use libos_abi::{
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
        Ok(Now { unix_ms, iso8601: iso8601(unix_ms) })
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

/// A point in time as `2026-11-22T21:08:28.000Z`. Years past 9999 get more digits.
fn iso8601(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    let (second, millisecond) = (ms / 1_000 % 60, ms % 1_000);
    // The length of every time until the year 9999: one allocation, and none to grow.
    let mut text = String::with_capacity("1970-01-01T00:00:00.000Z".len());
    write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
    )
    .expect("writing to a string never fails");
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years begin
/// in March here, so that the leap day is the last (Howard Hinnant, "chrono-compatible low-level
/// date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{civil, iso8601};

    #[test]
    fn times_print_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_381_708_000, "2026-11-22T21:08:28.000Z"),
            (4_107_542_399_001, "2100-02-28T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso8601(unix_ms), text);
        }
        assert!(iso8601(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for days in 1..300_000 {
            let (year, month, day) = civil(days);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let expected = match before {
                (y, 12, 31) => (y + 1, 1, 1),
                (y, 2, 28) if !leap => (y, 3, 1),
                (y, m, d)
                    if d == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][m as usize - 1] =>
                {
                    (y, m + 1, 1)
                }
                (y, m, d) => (y, m, d + 1),
            };
            assert_eq!((year, month, day), expected);
            before = expected;
        }
    }
}
