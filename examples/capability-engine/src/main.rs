//! The capability engine alone, in a program that asks it who may do what.
//!
//! The engine decides on calls of the system call table and performs none: here a build tool gives
//! its workers what they need, and takes it back.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;

use libos_abi::{
    CapId, Demand, Event, Fault, GrantSpec, Label, OpId, Pid, Principal, Reply, Syscall,
    capability, fs,
};
use libos_capability::Capabilities;
use libos_port::{Authority, Caller, Component, Context, Decision, Query, Stop};
use serde_json::json;

/// The surroundings of a call: who makes it, and where its events go.
struct Desk {
    caller: Caller,
    journal: Vec<Event>,
}

impl Context for Desk {
    fn now_ms(&self) -> u64 {
        0
    }
    fn caller(&self) -> &Caller {
        &self.caller
    }
    fn op(&self) -> OpId {
        OpId(0)
    }
    fn started_ms(&self) -> u64 {
        0
    }
    fn emit(&mut self, event: Event) {
        self.journal.push(event);
    }
    fn send(&mut self, call: Syscall) -> Result<Reply, libos_abi::Error> {
        // The engine imports nothing: it never asks.
        Err(Fault::Unsupported { call: call.info().name.into() }.into())
    }
}

/// Makes a call as the host's operator.
fn call(
    engine: &mut Capabilities,
    desk: &mut Desk,
    call: impl Into<Syscall>,
) -> Result<Reply, Box<dyn Error>> {
    engine.begin();
    engine.call(desk, &call.into()).map_err(|stop| {
        engine.rollback();
        match stop {
            Stop::Error(error) => error.to_string().into(),
            other => format!("{other:?}").into(),
        }
    })
}

/// What a process may do with a file.
fn may(engine: &Capabilities, pid: u64, call: impl Into<Syscall>) -> &'static str {
    let call = call.into();
    let Demand::Rights(needs) = call.demand() else { return "yes: it needs no right" };
    let decision = engine.decide(&Query {
        subject: Pid(pid),
        ancestors: &[],
        needs: &needs,
        call: &call,
        digest: &|| call.digest(),
        op: OpId(0),
        label: Label::BOTTOM,
        now_ms: 0,
    });
    match decision {
        Decision::Allow { .. } => "yes",
        Decision::Ask { .. } => "only if a human says so",
        Decision::Deny(_) => "no",
    }
}

fn read(path: &str) -> fs::Read {
    fs::Read { path: path.into(), max_bytes: None }
}

fn write(path: &str) -> fs::Write {
    fs::Write { path: path.into(), text: "x".into(), overwrite: None, expected_digest: None }
}

fn grants(list: serde_json::Value) -> Result<Vec<GrantSpec>, serde_json::Error> {
    serde_json::from_value(list)
}

fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let mut engine = Capabilities::new();
    let operator = Principal::Host("ada".into());
    let caller = Caller { principal: operator, admission: None };
    let mut desk = Desk { caller, journal: Vec::new() };
    let mut said = Vec::new();

    for grant in grants(json!([
        { "on": "fs:src/*", "rights": ["read", "write"], "delegable": 1 },
        { "on": "fs:src/keys/*", "rights": ["read"], "effect": "deny" },
        { "on": "fs:src/main.rs", "rights": ["write"], "effect": "ask" },
    ]))? {
        call(&mut engine, &mut desk, capability::Grant { to: Pid(1), grant })?;
    }
    said.push(format!("1 reads src/lib.rs: {}", may(&engine, 1, read("src/lib.rs"))));
    said.push(format!("1 reads src/keys/a: {}", may(&engine, 1, read("src/keys/a"))));
    said.push(format!("1 writes src/main.rs: {}", may(&engine, 1, write("src/main.rs"))));

    // A worker gets a part of it. What is denied to the giver comes along.
    let part = grants(json!([{ "on": "fs:src/*", "rights": ["read"] }]))?;
    let derive = capability::Derive { parent: Pid(1), child: Pid(2), grants: part };
    call(&mut engine, &mut desk, derive)?;
    said.push(format!("2 reads src/lib.rs: {}", may(&engine, 2, read("src/lib.rs"))));
    said.push(format!("2 reads src/keys/a: {}", may(&engine, 2, read("src/keys/a"))));
    said.push(format!("2 writes src/lib.rs: {}", may(&engine, 2, write("src/lib.rs"))));
    let wider = grants(json!([{ "on": "fs:*", "rights": ["read"] }]))?;
    let derive = capability::Derive { parent: Pid(1), child: Pid(3), grants: wider };
    let refused = call(&mut engine, &mut desk, derive);
    said.push(format!("3 gets everything: {}", if refused.is_ok() { "yes" } else { "no" }));

    // What is taken back from the giver is gone for the worker.
    let revoke = capability::Revoke { capability: CapId(1), reason: None };
    call(&mut engine, &mut desk, revoke)?;
    said.push(format!("2 reads src/lib.rs: {}", may(&engine, 2, read("src/lib.rs"))));

    // The events are all there is to keep.
    let mut again = Capabilities::new();
    desk.journal.iter().for_each(|event| again.apply(event));
    said.push(format!(
        "folded from {} events: {}",
        desk.journal.len(),
        again.digest() == engine.digest()
    ));
    Ok(said)
}

fn main() -> Result<(), Box<dyn Error>> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_may_do_what() {
        assert_eq!(
            run().unwrap(),
            [
                "1 reads src/lib.rs: yes",
                "1 reads src/keys/a: no",
                "1 writes src/main.rs: only if a human says so",
                "2 reads src/lib.rs: yes",
                "2 reads src/keys/a: no",
                "2 writes src/lib.rs: no",
                "3 gets everything: no",
                "2 reads src/lib.rs: no",
                "folded from 7 events: true",
            ]
        );
    }
}
