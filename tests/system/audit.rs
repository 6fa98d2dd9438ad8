//! What was tampered with is found: in the store, and in an export that left it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::fs;

use serde_json::json;
use support::*;

const MARKER: &str = "a-marker-that-is-nowhere-else";

fn lab() -> Lab {
    let head = [allow("read write", "fs:workspace/*"), allow("read", "clock:*")].concat();
    let plan: Vec<_> = (0..6)
        .flat_map(|n| [write(&format!("f{n}.txt"), &format!("{MARKER}-{n}")), sleep(1)])
        .collect();
    let lab = Lab::with(&head, &plan);
    lab.run().code(0);
    lab
}

#[test]
fn an_honest_export_verifies_without_the_store() {
    let lab = lab();
    let head = lab.head();
    lab.json(&["audit", "export", "-o", "trail.jsonl"]).code(0);
    fs::remove_dir_all(lab.path("store")).unwrap();
    let ran = lab.json(&["audit", "verify", "--export", "trail.jsonl", "--head", &head]).code(0);
    assert_eq!(ran.lines()[0], json!({ "verified": true, "head": head }));
    fs::write(lab.path("head.txt"), format!("head {head}\n")).unwrap();
    lab.json(&["audit", "verify", "--export", "trail.jsonl", "--head", "head.txt"]).code(0);
}

#[test]
fn every_way_to_forge_an_export_is_found() {
    let lab = lab();
    let head = lab.head();
    let honest = lab.libos(&["audit", "export"]).code(0).out;
    let lines: Vec<String> = honest.lines().map(str::to_owned).collect();
    assert!(lines.len() > 12);
    let verify = |lines: &[String], head: Option<&str>| {
        fs::write(lab.path("forged.jsonl"), lines.join("\n") + "\n").unwrap();
        let mut args = vec!["audit", "verify", "--export", "forged.jsonl"];
        args.extend(head.into_iter().flat_map(|head| ["--head", head]));
        lab.json(&args)
    };
    assert_eq!(verify(&lines, Some(&head)).code, 0);

    let middle = lines.len() / 2;
    for at in [1, middle, lines.len() - 2] {
        let mut dropped = lines.clone();
        dropped.remove(at);
        let mut swapped = lines.clone();
        swapped.swap(at, at - 1);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at].clone());
        for (what, forged) in [("dropped", dropped), ("swapped", swapped), ("doubled", doubled)] {
            for head in [None, Some(head.as_str())] {
                let ran = verify(&forged, head);
                assert_eq!(ran.code, 5, "{what} at {at}, {head:?}: {ran}");
                assert!(ran.lines()[0]["error"]["message"].is_string(), "{ran}");
            }
        }
    }
    // Every single character of a record counts.
    let record = &lines[middle];
    for at in (0..record.len()).step_by(7) {
        let mut bytes = record.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let mut forged = lines.clone();
        forged[middle] = changed.clone();
        let ran = verify(&forged, Some(&head));
        assert_ne!(ran.code, 0, "changed at {at}: {changed}");
    }
    // A cut-off end: only a head kept elsewhere tells, if the export is cut at a record.
    for cut in [1, 2, lines.len() / 2] {
        let ran = verify(&lines[..lines.len() - cut], Some(&head));
        assert_eq!(ran.code, 5, "cut by {cut}: {ran}");
    }
    assert_eq!(verify(&[], Some(&head)).code, 5);
}

#[test]
fn a_head_of_before_proves_that_history_only_grew() {
    let lab = lab();
    let before = lab.head();
    lab.run().code(0);
    let after = lab.head();
    assert_ne!(before, after);
    lab.verify(Some(&before)).code(0);
    // A head of another history, and one of a longer one.
    let other = format!("{}:{}", before.split(':').next().unwrap(), "00".repeat(32));
    lab.verify(Some(&other)).code(5);
    let longer = format!("100000:{}", after.split(':').nth(1).unwrap());
    lab.verify(Some(&longer)).code(5);
    lab.verify(Some("nonsense")).code(2);
}

#[test]
fn a_flipped_byte_in_the_store_is_found() {
    let lab = lab();
    let head = lab.head();
    let marker = format!("{MARKER}-3");
    let mut found = 0;
    // Every process has ended. What is not yet in the database is in its write-ahead log.
    for name in ["store/journal.db", "store/journal.db-wal"] {
        let Ok(honest) = fs::read(lab.path(name)) else { continue };
        for at in 0..honest.len().saturating_sub(marker.len()) {
            if !honest[at..].starts_with(marker.as_bytes()) {
                continue;
            }
            let whole = lab.path("whole");
            copy(&lab.path("store"), &whole);
            let mut forged = honest.clone();
            forged[at + MARKER.len() + 1] = b'4';
            fs::write(lab.path(name), forged).unwrap();
            found += u32::from(lab.verify(Some(&head)).code == 5);
            assert_ne!(lab.libos(&["audit", "export", "-o", "x.jsonl"]).code, 101, "no panic");
            fs::remove_dir_all(lab.path("store")).unwrap();
            fs::rename(whole, lab.path("store")).unwrap();
            assert_eq!(lab.verify(Some(&head)).code, 0);
        }
    }
    assert!(found > 0, "no flip was found");
}

#[test]
fn a_store_cut_off_is_found_by_a_head_kept_elsewhere() {
    let lab = lab();
    let old = lab.path("old");
    copy(&lab.path("store"), &old);
    lab.run().code(0);
    let head = lab.head();
    // The store of before in place of the one of now: consistent in itself, but shorter.
    fs::remove_dir_all(lab.path("store")).unwrap();
    fs::rename(&old, lab.path("store")).unwrap();
    lab.verify(None).code(0);
    let ran = lab.verify(Some(&head)).code(5);
    assert!(ran.lines()[0]["error"]["message"].is_string());
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &target),
            kind if kind.is_file() => {
                fs::copy(entry.path(), target).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn a_changed_payload_in_the_blob_files_is_found() {
    let text = format!("{MARKER} ").repeat(500);
    let lab = Lab::with(&allow("write", "fs:workspace/*"), &[write("big.txt", &text)]);
    lab.run().code(0);
    let mut changed = 0;
    for (name, mut bytes) in files(&lab.path("store")) {
        if name.starts_with("journal.db") || name == "control.sock" {
            continue;
        }
        if let Some(at) = bytes.windows(MARKER.len()).position(|w| w == MARKER.as_bytes()) {
            bytes[at] = b'A';
            fs::write(lab.path("store").join(name), bytes).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0, "the payload is in a segment file");
    lab.verify(None).code(5);
}
