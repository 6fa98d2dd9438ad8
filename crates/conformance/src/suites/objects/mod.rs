//! Objects and the names for them: services `object` and `namespace`.

use libos_abi::{
    Digest, Effect, Json, ObjectId, Pattern, Pid, Resource, Right, Syscall, Text, namespace, object,
};
use libos_port::Component;
use serde_json::{Value, json};

use crate::{Factory, Kernel, host, process, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! objects_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args objects
            case an_object_belongs_to_its_maker_who_gets_every_right_on_it
                holds "I-13" shows "object.create ok, object.read ok, object.stat ok";
            case a_create_is_refused_before_anybody_is_asked
                holds "I-08"
                shows "object.create too_large, object.create unknown_namespace,
object.create name_taken";
            case a_failed_issue_undoes_the_create
                holds "I-08" shows "object.create bad_grant, namespace.lookup not_found";
            case a_parent_is_readable_by_the_maker
                holds "I-13" shows "object.create denied";
            case an_update_makes_a_new_version
                holds "I-34"
                shows "object.update ok, object.update version_conflict, object.update too_large";
            case a_removed_object_is_gone_its_name_is_free_and_its_id_is_never_given_again
                holds "I-27"
                shows "object.delete ok, object.delete not_found, object.read not_found,
object.stat not_found, object.update not_found";
            case a_process_lists_its_own_objects_and_the_host_all
                holds "I-13" shows "object.list ok";
            case a_namespace_is_made_once_and_lists_its_names_in_order
                holds "I-13"
                shows "namespace.create ok, namespace.create exists, namespace.create bad_name,
namespace.list ok, namespace.list not_found, namespace.lookup ok";
            case a_list_grows_by_its_entries
                holds "I-34"
                shows "object.append ok, object.append not_a_list, object.append not_found,
object.append version_conflict, object.append too_large";
            case a_content_is_an_object_of_parts_that_is_read_in_parts
                holds "I-34"
                shows "object.collect ok, object.collect too_large, object.entries ok,
object.entries not_found, object.entries released, object.content ok, object.content not_found,
object.content released, object.read too_large";
            case what_never_changes_never_changes
                holds "I-08"
                shows "object.update immutable, object.append immutable, object.read ok";
            case a_payload_that_was_given_up_is_gone_and_its_history_stays
                holds "I-27"
                shows "object.release ok, object.release released, object.release not_found,
object.read released, object.update released, object.append released";
            case objects_are_connected_and_taken_apart
                holds "I-13"
                shows "object.link ok, object.link not_found, object.link too_large,
                       object.links ok, object.links not_found, object.unlink ok,
                       object.unlink not_found";
            case a_search_finds_what_fits_and_what_may_be_read
                holds "I-13" shows "object.query ok, object.query bad_message";
            case an_object_is_handed_over_under_a_new_id
                holds "I-13, I-27"
                shows "object.transfer ok, object.transfer not_found,
object.transfer receiver_ended, object.transfer denied";
            case a_copied_memory_is_of_its_own
                holds "I-13" shows "object.fork_space ok";
            case a_memory_is_merged_by_what_changed
                holds "I-08" shows "object.merge_space ok, object.merge_space version_conflict";
            case a_memory_is_dropped_as_a_whole
                holds "I-27" shows "object.drop_space ok";
            case a_memory_comes_back_to_what_was_kept_of_it
                holds "I-113, I-114"
                shows "object.save_spaces ok, object.compare_spaces ok, object.restore_spaces ok,
object.forget_spaces ok";
            case a_memory_that_was_kept_is_copied_for_another
                holds "I-113, I-116" shows "object.copy_spaces ok";
            case a_view_is_the_maker_s_own
                holds "I-13"
                shows "object.make_view ok, object.make_view no_view, object.make_view too_large,
                       object.view ok, object.view no_view, object.views ok,
                       object.drop_view ok, object.drop_view no_view";
            case a_rendering_shows_what_fits_and_may_be_seen
                holds "I-13"
                shows "object.materialize ok, object.materialize no_view,
object.materialize pinned_over_budget";
            case objects_and_names_survive_a_crash
                holds "I-34" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

mod content;
mod saved;
mod spaces;
mod views;

use content::a_content_is_an_object_of_parts_that_is_read_in_parts;
use saved::{
    a_memory_comes_back_to_what_was_kept_of_it, a_memory_that_was_kept_is_copied_for_another,
};
use spaces::{
    a_copied_memory_is_of_its_own, a_memory_is_dropped_as_a_whole,
    a_memory_is_merged_by_what_changed, an_object_is_handed_over_under_a_new_id,
};
use views::{a_rendering_shows_what_fits_and_may_be_seen, a_view_is_the_maker_s_own};

objects_cases! { contract [Kernel<dyn Component>: "object" "namespace"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Memory = Kernel<dyn Component>;

fn create(r#type: &str, payload: Value) -> object::Create {
    text::from(json!({ "type": r#type, "payload": payload }))
}

fn named(namespace: &str, name: &str) -> object::Create {
    object::Create {
        name: Some(name.into()),
        namespace: Some(namespace.into()),
        ..create("note", json!(1))
    }
}

/// A payload that is stored elsewhere.
fn blob(bytes: u64) -> Json {
    let digest = Digest::of(b"elsewhere");
    Json(Text::blob(digest, bytes))
}

fn space(name: &str) -> namespace::Create {
    namespace::Create { namespace: name.into() }
}

fn names(namespace: &str) -> namespace::List {
    namespace::List { namespace: namespace.into() }
}

fn lookup(namespace: &str, name: &str) -> namespace::Lookup {
    let (namespace, name) = (namespace.into(), name.into());
    namespace::Lookup { namespace, name }
}

fn an_object_belongs_to_its_maker_who_gets_every_right_on_it(k: &mut Memory) {
    k.world.now_ms = 7;
    let handle = k.ok(process(1), create("log", json!({"b": 1, "a": [2]})));
    assert_eq!((handle.id.space, handle.version), (Pid(1), 1));
    assert_eq!(handle.digest, Digest::of(br#"{"a":[2],"b":1}"#));
    let [issue] = &k.world.issued()[..] else { panic!("one is issued: {:?}", k.world.sent) };
    assert_eq!((issue.to, &issue.origin), (Pid(1), &libos_abi::Origin::Kernel));
    assert_eq!((issue.grant.effect, &issue.grant.on), (Effect::Allow, &Pattern::space(Pid(1))));
    for right in [Right::Read, Right::Write, Right::Delete, Right::Grant] {
        assert!(issue.grant.rights.contains(right), "{right} is missing");
    }
    assert_eq!((&issue.binding, issue.grant.uses), (&None, None));
    // The one capability is for the whole memory.
    k.ok(process(1), create("log", json!(1)));
    assert!(k.world.issued().is_empty());

    let read = k.ok(process(1), object::Read { id: handle.id });
    assert_eq!(read.payload.value().unwrap(), json!({"a": [2], "b": 1}));
    let stat = k.ok(process(1), object::Stat { id: handle.id });
    assert_eq!((stat.owner, stat.bytes, stat.created_at_ms), (Pid(1), 15, 7));
}

fn a_create_is_refused_before_anybody_is_asked(k: &mut Memory) {
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
    ];
    k.ok(process(1), space("ns"));
    k.ok(process(1), named("ns", "taken"));
    for (call, code) in table {
        let shown = format!("{call:?}");
        assert_eq!(k.refused(process(1), call).0, code, "{shown}");
        assert!(k.world.sent.is_empty(), "nobody is asked: {shown}");
    }
    assert_eq!(k.refused(host(), create("t", json!(1))).0, "bad_message");
}

fn a_failed_issue_undoes_the_create(k: &mut Memory) {
    k.ok(process(1), space("ns"));
    k.world.refuse("capability.issue", 1);
    assert_eq!(k.refused(process(1), named("ns", "n")).0, "bad_grant");
    assert_eq!(k.refused(process(1), lookup("ns", "n")).0, "not_found");
    k.ok(process(1), named("ns", "n"));
}

fn a_parent_is_readable_by_the_maker(k: &mut Memory) {
    let made: Vec<ObjectId> =
        (1..=4).map(|n| k.ok(process(1), create("part", json!(n))).id).collect();
    let [allowed, asked, gone, denied] = made[..] else { panic!("four objects") };
    for (id, effect) in [(allowed, Effect::Allow), (asked, Effect::Ask), (gone, Effect::Allow)] {
        k.world.says(2, Right::Read, Resource::object(id), effect);
    }
    k.ok(process(1), object::Delete { id: gone });
    let of = |parents: &[ObjectId]| object::Create {
        parents: Some(parents.to_vec()),
        ..create("whole", json!(0))
    };
    let whole = k.ok(process(2), of(&[allowed, allowed]));
    assert_eq!(k.ok(process(2), object::Stat { id: whole.id }).parents[..], [allowed]);
    // What needs a question, what was removed and what is denied ends alike.
    let mut ends = Vec::new();
    for id in [asked, gone, denied] {
        let (code, text) = k.refused(process(2), of(&[allowed, id]));
        let on = Resource::object(id).to_string();
        ends.push((code, text.replace(&on, "ON").replace(&id.to_string(), "ID")));
    }
    assert_eq!(ends[0].0, "denied");
    assert!(ends.iter().all(|end| *end == ends[0]), "they can be told apart: {ends:?}");
}

fn an_update_makes_a_new_version(k: &mut Memory) {
    let id = k.ok(process(1), create("log", json!(1))).id;
    let update = |expected_version, payload| object::Update { id, payload, expected_version };
    k.world.now_ms = 9;
    let handle = k.ok(process(2), update(None, Json::from(&json!([1]))));
    assert_eq!((handle.version, handle.digest), (2, Digest::of(b"[1]")));
    let handle = k.ok(process(2), update(Some(2), blob(5000)));
    assert_eq!((handle.version, handle.digest), (3, Digest::of(b"elsewhere")));
    let stat = k.ok(process(1), object::Stat { id });
    assert_eq!((stat.bytes, stat.created_at_ms, stat.updated_at_ms), (5000, 0, 9));
    assert_eq!(k.ok(process(1), object::Read { id }).payload, blob(5000));
    assert_eq!(k.refused(process(2), update(Some(2), blob(1))).0, "version_conflict");
    assert_eq!(k.refused(process(2), update(None, blob(1 << 21))).0, "too_large");
    assert_eq!(k.ok(process(1), object::Stat { id }).version, 3);
}

fn a_removed_object_is_gone_its_name_is_free_and_its_id_is_never_given_again(k: &mut Memory) {
    k.ok(process(1), space("ns"));
    let id = k.ok(process(1), named("ns", "n")).id;
    assert_eq!(k.ok(process(2), lookup("ns", "n")).id, id);
    assert_eq!(k.ok(process(2), object::Delete { id }).id, id);
    let payload = Json::default();
    let table: [Syscall; 4] = [
        object::Read { id }.into(),
        object::Stat { id }.into(),
        object::Delete { id }.into(),
        object::Update { id, payload, expected_version: None }.into(),
    ];
    for call in table {
        assert_eq!(k.refused(process(1), call).0, "not_found");
    }
    assert_eq!(k.refused(process(1), lookup("ns", "n")).0, "not_found");
    assert!(
        k.ok(host(), object::List { r#type: None, after: None, limit: None }).objects.is_empty()
    );
    assert_ne!(k.ok(process(1), named("ns", "n")).id, id);
}

fn a_process_lists_its_own_objects_and_the_host_all(k: &mut Memory) {
    let made: Vec<ObjectId> = [(1, "a"), (2, "a"), (1, "b")]
        .into_iter()
        .map(|(pid, r#type)| k.ok(process(pid), create(r#type, json!(1))).id)
        .collect();
    let of = |places: &[usize]| {
        let mut ids: Vec<ObjectId> = places.iter().map(|place| made[*place]).collect();
        ids.sort_unstable();
        ids
    };
    let table = [
        (process(1), None, of(&[0, 2])),
        (process(1), Some("b"), of(&[2])),
        (process(2), Some("b"), vec![]),
        (process(3), None, vec![]),
        (host(), None, of(&[0, 1, 2])),
        (host(), Some("a"), of(&[0, 1])),
    ];
    for (who, r#type, ids) in table {
        let shown = format!("{who:?} lists {type:?}");
        let r#type = r#type.map(String::from);
        let listed = k.ok(who, object::List { r#type, after: None, limit: None }).objects;
        let listed: Vec<_> = listed.iter().map(|info| info.id).collect();
        assert_eq!(listed, ids, "{shown}");
    }
}

fn a_namespace_is_made_once_and_lists_its_names_in_order(k: &mut Memory) {
    let made = k.ok(host(), space("ns"));
    assert_eq!((made.namespace.as_str(), made.entries.len()), ("ns", 0));
    k.ok(process(1), named("ns", "b"));
    let a = k.ok(process(1), named("ns", "a")).id;
    let listed = k.ok(process(1), names("ns")).entries;
    let listed: Vec<_> = listed.into_iter().map(|entry| entry.name).collect();
    assert_eq!(listed, ["a", "b"]);
    assert_eq!(k.ok(process(2), lookup("ns", "a")).id, a);

    let long = "x".repeat(129);
    for (name, code) in
        [("ns", "exists"), ("", "bad_name"), (&*long, "bad_name"), ("\t", "bad_name")]
    {
        assert_eq!(k.refused(process(1), space(name)).0, code, "{name:?}");
    }
    assert_eq!(k.refused(process(1), names("none")).0, "not_found");
    assert_eq!(k.refused(process(1), lookup("none", "a")).0, "not_found");
    assert_eq!(k.refused(process(1), lookup("ns", "c")).0, "not_found");
}

fn append(id: ObjectId, entry: Value) -> object::Append {
    text::from(json!({ "id": id, "entry": entry }))
}

fn update(id: ObjectId, payload: Value) -> object::Update {
    text::from(json!({ "id": id, "payload": payload }))
}

fn read(k: &mut Memory, id: ObjectId) -> (Value, Vec<Value>) {
    let object = k.ok(process(id.space.0), object::Read { id });
    let appended = object.appended.iter().map(|entry| entry.value().unwrap());
    (object.payload.value().unwrap(), appended.collect())
}

fn a_list_grows_by_its_entries(k: &mut Memory) {
    let id = k.ok(process(1), create("log", json!([0]))).id;
    let first = k.ok(process(1), object::Stat { id });
    for (version, entry) in [(2, json!(1)), (3, json!({"b": 1, "a": 2}))] {
        assert_eq!(k.ok(process(1), append(id, entry)).version, version);
    }
    let expected = (json!([0]), vec![json!(1), json!({"a": 2, "b": 1})]);
    assert_eq!(read(k, id), expected);
    let last = k.ok(process(1), object::Stat { id });
    assert!(last.bytes > first.bytes && last.digest != first.digest);
    let expecting =
        |version| object::Append { expected_version: Some(version), ..append(id, json!(2)) };
    assert_eq!(k.refused(process(1), expecting(2)).0, "version_conflict");
    assert_eq!(k.ok(process(1), expecting(3)).version, 4);
    let large = object::Append { entry: blob(1 << 21), ..append(id, json!(0)) };
    assert_eq!(k.refused(process(1), large).0, "too_large");
    let none = k.ok(process(1), create("note", json!({"a": 1}))).id;
    assert_eq!(k.refused(process(1), append(none, json!(1))).0, "not_a_list");
    k.ok(process(1), object::Delete { id });
    assert_eq!(k.refused(process(1), append(id, json!(1))).0, "not_found");
}

fn what_never_changes_never_changes(k: &mut Memory) {
    let fixed = object::Create { immutable: Some(true), ..create("log", json!([0])) };
    let id = k.ok(process(1), fixed).id;
    assert_eq!(k.refused(process(1), update(id, json!([1]))).0, "immutable");
    assert_eq!(k.refused(process(1), append(id, json!(1))).0, "immutable");
    assert_eq!(read(k, id), (json!([0]), vec![]));
    assert!(k.ok(process(1), object::Stat { id }).immutable);
}

fn a_payload_that_was_given_up_is_gone_and_its_history_stays(k: &mut Memory) {
    let base = k.ok(process(1), create("part", json!(1))).id;
    k.world.otherwise = Effect::Allow;
    let made = object::Create { parents: Some(vec![base]), ..create("log", json!([0])) };
    let id = k.ok(process(1), made).id;
    let before = k.ok(process(1), object::Stat { id });
    k.ok(process(1), object::Release { id });
    let after = k.ok(process(1), object::Stat { id });
    assert!(after.released && !before.released);
    assert_eq!((after.digest, &after.parents[..]), (before.digest, &[base][..]));
    let table: [Syscall; 4] = [
        object::Read { id }.into(),
        update(id, json!([1])).into(),
        append(id, json!(1)).into(),
        object::Release { id }.into(),
    ];
    for call in table {
        assert_eq!(k.refused(process(1), call).0, "released");
    }
    k.ok(process(1), object::Delete { id });
    assert_eq!(k.refused(process(1), object::Release { id }).0, "not_found");
}

fn objects_are_connected_and_taken_apart(k: &mut Memory) {
    let [a, b] = [1, 2].map(|n| k.ok(process(1), create("part", json!(n))).id);
    let link = |relation: &str, to| object::MakeLink { from: a, relation: relation.into(), to };
    let unlink = |relation: &str| object::Unlink { from: a, relation: relation.into(), to: b };
    let links = |k: &mut Memory, id| k.ok(process(1), object::ListLinks { id }).links;
    k.ok(process(1), link("about", b));
    let events = k.journal.len();
    k.ok(process(1), link("about", b));
    assert_eq!(k.journal.len(), events, "they are connected already");
    for id in [a, b] {
        let [found] = &links(k, id)[..] else { panic!("one link") };
        assert_eq!((found.from, &*found.relation, found.to), (a, "about", b));
    }
    assert_eq!(k.refused(process(1), link(&"x".repeat(1 << 12), b)).0, "too_large");
    assert_eq!(k.refused(process(1), unlink("beside")).0, "not_found");
    k.ok(process(1), unlink("about"));
    assert!(links(k, a).is_empty() && links(k, b).is_empty());
    // A link goes with either of its ends.
    k.ok(process(1), link("about", b));
    k.ok(process(1), object::Delete { id: b });
    assert!(links(k, a).is_empty());
    assert_eq!(k.refused(process(1), link("about", b)).0, "not_found");
    assert_eq!(k.refused(process(1), object::ListLinks { id: b }).0, "not_found");
}

fn a_search_finds_what_fits_and_what_may_be_read(k: &mut Memory) {
    let tagged = |r#type: &str, tags: &[&str]| -> object::Create {
        text::from(json!({ "type": r#type, "payload": 1, "tags": tags }))
    };
    let made: Vec<ObjectId> = [("a", &["x"][..]), ("b", &["x", "y"]), ("a", &[])]
        .map(|(r#type, tags)| k.ok(process(1), tagged(r#type, tags)).id)
        .into();
    let find = |k: &mut Memory, by: u64, what: Value| {
        let found = k.ok(process(by), text::from::<object::Query>(what)).objects;
        found.iter().map(|info| info.id).collect::<Vec<_>>()
    };
    assert_eq!(find(k, 1, json!({})), made);
    assert_eq!(find(k, 1, json!({ "type": "a" })), [made[0], made[2]]);
    assert_eq!(find(k, 1, json!({ "tag": "x", "type": "b" })), [made[1]]);
    assert_eq!(find(k, 1, json!({ "limit": 1 })), [made[0]]);
    assert_eq!(find(k, 1, json!({ "after": made[0] })), made[1..]);
    assert_eq!(find(k, 2, json!({})), []);
    // Of another's memory it shows what the searcher may read.
    assert_eq!(find(k, 2, json!({ "space": "p1" })), []);
    k.world.says(2, Right::Read, Resource::object(made[1]), Effect::Allow);
    assert_eq!(find(k, 2, json!({ "space": "p1" })), [made[1]]);
    assert_eq!(k.refused(host(), text::from::<object::Query>(json!({}))).0, "bad_message");
}

fn objects_and_names_survive_a_crash(k: &mut Memory) {
    k.ok(process(1), space("ns"));
    let kept = k.ok(process(1), named("ns", "kept")).id;
    let gone = k.ok(process(1), named("ns", "gone")).id;
    k.ok(process(1), object::Delete { id: gone });
    k.recover();
    assert_eq!(k.ok(process(1), lookup("ns", "kept")).id, kept);
    assert_eq!(k.refused(process(1), object::Read { id: gone }).0, "not_found");
    let made = k.ok(process(1), create("new", json!(1))).id;
    assert!(made != kept && made != gone, "{made} was given before");
}

fn what_it_does_not_serve_is_unsupported(k: &mut Memory) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
