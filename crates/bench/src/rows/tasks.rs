//! Whole tasks through the whole runtime: launched, planned by a script, ended and told.

use std::time::Instant;

use agent_libos::{Builder, News};
use anyhow::Context;
use libos_broker::Notice;

use super::worker::launch;
use crate::{
    measure::{Figure, Scale, nanos},
    report::{Row, Target, Unit},
};

/// A script that ends at once.
const SCRIPT: &str = r#"{"exit":{"message":"done"}}"#;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let tokio = super::worker::tokio()?;
    let mut samples: [Vec<f64>; 3] = Default::default();
    for round in 0..=scale.rounds(5) {
        let few = scale.size(1_000);
        let bare = tokio.block_on(bare(few))?;
        let few = tokio.block_on(ours(few))?;
        let many = tokio.block_on(ours(scale.size(10_000)))?;
        if round > 0 {
            for (all, sample) in samples.iter_mut().zip([bare, few, many]) {
                all.push(sample);
            }
        }
    }
    let [bare, few, many] = samples.map(Figure::of);
    let what = "scripted process from launch to end, 1,000 of them, nothing on disk";
    Ok(vec![
        Row::new("tasks.1k", what, Unit::Nanoseconds, few)
            .floor("tokio task, started and joined", bare)
            .target(Target::at_most(50_000.0)),
        Row::new("tasks.flat", "the same, 10,000 of them", Unit::Nanoseconds, many)
            .floor("the same, 1,000 of them", few)
            .target(Target::times_floor(3.0)),
    ])
}

/// The nanoseconds of each of so many bare tasks.
async fn bare(count: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(async move { n })).collect();
    for task in tasks {
        task.await?;
    }
    Ok(nanos(start.elapsed()) / count as f64)
}

/// The nanoseconds of each of so many processes, from the first launch to the last end.
async fn ours(count: usize) -> anyhow::Result<f64> {
    let (runtime, mut watch) = Builder::new().start_watched()?;
    let host = runtime.host_port("bench");
    let start = Instant::now();
    let launches = async {
        for _ in 0..count {
            launch(&host, "script", SCRIPT, &[]).await?;
        }
        anyhow::Ok(())
    };
    let endings = async {
        let mut ended = 0;
        while ended < count {
            let news = watch.next().await.context("the runtime stopped")?;
            ended += usize::from(matches!(news, News::Notice(Notice::Ended { .. })));
        }
        anyhow::Ok(())
    };
    let (launched, ended) = tokio::join!(launches, endings);
    launched.and(ended)?;
    let time = nanos(start.elapsed()) / count as f64;
    runtime.shutdown()?;
    Ok(time)
}
