//! What must hold of the tools, over a port that is played.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use libos_abi::{
    DenyReason, Digest, Error, Fault, FsPath, Json, ObjectId, OpId, Outcome, Pid, Reply, Syscall,
    Text, fs, object, tool,
};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider};
use libos_tools::{ToolProvider, describe, names};
use serde_json::{Value, json};

type Play = dyn Fn(usize, &Syscall) -> Outcome + Send + Sync;

/// A port that answers as told and records what it was asked.
struct Stage {
    play: Box<Play>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl Port for Stage {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let mut calls = self.calls.lock().unwrap();
        let outcome = (self.play)(calls.len(), &call);
        calls.push((call.info().name.into(), call.args_json().unwrap()));
        Box::pin(async move { outcome })
    }
}

impl Stage {
    fn new(play: impl Fn(usize, &Syscall) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { play: Box::new(play), calls: Mutex::default() })
    }

    fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a played port answers at once"),
    }
}

fn order(stage: &Arc<Stage>, call: Syscall) -> Order {
    Order { pid: Some(Pid(1)), port: stage.clone(), ..Order::alone(OpId(9), call) }
}

fn run(stage: &Arc<Stage>, name: &str, args: Value) -> Result<Value, Error> {
    let args = Json::from(&args);
    let name = name.to_owned();
    let call = tool::CallTool { name, args }.into();
    match ready(ToolProvider.perform(order(stage, call))) {
        EffectOutcome::Done(Reply::Tool(tool::Reply::CallTool(ended))) => {
            Ok(ended.result.value().unwrap())
        }
        EffectOutcome::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn denied() -> Error {
    Fault::denied(None, DenyReason::NoGrant).into()
}

/// A reply made from its JSON, for calls whose reply is of no interest here.
fn reply(call: &Syscall, value: Value) -> Outcome {
    macro_rules! replies {
        ($($service:ident $module:ident: $($Call:ident)*;)*) => {
            match call {
                $($(Syscall::$service(libos_abi::$module::Call::$Call(_)) =>
                    libos_abi::$module::Reply::$Call(serde_json::from_value(value).unwrap())
                        .into(),)*)*
                other => panic!("{} is not played", other.info().name),
            }
        };
    }
    Ok(replies! {
        Fs fs: Read Write List Mkdir Delete Stat Edit Patch Append Rename Search Glob Watch;
        Shell shell: Run;
        Skill skill: List Activate Unload ReadFile;
        Clock clock: GetNow Sleep;
        Http http: Fetch Replace Send;
        Rpc rpc: Query Invoke;
        Object object: Create Read Update List Append ListEntries MakeLink Unlink ListLinks Query Transfer
            Release MakeView Materialize;
        Human human: AskQuestion Output RequestPermission;
        Process process: Spawn WaitChild List Fork Exec SendSignal Merge Discard StartTask ListTasks
            ActivateTools;
        Message message: Send Receive Peek;
        Event events: Subscribe WaitEvents;
        Checkpoint checkpoint: Create List Fork;
        Tool tool: ListGroups Propose Validate Register Unregister Inspect ListGenerated Promote;
        Capability capability: List Explain Delegate Revoke;
    })
}

/// A tool that is one call: these arguments make this call, its reply is the result, and its
/// denial is the denial of the tool.
#[track_caller]
fn passes_on(name: &str, args: Value, call: &str, call_args: Value, answer: Value) {
    let played = answer.clone();
    let stage = Stage::new(move |_, call| reply(call, played.clone()));
    assert_eq!(run(&stage, name, args.clone()), Ok(answer));
    let mut calls = stage.calls();
    assert_eq!(calls.len(), 1);
    let (called, mut called_args) = calls.remove(0);
    assert_eq!(called, call);
    // Absent arguments print as null.
    called_args.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(called_args, call_args);

    let stage = Stage::new(|_, _| Err(denied()));
    assert_eq!(run(&stage, name, args), Err(denied()));

    let stage = Stage::new(|_, _| panic!("nothing may be called"));
    let error = run(&stage, name, json!({"no_such_argument": 1})).unwrap_err();
    assert_eq!(error.code(), "bad_arguments");
}

const DIGEST: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

#[test]
fn file_tools_pass_on() {
    passes_on(
        "read_file",
        json!({"path": "a", "max_bytes": 9, "into": "file"}),
        "fs.read",
        json!({"path": "a", "max_bytes": 9, "into": "file"}),
        json!({"text": "hi", "bytes": 2, "truncated": false, "digest": DIGEST,
               "object": {"id": "obj-1.1", "bytes": 2}}),
    );
    passes_on(
        "write_file",
        json!({"path": "a", "text": "hi", "overwrite": false}),
        "fs.write",
        json!({"path": "a", "text": "hi", "overwrite": false}),
        json!({"path": "workspace/a", "bytes": 2, "created": true, "digest": DIGEST}),
    );
    passes_on(
        "list_folder",
        json!({}),
        "fs.list",
        json!({}),
        json!({"entries": [{"name": "a", "kind": "file", "bytes": 1}], "truncated": false}),
    );
    passes_on(
        "make_folder",
        json!({"path": "a/b"}),
        "fs.mkdir",
        json!({"path": "a/b"}),
        json!({"path": "workspace/a/b", "created": true}),
    );
    passes_on(
        "delete_file",
        json!({"path": "a", "missing_ok": true}),
        "fs.delete",
        json!({"path": "a", "missing_ok": true}),
        json!({"path": "workspace/a", "removed": true}),
    );
    passes_on(
        "stat_file",
        json!({"path": "a"}),
        "fs.stat",
        json!({"path": "a"}),
        json!({"kind": "file", "bytes": 1, "modified_at_ms": 5}),
    );
}

#[test]
fn tools_that_change_files_pass_on() {
    let written = json!({"path": "workspace/a", "bytes": 2, "created": false, "digest": DIGEST});
    let args = json!({"path": "a", "old": "x", "new": "y", "count": 2, "expected_digest": DIGEST});
    passes_on("edit_file", args.clone(), "fs.edit", args, written.clone());
    let args = json!({"path": "a", "diff": "@@", "expected_digest": DIGEST});
    passes_on("patch_file", args.clone(), "fs.patch", args, written);
    let args = json!({"path": "a", "text": "x"});
    let appended = json!({"path": "workspace/a", "bytes": 1, "created": true});
    passes_on("append_to_file", args.clone(), "fs.append", args, appended);
    let args = json!({"from": "a", "to": "b", "overwrite": true});
    let renamed = json!({"from": "workspace/a", "to": "workspace/b", "replaced": false});
    passes_on("rename_file", args.clone(), "fs.rename", args, renamed);
}

/// What is found can be called with, whatever the working directory.
#[test]
fn tools_that_find_give_paths_to_call_with() {
    let found = |name: &str, args: Value, answer: Value| {
        let stage = Stage::new(move |_, call| reply(call, answer.clone()));
        run(&stage, name, args).unwrap()
    };
    let line = json!({"path": "data/src/a", "line": 3, "text": "x"});
    let got = found("search_files", json!({"pattern": "x"}), json!({"lines": [line], "next": 7}));
    let line = json!({"path": "fs:data/src/a", "line": 3, "text": "x"});
    assert_eq!(got, json!({"lines": [line], "next": 7}));
    let entry =
        |path| json!({"entries": [{"path": path, "kind": "dir", "bytes": 0}], "next": null});
    let got = found("find_files", json!({"path": "src", "pattern": "*"}), entry("workspace/src/a"));
    assert_eq!(got, entry("fs:workspace/src/a"));
}

#[test]
fn host_tools_pass_on() {
    passes_on(
        "run_command",
        json!({"argv": ["echo", "hi"], "cwd": "a", "timeout_ms": "2s", "stdin": "x",
               "secrets": [{"name": "key", "at": "TOKEN"}]}),
        "shell.run",
        json!({"argv": ["echo", "hi"], "cwd": "a", "timeout_ms": 2000, "stdin": "x",
               "secrets": [{"name": "key", "at": "TOKEN"}]}),
        json!({"exit_code": 0, "signal": null, "stdout": "hi\n", "stderr": "", "truncated": false,
               "wall_ms": 3, "user_ms": 2, "system_ms": 1, "max_rss_kib": 9, "program": null,
               "notes": [], "stdout_object": null, "stderr_object": null}),
    );
    passes_on(
        "get_time",
        json!({}),
        "clock.now",
        json!({}),
        json!({"unix_ms": 0, "iso8601": "1970-01-01T00:00:00.000Z"}),
    );
    passes_on(
        "sleep",
        json!({"ms": 5}),
        "clock.sleep",
        json!({"ms": 5}),
        json!({"ms": 5, "elapsed_ms": 6}),
    );
}

#[test]
fn network_tools_pass_on() {
    let answer = json!({"status": 200, "headers": [], "body": "hi", "base64": false, "bytes": 2,
                        "digest": DIGEST, "truncated": false, "redirect": null, "object": null});
    let common = json!({"url": "https://a.b/c", "headers": [{"name": "accept", "value": "x"}],
                        "secrets": [{"name": "key", "at": "authorization", "prefix": "Bearer "}],
                        "max_bytes": 9, "timeout_ms": 2000});
    let with = |more: Value| {
        let mut args = common.clone();
        let more = more.as_object().unwrap().clone();
        args.as_object_mut().unwrap().extend(more);
        args
    };
    passes_on(
        "http_get",
        common.clone(),
        "http.fetch",
        with(json!({"method": "GET"})),
        answer.clone(),
    );
    for (name, call) in [("rpc_query", "rpc.query"), ("rpc_call", "rpc.call")] {
        let args = json!({"endpoint": "e", "method": "m", "params": [1], "timeout_ms": 2000});
        passes_on(name, args.clone(), call, args, json!({"result": {"a": 1}}));
    }
    for (method, call) in [
        ("PUT", "http.replace"),
        ("DELETE", "http.replace"),
        ("POST", "http.send"),
        ("PATCH", "http.send"),
    ] {
        let args = with(json!({"method": method, "body": "b"}));
        passes_on("http_send", args.clone(), call, args, answer.clone());
    }
}

#[test]
fn object_tools_pass_on() {
    let handle = json!({"id": "obj-1.1", "version": 1, "digest": DIGEST});
    passes_on(
        "create_object",
        json!({"type": "t", "payload": {"a": [1]}, "name": "n", "namespace": "s",
               "parents": ["obj-1.7"], "tags": ["w"], "immutable": true}),
        "object.create",
        json!({"type": "t", "payload": {"a": [1]}, "name": "n", "namespace": "s",
               "parents": ["obj-1.7"], "tags": ["w"], "immutable": true}),
        handle.clone(),
    );
    passes_on(
        "read_object",
        json!({"id": "obj-1.1"}),
        "object.read",
        json!({"id": "obj-1.1"}),
        json!({"id": "obj-1.1", "type": "t", "version": 1, "payload": {"a": 1}, "appended": []}),
    );
    passes_on(
        "update_object",
        json!({"id": "obj-1.1", "payload": "x", "expected_version": 2}),
        "object.update",
        json!({"id": "obj-1.1", "payload": "x", "expected_version": 2}),
        handle.clone(),
    );
    passes_on(
        "append_object",
        json!({"id": "obj-1.1", "entry": {"n": 1}, "expected_version": 2}),
        "object.append",
        json!({"id": "obj-1.1", "entry": {"n": 1}, "expected_version": 2}),
        handle.clone(),
    );
    passes_on(
        "read_entries",
        json!({"id": "obj-1.1", "skip": 2}),
        "object.entries",
        json!({"id": "obj-1.1", "skip": 2}),
        json!({"version": 3, "entries": ["a"], "next": null}),
    );
    passes_on(
        "transfer_object",
        json!({"id": "obj-1.1", "to": "p2"}),
        "object.transfer",
        json!({"id": "obj-1.1", "to": "p2"}),
        handle.clone(),
    );
    let id = json!({"id": "obj-1.1"});
    passes_on("release_object", id.clone(), "object.release", id, handle);
    passes_on(
        "list_objects",
        json!({"type": "t", "after": "obj-1.1"}),
        "object.list",
        json!({"type": "t", "after": "obj-1.1"}),
        json!({"objects": [], "more_after": null}),
    );
}

#[test]
fn tools_that_find_and_connect_objects_pass_on() {
    let query = json!({"space": "p2", "type": "t", "tag": "w", "name_prefix": "n",
        "parent": "obj-1.7", "since_ms": 5, "after": "obj-2.1", "limit": 10});
    passes_on(
        "query_objects",
        query.clone(),
        "object.query",
        query,
        json!({"objects": [], "more_after": null}),
    );
    let link = json!({"from": "obj-1.1", "relation": "cites", "to": "obj-1.2"});
    let links = json!({"links": [link]});
    passes_on("link_objects", link.clone(), "object.link", link.clone(), links.clone());
    passes_on("unlink_objects", link.clone(), "object.unlink", link, links.clone());
    let id = json!({"id": "obj-1.1"});
    passes_on("list_links", id.clone(), "object.links", id, links);
}

#[test]
fn view_tools_pass_on() {
    passes_on(
        "make_view",
        json!({"items": [{"id": "obj-1.1"}, {"id": "obj-1.2", "pinned": true}], "from": "view-1"}),
        "object.make_view",
        json!({"items": [{"id": "obj-1.1", "pinned": false}, {"id": "obj-1.2", "pinned": true}],
               "from": "view-1"}),
        json!({"id": "view-2", "owner": "p1", "items": [], "from": "view-1", "at_ms": 5}),
    );
    let args = json!({"view": "view-2", "tokens": 100, "choice": "plan_first"});
    passes_on(
        "materialize_view",
        args.clone(),
        "object.materialize",
        args,
        json!({"items": [], "manifest": [], "tokens": 0}),
    );
}

#[test]
fn human_tools_pass_on() {
    passes_on(
        "ask_human",
        json!({"question": "q", "context": "c"}),
        "human.ask",
        json!({"question": "q", "context": "c"}),
        json!({"answer": "42"}),
    );
    passes_on(
        "tell_human",
        json!({"message": "m"}),
        "human.output",
        json!({"message": "m"}),
        json!({"human": "owner"}),
    );
    passes_on(
        "request_permission",
        json!({"on": "fs:workspace/*", "rights": ["read"], "reason": "r"}),
        "human.request_permission",
        json!({"on": "fs:workspace/*", "rights": ["read"], "reason": "r"}),
        json!({"policy": "always", "capability": "cap-3"}),
    );
}

#[test]
fn process_tools_pass_on() {
    let grants = json!([{"effect": "allow", "on": "fs:workspace/*", "rights": ["read"]}]);
    passes_on(
        "spawn_child",
        json!({"goal": "g", "grants": grants, "script": "{}", "image": "i", "cwd": "c",
               "budget": {"syscalls": 5}}),
        "process.spawn",
        json!({"goal": "g", "grants": grants, "image": "i", "cwd": "c", "budget": {"syscalls": 5},
               "planner": {"kind": "script", "program": "{}"}}),
        json!({"pid": "p2", "capabilities": ["cap-1"]}),
    );
    passes_on(
        "wait_child",
        json!({"pid": "p2", "timeout_ms": 0}),
        "process.wait",
        json!({"pid": "p2", "timeout_ms": 0}),
        json!({"pid": "p2", "state": "exited", "result": "obj-1.1", "message": null, "code": null}),
    );
    passes_on(
        "list_children",
        json!({"after": "p2", "live": true}),
        "process.list",
        json!({"after": "p2", "live": true}),
        json!({"processes": [], "more_after": null}),
    );
    passes_on(
        "fork_child",
        json!({"goal": "g", "mode": "worker", "roots": ["obj-1.1"], "grants": grants,
               "script": "{}", "cwd": "c", "budget": {"bytes": 5}}),
        "process.fork",
        json!({"goal": "g", "mode": "worker", "roots": ["obj-1.1"], "grants": grants, "cwd": "c",
               "budget": {"bytes": 5}, "planner": {"kind": "script", "program": "{}"}}),
        json!({"pid": "p2", "capabilities": []}),
    );
    let signal = json!({"pid": "p2", "signal": "cancel", "reason": "late"});
    passes_on(
        "signal_child",
        signal.clone(),
        "process.signal",
        signal,
        json!({"state": "waiting"}),
    );
    passes_on(
        "merge_child",
        json!({"pid": "p2", "on_conflict": "child"}),
        "process.merge",
        json!({"pid": "p2", "on_conflict": "child"}),
        json!({"adopted": [], "updated": ["obj-1.1"], "kept": []}),
    );
    passes_on(
        "discard_child",
        json!({"pid": "p2"}),
        "process.discard",
        json!({"pid": "p2"}),
        json!({"objects": 3}),
    );
    passes_on(
        "exec_image",
        json!({"image": "i", "goal": "g", "script": "{}", "keep": ["cap-1"],
               "keep_objects": false}),
        "process.exec",
        json!({"image": "i", "goal": "g", "keep": ["cap-1"], "keep_objects": false,
               "planner": {"kind": "script", "program": "{}"}}),
        json!({"state": "runnable"}),
    );
    let task = json!({"owner": "obj-1.1", "tool": "read_file", "args": {"path": "a"},
        "grants": grants, "budget": {"bytes": 5}});
    passes_on(
        "start_task",
        task.clone(),
        "process.start_task",
        task,
        json!({"pid": "p3", "capabilities": ["cap-2"]}),
    );
    let owner = json!({"owner": "obj-1.1"});
    passes_on(
        "list_tasks",
        owner.clone(),
        "process.tasks",
        owner,
        json!({"processes": [], "more_after": null}),
    );
}

#[test]
fn checkpoint_tools_pass_on() {
    let reason = json!({"reason": "before"});
    let checkpoint = json!({"id": "ckpt-1.1", "reason": "before", "by": "p1", "op": "op-3",
        "at_ms": 5, "processes": 1, "objects": 2, "capabilities": 3});
    passes_on("create_checkpoint", reason.clone(), "checkpoint.create", reason, checkpoint.clone());
    let after = json!({"after": "ckpt-1.1"});
    let list = json!({"checkpoints": [checkpoint], "more_after": null});
    passes_on("list_checkpoints", after.clone(), "checkpoint.list", after, list);
    let which = json!({"checkpoint": "ckpt-1.1"});
    let forked = json!({"pid": "p2",
        "processes": [{"from": "p1", "to": "p2", "parent": "p1"}]});
    passes_on("fork_checkpoint", which.clone(), "checkpoint.fork", which, forked);
}

#[test]
fn message_and_event_tools_pass_on() {
    let message = json!({"to": "p2", "body": "b", "subject": "s", "payload": [1],
        "kind": "interrupt", "channel": "c", "correlation": "k", "reply_to": "msg-1"});
    passes_on("send_message", message.clone(), "message.send", message, json!({"id": "msg-2"}));
    let filter = json!({"from": "p2", "subject": "s", "limit": 1, "timeout_ms": 10,
        "channel": "c", "correlation": "k", "reply_to": "msg-1"});
    let none = json!({"messages": []});
    passes_on("receive_messages", filter.clone(), "message.receive", filter, none.clone());
    let filter = json!({"from": "p2", "channel": "c", "limit": 1});
    passes_on("peek_messages", filter.clone(), "message.peek", filter, none);
    let subscription = json!({"kinds": ["object_changed", "object_gone"], "object": "obj-1.1"});
    passes_on(
        "subscribe_events",
        subscription.clone(),
        "event.subscribe",
        subscription,
        json!({"subscriptions": []}),
    );
    passes_on(
        "wait_events",
        json!({"limit": 3, "timeout_ms": 0}),
        "event.wait",
        json!({"limit": 3, "timeout_ms": 0}),
        json!({"events": [], "cursor": 4, "dropped": 0}),
    );
}

#[test]
fn tools_over_the_groups_of_tools_pass_on() {
    passes_on(
        "list_tool_groups",
        json!({}),
        "tool.groups",
        json!({}),
        json!({"groups": [{"name": "files", "description": "d", "tools": [], "active": true}]}),
    );
    let group = json!({"group": "files"});
    let groups = json!({"groups": ["files"]});
    passes_on("activate_tools", group.clone(), "process.activate_tools", group, groups);
}

#[test]
fn tools_over_tools_of_ones_own_pass_on() {
    let digest = "00".repeat(32);
    let tool = json!({
        "name": "count", "description": "", "language": "wat", "source": "(module)",
        "input": true, "needs": [{ "call": "fs.read" }], "tests": [],
    });
    let status = json!({
        "of": "p1", "name": "count", "description": "", "language": "wat", "digest": digest,
        "stage": "proposed",
    });
    let report = json!({ "name": "count", "digest": digest, "passed": true, "tests": [] });
    let named = json!({ "name": "count" });
    let proposed = json!({ "tool": tool });
    passes_on("propose_tool", tool.clone(), "tool.propose", proposed, status.clone());
    passes_on("validate_tool", named.clone(), "tool.validate", named.clone(), report.clone());
    passes_on("register_tool", named.clone(), "tool.register", named.clone(), status.clone());
    passes_on("unregister_tool", named.clone(), "tool.unregister", named.clone(), status.clone());
    let details = json!({ "status": status, "tool": tool, "report": report });
    passes_on("inspect_tool", named.clone(), "tool.inspect", named.clone(), details.clone());
    let listed = json!({ "tools": [status] });
    passes_on("list_generated_tools", json!({}), "tool.generated", json!({}), listed);

    // What is promoted is what was looked at.
    let image = json!({ "name": "ours", "version": "2", "description": "", "prompt": "",
        "tools": ["count"], "required_capabilities": [], "tool_groups": [], "budget": {},
        "generated": [], "seed": [], "skills": [] });
    let answers = [details, image.clone()];
    let stage = Stage::new(move |index, call| reply(call, answers[index].clone()));
    let args = json!({ "name": "count", "image": "ours", "version": "2" });
    assert_eq!(run(&stage, "promote_tool", args), Ok(image));
    let (call, args) = stage.calls().remove(1);
    assert_eq!(call, "tool.promote");
    assert_eq!(args["digest"], digest);
}

#[test]
fn tools_over_skills_pass_on() {
    let digest = "00".repeat(32);
    let active = json!({ "name": "tidy", "digest": digest, "allowed_tools": null });
    let info = json!({ "name": "tidy", "description": "d", "digest": digest,
        "allowed_tools": ["read_file"], "active": true });
    let (none, tidy) = (json!({}), json!({ "skill": "tidy" }));
    passes_on("list_skills", none.clone(), "skill.list", none, json!({ "skills": [info] }));
    let activated = json!({ "skill": active, "text": "Tidy up.", "files": ["a.md"] });
    passes_on("activate_skill", tidy.clone(), "skill.activate", tidy.clone(), activated);
    passes_on("unload_skill", tidy.clone(), "skill.unload", tidy, Value::Null);
    let file = json!({ "skill": "tidy", "file": "a.md" });
    let read = json!({ "path": "a.md", "text": "more" });
    passes_on("read_skill_resource", file.clone(), "skill.read", file, read);
}

#[test]
fn authority_tools_pass_on() {
    passes_on(
        "list_capabilities",
        json!({"after": "cap-3"}),
        "capability.list",
        json!({"after": "cap-3"}),
        json!({"capabilities": [], "more_after": null}),
    );
    passes_on(
        "explain_capability",
        json!({"right": "read", "on": "fs:workspace/a"}),
        "capability.explain",
        json!({"right": "read", "on": "fs:workspace/a"}),
        json!({"need": {"right": "read", "on": "fs:workspace/a"}, "effect": "deny",
               "reason": "no_grant", "weighed": [], "text": "no"}),
    );
    let grant = json!({"effect": "allow", "on": "fs:workspace/*", "rights": ["read"]});
    passes_on(
        "delegate_capability",
        json!({"to": "p2", "grant": grant}),
        "capability.delegate",
        json!({"to": "p2", "grant": grant}),
        json!({"capability": "cap-4"}),
    );
    passes_on(
        "revoke_capability",
        json!({"capability": "cap-4", "reason": "done"}),
        "capability.revoke",
        json!({"capability": "cap-4", "reason": "done"}),
        json!({"capabilities": ["cap-4"]}),
    );
}

/// Folders, files and objects: `denied` names are denied, `binary` ones are no text.
struct World {
    files: BTreeMap<String, String>,
    objects: BTreeMap<ObjectId, (String, Value)>,
    appended: Vec<Value>,
}

impl World {
    fn with_files(files: &[(&str, &str)]) -> Self {
        let own = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Self {
            files: files.iter().map(own).collect(),
            objects: BTreeMap::new(),
            appended: Vec::new(),
        }
    }

    fn with_objects(objects: &[(u64, &str, Value)]) -> Self {
        let own = |(id, r#type, value): &(u64, &str, Value)| {
            (ObjectId::new(1, *id), ((*r#type).to_owned(), value.clone()))
        };
        Self {
            files: BTreeMap::new(),
            objects: objects.iter().map(own).collect(),
            appended: Vec::new(),
        }
    }

    fn stage(self) -> Arc<Stage> {
        Stage::new(move |_, call| self.answer(call))
    }

    fn answer(&self, call: &Syscall) -> Outcome {
        match call {
            Syscall::Fs(fs::Call::List(call)) => self.list(call),
            Syscall::Fs(fs::Call::Read(call)) => self.read(&call.path),
            Syscall::Fs(fs::Call::Write(call)) => Ok(fs::Reply::Write(fs::Written {
                path: FsPath::from(format!("workspace/{}", call.path).as_str()),
                bytes: call.text.bytes(),
                created: true,
                digest: call.text.digest(),
                before: fs::Before::Absent,
            })
            .into()),
            Syscall::Object(object::Call::Create(call)) => {
                Ok(object::Reply::Create(object::Handle {
                    id: ObjectId::new(1, 50),
                    version: 1,
                    digest: call.payload.0.digest(),
                })
                .into())
            }
            Syscall::Object(object::Call::Read(call)) => {
                let (r#type, payload) = self.objects.get(&call.id).ok_or_else(denied)?;
                Ok(object::Reply::Read(object::Object {
                    id: call.id,
                    r#type: r#type.as_str().into(),
                    version: 1,
                    payload: Json::from(payload),
                    appended: self.appended.iter().map(Json::from).collect(),
                })
                .into())
            }
            other => panic!("{} is not played", other.info().name),
        }
    }

    /// Entries come in reverse, so that the tool has to sort them.
    fn list(&self, call: &fs::List) -> Outcome {
        let folder = call
            .path
            .0
            .as_ref()
            .map_or(String::new(), |path| format!("{}/", path.0.trim_end_matches('/')));
        if folder.contains("denied") {
            return Err(denied());
        }
        let mut entries: BTreeMap<String, (fs::FileKind, u64)> = BTreeMap::new();
        for (path, text) in &self.files {
            let Some(rest) = path.strip_prefix(&folder) else {
                continue;
            };
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name.into(), (fs::FileKind::Dir, 0)),
                None if rest == "link" => entries.insert(rest.into(), (fs::FileKind::Symlink, 0)),
                None if rest == "huge" => {
                    entries.insert(rest.into(), (fs::FileKind::File, 2_000_000))
                }
                None => entries.insert(rest.into(), (fs::FileKind::File, text.len() as u64)),
            };
        }
        if entries.is_empty() {
            return Err(fs::FailureKind::NotFound.because("nothing is there"));
        }
        let entry = |(name, (kind, bytes))| fs::DirEntry { name, kind, bytes };
        Ok(fs::Reply::List(fs::Listing {
            entries: entries.into_iter().rev().map(entry).collect(),
            truncated: folder == "cut/",
        })
        .into())
    }

    fn read(&self, path: &FsPath) -> Outcome {
        let name = path.0.rsplit('/').next().unwrap();
        match name {
            "denied" => return Err(denied()),
            "binary" => return Err(fs::FailureKind::NotText.because("no UTF-8")),
            "gone" => return Err(fs::FailureKind::NotFound.because("nothing is there")),
            "broken" => {
                let kind = "io".to_owned();
                return Err(Fault::ProviderFailed { kind, op: OpId(1) }.into());
            }
            _ => {}
        }
        let text = &self.files[&*path.0];
        Ok(fs::Reply::Read(fs::FileText {
            text: Text::from(text.as_str()),
            bytes: text.len() as u64,
            truncated: name == "grown",
            digest: Digest::of(text.as_bytes()),
            object: None,
        })
        .into())
    }
}

#[test]
fn file_to_object_keeps_the_text_out_of_its_result() {
    let stage = World::with_files(&[("a.txt", "top secret")]).stage();
    let digest = Digest::of(b"top secret").to_string();
    let result = run(&stage, "file_to_object", json!({"path": "a.txt"})).unwrap();
    assert_eq!(result, json!({"id": "obj-1.50", "digest": digest, "bytes": 10}));
    let (_, create) = &stage.calls()[1];
    assert_eq!(create["type"], "file");
    let payload = json!({"path": "a.txt", "text": "top secret", "digest": digest});
    assert_eq!(create["payload"], payload);
}

#[test]
fn file_to_object_passes_on_failures_and_refuses_a_part() {
    let stage = World::with_files(&[("grown", "x")]).stage();
    let error = run(&stage, "file_to_object", json!({"path": "gone"})).unwrap_err();
    assert_eq!(error.code(), "not_found");
    let error = run(&stage, "file_to_object", json!({"path": "grown"})).unwrap_err();
    assert_eq!(error.code(), "tool_failed");
    assert_eq!(error.to_string(), "`grown` is over the limit of 1048576 bytes");
    assert!(stage.calls().iter().all(|(name, _)| name == "fs.read"));
}

#[test]
fn object_to_file_writes_a_text_a_field_or_json() {
    let objects = [
        (1, "t", json!("plain")),
        (2, "file", json!({"path": "a", "text": "field"})),
        (3, "n", json!([1])),
    ];
    for (args, text) in [
        (json!({"id": "obj-1.1", "path": "out"}), "plain"),
        (json!({"id": "obj-1.2", "path": "out", "field": "text"}), "field"),
        (json!({"id": "obj-1.3", "path": "out"}), "[\n  1\n]\n"),
    ] {
        let stage = World::with_objects(&objects).stage();
        let result = run(&stage, "object_to_file", args).unwrap();
        let digest = Digest::of(text.as_bytes());
        let bytes = text.len();
        let expected = json!({"path": "workspace/out", "bytes": bytes, "digest": digest});
        assert_eq!(result, expected);
        assert_eq!(stage.calls()[1].1["text"], text);
    }
}

#[test]
fn what_was_appended_to_an_object_belongs_to_its_payload() {
    let mut world = World::with_objects(&[(1, "log", json!([1])), (2, "log", json!([2]))]);
    world.appended = vec![json!({"n": 8}), json!(9)];
    let stage = world.stage();
    run(&stage, "merge_objects", json!({"ids": ["obj-1.1", "obj-1.2"]})).unwrap();
    let (_, create) = stage.calls()[2].clone();
    assert_eq!(create["payload"], json!([1, {"n": 8}, 9, 2, {"n": 8}, 9]));
    run(&stage, "object_to_file", json!({"id": "obj-1.1", "path": "out"})).unwrap();
    let (_, write) = stage.calls()[4].clone();
    let text: Value = serde_json::from_str(write["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, json!([1, {"n": 8}, 9]));
}

#[test]
fn object_to_file_refuses_what_is_no_text_and_what_it_may_not_read() {
    let stage = World::with_objects(&[(1, "t", json!({"n": 1}))]).stage();
    for field in ["n", "missing"] {
        let args = json!({"id": "obj-1.1", "path": "out", "field": field});
        let error = run(&stage, "object_to_file", args).unwrap_err();
        assert_eq!(error.code(), "tool_failed");
        assert!(error.to_string().contains(field));
    }
    let args = json!({"id": "obj-1.9", "path": "out"});
    assert_eq!(run(&stage, "object_to_file", args), Err(denied()));
    assert!(stage.calls().iter().all(|(name, _)| name == "object.read"));
}

fn tree() -> World {
    World::with_files(&[
        ("src/b.rs", "one\ntwo\n"),
        ("src/a.RS", "1234567890"),
        ("src/deep/c.txt", "x"),
        ("src/deep/README", ""),
        ("src/denied", "never"),
        ("src/denied2/x", "never"),
        ("src/binary", "never"),
        ("src/gone", "never"),
        ("src/grown", "never"),
        ("src/huge", "never"),
        ("src/link", "never"),
        ("src/target/x.rs", "never"),
        ("src/.git/x.rs", "never"),
        ("src/node_modules/x.rs", "never"),
        ("src/.libos/x.rs", "never"),
    ])
}

#[test]
fn survey_sums_up_what_it_may_read() {
    let stage = tree().stage();
    let result = run(&stage, "survey_folder", json!({"path": "src"})).unwrap();
    assert_eq!(result, json!({"id": "obj-1.50", "files": 4, "lines": 4, "bytes": 19}));
    let calls = stage.calls();
    let (name, create) = calls.last().unwrap();
    assert_eq!((name.as_str(), &create["type"]), ("object.create", &json!("survey")));
    assert_eq!(
        create["payload"],
        json!({
            "folder": "src", "files": 4, "lines": 4, "bytes": 19,
            "by_extension": {
                "(none)": {"files": 1, "lines": 0, "bytes": 0},
                "rs": {"files": 2, "lines": 3, "bytes": 18},
                "txt": {"files": 1, "lines": 1, "bytes": 1},
            },
            "largest": [
                {"path": "src/a.RS", "bytes": 10, "lines": 1},
                {"path": "src/b.rs", "bytes": 8, "lines": 2},
                {"path": "src/deep/c.txt", "bytes": 1, "lines": 1},
                {"path": "src/deep/README", "bytes": 0, "lines": 0},
            ],
            "skipped": 5, "denied": 2, "left_out": 0,
        })
    );
    let visited: Vec<_> =
        calls[..calls.len() - 1].iter().map(|(_, args)| args["path"].as_str().unwrap()).collect();
    assert_eq!(
        visited,
        [
            "src",
            "src/a.RS",
            "src/b.rs",
            "src/binary",
            "src/deep",
            "src/deep/README",
            "src/deep/c.txt",
            "src/denied",
            "src/denied2",
            "src/gone",
            "src/grown",
        ]
    );
}

#[test]
fn survey_takes_a_filter_a_limit_and_the_working_directory() {
    let stage = tree().stage();
    let args = json!({"path": "src", "extensions": [".rs", "TXT"]});
    let result = run(&stage, "survey_folder", args).unwrap();
    assert_eq!(result["files"], 3);
    let stage = tree().stage();
    run(&stage, "survey_folder", json!({"path": "src/", "max_files": 1})).unwrap();
    let payload = stage.calls().last().unwrap().1["payload"].clone();
    assert_eq!(payload["files"], 1);
    assert_eq!(payload["largest"][0]["path"], "src/a.RS");
    // b.rs, binary, deep/README, deep/c.txt, denied, gone, grown; the huge file is one too.
    assert_eq!(payload["left_out"], 8);
    let stage = World::with_files(&[("a", "x"), ("cut/a", "y")]).stage();
    run(&stage, "survey_folder", json!({})).unwrap();
    let payload = stage.calls().last().unwrap().1["payload"].clone();
    assert_eq!((&payload["folder"], &payload["files"]), (&json!("."), &json!(2)));
    assert_eq!(payload["left_out"], 1, "a listing that was cut");
}

#[test]
fn survey_names_the_ten_largest() {
    let texts: Vec<(String, String)> =
        (0..15).map(|n| (format!("f/{n:02}"), "x".repeat(n / 2))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let stage = World::with_files(&files).stage();
    run(&stage, "survey_folder", json!({"path": "f"})).unwrap();
    let payload = stage.calls().last().unwrap().1["payload"].clone();
    let largest: Vec<_> = payload["largest"].as_array().unwrap().iter().collect();
    let paths: Vec<_> = largest.iter().map(|l| l["path"].as_str().unwrap()).collect();
    let expected = ["f/14", "f/12", "f/13", "f/10", "f/11", "f/08", "f/09", "f/06", "f/07", "f/04"];
    assert_eq!(paths, expected);
}

#[test]
fn survey_ends_with_an_error_it_cannot_count() {
    let stage = tree().stage();
    let error = run(&stage, "survey_folder", json!({"path": "denied"})).unwrap_err();
    assert_eq!(error, denied(), "the folder itself must be readable");
    let stage = World::with_files(&[("f/broken", "")]).stage();
    let error = run(&stage, "survey_folder", json!({"path": "f"})).unwrap_err();
    assert_eq!(error.code(), "provider_failed");
}

#[test]
fn merge_sums_surveys_up() {
    let survey = |folder: &str, n: u64| {
        json!({"folder": folder, "files": n, "by_extension": {"rs": {"files": n}},
               "largest": [{"path": folder, "bytes": n}]})
    };
    let objects = [(1, "survey", survey("b", 1)), (2, "survey", survey("a", 2))];
    let stage = World::with_objects(&objects).stage();
    let result = run(&stage, "merge_objects", json!({"ids": ["obj-1.1", "obj-1.2"]})).unwrap();
    assert_eq!(result, json!({"id": "obj-1.50"}));
    let (_, create) = stage.calls()[2].clone();
    assert_eq!(create["type"], "survey");
    assert_eq!(create["parents"], json!(["obj-1.1", "obj-1.2"]));
    assert_eq!(
        create["payload"],
        json!({
            "folder": ["a", "b"], "files": 3, "by_extension": {"rs": {"files": 3}},
            "largest": [{"path": "b", "bytes": 1}, {"path": "a", "bytes": 2}],
        })
    );
}

#[test]
fn merge_names_its_type_and_passes_on_denials() {
    let objects = [(1, "a", json!(1)), (2, "b", json!(2))];
    let stage = World::with_objects(&objects).stage();
    run(&stage, "merge_objects", json!({"ids": ["obj-1.1", "obj-1.2"]})).unwrap();
    run(&stage, "merge_objects", json!({"ids": ["obj-1.1", "obj-1.2"], "type": "sum"})).unwrap();
    let types: Vec<_> =
        stage.calls().iter().filter_map(|(_, args)| args.get("type").cloned()).collect();
    assert_eq!(types, ["merged", "sum"]);
    let stage = World::with_objects(&objects).stage();
    let args = json!({"ids": ["obj-1.1", "obj-1.9"]});
    assert_eq!(run(&stage, "merge_objects", args), Err(denied()));
    for bad in [json!({"ids": []}), json!({"ids": ["obj-1.1", "obj-1.1"]})] {
        let error = run(&stage, "merge_objects", bad).unwrap_err();
        assert_eq!(error.code(), "bad_arguments");
    }
}

#[track_caller]
fn refuses(name: &str, args: Value, expected: &str) {
    let stage = Stage::new(|_, _| panic!("nothing may be called"));
    let error = run(&stage, name, args).unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), ("bad_arguments", expected));
}

#[test]
fn arguments_that_do_not_fit_are_refused_with_their_path() {
    refuses("read_file", json!({}), "at `/`: \"path\" is a required property");
    refuses("read_file", json!({"path": 7}), "at `/path`: 7 is not of type \"string\"");
    refuses("run_command", json!({"argv": ["a", 1]}), "at `/argv/1`: 1 is not of type \"string\"");
    refuses(
        "get_time",
        json!({"zone": 1}),
        "at `/`: Additional properties are not allowed ('zone' was unexpected)",
    );
    refuses("get_time", json!([]), "at `/`: [] is not of type \"object\"");
    refuses(
        "request_permission",
        json!({"on": "fs", "rights": ["read"], "reason": ""}),
        "`fs` is no pattern: it has no kind; write `kind:name`, as in `fs:workspace/*`",
    );
}

#[test]
fn a_fault_of_an_argument_quotes_only_a_part_of_it() {
    let stage = Stage::new(|_, _| panic!("nothing may be called"));
    let args = json!({"ms": "x".repeat(1_000_000)});
    let error = run(&stage, "sleep", args).unwrap_err();
    assert!(error.to_string().len() < 2_000);
}

#[test]
fn an_unknown_tool_is_refused() {
    let stage = Stage::new(|_, _| panic!("nothing may be called"));
    let error = run(&stage, "no_such_tool", json!({})).unwrap_err();
    assert_eq!(error.code(), "unknown_tool");
    assert!(describe("no_such_tool").is_none());
}

#[test]
fn another_call_than_a_tools_is_not_served() {
    let stage = Stage::new(|_, _| panic!("nothing may be called"));
    let call = tool::List {}.into();
    let EffectOutcome::Failed(error) = ready(ToolProvider.perform(order(&stage, call))) else {
        panic!("tool.list is the kernel's")
    };
    assert_eq!(error.code(), "unsupported");
    assert_eq!(ToolProvider.serves(), ["tool"]);
}

#[test]
fn every_tool_is_described() {
    assert_eq!(names().count(), 76);
    for name in names() {
        let info = describe(name).unwrap();
        assert_eq!(info.name, name);
        assert!(info.description.ends_with('.'));
        assert_eq!(info.schema.value().unwrap()["type"], "object");
    }
}

#[test]
fn a_tool_that_runs_again_with_recorded_outcomes_makes_the_same_calls() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let tape = Arc::clone(&recorded);
    let world = tree();
    let first = Stage::new(move |_, call| {
        let outcome = world.answer(call);
        tape.lock().unwrap().push(outcome.clone());
        outcome
    });
    let result = run(&first, "survey_folder", json!({"path": "src"}));
    let second = Stage::new(move |index, _| recorded.lock().unwrap()[index].clone());
    assert_eq!(run(&second, "survey_folder", json!({"path": "src"})), result);
    assert_eq!(second.calls(), first.calls());
}
