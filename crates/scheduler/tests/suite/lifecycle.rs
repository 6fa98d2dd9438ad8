//! Every state with every call: legal, or refused in a way that changes nothing.

use std::fmt::Write as _;

use libos_abi::{
    Event, Millis, ObjectId, OpId, Pid, Text, clock,
    event::ProcessEvent,
    message,
    process::{self, Budget, ForkMode, Signal, Usage, Wait, WaitOn},
};
use libos_port::Component;

use crate::rig::{
    HOST, ONE, Rig, code, exec, exit, fork, interrupt, peek, receive, send, signal, spawn, task,
    wait,
};

const PARENT: Pid = Pid(1);
const CHILD: Pid = Pid(2);
const OWNER: ObjectId = ObjectId::new(1, 1);
const STATES: [&str; 9] =
    ["runnable", "running", "waiting", "paused", "held", "held_wait", "exited", "failed", "killed"];

/// A parent, and a child in that state. The queue holds hints that no longer hold.
fn rig_in(state: &str) -> Rig {
    let mut rig = Rig::default();
    rig.launch(Budget::default());
    rig.spawn(PARENT, Budget::default());
    if state != "runnable" {
        rig.run(CHILD);
    }
    if matches!(state, "waiting" | "held_wait") {
        rig.block(CHILD);
    }
    match state {
        "paused" => drop(rig.call(Some(PARENT), signal(CHILD, Signal::Pause)).unwrap()),
        "held" | "held_wait" => drop(rig.call(HOST, signal(CHILD, Signal::Pause)).unwrap()),
        "exited" => drop(rig.call(Some(CHILD), exit()).unwrap()),
        "failed" => {
            let mut call = exit();
            call.failed = Some(true);
            rig.call(Some(CHILD), call).unwrap();
        }
        "killed" => drop(rig.call(HOST, signal(CHILD, Signal::Terminate)).unwrap()),
        _ => {}
    }
    rig
}

/// Makes one call and tells what came of it, and the state after if that changed.
fn outcome(state: &str, call: &str) -> String {
    let mut rig = rig_in(state);
    let (before, digest) = (rig.state(CHILD), rig.scheduler.digest());
    let run = u64::from(state != "runnable");
    let wait_for = Wait { on: WaitOn::Time, until_ms: None };
    let result = match call {
        "own commit" => code(&rig.call(Some(CHILD), process::Commit { state: Text::from("k") })),
        "own exit" => code(&rig.call(Some(CHILD), exit())),
        "own spawn" => code(&rig.call(Some(CHILD), spawn(Budget::default()))),
        "own chdir" => code(&rig.call(Some(CHILD), process::Chdir { path: "workspace".into() })),
        "own cwd" => code(&rig.call(Some(CHILD), process::GetCwd {})),
        "own list" => code(&rig.call(Some(CHILD), crate::rig::list())),
        "own send" => code(&rig.call(Some(CHILD), send(PARENT, "x"))),
        "own receive" => code(&rig.call(Some(CHILD), receive(None))),
        "parent pause" => code(&rig.call(Some(PARENT), signal(CHILD, Signal::Pause))),
        "parent resume" => code(&rig.call(Some(PARENT), signal(CHILD, Signal::Resume))),
        "parent terminate" => code(&rig.call(Some(PARENT), signal(CHILD, Signal::Terminate))),
        "parent wait" => code(&rig.call(Some(PARENT), wait(CHILD, None))),
        "parent inspect" => code(&rig.call(Some(PARENT), process::Inspect { pid: CHILD })),
        "parent send" => code(&rig.call(Some(PARENT), send(CHILD, "x"))),
        "host pause" => code(&rig.call(HOST, signal(CHILD, Signal::Pause))),
        "host resume" => code(&rig.call(HOST, signal(CHILD, Signal::Resume))),
        "kernel admit" => code(&rig.admit(CHILD, run, ONE)),
        "kernel block" => code(&rig.call(HOST, process::Block { pid: CHILD, wait: wait_for })),
        "kernel ready" => code(&rig.call(HOST, process::Ready { pid: CHILD })),
        "kernel recover" => code(&rig.call(HOST, process::Recover {})),
        "kernel next" => {
            let mut ran = "idle";
            while let Some(pid) = rig.next() {
                if pid == CHILD {
                    ran = "ran";
                }
            }
            ran
        }
        "own fork" => code(&rig.call(Some(CHILD), fork(ForkMode::Copy))),
        "own exec" => code(&rig.call(Some(CHILD), exec("plain"))),
        "own task" => {
            rig.kernel.objects.insert(OWNER);
            code(&rig.call(Some(CHILD), task(OWNER)))
        }
        "own tasks" => code(&rig.call(Some(CHILD), process::ListTasks { owner: OWNER })),
        "own activate" => {
            code(&rig.call(Some(CHILD), process::ActivateTools { group: "web".into() }))
        }
        "own peek" => code(&rig.call(Some(CHILD), peek())),
        "parent cancel" => code(&rig.call(Some(PARENT), signal(CHILD, Signal::Cancel))),
        "parent interrupt" => code(&rig.call(Some(PARENT), interrupt(CHILD, "x"))),
        "parent merge" => {
            code(&rig.call(Some(PARENT), process::Merge { pid: CHILD, on_conflict: None }))
        }
        "parent discard" => code(&rig.call(Some(PARENT), process::Discard { pid: CHILD })),
        "kernel readmit" => code(&rig.admit(CHILD, 0, Usage::default())),
        "kernel interrupt" => code(&rig.call(HOST, message::TakeInterrupt { pid: CHILD })),
        "own sleep" => code(&rig.call(Some(CHILD), clock::Sleep { ms: Millis(1) })),
        other => panic!("{other}"),
    };
    rig.check_fold();
    let after = rig.state(CHILD);
    if !matches!(result, "ok" | "wait" | "ran" | "idle") {
        assert_eq!(digest, rig.scheduler.digest(), "{call} on {state} changed something");
    }
    if before.is_terminal() {
        assert_eq!(before, after, "{call} on {state}");
    }
    if before == after { result.to_owned() } else { format!("{result}>{after:?}").to_lowercase() }
}

#[test]
fn every_state_with_every_call() {
    let calls = EXPECTED.lines().filter_map(|line| line.split_once(':')).map(|(call, _)| call);
    let mut table = String::new();
    for call in calls {
        let cells = STATES.map(|state| outcome(state, call)).join(" ");
        writeln!(table, "{call}: {cells}").unwrap();
    }
    assert_eq!(table, EXPECTED, "got:\n{table}");
}

#[test]
fn no_event_changes_a_process_that_has_ended() {
    for state in ["exited", "failed", "killed"] {
        let mut rig = rig_in(state);
        let (info, digest) = (rig.info(CHILD), rig.scheduler.digest());
        let ending = process::Ending {
            state: process::ProcessState::Exited,
            result: None,
            message: Some("forged".into()),
            code: None,
            at_ms: 1,
        };
        let wait = Wait { on: WaitOn::Time, until_ms: None };
        let pid = CHILD;
        let spawned = ProcessEvent::Spawned {
            pid,
            parent: None,
            image: "other".into(),
            goal: Text::default(),
            planner: crate::rig::planner_of("other"),
            workspace: None,
            cwd: "workspace".into(),
            budget: Box::default(),
            schedule: process::Schedule::default(),
            mode: None,
            owner: None,
            at_ms: 1,
        };
        let planner = crate::rig::planner_of("other");
        let forged = [
            ProcessEvent::Started { pid, run: 9 },
            ProcessEvent::Committed { pid, state: Text::from("forged") },
            ProcessEvent::Blocked { pid, wait },
            ProcessEvent::Readied { pid },
            ProcessEvent::Paused { pid, by_host: true },
            ProcessEvent::Resumed { pid },
            ProcessEvent::Ended { pid, parent: None, ending },
            ProcessEvent::Moved { pid, cwd: "workspace/x".into() },
            ProcessEvent::Received { pid, ids: vec![] },
            ProcessEvent::Execed { pid, image: "x".into(), goal: Text::default(), planner },
            ProcessEvent::Activated { pid, group: "x".into() },
            ProcessEvent::Cancelled { pid },
            ProcessEvent::Extended { pid, kind: process::BudgetKind::Bytes, by: 1 },
            ProcessEvent::Settled { op: OpId(1), used: ONE },
            spawned,
        ];
        for event in forged {
            rig.scheduler.apply(&Event::Process(event));
        }
        assert_eq!((rig.info(CHILD), rig.scheduler.digest()), (info, digest));
    }
}

/// A line for each call, a column for each of [`STATES`].
const EXPECTED: &str = "\
own commit: stale_run ok>runnable stale_run stale_run stale_run stale_run no_process no_process no_process
own exit: ok>exited ok>exited ok>exited ok>exited ok>exited ok>exited no_process no_process no_process
own exec: ok ok>runnable ok>runnable stale_run stale_run stale_run no_process no_process no_process
own spawn: ok ok ok ok ok ok no_process no_process no_process
own fork: ok ok ok ok ok ok no_process no_process no_process
own task: ok ok ok ok ok ok no_process no_process no_process
own tasks: ok ok ok ok ok ok no_process no_process no_process
own activate: ok ok ok ok ok ok no_process no_process no_process
own peek: ok ok ok ok ok ok no_process no_process no_process
own chdir: ok ok ok ok ok ok no_process no_process no_process
own cwd: ok ok ok ok ok ok no_process no_process no_process
own list: ok ok ok ok ok ok no_process no_process no_process
own send: ok ok ok ok ok ok no_process no_process no_process
own receive: wait wait wait wait wait wait no_process no_process no_process
own sleep: wait wait wait wait wait wait no_process no_process no_process
parent pause: ok>paused ok>paused ok>paused ok ok ok already_ended already_ended already_ended
parent resume: ok ok ok ok>runnable held_by_host held_by_host already_ended already_ended already_ended
parent cancel: ok ok ok ok ok ok already_ended already_ended already_ended
parent interrupt: ok ok ok ok ok ok receiver_ended receiver_ended receiver_ended
parent merge: still_running still_running still_running still_running still_running still_running ok ok ok
parent discard: still_running still_running still_running still_running still_running still_running ok ok ok
parent terminate: ok>killed ok>killed ok>killed ok>killed ok>killed ok>killed already_ended already_ended already_ended
parent wait: wait wait wait wait wait wait ok ok ok
parent inspect: ok ok ok ok ok ok ok ok ok
parent send: ok ok ok ok ok ok receiver_ended receiver_ended receiver_ended
host pause: ok>paused ok>paused ok>paused ok ok ok already_ended already_ended already_ended
host resume: ok ok ok ok>runnable ok>runnable ok>waiting already_ended already_ended already_ended
kernel admit: ok ok stale_run stale_run stale_run stale_run no_process no_process no_process
kernel readmit: ok ok ok ok ok ok no_process no_process no_process
kernel interrupt: ok ok ok ok ok ok ok ok ok
kernel block: ok ok>waiting ok ok ok ok ok ok ok
kernel ready: ok ok ok>runnable ok ok ok ok ok ok
kernel next: ran>running idle idle idle idle idle idle idle idle
kernel recover: ok ok>runnable ok ok ok ok ok ok ok
";
