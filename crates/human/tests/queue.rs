//! What holds of the queue whatever is asked, answered and ended, in whatever order.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use libos_abi::{
    CapId, Digest, Json, Need, OpId, Pid, Request as _, RequestId, Right, Scope, Syscall,
    capability,
    human::{self, Ask, Decision, Known, Policy, Request, RequestState},
    process::{BudgetKind, WaitOn},
};
use libos_conformance::{Kernel, host, process as by};
use libos_human::{Humans, Limits};
use libos_port::Stop;
use proptest::prelude::*;

/// Processes 1 to 3 are one task, 4 and 5 another.
const ROOTS: [(u64, u64); 3] = [(2, 1), (3, 1), (5, 4)];

const LIMITS: Limits = Limits {
    question_bytes_max: 100,
    output_bytes_max: 100,
    reason_bytes_max: 100,
    name_bytes_max: 100,
    pending_max: 5,
    task_pending_max: 7,
    task_asks_max: 12,
};

#[derive(Debug, Clone)]
enum Action {
    Approval(u64, u8),
    Question(u64),
    Permission(u64, u8),
    Extension(u64, u8),
    /// The latest operation asks again.
    Again,
    End(u64),
    /// How the request of this number is answered.
    Answer(u64, bool),
}

fn actions() -> impl Strategy<Value = Action> {
    let pid = || 1..6_u64;
    prop_oneof![
        6 => (pid(), 0..2_u8).prop_map(|(pid, which)| Action::Approval(pid, which)),
        1 => pid().prop_map(Action::Question),
        2 => (pid(), 0..2_u8).prop_map(|(pid, which)| Action::Permission(pid, which)),
        3 => (pid(), 0..2_u8).prop_map(|(pid, which)| Action::Extension(pid, which)),
        2 => Just(Action::Again),
        2 => pid().prop_map(Action::End),
        4 => (1..20_u64, any::<bool>()).prop_map(|(id, yes)| Action::Answer(id, yes)),
    ]
}

fn ask(action: &Action, op: u64) -> Option<(u64, Syscall)> {
    Some(match *action {
        Action::Approval(pid, which) => {
            let on = "fs:workspace/a".parse().unwrap();
            let approval = human::Approval {
                call: "fs.write".into(),
                args: Json::default(),
                digest: Digest::of(&[which]),
                needs: vec![Need { right: Right::Write, on }],
                asked_by: vec![CapId(100 + pid)],
            };
            (pid, human::Open { op: OpId(op), pid: Pid(pid), approval }.into())
        }
        Action::Question(pid) => {
            let question = human::AskQuestion { question: "?".into(), context: None, human: None };
            (pid, question.into())
        }
        Action::Permission(pid, which) => {
            let wanted = human::RequestPermission {
                on: format!("fs:workspace/{which}").parse().unwrap(),
                rights: [Right::Write].into_iter().collect(),
                reason: "it is needed".into(),
                human: None,
            };
            (pid, wanted.into())
        }
        Action::Extension(pid, which) => {
            // Of the root of its task.
            let root = ROOTS.iter().find(|(it, _)| *it == pid).map_or(pid, |(_, root)| *root);
            let more = human::OpenExtension {
                op: OpId(op),
                pid: Pid(pid),
                of: Pid(root),
                kind: BudgetKind::ToolCalls,
                limit: which.into(),
                used: 0,
                more: 1,
                call: "tool.call".into(),
            };
            (pid, more.into())
        }
        Action::Again | Action::End(_) | Action::Answer(..) => return None,
    })
}

fn answer(ask: &Ask, yes: bool) -> Decision {
    match ask {
        _ if !yes => Decision::Deny { reason: None },
        Ask::Approval(_) | Ask::Release(_) => Decision::Approve { scope: Scope::Once },
        Ask::Question { .. } => Decision::Answer { text: "so".into() },
        Ask::Permission { .. } => Decision::Permit { policy: Policy::Always },
        Ask::Extension { .. } => Decision::Extend { by: 10 },
        Ask::Unknown { .. } => Decision::Known { what: Known::Done },
    }
}

/// Which request a call waits for, if it was not refused.
fn waits_for(k: &mut Kernel<Humans>, pid: u64, op: u64, call: &Syscall) -> Option<RequestId> {
    match k.serve(by(pid).op(op), call.clone()) {
        Ok(reply) => match &call {
            Syscall::Human(human::Call::Open(_)) => human::Open::reply(reply).map(|it| it.request),
            Syscall::Human(human::Call::OpenExtension(_)) => {
                human::OpenExtension::reply(reply).map(|it| it.request)
            }
            _ => None,
        },
        Err(Stop::Wait(wait)) => match wait.on {
            WaitOn::Human(request) => Some(request),
            other => panic!("{other:?}"),
        },
        Err(Stop::Error(error)) => {
            assert!(["limit", "refused", "cancelled"].contains(&error.code()), "{error}");
            None
        }
        Err(Stop::Perform | Stop::Run(_)) => panic!("it performs"),
    }
}

/// Everyone that a card says waits.
fn askers(card: &Request) -> Vec<(Pid, OpId)> {
    let joined = card.joined.iter().map(|asker| (asker.pid, asker.op));
    std::iter::once((card.pid, card.op)).chain(joined).collect()
}

type Waiting = BTreeMap<(Pid, OpId), RequestId>;

/// Answers a request; what it makes is for each that waits.
fn answers(k: &mut Kernel<Humans>, id: u64, yes: bool, waiting: &mut Waiting) {
    let all = k.ok(host(), human::List { all: Some(true) }).requests;
    let Some(card) = all.iter().find(|it| it.id == RequestId(id)) else {
        return;
    };
    let decision = answer(&card.ask, yes);
    let decide = human::Decide { request: card.id, decision };
    if card.state != RequestState::Pending {
        assert_eq!(k.refused(host(), decide).0, "already_decided");
        return;
    }
    k.ok(host(), decide);
    let is_issue = |it: &&Syscall| matches!(it, Syscall::Capability(capability::Call::Issue(_)));
    let issued = k.world.sent.iter().filter(is_issue).count();
    let expected = match card.ask {
        Ask::Approval(_) => askers(card).len(),
        Ask::Permission { .. } => 1,
        Ask::Question { .. } | Ask::Extension { .. } | Ask::Unknown { .. } | Ask::Release(_) => 0,
    };
    assert_eq!(issued, if yes { expected } else { 0 });
    waiting.retain(|_, it| *it != card.id);
}

/// Each that waits is on the one card that it was told of, and nobody else is; no task sees the
/// same twice, and none asks too much.
fn check(k: &mut Kernel<Humans>, waiting: &Waiting) {
    let cards = k.ok(host(), human::List { all: None }).requests;
    let on_cards: Vec<_> =
        cards.iter().flat_map(|it| askers(it).into_iter().map(|who| (who, it.id))).collect();
    let shown: Waiting = on_cards.iter().copied().collect();
    assert_eq!((&shown, shown.len()), (waiting, on_cards.len()));
    let mut seen = BTreeSet::new();
    for card in &cards {
        let what = match &card.ask {
            Ask::Approval(approval) => format!("{}", approval.digest),
            Ask::Question { .. } => format!("{}", card.id),
            Ask::Release(_) => format!("{}", card.id),
            Ask::Permission { .. } => format!("{} {:?}", card.pid, card.ask),
            Ask::Extension { .. } | Ask::Unknown { .. } => format!("{:?}", card.ask),
        };
        assert!(seen.insert((card.root, what)), "twice: {card:?}");
    }
    let all = k.ok(host(), human::List { all: Some(true) }).requests;
    for root in [1, 4].map(Pid) {
        let of = |list: &[Request]| list.iter().filter(|it| it.root == root).count() as u64;
        assert!(of(&cards) <= LIMITS.task_pending_max);
        assert!(of(&all) <= LIMITS.task_asks_max);
    }
    for pid in (1..6).map(Pid) {
        let own = cards.iter().filter(|card| askers(card).iter().any(|(it, _)| *it == pid));
        assert!(own.count() as u64 <= LIMITS.pending_max);
    }
}

proptest! {
    #[test]
    fn each_that_waits_is_on_one_card(program in prop::collection::vec(actions(), 1..60)) {
        let mut k = Kernel::new(Rc::new(|| Box::new(Humans::with_limits(LIMITS))));
        k.is_strict = false;
        k.world.roots.extend(ROOTS);
        let mut waiting = Waiting::new();
        let mut latest: Option<(u64, u64, Syscall)> = None;
        for (action, op) in program.iter().zip(1..) {
            match (action, ask(action, op)) {
                (Action::End(pid), _) => {
                    k.ok(host(), human::Cancel { pid: Pid(*pid) });
                    waiting.retain(|(it, _), _| *it != Pid(*pid));
                }
                (Action::Answer(id, yes), _) => answers(&mut k, *id, *yes, &mut waiting),
                (_, Some((pid, call))) => {
                    if let Some(request) = waits_for(&mut k, pid, op, &call) {
                        waiting.insert((Pid(pid), OpId(op)), request);
                    }
                    latest = Some((pid, op, call));
                }
                (_, None) => {
                    let Some((pid, op, call)) = latest.clone() else { continue };
                    let before = waiting.get(&(Pid(pid), OpId(op))).copied();
                    if before.is_some() {
                        prop_assert_eq!(waits_for(&mut k, pid, op, &call), before);
                    }
                }
            }
            check(&mut k, &waiting);
        }
        k.check_fold();
        for pid in 1..6 {
            k.ok(host(), human::Cancel { pid: Pid(pid) });
        }
        check(&mut k, &Waiting::new());
    }
}
