//! What manifests bound: grants, calls, requests, and everyone below.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, call, grant, host, manifest, read, show};
use libos_abi::{
    Binding, CapId, Error, Manifest, Origin, Pid, RequestId,
    capability::{Bound, Explain, Issue, Requestable},
};
use libos_capability::limits::MANIFEST_ENTRIES_MAX;

/// May read below `src`, and write one file.
const SOME: &str = r#"{"authority":[
    {"on":"fs:workspace/src/*","rights":["read"]},
    {"on":"fs:workspace/out","rights":["read","write"]}
]}"#;

fn bounded(text: &str) -> World {
    let mut world = World::new();
    world.bound(1, None, text).unwrap();
    world
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

fn issued(world: &mut World, to: u64, text: &str, origin: Origin) -> Result<CapId, Error> {
    world.issue(Issue { to: Pid(to), grant: grant(text), origin, binding: None })
}

#[test]
fn a_grant_is_covered_by_one_entry() {
    let cases: &[(&str, bool)] = &[
        ("allow fs:workspace/src/* read", true),
        ("allow fs:workspace/src/a/b read uses=1", true),
        ("ask fs:workspace/src/a read", true),
        ("allow fs:workspace/out read+write", true),
        ("allow fs:workspace/out write", true),
        ("allow fs:workspace/src/a write", false),
        ("allow fs:workspace/src/a read+write", false),
        ("allow fs:workspace/* read", false),
        ("ask fs:workspace/* read", false),
        ("allow fs:workspace/src2 read", false),
        ("allow clock:now read", false),
        ("deny fs:* read+write", true),
    ];
    for (text, fits) in cases {
        let mut world = bounded(SOME);
        let before = world.live_digest();
        let human = Origin::Human { request: RequestId(1) };
        let made = [
            world.host_grants(1, text),
            issued(&mut world, 1, text, Origin::Host),
            issued(&mut world, 1, text, human),
        ];
        for made in made {
            match fits {
                true => drop(made.unwrap()),
                false => assert_eq!(code(made), "outside_manifest", "{text}"),
            }
        }
        assert_eq!(world.live_digest() == before, !fits);
        // The kernel's own grants and those of another process are not bounded by it.
        issued(&mut world, 1, text, Origin::Kernel).unwrap();
        world.host_grants(2, text).unwrap();
    }
}

#[test]
fn what_is_absent_bounds_nothing_and_what_is_empty_admits_nothing() {
    let clock = "clock.now";
    let cases: &[(&str, bool, &str, bool)] = &[
        ("{}", true, "allow 1", true),
        (r#"{"authority":[]}"#, false, "no grant", false),
        (r#"{"calls":[]}"#, true, "outside: clock.now", true),
        (r#"{"requestable":[]}"#, true, "allow 1", false),
    ];
    for (text, may_grant, decision, may_ask) in cases {
        let mut world = bounded(text);
        let made = world.host_grants(1, "allow clock:now read");
        assert_eq!(made.is_ok(), *may_grant, "{text}");
        assert_eq!(world.decide(1, clock), *decision, "{text}");
        let (on, rights) = ("clock:now".parse().unwrap(), grant("allow clock:now read").rights);
        let asked = world.call(host(), Requestable { pid: Pid(1), on, rights });
        assert_eq!(asked.is_ok(), *may_ask, "{text}");
        assert_eq!(world.live_digest(), world.folded_digest());
    }
    // One that says nothing is nothing to remember.
    assert!(bounded("{}").journal.is_empty());
}

#[test]
fn a_call_outside_the_manifest_is_denied_whatever_is_granted() {
    let cases: &[(&str, &str, &str)] = &[
        (r#"["fs.read"]"#, "fs.read", "allow 1"),
        (r#"["fs.read"]"#, "fs.stat", "outside: fs.stat"),
        (r#"["clock.now","fs.*"]"#, "fs.stat", "allow 1"),
        (r#"["object.*"]"#, "fs.read", "outside: fs.read"),
    ];
    for (calls, name, expected) in cases {
        let mut world = bounded(&format!(r#"{{"calls":{calls}}}"#));
        world.host_grants(1, "allow fs:* read").unwrap();
        let call = format!(r#"{name} {{"path":"workspace/a"}}"#);
        assert_eq!(world.decide(1, &call), *expected, "{calls}");
        // Others are not bounded by it.
        world.host_grants(2, "allow fs:* read").unwrap();
        assert_eq!(world.decide(2, &call), "allow 2");
    }
    // Neither a question nor its answer gets past it.
    let mut world = bounded(r#"{"calls":["fs.stat"]}"#);
    world.host_grants(1, "ask fs:* read").unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "outside: fs.read");
    assert_eq!(world.decide(1, r#"fs.stat {"path":"workspace/a"}"#), "ask 1");
    // What is known is that there is no grant, where there is none.
    world.end(1);
    assert_eq!(world.decide(1, &read("workspace/a")), "no grant");
}

#[test]
fn a_child_is_bound_by_its_own_manifest_and_by_all_above() {
    let src = r#"{"authority":[{"on":"fs:workspace/src/*","rights":["read","write"]}]}"#;
    let read_only = r#"{"authority":[{"on":"fs:*","rights":["read"]}],"calls":["fs.read"]}"#;
    for own_first in [false, true] {
        let mut world = bounded(src);
        if own_first {
            // In whatever order it is told.
            world.bound(2, None, read_only).unwrap();
            world.derive(1, 2, &[]).unwrap();
        } else {
            world.bound(2, Some(1), read_only).unwrap();
        }
        world.bound(3, Some(2), "{}").unwrap();
        world.derive(3, 4, &[]).unwrap();
        for pid in [2, 3, 4] {
            assert_eq!(
                code(world.host_grants(pid, "allow fs:workspace/a read")),
                "outside_manifest"
            );
            let write = world.host_grants(pid, "allow fs:workspace/src/a write");
            assert_eq!(code(write), "outside_manifest");
            let id = world.host_grants(pid, "allow fs:workspace/src/a read").unwrap().0;
            assert_eq!(world.decide(pid, &read("workspace/src/a")), format!("allow {id}"));
            let stat = r#"fs.stat {"path":"workspace/src/a"}"#;
            assert_eq!(world.decide(pid, stat), "outside: fs.stat");
        }
        world.host_grants(1, "allow fs:workspace/src/a write").unwrap();
        // What bounds one above stays when that one has ended.
        world.end(2);
        world.end(1);
        assert_eq!(code(world.host_grants(4, "allow fs:workspace/a read")), "outside_manifest");
        world.host_grants(1, "allow clock:now read").unwrap();
        assert_eq!(world.live_digest(), world.folded_digest());
    }
}

#[test]
fn a_call_must_be_foreseen_by_every_manifest_above() {
    let mut world = bounded(r#"{"calls":["fs.*","clock.now"]}"#);
    world.bound(2, Some(1), r#"{"calls":["fs.read","clock.*","object.read"]}"#).unwrap();
    world.bound(3, Some(2), r#"{"calls":["fs.*"]}"#).unwrap();
    world.bound(4, Some(3), "{}").unwrap();
    for (pid, admitted) in [
        (1, &["fs.read", "fs.stat", "clock.now"][..]),
        (2, &["fs.read", "clock.now"]),
        (3, &["fs.read"]),
        (4, &["fs.read"]),
    ] {
        for kind in ["fs", "clock", "object"] {
            world.host_grants(pid, &format!("allow {kind}:* read")).unwrap();
        }
        for (name, text) in [
            ("fs.read", &*read("workspace/a")),
            ("fs.stat", r#"fs.stat {"path":"workspace/a"}"#),
            ("clock.now", "clock.now"),
            ("object.read", r#"object.read {"id":"obj-1.7"}"#),
        ] {
            let decision = world.decide(pid, text);
            match admitted.contains(&name) {
                true => assert!(decision.starts_with("allow"), "p{pid} {name}: {decision}"),
                false => assert_eq!(decision, format!("outside: {name}"), "p{pid}"),
            }
        }
    }
}

#[test]
fn what_is_handed_on_is_bounded_too_unless_the_kernel_gave_it() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read delegable=3").unwrap();
    let space = issued(&mut world, 1, "allow object:p1/* read delegable=3", Origin::Kernel);
    space.unwrap();
    world
        .bound(2, Some(1), r#"{"authority":[{"on":"fs:workspace/*","rights":["read"]}]}"#)
        .unwrap();
    let outside = "allow fs:other/a read";
    assert_eq!(code(world.derive(1, 2, &[outside])), "outside_manifest");
    assert_eq!(code(world.delegate(1, 2, outside)), "outside_manifest");
    assert_eq!(code(world.delegate(1, 2, "ask fs:other/a read")), "outside_manifest");
    world.delegate(1, 2, "deny fs:other/a read").unwrap();
    world.derive(1, 2, &["allow fs:workspace/* read delegable=2"]).unwrap();
    // Its parent's objects came from the kernel, at any depth.
    let object = r#"object.read {"id":"obj-1.7"}"#;
    world.derive(1, 2, &["allow object:p1/* read delegable=2"]).unwrap();
    world.derive(2, 3, &["allow object:p1/7 read"]).unwrap();
    assert_eq!(world.decide(3, object), "allow 6");
    // A copied question is no grant.
    world.host_grants(1, "ask object:* read").unwrap();
    world.delegate(1, 2, "allow object:p1/8 read").unwrap();
    assert_eq!(world.decide(2, r#"object.read {"id":"obj-1.8"}"#), "ask 9");
}

#[test]
fn an_approval_answers_a_question_that_a_manifest_does_not_foresee() {
    let mut world = bounded(r#"{"authority":[]}"#);
    issued(&mut world, 1, "ask fs:* read", Origin::Kernel).unwrap();
    let call = call(&read("workspace/a"));
    let binding = Binding {
        request: RequestId(1),
        answers: vec![CapId(1)],
        digest: call.digest(),
        op: None,
        subtree: false,
    };
    let issue = Issue {
        to: Pid(1),
        grant: grant("allow fs:workspace/a read"),
        origin: Origin::Human { request: RequestId(1) },
        binding: Some(binding),
    };
    world.issue(issue).unwrap();
    assert_eq!(show(&world.decision(1, &[], &call, 1)), "allow 1,2");
}

#[test]
fn what_a_process_holds_already_must_fit() {
    let cases: &[(&str, bool)] = &[
        ("allow fs:workspace/src/a read", true),
        ("allow fs:workspace/a read", false),
        ("ask fs:workspace/a read", false),
        ("deny fs:workspace/a read", true),
    ];
    for (text, fits) in cases {
        // Granted before the process is made, and before it is known as a child.
        let mut world = bounded(SOME);
        world.host_grants(2, text).unwrap();
        let before = world.live_digest();
        let results = [
            world.bound(2, None, SOME),
            world.bound(2, Some(1), "{}"),
            world.derive(1, 2, &[]).map(drop),
        ];
        for result in results {
            match fits {
                true => result.unwrap(),
                false => {
                    let error = result.unwrap_err();
                    assert_eq!(error.code(), "outside_manifest", "{text}");
                    assert!(error.to_string().contains("p2 holds cap-1 already"), "{error}");
                }
            }
        }
        assert_eq!(world.live_digest() == before, !fits);
        assert_eq!(world.live_digest(), world.folded_digest());
    }
    let mut world = World::new();
    issued(&mut world, 2, "allow fs:workspace/a read", Origin::Kernel).unwrap();
    world.bound(2, None, SOME).unwrap();
}

#[test]
fn what_opens_nothing_by_itself_needs_not_fit() {
    let nothing = r#"{"authority":[]}"#;
    // An approval.
    let mut world = World::new();
    let binding = Binding {
        request: RequestId(1),
        answers: vec![CapId(9)],
        digest: call(&read("workspace/a")).digest(),
        op: None,
        subtree: false,
    };
    let issue = Issue {
        to: Pid(1),
        grant: grant("allow fs:workspace/a read"),
        origin: Origin::Human { request: RequestId(1) },
        binding: Some(binding),
    };
    world.issue(issue).unwrap();
    world.bound(1, None, nothing).unwrap();
    // What was cut from the kernel's own, and the copy of a question that came along.
    let mut world = World::new();
    issued(&mut world, 1, "allow object:p1/* read delegable=1", Origin::Kernel).unwrap();
    world.host_grants(1, "ask object:p1/7 read").unwrap();
    assert_eq!(world.derive(1, 2, &["allow object:p1/* read"]).unwrap(), [CapId(3)]);
    world.bound(2, Some(1), nothing).unwrap();
    assert_eq!(world.decide(2, r#"object.read {"id":"obj-1.7"}"#), "ask 4");
    assert_eq!(code(world.bound(1, None, nothing)), "outside_manifest");
}

#[test]
fn a_process_may_ask_for_what_every_manifest_lets_it() {
    let text = r#"{
        "authority":[{"on":"fs:workspace/*","rights":["read","write"]}],
        "requestable":[{"on":"fs:workspace/out/*","rights":["write"]},
                       {"on":"shell:cargo","rights":["execute"]}]
    }"#;
    let cases: &[(&str, bool)] = &[
        ("allow fs:workspace/out/a write", true),
        ("allow fs:workspace/out/* write", true),
        ("allow fs:workspace/out/a read", false),
        ("allow fs:workspace/a write", false),
        // It could not be granted.
        ("allow shell:cargo execute", false),
    ];
    for (wanted, fits) in cases {
        let mut world = bounded(text);
        world.bound(2, Some(1), "{}").unwrap();
        world.bound(3, Some(2), r#"{"requestable":[]}"#).unwrap();
        let mut ask = |pid| {
            let (on, rights) = (grant(wanted).on, grant(wanted).rights);
            world.call(host(), Requestable { pid: Pid(pid), on, rights })
        };
        for pid in [1, 2] {
            match fits {
                true => ask(pid).unwrap(),
                false => assert_eq!(code(ask(pid)), "outside_manifest", "{wanted}"),
            }
        }
        assert_eq!(code(ask(3)), "outside_manifest");
        ask(9).unwrap();
    }
}

#[test]
fn malformed_manifests_are_refused_in_words() {
    let cases: &[(&str, &str)] = &[
        (r#"{"calls":["fs.reed"]}"#, "there is no call `fs.reed`"),
        (r#"{"calls":["fs"]}"#, "there is no call `fs`"),
        (r#"{"calls":["fsx.*"]}"#, "there is no call `fsx.*`"),
        (r#"{"calls":["*"]}"#, "there is no call `*`"),
        (r#"{"calls":["fs.re*"]}"#, "there is no call `fs.re*`"),
        (r#"{"calls":["fs.read",""]}"#, "there is no call ``"),
        (r#"{"authority":[{"on":"fs:*","rights":[]}]}"#, "authority: the entry for fs:* names no"),
        (r#"{"requestable":[{"on":"fs:*","rights":[]}]}"#, "requestable: the entry for fs:*"),
    ];
    let refused = |manifest: Manifest, expected: &str| {
        let mut world = World::new();
        let before = world.live_digest();
        let bound = Bound { pid: Pid(2), parent: Some(Pid(1)), manifest: Some(manifest) };
        let error = world.call(host(), bound).unwrap_err();
        assert_eq!(error.code(), "bad_grant", "{expected}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(world.live_digest(), before);
    };
    for (text, expected) in cases {
        refused(manifest(text), expected);
    }
    // A pattern that nobody could write can come over a wire.
    let mut bad = manifest(r#"{"requestable":[{"on":"shell:x","rights":["execute"]}]}"#);
    let nameless = libos_abi::Resource::named("shell", "");
    bad.requestable.as_mut().unwrap()[0].on = libos_abi::Pattern::exact(&nameless);
    refused(bad, "requestable: `shell:`");
    let one = |part: &str, entry: &str, many: usize| {
        manifest(&format!(r#"{{"{part}":[{}]}}"#, vec![entry; many].join(",")))
    };
    let entry = r#"{"on":"fs:*","rights":["read"]}"#;
    for (part, entry) in [("authority", entry), ("requestable", entry), ("calls", r#""fs.*""#)] {
        refused(one(part, entry, MANIFEST_ENTRIES_MAX + 1), "256 is the most");
        let fits = Some(one(part, entry, MANIFEST_ENTRIES_MAX));
        World::new().call(host(), Bound { pid: Pid(2), parent: None, manifest: fits }).unwrap();
    }
}

#[test]
fn an_explanation_tells_what_the_manifest_does_not_foresee() {
    let mut world = bounded(SOME);
    let mut explain = |on: &str| {
        let (right, on) = (libos_abi::Right::Read, on.parse().unwrap());
        world.call(host(), Explain { pid: Some(Pid(1)), right, on }).unwrap().text
    };
    let text = explain("fs:workspace/a");
    assert!(text.contains("the manifest does not foresee it"), "{text}");
    let text = explain("fs:workspace/src/a");
    assert!(text.contains("[[grant]]\non = \"fs:workspace/src/a\""), "{text}");
}
