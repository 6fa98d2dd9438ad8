//! What calls cost, in allocations: none where nothing is made, and the same for any size.

use allocation_counter::{AllocationInfo, measure};
use libos_abi::{
    CheckpointId, Event, Pid, Syscall,
    checkpoint::Copied,
    event::ObjectEvent,
    object::{CopySpaces, Read, RestoreSpaces, SaveSpaces, Stat},
    process::OnConflict,
};
use libos_objects::Objects;
use libos_port::Component;
use serde_json::json;

use crate::{
    make::{Memory, append, create, fork, id, merge, update},
    rig::{Call, World, host, process},
};

/// A memory of p1 with so many objects, folded from a journal.
pub(crate) fn sized(count: u64) -> Objects {
    let mut part = Objects::default();
    for number in 1..=count {
        let payload = libos_abi::Json::from(&json!([number]));
        let created = ObjectEvent::Created {
            id: id(1, number),
            r#type: "part".into(),
            digest: payload.0.digest(),
            payload,
            namespace: None,
            name: None,
            parents: [].into(),
            tags: [].into(),
            immutable: false,
            at_ms: 1,
        };
        part.apply(&Event::Object(created));
    }
    part
}

/// Serves one call as a transaction that stays; what that allocated.
fn cost(part: &mut Objects, pid: u64, call: impl Into<Syscall>) -> AllocationInfo {
    let call = call.into();
    let mut world = World { otherwise: libos_abi::Effect::Allow, ..World::default() };
    // Room for what the rig itself keeps.
    world.events.reserve(16);
    world.sent.reserve(16);
    let mut cx = Call::new(&mut world, process(pid), 1);
    let mut reply = None;
    let cost = measure(|| {
        part.begin();
        reply = Some(part.call(&mut cx, &call));
    });
    reply.unwrap().unwrap();
    cost
}

#[test]
fn a_look_at_an_inline_object_allocates_nothing() {
    let mut k = Memory::open();
    k.ok(host(), crate::make::space("ns"));
    let call = crate::make::named("ns", "n");
    k.ok(process(1), libos_abi::object::Create { tags: Some(vec!["t".into()]), ..call });
    k.ok(
        process(1),
        libos_abi::object::Create {
            parents: Some(vec![id(1, 1)]),
            ..create("t", &json!({"a": 1}))
        },
    );
    k.ok(host(), fork(1, 2));
    for at in [id(1, 1), id(1, 2), id(2, 1)] {
        assert_eq!(cost(&mut k.part, 1, Read { id: at }).count_total, 0, "{at}");
        assert_eq!(cost(&mut k.part, 1, Stat { id: at }).count_total, 0, "{at}");
    }
    // Only parents that have other ids in a copy are written anew.
    assert_eq!(cost(&mut k.part, 1, Read { id: id(2, 2) }).count_total, 0);
    assert_eq!(cost(&mut k.part, 1, Stat { id: id(2, 2) }).count_total, 1);
}

#[test]
fn a_fork_costs_the_same_for_any_size() {
    let of = |count| cost(&mut sized(count), 1, fork(1, 2));
    assert_eq!(of(100), of(100_000));
}

/// That a change of a large memory costs no more than its depth, against a small one.
fn is_flat(small: AllocationInfo, large: AllocationInfo) {
    assert!(large.count_total <= small.count_total + 8, "{small:?} {large:?}");
    assert!(large.bytes_total <= 4 * small.bytes_total, "{small:?} {large:?}");
}

#[test]
fn a_change_costs_the_same_for_any_size() {
    let (mut small, mut large) = (sized(100), sized(100_000));
    let mut both =
        |call: Syscall| is_flat(cost(&mut small, 1, call.clone()), cost(&mut large, 1, call));
    both(create("new", &json!(1)).into());
    both(update(id(1, 50), &json!(1)).into());
    both(append(id(1, 51), &json!(1)).into());
    both(libos_abi::object::Delete { id: id(1, 52) }.into());
}

#[test]
fn the_first_change_after_a_fork_costs_the_same_for_any_size() {
    let of = |count: u64| {
        let mut part = sized(count);
        cost(&mut part, 1, fork(1, 2));
        let child = cost(&mut part, 2, update(id(2, count / 2), &json!(1)));
        let parent = cost(&mut part, 1, update(id(1, count / 3), &json!(1)));
        (child, parent)
    };
    let (small, large) = (of(100), of(100_000));
    is_flat(small.0, large.0);
    is_flat(small.1, large.1);
}

#[test]
fn a_merge_costs_what_was_changed() {
    let of = |count: u64, changes: u64| {
        let mut part = sized(count);
        cost(&mut part, 1, fork(1, 2));
        for n in 1..=changes {
            cost(&mut part, 2, update(id(2, n * count / 100), &json!("child")));
        }
        cost(&mut part, 1, create("new", &json!(1)));
        cost(&mut part, 1, merge(2, 1, OnConflict::Fail))
    };
    let (small, few, many) = (of(100, 1), of(100_000, 1), of(100_000, 50));
    // A tree of a thousand times as many objects is some levels deeper.
    assert!(few.bytes_total < 10 * small.bytes_total, "{small:?} {few:?}");
    assert!(many.bytes_total > few.bytes_total, "{few:?} {many:?}");
}

const CHECKPOINT: CheckpointId = CheckpointId::new(1, 1);

fn save() -> SaveSpaces {
    SaveSpaces { checkpoint: CHECKPOINT, spaces: vec![Pid(1)], ended: Vec::new() }
}

#[test]
fn a_checkpoint_and_a_copy_of_it_cost_the_same_for_any_size() {
    let of = |count| {
        let mut part = sized(count);
        let saved = cost(&mut part, 1, save());
        let copied = Copied { from: Pid(1), to: Pid(7), parent: None };
        let copy = CopySpaces { checkpoint: CHECKPOINT, processes: vec![copied] };
        (saved, cost(&mut part, 1, copy))
    };
    assert_eq!(of(100), of(100_000));
}

#[test]
fn a_restore_costs_what_was_changed() {
    let of = |count: u64, changes: u64| {
        let mut part = sized(count);
        cost(&mut part, 1, save());
        for n in 1..=changes {
            cost(&mut part, 1, update(id(1, n * count / 100), &json!("since")));
        }
        cost(&mut part, 1, RestoreSpaces { checkpoint: CHECKPOINT, dropped: Vec::new() })
    };
    let (small, few, many) = (of(100, 1), of(100_000, 1), of(100_000, 50));
    // A tree of a thousand times as many objects is some levels deeper.
    assert!(few.bytes_total < 10 * small.bytes_total, "{small:?} {few:?}");
    assert!(many.bytes_total > few.bytes_total, "{few:?} {many:?}");
}
