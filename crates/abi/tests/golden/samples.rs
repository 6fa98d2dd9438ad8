//! One sample of every call, reply, fault, failure and event.

use libos_abi::{
    Binding, CapId, Denial, DenyReason, Digest, Error, Event, Fault, FsPath, GrantSpec, Json,
    MessageId, Millis, Need, ObjectId, OpId, Origin, Pid, Principal, Record, Reply, Request,
    RequestId, Resource, Right, Rights, SERVICES, Syscall, Text, audit, capability, clock,
    event::{
        CapabilityEvent, HumanEvent, ImageEvent, NewCapability, ObjectEvent, OpEvent, ProcessEvent,
        Step, Verdict,
    },
    fs, human, image, message, namespace, object,
    process::{self, Ending, PlannerSpec, ProcessState, Wait, WaitOn},
    shell, tool, wire,
};
use serde_json::json;

/// A call with its reply, both as the JSON they are read from.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) args: serde_json::Value,
    pub(crate) call: Syscall,
    pub(crate) reply: Reply,
}

macro_rules! calls {
    ($($service:ident::$Call:ident $args:tt -> $reply:tt;)*) => {
        vec![$({
            let args = json!($args);
            let name = <$service::$Call as Request>::INFO.name;
            let call = Syscall::from_json(name, args.clone()).unwrap();
            let reply: <$service::$Call as Request>::Reply =
                serde_json::from_value(json!($reply)).unwrap();
            let reply = Reply::from($service::Reply::$Call(reply));
            Sample { name, args, call, reply }
        }),*]
    };
}

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn calls() -> Vec<Sample> {
    let grant = json!({
        "effect": "ask", "on": "fs:workspace/src/*", "rights": ["read", "write"], "uses": 3,
        "expires": 60_000, "delegable": 2, "calls_max": 9,
        "when": { "path": { "matches": "[a-z]+", "max": 10, "one_of": ["a", 1, true, ["x"]] } },
    });
    let capability = json!({
        "id": "cap-3", "subject": "p2", "effect": "deny", "on": "shell:*", "rights": ["execute"],
        "uses_left": 1, "expires_at_ms": 5, "delegable": 1, "calls_left": 8,
        "when": { "argv": { "prefix": ["cargo"], "sum_max": 7 } }, "parent": "cap-1",
        "origin": { "human": { "request": "req-4" } },
        "binding": { "request": "req-4", "answers": ["cap-1"], "digest": HASH, "op": "op-6",
            "subtree": true },
        "status": "exhausted",
    });
    let planner = json!({ "kind": "script", "program": "{}" });
    let process = json!({
        "pid": "p2", "parent": "p1", "root": "p1", "image": "minimal", "goal": "look",
        "state": "waiting", "wait": { "on": { "child": "p3" }, "until_ms": 77 },
        "cwd": "workspace/src", "workspace": "/home/a", "planner": "script",
        "budget": { "syscalls": 100, "wall": "1h" }, "usage": { "syscalls": 4, "children": 1 },
        "started_at_ms": 12, "ending": { "state": "failed", "result": "obj-1", "message": "no",
            "code": "denied", "at_ms": 99 },
    });
    let handle = json!({ "id": "obj-7", "version": 2, "digest": HASH });
    let object = json!({
        "id": "obj-7", "type": "note", "version": 2, "digest": HASH, "bytes": 4, "owner": "p1",
        "namespace": "work", "name": "a", "parents": ["obj-1"], "created_at_ms": 1,
        "updated_at_ms": 2,
    });
    let approval = json!({
        "call": "shell.run", "args": { "argv": ["ls"] }, "digest": HASH,
        "needs": [{ "right": "execute", "on": "shell:ls" }], "asked_by": ["cap-2"],
    });
    let request = json!({
        "id": "req-4", "op": "op-6", "pid": "p2", "human": "owner", "ask": { "approval": approval },
        "asked_at_ms": 5, "state": { "decided": {
            "decision": { "approve": { "scope": { "until": 1000 } } }, "by": "owner", "at_ms": 6,
            "capability": "cap-9" } },
    });
    let image = json!({
        "name": "surveyor", "version": "1", "description": "looks", "prompt": "Look.",
        "tools": ["read_file"], "planner": planner, "required_capabilities": [grant],
    });
    let namespace = json!({ "namespace": "work", "entries": [{ "name": "a", "id": "obj-7" }] });
    calls! {
        process::Launch { "image": "minimal", "goal": "look", "workspace": "/w", "planner": planner,
            "grants": [grant], "budget": { "syscalls": 9, "wall": 5, "children": 1 } }
            -> { "pid": "p1", "capabilities": ["cap-1", "cap-2"] };
        process::Spawn { "goal": "look", "image": "worker", "planner": planner, "grants": [grant],
            "cwd": "src", "budget": {} } -> { "pid": "p2", "capabilities": ["cap-3"] };
        process::WaitChild { "pid": "p2", "timeout_ms": "1s" }
            -> { "pid": "p2", "state": "exited", "result": "obj-7", "message": "done", "code": null };
        process::Exit { "result": "obj-7", "message": "done", "failed": true, "code": "denied" }
            -> { "state": "failed" };
        process::SendSignal { "pid": "p2", "signal": "terminate", "reason": "late" }
            -> { "state": "killed" };
        process::List {} -> { "processes": [process] };
        process::Inspect { "pid": "p2" } -> process;
        process::GetCwd {} -> { "path": "workspace" };
        process::Chdir { "path": "src" } -> { "path": "workspace/src" };
        process::Commit { "state": "{}" } -> { "state": "runnable" };
        process::Admit { "pid": "p2", "run": 3 } -> { "root": "p1", "ancestors": ["p1"],
            "image": "minimal", "cwd": "workspace", "workspace": "/w", "quantum": 4 };
        process::Block { "pid": "p2", "wait": { "on": { "message": "p2" }, "until_ms": null } }
            -> { "state": "waiting" };
        process::Ready { "pid": "p2" } -> { "state": "runnable" };
        process::Next {} -> { "pid": "p2", "run": 3, "quantum": 4, "planner": planner,
            "state": "kept" };
        process::Recover {} -> { "processes": [] };

        object::Create { "type": "note", "payload": { "b": [1], "a": null }, "name": "a",
            "namespace": "work", "parents": ["obj-1"] } -> handle;
        object::Read { "id": "obj-7" }
            -> { "id": "obj-7", "type": "note", "version": 2, "payload": [1, "x"] };
        object::Update { "id": "obj-7", "payload": "x", "expected_version": 1 } -> handle;
        object::List { "type": "note" } -> { "objects": [object] };
        object::Delete { "id": "obj-7" } -> { "id": "obj-7" };
        object::Stat { "id": "obj-7" } -> object;

        namespace::Create { "namespace": "work" } -> namespace;
        namespace::List { "namespace": "work" } -> namespace;
        namespace::Lookup { "namespace": "work", "name": "a" } -> { "name": "a", "id": "obj-7" };

        capability::List { "pid": "p2", "all": true } -> { "capabilities": [capability] };
        capability::Inspect { "capability": "cap-3" } -> capability;
        capability::Delegate { "to": "p2", "grant": grant } -> { "capability": "cap-3" };
        capability::Revoke { "capability": "cap-3", "reason": "done" }
            -> { "capabilities": ["cap-3", "cap-4"] };
        capability::Grant { "to": "p2", "grant": grant } -> { "capability": "cap-3" };
        capability::Explain { "pid": "p2", "right": "write", "on": "fs:workspace/a" }
            -> { "need": { "right": "write", "on": "fs:workspace/a" }, "effect": "deny",
                "reason": { "deny_rule": "cap-3" }, "weighed": [capability], "text": "no" };
        capability::Derive { "parent": "p1", "child": "p2", "grants": [grant] }
            -> { "capabilities": ["cap-3"] };
        capability::Issue { "to": "p2", "grant": grant, "origin": { "delegated": { "by": "p1" } },
            "binding": null } -> { "capability": "cap-3" };
        capability::Reserve { "op": "op-6", "charges": [{ "capability": "cap-3", "uses": 1,
            "calls": 1, "sums": [{ "arg": "text", "amount": 12 }] }] } -> null;
        capability::Settle { "op": "op-6", "give_back": true } -> null;
        capability::End { "subject": "p2" } -> null;

        human::AskQuestion { "question": "why?", "context": "because", "human": "ann" }
            -> { "answer": "so" };
        human::Output { "message": "hello", "human": null } -> { "human": "owner" };
        human::RequestPermission { "on": "fs:workspace/*", "rights": ["write"], "reason": "to fix",
            "human": "ann" } -> { "policy": "ask_each_time", "capability": "cap-9" };
        human::List { "all": true } -> { "requests": [request] };
        human::Decide { "request": "req-4", "decision": { "permit": { "policy": "never" } } }
            -> request;
        human::Open { "op": "op-6", "pid": "p2", "approval": approval } -> { "request": "req-4" };
        human::Cancel { "pid": "p2" } -> null;

        message::Send { "to": "p2", "body": "hi", "subject": "s", "payload": { "n": 1 } }
            -> { "id": "msg-5" };
        message::Receive { "from": "p1", "subject": "s", "limit": 3, "timeout_ms": 0 }
            -> { "messages": [{ "id": "msg-5", "from": null, "to": "p2", "subject": "s",
                "body": "hi", "payload": { "n": 1 }, "sent_at_ms": 8 }] };

        image::List {} -> { "images": [image] };
        image::Inspect { "image": "surveyor" } -> image;
        image::Register { "image": image, "replace": true } -> image;

        tool::List {} -> { "tools": ["read_file"] };
        tool::CallTool { "name": "read_file", "args": { "path": "a" } } -> { "result": "x" };

        fs::Read { "path": "a.txt", "max_bytes": 10 }
            -> { "text": "hi", "bytes": 2, "truncated": false, "digest": HASH };
        fs::Write { "path": "a.txt", "text": "hé", "overwrite": false }
            -> { "path": "workspace/a.txt", "bytes": 3, "created": true, "digest": HASH };
        fs::List { "path": "src", "limit": 5 } -> { "entries": [{ "name": "a", "kind": "symlink",
            "bytes": 0 }], "truncated": true };
        fs::Mkdir { "path": "a/b", "parents": true }
            -> { "path": "workspace/a/b", "created": true };
        fs::Delete { "path": "a", "missing_ok": true }
            -> { "path": "workspace/a", "removed": false };
        fs::Stat { "path": "a" } -> { "kind": "file", "bytes": 2, "modified_at_ms": 3 };

        shell::Run { "argv": ["cargo", "test"], "cwd": "src", "timeout_ms": 30_000, "stdin": "x" }
            -> { "exit_code": -1, "signal": 9, "stdout": "o", "stderr": "e", "truncated": true,
                "wall_ms": 4 };

        clock::GetNow {} -> { "unix_ms": 7, "iso8601": "1970-01-01T00:00:00.007Z" };
        clock::Sleep { "ms": 250 } -> { "ms": 250, "elapsed_ms": 251 };

        audit::List { "from": 3, "pid": "p2", "limit": 10 }
            -> { "entries": [{ "seq": 3, "at_ms": 9, "event": { "kind": "spawned" } }], "next": 4 };
    }
}

pub(crate) fn faults() -> Vec<Fault> {
    let need = Need { right: Right::Write, on: Resource::file("workspace/a b") };
    vec![
        Fault::denied(Some(need), DenyReason::DenyRule(CapId(3))),
        Fault::OverBudget { what: "syscalls".into(), limit: 9 },
        Fault::UnknownOutcome { op: OpId(6) },
        Fault::Diverged { recorded: "fs.read".into(), called: "fs.write".into() },
        Fault::bad("no"),
        Fault::NoProcess,
        Fault::StaleRun,
        Fault::Cancelled,
        Fault::StoreUnavailable { what: "full".into() },
        Fault::Unsupported { call: "fs.read".into() },
        Fault::ProviderFailed { kind: "io".into(), op: OpId(6) },
        Fault::Limit { what: "processes".into(), limit: 4 },
        Fault::OutsideMount { path: "../a".into() },
    ]
}

/// Every failure of every service, by its name.
pub(crate) fn failures() -> Vec<(String, Error)> {
    let failures = SERVICES.iter().flat_map(|service| {
        service.failures.iter().map(|failure| {
            let bytes = wire::encode(&(service.number, failure.number, "why".to_owned()));
            let error: Error = wire::decode(&bytes).unwrap();
            assert_eq!(error.code(), failure.code);
            (format!("{}.{}", service.name, failure.code), error)
        })
    });
    failures.collect()
}

macro_rules! event_names {
    ($($pattern:pat => $name:literal;)*) => {
        pub(crate) const EVENTS: &[&str] = &[$($name),*];

        /// The name of an event. A new variant does not compile until it has one here.
        pub(crate) fn event_name(event: &Event) -> &'static str {
            match event { $($pattern => $name,)* }
        }
    };
}

event_names! {
    Event::Op(OpEvent::Admitted { .. }) => "op.admitted";
    Event::Op(OpEvent::Decided { .. }) => "op.decided";
    Event::Op(OpEvent::Dispatched { .. }) => "op.dispatched";
    Event::Op(OpEvent::Blocked { .. }) => "op.blocked";
    Event::Op(OpEvent::Settled { .. }) => "op.settled";
    Event::Process(ProcessEvent::Spawned { .. }) => "process.spawned";
    Event::Process(ProcessEvent::Started { .. }) => "process.started";
    Event::Process(ProcessEvent::Committed { .. }) => "process.committed";
    Event::Process(ProcessEvent::Blocked { .. }) => "process.blocked";
    Event::Process(ProcessEvent::Readied { .. }) => "process.readied";
    Event::Process(ProcessEvent::Paused { .. }) => "process.paused";
    Event::Process(ProcessEvent::Resumed { .. }) => "process.resumed";
    Event::Process(ProcessEvent::Ended { .. }) => "process.ended";
    Event::Process(ProcessEvent::Charged { .. }) => "process.charged";
    Event::Process(ProcessEvent::Moved { .. }) => "process.moved";
    Event::Process(ProcessEvent::Sent(_)) => "process.sent";
    Event::Process(ProcessEvent::Received { .. }) => "process.received";
    Event::Capability(CapabilityEvent::Granted(_)) => "capability.granted";
    Event::Capability(CapabilityEvent::Revoked { .. }) => "capability.revoked";
    Event::Capability(CapabilityEvent::Reserved { .. }) => "capability.reserved";
    Event::Capability(CapabilityEvent::Settled { .. }) => "capability.settled";
    Event::Capability(CapabilityEvent::SubjectEnded { .. }) => "capability.subject_ended";
    Event::Capability(CapabilityEvent::ChildKnown { .. }) => "capability.child_known";
    Event::Object(ObjectEvent::NamespaceCreated { .. }) => "object.namespace_created";
    Event::Object(ObjectEvent::Created { .. }) => "object.created";
    Event::Object(ObjectEvent::Updated { .. }) => "object.updated";
    Event::Object(ObjectEvent::Deleted { .. }) => "object.deleted";
    Event::Human(HumanEvent::Opened(_)) => "human.opened";
    Event::Human(HumanEvent::Decided { .. }) => "human.decided";
    Event::Human(HumanEvent::Cancelled { .. }) => "human.cancelled";
    Event::Human(HumanEvent::Output { .. }) => "human.output";
    Event::Image(ImageEvent::Registered(_)) => "image.registered";
}

fn blob() -> Text {
    Text::Blob { digest: Digest::of(b"large"), bytes: 5000 }
}

pub(crate) fn events() -> Vec<Event> {
    let (pid, op, at_ms) = (Pid(2), OpId(6), 1_795_381_708_000);
    let wait = Wait { on: WaitOn::Human(RequestId(4)), until_ms: Some(9) };
    let write = fs::Write { path: "workspace/a".into(), text: blob(), overwrite: None };
    let denial = Denial { need: None, reason: DenyReason::NotInToolTable("x".into()) };
    let parts: Vec<Reply> = calls().into_iter().map(|sample| sample.reply).collect();
    let list = parts.iter().find_map(|reply| match reply {
        Reply::Human(human::Reply::List(list)) => Some(list.requests[0].clone()),
        _ => None,
    });
    let registered = parts.iter().find_map(|reply| match reply {
        Reply::Image(image::Reply::Register(image)) => Some(image.clone()),
        _ => None,
    });
    let granted = NewCapability {
        id: CapId(3),
        subject: pid,
        grant: GrantSpec::allow("object:*".parse().unwrap(), Rights::all()),
        expires_at_ms: Some(at_ms),
        parent: Some(CapId(1)),
        origin: Origin::Kernel,
        binding: Some(Binding {
            request: RequestId(4),
            answers: vec![CapId(1)],
            digest: Digest::of(b"call"),
            op: Some(op),
            subtree: false,
        }),
    };
    let charges = vec![capability::Charge {
        capability: CapId(3),
        uses: 1,
        calls: 1,
        sums: vec![capability::Sum { arg: "text".into(), amount: 2 }],
    }];
    let ending = Ending {
        state: ProcessState::Killed,
        result: None,
        message: Some("late".into()),
        code: None,
        at_ms,
    };
    let sent = message::Message {
        id: MessageId(5),
        from: Some(Pid(1)),
        to: pid,
        subject: None,
        body: "hi".into(),
        payload: Some(Json(blob())),
        sent_at_ms: at_ms,
    };
    let decided = human::Decided {
        decision: human::Decision::Answer { text: "so".into() },
        by: "owner".into(),
        at_ms,
        capability: None,
    };
    let payload = Json::from(&json!({ "a": 1 }));
    let digest = payload.0.digest();
    let cwd = FsPath::from("workspace/src");
    vec![
        OpEvent::Admitted {
            op,
            caller: Principal::Process(pid),
            step: Step { parent: Some(OpId(5)), index: 3 },
            fingerprint: 0x0102_0304_0506_0708,
            call: write.into(),
        }
        .into(),
        OpEvent::Decided { op, verdict: Verdict::Denied(denial) }.into(),
        OpEvent::Dispatched { op }.into(),
        OpEvent::Blocked { op, wait: wait.clone() }.into(),
        OpEvent::Settled { op, outcome: Err(Fault::Cancelled.into()) }.into(),
        ProcessEvent::Spawned {
            pid,
            parent: Some(Pid(1)),
            image: "minimal".into(),
            goal: "look".into(),
            planner: PlannerSpec { kind: "none".into(), program: blob() },
            workspace: Some("/w".into()),
            cwd: cwd.clone(),
            budget: process::Budget { wall: Some(Millis(5)), ..Default::default() },
            at_ms,
        }
        .into(),
        ProcessEvent::Started { pid, run: 3 }.into(),
        ProcessEvent::Committed { pid, state: "kept".into() }.into(),
        ProcessEvent::Blocked { pid, wait }.into(),
        ProcessEvent::Readied { pid }.into(),
        ProcessEvent::Paused { pid, by_host: true }.into(),
        ProcessEvent::Resumed { pid }.into(),
        ProcessEvent::Ended { pid, ending }.into(),
        ProcessEvent::Charged { pid, syscalls: 7 }.into(),
        ProcessEvent::Moved { pid, cwd }.into(),
        ProcessEvent::Sent(sent).into(),
        ProcessEvent::Received { pid, ids: vec![MessageId(5)] }.into(),
        CapabilityEvent::Granted(granted).into(),
        CapabilityEvent::Revoked { capability: CapId(3), reason: Some("done".into()) }.into(),
        CapabilityEvent::Reserved { op, charges }.into(),
        CapabilityEvent::Settled { op, gave_back: true }.into(),
        CapabilityEvent::SubjectEnded { subject: pid }.into(),
        CapabilityEvent::ChildKnown { parent: Pid(1), child: pid }.into(),
        ObjectEvent::NamespaceCreated { namespace: "work".into(), by: Some(pid) }.into(),
        ObjectEvent::Created {
            id: ObjectId(7),
            r#type: "note".into(),
            payload: payload.clone(),
            digest,
            owner: pid,
            namespace: Some("work".into()),
            name: Some("a".into()),
            parents: vec![ObjectId(1)],
            at_ms,
        }
        .into(),
        ObjectEvent::Updated { id: ObjectId(7), version: 2, payload, digest, at_ms }.into(),
        ObjectEvent::Deleted { id: ObjectId(7) }.into(),
        HumanEvent::Opened(list.unwrap()).into(),
        HumanEvent::Decided { request: RequestId(4), decided }.into(),
        HumanEvent::Cancelled { request: RequestId(4) }.into(),
        HumanEvent::Output { pid: Some(pid), human: "owner".into(), message: "hi".into() }.into(),
        ImageEvent::Registered(registered.unwrap()).into(),
    ]
}

pub(crate) fn record() -> Record {
    Record { at_ms: 12, events: events() }
}
