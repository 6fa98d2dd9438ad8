//! Calls that read kernel state, from the thread that holds the kernel.

use std::hint::black_box;

use libos_abi::{ObjectId, Syscall, clock, object, process};

use crate::{
    allocator::count,
    measure::{Scale, by_turns, each},
    report::{Row, Target, Unit},
    stage::{Run, Stage, allow, note},
};

/// A call about an object.
type Make = fn(ObjectId) -> Syscall;

/// Calls in one quantum, which is one sample.
const CALLS: usize = 64;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut stage = Stage::new();
    stage.launch(&[allow("clock:*", &["read"]), allow("object:*", &["read"])]);
    let mut run = stage.start().expect("a process was launched");
    let id = stage.call(&mut run, note()).id;
    let calls: [(&str, &str, Make); 4] = [
        ("syscall.noop", "no-op through the whole broker (process.cwd)", |_| {
            process::GetCwd {}.into()
        }),
        ("syscall.clock", "read of the time (clock.now)", |_| clock::GetNow {}.into()),
        ("syscall.stat", "read about an object (object.stat)", |id| object::Stat { id }.into()),
        ("syscall.read", "read of an object (object.read)", |id| object::Read { id }.into()),
    ];
    let measure = |(name, what, call): (&str, &str, Make)| {
        let mut allocations = 0;
        let ours = || {
            run = stage.next_quantum(run).expect("it is the only process");
            let calls: Vec<Syscall> = (0..CALLS).map(|_| call(id)).collect();
            let (time, asked) = count(|| quantum(&mut stage, &mut run, calls));
            allocations = asked;
            time
        };
        let (floor, ours) = by_turns(scale.rounds(201), virtual_calls, ours);
        Row::new(name, what, Unit::Nanoseconds, ours)
            .floor("virtual call, 100 B each way", floor)
            .allocations(allocations as f64 / CALLS as f64)
            .target(Target::at_most(600.0).without_allocations())
    };
    Ok(calls.into_iter().map(measure).collect())
}

/// Makes calls as the steps of one quantum; the nanoseconds of each.
fn quantum(stage: &mut Stage, run: &mut Run, calls: Vec<Syscall>) -> f64 {
    let count = calls.len();
    let mut calls = calls.into_iter();
    let time = each(count, |_| {
        run.step += 1;
        if let Some(call) = calls.next() {
            stage.submit(run.submitter(), call);
        }
    });
    let outcome = stage.reply().expect("it does not wait");
    outcome.unwrap_or_else(|error| panic!("it is allowed: {error}"));
    time
}

trait Bare {
    fn call(&mut self, request: &[u8; 100]) -> [u8; 100];
}

struct Echo(u8);

impl Bare for Echo {
    fn call(&mut self, request: &[u8; 100]) -> [u8; 100] {
        let mut reply = *request;
        reply[0] ^= self.0;
        self.0 = self.0.wrapping_add(1);
        reply
    }
}

fn virtual_calls() -> f64 {
    let mut bare: Box<dyn Bare> = black_box(Box::new(Echo(0)));
    let request = [7; 100];
    each(CALLS * 100, |_| {
        black_box(bare.call(black_box(&request)));
    })
}
