//! Listing and finding objects.

use libos_abi::{
    Effect, ObjectId, Pid, Resource, Right,
    object::{Create, List, Query},
};
use serde_json::json;

use crate::{
    make::{Memory, create, fill, id, named, numbers, query, space},
    rig::{host, process},
};

#[test]
fn a_process_lists_its_own_objects_and_the_host_all() {
    let mut k = Memory::default();
    for (pid, r#type) in [(1, "a"), (2, "a"), (1, "b")] {
        k.ok(process(pid), create(r#type, &json!(1)));
    }
    let table = [
        (process(1), None, vec![id(1, 1), id(1, 2)]),
        (process(1), Some("b"), vec![id(1, 2)]),
        (process(2), Some("b"), vec![]),
        (process(3), None, vec![]),
        (host(), None, vec![id(1, 1), id(1, 2), id(2, 1)]),
        (host(), Some("a"), vec![id(1, 1), id(2, 1)]),
    ];
    for (who, r#type, ids) in table {
        let r#type = r#type.map(String::from);
        let listed = k.ok(who.clone(), List { r#type, after: None, limit: None }).objects;
        let listed: Vec<ObjectId> = listed.iter().map(|info| info.id).collect();
        assert_eq!(listed, ids, "{who}");
    }
}

#[test]
fn a_search_gives_what_fits_in_everything() {
    let mut k = Memory::open();
    k.ok(host(), space("ns"));
    for n in 1..=6_u64 {
        k.world.now_ms = n;
        let tags = Some(vec![format!("t{}", n % 2), "all".into()]);
        let parents = (n > 4).then(|| vec![id(1, 1)]);
        let call =
            Create { tags, parents, ..named("ns", &format!("{}-{n}", ["x", "y"][n as usize / 4])) };
        k.ok(process(1), Create { r#type: ["a", "b"][n as usize % 2].into(), ..call });
    }
    let text = |text: &str| Some(text.to_owned());
    let table = [
        (query(), vec![1, 2, 3, 4, 5, 6]),
        (Query { r#type: text("b"), ..query() }, vec![1, 3, 5]),
        (Query { tag: text("t0"), ..query() }, vec![2, 4, 6]),
        (Query { tag: text("t"), ..query() }, vec![]),
        (Query { name_prefix: text("y-"), ..query() }, vec![4, 5, 6]),
        (Query { parent: Some(id(1, 1)), ..query() }, vec![5, 6]),
        (Query { since_ms: Some(3), ..query() }, vec![3, 4, 5, 6]),
        (Query { after: Some(id(1, 4)), ..query() }, vec![5, 6]),
        (Query { after: Some(id(1, u64::MAX)), ..query() }, vec![]),
        (Query { limit: Some(2), ..query() }, vec![1, 2]),
        (Query { limit: Some(2), after: Some(id(1, 2)), tag: text("all"), ..query() }, vec![3, 4]),
        (Query { limit: Some(0), ..query() }, vec![]),
        (Query { tag: text("t1"), r#type: text("b"), since_ms: Some(2), ..query() }, vec![3, 5]),
    ];
    for (call, wanted) in table {
        for (who, space) in [(process(1), None), (host(), Some(Pid(1)))] {
            let found = k.ok(who, Query { space, ..call.clone() }).objects;
            assert_eq!(numbers(found.iter().map(|info| info.id)), wanted, "{call:?}");
        }
    }
    let nowhere = Query { space: Some(Pid(8)), ..query() };
    assert!(k.ok(process(1), nowhere).objects.is_empty());
    assert_eq!(k.refused(host(), query()).0, "bad_message");
    let astray = Query { after: Some(id(2, 1)), ..query() };
    assert_eq!(k.refused(process(1), astray).0, "bad_message");
}

#[test]
fn a_search_elsewhere_gives_what_the_caller_may_read() {
    let mut k = Memory::default();
    fill(&mut k, 1, 5);
    for (number, effect) in [(1, Effect::Allow), (2, Effect::Ask), (4, Effect::Allow)] {
        k.says(2, Right::Read, Resource::object(id(1, number)), effect);
    }
    let found = |k: &mut Memory, limit| {
        let call = Query { space: Some(Pid(1)), limit, ..query() };
        numbers(k.ok(process(2), call).objects.iter().map(|info| info.id))
    };
    assert_eq!(found(&mut k, None), [1, 4]);
    assert_eq!(found(&mut k, Some(1)), [1]);
    assert!(k.ok(process(1), query()).objects.len() == 5, "its own is its own");
    assert!(k.world.sent.is_empty());
}

#[test]
fn a_search_gives_a_hundred_and_at_most_a_thousand() {
    let mut k = Memory::default();
    let limits = libos_objects::Limits { query_default: 2, query_max: 3, ..Default::default() };
    k.part = libos_objects::Objects::with_limits(limits);
    fill(&mut k, 1, 5);
    assert_eq!(k.ok(process(1), query()).objects.len(), 2);
    assert_eq!(k.ok(process(1), Query { limit: Some(9), ..query() }).objects.len(), 3);
    let usual = libos_objects::Limits::default();
    assert_eq!((usual.query_default, usual.query_max), (100, 1_000));
}
