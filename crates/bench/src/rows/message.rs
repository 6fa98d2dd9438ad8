//! A message to another process and its answer. Both wait for it parked, holding no run.

use std::time::Instant;

use libos_abi::process;

use crate::{
    allocator::count,
    measure::{Scale, by_turns, nanos},
    report::{Row, Unit},
    stage::{Run, Stage, allow, receive, send, spawn},
};

/// Round trips in one sample.
const TRIPS: usize = 64;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let tokio = tokio::runtime::Builder::new_current_thread().build()?;
    let mut pair = Pair::new();
    let mut allocations = 0;
    let ours = || {
        let (time, asked) = count(|| pair.trips(TRIPS));
        allocations = asked;
        time
    };
    let (floor, ours) = by_turns(scale.rounds(101), || tokio.block_on(hops(TRIPS)), ours);
    let what = "message to a parked process and its answer to the parked sender";
    let row = Row::new("message.round_trip", what, Unit::Nanoseconds, ours)
        .floor("two tokio tasks of one thread over channels", floor)
        .allocations(allocations as f64 / TRIPS as f64);
    Ok(vec![row])
}

/// A process and its child, the child waiting for a message.
struct Pair {
    stage: Stage,
    parent: Run,
    child: libos_abi::Pid,
}

impl Pair {
    fn new() -> Self {
        let mut stage = Stage::new();
        stage.launch(&[allow("process:spawn", &["write"])]);
        let mut parent = stage.start().expect("a process was launched");
        let child = stage.call(&mut parent, spawn(&[])).pid;
        let mut run = stage.next_quantum(parent).expect("the child is runnable");
        stage.wait(&mut run, receive());
        let parent = stage.start().expect("the parent goes on");
        Self { stage, parent, child }
    }

    /// The nanoseconds of each of so many round trips.
    fn trips(&mut self, count: usize) -> f64 {
        let start = Instant::now();
        for _ in 0..count {
            self.trip();
        }
        nanos(start.elapsed()) / count as f64
    }

    /// The parent sends and waits; the child runs again, takes the message, answers, ends its
    /// quantum and waits; the parent runs again, takes the answer and ends its quantum.
    fn trip(&mut self) {
        let Self { stage, parent, child } = self;
        stage.call(parent, send(*child));
        stage.wait(parent, receive());
        let mut run = stage.start().expect("the child was woken");
        stage.call(&mut run, receive());
        stage.call(&mut run, send(parent.pid));
        *parent = stage.next_quantum(run).expect("the parent was woken");
        stage.call(parent, send(*child));
        stage.call(parent, receive());
        let mut run = stage.next_quantum(*parent).expect("the child has more to do");
        stage.wait(&mut run, receive());
        *parent = stage.start().expect("the parent goes on");
    }
}

/// The nanoseconds of one round trip between two tasks.
async fn hops(count: usize) -> f64 {
    let (to_child, mut child) = tokio::sync::mpsc::channel::<process::Cwd>(1);
    let (to_parent, mut parent) = tokio::sync::mpsc::channel::<process::Cwd>(1);
    let echo = async move {
        while let Some(message) = child.recv().await {
            if to_parent.send(message).await.is_err() {
                return;
            }
        }
    };
    let start = Instant::now();
    let ask = async move {
        for _ in 0..count {
            let message = process::Cwd { path: "workspace".into() };
            if to_child.send(message).await.is_err() || parent.recv().await.is_none() {
                return;
            }
        }
    };
    let local = tokio::task::LocalSet::new();
    local.spawn_local(echo);
    local.run_until(ask).await;
    nanos(start.elapsed()) / count as f64
}
