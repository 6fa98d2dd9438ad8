//! Every interleaving of senders and taker, explored with loom:
//! `cargo test -p libos-bindings --features loom --test handover --release`.
#![cfg(feature = "loom")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test panics")]

use libos_bindings::inbox::{Empty, inbox};
use loom::thread;

/// Explores a model with at most three preemptions: nearly every fault of this kind shows with two
/// (Musuvathi and Qadeer, "Iterative Context Bounding").
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn no_message_is_lost_and_no_wake_up_is_missed() {
    explore(|| {
        let (sender, mut inbox) = inbox();
        let other = sender.clone();
        let one = thread::spawn(move || sender.send(1).unwrap());
        let two = thread::spawn(move || other.send(2).unwrap());
        // A missed wake-up would leave the taker asleep for ever, which loom reports.
        let mut taken = [inbox.take().unwrap(), inbox.take().unwrap()];
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        assert_eq!(inbox.take(), Err(Empty::Closed));
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn messages_of_one_sender_come_in_order() {
    explore(|| {
        let (sender, mut inbox) = inbox();
        let thread = thread::spawn(move || {
            sender.send(1).unwrap();
            sender.send(2).unwrap();
        });
        assert_eq!((inbox.take(), inbox.take()), (Ok(1), Ok(2)));
        assert_eq!(inbox.take(), Err(Empty::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn a_message_to_nobody_comes_back() {
    explore(|| {
        let (sender, inbox) = inbox();
        let thread = thread::spawn(move || sender.send(1));
        drop(inbox);
        // Sent before the end or refused after it, never kept in between.
        assert!(matches!(thread.join().unwrap(), Ok(()) | Err(1)));
    });
}
