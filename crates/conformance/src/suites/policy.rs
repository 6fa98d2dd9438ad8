//! Scheduling policies, seen through the scheduler they order: service `process`.
//!
//! Whatever order a policy gives: every runnable process is started, none twice, none that may not
//! run, none is lost when a transaction is undone or the host crashes, nobody starves, and the same
//! calls give the same order.

use std::collections::BTreeSet;

use libos_abi::{
    Pid, Text,
    process::{self, Signal, Wait, WaitOn},
};
use libos_port::{Component, Stop};

use super::scheduler::{exit, launch, signal, spawn};
use crate::{Factory, Kernel, host};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! policy_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args policy
            case every_runnable_process_is_started_once
                holds "I-24, I-25" shows "process.next ok";
            case a_process_that_goes_on_is_started_again
                holds "I-24" shows "process.commit ok";
            case a_process_that_waits_is_not_started_until_it_is_ready
                holds "I-24" shows "process.block ok, process.ready ok";
            case a_process_that_is_held_or_has_ended_is_not_started
                holds "I-23, I-24" shows "process.signal ok, process.exit ok";
            case a_start_that_is_undone_is_made_again
                holds "I-24" shows "";
            case what_was_runnable_at_a_crash_is_started
                holds "I-24" shows "process.recover ok";
            case nobody_starves
                holds "I-85" shows "";
            case the_same_calls_give_the_same_order
                holds "I-34" shows "";
        }
    };
}

policy_cases! { contract [Kernel<dyn Component>: "process"] }

/// What makes a scheduler with the policy, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Queue = Kernel<dyn Component>;

fn roots(k: &mut Queue, count: usize) -> Vec<Pid> {
    (0..count).map(|_| k.ok(host(), launch()).pid).collect()
}

fn next(k: &mut Queue) -> Option<Pid> {
    k.ok(host(), process::Next {}).map(|order| order.pid)
}

/// Everything that is started until nothing is left, in order.
fn drain(k: &mut Queue) -> Vec<Pid> {
    let mut started = Vec::new();
    while let Some(pid) = next(k) {
        assert!(started.len() < 10_000, "it goes on for ever");
        started.push(pid);
    }
    started
}

fn sorted(mut pids: Vec<Pid>) -> Vec<Pid> {
    pids.sort_unstable();
    pids
}

fn goes_on(k: &mut Queue, pid: Pid) {
    k.ok(pid, process::Commit { state: Text::default() });
}

fn waits(k: &mut Queue, pid: Pid) {
    let wait = Wait { on: WaitOn::Time, until_ms: Some(9) };
    k.ok(host(), process::Block { pid, wait });
}

fn every_runnable_process_is_started_once(k: &mut Queue) {
    assert_eq!(next(k), None);
    let mut all = roots(k, 5);
    for parent in all.clone() {
        all.push(k.ok(parent, spawn()).pid);
    }
    assert_eq!(sorted(drain(k)), sorted(all));
}

fn a_process_that_goes_on_is_started_again(k: &mut Queue) {
    let all = roots(k, 4);
    for round in 0..6 {
        let started = drain(k);
        assert_eq!(sorted(started.clone()), all, "in round {round}");
        started.into_iter().for_each(|pid| goes_on(k, pid));
    }
}

fn a_process_that_waits_is_not_started_until_it_is_ready(k: &mut Queue) {
    let all = roots(k, 4);
    drain(k);
    waits(k, all[1]);
    waits(k, all[2]);
    goes_on(k, all[3]);
    assert_eq!(drain(k), [all[3]]);
    for pid in [all[2], all[1], all[2]] {
        k.ok(host(), process::Ready { pid });
    }
    assert_eq!(sorted(drain(k)), [all[1], all[2]]);
}

fn a_process_that_is_held_or_has_ended_is_not_started(k: &mut Queue) {
    let all = roots(k, 5);
    k.ok(host(), signal(all[0], Signal::Pause));
    k.ok(host(), signal(all[1], Signal::Terminate));
    k.ok(all[2], exit());
    assert_eq!(sorted(drain(k)), all[3..]);
    k.ok(host(), signal(all[0], Signal::Resume));
    assert_eq!(drain(k), [all[0]]);
    assert_eq!(drain(k), []);
}

fn a_start_that_is_undone_is_made_again(k: &mut Queue) {
    let all = roots(k, 3);
    for count in 1..=3 {
        let undone: Result<(), Stop> = k.transaction(|k| {
            for _ in 0..count {
                k.enter(host(), process::Next {})?;
            }
            Err(libos_abi::Fault::Cancelled.into())
        });
        assert!(undone.is_err());
    }
    let undone: Result<(), Stop> = k.transaction(|k| {
        k.enter(host(), signal(all[1], Signal::Terminate))?;
        k.enter(host(), launch())?;
        Err(libos_abi::Fault::Cancelled.into())
    });
    assert!(undone.is_err());
    assert_eq!(sorted(drain(k)), all);
}

fn what_was_runnable_at_a_crash_is_started(k: &mut Queue) {
    let all = roots(k, 5);
    // Whatever the order is: two run, and of these one waits.
    let running: Vec<Pid> = (0..2).map(|_| next(k).expect("five can run")).collect();
    waits(k, running[0]);
    k.recover();
    k.ok(host(), process::Recover {});
    let expected: Vec<Pid> = all.iter().copied().filter(|pid| *pid != running[0]).collect();
    assert_eq!(sorted(drain(k)), expected);
}

/// One task floods the queue with processes that never stop; the other's one process still runs.
fn nobody_starves(k: &mut Queue) {
    let [flood, other] = roots(k, 2)[..] else { panic!("two roots") };
    let mut alive = 2;
    for _ in 0..30 {
        k.ok(flood, spawn());
        alive += 1;
    }
    k.is_strict = false;
    let mut since = 0;
    let mut seen = BTreeSet::new();
    for _ in 0..alive * 20 {
        let pid = next(k).expect("all of them can run");
        since = if pid == other { 0 } else { since + 1 };
        assert!(since <= alive * 4, "{other} was passed over {since} times by {alive} others");
        seen.insert(pid);
        goes_on(k, pid);
    }
    assert_eq!(seen.len(), alive, "some process never ran");
}

fn the_same_calls_give_the_same_order(k: &mut Queue) {
    let mut other = k.fresh();
    let orders = [script(k), script(&mut other)];
    assert_eq!(orders[0], orders[1]);
    assert!(orders[0].len() > 10, "too little ran to tell: {:?}", orders[0]);
}

/// A mixed life of some processes; gives the order in which they were started.
fn script(k: &mut Queue) -> Vec<Pid> {
    let all = roots(k, 6);
    let child = k.ok(all[2], spawn()).pid;
    k.ok(host(), signal(all[4], Signal::Pause));
    let mut order = Vec::new();
    for turn in 0..20 {
        let Some(pid) = next(k) else { break };
        order.push(pid);
        match turn {
            3 => waits(k, pid),
            5 => drop(k.ok(pid, exit())),
            _ => goes_on(k, pid),
        }
        if turn == 8 {
            k.ok(host(), signal(all[4], Signal::Resume));
            k.code(host(), signal(child, Signal::Terminate));
        }
    }
    order
}
