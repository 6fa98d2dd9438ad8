//! Policies: what each owes, and how fair they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use libos_abi::{
    Millis, Pid, Text,
    process::{self, Budget, Schedule, Usage},
};
use libos_scheduler::{EarliestDeadline, Facts, Policy, RoundRobin, Scheduler, WeightedFair};
use proptest::prelude::*;

use crate::rig::{HOST, ONE, Rig, launch, spawn};

fn facts(root: u64) -> Facts {
    Facts {
        root: Pid(root),
        weight: 100,
        task_weight: 100,
        deadline_ms: None,
        runs: 1,
        quanta: 1,
        used: Usage::default(),
    }
}

fn policies() -> Vec<(&'static str, Box<dyn Policy>)> {
    vec![
        ("round robin", Box::new(RoundRobin::default())),
        ("weighted fair", Box::new(WeightedFair::default())),
        ("earliest deadline", Box::new(EarliestDeadline::default())),
    ]
}

/// Facts of a process that its id determines: 40 processes of 4 tasks.
fn facts_of(pid: Pid) -> Facts {
    Facts {
        weight: 1 + (pid.0 as u32 * 7) % 50,
        task_weight: 1 + (pid.0 % 4) as u32 * 10,
        deadline_ms: pid.0.is_multiple_of(3).then_some(pid.0 % 5),
        runs: pid.0 % 2,
        ..facts(pid.0 % 4)
    }
}

proptest! {
    /// A process that was pushed is popped, once, unless it is removed before; and the same calls
    /// give the same order.
    #[test]
    fn every_policy_keeps_its_obligations(
        program in prop::collection::vec((0..5_u8, 0..40_u64), 0..400),
    ) {
        let again: Vec<Vec<Option<Pid>>> = policies().into_iter().map(|(name, mut queue)| {
            let mut queued = BTreeSet::new();
            let mut popped = Vec::new();
            for (what, pid) in &program {
                let pid = Pid(*pid);
                match what {
                    0 | 1 => {
                        queue.push(pid, facts_of(pid));
                        queued.insert(pid);
                    }
                    2 => {
                        queue.remove(pid);
                        queued.remove(&pid);
                    }
                    3 if pid.0 == 0 => {
                        queue.clear();
                        queued.clear();
                    }
                    _ => {
                        let next = queue.pop();
                        assert_eq!(next.is_some(), !queued.is_empty(), "{name}");
                        assert!(next.is_none_or(|pid| queued.remove(&pid)), "{name}");
                        popped.push(next);
                    }
                }
            }
            while let Some(pid) = queue.pop() {
                assert!(queued.remove(&pid), "{name}");
                popped.push(Some(pid));
            }
            assert!(queued.is_empty(), "{name} lost {queued:?}");
            popped
        }).collect();
        for ((name, mut queue), expected) in policies().into_iter().zip(again) {
            let mut popped = Vec::new();
            for (what, pid) in &program {
                let pid = Pid(*pid);
                match what {
                    0 | 1 => queue.push(pid, facts_of(pid)),
                    2 => queue.remove(pid),
                    3 if pid.0 == 0 => queue.clear(),
                    _ => popped.push(queue.pop()),
                }
            }
            assert_eq!(popped[..], expected[..popped.len()], "{name} is not deterministic");
        }
    }

    /// Round robin runs each queued process before it runs one twice.
    #[test]
    fn round_robin_queues_each_process_once_in_order(
        program in prop::collection::vec((0..3_u8, 0..6_u64), 0..300),
    ) {
        let mut queue = RoundRobin::default();
        let mut model: Vec<Pid> = vec![];
        for (what, pid) in program {
            let pid = Pid(pid);
            match what {
                0 => {
                    queue.push(pid, facts(1));
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

    /// At every moment, two that always want to run have had their shares to within one run of
    /// each: processes of a task by their weights, tasks by the weights of their roots however
    /// many processes they have.
    #[test]
    fn turns_are_in_proportion_to_weight(
        (one, other) in (1..10_000_u32, 1..10_000_u32),
        (crowd, turns) in (1..20_u64, 1..400_usize),
        within in any::<bool>(),
    ) {
        let mut queue = WeightedFair::default();
        // Each side is one process of one task, or a task with a crowd.
        let sides: BTreeMap<Pid, (usize, Facts)> = if within {
            [(Pid(1), one), (Pid(2), other)].into_iter().enumerate()
                .map(|(side, (pid, weight))| (pid, (side, Facts { weight, ..facts(1) })))
                .collect()
        } else {
            (0..=crowd)
                .map(|n| {
                    let side = usize::from(n > 0);
                    let task_weight = [one, other][side];
                    (Pid(n + 1), (side, Facts { task_weight, ..facts(side as u64 + 1) }))
                })
                .collect()
        };
        for (pid, (_, facts)) in &sides {
            queue.push(*pid, *facts);
        }
        let (weights, mut had) = ([i64::from(one), i64::from(other)], [0_i64; 2]);
        for turn in 1..=turns as i64 {
            let pid = queue.pop().unwrap();
            had[sides[&pid].0] += 1;
            queue.push(pid, sides[&pid].1);
            for side in 0..2 {
                let total = weights[0] + weights[1];
                // Its share of the turns so far is turn * weight / total.
                let off = had[side] * total - turn * weights[side];
                prop_assert!(off.abs() <= total, "{had:?} of {turn} by {weights:?}");
            }
        }
    }

    /// Whatever the weights, no one waits longer than it takes all others to have their shares of
    /// the time in which it gets one turn.
    #[test]
    fn nobody_is_starved_by_weight(weights in prop::collection::vec(1..100_u32, 2..12)) {
        let mut queue = WeightedFair::default();
        let fact = |index: usize| Facts { weight: weights[index], ..facts(1) };
        for index in 0..weights.len() {
            queue.push(Pid(index as u64), fact(index));
        }
        let mut waited = vec![0_u64; weights.len()];
        for _ in 0..300 {
            let index = queue.pop().unwrap().0 as usize;
            queue.push(Pid(index as u64), fact(index));
            for (other, waited) in waited.iter_mut().enumerate() {
                *waited = if other == index { 0 } else { *waited + 1 };
                let others: u64 = (0..weights.len())
                    .filter(|another| *another != other)
                    .map(|another| u64::from(weights[another].div_ceil(weights[other])) + 1)
                    .sum();
                prop_assert!(*waited <= others);
            }
        }
    }
}

#[test]
fn a_task_with_ten_thousand_processes_starves_no_other() {
    let due = |deadline_ms| Facts { deadline_ms: Some(deadline_ms), ..facts(1) };
    for (name, mut queue) in policies() {
        // The flood is in a hurry, the lone process of the other task is not.
        for pid in 1..=10_000 {
            queue.push(Pid(pid), due(1));
        }
        let lone = Pid(20_000);
        queue.push(lone, facts(20_000));
        let mut turns = 0;
        for _ in 0..40_000 {
            let pid = queue.pop().unwrap();
            turns += u64::from(pid == lone);
            queue.push(pid, if pid == lone { facts(20_000) } else { due(1) });
        }
        let expected = match name {
            "round robin" => 3..=4,
            "weighted fair" => 19_999..=20_001,
            // Half of the quarter that is given out fairly, and more as the flood runs up debts.
            _ => 5_000..=10_000,
        };
        assert!(expected.contains(&turns), "{name}: {turns}");
    }
}

#[test]
fn a_flood_of_new_processes_passes_nobody_for_ever() {
    let mut queue = WeightedFair::default();
    let (first, old) = (Pid(1), Pid(2));
    queue.push(first, facts(1));
    queue.push(old, Facts { weight: 1, ..facts(1) });
    for pid in [first, old] {
        assert_eq!(queue.pop(), Some(pid));
        queue.push(pid, Facts { weight: if pid == old { 1 } else { 100 }, ..facts(1) });
    }
    // Each that runs makes a new one of a hundred times the weight, and is gone.
    let mut waited = 0;
    while queue.pop() != Some(old) {
        waited += 1;
        assert!(waited <= 101, "{waited} passed it");
        queue.push(Pid(10 + waited), Facts { runs: 0, ..facts(1) });
    }
}

#[test]
fn being_away_saves_up_no_turns_and_sheds_none() {
    let mut queue = WeightedFair::default();
    let away = Pid(3);
    queue.push(Pid(1), facts(1));
    queue.push(Pid(2), facts(1));
    for _ in 0..1_000 {
        let busy = queue.pop().unwrap();
        queue.push(busy, facts(1));
    }
    queue.push(away, facts(1));
    let mut had = 0;
    for _ in 0..12 {
        let pid = queue.pop().unwrap();
        had += u32::from(pid == away);
        queue.push(pid, facts(1));
    }
    assert!((3..=5).contains(&had), "{had} of 12");
    // One that always comes back a moment later has no more than one that waits in line.
    let (mut had, mut turns) = (0, 0);
    while turns < 300 {
        let pid = queue.pop().unwrap();
        turns += 1;
        if pid == away {
            had += 1;
            turns += 1;
            let other = queue.pop().unwrap();
            queue.push(away, facts(1));
            queue.push(other, facts(1));
        } else {
            queue.push(pid, facts(1));
        }
    }
    assert!((99..=101).contains(&had), "{had} of {turns}");
}

#[test]
fn the_earliest_deadline_is_first_and_every_fourth_turn_is_anyones() {
    let mut queue = EarliestDeadline::default();
    let due = |deadline_ms| Facts { deadline_ms: Some(deadline_ms), ..facts(1) };
    for (pid, deadline_ms) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 40)] {
        queue.push(Pid(pid), due(deadline_ms));
    }
    queue.push(Pid(9), facts(9));
    queue.push(Pid(2), due(50));
    let order: Vec<u64> = std::iter::from_fn(|| queue.pop()).map(|pid| pid.0).collect();
    assert_eq!(order, [2, 4, 3, 9, 1, 5]);

    queue.push(Pid(1), facts(1));
    queue.push(Pid(2), due(5));
    queue.remove(Pid(2));
    assert_eq!((queue.pop(), queue.pop()), (Some(Pid(1)), None));
}

/// A policy that notes what it is told.
#[derive(Clone, Default)]
struct Spy(Arc<Mutex<BTreeMap<Pid, Facts>>>, Arc<Mutex<RoundRobin>>);

impl Policy for Spy {
    fn push(&mut self, pid: Pid, facts: Facts) {
        self.0.lock().unwrap().insert(pid, facts);
        self.1.lock().unwrap().push(pid, facts);
    }
    fn pop(&mut self) -> Option<Pid> {
        self.1.lock().unwrap().pop()
    }
    fn remove(&mut self, pid: Pid) {
        self.1.lock().unwrap().remove(pid);
    }
}

#[test]
fn a_child_is_never_ahead_of_its_parent() {
    let spy = Spy::default();
    let mut rig = Rig { scheduler: Scheduler::new(Box::new(spy.clone())), ..Rig::default() };
    let schedule =
        |weight, deadline: Option<u64>| Some(Schedule { weight, deadline: deadline.map(Millis) });
    let told = |pid: Pid| {
        let facts = spy.0.lock().unwrap()[&pid];
        (facts.weight, facts.deadline_ms, facts.task_weight)
    };
    let root = |rig: &mut Rig, schedule| {
        let call = process::Launch { schedule, ..launch(Budget::default()) };
        rig.call(HOST, call).unwrap().pid
    };
    let hurried = root(&mut rig, schedule(Some(40), Some(500)));
    let plain = root(&mut rig, None);
    assert_eq!(told(hurried), (40, Some(1_500), 40));
    assert_eq!(told(plain), (100, None, 100), "a weight of 100 if absent");
    rig.kernel.now_ms += 100;
    let mut child = |parent, schedule| {
        let call = process::Spawn { schedule, ..spawn(Budget::default()) };
        told(rig.call(Some(parent), call).unwrap().pid)
    };
    assert_eq!(child(hurried, None), (40, Some(1_500), 40), "its parent's deadline if absent");
    assert_eq!(child(hurried, schedule(Some(7), Some(900))), (7, Some(2_000), 40));
    assert_eq!(child(hurried, schedule(Some(90), Some(3))), (40, Some(1_500), 40));
    assert_eq!(child(plain, schedule(Some(90), Some(3))), (90, None, 100));
    assert_eq!(child(plain, schedule(Some(1_000), None)), (100, None, 100));
}

#[test]
fn a_policy_is_told_what_a_process_has_used_and_how_often_it_ran() {
    let spy = Spy::default();
    let mut rig = Rig { scheduler: Scheduler::new(Box::new(spy.clone())), ..Rig::default() };
    let pid = rig.launch(Budget { syscalls: Some(9), ..Budget::default() });
    let run = rig.run(pid);
    rig.admit(pid, run, ONE).unwrap();
    rig.call(Some(pid), process::Commit { state: Text::default() }).unwrap();
    let facts = spy.0.lock().unwrap()[&pid];
    assert_eq!((facts.root, facts.runs, facts.quanta, facts.used), (pid, 1, 1, ONE));
}

/// Two tasks of one weight to three, the second with a hundred processes, in the whole component.
#[test]
fn tasks_run_in_proportion_to_the_weights_of_their_roots() {
    let policy = Box::new(WeightedFair::default());
    let mut rig = Rig { scheduler: Scheduler::new(policy), ..Rig::default() };
    let mut roots = Vec::new();
    for weight in [1, 3] {
        let schedule = Some(Schedule { weight: Some(weight), deadline: None });
        let call = process::Launch { schedule, ..launch(Budget::default()) };
        roots.push(rig.call(HOST, call).unwrap().pid);
    }
    for _ in 0..100 {
        rig.spawn(roots[1], Budget::default());
    }
    let mut had = [0_i64; 2];
    for _ in 0..400 {
        let pid = rig.next().unwrap();
        had[usize::from(pid != roots[0])] += 1;
        rig.call(Some(pid), process::Commit { state: Text::default() }).unwrap();
        assert!((had[1] - 3 * had[0]).abs() <= 4, "{had:?}");
    }
    rig.check_fold();
}
