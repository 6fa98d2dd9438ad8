//! Authority: service `capability`, and the decision itself.
//!
//! In decisions written as text, capabilities have the numbers of the order in which they were
//! made, copies of restrictions included.

use std::rc::Rc;

use libos_abi::{
    Binding, CapId, Demand, Digest, Effect, Error, Need, OpId, Origin, Pid, RequestId, Right,
    Status, Syscall, Text,
    capability::{
        Charge, Delegate, Derive, End, Explain, Grant, Inspect, Issue, List, Reserve, Revoke,
        Settle,
    },
    fs,
};
use libos_port::{Authority, Decision, Stop};

use crate::{
    Factory, Kernel, host, process, samples,
    text::{call, grant, read},
};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! capability_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args capability
            case no_match_is_a_denial
                holds "I-03" shows "fs.read denied";
            case a_process_without_grants_may_do_nothing_that_takes_a_right
                holds "I-01, I-03"
                shows "fs.read denied, shell.run denied, object.read denied";
            case every_form_of_pattern_is_found
                holds "I-04" shows "";
            case deny_beats_ask_beats_allow
                holds "I-03" shows "fs.read denied";
            case the_choice_among_allows_is_fixed
                holds "I-03, I-16" shows "";
            case conditions_bind_arguments
                holds "I-03" shows "shell.run denied";
            case an_absent_argument_fails_every_condition
                holds "I-03" shows "";
            case conditions_of_denies_and_asks_bind_where_they_hold
                holds "I-03" shows "";
            case a_payload_that_is_not_here_helps_no_one
                holds "I-38" shows "fs.write denied";
            case what_was_given_since_a_checkpoint_goes_and_what_went_stays_gone
                holds "I-05, I-115"
                shows "capability.save ok, capability.compare ok, capability.restore ok,
                       capability.forget ok";
            case a_process_that_comes_back_holds_what_nothing_took
                holds "I-05, I-115" shows "capability.restore ok";
            case copies_of_processes_get_nothing_finite_and_every_restriction
                holds "I-05, I-116"
                shows "capability.copy_held ok, capability.copy_held outside_manifest,
                       capability.recall ok";
            case copies_of_processes_reach_the_memories_of_copies
                holds "I-116" shows "capability.copy_held ok";
            case several_needs_are_weighed_together
                holds "I-03" shows "";
            case malformed_grants_are_refused
                holds "I-08" shows "capability.grant bad_grant";
            case only_the_host_grants
                holds "I-05" shows "capability.grant ok, capability.grant denied";
            case a_capability_never_works_for_another_subject
                holds "I-09" shows "";
            case limits_count_what_is_set_aside_and_forget_what_is_given_back
                holds "I-16" shows "capability.reserve ok, capability.settle ok";
            case what_would_pass_a_limit_is_not_set_aside
                holds "I-16" shows "capability.reserve denied";
            case a_question_that_runs_out_denies
                holds "I-39" shows "";
            case an_approval_answers_its_question_and_nothing_else
                holds "I-15" shows "capability.issue ok";
            case an_approval_for_a_subtree_reaches_down_and_only_down
                holds "I-09" shows "";
            case an_approval_can_only_allow
                holds "I-15" shows "capability.issue bad_grant";
            case approvals_are_never_handed_on
                holds "I-15" shows "capability.derive denied";
            case an_allow_is_cut_from_one_that_covers_it
                holds "I-05"
                shows "capability.derive ok, capability.delegate ok, capability.delegate denied";
            case an_ask_needs_an_allow_or_an_ask_and_a_deny_needs_nothing
                holds "I-05" shows "";
            case denies_and_asks_of_the_giver_come_along_where_they_overlap
                holds "I-06" shows "";
            case no_process_takes_a_copied_restriction_back
                holds "I-06" shows "capability.revoke not_found";
            case conditions_expiry_and_limits_of_every_ancestor_bind
                holds "I-05, I-07" shows "";
            case a_question_with_uses_is_shared_with_its_copies
                holds "I-06, I-16" shows "";
            case delegation_goes_to_living_children_only
                holds "I-05" shows "capability.delegate not_a_child, capability.delegate bad_grant";
            case a_refused_derive_changes_nothing
                holds "I-08" shows "capability.derive denied, capability.derive bad_grant";
            case revoking_ends_every_descendant_on_the_next_call
                holds "I-07" shows "capability.revoke ok, capability.revoke not_found";
            case a_process_sees_its_own_and_the_host_sees_all
                holds "I-09"
                shows "capability.list ok, capability.list denied, capability.inspect ok,
                       capability.inspect not_found";
            case an_end_takes_everything_from_its_subject_and_nothing_from_others
                holds "I-27" shows "capability.end ok";
            case a_manifest_binds_a_process_and_all_below_it
                holds "I-05"
                shows "capability.bound ok, capability.grant outside_manifest,
                       capability.issue outside_manifest, capability.derive outside_manifest,
                       capability.delegate outside_manifest";
            case a_manifest_that_is_malformed_or_comes_too_late_is_refused
                holds "I-08" shows "capability.bound bad_grant, capability.bound outside_manifest";
            case what_a_manifest_does_not_foresee_is_denied
                holds "I-03" shows "fs.write denied";
            case what_may_be_asked_for_is_what_could_be_granted
                holds "I-40"
                shows "capability.requestable ok, capability.requestable outside_manifest";
            case what_is_not_kept_is_given_up_for_good
                holds "I-05, I-07" shows "capability.keep ok, capability.keep not_found";
            case from_outside_of_a_call_only_what_is_certain_counts
                holds "I-03, I-16" shows "capability.may ok";
            case explanations_tell_what_would_be_decided
                holds "I-20" shows "capability.explain ok";
            case authority_survives_a_crash
                holds "I-16, I-34" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

mod bounds;
mod saved;

use bounds::{
    a_manifest_binds_a_process_and_all_below_it,
    a_manifest_that_is_malformed_or_comes_too_late_is_refused,
    from_outside_of_a_call_only_what_is_certain_counts, what_a_manifest_does_not_foresee_is_denied,
    what_is_not_kept_is_given_up_for_good, what_may_be_asked_for_is_what_could_be_granted,
};
use saved::{
    a_process_that_comes_back_holds_what_nothing_took,
    copies_of_processes_get_nothing_finite_and_every_restriction,
    copies_of_processes_reach_the_memories_of_copies,
    what_was_given_since_a_checkpoint_goes_and_what_went_stays_gone,
};

capability_cases! { contract [Kernel<dyn Authority>: "capability"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<A: Authority + 'static>(
    make: impl Fn() -> A + 'static,
) -> Factory<Box<dyn Authority>> {
    Rc::new(move || Box::new(make()))
}

type Engine = Kernel<dyn Authority>;

/// What cases do to any engine; its own tests, too.
impl<P: ?Sized + Authority> Kernel<P> {
    /// A grant on the host's word.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn host_grants(&mut self, to: u64, text: &str) -> Result<CapId, Error> {
        let made = self.call(host(), Grant { to: Pid(to), grant: grant(text) });
        made.map(|made| made.capability).map_err(error)
    }

    /// A process hands part of its authority to a child.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn delegate(&mut self, from: u64, to: u64, text: &str) -> Result<CapId, Error> {
        let made = self.call(process(from), Delegate { to: Pid(to), grant: grant(text) });
        made.map(|made| made.capability).map_err(error)
    }

    /// A child is made and gets its authority.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn derive(&mut self, parent: u64, child: u64, texts: &[&str]) -> Result<Vec<CapId>, Error> {
        let grants = texts.iter().map(|text| grant(text)).collect();
        let derive = Derive { parent: Pid(parent), child: Pid(child), grants };
        self.call(host(), derive).map(|made| made.capabilities).map_err(error)
    }

    /// A capability on the kernel's word.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn issue(&mut self, issue: Issue) -> Result<CapId, Error> {
        self.call(host(), issue).map(|made| made.capability).map_err(error)
    }

    /// The host (0) or a process takes a capability back.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn revoke(&mut self, by: u64, id: CapId) -> Result<Vec<CapId>, Error> {
        let by = if by == 0 { host() } else { process(by) };
        let revoked = self.call(by, Revoke { capability: id, reason: None });
        revoked.map(|revoked| revoked.capabilities).map_err(error)
    }

    /// An operation sets aside what it takes.
    ///
    /// # Errors
    /// What the call ends in.
    pub fn reserve(&mut self, op: u64, charges: Vec<Charge>) -> Result<(), Error> {
        self.call(host(), Reserve { op: OpId(op), charges }).map_err(error)
    }

    /// What an operation set aside is taken or given back.
    pub fn settle(&mut self, op: u64, give_back: bool) {
        self.ok(host(), Settle { op: OpId(op), give_back });
    }

    /// A process has ended.
    pub fn end(&mut self, subject: u64) {
        self.ok(host(), End { subject: Pid(subject) });
    }

    /// Decides on a call, and when it is allowed sets aside what it takes.
    pub fn admit(&mut self, pid: u64, text: &str, op: u64) -> bool {
        match self.decision(process(pid).op(op), &[], &call(text)) {
            Decision::Allow { charges, .. } => self.reserve(op, charges).is_ok(),
            _ => false,
        }
    }
}

fn error(stop: Stop) -> Error {
    match stop {
        Stop::Error(error) => error,
        other => panic!("no call of this service waits or has an effect: {other:?}"),
    }
}

/// Grants to process 1 (numbered from 1), a call of it, what is decided.
#[track_caller]
fn check(k: &Engine, grants: &[&str], call: &str, expected: &str) {
    let mut k = k.fresh();
    for text in grants {
        k.host_grants(1, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    assert_eq!(k.decide(process(1), call), expected, "{grants:?} on {call}");
}

fn run(argv: &[&str]) -> String {
    format!("shell.run {}", serde_json::json!({ "argv": argv }))
}

fn no_match_is_a_denial(k: &mut Engine) {
    let a = &read("workspace/a");
    assert_eq!(k.decide(process(1), a), "no grant");
    check(k, &["allow fs:workspace/b/* read"], a, "no grant");
    check(k, &["allow fs:workspace/* write"], a, "no grant");
    check(k, &["deny fs:workspace/* write"], a, "no grant");
    check(k, &["allow fs:workspace/src/* read"], &read("workspace/src2"), "no grant");
    check(k, &["allow fs:workspace/src read"], &read("workspace/src/a"), "no grant");
}

fn a_process_without_grants_may_do_nothing_that_takes_a_right(k: &mut Engine) {
    k.host_grants(2, "allow fs:* read+write").unwrap();
    let mut count = 0;
    for call in samples::calls() {
        if let Demand::Rights(needs) = call.demand() {
            let decision = k.weigh(process(1), &[Pid(2)], &needs, &call);
            assert_eq!(k.show(&decision), "no grant", "{}", call.info().name);
            count += 1;
        }
    }
    assert!(count > 20, "only {count} calls take a right");
}

fn every_form_of_pattern_is_found(k: &mut Engine) {
    for on in [
        "fs:workspace/src/a.rs",
        "fs:workspace/src/a.rs/*",
        "fs:workspace/src/*",
        "fs:workspace/*",
        "fs:workspace/src/a.rs:*",
        "fs:*",
    ] {
        check(k, &[&format!("allow {on} read")], &read("workspace/src/a.rs"), "allow 1");
    }
    check(k, &["allow shell:* execute"], &run(&["git"]), "allow 1");
    check(k, &["allow process:p7 write"], r#"message.send {"to":"p7","body":"x"}"#, "allow 1");
}

fn deny_beats_ask_beats_allow(k: &mut Engine) {
    let (allow, ask, deny) =
        ("allow fs:workspace/src/a read", "ask fs:workspace/* read", "deny fs:* read");
    let a = &read("workspace/src/a");
    check(k, &[allow, ask, deny], a, "denied by 3");
    check(k, &[deny, ask, allow], a, "denied by 1");
    check(k, &[allow, ask], a, "ask 2");
    check(k, &[ask, "ask fs:workspace/src/* read"], a, "ask 1,2");
    check(k, &[allow, "ask fs:workspace/b read"], a, "allow 1");
}

fn the_choice_among_allows_is_fixed(k: &mut Engine) {
    let (finite, plain) = ("allow fs:workspace/* read uses=3", "allow fs:* read");
    check(k, &[finite, plain, plain], &read("workspace/a"), "allow 2");
    check(k, &[finite, finite], &read("workspace/a"), "allow 1; 1 takes 1 use");
}

fn conditions_bind_arguments(k: &mut Engine) {
    let shell = |condition: &str| format!(r#"allow shell:* execute when={{"argv":{condition}}}"#);
    let argv = |condition: &str, argv: &[&str], expected: &str| {
        check(k, &[&shell(condition)], &run(argv), expected);
    };
    let (fits, not) = ("allow 1", "conditions of 1");
    argv(r#"{"prefix":["git","log"]}"#, &["git", "log", "-1"], fits);
    argv(r#"{"prefix":["git","log"]}"#, &["git", "push"], not);
    argv(r#"{"equals":["git","log"]}"#, &["git", "log"], fits);
    argv(r#"{"equals":["git","log"]}"#, &["git", "log", "x"], not);
    argv(r#"{"one_of":[["git"],["ls"]]}"#, &["ls"], fits);
    argv(r#"{"one_of":[["git"],["ls"]]}"#, &["rm"], not);
    argv(r#"{"max":2,"min":1}"#, &["git", "log"], fits);
    argv(r#"{"max":2}"#, &["git", "log", "x"], not);

    let file = |condition: &str| format!(r#"allow fs:* read when={{"path":{condition}}}"#);
    let path = |condition: &str, path: &str, expected: &str| {
        check(k, &[&file(condition)], &read(path), expected);
    };
    path(r#"{"matches":"workspace/[a-z]+"}"#, "workspace/abc", fits);
    path(r#"{"matches":"workspace/[a-z]+"}"#, "workspace/abc/d", not);
    path(r#"{"matches":"space/[a-z]+"}"#, "workspace/abc", not);
    path(r#"{"matches":"workspace/a|b"}"#, "workspace/ab", not);
    path(r#"{"prefix":"workspace/"}"#, "workspace/abc", fits);
    path(r#"{"one_of":["workspace/a","workspace/b"]}"#, "workspace/b", fits);
    path(r#"{"max":11,"prefix":"workspace/"}"#, "workspace/ab", not);
}

fn an_absent_argument_fails_every_condition(k: &mut Engine) {
    let small = r#"allow fs:* read when={"max_bytes":{"max":100}}"#;
    check(k, &[small], r#"fs.read {"path":"workspace/a","max_bytes":100}"#, "allow 1");
    check(k, &[small], r#"fs.read {"path":"workspace/a","max_bytes":101}"#, "conditions of 1");
    check(k, &[small], &read("workspace/a"), "conditions of 1");
    let large = r#"deny fs:* read when={"max_bytes":{"min":101}}"#;
    let all = "allow fs:* read";
    check(k, &[all, large], &read("workspace/a"), "allow 1");
    check(k, &[all, large], r#"fs.read {"path":"workspace/a","max_bytes":101}"#, "denied by 2");
    // A call that the same grant speaks of and that has no such argument.
    check(k, &[small], r#"fs.stat {"path":"workspace/a"}"#, "conditions of 1");
}

fn conditions_of_denies_and_asks_bind_where_they_hold(k: &mut Engine) {
    let push = r#"deny shell:git execute when={"argv":{"prefix":["git","push"]}}"#;
    let commit = r#"ask shell:git execute when={"argv":{"prefix":["git","commit"]}}"#;
    let grants = ["allow shell:* execute", push, commit];
    check(k, &grants, &run(&["git", "log"]), "allow 1");
    check(k, &grants, &run(&["git", "push"]), "denied by 2");
    check(k, &grants, &run(&["git", "commit"]), "ask 3");
}

/// A write whose text is stored elsewhere.
fn write_blob(bytes: u64) -> Syscall {
    let Syscall::Fs(fs::Call::Write(mut write)) =
        call(r#"fs.write {"path":"workspace/a","text":"x"}"#)
    else {
        panic!("fs.write")
    };
    write.text = Text::Blob { digest: Digest::default(), bytes };
    write.into()
}

fn a_payload_that_is_not_here_helps_no_one(k: &mut Engine) {
    let decide = |grants: &[&str], bytes: u64| {
        let mut k = k.fresh();
        for text in grants {
            k.host_grants(1, text).unwrap();
        }
        let decision = k.decision(process(1), &[], &write_blob(bytes));
        k.show(&decision)
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
    let written = k.decision(process(1), &[], &write_blob(1));
    assert_eq!(k.show(&written), "no grant");
}

fn several_needs_are_weighed_together(k: &mut Engine) {
    let need = |right, on: &str| Need { right, on: on.parse().unwrap() };
    let needs = [need(Right::Read, "fs:workspace/a"), need(Right::Write, "fs:workspace/b")];
    let cases: &[(&[&str], &str)] = &[
        (&["allow fs:* read", "allow fs:* write"], "allow 1,2"),
        (&["allow fs:* read"], "no grant"),
        (&["ask fs:* read", "deny fs:* write"], "denied by 2"),
        (&["ask fs:* read", "allow fs:* write"], "ask 1"),
        (&["ask fs:* read+write"], "ask 1"),
        (&["allow fs:* read+write uses=1"], "allow 1,1; 1 takes 1 use"),
    ];
    for (grants, expected) in cases {
        let mut k = k.fresh();
        for text in *grants {
            k.host_grants(1, text).unwrap();
        }
        let decision = k.weigh(process(1), &[], &needs, &call(&read("workspace/a")));
        assert_eq!(k.show(&decision), *expected, "{grants:?}");
    }
}

fn malformed_grants_are_refused(k: &mut Engine) {
    let long = "a".repeat(5000);
    let mut cases: Vec<String> = [
        "allow fs:* -",
        "allow fs:* read uses=0",
        "allow fs:* read calls_max=0",
        "allow fs:* read delegable=255",
        "deny fs:* read uses=1",
        "deny fs:* read calls_max=1",
        r#"deny fs:* write when={"text":{"sum_max":1}}"#,
        r#"allow fs:* read when={"pth":{"equals":"x"}}"#,
        r#"allow fs:* read when={"text":{"max":1}}"#,
        r#"allow fs:* read when={"path":{"equals":1}}"#,
        r#"allow fs:* read when={"path":{"sum_max":1,"prefix":["a"]}}"#,
        r#"allow fs:* read when={"max_bytes":{"prefix":"x"}}"#,
        r#"allow fs:* read when={"max_bytes":{"matches":"x"}}"#,
        r#"allow shell:* execute when={"argv":{"sum_max":1}}"#,
        r#"allow shell:* execute when={"argv":{"equals":"git"}}"#,
        r#"allow fs:* read when={"path":{"matches":"("}}"#,
        r#"allow fs:* read when={"path":{"matches":"a)|(b"}}"#,
        r#"allow fs:* read when={"path":{}}"#,
        r#"allow fs:* read when={"path":{"one_of":[]}}"#,
        r#"allow fs:* read when={"path":{"min":2,"max":1}}"#,
    ]
    .map(String::from)
    .into();
    for condition in [format!(r#"{{"equals":"{long}"}}"#), format!(r#"{{"matches":"{long}"}}"#)] {
        cases.push(format!(r#"allow fs:* read when={{"path":{condition}}}"#));
    }
    for text in &cases {
        let error = k.host_grants(1, text).expect_err(text);
        assert_eq!(error.code(), "bad_grant", "{text:.99}");
    }
    assert_eq!(k.granted(), 0);
}

fn only_the_host_grants(k: &mut Engine) {
    let grant = || Grant { to: Pid(1), grant: grant("allow fs:* read") };
    assert_eq!(k.refused(process(1), grant()).0, "denied");
    k.ok(host(), grant());
    assert_eq!(k.decide(process(1), &read("workspace/a")), "allow 1");
}

fn a_capability_never_works_for_another_subject(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read").unwrap();
    assert_eq!(k.decide(process(2), &read("workspace/a")), "no grant");
    let decision = k.decision(process(2), &[Pid(1)], &call(&read("workspace/a")));
    assert_eq!(k.show(&decision), "no grant");
}

fn limits_count_what_is_set_aside_and_forget_what_is_given_back(k: &mut Engine) {
    k.host_grants(1, r#"allow fs:* write uses=3 calls_max=3 when={"text":{"sum_max":10}}"#)
        .unwrap();
    let write = |text: &str| format!(r#"fs.write {{"path":"workspace/a","text":"{text}"}}"#);
    let one = || process(1);
    assert_eq!(k.decide(one(), &write("12345")), "allow 1; 1 takes 1 use 1 call 5 of text");
    assert!(k.admit(1, &write("12345"), 1));
    assert_eq!(k.decide(one(), &write("123456")), "limit of 1");
    assert!(k.admit(1, &write("12345"), 2));
    assert_eq!(k.decide(one(), &write("1")), "limit of 1");
    k.settle(2, true);
    k.settle(2, true);
    k.settle(77, false);
    assert!(k.admit(1, &write("1234"), 3));
    k.settle(1, false);
    k.settle(3, false);
    assert!(k.admit(1, &write("1"), 4));
    assert_eq!(k.decide(one(), &write("")), "exhausted 1");
    k.revoke(0, k.nth(1)).unwrap();
    k.settle(4, true);
    assert_eq!(k.decide(one(), &write("")), "revoked 1");
}

fn what_would_pass_a_limit_is_not_set_aside(k: &mut Engine) {
    let id = k.host_grants(1, "allow fs:* read uses=1").unwrap();
    let decision = k.decision(process(1), &[], &call(&read("workspace/a")));
    let Decision::Allow { charges, .. } = decision else { panic!("allowed") };
    k.reserve(1, charges.clone()).unwrap();
    let events = k.journal.len();
    k.reserve(1, charges.clone()).unwrap();
    assert_eq!(k.journal.len(), events, "it is set aside already");
    assert_eq!(k.reserve(1, vec![]).unwrap_err().code(), "bad_message");
    assert_eq!(k.reserve(2, charges.clone()).unwrap_err().code(), "denied");
    k.settle(1, true);
    k.revoke(0, id).unwrap();
    assert_eq!(k.reserve(3, charges).unwrap_err().code(), "denied");
}

/// A human's approval of the call `text` for the question `ask`.
fn approve(
    k: &mut Engine,
    to: u64,
    ask: CapId,
    text: &str,
    op: Option<u64>,
    subtree: bool,
    spec: &str,
) -> CapId {
    let request = RequestId(1);
    let digest = call(text).digest();
    let binding = Binding { request, answers: vec![ask], digest, op: op.map(OpId), subtree };
    let origin = Origin::Human { request };
    k.issue(Issue { to: Pid(to), grant: grant(spec), origin, binding: Some(binding) }).unwrap()
}

fn a_question_that_runs_out_denies(k: &mut Engine) {
    let a = read("workspace/a");
    k.host_grants(1, "allow fs:* read").unwrap();
    let ask = k.host_grants(1, "ask fs:* read uses=1").unwrap();
    approve(k, 1, ask, &a, None, false, "allow fs:workspace/a read");
    assert_eq!(k.decide(process(1), &a), "allow 2,3; 2 takes 1 use");
    assert!(k.admit(1, &a, 1));
    assert_eq!(k.decide(process(1), &a), "exhausted 2");
}

fn an_approval_answers_its_question_and_nothing_else(k: &mut Engine) {
    let a = &read("workspace/a");
    let allow = "allow fs:workspace/a read";
    let one = || process(1);

    let ask = k.host_grants(1, "ask fs:* read").unwrap();
    approve(k, 1, ask, a, None, false, "allow fs:workspace/a read uses=1");
    assert_eq!(k.decide(one(), a), "allow 1,2; 2 takes 1 use");
    assert_eq!(k.decide(one(), &read("workspace/b")), "ask 1");
    assert_eq!(k.decide(one(), r#"fs.stat {"path":"workspace/a"}"#), "ask 1");
    assert_eq!(k.decide(process(2), a), "no grant");
    assert!(k.admit(1, a, 1));
    assert_eq!(k.decide(one(), a), "ask 1");
    k.settle(1, true);
    assert_eq!(k.decide(one(), a), "allow 1,2; 2 takes 1 use");
    assert!(k.admit(1, a, 2));
    k.settle(2, false);
    assert_eq!(k.decide(one(), a), "ask 1");

    // Bound to one operation.
    let mut bound = k.fresh();
    let ask = bound.host_grants(1, "ask fs:* read").unwrap();
    approve(&mut bound, 1, ask, a, Some(7), false, allow);
    assert_eq!(bound.decide(one().op(7), a), "allow 1,2");
    assert_eq!(bound.decide(one().op(8), a), "ask 1");

    // Another question is not answered, a denial not undone, and without a question it is nothing.
    let mut two = k.fresh();
    let first = two.host_grants(1, "ask fs:* read").unwrap();
    let second = two.host_grants(1, "ask fs:workspace/* read").unwrap();
    approve(&mut two, 1, first, a, None, false, allow);
    assert_eq!(two.decide(one(), a), "ask 2");
    two.revoke(0, second).unwrap();
    assert_eq!(two.decide(one(), a), "allow 1,3");
    let deny = two.host_grants(1, "deny fs:workspace/a read").unwrap();
    assert_eq!(two.decide(one(), a), "denied by 4");
    two.revoke(0, deny).unwrap();
    two.revoke(0, first).unwrap();
    assert_eq!(two.decide(one(), a), "no grant");

    // Until a time; taken back.
    let mut timed = k.fresh();
    let ask = timed.host_grants(1, "ask fs:* read").unwrap();
    let spec = "allow fs:workspace/a read expires=5";
    let approval = approve(&mut timed, 1, ask, a, None, false, spec);
    assert_eq!(timed.decide(one(), a), "allow 1,2");
    timed.world.now_ms = 5;
    assert_eq!(timed.decide(one(), a), "ask 1");
    timed.world.now_ms = 4;
    timed.revoke(0, approval).unwrap();
    assert_eq!(timed.decide(one(), a), "ask 1");
}

fn an_approval_for_a_subtree_reaches_down_and_only_down(k: &mut Engine) {
    for (subtree, expected) in [(true, "allow 2,3"), (false, "ask 2")] {
        let a = read("workspace/a");
        let mut k = k.fresh();
        let ask = k.host_grants(1, "ask fs:workspace/* read").unwrap();
        assert_eq!(k.derive(1, 2, &["ask fs:workspace/* read"]).unwrap(), [k.nth(2)]);
        approve(&mut k, 1, ask, &a, None, subtree, "allow fs:workspace/a read");
        let mut decide = |pid, ancestors: &[Pid]| {
            let decision = k.decision(process(pid), ancestors, &call(&a));
            k.show(&decision)
        };
        assert_eq!(decide(1, &[]), "allow 1,3");
        assert_eq!(decide(2, &[Pid(1)]), expected);
        assert_eq!(decide(2, &[]), "ask 2");
    }
}

fn binding(answers: Vec<CapId>) -> Option<Binding> {
    let (request, digest) = (RequestId(1), Digest::default());
    Some(Binding { request, answers, digest, op: None, subtree: true })
}

fn an_approval_can_only_allow(k: &mut Engine) {
    for effect in ["ask", "deny"] {
        let issue = Issue {
            to: Pid(1),
            grant: grant(&format!("{effect} fs:* read")),
            origin: Origin::Kernel,
            binding: binding(vec![]),
        };
        assert_eq!(k.issue(issue).unwrap_err().code(), "bad_grant", "{effect}");
    }
}

fn approvals_are_never_handed_on(k: &mut Engine) {
    k.issue(Issue {
        to: Pid(1),
        grant: grant("allow fs:* read delegable=3"),
        origin: Origin::Kernel,
        binding: binding(vec![CapId(9)]),
    })
    .unwrap();
    assert_eq!(k.derive(1, 2, &["allow fs:* read"]).unwrap_err().code(), "denied");
    assert_eq!(k.decide(process(1), &read("workspace/a")), "no grant");
}

/// Grants of process 1, what it asks to hand to its child 2; `None` when that is refused, or a
/// call of 2 with what is decided on it.
#[track_caller]
fn handed(k: &mut Engine, held: &[&str], asked: &str, expected: Option<(&str, &str)>) {
    for by_derive in [true, false] {
        let mut fresh = k.fresh();
        for text in held {
            fresh.host_grants(1, text).unwrap();
        }
        let made = match by_derive {
            true => fresh.derive(1, 2, &[asked]).map(|ids| ids[0]),
            false => {
                fresh.derive(1, 2, &[]).unwrap();
                fresh.delegate(1, 2, asked)
            }
        };
        match (made, expected) {
            (Ok(_), Some((call, decision))) => {
                assert_eq!(fresh.decide(process(2), call), decision, "{held:?} > {asked}");
            }
            (Err(error), None) => {
                assert_eq!(error.code(), "denied", "{held:?} > {asked}: {error}");
                assert_eq!(fresh.granted(), held.len());
            }
            (made, _) => panic!("{held:?} > {asked}: {made:?}"),
        }
    }
}

fn an_allow_is_cut_from_one_that_covers_it(k: &mut Engine) {
    let held = ["allow fs:workspace/* read+write delegable=2"];
    let a = &*read("workspace/a");
    handed(k, &held, "allow fs:workspace/a read", Some((a, "allow 2")));
    handed(k, &held, "allow fs:workspace/a/* read+write delegable=1", Some((a, "allow 2")));
    let uses = "allow 2; 2 takes 1 use";
    handed(k, &held, "allow fs:workspace/a read uses=1", Some((a, uses)));
    handed(k, &held, "allow fs:* read", None);
    handed(k, &held, "allow fs:workspace/a read+delete", None);
    handed(k, &held, "allow fs:workspace/a read delegable=2", None);
    handed(k, &["allow fs:* read"], "allow fs:workspace/a read", None);
    handed(k, &["allow fs:* read uses=5 delegable=1"], "allow fs:workspace/a read", None);
    handed(k, &[], "allow fs:workspace/a read", None);
    // Two that cover it together are not one that covers it.
    let halves = ["allow fs:* read delegable=1", "allow fs:* write delegable=1"];
    handed(k, &halves, "allow fs:* read+write", None);
    // On the part of the suite's own, so that what it shows is seen.
    k.host_grants(1, held[0]).unwrap();
    k.derive(1, 2, &["allow fs:workspace/* read"]).unwrap();
    k.delegate(1, 2, "allow fs:workspace/a write").unwrap();
    assert_eq!(k.delegate(1, 2, "allow fs:* read").unwrap_err().code(), "denied");
}

fn an_ask_needs_an_allow_or_an_ask_and_a_deny_needs_nothing(k: &mut Engine) {
    let a = &*read("workspace/a");
    handed(k, &["ask fs:* read"], "ask fs:workspace/* read", Some((a, "ask 2")));
    handed(k, &["ask fs:* read"], "allow fs:workspace/* read", None);
    handed(k, &["allow fs:* read delegable=1"], "ask fs:workspace/* read", Some((a, "ask 2")));
    handed(k, &["allow fs:* read"], "ask fs:workspace/* read", None);
    handed(k, &[], "ask fs:workspace/* read", None);
    handed(k, &[], "deny fs:* read", Some((a, "denied by 1")));
    handed(k, &["ask fs:* read"], "ask fs:workspace/* read delegable=1", None);
}

fn denies_and_asks_of_the_giver_come_along_where_they_overlap(k: &mut Engine) {
    let allow = "allow fs:* read delegable=2";
    let (a, b) = (&*read("workspace/a"), &*read("workspace/b"));
    let deny = [allow, "deny fs:workspace/a read"];
    handed(k, &deny, "allow fs:workspace/* read", Some((a, "denied by 4")));
    handed(k, &deny, "allow fs:workspace/* read", Some((b, "allow 3")));
    handed(k, &deny, "allow fs:workspace/b read", Some((b, "allow 3")));
    let ask = [allow, "ask fs:workspace/a read"];
    handed(k, &ask, "allow fs:* read", Some((a, "ask 4")));
    handed(k, &ask, "allow fs:* read", Some((b, "allow 3")));
    // A wide question opens no more than what was handed on.
    let wide = [allow, "ask fs:* read+write"];
    handed(k, &wide, "allow fs:workspace/a read", Some((a, "ask 4")));
    handed(k, &wide, "allow fs:workspace/a read", Some((b, "no grant")));
    let write = r#"fs.write {"path":"workspace/a","text":""}"#;
    handed(k, &wide, "allow fs:workspace/a read", Some((write, "no grant")));
    let only_b = r#"allow fs:workspace/* read when={"path":{"equals":"workspace/b"}}"#;
    handed(k, &wide, only_b, Some((b, "ask 4")));
    handed(k, &wide, only_b, Some((a, "conditions of 3")));
    // A deny under conditions stays under them.
    let big = r#"deny fs:* read when={"max_bytes":{"min":9}}"#;
    let large = r#"fs.read {"path":"workspace/a","max_bytes":9}"#;
    handed(k, &[allow, big], "allow fs:* read", Some((large, "denied by 4")));
    handed(k, &[allow, big], "allow fs:* read", Some((a, "allow 3")));
}

fn no_process_takes_a_copied_restriction_back(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read delegable=2").unwrap();
    let deny = k.host_grants(1, "deny fs:workspace/a read").unwrap();
    k.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    k.derive(2, 3, &["allow fs:* read"]).unwrap();
    assert_eq!(k.decide(process(3), &read("workspace/a")), "denied by 6");
    for pid in [1, 2, 3] {
        for number in [1, 2, 4, 6] {
            let taken = k.revoke(pid, k.nth(number));
            assert_eq!(taken.unwrap_err().code(), "not_found", "p{pid} took {number}");
        }
    }
    // Taking the original back ends the copies, and the copies of the copies.
    assert_eq!(k.revoke(0, deny).unwrap(), [deny, k.nth(4), k.nth(6)]);
    assert_eq!(k.decide(process(3), &read("workspace/a")), "allow 5");
}

fn conditions_expiry_and_limits_of_every_ancestor_bind(k: &mut Engine) {
    let first = r#"allow fs:* read delegable=2 expires=100 when={"path":{"prefix":"workspace/a"}}"#;
    k.host_grants(1, first).unwrap();
    k.derive(1, 2, &["allow fs:workspace/* read delegable=1 calls_max=2"]).unwrap();
    k.derive(2, 3, &[r#"allow fs:* read when={"max_bytes":{"sum_max":10}}"#]).unwrap_err();
    let last = r#"allow fs:workspace/* read expires=500 when={"max_bytes":{"sum_max":10}}"#;
    k.derive(2, 3, &[last]).unwrap();
    let of = |path: &str, bytes: u32| format!(r#"fs.read {{"path":"{path}","max_bytes":{bytes}}}"#);
    let (two, three) = (|| process(2), || process(3));
    assert_eq!(
        k.decide(three(), &of("workspace/a", 4)),
        "allow 3; 3 takes 4 of max_bytes; 2 takes 1 call"
    );
    assert_eq!(k.decide(three(), &of("workspace/b", 4)), "conditions of 3");
    assert_eq!(k.decide(three(), &of("workspace/a", 11)), "limit of 3");
    assert!(k.admit(3, &of("workspace/a", 4), 1));
    assert!(k.admit(2, &of("workspace/a", 4), 2));
    assert_eq!(k.decide(three(), &of("workspace/a", 4)), "limit of 3");
    assert_eq!(k.decide(two(), &of("workspace/a", 4)), "limit of 2");
    k.settle(1, true);
    assert_eq!(k.decide(two(), &of("workspace/a", 4)), "allow 2; 2 takes 1 call");
    k.world.now_ms = 100;
    assert_eq!(k.decide(three(), &of("workspace/a", 4)), "expired 3");
}

fn a_question_with_uses_is_shared_with_its_copies(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read delegable=1").unwrap();
    let ask = k.host_grants(1, "ask fs:* read uses=1").unwrap();
    k.derive(1, 2, &["allow fs:* read"]).unwrap();
    assert_eq!(k.decide(process(2), &read("workspace/a")), "ask 4");
    let charge = Charge { capability: ask, uses: 1, calls: 0, sums: vec![] };
    k.reserve(1, vec![charge]).unwrap();
    assert_eq!(k.decide(process(2), &read("workspace/a")), "exhausted 4");
    k.delegate(1, 2, "allow fs:workspace/a read").unwrap();
    assert_eq!(k.decide(process(2), &read("workspace/a")), "exhausted 4");
}

fn delegation_goes_to_living_children_only(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read delegable=5").unwrap();
    assert_eq!(k.delegate(1, 2, "allow fs:* read").unwrap_err().code(), "not_a_child");
    k.derive(1, 2, &["allow fs:* read delegable=3"]).unwrap();
    k.derive(2, 3, &[]).unwrap();
    assert_eq!(k.delegate(1, 2, "allow fs:* -").unwrap_err().code(), "bad_grant");
    for to in [1, 3, 4] {
        let error = k.delegate(1, to, "allow fs:* read").unwrap_err();
        assert_eq!(error.code(), "not_a_child", "p{to}");
    }
    k.delegate(2, 3, "allow fs:* read").unwrap();
    k.end(3);
    assert_eq!(k.delegate(2, 3, "allow fs:* read").unwrap_err().code(), "not_a_child");
}

fn a_refused_derive_changes_nothing(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read delegable=1").unwrap();
    let before = k.part.digest();
    for (second, code) in [("allow fs:* write", "denied"), ("allow fs:* -", "bad_grant")] {
        let error = k.derive(1, 2, &["allow fs:* read", second]).unwrap_err();
        assert_eq!(error.code(), code, "{second}");
    }
    assert_eq!((k.granted(), k.part.digest()), (1, before));
    assert_eq!(k.delegate(1, 2, "allow fs:* read").unwrap_err().code(), "not_a_child");
}

fn revoking_ends_every_descendant_on_the_next_call(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read delegable=2").unwrap();
    k.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    k.derive(2, 3, &["allow fs:workspace/* read"]).unwrap();
    let a = &*read("workspace/a");
    // Not what it got, not what another handed on.
    for id in [k.nth(1), k.nth(3), CapId(999)] {
        assert_eq!(k.revoke(1, id).unwrap_err().code(), "not_found");
    }
    assert_eq!(k.revoke(1, k.nth(2)).unwrap(), [k.nth(2), k.nth(3)]);
    assert_eq!(k.decide(process(1), a), "allow 1");
    assert_eq!(k.decide(process(2), a), "revoked 2");
    assert_eq!(k.decide(process(3), a), "revoked 3");
    let events = k.journal.len();
    assert_eq!(k.revoke(1, k.nth(2)).unwrap(), [k.nth(2), k.nth(3)]);
    assert_eq!(k.journal.len(), events, "it was taken back already");
}

fn a_process_sees_its_own_and_the_host_sees_all(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read uses=2 calls_max=9").unwrap();
    k.host_grants(2, "allow fs:* read expires=10").unwrap();
    let third = k.host_grants(1, "deny fs:* write").unwrap();
    k.revoke(0, third).unwrap();
    let ids = |k: &mut Engine, by, pid: Option<u64>, all: Option<bool>| {
        let listed = k.ok(by, List { pid: pid.map(Pid), all }).capabilities;
        listed.iter().map(|cap| cap.id).collect::<Vec<CapId>>()
    };
    let numbers = |k: &Engine, numbers: &[usize]| {
        numbers.iter().map(|number| k.nth(*number)).collect::<Vec<CapId>>()
    };
    assert_eq!(ids(k, process(1), None, None), numbers(k, &[1]));
    assert_eq!(ids(k, process(1), Some(1), Some(true)), numbers(k, &[1, 3]));
    assert_eq!(ids(k, host(), None, Some(true)), numbers(k, &[1, 2, 3]));
    assert_eq!(ids(k, host(), Some(2), None), numbers(k, &[2]));
    assert_eq!(k.refused(process(1), List { pid: Some(Pid(2)), all: None }).0, "denied");
    for id in [k.nth(2), CapId(999)] {
        assert_eq!(k.refused(process(1), Inspect { capability: id }).0, "not_found");
    }
    let inspect = |k: &mut Engine, by, number| {
        let capability = k.nth(number);
        k.ok(by, Inspect { capability })
    };
    assert_eq!(inspect(k, host(), 2).expires_at_ms, Some(10));
    assert_eq!(inspect(k, process(1), 3).status, Status::Revoked);
    assert!(k.admit(1, &read("workspace/a"), 1) && k.admit(1, &read("workspace/a"), 2));
    k.settle(1, false);
    let seen = inspect(k, process(1), 1);
    assert_eq!((seen.uses_left, seen.calls_left), (Some(0), Some(7)));
    assert_eq!(seen.status, Status::Active);
    k.settle(2, false);
    assert_eq!(inspect(k, process(1), 1).status, Status::Exhausted);
    k.world.now_ms = 10;
    assert_eq!(inspect(k, host(), 2).status, Status::Expired);
}

fn an_end_takes_everything_from_its_subject_and_nothing_from_others(k: &mut Engine) {
    k.host_grants(1, "allow fs:* read delegable=2").unwrap();
    k.host_grants(1, "deny fs:workspace/x read").unwrap();
    k.derive(1, 2, &["allow fs:* read delegable=1"]).unwrap();
    k.derive(2, 3, &["allow fs:* read"]).unwrap();
    let a = &*read("workspace/a");
    k.end(1);
    assert_eq!(k.decide(process(1), a), "no grant");
    assert_eq!(k.decide(process(2), a), "allow 3");
    k.end(2);
    assert_eq!(k.decide(process(3), a), "allow 5");
    assert_eq!(k.decide(process(3), &read("workspace/x")), "denied by 6");
    // The host still takes all of it back at its root.
    k.revoke(0, k.nth(1)).unwrap();
    assert_eq!(k.decide(process(3), a), "revoked 5");
    k.end(3);
    let events = k.journal.len();
    k.end(3);
    assert_eq!(k.journal.len(), events, "there is nothing left to end");
    assert_eq!(k.decide(process(3), a), "no grant");
}

fn explanations_tell_what_would_be_decided(k: &mut Engine) {
    k.host_grants(1, r#"allow fs:workspace/* read when={"max_bytes":{"max":9}}"#).unwrap();
    k.host_grants(1, "ask fs:workspace/b read").unwrap();
    k.host_grants(1, "deny fs:workspace/c/* read").unwrap();
    let of = |pid: Option<u64>, right, on: &str| Explain {
        pid: pid.map(Pid),
        right,
        on: on.parse().unwrap(),
    };
    let table: [(&str, Right, Effect, &[usize]); 4] = [
        ("fs:workspace/a", Right::Read, Effect::Allow, &[1]),
        ("fs:workspace/b", Right::Read, Effect::Ask, &[2, 1]),
        ("fs:workspace/c/d", Right::Read, Effect::Deny, &[3, 1]),
        ("fs:workspace/a", Right::Write, Effect::Deny, &[]),
    ];
    for (on, right, effect, weighed) in table {
        for (by, pid) in [(process(1), None), (process(1), Some(1)), (host(), Some(1))] {
            let told = k.ok(by, of(pid, right, on));
            assert_eq!((told.effect, told.reason.is_some()), (effect, effect == Effect::Deny));
            let ids: Vec<CapId> = told.weighed.iter().map(|cap| cap.id).collect();
            let expected: Vec<CapId> = weighed.iter().map(|number| k.nth(*number)).collect();
            assert_eq!(ids, expected, "{right} on {on}");
        }
    }
    let other = k.refused(process(1), of(Some(2), Right::Read, "fs:workspace/a"));
    assert_eq!(other.0, "denied");
    assert_eq!(k.refused(host(), of(None, Right::Read, "fs:workspace/a")).0, "bad_message");
}

fn authority_survives_a_crash(k: &mut Engine) {
    let a = &*read("workspace/a");
    k.host_grants(1, "allow fs:* read uses=2").unwrap();
    k.host_grants(1, "allow fs:* read delegable=1").unwrap();
    k.derive(1, 2, &["allow fs:* read"]).unwrap();
    k.revoke(0, k.nth(2)).unwrap();
    assert!(k.admit(1, a, 1) && k.admit(1, a, 2));
    k.settle(1, false);
    k.recover();
    assert_eq!(k.decide(process(1), a), "exhausted 1");
    assert_eq!(k.decide(process(2), a), "revoked 3");
    k.settle(2, true);
    assert_eq!(k.decide(process(1), a), "allow 1; 1 takes 1 use");
    let before = k.nth(3);
    assert!(k.host_grants(1, "allow clock:* read").unwrap() > before, "no id is given again");
}

fn what_it_does_not_serve_is_unsupported(k: &mut Engine) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
