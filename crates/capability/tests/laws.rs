//! Laws over random histories: attenuation, bounds, denial, revocation, giving up, folding.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{World, call, host};
use libos_abi::{
    CapId, CapabilityInfo, CheckpointId, Demand, Effect, Manifest, Need, Origin, Pid, Status,
    Syscall,
    capability::{self, May},
    checkpoint::Revived,
};
use libos_conformance::history::{Done, History, Mix, Seen, Step, calls, perform};
use libos_port::{Component, Decision};
use proptest::prelude::*;

/// A history and the engine it is played on.
struct Play {
    world: World,
    history: History,
}

impl Play {
    fn new(seed: u64, mix: Mix) -> Self {
        Self { world: World::new(), history: History::new(seed, mix) }
    }

    /// Plays one step, unless it is to be left out.
    fn play(&mut self, leave_out: impl Fn(&Step) -> bool) -> Option<(Step, Done)> {
        let step = self.history.step();
        self.world.now_ms = self.history.now_ms();
        if leave_out(&step) {
            return None;
        }
        let mut done = perform(&mut self.world.engine, self.world.now_ms, &step);
        self.history.learn(&step, &done);
        self.world.journal.append(&mut done.events);
        Some((step, done))
    }

    fn next(&mut self) -> (Step, Done) {
        self.play(|_| false).unwrap()
    }

    fn run(seed: u64, mix: Mix, steps: usize) -> Self {
        let mut play = Self::new(seed, mix);
        (0..steps).for_each(|_| drop(play.next()));
        play
    }

    fn caps(&mut self) -> BTreeMap<CapId, CapabilityInfo> {
        self.world.listed().into_iter().map(|cap| (cap.id, cap)).collect()
    }

    /// Every decision that allows, of every process on every call: who, the call, by what.
    fn allowed(&self) -> Vec<(Pid, Syscall, Vec<CapId>)> {
        let mut found = Vec::new();
        for (pid, above) in self.history.family() {
            for call in calls() {
                if let Decision::Allow { by, .. } = self.world.decision(pid.0, above, &call, 0) {
                    found.push((*pid, call, by.to_vec()));
                }
            }
        }
        found
    }
}

fn needs(call: &Syscall) -> Vec<Need> {
    match call.demand() {
        Demand::Rights(needs) => needs.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The one at the top of a lineage.
fn root(caps: &BTreeMap<CapId, CapabilityInfo>, cap: &CapabilityInfo) -> CapabilityInfo {
    cap.parent.map_or_else(|| cap.clone(), |above| root(caps, &caps[&above]))
}

/// Whether a question that was handed to a process, and spoke of what a call needs, has ended
/// with what it was cut from.
fn question_ended(
    before: &BTreeMap<CapId, CapabilityInfo>,
    after: &BTreeMap<CapId, CapabilityInfo>,
    pid: Pid,
    call: &Syscall,
) -> bool {
    let needs = needs(call);
    before
        .values()
        .filter(|cap| cap.subject == pid && cap.effect == Effect::Ask && cap.parent.is_some())
        .filter(|cap| cap.status == Status::Active && after[&cap.id].status == Status::Revoked)
        .any(|cap| needs.iter().any(|need| cap.on.matches(&need.on)))
}

fn with_cases() -> ProptestConfig {
    ProptestConfig::with_cases(256)
}

proptest! {
    #![proptest_config(with_cases())]

    /// Law 2: each allow rests on a chain of allows, each within the one above, up to one made by
    /// the host, a human or the kernel.
    #[test]
    fn what_is_handed_on_is_never_wider(seed: u64, steps in 1..150_usize) {
        // A copy of a process holds what its original does, whoever may hand that on.
        let mut play = Play::run(seed, Mix { copies: false, ..Mix::ALL }, steps);
        let caps = play.caps();
        for (pid, call, by) in play.allowed() {
            let needs = needs(&call);
            for id in by {
                let mut cap = caps[&id].clone();
                prop_assert_eq!(cap.status, Status::Active);
                prop_assert!(
                    needs.iter().any(|it| cap.on.matches(&it.on) && cap.rights.contains(it.right))
                );
                // A question that was answered, or the answer: neither hands anything on.
                if cap.effect == Effect::Ask || cap.binding.is_some() {
                    continue;
                }
                prop_assert_eq!(cap.subject, pid);
                while let Some(parent) = cap.parent {
                    let above = &caps[&parent];
                    prop_assert_eq!(above.effect, Effect::Allow);
                    prop_assert!(above.on.covers(&cap.on) && above.rights.covers(cap.rights));
                    prop_assert!(above.delegable > cap.delegable);
                    prop_assert!(above.uses_left.is_none() && above.binding.is_none());
                    let end = above.expires_at_ms.unwrap_or(u64::MAX);
                    prop_assert!(cap.expires_at_ms.unwrap_or(u64::MAX) <= end);
                    prop_assert_ne!(above.subject, cap.subject);
                    prop_assert!(matches!(above.status, Status::Active | Status::Ended));
                    cap = above.clone();
                }
                let is_handed_on = matches!(cap.origin, Origin::Delegated { .. });
                prop_assert!(!is_handed_on, "{:?}", cap);
            }
        }
    }

    /// Nothing that a process was granted or handed reaches outside of a manifest that bounds it
    /// or one above it, and no call outside of them is allowed.
    #[test]
    fn nobody_gets_out_of_a_manifest(seed: u64, steps in 1..120_usize) {
        let mut play = Play::new(seed, Mix::ALL);
        let mut bounds: BTreeMap<Pid, Vec<Manifest>> = BTreeMap::from([(Pid(1), Vec::new())]);
        for _ in 0..steps {
            let (step, done) = play.next();
            let Step::Call { call: Syscall::Capability(call), undone, .. } = step else { continue };
            if undone || !matches!(done.seen, Seen::Reply(_)) {
                continue;
            }
            let of = |bounds: &BTreeMap<Pid, Vec<Manifest>>, pid: Option<Pid>| {
                pid.map_or_else(Vec::new, |pid| bounds[&pid].clone())
            };
            match call {
                capability::Call::Bound(call) => {
                    let mut all = of(&bounds, call.parent);
                    all.extend(call.manifest);
                    bounds.insert(call.pid, all);
                }
                capability::Call::CopyHeld(call) => {
                    for copied in call.processes {
                        let all = [Some(copied.from), copied.parent]
                            .map(|pid| of(&bounds, pid))
                            .concat();
                        bounds.insert(copied.to, all);
                    }
                }
                _ => {}
            }
        }
        let caps = play.caps();
        for cap in caps.values() {
            let is_bounded = cap.effect != Effect::Deny
                && cap.binding.is_none()
                && cap.origin != Origin::Kernel
                && root(&caps, cap).origin != Origin::Kernel;
            for manifest in bounds.get(&cap.subject).into_iter().flatten().filter(|_| is_bounded) {
                let mut entries = manifest.authority.iter().flatten();
                let covered = manifest.authority.is_none()
                    || entries.any(|it| it.on.covers(&cap.on) && it.rights.covers(cap.rights));
                prop_assert!(covered, "{:?} is outside of {:?}", cap, manifest);
            }
        }
        for (pid, call, _) in play.allowed() {
            let info = call.info();
            let whole = format!("{}.*", info.service);
            for calls in bounds[&pid].iter().filter_map(|manifest| manifest.calls.as_ref()) {
                prop_assert!(calls.iter().any(|it| *it == info.name || *it == whole));
            }
        }
    }

    /// Law 3: over what the only source of authority is denied, nobody below it is ever allowed;
    /// over what it must ask for, nobody is allowed unasked. Kin have a source of their own.
    #[test]
    fn a_denial_cannot_be_handed_around(
        seed: u64,
        steps in 1..120_usize,
        at in 0..calls().len(),
        effect in prop::sample::select(&["deny", "ask"][..]),
    ) {
        let mut play = Play::new(seed, Mix::PROCESSES);
        let call = &calls()[at];
        let need = &needs(call)[0];
        for kind in ["fs:*", "object:*", "clock:*"] {
            let all = format!("allow {kind} read+write+link+delete delegable=4");
            play.world.host_grants(1, &all).unwrap();
        }
        play.world.host_grants(1, &format!("{effect} {} {}", need.on, need.right)).unwrap();
        for _ in 0..steps {
            play.next();
            for (pid, above) in play.history.family() {
                let decision = play.world.decision(pid.0, above, call, 0);
                let by_grant = matches!(&decision, Decision::Allow { by, .. }
                    if by.iter().any(|id| id.kin_child().is_none()));
                prop_assert!(!by_grant, "{pid}: {decision:?}");
            }
        }
    }

    /// Law 3 for one subject: whatever comes to it, its own denial stands, whatever image it goes
    /// on as.
    #[test]
    fn a_subject_with_a_denial_is_never_allowed(seed: u64, steps in 1..120_usize) {
        let mut play = Play::new(seed, Mix::ALL);
        let deny = play.world.host_grants(1, "deny fs:workspace/a/* read+write").unwrap();
        for _ in 0..steps {
            play.play(|step| match step {
                Step::Call { call: Syscall::Capability(capability::Call::Revoke(it)), .. } => {
                    it.capability == deny
                }
                _ => false,
            });
            for call in calls() {
                let denied = needs(&call).iter().any(|it| it.on.as_str().starts_with("fs:workspace/a"));
                let decision = play.world.decision(1, &[], &call, 0);
                prop_assert!(!denied || matches!(decision, Decision::Deny(_)), "{:?}", decision);
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
        let mut world = World::new();
        if whole_family {
            world.host_grants(1, &format!("allow fs:* read delegable=3 calls_max={uses}")).unwrap();
            world.derive(1, 2, &["allow fs:* read delegable=2"]).unwrap();
            world.derive(2, 3, &["allow fs:* read"]).unwrap();
        } else {
            world.host_grants(1, &format!("allow fs:* read uses={uses}")).unwrap();
        }
        let read = call(r#"fs.read {"path":"workspace/a"}"#);
        let mut decided = BTreeMap::new();
        let mut under_way = BTreeSet::new();
        let mut spent = 0_u64;
        for (step, op, pid) in steps {
            match step {
                0 => {
                    if let Decision::Allow { charges, .. } = world.decision(pid, &[], &read, op) {
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
    /// was decided before, and whatever comes after.
    #[test]
    fn what_is_taken_back_admits_nothing_more(
        seed: u64,
        steps in 1..100_usize,
        later in 0..30_usize,
        pick: prop::sample::Index,
    ) {
        let mut play = Play::run(seed, Mix::ALL, steps);
        let before = play.allowed();
        prop_assume!(!before.is_empty());
        let caps = play.caps();
        let id = root(&caps, &caps[&before[pick.index(before.len())].2[0]]).id;
        let late: Vec<_> = before
            .iter()
            .filter_map(|(pid, call, by)| {
                let above = &play.history.family().iter().find(|(it, _)| it == pid)?.1;
                match play.world.decision(pid.0, above, call, 0) {
                    Decision::Allow { charges, .. } if !charges.is_empty() => Some((by, charges)),
                    _ => None,
                }
            })
            .collect();
        let ended = play.world.revoke(host(), id).unwrap();
        for (op, (by, charges)) in late.into_iter().enumerate() {
            let all_ended = charges.iter().all(|charge| ended.contains(&charge.capability));
            if by.iter().any(|id| ended.contains(id)) && all_ended {
                prop_assert!(play.world.reserve(10_000 + op as u64, charges).is_err());
            }
        }
        for _ in 0..=later {
            for (_, _, by) in play.allowed() {
                prop_assert!(by.iter().all(|id| !ended.contains(id)));
            }
            play.next();
        }
    }

    /// What a process does not keep is gone for good: nobody may do anything after that he might
    /// not before, but for what a question held back that was cut from what is gone; and what
    /// the process holds in force is what it kept, what the kernel gave and what restricts.
    #[test]
    fn going_on_as_another_image_only_shrinks(seed: u64, steps in 1..150_usize) {
        let mut play = Play::run(seed, Mix::ALL, steps);
        let pid = play.history.family()[0].0;
        let before = play.allowed();
        let caps = play.caps();
        let own = caps.values().filter(|cap| cap.subject == pid && cap.status == Status::Active);
        let own: Vec<_> = own.collect();
        let keep: Vec<u64> = own.iter().map(|cap| cap.id.0).step_by(2).collect();
        let gone = play.world.keep(pid.0, &keep, true).unwrap();
        let allowed = play.allowed();
        let after = play.caps();
        for (by_whom, call, _) in &allowed {
            let might = before.iter().any(|(it, was, _)| it == by_whom && was == call);
            let free = *by_whom != pid && question_ended(&caps, &after, *by_whom, call);
            prop_assert!(might || free);
        }
        for cap in own {
            let stays = keep.contains(&cap.id.0)
                || cap.effect != Effect::Allow
                || cap.origin == Origin::Kernel;
            prop_assert_eq!(gone.contains(&cap.id), !stays);
        }
        for cap in caps.values().filter(|cap| cap.parent.is_some_and(|it| gone.contains(&it))) {
            prop_assert!(gone.contains(&cap.id) || after[&cap.id].status == Status::Revoked);
        }
        for _ in 0..20 {
            play.next();
            let caps = play.caps();
            let still = |id: &CapId| caps.get(id).is_none_or(|it| it.status == Status::Revoked);
            prop_assert!(gone.iter().all(still));
        }
    }

    /// Laws 3, 5 and 6 over a restore: who lives may do nothing after it that it might not before
    /// (but for what a question held back that was cut from what is taken back), by nothing that
    /// it was given since; what was taken back stays so, in one that had ended too, and what is
    /// spent stays spent.
    #[test]
    fn coming_back_to_a_checkpoint_gives_nothing(
        seed: u64,
        steps in 1..120_usize,
        more in 0..80_usize,
    ) {
        let mut play = Play::run(seed, Mix::ALL, steps);
        let subjects: Vec<Pid> = play.history.family().iter().map(|(pid, _)| *pid).collect();
        let checkpoint = CheckpointId::new(1, 1_000);
        let last = play.caps().keys().next_back().copied().unwrap_or_default();
        let save = capability::Save { checkpoint, subjects: subjects.clone() };
        play.world.call(host(), save).unwrap();
        for _ in 0..more {
            play.next();
        }
        let (before, caps) = (play.allowed(), play.caps());
        let live: BTreeSet<Pid> = play.history.family().iter().map(|(pid, _)| *pid).collect();
        let ended: Vec<Pid> = subjects.iter().copied().filter(|pid| !live.contains(pid)).collect();
        let revived = ended.iter().map(|pid| Revived { pid: *pid, parent: None }).collect();
        play.world.call(host(), capability::Restore { checkpoint, revived }).unwrap();

        let after = play.caps();
        let given_then = |id: &CapId| {
            *id <= last || id.kin_child().is_some() || after[id].effect != Effect::Allow
        };
        for (pid, call, by) in play.allowed() {
            let might = before.iter().any(|(it, was, _)| *it == pid && *was == call);
            prop_assert!(might || question_ended(&caps, &after, pid, &call));
            prop_assert!(!subjects.contains(&pid) || by.iter().all(given_then));
        }
        for pid in ended {
            for call in calls() {
                if let Decision::Allow { by, .. } = play.world.decision(pid.0, &[], &call, 0) {
                    prop_assert!(by.iter().all(given_then));
                    prop_assert!(by.iter().all(|id| caps[id].status != Status::Revoked));
                }
            }
        }
        for cap in caps.values() {
            let Some(now) = after.get(&cap.id) else { continue };
            prop_assert!(cap.status != Status::Revoked || now.status == Status::Revoked);
            prop_assert!(now.uses_left <= cap.uses_left && now.calls_left <= cap.calls_left);
        }
        prop_assert_eq!(play.world.live_digest(), play.world.folded_digest());
    }

    /// What is seen from outside of a call is never more than what a call would be allowed.
    #[test]
    fn a_look_shows_no_more_than_a_call_may(seed: u64, steps in 1..150_usize) {
        let mut play = Play::run(seed, Mix::ALL, steps);
        for (pid, above) in play.history.family().to_vec() {
            for call in calls() {
                let mut all = true;
                for Need { right, on } in needs(&call) {
                    all &= play.world.call(host(), May { pid, right, on }).unwrap().allowed;
                }
                let decision = play.world.decision(pid.0, &above, &call, 0);
                let fits = match &decision {
                    Decision::Allow { .. } => true,
                    Decision::Deny(denial) => {
                        !all || matches!(denial.reason, libos_abi::DenyReason::Manifest(_))
                    }
                    Decision::Ask { .. } => !all,
                };
                prop_assert!(fits, "{}: {:?}", pid, decision);
            }
        }
    }

    /// Law 12: the state is the fold of the journal, after every prefix, and a transaction that is
    /// rolled back leaves nothing behind.
    #[test]
    fn the_state_is_the_fold_of_its_events(seed: u64, steps in 1..80_usize) {
        let mut play = Play::new(seed, Mix::ALL);
        for _ in 0..steps {
            let before = play.world.live_digest();
            let (step, done) = play.next();
            let unchanged = match &step {
                Step::Call { undone, .. } => *undone || matches!(done.seen, Seen::Refused(_)),
                Step::Decide { .. } | Step::Wait(_) => true,
            };
            prop_assert!(!unchanged || play.world.live_digest() == before, "{:?}", step);
            prop_assert_eq!(play.world.live_digest(), play.world.folded_digest(), "{:?}", step);
        }
        // What is not in the digest follows too: both decide alike.
        let live = play.allowed();
        play.world.engine = play.world.folded();
        prop_assert_eq!(live, play.allowed());
    }

    /// A rollback undoes a transaction of many calls, and all that its state implies.
    #[test]
    fn a_rollback_undoes_a_whole_transaction(seed: u64, steps in 1..80_usize, more in 1..40_usize) {
        let mut play = Play::run(seed, Mix::ALL, steps);
        let before = (play.world.live_digest(), play.allowed(), play.caps());
        let events = play.world.journal.len();
        // A second engine gets the same calls, to learn their events; this one only applies them.
        play.world.engine.begin();
        let mut ahead = Play { world: World::new(), history: play.history.clone() };
        ahead.world.engine = play.world.folded();
        for _ in 0..more {
            ahead.next();
        }
        ahead.world.journal.iter().for_each(|event| play.world.engine.apply(event));
        play.world.engine.rollback();
        play.world.now_ms = play.history.now_ms();
        prop_assert_eq!((play.world.live_digest(), play.allowed(), play.caps()), before);
        prop_assert_eq!(play.world.journal.len(), events);
        prop_assert_eq!(play.world.live_digest(), play.world.folded_digest());
    }
}

/// The histories are worth something: every kind of step happens, and succeeds and fails.
#[test]
fn histories_come_everywhere() {
    let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for seed in 0..60 {
        let mut play = Play::new(seed, Mix::ALL);
        for _ in 0..300 {
            let (step, done) = play.next();
            let what = match &step {
                Step::Call { call, .. } => call.info().method,
                Step::Decide { .. } => "decide",
                Step::Wait(_) => "wait",
            };
            let how = match &done.seen {
                Seen::Reply(_) => "done",
                Seen::Refused(code) => code,
                Seen::Decided(Decision::Allow { charges, .. }) if charges.is_empty() => "allow",
                Seen::Decided(Decision::Allow { .. }) => "allow, charged",
                Seen::Decided(Decision::Ask { .. }) => "ask",
                Seen::Decided(Decision::Deny(denial)) => match denial.reason {
                    libos_abi::DenyReason::Manifest(_) => "outside",
                    libos_abi::DenyReason::DenyRule(_) => "deny rule",
                    libos_abi::DenyReason::NoGrant => "no grant",
                    _ => "deny",
                },
                Seen::Nothing => "nothing",
            };
            *seen.entry((what, how)).or_default() += 1;
        }
    }
    for expected in [
        ("grant", "done"),
        ("grant", "outside_manifest"),
        ("issue", "done"),
        ("issue", "outside_manifest"),
        ("delegate", "done"),
        ("delegate", "denied"),
        ("delegate", "outside_manifest"),
        ("derive", "done"),
        ("derive", "denied"),
        ("bound", "done"),
        ("bound", "outside_manifest"),
        ("keep", "done"),
        ("keep", "not_found"),
        ("revoke", "done"),
        ("revoke", "not_found"),
        ("end", "done"),
        ("reserve", "done"),
        ("reserve", "denied"),
        ("settle", "done"),
        ("may", "done"),
        ("requestable", "done"),
        ("requestable", "outside_manifest"),
        ("explain", "done"),
        ("inspect", "done"),
        ("inspect", "not_found"),
        ("list", "done"),
        ("decide", "allow"),
        ("decide", "allow, charged"),
        ("decide", "ask"),
        ("decide", "outside"),
        ("decide", "deny rule"),
        ("decide", "no grant"),
        ("decide", "deny"),
        ("wait", "nothing"),
    ] {
        let times = seen.get(&expected).copied().unwrap_or(0);
        assert!(times >= 5, "{expected:?} happened {times} times: {seen:#?}");
    }
}
