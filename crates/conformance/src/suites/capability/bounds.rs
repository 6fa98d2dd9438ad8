//! What bounds a process, whatever it is granted, and what it gives up.

use libos_abi::{
    CapId, Error, Manifest, Origin, Pattern, Pid, RequestId, Right,
    capability::{Bound, Issue, Keep, May, Requestable},
};
use serde_json::{Value, json};

use super::{Engine, binding, error};
use crate::{
    host, process,
    text::{self, grant, read},
};

fn bound(k: &mut Engine, pid: u64, parent: Option<u64>, manifest: Value) -> Result<(), Error> {
    let manifest: Option<Manifest> = text::from(manifest);
    k.call(host(), Bound { pid: Pid(pid), parent: parent.map(Pid), manifest }).map_err(error)
}

fn entry(on: &str, rights: &[&str]) -> Value {
    json!({ "on": on, "rights": rights })
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.expect_err("it should be refused").code()
}

pub(super) fn a_manifest_binds_a_process_and_all_below_it(k: &mut Engine) {
    let files = json!({ "authority": [entry("fs:workspace/*", &["read", "write"])] });
    bound(k, 1, None, files).unwrap();
    k.host_grants(1, "allow fs:workspace/* read+write delegable=4").unwrap();
    assert_eq!(code(k.host_grants(1, "allow fs:* read")), "outside_manifest");
    assert_eq!(code(k.host_grants(1, "ask shell:git execute")), "outside_manifest");
    k.host_grants(1, "deny shell:* execute").unwrap();
    // A child is bound by its own manifest and by its parent's.
    bound(k, 2, Some(1), json!({ "authority": [entry("fs:*", &["read"])] })).unwrap();
    k.derive(1, 2, &["allow fs:workspace/a/* read delegable=3"]).unwrap();
    assert_eq!(code(k.host_grants(2, "allow fs:other read")), "outside_manifest");
    assert_eq!(code(k.derive(1, 2, &["allow fs:workspace/* write"])), "outside_manifest");
    assert_eq!(code(k.delegate(1, 2, "allow fs:workspace/* write")), "outside_manifest");
    bound(k, 3, Some(2), json!(null)).unwrap();
    assert_eq!(code(k.host_grants(3, "allow fs:workspace/a write")), "outside_manifest");
    // A human's answer is bound; an approval opens nothing and is not, nor what the kernel gives.
    let issue = |origin, binding| Issue {
        to: Pid(3),
        grant: grant("allow object:p3/* read"),
        origin,
        binding,
    };
    let human = || Origin::Human { request: RequestId(1) };
    assert_eq!(code(k.issue(issue(human(), None))), "outside_manifest");
    k.issue(issue(human(), binding(vec![CapId(1)]))).unwrap();
    k.issue(issue(Origin::Kernel, None)).unwrap();
}

pub(super) fn a_manifest_that_is_malformed_or_comes_too_late_is_refused(k: &mut Engine) {
    for manifest in [
        json!({ "authority": [entry("fs:workspace/*", &[])] }),
        json!({ "requestable": [entry("fs:workspace/*", &[])] }),
        json!({ "calls": ["fs.no_such_call"] }),
        json!({ "calls": ["*"] }),
        json!({ "calls": vec!["fs.read"; 100_000] }),
    ] {
        assert_eq!(code(bound(k, 1, None, manifest)), "bad_grant");
    }
    k.host_grants(1, "allow fs:* read").unwrap();
    let narrow = || json!({ "authority": [entry("fs:workspace/*", &["read"])] });
    assert_eq!(code(bound(k, 1, None, narrow())), "outside_manifest", "it holds more already");
    assert_eq!(k.decide(process(1), &read("workspace/a")), "allow 1");
    bound(k, 2, None, narrow()).unwrap();
    k.host_grants(3, "allow fs:* read").unwrap();
    assert_eq!(code(bound(k, 3, Some(2), json!(null))), "outside_manifest");
}

pub(super) fn what_a_manifest_does_not_foresee_is_denied(k: &mut Engine) {
    bound(k, 1, None, json!({ "calls": ["fs.read", "clock.*"] })).unwrap();
    k.host_grants(1, "allow fs:* read+write").unwrap();
    k.host_grants(1, "allow clock:* read").unwrap();
    let write = r#"fs.write {"path":"workspace/a","text":""}"#;
    assert_eq!(k.decide(process(1), &read("workspace/a")), "allow 1");
    assert_eq!(k.decide(process(1), r#"clock.sleep {"ms":1}"#), "allow 2");
    assert_eq!(k.decide(process(1), write), "Manifest(\"fs.write\")");
    // What is there and empty admits nothing; what is absent bounds nothing.
    bound(k, 2, None, json!({ "calls": [] })).unwrap();
    bound(k, 3, None, json!({})).unwrap();
    for pid in [2, 3] {
        k.host_grants(pid, "allow fs:* read").unwrap();
    }
    assert_eq!(k.decide(process(2), &read("workspace/a")), "Manifest(\"fs.read\")");
    assert_eq!(k.decide(process(3), &read("workspace/a")), "allow 4");
}

pub(super) fn what_may_be_asked_for_is_what_could_be_granted(k: &mut Engine) {
    let manifest = json!({
        "authority": [entry("fs:workspace/*", &["read", "write"])],
        "requestable": [entry("fs:workspace/src/*", &["write"]), entry("shell:git", &["execute"])],
    });
    bound(k, 1, None, manifest).unwrap();
    let mut ask = |pid: u64, on: &str, right: Right| {
        let on: Pattern = on.parse().unwrap();
        k.code(host(), Requestable { pid: Pid(pid), on, rights: [right].into_iter().collect() })
    };
    assert_eq!(ask(1, "fs:workspace/src/a", Right::Write), "ok");
    assert_eq!(ask(1, "fs:workspace/a", Right::Write), "outside_manifest");
    assert_eq!(ask(1, "fs:workspace/src/a", Right::Read), "outside_manifest");
    assert_eq!(ask(1, "shell:git", Right::Execute), "outside_manifest", "it could not be granted");
    assert_eq!(ask(2, "shell:git", Right::Execute), "ok");
}

pub(super) fn what_is_not_kept_is_given_up_for_good(k: &mut Engine) {
    let a = &*read("workspace/a");
    let kept = k.host_grants(1, "allow fs:workspace/a read delegable=2").unwrap();
    k.host_grants(1, "allow fs:workspace/* read delegable=2").unwrap();
    k.host_grants(1, "deny fs:workspace/secret read").unwrap();
    let own = Issue {
        to: Pid(1),
        grant: grant("allow object:p1/* read"),
        origin: Origin::Kernel,
        binding: None,
    };
    k.issue(own).unwrap();
    k.derive(1, 2, &["allow fs:workspace/b read"]).unwrap();
    let keep = |keep: Vec<CapId>, memory| Keep { subject: Pid(1), keep, memory };
    assert_eq!(k.refused(host(), keep(vec![CapId(999)], true)).0, "not_found");
    assert_eq!(k.refused(host(), keep(vec![k.nth(5)], true)).0, "not_found", "it is another's");
    // What was cut from it goes with it.
    let gone = k.ok(host(), keep(vec![kept], true)).capabilities;
    assert_eq!(gone, [k.nth(2), k.nth(5)]);
    assert_eq!(k.decide(process(1), a), "allow 1");
    assert_eq!(k.decide(process(1), &read("workspace/b")), "revoked 2");
    assert_eq!(k.decide(process(2), &read("workspace/b")), "revoked 5");
    assert_eq!(k.decide(process(1), &read("workspace/secret")), "denied by 3");
    let memory = r#"object.read {"id":"obj-1.1"}"#;
    assert_eq!(k.decide(process(1), memory), "allow 4");
    assert_eq!(k.ok(host(), keep(vec![kept], false)).capabilities, [k.nth(4)]);
    assert_eq!(k.decide(process(1), memory), "revoked 4");
    assert_eq!(k.refused(host(), keep(vec![k.nth(2)], true)).0, "not_found", "it is gone");
}

pub(super) fn from_outside_of_a_call_only_what_is_certain_counts(k: &mut Engine) {
    let mut table = Vec::new();
    for (pid, grants, allowed) in [
        (1, &["allow fs:* read"][..], true),
        (2, &[], false),
        (3, &["ask fs:* read"], false),
        (4, &["allow fs:* read", "deny fs:workspace/* read"], false),
        (5, &["allow fs:* read uses=9"], false),
        (6, &[r#"allow fs:* read when={"max_bytes":{"max":9}}"#], false),
        (7, &["allow fs:* read", r#"deny fs:* read when={"max_bytes":{"max":9}}"#], false),
        (8, &["allow fs:* write"], false),
    ] {
        for text in grants {
            k.host_grants(pid, text).unwrap();
        }
        table.push((pid, allowed));
    }
    for (pid, allowed) in table {
        let on = "fs:workspace/a".parse().unwrap();
        let may = k.ok(host(), May { pid: Pid(pid), right: Right::Read, on });
        assert_eq!(may.allowed, allowed, "p{pid}");
    }
}
