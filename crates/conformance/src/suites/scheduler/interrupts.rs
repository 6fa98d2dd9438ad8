//! Interrupts, looks into the mailbox, and answers.

use libos_abi::{
    message::{self, MessageKind},
    process::{ProcessState, Signal},
};
use serde_json::{Value, json};

use super::{Table, bodies, child, info, receive, root, send, signal};
use crate::{host, text};

fn interrupt(to: libos_abi::Pid, body: &str) -> message::Send {
    message::Send { kind: Some(MessageKind::Interrupt), ..send(to, body) }
}

fn peek(with: Value) -> message::Peek {
    text::from(with)
}

pub(super) fn a_cancelled_process_is_interrupted_and_lives(k: &mut Table) {
    let parent = root(k);
    let one = child(k, parent);
    k.ok(parent, signal(one, Signal::Cancel));
    assert_eq!(info(k, one).state, ProcessState::Runnable);
    let taken = k.ok(host(), message::TakeInterrupt { pid: one }).expect("it is interrupted");
    assert_eq!((taken.from, taken.to, taken.kind), (Some(parent), one, MessageKind::Interrupt));
    assert!(taken.body.as_str().unwrap_or_default().contains("because"), "{:?}", taken.body);
    assert_eq!(k.ok(host(), message::TakeInterrupt { pid: one }), None);
}

pub(super) fn an_interrupt_stands_beside_the_letters(k: &mut Table) {
    let [a, b] = [root(k), root(k)];
    k.ok(a, interrupt(b, "stop"));
    assert_eq!(k.code(b, receive(None)), "wait", "an interrupt is no letter");
    k.ok(a, send(b, "one"));
    k.ok(host(), message::Send { channel: Some("c".into()), ..send(b, "two") });
    // Looking takes nothing.
    for _ in 0..2 {
        assert_eq!(bodies(k.ok(b, peek(json!({})))), ["one", "two"]);
    }
    assert_eq!(bodies(k.ok(b, peek(json!({ "channel": "c" })))), ["two"]);
    assert_eq!(bodies(k.ok(b, peek(json!({ "from": a, "limit": 1 })))), ["one"]);
    assert_eq!(bodies(k.ok(b, receive(None))), ["one", "two"]);
    assert!(bodies(k.ok(b, peek(json!({})))).is_empty());
    let taken = k.ok(host(), message::TakeInterrupt { pid: b }).expect("it waits still");
    assert_eq!(taken.body.as_str(), Some("stop"));
    let data = message::Send { payload: Some(libos_abi::Json::default()), ..interrupt(b, "x") };
    assert_eq!(k.refused(a, data).0, "bad_message");
}

pub(super) fn an_answer_names_a_message_that_was_really_there(k: &mut Table) {
    let [a, b, c] = [root(k), root(k), root(k)];
    let asked = k.ok(a, send(b, "how many?")).id;
    let answer = |to, reply_to| message::Send { reply_to: Some(reply_to), ..send(to, "three") };
    assert_eq!(k.refused(c, answer(a, asked)).0, "not_received", "it was not sent to it");
    k.ok(b, receive(None));
    assert_eq!(k.refused(b, answer(c, asked)).0, "not_received", "it did not come from there");
    k.ok(b, answer(a, asked));
    let wanted: message::Receive = text::from(json!({ "reply_to": asked, "timeout_ms": 0 }));
    let [got] = &k.ok(a, wanted).messages[..] else { panic!("one answer") };
    assert_eq!((got.reply_to, got.from), (Some(asked), Some(b)));
    let nothing = libos_abi::MessageId(999_999);
    assert_eq!(k.refused(b, answer(a, nothing)).0, "not_received");
}
