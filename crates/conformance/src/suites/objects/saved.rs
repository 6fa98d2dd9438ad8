//! Memories that are kept for a checkpoint.

use libos_abi::{
    CheckpointId, ObjectId, Pid,
    checkpoint::{Change, Copied},
    object,
};
use serde_json::json;

use super::{Memory, create, named, read, update};
use crate::{host, process};

const CHECKPOINT: CheckpointId = CheckpointId::new(1, 1);

fn save(k: &mut Memory, spaces: &[u64]) -> u64 {
    let spaces = spaces.iter().copied().map(Pid).collect();
    let call = object::SaveSpaces { checkpoint: CHECKPOINT, spaces, ended: vec![Pid(9)] };
    k.ok(host(), call).count
}

/// What is not as it was: the object, what has become of it, its versions then and now.
fn changes(k: &mut Memory, spaces: &[u64]) -> Vec<(ObjectId, Change, u64, u64)> {
    let spaces = spaces.iter().copied().map(Pid).collect();
    let rows = k.ok(host(), object::CompareSpaces { checkpoint: CHECKPOINT, spaces }).rows;
    rows.into_iter().map(|row| (row.id, row.change, row.was, row.now)).collect()
}

fn restore(dropped: &[u64]) -> object::RestoreSpaces {
    let dropped = dropped.iter().copied().map(Pid).collect();
    object::RestoreSpaces { checkpoint: CHECKPOINT, dropped }
}

pub(super) fn a_memory_comes_back_to_what_was_kept_of_it(k: &mut Memory) {
    k.ok(host(), libos_abi::namespace::Create { namespace: "work".into() });
    let [kept, gone] =
        ["kept", "gone"].map(|text| k.ok(process(1), create("note", json!(text))).id);
    let name = k.ok(process(1), named("work", "a")).id;
    let link = |from, to| object::MakeLink { from, relation: "cites".into(), to };
    let far = k.ok(process(3), create("note", json!("elsewhere"))).id;
    k.ok(process(1), link(kept, far));
    assert_eq!(save(k, &[1, 2]), 3, "p2 has made no object, p9 is not there");
    assert_eq!(changes(k, &[]), []);

    k.ok(process(1), update(kept, json!("new")));
    k.ok(process(1), object::Delete { id: gone });
    k.ok(process(1), object::Delete { id: name });
    let later = k.ok(process(1), create("note", json!("later"))).id;
    let other = k.ok(process(2), named("work", "a")).id;
    let dropped = k.ok(process(5), named("work", "b")).id;
    k.ok(process(1), object::Unlink { from: kept, relation: "cites".into(), to: far });
    let expected = [
        (kept, Change::Changed, 1, 2),
        (gone, Change::Gone, 1, 0),
        (name, Change::Gone, 1, 0),
        (later, Change::Made, 0, 1),
        (other, Change::Made, 0, 1),
        (dropped, Change::Made, 0, 1),
    ];
    assert_eq!(changes(k, &[5]), expected);

    assert_eq!(k.ok(host(), restore(&[5])).count, expected.len() as u64);
    assert_eq!(changes(k, &[5]), []);
    assert_eq!(read(k, kept), (json!("kept"), vec![]));
    assert_eq!(read(k, gone), (json!("gone"), vec![]));
    for id in [later, other, dropped] {
        assert_eq!(k.refused(process(1), object::Read { id }).0, "not_found", "{id}");
    }
    let lookup =
        |name: &str| libos_abi::namespace::Lookup { namespace: "work".into(), name: name.into() };
    assert_eq!(k.ok(host(), lookup("a")).id, name);
    assert_eq!(k.refused(host(), lookup("b")).0, "not_found");
    assert_eq!(k.ok(host(), object::ListLinks { id: far }).links.len(), 1);
    let next = k.ok(process(1), create("note", json!(1))).id;
    assert!(next.number > later.number, "no number is given a second time");

    k.ok(host(), object::ForgetSpaces { checkpoint: CHECKPOINT });
    assert_eq!(k.ok(host(), restore(&[])).count, 0, "nothing is kept any more");
    assert_eq!(read(k, next).0, json!(1));
    k.ok(host(), object::ForgetSpaces { checkpoint: CHECKPOINT });
}

pub(super) fn a_memory_that_was_kept_is_copied_for_another(k: &mut Memory) {
    let id = k.ok(process(1), create("note", json!("then"))).id;
    k.ok(host(), object::ForkSpace { from: Pid(1), to: Pid(2) });
    let childs = ObjectId { space: Pid(2), ..id };
    k.ok(process(2), update(childs, json!("the child's")));
    save(k, &[1, 2]);
    k.ok(process(1), update(id, json!("now")));
    let copied = |from, to, parent: Option<u64>| Copied {
        from: Pid(from),
        to: Pid(to),
        parent: parent.map(Pid),
    };
    let processes = vec![copied(1, 7, None), copied(2, 8, Some(7))];
    k.ok(host(), object::CopySpaces { checkpoint: CHECKPOINT, processes });
    let [first, second] = [7, 8].map(|pid| ObjectId { space: Pid(pid), ..id });
    assert_eq!(read(k, first).0, json!("then"));
    assert_eq!(read(k, id).0, json!("now"));
    // The copy of a child is a child's copy: a merge takes what it has changed.
    let on_conflict = libos_abi::process::OnConflict::Fail;
    let merged = k.ok(host(), object::MergeSpace { from: Pid(8), into: Pid(7), on_conflict });
    assert_eq!((&merged.updated[..], &merged.adopted[..]), (&[first][..], &[][..]));
    assert_eq!(read(k, first).0, json!("the child's"));
    assert_eq!(k.refused(host(), object::Read { id: second }).0, "not_found");
    assert_eq!(read(k, childs).0, json!("the child's"), "the original is as it was");
}
