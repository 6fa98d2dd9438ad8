//! Every call: what it does, and each way it fails.

use libos_abi::{
    Event, Fault, Millis, ObjectId, Pid, Text, clock,
    event::ProcessEvent,
    message::{self, MessageKind},
    process::{self, Budget, ProcessState, Signal, Usage, Wait, WaitOn},
};
use libos_port::{Component, Stop};

use crate::{
    creation::issues,
    rig::{HOST, ONE, Rig, code, exit, fault, interrupt, planner_of, signal, wait},
};

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
        result: Some(ObjectId::new(2, 7)),
        message: Some("done".into()),
        failed: None,
        code: None,
        pid: None,
    };
    assert_eq!(rig.call(Some(child), call).unwrap().state, ProcessState::Exited);
    let rights = "read+materialize+link+diff";
    let shared = issues(&rig);
    assert_eq!(shared.len(), 1);
    let (to, on, given, delegable) = &shared[0];
    assert_eq!((*to, on.as_str(), *delegable), (root, "object:p2/7", 1));
    assert_eq!(sorted(given), sorted(rights));
    for _ in 0..2 {
        let ending = rig.call(Some(root), wait(child, Some(0))).unwrap();
        assert_eq!(
            (ending.state, ending.result),
            (ProcessState::Exited, Some(ObjectId::new(2, 7)))
        );
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
    result.result = Some(ObjectId::new(1, 1));
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
            Event::Process(ProcessEvent::Ended { pid, ending, .. }) => {
                (*pid, ending.message.clone())
            }
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
    assert_eq!(fault(rig.admit(child, run, ONE)), Fault::StaleRun);
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
fn cancel_asks_a_process_to_end_and_does_not_end_it() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let child = rig.spawn(root, Budget::default());
    let run = rig.run(child);
    let before = rig.journal.len();
    let reply = rig.call(Some(root), signal(child, Signal::Cancel)).unwrap();
    assert_eq!(reply.state, ProcessState::Running);
    let [Event::Process(cancelled), Event::Process(ProcessEvent::Sent(told))] =
        &rig.journal[before..]
    else {
        panic!("{:?}", &rig.journal[before..]);
    };
    assert_eq!(*cancelled, ProcessEvent::Cancelled { pid: child });
    assert_eq!((told.from, told.to, told.kind), (Some(root), child, MessageKind::Interrupt));
    assert_eq!(told.body, Text::from("p1 asks you to end: because"));
    assert!(rig.admit(child, run, ONE).unwrap().interrupted);
    // As often as it likes, with a reason as long as it likes: the mailbox stays within its limits.
    for _ in 0..40 {
        let mut long = signal(child, Signal::Cancel);
        long.reason = Some("ä".repeat(16 << 10));
        rig.call(HOST, long).unwrap();
    }
    assert_eq!(rig.info(child).unread, 16);
    let mut bare = signal(child, Signal::Cancel);
    bare.reason = None;
    rig.call(HOST, message::TakeInterrupt { pid: child }).unwrap();
    rig.call(HOST, bare).unwrap();
    let mut taken = Vec::new();
    while let Some(one) = rig.call(HOST, message::TakeInterrupt { pid: child }).unwrap() {
        assert!(one.body.bytes() <= 4_095 && one.from.is_none());
        taken.push(one.body);
    }
    assert_eq!(taken.pop(), Some(Text::from("the host asks you to end")));
    // Whatever the mailbox holds otherwise.
    for _ in 0..1_024 {
        rig.call(HOST, crate::rig::send(child, "x")).unwrap();
    }
    assert_eq!(code(&rig.call(HOST, interrupt(child, "x"))), "mailbox_full");
    assert_eq!(code(&rig.call(Some(root), signal(child, Signal::Cancel))), "ok");
    assert!(rig.admit(child, run, ONE).unwrap().interrupted);
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
        let list = rig.call(by, crate::rig::list()).unwrap().processes;
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
fn a_list_goes_on_where_it_stopped() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let children: Vec<Pid> = (0..600).map(|_| rig.spawn(root, Budget::default())).collect();
    for pid in children.iter().step_by(2) {
        rig.call(Some(*pid), exit()).unwrap();
    }
    let live: Vec<Pid> = children.iter().copied().skip(1).step_by(2).collect();
    let with_root = |pids: &[Pid]| [&[root], pids].concat();
    for (by, only_live, expected) in [
        (HOST, None, with_root(&children)),
        (HOST, Some(true), with_root(&live)),
        (Some(root), Some(false), children.clone()),
        (Some(root), Some(true), live.clone()),
    ] {
        for limit in [None, Some(7), Some(256), Some(9_999)] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let call = process::List { after, live: only_live, limit };
                let page = rig.call(by, call).unwrap();
                assert!(page.processes.len() <= limit.unwrap_or(256).min(256) as usize);
                found.extend(page.processes.iter().map(|info| info.pid));
                after = page.more_after;
                if after.is_none() {
                    break;
                }
                assert_eq!(after, found.last().copied());
            }
            assert_eq!(found, expected);
        }
    }
    let past = process::List { after: Some(Pid(u64::MAX)), ..crate::rig::list() };
    assert!(rig.call(HOST, past).unwrap().processes.is_empty());
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
    assert_eq!(fault(rig.admit(pid, 1, ONE)), Fault::StaleRun, "it does not run yet");
    let before = Usage::default();
    assert_eq!(code(&rig.admit(pid, 0, before)), "ok", "an operation that was admitted before");
    let first = rig.run(pid);
    let admission = rig.admit(pid, first, ONE).unwrap();
    assert_eq!((admission.root, admission.quantum), (pid, 0));
    assert!(admission.ancestors.is_empty() && admission.tool_groups.is_empty());
    assert_eq!((&*admission.image, admission.interrupted), ("worker", false));
    assert_eq!(admission.workspace.as_deref(), Some("/home/user/project"));
    let child = rig.spawn(pid, Budget::default());
    let below = rig.spawn(child, Budget::default());
    let admission = rig.admit(below, 0, before).unwrap();
    assert_eq!((admission.root, &*admission.ancestors), (pid, &[child, pid][..]));
    assert_eq!(admission.cwd.to_string(), "workspace/src");
    assert_eq!(fault(rig.admit(pid, first + 1, ONE)), Fault::StaleRun);
    rig.block(pid);
    assert_eq!(fault(rig.admit(pid, first, ONE)), Fault::StaleRun);
    rig.call(HOST, process::Ready { pid }).unwrap();
    assert_eq!(fault(rig.admit(pid, first, ONE)), Fault::StaleRun);
    let second = rig.run(pid);
    assert_eq!(fault(rig.admit(pid, first, ONE)), Fault::StaleRun, "the old run is over");
    assert_eq!(code(&rig.admit(pid, second, ONE)), "ok");
    rig.call(Some(pid), exit()).unwrap();
    assert_eq!(fault(rig.admit(pid, second, ONE)), Fault::NoProcess);
    assert_eq!(fault(rig.admit(Pid(9), 0, before)), Fault::NoProcess);
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
    rig.call(HOST, process::Recover {}).unwrap();
    let live = process::List { after: None, live: Some(true), limit: None };
    let listed = rig.call(HOST, live).unwrap().processes;
    let listed: Vec<Pid> = listed.iter().map(|info| info.pid).collect();
    assert_eq!(listed, [pids[0], pids[1], pids[2], pids[4], pids[5]]);
    for pid in [pids[0], pids[4], pids[5]] {
        assert_eq!(rig.next(), Some(pid));
    }
    assert_eq!(rig.next(), None);
    rig.check_fold();
}

#[test]
fn a_sleep_is_a_deadline() {
    let mut rig = Rig::default();
    let pid = rig.launch(Budget::default());
    let now = rig.call(Some(pid), clock::GetNow {}).unwrap();
    assert_eq!((now.unix_ms, &*now.iso8601), (1_000, "1970-01-01T00:00:01.000Z"));
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
