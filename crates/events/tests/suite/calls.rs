//! Every call, with what it refuses.

use libos_abi::{
    CapId, Effect, Millis, ObjectId, Pid, RequestId, Resource, Right, Syscall,
    events::{
        EndSubscriber, EventKind, Events as Given, Happened, ListSubscriptions, Publish,
        ReadEvents, Subscribe, Subscription, Unsubscribe, WaitEvents,
    },
    process::{Wait, WaitOn},
};
use libos_events::{Events, Limits, QUEUE_MAX};
use libos_port::Stop;

use crate::rig::{Kernel, host, process};

type Board = Kernel<Events>;

fn id(number: u64) -> ObjectId {
    ObjectId::new(9, number)
}

fn subscribe(kinds: &[EventKind]) -> Subscribe {
    Subscribe { kinds: kinds.to_vec(), object: None }
}

fn watch(number: u64, kinds: &[EventKind]) -> Subscribe {
    Subscribe { kinds: kinds.to_vec(), object: Some(id(number)) }
}

fn unsubscribe(kinds: &[EventKind], object: Option<ObjectId>) -> Unsubscribe {
    Unsubscribe { kinds: kinds.to_vec(), object }
}

fn publish(of: u64, what: Happened) -> Publish {
    Publish { of: Some(Pid(of)), what }
}

fn ended(pid: u64) -> Happened {
    Happened::ChildEnded { pid: Pid(pid) }
}

fn changed(number: u64) -> Happened {
    Happened::ObjectChanged { id: id(number), version: 2 }
}

fn take(limit: Option<u32>) -> WaitEvents {
    WaitEvents { limit, timeout_ms: Some(Millis(0)) }
}

fn look(after: Option<u64>) -> ReadEvents {
    ReadEvents { after, limit: None, pid: None }
}

fn kinds(subscriptions: &[Subscription]) -> Vec<(EventKind, Option<u64>)> {
    subscriptions.iter().map(|it| (it.kind, it.object.map(|id| id.number))).collect()
}

fn told(events: &Given) -> Vec<(u64, Happened)> {
    events.events.iter().map(|event| (event.number, event.what)).collect()
}

#[test]
fn subscriptions_are_listed_in_order_and_made_once() {
    let mut k = Board::default();
    use EventKind::{ChildEnded, MessageCame, ObjectChanged, ObjectGone};
    k.ok(process(1), subscribe(&[MessageCame, ChildEnded, MessageCame]));
    k.ok(process(1), watch(1, &[ObjectGone]));
    let listed = k.ok(process(1), watch(1, &[ObjectChanged, ObjectGone]));
    let all =
        [(MessageCame, None), (ChildEnded, None), (ObjectGone, Some(1)), (ObjectChanged, Some(1))];
    assert_eq!(kinds(&listed.subscriptions), all);
    let events = k.journal.len();
    k.ok(process(1), subscribe(&[ChildEnded]));
    assert_eq!(k.journal.len(), events, "again changes nothing");
    assert_eq!(k.ok(process(1), ListSubscriptions {}), listed);
    assert!(k.ok(process(2), ListSubscriptions {}).subscriptions.is_empty());
}

#[test]
fn a_subscription_is_refused() {
    let limits = Limits { subscriptions_max: 3, watchers_max: 1, ..Limits::default() };
    let mut k = Board { part: Events::with_limits(limits), ..Board::default() };
    use EventKind::{ChildEnded, ChildMade, MessageCame, ObjectChanged, ObjectGone};
    let table = [
        (subscribe(&[]), "bad_message"),
        (subscribe(&[ObjectChanged]), "needs_object"),
        (subscribe(&[ChildEnded, ObjectGone]), "needs_object"),
        (watch(1, &[ObjectChanged, ChildEnded]), "bad_message"),
        (subscribe(&[ChildEnded, ChildMade, MessageCame, EventKind::RequestAnswered]), "too_many"),
    ];
    for (call, code) in table {
        assert_eq!(k.refused(process(1), call.clone()).0, code, "{call:?}");
    }
    k.ok(process(1), subscribe(&[ChildEnded, ChildMade]));
    k.ok(process(1), watch(1, &[ObjectGone]));
    assert_eq!(k.refused(process(1), subscribe(&[MessageCame])).0, "too_many");
    k.ok(process(1), subscribe(&[ChildMade]));
    assert_eq!(k.refused(process(2), watch(1, &[ObjectGone])).0, "limit");
    k.ok(process(2), watch(1, &[ObjectChanged]));
    let own: [Syscall; 5] = [
        subscribe(&[ChildEnded]).into(),
        unsubscribe(&[], None).into(),
        ListSubscriptions {}.into(),
        take(None).into(),
        look(None).into(),
    ];
    for call in own {
        assert_eq!(k.refused(host(), call.clone()).0, "bad_message", "{call:?}");
    }
}

#[test]
fn an_event_of_a_process_is_told_to_it_alone_and_only_if_it_subscribed() {
    let mut k = Board::default();
    k.world.now_ms = 5;
    k.ok(process(1), subscribe(&[EventKind::ChildEnded, EventKind::CapabilityRevoked]));
    k.ok(process(2), subscribe(&[EventKind::ChildEnded]));
    let revoked = Happened::CapabilityRevoked { capability: CapId(4) };
    let answered = Happened::RequestAnswered { request: RequestId(2) };
    for (of, what) in [(1, ended(7)), (1, answered), (1, revoked), (3, ended(8))] {
        k.ok(host(), publish(of, what));
    }
    k.ok(host(), Publish { of: None, what: ended(9) });
    let events = k.ok(process(1), take(None));
    assert_eq!(told(&events), [(1, ended(7)), (2, revoked)]);
    assert_eq!((events.events[0].at_ms, events.cursor, events.dropped), (5, 2, 0));
    assert_eq!(k.refused(process(2), take(None)).0, "timed_out");
    assert!(k.world.sent.is_empty(), "no authority is asked about");
}

#[test]
fn an_event_of_an_object_is_told_to_whoever_subscribed_and_may_still_read_it() {
    let mut k = Board::default();
    let kinds = [EventKind::ObjectChanged, EventKind::ObjectGone];
    for (pid, effect) in
        [(1, Effect::Allow), (2, Effect::Deny), (3, Effect::Ask), (4, Effect::Allow)]
    {
        k.says(pid, Right::Read, Resource::object(id(1)), effect);
        k.ok(process(pid), watch(1, &kinds));
    }
    k.ok(process(4), unsubscribe(&[EventKind::ObjectChanged], None));
    k.ok(process(5), watch(2, &kinds));
    k.ok(host(), publish(9, changed(1)));
    k.ok(host(), publish(9, Happened::ObjectGone { id: id(1) }));
    let gone = Happened::ObjectGone { id: id(1) };
    assert_eq!(told(&k.ok(process(1), take(None))), [(1, changed(1)), (2, gone)]);
    assert_eq!(told(&k.ok(process(4), take(None))), [(1, gone)]);
    for pid in [2, 3, 5] {
        assert_eq!(k.refused(process(pid), take(None)).0, "timed_out", "p{pid}");
    }
    // It gets back what it may read again, and nothing of what was before.
    k.says(2, Right::Read, Resource::object(id(1)), Effect::Allow);
    k.ok(host(), publish(9, changed(1)));
    assert_eq!(told(&k.ok(process(2), take(None))), [(1, changed(1))]);
}

#[test]
fn where_nobody_subscribed_an_event_costs_nothing() {
    let mut k = Board::default();
    k.ok(process(1), subscribe(&[EventKind::ChildMade]));
    k.ok(host(), publish(2, ended(3)));
    k.ok(host(), publish(2, changed(1)));
    assert!(k.world.sent.is_empty() && k.world.events.is_empty());
}

#[test]
fn waiting_takes_events_and_moves_the_cursor() {
    let mut k = Board::default();
    k.ok(process(1), subscribe(&[EventKind::ChildEnded]));
    for pid in 1..=3 {
        k.ok(host(), publish(1, ended(pid)));
    }
    // A look takes nothing.
    for _ in 0..2 {
        let seen = k.ok(process(1), look(None));
        assert_eq!(told(&seen), [(1, ended(1)), (2, ended(2)), (3, ended(3))]);
        assert_eq!(seen.cursor, 3);
    }
    let taken = k.ok(process(1), take(Some(2)));
    assert_eq!((told(&taken), taken.cursor), (vec![(1, ended(1)), (2, ended(2))], 2));
    assert_eq!(told(&k.ok(process(1), look(None))), [(3, ended(3))]);
    assert_eq!(told(&k.ok(process(1), take(None))), [(3, ended(3))]);
    assert_eq!(k.refused(process(1), take(None)).0, "timed_out");
    k.ok(host(), publish(1, ended(4)));
    assert_eq!(told(&k.ok(process(1), take(None))), [(4, ended(4))], "numbers go on");
}

#[test]
fn a_look_goes_on_behind_a_number_and_an_unknown_one_gives_none() {
    let mut k = Board::default();
    k.ok(process(1), subscribe(&[EventKind::ChildEnded]));
    for pid in 1..=4 {
        k.ok(host(), publish(1, ended(pid)));
    }
    k.ok(process(1), take(Some(1)));
    let behind = |k: &mut Board, after, limit| {
        let seen = k.ok(process(1), ReadEvents { after: Some(after), limit, pid: None });
        (seen.events.iter().map(|event| event.number).collect::<Vec<_>>(), seen.cursor)
    };
    assert_eq!(behind(&mut k, 1, Some(2)), (vec![2, 3], 3));
    assert_eq!(behind(&mut k, 3, Some(2)), (vec![4], 4));
    assert_eq!(behind(&mut k, 0, None), (vec![2, 3, 4], 4), "what was taken is gone");
    for unknown in [4, 5, u64::MAX] {
        assert_eq!(behind(&mut k, unknown, None), (vec![], unknown));
    }
    let stranger = k.ok(process(2), look(Some(7)));
    assert_eq!((stranger.events.len(), stranger.cursor, stranger.dropped), (0, 7, 0));
}

#[test]
fn the_host_looks_at_the_events_of_any_process_and_a_process_at_its_own() {
    let mut k = Board::default();
    k.ok(process(1), subscribe(&[EventKind::ChildEnded]));
    k.ok(host(), publish(1, ended(2)));
    let of = |pid| ReadEvents { pid: Some(Pid(pid)), ..look(None) };
    for who in [host(), process(1)] {
        assert_eq!(told(&k.ok(who, of(1))), [(1, ended(2))]);
    }
    assert_eq!(k.refused(process(2), of(1)).0, "denied");
    assert_eq!(told(&k.ok(process(1), take(None))), [(1, ended(2))], "a look takes nothing");
}

#[test]
fn a_wait_ends_with_an_event_or_with_its_time() {
    let mut k = Board::default();
    k.ok(process(1), subscribe(&[EventKind::ChildEnded]));
    let wait =
        |timeout_ms: Option<u64>| WaitEvents { limit: None, timeout_ms: timeout_ms.map(Millis) };
    let waits = |until_ms| Err(Stop::Wait(Wait { on: WaitOn::Event(Pid(1)), until_ms }));
    k.world.started_ms = 100;
    k.world.now_ms = 100;
    assert_eq!(k.serve(process(1), wait(None)), waits(None));
    assert_eq!(k.serve(process(1), wait(Some(50))), waits(Some(150)));
    assert_eq!(k.serve(process(1), wait(Some(u64::MAX))), waits(Some(u64::MAX)));
    k.world.now_ms = 149;
    assert_eq!(k.serve(process(1), wait(Some(50))), waits(Some(150)));
    k.world.now_ms = 150;
    assert_eq!(k.refused(process(1), wait(Some(50))).0, "timed_out");
    // What came in time is given, however late it is asked for.
    k.ok(host(), publish(1, ended(2)));
    assert_eq!(told(&k.ok(process(1), wait(Some(50)))), [(1, ended(2))]);
    let none = WaitEvents { limit: Some(0), timeout_ms: None };
    assert_eq!(k.refused(process(1), none).0, "bad_message");
    // Without a subscription only time would end it.
    let (code, text) = k.refused(process(2), wait(None));
    assert_eq!((code, text.contains("subscribes to nothing")), ("bad_message", true));
    let until = Wait { on: WaitOn::Event(Pid(2)), until_ms: Some(160) };
    assert_eq!(k.serve(process(2), wait(Some(60))), Err(Stop::Wait(until)));
}

#[test]
fn what_is_not_taken_in_time_is_dropped_oldest_first_and_counted() {
    let mut k = Board::default();
    k.ok(process(1), subscribe(&[EventKind::ChildEnded]));
    let events = QUEUE_MAX as u64 + 3;
    for pid in 1..=events {
        let call = publish(1, ended(pid));
        // Folding this often is too slow for the checks of the rig.
        k.quickly(host(), call);
    }
    let seen = k.ok(process(1), look(None));
    assert_eq!((seen.dropped, seen.events[0].number, seen.events.len()), (3, 4, 100));
    let taken = k.ok(process(1), take(Some(u32::MAX)));
    assert_eq!((taken.dropped, taken.events.len(), taken.cursor), (3, 1_000, 1_003));
    let rest = k.ok(process(1), take(None));
    assert_eq!((rest.dropped, rest.events.len(), rest.cursor), (0, 24, events));
}

#[test]
fn subscriptions_end_by_kind_by_object_and_with_their_process() {
    let mut k = Board::default();
    use EventKind::{ChildEnded, MessageCame, ObjectChanged, ObjectGone};
    let all = |k: &mut Board| {
        k.ok(process(1), subscribe(&[ChildEnded, MessageCame]));
        for number in [1, 2] {
            k.ok(process(1), watch(number, &[ObjectChanged, ObjectGone]));
        }
    };
    let table = [
        (unsubscribe(&[ChildEnded], None), 5),
        (unsubscribe(&[ObjectGone], None), 4),
        (unsubscribe(&[ObjectGone], Some(id(2))), 5),
        (unsubscribe(&[], Some(id(2))), 4),
        (unsubscribe(&[ChildEnded], Some(id(2))), 6),
        (unsubscribe(&[], None), 0),
    ];
    for (call, left) in table {
        all(&mut k);
        let listed = k.ok(process(1), call.clone()).subscriptions;
        assert_eq!(listed.len(), left, "{call:?}");
    }
    k.ok(host(), publish(1, ended(2)));
    assert_eq!(k.refused(process(1), take(None)).0, "timed_out");
    // What it was told before it can still take.
    all(&mut k);
    k.ok(host(), publish(1, ended(2)));
    k.ok(process(1), unsubscribe(&[], None));
    assert_eq!(told(&k.ok(process(1), take(None))), [(1, ended(2))]);

    all(&mut k);
    k.says(1, Right::Read, Resource::object(id(1)), Effect::Allow);
    k.ok(host(), EndSubscriber { pid: Pid(1) });
    let events = k.journal.len();
    k.ok(host(), EndSubscriber { pid: Pid(1) });
    k.ok(host(), EndSubscriber { pid: Pid(2) });
    for what in [ended(2), changed(1)] {
        k.ok(host(), publish(1, what));
    }
    assert_eq!(k.journal.len(), events, "nobody is there");
}

#[test]
fn what_it_does_not_serve_is_unsupported() {
    let mut k = Board::default();
    assert_eq!(k.refused(host(), libos_abi::tool::List {}).0, "unsupported");
}
