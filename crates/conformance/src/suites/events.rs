//! Events a process can wait for: service `event`.

use libos_abi::{
    Effect, Event, ObjectId, Pid, Resource, Right,
    events::{self, EventKind, Events, Happened, Occurrence},
    process::{Wait, WaitOn},
};
use libos_port::{Component, Stop};
use serde_json::{Value, json};

use crate::{By, Factory, Kernel, host, process, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! events_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args events
            case a_process_is_told_what_it_subscribed_to
                holds "I-13"
                shows "event.subscribe ok, event.publish ok, event.wait ok, event.read ok";
            case of_an_object_only_those_are_told_who_may_read_it
                holds "I-13" shows "event.subscribe needs_object, event.publish ok";
            case a_wait_wakes_with_the_next_event
                holds "I-21, I-22" shows "event.wait wait, event.wait ok, event.wait timed_out";
            case a_cursor_moves_when_events_are_taken_and_not_when_they_are_looked_at
                holds "I-22" shows "event.read ok, event.wait ok";
            case subscriptions_are_listed_and_ended
                holds "I-08"
                shows "event.subscriptions ok, event.unsubscribe ok, event.subscribe too_many";
            case what_is_not_read_in_time_is_dropped_and_counted
                holds "I-34" shows "event.read ok";
            case the_end_of_a_process_ends_its_subscriptions
                holds "I-27" shows "event.end ok";
            case a_host_has_no_events_of_its_own
                holds "I-08" shows "event.subscribe bad_message, event.read ok";
            case events_survive_a_crash
                holds "I-34" shows "event.wait ok";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

events_cases! { contract [Kernel<dyn Component>: "event"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Board = Kernel<dyn Component>;

fn subscribe(kinds: &[EventKind], object: Option<ObjectId>) -> events::Subscribe {
    events::Subscribe { kinds: kinds.to_vec(), object }
}

fn publish(of: u64, what: Happened) -> events::Publish {
    events::Publish { of: Some(Pid(of)), what }
}

fn child_ended(pid: u64) -> Happened {
    Happened::ChildEnded { pid: Pid(pid) }
}

fn read(with: Value) -> events::ReadEvents {
    text::from(with)
}

fn wait(timeout_ms: Option<u64>) -> events::WaitEvents {
    text::from(json!({ "timeout_ms": timeout_ms }))
}

fn numbers(events: &Events) -> Vec<u64> {
    events.events.iter().map(|event| event.number).collect()
}

fn a_process_is_told_what_it_subscribed_to(k: &mut Board) {
    k.world.now_ms = 7;
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    k.ok(host(), publish(1, child_ended(2)));
    k.ok(host(), publish(1, Happened::ChildMade { pid: Pid(3) }));
    k.ok(host(), publish(9, child_ended(3)));
    let told = k.ok(process(1), read(json!({}))).events;
    assert_eq!(told, [Occurrence { number: 1, at_ms: 7, what: child_ended(2) }]);
    assert_eq!(k.ok(process(1), wait(Some(0))).events, told);
    assert!(k.ok(process(9), read(json!({}))).events.is_empty());
    assert!(k.world.sent.is_empty(), "an event gives nothing");
}

fn of_an_object_only_those_are_told_who_may_read_it(k: &mut Board) {
    let id = ObjectId::new(1, 4);
    let kinds = [EventKind::ObjectChanged, EventKind::ObjectGone];
    assert_eq!(k.refused(process(1), subscribe(&kinds, None)).0, "needs_object");
    let other = subscribe(&[EventKind::ChildEnded], Some(id));
    assert_eq!(k.refused(process(1), other).0, "bad_message");
    for pid in [1, 2] {
        k.ok(process(pid), subscribe(&kinds, Some(id)));
    }
    k.world.says(1, Right::Read, Resource::object(id), Effect::Allow);
    k.ok(host(), publish(1, Happened::ObjectChanged { id, version: 2 }));
    k.ok(host(), publish(1, Happened::ObjectChanged { id: ObjectId::new(1, 5), version: 2 }));
    assert_eq!(numbers(&k.ok(process(1), read(json!({})))), [1]);
    assert!(k.ok(process(2), read(json!({}))).events.is_empty());
}

fn a_wait_wakes_with_the_next_event(k: &mut Board) {
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    let by = || process(1).op(7);
    let until = Stop::Wait(Wait { on: WaitOn::Event(Pid(1)), until_ms: Some(50) });
    assert_eq!(k.call(by(), wait(Some(50))), Err(until));
    let forever = Stop::Wait(Wait { on: WaitOn::Event(Pid(1)), until_ms: None });
    assert_eq!(k.call(process(1), wait(None)), Err(forever));
    k.world.now_ms = 60;
    assert_eq!(k.code(by(), wait(Some(50))), "timed_out");
    k.ok(host(), publish(1, child_ended(2)));
    assert_eq!(numbers(&k.ok(process(1), wait(None))), [1]);
    assert_eq!(k.refused(process(1), wait(Some(0))).0, "timed_out");
    let nothing: events::WaitEvents = text::from(json!({ "limit": 0 }));
    assert_eq!(k.refused(process(1), nothing).0, "bad_message");
}

fn a_cursor_moves_when_events_are_taken_and_not_when_they_are_looked_at(k: &mut Board) {
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    for pid in 2..7 {
        k.ok(host(), publish(1, child_ended(pid)));
    }
    assert_eq!(numbers(&k.ok(process(1), read(json!({})))), [1, 2, 3, 4, 5]);
    let two: events::WaitEvents = text::from(json!({ "limit": 2 }));
    let taken = k.ok(process(1), two);
    assert_eq!((numbers(&taken), taken.cursor, taken.dropped), (vec![1, 2], 2, 0));
    assert_eq!(numbers(&k.ok(process(1), read(json!({ "limit": 1 })))), [3]);
    assert_eq!(numbers(&k.ok(process(1), read(json!({ "after": 4 })))), [5]);
    assert!(k.ok(process(1), read(json!({ "after": 99 }))).events.is_empty());
    assert_eq!(numbers(&k.ok(process(1), wait(None))), [3, 4, 5]);
}

fn subscriptions_are_listed_and_ended(k: &mut Board) {
    let kinds = |k: &mut Board, by: By| {
        let listed = k.ok(by, events::ListSubscriptions {}).subscriptions;
        listed.iter().map(|it| (it.kind, it.object)).collect::<Vec<_>>()
    };
    let id = ObjectId::new(1, 4);
    k.ok(process(1), subscribe(&[EventKind::ChildEnded, EventKind::MessageCame], None));
    k.ok(process(1), subscribe(&[EventKind::ObjectGone], Some(id)));
    let events = k.journal.len();
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    assert_eq!(k.journal.len(), events, "it is subscribed already");
    let all = [
        (EventKind::ChildEnded, None),
        (EventKind::MessageCame, None),
        (EventKind::ObjectGone, Some(id)),
    ];
    assert_eq!(kinds(k, process(1)), all);
    assert_eq!(kinds(k, process(2)), []);
    let end = |kinds: &[EventKind], object| events::Unsubscribe { kinds: kinds.to_vec(), object };
    k.ok(process(1), end(&[EventKind::MessageCame], None));
    assert_eq!(kinds(k, process(1)), [all[0], all[2]]);
    k.ok(host(), publish(1, Happened::MessageCame { from: None }));
    assert!(k.ok(process(1), read(json!({}))).events.is_empty());
    k.ok(process(1), end(&[], None));
    assert_eq!(kinds(k, process(1)), []);

    k.is_strict = false;
    let mut number = 0;
    while k.code(process(1), subscribe(&[EventKind::ObjectGone], Some(ObjectId::new(1, number))))
        == "ok"
    {
        number += 1;
        assert!(number < 100_000, "a process may subscribe to everything");
    }
    k.is_strict = true;
    let more = subscribe(&[EventKind::ObjectGone], Some(ObjectId::new(1, number)));
    assert_eq!(k.refused(process(1), more).0, "too_many");
}

fn what_is_not_read_in_time_is_dropped_and_counted(k: &mut Board) {
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    k.is_strict = false;
    let mut made = 0;
    let kept = loop {
        k.ok(host(), publish(1, child_ended(2)));
        made += 1;
        let seen = k.ok(process(1), read(json!({ "limit": 1 })));
        if seen.dropped > 0 {
            break seen;
        }
        assert!(made < 100_000, "everything is kept for ever");
    };
    assert_eq!((kept.dropped, numbers(&kept)), (1, vec![2]));
    k.ok(process(1), wait(None));
    assert_eq!(k.ok(process(1), read(json!({}))).dropped, 0);
}

fn the_end_of_a_process_ends_its_subscriptions(k: &mut Board) {
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    k.ok(host(), publish(1, child_ended(2)));
    k.ok(host(), events::EndSubscriber { pid: Pid(1) });
    k.ok(host(), publish(1, child_ended(3)));
    assert!(k.ok(process(1), read(json!({}))).events.is_empty());
    let count = |event: &&Event| matches!(event, Event::Subscriber(_));
    let events = k.journal.iter().filter(count).count();
    k.ok(host(), events::EndSubscriber { pid: Pid(1) });
    assert_eq!(k.journal.iter().filter(count).count(), events, "there is nothing left to end");
}

fn a_host_has_no_events_of_its_own(k: &mut Board) {
    assert_eq!(k.refused(host(), subscribe(&[EventKind::ChildEnded], None)).0, "bad_message");
    assert_eq!(k.refused(host(), wait(Some(0))).0, "bad_message");
    assert_eq!(k.refused(process(1), subscribe(&[], None)).0, "bad_message");
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    k.ok(host(), publish(1, child_ended(2)));
    // It looks at a process's.
    assert_eq!(numbers(&k.ok(host(), read(json!({ "pid": "p1" })))), [1]);
    assert_eq!(k.refused(process(2), read(json!({ "pid": "p1" }))).0, "denied");
}

fn events_survive_a_crash(k: &mut Board) {
    k.ok(process(1), subscribe(&[EventKind::ChildEnded], None));
    for pid in [2, 3] {
        k.ok(host(), publish(1, child_ended(pid)));
    }
    let one: events::WaitEvents = text::from(json!({ "limit": 1 }));
    assert_eq!(numbers(&k.ok(process(1), one)), [1]);
    k.recover();
    k.ok(host(), publish(1, child_ended(4)));
    assert_eq!(numbers(&k.ok(process(1), wait(None))), [2, 3]);
}

fn what_it_does_not_serve_is_unsupported(k: &mut Board) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
