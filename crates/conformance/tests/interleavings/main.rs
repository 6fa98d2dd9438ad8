//! Every interleaving of a few concurrent operations on the whole kernel.
//!
//! A scenario is what processes do and what the host does meanwhile, each in its order. Whatever is
//! possible next is a move, and every sequence of moves is played from the start: the host's next
//! act, a turn, the next call of a running process, the end of an effect, a crash after any move
//! and within any move. What must hold is checked after each of them.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

mod machine;

use std::rc::Rc;

use libos_abi::{
    Outcome, Pid, Reply, RequestId, Scope, Syscall, capability,
    human::{self, Ask, Decision, RequestState},
    message,
    process::{ProcessInfo, ProcessState, Signal, WaitOn},
};
use libos_broker::Input;
use libos_conformance::text;

use machine::{Down, Machine, Programs, is_fault};

/// Something that the host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Approves the oldest call that waits for an approval, this one call.
    Approve,
    /// Refuses it.
    Deny,
    /// Takes back the approvals that are not used.
    TakeBack,
    /// Sends process 1 a letter.
    Send(u64),
    /// Interrupts process 1.
    Interrupt,
    /// Signals process 1.
    Signal(Signal),
    /// Ends process 2.
    EndChild,
    /// Lets 10 ms pass.
    Wait,
}

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// The host acts: the next act of this track.
    Act(usize),
    /// The next process gets its turn.
    Turn,
    /// A running process makes its next call.
    Call(Pid),
    /// The oldest effect under way ends.
    Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Move(Move),
    /// The host goes down now.
    Crash(Down),
    /// It goes down while this happens, with so many records of it on disk.
    CrashWithin(Move, usize),
}

struct Scenario {
    grants: &'static [&'static str],
    /// What process 1 does.
    program: &'static [&'static str],
    /// What its child, process 2, does, if it has one.
    child: Option<&'static [&'static str]>,
    /// What the host does: the acts of a track in their order.
    tracks: Vec<Vec<Act>>,
    crashes: usize,
    /// What must hold when nothing can happen any more.
    at_end: fn(&mut Machine, &Path),
}

/// One sequence of moves, as far as it was played.
#[derive(Default)]
struct Path {
    taken: Vec<Choice>,
    /// How many acts of each track are done.
    done: Vec<usize>,
    crashes: usize,
    /// How many effects the host has approved, less those it took back.
    approved: usize,
    sent: Vec<u64>,
}

/// The most moves of one sequence.
const MOVES_MAX: usize = 60;

/// The most records that one move makes.
const RECORDS_MAX: usize = 3;

const P1: Pid = Pid(1);
const P2: Pid = Pid(2);

impl Scenario {
    fn programs(&self) -> Rc<Programs> {
        let calls = |program: &[&str]| program.iter().map(|it| text::call(it)).collect();
        let child = self.child.map(|program| (P2, calls(program)));
        Rc::new([(P1, calls(self.program))].into_iter().chain(child).collect())
    }

    /// The history that every sequence begins with.
    fn history(&self, programs: &Rc<Programs>) -> Vec<Vec<u8>> {
        let mut machine = Machine::start(&[], 0, programs);
        let grants: Vec<_> = self.grants.iter().map(|it| text::grant(it)).collect();
        let launch = text::from::<libos_abi::process::Launch>(serde_json::json!({
            "image": "base", "goal": "meet", "grants": grants, "budget": {},
            "planner": { "kind": "none", "program": "" },
        }));
        machine.host(launch).unwrap();
        if self.child.is_some() {
            let fork = r#"{"goal":"end","mode":"copy","pid":"p1"}"#;
            let fork: libos_abi::process::Fork = serde_json::from_str(fork).unwrap();
            machine.host(fork).unwrap();
        }
        machine.journal().to_vec()
    }

    /// Plays every sequence. Says how many there are.
    fn explore(&self) -> u64 {
        let programs = self.programs();
        let history = self.history(&programs);
        let mut choices: Vec<usize> = Vec::new();
        let mut count = 0;
        loop {
            let mut machine = Machine::start(&history, 0, &programs);
            let mut path = Path { done: vec![0; self.tracks.len()], ..Path::default() };
            let mut widths = Vec::new();
            // What comes before the last choice was checked when it was played first.
            let is_new = choices.len().saturating_sub(1);
            let is_whole = loop {
                let possible = self.possible(&mut machine, &path);
                if possible.is_empty() {
                    break true;
                }
                let depth = widths.len();
                assert!(depth < MOVES_MAX, "it goes on for ever: {:?}", path.taken);
                if depth == choices.len() {
                    choices.push(0);
                }
                widths.push(possible.len());
                let choice = possible[choices[depth]];
                path.taken.push(choice);
                if !self.take(&mut machine, &mut path, choice) {
                    break false;
                }
                if depth >= is_new {
                    check(&mut machine, &path);
                }
            };
            if is_whole {
                count += 1;
                machine.check_fold();
                check_end(&mut machine, &path);
                (self.at_end)(&mut machine, &path);
            }
            // The next one: the last choice that has another behind it.
            choices.truncate(widths.len());
            while choices.last().is_some_and(|last| last + 1 == widths[choices.len() - 1]) {
                choices.pop();
            }
            match choices.last_mut() {
                Some(last) => *last += 1,
                None => return count,
            }
        }
    }

    fn possible(&self, machine: &mut Machine, path: &Path) -> Vec<Choice> {
        let acts = self.tracks.iter().zip(&path.done).enumerate();
        let acts = acts.filter_map(|(track, (acts, done))| Some((track, *acts.get(*done)?)));
        let mut moves: Vec<Move> = acts
            .filter(|(_, act)| is_possible(machine, *act))
            .map(|(track, _)| Move::Act(track))
            .collect();
        moves.extend(machine.movable().into_iter().map(Move::Call));
        moves.extend(machine.has_effect().then_some(Move::Effect));
        moves.extend(machine.is_ready().then_some(Move::Turn));
        let mut choices: Vec<Choice> = moves.iter().copied().map(Choice::Move).collect();
        // A crash after which nothing can happen shows nothing.
        if path.crashes < self.crashes && !moves.is_empty() {
            choices.extend([Down::Whole, Down::Lossy].map(Choice::Crash));
            let within =
                |it| (1..=RECORDS_MAX).map(move |records| Choice::CrashWithin(it, records));
            choices.extend(moves.into_iter().flat_map(within));
        }
        choices
    }

    /// Makes a choice. False if there is no such thing.
    fn take(&self, machine: &mut Machine, path: &mut Path, choice: Choice) -> bool {
        match choice {
            Choice::Move(it) => {
                let input = self.input(machine, path, it);
                machine.step(input);
                true
            }
            Choice::Crash(down) => {
                path.crashes += 1;
                machine.crash(down);
                true
            }
            Choice::CrashWithin(it, records) => {
                path.crashes += 1;
                let input = self.input(machine, path, it);
                machine.crash_within(input, records)
            }
        }
    }

    fn input(&self, machine: &mut Machine, path: &mut Path, it: Move) -> Input {
        match it {
            Move::Turn => Input::Fill { slots: 1 },
            Move::Call(pid) => machine.next_call(pid),
            Move::Effect => machine.end_of_effect(),
            Move::Act(track) => {
                let act = self.tracks[track][path.done[track]];
                path.done[track] += 1;
                match act {
                    Act::Approve => path.approved += 1,
                    Act::TakeBack => path.approved = machine.performed.len(),
                    Act::Send(number) => path.sent.push(number),
                    _ => {}
                }
                act_input(machine, act)
            }
        }
    }
}

fn is_possible(machine: &mut Machine, act: Act) -> bool {
    match act {
        Act::Approve | Act::Deny => open_request(machine).is_some(),
        Act::TakeBack => approval(machine).is_some(),
        _ => true,
    }
}

fn open_request(machine: &mut Machine) -> Option<RequestId> {
    let open = machine.host(human::List { all: None }).unwrap();
    // What became of an effect that a crash left unknown is asked too: no process waits for that.
    let mut waited_for = open.requests.iter().filter(|it| !matches!(it.ask, Ask::Unknown { .. }));
    waited_for.next().map(|request| request.id)
}

fn approval(machine: &mut Machine) -> Option<libos_abi::CapId> {
    let list = capability::List { pid: Some(P1), all: None, after: None, limit: None };
    let held = machine.host(list).unwrap().capabilities;
    held.iter().find(|cap| cap.binding.is_some()).map(|cap| cap.id)
}

fn act_input(machine: &mut Machine, act: Act) -> Input {
    let decide = |machine: &mut Machine, decision| {
        let request = open_request(machine).unwrap();
        human::Decide { request, decision }.into()
    };
    let call: Syscall = match act {
        Act::Approve => decide(machine, Decision::Approve { scope: Scope::Once }),
        Act::Deny => decide(machine, Decision::Deny { reason: None }),
        Act::TakeBack => {
            let capability = approval(machine).unwrap();
            capability::Revoke { capability, reason: None }.into()
        }
        Act::Send(number) => {
            text::call(&format!(r#"message.send {{"to":"p1","body":"{number}"}}"#))
        }
        Act::Interrupt => {
            text::call(r#"message.send {"to":"p1","body":"stop","kind":"interrupt"}"#)
        }
        Act::Signal(signal) => {
            libos_abi::process::SendSignal { pid: P1, signal, reason: None }.into()
        }
        Act::EndChild => {
            let signal = Signal::Terminate;
            libos_abi::process::SendSignal { pid: P2, signal, reason: None }.into()
        }
        Act::Wait => {
            machine.now_ms += 10;
            return Input::Tick;
        }
    };
    machine.of_host(call)
}

/// What must hold after every move.
fn check(machine: &mut Machine, path: &Path) {
    for process in machine.processes() {
        assert!(!is_there(machine, &process), "{process:?} waits for what is there: {path:?}");
    }
    let performed = &machine.performed;
    assert!(performed.len() <= path.approved, "{performed:?} without an approval: {path:?}");
    let mut once = performed.clone();
    once.dedup();
    assert_eq!(once, *performed, "an effect was let out twice: {path:?}");
}

/// Whether a process waits for something that has come.
fn is_there(machine: &mut Machine, process: &ProcessInfo) -> bool {
    let (ProcessState::Waiting, Some(wait)) = (process.state, &process.wait) else {
        return false;
    };
    let is_late = wait.until_ms.is_some_and(|until| until <= machine.now_ms);
    is_late
        || match wait.on {
            WaitOn::Message(_) => process.unread > 0,
            WaitOn::Child(pid) => machine.info(pid).state.is_terminal(),
            WaitOn::Human(id) => {
                let all = machine.host(human::List { all: Some(true) }).unwrap().requests;
                !all.iter().any(|it| it.id == id && it.state == RequestState::Pending)
            }
            WaitOn::Time | WaitOn::Event(_) => false,
        }
}

/// What must hold when nothing can happen any more.
fn check_end(machine: &mut Machine, path: &Path) {
    for process in machine.processes() {
        let is_at_rest = process.state.is_terminal()
            || matches!(process.state, ProcessState::Waiting | ProcessState::Paused);
        assert!(is_at_rest, "{process:?} is forgotten: {path:?}");
    }
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.taken.iter().try_for_each(|choice| write!(f, "\n    {choice:?}"))
    }
}

// ---- one use at most ---------------------------------------------------------------------------

const MAKE: &str = r#"shell.run {"argv":["make"]}"#;

fn one_shots(
    program: &'static [&'static str],
    tracks: &[&[Act]],
    crashes: usize,
    at_end: fn(&mut Machine, &Path),
) -> u64 {
    let scenario = Scenario {
        grants: &["ask shell:make execute"],
        program,
        child: None,
        tracks: tracks.iter().map(|track| track.to_vec()).collect(),
        crashes,
        at_end,
    };
    scenario.explore()
}

/// Every call ended in one of these, and the process is through.
fn ended_in(machine: &mut Machine, path: &Path, codes: &[&str]) {
    assert_eq!(machine.info(P1).state, ProcessState::Exited, "{path:?}");
    let seen = &machine.seen[&P1];
    for outcome in seen.iter().take(2) {
        let is_one = codes.iter().any(|code| match *code {
            "ok" => outcome.is_ok(),
            code => is_fault(outcome, code),
        });
        assert!(is_one, "{outcome:?}: {path:?}");
    }
}

const PAUSE: Act = Act::Signal(Signal::Pause);
const RESUME: Act = Act::Signal(Signal::Resume);

#[test]
fn in_every_interleaving_an_approval_admits_one_effect() {
    let mut orders =
        one_shots(&[MAKE, MAKE], &[&[Act::Approve, Act::Approve]], 1, |machine, path| {
            ended_in(machine, path, &["ok", "unknown_outcome"]);
        });
    orders += one_shots(&[MAKE, MAKE], &[&[Act::Approve, Act::Deny]], 1, |machine, path| {
        ended_in(machine, path, &["ok", "unknown_outcome", "denied"]);
    });
    orders += one_shots(
        &[MAKE, MAKE],
        &[&[Act::Approve, Act::Deny], &[PAUSE, RESUME]],
        0,
        |machine, path| {
            ended_in(machine, path, &["ok", "denied"]);
            assert_eq!(machine.performed.len(), 1, "{path:?}");
        },
    );
    assert!(orders > 500, "only {orders}");
}

#[test]
fn in_every_interleaving_what_is_taken_back_admits_nothing() {
    let tracks: &[&[Act]] = &[&[Act::Approve, Act::Deny], &[PAUSE, RESUME], &[Act::TakeBack]];
    let mut orders = one_shots(&[MAKE], tracks, 0, |machine, path| {
        ended_in(machine, path, &["ok", "denied"]);
    });
    for end in [Signal::Cancel, Signal::Terminate] {
        let tracks: &[&[Act]] = &[&[Act::Approve, Act::Approve], &[Act::Signal(end)]];
        orders += one_shots(&[MAKE, MAKE], tracks, 1, |_, _| {});
    }
    assert!(orders > 300, "only {orders}");
}

// ---- no lost wake-up ---------------------------------------------------------------------------

const RECEIVE: &str = "message.receive {}";
const RECEIVE_FOR_10: &str = r#"message.receive {"timeout_ms":10}"#;

fn letters(program: &'static [&'static str], tracks: &[&[Act]], crashes: usize) -> u64 {
    let scenario = Scenario {
        grants: &[],
        program,
        child: None,
        tracks: tracks.iter().map(|track| track.to_vec()).collect(),
        crashes,
        at_end: all_arrived,
    };
    scenario.explore()
}

/// What was received is what was sent, once and in order; the rest is in the mailbox.
fn all_arrived(machine: &mut Machine, path: &Path) {
    let bodies = |outcome: &Outcome| match outcome {
        Ok(Reply::Message(message::Reply::Receive(taken))) => {
            let bodies = taken.messages.iter().map(|it| it.body.as_str().unwrap().parse().unwrap());
            bodies.collect()
        }
        _ => Vec::new(),
    };
    let seen = machine.seen.get(&P1).map(Vec::as_slice).unwrap_or_default();
    let received: Vec<u64> = seen.iter().flat_map(bodies).collect();
    let process = machine.info(P1);
    assert_eq!(received, path.sent[..received.len()], "{path:?}");
    if process.state == ProcessState::Waiting {
        assert_eq!(received.len(), path.sent.len(), "it waits: {path:?}");
    }
}

#[test]
fn in_every_interleaving_no_wake_up_is_lost() {
    let two: &[Act] = &[Act::Send(1), Act::Send(2)];
    let mut orders = letters(&[RECEIVE, RECEIVE], &[two], 1);
    orders += letters(&[RECEIVE], &[two, &[PAUSE, RESUME]], 0);
    orders += letters(&[RECEIVE], &[&[Act::Send(1)], &[PAUSE, RESUME]], 1);
    orders += letters(&[RECEIVE, RECEIVE], &[two, &[Act::Interrupt]], 0);
    orders += letters(&[RECEIVE], &[&[Act::Send(1)], &[Act::Interrupt]], 1);
    orders += letters(&[RECEIVE], &[&[Act::Interrupt], &[PAUSE, RESUME]], 1);
    orders += letters(&[RECEIVE_FOR_10, RECEIVE], &[&[Act::Send(1)], &[Act::Wait]], 1);
    orders += letters(&[RECEIVE_FOR_10], &[&[Act::Wait], &[PAUSE, RESUME]], 1);
    assert!(orders > 3_000, "only {orders}");
}

#[test]
fn in_every_interleaving_a_parent_hears_of_its_childs_end() {
    let mut orders = 0;
    let ends: [(&[&str], &[&[Act]]); 3] =
        [(&[], &[&[PAUSE, RESUME]]), (&[RECEIVE], &[&[Act::EndChild]]), (&[], &[&[Act::EndChild]])];
    for (program, tracks) in ends {
        let scenario = Scenario {
            grants: &[],
            program: &[r#"process.wait {"pid":"p2"}"#],
            child: Some(program),
            tracks: tracks.iter().map(|track| track.to_vec()).collect(),
            crashes: usize::from(tracks[0].len() == 1),
            at_end: |machine, path| {
                assert_eq!(machine.info(P1).state, ProcessState::Exited, "{path:?}");
                let seen = &machine.seen[&P1][0];
                assert!(matches!(seen, Ok(Reply::Process(_))), "{seen:?}: {path:?}");
            },
        };
        orders += scenario.explore();
    }
    assert!(orders > 700, "only {orders}");
}
