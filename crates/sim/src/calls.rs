//! Random calls: every call that a process or the host can make, with arguments that mostly fit.

use libos_abi::{CapId, MessageId, ObjectId, Pid, Syscall};
use serde_json::{Value, json};

use crate::random::Random;

/// What a process has learned: it names these in its calls.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Known {
    /// Quanta so far.
    pub(crate) quantum: u32,
    pub(crate) children: Vec<Pid>,
    pub(crate) objects: Vec<ObjectId>,
    pub(crate) capabilities: Vec<CapId>,
    pub(crate) messages: Vec<MessageId>,
}

const PATHS: [&str; 6] = ["a", "b/x", "b/y", "secret/k", "c", "d/e"];
const PROGRAMS: [&str; 3] = ["make", "rm", "curl"];
const NAMESPACES: [&str; 2] = ["plans", "notes"];
const IMAGES: [&str; 3] = ["base", "worker", "mine"];

/// What tasks are granted: of each line as much as is drawn.
const GRANTS: [&str; 27] = [
    r#"{"effect":"ask","on":"image:*","rights":["execute"]}"#,
    r#"{"on":"image:base","rights":["execute"],"uses":2}"#,
    r#"{"on":"checkpoint:*","rights":["read","write","delete","execute"],"delegable":1}"#,
    r#"{"on":"fs:workspace/*","rights":["read","write","delete"],"delegable":3}"#,
    r#"{"on":"fs:workspace/*","rights":["read","write"],"delegable":2,"calls_max":9}"#,
    r#"{"effect":"ask","on":"fs:workspace/b/*","rights":["write"],"delegable":2}"#,
    r#"{"effect":"deny","on":"fs:workspace/secret/*","rights":["read","write"]}"#,
    r#"{"on":"fs:workspace/c","rights":["write","read"],"uses":1}"#,
    r#"{"on":"fs:workspace/d/e","rights":["write"],"uses":2}"#,
    r#"{"on":"shell:make","rights":["execute"],"uses":2}"#,
    r#"{"on":"shell:make","rights":["execute"],"uses":1}"#,
    r#"{"on":"shell:curl","rights":["execute"],"delegable":2,"expires":9000}"#,
    r#"{"effect":"ask","on":"shell:rm","rights":["execute"],"delegable":1}"#,
    r#"{"on":"shell:rm","rights":["execute"],"delegable":1}"#,
    r#"{"effect":"ask","on":"shell:make","rights":["execute"]}"#,
    r#"{"effect":"ask","on":"shell:curl","rights":["execute"],"uses":2}"#,
    r#"{"on":"process:spawn","rights":["write"],"delegable":3}"#,
    r#"{"on":"process:spawn","rights":["write"],"delegable":3,"calls_max":3}"#,
    r#"{"on":"process:*","rights":["write"],"delegable":2}"#,
    r#"{"on":"human:owner","rights":["write"],"delegable":2}"#,
    r#"{"on":"clock:*","rights":["read"],"delegable":2}"#,
    r#"{"on":"image:*","rights":["read","execute","write","delete"],"delegable":1}"#,
    r#"{"on":"namespace:*","rights":["read","write"],"delegable":2}"#,
    r#"{"on":"object:*","rights":["read","write","delete","link","materialize"],"delegable":1}"#,
    r#"{"on":"audit:log","rights":["read"]}"#,
    r#"{"effect":"deny","on":"shell:curl","rights":["execute"]}"#,
    r#"{"effect":"ask","on":"human:owner","rights":["write"],"delegable":1}"#,
];

/// What processes hand on to their children, mostly within what they hold.
const HANDED: [&str; 8] = [
    r#"{"on":"fs:workspace/*","rights":["read","write"],"delegable":1}"#,
    r#"{"on":"fs:workspace/*","rights":["read","write"],"delegable":1}"#,
    r#"{"on":"fs:workspace/*","rights":["write"]}"#,
    r#"{"on":"process:spawn","rights":["write"],"delegable":1}"#,
    r#"{"on":"human:owner","rights":["write"]}"#,
    r#"{"on":"shell:curl","rights":["execute"]}"#,
    r#"{"effect":"ask","on":"shell:rm","rights":["execute"]}"#,
    r#"{"effect":"deny","on":"fs:workspace/b/*","rights":["write"]}"#,
];

/// One or two grants to hand on.
fn handed(random: &mut Random) -> Value {
    let count = 1 + random.below(2);
    let drawn = (0..count).map(|_| *random.pick(&HANDED));
    drawn.map(|text| serde_json::from_str::<Value>(text).expect("it is JSON")).collect()
}

/// Grants of the pool, each drawn with the odds given.
pub(crate) fn grants(random: &mut Random, of_hundred: usize) -> Value {
    let drawn = GRANTS.iter().filter(|_| random.percent(of_hundred));
    drawn.map(|text| serde_json::from_str::<Value>(text).expect("it is JSON")).collect()
}

/// A call by its name and arguments.
pub(crate) fn call(name: &str, args: Value) -> Syscall {
    Syscall::from_json(name, args.clone())
        .unwrap_or_else(|error| unreachable!("{name} {args} is drawn to fit its table: {error}"))
}

/// A budget, or none.
pub(crate) fn budget(random: &mut Random) -> Value {
    match random.below(4) {
        0 => json!({ "syscalls": 4 + random.below(30), "bytes": 500_000 }),
        1 => json!({ "syscalls": 10 + random.below(60), "children": 1 + random.below(3) }),
        _ => json!({}),
    }
}

/// A manifest, or nothing.
pub(crate) fn manifest(random: &mut Random) -> Value {
    match random.below(8) {
        0 => json!({ "calls": ["fs.*", "process.*", "message.*", "object.*", "human.*"] }),
        1 => json!({ "authority": [
            { "on": "fs:workspace/*", "rights": ["read", "write", "delete"] },
            { "on": "process:spawn", "rights": ["write"] },
        ] }),
        _ => Value::Null,
    }
}

/// The planner of a process of this depth.
pub(crate) fn planner(random: &mut Random, depth: u64) -> Value {
    json!({ "kind": "sim", "program": format!("{} {depth}", random.next()) })
}

/// A text, now and then one that is stored apart.
fn text(random: &mut Random) -> String {
    match random.below(20) {
        0 => "long ".repeat(900 + random.below(50)),
        n => format!("text {n}"),
    }
}

/// A process that may be there.
fn someone(random: &mut Random, known: &Known) -> Pid {
    match (random.below(3), random.one(&known.children)) {
        (0 | 1, Some(child)) => child,
        _ => Pid(1 + random.below(8) as u64),
    }
}

fn object(random: &mut Random, known: &Known) -> ObjectId {
    let guess = ObjectId::new(1 + random.below(5) as u64, 1 + random.below(4) as u64);
    random.one(&known.objects).filter(|_| random.percent(85)).unwrap_or(guess)
}

fn capability(random: &mut Random, known: &Known) -> CapId {
    let guess = CapId(1 + random.below(40) as u64);
    random.one(&known.capabilities).filter(|_| random.percent(70)).unwrap_or(guess)
}

/// A call of a process, which sits so deep below its root.
pub(crate) fn of_process(random: &mut Random, known: &Known, depth: u64) -> Syscall {
    let drawn = random.below(100);
    match drawn {
        0..30 => effect(random),
        30..44 => family(random, known, depth),
        44..60 => mail(random, known),
        60..76 => memory(random, known),
        76..84 => human(random),
        84..91 => authority(random, known),
        91..94 => tool(random),
        _ => other(random, known),
    }
}

fn effect(random: &mut Random) -> Syscall {
    let path = *random.pick(&PATHS);
    let to = *random.pick(&PATHS);
    match random.below(12) {
        0..3 => call("fs.write", json!({ "path": path, "text": text(random) })),
        3 => call("fs.read", json!({ "path": path, "max_bytes": 100 + random.below(100) })),
        4 => call("fs.delete", json!({ "path": path })),
        5 => call("fs.mkdir", json!({ "path": path, "parents": random.percent(50) })),
        6 => call(random.word(&["fs.stat", "fs.list", "fs.watch"]), json!({ "path": path })),
        7 => call("fs.append", json!({ "path": path, "text": text(random) })),
        8 => match random.below(4) {
            0 => call("fs.edit", json!({ "path": path, "old": "a", "new": text(random) })),
            1 => call("fs.patch", json!({ "path": path, "diff": "@@ -1 +1 @@\n-a\n+b\n" })),
            2 => call("fs.rename", json!({ "from": path, "to": to, "overwrite": true })),
            _ => call(random.word(&["fs.search", "fs.glob"]), json!({ "pattern": "a" })),
        },
        _ => call("shell.run", json!({ "argv": [random.pick(&PROGRAMS), "x"] })),
    }
}

fn family(random: &mut Random, known: &Known, depth: u64) -> Syscall {
    let child = someone(random, known);
    if depth < 3 && known.children.len() < 3 && random.percent(40) {
        return make(random, known, depth);
    }
    match random.below(10) {
        0..4 => {
            let timeout = random.percent(50).then(|| random.below(3_000));
            call("process.wait", json!({ "pid": child, "timeout_ms": timeout }))
        }
        4..6 => {
            let signal = *random.pick(&["pause", "resume", "resume", "terminate", "cancel"]);
            call("process.signal", json!({ "pid": child, "signal": signal }))
        }
        6 => call("process.merge", json!({ "pid": child, "on_conflict": "child" })),
        7 => call("process.discard", json!({ "pid": child })),
        8 => call("process.inspect", json!({ "pid": child })),
        _ => call("process.list", json!({})),
    }
}

fn make(random: &mut Random, known: &Known, depth: u64) -> Syscall {
    let planner = planner(random, depth + 1);
    let budget = random.percent(30).then(|| budget(random));
    let grants = random.percent(75).then(|| handed(random));
    match random.below(4) {
        0 => {
            let mode = *random.pick(&["worker", "copy", "speculative"]);
            let args = json!({
                "goal": "g", "mode": mode, "planner": planner, "grants": grants, "budget": budget,
            });
            call("process.fork", args)
        }
        1 if !known.objects.is_empty() => {
            let args = json!({ "seed": random.next() >> 1 });
            let owner = object(random, known);
            let args = json!({ "owner": owner, "tool": "nested", "args": args });
            call("process.start_task", args)
        }
        _ => {
            let args = json!({
                "goal": "g", "planner": planner, "grants": grants, "budget": budget,
                "manifest": manifest(random),
            });
            call("process.spawn", args)
        }
    }
}

fn mail(random: &mut Random, known: &Known) -> Syscall {
    let to = someone(random, known);
    let channel = random.percent(30).then_some("c");
    match random.below(8) {
        0..4 => {
            let kind = random.percent(15).then_some("interrupt");
            let reply_to = random.one(&known.messages).filter(|_| random.percent(20));
            let args = json!({
                "to": to, "body": "hello", "kind": kind, "channel": channel, "reply_to": reply_to,
            });
            call("message.send", args)
        }
        4 => call("message.peek", json!({ "channel": channel })),
        _ => {
            let timeout = random.percent(70).then(|| random.below(3_000));
            let limit = random.percent(40).then_some(1);
            let args = json!({ "timeout_ms": timeout, "channel": channel, "limit": limit });
            call("message.receive", args)
        }
    }
}

fn memory(random: &mut Random, known: &Known) -> Syscall {
    let id = object(random, known);
    match random.below(17) {
        0..4 => {
            let named = random.percent(20).then(|| (*random.pick(&NAMESPACES), random.below(9)));
            let (namespace, name) = named.unzip();
            let name = name.map(|name| format!("n{name}"));
            let args = json!({
                "type": "note", "payload": [text(random)], "namespace": namespace, "name": name,
            });
            call("object.create", args)
        }
        4..6 => call("object.update", json!({ "id": id, "payload": [1, text(random)] })),
        6 => call("object.append", json!({ "id": id, "entry": random.below(9) })),
        7 => call("object.delete", json!({ "id": id })),
        8 => call("object.release", json!({ "id": id })),
        9 => {
            let to = someone(random, known);
            call("object.transfer", json!({ "id": id, "to": to }))
        }
        10 => {
            let to = object(random, known);
            call("object.link", json!({ "from": id, "relation": "of", "to": to }))
        }
        11 => call(random.word(&["object.read", "object.stat", "object.links"]), json!({"id": id})),
        12 => call("object.query", json!({ "type": "note" })),
        13 => call("object.make_view", json!({ "items": [{ "id": id }] })),
        14 => call("object.materialize", json!({ "view": "view-1" })),
        15 => {
            let namespace = random.pick(&NAMESPACES);
            call("namespace.create", json!({ "namespace": namespace }))
        }
        _ => {
            let namespace = random.pick(&NAMESPACES);
            call("namespace.lookup", json!({ "namespace": namespace, "name": "n1" }))
        }
    }
}

fn human(random: &mut Random) -> Syscall {
    match random.below(4) {
        0 => call("human.ask", json!({ "question": format!("q{}", random.below(9)) })),
        1 => call("human.output", json!({ "message": text(random) })),
        _ => {
            let on = *random.pick(&["fs:workspace/z/*", "shell:curl", "fs:workspace/c"]);
            let rights = if on.starts_with("fs") { json!(["write"]) } else { json!(["execute"]) };
            let args = json!({ "on": on, "rights": rights, "reason": "r" });
            call("human.request_permission", args)
        }
    }
}

fn authority(random: &mut Random, known: &Known) -> Syscall {
    let id = capability(random, known);
    match random.below(6) {
        0..3 => {
            let pool: &[&'static str] = if random.percent(70) { &HANDED } else { &GRANTS };
            let grant = random.word(pool);
            let grant: Value = serde_json::from_str(grant).expect("it is JSON");
            let to = someone(random, known);
            call("capability.delegate", json!({ "to": to, "grant": grant }))
        }
        3 => call("capability.revoke", json!({ "capability": id })),
        4 => call("capability.inspect", json!({ "capability": id })),
        _ => call("capability.list", json!({})),
    }
}

fn tool(random: &mut Random) -> Syscall {
    let args = json!({ "seed": random.next() >> 1 });
    call("tool.call", json!({ "name": "nested", "args": args }))
}

fn other(random: &mut Random, known: &Known) -> Syscall {
    match random.below(12) {
        0..2 => call("clock.now", json!({})),
        2..4 => call("clock.sleep", json!({ "ms": random.below(4_000) })),
        4 => call("process.chdir", json!({ "path": random.pick(&["b", "workspace/d", ".."]) })),
        5 => call("process.cwd", json!({})),
        6 => {
            let kinds = ["child_ended", "message_came", "child_made", "capability_granted"];
            call("event.subscribe", json!({ "kinds": [random.pick(&kinds)] }))
        }
        7 => {
            let timeout = random.percent(80).then(|| random.below(2_000));
            call("event.wait", json!({ "timeout_ms": timeout }))
        }
        8 => call("event.read", json!({})),
        9 => look(random),
        10 if random.percent(50) => call("checkpoint.create", json!({})),
        10 => call("audit.list", json!({ "limit": 3 })),
        _ => {
            let keep = random.one(&known.capabilities).map(|id| vec![id]);
            let planner = planner(random, 2);
            let image = *random.pick(&IMAGES);
            call("process.exec", json!({ "image": image, "planner": planner, "keep": keep }))
        }
    }
}

/// A look at what there is, or a skill that nobody has registered.
fn look(random: &mut Random) -> Syscall {
    let looks = ["image.list", "image.own", "tool.list", "tool.groups", "skill.list"];
    match random.below(8) {
        0 => call("skill.inspect", json!({ "skill": "s" })),
        1 => call("skill.activate", json!({ "skill": "s" })),
        2 => call("skill.unload", json!({ "skill": "s" })),
        _ => call(random.word(&looks), json!({})),
    }
}

/// A call that no honest process makes: one of the kernel, one of the host, one that is too large,
/// or any other with the arguments of nobody's plan.
pub(crate) fn forged(random: &mut Random, known: &Known) -> Syscall {
    let pid = someone(random, known);
    let id = capability(random, known);
    let usage = json!({
        "syscalls": 0, "tool_calls": 0, "children": 0, "bytes": 0, "tokens": 0, "cost": 0,
    });
    match random.below(16) {
        0 => call("process.admit", json!({ "pid": pid, "run": 0, "charge": usage })),
        1 => call("process.ready", json!({ "pid": pid })),
        2 => call("capability.settle", json!({ "op": "op-1", "give_back": true })),
        3 => {
            let grant = json!({ "on": "fs:*", "rights": ["write"] });
            call("capability.grant", json!({ "to": pid, "grant": grant }))
        }
        4 => {
            let decision = json!({ "approve": { "scope": "process" } });
            call("human.decide", json!({ "request": "req-1", "decision": decision }))
        }
        5 => {
            call("object.merge_space", json!({ "from": pid, "into": "p1", "on_conflict": "child" }))
        }
        6 => call("process.exit", json!({ "pid": pid })),
        7 => call("fs.read", json!({ "path": "../../etc/passwd" })),
        8 => call("capability.inspect", json!({ "capability": id })),
        9 => call("process.settle", json!({ "op": "op-2" })),
        10 => call("shell.run", json!({ "argv": ["x".repeat(300 << 10)] })),
        11 => call("message.interrupt", json!({ "pid": pid })),
        12 => {
            call("event.publish", json!({ "of": pid, "what": { "child_ended": { "pid": pid } } }))
        }
        13 => call("label.declassify", json!({ "to": {} })),
        14 => call("label.show", json!({ "id": object(random, known) })),
        _ => {
            let known = Known { quantum: known.quantum + 1, ..known.clone() };
            let state = serde_json::to_string(&known).unwrap_or_default();
            call("process.commit", json!({ "state": state }))
        }
    }
}

/// A call of the host that changes something.
pub(crate) fn of_host(random: &mut Random, pid: Pid, id: CapId) -> Syscall {
    match random.below(17) {
        0..3 => {
            let signal = *random.pick(&["pause", "resume", "resume", "cancel"]);
            call("process.signal", json!({ "pid": pid, "signal": signal }))
        }
        3 => call("process.signal", json!({ "pid": pid, "signal": "terminate" })),
        4 => call("process.exit", json!({ "pid": pid, "failed": true })),
        5..8 => {
            let grant = *random.pick(&GRANTS);
            let grant: Value = serde_json::from_str(grant).expect("it is JSON");
            call("capability.grant", json!({ "to": pid, "grant": grant }))
        }
        8..10 => call("capability.revoke", json!({ "capability": id, "reason": "r" })),
        10 => call("fs.write", json!({ "path": "workspace/host", "text": "t" })),
        11 => call("shell.run", json!({ "argv": ["make", "host"] })),
        12 => {
            let image = json!({ "name": *random.pick(&["worker", "mine"]), "version": "1" });
            call("image.register", json!({ "image": image, "replace": random.percent(50) }))
        }
        13 => call("message.send", json!({ "to": pid, "body": "from the host" })),
        14 => call("label.list", json!({})),
        15 => {
            let planner = planner(random, 2);
            call("process.exec", json!({ "pid": pid, "image": "base", "planner": planner }))
        }
        _ => {
            let namespace = random.pick(&NAMESPACES);
            call("namespace.create", json!({ "namespace": namespace }))
        }
    }
}

/// The call that starts a task.
pub(crate) fn launch(random: &mut Random) -> Syscall {
    let args = json!({
        "image": "base",
        "goal": "g",
        "planner": planner(random, 0),
        "grants": grants(random, 45),
        "budget": budget(random),
        "manifest": manifest(random),
    });
    call("process.launch", args)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use libos_abi::SERVICES;

    use super::*;

    /// Calls that reach the core from elsewhere, or never as a call of somebody.
    const ELSEWHERE: [&str; 2] = ["process.launch", "human.list"];

    #[test]
    fn every_call_of_a_process_or_the_host_is_made_at_times() {
        let mut made = BTreeSet::new();
        let mut random = Random::of(1, 1);
        let known = Known {
            quantum: 0,
            children: vec![Pid(2)],
            objects: vec![ObjectId::new(1, 1)],
            capabilities: vec![CapId(1)],
            messages: vec![MessageId(1)],
        };
        for _ in 0..20_000 {
            made.insert(of_process(&mut random, &known, 0).info().name);
            made.insert(forged(&mut random, &known).info().name);
            made.insert(of_host(&mut random, Pid(1), CapId(1)).info().name);
        }
        let calls = SERVICES.iter().flat_map(|service| service.calls);
        let names = calls.filter(|call| call.number < 32).map(|call| call.name);
        let never: Vec<&str> =
            names.filter(|name| !made.contains(name) && !ELSEWHERE.contains(name)).collect();
        let most = never.len() * 4 < SERVICES.iter().map(|service| service.calls.len()).sum();
        assert!(most, "{never:?}");
    }
}
