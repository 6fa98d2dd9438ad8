//! For each system call a plan that shows it: what it does twice or not at all can be told apart.

use std::sync::LazyLock;

use agent_libos::abi::{DemandInfo, EffectClass, SERVICES};
use serde_json::{Value, json};

use crate::{
    drive::memory,
    support::{
        model::{Answer, Model},
        *,
    },
};

/// A call under test.
pub(crate) struct Case {
    pub(crate) call: &'static str,
    pub(crate) class: EffectClass,
    head: String,
    plan: Vec<Value>,
    files: &'static [(&'static str, &'static str)],
    /// The commands of the host, the first of them `run`.
    pub(crate) acts: Vec<Act>,
    /// How many of them come to their end: what goes before is about other calls.
    pub(crate) spared: usize,
}

/// A command of the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Run,
    Resume,
    /// A call of the host: said again if it was cut short.
    Say(&'static [&'static str]),
}

impl Act {
    /// What is done, for people.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Run => "run".into(),
            Self::Resume => "resume".into(),
            Self::Say(args) => args.join(" "),
        }
    }
}

impl Case {
    pub(crate) fn lab(&self) -> Lab {
        let lab = stage(&self.head, &self.plan);
        for (name, text) in self.files {
            lab.put(name, text);
        }
        lab
    }
}

fn stage(head: &str, plan: &[Value]) -> Lab {
    let lab = Lab::within(&memory());
    let endpoint = web::workspace(&lab);
    lab.raw_task(head, &jsonl(plan).replace(WEB, &endpoint));
    lab.settings(&format!(
        "[http]\nnetworks = [\"127.0.0.1\"]\n\n[rpc.lab]\nurl = \"{endpoint}/rpc\"\n\n\
         [rpc.lab.methods]\nlook = {{ class = \"read\" }}\n\
         run = {{ class = \"irreversible\" }}\n\n\
         [llm.test]\nkind = \"openai\"\nmodel = \"m\"\nbase_url = \"{}\"\n",
        model_url()
    ));
    lab
}

/// A model that says the same to all.
fn model_url() -> String {
    static MODEL: LazyLock<Model> =
        LazyLock::new(|| Model::serve(Box::new(|_, _| Answer::Say("said".into(), Vec::new()))));
    MODEL.base_url()
}

/// Where the files of the workspace are on a server.
const WEB: &str = "http://web.invalid";

/// The calls that a process or the host can make, by name.
pub(crate) fn open_calls() -> Vec<(&'static str, EffectClass)> {
    let calls = SERVICES.iter().flat_map(|service| service.calls);
    let open = calls.filter(|call| call.demand != DemandInfo::Kernel);
    open.map(|call| (call.name, call.effect)).collect()
}

/// An image with tools to activate.
fn mine() -> Value {
    json!({ "name": "mine", "version": "1", "tool_groups": [
        { "name": "files", "description": "files", "tools": ["read_file"] },
    ] })
}

fn tidy() -> Value {
    let file = json!({ "path": "a.md", "text": "more" });
    json!({ "name": "tidy", "description": "tidies up", "text": "Tidy up.", "files": [file] })
}

fn child(grants: Value, plan: &[Value]) -> Value {
    spawn(plan, grants, "w")
}

fn object(payload: Value, under: &str) -> Value {
    save("object.create", json!({ "type": "note", "payload": payload }), under)
}

fn ok(name: &str, args: Value) -> Value {
    expect(name, args, "ok")
}

/// Reads and writes in the workspace, children, messages to the host's human.
fn everything() -> String {
    [
        grant("allow", "read write delete", "fs:workspace/*", "delegable = 1"),
        grant("allow", "read", "clock:*", "delegable = 1"),
        allow("write", "process:spawn"),
        allow("write", "human:owner"),
        grant("allow", "execute", "shell:sh", "delegable = 1"),
        grant("allow", "read write", "net:*", "delegable = 1"),
        allow("execute", "llm:*"),
        allow("read execute", "rpc:lab/*"),
        allow("execute", "image:*"),
        allow("read write delete", "image:*"),
        allow("read write delete execute", "skill:*"),
        allow("write", "namespace:*"),
        allow("read", "namespace:*"),
        allow("read", "audit:log"),
        allow("admin", "label:*"),
    ]
    .concat()
}

/// What a call of the host needs: a process that waits until it is told to go on.
fn waiting() -> Vec<Value> {
    vec![ok("message.receive", json!({ "subject": "on" })), write("after.txt", "went on")]
}

const GO_ON: Act = Act::Say(&["msg", "p1", "go on", "--subject", "on"]);

/// How a call is shown: what goes before it, it, what follows.
fn shown(call: &str) -> Option<Vec<Value>> {
    let note = || object(json!("a"), "o");
    let id = || json!({ "id": "${o.id}" });
    let large = "large ".repeat(2_000);
    let sleeper = || child(json!([{ "on": "clock:*", "rights": ["read"] }]), &[sleep(2)]);
    let receiver = || child(json!([]), &[ok("message.receive", json!({}))]);
    Some(match call {
        "fs.read" => {
            let kept = json!({ "path": "in.txt", "into": "file" });
            vec![
                save(call, json!({ "path": "in.txt" }), "t"),
                write("out.txt", "${t.text}"),
                save(call, kept, "f"),
                ok("fs.write", json!({ "path": "copy.txt", "text": "", "from": "${f.object.id}" })),
            ]
        }
        "fs.write" => vec![
            ok(call, json!({ "path": "new.txt", "text": "once", "overwrite": false })),
            ok(call, json!({ "path": "in.txt", "text": large })),
        ],
        "fs.list" => vec![save(call, json!({ "path": "." }), "s")],
        "fs.stat" => vec![save(call, json!({ "path": "in.txt" }), "s")],
        "fs.mkdir" => vec![ok(call, json!({ "path": "a/b", "parents": true }))],
        "fs.delete" => vec![ok(call, json!({ "path": "in.txt" }))],
        // Each would show if it were done twice.
        "fs.edit" => {
            vec![ok(call, json!({ "path": "in.txt", "old": "read", "new": "read it, read" }))]
        }
        "fs.patch" => {
            let end = "\\ No newline at end of file\n";
            let diff = format!("@@ -1 +1,2 @@\n-read me\n{end}+read\n+read me\n{end}");
            vec![ok(call, json!({ "path": "in.txt", "diff": diff }))]
        }
        "fs.append" => vec![
            ok(call, json!({ "path": "in.txt", "text": " and more" })),
            ok(call, json!({ "path": "log.txt", "text": "first" })),
        ],
        "fs.rename" => vec![
            ok(call, json!({ "from": "in.txt", "to": "moved.txt" })),
            ok(call, json!({ "from": "other.txt", "to": "moved.txt", "overwrite": true })),
        ],
        "fs.search" => {
            vec![
                save(call, json!({ "pattern": "read" }), "s"),
                write("out.txt", "${s.lines.0.text}"),
            ]
        }
        "fs.glob" => {
            vec![
                save(call, json!({ "pattern": "in.*" }), "s"),
                write("out.txt", "${s.entries.0.path}"),
            ]
        }
        "fs.watch" => vec![
            save(call, json!({ "path": "in.txt" }), "w"),
            write("in.txt", "other"),
            save(call, json!({ "path": "in.txt", "seen": "${w.state}" }), "x"),
            write("out.txt", "changed: ${x.changed}"),
        ],
        "clock.now" => vec![ok(call, json!({}))],
        "clock.sleep" => vec![sleep(3), write("slept.txt", "yes")],
        "object.create" => vec![note(), object(json!({ "text": large }), "big")],
        "object.read" | "object.stat" | "object.links" => vec![note(), ok(call, id())],
        "object.delete" | "object.release" => vec![note(), ok(call, id())],
        "object.update" => vec![
            note(),
            ok(call, json!({ "id": "${o.id}", "payload": "b", "expected_version": 1 })),
        ],
        "object.append" => vec![
            object(json!([]), "o"),
            ok(call, json!({ "id": "${o.id}", "entry": 1 })),
            ok(call, json!({ "id": "${o.id}", "entry": 2 })),
        ],
        "object.entries" => vec![
            object(json!([]), "o"),
            ok("object.append", json!({ "id": "${o.id}", "entry": 1 })),
            ok(call, id()),
        ],
        "object.list" | "object.views" | "object.query" => vec![note(), ok(call, json!({}))],
        "object.link" | "object.unlink" => {
            let link = json!({ "from": "${o.id}", "relation": "of", "to": "${q.id}" });
            let mut plan = vec![note(), object(json!(1), "q"), ok("object.link", link.clone())];
            if call == "object.unlink" {
                plan.push(ok(call, link));
            }
            plan
        }
        "object.transfer" => {
            vec![note(), receiver(), ok(call, json!({ "id": "${o.id}", "to": "${w.pid}" }))]
        }
        "object.make_view" | "object.view" | "object.drop_view" | "object.materialize" => {
            let items = json!({ "items": [{ "id": "${o.id}" }] });
            let mut plan = vec![note(), save("object.make_view", items, "v")];
            if call != "object.make_view" {
                plan.push(ok(call, json!({ "view": "${v.id}" })));
            }
            plan
        }
        "namespace.create" => vec![ok(call, json!({ "namespace": "shared" }))],
        "namespace.list" | "namespace.lookup" => {
            let named = json!({
                "type": "note", "payload": 1, "namespace": "shared", "name": "first",
            });
            let args = match call {
                "namespace.list" => json!({ "namespace": "shared" }),
                _ => json!({ "namespace": "shared", "name": "first" }),
            };
            vec![
                ok("namespace.create", json!({ "namespace": "shared" })),
                ok("object.create", named),
                ok(call, args),
            ]
        }
        "message.send" => vec![
            child(
                json!([]),
                &[
                    save("message.receive", json!({}), "m"),
                    object(json!("${m.messages.0.body}"), "kept"),
                ],
            ),
            ok(call, json!({ "to": "${w.pid}", "body": "hello" })),
            wait("w"),
        ],
        "message.receive" | "message.peek" => vec![
            child(json!([]), &[ok("message.send", json!({ "to": "p1", "body": "hello" }))]),
            wait("w"),
            ok(call, json!({})),
        ],
        "event.subscribe"
        | "event.unsubscribe"
        | "event.subscriptions"
        | "event.read"
        | "event.wait" => {
            let mut plan = vec![
                ok("event.subscribe", json!({ "kinds": ["child_ended"] })),
                sleeper(),
                wait("w"),
            ];
            match call {
                "event.unsubscribe" => {
                    plan.push(ok(call, json!({ "kinds": [] })));
                }
                "event.subscribe" => {}
                _ => plan.push(ok(call, json!({}))),
            }
            plan
        }
        "process.spawn" | "process.wait" => vec![sleeper(), wait("w")],
        "process.exit" => vec![note(), json!({ "exit": { "result": "${o.id}" } })],
        "process.signal" => vec![
            receiver(),
            ok(call, json!({ "pid": "${w.pid}", "signal": "pause" })),
            ok(call, json!({ "pid": "${w.pid}", "signal": "resume" })),
            ok(call, json!({ "pid": "${w.pid}", "signal": "terminate" })),
            wait("w"),
        ],
        "process.list" | "process.cwd" => vec![ok(call, json!({}))],
        "process.inspect" => vec![sleeper(), wait("w"), ok(call, json!({ "pid": "${w.pid}" }))],
        "process.chdir" => vec![
            ok("fs.mkdir", json!({ "path": "sub" })),
            ok(call, json!({ "path": "sub" })),
            write("here.txt", "below"),
        ],
        // The quantum ends by itself after so many steps.
        "process.commit" => std::iter::repeat_with(|| ok("process.cwd", json!({})))
            .take(70)
            .chain([write("late.txt", "in the second quantum")])
            .collect(),
        "process.fork" | "process.merge" | "process.discard" => {
            let changes = jsonl(&[
                save("object.list", json!({}), "mine"),
                ok("object.update", json!({ "id": "${mine.objects.0.id}", "payload": "b" })),
            ]);
            let fork = json!({ "goal": "try", "mode": "copy", "program": changes });
            let mut plan =
                vec![note(), json!({ "fork": fork, "save": "w", "expect": "ok" }), wait("w")];
            if call != "process.fork" {
                plan.push(ok(call, json!({ "pid": "${w.pid}" })));
            }
            plan
        }
        "process.exec" => {
            let next = jsonl(&[object(json!("as another"), "o")]);
            vec![note(), json!({ "exec": { "image": "worker", "program": next } })]
        }
        "process.start_task" | "process.tasks" => {
            let task = json!({
                "owner": "${o.id}", "tool": "write_file",
                "args": { "path": "task.txt", "text": "in the background", "overwrite": false },
                "grants": [{ "on": "fs:workspace/*", "rights": ["write"] }],
            });
            let mut plan = vec![note(), save("process.start_task", task, "w"), wait("w")];
            if call == "process.tasks" {
                plan.push(ok(call, json!({ "owner": "${o.id}" })));
            }
            plan
        }
        "process.activate_tools" => {
            let next = jsonl(&[ok(call, json!({ "group": "files" }))]);
            vec![
                ok("image.register", json!({ "image": mine() })),
                json!({ "exec": { "image": "mine", "program": next }, "expect": "ok" }),
            ]
        }
        "capability.list" => vec![ok(call, json!({}))],
        "capability.inspect" => vec![ok(call, json!({ "capability": "cap-1" }))],
        "capability.explain" => {
            vec![ok(call, json!({ "right": "read", "on": "fs:workspace/in.txt" }))]
        }
        "capability.delegate" | "capability.revoke" => {
            let part = json!({ "on": "fs:workspace/in.txt", "rights": ["read"] });
            let args = json!({ "to": "${w.pid}", "grant": part });
            let mut plan = vec![receiver(), save("capability.delegate", args, "c")];
            if call == "capability.revoke" {
                plan.push(ok(call, json!({ "capability": "${c.capability}" })));
            }
            plan
        }
        "human.ask" => vec![
            save(call, json!({ "question": "which?" }), "a"),
            write("answer.txt", "${a.answer}"),
        ],
        "human.output" => vec![ok(call, json!({ "message": "hello" }))],
        "human.request_permission" => vec![ok(
            call,
            json!({
                "on": "fs:workspace/more.txt", "rights": ["execute"], "reason": "to try",
            }),
        )],
        "image.list" | "image.own" => vec![ok(call, json!({}))],
        "llm.complete" => {
            let message = json!({ "role": "user", "parts": [{ "type": "text", "text": "hi" }] });
            let args = json!({ "profile": "test", "setup": {}, "messages": [message.to_string()] });
            vec![save(call, args, "a"), write("said.txt", "${a.message.parts.0.text}")]
        }
        "image.inspect" => vec![ok(call, json!({ "image": "worker" }))],
        "image.register" => vec![ok(call, json!({ "image": mine() }))],
        "image.unregister" => vec![
            ok("image.register", json!({ "image": mine() })),
            ok(call, json!({ "image": "mine" })),
        ],
        "tool.list" | "tool.groups" => vec![ok(call, json!({}))],
        "skill.list" => vec![ok(call, json!({}))],
        "skill.register" => vec![ok(call, json!({ "skill": tidy() }))],
        "skill.inspect" | "skill.unregister" | "skill.activate" | "skill.unload" | "skill.read" => {
            let tidy_up = json!({ "skill": "tidy" });
            let mut plan = vec![ok("skill.register", json!({ "skill": tidy() }))];
            if ["skill.unload", "skill.read"].contains(&call) {
                plan.push(ok("skill.activate", tidy_up.clone()));
            }
            plan.push(match call {
                "skill.read" => ok(call, json!({ "skill": "tidy", "file": "a.md" })),
                _ => ok(call, tidy_up),
            });
            plan
        }
        "tool.propose" | "tool.validate" | "tool.register" | "tool.unregister" | "tool.inspect"
        | "tool.generated" => {
            let tool = json!({
                "name": "one", "language": "javascript", "input": true,
                "source": "export default () => 1;",
            });
            let one = || json!({ "name": "one" });
            let mut plan = vec![ok("tool.propose", json!({ "tool": tool }))];
            if ["tool.validate", "tool.register", "tool.unregister"].contains(&call) {
                plan.push(ok("tool.validate", one()));
                plan.push(ok("tool.register", one()));
            }
            match call {
                "tool.generated" => plan.push(ok(call, json!({}))),
                "tool.inspect" | "tool.unregister" => plan.push(ok(call, one())),
                _ => {}
            }
            plan
        }
        "tool.call" => vec![
            json!({ "tool": "write_file", "expect": "ok",
                    "args": { "path": "tool.txt", "text": "by a tool" } }),
            json!({ "tool": "read_file", "expect": "ok", "args": { "path": "in.txt" } }),
        ],
        "label.show" => vec![note(), ok(call, id())],
        "label.declassify" => vec![note(), ok(call, json!({ "id": "${o.id}", "to": {} }))],
        "audit.list" => vec![expect(call, json!({ "limit": 1 }), "ok")],
        "shell.run" => vec![
            json!({ "call": call, "expect": ["ok", "unknown_outcome"],
                    "args": { "argv": ["sh", "-c", "echo ran >> ran.txt"] } }),
            write("after.txt", "went on"),
        ],
        "http.fetch" => {
            let args = json!({ "url": format!("{WEB}/in.txt"), "method": "GET" });
            vec![save(call, args, "t"), write("out.txt", "${t.body}")]
        }
        "http.replace" => {
            let put =
                json!({ "url": format!("{WEB}/put.txt"), "method": "PUT", "body": "by the web" });
            vec![ok(call, put), write("after.txt", "went on")]
        }
        "rpc.query" => {
            let args = json!({ "endpoint": "lab", "method": "look" });
            vec![save(call, args, "t"), write("out.txt", "${t.result}")]
        }
        "rpc.call" => {
            let args = json!({ "endpoint": "lab", "method": "run", "params": ["ran"] });
            vec![
                json!({ "call": call, "expect": ["ok", "unknown_outcome"], "args": args }),
                write("after.txt", "went on"),
            ]
        }
        "http.send" => {
            let post = json!({ "url": format!("{WEB}/ran.txt"), "method": "POST", "body": "ran" });
            vec![
                json!({ "call": call, "expect": ["ok", "unknown_outcome"], "args": post }),
                write("after.txt", "went on"),
            ]
        }
        _ => return None,
    })
}

/// How the host shows a call of its own, or answers one of a process: what comes after the run.
fn acts(call: &str) -> Option<(Vec<Value>, Vec<Act>)> {
    const KEPT: Act = Act::Say(&["checkpoint", "create", "p1"]);
    const APPROVED: Act = Act::Say(&["approve", "req-1"]);
    const RESTORED: Act = Act::Say(&["checkpoint", "restore", "ckpt-1.1", "--yes"]);
    let asked = |plan, answer| (plan, vec![answer, Act::Resume]);
    let while_waiting = |act| (waiting(), vec![act, GO_ON, Act::Resume]);
    let of_checkpoint =
        |then: &'static [&str]| (waiting(), vec![KEPT, Act::Say(then), GO_ON, Act::Resume]);
    let asks = |call| shown(call).unwrap_or_default();
    Some(match call {
        "human.ask" | "human.list" => {
            asked(asks("human.ask"), Act::Say(&["answer", "req-1", "this"]))
        }
        "human.request_permission" => asked(asks(call), APPROVED),
        "human.decide" => asked(vec![write("asked.txt", "with a human's word")], APPROVED),
        "tool.promote" => {
            let image = json!({
                "name": "one", "digest": "${it.status.digest}", "image": "ours", "version": "2",
            });
            let mut plan = asks("tool.register");
            plan.push(save("tool.inspect", json!({ "name": "one" }), "it"));
            plan.push(ok(call, image));
            asked(plan, APPROVED)
        }
        "capability.grant" => {
            while_waiting(Act::Say(&["cap", "grant", "p1", "fs:workspace/x", "read"]))
        }
        "checkpoint.create" => while_waiting(KEPT),
        "checkpoint.list" => of_checkpoint(&["checkpoint", "ls"]),
        "checkpoint.inspect" => of_checkpoint(&["checkpoint", "show", "ckpt-1.1"]),
        "checkpoint.diff" => of_checkpoint(&["checkpoint", "diff", "ckpt-1.1"]),
        "checkpoint.drop" => of_checkpoint(&["checkpoint", "drop", "ckpt-1.1"]),
        "checkpoint.commit" => of_checkpoint(&["checkpoint", "commit", "ckpt-1.1", "kept"]),
        "checkpoint.preview" | "checkpoint.restore" => {
            (waiting(), vec![KEPT, RESTORED, GO_ON, Act::Resume])
        }
        // Files changed since are put back, and changed again.
        "fs.put_back" => {
            let mut plan = waiting();
            plan.push(ok("fs.delete", json!({ "path": "in.txt" })));
            plan.push(write("other.txt", "changed"));
            plan.extend(waiting());
            let acts = [KEPT, GO_ON, Act::Resume, RESTORED, GO_ON, Act::Resume, GO_ON, Act::Resume];
            (plan, acts.to_vec())
        }
        "checkpoint.fork" => {
            let go_on = Act::Say(&["msg", "p2", "go on", "--subject", "on"]);
            let (plan, mut acts) = of_checkpoint(&["checkpoint", "fork", "ckpt-1.1"]);
            acts.insert(2, go_on);
            (plan, acts)
        }
        "label.list" => (waiting(), vec![Act::Say(&["label", "ls"]), GO_ON, Act::Resume]),
        "audit.compact" => {
            let compacted = Act::Say(&["store", "compact", "--older-than", "0s"]);
            (asks("fs.write"), vec![compacted])
        }
        _ => return None,
    })
}

/// The plan of each call; `process.launch` is in all of them.
pub(crate) fn cases() -> Vec<Case> {
    open_calls().into_iter().filter_map(|(call, class)| case(call, class)).collect()
}

/// Many processes that make calls of every class side by side.
pub(crate) fn load(processes: usize) -> Lab {
    let grants = json!([
        { "on": "fs:workspace/*", "rights": ["read", "write"] },
        { "on": "clock:*", "rights": ["read"] },
        { "on": "shell:sh", "rights": ["execute"] },
        { "on": "net:*", "rights": ["read", "write"] },
    ]);
    let mut plan = Vec::new();
    for n in 0..processes {
        let path = |name: &str| format!("{n}-{name}.txt");
        let once = |name: &str| json!({ "path": path(name), "text": name, "overwrite": false });
        let may_be_unknown =
            |call, args| json!({ "call": call, "args": args, "expect": ["ok", "unknown_outcome"] });
        let append = format!("echo ran >> {}", path("ran"));
        let post = json!({
            "url": format!("{WEB}/{}", path("web-ran")), "method": "POST", "body": "ran",
        });
        let work = [
            ok("fs.write", once("first")),
            object(json!([n]), "o"),
            ok("fs.mkdir", json!({ "path": format!("{n}-folder/below"), "parents": true })),
            sleep(3),
            may_be_unknown("shell.run", json!({ "argv": ["sh", "-c", append] })),
            ok("object.append", json!({ "id": "${o.id}", "entry": 1 })),
            may_be_unknown("http.send", post),
            json!({ "tool": "write_file", "expect": "ok",
                    "args": { "path": path("tool"), "text": "by a tool" } }),
            save("fs.read", json!({ "path": path("first") }), "t"),
            ok(
                "fs.write",
                json!({ "path": path("last"), "text": "${t.text}", "overwrite": false }),
            ),
            ok("message.send", json!({ "to": "p1", "body": "done", "channel": format!("c{n}") })),
        ];
        plan.push(spawn(&work, grants.clone(), &format!("w{n}")));
    }
    plan.extend(
        (0..processes).map(|n| ok("message.receive", json!({ "channel": format!("c{n}") }))),
    );
    plan.extend((0..processes).map(|n| wait(&format!("w{n}"))));
    stage(&everything(), &plan)
}

fn case(call: &'static str, class: EffectClass) -> Option<Case> {
    let files: &[_] = &[("in.txt", "read me"), ("other.txt", "other")];
    let mut head = everything();
    if call == "human.decide" {
        head += &ask("write", "fs:workspace/asked.txt");
    }
    let (plan, acts) = match (acts(call), shown(call)) {
        (Some((plan, then)), _) => (plan, [vec![Act::Run], then].concat()),
        (None, Some(plan)) => (plan, vec![Act::Run]),
        (None, None) if call == "process.launch" => (vec![write("a.txt", "a")], vec![Act::Run]),
        (None, None) => return None,
    };
    // What a change of a file replaced is not kept when a crash cuts the change off.
    let spared = if call == "fs.put_back" { 4 } else { 0 };
    Some(Case { call, class, head, plan, files, acts, spared })
}
