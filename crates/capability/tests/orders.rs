//! Every order of a few steps: what is used once is used once, what is taken back stays back.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;

use common::{World, call, digest, grant, host, read};
use libos_abi::{
    Binding, CapId, Origin, Pid, RequestId,
    capability::{Charge, Issue},
};
use libos_port::Decision;

/// One actor and what it does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Actor {
    /// A call of a process under this operation: it is decided, set aside, and settled.
    Call { pid: u64, op: u64, give_back: bool },
    /// The host takes the source of it all back.
    Revoke,
    /// Its process goes on as another image and keeps nothing.
    Keep,
    /// Its process ends.
    End,
    /// Its time passes.
    Expire,
    /// The host ends and starts again: the state is what the journal says.
    Crash,
}

impl Actor {
    fn steps(self) -> u8 {
        match self {
            Self::Call { .. } => 3,
            _ => 1,
        }
    }

    /// Whether nothing is allowed once it has happened.
    fn ends_it(self) -> bool {
        !matches!(self, Self::Call { .. } | Self::Crash)
    }
}

/// A source of authority that admits so many calls.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A number of uses.
    Uses,
    /// A number of calls, of parent and child together.
    Calls,
    /// A sum over an argument.
    Sum,
    /// An approval of one call.
    Approval,
}

const FILE: &str = "workspace/a";

/// Process 1 and its child 2, with a source that admits `many` calls. Gives the capability to take
/// back.
fn world(source: Source, many: u64) -> (World, CapId) {
    let mut world = World::new();
    let spec = match source {
        Source::Uses => format!("allow fs:* read expires=10 uses={many}"),
        Source::Calls => format!("allow fs:* read expires=10 delegable=1 calls_max={many}"),
        Source::Sum => format!(
            r#"allow fs:* read expires=10 delegable=1 when={{"path":{{"sum_max":{}}}}}"#,
            many * FILE.len() as u64
        ),
        Source::Approval => "ask fs:* read".into(),
    };
    let mut id = world.host_grants(1, &spec).unwrap();
    match source {
        Source::Calls | Source::Sum => {
            world.derive(1, 2, &["allow fs:workspace/* read"]).unwrap();
        }
        Source::Uses => drop(world.derive(1, 2, &[]).unwrap()),
        Source::Approval => {
            let binding = Binding {
                request: RequestId(1),
                answers: vec![id],
                digest: digest(&call(&read(FILE))),
                op: None,
                subtree: false,
            };
            let issue = Issue {
                to: Pid(1),
                grant: grant(&format!("allow fs:workspace/a read expires=10 uses={many}")),
                origin: Origin::Human { request: RequestId(1) },
                binding: Some(binding),
            };
            id = world.issue(issue).unwrap();
        }
    }
    (world, id)
}

/// Where one order stands.
#[derive(Default)]
struct At {
    decided: BTreeMap<u64, Vec<Charge>>,
    /// Set aside and not settled, or settled and taken.
    under_way: Vec<u64>,
    taken: u64,
    over: bool,
}

fn step(world: &mut World, at: &mut At, source: CapId, actor: Actor, number: u8) {
    let text = read(FILE);
    match (actor, number) {
        (Actor::Call { pid, op, .. }, 0) => {
            let decision = world.decision(pid, &[Pid(1)], &call(&text), op);
            if let Decision::Allow { charges, .. } = decision {
                assert!(!at.over, "allowed after the end of it");
                at.decided.insert(op, charges);
            }
        }
        (Actor::Call { op, .. }, 1) => {
            let charges = at.decided.get(&op).cloned();
            if let Some(charges) = charges
                && world.reserve(op, charges).is_ok()
            {
                at.under_way.push(op);
            }
        }
        (Actor::Call { op, give_back, .. }, _) => {
            // As often as one likes: after a crash nobody knows whether it was.
            world.settle(op, give_back);
            world.settle(op, !give_back);
            if let Some(index) = at.under_way.iter().position(|it| *it == op) {
                at.under_way.remove(index);
                at.taken += u64::from(!give_back);
            }
        }
        (Actor::Revoke, _) => drop(world.revoke(host(), source)),
        (Actor::Keep, _) => drop(world.keep(1, &[], true)),
        (Actor::End, _) => world.end(1),
        (Actor::Expire, _) => world.now_ms = 10,
        (Actor::Crash, _) => {
            world.engine = world.folded();
            // What is not set aside is decided again.
            at.decided.clear();
        }
    }
    at.over |= actor.ends_it();
}

/// Calls `visit` with every order in which the actors can take their steps.
fn every_order(actors: &[Actor], visit: &mut impl FnMut(&[Actor])) {
    fn go(left: &mut [(Actor, u8)], order: &mut Vec<Actor>, visit: &mut impl FnMut(&[Actor])) {
        let mut is_done = true;
        for index in 0..left.len() {
            let (actor, steps) = left[index];
            if steps == 0 {
                continue;
            }
            is_done = false;
            left[index].1 -= 1;
            order.push(actor);
            go(left, order, visit);
            order.pop();
            left[index].1 += 1;
        }
        if is_done {
            visit(order);
        }
    }
    let mut left: Vec<_> = actors.iter().map(|actor| (*actor, actor.steps())).collect();
    go(&mut left, &mut Vec::new(), visit);
}

fn explore(source: Source, many: u64, actors: &[Actor]) -> u64 {
    let mut orders = 0;
    let (start, id) = world(source, many);
    every_order(actors, &mut |order| {
        orders += 1;
        let (engine, journal) = (start.folded(), start.journal.clone());
        let mut world = World { engine, journal, now_ms: 0 };
        let (mut at, mut taken) = (At::default(), BTreeMap::new());
        for actor in order {
            let number = taken.entry(*actor).or_insert(0);
            step(&mut world, &mut at, id, *actor, *number);
            *number += 1;
            let used = at.taken + at.under_way.len() as u64;
            assert!(used <= many, "{source:?}, {many} at most: {used} after {order:?}");
        }
        assert_eq!(world.live_digest(), world.folded_digest(), "{source:?}: {order:?}");
        // What is left is exactly what was not taken.
        let next = world.decision(1, &[], &call(&read(FILE)), 99);
        let is_free = matches!(next, Decision::Allow { .. });
        assert_eq!(is_free, !at.over && at.taken < many, "{source:?}: {next:?} after {order:?}");
    });
    orders
}

fn a_call(op: u64, give_back: bool) -> Actor {
    Actor::Call { pid: 1, op, give_back }
}

#[test]
fn whatever_the_order_what_is_used_once_is_used_once() {
    let mut orders = 0;
    for source in [Source::Uses, Source::Calls, Source::Sum, Source::Approval] {
        for give_back in [[false, false], [true, false], [true, true]] {
            let calls = [a_call(1, give_back[0]), a_call(2, give_back[1])];
            for more in [&[][..], &[Actor::Crash], &[Actor::Crash, Actor::Revoke]] {
                let actors = [&calls[..], more].concat();
                orders += explore(source, 1, &actors);
                orders += explore(source, 2, &actors);
            }
        }
    }
    // Two calls: 20 orders; with a crash 140, and with a crash and one more 1,120.
    assert_eq!(orders, 4 * 3 * 2 * (20 + 140 + 1120));
}

#[test]
fn whatever_the_order_nothing_is_allowed_after_the_end_of_it() {
    for source in [Source::Uses, Source::Calls, Source::Sum, Source::Approval] {
        for end in [Actor::Revoke, Actor::Keep, Actor::End, Actor::Expire] {
            let calls = [a_call(1, false), a_call(2, true)];
            assert_eq!(explore(source, 1, &[calls[0], calls[1], end]), 140);
            assert_eq!(explore(source, 2, &[calls[0], end, Actor::Crash]), 20);
        }
    }
}

#[test]
fn whatever_the_order_a_family_spends_no_more_than_its_source() {
    for source in [Source::Calls, Source::Sum] {
        let child = |op, give_back| Actor::Call { pid: 2, op, give_back };
        let actors = [a_call(1, false), child(2, false), child(3, true)];
        assert_eq!(explore(source, 1, &actors), 1680);
        assert_eq!(explore(source, 2, &actors), 1680);
        assert_eq!(explore(source, 1, &[a_call(1, true), child(2, false), Actor::Revoke]), 140);
    }
}
