//! Laws over random programs.

use std::collections::BTreeSet;

use libos_abi::{
    Event, Fault, ObjectId, OpId, Pid, Text,
    event::ProcessEvent,
    message,
    process::{
        self, Budget, BudgetKind, ForkMode, ProcessState, Schedule, Signal, Usage, Wait, WaitOn,
    },
};
use libos_port::{Component, Stop};
use libos_scheduler::{EarliestDeadline, Facts, Policy, RoundRobin, Scheduler, WeightedFair};
use proptest::prelude::*;

use crate::rig::{
    HOST, Rig, exec, exit, fork, interrupt, launch, receive, send, signal, spawn, task,
};

#[derive(Debug, Clone)]
enum Step {
    Launch,
    Spawn(u64),
    Fork(u64),
    Task(u64),
    EndTasks,
    Next,
    Block(u64),
    Ready(u64),
    Commit(u64),
    Exec(u64),
    Signal(u64, Signal, bool),
    Exit(u64),
    Send(u64),
    Interrupt(u64),
    Receive(u64),
    TakeInterrupt(u64),
    Charge(u64, u64),
    Settle(u64),
    Extend(u64),
    Activate(u64),
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    let pid = || 1..12_u64;
    // Few enough that what is sent is received as well.
    let few = || 1..4_u64;
    let any_signal = prop_oneof![
        4 => Just(Signal::Pause),
        5 => Just(Signal::Resume),
        1 => Just(Signal::Terminate),
        1 => Just(Signal::Cancel),
    ];
    prop_oneof![
        2 => Just(Step::Launch),
        3 => pid().prop_map(Step::Spawn),
        1 => pid().prop_map(Step::Fork),
        1 => pid().prop_map(Step::Task),
        1 => Just(Step::EndTasks),
        8 => Just(Step::Next),
        4 => pid().prop_map(Step::Block),
        4 => pid().prop_map(Step::Ready),
        4 => pid().prop_map(Step::Commit),
        1 => pid().prop_map(Step::Exec),
        4 => (pid(), any_signal, any::<bool>()).prop_map(|(p, s, h)| Step::Signal(p, s, h)),
        1 => pid().prop_map(Step::Exit),
        2 => few().prop_map(Step::Send),
        1 => few().prop_map(Step::Interrupt),
        2 => few().prop_map(Step::Receive),
        1 => few().prop_map(Step::TakeInterrupt),
        2 => (pid(), 0..9_u64).prop_map(|(pid, op)| Step::Charge(pid, op)),
        1 => (0..9_u64).prop_map(Step::Settle),
        1 => pid().prop_map(Step::Extend),
        1 => pid().prop_map(Step::Activate),
        1 => Just(Step::Recover),
    ]
}

const OWNER: ObjectId = ObjectId::new(1, 1);

/// Limits of everything that can be limited, so that everything is counted.
fn limited() -> Budget {
    Budget { syscalls: Some(9), bytes: Some(50), children: Some(9), ..Budget::default() }
}

fn perform(rig: &mut Rig, step: &Step) -> Result<(), Stop> {
    let wait = Wait { on: WaitOn::Time, until_ms: None };
    rig.kernel.objects.insert(OWNER);
    match step.clone() {
        Step::Launch => {
            let schedule = Some(Schedule { weight: Some(7), deadline: Some(libos_abi::Millis(9)) });
            rig.serve(HOST, process::Launch { schedule, ..launch(limited()) }).map(drop)
        }
        Step::Spawn(pid) => rig.serve(Some(Pid(pid)), spawn(Budget::default())).map(drop),
        Step::Fork(pid) => rig.serve(Some(Pid(pid)), fork(ForkMode::Copy)).map(drop),
        Step::Task(pid) => rig.serve(Some(Pid(pid)), task(OWNER)).map(drop),
        Step::EndTasks => rig.serve(HOST, process::EndTasks { owner: OWNER }),
        Step::Next => rig.serve(HOST, process::Next {}).map(drop),
        Step::Block(pid) => rig.serve(HOST, process::Block { pid: Pid(pid), wait }).map(drop),
        Step::Ready(pid) => rig.serve(HOST, process::Ready { pid: Pid(pid) }).map(drop),
        Step::Commit(pid) => {
            let state = Text::from("kept");
            rig.serve(Some(Pid(pid)), process::Commit { state }).map(drop)
        }
        Step::Exec(pid) => rig.serve(Some(Pid(pid)), exec("plain")).map(drop),
        Step::Signal(pid, what, by_host) => {
            let by = if by_host { HOST } else { Some(Pid(1)) };
            rig.serve(by, signal(Pid(pid), what)).map(drop)
        }
        Step::Exit(pid) => rig.serve(Some(Pid(pid)), exit()).map(drop),
        Step::Send(pid) => rig.serve(Some(Pid(1)), send(Pid(pid), "x")).map(drop),
        Step::Interrupt(pid) => rig.serve(Some(Pid(1)), interrupt(Pid(pid), "x")).map(drop),
        Step::Receive(pid) => rig.serve(Some(Pid(pid)), receive(Some(0))).map(drop),
        Step::TakeInterrupt(pid) => {
            rig.serve(HOST, message::TakeInterrupt { pid: Pid(pid) }).map(drop)
        }
        Step::Charge(pid, op) => {
            rig.kernel.op = op;
            let charge = Usage { syscalls: 1, bytes: op, ..Usage::default() };
            rig.serve(HOST, process::Admit { pid: Pid(pid), run: 0, charge }).map(drop)
        }
        Step::Settle(op) => {
            let used = (op % 2 == 0).then(|| Usage { bytes: op / 2, ..Usage::default() });
            rig.serve(HOST, process::Settle { op: OpId(op), used })
        }
        Step::Extend(pid) => {
            let kind = BudgetKind::Bytes;
            rig.serve(HOST, process::Extend { pid: Pid(pid), kind, by: 3 })
        }
        Step::Activate(pid) => {
            let group = "web".into();
            rig.serve(Some(Pid(pid)), process::ActivateTools { group }).map(drop)
        }
        Step::Recover => rig.serve(HOST, process::Recover {}).map(drop),
    }
}

fn any_policy() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn rig_with(policy: u8) -> Rig {
    let policy: Box<dyn Policy> = match policy {
        0 => Box::new(RoundRobin::default()),
        1 => Box::new(WeightedFair::default()),
        _ => Box::new(EarliestDeadline::default()),
    };
    Rig { scheduler: Scheduler::new(policy), ..Rig::default() }
}

fn runnable(rig: &mut Rig) -> BTreeSet<Pid> {
    let list = rig.serve(HOST, crate::rig::list()).unwrap().processes;
    (list.into_iter())
        .filter(|info| info.state == ProcessState::Runnable)
        .map(|info| info.pid)
        .collect()
}

/// The queue gives every runnable process exactly once, and no other.
fn check_queue(rig: &mut Rig) {
    let expected = runnable(rig);
    let mut popped = BTreeSet::new();
    while let Some(order) = rig.serve(HOST, process::Next {}).unwrap() {
        assert!(popped.insert(order.pid), "{} was popped twice", order.pid);
    }
    assert_eq!(popped, expected);
}

fn undo() -> Stop {
    Fault::StoreUnavailable { what: "undone".into() }.into()
}

proptest! {
    /// Whatever happens, and whatever of it is undone, no runnable process is lost, none is
    /// popped twice, an undone transaction leaves no trace, and the journal gives the state.
    #[test]
    fn no_runnable_process_is_lost(
        program in prop::collection::vec((prop::collection::vec(step(), 1..5), 0..4_u8), 1..60),
        policy in any_policy(),
    ) {
        let mut rig = rig_with(policy);
        for (steps, fate) in program {
            let undone = fate == 0;
            let before = rig.scheduler.digest();
            let length = rig.journal.len();
            let result = rig.transaction(|rig| {
                for step in &steps {
                    perform(rig, step)?;
                }
                if undone { Err(undo()) } else { Ok(()) }
            });
            if result.is_err() {
                prop_assert_eq!(rig.scheduler.digest(), before);
                prop_assert_eq!(rig.journal.len(), length);
            }
            // Look into the queue without keeping what that changes.
            if fate < 2 {
                let looked = rig.transaction(|rig| -> Result<(), Stop> {
                    check_queue(rig);
                    Err(undo())
                });
                prop_assert!(looked.is_err());
            }
        }
        rig.check_fold();
        check_queue(&mut rig);
    }

    /// Every time a process becomes runnable it is started once: in the journal, nothing starts
    /// that is not runnable, and run numbers go up by one.
    #[test]
    fn every_start_is_of_a_runnable_process(
        program in prop::collection::vec(step(), 1..150),
        policy in any_policy(),
    ) {
        let mut rig = rig_with(policy);
        for step in &program {
            drop(rig.transaction(|rig| perform(rig, step)));
        }
        let mut folded = Rig::default();
        for event in &rig.journal {
            if let Event::Process(ProcessEvent::Started { pid, run }) = event {
                prop_assert_eq!(folded.state(*pid), ProcessState::Runnable);
                prop_assert!(*run > 0);
            }
            folded.scheduler.apply(event);
        }
        prop_assert_eq!(folded.scheduler.digest(), rig.scheduler.digest());
    }

    /// Law 7: post and receive, in any order, end with the message delivered or the receiver
    /// told to wait; nothing is delivered twice or out of order, an interrupt never as a letter.
    #[test]
    fn no_message_is_lost_or_delivered_twice(program in prop::collection::vec(0..4_u8, 1..80)) {
        let mut rig = Rig::default();
        let pid = rig.launch(Budget::default());
        let (mut sent, mut got) = ([vec![], vec![]], [vec![], vec![]]);
        for what in program.into_iter().chain([2; 80]).chain([3; 80]) {
            match what {
                0 => sent[0].push(rig.call(HOST, send(pid, "x")).unwrap().id),
                1 => sent[1].extend(rig.call(HOST, interrupt(pid, "x")).map(|sent| sent.id)),
                2 => {
                    let taken = rig.call(HOST, message::TakeInterrupt { pid }).unwrap();
                    prop_assert_eq!(taken.is_some(), got[1].len() < sent[1].len());
                    got[1].extend(taken.map(|message| message.id));
                }
                _ => match rig.call(Some(pid), receive(None)) {
                    Ok(messages) => got[0].extend(messages.messages.into_iter().map(|m| m.id)),
                    Err(Stop::Wait(wait)) => {
                        prop_assert_eq!(wait.on, WaitOn::Message(pid));
                        prop_assert_eq!(&got[0], &sent[0], "it waits only when nothing is there");
                    }
                    Err(other) => panic!("{other:?}"),
                },
            }
            let open = sent.concat().len() - got.concat().len();
            prop_assert_eq!(rig.info(pid).unread as usize, open);
        }
        prop_assert_eq!(got, sent);
        rig.check_fold();
    }
}

/// A policy that is nothing like round robin.
#[derive(Default)]
struct LastFirst(Vec<Pid>);

impl Policy for LastFirst {
    fn push(&mut self, pid: Pid, _: Facts) {
        self.remove(pid);
        self.0.push(pid);
    }
    fn pop(&mut self) -> Option<Pid> {
        self.0.pop()
    }
    fn remove(&mut self, pid: Pid) {
        self.0.retain(|other| *other != pid);
    }
}

#[test]
fn the_policy_orders_and_nothing_else() {
    let mut rig =
        Rig { scheduler: Scheduler::new(Box::new(LastFirst::default())), ..Rig::default() };
    let pids: Vec<Pid> = (0..4).map(|_| rig.launch(Budget::default())).collect();
    rig.call(HOST, signal(pids[3], Signal::Pause)).unwrap();
    for pid in [pids[2], pids[1], pids[0]] {
        assert_eq!(rig.next(), Some(pid));
    }
    assert_eq!(rig.next(), None);
    rig.call(HOST, signal(pids[3], Signal::Resume)).unwrap();
    assert_eq!(rig.next(), Some(pids[3]));
    rig.check_fold();
}

/// One transaction drops a hint that no longer held; undoing it brings back the state for which
/// the hint did hold.
#[test]
fn a_hint_dropped_in_an_undone_transaction_comes_back() {
    for recovers in [false, true] {
        let mut rig = Rig::default();
        let pid = rig.launch(Budget::default());
        drop(rig.transaction(|rig| -> Result<(), Stop> {
            rig.serve(HOST, signal(pid, Signal::Pause))?;
            if recovers {
                rig.serve(HOST, process::Recover {})?;
            }
            assert_eq!(rig.serve(HOST, process::Next {})?, None);
            Err(undo())
        }));
        assert_eq!(rig.next(), Some(pid));
        assert_eq!(rig.next(), None);
    }
}
