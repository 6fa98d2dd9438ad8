//! An export is checked without its store, and its first bad record is named.

use std::io::BufReader;

use libos_abi::Seq;
use libos_journal::{
    Batch, Corruption, Head, Journal, JournalError, MemoryJournal, SecretKey, SignatureFault, Sync,
    TreeHash, export, merkle, verify_export, verify_export_events,
};
use serde_json::{Value, json};

use super::{batch, corrupt};

fn describe(seq: Seq, body: &[u8]) -> Value {
    json!({ "at": seq.0, "text": String::from_utf8_lossy(body) })
}

/// An export of ten records, as lines, and its head.
fn exported() -> (Vec<String>, Head) {
    let mut journal = MemoryJournal::new();
    let head = journal.append(&batch(0..10), Sync::Durable).unwrap();
    let mut out = Vec::new();
    assert_eq!(export(&journal, &mut out, &describe, None).unwrap(), head.into());
    let lines = String::from_utf8(out).unwrap();
    (lines.lines().map(str::to_owned).collect(), head)
}

fn verified(lines: &[String], against: Option<&Head>) -> (u64, Corruption) {
    corrupt(verify_export(&mut lines.join("\n").as_bytes(), against))
}

/// Sets a field of a line.
fn set(line: &str, field: &str, value: Value) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    line[field] = value;
    line.to_string()
}

#[test]
fn an_export_says_what_the_journal_holds() {
    let (lines, head) = exported();
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    let leaf = merkle::leaf_hash(b"record 0");
    let expected = json!({
        "seq": 0, "leaf": leaf, "root": leaf, "body": "7265636f72642030",
        "event": { "at": 0, "text": "record 0" },
    });
    assert_eq!(first, expected);
    let last: Value = serde_json::from_str(&lines[10]).unwrap();
    assert_eq!(last, json!({ "head": head }));
    let text = lines.join("\n") + "\n\n";
    assert_eq!(
        verify_export(&mut BufReader::new(text.as_bytes()), Some(&head)).unwrap(),
        head.into()
    );
    assert_eq!(verify_export_events(&mut text.as_bytes(), None, &describe).unwrap(), head.into());
}

#[test]
fn an_empty_journal_is_exported() {
    let mut out = Vec::new();
    let head = export(&MemoryJournal::new(), &mut out, &describe, None).unwrap();
    assert_eq!(verify_export(&mut out.as_slice(), Some(&head.head)).unwrap(), head);
}

#[test]
fn a_changed_line_is_named() {
    let (good, _) = exported();
    let changed = |at: usize, field: &str, value: Value| {
        let mut lines = good.clone();
        lines[at] = set(&lines[at], field, value);
        verified(&lines, None)
    };
    assert_eq!(changed(4, "body", json!("00")), (4, Corruption::Changed));
    assert_eq!(changed(4, "leaf", json!(TreeHash([0; 32]))), (4, Corruption::Changed));
    assert_eq!(changed(4, "body", json!("0")), (4, Corruption::Unreadable));
    assert_eq!(changed(4, "seq", json!(-1)), (4, Corruption::Unreadable));
    assert_eq!(changed(4, "seq", json!(u64::MAX)), (4, Corruption::Unreadable));
    assert_eq!(changed(4, "seq", json!(2)), (4, Corruption::Inserted));
    let root = changed(4, "root", json!(TreeHash([0; 32])));
    assert_eq!(root, (4, Corruption::Rewritten { last: Seq(4) }));
    // Body and leaf made to fit each other: the root does not fit them.
    let mut lines = good.clone();
    let leaf = json!(merkle::leaf_hash(b"x"));
    lines[6] = set(&set(&lines[6], "body", json!("78")), "leaf", leaf);
    assert_eq!(verified(&lines, None), (6, Corruption::Rewritten { last: Seq(6) }));
    lines[2] = "no json".into();
    assert_eq!(verified(&lines, None), (2, Corruption::Unreadable));
}

#[test]
fn dropped_and_moved_lines_are_named() {
    let (good, _) = exported();
    let mut dropped = good.clone();
    dropped.remove(3);
    assert_eq!(verified(&dropped, None), (3, Corruption::Missing));
    for (at, line) in dropped.iter_mut().enumerate().take(9) {
        *line = set(line, "seq", json!(at));
    }
    assert_eq!(verified(&dropped, None), (3, Corruption::Rewritten { last: Seq(3) }));

    let mut swapped = good.clone();
    swapped.swap(2, 5);
    assert_eq!(verified(&swapped, None), (2, Corruption::OutOfOrder));
    for at in [2, 5] {
        swapped[at] = set(&swapped[at], "seq", json!(at));
    }
    assert_eq!(verified(&swapped, None), (2, Corruption::Rewritten { last: Seq(2) }));

    let mut inserted = good.clone();
    inserted.insert(4, good[3].clone());
    assert_eq!(verified(&inserted, None), (4, Corruption::Inserted));
    let mut behind = good.clone();
    behind.push(good[3].clone());
    assert_eq!(verified(&behind, None), (10, Corruption::Inserted));
}

#[test]
fn a_truncated_export_is_found() {
    let (good, head) = exported();
    let end = |size| Corruption::Truncated { size };
    assert_eq!(verified(&good[..7], None), (7, end(None)));
    assert_eq!(verified(&good[..7], Some(&head)), (7, end(Some(10))));
    assert_eq!(verified(&good[..10], None), (10, end(None)));
    let mut tail_gone = good[..7].to_vec();
    tail_gone.push(good[10].clone());
    assert_eq!(verified(&tail_gone, None), (7, end(Some(10))));
    let mut torn = good[..7].to_vec();
    torn.push(good[7][..40].to_owned());
    assert_eq!(verified(&torn, None), (7, end(None)));
    // A shorter export that is whole in itself.
    let mut shorter = MemoryJournal::new();
    shorter.append(&batch(0..7), Sync::Durable).unwrap();
    let mut out = Vec::new();
    export(&shorter, &mut out, &describe, None).unwrap();
    verify_export(&mut out.as_slice(), None).unwrap();
    let found = corrupt(verify_export(&mut out.as_slice(), Some(&head)));
    assert_eq!(found, (7, end(Some(10))));
}

#[test]
fn a_forged_export_does_not_fit_a_head_kept_elsewhere() {
    let (_, head) = exported();
    let mut forged = MemoryJournal::new();
    forged.append(&Batch::of((0..11).map(|n| vec![n])), Sync::Durable).unwrap();
    let mut out = Vec::new();
    export(&forged, &mut out, &describe, None).unwrap();
    let (seq, what) = corrupt(verify_export(&mut out.as_slice(), Some(&head)));
    assert_eq!(seq, 10);
    assert!(matches!(what, Corruption::HeadMismatch { expected, .. } if expected == head));
}

#[test]
fn a_changed_event_is_found_by_whoever_can_describe() {
    let (mut lines, head) = exported();
    lines[5] = set(&lines[5], "event", json!({ "at": 5, "text": "harmless" }));
    let text = lines.join("\n");
    assert_eq!(verify_export(&mut text.as_bytes(), None).unwrap(), head.into());
    let found = corrupt(verify_export_events(&mut text.as_bytes(), None, &describe));
    assert_eq!(found, (5, Corruption::WrongEvent));
}

/// Whoever computes an export anew cannot sign it; whoever cuts one off can only show an older
/// state that was signed as such.
#[test]
fn a_signed_export_needs_no_head_kept_elsewhere() {
    let key = SecretKey::generate().unwrap();
    let mut journal = MemoryJournal::new();
    let signed_at = |journal: &MemoryJournal, key: Option<&SecretKey>| {
        let mut out = Vec::new();
        export(journal, &mut out, &describe, key).unwrap();
        String::from_utf8(out).unwrap()
    };
    journal.append(&batch(0..7), Sync::Durable).unwrap();
    let old = signed_at(&journal, Some(&key));
    journal.append(&batch(7..10), Sync::Durable).unwrap();
    let honest = signed_at(&journal, Some(&key));
    let check = |text: &str| {
        let signed = verify_export(&mut text.as_bytes(), None)?;
        key.public().check(&signed)?;
        Ok::<_, JournalError>(signed.head)
    };
    assert_eq!(check(&honest).unwrap(), journal.head());
    assert_eq!(check(&old).unwrap().size, 7);
    let fault = |text: &str| match check(text) {
        Err(JournalError::Signature { what, .. }) => what,
        other => panic!("no fault found: {other:?}"),
    };
    let mut forged = MemoryJournal::new();
    forged.append(&Batch::of((0..10).map(|n| vec![n])), Sync::Durable).unwrap();
    let forged_lines = signed_at(&forged, None);
    assert_eq!(fault(&forged_lines), SignatureFault::Unsigned);
    let theirs = SecretKey::generate().unwrap();
    assert_eq!(fault(&signed_at(&forged, Some(&theirs))), SignatureFault::OtherKey);
    // With the honest signature under the forged head.
    let (_, honest_end) = honest.trim_end().rsplit_once('\n').unwrap();
    let signature: Value = serde_json::from_str(honest_end).unwrap();
    let (records, end) = forged_lines.trim_end().rsplit_once('\n').unwrap();
    let grafted = format!("{records}\n{}", set(end, "signature", signature["signature"].clone()));
    assert_eq!(fault(&grafted), SignatureFault::Invalid);
}
