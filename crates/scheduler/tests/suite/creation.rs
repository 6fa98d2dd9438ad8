//! Making processes: launch, spawn, fork, background tasks, exec; and what becomes of a child's
//! memory.

use libos_abi::{
    CapId, GrantSpec, Json, Manifest, ObjectId, Origin, Pattern, Pid, Right, Rights, Syscall, Text,
    capability,
    event::ProcessEvent,
    object,
    process::{self, Budget, ForkMode, OnConflict, PlannerSpec, ProcessState, Schedule, Signal},
};
use libos_port::Component;

use crate::rig::{
    HOST, Rig, code, exec, exit, fault, fork, launch, planner_of, signal, spawn, task,
};

fn grant(on: &str) -> GrantSpec {
    GrantSpec::allow(on.parse::<Pattern>().unwrap(), [Right::Read].into_iter().collect())
}

/// What was issued: to whom, on what, which rights, how deep it may be handed on.
pub(crate) fn issues(rig: &Rig) -> Vec<(Pid, String, String, u8)> {
    let issue = |call: &Syscall| match call {
        Syscall::Capability(capability::Call::Issue(issue)) => Some((
            issue.to,
            issue.grant.on.as_str().to_owned(),
            issue.grant.rights.to_string(),
            issue.grant.delegable,
        )),
        _ => None,
    };
    rig.kernel.asked.iter().filter_map(issue).collect()
}

fn derived(rig: &Rig) -> Vec<GrantSpec> {
    let derive = |call: &Syscall| match call {
        Syscall::Capability(capability::Call::Derive(derive)) => Some(derive.grants.clone()),
        _ => None,
    };
    rig.kernel.asked.iter().filter_map(derive).next_back().unwrap()
}

/// The names of the calls that were sent, images left out.
fn asked(rig: &Rig) -> Vec<&'static str> {
    let names = rig.kernel.asked.iter().map(|call| call.info().name);
    names.filter(|name| !name.starts_with("image")).collect()
}

fn bounds(rig: &Rig) -> Vec<(Pid, Option<Pid>, Option<Manifest>)> {
    let bound = |call: &Syscall| match call {
        Syscall::Capability(capability::Call::Bound(call)) => {
            Some((call.pid, call.parent, call.manifest.clone()))
        }
        _ => None,
    };
    rig.kernel.asked.iter().filter_map(bound).collect()
}

fn manifest() -> Manifest {
    Manifest { calls: Some(vec!["fs.*".into()]), ..Manifest::default() }
}

#[test]
fn launch_makes_a_root_with_its_grants() {
    let mut rig = Rig::default();
    let mut call = launch(Budget { syscalls: Some(9), ..Budget::default() });
    call.grants = vec![grant("clock:now"), grant("fs:workspace/*")];
    let made = rig.call(HOST, call).unwrap();
    assert_eq!((made.pid, made.capabilities.len()), (Pid(1), 2));
    for call in &rig.kernel.asked {
        if let Syscall::Capability(capability::Call::Issue(issue)) = call {
            assert_eq!((issue.to, &issue.origin), (Pid(1), &Origin::Host));
        }
    }
    assert_eq!(bounds(&rig), [], "absent bounds nothing");
    let info = rig.info(Pid(1));
    assert_eq!((info.parent, info.root, info.state), (None, Pid(1), ProcessState::Runnable));
    assert_eq!((info.mode, info.owner, info.unread), (None, None, 0));
    assert_eq!(info.cwd.to_string(), "workspace");
    assert_eq!(info.workspace.as_deref(), Some("/home/user/project"));
    assert_eq!((info.planner.as_str(), info.started_at_ms), ("script", 1_000));
    rig.check_fold();
}

#[test]
fn a_process_is_bounded_before_it_is_given_anything() {
    let mut rig = Rig::default();
    let mut call = launch(Budget::default());
    call.grants = vec![grant("clock:now")];
    call.manifest = Some(manifest());
    let root = rig.call(HOST, call).unwrap().pid;
    assert_eq!(asked(&rig), ["capability.bound", "capability.issue"]);
    assert_eq!(bounds(&rig), [(root, None, Some(manifest()))]);

    rig.kernel.asked.clear();
    let child = rig.spawn(root, Budget::default());
    assert_eq!(bounds(&rig), [], "what bounds the parent comes along with what is cut from it");
    rig.kernel.asked.clear();
    let mut call = spawn(Budget::default());
    call.manifest = Some(Manifest::default());
    let bounded = rig.call(Some(child), call).unwrap().pid;
    assert_eq!(bounds(&rig), [(bounded, Some(child), Some(Manifest::default()))]);
    assert_eq!(asked(&rig), ["capability.bound", "capability.derive"]);

    rig.kernel.asked.clear();
    let mut call = fork(ForkMode::Copy);
    call.manifest = Some(manifest());
    let copy = rig.call(Some(child), call).unwrap().pid;
    assert_eq!(bounds(&rig), [(copy, Some(child), Some(manifest()))]);
    assert_eq!(asked(&rig)[..3], ["capability.bound", "capability.derive", "object.fork_space"]);
}

#[test]
fn a_launch_spawn_or_fork_that_fails_changes_nothing() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let before = (rig.scheduler.digest(), rig.journal.len());
    let mut unknown = launch(Budget::default());
    unknown.image = "nowhere".into();
    assert_eq!(code(&rig.call(HOST, unknown)), "unknown_image");
    let mut unknown = spawn(Budget::default());
    unknown.image = Some("nowhere".into());
    assert_eq!(code(&rig.call(Some(root), unknown)), "unknown_image");
    assert_eq!(code(&rig.call(HOST, spawn(Budget::default()))), "bad_message");
    assert_eq!(code(&rig.call(HOST, fork(ForkMode::Copy))), "bad_message");
    assert_eq!(code(&rig.call(Some(Pid(9)), spawn(Budget::default()))), "no_process");
    assert_eq!(code(&rig.call(Some(Pid(9)), fork(ForkMode::Worker))), "no_process");
    let mut granted = launch(Budget::default());
    granted.manifest = Some(manifest());
    granted.grants = vec![grant("clock:now"), grant("clock:sleep")];
    for nth in 1..=3 {
        rig.kernel.refuse_in = Some(nth);
        assert_eq!(code(&rig.call(HOST, granted.clone())), "bad_grant");
    }
    rig.kernel.refuse_in = Some(1);
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "bad_grant");
    for mode in [ForkMode::Copy, ForkMode::Speculative, ForkMode::Worker] {
        for nth in 1..=2 {
            rig.kernel.refuse_in = Some(nth);
            assert_eq!(code(&rig.call(Some(root), fork(mode))), "bad_grant");
        }
    }
    assert_eq!((rig.scheduler.digest(), rig.journal.len()), before);
    assert_eq!(rig.next(), Some(root));
    assert_eq!(rig.next(), None);
    assert_eq!(rig.launch(Budget::default()), Pid(2), "an id of an undone transaction is free");
}

#[test]
fn spawn_inherits_and_hands_on_what_is_listed() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let mut call = spawn(Budget::default());
    call.grants = Some(vec![grant("fs:workspace/*")]);
    let made = rig.call(Some(root), call).unwrap();
    assert_eq!(made.capabilities.len(), 1);
    assert_eq!(issues(&rig), []);
    let info = rig.info(made.pid);
    assert_eq!((info.parent, info.root), (Some(root), root));
    assert_eq!(info.cwd.to_string(), "workspace/src");
    assert_eq!(info.workspace.as_deref(), Some("/home/user/project"));
    let seen = rig.call(Some(root), process::Inspect { pid: made.pid }).unwrap();
    assert_eq!(seen.workspace, None, "the host's folder is the host's to see");
    rig.check_fold();
}

#[test]
fn a_planner_is_the_one_given_or_the_images_or_none() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    for (image, planner, kind) in [
        (None, None, "script"),
        (Some("plain"), None, "none"),
        (Some("plain"), Some("workflow"), "workflow"),
    ] {
        let mut call = spawn(Budget::default());
        call.image = image.map(str::to_owned);
        call.planner = planner.map(planner_of);
        let pid = rig.call(Some(root), call).unwrap().pid;
        assert_eq!(rig.info(pid).planner, kind);
    }
}

#[test]
fn children_and_levels_are_limited() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let mut pid = root;
    for _ in 1..64 {
        pid = rig.spawn(pid, Budget::default());
    }
    assert_eq!(code(&rig.call(Some(pid), spawn(Budget::default()))), "limit");
    assert_eq!(code(&rig.call(Some(pid), fork(ForkMode::Copy))), "limit");
    for _ in 1..1_024 {
        rig.spawn(root, Budget::default());
    }
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "limit");
    assert_eq!(code(&rig.call(Some(root), fork(ForkMode::Copy))), "limit");
    rig.call(Some(pid), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "limit");
    rig.call(Some(Pid(2)), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "ok");
}

#[test]
fn a_weight_is_from_one_up() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    for (weight, expected) in [(0, "bad_message"), (1, "ok"), (10_000, "ok"), (10_001, "limit")] {
        let schedule = Some(Schedule { weight: Some(weight), deadline: None });
        let call = process::Launch { schedule, ..launch(Budget::default()) };
        assert_eq!(code(&rig.call(HOST, call)), expected);
        let call = process::Spawn { schedule, ..spawn(Budget::default()) };
        assert_eq!(code(&rig.call(Some(root), call)), expected);
    }
}

#[test]
fn a_fork_has_its_parents_image_planner_and_tool_groups() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    rig.call(Some(root), process::ActivateTools { group: "web".into() }).unwrap();
    rig.kernel.asked.clear();
    let mut call = fork(ForkMode::Copy);
    call.grants = Some(vec![grant("fs:workspace/*")]);
    let made = rig.call(Some(root), call).unwrap();
    assert_eq!(made.capabilities.len(), 1);
    assert_eq!(derived(&rig), [grant("fs:workspace/*")], "what is listed and no more");
    assert_eq!(issues(&rig), []);
    assert_eq!(asked(&rig), ["capability.derive", "object.fork_space"]);
    assert!(rig.kernel.asked.contains(&object::ForkSpace { from: root, to: made.pid }.into()));
    let info = rig.info(made.pid);
    assert_eq!((info.parent, info.root, info.mode), (Some(root), root, Some(ForkMode::Copy)));
    assert_eq!((info.image.as_str(), info.planner.as_str()), ("worker", "script"));
    assert_eq!(
        (info.tool_groups, info.cwd.to_string()),
        (vec!["web".into()], "workspace/src".into())
    );
    assert_eq!(info.workspace.as_deref(), Some("/home/user/project"));
    rig.next();
    let order = rig.call(HOST, process::Next {}).unwrap().unwrap();
    assert_eq!(
        (order.pid, order.planner, order.state),
        (made.pid, planner_of("script"), Text::default())
    );

    let mut call = fork(ForkMode::Speculative);
    call.planner = Some(PlannerSpec { kind: "workflow".into(), program: Text::from("other") });
    let other = rig.call(Some(root), call).unwrap().pid;
    assert_eq!(rig.info(other).planner, "workflow");
    assert_eq!(rig.info(other).mode, Some(ForkMode::Speculative));
    let mut call = fork(ForkMode::Speculative);
    call.roots = Some(vec![ObjectId::new(1, 1)]);
    assert_eq!(code(&rig.call(Some(root), call)), "bad_message");
    rig.check_fold();
}

#[test]
fn a_worker_reads_the_roots_or_all_of_its_parents_memory() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let reads: Rights = [Right::Read, Right::Materialize].into_iter().collect();
    let on = |pattern: &str| GrantSpec::allow(pattern.parse().unwrap(), reads);

    let made = rig.call(Some(root), fork(ForkMode::Worker)).unwrap();
    assert_eq!(derived(&rig), [], "a parent that has made nothing has nothing to hand on");
    assert_eq!(rig.info(made.pid).mode, Some(ForkMode::Worker));
    rig.kernel.spaces.insert(root);
    let mut call = fork(ForkMode::Worker);
    call.grants = Some(vec![grant("clock:now")]);
    let made = rig.call(Some(root), call).unwrap();
    assert_eq!(derived(&rig), [grant("clock:now"), on("object:p1/*")]);
    assert_eq!(made.capabilities.len(), 1, "the capabilities of what was asked for");
    let mut call = fork(ForkMode::Worker);
    call.roots = Some(vec![ObjectId::new(1, 3), ObjectId::new(7, 1)]);
    rig.call(Some(root), call.clone()).unwrap();
    assert_eq!(derived(&rig), [on("object:p1/3"), on("object:p7/1")]);
    call.roots = Some(vec![]);
    rig.call(Some(root), call.clone()).unwrap();
    assert_eq!(derived(&rig), [], "no roots are not all roots");
    assert!(!asked(&rig).contains(&"object.fork_space"), "it copies nothing");
    call.roots = Some(vec![ObjectId::new(1, 1); 256]);
    assert_eq!(code(&rig.call(Some(root), call.clone())), "ok");
    call.roots = Some(vec![ObjectId::new(1, 1); 257]);
    assert_eq!(code(&rig.call(Some(root), call)), "limit");
    rig.check_fold();
}

#[test]
fn exec_goes_on_as_another_image_with_less() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    rig.call(Some(root), process::ActivateTools { group: "web".into() }).unwrap();
    let run = rig.run(root);
    rig.call(Some(root), process::Commit { state: Text::from("kept") }).unwrap();
    rig.run(root);
    let before = (rig.scheduler.digest(), rig.journal.len());
    assert_eq!(code(&rig.call(Some(root), exec("nowhere"))), "unknown_image");
    let call = process::Exec { keep: Some(vec![CapId(9_999)]), ..exec("plain") };
    assert_eq!(code(&rig.call(Some(root), call)), "not_held");
    assert_eq!(code(&rig.call(HOST, exec("plain"))), "bad_message");
    assert_eq!((rig.scheduler.digest(), rig.journal.len()), before);

    rig.kernel.asked.clear();
    let call = process::Exec { keep: Some(vec![CapId(3)]), ..exec("plain") };
    assert_eq!(rig.call(Some(root), call).unwrap().state, ProcessState::Runnable);
    let kept = capability::Keep { subject: root, keep: vec![CapId(3)], memory: true };
    assert!(rig.kernel.asked.contains(&kept.into()));
    let info = rig.info(root);
    assert_eq!((info.image.as_str(), info.planner.as_str()), ("plain", "none"));
    assert_eq!((info.goal, info.tool_groups), (Text::from("find the answer"), vec![]));
    assert_eq!(code(&rig.admit(root, run + 1, crate::rig::ONE)), "stale_run", "the run is over");
    let order = rig.call(HOST, process::Next {}).unwrap().unwrap();
    assert_eq!((order.quantum, order.state), (2, Text::default()), "nothing is kept");
    assert_eq!(order.planner.program, Text::default());

    let call = process::Exec {
        goal: Some(Text::from("another")),
        planner: Some(planner_of("workflow")),
        keep_objects: Some(false),
        ..exec("worker")
    };
    rig.call(Some(root), call).unwrap();
    let kept = capability::Keep { subject: root, keep: vec![], memory: false };
    assert!(rig.kernel.asked.contains(&kept.into()));
    let dropped = object::DropSpace { space: root };
    let dropped = rig.kernel.asked.iter().filter(|call| **call == dropped.clone().into()).count();
    assert_eq!(dropped, 1, "the objects go when they are not kept, and only then");
    let info = rig.info(root);
    assert_eq!((info.image.as_str(), info.planner.as_str()), ("worker", "workflow"));
    assert_eq!(info.goal, Text::from("another"));
    let planner = rig.call(HOST, process::Next {}).unwrap().unwrap().planner;
    assert_eq!(planner, planner_of("workflow"));
    rig.check_fold();
}

#[test]
fn the_host_forks_goes_on_and_exits_for_a_process_it_names() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let other = rig.launch(Budget::default());
    rig.kernel.spaces.insert(root);
    let named = |pid| (Some(pid), fork(ForkMode::Worker), exec("plain"), exit());
    for (by, pid, expected) in [
        (HOST, Pid(99), "no_process"),
        (Some(other), root, "denied"),
        (HOST, root, "ok"),
        (Some(root), root, "ok"),
    ] {
        let (pid, fork, exec, _) = named(pid);
        assert_eq!(code(&rig.call(by, process::Fork { pid, ..fork })), expected);
        assert_eq!(code(&rig.call(by, process::Exec { pid, ..exec })), expected);
    }
    assert_eq!(derived(&rig).len(), 1, "the named process's memory is what is read");
    let children = rig.call(Some(root), crate::rig::list()).unwrap().processes;
    assert_eq!(children.len(), 2);
    // A held process goes on as another image only on the host's word, and stays held.
    rig.call(HOST, signal(root, Signal::Pause)).unwrap();
    let (pid, _, exec, exit) = named(root);
    assert_eq!(code(&rig.call(Some(root), exec.clone())), "stale_run");
    let state = rig.call(HOST, process::Exec { pid, ..exec }).unwrap().state;
    assert_eq!(state, ProcessState::Paused);
    for (by, expected) in [(Some(other), "denied"), (HOST, "ok"), (HOST, "no_process")] {
        assert_eq!(code(&rig.call(by, process::Exit { pid, ..exit.clone() })), expected);
    }
    assert_eq!(rig.state(root), ProcessState::Exited);
    rig.check_fold();
}

#[test]
fn a_background_task_is_a_child_that_an_object_owns() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let owner = ObjectId::new(1, 1);
    assert_eq!(code(&rig.call(Some(root), task(owner))), "bad_message", "there is no such object");
    rig.kernel.objects.insert(owner);
    let mut call = task(owner);
    call.tool = "sur\"vey".into();
    call.args = Json(Text::from(r#"{"path":"src"}"#));
    call.grants = Some(vec![grant("fs:workspace/*")]);
    rig.kernel.asked.clear();
    let made = rig.call(Some(root), call).unwrap();
    assert_eq!((made.capabilities.len(), derived(&rig)), (1, vec![grant("fs:workspace/*")]));
    assert_eq!(issues(&rig), []);
    let info = rig.info(made.pid);
    assert_eq!((info.parent, info.owner, info.mode), (Some(root), Some(owner), None));
    assert_eq!((info.image.as_str(), info.planner.as_str()), ("worker", "workflow"));
    assert_eq!(info.goal, Text::from("run sur\"vey"));
    rig.next();
    let order = rig.call(HOST, process::Next {}).unwrap().unwrap();
    let program = r#"{"args":{"path":"src"},"tool":"sur\"vey"}"#;
    assert_eq!(order.planner.program, Text::from(program));

    assert_eq!(code(&rig.call(HOST, task(owner))), "bad_message");
    for (args, expected) in [
        ("[]".to_owned(), "bad_message"),
        ("{".into(), "bad_message"),
        (format!(r#"{{"a":"{}"}}"#, "x".repeat(4_096)), "limit"),
    ] {
        let mut call = task(owner);
        call.args = Json(Text::from(args));
        assert_eq!(code(&rig.call(Some(root), call)), expected);
    }
    let mut call = task(owner);
    call.tool = "x".repeat(257);
    assert_eq!(code(&rig.call(Some(root), call)), "limit");
    rig.check_fold();
}

#[test]
fn background_tasks_are_limited_and_end_with_their_object() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.spawn(root, Budget::default());
    let owners: Vec<ObjectId> = (1..=5).map(|number| ObjectId::new(1, number)).collect();
    rig.kernel.objects.extend(owners.iter().copied());
    let listed = |rig: &mut Rig, owner| {
        let list = rig.call(Some(root), process::ListTasks { owner }).unwrap().processes;
        list.into_iter().map(|info| (info.pid, info.state)).collect::<Vec<_>>()
    };
    for owner in &owners[..4] {
        for by in [root, child, root, child] {
            rig.call(Some(by), task(*owner)).unwrap();
        }
        assert_eq!(code(&rig.call(Some(root), task(*owner))), "limit", "four of one object");
    }
    assert_eq!(code(&rig.call(Some(root), task(owners[4]))), "limit", "sixteen below one root");
    let other = rig.launch(Budget::default());
    assert_eq!(code(&rig.call(Some(other), task(owners[4]))), "ok", "another root has its own");

    let tasks = listed(&mut rig, owners[0]);
    assert_eq!(tasks.len(), 4);
    rig.call(Some(tasks[1].0), exit()).unwrap();
    let ended = (tasks[1].0, ProcessState::Exited);
    assert_eq!(listed(&mut rig, owners[0])[1], ended, "an ended one is listed in its place");
    assert_eq!(code(&rig.call(Some(root), task(owners[0]))), "ok", "an ended one leaves its room");
    let host = rig.call(HOST, process::ListTasks { owner: owners[0] }).unwrap().processes;
    assert!(host.iter().all(|info| info.workspace.is_some() && info.owner == Some(owners[0])));
    let unknown = process::ListTasks { owner: owners[0] };
    assert_eq!(code(&rig.call(Some(Pid(99)), unknown)), "no_process");

    let below = rig.spawn(tasks[0].0, Budget::default());
    rig.call(HOST, process::EndTasks { owner: owners[0] }).unwrap();
    let states: Vec<ProcessState> =
        listed(&mut rig, owners[0]).into_iter().map(|(_, state)| state).collect();
    let killed = ProcessState::Killed;
    assert_eq!(states, [killed, ProcessState::Exited, killed, killed, killed]);
    assert_eq!(rig.state(below), killed);
    let message = rig.info(tasks[0].0).ending.unwrap().message.unwrap();
    assert_eq!(message, "obj-1.1, which owned it, was removed");
    assert!(listed(&mut rig, owners[1]).iter().all(|(_, state)| !state.is_terminal()));
    assert_eq!(rig.state(root), ProcessState::Runnable);
    let before = rig.journal.len();
    rig.call(HOST, process::EndTasks { owner: owners[0] }).unwrap();
    assert_eq!(rig.journal.len(), before, "once");
    rig.check_fold();
}

#[test]
fn only_an_ended_childs_memory_is_merged_or_dropped() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.call(Some(root), fork(ForkMode::Speculative)).unwrap().pid;
    let below = rig.spawn(child, Budget::default());
    let merge = |pid| process::Merge { pid, on_conflict: None };
    for (by, pid, expected) in [
        (Some(root), child, "still_running"),
        (Some(root), below, "not_a_child"),
        (Some(root), Pid(99), "not_a_child"),
        (Some(child), root, "not_a_child"),
        (Some(Pid(99)), child, "no_process"),
        (HOST, child, "bad_message"),
    ] {
        assert_eq!(code(&rig.call(by, merge(pid))), expected);
        assert_eq!(code(&rig.call(by, process::Discard { pid })), expected);
    }
    rig.call(Some(root), signal(child, Signal::Terminate)).unwrap();
    rig.kernel.asked.clear();
    let merged = rig.call(Some(root), merge(child)).unwrap();
    assert_eq!(merged.updated, [ObjectId::new(1, 1)]);
    let call = process::Merge { pid: child, on_conflict: Some(OnConflict::Parent) };
    rig.call(Some(root), call).unwrap();
    let asked = |on_conflict| object::MergeSpace { from: child, into: root, on_conflict }.into();
    assert_eq!(rig.kernel.asked, [asked(OnConflict::Fail), asked(OnConflict::Parent)]);
    rig.kernel.conflicts = true;
    assert_eq!(code(&rig.call(Some(root), merge(child))), "merge_conflict");
    rig.kernel.asked.clear();
    assert_eq!(rig.call(Some(root), process::Discard { pid: child }).unwrap().objects, 7);
    assert_eq!(rig.kernel.asked, [object::DropSpace { space: child }.into()]);
    rig.kernel.refuse_in = Some(1);
    assert_eq!(code(&rig.call(Some(root), process::Discard { pid: child })), "bad_grant");
    rig.check_fold();
}

#[test]
fn tool_groups_are_activated_once_and_only_those_of_the_image() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let activate = |group: &str| process::ActivateTools { group: group.into() };
    assert_eq!(code(&rig.call(Some(root), activate("none"))), "unknown_group");
    assert_eq!(code(&rig.call(HOST, activate("web"))), "bad_message");
    assert_eq!(code(&rig.call(Some(Pid(9)), activate("web"))), "no_process");
    assert_eq!(rig.call(Some(root), activate("web")).unwrap().groups, ["web"]);
    assert_eq!(rig.call(Some(root), activate("files")).unwrap().groups, ["web", "files"]);
    let before = rig.journal.len();
    assert_eq!(rig.call(Some(root), activate("web")).unwrap().groups, ["web", "files"]);
    assert_eq!(rig.journal.len(), before, "what is active already is no event");
    let run = rig.run(root);
    let admission = rig.admit(root, run, crate::rig::ONE).unwrap();
    assert_eq!(
        admission.tool_groups.iter().map(|group| &**group).collect::<Vec<_>>(),
        ["web", "files"]
    );
    let child = rig.spawn(root, Budget::default());
    assert!(rig.info(child).tool_groups.is_empty(), "a spawned child begins with none");

    let image = rig.kernel.images.get_mut("worker").unwrap();
    let group = image.tool_groups[0].clone();
    image.tool_groups = (0..65)
        .map(|number| libos_abi::image::ToolGroup { name: format!("g{number}"), ..group.clone() })
        .collect();
    for number in 0..62 {
        rig.call(Some(root), activate(&format!("g{number}"))).unwrap();
    }
    assert!(matches!(
        fault(rig.call(Some(root), activate("g62"))),
        libos_abi::Fault::Limit { limit: 64, .. }
    ));
    rig.kernel.images.remove("worker");
    assert_eq!(code(&rig.call(Some(child), activate("web"))), "unknown_group");
    rig.check_fold();
}

#[test]
fn a_forged_event_makes_no_process_twice() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let again = rig.journal.clone();
    let before = rig.scheduler.digest();
    for event in &again {
        assert!(matches!(event, libos_abi::Event::Process(ProcessEvent::Spawned { .. })));
        rig.scheduler.apply(event);
    }
    assert_eq!(rig.scheduler.digest(), before);
    assert_eq!(rig.next(), Some(root));
}
