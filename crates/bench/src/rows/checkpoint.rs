//! Making a checkpoint of a process with few and with many objects, and forking from it.

use std::hint::black_box;

use imbl::OrdMap;
use libos_abi::{
    Pid,
    checkpoint::{Create, DropCheckpoint, Fork},
    process::Exit,
};
use serde_json::json;

use crate::{
    measure::{Figure, Samples, Scale, each},
    report::{Row, Target, Unit},
    stage::{Stage, note, request},
};

/// Checkpoints and forks that are timed.
const SAMPLES: usize = 400;

/// Objects made in one quantum.
const QUANTUM: usize = 512;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let sizes = [("100", scale.size(100)), ("100k", scale.size(100_000))];
    let measured = sizes.map(|(_, objects)| (clones(objects), checkpoints(scale, objects)));
    let mut rows = Vec::new();
    for ((size, _), (bare, (create, fork))) in sizes.iter().zip(&measured) {
        let what = format!("a checkpoint of a process with {size} objects");
        let row = Row::timed(format!("checkpoint.create.{size}"), what, create);
        rows.push(row.floor("clone of a persistent map", *bare));
        let what = format!("a fork from a checkpoint of a process with {size} objects");
        let row = Row::timed(format!("checkpoint.fork.{size}"), what, fork);
        rows.push(row.floor("clone of a persistent map", *bare));
    }
    let [few, many] = measured.map(|(_, (create, fork))| [create.figure(), fork.figure()]);
    for (name, (few, many)) in ["create", "fork"].into_iter().zip(few.into_iter().zip(many)) {
        let what = format!("{name} with 100k objects against 100");
        rows.push(
            Row::new(format!("checkpoint.{name}.flat"), what, Unit::Nanoseconds, many)
                .floor("the same with 100", few)
                .target(Target::times_floor(2.0)),
        );
    }
    Ok(rows)
}

/// Checkpoints of a process with so many objects, and forks from each.
fn checkpoints(scale: &Scale, objects: usize) -> (Samples, Samples) {
    let mut stage = Stage::new();
    let pid = stage.launch(&[]);
    let mut run = stage.start().expect("a process was launched");
    for nth in 0..objects {
        if nth % QUANTUM == 0 {
            run = stage.next_quantum(run).expect("it is the only process");
        }
        stage.call(&mut run, note());
    }
    stage.next_quantum(run).expect("it is the only process");
    let (mut creates, mut forks) = (Samples::default(), Samples::default());
    for _ in 0..scale.size(SAMPLES) {
        let create = Create { pid: Some(pid), reason: None };
        let mut checkpoint = None;
        creates.take(|| checkpoint = Some(stage.host(create).id));
        let checkpoint = checkpoint.expect("it was made");
        let mut forked = Pid(0);
        forks.take(|| forked = stage.host(Fork { checkpoint, parent: None }).pid);
        let exit: Exit = request(json!({ "pid": forked }));
        stage.host(exit);
        stage.host(DropCheckpoint { checkpoint });
    }
    (creates, forks)
}

/// The clone of a map of so many.
fn clones(objects: usize) -> Figure {
    let map: OrdMap<u64, u64> = (0..objects as u64).map(|n| (n, n)).collect();
    let sample = || each(100, |_| drop(black_box(map.clone())));
    Figure::of((0..SAMPLES).map(|_| sample()).collect())
}
