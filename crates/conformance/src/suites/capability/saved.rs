//! What processes hold after a checkpoint is restored or copied.

use libos_abi::{
    CapId, CheckpointId, Manifest, Pid,
    capability::{Bound, Compare, CopyHeld, Forget, Recall, Restore, Save},
    checkpoint::{Change, Copied, Revived},
};

use super::Engine;
use crate::{host, process, text::read};

const CHECKPOINT: CheckpointId = CheckpointId::new(1, 1);

fn save(k: &mut Engine, subjects: &[u64]) -> u64 {
    let subjects = subjects.iter().copied().map(Pid).collect();
    k.ok(host(), Save { checkpoint: CHECKPOINT, subjects }).count
}

fn restore(k: &mut Engine, revived: &[(u64, Option<u64>)]) -> Vec<CapId> {
    let revived =
        revived.iter().map(|(pid, parent)| Revived { pid: Pid(*pid), parent: parent.map(Pid) });
    k.ok(host(), Restore { checkpoint: CHECKPOINT, revived: revived.collect() }).capabilities
}

fn copy(k: &mut Engine, processes: &[(u64, u64, Option<u64>)]) {
    let processes = processes.iter().map(|(from, to, parent)| Copied {
        from: Pid(*from),
        to: Pid(*to),
        parent: parent.map(Pid),
    });
    k.ok(host(), CopyHeld { checkpoint: CHECKPOINT, processes: processes.collect() });
}

fn is_allowed(k: &mut Engine, pid: u64, call: &str) -> bool {
    k.decide(process(pid), call).starts_with("allow")
}

pub(super) fn what_was_given_since_a_checkpoint_goes_and_what_went_stays_gone(k: &mut Engine) {
    let [a, b, c] = ["a", "b", "c"]
        .map(|name| k.host_grants(1, &format!("allow fs:workspace/{name} read")).unwrap());
    let once = k.host_grants(1, "allow fs:workspace/once read uses=1").unwrap();
    assert_eq!(save(k, &[1, 2]), 4);
    assert!(k.ok(host(), Compare { checkpoint: CHECKPOINT }).rows.is_empty());

    k.revoke(0, a).unwrap();
    assert!(k.admit(1, &read("workspace/once"), 7));
    k.settle(7, false);
    let later = k.host_grants(1, "allow fs:workspace/later read").unwrap();
    let denial = k.host_grants(1, "deny fs:workspace/b read").unwrap();
    let about = k.host_grants(1, "ask fs:workspace/c read").unwrap();
    let opens = k.host_grants(2, "ask fs:workspace/d read").unwrap();
    let rows = k.ok(host(), Compare { checkpoint: CHECKPOINT }).rows;
    let rows: Vec<_> = rows.iter().map(|row| (row.capability, row.change)).collect();
    let mut expected = vec![(a, Change::Gone), (once, Change::Gone)];
    expected.extend([later, denial, about, opens].map(|id| (id, Change::Made)));
    assert_eq!(rows, expected);

    assert_eq!(restore(k, &[]), [later, opens]);
    for (name, expected) in [("a", false), ("b", false), ("c", false), ("once", false)] {
        let path = format!("workspace/{name}");
        assert_eq!(is_allowed(k, 1, &read(&path)), expected, "{name}");
    }
    assert!(k.decide(process(1), &read("workspace/c")).starts_with("ask"), "the question stays");
    assert!(!is_allowed(k, 1, &read("workspace/later")));
    k.revoke(0, denial).unwrap();
    assert!(is_allowed(k, 1, &read("workspace/b")), "{b} was never taken back");
    assert!(!k.decide(process(2), &read("workspace/d")).starts_with("ask"), "it only opened that");
    assert_eq!(restore(k, &[]), [], "it is so already");
    k.ok(host(), Forget { checkpoint: CHECKPOINT });
    assert!(k.ok(host(), Compare { checkpoint: CHECKPOINT }).rows.is_empty());
    k.host_grants(1, "allow fs:workspace/e read").unwrap();
    assert_eq!(restore(k, &[]), [], "nothing is noted any more");
    assert!(is_allowed(k, 1, &read("workspace/e")));
    k.revoke(0, about).unwrap();
    assert!(is_allowed(k, 1, &read("workspace/c")), "{c} was never taken back");
}

pub(super) fn a_process_that_comes_back_holds_what_nothing_took(k: &mut Engine) {
    k.host_grants(1, "allow fs:workspace/* read delegable=2").unwrap();
    let bounded = Manifest { calls: Some(vec!["fs.read".into()]), ..Manifest::default() };
    k.ok(host(), Bound { pid: Pid(2), parent: Some(Pid(1)), manifest: Some(bounded) });
    let grants = ["allow fs:workspace/a read", "allow fs:workspace/b read"];
    let [a, b] = k.derive(1, 2, &grants).unwrap()[..] else { panic!("two were made") };
    k.host_grants(2, "allow fs:workspace/once read uses=1").unwrap();
    save(k, &[1, 2]);
    k.revoke(1, b).unwrap();
    assert!(k.admit(2, &read("workspace/once"), 7));
    k.settle(7, false);
    k.host_grants(2, "deny fs:workspace/c read").unwrap();
    k.host_grants(2, "allow fs:workspace/c read").unwrap();
    k.end(2);
    assert!(!is_allowed(k, 2, &read("workspace/a")), "its authority ended with it");

    restore(k, &[(2, Some(1))]);
    assert!(is_allowed(k, 2, &read("workspace/a")));
    for gone in ["b", "once", "c"] {
        assert!(!is_allowed(k, 2, &read(&format!("workspace/{gone}"))), "{gone}");
    }
    k.delegate(1, 2, "allow fs:workspace/d read").expect("it is a living child again");
    k.host_grants(2, "allow fs:workspace/* write").unwrap();
    let write = "fs.write {\"path\":\"workspace/a\",\"text\":\"\"}";
    assert!(!is_allowed(k, 2, write), "what bounded it bounds it again");
    k.revoke(1, a).unwrap();
    assert!(!is_allowed(k, 2, &read("workspace/a")), "who gave it can still take it back");
}

pub(super) fn copies_of_processes_get_nothing_finite_and_every_restriction(k: &mut Engine) {
    let plain = k.host_grants(1, "allow fs:workspace/* read").unwrap();
    k.host_grants(1, "allow fs:workspace/once write uses=1").unwrap();
    k.host_grants(1, "allow fs:workspace/few delete calls_max=3").unwrap();
    let gone = k.host_grants(1, "allow fs:workspace/gone write").unwrap();
    k.host_grants(1, "deny fs:workspace/no read").unwrap();
    let bounded = Manifest { calls: Some(vec!["fs.*".into()]), ..Manifest::default() };
    k.ok(host(), Bound { pid: Pid(1), parent: None, manifest: Some(bounded) });
    save(k, &[1]);
    k.revoke(0, gone).unwrap();
    k.host_grants(1, "deny fs:workspace/since read").unwrap();
    k.host_grants(1, "allow fs:workspace/since write").unwrap();
    let held = k.ok(host(), Recall { checkpoint: CHECKPOINT }).grants;
    let held: Vec<String> = held.iter().map(|it| format!("{} {}", it.effect, it.on)).collect();
    let expected = [
        "allow fs:workspace/*",
        "allow fs:workspace/once",
        "allow fs:workspace/few",
        "deny fs:workspace/no",
        "deny fs:workspace/since",
    ];
    assert_eq!(held, expected);

    copy(k, &[(1, 7, None)]);
    assert!(is_allowed(k, 7, &read("workspace/a")));
    let write = |name: &str| format!("fs.write {{\"path\":\"workspace/{name}\",\"text\":\"\"}}");
    let delete = "fs.delete {\"path\":\"workspace/few\"}".to_owned();
    let written = ["once", "gone", "since"].map(write);
    let reads = ["no", "since"].map(|name| read(&format!("workspace/{name}")));
    for call in reads.into_iter().chain(written).chain([delete]) {
        assert!(!is_allowed(k, 7, &call), "{call}");
    }
    k.host_grants(7, "allow shell:* execute").unwrap();
    assert!(!is_allowed(k, 7, "shell.run {\"argv\":[\"ls\"]}"), "it is bounded as its original");
    k.revoke(0, plain).unwrap();
    assert!(!is_allowed(k, 7, &read("workspace/a")), "what it was cut from is gone");
    // Below another process what bounds that bounds the copy too.
    let narrow = Manifest { calls: Some(vec!["fs.stat".into()]), ..Manifest::default() };
    k.ok(host(), Bound { pid: Pid(3), parent: None, manifest: Some(narrow) });
    k.host_grants(1, "allow fs:workspace/* read").unwrap();
    save(k, &[1]);
    copy(k, &[(1, 8, Some(3))]);
    assert!(!is_allowed(k, 8, &read("workspace/a")));
    k.delegate(3, 8, "deny fs:workspace/a read").expect("it is a child of it");
    // What was granted to it before it was made must be within what bounds it.
    let empty = Manifest { authority: Some(Vec::new()), ..Manifest::default() };
    k.ok(host(), Bound { pid: Pid(4), parent: None, manifest: Some(empty) });
    k.host_grants(9, "allow fs:workspace/* read").unwrap();
    let copied = Copied { from: Pid(1), to: Pid(9), parent: Some(Pid(4)) };
    let call = CopyHeld { checkpoint: CHECKPOINT, processes: vec![copied] };
    assert_eq!(k.refused(host(), call).0, "outside_manifest");
}

pub(super) fn copies_of_processes_reach_the_memories_of_copies(k: &mut Engine) {
    let memory = k.host_grants(1, "allow object:p2/* read").unwrap();
    save(k, &[1, 2]);
    copy(k, &[(1, 7, None), (2, 8, Some(7))]);
    let read = |space: u64| format!("object.read {{\"id\":\"obj-{space}.1\"}}");
    assert!(is_allowed(k, 7, &read(8)));
    assert!(!is_allowed(k, 7, &read(2)), "the copy has nothing to do with the original's memory");
    k.revoke(0, memory).unwrap();
    assert!(is_allowed(k, 7, &read(8)), "nor with the authority over it");
    assert!(!is_allowed(k, 1, &read(2)));
}
