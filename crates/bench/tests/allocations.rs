//! The allowed path of a call that reads kernel state asks the system for no memory.

use libos_abi::{ObjectId, Syscall, clock, object, process};
use libos_bench::{
    allocator::{Counting, count},
    stage::{Stage, allow, note},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls in one quantum. The quantum before it was as long, so that every table has its size.
const CALLS: usize = 64;

/// The allocations of each call of a quantum, after a warm-up.
fn allocations(call: impl Fn(ObjectId) -> Syscall) -> Vec<u64> {
    let mut stage = Stage::new();
    stage.launch(&[allow("clock:*", &["read"]), allow("object:*", &["read"])]);
    let mut run = stage.start().expect("a process was launched");
    let id = stage.call(&mut run, note()).id;
    let mut counts = Vec::new();
    for _ in 0..3 {
        run = stage.next_quantum(run).expect("it is the only process");
        counts.clear();
        for _ in 0..CALLS {
            run.step += 1;
            let (from, call) = (run.submitter(), call(id));
            counts.push(count(|| stage.submit(from, call)).1);
            stage.reply().expect("it does not wait").expect("it is allowed");
        }
    }
    counts
}

#[test]
fn a_no_op_call_allocates_nothing() {
    assert_eq!(allocations(|_| process::GetCwd {}.into()), [0; CALLS]);
}

#[test]
fn a_read_of_an_object_allocates_nothing() {
    assert_eq!(allocations(|id| object::Stat { id }.into()), [0; CALLS]);
}

#[test]
fn a_look_at_the_clock_allocates_nothing() {
    assert_eq!(allocations(|_| clock::GetNow {}.into()), [0; CALLS]);
}

#[test]
fn allocations_are_counted() {
    assert_eq!(count(|| vec![1_u8; 100]).1, 1);
    assert_eq!(count(|| 100).1, 0);
}
