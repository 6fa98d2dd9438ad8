//! One sample of every call, reply, fault, failure and event.

use libos_abi::{
    Binding, Bound, CapId, CheckpointId, Denial, DenyReason, Digest, Error, Event, Fault, FsPath,
    GrantSpec, Integrity, Json, Label, Labelled, Manifest, MessageId, Millis, Need, ObjectId, OpId,
    Origin, Pid, Principal, Record, Reply, Request, RequestId, Resource, Right, Rights, SERVICES,
    Sensitivity, Source, Syscall, Text, ViewId, audit, capability, checkpoint, clock,
    event::{
        CapabilityEvent, CheckpointEvent, HumanEvent, ImageEvent, LabelEvent, NewCapability,
        ObjectEvent, OpEvent, ProcessEvent, Step, SubscriberEvent, ToolEvent, Verdict,
    },
    events, fs, http, human, image, label, llm, message, namespace, object,
    process::{
        self, BudgetKind, Ending, ForkMode, PlannerSpec, ProcessState, Schedule, Usage, Wait,
        WaitOn,
    },
    rpc, shell, skill, tool, wire,
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
            let reply = serde_json::from_value(json!($reply)).unwrap();
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
    let definition = json!({
        "name": "count", "description": "counts", "language": "typescript", "source": "export",
        "input": { "type": "string" }, "output": true,
        "needs": [{ "call": "fs.read", "on": ["fs:workspace/*"] }, { "call": "clock.now" }],
        "limits": { "fuel": 1, "compute": 2, "memory_bytes": 3, "syscalls": 4, "output_bytes": 5 },
        "tests": [{ "name": "one", "args": "a", "calls": [
            { "call": "clock.now", "args": {}, "reply": { "unix_ms": 7 } },
            { "call": "fs.read", "args": {}, "error": { "code": "denied", "message": "no" } },
        ], "result": 1, "error": "denied" }],
    });
    let status = json!({ "of": "p2", "name": "count", "description": "counts",
        "language": "component", "digest": HASH, "stage": "registered" });
    let report = json!({ "name": "count", "digest": HASH, "passed": false,
        "problem": { "code": "syntax", "message": "no", "line": 1, "column": 2 },
        "tests": [{ "name": "one", "passed": false, "message": "no" }] });
    let planner = json!({ "kind": "script", "program": "{}" });
    let usage = json!({ "syscalls": 4, "tool_calls": 3, "children": 1, "bytes": 5, "tokens": 6,
        "cost": 7 });
    let bound = json!({ "on": "fs:workspace/*", "rights": ["read"] });
    let manifest = json!({ "authority": [bound], "calls": ["fs.*", "shell.run"],
        "requestable": [] });
    let schedule = json!({ "weight": 50, "deadline": 9_000 });
    let process = json!({
        "pid": "p2", "parent": "p1", "root": "p1", "image": "minimal", "goal": "look",
        "state": "waiting", "wait": { "on": { "child": "p3" }, "until_ms": 77 },
        "cwd": "workspace/src", "workspace": "/home/a", "planner": "script",
        "budget": { "syscalls": 100, "wall": "1h" }, "usage": usage,
        "started_at_ms": 12, "ending": { "state": "failed", "result": "obj-1.1", "message": "no",
            "code": "denied", "at_ms": 99 },
        "mode": "speculative", "owner": "obj-1.4", "unread": 2, "tool_groups": ["files"],
    });
    let handle = json!({ "id": "obj-2.7", "version": 2, "digest": HASH });
    let object = json!({
        "id": "obj-2.7", "type": "note", "version": 2, "digest": HASH, "bytes": 4, "owner": "p1",
        "namespace": "work", "name": "a", "parents": ["obj-1.1"], "created_at_ms": 1,
        "updated_at_ms": 2, "tags": ["draft"], "immutable": true, "released": false,
    });
    let links = json!({ "links": [{ "from": "obj-2.7", "relation": "cites", "to": "obj-1.1" }] });
    let view = json!({ "id": "view-3", "owner": "p2", "from": "view-1", "at_ms": 4,
        "items": [{ "id": "obj-2.7", "pinned": true }, { "id": "obj-1.1", "pinned": false }] });
    let subscriptions = json!({ "subscriptions": [
        { "kind": "object_changed", "object": "obj-2.7" }, { "kind": "child_ended", "object": null },
    ] });
    let occurrences = json!({ "cursor": 9, "dropped": 1, "events": [
        { "number": 9, "at_ms": 5, "what": { "message_came": { "from": "p1" } } },
    ] });
    let approval = json!({
        "call": "shell.run", "args": { "argv": ["ls"] }, "digest": HASH,
        "needs": [{ "right": "execute", "on": "shell:ls" }], "asked_by": ["cap-2"],
    });
    let label = json!({ "sensitivity": "secret", "integrity": "untrusted",
        "origins": ["fs", "net"] });
    let release = json!({
        "call": "shell.run", "args": { "argv": ["ls"] }, "digest": HASH, "sink": "shell:ls",
        "label": label, "clearance": { "sensitivity": "internal", "integrity": "trusted" },
    });
    let request = json!({
        "id": "req-4", "op": "op-6", "pid": "p2", "human": "owner", "ask": { "approval": approval },
        "root": "p1", "asked_at_ms": 5, "state": { "decided": {
            "decision": { "approve": { "scope": { "until": 1000 } } }, "by": "owner", "at_ms": 6,
            "capability": "cap-9" } },
        "joined": [{ "pid": "p3", "op": "op-8", "asked_by": ["cap-2"] }],
    });
    let message = json!({ "id": "msg-5", "from": null, "to": "p2", "subject": "s", "body": "hi",
        "payload": { "n": 1 }, "sent_at_ms": 8, "kind": "interrupt", "channel": "c",
        "correlation": "k", "reply_to": "msg-4" });
    let skill = json!({
        "name": "tidy", "description": "tidies up", "license": "MIT", "compatibility": "any",
        "allowed_tools": ["read_file"], "metadata": { "author": "a" }, "text": "Tidy up.",
        "files": [{ "path": "ref/a.md", "text": "/w==", "base64": true }],
    });
    let known = json!({ "name": "tidy", "description": "tidies up", "digest": HASH,
        "allowed_tools": ["read_file"], "active": true });
    let image = json!({
        "name": "surveyor", "version": "1", "description": "looks", "prompt": "Look.",
        "tools": ["read_file"], "planner": planner, "required_capabilities": [grant],
        "tool_groups": [{ "name": "files", "description": "more", "tools": ["write_file"] }],
        "budget": { "tokens": 9 }, "context": { "policy": "recency" }, "generated": [definition],
        "seed": [{ "path": "a.txt", "text": "a" }],
        "skills": [{ "name": "tidy", "digest": HASH }],
    });
    let namespace = json!({ "namespace": "work", "entries": [{ "name": "a", "id": "obj-2.7" }] });
    let checkpoint = json!({ "id": "ckpt-2.1", "reason": "before", "by": "p1", "op": "op-6",
        "at_ms": 5, "processes": 2, "objects": 9, "capabilities": 4 });
    let process_change = json!({ "pid": "p2", "change": "changed", "was": "running",
        "now": "exited", "runs": 3, "unread": ["msg-5"] });
    let object_change = json!({ "id": "obj-2.7", "change": "gone", "was": 2, "now": 0,
        "digest": HASH });
    let capability_change = json!({ "capability": "cap-9", "subject": "p2", "change": "made",
        "on": "fs:workspace/*", "rights": ["read"] });
    let difference = json!({ "checkpoint": "ckpt-2.1", "processes": [process_change],
        "objects": [object_change], "capabilities": [capability_change], "truncated": 3 });
    let forked = json!({ "pid": "p7",
        "processes": [{ "from": "p2", "to": "p7", "parent": "p1" }] });
    let secret = json!({ "name": "key", "at": "authorization", "prefix": "Bearer " });
    let header = json!({ "name": "accept", "value": "text/plain" });
    let kept = json!({ "id": "obj-2.7", "bytes": 2 });
    let response = json!({ "status": 302, "headers": [header], "body": "aGk=", "base64": true,
        "bytes": 2, "digest": HASH, "truncated": false, "redirect": "https://example.com/b",
        "object": kept });
    calls! {
        process::Launch { "image": "minimal", "goal": "look", "workspace": "/w", "planner": planner,
            "grants": [grant], "budget": { "syscalls": 9, "tool_calls": 8, "wall": 5, "children": 1, "bytes": 7,
                "tokens": 6, "cost": 5 },
            "manifest": manifest, "schedule": schedule }
            -> { "pid": "p1", "capabilities": ["cap-1", "cap-2"] };
        process::Spawn { "goal": "look", "image": "worker", "planner": planner, "grants": [grant],
            "cwd": "src", "budget": {}, "manifest": {}, "schedule": {} } -> { "pid": "p2", "capabilities": ["cap-3"] };
        process::WaitChild { "pid": "p2", "timeout_ms": "1s" }
            -> { "pid": "p2", "state": "exited", "result": "obj-2.7", "message": "done", "code": null };
        process::Exit { "result": "obj-2.7", "message": "done", "failed": true, "code": "denied" }
            -> { "state": "failed" };
        process::SendSignal { "pid": "p2", "signal": "terminate", "reason": "late" }
            -> { "state": "killed" };
        process::List { "after": "p1", "live": true, "limit": 10 }
            -> { "processes": [process], "more_after": "p2" };
        process::Inspect { "pid": "p2" } -> process;
        process::GetCwd {} -> { "path": "workspace" };
        process::Chdir { "path": "src" } -> { "path": "workspace/src" };
        process::Commit { "state": "{}" } -> { "state": "runnable" };
        process::Fork { "goal": "look", "mode": "worker", "roots": ["obj-2.7"], "planner": planner,
            "grants": [grant], "cwd": "src", "budget": {}, "manifest": manifest,
            "schedule": schedule } -> { "pid": "p3", "capabilities": ["cap-5"] };
        process::Exec { "image": "worker", "goal": "go on", "planner": planner, "keep": ["cap-3"],
            "keep_objects": false } -> { "state": "runnable" };
        process::StartTask { "owner": "obj-2.7", "tool": "read_file", "args": { "path": "a" },
            "grants": [grant], "budget": {} } -> { "pid": "p4", "capabilities": [] };
        process::ListTasks { "owner": "obj-2.7" } -> { "processes": [process] };
        process::Merge { "pid": "p3", "on_conflict": "child" }
            -> { "adopted": [{ "from": "obj-3.9", "to": "obj-2.10" }], "updated": ["obj-2.7"],
                "kept": ["obj-2.8"] };
        process::Discard { "pid": "p3" } -> { "objects": 2 };
        process::ActivateTools { "group": "files" } -> { "groups": ["objects", "files"] };
        process::Admit { "pid": "p2", "run": 3, "charge": usage } -> { "root": "p1",
            "ancestors": ["p1"], "image": "minimal", "cwd": "workspace", "workspace": "/w",
            "quantum": 4, "tool_groups": ["files"], "interrupted": true };
        process::Block { "pid": "p2", "wait": { "on": { "message": "p2" }, "until_ms": null } }
            -> { "state": "waiting" };
        process::Ready { "pid": "p2" } -> { "state": "runnable" };
        process::Next {} -> { "pid": "p2", "run": 3, "quantum": 4, "planner": planner,
            "state": "kept" };
        process::Recover {} -> null;
        process::Settle { "op": "op-6", "used": usage } -> null;
        process::Extend { "pid": "p2", "kind": "tool_calls", "by": 10 } -> null;
        process::EndTasks { "owner": "obj-2.7" } -> null;
        process::Save { "checkpoint": "ckpt-2.1" } -> { "live": ["p2", "p3"], "ended": ["p4"] };
        process::Compare { "checkpoint": "ckpt-2.1" } -> { "rows": [process_change] };
        process::Forget { "checkpoint": "ckpt-2.1" } -> null;
        process::Restore { "checkpoint": "ckpt-2.1" } -> { "processes": ["p2", "p3"],
            "revived": [{ "pid": "p3", "parent": "p2" }], "made": ["p5"] };
        process::CopySaved { "checkpoint": "ckpt-2.1", "parent": "p1" } -> forked;
        process::Recall { "checkpoint": "ckpt-2.1" } -> { "image": "minimal", "planner": planner };

        object::Create { "type": "note", "payload": { "b": [1], "a": null }, "name": "a",
            "namespace": "work", "parents": ["obj-1.1"], "tags": ["draft"], "immutable": true }
            -> handle;
        object::Read { "id": "obj-2.7" }
            -> { "id": "obj-2.7", "type": "note", "version": 2, "payload": [1, "x"],
                "appended": [{ "n": 2 }] };
        object::Update { "id": "obj-2.7", "payload": "x", "expected_version": 1 } -> handle;
        object::List { "type": "note", "after": "obj-2.6", "limit": 10 }
            -> { "objects": [object], "more_after": "obj-2.7" };
        object::Delete { "id": "obj-2.7" } -> { "id": "obj-2.7" };
        object::Stat { "id": "obj-2.7" } -> object;
        object::Append { "id": "obj-2.7", "entry": { "n": 2 }, "expected_version": 1 } -> handle;
        object::MakeLink { "from": "obj-2.7", "relation": "cites", "to": "obj-1.1" } -> links;
        object::Unlink { "from": "obj-2.7", "relation": "cites", "to": "obj-1.1" }
            -> { "links": [] };
        object::ListLinks { "id": "obj-2.7" } -> links;
        object::Query { "space": "p2", "type": "note", "tag": "draft", "name_prefix": "a",
            "parent": "obj-1.1", "since_ms": 5, "after": "obj-2.6", "limit": 10 }
            -> { "objects": [object], "more_after": null };
        object::Transfer { "id": "obj-2.7", "to": "p1" } -> handle;
        object::Release { "id": "obj-2.7" } -> handle;
        object::MakeView { "items": [{ "id": "obj-2.7", "pinned": true }], "from": "view-1" }
            -> view;
        object::ShowView { "view": "view-3" } -> view;
        object::ListViews {} -> { "views": [view] };
        object::DropView { "view": "view-3" } -> { "views": [] };
        object::Materialize { "view": "view-3", "tokens": 100, "choice": "plan_first" }
            -> { "items": [{ "id": "obj-2.7", "type": "note", "version": 2, "payload": "x",
                    "appended": [1] }],
                "manifest": [{ "id": "obj-1.1", "version": 0, "tokens": 0, "reason": "denied" }],
                "tokens": 9 };
        object::ListEntries { "id": "obj-2.7", "skip": 1 }
            -> { "version": 2, "entries": [{ "n": 2 }], "next": 2 };
        object::Collect { "owner": "p2", "type": "file", "parts": ["a", { "base64": "/w==" }] }
            -> handle;
        object::GetContent { "id": "obj-2.7" } -> { "parts": ["a"] };
        object::ForkSpace { "from": "p2", "to": "p3" } -> null;
        object::MergeSpace { "from": "p3", "into": "p2", "on_conflict": "parent" }
            -> { "adopted": [], "updated": [], "kept": [] };
        object::DropSpace { "space": "p3" } -> { "objects": 2 };
        object::SaveSpaces { "checkpoint": "ckpt-2.1", "spaces": ["p2", "p3"],
            "ended": ["p4"] } -> { "count": 9 };
        object::CompareSpaces { "checkpoint": "ckpt-2.1", "spaces": ["p5"] }
            -> { "rows": [object_change] };
        object::ForgetSpaces { "checkpoint": "ckpt-2.1" } -> null;
        object::RestoreSpaces { "checkpoint": "ckpt-2.1", "dropped": ["p5"] } -> { "count": 3 };
        object::CopySpaces { "checkpoint": "ckpt-2.1",
            "processes": [{ "from": "p2", "to": "p7", "parent": "p1" }] } -> null;

        namespace::Create { "namespace": "work" } -> namespace;
        namespace::List { "namespace": "work" } -> namespace;
        namespace::Lookup { "namespace": "work", "name": "a" } -> { "name": "a", "id": "obj-2.7" };

        capability::List { "pid": "p2", "all": true, "after": "cap-2", "limit": 10 }
            -> { "capabilities": [capability], "more_after": "cap-3" };
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
        capability::Bound { "pid": "p2", "parent": "p1", "manifest": manifest } -> null;
        capability::Requestable { "pid": "p2", "on": "fs:workspace/*", "rights": ["write"] } -> null;
        capability::Keep { "subject": "p2", "keep": ["cap-3"], "memory": true }
            -> { "capabilities": ["cap-4"] };
        capability::May { "pid": "p2", "right": "read", "on": "object:p1/7" } -> { "allowed": true };
        capability::Save { "checkpoint": "ckpt-2.1", "subjects": ["p2", "p3"] } -> { "count": 4 };
        capability::Compare { "checkpoint": "ckpt-2.1" } -> { "rows": [capability_change] };
        capability::Forget { "checkpoint": "ckpt-2.1" } -> null;
        capability::Restore { "checkpoint": "ckpt-2.1",
            "revived": [{ "pid": "p3", "parent": "p2" }] } -> { "capabilities": ["cap-9"] };
        capability::CopyHeld { "checkpoint": "ckpt-2.1",
            "processes": [{ "from": "p2", "to": "p7", "parent": null }] } -> null;
        capability::Recall { "checkpoint": "ckpt-2.1" } -> { "grants": [grant] };

        human::AskQuestion { "question": "why?", "context": "because", "human": "ann" }
            -> { "answer": "so" };
        human::Output { "message": "hello", "human": null } -> { "human": "owner" };
        human::RequestPermission { "on": "fs:workspace/*", "rights": ["write"], "reason": "to fix",
            "human": "ann" } -> { "policy": "ask_each_time", "capability": "cap-9" };
        human::List { "all": true } -> { "requests": [request] };
        human::Decide { "request": "req-4", "decision": { "permit": { "policy": "never" } } }
            -> request;
        human::Open { "op": "op-6", "pid": "p2", "approval": approval } -> { "request": "req-4" };
        human::OpenExtension { "op": "op-6", "pid": "p2", "of": "p1", "kind": "bytes", "limit": 10,
            "used": 8, "more": 4, "call": "fs.read" } -> { "request": "req-5" };
        human::OpenUnknown { "op": "op-6", "pid": "p2", "call": "shell.run", "args": { "argv": ["a"] } }
            -> { "request": "req-6" };
        human::OpenRelease { "op": "op-6", "pid": "p2", "release": release }
            -> { "request": "req-7" };
        human::Cancel { "pid": "p2" } -> null;

        message::Send { "to": "p2", "body": "hi", "subject": "s", "payload": { "n": 1 },
            "kind": "letter", "channel": "c", "correlation": "k", "reply_to": "msg-4" }
            -> { "id": "msg-5" };
        message::Receive { "from": "p1", "subject": "s", "limit": 3, "timeout_ms": 0,
            "channel": "c", "correlation": "k", "reply_to": "msg-4" } -> { "messages": [message] };
        message::Peek { "from": "p1", "channel": "c", "limit": 3 } -> { "messages": [message] };
        message::TakeInterrupt { "pid": "p2" } -> message;

        image::List {} -> { "images": [image] };
        image::Inspect { "image": "surveyor" } -> image;
        image::Register { "image": image, "replace": true } -> image;
        image::Unregister { "image": "surveyor" } -> image;
        image::CommitImage { "checkpoint": "ckpt-2.1", "of": "p2",
            "image": image, "replace": true } -> image;

        tool::List {} -> { "tools": ["read_file"] };
        tool::CallTool { "name": "read_file", "args": { "path": "a" } } -> { "result": "x" };
        tool::ListGroups {} -> { "groups": [{ "name": "files", "description": "more",
            "tools": ["write_file"], "active": true }] };
        tool::Propose { "tool": definition } -> status;
        tool::Validate { "name": "count", "pid": "p2" } -> report;
        tool::Register { "name": "count" } -> status;
        tool::Unregister { "name": "count" } -> status;
        tool::Inspect { "name": "count", "pid": "p2" }
            -> { "status": status, "tool": definition, "report": report };
        tool::ListGenerated { "pid": "p2" } -> { "tools": [status] };
        tool::Promote { "name": "count", "digest": HASH, "image": "surveyor", "version": "2" }
            -> image;
        tool::Conclude { "pid": "p2", "report": report } -> null;
        tool::Carry { "from": "p2", "to": "p3" } -> null;
        tool::End { "pid": "p2" } -> null;
        tool::SaveTools { "checkpoint": "ckpt-2.1", "processes": ["p2", "p3"] } -> null;
        tool::ForgetTools { "checkpoint": "ckpt-2.1" } -> null;
        tool::RestoreTools { "checkpoint": "ckpt-2.1" } -> null;
        tool::CopyTools { "checkpoint": "ckpt-2.1", "processes": [{ "from": "p2", "to": "p7",
            "parent": null }] } -> null;

        skill::List {} -> { "skills": [known] };
        skill::Inspect { "skill": "tidy" } -> skill;
        skill::Register { "skill": skill, "replace": true } -> known;
        skill::Unregister { "skill": "tidy" } -> known;
        skill::Activate { "skill": "tidy", "digest": HASH } -> { "text": "Tidy up.",
            "skill": { "name": "tidy", "digest": HASH, "allowed_tools": ["read_file"] },
            "files": ["ref/a.md"] };
        skill::Unload { "skill": "tidy" } -> null;
        skill::ReadFile { "skill": "tidy", "file": "ref/a.md" }
            -> { "path": "ref/a.md", "text": "/w==", "base64": true };

        fs::Read { "path": "a.txt", "max_bytes": 10, "into": "file" }
            -> { "text": "hi", "bytes": 2, "truncated": false, "digest": HASH, "object": kept };
        fs::Write { "path": "a.txt", "text": "hé", "overwrite": false,
            "expected_digest": HASH, "from": "obj-2.7" }
            -> { "path": "workspace/a.txt", "bytes": 3, "created": true, "digest": HASH };
        fs::List { "path": "src", "limit": 5 } -> { "entries": [{ "name": "a", "kind": "symlink",
            "bytes": 0 }], "truncated": true };
        fs::Mkdir { "path": "a/b", "parents": true }
            -> { "path": "workspace/a/b", "created": true };
        fs::Delete { "path": "a", "missing_ok": true, "expected_digest": HASH }
            -> { "path": "workspace/a", "removed": false };
        fs::PutBack { "workspace": "/w", "path": "a.txt", "expected": HASH, "text": "then",
            "force": true } -> { "path": "workspace/a.txt", "changed": true };
        fs::Stat { "path": "a" } -> { "kind": "file", "bytes": 2, "modified_at_ms": 3 };
        fs::Edit { "path": "a.txt", "old": "hé", "new": "ho", "count": 2, "expected_digest": HASH }
            -> { "path": "workspace/a.txt", "bytes": 3, "created": false, "digest": HASH };
        fs::Patch { "path": "a.txt", "diff": "@@", "expected_digest": HASH }
            -> { "path": "workspace/a.txt", "bytes": 3, "created": false, "digest": HASH };
        fs::Append { "path": "a.txt", "text": "more", "expected_digest": HASH }
            -> { "path": "workspace/a.txt", "bytes": 4, "created": true };
        fs::Rename { "from": "a.txt", "to": "b.txt", "overwrite": true, "expected_digest": HASH }
            -> { "from": "workspace/a.txt", "to": "workspace/b.txt", "replaced": true };
        fs::Search { "path": "src", "pattern": "TODO", "glob": "**/*.rs", "ignore_case": true,
            "limit": 5, "from": 6 } -> { "lines": [{ "path": "workspace/src/a.rs", "line": 7,
            "text": "// TODO" }], "next": 8 };
        fs::Glob { "path": "src", "pattern": "**/*.rs", "limit": 5, "from": 6 }
            -> { "entries": [{ "path": "workspace/src/a.rs", "kind": "file", "bytes": 2 }],
                "next": 8 };
        fs::Watch { "path": "a.txt", "seen": HASH, "timeout_ms": 250 }
            -> { "state": HASH, "changed": true };

        shell::Run { "argv": ["cargo", "test"], "cwd": "src", "timeout_ms": 30_000, "stdin": "x",
            "secrets": [secret], "stdout_into": "output", "stderr_into": "log",
            "stdin_from": "obj-2.7" }
            -> { "exit_code": -1, "signal": 9, "stdout": "o", "stderr": "e", "truncated": true,
                "wall_ms": 4, "user_ms": 3, "system_ms": 2, "max_rss_kib": 1, "program": HASH,
                "notes": ["n"], "stdout_object": kept, "stderr_object": kept };

        clock::GetNow {} -> { "unix_ms": 7, "iso8601": "1970-01-01T00:00:00.007Z" };
        clock::Sleep { "ms": 250 } -> { "ms": 250, "elapsed_ms": 251 };

        audit::List { "from": 3, "pid": "p2", "limit": 10 }
            -> { "entries": [{ "seq": 3, "at_ms": 9, "event": { "kind": "spawned" } }], "next": 4 };
        audit::Compact { "before_ms": 7 } -> { "payloads": 2, "bytes": 9000, "list": HASH };

        events::Subscribe { "kinds": ["object_changed", "object_gone"], "object": "obj-2.7" }
            -> subscriptions;
        events::Unsubscribe { "kinds": ["child_ended"], "object": null } -> subscriptions;
        events::ListSubscriptions {} -> subscriptions;
        events::WaitEvents { "limit": 5, "timeout_ms": 0 } -> occurrences;
        events::ReadEvents { "after": 8, "limit": 5 } -> occurrences;
        events::Publish { "of": "p2", "what": { "object_changed": { "id": "obj-2.7", "version": 2 } } }
            -> null;
        events::EndSubscriber { "pid": "p2" } -> null;

        checkpoint::Create { "pid": "p2", "reason": "before" } -> checkpoint;
        checkpoint::List { "pid": "p2", "after": "ckpt-2.1", "limit": 5 }
            -> { "checkpoints": [checkpoint], "more_after": "ckpt-2.2" };
        checkpoint::Inspect { "checkpoint": "ckpt-2.1" } -> checkpoint;
        checkpoint::Diff { "checkpoint": "ckpt-2.1" }
            -> difference;
        checkpoint::DropCheckpoint { "checkpoint": "ckpt-2.1" } -> checkpoint;
        checkpoint::Fork { "checkpoint": "ckpt-2.1", "parent": "p1" } -> forked;
        checkpoint::Preview { "checkpoint": "ckpt-2.1" }
            -> { "token": HASH, "difference": difference };
        checkpoint::Restore { "checkpoint": "ckpt-2.1", "token": HASH }
            -> { "checkpoint": "ckpt-2.1", "processes": ["p2", "p3"], "revived": ["p3"],
                "ended": ["p5"], "objects": 3, "revoked": ["cap-9"] };
        checkpoint::Commit { "checkpoint": "ckpt-2.1", "image": "surveyor", "version": "2",
            "replace": true } -> image;

        label::Show { "id": "obj-2.7" } -> { "label": label };
        label::Declassify { "id": "obj-2.7", "path": "workspace/a", "pid": "p2",
            "to": { "sensitivity": "internal" } }
            -> { "label": { "sensitivity": "internal", "integrity": "trusted" } };
        label::List {} -> { "entries": [{ "what": { "process": "p2" }, "label": label }] };

        image::Own {} -> image;
        llm::Complete { "profile": "fast", "setup": { "tool_choice": "auto" },
            "messages": ["{\"role\":\"user\",\"parts\":[]}\n"], "output_tokens_max": 5,
            "excerpt": { "object": "obj-2.7", "spans": [{ "from": 0, "to": 3 }], "bytes": 99 },
            "manifest": { "left": [] } }
            -> { "message": { "role": "assistant", "parts": [] }, "finish": "tool_calls",
                "tokens": { "input": 9, "cached": 2, "output": 4 }, "cost": 12, "model": "m-1" };

        http::Fetch { "url": "https://example.com/a?b", "method": "HEAD", "headers": [header],
            "secrets": [secret], "max_bytes": 5, "timeout_ms": 30_000, "into": "page" } -> response;
        http::Replace { "url": "https://example.com/a", "method": "DELETE", "headers": [header],
            "secrets": [secret], "body": "b", "max_bytes": 5, "timeout_ms": 30_000,
            "into": "page", "from": "obj-2.7" } -> response;
        http::Send { "url": "http://example.com:8080/a", "method": "PATCH", "headers": [header],
            "secrets": [secret], "body": "b", "max_bytes": 5, "timeout_ms": 30_000,
            "into": "page", "from": "obj-2.7" } -> response;
        rpc::Query { "endpoint": "e", "method": "m", "params": [1], "timeout_ms": 30_000 }
            -> { "result": { "a": 1 } };
        rpc::Invoke { "endpoint": "e", "method": "m", "params": { "a": 1 }, "timeout_ms": 30_000 }
            -> { "result": null };
    }
}

pub(crate) fn faults() -> Vec<Fault> {
    let need = Need { right: Right::Write, on: Resource::file("workspace/a b") };
    vec![
        Fault::denied(Some(need), DenyReason::DenyRule(CapId(3))),
        Fault::OverBudget { of: Pid(1), kind: BudgetKind::Tokens, limit: 9, used: 8, more: 2 },
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
        Fault::Interrupted { message: MessageId(5), from: Some(Pid(1)), text: "stop".into() },
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
    Event::Process(ProcessEvent::Settled { .. }) => "process.settled";
    Event::Process(ProcessEvent::Extended { .. }) => "process.extended";
    Event::Process(ProcessEvent::Execed { .. }) => "process.execed";
    Event::Process(ProcessEvent::Activated { .. }) => "process.activated";
    Event::Process(ProcessEvent::Cancelled { .. }) => "process.cancelled";
    Event::Capability(CapabilityEvent::Bounded { .. }) => "capability.bounded";
    Event::Capability(CapabilityEvent::Kept { .. }) => "capability.kept";
    Event::Object(ObjectEvent::Appended { .. }) => "object.appended";
    Event::Object(ObjectEvent::Released { .. }) => "object.released";
    Event::Object(ObjectEvent::Moved { .. }) => "object.moved";
    Event::Object(ObjectEvent::Linked { .. }) => "object.linked";
    Event::Object(ObjectEvent::Unlinked { .. }) => "object.unlinked";
    Event::Object(ObjectEvent::ViewMade { .. }) => "object.view_made";
    Event::Object(ObjectEvent::ViewDropped { .. }) => "object.view_dropped";
    Event::Object(ObjectEvent::SpaceForked { .. }) => "object.space_forked";
    Event::Object(ObjectEvent::SpaceMerged { .. }) => "object.space_merged";
    Event::Object(ObjectEvent::SpaceDropped { .. }) => "object.space_dropped";
    Event::Human(HumanEvent::Joined { .. }) => "human.joined";
    Event::Human(HumanEvent::Left { .. }) => "human.left";
    Event::Image(ImageEvent::Unregistered { .. }) => "image.unregistered";
    Event::Image(ImageEvent::SkillRegistered(_)) => "image.skill_registered";
    Event::Image(ImageEvent::SkillUnregistered { .. }) => "image.skill_unregistered";
    Event::Subscriber(SubscriberEvent::Subscribed { .. }) => "subscriber.subscribed";
    Event::Subscriber(SubscriberEvent::Unsubscribed { .. }) => "subscriber.unsubscribed";
    Event::Subscriber(SubscriberEvent::Told { .. }) => "subscriber.told";
    Event::Subscriber(SubscriberEvent::Taken { .. }) => "subscriber.taken";
    Event::Subscriber(SubscriberEvent::Ended { .. }) => "subscriber.ended";
    Event::Process(ProcessEvent::Saved { .. }) => "process.saved";
    Event::Process(ProcessEvent::Forgotten { .. }) => "process.forgotten";
    Event::Capability(CapabilityEvent::Saved { .. }) => "capability.saved";
    Event::Capability(CapabilityEvent::Forgotten { .. }) => "capability.forgotten";
    Event::Object(ObjectEvent::SpacesSaved { .. }) => "object.spaces_saved";
    Event::Object(ObjectEvent::SpacesForgotten { .. }) => "object.spaces_forgotten";
    Event::Process(ProcessEvent::Rewound { .. }) => "process.rewound";
    Event::Process(ProcessEvent::Copied { .. }) => "process.copied";
    Event::Capability(CapabilityEvent::Restored { .. }) => "capability.restored";
    Event::Capability(CapabilityEvent::BoundsCopied { .. }) => "capability.bounds_copied";
    Event::Object(ObjectEvent::SpacesRestored { .. }) => "object.spaces_restored";
    Event::Object(ObjectEvent::SpaceCopied { .. }) => "object.space_copied";
    Event::Checkpoint(CheckpointEvent::Created(_)) => "checkpoint.created";
    Event::Checkpoint(CheckpointEvent::Dropped { .. }) => "checkpoint.dropped";
    Event::Op(OpEvent::Loaded { .. }) => "op.loaded";
    Event::Op(OpEvent::Drawn { .. }) => "op.drawn";
    Event::Op(OpEvent::Excerpted { .. }) => "op.excerpted";
    Event::Object(ObjectEvent::Collected { .. }) => "object.collected";
    Event::Tool(ToolEvent::Proposed { .. }) => "tool.proposed";
    Event::Tool(ToolEvent::Validated { .. }) => "tool.validated";
    Event::Tool(ToolEvent::Registered { .. }) => "tool.registered";
    Event::Tool(ToolEvent::Unregistered { .. }) => "tool.unregistered";
    Event::Tool(ToolEvent::Carried { .. }) => "tool.carried";
    Event::Tool(ToolEvent::Ended { .. }) => "tool.ended";
    Event::Tool(ToolEvent::Saved { .. }) => "tool.saved";
    Event::Tool(ToolEvent::Forgotten { .. }) => "tool.forgotten";
    Event::Tool(ToolEvent::Restored { .. }) => "tool.restored";
    Event::Tool(ToolEvent::Copied { .. }) => "tool.copied";
    Event::Tool(ToolEvent::SkillActivated { .. }) => "tool.skill_activated";
    Event::Tool(ToolEvent::SkillUnloaded { .. }) => "tool.skill_unloaded";
    Event::Label(LabelEvent::Set { .. }) => "label.set";
}

fn blob() -> Text {
    Text::blob(Digest::of(b"large"), 5000)
}

pub(crate) fn events() -> Vec<Event> {
    let (pid, op, at_ms) = (Pid(2), OpId(6), 1_795_381_708_000);
    let wait = Wait { on: WaitOn::Human(RequestId(4)), until_ms: Some(9) };
    let write = fs::Write {
        path: "workspace/a".into(),
        text: blob(),
        overwrite: None,
        expected_digest: None,
        from: None,
    };
    let denial = Denial { need: None, reason: DenyReason::NotInToolTable("x".into()) };
    let parts: Vec<Reply> = calls().into_iter().map(|sample| sample.reply).collect();
    let list = parts.iter().find_map(|reply| match reply {
        Reply::Human(human::Reply::List(list)) => Some(list.requests[0].clone()),
        _ => None,
    });
    let skill = parts.iter().find_map(|reply| match reply {
        Reply::Skill(skill::Reply::Inspect(skill)) => Some(skill.clone()),
        _ => None,
    });
    let active = skill::ActiveSkill {
        name: "tidy".into(),
        digest: Digest::of(b"a package"),
        allowed_tools: Some(vec!["read_file".into()]),
    };
    let registered = parts.iter().find_map(|reply| match reply {
        Reply::Image(image::Reply::Register(image)) => Some(image.clone()),
        _ => None,
    });
    let created = parts.iter().find_map(|reply| match reply {
        Reply::Checkpoint(checkpoint::Reply::Create(created)) => Some(created.clone()),
        _ => None,
    });
    let checkpoint = CheckpointId::new(2, 1);
    let revived = checkpoint::Revived { pid: Pid(3), parent: Some(pid) };
    let (tool, report) = parts
        .iter()
        .find_map(|reply| match reply {
            Reply::Tool(tool::Reply::Inspect(it)) => Some((it.tool.clone(), it.report.clone()?)),
            _ => None,
        })
        .unwrap();
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
        kind: message::MessageKind::Interrupt,
        channel: Some("c".into()),
        correlation: None,
        reply_to: Some(MessageId(4)),
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
    let (id, base) = (ObjectId::new(2, 7), ObjectId::new(1, 1));
    let usage = Usage { syscalls: 1, tool_calls: 2, children: 3, bytes: 4, tokens: 5, cost: 6 };
    let bound = Bound { on: "fs:workspace/*".parse().unwrap(), rights: Rights::all() };
    let manifest = Manifest {
        authority: Some(vec![bound]),
        calls: Some(vec!["fs.*".into()]),
        requestable: Some(Vec::new()),
    };
    let asker = human::Asker { pid: Pid(3), op: OpId(8), asked_by: vec![CapId(2)] };
    let subscription =
        events::Subscription { kind: events::EventKind::ObjectChanged, object: Some(id) };
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
            budget: process::Budget { wall: Some(Millis(5)), ..Default::default() }.into(),
            schedule: Schedule { weight: Some(50), deadline: None },
            mode: Some(ForkMode::Copy),
            owner: Some(ObjectId::new(1, 4)),
            at_ms,
        }
        .into(),
        ProcessEvent::Started { pid, run: 3 }.into(),
        ProcessEvent::Committed { pid, state: "kept".into() }.into(),
        ProcessEvent::Blocked { pid, wait }.into(),
        ProcessEvent::Readied { pid }.into(),
        ProcessEvent::Paused { pid, by_host: true }.into(),
        ProcessEvent::Resumed { pid }.into(),
        ProcessEvent::Ended { pid, parent: Some(Pid(1)), ending }.into(),
        ProcessEvent::Charged { pid, op, usage }.into(),
        ProcessEvent::Settled { op, used: usage }.into(),
        ProcessEvent::Extended { pid, kind: BudgetKind::Cost, by: 10 }.into(),
        ProcessEvent::Execed {
            pid,
            image: "worker".into(),
            goal: "go on".into(),
            planner: PlannerSpec { kind: "none".into(), program: "".into() },
        }
        .into(),
        ProcessEvent::Activated { pid, group: "files".into() }.into(),
        ProcessEvent::Cancelled { pid }.into(),
        ProcessEvent::Moved { pid, cwd }.into(),
        ProcessEvent::Sent(sent.into()).into(),
        ProcessEvent::Received { pid, ids: vec![MessageId(5)] }.into(),
        CapabilityEvent::Granted(granted.into()).into(),
        CapabilityEvent::Revoked {
            capability: CapId(3),
            subject: pid,
            reason: Some("done".into()),
        }
        .into(),
        CapabilityEvent::Reserved { op, charges }.into(),
        CapabilityEvent::Settled { op, gave_back: true }.into(),
        CapabilityEvent::SubjectEnded { subject: pid }.into(),
        CapabilityEvent::ChildKnown { parent: Pid(1), child: pid }.into(),
        CapabilityEvent::Bounded { pid, manifest }.into(),
        CapabilityEvent::Kept { subject: pid, dropped: vec![CapId(4)] }.into(),
        ObjectEvent::NamespaceCreated { namespace: "work".into(), by: Some(pid) }.into(),
        ObjectEvent::Created {
            id,
            r#type: "note".into(),
            payload: payload.clone(),
            digest,
            namespace: Some("work".into()),
            name: Some("a".into()),
            parents: [base].into(),
            tags: ["draft".to_owned()].into(),
            immutable: true,
            at_ms,
        }
        .into(),
        ObjectEvent::Updated { id, version: 2, payload: payload.clone(), digest, at_ms }.into(),
        ObjectEvent::Deleted { id }.into(),
        ObjectEvent::Appended { id, version: 3, entry: payload, digest, at_ms }.into(),
        ObjectEvent::Released { id, at_ms }.into(),
        ObjectEvent::Moved { from: id, to: base, at_ms }.into(),
        ObjectEvent::Linked { from: id, relation: "cites".into(), to: base }.into(),
        ObjectEvent::Unlinked { from: id, relation: "cites".into(), to: base }.into(),
        ObjectEvent::ViewMade {
            id: ViewId(3),
            owner: pid,
            items: [object::ViewItem { id, pinned: true }].into(),
            from: Some(ViewId(1)),
            at_ms,
        }
        .into(),
        ObjectEvent::ViewDropped { id: ViewId(3) }.into(),
        ObjectEvent::SpaceForked { from: pid, to: Pid(3) }.into(),
        ObjectEvent::SpaceMerged {
            from: Pid(3),
            into: pid,
            on_conflict: process::OnConflict::Child,
            at_ms,
        }
        .into(),
        ObjectEvent::SpaceDropped { space: Pid(3) }.into(),
        HumanEvent::Opened(list.unwrap().into()).into(),
        HumanEvent::Decided { request: RequestId(4), decided }.into(),
        HumanEvent::Joined { request: RequestId(4), asker: asker.clone() }.into(),
        HumanEvent::Left { request: RequestId(4), asker }.into(),
        HumanEvent::Cancelled { request: RequestId(4) }.into(),
        HumanEvent::Output { pid: Some(pid), human: "owner".into(), message: "hi".into() }.into(),
        ImageEvent::Registered(registered.unwrap()).into(),
        ImageEvent::Unregistered { image: "surveyor".into() }.into(),
        SubscriberEvent::Subscribed { pid, subscription }.into(),
        SubscriberEvent::Unsubscribed { pid, subscription }.into(),
        SubscriberEvent::Told {
            pid,
            at_ms,
            what: events::Happened::ObjectChanged { id, version: 2 },
        }
        .into(),
        SubscriberEvent::Taken { pid, cursor: 9 }.into(),
        SubscriberEvent::Ended { pid, subscriptions: 2 }.into(),
        ProcessEvent::Saved { checkpoint, processes: vec![pid, Pid(3)] }.into(),
        ProcessEvent::Forgotten { checkpoint }.into(),
        CapabilityEvent::Saved { checkpoint, subjects: vec![pid, Pid(3)], at_ms }.into(),
        CapabilityEvent::Forgotten { checkpoint }.into(),
        ObjectEvent::SpacesSaved { checkpoint, spaces: vec![pid, Pid(3)] }.into(),
        ObjectEvent::SpacesForgotten { checkpoint }.into(),
        ProcessEvent::Rewound { pid, checkpoint }.into(),
        ProcessEvent::Copied { pid: Pid(7), checkpoint, from: pid }.into(),
        CapabilityEvent::Restored { checkpoint, revived: vec![revived], revoked: vec![CapId(9)] }
            .into(),
        CapabilityEvent::BoundsCopied { checkpoint, from: pid, to: Pid(7) }.into(),
        ObjectEvent::SpacesRestored { checkpoint, dropped: vec![Pid(5)] }.into(),
        ObjectEvent::SpaceCopied { checkpoint, from: pid, to: Pid(7), base: Some(Pid(6)) }.into(),
        CheckpointEvent::Created(created.unwrap()).into(),
        CheckpointEvent::Dropped { checkpoint }.into(),
        OpEvent::Loaded {
            op,
            program: tool::Program { of: pid, digest, tool: tool.clone() }.into(),
        }
        .into(),
        OpEvent::Drawn { op, parts: [Json(blob())].into() }.into(),
        OpEvent::Excerpted { op, digest }.into(),
        ObjectEvent::Collected {
            id,
            r#type: "file".into(),
            parts: [Json(blob())].into(),
            digest,
            at_ms,
        }
        .into(),
        ToolEvent::Proposed { pid, digest, tool: tool.into() }.into(),
        ToolEvent::Validated { pid, report: report.into() }.into(),
        ToolEvent::Registered { pid, name: "count".into() }.into(),
        ToolEvent::Unregistered { pid, name: "count".into() }.into(),
        ToolEvent::Carried { from: pid, to: Pid(3) }.into(),
        ToolEvent::Ended { pid }.into(),
        ToolEvent::Saved { checkpoint, processes: vec![pid, Pid(3)] }.into(),
        ToolEvent::Forgotten { checkpoint }.into(),
        ToolEvent::Restored { checkpoint }.into(),
        ToolEvent::Copied { checkpoint, from: pid, to: Pid(7) }.into(),
        ImageEvent::SkillRegistered(skill.unwrap()).into(),
        ImageEvent::SkillUnregistered { skill: "tidy".into() }.into(),
        ToolEvent::SkillActivated { pid, skill: active }.into(),
        ToolEvent::SkillUnloaded { pid, skill: "tidy".into() }.into(),
        LabelEvent::Set {
            what: Labelled::File {
                workspace: Some("/w".into()),
                on: Resource::file("workspace/a b"),
            },
            label: Label { sensitivity: Sensitivity::Secret, ..Label::from_source(Source::Fs) },
        }
        .into(),
    ]
}

pub(crate) fn record() -> Record {
    Record { at_ms: 12, events: events() }
}

macro_rules! enums {
    ($($type:ty: $values:tt;)*) => {
        vec![$({
            let values = json!($values);
            let typed: Vec<$type> = serde_json::from_value(values).unwrap();
            let schema = schemars::schema_for!($type).to_value();
            (stringify!($type), wire::encode(&typed), typed.len(), variants(&schema))
        }),*]
    };
}

/// How many variants a schema of an enum has.
fn variants(schema: &serde_json::Value) -> usize {
    let one_of = schema["oneOf"].as_array().into_iter().flatten();
    one_of.map(|one| one["enum"].as_array().map_or(1, Vec::len)).sum()
}

/// Every variant of the enums that calls, replies and events hold, in the order of their numbers:
/// name, bytes, how many there are here, how many there are.
pub(crate) fn enums() -> Vec<(&'static str, Vec<u8>, usize, usize)> {
    enums! {
        process::ProcessState: ["runnable", "running", "waiting", "paused", "exited", "failed",
            "killed"];
        WaitOn: [{ "child": "p1" }, { "message": "p1" }, { "human": "req-1" }, "time",
            { "event": "p1" }];
        ForkMode: ["worker", "copy", "speculative"];
        process::OnConflict: ["fail", "child", "parent"];
        BudgetKind: ["syscalls", "tool_calls", "wall", "children", "bytes", "tokens", "cost"];
        process::Signal: ["pause", "resume", "terminate", "cancel"];
        object::Choice: ["order", "recency", "evidence", "plan_first"];
        object::Inclusion: ["pinned", "chosen", "over_budget", "denied", "released"];
        message::MessageKind: ["letter", "interrupt"];
        events::EventKind: ["child_made", "child_ended", "message_came", "object_changed",
            "object_gone", "capability_granted", "capability_revoked", "request_answered"];
        events::Happened: [{ "child_made": { "pid": "p1" } }, { "child_ended": { "pid": "p1" } },
            { "message_came": { "from": null } },
            { "object_changed": { "id": "obj-1.1", "version": 1 } },
            { "object_gone": { "id": "obj-1.1" } },
            { "capability_granted": { "capability": "cap-1" } },
            { "capability_revoked": { "capability": "cap-1" } },
            { "request_answered": { "request": "req-1" } }];
        checkpoint::Change: ["made", "changed", "gone"];
        fs::FileKind: ["file", "dir", "symlink", "other"];
        human::RequestState: ["pending", { "decided": { "decision": { "deny": { "reason": null } },
            "by": "a", "at_ms": 1, "capability": null } }, "cancelled"];
        human::Policy: ["always", "ask_each_time", "never"];
        human::Decision: [{ "approve": { "scope": "once" } }, { "deny": { "reason": null } },
            { "answer": { "text": "a" } }, { "permit": { "policy": "never" } },
            { "extend": { "by": 1 } }, { "known": { "what": "not_done" } }];
        human::Known: ["done", "not_done", "unknown"];
        human::Ask: [{ "approval": { "call": "fs.read", "args": {}, "digest": HASH, "needs": [],
                "asked_by": [] } }, { "question": { "question": "a", "context": null } },
            { "permission": { "on": "fs:a", "rights": ["read"], "reason": "a" } },
            { "extension": { "of": "p1", "kind": "cost", "limit": 1, "used": 1, "more": 2,
                "call": "fs.read" } },
            { "unknown": { "op": "op-1", "call": "shell.run", "args": {} } },
            { "release": { "call": "fs.read", "args": {}, "digest": HASH, "sink": "fs:a",
                "label": { "sensitivity": "public", "integrity": "trusted" },
                "clearance": { "sensitivity": "public", "integrity": "trusted" } } }];
        libos_abi::Effect: ["allow", "ask", "deny"];
        libos_abi::Scope: ["once", { "uses": 1 }, "process", "subtree", { "until": 1 }];
        llm::Finish: ["stop", "tool_calls", "length"];
        http::Looking: ["GET", "HEAD"];
        http::Replacing: ["PUT", "DELETE"];
        http::Sending: ["POST", "PATCH"];
        Origin: ["host", "kernel", { "delegated": { "by": "p1" } },
            { "human": { "request": "req-1" } }];
        libos_abi::Status: ["active", "revoked", "expired", "exhausted", "ended"];
        DenyReason: ["no_grant", { "deny_rule": "cap-1" }, { "conditions": "cap-1" },
            { "exhausted": "cap-1" }, { "limit": "cap-1" }, { "expired": "cap-1" },
            { "revoked": "cap-1" }, "human", "not_for_processes", { "attenuation": "a" },
            { "not_in_tool_table": "a" }, { "manifest": "a" }, { "not_declared": "a" },
            { "clearance": { "label": { "sensitivity": "public", "integrity": "trusted" },
                "clearance": { "sensitivity": "public", "integrity": "trusted" },
                "releasable": true } }, { "not_in_skill": "tidy" }];
        Sensitivity: ["public", "internal", "confidential", "secret"];
        Integrity: ["trusted", "untrusted"];
        Source: ["fs", "shell", "net", "llm", "mcp", "human", "other"];
        Labelled: [{ "process": "p1" }, { "object": "obj-1.1" },
            { "message": { "to": "p1", "id": "msg-1" } },
            { "file": { "workspace": "/w", "on": "fs:a" } },
            { "files": { "workspace": null } }, { "tool": HASH }];
        tool::Language: ["javascript", "typescript", "wat", "component"];
        tool::Stage: ["proposed", "rejected", "validated", "registered"];
    }
}
