//! Merges: what a child has changed comes into the memory of its parent.

use libos_abi::{
    Digest, Pid,
    object::{Create, Delete, List, ListLinks, ListViews, MakeView, Read, Release, Stat, Unlink},
    process::{Adopted, Merged, OnConflict},
};
use serde_json::json;

use crate::{
    make::{
        Memory, append, create, fill, fork, id, link, lookup, made_from, merge, named, space,
        update,
    },
    rig::{host, process},
};

fn adopted(pairs: &[(u64, u64)]) -> Vec<Adopted> {
    pairs.iter().map(|(from, to)| Adopted { from: id(2, *from), to: id(1, *to) }).collect()
}

/// p1 with three objects, and p2 with a copy of them.
fn forked() -> Memory {
    let mut k = Memory::open();
    k.ok(host(), space("ns"));
    k.ok(process(1), named("ns", "one"));
    fill(&mut k, 1, 2);
    k.ok(process(1), link(id(1, 1), "r", id(1, 2)));
    k.ok(host(), fork(1, 2));
    k
}

/// What a process sees of its memory.
fn memory(k: &mut Memory, pid: u64) -> String {
    let objects = k.ok(process(pid), List { r#type: None, after: None, limit: None }).objects;
    let all: Vec<_> = (objects.into_iter())
        .map(|info| {
            let links = k.ok(process(pid), ListLinks { id: info.id }).links;
            let read = (!info.released).then(|| k.ok(process(pid), Read { id: info.id }));
            (info, read, links)
        })
        .collect();
    format!("{all:#?}")
}

#[test]
fn merging_an_unchanged_copy_changes_nothing() {
    let mut k = forked();
    let before = memory(&mut k, 1);
    let merged = k.ok(host(), merge(2, 1, OnConflict::Fail));
    let nothing = Merged { adopted: Vec::new(), updated: Vec::new(), kept: Vec::new() };
    assert_eq!(merged, nothing);
    assert_eq!(memory(&mut k, 1), before);
    let all = List { r#type: None, after: None, limit: None };
    assert!(k.ok(process(2), all).objects.is_empty(), "it is gone");
    // Also when the parent went on meanwhile.
    k.ok(host(), fork(1, 3));
    k.ok(process(1), update(id(1, 1), &json!("later")));
    k.ok(process(1), Delete { id: id(1, 2) });
    let before = memory(&mut k, 1);
    assert_eq!(k.ok(host(), merge(3, 1, OnConflict::Fail)), nothing);
    assert_eq!(memory(&mut k, 1), before);
    // And of a child that had no memory at all.
    let events = k.journal.len();
    assert_eq!(k.ok(host(), merge(9, 1, OnConflict::Fail)), nothing);
    assert_eq!(k.journal.len(), events);
}

#[test]
fn what_only_the_child_changed_replaces_the_parents_version() {
    let mut k = forked();
    for entry in 0..3 {
        k.ok(process(2), update(id(2, 1), &json!([entry])));
    }
    k.ok(process(2), append(id(2, 1), &json!("x")));
    k.ok(process(2), Release { id: id(2, 2) });
    k.ok(process(2), Delete { id: id(2, 3) });
    k.ok(process(1), create("meanwhile", &json!(4)));
    k.world.now_ms = 6;
    let merged = k.ok(host(), merge(2, 1, OnConflict::Fail));
    assert_eq!(merged.updated, [id(1, 1), id(1, 2), id(1, 3)]);
    assert_eq!((merged.adopted.len(), merged.kept.len()), (0, 0));
    assert!(k.world.sent.is_empty(), "the parent had a memory");
    let stat = k.ok(process(1), Stat { id: id(1, 1) });
    assert_eq!((stat.version, stat.owner, stat.updated_at_ms), (2, Pid(1), 6));
    assert_eq!((stat.name.as_deref(), stat.created_at_ms), (Some("one"), 0));
    let read = k.ok(process(1), Read { id: id(1, 1) });
    assert_eq!((read.payload.value().unwrap(), read.appended.len()), (json!([2]), 1));
    assert!(k.ok(process(1), Stat { id: id(1, 2) }).released);
    assert_eq!(k.refused(process(1), Stat { id: id(1, 3) }).0, "not_found");
    assert_eq!(k.ok(process(1), lookup("ns", "one")).id, id(1, 1));
    k.ok(process(1), Stat { id: id(1, 4) });
}

#[test]
fn new_objects_are_adopted_under_fresh_numbers_and_point_to_each_other() {
    let mut k = forked();
    k.ok(process(1), create("meanwhile", &json!(4)));
    k.ok(process(2), create("new", &json!("4 of p2")));
    k.ok(process(2), Delete { id: id(2, 4) });
    k.ok(process(2), named("ns", "five"));
    k.ok(process(2), made_from(&[id(2, 5), id(2, 1), id(1, 1)]));
    k.ok(process(2), link(id(2, 6), "r", id(2, 5)));
    k.ok(process(2), link(id(2, 5), "r", id(2, 2)));
    k.ok(process(2), link(id(2, 6), "of", id(1, 4)));
    k.ok(process(7), create("far", &json!(7)));
    k.ok(process(7), link(id(7, 1), "r", id(2, 6)));
    k.ok(process(2), link(id(2, 1), "copy of", id(1, 1)));
    k.ok(process(2), MakeView { items: Vec::new(), from: None });
    let merged = k.ok(host(), merge(2, 1, OnConflict::Fail));
    assert_eq!(merged.adopted, adopted(&[(5, 5), (6, 6)]));
    assert_eq!(*k.ok(process(1), Stat { id: id(1, 6) }).parents, [id(1, 5), id(1, 1), id(1, 1)]);
    assert_eq!(k.ok(process(1), lookup("ns", "five")).id, id(1, 5));
    let mut links = |number| {
        let links = k.ok(process(1), ListLinks { id: id(1, number) }).links;
        let shown = links.iter().map(|it| format!("{} {} {}", it.from, it.relation, it.to));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(links(6), ["obj-1.6 of obj-1.4", "obj-1.6 r obj-1.5", "obj-7.1 r obj-1.6"]);
    assert_eq!(links(2), ["obj-1.1 r obj-1.2", "obj-1.5 r obj-1.2"]);
    // What a copy said of its original would be said of the object itself.
    assert_eq!(links(1), ["obj-1.1 r obj-1.2"]);
    assert!(k.ok(host(), ListViews {}).views.is_empty());
}

#[test]
fn links_made_and_taken_apart_by_the_child_are_so_in_the_parent() {
    let mut k = forked();
    k.ok(process(2), Unlink { from: id(2, 1), relation: "r".into(), to: id(2, 2) });
    k.ok(process(2), link(id(2, 3), "r", id(2, 1)));
    k.ok(process(1), link(id(1, 2), "r", id(1, 3)));
    let merged = k.ok(host(), merge(2, 1, OnConflict::Fail));
    assert_eq!(merged.updated, [], "links are no versions");
    let links = k.ok(process(1), ListLinks { id: id(1, 3) }).links;
    let ends: Vec<_> = links.iter().map(|it| (it.from.number, it.to.number)).collect();
    assert_eq!(ends, [(2, 3), (3, 1)]);
    assert_eq!(k.ok(process(1), ListLinks { id: id(1, 1) }).links.len(), 1);
}

#[test]
fn an_object_that_stays_keeps_the_links_that_the_child_lost_with_it() {
    let mut k = forked();
    k.ok(process(1), update(id(1, 2), &json!("parent")));
    k.ok(process(2), Delete { id: id(2, 2) });
    let merged = k.ok(host(), merge(2, 1, OnConflict::Parent));
    assert_eq!(merged.kept, [id(1, 2)]);
    assert_eq!(k.ok(process(1), ListLinks { id: id(1, 2) }).links.len(), 1);
}

/// Both changed 1; the child changed what the parent removed (2), and removed what it changed (3).
fn in_conflict() -> Memory {
    let mut k = forked();
    k.ok(process(1), update(id(1, 1), &json!("parent")));
    k.ok(process(1), update(id(1, 1), &json!("parent again")));
    k.ok(process(1), Delete { id: id(1, 2) });
    k.ok(process(1), update(id(1, 3), &json!("parent")));
    k.ok(process(2), update(id(2, 1), &json!("child")));
    k.ok(process(2), update(id(2, 2), &json!("child")));
    k.ok(process(2), Delete { id: id(2, 3) });
    k.ok(process(2), create("new", &json!("child")));
    k
}

#[test]
fn a_conflict_refuses_everything_unless_one_side_is_to_win() {
    let mut k = in_conflict();
    let before = (memory(&mut k, 1), memory(&mut k, 2));
    let (code, text) = k.refused(host(), merge(2, 1, OnConflict::Fail));
    assert_eq!(code, "version_conflict");
    assert_eq!(text, "p2 and p1 have both changed 3 objects: obj-1.1, obj-1.2, obj-1.3");
    assert_eq!((memory(&mut k, 1), memory(&mut k, 2)), before);
    assert_eq!(k.refused(host(), merge(1, 1, OnConflict::Fail)).0, "bad_message");
}

#[test]
fn the_childs_version_may_win() {
    let mut k = in_conflict();
    let merged = k.ok(host(), merge(2, 1, OnConflict::Child));
    assert_eq!(merged.updated, [id(1, 1), id(1, 3)]);
    assert_eq!(merged.adopted, adopted(&[(2, 4), (4, 5)]), "no number is given again");
    assert_eq!(merged.kept, []);
    let one = k.ok(process(1), Read { id: id(1, 1) });
    assert_eq!((one.version, one.payload.0.digest()), (4, Digest::of(br#""child""#)));
    assert_eq!(k.ok(process(1), Stat { id: id(1, 1) }).name.as_deref(), Some("one"));
    // What the parent had removed comes back with the links it had.
    let links = k.ok(process(1), ListLinks { id: id(1, 4) }).links;
    assert_eq!((links[0].from, links[0].to), (id(1, 1), id(1, 4)));
    assert_eq!(k.refused(process(1), Stat { id: id(1, 3) }).0, "not_found");
}

#[test]
fn the_parents_version_may_win() {
    let mut k = in_conflict();
    let merged = k.ok(host(), merge(2, 1, OnConflict::Parent));
    assert_eq!(merged.kept, [id(1, 1), id(1, 2), id(1, 3)]);
    assert_eq!(merged.updated, []);
    assert_eq!(merged.adopted, adopted(&[(4, 4)]));
    let one = k.ok(process(1), Read { id: id(1, 1) });
    assert_eq!((one.version, one.payload.value().unwrap()), (3, json!("parent again")));
    assert_eq!(k.refused(process(1), Stat { id: id(1, 2) }).0, "not_found");
    assert_eq!(k.ok(process(1), Stat { id: id(1, 3) }).version, 2);
}

#[test]
fn two_children_that_changed_different_things_both_come_through() {
    let mut k = forked();
    k.ok(host(), fork(1, 3));
    k.ok(process(2), update(id(2, 1), &json!("of 2")));
    k.ok(process(3), update(id(3, 2), &json!("of 3")));
    k.ok(process(3), create("new", &json!(3)));
    k.ok(host(), merge(2, 1, OnConflict::Fail));
    let merged = k.ok(host(), merge(3, 1, OnConflict::Fail));
    assert_eq!((merged.updated.len(), merged.adopted.len()), (1, 1));
    for (number, text) in [(1, "of 2"), (2, "of 3")] {
        let read = k.ok(process(1), Read { id: id(1, number) });
        assert_eq!(read.payload.value().unwrap(), json!(text));
    }
    // The second of two that changed the same comes too late.
    k.ok(host(), fork(1, 4));
    k.ok(host(), fork(1, 5));
    k.ok(process(4), update(id(4, 1), &json!("of 4")));
    k.ok(process(5), update(id(5, 1), &json!("of 5")));
    k.ok(host(), merge(4, 1, OnConflict::Fail));
    assert_eq!(k.refused(host(), merge(5, 1, OnConflict::Fail)).0, "version_conflict");
}

#[test]
fn of_a_child_without_a_copy_everything_is_adopted() {
    let mut k = Memory::open();
    fill(&mut k, 2, 2);
    k.ok(process(2), made_from(&[id(2, 1)]));
    k.ok(process(2), link(id(2, 3), "r", id(2, 2)));
    k.ok(process(2), Delete { id: id(2, 1) });
    let merged = k.ok(host(), merge(2, 1, OnConflict::Fail));
    assert_eq!(merged.adopted, adopted(&[(2, 1), (3, 2)]));
    assert_eq!(k.world.sent.len(), 1, "the parent had no memory before");
    // What is gone is named as what it was.
    assert_eq!(*k.ok(process(1), Stat { id: id(1, 2) }).parents, [id(2, 1)]);
    assert_eq!(k.ok(process(1), ListLinks { id: id(1, 2) }).links[0].to, id(1, 1));
    // The copy of another process's memory is no copy of the parent's.
    k.ok(host(), fork(1, 3));
    let merged = k.ok(host(), merge(3, 7, OnConflict::Fail));
    assert_eq!(merged.adopted.len(), 2);
    assert_eq!(*k.ok(process(7), Stat { id: id(7, 2) }).parents, [id(2, 1)]);
    assert_eq!(k.ok(process(7), ListLinks { id: id(7, 1) }).links[0].from, id(7, 2));
}

#[test]
fn a_grandchild_comes_through_its_parent() {
    let mut k = forked();
    k.ok(host(), fork(2, 3));
    k.ok(process(3), update(id(3, 1), &json!("of 3")));
    k.ok(process(3), Create { parents: Some(vec![id(3, 1)]), ..create("new", &json!(3)) });
    k.ok(host(), merge(3, 2, OnConflict::Fail));
    assert_eq!(*k.ok(process(2), Stat { id: id(2, 4) }).parents, [id(2, 1)]);
    let merged = k.ok(host(), merge(2, 1, OnConflict::Fail));
    assert_eq!((merged.updated, merged.adopted), (vec![id(1, 1)], adopted(&[(4, 4)])));
    assert_eq!(*k.ok(process(1), Stat { id: id(1, 4) }).parents, [id(1, 1)]);
    assert_eq!(k.ok(process(1), Read { id: id(1, 1) }).payload.value().unwrap(), json!("of 3"));
}
