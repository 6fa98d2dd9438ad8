//! Laws over random programs: nothing is lost, told twice or out of order.

use std::collections::BTreeMap;

use libos_abi::{
    Effect, Millis, ObjectId, Pid, Resource, Right,
    events::{EventKind, Happened, Publish, ReadEvents, Subscribe, Unsubscribe, WaitEvents},
    process::{Wait, WaitOn},
};
use libos_events::Events;
use libos_port::Stop;
use proptest::prelude::*;

use crate::rig::{Kernel, host, process};

#[derive(Debug, Clone)]
enum Action {
    /// Subscribes to ends of children, or to changes of an object.
    Subscribe(u64, Option<u64>),
    Unsubscribe(u64, Option<u64>),
    /// Whether the process may read the object.
    Authority(u64, u64, bool),
    Ended(u64),
    Changed(u64),
    Take(u64, u32),
    Look(u64),
}

fn actions() -> impl Strategy<Value = Action> {
    let pid = || 1..4_u64;
    let object = || 1..3_u64;
    let what = || prop::option::of(object());
    prop_oneof![
        2 => (pid(), what()).prop_map(|(pid, what)| Action::Subscribe(pid, what)),
        1 => (pid(), what()).prop_map(|(pid, what)| Action::Unsubscribe(pid, what)),
        1 => (pid(), object(), any::<bool>())
            .prop_map(|(pid, object, may)| Action::Authority(pid, object, may)),
        4 => pid().prop_map(Action::Ended),
        4 => object().prop_map(Action::Changed),
        3 => (pid(), 1..4_u32).prop_map(|(pid, limit)| Action::Take(pid, limit)),
        1 => pid().prop_map(Action::Look),
    ]
}

/// What a process is to hear of: the event numbers its own way.
#[derive(Default)]
struct Ear {
    subscribed: Vec<Option<u64>>,
    may: BTreeMap<u64, bool>,
    /// Told and not taken.
    open: Vec<(u64, Happened)>,
    last: u64,
}

impl Ear {
    fn tell(&mut self, what: Happened) {
        self.last += 1;
        self.open.push((self.last, what));
    }
}

fn kind(object: Option<u64>) -> EventKind {
    object.map_or(EventKind::ChildEnded, |_| EventKind::ObjectChanged)
}

fn id(number: u64) -> ObjectId {
    ObjectId::new(9, number)
}

struct Pair {
    k: Kernel<Events>,
    ears: BTreeMap<u64, Ear>,
}

impl Pair {
    fn run(&mut self, n: u64, action: &Action) {
        let kinds = |object| vec![kind(object)];
        match *action {
            Action::Subscribe(pid, object) => {
                let call = Subscribe { kinds: kinds(object), object: object.map(id) };
                self.k.ok(process(pid), call);
                let subscribed = &mut self.ears.entry(pid).or_default().subscribed;
                if !subscribed.contains(&object) {
                    subscribed.push(object);
                }
            }
            Action::Unsubscribe(pid, object) => {
                let call = Unsubscribe { kinds: kinds(object), object: object.map(id) };
                self.k.ok(process(pid), call);
                self.ears.entry(pid).or_default().subscribed.retain(|it| *it != object);
            }
            Action::Authority(pid, object, may) => {
                let effect = if may { Effect::Allow } else { Effect::Deny };
                self.k.says(pid, Right::Read, Resource::object(id(object)), effect);
                self.ears.entry(pid).or_default().may.insert(object, may);
            }
            Action::Ended(pid) => {
                let what = Happened::ChildEnded { pid: Pid(100 + n) };
                self.k.ok(host(), Publish { of: Some(Pid(pid)), what });
                let ear = self.ears.entry(pid).or_default();
                if ear.subscribed.contains(&None) {
                    ear.tell(what);
                }
            }
            Action::Changed(object) => {
                let what = Happened::ObjectChanged { id: id(object), version: n };
                self.k.ok(host(), Publish { of: None, what });
                for ear in self.ears.values_mut() {
                    let may = ear.may.get(&object).copied().unwrap_or(false);
                    if may && ear.subscribed.contains(&Some(object)) {
                        ear.tell(what);
                    }
                }
            }
            Action::Take(pid, limit) => self.take(pid, limit),
            Action::Look(pid) => {
                let seen =
                    self.k.ok(process(pid), ReadEvents { after: None, limit: None, pid: None });
                let seen: Vec<_> = seen.events.iter().map(|it| (it.number, it.what)).collect();
                assert_eq!(seen, self.ears.entry(pid).or_default().open);
            }
        }
    }

    /// Either events are there and taken, or the process waits and the next event finds it so.
    fn take(&mut self, pid: u64, limit: u32) {
        let call = WaitEvents { limit: Some(limit), timeout_ms: Some(Millis(10)) };
        let ear = self.ears.entry(pid).or_default();
        if ear.open.is_empty() {
            let wait = Wait { on: WaitOn::Event(Pid(pid)), until_ms: Some(10) };
            assert_eq!(self.k.serve(process(pid), call), Err(Stop::Wait(wait)));
            return;
        }
        let given: Vec<_> = ear.open.drain(..ear.open.len().min(limit as usize)).collect();
        let events = self.k.ok(process(pid), call);
        assert_eq!(events.cursor, given.last().unwrap().0);
        let events: Vec<_> = events.events.iter().map(|it| (it.number, it.what)).collect();
        assert_eq!(events, given);
    }
}

proptest! {
    #[test]
    fn every_event_is_told_once_in_order_to_those_who_are_to_hear_it(
        program in prop::collection::vec(actions(), 1..80),
    ) {
        let mut pair = Pair { k: Kernel::default(), ears: BTreeMap::new() };
        for (n, action) in (1..).zip(&program) {
            pair.run(n, action);
        }
    }
}
