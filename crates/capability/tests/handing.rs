//! Handing on, taking back, looking, ending, explaining.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, call, grant, host, read, show};
use libos_abi::{
    CapId, Effect, Event, GrantSpec, Origin, Pattern, Pid, Principal, Resource, Right, Status,
    capability::{Delegate, Explain, Grant, Inspect, Issue, List},
    event::CapabilityEvent,
};
use libos_capability::limits::{CAPABILITIES_OF_ONE_SUBJECT_MAX, DELEGATION_DEPTH_MAX};
use libos_port::Decision;

/// Grants of process 1, what it asks to hand to its child 2; the refusal, or what 2 may then do.
fn check(held: &[&str], asked: &str, expected: Result<(&str, &str), &str>) {
    for by_derive in [true, false] {
        let mut world = World::new();
        for text in held {
            world.host_grants(1, text).unwrap();
        }
        let made = if by_derive {
            world.derive(1, 2, &[asked]).map(|ids| ids[0])
        } else {
            world.derive(1, 2, &[]).unwrap();
            world.delegate(1, 2, asked)
        };
        match (made, expected) {
            (Ok(_), Ok((call, decision))) => {
                assert_eq!(world.decide(2, call), decision, "{held:?} > {asked}");
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{held:?} > {asked}: {error}");
                assert_eq!(world.granted(), held.len());
            }
            (made, _) => panic!("{held:?} > {asked}: {made:?}"),
        }
        assert_eq!(world.live_digest(), world.folded_digest());
    }
}

#[test]
fn an_allow_is_cut_from_one_that_covers_it() {
    let held = ["allow fs:workspace/* read+write delegable=2"];
    let a = &*read("workspace/a");
    check(&held, "allow fs:workspace/a read", Ok((a, "allow 2")));
    check(&held, "allow fs:workspace/a/* read+write delegable=1", Ok((a, "allow 2")));
    check(&held, "allow fs:workspace/a read uses=1", Ok((a, "allow 2; 2 takes 1 use")));
    check(&held, "allow fs:* read", Err("allow of read on fs:* with delegable = 1"));
    check(&held, "allow fs:* read", Err("cap-1 reaches fs:workspace/* only"));
    check(&held, "allow fs:workspace/a read+delete", Err("cap-1 has read+write only"));
    check(&held, "allow fs:workspace/a read delegable=2", Err("cap-1 has delegable = 2"));
    check(&["allow fs:* read"], "allow fs:workspace/a read", Err("cap-1 has delegable = 0"));
    let finite = ["allow fs:* read uses=5 delegable=1"];
    check(&finite, "allow fs:workspace/a read", Err("number of uses"));
    check(&[], "allow fs:workspace/a read", Err("p1 would have to hold"));
    // Two that cover it together are not one that covers it.
    let halves = ["allow fs:* read delegable=1", "allow fs:* write delegable=1"];
    check(&halves, "allow fs:* read+write", Err("would have to hold"));
}

#[test]
fn it_is_cut_from_the_least_bound_then_the_longest_lived_then_the_oldest() {
    let plain = "allow fs:* read delegable=1";
    let when = r#"allow fs:* read delegable=1 when={"path":{"min":1}}"#;
    let calls = "allow fs:* read delegable=1 calls_max=9";
    let (short, long) = (&*format!("{plain} expires=10"), &*format!("{plain} expires=20"));
    for (held, expected) in [
        ([when, plain], 2),
        ([calls, plain], 2),
        ([plain, when], 1),
        ([when, short], 2),
        ([calls, when], 1),
        ([short, long], 2),
        ([long, short], 1),
        ([short, plain], 2),
        ([plain, plain], 1),
        (["ask fs:* read delegable=1", plain], 2),
    ] {
        let mut world = World::new();
        for text in held {
            world.host_grants(1, text).unwrap();
        }
        world.derive(1, 2, &["allow fs:workspace/* read"]).unwrap();
        assert_eq!(world.listed()[2].parent, Some(CapId(expected)), "{held:?}");
    }
    // A question is cut from a question rather than from an allow.
    let mut world = World::new();
    world.host_grants(1, plain).unwrap();
    world.host_grants(1, "ask fs:* read").unwrap();
    world.derive(1, 2, &["ask fs:workspace/* read"]).unwrap();
    assert_eq!(world.listed()[2].parent, Some(CapId(2)));
}

#[test]
fn no_lineage_is_deeper_than_the_limit() {
    // A question needs no depth to be handed on.
    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    for pid in 1..=u64::from(DELEGATION_DEPTH_MAX) {
        world.derive(pid, pid + 1, &["ask fs:* read"]).unwrap();
    }
    let lowest = 1 + u64::from(DELEGATION_DEPTH_MAX);
    let error = world.derive(lowest, lowest + 1, &["ask fs:* read"]).unwrap_err();
    assert_eq!(error.code(), "limit");
}

#[test]
fn an_ask_needs_an_allow_or_an_ask_and_a_deny_needs_nothing() {
    let a = &*read("workspace/a");
    check(&["ask fs:* read"], "ask fs:workspace/* read", Ok((a, "ask 2")));
    check(&["ask fs:* read"], "allow fs:workspace/* read", Err("would have to hold"));
    check(&["allow fs:* read delegable=1"], "ask fs:workspace/* read", Ok((a, "ask 2")));
    check(&["allow fs:* read"], "ask fs:workspace/* read", Err("or an ask of the same"));
    check(&[], "ask fs:workspace/* read", Err("or an ask of the same"));
    check(&[], "deny fs:* read", Ok((a, "denied by 1")));
    check(&["ask fs:* read"], "ask fs:workspace/* read delegable=1", Err("delegable = 0"));
}

#[test]
fn denies_and_asks_of_the_giver_come_along_where_they_overlap() {
    let allow = "allow fs:* read delegable=2";
    let (a, b) = (&*read("workspace/a"), &*read("workspace/b"));
    let deny = [allow, "deny fs:workspace/a read"];
    check(&deny, "allow fs:workspace/* read", Ok((a, "denied by 4")));
    check(&deny, "allow fs:workspace/* read", Ok((b, "allow 3")));
    check(&deny, "allow fs:workspace/b read", Ok((b, "allow 3")));
    let ask = [allow, "ask fs:workspace/a read"];
    check(&ask, "allow fs:* read", Ok((a, "ask 4")));
    check(&ask, "allow fs:* read", Ok((b, "allow 3")));
    // A wide question opens no more than what was handed on.
    let wide = [allow, "ask fs:* read+write"];
    check(&wide, "allow fs:workspace/a read", Ok((a, "ask 4")));
    check(&wide, "allow fs:workspace/a read", Ok((b, "no grant")));
    let write = r#"fs.write {"path":"workspace/a","text":""}"#;
    check(&wide, "allow fs:workspace/a read", Ok((write, "no grant")));
    let only_b = r#"allow fs:workspace/* read when={"path":{"equals":"workspace/b"}}"#;
    check(&wide, only_b, Ok((b, "ask 4")));
    check(&wide, only_b, Ok((a, "conditions of 3")));
    // A narrow one asks about no more than it did.
    let both = "allow fs:* read+write delegable=2";
    let narrow = [both, "ask fs:workspace/a read delegable=1"];
    check(&narrow, "allow fs:* read+write delegable=1", Ok((a, "ask 4")));
    check(&narrow, "allow fs:* read+write delegable=1", Ok((write, "allow 3")));
    // A deny under conditions stays under them.
    let big = r#"deny fs:* read when={"max_bytes":{"min":9}}"#;
    let large = r#"fs.read {"path":"workspace/a","max_bytes":9}"#;
    check(&[allow, big], "allow fs:* read", Ok((large, "denied by 4")));
    check(&[allow, big], "allow fs:* read", Ok((a, "allow 3")));
}

#[test]
fn no_process_takes_a_copied_restriction_back() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=2").unwrap();
    let deny = world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    world.derive(2, 3, &["allow fs:* read"]).unwrap();
    for pid in [1, 2, 3] {
        for id in 1..=6 {
            let taken = world.revoke(Principal::Process(Pid(pid)), CapId(id));
            assert!(taken.is_err() || id == 3 || id == 5, "p{pid} took cap-{id}");
        }
    }
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=2").unwrap();
    world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    world.derive(2, 3, &["allow fs:* read"]).unwrap();
    assert_eq!(world.decide(3, &read("workspace/a")), "denied by 6");
    // Taking the original back ends the copies, and the copies of the copies.
    assert_eq!(world.revoke(host(), deny).unwrap(), [deny, CapId(4), CapId(6)]);
    assert_eq!(world.decide(3, &read("workspace/a")), "allow 5");
}

#[test]
fn the_same_restriction_is_copied_once() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.derive(1, 2, &["allow fs:* read", "allow fs:workspace/* read"]).unwrap();
    assert_eq!(world.granted(), 5);
    world.delegate(1, 2, "allow fs:* read").unwrap();
    assert_eq!(world.granted(), 6);
    // One that was taken back is copied again.
    world.revoke(host(), CapId(5)).unwrap();
    world.delegate(1, 2, "allow fs:* read").unwrap();
    assert_eq!(world.granted(), 8);
    assert_eq!(world.decide(2, &read("workspace/a")), "denied by 8");
}

#[test]
fn a_restriction_that_is_not_quite_the_same_is_copied_too() {
    let (a, b) = (&*read("workspace/a"), &*read("workspace/b"));
    let big = r#"fs.read {"path":"workspace/b","max_bytes":9}"#;
    let write = r#"fs.write {"path":"workspace/a","text":""}"#;
    let sum = r#"allow fs:* read when={"path":{"sum_max":99}}"#;
    // What is held, what is handed on first, what then, and what must be restricted by that.
    for (restriction, first, second, call, expected) in [
        // Wider.
        ("deny fs:* read", "allow fs:workspace/a read", "allow fs:* read", b, "denied by 6"),
        ("ask fs:* read", "allow fs:workspace/a read", "allow fs:* read", b, "ask 6"),
        // Of more rights.
        ("deny fs:* read+write", "allow fs:* read", "allow fs:* write", write, "denied by 6"),
        ("ask fs:* read+write", "allow fs:* read", "allow fs:* write", write, "ask 6"),
        // Of longer life.
        ("ask fs:* read", "allow fs:* read expires=5", "allow fs:* read", a, "ask 6"),
        // With a limit that is its own.
        ("ask fs:* read", "allow fs:* read uses=3", "allow fs:* read uses=3", a, "ask 4,6"),
        (
            "ask fs:* read",
            "allow fs:* read calls_max=3",
            "allow fs:* read calls_max=3",
            a,
            "ask 4,6",
        ),
        ("ask fs:* read", sum, sum, a, "ask 4,6"),
        // With other conditions.
        (
            "ask fs:* read",
            r#"allow fs:* read when={"max_bytes":{"max":1}}"#,
            "allow fs:* read",
            big,
            "ask 6",
        ),
    ] {
        let mut world = World::new();
        world.host_grants(1, "allow fs:* read+write delegable=1").unwrap();
        world.host_grants(1, restriction).unwrap();
        assert_eq!(world.derive(1, 2, &[first]).unwrap(), [CapId(3)]);
        assert_eq!(world.delegate(1, 2, second).unwrap(), CapId(5), "{restriction} {second}");
        let now_ms = if first.contains("expires") { 5 } else { 0 };
        world.now_ms = now_ms;
        assert_eq!(world.decide(2, call), expected, "{restriction}, {first}, {second}");
        // The same at once: 3 and 4 are what was handed on, then come the copies.
        let mut world = World::new();
        world.host_grants(1, "allow fs:* read+write delegable=1").unwrap();
        world.host_grants(1, restriction).unwrap();
        assert_eq!(world.derive(1, 2, &[first, second]).unwrap(), [CapId(3), CapId(4)]);
        world.now_ms = now_ms;
        assert_eq!(world.decide(2, call), expected.replace('4', "5"), "{first}, {second}");
    }
    // Two that say the same are two: each ends by itself.
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.derive(1, 2, &["allow fs:* read"]).unwrap();
    world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.delegate(1, 2, "allow fs:* read").unwrap();
    world.revoke(host(), CapId(2)).unwrap();
    assert_eq!(world.decide(2, a), "denied by 7");
    world.derive(1, 3, &["allow fs:* read", "deny fs:workspace/a read"]).unwrap();
    world.revoke(host(), CapId(9)).unwrap();
    assert_eq!(world.decide(3, a), "denied by 10");
    // A denial of the child's own is no copy, whatever it says.
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    world.host_grants(1, "deny fs:workspace/a read").unwrap();
    world.derive(1, 2, &["deny fs:workspace/a read"]).unwrap();
    world.delegate(1, 2, "allow fs:* read").unwrap();
    world.revoke(Principal::Process(Pid(1)), CapId(3)).unwrap();
    assert_eq!(world.decide(2, a), "denied by 5");
}

#[test]
fn what_is_out_of_force_is_not_handed_on() {
    for why in ["revoked", "expired", "ended", "cut off"] {
        let mut world = World::new();
        world.host_grants(1, "allow fs:* read delegable=3 expires=10").unwrap();
        world.derive(1, 2, &["allow fs:* read delegable=2"]).unwrap();
        world.derive(2, 3, &[]).unwrap();
        match why {
            "revoked" => drop(world.revoke(host(), CapId(2)).unwrap()),
            "cut off" => drop(world.revoke(host(), CapId(1)).unwrap()),
            "ended" => world.end(2),
            _ => world.now_ms = 10,
        }
        for asked in ["allow fs:* read", "ask fs:* read"] {
            let error = world.derive(2, 3, &[asked]).unwrap_err();
            assert_eq!(error.code(), "denied", "{why}: {asked}");
            assert!(!error.to_string().contains("cap-2"), "{error}");
        }
    }
}

#[test]
fn a_copied_denial_shows_its_conditions() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    world.host_grants(1, r#"deny fs:* read when={"max_bytes":{"min":9}}"#).unwrap();
    world.derive(1, 2, &["allow fs:* read"]).unwrap();
    let listed = world.listed();
    assert_eq!(listed[3].parent, Some(CapId(2)));
    assert_eq!(listed[3].when, listed[1].when);
    // A copied question is not handed on further than a copy of it would be.
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=3").unwrap();
    world.host_grants(1, "ask fs:workspace/* read delegable=3").unwrap();
    world.derive(1, 2, &["allow fs:* read delegable=2"]).unwrap();
    assert_eq!(world.listed()[3].delegable, 0);
}

#[test]
fn conditions_expiry_and_limits_of_every_ancestor_bind() {
    let mut world = World::new();
    world
        .host_grants(
            1,
            r#"allow fs:* read delegable=2 expires=100 when={"path":{"prefix":"workspace/a"}}"#,
        )
        .unwrap();
    world.derive(1, 2, &["allow fs:workspace/* read delegable=1 calls_max=2"]).unwrap();
    world.derive(2, 3, &[r#"allow fs:* read when={"max_bytes":{"sum_max":10}}"#]).unwrap_err();
    world
        .derive(
            2,
            3,
            &[r#"allow fs:workspace/* read expires=500 when={"max_bytes":{"sum_max":10}}"#],
        )
        .unwrap();
    let of = |path: &str, bytes: u32| format!(r#"fs.read {{"path":"{path}","max_bytes":{bytes}}}"#);
    assert_eq!(
        world.decide(3, &of("workspace/a", 4)),
        "allow 3; 3 takes 4 of max_bytes; 2 takes 1 call"
    );
    assert_eq!(world.decide(3, &of("workspace/b", 4)), "conditions of 3");
    assert_eq!(world.decide(3, &of("workspace/a", 11)), "limit of 3");
    assert!(world.admit(3, &of("workspace/a", 4), 1));
    assert!(world.admit(2, &of("workspace/a", 4), 2));
    assert_eq!(world.decide(3, &of("workspace/a", 4)), "limit of 3");
    assert_eq!(world.decide(2, &of("workspace/a", 4)), "limit of 2");
    world.settle(1, true);
    assert_eq!(world.decide(2, &of("workspace/a", 4)), "allow 2; 2 takes 1 call");
    world.now_ms = 100;
    assert_eq!(world.decide(3, &of("workspace/a", 4)), "expired 3");
}

#[test]
fn what_is_handed_on_ends_when_it_says_or_when_what_it_was_cut_from_does() {
    for (held, handed, ends) in [
        ("", "", None),
        ("", " expires=20", Some(20)),
        (" expires=30", "", Some(30)),
        (" expires=30", " expires=20", Some(20)),
        (" expires=30", " expires=40", Some(30)),
    ] {
        let mut world = World::new();
        world.host_grants(1, &format!("allow fs:* read delegable=1{held}")).unwrap();
        world.host_grants(1, "ask fs:workspace/q read").unwrap();
        world.host_grants(1, "deny fs:workspace/d read expires=25").unwrap();
        world.derive(1, 2, &[&format!("allow fs:* read{handed}")]).unwrap();
        let listed = world.listed();
        let ends_of = |id: usize| listed[id - 1].expires_at_ms;
        // What restricts ends with what it restricts; a denial only with its original.
        assert_eq!([ends_of(4), ends_of(5), ends_of(6)], [ends, ends, Some(25)], "{held}{handed}");
        let made = world.journal.iter().filter_map(|event| match event {
            Event::Capability(CapabilityEvent::Granted(new)) => Some(new.expires_at_ms),
            _ => None,
        });
        assert_eq!(made.collect::<Vec<_>>()[3..], [ends, ends, Some(25)], "{held}{handed}");
        for now_ms in [0, 19, 20, 24, 25, 29, 30, 40] {
            world.now_ms = now_ms;
            let is_over = ends.is_some_and(|at| at <= now_ms);
            let a = if is_over { "expired 4" } else { "allow 4" };
            assert_eq!(world.decide(2, &read("workspace/a")), a);
            let denied = world.decide(2, &read("workspace/d")) == "denied by 6";
            assert_eq!(denied, now_ms < 25);
        }
    }
}

#[test]
fn a_question_with_uses_is_shared_with_its_copies() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    world.host_grants(1, "ask fs:* read uses=1").unwrap();
    world.derive(1, 2, &["allow fs:* read"]).unwrap();
    assert_eq!(world.decide(2, &read("workspace/a")), "ask 4");
    let charge =
        libos_abi::capability::Charge { capability: CapId(2), uses: 1, calls: 0, sums: vec![] };
    world.reserve(1, vec![charge]).unwrap();
    assert_eq!(world.decide(2, &read("workspace/a")), "exhausted 4");
    world.delegate(1, 2, "allow fs:workspace/a read").unwrap();
    assert_eq!(world.decide(2, &read("workspace/a")), "exhausted 4");
}

#[test]
fn a_malformed_grant_is_not_handed_on() {
    for (text, part) in [
        ("allow fs:* -", "names no right"),
        ("allow fs:* read delegable=9", "too deep"),
        (r#"deny fs:* read when={"pth":{"equals":"x"}}"#, "`pth`"),
    ] {
        let mut world = World::new();
        world.host_grants(1, "allow fs:* read delegable=3").unwrap();
        world.derive(1, 2, &[]).unwrap();
        for error in
            [world.delegate(1, 2, text).unwrap_err(), world.derive(1, 2, &[text]).unwrap_err()]
        {
            assert_eq!(error.code(), "bad_grant", "{text}");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }
    // A pattern that nobody could write can come over a wire, or be no pattern in canonical form.
    for on in [Resource::named("shell", ""), Resource::file("workspace//a")] {
        let mut world = World::new();
        world.host_grants(1, "allow fs:* read delegable=3").unwrap();
        world.derive(1, 2, &[]).unwrap();
        let bad = GrantSpec { on: Pattern::exact(&on), ..grant("allow fs:* read") };
        let hand = Delegate { to: Pid(2), grant: bad.clone() };
        assert_eq!(world.call(Principal::Process(Pid(1)), hand).unwrap_err().code(), "bad_grant");
        let give = Grant { to: Pid(2), grant: bad };
        assert_eq!(world.call(host(), give).unwrap_err().code(), "bad_grant", "{on}");
    }
    let hand = Delegate { to: Pid(2), grant: grant("allow fs:* read") };
    assert_eq!(World::new().call(host(), hand).unwrap_err().code(), "bad_message");
}

#[test]
fn delegation_goes_to_living_children_only() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=5").unwrap();
    let error = world.delegate(1, 2, "allow fs:* read").unwrap_err();
    assert_eq!(error.code(), "not_a_child");
    world.derive(1, 2, &["allow fs:* read delegable=3"]).unwrap();
    world.derive(2, 3, &[]).unwrap();
    for to in [1, 3, 4] {
        let error = world.delegate(1, to, "allow fs:* read").unwrap_err();
        assert_eq!(error.code(), "not_a_child", "p{to}");
    }
    world.delegate(2, 3, "allow fs:* read").unwrap();
    world.end(3);
    assert_eq!(world.delegate(2, 3, "allow fs:* read").unwrap_err().code(), "not_a_child");
    assert_eq!(world.live_digest(), world.folded_digest());
}

#[test]
fn a_refused_derive_changes_nothing() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=1").unwrap();
    let before = world.live_digest();
    world.derive(1, 2, &["allow fs:* read", "allow fs:* write"]).unwrap_err();
    world.derive(1, 2, &["allow fs:* read", "allow fs:* -"]).unwrap_err();
    assert_eq!((world.granted(), world.live_digest()), (1, before));
    assert_eq!(world.delegate(1, 2, "allow fs:* read").unwrap_err().code(), "not_a_child");
}

#[test]
fn approvals_are_never_handed_on() {
    let mut world = World::new();
    world
        .issue(Issue {
            to: Pid(1),
            grant: grant("allow fs:* read delegable=3"),
            origin: Origin::Kernel,
            binding: Some(libos_abi::Binding {
                request: libos_abi::RequestId(1),
                answers: vec![CapId(9)],
                digest: libos_abi::Digest::default(),
                op: None,
                subtree: true,
            }),
        })
        .unwrap();
    world.derive(1, 2, &["allow fs:* read"]).unwrap_err();
}

#[test]
fn revoking_ends_every_descendant_on_the_next_call() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=2").unwrap();
    world.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    world.derive(2, 3, &["allow fs:workspace/* read"]).unwrap();
    let a = &*read("workspace/a");
    let one = Principal::Process(Pid(1));
    // Not what it got, not what another handed on.
    assert_eq!(world.revoke(one.clone(), CapId(1)).unwrap_err().code(), "not_found");
    assert_eq!(world.revoke(one.clone(), CapId(3)).unwrap_err().code(), "not_found");
    assert_eq!(world.revoke(one.clone(), CapId(99)).unwrap_err().code(), "not_found");
    assert_eq!(world.revoke(one.clone(), CapId(2)).unwrap(), [CapId(2), CapId(3)]);
    assert_eq!(world.decide(1, a), "allow 1");
    assert_eq!(world.decide(2, a), "revoked 2");
    assert_eq!(world.decide(3, a), "revoked 3");
    let events = world.journal.len();
    assert_eq!(world.revoke(one, CapId(2)).unwrap(), [CapId(2), CapId(3)]);
    assert_eq!(world.journal.len(), events);
    assert_eq!(world.live_digest(), world.folded_digest());
}

#[test]
fn a_process_sees_its_own_and_the_host_sees_all() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read uses=2 calls_max=9").unwrap();
    world.host_grants(2, "allow fs:* read expires=10").unwrap();
    world.host_grants(1, "deny fs:* write").unwrap();
    world.revoke(host(), CapId(3)).unwrap();
    let mut list = |caller: Principal, pid: Option<u64>, all: Option<bool>| {
        let pid = pid.map(Pid);
        world.call(caller, List { pid, all, after: None, limit: None }).map(|listed| {
            let ids = listed.capabilities.iter().map(|cap| cap.id.0);
            ids.collect::<Vec<u64>>()
        })
    };
    let one = || Principal::Process(Pid(1));
    assert_eq!(list(one(), None, None).unwrap(), [1]);
    assert_eq!(list(one(), Some(1), Some(true)).unwrap(), [1, 3]);
    assert_eq!(list(one(), Some(2), None).unwrap_err().code(), "denied");
    assert_eq!(list(host(), None, Some(true)).unwrap(), [1, 2, 3]);
    assert_eq!(list(host(), Some(2), None).unwrap(), [2]);
    let mut inspect = |caller: Principal, id: u64| {
        let capability = CapId(id);
        world.call(caller, Inspect { capability })
    };
    assert_eq!(inspect(one(), 2).unwrap_err().code(), "not_found");
    assert_eq!(inspect(one(), 9).unwrap_err().code(), "not_found");
    assert_eq!(inspect(host(), 2).unwrap().expires_at_ms, Some(10));
    assert_eq!(inspect(one(), 3).unwrap().status, Status::Revoked);
    assert!(world.admit(1, &read("workspace/a"), 1));
    assert!(world.admit(1, &read("workspace/a"), 2));
    world.settle(1, false);
    let seen = world.call(one(), Inspect { capability: CapId(1) }).unwrap();
    assert_eq!((seen.uses_left, seen.calls_left), (Some(0), Some(7)));
    assert_eq!(seen.status, Status::Active);
    world.settle(2, false);
    let seen = world.call(one(), Inspect { capability: CapId(1) }).unwrap();
    assert_eq!(seen.status, Status::Exhausted);
    world.now_ms = 10;
    let seen = world.call(host(), Inspect { capability: CapId(2) }).unwrap();
    assert_eq!(seen.status, Status::Expired);
}

#[test]
fn an_end_keeps_what_lineage_needs_and_no_more() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=2").unwrap();
    world.host_grants(1, "deny fs:workspace/x read").unwrap();
    world.host_grants(1, "allow clock:* read").unwrap();
    world.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    world.derive(2, 3, &["allow fs:* read"]).unwrap();
    let a = &*read("workspace/a");
    let ids = |world: &mut World| {
        let made = world.listed().into_iter().filter(|cap| cap.id.kin_child().is_none());
        made.map(|cap| (cap.id.0, cap.status)).collect::<Vec<_>>()
    };
    world.end(1);
    use Status::{Active, Ended};
    let kept = [(1, Ended), (2, Ended), (4, Active), (5, Active), (6, Active), (7, Active)];
    assert_eq!(ids(&mut world), kept);
    assert_eq!(world.decide(1, a), "no grant");
    assert_eq!(world.decide(2, a), "allow 4");
    world.end(2);
    assert_eq!(world.decide(3, a), "allow 6");
    assert_eq!(world.decide(3, &read("workspace/x")), "denied by 7");
    world.revoke(host(), CapId(1)).unwrap();
    assert_eq!(world.decide(3, a), "revoked 6");
    world.end(3);
    assert_eq!(ids(&mut world), []);
    let events = world.journal.len();
    world.end(3);
    assert_eq!(world.journal.len(), events);
    assert_eq!(world.live_digest(), world.folded_digest());
}

#[test]
fn a_subject_holds_so_many_and_spent_ones_make_room() {
    let mut world = World::new();
    for _ in 0..CAPABILITIES_OF_ONE_SUBJECT_MAX {
        world.host_grants(1, "allow clock:now read").unwrap();
    }
    let error = world.host_grants(1, "allow clock:now read").unwrap_err();
    assert_eq!(error.code(), "limit");
    world.revoke(host(), CapId(7)).unwrap();
    world.host_grants(1, "allow fs:* read").unwrap();
    assert_eq!(world.host_grants(1, "allow fs:* read").unwrap_err().code(), "limit");
    let inspect = Inspect { capability: CapId(7) };
    assert_eq!(world.call(host(), inspect).unwrap_err().code(), "not_found");
    assert_eq!(world.live_digest(), world.folded_digest());

    // What a call under way has set aside makes none until it is settled, and neither does what
    // something was cut from; what is used up does.
    for spec in ["uses=1", "calls_max=1"] {
        let mut world = World::new();
        world.host_grants(1, &format!("allow fs:* read {spec}")).unwrap();
        world.host_grants(1, &format!("allow process:* write {spec}")).unwrap();
        world.host_grants(1, "allow object:* read delegable=1").unwrap();
        world.derive(1, 2, &["allow object:* read"]).unwrap();
        assert!(world.admit(1, &read("workspace/a"), 1));
        for _ in 3..CAPABILITIES_OF_ONE_SUBJECT_MAX {
            world.host_grants(1, "allow clock:now read").unwrap();
        }
        let more = |world: &mut World| world.host_grants(1, "deny fs:a read").map(|id| id.0);
        assert_eq!(more(&mut world).unwrap_err().code(), "limit");
        world.revoke(host(), CapId(3)).unwrap();
        world.revoke(host(), CapId(1)).unwrap();
        assert_eq!(more(&mut world).unwrap_err().code(), "limit", "{spec}");
        world.settle(1, true);
        more(&mut world).unwrap();
        assert_eq!(more(&mut world).unwrap_err().code(), "limit");
        assert!(world.admit(1, r#"message.send {"to":"p3","body":"x"}"#, 2));
        assert_eq!(more(&mut world).unwrap_err().code(), "limit");
        world.settle(2, false);
        more(&mut world).unwrap();
        assert_eq!(more(&mut world).unwrap_err().code(), "limit");
        assert_eq!(world.live_digest(), world.folded_digest());
    }
}

#[test]
fn a_rollback_brings_everything_back() {
    use libos_port::Component;
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read uses=1").unwrap();
    let before = world.live_digest();
    let Decision::Allow { charges, .. } = world.decision(1, &[], &call(&read("workspace/a")), 1)
    else {
        panic!("allowed")
    };
    world.reserve(1, charges).unwrap();
    assert_ne!(world.live_digest(), before);
    world.engine.rollback();
    assert_eq!(world.live_digest(), before);
    let decision = world.decision(1, &[], &call(&read("workspace/a")), 1);
    assert_eq!(show(&decision), "allow 1; 1 takes 1 use");
}

#[test]
fn explanations_tell_the_rule_that_is_missing() {
    let mut world = World::new();
    world.host_grants(1, r#"allow fs:workspace/* read when={"max_bytes":{"max":9}}"#).unwrap();
    world.host_grants(1, "ask fs:workspace/b read").unwrap();
    world.host_grants(1, "deny fs:workspace/c/* read").unwrap();
    let mut explain = |caller: Principal, pid: Option<u64>, right: Right, on: &str| {
        let (pid, on) = (pid.map(Pid), on.parse().unwrap());
        world.call(caller, Explain { pid, right, on })
    };
    let one = || Principal::Process(Pid(1));
    let a = explain(one(), None, Right::Read, "fs:workspace/a").unwrap();
    assert_eq!((a.effect, a.weighed.len()), (Effect::Allow, 1));
    assert!(a.text.contains("cap-1 allows it") && a.text.contains("count as met"), "{}", a.text);
    let b = explain(one(), Some(1), Right::Read, "fs:workspace/b").unwrap();
    assert_eq!(b.effect, Effect::Ask);
    assert_eq!(b.weighed.iter().map(|cap| cap.id.0).collect::<Vec<_>>(), [2, 1]);
    let plain = explain(one(), None, Right::Write, "fs:workspace/b").unwrap();
    assert!(!plain.text.contains("count as met"), "{}", plain.text);
    let c = explain(host(), Some(1), Right::Read, "fs:workspace/c/d").unwrap();
    assert_eq!(c.effect, Effect::Deny);
    assert!(c.text.contains("take cap-3 back"), "{}", c.text);
    let d = explain(one(), None, Right::Write, "fs:workspace/a").unwrap();
    assert!(
        d.text.contains("[[grant]]\non = \"fs:workspace/a\"\nrights = [\"write\"]\n"),
        "{}",
        d.text
    );
    let other = explain(one(), Some(2), Right::Read, "fs:workspace/a").unwrap_err();
    assert_eq!(other.code(), "denied");
    let nobody = explain(host(), None, Right::Read, "fs:workspace/a").unwrap_err();
    assert_eq!(nobody.code(), "bad_message");
}
