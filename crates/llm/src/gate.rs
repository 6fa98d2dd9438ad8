//! The gate of a profile: who may begin an exchange, and when.
//!
//! So many exchanges are under way at a time, and so many begin in a minute. Whoever waits stands
//! in the queue of its process, and the processes take turns: one that wants much does not keep
//! out one that wants little. When an endpoint asks for patience, everyone waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libos_abi::Pid;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::limits::EXCHANGES_MAX;

/// The gate of one profile. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    /// Between the beginnings of two exchanges.
    spacing: Duration,
    /// When the next one may begin.
    next: Instant,
    under_way: u32,
    /// Those that wait, by process; the first process is next.
    waiting: VecDeque<(Option<Pid>, VecDeque<oneshot::Sender<Pass>>)>,
    /// Whether a task waits for `next`.
    timed: bool,
}

/// The right to one exchange, as long as it is held.
pub(crate) struct Pass {
    gate: Gate,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.state().under_way -= 1;
        self.gate.open();
    }
}

impl Gate {
    pub(crate) fn new(requests_per_minute: Option<u32>) -> Self {
        let spacing = requests_per_minute
            .map_or(Duration::ZERO, |requests| Duration::from_secs(60) / requests.max(1));
        let waiting = VecDeque::new();
        let state = State { spacing, next: Instant::now(), under_way: 0, waiting, timed: false };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn.
    pub(crate) async fn pass(&self, of: Option<Pid>) -> Pass {
        loop {
            let (sender, turn) = oneshot::channel();
            {
                let mut state = self.state();
                match state.waiting.iter_mut().find(|(pid, _)| *pid == of) {
                    Some((_, queue)) => queue.push_back(sender),
                    None => state.waiting.push_back((of, VecDeque::from([sender]))),
                }
            }
            self.open();
            // A gate outlives those who wait at it.
            if let Ok(pass) = turn.await {
                return pass;
            }
        }
    }

    /// Nobody begins before this much time has passed.
    pub(crate) fn hold(&self, wait: Duration) {
        let mut state = self.state();
        state.next = state.next.max(Instant::now() + wait);
    }

    /// Lets through who may pass now.
    fn open(&self) {
        loop {
            let mut state = self.state();
            if state.waiting.is_empty() || state.under_way >= EXCHANGES_MAX {
                return;
            }
            let now = Instant::now();
            if state.next > now {
                // Without a runtime nobody goes on any more.
                let Ok(runtime) = Handle::try_current() else { return };
                if !std::mem::replace(&mut state.timed, true) {
                    let (gate, at) = (self.clone(), state.next);
                    runtime.spawn(async move {
                        sleep_until(at).await;
                        gate.state().timed = false;
                        gate.open();
                    });
                }
                return;
            }
            let Some((pid, mut queue)) = state.waiting.pop_front() else { return };
            let turn = queue.pop_front();
            if !queue.is_empty() {
                state.waiting.push_back((pid, queue));
            }
            // Whoever has given up is passed over.
            let Some(turn) = turn.filter(|turn| !turn.is_closed()) else { continue };
            state.under_way += 1;
            state.next = state.next.max(now) + state.spacing;
            drop(state);
            // A pass that nobody takes any more ends here, and counts as a beginning.
            drop(turn.send(Pass { gate: self.clone() }));
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

    #[tokio::test]
    async fn processes_take_turns_and_nobody_is_left_out() {
        let gate = Gate::new(Some(6_000));
        gate.hold(Duration::from_millis(200));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (pid, wants) in [(1, 4), (2, 1), (3, 2)] {
            for _ in 0..wants {
                let (gate, order) = (gate.clone(), Arc::clone(&order));
                tasks.push(tokio::spawn(async move {
                    let pass = gate.pass(Some(Pid(pid))).await;
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
        gate.hold(Duration::from_millis(70));
        let before = Instant::now();
        let gone = tokio::spawn({
            let gate = gate.clone();
            async move { drop(gate.pass(Some(Pid(1))).await) }
        });
        settle().await;
        gone.abort();
        settle().await;
        let pass = gate.pass(Some(Pid(2))).await;
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
            passes.push(gate.pass(None).await);
        }
        let more = tokio::spawn({
            let gate = gate.clone();
            async move { drop(gate.pass(Some(Pid(1))).await) }
        });
        settle().await;
        assert!(!more.is_finished());
        passes.pop();
        more.await.unwrap();
    }
}
