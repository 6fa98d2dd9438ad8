//! What a program may reach that runs for a process.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::World;
use libos_abi::Pid;
use libos_port::Authority as _;

/// What programs of process 1 may reach after these grants, as text; `!` for what is kept out.
fn reach(grants: &[&str]) -> Vec<String> {
    let mut world = World::new();
    for text in grants {
        world.host_grants(1, text).unwrap();
    }
    let rules = world.engine.reach(Pid(1), &["fs", "net"], world.now_ms).rules;
    let text = |rule: libos_port::ReachRule| {
        format!("{}{} {}", if rule.allows { "" } else { "!" }, rule.on.as_str(), rule.rights)
    };
    rules.into_iter().map(text).collect()
}

#[test]
fn only_what_holds_for_every_call_lets_a_program_through() {
    assert_eq!(reach(&[]), [""; 0]);
    assert_eq!(reach(&["allow fs:workspace/* read"]), ["fs:workspace/* read"]);
    assert_eq!(reach(&["allow shell:* execute", "allow object:p1/* read"]), [""; 0]);
    for bound in [
        "allow fs:workspace/* read uses=3",
        "allow fs:workspace/* read calls_max=3",
        r#"allow fs:workspace/* read when={"max_bytes":{"max":10}}"#,
    ] {
        assert_eq!(reach(&[bound]), [""; 0], "{bound}");
    }
}

#[test]
fn denials_and_questions_count_whatever_their_conditions() {
    assert_eq!(
        reach(&[
            "allow fs:workspace/* read",
            "ask fs:workspace/a read",
            r#"deny fs:workspace/b read when={"max_bytes":{"min":10}}"#,
            "ask fs:workspace/c read uses=1",
        ]),
        [
            "fs:workspace/* read",
            "!fs:workspace/a read",
            "!fs:workspace/b read",
            "!fs:workspace/c read"
        ]
    );
}

#[test]
fn what_has_ended_does_not_count() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:workspace/* read expires=100").unwrap();
    let rules = |world: &World| world.engine.reach(Pid(1), &["fs"], world.now_ms).rules.len();
    assert_eq!(rules(&world), 1);
    world.now_ms = 100;
    assert_eq!(rules(&world), 0);
    assert_eq!(world.engine.reach(Pid(2), &["fs"], 0).rules.len(), 0);
}
