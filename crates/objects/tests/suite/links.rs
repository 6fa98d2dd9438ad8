//! Links between objects.

use libos_abi::object::{Delete, Link, ListLinks, Release, Unlink};
use serde_json::json;

use crate::{
    make::{Memory, create, fill, id, link},
    rig::process,
};

fn shown(links: &[Link]) -> Vec<String> {
    links.iter().map(|link| format!("{} {} {}", link.from, link.relation, link.to)).collect()
}

fn links(k: &mut Memory, space: u64, number: u64) -> Vec<String> {
    shown(&k.ok(process(1), ListLinks { id: id(space, number) }).links)
}

fn unlink(from: libos_abi::ObjectId, relation: &str, to: libos_abi::ObjectId) -> Unlink {
    Unlink { from, relation: relation.into(), to }
}

#[test]
fn links_are_seen_from_both_ends_in_order() {
    let mut k = Memory::default();
    fill(&mut k, 1, 3);
    fill(&mut k, 2, 1);
    let made = k.ok(process(1), link(id(1, 2), "cites", id(1, 1)));
    assert_eq!(shown(&made.links), ["obj-1.2 cites obj-1.1"]);
    k.ok(process(1), link(id(1, 1), "cites", id(2, 1)));
    k.ok(process(1), link(id(2, 1), "answers", id(1, 1)));
    k.ok(process(1), link(id(1, 1), "after", id(1, 3)));
    let all = [
        "obj-1.1 after obj-1.3",
        "obj-1.1 cites obj-2.1",
        "obj-1.2 cites obj-1.1",
        "obj-2.1 answers obj-1.1",
    ];
    assert_eq!(links(&mut k, 1, 1), all);
    assert_eq!(links(&mut k, 2, 1), ["obj-1.1 cites obj-2.1", "obj-2.1 answers obj-1.1"]);
    // Again changes nothing.
    let events = k.journal.len();
    k.ok(process(1), link(id(1, 1), "cites", id(2, 1)));
    k.ok(process(1), link(id(1, 1), "after", id(1, 3)));
    assert_eq!(k.journal.len(), events);
}

#[test]
fn a_link_is_taken_apart_once() {
    let mut k = Memory::default();
    fill(&mut k, 1, 2);
    fill(&mut k, 2, 1);
    for to in [id(1, 2), id(2, 1)] {
        k.ok(process(1), link(id(1, 1), "cites", to));
        let gone = k.ok(process(1), unlink(id(1, 1), "cites", to));
        assert_eq!(gone.links.len(), 1);
        assert!(links(&mut k, 1, 1).is_empty());
        assert!(links(&mut k, to.space.0, to.number).is_empty());
        let (code, _) = k.refused(process(1), unlink(id(1, 1), "cites", to));
        assert_eq!(code, "not_found");
    }
}

#[test]
fn links_go_with_either_end() {
    let mut k = Memory::default();
    fill(&mut k, 1, 4);
    fill(&mut k, 2, 1);
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        k.ok(process(1), link(id(1, from), "r", id(1, to)));
    }
    k.ok(process(1), link(id(1, 1), "r", id(2, 1)));
    k.ok(process(1), Release { id: id(1, 1) });
    assert_eq!(links(&mut k, 1, 1).len(), 3, "a release leaves links");
    k.ok(process(1), Delete { id: id(1, 1) });
    assert_eq!(links(&mut k, 1, 2), ["obj-1.2 r obj-1.3"]);
    assert_eq!(links(&mut k, 1, 3), ["obj-1.2 r obj-1.3"]);
    assert!(links(&mut k, 2, 1).is_empty());
}

#[test]
fn a_link_is_refused() {
    let mut k = Memory::default();
    fill(&mut k, 1, 3);
    let long = "x".repeat(129);
    let table = [
        (link(id(1, 1), &long, id(1, 2)), "too_large"),
        (link(id(1, 1), "", id(1, 2)), "bad_message"),
        (link(id(1, 1), "a\0", id(1, 2)), "bad_message"),
        (link(id(1, 1), "r", id(1, 1)), "bad_message"),
        (link(id(1, 1), "r", id(1, 9)), "not_found"),
        (link(id(1, 9), "r", id(1, 1)), "not_found"),
        (link(id(1, 1), "r", id(2, 1)), "not_found"),
    ];
    for (call, code) in table {
        assert_eq!(k.refused(process(1), call.clone()).0, code, "{call:?}");
    }
    assert_eq!(k.refused(process(1), ListLinks { id: id(1, 9) }).0, "not_found");
}

#[test]
fn the_links_of_an_object_are_counted_at_both_ends() {
    let limits = libos_objects::Limits { links_max: 2, ..Default::default() };
    let part = libos_objects::Objects::with_limits(limits);
    let mut k = Memory { part, ..Memory::default() };
    fill(&mut k, 1, 4);
    k.ok(process(2), create("far", &json!(1)));
    k.ok(process(1), link(id(1, 1), "r", id(1, 2)));
    k.ok(process(1), link(id(2, 1), "r", id(1, 1)));
    assert_eq!(k.refused(process(1), link(id(1, 1), "r", id(1, 3))).0, "too_large");
    assert_eq!(k.refused(process(1), link(id(1, 3), "r", id(1, 1))).0, "too_large");
    k.ok(process(1), link(id(1, 3), "r", id(1, 4)));
}
