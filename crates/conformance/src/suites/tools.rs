//! Generated tools: the other half of the service `tool`.

use libos_abi::{
    CheckpointId, Digest, Json, Pid,
    checkpoint::Copied,
    image::{self, Image},
    tool::{
        self, Definition, Program, ScriptedCall, Stage, TestResult, ToolNeed, ToolReport, ToolTest,
    },
};
use libos_port::{Component, Stop};
use serde_json::json;

use crate::{By, Factory, Kernel, host, process, text, tool_of};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! tools_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args tools
            case a_tool_is_callable_once_it_is_validated_and_registered
                holds "I-120"
                shows "tool.propose ok, tool.validate perform, tool.conclude ok,
tool.register ok, tool.register not_validated, tool.call perform, tool.call denied";
            case a_rejected_tool_is_not_registered
                holds "I-120" shows "tool.register not_validated";
            case what_was_found_out_about_another_version_counts_for_nothing
                holds "I-120" shows "tool.conclude ok, tool.register not_validated";
            case a_name_that_is_taken_is_refused
                holds "I-120" shows "tool.propose exists, tool.register exists";
            case a_malformed_tool_is_refused
                holds "I-08" shows "tool.propose bad_tool";
            case a_tool_is_private_to_its_process
                holds "I-121"
                shows "tool.validate not_found, tool.register not_found,
tool.unregister not_found, tool.inspect not_found, tool.inspect denied";
            case a_tool_is_listed_inspected_and_removed
                holds "I-121"
                shows "tool.generated ok, tool.inspect ok, tool.unregister ok, tool.list ok";
            case a_generated_tool_neither_makes_nor_calls_generated_tools
                holds "I-122"
                shows "tool.propose nested, tool.validate nested, tool.register nested,
tool.unregister nested, tool.call nested";
            case registered_tools_are_carried_to_a_fork_and_end_with_their_process
                holds "I-121" shows "tool.carry ok, tool.end ok";
            case a_checkpoint_keeps_tools_and_brings_them_back
                holds "I-121"
                shows "tool.save ok, tool.copy ok, tool.restore ok, tool.forget ok";
            case the_image_of_a_process_has_the_tools_it_had_registered
                holds "I-121"
                shows "image.commit ok, image.commit exists, image.commit bad_image,
image.commit built_in";
            case generated_tools_survive_a_crash
                holds "I-34" shows "tool.generated ok";
            case a_validated_tool_goes_into_an_image_and_is_callable_there
                holds "I-125"
                shows "tool.promote ok, tool.promote not_found, tool.promote exists,
tool.promote bad_tool, tool.promote not_validated, tool.promote nested";
        }
    };
}

tools_cases! { contract [Kernel<dyn Component>: "image" "tool" "skill"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Toolbox = Kernel<dyn Component>;

fn definition(name: &str, source: &str) -> Definition {
    text::from(json!({
        "name": name, "language": "javascript", "source": source, "input": true,
        "needs": [{ "call": "fs.read", "on": ["fs:workspace/*"] }],
        "tests": [{ "name": "one", "args": 1, "result": 2 }],
    }))
}

fn propose(name: &str, source: &str) -> tool::Propose {
    tool::Propose { tool: definition(name, source) }
}

fn validate(name: &str) -> tool::Validate {
    tool::Validate { name: name.into(), pid: None }
}

fn register(name: &str) -> tool::Register {
    tool::Register { name: name.into() }
}

fn unregister(name: &str) -> tool::Unregister {
    tool::Unregister { name: name.into() }
}

fn inspect(name: &str, pid: Option<u64>) -> tool::Inspect {
    tool::Inspect { name: name.into(), pid: pid.map(Pid) }
}

fn call(name: &str) -> tool::CallTool {
    tool::CallTool { name: name.into(), args: Json::default() }
}

/// What goes to the provider with a call.
#[track_caller]
fn program(k: &mut Toolbox, by: impl Into<By>, call: impl Into<libos_abi::Syscall>) -> Program {
    match k.serve(by, call) {
        Err(Stop::Run(program)) => (*program).clone(),
        other => panic!("it should go to the sandbox: {other:?}"),
    }
}

/// Keeps what the sandbox found out, as the kernel does.
fn conclude(k: &mut Toolbox, pid: u64, digest: Digest, passed: bool) {
    let tests = vec![TestResult { name: "one".into(), passed, message: None }];
    let report = ToolReport { name: "count".into(), digest, passed, problem: None, tests };
    k.ok(host(), tool::Conclude { pid: Pid(pid), report });
}

/// A process with a registered tool.
fn with_tool(k: &mut Toolbox, pid: u64) -> Digest {
    let digest = k.ok(process(pid), propose("count", "s")).digest;
    conclude(k, pid, digest, true);
    k.ok(process(pid), register("count"));
    digest
}

fn stage(k: &mut Toolbox, pid: u64) -> Stage {
    k.ok(process(pid), inspect("count", None)).status.stage
}

fn a_tool_is_callable_once_it_is_validated_and_registered(k: &mut Toolbox) {
    let status = k.ok(process(1), propose("count", "s"));
    assert_eq!((status.of, status.stage), (Pid(1), Stage::Proposed));
    assert_eq!(k.refused(process(1), register("count")).0, "not_validated");
    assert_eq!(k.refused(process(1), call("count")).0, "denied");
    let tested = program(k, process(1), validate("count"));
    assert_eq!((tested.of, tested.digest), (Pid(1), status.digest));
    assert_eq!(tested.tool, definition("count", "s"));
    conclude(k, 1, status.digest, true);
    assert_eq!(stage(k, 1), Stage::Validated);
    assert_eq!(k.refused(process(1), call("count")).0, "denied");
    assert_eq!(k.ok(process(1), register("count")).stage, Stage::Registered);
    let called = program(k, process(1), call("count"));
    assert_eq!((called.of, called.digest), (Pid(1), status.digest));
    assert_eq!(called.tool.needs, definition("count", "s").needs);
    assert_eq!(called.tool.source, definition("count", "s").source);
}

fn a_rejected_tool_is_not_registered(k: &mut Toolbox) {
    let digest = k.ok(process(1), propose("count", "s")).digest;
    conclude(k, 1, digest, false);
    assert_eq!(stage(k, 1), Stage::Rejected);
    assert_eq!(k.refused(process(1), register("count")).0, "not_validated");
}

fn what_was_found_out_about_another_version_counts_for_nothing(k: &mut Toolbox) {
    let old = k.ok(process(1), propose("count", "old")).digest;
    let new = k.ok(process(1), propose("count", "new")).digest;
    assert_ne!(old, new);
    conclude(k, 1, old, true);
    assert_eq!(k.refused(process(1), register("count")).0, "not_validated");
    conclude(k, 1, new, true);
    let again = k.ok(process(1), propose("count", "new"));
    assert_eq!((again.digest, again.stage), (new, Stage::Proposed), "it is looked at anew");
    // Nor is anything kept of a tool that is gone.
    k.ok(process(1), unregister("count"));
    conclude(k, 1, new, true);
    assert_eq!(k.refused(process(1), inspect("count", None)).0, "not_found");
}

fn a_name_that_is_taken_is_refused(k: &mut Toolbox) {
    with_tool(k, 1);
    assert_eq!(k.refused(process(1), propose("count", "t")).0, "exists");
    assert_eq!(k.refused(process(1), register("count")).0, "exists");
    let own = k.ok(process(2), propose("count", "t"));
    assert_eq!(own.of, Pid(2), "another process may have one of the same name");
}

fn a_malformed_tool_is_refused(k: &mut Toolbox) {
    let good = || definition("count", "s");
    let need = |call: &str, on: Option<&[&str]>| Definition {
        needs: vec![ToolNeed {
            call: call.into(),
            on: on.map(|on| on.iter().map(|on| on.parse().expect("a pattern")).collect()),
        }],
        ..good()
    };
    let test = |test: ToolTest| Definition { tests: vec![test], ..good() };
    let plain = || good().tests.remove(0);
    let scripted = |call: &str| ScriptedCall {
        call: call.into(),
        args: Json::default(),
        reply: None,
        error: None,
    };
    let mut table = vec![
        definition("", "s"),
        definition("Count", "s"),
        definition(&"x".repeat(1 << 12), "s"),
        Definition { description: "d".repeat(1 << 20), ..good() },
        need("fs.read", Some(&[])),
        need("fs.gone", None),
        need("process.cwd", Some(&["fs:workspace/*"])),
        need("process.launch", None),
        need("process.admit", None),
        test(ToolTest { result: None, ..plain() }),
        test(ToolTest { error: Some("denied".into()), ..plain() }),
        test(ToolTest { calls: vec![scripted("fs.gone")], ..plain() }),
        test(ToolTest { calls: vec![scripted("fs.read")], ..plain() }),
    ];
    table.extend(tool::NEVER_NEEDED.iter().map(|call| need(call, None)));
    for tool in table {
        let shown = format!("{tool:.200?}");
        let refused = k.refused(process(1), tool::Propose { tool });
        assert_eq!(refused.0, "bad_tool", "{shown:.200}");
    }
}

fn a_tool_is_private_to_its_process(k: &mut Toolbox) {
    with_tool(k, 1);
    assert_eq!(k.refused(process(2), validate("count")).0, "not_found");
    assert_eq!(k.refused(process(2), register("count")).0, "not_found");
    assert_eq!(k.refused(process(2), unregister("count")).0, "not_found");
    assert_eq!(k.refused(process(2), inspect("count", None)).0, "not_found");
    assert_eq!(k.refused(process(2), inspect("count", Some(1))).0, "denied");
    assert_eq!(k.refused(process(2), call("count")).0, "denied");
    assert!(k.ok(process(2), tool::ListGenerated { pid: None }).tools.is_empty());
    let asked = tool::Validate { pid: Some(Pid(1)), ..validate("count") };
    assert_eq!(k.refused(process(2), asked.clone()).0, "denied");
    // The host looks at any, and makes none.
    assert_eq!(program(k, host(), asked).of, Pid(1));
    assert_eq!(k.refused(host(), validate("count")).0, "bad_message");
    assert_eq!(k.refused(host(), propose("count", "s")).0, "bad_message");
}

fn a_tool_is_listed_inspected_and_removed(k: &mut Toolbox) {
    let digest = with_tool(k, 1);
    k.ok(process(2), propose("other", "s"));
    let list = |k: &mut Toolbox, by: By, pid: Option<u64>| -> Vec<(u64, String)> {
        let tools = k.ok(by, tool::ListGenerated { pid: pid.map(Pid) }).tools;
        tools.into_iter().map(|it| (it.of.0, it.name)).collect()
    };
    assert_eq!(list(k, process(1), None), [(1, "count".into())]);
    assert_eq!(list(k, host(), Some(2)), [(2, "other".into())]);
    assert_eq!(list(k, host(), None), [(1, "count".into()), (2, "other".into())]);
    let details = k.ok(process(1), inspect("count", None));
    assert_eq!(details.tool, definition("count", "s"));
    assert_eq!(details.status.digest, digest);
    assert!(details.report.is_some_and(|report| report.passed));
    assert_eq!(k.ok(host(), inspect("other", Some(2))).status.stage, Stage::Proposed);
    let shown =
        |k: &mut Toolbox| k.ok(process(1), tool::List {}).tools.contains(&"count".to_owned());
    assert!(shown(k));
    k.ok(process(1), unregister("count"));
    assert!(!shown(k));
    assert_eq!(k.refused(process(1), call("count")).0, "denied");
}

fn a_generated_tool_neither_makes_nor_calls_generated_tools(k: &mut Toolbox) {
    with_tool(k, 1);
    let within = || tool_of(1, "another");
    assert_eq!(k.refused(within(), propose("more", "s")).0, "nested");
    assert_eq!(k.refused(within(), validate("count")).0, "nested");
    assert_eq!(k.refused(within(), register("count")).0, "nested");
    assert_eq!(k.refused(within(), unregister("count")).0, "nested");
    assert_eq!(k.refused(within(), call("count")).0, "nested");
}

fn registered_tools_are_carried_to_a_fork_and_end_with_their_process(k: &mut Toolbox) {
    let digest = with_tool(k, 1);
    k.ok(process(1), propose("draft", "s"));
    k.ok(host(), tool::Carry { from: Pid(1), to: Pid(2) });
    let carried = program(k, process(2), call("count"));
    assert_eq!((carried.of, carried.digest), (Pid(2), digest));
    assert_eq!(k.refused(process(2), inspect("draft", None)).0, "not_found");
    k.ok(host(), tool::End { pid: Pid(1) });
    assert_eq!(k.refused(process(1), call("count")).0, "denied");
    assert!(k.ok(process(1), tool::ListGenerated { pid: None }).tools.is_empty());
    assert_eq!(program(k, process(2), call("count")).of, Pid(2), "each has its own");
    // Where there is nothing, nothing is recorded.
    let before = k.journal.len();
    k.ok(host(), tool::End { pid: Pid(1) });
    k.ok(host(), tool::Carry { from: Pid(1), to: Pid(3) });
    assert_eq!(k.journal.len(), before);
}

fn generated_tools_survive_a_crash(k: &mut Toolbox) {
    with_tool(k, 1);
    k.ok(process(1), propose("draft", "s"));
    let before = k.ok(process(1), tool::ListGenerated { pid: None });
    k.recover();
    assert_eq!(k.ok(process(1), tool::ListGenerated { pid: None }), before);
    assert_eq!(k.code(process(1), call("count")), "perform");
}

fn a_validated_tool_goes_into_an_image_and_is_callable_there(k: &mut Toolbox) {
    let mine: Image = text::from(json!({ "name": "mine", "version": "1", "tools": ["read_file"] }));
    k.ok(host(), image::Register { image: mine.clone(), replace: None });
    k.world.image = "mine".into();
    let digest = with_tool(k, 1);
    let promote = |digest: Digest, image: &str, version: &str| tool::Promote {
        name: "count".into(),
        digest,
        image: image.into(),
        version: version.into(),
    };
    let within = tool_of(1, "another");
    assert_eq!(k.refused(within, promote(digest, "mine", "2")).0, "nested");
    assert_eq!(k.refused(process(2), promote(digest, "mine", "2")).0, "not_found");
    let another = Digest::of(b"another");
    assert_eq!(k.refused(process(1), promote(another, "mine", "2")).0, "not_found");
    assert_eq!(k.refused(process(1), promote(digest, "mine", "1")).0, "exists");
    assert_eq!(k.refused(process(1), promote(digest, "base", "2")).0, "bad_tool");
    let draft = k.ok(process(1), propose("draft", "s")).digest;
    let unread = tool::Promote { name: "draft".into(), ..promote(draft, "mine", "2") };
    assert_eq!(k.refused(process(1), unread).0, "not_validated");

    let made = k.ok(process(1), promote(digest, "mine", "2"));
    assert_eq!((made.version.as_str(), made.has_tool("count")), ("2", true));
    // Every process of the image has it, within its own authority.
    let called = program(k, process(2), call("count"));
    assert_eq!((called.of, called.digest), (Pid(2), digest));
    assert_eq!(k.serve(process(2), call("read_file")), Err(Stop::Perform));
    // One that is not there is a copy of the caller's, with the generated tools it has.
    k.ok(process(1), promote(digest, "ours", "1"));
    k.world.image = "ours".into();
    assert_eq!(program(k, process(3), call("count")).digest, digest);
    k.recover();
    assert_eq!(program(k, process(3), call("count")).digest, digest);
    // What is registered anew has what it says, and nothing else.
    k.world.image = "mine".into();
    k.ok(host(), image::Register { image: mine, replace: Some(true) });
    assert_eq!(k.refused(process(2), call("count")).0, "denied");
}

fn the_image_of_a_process_has_the_tools_it_had_registered(k: &mut Toolbox) {
    let checkpoint = CheckpointId::new(1, 1);
    let digest = with_tool(k, 1);
    k.ok(process(1), propose("unfinished", "s"));
    k.ok(host(), tool::SaveTools { checkpoint, processes: vec![Pid(1)] });
    k.ok(process(1), unregister("count"));
    let commit =
        |image: Image, replace| image::CommitImage { checkpoint, of: Pid(1), image, replace };
    let bare = |name: &str| text::from::<Image>(json!({ "name": name, "version": "1" }));
    let made = k.ok(host(), commit(bare("mine"), None));
    assert_eq!(made.tools, ["count"], "what it had registered then");
    k.world.image = "mine".into();
    let called = program(k, process(2), call("count"));
    assert_eq!((called.of, called.digest), (Pid(2), digest));
    // Those of its base go along, even if the base is what it replaces.
    for name in ["mine", "ours"] {
        let image = Image { name: name.into(), ..Image::clone(&made) };
        let of_another = image::CommitImage { of: Pid(9), ..commit(image, Some(true)) };
        assert_eq!(k.ok(host(), of_another).tools, ["count"]);
        k.world.image = name.into();
        assert_eq!(program(k, process(3), call("count")).digest, digest);
    }
    k.recover();
    assert_eq!(program(k, process(3), call("count")).digest, digest);
    assert_eq!(k.refused(host(), commit(bare("mine"), None)).0, "exists");
    assert_eq!(k.refused(host(), commit(bare("base"), Some(true))).0, "built_in");
    assert_eq!(k.refused(host(), commit(bare("not a name"), None)).0, "bad_image");
}

fn a_checkpoint_keeps_tools_and_brings_them_back(k: &mut Toolbox) {
    let checkpoint = CheckpointId::new(1, 1);
    let digest = with_tool(k, 1);
    k.ok(host(), tool::SaveTools { checkpoint, processes: vec![Pid(1), Pid(2)] });
    // What is made and removed afterwards is no part of it.
    k.ok(process(1), unregister("count"));
    k.ok(process(1), propose("later", "s"));
    k.ok(process(2), propose("later", "s"));
    let copied = |from, to| Copied { from: Pid(from), to: Pid(to), parent: None };
    let processes = vec![copied(1, 7), copied(2, 8)];
    k.ok(host(), tool::CopyTools { checkpoint, processes });
    let called = program(k, process(7), call("count"));
    assert_eq!((called.of, called.digest), (Pid(7), digest));
    assert!(k.ok(process(8), tool::ListGenerated { pid: None }).tools.is_empty());
    k.ok(host(), tool::RestoreTools { checkpoint });
    assert_eq!(program(k, process(1), call("count")).digest, digest);
    for pid in [1, 2] {
        assert_eq!(k.refused(process(pid), inspect("later", None)).0, "not_found");
    }
    k.ok(host(), tool::ForgetTools { checkpoint });
    assert_eq!(k.code(process(1), call("count")), "perform", "what was brought back stays");
    k.recover();
}
