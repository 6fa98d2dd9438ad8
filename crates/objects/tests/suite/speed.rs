//! How long calls take. `cargo test --release -p libos-objects -- --ignored --nocapture`

use std::{hint::black_box, time::Duration};

use libos_abi::{
    CapId, Error, Event, OpId, Reply, Syscall, capability,
    object::{Read, Stat},
    process::OnConflict,
};
use libos_objects::Objects;
use libos_port::{Caller, Component, Context};
use serde_json::json;

use crate::{
    cost::sized,
    make::{append, create, fork, id, merge, update},
    rig::process,
};

/// A kernel that grants everything and keeps nothing.
struct Quiet(Caller);

impl Context for Quiet {
    fn now_ms(&self) -> u64 {
        1
    }
    fn caller(&self) -> &Caller {
        &self.0
    }
    fn op(&self) -> OpId {
        OpId(1)
    }
    fn started_ms(&self) -> u64 {
        1
    }
    fn emit(&mut self, event: Event) {
        black_box(event);
    }
    fn send(&mut self, _: Syscall) -> Result<Reply, Error> {
        Ok(capability::Reply::Issue(capability::Granted { capability: CapId(1) }).into())
    }
}

fn serve(part: &mut Objects, cx: &mut Quiet, call: impl Into<Syscall>) {
    part.begin();
    black_box(part.call(cx, &call.into())).unwrap();
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it tells what a clock says")]
fn nanos(name: &str, count: u64, rounds: u32, mut call: impl FnMut(u32)) {
    let start = std::time::Instant::now();
    (0..rounds).for_each(&mut call);
    let all: Duration = start.elapsed();
    println!(
        "{count:>7} objects, {name:<28} {:>8.0} ns",
        all.as_nanos() as f64 / f64::from(rounds)
    );
}

#[test]
#[ignore = "a measurement, not a check"]
fn nanoseconds_per_call() {
    for count in [100, 10_000, 1_000_000] {
        let part = &mut sized(count);
        let cx = &mut Quiet(Caller { principal: process(1), admission: None });
        let it = id(1, count / 2);
        let mut time = |name, rounds, call: Syscall| {
            nanos(name, count, rounds, |_| serve(part, cx, call.clone()));
        };
        time("read", 100_000, Read { id: it }.into());
        time("stat", 100_000, Stat { id: it }.into());
        time("update", 100_000, update(it, &json!([1])).into());
        time("append", 10_000, append(it, &json!(1)).into());
        time("create", 100_000, create("new", &json!(1)).into());
        let child = |n: u32| 10 + u64::from(n);
        nanos("fork", count, 10_000, |n| serve(part, cx, fork(1, child(n))));
        nanos("first update after it", count, 10_000, |n| {
            serve(part, cx, update(id(child(n), count / 2), &json!(1)));
        });
        nanos("merge of one change", count, 10_000, |n| {
            serve(part, cx, merge(child(n), 1, OnConflict::Child));
        });
    }
}
