//! One call of each name, as a process or the host could make it.

use libos_abi::{SERVICES, Syscall};

use crate::text;

/// Arguments for each call; `{}` where none must be given.
const ARGS: &[(&str, &str)] = &[
    (
        "process.launch",
        r#"{"image":"worker","goal":"g","planner":{"kind":"none","program":""},"grants":[],"budget":{}}"#,
    ),
    ("process.spawn", r#"{"goal":"g"}"#),
    ("process.wait", r#"{"pid":"p2"}"#),
    ("process.exit", r#"{"result":"obj-1.7"}"#),
    ("process.signal", r#"{"pid":"p2","signal":"pause"}"#),
    ("process.inspect", r#"{"pid":"p2"}"#),
    ("process.chdir", r#"{"path":"workspace/a"}"#),
    ("process.commit", r#"{"state":""}"#),
    ("process.fork", r#"{"goal":"g","mode":"copy"}"#),
    ("process.exec", r#"{"image":"worker"}"#),
    ("process.start_task", r#"{"owner":"obj-1.7","tool":"survey","args":{}}"#),
    ("process.tasks", r#"{"owner":"obj-1.7"}"#),
    ("process.merge", r#"{"pid":"p2"}"#),
    ("process.discard", r#"{"pid":"p2"}"#),
    ("process.activate_tools", r#"{"group":"more"}"#),
    (
        "process.admit",
        r#"{"pid":"p2","run":1,"charge":{"syscalls":1,"tool_calls":0,"children":0,"bytes":0,
            "tokens":0,"cost":0}}"#,
    ),
    ("process.settle", r#"{"op":"op-1"}"#),
    ("process.extend", r#"{"pid":"p2","kind":"syscalls","by":1}"#),
    ("process.end_tasks", r#"{"owner":"obj-1.7"}"#),
    ("process.block", r#"{"pid":"p2","wait":{"on":"time"}}"#),
    ("process.ready", r#"{"pid":"p2"}"#),
    ("object.create", r#"{"type":"t","payload":1,"name":"n","namespace":"ns"}"#),
    ("object.read", r#"{"id":"obj-1.7"}"#),
    ("object.update", r#"{"id":"obj-1.7","payload":1}"#),
    ("object.delete", r#"{"id":"obj-1.7"}"#),
    ("object.stat", r#"{"id":"obj-1.7"}"#),
    ("object.append", r#"{"id":"obj-1.7","entry":1}"#),
    ("object.entries", r#"{"id":"obj-1.7"}"#),
    ("object.collect", r#"{"owner":"p1","type":"t","parts":[]}"#),
    ("object.content", r#"{"id":"obj-1.7"}"#),
    ("object.link", r#"{"from":"obj-1.7","relation":"about","to":"obj-1.8"}"#),
    ("object.unlink", r#"{"from":"obj-1.7","relation":"about","to":"obj-1.8"}"#),
    ("object.links", r#"{"id":"obj-1.7"}"#),
    ("object.query", r#"{"space":"p2"}"#),
    ("object.transfer", r#"{"id":"obj-1.7","to":"p2"}"#),
    ("object.release", r#"{"id":"obj-1.7"}"#),
    ("object.make_view", r#"{"items":[]}"#),
    ("object.view", r#"{"view":"view-1"}"#),
    ("object.drop_view", r#"{"view":"view-1"}"#),
    ("object.materialize", r#"{"view":"view-1"}"#),
    ("object.fork_space", r#"{"from":"p1","to":"p2"}"#),
    ("object.merge_space", r#"{"from":"p2","into":"p1","on_conflict":"fail"}"#),
    ("object.drop_space", r#"{"space":"p2"}"#),
    ("namespace.create", r#"{"namespace":"ns"}"#),
    ("namespace.list", r#"{"namespace":"ns"}"#),
    ("namespace.lookup", r#"{"namespace":"ns","name":"n"}"#),
    ("capability.inspect", r#"{"capability":"cap-1"}"#),
    ("capability.delegate", r#"{"to":"p2","grant":{"on":"fs:*","rights":["read"]}}"#),
    ("capability.revoke", r#"{"capability":"cap-1"}"#),
    ("capability.grant", r#"{"to":"p2","grant":{"on":"fs:*","rights":["read"]}}"#),
    ("capability.explain", r#"{"right":"read","on":"fs:a"}"#),
    ("capability.derive", r#"{"parent":"p1","child":"p2","grants":[]}"#),
    (
        "capability.issue",
        r#"{"to":"p1","grant":{"on":"fs:*","rights":["read"]},"origin":"kernel"}"#,
    ),
    ("capability.reserve", r#"{"op":"op-1","charges":[]}"#),
    ("capability.settle", r#"{"op":"op-1","give_back":false}"#),
    ("capability.end", r#"{"subject":"p1"}"#),
    ("capability.bound", r#"{"pid":"p2","parent":"p1"}"#),
    ("capability.requestable", r#"{"pid":"p1","on":"fs:workspace/a","rights":["write"]}"#),
    ("capability.keep", r#"{"subject":"p1","keep":[],"memory":true}"#),
    ("capability.may", r#"{"pid":"p1","right":"read","on":"fs:a"}"#),
    ("human.ask", r#"{"question":"why?"}"#),
    ("human.output", r#"{"message":"hi"}"#),
    ("human.request_permission", r#"{"on":"fs:workspace/a","rights":["write"],"reason":"r"}"#),
    ("human.decide", r#"{"request":"req-1","decision":{"deny":{}}}"#),
    (
        "human.open",
        r#"{"op":"op-1","pid":"p1","approval":{"call":"fs.read","args":{},
            "digest":"0000000000000000000000000000000000000000000000000000000000000000",
            "needs":[],"asked_by":[]}}"#,
    ),
    (
        "human.open_extension",
        r#"{"op":"op-1","pid":"p1","of":"p1","kind":"syscalls","limit":9,"used":9,"more":1,"call":"fs.read"}"#,
    ),
    ("human.open_unknown", r#"{"op":"op-1","pid":"p1","call":"shell.run","args":{}}"#),
    (
        "human.open_release",
        r#"{"op":"op-1","pid":"p1","release":{"call":"shell.run","args":{},
            "digest":"0000000000000000000000000000000000000000000000000000000000000000",
            "sink":"shell:a","label":{},"clearance":{}}}"#,
    ),
    ("label.show", r#"{"id":"obj-9.1"}"#),
    ("label.declassify", r#"{"to":{}}"#),
    ("human.cancel", r#"{"pid":"p1"}"#),
    ("message.send", r#"{"to":"p2","body":"x"}"#),
    ("message.interrupt", r#"{"pid":"p1"}"#),
    ("image.inspect", r#"{"image":"worker"}"#),
    ("image.unregister", r#"{"image":"mine"}"#),
    ("image.register", r#"{"image":{"name":"mine","version":"1"}}"#),
    (
        "image.commit",
        r#"{"checkpoint":"ckpt-1.1","of":"p1","base":"worker","image":{"name":"mine","version":"1"}}"#,
    ),
    ("tool.call", r#"{"name":"read_file","args":{}}"#),
    (
        "tool.propose",
        r#"{"tool":{"name":"one","language":"javascript","source":"s","input":true}}"#,
    ),
    ("tool.validate", r#"{"name":"one"}"#),
    ("tool.register", r#"{"name":"one"}"#),
    ("tool.unregister", r#"{"name":"one"}"#),
    ("tool.inspect", r#"{"name":"one"}"#),
    (
        "tool.promote",
        r#"{"name":"one","image":"mine","version":"2",
            "digest":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    ),
    (
        "tool.conclude",
        r#"{"pid":"p2","report":{"name":"one","passed":true,"tests":[],
            "digest":"0000000000000000000000000000000000000000000000000000000000000000"}}"#,
    ),
    ("tool.carry", r#"{"from":"p1","to":"p2"}"#),
    ("tool.end", r#"{"pid":"p2"}"#),
    ("tool.save", r#"{"checkpoint":"ckpt-1.1","processes":["p1"]}"#),
    ("tool.forget", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("tool.restore", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("tool.copy", r#"{"checkpoint":"ckpt-1.1","processes":[]}"#),
    ("fs.read", r#"{"path":"workspace/a"}"#),
    ("fs.write", r#"{"path":"workspace/a","text":"x"}"#),
    ("fs.list", r#"{"path":"workspace"}"#),
    ("fs.mkdir", r#"{"path":"workspace/a"}"#),
    ("fs.delete", r#"{"path":"workspace/a"}"#),
    ("fs.stat", r#"{"path":"workspace/a"}"#),
    ("fs.edit", r#"{"path":"workspace/a","old":"x","new":"y"}"#),
    ("fs.patch", r#"{"path":"workspace/a","diff":"@@ -1 +1 @@\n-x\n+y\n"}"#),
    ("fs.append", r#"{"path":"workspace/a","text":"x"}"#),
    ("fs.rename", r#"{"from":"workspace/a","to":"workspace/b"}"#),
    ("fs.search", r#"{"path":"workspace","pattern":"x"}"#),
    ("fs.glob", r#"{"path":"workspace","pattern":"*"}"#),
    ("fs.watch", r#"{"path":"workspace/a"}"#),
    ("fs.put_back", r#"{"workspace":"/w","path":"workspace/a"}"#),
    ("shell.run", r#"{"argv":["echo"]}"#),
    ("http.fetch", r#"{"url":"https://example.com/a","method":"GET"}"#),
    ("http.replace", r#"{"url":"https://example.com/a","method":"PUT","body":"x"}"#),
    ("http.send", r#"{"url":"https://example.com/a","method":"POST","body":"x"}"#),
    ("llm.complete", r#"{"profile":"fast","setup":{},"messages":[]}"#),
    ("rpc.query", r#"{"endpoint":"e","method":"m"}"#),
    ("rpc.call", r#"{"endpoint":"e","method":"m"}"#),
    ("clock.sleep", r#"{"ms":1}"#),
    ("audit.compact", r#"{"before_ms":1}"#),
    ("event.subscribe", r#"{"kinds":["object_changed"],"object":"obj-1.7"}"#),
    ("event.unsubscribe", r#"{"kinds":[]}"#),
    ("event.publish", r#"{"of":"p1","what":{"child_made":{"pid":"p2"}}}"#),
    ("event.end", r#"{"pid":"p1"}"#),
    ("process.save", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("process.compare", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("process.forget", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("process.restore", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("process.copy_saved", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("process.recall", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("object.save_spaces", r#"{"checkpoint":"ckpt-1.1","spaces":["p1"],"ended":[]}"#),
    ("object.compare_spaces", r#"{"checkpoint":"ckpt-1.1","spaces":[]}"#),
    ("object.forget_spaces", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("object.restore_spaces", r#"{"checkpoint":"ckpt-1.1","dropped":[]}"#),
    ("object.copy_spaces", r#"{"checkpoint":"ckpt-1.1","processes":[]}"#),
    ("capability.save", r#"{"checkpoint":"ckpt-1.1","subjects":["p1"]}"#),
    ("capability.compare", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("capability.forget", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("capability.restore", r#"{"checkpoint":"ckpt-1.1","revived":[]}"#),
    ("capability.copy_held", r#"{"checkpoint":"ckpt-1.1","processes":[]}"#),
    ("capability.recall", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("checkpoint.inspect", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("checkpoint.diff", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("checkpoint.drop", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("checkpoint.fork", r#"{"checkpoint":"ckpt-1.1"}"#),
    ("checkpoint.preview", r#"{"checkpoint":"ckpt-1.1"}"#),
    (
        "checkpoint.restore",
        r#"{"checkpoint":"ckpt-1.1",
            "token":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    ),
    ("checkpoint.commit", r#"{"checkpoint":"ckpt-1.1","image":"mine"}"#),
];

/// One call of each name, in the order of the tables.
#[must_use]
pub fn calls() -> Vec<Syscall> {
    let names = SERVICES.iter().flat_map(|service| service.calls).map(|call| call.name);
    names
        .map(|name| {
            let args = ARGS.iter().find(|(known, _)| *known == name).map_or("{}", |(_, args)| args);
            text::call(&format!("{name} {args}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_names_a_call() {
        let calls = calls();
        for (name, _) in ARGS {
            assert!(calls.iter().any(|call| call.info().name == *name), "there is no {name}");
        }
    }
}
