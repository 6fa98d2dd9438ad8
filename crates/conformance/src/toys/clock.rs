//! A clock that knows no processes: what a service behind a component needs at the least.

use libos_abi::{
    Digest, Event, Fault, Millis, Reply, Syscall,
    clock::{self, FailureKind, GetNow, Now, Server, Sleep, Slept},
    process::{Wait, WaitOn},
};
use libos_port::{BadSnapshot, Component, Context, Manifest, Stop, load_version, save_version};

/// The longest sleep: 30 days.
const SLEEP_MAX: Millis = Millis(30 * 24 * 3_600_000);

/// Serves `clock`, and has no state.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clock;

impl<'c> Server<dyn Context + 'c, Stop> for Clock {
    fn now(&mut self, cx: &mut (dyn Context + 'c), _: &GetNow) -> Result<Now, Stop> {
        let unix_ms = cx.now_ms();
        let iso8601 = utc(unix_ms).parse().map_err(|_| Fault::bad("a time past the calendar"))?;
        Ok(Now { unix_ms, iso8601 })
    }

    fn sleep(&mut self, cx: &mut (dyn Context + 'c), call: &Sleep) -> Result<Slept, Stop> {
        if call.ms > SLEEP_MAX {
            return Err(FailureKind::TooLong.because("at most 30 days").into());
        }
        let until_ms = cx.started_ms().saturating_add(call.ms.0);
        match cx.now_ms() < until_ms {
            true => Err(Stop::Wait(Wait { on: WaitOn::Time, until_ms: Some(until_ms) })),
            false => Ok(Slept { ms: call.ms.0, elapsed_ms: cx.now_ms() - cx.started_ms() }),
        }
    }
}

impl Component for Clock {
    fn manifest(&self) -> Manifest {
        Manifest { serves: &["clock"], imports: &[] }
    }

    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        match call {
            Syscall::Clock(call) => clock::dispatch(self, cx, call),
            other => Err(Stop::unsupported(other)),
        }
    }

    fn apply(&mut self, _: &Event) {}
    fn begin(&mut self) {}
    fn rollback(&mut self) {}

    fn digest(&self) -> Digest {
        Digest::of(b"")
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        save_version(1, out);
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        Ok(load_version(1, bytes)?.end()?)
    }
}

/// A time as text, by counting years and months from 1970.
fn utc(unix_ms: u64) -> String {
    let (mut days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    let (second, ms) = (ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", days + 1)
}
