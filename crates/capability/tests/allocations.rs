//! What a decision allocates: nothing on the allowed path, unless a finite grant is to be charged.
//! And what a process costs.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, call, digest, read};
use libos_abi::{Demand, Label, OpId, Pid};
use libos_port::{Authority, Component, Query};

/// How often `pid` allocates to have `text` decided, and what is decided.
fn allocations(world: &World, pid: u64, text: &str) -> (u64, String) {
    let call = call(text);
    let Demand::Rights(needs) = call.demand() else { panic!("{text} demands no right") };
    let digest = digest(&call);
    let query = Query {
        subject: Pid(pid),
        ancestors: &[],
        needs: &needs,
        call: &call,
        digest: &|| digest,
        op: OpId(1),
        label: Label::BOTTOM,
        now_ms: 1,
    };
    let mut decision = None;
    let counted = allocation_counter::measure(|| decision = Some(world.engine.decide(&query)));
    (counted.count_total, common::show(&decision.unwrap()))
}

#[test]
fn a_call_that_is_allowed_allocates_nothing() {
    let mut world = World::new();
    for n in 0..100 {
        world.host_grants(1, &format!("allow fs:workspace/src/d{n}/* read")).unwrap();
    }
    world.host_grants(1, "allow fs:workspace/a/long/way/down/to/the/file.txt read").unwrap();
    world.host_grants(1, "allow fs:workspace/* write delegable=2").unwrap();
    world.host_grants(1, r#"allow clock:* read when={}"#).unwrap();
    world.derive(1, 2, &["allow fs:workspace/* write delegable=1"]).unwrap();
    world.derive(2, 3, &["allow fs:workspace/out/* write"]).unwrap();
    world.bound(4, None, r#"{"calls":["fs.*"]}"#).unwrap();
    world.host_grants(4, r#"allow fs:* read when={"path":{"prefix":"workspace/"}}"#).unwrap();
    for (pid, text, expected) in [
        (1, &*read("workspace/a/long/way/down/to/the/file.txt"), "allow 101"),
        (1, &read("workspace/src/d50/a/b/c"), "allow 51"),
        (1, "clock.now", "allow 103"),
        (3, r#"fs.write {"path":"workspace/out/a","text":"x"}"#, "allow 105"),
        (4, &read("workspace/a"), "allow 106"),
    ] {
        assert_eq!(allocations(&world, pid, text), (0, expected.into()), "{text}");
    }
}

#[test]
fn a_question_allocates_nothing_and_a_charge_its_list() {
    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    world.host_grants(1, "ask fs:workspace/* read").unwrap();
    world.host_grants(1, "allow clock:* read uses=9").unwrap();
    assert_eq!(allocations(&world, 1, &read("workspace/a")), (0, "ask 1,2".into()));
    assert_eq!(allocations(&world, 1, "clock.now"), (1, "allow 3; 3 takes 1 use".into()));
}

#[test]
fn a_mark_to_come_back_to_allocates_nothing() {
    let mut world = World::new();
    for n in 0..100 {
        world.host_grants(1 + n % 7, "allow fs:* read").unwrap();
    }
    world.engine.begin();
    let counted = allocation_counter::measure(|| world.engine.begin());
    assert_eq!(counted.count_total, 0);
}

/// What a million processes would hold, by the bytes of so many.
fn bytes_each(processes: u64, grants: impl Fn(u64) -> Vec<String>) -> u64 {
    let mut world = World::new();
    for pid in 1..=processes {
        for text in grants(pid) {
            world.host_grants(pid, &text).unwrap();
        }
    }
    let mut engine = None;
    let counted = allocation_counter::measure(|| engine = Some(world.folded()));
    assert_eq!(engine.unwrap().digest(), world.live_digest());
    u64::try_from(counted.bytes_current).unwrap() / processes
}

#[test]
fn a_process_costs_what_it_holds_and_no_more() {
    // Just after tables have doubled, when they are emptiest, and just before.
    for processes in [7_200, 14_300] {
        assert_eq!(bytes_each(processes, |_| Vec::new()), 0);
        let two = |pid: u64| {
            vec![
                format!("allow process:p{} write", pid + 1),
                format!("allow fs:workspace/src/a/long/way/down/{}/* read delegable=1", pid % 5),
            ]
        };
        let bytes = bytes_each(processes, two);
        println!("{bytes} bytes for each of {processes} processes with two grants");
        assert!(bytes <= 512, "{bytes} bytes");
    }
}
