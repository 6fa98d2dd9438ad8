//! What must hold of objects and namespaces.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use common::{Kernel, host, process};
use libos_abi::{
    Digest, Effect, Event, Json, ObjectId, Pid, Resource, Right, Syscall, Text, capability,
    event::ObjectEvent, namespace, object,
};
use libos_objects::Objects;
use serde_json::json;

type Memory = Kernel<Objects>;

fn create(r#type: &str, payload: serde_json::Value) -> object::Create {
    object::Create {
        r#type: r#type.into(),
        payload: Json::from(&payload),
        name: None,
        namespace: None,
        parents: None,
    }
}

fn named(namespace: &str, name: &str) -> object::Create {
    object::Create {
        name: Some(name.into()),
        namespace: Some(namespace.into()),
        ..create("note", json!(1))
    }
}

fn blob(bytes: u64) -> Json {
    let digest = Digest::of(b"elsewhere");
    Json(Text::Blob { digest, bytes })
}

fn space(name: &str) -> namespace::Create {
    let namespace = name.into();
    namespace::Create { namespace }
}

fn lookup(namespace: &str, name: &str) -> namespace::Lookup {
    let (namespace, name) = (namespace.into(), name.into());
    namespace::Lookup { namespace, name }
}

#[test]
fn an_object_belongs_to_its_maker_who_gets_every_right_on_it() {
    let mut k = Memory::default();
    k.world.now_ms = 7;
    let handle = k.ok(process(1), 1, create("log", json!({"b": 1, "a": [2]})));
    assert_eq!((handle.id, handle.version), (ObjectId(1), 1));
    assert_eq!(handle.digest, Digest::of(br#"{"a":[2],"b":1}"#));
    let [Syscall::Capability(capability::Call::Issue(issue))] = &k.world.sent[..] else {
        panic!("one capability is issued: {:?}", k.world.sent);
    };
    assert_eq!(issue.to, Pid(1));
    assert_eq!(issue.origin, libos_abi::Origin::Kernel);
    assert_eq!((issue.grant.on.as_str(), issue.grant.delegable), ("object:obj-1", 4));
    assert_eq!(issue.grant.rights.to_string(), "read+write+delete+link+diff+materialize+grant");
    assert_eq!((&issue.binding, issue.grant.uses), (&None, None));

    let read = k.ok(process(1), 2, object::Read { id: handle.id });
    assert_eq!(read.payload.value().unwrap(), json!({"a": [2], "b": 1}));
    let stat = k.ok(process(1), 3, object::Stat { id: handle.id });
    assert_eq!((stat.owner, stat.bytes, stat.created_at_ms), (Pid(1), 15, 7));
}

#[test]
fn a_create_is_refused() {
    let long = "x".repeat(129);
    let table = [
        (create("", json!(1)), "bad_message"),
        (create(&long, json!(1)), "too_large"),
        (create("a\nb", json!(1)), "bad_message"),
        (object::Create { payload: blob((1 << 20) + 1), ..create("t", json!(1)) }, "too_large"),
        (object::Create { namespace: None, ..named("ns", "n") }, "bad_message"),
        (object::Create { name: None, ..named("ns", "n") }, "bad_message"),
        (named("nowhere", "n"), "unknown_namespace"),
        (named("ns", "taken"), "name_taken"),
        (named("ns", ""), "bad_message"),
        (named("ns", &long), "too_large"),
        (named("ns", "a\u{7f}"), "bad_message"),
        (object::Create { parents: Some(vec![ObjectId(1); 65]), ..create("t", json!(1)) }, "limit"),
    ];
    let mut k = Memory::default();
    k.ok(process(1), 1, space("ns"));
    k.ok(process(1), 2, named("ns", "taken"));
    for (call, code) in table {
        let shown = format!("{call:?}");
        assert_eq!(k.refused(process(1), 3, call).0, code, "{shown}");
        assert!(k.world.sent.is_empty(), "nobody is asked: {shown}");
    }
    assert_eq!(k.refused(host(), 4, create("t", json!(1))).0, "bad_message");
    // The limits themselves are within.
    k.ok(process(1), 5, object::Create { payload: blob(1 << 20), ..create(&long[1..], json!(1)) });
}

#[test]
fn a_failed_issue_undoes_the_create() {
    let mut k = Memory::default();
    k.ok(process(1), 1, space("ns"));
    k.world.issue_fails.insert(1);
    assert_eq!(k.refused(process(1), 2, named("ns", "n")).0, "bad_grant");
    assert_eq!(k.refused(process(1), 3, lookup("ns", "n")).0, "not_found");
    assert_eq!(k.ok(process(1), 4, named("ns", "n")).id, ObjectId(1));
}

#[test]
fn a_parent_is_readable_by_the_maker() {
    let mut k = Memory::default();
    for op in 1..=3 {
        k.ok(process(1), op, create("part", json!(op)));
    }
    let on = |id| Resource::id("object", ObjectId(id));
    k.world.explains.insert(on(1), Effect::Allow);
    k.world.explains.insert(on(2), Effect::Ask);
    k.world.explains.insert(on(3), Effect::Allow);
    k.world.explains.insert(on(9), Effect::Allow);
    k.ok(process(1), 4, object::Delete { id: ObjectId(3) });
    let of = |ids: &[u64]| object::Create {
        parents: Some(ids.iter().map(|id| ObjectId(*id)).collect()),
        ..create("whole", json!(0))
    };
    let whole = k.ok(process(2), 5, of(&[1, 1]));
    let Syscall::Capability(capability::Call::Explain(explain)) = &k.world.sent[0] else {
        panic!("the authority is asked first: {:?}", k.world.sent);
    };
    assert_eq!((explain.pid, explain.right, &explain.on), (None, Right::Read, &on(1)));
    let stat = k.ok(process(2), 6, object::Stat { id: whole.id });
    assert_eq!(stat.parents, [ObjectId(1)]);
    // What needs a question, was removed, never was or is denied ends alike.
    for id in [2, 3, 9, 4] {
        let (code, text) = k.refused(process(2), 7, of(&[1, id]));
        assert_eq!(code, "denied");
        assert!(text.contains(&format!("read on object:obj-{id}: no grant")), "{text}");
    }
}

#[test]
fn an_update_makes_a_new_version() {
    let mut k = Memory::default();
    let id = k.ok(process(1), 1, create("log", json!(1))).id;
    let update = |expected_version, payload| object::Update { id, payload, expected_version };
    k.world.now_ms = 9;
    let handle = k.ok(process(2), 2, update(None, Json::from(&json!([1]))));
    assert_eq!((handle.version, handle.digest), (2, Digest::of(b"[1]")));
    let handle = k.ok(process(2), 3, update(Some(2), blob(5000)));
    assert_eq!((handle.version, handle.digest), (3, Digest::of(b"elsewhere")));
    let stat = k.ok(process(1), 4, object::Stat { id });
    assert_eq!((stat.bytes, stat.created_at_ms, stat.updated_at_ms), (5000, 0, 9));
    assert_eq!(k.ok(process(1), 5, object::Read { id }).payload, blob(5000));

    let (code, text) = k.refused(process(2), 6, update(Some(2), blob(1)));
    assert_eq!((code, text.as_str()), ("version_conflict", "obj-1 has version 3, not 2"));
    assert_eq!(k.refused(process(2), 7, update(None, blob(1 << 21))).0, "too_large");
}

#[test]
fn a_removed_object_is_gone_its_name_is_free_and_its_id_is_never_given_again() {
    let mut k = Memory::default();
    k.ok(process(1), 1, space("ns"));
    let id = k.ok(process(1), 2, named("ns", "n")).id;
    assert_eq!(k.ok(process(2), 3, lookup("ns", "n")).id, id);
    assert_eq!(k.ok(process(2), 4, object::Delete { id }).id, id);
    let payload = Json::default();
    let table: [Syscall; 4] = [
        object::Read { id }.into(),
        object::Stat { id }.into(),
        object::Delete { id }.into(),
        object::Update { id, payload, expected_version: None }.into(),
    ];
    for call in table {
        assert_eq!(k.refused(process(1), 5, call).0, "not_found");
    }
    assert_eq!(k.refused(process(1), 6, lookup("ns", "n")).0, "not_found");
    assert!(k.ok(host(), 7, object::List { r#type: None }).objects.is_empty());
    assert_eq!(k.ok(process(1), 8, named("ns", "n")).id, ObjectId(2));
}

#[test]
fn a_process_lists_its_own_objects_and_the_host_all() {
    let mut k = Memory::default();
    for (op, (pid, r#type)) in [(1, "a"), (2, "a"), (1, "b")].into_iter().enumerate() {
        k.ok(process(pid), op as u64, create(r#type, json!(1)));
    }
    let table = [
        (process(1), None, vec![1, 3]),
        (process(1), Some("b"), vec![3]),
        (process(2), Some("b"), vec![]),
        (process(3), None, vec![]),
        (host(), None, vec![1, 2, 3]),
        (host(), Some("a"), vec![1, 2]),
    ];
    for (who, r#type, ids) in table {
        let r#type = r#type.map(String::from);
        let listed = k.ok(who.clone(), 9, object::List { r#type }).objects;
        let listed: Vec<_> = listed.iter().map(|info| info.id.0).collect();
        assert_eq!(listed, ids, "{who}");
    }
}

#[test]
fn a_namespace_is_made_once_and_lists_its_names_in_order() {
    let mut k = Memory::default();
    let made = k.ok(host(), 1, space("ns"));
    assert_eq!((made.namespace.as_str(), made.entries.len()), ("ns", 0));
    assert!(matches!(&k.journal[0], Event::Object(ObjectEvent::NamespaceCreated { by: None, .. })));
    k.ok(process(1), 2, named("ns", "b"));
    k.ok(process(1), 3, named("ns", "a"));
    let list = namespace::List { namespace: "ns".into() };
    let names: Vec<_> = k.ok(process(1), 4, list).entries.into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["a", "b"]);

    let long = "x".repeat(129);
    for (name, code) in
        [("ns", "exists"), ("", "bad_name"), (&long, "bad_name"), ("\t", "bad_name")]
    {
        assert_eq!(k.refused(process(1), 5, space(name)).0, code, "{name:?}");
    }
    let list = namespace::List { namespace: "none".into() };
    assert_eq!(k.refused(process(1), 6, list).0, "not_found");
    assert_eq!(k.refused(process(1), 7, lookup("none", "a")).0, "not_found");
    assert_eq!(k.refused(process(1), 8, lookup("ns", "c")).0, "not_found");
}

#[test]
fn what_it_does_not_serve_is_unsupported() {
    let mut k = Memory::default();
    assert_eq!(k.refused(host(), 1, libos_abi::tool::List {}).0, "unsupported");
}
