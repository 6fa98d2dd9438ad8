//! What kin may do without a grant, and lists of what everybody holds.

use libos_abi::{
    CapId, CapabilityInfo, Effect, Origin, Pid, Right, Status,
    capability::{Explain, Inspect, Keep, List, May},
};

use super::Engine;
use crate::{host, kernel::By, process};

/// Everything that is listed, so many at a time.
fn listed(k: &mut Engine, by: By, pid: Option<Pid>, limit: Option<u32>) -> Vec<CapabilityInfo> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let list = List { pid, all: Some(true), after, limit };
        let page = k.ok(by.clone(), list);
        assert!(page.capabilities.len() <= limit.unwrap_or(256).min(256) as usize);
        found.extend(page.capabilities);
        match page.more_after {
            Some(last) => {
                assert_eq!(found.last().map(|cap| cap.id), Some(last));
                after = Some(last);
            }
            None => return found,
        }
    }
}

fn ids(listed: &[CapabilityInfo]) -> Vec<CapId> {
    listed.iter().map(|cap| cap.id).collect()
}

pub(super) fn what_is_listed_comes_a_part_at_a_time(k: &mut Engine) {
    for n in 0..300_u64 {
        k.host_grants(1 + n % 2, &format!("allow fs:workspace/f{n} read")).unwrap();
    }
    for child in [3, 4, 5] {
        k.derive(1, child, &[]).unwrap();
    }
    for (pid, count) in [(None, 306), (Some(Pid(1)), 153), (Some(Pid(2)), 150), (Some(Pid(4)), 1)] {
        let whole = listed(k, host(), pid, None);
        assert_eq!(whole.len(), count, "{pid:?}");
        assert!(whole.is_sorted_by(|one, next| one.id < next.id), "by id, each once");
        for limit in [1, 7, 256, 1_000] {
            assert_eq!(listed(k, host(), pid, Some(limit)), whole, "{pid:?} by {limit}");
        }
    }
    let own = listed(k, process(1), None, Some(100));
    assert!(own.iter().all(|cap| cap.subject == Pid(1)));
    assert_eq!(own.len(), 153);
}

pub(super) fn kin_may_message_each_other_until_the_host_takes_that_back(k: &mut Engine) {
    let send = |to: u64| format!(r#"message.send {{"to":"p{to}","body":"x"}}"#);
    let decide = |k: &mut Engine, from: u64, to: u64| k.decide(process(from), &send(to));
    assert_eq!(decide(k, 1, 2), "no grant");
    k.derive(1, 2, &[]).unwrap();
    k.derive(1, 3, &[]).unwrap();
    k.derive(2, 4, &[]).unwrap();
    assert_eq!(k.granted(), 0, "nothing is made for it");
    let (down, up) = (CapId::of_parent(Pid(2)), CapId::of_child(Pid(2)));
    assert_eq!(decide(k, 1, 2), format!("allow {}", down.0));
    assert_eq!(decide(k, 2, 1), format!("allow {}", up.0));
    for (from, to) in [(2, 3), (1, 4), (4, 1), (2, 2), (1, 12)] {
        assert_eq!(decide(k, from, to), "no grant", "p{from} is not kin of p{to}");
    }
    let on = || "process:p2".parse().unwrap();
    assert!(k.ok(host(), May { pid: Pid(1), right: Right::Write, on: on() }).allowed);
    assert!(!k.ok(host(), May { pid: Pid(1), right: Right::Read, on: on() }).allowed);

    let of_one = listed(k, process(1), None, None);
    assert_eq!(ids(&of_one), [down, CapId::of_parent(Pid(3))]);
    let seen = k.ok(process(1), Inspect { capability: down });
    assert_eq!(seen, of_one[0]);
    assert_eq!((seen.subject, seen.effect, seen.status), (Pid(1), Effect::Allow, Status::Active));
    assert_eq!((seen.on.as_str(), seen.rights.to_string()), ("process:p2", "write".to_owned()));
    assert_eq!((&seen.origin, seen.delegable, seen.parent), (&Origin::Kernel, 0, None));
    assert_eq!(k.refused(process(2), Inspect { capability: down }).0, "not_found");
    let explain =
        |k: &mut Engine| k.ok(process(1), Explain { pid: None, right: Right::Write, on: on() });
    let told = explain(k);
    assert_eq!((told.effect, ids(&told.weighed)), (Effect::Allow, vec![down]));
    // It is the process's own, and stays whatever image it goes on as.
    let keep = Keep { subject: Pid(1), keep: vec![down], memory: false };
    assert!(k.ok(host(), keep).capabilities.is_empty());

    // It is never handed on, and a denial beats it.
    let text = "allow process:p2 write";
    assert_eq!(k.derive(1, 3, &[text]).unwrap_err().code(), "denied");
    k.host_grants(4, "deny process:p2 write").unwrap();
    assert_eq!(decide(k, 4, 2), "denied by 1");

    // Only the host takes it back, once.
    assert_eq!(k.revoke(1, down).unwrap_err().code(), "not_found");
    assert_eq!(k.revoke(0, down).unwrap(), [down]);
    let events = k.journal.len();
    assert_eq!(k.revoke(0, down).unwrap(), [down]);
    assert_eq!(k.journal.len(), events, "it was taken back already");
    assert_eq!(decide(k, 1, 2), format!("revoked {}", down.0));
    assert_eq!(decide(k, 2, 1), format!("allow {}", up.0), "the other way stays");
    assert_eq!(explain(k).effect, Effect::Deny);
    assert_eq!(k.ok(process(1), Inspect { capability: down }).status, Status::Revoked);
    // A grant of its own counts like any other.
    k.host_grants(1, text).unwrap();
    assert_eq!(decide(k, 1, 2), "allow 2");

    // What has ended holds nothing; who is left is told by whom it writes to.
    k.end(2);
    assert_eq!(decide(k, 2, 1), "no grant");
    assert_eq!(decide(k, 4, 2), "denied by 1");
    assert_eq!(k.decide(process(1), &send(3)), format!("allow {}", CapId::of_parent(Pid(3)).0));
    assert!(listed(k, host(), Some(Pid(2)), None).is_empty());
    k.recover();
    assert_eq!(decide(k, 3, 1), format!("allow {}", CapId::of_child(Pid(3)).0));
    assert_eq!(k.ok(process(1), Inspect { capability: down }).status, Status::Revoked);
}
