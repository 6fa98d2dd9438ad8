//! Fork with few and with many objects, the first write after it, and exec.

use std::hint::black_box;

use imbl::OrdMap;
use libos_abi::{
    ObjectId,
    process::{Exec, Exit, Fork},
};
use serde_json::json;

use crate::{
    measure::{Figure, Samples, Scale, each},
    report::{Row, Target, Unit},
    stage::{Run, Stage, allow, note, request, update},
};

/// Forks, first writes and execs that are timed.
const SAMPLES: usize = 400;

/// Objects made in one quantum.
const QUANTUM: usize = 512;

/// The persistent maps that a memory is at the least.
const ROOTS: usize = 4;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let sizes = [("100", scale.size(100)), ("100k", scale.size(100_000))];
    let measured = sizes.map(|(_, objects)| (Bare::new(objects), forks(scale, objects)));
    let mut rows = Vec::new();
    for ((size, _), (bare, (fork, write))) in sizes.iter().zip(&measured) {
        let what = format!("fork of a process with {size} objects");
        rows.push(
            Row::timed(format!("fork.{size}"), what, fork)
                .floor("clones of four persistent maps", bare.clones())
                .target(Target::at_most(10_000.0)),
        );
        let what = format!("first write of a child forked with {size} objects");
        let row = Row::timed(format!("fork.write.{size}"), what, write);
        rows.push(row.floor("insert into a cloned map", bare.writes()));
    }
    let [few, many] = measured.map(|(_, (fork, _))| fork.figure());
    rows.push(
        Row::new("fork.flat", "fork with 100k objects against 100", Unit::Nanoseconds, many)
            .floor("the same with 100", few)
            .target(Target::times_floor(2.0)),
    );
    rows.push(Row::timed("exec", "exec into the same image", &execs(scale)));
    Ok(rows)
}

/// Forks of a process with so many objects, and what the first write of each child takes.
fn forks(scale: &Scale, objects: usize) -> (Samples, Samples) {
    let mut stage = Stage::new();
    stage.launch(&[allow("process:spawn", &["write"])]);
    let mut parent = stage.start().expect("a process was launched");
    let mut id = None;
    for nth in 0..objects {
        if nth % QUANTUM == 0 {
            parent = stage.next_quantum(parent).expect("it is the only process");
        }
        id = Some(stage.call(&mut parent, note()).id);
    }
    let id = id.expect("there is an object");
    let (mut forks, mut writes) = (Samples::default(), Samples::default());
    for _ in 0..scale.size(SAMPLES) {
        let fork: Fork = request(json!({ "goal": "measure", "mode": "copy" }));
        forks.take(|| stage.call(&mut parent, fork));
        let mut child = stage.next_quantum(parent).expect("the child is runnable");
        let copy = ObjectId { space: child.pid, ..id };
        writes.take(|| stage.call(&mut child, update(copy, 1)));
        end(&mut stage, child);
        parent = stage.start().expect("the parent goes on");
    }
    (forks, writes)
}

fn end(stage: &mut Stage, run: Run) {
    let last: Exit = request(json!({}));
    stage.submit(run.closing(), last.into());
    stage.reply().expect("an exit does not wait").expect("an exit is allowed");
}

/// A process that goes on as another image, which is the one it has.
fn execs(scale: &Scale) -> Samples {
    let mut stage = Stage::new();
    stage.launch(&[allow("image:*", &["execute"])]);
    let mut samples = Samples::default();
    let mut run = stage.start().expect("a process was launched");
    for _ in 0..scale.size(SAMPLES) {
        let exec: Exec = request(json!({ "image": "base", "keep": ["cap-1"] }));
        samples.take(|| stage.call(&mut run, exec));
        run = stage.start().expect("it goes on as what it is now");
    }
    samples
}

/// A memory with nothing around it.
struct Bare([OrdMap<u64, u64>; ROOTS]);

impl Bare {
    fn new(objects: usize) -> Self {
        Self(std::array::from_fn(|_| (0..objects as u64).map(|n| (n, n)).collect()))
    }

    fn clones(&self) -> Figure {
        let sample = || each(100, |_| drop(black_box(self.0.clone())));
        Figure::of((0..SAMPLES).map(|_| sample()).collect())
    }

    fn writes(&self) -> Figure {
        let sample = |_| {
            let mut copy = self.0[0].clone();
            each(1, |n| assert!(copy.insert(n as u64, 7).is_some()))
        };
        Figure::of((0..SAMPLES).map(sample).collect())
    }
}
