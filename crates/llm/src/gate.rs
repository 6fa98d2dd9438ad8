//! The gate of a profile: who may begin an exchange, and when.
//!
//! So many exchanges are under way at a time, and so many begin in a minute. Whoever waits stands
//! in the queue of its process, and the processes take turns: one that wants much does not keep
//! out one that wants little. When an endpoint asks for patience, everyone waits; whom it turned
//! away keeps its place and goes before all others. Fewer are let through at a time then, and more
//! again with each answer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libos_abi::Pid;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::limits::{EXCHANGES_MAX, HELD_MS_MAX};

/// The gate of one profile. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

type Turn = oneshot::Sender<Pass>;

struct State {
    /// Between the beginnings of two exchanges.
    spacing: Duration,
    /// When the next one may begin.
    next: Instant,
    /// Until when the endpoint wants nothing.
    held: Instant,
    under_way: u32,
    /// How many may be under way.
    room: u32,
    /// How many got an answer so far.
    answers: u64,
    /// How many were let through so far.
    passed: u64,
    /// Those that the endpoint turned away, by the place they had.
    turned_away: BTreeMap<u64, Turn>,
    /// Those that wait, by process; the first process is next.
    waiting: VecDeque<(Option<Pid>, VecDeque<Turn>)>,
    /// Whether a task waits for the time.
    timed: bool,
}

impl State {
    fn opens(&self) -> Instant {
        self.next.max(self.held)
    }

    /// Who is next, and the place that it has already. Whoever has given up is passed over.
    fn take_next(&mut self) -> Option<(Turn, Option<u64>)> {
        while let Some((place, turn)) = self.turned_away.pop_first() {
            if !turn.is_closed() {
                return Some((turn, Some(place)));
            }
        }
        while let Some((pid, mut queue)) = self.waiting.pop_front() {
            let turn = queue.pop_front();
            if !queue.is_empty() {
                self.waiting.push_back((pid, queue));
            }
            if let Some(turn) = turn.filter(|turn| !turn.is_closed()) {
                return Some((turn, None));
            }
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.turned_away.is_empty() && self.waiting.is_empty()
    }
}

/// The right to one exchange, as long as it is held.
pub(crate) struct Pass {
    gate: Gate,
    /// Its place among all that were let through.
    place: u64,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.state().under_way -= 1;
        self.gate.open();
    }
}

impl Pass {
    /// The endpoint answered.
    pub(crate) fn answered(self) {
        let mut state = self.gate.state();
        state.answers += 1;
        state.room = (state.room + 1).min(EXCHANGES_MAX);
    }

    /// The endpoint turned it away, and wants nothing for so long; if that is longer than anyone
    /// waits, all are told. Gives back the place.
    pub(crate) fn turned_away(self, wait: Duration, wait_max: Duration) -> u64 {
        self.gate.hold(wait, wait > wait_max);
        self.place
    }
}

impl Gate {
    pub(crate) fn new(requests_per_minute: Option<u32>) -> Self {
        let spacing = requests_per_minute
            .map_or(Duration::ZERO, |requests| Duration::from_secs(60) / requests.max(1));
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            spacing,
            next: now,
            held: now,
            under_way: 0,
            room: EXCHANGES_MAX,
            answers: 0,
            passed: 0,
            turned_away: BTreeMap::new(),
            waiting: VecDeque::new(),
            timed: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn; whoever was turned away has its place.
    ///
    /// # Errors
    /// For how long the endpoint wants nothing, if that is longer than `wait_max`.
    pub(crate) async fn pass(
        &self,
        of: Option<Pid>,
        place: Option<u64>,
        wait_max: Duration,
    ) -> Result<Pass, Duration> {
        loop {
            let (sender, turn) = oneshot::channel();
            {
                let mut state = self.state();
                let wait = state.held.saturating_duration_since(Instant::now());
                if wait > wait_max {
                    return Err(wait);
                }
                let queue = state.waiting.iter_mut().find(|(pid, _)| *pid == of);
                match (place, queue) {
                    (Some(place), _) => drop(state.turned_away.insert(place, sender)),
                    (None, Some((_, queue))) => queue.push_back(sender),
                    (None, None) => state.waiting.push_back((of, VecDeque::from([sender]))),
                }
            }
            self.open();
            if let Ok(pass) = turn.await {
                return Ok(pass);
            }
        }
    }

    /// How many exchanges got an answer so far.
    pub(crate) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// For how long the endpoint wants nothing from now on.
    pub(crate) fn held(&self) -> Duration {
        self.state().held.saturating_duration_since(Instant::now())
    }

    /// Nobody begins before this much time has passed.
    fn hold(&self, wait: Duration, tells_all: bool) {
        let mut state = self.state();
        let now = Instant::now();
        if state.held <= now {
            // Once for all that are turned away at the same time.
            state.room = (state.room / 2).max(1);
        }
        state.held = state.held.max(now + wait.min(Duration::from_millis(HELD_MS_MAX)));
        if tells_all {
            // Who waits for a turn that is gone looks anew for how long there is to wait.
            let gone = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.turned_away));
            drop(state);
            drop(gone);
        }
    }

    /// Lets through who may pass now.
    fn open(&self) {
        loop {
            let mut state = self.state();
            if state.is_empty() || state.under_way >= state.room {
                return;
            }
            let (now, opens) = (Instant::now(), state.opens());
            if opens > now {
                // Without a runtime nobody goes on any more.
                let Ok(runtime) = Handle::try_current() else { return };
                if !std::mem::replace(&mut state.timed, true) {
                    let gate = self.clone();
                    runtime.spawn(async move {
                        sleep_until(opens).await;
                        gate.state().timed = false;
                        gate.open();
                    });
                }
                return;
            }
            let Some((turn, place)) = state.take_next() else { return };
            state.under_way += 1;
            state.next = state.next.max(now) + state.spacing;
            state.passed += u64::from(place.is_none());
            let place = place.unwrap_or(state.passed);
            drop(state);
            // A pass that nobody takes any more ends here, and counts as a beginning.
            drop(turn.send(Pass { gate: self.clone(), place }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everyone who can go on do so.
    async fn settle() {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    const PATIENT: Duration = Duration::from_secs(60);

    async fn turn(gate: &Gate, pid: u64) -> Pass {
        gate.pass(Some(Pid(pid)), None, PATIENT).await.unwrap()
    }

    #[tokio::test]
    async fn processes_take_turns_and_nobody_is_left_out() {
        let gate = Gate::new(Some(6_000));
        gate.hold(Duration::from_millis(200), false);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (pid, wants) in [(1, 4), (2, 1), (3, 2)] {
            for _ in 0..wants {
                let (gate, order) = (gate.clone(), Arc::clone(&order));
                tasks.push(tokio::spawn(async move {
                    let pass = turn(&gate, pid).await;
                    order.lock().unwrap().push((pid, Instant::now()));
                    drop(pass);
                }));
                settle().await;
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let pids: Vec<u64> = order.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(pids, [1, 2, 3, 1, 3, 1, 1]);
        let all = order[6].1 - order[0].1;
        assert!(all >= Duration::from_millis(50), "10 ms between two: {all:?}");
    }

    #[tokio::test]
    async fn who_is_asked_for_patience_waits_and_who_gives_up_holds_nobody_up() {
        let gate = Gate::new(None);
        gate.hold(Duration::from_millis(70), false);
        let before = Instant::now();
        let gone = tokio::spawn({
            let gate = gate.clone();
            async move { drop(turn(&gate, 1).await) }
        });
        settle().await;
        gone.abort();
        settle().await;
        let pass = turn(&gate, 2).await;
        assert!(before.elapsed() >= Duration::from_millis(70));
        assert_eq!(gate.state().under_way, 1);
        drop(pass);
        assert_eq!(gate.state().under_way, 0);
    }

    #[tokio::test]
    async fn only_so_many_are_under_way() {
        let gate = Gate::new(None);
        let mut passes = Vec::new();
        for _ in 0..EXCHANGES_MAX {
            passes.push(turn(&gate, 0).await);
        }
        let more = tokio::spawn({
            let gate = gate.clone();
            async move { drop(turn(&gate, 1).await) }
        });
        settle().await;
        assert!(!more.is_finished());
        passes.pop();
        more.await.unwrap();
    }

    #[tokio::test]
    async fn who_is_turned_away_keeps_its_place_and_fewer_are_let_through() {
        let gate = Gate::new(None);
        let mut passes = Vec::new();
        for pid in 1..=4 {
            passes.push(turn(&gate, pid).await);
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let goes = |pid, place| {
            let (gate, order) = (gate.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let pass = gate.pass(Some(Pid(pid)), place, PATIENT).await.unwrap();
                order.lock().unwrap().push(pid);
                pass.answered();
            })
        };
        let mut tasks = vec![goes(9, None)];
        settle().await;
        assert!(tasks[0].is_finished(), "there is room");
        let wait = Duration::from_millis(50);
        passes.reverse();
        for (pid, pass) in (1..=4).rev().zip(passes.drain(..)) {
            let place = pass.turned_away(wait, PATIENT);
            tasks.extend([goes(pid + 10, None), goes(pid, Some(place))]);
            settle().await;
        }
        assert_eq!(gate.state().room, EXCHANGES_MAX / 2, "once for all of them");
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [9, 1, 2, 3, 4, 14, 13, 12, 11]);
        assert_eq!(gate.answers(), 9);
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_it_wants_to() {
        let gate = Gate::new(None);
        let pass = turn(&gate, 1).await;
        let day = Duration::from_secs(86_400);
        gate.hold(Duration::from_secs(1), false);
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass(Some(Pid(2)), None, PATIENT).await.err() }
        });
        settle().await;
        let place = pass.turned_away(2 * day, PATIENT);
        assert!(waits.await.unwrap().is_some_and(|wait| wait > day / 2), "whoever waits is told");
        let late = gate.pass(Some(Pid(3)), Some(place), PATIENT).await.err().unwrap();
        assert!(late <= day, "no endpoint is believed for longer than that");
        assert!(gate.state().is_empty());
    }
}
