//! Memories as a whole: copied, merged, dropped, and objects that go from one to another.

use libos_abi::{Effect, ObjectId, Pid, Resource, Right, object, process::OnConflict};
use serde_json::json;

use super::{Memory, create, read, update};
use crate::{host, process};

fn fork(from: u64, to: u64) -> object::ForkSpace {
    object::ForkSpace { from: Pid(from), to: Pid(to) }
}

fn merge(on_conflict: OnConflict) -> object::MergeSpace {
    object::MergeSpace { from: Pid(2), into: Pid(1), on_conflict }
}

/// The same object in the memory of another process.
fn copy_of(id: ObjectId, space: u64) -> ObjectId {
    ObjectId { space: Pid(space), ..id }
}

pub(super) fn an_object_is_handed_over_under_a_new_id(k: &mut Memory) {
    let id = k.ok(process(1), create("note", json!("mine"))).id;
    let transfer = |to: u64| object::Transfer { id, to: Pid(to) };
    let to = |pid: u64| Resource::id("process", Pid(pid));
    assert_eq!(k.refused(process(1), transfer(2)).0, "denied", "it may not write to it");
    k.world.says(1, Right::Write, to(2), Effect::Allow);
    let ended = k.refused(process(1), transfer(2)).0;
    assert_eq!(ended, "receiver_ended", "who cannot write back is no living relative");
    k.world.says(2, Right::Write, to(1), Effect::Allow);
    let moved = k.ok(process(1), transfer(2)).id;
    assert_eq!(moved.space, Pid(2));
    assert_eq!(read(k, moved), (json!("mine"), vec![]));
    assert_eq!(k.refused(process(1), object::Read { id }).0, "not_found");
    assert_eq!(k.refused(process(1), transfer(2)).0, "not_found");
    assert_ne!(k.ok(process(1), create("note", json!(1))).id, id, "no id is given again");
}

pub(super) fn a_copied_memory_is_of_its_own(k: &mut Memory) {
    let id = k.ok(process(1), create("note", json!("old"))).id;
    k.ok(host(), fork(1, 2));
    let copy = copy_of(id, 2);
    assert_eq!(read(k, copy), (json!("old"), vec![]));
    k.ok(process(2), update(copy, json!("child's")));
    k.ok(process(1), update(id, json!("parent's")));
    assert_eq!(read(k, copy).0, json!("child's"));
    assert_eq!(read(k, id).0, json!("parent's"));
    k.ok(process(1), object::Delete { id });
    assert_eq!(read(k, copy).0, json!("child's"));
    assert_eq!(k.refused(host(), fork(1, 2)).0, "bad_message", "it has a memory already");
}

pub(super) fn a_memory_is_merged_by_what_changed(k: &mut Memory) {
    let [both, theirs, mine] =
        ["both", "theirs", "mine"].map(|text| k.ok(process(1), create("note", json!(text))).id);
    k.ok(host(), fork(1, 2));
    k.ok(process(2), update(copy_of(both, 2), json!("child's")));
    k.ok(process(2), update(copy_of(theirs, 2), json!("child's")));
    let new = k.ok(process(2), create("note", json!("new"))).id;
    k.ok(process(1), update(both, json!("parent's")));
    k.ok(process(1), update(mine, json!("parent's")));
    assert_eq!(k.refused(host(), merge(OnConflict::Fail)).0, "version_conflict");
    assert_eq!(read(k, theirs).0, json!("theirs"), "a merge is whole or not at all");

    let merged = k.ok(host(), merge(OnConflict::Parent));
    assert_eq!((&merged.updated[..], &merged.kept[..]), (&[theirs][..], &[both][..]));
    let [adopted] = merged.adopted[..] else { panic!("one is new: {merged:?}") };
    assert_eq!((adopted.from, adopted.to.space), (new, Pid(1)));
    for (id, text) in
        [(both, "parent's"), (mine, "parent's"), (theirs, "child's"), (adopted.to, "new")]
    {
        assert_eq!(read(k, id).0, json!(text));
    }
    let gone = k.refused(process(2), object::Read { id: new }).0;
    assert_eq!(gone, "not_found", "what was merged is in one memory");
}

pub(super) fn a_memory_is_dropped_as_a_whole(k: &mut Memory) {
    let id = k.ok(process(2), create("note", json!(1))).id;
    let kept = k.ok(process(1), create("note", json!(1))).id;
    k.ok(process(2), create("note", json!(2)));
    let drop = || object::DropSpace { space: Pid(2) };
    assert_eq!(k.ok(host(), drop()).objects, 2);
    assert_eq!(k.refused(process(2), object::Read { id }).0, "not_found");
    assert_eq!(read(k, kept).0, json!(1));
    assert_eq!(k.ok(host(), drop()).objects, 0);
}
