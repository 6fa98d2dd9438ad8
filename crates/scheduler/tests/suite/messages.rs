//! Messages: letters, interrupts, and what answers what.

use libos_abi::{
    Json, MessageId, Pid, Text,
    message::{self, MessageKind, Messages},
    process::{Budget, Wait, WaitOn},
};
use libos_port::{Component, Stop};

use crate::rig::{HOST, ONE, Rig, code, exit, interrupt, peek, receive, send};

fn bodies(messages: Messages) -> Vec<String> {
    messages.messages.iter().map(|message| message.body.as_str().unwrap().to_owned()).collect()
}

#[test]
fn messages_arrive_once_and_in_order() {
    let mut rig = Rig::default();
    let a = rig.launch(Budget::default());
    let b = rig.launch(Budget::default());
    assert_eq!(code(&rig.call(HOST, receive(None))), "bad_message");
    assert_eq!(code(&rig.call(Some(b), receive(Some(0)))), "timed_out");
    assert_eq!(
        rig.call(Some(b), receive(Some(50))),
        Err(Stop::Wait(Wait { on: WaitOn::Message(b), until_ms: Some(1_050) }))
    );
    rig.call(Some(a), send(b, "one")).unwrap();
    let mut tagged = send(b, "two");
    tagged.subject = Some("tag".into());
    rig.call(HOST, tagged).unwrap();
    rig.call(Some(b), send(b, "three")).unwrap();
    let mut only = receive(Some(0));
    only.subject = Some("tag".into());
    only.from = Some(a);
    assert_eq!(code(&rig.call(Some(b), only.clone())), "timed_out");
    only.from = None;
    let got = rig.call(Some(b), only).unwrap();
    assert_eq!((got.messages[0].from, got.messages[0].sent_at_ms), (None, 1_000));
    assert_eq!(bodies(got), ["two"]);
    let mut one = receive(Some(0));
    one.limit = Some(1);
    assert_eq!(bodies(rig.call(Some(b), one.clone()).unwrap()), ["one"]);
    // Served again after its deadline, with a message there, it takes the message.
    rig.kernel.now_ms = 5_000;
    assert_eq!(bodies(rig.again(Some(b), receive(Some(50))).unwrap()), ["three"]);
    assert_eq!(code(&rig.again(Some(b), receive(Some(0)))), "timed_out");
    one.limit = Some(0);
    assert_eq!(code(&rig.call(Some(b), one)), "bad_message");
    rig.check_fold();
}

#[test]
fn mailboxes_and_messages_are_limited() {
    let mut rig = Rig::default();
    let a = rig.launch(Budget::default());
    let b = rig.launch(Budget::default());
    let mut subject = send(b, "");
    subject.subject = Some("x".repeat(513));
    let body = send(b, &"x".repeat((32 << 10) + 1));
    let mut payload = send(b, "");
    payload.payload = Some(Json(Text::from("1".repeat((128 << 10) + 1))));
    let channel = message::Send { channel: Some("x".repeat(129)), ..send(b, "") };
    let correlation = message::Send { correlation: Some("x".repeat(129)), ..send(b, "") };
    let interrupt = interrupt(b, &"x".repeat(4_096));
    for call in [subject, body, payload, channel, correlation, interrupt] {
        assert_eq!(code(&rig.call(Some(a), call)), "limit");
    }
    for _ in 0..1_024 {
        rig.call(Some(a), send(b, "x")).unwrap();
    }
    assert_eq!(code(&rig.call(Some(a), send(b, "x"))), "mailbox_full");
    assert_eq!(code(&rig.call(HOST, send(b, "x"))), "mailbox_full");
    assert_eq!(rig.call(Some(b), receive(None)).unwrap().messages.len(), 100);
    rig.call(Some(a), send(b, "x")).unwrap();
    let mut all = receive(None);
    all.limit = Some(5_000);
    assert_eq!(rig.call(Some(b), all).unwrap().messages.len(), 100, "one reply is one frame");
    for left in (0..=825).rev().step_by(100).take(9) {
        let taken = rig.call(Some(b), receive(None)).unwrap().messages.len();
        assert_eq!(taken, 100.min(left));
    }
    rig.call(Some(a), send(b, "x")).unwrap();
    rig.call(Some(b), exit()).unwrap();
    assert_eq!(code(&rig.call(Some(a), send(b, "x"))), "receiver_ended");
    assert_eq!(code(&rig.call(Some(a), send(Pid(99), "x"))), "receiver_ended");
    assert_eq!(code(&rig.call(Some(b), send(a, "x"))), "no_process");
    assert_eq!(code(&rig.call(Some(b), receive(None))), "no_process");
    rig.check_fold();
}

#[test]
fn letters_are_found_by_channel_correlation_and_what_they_answer() {
    let mut rig = Rig::default();
    let (a, b) = (rig.launch(Budget::default()), rig.launch(Budget::default()));
    let asked = message::Send {
        channel: Some("work".into()),
        correlation: Some("job-7".into()),
        ..send(b, "asked")
    };
    let asked = rig.call(Some(a), asked).unwrap().id;
    rig.call(Some(a), send(b, "plain")).unwrap();
    let on = |channel: &str| message::Receive { channel: Some(channel.into()), ..receive(Some(0)) };
    assert_eq!(code(&rig.call(Some(b), on("play"))), "timed_out");
    let other = message::Receive { correlation: Some("job-8".into()), ..on("work") };
    assert_eq!(code(&rig.call(Some(b), other)), "timed_out");
    let this = message::Receive { correlation: Some("job-7".into()), ..on("work") };
    let got = rig.call(Some(b), this).unwrap().messages.remove(0);
    assert_eq!(
        (got.id, got.channel.as_deref(), got.kind),
        (asked, Some("work"), MessageKind::Letter)
    );
    assert_eq!(got.correlation.as_deref(), Some("job-7"));

    rig.call(Some(b), send(a, "aside")).unwrap();
    let answer = message::Send { reply_to: Some(asked), ..send(a, "answer") };
    rig.call(Some(b), answer).unwrap();
    let answers = message::Receive { reply_to: Some(asked), ..receive(Some(0)) };
    let got = rig.call(Some(a), answers.clone()).unwrap();
    assert_eq!(got.messages[0].reply_to, Some(asked));
    assert_eq!(bodies(got), ["answer"]);
    assert_eq!(code(&rig.call(Some(a), answers)), "timed_out");
    assert_eq!(bodies(rig.call(Some(a), receive(None)).unwrap()), ["aside"]);
    rig.check_fold();
}

#[test]
fn an_answer_names_a_message_that_came_from_its_receiver() {
    let mut rig = Rig::default();
    let pids: Vec<Pid> = (0..3).map(|_| rig.launch(Budget::default())).collect();
    let (a, b, c) = (pids[0], pids[1], pids[2]);
    let answer = |to, id| message::Send { reply_to: Some(id), ..send(to, "answer") };
    let first = rig.call(Some(a), send(b, "first")).unwrap().id;
    let hosts = rig.call(HOST, send(b, "from the host")).unwrap().id;
    assert_eq!(code(&rig.call(Some(b), answer(a, first))), "ok", "it is in the mailbox");
    for (by, to, id) in [
        (Some(b), c, first),
        (Some(c), a, first),
        (Some(a), b, first),
        (Some(b), a, hosts),
        (Some(b), a, MessageId(99)),
    ] {
        assert_eq!(code(&rig.call(by, answer(to, id))), "not_received");
    }
    assert_eq!(code(&rig.call(HOST, answer(a, first))), "ok", "the host has no mailbox");
    rig.call(Some(b), receive(None)).unwrap();
    assert_eq!(code(&rig.call(Some(b), answer(a, first))), "ok", "it was in the mailbox");
    assert_eq!(code(&rig.call(Some(b), answer(c, first))), "not_received");
    // An interrupt can be answered like a letter.
    let urgent = rig.call(Some(a), interrupt(b, "urgent")).unwrap().id;
    rig.call(HOST, message::TakeInterrupt { pid: b }).unwrap();
    assert_eq!(code(&rig.call(Some(b), answer(a, urgent))), "ok");
    // The last 64 from processes are remembered.
    for _ in 0..63 {
        rig.call(Some(c), send(b, "x")).unwrap();
        rig.call(HOST, send(b, "does not count")).unwrap();
        rig.call(Some(b), receive(None)).unwrap();
    }
    assert_eq!(code(&rig.call(Some(b), answer(a, urgent))), "ok");
    assert_eq!(code(&rig.call(Some(b), answer(a, first))), "not_received", "too long ago");
    rig.check_fold();
}

#[test]
fn an_interrupt_is_delivered_by_itself_and_a_letter_by_receive() {
    let mut rig = Rig::default();
    let (a, b) = (rig.launch(Budget::default()), rig.launch(Budget::default()));
    let run = rig.run(b);
    let take = message::TakeInterrupt { pid: b };
    rig.call(Some(a), send(b, "letter")).unwrap();
    assert!(!rig.admit(b, run, ONE).unwrap().interrupted, "a letter interrupts nobody");
    assert_eq!(rig.call(HOST, take.clone()).unwrap(), None);
    rig.call(Some(a), interrupt(b, "first")).unwrap();
    rig.call(HOST, interrupt(b, "second")).unwrap();
    assert_eq!(rig.info(b).unread, 3);
    assert!(rig.admit(b, run, ONE).unwrap().interrupted);
    assert_eq!(bodies(rig.call(Some(b), peek()).unwrap()), ["letter"]);
    assert_eq!(bodies(rig.call(Some(b), receive(None)).unwrap()), ["letter"]);
    assert_eq!(code(&rig.call(Some(b), receive(Some(0)))), "timed_out");
    for (from, body) in [(Some(a), "first"), (None, "second")] {
        let message = rig.call(HOST, take.clone()).unwrap().unwrap();
        assert_eq!((message.from, message.body), (from, Text::from(body)));
        assert_eq!(message.kind, MessageKind::Interrupt);
    }
    assert_eq!(rig.call(HOST, take.clone()).unwrap(), None, "each once");
    assert!(!rig.admit(b, run, ONE).unwrap().interrupted);

    let laden = message::Send { payload: Some(Json(Text::from("1"))), ..interrupt(b, "x") };
    assert_eq!(code(&rig.call(Some(a), laden)), "bad_message");
    assert_eq!(code(&rig.call(Some(a), interrupt(b, &"x".repeat(4_095)))), "ok");
    for _ in 1..16 {
        rig.call(Some(a), interrupt(b, "x")).unwrap();
    }
    assert_eq!(code(&rig.call(Some(a), interrupt(b, "x"))), "mailbox_full");
    assert_eq!(code(&rig.call(Some(a), send(b, "x"))), "ok", "letters have room");
    rig.call(Some(b), exit()).unwrap();
    assert_eq!(rig.call(HOST, take).unwrap(), None);
    assert_eq!(code(&rig.call(Some(a), interrupt(b, "x"))), "receiver_ended");
    rig.check_fold();
}

#[test]
fn peek_leaves_letters_where_they_are() {
    let mut rig = Rig::default();
    let (a, b) = (rig.launch(Budget::default()), rig.launch(Budget::default()));
    assert!(bodies(rig.call(Some(b), peek()).unwrap()).is_empty(), "it does not wait");
    for (from, channel, body) in [(HOST, None, "one"), (Some(a), Some("c"), "two")] {
        let letter = message::Send { channel: channel.map(str::to_owned), ..send(b, body) };
        rig.call(from, letter).unwrap();
    }
    let digest = rig.scheduler.digest();
    assert_eq!(bodies(rig.call(Some(b), peek()).unwrap()), ["one", "two"]);
    let from = message::Peek { from: Some(a), ..peek() };
    assert_eq!(bodies(rig.call(Some(b), from).unwrap()), ["two"]);
    let on = message::Peek { channel: Some("c".into()), ..peek() };
    assert_eq!(bodies(rig.call(Some(b), on).unwrap()), ["two"]);
    let on = message::Peek { channel: Some("d".into()), ..peek() };
    assert!(bodies(rig.call(Some(b), on).unwrap()).is_empty());
    let one = message::Peek { limit: Some(1), ..peek() };
    assert_eq!(bodies(rig.call(Some(b), one).unwrap()), ["one"]);
    assert_eq!((rig.scheduler.digest(), rig.info(b).unread), (digest, 2));
    assert_eq!(code(&rig.call(HOST, peek())), "bad_message");
    assert_eq!(code(&rig.call(Some(Pid(9)), peek())), "no_process");
    for _ in 0..200 {
        rig.call(HOST, send(b, "x")).unwrap();
    }
    let all = message::Peek { limit: Some(5_000), ..peek() };
    assert_eq!(rig.call(Some(b), all).unwrap().messages.len(), 100, "one reply is one frame");
}
