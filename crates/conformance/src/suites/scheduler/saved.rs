//! Processes that are kept for a checkpoint.

use libos_abi::{
    CheckpointId, Pid, Right,
    checkpoint::{Change, Copied},
    message,
    process::{self, ProcessState},
};
use serde_json::json;

use super::{Table, child, exit, info, root, run};
use crate::{host, text};

fn checkpoint(of: Pid) -> CheckpointId {
    CheckpointId { process: of, number: 1 }
}

fn send(to: Pid, body: &str) -> message::Send {
    text::from(json!({ "to": to, "body": body }))
}

fn changes(k: &mut Table, of: Pid) -> Vec<(Pid, Change)> {
    let rows = k.ok(host(), process::Compare { checkpoint: checkpoint(of) }).rows;
    rows.into_iter().map(|row| (row.pid, row.change)).collect()
}

fn letters(k: &mut Table, pid: Pid) -> Vec<String> {
    let peek: message::Peek = text::from(json!({}));
    let letters = k.ok(pid, peek).messages;
    letters.iter().map(|it| it.body.as_str().unwrap_or_default().to_owned()).collect()
}

pub(super) fn processes_come_back_to_what_was_kept_of_them(k: &mut Table) {
    let parent = root(k);
    let first = child(k, parent);
    let ended = child(k, parent);
    k.ok(ended, exit());
    run(k, parent);
    k.ok(host(), send(parent, "before"));
    let save = |of| process::Save { checkpoint: checkpoint(of) };
    assert_eq!(k.refused(host(), save(Pid(99))).0, "not_found");
    assert_eq!(k.refused(host(), save(ended)).0, "not_found", "it has ended");
    let subtree = k.ok(host(), save(parent));
    assert_eq!((subtree.live, subtree.ended), (vec![parent, first], vec![ended]));
    assert_eq!(changes(k, parent), []);

    let before = info(k, parent);
    let later = child(k, parent);
    k.ok(parent, process::Commit { state: "later".into() });
    k.ok(parent, process::Chdir { path: "workspace/later".into() });
    k.ok(host(), send(parent, "after"));
    k.ok(first, exit());
    let expected = [(parent, Change::Changed), (first, Change::Changed), (later, Change::Made)];
    assert_eq!(changes(k, parent), expected);

    let restore = || process::Restore { checkpoint: checkpoint(parent) };
    let rewound = k.ok(host(), restore());
    assert_eq!((&rewound.processes[..], &rewound.made[..]), (&[parent, first][..], &[later][..]));
    let [revived] = rewound.revived[..] else { panic!("one had ended: {rewound:?}") };
    assert_eq!((revived.pid, revived.parent), (first, Some(parent)));
    let now = info(k, parent);
    assert_eq!((&now.cwd, now.unread), (&before.cwd, 1));
    assert_eq!(letters(k, parent), ["before"]);
    assert_eq!(now.usage.children, 3, "what was used stays used");
    assert_eq!(info(k, later).state, ProcessState::Killed);
    for pid in [parent, first] {
        assert_eq!(info(k, pid).state, ProcessState::Runnable);
    }
    assert_eq!(info(k, ended).state, ProcessState::Exited, "it had ended then");
    // A run of the future that was given up is over.
    let order = k.ok(host(), process::Next {}).expect("both are runnable");
    assert_eq!(order.pid == parent, order.run > 1, "{order:?}");
    assert_eq!(order.state.as_str(), Some(""), "nothing was kept yet");

    k.ok(host(), process::Forget { checkpoint: checkpoint(parent) });
    assert_eq!(changes(k, parent), []);
    assert_eq!(k.ok(host(), restore()).processes, [], "nothing is kept any more");
    k.ok(host(), process::Forget { checkpoint: checkpoint(parent) });
}

pub(super) fn processes_that_were_kept_are_made_a_second_time(k: &mut Table) {
    let parent = root(k);
    let below = child(k, parent);
    let copy = |of| process::CopySaved { checkpoint: checkpoint(of), parent: None };
    let recall = |of| process::Recall { checkpoint: checkpoint(of) };
    assert_eq!(k.refused(host(), copy(parent)).0, "not_found");
    assert_eq!(k.refused(host(), recall(parent)).0, "not_found");
    run(k, parent);
    k.ok(parent, process::Commit { state: "kept".into() });
    k.ok(host(), process::Save { checkpoint: checkpoint(parent) });
    k.ok(below, exit());
    let forked = k.ok(host(), copy(parent));
    let [one, two] = forked.processes[..] else { panic!("two were kept: {forked:?}") };
    assert_eq!(one, Copied { from: parent, to: forked.pid, parent: None });
    assert_eq!(two, Copied { from: below, to: two.to, parent: Some(one.to) });
    let issued = k.world.issued();
    assert_eq!(issued.len(), 2, "parent and child may message each other");
    assert!(issued.iter().all(|issue| issue.grant.rights.contains(Right::Write)));
    for Copied { from, to, .. } in [one, two] {
        let (was, is) = (info(k, from), info(k, to));
        assert_eq!((is.image, is.goal, is.planner), (was.image, was.goal, was.planner));
        assert_eq!(is.state, ProcessState::Runnable);
    }
    let orders: Vec<_> = (0..8).map_while(|_| k.ok(host(), process::Next {})).collect();
    let order = orders.iter().find(|order| order.pid == one.to).expect("it is runnable");
    assert_eq!(order.state.as_str(), Some("kept"));
    // Below another process, as far as that may have children.
    let under = process::CopySaved { checkpoint: checkpoint(parent), parent: Some(parent) };
    assert_eq!(k.ok(host(), under).processes[0].parent, Some(parent));
    let made = k.ok(host(), recall(parent));
    assert_eq!((made.image, made.planner.kind), ("worker".into(), "script".into()));
}
