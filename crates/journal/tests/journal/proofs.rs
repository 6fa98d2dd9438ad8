//! Proofs that leave the store: true ones hold with a head alone, and nothing else does.

use libos_abi::Seq;
use libos_journal::{
    Batch, Corruption, Head, Journal, JournalError, MemoryJournal, Proof, ProofFault, Proved,
    Prover, Sync, TreeHash, verify_proofs,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{batch, corrupt, record};

fn describe(seq: Seq, body: &[u8]) -> Value {
    json!({ "at": seq.0, "text": String::from_utf8_lossy(body) })
}

/// A journal of so many records, and its head after each.
fn journal(records: usize) -> (MemoryJournal, Vec<Head>) {
    let mut journal = MemoryJournal::new();
    let mut heads = vec![journal.head()];
    let one = |n| journal.append(&batch(n..n + 1), Sync::Durable).unwrap();
    heads.extend((0..records).map(one));
    (journal, heads)
}

fn line(proof: &Proof) -> String {
    serde_json::to_string(proof).unwrap() + "\n"
}

fn fault(lines: &str, head: &Head) -> (u64, ProofFault) {
    match verify_proofs(&mut lines.as_bytes(), head, &describe) {
        Err(JournalError::BadProof { number, what }) => (number, what),
        other => panic!("no fault found: {other:?}"),
    }
}

#[test]
fn every_record_is_proved_under_every_head() {
    let (journal, heads) = journal(21);
    for head in &heads {
        let prover = Prover::new(&journal, Some(head)).unwrap();
        assert_eq!(prover.head(), *head);
        let mut lines = String::new();
        for seq in 0..head.size {
            lines += &line(&prover.inclusion(Seq(seq), &describe).unwrap().unwrap());
        }
        assert_eq!(prover.inclusion(Seq(head.size), &describe).unwrap(), None);
        let proved = verify_proofs(&mut lines.as_bytes(), head, &describe).unwrap();
        let expected = (0..head.size).map(|seq| Proved::Record {
            seq: Seq(seq),
            event: describe(Seq(seq), &record(seq as usize)),
        });
        assert_eq!(proved, expected.collect::<Vec<_>>());
    }
}

#[test]
fn every_head_continues_those_before_it() {
    let (journal, heads) = journal(21);
    for to in &heads {
        let prover = Prover::new(&journal, Some(to)).unwrap();
        for from in &heads {
            if from.size > to.size {
                let (seq, what) = corrupt(prover.consistency(from));
                let truncated = Corruption::Truncated { size: Some(from.size) };
                assert_eq!((seq, what), (to.size, truncated));
                continue;
            }
            let proof = line(&prover.consistency(from).unwrap());
            // Whoever trusts one of the two learns of the other.
            for trusted in [from, to] {
                let proved = verify_proofs(&mut proof.as_bytes(), trusted, &describe).unwrap();
                assert_eq!(proved, [Proved::Continues { from: *from, to: *to }]);
            }
        }
    }
}

#[test]
fn nothing_is_proved_about_another_history() {
    let (ours, heads) = journal(9);
    let mut other = MemoryJournal::new();
    let theirs = other.append(&Batch::of((0..12).map(|n| vec![n])), Sync::Durable).unwrap();
    let up_to = |head: &Head| corrupt(Prover::new(&ours, Some(head)).map(|prover| prover.head()));
    let (seq, what) = up_to(&Head { size: 9, ..theirs });
    assert_eq!(seq, 9);
    assert!(matches!(what, Corruption::HeadMismatch { .. }));
    let (seq, what) = up_to(&theirs);
    assert_eq!((seq, what), (9, Corruption::Truncated { size: Some(12) }));
    let prover = Prover::new(&ours, None).unwrap();
    let (seq, what) = corrupt(prover.consistency(&Head { size: 4, ..heads[5] }));
    assert_eq!(seq, 4);
    assert!(matches!(what, Corruption::HeadMismatch { .. }));
    for proof in [
        prover.inclusion(Seq(3), &describe).unwrap().unwrap(),
        prover.consistency(&heads[4]).unwrap(),
    ] {
        assert_eq!(fault(&line(&proof), &theirs), (1, ProofFault::OtherHead));
    }
}

#[test]
fn a_forged_proof_is_named() {
    let (journal, heads) = journal(9);
    let head = heads[9];
    let prover = Prover::new(&journal, None).unwrap();
    let good = line(&prover.inclusion(Seq(3), &describe).unwrap().unwrap());
    let changed = |field: &str, value: Value| {
        let mut line: Value = serde_json::from_str(&good).unwrap();
        line["inclusion"][field] = value;
        // After a good one, to see that it is counted.
        fault(&format!("{good}{line}\n"), &head)
    };
    assert_eq!(changed("body", json!("7265636f72642034")), (2, ProofFault::Fails));
    assert_eq!(changed("body", json!("7")), (2, ProofFault::Unreadable));
    assert_eq!(changed("seq", json!(4)), (2, ProofFault::Fails));
    assert_eq!(changed("seq", json!(99)), (2, ProofFault::Fails));
    assert_eq!(changed("path", json!([])), (2, ProofFault::Fails));
    assert_eq!(changed("head", json!(heads[8])), (2, ProofFault::OtherHead));
    assert_eq!(changed("event", json!({ "at": 3 })), (2, ProofFault::WrongEvent));
    assert_eq!(changed("more", json!(1)), (2, ProofFault::Unreadable));
    assert_eq!(fault("no json\n", &head), (1, ProofFault::Unreadable));
    assert_eq!(fault(&good[..60], &head), (1, ProofFault::Unreadable));
}

proptest! {
    /// Any bit of any hash, and the proof of any other position: nothing holds but the truth.
    #[test]
    fn a_changed_hash_proves_nothing(
        size in 2..80_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..256_usize,
    ) {
        let (journal, heads) = journal(size);
        let prover = Prover::new(&journal, None).unwrap();
        let seq = at.index(size);
        let mut inclusion = prover.inclusion(Seq(seq as u64), &describe).unwrap().unwrap();
        let mut consistency = prover.consistency(&heads[seq.max(1)]).unwrap();
        for proof in [&mut inclusion, &mut consistency] {
            let (Proof::Inclusion { path, .. } | Proof::Consistency { path, .. }) = proof;
            let step = at.index(path.len());
            path[step].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(fault(&line(proof), &heads[size]), (1, ProofFault::Fails));
            let (Proof::Inclusion { path, .. } | Proof::Consistency { path, .. }) = proof;
            path[step].0[bit / 8] ^= 1 << (bit % 8);
            path.push(TreeHash([0; 32]));
            prop_assert_eq!(fault(&line(proof), &heads[size]), (1, ProofFault::Fails));
        }
    }
}
