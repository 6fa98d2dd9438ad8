//! Processes among few and among a million others: made, started, parked, woken, ended.

use std::collections::VecDeque;

use libos_abi::{
    GrantSpec, Pid,
    process::{Commit, Exit},
};

use serde_json::json;

use crate::{
    allocator::live_bytes,
    machine,
    measure::{Figure, Samples, Scale, each},
    report::{Row, Target, Unit},
    stage::{Run, Stage, allow, receive, request, send, spawn},
};

/// Children of one process: as many as its limit lets live, in a round number.
const CHILDREN: usize = 1_000;

/// How much is measured at each population.
const SAMPLES: usize = 2_000;

/// What a record's life costs at the least.
const SLAB: &str = "record into a slab";

/// What a message and a turn cost at the least.
const QUEUE: &str = "mailbox and run queue";

/// Operations in one sample of a floor.
const FLOOR_CALLS: usize = 10_000;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let few = Population::measure(scale, 1);
    let many = Population::measure(scale, scale.size(1_000));
    let mut rows = Vec::new();
    for (name, what, of, floor_is, target) in OPERATIONS {
        let floor = |population: &Population| match *floor_is {
            SLAB => population.slab,
            _ => population.queue,
        };
        for (size, population) in [("1k", &few), ("1M", &many)] {
            let name = format!("{name}.{}", size.to_lowercase());
            let what = format!("{what}, {size} processes");
            let row = Row::timed(name, what, of(population)).floor(floor_is, floor(population));
            rows.push(row.target(*target));
        }
        let what = format!("{what}, 1M processes against 1k");
        let (ours, floor) = (of(&many).figure(), of(&few).figure());
        rows.push(
            Row::new(format!("{name}.flat"), what, Unit::Nanoseconds, ours)
                .floor("the same among 1k", floor)
                .target(Target::times_floor(3.0)),
        );
    }
    rows.extend(many.memory());
    Ok(rows)
}

type Operation = (&'static str, &'static str, fn(&Population) -> &Samples, &'static str, Target);

/// What is timed: name, what it is, where its samples are, its floor and its target.
const OPERATIONS: &[Operation] = &[
    ("spawn", "spawn", |p| &p.spawn, SLAB, Target::at_most(5_000.0)),
    ("exit", "exit", |p| &p.exit, SLAB, Target::at_most(5_000.0)),
    ("dispatch", "start of a quantum", |p| &p.dispatch, QUEUE, Target::at_most(500.0)),
    ("park", "wait until parked", |p| &p.park, QUEUE, Target::NONE),
    ("wake", "message until it runs again", |p| &p.wake, QUEUE, Target::at_most(1e6)),
];

/// What was measured with so many processes there.
struct Population {
    spawn: Samples,
    exit: Samples,
    dispatch: Samples,
    park: Samples,
    wake: Samples,
    slab: Figure,
    queue: Figure,
    processes: usize,
    counted_bytes: i64,
    resident_bytes: i64,
}

impl Population {
    /// A root, `managers` children of it, and [`CHILDREN`] children of each: all runnable, then all
    /// parked. What is timed is timed at the full number.
    fn measure(scale: &Scale, managers: usize) -> Self {
        let (live, resident) = (live_bytes(), machine::resident_bytes().cast_signed());
        let samples = scale.size(SAMPLES);
        let mut stage = Stage::new();
        let (processes, spawn) = all_runnable(&mut stage, scale, managers);
        let dispatch = dispatch(&mut stage, samples);
        let park = park_all(&mut stage, processes, samples);
        let counted_bytes = live_bytes() - live;
        let resident_bytes = machine::resident_bytes().cast_signed() - resident;
        let (wake, exit) = wake_and_exit(&mut stage, processes, samples);
        // After the memory was looked at: the floors take some themselves.
        let (slab, queue) = (slab(processes), queue(processes));
        Self {
            spawn,
            exit,
            dispatch,
            park,
            wake,
            slab,
            queue,
            processes,
            counted_bytes,
            resident_bytes,
        }
    }

    fn memory(&self) -> [Row; 3] {
        let each = |bytes: i64| Figure::exact(bytes as f64 / self.processes as f64);
        let bare = Figure::exact(size_of::<Record>() as f64);
        let row = |name, what, ours| Row::new(name, what, Unit::Bytes, ours);
        [
            row(
                "parked.counted",
                "a parked process, by counted allocations",
                each(self.counted_bytes),
            )
            .floor("record in a slab", bare)
            .target(Target::at_most(1_024.0)),
            row("parked.resident", "a parked process, in memory", each(self.resident_bytes))
                .floor("record in a slab", bare)
                .target(Target::at_most(1_024.0)),
            row(
                "parked.all",
                "a million parked processes, in memory",
                Figure::exact(self.resident_bytes as f64),
            )
            .target(Target::at_most(1.5 * f64::from(1 << 30))),
        ]
    }
}

fn spawn_grant(delegable: u8) -> GrantSpec {
    GrantSpec { delegable, ..allow("process:spawn", &["write"]) }
}

/// Makes all processes, each runnable: their number, and what the spawns of the last managers took.
fn all_runnable(stage: &mut Stage, scale: &Scale, managers: usize) -> (usize, Samples) {
    let children = scale.size(CHILDREN);
    stage.launch(&[spawn_grant(1)]);
    let mut root = stage.start().expect("the root was launched");
    for _ in 0..managers {
        stage.call(&mut root, spawn(&[spawn_grant(0)]));
    }
    close(stage, root);
    let mut samples = Samples::default();
    for nth in 0..managers {
        let mut manager = stage.start().expect("managers are runnable");
        for _ in 0..children {
            let child = spawn(&[]);
            match nth + 2 < managers {
                true => stage.call(&mut manager, child),
                false => samples.take(|| stage.call(&mut manager, child)),
            };
        }
        close(stage, manager);
    }
    (1 + managers + managers * children, samples)
}

/// Ends a quantum; the process goes to the end of the line.
fn close(stage: &mut Stage, run: Run) {
    stage.submit(run.closing(), Commit { state: "".into() }.into());
    stage.reply().expect("a commit does not wait").expect("a commit is allowed");
}

/// Starts processes and ends their quanta at once: only the start is timed.
fn dispatch(stage: &mut Stage, count: usize) -> Samples {
    let mut samples = Samples::default();
    for _ in 0..count {
        let run = samples.take(|| stage.start()).expect("all are runnable");
        close(stage, run);
    }
    samples
}

/// Parks every process; the last ones are timed.
fn park_all(stage: &mut Stage, processes: usize, count: usize) -> Samples {
    let mut samples = Samples::default();
    for nth in 0..processes {
        let mut run = stage.start().expect("all are runnable");
        match nth + count < processes {
            true => stage.wait(&mut run, receive()),
            false => samples.take(|| stage.wait(&mut run, receive())),
        }
    }
    samples
}

/// Wakes processes spread over the younger half, which have no children: each by a message of the
/// host, until it runs again. Then it takes its message and ends.
fn wake_and_exit(stage: &mut Stage, processes: usize, count: usize) -> (Samples, Samples) {
    let (mut wake, mut exit) = (Samples::default(), Samples::default());
    let count = count.min(processes / 2);
    let stride = processes / 2 / count;
    for nth in 0..count {
        let to = Pid((processes - nth * stride) as u64);
        let message = send(to);
        let mut run = wake.take(|| {
            stage.host(message);
            stage.start().expect("it was woken")
        });
        assert_eq!(run.pid, to, "nothing else is runnable");
        stage.call(&mut run, receive());
        let last: Exit = request(json!({}));
        exit.take(|| stage.submit(run.closing(), last.into()));
        stage.reply().expect("an exit does not wait").expect("an exit is allowed");
    }
    (wake, exit)
}

/// What a process is at the least: 192 bytes.
type Record = [u64; 24];

/// A record out of a slab of so many, and another into its place: half of both.
fn slab(processes: usize) -> Figure {
    let mut slab: Vec<Option<Box<Record>>> = vec![Some(Box::new([0; 24])); processes];
    let mut at = (0..processes).cycle();
    let mut sample = || {
        each(FLOOR_CALLS, |n| {
            let place = &mut slab[at.next().unwrap_or(0)];
            *place = None;
            *place = Some(Box::new([n as u64; 24]));
        }) / 2.0
    };
    Figure::of((0..15).map(|_| sample()).collect())
}

/// A process out of the run queue, its message taken, another sent to it, and back into the line.
fn queue(processes: usize) -> Figure {
    let mut records: Vec<(Record, Option<u64>)> = vec![([0; 24], None); processes];
    let mut line: VecDeque<usize> = (0..processes).collect();
    let mut sample = || {
        each(FLOOR_CALLS, |n| {
            let at = line.pop_front().unwrap_or(0);
            let (record, mail) = &mut records[at];
            record[0] += mail.replace(n as u64).unwrap_or(1);
            line.push_back(at);
        })
    };
    Figure::of((0..15).map(|_| sample()).collect())
}
