//! Objects handed over.

use libos_abi::{
    Effect, Pid, Resource, Right, Syscall, capability,
    object::{Create, Delete, ListLinks, Query, Read, Stat},
};
use serde_json::json;

use crate::{
    make::{
        Memory, append, create, fill, id, link, lookup, made_from, named, query, space, transfer,
    },
    rig::{host, process},
};

/// Parent and child as the kernel knows them: each may write to the other.
fn related(k: &mut Memory, parent: u64, child: u64) {
    let on = |pid| Resource::id("process", Pid(pid));
    k.says(parent, Right::Write, on(child), Effect::Allow);
    k.says(child, Right::Write, on(parent), Effect::Allow);
}

#[test]
fn an_object_moves_into_the_memory_of_a_relative() {
    let mut k = Memory::default();
    related(&mut k, 1, 2);
    k.says(1, Right::Read, Resource::object(id(1, 1)), Effect::Allow);
    k.ok(host(), space("ns"));
    fill(&mut k, 1, 1);
    let call = Create { parents: Some(vec![id(1, 1)]), ..named("ns", "n") };
    let it = k.ok(process(1), Create { payload: libos_abi::Json::from(&json!([])), ..call }).id;
    k.ok(process(1), append(it, &json!("x")));
    k.ok(process(1), link(it, "cites", id(1, 1)));
    let before = k.ok(process(1), Stat { id: it });
    k.world.now_ms = 5;
    let handle = k.ok(process(1), transfer(it, 2));
    assert_eq!((handle.id, handle.version, handle.digest), (id(2, 1), 2, before.digest));
    let issued = k.world.sent.iter().filter_map(|call| match call {
        Syscall::Capability(capability::Call::Issue(issue)) => Some(issue.grant.on.to_string()),
        _ => None,
    });
    let issued: Vec<String> = issued.collect();
    assert_eq!(issued, ["object:p2/*"], "the receiver had no memory before");

    let after = k.ok(process(2), Stat { id: id(2, 1) });
    assert_eq!((after.owner, after.updated_at_ms, after.created_at_ms), (Pid(2), 5, 0));
    assert_eq!((*after.parents).to_vec(), [id(1, 1)]);
    assert_eq!(k.ok(process(2), Read { id: id(2, 1) }).appended.len(), 1);
    assert_eq!(k.ok(process(2), lookup("ns", "n")).id, id(2, 1));
    let links = k.ok(process(1), ListLinks { id: id(1, 1) }).links;
    assert_eq!((links[0].from, links[0].to), (id(2, 1), id(1, 1)));
    assert_eq!(k.refused(process(1), Read { id: it }).0, "not_found");
    // A newer search of the receiver finds it, and it may go back.
    let since = Query { since_ms: Some(5), ..query() };
    assert_eq!(k.ok(process(2), since).objects.len(), 1);
    assert_eq!(k.ok(process(2), transfer(id(2, 1), 1)).id, id(1, 3), "under a new number");
    let links = k.ok(process(1), ListLinks { id: id(1, 3) }).links;
    assert_eq!((links[0].from, links[0].to), (id(1, 3), id(1, 1)));
    k.ok(process(1), Delete { id: id(1, 3) });
    assert!(k.ok(process(1), ListLinks { id: id(1, 1) }).links.is_empty());
}

#[test]
fn a_transfer_is_refused() {
    let mut k = Memory::default();
    related(&mut k, 1, 2);
    fill(&mut k, 1, 1);
    fill(&mut k, 4, 1);
    let it = id(1, 1);
    // Nobody whom the caller may not write to.
    let (code, text) = k.refused(process(1), transfer(it, 3));
    assert_eq!(code, "denied");
    assert!(text.contains("write on process:p3: no grant"), "{text}");
    k.says(1, Right::Write, Resource::id("process", Pid(4)), Effect::Ask);
    assert_eq!(k.refused(process(1), transfer(it, 4)).0, "denied");
    // What ended has no authority left, over its relatives neither.
    k.says(1, Right::Write, Resource::id("process", Pid(4)), Effect::Allow);
    let (code, text) = k.refused(process(1), transfer(it, 4));
    assert_eq!((code, text.as_str()), ("receiver_ended", "p4 is no living child or parent of p1"));
    assert_eq!(k.refused(process(1), transfer(id(1, 7), 2)).0, "not_found");
    assert_eq!(k.refused(process(1), transfer(it, 1)).0, "bad_message");
}

#[test]
fn the_host_hands_over_between_relatives() {
    let mut k = Memory::default();
    related(&mut k, 1, 2);
    fill(&mut k, 1, 1);
    assert_eq!(k.refused(host(), transfer(id(1, 1), 3)).0, "receiver_ended");
    assert_eq!(k.ok(host(), transfer(id(1, 1), 2)).id, id(2, 1));
}

#[test]
fn a_failed_issue_undoes_the_transfer() {
    let mut k = Memory::default();
    related(&mut k, 1, 2);
    fill(&mut k, 1, 1);
    k.world.issue_fails.insert(2);
    assert_eq!(k.refused(process(1), transfer(id(1, 1), 2)).0, "bad_grant");
    assert_eq!(k.ok(process(1), transfer(id(1, 1), 2)).id, id(2, 1));
}

#[test]
fn what_was_made_from_a_moved_object_keeps_saying_so() {
    let mut k = Memory::open();
    k.ok(process(1), create("part", &json!(1)));
    let whole = k.ok(process(1), made_from(&[id(1, 1)])).id;
    k.ok(process(1), transfer(id(1, 1), 2));
    assert_eq!(*k.ok(process(1), Stat { id: whole }).parents, [id(1, 1)]);
    let moved = k.ok(process(1), transfer(whole, 2)).id;
    assert_eq!(*k.ok(process(2), Stat { id: moved }).parents, [id(1, 1)]);
}
