//! Calls on single objects, and namespaces.

use libos_abi::{
    Digest, Effect, Event, Json, ObjectId, Origin, Pid, Resource, Right, Syscall, capability,
    event::ObjectEvent,
    namespace,
    object::{Create, Delete, List, Read, Release, Stat, Update},
};
use serde_json::json;

use crate::{
    make::{Memory, append, blob, create, fill, id, lookup, made_from, named, space, update},
    rig::{host, process},
};

#[test]
fn a_process_gets_every_right_over_its_memory_with_its_first_object() {
    let mut k = Memory::default();
    k.world.now_ms = 7;
    let handle = k.ok(process(3), create("log", &json!({"b": 1, "a": [2]})));
    assert_eq!((handle.id, handle.version), (id(3, 1), 1));
    assert_eq!(handle.digest, Digest::of(br#"{"a":[2],"b":1}"#));
    let [Syscall::Capability(capability::Call::Issue(issue))] = &k.world.sent[..] else {
        panic!("one capability is issued: {:?}", k.world.sent);
    };
    assert_eq!((issue.to, &issue.origin, &issue.binding), (Pid(3), &Origin::Kernel, &None));
    assert_eq!((issue.grant.on.as_str(), issue.grant.delegable), ("object:p3/*", 4));
    assert_eq!(issue.grant.rights.to_string(), "read+write+delete+link+diff+materialize+grant");
    assert_eq!((issue.grant.effect, issue.grant.uses), (Effect::Allow, None));

    let read = k.ok(process(3), Read { id: handle.id });
    assert_eq!(read.payload.value().unwrap(), json!({"a": [2], "b": 1}));
    assert!(read.appended.is_empty());
    let stat = k.ok(process(3), Stat { id: handle.id });
    assert_eq!((stat.owner, stat.bytes, stat.created_at_ms), (Pid(3), 15, 7));
    assert_eq!((stat.immutable, stat.released, stat.tags.len()), (false, false, 0));

    assert_eq!(k.ok(process(3), create("log", &json!(2))).id, id(3, 2));
    assert!(k.world.sent.is_empty(), "once for the whole memory: {:?}", k.world.sent);
    assert_eq!(k.ok(process(4), create("log", &json!(2))).id, id(4, 1));
    assert_eq!(k.world.sent.len(), 1, "each process has a memory of its own");
}

#[test]
fn a_create_is_refused() {
    let long = "x".repeat(129);
    let one = || create("t", &json!(1));
    let tags = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
    let table = [
        (create("", &json!(1)), "bad_message"),
        (create(&long, &json!(1)), "too_large"),
        (create("a\nb", &json!(1)), "bad_message"),
        (Create { payload: blob((1 << 20) + 1), ..one() }, "too_large"),
        (Create { namespace: None, ..named("ns", "n") }, "bad_message"),
        (Create { name: None, ..named("ns", "n") }, "bad_message"),
        (named("nowhere", "n"), "unknown_namespace"),
        (named("ns", "taken"), "name_taken"),
        (named("ns", ""), "bad_message"),
        (named("ns", &long), "too_large"),
        (named("ns", "a\u{7f}"), "bad_message"),
        (Create { parents: Some(vec![id(1, 1); 65]), ..one() }, "too_large"),
        (Create { tags: tags(&["x"; 33]), ..one() }, "too_large"),
        (Create { tags: tags(&[&long]), ..one() }, "too_large"),
        (Create { tags: tags(&["a", ""]), ..one() }, "bad_message"),
    ];
    let mut k = Memory::default();
    k.ok(process(1), space("ns"));
    k.ok(process(1), named("ns", "taken"));
    for (call, code) in table {
        let shown = format!("{call:?}");
        assert_eq!(k.refused(process(1), call).0, code, "{shown}");
        assert!(k.world.sent.is_empty(), "nobody is asked: {shown}");
    }
    assert_eq!(k.refused(host(), one()).0, "bad_message");
    // The limits themselves are within.
    let most = Create { payload: blob(1 << 20), ..create(&long[1..], &json!(1)) };
    k.ok(process(1), Create { tags: tags(&["x"; 32]), ..most });
}

#[test]
fn a_failed_issue_undoes_the_create() {
    let mut k = Memory::default();
    k.ok(process(1), space("ns"));
    k.world.issue_fails.insert(1);
    assert_eq!(k.refused(process(1), named("ns", "n")).0, "bad_grant");
    assert_eq!(k.refused(process(1), lookup("ns", "n")).0, "not_found");
    assert_eq!(k.ok(process(1), named("ns", "n")).id, id(1, 1));
    assert_eq!(k.world.sent.len(), 1, "it is issued with what is now the first");
}

#[test]
fn a_parent_is_readable_by_the_maker() {
    let mut k = Memory::default();
    fill(&mut k, 1, 3);
    for (number, effect) in [(1, Effect::Allow), (2, Effect::Ask), (3, Effect::Allow)] {
        k.says(2, Right::Read, Resource::object(id(1, number)), effect);
    }
    k.says(2, Right::Read, Resource::object(id(1, 9)), Effect::Allow);
    k.ok(process(1), Delete { id: id(1, 3) });
    let whole = k.ok(process(2), made_from(&[id(1, 1), id(1, 1)]));
    let Syscall::Capability(capability::Call::May(check)) = &k.world.sent[0] else {
        panic!("the authority is asked first: {:?}", k.world.sent);
    };
    assert_eq!((check.pid, check.right, check.on.as_str()), (Pid(2), Right::Read, "object:p1/1"));
    assert_eq!(*k.ok(process(2), Stat { id: whole.id }).parents, [id(1, 1)]);
    // What needs a question, was removed, never was or is denied ends alike.
    for number in [2, 3, 9, 4] {
        let (code, text) = k.refused(process(2), made_from(&[id(1, 1), id(1, number)]));
        assert_eq!(code, "denied");
        assert!(text.contains(&format!("read on object:p1/{number}: no grant")), "{text}");
    }
}

#[test]
fn an_update_makes_a_new_version() {
    let mut k = Memory::default();
    let it = k.ok(process(1), create("log", &json!(1))).id;
    k.world.now_ms = 9;
    let handle = k.ok(process(2), update(it, &json!([1])));
    assert_eq!((handle.version, handle.digest), (2, Digest::of(b"[1]")));
    let expecting = |expected_version, payload| Update { id: it, payload, expected_version };
    let handle = k.ok(process(2), expecting(Some(2), blob(5000)));
    assert_eq!((handle.version, handle.digest), (3, Digest::of(b"elsewhere")));
    let stat = k.ok(process(1), Stat { id: it });
    assert_eq!((stat.bytes, stat.created_at_ms, stat.updated_at_ms), (5000, 0, 9));
    assert_eq!(k.ok(process(1), Read { id: it }).payload, blob(5000));

    let (code, text) = k.refused(process(2), expecting(Some(2), blob(1)));
    assert_eq!((code, text.as_str()), ("version_conflict", "obj-1.1 has version 3, not 2"));
    assert_eq!(k.refused(process(2), expecting(None, blob(1 << 21))).0, "too_large");
}

#[test]
fn an_append_adds_an_entry_and_chains_the_digest() {
    let mut k = Memory::default();
    let it = k.ok(process(1), create("log", &json!(["a"]))).id;
    k.world.now_ms = 4;
    let first = k.ok(process(1), append(it, &json!({"n": 1})));
    let chain =
        |digest: Digest, entry: &[u8]| Digest::of(&[digest.0, Digest::of(entry).0].concat());
    let digest = chain(Digest::of(br#"["a"]"#), br#"{"n":1}"#);
    assert_eq!((first.version, first.digest), (2, digest));
    let second = k.ok(process(1), append(it, &json!(2)));
    assert_eq!((second.version, second.digest), (3, chain(digest, b"2")));
    let read = k.ok(process(1), Read { id: it });
    assert_eq!(read.payload, Json::from(&json!(["a"])));
    assert_eq!(read.appended, [Json::from(&json!({"n": 1})), Json::from(&json!(2))]);
    let stat = k.ok(process(1), Stat { id: it });
    assert_eq!((stat.version, stat.bytes, stat.updated_at_ms), (3, 13, 4));
    // An update begins anew.
    k.ok(process(1), update(it, &json!([])));
    assert!(k.ok(process(1), Read { id: it }).appended.is_empty());
    assert_eq!(k.ok(process(1), Stat { id: it }).bytes, 2);
}

#[test]
fn an_append_is_refused() {
    let mut k = Memory::default();
    let list = k.ok(process(1), create("log", &json!([]))).id;
    let no_list = k.ok(process(1), create("log", &json!("[]"))).id;
    let far = k.ok(process(1), Create { payload: blob(5000), ..create("log", &json!([])) }).id;
    for it in [no_list, far] {
        assert_eq!(k.refused(process(1), append(it, &json!(1))).0, "not_a_list");
    }
    let entry = |bytes| libos_abi::object::Append { entry: blob(bytes), ..append(list, &json!(1)) };
    assert_eq!(k.refused(process(1), entry((1 << 20) + 1)).0, "too_large");
    let stale = libos_abi::object::Append { expected_version: Some(2), ..entry(1) };
    assert_eq!(k.refused(process(1), stale).0, "version_conflict");
    // All of it together stays within the limit of a content.
    for _ in 0..511 {
        k.ok(process(1), entry(1 << 20));
    }
    assert_eq!(k.refused(process(1), entry(1 << 20)).0, "too_large", "two bytes too many");
    k.ok(process(1), entry((1 << 20) - 2));
}

#[test]
fn the_entries_of_an_object_are_counted() {
    let limits = libos_objects::Limits { entries_max: 2, ..Default::default() };
    let part = libos_objects::Objects::with_limits(limits);
    let mut k = Memory { part, ..Memory::default() };
    let it = k.ok(process(1), create("log", &json!([]))).id;
    k.ok(process(1), append(it, &json!(1)));
    k.ok(process(1), append(it, &json!(2)));
    let (code, text) = k.refused(process(1), append(it, &json!(3)));
    assert_eq!((code, text.as_str()), ("too_large", "3 entries of an object; 2 may be"));
}

#[test]
fn an_immutable_object_never_changes() {
    let mut k = Memory::default();
    let call = Create { immutable: Some(true), ..create("log", &json!([])) };
    let it = k.ok(process(1), call).id;
    assert!(k.ok(process(1), Stat { id: it }).immutable);
    assert_eq!(k.refused(process(1), update(it, &json!([]))).0, "immutable");
    assert_eq!(k.refused(process(1), append(it, &json!(1))).0, "immutable");
    // It can still be given up and removed.
    k.ok(process(1), Release { id: it });
    k.ok(process(1), Delete { id: it });
}

#[test]
fn a_released_object_keeps_its_digest_and_what_it_was_made_from() {
    let mut k = Memory::open();
    fill(&mut k, 1, 1);
    let it = k.ok(process(1), Create { parents: Some(vec![id(1, 1)]), ..create("t", &json!([])) });
    k.ok(process(1), append(it.id, &json!(1)));
    k.world.now_ms = 8;
    let before = k.ok(process(1), Stat { id: it.id });
    let handle = k.ok(process(1), Release { id: it.id });
    assert_eq!((handle.version, handle.digest), (before.version, before.digest));
    let after = k.ok(process(1), Stat { id: it.id });
    assert_eq!((after.released, after.bytes, after.updated_at_ms), (true, 0, 8));
    assert_eq!(*after.parents, [id(1, 1)]);
    let table: [Syscall; 4] = [
        Read { id: it.id }.into(),
        Release { id: it.id }.into(),
        update(it.id, &json!(1)).into(),
        append(it.id, &json!(1)).into(),
    ];
    for call in table {
        assert_eq!(k.refused(process(1), call).0, "released");
    }
}

#[test]
fn a_removed_object_is_gone_its_name_is_free_and_its_id_is_never_given_again() {
    let mut k = Memory::default();
    k.ok(process(1), space("ns"));
    let it = k.ok(process(1), named("ns", "n")).id;
    assert_eq!(k.ok(process(2), lookup("ns", "n")).id, it);
    assert_eq!(k.ok(process(2), Delete { id: it }).id, it);
    let calls = |id: ObjectId| -> [Syscall; 7] {
        [
            Read { id }.into(),
            Stat { id }.into(),
            Delete { id }.into(),
            Release { id }.into(),
            update(id, &json!(1)).into(),
            append(id, &json!(1)).into(),
            libos_abi::object::ListLinks { id }.into(),
        ]
    };
    // So is one of a process that has no memory, and one that never was.
    for gone in [it, id(1, 9), id(9, 1), id(1, 0), id(1, u64::MAX)] {
        for call in calls(gone) {
            assert_eq!(k.refused(process(1), call).0, "not_found");
        }
    }
    assert_eq!(k.refused(process(1), lookup("ns", "n")).0, "not_found");
    assert!(k.ok(host(), List { r#type: None, after: None, limit: None }).objects.is_empty());
    assert_eq!(k.ok(process(1), named("ns", "n")).id, id(1, 2));
}

#[test]
fn a_namespace_is_made_once_and_lists_its_names_in_order() {
    let mut k = Memory::default();
    let made = k.ok(host(), space("ns"));
    assert_eq!((made.namespace.as_str(), made.entries.len()), ("ns", 0));
    assert!(matches!(&k.journal[0], Event::Object(ObjectEvent::NamespaceCreated { by: None, .. })));
    k.ok(process(1), named("ns", "b"));
    k.ok(process(1), named("ns", "a"));
    let list = namespace::List { namespace: "ns".into() };
    let names: Vec<_> = k.ok(process(1), list).entries.into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["a", "b"]);

    let long = "x".repeat(129);
    for (name, code) in
        [("ns", "exists"), ("", "bad_name"), (&long, "bad_name"), ("\t", "bad_name")]
    {
        assert_eq!(k.refused(process(1), space(name)).0, code, "{name:?}");
    }
    let list = namespace::List { namespace: "none".into() };
    assert_eq!(k.refused(process(1), list).0, "not_found");
    assert_eq!(k.refused(process(1), lookup("none", "a")).0, "not_found");
    assert_eq!(k.refused(process(1), lookup("ns", "c")).0, "not_found");
}

#[test]
fn what_it_does_not_serve_is_unsupported() {
    let mut k = Memory::default();
    assert_eq!(k.refused(host(), libos_abi::tool::List {}).0, "unsupported");
}
