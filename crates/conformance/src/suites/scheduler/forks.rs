//! Forks, other images, background tasks, and the memory that children leave.

use libos_abi::{
    CapId, ObjectId, Pattern, Pid, Resource, Right, Syscall, capability,
    image::Image,
    object,
    process::{self, ForkMode, OnConflict, ProcessState},
};
use serde_json::{Value, json};

use super::{Table, child, exit, info, launch, planner, root, run};
use crate::{host, process as pid_of, text};

fn fork(mode: &str, with: Value) -> process::Fork {
    let mut json = json!({ "goal": "try it", "mode": mode });
    for (key, value) in with.as_object().into_iter().flatten() {
        json[key] = value.clone();
    }
    text::from(json)
}

/// What the last call sent to a service.
fn sent<T>(k: &Table, pick: impl Fn(&Syscall) -> Option<T>) -> Vec<T> {
    k.world.sent.iter().filter_map(pick).collect()
}

fn derived(call: &Syscall) -> Option<capability::Derive> {
    match call {
        Syscall::Capability(capability::Call::Derive(derive)) => Some(derive.clone()),
        _ => None,
    }
}

fn forked(call: &Syscall) -> Option<(Pid, Pid)> {
    match call {
        Syscall::Object(object::Call::ForkSpace(fork)) => Some((fork.from, fork.to)),
        _ => None,
    }
}

pub(super) fn a_fork_shares_memory_as_its_mode_says(k: &mut Table) {
    let parent = root(k);
    for (mode, kind) in [("copy", ForkMode::Copy), ("speculative", ForkMode::Speculative)] {
        let made = k.ok(parent, fork(mode, json!({})));
        assert_eq!(sent(k, forked), [(parent, made.pid)]);
        assert_eq!(sent(k, derived)[0].grants, [], "nothing but what is listed");
        let seen = info(k, made.pid);
        assert_eq!((seen.parent, seen.mode), (Some(parent), Some(kind)));
        assert_eq!((&*seen.image, &*seen.planner), ("worker", "script"), "those of its parent");
    }
    // A worker reads what it is shown, and has no copy.
    let id = ObjectId { space: parent, number: 4 };
    let made = k.ok(parent, fork("worker", json!({ "roots": [id] })));
    assert_eq!(sent(k, forked), []);
    let grants = sent(k, derived).remove(0).grants;
    let [grant] = &grants[..] else { panic!("one root is one grant: {grants:?}") };
    assert_eq!(grant.on, Pattern::exact(&Resource::object(id)));
    assert!(grant.rights.contains(Right::Read) && !grant.rights.contains(Right::Write));
    assert!(made.capabilities.is_empty(), "only what was asked for is told");
    assert_eq!(info(k, made.pid).mode, Some(ForkMode::Worker));
    k.world.says(parent.0, Right::Read, Resource::space(parent), libos_abi::Effect::Allow);
    k.ok(parent, fork("worker", json!({})));
    assert_eq!(sent(k, derived)[0].grants[0].on, Pattern::space(parent));
    assert_eq!(k.refused(parent, fork("copy", json!({ "roots": [id] }))).0, "bad_message");
}

pub(super) fn another_image_is_gone_on_with_and_authority_only_shrinks(k: &mut Table) {
    let pid = root(k);
    let number = run(k, pid);
    let exec = |image: &str| -> process::Exec {
        text::from(json!({ "image": image, "goal": "go on", "keep": ["cap-3"] }))
    };
    assert_eq!(k.refused(pid, exec("nowhere")).0, "unknown_image");
    k.world.answer("capability.keep", |_| {
        Err(capability::FailureKind::NotFound.because("it does not hold that"))
    });
    assert_eq!(k.refused(pid, exec("plain")).0, "not_held");
    assert_eq!(&*info(k, pid).image, "worker", "a refused exec changes nothing");
    k.world.answer_as_ever("capability.keep");
    k.ok(pid, exec("plain"));
    let kept = sent(k, |call| match call {
        Syscall::Capability(capability::Call::Keep(keep)) => Some(keep.clone()),
        _ => None,
    });
    assert_eq!(kept, [capability::Keep { subject: pid, keep: vec![CapId(3)], memory: true }]);
    assert!(k.world.issued().is_empty(), "an image gives nothing");
    let seen = info(k, pid);
    assert_eq!((&*seen.image, &*seen.planner), ("plain", "none"));
    assert_eq!((seen.goal, seen.state), ("go on".into(), ProcessState::Runnable));
    // The run of before is over, and the new planner begins with nothing kept.
    assert_eq!(k.refused(host(), super::admit(pid, number)).0, "stale_run");
    let order = k.ok(host(), process::Next {}).expect("it goes on");
    assert!(order.run > number && order.state == libos_abi::Text::default());
}

pub(super) fn a_background_task_is_owned_by_an_object(k: &mut Table) {
    let parent = root(k);
    let [owner, other] = [1, 2].map(|number| ObjectId { space: parent, number });
    k.world.objects.extend([owner, other]);
    let start = |owner: ObjectId, args: Value| -> process::StartTask {
        text::from(json!({ "owner": owner, "tool": "survey", "args": args }))
    };
    let tasks = |k: &mut Table, owner| {
        let listed = k.ok(parent, process::ListTasks { owner }).processes;
        listed.iter().map(|info| (info.pid, info.state)).collect::<Vec<_>>()
    };
    let first = k.ok(parent, start(owner, json!({ "depth": 1 }))).pid;
    let second = k.ok(parent, start(owner, json!({}))).pid;
    let beside = k.ok(parent, start(other, json!({}))).pid;
    assert_eq!(info(k, first).owner, Some(owner));
    let runnable = ProcessState::Runnable;
    assert_eq!(tasks(k, owner), [(first, runnable), (second, runnable)]);
    let gone = ObjectId { space: parent, number: 9 };
    assert_eq!(k.refused(parent, start(gone, json!({}))).0, "bad_message");
    assert_eq!(k.refused(parent, start(owner, json!([1]))).0, "bad_message");
    k.ok(first, exit());
    k.ok(host(), process::EndTasks { owner });
    assert_eq!(tasks(k, owner), [(first, ProcessState::Exited), (second, ProcessState::Killed)]);
    assert_eq!(info(k, beside).state, runnable);
}

pub(super) fn the_memory_of_an_ended_child_is_merged_or_dropped(k: &mut Table) {
    let parent = root(k);
    let one = child(k, parent);
    let merge = |pid| process::Merge { pid, on_conflict: Some(OnConflict::Parent) };
    let discard = |pid| process::Discard { pid };
    assert_eq!(k.refused(parent, merge(one)).0, "still_running");
    assert_eq!(k.refused(parent, discard(one)).0, "still_running");
    k.ok(one, exit());
    for pid in [Pid(999), parent] {
        assert_eq!(k.refused(parent, merge(pid)).0, "not_a_child");
        assert_eq!(k.refused(parent, discard(pid)).0, "not_a_child");
    }
    k.ok(parent, merge(one));
    let merged = sent(k, |call| match call {
        Syscall::Object(object::Call::MergeSpace(merge)) => Some(merge.clone()),
        _ => None,
    });
    let on_conflict = OnConflict::Parent;
    assert_eq!(merged, [object::MergeSpace { from: one, into: parent, on_conflict }]);
    k.world.answer("object.merge_space", |_| {
        Err(object::FailureKind::VersionConflict.because("both have changed it"))
    });
    assert_eq!(k.refused(parent, merge(one)).0, "merge_conflict");
    assert_eq!(k.ok(parent, discard(one)).objects, 7);
    assert_eq!(k.refused(pid_of(999), discard(one)).0, "no_process");
}

pub(super) fn a_tool_group_is_activated_for_the_process(k: &mut Table) {
    let group = |name: &str| json!({ "name": name, "description": "d", "tools": ["read_file"] });
    let image: Image = text::from(json!({
        "name": "grouped", "version": "1", "tool_groups": [group("files"), group("host")],
    }));
    k.world.images.insert("grouped".into(), image);
    let call = process::Launch { image: "grouped".into(), planner: planner("none"), ..launch() };
    let pid = k.ok(host(), call).pid;
    let activate = |group: &str| process::ActivateTools { group: group.into() };
    assert_eq!(k.ok(pid, activate("host")).groups, ["host"]);
    assert_eq!(k.ok(pid, activate("files")).groups, ["host", "files"]);
    let events = k.journal.len();
    assert_eq!(k.ok(pid, activate("host")).groups, ["host", "files"]);
    assert_eq!(k.journal.len(), events, "it is active already");
    assert_eq!(k.refused(pid, activate("more")).0, "unknown_group");
    assert_eq!(info(k, pid).tool_groups, ["host", "files"]);
    assert!(k.world.issued().is_empty(), "showing tools grants nothing");
}
