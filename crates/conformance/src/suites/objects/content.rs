//! Objects of parts: contents that are too large for one reply.

use libos_abi::{Json, ObjectId, Pid, object};
use serde_json::json;

use super::{Memory, blob};
use crate::{host, process};

pub(super) fn a_content_is_an_object_of_parts_that_is_read_in_parts(k: &mut Memory) {
    let collect =
        |parts: Vec<Json>| object::Collect { owner: Pid(1), r#type: "file".into(), parts };
    let entries = |id, skip| object::ListEntries { id, skip };
    let small = k.ok(host(), collect(vec![Json::from(&json!("a")), Json::from(&json!("b"))])).id;
    assert_eq!(small.space, Pid(1));
    let read = k.ok(process(1), object::Read { id: small });
    assert_eq!((read.payload, read.appended.len()), (Json::from(&json!([])), 2));
    assert_eq!(k.ok(host(), object::GetContent { id: small }).parts, read.appended);

    let part = || blob(400_000);
    let large = k.ok(host(), collect(vec![part(), part(), part(), part()])).id;
    let whole = object::Read { id: large };
    assert_eq!(k.refused(process(1), whole).0, "too_large");
    let first = k.ok(process(1), entries(large, None));
    assert_eq!((first.entries.len(), first.next), (2, Some(2)));
    let second = k.ok(process(1), entries(large, first.next));
    assert_eq!((second.entries.len(), second.next), (2, None));
    assert!(k.ok(process(1), entries(large, Some(9))).entries.is_empty());
    assert_eq!(k.ok(host(), object::GetContent { id: large }).parts.len(), 4);
    assert_eq!(k.ok(process(1), object::Stat { id: large }).bytes, 1_600_002);

    let over = collect(vec![blob((512 << 20) + 1)]);
    assert_eq!(k.refused(host(), over).0, "too_large");
    // A plain object is a content too.
    let plain = super::create("t", json!("text"));
    let plain = k.ok(process(1), plain).id;
    assert_eq!(k.ok(host(), object::GetContent { id: plain }).parts, [Json::from(&json!("text"))]);

    k.ok(process(1), object::Release { id: large });
    assert_eq!(k.refused(process(1), entries(large, None)).0, "released");
    assert_eq!(k.refused(host(), object::GetContent { id: large }).0, "released");
    let none = ObjectId { space: Pid(1), number: 99 };
    assert_eq!(k.refused(process(1), entries(none, None)).0, "not_found");
    assert_eq!(k.refused(host(), object::GetContent { id: none }).0, "not_found");
}
