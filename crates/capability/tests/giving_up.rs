//! What is kept and what is given up when a process goes on as another image, and what is seen of
//! a process from outside of its calls.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, call, grant, read, show};
use libos_abi::{
    Binding, CapId, Event, Origin, Pid, RequestId, Status, capability::Issue,
    event::CapabilityEvent,
};

fn gives(world: &mut World, to: u64, text: &str) -> CapId {
    let issue = Issue { to: Pid(to), grant: grant(text), origin: Origin::Kernel, binding: None };
    world.issue(issue).unwrap()
}

fn ids(ids: &[u64]) -> Vec<CapId> {
    ids.iter().copied().map(CapId).collect()
}

/// A process 1 with: 1 and 2 allows, 3 a denial, 4 a question, 5 its memory, 6 a child; and a
/// child 2 with 7, cut from 1, and the copies 8 and 9.
fn world() -> World {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    world.host_grants(1, "allow clock:* read uses=2").unwrap();
    world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.host_grants(1, "ask fs:workspace/b read").unwrap();
    gives(&mut world, 1, "allow object:p1/* read+write delegable=4");
    gives(&mut world, 1, "allow process:p2 write");
    assert_eq!(world.derive(1, 2, &["allow fs:* read"]).unwrap(), ids(&[7]));
    world
}

#[test]
fn what_is_not_kept_is_given_up_with_what_was_cut_from_it() {
    let cases: &[(&[u64], bool, &[u64])] = &[
        (&[], true, &[1, 2, 7]),
        (&[1], true, &[2]),
        (&[1, 2], true, &[]),
        (&[2, 2, 3, 4, 5, 6], true, &[1, 7]),
        (&[1, 2], false, &[5]),
        (&[], false, &[1, 2, 5, 7]),
    ];
    for (keep, memory, gone) in cases {
        let mut world = world();
        let events = world.journal.len();
        assert_eq!(world.keep(1, keep, *memory).unwrap(), ids(gone), "{keep:?} {memory}");
        let own: Vec<CapId> = ids(gone).into_iter().filter(|id| *id != CapId(7)).collect();
        match &world.journal[events..] {
            [] => assert!(own.is_empty()),
            [Event::Capability(CapabilityEvent::Kept { subject: Pid(1), dropped })] => {
                assert_eq!(*dropped, own);
            }
            more => panic!("{more:?}"),
        }
        for cap in world.listed() {
            let expected = match ids(gone).contains(&cap.id) {
                true => Status::Revoked,
                false => Status::Active,
            };
            assert_eq!(cap.status, expected, "{keep:?} {memory}: {}", cap.id);
        }
        // Denials and questions stay.
        assert_eq!(world.decide(1, &read("workspace/a")), "denied by 3");
        assert_eq!(world.decide(1, &read("workspace/b")), "ask 4");
        let c = match keep.contains(&1) {
            true => ["allow 1", "allow 7"],
            false => ["revoked 1", "revoked 7"],
        };
        assert_eq!([world.decide(1, &read("c")), world.decide(2, &read("c"))], c);
        assert_eq!(world.live_digest(), world.folded_digest());
        // Doing so again gives up nothing more.
        let events = world.journal.len();
        let kept: Vec<u64> = keep.iter().copied().filter(|id| !gone.contains(id)).collect();
        assert_eq!(world.keep(1, &kept, *memory).unwrap(), ids(&[]));
        assert_eq!(world.journal.len(), events);
    }
}

#[test]
fn only_what_is_held_in_force_can_be_kept() {
    let cases: &[(&str, u64)] =
        &[("another's", 7), ("none", 99), ("revoked", 1), ("spent", 2), ("expired", 10)];
    for (why, id) in cases {
        let mut world = world();
        world.host_grants(1, "allow fs:* write expires=5").unwrap();
        match *why {
            "revoked" => drop(world.revoke(common::host(), CapId(1)).unwrap()),
            "spent" => {
                for op in [1, 2] {
                    assert!(world.admit(1, "clock.now", op));
                    world.settle(op, false);
                }
            }
            "expired" => world.now_ms = 5,
            _ => {}
        }
        let before = world.live_digest();
        let error = world.keep(1, &[*id], true).unwrap_err();
        assert_eq!(error.code(), "not_found", "{why}");
        assert_eq!(world.live_digest(), before);
    }
}

#[test]
fn an_approval_is_given_up_like_any_other() {
    let text = read("workspace/b");
    for keep in [&[][..], &[10]] {
        let mut world = world();
        let binding = Binding {
            request: RequestId(1),
            answers: ids(&[4]),
            digest: call(&text).digest(),
            op: None,
            subtree: false,
        };
        let issue = Issue {
            to: Pid(1),
            grant: grant("allow fs:workspace/b read"),
            origin: Origin::Human { request: RequestId(1) },
            binding: Some(binding),
        };
        assert_eq!(world.issue(issue).unwrap(), CapId(10));
        assert_eq!(world.decide(1, &text), "allow 4,10");
        world.keep(1, keep, true).unwrap();
        assert_eq!(world.decide(1, &text), if keep.is_empty() { "ask 4" } else { "allow 4,10" });
    }
}

#[test]
fn what_was_set_aside_before_is_settled_after() {
    let mut world = world();
    assert!(world.admit(1, "clock.now", 1));
    world.keep(1, &[], true).unwrap();
    world.settle(1, true);
    assert_eq!(world.decide(1, "clock.now"), "revoked 2");
    assert_eq!(world.live_digest(), world.folded_digest());
}

#[test]
fn what_depends_on_a_call_shows_nothing_from_outside() {
    let cases: &[(&[&str], bool)] = &[
        (&[], false),
        (&["allow fs:workspace/* read"], true),
        (&["allow fs:workspace/* write"], false),
        (&["allow fs:workspace/b read"], false),
        (&[r#"allow fs:* read when={"path":{"prefix":"workspace"}}"#], false),
        (&["allow fs:* read uses=5"], false),
        (&["allow fs:* read calls_max=5"], false),
        (&["allow fs:* read uses=5", "allow fs:workspace/a read"], true),
        (&["allow fs:* read", "deny fs:workspace/a read"], false),
        (&["allow fs:* read", "deny fs:workspace/b read"], true),
        (&["allow fs:* read", r#"deny fs:* read when={"path":{"equals":"x"}}"#], false),
        (&["allow fs:* read", "ask fs:* read"], false),
        (&["allow fs:* read", r#"ask fs:* read when={"path":{"equals":"x"}}"#], false),
        (&["allow fs:* read expires=10"], true),
        (&["ask fs:* read"], false),
    ];
    for (grants, may) in cases {
        let mut world = World::new();
        for text in *grants {
            world.host_grants(1, text).unwrap();
        }
        assert_eq!(world.may(1, "read fs:workspace/a"), *may, "{grants:?}");
        assert!(!world.may(2, "read fs:workspace/a"));
        world.now_ms = 10;
        let expires = grants.iter().any(|text| text.contains("expires"));
        assert_eq!(world.may(1, "read fs:workspace/a"), *may && !expires, "{grants:?}");
    }
    // What binds the one above binds what was cut from it.
    for above in [r#"when={"path":{"min":1}}"#, "calls_max=3", ""] {
        let mut world = World::new();
        world.host_grants(1, &format!("allow fs:* read delegable=1 {above}")).unwrap();
        world.derive(1, 2, &["allow fs:workspace/* read"]).unwrap();
        assert_eq!(world.may(2, "read fs:workspace/a"), above.is_empty());
        assert_eq!(show(&world.decision(2, &[], &call(&read("workspace/a")), 1))[..5], *"allow");
    }
}
