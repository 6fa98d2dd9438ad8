//! A file read through the whole path: admitted, decided, recorded, performed, answered.

use std::{sync::Arc, time::Instant};

use agent_libos::{Builder, mounts::Mounted};
use libos_abi::fs;
use libos_port::Port;

use super::worker::{Job, rounds_of_one};
use crate::{
    measure::{Scale, nanos},
    report::{Row, Target, Unit},
    stage::{allow, request},
};

/// Reads in one quantum, of each kind.
const SAMPLES: usize = 32;

/// Bytes of the file.
const BYTES: usize = 4_096;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    std::fs::write(&file, "x".repeat(BYTES))?;
    let (rounds, size) = (scale.rounds(31), scale.size(SAMPLES));
    let job = Job::new(move |port: Arc<dyn Port>| {
        let file = file.clone();
        Box::pin(async move {
            let mut samples = Vec::with_capacity(2 * size);
            for _ in 0..size {
                let start = Instant::now();
                let bytes = std::fs::read(&file).map_or(0, |bytes| bytes.len());
                samples.push(nanos(start.elapsed()));
                assert_eq!(bytes, BYTES, "the file is there");
            }
            for _ in 0..size {
                let call: fs::Read = request(serde_json::json!({ "path": "fs:bench/file" }));
                let start = Instant::now();
                let outcome = port.submit(call.into()).await;
                samples.push(nanos(start.elapsed()));
                assert!(outcome.is_ok(), "it is allowed: {outcome:?}");
            }
            samples
        })
    });
    let grants = [allow("fs:bench/*", &["read"])];
    let builder = Builder::new().mount("bench", Mounted::read_only(folder.path()));
    let [bare, ours] = rounds_of_one(builder, &grants, job, (rounds, size))?;
    let what = "read of a file of 4 KiB through the whole path (fs.read)";
    Ok(vec![
        Row::new("file.read", what, Unit::Nanoseconds, ours)
            .floor("std::fs::read of the same file", bare)
            .target(Target::at_most(100_000.0)),
    ])
}
