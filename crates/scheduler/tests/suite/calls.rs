//! Every call: what it does, and each way it fails.

use libos_abi::{
    Event, Fault, GrantSpec, Json, Millis, ObjectId, Origin, Pattern, Pid, Right, Syscall, Text,
    capability, clock,
    event::ProcessEvent,
    process::{self, Budget, ProcessState, Signal, Wait, WaitOn},
};
use libos_port::{Component, Stop};

use crate::rig::{
    HOST, Rig, code, exit, fault, launch, planner_of, receive, send, signal, spawn, wait,
};

fn budget(syscalls: Option<u64>, wall: Option<u64>, children: Option<u64>) -> Budget {
    Budget { syscalls, wall: wall.map(Millis), children }
}

fn grant(on: &str) -> GrantSpec {
    GrantSpec::allow(on.parse::<Pattern>().unwrap(), [Right::Read].into_iter().collect())
}

fn issues(rig: &Rig) -> Vec<(Pid, String, String, u8)> {
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

#[test]
fn launch_makes_a_root_with_its_grants() {
    let mut rig = Rig::default();
    let mut call = launch(budget(Some(9), None, None));
    call.grants = vec![grant("clock:now"), grant("fs:workspace/*")];
    let made = rig.call(HOST, call).unwrap();
    assert_eq!((made.pid, made.capabilities.len()), (Pid(1), 2));
    for call in &rig.kernel.asked {
        if let Syscall::Capability(capability::Call::Issue(issue)) = call {
            assert_eq!((issue.to, &issue.origin), (Pid(1), &Origin::Host));
        }
    }
    let info = rig.info(Pid(1));
    assert_eq!((info.parent, info.root, info.state), (None, Pid(1), ProcessState::Runnable));
    assert_eq!(info.cwd.to_string(), "workspace");
    assert_eq!(info.workspace.as_deref(), Some("/home/user/project"));
    assert_eq!((info.planner.as_str(), info.started_at_ms), ("script", 1_000));
    rig.check_fold();
}

#[test]
fn a_launch_or_spawn_that_fails_changes_nothing() {
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
    assert_eq!(code(&rig.call(Some(Pid(9)), spawn(Budget::default()))), "no_process");
    let mut granted = launch(Budget::default());
    granted.grants = vec![grant("clock:now"), grant("clock:sleep")];
    rig.kernel.refuse_in = Some(2);
    assert_eq!(code(&rig.call(HOST, granted)), "bad_grant");
    for nth in 1..=3 {
        rig.kernel.refuse_in = Some(nth);
        assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "bad_grant");
    }
    assert_eq!((rig.scheduler.digest(), rig.journal.len()), before);
    assert_eq!(rig.next(), Some(root));
    assert_eq!(rig.next(), None);
    assert_eq!(rig.launch(Budget::default()), Pid(2), "an id of an undone transaction is free");
}

#[test]
fn spawn_inherits_and_lets_parent_and_child_write_to_each_other() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let mut call = spawn(Budget::default());
    call.grants = Some(vec![grant("fs:workspace/*")]);
    let made = rig.call(Some(root), call).unwrap();
    assert_eq!(made.capabilities.len(), 1);
    assert_eq!(
        issues(&rig),
        [
            (root, "process:p2".into(), "write".into(), 0),
            (made.pid, "process:p1".into(), "write".into(), 0),
        ]
    );
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
fn a_childs_budget_is_within_what_is_left() {
    let mut rig = Rig::default();
    let root = rig.launch(budget(Some(10), Some(100), Some(3)));
    let run = rig.run(root);
    for _ in 0..4 {
        rig.call(HOST, process::Admit { pid: root, run }).unwrap();
    }
    rig.kernel.now_ms += 40;
    for (asked, expected) in [
        (budget(Some(7), None, None), "over_budget"),
        (budget(None, Some(61), None), "over_budget"),
        (budget(None, None, Some(3)), "over_budget"),
        (budget(Some(6), Some(60), Some(2)), "ok"),
        (budget(None, None, None), "ok"),
    ] {
        assert_eq!(code(&rig.call(Some(root), spawn(asked))), expected);
    }
    let child = Pid(3);
    assert_eq!(rig.info(child).budget, Budget::default(), "no limit is inherited");
    rig.spawn(child, budget(Some(1_000), None, None));
    let Fault::OverBudget { what, limit } = fault(rig.call(Some(child), spawn(Budget::default())))
    else {
        panic!("the root's budget of children is used up");
    };
    assert_eq!((what.as_str(), limit), ("children of p1", 3));
    assert_eq!(rig.info(root).usage.children, 3);
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
    for _ in 1..1_024 {
        rig.spawn(root, Budget::default());
    }
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "limit");
    rig.call(Some(pid), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "limit");
    rig.call(Some(Pid(2)), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "ok");
}

#[test]
fn wait_tells_how_a_child_ended() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.spawn(root, Budget::default());
    let other = rig.spawn(child, Budget::default());
    assert_eq!(code(&rig.call(Some(root), wait(other, None))), "not_a_child");
    assert_eq!(code(&rig.call(Some(root), wait(root, None))), "not_a_child");
    assert_eq!(code(&rig.call(Some(root), wait(Pid(99), None))), "not_a_child");
    assert_eq!(code(&rig.call(HOST, wait(Pid(99), None))), "not_a_child");
    assert_eq!(code(&rig.call(HOST, wait(other, None))), "wait");
    assert_eq!(code(&rig.call(Some(root), wait(child, Some(0)))), "timed_out");
    assert_eq!(
        rig.call(Some(root), wait(child, None)),
        Err(Stop::Wait(Wait { on: WaitOn::Child(child), until_ms: None }))
    );
    assert_eq!(
        rig.call(Some(root), wait(child, Some(50))),
        Err(Stop::Wait(Wait { on: WaitOn::Child(child), until_ms: Some(1_050) }))
    );
    rig.kernel.now_ms = 1_049;
    assert_eq!(code(&rig.again(Some(root), wait(child, Some(50)))), "wait");
    rig.kernel.now_ms = 1_050;
    assert_eq!(code(&rig.again(Some(root), wait(child, Some(50)))), "timed_out");

    rig.kernel.asked.clear();
    let call = process::Exit {
        result: Some(ObjectId(7)),
        message: Some("done".into()),
        failed: None,
        code: None,
    };
    assert_eq!(rig.call(Some(child), call).unwrap().state, ProcessState::Exited);
    let rights = "read+materialize+link+diff";
    let shared = issues(&rig);
    assert_eq!(shared.len(), 1);
    let (to, on, given, delegable) = &shared[0];
    assert_eq!((*to, on.as_str(), *delegable), (root, "object:obj-7", 1));
    assert_eq!(sorted(given), sorted(rights));
    for _ in 0..2 {
        let ending = rig.call(Some(root), wait(child, Some(0))).unwrap();
        assert_eq!((ending.state, ending.result), (ProcessState::Exited, Some(ObjectId(7))));
        assert_eq!(ending.message.as_deref(), Some("done"));
    }
    assert_eq!(issues(&rig).len(), 1, "the result is handed over once");
    rig.check_fold();
}

fn sorted(rights: &str) -> Vec<&str> {
    let mut rights: Vec<&str> = rights.split('+').collect();
    rights.sort_unstable();
    rights
}

#[test]
fn exit_ends_well_or_badly() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.spawn(root, Budget::default());
    assert_eq!(code(&rig.call(HOST, exit())), "bad_message");
    let mut long = exit();
    long.message = Some("x".repeat((32 << 10) + 1));
    assert_eq!(code(&rig.call(Some(root), long)), "limit");
    let mut long = exit();
    long.code = Some("x".repeat(257));
    assert_eq!(code(&rig.call(Some(root), long)), "limit");
    let mut failed = exit();
    failed.failed = Some(true);
    failed.code = Some("denied".into());
    assert_eq!(rig.call(Some(root), failed).unwrap().state, ProcessState::Failed);
    assert_eq!(code(&rig.call(Some(root), exit())), "no_process");

    rig.kernel.asked.clear();
    let mut result = exit();
    result.result = Some(ObjectId(1));
    rig.call(Some(child), result).unwrap();
    assert_eq!(issues(&rig), [], "nobody is left to hand the result to");
    let info = rig.info(root);
    let ending = info.ending.unwrap();
    assert_eq!((ending.code.as_deref(), ending.at_ms), (Some("denied"), 1_000));
    assert_eq!(info.goal, Text::from("find the answer"));
    rig.check_fold();
}

#[test]
fn terminate_ends_the_subtree_deepest_first() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let target = rig.spawn(root, Budget::default());
    let left = rig.spawn(target, Budget::default());
    let gone = rig.spawn(target, Budget::default());
    let orphan = rig.spawn(gone, Budget::default());
    let beside = rig.spawn(root, Budget::default());
    rig.call(Some(gone), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(root), signal(left, Signal::Terminate))), "not_a_child");
    assert_eq!(code(&rig.call(HOST, signal(Pid(99), Signal::Terminate))), "not_a_child");
    let before = rig.journal.len();
    let reply = rig.call(Some(root), signal(target, Signal::Terminate)).unwrap();
    assert_eq!(reply.state, ProcessState::Killed);
    let ended: Vec<(Pid, Option<String>)> = rig.journal[before..]
        .iter()
        .map(|event| match event {
            Event::Process(ProcessEvent::Ended { pid, ending }) => (*pid, ending.message.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let above = Some("p2, above it, was ended".to_owned());
    assert_eq!(ended, [(orphan, above.clone()), (left, above), (target, Some("because".into()))]);
    for pid in [root, beside] {
        assert_eq!(rig.state(pid), ProcessState::Runnable);
    }
    assert_eq!(code(&rig.call(HOST, signal(target, Signal::Terminate))), "already_ended");
    let mut long = signal(beside, Signal::Pause);
    long.reason = Some("x".repeat(40_000));
    assert_eq!(code(&rig.call(HOST, long)), "limit");
    rig.check_fold();
}

#[test]
fn a_pause_remembers_what_it_held() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.spawn(root, Budget::default());
    // Running: the run is over.
    let run = rig.run(child);
    rig.call(Some(root), signal(child, Signal::Pause)).unwrap();
    assert_eq!(fault(rig.call(HOST, process::Admit { pid: child, run })), Fault::StaleRun);
    rig.call(Some(root), signal(child, Signal::Resume)).unwrap();
    assert_eq!(rig.run(child), run + 1);
    // Waiting: it goes back to its wait.
    rig.block(child);
    let held = rig.info(child).wait;
    rig.call(Some(root), signal(child, Signal::Pause)).unwrap();
    assert_eq!(rig.info(child).wait, None);
    rig.call(Some(root), signal(child, Signal::Resume)).unwrap();
    assert_eq!((rig.state(child), rig.info(child).wait), (ProcessState::Waiting, held));
    // Waiting, and the wait ends meanwhile: it runs once it is resumed, not before.
    rig.call(HOST, signal(child, Signal::Pause)).unwrap();
    let reply = rig.call(HOST, process::Ready { pid: child }).unwrap();
    assert_eq!(reply.state, ProcessState::Paused);
    let before = rig.journal.len();
    rig.call(HOST, process::Ready { pid: child }).unwrap();
    assert_eq!(rig.journal.len(), before, "a wait ends once");
    while rig.next().is_some() {}
    assert_eq!(code(&rig.call(Some(root), signal(child, Signal::Resume))), "held_by_host");
    // A parent's pause over the host's does not weaken it.
    rig.call(Some(root), signal(child, Signal::Pause)).unwrap();
    assert_eq!(code(&rig.call(Some(root), signal(child, Signal::Resume))), "held_by_host");
    rig.call(HOST, signal(child, Signal::Resume)).unwrap();
    assert_eq!(rig.next(), Some(child));
    // The host's over a parent's takes it over.
    rig.call(Some(root), signal(child, Signal::Pause)).unwrap();
    rig.call(HOST, signal(child, Signal::Pause)).unwrap();
    assert_eq!(code(&rig.call(Some(root), signal(child, Signal::Resume))), "held_by_host");
    rig.check_fold();
}

#[test]
fn list_and_inspect_show_children_and_to_the_host_all() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.spawn(root, Budget::default());
    let below = rig.spawn(child, Budget::default());
    let other = rig.launch(Budget::default());
    let mut pids = |by| {
        let list = rig.call(by, process::List {}).unwrap().processes;
        list.iter().map(|info| info.pid).collect::<Vec<_>>()
    };
    assert_eq!(pids(HOST), [root, child, below, other]);
    assert_eq!(pids(Some(root)), [child]);
    assert_eq!(pids(Some(other)), []);
    for (by, pid, expected) in [
        (HOST, below, "ok"),
        (HOST, Pid(99), "not_found"),
        (Some(root), root, "ok"),
        (Some(root), child, "ok"),
        (Some(root), below, "not_a_child"),
        (Some(root), Pid(99), "not_a_child"),
        (Some(child), root, "not_a_child"),
        (Some(Pid(99)), Pid(99), "no_process"),
    ] {
        assert_eq!(code(&rig.call(by, process::Inspect { pid })), expected);
    }
}

#[test]
fn chdir_moves() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let path = libos_abi::FsPath::from("workspace/docs");
    rig.call(Some(root), process::Chdir { path: path.clone() }).unwrap();
    assert_eq!(rig.call(Some(root), process::GetCwd {}).unwrap().path, path);
    assert_eq!(code(&rig.call(HOST, process::GetCwd {})), "bad_message");
    assert_eq!(code(&rig.call(HOST, process::Chdir { path })), "bad_message");
    rig.check_fold();
}

#[test]
fn commit_ends_the_quantum() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let state = Text::from("kept");
    let call = process::Commit { state };
    assert_eq!(code(&rig.call(Some(root), call.clone())), "stale_run");
    assert_eq!(code(&rig.call(HOST, call.clone())), "bad_message");
    let order = rig.call(HOST, process::Next {}).unwrap().unwrap();
    assert_eq!((order.run, order.quantum, order.state), (1, 0, Text::default()));
    assert_eq!(order.planner, planner_of("script"));
    rig.call(Some(root), call).unwrap();
    let order = rig.call(HOST, process::Next {}).unwrap().unwrap();
    assert_eq!((order.run, order.quantum, order.state), (2, 1, Text::from("kept")));
    rig.check_fold();
}

#[test]
fn stale_runs_are_fenced() {
    let mut rig = Rig::default();
    let pid = rig.launch(Budget::default());
    let admit = |run| process::Admit { pid, run };
    assert_eq!(fault(rig.call(HOST, admit(1))), Fault::StaleRun, "it does not run yet");
    assert_eq!(code(&rig.call(HOST, admit(0))), "ok", "an operation that was admitted before");
    let first = rig.run(pid);
    let admission = rig.call(HOST, admit(first)).unwrap();
    assert_eq!((admission.root, admission.ancestors, admission.quantum), (pid, vec![], 0));
    assert_eq!(admission.workspace.as_deref(), Some("/home/user/project"));
    assert_eq!(fault(rig.call(HOST, admit(first + 1))), Fault::StaleRun);
    rig.block(pid);
    assert_eq!(fault(rig.call(HOST, admit(first))), Fault::StaleRun);
    rig.call(HOST, process::Ready { pid }).unwrap();
    assert_eq!(fault(rig.call(HOST, admit(first))), Fault::StaleRun);
    let second = rig.run(pid);
    assert_eq!(fault(rig.call(HOST, admit(first))), Fault::StaleRun, "the old run is over");
    assert_eq!(code(&rig.call(HOST, admit(second))), "ok");
    rig.call(Some(pid), exit()).unwrap();
    assert_eq!(fault(rig.call(HOST, admit(second))), Fault::NoProcess);
    let unknown = process::Admit { pid: Pid(9), run: 0 };
    assert_eq!(fault(rig.call(HOST, unknown)), Fault::NoProcess);
}

#[test]
fn budgets_stop_calls_at_every_level() {
    let mut rig = Rig::default();
    let root = rig.launch(budget(Some(3), Some(1_000), None));
    let child = rig.spawn(root, Budget::default());
    let (root_run, child_run) = (rig.run(root), rig.run(child));
    for (pid, run) in [(root, root_run), (child, child_run), (child, child_run)] {
        let admission = rig.call(HOST, process::Admit { pid, run }).unwrap();
        assert_eq!(admission.ancestors.len(), usize::from(pid == child));
    }
    let Fault::OverBudget { what, limit } =
        fault(rig.call(HOST, process::Admit { pid: child, run: child_run }))
    else {
        panic!("the root's budget is used up");
    };
    assert_eq!((what.as_str(), limit), ("system calls of p1", 3));
    assert_eq!(rig.info(root).usage.syscalls, 3);
    assert_eq!(rig.info(child).usage.syscalls, 2);

    let timed = rig.launch(budget(None, Some(100), None));
    let run = rig.run(timed);
    let before = rig.journal.len();
    rig.kernel.now_ms += 100;
    rig.call(HOST, process::Admit { pid: timed, run }).unwrap();
    assert_eq!(rig.journal.len(), before, "calls are counted where a budget counts them only");
    rig.kernel.now_ms += 1;
    assert_eq!(code(&rig.call(HOST, process::Admit { pid: timed, run })), "over_budget");
    rig.check_fold();
}

#[test]
fn recover_puts_the_running_back_in_the_order_of_ids() {
    let mut rig = Rig::default();
    let pids: Vec<Pid> = (0..6).map(|_| rig.launch(Budget::default())).collect();
    for _ in &pids {
        rig.next();
    }
    rig.block(pids[1]);
    rig.call(HOST, signal(pids[2], Signal::Pause)).unwrap();
    rig.call(Some(pids[3]), exit()).unwrap();
    rig.call(Some(pids[5]), process::Commit { state: Text::default() }).unwrap();
    let journal = rig.journal.clone();
    let mut rig = Rig::default();
    journal.iter().for_each(|event| rig.scheduler.apply(event));
    rig.journal = journal;
    let listed = rig.call(HOST, process::Recover {}).unwrap().processes;
    let listed: Vec<Pid> = listed.iter().map(|info| info.pid).collect();
    assert_eq!(listed, [pids[0], pids[1], pids[2], pids[4], pids[5]]);
    for pid in [pids[0], pids[4], pids[5]] {
        assert_eq!(rig.next(), Some(pid));
    }
    assert_eq!(rig.next(), None);
    rig.check_fold();
}

#[test]
fn messages_arrive_once_and_in_order() {
    let mut rig = Rig::default();
    let a = rig.launch(Budget::default());
    let b = rig.launch(Budget::default());
    assert_eq!(code(&rig.call(HOST, receive(None))), "bad_message");
    assert_eq!(code(&rig.call(Some(b), receive(Some(0)))), "timed_out");
    assert_eq!(
        rig.call(Some(b), receive(Some(50))),
        Err(Stop::Wait(Wait { on: WaitOn::Message(b), until_ms: Some(1_050) }))
    );
    rig.call(Some(a), send(b, "one")).unwrap();
    let mut tagged = send(b, "two");
    tagged.subject = Some("tag".into());
    rig.call(HOST, tagged).unwrap();
    rig.call(Some(b), send(b, "three")).unwrap();
    let bodies = |messages: libos_abi::message::Messages| {
        let body = |m: &libos_abi::message::Message| m.body.as_str().unwrap().to_owned();
        messages.messages.iter().map(body).collect::<Vec<_>>()
    };
    let mut only = receive(Some(0));
    only.subject = Some("tag".into());
    only.from = Some(a);
    assert_eq!(code(&rig.call(Some(b), only.clone())), "timed_out");
    only.from = None;
    let got = rig.call(Some(b), only).unwrap();
    assert_eq!((got.messages[0].from, got.messages[0].sent_at_ms), (None, 1_000));
    assert_eq!(bodies(got), ["two"]);
    let mut one = receive(Some(0));
    one.limit = Some(1);
    assert_eq!(bodies(rig.call(Some(b), one.clone()).unwrap()), ["one"]);
    // Served again after its deadline, with a message there, it takes the message.
    rig.kernel.now_ms = 5_000;
    assert_eq!(bodies(rig.again(Some(b), receive(Some(50))).unwrap()), ["three"]);
    assert_eq!(code(&rig.again(Some(b), receive(Some(0)))), "timed_out");
    one.limit = Some(0);
    assert_eq!(code(&rig.call(Some(b), one)), "bad_message");
    rig.check_fold();
}

#[test]
fn mailboxes_and_messages_are_limited() {
    let mut rig = Rig::default();
    let a = rig.launch(Budget::default());
    let b = rig.launch(Budget::default());
    let mut subject = send(b, "");
    subject.subject = Some("x".repeat(513));
    let body = send(b, &"x".repeat((32 << 10) + 1));
    let mut payload = send(b, "");
    payload.payload = Some(Json(Text::from("1".repeat((128 << 10) + 1))));
    for call in [subject, body, payload] {
        assert_eq!(code(&rig.call(Some(a), call)), "limit");
    }
    for _ in 0..1_024 {
        rig.call(Some(a), send(b, "x")).unwrap();
    }
    assert_eq!(code(&rig.call(Some(a), send(b, "x"))), "mailbox_full");
    assert_eq!(code(&rig.call(HOST, send(b, "x"))), "mailbox_full");
    assert_eq!(rig.call(Some(b), receive(None)).unwrap().messages.len(), 100);
    rig.call(Some(a), send(b, "x")).unwrap();
    let mut all = receive(None);
    all.limit = Some(5_000);
    assert_eq!(rig.call(Some(b), all).unwrap().messages.len(), 100, "one reply is one frame");
    for left in (0..=825).rev().step_by(100).take(9) {
        let taken = rig.call(Some(b), receive(None)).unwrap().messages.len();
        assert_eq!(taken, 100.min(left));
    }
    rig.call(Some(a), send(b, "x")).unwrap();
    rig.call(Some(b), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(a), send(b, "x"))), "receiver_ended");
    assert_eq!(code(&rig.call(Some(a), send(Pid(99), "x"))), "receiver_ended");
    assert_eq!(code(&rig.call(Some(b), send(a, "x"))), "no_process");
    assert_eq!(code(&rig.call(Some(b), receive(None))), "no_process");
    rig.check_fold();
}

#[test]
fn a_sleep_is_a_deadline() {
    let mut rig = Rig::default();
    let pid = rig.launch(Budget::default());
    let now = rig.call(Some(pid), clock::GetNow {}).unwrap();
    assert_eq!((now.unix_ms, now.iso8601.as_str()), (1_000, "1970-01-01T00:00:01.000Z"));
    let sleep = |ms| clock::Sleep { ms: Millis(ms) };
    let month = 30 * 24 * 3_600_000;
    assert_eq!(code(&rig.call(Some(pid), sleep(month + 1))), "too_long");
    assert_eq!(code(&rig.call(Some(pid), sleep(month))), "wait");
    assert_eq!(rig.call(Some(pid), sleep(0)).unwrap().elapsed_ms, 0);
    assert_eq!(
        rig.call(Some(pid), sleep(20)),
        Err(Stop::Wait(Wait { on: WaitOn::Time, until_ms: Some(1_020) }))
    );
    rig.kernel.now_ms = 1_023;
    let slept = rig.again(Some(pid), sleep(20)).unwrap();
    assert_eq!((slept.ms, slept.elapsed_ms), (20, 23));
}

#[test]
fn other_services_calls_are_not_served() {
    let mut rig = Rig::default();
    assert_eq!(code(&rig.call(HOST, libos_abi::image::List {})), "unsupported");
}
