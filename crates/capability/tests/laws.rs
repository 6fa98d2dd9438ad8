//! Laws over random programs: attenuation, denial, one-shot, revocation, folding.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, call, host};
use libos_abi::{CapId, CapabilityInfo, Effect, Pid, Principal, Status, capability::Inspect};
use libos_port::Decision;
use proptest::prelude::*;

/// Process 1 is the root; 2 and 4 are its children, 3 is a child of 2.
const FAMILY: [(u64, u64); 3] = [(1, 2), (2, 3), (1, 4)];

const CALLS: [&str; 6] = [
    r#"fs.read {"path":"workspace/a"}"#,
    r#"fs.read {"path":"workspace/a/b","max_bytes":5}"#,
    r#"fs.read {"path":"workspace/c"}"#,
    r#"fs.write {"path":"workspace/a","text":"xyz"}"#,
    r#"fs.write {"path":"workspace/a/b","text":""}"#,
    r#"fs.stat {"path":"other/a"}"#,
];

#[derive(Debug, Clone)]
enum Action {
    Grant(u64, String),
    Delegate(usize, String),
    Derive(usize, Vec<String>),
    /// By the host (0) or a process.
    Revoke(u64, u64),
    Sleep(u64),
    /// A process makes a call; then it is taken, given back or left under way.
    Call(u64, usize, Option<bool>),
    End(u64),
}

fn grants(effects: &'static [&'static str]) -> impl Strategy<Value = String> {
    const PATTERNS: &[&str] = &[
        "fs:*",
        "fs:workspace/*",
        "fs:workspace/a",
        "fs:workspace/a/*",
        "fs:workspace/a:*",
        "fs:workspace/a/b",
    ];
    const WHENS: &[&str] = &[
        "",
        "",
        r#" when={"path":{"prefix":"workspace/a"}}"#,
        r#" when={"path":{"matches":".*a"}}"#,
        r#" when={"path":{"min":1,"sum_max":40}}"#,
    ];
    (
        prop::sample::select(effects),
        prop::sample::select(PATTERNS),
        prop::sample::select(&["read", "write", "read+write"][..]),
        prop::sample::select(&["", "", "", " uses=1", " calls_max=2"][..]),
        prop::sample::select(&["", "", " expires=20", " expires=90"][..]),
        0..4_u8,
        prop::sample::select(WHENS),
    )
        .prop_map(|(effect, on, rights, limit, expires, delegable, when)| {
            format!("{effect} {on} {rights}{limit}{expires} delegable={delegable}{when}")
        })
}

const ALL: &[&str] = &["allow", "allow", "allow", "ask", "deny"];

fn family_actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..3_usize, grants(ALL)).prop_map(|(at, grant)| Action::Delegate(at, grant)),
        4 => (0..3_usize, prop::collection::vec(grants(ALL), 0..3))
            .prop_map(|(at, grants)| Action::Derive(at, grants)),
        2 => (1..5_u64, 1..20_u64).prop_map(|(by, id)| Action::Revoke(by, id)),
        1 => (1..30_u64).prop_map(Action::Sleep),
        2 => (1..5_u64, 0..CALLS.len(), any::<Option<bool>>())
            .prop_map(|(pid, call, give_back)| Action::Call(pid, call, give_back)),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1..5_u64, grants(ALL)).prop_map(|(to, grant)| Action::Grant(to, grant)),
        12 => family_actions(),
        1 => (1..20_u64).prop_map(|id| Action::Revoke(0, id)),
        1 => (2..5_u64).prop_map(Action::End),
    ]
}

fn family() -> World {
    let mut world = World::new();
    for (parent, child) in FAMILY {
        world.derive(parent, child, &[]).unwrap();
    }
    world
}

/// Runs an action; what is refused is refused.
fn run(world: &mut World, op: u64, action: &Action) {
    match action {
        Action::Grant(to, grant) => drop(world.host_grants(*to, grant)),
        Action::Delegate(at, grant) => drop(world.delegate(FAMILY[*at].0, FAMILY[*at].1, grant)),
        Action::Derive(at, grants) => {
            let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
            drop(world.derive(FAMILY[*at].0, FAMILY[*at].1, &grants));
        }
        Action::Revoke(0, id) => drop(world.revoke(host(), CapId(*id))),
        Action::Revoke(by, id) => {
            drop(world.revoke(Principal::Process(Pid(*by)), CapId(*id)));
        }
        Action::Sleep(ms) => world.now_ms += ms,
        Action::Call(pid, at, settle) => {
            if world.admit(*pid, CALLS[*at], op)
                && let Some(give_back) = settle
            {
                world.settle(op, *give_back);
            }
        }
        Action::End(pid) => world.end(*pid),
    }
}

fn inspect(world: &mut World, id: CapId) -> CapabilityInfo {
    world.call(host(), Inspect { capability: id }).expect("lineage stays")
}

/// Every decision that allows, of every process on every call: the call and the capability.
fn allowed(world: &World) -> Vec<(u64, &'static str, CapId)> {
    let mut found = Vec::new();
    for pid in 1..5 {
        for text in CALLS {
            if let Decision::Allow { by, .. } = world.decision(pid, &[], &call(text), 1) {
                found.extend(by.into_iter().map(|id| (pid, text, id)));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Law 2: each allow rests on a chain of allows, each within the one above, up to the host's.
    #[test]
    fn what_is_handed_on_is_never_wider(program in prop::collection::vec(actions(), 1..40)) {
        let mut world = family();
        for (op, action) in program.iter().enumerate() {
            run(&mut world, op as u64 + 1, action);
        }
        for (pid, text, id) in allowed(&world) {
            let libos_abi::Demand::Rights(needs) = call(text).demand() else { panic!() };
            let mut cap = inspect(&mut world, id);
            prop_assert_eq!(cap.subject, Pid(pid));
            loop {
                prop_assert_eq!(cap.effect, Effect::Allow);
                prop_assert!(matches!(cap.status, Status::Active | Status::Ended), "{:?}", cap);
                prop_assert!(cap.on.matches(&needs[0].on) && cap.rights.contains(needs[0].right));
                let Some(parent) = cap.parent else { break };
                let above = inspect(&mut world, parent);
                prop_assert!(above.on.covers(&cap.on) && above.rights.covers(cap.rights));
                prop_assert!(above.delegable > cap.delegable);
                prop_assert!(above.uses_left.is_none());
                let end = above.expires_at_ms.unwrap_or(u64::MAX);
                prop_assert!(cap.expires_at_ms.unwrap_or(u64::MAX) <= end);
                prop_assert_ne!(above.subject, cap.subject);
                cap = above;
            }
            prop_assert_eq!(cap.origin, libos_abi::Origin::Host);
        }
        prop_assert_eq!(world.live_digest(), world.folded_digest());
    }

    /// Law 3: over what the only source of authority is denied, nobody below it is ever allowed;
    /// over what it must ask for, nobody is allowed unasked.
    #[test]
    fn a_denial_cannot_be_handed_around(
        held in prop::collection::vec(grants(&["allow"]), 1..4),
        at in 0..CALLS.len(),
        effect in prop::sample::select(&["deny", "ask"][..]),
        program in prop::collection::vec(family_actions(), 1..40),
    ) {
        let mut world = family();
        let libos_abi::Demand::Rights(needs) = call(CALLS[at]).demand() else { panic!() };
        world.host_grants(1, "allow fs:* read+write delegable=4").unwrap();
        world
            .host_grants(1, &format!("{effect} {} {}", needs[0].on, needs[0].right))
            .unwrap();
        for grant in &held {
            world.host_grants(1, grant).unwrap();
        }
        for (op, action) in program.iter().enumerate() {
            run(&mut world, op as u64 + 1, action);
            for pid in 1..5 {
                let decision = world.decision(pid, &[], &call(CALLS[at]), 1);
                prop_assert!(!matches!(decision, Decision::Allow { .. }), "p{}: {:?}", pid, decision);
            }
        }
    }

    /// Law 3 for one subject: whatever comes to it, its own denial stands.
    #[test]
    fn a_subject_with_a_denial_is_never_allowed(
        program in prop::collection::vec(actions(), 1..30),
        pid in 1..4_u64,
    ) {
        let mut world = family();
        let deny = world.host_grants(pid, "deny fs:workspace/a/* read+write").unwrap();
        for (op, action) in program.iter().enumerate() {
            if matches!(action, Action::Revoke(0, id) if *id == deny.0) {
                continue;
            }
            if matches!(action, Action::End(end) if *end == pid) {
                continue;
            }
            run(&mut world, op as u64 + 1, action);
            for text in [CALLS[0], CALLS[1], CALLS[3], CALLS[4]] {
                let decision = world.decision(pid, &[], &call(text), 1);
                prop_assert!(!matches!(decision, Decision::Allow { .. }), "{:?}", decision);
            }
        }
    }

    /// Law 4: n uses, or n calls of a whole family, admit n at the most, whatever the order in
    /// which they are decided, set aside, taken and given back.
    #[test]
    fn finite_authority_is_never_spent_twice(
        uses in 1..4_u64,
        whole_family in any::<bool>(),
        steps in prop::collection::vec((0..4_u8, 1..8_u64, 1..4_u64), 1..60),
    ) {
        let mut world = family();
        if whole_family {
            world.host_grants(1, &format!("allow fs:* read delegable=3 calls_max={uses}")).unwrap();
            world.derive(1, 2, &["allow fs:* read delegable=2"]).unwrap();
            world.derive(2, 3, &["allow fs:* read"]).unwrap();
        } else {
            world.host_grants(1, &format!("allow fs:* read uses={uses}")).unwrap();
        }
        let mut decided = std::collections::BTreeMap::new();
        let mut under_way = std::collections::BTreeSet::new();
        let mut spent = 0_u64;
        for (step, op, pid) in steps {
            match step {
                0 => {
                    let decision = world.decision(pid, &[], &call(CALLS[0]), op);
                    if let Decision::Allow { charges, .. } = decision {
                        decided.insert(op, charges);
                    }
                }
                1 => {
                    let fresh = !under_way.contains(&op);
                    if let Some(charges) = decided.get(&op).filter(|_| fresh)
                        && world.reserve(op, charges.clone()).is_ok()
                    {
                        under_way.insert(op);
                    }
                }
                _ => {
                    world.settle(op, step == 3);
                    if under_way.remove(&op) && step == 2 {
                        spent += 1;
                    }
                }
            }
            prop_assert!(spent + under_way.len() as u64 <= uses);
        }
        prop_assert_eq!(world.live_digest(), world.folded_digest());
    }

    /// Law 5: once taken back, neither it nor anything cut from it admits a call, even one that
    /// was decided before.
    #[test]
    fn what_is_taken_back_admits_nothing_more(
        program in prop::collection::vec(actions(), 1..30),
        pick in any::<prop::sample::Index>(),
    ) {
        let mut world = family();
        for (op, action) in program.iter().enumerate() {
            run(&mut world, op as u64 + 1, action);
        }
        let before: Vec<_> = allowed(&world);
        prop_assume!(!before.is_empty());
        let mut id = before[pick.index(before.len())].2;
        while let Some(parent) = inspect(&mut world, id).parent {
            id = parent;
        }
        let late: Vec<_> = before
            .iter()
            .filter_map(|(pid, text, by)| match world.decision(*pid, &[], &call(text), 1) {
                Decision::Allow { charges, .. } if !charges.is_empty() => Some((*by, charges)),
                _ => None,
            })
            .collect();
        let ended = world.revoke(host(), id).unwrap();
        for (_, _, by) in allowed(&world) {
            prop_assert!(!ended.contains(&by));
        }
        for (op, (by, charges)) in late.into_iter().enumerate() {
            let all_ended = charges.iter().any(|charge| ended.contains(&charge.capability));
            if ended.contains(&by) && all_ended {
                prop_assert!(world.reserve(10_000 + op as u64, charges).is_err());
            }
        }
    }

    /// Law 12: the state is the fold of the journal, after every prefix.
    #[test]
    fn the_state_is_the_fold_of_its_events(program in prop::collection::vec(actions(), 1..25)) {
        let mut world = family();
        for (op, action) in program.iter().enumerate() {
            run(&mut world, op as u64 + 1, action);
            prop_assert_eq!(world.live_digest(), world.folded_digest());
        }
        // What is not in the digest follows too: both decide alike.
        let live = allowed(&world);
        world.engine = world.folded();
        prop_assert_eq!(live, allowed(&world));
    }
}
