//! What is decided, case by case: precedence, patterns, conditions, limits, approvals.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, call, digest, grant, host, read, show};
use libos_abi::{
    Binding, CapId, Digest, OpId, Origin, Pid, Principal, RequestId, Syscall, Text,
    capability::Issue, fs,
};
use libos_capability::limits::{DELEGATION_DEPTH_MAX, REGEX_BYTES_MAX, TEXT_BYTES_MAX, VALUES_MAX};

/// Grants to process 1 (numbered from 1), a call of it, what is decided.
fn check(grants: &[&str], call: &str, expected: &str) {
    let mut world = World::new();
    for text in grants {
        world.host_grants(1, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    assert_eq!(world.decide(1, call), expected, "{grants:?} on {call}");
}

fn run(argv: &[&str]) -> String {
    format!("shell.run {}", serde_json::json!({ "argv": argv }))
}

#[test]
fn no_match_is_a_denial() {
    check(&[], &read("workspace/a"), "no grant");
    check(&["allow fs:workspace/b/* read"], &read("workspace/a"), "no grant");
    check(&["allow fs:workspace/* write"], &read("workspace/a"), "no grant");
    check(&["deny fs:workspace/* write"], &read("workspace/a"), "no grant");
    check(&["allow fs:workspace/src/* read"], &read("workspace/src2"), "no grant");
    check(&["allow fs:workspace/src read"], &read("workspace/src/a"), "no grant");
}

#[test]
fn every_form_of_pattern_is_found() {
    for on in [
        "fs:workspace/src/a.rs",
        "fs:workspace/src/a.rs/*",
        "fs:workspace/src/*",
        "fs:workspace/*",
        "fs:workspace/src/a.rs:*",
        "fs:*",
    ] {
        check(&[&format!("allow {on} read")], &read("workspace/src/a.rs"), "allow 1");
    }
    check(&["allow shell:* execute"], &run(&["git"]), "allow 1");
    check(&["allow process:p7 write"], r#"message.send {"to":"p7","body":"x"}"#, "allow 1");
}

#[test]
fn deny_beats_ask_beats_allow() {
    let (allow, ask, deny) =
        ("allow fs:workspace/src/a read", "ask fs:workspace/* read", "deny fs:* read");
    check(&[allow, ask, deny], &read("workspace/src/a"), "denied by 3");
    check(&[deny, ask, allow], &read("workspace/src/a"), "denied by 1");
    check(&[allow, ask], &read("workspace/src/a"), "ask 2");
    check(&[ask, "ask fs:workspace/src/* read"], &read("workspace/src/a"), "ask 1,2");
    check(&[allow, "ask fs:workspace/b read"], &read("workspace/src/a"), "allow 1");
    // The first of several is named, wherever it is found.
    let narrow = "deny fs:workspace/src/* read";
    for pair in [[deny, narrow], [narrow, deny], [deny, deny]] {
        check(&pair, &read("workspace/src/a"), "denied by 1");
    }
    check(&[ask, allow, "ask fs:* read uses=1", ask], &read("workspace/src/a"), "ask 1,3,4");
}

#[test]
fn the_choice_among_allows_is_fixed() {
    let (finite, plain) = ("allow fs:workspace/* read uses=3", "allow fs:* read");
    check(&[finite, plain, plain], &read("workspace/a"), "allow 2");
    check(&[finite, finite], &read("workspace/a"), "allow 1; 1 takes 1 use");
}

#[test]
fn the_most_telling_reason_is_given() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read").unwrap();
    world.host_grants(1, "allow fs:* read expires=10").unwrap();
    world.host_grants(1, "allow fs:* read uses=1").unwrap();
    world.host_grants(1, "allow fs:* read calls_max=1").unwrap();
    let unmet = r#"allow fs:* read when={"path":{"equals":"workspace/b"}}"#;
    world.host_grants(1, unmet).unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "allow 1");
    world.revoke(host(), CapId(1)).unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "allow 2");
    world.now_ms = 10;
    assert!(world.admit(1, &read("workspace/a"), 1));
    assert!(world.admit(1, &read("workspace/a"), 2));
    assert_eq!(world.decide(1, &read("workspace/a")), "conditions of 5");
    world.revoke(host(), CapId(5)).unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "exhausted 3");
    world.revoke(host(), CapId(3)).unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "limit of 4");
    world.revoke(host(), CapId(4)).unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "expired 2");
    world.revoke(host(), CapId(2)).unwrap();
    assert_eq!(world.decide(1, &read("workspace/a")), "revoked 1");
}

#[test]
fn conditions_bind_arguments() {
    let shell = |condition: &str| format!(r#"allow shell:* execute when={{"argv":{condition}}}"#);
    let fits = |condition: &str, argv: &[&str]| {
        check(&[&shell(condition)], &run(argv), "allow 1");
    };
    let not = |condition: &str, argv: &[&str]| {
        check(&[&shell(condition)], &run(argv), "conditions of 1");
    };
    fits(r#"{"prefix":["git","log"]}"#, &["git", "log", "-1"]);
    not(r#"{"prefix":["git","log"]}"#, &["git", "push"]);
    fits(r#"{"equals":["git","log"]}"#, &["git", "log"]);
    not(r#"{"equals":["git","log"]}"#, &["git", "log", "x"]);
    fits(r#"{"one_of":[["git"],["ls"]]}"#, &["ls"]);
    not(r#"{"one_of":[["git"],["ls"]]}"#, &["rm"]);
    fits(r#"{"max":2,"min":1}"#, &["git", "log"]);
    not(r#"{"max":2}"#, &["git", "log", "x"]);

    let file = |condition: &str| format!(r#"allow fs:* read when={{"path":{condition}}}"#);
    let path = |condition: &str, path: &str, expected: &str| {
        check(&[&file(condition)], &read(path), expected);
    };
    path(r#"{"matches":"workspace/[a-z]+"}"#, "workspace/abc", "allow 1");
    path(r#"{"matches":"workspace/[a-z]+"}"#, "workspace/abc/d", "conditions of 1");
    path(r#"{"matches":"space/[a-z]+"}"#, "workspace/abc", "conditions of 1");
    path(r#"{"matches":"workspace/a|b"}"#, "workspace/ab", "conditions of 1");
    path(r#"{"prefix":"workspace/"}"#, "workspace/abc", "allow 1");
    path(r#"{"one_of":["workspace/a","workspace/b"]}"#, "workspace/b", "allow 1");
    path(r#"{"max":11,"prefix":"workspace/"}"#, "workspace/ab", "conditions of 1");
}

#[test]
fn every_condition_of_a_grant_must_hold() {
    let of = |effect: &str| {
        format!(
            r#"{effect} fs:* read when={{"max_bytes":{{"max":9}},"path":{{"equals":"workspace/a"}}}}"#
        )
    };
    let read = |path: &str, max: u32| {
        format!(r#"fs.read {{"path":"workspace/{path}","max_bytes":{max}}}"#)
    };
    for (path, max, holds) in [("a", 9, true), ("a", 10, false), ("b", 9, false), ("b", 10, false)]
    {
        let (allowed, denied) =
            if holds { ("allow 1", "denied by 2") } else { ("conditions of 1", "allow 1") };
        check(&[&of("allow")], &read(path, max), allowed);
        check(&["allow fs:* read", &of("deny")], &read(path, max), denied);
    }
}

#[test]
fn an_absent_argument_fails_every_condition() {
    let small = r#"allow fs:* read when={"max_bytes":{"max":100}}"#;
    check(&[small], r#"fs.read {"path":"workspace/a","max_bytes":100}"#, "allow 1");
    check(&[small], r#"fs.read {"path":"workspace/a","max_bytes":101}"#, "conditions of 1");
    check(&[small], &read("workspace/a"), "conditions of 1");
    let large = r#"deny fs:* read when={"max_bytes":{"min":101}}"#;
    let all = "allow fs:* read";
    check(&[all, large], &read("workspace/a"), "allow 1");
    check(&[all, large], r#"fs.read {"path":"workspace/a","max_bytes":101}"#, "denied by 2");
    // A call that the same grant speaks of and that has no such argument.
    check(&[small], r#"fs.stat {"path":"workspace/a"}"#, "conditions of 1");
}

#[test]
fn conditions_of_denies_and_asks_bind_where_they_hold() {
    let push = r#"deny shell:git execute when={"argv":{"prefix":["git","push"]}}"#;
    let commit = r#"ask shell:git execute when={"argv":{"prefix":["git","commit"]}}"#;
    let grants = ["allow shell:* execute", push, commit];
    check(&grants, &run(&["git", "log"]), "allow 1");
    check(&grants, &run(&["git", "push"]), "denied by 2");
    check(&grants, &run(&["git", "commit"]), "ask 3");
}

fn write_blob(bytes: u64) -> Syscall {
    let text = format!("fs.write {}", serde_json::json!({ "path": "workspace/a", "text": "x" }));
    let Syscall::Fs(fs::Call::Write(mut write)) = call(&text) else { panic!("fs.write") };
    write.text = Text::Blob { digest: Digest::default(), bytes };
    write.into()
}

#[test]
fn a_payload_that_is_not_here_helps_no_one() {
    let decide = |grants: &[&str], bytes: u64| {
        let mut world = World::new();
        for text in grants {
            world.host_grants(1, text).unwrap();
        }
        show(&world.decision(1, &[], &write_blob(bytes), 1))
    };
    let allow = "allow fs:* write";
    let length = r#"allow fs:* write when={"text":{"max":9000}}"#;
    let sum = r#"allow fs:* write when={"text":{"sum_max":9000}}"#;
    let content = r#"allow fs:* write when={"text":{"matches":".*"}}"#;
    let secret = r#"deny fs:* write when={"text":{"matches":".*secret.*"}}"#;
    let secret_ask = r#"ask fs:* write when={"text":{"prefix":"secret"}}"#;
    let short_secret = r#"deny fs:* write when={"text":{"prefix":"secret","max":100}}"#;
    assert_eq!(decide(&[length], 9000), "allow 1");
    assert_eq!(decide(&[length], 9001), "conditions of 1");
    assert_eq!(decide(&[sum], 9000), "allow 1; 1 takes 9000 of text");
    assert_eq!(decide(&[sum], 9001), "limit of 1");
    assert_eq!(decide(&[content], 9000), "conditions of 1");
    assert_eq!(decide(&[allow, secret], 9000), "denied by 2");
    assert_eq!(decide(&[allow, secret_ask], 9000), "ask 2");
    assert_eq!(decide(&[allow, short_secret], 9000), "allow 1");
}

#[test]
fn malformed_grants_are_refused_in_words() {
    let long = "a".repeat(5000);
    let cases: &[(&str, &str)] = &[
        ("allow fs:* -", "names no right"),
        ("allow fs:* read uses=0", "0 times"),
        ("allow fs:* read calls_max=0", "0 times"),
        ("allow fs:* read delegable=9", "too deep"),
        ("deny fs:* read uses=1", "never runs out"),
        ("deny fs:* read calls_max=1", "never runs out"),
        (r#"deny fs:* write when={"text":{"sum_max":1}}"#, "never runs out"),
        (r#"allow fs:* read when={"pth":{"equals":"x"}}"#, "`pth`"),
        (r#"allow fs:* read when={"pth":{"equals":"x"}}"#, "max_bytes"),
        (r#"allow fs:* read when={"text":{"max":1}}"#, "`text`"),
        (r#"allow fs:* read when={"path":{"equals":1}}"#, "which is a text"),
        (r#"allow fs:* read when={"path":{"sum_max":1,"prefix":["a"]}}"#, "which is a text"),
        (r#"allow fs:* read when={"max_bytes":{"prefix":"x"}}"#, "whole number"),
        (r#"allow fs:* read when={"max_bytes":{"matches":"x"}}"#, "whole number"),
        (r#"allow shell:* execute when={"argv":{"sum_max":1}}"#, "list of texts"),
        (r#"allow shell:* execute when={"argv":{"equals":"git"}}"#, "list of texts"),
        (r#"allow fs:* read when={"path":{"matches":"("}}"#, "does not compile"),
        (r#"allow fs:* read when={"path":{"matches":"a)|(b"}}"#, "does not compile"),
        (r#"allow fs:* read when={"path":{"matches":"(\\w{99}){99}"}}"#, "does not compile"),
        (r#"allow fs:* read when={"path":{}}"#, "says nothing"),
        (r#"allow fs:* read when={"path":{"one_of":[]}}"#, "one_of"),
        (r#"allow fs:* read when={"path":{"min":2,"max":1}}"#, "min above its max"),
    ];
    for (text, expected) in cases {
        let error = World::new().host_grants(1, text).unwrap_err();
        assert_eq!(error.code(), "bad_grant", "{text}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    for condition in [format!(r#"{{"equals":"{long}"}}"#), format!(r#"{{"matches":"{long}"}}"#)] {
        let text = format!(r#"allow fs:* read when={{"path":{condition}}}"#);
        assert_eq!(World::new().host_grants(1, &text).unwrap_err().code(), "bad_grant");
    }
    let many: Vec<String> = (0..17).map(|n| format!(r#""a{n}":{{"max":1}}"#)).collect();
    let text = format!("allow fs:* read when={{{}}}", many.join(","));
    let error = World::new().host_grants(1, &text).unwrap_err().to_string();
    assert!(error.contains("16 is the most"), "{error}");
    let text = format!("allow fs:* read when={{{}}}", many[..16].join(","));
    let error = World::new().host_grants(1, &text).unwrap_err().to_string();
    assert!(error.contains("has an argument `a0`"), "{error}");
}

/// Capabilities share what repeats: none may show or decide as another.
#[test]
fn each_of_many_grants_is_what_was_granted() {
    let mut world = World::new();
    let mut specs = Vec::new();
    let effects = ["allow", "ask", "allow"];
    let rights = ["read", "write", "read+write", "read+delete", "link", "read+link"];
    for n in 0..1_500_usize {
        let mut text = format!("{} fs:workspace/{n} {}", effects[n % 3], rights[n % 6]);
        match n % 7 {
            0 => text += &format!(" uses={}", 1 + n),
            1 => text += &format!(" calls_max={}", 1 + n),
            2 => text += &format!(" delegable={}", n % 9),
            3 => text += &format!(r#" when={{"path":{{"max":{n}}}}}"#),
            4 => text += &format!(r#" uses={n} when={{"path":{{"equals":"workspace/{n}"}}}}"#),
            _ => {}
        }
        if grant(&text).rights.contains(libos_abi::Right::Link) {
            text = text.split(" when=").next().unwrap().to_owned();
        }
        world.host_grants(1 + (n % 5) as u64, &text).unwrap();
        specs.push(grant(&text));
    }
    for (cap, spec) in world.listed().iter().zip(&specs) {
        assert_eq!(
            (cap.effect, &cap.on, cap.rights, cap.uses_left, cap.delegable, cap.calls_left),
            (spec.effect, &spec.on, spec.rights, spec.uses, spec.delegable, spec.calls_max)
        );
        assert_eq!(cap.when, spec.when);
    }
    // Two that differ in what they compare with, and in nothing else.
    let mut world = World::new();
    for file in ["a", "b"] {
        let text = format!(r#"allow fs:* read when={{"path":{{"matches":"workspace/{file}"}}}}"#);
        world.host_grants(1, &text).unwrap();
    }
    assert_eq!(world.decide(1, &read("workspace/a")), "allow 1");
    assert_eq!(world.decide(1, &read("workspace/b")), "allow 2");
    assert_eq!(world.decide(1, &read("workspace/c")), "conditions of 1");
}

#[test]
fn a_grant_may_be_as_large_as_the_limits_say() {
    let text = |bytes: usize| format!(r#"{{"equals":"{}"}}"#, "a".repeat(bytes));
    let regex = |bytes: usize| format!(r#"{{"matches":"{}"}}"#, "a".repeat(bytes));
    let list = |items: usize| serde_json::json!({ "equals": vec!["a"; items] }).to_string();
    let one_of = |items: usize| serde_json::json!({ "one_of": vec!["a"; items] }).to_string();
    let long_item = |bytes: usize| serde_json::json!({ "prefix": ["a".repeat(bytes)] }).to_string();
    let on_path = |when: String| format!(r#"allow fs:* read when={{"path":{when}}}"#);
    let on_argv = |when: String| format!(r#"allow shell:* execute when={{"argv":{when}}}"#);
    let fits = [
        on_path(text(TEXT_BYTES_MAX)),
        on_path(regex(REGEX_BYTES_MAX)),
        on_path(one_of(VALUES_MAX)),
        on_path(r#"{"min":2,"max":2}"#.into()),
        on_argv(list(VALUES_MAX)),
        on_argv(long_item(TEXT_BYTES_MAX)),
        format!("allow fs:* read delegable={DELEGATION_DEPTH_MAX}"),
    ];
    for text in fits {
        let text = &*text;
        World::new().host_grants(1, text).unwrap_or_else(|error| panic!("{text:.99}: {error}"));
    }
    let too_much = [
        on_path(text(TEXT_BYTES_MAX + 1)),
        on_path(regex(REGEX_BYTES_MAX + 1)),
        on_path(one_of(VALUES_MAX + 1)),
        on_argv(list(VALUES_MAX + 1)),
        on_argv(long_item(TEXT_BYTES_MAX + 1)),
        format!("allow fs:* read delegable={}", DELEGATION_DEPTH_MAX + 1),
    ];
    for text in too_much {
        assert_eq!(World::new().host_grants(1, &text).unwrap_err().code(), "bad_grant");
    }
}

#[test]
fn a_capability_never_works_for_another_subject() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read").unwrap();
    assert_eq!(world.decide(2, &read("workspace/a")), "no grant");
    let ancestors = &[Pid(1)];
    let decision = world.decision(2, ancestors, &call(&read("workspace/a")), 1);
    assert_eq!(show(&decision), "no grant");
}

#[test]
fn limits_count_what_is_set_aside_and_forget_what_is_given_back() {
    let mut world = World::new();
    world
        .host_grants(1, r#"allow fs:* write uses=3 calls_max=3 when={"text":{"sum_max":10}}"#)
        .unwrap();
    let write = |text: &str| format!(r#"fs.write {{"path":"workspace/a","text":"{text}"}}"#);
    assert_eq!(world.decide(1, &write("12345")), "allow 1; 1 takes 1 use 1 call 5 of text");
    assert!(world.admit(1, &write("12345"), 1));
    assert_eq!(world.decide(1, &write("123456")), "limit of 1");
    assert!(world.admit(1, &write("12345"), 2));
    assert_eq!(world.decide(1, &write("1")), "limit of 1");
    world.settle(2, true);
    world.settle(2, true);
    world.settle(77, false);
    assert!(world.admit(1, &write("1234"), 3));
    world.settle(1, false);
    world.settle(3, false);
    assert!(world.admit(1, &write("1"), 4));
    assert_eq!(world.decide(1, &write("")), "exhausted 1");
    world.revoke(host(), CapId(1)).unwrap();
    world.settle(4, true);
    assert_eq!(world.decide(1, &write("")), "revoked 1");
    assert_eq!(world.folded_digest(), world.live_digest());
}

#[test]
fn a_sum_near_the_largest_number_neither_wraps_nor_panics() {
    let mut world = World::new();
    let text = format!(r#"allow fs:* write when={{"text":{{"sum_max":{}}}}}"#, u64::MAX);
    world.host_grants(1, &text).unwrap();
    let decision = world.decision(1, &[], &write_blob(u64::MAX - 1), 1);
    let libos_port::Decision::Allow { charges, .. } = decision else { panic!("{decision:?}") };
    world.reserve(1, charges.clone()).unwrap();
    assert_eq!(show(&world.decision(1, &[], &write_blob(2), 2)), "limit of 1");
    assert_eq!(world.reserve(2, charges).unwrap_err().code(), "denied");
    assert_eq!(show(&world.decision(1, &[], &write_blob(1), 2)), "allow 1; 1 takes 1 of text");
}

#[test]
fn a_question_that_runs_out_denies() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read").unwrap();
    world.host_grants(1, "ask fs:* read uses=1").unwrap();
    approve(&mut world, 1, 2, &read("workspace/a"), None, false, "allow fs:workspace/a read");
    assert_eq!(world.decide(1, &read("workspace/a")), "allow 2,3; 2 takes 1 use");
    assert!(world.admit(1, &read("workspace/a"), 1));
    assert_eq!(world.decide(1, &read("workspace/a")), "exhausted 2");
}

fn approve(
    world: &mut World,
    to: u64,
    ask: u64,
    text: &str,
    op: Option<u64>,
    subtree: bool,
    spec: &str,
) -> CapId {
    let request = RequestId(1);
    world
        .issue(Issue {
            to: Pid(to),
            grant: grant(spec),
            origin: Origin::Human { request },
            binding: Some(Binding {
                request,
                answers: vec![CapId(ask)],
                digest: digest(&call(text)),
                op: op.map(OpId),
                subtree,
            }),
        })
        .unwrap()
}

#[test]
fn an_approval_answers_its_question_and_nothing_else() {
    let a = read("workspace/a");
    let allow = "allow fs:workspace/a read";

    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    approve(&mut world, 1, 1, &a, None, false, "allow fs:workspace/a read uses=1");
    assert_eq!(world.decide(1, &a), "allow 1,2; 2 takes 1 use");
    assert_eq!(world.decide(1, &read("workspace/b")), "ask 1");
    assert_eq!(world.decide(1, r#"fs.stat {"path":"workspace/a"}"#), "ask 1");
    assert_eq!(world.decide(2, &a), "no grant");
    assert!(world.admit(1, &a, 1));
    assert_eq!(world.decide(1, &a), "ask 1");
    world.settle(1, true);
    assert_eq!(world.decide(1, &a), "allow 1,2; 2 takes 1 use");
    assert!(world.admit(1, &a, 2));
    world.settle(2, false);
    assert_eq!(world.decide(1, &a), "ask 1");

    // Bound to one operation.
    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    approve(&mut world, 1, 1, &a, Some(7), false, allow);
    assert_eq!(show(&world.decision(1, &[], &call(&a), 7)), "allow 1,2");
    assert_eq!(show(&world.decision(1, &[], &call(&a), 8)), "ask 1");

    // Another question is not answered, a denial not undone, and without a question it is nothing.
    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    let second = world.host_grants(1, "ask fs:workspace/* read").unwrap();
    approve(&mut world, 1, 1, &a, None, false, allow);
    assert_eq!(world.decide(1, &a), "ask 2");
    world.revoke(host(), second).unwrap();
    assert_eq!(world.decide(1, &a), "allow 1,3");
    let deny = world.host_grants(1, "deny fs:workspace/a read").unwrap();
    assert_eq!(world.decide(1, &a), format!("denied by {}", deny.0));
    world.revoke(host(), deny).unwrap();
    world.revoke(host(), CapId(1)).unwrap();
    assert_eq!(world.decide(1, &a), "no grant");

    // Of several, one without a number of uses is taken, then the oldest.
    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    let once = "allow fs:workspace/a read uses=1";
    for (spec, expected) in [(once, 2), (once, 2), (allow, 4), (allow, 4)] {
        approve(&mut world, 1, 1, &a, None, false, spec);
        let takes = if expected == 2 { "; 2 takes 1 use" } else { "" };
        assert_eq!(world.decide(1, &a), format!("allow 1,{expected}{takes}"));
    }

    // Until a time; taken back.
    let mut world = World::new();
    world.host_grants(1, "ask fs:* read").unwrap();
    let approval =
        approve(&mut world, 1, 1, &a, None, false, "allow fs:workspace/a read expires=5");
    assert_eq!(world.decide(1, &a), "allow 1,2");
    world.now_ms = 5;
    assert_eq!(world.decide(1, &a), "ask 1");
    world.now_ms = 4;
    world.revoke(host(), approval).unwrap();
    assert_eq!(world.decide(1, &a), "ask 1");
}

#[test]
fn an_approval_for_a_subtree_reaches_down_and_only_down() {
    for (subtree, expected) in [(true, "allow 2,3"), (false, "ask 2")] {
        let a = read("workspace/a");
        let mut world = World::new();
        world.host_grants(1, "ask fs:workspace/* read").unwrap();
        let child = world.derive(1, 2, &["ask fs:workspace/* read"]).unwrap();
        assert_eq!(child, [CapId(2)]);
        approve(&mut world, 1, 1, &a, None, subtree, "allow fs:workspace/a read");
        let decide = |pid, ancestors: &[Pid]| show(&world.decision(pid, ancestors, &call(&a), 1));
        assert_eq!(decide(1, &[]), "allow 1,3");
        assert_eq!(decide(2, &[Pid(1)]), expected);
        assert_eq!(decide(2, &[]), "ask 2");
    }
}

#[test]
fn an_approval_can_only_allow() {
    let issue = Issue {
        to: Pid(1),
        grant: grant("ask fs:* read"),
        origin: Origin::Kernel,
        binding: Some(Binding {
            request: RequestId(1),
            answers: vec![],
            digest: Digest::default(),
            op: None,
            subtree: false,
        }),
    };
    assert_eq!(World::new().issue(issue).unwrap_err().code(), "bad_grant");
}

#[test]
fn several_needs_are_weighed_together() {
    let text = read("workspace/a");
    let needs: Vec<_> = ["read fs:workspace/a", "write fs:workspace/b"]
        .iter()
        .map(|need| {
            let (right, on) = need.split_once(' ').unwrap();
            libos_abi::Need {
                right: serde_json::from_value(right.into()).unwrap(),
                on: on.parse().unwrap(),
            }
        })
        .collect();
    let cases: &[(&[&str], &str)] = &[
        (&["allow fs:* read", "allow fs:* write"], "allow 1,2"),
        (&["allow fs:* read"], "no grant"),
        (&["ask fs:* read", "deny fs:* write"], "denied by 2"),
        (&["ask fs:* read", "allow fs:* write"], "ask 1"),
        (&["ask fs:* read+write"], "ask 1"),
        (&["allow fs:* read+write uses=1"], "allow 1,1; 1 takes 1 use"),
    ];
    for (grants, expected) in cases {
        let mut world = World::new();
        for text in *grants {
            world.host_grants(1, text).unwrap();
        }
        let decision = world.decide_needs(1, &needs, &call(&text));
        assert_eq!(show(&decision), *expected, "{grants:?}");
    }
}

#[test]
fn a_set_of_charges_that_would_pass_a_limit_is_refused_whole() {
    let mut world = World::new();
    world.host_grants(1, "allow fs:* read uses=1").unwrap();
    let libos_port::Decision::Allow { charges, .. } =
        world.decision(1, &[], &call(&read("workspace/a")), 1)
    else {
        panic!("allowed")
    };
    world.reserve(1, charges.clone()).unwrap();
    world.reserve(1, charges.clone()).unwrap();
    assert_eq!(world.reserve(1, vec![]).unwrap_err().code(), "bad_message");
    assert_eq!(world.reserve(2, charges.clone()).unwrap_err().code(), "denied");
    world.settle(1, true);
    world.revoke(host(), CapId(1)).unwrap();
    assert_eq!(world.reserve(3, charges).unwrap_err().code(), "denied");
    // Nothing to set aside is nothing to remember, and neither is nothing to settle.
    let events = world.journal.len();
    world.reserve(4, vec![]).unwrap();
    world.settle(4, false);
    assert_eq!(world.journal.len(), events);
}

#[test]
fn only_the_host_grants() {
    let mut world = World::new();
    let grant = libos_abi::capability::Grant { to: Pid(1), grant: grant("allow fs:* read") };
    let error = world.call(Principal::Process(Pid(1)), grant).unwrap_err();
    assert_eq!(error.code(), "denied");
}
