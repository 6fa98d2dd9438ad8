//! Laws over random programs.

use std::collections::BTreeSet;

use libos_abi::{
    Event, Fault, Pid, Text,
    event::ProcessEvent,
    process::{self, Budget, ProcessState, Signal, Wait, WaitOn},
};
use libos_port::{Component, Stop};
use libos_scheduler::{Facts, Policy, RoundRobin, Scheduler};
use proptest::prelude::*;

use crate::rig::{HOST, Rig, exit, launch, receive, send, signal, spawn};

#[derive(Debug, Clone)]
enum Step {
    Launch,
    Spawn(u64),
    Next,
    Block(u64),
    Ready(u64),
    Commit(u64),
    Signal(u64, Signal, bool),
    Exit(u64),
    Send(u64),
    Receive(u64),
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    let pid = || 1..12_u64;
    let any_signal = prop_oneof![
        4 => Just(Signal::Pause),
        5 => Just(Signal::Resume),
        1 => Just(Signal::Terminate),
    ];
    prop_oneof![
        2 => Just(Step::Launch),
        3 => pid().prop_map(Step::Spawn),
        8 => Just(Step::Next),
        4 => pid().prop_map(Step::Block),
        4 => pid().prop_map(Step::Ready),
        4 => pid().prop_map(Step::Commit),
        4 => (pid(), any_signal, any::<bool>()).prop_map(|(p, s, h)| Step::Signal(p, s, h)),
        1 => pid().prop_map(Step::Exit),
        2 => pid().prop_map(Step::Send),
        2 => pid().prop_map(Step::Receive),
        1 => Just(Step::Recover),
    ]
}

fn perform(rig: &mut Rig, step: &Step) -> Result<(), Stop> {
    let wait = Wait { on: WaitOn::Time, until_ms: None };
    match step.clone() {
        Step::Launch => rig.serve(HOST, launch(Budget::default())).map(drop),
        Step::Spawn(pid) => rig.serve(Some(Pid(pid)), spawn(Budget::default())).map(drop),
        Step::Next => rig.serve(HOST, process::Next {}).map(drop),
        Step::Block(pid) => rig.serve(HOST, process::Block { pid: Pid(pid), wait }).map(drop),
        Step::Ready(pid) => rig.serve(HOST, process::Ready { pid: Pid(pid) }).map(drop),
        Step::Commit(pid) => {
            let state = Text::from("kept");
            rig.serve(Some(Pid(pid)), process::Commit { state }).map(drop)
        }
        Step::Signal(pid, what, by_host) => {
            let by = if by_host { HOST } else { Some(Pid(1)) };
            rig.serve(by, signal(Pid(pid), what)).map(drop)
        }
        Step::Exit(pid) => rig.serve(Some(Pid(pid)), exit()).map(drop),
        Step::Send(pid) => rig.serve(HOST, send(Pid(pid), "x")).map(drop),
        Step::Receive(pid) => rig.serve(Some(Pid(pid)), receive(Some(0))).map(drop),
        Step::Recover => rig.serve(HOST, process::Recover {}).map(drop),
    }
}

fn runnable(rig: &mut Rig) -> BTreeSet<Pid> {
    let list = rig.serve(HOST, process::List {}).unwrap().processes;
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
    ) {
        let mut rig = Rig::default();
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
    fn every_start_is_of_a_runnable_process(program in prop::collection::vec(step(), 1..150)) {
        let mut rig = Rig::default();
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

    /// Law 10: what a subtree uses is within the budget of everyone above it, at every instant.
    #[test]
    fn budgets_are_hierarchical(
        shape in prop::collection::vec((0..8_usize, prop::option::of(0..12_u64), prop::option::of(0..5_u64)), 1..10),
        calls in prop::collection::vec(0..10_usize, 0..80),
    ) {
        let mut rig = Rig::default();
        let mut made = vec![rig.launch(Budget { syscalls: Some(40), wall: None, children: Some(8) })];
        for (above, syscalls, children) in shape {
            let parent = made[above % made.len()];
            let budget = Budget { syscalls, wall: None, children };
            if let Ok(child) = rig.call(Some(parent), spawn(budget)) {
                made.push(child.pid);
            }
        }
        while rig.next().is_some() {}
        let mut charged = vec![0_u64; made.len()];
        for call in calls {
            let index = call % made.len();
            let admit = process::Admit { pid: made[index], run: 1 };
            if rig.call(HOST, admit).is_ok() {
                charged[index] += 1;
            }
            let list = rig.call(HOST, process::List {}).unwrap().processes;
            for info in &list {
                let below = |mut pid: Pid| loop {
                    if pid == info.pid {
                        break true;
                    }
                    match list.iter().find(|other| other.pid == pid).and_then(|other| other.parent) {
                        Some(parent) => pid = parent,
                        None => break false,
                    }
                };
                let used: u64 = (made.iter().zip(&charged))
                    .filter(|(pid, _)| below(**pid))
                    .map(|(_, charged)| charged)
                    .sum();
                let children = list.iter().filter(|other| other.pid != info.pid && below(other.pid)).count();
                prop_assert_eq!(info.usage.syscalls, used);
                prop_assert_eq!(info.usage.children, children as u64);
                prop_assert!(info.budget.syscalls.is_none_or(|limit| used <= limit));
                prop_assert!(info.budget.children.is_none_or(|limit| children as u64 <= limit));
            }
        }
        rig.check_fold();
    }

    /// Law 7: post and receive, in any order, end with the message delivered or the receiver
    /// told to wait; nothing is delivered twice or out of order.
    #[test]
    fn no_message_is_lost_or_delivered_twice(program in prop::collection::vec(any::<bool>(), 1..60)) {
        let mut rig = Rig::default();
        let pid = rig.launch(Budget::default());
        let (mut sent, mut got) = (0_u64, Vec::new());
        for posts in program {
            if posts {
                sent += 1;
                rig.call(HOST, send(pid, &sent.to_string())).unwrap();
                continue;
            }
            match rig.call(Some(pid), receive(None)) {
                Ok(messages) => got.extend(messages.messages.into_iter().map(|m| m.id.0)),
                Err(Stop::Wait(wait)) => {
                    prop_assert_eq!(wait.on, WaitOn::Message(pid));
                    prop_assert_eq!(got.len() as u64, sent, "it waits only when nothing is there");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        if let Ok(messages) = rig.call(Some(pid), receive(Some(0))) {
            got.extend(messages.messages.into_iter().map(|m| m.id.0));
        }
        prop_assert_eq!(got, (1..=sent).collect::<Vec<_>>());
        rig.check_fold();
    }

    /// Round robin keeps its obligations as a policy.
    #[test]
    fn round_robin_queues_each_process_once_in_order(
        program in prop::collection::vec((0..3_u8, 0..6_u64), 0..300),
    ) {
        let mut queue = RoundRobin::default();
        let mut model: Vec<Pid> = vec![];
        let facts = Facts { root: Pid(1), runs: 0, quanta: 0 };
        for (what, pid) in program {
            let pid = Pid(pid);
            match what {
                0 => {
                    queue.push(pid, facts);
                    if !model.contains(&pid) {
                        model.push(pid);
                    }
                }
                1 => {
                    queue.remove(pid);
                    model.retain(|other| *other != pid);
                }
                _ => {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(queue.pop(), expected);
                }
            }
        }
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
