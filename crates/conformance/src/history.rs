//! Random histories of a capability engine, drawn from a seed.
//!
//! A [`History`] draws one [`Step`] after another from what it has learned so far: calls of the
//! host, of processes and of the kernel, decisions, and the passing of time. [`perform`] carries a
//! step out on any [`Authority`]. What is [`Seen`] of two engines that decide alike is equal: texts
//! for people are left out.
//!
//! It knows the ABI and the port, and no engine.

use std::{collections::VecDeque, sync::Arc};

use libos_abi::{
    Binding, Bound, CapId, CheckpointId, Condition, Conditions, Demand, Effect, Event, Fault, Few,
    GrantSpec, Integrity, Label, Manifest, Millis, OpId, Origin, Pattern, Pid, Principal, Reply,
    RequestId, Right, Rights, Sensitivity, Source, Syscall, Value,
    capability::{
        self, Charge, Compare, CopyHeld, Delegate, Derive, End, Explain, Forget, Grant, Inspect,
        Issue, Keep, List, May, Recall, Requestable, Reserve, Restore, Revoke, Save, Settle,
    },
    checkpoint::{Copied, Revived},
    clock, fs, message, object,
};
use libos_port::{Authority, Caller, Context, Decision, Query, Stop};

/// One step of a history.
#[derive(Debug, Clone)]
pub enum Step {
    /// A call.
    Call {
        /// By whom; the kernel calls in the name of the host.
        caller: Principal,
        /// The call.
        call: Syscall,
        /// Whether the transaction is rolled back after it.
        undone: bool,
    },
    /// What would be decided on a call.
    Decide {
        /// Of whom.
        subject: Pid,
        /// Its ancestors, nearest first.
        ancestors: Vec<Pid>,
        /// The call.
        call: Syscall,
        /// Its operation.
        op: OpId,
    },
    /// Time passes.
    Wait(u64),
}

/// What a step comes to, without the texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A reply.
    Reply(Reply),
    /// The code of an error.
    Refused(&'static str),
    /// A decision.
    Decided(Decision),
    /// Time has passed.
    Nothing,
}

/// What a step was seen to be, and the events it made.
#[derive(Debug, PartialEq)]
pub struct Done {
    /// What was seen.
    pub seen: Seen,
    /// The events, none if it was refused or undone.
    pub events: Vec<Event>,
}

/// Which steps are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Whether the host grants and takes back, and gives permissions.
    pub host: bool,
    /// Whether questions are answered.
    pub approvals: bool,
    /// Whether processes end.
    pub ends: bool,
    /// Whether there are checkpoints, and processes come back to them.
    pub checkpoints: bool,
    /// Whether processes are copied from checkpoints.
    pub copies: bool,
}

impl Mix {
    /// Every step.
    pub const ALL: Self =
        Self { host: true, approvals: true, ends: true, checkpoints: true, copies: true };
    /// What processes do by themselves.
    pub const PROCESSES: Self =
        Self { host: false, approvals: false, ends: false, checkpoints: false, copies: false };
}

/// The random numbers of a history: SplitMix64.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in so many.
    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// A question that was seen: who asks, the call, the operation, the capabilities that ask.
type Asked = (Pid, Syscall, OpId, Few<CapId>);

/// A process with its ancestors, nearest first.
type Relative = (Pid, Vec<Pid>);

/// A history. The same seed, mix and answers give the same steps.
#[derive(Debug, Clone)]
pub struct History {
    random: Random,
    mix: Mix,
    now_ms: u64,
    /// The highest capability id seen.
    last: u64,
    op: u64,
    /// Every process that lives, with its ancestors, nearest first.
    family: Vec<Relative>,
    pid: u64,
    /// The checkpoints there are, with the processes of each as they were.
    saved: Vec<(CheckpointId, Vec<Relative>)>,
    checkpoint: u64,
    calls: Arc<[Syscall]>,
    allowed: Vec<(OpId, Vec<Charge>)>,
    asked: Vec<Asked>,
    open: Vec<OpId>,
    next: VecDeque<Step>,
}

/// The most processes that live at a time.
const FAMILY_MAX: usize = 6;

const PATTERNS: [&str; 15] = [
    "fs:*",
    "fs:workspace/*",
    "fs:workspace:*",
    "fs:workspace/a",
    "fs:workspace/a",
    "fs:workspace/a/*",
    "fs:workspace/a/b",
    "fs:workspace/c",
    "object:*",
    "object:p1/*",
    "object:p1/3",
    "object:p2/*",
    "clock:now",
    "process:*",
    "process:p2",
];

const CALLS_BOUNDED: [&str; 6] =
    ["fs.read", "fs.write", "fs.*", "object.read", "clock.now", "process.spawn"];

/// Every call that histories decide about.
pub fn calls() -> Vec<Syscall> {
    let path = |path: &str| path.into();
    let read = |at: &str, max_bytes| Syscall::from(fs::Read { path: path(at), max_bytes });
    let write = |at: &str, text: &str| {
        let (path, text) = (path(at), text.into());
        Syscall::from(fs::Write { path, text, overwrite: None, expected_digest: None })
    };
    let id = libos_abi::ObjectId::new;
    let link = |from, to| object::MakeLink { from, relation: "of".into(), to };
    vec![
        read("workspace/a", None),
        read("workspace/a/b", Some(5)),
        read("workspace/c", None),
        write("workspace/a", "xyz"),
        write("workspace/a/b", ""),
        write("workspace/c/d", "0123456789"),
        fs::Stat { path: path("other/a") }.into(),
        object::Read { id: id(1, 3) }.into(),
        object::Delete { id: id(2, 1) }.into(),
        link(id(1, 3), id(2, 1)).into(),
        clock::GetNow {}.into(),
        send(1).into(),
        send(2).into(),
    ]
}

fn send(to: u64) -> message::Send {
    message::Send {
        to: Pid(to),
        body: "go on".into(),
        subject: None,
        payload: None,
        kind: None,
        channel: None,
        correlation: None,
        reply_to: None,
    }
}

impl History {
    /// One with a process 1.
    pub fn new(seed: u64, mix: Mix) -> Self {
        Self {
            random: Random(seed),
            mix,
            now_ms: 0,
            last: 0,
            op: 0,
            family: vec![(Pid(1), Vec::new())],
            pid: 1,
            saved: Vec::new(),
            checkpoint: 0,
            calls: calls().into(),
            allowed: Vec::new(),
            asked: Vec::new(),
            open: Vec::new(),
            next: VecDeque::new(),
        }
    }

    /// The time of the next step.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Every process that lives, with its ancestors, nearest first.
    pub fn family(&self) -> &[(Pid, Vec<Pid>)] {
        &self.family
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        if let Some(step) = self.next.pop_front() {
            return step;
        }
        loop {
            let drawn = self.random.below(100);
            if let Some(step) = self.draw(drawn) {
                return step;
            }
        }
    }

    fn draw(&mut self, drawn: usize) -> Option<Step> {
        let host = self.mix.host;
        match drawn {
            0..13 if host => Some(self.host_grants()),
            13..15 if host => Some(self.kernel_gives()),
            15..17 if self.mix.approvals => self.approve(),
            17..22 => self.make_child(),
            22..36 => self.hand_on(),
            36..38 if host => Some(self.revoke(None)),
            38..42 => {
                let by = self.anyone();
                Some(self.revoke(Some(by)))
            }
            42..44 => Some(self.keep()),
            44 if self.mix.ends => self.end(),
            45..67 => Some(self.decide()),
            67..77 => self.reserve(),
            77..87 => self.settle(),
            87..91 => {
                let ms = 1 + self.random.below(15) as u64;
                self.now_ms += ms;
                Some(Step::Wait(ms))
            }
            91..93 if self.mix.checkpoints => self.save(),
            93..95 if self.mix.checkpoints => self.restore(),
            95 if self.mix.copies => self.copy(),
            91..100 => Some(self.look()),
            _ => None,
        }
    }

    fn call(&mut self, caller: Principal, call: impl Into<Syscall>) -> Step {
        let undone = self.random.one_in(16);
        Step::Call { caller, call: call.into(), undone }
    }

    fn kernel(&mut self, call: impl Into<Syscall>) -> Step {
        self.call(Principal::Host("kernel".into()), call)
    }

    fn anyone(&mut self) -> Pid {
        let at = self.random.below(self.family.len());
        self.family[at].0
    }

    fn a_capability(&mut self) -> CapId {
        match self.random.below(8) {
            0 => CapId::of_parent(self.anyone()),
            1 => CapId::of_child(self.anyone()),
            _ => CapId(1 + self.random.below(self.last as usize + 2) as u64),
        }
    }

    fn a_pattern(&mut self) -> Pattern {
        self.random.pick(&PATTERNS).parse().expect("a pattern")
    }

    fn some_rights(&mut self) -> Rights {
        use Right::{Delete, Link, Read, Write};
        let sets: [&[Right]; 7] = [
            &[Read],
            &[Read],
            &[Write],
            &[Read, Write],
            &[Delete],
            &[Link],
            &[Read, Write, Link, Delete],
        ];
        self.random.pick(&sets).iter().copied().collect()
    }

    fn a_grant(&mut self, effects: &[Effect]) -> GrantSpec {
        let effect = *self.random.pick(effects);
        let mut grant = GrantSpec::allow(self.a_pattern(), self.some_rights());
        grant.effect = effect;
        grant.delegable = self.random.below(5) as u8;
        grant.expires = match self.random.below(6) {
            0 => Some(Millis(20)),
            1 => Some(Millis(90)),
            _ => None,
        };
        match self.random.below(8) {
            0 => grant.uses = Some(1 + self.random.below(2) as u32),
            1 => grant.calls_max = Some(2),
            _ => {}
        }
        if self.random.one_in(3) && grant.on.kind() == "fs" {
            grant.when = self.some_conditions();
        }
        if self.random.one_in(5) {
            let (name, condition) = self.some_condition_on_labels();
            grant.when.0.insert(name, condition);
        }
        grant
    }

    /// On a part of the label of the caller's data; now and then with a word that is none.
    fn some_condition_on_labels(&mut self) -> (String, Condition) {
        let name = *self.random.pick(&["sensitivity", "integrity", "origin"]);
        let words = ["public", "confidential", "secret", "untrusted", "fs", "net", "human"];
        let fits = Condition::words_of_label(name).unwrap_or_default();
        let word = match self.random.one_in(8) {
            true => *self.random.pick(&words),
            false => *self.random.pick(fits),
        };
        let value = Value::Text(word.into());
        let condition = match self.random.one_in(2) {
            true => Condition { equals: Some(value), ..Condition::default() },
            false => Condition { one_of: Some(vec![value]), ..Condition::default() },
        };
        (name.to_owned(), condition)
    }

    fn some_conditions(&mut self) -> Conditions {
        let text = |text: &str| Some(Value::Text(text.into()));
        let on_path = [
            Condition { prefix: text("workspace/a"), ..Condition::default() },
            Condition { equals: text("workspace/a"), ..Condition::default() },
            Condition { matches: Some(".*a".into()), ..Condition::default() },
            Condition { min: Some(1), sum_max: Some(40), ..Condition::default() },
            Condition { max: Some(11), ..Condition::default() },
        ];
        let condition = self.random.pick(&on_path).clone();
        Conditions([("path".to_owned(), condition)].into())
    }

    fn some_manifest(&mut self) -> Option<Manifest> {
        if self.random.one_in(2) {
            return None;
        }
        let mut manifest = Manifest::default();
        if self.random.one_in(2) {
            manifest.authority = Some(self.some_bounds());
        }
        if self.random.one_in(2) {
            manifest.requestable = Some(self.some_bounds());
        }
        if self.random.one_in(3) {
            let many = self.random.below(4);
            let calls = (0..many).map(|_| (*self.random.pick(&CALLS_BOUNDED)).to_owned());
            manifest.calls = Some(calls.collect());
        }
        Some(manifest)
    }

    fn some_bounds(&mut self) -> Vec<Bound> {
        let many = self.random.below(5);
        (0..many).map(|_| Bound { on: self.a_pattern(), rights: Rights::all() }).collect()
    }

    fn host_grants(&mut self) -> Step {
        use Effect::{Allow, Ask, Deny};
        // Now and then to a process that is still to come.
        let to = if self.random.one_in(12) { Pid(self.pid + 1) } else { self.anyone() };
        let grant = self.a_grant(&[Allow, Allow, Allow, Ask, Ask, Deny]);
        let origin = match self.random.below(3) {
            0 => Origin::Host,
            1 => Origin::Human { request: RequestId(1) },
            _ => {
                return self.call(Principal::Host("ada".into()), Grant { to, grant });
            }
        };
        self.kernel(Issue { to, grant, origin, binding: None })
    }

    fn kernel_gives(&mut self) -> Step {
        let to = self.anyone();
        let grant =
            GrantSpec { delegable: 4, ..GrantSpec::allow(Pattern::space(to), Rights::all()) };
        self.kernel(Issue { to, grant, origin: Origin::Kernel, binding: None })
    }

    fn approve(&mut self) -> Option<Step> {
        let at = self.random.below(self.asked.len());
        let (to, call, op, answers) = self.asked.get(at)?.clone();
        let Demand::Rights(needs) = call.demand() else {
            return None;
        };
        let request = RequestId(op.0);
        let scope = self.random.below(4);
        let binding = Binding {
            request,
            answers: answers.to_vec(),
            digest: call.digest(),
            op: (scope == 0).then_some(op),
            subtree: scope == 1,
        };
        for need in &needs {
            let rights = [need.right].into_iter().collect();
            let grant = GrantSpec {
                uses: (scope == 0).then_some(1),
                ..GrantSpec::allow(Pattern::exact(&need.on), rights)
            };
            let origin = Origin::Human { request };
            let issue = Issue { to, grant, origin, binding: Some(binding.clone()) };
            let step = self.kernel(issue);
            self.next.push_back(step);
        }
        self.next.pop_front()
    }

    fn make_child(&mut self) -> Option<Step> {
        if self.family.len() >= FAMILY_MAX {
            return None;
        }
        self.pid += 1;
        let (parent, pid) = (self.anyone(), Pid(self.pid));
        let manifest = self.some_manifest();
        let grants = self.some_grants();
        let bound = capability::Bound { pid, parent: Some(parent), manifest };
        let kernel = || Principal::Host("kernel".into());
        let derive = Derive { parent, child: pid, grants };
        let derive = Step::Call { caller: kernel(), call: derive.into(), undone: false };
        self.next.push_back(derive);
        Some(Step::Call { caller: kernel(), call: bound.into(), undone: false })
    }

    fn some_grants(&mut self) -> Vec<GrantSpec> {
        use Effect::{Allow, Ask, Deny};
        let many = self.random.below(3);
        let grants = (0..many).map(|_| {
            let grant = self.a_grant(&[Allow, Allow, Allow, Ask, Deny]);
            // What is handed on is deep only now and then, or little could be.
            let delegable = grant.delegable.saturating_sub(self.random.below(4) as u8);
            GrantSpec { delegable, ..grant }
        });
        grants.collect()
    }

    fn hand_on(&mut self) -> Option<Step> {
        let at = self.random.below(self.family.len());
        let (child, above) = self.family[at].clone();
        let parent = *above.first()?;
        if self.random.one_in(3) {
            let grants = self.some_grants();
            return Some(self.kernel(Derive { parent, child, grants }));
        }
        let grant = self.some_grants().pop()?;
        Some(self.call(Principal::Process(parent), Delegate { to: child, grant }))
    }

    fn revoke(&mut self, by: Option<Pid>) -> Step {
        let by = by.map_or_else(|| Principal::Host("ada".into()), Principal::Process);
        let capability = self.a_capability();
        self.call(by, Revoke { capability, reason: None })
    }

    fn keep(&mut self) -> Step {
        let subject = self.anyone();
        let many = self.random.below(3);
        let keep = (0..many).map(|_| self.a_capability()).collect();
        let memory = self.random.one_in(2);
        self.kernel(Keep { subject, keep, memory })
    }

    fn end(&mut self) -> Option<Step> {
        let subject = self.anyone();
        let end = Step::Call {
            caller: Principal::Host("kernel".into()),
            call: End { subject }.into(),
            undone: false,
        };
        // Process 1 stays, so that there is always one.
        (subject != Pid(1)).then_some(end)
    }

    fn decide(&mut self) -> Step {
        let at = self.random.below(self.family.len());
        let (subject, ancestors) = self.family[at].clone();
        // Now and then an operation is decided again, as when an approval wakes it.
        let asked = self.random.below(self.asked.len());
        if self.random.one_in(3)
            && let Some((subject, call, op, _)) = self.asked.get(asked).cloned()
            && let Some((_, ancestors)) = self.family.iter().find(|(pid, _)| *pid == subject)
        {
            return Step::Decide { subject, ancestors: ancestors.clone(), call, op };
        }
        self.op += 1;
        let call = self.random.pick(&self.calls).clone();
        Step::Decide { subject, ancestors, call, op: OpId(self.op) }
    }

    fn reserve(&mut self) -> Option<Step> {
        let at = self.random.below(self.allowed.len());
        let (op, charges) = self.allowed.get(at)?.clone();
        Some(self.kernel(Reserve { op, charges }))
    }

    fn settle(&mut self) -> Option<Step> {
        let at = self.random.below(self.open.len());
        let op = *self.open.get(at)?;
        let give_back = self.random.one_in(2);
        Some(self.kernel(Settle { op, give_back }))
    }

    fn a_list(&mut self) -> List {
        let after = self.random.one_in(3).then(|| self.a_capability());
        let limit = self.random.one_in(3).then(|| 1 + self.random.below(5) as u32);
        List { pid: None, all: Some(true), after, limit }
    }

    /// A process with all below it, parents first.
    fn subtree(&self, root: Pid) -> Vec<Relative> {
        let is_in = |(pid, above): &&Relative| *pid == root || above.contains(&root);
        let mut subtree: Vec<Relative> = self.family.iter().filter(is_in).cloned().collect();
        subtree.sort_unstable();
        subtree
    }

    fn save(&mut self) -> Option<Step> {
        if self.saved.len() >= 3 || self.random.one_in(6) {
            let at = self.random.below(self.saved.len());
            let (checkpoint, _) = self.saved.get(at)?.clone();
            return Some(match self.random.below(3) {
                0 => self.kernel(Forget { checkpoint }),
                1 => self.kernel(Recall { checkpoint }),
                _ => self.kernel(Compare { checkpoint }),
            });
        }
        let process = self.anyone();
        self.checkpoint += 1;
        let checkpoint = CheckpointId { process, number: self.checkpoint };
        let subjects = self.subtree(process).into_iter().map(|(pid, _)| pid).collect();
        Some(self.kernel(Save { checkpoint, subjects }))
    }

    /// Those of a checkpoint that have ended live again.
    fn restore(&mut self) -> Option<Step> {
        let at = self.random.below(self.saved.len());
        let (checkpoint, then) = self.saved.get(at)?.clone();
        let is_live = |pid: &Pid| self.family.iter().any(|(live, _)| live == pid);
        let gone = then.iter().filter(|(pid, _)| !is_live(pid));
        let revived = gone.map(|(pid, above)| {
            let was_there = |parent: &&Pid| then.iter().any(|(pid, _)| pid == *parent);
            let parent = above.first().filter(|it| is_live(it) || was_there(it)).copied();
            Revived { pid: *pid, parent }
        });
        let revived = revived.collect();
        Some(self.kernel(Restore { checkpoint, revived }))
    }

    fn copy(&mut self) -> Option<Step> {
        let at = self.random.below(self.saved.len());
        let (checkpoint, then) = self.saved.get(at)?.clone();
        if self.family.len() + then.len() > FAMILY_MAX {
            return None;
        }
        let outside = self.random.one_in(2).then(|| self.anyone());
        let mut processes: Vec<Copied> = Vec::new();
        for (from, above) in then {
            let there = above.iter().find_map(|pid| processes.iter().find(|it| it.from == *pid));
            let parent = there.map(|it| it.to).or(outside);
            self.pid += 1;
            processes.push(Copied { from, to: Pid(self.pid), parent });
        }
        Some(self.kernel(CopyHeld { checkpoint, processes }))
    }

    fn look(&mut self) -> Step {
        let pid = self.anyone();
        let own = Principal::Process(pid);
        let kin = self.random.one_in(2);
        let on = || -> libos_abi::Resource {
            let text = if kin { "process:p2" } else { "fs:workspace/a" };
            text.parse().expect("a resource")
        };
        let right = if kin { Right::Write } else { Right::Read };
        match self.random.below(6) {
            0 => {
                let list = self.a_list();
                self.call(own, list)
            }
            1 => {
                let list = self.a_list();
                self.call(Principal::Host("ada".into()), list)
            }
            2 => {
                let capability = self.a_capability();
                self.call(own, Inspect { capability })
            }
            3 => self.call(own, Explain { pid: None, right, on: on() }),
            4 => self.kernel(May { pid, right, on: on() }),
            _ => {
                let (on, rights) = (self.a_pattern(), self.some_rights());
                self.kernel(Requestable { pid, on, rights })
            }
        }
    }

    /// Takes in what a step came to.
    pub fn learn(&mut self, step: &Step, done: &Done) {
        match (step, &done.seen) {
            (Step::Decide { subject, call, op, .. }, Seen::Decided(decision)) => {
                self.learn_decision(*subject, call, *op, decision);
            }
            (Step::Call { call: Syscall::Capability(call), undone: false, .. }, Seen::Reply(_)) => {
                self.learn_call(call);
            }
            _ => {}
        }
        for event in &done.events {
            if let Event::Capability(libos_abi::event::CapabilityEvent::Granted(new)) = event {
                self.last = self.last.max(new.id.0);
            }
        }
    }

    fn learn_decision(&mut self, subject: Pid, call: &Syscall, op: OpId, decision: &Decision) {
        match decision {
            Decision::Allow { charges, .. } if !charges.is_empty() => {
                self.allowed.push((op, charges.clone()));
            }
            Decision::Ask { by } => {
                self.asked.push((subject, call.clone(), op, by.clone()));
            }
            _ => {}
        }
        // What lies long ago is forgotten, so that a long history costs what a short one does.
        if self.allowed.len() > 8 {
            self.allowed.remove(0);
        }
        if self.asked.len() > 8 {
            self.asked.remove(0);
        }
    }

    fn born(&mut self, pid: Pid, parent: Option<Pid>) {
        let above = parent.into_iter().flat_map(|parent| {
            let known = self.family.iter().find(|(pid, _)| *pid == parent);
            let above = known.map(|(_, above)| above.clone()).unwrap_or_default();
            std::iter::once(parent).chain(above)
        });
        let above = above.collect();
        self.family.push((pid, above));
    }

    fn learn_call(&mut self, call: &capability::Call) {
        match call {
            capability::Call::Bound(bound) => self.born(bound.pid, bound.parent),
            capability::Call::Save(save) => {
                let then = self.subtree(save.checkpoint.process);
                self.saved.push((save.checkpoint, then));
            }
            capability::Call::Forget(forget) => {
                self.saved.retain(|(checkpoint, _)| *checkpoint != forget.checkpoint);
            }
            capability::Call::Restore(restore) => {
                let saved = self.saved.iter().find(|(it, _)| *it == restore.checkpoint);
                let then = saved.map(|(_, then)| then.clone()).unwrap_or_default();
                let revived = |pid: &Pid| restore.revived.iter().any(|it| it.pid == *pid);
                self.family.extend(then.into_iter().filter(|(pid, _)| revived(pid)));
            }
            capability::Call::CopyHeld(copies) => {
                copies.processes.iter().for_each(|it| self.born(it.to, it.parent));
            }
            capability::Call::End(end) => self.family.retain(|(pid, _)| *pid != end.subject),
            capability::Call::Reserve(reserve) => self.open.push(reserve.op),
            capability::Call::Settle(settle) => self.open.retain(|op| *op != settle.op),
            _ => {}
        }
    }
}

/// What the caller of an operation has taken in: every label comes up.
fn label_of(op: OpId) -> Label {
    let pick = |all: usize, by: u64| usize::try_from(op.0 / by).unwrap_or_default() % all;
    Label {
        sensitivity: Sensitivity::ALL[pick(Sensitivity::ALL.len(), 1)],
        integrity: Integrity::ALL[pick(Integrity::ALL.len(), 4)],
        origins: Source::ALL.iter().copied().filter(|it| op.0 >> *it as u64 & 1 == 1).collect(),
    }
}

/// Carries a step out.
pub fn perform(engine: &mut dyn Authority, now_ms: u64, step: &Step) -> Done {
    match step {
        Step::Wait(_) => Done { seen: Seen::Nothing, events: Vec::new() },
        Step::Decide { subject, ancestors, call, op } => {
            let Demand::Rights(needs) = call.demand() else {
                return Done { seen: Seen::Nothing, events: Vec::new() };
            };
            let decision = engine.decide(&Query {
                subject: *subject,
                ancestors,
                needs: &needs,
                call,
                digest: &|| call.digest(),
                op: *op,
                label: label_of(*op),
                now_ms,
            });
            Done { seen: Seen::Decided(decision), events: Vec::new() }
        }
        Step::Call { caller, call, undone } => {
            let caller = Caller { principal: caller.clone(), admission: None };
            let mut cx = Alone { caller, now_ms, events: Vec::new() };
            engine.begin();
            let outcome = engine.call(&mut cx, call);
            if *undone || outcome.is_err() {
                engine.rollback();
                cx.events.clear();
            }
            Done { seen: seen(outcome), events: cx.events }
        }
    }
}

fn seen(outcome: Result<Reply, Stop>) -> Seen {
    match outcome {
        Ok(Reply::Capability(capability::Reply::Explain(mut explanation))) => {
            explanation.text.clear();
            Seen::Reply(capability::Reply::Explain(explanation).into())
        }
        Ok(reply) => Seen::Reply(reply),
        Err(Stop::Error(error)) => Seen::Refused(error.code()),
        Err(Stop::Wait(_)) => Seen::Refused("it waits"),
        Err(Stop::Perform | Stop::Run(_)) => Seen::Refused("it performs"),
    }
}

/// A context in which there is nobody to ask.
struct Alone {
    caller: Caller,
    now_ms: u64,
    events: Vec<Event>,
}

impl Context for Alone {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        OpId(0)
    }
    fn started_ms(&self) -> u64 {
        self.now_ms
    }
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, libos_abi::Error> {
        Err(Fault::Unsupported { call: call.info().name.into() }.into())
    }
}
