//! Time: service `clock`. The time is the transaction's; a sleep is a deadline.

use libos_abi::{
    Millis, Pid, clock,
    process::{Wait, WaitOn},
};
use libos_port::{Component, Stop};

use super::scheduler::launch;
use crate::{By, Factory, Kernel, host, process};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! clock_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args clock
            case the_time_is_that_of_the_transaction
                holds "I-34" shows "clock.now ok";
            case times_are_written_in_utc
                holds "I-34" shows "clock.now ok";
            case a_sleep_is_a_deadline
                holds "I-21" shows "clock.sleep wait, clock.sleep ok";
            case a_sleep_of_nothing_is_over_at_once
                holds "I-21" shows "clock.sleep ok";
            case a_sleep_that_is_too_long_is_refused
                holds "I-08" shows "clock.sleep too_long";
            case a_sleep_survives_a_crash
                holds "I-34, I-21" shows "clock.sleep wait, clock.sleep ok";
            case neither_the_time_nor_a_sleep_is_state
                holds "I-34" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

clock_cases! { contract [Kernel<dyn Component>: "clock"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Clock = Kernel<dyn Component>;

/// A process that lives: where the component keeps the processes too, it has to be made.
fn living(k: &mut Clock) -> Pid {
    match k.serves("process") {
        true => k.ok(host(), launch()).pid,
        false => Pid(1),
    }
}

fn sleep(ms: u64) -> clock::Sleep {
    clock::Sleep { ms: Millis(ms) }
}

fn until(until_ms: u64) -> Stop {
    Stop::Wait(Wait { on: WaitOn::Time, until_ms: Some(until_ms) })
}

fn the_time_is_that_of_the_transaction(k: &mut Clock) {
    let pid = living(k);
    for (by, now_ms) in [(By::from(pid), 0), (pid.into(), 1_000), (host(), 1_000), (host(), 7)] {
        k.world.now_ms = now_ms;
        assert_eq!(k.ok(by, clock::GetNow {}).unix_ms, now_ms);
    }
}

fn times_are_written_in_utc(k: &mut Clock) {
    for (unix_ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_795_381_708_000, "2026-11-22T21:08:28.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ] {
        k.world.now_ms = unix_ms;
        assert_eq!(k.ok(host(), clock::GetNow {}).iso8601, text);
    }
}

fn a_sleep_is_a_deadline(k: &mut Clock) {
    let pid = living(k);
    let by = || By::from(pid).op(7);
    k.world.now_ms = 1_000;
    assert_eq!(k.call(by(), sleep(20)), Err(until(1_020)));
    k.world.now_ms = 1_019;
    assert_eq!(k.call(by(), sleep(20)), Err(until(1_020)), "it counts from when it began");
    k.world.now_ms = 1_023;
    let slept = k.ok(by(), sleep(20));
    assert_eq!((slept.ms, slept.elapsed_ms), (20, 23));
}

fn a_sleep_of_nothing_is_over_at_once(k: &mut Clock) {
    let pid = living(k);
    assert_eq!(k.ok(pid, sleep(0)).elapsed_ms, 0);
}

fn a_sleep_that_is_too_long_is_refused(k: &mut Clock) {
    let pid = living(k);
    let month = 30 * 24 * 3_600_000;
    assert_eq!(k.refused(pid, sleep(month + 1)).0, "too_long");
    assert_eq!(k.refused(pid, sleep(u64::MAX)).0, "too_long");
    assert_eq!(k.call(pid, sleep(month)), Err(until(month)));
}

fn a_sleep_survives_a_crash(k: &mut Clock) {
    let pid = living(k);
    let by = || By::from(pid).op(7);
    assert_eq!(k.call(by(), sleep(20)), Err(until(20)));
    k.recover();
    k.world.now_ms = 10;
    assert_eq!(k.call(by(), sleep(20)), Err(until(20)));
    k.world.now_ms = 20;
    assert_eq!(k.ok(by(), sleep(20)).ms, 20);
}

fn neither_the_time_nor_a_sleep_is_state(k: &mut Clock) {
    let pid = living(k);
    let (before, events) = (k.part.digest(), k.journal.len());
    k.world.now_ms = 99;
    k.ok(pid, clock::GetNow {});
    assert_eq!(k.code(process(pid.0), sleep(5)), "wait");
    assert_eq!((k.part.digest(), k.journal.len()), (before, events));
}

fn what_it_does_not_serve_is_unsupported(k: &mut Clock) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
