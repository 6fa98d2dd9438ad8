//! Calls from another thread: a planner's task submits to the core's thread and waits.

use std::{future::poll_fn, sync::Arc, task::Poll, thread, time::Instant};

use agent_libos::Builder;
use crossbeam_channel::Sender;
use libos_abi::{Outcome, process};
use libos_port::{BoxFuture, Port};
use tokio::sync::oneshot;

use super::worker::{Job, rounds_of_one};
use crate::{
    measure::{Scale, nanos},
    report::{Row, Target, Unit},
};

/// Samples in one quantum, each of one call or of [`PIPELINED`].
const SAMPLES: usize = 32;

/// Calls under way at the same time.
const PIPELINED: usize = 64;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let (rounds, size) = (scale.rounds(31), scale.size(SAMPLES));
    let [bare, alone, bare_pipelined, pipelined] =
        rounds_of_one(Builder::new(), &[], job(size), (rounds, size))?;
    Ok(vec![
        Row::new("port.alone", "no-op from another thread", Unit::Nanoseconds, alone)
            .floor("thread that echoes over channels", bare)
            .target(Target::at_most(12_000.0)),
        Row::new(
            "port.pipelined",
            format!("the same, {PIPELINED} under way"),
            Unit::Nanoseconds,
            pipelined,
        )
        .floor("the same thread", bare_pipelined)
        .target(Target::at_most(1_000.0)),
    ])
}

/// The floor and ours, one by one and with several under way: so many samples of each.
fn job(size: usize) -> Job {
    let echo = Arc::new(Echo::start());
    Job::new(move |port: Arc<dyn Port>| {
        let echo = Arc::clone(&echo);
        Box::pin(async move {
            let bare = || echo.call();
            let ours = || port.submit(process::GetCwd {}.into());
            let mut samples = Vec::with_capacity(4 * size);
            for _ in 0..size {
                samples.push(alone(bare).await);
            }
            for _ in 0..size {
                samples.push(alone(ours).await);
            }
            for _ in 0..size {
                samples.push(pipelined(bare).await);
            }
            for _ in 0..size {
                samples.push(pipelined(ours).await);
            }
            samples
        })
    })
}

async fn alone<'a>(call: impl Fn() -> BoxFuture<'a, Outcome>) -> f64 {
    let start = Instant::now();
    let outcome = call().await;
    let time = nanos(start.elapsed());
    check(&outcome);
    time
}

async fn pipelined<'a>(call: impl Fn() -> BoxFuture<'a, Outcome>) -> f64 {
    let start = Instant::now();
    let mut under_way: Vec<_> = (0..PIPELINED).map(|_| call()).collect();
    // The first look submits; replies come in the order of the calls.
    for call in &mut under_way {
        poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(outcome) => {
                *call = Box::pin(std::future::ready(outcome));
                Poll::Ready(())
            }
            Poll::Pending => Poll::Ready(()),
        })
        .await;
    }
    for call in under_way {
        check(&call.await);
    }
    nanos(start.elapsed()) / PIPELINED as f64
}

fn check(outcome: &Outcome) {
    assert!(outcome.is_ok(), "a no-op is allowed: {outcome:?}");
}

/// A thread that answers over the same kinds of channel as the core's.
struct Echo(Sender<oneshot::Sender<Outcome>>);

impl Echo {
    fn start() -> Self {
        let (inbox, requests) = crossbeam_channel::unbounded::<oneshot::Sender<Outcome>>();
        thread::spawn(move || {
            for reply in requests {
                let cwd = process::Cwd { path: "workspace".into() };
                // Whoever asked has gone away: the measurement is over.
                drop(reply.send(Ok(process::Reply::GetCwd(cwd).into())));
            }
        });
        Self(inbox)
    }

    fn call(&self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            let (reply, outcome) = oneshot::channel();
            self.0.send(reply).expect("the thread lives as long as its channel");
            outcome.await.expect("it answers")
        })
    }
}
