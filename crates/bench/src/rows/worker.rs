//! Processes of a real runtime that do what a measurement tells them, round by round.

use std::{collections::BTreeMap, sync::Arc};

use agent_libos::{Builder, HostPort, Limits, Runtime};
use anyhow::Context;
use libos_abi::{GrantSpec, Pid, process::Launch};
use libos_port::{BoxFuture, Planner, Port, QuantumEnd, Turn};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::{measure::Figure, stage::request};

/// What every process does in one round: it gives its samples.
#[derive(Clone)]
pub(super) struct Job(Arc<Work>);

type Work = dyn Fn(Arc<dyn Port>) -> BoxFuture<'static, Vec<f64>> + Send + Sync;

impl Job {
    pub(super) fn new(
        work: impl Fn(Arc<dyn Port>) -> BoxFuture<'static, Vec<f64>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(work))
    }
}

/// The tokio runtime of a measurement: the core has a thread of its own, so one more is enough for
/// two cores.
pub(super) fn tokio() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// The planner of the processes: a quantum is one round.
struct Rounds {
    job: Job,
    round: watch::Receiver<u64>,
    done: mpsc::UnboundedSender<(Pid, Vec<f64>)>,
}

impl Planner for Rounds {
    fn kind(&self) -> &'static str {
        "bench"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        let last: u64 = turn.state.parse().unwrap_or(0);
        let (job, mut round, done) = (self.job.clone(), self.round.clone(), self.done.clone());
        Box::pin(async move {
            let exit = QuantumEnd::Exit { result: None, message: None, failed: false, code: None };
            let Ok(now) = round.wait_for(|round| *round > last).await.map(|round| *round) else {
                return exit;
            };
            let samples = (job.0)(turn.port).await;
            if done.send((turn.pid, samples)).is_err() {
                return exit;
            }
            QuantumEnd::Continue { state: now.to_string() }
        })
    }
}

/// A runtime with processes that wait for the next round.
pub(super) struct Workers {
    runtime: Runtime,
    round: watch::Sender<u64>,
    done: mpsc::UnboundedReceiver<(Pid, Vec<f64>)>,
    count: usize,
}

impl Workers {
    /// Starts so many processes in a runtime, each a task of its own.
    pub(super) async fn start(
        builder: Builder,
        count: usize,
        grants: &[GrantSpec],
        job: Job,
    ) -> anyhow::Result<Self> {
        let (round, rounds) = watch::channel(0);
        let (sender, done) = mpsc::unbounded_channel();
        let planner = Arc::new(Rounds { job, round: rounds, done: sender });
        let limits = Limits { running_max: count.max(1), ..Limits::default() };
        let runtime = builder.planner(planner).limits(limits).start()?;
        let host = runtime.host_port("bench");
        for _ in 0..count {
            launch(&host, "bench", "", grants).await?;
        }
        Ok(Self { runtime, round, done, count })
    }

    /// Lets every process do its job once, all at the same time: the samples of each.
    pub(super) async fn round(&mut self) -> anyhow::Result<Vec<Vec<f64>>> {
        self.round.send_modify(|round| *round += 1);
        let mut all = BTreeMap::new();
        while all.len() < self.count {
            let (pid, samples) = self.done.recv().await.context("a process ended")?;
            all.insert(pid, samples);
        }
        Ok(all.into_values().collect())
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.runtime.shutdown()?;
        Ok(())
    }
}

/// Lets one process do its job again and again, in a runtime and a tokio of its own: what each
/// kind of its samples comes to, of which one round gives so many.
pub(super) fn rounds_of_one<const KINDS: usize>(
    builder: Builder,
    grants: &[GrantSpec],
    job: Job,
    (rounds, size): (usize, usize),
) -> anyhow::Result<[Figure; KINDS]> {
    let samples: [Vec<f64>; KINDS] = tokio()?.block_on(async {
        let mut samples = [const { Vec::new() }; KINDS];
        let mut workers = Workers::start(builder, 1, grants, job).await?;
        for _ in 0..=rounds {
            let round = workers.round().await?;
            for (all, samples) in samples.iter_mut().zip(round[0].chunks(size)) {
                all.extend(samples);
            }
        }
        workers.stop()?;
        anyhow::Ok(samples)
    })?;
    // The first round warms up.
    Ok(samples.map(|samples| Figure::of(samples[size..].to_vec())))
}

/// Launches a task.
pub(super) async fn launch(
    host: &HostPort,
    kind: &str,
    program: &str,
    grants: &[GrantSpec],
) -> anyhow::Result<Pid> {
    let launch: Launch = request(json!({
        "image": "base", "goal": "measure", "planner": { "kind": kind, "program": program },
        "grants": grants, "budget": {},
    }));
    let host: &dyn Port = host;
    Ok(host.call(launch).await?.pid)
}
