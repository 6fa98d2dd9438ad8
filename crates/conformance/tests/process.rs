//! Parts in another process keep their contracts, and one that is killed holds nobody up.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "helpers of tests panic like the tests, and start the process"
)]

use std::{
    cell::RefCell,
    process::{Child, Command, Stdio},
    rc::Rc,
};

use libos_abi::{DenyReason, Digest, Error, Fault, OpId};
use libos_bindings::{
    RemoteAuthority, RemoteComponent, RemoteProvider,
    wire::{self, Stream},
};
use libos_conformance::{Kernel, host, process, suite, text};
use libos_port::{Authority, Decision, EffectOutcome, Order, Provider, Reconciled, Stop};

suite!(capability as reference, || leave(authority()));
suite!(clock, || leave(component()));
suite!(fs, || leave(provider("fs")));
suite!(shell, || leave(provider("shell")));

/// A toy in a process of its own, with the stream to it.
fn toy(name: &str) -> (Stream, Child) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_libos-conformance"))
        .args(["serve", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    (Stream::new(stdout, stdin), child)
}

fn authority() -> (RemoteAuthority, Child) {
    let (stream, child) = toy("capability");
    (wire::authority(stream).unwrap(), child)
}

fn component() -> (RemoteComponent, Child) {
    let (stream, child) = toy("clock");
    (wire::component(stream).unwrap(), child)
}

fn provider(name: &str) -> (RemoteProvider, Child) {
    let (stream, child) = toy(name);
    (wire::provider(stream).unwrap(), child)
}

/// The part alone: its process ends when it is dropped.
fn leave<P>((part, mut child): (P, Child)) -> P {
    std::thread::spawn(move || child.wait());
    part
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_ends_with_the_near_end_of_its_part() {
    let (part, mut child) = component();
    drop(part);
    assert!(child.wait().unwrap().success());
}

fn closed(op: OpId) -> Error {
    Fault::ProviderFailed { kind: "binding.closed".into(), op }.into()
}

#[test]
fn a_killed_process_ends_every_call_in_a_fault() {
    let (part, child) = authority();
    let part = Rc::new(RefCell::new(Some(part)));
    let take = move || {
        let part = part.borrow_mut().take();
        // The second one folds the events; nobody kills it.
        Box::new(part.unwrap_or_else(|| leave(authority()))) as Box<dyn Authority>
    };
    let mut kernel = Kernel::new(Rc::new(take));
    let grant = r#"capability.grant {"to":"p1","grant":{"on":"fs:*","rights":["read"]}}"#;
    assert_eq!(kernel.code(host(), text::call(grant)), "ok");
    let read = text::call(r#"fs.read {"path":"workspace/a"}"#);
    let is_allowed = |decision| matches!(decision, Decision::Allow { .. });
    assert!(is_allowed(kernel.decision(process(1), &[], &read)));
    kill(child);
    kernel.is_strict = false;
    for _ in 0..3 {
        let ended = kernel.serve(host().op(7), text::call(grant));
        assert_eq!(ended, Err(Stop::Error(closed(OpId(7)))));
        let Decision::Deny(denial) = kernel.decision(process(1), &[], &read) else {
            panic!("it still allows")
        };
        assert_eq!(denial.reason, DenyReason::NoGrant);
        assert_eq!(kernel.part.digest(), Digest::default());
    }
}

fn order(call: &str) -> Order {
    Order::alone(OpId(5), text::call(call))
}

#[tokio::test]
async fn an_effect_under_way_in_a_killed_process_has_an_unknown_outcome() {
    let (part, child) = provider("shell");
    let ended = part.perform(order(r#"shell.run {"argv":["echo","a"]}"#)).await;
    assert!(matches!(ended, EffectOutcome::Done(_)), "{ended:?}");
    let sleep = part.perform(order(r#"shell.run {"argv":["sleep","60"]}"#));
    let (ended, ()) = tokio::join!(sleep, async { kill(child) });
    assert!(matches!(ended, EffectOutcome::Unknown(_)), "{ended:?}");
    // Nothing can have begun, and nobody knows what began before.
    let ended = part.perform(order(r#"shell.run {"argv":["true"]}"#)).await;
    assert_eq!(ended, EffectOutcome::NotStarted(closed(OpId(5))));
    let asked = part.reconcile(order(r#"shell.run {"argv":["true"]}"#)).await;
    assert_eq!(asked, Reconciled::Unknown);
}
