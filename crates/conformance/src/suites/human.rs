//! Requests to humans and their one answer: service `human`.

use libos_abi::{
    Binding, CapId, Digest, Effect, Event, GrantSpec, Json, Label, Millis, Need, OpId, Origin,
    Pattern, Pid, RequestId, Right, Rights, Scope, Syscall, Text, capability,
    event::HumanEvent,
    human::{self, Ask, Decision, Known, Policy, Request, RequestState},
    message,
    process::{self, BudgetKind, Wait, WaitOn},
};
use libos_port::{Component, Stop};
use serde_json::json;

use crate::{By, Factory, Kernel, host, process, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! human_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args human
            case a_question_waits_and_wakes_with_its_answer
                holds "I-11, I-21" shows "human.ask wait, human.ask ok, human.decide ok";
            case a_refusal_reaches_whoever_asked
                holds "I-11" shows "human.ask refused, human.request_permission refused";
            case a_permission_makes_a_plain_grant
                holds "I-10" shows "human.request_permission ok, human.decide ok";
            case some_things_may_not_be_asked_for
                holds "I-40" shows "human.request_permission not_requestable";
            case a_message_is_recorded
                holds "I-34" shows "human.output ok";
            case what_is_too_long_is_refused
                holds "I-08" shows "human.ask limit, human.output limit";
            case an_approval_reaches_as_far_as_its_scope
                holds "I-10, I-15" shows "human.open ok, human.decide ok";
            case a_request_is_decided_exactly_once
                holds "I-11" shows "human.decide already_decided, human.decide not_found";
            case a_decision_fits_what_was_asked
                holds "I-11" shows "human.decide wrong_answer, human.decide denied";
            case a_failed_issue_leaves_the_request_open
                holds "I-10" shows "human.list ok";
            case the_broker_opens_one_approval_for_an_operation
                holds "I-15" shows "human.open ok";
            case the_requests_of_an_ended_process_are_cancelled
                holds "I-43" shows "human.cancel ok";
            case a_limit_is_raised_on_a_human_s_word
                holds "I-10, I-26"
                shows "human.open_extension ok, human.open_extension refused, human.decide ok";
            case what_became_of_an_effect_is_asked_and_told
                holds "I-101" shows "human.open_unknown ok, human.decide ok";
            case a_release_is_of_one_call_and_of_no_other
                holds "I-291" shows "human.open_release ok, human.decide ok";
            case what_a_manifest_does_not_foresee_is_not_asked_for
                holds "I-40" shows "human.request_permission not_requestable";
            case requests_survive_a_crash
                holds "I-11, I-34" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

human_cases! { contract [Kernel<dyn Component>: "human"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Desk = Kernel<dyn Component>;

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
    Need { right, on: on.parse().unwrap() }
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

fn decide(request: RequestId, decision: Decision) -> human::Decide {
    human::Decide { request, decision }
}

fn answer(text: &str) -> Decision {
    Decision::Answer { text: text.into() }
}

fn deny(reason: Option<&str>) -> Decision {
    Decision::Deny { reason: reason.map(String::from) }
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

/// A call that must wait for a human, and the request it waits for.
#[track_caller]
fn waits(k: &mut Desk, by: By, call: impl Into<Syscall>) -> RequestId {
    match k.serve(by, call) {
        Err(Stop::Wait(Wait { on: WaitOn::Human(request), until_ms: None })) => request,
        other => panic!("it should wait for a human: {other:?}"),
    }
}

fn listed(k: &mut Desk, all: Option<bool>) -> Vec<Request> {
    k.ok(host(), human::List { all }).requests
}

#[track_caller]
fn decided(request: &Request) -> &human::Decided {
    match &request.state {
        RequestState::Decided(decided) => decided,
        other => panic!("it should be decided: {other:?}"),
    }
}

fn a_question_waits_and_wakes_with_its_answer(k: &mut Desk) {
    k.world.now_ms = 5;
    let first = waits(k, process(1).op(1), question("why?"));
    let [request] = &listed(k, None)[..] else { panic!("one request") };
    assert_eq!((request.op, request.pid, request.human.as_str()), (OpId(1), Pid(1), "owner"));
    assert_eq!((request.asked_at_ms, &request.state), (5, &RequestState::Pending));
    // Served again before the answer: the same request, no event.
    let events = k.journal.len();
    assert_eq!(waits(k, process(1).op(1), question("why?")), first);
    assert_eq!(k.journal.len(), events);
    // Another operation is another request.
    let second = waits(k, process(1).op(2), question("why?"));
    assert_ne!(first, second);

    k.world.now_ms = 6;
    let request = k.ok(host(), decide(first, answer("because")));
    let decided = decided(&request);
    assert_eq!((decided.by.as_str(), decided.at_ms, decided.capability), ("ada", 6, None));
    assert!(k.world.sent.is_empty(), "a question is about no authority");
    assert_eq!(k.ok(process(1).op(1), question("why?")).answer, "because".into());
    assert_eq!(waits(k, process(1).op(2), question("why?")), second);
}

fn a_refusal_reaches_whoever_asked(k: &mut Desk) {
    let write = || wants("fs:workspace/a/*", &[Right::Write]);
    let first = waits(k, process(1).op(1), question("may I?"));
    let second = waits(k, process(1).op(2), write());
    k.ok(host(), decide(first, deny(None)));
    k.ok(host(), decide(second, deny(Some("too much"))));
    assert_eq!(k.refused(process(1).op(1), question("may I?")).0, "refused");
    let (code, text) = k.refused(process(1).op(2), write());
    assert!(code == "refused" && text.contains("too much"), "{code}: {text}");
    assert!(k.world.sent.is_empty(), "a refusal makes no capability");
}

fn a_permission_makes_a_plain_grant(k: &mut Desk) {
    let table = [
        (Policy::Always, Effect::Allow),
        (Policy::AskEachTime, Effect::Ask),
        (Policy::Never, Effect::Deny),
    ];
    for (op, (policy, effect)) in (1..).zip(table) {
        let call = wants("fs:workspace/out/*", &[Right::Read, Right::Write]);
        let request = waits(k, process(4).op(op), call.clone());
        let answered = k.ok(host(), decide(request, permit(policy)));
        let [issue] = &k.world.issued()[..] else { panic!("one is issued: {:?}", k.world.sent) };
        let plain = GrantSpec::allow(call.on.clone(), call.rights);
        assert_eq!((issue.to, &issue.grant), (Pid(4), &GrantSpec { effect, ..plain }));
        assert_eq!((&issue.origin, &issue.binding), (&Origin::Human { request }, &None));
        let capability = decided(&answered).capability;
        assert!(capability.is_some());
        let reply = k.ok(process(4).op(op), call);
        assert_eq!((reply.policy, reply.capability), (policy, capability));
    }
}

fn some_things_may_not_be_asked_for(k: &mut Desk) {
    use Right::{Admin, Approve, Delete, Execute, Grant, Read, Revoke, Use, Write};
    let refused: [(&str, &[Right]); 20] = [
        ("capability:*", &[Read]),
        ("capability:cap-1", &[Read]),
        ("host:x", &[Read]),
        ("audit:all", &[Read]),
        ("shell:*", &[Execute]),
        ("shell:*", &[Read]),
        ("net:*", &[Read]),
        ("secret:*", &[Use]),
        ("tool:*", &[Read, Execute]),
        ("process:*", &[Admin]),
        ("object:*", &[Grant]),
        ("process:p1", &[Admin]),
        ("process:p1", &[Approve]),
        ("process:p1", &[Revoke]),
        ("fs:workspace/*", &[Write]),
        ("fs:workspace/*", &[Read, Delete]),
        ("fs:workspace", &[Write]),
        ("fs:workspace:*", &[Write]),
        ("fs:*", &[Delete]),
        ("fs:other/*", &[Write]),
    ];
    for (on, rights) in refused {
        let (code, text) = k.refused(process(1), wants(on, rights));
        assert_eq!(code, "not_requestable", "{on} {rights:?}: {text}");
    }
    assert_eq!(k.refused(process(1), wants("fs:workspace/a", &[])).0, "bad_message");
    assert!(listed(k, Some(true)).is_empty(), "no human saw any of it");

    let requested: [(&str, &[Right]); 5] = [
        ("fs:workspace/*", &[Read]),
        ("fs:workspace/src/*", &[Write, Delete]),
        ("fs:workspace/a.txt", &[Write]),
        ("shell:cargo", &[Execute]),
        ("process:p2", &[Write]),
    ];
    for (on, rights) in requested {
        waits(k, process(1), wants(on, rights));
    }
}

fn a_message_is_recorded(k: &mut Desk) {
    let told = k.ok(process(1), human::Output { message: "hi".into(), human: Some("eve".into()) });
    assert_eq!(told.human, "eve");
    let told = k.ok(host(), human::Output { message: "ho".into(), human: None });
    assert_eq!(told.human, "owner");
    let recorded = |event: &Event| match event {
        Event::Human(HumanEvent::Output { pid, human, message }) => {
            Some((*pid, human.clone(), message.clone()))
        }
        _ => None,
    };
    let recorded: Vec<_> = k.journal.iter().filter_map(recorded).collect();
    assert_eq!(
        recorded,
        [(Some(Pid(1)), "eve".into(), "hi".into()), (None, "owner".into(), "ho".into())]
    );
}

fn what_is_too_long_is_refused(k: &mut Desk) {
    let to = |name: &str| human::AskQuestion { human: Some(name.into()), ..question("?") };
    let long = human::AskQuestion { question: blob(u64::MAX), context: Some(blob(1)), human: None };
    let table: [(Syscall, &str); 5] = [
        (long.into(), "limit"),
        (human::Output { message: blob(1 << 30), human: None }.into(), "limit"),
        (to("").into(), "bad_message"),
        (to("a\n").into(), "bad_message"),
        (to(&"x".repeat(1 << 16)).into(), "limit"),
    ];
    for (call, code) in table {
        let shown = format!("{call:?}");
        assert_eq!(k.refused(process(1), call).0, code, "{shown}");
    }
    assert_eq!(k.refused(host(), question("?")).0, "bad_message");
    assert!(listed(k, Some(true)).is_empty());
}

fn an_approval_reaches_as_far_as_its_scope(k: &mut Desk) {
    type Row = (Scope, Option<u32>, Option<Millis>, bool, bool);
    let table: [Row; 5] = [
        (Scope::Once, Some(1), None, true, false),
        (Scope::Uses(3), Some(3), None, false, false),
        (Scope::Process, None, None, false, false),
        (Scope::Subtree, None, None, false, true),
        (Scope::Until(Millis(50)), None, Some(Millis(50)), false, false),
    ];
    for (op, (scope, uses, expires, for_one, subtree)) in (7..).zip(table) {
        let request = k.ok(process(4), approval(op, 4)).request;
        let answered = k.ok(host(), decide(request, approve(scope)));
        let issue = |right: Right| {
            let on = Pattern::exact(&"fs:workspace/a".parse().unwrap());
            let plain = GrantSpec::allow(on, Rights::from_iter([right]));
            let grant = GrantSpec { uses, expires, ..plain };
            let binding = Binding {
                request,
                answers: vec![CapId(90)],
                digest: Digest::of(b"the call"),
                op: for_one.then_some(OpId(op)),
                subtree,
            };
            let origin = Origin::Human { request };
            libos_abi::capability::Issue { to: Pid(4), grant, origin, binding: Some(binding) }
        };
        // One for each distinct need, in their order.
        assert_eq!(k.world.issued(), [issue(Right::Write), issue(Right::Read)], "{scope:?}");
        assert!(decided(&answered).capability.is_some());
    }
}

fn a_request_is_decided_exactly_once(k: &mut Desk) {
    for (op, decision) in [(7, approve(Scope::Once)), (8, deny(None))] {
        let request = k.ok(process(1), approval(op, 1)).request;
        k.ok(host(), decide(request, decision));
        for second in [deny(None), approve(Scope::Process), answer("x")] {
            assert_eq!(k.refused(host(), decide(request, second)).0, "already_decided");
            assert!(k.world.sent.is_empty(), "nothing is issued twice");
        }
    }
    assert_eq!(k.refused(host(), decide(RequestId(999), deny(None))).0, "not_found");
}

fn a_decision_fits_what_was_asked(k: &mut Desk) {
    let call = k.ok(process(1), approval(1, 1)).request;
    let asked = waits(k, process(1).op(2), question("?"));
    let wanted = waits(k, process(1).op(3), wants("fs:workspace/a", &[Right::Write]));
    let table = [
        (call, answer("yes")),
        (call, permit(Policy::Always)),
        (call, approve(Scope::Uses(0))),
        (call, approve(Scope::Until(Millis(0)))),
        (asked, approve(Scope::Once)),
        (asked, permit(Policy::Always)),
        (asked, answer("")),
        (wanted, answer("yes")),
        (wanted, approve(Scope::Once)),
    ];
    for (request, decision) in table {
        let shown = format!("{request} {decision:?}");
        assert_eq!(k.refused(host(), decide(request, decision)).0, "wrong_answer", "{shown}");
        assert!(k.world.sent.is_empty(), "{shown}");
    }
    assert_eq!(k.refused(process(1), decide(asked, answer("self"))).0, "denied");
    assert_eq!(listed(k, None).len(), 3, "all of them still wait");
}

fn a_failed_issue_leaves_the_request_open(k: &mut Desk) {
    let request = k.ok(process(1), approval(7, 1)).request;
    k.world.refuse("capability.issue", 2);
    assert_eq!(k.refused(host(), decide(request, approve(Scope::Once))).0, "bad_grant");
    assert_eq!(listed(k, None).len(), 1);
    k.ok(host(), decide(request, approve(Scope::Once)));
    assert_eq!(listed(k, None).len(), 0);
}

fn the_broker_opens_one_approval_for_an_operation(k: &mut Desk) {
    let first = k.ok(process(1), approval(7, 1)).request;
    let events = k.journal.len();
    assert_eq!(k.ok(process(1), approval(7, 1)).request, first);
    assert_eq!(k.journal.len(), events);
    let [Request { ask: Ask::Approval(_), op: OpId(7), .. }] = &listed(k, None)[..] else {
        panic!("one approval");
    };
    // The operation approved may itself ask: its question is another request.
    k.ok(host(), decide(first, approve(Scope::Once)));
    let second = waits(k, process(1).op(7), question("and?"));
    k.ok(host(), decide(second, answer("yes")));
    assert_eq!(k.ok(process(1).op(7), question("and?")).answer, "yes".into());
    // One that was decided is not opened again: the next is new.
    let third = k.ok(process(1), approval(7, 1)).request;
    assert!(third != first && third != second);
}

fn the_requests_of_an_ended_process_are_cancelled(k: &mut Desk) {
    let asked = waits(k, process(1).op(1), question("a"));
    let call = k.ok(process(1), approval(2, 1)).request;
    let other = waits(k, process(2).op(3), question("b"));
    k.ok(host(), human::Cancel { pid: Pid(1) });
    let pending: Vec<RequestId> = listed(k, None).iter().map(|request| request.id).collect();
    assert_eq!(pending, [other]);
    let all = listed(k, Some(true));
    let cancelled = all.iter().filter(|request| request.state == RequestState::Cancelled);
    let cancelled: Vec<RequestId> = cancelled.map(|request| request.id).collect();
    assert_eq!(cancelled, [asked, call]);
    assert_eq!(k.refused(host(), decide(call, approve(Scope::Once))).0, "already_decided");
    assert!(k.world.sent.is_empty(), "a cancelled request makes no capability");
    let events = k.journal.len();
    k.ok(host(), human::Cancel { pid: Pid(1) });
    assert_eq!(k.journal.len(), events, "there is nothing left to cancel");
}

fn extension(op: u64, pid: u64, limit: u64) -> human::OpenExtension {
    text::from(json!({
        "op": OpId(op), "pid": Pid(pid), "of": Pid(1), "kind": "tool_calls", "limit": limit,
        "used": limit, "more": 1, "call": "tool.call",
    }))
}

fn a_limit_is_raised_on_a_human_s_word(k: &mut Desk) {
    let request = k.ok(process(1), extension(1, 1, 10)).request;
    assert_eq!(k.ok(process(1), extension(1, 1, 10)).request, request);
    k.world.refuse("process.extend", 1);
    let raise = || decide(request, Decision::Extend { by: 5 });
    k.refused(host(), raise());
    assert_eq!(listed(k, None).len(), 1, "what could not be raised is still asked");
    k.ok(host(), raise());
    let extend = process::Extend { pid: Pid(1), kind: BudgetKind::ToolCalls, by: 5 };
    assert_eq!(k.world.sent, [Syscall::from(extend)]);
    assert_eq!(k.refused(host(), raise()).0, "already_decided");
    // A limit that was not raised is not asked about again.
    let request = k.ok(process(1), extension(2, 1, 15)).request;
    k.ok(host(), decide(request, deny(Some("enough"))));
    assert!(k.world.sent.is_empty());
    assert_eq!(k.refused(process(1), extension(3, 1, 15)).0, "refused");
}

fn what_became_of_an_effect_is_asked_and_told(k: &mut Desk) {
    let unknown = human::OpenUnknown {
        op: OpId(1),
        pid: Pid(1),
        call: "shell.run".into(),
        args: Json::default(),
    };
    let request = k.ok(process(1), unknown.clone()).request;
    assert_eq!(k.ok(process(1), unknown).request, request, "it is asked once");
    // Nothing waits for it, so the end of the process ends it not.
    k.ok(host(), human::Cancel { pid: Pid(1) });
    assert_eq!(listed(k, None).len(), 1);
    let known = || decide(request, Decision::Known { what: Known::NotDone });
    assert_eq!(k.refused(host(), decide(request, deny(None))).0, "wrong_answer");
    // A process that has ended is not told.
    k.world.answer("message.send", |_| Err(message::FailureKind::ReceiverEnded.because("gone")));
    k.ok(host(), known());
    let is_letter = |it: &&Syscall| matches!(it, Syscall::Message(message::Call::Send(_)));
    assert_eq!(k.world.sent.iter().filter(is_letter).count(), 1);
    assert_eq!(k.refused(host(), known()).0, "already_decided");
}

fn a_release_is_of_one_call_and_of_no_other(k: &mut Desk) {
    let release = |op| human::OpenRelease {
        op: OpId(op),
        pid: Pid(1),
        release: human::Release {
            call: "shell.run".into(),
            args: Json::default(),
            digest: Digest::of(b"the call"),
            sink: "shell:curl".parse().unwrap(),
            label: Label::TOP,
            clearance: Label::BOTTOM,
        },
    };
    let first = k.ok(process(1), release(1)).request;
    assert_eq!(k.ok(process(1), release(1)).request, first, "it is asked once");
    let second = k.ok(process(1), release(2)).request;
    assert_ne!(second, first, "the same call, made again, is asked about again");
    for scope in [Scope::Process, Scope::Subtree, Scope::Uses(2), Scope::Until(Millis(9))] {
        assert_eq!(k.refused(host(), decide(first, approve(scope))).0, "wrong_answer");
    }
    k.world.sent.clear();
    k.ok(host(), decide(first, approve(Scope::Once)));
    assert!(k.world.sent.is_empty(), "it gives no capability");
    assert_eq!(listed(k, None).len(), 1, "the other waits for its own answer");
    k.ok(host(), decide(second, deny(None)));
    let third = k.ok(process(1), release(1)).request;
    assert_ne!(third, first, "one answer is good for one asking");
}

fn what_a_manifest_does_not_foresee_is_not_asked_for(k: &mut Desk) {
    k.world.answer("capability.requestable", |_| {
        Err(capability::FailureKind::OutsideManifest.because("not foreseen"))
    });
    let code = k.refused(process(1), wants("fs:workspace/a", &[Right::Write])).0;
    assert_eq!(code, "not_requestable");
    assert!(listed(k, Some(true)).is_empty(), "no human saw it");
}

fn requests_survive_a_crash(k: &mut Desk) {
    let open = waits(k, process(1).op(1), question("why?"));
    let closed = waits(k, process(1).op(2), question("how?"));
    k.ok(host(), decide(closed, answer("so")));
    k.recover();
    assert_eq!(k.ok(process(1).op(2), question("how?")).answer, "so".into());
    assert_eq!(waits(k, process(1).op(1), question("why?")), open);
    assert_eq!(k.refused(host(), decide(closed, answer("no"))).0, "already_decided");
    let new = waits(k, process(1).op(3), question("when?"));
    assert!(new != open && new != closed);
}

fn what_it_does_not_serve_is_unsupported(k: &mut Desk) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
