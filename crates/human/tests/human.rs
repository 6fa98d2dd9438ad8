//! What must hold of requests to humans.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::rc::Rc;

use libos_abi::{
    CapId, Digest, Event, Json, Millis, Need, OpId, Pid, RequestId, Right, Scope, Syscall, Text,
    capability,
    event::HumanEvent,
    human::{self, Ask, Asker, Decision, Policy, Request, RequestState},
    process::{self, BudgetKind, Wait, WaitOn},
};
use libos_conformance::{Kernel, host, process as by};
use libos_human::{Humans, Limits};
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

/// p`pid` wants the limit of tool calls of p`of` raised.
fn extension(op: u64, pid: u64, of: u64, limit: u64) -> human::OpenExtension {
    human::OpenExtension {
        op: OpId(op),
        pid: Pid(pid),
        of: Pid(of),
        kind: BudgetKind::ToolCalls,
        limit,
        used: limit,
        more: 1,
        call: "tool.call".into(),
    }
}

/// The same call as [`approval`], asked about because of another capability.
fn approval_by(op: u64, pid: u64, asked_by: u64) -> human::Open {
    let mut open = approval(op, pid);
    open.approval.asked_by = vec![CapId(asked_by)];
    open
}

fn asker(pid: u64, op: u64, asked_by: &[u64]) -> Asker {
    let asked_by = asked_by.iter().copied().map(CapId).collect();
    Asker { pid: Pid(pid), op: OpId(op), asked_by }
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
    Text::blob(digest, bytes)
}

trait Cards {
    /// A call that must wait for this request.
    fn waits(&mut self, pid: u64, op: u64, call: impl Into<Syscall>, request: u64);
    /// The capabilities that the last call had made.
    fn issues(&self) -> Vec<capability::Issue>;
    /// The one card that waits.
    fn card(&mut self) -> Request;
    fn states(&mut self) -> Vec<RequestState>;
    fn listed(&mut self, all: Option<bool>) -> Vec<Request>;
}

impl Cards for Desk {
    fn waits(&mut self, pid: u64, op: u64, call: impl Into<Syscall>, request: u64) {
        let on = WaitOn::Human(RequestId(request));
        let wait = Stop::Wait(Wait { on, until_ms: None });
        assert_eq!(self.serve(by(pid).op(op), call), Err(wait));
    }

    fn issues(&self) -> Vec<capability::Issue> {
        let issue = |call: &Syscall| match call {
            Syscall::Capability(capability::Call::Issue(issue)) => (**issue).clone(),
            other => panic!("only capabilities are issued: {other:?}"),
        };
        self.world.sent.iter().map(issue).collect()
    }

    fn card(&mut self) -> Request {
        let [card] = &self.listed(None)[..] else { panic!("one card") };
        card.clone()
    }

    fn states(&mut self) -> Vec<RequestState> {
        self.listed(Some(true)).into_iter().map(|request| request.state).collect()
    }

    fn listed(&mut self, all: Option<bool>) -> Vec<Request> {
        self.ok(host(), human::List { all }).requests
    }
}

#[test]
fn a_refusal_reaches_whoever_asked() {
    let mut k = Desk::default();
    k.waits(1, 1, question("may I?"), 1);
    k.waits(1, 2, wants("fs:workspace/a/*", &[Right::Write]), 2);
    k.ok(host(), decide(1, deny(None)));
    k.ok(host(), decide(2, deny(Some("too much"))));
    let refused = ("refused", "owner said no".to_owned());
    assert_eq!(k.refused(by(1).op(1), question("may I?")), refused);
    let refused = ("refused", "owner said no: too much".to_owned());
    assert_eq!(k.refused(by(1).op(2), wants("fs:workspace/a/*", &[Right::Write])), refused);
    assert!(k.world.sent.is_empty());
}

#[test]
fn what_the_manifest_does_not_foresee_is_not_asked_for() {
    let call = wants("fs:workspace/a/*", &[Right::Write]);
    let mut k = Desk::default();
    k.world.answer("capability.requestable", |_| {
        Err(capability::FailureKind::OutsideManifest.because("not foreseen"))
    });
    let refused = ("not_requestable", "not foreseen".to_owned());
    assert_eq!(k.refused(by(1).op(1), call.clone()), refused);
    assert!(k.listed(Some(true)).is_empty(), "no human saw it");
    k.world.answer_as_ever("capability.requestable");
    k.waits(1, 2, call.clone(), 1);
    let asked = capability::Requestable { pid: Pid(1), on: call.on.clone(), rights: call.rights };
    assert_eq!(k.world.sent, [Syscall::from(asked)]);
    // What was asked for is not looked at again.
    k.waits(1, 2, call, 1);
    assert!(k.world.sent.is_empty());
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
        assert_eq!(k.refused(by(1).op(1), call).0, code, "{shown}");
    }
    assert_eq!(k.refused(host(), question("?")).0, "bad_message");
    k.waits(1, 1, q(blob(128 << 10), None), 1);
    for number in 2..=64 {
        k.waits(1, number, question("?"), number);
    }
    assert_eq!(k.refused(by(1).op(65), question("?")).0, "limit");
    assert_eq!(k.refused(by(1).op(66), approval(66, 1)).0, "limit");
    k.waits(2, 67, question("?"), 65);
    k.ok(host(), decide(1, answer("!")));
    k.waits(1, 65, question("?"), 66);
}

#[test]
fn a_message_is_recorded() {
    let mut k = Desk::default();
    let message = blob(32 << 10);
    let human = Some("eve".to_owned());
    let told = k.ok(by(1).op(1), human::Output { message: message.clone(), human });
    assert_eq!(told.human, "eve");
    k.ok(host(), human::Output { message: "hi".into(), human: None });
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
fn a_request_is_decided_exactly_once() {
    let table = [(approve(Scope::Once), "approved"), (deny(None), "denied")];
    for (decision, verb) in table {
        let mut k = Desk::default();
        k.ok(by(1).op(7), approval(7, 1));
        k.world.now_ms = 44;
        k.ok(host(), decide(1, decision));
        for second in [deny(None), approve(Scope::Process), answer("x")] {
            let (code, text) = k.refused(host(), decide(1, second));
            assert_eq!(code, "already_decided");
            assert_eq!(text, format!("req-1 was {verb} by ada at 44 ms since the epoch"));
            assert!(k.world.sent.is_empty(), "nothing is issued twice");
        }
    }
    let mut k = Desk::default();
    assert_eq!(k.refused(host(), decide(1, deny(None))).0, "not_found");
}

#[test]
fn a_decision_fits_what_was_asked() {
    let mut k = Desk::default();
    k.ok(by(1).op(1), approval(1, 1));
    k.waits(1, 2, question("?"), 2);
    k.waits(1, 3, wants("fs:workspace/a", &[Right::Write]), 3);
    k.ok(by(1).op(4), extension(4, 1, 1, 10));
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
        (3, Decision::Extend { by: 1 }, "wrong_answer"),
        (4, approve(Scope::Once), "wrong_answer"),
        (4, Decision::Extend { by: 0 }, "wrong_answer"),
    ];
    for (request, decision, code) in table {
        let shown = format!("{request} {decision:?}");
        assert_eq!(k.refused(host(), decide(request, decision)).0, code, "{shown}");
        assert!(k.world.sent.is_empty(), "{shown}");
    }
    assert_eq!(k.refused(by(1).op(5), decide(2, answer("self"))).0, "denied");
    assert_eq!(k.listed(None).len(), 4, "all of them still wait");
}

#[test]
fn the_broker_opens_one_approval_for_an_operation() {
    let mut k = Desk::default();
    let first = k.ok(by(1).op(7), approval(7, 1)).request;
    let events = k.journal.len();
    assert_eq!(k.ok(by(1).op(7), approval(7, 1)).request, first);
    assert_eq!(k.journal.len(), events);
    let [Request { ask: Ask::Approval(_), op: OpId(7), .. }] = &k.listed(None)[..] else {
        panic!("one approval");
    };
    // The operation approved may itself ask: its question is another request.
    k.ok(host(), decide(1, approve(Scope::Once)));
    k.waits(1, 7, question("and?"), 2);
    k.ok(host(), decide(2, answer("yes")));
    assert_eq!(k.ok(by(1).op(7), question("and?")).answer, "yes".into());
    // One that was decided is not opened again: the next is new.
    assert_eq!(k.ok(by(1).op(7), approval(7, 1)).request, RequestId(3));
}

#[test]
fn identical_approvals_of_one_task_are_one_card() {
    let mut k = Desk::default();
    k.world.roots.extend([(2, 1), (3, 1), (9, 8)]);
    let one = human::Opened { request: RequestId(1) };
    assert_eq!(k.ok(by(2).op(1), approval_by(1, 2, 20)), one);
    assert_eq!(k.ok(by(3).op(2), approval_by(2, 3, 30)), one);
    assert_eq!(k.ok(by(2).op(3), approval_by(3, 2, 21)), one);
    // One operation is there once, however often it is served.
    let events = k.journal.len();
    for (pid, op) in [(2, 1), (3, 2), (2, 3)] {
        assert_eq!(k.ok(by(pid).op(op), approval(op, pid)), one);
    }
    assert_eq!(k.journal.len(), events);
    let card = k.card();
    assert_eq!((card.pid, card.op, card.root), (Pid(2), OpId(1), Pid(1)));
    assert_eq!(card.joined, [asker(3, 2, &[30]), asker(2, 3, &[21])]);

    // Another call, another need or another task is another card.
    let mut other = approval(4, 3);
    other.approval.digest = Digest::of(b"another call");
    assert_eq!(k.ok(by(3).op(4), other).request, RequestId(2));
    let mut other = approval(5, 3);
    other.approval.needs.pop();
    assert_eq!(k.ok(by(3).op(5), other).request, RequestId(3));
    assert_eq!(k.ok(by(9).op(6), approval(6, 9)).request, RequestId(4));
    // Once it is answered, the next is new.
    k.ok(host(), decide(1, deny(None)));
    assert_eq!(k.ok(by(3).op(8), approval(8, 3)).request, RequestId(5));
}

#[test]
fn the_answer_works_for_each_that_waits() {
    type Row<'a> = (Scope, &'a [(u64, Option<u64>, &'a [u64])]);
    let table: [Row<'_>; 3] = [
        (Scope::Once, &[(2, Some(1), &[20]), (3, Some(2), &[30]), (2, Some(3), &[21])]),
        (Scope::Uses(5), &[(2, None, &[20, 21]), (3, None, &[30])]),
        (Scope::Process, &[(2, None, &[20, 21]), (3, None, &[30])]),
    ];
    for (scope, expected) in table {
        let mut k = Desk::default();
        k.world.roots.extend([(2, 1), (3, 1)]);
        k.ok(by(2).op(1), approval_by(1, 2, 20));
        k.ok(by(3).op(2), approval_by(2, 3, 30));
        k.ok(by(2).op(3), approval_by(3, 2, 21));
        let decided = k.ok(host(), decide(1, approve(scope)));
        let RequestState::Decided(decided) = decided.state else { panic!("it is decided") };
        assert_eq!(decided.capability, Some(CapId(1)));
        let mut made = Vec::new();
        // Two for each: the call needs two rights.
        for pair in k.issues().chunks(2) {
            let [one, other] = pair else { panic!("two needs") };
            assert_eq!((one.to, &one.binding), (other.to, &other.binding));
            assert_eq!(one.grant.uses, other.grant.uses);
            let binding = one.binding.clone().unwrap();
            made.push((one.to, binding.op, binding.answers));
        }
        let expected: Vec<_> = expected
            .iter()
            .map(|(pid, op, answers)| {
                let answers: Vec<_> = answers.iter().copied().map(CapId).collect();
                (Pid(*pid), op.map(OpId), answers)
            })
            .collect();
        assert_eq!(made, expected, "{scope:?}");
    }
}

#[test]
fn one_that_ends_leaves_its_card_to_the_others() {
    let mut k = Desk::default();
    k.world.roots.extend([(2, 1), (3, 1)]);
    k.ok(by(2).op(1), approval_by(1, 2, 20));
    k.ok(by(2).op(2), approval_by(2, 2, 21));
    k.ok(by(3).op(3), approval_by(3, 3, 30));
    k.ok(by(3).op(4), approval_by(4, 3, 31));
    k.ok(by(2).op(5), human::Cancel { pid: Pid(2) });
    let card = k.card();
    assert_eq!((card.pid, card.op, &card.joined[..]), (Pid(3), OpId(3), &[asker(3, 4, &[31])][..]));
    let Ask::Approval(shown) = &card.ask else { panic!("an approval") };
    assert_eq!(shown.asked_by, [CapId(30)]);
    let events = k.journal.len();
    k.ok(by(2).op(6), human::Cancel { pid: Pid(2) });
    assert_eq!(k.journal.len(), events);
    k.ok(by(3).op(7), human::Cancel { pid: Pid(3) });
    assert_eq!(k.states(), [RequestState::Cancelled]);

    // One that joined leaves; the answer is for those that stayed.
    let mut k = Desk::default();
    k.world.roots.extend([(2, 1), (3, 1)]);
    k.ok(by(2).op(1), approval_by(1, 2, 20));
    k.ok(by(3).op(2), approval_by(2, 3, 30));
    k.ok(by(3).op(3), human::Cancel { pid: Pid(3) });
    assert_eq!((k.card().pid, k.card().joined), (Pid(2), vec![]));
    k.ok(host(), decide(1, approve(Scope::Process)));
    assert!(k.issues().iter().all(|issue| issue.to == Pid(2)));
}

#[test]
fn a_permission_is_asked_once_by_each_process_and_a_question_every_time() {
    let mut k = Desk::default();
    k.world.roots.extend([(2, 1), (3, 1)]);
    let call = wants("fs:workspace/a/*", &[Right::Write]);
    k.waits(2, 1, call.clone(), 1);
    k.waits(2, 2, call.clone(), 1);
    assert_eq!(k.card().joined, [asker(2, 2, &[])]);
    k.waits(3, 3, call.clone(), 2);
    let other = human::RequestPermission { reason: "another".into(), ..call.clone() };
    k.waits(2, 4, other, 3);
    let other = human::RequestPermission { human: Some("eve".into()), ..call.clone() };
    k.waits(2, 5, other, 4);
    k.waits(2, 6, question("?"), 5);
    k.waits(2, 7, question("?"), 6);
    k.ok(host(), decide(1, permit(Policy::Always)));
    assert_eq!(k.issues().len(), 1);
    for op in [1, 2] {
        assert_eq!(k.ok(by(2).op(op), call.clone()).capability, Some(CapId(1)));
    }
    k.waits(3, 3, call, 2);
}

#[test]
fn a_limit_is_raised_on_a_humans_word() {
    let mut k = Desk::default();
    k.world.roots.extend([(2, 1), (3, 1)]);
    k.world.now_ms = 7;
    let one = human::Opened { request: RequestId(1) };
    assert_eq!(k.ok(by(2).op(1), extension(1, 2, 1, 10)), one);
    assert_eq!(k.ok(by(3).op(2), extension(2, 3, 1, 10)), one);
    assert_eq!(k.ok(by(2).op(1), extension(1, 2, 1, 10)), one);
    let card = k.card();
    let ask = Ask::Extension {
        of: Pid(1),
        kind: BudgetKind::ToolCalls,
        limit: 10,
        used: 10,
        more: 1,
        call: "tool.call".into(),
    };
    assert_eq!((&card.ask, card.root, card.asked_at_ms), (&ask, Pid(1), 7));
    assert_eq!(card.joined, [asker(3, 2, &[])]);
    // Another limit is another card.
    assert_eq!(k.ok(by(2).op(3), extension(3, 2, 2, 10)).request, RequestId(2));
    assert_eq!(k.ok(by(2).op(4), extension(4, 2, 1, 11)).request, RequestId(3));

    k.world
        .answer("process.extend", |_| Err(process::FailureKind::NotFound.because("it has ended")));
    assert_eq!(k.refused(host(), decide(1, Decision::Extend { by: 5 })).0, "not_found");
    k.world.answer_as_ever("process.extend");
    let decided = k.ok(host(), decide(1, Decision::Extend { by: 5 }));
    let extend = process::Extend { pid: Pid(1), kind: BudgetKind::ToolCalls, by: 5 };
    assert_eq!(k.world.sent, [Syscall::from(extend)]);
    let RequestState::Decided(decided) = decided.state else { panic!("it is decided") };
    assert_eq!(decided.capability, None);
    let (code, text) = k.refused(host(), decide(1, Decision::Extend { by: 5 }));
    assert_eq!((code, text.contains("was extended by ada")), ("already_decided", true), "{text}");
    // The next time it runs out is another request.
    assert_eq!(k.ok(by(2).op(1), extension(1, 2, 1, 15)).request, RequestId(4));
}

#[test]
fn a_limit_that_was_not_raised_is_not_asked_about_again() {
    let mut k = Desk::default();
    k.world.roots.insert(2, 1);
    k.ok(by(2).op(1), extension(1, 2, 1, 10));
    k.ok(host(), decide(1, deny(Some("enough"))));
    assert!(k.world.sent.is_empty());
    let refused = ("refused", "owner said no: enough".to_owned());
    assert_eq!(k.refused(by(2).op(1), extension(1, 2, 1, 10)), refused);
    assert_eq!(k.refused(by(1).op(3), extension(3, 1, 1, 10)), refused);
    assert!(k.listed(None).is_empty());
    k.ok(by(2).op(4), extension(4, 2, 1, 11));
    let mut other = extension(5, 2, 1, 10);
    other.kind = BudgetKind::Bytes;
    k.ok(by(2).op(5), other);
    // One that was cancelled was not refused.
    k.ok(by(2).op(6), human::Cancel { pid: Pid(2) });
    k.ok(by(1).op(7), extension(7, 1, 1, 11));
}

#[test]
fn a_task_asks_only_so_much() {
    let limits = Limits { task_pending_max: 3, task_asks_max: 5, ..Limits::default() };
    let mut k = Desk::new(Rc::new(move || Box::new(Humans::with_limits(limits))));
    k.world.roots.extend([(2, 1), (3, 1)]);
    k.waits(1, 1, question("?"), 1);
    k.waits(2, 2, question("?"), 2);
    k.ok(by(3).op(3), approval(3, 3));
    let (code, text) = k.refused(by(1).op(4), question("?"));
    assert_eq!((code, text.contains("of a task that wait")), ("limit", true), "{text}");
    assert_eq!(k.refused(by(2).op(5), extension(5, 2, 1, 1)).0, "limit");
    // Waiting with another makes no card, and another task has a budget of its own.
    assert_eq!(k.ok(by(2).op(6), approval(6, 2)).request, RequestId(3));
    k.waits(8, 7, question("?"), 4);
    // An answer makes room among those that wait, not among those over its life.
    k.ok(host(), decide(1, answer("!")));
    k.waits(1, 9, question("?"), 5);
    k.ok(host(), decide(2, answer("!")));
    k.waits(1, 10, question("?"), 6);
    k.ok(host(), decide(6, answer("!")));
    let (code, text) = k.refused(by(1).op(11), question("?"));
    assert_eq!((code, text.contains("over its life")), ("limit", true), "{text}");
    k.waits(8, 12, question("?"), 7);
}

#[test]
fn what_it_does_not_serve_is_unsupported() {
    let mut k = Desk::default();
    assert_eq!(k.refused(host(), libos_abi::tool::List {}).0, "unsupported");
}
