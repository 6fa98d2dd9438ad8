//! Figures, printed on demand:
//! `cargo test --release -p libos-scheduler -- --ignored --nocapture`.
//!
//! Each call is a transaction of its own. What it costs to have the call made here, with answers
//! made up for the components it asks, is in the figures.
#![expect(clippy::disallowed_methods, reason = "a measurement reads its own time and size")]

use std::time::Duration;

use libos_abi::{
    Pid, Text,
    process::{Admit, Block, Budget, Commit, ForkMode, GetCwd, Ready, Wait, WaitOn},
};
use libos_port::Component;
use libos_scheduler::{EarliestDeadline, Policy, RoundRobin, Scheduler, WeightedFair};

use crate::rig::{HOST, ONE, Rig, exit, fork, receive, send};

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The time this thread has had of a processor: what others do meanwhile does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Time spent by name, and in how many calls.
#[derive(Default)]
struct Spent(Vec<(&'static str, Duration, usize)>);

impl Spent {
    fn time(&mut self, name: &'static str, count: usize, mut each: impl FnMut(usize)) {
        let start = cpu_time();
        (0..count).for_each(&mut each);
        let spent = cpu_time() - start;
        match self.0.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, total, calls)) => (*total, *calls) = (*total + spent, *calls + count),
            None => self.0.push((name, spent, count)),
        }
    }

    fn print(&self) {
        for (name, spent, count) in &self.0 {
            println!("  {name:16} {:6} ns", spent.as_nanos() / *count as u128);
        }
    }
}

/// A quiet rig with `count` processes below roots that have 1,000 each.
fn populated(policy: Box<dyn Policy>, count: usize) -> (Rig, Vec<Pid>) {
    let scheduler = Scheduler::new(policy);
    let mut rig = Rig { scheduler, record: false, ..Rig::default() };
    rig.kernel.keep = false;
    let mut pids = Vec::with_capacity(count);
    let mut root = Pid(0);
    for index in 0..count {
        if index % 1_000 == 0 {
            root = rig.launch(Budget::default());
            pids.push(root);
        } else {
            pids.push(rig.spawn(root, Budget::default()));
        }
    }
    (rig, pids)
}

fn wait() -> Wait {
    Wait { on: WaitOn::Time, until_ms: Some(u64::MAX) }
}

/// Each call on `count` processes that there are, a hundred thousand times and more.
fn each_call(count: usize) {
    println!("{count} processes:");
    let (mut rig, pids) = populated(Box::new(RoundRobin::default()), count);
    let mut spent = Spent::default();
    while rig.next().is_some() {}
    for pid in &pids {
        rig.call(HOST, Block { pid: *pid, wait: wait() }).unwrap();
    }
    // Twenty parents all over the table with five hundred children each.
    let parents: Vec<Pid> = pids.iter().copied().skip(1).step_by(count / 20).collect();
    let mut children = Vec::new();
    spent.time("spawn", 10_000, |index| {
        children.push(rig.spawn(parents[index % parents.len()], Budget::default()));
    });
    spent.time("exit", 10_000, |index| {
        rig.call(Some(children[index]), exit()).unwrap();
    });
    spent.time("fork", 10_000, |index| {
        let parent = parents[index % parents.len()];
        rig.call(Some(parent), fork(ForkMode::Copy)).unwrap();
    });
    // So that the calls that follow are about those that were there.
    while rig.next().is_some() {}
    for round in 0..(100_000 / count).max(1) as u64 {
        spent.time("ready", count, |index| {
            rig.call(HOST, Ready { pid: pids[index] }).unwrap();
        });
        spent.time("next", count, |_| assert!(rig.next().is_some()));
        spent.time("admit", count, |index| {
            let run = 2 + 2 * round;
            rig.call(HOST, Admit { pid: pids[index], run, charge: ONE }).unwrap();
        });
        spent.time("cwd", count, |index| {
            rig.call(Some(pids[index]), GetCwd {}).unwrap();
        });
        spent.time("commit", count, |index| {
            let state = Text::default();
            rig.call(Some(pids[index]), Commit { state }).unwrap();
        });
        spent.time("next", count, |_| assert!(rig.next().is_some()));
        spent.time("block", count, |index| {
            let (pid, wait) = (pids[index], wait());
            rig.call(HOST, Block { pid, wait }).unwrap();
        });
        spent.time("send", count, |index| {
            rig.call(HOST, send(pids[index], "x")).unwrap();
        });
        spent.time("receive", count, |index| {
            rig.call(Some(pids[index]), receive(None)).unwrap();
        });
    }
    spent.print();
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    for count in [1_000, 100_000, 1_000_000] {
        each_call(count);
    }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_policies() {
    for count in [1_000, 1_000_000] {
        for (name, policy) in [
            ("round robin", Box::new(RoundRobin::default()) as Box<dyn Policy>),
            ("weighted fair", Box::new(WeightedFair::default())),
            ("earliest", Box::new(EarliestDeadline::default())),
        ] {
            println!("{count} processes, {name}:");
            let (mut rig, _) = populated(policy, count);
            let mut spent = Spent::default();
            spent.time("next and commit", 1_000_000, |_| {
                let pid = rig.next().unwrap();
                let state = Text::default();
                rig.call(Some(pid), Commit { state }).unwrap();
            });
            spent.print();
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_memory() {
    let before = resident_bytes();
    let (mut rig, pids) = populated(Box::new(RoundRobin::default()), 1_000_000);
    while rig.next().is_some() {}
    for pid in &pids {
        rig.call(HOST, Block { pid: *pid, wait: wait() }).unwrap();
    }
    let bytes = (resident_bytes() - before - 8 * pids.len() as u64) / pids.len() as u64;
    println!("{bytes} bytes for each of {} parked processes, queue included", pids.len());
    let start = cpu_time();
    assert_ne!(rig.scheduler.digest(), Scheduler::default().digest());
    println!("digest of them {} ms", (cpu_time() - start).as_millis());
}
