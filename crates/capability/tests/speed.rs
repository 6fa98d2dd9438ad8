//! How long a decision takes. `cargo test --release -p libos-capability -- --ignored --nocapture`
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{hint::black_box, time::Duration};

use common::{World, call, digest, read};
use libos_abi::{Demand, Label, OpId, Pid};
use libos_port::{Authority, Component, Query};

#[test]
#[ignore = "a measurement, not a check"]
fn nanoseconds_per_decision() {
    for grants in [10_u64, 1_000, 100_000, 1_000_000] {
        let mut world = World::new();
        // Exact grants, at most 1,000 to a process; process 1 also holds what is asked for.
        for n in 0..grants {
            let to = 1 + n / 1_000;
            world
                .host_grants(to, &format!("allow fs:workspace/src/d{}/f{n} read", n % 17))
                .unwrap();
        }
        world.host_grants(1, "allow fs:workspace/src/main.rs read").unwrap();
        for n in 0..64 {
            world.host_grants(2_000_000, &format!("allow fs:workspace/a{n}/* read")).unwrap();
        }
        world.host_grants(2_000_000, "allow fs:workspace/docs/* read").unwrap();
        // Nine deep, nothing but plain allows above.
        world.host_grants(3_000_000, "allow fs:workspace/* read delegable=8").unwrap();
        for n in 0..8 {
            let handed = format!("allow fs:workspace/* read delegable={}", 7 - n);
            world.derive(3_000_000 + n, 3_000_001 + n, &[&handed]).unwrap();
        }
        let time = |name: &str, pid: u64, path: &str| {
            let call = call(&read(path));
            let Demand::Rights(needs) = call.demand() else { panic!() };
            let query = Query {
                subject: Pid(pid),
                ancestors: &[],
                needs: &needs,
                call: &call,
                digest: &|| digest(&call),
                op: OpId(1),
                label: Label::BOTTOM,
                now_ms: 1,
            };
            let best = per_call(|| drop(black_box(world.engine.decide(&query))));
            println!("{grants:>7} grants, {name:<24} {best:>6.1} ns");
        };
        time("exact", 1, "workspace/src/main.rs");
        time("64 patterns, depth 5", 2_000_000, "workspace/docs/a/b/c.md");
        time("8 ancestors", 3_000_008, "workspace/docs/a.md");
        time("no grant", 1, "workspace/src/none.rs");
        time("no such process", 9, "workspace/src/none.rs");
        let engine = &mut world.engine;
        println!("{grants:>7} grants, begin {:>25.1} ns", per_call(|| engine.begin()));
    }
}

/// Two grants to a process: what comes to memory is cold, and every process is another.
#[test]
#[ignore = "a measurement, not a check"]
fn nanoseconds_over_many_processes() {
    for processes in [500_u64, 50_000, 500_000] {
        let mut world = World::new();
        let mut derive = Vec::new();
        let mut end = Vec::new();
        world.host_grants(1, "allow fs:workspace/* read delegable=1").unwrap();
        for pid in 2..=processes {
            derive.push(once(|| {
                world.derive(1, pid, &["allow fs:workspace/* read"]).unwrap();
            }));
            world.host_grants(pid, &format!("allow process:p{} write", pid + 1)).unwrap();
        }
        let call = call(&read("workspace/src/main.rs"));
        let Demand::Rights(needs) = call.demand() else { panic!() };
        let mut pid = 1;
        let decide = per_call(|| {
            pid = 2 + (pid * 7_919) % (processes - 1);
            let query = Query {
                subject: Pid(pid),
                ancestors: &[],
                needs: &needs,
                call: &call,
                digest: &|| digest(&call),
                op: OpId(1),
                label: Label::BOTTOM,
                now_ms: 1,
            };
            drop(black_box(world.engine.decide(&query)));
        });
        world.journal = Vec::new();
        for pid in 2..=processes {
            end.push(once(|| world.end(pid)));
        }
        for (name, ns) in [("derive", median(&mut derive)), ("end", median(&mut end))] {
            println!("{processes:>7} processes, {name:<8} {ns:>8.1} ns at the median");
        }
        println!("{processes:>7} processes, decide   {decide:>8.1} ns at the best");
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn once(call: impl FnOnce()) -> f64 {
    let start = std::time::Instant::now();
    call();
    start.elapsed().as_nanos() as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The best of many short runs: on a busy machine some of them are not interrupted.
#[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn per_call(mut call: impl FnMut()) -> f64 {
    let calls = 1_000_u32;
    let mut run = || {
        let start = std::time::Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed()
    };
    let best: Duration = (0..500).map(|_| run()).min().unwrap();
    best.as_nanos() as f64 / f64::from(calls)
}
