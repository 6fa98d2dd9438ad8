//! Budgets: charged before, settled after, at every level.

use libos_abi::{
    Event, Fault, Millis, OpId, Pid,
    event::ProcessEvent,
    process::{self, Budget, BudgetKind, ForkMode, Usage},
};
use libos_port::Component;
use proptest::prelude::*;

use crate::rig::{HOST, ONE, Rig, code, exit, fault, fork, launch, spawn, task};

fn syscalls(limit: u64) -> Budget {
    Budget { syscalls: Some(limit), ..Budget::default() }
}

fn wall(limit: u64) -> Budget {
    Budget { wall: Some(Millis(limit)), ..Budget::default() }
}

fn bytes(bytes: u64) -> Usage {
    Usage { bytes, ..Usage::default() }
}

/// Whose limit a fault names, of what, and how much it is; that it would be passed is checked.
fn passed(fault: Fault) -> (Pid, BudgetKind, u64) {
    match fault {
        Fault::OverBudget { of, kind, limit, used, more } => {
            assert!(used.saturating_add(more) > limit, "{used} and {more} fit {limit}");
            (of, kind, limit)
        }
        other => panic!("no limit is passed: {other}"),
    }
}

/// One of each kind that calls are counted by, with a budget that limits it.
fn each_kind(limit: u64) -> [(BudgetKind, Budget, Usage); 5] {
    let (budget, usage) = (Budget::default(), Usage::default());
    let limit = Some(limit);
    [
        (BudgetKind::Syscalls, Budget { syscalls: limit, ..budget.clone() }, ONE),
        (
            BudgetKind::ToolCalls,
            Budget { tool_calls: limit, ..budget.clone() },
            Usage { tool_calls: 1, ..usage },
        ),
        (BudgetKind::Bytes, Budget { bytes: limit, ..budget.clone() }, bytes(1)),
        (
            BudgetKind::Tokens,
            Budget { tokens: limit, ..budget.clone() },
            Usage { tokens: 1, ..usage },
        ),
        (BudgetKind::Cost, Budget { cost: limit, ..budget }, Usage { cost: 1, ..usage }),
    ]
}

#[test]
fn budgets_stop_calls_at_every_level() {
    for (kind, budget, charge) in each_kind(3) {
        let mut rig = Rig::default();
        let root = rig.launch(budget);
        let child = rig.spawn(root, Budget::default());
        let (root_run, child_run) = (rig.run(root), rig.run(child));
        for (pid, run) in [(root, root_run), (child, child_run), (child, child_run)] {
            rig.admit(pid, run, charge).unwrap();
        }
        let before = (rig.scheduler.digest(), rig.journal.len());
        assert_eq!(passed(fault(rig.admit(child, child_run, charge))), (root, kind, 3));
        assert_eq!((rig.scheduler.digest(), rig.journal.len()), before, "nothing changed");
        assert_eq!(rig.info(root).usage.of(kind), 3);
        assert_eq!(rig.info(child).usage.of(kind), 2);
        assert_eq!(
            code(&rig.admit(child, child_run, Usage::default())),
            "ok",
            "what costs nothing"
        );
        assert_eq!(code(&rig.admit(child, 0, Usage::default())), "ok", "what was admitted before");
        rig.check_fold();
    }
}

#[test]
fn a_charge_is_counted_whole_or_not_at_all() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget { bytes: Some(10), ..syscalls(100) });
    let run = rig.run(root);
    let charge = Usage { bytes: 8, ..ONE };
    rig.admit(root, run, charge).unwrap();
    assert_eq!(passed(fault(rig.admit(root, run, charge))), (root, BudgetKind::Bytes, 10));
    assert_eq!(rig.info(root).usage, charge, "the system call of the refused one is not counted");
    let op = OpId(rig.kernel.op - 1);
    let charged = Event::Process(ProcessEvent::Charged { pid: root, op, usage: charge });
    assert!(rig.journal.contains(&charged), "under its operation");
    let huge = Usage { bytes: u64::MAX, ..ONE };
    assert_eq!(code(&rig.admit(root, run, huge)), "over_budget");
    rig.check_fold();
}

#[test]
fn time_is_up_at_every_level() {
    let mut rig = Rig::default();
    let root = rig.launch(wall(100));
    let child = rig.spawn(root, Budget::default());
    let (root_run, child_run) = (rig.run(root), rig.run(child));
    let before = rig.journal.len();
    rig.kernel.now_ms += 100;
    rig.admit(root, root_run, ONE).unwrap();
    rig.admit(child, child_run, ONE).unwrap();
    assert_eq!(rig.journal.len(), before, "calls are counted where a budget counts them only");
    rig.kernel.now_ms += 1;
    for (pid, run) in [(root, root_run), (child, child_run)] {
        assert_eq!(passed(fault(rig.admit(pid, run, ONE))), (root, BudgetKind::Wall, 100));
        assert_eq!(code(&rig.admit(pid, 0, Usage::default())), "ok", "it can still end");
    }
    let extend = process::Extend { pid: root, kind: BudgetKind::Wall, by: 1 };
    rig.call(HOST, extend).unwrap();
    assert_eq!(code(&rig.admit(child, child_run, ONE)), "ok");
    rig.check_fold();
}

#[test]
fn a_process_without_limits_makes_no_event() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget { children: Some(9), ..wall(1_000) });
    let limited = rig.spawn(root, syscalls(9));
    let below = rig.spawn(limited, Budget::default());
    let runs = [root, below].map(|pid| rig.run(pid));
    let before = rig.journal.len();
    rig.admit(root, runs[0], Usage { bytes: 7, ..ONE }).unwrap();
    rig.call(HOST, process::Settle { op: OpId(rig.kernel.op), used: None }).unwrap();
    assert_eq!(rig.journal.len(), before);
    rig.admit(below, runs[1], Usage { bytes: 7, ..ONE }).unwrap();
    assert_eq!(rig.journal.len(), before + 1);
    for pid in [root, limited, below] {
        assert_eq!((rig.info(pid).usage.syscalls, rig.info(pid).usage.bytes), (1, 7));
    }
}

#[test]
fn what_is_set_aside_is_settled_with_what_was_used() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget { bytes: Some(100), ..syscalls(100) });
    let child = rig.spawn(root, Budget::default());
    let run = rig.run(child);
    let charge = |bytes| Usage { bytes, ..ONE };
    rig.admit(child, run, charge(60)).unwrap();
    let first = OpId(rig.kernel.op);
    assert_eq!(passed(fault(rig.admit(child, run, charge(60)))), (root, BudgetKind::Bytes, 100));
    let used = Usage { bytes: 5, syscalls: 9, ..Usage::default() };
    rig.call(HOST, process::Settle { op: first, used: Some(used) }).unwrap();
    assert_eq!(rig.info(root).usage, Usage { children: 1, ..charge(5) }, "only what is estimated");
    let before = rig.journal.len();
    rig.call(HOST, process::Settle { op: first, used: Some(used) }).unwrap();
    rig.call(HOST, process::Settle { op: OpId(9_999), used: None }).unwrap();
    assert_eq!(rig.journal.len(), before, "once, and only what was set aside");

    rig.admit(child, run, charge(60)).unwrap();
    rig.call(HOST, process::Settle { op: OpId(rig.kernel.op), used: None }).unwrap();
    assert_eq!(rig.info(root).usage.bytes, 65, "all of it where nobody can tell");
    rig.admit(child, run, ONE).unwrap();
    let before = rig.journal.len();
    rig.call(HOST, process::Settle { op: OpId(rig.kernel.op), used: None }).unwrap();
    assert_eq!(rig.journal.len(), before, "what is not estimated needs no settling");

    // It is settled for those above, whatever has become of the process.
    rig.admit(child, run, charge(30)).unwrap();
    let last = OpId(rig.kernel.op);
    rig.call(Some(child), exit()).unwrap();
    rig.call(HOST, process::Settle { op: last, used: Some(Usage::default()) }).unwrap();
    assert_eq!(rig.info(root).usage.bytes, 65);
    rig.check_fold();
}

#[test]
fn more_than_was_set_aside_is_counted_in_full() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget { tokens: Some(100), ..Budget::default() });
    let run = rig.run(root);
    let tokens = |tokens| Usage { tokens, ..Usage::default() };
    rig.admit(root, run, tokens(90)).unwrap();
    let op = OpId(rig.kernel.op);
    rig.call(HOST, process::Settle { op, used: Some(tokens(120)) }).unwrap();
    assert_eq!(rig.info(root).usage.tokens, 120);
    assert_eq!(code(&rig.admit(root, run, tokens(1))), "over_budget");
    rig.check_fold();
}

#[test]
fn a_limit_can_be_raised_where_there_is_one() {
    let mut rig = Rig::default();
    let root = rig.launch(syscalls(1));
    let child = rig.spawn(root, Budget::default());
    let run = rig.run(child);
    rig.admit(child, run, ONE).unwrap();
    let (of, kind, limit) = passed(fault(rig.admit(child, run, ONE)));
    assert_eq!((of, kind, limit), (root, BudgetKind::Syscalls, 1));
    let extend = |pid, kind| process::Extend { pid, kind, by: 2 };
    for (pid, kind) in [(child, kind), (root, BudgetKind::Bytes), (Pid(99), kind)] {
        assert_eq!(code(&rig.call(HOST, extend(pid, kind))), "not_found");
    }
    rig.call(HOST, extend(of, kind)).unwrap();
    assert_eq!(rig.info(root).budget, syscalls(3));
    rig.admit(child, run, ONE).unwrap();
    // What has ended still binds those it left behind, so its limits can be raised too.
    rig.call(Some(root), exit()).unwrap();
    rig.admit(child, run, ONE).unwrap();
    assert_eq!(passed(fault(rig.admit(child, run, ONE))), (root, kind, 3));
    rig.call(HOST, extend(of, kind)).unwrap();
    assert_eq!(code(&rig.admit(child, run, ONE)), "ok");
    rig.check_fold();
}

#[test]
fn a_childs_budget_is_within_what_is_left() {
    for (kind, budget, charge) in each_kind(10) {
        let mut rig = Rig::default();
        let root = rig.launch(budget);
        let run = rig.run(root);
        for _ in 0..4 {
            rig.admit(root, run, charge).unwrap();
        }
        let given = |limit| each_kind(limit).into_iter().find(|each| each.0 == kind).unwrap().1;
        assert_eq!(passed(fault(rig.call(Some(root), spawn(given(7))))), (root, kind, 10));
        let call = process::Fork { budget: Some(given(7)), ..fork(ForkMode::Copy) };
        assert_eq!(code(&rig.call(Some(root), call)), "over_budget");
        assert_eq!(code(&rig.call(Some(root), spawn(given(6)))), "ok");
        assert_eq!(rig.info(Pid(2)).budget, given(6), "and no limit is inherited");
        assert_eq!(code(&rig.call(Some(root), spawn(Budget::default()))), "ok");
    }
    let mut rig = Rig::default();
    let root = rig.launch(Budget { children: Some(3), ..wall(100) });
    rig.kernel.now_ms += 40;
    let children = |limit| Budget { children: Some(limit), ..Budget::default() };
    for (asked, expected) in [
        (wall(61), "over_budget"),
        (children(3), "over_budget"),
        (Budget { children: Some(2), ..wall(60) }, "ok"),
        (Budget::default(), "ok"),
    ] {
        assert_eq!(code(&rig.call(Some(root), spawn(asked))), expected);
    }
}

#[test]
fn the_limits_of_an_image_hold_where_nothing_is_said() {
    let mut rig = Rig::default();
    let of_image = Budget { syscalls: Some(5), tool_calls: Some(9), ..wall(50) };
    rig.kernel.images.get_mut("plain").unwrap().budget = of_image.clone();
    let launched = process::Launch { image: "plain".into(), ..launch(syscalls(7)) };
    let root = rig.call(HOST, launched).unwrap().pid;
    assert_eq!(rig.info(root).budget, Budget { syscalls: Some(7), ..of_image.clone() });
    // A child has the limits of its image too, but for those that its parent's are tighter than.
    let run = rig.run(root);
    for _ in 0..3 {
        rig.admit(root, run, Usage { syscalls: 1, ..Usage::default() }).unwrap();
    }
    rig.kernel.now_ms += 1;
    let child = process::Spawn { image: Some("plain".into()), ..spawn(syscalls(2)) };
    let pid = rig.call(Some(root), child.clone()).unwrap().pid;
    let fits = Budget { syscalls: Some(2), tool_calls: Some(9), ..Budget::default() };
    assert_eq!(rig.info(pid).budget, fits);
    let unsaid = process::Spawn { budget: None, ..child };
    let pid = rig.call(Some(root), unsaid).unwrap().pid;
    assert_eq!(rig.info(pid).budget, Budget { syscalls: None, ..fits });
}

#[test]
fn a_budget_of_children_counts_all_below() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget { children: Some(3), ..Budget::default() });
    let child = rig.spawn(root, Budget::default());
    rig.spawn(child, Budget::default());
    rig.call(Some(child), fork(ForkMode::Worker)).unwrap();
    let owner = libos_abi::ObjectId::new(1, 1);
    rig.kernel.objects.insert(owner);
    let full = (root, BudgetKind::Children, 3);
    assert_eq!(passed(fault(rig.call(Some(child), spawn(Budget::default())))), full);
    assert_eq!(passed(fault(rig.call(Some(child), fork(ForkMode::Copy)))), full);
    assert_eq!(passed(fault(rig.call(Some(child), task(owner)))), full);
    assert_eq!((rig.info(root).usage.children, rig.info(child).usage.children), (3, 2));
    let extend = process::Extend { pid: root, kind: BudgetKind::Children, by: 1 };
    rig.call(HOST, extend).unwrap();
    assert_eq!(code(&rig.call(Some(child), spawn(Budget::default()))), "ok");
    rig.check_fold();
}

/// One thing that may be done to a budget.
#[derive(Debug, Clone)]
enum Step {
    Admit(usize, Usage),
    Settle(usize, u64),
    Extend(usize, u64),
    Spawn(usize, Budget),
    Exit(usize),
}

fn some_budget() -> impl Strategy<Value = Budget> {
    let limit = || prop::option::of(0..40_u64);
    (limit(), limit(), limit(), prop::option::of(0..6_u64)).prop_map(
        |(syscalls, bytes, tokens, children)| Budget {
            syscalls,
            bytes,
            tokens,
            children,
            ..Budget::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let usage = (0..3_u64, 0..12_u64, 0..12_u64).prop_map(|(syscalls, bytes, tokens)| Usage {
        syscalls,
        bytes,
        tokens,
        ..Usage::default()
    });
    let index = || 0..10_usize;
    prop_oneof![
        6 => (index(), usage).prop_map(|(index, usage)| Step::Admit(index, usage)),
        4 => (index(), 0..100_u64).prop_map(|(index, percent)| Step::Settle(index, percent)),
        1 => (index(), 0..9_u64).prop_map(|(index, by)| Step::Extend(index, by)),
        2 => (index(), some_budget()).prop_map(|(index, budget)| Step::Spawn(index, budget)),
        1 => index().prop_map(Step::Exit),
    ]
}

/// What each process has had charged, as somebody outside keeps the books.
#[derive(Default)]
struct Books {
    made: Vec<Pid>,
    spent: Vec<(Pid, Usage)>,
    open: Vec<(OpId, Pid, Usage)>,
}

impl Books {
    fn perform(&mut self, rig: &mut Rig, step: Step) {
        let pid = |index: usize| self.made[index % self.made.len()];
        match step {
            Step::Admit(index, charge) => {
                let pid = pid(index);
                if rig.admit(pid, 0, charge).is_ok() {
                    self.open.push((OpId(rig.kernel.op), pid, charge));
                }
            }
            Step::Settle(index, percent) if !self.open.is_empty() => {
                let (op, pid, charge) = self.open.remove(index % self.open.len());
                let estimated = charge.estimated();
                let used = Usage {
                    bytes: estimated.bytes * percent / 100,
                    tokens: estimated.tokens * percent / 100,
                    ..Usage::default()
                };
                let call = process::Settle { op, used: (percent > 0).then_some(used) };
                rig.call(HOST, call).unwrap();
                let used = if percent > 0 { used } else { estimated };
                self.spent.push((pid, charge.minus(estimated).plus(used)));
            }
            Step::Settle(..) => {}
            Step::Extend(index, by) => {
                let call = process::Extend { pid: pid(index), kind: BudgetKind::Bytes, by };
                drop(rig.call(HOST, call));
            }
            Step::Spawn(index, budget) => {
                if let Ok(child) = rig.call(Some(pid(index)), spawn(budget)) {
                    self.made.push(child.pid);
                }
            }
            Step::Exit(index) if index > 0 => drop(rig.call(Some(pid(index)), exit())),
            Step::Exit(_) => {}
        }
    }

    /// What the processes of a set have used or set aside.
    fn sum(&self, of: impl Fn(Pid) -> bool) -> Usage {
        let open = self.open.iter().map(|(_, pid, charge)| (*pid, *charge));
        (self.spent.iter().copied().chain(open))
            .filter(|(pid, _)| of(*pid))
            .fold(Usage::default(), |sum, (_, usage)| sum.plus(usage))
    }
}

proptest! {
    /// Law 10: the charges in a subtree, what is set aside included, are within the budget of
    /// everyone above, at every instant, and the books of the kernel are those of an outsider.
    #[test]
    fn budgets_are_hierarchical(
        root in some_budget(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut rig = Rig::default();
        // A limit of calls at the root, so that every call is counted.
        let root = Budget { syscalls: Some(root.syscalls.unwrap_or(60)), ..root };
        let mut books = Books { made: vec![rig.launch(root)], ..Books::default() };
        for step in steps {
            books.perform(&mut rig, step);
            let list = rig.call(HOST, crate::rig::list()).unwrap().processes;
            for info in &list {
                let below = |mut pid: Pid| loop {
                    if pid == info.pid {
                        break true;
                    }
                    let other = list.iter().find(|other| other.pid == pid);
                    match other.and_then(|other| other.parent) {
                        Some(parent) => pid = parent,
                        None => break false,
                    }
                };
                let pids = list.iter().map(|other| other.pid);
                let children = pids.filter(|pid| *pid != info.pid && below(*pid)).count() as u64;
                let used = Usage { children, ..books.sum(below) };
                prop_assert_eq!(info.usage, used);
                for kind in [
                    BudgetKind::Syscalls, BudgetKind::Bytes, BudgetKind::Tokens,
                    BudgetKind::Children,
                ] {
                    let limit = info.budget.limit(kind).unwrap_or(u64::MAX);
                    prop_assert!(used.of(kind) <= limit, "{kind:?} of {}", info.pid);
                }
            }
        }
        rig.check_fold();
    }
}
