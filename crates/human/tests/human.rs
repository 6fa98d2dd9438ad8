//! What must hold of requests to humans.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use common::{Kernel, host, process};
use libos_abi::{
    Binding, CapId, Digest, Effect, Event, GrantSpec, Json, Millis, Need, OpId, Origin, Pattern,
    Pid, RequestId, Resource, Right, Rights, Scope, Syscall, Text, capability,
    event::HumanEvent,
    human::{self, Ask, Decision, Policy, Request, RequestState},
    process::{Wait, WaitOn},
};
use libos_human::Humans;
use libos_port::Stop;

type Desk = Kernel<Humans>;

fn question(text: &str) -> human::AskQuestion {
    human::AskQuestion { question: text.into(), context: None, human: None }
}

fn wants(on: &str, rights: &[Right]) -> human::RequestPermission {
    human::RequestPermission {
        on: on.parse().unwrap(),
        rights: rights.iter().copied().collect(),
        reason: "the goal needs it".into(),
        human: None,
    }
}

fn need(right: Right, on: &str) -> Need {
    let on = on.parse().unwrap();
    Need { right, on }
}

fn approval(op: u64, pid: u64) -> human::Open {
    human::Open {
        op: OpId(op),
        pid: Pid(pid),
        approval: human::Approval {
            call: "fs.write".into(),
            args: Json::default(),
            digest: Digest::of(b"the call"),
            needs: vec![
                need(Right::Write, "fs:workspace/a"),
                need(Right::Read, "fs:workspace/a"),
                need(Right::Write, "fs:workspace/a"),
            ],
            asked_by: vec![CapId(90)],
        },
    }
}

fn decide(request: u64, decision: Decision) -> human::Decide {
    let request = RequestId(request);
    human::Decide { request, decision }
}

fn answer(text: &str) -> Decision {
    Decision::Answer { text: text.into() }
}

fn deny(reason: Option<&str>) -> Decision {
    let reason = reason.map(String::from);
    Decision::Deny { reason }
}

fn approve(scope: Scope) -> Decision {
    Decision::Approve { scope }
}

fn permit(policy: Policy) -> Decision {
    Decision::Permit { policy }
}

fn blob(bytes: u64) -> Text {
    let digest = Digest::of(b"elsewhere");
    Text::Blob { digest, bytes }
}

impl Desk {
    /// A call that must wait for this request.
    fn waits(&mut self, pid: u64, op: u64, call: impl Into<Syscall>, request: u64) {
        let on = WaitOn::Human(RequestId(request));
        let wait = Stop::Wait(Wait { on, until_ms: None });
        assert_eq!(self.serve(process(pid), op, call), Err(wait));
    }

    fn issues(&self) -> Vec<capability::Issue> {
        let issue = |call: &Syscall| match call {
            Syscall::Capability(capability::Call::Issue(issue)) => issue.clone(),
            other => panic!("only capabilities are issued: {other:?}"),
        };
        self.world.sent.iter().map(issue).collect()
    }

    fn listed(&mut self, all: Option<bool>) -> Vec<Request> {
        self.ok(host(), 900, human::List { all }).requests
    }
}

#[test]
fn a_question_waits_and_wakes_with_its_answer() {
    let mut k = Desk::default();
    k.world.now_ms = 5;
    k.waits(1, 1, question("why?"), 1);
    let [request] = &k.listed(None)[..] else { panic!("one request") };
    assert_eq!((request.op, request.pid, request.human.as_str()), (OpId(1), Pid(1), "owner"));
    assert_eq!((request.asked_at_ms, &request.state), (5, &RequestState::Pending));
    // Served again before the answer: the same request, no event.
    let events = k.journal.len();
    k.waits(1, 1, question("why?"), 1);
    assert_eq!(k.journal.len(), events);
    // Another operation is another request.
    k.waits(1, 2, question("why?"), 2);

    k.world.now_ms = 6;
    let decided = k.ok(host(), 3, decide(1, answer("because")));
    let RequestState::Decided(decided) = decided.state else { panic!("it is decided") };
    assert_eq!((decided.by.as_str(), decided.at_ms, decided.capability), ("ada", 6, None));
    assert!(k.world.sent.is_empty());
    assert_eq!(k.ok(process(1), 1, question("why?")).answer, "because".into());
    k.waits(1, 2, question("why?"), 2);
}

#[test]
fn a_refusal_reaches_whoever_asked() {
    let mut k = Desk::default();
    k.waits(1, 1, question("may I?"), 1);
    k.waits(1, 2, wants("fs:workspace/a/*", &[Right::Write]), 2);
    k.ok(host(), 3, decide(1, deny(None)));
    k.ok(host(), 4, decide(2, deny(Some("too much"))));
    let refused = ("refused", "owner said no".to_owned());
    assert_eq!(k.refused(process(1), 1, question("may I?")), refused);
    let refused = ("refused", "owner said no: too much".to_owned());
    assert_eq!(k.refused(process(1), 2, wants("fs:workspace/a/*", &[Right::Write])), refused);
    assert!(k.world.sent.is_empty());
}

#[test]
fn a_permission_makes_a_plain_grant() {
    let table = [
        (Policy::Always, Effect::Allow),
        (Policy::AskEachTime, Effect::Ask),
        (Policy::Never, Effect::Deny),
    ];
    for (policy, effect) in table {
        let mut k = Desk::default();
        let call = wants("fs:workspace/out/*", &[Right::Read, Right::Write]);
        k.waits(4, 1, call.clone(), 1);
        let decided = k.ok(host(), 2, decide(1, permit(policy)));
        let plain = GrantSpec::allow(call.on.clone(), call.rights);
        let expected = capability::Issue {
            to: Pid(4),
            grant: GrantSpec { effect, ..plain },
            origin: Origin::Human { request: RequestId(1) },
            binding: None,
        };
        k.world.sent.retain(|call| call.info().service == "capability");
        assert_eq!(k.issues(), [expected]);
        let RequestState::Decided(decided) = decided.state else { panic!("it is decided") };
        assert_eq!(decided.capability, Some(CapId(1)));
        let reply = k.ok(process(4), 1, call);
        assert_eq!((reply.policy, reply.capability), (policy, Some(CapId(1))));
    }
}

#[test]
fn some_things_may_not_be_asked_for() {
    use Right::{Admin, Approve, Delete, Execute, Grant, Read, Revoke, Write};
    let refused: [(&str, &[Right]); 22] = [
        ("capability:*", &[Read]),
        ("capability:cap-1", &[Read]),
        ("host:x", &[Read]),
        ("audit:all", &[Read]),
        ("shell:*", &[Execute]),
        ("shell:*", &[Read]),
        ("tool:*", &[Execute]),
        ("tool:*", &[Read, Execute]),
        ("process:*", &[Admin]),
        ("object:*", &[Grant]),
        ("object:obj-1", &[Read, Grant]),
        ("process:p1", &[Admin]),
        ("process:p1", &[Approve]),
        ("process:p1", &[Revoke]),
        ("fs:workspace/*", &[Write]),
        ("fs:workspace/*", &[Delete]),
        ("fs:workspace/*", &[Read, Write]),
        ("fs:workspace", &[Write]),
        ("fs:workspace:*", &[Write]),
        ("fs:workspace//*", &[Write]),
        ("fs:*", &[Delete]),
        ("fs:other/*", &[Write]),
    ];
    let mut k = Desk::default();
    for (on, rights) in refused {
        let (code, text) = k.refused(process(1), 1, wants(on, rights));
        assert_eq!(code, "not_requestable", "{on} {rights:?}: {text}");
    }
    assert_eq!(k.refused(process(1), 1, wants("fs:workspace/a", &[])).0, "bad_message");
    assert!(k.listed(Some(true)).is_empty(), "no human saw any of it");

    let requested: [(&str, &[Right]); 6] = [
        ("fs:workspace/*", &[Read]),
        ("fs:workspace/src/*", &[Write, Delete]),
        ("fs:workspace/a.txt", &[Write]),
        ("shell:cargo", &[Execute]),
        ("object:*", &[Read]),
        ("process:p2", &[Write]),
    ];
    for (index, (on, rights)) in requested.into_iter().enumerate() {
        let number = index as u64 + 1;
        k.waits(1, 10 + number, wants(on, rights), number);
    }
}

#[test]
fn limits_hold() {
    let q = |question: Text, context: Option<Text>| human::AskQuestion {
        question,
        context,
        human: None,
    };
    let to = |name: &str| human::AskQuestion { human: Some(name.into()), ..question("?") };
    let output = |message: Text| human::Output { message, human: None };
    let table: [(Syscall, &str); 8] = [
        (q(blob((128 << 10) + 1), None).into(), "limit"),
        (q(blob(128 << 10), Some("x".into())).into(), "limit"),
        (q("x".into(), Some(blob(u64::MAX))).into(), "limit"),
        (to("").into(), "bad_message"),
        (to("a\n").into(), "bad_message"),
        (to(&"x".repeat(129)).into(), "limit"),
        (output(blob((32 << 10) + 1)).into(), "limit"),
        (
            human::RequestPermission {
                reason: "x".repeat(4097),
                ..wants("fs:workspace/a", &[Right::Write])
            }
            .into(),
            "limit",
        ),
    ];
    let mut k = Desk::default();
    for (call, code) in table {
        let shown = format!("{call:?}");
        assert_eq!(k.refused(process(1), 1, call).0, code, "{shown}");
    }
    assert_eq!(k.refused(host(), 1, question("?")).0, "bad_message");
    k.waits(1, 1, q(blob(128 << 10), None), 1);
    for number in 2..=64 {
        k.waits(1, number, question("?"), number);
    }
    assert_eq!(k.refused(process(1), 65, question("?")).0, "limit");
    assert_eq!(k.refused(process(1), 66, approval(66, 1)).0, "limit");
    k.waits(2, 67, question("?"), 65);
    k.ok(host(), 68, decide(1, answer("!")));
    k.waits(1, 65, question("?"), 66);
}

#[test]
fn a_message_is_recorded() {
    let mut k = Desk::default();
    let message = blob(32 << 10);
    let human = Some("eve".to_owned());
    let told = k.ok(process(1), 1, human::Output { message: message.clone(), human });
    assert_eq!(told.human, "eve");
    k.ok(host(), 2, human::Output { message: "hi".into(), human: None });
    let [
        Event::Human(HumanEvent::Output { pid: one, message: kept, .. }),
        Event::Human(HumanEvent::Output { pid: two, human, .. }),
    ] = &k.journal[..]
    else {
        panic!("two messages: {:?}", k.journal)
    };
    assert_eq!((*one, *two, human.as_str(), kept), (Some(Pid(1)), None, "owner", &message));
}

#[test]
fn an_approval_reaches_as_far_as_its_scope() {
    type Row = (Scope, Option<u32>, Option<Millis>, Option<OpId>, bool);
    let table: [Row; 5] = [
        (Scope::Once, Some(1), None, Some(OpId(7)), false),
        (Scope::Uses(3), Some(3), None, None, false),
        (Scope::Process, None, None, None, false),
        (Scope::Subtree, None, None, None, true),
        (Scope::Until(Millis(50)), None, Some(Millis(50)), None, false),
    ];
    for (scope, uses, expires, op, subtree) in table {
        let mut k = Desk::default();
        k.ok(process(4), 7, approval(7, 4));
        let decided = k.ok(host(), 8, decide(1, approve(scope)));
        let issue = |right: Right| capability::Issue {
            to: Pid(4),
            grant: GrantSpec {
                uses,
                expires,
                ..GrantSpec::allow(
                    Pattern::exact(&"fs:workspace/a".parse::<Resource>().unwrap()),
                    Rights::from_iter([right]),
                )
            },
            origin: Origin::Human { request: RequestId(1) },
            binding: Some(Binding {
                request: RequestId(1),
                answers: vec![CapId(90)],
                digest: Digest::of(b"the call"),
                op,
                subtree,
            }),
        };
        // One for each distinct need, in their order; the first is named in the record.
        assert_eq!(k.issues(), [issue(Right::Write), issue(Right::Read)], "{scope:?}");
        let RequestState::Decided(decided) = decided.state else { panic!("it is decided") };
        assert_eq!(decided.capability, Some(CapId(1)));
    }
}

#[test]
fn a_request_is_decided_exactly_once() {
    let table = [(approve(Scope::Once), "approved"), (deny(None), "denied")];
    for (decision, verb) in table {
        let mut k = Desk::default();
        k.ok(process(1), 7, approval(7, 1));
        k.world.now_ms = 44;
        k.ok(host(), 8, decide(1, decision));
        for second in [deny(None), approve(Scope::Process), answer("x")] {
            let (code, text) = k.refused(host(), 9, decide(1, second));
            assert_eq!(code, "already_decided");
            assert_eq!(text, format!("req-1 was {verb} by ada at 44 ms since the epoch"));
            assert!(k.world.sent.is_empty(), "nothing is issued twice");
        }
    }
    let mut k = Desk::default();
    assert_eq!(k.refused(host(), 1, decide(1, deny(None))).0, "not_found");
}

#[test]
fn a_decision_fits_what_was_asked() {
    let mut k = Desk::default();
    k.ok(process(1), 1, approval(1, 1));
    k.waits(1, 2, question("?"), 2);
    k.waits(1, 3, wants("fs:workspace/a", &[Right::Write]), 3);
    let table = [
        (1, answer("yes"), "wrong_answer"),
        (1, permit(Policy::Always), "wrong_answer"),
        (1, approve(Scope::Uses(0)), "wrong_answer"),
        (1, approve(Scope::Until(Millis(0))), "wrong_answer"),
        (2, approve(Scope::Once), "wrong_answer"),
        (2, permit(Policy::Always), "wrong_answer"),
        (2, answer(""), "wrong_answer"),
        (2, answer(" \n"), "wrong_answer"),
        (2, Decision::Answer { text: blob((128 << 10) + 1) }, "limit"),
        (3, answer("yes"), "wrong_answer"),
        (3, approve(Scope::Once), "wrong_answer"),
    ];
    for (request, decision, code) in table {
        let shown = format!("{request} {decision:?}");
        assert_eq!(k.refused(host(), 4, decide(request, decision)).0, code, "{shown}");
        assert!(k.world.sent.is_empty(), "{shown}");
    }
    assert_eq!(k.refused(process(1), 5, decide(2, answer("self"))).0, "denied");
    assert_eq!(k.listed(None).len(), 3, "all of them still wait");
}

#[test]
fn a_failed_issue_leaves_the_request_open() {
    let mut k = Desk::default();
    k.ok(process(1), 7, approval(7, 1));
    k.world.issue_fails.insert(2);
    assert_eq!(k.refused(host(), 8, decide(1, approve(Scope::Once))).0, "bad_grant");
    assert_eq!(k.listed(None).len(), 1);
    k.ok(host(), 9, decide(1, approve(Scope::Once)));
}

#[test]
fn the_broker_opens_one_approval_for_an_operation() {
    let mut k = Desk::default();
    let first = k.ok(process(1), 7, approval(7, 1)).request;
    let events = k.journal.len();
    assert_eq!(k.ok(process(1), 7, approval(7, 1)).request, first);
    assert_eq!(k.journal.len(), events);
    let [Request { ask: Ask::Approval(_), op: OpId(7), .. }] = &k.listed(None)[..] else {
        panic!("one approval");
    };
    // The operation approved may itself ask: its question is another request.
    k.ok(host(), 8, decide(1, approve(Scope::Once)));
    k.waits(1, 7, question("and?"), 2);
    k.ok(host(), 9, decide(2, answer("yes")));
    assert_eq!(k.ok(process(1), 7, question("and?")).answer, "yes".into());
    // One that was decided is not opened again: the next is new.
    assert_eq!(k.ok(process(1), 7, approval(7, 1)).request, RequestId(3));
}

#[test]
fn the_requests_of_an_ended_process_are_cancelled() {
    let mut k = Desk::default();
    k.waits(1, 1, question("a"), 1);
    k.ok(process(1), 2, approval(2, 1));
    k.waits(2, 3, question("b"), 3);
    k.waits(1, 4, question("c"), 4);
    k.ok(host(), 5, decide(4, answer("d")));
    k.ok(process(1), 6, human::Cancel { pid: Pid(1) });
    let ids: Vec<_> = k.listed(None).iter().map(|request| request.id.0).collect();
    assert_eq!(ids, [3]);
    let states: Vec<_> = k.listed(Some(true)).into_iter().map(|r| r.state).collect();
    assert_eq!(
        states[..3],
        [RequestState::Cancelled, RequestState::Cancelled, RequestState::Pending]
    );
    assert!(matches!(states[3], RequestState::Decided(_)), "what was answered stays");
    assert_eq!(k.refused(process(1), 1, question("a")).0, "cancelled");
    let (code, text) = k.refused(host(), 7, decide(1, answer("late")));
    assert_eq!((code, text.contains("cancelled")), ("already_decided", true));
    let events = k.journal.len();
    k.ok(process(1), 8, human::Cancel { pid: Pid(1) });
    assert_eq!(k.journal.len(), events);
}

#[test]
fn what_it_does_not_serve_is_unsupported() {
    let mut k = Desk::default();
    assert_eq!(k.refused(host(), 1, libos_abi::tool::List {}).0, "unsupported");
}
