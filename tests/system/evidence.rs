//! Evidence that leaves the host: proofs, exports and heads, checked where no store is.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};
use support::*;

/// A lab whose task has run: six writes, and as many sleeps that make records of their own.
fn lab() -> Lab {
    let head = [allow("read write", "fs:workspace/*"), allow("read", "clock:*")].concat();
    let plan: Vec<_> = (0..6)
        .flat_map(|n| [write(&format!("f{n}.txt"), &format!("text {n}")), sleep(1)])
        .collect();
    let lab = Lab::with(&head, &plan);
    lab.run().code(0);
    lab
}

/// A lab without a store, to check in what another one exported.
fn elsewhere(files: &[(&str, &str)]) -> Lab {
    let lab = Lab::new();
    for (name, text) in files {
        fs::write(lab.path(name), text).unwrap();
    }
    lab
}

fn code(ran: &Ran) -> String {
    ran.last()["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {ran}")).to_owned()
}

#[test]
fn who_allowed_what_is_proved_without_the_store_and_without_the_other_records() {
    let lab = lab();
    let head = lab.head();
    let written = lab.steps().into_iter().find(|op| op["call"] == "fs.write").unwrap();
    let op = written["op"].as_str().unwrap();
    let proof = lab.libos(&["audit", "prove", op]).code(0).out;
    // One record up to the intent, one with the outcome.
    assert_eq!(proof.lines().count(), 2, "{proof}");
    let there = elsewhere(&[("proof.jsonl", &proof)]);
    let verify = ["audit", "verify", "--proof", "proof.jsonl", "--head", &head];
    let lines = there.json(&verify).code(0).lines();
    let events: Vec<&Value> =
        lines.iter().flat_map(|line| line["event"]["events"].as_array().unwrap()).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for expected in ["op.admitted", "op.decided", "op.dispatched", "op.settled"] {
        assert!(types.contains(&expected), "{types:?}");
    }
    assert!(events.iter().any(|event| event["args"]["path"] == "workspace/f0.txt"));
    assert!(!proof.contains("f1.txt"), "nothing else is shown");

    for (from, to) in [("f0.txt", "f9.txt"), ("\"seq\":", "\"seq\":1"), ("\"ok\"", "\"denied\"")] {
        let forged = proof.replacen(from, to, 1);
        assert_ne!(forged, proof, "{from}");
        fs::write(there.path("proof.jsonl"), forged).unwrap();
        assert_eq!(code(&there.json(&verify).code(5)), "bad_proof", "{from}");
    }
    fs::write(there.path("proof.jsonl"), "").unwrap();
    assert_eq!(code(&there.json(&verify).code(1)), "no_proof");
}

#[test]
fn a_proof_holds_for_the_head_that_the_other_side_has() {
    let lab = lab();
    let before = lab.head();
    lab.run().code(0);
    let after = lab.head();
    let there = elsewhere(&[]);
    let check = |proof: &str, head: &str| {
        fs::write(there.path("proof.jsonl"), proof).unwrap();
        there.json(&["audit", "verify", "--proof", "proof.jsonl", "--head", head])
    };
    let old = lab.libos(&["audit", "prove", "3", "--head", &before]).code(0).out;
    check(&old, &before).code(0);
    assert_eq!(code(&check(&old, &after).code(5)), "bad_proof");
    let grown = lab.libos(&["audit", "prove", "--since", &before]).code(0).out;
    for head in [&before, &after] {
        let line = check(&grown, head).code(0).last();
        let size = |head: &str| head.split(':').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(line["from"]["size"], size(&before));
        assert_eq!(line["to"]["size"], size(&after));
    }
    // No proof is made of what is not so.
    let other = format!("{}:{}", before.split(':').next().unwrap(), "00".repeat(32));
    assert_eq!(
        code(&lab.json(&["audit", "prove", "3", "--head", &other]).code(5)),
        "other_history"
    );
    assert_eq!(code(&lab.json(&["audit", "prove", "--since", &other]).code(5)), "other_history");
    let longer = format!("9999:{}", "00".repeat(32));
    assert_eq!(
        code(&lab.json(&["audit", "prove", "--since", &longer]).code(5)),
        "journal_truncated"
    );
    assert_eq!(code(&lab.json(&["audit", "prove", "9999"]).code(1)), "not_found");
    assert_eq!(code(&lab.json(&["audit", "prove", "op-9999"]).code(1)), "not_found");
    lab.json(&["audit", "prove", "cap-1"]).code(2);
    lab.json(&["audit", "prove"]).code(2);
}

/// The five ways to falsify a history: each is found, named as what it is, with the record.
#[test]
fn each_way_to_falsify_an_export_is_named() {
    let lab = lab();
    let head = lab.head();
    let honest = lab.libos(&["audit", "export"]).code(0).out;
    let lines: Vec<String> = honest.lines().map(str::to_owned).collect();
    let (at, there) = (lines.len() / 2, elsewhere(&[]));
    let verify = |lines: &[String]| {
        fs::write(there.path("trail.jsonl"), lines.join("\n") + "\n").unwrap();
        there.json(&["audit", "verify", "--export", "trail.jsonl", "--head", &head])
    };
    verify(&lines).code(0);

    let mut changed = lines.clone();
    changed[at] = set(&lines[at], "body", json!("00"));
    let mut dropped = lines.clone();
    dropped.remove(at);
    let mut inserted = lines.clone();
    inserted.insert(at, lines[at - 1].clone());
    let mut reordered = lines.clone();
    reordered.swap(at, at + 2);
    let truncated = [&lines[..at], &lines[lines.len() - 1..]].concat();
    for (forged, name) in [
        (changed, "record_changed"),
        (dropped, "record_dropped"),
        (inserted, "record_inserted"),
        (reordered, "records_reordered"),
        (truncated, "journal_truncated"),
    ] {
        let ran = verify(&forged).code(5);
        assert_eq!(code(&ran), name);
        let message = ran.last()["error"]["message"].to_string();
        assert!(message.contains(&format!("at record #{at},")), "{name}: {message}");
    }
}

/// The same after the forger renumbered the lines: the first one that does not fit is named.
#[test]
fn a_renumbered_export_names_the_first_record_that_does_not_fit() {
    let lab = lab();
    let head = lab.head();
    let honest = lab.libos(&["audit", "export"]).code(0).out;
    let lines: Vec<String> = honest.lines().map(str::to_owned).collect();
    let (at, there) = (lines.len() / 2, elsewhere(&[]));
    let verify = |lines: &[String]| {
        let (tail, records) = lines.split_last().unwrap();
        let numbered = (0..).zip(records).map(|(seq, line)| set(line, "seq", json!(seq)));
        let text: String = numbered.map(|line| line + "\n").collect();
        fs::write(there.path("trail.jsonl"), text + tail + "\n").unwrap();
        there.json(&["audit", "verify", "--export", "trail.jsonl", "--head", &head])
    };
    verify(&lines).code(0);
    let mut dropped = lines.clone();
    dropped.remove(at);
    let mut inserted = lines.clone();
    inserted.insert(at, lines[at - 1].clone());
    let mut reordered = lines.clone();
    reordered.swap(at, at + 2);
    for forged in [dropped, inserted, reordered] {
        let ran = verify(&forged).code(5);
        assert_eq!(code(&ran), "records_rewritten");
        let message = ran.last()["error"]["message"].to_string();
        assert!(message.contains(&format!("at record #{at},")), "{message}");
    }
}

fn keygen(lab: &Lab, name: &str) {
    lab.json(&["audit", "keygen", name]).code(0);
}

#[test]
fn a_key_is_secret_and_never_written_over() {
    let lab = Lab::new();
    keygen(&lab, "key");
    let mode = |name: &str| fs::metadata(lab.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("key"), 0o600);
    let first = fs::read(lab.path("key")).unwrap();
    lab.json(&["audit", "keygen", "key"]).code(2);
    assert_eq!(fs::read(lab.path("key")).unwrap(), first);
    keygen(&lab, "other");
    assert_ne!(fs::read(lab.path("other")).unwrap(), first);
}

#[test]
fn a_signed_export_is_verified_with_the_public_key_alone() {
    let lab = lab();
    keygen(&lab, "key");
    let early = lab.libos(&["audit", "head", "--key", "key"]).code(0).out;
    lab.run().code(0);
    let late = lab.libos(&["audit", "head", "--key", "key"]).code(0).out;
    lab.json(&["audit", "export", "-o", "trail.jsonl", "--key", "key"]).code(0);
    let honest = fs::read_to_string(lab.path("trail.jsonl")).unwrap();
    assert_eq!(honest.lines().last().unwrap(), late.trim(), "an export ends with its signed head");
    let plain = lab.libos(&["audit", "export"]).code(0).out;

    let public = fs::read_to_string(lab.path("key.pub")).unwrap();
    keygen(&lab, "other");
    let other = fs::read_to_string(lab.path("other.pub")).unwrap();
    let there = elsewhere(&[("key.pub", &public), ("early", &early), ("late", &late)]);
    let verify = |text: &str, more: &[&str]| {
        fs::write(there.path("trail.jsonl"), text).unwrap();
        let args = ["audit", "verify", "--export", "trail.jsonl", "--public-key", "key.pub"];
        there.json(&[&args[..], more].concat())
    };
    verify(&honest, &[]).code(0);
    verify(&honest, &["--head", "early"]).code(0);
    verify(&honest, &["--head", "late"]).code(0);

    // Without a signature, and with that of somebody else.
    assert_eq!(code(&verify(&plain, &[]).code(5)), "bad_signature");
    lab.json(&["audit", "export", "-o", "forged.jsonl", "--key", "other"]).code(0);
    let forged = fs::read_to_string(lab.path("forged.jsonl")).unwrap();
    assert_eq!(code(&verify(&forged, &[]).code(5)), "bad_signature");
    fs::write(there.path("key.pub"), &other).unwrap();
    assert_eq!(code(&verify(&honest, &[]).code(5)), "bad_signature");
    fs::write(there.path("key.pub"), &public).unwrap();

    // An older export is genuine; only a later head tells that it ends too early.
    let size = size_of(&early);
    let cut: Vec<&str> = honest.lines().take(size).chain([early.trim()]).collect();
    let cut = cut.join("\n") + "\n";
    verify(&cut, &[]).code(0);
    assert_eq!(code(&verify(&cut, &["--head", "late"]).code(5)), "journal_truncated");

    // A head that nobody vouches for.
    let moved = late.replace(&format!("\"size\":{}", size_of(&late)), &format!("\"size\":{size}"));
    assert_ne!(moved, late);
    fs::write(there.path("moved"), moved).unwrap();
    assert_eq!(code(&verify(&honest, &["--head", "moved"]).code(5)), "bad_signature");

    // The head line alone serves proofs and the store as well.
    let proof = lab.libos(&["audit", "prove", "2"]).code(0).out;
    fs::write(there.path("proof.jsonl"), proof).unwrap();
    let args = ["audit", "verify", "--proof", "proof.jsonl", "--public-key", "key.pub", "--head"];
    there.json(&[&args[..], &["late"]].concat()).code(0);
    assert_eq!(code(&there.json(&[&args[..], &["moved"]].concat()).code(5)), "bad_signature");
    fs::write(lab.path("early"), &early).unwrap();
    lab.json(&["audit", "verify", "--head", "early", "--public-key", "key.pub"]).code(0);
    lab.json(&["audit", "verify", "--head", "early", "--public-key", "other.pub"]).code(5);
    lab.json(&["audit", "verify", "--public-key", "key.pub"]).code(2);
    lab.json(&["audit", "verify", "--public-key", "key"]).code(2);
}

/// The size in a signed head.
fn size_of(line: &str) -> usize {
    let head: Value = serde_json::from_str(line).unwrap();
    head["head"]["size"].as_u64().unwrap().try_into().unwrap()
}

/// Sets a field of a line.
fn set(line: &str, field: &str, value: Value) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    line[field] = value;
    line.to_string()
}
