//! Figures, printed on demand:
//! `cargo test --release -p libos-scheduler -- --ignored --nocapture`.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and its own size")]

use std::time::Instant;

use libos_abi::{
    Pid,
    process::{Block, Budget, Commit, Next, Ready, Wait, WaitOn},
};
use libos_port::Component;
use libos_scheduler::Scheduler;

use crate::rig::{HOST, ONE, Rig, spawn};

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn timed(name: &str, count: usize, mut each: impl FnMut(usize)) {
    let start = Instant::now();
    (0..count).for_each(&mut each);
    let ns = start.elapsed().as_nanos() / count as u128;
    println!("  {name:10} {ns:6} ns");
}

/// A quiet rig with `count` processes below roots that have 1,000 each.
fn populated(count: usize) -> (Rig, Vec<Pid>) {
    let mut rig = Rig { record: false, ..Rig::default() };
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

#[test]
#[ignore = "prints figures"]
fn figures() {
    let wait = || Wait { on: WaitOn::Time, until_ms: Some(u64::MAX) };
    for count in [1_000, 100_000] {
        println!("{count} processes, each call in a transaction of its own:");
        let (mut rig, pids) = populated(count);
        let calls = 1_000.min(count);
        timed("next", count, |_| {
            assert!(rig.next().is_some());
        });
        timed("block", count, |index| {
            let (pid, wait) = (pids[index], wait());
            rig.call(HOST, Block { pid, wait }).unwrap();
        });
        timed("ready", count, |index| {
            rig.call(HOST, Ready { pid: pids[index] }).unwrap();
        });
        timed("next", count, |_| {
            assert!(rig.next().is_some());
        });
        timed("commit", count, |index| {
            let state = libos_abi::Text::default();
            rig.call(Some(pids[index]), Commit { state }).unwrap();
        });
        while rig.call(HOST, Next {}).unwrap().is_some() {}
        timed("admit", count, |index| {
            let run = 3;
            rig.call(HOST, libos_abi::process::Admit { pid: pids[index], run, charge: ONE })
                .unwrap();
        });
        let lone: Vec<Pid> = (0..calls).map(|_| rig.launch(Budget::default())).collect();
        timed("spawn", calls, |index| {
            rig.call(Some(lone[index]), spawn(Budget::default())).unwrap();
        });
        timed("exit", calls, |index| {
            rig.call(Some(lone[index]), crate::rig::exit()).unwrap();
        });
    }
    let before = resident_bytes();
    let (mut rig, pids) = populated(1_000_000);
    while rig.next().is_some() {}
    for pid in &pids {
        rig.call(HOST, Block { pid: *pid, wait: wait() }).unwrap();
    }
    let bytes = (resident_bytes() - before) / pids.len() as u64;
    println!("{bytes} bytes for each of {} parked processes, queue included", pids.len());
    let start = Instant::now();
    assert_ne!(rig.scheduler.digest(), Scheduler::default().digest());
    println!("digest of them {} ms", start.elapsed().as_millis());
}
