//! Copies of a whole memory: what is in one of them concerns no other.

use libos_abi::{
    Pid, Syscall, capability,
    object::{Create, Delete, DropSpace, List, ListLinks, ListViews, MakeView, Query, Read, Stat},
};
use serde_json::json;

use crate::{
    make::{
        Memory, append, create, fill, fork, id, link, lookup, made_from, named, query, space,
        update,
    },
    rig::{host, process},
};

/// p1 with three objects: 2 was made from 1, 3 is named and linked to both; and p7 with one.
fn family() -> Memory {
    let mut k = Memory::open();
    k.ok(host(), space("ns"));
    k.ok(process(7), create("far", &json!(7)));
    k.ok(process(1), create("part", &json!([1])));
    k.ok(process(1), made_from(&[id(1, 1), id(7, 1)]));
    k.ok(process(1), named("ns", "n"));
    k.ok(process(1), link(id(1, 3), "cites", id(1, 1)));
    k.ok(process(1), link(id(1, 3), "cites", id(7, 1)));
    k
}

#[test]
fn a_copy_points_into_itself() {
    let mut k = family();
    k.ok(host(), fork(1, 2));
    let [Syscall::Capability(capability::Call::Issue(issue))] = &k.world.sent[..] else {
        panic!("one capability is issued: {:?}", k.world.sent);
    };
    assert_eq!((issue.to, issue.grant.on.as_str()), (Pid(2), "object:p2/*"));
    let copied = k.ok(process(2), Stat { id: id(2, 2) });
    assert_eq!((copied.id, copied.owner), (id(2, 2), Pid(2)));
    assert_eq!(*copied.parents, [id(2, 1), id(7, 1)]);
    assert_eq!(k.ok(process(2), Read { id: id(2, 1) }).payload, libos_abi::Json::from(&json!([1])));
    // A link inside is one of the copy; one that leads out, and a name, are not.
    let links = k.ok(process(2), ListLinks { id: id(2, 3) }).links;
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].from, links[0].to), (id(2, 3), id(2, 1)));
    assert_eq!(k.ok(process(7), ListLinks { id: id(7, 1) }).links.len(), 1);
    assert_eq!(k.ok(process(2), lookup("ns", "n")).id, id(1, 3));
    let third = k.ok(process(2), Stat { id: id(2, 3) });
    assert_eq!((third.name, third.namespace), (None, None));
    let by_name = Query { name_prefix: Some("n".into()), ..query() };
    assert!(k.ok(process(2), by_name).objects.is_empty());
    let by_parent = Query { parent: Some(id(2, 1)), ..query() };
    assert_eq!(k.ok(process(2), by_parent).objects[0].id, id(2, 2));
    // A copy of a copy likewise.
    k.ok(host(), fork(2, 3));
    let again = k.ok(process(3), Stat { id: id(3, 2) });
    assert_eq!(*again.parents, [id(3, 1), id(7, 1)]);
    assert_eq!(k.ok(process(3), ListLinks { id: id(3, 1) }).links[0].from, id(3, 3));
}

#[test]
fn what_one_changes_the_other_does_not_see() {
    let mut k = family();
    k.ok(host(), fork(1, 2));
    let text = |k: &mut Memory, space| {
        let it = k.ok(host(), Read { id: id(space, 1) });
        (it.version, serde_json::to_string(&(it.payload, it.appended)).unwrap())
    };
    k.ok(process(2), append(id(2, 1), &json!("child")));
    k.ok(process(1), append(id(1, 1), &json!("parent")));
    assert_eq!(text(&mut k, 2), (2, r#"[[1],["child"]]"#.into()));
    assert_eq!(text(&mut k, 1), (2, r#"[[1],["parent"]]"#.into()));
    k.ok(process(2), update(id(2, 2), &json!("mine")));
    assert_eq!(*k.ok(process(2), Stat { id: id(2, 2) }).parents, [id(2, 1), id(7, 1)]);
    assert_eq!(*k.ok(process(1), Stat { id: id(1, 2) }).parents, [id(1, 1), id(7, 1)]);
    k.ok(process(2), Delete { id: id(2, 3) });
    assert_eq!(k.ok(process(1), lookup("ns", "n")).id, id(1, 3), "the name is the original's");
    assert_eq!(k.ok(process(1), ListLinks { id: id(1, 3) }).links.len(), 2);
    k.ok(process(1), Delete { id: id(1, 1) });
    assert_eq!(text(&mut k, 2).0, 2);
    // Both go on counting by themselves.
    assert_eq!(k.ok(process(1), create("new", &json!(0))).id, id(1, 4));
    assert_eq!(k.ok(process(2), create("new", &json!(0))).id, id(2, 4));
}

#[test]
fn an_empty_memory_can_be_copied_and_a_copy_replaces_none() {
    let mut k = Memory::open();
    k.ok(host(), fork(1, 2));
    assert_eq!(k.world.sent.len(), 1, "the receiver has authority over it");
    assert_eq!(k.ok(process(2), create("new", &json!(0))).id, id(2, 1));
    assert!(k.world.sent.is_empty(), "it had a memory");
    assert_eq!(k.refused(host(), fork(1, 2)).0, "bad_message");
    assert_eq!(k.refused(host(), fork(1, 1)).0, "bad_message");
    k.world.issue_fails.insert(2);
    assert_eq!(k.refused(host(), fork(2, 3)).0, "bad_grant");
    k.ok(host(), fork(2, 3));
}

#[test]
fn a_memory_that_is_dropped_is_gone_with_its_names_links_and_views() {
    let mut k = family();
    k.ok(host(), fork(1, 2));
    k.ok(process(2), Create { namespace: Some("ns".into()), ..named("ns", "mine") });
    k.ok(process(2), link(id(7, 1), "cites", id(2, 1)));
    let view = MakeView { items: Vec::new(), from: None };
    k.ok(process(2), view.clone());
    assert_eq!(k.ok(host(), DropSpace { space: Pid(2) }).objects, 4);
    assert_eq!(k.refused(process(1), lookup("ns", "mine")).0, "not_found");
    assert_eq!(k.ok(process(1), lookup("ns", "n")).id, id(1, 3));
    assert_eq!(k.ok(process(7), ListLinks { id: id(7, 1) }).links.len(), 1);
    assert!(k.ok(host(), ListViews {}).views.is_empty());
    assert!(k.ok(process(2), List { r#type: None, after: None, limit: None }).objects.is_empty());
    // A process that goes on without what it had gets new numbers, and authority over them.
    assert_eq!(k.ok(process(2), create("new", &json!(0))).id, id(2, 5));
    assert_eq!(k.world.sent.len(), 1);
    // Dropping what is not there drops nothing.
    let events = k.journal.len();
    assert_eq!(k.ok(host(), DropSpace { space: Pid(9) }).objects, 0);
    assert_eq!(k.journal.len(), events);
    k.ok(process(9), view);
    assert_eq!(k.ok(host(), DropSpace { space: Pid(9) }).objects, 0);
    assert!(k.ok(host(), ListViews {}).views.is_empty(), "views go without a memory too");
    // One that was never copied goes with all names in it.
    assert_eq!(k.ok(host(), DropSpace { space: Pid(1) }).objects, 3);
    assert_eq!(k.refused(process(2), lookup("ns", "n")).0, "not_found");
    fill(&mut k, 2, 1);
}
